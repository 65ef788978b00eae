//! The progress display on a terminal.

use super::lines::detour;
use super::narrow::{Part, columns, fit};
use crate::base::error::Result;
use crate::base::words::{duration, short, thousands};
use crate::train::event::{Diverged, Epoch, Flow, Observer, Progress, Start};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// A bar on the terminal behind standard error, with loss, samples per second and time left.
pub struct Bar {
    bar: ProgressBar,
    /// If several runs share a bar: the share of this one.
    part: Option<Share>,
    /// The last loss that was read.
    loss: Option<f64>,
    /// A metric of the last epoch.
    metrics: String,
    /// Its width in cells.
    cells: usize,
    /// The time of the last redraw.
    drawn: Option<Instant>,
}

/// A bar that several runs share.
pub struct Common {
    bar: ProgressBar,
    nets: usize,
}

impl Common {
    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The share of a run in a common bar.
struct Share {
    /// The steps of this run that the bar shows.
    done: u64,
    /// All steps of this run.
    all: u64,
    /// The number of runs.
    nets: usize,
}

/// The most redraws per second: formatting and writing to the terminal should cost less than 1%.
const REDRAWS: u8 = 10;

/// The assumed columns of a terminal that doesn't report them.
const USUAL: usize = 80;
/// Cells of a bar, at most and at least.
const MOST_CELLS: usize = 24;
const LEAST_CELLS: usize = 8;

/// The cells of a bar, 0 for none, and the text after it, so that both fit into `width` columns after
/// a prefix.
fn layout(width: usize, prefix: usize, parts: &[Part]) -> (usize, String) {
    // The last column stays free: some terminals wrap after it.
    let room = width.saturating_sub(prefix + 2);
    let for_bar = if width >= 60 { LEAST_CELLS + 3 } else { 0 };
    let message = fit(parts, Some(room.saturating_sub(for_bar)));
    let cells = room.saturating_sub(message.chars().count() + 3).min(MOST_CELLS);
    (if cells >= LEAST_CELLS { cells } else { 0 }, message)
}

/// Sets the width of a bar.
fn set_cells(bar: &ProgressBar, cells: usize) {
    let template = match cells {
        0 => "{prefix} {wide_msg}".into(),
        cells => format!("{{prefix}} [{{bar:{cells}}}] {{wide_msg}}"),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

impl Default for Bar {
    fn default() -> Self {
        Bar::new()
    }
}

impl Bar {
    /// A bar that is shown when the run begins.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::hidden();
        Bar { bar, part: None, loss: None, metrics: String::new(), cells: 0, drawn: None }
    }

    /// The common bar of `nets` runs, some of them concurrent, which counts the steps of all.
    #[must_use]
    pub fn common(nets: usize) -> Common {
        let bar = ProgressBar::hidden();
        let width = can_redraw().then(columns).flatten();
        let is_wide = width.is_none_or(|width| width >= 2 * MOST_CELLS);
        set_cells(&bar, if is_wide { MOST_CELLS } else { LEAST_CELLS });
        bar.set_prefix(format!("{nets} nets"));
        Common { bar, nets }
    }

    /// The part of one of the runs in a common bar.
    #[must_use]
    pub fn of_one(common: &Common) -> Self {
        Bar {
            bar: common.bar.clone(),
            part: Some(Share { done: 0, all: 0, nets: common.nets }),
            loss: None,
            metrics: String::new(),
            cells: 0,
            drawn: None,
        }
    }

    /// Whether it is time to draw it again.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let pause = Duration::from_secs(1) / u32::from(REDRAWS);
        let is_due = self.drawn.is_none_or(|drawn| now - drawn >= pause);
        if is_due {
            self.drawn = Some(now);
        }
        is_due
    }

    /// A handle with which to write between redraws.
    #[must_use]
    pub fn handle(&self) -> ProgressBar {
        self.bar.clone()
    }

    /// Removes the bar from the terminal.
    pub fn clear(&self) {
        match self.part {
            // A run that ended early has no steps left.
            Some(Share { done, all, .. }) => self.bar.inc(all.saturating_sub(done)),
            None => self.bar.finish_and_clear(),
        }
    }
}

impl Observer for Bar {
    fn start(&mut self, start: &Start) -> Result<()> {
        if let Some(share) = &mut self.part {
            share.done = start.from_step.unwrap_or(0);
            share.all = (start.epochs * start.steps_per_epoch) as u64;
            // All have about as many steps; runs that begin later must not set the bar back.
            let whole = share.all * share.nets as u64;
            self.bar.set_length(whole.max(self.bar.length().unwrap_or(0)));
            self.bar.inc(share.done);
            // What a resumed run has done before tells nothing about the time left.
            self.bar.reset_eta();
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
            return Ok(());
        }
        set_cells(&self.bar, 0);
        self.bar.set_length((start.epochs * start.steps_per_epoch) as u64);
        self.bar.set_prefix(format!("epoch 1/{}", start.epochs));
        self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS));
        Ok(())
    }

    fn progress(&mut self, progress: &Progress) -> Flow {
        self.loss = progress.loss.or(self.loss);
        if !self.is_due() {
            return Flow::Continue;
        }
        if let Some(share) = &mut self.part {
            self.bar.inc(progress.step.saturating_sub(share.done));
            share.done = progress.step;
            // Unknown until the first steps were timed.
            let left = self.bar.eta().as_secs_f64();
            if left > 0.0 {
                self.bar.set_message(format!("{} left", duration(left)));
            }
            return Flow::Continue;
        }
        let prefix = format!("epoch {}/{}", progress.epoch, progress.epochs);
        let parts: [Part; 4] = [
            (0, self.loss.map(|loss| format!("loss {}", short(loss))).unwrap_or_default()),
            (2, self.metrics.clone()),
            (3, format!("{} samples/s", thousands(progress.samples_per_second))),
            (1, format!("{} left", duration(progress.seconds_left))),
        ];
        let (cells, message) = layout(columns().unwrap_or(USUAL), prefix.chars().count(), &parts);
        if cells != self.cells {
            self.cells = cells;
            set_cells(&self.bar, cells);
        }
        self.bar.set_prefix(prefix);
        self.bar.set_message(message);
        self.bar.set_position(progress.step);
        Flow::Continue
    }

    fn diverged(&mut self, diverged: &Diverged) -> Result<()> {
        self.bar.suspend(|| eprintln!("{}", detour(diverged)));
        Ok(())
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<Flow> {
        self.loss = Some(epoch.train_loss);
        // The first metric suffices for a line that should fit 80 columns.
        let first = epoch.metrics.first();
        self.metrics = first.map(|(n, x)| format!("{n} {}", short(*x))).unwrap_or_default();
        Ok(Flow::Continue)
    }
}

/// Whether standard error is a terminal that can move its cursor, as bars need; `TERM=dumb` is one that
/// can't, such as the shell of an editor.
#[must_use]
pub fn can_redraw() -> bool {
    stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drawn_ten_times_a_second_at_most() {
        let mut bar = Bar::new();
        let begin = Instant::now();
        let (mut asked, mut drawn) = (0u32, 0);
        while begin.elapsed() < Duration::from_millis(350) {
            asked += 1;
            drawn += u32::from(bar.is_due());
            std::thread::sleep(Duration::from_millis(1));
        }
        // The first one at once.
        let most = 1 + begin.elapsed().as_millis() as u32 / 100;
        assert!((2..=most).contains(&drawn) && drawn < asked, "{drawn} of {asked}, at most {most}");
    }

    /// The common bar of an ensemble knows how many steps there are in all from the first net on.
    #[test]
    fn a_common_bar_counts_the_steps_of_all_nets() {
        let common = Bar::common(3);
        let start = |from_step| Start {
            device: "CPU".into(),
            backend: "cpu".into(),
            parameters: 10,
            rows: 640,
            validation_rows: 0,
            batch_size: 64,
            epochs: 5,
            steps_per_epoch: 10,
            from_step,
        };
        let at = |step| Progress {
            epoch: 1,
            epochs: 5,
            step,
            steps: 50,
            loss: None,
            samples_per_second: 1.0,
            seconds_left: 1.0,
        };
        let shown = || (common.bar.position(), common.bar.length());
        let mut first = Bar::of_one(&common);
        first.start(&start(None)).unwrap();
        assert_eq!(shown(), (0, Some(150)));
        first.progress(&at(25));
        assert_eq!(shown(), (25, Some(150)));
        let mut second = Bar::of_one(&common);
        second.start(&start(Some(30))).unwrap();
        second.progress(&at(40));
        assert_eq!(shown(), (65, Some(150)));
        for step in 41..48 {
            std::thread::sleep(Duration::from_millis(110));
            second.progress(&at(step));
        }
        let message = common.bar.message();
        assert!(message.ends_with(" left") && !message.starts_with("0.0 s"), "{message}");
        // Those that end early have no steps left.
        first.clear();
        second.clear();
        assert_eq!(shown(), (100, Some(150)));
    }

    #[test]
    fn a_bar_and_its_numbers_fit_the_terminal() {
        let parts: [Part; 4] = [
            (0, "loss 0.0733".into()),
            (2, "accuracy 0.9667".into()),
            (3, "24,999 samples/s".into()),
            (1, "4.7 s left".into()),
        ];
        let of = |width| layout(width, "epoch 21/60".len(), &parts);
        assert_eq!(
            of(120),
            (24, "loss 0.0733  accuracy 0.9667  24,999 samples/s  4.7 s left".into())
        );
        assert_eq!(of(80), (24, "loss 0.0733  accuracy 0.9667  4.7 s left".into()));
        assert_eq!(of(40), (0, "loss 0.0733  4.7 s left".into()));
        for width in 25..200 {
            let (cells, message) = of(width);
            let bar = if cells > 0 { cells + 3 } else { 0 };
            assert!(11 + 1 + bar + message.len() < width, "{width}");
        }
    }
}
