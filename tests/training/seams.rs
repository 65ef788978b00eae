//! Interfaces to other programs: between gradient and update, and on other threads.

use crate::common::{cpu32, gpu};
use pollster::FutureExt as _;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::LayerWeights;
use wgrad::backend::{Backend, Pending, Values, ValuesMut};
use wgrad::base::error::ErrorKind;
use wgrad::data::{Dataset, Preprocessing};
use wgrad::kernels::Step;
use wgrad::math::optim::GradientEdits;
use wgrad::net::spec::{Net, Norm, PlanKind, Spec};
use wgrad::net::stopping::OnDivergence;
use wgrad::plan::Purpose;
use wgrad::train::trainer::Gradients;
use wgrad::{Activation, Error, Loss, Optimizer, Result, Trainer};

fn net() -> Net {
    Net::new(64).layer(12, Activation::Relu).layer(10, Activation::Identity)
}

fn spec(net: Net) -> Spec {
    let mut spec = Spec::new(net, Loss::CrossEntropy).optimizer(Optimizer::Sgd).epochs(2);
    (spec.batch_size, spec.lr) = (32, 0.05);
    spec
}

fn digits() -> Dataset {
    // A ragged last batch.
    wgrad::data::digits().select(&(0..100).collect::<Vec<_>>())
}

fn trainer(spec: &Spec, backend: Box<dyn Backend>) -> Trainer {
    let data = digits();
    Trainer::new(spec, &data, Preprocessing::none(&data), backend).unwrap()
}

/// The weights of a run, with a hook or without.
fn weights(
    spec: &Spec,
    backend: Box<dyn Backend>,
    hook: Option<fn(&mut Gradients<'_>) -> Result<()>>,
) -> Vec<LayerWeights> {
    let mut trainer = trainer(spec, backend);
    if let Some(hook) = hook {
        trainer.set_hook(hook).unwrap();
    }
    trainer.fit(None, &mut ()).unwrap();
    trainer.weights().unwrap()
}

/// Nets and steps for which every plan keeps its gradients in another way.
fn specs() -> Vec<(&'static str, Spec)> {
    let of = |change: &dyn Fn(&mut Spec)| {
        let mut spec = spec(net());
        change(&mut spec);
        spec
    };
    vec![
        ("small", of(&|_| ())),
        ("plain", of(&|s| s.plan = PlanKind::Plain)),
        ("large", spec(Net::new(64).layer(420, Activation::Relu).layer(10, Activation::Identity))),
        ("micro-batches", of(&|s| s.micro_batch = Some(8))),
        ("batch norm", of(&|s| s.net = s.net.clone().norm(Some(Norm::Batch)))),
        ("averaged", of(&|s| s.averaging = wgrad::math::optim::Averaging::Ema { decay: 0.9 })),
    ]
}

#[test]
fn a_hook_that_changes_nothing_changes_no_bit_on_the_cpu() {
    for (name, spec) in specs() {
        let without = weights(&spec, cpu32(2).boxed(), None);
        let with = weights(&spec, cpu32(2).boxed(), Some(|_| Ok(())));
        assert!(with == without, "{name}");
    }
}

/// SGD takes twice the step where the gradient is twice as large, which no rounding changes.
#[test]
fn what_a_hook_makes_of_the_gradients_is_what_the_update_takes() {
    for (name, spec) in specs() {
        let double = Spec { lr: 2.0 * spec.lr, ..spec.clone() };
        let twice = |gradients: &mut Gradients<'_>| -> Result<()> {
            for (name, range) in
                gradients.tensors().map(|(n, r)| (n.to_string(), r)).collect::<Vec<_>>()
            {
                if name.ends_with(".gradient") {
                    gradients.values[range].iter_mut().for_each(|g| *g *= 2.0);
                }
            }
            Ok(())
        };
        let expected = weights(&double, cpu32(1).boxed(), Some(|_| Ok(())));
        assert!(weights(&spec, cpu32(1).boxed(), Some(twice)) == expected, "{name} on the CPU");
        let Some(device) = gpu("hooks") else { continue };
        let expected = weights(&double, device.boxed(), Some(|_| Ok(())));
        assert!(weights(&spec, device.boxed(), Some(twice)) == expected, "{name} on a GPU");
    }
}

#[test]
fn a_hook_sees_each_batch_once_with_all_its_tensors() {
    let mut spec = spec(net().norm(Some(Norm::Batch)));
    spec.edits = GradientEdits { clip_global_norm: Some(1.0), ..GradientEdits::default() };
    for backend in [Some(cpu32(2)), gpu("what hooks see")].into_iter().flatten() {
        let mut trainer = trainer(&spec, backend.boxed());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let hook = move |gradients: &mut Gradients<'_>| -> Result<()> {
            let weight = gradients.place("layers.0.weight.gradient").unwrap();
            assert_eq!(weight.len(), 64 * 12);
            let largest = |range: std::ops::Range<usize>| {
                gradients.values[range].iter().fold(0.0_f32, |most, g| most.max(g.abs()))
            };
            let running = gradients.place("layers.0.norm.running").unwrap();
            assert_eq!(running.len(), 2 * 12);
            assert!(largest(weight) > 0.0 && largest(running) > 0.0);
            notes.lock().unwrap().push((gradients.step.t, gradients.step.rows));
            Ok(())
        };
        trainer.set_hook(hook).unwrap();
        trainer.fit(None, &mut ()).unwrap();
        let expected: Vec<_> = (0..8).map(|t| (t, if t % 4 == 3 { 4 } else { 32 })).collect();
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

#[test]
fn an_error_of_a_hook_ends_the_run_and_late_hooks_are_refused() {
    let mut trainer = trainer(&spec(net()), cpu32(1).boxed());
    trainer.set_hook(|_| Err(Error::failed("rank 3 is gone"))).unwrap();
    let error = trainer.fit(None, &mut ()).unwrap_err().to_string();
    assert!(error.contains("rank 3 is gone"), "{error}");
    let mut late = self::trainer(&spec(net()), cpu32(1).boxed());
    late.run_steps(1).unwrap();
    assert!(late.set_hook(|_| Ok(())).is_err());
    let by_host = Spec { batch_size: 100, ..spec(net()).optimizer(Optimizer::Lbfgs) };
    assert!(self::trainer(&by_host, cpu32(1).boxed()).set_hook(|_| Ok(())).is_err());
}

/// The hook is called for no step twice, the error is that of a run without one, and good weights are left.
#[test]
fn a_run_with_a_hook_that_diverges_stops_without_repeating_a_step() {
    let mut spec = spec(net());
    (spec.lr, spec.epochs) = (1e30, 3);
    let mut trainer = trainer(&spec, cpu32(1).boxed());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let note = move |gradients: &mut Gradients<'_>| -> Result<()> {
        // Between the tensors, too.
        gradients.values.iter_mut().for_each(|g| *g += 1e-3);
        notes.lock().unwrap().push(gradients.step.t);
        Ok(())
    };
    trainer.set_hook(note).unwrap();
    let error = trainer.fit(None, &mut ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, (0..seen.len() as u32).collect::<Vec<_>>());
    let mut around = spec.clone();
    around.stopping.on_divergence = OnDivergence::SkipBatch;
    let error = self::trainer(&around, cpu32(1).boxed()).set_hook(|_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("stops when it diverges"), "{error}");
}

/// A trainer goes to a thread with its device; two train there as one after the other.
#[test]
fn two_devices_train_on_two_threads() {
    let Some(device) = gpu("two devices on two threads") else { return };
    let run = |trainer: Trainer| {
        std::thread::spawn(move || {
            let mut trainer = trainer;
            trainer.fit(None, &mut ()).unwrap();
            trainer.weights().unwrap()
        })
    };
    let alone = [cpu32(1).boxed(), device.boxed()].map(|on| weights(&spec(net()), on, None));
    let threads = [cpu32(1).boxed(), device.boxed()].map(|on| run(trainer(&spec(net()), on)));
    let together = threads.map(|thread| thread.join().unwrap());
    assert!(together == alone);
}

/// Records that a future wants to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The device has much to do first: the read is pending, its thread goes on with other work, and is woken once
/// the values are there.
#[test]
fn a_program_awaits_a_read_without_blocking() {
    if gpu("a read that is awaited").is_none() {
        return;
    }
    let net = Net::new(64).layer(512, Activation::Relu).layer(10, Activation::Identity);
    let data = digits();
    let spec = Spec { batch_size: 100, ..spec(net) };
    let mut device = Gpu::open(0).unwrap();
    let plan = wgrad::plan::plan(&spec, 100, Purpose::Train, device.traits());
    device.load(Arc::new(plan.program.clone())).block_on().unwrap();
    let samples = Preprocessing::none(&data).samples(&data).unwrap();
    let rows = device.upload(Arc::new(samples)).block_on().unwrap();
    let weight = plan.layers[0].weight;
    let expected: Vec<f32> = (0..512 * 64).map(|i| i as f32 / 65_536.0).collect();
    device.write(weight, Values::F32(&expected)).block_on().unwrap();
    // A routine that leaves the weights as they are, many times over.
    let step = Step { rows: 100, ..Step::default() };
    let evaluate = plan.program.routines.evaluate.clone();
    // On a busy machine the device may be done before this thread goes on to poll.
    let was_pending = (0..10).any(|_| {
        device.run(evaluate.clone(), rows, &[step; 200]).block_on().unwrap();
        let mut values = vec![f32::NAN; 512 * 64];
        let polls = polled(device.read(weight, ValuesMut::F32(&mut values)));
        assert!(values == expected);
        polls > 1
    });
    assert!(was_pending, "no first poll came back before the device was done");
}

/// Polls a future to its end, only when it is woken; returns the number of polls.
fn polled(future: Pending<'_>) -> usize {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    let mut polls = 1;
    while future.as_mut().poll(&mut context).map(Result::unwrap).is_pending() {
        // Here a program would do other work.
        while !woken.0.swap(false, Ordering::SeqCst) {
            std::thread::yield_now();
        }
        polls += 1;
    }
    polls
}
