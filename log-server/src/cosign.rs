//! How witnesses are asked. What counts of their answers is `log_core::cosign`'s.

pub mod witnesses;

pub use log_core::cosign::*;
