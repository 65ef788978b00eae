//! Without the feature `images`: nothing reads them.

use super::{ImageFolder, Pixels};
use crate::base::error::{Error, Result};
use crate::data::{Dataset, ImageOptions, ImageShape};
use std::ops::Range;
use std::path::Path;

/// Nothing is counted.
#[derive(Default)]
pub(in crate::data) struct Tally;

impl Tally {
    pub(in crate::data) fn lines(&self, _: &Path, _: ImageShape, _: bool) -> Vec<String> {
        Vec::new()
    }
}

impl ImageFolder {
    fn refused<T>(&self) -> Result<T> {
        Err(Error::data("images can't be read: this program was built without the feature images")
            .at(self.path().display())
            .help("build wgrad with the feature images"))
    }

    pub(in crate::data) fn plain_shape(
        &self,
        _: &ImageOptions,
        _: Option<u64>,
    ) -> Result<ImageShape> {
        self.refused()
    }

    pub(in crate::data) fn training(
        &self,
        _: &ImageOptions,
        _: Option<u64>,
        _: usize,
    ) -> Result<(Dataset, Vec<String>)> {
        self.refused()
    }

    pub(in crate::data) fn measured(
        &self,
        _: ImageShape,
        _: Option<u64>,
    ) -> Result<(Dataset, Vec<String>)> {
        self.refused()
    }

    pub(in crate::data) fn pixels(
        &self,
        _: Range<usize>,
        _: ImageShape,
        _: Option<u64>,
        _: &mut Tally,
    ) -> Result<Pixels> {
        self.refused()
    }
}
