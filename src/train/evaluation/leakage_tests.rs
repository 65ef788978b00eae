use super::*;
use crate::data::{digits, moons, spiral, xor};
use crate::math::matrix::Matrix;
use crate::math::random::{Random, Stream};

fn noise(rows: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed, Stream::Check, 7);
    (0..rows).map(|_| random.normal()).collect()
}

fn dataset(rows: &[[f32; 2]], labels: &[u32]) -> Dataset {
    let features = Features::F32(Matrix::new(rows.len(), 2, rows.concat()).unwrap());
    let names = ["a", "b"].map(String::from).to_vec();
    Dataset::new("set", features, Targets::Classes { labels: labels.to_vec(), names }).unwrap()
}

#[test]
fn rows_in_both_parts_are_counted_and_one_is_named() {
    let rows: Vec<[f32; 2]> = (0..50).map(|i| [i as f32, 0.5 * i as f32]).collect();
    let labels: Vec<u32> = (0..50).map(|i| i % 2).collect();
    let training = dataset(&rows, &labels);
    let held_out = dataset(&[[99.0, 0.0], [7.0, 3.5], [-0.0, 0.0]], &[0, 1, 0]);
    assert_eq!(overlap(&training, &held_out), Some(Overlap { rows: 2, example: (1, 7) }));
    let other_class = dataset(&[[7.0, 3.5]], &[0]);
    assert_eq!(overlap(&training, &other_class), None, "another target is not a twin");
    let nearly = dataset(&[[7.0, 3.500_000_2]], &[1]);
    assert_eq!(overlap(&training, &nearly), None);
}

#[test]
fn rows_that_repeat_by_nature_are_no_overlap() {
    let rows: Vec<[f32; 2]> = (0..100).map(|i| [(i % 3) as f32, (i % 2) as f32]).collect();
    let labels: Vec<u32> = (0..100).map(|i| i % 2).collect();
    let data = dataset(&rows, &labels);
    assert_eq!(overlap(&data, &data), None);
}

#[test]
fn bytes_and_numbers_are_compared_by_value() {
    let labels = || Targets::Classes { labels: vec![0], names: vec!["a".into()] };
    let bytes = Features::U8(Matrix::new(1, 2, vec![3, 4]).unwrap());
    let numbers = Features::F32(Matrix::new(1, 2, vec![3.0, 4.0]).unwrap());
    let (a, b) = (Dataset::new("a", bytes, labels()), Dataset::new("b", numbers, labels()));
    assert_eq!(overlap(&a.unwrap(), &b.unwrap()).unwrap().rows, 1);
}

/// None of the columns of data that people know gives the target away.
#[test]
fn honest_columns_are_left_in_peace() {
    for data in [digits(), moons(1000, 0), spiral(1000, 0), xor(400, 0)] {
        let Targets::Classes { labels, .. } = data.targets() else { panic!() };
        let (training, held_out) = data.split(0.1, 0).unwrap();
        assert_eq!(overlap(&training, &held_out), None, "{}", data.name());
        for c in 0..data.features().cols() {
            let column: Vec<f64> =
                (0..data.rows()).map(|r| data.features().value(r, c).into()).collect();
            assert!(!tells_class(Column::Numbers(&column), labels), "{} {c}", data.name());
        }
    }
    let (x, e) = (noise(500, 1), noise(500, 2));
    // r² = 0.99: a strong honest column.
    let y: Vec<f64> = x.iter().zip(&e).map(|(x, e)| x + 0.1 * e).collect();
    assert!(!tells_number(Column::Numbers(&x), &y));
}

#[test]
fn a_copy_of_the_class_is_found_however_it_is_written() {
    let labels: Vec<u32> = (0..300).map(|i| (i * 7 % 5) as u32).collect();
    let shuffled = |l: u32| [30.0, 10.0, 50.0, 20.0, 40.0][l as usize];
    let copy: Vec<f64> = labels.iter().map(|&l| shuffled(l)).collect();
    assert!(tells_class(Column::Numbers(&copy), &labels));
    let jittered: Vec<f64> = copy.iter().zip(noise(300, 3)).map(|(x, e)| x + e.tanh()).collect();
    assert!(tells_class(Column::Numbers(&jittered), &labels));
    // Each class written in two ways.
    let codes: Vec<u32> = labels.iter().enumerate().map(|(i, &l)| 2 * l + i as u32 % 2).collect();
    assert!(tells_class(Column::Codes(&codes), &labels));
    let mut wrong = copy.clone();
    wrong.iter_mut().take(30).for_each(|x| *x = 30.0);
    assert!(!tells_class(Column::Numbers(&wrong), &labels), "one row in ten is wrong");
}

#[test]
fn an_identifier_and_a_rare_class_give_nothing_away() {
    let labels: Vec<u32> = (0..300).map(|i| u32::from(i % 2 == 0)).collect();
    let id: Vec<u32> = (0..300).collect();
    assert!(!tells_class(Column::Codes(&id), &labels));
    let ascending: Vec<f64> = (0..300).map(f64::from).collect();
    assert!(!tells_class(Column::Numbers(&ascending), &labels));
    let rare: Vec<u32> = (0..300).map(|i| u32::from(i >= 290)).collect();
    assert!(!tells_class(Column::Numbers(&ascending), &rare), "10 rows may lie so by chance");
}

#[test]
fn a_number_is_given_away_by_a_line_an_order_or_a_category() {
    let x = noise(400, 4);
    let in_other_units: Vec<f64> = x.iter().map(|x| 1.19 * x - 3.0).collect();
    assert!(tells_number(Column::Numbers(&in_other_units), &x));
    let logarithm: Vec<f64> = x.iter().map(|x| x.exp()).collect();
    assert!(tells_number(Column::Numbers(&logarithm), &x));
    let price: Vec<f64> = (0..400).map(|i| f64::from(i % 40).powi(2)).collect();
    let product: Vec<u32> = (0..400).map(|i| (i % 40) as u32).collect();
    assert!(tells_number(Column::Codes(&product), &price));
    let id: Vec<u32> = (0..400).collect();
    assert!(!tells_number(Column::Codes(&id), &price));
    assert!(!tells_number(Column::Numbers(&noise(400, 5)), &x));
}

#[test]
fn the_majority_is_the_class_of_most_rows() {
    assert_eq!(majority(&[2, 0, 2, 2]), Some((2, 0.75)));
    assert_eq!(majority(&[]), None);
}
