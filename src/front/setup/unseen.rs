//! Categories and classes of held-out rows that aren't in training rows.

use crate::base::error::Result;
use crate::base::words::count;
use crate::data::split::Subsets;
use crate::data::{Data, Preprocessing, UnknownCategories};
use crate::front::setup::job::Job;

/// Categories of a held-out subset that aren't in the training rows.
pub(crate) struct HeldOutUnknown {
    /// `validation` or `test`.
    pub subset: &'static str,
    /// Whether the subset is a separate file, otherwise rows of the data.
    pub is_file: bool,
    pub unknown: UnknownCategories,
}

impl HeldOutUnknown {
    /// The unseen categories of the held-out rows of the data.
    pub fn of_rows(
        preprocessing: &Preprocessing,
        data: &Data,
        subsets: &Subsets,
    ) -> Result<Vec<Self>> {
        let held_out = [("validation", &subsets.validation), ("test", &subsets.test)];
        let of = |(subset, rows): (_, &Vec<usize>)| {
            let unknown = preprocessing.unknown(data, rows)?;
            Ok(HeldOutUnknown { subset, is_file: false, unknown })
        };
        held_out.into_iter().map(of).collect()
    }
}

/// The warning about classes with rows in the held-out subset `subset` but without training rows, from the
/// counts by class.
pub(crate) fn unseen_classes(
    training: &[usize],
    held_out: &[usize],
    job: &Job,
    subset: &str,
) -> Option<String> {
    const NAMED: usize = 5;
    let names = job.training.class_names()?;
    let counts = training.iter().zip(held_out).zip(names);
    let unseen: Vec<_> =
        counts.filter(|((trained, held), _)| **trained == 0 && **held > 0).collect();
    let rows: usize = unseen.iter().map(|((_, held), _)| **held).sum();
    let named: Vec<String> =
        unseen.iter().take(NAMED).map(|(_, name)| format!("{name:?}")).collect();
    let more = if unseen.len() > NAMED { ", …" } else { "" };
    let of = if unseen.len() == 1 { "the class" } else { "the classes" };
    (!unseen.is_empty()).then(|| {
        format!(
            "{} of {of} {}{more}, which has no training rows: the net can't predict unseen classes, so \
             all these rows count as wrong; use another --split, or remove these rows",
            count(rows, &format!("{subset} row")),
            named.join(", ")
        )
    })
}
