//! Ranking metrics: ROC AUC.

/// The area under the receiver operating characteristic: the probability that a positive row
/// scores higher than a negative one, ties counted half (Hanley, McNeil, "The meaning and use of
/// the area under a ROC curve", Radiology 143, 1982), rows drawn by their weights:
///
/// AUC = Σ_{i positive, j negative} w_i w_j (1{s_i > s_j} + ½ 1{s_i = s_j}) / (W⁺ W⁻)
///
/// `rows` gives (score, whether it is positive, weight), no score NaN. None if the positive or
/// the negative rows have no weight. O(n log n).
#[must_use]
pub fn roc_auc(rows: impl IntoIterator<Item = (f32, bool, f64)>) -> Option<f64> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut positives, mut area) = (0.0, 0.0, 0.0);
    // From the lowest score up, all rows of a score at once; −0 ties with 0.
    for tied in rows.chunk_by(|a, b| a.0 == b.0) {
        let weigh = |positive: bool| -> f64 {
            tied.iter().filter(|row| row.1 == positive).map(|row| row.2).sum()
        };
        let (positive, negative) = (weigh(true), weigh(false));
        area += positive * (below + 0.5 * negative);
        below += negative;
        positives += positive;
    }
    let pairs = positives * below;
    (pairs > 0.0).then(|| area / pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zeros_of_either_sign_tie() {
        assert_eq!(roc_auc([(-0.0, true, 1.0), (0.0, false, 1.0)]), Some(0.5));
        assert_eq!(roc_auc([(0.5, true, 1.0)]), None);
        assert_eq!(roc_auc([(0.5, true, 0.0), (0.1, false, 2.0)]), None);
    }

    proptest! {
        #[test]
        fn equals_its_definition_over_all_pairs(
            rows in prop::collection::vec((0u8..9, any::<bool>(), 0u8..4), 1..60)
        ) {
            let rows: Vec<_> =
                rows.into_iter().map(|(s, y, w)| (f32::from(s), y, f64::from(w))).collect();
            let (mut area, mut pairs) = (0.0, 0.0);
            for positive in rows.iter().filter(|row| row.1) {
                for negative in rows.iter().filter(|row| !row.1) {
                    let weight = positive.2 * negative.2;
                    let higher = f64::from(u8::from(positive.0 > negative.0));
                    let tied = f64::from(u8::from(positive.0 == negative.0));
                    area += weight * (higher + 0.5 * tied);
                    pairs += weight;
                }
            }
            match roc_auc(rows) {
                None => prop_assert_eq!(pairs, 0.0),
                Some(auc) => prop_assert!((auc - area / pairs).abs() < 1e-12),
            }
        }
    }
}
