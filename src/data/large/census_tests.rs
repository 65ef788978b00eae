use super::*;
use crate::data::{ColumnOptions, DataOptions, Encoder, Fitting, Scaling};
use std::collections::BTreeSet;

const ROWS: usize = 30_000;

/// The values of a row: its shop, its day, its subset, its town, which is one of many, and a number.
fn row(i: usize) -> (String, usize, &'static str, String, usize) {
    let town = if i.is_multiple_of(5) { format!("t{}", i / 5 % 400) } else { "t0".into() };
    (
        format!("s{}", i * 31 % 83),
        i * 7919 % 900,
        ["train", "test", "train", "val"][i % 4],
        town,
        i % 97,
    )
}

fn table(file: &tempfile::NamedTempFile, key: &str) -> StreamedTable {
    let mut text = "shop,day,part,town,n,y\n".to_string();
    for i in 0..ROWS {
        let (shop, day, subset, town, n) = row(i);
        let day = format!("20{:02}-{:02}-{:02}", 10 + day / 300, 1 + day / 25 % 12, 1 + day % 25);
        text += &format!("{shop},{day},{subset},{town},{n},{}\n", n * 2);
    }
    std::fs::write(file.path(), text).unwrap();
    let keys = ["shop", "day", "part"].map(str::to_string);
    let columns = ColumnOptions {
        reserved: vec![key.to_string()],
        ignore: keys.into_iter().filter(|name| name != key).collect(),
        categorical: vec!["town".into()],
        ..ColumnOptions::default()
    };
    let options = DataOptions { columns, ..DataOptions::default() };
    StreamedTable::open(file.path().to_str().unwrap(), &options, 1 << 17).unwrap()
}

fn census(key: &str, split: &str, fraction: f64) -> (StreamedTable, Census) {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let table = table(&file, key);
    assert!(table.sample().rows() < ROWS / 5, "{}", table.sample().rows());
    let census = table.census(&split.parse().unwrap(), fraction, 3).unwrap();
    (table, census)
}

#[test]
fn groups_stay_together_and_the_latest_rows_are_held_out() {
    let (_, found) = census("shop", "group:shop", 0.2);
    let shops = |subset| found.subsets.rows(subset).map(|i| row(i).0).collect::<BTreeSet<_>>();
    let (training, held_out) = (shops(Subset::Training), shops(Subset::Validation));
    assert!(training.is_disjoint(&held_out) && training.len() + held_out.len() == 83);
    assert!((5..30).contains(&held_out.len()), "{}", held_out.len());
    let (_, found) = census("day", "time:day", 0.2);
    let days = |subset| found.subsets.rows(subset).map(|i| row(i).1);
    assert!(days(Subset::Training).max() < days(Subset::Validation).min());
    let share = days(Subset::Validation).count() as f64 / ROWS as f64;
    assert!((share - 0.2).abs() < 0.03, "{share}");
    let (_, found) = census("part", "column:part", 0.2);
    for (i, subset) in
        [Subset::Training, Subset::Test, Subset::Training, Subset::Validation].iter().enumerate()
    {
        assert_eq!(found.subsets.of(4 * 77 + i), *subset);
    }
    assert_eq!(found.subsets.rows(Subset::Test).count(), ROWS / 4);
}

#[test]
fn of_each_class_its_share_is_held_out_from_everywhere() {
    // One row in 97 is of a rare class, and one of a class of its own.
    let class = |i: usize| match i {
        20_000 => "single",
        i if i.is_multiple_of(97) => "rare",
        i => ["a", "b", "b"][i % 3],
    };
    let rows = (0..ROWS).map(|i| format!("{},{},{}\n", i * 7919 % 991, i % 13, class(i)));
    let text: String = std::iter::once("x,z,y\n".to_string()).chain(rows).collect();
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let options = DataOptions::default();
    let table = StreamedTable::open(file.path().to_str().unwrap(), &options, 1 << 17).unwrap();
    assert!(table.sample().rows() < ROWS / 5, "{}", table.sample().rows());
    let census = |seed| table.census(&Split::Stratified, 0.2, seed).unwrap();
    let found = census(3);
    let held_out: Vec<usize> = found.subsets.rows(Subset::Validation).collect();
    assert_eq!(held_out.len(), ROWS / 5);
    for name in ["a", "b", "rare"] {
        let rows = (0..ROWS).filter(|&i| class(i) == name).count() as f64 * 0.2;
        let found = held_out.iter().filter(|&&i| class(i) == name).count() as f64;
        assert!((found - rows).abs() <= 1.0, "{name}: {found} of {rows}");
    }
    assert!(!held_out.contains(&20_000), "the only row of its class is trained on");
    let mean = held_out.iter().sum::<usize>() as f64 / held_out.len() as f64;
    assert!((mean / ROWS as f64 - 0.5).abs() < 0.02, "{mean}");
    assert_eq!(census(3), found);
    assert_ne!(census(4).subsets, found.subsets);
}

#[test]
fn every_category_of_the_training_rows_is_known_though_the_sample_has_few() {
    for (key, split) in [("shop", "random"), ("shop", "group:shop")] {
        let (table, found) = census(key, split, 0.2);
        let training: Vec<usize> = found.subsets.rows(Subset::Training).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        training.iter().for_each(|&i| *counts.entry(row(i).3).or_default() += 1);
        let places = table.places();
        let sample: BTreeSet<String> = places.iter().map(|&i| row(i).3).collect();
        assert!(sample.len() < counts.len(), "the sample misses some");
        let fitting =
            Fitting { counted: found.categories.clone(), ..Fitting::new(Scaling::Standard) };
        let fitted = table.fit(&fitting, |row| found.subsets.of(row) == Subset::Training).unwrap();
        let encoding = fitted.encoding.unwrap();
        let town = encoding.features.iter().find(|f| f.column == "town").unwrap();
        let Encoder::Embedding(town) = &town.encoder else { panic!("{town:?}") };
        assert_eq!(town.names, counts.into_keys().collect::<Vec<_>>(), "{split}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_row() {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let refused = |key: &str, split: &str| {
        table(&file, key).census(&split.parse().unwrap(), 0.2, 0).unwrap_err().to_string()
    };
    assert!(refused("shop", "stratified").contains("a stratified split needs classes"));
    assert!(refused("shop", "time:shop").contains("is not a time"));
    let named = refused("shop", "column:shop");
    assert!(named.contains("line 2, column 1 (shop)"), "{named}");
    assert!(refused("shop", "group:shopp").contains("did you mean shop?"));
}
