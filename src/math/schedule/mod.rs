//! The learning rate as a pure function of the step; only that for a plateau depends on the loss.

mod momentum;
mod plateau;
mod span;
mod text;

pub use momentum::MomentumCycle;
pub use plateau::Plateau;
pub use span::{Length, Span};

use std::f64::consts::PI;

/// A factor on the learning rate η, by the steps done so far. t: steps done since the warmup, T:
/// all steps after it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Schedule {
    /// 1.
    #[default]
    Constant,
    /// factor^⌊t/every⌋.
    Step {
        /// How long the rate stays constant.
        every: Span,
        /// The factor that is then applied.
        factor: f32,
    },
    /// factor^(t/every), smoothly.
    Exponential {
        /// The factor over a span.
        factor: f32,
        /// The span; all T steps if none.
        every: Option<Span>,
    },
    /// (1 − t/T)^power; a power of 1 is the linear schedule.
    Polynomial(f32),
    /// (1 + cos(π t/T)) / 2 (Loshchilov, Hutter, "SGDR", 2017, without restarts).
    Cosine,
    /// The same over cycles of `first`, `first` · `mult`, `first` · `mult`², … steps, each from 1 on.
    CosineRestarts {
        /// The first cycle.
        first: Span,
        /// The ratio of the length of each cycle to that of the one before.
        mult: u32,
    },
    /// From 1/start to 1 and down to 1/(start · end), along half a cosine each (Smith,
    /// "Super-convergence", 2018): η is the peak. [`MomentumCycle`] moves the momentum the other way.
    OneCycle {
        /// The fraction of the steps before the peak.
        peak: f32,
        /// η divided by the first rate.
        start: f32,
        /// The first rate divided by the last one.
        end: f32,
    },
    /// √(w/(w + t)) with w the steps of the warmup, 1 without one (Vaswani and others, "Attention is
    /// all you need", 2017).
    InverseSqrt,
    /// `factor` for each time that more than `patience` epochs in a row didn't lower the validation
    /// loss, or without validation rows the training loss: see [`Plateau`].
    Plateau {
        /// The factor on the rate.
        factor: f32,
        /// The number of epochs without a lower loss to wait.
        patience: u32,
    },
}

impl Schedule {
    /// Every schedule once, with its default parameters.
    pub const ALL: [Schedule; 9] = [
        Schedule::Constant,
        Schedule::Step { every: Span::Share(0.3), factor: 0.1 },
        Schedule::Exponential { factor: 0.01, every: None },
        Schedule::Polynomial(2.0),
        Schedule::Cosine,
        Schedule::CosineRestarts { first: Span::Share(0.15), mult: 2 },
        Schedule::OneCycle { peak: 0.3, start: 25.0, end: 10_000.0 },
        Schedule::InverseSqrt,
        Schedule::Plateau { factor: 0.3, patience: 3 },
    ];
    /// (1 − t/T).
    pub const LINEAR: Schedule = Schedule::Polynomial(1.0);

    /// The name used in files and on the command line, without parameters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Schedule::Constant => "constant",
            Schedule::Step { .. } => "step",
            Schedule::Exponential { .. } => "exponential",
            Schedule::Polynomial(_) => "polynomial",
            Schedule::Cosine => "cosine",
            Schedule::CosineRestarts { .. } => "cosine-restarts",
            Schedule::OneCycle { .. } => "one-cycle",
            Schedule::InverseSqrt => "inverse-sqrt",
            Schedule::Plateau { .. } => "plateau",
        }
    }

    /// Whether the factor after some steps depends on how many epochs a run has.
    #[must_use]
    pub fn depends_on_length(self) -> bool {
        match self {
            Schedule::Constant | Schedule::InverseSqrt | Schedule::Plateau { .. } => false,
            Schedule::Polynomial(_) | Schedule::Cosine | Schedule::OneCycle { .. } => true,
            Schedule::Step { every: span, .. }
            | Schedule::Exponential { every: Some(span), .. }
            | Schedule::CosineRestarts { first: span, .. } => span.depends_on_length(),
            Schedule::Exponential { every: None, .. } => true,
        }
    }

    /// The factor after `done` steps of a run, after a warmup during which it rises from 1/(w + 1) to
    /// 1 in equal steps (Goyal and others, "Accurate, large minibatch SGD", 2017). The factor of a
    /// plateau is separate: [`Plateau::factor`].
    #[must_use]
    pub fn factor(self, warmup: Span, done: u64, length: Length) -> f64 {
        let warmup = warmup.whole_steps(length).min(length.total);
        match done.checked_sub(warmup) {
            None => (done + 1) as f64 / (warmup + 1) as f64,
            Some(t) => {
                let rest = Length { total: length.total - warmup, ..length };
                self.behind_warmup(t, rest, warmup)
            }
        }
    }

    fn behind_warmup(self, t: u64, length: Length, warmup: u64) -> f64 {
        let progress = (t as f64 / length.total.max(1) as f64).min(1.0);
        match self {
            Schedule::Constant | Schedule::Plateau { .. } => 1.0,
            Schedule::Step { every, factor } => {
                let times = t / every.whole_steps(length).max(1);
                f64::from(factor).powf(times as f64)
            }
            Schedule::Exponential { factor, every } => {
                let period = every.map_or(length.total as f64, |every| every.steps(length));
                f64::from(factor).powf(t as f64 / period.max(1.0))
            }
            Schedule::Polynomial(power) => (1.0 - progress).powf(power.into()),
            Schedule::Cosine => cosine(progress),
            Schedule::CosineRestarts { first, mult } => {
                let (mut within, mut cycle) = (t, first.whole_steps(length).max(1));
                if mult <= 1 {
                    within %= cycle;
                }
                while within >= cycle {
                    within -= cycle;
                    cycle = cycle.saturating_mul(mult.into());
                }
                cosine(within as f64 / cycle as f64)
            }
            Schedule::OneCycle { peak, start, end } => {
                let (low, lowest) =
                    (1.0 / f64::from(start), 1.0 / (f64::from(start) * f64::from(end)));
                let Cycle { rises, height } = one_cycle(peak, t, length.total);
                let foot = if rises { low } else { lowest };
                foot + (1.0 - foot) * height
            }
            Schedule::InverseSqrt => {
                let width = warmup.max(1) as f64;
                (width / (width + t as f64)).sqrt()
            }
        }
    }
}

/// From 1 to 0 along half a cosine.
fn cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (PI * progress).cos())
}

/// The position of a run in its one cycle.
struct Cycle {
    /// Whether it is before the peak.
    rises: bool,
    /// From 0 at the ends to 1 at the peak.
    height: f64,
}

/// After `t` of `total` steps, with the peak after this fraction of them.
fn one_cycle(peak: f32, t: u64, total: u64) -> Cycle {
    let total = total.max(1) as f64;
    let (top, last) = (f64::from(peak) * total - 1.0, total - 1.0);
    let t = (t as f64).min(last);
    match t < top {
        true => Cycle { rises: true, height: 1.0 - cosine(t / top) },
        false => Cycle { rises: false, height: cosine((t - top) / (last - top)) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Length = Length { total: 100, epoch: 10 };
    const NONE: Span = Span::Steps(0);

    #[test]
    fn what_depends_on_the_length_of_a_run_is_known() {
        let longer = Length { total: 250, ..RUN };
        let differs = |schedule: Schedule, warmup: Span| {
            let factor = |step, length| schedule.factor(warmup, step, length);
            (0..100).any(|step| factor(step, RUN) != factor(step, longer))
        };
        let others = ["step(2epochs,0.5)", "exponential(0.5,30)", "cosine-restarts(20,2)"];
        for schedule in Schedule::ALL.into_iter().chain(others.map(|text| text.parse().unwrap())) {
            let steps = Span::Steps(7);
            assert_eq!(schedule.depends_on_length(), differs(schedule, steps), "{schedule}");
        }
        assert!(Span::Share(0.1).depends_on_length());
        assert!(differs(Schedule::Constant, Span::Share(0.1)));
    }

    #[test]
    fn schedules_start_and_end_where_they_should() {
        let ends = [
            ("constant", 1.0, 1.0),
            ("linear", 1.0, 0.0),
            ("step(25,0.5)", 1.0, 0.0625),
            ("step(0.5,0.1)", 1.0, 0.01),
            ("exponential(0.01)", 1.0, 0.01),
            ("exponential(0.5,2epochs)", 1.0, 1.0 / 32.0),
            ("polynomial(2)", 1.0, 0.0),
            ("cosine", 1.0, 0.0),
            ("cosine-restarts(50,1)", 1.0, 1.0),
            ("one-cycle(0.3,10,100)", 0.1, 0.001),
            ("inverse-sqrt", 1.0, 1.0 / 101f64.sqrt()),
            ("plateau", 1.0, 1.0),
        ];
        for (text, first, last) in ends {
            let schedule: Schedule = text.parse().unwrap();
            let found = [0, 100].map(|done| schedule.factor(NONE, done, RUN));
            assert!((found[0] - first).abs() < 1e-6, "{text}: {found:?}");
            assert!((found[1] - last).abs() < 1e-6, "{text}: {found:?}");
        }
    }

    #[test]
    fn a_warm_up_rises_to_one_and_the_rest_follows() {
        for schedule in Schedule::ALL {
            let factor = |done| schedule.factor(Span::Share(0.2), done, RUN);
            assert!((factor(0) - 1.0 / 21.0).abs() < 1e-12);
            assert!((factor(19) - 20.0 / 21.0).abs() < 1e-12);
            let rest = Length { total: 80, epoch: 10 };
            if schedule != Schedule::InverseSqrt {
                assert_eq!(factor(50), schedule.factor(NONE, 30, rest), "{schedule}");
            }
            assert!(schedule.factor(Span::Epochs(20.0), 99, RUN) < 1.0, "all of it is warmup");
        }
        let sqrt = |done| Schedule::InverseSqrt.factor(Span::Steps(16), done, RUN);
        assert!((sqrt(16) - 1.0).abs() < 1e-12 && (sqrt(64) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn no_length_of_a_run_makes_a_factor_of_nan() {
        for schedule in Schedule::ALL {
            for total in 0..4 {
                for done in 0..6 {
                    for warmup in [NONE, Span::Steps(2), Span::Share(0.5)] {
                        let factor = schedule.factor(warmup, done, Length { total, epoch: 1 });
                        assert!((0.0..=1.0).contains(&factor), "{schedule}: {factor}");
                    }
                }
            }
        }
    }
}
