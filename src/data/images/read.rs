//! Images as features, and messages about how they were read.

use super::Pixels;
use super::decode::Head;
use super::folder::ImageFolder;
use super::pixels::Value;
use super::remarks::{Seen, Tally};
use crate::base::error::{Error, Result};
use crate::base::memory::{available, human};
use crate::data::sets::image_shape::MOST_PIXELS;
use crate::data::{Colour, Dataset, Features, ImageOptions, ImageShape, ImageSize, Targets};
use crate::math::matrix::Matrix;
use rayon::prelude::*;
use std::ops::Range;

/// The default width and height of images that differ in size.
const USUAL: u32 = 32;
/// The default limit of memory for reading images, in bytes, if the machine's memory is
/// unknown.
pub(super) const MEMORY: u64 = 4 << 30;
/// Training holds the features of all images, a copy of the training rows, and one more of them
/// while a scaling is fitted.
const COPIES: u64 = 3;

impl ImageFolder {
    /// The headers of these images, each with its own error.
    fn heads(&self, places: Range<usize>, memory: u64) -> Vec<Result<Head>> {
        self.files[places].par_iter().map(|file| Head::read(file, memory)).collect()
    }

    /// The shape to which all images are converted: the requested one, otherwise their common size up to
    /// 4096 × 4096, otherwise 32 × 32; with color, alpha and 16 bits if any of their headers has them.
    fn common_shape(&self, options: &ImageOptions, heads: &[Head]) -> ImageShape {
        let any = |test: fn(&Head) -> bool| heads.iter().any(test);
        let first = heads.first().map_or((USUAL, USUAL), |head| head.size);
        let same =
            heads.iter().all(|head| head.size == first) && first.0.max(first.1) <= MOST_PIXELS;
        let ImageSize(width, height) = options.size.unwrap_or(match same {
            true => ImageSize(first.0, first.1),
            false => ImageSize(USUAL, USUAL),
        });
        let colour = options.colour.unwrap_or_else(|| {
            let colour = match any(|head| head.color.has_color()) {
                true => Colour::Rgb,
                false => Colour::Grey,
            };
            colour.with_alpha(any(|head| head.color.has_alpha()))
        });
        ImageShape { width, height, colour, sixteen_bit: any(Head::is_sixteen_bit) }
    }

    /// The shape of the images for a model without an image shape: bytes without alpha.
    ///
    /// # Errors
    /// When a file isn't an image.
    pub(in crate::data) fn plain_shape(
        &self,
        options: &ImageOptions,
        memory: Option<u64>,
    ) -> Result<ImageShape> {
        let heads = self.heads(0..self.len(), memory.or_else(available).unwrap_or(MEMORY));
        let heads: Vec<Head> = heads.into_iter().collect::<Result<_>>()?;
        let shape = self.common_shape(options, &heads);
        let colour = options.colour.unwrap_or(shape.colour.with_alpha(false));
        Ok(ImageShape { colour, sixteen_bit: false, ..shape })
    }

    /// The images with their classes for training, in the shape that suits them, within a limit of
    /// memory in bytes; and messages for the user. `others` images are held at the same time.
    ///
    /// # Errors
    /// When there are fewer than two classes, a file isn't an image, or the memory isn't sufficient.
    pub(in crate::data) fn training(
        &self,
        options: &ImageOptions,
        memory: Option<u64>,
        others: usize,
    ) -> Result<(Dataset, Vec<String>)> {
        self.check_classes(2)?;
        let memory = memory.or_else(available).unwrap_or(MEMORY);
        let heads = self.heads(0..self.len(), memory);
        let heads: Vec<Head> = heads.into_iter().collect::<Result<_>>()?;
        let mut shape = self.common_shape(options, &heads);
        let images = (self.len() + others) as u64;
        let needed = images.saturating_mul(shape.bytes());
        let copies = needed.saturating_mul(COPIES);
        if copies > memory {
            return Err(self.too_many(images, shape, copies, memory));
        }
        let heads = heads.into_iter().map(Ok).collect();
        let mut tally = Tally::default();
        let read = self.decoded(0..self.len(), heads, shape, memory - needed, &mut tally)?;
        let mut features = read.all()?;
        if options.colour.is_none() && shape.colour.has_alpha() && !tally.any_transparent() {
            features = without_alpha(features, shape.colour.channels())?;
            shape.colour = shape.colour.with_alpha(false);
        }
        if let Features::F32(m) = &features {
            tally.add_values(m.data());
        }
        let mut lines = self.lines();
        lines.extend(tally.lines(&self.path, shape, false));
        let targets = Targets::Classes { labels: self.labels.clone(), names: self.classes.clone() };
        let data = Dataset::new(self.set_name(), features, targets)?.image_of(shape);
        Ok((data, lines))
    }

    /// The images with their classes, in the shape of a model, and messages for the user.
    ///
    /// # Errors
    /// When they have no classes, a file isn't an image, or the memory isn't sufficient.
    pub(in crate::data) fn measured(
        &self,
        shape: ImageShape,
        memory: Option<u64>,
    ) -> Result<(Dataset, Vec<String>)> {
        self.check_classes(1)?;
        let mut tally = Tally::default();
        let features = self.pixels(0..self.len(), shape, memory, &mut tally)?.all()?;
        let mut lines = self.lines();
        lines.extend(tally.lines(&self.path, shape, true));
        let targets = Targets::Classes { labels: self.labels.clone(), names: self.classes.clone() };
        let data = Dataset::new(self.set_name(), features, targets)?.image_of(shape);
        Ok((data, lines))
    }

    /// The features of these images in that shape, and the errors of those that are left out.
    /// Their properties are counted in `tally`.
    ///
    /// # Errors
    /// When the memory isn't sufficient.
    pub(in crate::data) fn pixels(
        &self,
        places: Range<usize>,
        shape: ImageShape,
        memory: Option<u64>,
        tally: &mut Tally,
    ) -> Result<Pixels> {
        let memory = memory.or_else(available).unwrap_or(MEMORY);
        let needed = (places.len() as u64).saturating_mul(shape.bytes());
        if needed > memory {
            return Err(self.too_many(places.len() as u64, shape, needed, memory));
        }
        let heads = self.heads(places.clone(), memory);
        self.decoded(places, heads, shape, memory - needed, tally)
    }

    /// Decodes these images, whose headers were read before, within `memory` bytes in addition to the
    /// features: in parallel, then one by one those that need more than a thread's share.
    fn decoded(
        &self,
        places: Range<usize>,
        heads: Vec<Result<Head>>,
        shape: ImageShape,
        memory: u64,
        tally: &mut Tally,
    ) -> Result<Pixels> {
        let (features, seen) = match shape.sixteen_bit {
            false => {
                let (values, seen) = self.values::<u8>(&places, &heads, shape, memory);
                (Features::U8(matrix(values, shape)?), seen)
            }
            true => {
                let (values, seen) = self.values::<f32>(&places, &heads, shape, memory);
                (Features::F32(matrix(values, shape)?), seen)
            }
        };
        let mut read = Pixels { features, faults: Vec::new() };
        let mut sound = Vec::with_capacity(seen.len());
        for (i, (seen, head)) in seen.into_iter().zip(heads).enumerate() {
            match (seen, head) {
                (Ok(seen), Ok(head)) => {
                    let name = || self.name(places.start + i);
                    tally.add(name, &head, seen, shape);
                    sound.push(i);
                }
                (Err(error), _) | (_, Err(error)) => read.faults.push((places.start + i, error)),
            }
        }
        if !read.faults.is_empty() {
            read.features = read.features.select_rows(&sound);
        }
        Ok(read)
    }

    /// The features of all these images, row by row; zeros for those that can't be read.
    fn values<V: Value>(
        &self,
        places: &Range<usize>,
        heads: &[Result<Head>],
        shape: ImageShape,
        memory: u64,
    ) -> (Vec<V>, Vec<Result<Seen>>) {
        let share = memory / rayon::current_num_threads().max(1) as u64;
        let mut values = vec![V::default(); places.len() * shape.features()];
        let files = &self.files[places.clone()];
        let decode = |i: usize, row: &mut [V], memory: u64| -> Result<Seen> {
            let head = heads[i].clone()?;
            let (image, has_more_frames) = head.decode(&files[i], shape.height, memory)?;
            let (found, is_transparent) = V::of(image, shape);
            row.copy_from_slice(&found);
            Ok(Seen { is_transparent, has_more_frames })
        };
        let is_small =
            |i: usize| heads[i].as_ref().is_ok_and(|head| head.memory(shape.height) <= share);
        let mut seen: Vec<Result<Seen>> = values
            .par_chunks_mut(shape.features().max(1))
            .enumerate()
            .map(|(i, row)| match is_small(i) {
                true => decode(i, row, share),
                false => Ok(Seen::default()),
            })
            .collect();
        for (i, row) in values.chunks_mut(shape.features().max(1)).enumerate() {
            if !is_small(i) {
                seen[i] = decode(i, row, memory);
            }
        }
        (values, seen)
    }

    /// Refuses fewer classes than `least`, and suggests where the others may be.
    fn check_classes(&self, least: usize) -> Result<()> {
        if self.classes.len() >= least {
            return Ok(());
        }
        let (found, help) = match self.classes.first() {
            None => ("the images have no classes".to_string(), String::new()),
            Some(class) => {
                let inner = self.path.join(class);
                let nested: Vec<_> = self
                    .nested
                    .keys()
                    .filter_map(|folder| folder.strip_prefix(&inner).ok())
                    .collect();
                let help = match nested.len() {
                    0 | 1 => String::new(),
                    _ => format!("; or name {}, in which there are folders", inner.display()),
                };
                (format!("the only class is {class:?}"), help)
            }
        };
        let error = Error::data(found)
            .at(self.path.display())
            .help(format!("put the images of each class in a separate folder{help}"));
        let error = self.empty.iter().fold(error, |error, f| error.also(self.describe_empty(f)));
        Err(match self.tables.first().filter(|_| self.classes.is_empty()) {
            Some(table) => error.also(format!(
                "labels of images aren't read from {table}: move each image into a folder with the name of its \
                 label"
            )),
            None => error,
        })
    }

    fn too_many(&self, images: u64, shape: ImageShape, needed: u64, memory: u64) -> Error {
        let ImageShape { width, height, .. } = shape;
        Error::data(format!(
            "{images} images of {width} × {height} pixels need {} of memory, more than {}",
            human(needed as f64),
            human(memory as f64)
        ))
        .at(self.path.display())
        .help("choose a smaller --image-size, such as 32x32, or raise --memory-limit")
    }

    /// The name of the data set: that of the folder.
    fn set_name(&self) -> String {
        let full = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        full.file_name().map_or("images".into(), |name| name.to_string_lossy().into_owned())
    }
}

impl Pixels {
    /// All images.
    ///
    /// # Errors
    /// For the first that can't be read.
    fn all(self) -> Result<Features> {
        match self.faults.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(self.features),
        }
    }
}

fn matrix<T>(values: Vec<T>, shape: ImageShape) -> Result<Matrix<T>> {
    let features = shape.features();
    Matrix::new(values.len() / features.max(1), features, values)
}

/// The features without the last of `channels`.
fn without_alpha(features: Features, channels: usize) -> Result<Features> {
    fn dropped<T: Copy>(m: &Matrix<T>, channels: usize) -> Result<Matrix<T>> {
        let kept = m.data().chunks_exact(channels).flat_map(|pixel| &pixel[..channels - 1]);
        Matrix::new(m.rows(), m.cols() / channels * (channels - 1), kept.copied().collect())
    }
    Ok(match &features {
        Features::U8(m) => Features::U8(dropped(m, channels)?),
        Features::F32(m) => Features::F32(dropped(m, channels)?),
    })
}
