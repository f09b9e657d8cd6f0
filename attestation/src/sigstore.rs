//! Sigstore's bundles: receipts as stock cosign reads them, and what others signed with a key (`specs/sigstore.md`).
//!
//! | module | what | source |
//! |---|---|---|
//! | `bundle` | bundle v0.3 of a key | sigstore/protobuf-specs `sigstore_bundle.proto` |
//! | `leaf` | what was logged: `dsse` 0.0.1, `hashedrekord` 0.0.2 | sigstore/rekor, sigstore/rekor-tiles |
//! | `note` | checkpoints by their origin: a host, or Rekor v1's `host - N` | c2sp.org/tlog-checkpoint, sigstore/rekor |
//! | `trusted_root` | the keys of logs, and from when until when they count | `sigstore_trustroot.proto` |
//! | `key` | Ed25519 and P-256 keys as SubjectPublicKeyInfo | RFC 8410, RFC 5480 |
//! | `refusal` | why a bundle does not pass a check | |
//!
//! [`bundle`](crate::bundle) checks one, and makes one of a receipt.
//!
//! Out of scope: certificates (keyless signing), timestamp authorities, inclusion promises, RSA and larger curves. A
//! bundle that needs one of them is refused by its name.

pub(crate) mod bundle;
mod key;
pub(crate) mod leaf;
pub(crate) mod note;
mod refusal;
mod time;
pub(crate) mod trusted_root;

pub use bundle::{Bundle, BundleError, Content};
pub use key::{KeyError, SpkiKey, spki_of};
pub use leaf::LeafError;
pub use note::{LogNoteError, host_of};
pub use refusal::BundleRefusal;
pub use trusted_root::{TrustedRoot, TrustedRootError};

/// The media type of a bundle.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The longest bundle that is read: an envelope with a predicate, and a proof; as a receipt.
pub const MAX_BUNDLE_BYTES: u64 = 64 << 20;

/// The longest trusted root that is read. Sigstore's own, with its certificates, has 7 kB.
pub const MAX_TRUSTED_ROOT_BYTES: u64 = 1 << 20;
