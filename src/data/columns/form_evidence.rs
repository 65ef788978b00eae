//! The number form of each column of a file, found from its cells. If a column is ambiguous, like `1.234`
//! and `987`, the other columns decide.

use super::number_form::{Decimal, FORMS, NumberForm, Parts, Thousands, Unit};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The evidence for the form of one column, collected cell by cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::data) struct FormEvidence {
    /// The number of cells that fit each of [`FORMS`].
    fits: [usize; FORMS.len()],
    /// The number of cells that fit any of them.
    numbers: usize,
    /// The number of cells that fit none of them.
    others: usize,
    /// The number of cells with each unit.
    units: Vec<(Unit, usize)>,
    /// Whether some cell is `1.234` or `1,234`, which is a different number in two forms.
    grouped: bool,
    /// Whether some cell is a whole number below 1000 without any separator.
    bare: bool,
}

impl FormEvidence {
    /// Adds a cell that isn't missing.
    pub(in crate::data) fn take(&mut self, cell: &str) {
        let Some(Parts { unit, digits, .. }) = Parts::of(cell) else {
            self.others += 1;
            return;
        };
        let before = self.fits;
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            self.fits.iter_mut().for_each(|count| *count += 1);
            self.bare |= digits.len() < 4;
        } else {
            let forms = FORMS.iter().zip(&mut self.fits);
            forms.filter(|(form, _)| form.fits(digits)).for_each(|(_, count)| *count += 1);
            let is_new = |form: usize| self.fits[form] > before[form];
            self.grouped |= is_new(0) && is_new(3) || is_new(1) && is_new(2);
        }
        if self.fits == before {
            self.others += 1;
            return;
        }
        self.numbers += 1;
        if let Some(unit) = unit {
            self.count(unit, 1);
        }
    }

    fn count(&mut self, unit: Unit, cells: usize) {
        match self.units.iter_mut().find(|(known, _)| *known == unit) {
            Some((_, count)) => *count += cells,
            None => self.units.push((unit, cells)),
        }
    }

    /// Adds the evidence from other cells of the column.
    pub(in crate::data) fn merge(&mut self, other: &FormEvidence) {
        self.fits.iter_mut().zip(other.fits).for_each(|(all, more)| *all += more);
        self.numbers += other.numbers;
        self.others += other.others;
        self.grouped |= other.grouped;
        self.bare |= other.bare;
        other.units.iter().for_each(|&(unit, cells)| self.count(unit, cells));
    }

    /// Whether most cells are numbers in some form.
    pub(in crate::data) fn is_numeric(&self) -> bool {
        self.numbers > self.others
    }

    /// The decimal mark of the whole file for which this column votes, if any.
    fn vote(&self, allowed: impl Fn(&NumberForm) -> bool) -> Option<Decimal> {
        let best = |decimal: Decimal| {
            let forms = FORMS.iter().zip(self.fits);
            let own = forms.filter(|(form, _)| form.decimal == decimal && allowed(form));
            own.map(|(_, count)| count).max().unwrap_or(0)
        };
        match best(Decimal::Point).cmp(&best(Decimal::Comma)) {
            _ if !self.is_numeric() => None,
            Ordering::Less => Some(Decimal::Comma),
            Ordering::Equal => None,
            Ordering::Greater => Some(Decimal::Point),
        }
    }

    /// The unit of most cells with a unit; a share (percent, per mille) only if most numbers have it.
    fn unit(&self) -> Option<Unit> {
        let &(unit, count) = self.units.iter().max_by_key(|(_, count)| *count)?;
        (!unit.is_share() || 2 * count > self.numbers).then_some(unit)
    }
}

/// Hints about the number forms of a file besides its cells.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::data) struct FormHints<'a> {
    /// The decimal mark given by the user.
    pub(in crate::data) decimal: Option<Decimal>,
    /// The thousands separator given by the user; `Some(None)` for none.
    pub(in crate::data) thousands: Option<Option<Thousands>>,
    /// The forms of a trained model, by the names of the columns.
    pub(in crate::data) known: Option<&'a BTreeMap<String, NumberForm>>,
    /// Whether cells are separated by semicolons, as is usual with decimal commas.
    pub(in crate::data) semicolons: bool,
}

impl FormHints<'_> {
    /// Whether the user's options allow a form.
    fn allow(&self, form: &NumberForm) -> bool {
        self.decimal.is_none_or(|decimal| form.decimal == decimal)
            && self.thousands.is_none_or(|by| form.thousands.is_none() || form.thousands == by)
    }
}

/// The form of a column, and whether its cells would fit another one as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::data) struct Decided {
    pub(in crate::data) form: NumberForm,
    pub(in crate::data) is_ambiguous: bool,
}

/// The forms of the columns of a file; none for those that don't hold numbers.
pub(in crate::data) fn decide(
    columns: &[(&str, &FormEvidence)],
    hints: &FormHints<'_>,
) -> Vec<Option<Decided>> {
    let votes: Vec<Decimal> = columns
        .iter()
        .filter_map(|(_, evidence)| evidence.vote(|form| hints.allow(form)))
        .collect();
    let voted = votes.first().filter(|first| votes.iter().all(|vote| vote == *first)).copied();
    let of = |(name, evidence): &(&str, &FormEvidence)| {
        if !evidence.is_numeric() {
            return None;
        }
        let open = FORMS.iter().zip(evidence.fits).filter(|(form, _)| hints.allow(form));
        let most = open.clone().map(|(_, count)| count).max()?;
        let fitting: Vec<NumberForm> =
            open.filter(|(_, count)| *count == most).map(|(form, _)| *form).collect();
        let simplest = fitting[0];
        let is_open = evidence.grouped && fitting.iter().any(|f| f.decimal != simplest.decimal);
        let known = hints.known.and_then(|known| known.get(*name)).map(|form| form.decimal);
        // The thousands separator can't be the decimal mark.
        let asked = hints.thousands.flatten();
        let grouped = fitting.iter().find(|form| asked.is_some() && form.thousands == asked);
        let (decimal, is_ambiguous) = match grouped.map(|form| form.decimal).or(voted).or(known) {
            _ if !is_open => (simplest.decimal, false),
            Some(decimal) => (decimal, false),
            // 1.234 alone is a plain number; it is doubtful only together with 987.
            None if simplest.decimal == Decimal::Point => (Decimal::Point, evidence.bare),
            // 1,234 has a decimal comma if cells are separated by another character.
            None if hints.semicolons => (Decimal::Comma, true),
            None => (Decimal::Point, true),
        };
        let form = fitting.iter().find(|form| form.decimal == decimal).unwrap_or(&simplest);
        Some(Decided { form: NumberForm { unit: evidence.unit(), ..*form }, is_ambiguous })
    };
    columns.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(cells: &[&str]) -> FormEvidence {
        let mut evidence = FormEvidence::default();
        cells.iter().for_each(|cell| evidence.take(cell));
        evidence
    }

    /// How the cells of the first column are read, depending on the other columns.
    fn read(columns: &[&[&str]], hints: &FormHints<'_>) -> (Vec<Option<f64>>, bool) {
        let found: Vec<FormEvidence> = columns.iter().map(|cells| evidence(cells)).collect();
        let named: Vec<(&str, &FormEvidence)> = found.iter().map(|e| ("x", e)).collect();
        let Decided { form, is_ambiguous } = decide(&named, hints)[0].expect("a column of numbers");
        (columns[0].iter().map(|cell| form.parse(cell)).collect(), is_ambiguous)
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (cells, values) in [
            (&["1234.5", "-2e3", "+4"][..], &[1234.5, -2000.0, 4.0][..]),
            (&["1234,5", "-2,25", "7"], &[1234.5, -2.25, 7.0]),
            (&["1,234.5", "12,345,678", "9"], &[1234.5, 12_345_678.0, 9.0]),
            (&["1.234,5", "1.234.567,25", "9"], &[1234.5, 1_234_567.25, 9.0]),
            (&["1 234,5", "12 345", "9"], &[1234.5, 12_345.0, 9.0]),
            (&["1\u{a0}234,5", "1\u{202f}234 567", "9"], &[1234.5, 1_234_567.0, 9.0]),
            (&["1'234.5", "1’234’567", "9"], &[1234.5, 1_234_567.0, 9.0]),
            (&["1_000", "2_000_000", "9"], &[1000.0, 2_000_000.0, 9.0]),
            (&["12,34,567.5", "1,23,456", "9"], &[1_234_567.5, 123_456.0, 9.0]),
            (&["$1,234.50", "-$5", "$-6", "($7)"], &[1234.5, -5.0, -6.0, -7.0]),
            (&["1.234,50 €", "5-", "−6 €"], &[1234.5, -5.0, -6.0]),
            (&["12%", "7.5 %", "-3%"], &[12.0, 7.5, -3.0]),
            (&["USD 12", "13 USD", "14"], &[12.0, 13.0, 14.0]),
            (&["1,5E+03", "2,5e-1", ",5"], &[1500.0, 0.25, 0.5]),
        ] {
            let (found, is_ambiguous) = read(&[cells], &FormHints::default());
            let values: Vec<Option<f64>> = values.iter().map(|x| Some(*x)).collect();
            assert_eq!((found, is_ambiguous), (values, false), "{cells:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_none_in_any_form() {
        for cell in [
            "",
            "abc",
            "1.2.3",
            "12:30",
            "2024-01-02",
            "1,2,3",
            "--5",
            "5$$",
            "$5€",
            "1e",
            "+",
            "012,345.6",
        ] {
            assert_eq!(evidence(&[cell]).numbers, 0, "{cell}");
        }
    }

    #[test]
    fn other_columns_decide_what_a_column_leaves_open() {
        let none = FormHints::default();
        let open = &["1.234", "987"][..];
        assert_eq!(read(&[open], &none), (vec![Some(1.234), Some(987.0)], true));
        let decided = (vec![Some(1234.0), Some(987.0)], false);
        assert_eq!(read(&[open, &["3,5", "4"]], &none), decided);
        assert_eq!(read(&[open, &["3.5", "4"]], &none).0[0], Some(1.234));
        let american = &["1,234", "987"][..];
        assert_eq!(read(&[american, &["3.5"]], &none), decided);
        assert_eq!(read(&[american], &none), (decided.0.clone(), true));
        let german = FormHints { semicolons: true, ..none };
        assert_eq!(read(&[american], &german).0[0], Some(1.234));
        let comma = FormHints { decimal: Some(Decimal::Comma), ..none };
        assert_eq!(read(&[open], &comma), decided);
        let ungrouped = FormHints { thousands: Some(None), ..none };
        assert_eq!(read(&[open], &ungrouped), (vec![Some(1.234), Some(987.0)], false));
        let commas = FormHints { thousands: Some(Some(Thousands::Comma)), ..german };
        assert_eq!(read(&[american], &commas), decided, "the user says what groups");
        let known = [("x".into(), NumberForm { decimal: Decimal::Comma, ..NumberForm::PLAIN })];
        let known = BTreeMap::from(known);
        assert_eq!(read(&[open], &FormHints { known: Some(&known), ..none }), decided);
        assert_eq!(read(&[&["1.234", "5.678"]], &none), (vec![Some(1.234), Some(5.678)], false));
    }
}
