use super::super::stream::tests::{gzip, of_bytes};
use super::*;
use proptest::prelude::*;

fn read_with(text: impl AsRef<[u8]>, options: &TableOptions) -> Result<Table> {
    read_stream(of_bytes("dir/t.csv", text.as_ref())?, options)
}

fn read(text: &str) -> Table {
    read_with(text, &TableOptions::default()).unwrap()
}

fn numbers(table: &Table) -> Vec<f32> {
    match table.targets() {
        Some(Targets::Numbers(m)) => m.data().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The message for a text that must be refused as bad data, with its place in the file.
fn refusal(text: impl AsRef<[u8]>) -> String {
    let error = read_with(text, &TableOptions::default()).unwrap_err();
    assert_eq!(error.kind().exit_code(), 3, "{error}");
    let text = error.to_string();
    assert!(text.contains("where: dir/t.csv") && text.contains("help: "), "{text}");
    text
}

#[test]
fn the_last_column_is_the_target_and_the_rest_are_features() {
    let table = read("a,b,y\n1.5,-2,7\n3e2,4,8\n");
    assert_eq!(table.name(), "t");
    assert_eq!(table.columns().features().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(table.columns().target_names().collect::<Vec<_>>(), ["y"]);
    let expected = Matrix::new(2, 2, vec![1.5, -2.0, 300.0, 4.0]).unwrap();
    assert_eq!(table.features(), &Features::F32(expected));
    assert_eq!(numbers(&table), [7.0, 8.0]);
}

#[test]
fn the_same_numbers_give_the_same_table_in_every_dress() {
    let plain = read("a,b,y\n1,2,3\n4,5,6\n");
    for text in [
        "a;b;y\n1;2;3\n4;5;6",
        "a\tb\ty\r\n1\t2\t3\r\n4\t5\t6\r\n",
        "\u{feff}a,b,y\n\"1\", 2 ,3\n\n4,5,6.0\n",
    ] {
        assert_eq!(read(text), plain, "{text:?}");
    }
    assert_eq!(read_with(gzip(b"a,b,y\n1,2,3\n4,5,6\n"), &TableOptions::default()).unwrap(), plain);
    let bare = read("1,2,3\n4,5,6\n");
    assert_eq!((bare.features(), bare.targets()), (plain.features(), plain.targets()));
    assert!(!bare.columns().header && bare.columns().names == ["1", "2", "3"]);
}

#[test]
fn whole_numbers_up_to_255_stay_bytes() {
    assert!(matches!(read("0,255,1\n3,4,2\n").features(), Features::U8(_)));
    for cell in ["256", "-1", "0.5", "-0"] {
        let table = read(&format!("0,255,1\n3,{cell},2\n"));
        assert!(matches!(table.features(), Features::F32(_)), "{cell}");
        assert_eq!(table.features().value(0, 1), 255.0);
    }
}

#[test]
fn text_in_the_target_makes_classes_with_or_without_a_header() {
    for text in ["5.1,3.5,setosa\n4.9,3,virginica\n", "a,b,kind\n5.1,3.5,setosa\n4.9,3,virginica\n"]
    {
        let (data, _) = read(text).into_dataset().unwrap();
        assert_eq!(data.class_names().unwrap(), ["setosa", "virginica"]);
        assert_eq!(data.rows(), 2);
    }
}

#[test]
fn targets_are_chosen_by_name_and_number() {
    let with = |target: &[&str], task| TableOptions {
        target: target.iter().map(|t| t.to_string()).collect(),
        task,
        ..TableOptions::default()
    };
    let text = "a,b,c\n1,2,3\n4,5,6\n";
    let table = read_with(text, &with(&["a"], Task::Auto)).unwrap();
    assert_eq!(numbers(&table), [1.0, 4.0]);
    let table = read_with(text, &with(&["c", "1"], Task::Auto)).unwrap();
    assert_eq!(numbers(&table), [3.0, 1.0, 6.0, 4.0]);
    assert_eq!(table.columns().targets, [2, 0]);
    let error = read_with(text, &with(&["c", "1"], Task::Classification)).unwrap_err();
    assert_eq!(error.kind().exit_code(), 2);
    let table = read_with(text, &with(&[], Task::Classification)).unwrap();
    assert_eq!(table.into_dataset().unwrap().0.class_names().unwrap(), ["3", "6"]);
}

#[test]
fn bad_cells_are_named_with_file_line_column_and_cure() {
    let text = refusal("a,b,y\n1,2,3\n4,NEAR BAY,6\n");
    assert!(text.contains("\"NEAR BAY\" is not a number"), "{text}");
    assert!(text.contains("where: dir/t.csv, line 3, column 2 (b)"), "{text}");
    assert!(refusal("1,2,3\r\n\r\n4,,6\r\n").contains("dir/t.csv, line 3, column 2\n"));
    assert!(refusal("a,b,y\n1,inf,3\n").contains("inf is not a finite number"));
    assert!(refusal("a,b,y\n1,NaN,3\n").contains("a missing value"));
    assert!(refusal("a,b,y\n1,2,3\n1,2,\n").contains("line 3, column 3 (y)"));
    assert!(refusal(b"a,b,y\n1,\xC3,3\n").contains("invalid UTF-8"));
    assert!(refusal(b"a,\xC3,y\n1,2,3\n").contains("line 1, column 2"));
    assert!(refusal("a;b;y\n1,5;2;3\n").contains("write decimals with a point"));
}

#[test]
fn broken_files_are_refused() {
    let text = refusal("a,b,y\n1,2,3\n4,5\n");
    assert!(text.contains("a row of 2 cells, where the first row has 3"), "{text}");
    assert!(text.contains("where: dir/t.csv, line 3\n"), "{text}");
    let text = refusal("a,b,y\n1,2,3\n4,\"5,6\n7,8,9\n");
    assert!(text.contains("line 3") && text.contains("never closed"), "{text}");
    assert!(refusal("").contains("the file is empty"));
    assert!(refusal("\n \n").contains("the file is empty"));
    assert!(refusal("a,b,y\n").contains("no rows"));
    assert!(refusal("a,b,a\n1,2,3\n").contains("columns 1 and 3"));
    assert!(refusal("a\n1\n2\n").contains("one column only"));
    assert!(refusal("a,y\n1,5\n2,5\n").contains("the target is 5 in every row"));
    assert!(refusal(b"PAR1\0\0").contains("zero bytes"));
}

fn expected(columns: Option<Columns>, classes: Option<&[&str]>) -> TableOptions {
    let classes: Option<Vec<String>> =
        classes.map(|names| names.iter().map(|n| n.to_string()).collect());
    let outputs = classes.as_ref().map_or(1, Vec::len);
    TableOptions {
        expected: Some(Expected { features: 2, outputs, classes, columns }),
        ..TableOptions::default()
    }
}

#[test]
fn a_trained_model_reads_tables_with_and_without_the_target() {
    let (_, columns) = read("a,b,y\n1,2,0.5\n4,5,7\n").into_dataset().unwrap();
    let options = expected(Some(columns), None);
    let with = read_with("y,id,b,a\n9,x,2,1\n", &options).unwrap();
    let without = read_with("a,b\n1,2\n", &options).unwrap();
    let bare = read_with("1,2\n", &options).unwrap();
    assert_eq!(numbers(&with), [9.0]);
    assert_eq!(with.features(), without.features());
    assert_eq!(with.features(), bare.features());
    assert!(without.into_dataset().unwrap_err().to_string().contains("no target column"));
}

#[test]
fn prediction_ignores_what_stands_in_the_target() {
    let features_only = |options| TableOptions { features_only: true, ..options };
    let (_, columns) = read("a,b,y\n1,2,0.5\n4,5,7\n").into_dataset().unwrap();
    let options = features_only(expected(Some(columns), None));
    let table = read_with("a,b,y\n1,2,\n4,5,unknown\n", &options).unwrap();
    assert_eq!((table.features().rows(), table.targets()), (2, None));
}

#[test]
fn classes_of_a_trained_model_keep_their_places_in_another_file() {
    let options = expected(None, Some(&["cat", "dog"]));
    let table = read_with("1,2,dog\n", &options).unwrap();
    let Some(Targets::Classes { labels, names }) = table.targets() else { panic!() };
    assert_eq!((labels[0], names.len()), (1, 2));
    let error = read_with("1,2,dog\n3,4,cow\n", &options).unwrap_err().to_string();
    assert!(error.contains("no class \"cow\"") && error.contains("line 2, column 3"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(),
            proptest::sample::select(b"0123456789.,;\t\"\r\n-eaN".to_vec()),
        ], 0..200),
        zip in any::<bool>(),
    ) {
        let bytes = if zip { gzip(&bytes) } else { bytes };
        for options in [TableOptions::default(), expected(None, Some(&["1", "a"]))] {
            let _ = read_with(&bytes, &options);
        }
    }

    #[test]
    fn written_numbers_read_back_equal(
        rows in proptest::collection::vec(proptest::collection::vec(-1e30f32..1e30, 3), 1..20),
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let text: String = rows
            .iter()
            .map(|row| row.iter().map(f32::to_string).collect::<Vec<_>>().join(",") + end)
            .collect();
        if let Ok(table) = read_with(text, &TableOptions::default()) {
            let targets = numbers(&table);
            for (r, row) in rows.iter().enumerate() {
                prop_assert_eq!(table.features().value(r, 0).to_bits(), row[0].to_bits());
                prop_assert_eq!(table.features().value(r, 1).to_bits(), row[1].to_bits());
                prop_assert_eq!(targets[r].to_bits(), row[2].to_bits());
            }
        } else {
            let first = rows[0][2];
            prop_assert!(rows.len() > 1 && rows.iter().all(|row| row[2] == first));
        }
    }
}
