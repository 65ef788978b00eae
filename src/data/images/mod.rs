//! Folders of images, one for each class: found, decoded, and converted to one shape.
//!
//! Without the feature `images` they are found, and refused.

#[cfg(feature = "images")]
mod decode;
mod folder;
#[cfg(feature = "images")]
mod frames;
#[cfg(feature = "images")]
mod pixels;
#[cfg(feature = "images")]
mod read;
#[cfg(feature = "images")]
mod remarks;
#[cfg(all(test, feature = "images"))]
mod tests;
#[cfg(not(feature = "images"))]
mod unread;
pub(super) use folder::{ImageFolder, entries, find};
#[cfg(feature = "images")]
pub(super) use remarks::Tally;
#[cfg(not(feature = "images"))]
pub(super) use unread::Tally;

use super::Features;
use crate::base::error::Error;

/// Images as features.
pub(in crate::data) struct Pixels {
    /// (images that could be read, features).
    pub features: Features,
    /// The errors of the others, by their indices in order.
    pub faults: Vec<(usize, Error)>,
}
