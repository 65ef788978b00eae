use super::decode::Head;
use super::folder::find;
use super::read::MEMORY;
use crate::base::error::{ErrorKind, Result};
use crate::data::*;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgb};
use image::{RgbImage, Rgba, RgbaImage};
use std::fs;
use std::io::Cursor;
use std::path::Path;

type Gray16 = image::ImageBuffer<Luma<u16>, Vec<u16>>;

/// Two classes of two images of 4 × 3 pixels each: 10 and 11, 200 and 201.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (class, value) in [("cat", 10u8), ("dog", 200)] {
        for i in 0..2u8 {
            let image = GrayImage::from_pixel(4, 3, Luma([value + i]));
            write(dir.path(), &format!("{class}/{i}.png"), &encoded(&image.into(), "png"));
        }
    }
    dir
}

fn write(dir: &Path, name: &str, bytes: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn encoded(image: &DynamicImage, extension: &str) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::from_extension(extension).unwrap()).unwrap();
    bytes.into_inner()
}

fn training(dir: &Path) -> Result<(Dataset, Vec<String>)> {
    find(dir)?.training(&ImageOptions::default(), None, 0)
}

fn row(data: &Dataset, row: usize) -> Vec<f32> {
    (0..data.features().cols()).map(|col| data.features().value(row, col)).collect()
}

fn refusal(result: Result<(Dataset, Vec<String>)>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    error.to_string()
}

fn has_line(lines: &[String], parts: &[&str]) -> bool {
    lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
}

#[test]
fn each_folder_is_a_class() {
    let dir = folder();
    let (data, lines) = training(dir.path()).unwrap();
    let shape = ImageShape { width: 4, height: 3, colour: Colour::Grey, sixteen_bit: false };
    assert_eq!(data.shape(), Some(shape));
    assert_eq!(data.class_names().unwrap(), ["cat", "dog"]);
    assert!(data.is_image() && data.features().cols() == 12);
    let values: Vec<f32> = (0..4).map(|r| data.features().value(r, 5)).collect();
    assert_eq!(values, [10.0, 11.0, 200.0, 201.0]);
    assert_eq!(lines, Vec::<String>::new());
}

#[test]
fn images_are_resized_and_turned_grey_or_coloured_as_asked() {
    let dir = folder();
    let image = RgbImage::from_pixel(9, 9, Rgb([30, 60, 90]));
    write(dir.path(), "dog/2.bmp", &encoded(&image.into(), "bmp"));
    let (data, lines) = training(dir.path()).unwrap();
    let shape = ImageShape { width: 32, height: 32, colour: Colour::Rgb, sixteen_bit: false };
    assert_eq!(data.shape(), Some(shape));
    assert_eq!(row(&data, 4)[..3], [30.0, 60.0, 90.0]);
    assert!(has_line(
        &lines,
        &["note: ", "5 of 5", "4 × 3 to 9 × 9", "to 32 × 32", "--image-size"]
    ));
    let size = Some("6x2".parse().unwrap());
    let options = ImageOptions { size, colour: Some(Colour::Grey) };
    let (data, _) = find(dir.path()).unwrap().training(&options, None, 0).unwrap();
    assert_eq!((data.features().cols(), data.features().value(0, 11)), (12, 10.0));
    // 0.2126 · 30 + 0.7152 · 60 + 0.0722 · 90 = 55.8
    assert_eq!(data.features().value(4, 0), 56.0);
    assert!("0x3".parse::<ImageSize>().is_err() && "a".parse::<ImageSize>().is_err());
    assert!("graycode".parse::<Colour>().is_err());
    for colour in Colour::ALL {
        assert_eq!(colour.to_string().parse::<Colour>().unwrap(), colour);
    }
}

/// Exif metadata that hold nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
}

fn jpeg_with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let body = [b"Exif\0\0".to_vec(), exif(orientation)].concat();
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &body, &jpeg[2..]].concat()
}

fn png_with_exif(png: &[u8], orientation: u8) -> Vec<u8> {
    let chunk = [b"eXIf".to_vec(), exif(orientation)].concat();
    let length = (chunk.len() as u32 - 4).to_be_bytes();
    let mut crc = flate2::Crc::new();
    crc.update(&chunk);
    let crc = crc.sum().to_be_bytes();
    // Behind the signature and IHDR.
    [&png[..33], &length, &chunk, &crc, &png[33..]].concat()
}

/// A TIFF of one strip of 8-bit gray, with an orientation.
fn tiff_with_orientation(image: &GrayImage, orientation: u8) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let pixels = image.as_raw();
    let directory = 8 + pixels.len() as u32;
    let entries: [(u16, u16, u32); 8] = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (274, 3, orientation.into()),
        (279, 4, pixels.len() as u32),
    ];
    let mut file = [b"II*\0".to_vec(), directory.to_le_bytes().to_vec(), pixels.clone()].concat();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    file
}

/// For each orientation, which of the stored pixels of an image of 16 × 8 is at the upper left and
/// at the upper right of the upright image, and whether that is 8 × 16 (EXIF 2.32, figure 9).
const UPRIGHT: [([u32; 2], [u32; 2], bool); 8] = [
    ([0, 0], [15, 0], false),
    ([15, 0], [0, 0], false),
    ([15, 7], [0, 7], false),
    ([0, 7], [15, 7], false),
    ([0, 0], [0, 7], true),
    ([0, 7], [0, 0], true),
    ([15, 7], [15, 0], true),
    ([15, 0], [15, 7], true),
];

#[test]
fn every_exif_orientation_is_obeyed_in_jpeg_png_and_tiff() {
    // Each corner has a gray of its own, over a block of JPEG's 8 × 8 half.
    let corner = |x: u32, y: u32| [[20u8, 90], [160, 230]][usize::from(y > 3)][usize::from(x > 7)];
    let image = GrayImage::from_fn(16, 8, |x, y| Luma([corner(x, y)]));
    let jpeg = encoded(&image.clone().into(), "jpg");
    let png = encoded(&image.clone().into(), "png");
    for (place, (left, right, is_sideways)) in UPRIGHT.into_iter().enumerate() {
        let orientation = place as u8 + 1;
        for (name, bytes, tolerance) in [
            ("x.jpg", jpeg_with_exif(&jpeg, orientation), 20.0),
            ("x.png", png_with_exif(&png, orientation), 0.0),
            ("x.tif", tiff_with_orientation(&image, orientation), 0.0),
        ] {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &format!("a/{name}"), &bytes);
            write(dir.path(), &format!("b/{name}"), &bytes);
            let (data, lines) = training(dir.path()).unwrap();
            let shape = data.shape().unwrap();
            let (width, height) = if is_sideways { (8, 16) } else { (16, 8) };
            assert_eq!((shape.width, shape.height), (width, height), "{name} {orientation}");
            let found = row(&data, 0);
            let expected = [left, right].map(|[x, y]| f32::from(corner(x, y)));
            let found = [found[0], found[width as usize - 1]];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() <= tolerance, "{name} {orientation}: {found}");
            }
            let is_said = has_line(&lines, &["note: ", "2 of 2", "EXIF orientation"]);
            assert_eq!(is_said, orientation > 1, "{lines:?}");
        }
    }
}

#[test]
fn sixteen_bits_are_kept_with_their_range_and_learnt_from_alike_by_a_trained_model() {
    let dir = tempfile::tempdir().unwrap();
    for (class, value) in [("a", 50u16), ("b", 200)] {
        let image = Gray16::from_fn(2, 1, |x, _| Luma([if x == 0 { 0 } else { value }]));
        write(dir.path(), &format!("{class}/0.png"), &encoded(&image.into(), "png"));
    }
    let (data, lines) = training(dir.path()).unwrap();
    assert!(data.shape().unwrap().sixteen_bit);
    assert_eq!([row(&data, 0), row(&data, 1)], [[0.0, 50.0], [0.0, 200.0]]);
    assert!(
        has_line(&lines, &["note: ", "2 of 2", "16 bits", "from 0 to 200 of 65535"]),
        "{lines:?}"
    );
    let preprocessing = Preprocessing::fit(&data, Scaling::Minmax);
    assert_eq!(preprocessing.features.scale, [1.0 / 200.0; 2]);
    // Images of 8 bits beside them count in the same units.
    let eight = GrayImage::from_pixel(2, 1, Luma([2]));
    write(dir.path(), "b/1.png", &encoded(&eight.into(), "png"));
    let (mixed, lines) = training(dir.path()).unwrap();
    assert_eq!(row(&mixed, 2), [514.0, 514.0]);
    assert!(has_line(&lines, &["2 of 3", "8 bits are multiplied by 257"]), "{lines:?}");
    // A model of 8 bits says what it does to 16.
    let shape = ImageShape { sixteen_bit: false, ..data.shape().unwrap() };
    let (reduced, lines) = find(dir.path()).unwrap().measured(shape, None).unwrap();
    assert_eq!(row(&reduced, 1), [0.0, 1.0]);
    assert!(has_line(&lines, &["warning: ", "2 of 3", "divided by 257"]), "{lines:?}");
}

#[test]
fn alpha_is_a_channel_where_pixels_are_transparent_and_dropped_where_none_is() {
    let dir = tempfile::tempdir().unwrap();
    for (class, alpha) in [("a", 51u8), ("b", 255)] {
        let image = RgbaImage::from_pixel(1, 1, Rgba([100, 200, 0, alpha]));
        write(dir.path(), &format!("{class}/0.png"), &encoded(&image.into(), "png"));
    }
    let (data, lines) = training(dir.path()).unwrap();
    assert_eq!(data.shape().unwrap().colour, Colour::Rgba);
    let expected = [[20.0, 40.0, 0.0, 51.0], [100.0, 200.0, 0.0, 255.0]];
    assert_eq!([row(&data, 0), row(&data, 1)], expected);
    assert!(has_line(&lines, &["note: ", "1 of 2", "transparent", "alpha is kept"]), "{lines:?}");
    let rgb = ImageOptions { colour: Some(Colour::Rgb), size: None };
    let (data, lines) = find(dir.path()).unwrap().training(&rgb, None, 0).unwrap();
    // 0.2 · 100 + 0.8 · 255, …
    assert_eq!(row(&data, 0), [224.0, 244.0, 204.0]);
    assert!(has_line(&lines, &["1 of 2", "composited over white"]), "{lines:?}");
    let image = RgbaImage::from_pixel(1, 1, Rgba([100, 200, 0, 255]));
    write(dir.path(), "a/0.png", &encoded(&image.into(), "png"));
    let (data, lines) = training(dir.path()).unwrap();
    assert_eq!((data.shape().unwrap().colour, lines), (Colour::Rgb, vec![]));
    assert_eq!(row(&data, 0), [100.0, 200.0, 0.0]);
}

#[test]
fn content_in_grey_with_alpha_alone_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    for (class, alpha) in [("a", 10u8), ("b", 90)] {
        let image = GrayAlphaImage::from_pixel(1, 1, LumaA([0, alpha]));
        write(dir.path(), &format!("{class}/0.png"), &encoded(&image.into(), "png"));
    }
    let (data, _) = training(dir.path()).unwrap();
    assert_eq!([row(&data, 0), row(&data, 1)], [[0.0, 10.0], [0.0, 90.0]]);
}

/// An image in which all pixels differ.
fn ramp() -> DynamicImage {
    RgbImage::from_fn(24, 20, |x, y| Rgb([(x * 10) as u8, (y * 12) as u8, (x * y) as u8])).into()
}

#[test]
fn truncated_files_are_errors_that_name_them_or_have_all_of_their_pixels() {
    for extension in ["png", "jpg", "gif", "bmp", "webp", "tif", "tga", "qoi", "ppm"] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(format!("x.{extension}"));
        let bytes = encoded(&ramp(), extension);
        let read = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            Head::read(&file, MEMORY)?.decode(&file, 20, MEMORY)
        };
        let (whole, _) = read(&bytes).unwrap();
        let (mut tried, mut refused) = (0, 0);
        for length in
            (0..bytes.len()).step_by(1 + bytes.len() / 100).chain(bytes.len() - 4..bytes.len())
        {
            tried += 1;
            match read(&bytes[..length]) {
                Ok((image, _)) => assert!(image == whole, "{extension}, {length} bytes"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains("not a readable image"), "{text}");
                    assert!(text.contains(&format!("x.{extension}")), "{text}");
                    refused += 1;
                }
            }
        }
        assert!(refused * 10 > tried * 9, "{extension}: {refused} of {tried}");
    }
}

#[test]
fn damaged_files_never_panic() {
    let mut state = 1u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    let dir = tempfile::tempdir().unwrap();
    for extension in ["png", "jpg", "gif", "bmp", "webp", "tif", "tga", "qoi", "ppm"] {
        let file = dir.path().join(format!("x.{extension}"));
        let bytes = encoded(&ramp(), extension);
        for _ in 0..100 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + random() % 4 {
                // Headers above all.
                let place = random() % if random() % 2 == 0 { 64 } else { bytes.len() };
                damaged[place] = random() as u8;
            }
            fs::write(&file, damaged).unwrap();
            let memory = 64 << 20;
            if let Ok(head) = Head::read(&file, memory) {
                let _ = head.decode(&file, 20, memory);
            }
        }
    }
}

#[test]
fn files_are_read_by_content_and_the_first_of_several_frames_is_taken() {
    let dir = folder();
    let jpeg = encoded(&GrayImage::from_pixel(4, 3, Luma([90])).into(), "jpg");
    write(dir.path(), "cat/2.png", &jpeg);
    let mut gif = Vec::new();
    let frame = |value| Frame::new(RgbaImage::from_pixel(4, 3, Rgba([value, value, value, 255])));
    GifEncoder::new(&mut gif).encode_frames([frame(40), frame(250)]).unwrap();
    write(dir.path(), "dog/2.gif", &gif);
    // A TIFF whose directory, behind the header and 12 pixels, is followed by a copy of itself.
    let mut tiff = tiff_with_orientation(&GrayImage::from_pixel(4, 3, Luma([70])), 1);
    let (copy, end) = (tiff[20..].to_vec(), tiff.len());
    tiff[end - 4..].copy_from_slice(&(end as u32).to_le_bytes());
    tiff.extend(copy);
    write(dir.path(), "dog/3.tif", &tiff);
    // No extension at all, but the mark of a PNG.
    let png = encoded(&GrayImage::from_pixel(4, 3, Luma([60])).into(), "png");
    write(dir.path(), "dog/4", &png);
    let options = ImageOptions { colour: Some(Colour::Grey), size: None };
    let (data, lines) = find(dir.path()).unwrap().training(&options, None, 0).unwrap();
    let values: Vec<f32> = (0..8).map(|r| data.features().value(r, 0)).collect();
    assert_eq!(values, [10.0, 11.0, 90.0, 200.0, 201.0, 40.0, 70.0, 60.0]);
    assert!(has_line(&lines, &["2 of 8", "several frames", "dog/2.gif", "the first"]), "{lines:?}");
    assert!(has_line(&lines, &["1 of 8", "cat/2.png (Jpeg)", "by content"]), "{lines:?}");
}

#[test]
fn subfolders_belong_to_their_class_and_what_is_passed_over_is_counted_and_named() {
    let dir = folder();
    let png = encoded(&GrayImage::from_pixel(4, 3, Luma([90])).into(), "png");
    write(dir.path(), "cat/more/deep/0.png", &png);
    write(dir.path(), "dog/more/0.png", &png);
    for i in 0..3 {
        write(dir.path(), &format!("cat/more/{i}.xyz"), b"unknown");
        write(dir.path(), &format!("bird/{i}.heic"), b"unknown");
    }
    write(dir.path(), "dog/notes.txt", b"no image");
    write(dir.path(), "stray.png", &png);
    fs::create_dir(dir.path().join("fish")).unwrap();
    for hidden in [".DS_Store", "Thumbs.db", "cat/._0.png", "cat/desktop.ini"] {
        write(dir.path(), hidden, b"junk");
    }
    write(dir.path(), "__MACOSX/cat/0.png", b"junk");
    write(dir.path(), ".ipynb_checkpoints/0.png", &png);
    let (data, lines) = training(dir.path()).unwrap();
    assert_eq!(data.class_names().unwrap(), ["cat", "dog"]);
    let Targets::Classes { labels, .. } = data.targets() else { panic!("classes") };
    assert_eq!(labels[..], [0, 0, 0, 1, 1, 1]);
    for parts in [
        &["note: ", "2 images are in subfolders", "cat/more/deep"][..],
        &["warning: skipped 3 files in cat: .xyz can't be read"],
        &["note: skipped 1 file in dog: .txt is not an image"],
        &["warning: skipped 1 file", "outside of the class folders"],
        &[
            "warning: no readable image in the folder bird",
            "3 files (.heic)",
            "not used as a class",
        ],
        &["warning: no image in the folder fish, which is empty", "not used as a class"],
    ] {
        assert_eq!(
            lines.iter().filter(|l| parts.iter().all(|p| l.contains(p))).count(),
            1,
            "{parts:?}"
        );
    }
    assert_eq!(lines.len(), 6, "{lines:?}");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_above_is_not_followed() {
    let dir = folder();
    std::os::unix::fs::symlink(dir.path(), dir.path().join("cat/loop")).unwrap();
    let (data, lines) = training(dir.path()).unwrap();
    assert_eq!(data.rows(), 4);
    assert!(
        has_line(&lines, &["warning: ", "1 file in cat", "links to a folder above"]),
        "{lines:?}"
    );
}

#[test]
fn folders_without_two_classes_say_what_was_found_instead() {
    let dir = folder();
    fs::remove_dir_all(dir.path().join("dog")).unwrap();
    for i in 0..30 {
        write(dir.path(), &format!("dog/{i}.xyz"), b"unknown");
    }
    let error = refusal(training(dir.path()));
    for part in ["the only class is \"cat\"", "in the folder dog", "30 files (.xyz)"] {
        assert!(error.contains(part), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(find(dir.path()).unwrap().is_empty());
    let png = encoded(&GrayImage::from_pixel(4, 3, Luma([90])).into(), "png");
    write(dir.path(), "0.png", &png);
    write(dir.path(), "labels.csv", b"file,label\n0.png,cat\n");
    let error = refusal(training(dir.path()));
    assert!(
        error.contains("have no classes") && error.contains("aren't read from labels.csv"),
        "{error}"
    );
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "data/cat/0.png", &png);
    write(dir.path(), "data/dog/0.png", &png);
    let error = refusal(training(dir.path()));
    assert!(error.contains("the only class is \"data\"") && error.contains("or name"), "{error}");
}

#[test]
fn files_that_are_no_images_are_named_for_what_they_are() {
    for (bytes, part) in [
        (&b"no image at all"[..], "help: repair"),
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\n<!DOCTYPE html><title>404</title>", "an HTML page"),
    ] {
        let dir = folder();
        write(dir.path(), "dog/3.png", bytes);
        let error = refusal(training(dir.path()));
        assert!(error.contains("dog/3.png") && error.contains(part), "{error}");
    }
}

/// A PNG of gray pixels whose header says that size, with hardly any data.
fn png_that_claims(width: u32, height: u32) -> Vec<u8> {
    let mut png = encoded(&GrayImage::from_pixel(4, 3, Luma([90])).into(), "png");
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    png
}

#[test]
fn images_beyond_the_memory_are_refused_by_name_before_they_are_decoded() {
    for (width, height, memory) in
        [(65_535, 65_535, None), (1 << 14, 1 << 14, None), (8000, 8000, Some(256 << 20))]
    {
        let dir = folder();
        write(dir.path(), "dog/3.png", &png_that_claims(width, height));
        let size = Some(ImageSize(4, 3));
        let options = ImageOptions { size, colour: None };
        let error = refusal(find(dir.path()).unwrap().training(&options, memory, 0));
        assert!(
            error.contains("dog/3.png") && error.contains(&format!("{width} × {height}")),
            "{error}"
        );
    }
    // The whole folder counts: 4 images of 12 bytes, and copies.
    let dir = folder();
    let found = find(dir.path()).unwrap();
    let error = refusal(found.training(&ImageOptions::default(), Some(1 << 20), 1 << 20));
    assert!(
        error.contains("1048580 images of 4 × 3 pixels") && error.contains("--image-size"),
        "{error}"
    );
    // Those that are too large for the share of a thread are decoded one after the other.
    let image = GrayImage::from_pixel(1000, 1000, Luma([90]));
    write(dir.path(), "dog/3.png", &encoded(&image.into(), "png"));
    let (data, _) =
        find(dir.path()).unwrap().training(&ImageOptions::default(), Some(8 << 20), 0).unwrap();
    assert_eq!(data.features().value(4, 0), 90.0);
}

#[test]
fn the_shape_of_a_model_is_checked_before_images_are_brought_to_it() {
    let shape = ImageShape { width: 4, height: 3, colour: Colour::Grey, sixteen_bit: false };
    shape.check(12).unwrap();
    for damaged in [
        ImageShape { width: 0, ..shape },
        ImageShape { width: u32::MAX, height: u32::MAX, colour: Colour::Rgba, ..shape },
        ImageShape { colour: Colour::Rgb, ..shape },
    ] {
        let error = damaged.check(12).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Data && error.to_string().contains("12 inputs"),
            "{error}"
        );
    }
    let dir = folder();
    let (data, _) = training(dir.path()).unwrap();
    let mut model = Preprocessing::fit(&data, Scaling::Minmax);
    model.image = Some(ImageShape { width: u32::MAX, ..shape });
    let name = dir.path().to_string_lossy();
    let error = open_measured(&name, &model, &DataOptions::default()).unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    // What older models say of their images.
    let old: ImageShape =
        serde_json::from_str(r#"{"width":4,"height":3,"colour":"grey"}"#).unwrap();
    assert_eq!(old, shape);
    assert_eq!(serde_json::to_string(&shape).unwrap(), r#"{"width":4,"height":3,"colour":"grey"}"#);
}

#[test]
fn folders_of_parts_are_told_by_their_names() {
    let png = |value| encoded(&GrayImage::from_pixel(2, 1, Luma([value])).into(), "png");
    for (train, validation, test) in [
        ("train", "val", "test"),
        ("Training", "valid", "Testing"),
        ("train", "validation", "TEST"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for (part, value) in [(train, 1), (validation, 2), (test, 3)] {
            write(dir.path(), &format!("{part}/a/0.png"), &png(value));
            write(dir.path(), &format!("{part}/b/0.png"), &png(value));
        }
        let name = dir.path().to_string_lossy();
        let TrainTest { train: Data::Ready(data), validation, test, .. } =
            open(&name, &DataOptions::default()).unwrap()
        else {
            panic!("a matrix")
        };
        let value = |data: &Dataset| (data.rows(), data.features().value(0, 0));
        assert_eq!(value(&data), (2, 1.0));
        assert_eq!(value(&validation.unwrap()), (2, 2.0));
        assert_eq!(value(&test.unwrap()), (2, 3.0));
        let model = Preprocessing::fit(&data, Scaling::Minmax);
        let measured = open_measured(&name, &model, &DataOptions::default()).unwrap();
        assert!(measured.is_test_part && value(&measured.data) == (2, 3.0));
    }
    // Classes may be called so too.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "train/0.png", &png(1));
    write(dir.path(), "plane/0.png", &png(2));
    let found = open(&dir.path().to_string_lossy(), &DataOptions::default()).unwrap();
    let Data::Ready(data) = found.train else { panic!("a matrix") };
    assert_eq!(data.class_names().unwrap(), ["plane", "train"]);
    // But not beside another part: then their images belong to no class.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "train/0.png", &png(1));
    write(dir.path(), "test/0.png", &png(2));
    write(dir.path(), "train/train.csv", b"file,label\n");
    let error = open(&dir.path().to_string_lossy(), &DataOptions::default()).unwrap_err();
    assert!(error.to_string().contains("have no classes"), "{error}");
}
