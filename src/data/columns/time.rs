//! Dates and times in text.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use std::fmt::Write;

/// The number of seconds in a day.
pub(in crate::data) const DAY: f64 = 86_400.0;

/// The formats that are recognized; of two that fit the same texts, the more common one first. In the
/// notation of `chrono`. `%Y` needs four digits; a year of two digits is between 1970 and 2069.
const FORMATS: [&str; 44] = [
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%y",
    "%d.%m.%y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%y",
    "%m/%d/%y %H:%M",
    "%d/%m/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%y",
    "%d/%m/%y %H:%M",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M:%S",
    "%d-%m-%y",
    "%y-%m-%d",
    "%y/%m/%d",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%b %d, %Y",
    "%G-W%V-%u",
    "%G-W%V",
    "%Y%m%d",
    "%Y%m%dT%H%M%S",
    "%Y%m%dT%H%M%S%#z",
    "%H:%M:%S",
    "%H:%M",
];

/// Cells that aren't dates count as mistakes if they are at most this fraction of a column, or one of ten.
const STRAY: f64 = 0.05;

/// The format of a column of dates or times in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::data) struct Dates {
    /// The format.
    pub(in crate::data) format: String,
    /// The texts that don't have this format.
    pub(in crate::data) strays: Vec<String>,
    /// Another format that fits as well but gives other days: month and day swapped.
    pub(in crate::data) rival: Option<&'static str>,
}

impl Dates {
    /// The format of most of some texts, each with the number of its rows: `wanted` if it fits,
    /// otherwise the best known one.
    pub(in crate::data) fn of<'a>(
        words: impl Iterator<Item = (&'a str, usize)> + Clone,
        wanted: Option<&str>,
    ) -> Option<Self> {
        // For texts that aren't dates, the first few suffice.
        let first: Vec<&str> = words.clone().take(8).map(|(word, _)| word).collect();
        let fits_some = |format: &str| first.iter().any(|word| seconds(word, format).is_some());
        let rows: usize = words.clone().map(|(_, rows)| rows).sum();
        let most = ((STRAY * rows as f64) as usize).max(usize::from(rows >= 10));
        let strays = |format: &str| -> Option<(usize, Vec<String>)> {
            let (mut count, mut strays) = (0, Vec::new());
            for (word, rows) in words.clone() {
                if seconds(word, format).is_none() {
                    count += rows;
                    if count > most {
                        return None;
                    }
                    strays.push(word.to_string());
                }
            }
            Some((count, strays))
        };
        if let Some(format) = wanted.filter(|format| fits_some(format))
            && let Some((_, strays)) = strays(format)
        {
            return Some(Dates { format: format.into(), strays, rival: None });
        }
        let mut best: Option<(usize, Dates)> = None;
        for format in FORMATS.iter().filter(|format| fits_some(format)) {
            let Some((count, strays)) = strays(format) else { continue };
            match &mut best {
                Some((least, dates)) if *least == count => {
                    let differs =
                        |(w, _): (&str, usize)| seconds(w, &dates.format) != seconds(w, format);
                    if words.clone().any(differs) {
                        dates.rival = Some(format);
                    }
                }
                Some((least, _)) if *least < count => {}
                best => {
                    *best = Some((count, Dates { format: (*format).into(), strays, rival: None }));
                }
            }
        }
        best.map(|(_, dates)| dates)
    }
}

/// Whether a format contains a date, not only a time of day.
pub(in crate::data) fn has_date(format: &str) -> bool {
    ["%Y", "%y", "%G"].iter().any(|year| format.contains(year))
}

/// Whether a format contains a time of day.
pub(in crate::data) fn has_time(format: &str) -> bool {
    ["%H", "%I"].iter().any(|hour| format.contains(hour))
}

/// Whether a text is a date or time format that `chrono` can read.
pub(super) fn is_format(format: &str) -> bool {
    let known = StrftimeItems::new(format).all(|item| !matches!(item, Item::Error));
    let moment = NaiveDate::from_ymd_opt(2024, 1, 31).and_then(|day| day.and_hms_opt(13, 59, 58));
    // `%#z` is for reading only.
    let written = format.replace("%#z", "%z");
    known
        && moment.is_some_and(|moment| {
            let mut text = String::new();
            let is_written = write!(text, "{}", moment.and_utc().format(&written)).is_ok();
            is_written && seconds(&text, format).is_some()
        })
}

/// Whether a text is a date of zeros, as some databases write a missing one.
pub(in crate::data) fn is_zero_date(text: &str) -> bool {
    ["0000-00-00", "00.00.0000", "00/00/0000", "0000/00/00"].iter().any(|z| text.starts_with(z))
}

/// Seconds since 1970-01-01 00:00 of a text in that format; for a time of day, since midnight.
pub(in crate::data) fn seconds(text: &str, format: &str) -> Option<f64> {
    let text = text.trim();
    let of = |t: NaiveDateTime| {
        let time = t.and_utc();
        let seconds = time.timestamp() as f64 + f64::from(time.timestamp_subsec_nanos()) * 1e-9;
        // `chrono` takes years of any number of digits.
        (1000..10_000).contains(&t.year()).then_some(seconds)
    };
    match (has_date(format), has_time(format)) {
        _ if format.contains("%#z") => {
            DateTime::parse_from_str(text, format).ok().and_then(|t| of(t.naive_utc()))
        }
        (true, true) => NaiveDateTime::parse_from_str(text, format).ok().and_then(of),
        (true, false) => {
            let date = match format {
                // A week begins on its Monday.
                "%G-W%V" => NaiveDate::parse_from_str(&format!("{text}-1"), "%G-W%V-%u"),
                _ => NaiveDate::parse_from_str(text, format),
            };
            of(date.ok()?.and_time(NaiveTime::MIN))
        }
        (false, _) => {
            let time = NaiveTime::parse_from_str(text, format).ok()?;
            Some((time - NaiveTime::MIN).num_seconds() as f64)
        }
    }
}

/// Whether whole numbers are all days written as `20240131`, more than one of them.
pub(in crate::data) fn are_compact_days(mut numbers: impl Iterator<Item = f64>) -> bool {
    let mut seen = None;
    let mut differ = false;
    let all = numbers.all(|x| {
        differ |= seen.is_some_and(|first: f64| first != x);
        seen.get_or_insert(x);
        let n = x as u32;
        let (year, month, day) = (n / 10_000, n / 100 % 100, n % 100);
        f64::from(n) == x
            && (1800..2200).contains(&year)
            && NaiveDate::from_ymd_opt(year as i32, month, day).is_some()
    });
    all && differ
}

/// Seconds of a text in any of the known formats that `may_be` allows; none if two of them give different
/// values, as for 02/03/2024.
pub(in crate::data) fn seconds_in_any(text: &str, may_be: impl Fn(&str) -> bool) -> Option<f64> {
    let mut found = FORMATS.iter().filter(|f| may_be(f)).filter_map(|f| seconds(text, f));
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// The notation of `chrono`, and that of people.
const SPELLINGS: [(&str, &str); 14] = [
    ("%Y", "YYYY"),
    ("%y", "YY"),
    ("%m", "MM"),
    ("%d", "DD"),
    ("%b", "Mon"),
    ("%H", "hh"),
    ("%I", "hh"),
    ("%M", "mm"),
    ("%S", "ss"),
    ("%.f", ""),
    ("%#z", "+hh:mm"),
    ("%p", "AM"),
    ("%G-W%V", "YYYY-Www"),
    ("%u", "D"),
];

/// A format as people write it, such as YYYY-MM-DD.
pub(in crate::data) fn spelt(format: &str) -> String {
    let week = format.replace("%G-W%V", "YYYY-Www");
    SPELLINGS.iter().fold(week, |text, (code, letters)| text.replace(code, letters))
}

/// The format written as DD/MM/YYYY hh:mm, in the notation of `chrono`.
pub(super) fn strftime(text: &str) -> String {
    let hours = ["+hh:mm", "hh:mm:ss", "HH:MM:SS", "hh:mm", "HH:MM"];
    let codes = ["%#z", "%H:%M:%S", "%H:%M:%S", "%H:%M", "%H:%M"];
    let times = hours.iter().zip(codes).fold(text.to_string(), |t, (from, to)| t.replace(from, to));
    let dates = [("YYYY", "%Y"), ("YY", "%y"), ("MM", "%m"), ("Mon", "%b"), ("DD", "%d")];
    dates.iter().fold(times, |text, (letters, code)| text.replace(letters, code))
}

/// Whether a moment is in the year 2999 or 9999: later than anything but a mark for a missing one.
pub(in crate::data) fn is_far_future(seconds: f64) -> bool {
    let year = 1970.0 + (seconds / (365.2425 * DAY)).floor();
    year == 2999.0 || year >= 9999.0
}

/// The fraction of its year that has passed at a moment, from 0 to below 1.
pub(in crate::data) fn part_of_year(seconds: f64) -> f64 {
    (seconds / (365.2425 * DAY)).rem_euclid(1.0)
}

/// The day of the week, Monday being 0.
pub(in crate::data) fn weekday(seconds: f64) -> usize {
    ((seconds / DAY).floor() + 3.0).rem_euclid(7.0) as usize
}

/// Whether a moment is the beginning of a day.
pub(in crate::data) fn is_midnight(seconds: f64) -> bool {
    let days = seconds / DAY;
    // Rounded through an integer: on plain x86-64, `trunc` is a function call.
    (days as i64) as f64 == days
}

/// The fraction of the day that has passed.
pub(in crate::data) fn part_of_day(seconds: f64) -> f64 {
    (seconds / DAY).rem_euclid(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_recognised_and_agree() {
        let noon = 1_717_243_200.0;
        for text in [
            "2024-06-01 12:00:00",
            "2024-06-01T12:00:00.000",
            "2024-06-01T14:00:00+02:00",
            "2024-06-01T12:00:00Z",
            "2024-06-01 12:00",
            "2024/06/01 12:00",
            "01.06.2024 12:00",
            "06/01/2024 12:00:00",
        ] {
            let Dates { format, .. } = Dates::of([(text, 1)].into_iter(), None).expect(text);
            assert_eq!(seconds(text, &format), Some(noon), "{text} as {format}");
        }
        assert_eq!(weekday(noon), 5, "a Saturday");
        assert_eq!(part_of_day(noon), 0.5);
        assert!(!is_midnight(noon) && is_midnight(noon + 0.5 * DAY) && is_midnight(-DAY));
    }

    #[test]
    fn a_text_is_read_in_another_form_only_where_it_has_one_meaning() {
        let any = |text| seconds_in_any(text, |_| true);
        assert_eq!(any("20.01.2024"), seconds("2024-01-20", "%Y-%m-%d"));
        assert_eq!(any("01/20/2024"), any("20.01.2024"));
        assert_eq!(any("20-Jan-2024"), any("2024-01-20 00:00:00"));
        assert_eq!((any("02/03/2024"), any("soon")), (None, None));
        assert_eq!(any("03/03/2024"), any("2024-03-03"), "either way");
        assert_eq!(spelt("%Y-%m-%dT%H:%M:%S%.f%#z"), "YYYY-MM-DDThh:mm:ss+hh:mm");
    }

    #[test]
    fn the_whole_column_decides_and_says_what_it_leaves_open() {
        let of = |words: &[&str], wanted: Option<&str>| {
            Dates::of(words.iter().map(|word| (*word, 1)), wanted)
        };
        let format = |words: &[&str]| of(words, None).map(|dates| dates.format);
        let some = |format: &str| Some(format.to_string());
        assert_eq!(format(&["02/03/2024", "01/20/2024"]), some("%m/%d/%Y"));
        assert_eq!(format(&["02/03/2024", "20/01/2024"]), some("%d/%m/%Y"));
        assert_eq!(format(&["2024-01-02", "soon"]), None);
        assert_eq!(format(&["2024-02-30"]), None);
        assert_eq!(format(&["12:30", "9:15"]), some("%H:%M"));
        let open = of(&["02/03/2024", "04/05/2024"], None).unwrap();
        assert_eq!((&open.format[..], open.rival), ("%m/%d/%Y", Some("%d/%m/%Y")));
        let said = of(&["02/03/2024", "04/05/2024"], Some("%d/%m/%Y")).unwrap();
        assert_eq!((&said.format[..], said.rival), ("%d/%m/%Y", None));
        assert_eq!(of(&["03/03/2024", "04/04/2024"], None).unwrap().rival, None, "either way");
        let days: Vec<String> = (1..=20).map(|day| format!("2024-01-{day:02}")).collect();
        let mut days: Vec<&str> = days.iter().map(String::as_str).collect();
        days[0] = "0000-00-00";
        assert_eq!(of(&days, None).unwrap().strays, ["0000-00-00"]);
        days[1] = "soon";
        assert_eq!(of(&days, None), None, "two of twenty are not a slip");
    }

    #[test]
    fn years_of_two_digits_and_weeks_are_what_they_say() {
        let day = |text: &str| seconds(text, "%Y-%m-%d").unwrap();
        for (text, format, same) in [
            ("31.01.24", "%d.%m.%y", "2024-01-31"),
            ("31/01/99", "%d/%m/%y", "1999-01-31"),
            ("2024-W05-3", "%G-W%V-%u", "2024-01-31"),
            ("2024-W05", "%G-W%V", "2024-01-29"),
            ("20240131", "%Y%m%d", "2024-01-31"),
            ("20240131T000000", "%Y%m%dT%H%M%S", "2024-01-31"),
            ("01/31/2024 12:00:00 AM", "%m/%d/%Y %I:%M:%S %p", "2024-01-31"),
        ] {
            assert_eq!(seconds(text, format), Some(day(same)), "{text}");
            assert_eq!(Dates::of([(text, 1)].into_iter(), None).unwrap().format, format, "{text}");
        }
        assert_eq!(seconds("31.01.24", "%d.%m.%Y"), None, "never the year 24");
        assert!(are_compact_days([20240131.0, 20240201.0].into_iter()));
        assert!(!are_compact_days([20240131.0, 20240231.0].into_iter()));
        assert!(!are_compact_days([20240131.0; 2].into_iter()), "the same in every row");
    }

    #[test]
    fn forms_are_spelt_in_either_way() {
        assert_eq!(strftime("DD/MM/YYYY hh:mm"), "%d/%m/%Y %H:%M");
        assert_eq!(strftime("YY-MM-DD"), "%y-%m-%d");
        assert_eq!(spelt("%d/%m/%Y %H:%M"), "DD/MM/YYYY hh:mm");
        assert!(is_format("%d/%m/%Y") && is_format("%Y-%m-%dT%H:%M:%S%.f%#z"));
        assert!(!is_format("%Q") && !is_format("soon") && !is_format("%m"));
    }
}
