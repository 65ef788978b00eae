//! Dates and times in text.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

/// Seconds of a day.
pub(super) const DAY: f64 = 86_400.0;

/// The forms that are recognised, in the order in which they are tried: day before month only
/// where month before day doesn't fit. Written as `chrono` has them.
const FORMATS: [&str; 22] = [
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
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%m/%d/%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d-%b-%Y",
    "%H:%M:%S",
    "%H:%M",
];

/// The form that all of these texts have.
pub(super) fn format_of<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> Option<&'static str> {
    let first = texts.clone().next()?;
    let fits = |format: &&&str| {
        seconds(first, format).is_some() && texts.clone().all(|t| seconds(t, format).is_some())
    };
    FORMATS.iter().find(fits).copied()
}

/// Seconds since 1970-01-01 00:00 of a text of that form; for a time of day, since midnight.
pub(super) fn seconds(text: &str, format: &str) -> Option<f64> {
    let of = |t: NaiveDateTime| {
        let time = t.and_utc();
        time.timestamp() as f64 + f64::from(time.timestamp_subsec_nanos()) * 1e-9
    };
    match (format.contains("%Y"), format.contains("%H")) {
        _ if format.contains("%#z") => {
            DateTime::parse_from_str(text, format).ok().map(|t| of(t.naive_utc()))
        }
        (true, true) => NaiveDateTime::parse_from_str(text, format).ok().map(of),
        (true, false) => {
            // A year of two digits is another form.
            let date = NaiveDate::parse_from_str(text, format).ok()?;
            Some(of(date.and_time(NaiveTime::MIN)))
        }
        (false, _) => {
            let time = NaiveTime::parse_from_str(text, format).ok()?;
            Some((time - NaiveTime::MIN).num_seconds() as f64)
        }
    }
}

/// Seconds of a text in any of the known forms that `may_be` allows; none where two of them differ in
/// what they make of it, as of 02/03/2024.
pub(super) fn seconds_in_any(text: &str, may_be: impl Fn(&str) -> bool) -> Option<f64> {
    let mut found = FORMATS.iter().filter(|f| may_be(f)).filter_map(|f| seconds(text, f));
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// A form as people write it, such as YYYY-MM-DD.
pub(super) fn spelt(format: &str) -> String {
    [
        ("%Y", "YYYY"),
        ("%m", "MM"),
        ("%d", "DD"),
        ("%b", "Mon"),
        ("%H", "hh"),
        ("%M", "mm"),
        ("%S", "ss"),
        ("%.f", ""),
        ("%#z", "+hh:mm"),
    ]
    .iter()
    .fold(format.to_string(), |text, (code, letters)| text.replace(code, letters))
}

/// The year that a moment lies in, as a fraction of it that is over, from 0 to below 1.
pub(super) fn part_of_year(seconds: f64) -> f64 {
    (seconds / (365.2425 * DAY)).rem_euclid(1.0)
}

/// The day of the week, Monday being 0.
pub(super) fn weekday(seconds: f64) -> usize {
    ((seconds / DAY).floor() + 3.0).rem_euclid(7.0) as usize
}

/// Whether a moment is the beginning of a day.
pub(super) fn is_midnight(seconds: f64) -> bool {
    let days = seconds / DAY;
    // Rounded by way of a whole number: `trunc` is a call where the processor is any x86-64.
    (days as i64) as f64 == days
}

/// The part of the day that is over.
pub(super) fn part_of_day(seconds: f64) -> f64 {
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
            let format = format_of([text].into_iter()).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(seconds(text, format), Some(noon), "{text} as {format}");
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
    fn one_form_must_fit_all() {
        assert_eq!(format_of(["02/03/2024", "01/20/2024"].into_iter()), Some("%m/%d/%Y"));
        assert_eq!(format_of(["02/03/2024", "20/01/2024"].into_iter()), Some("%d/%m/%Y"));
        assert_eq!(format_of(["2024-01-02", "soon"].into_iter()), None);
        assert_eq!(format_of(["2024-02-30"].into_iter()), None);
        assert_eq!(format_of(["12:30", "9:15"].into_iter()), Some("%H:%M"));
    }
}
