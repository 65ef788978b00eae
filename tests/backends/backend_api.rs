//! Wrong calls of a backend or a session are errors, never accesses beyond a buffer;
//! and the previous state is unchanged.

use crate::common::{Shared, cpu32, cpu64, first_rows, gpu, random_classes, random_data, unscaled};
use pollster::FutureExt as _;
use std::ops::Range;
use std::sync::Arc;
use wgrad::backend::session::Session;
use wgrad::backend::session::initial_weights;
use wgrad::backend::{Backend, DataId, Values, ValuesMut};
use wgrad::base::error::ErrorKind;
use wgrad::data::{Affine, Dataset, Features, Preprocessing, Samples, Targets};
use wgrad::kernels::Step;
use wgrad::kernels::tensor::{Extent, Role, TensorId};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::matrix::Matrix;
use wgrad::math::random::Permutation;
use wgrad::net::spec::{Net, Spec};
use wgrad::plan::program::Program;
use wgrad::plan::{self, Plan, Purpose, Traits};

const ROWS: usize = 21;
const BATCH: usize = 8;

fn devices(test: &str) -> Vec<Shared> {
    [Some(cpu32(2)), Some(cpu64(1)), gpu(test)].into_iter().flatten().collect()
}

fn spec() -> Spec {
    let net = Net::new(5).layer(7, Activation::Relu).layer(3, Activation::Identity);
    Spec { batch_size: BATCH, ..Spec::new(net, Loss::CrossEntropy) }
}

fn data() -> Dataset {
    random_classes(ROWS, 5, 3, 1)
}

fn samples() -> Samples {
    unscaled(&data())
}

/// The plain program, and the programs that backends derive from it.
fn plans() -> [Plan; 4] {
    [Traits::Plain, Traits::Cpu, Traits::GPU, Traits::LAYERS]
        .map(|offered| plan::plan(&spec(), BATCH, Purpose::Train, offered))
}

fn step() -> Step {
    first_rows(&spec(), BATCH)
}

/// A usage error that contains `text`.
fn refused<T>(what: wgrad::Result<T>, text: &str) {
    let Err(error) = what else { panic!("taken: {text}") };
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains(text), "{text} in {error}");
}

/// A device with a plan and its initial weights, and rows on it.
struct On {
    device: Shared,
    plan: Plan,
    data: DataId,
}

impl On {
    fn new(device: &Shared, plan: &Plan) -> Self {
        let mut device = device.clone();
        let data = device.start(&plan.program, &samples());
        device.set_weights(plan, &initial_weights(&spec()));
        On { device, plan: plan.clone(), data }
    }

    fn run(&mut self, step: Step) -> wgrad::Result<()> {
        let ops = self.plan.program.routines.step.clone();
        self.device.run(ops, self.data, &[step]).block_on()
    }

    fn parameters(&mut self) -> Vec<f64> {
        self.device.get(&self.plan.program, self.plan.parameters, BATCH)
    }
}

#[test]
fn steps_beyond_the_batch_or_the_rows_are_refused() {
    for device in devices("steps beyond the rows") {
        for plan in plans() {
            let mut on = On::new(&device, &plan);
            on.run(step()).unwrap();
            let after_one = on.parameters();
            let mut on = On::new(&device, &plan);
            let rows = |rows: usize, first: usize| Step {
                rows: rows as u32,
                first: first as u32,
                ..step()
            };
            let order = |n: u32| Permutation::new(n, Some([1, 2])).words();
            refused(on.run(rows(BATCH + 1, 0)), "a step of 9 rows exceeds the batch size, 8");
            refused(on.run(rows(u32::MAX as usize, 0)), "exceeds the batch size, 8");
            refused(on.run(rows(BATCH, ROWS - BATCH + 1)), "ends at row 22 of 21");
            refused(on.run(rows(BATCH, u32::MAX as usize)), "of 21");
            let ordered = |n| Step { order: order(n), ..rows(4, ROWS - 4) };
            refused(on.run(ordered(ROWS as u32 + 1)), "of 21");
            refused(on.run(ordered(ROWS as u32 - 1)), "ends at row 21 of 20");
            // In which the search for a row would have no end, or divide by 0.
            for order in [[21, 0, 0, 1, 2], [21, 4, 5, 1, 2]] {
                refused(on.run(Step { order, ..step() }), "the order is not a permutation");
            }
            // Behind a good one too: none of them is run.
            let ops = plan.program.routines.step.clone();
            let both = [step(), rows(BATCH + 1, 0)];
            refused(on.device.run(ops, on.data, &both).block_on(), "a step of 9 rows");
            on.run(step()).unwrap();
            assert!(on.parameters() == after_one, "nothing was changed by what was refused");
            on.run(ordered(ROWS as u32)).unwrap();
            on.run(rows(BATCH, ROWS - BATCH)).unwrap();
        }
    }
}

#[test]
fn ops_tensors_and_lengths_that_the_program_does_not_have_are_refused() {
    for device in devices("ops, tensors and lengths") {
        for plan in plans() {
            let mut on = On::new(&device, &plan);
            let before = on.parameters();
            let (ops, tensors) = (plan.program.ops.len(), plan.program.tensors.len());
            let mut run = |ops: Range<usize>| on.device.run(ops, on.data, &[step()]).block_on();
            refused(run(0..ops + 1), "the program has");
            refused(run(usize::MAX - 1..usize::MAX), "the program has");
            #[allow(clippy::reversed_empty_ranges, reason = "it is what is refused")]
            refused(run(2..1), "the program has");
            // Handles of a program with more tensors, and of one with larger ones.
            for id in [tensors, usize::MAX].map(TensorId) {
                refused(on.device.write(id, Values::F32(&[0.0])).block_on(), "the program has");
                refused(
                    on.device.read(id, ValuesMut::F64(&mut [0.0])).block_on(),
                    "the program has",
                );
            }
            for (i, t) in plan.program.tensors.iter().enumerate() {
                let (id, long) = (TensorId(i), plan.program.len(TensorId(i)) + 1);
                let text = format!("{long} values for {}, which has {}", t.name, long - 1);
                refused(on.device.write(id, Values::F64(&vec![1.0; long])).block_on(), &text);
                refused(on.device.read(id, ValuesMut::F32(&mut vec![1.0; long])).block_on(), &text);
            }
            assert!(on.parameters() == before);
            on.device.forget(on.data);
            refused(on.run(step()), "upload them again");
        }
    }
}

#[test]
fn rows_that_the_program_would_read_differently_are_refused() {
    let numbers = |cols| unscaled(&random_data(Loss::SquaredError, ROWS, 5, cols, 1));
    let others = [
        (unscaled(&random_classes(ROWS, 4, 3, 1)), "the rows have 4 feature columns"),
        (unscaled(&random_classes(ROWS, 6, 3, 1)), "the rows have 6 feature columns"),
        (Samples { targets: None, ..samples() }, "the rows have no targets"),
        (numbers(2), "the rows have 2 targets each, but the program takes 3"),
        (numbers(4), "the rows have 4 targets each, but the program takes 3"),
        (
            Samples {
                targets: Some(Targets::Classes { labels: vec![3; ROWS], names: vec![] }),
                ..samples()
            },
            "class 3 is out of range for a program with 3 classes",
        ),
    ];
    for device in devices("rows of another shape") {
        for plan in plans() {
            let mut on = On::new(&device, &plan);
            for (samples, text) in &others {
                let data = on.device.upload(Arc::new(samples.clone())).block_on().unwrap();
                let routines = &plan.program.routines;
                for routine in [&routines.evaluate, &routines.step] {
                    refused(on.device.run(routine.clone(), data, &[step()]).block_on(), text);
                }
                // What reads no targets needs none.
                let predicted = on.device.run(routines.predict.clone(), data, &[step()]).block_on();
                assert_eq!(predicted.is_ok(), !text.contains("feature columns"), "{text}");
                on.device.forget(data);
            }
            on.run(step()).unwrap();
        }
        let parts = [
            Samples { affine: Affine::identity(4), ..samples() },
            Samples { weights: Some(vec![1.0; ROWS - 1]), ..samples() },
            Samples { targets: unscaled(&random_classes(ROWS + 1, 5, 3, 1)).targets, ..samples() },
        ];
        let mut device = device.clone();
        for (samples, text) in
            parts.into_iter().zip(["a scaling of 4", "20 row weights", "22 rows"])
        {
            refused(device.upload(Arc::new(samples)).block_on(), text);
        }
    }
}

#[test]
fn a_session_takes_rows_of_its_net_only_and_evaluates_those_with_targets() {
    let (data, other) = (data(), random_classes(ROWS, 4, 3, 1));
    let numbers = random_data(Loss::SquaredError, ROWS, 5, 2, 1);
    for device in devices("rows of a session") {
        for plan in plans() {
            let objective = spec().objective;
            let mut session = Session::new(device.boxed(), plan, objective).unwrap();
            session.set_weights(&spec().net, &initial_weights(&spec())).unwrap();
            let none = Preprocessing::none(&data);
            refused(session.upload(unscaled(&other), &none), "the rows have 4 feature columns");
            let of_numbers = Preprocessing::none(&numbers);
            refused(
                session.upload(unscaled(&numbers), &of_numbers),
                "the rows have 2 targets each",
            );
            let alone = none.features(data.features_shared()).unwrap();
            refused(session.upload(alone.clone(), &of_numbers), "the preprocessing has 2 targets");
            let alone = session.upload(alone, &none).unwrap();
            refused(session.evaluate(&alone), "the rows have no targets");
            let mut rows = 0;
            let count = |_: usize, outputs: Matrix<f32>| {
                rows += outputs.rows();
                Ok(())
            };
            session.outputs(&alone, count).unwrap();
            assert_eq!(rows, ROWS);
            let with_targets = session.upload(unscaled(&data), &none).unwrap();
            assert!(session.evaluate(&with_targets).unwrap().loss.is_finite());
        }
    }
}

/// A failed load leaves the previous program and its tensors unchanged.
#[test]
fn a_program_that_does_not_fit_leaves_the_one_before_as_it_was() {
    let too_large = || {
        let mut program = Program::new(1);
        program.add("small", Role::Parameter, Extent::Fixed(3), 5);
        // More than any machine or device has.
        program.add("large", Role::Parameter, Extent::Fixed(usize::MAX), 2);
        program
    };
    let wrong = || {
        let mut program = Program::new(1);
        let t = program.add("constant", Role::Constant, Extent::Fixed(1), 3);
        program.constants.push((t, vec![0.0; 4]));
        program
    };
    for device in devices("a program that doesn't fit") {
        for plan in plans() {
            let mut on = On::new(&device, &plan);
            on.run(step()).unwrap();
            let after_one = on.parameters();
            on.run(Step { first: 8, ..step() }).unwrap();
            let after_two = on.parameters();

            let mut on = On::new(&device, &plan);
            on.run(step()).unwrap();
            let error = on.device.load(Arc::new(too_large())).block_on().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Device, "{error}");
            assert!(on.parameters() == after_one);
            refused(
                on.device.load(Arc::new(wrong())).block_on(),
                "4 values for constant, which has 3",
            );
            on.run(Step { first: 8, ..step() }).unwrap();
            assert!(on.parameters() == after_two, "the optimizer's state is there too");
        }
    }
}

/// Bytes instead of numbers give the same results; only images of bytes can be augmented.
#[test]
fn features_are_bytes_where_a_program_augments_them() {
    let shape = [1, 5, 1];
    let mut spec = spec();
    spec.augment = Some(("shift(1)".parse().unwrap(), shape));
    let bytes = Features::U8(Matrix::from_fn(ROWS, 5, |row, col| (row * col) as u8));
    let bytes = Samples { features: Arc::new(bytes), ..samples() };
    for mut device in devices("features as bytes") {
        let plan = plan::plain(&spec, BATCH, Purpose::Train);
        let data = device.start(&plan.program, &samples());
        let routine = plan.program.routines.step.clone();
        refused(device.run(routine.clone(), data, &[step()]).block_on(), "the program takes bytes");
        let data = device.upload(Arc::new(bytes.clone())).block_on().unwrap();
        device.run(routine, data, &[step()]).block_on().unwrap();
    }
}
