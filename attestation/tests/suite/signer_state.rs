//! What a receipt's `identity` says about its signer: one log, one DID, an entry at every place of its life.

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, DsseEntry, PendingEntry, Visibility};
use attestation::event::{
    Capabilities, Commitment, Event, IdentityEvent as Said, Link, PendingEvent, Reference, TrustEvent,
};
use attestation::event::{Scope, StatementId};
use attestation::receipt::{
    Check, Demand, Fault, HistoryError, IdentityEvent, Outcome, Receipt, Report, SignerState, Signers,
    Verdict, VerifyPolicy,
};
use tlog::key::{Ed25519PrivateKey, KeyType};
use tlog::merkle::leaf_hash;
use tlog::{Hash, LeafIndex};

use crate::fixture::{self, ORIGIN, Tree, artifact, log, logged_at, policy, state_of, statement, witness};

fn key(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn raw(seed: u8) -> [u8; 32] {
    *key(seed).public_key().as_bytes()
}

/// Keys: 1 current, 2 next, 3 recovery; after the rotation 2 and 4; after the recovery 5, 6 and 7.
fn did() -> Did {
    Did::of_raw(&raw(1))
}

fn commit(seed: u8) -> Commitment {
    Commitment::to(&raw(seed))
}

fn event(said: Said, signers: &[u8]) -> PendingEvent {
    sign(Event::about_itself(did(), ORIGIN, said).expect("an event"), signers)
}

fn sign(event: Event, signers: &[u8]) -> PendingEvent {
    let keys: Vec<Ed25519PrivateKey> = signers.iter().map(|seed| key(*seed)).collect();
    PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("an event")
}

fn since(index: u64) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(index) }
}

/// A log that grows, entry by entry.
#[derive(Default)]
struct Log {
    leaves: Vec<Vec<u8>>,
    events: Vec<(usize, PendingEvent)>,
}

impl Log {
    fn add(&mut self, leaf: Vec<u8>) -> usize {
        self.leaves.push(leaf);
        self.leaves.len() - 1
    }

    fn say(&mut self, make: impl FnOnce(Link) -> (Said, &'static [u8])) -> usize {
        let previous = self.events.last().map(|(_, event)| event.hash());
        let link = Link {
            sequence: self.events.len() as u32,
            previous: previous.unwrap_or_else(|| attestation::entry::ClaimHash::new(Hash::of(b""))),
        };
        let (said, signers) = make(link);
        let event = event(said, signers);
        let index = self.add(event.to_leaf(logged_at()));
        self.events.push((index, event));
        index
    }

    fn inception(&mut self) {
        let capabilities = Capabilities::PIPELINE;
        let said = Said::Inception {
            key: raw(1),
            next: commit(2),
            recovery: commit(3),
            capabilities,
            public_name: None,
        };
        self.say(|_| (said, &[1]));
    }

    fn rotation(&mut self) {
        let capabilities = Capabilities::PIPELINE;
        self.say(|link| (Said::Rotation { link, key: raw(2), next: commit(4), capabilities }, &[1, 2]));
    }

    fn compromise(&mut self, from: u64) {
        self.say(|link| (Said::Compromise { link, since: since(from) }, &[3]));
    }

    fn recovery(&mut self, from: u64) {
        let capabilities = Capabilities::PIPELINE;
        self.say(|link| {
            let said = Said::Recovery {
                link,
                key: raw(5),
                next: commit(6),
                recovery: commit(7),
                capabilities,
                since: since(from),
            };
            (said, &[3, 5])
        });
    }

    fn deactivation(&mut self) {
        self.say(|link| (Said::Deactivation { link }, &[3]));
    }

    /// The artifact, logged by the key with this seed.
    fn artifact(&mut self, seed: u8) -> (usize, Receipt, DsseEntry) {
        let (signer, statement) = (key(seed), statement());
        let envelope = Envelope::sign(&signer, statement.to_payload());
        let public = signer.public_key();
        let claim = Claim::new(&envelope, &statement, did(), &public, ORIGIN, Visibility::Public);
        let entry = PendingEntry::sign(claim.expect("a claim"), &signer).expect("an entry");
        let receipt = Receipt::signed(did(), public, envelope).expect("a receipt");
        let entry = DsseEntry::new(entry, logged_at());
        let index = self.add(entry.to_bytes());
        (index, receipt, entry)
    }

    /// One step of a story.
    fn live(&mut self, c: char) -> Option<(usize, Receipt, DsseEntry)> {
        match c {
            'i' => self.inception(),
            'r' => self.rotation(),
            'c' => self.compromise(2),
            'v' => self.recovery(2),
            'd' => self.deactivation(),
            'x' => drop(self.add(b"x".to_vec())),
            seed => return Some(self.artifact(seed as u8 - b'0')),
        }
        None
    }

    fn tree(&self) -> Tree {
        Tree(self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect())
    }

    fn prove(&self, index: usize) -> tlog::proof::TlogProof {
        self.tree().proof(index as u64, &log(), &[&witness()])
    }

    fn identity(&self) -> Vec<IdentityEvent> {
        let event = |(index, _): &(usize, PendingEvent)| IdentityEvent {
            leaf: self.leaves[*index].clone(),
            proof: self.prove(*index),
        };
        self.events.iter().map(event).collect()
    }

    fn receipt(&self, made: (usize, Receipt, DsseEntry), identity: Vec<IdentityEvent>) -> Receipt {
        let (index, receipt, entry) = made;
        let receipt = receipt.logged(entry, self.prove(index), None).expect("a receipt");
        let receipt = receipt.with_identity(identity).expect("on one checkpoint");
        assert_eq!(Receipt::parse(receipt.to_json().as_bytes()).as_ref(), Ok(&receipt));
        receipt
    }
}

fn verify(receipt: &Receipt) -> Report {
    let policy = policy();
    receipt.verify(&VerifyPolicy::new(&policy, Signers::OneOf(vec![did()])), &artifact(), None)
}

/// One letter an entry: i, r, c, v (recovery), d events; x something else; 1, 2, 5 the artifact by that key.
fn life(story: &str) -> Report {
    let mut log = Log::default();
    let mut made = None;
    for c in story.chars() {
        made = log.live(c).or(made);
    }
    verify(&log.receipt(made.expect("an artifact"), log.identity()))
}

#[test]
fn a_receipt_is_judged_by_the_state_at_its_index_and_by_what_came_after() {
    for (story, want) in [
        ("1", Ok("no identity events, genesis key assumed; state as of size 1")),
        ("1i", Ok("genesis key at index 0; active; state as of size 2")),
        ("i1", Ok("current key at index 1; active; state as of size 2")),
        ("i1r", Ok("current key at index 1; active; state as of size 3")),
        ("ir2", Ok("current key at index 2; active; state as of size 3")),
        ("ir1", Err("at index 2: the key is not the DID's current one")),
        ("i2r", Err("at index 1: the key is not the DID's current one")),
        ("2ir", Err("at index 0: the key hashes to")),
        // What is void begins at index 2.
        ("i1c", Ok("current key at index 1; compromised by the report at index 2; state as of size 3")),
        (
            "ix1c",
            Err("index 2 lies in a time that the signer reported as compromised: from 2, not yet recovered"),
        ),
        ("ixc1", Err("at index 3: the DID is reported as compromised")),
        ("ix1v", Err("from 2 to the recovery at 3")),
        ("ix1cv", Err("from 2 to the recovery at 4")),
        ("i1xv", Ok("current key at index 1; active; state as of size 4")),
        ("ixcv5", Ok("current key at index 4; active; state as of size 5")),
        ("ixcv1", Err("at index 4: the key is not the DID's current one")),
        ("i1d", Ok("current key at index 1; deactivated at index 2; state as of size 3")),
        ("id1", Err("at index 2: the DID is deactivated")),
    ] {
        let report = life(story);
        match want {
            Ok(text) => {
                assert!(report.verified().is_some(), "{story}: {:?}", report.fault());
                let (check, outcome) = report.checks().last().expect("checks");
                assert_eq!(*check, Check::SignerState, "{story}");
                assert_eq!(*outcome, Outcome::Passed(text.to_owned()), "{story}");
            }
            Err(text) => {
                let (check, fault) = report.fault().unwrap_or_else(|| panic!("{story}: verified"));
                assert_eq!(check, Check::SignerState, "{story}: {fault}");
                assert!(fault.to_string().contains(text), "{story}: {fault}");
                assert!(!fault.could_not_check(), "{story}");
            }
        }
    }
}

/// The receipt is as of `before`, the state as of `before` and `after`, of the same log or of another.
fn later(before: &str, after: &str, same_log: bool) -> Report {
    let mut log = Log::default();
    let mut made = None;
    for c in before.chars() {
        made = log.live(c).or(made);
    }
    let receipt = log.receipt(made.expect("an artifact"), log.identity());
    after.chars().for_each(|c| drop(log.live(c)));
    let events: Vec<usize> = log.events.iter().map(|(index, _)| *index).collect();
    let other = fixture::key(ORIGIN, KeyType::Ed25519, 77);
    let signer = if same_log { fixture::log() } else { other };
    let text = format!(
        "log {}\nlog {}\nwitness w {}\nquorum w\n",
        fixture::log().verifier(),
        fixture::key(ORIGIN, KeyType::Ed25519, 77).verifier(),
        witness().verifier()
    );
    let policy: tlog::policy::Policy = text.parse().expect("a policy");
    let state = state_of(did(), &log.leaves, &events, &signer).verify(&policy).expect("it holds");
    let mut wanted = VerifyPolicy::new(&policy, Signers::OneOf(vec![did()]));
    wanted.demands.push(Demand::State {
        state: Box::new(SignerState::of(&state, did()).expect("shown")),
        max_age: None,
    });
    receipt.verify(&wanted, &artifact(), None)
}

#[test]
fn a_later_state_has_the_last_word() {
    use Verdict::{CouldNotCheck, Failed, Verified};
    let (same, other) = (true, false);
    for (before, after, log, want, text) in [
        ("1", "", same, Verified, "not registered as of size 1"),
        ("1", "i", same, Verified, "active as of size 2"),
        ("i1", "r", same, Verified, "active as of size 3"),
        ("i1", "d", same, Verified, "deactivated as of size 3"),
        // What is void begins at index 2.
        ("i1", "xc", same, Verified, "compromised as of size 4"),
        ("ix1", "c", same, Failed, "not yet recovered"),
        ("ix1", "cv", same, Failed, "to the recovery at 4"),
        ("i1", "", other, Verified, "current key"),
        ("i1", "r", other, CouldNotCheck, "two logs cannot tell"),
        ("i1", "d", other, CouldNotCheck, "two logs cannot tell"),
        ("i1", "xc", other, Failed, "compromised"),
        ("i1", "xv", other, CouldNotCheck, "two logs cannot tell"),
        ("1", "", other, CouldNotCheck, "not registered"),
    ] {
        let report = later(before, after, log);
        let name = format!("{before} then {after}, same log: {log}");
        assert_eq!(report.verdict(), want, "{name}: {:?}", report.fault());
        let (check, outcome) = report.checks().last().expect("checks");
        assert_eq!(*check, Check::LaterState, "{name}");
        let said = match outcome {
            Outcome::Passed(said) => said.clone(),
            Outcome::NotPassed(fault) => fault.to_string(),
            Outcome::NotChecked => panic!("{name}: not checked"),
        };
        assert!(said.contains(text), "{name}: {said}");
    }
}

/// What can be taken from a receipt, or put into it, by whoever hands it on.
#[test]
fn every_altered_identity_is_refused_where_it_matters() {
    let mut log = Log::default();
    log.inception();
    log.rotation();
    let vouch =
        TrustEvent::Distrust { id: StatementId([1; 16]), issued_at: logged_at(), scope: Scope::General };
    let other = Did::of_raw(&raw(9));
    let vouch = sign(Event::about(other, did(), ORIGIN, vouch).expect("an event"), &[2]);
    let vouch = log.add(vouch.to_leaf(logged_at()));
    let foreign = Said::Inception {
        key: raw(9),
        next: commit(8),
        recovery: commit(7),
        capabilities: Capabilities::PIPELINE,
        public_name: None,
    };
    let foreign = sign(Event::about_itself(other, ORIGIN, foreign).expect("an event"), &[9]);
    let foreign = log.add(foreign.to_leaf(logged_at()));
    let junk = log.add(b"junk".to_vec());
    let made = log.artifact(2);
    let good = log.identity();
    let at = |index: usize| IdentityEvent { leaf: log.leaves[index].clone(), proof: log.prove(index) };
    let mut swapped = good.clone();
    swapped[0].leaf.clone_from(&good[1].leaf);
    type Want = fn(&HistoryError) -> bool;
    let cases: Vec<(&str, Vec<IdentityEvent>, Want)> = vec![
        ("without the first", good[1..].to_vec(), |e| matches!(e, HistoryError::State { at: 0, .. })),
        ("turned round", good.iter().rev().cloned().collect(), |e| {
            matches!(e, HistoryError::State { at: 0, .. })
        }),
        ("one twice", [&good[..1], &good[..]].concat(), |e| matches!(e, HistoryError::Order { at: 1 })),
        ("another leaf", swapped, |e| matches!(e, HistoryError::Inclusion { at: 0, .. })),
        ("a trust event", [&good[..], &[at(vouch)]].concat(), |e| {
            matches!(e, HistoryError::NotIdentity { at: 2 })
        }),
        ("another DID's", [&good[..], &[at(foreign)]].concat(), |e| {
            matches!(e, HistoryError::OtherDid { at: 2, .. })
        }),
        ("no entry", [&good[..], &[at(junk)]].concat(), |e| matches!(e, HistoryError::Leaf { at: 2, .. })),
        ("257", vec![good[0].clone(); 257], |e| matches!(e, HistoryError::TooMany(257))),
    ];
    for (name, identity, want) in cases {
        let report = verify(&log.receipt(made.clone(), identity));
        match report.fault() {
            Some((Check::SignerState, Fault::Identity(error))) => assert!(want(error), "{name}: {error}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    // Without the last one the key is not current; without any, nobody's.
    let report = verify(&log.receipt(made.clone(), good[..1].to_vec()));
    assert!(matches!(report.fault(), Some((Check::SignerState, Fault::SignerState { .. }))));
    let report = verify(&log.receipt(made.clone(), Vec::new()));
    assert!(matches!(report.fault(), Some((Check::Signer, Fault::SignerKey(_)))));
    assert!(verify(&log.receipt(made.clone(), good.clone())).verified().is_some());
    // On another checkpoint it is not even of the format.
    let bigger = {
        log.add(b"later".to_vec());
        log.identity()
    };
    let (index, receipt, entry) = made;
    let mut proof = log.prove(index);
    proof.checkpoint = good[0].proof.checkpoint.clone();
    assert!(receipt.logged(entry, proof, None).expect("a receipt").with_identity(bigger).is_err());
}
