//! wgrad trains feed-forward neural nets with WGSL compute shaders on any Vulkan, Metal or DX12
//! adapter, and on the CPU, which is both the fallback and the numerical reference.
//!
//! ```
//! use wgrad::backend::device::{self, Choice};
//! use wgrad::data::{Preprocessing, Scaling, digits};
//! use wgrad::{Activation, Loss, Net, Spec, Trainer};
//!
//! let (training, validation) = digits().split(0.1, 0)?;
//! let net = Net::new(64).layer(32, Activation::Relu).layer(10, Activation::Identity);
//! let spec = Spec::new(net, Loss::CrossEntropy).epochs(5);
//! let scaling = Preprocessing::fit(&training, Scaling::Minmax);
//! let backend = device::open(&Choice::Cpu, None)?.backend;
//! let mut trainer = Trainer::new(&spec, &training, scaling, backend)?;
//! trainer.fit(Some(&validation), &mut ())?;
//! let model = trainer.model()?;
//! let backend = device::open(&Choice::Cpu, None)?.backend;
//! let predictions = model.predict(validation.features_shared(), backend)?;
//! println!("the first digit is a {}", model.class(predictions.as_f32()?.row(0)));
//! # Ok::<(), wgrad::Error>(())
//! ```
//!
//! A [`Spec`] says what to train, [`plan`] turns it into a [`program::Program`], a
//! [`backend::Backend`] runs that, a [`Trainer`] holds the loop, and an [`event::Observer`] sees
//! what happens. A program that has a `wgpu::Device` hands it in with
//! [`backend::gpu::Gpu::from_device`].
//!
//! The command line is the feature `cli`, which is on by default. A program that depends on the library
//! alone leaves it out, and with it the crates for arguments, bars and TOML, by
//! `default-features = false`.
//!
//! The notation is that of one batch-first convention: A_l = σ(A_{l−1} W_lᵀ ± b_l), δ_l = ∂E/∂Z_l.

pub mod activation;
pub mod augment;
pub mod backend;
pub mod bench;
pub mod calibration;
pub mod checkpoint;
pub mod choose;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod data;
pub mod embedding;
pub mod error;
pub mod evaluation;
pub mod event;
pub mod export;
pub mod files;
pub mod findings;
pub mod functions;
pub mod gemm;
pub mod gradcheck;
pub mod import;
pub mod init;
pub mod kernels;
pub mod linear;
pub mod loss;
pub mod matrix;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod observe;
pub mod optim;
mod pages;
pub mod parity;
pub mod plan;
pub mod precision;
pub mod predictions;
pub mod program;
pub mod random;
pub mod range_test;
pub mod real;
#[cfg(feature = "cli")]
pub mod report;
pub mod schedule;
pub mod session;
pub mod snapshot;
pub mod spec;
pub mod stopping;
pub mod system_memory;
pub mod tensor;
pub mod train;
pub mod vector;

pub use activation::Activation;
pub use error::{Error, Result};
pub use loss::Loss;
pub use model::Model;
pub use optim::Optimizer;
pub use spec::{Net, Spec};
pub use train::Trainer;
