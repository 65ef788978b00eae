//! burn as a contender of `benches/peers/run`. It speaks as the Python peers do (`common.py`).

mod data;
mod net;

use burn::prelude::*;
use net::{Mlp, OnDevice, Training, optimizer};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Widths, optimizer, and the fewest rows of random data.
type Case = (&'static [usize], &'static str, usize);

fn case(name: &str) -> Option<Case> {
    Some(match name {
        "S64" | "S128" => (&[784, 128, 10], "adam", 0),
        "M" => (&[784, 1024, 1024, 10], "adam", 0),
        "T" => (&[32, 64, 64, 64, 64, 16], "adam", 65_536),
        "H" => (&[13, 512, 256, 384, 1], "adamw", 0),
        "L" => (&[4096, 4096, 4096, 4096], "sgd", 2048),
        "cold" => (&[784, 256, 10], "adam", 0),
        _ => return None,
    })
}

/// As in `common.py`, where the reasons stand.
const COLD_LR: f64 = 8e-3;
const COLD_BATCH: usize = 128;
const COLD_EPOCHS: usize = 4;
const COLD_SMOOTHING: f32 = 0.05;
const HELD_OUT: usize = 6000;
const THRESHOLD: f32 = 0.98;

fn device(mode: &str) -> Result<Device, Box<dyn Error>> {
    match mode {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex().autodiff()),
        #[cfg(feature = "cpu")]
        "cpu" => Ok(Device::cpu().autodiff()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(Default::default()).autodiff()),
        #[cfg(feature = "vulkan")]
        "vulkan" => Ok(Device::vulkan(Default::default()).autodiff()),
        _ => Err(format!("this binary has no backend {mode:?}").into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut options: HashMap<String, String> = HashMap::new();
    let mut arguments = std::env::args().skip(1).peekable();
    while let Some(name) = arguments.next() {
        let value = arguments.next_if(|next| !next.starts_with("--")).unwrap_or_default();
        options.insert(name, value);
    }
    let option = |name: &str| options.get(name).cloned().unwrap_or_default();
    let (name, mode) = (option("--case"), option("--mode"));
    let (widths, rule, rows) = case(&name).ok_or(format!("no case {name:?}"))?;
    let batch = option("--size").parse().unwrap_or(COLD_BATCH);
    let directory = option("--data");
    let all = match name.as_str() {
        "H" => data::housing(Path::new(&directory))?,
        "T" | "L" => data::random(rows.max(4 * batch), widths[0], widths[widths.len() - 1]),
        _ => data::mnist(Path::new(&directory))?,
    };
    let device = device(&mode)?;
    let random = StdRng::seed_from_u64(option("--seed").parse().unwrap_or(0));
    let mut result = json!({
        "case": name, "contender": format!("burn-{mode}"), "version": "0.22.1",
    });
    let training = |data: &data::Data| Training {
        net: Mlp::new(widths, &device),
        optimizer: optimizer(rule),
        data: OnDevice::new(data, widths[0], &device),
        batch,
        smoothing: (name == "cold").then_some(COLD_SMOOTHING),
        device: device.clone(),
    };
    if name == "cold" {
        let (accuracy, epochs) = cold(&all, random, &device, training);
        result["accuracy"] = accuracy.into();
        result["epochs"] = epochs.into();
        println!("{result}");
        return Ok(());
    }

    let mut random = random;
    let mut training = training(&all);
    let epoch = all.x.len() / widths[0] / batch;
    let mut steps = |count: usize| {
        let begin = Instant::now();
        let mut loss = None;
        for first in (0..count).step_by(epoch) {
            loss = Some(training.run(epoch.min(count - first), &mut random, |_| 1e-3));
        }
        let loss = loss.map_or(f32::NAN, |loss| loss.into_scalar::<f32>());
        (begin.elapsed().as_secs_f64(), loss)
    };
    // The first steps compile and tune kernels.
    let (_, loss) = steps(10);
    if let Ok(count) = option("--steps").parse() {
        // So many more, for whoever counts their launches in CubeCL's log, which a thread writes.
        steps(count);
        std::thread::sleep(std::time::Duration::from_secs(1));
        return Ok(());
    }
    let mut count = 1;
    let seconds: f64 = option("--seconds").parse().unwrap_or(2.0);
    while steps(count).0 < seconds / 8.0 {
        count *= 2;
    }
    result["warmup_seconds"] = begin.elapsed().as_secs_f64().into();
    result["loss"] = loss.into();
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let (start, mut rates) = (Instant::now(), Vec::new());
        while rates.len() < 2 || start.elapsed().as_secs_f64() < seconds {
            rates.push((count * batch) as f64 / steps(count).0);
        }
        rates.sort_by(f64::total_cmp);
        result["samples_per_second"] = rates[rates.len() / 2].into();
        println!("{result}");
    }
    Ok(())
}

/// Trains until enough of the held-out rows are right: their part, and the epochs.
fn cold(
    all: &data::Data,
    mut random: StdRng,
    device: &Device,
    training: impl Fn(&data::Data) -> Training,
) -> (f32, usize) {
    let total = all.classes.len();
    let mut order: Vec<usize> = (0..total).collect();
    order.shuffle(&mut random);
    let part = |rows: &[usize]| data::Data {
        x: rows.iter().flat_map(|r| &all.x[r * 784..(r + 1) * 784]).copied().collect(),
        classes: rows.iter().map(|r| all.classes[*r]).collect(),
        numbers: Vec::new(),
    };
    let held_out = OnDevice::new(&part(&order[..HELD_OUT]), 784, device);
    let mut training = training(&part(&order[HELD_OUT..]));
    let steps = (total - HELD_OUT) / training.batch;
    let mut accuracy = 0.0;
    for e in 0..COLD_EPOCHS {
        let done = |i: usize| (e * steps + i) as f64 / (COLD_EPOCHS * steps) as f64;
        training.run(steps, &mut random, |i| COLD_LR * (1.0 - done(i)));
        accuracy = held_out.accuracy(&training.net);
        if accuracy >= THRESHOLD {
            return (accuracy, e + 1);
        }
    }
    (accuracy, COLD_EPOCHS)
}
