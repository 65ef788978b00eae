//! The time of every op of a training step by the device's clock, and every tile of the matrix products.
//!
//!     cargo bench --bench kernels                                  everything, on the CPU backend
//!     cargo bench --bench kernels -- S64 M tiles                   some of it
//!     WGRAD_BENCH_DEVICE=gpu cargo bench --bench kernels -- S64    on an adapter
//!     … --json                                                     a JSON object for each line
//!
//! An op's time is the median over steps of a whole step, each op between two timestamps; on a device
//! without timestamps it is the shortest of several runs of the op alone, by the host's clock. Each
//! line also has the rate in GFLOP/s and GB/s and its fraction of the device's current peak:
//! its fastest matrix product and a copy of 128 MiB.

use pollster::FutureExt as _;
use std::time::{Duration, Instant};
use wgrad::backend::device::{self, Device};
use wgrad::backend::gpu::Gpu;
use wgrad::backend::session::Session;
use wgrad::backend::session::initial_weights;
use wgrad::backend::{Backend, DataId, ValuesMut};
use wgrad::data::{Preprocessing, Scaling};
use wgrad::kernels::Step;
use wgrad::kernels::products::matmul::Form;
use wgrad::kernels::products::tile::{Products, TILES, Tuning, choices};
use wgrad::math::random::Permutation;
use wgrad::net::spec::PlanKind;
use wgrad::plan::{self, Purpose};
use wgrad::train::bench::{CASES, Case, Ceilings, ceilings};

/// The most steps that are measured, in about so many seconds.
const STEPS: f64 = 21.0;
const SECONDS: f64 = 2.0;
/// Without timestamps, an op that takes longer is left out.
const LONGEST: Duration = Duration::from_secs(2);
/// Bytes of the copy that bandwidth is compared with: more than a cache holds.
const COPY_BYTES: f64 = 134_217_728.0;
/// The seconds that a product of the tiles should take, and its largest side.
const PRODUCT_SECONDS: f64 = 2e-3;
const LARGEST: usize = 4096;

/// A step of a case on a device.
struct Bed {
    session: Session,
    data: DataId,
    step: Step,
    /// How long the step took.
    took: Duration,
}

impl Bed {
    /// Loads the step and runs it, so that all tensors hold what they do in training.
    fn new(case: &Case, kind: PlanKind, backend: Box<dyn Backend>) -> wgrad::Result<Option<Self>> {
        let mut spec = case.spec();
        spec.plan = kind;
        let plan = plan::plan(&spec, case.batch, Purpose::Train, backend.traits());
        if kind == PlanKind::Fused && !plan.is_fused() {
            return Ok(None);
        }
        let data = case.data()?;
        let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
        let mut session = Session::new(backend, plan, spec.objective)?;
        session.set_weights(&spec.net, &initial_weights(&spec))?;
        let data = session.upload(preprocessing.samples(&data)?, &preprocessing)?.id;
        let step = Step {
            rows: case.batch as u32,
            order: Permutation::new(case.rows as u32, Some([1, 2])).words(),
            // An update that changes nothing takes as long, and can be repeated for ever.
            lr: 0.0,
            reduction_factor: 1.0 / case.batch as f32,
            corrections: [1.0; 4],
            ..Step::default()
        };
        let mut bed = Bed { session, data, step, took: Duration::ZERO };
        let whole = bed.session.plan().program.routines.step.clone();
        bed.by_clock(whole.clone(), 1)?;
        bed.took = bed.by_clock(whole, 1)?;
        Ok(Some(bed))
    }

    /// The time of so many runs of some ops, by the host's clock.
    fn by_clock(&mut self, ops: std::ops::Range<usize>, count: usize) -> wgrad::Result<Duration> {
        let sums = self.session.plan().sums;
        let steps = vec![self.step; count];
        let backend = self.session.backend_mut();
        let begin = Instant::now();
        backend.run(ops, self.data, &steps).block_on()?;
        backend.read(sums, ValuesMut::F32(&mut [0.0])).block_on()?;
        Ok(begin.elapsed())
    }

    /// Seconds of each op of the step, where it was measured, and by what clock.
    fn op_seconds(&mut self) -> wgrad::Result<(Vec<Option<f64>>, &'static str)> {
        let ops = self.session.plan().program.routines.step.clone();
        let count = (SECONDS / self.took.as_secs_f64()).clamp(1.0, STEPS) as usize;
        let steps = vec![self.step; count];
        let timed =
            self.session.backend_mut().op_seconds(ops.clone(), self.data, &steps).block_on()?;
        if !timed.is_empty() {
            let median = |op: usize| {
                let mut times: Vec<f64> = timed.iter().map(|step| step[op]).collect();
                times.sort_by(f64::total_cmp);
                Some(times[times.len() / 2])
            };
            return Ok(((0..ops.len()).map(median).collect(), "timestamps"));
        }
        let alone = ops.map(|op| -> wgrad::Result<Option<f64>> {
            let once = self.by_clock(op..op + 1, 1)?;
            if once > LONGEST {
                return Ok(None);
            }
            let count = (0.02 / once.as_secs_f64()).clamp(1.0, 64.0) as usize;
            let mut best = f64::INFINITY;
            for _ in 0..5 {
                best = best.min(self.by_clock(op..op + 1, count)?.as_secs_f64() / count as f64);
            }
            Ok(Some(best))
        });
        Ok((alone.collect::<wgrad::Result<_>>()?, "clock"))
    }
}

/// Writes a line: `text`, or the fields as a JSON object.
fn line(json: bool, text: &str, fields: &serde_json::Value) {
    if json { println!("{fields}") } else { println!("{text}") }
}

fn main() -> wgrad::Result<()> {
    let choice: Device =
        std::env::var("WGRAD_BENCH_DEVICE").unwrap_or_else(|_| "cpu".into()).parse()?;
    // Cargo says --bench.
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let json = flags.iter().any(|flag| flag == "--json");
    let chosen = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    for name in &names {
        if name != "tiles" {
            Case::find(name)?;
        }
    }
    let open = || device::open(&choice, None).map(|opened| opened.backend);
    if chosen("tiles") && choice == Device::Gpu {
        tiles(json)?;
    }
    let cases: Vec<&Case> = CASES.iter().filter(|case| chosen(case.name)).collect();
    if cases.is_empty() {
        return Ok(());
    }
    let ceilings = Ceilings::measure(COPY_BYTES, &open)?;
    let device = open()?.info().to_string();
    line(
        json,
        &format!(
            "{device}: at best {:.1} GFLOP/s by a matrix product, {:.1} GB/s by a copy",
            ceilings.gflops, ceilings.copy_gigabytes
        ),
        &serde_json::json!({ "event": "ceilings", "device": device, "ceilings": ceilings }),
    );
    for case in cases {
        for kind in [PlanKind::Plain, PlanKind::Fused] {
            if let Some(mut bed) = Bed::new(case, kind, open()?)? {
                ops(json, case, kind, &mut bed, &ceilings)?;
            }
        }
    }
    Ok(())
}

/// Measures the ops of a case's step.
fn ops(
    json: bool,
    case: &Case,
    kind: PlanKind,
    bed: &mut Bed,
    ceilings: &Ceilings,
) -> wgrad::Result<()> {
    let (seconds, clock) = bed.op_seconds()?;
    let program = &bed.session.plan().program;
    for (op, seconds) in program.ops[program.routines.step.clone()].iter().zip(seconds) {
        let text = program.describe(op);
        let text: Vec<&str> =
            text.split(" = ").next().unwrap_or_default().split_whitespace().collect();
        let (text, plan) = (text.join(" "), kind.name());
        let name = format!("{}/{plan}/{text}", case.name);
        let Some(seconds) = seconds else {
            line(
                json,
                &format!("{name}: left out, it takes more than {LONGEST:?}"),
                &serde_json::json!({ "event": "op", "case": case.name, "plan": plan, "op": text }),
            );
            continue;
        };
        let elements = |t| program.range(t, case.batch).len();
        let bytes = 4.0 * program.uses(op).iter().map(|(t, _)| elements(*t)).sum::<usize>() as f64;
        let (gflops, gigabytes) =
            (program.flops(op, case.batch) / seconds / 1e9, bytes / seconds / 1e9);
        line(
            json,
            &format!(
                "{name}: {:.1} µs; {gflops:.1} GFLOP/s, {:.0}% of the best product; {gigabytes:.1} GB/s, {:.0}% of a copy",
                seconds * 1e6,
                100.0 * gflops / ceilings.gflops,
                100.0 * gigabytes / ceilings.copy_gigabytes
            ),
            &serde_json::json!({
                "event": "op", "case": case.name, "plan": plan, "op": text, "clock": clock,
                "seconds": seconds, "gflops": gflops, "gigabytes": gigabytes,
            }),
        );
    }
    Ok(())
}

/// GFLOP/s of square products by each tile, in the forms of the forward pass (nt), of δ (nn) and of the
/// weights' gradient (tn), so large that one takes a few milliseconds.
fn tiles(json: bool) -> wgrad::Result<()> {
    let gpu = |tuning: Tuning| -> wgrad::Result<Box<dyn Backend>> {
        let mut gpu = Gpu::open(0)?;
        gpu.set_tuning(tuning);
        Ok(Box::new(gpu))
    };
    let mut n = 256;
    let default = || gpu(Tuning::default());
    while n < LARGEST && ceilings::product(Form::Nt, [n; 3], &default)? < PRODUCT_SECONDS {
        n *= 2;
    }
    let products = Products::new(&[([n; 3], [n; 2])]);
    for choice in choices(&products, None) {
        let tuning =
            || Tuning { choices: [(products.clone(), choice)].into(), ..Tuning::default() };
        let mut gflops = [0.0; 3];
        for (gflops, form) in gflops.iter_mut().zip([Form::Nt, Form::Nn, Form::Tn]) {
            let seconds = ceilings::product(form, [n; 3], &|| gpu(tuning()))?;
            *gflops = 2.0 * (n as f64).powi(3) / seconds / 1e9;
        }
        let (tile, [nt, nn, tn]) = (TILES[choice].to_string(), gflops);
        line(
            json,
            &format!("tile {tile}, n = {n}: nt {nt:.1}, nn {nn:.1}, tn {tn:.1} GFLOP/s"),
            &serde_json::json!({ "event": "tile", "tile": tile, "n": n, "nt": nt, "nn": nn, "tn": tn }),
        );
    }
    Ok(())
}
