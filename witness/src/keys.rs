//! The witness's keys: one name, a key of each type, more while one follows another (WIT-16).

use std::fmt::Write as _;

use tlog::checkpoint::Checkpoint;
use tlog::cosignature::{self, CosignatureError, MAX_NAME_BYTES, Subtree};
use tlog::encoding::base64;
use tlog::key::{KeyName, KeyType, PublicKey, SignerKey, VerifierKey};
use tlog::note::NoteSignature;
use tlog::{Hash, UnixTime};

/// The keys that sign, all of them active.
#[derive(Debug)]
pub struct Keys {
    signers: Vec<SignerKey>,
    verifiers: Vec<VerifierKey>,
}

impl Keys {
    /// Takes the keys of the witness `name`.
    pub fn new(name: &KeyName, signers: Vec<SignerKey>) -> Result<Self, KeysError> {
        if signers.is_empty() {
            return Err(KeysError::None);
        }
        let verifiers: Vec<VerifierKey> = signers.iter().map(|key| key.verifier().clone()).collect();
        for (at, key) in verifiers.iter().enumerate() {
            if key.name() != name {
                return Err(KeysError::OtherName(key.name().clone()));
            }
            if matches!(key.key(), PublicKey::Ed25519(_)) {
                return Err(KeysError::LogKey(key.name().clone()));
            }
            // COS-7: a key counts once, whatever it is called.
            if verifiers[..at].iter().any(|other| other.key().raw() == key.key().raw()) {
                return Err(KeysError::Twice(key.name().clone()));
            }
        }
        if name.as_str().len() > MAX_NAME_BYTES {
            return Err(KeysError::LongName(name.as_str().len()));
        }
        Ok(Self { signers, verifiers })
    }

    /// The public halves, in the order of the keys.
    pub fn verifiers(&self) -> &[VerifierKey] {
        &self.verifiers
    }

    /// The witness's name.
    pub fn name(&self) -> &KeyName {
        self.verifiers[0].name()
    }

    /// Cosigns with every key, in their order.
    pub fn cosign(
        &self,
        checkpoint: &Checkpoint,
        time: UnixTime,
    ) -> Result<Vec<NoteSignature>, CosignatureError> {
        self.signers.iter().map(|key| cosignature::cosign(key, checkpoint, time)).collect()
    }

    /// Signs a subtree with every key that can.
    pub fn cosign_subtree(&self, of: &Subtree<'_>) -> Result<Vec<NoteSignature>, CosignatureError> {
        let able = self.signers.iter().filter(|key| signs_subtrees(key.verifier()));
        able.map(|key| cosignature::cosign_subtree(key, of)).collect()
    }

    /// Whether any key can sign subtrees.
    pub fn sign_subtrees(&self) -> bool {
        self.verifiers.iter().any(signs_subtrees)
    }

    /// What others put into their policy: a witness that signs with several keys is one vote.
    pub fn policy(&self, url: Option<&str>) -> String {
        let mut policy = String::new();
        let url = url.map_or(String::new(), |url| format!(" {url}"));
        let name = self.name();
        let names = self.policy_names();
        for (name, key) in names.iter().zip(&self.verifiers) {
            let _ = writeln!(policy, "witness {name} {key}{url}");
        }
        if names.len() > 1 {
            let _ = writeln!(policy, "group {name} any {}", names.join(" "));
        }
        policy
    }

    /// The names of the keys in a policy: the witness's for a single key, else with the type, and a number from the second of
    /// a type on.
    fn policy_names(&self) -> Vec<String> {
        let name = self.name();
        if self.verifiers.len() == 1 {
            return vec![name.to_string()];
        }
        let mut names: Vec<String> = Vec::new();
        for key in &self.verifiers {
            let short = format!("{name}-{}", if signs_subtrees(key) { "mldsa" } else { "ed" });
            let earlier = names.iter().filter(|other| other.starts_with(&short)).count();
            names.push(if earlier == 0 { short } else { format!("{short}-{}", earlier + 1) });
        }
        names
    }

    /// The folder under which monitors read the checkpoint of an origin: its SHA-256, hex.
    pub fn origin_hash(origin: &str) -> String {
        Hash::of(origin.as_bytes()).to_string()
    }
}

/// The SubjectPublicKeyInfo of a key (RFC 8410, RFC 9881), base64 of its DER.
pub fn spki(key: &PublicKey) -> String {
    let head = match key.key_type() {
        KeyType::Ed25519 | KeyType::Ed25519Cosignature => ED25519_SPKI,
        KeyType::MlDsa44Cosignature => ML_DSA_44_SPKI,
    };
    base64(&[head, key.raw()].concat())
}

/// Why keys are refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeysError {
    /// A key of type 0x01.
    #[error("the key `{0}` signs notes (type 0x01) and makes no cosignatures")]
    LogKey(KeyName),
    /// A name that has no room in a signature.
    #[error("a witness's name has at most {MAX_NAME_BYTES} bytes, not {0}")]
    LongName(usize),
    /// No key.
    #[error("a witness needs a key")]
    None,
    /// A key with another name.
    #[error("the key `{0}` is not called like this witness")]
    OtherName(KeyName),
    /// The same key twice.
    #[error("the key `{0}` is configured twice")]
    Twice(KeyName),
}

fn signs_subtrees(key: &VerifierKey) -> bool {
    matches!(key.key(), PublicKey::MlDsa44Cosignature(_))
}

/// SEQUENCE { SEQUENCE { id-Ed25519 }, BIT STRING of 32 bytes }
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// SEQUENCE { SEQUENCE { id-ml-dsa-44 }, BIT STRING of 1,312 bytes }
const ML_DSA_44_SPKI: &[u8] = &[
    0x30, 0x82, 0x05, 0x32, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x11,
    0x03, 0x82, 0x05, 0x21, 0x00,
];

#[cfg(test)]
mod tests {
    use tlog::policy::Policy;

    use super::*;

    fn name(name: &str) -> KeyName {
        KeyName::new(name).expect("a name")
    }

    fn signer(text: &str, kind: KeyType, seed: u8) -> SignerKey {
        SignerKey::from_seed(name(text), kind, &[seed; 32])
    }

    use KeyType::{Ed25519, Ed25519Cosignature, MlDsa44Cosignature};

    #[test]
    fn cos_7_one_key_one_name() {
        let keys = |signers| Keys::new(&name("w"), signers).map(|_| ());
        assert_eq!(
            keys(vec![signer("w", Ed25519Cosignature, 1), signer("w", MlDsa44Cosignature, 1)]),
            Ok(())
        );
        for (signers, want) in [
            (vec![], KeysError::None),
            (vec![signer("w", Ed25519, 1)], KeysError::LogKey(name("w"))),
            (vec![signer("v", Ed25519Cosignature, 1)], KeysError::OtherName(name("v"))),
            (
                vec![signer("w", Ed25519Cosignature, 1), signer("w", Ed25519Cosignature, 1)],
                KeysError::Twice(name("w")),
            ),
        ] {
            assert_eq!(keys(signers), Err(want));
        }
        let long = "n".repeat(256);
        assert_eq!(
            Keys::new(&name(&long), vec![signer(&long, Ed25519Cosignature, 1)]).map(|_| ()),
            Err(KeysError::LongName(256))
        );
    }

    /// One witness is never two votes, however many keys it has.
    #[test]
    fn the_policy_makes_one_vote_of_all_keys() {
        for (kinds, names) in [
            (&[Ed25519Cosignature][..], &["w"][..]),
            (&[Ed25519Cosignature, MlDsa44Cosignature], &["w-ed", "w-mldsa"]),
            (
                &[Ed25519Cosignature, MlDsa44Cosignature, MlDsa44Cosignature],
                &["w-ed", "w-mldsa", "w-mldsa-2"],
            ),
        ] {
            let signers = kinds.iter().zip(1..).map(|(kind, seed)| signer("w", *kind, seed)).collect();
            let keys = Keys::new(&name("w"), signers).expect("keys");
            let policy: Policy =
                format!("{}quorum w\n", keys.policy(Some("https://w.example"))).parse().expect("a policy");
            let read: Vec<&str> = policy.witnesses().iter().map(|witness| witness.name.as_str()).collect();
            assert_eq!(read, names);
            assert_eq!(policy.weakest_quorum(), 1);
            assert!(policy.witnesses().iter().all(|w| w.url.as_deref() == Some("https://w.example")));
        }
    }

    #[test]
    fn public_keys_have_their_standard_form() {
        let key = signer("w", MlDsa44Cosignature, 1);
        let der = tlog::encoding::decode_base64(&spki(key.verifier().key())).expect("base64");
        assert_eq!(der.len(), 4 + 0x532);
        assert_eq!(der[der.len() - 1_312..], *key.verifier().key().raw());
        let key = signer("w", Ed25519Cosignature, 1);
        assert_eq!(tlog::encoding::decode_base64(&spki(key.verifier().key())).expect("base64").len(), 44);
    }
}
