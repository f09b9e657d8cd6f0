//! A small world with one signer, one log and one witness: the keys of `specs/vectors/entry.json`.

use std::convert::Infallible;
use std::sync::LazyLock;

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, DsseEntry, LogTime, PendingEntry, Visibility};
use attestation::evidence::Evidence;
use attestation::lists::ListKey;
use attestation::receipt::{Receipt, Report, Signers, VerifyPolicy};
use attestation::statement::{Statement, Subject};
use serde_json::{Value, json};
use testkit::evidence::evidence_of;
pub(crate) use testkit::keys::signer as key;
use tlog::checkpoint::Checkpoint;
use tlog::key::{Ed25519PrivateKey, KeyType, SignerKey};
use tlog::merkle::{HashReader, Node, inclusion, leaf_hash, root_of};
use tlog::policy::Policy;
use tlog::proof::TlogProof;
use tlog::{Hash, LeafIndex, TreeSize, UnixTime, cosignature};

pub(crate) const ORIGIN: &str = "log.example.com/pipelines";
pub(crate) const LOGGED_AT_MS: u64 = 1_790_000_000_000;
pub(crate) const COSIGNED_AT: u64 = 1_790_000_001;

/// The vectors: made for this project, see its `source`.
pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../specs/vectors/entry.json")).expect("the vectors are JSON")
}

pub(crate) fn signer() -> Ed25519PrivateKey {
    let seed: Vec<u8> = (0..32).collect();
    Ed25519PrivateKey::from_seed(&seed.try_into().expect("32 bytes"))
}

pub(crate) fn did() -> Did {
    Did::of(&signer().public_key())
}

pub(crate) fn other_signer() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[0x77; 32])
}

pub(crate) fn log() -> SignerKey {
    key(ORIGIN, KeyType::Ed25519, 0x11)
}

pub(crate) fn witness() -> SignerKey {
    key("witness.example.com", KeyType::Ed25519Cosignature, 0x22)
}

pub(crate) fn policy() -> Policy {
    let text = format!("log {}\nwitness w {}\nquorum w\n", log().verifier(), witness().verifier());
    text.parse().expect("a policy")
}

pub(crate) fn artifact() -> Hash {
    Hash::of(b"hello artifact\n")
}

pub(crate) fn statement() -> Statement {
    provenance_statement("https://github.com/octo/app", "refs/heads/main")
}

pub(crate) fn provenance_statement(repository: &str, reference: &str) -> Statement {
    let predicate = json!({
        "buildDefinition": {
            "buildType": "https://example.com/build/v1",
            "externalParameters": {"workflow": {"repository": repository, "ref": reference}},
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    });
    statement_of("https://slsa.dev/provenance/v1", predicate)
}

pub(crate) fn statement_of(predicate_type: &str, predicate: Value) -> Statement {
    let Value::Object(predicate) = predicate else { panic!("a predicate is an object") };
    let subjects = vec![
        Subject::new("other.bin", Hash::of(b"another artifact\n")),
        Subject::new("artifact.bin", artifact()),
    ];
    Statement::new(subjects, predicate_type, predicate).expect("a statement")
}

pub(crate) fn envelope(statement: &Statement) -> Envelope {
    Envelope::sign(&signer(), statement.to_payload())
}

pub(crate) fn claim(statement: &Statement) -> Claim {
    let key = signer().public_key();
    Claim::new(&envelope(statement), statement, did(), &key, ORIGIN, Visibility::Public).expect("a claim")
}

pub(crate) fn pending(statement: &Statement) -> PendingEntry {
    PendingEntry::sign(claim(statement), &signer()).expect("an entry")
}

pub(crate) fn entry(statement: &Statement) -> DsseEntry {
    DsseEntry::new(pending(statement), logged_at())
}

pub(crate) fn logged_at() -> LogTime {
    LogTime::from_millis(LOGGED_AT_MS).expect("a time")
}

/// A signed receipt.
pub(crate) fn signed(statement: &Statement) -> Receipt {
    Receipt::signed(did(), signer().public_key(), envelope(statement)).expect("a receipt")
}

/// A logged receipt that passes every check.
pub(crate) fn receipt() -> Receipt {
    receipt_of(&statement())
}

pub(crate) fn receipt_of(statement: &Statement) -> Receipt {
    let entry = entry(statement);
    let proof = prove(&entry.to_bytes());
    signed(statement).logged(entry, proof, None).expect("a receipt")
}

/// The receipt as JSON, to be altered.
pub(crate) fn receipt_json() -> Value {
    serde_json::from_str(&receipt().to_json()).expect("a receipt is JSON")
}

/// The proof of `leaf` as the third entry of five, cosigned.
pub(crate) fn prove(leaf: &[u8]) -> TlogProof {
    Tree::around(leaf).proof(2, &log(), &[&witness()])
}

/// Leaf hashes.
pub(crate) struct Tree(pub(crate) Vec<Hash>);

impl Tree {
    pub(crate) fn around(leaf: &[u8]) -> Self {
        Self([b"0", b"1", leaf, b"3", b"4"].map(leaf_hash).to_vec())
    }

    pub(crate) fn checkpoint(&self, origin: &str) -> Checkpoint {
        Checkpoint::new(origin, TreeSize::new(self.0.len() as u64), root_of(&self.0))
    }

    pub(crate) fn proof(&self, index: u64, log: &SignerKey, witnesses: &[&SignerKey]) -> TlogProof {
        let checkpoint = self.checkpoint(log.verifier().name().as_str());
        let index = LeafIndex::new(index);
        let Ok(hashes) = inclusion::prove(self, index, checkpoint.size);
        TlogProof { extra: None, index, hashes, checkpoint: cosigned(&checkpoint, log, witnesses) }
    }
}

/// What a log with these leaves says of the identity events of `did`, which stand at `events`.
pub(crate) fn state_of(did: Did, leaves: &[Vec<u8>], events: &[usize], log: &SignerKey) -> Evidence {
    let said = |at| events.contains(&(at as usize));
    evidence_of(log, &[(&witness(), COSIGNED_AT)], leaves, said, [ListKey::Id(did)])
}

impl HashReader for Tree {
    type Error = Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Infallible> {
        let leaves = |node: &Node| {
            let (level, index) = (u32::from(node.level), node.index as usize);
            index << level..(index + 1) << level
        };
        Ok(nodes.iter().map(|node| root_of(&self.0[leaves(node)])).collect())
    }
}

pub(crate) fn cosigned(
    checkpoint: &Checkpoint,
    log: &SignerKey,
    witnesses: &[&SignerKey],
) -> tlog::note::Note {
    let mut note = checkpoint.sign(log);
    for witness in witnesses {
        let time = UnixTime::from_secs(COSIGNED_AT);
        note.add(cosignature::cosign(witness, checkpoint, time).expect("a witness's key"));
    }
    note
}

/// Verifies for the artifact, by the signer, without a clock.
pub(crate) fn verify(bytes: &[u8]) -> Report {
    // Reading a policy costs as much as verifying a receipt.
    static POLICY: LazyLock<Policy> = LazyLock::new(policy);
    static DID: LazyLock<Did> = LazyLock::new(did);
    let policy = VerifyPolicy::new(&POLICY, Signers::OneOf(vec![*DID]));
    attestation::receipt::verify(bytes, &policy, &artifact(), None)
}

pub(crate) fn verify_json(receipt: &Value) -> Report {
    verify(receipt.to_string().as_bytes())
}
