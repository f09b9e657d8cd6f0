use serde_json::Value;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey, KeyName, SignerKey};
use tlog::merkle::{HashReader, Node, inclusion, leaf_hash, root_of, subtree};
use tlog::policy::Policy;
use tlog::{TreeSize, UnixTime, bundle};

use super::*;
use crate::did::Did;
use crate::dsse::Envelope;
use crate::entry::{Claim, ClaimHash, Entry, PendingEntry, Visibility};
use crate::event::{
    Capabilities, Commitment, Event, FailureReason, IdentityEvent, Link, MessageKeys, PendingEvent,
    Reference, StatementId, TrustEvent,
};
use crate::evidence::assert_lists;
use crate::lists::{ListedKind, lists_of};
use crate::statement::{Statement, Subject};

const ORIGIN: &str = "log.example.com/pipelines";
const FOUND_AT: u64 = 1_790_000_600_000;
const COSIGNED_AT: u64 = 1_790_000_000;

fn log() -> SignerKey {
    SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[1; 32])
}

fn witness() -> SignerKey {
    let name = KeyName::new("witness.example.com").expect("a name");
    SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[2; 32])
}

fn policy() -> Policy {
    let text = format!("log {}\nwitness w {}\nquorum w\n", log().verifier(), witness().verifier());
    text.parse().expect("a policy")
}

fn time(milliseconds: u64) -> LogTime {
    LogTime::from_millis(milliseconds).expect("a time")
}

/// A log in memory, which signs whatever it holds.
#[derive(Clone)]
struct Tree {
    leaves: Vec<Vec<u8>>,
}

impl HashReader for Tree {
    type Error = std::convert::Infallible;

    fn read_hashes(&self, nodes: &[Node]) -> Result<Vec<Hash>, Self::Error> {
        let hashes = self.hashes();
        let hash = |node: &Node| root_of(&hashes[(node.index << node.level) as usize..][..1 << node.level]);
        Ok(nodes.iter().map(hash).collect())
    }
}

impl Tree {
    /// A log of `size` good leaves, logged a second apart.
    fn new(size: u64) -> Self {
        Self { leaves: (0..size).map(|i| entry(1, did(1)).to_leaf(time(1_000 * (i + 1)))).collect() }
    }

    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    fn size(&self) -> TreeSize {
        TreeSize::new(self.leaves.len() as u64)
    }

    /// The note of the first `size` leaves, cosigned at `times` by the one witness.
    fn note(&self, size: usize, cosigned_at: Option<u64>) -> Note {
        let root = root_of(&self.hashes()[..size]);
        let checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(size as u64), root);
        let mut note = checkpoint.sign(&log());
        if let Some(time) = cosigned_at {
            note.add(cosign(&witness(), &checkpoint, UnixTime::from_secs(time)).expect("a cosignature"));
        }
        note
    }

    fn whole(&self) -> Note {
        self.note(self.leaves.len(), Some(COSIGNED_AT))
    }

    fn leaf(&self, index: usize) -> ProvenLeaf {
        let at = LeafIndex::new(index as u64);
        let Ok(proof) = inclusion::prove(self, at, self.size());
        ProvenLeaf { index: at, bytes: self.leaves[index].clone(), proof }
    }

    fn served(&self, tile: Tile, resource: Resource, bytes: Vec<u8>) -> Proof {
        let start = tile.index() * 256;
        let end = start + u64::from(tile.width());
        let root = root_of(&self.hashes()[start as usize..end as usize]);
        let Ok(proof) = subtree::prove(self, start, end, self.size());
        let served = Served::One { tile, resource, bytes, root, proof };
        Proof::BadTile(BadTile { checkpoint: self.whole(), served })
    }

    fn bundle(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.leaves.iter().for_each(|leaf| bundle::push(&mut bytes, leaf));
        bytes
    }
}

fn private(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn did(seed: u8) -> Did {
    Did::of(&private(seed).public_key())
}

fn entry(seed: u8, did: Did) -> PendingEntry {
    let subject = Subject::new("a", Hash::of(b"a"));
    let statement = Statement::new(vec![subject], "https://example.com/t", serde_json::Map::new());
    let statement = statement.expect("a statement");
    let envelope = Envelope::sign(&private(seed), statement.to_payload());
    let key = private(seed).public_key();
    let claim = Claim::new(&envelope, &statement, did, &key, ORIGIN, Visibility::Public).expect("a claim");
    PendingEntry::sign(claim, &private(seed)).expect("an entry")
}

fn finding(proof: Proof) -> Finding {
    Finding::new(ORIGIN, vec![log().verifier().clone()], time(FOUND_AT), "what was seen", proof)
}

fn fork() -> Proof {
    let (tree, mut other) = (Tree::new(7), Tree::new(7));
    other.leaves[2] = entry(1, did(1)).to_leaf(time(3_001));
    let fork = Fork::find(tree.note(5, None), other.note(7, None), &other);
    Proof::Fork(fork.expect("a fork"))
}

fn shrink(larger_cosigned: u64, smaller_cosigned: u64) -> Proof {
    let tree = Tree::new(7);
    Proof::Shrink(Shrink {
        larger: tree.note(7, Some(larger_cosigned)),
        larger_seen_at: time(FOUND_AT - 1),
        smaller: tree.note(5, Some(smaller_cosigned)),
        smaller_seen_at: time(FOUND_AT),
    })
}

fn bad_bundle() -> Proof {
    let tree = Tree::new(7);
    let mut bytes = tree.bundle();
    bytes[100] ^= 1;
    tree.served(Tile::new(0, 0, 7).expect("a tile"), Resource::Entries, bytes)
}

fn edge(flip: bool) -> Proof {
    let tree = Tree::new(7);
    let mut bytes: Vec<u8> = tree.hashes().iter().flat_map(|hash| *hash.as_bytes()).collect();
    bytes[40] ^= u8::from(flip);
    let served = Served::Edge(vec![(Tile::new(0, 0, 7).expect("a tile"), bytes)]);
    Proof::BadTile(BadTile { checkpoint: tree.whole(), served })
}

fn bad_entry() -> Proof {
    let mut tree = Tree::new(7);
    // In another's name: the log holds what its admission should have refused.
    tree.leaves[3] = entry(9, did(1)).to_leaf(time(3_000));
    let leaf = tree.leaf(3);
    Proof::BadEntry(BadEntry {
        checkpoint: tree.whole(),
        leaf,
        rule: Rule::SignerKey,
        earlier: None,
        identity: Vec::new(),
        references: Vec::new(),
    })
}

fn bad_order() -> Proof {
    let mut tree = Tree::new(7);
    tree.leaves[3] = entry(1, did(1)).to_leaf(time(1));
    Proof::BadEntry(BadEntry {
        checkpoint: tree.whole(),
        leaf: tree.leaf(3),
        rule: Rule::LoggedAtOrder,
        earlier: Some(tree.leaf(2)),
        identity: Vec::new(),
        references: Vec::new(),
    })
}

fn key(seed: u8) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[seed; 32])
}

fn event(event: IdentityEvent, keys: [u8; 2]) -> PendingEvent {
    let event = Event::about_itself(did(1), ORIGIN, event).expect("an event");
    let keys = keys.map(key);
    let keys: Vec<&Ed25519PrivateKey> =
        keys.iter().take(if event.name() == "inception" { 1 } else { 2 }).collect();
    PendingEvent::sign(event, &keys).expect("it fits")
}

/// The inception of the DID of key 1, and its rotation from key 1 to key 11.
fn events() -> [PendingEvent; 2] {
    let raw = |seed| *key(seed).public_key().as_bytes();
    let (next, then, recovery) =
        (Commitment::to(&raw(11)), Commitment::to(&raw(12)), Commitment::to(&raw(13)));
    let capabilities = Capabilities::PIPELINE;
    let inception = IdentityEvent::Inception { key: raw(1), next, recovery, capabilities, public_name: None };
    let inception = event(inception, [1, 1]);
    let link = Link { sequence: 1, previous: inception.hash() };
    let rotation = event(IdentityEvent::Rotation { link, key: raw(11), next: then, capabilities }, [1, 11]);
    [inception, rotation]
}

/// A log in which the DID of key 1 is registered and rotates; then its old key signs, and it rotates once more
/// from the same state.
fn of_state(at: usize, rule: Rule) -> (Tree, BadEntry) {
    let mut tree = Tree::new(7);
    let [inception, rotation] = events();
    tree.leaves[1] = inception.to_leaf(time(2_000));
    tree.leaves[3] = rotation.to_leaf(time(4_000));
    tree.leaves[6] = rotation.to_leaf(time(7_000));
    let identity = vec![tree.leaf(1), tree.leaf(3)];
    let bad = BadEntry {
        checkpoint: tree.whole(),
        leaf: tree.leaf(at),
        rule,
        earlier: None,
        identity,
        references: Vec::new(),
    };
    (tree, bad)
}

fn at(index: u64) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(index) }
}

/// What the DID of key 1 says about the DID of key 2.
fn says(event: TrustEvent) -> PendingEvent {
    let event = Event::about(did(2), did(1), ORIGIN, event).expect("an event");
    PendingEvent::sign(event, &[&key(1)]).expect("it fits")
}

fn failure(id: u8) -> TrustEvent {
    TrustEvent::Failure { id: StatementId([id; 16]), artifact: Hash::of(b"a"), reason: FailureReason::Digest }
}

fn withdrawal(failure: u64) -> TrustEvent {
    TrustEvent::Withdrawal { failure: at(failure) }
}

fn confirmation(artifact: &[u8], receipt: u64, build: u64) -> TrustEvent {
    TrustEvent::Confirmation { artifact: Hash::of(artifact), receipt: at(receipt), build: at(build) }
}

/// A log in which the DID of key 1, registered at 1, says something at 5; what else is said stands where it says.
/// Artifacts of it are at 0 and 6, one of the DID of key 2 is at 2.
fn saying(event: TrustEvent, before: &[(usize, TrustEvent)], rule: Rule, references: &[usize]) -> BadEntry {
    let mut tree = Tree::new(7);
    tree.leaves[1] = events()[0].to_leaf(time(2_000));
    tree.leaves[2] = entry(2, did(2)).to_leaf(time(3_000));
    for (at, event) in before {
        tree.leaves[*at] = says(event.clone()).to_leaf(time(1_000 * (*at as u64 + 1)));
    }
    tree.leaves[5] = says(event).to_leaf(time(6_000));
    BadEntry {
        checkpoint: tree.whole(),
        leaf: tree.leaf(5),
        rule,
        earlier: None,
        identity: vec![tree.leaf(1)],
        references: references.iter().map(|at| tree.leaf(*at)).collect(),
    }
}

/// The message keys of the DID of key 1 behind those at a place.
fn keys_behind(previous: Option<ClaimHash>, number: u64) -> PendingEvent {
    let said = MessageKeys { issued_at: time(number), keys: Vec::new(), previous };
    let event = Event::message_keys(did(1), ORIGIN, said).expect("an event");
    PendingEvent::sign(event, &[&key(1)]).expect("it fits")
}

/// A log in which the DID of key 1, registered at 1, says its message keys at 3, behind those at 4, and at 5 behind those at
/// `behind`.
fn set(behind: Option<usize>, references: &[usize]) -> BadEntry {
    let mut tree = Tree::new(7);
    let first = keys_behind(None, 1);
    let second = keys_behind(Some(first.hash()), 2);
    let third = keys_behind(behind.map(|_| first.hash()), 3);
    tree.leaves[1] = events()[0].to_leaf(time(2_000));
    tree.leaves[2] = entry(2, did(2)).to_leaf(time(3_000));
    tree.leaves[3] = first.to_leaf(time(4_000));
    tree.leaves[4] = second.to_leaf(time(5_000));
    tree.leaves[5] = third.to_leaf(time(6_000));
    BadEntry {
        checkpoint: tree.whole(),
        leaf: tree.leaf(5),
        rule: Rule::MessageKeysOrder,
        earlier: None,
        identity: vec![tree.leaf(1)],
        references: references.iter().map(|at| tree.leaf(*at)).collect(),
    }
}

fn known(leaf: usize, earlier: usize) -> BadEntry {
    let mut tree = Tree::new(7);
    tree.leaves[1] = events()[0].to_leaf(time(2_000));
    let (checkpoint, leaf, earlier) = (tree.whole(), tree.leaf(leaf), Some(tree.leaf(earlier)));
    BadEntry { checkpoint, leaf, rule: Rule::Known, earlier, identity: Vec::new(), references: Vec::new() }
}

fn inception_of_two() -> PendingEvent {
    let raw = |seed| *key(seed).public_key().as_bytes();
    let event = IdentityEvent::Inception {
        key: raw(2),
        next: Commitment::to(&raw(22)),
        recovery: Commitment::to(&raw(23)),
        capabilities: Capabilities::PIPELINE,
        public_name: None,
    };
    let event = Event::about_itself(did(2), ORIGIN, event).expect("an event");
    PendingEvent::sign(event, &[&key(2)]).expect("it fits")
}

/// What an event says about the leaves before it is judged by those leaves, all of which must be shown.
#[test]
fn what_an_event_says_about_earlier_leaves_is_confirmed_by_them() {
    use Rule::{FailureNotOpen, FailureOpen, Reference};
    let first = [(3, failure(1))];
    let closed = [(3, failure(1)), (4, withdrawal(3))];
    let not_shown = |index| format!("does not show leaf {index}");
    let good = || "the leaf breaks no rule".to_owned();
    for (name, bad, want) in [
        ("a report while one is open", saying(failure(2), &first, FailureOpen, &[3]), None),
        ("after a withdrawal", saying(failure(2), &closed, FailureOpen, &[3, 4]), Some(good())),
        ("after nothing", saying(failure(2), &[], FailureOpen, &[]), Some(good())),
        ("after another leaf", saying(failure(2), &first, FailureOpen, &[2]), Some(good())),
        ("a withdrawal of no report", saying(withdrawal(2), &first, FailureNotOpen, &[2]), None),
        ("of what comes later", saying(withdrawal(6), &first, FailureNotOpen, &[]), None),
        ("twice", saying(withdrawal(3), &closed, FailureNotOpen, &[3, 4]), None),
        ("the second, unshown", saying(withdrawal(3), &closed, FailureNotOpen, &[3]), Some(good())),
        ("once", saying(withdrawal(3), &first, FailureNotOpen, &[3]), Some(good())),
        ("unshown", saying(withdrawal(3), &first, FailureNotOpen, &[]), Some(not_shown(3))),
        ("of another report", saying(withdrawal(4), &closed, FailureNotOpen, &[3]), Some(not_shown(4))),
        ("the other's artifact", saying(confirmation(b"a", 0, 0), &[], Reference, &[0]), None),
        ("own build of the other", saying(confirmation(b"a", 2, 2), &[], Reference, &[2]), None),
        ("another artifact", saying(confirmation(b"b", 2, 0), &[], Reference, &[0, 2]), None),
        ("an event", saying(confirmation(b"a", 1, 0), &[], Reference, &[1]), None),
        ("what comes later", saying(confirmation(b"a", 6, 0), &[], Reference, &[]), None),
        ("what is so", saying(confirmation(b"a", 2, 0), &[], Reference, &[0, 2]), Some(good())),
        ("half of it", saying(confirmation(b"a", 2, 0), &[], Reference, &[2]), Some(not_shown(0))),
        (
            "out of order",
            saying(confirmation(b"b", 2, 0), &[], Reference, &[2, 0]),
            Some("`references`".into()),
        ),
        ("itself", saying(confirmation(b"b", 2, 0), &[], Reference, &[2, 5]), Some("`references`".into())),
        ("for another rule", saying(failure(2), &[], Rule::EventState, &[2]), Some("`references`".into())),
        ("keys behind none", set(None, &[3]), None),
        ("behind what they replace", set(Some(3), &[3]), Some(good())),
        ("behind another than the last", set(Some(3), &[3, 4]), None),
        ("behind one that is not shown", set(Some(3), &[]), None),
        ("the first", set(None, &[]), Some(good())),
        ("behind no message keys", set(None, &[2]), Some(good())),
        ("the same again", known(5, 2), None),
        ("another one", known(1, 0), Some(good())),
        ("a later one", known(2, 5), Some("`earlier`".into())),
    ] {
        match (finding(Proof::BadEntry(bad)).confirm(Some(&policy())), want) {
            (Ok(_), None) => {}
            (Err(error), Some(want)) if error.to_string().contains(&want) => {}
            (got, want) => panic!("{name}: {got:?}, not {want:?}"),
        }
    }
    // What the subject answers for is told by its own events; a rule of state has the signer's alone.
    let with_subject = |rule, event| {
        let mut tree = Tree::new(7);
        tree.leaves[1] = events()[0].to_leaf(time(2_000));
        tree.leaves[3] = says(failure(1)).to_leaf(time(4_000));
        tree.leaves[4] = inception_of_two().to_leaf(time(5_000));
        tree.leaves[5] = says(event).to_leaf(time(6_000));
        let (checkpoint, leaf) = (tree.whole(), tree.leaf(5));
        let identity = vec![tree.leaf(1), tree.leaf(4)];
        BadEntry { checkpoint, leaf, rule, earlier: None, identity, references: vec![tree.leaf(3)] }
    };
    finding(Proof::BadEntry(with_subject(FailureOpen, failure(2)))).confirm(None).expect("two reports");
    let mut of_state = with_subject(Rule::EventState, failure(2));
    of_state.references.clear();
    assert_eq!(finding(Proof::BadEntry(of_state)).confirm(None), Err(ConfirmError::NotIdentity));
    // An issuer that may not say it breaks another rule.
    let mut unregistered = saying(failure(2), &first, FailureOpen, &[3]);
    unregistered.identity.clear();
    let error = finding(Proof::BadEntry(unregistered)).confirm(Some(&policy()));
    assert_eq!(error, Err(ConfirmError::OtherRule { want: FailureOpen, got: Rule::EventState }));
}

/// Registered, and rotated later; artifacts of the same DID between.
fn with_identity() -> Tree {
    let mut tree = Tree::new(7);
    let [inception, rotation] = events();
    tree.leaves[1] = inception.to_leaf(time(2_000));
    tree.leaves[3] = rotation.to_leaf(time(4_000));
    tree
}

fn identity_list() -> (ListKey, Vec<Listed>) {
    let tree = with_identity();
    let listed = |at: usize| {
        let entry = Entry::parse(&tree.leaves[at]).expect("an entry");
        lists_of(&entry, LeafIndex::new(at as u64))[0]
    };
    (listed(1).0, vec![listed(1).1, listed(3).1])
}

/// What the log asserts of a list in its first `size` entries, and the leaf at `at`.
fn assertion(by: &SignerKey, size: usize, list: ListKey, entries: Vec<Listed>, at: usize) -> FalseAssertion {
    let tree = with_identity();
    let checkpoint = Checkpoint::parse(tree.note(size, None).text()).expect("a checkpoint");
    let said = [(list, entries.clone()), (ListKey::Out(did(1)), Vec::new())];
    let assertion = assert_lists(by, &checkpoint, &said.into_iter().collect());
    let index = LeafIndex::new(at as u64);
    let proof = if at < size {
        let Ok(proof) = inclusion::prove(&tree, index, TreeSize::new(size as u64));
        proof
    } else {
        tree.leaf(at).proof
    };
    let leaf = ProvenLeaf { index, bytes: tree.leaves[at].clone(), proof };
    FalseAssertion { assertion, list, entries, leaf }
}

/// The log leaves out the rotation.
fn omission() -> FalseAssertion {
    let (list, entries) = identity_list();
    assertion(&log(), 7, list, entries[..1].to_vec(), 3)
}

/// The log calls an artifact a deactivation.
fn invention() -> FalseAssertion {
    let (list, mut entries) = identity_list();
    entries.push(Listed { index: LeafIndex::new(5), kind: ListedKind::Deactivation, ..entries[1] });
    assertion(&log(), 7, list, entries, 5)
}

fn stale(stale_after: u64, ahead: bool) -> Proof {
    let tree = Tree::new(7);
    let ahead = ahead.then(|| tree.whole());
    Proof::Stale(Stale { checkpoint: tree.note(5, Some(COSIGNED_AT)), stale_after, ahead })
}

fn forgotten(larger: usize, smaller: Option<usize>) -> Proof {
    let tree = Tree::new(7);
    let note = |size| tree.note(size, Some(COSIGNED_AT));
    let witness = policy().witnesses()[0].vkey.clone();
    Proof::Forgotten(Forgotten { witness, larger: note(larger), smaller: smaller.map(note) })
}

fn every_proof() -> [(&'static str, Proof); 19] {
    let reference = saying(confirmation(b"a", 1, 0), &[], Rule::Reference, &[1]);
    let twice = [(3, failure(1)), (4, withdrawal(3))];
    [
        ("a claim again", Proof::BadEntry(known(5, 2))),
        ("a reference to an event", Proof::BadEntry(reference)),
        ("two reports", Proof::BadEntry(saying(failure(2), &twice[..1], Rule::FailureOpen, &[3]))),
        ("two withdrawals", Proof::BadEntry(saying(withdrawal(3), &twice, Rule::FailureNotOpen, &[3, 4]))),
        ("keys out of order", Proof::BadEntry(set(None, &[3]))),
        ("an entry left out", Proof::FalseAssertion(omission())),
        ("an entry made up", Proof::FalseAssertion(invention())),
        ("a retired key", Proof::BadEntry(of_state(5, Rule::RetiredKey).1)),
        ("an event out of order", Proof::BadEntry(of_state(6, Rule::EventState).1)),
        ("fork", fork()),
        ("shrink", shrink(COSIGNED_AT, COSIGNED_AT)),
        ("bad bundle", bad_bundle()),
        ("bad edge", edge(true)),
        ("bad entry", bad_entry()),
        ("bad order", bad_order()),
        ("stale", stale(600_000, false)),
        ("behind", stale(600_000, true)),
        ("less", forgotten(7, Some(5))),
        ("nothing", forgotten(7, None)),
    ]
}

/// A witness whose clock is ahead, or who lies, keeps no log fresh.
#[test]
fn a_cosignature_of_the_future_is_not_the_newest() {
    let after = |found_at| Finding { found_at: time(found_at), ..finding(stale(1_000, false)) };
    let cosigned_at = COSIGNED_AT * 1_000;
    after(cosigned_at - MAX_CLOCK_DIFFERENCE - 1)
        .confirm(Some(&policy()))
        .expect("as if nobody had cosigned it");
    after(cosigned_at - MAX_CLOCK_DIFFERENCE).confirm(Some(&policy())).expect_err("clocks may differ");
}

#[test]
fn every_class_is_written_read_and_confirmed() {
    let mut names = Vec::new();
    for (name, proof) in every_proof() {
        let finding = finding(proof);
        let json = finding.to_json();
        assert_eq!(Finding::parse(json.as_bytes()), Ok(finding.clone()), "{name}");
        assert_eq!(Finding::parse(finding.to_json_line().as_bytes()), Ok(finding.clone()), "{name}");
        let confirmed = finding.confirm(Some(&policy())).expect(name);
        assert_eq!(confirmed.keys(), Keys::Policy);
        assert!(!confirmed.proven().is_empty(), "{name}");
        // A fork and a bad leaf need nobody's word; what was served when, and what else a signer logged, is the
        // finder's.
        let alone = match finding.proof() {
            Proof::Fork(_) => true,
            Proof::BadEntry(bad) => bad.identity.is_empty() && !bad.rule.is_of_state(),
            Proof::FalseAssertion(said) => said.entries.len() == 3,
            _ => false,
        };
        assert_eq!(confirmed.finders_word().is_empty(), alone, "{name}");
        let by_itself = finding.confirm(None).expect(name);
        assert_eq!(by_itself.keys(), Keys::Finding);
        assert_eq!(by_itself.finders_word().len(), confirmed.finders_word().len() + 1, "{name}");
        let later = Finding { found_at: time(FOUND_AT + 1), detail: String::new(), ..finding.clone() };
        assert_eq!(later.file_name(), finding.file_name(), "{name}: the same finding");
        names.push(finding.file_name());
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), every_proof().len(), "each is another finding");
}

/// What an honest log gives is no proof, whoever calls it so.
#[test]
fn an_honest_log_is_not_convicted() {
    let tree = Tree::new(7);
    let good_tile = tree.served(Tile::new(0, 0, 7).expect("a tile"), Resource::Entries, tree.bundle());
    let good_leaf = |rule| BadEntry {
        checkpoint: tree.whole(),
        leaf: tree.leaf(3),
        rule,
        earlier: None,
        identity: Vec::new(),
        references: Vec::new(),
    };
    let in_order = BadEntry { earlier: Some(tree.leaf(2)), ..good_leaf(Rule::LoggedAtOrder) };
    let not_before = BadEntry { earlier: Some(tree.leaf(4)), ..good_leaf(Rule::LoggedAtOrder) };
    let one_tree = Fork {
        older: tree.note(5, None),
        newer: tree.note(7, None),
        prefix_root: root_of(&tree.hashes()[..5]),
        proof: tlog::merkle::consistency::prove(&tree, TreeSize::new(5), TreeSize::new(7)).expect("a proof"),
    };
    let grown = Shrink {
        larger: tree.note(5, None),
        larger_seen_at: time(1),
        smaller: tree.note(7, None),
        smaller_seen_at: time(2),
    };
    let ahead = Stale { checkpoint: tree.note(7, None), stale_after: 1, ahead: Some(tree.note(7, None)) };
    let witness = policy().witnesses()[0].vkey.clone();
    let uncosigned = Forgotten { witness, larger: tree.note(7, None), smaller: None };
    let name = KeyName::new("nobody").expect("a name");
    let nobody = SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[77; 32]);
    let cosigned = |size| {
        let mut note = tree.note(size, None);
        let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
        note.add(cosign(&nobody, &checkpoint, UnixTime::from_secs(COSIGNED_AT)).expect("a line"));
        note
    };
    let of_nobody =
        Forgotten { witness: nobody.verifier().clone(), larger: cosigned(7), smaller: Some(cosigned(5)) };
    for (name, proof, want) in [
        ("one tree", Proof::Fork(one_tree), "the newer checkpoint extends the older"),
        ("growth", Proof::Shrink(grown), "size 7 is not smaller than size 5"),
        ("the tree's own bundle", good_tile, "the served bytes are those of the signed tree"),
        ("the tree's own edge", edge(false), "the served bytes are those of the signed tree"),
        ("a good leaf", Proof::BadEntry(good_leaf(Rule::ClaimSignature)), "the leaf breaks no rule"),
        ("order without an earlier leaf", Proof::BadEntry(good_leaf(Rule::LoggedAtOrder)), "`earlier` is"),
        ("leaves in order", Proof::BadEntry(in_order), "the leaf breaks no rule"),
        ("a later leaf", Proof::BadEntry(not_before), "`earlier` is a leaf before"),
        ("fresh", stale(600_001, false), "it was not stale when it was found"),
        ("not ahead", Proof::Stale(ahead), "size 7 is not smaller than size 7"),
        ("a witness that has grown", forgotten(5, Some(7)), "size 7 is not smaller than size 5"),
        ("not cosigned", Proof::Forgotten(uncosigned), "is not signed by a key of"),
        ("a witness of nobody", Proof::Forgotten(of_nobody), "the policy names no witness"),
    ] {
        let error = finding(proof).confirm(Some(&policy())).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

#[test]
fn the_rule_must_be_the_one_that_is_broken() {
    let mut tree = Tree::new(7);
    let leaf = String::from_utf8(entry(1, did(1)).to_leaf(time(4_000))).expect("text");
    tree.leaves[3] = leaf.replace("example.com/t", "example.com/u").into_bytes();
    let bad = |rule| {
        let (checkpoint, leaf) = (tree.whole(), tree.leaf(3));
        finding(Proof::BadEntry(BadEntry {
            checkpoint,
            leaf,
            rule,
            earlier: None,
            identity: Vec::new(),
            references: Vec::new(),
        }))
    };
    assert!(bad(Rule::ClaimSignature).confirm(None).is_ok());
    for want in [Rule::SignerKey, Rule::RetiredKey, Rule::Origin] {
        let other = ConfirmError::OtherRule { want, got: Rule::ClaimSignature };
        assert_eq!(bad(want).confirm(None), Err(other));
    }
}

/// What the identity events that are given do not say is not confirmed.
#[test]
fn a_rule_of_state_is_confirmed_by_the_events_alone() {
    let confirm = |bad: BadEntry| finding(Proof::BadEntry(bad)).confirm(None);
    let (tree, retired) = of_state(5, Rule::RetiredKey);
    assert!(confirm(retired.clone()).is_ok());
    let with = |identity: Vec<ProvenLeaf>| BadEntry { identity, ..retired.clone() };
    // Before the rotation the key was the right one: that it was not then is what the second event shows.
    assert_eq!(confirm(with(vec![tree.leaf(1)])), Err(ConfirmError::GoodEntry));
    assert_eq!(confirm(with(Vec::new())), Err(ConfirmError::GoodEntry));
    let (_, before) = of_state(2, Rule::RetiredKey);
    for (name, bad) in [
        ("a rotation alone", with(vec![tree.leaf(3)])),
        ("in another order", with(vec![tree.leaf(3), tree.leaf(1)])),
        ("an event twice", with(vec![tree.leaf(1), tree.leaf(1)])),
        ("an event after the leaf", before),
        ("no event at all", with(vec![tree.leaf(0)])),
        ("another event than follows", with(vec![tree.leaf(1), tree.leaf(3), tree.leaf(4)])),
        ("events for another rule", BadEntry { rule: Rule::Origin, ..retired.clone() }),
    ] {
        assert_eq!(confirm(bad), Err(ConfirmError::NotIdentity), "{name}");
    }
    let mut forged = tree.leaf(3);
    forged.bytes = events()[0].to_leaf(time(4_000));
    assert!(matches!(confirm(with(vec![tree.leaf(1), forged])), Err(ConfirmError::Proof(_))));
    assert_eq!(
        confirm(BadEntry { rule: Rule::SignerKey, ..retired }),
        Err(ConfirmError::OtherRule { want: Rule::SignerKey, got: Rule::RetiredKey })
    );
}

#[test]
fn an_order_is_proven_only_by_cosignatures_of_known_witnesses() {
    for (larger, smaller, policy, proven) in [
        (COSIGNED_AT, COSIGNED_AT + 1, Some(policy()), 2),
        (COSIGNED_AT, COSIGNED_AT, Some(policy()), 1),
        (COSIGNED_AT + 1, COSIGNED_AT, Some(policy()), 1),
        (COSIGNED_AT, COSIGNED_AT + 1, None, 1),
    ] {
        let confirmed = finding(shrink(larger, smaller)).confirm(policy.as_ref()).expect("a shrink");
        assert_eq!(confirmed.proven().len(), proven, "{larger} {smaller}");
    }
}

#[test]
fn who_confirms_says_whose_keys_count() {
    let stranger = SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[5; 32]);
    let other_key: Policy = format!("log {}\nquorum none\n", stranger.verifier()).parse().expect("a policy");
    let name = KeyName::new("log.example.com/other").expect("a name");
    let other = SignerKey::from_seed(name, KeyType::Ed25519, &[1; 32]);
    let other_log: Policy = format!("log {}\nquorum none\n", other.verifier()).parse().expect("a policy");
    for (name, proof) in every_proof() {
        let mut finding = finding(proof);
        let error = finding.confirm(Some(&other_key)).expect_err(name).to_string();
        assert!(error.contains("is not signed by a key of"), "{name}: {error}");
        assert_eq!(finding.confirm(Some(&other_log)), Err(ConfirmError::UnknownLog(ORIGIN.into())), "{name}");
        // Keys that somebody wrote into a finding convince only who does not ask.
        finding.vkeys = vec![stranger.verifier().clone()];
        assert!(finding.confirm(None).is_err(), "{name}");
        assert!(finding.confirm(Some(&policy())).is_ok(), "{name}");
    }
}

/// Each text of each proof with each of its characters altered: refused, or it says what it said.
#[test]
fn altered_proofs_are_refused() {
    for (name, proof) in every_proof() {
        let finding = finding(proof);
        let good: Value = serde_json::from_str(&finding.to_json()).expect("JSON");
        let mut altered = 0;
        for path in texts(&good["evidence"], String::new()) {
            let text = good["evidence"].pointer(&path).and_then(Value::as_str).expect("a text").to_owned();
            // Served bytes are the finder's word: other wrong bytes are as wrong.
            if path.ends_with("/served") {
                continue;
            }
            for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)).step_by(7) {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                let Ok(bad_text) = String::from_utf8(bytes) else { continue };
                let mut bad = good.clone();
                *bad["evidence"].pointer_mut(&path).expect("there") = bad_text.into();
                let parsed = Finding::parse(bad.to_string().as_bytes());
                let confirmed = parsed.ok().and_then(|finding| finding.confirm(Some(&policy())).ok());
                // A witness's line that went bad counts for nothing, and takes nothing away.
                let same = confirmed.is_none_or(|confirmed| {
                    let whole = finding.confirm(Some(&policy())).expect("confirmed");
                    whole.proven().starts_with(&confirmed.proven()[..1])
                });
                assert!(same, "{name}: {path} at {at}");
                altered += 1;
            }
        }
        assert!(altered > 20, "{name}: {altered}");
    }
}

/// The paths of the strings in a value.
fn texts(value: &Value, path: String) -> Vec<String> {
    match value {
        Value::String(_) => vec![path],
        Value::Array(values) => {
            values.iter().enumerate().flat_map(|(i, value)| texts(value, format!("{path}/{i}"))).collect()
        }
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| texts(value, format!("{path}/{name}"))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn other_shapes_are_refused_by_rule() {
    let good = finding(fork()).to_json_line();
    let vkey = log().verifier().to_string();
    let many = vec![format!("{vkey:?}"); 17].join(",");
    for (name, from, to, want) in [
        ("media type", "finding.v1", "finding.v2", "`mediaType` is"),
        ("class", r#""class":"fork""#, r#""class":"split""#, "`class` is \"split\""),
        (
            "another class",
            r#""class":"fork""#,
            r#""class":"stale""#,
            "member `evidence.checkpoint` is missing",
        ),
        ("origin", r#""origin":"log"#, r#""origin":"l og"#, "`origin` is 1 to 255 bytes"),
        ("unknown member", r#""class""#, r#""a":1,"class""#, "unknown member `a`"),
        ("unknown member inside", r#""newer""#, r#""a":1,"newer""#, "unknown member `evidence.a`"),
        ("duplicate", r#""class""#, r#""class":"fork","class""#, "stands twice"),
        ("no key", &format!("[{vkey:?}]"), "[]", "1 to 16 vkeys, not 0"),
        ("too many keys", &format!("[{vkey:?}]"), &format!("[{many}]"), "1 to 16 vkeys, not 17"),
        ("one key twice", &format!("[{vkey:?}]"), &format!("[{vkey:?},{vkey:?}]"), "stands there twice"),
        ("no vkey", &vkey, "x", "`vkeys`: "),
        ("vkeys of another type", &format!("[{vkey:?}]"), "[1]", "`vkeys` is not an array of strings"),
        ("time", &FOUND_AT.to_string(), "9007199254740992", "`foundAt` is not milliseconds"),
        ("negative time", &FOUND_AT.to_string(), "-1", "`foundAt` is not an integer from 0"),
        ("fraction", &FOUND_AT.to_string(), "1.5", "`foundAt` is not an integer from 0"),
        ("detail", "what was seen", r"what\nwas seen", "`detail` is one line"),
        ("long detail", "what was seen", &"x".repeat(1_001), "`detail` is one line"),
        ("note", r#""newer":""#, r#""newer":"\u0007"#, "`newer`: a note is UTF-8"),
        ("hash", r#""prefixRoot":""#, r#""prefixRoot":"A"#, "`prefixRoot` is not 32 bytes"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{name}");
        let error = Finding::parse(bad.as_bytes()).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
    let long = vec![b' '; MAX_FINDING_BYTES + 1];
    assert_eq!(Finding::parse(&long), Err(FindingError::TooLong(long.len())));
}

#[test]
fn other_paths_and_rules_are_refused() {
    for (proof, from, to, want) in [
        (bad_bundle(), "tile/entries/000.p/7", "tile/entries/000.p/0", "is not the path"),
        (edge(true), "tile/0/000.p/7", "tile/entries/000.p/7", "is not the path"),
        (bad_entry(), "signer-key", "signer", "which is no rule"),
    ] {
        let good = finding(proof).to_json();
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let error = Finding::parse(bad.as_bytes()).expect_err(to).to_string();
        assert!(error.contains(want), "{error}");
    }
    // A tile beyond the tree, and an edge with a tile too many.
    let beyond = finding(bad_bundle()).to_json().replacen("tile/entries/000.p/7", "tile/63/000", 1);
    let beyond = Finding::parse(beyond.as_bytes()).expect("a finding").confirm(None);
    assert_eq!(beyond, Err(ConfirmError::NoTile(TreeSize::new(7))));
    let Proof::BadTile(BadTile { checkpoint, served: Served::Edge(tiles) }) = edge(true) else {
        unreachable!("written so")
    };
    let twice = Served::Edge([tiles.clone(), tiles].concat());
    let twice = finding(Proof::BadTile(BadTile { checkpoint, served: twice })).confirm(None);
    assert_eq!(twice, Err(ConfirmError::NoEdge(TreeSize::new(7))));
}

/// Served bytes that are no tile at all are not those of the tree either.
#[test]
fn bytes_that_are_no_tile_are_bad_ones() {
    let tree = Tree::new(7);
    let tile = Tile::new(0, 0, 7).expect("a tile");
    for bytes in [Vec::new(), vec![0; 31], tree.bundle()[1..].to_vec(), [tree.bundle(), vec![0, 0]].concat()]
    {
        let edge = Served::Edge(vec![(tile, bytes.clone())]);
        let edge = Proof::BadTile(BadTile { checkpoint: tree.whole(), served: edge });
        assert!(finding(edge).confirm(None).is_ok());
        for resource in [Resource::Hashes, Resource::Entries] {
            let proof = tree.served(tile, resource, bytes.clone());
            assert!(finding(proof).confirm(None).is_ok());
        }
    }
}

#[test]
fn details_are_cut_between_characters() {
    let long = format!("{}é\u{1b}", "x".repeat(MAX_DETAIL_BYTES - 1));
    let vkeys = vec![log().verifier().clone()];
    let cut = Finding::new(ORIGIN, vkeys.clone(), time(1), &long, fork());
    assert_eq!(cut.detail().len(), MAX_DETAIL_BYTES - 1);
    let plain = Finding::new(ORIGIN, vkeys, time(1), "a\nb", fork());
    assert_eq!(plain.detail(), "a b");
}

/// What is true, or not shown, convicts no log of an assertion, whoever calls it false.
#[test]
fn a_true_assertion_is_no_finding() {
    let (list, all) = identity_list();
    let first = || all[..1].to_vec();
    let confirm = |said: FalseAssertion| finding(Proof::FalseAssertion(said)).confirm(Some(&policy()));
    let (neighbour, receipts) = (ListKey::Id(did(2)), ListKey::Receipts(did(1)));
    let name = |name: &str| KeyName::new(name).expect("a name");
    let other_key = SignerKey::from_seed(name(ORIGIN), KeyType::Ed25519, &[3; 32]);
    let other_log = SignerKey::from_seed(name("other.example.com"), KeyType::Ed25519, &[1; 32]);
    let another = Checkpoint::new("other.example.com", TreeSize::new(7), Hash::of(b"x"));
    let elsewhere = assert_lists(&other_log, &another, &[(list, first())].into_iter().collect());
    let altered = omission().assertion.to_string().replacen("id:did:aip:", "neg:did:aip:", 1);
    let altered = Note::parse(altered.as_bytes()).expect("a note");
    let larger_proof = with_identity().leaf(1);
    let mut altered_leaf = omission();
    altered_leaf.leaf.bytes.push(b' ');
    for (name, said, want) in [
        ("the whole list", assertion(&log(), 7, list, all.clone(), 3), "is right about leaf 3"),
        ("the list of a smaller tree", assertion(&log(), 3, list, first(), 1), "is right about leaf 1"),
        ("an entry behind the tree", assertion(&log(), 3, list, first(), 3), "leaf index 3 is outside"),
        (
            "a proof of a larger tree",
            FalseAssertion { leaf: larger_proof, ..assertion(&log(), 3, list, Vec::new(), 1) },
            "the proof has 3 hashes",
        ),
        ("an entry of another list", assertion(&log(), 7, neighbour, Vec::new(), 3), "is right about leaf 3"),
        ("an artifact", assertion(&log(), 7, list, all.clone(), 2), "is right about leaf 2"),
        ("a choice of receipts", assertion(&log(), 7, receipts, Vec::new(), 2), "is right about leaf 2"),
        (
            "other entries than were asserted",
            FalseAssertion { entries: Vec::new(), ..omission() },
            "the assertion does not say that the list id:did:aip:",
        ),
        (
            "another list than was asserted",
            FalseAssertion { list: neighbour, ..omission() },
            "the assertion does not say that the list id:did:aip:",
        ),
        (
            "a checkpoint",
            FalseAssertion { assertion: with_identity().whole(), ..omission() },
            "the assertion does not say that the list id:did:aip:",
        ),
        ("another key", assertion(&other_key, 7, list, first(), 3), "is not signed by a key of"),
        (
            "an altered assertion",
            FalseAssertion { assertion: altered, list: ListKey::Neg(did(1)), ..omission() },
            "the signature line of",
        ),
        ("another log", FalseAssertion { assertion: elsewhere, ..omission() }, "is of another log"),
        ("another leaf", altered_leaf, "the proof leads to root"),
    ] {
        let error = confirm(said).expect_err(name).to_string();
        assert!(error.contains(want), "{name}: {error}");
    }
}

/// The keys here are what they are said to be.
#[test]
fn the_fixture_is_good() {
    for leaf in &Tree::new(3).leaves {
        assert!(crate::leaf::check(ORIGIN, leaf, Ed25519PublicKey::from_bytes).is_ok());
    }
}
