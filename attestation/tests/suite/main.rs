//! Whole receipts: the project's vectors, every check made to fail alone, hostile input, mutations. And messages, by their
//! vectors.

mod bundles;
mod checks;
mod evidence;
mod exports;
mod fixture;
mod hostile;
mod message_keys;
mod messages;
mod mutations;
mod python;
mod signer_state;
mod sigstore;
mod vectors;
mod witnesses;
