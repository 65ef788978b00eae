//! meganeura, on Vulkan through blade, as a contender of `benches/peers/run`. It speaks as the Python
//! peers do (`common.py`), and trains the cases S64 and S128.

#[path = "../../burn/src/data.rs"]
#[allow(dead_code, reason = "burn has more cases")]
mod data;

use meganeura::train::{Optimizer, TrainConfig, Trainer};
use meganeura::{DataLoader, Graph};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const WIDTHS: [usize; 3] = [784, 128, 10];

/// A net of these widths with relu between, and cross-entropy, for batches of `batch` rows. The graph's
/// inputs are called as the data loader calls them.
fn graph(batch: usize) -> Graph {
    let mut g = Graph::new();
    let mut a = g.input("x", &[batch, WIDTHS[0]]);
    let labels = g.input("labels", &[batch, WIDTHS[2]]);
    for (layer, w) in WIDTHS.windows(2).enumerate() {
        let weight = g.parameter(&format!("weight{layer}"), w);
        let bias = g.parameter(&format!("bias{layer}"), &[w[1]]);
        let product = g.matmul(a, weight);
        a = g.bias_add(product, bias);
        if layer + 2 < WIDTHS.len() {
            a = g.relu(a);
        }
    }
    let loss = g.cross_entropy_loss(a, labels);
    g.set_outputs(vec![loss]);
    g
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
    let case = option("--case");
    let batch: usize = option("--size").parse().map_err(|_| "--size is missing")?;
    let seconds: f64 = option("--seconds").parse().unwrap_or(2.0);
    let all = data::mnist(Path::new(&option("--data")))?;

    let mut session = meganeura::build_session(&graph(batch));
    let mut random = StdRng::seed_from_u64(option("--seed").parse().unwrap_or(0));
    for (layer, w) in WIDTHS.windows(2).enumerate() {
        // PyTorch's initialization.
        let r = 1.0 / (w[0] as f32).sqrt();
        let mut draw = |n: usize| (0..n).map(|_| random.random_range(-r..r)).collect::<Vec<f32>>();
        session.set_parameter(&format!("weight{layer}"), &draw(w[0] * w[1]));
        session.set_parameter(&format!("bias{layer}"), &draw(w[1]));
    }
    // The plan has all launches of a step but those of Adam, one for each parameter.
    let plan = session.plan();
    let dispatches = plan.dispatches.len() + plan.param_grad_pairs.len();
    let device = session.device_information().device_name.clone();
    let config =
        TrainConfig { optimizer: Optimizer::adam(1e-3), log_interval: 0, ..TrainConfig::default() };
    let mut trainer = Trainer::new(session, config);

    // Its trainer goes by whole epochs: here of as many steps as are to be timed at once.
    let rows = all.classes.len();
    let loader = |steps: usize| {
        let part = (steps * batch).min(rows);
        let mut labels = vec![0.0; part * WIDTHS[2]];
        for (row, class) in all.classes[..part].iter().enumerate() {
            labels[row * WIDTHS[2] + *class as usize] = 1.0;
        }
        DataLoader::new(all.x[..part * WIDTHS[0]].to_vec(), labels, WIDTHS[0], WIDTHS[2], batch)
    };
    let (mut steps, mut epoch) = (1, 0);
    let mut part = loader(steps);
    let mut train = |part: &mut DataLoader| {
        let begin = Instant::now();
        epoch += 1;
        let stats = trainer.train_epoch(part, epoch);
        (stats.steps as f64 / begin.elapsed().as_secs_f64(), stats.avg_loss)
    };
    // The first step compiles.
    train(&mut part);
    while (steps as f64 / train(&mut part).0) < seconds / 8.0 && 2 * steps * batch <= rows {
        steps *= 2;
        part = loader(steps);
    }
    let mut result = json!({
        "case": case, "contender": "meganeura", "version": "0.3.0", "device": device,
        "dispatches_per_step": dispatches, "warmup_seconds": begin.elapsed().as_secs_f64(),
    });
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let (start, mut rates) = (Instant::now(), Vec::new());
        while rates.len() < 2 || start.elapsed().as_secs_f64() < seconds {
            let (rate, loss) = train(&mut part);
            rates.push(rate * batch as f64);
            result["loss"] = loss.into();
        }
        rates.sort_by(f64::total_cmp);
        result["samples_per_second"] = rates[rates.len() / 2].into();
        println!("{result}");
    }
    Ok(())
}
