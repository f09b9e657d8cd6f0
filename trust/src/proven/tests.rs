use attestation::entry::LogTime;
use attestation::event::{
    Capabilities, Commitment, Event, FailureReason, IdentityEvent, PendingEvent, RawKey, Reference,
    StatementId,
};
use attestation::evidence::{Element, Evidence, Lists, assert_lists};
use attestation::lists::lists_of;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{Ed25519PrivateKey, KeyName, KeyType, SignerKey};
use tlog::merkle::{HashReader, Node, leaf_hash, root_of};
use tlog::policy::Policy;
use tlog::{Hash, UnixTime, merkle};

use super::*;
use crate::{JudgeError, Params, judge};

const ORIGIN: &str = "log.example.com/pipelines";

fn signer(seed: u8, name: &str, kind: KeyType) -> SignerKey {
    SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[seed; 32])
}

fn log() -> SignerKey {
    signer(1, ORIGIN, KeyType::Ed25519)
}

fn witness() -> SignerKey {
    signer(2, "witness.example.com", KeyType::Ed25519Cosignature)
}

fn policy() -> Policy {
    let text = format!("log {}\nwitness w {}\nquorum w\n", log().verifier(), witness().verifier());
    text.parse().expect("a policy")
}

fn key(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn raw(seed: u8) -> RawKey {
    *key(seed).public_key().as_bytes()
}

fn did(seed: u8) -> Did {
    Did::of_raw(&raw(seed))
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

struct Leaves(Vec<Hash>);

impl HashReader for Leaves {
    type Error = std::convert::Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
        let hash = |node: &Node| root_of(&self.0[(node.index << node.level) as usize..][..1 << node.level]);
        Ok(nodes.iter().map(hash).collect())
    }
}

const CAPABILITIES: Capabilities = Capabilities { messages: false, receipts: true, vouches: true };

fn sign(event: Event, seeds: &[u8]) -> PendingEvent {
    let keys: Vec<Ed25519PrivateKey> = seeds.iter().map(|seed| key(*seed)).collect();
    PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("an event")
}

fn inception(seed: u8) -> PendingEvent {
    let event = IdentityEvent::Inception {
        key: raw(seed),
        next: Commitment::to(&raw(seed + 1)),
        recovery: Commitment::to(&raw(seed + 2)),
        capabilities: CAPABILITIES,
        public_name: None,
    };
    sign(Event::about_itself(did(seed), ORIGIN, event).expect("an event"), &[seed])
}

fn says(from: u8, about: u8, event: TrustEvent) -> PendingEvent {
    sign(Event::about(did(about), did(from), ORIGIN, event).expect("an event"), &[from])
}

/// Evidence of a log with these events and all of their lists, whatever rules of state they break.
fn evidence_of(events: &[PendingEvent]) -> Evidence {
    let leaves: Vec<Vec<u8>> = events.iter().map(|event| event.to_leaf(time(1_500))).collect();
    let reader = Leaves(leaves.iter().map(|leaf| leaf_hash(leaf)).collect());
    let size = TreeSize::new(leaves.len() as u64);
    let checkpoint = Checkpoint::new(ORIGIN, size, root_of(&reader.0));
    let mut note = checkpoint.sign(&log());
    note.add(cosign(&witness(), &checkpoint, UnixTime::from_secs(1_790_000_000)).expect("a cosignature"));
    let mut lists = Lists::new();
    let mut elements = Vec::new();
    for (leaf, index) in leaves.into_iter().zip(0..).map(|(leaf, at)| (leaf, LeafIndex::new(at))) {
        for (key, listed) in lists_of(&Entry::parse(&leaf).expect("an entry"), index) {
            lists.entry(key).or_default().push(listed);
        }
        let Ok(hashes) = merkle::inclusion::prove(&reader, index, size);
        elements.push(Element { index, leaf, hashes });
    }
    let assertion = assert_lists(&log(), &checkpoint, &lists);
    Evidence { checkpoint: note, assertion, lists, elements }
}

/// A log that lists an old withdrawal once more, behind a new report, is not believed.
#[test]
fn a_withdrawal_takes_back_the_report_before_it() {
    let failure = |id| {
        let artifact = Hash::of(b"a");
        says(
            20,
            10,
            TrustEvent::Failure { id: StatementId([id; 16]), artifact, reason: FailureReason::Digest },
        )
    };
    let withdrawal = |index| {
        let failure = Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(index) };
        says(20, 10, TrustEvent::Withdrawal { failure })
    };
    let params = Params::new([(did(20), 1_000)]).expect("a root");
    let judged = |last: PendingEvent| {
        let events = [inception(10), inception(20), failure(1), withdrawal(2), failure(2), last];
        let mut evidence = evidence_of(&events);
        // Of a reporter only the last word is asked for; with it, the same event would be there twice.
        evidence.elements.retain(|element| element.index != LeafIndex::new(3));
        let empty = [ListKey::Out(did(20)), ListKey::Pos(did(10)), ListKey::Receipts(did(10))];
        evidence.lists.extend(empty.map(|list| (list, Vec::new())));
        let (checkpoint, _) = policy().log_checkpoint(&evidence.checkpoint).expect("the log's");
        evidence.assertion = assert_lists(&log(), &checkpoint, &evidence.lists);
        let proven = evidence.verify(&policy()).expect("each entry is in the tree, and as it is listed");
        judge(&proven, &params, &[], did(10), time(2_000))
    };
    assert_eq!(judged(withdrawal(4)).expect("a verdict").history.failures, []);
    let error = judged(withdrawal(2)).expect_err("it was said before");
    let want = EvidenceError::Withdrawal { index: LeafIndex::new(5), failure: LeafIndex::new(2) };
    assert_eq!(error, JudgeError::Ledger { list: ListKey::Neg(did(10)), error: want });
}
