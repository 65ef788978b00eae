//! Trainings that are watched, stopped and canceled.

use pollster::FutureExt as _;
use std::sync::{Arc, Mutex, mpsc};
use wgrad::{CancelToken, Classifier, Device, ErrorKind, Flow, Regressor};

fn wave() -> (Vec<f32>, Vec<f32>) {
    let x: Vec<f32> = (0..120).map(|i| (i * 53 % 120) as f32 / 20.0).collect();
    let y = x.iter().map(|x| x.sin()).collect();
    (x, y)
}

#[test]
fn early_stopping_leaves_the_weights_of_the_best_epoch() {
    let (x, y) = wave();
    let (held_x, held_y): (Vec<f32>, Vec<f32>) =
        (0..30).map(|i| i as f32 / 5.0 + 0.03).map(|x| (x, x.sin())).unzip();
    // So high a rate that epochs get worse again.
    let model = Regressor::builder()
        .device(Device::Cpu)
        .hidden_layers([16])
        .learning_rate(0.2)
        .batch_size(8)
        .epochs(200)
        .early_stopping(6)
        .validation_data(&held_x, &held_y)
        .fit(&x, &y)
        .unwrap();
    let losses: Vec<f64> = model.history().iter().map(|e| e.validation_loss.unwrap()).collect();
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let at = losses.iter().position(|loss| *loss == best).unwrap();
    assert!(losses.len() < 200 && losses.len() == at + 7, "best at {at} of {}", losses.len());
    assert!(*losses.last().unwrap() > best);
    let kept: Vec<usize> = model.history().iter().filter(|e| e.is_best).map(|e| e.epoch).collect();
    assert_eq!(kept, [at + 1]);
    let (loss, report) = model.evaluate(&held_x, &held_y).unwrap();
    assert!((loss - best).abs() <= 1e-6 * best, "{loss}, not {best}");
    let predicted = model.predict(&held_x).unwrap();
    let squares = predicted.iter().zip(&held_y).map(|(p, y)| f64::from(p - y).powi(2));
    let rmse = (squares.sum::<f64>() / 30.0).sqrt();
    assert!((report.rmse - rmse).abs() < 1e-6 * rmse, "{} {rmse}", report.rmse);
}

#[test]
fn a_callback_sees_every_epoch_and_stops_the_net() {
    let (x, y) = wave();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let model = Regressor::builder()
        .device(Device::Cpu)
        .ensemble(1)
        .epochs(50)
        .callback(move |report| {
            log.lock().unwrap().push((report.net, report.nets, report.epoch, report.epochs));
            if report.epoch == 4 { Flow::Stop } else { Flow::Continue }
        })
        .fit(&x, &y)
        .unwrap();
    let expected: Vec<_> = (1..=4).map(|epoch| (1, 1, epoch, 50)).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(model.history().len(), 4);
}

#[test]
fn an_ensemble_tells_its_nets_apart_and_is_cancelled_as_a_whole() {
    let (x, y) = wave();
    let y: Vec<bool> = y.iter().map(|y| *y > 0.0).collect();
    let builder = || Classifier::builder().device(Device::Cpu).epochs(3).ensemble_by_folds(2);
    let model = builder().fit(&x, &y).unwrap();
    let seen: Vec<_> = model.history().iter().map(|e| (e.net, e.epoch)).collect();
    assert_eq!(seen, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]);
    let token = CancelToken::new();
    token.cancel();
    let error = builder().cancel(token).fit(&x, &y).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    let interrupt = builder().callback(|_| Flow::Interrupt).fit(&x, &y).err().unwrap();
    assert_eq!(interrupt.kind(), ErrorKind::Interrupted);
}

#[test]
fn weights_of_rows_and_missing_values_reach_the_training() {
    let (x, y) = wave();
    let fit = |weights: Option<Vec<f32>>| {
        let builder = Regressor::builder().device(Device::Cpu).epochs(5).ensemble(1);
        let builder = match weights {
            Some(weights) => builder.sample_weight(weights),
            None => builder,
        };
        builder.fit(&x, &y).unwrap().predict(&x).unwrap()
    };
    let half: Vec<f32> = (0..120).map(|i| if i < 60 { 1.0 } else { 0.0 }).collect();
    assert_eq!(fit(None), fit(None));
    assert_ne!(fit(None), fit(Some(half)));
    let gaps: Vec<f32> = x.iter().map(|x| if *x < 0.5 { f32::NAN } else { *x }).collect();
    let builder = Regressor::builder().device(Device::Cpu).epochs(5).missing_values(true);
    let model = builder.fit(&gaps, &y).unwrap();
    assert!(model.predict(&[f32::NAN, 2.0]).unwrap().iter().all(|p| p.is_finite()));
    assert_eq!(model.model().net.inputs, 2, "the value and whether it is missing");
}

#[test]
fn a_training_is_awaited_and_ends_when_its_future_is_dropped() {
    let (x, y) = wave();
    let builder = || Regressor::builder().device(Device::Cpu).ensemble(1).epochs(3);
    let expected = builder().fit(&x, &y).unwrap().predict(&x).unwrap();
    let others = [1, 2].map(|_| builder().fit_async(&x, &y).unwrap());
    for training in others {
        assert_eq!(training.block_on().unwrap().predict(&x).unwrap(), expected);
    }
    assert!(builder().fit_async(&x, &y[1..]).is_err(), "rows are checked at once");
    // The sender is dropped at the end of the training, the receiver reads until then.
    let (sender, epochs) = mpsc::channel();
    let send = move |report: &wgrad::EpochReport| {
        sender.send(report.epoch).unwrap();
        Flow::Continue
    };
    let long = builder().epochs(1_000_000).callback(send).fit_async(&x, &y).unwrap();
    assert_eq!(epochs.recv(), Ok(1));
    drop(long);
    assert!(epochs.iter().count() < 1_000_000 - 1);
}

#[test]
#[should_panic(expected = "by a callback")]
fn the_panic_of_a_callback_reaches_who_awaits() {
    let (x, y) = wave();
    let builder = Regressor::builder().device(Device::Cpu).ensemble(1).epochs(3);
    let training = builder.callback(|_| panic!("by a callback")).fit_async(&x, &y);
    let _ = training.unwrap().block_on();
}
