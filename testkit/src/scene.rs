//! A log in memory whose pipelines do what a test says: what they log is signed, and a ledger takes it.

use std::cell::RefCell;
use std::collections::HashMap;

use attestation::did::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, ClaimHash, DsseEntry, Entry, LogTime, PendingEntry, Visibility};
use attestation::event::{
    Capabilities, Commitment, Event, EventEntry, FailureReason, IdentityEvent, Level, Link, MAX_VOUCH_MILLIS,
    PendingEvent, Reference, Scope, StatementId, TrustEvent,
};
use attestation::rules::{Prefix, RuleError};
use attestation::statement::{Statement, Subject};
use serde_json::{Map, Value, json};
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, LeafIndex};
use trust::{MemoryLedger, Params, Path, Verdict, judge, search};

/// The log of every scene.
pub const ORIGIN: &str = "log.example.com/pipelines";

/// A Monday, 2026-11-23, 12:00 UTC.
pub const START: u64 = 1_795_435_200_000;

/// Milliseconds of a day.
pub const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Whether an entry counts, and where it stands.
pub type Outcome = Result<LeafIndex, RuleError>;

/// A log in memory, and those who write to it.
pub struct Scene {
    /// The log's clock, milliseconds.
    pub now: u64,
    /// The index of the next entry. A test may go forward: what is between is not understood.
    pub next: u64,
    entries: Vec<(LeafIndex, Entry)>,
    payloads: HashMap<LeafIndex, Vec<u8>>,
    ledger: MemoryLedger,
    people: HashMap<String, Person>,
    ids: u64,
}

/// Which of its keys a pipeline has reached.
#[derive(Clone, Copy, Default)]
struct Person {
    key: u32,
    recovery: u32,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            now: START,
            next: 0,
            entries: Vec::new(),
            payloads: HashMap::new(),
            ledger: MemoryLedger::new(ORIGIN),
            people: HashMap::new(),
            ids: 0,
        }
    }
}

/// The key of this number in the life of a pipeline; number 0 makes its DID.
pub fn key(name: &str, number: u32) -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(Hash::of(format!("{name} {number}").as_bytes()).as_bytes())
}

/// The DID of a pipeline.
pub fn did(name: &str) -> Did {
    thread_local! {
        // A key is slow to make, and names come many times.
        static KNOWN: RefCell<HashMap<String, Did>> = RefCell::default();
    }
    let known = KNOWN.with_borrow(|known| known.get(name).copied());
    known.unwrap_or_else(|| {
        let did = Did::of(&key(name, 0).public_key());
        KNOWN.with_borrow_mut(|known| known.insert(name.to_owned(), did));
        did
    })
}

/// The recovery key of this number in the life of a pipeline.
pub fn recovery_key(name: &str, number: u32) -> Ed25519PrivateKey {
    key(&format!("{name} recovery"), number)
}

/// The bytes of a public key.
pub fn raw(key: &Ed25519PrivateKey) -> [u8; 32] {
    *key.public_key().as_bytes()
}

/// The commitment to a key.
pub fn commitment(key: &Ed25519PrivateKey) -> Commitment {
    Commitment::to(&raw(key))
}

/// Every capability.
pub const ALL: Capabilities = Capabilities { messages: true, receipts: true, vouches: true };

/// The time this many milliseconds after 1970.
pub fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

/// An entry of the log.
pub fn reference(index: LeafIndex) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index }
}

impl Scene {
    /// A scene with these pipelines, registered with every capability.
    pub fn with(names: &[&str]) -> Self {
        let mut scene = Self::default();
        for name in names {
            scene.register(name, ALL).expect("a new pipeline");
        }
        scene
    }

    /// What the log holds.
    pub fn entries(&self) -> &[(LeafIndex, Entry)] {
        &self.entries
    }

    /// What its ledger says.
    pub fn ledger(&self) -> &MemoryLedger {
        &self.ledger
    }

    /// The ledger of the first entries, up to before `size`.
    pub fn ledger_at(&self, size: u64) -> MemoryLedger {
        let mut ledger = MemoryLedger::new(ORIGIN);
        for (index, entry) in self.entries.iter().filter(|(index, _)| index.get() < size) {
            // What did not count then does not count now.
            let _ = ledger.push(*index, entry);
        }
        ledger
    }

    /// Judges a pipeline now, by the paths that a search finds.
    pub fn judge(&self, params: &Params, name: &str) -> Verdict {
        judge_by(&self.ledger, params, did(name), time(self.now))
    }

    /// The score in ppm that pipelines get from `root` alone, by vouches for code signing.
    pub fn score(&self, root: &str, name: &str) -> u32 {
        self.judge(&from_root(root), name).score.get()
    }

    /// Logs an entry, whoever made it.
    pub fn log(&mut self, entry: Entry) -> Outcome {
        let index = LeafIndex::new(self.next);
        self.next += 1;
        let counts = self.ledger.push(index, &entry);
        self.entries.push((index, entry));
        counts.map(|()| index)
    }

    /// Logs the entry of this index once more.
    pub fn replay(&mut self, index: LeafIndex) -> Outcome {
        let (_, entry) = self.entries.iter().find(|(known, _)| *known == index).expect("an entry");
        let now = time(self.now);
        let entry = match entry {
            Entry::Dsse(entry) => Entry::Dsse(Box::new(DsseEntry::new(entry.pending().clone(), now))),
            Entry::Event(entry) => Entry::Event(Box::new(EventEntry::new(entry.pending().clone(), now))),
            Entry::NotUnderstood { .. } => entry.clone(),
        };
        self.log(entry)
    }

    /// Logs an event, signed by these keys.
    pub fn log_event(&mut self, event: Event, keys: &[&Ed25519PrivateKey]) -> Outcome {
        let event = PendingEvent::sign(event, keys).expect("an event that fits");
        self.log(Entry::Event(Box::new(EventEntry::new(event, time(self.now)))))
    }

    /// Logs an identity event of a pipeline, signed by these keys.
    pub fn log_identity(&mut self, name: &str, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> Outcome {
        let event = Event::about_itself(did(name), ORIGIN, event).expect("an event");
        self.log_event(event, keys)
    }

    fn person(&self, name: &str) -> Person {
        self.people.get(name).copied().unwrap_or_default()
    }

    /// What the next identity event of a pipeline carries; of one that is not registered, what none does.
    pub fn link(&self, name: &str) -> Link {
        let Ok(state) = Prefix::identity(&self.ledger, did(name));
        let none = Link { sequence: 0, previous: ClaimHash::new(Hash::of(name.as_bytes())) };
        state.map_or(none, |state| state.link())
    }

    /// The pipeline signs with its key of this number from now on, whatever the log says.
    pub fn sign_with(&mut self, name: &str, number: u32) {
        self.people.entry(name.to_owned()).or_default().key = number;
    }

    /// The current key of a pipeline, if it did all that it was told to.
    pub fn current_key(&self, name: &str) -> Ed25519PrivateKey {
        key(name, self.person(name).key)
    }

    /// Registers a pipeline.
    pub fn register(&mut self, name: &str, capabilities: Capabilities) -> Outcome {
        let event = IdentityEvent::Inception {
            key: raw(&key(name, 0)),
            next: commitment(&key(name, 1)),
            recovery: commitment(&recovery_key(name, 0)),
            capabilities,
            public_name: None,
        };
        self.log_identity(name, event, &[&key(name, 0)])
    }

    /// Changes a pipeline's key.
    pub fn rotate(&mut self, name: &str, capabilities: Capabilities) -> Outcome {
        let at = self.person(name).key;
        let [current, next, then] = [at, at + 1, at + 2].map(|number| key(name, number));
        let link = self.link(name);
        let event = IdentityEvent::Rotation { link, key: raw(&next), next: commitment(&then), capabilities };
        let outcome = self.log_identity(name, event, &[&current, &next]);
        if outcome.is_ok() {
            self.people.entry(name.to_owned()).or_default().key += 1;
        }
        outcome
    }

    /// Takes a pipeline back; what it logged from `since` on is void.
    pub fn recover(&mut self, name: &str, since: u64) -> Outcome {
        let Person { key: at, recovery } = self.person(name);
        let new = key(name, at + 2);
        let event = IdentityEvent::Recovery {
            link: self.link(name),
            key: raw(&new),
            next: commitment(&key(name, at + 3)),
            recovery: commitment(&recovery_key(name, recovery + 1)),
            capabilities: ALL,
            since: reference(LeafIndex::new(since)),
        };
        let outcome = self.log_identity(name, event, &[&recovery_key(name, recovery), &new]);
        if outcome.is_ok() {
            let person = self.people.entry(name.to_owned()).or_default();
            person.key += 2;
            person.recovery += 1;
        }
        outcome
    }

    /// Reports a pipeline's key as stolen, by its recovery key.
    pub fn compromise(&mut self, name: &str, since: u64) -> Outcome {
        let since = reference(LeafIndex::new(since));
        let event = IdentityEvent::Compromise { link: self.link(name), since };
        let recovery = recovery_key(name, self.person(name).recovery);
        self.log_identity(name, event, &[&recovery])
    }

    /// Ends a pipeline.
    pub fn deactivate(&mut self, name: &str) -> Outcome {
        let event = IdentityEvent::Deactivation { link: self.link(name) };
        let recovery = recovery_key(name, self.person(name).recovery);
        self.log_identity(name, event, &[&recovery])
    }

    /// What a pipeline says about another, signed by the key it has now.
    pub fn say(&mut self, from: &str, to: &str, event: TrustEvent) -> Outcome {
        let event = Event::about(did(to), did(from), ORIGIN, event).expect("an event");
        self.log_event(event, &[&self.current_key(from)])
    }

    /// An id that no statement had.
    pub fn id(&mut self) -> StatementId {
        self.ids += 1;
        StatementId(*Hash::of(&self.ids.to_be_bytes()).as_bytes().first_chunk().expect("32 bytes"))
    }

    /// A vouch for a year.
    pub fn vouch_with(
        &mut self,
        from: &str,
        to: &str,
        scope: Scope,
        level: Level,
        depth: Option<u8>,
    ) -> Outcome {
        let (id, issued_at, expires_at) = (self.id(), time(self.now), time(self.now + MAX_VOUCH_MILLIS));
        self.say(from, to, TrustEvent::Vouch { id, issued_at, scope, level, depth, expires_at })
    }

    /// A strong vouch for code signing, for a year, of any depth.
    pub fn vouch(&mut self, from: &str, to: &str) -> LeafIndex {
        self.vouch_with(from, to, Scope::CodeSigning, Level::Strong, None).expect("a vouch that counts")
    }

    /// Takes a vouch for code signing back.
    pub fn revoke(&mut self, from: &str, to: &str) -> Outcome {
        let (id, issued_at) = (self.id(), time(self.now));
        self.say(from, to, TrustEvent::Revocation { id, issued_at, scope: Scope::CodeSigning })
    }

    /// Warns of a pipeline, for code signing.
    pub fn distrust(&mut self, from: &str, to: &str) -> Outcome {
        let (id, issued_at) = (self.id(), time(self.now));
        self.say(from, to, TrustEvent::Distrust { id, issued_at, scope: Scope::CodeSigning })
    }

    /// Logs an artifact with this content, signed by the pipeline's current key.
    pub fn build(&mut self, name: &str, content: &str) -> Outcome {
        self.build_with(name, &self.current_key(name), content, Visibility::Public, Map::new())
    }

    /// Logs an artifact with this content and predicate, signed by `key`.
    pub fn build_with(
        &mut self,
        name: &str,
        key: &Ed25519PrivateKey,
        content: &str,
        visibility: Visibility,
        mut predicate: Map<String, Value>,
    ) -> Outcome {
        // No two runs are the same.
        self.ids += 1;
        predicate.insert("run".to_owned(), json!(self.ids));
        let subject = Subject::new("app", Hash::of(content.as_bytes()));
        let statement = Statement::new(vec![subject], "https://slsa.dev/provenance/v1", predicate);
        let statement = statement.expect("a statement");
        let payload = statement.to_payload();
        let envelope = Envelope::sign(key, payload.clone());
        let claim = Claim::new(&envelope, &statement, did(name), &key.public_key(), ORIGIN, visibility);
        let entry = PendingEntry::sign(claim.expect("a claim"), key).expect("an entry");
        self.payloads.insert(LeafIndex::new(self.next), payload);
        self.log(Entry::Dsse(Box::new(DsseEntry::new(entry, time(self.now)))))
    }

    /// Logs an artifact that the pipeline calls reproducible.
    pub fn build_reproducibly(&mut self, name: &str, content: &str) -> Outcome {
        self.build_with(name, &self.current_key(name), content, Visibility::Public, reproducible())
    }

    /// `from` builds what `to` built, and confirms it.
    pub fn confirm(&mut self, from: &str, to: &str, content: &str, receipt: LeafIndex) -> Outcome {
        let build = self.build(from, content)?;
        let artifact = Hash::of(content.as_bytes());
        let (receipt, build) = (reference(receipt), reference(build));
        self.say(from, to, TrustEvent::Confirmation { artifact, receipt, build })
    }

    /// Reports that something of a pipeline's did not verify.
    pub fn fail(&mut self, from: &str, to: &str) -> Outcome {
        let (id, artifact) = (self.id(), Hash::of(b"broken"));
        self.say(from, to, TrustEvent::Failure { id, artifact, reason: FailureReason::Signature })
    }

    /// Takes a failure report back.
    pub fn withdraw(&mut self, from: &str, to: &str, failure: LeafIndex) -> Outcome {
        self.say(from, to, TrustEvent::Withdrawal { failure: reference(failure) })
    }

    /// Shows that two entries of a pipeline contradict each other.
    pub fn equivocation(&mut self, from: &str, to: &str, receipts: [LeafIndex; 2]) -> Outcome {
        let statements = receipts.map(|index| self.payloads[&index].clone());
        self.say(from, to, TrustEvent::Equivocation { receipts: receipts.map(reference), statements })
    }
}

/// The predicate of a build that its signer calls reproducible; the same each time.
pub fn reproducible() -> Map<String, Value> {
    let predicate = json!({
        "buildDefinition": {
            "buildType": "https://example.com/build/v1",
            "externalParameters": {"ref": "refs/tags/v1"},
            "internalParameters": {"reproducible": true},
            "resolvedDependencies": [{"digest": {"gitCommit": "00"}}],
        },
        "runDetails": {"builder": {"id": "https://example.com/builder"}},
    });
    let Value::Object(predicate) = predicate else { unreachable!("written as an object") };
    predicate
}

/// Judges by the paths that a search finds.
pub fn judge_by(ledger: &MemoryLedger, params: &Params, target: Did, now: LogTime) -> Verdict {
    let found = search(ledger, params, target, now).expect("a ledger in memory answers");
    assert!(found.complete, "a small graph");
    judge(ledger, params, &found.paths, target, now).expect("a ledger in memory answers")
}

/// One root of full weight, for code signing; the rest by default.
pub fn from_root(root: &str) -> Params {
    let params = Params::new([(did(root), Params::FULL_ROOT)]).expect("one root");
    params.with_scope(trust::ScopeQuery::Only(Scope::CodeSigning))
}

/// A path for code signing along these pipelines, the root first.
pub fn path(names: &[&str]) -> Path {
    let hops = names[1..].iter().map(|name| (Scope::CodeSigning, did(name))).collect();
    Path { root: did(names[0]), hops }
}
