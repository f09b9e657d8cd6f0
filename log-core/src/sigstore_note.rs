//! The second note over a published tree: for stock cosign, which believes a log of one key under the
//! name `<host> - <tree id>` (Rekor v1) and allows no further signature lines.
//!
//! ```text
//! <host> - <tree id>\n<size>\n<base64(root)>\n
//! \n
//! — <host> base64(SHA-256(SPKI DER)[..4] || Ed25519 signature)\n
//! ```

use attestation::sigstore;
use serde::{Deserialize, Serialize};
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyId, KeyName, PublicKey, SignerKey};
use tlog::note::Note;
use tlog::{Hash, TreeSize};

/// The log's name for Sigstore, fixed by `init`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SigstoreName {
    /// The host of the log's URL: cosign compares it.
    pub host: String,
    /// A number that is the log's alone.
    pub tree_id: u64,
}

impl SigstoreName {
    /// The name of the log `origin` with this key: its host, and 63 bits of the key's hash.
    pub fn of(origin: &str, key: &PublicKey) -> Self {
        let host = sigstore::host_of(origin).to_owned();
        let id = Hash::of_parts(&[origin.as_bytes(), key.raw()]);
        let id = id.as_bytes().first_chunk::<8>().expect("8 of 32 bytes");
        Self { host, tree_id: u64::from_be_bytes(*id) >> 1 }
    }

    /// Signs the note of a tree.
    pub fn sign(&self, size: TreeSize, root: Hash, key: &SignerKey) -> Note {
        let name = KeyName::new(&self.host).expect("a host is part of an origin, which is a key name");
        let PublicKey::Ed25519(public) = key.verifier().key() else {
            panic!("a log signs its checkpoints with Ed25519")
        };
        let id = Hash::of(&sigstore::spki_of(public));
        let id = KeyId::new(*id.as_bytes().first_chunk().expect("4 of 32 bytes"));
        let checkpoint = Checkpoint::new(&format!("{} - {}", self.host, self.tree_id), size, root);
        let mut note = Note::unsigned(checkpoint.to_string());
        note.sign_as(key, name, id);
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::key::KeyType;

    /// `specs/vectors/entry.json`: log, tree and sigstoreNote.
    #[test]
    fn the_note_is_that_of_the_vector() {
        let vector: serde_json::Value =
            serde_json::from_str(include_str!("../../specs/vectors/entry.json")).expect("JSON");
        let name = KeyName::new("log.example.com/pipelines").expect("a name");
        let key = SignerKey::from_seed(name, KeyType::Ed25519, &[0x11; 32]);
        let root = vector["tree"]["root"].as_str().and_then(Hash::from_base64).expect("a root");
        let sigstore = SigstoreName { host: "log.example.com".into(), tree_id: 4_242_424_242 };
        let note = sigstore.sign(TreeSize::new(4), root, &key).to_string();
        assert_eq!(note, vector["cases"][0]["receipt"]["sigstoreNote"].as_str().expect("a note"));
        assert_eq!(SigstoreName::of("log.example.com:8080/x", key.verifier().key()).host, "log.example.com");
    }
}
