//! The similarity of two names, for suggestions: that of Jaro ("Advances in record-linkage methodology",
//! 1989) with Winkler's bonus for a common prefix ("String comparator metrics", 1990).

/// Longest common prefix that counts, in characters.
const BEGINNING: usize = 4;
/// The least similarity for which a common prefix counts.
const ALIKE: f64 = 0.7;

/// 0 for names that have nothing in common, to 1 for equal ones.
#[must_use]
pub(crate) fn jaro_winkler(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let jaro = jaro(&a, &b);
    if jaro <= ALIKE {
        return jaro;
    }
    let common = a.iter().zip(&b).take(BEGINNING).take_while(|(x, y)| x == y).count();
    jaro + 0.1 * common as f64 * (1.0 - jaro)
}

/// (m / |a| + m / |b| + (m − t) / m) / 3: m characters match, equal ones at positions that differ by less than
/// half the longer name's length, and t is half the number of matches that are out of order.
fn jaro(a: &[char], b: &[char]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return f64::from(u8::from(a.is_empty() && b.is_empty()));
    }
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut is_taken = vec![false; b.len()];
    let mut matched_a = Vec::new();
    for (i, x) in a.iter().enumerate() {
        let near = i.saturating_sub(reach)..b.len().min(i + reach + 1);
        if let Some(j) = near.clone().find(|&j| !is_taken[j] && b[j] == *x) {
            is_taken[j] = true;
            matched_a.push(x);
        }
    }
    if matched_a.is_empty() {
        return 0.0;
    }
    let matched_b = b.iter().zip(&is_taken).filter(|(_, taken)| **taken).map(|(y, _)| y);
    let out_of_order = matched_a.iter().zip(matched_b).filter(|(x, y)| **x != *y).count();
    let matches = matched_a.len() as f64;
    let in_order = (matched_a.len() - out_of_order / 2) as f64;
    (matches / a.len() as f64 + matches / b.len() as f64 + in_order / matches) / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Winkler's paper.
    #[test]
    fn names_are_as_alike_as_in_the_paper() {
        for (a, b, expected) in [
            ("MARTHA", "MARHTA", 0.961),
            ("DWAYNE", "DUANE", 0.84),
            ("DIXON", "DICKSONX", 0.813),
            ("", "", 1.0),
            ("a", "", 0.0),
            ("abc", "xyz", 0.0),
            ("digits", "digits", 1.0),
        ] {
            let found = jaro_winkler(a, b);
            assert!((found - expected).abs() < 5e-4, "{a} {b}: {found}");
            assert!((jaro_winkler(b, a) - expected).abs() < 5e-4, "{b} {a}");
        }
    }
}
