use super::*;
use crate::math::matrix::Matrix;
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{
    BooleanArray, Date32Array, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use std::io::Cursor;
use std::sync::Arc;

fn columns(kept: &[&str], verdict: Option<Verdict>, outputs: &[&str]) -> Columns {
    let owned = |names: &[&str]| names.iter().map(|n| (*n).to_string()).collect();
    Columns { kept: owned(kept), verdict, outputs: owned(outputs), is_double: false }
}

/// A file of these rows, written twice.
fn written(format: Format, columns: Columns, kept: &[ArrayRef], values: &Matrix<f32>) -> Vec<u8> {
    let values = &Predictions::F32(values.clone());
    let mut writer = Writer::new(Cursor::new(Vec::new()), format, columns, kept).unwrap();
    for _ in 0..2 {
        writer.write(&Rows { kept, values }).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn classes() -> Option<Verdict> {
    Some(Verdict::Class(vec!["a,b".into(), "c\"".into()]))
}

#[test]
fn texts_are_quoted_where_they_must_be() {
    let values = Matrix::new(2, 2, vec![0.25, 0.75, 1.0, 1e-10]).unwrap();
    let kept: Vec<ArrayRef> = vec![Arc::new(StringArray::from(vec!["007", "x\ty"]))];
    let of = |format| {
        let bytes = written(format, columns(&["id"], classes(), &["p_a", "p_c"]), &kept, &values);
        String::from_utf8(bytes).unwrap()
    };
    let rows = "007,\"c\"\"\",0.25,0.75\nx\ty,\"a,b\",1.0,1e-10\n";
    assert_eq!(of(Format::Csv), format!("id,class,p_a,p_c\n{rows}{rows}"));
    assert!(of(Format::Tsv).starts_with("id\tclass\tp_a\tp_c\n007\t\"c\"\"\"\t0.25"));
    assert!(of(Format::Tsv).contains("\"x\ty\"\ta,b\t1.0"));
    let lines: Vec<serde_json::Value> =
        of(Format::Jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[1],
        serde_json::json!({"id": "x\ty", "class": "a,b", "p_a": 1.0, "p_c": 1e-10})
    );
}

#[test]
fn labels_are_those_that_are_probable() {
    let verdict = Some(Verdict::Labels(vec!["x".into(), "y".into()], '|'));
    let values = Matrix::new(3, 2, vec![0.5, 0.9, 0.1, 0.2, 0.0, 0.6]).unwrap();
    let bytes = written(Format::Csv, columns(&[], verdict, &["p_x", "p_y"]), &[], &values);
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("labels,p_x,p_y\nx|y,0.5,0.9\n,0.1,0.2\ny,0.0,0.6\n"), "{text}");
}

#[test]
fn typed_columns_keep_their_values_in_every_format() {
    let values = Matrix::new(2, 1, vec![f32::NAN, 2.5]).unwrap();
    let kept: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(i64::MAX), None])),
        Arc::new(Float64Array::from(vec![0.1, 3.0])),
        Arc::new(BooleanArray::from(vec![true, false])),
        Arc::new(Date32Array::from(vec![19_000, 0])),
        Arc::new(TimestampMillisecondArray::from(vec![1500, -1])),
    ];
    let names = ["id", "x", "ok", "day", "at"];
    let of = |format| written(format, columns(&names, None, &["y"]), &kept, &values);
    let csv = String::from_utf8(of(Format::Csv)).unwrap();
    let first = "9223372036854775807,0.1,true,2022-01-08,1970-01-01T00:00:01.500,NaN";
    assert_eq!(csv.lines().nth(1), Some(first));
    assert_eq!(csv.lines().nth(2), Some(",3,false,1970-01-01,1969-12-31T23:59:59.999,2.5"));
    let json = String::from_utf8(of(Format::Jsonl)).unwrap();
    let first = "{\"id\":9223372036854775807,\"x\":0.1,\"ok\":true,\"day\":\"2022-01-08\",\"at\":\"1970-01-01T00:00:01.500\",\"y\":null}";
    assert_eq!(json.lines().next(), Some(first));
    assert!(json.lines().nth(1).unwrap().starts_with("{\"id\":null,\"x\":3,"), "{json}");
    let bytes = bytes::Bytes::from(of(Format::Parquet));
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes);
    let batch = reader.unwrap().build().unwrap().next().unwrap().unwrap();
    assert_eq!(batch.num_rows(), 4);
    for (i, array) in kept.iter().enumerate() {
        assert_eq!(&batch.column(i).slice(2, 2), array);
    }
    assert_eq!(batch.column(5).as_primitive::<Float32Type>().value(3), 2.5);
}

#[test]
fn an_npy_file_says_how_many_rows_it_holds() {
    let values = Matrix::from_fn(3, 2, |r, c| (r * 2 + c) as f32);
    let bytes = written(Format::Npy, columns(&[], None, &["u", "v"]), &[], &values);
    assert_eq!(bytes.len(), 128 + 2 * 24);
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'shape': (6, 2)"));
    assert_eq!(bytes[128 + 24..][4..8], 1.0f32.to_le_bytes());
}

#[test]
fn the_extension_says_the_format() {
    for (name, format) in [
        ("a.CSV", Format::Csv),
        ("full", Format::Csv),
        ("a.b.tsv", Format::Tsv),
        ("x.jsonl", Format::Jsonl),
        ("x.parquet", Format::Parquet),
        ("x.npy", Format::Npy),
    ] {
        assert_eq!(Format::of(Path::new(name)).unwrap(), format);
    }
    assert_eq!(Format::of(Path::new("x.xlsx")).unwrap_err().kind().exit_code(), 2);
    assert_eq!("jsonl".parse::<Format>().unwrap(), Format::Jsonl);
}
