//! What a layer computes besides its product: activation, normalization, dropout, residual sums.

pub mod activation;
pub mod add;
pub mod dropout;
pub mod nonfinite;
pub mod norm;
pub mod softmax;
