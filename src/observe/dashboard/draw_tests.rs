//! The dashboard drawn on terminals in memory.

use super::board::{Action, Board};
use super::draw::{Looks, draw};
use crate::observe::record::tests::epoch;
use crate::train::event::{LayerSample, Progress, Start, StepSample};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// A board of a net that has done some epochs.
fn board(nets: usize) -> Board {
    let mut board = Board::new("runs/digits-1  digits");
    for i in 0..nets {
        let at = board.add(format!("net {}", i + 1));
        let net = &mut board.nets[at];
        net.started(&Start {
            device: "Processor (cpu, f32, 2 threads)".into(),
            backend: "cpu".into(),
            parameters: 10,
            rows: 1000,
            validation_rows: 100,
            batch_size: 10,
            epochs: 30,
            steps_per_epoch: 10,
            from_step: None,
        });
        for e in 1..=20 {
            let mut epoch = epoch();
            (epoch.epoch, epoch.step) = (e, e as u64 * 10);
            (epoch.train_loss, epoch.valid_loss) = (1.0 / e as f64, Some(1.2 / e as f64));
            epoch.metrics = vec![("accuracy", 1.0 - 0.5 / e as f64)];
            net.epoch_ended(&epoch);
        }
        net.progressed(&Progress {
            epoch: 21,
            epochs: 30,
            step: 200,
            steps: 300,
            loss: None,
            samples_per_second: 12345.0,
            seconds_left: 12.0,
        });
        let layer = |i: usize| LayerSample {
            name: format!("layers.{i}"),
            gradient_norm: Some(0.0123 * (i + 1) as f64),
            update_ratio: 1.5e-3,
        };
        net.sampled(&StepSample {
            epoch: 21,
            step: 195,
            gradient_rows: 256,
            layers: vec![layer(0), layer(1)],
            parameters: Vec::new(),
            seconds: 0.0,
        });
    }
    board.holds(123_000_000);
    board.say("a warning");
    board
}

fn drawn(board: &Board, width: u16, height: u16, unicode: bool) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, board, Looks { unicode, color: true })).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..height).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn all_that_is_asked_for_is_on_a_usual_terminal() {
    let text = drawn(&board(1), 100, 30, true);
    for expected in [
        "runs/digits-1",
        "epoch 21/30",
        "12 s left",
        "step 200",
        "12,345 samples/s",
        "rate 0.0010",
        "memory 123 MB, at most 123 MB",
        "Processor (cpu",
        "loss",
        "train 0.0500",
        "valid 0.0600",
        "accuracy 0.9750",
        "learning rate",
        "layers at step 195",
        "‖∂L/∂W‖",
        "‖ΔW‖/‖W‖",
        "layers.1",
        "2.46e-2",
        "1.50e-3",
        "gradient: mean of 256 rows",
        "a warning",
        "p pause",
        "q stop",
    ] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c)), "curves:\n{text}");
}

#[test]
fn ascii_alone_is_enough_and_lines_up() {
    let text = drawn(&board(1), 80, 24, false);
    assert!(text.is_ascii(), "{text}");
    for expected in ["train 0.0500", "accuracy", "layers.0", "|dL/dW|", "p pause"] {
        assert!(text.replace("||", "|").contains(expected), "{expected} in\n{text}");
    }
    assert!(!text.contains('?'), "{text}");
}

#[test]
fn a_narrow_terminal_has_the_curves_and_the_keys() {
    let text = drawn(&board(1), 40, 24, true);
    for expected in ["epoch 21/30", "loss", "accuracy", "layers.0", "p pause", "q stop"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let (one, two, none) = (board(1), board(2), Board::new("nothing yet"));
    for (width, height) in (1..30).flat_map(|n| [(n, n), (n, 60), (200, n), (n * 7, n * 2)]) {
        for board in [&one, &two, &none] {
            drawn(board, width, height, width % 2 == 0);
        }
    }
    let mut fresh = Board::new("x");
    fresh.add("");
    assert!(drawn(&fresh, 80, 24, true).contains("preparing"));
}

#[test]
fn the_state_and_the_net_that_is_shown_are_said() {
    let mut two = board(2);
    two.act(Action::Next);
    two.act(Action::Pause);
    let text = drawn(&two, 100, 30, true);
    assert!(text.starts_with("net 2 (2 of 2)  runs/digits-1"), "{text}");
    assert!(text.contains("paused") && text.contains("p resume") && text.contains("Tab next net"));
    two.act(Action::Stop);
    let text = drawn(&two, 100, 30, true);
    assert!(text.contains("stopping") && text.contains("exit at once"), "{text}");
}
