//! The part of the data for evaluating a trained model or for its predictions.

use super::arrays;
use super::find::Found;
use super::idx_set;
use super::options::DataOptions;
use crate::base::error::{Error, Result};
use crate::base::memory::Budget;
use crate::data::formats::npy::{self, NpzPart};
use crate::data::images::ImageFolder;
use crate::data::sets::dataset::Ready;
use crate::data::streams::stream::{ByteStream, Source, set_name};
use crate::data::{Dataset, Features, Preprocessing};
use std::path::Path;

/// Rows for a trained model.
pub(super) enum HeldOut {
    /// Rows of a table, which is not read yet.
    Table(Source),
    /// Images, which are not read yet.
    Images(ImageFolder),
    /// A matrix with its targets.
    Set(Dataset),
    /// A matrix with its name, without targets.
    Features(String, Features),
}

impl Found {
    /// Whether the rows for a trained model are those of a table.
    pub(super) fn is_table(&self) -> bool {
        match self {
            Found::Table(_) => true,
            Found::Arrays(set) => set.is_table(),
            _ => false,
        }
    }

    /// The rows for a trained model, and whether they are a test part: that of a set that has one, otherwise
    /// all.
    ///
    /// # Errors
    /// For a matrix that can't be read, or has no targets but needs them.
    pub(super) fn held_out(
        self,
        preprocessing: &Preprocessing,
        options: &DataOptions,
        with_targets: bool,
    ) -> Result<(HeldOut, bool)> {
        let mut is_test_part = false;
        let rows = match self {
            Found::Table(source) => HeldOut::Table(source),
            Found::Images(images) => {
                is_test_part = images.has_held_out_part();
                HeldOut::Images(images.held_out(options))
            }
            Found::Set(Ready { train, test, .. }) => {
                is_test_part = test.is_some();
                HeldOut::Set(test.unwrap_or(train))
            }
            Found::Arrays(set) => {
                let without = set.set.without_targets();
                let (path, part, is_test) = set.measured_part();
                is_test_part = is_test;
                match part {
                    NpzPart::Table(frame) => HeldOut::Table(Source::Rows(path, frame.into())),
                    NpzPart::Images(x, _) if !with_targets => {
                        let features = x.features().map_err(|e| e.at(path.display()))?;
                        HeldOut::Features(set_name(&path), features)
                    }
                    NpzPart::Images(x, Some(y)) => {
                        HeldOut::Set(arrays::read(&path, &x, &y, preprocessing.goal())?)
                    }
                    NpzPart::Images(_, None) => return Err(without.at(path.display())),
                }
            }
            Found::Pixels(source) if with_targets => return Err(without_classes(source.path())),
            Found::Pixels(source) => {
                let array = npy::read_npy(source.open()?, Budget(options.memory));
                let features = array.and_then(|array| array.features());
                let features = features.map_err(|e| e.at(source.path().display()))?;
                HeldOut::Features(set_name(source.path()), features)
            }
            Found::Idx(images) if with_targets => HeldOut::Set(pair(images, options)?),
            Found::Idx(images) => {
                let name = set_name(images.path());
                let (features, _) = idx_set::features(images, Budget(options.memory))?;
                HeldOut::Features(name, features)
            }
        };
        Ok((rows, is_test_part))
    }
}

/// The images of a file with the labels from the file next to it.
pub(super) fn pair(images: ByteStream, options: &DataOptions) -> Result<Dataset> {
    let labels = ByteStream::open(&idx_set::labels_of(images.path())?)?;
    idx_set::pair(images, labels, None, Budget(options.memory))
}

/// The error for an array of images without labels.
pub(super) fn without_classes(path: &Path) -> Error {
    Error::data("the images have no classes")
        .at(path.display())
        .help("save them with their labels: numpy.savez(FILE, x=images, y=labels)")
}
