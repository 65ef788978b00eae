//! Early stopping, the weights that are kept, and resuming at the same step.

use crate::common::{Shared, cpu32, gpu, random_classes};
use wgrad::Error;
use wgrad::data::{Dataset, Preprocessing};
use wgrad::math::activation::Activation;
use wgrad::math::loss::Loss;
use wgrad::math::optim::Averaging;
use wgrad::net::spec::{Net, Spec};
use wgrad::net::stopping::{Keep, Stopping};
use wgrad::train::event::{Ending, Epoch, Flow, Observer, Progress};
use wgrad::train::trainer::Trainer;

/// Random classes are learned by heart, so that the validation loss soon rises.
fn sets() -> (Dataset, Dataset) {
    (random_classes(60, 5, 3, 1), random_classes(40, 5, 3, 2))
}

fn spec(epochs: usize, stopping: Stopping) -> Spec {
    let net = Net::new(5).layer(24, Activation::Tanh).layer(3, Activation::Identity);
    Spec { batch_size: 8, lr: 0.02, stopping, ..Spec::new(net, Loss::CrossEntropy).epochs(epochs) }
}

fn trainer(spec: &Spec, backend: &Shared) -> Trainer {
    let (training, _) = sets();
    Trainer::new(spec, &training, Preprocessing::none(&training), backend.boxed()).unwrap()
}

/// The losses on the validation rows, epoch by epoch.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn epoch(&mut self, epoch: &Epoch) -> wgrad::Result<Flow> {
        self.0.push(epoch.valid_loss.unwrap());
        Ok(Flow::Continue)
    }
}

fn the_best_epoch_is_kept(backend: &Shared) {
    let (_, validation) = sets();
    let by_loss = || Stopping { metric: Some("loss".into()), ..Stopping::default() };
    let kept = spec(30, Stopping { keep: Keep::Best, ..by_loss() });
    let mut run = trainer(&kept, backend);
    let mut losses = Losses::default();
    run.fit(Some(&validation), &mut losses).unwrap();
    let best = run.best().unwrap().clone();
    let least = losses.0.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses.0[best.epoch - 1], least);
    assert!(best.epoch < 30, "the loss never rose: {:?}", losses.0);
    // The run leaves them in place, as it was asked to.
    assert_eq!(run.evaluate(&validation).unwrap(), best.metrics);
    let restored = run.weights().unwrap();
    assert_eq!(run.model().unwrap().members[0], restored);

    // Checkpoints hold the trained ones nevertheless, as of a run that keeps those.
    let checkpoint = run.checkpoint().unwrap().now;
    assert_eq!(run.weights().unwrap(), restored, "a checkpoint changes nothing");
    assert!(run.restore_best().unwrap());
    assert_eq!(run.weights().unwrap(), restored);
    let mut last = trainer(&spec(30, by_loss()), backend);
    last.fit(Some(&validation), &mut ()).unwrap();
    assert_ne!(last.weights().unwrap(), restored);
    let expected = last.checkpoint().unwrap().now;
    assert_eq!(checkpoint.position, expected.position);
    assert!(checkpoint.tensors == expected.tensors);

    // The same weights as a run that ends there.
    let mut short = trainer(&spec(best.epoch, Stopping::default()), backend);
    short.fit(None, &mut ()).unwrap();
    assert_eq!(short.weights().unwrap(), restored);

    // Patience ends the run so many epochs behind the best of those before.
    let patient = spec(30, Stopping { patience: Some(3), ..by_loss() });
    let mut run = trainer(&patient, backend);
    let end = run.fit(Some(&validation), &mut ()).unwrap();
    assert_eq!(end.ending, Ending::Patience);
    let first = (3..30).find(|&e| (1..4).all(|k| losses.0[e - k + 1] >= losses.0[e - 3])).unwrap();
    let until = losses.0[..=first].iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!((end.epochs, until), (first + 1, losses.0[first - 3]));
    assert!(!run.restore_best().unwrap(), "only compared, not kept");
}

#[test]
fn the_best_epoch_is_kept_on_the_cpu() {
    the_best_epoch_is_kept(&cpu32(2));
}

#[test]
fn the_best_epoch_is_kept_on_the_gpu() {
    if let Some(backend) = gpu("the_best_epoch_is_kept_on_the_gpu") {
        the_best_epoch_is_kept(&backend);
    }
}

/// Ends a run at each step of a list.
struct Ends(Vec<u64>);

impl Observer for Ends {
    fn progress(&mut self, progress: &Progress) -> Flow {
        let before = self.0.len();
        self.0.retain(|&step| step > progress.step);
        if self.0.len() < before { Flow::Interrupt } else { Flow::Continue }
    }
}

#[test]
fn a_run_that_was_interrupted_goes_on_where_it_stopped() {
    let spec = spec(4, Stopping { keep: Keep::Best, ..Stopping::default() });
    let averages = [Averaging::Ema { decay: 0.8 }, Averaging::Swa { fraction: 0.5 }];
    for averaging in averages.into_iter().chain([Averaging::None]) {
        goes_on_where_it_stopped(&Spec { averaging, ..spec.clone() });
    }
}

fn goes_on_where_it_stopped(spec: &Spec) {
    let backend = cpu32(1);
    let (_, validation) = sets();
    let mut whole = trainer(spec, &backend);
    let mut all = Losses::default();
    let end = whole.fit(Some(&validation), &mut all).unwrap();
    let (weights, best) = (whole.weights().unwrap(), whole.best().cloned());
    let expected = whole.checkpoint().unwrap().now;

    let mut run = trainer(spec, &backend);
    let mut ends = Ends(vec![3, 11, 12, 27]);
    let mut endings = Vec::new();
    while run.position().step < end.steps {
        endings.push(run.fit(Some(&validation), &mut ends).unwrap().ending);
    }
    assert!(endings.contains(&Ending::Interrupted), "{endings:?}");
    assert_eq!(run.weights().unwrap(), weights);
    assert_eq!(run.best().cloned(), best);
    assert!(run.checkpoint().unwrap().now == expected);
    assert_eq!(run.weights().unwrap(), weights, "a checkpoint changes nothing");
}

#[test]
fn a_time_limit_ends_a_run_at_the_next_step() {
    let stopping = Stopping { time_limit: Some(1e-9), ..Stopping::default() };
    let mut run = trainer(&spec(1000, stopping), &cpu32(1));
    // Eight steps are an epoch.
    for (steps, epochs) in (1..=9).map(|step| (step, step as usize / 8)) {
        let end = run.fit(None, &mut ()).unwrap();
        assert_eq!((end.ending, end.steps, end.epochs), (Ending::TimeLimit, steps, epochs));
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |stopping: Stopping| -> Error {
        let (training, validation) = sets();
        let made = Trainer::new(
            &spec(2, stopping),
            &training,
            Preprocessing::none(&training),
            cpu32(1).boxed(),
        );
        made.and_then(|mut t| t.fit(Some(&validation), &mut ())).unwrap_err()
    };
    let zero = refused(Stopping { patience: Some(0), ..Stopping::default() });
    assert!(zero.to_string().contains("invalid patience: 0"), "{zero}");
    let metric = Stopping { metric: Some("rmse".into()), keep: Keep::Best, ..Stopping::default() };
    let unknown = refused(metric).to_string();
    assert!(unknown.contains("known: loss, accuracy"), "{unknown}");
    let time = refused(Stopping { time_limit: Some(f64::NAN), ..Stopping::default() });
    assert_eq!(time.kind().exit_code(), 2);
    let mut blind =
        trainer(&spec(2, Stopping { patience: Some(1), ..Stopping::default() }), &cpu32(1));
    let error = blind.fit(None, &mut ()).unwrap_err();
    assert!(error.to_string().contains("need validation data"), "{error}");
}

/// Random classes can only be memorized: the training loss falls below what is possible on unseen rows.
#[test]
fn a_net_that_learns_noise_by_heart_is_told_so() {
    let (training, validation) = sets();
    let findings = |epochs: usize, validation: &Dataset| {
        let mut run = trainer(&spec(epochs, Stopping::default()), &cpu32(1));
        run.fit(Some(validation), &mut ()).unwrap();
        run.findings().unwrap().join("\n")
    };
    let told = findings(300, &validation);
    assert!(told.contains("the net overfits; stop earlier"), "{told}");
    // Neither of a loss that hasn't fallen so far yet, nor where held-out rows agree.
    for found in [findings(2, &validation), findings(300, &training)] {
        assert!(!found.contains("overfits"), "{found}");
    }
}
