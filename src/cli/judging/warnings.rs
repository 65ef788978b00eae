//! Warnings about the metrics of a run.

use crate::base::words::{part, thousands, verb};
use crate::cli::setup::job::Job;
use crate::cli::setup::unseen::{HeldOutUnknown, unseen_classes};
use crate::data::{
    Data, Dataset, Features, Role, Table, TargetScaling, Targets, UnknownColumn, Values,
    is_exact_enough,
};
use crate::net::precision::Precision;
use crate::train::evaluation::leakage::{Column, majority, overlap, tells_class, tells_number};

/// The number of rows, evenly spaced, in which columns are examined; fewer for wide data, so that it takes
/// a fraction of a second.
const SAMPLE: usize = 5000;
/// The fewest rows that distinguish a rule from chance.
const FEWEST: usize = 200;
/// The most cells that are examined, unless there are fewer rows than the minimum.
const CELLS: usize = 2_000_000;
/// From this fraction of the majority class on, accuracy says little.
const UNBALANCED: f64 = 0.95;
/// From this fraction of held-out rows on, categories missing from the training rows are reported.
const UNKNOWN: f64 = 0.05;

/// One sentence for each reason to doubt.
pub(in crate::cli) fn warnings(job: &Job) -> Vec<String> {
    // The validation rows of a fold only choose the epoch: the fold is its test.
    let is_fold = job.config.run.fold.is_some() && job.test.is_some();
    let judged = job.validation.as_ref().filter(|_| !is_fold);
    let held_out = [("validation", judged), ("test", job.test.as_ref())];
    let twins = held_out.iter().filter_map(|(name, data)| twins(job, name, (*data)?));
    let columns = telling_columns(&job.data).into_iter().map(|column| {
        format!(
            "{column} alone determines the target nearly exactly: if it isn't known when you predict, \
             leave it out with --ignore"
        )
    });
    if let Some(alike) = images_alike(&job.training) {
        // Duplicates are expected among them.
        return std::iter::once(alike).chain(without_effect(job)).collect();
    }
    let read = job.data.table().map_or(&[][..], Table::warnings).iter().cloned();
    let unseen = held_out.iter().filter_map(|(name, data)| {
        // For a sample, the rows are counted where all of them are encoded.
        let data = data.filter(|_| job.streaming.is_none())?;
        unseen_classes(&class_rows(&job.training)?, &class_rows(data)?, job, name)
    });
    read.chain(twins)
        .chain(columns)
        .chain(unseen)
        .chain(rounded(job))
        .chain(balance(job))
        .chain(categories(job))
        .chain(without_effect(job))
        .collect()
}

/// Categories that are probably spellings of the same one, and those of held-out rows that training rows
/// don't have.
fn categories(job: &Job) -> Vec<String> {
    let Some(encoding) = &job.preprocessing.encoding else { return Vec::new() };
    let alike = job.data.table().map(|table| encoding.lookalikes(table.frame()));
    let mut all = alike.unwrap_or_default();
    for HeldOutUnknown { subset, is_file, unknown } in &job.unknown {
        // Rows drawn from the same table lack some of its rarest categories by chance.
        let is_said = |column: &&UnknownColumn| *is_file || column.share >= UNKNOWN;
        let columns = unknown.columns(encoding);
        let said = columns.iter().filter(is_said);
        all.extend(said.map(|column| format!("the {subset} data: {column}")));
        let filled = unknown.filled().filter(|_| *is_file);
        all.extend(filled.map(|column| format!("the {subset} data: {column}")));
    }
    all
}

/// The number of rows of each class, if the targets are classes.
fn class_rows(data: &Dataset) -> Option<Vec<usize>> {
    let Targets::Classes { labels, names } = data.targets() else { return None };
    let mut rows = vec![0; names.len()];
    labels.iter().for_each(|&label| rows[label as usize] += 1);
    Some(rows)
}

/// Targets that f32 represents badly: those that are predicted in f64, and those that aren't scaled before
/// they become f32.
fn rounded(job: &Job) -> Option<String> {
    let Targets::Numbers(m) = job.training.targets() else { return None };
    if let TargetScaling::Double(_) = job.preprocessing.targets {
        let names: Vec<String> = (0..m.cols()).map(|k| job.target_label(k)).collect();
        let (are, s) = if names.len() == 1 { ("is", "") } else { ("are", "s") };
        return Some(format!(
            "the target{s} {} {are} learned and predicted in f64, as f32 can't distinguish or represent \
             such numbers: read the predictions as f64 too",
            names.join(", ")
        ));
    }
    let is_unscaled = job.preprocessing.targets == TargetScaling::identity(m.cols());
    (is_unscaled && !is_exact_enough(m)).then(|| {
        "the targets aren't scaled and lose digits in f32: --scaling standard scales them, or give \
         them in another unit, or subtract a constant"
            .into()
    })
}

/// Images that are all the same: nothing can be learned from them.
pub(in crate::cli) fn images_alike(training: &Dataset) -> Option<String> {
    let first = training.is_image().then_some(training)?.features();
    let is_alike = training.rows() > 1
        && match first {
            Features::U8(m) => m.iter_rows().all(|row| row == m.row(0)),
            Features::F32(m) => m.iter_rows().all(|row| row == m.row(0)),
        };
    let value = first.value(0, 0);
    let is_flat = (0..first.cols()).all(|col| first.value(0, col) == value);
    let each = match (is_flat, value) {
        (true, 0.0) => "black, each of their values is 0".to_string(),
        (true, value) => format!("of one color, each of their values is {value}"),
        (false, _) => "the same image".to_string(),
    };
    is_alike.then(|| {
        format!(
            "all {} training images are the same, {each}: nothing can be learned from them; check the files, --image-size and --image-color",
            thousands(training.rows() as f64)
        )
    })
}

/// Options that change nothing, each with the reason.
fn without_effect(job: &Job) -> impl Iterator<Item = String> {
    let (config, spec, batch) = (&job.config, &job.spec, job.spec.batch_size);
    let no_images = "the data are not folders of images";
    let options = [
        config.step.micro_batch.filter(|rows| *rows > batch).map(|rows| {
            (format!("--micro-batch {rows}"), format!("a batch has {batch} rows, fewer than that"))
        }),
        config.data.embedding_dims.filter(|d| *d > 0 && spec.net.embeddings.is_empty()).map(|d| {
            (
                format!("--embedding-dims {d}"),
                "no column is embedded; name some with --embed".to_string(),
            )
        }),
        config
            .data
            .image_size
            .filter(|_| job.preprocessing.image.is_none())
            .map(|size| (format!("--image-size {size}"), no_images.to_string())),
        config
            .data
            .image_color
            .filter(|_| job.preprocessing.image.is_none())
            .map(|colour| (format!("--image-color {colour}"), no_images.to_string())),
        config.run.metric.as_ref().filter(|_| job.rows().1 == 0).map(|metric| {
            (format!("--metric {metric}"), "no rows are held out for validation".to_string())
        }),
        config.step.loss_scale.filter(|_| spec.precision != Precision::F16).map(|scale| {
            (format!("--loss-scale {scale}"), "it is for --precision f16".to_string())
        }),
        config.run.checkpoint_every.filter(|_| config.run.keep_checkpoints == Some(0)).map(
            |every| {
                let why = "--keep-checkpoints 0 keeps none".to_string();
                (format!("--checkpoint-every {every}"), why)
            },
        ),
    ];
    let text = |(option, why): (String, String)| format!("{option} has no effect: {why}");
    options.into_iter().flatten().map(text)
}

fn twins(job: &Job, name: &str, data: &Dataset) -> Option<String> {
    let found = overlap(&job.training, data)?;
    let (row, twin) = found.example;
    Some(format!(
        "{} {} also in the training data, such as row {} (training row {}): the metrics are better than they would be on new rows",
        part(found.rows, data.rows(), &format!("{name} row")),
        verb(found.rows, ["is", "are"]),
        row + 1,
        twin + 1
    ))
}

/// The columns that reveal the target.
fn telling_columns(data: &Data) -> Vec<String> {
    let cols = match data {
        Data::Ready(data) => data.features().cols(),
        Data::Table(table) => table.columns().len(),
    };
    let sample = (CELLS / cols.max(1)).clamp(FEWEST, SAMPLE);
    let rows: Vec<usize> = (0..data.rows()).step_by(data.rows().div_ceil(sample)).collect();
    let tells = |column: Column<'_>| match data.targets() {
        Targets::Classes { labels, .. } => {
            tells_class(column, &rows.iter().map(|&r| labels[r]).collect::<Vec<_>>())
        }
        Targets::Numbers(m) => (0..m.cols())
            .any(|c| tells_number(column, &rows.iter().map(|&r| m.row(r)[c]).collect::<Vec<_>>())),
        Targets::Labels { .. } => false,
    };
    match data {
        _ if data.is_image() => Vec::new(),
        Data::Ready(data) => (0..data.features().cols())
            .filter(|&c| {
                let value = |&r: &usize| f64::from(data.features().value(r, c));
                tells(Column::Numbers(&rows.iter().map(value).collect::<Vec<_>>()))
            })
            .map(|c| format!("column {}", c + 1))
            .collect(),
        Data::Table(table) => {
            let frame = table.frame();
            let is_telling = |(place, values): (usize, &Option<Values>)| {
                let is_feature = table.columns()[place].role == Role::Feature;
                match values.as_ref().filter(|_| is_feature)? {
                    Values::Texts(texts) => {
                        let codes: Vec<u32> = rows.iter().map(|&r| texts.codes[r]).collect();
                        tells(Column::Codes(&codes))
                    }
                    values => {
                        let numbers: Vec<f64> = rows.iter().map(|&r| values.number(r)).collect();
                        tells(Column::Numbers(&numbers))
                    }
                }
                .then(|| frame.header.describe(place))
            };
            frame.columns.iter().enumerate().filter_map(is_telling).collect()
        }
    }
}

/// A target of one class or one value, or nearly.
fn balance(job: &Job) -> Option<String> {
    match job.training.targets() {
        Targets::Classes { labels, names } => {
            let (class, share) = majority(labels)?;
            let name = names.get(class)?;
            if share == 1.0 {
                return Some(format!(
                    "all training rows are of class {name:?}: nothing can be learned; use another --split"
                ));
            }
            (share >= UNBALANCED).then(|| {
                format!(
                    "{:.1}% of the training rows are of class {name:?}: accuracy says little; look at balanced accuracy and F1{}",
                    share * 100.0,
                    match job.config.data.class_weight {
                        None => "; --class-weight balanced gives the other classes the same weight",
                        Some(_) => "",
                    }
                )
            })
        }
        Targets::Numbers(m) if m.rows() > 1 && m.iter_rows().all(|row| row == m.row(0)) => {
            Some("the target is the same in every training row: use another --split".into())
        }
        _ => None,
    }
}
