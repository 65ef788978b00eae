//! How a batch is split over the ranks.

use super::share;
use std::ops::Range;

/// How a batch is split over the ranks.
#[derive(Debug, Clone)]
pub enum Parts {
    /// Into blocks of equal size, of which each rank computes a range.
    Blocks(usize),
    /// Into one part for each rank, which ends at this fraction of the rows.
    Ends(Vec<f64>),
}

impl Parts {
    /// The ranges of rows that rank `rank` of `size` computes for a batch size of `rows`, each with the number
    /// of its block. All ranges but the last have a multiple of `step` rows.
    #[must_use]
    pub fn of(
        &self,
        rows: usize,
        step: usize,
        [rank, size]: [usize; 2],
    ) -> Vec<(usize, Range<usize>)> {
        match self {
            Parts::Blocks(blocks) => {
                let most = rows.div_ceil(*blocks).next_multiple_of(step);
                let bound = |block: usize| (block * most).min(rows);
                let range = |block: usize| (block, bound(block)..bound(block + 1));
                share(*blocks, rank, size).map(range).collect()
            }
            Parts::Ends(ends) => {
                let bound = |rank: usize| match rank.checked_sub(1).map(|last| ends[last]) {
                    None => 0,
                    Some(_) if rank == size => rows,
                    Some(end) => {
                        ((rows as f64 * end / step as f64).round() as usize * step).min(rows)
                    }
                };
                vec![(rank, bound(rank)..bound(rank + 1))]
            }
        }
    }
}

/// The rows of a rank's parts, split into micro-batches that fit the program, numbered from 0; a micro-batch without
/// rows if there are none.
#[must_use]
pub fn micro_batches(parts: Vec<(usize, Range<usize>)>, most: usize) -> Vec<(usize, Range<usize>)> {
    let first = parts.first().map_or(0, |(_, rows)| rows.start);
    let of_part = |(_, rows): (usize, Range<usize>)| {
        let firsts = rows.clone().step_by(most);
        firsts.map(move |first| first..(first + most).min(rows.end))
    };
    let mut all: Vec<_> = parts.into_iter().flat_map(of_part).collect();
    if all.is_empty() {
        all.push(first..first);
    }
    all.into_iter().enumerate().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_goes_in_micro_batches() {
        let of = |rows: Range<usize>| -> Vec<Range<usize>> {
            micro_batches(vec![(3, rows)], 4).into_iter().map(|(_, rows)| rows).collect()
        };
        assert_eq!(of(2..11), [2..6, 6..10, 10..11]);
        assert_eq!(of(5..5).first(), Some(&(5..5)));
        assert!(micro_batches(Vec::new(), 4).len() == 1);
        let of_two = micro_batches(vec![(2, 4..9), (3, 9..9), (4, 9..11)], 4);
        assert_eq!(of_two, [(0, 4..8), (1, 8..9), (2, 9..11)]);
    }

    /// Every row is in one part, in order, and parts of mixed rows are even.
    #[test]
    fn parts_cover_a_batch() {
        for parts in [Parts::Blocks(8), Parts::Ends(vec![0.1, 0.75, 1.0])] {
            for step in [1, 2] {
                for rows in 0..70 {
                    let of = |rank| parts.of(rows, step, [rank, 3]);
                    let all: Vec<_> = (0..3).flat_map(of).map(|(_, rows)| rows).collect();
                    let mut end = 0;
                    for part in &all {
                        assert_eq!(part.start, end, "{parts:?} of {rows}");
                        end = part.end;
                        assert!(end == rows || part.len() % step == 0, "{parts:?} of {rows}");
                    }
                    assert_eq!(end, rows);
                }
            }
        }
    }
}
