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
//! A [`Spec`] says what to train, [`plan`] turns it into a [`plan::program::Program`], a
//! [`backend::Backend`] runs that, a [`Trainer`] holds the loop, and an [`train::event::Observer`] sees
//! what happens. A program that has a `wgpu::Device` hands it in with
//! [`backend::gpu::Gpu::from_device`].
//!
//! The command line is the feature `cli`, which is on by default. A program that depends on the library
//! alone leaves it out, and with it the crates for arguments, bars and TOML, by
//! `default-features = false`.
//!
//! The notation is that of one batch-first convention: A_l = σ(A_{l−1} W_lᵀ ± b_l), δ_l = ∂E/∂Z_l.

pub mod backend;
pub mod base;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod data;
pub mod files;
#[cfg(feature = "cli")]
pub mod front;
pub mod kernels;
pub mod math;
pub mod net;
pub mod observe;
pub mod plan;
pub mod proof;
#[cfg(feature = "cli")]
pub mod report;
pub mod train;

pub use backend::device::Choice as Device;
pub use base::error::{Error, ErrorKind, Result};
#[cfg(feature = "cli")]
pub use front::{
    CancelToken, Classifier, ClassifierBuilder, EpochReport, FromLabel, Label, Labels, Regressor,
    RegressorBuilder, Rows,
};
pub use math::activation::Activation;
pub use math::loss::Loss;
pub use math::optim::Optimizer;
pub use net::spec::{Net, Spec};
pub use train::event::Flow;
pub use train::model::Model;
pub use train::trainer::Trainer;
