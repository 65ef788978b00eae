use super::*;
use crate::data::Task;
use crate::data::streams::archive::tests::zip;
use crate::data::streams::stream::Source;
use crate::data::streams::stream::tests::{gzip, of_bytes, of_memory};
use proptest::prelude::*;

pub(in crate::data) fn parse(bytes: &[u8]) -> Result<NpyArray> {
    read_npy(of_bytes("t.npy", bytes)?, Budget::default())
}

/// An NPY file with a header of these words.
pub(in crate::data) fn npy(descr: &str, fortran: bool, shape: &str, body: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut file = MAGIC.to_vec();
    file.extend([1, 0]);
    file.extend((text.len() as u16).to_le_bytes());
    file.extend(text.as_bytes());
    file.extend(body);
    file
}

fn refusal(bytes: &[u8]) -> String {
    let error = parse(bytes).unwrap_err();
    assert_eq!(error.kind().exit_code(), 3, "{error}");
    error.to_string()
}

#[test]
fn numbers_of_every_type_and_order_are_read() {
    let cases: [(&str, Vec<u8>); 8] = [
        ("|u1", vec![1, 2]),
        ("<i2", vec![1, 0, 2, 0]),
        (">i2", vec![0, 1, 0, 2]),
        ("<u4", [1u32, 2].iter().flat_map(|x| x.to_le_bytes()).collect()),
        (">i8", [1i64, 2].iter().flat_map(|x| x.to_be_bytes()).collect()),
        ("<f2", vec![0x00, 0x3C, 0x00, 0x40]),
        ("<f4", [1f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
        (">f8", [1f64, 2.0].iter().flat_map(|x| x.to_be_bytes()).collect()),
    ];
    for (descr, body) in cases {
        let array = parse(&npy(descr, false, "(2,)", &body)).unwrap();
        let column = &array.columns(&[])[0];
        assert_eq!(*column, Values::Bytes(vec![1, 2]), "{descr}");
    }
    let words: Vec<u8> = "ab\0c\0\0".chars().flat_map(|c| (c as u32).to_le_bytes()).collect();
    let array = parse(&npy("<U3", false, "(2,)", &words)).unwrap();
    assert_eq!(array.elements, Elements::Texts(vec!["ab".into(), "c".into()]));
    let halves: Vec<u8> = [0xC500u16, 0x0001].iter().flat_map(|x| x.to_be_bytes()).collect();
    let array = parse(&npy(">f2", false, "(2,)", &halves)).unwrap();
    assert_eq!(array.elements, Elements::Numbers(vec![-5.0, 2f64.powi(-24)]));
    let truths = parse(&npy("|b1", false, "(2,)", &[0, 1])).unwrap();
    assert_eq!(truths.elements, Elements::Bytes(vec![0, 1]));
}

#[test]
fn fortran_order_is_read_as_what_it_means() {
    let c = parse(&npy("|u1", false, "(2, 3)", &[1, 2, 3, 4, 5, 6])).unwrap();
    let fortran = parse(&npy("|u1", true, "(2, 3)", &[1, 4, 2, 5, 3, 6])).unwrap();
    assert_eq!(c, fortran);
    assert_eq!(table(&c, &[]).columns[2], Some(Values::Bytes(vec![3, 6])));
    let cube = npy("|u1", true, "(2, 2, 2)", &[0, 4, 2, 6, 1, 5, 3, 7]);
    assert_eq!(parse(&cube).unwrap().elements, Elements::Bytes((0..8).collect()));
}

#[test]
fn headers_that_lie_are_refused_before_anything_is_allocated() {
    let huge = "(18446744073709551615, 18446744073709551615)";
    assert!(refusal(&npy("<f8", false, huge, &[0; 8])).contains("holds only 8 bytes"));
    assert!(refusal(&npy("<f8", false, "(1099511627776,)", &[0; 8])).contains("truncated"));
    assert!(refusal(&npy("<f8", false, "(1,)", &[0; 9])).contains("more bytes follow them"));
    assert!(refusal(&npy("<f8", false, "(-1,)", &[0; 8])).contains("an invalid shape"));
    assert!(refusal(&npy("<f8", false, "(0, 3)", &[])).contains("the array is empty"));
    assert!(refusal(&npy("<f8", false, "()", &[0; 8])).contains("a single value"));
    assert!(refusal(&npy("|O", false, "(1,)", &[0; 8])).contains("\"|O\""));
    assert!(refusal(&npy("<c16", false, "(1,)", &[0; 16])).contains("\"<c16\""));
    let mut long = npy("<f8", false, "(1,)", &[0; 8]);
    long[6] = 2;
    assert!(refusal(&long).contains("bytes long"));
    for end in [6, 7, 9, 11, 40] {
        assert!(refusal(&npy("<f8", false, "(1,)", &[0; 8])[..end]).contains("ends within"));
    }
    let infinite = npy("<f4", false, "(2, 1)", &[0, 0, 0, 0, 0, 0, 0x80, 0x7F]);
    assert!(refusal(&infinite).contains("row 2"));
}

#[test]
fn whole_numbers_beyond_what_f64_tells_apart_are_texts_of_their_digits() {
    let ids = [9_007_199_254_740_993u64, 7, u64::MAX, 8];
    for (descr, big) in [("<u8", false), (">u8", true)] {
        let bytes = ids.iter().flat_map(|x| if big { x.to_be_bytes() } else { x.to_le_bytes() });
        let array = parse(&npy(descr, false, "(2, 2)", &bytes.collect::<Vec<_>>())).unwrap();
        let [first, second] = &array.columns(&[])[..] else { panic!("two columns") };
        let texts = [Some("9007199254740993"), Some("18446744073709551615")];
        assert_eq!(*first, Values::Texts(texts.into_iter().collect()), "{descr}");
        assert_eq!(*second, Values::Bytes(vec![7, 8]), "{descr}");
        assert_eq!(array.features().unwrap().value(1, 1), 8.0);
    }
    let least = parse(&npy("<i8", false, "(1,)", &i64::MIN.to_le_bytes())).unwrap();
    assert_eq!(least.columns(&[])[0].text(0).unwrap(), i64::MIN.to_string());
}

#[test]
fn what_takes_too_much_memory_is_refused_before_it_is_read() {
    let budget = Budget(Some(1 << 20));
    let file = npy("<f8", true, "(100, 1000)", &[0; 800_000]);
    for bytes in [gzip(&file), file] {
        let error = read_npy(of_bytes("t.npy", &bytes).unwrap(), budget).unwrap_err().to_string();
        assert!(error.contains("100 × 1000 elements takes 2.4 MB of memory"), "{error}");
        assert!(error.contains("the memory limit is 1.0 MB"), "{error}");
    }
}

fn set(files: &[(&str, Vec<u8>)], task: Task) -> Result<NpzSet> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(n, f)| (*n, f.as_slice())).collect();
    read_npz(&of_memory("t.npz", &zip(&files)), task, Budget::default())
}

fn frame(part: NpzPart) -> Frame {
    match part {
        NpzPart::Table(frame) => frame,
        NpzPart::Images(..) => panic!("a table"),
    }
}

#[test]
fn arrays_of_a_zip_file_are_columns_of_one_table() {
    let files = [
        ("x.npy", npy("|u1", false, "(2, 2)", &[1, 2, 3, 4])),
        ("y.npy", npy("|u1", false, "(2,)", &[0, 1])),
    ];
    let found = frame(set(&files, Task::Auto).unwrap().training);
    assert_eq!(found.header.names, ["x_1", "x_2", "y"]);
    assert_eq!(found.columns[1], Some(Values::Bytes(vec![2, 4])));
    let [(_, x), (_, y)] = files;
    let other = set(&[("a.npy", x.clone()), ("b.npy", y.clone())], Task::Auto).unwrap();
    assert_eq!(frame(other.training).header.names, ["a_1", "a_2", "b"]);
    // Targets under a name of their own are the last column, as in any table.
    let price = set(&[("data.npy", x.clone()), ("price.npy", y.clone())], Task::Auto).unwrap();
    assert_eq!(frame(price.training).header.names, ["data_1", "data_2", "price"]);
    let bytes = zip(&[("x.npy", &x), ("y.npy", &y)]);
    for end in [10, bytes.len() / 2, bytes.len() - 1] {
        let source = of_memory("t.npz", &bytes[..end]);
        let error = read_npz(&source, Task::Auto, Budget::default()).unwrap_err();
        assert_eq!(error.kind().exit_code(), 3, "{error}");
    }
}

#[test]
fn one_hot_targets_are_classes_unless_the_task_is_another() {
    let x = npy("|u1", false, "(3, 1)", &[1, 2, 3]);
    let rows = [0f32, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let floats: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
    let whole: Vec<u8> = rows.iter().flat_map(|&x| (x as i16).to_be_bytes()).collect();
    for y in [npy("<f4", false, "(3, 3)", &floats), npy(">i2", false, "(3, 3)", &whole)] {
        let files = [("x.npy", x.clone()), ("y.npy", y)];
        for task in [Task::Auto, Task::Classification] {
            let set = set(&files, task).unwrap();
            assert!(
                set.notes.len() == 1 && set.notes[0].contains("y is one-hot"),
                "{:?}",
                set.notes
            );
            let found = frame(set.training);
            assert_eq!(found.header.names, ["x_1", "y"]);
            let classes: Vec<f64> = (0..3).map(|r| found.column("y").unwrap().number(r)).collect();
            assert_eq!(classes, [2.0, 0.0, 2.0]);
        }
        for task in [Task::Multilabel, Task::Regression] {
            let set = set(&files, task).unwrap();
            assert!(set.notes.is_empty());
            assert_eq!(frame(set.training).header.names, ["x_1", "y_1", "y_2", "y_3"]);
        }
    }
    let column = npy("|u1", false, "(3, 1)", &[1, 0, 1]);
    let set = set(&[("x.npy", x), ("labels.npy", column)], Task::Auto).unwrap();
    assert!(set.notes[0].contains("labels has the shape (rows, 1)"), "{:?}", set.notes);
    assert_eq!(frame(set.training).column("y"), Some(&Values::Bytes(vec![1, 0, 1])));
}

#[test]
fn arrays_that_do_not_belong_together_are_named() {
    let rows = |n: u8| npy("|u1", false, &format!("({n},)"), &vec![0; usize::from(n)]);
    for (files, text) in [
        (vec![("x.npy", rows(3)), ("y.npy", rows(2))], "x has 3 rows, but y has 2"),
        (vec![("a.npy", rows(3)), ("b.npy", rows(2))], "must be called x, features"),
        (
            vec![("x.npy", rows(3)), ("y.npy", rows(3)), ("val_x.npy", rows(2))],
            "array val_x, but no",
        ),
    ] {
        let error = set(&files, Task::Auto).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        let (name, sizes) = (files[1].0.trim_end_matches(".npy"), files[1].1.len());
        assert!(error.contains(&format!("{name} (")) && sizes > 0, "{error}");
    }
}

#[test]
fn sizes_that_lie_in_a_zip_file_are_refused() {
    // The array declares 100 GB.
    let huge = npy("<f8", false, "(12500000000,)", &[0; 16]);
    let error = set(&[("x.npy", huge.clone())], Task::Auto).unwrap_err().to_string();
    assert!(error.contains("holds only 16 bytes"), "{error}");
    // Bytes that are there as declared, but too many for the limit.
    let zeros = npy("<f8", false, "(400000,)", &vec![0; 3_200_000]);
    let zipped = zip(&[("x.npy", &zeros)]);
    assert!(zipped.len() < 10_000);
    let source = of_memory("t.npz", &zipped);
    let error = read_npz(&source, Task::Auto, Budget(Some(1 << 20))).unwrap_err().to_string();
    assert!(error.contains("reading x (400000) takes 9.6 MB of memory"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_behind_the_magic_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        text in "[a-z'{}(): ,0-9<>|]{0,80}",
    ) {
        let _ = parse(&[MAGIC, &bytes].concat());
        let shape = format!("({text}");
        let _ = parse(&npy(&text, text.len() % 2 == 0, &shape, &bytes));
        let source = Source::Memory("t".into(), [b"PK\x03\x04", &bytes[..]].concat().into());
        let _ = read_npz(&source, Task::Auto, Budget::default());
    }

    #[test]
    fn written_arrays_read_back_equal(
        values in proptest::collection::vec(any::<f64>().prop_filter("finite", |x| x.is_finite()), 1..60),
        cols in 1usize..5,
        fortran in any::<bool>(),
    ) {
        let rows = values.len().div_ceil(cols);
        let at = |r: usize, c: usize| values[(r * cols + c) % values.len()];
        let body: Vec<u8> = match fortran {
            true => (0..cols).flat_map(|c| (0..rows).flat_map(move |r| at(r, c).to_le_bytes())).collect(),
            false => (0..rows).flat_map(|r| (0..cols).flat_map(move |c| at(r, c).to_le_bytes())).collect(),
        };
        let file = npy("<f8", fortran, &format!("({rows}, {cols})"), &body);
        let frame = table(&parse(&file).unwrap(), &[]);
        for r in 0..rows {
            for c in 0..cols {
                let found = frame.columns[c].as_ref().unwrap().number(r);
                prop_assert_eq!(found.to_bits(), at(r, c).to_bits());
            }
        }
    }
}
