//! The relay of the log in `log.rs`, which knows DIDs by their keys alone: none is registered there.

use std::time::{SystemTime, UNIX_EPOCH};

use attestation::Did;
use attestation::did::to_did_key;
use attestation::entry::LogTime;
use attestation::evidence::{Evidence, Lists, assert_lists};
use attestation::lists::ListKey;
use attestation::message::{
    Acknowledged, Action, Content, EnvelopeId, LegacyContent, Page, Route, Sealed, SignedRequest, Stored,
    Waiting,
};
use serde_json::{Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::encoding::base64;
use tlog::key::{Ed25519PublicKey, SignerKey};
use tlog::note::Note;

use crate::world::ORIGIN;

/// Mailboxes, and what the relay does with them.
#[derive(Default)]
pub(crate) struct Mail {
    /// What waits, by number.
    pub(crate) messages: Vec<Waiting>,
    /// The keys by which it knows DIDs.
    pub(crate) known: Vec<Ed25519PublicKey>,
    /// How far its clock is ahead, in milliseconds.
    pub(crate) ahead: i64,
    /// The actions that it was asked for.
    pub(crate) asked: Vec<&'static str>,
    /// Whether it shows the same messages again and again, and says that there are more.
    pub(crate) repeats: bool,
    /// The rule by which it refuses what is sent.
    pub(crate) refuses: Option<(u16, &'static str)>,
    /// The keys of DIDs that registered by the interface of Python `aip`; `None`: there is none.
    pub(crate) python: Option<Vec<Ed25519PublicKey>>,
    /// What came by that interface.
    pub(crate) python_mail: Vec<Value>,
    next: u64,
}

impl Mail {
    fn now(&self) -> LogTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let now = i64::try_from(since).expect("a time") + self.ahead;
        LogTime::from_millis(u64::try_from(now).expect("after 1970")).expect("a time")
    }

    /// The document of a DID that is known.
    pub(crate) fn document(&self, did: &str) -> (u16, Vec<u8>) {
        match self.known.iter().find(|key| Did::of(key).to_string() == did) {
            Some(key) => (200, json!({"id": did, "alsoKnownAs": [to_did_key(key)]}).to_string().into_bytes()),
            None => problem(404, "no-did", None),
        }
    }

    /// What Python `aip` gets for a DID.
    pub(crate) fn lookup(&self, did: &str) -> (u16, Vec<u8>) {
        let key = self.python.iter().flatten().find(|key| Did::of(key).to_string() == did);
        match key {
            Some(key) => {
                (200, json!({"did": did, "public_key": base64(key.as_bytes())}).to_string().into_bytes())
            }
            None => (404, json!({"detail": "DID not registered"}).to_string().into_bytes()),
        }
    }

    /// Takes mail of Python `aip`; the same signature once.
    pub(crate) fn python_message(&mut self, body: &[u8]) -> (u16, Vec<u8>) {
        let message: Value = serde_json::from_slice(body).expect("JSON");
        let (status, answer) = match &self.python {
            None => return problem(404, "no-such-resource", None),
            Some(_) if self.refuses.is_some() => {
                (400, json!({"detail": "Recipient ##[error] not registered"}))
            }
            Some(_) if self.python_mail.contains(&message) => {
                (409, json!({"detail": "Message replay detected"}))
            }
            Some(_) => (200, json!({"success": true, "message_id": "msg_0000000000000000"})),
        };
        self.python_mail.push(message);
        (status, answer.to_string().into_bytes())
    }

    /// Evidence that a DID is not registered.
    pub(crate) fn evidence(&self, body: &[u8], log: &SignerKey, tree: &Checkpoint, note: Note) -> Vec<u8> {
        let query: Value = serde_json::from_slice(body).expect("JSON");
        let did: Did = query["did"].as_str().expect("a DID").parse().expect("a DID");
        let mut lists = Lists::from([(ListKey::Id(did), Vec::new())]);
        if query["messages"] == true {
            lists.insert(ListKey::Messages(did), Vec::new());
        }
        let assertion = assert_lists(log, tree, &lists);
        Evidence { checkpoint: note, assertion, lists, elements: Vec::new() }.to_json().into_bytes()
    }

    /// As a relay does, without budgets.
    pub(crate) fn answer(&mut self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let route = if path == Route::Messages.path() { Route::Messages } else { Route::Mailbox };
        let signed = SignedRequest::parse(body, route, Ed25519PublicKey::from_bytes).expect("a request");
        let request = signed.request().clone();
        self.asked.push(request.action.name());
        let now = self.now();
        if let Err(error) = signed.check(ORIGIN, now) {
            return problem(401, error.rule(), Some(now));
        }
        signed.check_signer(None).expect("a genesis key");
        let answer = match request.action {
            Action::Send { .. } => {
                if let Some((status, rule)) = self.refuses {
                    return problem(status, rule, None);
                }
                match signed.check_sealed(now) {
                    Ok((sealed, expires)) => {
                        serde_json::to_value(self.keep(&sealed, request.did, now, expires))
                    }
                    Err(error) => return problem(422, error.rule(), None),
                }
            }
            Action::List(list) => {
                let after = if self.repeats { 0 } else { list.after };
                let is_for = |waiting: &&Waiting| {
                    let is_legacy = matches!(waiting.content, Content::Legacy(_));
                    (is_legacy || recipient(waiting) == Some(request.did)) && waiting.number > after
                };
                let limit = usize::try_from(list.limit).expect("a number");
                let mut messages: Vec<Waiting> = self.messages.iter().filter(is_for).cloned().collect();
                let more = self.repeats || messages.len() > limit;
                messages.truncate(limit);
                serde_json::to_value(Page { messages, more, now })
            }
            Action::Acknowledge(ids) => {
                let before = self.messages.len();
                self.messages.retain(|waiting| !ids.contains(&waiting.id));
                serde_json::to_value(Acknowledged { acknowledged: (before - self.messages.len()) as u64 })
            }
            Action::Settings(_) => Ok(json!({})),
        };
        (200, answer.expect("JSON").to_string().into_bytes())
    }

    fn keep(&mut self, sealed: &Sealed, sender: Did, now: LogTime, expires: LogTime) -> Stored {
        let known = self.messages.iter().any(|waiting| waiting.id == sealed.id());
        if !known {
            self.put(sealed.to_base64(), sealed, sender, now, expires);
        }
        Stored { id: sealed.id(), received_at: now, expires, stored: !known }
    }

    /// Puts mail of Python `aip` into everybody's mailbox.
    pub(crate) fn put_legacy(
        &mut self,
        mail: LegacyContent,
        id: EnvelopeId,
        sender: Did,
        received_at: LogTime,
    ) {
        self.next += 1;
        let (content, number) = (Content::Legacy(mail), self.next);
        self.messages.push(Waiting { content, expires: received_at, id, number, received_at, sender });
    }

    /// Puts something into the mailbox that a sealed message is for.
    pub(crate) fn put(&mut self, text: String, like: &Sealed, sender: Did, now: LogTime, expires: LogTime) {
        self.next += 1;
        let (content, id, number) = (Content::Sealed(text), like.id(), self.next);
        self.messages.push(Waiting { content, expires, id, number, received_at: now, sender });
    }
}

/// For whom it is; of what is no sealed message, whoever asks.
fn recipient(waiting: &Waiting) -> Option<Did> {
    let Content::Sealed(text) = &waiting.content else { return None };
    let bytes = tlog::encoding::decode_base64(text)?;
    bytes.get(6..22)?.try_into().ok().map(Did::from_bytes)
}

fn problem(status: u16, rule: &str, now: Option<LogTime>) -> (u16, Vec<u8>) {
    let mut problem =
        json!({"type": format!("urn:aip:problem:{rule}"), "title": "no ##[error]::good", "status": status});
    if let Some(now) = now {
        problem["now"] = now.as_millis().into();
    }
    (status, problem.to_string().into_bytes())
}
