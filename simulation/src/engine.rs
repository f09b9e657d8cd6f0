//! Engines without a disk: [`Memory`], and [`Faulty`] around any engine.

pub mod faulty;
pub mod memory;

mod tables;

pub use faulty::{Fault, Faulty};
pub use memory::{Memory, Weakness};
