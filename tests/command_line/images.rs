//! Folders of images as found in practice: layouts, depths, alpha, orientation, and the messages about them.

use crate::cli_support::Place;
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA};
use std::io::Cursor;

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// Whether a pixel of an image of 8 × 8 is bright: the upper half in the first class, the lower one
/// in the second, with a frayed edge.
fn is_bright(class: usize, i: u32, x: u32, y: u32) -> bool {
    (y < 4) == (class == 0) && !(x + i).is_multiple_of(5)
}

/// `count` images of each of the classes a and b, made by `make` from class and number.
fn write_classes(
    place: &Place,
    folder: &str,
    count: u32,
    extension: &str,
    make: impl Fn(usize, u32) -> Vec<u8>,
) {
    for (class, name) in ["a", "b"].iter().enumerate() {
        for i in 0..count {
            place.write(&format!("{folder}/{name}/{i:02}.{extension}"), make(class, i));
        }
    }
}

fn gray(class: usize, i: u32) -> Vec<u8> {
    let image = GrayImage::from_fn(8, 8, |x, y| Luma([200 * u8::from(is_bright(class, i, x, y))]));
    encoded(image, ImageFormat::Png)
}

/// The accuracy that `evaluate` finds.
fn accuracy(place: &Place, run: &str, data: &str) -> f64 {
    let found = place.ok(&format!("evaluate {run} {data} --device cpu --json"));
    found.json()[0]["accuracy"].as_f64().unwrap()
}

#[test]
fn a_validation_folder_is_the_validation_set_and_is_evaluated() {
    let place = Place::new();
    write_classes(&place, "set/train", 20, "png", gray);
    write_classes(&place, "set/val", 6, "png", |class, i| gray(class, i + 20));
    place.write("set/extra/0.png", gray(0, 0));
    place.write("set/README.md", "a set");
    let train = "train set --device cpu --json --epochs 3";
    let ran = place.ok(&format!("{train} --out run"));
    let lines = ran.json();
    assert_eq!(lines[0]["rows"], 40, "{}", lines[0]);
    assert!(lines[1]["valid_loss"].is_number(), "{}", lines[1]);
    let said = &ran.stderr;
    assert!(said.contains("note: set/val: 12 images held out"), "{said}");
    assert_eq!(said.matches("warning: skipped set/extra next to set/train").count(), 1, "{said}");
    assert!(said.contains("note: skipped set/README.md"), "{said}");
    let evaluated = place.ok("evaluate run set --device cpu --json");
    assert_eq!(evaluated.json()[0]["rows"], 12);
    assert!(evaluated.stderr.contains("note: using set/val"), "{}", evaluated.stderr);
    assert!(!evaluated.stderr.contains("was trained on"), "{}", evaluated.stderr);
    // The options that a run leaves train the same model again.
    place.ok("train --config run/config.toml --quiet --out again");
    let [first, again] = ["run", "again"]
        .map(|run| std::fs::read(place.path(run).join("model.safetensors")).unwrap());
    assert!(first == again);
    // Another choice of what is held out goes before the folder.
    let ran = place.ok(&format!("{train} --validation 0.2 --out other"));
    assert_eq!(ran.json()[0]["rows"], 32);
    assert!(
        ran.stderr.contains("note: the validation part of the data isn't used"),
        "{}",
        ran.stderr
    );
    place.ok(&format!("{train} --folds 2 --out folds"));
}

#[test]
fn a_part_of_no_class_is_passed_over_in_training_and_predicted() {
    let place = Place::new();
    write_classes(&place, "set/train", 20, "png", gray);
    for i in 0..3 {
        place.write(&format!("set/test/{i}.png"), gray(1, i));
    }
    let ran = place.ok("train set --device cpu --quiet --epochs 20 --out run");
    assert!(
        ran.stderr.contains("warning: skipped 3 images in set/test: they belong to no class"),
        "{}",
        ran.stderr
    );
    let predicted = place.ok("predict run set --device cpu --keep file").stdout;
    let cells: Vec<Vec<&str>> =
        predicted.lines().map(|line| line.split(',').take(2).collect()).collect();
    assert_eq!(cells, [["file", "class"], ["0.png", "b"], ["1.png", "b"], ["2.png", "b"]]);
}

#[test]
fn dark_images_of_16_bits_and_images_in_alpha_alone_are_learnt() {
    let place = Place::new();
    for (run, most) in [("hundred", 100u16), ("two-hundred", 200)] {
        write_classes(&place, &format!("{run}-set"), 20, "png", |class, i| {
            let image = ImageBuffer::from_fn(8, 8, |x, y| {
                Luma([most * u16::from(is_bright(class, i, x, y))])
            });
            encoded(image, ImageFormat::Png)
        });
        let ran =
            place.ok(&format!("train {run}-set --device cpu --quiet --epochs 20 --out {run}"));
        let range = format!(
            "note: {run}-set: 40 of 40 images have 16 bits per channel, which are kept: their values range from 0 to {most} of 65535"
        );
        assert!(ran.stderr.contains(&range), "{}", ran.stderr);
        assert_eq!(accuracy(&place, run, &format!("{run}-set")), 1.0);
    }
    write_classes(&place, "alpha-set", 20, "png", |class, i| {
        let image = GrayAlphaImage::from_fn(8, 8, |x, y| {
            LumaA([0, 200 * u8::from(is_bright(class, i, x, y))])
        });
        encoded(image, ImageFormat::Png)
    });
    let ran = place.ok("train alpha-set --device cpu --quiet --epochs 20 --out alpha");
    assert!(
        ran.stderr.contains("40 of 40 images have transparent pixels: alpha is kept"),
        "{}",
        ran.stderr
    );
    assert_eq!(accuracy(&place, "alpha", "alpha-set"), 1.0);
    // A model of bytes says what it makes of 16 bits.
    write_classes(&place, "set", 20, "png", gray);
    place.ok("train set --device cpu --quiet --epochs 3 --out bytes");
    let ran = place.ok("predict bytes hundred-set --device cpu");
    assert!(
        ran.stderr.contains("warning: hundred-set: 40 of 40 images have 16 bits"),
        "{}",
        ran.stderr
    );
}

#[test]
fn images_that_are_all_alike_are_said_to_be_and_nothing_else_is_blamed() {
    let place = Place::new();
    write_classes(&place, "black", 20, "png", |_, _| {
        encoded(GrayImage::new(8, 8), ImageFormat::Png)
    });
    let ran = place.ok("train black --device cpu --epochs 20 --out run");
    let said = &ran.stderr;
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning:")).collect();
    let [warning] = warnings[..] else { panic!("{said}") };
    assert!(warning.contains("all 36 training images are the same, black"), "{said}");
    for false_advice in ["learning rate", "units", "--lr"] {
        let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note:")).collect();
        assert!(notes.iter().all(|note| !note.contains(false_advice)), "{said}");
    }
}

#[test]
fn a_model_sees_an_image_as_its_exif_orientation_says() {
    let place = Place::new();
    let jpeg = |class, i, upside_down: bool| {
        let image = GrayImage::from_fn(16, 16, |x, y| {
            let y = if upside_down { 15 - y } else { y };
            Luma([200 * u8::from(is_bright(class, i, x / 2, y / 2))])
        });
        encoded(image, ImageFormat::Jpeg)
    };
    write_classes(&place, "upright", 20, "jpg", |class, i| jpeg(class, i, false));
    write_classes(&place, "flipped", 20, "jpg", |class, i| {
        // Orientation 4, mirrored top to bottom.
        let body = b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x04\0\0\0\0\0\0\0";
        let jpeg = jpeg(class, i, true);
        [&jpeg[..2], body, &jpeg[2..]].concat()
    });
    place.ok("train upright --device cpu --quiet --epochs 20 --out run");
    assert_eq!(
        [accuracy(&place, "run", "upright"), accuracy(&place, "run", "flipped")],
        [1.0, 1.0]
    );
}

#[test]
fn truncated_images_and_those_beyond_the_limit_are_refused_by_name() {
    let place = Place::new();
    write_classes(&place, "set", 10, "png", gray);
    let image = GrayImage::from_fn(64, 64, |x, y| Luma([(x * y % 251) as u8]));
    let jpeg = encoded(image, ImageFormat::Jpeg);
    place.write("set/b/cut.jpg", &jpeg[..jpeg.len() / 2]);
    let refused = place.run("train set --device cpu");
    assert_eq!((refused.code, &refused.stdout[..]), (3, ""), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("truncated or damaged\n  where: set/b/cut.jpg"),
        "{}",
        refused.stderr
    );
    place.write("set/b/cut.jpg", &jpeg);
    place.ok("train set --device cpu --quiet --epochs 1 --out run");
    // 30 images of 4096 × 4096 are more than half a gigabyte.
    let refused = place.run("train set --device cpu --image-size 4096 --memory-limit 256M");
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    for part in
        ["21 images of 4096 × 4096 pixels", "where: set", "help: choose a smaller --image-size"]
    {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}

#[test]
fn a_class_that_cannot_be_read_is_a_warning_or_an_error_that_names_its_files() {
    let place = Place::new();
    write_classes(&place, "set", 10, "png", gray);
    for i in 0..30 {
        place.write(&format!("set/c/{i}.xyz"), "unknown");
    }
    let ran = place.ok("train set --device cpu --quiet --epochs 1 --out run");
    assert!(
        ran.stderr.contains("in the folder c: skipped 30 files (.xyz): not used as a class"),
        "{}",
        ran.stderr
    );
    std::fs::remove_dir_all(place.path("set/b")).unwrap();
    let refused = place.run("train set --device cpu");
    assert_eq!(refused.code, 3);
    for part in ["the only class is \"a\"", "30 files (.xyz)"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}
