//! What a log is called and signs with.

use tlog::UnixTime;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{SignerKey, VerifierKey};
use tlog::note::Note;

use crate::sigstore_note::SigstoreName;

/// What a log is called and signs with.
pub struct LogKeys {
    /// The log's key (type 0x01), named like its origin.
    pub key: SignerKey,
    /// Its ML-DSA-44 key (type 0x06) of the same name, if it has one: it signs every checkpoint as well.
    pub ml_dsa: Option<SignerKey>,
    /// Its name for stock cosign.
    pub sigstore: SigstoreName,
}

impl LogKeys {
    /// The log's unique name.
    pub fn origin(&self) -> &str {
        self.key.verifier().name().as_str()
    }

    /// The keys whose lines on a checkpoint are the log's own.
    pub fn keys(&self) -> Vec<VerifierKey> {
        [Some(&self.key), self.ml_dsa.as_ref()]
            .into_iter()
            .flatten()
            .map(|key| key.verifier().clone())
            .collect()
    }

    /// Signs a checkpoint with every key. Only the line of the ML-DSA key carries the time.
    pub fn sign(&self, checkpoint: &Checkpoint, now: UnixTime) -> Note {
        let mut note = checkpoint.sign(&self.key);
        if let Some(key) = &self.ml_dsa {
            note.add(
                cosign(key, checkpoint, now)
                    .expect("an origin fits, there are no extensions, and it is later than 1970"),
            );
        }
        note
    }

    /// Whether the lines of a recorded note are the log's own and verify, so that the note can be shown as it is. A note
    /// from a time before the second key has the first key's line only.
    pub fn check_record(&self, note: &Note) -> Result<(), String> {
        let keys = self.keys();
        let verified = note.verify(&keys).map_err(|e| e.to_string())?.len();
        match verified < keys.len() && note.signatures().len() > verified {
            true => Err("one of its lines is by none of the log's keys".into()),
            false => Ok(()),
        }
    }

    /// The checkpoint in a note, if this log's Ed25519 key signed it.
    pub fn own_checkpoint(&self, note: &Note) -> Result<Checkpoint, String> {
        let keys = [self.key.verifier().clone()];
        if note.verify(&keys).map_err(|e| e.to_string())?.is_empty() {
            return Err("it is signed by another key".into());
        }
        let checkpoint = Checkpoint::parse(note.text()).map_err(|e| e.to_string())?;
        if checkpoint.origin != self.origin() {
            return Err(format!("it is of the log `{}`", checkpoint.origin));
        }
        Ok(checkpoint)
    }
}
