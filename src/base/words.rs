//! Numbers and times formatted for people.

/// A number in four significant digits.
#[must_use]
pub fn short(x: f64) -> String {
    if x != 0.0 && x.is_finite() && !(1e-3..1e6).contains(&x.abs()) {
        return format!("{x:.3e}");
    }
    let before_point = x.abs().max(1.0).log10() as usize + 1;
    format!("{x:.*}", 5usize.saturating_sub(before_point))
}

/// A whole number with thousands separators, as in `20,640`.
#[must_use]
pub fn thousands(n: f64) -> String {
    let digits = format!("{:.0}", n.max(0.0));
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in seconds with a fitting unit, as in `1.9 s`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.clamp(0.0, 1e9).round() as u64;
    match seconds {
        s if s.is_nan() => "?".into(),
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// `1 row`, `2 rows`.
#[must_use]
pub fn count(n: usize, what: &str) -> String {
    let what = if n == 1 { what.to_string() } else { plural(what) };
    format!("{} {what}", thousands(n as f64))
}

/// `1 of 1 row`, `3 of 1,000 rows`.
#[must_use]
pub fn part(n: usize, all: usize, what: &str) -> String {
    format!("{} of {}", thousands(n as f64), count(all, what))
}

/// The form of a verb for `n` things: `has` of `["has", "have"]` for one.
#[must_use]
pub fn verb(n: usize, [one, several]: [&str; 2]) -> &str {
    if n == 1 { one } else { several }
}

/// `rows`, `classes`.
#[must_use]
pub fn plural(what: &str) -> String {
    format!("{what}{}", if what.ends_with("ss") { "es" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.97777, 12.3456, 54321.6, 0.000_123_4, 1.5e9, -2.5, f64::NAN].map(short);
        assert_eq!(
            all,
            ["0.0000", "0.9778", "12.346", "54322", "1.234e-4", "1.500e9", "-2.5000", "NaN"]
        );
        assert_eq!([0.0, 999.6, 1234567.0].map(thousands), ["0", "1,000", "1,234,567"]);
        assert_eq!(
            [part(1, 1, "row"), part(1, 1200, "class")],
            ["1 of 1 row", "1 of 1,200 classes"]
        );
        assert_eq!([1, 0, 2].map(|n| verb(n, ["has", "have"])), ["has", "have", "have"]);
        assert_eq!(
            [0.25, 42.0, 61.0, 7320.0, f64::INFINITY].map(duration)[..4],
            ["0.2 s", "42 s", "1m01s", "2h02m"]
        );
    }
}
