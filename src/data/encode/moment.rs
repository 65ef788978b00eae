//! Dates and times as inputs: the time itself, and its position in the year, the week and the day.

use crate::data::columns::frame::Values;
use crate::data::columns::texts::{MISSING, Texts};
use crate::data::columns::time::{
    DAY, Dates, has_date, has_time, is_midnight, is_zero_date, part_of_day, part_of_year, seconds,
    seconds_in_any, spelt, weekday,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// A date or time as a number; if the training rows span enough time, also the season as two
/// inputs, the day of the week as seven, and the time of day as two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MomentEncoder {
    /// The format of the texts; none if the file stores moments as such. Texts in another format are
    /// accepted if they are unambiguous.
    pub format: Option<String>,
    /// The mean of the training rows, in seconds since 1970; used for missing moments.
    pub mean: f64,
    /// Their standard deviation in seconds.
    pub deviation: f64,
    /// Whether the season is an input.
    pub year: bool,
    /// Whether the day of the week is an input.
    pub week: bool,
    /// Whether the time of day is an input.
    pub day: bool,
    /// Whether an additional input is 1 if the moment is missing.
    pub indicator: bool,
    /// Texts of the training rows that aren't moments and count as missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl MomentEncoder {
    /// Fits to the moments of the training rows, in seconds since 1970: each with the number of rows
    /// that have it, NaN for missing ones.
    #[must_use]
    pub fn fit(format: Option<&str>, moments: impl Iterator<Item = (f64, usize)> + Clone) -> Self {
        let present = || moments.clone().filter(|(x, rows)| !x.is_nan() && *rows > 0);
        let count = present().map(|(_, rows)| rows as f64).sum::<f64>().max(1.0);
        let mean = present().map(|(x, rows)| x * rows as f64).sum::<f64>() / count;
        let squares: f64 = present().map(|(x, rows)| (x - mean).powi(2) * rows as f64).sum();
        let deviation = (squares / count).sqrt();
        let (first, last) = present()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (x, _)| (a.min(x), b.max(x)));
        let span = last - first;
        let is_date = format.is_none_or(has_date);
        MomentEncoder {
            format: format.map(str::to_string),
            mean,
            deviation: if deviation > 0.0 { deviation } else { 1.0 },
            year: is_date && span > 60.0 * DAY,
            week: is_date && span >= 7.0 * DAY,
            day: present().any(|(x, _)| !is_midnight(x)),
            indicator: moments.clone().any(|(x, rows)| x.is_nan() && rows > 0),
            missing: Vec::new(),
        }
    }

    /// Fits to texts in one format in the training rows: each distinct one is read once. Strays count
    /// as missing.
    pub(super) fn fit_texts(texts: &Texts, rows: &[usize], dates: &Dates) -> Self {
        let Dates { format, strays, .. } = dates;
        let (mut counts, mut missing) = (vec![0; texts.words.len()], 0);
        for &row in rows {
            match texts.codes[row] {
                MISSING => missing += 1,
                code => counts[code as usize] += 1,
            }
        }
        let moment = |word: &str| seconds(word, format).unwrap_or(f64::NAN);
        let mut moments: Vec<(f64, usize)> = texts.words.iter().map(moment).zip(counts).collect();
        moments.push((f64::NAN, missing));
        let fitted = Self::fit(Some(format), moments.iter().copied());
        MomentEncoder { missing: strays.clone(), ..fitted }
    }

    /// The seconds of each row: NaN if missing, infinite if they can't be read.
    pub(super) fn moments(&self, values: &Values) -> Vec<f64> {
        match values {
            Values::Texts(texts) => {
                let words: Vec<f64> = texts.words.iter().map(|word| self.read(word)).collect();
                let of = |&code: &u32| words.get(code as usize).copied().unwrap_or(f64::NAN);
                texts.codes.iter().map(of).collect()
            }
            Values::Times(times) => times.iter().map(|&x| self.taken(x)).collect(),
            // The unit and the origin of a bare number are unknown.
            Values::Numbers(_) | Values::Bytes(_) => {
                let of = |row| if values.is_missing(row) { f64::NAN } else { f64::INFINITY };
                (0..values.len()).map(of).collect()
            }
        }
    }

    /// The seconds of a text: NaN if it means a missing one, infinite if it can't be read.
    fn read(&self, word: &str) -> f64 {
        if is_zero_date(word) || self.missing.iter().any(|text| text == word) {
            return f64::NAN;
        }
        let own = self.format.as_ref().and_then(|format| seconds(word, format));
        let found = own.or_else(|| seconds_in_any(word, |form| self.may_be(form)));
        found.unwrap_or(f64::INFINITY)
    }

    /// Tries that format before all others, if both it and the training rows have dates, or
    /// neither.
    pub(in crate::data) fn read_first(&mut self, format: &str) {
        if has_date(format) == self.is_dated() {
            self.format = Some(format.to_string());
        }
    }

    /// Whether a text in that format has the same content as those of the training rows: a date or none, a zone
    /// or none, the time of day if it is an input, and days and months in the same order.
    fn may_be(&self, form: &str) -> bool {
        let own = self.format.as_deref();
        let has = |part: &str| own.is_none_or(|own| own.contains(part) == form.contains(part));
        let is_turned =
            |[a, b]: [&str; 2]| own.is_some_and(|own| own.contains(a)) && form.contains(b);
        has_date(form) == self.is_dated()
            && has("%#z")
            && (!self.day || has_time(form))
            && !is_turned(["%m/%d", "%d/%m"])
            && !is_turned(["%d/%m", "%m/%d"])
    }

    /// Whether the training rows had dates, not only times of day.
    fn is_dated(&self) -> bool {
        self.format.as_ref().map_or(!(0.0..DAY).contains(&self.mean), |own| has_date(own))
    }

    /// The moment from a file that stores moments; infinite if it has a date but the training rows
    /// had times of day.
    fn taken(&self, x: f64) -> f64 {
        match x.is_nan() || self.is_dated() || (0.0..=DAY).contains(&x) {
            true => x,
            false => f64::INFINITY,
        }
    }

    /// The format that texts should have, for a message.
    pub(super) fn form(&self) -> String {
        let own = self.format.as_deref();
        spelt(own.unwrap_or(match (self.is_dated(), self.day) {
            (true, true) => "%Y-%m-%d %H:%M:%S",
            (true, false) => "%Y-%m-%d",
            (false, _) => "%H:%M:%S",
        }))
    }

    /// The inputs of each distinct text in order, then those of a missing one:
    /// if rows share texts, this is less work than encoding each row.
    pub(super) fn table(&self, values: &Values) -> Option<Vec<f32>> {
        let Values::Texts(texts) = values else { return None };
        if texts.words.len() * 2 > texts.codes.len() {
            return None;
        }
        let width = self.width();
        let mut table = vec![0.0; (texts.words.len() + 1) * width];
        let moments = texts.words.iter().map(|word| self.read(word));
        for (inputs, moment) in table.chunks_exact_mut(width).zip(moments.chain([f64::NAN])) {
            self.write(moment, inputs);
        }
        Some(table)
    }

    /// The number of inputs.
    #[must_use]
    pub fn width(&self) -> usize {
        1 + 2 * usize::from(self.year)
            + 7 * usize::from(self.week)
            + 2 * usize::from(self.day)
            + usize::from(self.indicator)
    }

    /// Writes the inputs of one moment, NaN if it is missing, into zeros. An infinite one gives an
    /// input that isn't a number.
    pub fn write(&self, x: f64, inputs: &mut [f32]) {
        if x.is_infinite() {
            inputs[0] = f32::NAN;
            return;
        }
        if x.is_nan() {
            if self.indicator {
                inputs[self.width() - 1] = 1.0;
            }
            return;
        }
        inputs[0] = ((x - self.mean) / self.deviation) as f32;
        let mut at = 1;
        let mut circle = |is_there: bool, part: f64, at: &mut usize| {
            if is_there {
                let (sin, cos) = (TAU * part).sin_cos();
                inputs[*at..*at + 2].copy_from_slice(&[sin as f32, cos as f32]);
                *at += 2;
            }
        };
        circle(self.year, part_of_year(x), &mut at);
        circle(self.day, part_of_day(x), &mut at);
        if self.week {
            inputs[at + weekday(x)] = 1.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments of a row each.
    fn each(moments: &[f64]) -> impl Iterator<Item = (f64, usize)> + Clone + '_ {
        moments.iter().map(|&x| (x, 1))
    }

    #[test]
    fn a_moment_says_when_in_the_year_the_week_and_the_day() {
        let moments: Vec<f64> = (0..400).map(|d| f64::from(d) * DAY + 0.25 * DAY).collect();
        let encoder = MomentEncoder::fit(None, each(&moments));
        assert_eq!(encoder.width(), 12);
        let mut inputs = vec![0.0; 12];
        encoder.write(0.25 * DAY, &mut inputs);
        assert!(inputs[0] < -1.7 && inputs[1] < 0.01 && inputs[2] > 0.99, "{inputs:?}");
        assert!((inputs[3] - 1.0).abs() < 1e-6, "a quarter of the day is over");
        assert_eq!(inputs[5..12], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], "a Thursday");
    }

    #[test]
    fn texts_that_come_again_have_the_inputs_of_each_row_by_itself() {
        let days = ["2024-02-29", "2023-07-04", "2024-12-31", ""];
        let texts: Texts =
            (0..20).map(|i| Some(days[i * 7 % 4]).filter(|text| !text.is_empty())).collect();
        let values = Values::Texts(texts.clone());
        let encoder = MomentEncoder {
            indicator: true,
            ..MomentEncoder::fit(Some("%Y-%m-%d"), each(&[0.0, 1e8]))
        };
        let (table, width) = (encoder.table(&values).unwrap(), encoder.width());
        for (row, moment) in encoder.moments(&values).into_iter().enumerate() {
            let mut inputs = vec![0.0; width];
            encoder.write(moment, &mut inputs);
            let at = (texts.codes[row] as usize).min(texts.words.len()) * width;
            assert_eq!(table[at..at + width], inputs, "row {row}");
        }
    }

    #[test]
    fn texts_are_fitted_as_the_training_rows_have_them() {
        let days = ["2024-02-29", "2023-07-04", "", "2024-12-31"];
        let texts: Texts =
            (0..20).map(|i| Some(days[i * i % 4]).filter(|text| !text.is_empty())).collect();
        let rows: Vec<usize> = (0..20).filter(|row| row % 3 > 0).collect();
        let dates = Dates::of(texts.words.iter().map(|word| (word, 1)), None).unwrap();
        let found = MomentEncoder::fit_texts(&texts, &rows, &dates);
        let all = found.moments(&Values::Texts(texts));
        let chosen: Vec<f64> = rows.iter().map(|&row| all[row]).collect();
        let expected = MomentEncoder::fit(Some("%Y-%m-%d"), each(&chosen));
        assert!((found.mean - expected.mean).abs() < 1e-6 * expected.mean);
        assert!((found.deviation / expected.deviation - 1.0).abs() < 1e-12);
        assert_eq!(
            found,
            MomentEncoder { mean: found.mean, deviation: found.deviation, ..expected }
        );
    }

    #[test]
    fn another_form_is_taken_where_it_says_the_same_and_nothing_else_is_guessed() {
        let year = [0.0, 347.0 * DAY];
        let read = |format: &str, word: &str| {
            let x = MomentEncoder::fit(Some(format), each(&year)).read(word);
            x.is_finite().then_some(x)
        };
        let day = seconds("2024-04-19", "%Y-%m-%d");
        for (format, word) in [
            ("%Y-%m-%d", "19.04.2024"),
            ("%Y-%m-%d", "2024-04-19 00:00:00"),
            ("%Y-%m-%d", "04/19/2024"),
            ("%m/%d/%Y", "2024-04-19"),
            ("%Y-%m-%d", "19.04.24"),
        ] {
            assert_eq!(read(format, word), day, "{word} as {format}");
        }
        for (format, word) in [
            ("%Y-%m-%d", "02/03/2024"),
            ("%m/%d/%Y", "19/04/2024"),
            ("%d/%m/%Y", "04/19/2024"),
            ("%Y-%m-%d", "2024-04-19T00:00:00+02:00"),
            ("%Y-%m-%d", "12:30"),
            ("%H:%M", "2024-04-19"),
            ("%Y-%m-%d", "soon"),
        ] {
            assert_eq!(read(format, word), None, "{word} as {format}");
        }
        let clock = MomentEncoder::fit(Some("%Y-%m-%d %H:%M"), each(&[0.0, 3e7 + 60.0]));
        assert!(clock.read("2024-04-19").is_infinite(), "the time of day is an input");
        let times = Values::Times(vec![1.7e9, 3600.0, f64::NAN]);
        let of_day = MomentEncoder::fit(Some("%H:%M"), each(&[0.0, 60.0]));
        let found = of_day.moments(&times);
        assert!(found[0].is_infinite() && found[1] == 3600.0 && found[2].is_nan(), "{found:?}");
        assert_eq!(
            MomentEncoder::fit(None, each(&[11_000.0 * DAY, 12_000.0 * DAY])).read("2024-04-19"),
            day.unwrap()
        );
        let mut inputs = vec![0.0; of_day.width()];
        of_day.write(found[0], &mut inputs);
        assert!(inputs[0].is_nan(), "nobody takes it for a number");
    }

    #[test]
    fn only_what_varies_is_an_input() {
        let days: Vec<f64> = (0..3).map(|d| f64::from(d) * DAY).collect();
        assert_eq!(MomentEncoder::fit(Some("%Y-%m-%d"), each(&days)).width(), 1);
        let clock = MomentEncoder::fit(Some("%H:%M"), each(&[3600.0, f64::NAN]));
        assert_eq!((clock.year, clock.week, clock.width()), (false, false, 4));
        let mut inputs = [0.0; 4];
        clock.write(f64::NAN, &mut inputs);
        assert_eq!(inputs, [0.0, 0.0, 0.0, 1.0]);
    }
}
