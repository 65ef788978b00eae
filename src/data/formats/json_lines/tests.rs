use super::*;
use crate::data::streams::stream::tests::{gzip, of_memory};

fn table(text: &str, form: Json) -> Result<JsonTable> {
    JsonTable::open(of_memory("t.jsonl", text.as_bytes()), form)
}

fn whole(text: &str, form: Json) -> (Frame, Vec<(usize, Error)>) {
    let (mut all, mut faults) = (Frame::default(), Vec::new());
    let table = table(text, form).unwrap();
    table
        .pass(|first, frame, more| {
            assert_eq!(first, all.rows);
            faults.extend(more);
            all.append(frame);
            Ok(())
        })
        .unwrap();
    (all, faults)
}

fn texts(texts: &[Option<&str>]) -> Values {
    Values::Texts(texts.iter().copied().collect())
}

const RECORDS: [&str; 4] = [
    r#"{"a": 1.5, "b": "x", "ok": true, "id": 9007199254740993, "mixed": 7}"#,
    r#"{"b": null, "a": -2, "id": 18446744073709551615, "mixed": "u\u00e9"}"#,
    r#"{"late": 3, "b": "", "ok": false, "id": 1, "mixed": 0.5, "list": [1, {"x": 2}]}"#,
    r#"{}"#,
];

fn check(frame: &Frame) {
    assert_eq!(frame.header.names, ["a", "b", "ok", "id", "mixed", "late", "list"]);
    let column = |name| frame.column(name).unwrap();
    let bits = |values: &Values| (0..4).map(|row| values.number(row).to_bits()).collect::<Vec<_>>();
    let nan = f64::NAN;
    assert_eq!(bits(column("a")), [1.5, -2.0, nan, nan].map(f64::to_bits));
    assert_eq!(bits(column("late")), [nan, nan, 3.0, nan].map(f64::to_bits));
    assert_eq!(*column("b"), texts(&[Some("x"), None, None, None]));
    assert_eq!(*column("ok"), texts(&[Some("true"), None, Some("false"), None]));
    let id = [Some("9007199254740993"), Some("18446744073709551615"), Some("1"), None];
    assert_eq!(*column("id"), texts(&id));
    assert_eq!(*column("mixed"), texts(&[Some("7"), Some("ué"), Some("0.5"), None]));
    assert_eq!(frame.column("list"), None);
}

#[test]
fn keys_are_columns_in_the_order_in_which_they_come_up() {
    let (lines, faults) = whole(&(RECORDS.join("\n") + "\n"), Json::Lines);
    assert!(faults.is_empty());
    check(&lines);
    assert_eq!(lines.describe_row(3), "line 4");
    let (array, _) = whole(&format!(" [{}]\n", RECORDS.join(",\n ")), Json::Array);
    check(&array);
    assert_eq!(array.describe_row(3), "row 4");
    let notes = table(&RECORDS.join("\n"), Json::Lines).unwrap().notes();
    assert!(notes.len() == 1 && notes[0].contains("warning: the column list"), "{notes:?}");
}

#[test]
fn chunks_hold_what_the_whole_does() {
    let rows = 1100;
    let text: String = (0..rows).map(|i| format!("{{\"i\":{i},\"h\":\"w{}\"}}\n", i % 7)).collect();
    let table = JsonTable::open(of_memory("t.jsonl.gz", &gzip(text.as_bytes())), Json::Lines);
    let (mut firsts, mut all) = (Vec::new(), Frame::default());
    table
        .unwrap()
        .pass_in(1000, |first, frame, _| {
            firsts.push(first);
            all.append(frame);
            Ok(())
        })
        .unwrap();
    assert_eq!((firsts, all.rows), (vec![0, 500, 1000], rows));
    let last = all.column("i").unwrap().number(rows - 1);
    assert_eq!((last, all.describe_row(rows - 1)), ((rows - 1) as f64, format!("line {rows}")));
}

#[test]
fn a_line_that_is_no_object_is_a_fault_of_its_row() {
    let (frame, faults) = whole("{\"a\":1}\n\nnot\n{\"a\":3}\n[1]\n", Json::Lines);
    assert_eq!((frame.rows, frame.column("a").unwrap().number(2)), (4, 3.0));
    let found: Vec<_> = faults.iter().map(|(row, e)| (*row, e.to_string())).collect();
    assert!(found[0].0 == 1 && found[0].1.contains("line 3"), "{found:?}");
    assert!(found[1].0 == 3 && found[1].1.contains("line 5"), "{found:?}");
}

#[test]
fn what_is_no_table_is_refused_with_what_to_do() {
    for (text, form, what, help) in [
        ("{\n \"a\": 1\n}\n", Json::Lines, "not a JSON object", "jq -c . FILE"),
        ("[{\"a\": 1}, 2]", Json::Array, "not an array of JSON objects", "jq -c '.[]' FILE"),
        ("[{\"a\": 1}", Json::Array, "EOF", "jq"),
        ("{}\n{}\n", Json::Lines, "no object with a key", "each line"),
    ] {
        let error = table(text, form).unwrap_err();
        let shown = error.to_string();
        assert!(
            error.kind().exit_code() == 3 && shown.contains(what) && shown.contains(help),
            "{shown}"
        );
    }
    let many = (0..=MOST_COLUMNS).map(|i| format!("{{\"k{i}\":1}}\n")).collect::<String>();
    assert!(table(&many, Json::Lines).unwrap_err().to_string().contains("different keys"));
}
