//! Evidence as a ledger, where a log lies about the order of what was said.

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{
    Capabilities, Commitment, Event, FailureReason, IdentityEvent, PendingEvent, RawKey, Reference,
    StatementId, TrustEvent,
};
use attestation::evidence::EvidenceError;
use attestation::lists::ListKey;
use testkit::evidence::evidence_of;
use testkit::keys::{policy_of, signer};
use tlog::key::{Ed25519PrivateKey, KeyType};
use tlog::policy::Policy;
use tlog::{Hash, LeafIndex};
use trust::{JudgeError, Params, judge};

const ORIGIN: &str = "log.example.com/pipelines";

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
        let (log, witness) =
            (signer(ORIGIN, KeyType::Ed25519, 1), signer("w.example.com", KeyType::Ed25519Cosignature, 2));
        let policy: Policy = policy_of(&log, &witness).parse().expect("a policy");
        let leaves: Vec<Vec<u8>> = events.iter().map(|event| event.to_leaf(time(1_500))).collect();
        let also = [ListKey::Out(did(20)), ListKey::Pos(did(10)), ListKey::Receipts(did(10))];
        let mut evidence = evidence_of(&log, &[(&witness, 1_790_000_000)], &leaves, |_| true, also);
        // Of a reporter only the last word is asked for; with it, the same event would be there twice.
        evidence.elements.retain(|element| element.index != LeafIndex::new(3));
        let proven = evidence.verify(&policy).expect("each entry is in the tree, and as it is listed");
        judge(&proven, &params, &[], did(10), time(2_000))
    };
    assert_eq!(judged(withdrawal(4)).expect("a verdict").history.failures, []);
    let error = judged(withdrawal(2)).expect_err("it was said before");
    let want = EvidenceError::Withdrawal { index: LeafIndex::new(5), failure: LeafIndex::new(2) };
    assert_eq!(error, JudgeError::Ledger { list: ListKey::Neg(did(10)), error: want });
}
