//! How the text of a column writes its numbers: `1,234.5`, `1.234,5`, `1 234,5`, `$12`, `12%`, `(3)`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The decimal mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decimal {
    /// `1.5`.
    #[default]
    Point,
    /// `1,5`.
    Comma,
}

/// The thousands separator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Thousands {
    /// `1,234`.
    Comma,
    /// `1.234`.
    Point,
    /// `1 234`, with a space of any kind.
    Space,
    /// `1'234`, straight or curly.
    Apostrophe,
    /// `1_234`.
    Underscore,
}

/// Currency signs and codes, percent and per mille; longer ones before their prefixes and suffixes.
const UNITS: [&str; 52] = [
    "%", "‰", "US$", "CA$", "AU$", "NZ$", "HK$", "R$", "A$", "C$", "$", "€", "£", "¥", "₹", "₽",
    "₩", "₺", "₪", "฿", "₫", "₦", "₱", "₴", "Kč", "zł", "kr.", "kr", "Fr.", "USD", "EUR", "GBP",
    "JPY", "CNY", "INR", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF",
    "BRL", "MXN", "ZAR", "TRY", "RUB", "KRW", "SGD",
];

/// A currency or a percent sign next to the numbers of a column, without effect on the value: 12% is 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit(u8);

impl Unit {
    /// Whether every number must have it, since a number without it means something else.
    pub(in crate::data) fn is_share(self) -> bool {
        self.0 < 2
    }

    /// The sign or code.
    #[must_use]
    pub fn text(self) -> &'static str {
        UNITS[usize::from(self.0)]
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> Self {
        unit.text().into()
    }
}

impl TryFrom<String> for Unit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let place = UNITS.iter().position(|unit| *unit == text);
        place.map(|place| Unit(place as u8)).ok_or_else(|| format!("{text:?} is not a known unit"))
    }
}

/// How a column writes its numbers. The default is the form of programming languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberForm {
    /// The decimal mark.
    #[serde(default)]
    pub decimal: Decimal,
    /// The thousands separator, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<Thousands>,
    /// The unit next to the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

impl NumberForm {
    /// `1.5`, `-2e3`, `+4`.
    pub const PLAIN: NumberForm =
        NumberForm { decimal: Decimal::Point, thousands: None, unit: None };

    /// The number in a cell; none if it has another form or isn't finite.
    #[must_use]
    pub fn parse(self, cell: &str) -> Option<f64> {
        let parts = Parts::of(cell)?;
        let is_unit = match (self.unit, parts.unit) {
            (Some(unit), None) => !unit.is_share(),
            (own, found) => own == found,
        };
        if !is_unit || !self.fits(parts.digits) {
            return None;
        }
        let mut plain = String::with_capacity(parts.digits.len() + 1);
        plain.extend(parts.negative.then_some('-'));
        let decimal = if self.decimal == Decimal::Comma { ',' } else { '.' };
        plain.extend(parts.digits.chars().filter_map(|c| match c {
            '0'..='9' | 'e' | 'E' | '-' | '+' => Some(c),
            c if c == decimal => Some('.'),
            _ => None,
        }));
        parse(&plain).filter(|x| x.is_finite())
    }

    /// Whether digits without sign and unit have this form.
    pub(super) fn fits(self, digits: &str) -> bool {
        let (mantissa, exponent) = match digits.find(['e', 'E']) {
            Some(at) => (&digits[..at], Some(&digits[at + 1..])),
            None => (digits, None),
        };
        let is_exponent = exponent.is_none_or(|e| {
            let e = e.strip_prefix(['-', '+']).unwrap_or(e);
            !e.is_empty() && e.bytes().all(|b| b.is_ascii_digit())
        });
        let decimal = if self.decimal == Decimal::Comma { ',' } else { '.' };
        let (whole, fraction) = mantissa.split_once(decimal).unwrap_or((mantissa, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        is_exponent
            && all_digits(fraction)
            && (!whole.is_empty() || !fraction.is_empty())
            && (all_digits(whole) || self.thousands.is_some_and(|by| by.groups(whole)))
    }

    /// The form for a table of columns, as in "numbers with decimal comma"; none for the usual one.
    #[must_use]
    pub fn describe(self) -> Option<String> {
        let decimal = (self.decimal == Decimal::Comma).then(|| "decimal comma".to_string());
        let thousands = self.thousands.map(|by| format!("thousands {}", by.sign_text()));
        let unit = self.unit.map(|unit| unit.text().to_string());
        let parts: Vec<String> = [decimal, thousands, unit].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl Thousands {
    fn is_sign(self, c: char) -> bool {
        match self {
            Thousands::Comma => c == ',',
            Thousands::Point => c == '.',
            Thousands::Space => c.is_whitespace(),
            Thousands::Apostrophe => matches!(c, '\'' | '’'),
            Thousands::Underscore => c == '_',
        }
    }

    /// Whether the digits of a whole number are grouped in threes, or as in India (`12,34,567`).
    fn groups(self, whole: &str) -> bool {
        let groups: Vec<&str> = whole.split(|c| self.is_sign(c)).collect();
        let [first, inner @ .., last] = &groups[..] else { return false };
        let inner_digits: &[usize] = if self == Thousands::Comma { &[2, 3] } else { &[3] };
        (1..=3).contains(&first.len())
            && !first.starts_with('0')
            && last.len() == 3
            && inner_digits.iter().any(|&n| inner.iter().all(|group| group.len() == n))
            && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_digit()))
    }

    fn sign_text(self) -> &'static str {
        match self {
            Thousands::Comma => "1,234",
            Thousands::Point => "1.234",
            Thousands::Space => "1 234",
            Thousands::Apostrophe => "1'234",
            Thousands::Underscore => "1_234",
        }
    }
}

impl fmt::Display for NumberForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe().as_deref().unwrap_or("decimal point"))
    }
}

/// The parts of a cell: sign, unit, and the text between them.
pub(in crate::data) struct Parts<'a> {
    negative: bool,
    pub(in crate::data) unit: Option<Unit>,
    /// Digits, separators and an exponent.
    pub(in crate::data) digits: &'a str,
}

impl<'a> Parts<'a> {
    pub(in crate::data) fn of(cell: &'a str) -> Option<Self> {
        let mut rest = cell.trim();
        let (mut signs, mut negative, mut unit) = (0, false, None);
        if let Some(inner) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            (rest, signs, negative) = (inner.trim(), 1, true);
        }
        // A sign and a unit may stand on either side, in either order: -$5, $-5, 5- €, 5€-.
        loop {
            let before = rest;
            let minus = ['-', '−'];
            if let Some(next) = rest.strip_prefix(minus).or_else(|| rest.strip_suffix(minus)) {
                (rest, signs, negative) = (next, signs + 1, true);
            } else if let Some(next) = rest.strip_prefix('+') {
                (rest, signs) = (next, signs + 1);
            } else if let Some((found, next)) = without_unit(rest) {
                if unit.replace(found).is_some() {
                    return None;
                }
                rest = next;
            }
            rest = rest.trim();
            if rest.len() == before.len() {
                break;
            }
        }
        let begins = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',');
        (signs < 2 && begins).then_some(Parts { negative, unit, digits: rest })
    }
}

fn without_unit(text: &str) -> Option<(Unit, &str)> {
    // Nearly all cells begin and end with a digit.
    let is_digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    if is_digit(text.as_bytes().first()) && is_digit(text.as_bytes().last()) {
        return None;
    }
    UNITS.iter().zip(0..).find_map(|(sign, place)| {
        let rest = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign))?;
        Some((Unit(place), rest))
    })
}

/// The forms that are distinguished, the simplest first.
pub(super) const FORMS: [NumberForm; 10] = {
    const fn of(decimal: Decimal, thousands: Option<Thousands>) -> NumberForm {
        NumberForm { decimal, thousands, unit: None }
    }
    [
        of(Decimal::Point, None),
        of(Decimal::Comma, None),
        of(Decimal::Point, Some(Thousands::Comma)),
        of(Decimal::Comma, Some(Thousands::Point)),
        of(Decimal::Point, Some(Thousands::Space)),
        of(Decimal::Comma, Some(Thousands::Space)),
        of(Decimal::Point, Some(Thousands::Apostrophe)),
        of(Decimal::Comma, Some(Thousands::Apostrophe)),
        of(Decimal::Point, Some(Thousands::Underscore)),
        of(Decimal::Comma, Some(Thousands::Underscore)),
    ]
};

/// The f64 nearest to a decimal number.
fn parse(text: &str) -> Option<f64> {
    #[cfg(feature = "data")]
    return fast_float2::parse(text).ok();
    #[cfg(not(feature = "data"))]
    return text.parse().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_no_part_of_a_number_but_a_share_needs_it() {
        let percent =
            NumberForm { unit: Unit::try_from("%".to_string()).ok(), ..NumberForm::PLAIN };
        assert_eq!((percent.parse("12%"), percent.parse("0.12")), (Some(12.0), None));
        assert_eq!(NumberForm::PLAIN.parse("12%"), None, "a share is not a bare number");
        let dollars =
            NumberForm { unit: Unit::try_from("$".to_string()).ok(), ..NumberForm::PLAIN };
        assert_eq!((dollars.parse("$5"), dollars.parse("5")), (Some(5.0), Some(5.0)));
        assert_eq!(dollars.parse("5 €"), None);
    }

    #[test]
    fn a_form_is_written_and_read() {
        let form = NumberForm {
            decimal: Decimal::Comma,
            thousands: Some(Thousands::Space),
            unit: Unit::try_from("€".to_string()).ok(),
        };
        let text = serde_json::to_string(&form).unwrap();
        assert_eq!(text, r#"{"decimal":"comma","thousands":"space","unit":"€"}"#);
        assert_eq!(serde_json::from_str::<NumberForm>(&text).unwrap(), form);
        assert_eq!(form.describe().unwrap(), "decimal comma, thousands 1 234, €");
        assert_eq!(NumberForm::PLAIN.describe(), None);
        assert!(serde_json::from_str::<NumberForm>(r#"{"unit":"parsec"}"#).is_err());
    }
}
