//! Whole receipts: the project's vectors, every check made to fail alone, hostile input, mutations.

mod checks;
mod fixture;
mod hostile;
mod mutations;
mod python;
mod signer_state;
mod sigstore;
mod vectors;
mod witnesses;
