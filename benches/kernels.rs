//! Every op of the plain and of the fused step, over the shapes of the cases S, M, T, H and L.
//!
//!     cargo bench --bench kernels                                on the CPU backend
//!     cargo bench --bench kernels -- M/                          one case only
//!     WGRAD_BENCH_DEVICE=gpu cargo bench --bench kernels -- S64  on an adapter
//!
//! After each line of criterion's stands what the op reaches, in GFLOP/s and GB/s and as a share of
//! what the device does at best just now: its best matrix product and a copy of 128 MiB.

use criterion::Criterion;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use wgrad::backend::device::{self, Choice};
use wgrad::backend::{Backend, DataId, ValuesMut};
use wgrad::bench::{CASES, Case, Ceilings};
use wgrad::data::{Preprocessing, Scaling};
use wgrad::kernels::Step;
use wgrad::plan::{self, Fusion, Purpose};
use wgrad::program::Op;
use wgrad::random::Permutation;
use wgrad::session::Session;
use wgrad::spec::PlanKind;
use wgrad::train::initial_weights;

/// Ops that take longer are left out, with a note: a software adapter needs a minute for one of L's.
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes of the copy that bandwidth is compared with: more than a cache holds.
const COPY_BYTES: f64 = 134_217_728.0;

/// A step of a case on a device, whose ops are run one by one.
struct Bed {
    session: Session,
    data: DataId,
    step: Step,
}

impl Bed {
    /// Loads the step and runs it once, so that all tensors hold what they do in training.
    fn new(case: &Case, kind: PlanKind, backend: Box<dyn Backend>) -> wgrad::Result<Option<Self>> {
        let mut spec = case.spec();
        spec.plan = kind;
        let fusion = backend.fusion(&spec, case.batch);
        if kind == PlanKind::Fused && fusion == Fusion::None {
            return Ok(None);
        }
        let data = case.data()?;
        let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
        let plan = plan::plan(&spec, case.batch, Purpose::Train, fusion);
        let mut session = Session::new(backend, plan, spec.objective)?;
        session.set_weights(&spec.net, &initial_weights(&spec))?;
        let data = session.upload(preprocessing.samples(&data)?, &preprocessing)?.id;
        let step = Step {
            rows: case.batch as u32,
            order: Permutation::new(case.rows as u32, Some([1, 2])).words(),
            // An update that changes nothing takes as long, and can be repeated for ever.
            lr: 0.0,
            loss_scale: 1.0 / case.batch as f32,
            corrections: [1.0; 4],
            ..Step::default()
        };
        let mut bed = Bed { session, data, step };
        let whole = bed.session.plan().program.routines.step.clone();
        bed.session.backend_mut().run(whole, bed.data, &[step])?;
        Ok(Some(bed))
    }

    /// The time of so many runs of op `op`.
    fn time(&mut self, op: usize, count: u64) -> wgrad::Result<Duration> {
        let sums = self.session.plan().sums;
        let steps = vec![self.step; count as usize];
        let backend = self.session.backend_mut();
        let begin = Instant::now();
        backend.run(op..op + 1, self.data, &steps)?;
        backend.read(sums, ValuesMut::F32(&mut [0.0]))?;
        Ok(begin.elapsed())
    }

    /// Its ops, without those that do the same work as one before.
    fn ops(&self) -> Vec<usize> {
        let program = &self.session.plan().program;
        let shape = |op: &Op| {
            let uses = program.uses(op);
            let sizes: Vec<_> = uses
                .iter()
                .map(|(t, _)| (program.tensor(*t).rows, program.tensor(*t).cols))
                .collect();
            (program.describe(op).split("  ").next().map(str::to_owned), sizes)
        };
        let mut seen = HashSet::new();
        program.routines.step.clone().filter(|i| seen.insert(shape(&program.ops[*i]))).collect()
    }
}

fn main() -> wgrad::Result<()> {
    let choice: Choice =
        std::env::var("WGRAD_BENCH_DEVICE").unwrap_or_else(|_| "cpu".into()).parse()?;
    let open = || device::open(&choice, None).map(|opened| opened.backend);
    let ceilings = Ceilings::measure(COPY_BYTES, &open)?;
    println!(
        "{}: at best {:.1} GFLOP/s by a matrix product, {:.1} GB/s by a copy",
        open()?.info(),
        ceilings.gflops,
        ceilings.copy_gigabytes
    );
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let filter: Option<String> = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    for case in &CASES {
        let name = format!("{}/", case.name);
        if filter.as_ref().is_some_and(|f| !name.starts_with(f.as_str()) && !f.starts_with(&name)) {
            continue;
        }
        for kind in [PlanKind::Plain, PlanKind::Fused] {
            let Some(mut bed) = Bed::new(case, kind, open()?)? else { continue };
            for op in bed.ops() {
                measure(&mut criterion, case, kind, &mut bed, op, &ceilings)?;
            }
        }
    }
    criterion.final_summary();
    Ok(())
}

/// Measures op `op` of a case's step.
fn measure(
    criterion: &mut Criterion,
    case: &Case,
    kind: PlanKind,
    bed: &mut Bed,
    op: usize,
    ceilings: &Ceilings,
) -> wgrad::Result<()> {
    let program = &bed.session.plan().program;
    let flops = program.flops(&program.ops[op], case.batch);
    let elements = |t| program.range(t, case.batch).len();
    let uses = program.uses(&program.ops[op]);
    let bytes = 4.0 * uses.iter().map(|(t, _)| elements(*t)).sum::<usize>() as f64;
    let text = program.describe(&program.ops[op]);
    let text: Vec<&str> = text.split(" = ").next().unwrap_or_default().split_whitespace().collect();
    let name = format!("{}/{}/{} {}", case.name, kind.name(), op, text.join(" "));
    bed.time(op, 1)?;
    let first = bed.time(op, 1)?;
    if first > LONGEST {
        println!("{name}: left out, it takes {:.0} s", first.as_secs_f64());
        return Ok(());
    }
    let mut best = f64::INFINITY;
    criterion.bench_function(&name, |bencher| {
        bencher.iter_custom(|count| {
            let took = bed.time(op, count).expect("what ran once runs again");
            best = best.min(took.as_secs_f64() / count as f64);
            took
        });
    });
    let (gflops, gigabytes) = (flops / best / 1e9, bytes / best / 1e9);
    println!(
        "    {gflops:.1} GFLOP/s, {:.0}% of the best product; {gigabytes:.1} GB/s, {:.0}% of a copy\n",
        100.0 * gflops / ceilings.gflops,
        100.0 * gigabytes / ceilings.copy_gigabytes
    );
    Ok(())
}
