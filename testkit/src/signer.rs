//! Pipelines that sign: keys, statements, submissions.

use attestation::did::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::receipt::Receipt;
use attestation::statement::{Statement, Subject};
use serde_json::{Value, json};
use tlog::Hash;
use tlog::encoding::base64;
use tlog::key::Ed25519PrivateKey;

/// A pipeline with its key.
pub struct Signer {
    /// Its key.
    pub key: Ed25519PrivateKey,
}

/// A signed statement and its claim, ready to be sent.
#[derive(Clone)]
pub struct Signed {
    /// The statement in its envelope.
    pub envelope: Envelope,
    /// The signed claim.
    pub entry: PendingEntry,
    /// The digest of the artifact.
    pub artifact: Hash,
}

impl Signer {
    /// The signer of this number: always the same key.
    pub fn new(number: u64) -> Self {
        let seed = Hash::of(format!("signer {number}").as_bytes());
        Self { key: Ed25519PrivateKey::from_seed(seed.as_bytes()) }
    }

    /// Its DID.
    pub fn did(&self) -> Did {
        Did::of(&self.key.public_key())
    }

    /// Signs a statement about an artifact with this content, for a log. `padding` bytes make the
    /// statement longer.
    pub fn sign(&self, origin: &str, content: &[u8], visibility: Visibility, padding: usize) -> Signed {
        let artifact = Hash::of(content);
        let predicate =
            json!({"builder": {"id": "https://example.com/builder"}, "padding": "x".repeat(padding)});
        let Value::Object(predicate) = predicate else { unreachable!("written as an object") };
        let subject = Subject::new("artifact.bin", artifact);
        let statement = Statement::new(vec![subject], "https://slsa.dev/provenance/v1", predicate);
        let statement = statement.expect("a statement of one subject");
        let envelope = Envelope::sign(&self.key, statement.to_payload());
        let claim = Claim::new(&envelope, &statement, self.did(), &self.key.public_key(), origin, visibility);
        let entry = PendingEntry::sign(claim.expect("a claim of this statement"), &self.key);
        Signed { envelope, entry: entry.expect("a claim that fits"), artifact }
    }
}

impl Signed {
    /// The submission that publishes the envelope.
    pub fn published(&self) -> Value {
        let envelope: Value = serde_json::from_str(&self.envelope.to_json()).expect("an envelope is JSON");
        json!({"leaf": base64(&self.entry.to_bytes()), "envelope": envelope})
    }

    /// The submission by hash.
    pub fn by_hash(&self) -> Value {
        json!({"leaf": base64(&self.entry.to_bytes())})
    }

    /// The claim's hash.
    pub fn claim(&self) -> Hash {
        self.entry.claim().hash().get()
    }

    /// The receipt that a log's answer makes.
    ///
    /// # Panics
    /// If the answer is not `logged`, or is not of its form.
    pub fn receipt(&self, signer: &Signer, answer: &Value) -> Receipt {
        let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {answer}"));
        let receipt = json!({
            "mediaType": attestation::receipt::MEDIA_TYPE,
            "did": signer.did().to_string(),
            "publicKey": base64(signer.key.public_key().as_bytes()),
            "envelope": serde_json::from_str::<Value>(&self.envelope.to_json()).expect("an envelope is JSON"),
            "leaf": text("leaf"),
            "proof": text("proof"),
            "sigstoreNote": text("sigstoreNote"),
        });
        Receipt::parse(receipt.to_string().as_bytes()).expect("a log's answer makes a receipt")
    }
}
