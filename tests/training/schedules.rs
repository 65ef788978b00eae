//! Schedules of the learning rate: against PyTorch's, and as applied in a training run.

use serde::Deserialize;
use wgrad::backend::Backend;
use wgrad::backend::cpu::Cpu;
use wgrad::data::{Dataset, Features, Preprocessing, Targets};
use wgrad::math::matrix::Matrix;
use wgrad::math::schedule::{Length, Plateau, Schedule, Span};
use wgrad::net::spec::{Net, Spec};
use wgrad::train::event::{Epoch, Flow, Observer};
use wgrad::{Activation, Loss, Optimizer, Trainer};

#[derive(Deserialize)]
struct Golden {
    steps: u64,
    epoch: u64,
    cases: Vec<Case>,
    losses: Vec<f64>,
    plateaus: Vec<OnPlateau>,
}

#[derive(Deserialize)]
struct Case {
    schedule: Schedule,
    warmup: Span,
    rates: Vec<f64>,
}

#[derive(Deserialize)]
struct OnPlateau {
    schedule: Schedule,
    rates: Vec<f64>,
}

fn golden() -> Golden {
    let path = format!("{}/tests/golden/schedules.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn twenty_four_steps_of_every_schedule_are_those_of_pytorch() {
    let golden = golden();
    for schedule in Schedule::ALL {
        let named = |s: &Schedule| s.name() == schedule.name();
        let on_plateaus = golden.plateaus.iter().map(|case| &case.schedule);
        let mut all = golden.cases.iter().map(|case| &case.schedule).chain(on_plateaus);
        assert!(all.any(named), "{} has golden numbers", schedule.name());
    }
    let length = Length { total: golden.steps, epoch: golden.epoch };
    for Case { schedule, warmup, rates } in golden.cases {
        for (done, rate) in (0..).zip(rates) {
            let found = schedule.factor(warmup, done, length);
            // PyTorch multiplies its way from step to step.
            assert!((found - rate).abs() < 1e-12, "{schedule}, step {done}: {found}, not {rate}");
        }
    }
    for OnPlateau { schedule, rates } in golden.plateaus {
        let mut plateau = Plateau::default();
        for (rate, &loss) in rates.iter().zip(&golden.losses) {
            assert_eq!(plateau.factor(schedule), *rate, "{schedule} before {loss}");
            plateau.take(schedule, loss);
        }
    }
}

/// 60 rows of a plane with some noise.
fn plane() -> Dataset {
    let features = Matrix::from_fn(60, 2, |r, c| ((r * (3 + 4 * c)) % 11) as f32 / 11.0);
    let targets = Matrix::from_fn(60, 1, |r, _| features.row(r)[0] + ((r * 7) % 5) as f32 / 10.0);
    Dataset::new("plane", Features::F32(features), Targets::from(targets)).unwrap()
}

fn spec(schedule: &str, warmup: &str) -> Spec {
    let net = Net::new(2).layer(4, Activation::Tanh).layer(1, Activation::Identity);
    let mut spec = Spec::new(net, Loss::SquaredError).optimizer(Optimizer::Sgd).epochs(8);
    (spec.schedule, spec.warmup) = (schedule.parse().unwrap(), warmup.parse().unwrap());
    (spec.lr, spec.batch_size) = (0.25, 20);
    spec
}

fn cpu() -> Box<dyn Backend> {
    Box::new(Cpu::<f32>::new(Some(1)).unwrap())
}

/// The rate of the last step of each epoch, and its loss.
#[derive(Default)]
struct Rates {
    rates: Vec<f32>,
    losses: Vec<f64>,
    /// Stops the run after a number of epochs.
    stop_after: Option<usize>,
}

impl Observer for Rates {
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        self.rates.push(epoch.lr);
        self.losses.push(epoch.train_loss);
        Ok(if self.stop_after == Some(epoch.epoch) { Flow::Interrupt } else { Flow::Continue })
    }
}

#[test]
fn a_run_warms_up_and_follows_its_schedule() {
    let data = plane();
    let spec = spec("step(2epochs,0.5)", "1epochs");
    let mut trainer = Trainer::new(&spec, &data, Preprocessing::none(&data), cpu()).unwrap();
    let mut rates = Rates::default();
    trainer.fit(None, &mut rates).unwrap();
    // Three steps an epoch: the warmup ends at 3/4 of the rate.
    let factors = [0.75, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125];
    assert_eq!(rates.rates, factors.map(|factor| 0.25 * factor));
}

#[test]
fn a_run_on_a_plateau_lowers_its_rate_and_goes_on_so_from_a_checkpoint() {
    let data = plane();
    let mut spec = spec("plateau(0.5,0)", "0");
    // A rate at which the loss goes up and down.
    (spec.lr, spec.epochs) = (0.9, 12);
    let new = || Trainer::new(&spec, &data, Preprocessing::none(&data), cpu()).unwrap();
    let (mut whole, mut rates) = (new(), Rates::default());
    whole.fit(None, &mut rates).unwrap();
    let mut plateau = Plateau::default();
    for (rate, &loss) in rates.rates.iter().zip(&rates.losses) {
        assert_eq!(f64::from(*rate), f64::from(0.9f32 * plateau.factor(spec.schedule) as f32));
        plateau.take(spec.schedule, loss);
    }
    let halved = rates.rates.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(halved > 0 && halved < 11, "{:?}", rates.rates);

    let mut first = new();
    first.fit(None, &mut Rates { stop_after: Some(7), ..Rates::default() }).unwrap();
    let checkpoint = first.checkpoint().unwrap();
    let none = Preprocessing::none(&data);
    let mut second = Trainer::resume(&spec, &data, none, cpu(), &checkpoint).unwrap();
    let mut rest = Rates::default();
    second.fit(None, &mut rest).unwrap();
    assert_eq!(rest.rates, rates.rates[7..]);
    assert_eq!(second.weights().unwrap(), whole.weights().unwrap());
}
