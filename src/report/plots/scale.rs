//! From values to places along an axis.

use crate::base::words::short;

/// The most steps between ticks.
const STEPS: f64 = 5.0;
/// From this ratio of the largest to the least value on, losses are drawn on a logarithmic axis.
const WIDE: f64 = 50.0;

/// The values along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    is_share: bool,
}

impl Scale {
    /// Exactly from `low` to `high`.
    pub fn exact(low: f64, high: f64) -> Self {
        let (low, high) = match high > low {
            true => (low, high),
            // A single value is centered.
            false => (low - low.abs().max(1.0) / 2.0, low + low.abs().max(1.0) / 2.0),
        };
        Scale { low, high, is_log: false, is_share: false }
    }

    /// From 0 to 1, written as percent.
    pub fn share() -> Self {
        Scale { low: 0.0, high: 1.0, is_log: false, is_share: true }
    }

    /// The same, with its values written as percent.
    pub fn percent(self) -> Self {
        Scale { is_share: true, ..self }
    }

    /// Around these values, to ticks that are whole.
    pub fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ends(values);
        let exact = Self::exact(low, high);
        let step = exact.step();
        let low = (exact.low / step + 1e-9).floor() * step;
        let high = (exact.high / step - 1e-9).ceil() * step;
        if low.is_finite() && high.is_finite() { Scale { low, high, ..exact } } else { exact }
    }

    /// Around these values and 0.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        Self::around(values.chain([0.0]))
    }

    /// Around losses: on a logarithmic axis if they are positive and far apart.
    pub fn of_losses(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = ends(values.clone());
        match low > 0.0 && high / low > WIDE {
            true => {
                let low = 10f64.powf(low.log10().floor().max(-300.0));
                let high = 10f64.powf(high.log10().ceil().min(300.0));
                Scale { low, high, is_log: true, is_share: false }
            }
            false if low >= 0.0 => Self::from_zero(values),
            false => Self::around(values),
        }
    }

    /// Whether it is logarithmic.
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    /// The position of a value, from 0 to 1; values beyond are clamped.
    pub fn at(&self, x: f64) -> f64 {
        let place = match self.is_log {
            true => (x.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
            // Halved, so that no difference overflows.
            false => (x / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0),
        };
        if place.is_nan() { 0.5 } else { place.clamp(0.0, 1.0) }
    }

    /// 1, 2 or 5 times a power of ten.
    fn step(&self) -> f64 {
        let rough = (self.high / STEPS - self.low / STEPS).max(f64::MIN_POSITIVE);
        let power = 10f64.powf(rough.log10().floor());
        let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|t| t * power >= rough * 0.999);
        times.unwrap_or(10.0) * power
    }

    /// The values that are marked, with their texts.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        if self.is_log {
            let (first, last) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            let every = ((last - first) / 6).max(0) as usize + 1;
            let powers = (first..=last).step_by(every).map(|power| 10f64.powi(power));
            return powers.map(|x| (x, power_text(x))).collect();
        }
        let step = self.step();
        let first = (self.low / step - 1e-6).ceil();
        let count = (self.high / step - first + 1e-6).floor();
        if !(0.0..50.0).contains(&count) {
            return Vec::new();
        }
        (0..=count as usize)
            .map(|i| (first + i as f64) * step)
            .map(|x| (x, self.text(x, step)))
            .collect()
    }

    fn text(&self, x: f64, step: f64) -> String {
        if self.is_share {
            let decimals = if step < 0.01 { 1 } else { 0 };
            return format!("{:.decimals$}%", x * 100.0);
        }
        let largest = self.low.abs().max(self.high.abs());
        if !(1e-4..1e6).contains(&largest) {
            return if x.abs() < step / 2.0 { "0".into() } else { format!("{x:.1e}") };
        }
        let decimals = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
        let x = if x.abs() < step / 2.0 { 0.0 } else { x };
        match (decimals, largest >= 10_000.0) {
            (0, true) if x < 0.0 => format!("−{}", crate::base::words::thousands(-x)),
            (0, true) => crate::base::words::thousands(x),
            _ => format!("{x:.decimals$}").replace('-', "−"),
        }
    }
}

fn power_text(x: f64) -> String {
    if (1e-3..1e5).contains(&x) {
        short(x).trim_end_matches('0').trim_end_matches('.').into()
    } else {
        format!("{x:.0e}")
    }
}

/// The least and the largest finite value; (0, 1) if there is none.
fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|x| x.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_whole_and_enclose_the_values() {
        let scale = Scale::around([0.13, 0.87].into_iter());
        assert_eq!(texts(scale), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(
            (scale.at(0.0), scale.at(1.0), scale.at(0.5), scale.at(7.0)),
            (0.0, 1.0, 0.5, 1.0)
        );
        assert_eq!(texts(Scale::from_zero([25_000.0].into_iter()))[1], "5,000");
        assert_eq!(texts(Scale::around([-3.0, 3.0].into_iter()))[0], "−4");
        assert_eq!(texts(Scale::share())[1], "20%");
    }

    #[test]
    fn losses_far_apart_are_drawn_by_their_logarithms() {
        let scale = Scale::of_losses([5.0, 0.002].into_iter());
        assert!(scale.is_log());
        assert_eq!(texts(scale), ["0.001", "0.01", "0.1", "1", "10"]);
        assert!((scale.at(0.1) - 0.5).abs() < 1e-12);
        assert!(!Scale::of_losses([5.0, 0.0].into_iter()).is_log());
    }

    #[test]
    fn no_values_break_an_axis() {
        for values in [
            vec![],
            vec![f64::NAN],
            vec![3.0, 3.0],
            vec![0.0],
            vec![f64::MIN, f64::MAX],
            vec![1e300, 1.0],
            vec![5e-324, 1e-300],
            vec![1e17, 1e17 + 32.0],
        ] {
            for scale in [
                Scale::around(values.iter().copied()),
                Scale::from_zero(values.iter().copied()),
                Scale::of_losses(values.iter().copied()),
            ] {
                let place = scale.at(values.first().copied().unwrap_or(0.0));
                assert!((0.0..=1.0).contains(&place), "{values:?} {scale:?}");
                assert!(scale.ticks().len() < 60, "{values:?}");
            }
        }
    }
}
