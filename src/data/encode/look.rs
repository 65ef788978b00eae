//! Texts of a column, looked up among the categories of the training rows.

use super::canonical::canonical;
use crate::data::columns::kind::truth;
use crate::data::columns::texts::Texts;
use hashbrown::HashMap;
use std::borrow::Cow;
use std::cell::OnceCell;

/// Whether a category was among the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    Known,
    Unknown,
    /// The model doesn't contain this information.
    Untold,
}

impl Is {
    pub(super) fn of(is_known: Option<bool>) -> Self {
        match is_known {
            Some(true) => Is::Known,
            Some(false) => Is::Unknown,
            None => Is::Untold,
        }
    }
}

/// The encoded texts of a column.
#[derive(Debug)]
pub(super) struct Looked<T> {
    /// For each distinct text, in the order of their codes.
    pub(super) of: Vec<T>,
    /// For a missing text.
    pub(super) missing: T,
    /// The codes of the texts that weren't in the training rows, ascending.
    pub(super) unknown: Vec<u32>,
    /// Whether the model can't tell for some texts whether they were in the training rows.
    pub(super) is_untold: bool,
}

/// Looks up each distinct text: `of` gets it unchanged and in its canonical form. A text of only white
/// space is missing.
pub(super) fn look<T: Clone>(
    texts: &Texts,
    missing: T,
    of: impl Fn(&str, &str) -> (T, Is),
) -> Looked<T> {
    let mut looked = Looked {
        of: Vec::with_capacity(texts.words.len()),
        missing,
        unknown: vec![],
        is_untold: false,
    };
    for (code, word) in (0..).zip(texts.words.iter()) {
        let form = canonical(word);
        let (found, is) = match form.is_empty() {
            true => (looked.missing.clone(), Is::Known),
            false => of(word, &form),
        };
        looked.of.push(found);
        match is {
            Is::Known => {}
            Is::Unknown => looked.unknown.push(code),
            Is::Untold => looked.is_untold = true,
        }
    }
    looked
}

/// Names to find categories by.
pub(super) struct Names<'a> {
    names: &'a [String],
    exact: HashMap<&'a str, u32>,
    /// The canonical forms of the names, which in older models aren't canonical.
    forms: OnceCell<HashMap<Cow<'a, str>, u32>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(names: &'a [String]) -> Self {
        let exact = names.iter().map(String::as_str).zip(0..).collect();
        Names { names, exact, forms: OnceCell::new() }
    }

    /// The index of the name that is this word or its canonical form; or if the names are those of
    /// yes and no, means the same.
    pub(super) fn find(&self, word: &str, form: &str) -> Option<u32> {
        let exact = |text: &str| self.exact.get(text).copied();
        exact(word).or_else(|| exact(form)).or_else(|| self.form(form)).or_else(|| self.truth(form))
    }

    fn form(&self, form: &str) -> Option<u32> {
        let forms = self.forms.get_or_init(|| {
            let all = self.names.iter().zip(0..).map(|(name, place)| (canonical(name), place));
            all.filter(|(form, place)| self.names[*place as usize] != *form).collect()
        });
        forms.get(form).copied()
    }

    fn truth(&self, form: &str) -> Option<u32> {
        let [one, other] = self.names else { return None };
        let (said, one, other) = (truth(form)?, truth(one)?, truth(other)?);
        (one != other).then(|| u32::from(said == other))
    }
}
