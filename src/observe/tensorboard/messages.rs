//! The protocol buffers of event files that are written and read here: field numbers and types are
//! those of TensorBoard's `event.proto`, `summary.proto`, `histogram.proto`, `tensor.proto` and
//! `tensor_shape.proto` in `tensorboard/compat/proto`.

use prost::{Message, Oneof};

/// One record of an event file.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// Steps done since the run began.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// Its content.
    #[prost(oneof = "What", tags = "3, 5")]
    pub what: Option<What>,
}

/// The content of an event.
#[derive(Clone, PartialEq, Oneof)]
pub enum What {
    /// The first event of a file: the version of its format.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values.
    #[prost(message, tag = "5")]
    Summary(Summary),
}

/// Values of one step.
#[derive(Clone, PartialEq, Message)]
pub struct Summary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// A value under its tag.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// The tag, whose part before a slash groups it with others.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// For texts, the plugin that shows them.
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
    /// The value.
    #[prost(oneof = "Kind", tags = "2, 4, 5, 8")]
    pub kind: Option<Kind>,
}

/// The kinds of values.
#[derive(Clone, PartialEq, Oneof)]
pub enum Kind {
    /// A number.
    #[prost(float, tag = "2")]
    Scalar(f32),
    /// An image.
    #[prost(message, tag = "4")]
    Image(Image),
    /// A histogram.
    #[prost(message, tag = "5")]
    Histogram(Histogram),
    /// A tensor; of strings, for texts.
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

/// An image.
#[derive(Clone, PartialEq, Message)]
pub struct Image {
    /// In pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// In pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 1 for gray, 3 for RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

/// A histogram: `bucket[i]` values lie above `bucket_limit[i − 1]` and up to `bucket_limit[i]`.
#[derive(Clone, PartialEq, Message)]
pub struct Histogram {
    /// The smallest value.
    #[prost(double, tag = "1")]
    pub min: f64,
    /// The largest value.
    #[prost(double, tag = "2")]
    pub max: f64,
    /// The number of values.
    #[prost(double, tag = "3")]
    pub num: f64,
    /// Σ x.
    #[prost(double, tag = "4")]
    pub sum: f64,
    /// Σ x².
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// The upper ends of the buckets, ascending.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// The counts.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}

/// A tensor of strings.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// 7: strings.
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    /// Its shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    /// Its values.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub strings: Vec<Vec<u8>>,
}

/// A tensor's shape.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Its dimensions.
    #[prost(message, repeated, tag = "2")]
    pub dims: Vec<Dim>,
}

/// A dimension.
#[derive(Clone, PartialEq, Message)]
pub struct Dim {
    /// Its size.
    #[prost(int64, tag = "1")]
    pub size: i64,
}

/// How a value is shown.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// The plugin that shows it.
    #[prost(message, optional, tag = "1")]
    pub plugin: Option<Plugin>,
}

/// A plugin of TensorBoard.
#[derive(Clone, PartialEq, Message)]
pub struct Plugin {
    /// Its name: `text`.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A value under its tag, for [`Summary::values`].
pub fn value(tag: impl Into<String>, kind: Kind) -> Value {
    Value { tag: tag.into(), metadata: None, kind: Some(kind) }
}

/// A text in Markdown.
pub fn text(tag: impl Into<String>, markdown: String) -> Value {
    let shape = Some(Shape { dims: vec![Dim { size: 1 }] });
    let tensor = Tensor { dtype: 7, shape, strings: vec![markdown.into_bytes()] };
    let plugin = Some(Plugin { name: "text".into() });
    let metadata = Some(Metadata { plugin });
    Value { tag: tag.into(), metadata, kind: Some(Kind::Tensor(tensor)) }
}

/// Buckets of a histogram.
const BUCKETS: usize = 64;

impl Histogram {
    /// The histogram of the finite values, in buckets of equal width; none if there are none.
    pub fn of(values: &[f32]) -> Option<Self> {
        let finite = || values.iter().copied().filter(|x| x.is_finite()).map(f64::from);
        let (min, max) = finite()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        if min > max {
            return None;
        }
        let mut histogram = Histogram { min, max, ..Histogram::default() };
        if min == max {
            // Readers don't show a bucket without width.
            let half = min.abs().max(1.0) * 1e-3;
            histogram.bucket_limit = vec![min - half, min + half];
            histogram.bucket = vec![0.0, finite().count() as f64];
        } else {
            let width = (max - min) / BUCKETS as f64;
            let limits = (1..BUCKETS).map(|i| min + width * i as f64);
            // The first is empty: its limit is the start of the second.
            histogram.bucket_limit = std::iter::once(min).chain(limits).chain([max]).collect();
            histogram.bucket = vec![0.0; BUCKETS + 1];
            for x in finite() {
                let i = ((x - min) / width) as usize;
                histogram.bucket[1 + i.min(BUCKETS - 1)] += 1.0;
            }
        }
        for x in finite() {
            histogram.num += 1.0;
            histogram.sum += x;
            histogram.sum_squares += x * x;
        }
        Some(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_finite_value_once() {
        let values = [-1.0, 0.0, 0.25, 1.0, f32::NAN, f32::INFINITY];
        let h = Histogram::of(&values).unwrap();
        assert_eq!((h.min, h.max, h.num, h.sum, h.sum_squares), (-1.0, 1.0, 4.0, 0.25, 2.0625));
        assert_eq!(h.bucket.iter().sum::<f64>(), 4.0);
        assert_eq!(h.bucket.len(), h.bucket_limit.len());
        assert!(h.bucket_limit.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((h.bucket[0], h.bucket[1], h.bucket[BUCKETS]), (0.0, 1.0, 1.0));
        let same = Histogram::of(&[3.0; 7]).unwrap();
        assert_eq!(same.bucket, [0.0, 7.0]);
        assert!(same.bucket_limit[0] < 3.0 && 3.0 < same.bucket_limit[1]);
        assert_eq!(Histogram::of(&[f32::NAN]), None);
    }
}
