//! What a log answers (`attestation::api`), read: bytes out of base64, texts that a terminal survives. What matters is
//! verified later.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use attestation::Did;
use attestation::api::{self, DidDocument, EntryPage, IndexedLeaf, Lists, python};
use attestation::did::from_did_key;
use attestation::entry::LogTime;
use attestation::lists::{ListKey, Listed};
use serde::Deserialize;
use tlog::encoding;
use tlog::key::Ed25519PublicKey;

use crate::report::printable;

/// What became of one submission.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// In the published tree.
    Logged(Box<LoggedAnswer>),
    /// Durable, and certain to be published. Ask for the claim.
    Committed {
        /// Why it is not published yet, if the log says so.
        problem: Option<Problem>,
        /// When to ask, if the log says so.
        retry_after: Option<Duration>,
    },
    /// Breaks a rule; sending it again will not help.
    Refused(Problem),
    /// Not taken now.
    Unavailable {
        /// Why.
        problem: Problem,
        /// When to send it again, if the log says so.
        retry_after: Option<Duration>,
    },
}

/// What makes a receipt of a pending one. Not believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LoggedAnswer {
    /// The leaf, with its time.
    pub leaf: Vec<u8>,
    /// A tlog-proof text.
    pub proof: String,
    /// A second note for stock cosign.
    pub sigstore_note: Option<String>,
    /// The DID's identity events, with proofs on the same checkpoint.
    pub identity: Vec<ProvedLeaf>,
}

/// A leaf and its proof. Not believed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProvedLeaf {
    /// The leaf, with its time.
    pub leaf: Vec<u8>,
    /// A tlog-proof text.
    pub proof: String,
}

/// One page of entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EntryList {
    /// The entries.
    pub entries: Vec<ListedEntry>,
    /// The path of the next page.
    pub next: Option<String>,
}

/// An entry of a list. Not believed, but its signatures can be checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ListedEntry {
    /// Its place.
    pub index: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
}

/// A log's refusal (RFC 9457 problem details): its own words, safe for a terminal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// The fixed identifier of the rule, the last part of `type`; empty if there is none.
    pub rule: String,
    /// The HTTP status.
    pub status: u16,
    /// The rule in words.
    pub title: String,
    /// Which value breaks it.
    pub detail: Option<String>,
    /// What to do, as the log's word: anybody who serves a log can write one.
    pub hint: Option<String>,
    /// The log's time, where the request was not of it.
    pub now: Option<LogTime>,
}

impl Problem {
    /// Reads the body of a refusal; what is no problem details is shown as far as it can be.
    pub(crate) fn read(body: &[u8], status: u16) -> Self {
        serde_json::from_slice::<api::Problem>(body).map_or_else(
            |_| Self {
                rule: String::new(),
                status,
                title: excerpt(&String::from_utf8_lossy(body)),
                detail: None,
                hint: None,
                now: None,
            },
            |said| Self::of(said, status),
        )
    }

    /// What was said; `status` where it says none.
    fn of(said: api::Problem, status: u16) -> Self {
        let text = |text: &String| Some(excerpt(text)).filter(|text| !text.is_empty());
        Self {
            rule: excerpt(said.rule()),
            status: said.status.unwrap_or(status),
            title: excerpt(&said.title),
            detail: said.detail.as_ref().and_then(text),
            hint: said.hint.as_ref().and_then(text).map(|hint| format!("the log says: {hint}")),
            now: said.now,
        }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_for_now(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500 | 502..=504)
    }

    /// Whether the log takes the entry, but not its envelope: that is too large for it.
    pub(crate) fn is_about_envelope(&self) -> bool {
        self.rule == "envelope-size"
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.rule.is_empty() {
            write!(f, " {}", self.rule)?;
        }
        if !self.title.is_empty() {
            write!(f, ": {}", self.title)?;
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

/// The results of an array of submissions.
pub(super) fn results(body: &[u8], retry_after: Option<Duration>) -> Result<Vec<Answer>, String> {
    let results: Vec<api::Answer> = parse(body)?;
    results.into_iter().map(|result| read(result, retry_after)).collect()
}

/// One result.
pub(super) fn result(body: &[u8], retry_after: Option<Duration>) -> Result<Answer, String> {
    read(parse(body)?, retry_after)
}

fn read(result: api::Answer, retry_after: Option<Duration>) -> Result<Answer, String> {
    Ok(match result {
        api::Answer::Logged { leaf, proof, sigstore_note, identity, .. } => {
            let (leaf, identity) = (base64("leaf", &leaf)?, proved(identity)?);
            Answer::Logged(Box::new(LoggedAnswer { leaf, proof, sigstore_note, identity }))
        }
        api::Answer::Committed { reason, .. } => {
            Answer::Committed { problem: reason.map(|reason| Problem::of(reason, 503)), retry_after }
        }
        api::Answer::Refused { error } => Answer::Refused(Problem::of(error, 400)),
        api::Answer::Unavailable { error } => {
            Answer::Unavailable { problem: Problem::of(error, 503), retry_after }
        }
    })
}

fn proved(events: Vec<api::ProvedLeaf>) -> Result<Vec<ProvedLeaf>, String> {
    let event = |event: api::ProvedLeaf| {
        Ok(ProvedLeaf { leaf: base64("identity", &event.leaf)?, proof: event.proof })
    };
    events.into_iter().map(event).collect()
}

pub(super) fn entries(body: &[u8]) -> Result<EntryList, String> {
    let page: EntryPage = parse(body)?;
    let entry =
        |entry: IndexedLeaf| Ok(ListedEntry { index: entry.index, leaf: base64("leaf", &entry.leaf)? });
    Ok(EntryList {
        entries: page.entries.into_iter().map(entry).collect::<Result<_, String>>()?,
        next: page.next,
    })
}

/// The lists of these names; what else is there is passed over.
pub(super) fn lists(body: &[u8], keys: &[ListKey]) -> Result<BTreeMap<ListKey, Vec<Listed>>, String> {
    let mut all: Lists = parse(body)?;
    let listed = |line: String| {
        let bytes: Option<[u8; Listed::BYTES]> = base64("lists", &line)?.try_into().ok();
        bytes
            .and_then(|bytes| Listed::from_bytes(&bytes))
            .ok_or_else(|| "an entry of a list is none".to_owned())
    };
    let mut list = |key: &ListKey| {
        let lines =
            all.lists.remove(&key.to_string()).ok_or_else(|| format!("the list `{key}` is missing"))?;
        Ok((*key, lines.into_iter().map(listed).collect::<Result<_, String>>()?))
    };
    keys.iter().map(&mut list).collect()
}

/// The key of a DID document that hashes to the DID. Whoever serves the document, no other key does.
pub(super) fn genesis_key(body: &[u8], did: Did) -> Result<Option<Ed25519PublicKey>, String> {
    let document: DidDocument = parse(body)?;
    let mut keys = document.also_known_as.iter().filter_map(|name| from_did_key(name).ok());
    Ok(keys.find(|key| Did::of(key) == did))
}

/// The key in an answer of Python's interface, if it hashes to the DID. Whoever gives the answer, no other key does.
pub(super) fn python_key(body: &[u8], did: Did) -> Result<Option<Ed25519PublicKey>, String> {
    let found: python::Lookup = parse(body)?;
    let raw = encoding::decode_base64_array(&found.public_key);
    let key = raw.and_then(|raw| Ed25519PublicKey::from_bytes(&raw).ok());
    Ok(key.filter(|key| Did::of(key) == did))
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| printable(&error.to_string()).into_owned())
}

fn base64(member: &str, text: &str) -> Result<Vec<u8>, String> {
    encoding::decode_base64(text).ok_or_else(|| format!("`{member}` is not canonical base64"))
}

/// Foreign text, short and harmless.
fn excerpt(text: &str) -> String {
    let mut chars = text.trim().chars();
    let start: String = chars.by_ref().take(MAX_EXCERPT_CHARS).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{}{more}", printable(&start))
}

const MAX_EXCERPT_CHARS: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_by_their_status() {
        let body = br#"[{"status":"logged","index":7,"leaf":"e30=","proof":"p","sigstoreNote":"n","later":1},
            {"status":"committed","claim":"00","url":"/x"},
            {"status":"refused","error":{"type":"urn:aip:problem:claim-signature","title":"t","status":422,"hint":"h"}},
            {"status":"unavailable","error":{"title":"full"}},
            {"status":"committed","reason":{"type":"urn:aip:problem:below-quorum","title":"1 of 2","status":503}}]"#;
        let answers = results(body, Some(Duration::from_secs(2))).expect("results");
        let logged = LoggedAnswer {
            leaf: b"{}".to_vec(),
            proof: "p".into(),
            sigstore_note: Some("n".into()),
            identity: Vec::new(),
        };
        assert_eq!(answers[0], Answer::Logged(Box::new(logged)));
        let retry_after = Some(Duration::from_secs(2));
        assert_eq!(answers[1], Answer::Committed { problem: None, retry_after });
        let Answer::Refused(problem) = &answers[2] else { panic!("refused") };
        assert_eq!((problem.to_string().as_str(), problem.is_for_now()), ("422 claim-signature: t", false));
        let Answer::Unavailable { problem, .. } = &answers[3] else { panic!("unavailable") };
        assert_eq!((problem.status, problem.is_for_now()), (503, true));
        let Answer::Committed { problem: Some(problem), .. } = &answers[4] else { panic!("with a reason") };
        assert_eq!(problem.to_string(), "503 below-quorum: 1 of 2");
        for bad in ["{}", "[1]", r#"[{"status":"else"}]"#, r#"[{"status":"logged","leaf":"!","proof":""}]"#] {
            assert!(results(bad.as_bytes(), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_body_is_a_problem_that_a_terminal_survives() {
        let html = Problem::read(b"<html>\x1b[2J Bad Gateway", 502);
        assert_eq!(html.to_string(), "502: <html>\\u{1b}[2J Bad Gateway");
        let long = Problem::read("x".repeat(10_000).as_bytes(), 500);
        assert!(long.title.chars().count() == MAX_EXCERPT_CHARS + 1);
        let odd = Problem::read(br#"{"type":5,"title":"a\u001bb","status":"x"}"#, 422);
        assert_eq!(odd.to_string(), "422: a\\u{1b}b");
    }
}
