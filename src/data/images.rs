//! Folders of images, one for each class.

use super::{Dataset, Features, Targets};
use crate::error::{Error, Result, serde_as_text};
use crate::matrix::Matrix;
use image::imageops::{self, FilterType};
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The endings of the files that are taken for images.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "bmp", "gif", "webp"];
/// The width and height of images that differ in size, unless something else is asked for.
const USUAL: u32 = 32;
/// The most pixels of an image, as its header says, that are decoded.
const MOST_PIXELS: u64 = 1 << 28;

/// Whether images are read in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    /// One number a pixel.
    Grey,
    /// Red, green and blue of each pixel.
    Rgb,
}

/// The shape of the images that a model takes: pixels row after row, the colours of a pixel side
/// by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageShape {
    /// Pixels in a row.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// Whether they are in colour.
    pub colour: Colour,
}

impl ImageShape {
    /// The number of features.
    #[must_use]
    pub fn features(&self) -> usize {
        let channels = if self.colour == Colour::Rgb { 3 } else { 1 };
        self.width as usize * self.height as usize * channels
    }
}

/// What a user says of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// Width and height.
    pub size: Option<ImageSize>,
    /// In colour or not.
    pub colour: Option<Colour>,
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize(pub u32, pub u32);

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0, self.1)
    }
}

impl FromStr for ImageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (width, height) = text.split_once(['x', '×']).unwrap_or((text, text));
        match (width.trim().parse(), height.trim().parse()) {
            (Ok(w @ 1..=4096), Ok(h @ 1..=4096)) => Ok(ImageSize(w, h)),
            _ => Err(Error::usage(format!("{text:?} is no size of an image"))
                .help("write for example 28x28, or 28 for both; at most 4096")),
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Colour::Grey { "grey" } else { "rgb" })
    }
}

impl FromStr for Colour {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "grey" | "gray" => Ok(Colour::Grey),
            "rgb" => Ok(Colour::Rgb),
            _ => Err(Error::usage(format!("{text:?} is neither grey nor rgb"))),
        }
    }
}

serde_as_text!(ImageSize);

/// The images of a folder: files, and the class of each where they lie in folders.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageFolder {
    path: PathBuf,
    files: Vec<PathBuf>,
    labels: Vec<u32>,
    classes: Vec<String>,
}

/// The images below a folder: those in the folders in it, each of which is a class; or if there
/// are none, those in it. None without any image.
///
/// # Errors
/// When a folder can't be read.
pub(super) fn find(path: &Path) -> Result<Option<ImageFolder>> {
    let mut found = ImageFolder {
        path: path.to_path_buf(),
        files: Vec::new(),
        labels: Vec::new(),
        classes: Vec::new(),
    };
    for folder in entries(path)?.into_iter().filter(|p| p.is_dir()) {
        let files: Vec<PathBuf> = entries(&folder)?.into_iter().filter(|p| is_image(p)).collect();
        if !files.is_empty() {
            let class = found.classes.len() as u32;
            found.labels.extend(std::iter::repeat_n(class, files.len()));
            found.files.extend(files);
            let name = folder.file_name().unwrap_or_default();
            found.classes.push(name.to_string_lossy().into_owned());
        }
    }
    if found.files.is_empty() {
        found.files = entries(path)?.into_iter().filter(|p| is_image(p)).collect();
    }
    Ok((!found.files.is_empty()).then_some(found))
}

/// What lies in a folder and isn't hidden, by name.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let read = |e: std::io::Error| Error::io("read", path, &e);
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let entry = entry.map_err(read)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    path.is_file() && ending.is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

impl ImageFolder {
    /// The shape that all images are brought to: as asked for, else that of all of them, else
    /// 32 × 32; in colour if any of them is.
    ///
    /// # Errors
    /// When a file is no image.
    pub(super) fn shape(&self, options: &ImageOptions) -> Result<ImageShape> {
        let heads: Vec<((u32, u32), ColorType)> =
            self.files.par_iter().map(|file| head(file)).collect::<Result<_>>()?;
        let (first, _) = heads[0];
        let is_grey = |c: &ColorType| !c.has_color();
        let same = heads.iter().all(|(size, _)| *size == first);
        let ImageSize(width, height) = options.size.unwrap_or(match same {
            true => ImageSize(first.0, first.1),
            false => ImageSize(USUAL, USUAL),
        });
        let colour = options.colour.unwrap_or(match heads.iter().all(|(_, c)| is_grey(c)) {
            true => Colour::Grey,
            false => Colour::Rgb,
        });
        Ok(ImageShape { width, height, colour })
    }

    /// The paths of the images from the folder on.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let name =
            |file: &PathBuf| file.strip_prefix(&self.path).unwrap_or(file).display().to_string();
        self.files.iter().map(name)
    }

    /// The pixels of all images in that shape: (images, features).
    ///
    /// # Errors
    /// When a file is no image.
    pub(super) fn features(&self, shape: ImageShape) -> Result<Features> {
        let rows: Vec<Vec<u8>> =
            self.files.par_iter().map(|file| pixels(file, shape)).collect::<Result<_>>()?;
        Ok(Features::U8(Matrix::new(rows.len(), shape.features(), rows.concat())?))
    }

    /// As [`ImageFolder::features`], of the files that are images; and what is wrong with the others,
    /// with their places.
    pub(super) fn readable(&self, shape: ImageShape) -> Result<(Features, Vec<(usize, Error)>)> {
        let read: Vec<Result<Vec<u8>>> =
            self.files.par_iter().map(|file| pixels(file, shape)).collect();
        let (mut rows, mut faults) = (Vec::with_capacity(read.len()), Vec::new());
        for (place, image) in read.into_iter().enumerate() {
            match image {
                Ok(row) => rows.push(row),
                Err(error) => faults.push((place, error)),
            }
        }
        let features = Matrix::new(rows.len(), shape.features(), rows.concat())?;
        Ok((Features::U8(features), faults))
    }

    /// The images with their classes.
    ///
    /// # Errors
    /// When a file is no image, or there are fewer than two classes.
    pub(super) fn dataset(&self, shape: ImageShape, known: Option<&[String]>) -> Result<Dataset> {
        if self.classes.len() < 2 && known.is_none() || self.classes.is_empty() {
            let found = match self.classes.first() {
                Some(class) => format!("the only class is {class:?}"),
                None => "the images are of no class".into(),
            };
            return Err(Error::data(found)
                .at(self.path.display())
                .help("put the images of each class in a folder of its own"));
        }
        let targets = Targets::Classes { labels: self.labels.clone(), names: self.classes.clone() };
        let full = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let name = full.file_name().map_or("images".into(), |n| n.to_string_lossy().into_owned());
        Ok(Dataset::new(name, self.features(shape)?, targets)?.image_of(shape))
    }
}

fn open(file: &Path) -> Result<ImageReader<std::io::BufReader<fs::File>>> {
    let reader = ImageReader::open(file).map_err(|e| Error::io("open", file, &e))?;
    reader.with_guessed_format().map_err(|e| Error::io("read", file, &e))
}

fn no_image(file: &Path, error: &image::ImageError) -> Error {
    Error::data(format!("not an image that can be read: {error}"))
        .at(file.display())
        .help("repair the file or take it away; PNG, JPEG, BMP, GIF and WebP can be read")
}

/// Size and colours, as the file's header says.
fn head(file: &Path) -> Result<((u32, u32), ColorType)> {
    let decoder = open(file)?.into_decoder().map_err(|e| no_image(file, &e))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MOST_PIXELS || width == 0 || height == 0 {
        return Err(Error::data(format!("an image of {width} × {height} pixels"))
            .at(file.display())
            .help("make it smaller, or take it away"));
    }
    Ok(((width, height), decoder.color_type()))
}

/// The pixels in that shape.
fn pixels(file: &Path, shape: ImageShape) -> Result<Vec<u8>> {
    head(file)?;
    let image = open(file)?.decode().map_err(|e| no_image(file, &e))?;
    let ImageShape { width, height, colour } = shape;
    let image = match (image.width(), image.height()) == (width, height) {
        true => image,
        false => DynamicImage::from(imageops::resize(
            &image.into_rgba8(),
            width,
            height,
            FilterType::Triangle,
        )),
    };
    Ok(match colour {
        Colour::Grey => image.into_luma8().into_raw(),
        Colour::Rgb => image.into_rgb8().into_raw(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (class, value) in [("cat", 10u8), ("dog", 200)] {
            fs::create_dir(dir.path().join(class)).unwrap();
            for i in 0..2u8 {
                let image = GrayImage::from_pixel(4, 3, Luma([value + i]));
                image.save(dir.path().join(format!("{class}/{i}.png"))).unwrap();
            }
        }
        fs::write(dir.path().join("cat/notes.txt"), "no image").unwrap();
        dir
    }

    #[test]
    fn each_folder_is_a_class() {
        let dir = folder();
        let found = find(dir.path()).unwrap().unwrap();
        let shape = found.shape(&ImageOptions::default()).unwrap();
        assert_eq!(shape, ImageShape { width: 4, height: 3, colour: Colour::Grey });
        let data = found.dataset(shape, None).unwrap();
        assert_eq!(data.class_names().unwrap(), ["cat", "dog"]);
        assert!(data.is_image() && data.features().cols() == 12);
        let values: Vec<f32> = (0..4).map(|r| data.features().value(r, 5)).collect();
        assert_eq!(values, [10.0, 11.0, 200.0, 201.0]);
    }

    #[test]
    fn images_are_resized_and_turned_grey_or_coloured_as_asked() {
        let dir = folder();
        RgbImage::from_pixel(9, 9, Rgb([30, 60, 90])).save(dir.path().join("dog/2.bmp")).unwrap();
        let found = find(dir.path()).unwrap().unwrap();
        let shape = found.shape(&ImageOptions::default()).unwrap();
        assert_eq!(shape, ImageShape { width: 32, height: 32, colour: Colour::Rgb });
        let size = Some("6x2".parse().unwrap());
        let options = ImageOptions { size, colour: Some(Colour::Grey) };
        let shape = found.shape(&options).unwrap();
        let data = found.dataset(shape, None).unwrap();
        assert_eq!(data.features().cols(), 12);
        assert_eq!(data.features().value(0, 11), 10.0);
        let colour = ImageShape { colour: Colour::Rgb, ..shape };
        let last = found.features(colour).unwrap();
        assert_eq!([0, 1, 2].map(|c| last.value(4, c)), [30.0, 60.0, 90.0]);
    }

    #[test]
    fn an_image_that_is_none_is_named() {
        let dir = folder();
        fs::write(dir.path().join("dog/3.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
        let found = find(dir.path()).unwrap().unwrap();
        let error = found.shape(&ImageOptions::default()).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3);
        assert!(error.to_string().contains("dog/3.png"), "{error}");
        fs::remove_dir_all(dir.path().join("dog")).unwrap();
        let found = find(dir.path()).unwrap().unwrap();
        let error = found.dataset(found.shape(&ImageOptions::default()).unwrap(), None);
        assert!(error.unwrap_err().to_string().contains("the only class is \"cat\""));
        assert_eq!(find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap(), None);
        assert!("0x3".parse::<ImageSize>().is_err() && "a".parse::<ImageSize>().is_err());
    }
}
