//! Numbers in every form: in each form, the result is the number of the digits, and texts that aren't
//! numbers aren't read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wgrad::data::{Decimal, NumberForm, Thousands, Unit};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let Ok(cell) = std::str::from_utf8(rest) else { return };
    let thousands = [
        None,
        Some(Thousands::Comma),
        Some(Thousands::Point),
        Some(Thousands::Space),
        Some(Thousands::Apostrophe),
        Some(Thousands::Underscore),
    ];
    let form = NumberForm {
        decimal: [Decimal::Point, Decimal::Comma][usize::from(first & 1)],
        thousands: thousands[usize::from(first >> 1) % thousands.len()],
        unit: ["", "%", "$", "EUR"]
            .get(usize::from(first >> 6))
            .and_then(|text| Unit::try_from(text.to_string()).ok()),
    };
    let Some(x) = form.parse(cell) else { return };
    assert!(x.is_finite());
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    if !cell.contains(['e', 'E']) {
        let plain = format!("{:?}", x.abs());
        // All digits of short numbers are kept, except for redundant zeros.
        let (own, read) = (digits(cell), digits(&plain));
        if own.len() < 15 && !plain.contains('e') {
            assert_eq!(own.trim_matches('0'), read.trim_matches('0'), "{cell:?} as {form}");
        }
    }
});
