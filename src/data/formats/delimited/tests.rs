use super::*;
use crate::data::TextOptions;
use crate::data::columns::frame::{Frame, Values};
use crate::data::columns::missing::is_missing;
use crate::data::columns::texts::Texts;
use crate::data::streams::stream::tests::{gzip, of_memory};
use crate::data::{Decimal, Separator, Thousands};
use proptest::prelude::*;

fn open(text: impl AsRef<[u8]>, options: &TextOptions) -> Result<Arc<Delimited>> {
    let known = Known { text: options, ..Known::default() };
    Delimited::open(of_memory("dir/t.csv", text.as_ref()), known)
}

fn read_as(text: impl AsRef<[u8]>, want: impl Fn(usize) -> Want) -> Result<Frame> {
    read_with(text, want, &TextOptions::default())
}

fn read_with(
    text: impl AsRef<[u8]>,
    want: impl Fn(usize) -> Want,
    options: &TextOptions,
) -> Result<Frame> {
    let delimited = open(text, options)?;
    let wanted: Vec<Want> = (0..delimited.header().names.len()).map(want).collect();
    let mut all = Frame::default();
    delimited.pass(&Selection::from(wanted), |rows| {
        let rows = rows.sound()?;
        if rows.first == 0 {
            all = Frame { header: rows.frame.header.clone(), ..Frame::default() };
        }
        all.append(rows.frame);
        Ok(())
    })?;
    Ok(all)
}

fn read(text: impl AsRef<[u8]>) -> Frame {
    read_as(text, |_| Want::Guess).unwrap()
}

/// The message for a text that must be refused as bad data, with its place in the file.
fn refusal(text: impl AsRef<[u8]>) -> String {
    let error = read_as(text, |_| Want::Guess).unwrap_err();
    assert_eq!(error.kind().exit_code(), 3, "{error}");
    let text = error.to_string();
    assert!(text.contains("where: dir/t.csv") && text.contains("help: "), "{text}");
    text
}

fn texts(words: &[&str]) -> Option<Values> {
    let texts: Texts = words.iter().map(|w| (!w.is_empty()).then_some(*w)).collect();
    Some(Values::Texts(texts))
}

#[test]
fn the_same_values_give_the_same_columns_in_every_dress() {
    let plain = read("a,b,y\n1,2,x\n4,5,z\n");
    assert_eq!(plain.columns[0], Some(Values::Bytes(vec![1, 4])));
    assert_eq!(plain.columns[2], texts(&["x", "z"]));
    for text in [
        "a;b;y\n1;2;x\n4;5;z",
        "a\tb\ty\r\n1\t2\tx\r\n4\t5\tz\r\n",
        "a|b|y\n1|2|x\n4|5|z\n",
        "sep=;\r\na;b;y\r\n1;2;x\r\n4;5;z\r\n",
        "a,b,y\r1,2,x\r4,5,z\r",
        "\u{feff}a,b,y\n\"1\", 2 ,x\n\n4,5.0,z\n",
        "\n\na,b,y\n1,2,\"x\"\n\n4,+5,z\n\n",
    ] {
        let frame = read(text);
        assert_eq!((&frame.columns, &frame.header), (&plain.columns, &plain.header), "{text:?}");
    }
    assert_eq!(read(gzip(b"a,b,y\n1,2,x\n4,5,z\n")).columns, plain.columns);
    let zipped = zstd::encode_all(&b"a,b,y\n1,2,x\n4,5,z\n"[..], 3).unwrap();
    assert_eq!(read(zipped).columns, plain.columns);
}

#[test]
fn missing_values_are_known_by_their_marks() {
    let frame = read("a,b\n1.5,u\n,\nNA,n/a\nnone,NaN\n?,-\n-2,v\n");
    let Some(Values::Numbers(a)) = &frame.columns[0] else { panic!("{frame:?}") };
    assert_eq!((a[0], a[5]), (1.5, -2.0));
    assert!(a[1..5].iter().all(|x| x.is_nan()));
    assert_eq!(frame.columns[1], texts(&["u", "", "", "", "", "v"]));
}

#[test]
fn quotes_hold_separators_line_ends_and_quotes() {
    let frame = read("a,b\n\"x, \"\"y\"\"\",1\n\"two\nlines\",2\n5\"\" pipe,3\n");
    assert_eq!(frame.columns[0], texts(&["x, \"y\"", "two\nlines", "5\"\" pipe"]));
    assert_eq!((frame.lines.of(1), frame.lines.of(2)), (Some(3), Some(5)));
}

#[test]
fn every_row_knows_its_line() {
    let lines = |text: &str| {
        let frame = read(text);
        (0..frame.rows).map(|r| frame.lines.of(r).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(lines("a,b\n1,2\n3,4\n"), [2, 3]);
    assert_eq!(lines("\n\na,b\n\n \n1,2\r\n\r\n3,4\n\n"), [6, 8]);
    assert_eq!(lines("a,\"b\nc\"\n1,2\n3,4"), [3, 4]);
    assert_eq!(lines("a,b\n\n\n1,\"2\n\"\n\n3,4"), [4, 7]);
}

#[test]
fn bad_rows_are_named_with_file_line_column_and_cure() {
    let text = refusal("a,b,y\n1,2,3\n4,5\n");
    assert!(text.contains("the row has 2 cells, but the first row has 3"), "{text}");
    assert!(text.contains("where: dir/t.csv, line 3\n"), "{text}");
    assert!(refusal("a,b\n1,2\n1,2,3,4\n").contains("the row has 4 cells"));
    assert!(refusal("a,b\n\"1\",2\n1,2,\"3\"\n").contains("the row has 3 cells"));
    let text = refusal("a,b,y\n1,2,3\n4,\"5,6\n7,8,9\n");
    assert!(text.contains("line 3") && text.contains("never closed"), "{text}");
    assert!(refusal("").contains("the file is empty"));
    assert!(refusal("\n \n").contains("the file is empty"));
    assert!(refusal("a,b,y\n").contains("no rows"));
    assert!(refusal(b"a,b,y\n1,\xC3,3\n").contains("invalid UTF-8"));
    assert!(refusal(b"a,b,y\n1,\xC3,3\n").contains("line 2, column 2 (b)"));
    assert!(refusal(b"a,\xC3,y\n1,2,3\n").contains("line 1, column 2"));
    assert!(refusal("a,b,y\n1,inf,3\n1,2,3\n").contains("inf is not a finite number"));
    assert!(refusal("a,b,y\n1,2,3\n1,1e999,3\n").contains("line 3, column 2 (b)"));
}

const GERMAN: NumberForm =
    NumberForm { decimal: Decimal::Comma, thousands: Some(Thousands::Point), unit: None };

/// The numbers of a column, NaN where one is missing.
fn numbers(frame: &Frame, place: usize) -> Vec<f64> {
    let Some(values) = &frame.columns[place] else { panic!("{frame:?}") };
    assert!(!matches!(values, Values::Texts(_)), "{values:?}");
    (0..frame.rows).map(|row| values.number(row)).collect()
}

#[test]
fn numbers_are_read_as_each_column_writes_them() {
    let text = "size;change;kind;share;price\n\
                1.234,5;-3,25;house;12%;$1,234\n\
                987,25;4;flat;7,5%;$99\n\
                12.000,0;0,5;house;100%;$1,000,000\n";
    let frame = read(text);
    assert_eq!(numbers(&frame, 0), [1234.5, 987.25, 12_000.0]);
    assert_eq!(numbers(&frame, 1), [-3.25, 4.0, 0.5]);
    assert_eq!(frame.columns[2], texts(&["house", "flat", "house"]));
    assert_eq!(numbers(&frame, 3), [12.0, 7.5, 100.0]);
    assert_eq!(numbers(&frame, 4), [1234.0, 99.0, 1e6]);
    let form = |name: &str| frame.header.forms.get(name).copied().map(|form| form.to_string());
    assert_eq!(form("size").as_deref(), Some("decimal comma, thousands 1.234"));
    assert_eq!(form("share").as_deref(), Some("decimal comma, %"));
    assert_eq!((form("price").as_deref(), form("kind")), (Some("thousands 1,234, $"), None));
}

#[test]
fn what_a_column_leaves_open_is_decided_by_the_others_or_said() {
    let open = "a;b\n1.234;x\n987;y\n";
    let frame = read(open);
    assert_eq!(numbers(&frame, 0), [1.234, 987.0]);
    assert!(frame.warnings[0].contains("column a: 1.234 is read as 1.234"), "{:?}", frame.warnings);
    let frame = read("a;b\n1.234;0,5\n987;1,5\n");
    assert_eq!((numbers(&frame, 0), &frame.warnings[..]), (vec![1234.0, 987.0], &[][..]));
    let comma = TextOptions { decimal: Some(Decimal::Comma), ..TextOptions::default() };
    let frame = read_with(open, |_| Want::Guess, &comma).unwrap();
    assert_eq!((numbers(&frame, 0), &frame.warnings[..]), (vec![1234.0, 987.0], &[][..]));
}

#[test]
fn another_form_is_found_however_late_it_comes() {
    let text = long(500_000, 499_990, "1.25", "\"1,234.5\"");
    let frame = read(text);
    assert_eq!(numbers(&frame, 0)[499_990], 1234.5);
    assert_eq!(numbers(&frame, 0)[0], 1.25);
}

#[test]
fn a_model_reads_a_file_in_either_form() {
    let known = |text: &str, forms: &BTreeMap<String, NumberForm>| {
        let options = TextOptions::default();
        let known = Known { text: &options, forms: Some(forms), ..Known::default() };
        let delimited = Delimited::open(of_memory("t.csv", text.as_bytes()), known).unwrap();
        let mut all = Frame::default();
        let wanted = vec![Want::Number; 2];
        delimited
            .pass(&Selection::from(wanted), |rows| {
                all.append(rows.sound()?.frame);
                Ok(())
            })
            .unwrap();
        (numbers(&all, 0), all.warnings)
    };
    let (german, plain) = (BTreeMap::from([("a".to_string(), GERMAN)]), BTreeMap::new());
    for forms in [&german, &plain] {
        assert_eq!(known("a;b\n1.234,5;1\n-3,5;2\n", forms).0, [1234.5, -3.5]);
        assert_eq!(known("a,b\n1234.5,1\n-3.5,2\n", forms).0, [1234.5, -3.5]);
    }
    assert_eq!(known("a;b\n1.234;1\n987;2\n", &german).0, [1234.0, 987.0], "as it was trained");
    let (shares, warnings) = known("a,b\n12%,1\n7%,2\n", &plain);
    assert_eq!(shares, [12.0, 7.0]);
    assert!(warnings[0].contains("numbers with %, but the training data have no unit"));
}

#[test]
fn whole_numbers_that_f64_would_round_stay_texts() {
    let frame = read("id,a\n9007199254740993,1\n9007199254740992,2\n");
    assert_eq!(frame.columns[0], texts(&["9007199254740993", "9007199254740992"]));
    let frame = read("id,a\n9007199254740991,1\n1e300,2\n");
    assert_eq!(numbers(&frame, 0), [9_007_199_254_740_991.0, 1e300]);
    let frame = read_as("id,a\n9007199254740993,1\n2,2\n", |_| Want::Number).unwrap();
    assert_eq!(numbers(&frame, 0), [9_007_199_254_740_992.0, 2.0], "as the user says");
}

#[test]
fn what_the_user_says_goes_before_what_is_found() {
    let said =
        |text: &str, options: TextOptions| read_with(text, |_| Want::Guess, &options).unwrap();
    let none = TextOptions::default;
    let frame = said("a:b\n1:2\n3:4\n", TextOptions { separator: Some(Separator(b':')), ..none() });
    assert_eq!(frame.header.names, ["a", "b"]);
    let frame = said("1,2\n3,4\n", TextOptions { header: Some(true), ..none() });
    assert_eq!((&frame.header.names[..], frame.rows), (&["1".into(), "2".into()][..], 1));
    let frame = said("a,b\nc,d\n", TextOptions { header: Some(false), ..none() });
    assert_eq!((frame.header.named, frame.rows), (false, 2));
    let missing = TextOptions { missing: vec!["-999".into(), "unknown".into()], ..none() };
    let frame = said("a,b\n1.5,x\n-999.0,unknown\n7,y\n", missing);
    assert!(numbers(&frame, 0)[1].is_nan() && numbers(&frame, 0)[2] == 7.0);
    assert_eq!(frame.columns[1], texts(&["x", "", "y"]));
    let frame = read("sep=;\na;b\n1,5;2\n2,5;3\n");
    assert_eq!((numbers(&frame, 0), frame.lines.of(0)), (vec![1.5, 2.5], Some(3)));
}

#[test]
fn a_class_may_be_called_none_but_no_other_text() {
    let text = "a,class\nNone,None\nx,b\nNA,NA\n";
    let frame = read_as(text, |place| [Want::Text, Want::Class][place]).unwrap();
    assert_eq!(frame.columns[0], texts(&["", "x", ""]));
    assert_eq!(frame.columns[1], texts(&["None", "b", ""]));
}

/// Rows of which only the one at `odd` differs.
fn long(rows: usize, odd: usize, usual: &str, unusual: &str) -> String {
    let row = |i| if i == odd { unusual } else { usual };
    let rows = (0..rows).map(|i| format!("{},{i}.5\n", row(i)));
    std::iter::once("a,b\n".to_string()).chain(rows).collect()
}

#[test]
fn a_text_where_numbers_stood_is_named_however_late_it_comes() {
    let text = refusal(long(500_000, 499_990, "1.25", "wrong"));
    assert!(text.contains("\"wrong\" is not a number"), "{text}");
    assert!(text.contains("line 499992, column 1 (a)"), "{text}");
    assert!(text.contains("--categorical a") && text.contains("--ignore a"), "{text}");
    let text = refusal(long(1000, 700, "1.25", "\"1,5\""));
    assert!(text.contains("\"1,5\" is not a number"), "{text}");
    assert!(
        text.contains("1 of 1,000 values of the column isn't written like the others"),
        "{text}"
    );
    let error = read_as(long(1000, 700, "1.25", "wrong"), |_| Want::Number).unwrap_err();
    assert!(error.to_string().contains("line 702"), "{error}");
}

#[test]
fn a_column_that_turns_out_to_be_text_is_read_again_as_text() {
    let mut text = long(1000, 1000, "7", "");
    (0..200).for_each(|i| text += &format!("x{},1\n", i % 3));
    let frame = read(&text);
    let Some(Values::Texts(texts)) = &frame.columns[0] else { panic!("{:?}", frame.columns[0]) };
    assert_eq!(texts.words.iter().collect::<Vec<_>>(), ["7", "x0", "x1", "x2"]);
    assert_eq!(frame.rows, 1200);
}

#[test]
fn a_column_that_is_not_wanted_is_not_even_looked_at() {
    let want = |place| if place == 0 { Want::Nothing } else { Want::Guess };
    let frame = read_as(b"a,b\n\xC3,1\n,2\n", want).unwrap();
    assert_eq!(frame.columns, [None, Some(Values::Bytes(vec![1, 2]))]);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(
        bytes in proptest::collection::vec(prop_oneof![
            any::<u8>(),
            proptest::sample::select(b"0123456789.,;\t|\"\r\n-eaN".to_vec()),
        ], 0..200),
        zip in any::<bool>(),
    ) {
        let bytes = if zip { gzip(&bytes) } else { bytes };
        for want in [Want::Guess, Want::Number, Want::Text, Want::Nothing] {
            let _ = read_as(&bytes, |_| want);
        }
    }

    #[test]
    fn both_ways_to_parse_a_block_agree(
        rows in proptest::collection::vec(
            proptest::collection::vec("[0-9.e+-]{0,6}|[ a-z\r]{0,3}", 1..4), 1..30),
        cells in proptest::collection::vec(
            proptest::sample::select(vec![Cells::Number(NumberForm::PLAIN), Cells::Number(GERMAN), Cells::Text, Cells::Skip]), 3),
    ) {
        let text: String = rows.iter().map(|row| row.join(",") + "\n").collect();
        let dialect = Dialect { delimiter: b',', terminator: b'\n', told: false };
        let [plain, quoted] = [false, true].map(|quoted| {
            let block = Block { bytes: text.clone().into_bytes(), first_line: 5, quoted };
            cells::parse(&block, dialect, &cells, &Marks::default())
        });
        prop_assert_eq!(plain.rows, quoted.rows);
        prop_assert_eq!(&plain.lines, &quoted.lines);
        prop_assert_eq!(&plain.faults, &quoted.faults);
        for (a, b) in plain.columns.iter().zip(&quoted.columns) {
            // NaN isn't equal to itself: compared as text.
            let shown = |v: &Option<Values>, row| v.as_ref().and_then(|v| v.text(row));
            for row in 0..plain.rows {
                prop_assert_eq!(shown(a, row), shown(b, row));
            }
        }
    }

    #[test]
    fn written_tables_read_back_equal(
        numbers in proptest::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 2..40),
        words in proptest::collection::vec("[a-z ,\"\n]{1,8}", 40),
        crlf in any::<bool>(),
    ) {
        let terminator = if crlf { ::csv::Terminator::CRLF } else { ::csv::Terminator::Any(b'\n') };
        let mut writer = ::csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        writer.write_record(["number", "word"]).unwrap();
        for (x, word) in numbers.iter().zip(&words) {
            writer.write_record([format!("{x:?}").as_str(), word]).unwrap();
        }
        let frame = read_as(writer.into_inner().unwrap(), |i| [Want::Number, Want::Text][i]).unwrap();
        prop_assert_eq!(frame.rows, numbers.len());
        for (row, (x, word)) in numbers.iter().zip(&words).enumerate() {
            prop_assert_eq!(frame.columns[0].as_ref().unwrap().number(row).to_bits(), x.to_bits());
            let is_there = |w: &String| !is_missing(w.as_bytes());
            let expected = Some(word.trim().to_string()).filter(is_there);
            prop_assert_eq!(frame.columns[1].as_ref().unwrap().text(row), expected);
        }
    }
}
