//! Files in other formats than simple tables: the same data give the same model; unsupported formats are
//! named; and no file, whatever it declares, uses more memory than allowed.

use crate::cli_support::{self, Place, Ran, plane};
use flate2::{Compress, Compression, FlushCompress};
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;

/// An NPY file of these bytes.
fn npy(descr: &str, shape: &str, fortran: bool, body: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend((text.len() as u16).to_le_bytes());
    file.extend(text.as_bytes());
    file.extend(body);
    file
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Images of 4 × 4 pixels, of which one of four columns is bright, and that column as the class.
fn images(count: usize) -> (Vec<u8>, Vec<u8>) {
    let classes: Vec<u8> = (0..count).map(|i| (i * 7 % 4) as u8).collect();
    let pixel = |i: usize, at: usize| {
        if at % 4 == usize::from(classes[i]) { 200 } else { (i * 5 + at * 3) as u8 % 20 }
    };
    let pixels = (0..count * 16).map(|k| pixel(k / 16, k % 16)).collect();
    (pixels, classes)
}

/// The arrays of a part, (n, 4, 4) and (n, 1), under names of these forms.
fn part(x: &str, y: &str, count: usize) -> [(String, Vec<u8>); 2] {
    let (pixels, classes) = images(count);
    [
        (format!("{x}.npy"), npy("|u1", &format!("({count}, 4, 4)"), false, &pixels)),
        (format!("{y}.npy"), npy("|u1", &format!("({count}, 1)"), false, &classes)),
    ]
}

fn npz(parts: &[[(String, Vec<u8>); 2]]) -> Vec<u8> {
    let files = parts.iter().flatten();
    zip(&files.map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

const TRAIN: &str = "--device cpu --epochs 2 --layers 8:relu";

#[test]
fn the_parts_of_medmnist_and_keras_are_trained_validated_and_tested_on() {
    let place = Place::new();
    let medmnist = npz(&[
        part("train_images", "train_labels", 80),
        part("val_images", "val_labels", 12),
        part("test_images", "test_labels", 9),
    ]);
    place.write("medmnist.npz", &medmnist);
    let ran = place.ok(&format!("train medmnist.npz {TRAIN} --out med"));
    assert!(ran.stdout.contains("(12 rows)") && ran.stdout.contains("(9 rows)"), "{}", ran.stdout);
    assert!(ran.stderr.contains("note: train_labels has the shape (rows, 1)"), "{}", ran.stderr);
    let judged = place.ok("evaluate med medmnist.npz --device cpu --json").json();
    assert_eq!((&judged[0]["rows"], &judged[0]["class_names"][3]), (&9.into(), &"3".into()));
    let predicted = place.ok("predict med medmnist.npz --device cpu").stdout;
    assert_eq!(predicted.lines().count(), 10, "the test part and a header");
    // Another split is what was asked for, and said.
    let split = place.ok(&format!("train medmnist.npz {TRAIN} --validation 0.2 --out split"));
    assert!(split.stderr.contains("validation part of the data isn't used"), "{}", split.stderr);
    assert!(split.stdout.contains("(16 rows)"), "{}", split.stdout);

    let keras = npz(&[part("x_train", "y_train", 80), part("x_test", "y_test", 9)]);
    place.write("keras.npz", keras);
    let ran = place.ok(&format!("train keras.npz {TRAIN} --out keras"));
    assert!(ran.stdout.contains("(8 rows)") && ran.stdout.contains("(9 rows)"), "{}", ran.stdout);
    assert_eq!(place.ok("evaluate keras keras.npz --device cpu --json").json()[0]["rows"], 9);
}

#[test]
fn columns_of_arrays_have_parts_too() {
    let place = Place::new();
    let part = |name: &str, rows: usize| {
        let x: Vec<u8> = (0..rows * 2).flat_map(|i| ((i * 7 % 11) as f32).to_le_bytes()).collect();
        let y: Vec<u8> =
            (0..rows).flat_map(|i| ((i * 14 % 11) as f32 * 3.5).to_le_bytes()).collect();
        [
            (format!("X_{name}.npy"), npy("<f4", &format!("({rows}, 2)"), false, &x)),
            (format!("y_{name}.npy"), npy("<f4", &format!("({rows},)"), false, &y)),
        ]
    };
    place.write("all.npz", npz(&[part("train", 70), part("valid", 11), part("test", 13)]));
    place.write("train.npz", npz(&[part("train", 70)]));
    let ran = place.ok(&format!("train all.npz {TRAIN} --out all"));
    assert!(ran.stdout.contains("(11 rows)") && ran.stdout.contains("(13 rows)"), "{}", ran.stdout);
    assert_eq!(place.ok("evaluate all all.npz --device cpu --json").json()[0]["rows"], 13);
    assert_eq!(place.ok("predict all all.npz --device cpu").stdout.lines().count(), 14);
    assert_eq!(place.ok("evaluate all train.npz --device cpu --json").json()[0]["rows"], 70);
}

#[test]
fn one_hot_rows_give_the_model_of_their_classes() {
    let place = Place::new();
    let (pixels, classes) = images(80);
    let x = npy("|u1", "(80, 4, 4)", false, &pixels);
    let hot: Vec<u8> = classes
        .iter()
        .flat_map(|&c| (0..4).flat_map(move |k| f32::from(u8::from(k == c)).to_le_bytes()))
        .collect();
    let hot = npy("<f4", "(80, 4)", false, &hot);
    place.write("hot.npz", zip(&[("x.npy", &x), ("y.npy", &hot)]));
    place.write(
        "plain.npz",
        zip(&[("x.npy", &x), ("y.npy", &npy("|u1", "(80,)", false, &classes))]),
    );
    let ran = place.ok(&format!("train hot.npz {TRAIN} --out hot"));
    assert!(ran.stderr.contains("note: y is one-hot: used as 4 classes"), "{}", ran.stderr);
    place.ok(&format!("train plain.npz {TRAIN} --out plain"));
    assert_eq!(place.model("hot"), place.model("plain"));
    let judged = place.ok("evaluate hot hot.npz --device cpu --json").json();
    assert_eq!(
        judged[0]["accuracy"],
        place.ok("evaluate hot plain.npz --device cpu --json").json()[0]["accuracy"]
    );
    for (task, loss) in [("multilabel", "binary-cross-entropy"), ("regression", "squared-error")] {
        let ran = place.ok(&format!("train hot.npz {TRAIN} --task {task} --out {task}"));
        assert!(!ran.stderr.contains("one-hot") && ran.stderr.contains(loss), "{}", ran.stderr);
        assert_eq!(place.model(task).predicted_columns(), 4);
    }
}

#[test]
fn objects_in_json_and_a_table_in_a_zip_file_give_the_model_of_the_table() {
    let place = Place::new();
    let text = plane();
    let objects: Vec<String> = text
        .lines()
        .skip(1)
        .map(|line| {
            let [a, b, y] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
            format!("{{\"a\": {a}, \"b\": {b}, \"y\": {y}}}")
        })
        .collect();
    let lines = objects.join("\n");
    place.write("t.csv", &text);
    place.write("t.jsonl", &lines);
    place.write("t.json", format!("[\n  {}\n]\n", objects.join(",\n  ")));
    place.write("t.zip", zip(&[("data/t.csv", text.as_bytes()), ("README", b"text")]));
    place.write("lines.zip", zip(&[("t.jsonl", lines.as_bytes())]));
    place.ok(&format!("train t.csv {TRAIN} --out plain"));
    let plain = place.model("plain");
    let predicted = place.ok("predict plain t.csv --device cpu").stdout;
    for (file, note) in [
        ("t.jsonl", ""),
        ("t.json", ""),
        ("t.zip", "note: t.zip/data/t.csv is read from the zip file"),
        ("lines.zip", "note: lines.zip/t.jsonl is read from the zip file"),
    ] {
        let ran = place.ok(&format!("train {file} {TRAIN} --out run-{file}"));
        assert!(ran.stderr.contains(note), "{}", ran.stderr);
        let found = place.model(&format!("run-{file}"));
        assert_eq!(found.members, plain.members, "{file}");
        assert_eq!(
            place.ok(&format!("predict plain {file} --device cpu")).stdout,
            predicted,
            "{file}"
        );
        place.ok(&format!("evaluate plain {file} --device cpu"));
    }
    // Rows that aren't objects are left out of the predictions like those of other texts.
    place.write("bad.jsonl", format!("{}\nnot\n{}\n", objects[0], objects[1]));
    let bad = place.run("predict plain bad.jsonl --device cpu");
    assert!(bad.stderr.contains("line 2"), "{}", bad.stderr);
}

#[test]
fn lists_in_json_are_left_out_with_a_warning_and_refused_as_a_target() {
    let place = Place::new();
    let row =
        |i: usize| format!("{{\"a\": {}, \"tags\": [{i}, 2], \"y\": {}.5}}\n", i % 8, i % 8 * 3);
    place.write("t.jsonl", (0..60).map(row).collect::<String>());
    let ran = place.ok(&format!("train t.jsonl {TRAIN} --out run"));
    assert!(ran.stderr.contains("warning: the column tags is not used"), "{}", ran.stderr);
    let ran = place.run(&format!("train t.jsonl {TRAIN} --target tags --out no"));
    assert!(ran.code == 3 && ran.stderr.contains("(tags)"), "{}", ran.stderr);
    assert!(ran.stderr.contains("holds lists or objects"), "{}", ran.stderr);
}

#[test]
fn formats_that_cannot_be_read_are_named_with_what_to_do() {
    let place = Place::new();
    let xlsx = zip(&[("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>")]);
    let ods = zip(&[("mimetype", b"application/vnd"), ("content.xml", b"<x/>")]);
    let two = zip(&[("a.csv", b"a,y\n1,2\n"), ("b.csv", b"a,y\n1,2\n")]);
    for (name, bytes, what, help) in [
        ("t.xlsx", &xlsx[..], "Excel", "CSV"),
        ("t.ods", &ods, "OpenDocument", "CSV"),
        ("two.zip", &two, "a.csv, b.csv", "unzip"),
        ("t.arff", b"@relation iris\n@attribute a numeric\n@data\n1\n", "ARFF", "loadarff"),
        ("t.svm", b"1 1:0.5 2:3\n-1 2:1\n", "LIBSVM", "load_svmlight_file"),
        (
            "lfs.csv",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "Git LFS",
            "git lfs pull",
        ),
        ("page.csv", b"<!DOCTYPE html><html>404</html>", "HTML", "download"),
        ("t.db", b"SQLite format 3\0rest", "SQLite", "sqlite3 -header -csv t.db"),
        ("t.pkl", b"\x80\x04\x95", "pickle", "read_pickle('t.pkl')"),
        ("t.h5", b"\x89HDF\r\n\x1a\n", "HDF5", "NPZ"),
        ("t.pdf", b"%PDF-1.7", "PDF", "CSV"),
        ("wide.csv", b"\xFF\xFEa\0,\0b\0\n\0", "UTF-16", "iconv -f UTF-16 -t UTF-8 wide.csv"),
        ("deep.json", b"{\n  \"rows\": [1]\n}\n", "not a JSON object", "jq"),
        (
            "latin.csv",
            b"a,b,y\nJos\xE9,1,2\nJos\xE9,2,3\n",
            "UTF-8",
            "iconv -f WINDOWS-1252 -t UTF-8 latin.csv",
        ),
    ] {
        place.write(name, bytes);
        let ran = place.run(&format!("train {name} {TRAIN}"));
        assert!(ran.code == 3 && ran.stderr.contains(what), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(help), "{name}: {}", ran.stderr);
    }
}

#[test]
fn inputs_that_are_the_same_in_all_rows_are_named_as_the_cause() {
    let place = Place::new();
    let x = npy("|u1", "(40, 3, 3)", false, &[7; 360]);
    let y = npy("|u1", "(40,)", false, &(0..40).map(|i| i % 2).collect::<Vec<_>>());
    place.write("same.npz", zip(&[("x.npy", &x), ("y.npy", &y)]));
    let ran = place.ok("train same.npz --device cpu --epochs 40 --layers 8:relu --out run");
    let cause = "warning: all 36 training images are the same, of one color";
    assert!(ran.stderr.contains(cause), "{}", ran.stderr);
    for lie in ["learning rate", "--lr", "dead", "saturated", "vanish"] {
        assert!(!ran.stderr.contains(lie), "{lie}: {}", ran.stderr);
    }
}

/// A gzip file of `begin`, and then ten gigabytes of one byte.
fn bomb(begin: &[u8], byte: u8) -> Vec<u8> {
    const CHUNK: usize = 16 << 20;
    let deflated = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len() / 100 + 1000);
        let mut deflate = Compress::new(Compression::fast(), false);
        deflate.compress_vec(bytes, &mut out, FlushCompress::Full).unwrap();
        assert_eq!(deflate.total_in(), bytes.len() as u64);
        out
    };
    let chunk = deflated(&vec![byte; CHUNK]);
    let mut file = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(deflated(begin));
    (0..10_000_000_000 / CHUNK).for_each(|_| file.extend(&chunk));
    file
}

/// Runs the program and returns its peak memory in bytes.
#[cfg(target_os = "linux")]
#[allow(clippy::zombie_processes, reason = "wait4 waits for the child, and tells its memory")]
fn peak(place: &Place, args: &str) -> (Ran, u64) {
    let stderr = std::fs::File::create(place.path("stderr")).unwrap();
    let child =
        place.command(args).stdout(std::process::Stdio::null()).stderr(stderr).spawn().unwrap();
    let mut status = 0;
    // SAFETY: all zeros are a value of rusage, and wait4 fills in what it is given, for our own child.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert!(libc::wait4(child.id() as i32, &mut status, 0, &mut usage) > 0);
        usage
    };
    let stderr = place.read("stderr");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert!(libc::WIFEXITED(status), "it was killed: {stderr}");
    let code = libc::WEXITSTATUS(status);
    (Ran { code, stdout: String::new(), stderr }, usage.ru_maxrss as u64 * 1024)
}

#[cfg(target_os = "linux")]
#[test]
fn files_that_declare_or_hold_far_too_much_are_refused_in_bounded_memory() {
    const MOST: u64 = (256 + 128) << 20;
    let place = Place::new();
    let f8 = |shape: &str, fortran| npy("<f8", shape, fortran, b"");
    place.write("line.csv.gz", bomb(b"a,b\n1,2\n", b'7'));
    place.write("line.jsonl.gz", bomb(b"{\"a\": 1}\n{\"a\": \"", b'x'));
    place.write("line.json.gz", bomb(b"[{\"a\": 1}, {\"a\": \"", b'x'));
    place.write("more.npy.gz", bomb(&npy("<f8", "(2, 2)", false, &[0; 32]), 0));
    place.write("fortran.npy.gz", bomb(&f8("(100000000, 1000)", true), 0));
    place.write("row.npy.gz", bomb(&f8("(2, 50000000000)", false), 0));
    place.write("images.npy.gz", bomb(&f8("(100000, 1000, 1000)", false), 0));
    let idx: Vec<u8> = [&[0, 0, 8, 3][..], &[0, 1, 0, 0], &[0, 0, 4, 0], &[0, 0, 4, 0]].concat();
    place.write("train-images-idx3-ubyte.gz", bomb(&idx, 0));
    place.write("train-labels-idx1-ubyte", cli_support::idx(&[65536], &[1; 65536]));
    // Sparse files of a terabyte, whose headers go with it.
    let sparse = |name: &str, begin: &[u8], len: u64| {
        place.write(name, begin);
        let file = std::fs::OpenOptions::new().write(true).open(place.path(name)).unwrap();
        file.set_len(len).unwrap();
    };
    let fortran = f8("(125000000, 1000)", true);
    sparse("sparse.npy", &fortran, fortran.len() as u64 + 1_000_000_000_000);
    let cube = f8("(125000, 1000, 1000)", false);
    sparse("cube.npy", &cube, cube.len() as u64 + 1_000_000_000_000);
    // Piece by piece: what this process takes counts for those that it starts.
    let mut zeros = zip::ZipWriter::new(std::fs::File::create(place.path("zeros.npz")).unwrap());
    zeros.start_file("x.npy", SimpleFileOptions::default()).unwrap();
    zeros.write_all(&npy("|u1", "(400000000,)", false, b"")).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(400_000_000), &mut zeros).unwrap();
    zeros.finish().unwrap();
    for limit in ["--memory-limit 256M", ""] {
        for name in [
            "line.csv.gz",
            "line.jsonl.gz",
            "line.json.gz",
            "more.npy.gz",
            "fortran.npy.gz",
            "row.npy.gz",
            "images.npy.gz",
            "train-images-idx3-ubyte.gz",
            "sparse.npy",
            "cube.npy",
            "zeros.npz",
        ] {
            if name == "zeros.npz" && limit.is_empty() {
                // It is there, and fits into memory.
                continue;
            }
            let (ran, most) = peak(&place, &format!("train {name} {TRAIN} {limit}"));
            assert_eq!(ran.code, 3, "{name} {limit}: {}", ran.stderr);
            assert!(most < MOST, "{name} {limit}: {} MiB, {}", most >> 20, ran.stderr);
        }
    }
}
