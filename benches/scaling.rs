//! Scaling: samples per second against width, depth, batch and rows.
//!
//!     cargo bench --bench scaling                                  on the CPU backend
//!     cargo bench --bench scaling -- width depth                   some of the sweeps
//!     WGRAD_BENCH_DEVICE=gpu cargo bench --bench scaling           on an adapter
//!     WGRAD_BENCH_OUT=DIR …                                        the directory for the results
//!
//! Writes scaling-BACKEND.svg, a plot of all sweeps, and scaling-BACKEND.md, their figures, into
//! benches/results. A point that is more than 25% slower than the previous one, counted in operations or in samples,
//! is marked as a cliff: benches/RESULTS.md explains it.

use plotters::prelude::*;
use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::backend::device::{self, Device};
use wgrad::data::{Preprocessing, Scaling, StoredWriter};
use wgrad::train::bench::cases::{random_numbers, relu_net};
use wgrad::train::bench::{Bench, step_flops};
use wgrad::train::event::{Flow, Observer, Progress};
use wgrad::train::trainer::Trainer;
use wgrad::{Loss, Optimizer, Spec};

/// Seconds for a point.
const SECONDS: f64 = 0.5;
/// Seconds for a point whose rows come from disk: more than a pass over the most rows takes.
const SECONDS_FROM_DISK: f64 = 4.0;
/// Bytes given to a run whose rows come from disk, a sixteenth of them for a window: 58,000 rows.
const MEMORY: u64 = 64 << 20;
/// Rows that are written to disk at once.
const WRITTEN: usize = 10_000;
/// A sweep ends where a step takes longer, in seconds.
const LONGEST_STEP: f64 = 3.0;
/// A loss of speed between two neighbors that wants an explanation.
const CLIFF: f64 = 0.75;

/// A net, its batch and its data.
struct Point {
    /// What is varied.
    x: usize,
    widths: Vec<usize>,
    batch: usize,
    rows: usize,
}

struct Sweep {
    name: &'static str,
    /// What stays the same.
    about: &'static str,
    points: Vec<Point>,
    /// Whether the operations of a sample grow with x, so that GFLOP/s are what should not fall.
    grows: bool,
    /// Whether rows come from disk.
    from_disk: bool,
}

/// How fast a point is.
struct Pace {
    samples_per_second: f64,
    step_seconds: f64,
    gflops: f64,
}

fn powers_of_two(first: u32, last: u32) -> impl Iterator<Item = usize> {
    (first..=last).map(|e| 1 << e)
}

fn sweeps() -> [Sweep; 5] {
    let width = |x| Point { x, widths: vec![x; 3], batch: 256, rows: 2048 };
    let depth = |x| Point { x, widths: vec![128; x + 1], batch: 256, rows: 16_384 };
    let batch = |x| Point { x, widths: vec![784, 128, 10], batch: x, rows: 65_536 };
    let rows = |x| Point { x, widths: vec![16, 64, 64, 1], batch: 256, rows: x };
    [
        Sweep {
            name: "width",
            about: "n-n-n, B = 256",
            points: powers_of_two(4, 13).map(width).collect(),
            grows: true,
            from_disk: false,
        },
        Sweep {
            name: "depth",
            about: "layers of 128, B = 256",
            points: powers_of_two(0, 6).map(depth).collect(),
            grows: true,
            from_disk: false,
        },
        Sweep {
            name: "batch",
            about: "784-128-10",
            points: powers_of_two(0, 16).map(batch).collect(),
            grows: false,
            from_disk: false,
        },
        Sweep {
            name: "rows",
            about: "16-64-64-1, B = 256",
            points: (3..=7).map(|e| rows(10usize.pow(e))).collect(),
            grows: false,
            from_disk: false,
        },
        Sweep {
            name: "streamed",
            about: "the same, read from disk in windows of 4 MiB",
            points: (4..=7).map(|e| rows(10usize.pow(e))).collect(),
            grows: false,
            from_disk: true,
        },
    ]
}

fn spec(point: &Point) -> Spec {
    let mut spec = Spec::new(relu_net(&point.widths), Loss::SquaredError).optimizer(Optimizer::Sgd);
    spec.batch_size = point.batch;
    spec.lr = 1e-4;
    spec
}

fn measure(point: &Point, choice: &Device) -> wgrad::Result<Pace> {
    let (inputs, outputs) = (point.widths[0], point.widths[point.widths.len() - 1]);
    let data = random_numbers("random", point.rows, inputs, outputs)?;
    let preprocessing = Preprocessing::fit(&data, Scaling::None);
    let backend = device::open(choice, None)?.backend;
    let pace = Bench::start(&spec(point), &data, preprocessing, backend)?.measure(SECONDS)?;
    let [samples_per_second, step_seconds] = [pace.samples_per_second, pace.step_seconds];
    Ok(Pace { samples_per_second, step_seconds, gflops: pace.gflops })
}

/// Ends a run after some time.
struct Until(Instant);

impl Observer for Until {
    fn progress(&mut self, _: &Progress) -> Flow {
        if Instant::now() < self.0 { Flow::Continue } else { Flow::Stop }
    }
}

/// Whole epochs and parts of them, the reading of windows included.
fn measure_from_disk(point: &Point, choice: &Device) -> wgrad::Result<Pace> {
    let (inputs, outputs) = (point.widths[0], point.widths[point.widths.len() - 1]);
    let part = random_numbers("random", WRITTEN, inputs, outputs)?;
    let mut writer = StoredWriter::create()?;
    for _ in 0..point.rows / WRITTEN {
        writer.append(&part)?;
    }
    let set = writer.finish()?.map(Arc::new);
    let set = set.ok_or_else(|| wgrad::Error::data("no rows were written"))?;
    let spec = Spec { epochs: 1 << 20, ..spec(point) };
    let backend = device::open(choice, None)?.backend;
    let preprocessing = Preprocessing::fit(&part, Scaling::None);
    let mut trainer = Trainer::streamed(&spec, set, preprocessing, backend, MEMORY)?;
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(SECONDS_FROM_DISK);
    let steps = trainer.fit(None, &mut Until(end))?.steps as f64;
    let step_seconds = begin.elapsed().as_secs_f64() / steps;
    Ok(Pace {
        samples_per_second: point.batch as f64 / step_seconds,
        step_seconds,
        gflops: step_flops(&spec.net, point.batch) / step_seconds / 1e9,
    })
}

/// The figures of a sweep, as far as the device came.
struct Curve {
    sweep: Sweep,
    paces: Vec<(usize, Pace)>,
    /// Why it ended early.
    end: Option<String>,
}

impl Curve {
    fn measure(sweep: Sweep, choice: &Device) -> Self {
        let (mut paces, mut end) = (Vec::new(), None);
        for point in &sweep.points {
            let measure = if sweep.from_disk { measure_from_disk } else { measure };
            match measure(point, choice) {
                Ok(pace) => {
                    eprintln!(
                        "{} {}: {:.0} samples/s",
                        sweep.name, point.x, pace.samples_per_second
                    );
                    if pace.step_seconds > LONGEST_STEP {
                        end = Some(format!("a step takes more than {LONGEST_STEP} s"));
                    }
                    paces.push((point.x, pace));
                }
                Err(error) => end = Some(error.to_string()),
            }
            if let Some(why) = &end {
                eprintln!("{} ends at {}: {why}", sweep.name, point.x);
                break;
            }
        }
        Curve { sweep, paces, end }
    }

    /// Whether point `i` is a cliff.
    fn is_cliff(&self, i: usize) -> bool {
        let speed = |i: usize| match self.sweep.grows {
            true => self.paces[i].1.gflops,
            false => self.paces[i].1.samples_per_second,
        };
        i > 0 && speed(i) < CLIFF * speed(i - 1)
    }

    fn table(&self) -> String {
        let name = self.sweep.name;
        let mut text = format!(
            "\n**{name}** ({})\n\n| {name} | samples/s | µs a step | GFLOP/s | |\n| ---: | ---: | ---: | ---: | --- |\n",
            self.sweep.about
        );
        for (i, (x, pace)) in self.paces.iter().enumerate() {
            let note = if self.is_cliff(i) { "cliff" } else { "" };
            let _ = writeln!(
                text,
                "| {x} | {:.0} | {:.1} | {:.1} | {note} |",
                pace.samples_per_second,
                pace.step_seconds * 1e6,
                pace.gflops
            );
        }
        if let Some(why) = &self.end {
            let _ = writeln!(text, "\nIt ends here: {}", why.replace('\n', " "));
        }
        text
    }
}

fn plot(file: &Path, title: &str, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(file, (1000, 1100)).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.titled(title, ("sans-serif", 20))?.split_evenly((3, 2));
    for (curve, panel) in curves.iter().zip(&panels) {
        let xs = curve.paces.iter().map(|(x, _)| *x as f64);
        let ys = curve.paces.iter().map(|(_, pace)| pace.samples_per_second);
        let (x_most, y_most) = (xs.clone().fold(2.0, f64::max), ys.clone().fold(2.0, f64::max));
        let (x_least, y_least) = (xs.fold(x_most, f64::min), ys.fold(y_most, f64::min));
        // Whole decades, so that their labels are the ones that are shown.
        let decade = |y: f64, round: fn(f64) -> f64| 10f64.powf(round(y.log10()));
        let (y_least, y_most) = (decade(y_least, f64::floor), decade(y_most, f64::ceil));
        let caption = format!("{}: {}", curve.sweep.name, curve.sweep.about);
        let mut chart = ChartBuilder::on(panel)
            .caption(caption, ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(
                (x_least..x_most * 1.05).log_scale(),
                (y_least..y_most).log_scale(),
            )?;
        chart
            .configure_mesh()
            .x_labels(6)
            .y_labels(6)
            .x_desc(curve.sweep.name)
            .y_desc("samples/s")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0e}"))
            .light_line_style(WHITE)
            .draw()?;
        let points = || curve.paces.iter().map(|(x, pace)| (*x as f64, pace.samples_per_second));
        chart.draw_series(LineSeries::new(points(), &BLUE))?;
        chart.draw_series(points().enumerate().map(|(i, at)| {
            let color = if curve.is_cliff(i) { RED } else { BLUE };
            Circle::new(at, 3, color.filled())
        }))?;
    }
    root.present()?;
    Ok(())
}

/// The processor's name, where the system tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": ")).map(|(_, name)| name.to_string());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).ok();
    let choice: Device = variable("WGRAD_BENCH_DEVICE").unwrap_or_else(|| "cpu".into()).parse()?;
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chosen = sweeps().into_iter();
    let chosen = chosen.filter(|s| asked.is_empty() || asked.iter().any(|a| a == s.name));
    let curves: Vec<Curve> = chosen.map(|sweep| Curve::measure(sweep, &choice)).collect();

    let info = device::open(&choice, None)?.backend.info().clone();
    let out = variable("WGRAD_BENCH_OUT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results"),
        PathBuf::from,
    );
    let software = ["llvmpipe", "swiftshader"].iter().any(|s| info.name.to_lowercase().contains(s));
    let name = if software { "software".into() } else { info.backend.clone() };
    let file = |ending: &str| out.join(format!("scaling-{name}.{ending}"));
    plot(&file("svg"), &info.to_string(), &curves)?;
    let tables: String = curves.iter().map(Curve::table).collect();
    let head = format!("{info}; {}; by `cargo bench --bench scaling`\n", processor());
    std::fs::write(file("md"), head + &tables)?;
    println!("{}", file("svg").display());
    Ok(())
}
