//! What pipelines sign: the entries of simulated logs and of the contract suite.

use std::cell::RefCell;
use std::collections::HashMap;

use attestation::did::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, ClaimHash, PendingEntry, PendingLeaf, Visibility};
use attestation::event::{
    Event, FailureReason, IdentityEvent, Level, Link, MAX_VOUCH_MILLIS, MessageKeys, PendingEvent, Scope,
    StatementId, TrustEvent,
};
use attestation::statement::{Statement, Subject};
use log_core::admit::Admitted;
use serde_json::{Map, Value, json};
use testkit::scene::{self, ALL, ORIGIN, START};
use tlog::encoding::base64;
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, LeafIndex};

/// A pipeline by its name, with the numbers of its keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pipeline {
    /// Names its keys.
    pub name: String,
    /// The one that it signs with; number 0 makes its DID.
    pub key: u32,
    /// The one that it committed to.
    pub next: u32,
}

impl Pipeline {
    /// One with its first key.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), key: 0, next: 1 }
    }

    /// Its DID.
    pub fn did(&self) -> Did {
        scene::did(&self.name)
    }

    /// An artifact entry; with its envelope if it is `published`.
    pub fn artifact(&self, content: &str, published: bool) -> Admitted {
        let key = key(&self.name, self.key);
        let digest = Hash::of(content.as_bytes());
        let subject = Subject::new("app", digest);
        let mut predicate = Map::new();
        predicate.insert("run".to_owned(), json!(content));
        let statement = Statement::new(vec![subject], "https://slsa.dev/provenance/v1", predicate);
        let statement = statement.expect("a statement of one subject");
        let envelope = Envelope::sign(&key, statement.to_payload());
        let public = key.public_key();
        let claim = Claim::new(&envelope, &statement, self.did(), &public, ORIGIN, Visibility::Public);
        let entry = PendingEntry::sign(claim.expect("a claim of this statement"), &key);
        let json = envelope.to_json().into_bytes();
        let envelope = published.then(|| (Hash::of(&json), json));
        Admitted::new(PendingLeaf::Dsse(Box::new(entry.expect("a claim that fits"))), envelope)
    }

    /// Its registration.
    pub fn inception(&self) -> Admitted {
        let event = IdentityEvent::Inception {
            key: scene::raw(&key(&self.name, 0)),
            next: scene::commitment(&key(&self.name, 1)),
            recovery: scene::commitment(&scene::recovery_key(&self.name, 0)),
            capabilities: ALL,
            public_name: None,
        };
        self.identity(event, &[&key(&self.name, 0)])
    }

    /// The change from its key to the next one, behind the event that `link` names. `then` is the number of the key that it
    /// commits to: two rotations with different ones are two events, of which a log takes one.
    pub fn rotation(&self, link: Link, then: u32) -> Admitted {
        let [current, next, then] = [self.key, self.next, then].map(|number| key(&self.name, number));
        let event = IdentityEvent::Rotation {
            link,
            key: scene::raw(&next),
            next: scene::commitment(&then),
            capabilities: ALL,
        };
        self.identity(event, &[&current, &next])
    }

    /// A vouch for another, or one that is taken back. `id` tells two of them apart.
    pub fn vouch(&self, to: Did, id: u64, revoked: bool) -> Admitted {
        let (id, issued_at) = (statement_id(id), scene::time(START));
        self.say(
            to,
            match revoked {
                true => TrustEvent::Revocation { id, issued_at, scope: Scope::CodeSigning },
                false => TrustEvent::Vouch {
                    id,
                    issued_at,
                    expires_at: scene::time(START + MAX_VOUCH_MILLIS),
                    scope: Scope::CodeSigning,
                    level: Level::Strong,
                    depth: None,
                },
            },
        )
    }

    /// A report that something of another's did not verify.
    pub fn failure(&self, of: Did, id: u64) -> Admitted {
        let (id, artifact) = (statement_id(id), Hash::of(b"broken"));
        self.say(of, TrustEvent::Failure { id, artifact, reason: FailureReason::Signature })
    }

    /// Takes a report back.
    pub fn withdrawal(&self, of: Did, failure: LeafIndex) -> Admitted {
        self.say(of, TrustEvent::Withdrawal { failure: scene::reference(failure) })
    }

    /// Says that messages are sealed to no key but its own, behind `previous`. `minute` tells two of them apart.
    pub fn message_keys(&self, previous: Option<ClaimHash>, minute: u64) -> Admitted {
        let issued_at = scene::time(START + minute * 60_000);
        let keys = MessageKeys { issued_at, keys: Vec::new(), previous };
        let event = Event::message_keys(self.did(), ORIGIN, keys).expect("an event of this form");
        admitted(event, &[&key(&self.name, self.key)])
    }

    fn identity(&self, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> Admitted {
        admitted(Event::about_itself(self.did(), ORIGIN, event).expect("an event of this form"), keys)
    }

    fn say(&self, about: Did, event: TrustEvent) -> Admitted {
        let event = Event::about(about, self.did(), ORIGIN, event).expect("an event of this form");
        admitted(event, &[&key(&self.name, self.key)])
    }
}

/// The same artifact entries each time, made once.
pub(crate) fn many(count: u32) -> Vec<Admitted> {
    thread_local! {
        static KNOWN: RefCell<Vec<Admitted>> = RefCell::default();
    }
    KNOWN.with_borrow_mut(|known| {
        let pipeline = Pipeline::new("sim before");
        while known.len() < count as usize {
            known.push(pipeline.artifact(&format!("before {}", known.len()), false));
        }
        known[..count as usize].to_vec()
    })
}

/// The place behind `last`, so many identity events of its DID.
pub fn link(sequence: u32, last: &Admitted) -> Link {
    Link { sequence, previous: last.claim }
}

/// The request that submits an entry.
pub fn submission(entry: &Admitted) -> Vec<u8> {
    let leaf = match &entry.entry {
        PendingLeaf::Dsse(entry) => entry.to_bytes(),
        PendingLeaf::Event(event) => event.to_bytes(),
    };
    let mut submission = json!({"leaf": base64(&leaf)});
    if let Some((_, envelope)) = &entry.envelope {
        let envelope: Value = serde_json::from_slice(envelope).expect("an envelope is JSON");
        submission["envelope"] = envelope;
    }
    submission.to_string().into_bytes()
}

fn admitted(event: Event, keys: &[&Ed25519PrivateKey]) -> Admitted {
    let event = PendingEvent::sign(event, keys).expect("an event that fits");
    Admitted::new(PendingLeaf::Event(Box::new(event)), None)
}

fn statement_id(number: u64) -> StatementId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    StatementId(id)
}

/// A key of a pipeline. The same in every world, and made once: a key is slow to make.
fn key(name: &str, number: u32) -> Ed25519PrivateKey {
    thread_local! {
        static KNOWN: RefCell<HashMap<(String, u32), Ed25519PrivateKey>> = RefCell::default();
    }
    let known = |known: &RefCell<HashMap<_, _>>| {
        let mut known = known.borrow_mut();
        known.entry((name.to_owned(), number)).or_insert_with(|| scene::key(name, number)).clone()
    };
    KNOWN.with(known)
}
