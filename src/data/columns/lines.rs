//! The lines on which the rows of a table begin, for messages.

/// The line on which each row begins, or if the data have no lines, its number in the whole table:
/// stored only if it doesn't directly follow that of the previous row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    jumps: Vec<(usize, u64)>,
    /// Whether they are numbers of rows.
    are_rows: bool,
}

impl Lines {
    /// The row numbers of a table without lines, after `first` rows.
    pub(in crate::data) fn of_rows(first: usize) -> Self {
        Lines { jumps: vec![(0, first as u64 + 1)], are_rows: true }
    }

    /// Records that `row`, the next one, begins on `line`.
    pub(in crate::data) fn push(&mut self, row: usize, line: u64) {
        if self.of(row) != Some(line) {
            self.jumps.push((row, line));
        }
    }

    /// The line of `row`, or its number, counted from 1; none if unknown.
    #[must_use]
    pub fn of(&self, row: usize) -> Option<u64> {
        let behind = self.jumps.partition_point(|&(first, _)| first <= row);
        let (first, line) = *self.jumps.get(behind.checked_sub(1)?)?;
        Some(line + (row - first) as u64)
    }

    /// Whether they are numbers of rows.
    pub(super) fn are_rows(&self) -> bool {
        self.are_rows
    }

    /// The lines of these rows, in that order.
    pub(in crate::data) fn select(&self, rows: &[usize]) -> Self {
        let mut chosen = Lines { are_rows: self.are_rows, ..Lines::default() };
        for (place, &row) in rows.iter().enumerate() {
            self.of(row).into_iter().for_each(|line| chosen.push(place, line));
        }
        chosen
    }

    /// Appends the lines of the rows from `row` on.
    pub(in crate::data) fn append(&mut self, more: &Lines, row: usize) {
        self.are_rows |= more.are_rows;
        more.jumps.iter().for_each(|&(first, line)| self.push(first + row, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_jumps_of_the_line_are_kept() {
        let mut lines = Lines::default();
        for (row, line) in [2, 3, 4, 8, 9].into_iter().enumerate() {
            lines.push(row, line);
        }
        assert_eq!(lines.jumps, [(0, 2), (3, 8)]);
        assert_eq!((lines.of(2), lines.of(4)), (Some(4), Some(9)));
        assert_eq!(Lines::default().of(0), None);
    }
}
