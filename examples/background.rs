//! Training in a separate thread, canceled by a token: `cargo run --release --example background`.
//!
//! In tokio, `tokio::task::spawn_blocking` replaces `std::thread::spawn`.

use std::sync::mpsc;
use std::thread;
use wgrad::{CancelToken, ErrorKind, Flow, Regressor};

/// Runs the example.
pub fn main() -> wgrad::Result<()> {
    let x: Vec<f32> = (0..200).map(|i| i as f32 / 100.0).collect();
    let y: Vec<f32> = x.iter().map(|x| x * x).collect();

    let cancel = CancelToken::new();
    let (sender, epochs) = mpsc::channel();
    let token = cancel.clone();
    let training = thread::spawn(move || {
        Regressor::builder()
            .epochs(100_000)
            .ensemble(1)
            .cancel(token)
            .callback(move |report| {
                // The receiver is gone once the training is canceled.
                let _ = sender.send(report.epoch);
                Flow::Continue
            })
            .fit(&x, &y)
    });

    // What a user interface would do during the training.
    let third = epochs.iter().find(|epoch| *epoch == 3);
    println!("epoch {third:?} is done: that is enough");
    cancel.cancel();
    match training.join().expect("the training doesn't panic") {
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            println!("{error}");
            Ok(())
        }
        Err(error) => Err(error),
        Ok(_) => panic!("100,000 epochs in no time"),
    }
}
