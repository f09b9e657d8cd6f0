//! Transparency logs: the mathematics of RFC 6962 and the formats of C2SP, and nothing else.
//!
//! Pure: no clock, file, socket, environment or thread. Time and randomness are arguments, tiles
//! come through [`merkle::HashReader`]. What an entry says is not known here.
//!
//! | module | what | specification |
//! |---|---|---|
//! | [`merkle`] | leaf and node hashes, compact ranges, proofs | RFC 6962 §2.1, MTC draft §4 (subtrees) |
//! | [`tile`], [`bundle`] | what a log serves | c2sp.org/tlog-tiles |
//! | [`reader`] | how a log is read | c2sp.org/tlog-tiles |
//! | [`note`], [`key`] | signed text, vkey and skey | c2sp.org/signed-note |
//! | [`checkpoint`] | origin, size and root of a tree | c2sp.org/tlog-checkpoint |
//! | [`cosignature`] | what a witness signs | c2sp.org/tlog-cosignature |
//! | [`add_checkpoint`], [`sign_subtree`] | what a witness is asked | c2sp.org/tlog-witness |
//! | [`fork`] | two checkpoints that cannot both be true | |
//! | [`proof`] | an inclusion proof with its checkpoint | c2sp.org/tlog-proof |
//! | [`policy`] | which logs and witnesses to believe, and how many | c2sp.org/tlog-policy |

#![forbid(unsafe_code)]

pub mod add_checkpoint;
pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
pub mod encoding;
pub mod fork;
pub mod hash;
pub mod key;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod proof;
pub mod reader;
pub mod sign_subtree;
mod signature_line;
pub mod tile;
mod time;

pub use hash::Hash;
pub use merkle::{LeafIndex, TreeSize};
pub use time::UnixTime;
