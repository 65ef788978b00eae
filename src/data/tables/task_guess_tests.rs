use super::super::target::{Learnt, learn};
use super::*;
use crate::data::{Frame, Header, Targets, Task};
use std::sync::Arc;

fn learnt(values: Values, task: Task) -> Result<Learnt> {
    let header = Arc::new(Header { names: vec!["y".into()], named: true, ..Header::default() });
    let rows = values.len();
    let frame = Frame { header, columns: vec![Some(values)], rows, ..Frame::default() };
    learn(Columns { frame: &frame, places: &[0] }, task, None)
}

fn numbers(value: impl Fn(usize) -> f64) -> Values {
    Values::Numbers((0..100).map(value).collect())
}

fn texts(text: impl Fn(usize) -> String) -> Values {
    let all: Vec<String> = (0..100).map(text).collect();
    Values::Texts(all.iter().map(|t| Some(t.as_str())).collect())
}

fn classes(values: Values) -> Vec<String> {
    match learnt(values, Task::Auto).unwrap().targets {
        Targets::Classes { names, .. } => names,
        other => panic!("{other:?}"),
    }
}

#[test]
fn signs_are_classes_as_counts_from_zero_are() {
    assert_eq!(classes(numbers(|i| [-1.0, 1.0][i % 2])), ["-1", "1"]);
    assert_eq!(classes(numbers(|i| i as f64 % 3.0 - 1.0)), ["-1", "0", "1"]);
    assert_eq!(classes(texts(|i| ["+1", "-1"][i % 2].into())), ["-1", "1"]);
    assert_eq!(classes(numbers(|i| i as f64 % 3.0)), ["0", "1", "2"]);
    let far = numbers(|i| i as f64 % 5.0 - 2.0);
    assert!(matches!(learnt(far, Task::Auto).unwrap().targets, Targets::Numbers(_)));
}

#[test]
fn a_guess_that_could_be_otherwise_is_said_with_its_option() {
    let note = |values| learnt(values, Task::Auto).unwrap().note;
    assert_eq!(
        note(numbers(|i| 1.0 + i as f64 % 5.0)).unwrap(),
        "y has 5 different whole numbers: used as classes; --task regression uses them as numbers"
    );
    assert_eq!(
        note(numbers(|i| i as f64 % 25.0)).unwrap(),
        "y has 25 different whole numbers: used as numbers; --task classification uses them as classes"
    );
    assert_eq!(note(numbers(|i| i as f64 % 2.0)), None);
    assert_eq!(note(numbers(|i| i as f64)), None);
    assert_eq!(note(numbers(|i| i as f64 * 0.5)), None);
    let said = learnt(numbers(|i| 1.0 + i as f64 % 5.0), Task::Classification).unwrap();
    assert_eq!(said.note, None, "what is said is not a guess");
}

#[test]
fn whole_numbers_beyond_f64_keep_their_names_and_many_are_numbers() {
    let id = |i: usize| format!("{}", 9_007_199_254_740_992u64 + i as u64);
    assert_eq!(classes(texts(|i| id(i % 2))), ["9007199254740992", "9007199254740993"]);
    let many = learnt(texts(id), Task::Auto).unwrap().targets;
    let Targets::Numbers(m) = many else { panic!("numbers") };
    assert_eq!(m.row(4)[0], 9_007_199_254_740_996.0);
    let error = learnt(texts(|i| id(i % 2)), Task::Regression).unwrap_err().to_string();
    assert!(error.contains("are the same number in f64"), "{error}");
}

#[test]
fn a_class_for_each_row_is_refused_with_what_it_looks_like() {
    let refusal = |values, task| learnt(values, task).unwrap_err().to_string();
    let case = |text: &dyn Fn(usize) -> String| refusal(texts(text), Task::Auto);
    for (error, looks) in [
        (
            case(&|i| format!("{},5", i + 1000)),
            "numbers written in another form, such as \"1000,5\"",
        ),
        (case(&|i| format!("${i}.50")), "numbers written in another form"),
        (case(&|i| format!("{i} %")), "numbers written in another form"),
        (
            case(&|i| format!("2024-01-{:02} 10:{:02}", i / 60 + 1, i % 60)),
            "dates, such as \"2024-",
        ),
        (case(&|i| format!("user{i}x")), "an identifier, such as \"user0x\""),
        (case(&|i| format!("some words on {i} things")), "free text, such as"),
        (
            case(&|i| if i % 9 == 0 { "None".into() } else { i.to_string() }),
            "numbers, and texts such as \"None\" (12 rows)",
        ),
        (refusal(numbers(|i| i as f64), Task::Classification), "numbers or an identifier"),
    ] {
        assert!(error.contains(looks) && error.contains("column 1 (y)"), "{error}");
        assert!(error.contains("100 rows"), "{error}");
    }
}

#[test]
fn about_as_many_classes_as_rows_are_learnt_only_where_asked_for() {
    let pairs = || texts(|i| format!("n{}", if i < 40 { 0 } else { i }));
    let error = learnt(pairs(), Task::Auto).unwrap_err().to_string();
    assert!(error.contains("61 different texts in 100 rows"), "{error}");
    assert!(error.contains("--task classification"), "{error}");
    let learnt = learnt(pairs(), Task::Classification).unwrap();
    let warning = learnt.warning.unwrap();
    assert!(warning.contains("60 classes have a single row") && warning.contains("\"n40\""));
    assert_eq!(classes(texts(|i| format!("n{}", i / 2))).len(), 50, "two rows each are learned");
}
