//! `--tensorboard` and `metrics.csv`: the files are read by a separate reader, which implements the framing
//! and the wire format of protocol buffers without using the crate.

use crate::cli_support::{Place, plane};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A field of a message: its number and its value.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 127) << shift;
        if *first < 128 {
            return value;
        }
        shift += 7;
    }
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(n);
    *bytes = rest;
    head
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            5 => Field::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
            2 => {
                let n = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, n))
            }
            kind => panic!("wire type {kind}"),
        };
        all.push((key >> 3, field));
    }
    all
}

fn number(message: &[u8], field: u64) -> Option<u64> {
    fields(message).into_iter().find_map(|(n, f)| match f {
        Field::Number(x) if n == field => Some(x),
        _ => None,
    })
}

fn all_bytes(message: &[u8], field: u64) -> Vec<&[u8]> {
    let of = |(n, f)| match f {
        Field::Bytes(x) if n == field => Some(x),
        _ => None,
    };
    fields(message).into_iter().filter_map(of).collect()
}

/// CRC-32C, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 }
        })
    })
}

/// The events of a file.
fn frames(mut file: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !file.is_empty() {
        let length = take(&mut file, 8);
        let n = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        let check = |bytes: &[u8], of: &mut &[u8]| {
            let (c, found) = (crc(bytes), u32::from_le_bytes(take(of, 4).try_into().unwrap()));
            assert_eq!(found, c.rotate_right(15).wrapping_add(0xa282_ead8), "masked CRC");
        };
        check(length, &mut file);
        let data = take(&mut file, n);
        check(data, &mut file);
        all.push(data);
    }
    all
}

/// The values of each tag: step and message, in the order of the files.
type Tags = BTreeMap<String, Vec<(u64, Vec<u8>)>>;

fn events(directory: &Path) -> Tags {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut tags = Tags::new();
    for path in files.iter().filter(|path| path.is_file()) {
        assert!(path.file_name().unwrap().to_string_lossy().contains("tfevents"), "{path:?}");
        let bytes = std::fs::read(path).unwrap();
        for (i, event) in frames(&bytes).into_iter().enumerate() {
            let step = number(event, 2).unwrap_or_default();
            if i == 0 {
                assert_eq!(all_bytes(event, 3), [b"brain.Event:2"]);
            }
            for summary in all_bytes(event, 5) {
                for value in all_bytes(summary, 1) {
                    let tag = String::from_utf8(all_bytes(value, 1)[0].to_vec()).unwrap();
                    tags.entry(tag).or_default().push((step, value.to_vec()));
                }
            }
        }
    }
    tags
}

/// The numbers under a tag, by the step.
fn scalars(tags: &Tags, tag: &str) -> Vec<(u64, f32)> {
    let value = |(step, value): &(u64, Vec<u8>)| {
        (*step, f32::from_bits(number(value, 2).unwrap_or_else(|| panic!("{tag}")) as u32))
    };
    tags.get(tag)
        .unwrap_or_else(|| panic!("{tag} in {:?}", tags.keys()))
        .iter()
        .map(value)
        .collect()
}

fn epochs(place: &Place, run: &str) -> Vec<Value> {
    let text = place.read(&format!("{run}/metrics.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|event| event["event"] == "epoch").collect()
}

/// Checks that `metrics.csv` of a run has the values of its events, and no others.
fn csv_is_as_the_events(place: &Place, run: &str) {
    let mut reader = csv::Reader::from_path(place.path(run).join("metrics.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<_> = reader.records().map(|row| row.unwrap()).collect();
    let events = epochs(place, run);
    assert_eq!(rows.len(), events.len(), "{run}");
    for (row, event) in rows.iter().zip(&events) {
        let event = event.as_object().unwrap();
        assert_eq!(header.len(), event.len() - 1, "{header:?} {event:?}");
        for (name, cell) in header.iter().zip(row) {
            assert_eq!(cell, event[name].to_string(), "{name}");
        }
    }
}

const DIGITS: &str = "train digits --device cpu --layers 16:relu --quiet";

#[test]
fn events_say_what_the_run_says_and_change_nothing() {
    let place = Place::new();
    place.ok(&format!("{DIGITS} --epochs 3 --tensorboard --out run"));
    place.ok(&format!("{DIGITS} --epochs 3 --out plain"));
    assert_eq!(place.model("run"), place.model("plain"));
    csv_is_as_the_events(&place, "run");
    let tags = events(&place.path("run/tensorboard"));
    let told = epochs(&place, "run");
    for (tag, name) in [
        ("loss/train", "train_loss"),
        ("loss/valid", "valid_loss"),
        ("metrics/accuracy", "accuracy"),
        ("learning_rate", "lr"),
        ("samples_per_second", "samples_per_second"),
        ("epoch", "epoch"),
    ] {
        let expected: Vec<_> = told
            .iter()
            .map(|event| (event["step"].as_u64().unwrap(), event[name].as_f64().unwrap() as f32))
            .collect();
        assert_eq!(scalars(&tags, tag), expected, "{tag}");
    }
    for layer in ["layers.0", "layers.1"] {
        for what in ["gradient_norm", "update_ratio"] {
            let found = scalars(&tags, &format!("{what}/{layer}"));
            assert!(
                found.len() == 3 && found.iter().all(|(_, x)| *x > 0.0 && *x < 100.0),
                "{found:?}"
            );
        }
    }
    // The histogram after the last step holds each weight of the last step once.
    for (tensor, count) in [("layers.0.weight", 16 * 64), ("layers.1.bias", 10)] {
        let (step, value) = tags[tensor].last().unwrap();
        assert_eq!(*step, told[2]["step"].as_u64().unwrap());
        let histogram = all_bytes(value, 5)[0];
        assert_eq!(f64::from_bits(number(histogram, 3).unwrap()), f64::from(count), "{tensor}");
        let doubles = |field| -> Vec<f64> {
            let packed = all_bytes(histogram, field)[0];
            packed.chunks(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect()
        };
        assert_eq!(doubles(7).iter().sum::<f64>(), f64::from(count));
        assert_eq!(doubles(6).len(), doubles(7).len());
    }
    let (_, image) = &tags["confusion_matrix"][0];
    let png = all_bytes(all_bytes(image, 4)[0], 4)[0];
    let image = image::load_from_memory(png).unwrap();
    assert!(image.width() > 400 && image.height() > 400);
    let (_, table) = &tags["confusion_matrix/table"][0];
    let table = String::from_utf8(all_bytes(all_bytes(table, 8)[0], 8)[0].to_vec()).unwrap();
    assert_eq!(table.lines().count(), 12, "{table}");
    assert!(tags.contains_key("config"));
}

/// The steps of each tag ascend, without duplicates.
fn nothing_is_repeated(tags: &Tags) {
    for (tag, values) in tags {
        let ascends = values.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let steps: Vec<_> = values.iter().map(|(step, _)| step).collect();
        assert!(ascends, "{tag}: {steps:?}");
    }
}

#[test]
fn a_run_that_is_resumed_goes_on_in_a_new_file_without_repeated_steps() {
    let place = Place::new();
    let often = "--checkpoint-every 1epochs --keep-checkpoints 9 --tensorboard=logs";
    place.ok(&format!("{DIGITS} --epochs 5 --out whole {often}"));
    place.ok(&format!("{DIGITS} --epochs 3 --out run {often}"));
    // As if it had been killed in the third epoch: the checkpoints of two epochs are there, and later events.
    let mut checkpoints = place.names("run/checkpoint");
    while checkpoints.len() > 2 {
        let last = checkpoints.pop().unwrap();
        std::fs::remove_file(place.path("run/checkpoint").join(last)).unwrap();
    }
    place.ok("train --resume run --quiet --epochs 5");
    assert_eq!(place.names("logs"), ["run", "whole"]);
    assert_eq!(place.names("logs/run").len(), 2);
    let [whole, run] = ["logs/whole", "logs/run"].map(|at| events(&place.path(at)));
    nothing_is_repeated(&run);
    for tag in ["loss/train", "metrics/accuracy", "update_ratio/layers.1", "gradient_norm/layers.0"]
    {
        assert_eq!(scalars(&run, tag), scalars(&whole, tag), "{tag}");
    }
    csv_is_as_the_events(&place, "run");
    assert_eq!(place.read("run/metrics.csv").lines().count(), 6);
    assert_eq!(place.model("run"), place.model("whole"));
}

#[test]
fn folds_and_nets_have_directories_of_their_own() {
    let place = Place::new();
    place.write("plane.csv", plane());
    let args = "train plane.csv --device cpu --quiet --epochs 2";
    place.ok(&format!("{args} --folds 3 --out folds --tensorboard=logs"));
    assert_eq!(place.names("logs/folds")[1..], ["fold-1", "fold-2", "fold-3"]);
    place.ok(&format!("{args} --ensemble 2 --out nets --tensorboard"));
    for run in ["nets/net-1", "nets/net-2"] {
        let tags = events(&place.path(run).join("tensorboard"));
        assert_eq!(scalars(&tags, "loss/train").len(), 2);
        nothing_is_repeated(&tags);
        csv_is_as_the_events(&place, run);
    }
    csv_is_as_the_events(&place, "folds/fold-2");
    // A run with events is replaced as one without.
    place.ok(&format!("{args} --ensemble 1 --out nets --tensorboard --force"));
    assert!(place.path("nets/tensorboard").is_dir() && !place.path("nets/net-1").exists());
}

#[test]
fn the_events_of_another_run_are_not_mixed_with_new_ones() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("elsewhere")).unwrap();
    let train = |more: &str| place.run(&format!("{DIGITS} --epochs 1 --tensorboard=logs {more}"));
    assert_eq!(train("--out a/run").code, 0);
    let refused = train("--out elsewhere/run");
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("logs/run holds the events of another run"),
        "{}",
        refused.stderr
    );
    assert!(!place.path("elsewhere/run").exists());
    assert_eq!(train("--out elsewhere/run --force").code, 0);
    nothing_is_repeated(&events(&place.path("logs/run")));
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_before_anything_is_done() {
    let place = Place::new();
    place.write("file", "not a directory");
    place.write("logs/run", "nor is this");
    place.write("plane.csv", plane());
    // The data aren't even looked for.
    for (options, at) in [
        ("none.csv --tensorboard=file --out run", "file"),
        ("none.csv --tensorboard=file/logs --out run", "file"),
        ("none.csv --tensorboard=logs --out run", "logs/run"),
        ("plane.csv --ensemble 2 --tensorboard=file/logs", "file"),
    ] {
        let ran = place.run(&format!("train {options} --device cpu --epochs 1"));
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let [what, wh, help] = ["event files can't be written in", "where: ", "--tensorboard"];
        assert!([what, wh, help].iter().all(|text| ran.stderr.contains(text)), "{}", ran.stderr);
        let full = place.path(at).canonicalize().unwrap();
        assert!(ran.stderr.contains(&format!("where: {}\n", full.display())), "{}", ran.stderr);
    }
    assert_eq!(place.names(""), ["file", "logs", "plane.csv"], "nothing is made");
    assert_eq!(place.read("logs/run"), "nor is this");
}

#[test]
fn the_directory_is_said_behind_an_equals_sign() {
    let place = Place::new();
    // Not taken for the directory of --tensorboard.
    let ran = place.ok("train --tensorboard digits --device cpu --epochs 1 --quiet --out run");
    assert_eq!(ran.code, 0);
    assert!(place.path("run/tensorboard").is_dir());
    assert!(place.read("run/config.toml").contains("tensorboard = \"true\""));
}
