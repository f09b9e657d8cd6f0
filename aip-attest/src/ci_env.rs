//! What the CI system around says of its run: the environment, handed to the pure mapping.

use attestation::provenance::Provenance;

/// The provenance of this run; of a local build outside of CI.
pub(crate) fn provenance() -> Provenance {
    Provenance::from_ci(&read).unwrap_or_else(Provenance::local)
}

/// One variable. An empty one says nothing, and one that is not UTF-8 cannot be quoted.
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
