//! wgrad trains feed-forward neural nets on any Vulkan, Metal or DX12 adapter, with WGSL compute shaders, and on the
//! CPU, which is both the fallback and the numerical reference.
//!
//! # Classification
//!
//! Rows are a flat slice with a number of columns, a slice of arrays or vectors, or anything else that converts to
//! [`Rows`]. Classes are integers, strings or booleans ([`Label`]).
//!
//! ```
//! # let x: Vec<f32> = (0..120).map(|i| ((i * 37) % 101) as f32 / 10.0).collect();
//! # let y: Vec<u32> = x.chunks(2).map(|row| u32::from(row[0] > row[1])).collect();
//! use wgrad::Classifier;
//!
//! // x: (60, 2) in row-major order; y: the class of each row.
//! let model = Classifier::fit((&x, 2), &y)?;
//! let classes: Vec<u32> = model.predict(&[[9.0, 1.0], [1.0, 9.0]])?;
//! let probabilities = model.predict_proba((&x, 2))?;
//! # assert_eq!((classes.len(), probabilities.rows(), probabilities.cols()), (2, 60, 2));
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! Settings that aren't given are chosen for the data, as `wgrad train table.csv` does: the same rows give the same
//! bits. By default, for up to 30,000 rows, three nets are trained, each with a different third held out; their
//! predictions are averaged and calibrated. [`ClassifierBuilder`] and [`RegressorBuilder`] list the defaults.
//!
//! # Regression, early stopping, files
//!
//! ```
//! # let x: Vec<[f32; 2]> = (0..100).map(|i| [i % 10, i / 10].map(|n| n as f32)).collect();
//! # let y: Vec<f32> = x.iter().map(|[a, b]| 2.0 * a - b).collect();
//! # let path = std::env::temp_dir().join(format!("wgrad-doc-{}", std::process::id()));
//! use wgrad::{Device, Regressor};
//!
//! let model = Regressor::builder()
//!     .hidden_layers([32, 32])
//!     .learning_rate(0.01)
//!     .epochs(100)
//!     .validation_fraction(0.2)
//!     .early_stopping(10) // the weights of the best epoch are kept
//!     .device(Device::Cpu)
//!     .fit(&x, &y)?;
//! model.save(&path)?;
//!
//! // Elsewhere; the model keeps its device open for further predictions.
//! let model = Regressor::load(&path)?;
//! let y: Vec<f32> = model.predict(&[[3.0, 4.0]])?;
//! # assert_eq!(y.len(), 1);
//! # std::fs::remove_file(&path).ok();
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! # A callback
//!
//! ```
//! # let x: Vec<f32> = (0..100).map(|i| i as f32 / 10.0).collect();
//! # let y: Vec<f32> = x.iter().map(|x| x * x).collect();
//! use wgrad::{Flow, Regressor};
//!
//! let model = Regressor::builder()
//!     .validation_fraction(0.1)
//!     .callback(|epoch| {
//!         println!("{}: {:?}", epoch.epoch, epoch.metric("rmse"));
//!         if epoch.epoch == 5 { Flow::Stop } else { Flow::Continue }
//!     })
//!     .fit(&x, &y)?;
//! # assert_eq!(model.history().len(), 5);
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! Training runs in the calling thread, or with `fit_async` in a separate one, whose result is awaited; a
//! [`CancelToken`] cancels it from another thread. `fit_table` trains on a table in a file, and `predict_table`
//! predicts its rows. To use a `wgpu::Device` that the program already has, see [`backend::gpu::Gpu::from_device`],
//! which doesn't change its error handlers.
//!
//! # The lower-level interface
//!
//! A [`Spec`] defines what to train, a [`Trainer`] runs the training loop, as a whole or [step by
//! step](Trainer::step_at), on a [`backend::Backend`], and returns a [`Model`]; a [`train::event::Observer`] receives
//! events.
//!
//! ```
//! use wgrad::backend::cpu::Cpu;
//! use wgrad::data::{Dataset, Features, Preprocessing, Scaling, Targets};
//! use wgrad::{Activation, Loss, Matrix, Net, Spec, Trainer};
//!
//! let x = Matrix::from_fn(64, 2, |row, col| ((row * 7 + col * 3) % 11) as f32);
//! let y = Matrix::from_fn(64, 1, |row, _| x.row(row)[0] - x.row(row)[1]);
//! let data = Dataset::new("differences", Features::F32(x), Targets::from(y))?;
//! let net = Net::new(2).layer(16, Activation::Relu).layer(1, Activation::Identity);
//! let spec = Spec::new(net, Loss::SquaredError).epochs(5);
//! let scaling = Preprocessing::fit(&data, Scaling::Standard);
//! let mut trainer = Trainer::new(&spec, &data, scaling, Box::new(Cpu::<f32>::new(None)?))?;
//! trainer.fit(None, &mut ())?;
//! let model = trainer.model()?;
//! let predictions = model.predict(data.features_shared(), trainer.into_backend())?;
//! # assert_eq!(predictions.rows(), 64);
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | none | nets, training and both backends on rows in memory; models in files |
//! | `data` | tables in CSV, JSON Lines, Parquet, Arrow, NPY and NPZ, known data sets, tables larger than memory, import and export of models |
//! | `images` | directories of images: PNG, JPEG, TIFF, WebP, GIF, BMP, TGA, QOI, PNM |
//! | `download` | downloads of known data sets |
//! | `ndarray` | rows from arrays of the crate `ndarray` |
//! | `arrow` | rows from record batches of the crate `arrow-array` |
//! | `tract` | runs each exported ONNX file in another runtime before it is kept |
//! | `mpi` | data-parallel training in several processes |
//! | `cli` | the program, and the observers and reports of its runs |
//!
//! `cli`, `tract`, `ndarray` and `arrow` are on by default. A program that depends on the library sets
//! `default-features = false` and enables the features that it needs.
//!
//! The notation is batch-first throughout: A_l = σ(A_{l−1} W_lᵀ ± b_l), δ_l = ∂E/∂Z_l.

#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        reason = "some methods of these types are only used by readers of files or the program"
    )
)]

pub mod backend;
#[doc(hidden)] // What users need is at the root; tests use the rest.
pub mod base;
#[cfg(feature = "cli")]
#[doc(hidden)] // Only for the program.
pub mod cli;
pub mod data;
pub mod files;
pub mod front;
#[doc(hidden)] // For custom backends, benches and tests: may change in any release.
pub mod kernels;
pub mod math;
pub mod net;
#[cfg(feature = "cli")]
pub mod observe;
#[doc(hidden)] // For custom backends, benches and tests: may change in any release.
pub mod plan;
#[doc(hidden)] // For `wgrad verify` and tests.
pub mod proof;
#[cfg(feature = "cli")]
#[doc(hidden)] // For the program, and the readers of its reports.
pub mod report;
pub mod train;

pub use backend::device::Device;
pub use base::error::{Error, ErrorKind, Result};
pub use data::split::Split;
pub use data::{ClassWeight, Scaling};
pub use files::checkpoint::{load_model, save_model};
pub use files::config::{Preset, TrainConfig};
#[cfg(not(target_arch = "wasm32"))]
pub use front::Fitting;
pub use front::{
    CancelToken, Classifier, ClassifierBuilder, EpochReport, FromLabel, Label, Labels, Regressor,
    RegressorBuilder, Rows,
};
pub use math::activation::Activation;
pub use math::loss::Loss;
pub use math::matrix::Matrix;
pub use math::optim::Optimizer;
pub use math::schedule::Schedule;
pub use net::spec::{Net, Spec};
pub use train::evaluation::{ClassReport, NumberReport};
pub use train::event::Flow;
pub use train::model::Model;
pub use train::trainer::Trainer;
