//! Parquet and Arrow files as found in practice, with the program.

use crate::cli_support::{Place, ran};
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch};
use arrow_array::{StringArray, UInt64Array};
use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;

const ROWS: usize = 120;

fn parquet(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut file = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

fn x() -> ArrayRef {
    Arc::new(Float64Array::from_iter_values((0..ROWS).map(|i| (i * 7 % 41) as f64 / 4.0)))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Decimals give the same numbers as text, as feature and as target, and a file that is compressed as
/// a whole gives the same result.
#[test]
fn decimals_give_the_model_of_the_text_however_the_file_is_compressed() {
    let place = Place::new();
    let [a, y] = [31, 17].map(|step| (0..ROWS as i128).map(move |i| i * step % 1009 * 5 + 25));
    let decimal = |digits: Vec<i128>, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(digits).with_precision_and_scale(12, scale).unwrap())
    };
    let rows = a.clone().zip(y.clone());
    let text = rows.map(|(a, y)| format!("{},{}\n", a as f64 / 100.0, y as f64 / 1e4));
    place.write("t.csv", std::iter::once("a,y\n".to_string()).chain(text).collect::<String>());
    let file = parquet(vec![("a", decimal(a.collect(), 2)), ("y", decimal(y.collect(), 4))]);
    place.write("t.parquet", &file);
    place.write("t.parquet.gz", gzip(&file));
    place.write("t.parquet.zst", zstd::encode_all(&file[..], 3).unwrap());
    let train = "--task regression --device cpu --quiet --epochs 2 --out";
    place.ok(&format!("train t.csv {train} text"));
    let expected = place.ok("predict text t.csv --device cpu").stdout;
    for (name, out) in [("t.parquet", "p"), ("t.parquet.gz", "gz"), ("t.parquet.zst", "zst")] {
        place.ok(&format!("train {name} {train} {out}"));
        assert_eq!(place.model(out).members, place.model("text").members, "{name}");
        assert_eq!(place.ok(&format!("predict text {name} --device cpu")).stdout, expected);
    }
    // On standard input too.
    let mut command = place.command("predict text - --device cpu");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&gzip(&file)).unwrap();
    let piped = ran(child.wait_with_output().unwrap());
    assert_eq!((piped.code, piped.stdout), (0, expected), "{}", piped.stderr);
}

#[test]
fn a_column_of_lists_is_left_out_with_a_warning_or_refused_as_the_target() {
    let place = Place::new();
    let lists = (0..ROWS).map(|i| Some(vec![Some(i as f64), None]));
    let emb: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(lists));
    let y: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|i| ["u", "v"][i % 2])));
    place.write("t.parquet", parquet(vec![("x", x()), ("emb", emb), ("y", y)]));
    let train = "train t.parquet --device cpu --quiet --epochs 1";
    for limit in ["", " --memory-limit 1M"] {
        let warned = place.ok(&format!("{train}{limit} --out warned --force"));
        let warnings = warned.stderr.lines().filter(|l| l.starts_with("warning:"));
        let warnings: Vec<&str> = warnings.filter(|l| l.contains("emb")).collect();
        assert_eq!(warnings.len(), 1, "{}", warned.stderr);
        assert!(warnings[0].contains("holds lists of Float64: it is not used"), "{}", warnings[0]);
    }
    let ignored = place.ok(&format!("{train} --ignore emb --out ignored"));
    assert!(!ignored.stderr.contains("emb"), "{}", ignored.stderr);
    assert_eq!(place.model("ignored").members, place.model("warned").members);
    let refused = place.run(&format!("{train} --target emb --out refused"));
    assert_eq!(refused.code, 3);
    for text in ["holds lists of Float64", "t.parquet, column 2 (emb)", "--target", "--ignore emb"]
    {
        assert!(refused.stderr.contains(text), "no {text:?} in {}", refused.stderr);
    }
}

#[test]
fn identifiers_of_64_bits_are_told_apart_and_kept_exactly() {
    let place = Place::new();
    let id = |i: usize| u64::MAX - i as u64;
    let ids: ArrayRef = Arc::new(UInt64Array::from_iter_values((0..ROWS).map(id)));
    let classes = (0..ROWS).map(|i| 9_007_199_254_740_992 + (i * 7 % 41 > 20) as i64);
    let classes: ArrayRef = Arc::new(Int64Array::from_iter_values(classes));
    place.write("t.parquet", parquet(vec![("device", ids), ("x", x()), ("y", classes)]));
    place.ok("train t.parquet --task classification --device cpu --quiet --epochs 1 --out run");
    let model = place.model("run");
    let classes = model.preprocessing.classes.unwrap();
    assert_eq!(classes, ["9007199254740992", "9007199254740993"]);
    let said = place.ok("train t.parquet --task classification --device cpu --dry-run");
    let said = said.stdout + &said.stderr;
    assert!(said.contains("identifier") && !said.contains("same in every row"), "{said}");
    for format in ["csv", "jsonl"] {
        let predict = format!("predict run t.parquet --device cpu --keep device --format {format}");
        let kept = place.ok(&predict).stdout;
        for i in 0..ROWS {
            assert!(kept.contains(&id(i).to_string()), "{format}: no {} in {kept}", id(i));
        }
    }
    place.ok("evaluate run t.parquet --device cpu");
}
