//! From raw columns to features, as ONNX operations.
//!
//! Numbers are f64 until they are features, as in this program's own preprocessing: f32 would lose digits that
//! quantiles and columns far from 0 need.

use super::graph::{Graph, Name};
use super::proto::{DOUBLE, FLOAT, INT64, STRING};
use crate::base::error::{Error, Result};
use crate::data::{Lookup, NumberEncoder, Scaler};
use crate::files::export::description::{Column, DAY, Description, Inputs, Moment, Step, YEAR};
use std::collections::BTreeMap;
use std::f64::consts::TAU;

/// The name of the only input if the data have no named columns.
pub const MATRIX: &str = "input";

/// The features: (N, n_0) in f32, of which the last are indices of categories if the net has
/// embeddings.
///
/// # Errors
/// For what ONNX cannot express, with the column.
pub fn features(graph: &mut Graph, description: &Description) -> Result<Name> {
    let mut features = match &description.inputs {
        Inputs::Matrix { width, .. } => graph.input(MATRIX, FLOAT, *width, "features, a row each"),
        Inputs::Columns(columns) => {
            let parts = columns.iter().map(|column| self::column(graph, column));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            graph.beside(&parts)
        }
    };
    if let Some(quantiles) = description.quantiles {
        let scaled = quantiles.iter().enumerate().map(|(c, scaler)| {
            let x = graph.columns(&features, c, c + 1);
            let x = graph.cast(&x, DOUBLE);
            let x = scale(graph, &x, scaler);
            graph.cast(&x, FLOAT)
        });
        let parts: Vec<Name> = scaled.collect();
        features = graph.beside(&parts);
    }
    if let Some(affine) = description.affine {
        let shift = graph.floats(&[1, affine.cols()], &affine.shift);
        let scale = graph.floats(&[1, affine.cols()], &affine.scale);
        let centered = graph.node("Sub", &[&features, &shift]);
        features = graph.node("Mul", &[&centered, &scale]);
    }
    Ok(features)
}

/// The features of a column: (N, width) in f32.
fn column(graph: &mut Graph, column: &Column) -> Result<Name> {
    let place = || format!("column {:?}", column.name);
    if column.name.is_empty() {
        return Err(Error::usage("ONNX has no input without a name").at(place()).help(
            "give the column a name in the header and train again, or leave it out with --ignore",
        ));
    }
    let doc = column.step.describe();
    let data_type = if column.step.takes_texts() { STRING } else { DOUBLE };
    let x = graph.input(column.name, data_type, 1, &doc);
    Ok(match &column.step {
        Step::Plain => graph.cast(&x, FLOAT),
        Step::Number(encoder) => number(graph, &x, encoder),
        Step::Sign => {
            let missing = graph.is_nan(&x);
            let [zero, one, two] = [0.0, 1.0, 2.0].map(|v| graph.double(v));
            let doubled = graph.node("Mul", &[&x, &two]);
            let sign = graph.node("Sub", &[&doubled, &one]);
            let sign = graph.node("Where", &[&missing, &zero, &sign]);
            graph.cast(&sign, FLOAT)
        }
        Step::Text(lookup) | Step::Index(lookup) => text(graph, &x, lookup),
        Step::Hash { .. } => {
            return Err(Error::usage("ONNX has no operator that hashes texts")
                .at(place())
                .help("train with --embed or --one-hot for this column instead of --hash, or export C or Rust"));
        }
        Step::Moment(moment) => self::moment(graph, &x, moment),
    })
}

/// Imputed, scaled, and with an indicator.
fn number(graph: &mut Graph, x: &Name, encoder: &NumberEncoder) -> Name {
    let NumberEncoder { fill, indicator, log, scaler } = encoder;
    let missing = graph.is_nan(x);
    let fill = graph.double(*fill);
    let mut value = graph.node("Where", &[&missing, &fill, x]);
    if *log {
        // sign(x) · ln(1 + |x|).
        let magnitude = graph.magnitude(&value);
        let [zero, one] = [0.0, 1.0].map(|v| graph.double(v));
        let above = graph.node("Add", &[&magnitude, &one]);
        let logarithm = graph.node("Log", &[&above]);
        let negative = graph.node("Less", &[&value, &zero]);
        let minus = graph.node("Sub", &[&zero, &logarithm]);
        value = graph.node("Where", &[&negative, &minus, &logarithm]);
    }
    let scaled = match scaler {
        Scaler::Quantile { values } if *log => {
            let rank = rank(graph, &value, values, LOG_ROUNDING);
            normal_quantile(graph, &rank)
        }
        _ => scale(graph, &value, scaler),
    };
    let mut parts = vec![graph.cast(&scaled, FLOAT)];
    if *indicator {
        parts.push(graph.cast(&missing, FLOAT));
    }
    graph.beside(&parts)
}

/// A number scaled, (N, 1) in f64.
fn scale(graph: &mut Graph, x: &Name, scaler: &Scaler) -> Name {
    match scaler {
        Scaler::Linear { shift, scale } => {
            let shift = graph.double(*shift);
            let scale = graph.double(*scale);
            let centered = graph.node("Sub", &[x, &shift]);
            graph.node("Mul", &[&centered, &scale])
        }
        Scaler::Quantile { values } => {
            let rank = rank(graph, x, values, 0.0);
            normal_quantile(graph, &rank)
        }
    }
}

/// The tolerance for logarithms of other programs, relative to 1 + the logarithm: a few roundings. A
/// value shared by many training rows is a quantile itself, and its rank is the middle of theirs; off by one
/// rounding, its rank would be that of the first or the last of them.
const LOG_ROUNDING: f64 = 4e-15;

/// The fraction of the training rows below x, from 0 to 1: between the first and the last of equal
/// quantiles in the middle, and linear between two. A quantile equals x where they differ by less than
/// `rounding` times 1 + |x|.
fn rank(graph: &mut Graph, x: &Name, values: &[f64], rounding: f64) -> Name {
    let last = values.len() as i64 - 1;
    let table = graph.doubles(&[1, values.len()], values);
    let list = graph.doubles(&[values.len()], values);
    let axis = graph.ints(&[1], &[1]);
    // The number of quantiles that are less, and of those that aren't more: (N, 1).
    let ends = match rounding {
        0.0 => [x.clone(), x.clone()],
        _ => {
            let magnitude = graph.magnitude(x);
            let [one, rounding] = [1.0, rounding].map(|v| graph.double(v));
            let about = graph.node("Add", &[&magnitude, &one]);
            let off = graph.node("Mul", &[&about, &rounding]);
            ["Sub", "Add"].map(|op| graph.node(op, &[x, &off]))
        }
    };
    let [less, more] = &ends;
    let counted = [("Less", less), ("LessOrEqual", more)].map(|(op, x)| {
        let is = graph.node(op, &[&table, x]);
        let is = graph.cast(&is, INT64);
        graph.node("ReduceSum", &[&is, &axis])
    });
    let [below, upto] = counted;
    let [zero, one, end] = [0, 1, last].map(|i| graph.ints(&[1, 1], &[i]));
    let before = graph.node("Sub", &[&below, &one]);
    let before = graph.clip(&before, &zero, &end);
    let behind = graph.clip(&below, &zero, &end);
    let [low, high] = [&before, &behind].map(|i| graph.node("Gather", &[&list, i]));
    let above = graph.node("Sub", &[x, &low]);
    let gap = graph.node("Sub", &[&high, &low]);
    // Where there is no gap, another branch is taken.
    let [none, whole, half, end_f] = [0.0, 1.0, 0.5, last as f64].map(|v| graph.double(v));
    let has_gap = graph.node("Greater", &[&gap, &none]);
    let gap = graph.node("Where", &[&has_gap, &gap, &whole]);
    let part = graph.node("Div", &[&above, &gap]);
    let [before, below_f, upto_f] = [&before, &below, &upto].map(|i| graph.cast(i, DOUBLE));
    let between = graph.node("Add", &[&before, &part]);
    let sum = graph.node("Add", &[&below_f, &upto_f]);
    let sum = graph.node("Sub", &[&sum, &whole]);
    let middle = graph.node("Mul", &[&sum, &half]);
    let is_equal = graph.node("Greater", &[&upto, &below]);
    let place = graph.node("Where", &[&is_equal, &middle, &between]);
    let is_beyond = graph.node("Greater", &[&below, &end]);
    let place = graph.node("Where", &[&is_beyond, &end_f, &place]);
    let is_first = graph.node("Less", &[&upto, &one]);
    let place = graph.node("Where", &[&is_first, &none, &place]);
    graph.node("Div", &[&place, &end_f])
}

/// The smallest fraction that becomes a normal deviate, as in this program's preprocessing.
const TAIL: f64 = 1e-7;

/// The polynomials of PPND7 (Wichura, algorithm AS 241, 1988) from the highest power on: for the middle,
/// numerator and denominator, and then for the tails down to e⁻²⁵, which is less than [`TAIL`].
const POLYNOMIALS: [&[f64]; 4] = [
    &[5.910_937_472e1, 1.592_911_320_2e2, 5.043_427_193_8e1, 3.387_132_717_9],
    &[6.718_756_360_0e1, 7.875_775_766_4e1, 1.789_516_946_9e1, 1.0],
    &[1.702_382_110_3e-1, 1.306_728_483_0, 2.756_815_390_0, 1.423_437_277_7],
    &[1.202_113_297_5e-1, 7.370_016_425_0e-1, 1.0],
];

/// The normal deviate whose distribution function is p.
fn normal_quantile(graph: &mut Graph, p: &Name) -> Name {
    let [least, most] = [TAIL, 1.0 - TAIL].map(|v| graph.double(v));
    let p = graph.clip(p, &least, &most);
    let [zero, half, one, middle, square, start] =
        [0.0, 0.5, 1.0, 0.425, 0.180625, 1.6].map(|v| graph.double(v));
    let q = graph.node("Sub", &[&p, &half]);
    let polynomial = |graph: &mut Graph, r: &Name, which: usize| {
        let mut terms = POLYNOMIALS[which].iter().copied();
        let first = terms.next().unwrap_or_default();
        let mut sum = graph.double(first);
        for c in terms {
            let product = graph.node("Mul", &[&sum, r]);
            let c = graph.double(c);
            sum = graph.node("Add", &[&product, &c]);
        }
        sum
    };
    let ratio = |graph: &mut Graph, r: &Name, first: usize| {
        let [above, below] = [first, first + 1].map(|which| polynomial(graph, r, which));
        graph.node("Div", &[&above, &below])
    };
    let squared = graph.node("Mul", &[&q, &q]);
    let r = graph.node("Sub", &[&square, &squared]);
    let inner = ratio(graph, &r, 0);
    let inner = graph.node("Mul", &[&inner, &q]);
    let other = graph.node("Sub", &[&one, &p]);
    let is_less = graph.node("Less", &[&p, &half]);
    let tail = graph.node("Where", &[&is_less, &p, &other]);
    let logarithm = graph.node("Log", &[&tail]);
    let minus = graph.node("Sub", &[&zero, &logarithm]);
    let root = graph.node("Sqrt", &[&minus]);
    let r = graph.node("Sub", &[&root, &start]);
    let outer = ratio(graph, &r, 2);
    let minus = graph.node("Sub", &[&zero, &outer]);
    let outer = graph.node("Where", &[&is_less, &minus, &outer]);
    let distance = graph.magnitude(&q);
    let is_inner = graph.node("LessOrEqual", &[&distance, &middle]);
    graph.node("Where", &[&is_inner, &inner, &outer])
}

/// The spellings of a table, and each with a space before it, after it and on both sides: no operator
/// trims texts.
fn padded(spellings: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let mut all = spellings.clone();
    for (text, &entry) in spellings.iter().filter(|(text, _)| !text.is_empty()) {
        for other in [format!(" {text}"), format!("{text} "), format!(" {text} ")] {
            all.entry(other).or_insert(entry);
        }
    }
    all
}

/// The features of a text, from its entry in the table: (N, width).
fn text(graph: &mut Graph, x: &Name, lookup: &Lookup) -> Name {
    let Lookup { spellings, entries, unknown, missing } = lookup;
    let spellings = padded(spellings);
    let (texts, numbers): (Vec<&str>, Vec<i64>) = spellings
        .iter()
        .filter(|(text, entry)| !text.is_empty() && *entry != unknown)
        .map(|(text, entry)| (text.as_str(), *entry as i64))
        .chain((missing != unknown).then_some(("", *missing as i64)))
        .unzip();
    let width = entries.first().map_or(0, Vec::len);
    let entry = match texts.is_empty() {
        // No text is known, but an operator needs at least one.
        true => graph.numbers_of_texts(x, &[""], &[*missing as i64], *unknown as i64),
        false => graph.numbers_of_texts(x, &texts, &numbers, *unknown as i64),
    };
    if let (Some(places), true) = (lookup.places(), width > 1) {
        // Compares the index with all indices, which needs no square table.
        let places: Vec<i64> = places.into_iter().map(|place| place as i64).collect();
        let list = graph.ints(&[places.len()], &places);
        let place = graph.node("Gather", &[&list, &entry]);
        let all: Vec<i64> = (0..width as i64).collect();
        let all = graph.ints(&[1, width], &all);
        let is_there = graph.node("Equal", &[&place, &all]);
        return graph.cast(&is_there, FLOAT);
    }
    let columns = (0..width).map(|c| {
        let values: Vec<f32> = entries.iter().map(|row| row[c]).collect();
        let list = graph.floats(&[values.len()], &values);
        graph.node("Gather", &[&list, &entry])
    });
    let columns: Vec<Name> = columns.collect();
    graph.beside(&columns)
}

/// The features of a moment in seconds: (N, width).
fn moment(graph: &mut Graph, x: &Name, moment: &Moment) -> Name {
    let missing = graph.is_nan(x);
    let mean = graph.double(moment.mean);
    let x = &graph.node("Where", &[&missing, &mean, x]);
    let deviation = graph.double(moment.deviation);
    let centered = graph.node("Sub", &[x, &mean]);
    let mut parts = vec![graph.node("Div", &[&centered, &deviation])];
    for (is_there, length) in [(moment.year, YEAR), (moment.day, DAY)] {
        if is_there {
            let length = graph.double(length);
            let turns = graph.node("Div", &[x, &length]);
            let whole = graph.node("Floor", &[&turns]);
            let part = graph.node("Sub", &[&turns, &whole]);
            let circle = graph.double(TAU);
            let angle = graph.node("Mul", &[&part, &circle]);
            parts.extend(["Sin", "Cos"].map(|op| graph.node(op, &[&angle])));
        }
    }
    if moment.week {
        let [day, monday, week] = [DAY, 3.0, 7.0].map(|v| graph.double(v));
        let days = graph.node("Div", &[x, &day]);
        let days = graph.node("Floor", &[&days]);
        // 1970-01-01 was a Thursday.
        let days = graph.node("Add", &[&days, &monday]);
        let weeks = graph.node("Div", &[&days, &week]);
        let weeks = graph.node("Floor", &[&weeks]);
        let whole = graph.node("Mul", &[&weeks, &week]);
        let weekday = graph.node("Sub", &[&days, &whole]);
        let weekday = graph.cast(&weekday, INT64);
        let all = graph.ints(&[1, 7], &[0, 1, 2, 3, 4, 5, 6]);
        let is_day = graph.node("Equal", &[&weekday, &all]);
        parts.push(graph.cast(&is_day, DOUBLE));
    }
    let present = graph.beside(&parts);
    let zero = graph.double(0.0);
    let features = graph.node("Where", &[&missing, &zero, &present]);
    let mut parts = vec![graph.cast(&features, FLOAT)];
    if moment.indicator {
        parts.push(graph.cast(&missing, FLOAT));
    }
    graph.beside(&parts)
}
