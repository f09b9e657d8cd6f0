//! Mail for the tests of the relay. What is sent looks sealed and is not: the relay cannot tell, and need not.

use attestation::did::Did;
use attestation::entry::{LogTime, Visibility};
use attestation::event::{Capabilities, Commitment, Event, IdentityEvent, Link, PendingEvent, Reference};
use attestation::message::{
    Accept, Action, EnvelopeId, FRAME_BYTES, List, MessageKey, Request, Route, Sealed, Settings,
    SignedRequest,
};
use reqwest::blocking::Client;
use serde_json::{Value, json};
use tlog::encoding::base64;
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, LeafIndex};

use crate::log::{Log, ORIGIN};
use crate::signer::Signer;

/// The wall clock.
pub fn now() -> LogTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    LogTime::from_millis(now.as_millis() as u64).expect("a time")
}

/// So many milliseconds before or behind now.
pub fn in_millis(millis: i64) -> LogTime {
    LogTime::from_millis(now().as_millis().saturating_add_signed(millis)).expect("a time")
}

/// A message for a DID's identity key, of the shortest length: what is not its header is noise.
pub fn sealed(recipient: &Signer, text: &str) -> Sealed {
    sealed_of(recipient, text, FRAME_BYTES[0])
}

/// As [`sealed`], with a plaintext of one of the eight lengths.
pub fn sealed_of(recipient: &Signer, text: &str, frame: usize) -> Sealed {
    let key = MessageKey::of_identity(&recipient.key.public_key());
    let id = Hash::of(text.as_bytes());
    let (did, key) = (recipient.did(), key.id());
    let header = [b"AIPM2", &[1][..], did.as_bytes(), key.as_bytes(), &id.as_bytes()[..16]].concat();
    let noise = (0u32..).flat_map(|at| *Hash::of_parts(&[id.as_bytes(), &at.to_be_bytes()]).as_bytes());
    // The encapsulated key, the ciphertext and its tag.
    let bytes = header.into_iter().chain(noise.take(32 + frame + 16)).collect();
    Sealed::from_bytes(bytes).expect("a length that there is")
}

/// The body of a request to send, made now.
pub fn send_body(sender: &Signer, sealed: &Sealed) -> String {
    let signed = SignedRequest::send(sealed, sender.did(), ORIGIN, now(), in_millis(3_600_000), &sender.key);
    signed.expect("a request").to_json()
}

/// The body of another request, made now.
pub fn body(owner: &Signer, action: Action) -> String {
    let request = Request { action, did: owner.did(), issued_at: now(), origin: ORIGIN.to_owned() };
    SignedRequest::sign(request, &owner.key).expect("a request").to_json()
}

/// Posts a body to a path of the relay: status and JSON.
pub fn post(http: &Client, url: &str, path: &str, body: String, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = http.post(format!("{url}{path}")).header("content-type", "application/json").body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().expect("an answer");
    (response.status().as_u16(), response.json().expect("JSON"))
}

/// The rule that a problem names.
pub fn rule(answer: &Value) -> &str {
    let rule = answer["type"].as_str().and_then(|rule| rule.strip_prefix("urn:aip:problem:"));
    rule.unwrap_or_else(|| panic!("no rule in {answer}"))
}

impl Log {
    /// Sends a message: status and JSON.
    pub fn send(&self, sender: &Signer, sealed: &Sealed) -> (u16, Value) {
        self.send_with(sender, sealed, &[])
    }

    /// As [`send`](Self::send), with further headers.
    pub fn send_with(&self, sender: &Signer, sealed: &Sealed, headers: &[(&str, &str)]) -> (u16, Value) {
        post(self.http(), &self.url(), Route::Messages.path(), send_body(sender, sealed), headers)
    }

    /// Asks for something of a mailbox: status and JSON.
    pub fn mailbox(&self, owner: &Signer, action: Action) -> (u16, Value) {
        post(self.http(), &self.url(), Route::Mailbox.path(), body(owner, action), &[])
    }

    /// The messages of a mailbox behind a number; waits so many seconds for the first.
    pub fn list(&self, owner: &Signer, after: u64, wait: u64) -> Vec<Value> {
        let (status, page) = self.mailbox(owner, Action::List(List { after, keys: None, limit: 100, wait }));
        assert_eq!(status, 200, "{page}");
        page["messages"].as_array().expect("messages").clone()
    }

    /// All envelope ids of a mailbox, in the order of their numbers.
    pub fn mail(&self, owner: &Signer) -> Vec<EnvelopeId> {
        let (mut ids, mut after) = (Vec::new(), 0);
        loop {
            let messages = self.list(owner, after, 0);
            let Some(last) = messages.last() else { return ids };
            after = last["number"].as_u64().expect("a number");
            let id = |message: &Value| message["id"].as_str().and_then(|id| id.parse::<EnvelopeId>().ok());
            ids.extend(messages.iter().map(|message| id(message).expect("an id")));
        }
    }

    /// Acknowledges messages: how many there were.
    pub fn acknowledge(&self, owner: &Signer, mut ids: Vec<EnvelopeId>) -> u64 {
        ids.sort_unstable();
        let (status, answer) = self.mailbox(owner, Action::Acknowledge(ids));
        assert_eq!(status, 200, "{answer}");
        answer["acknowledged"].as_u64().expect("a number")
    }

    /// Sets who may send.
    pub fn set_mailbox(&self, owner: &Signer, accept: Accept, blocked: Vec<Did>) -> (u16, Value) {
        self.mailbox(owner, Action::Settings(Settings { accept, blocked, listed: Vec::new() }))
    }

    /// Logs the inceptions of signers, each with a next and a recovery key of its own.
    pub fn register(&self, signers: &[&Signer]) {
        let inceptions = signers.iter().map(|signer| {
            let event = IdentityEvent::Inception {
                key: *signer.key.public_key().as_bytes(),
                next: Commitment::to(kept(signer, "next").public_key().as_bytes()),
                recovery: Commitment::to(kept(signer, "recovery").public_key().as_bytes()),
                capabilities: Capabilities::PIPELINE,
                public_name: None,
            };
            submission(&event_of(signer, event, &[&signer.key]))
        });
        let (status, answers) = self.submit(&inceptions.collect());
        assert_eq!(status, 200, "{answers}");
        assert!(
            answers.as_array().expect("results").iter().all(|one| one["status"] == "logged"),
            "{answers}"
        );
    }

    /// Logs an artifact of a signer, so that its DID is known without an event.
    pub fn make_known(&self, signer: &Signer) {
        let signed = signer.sign(ORIGIN, b"an artifact", Visibility::Public, 0);
        let (status, answer) = self.submit(&signed.by_hash());
        assert_eq!(status, 200, "{answer}");
    }

    /// Logs that a registered signer is compromised, and answers what its recovery comes behind.
    pub fn report_compromise(&self, signer: &Signer) -> Link {
        let event = IdentityEvent::Compromise { link: self.link(signer), since: self.end() };
        let event = event_of(signer, event, &[&kept(signer, "next")]);
        let (status, answer) = self.submit(&submission(&event));
        assert_eq!(status, 200, "{answer}");
        Link { sequence: 2, previous: event.hash() }
    }

    /// Logs the recovery of a signer; its key from then on.
    pub fn recover(&self, signer: &Signer, link: Link) -> Ed25519PrivateKey {
        let (key, recovery) = (kept(signer, "new"), kept(signer, "recovery"));
        let commitment = |name| Commitment::to(kept(signer, name).public_key().as_bytes());
        let event = IdentityEvent::Recovery {
            link,
            key: *key.public_key().as_bytes(),
            next: commitment("newer"),
            recovery: commitment("new recovery"),
            capabilities: Capabilities::PIPELINE,
            since: self.end(),
        };
        let event = event_of(signer, event, &[&recovery, &key]);
        let (status, answer) = self.submit(&submission(&event));
        assert_eq!(status, 200, "{answer}");
        key
    }

    /// What the next event of a signer names, if it is registered and nothing else.
    fn link(&self, signer: &Signer) -> Link {
        let (status, answer) = self.json(&format!("/api/v1/dids/{}", signer.did()));
        assert_eq!(status, 200, "{answer}");
        let metadata = &answer["didDocumentMetadata"];
        let previous = metadata["previous"].as_str().and_then(Hash::from_hex).expect("a hash");
        let sequence = metadata["sequence"].as_u64().expect("a number") as u32;
        Link { sequence, previous: attestation::entry::ClaimHash::new(previous) }
    }

    fn end(&self) -> Reference {
        let size = crate::oracle::checkpoint(self).size.get();
        Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(size) }
    }
}

/// A key that a signer keeps beside its current one.
fn kept(signer: &Signer, name: &str) -> Ed25519PrivateKey {
    let seed = Hash::of(format!("{name} of {}", signer.did()).as_bytes());
    Ed25519PrivateKey::from_seed(seed.as_bytes())
}

fn event_of(signer: &Signer, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> PendingEvent {
    let event = Event::about_itself(signer.did(), ORIGIN, event).expect("an event");
    PendingEvent::sign(event, keys).expect("it fits")
}

fn submission(event: &PendingEvent) -> Value {
    json!({"leaf": base64(&event.to_bytes())})
}
