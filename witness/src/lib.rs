//! The witness's place in the house: cosigner, monitor and mirror of transparency logs.
//!
//! Nothing is here yet. What it will be made of is: `tlog::cosignature` signs and verifies cosignatures,
//! `tlog::merkle::consistency` and `tlog::merkle::subtree` check what a log asks it to sign, and
//! `tlog::policy` says how many witnesses a verifier wants.

#![forbid(unsafe_code)]
