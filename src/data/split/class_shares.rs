//! A stratified split of rows in chunks.

use super::is_held_out;
use crate::base::error::Result;
use crate::data::split;
use std::collections::BTreeMap;

/// The number of rows of each class that are held out: by selection sampling (D. E. Knuth, "The Art of Computer
/// Programming", volume 2, 3.4.2, algorithm S), which holds out exactly that many with equal probabilities, and
/// stores two numbers per class.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::data) struct ClassShares {
    seed: u64,
    /// The rows to be held out, and all rows, by the text of the class.
    all: BTreeMap<String, [usize; 2]>,
    /// The remaining ones.
    left: BTreeMap<String, [usize; 2]>,
}

impl ClassShares {
    /// Holds out a `fraction` of each class's rows, given their number.
    ///
    /// # Errors
    /// As [`split::quotas`].
    pub(in crate::data) fn new(
        sizes: &BTreeMap<String, usize>,
        fraction: f64,
        seed: u64,
    ) -> Result<Self> {
        let quotas = split::quotas(&sizes.values().copied().collect::<Vec<_>>(), fraction)?;
        let classes = sizes.iter().zip(quotas);
        let all: BTreeMap<String, [usize; 2]> =
            classes.map(|((name, &rows), quota)| (name.clone(), [quota, rows])).collect();
        Ok(ClassShares { seed, left: all.clone(), all })
    }

    /// Starts over with the first row.
    pub(in crate::data) fn begin(&mut self) {
        self.left = self.all.clone();
    }

    /// Whether the next row of a class, which has the number `row` in the table, is held out.
    pub(in crate::data) fn holds_out(&mut self, name: &str, row: usize) -> bool {
        let Some([quota, rows]) = self.left.get_mut(name) else { return false };
        let is_held_out = *quota > 0 && is_held_out(row, *quota as f64 / *rows as f64, self.seed);
        (*quota, *rows) = (*quota - usize::from(is_held_out), rows.saturating_sub(1));
        is_held_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_gives_just_its_share_again_and_again() {
        let sizes = [("a", 700), ("b", 250), ("c", 1)].map(|(name, n)| (name.to_string(), n));
        let mut shares = ClassShares::new(&BTreeMap::from(sizes.clone()), 0.2, 7).unwrap();
        let mut draw = || -> Vec<Vec<usize>> {
            shares.begin();
            let mut held_out = |(name, n): &(String, usize)| {
                (0..*n).filter(|&row| shares.holds_out(name, row)).collect()
            };
            sizes.iter().map(&mut held_out).collect()
        };
        let first = draw();
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [140, 50, 0]);
        assert_eq!(draw(), first);
        let mean = first[0].iter().sum::<usize>() as f64 / 140.0;
        assert!((mean - 350.0).abs() < 60.0, "from everywhere: {mean}");
        assert!(!shares.holds_out("d", 0), "no such class was counted");
    }
}
