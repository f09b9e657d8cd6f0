//! Answers to submissions.
//!
//! What every published entry's answer repeats is made once a publication; the rest is written behind it into one buffer.
//! The threads that serve answer from memory. What is not there is read on threads that may wait for the store.

use std::net::IpAddr;
use std::sync::Arc;

use attestation::Did;
use attestation::api::{self, Answer};
use attestation::entry::ClaimHash;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tlog::proof::TlogProof;
use tlog::{Hash, LeafIndex, TreeSize, encoding};

use super::error::Problem;
use super::unread::no_room;
use super::{App, BUSY, below_quorum, in_turn, not_ready, reading};
use crate::pool::Committed;
use crate::view::{Published, View};

/// How one submission ended.
pub(super) enum Outcome {
    Refused(Problem),
    Unavailable(Problem),
    /// In the log, by this signer if it is one that we understand.
    Committed(ClaimHash, Option<Did>, Committed),
}

/// A publication as answers show it.
pub struct Shown {
    published: Arc<Published>,
    /// The note.
    note: Bytes,
    /// What a proof ends in, in a JSON string: the note.
    note_json: String,
    /// The second note, a JSON string.
    sigstore_json: String,
}

impl Shown {
    /// Prepares a publication.
    pub fn new(published: Arc<Published>) -> Arc<Self> {
        let note = published.note.to_string();
        let quoted = json_string(&note);
        Arc::new(Self {
            note_json: quoted[1..quoted.len() - 1].to_owned(),
            sigstore_json: json_string(&published.sigstore_note),
            note: Bytes::from(note),
            published,
        })
    }

    /// Whether it is this publication.
    pub(super) fn is(&self, published: &Arc<Published>) -> bool {
        Arc::ptr_eq(&self.published, published)
    }

    /// The note.
    pub(super) fn note(&self) -> Bytes {
        self.note.clone()
    }

    /// What is published.
    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Writes a proof as a JSON string; answers how long its text is.
    fn write_proof(&self, out: &mut String, index: LeafIndex, hashes: &[Hash]) -> usize {
        let start = out.len();
        let index = index.get().to_string();
        [r#"""#, TlogProof::HEADER, r"\nindex ", &index, r"\n"]
            .into_iter()
            .for_each(|part| out.push_str(part));
        for hash in hashes {
            encoding::push_base64(hash.as_bytes(), out);
            out.push_str(r"\n");
        }
        out.push_str(r"\n");
        let head = out.len() - start;
        out.push_str(&self.note_json);
        out.push('"');
        // A quotation mark too many, and a byte too many for the end of each line: the first two, the hashes, the blank one.
        head - 1 - (hashes.len() + 3) + self.note.len()
    }

    /// Writes the answer about an entry of this tree.
    fn write_logged(
        &self,
        out: &mut String,
        committed: &Committed,
        hashes: &[Hash],
        identity: Option<&Identity>,
    ) {
        out.push_str(r#"{"status":"logged","index":"#);
        out.push_str(&committed.index.get().to_string());
        out.push_str(r#","leaf":""#);
        encoding::push_base64(&committed.leaf, out);
        out.push_str(r#"","proof":"#);
        self.write_proof(out, committed.index, hashes);
        out.push_str(r#","sigstoreNote":"#);
        out.push_str(&self.sigstore_json);
        if let Some(identity) = identity {
            out.push_str(r#","identity":["#);
            out.push_str(&identity.json);
            out.push(']');
        }
        out.push('}');
    }
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

/// Where an answer's parts are taken from.
#[derive(Clone, Copy, Eq, PartialEq)]
enum From {
    Memory,
    Store,
}

/// Why there is no answer from memory.
enum NotGiven {
    NotInMemory,
    Problem(Problem),
}

impl<E: Into<Problem>> std::convert::From<E> for NotGiven {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

/// Answers a client. Long histories of signers take long to prove, so they are proved in the client's turn. Without a turn,
/// or without room for the proofs, each entry is answered `committed`, with the URL to ask: an entry that is in the log
/// must not look as if it were not.
pub(super) async fn answer(
    app: &Arc<App>,
    client: IpAddr,
    outcomes: Vec<Outcome>,
    is_array: bool,
) -> Result<Response, Problem> {
    // One that was not taken is a problem like any other.
    if let ([Outcome::Refused(problem) | Outcome::Unavailable(problem)], false) = (&*outcomes, is_array) {
        return Ok(problem.clone().into_response());
    }
    match give(app, client, &outcomes, is_array, From::Memory) {
        Ok(response) => return Ok(response),
        Err(NotGiven::Problem(problem)) => return Err(problem),
        Err(NotGiven::NotInMemory) => {}
    }
    let outcomes = Arc::new(outcomes);
    let theirs = outcomes.clone();
    let give = move |app: &App| match give(app, client, &theirs, is_array, From::Store) {
        Ok(response) => Ok(response),
        Err(NotGiven::Problem(problem)) => Err(problem),
        Err(NotGiven::NotInMemory) => Err(super::failed()),
    };
    let given = match is_long(app, &outcomes) {
        true => in_turn(app, &app.work, client, give).await,
        false => reading(app, give).await,
    };
    match given {
        Err(problem) if problem.rule() == BUSY => give_without_proofs(app, client, &outcomes, is_array),
        given => given,
    }
}

/// Whether the signers together have so many events, as far as memory tells, that proving them would hold up other clients.
fn is_long(app: &App, outcomes: &[Outcome]) -> bool {
    let mut events = 0;
    for outcome in outcomes {
        let Outcome::Committed(_, Some(did), _) = outcome else { continue };
        // The events of one signer are proved once, and written with each of its entries.
        match app.registry.known_state(*did) {
            Some(state) => events += state.map_or(0, |state| state.link().sequence),
            None => return true,
        }
        if events > MAX_EVENTS_WITHOUT_A_TURN {
            return true;
        }
    }
    false
}

fn give(
    app: &App,
    client: IpAddr,
    outcomes: &[Outcome],
    is_array: bool,
    from: From,
) -> Result<Response, NotGiven> {
    if from == From::Memory && is_long(app, outcomes) {
        return Err(NotGiven::NotInMemory);
    }
    let mut answers = Answers::new(app, from);
    for outcome in outcomes {
        answers.add(outcome)?;
    }
    match app.unread.hold(client, answers.respond(is_array)) {
        Ok(response) => Ok(response),
        Err(_) => Ok(give_without_proofs(app, client, outcomes, is_array)?),
    }
}

fn give_without_proofs(
    app: &App,
    client: IpAddr,
    outcomes: &[Outcome],
    is_array: bool,
) -> Result<Response, Problem> {
    let mut answers = Answers::new(app, From::Memory);
    for outcome in outcomes {
        answers.add_without_proof(outcome);
    }
    app.unread.hold(client, answers.respond(is_array)).map_err(no_room)
}

/// Answers to one request, as far as they are written.
struct Answers<'a> {
    app: &'a App,
    from: From,
    shown: Arc<Shown>,
    view: View,
    json: String,
    count: usize,
    unavailable: usize,
    committed: usize,
    /// The last `committed` answer.
    url: String,
    room: Room,
}

impl<'a> Answers<'a> {
    fn new(app: &'a App, from: From) -> Self {
        let shown = app.shown();
        let view = app.door.view(shown.published.clone());
        // One answer is about twice its leaf; most of many make it grow a few times.
        let json = String::with_capacity(4 << 10);
        Self {
            app,
            from,
            shown,
            view,
            json,
            count: 0,
            unavailable: 0,
            committed: 0,
            url: String::new(),
            room: Room::new(),
        }
    }

    /// Writes what is true of a submission at this moment. If its proof does not fit the answer any more, the answer says
    /// where to ask for it.
    fn add(&mut self, outcome: &Outcome) -> Result<(), NotGiven> {
        let is_written = match outcome {
            Outcome::Committed(_, did, committed) => self.add_logged(*did, committed)?,
            Outcome::Refused(_) | Outcome::Unavailable(_) => false,
        };
        if !is_written {
            self.add_without_proof(outcome);
        }
        Ok(())
    }

    /// Writes an entry with its proof, if it is published and there is room.
    fn add_logged(&mut self, did: Option<Did>, committed: &Committed) -> Result<bool, NotGiven> {
        if !self.shown.published.size().contains(committed.index) {
            return Ok(false);
        }
        let state = match (did, self.from) {
            (None, _) => None,
            // Most have no event, and the registry knows it without a look at the disk.
            (Some(did), From::Memory) => self.app.registry.known_state(did).ok_or(NotGiven::NotInMemory)?,
            (Some(did), From::Store) => self.app.registry.state(did)?,
        };
        let identity = match state {
            Some(state) => Some(self.identity(state.did(), state.link().sequence)?),
            None => None,
        };
        if identity.is_some_and(|at| !self.room.takes(at)) {
            return Ok(false);
        }
        let hashes = self.prove(committed.index)?;
        self.separate();
        let identity =
            identity.map(|at| &self.room.proofs[at].1).filter(|identity| !identity.json.is_empty());
        self.shown.write_logged(&mut self.json, committed, &hashes, identity);
        Ok(true)
    }

    fn add_without_proof(&mut self, outcome: &Outcome) {
        let answer = match outcome {
            Outcome::Refused(problem) => Answer::Refused { error: problem.clone().into() },
            Outcome::Unavailable(problem) => {
                self.unavailable += 1;
                Answer::Unavailable { error: problem.clone().into() }
            }
            Outcome::Committed(claim, _, committed) => {
                self.committed += 1;
                let is_published = self.shown.published.size().contains(committed.index);
                let answer = Answer::committed(*claim, waits_for(self.app, is_published));
                if let Answer::Committed { url, .. } = &answer {
                    self.url.clone_from(url);
                }
                answer
            }
        };
        self.separate();
        self.json.push_str(&serde_json::to_string(&answer).expect("strings and numbers are JSON"));
    }

    fn separate(&mut self) {
        if self.count > 0 {
            self.json.push(',');
        }
        self.count += 1;
    }

    fn prove(&self, index: LeafIndex) -> Result<Vec<Hash>, NotGiven> {
        let size = self.shown.published.size();
        match self.from {
            From::Memory => self.view.inclusion_in_memory(index, size).ok_or(NotGiven::NotInMemory),
            From::Store => Ok(self.view.inclusion(index, size)?),
        }
    }

    /// The place of a DID's events in `room`.
    fn identity(&mut self, did: Did, events: u32) -> Result<usize, NotGiven> {
        let key = (did, self.shown.published.size());
        if let Some(at) = self.room.proofs.iter().position(|(known, _)| *known == key) {
            return Ok(at);
        }
        let leaves = match (self.app.identities.get(did, events), self.from) {
            (Some(leaves), _) => leaves,
            (None, From::Memory) => return Err(NotGiven::NotInMemory),
            (None, From::Store) => self.app.identities.read(&self.view, did, events)?,
        };
        let mut identity = Identity { json: String::new(), bytes: 0 };
        for (index, leaf) in leaves.iter().filter(|(index, _)| key.1.contains(*index)) {
            let hashes = self.prove(*index)?;
            let separator = if identity.json.is_empty() { "" } else { "," };
            [separator, r#"{"leaf":""#, leaf, r#"","proof":"#]
                .into_iter()
                .for_each(|part| identity.json.push_str(part));
            identity.bytes += leaf.len() + self.shown.write_proof(&mut identity.json, *index, &hashes);
            identity.json.push('}');
        }
        Ok(self.room.keep(key, identity))
    }

    fn respond(self, is_array: bool) -> Response {
        let (count, committed) = (self.count, self.committed);
        if let (1, false) = (count, is_array) {
            if committed == 0 {
                return json(StatusCode::OK, self.json, &[(header::CACHE_CONTROL, "no-store")]);
            }
            let mut response = json(StatusCode::ACCEPTED, self.json, &[]);
            if let Ok(location) = HeaderValue::from_str(&self.url) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return response;
        }
        let array = ["[", &self.json, "]"].concat();
        match (self.unavailable == count, committed > 0) {
            (true, _) => json(StatusCode::SERVICE_UNAVAILABLE, array, &[(header::RETRY_AFTER, "1")]),
            (_, true) => json(StatusCode::ACCEPTED, array, &[]),
            _ => json(StatusCode::OK, array, &[]),
        }
    }
}

fn json(status: StatusCode, json: String, headers: &[(header::HeaderName, &'static str)]) -> Response {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let all = response.headers_mut();
    all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        all.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Why a committed entry is not published yet, if that takes longer than it should.
fn waits_for(app: &App, is_published: bool) -> Option<api::Problem> {
    let problem = if is_published { None } else { below_quorum(app).or_else(|| not_ready(app)) };
    problem.map(api::Problem::from)
}

/// The events of a DID, each proved to one published size.
struct Identity {
    /// The elements of a JSON array.
    json: String,
    /// How long the leaves, in base64, and the proofs are.
    bytes: usize,
}

/// How much identity one answer may carry: each result has all events of its signer, with proofs, and a thousand
/// results may be of a signer who rotated often.
struct Room {
    left: usize,
    proofs: Vec<((Did, TreeSize), Identity)>,
}

impl Room {
    fn new() -> Self {
        Self { left: MAX_IDENTITY_BYTES, proofs: Vec::new() }
    }

    fn keep(&mut self, key: (Did, TreeSize), identity: Identity) -> usize {
        // Signers of one request are few, or one; what is of many is not kept.
        if self.proofs.len() >= MAX_KEPT_IDENTITIES {
            self.proofs.clear();
        }
        self.proofs.push((key, identity));
        self.proofs.len() - 1
    }

    /// Whether these events fit; then they are spent. The first always do.
    fn takes(&mut self, identity: usize) -> bool {
        let bytes = self.proofs[identity].1.bytes;
        let fits = bytes <= self.left || self.left == MAX_IDENTITY_BYTES;
        if fits {
            self.left = self.left.saturating_sub(bytes);
        }
        fits
    }
}

/// Proving so many takes a few hundred microseconds, as other requests do.
const MAX_EVENTS_WITHOUT_A_TURN: u32 = 16;

/// With the entries themselves, which a request bounds, an answer stays below what clients read.
const MAX_IDENTITY_BYTES: usize = 8 << 20;

const MAX_KEPT_IDENTITIES: usize = 64;

#[cfg(test)]
mod tests {
    use attestation::api::ProvedLeaf;
    use tlog::checkpoint::Checkpoint;
    use tlog::note::Note;
    use tlog::tile::Edge;

    use super::*;

    /// Every byte of what is composed by hand is what the interface's types write.
    #[test]
    fn a_composed_answer_is_the_one_that_its_type_writes() {
        for count in [0, 1, 20] {
            let hashes: Vec<Hash> = (0..count).map(|number: u8| Hash::of(&[number])).collect();
            let mut edge = Edge::new();
            edge.append(Hash::of(b"leaf"), |_, _| {});
            let checkpoint = Checkpoint::new("example.com/log", TreeSize::new(1), edge.root());
            let note = Note::unsigned(checkpoint.to_string());
            let sigstore = "a \"note\" — with\nwhat JSON escapes \\ \u{1}\n";
            let published = Published::new(checkpoint, note.clone(), sigstore.into(), edge);
            let shown = Shown::new(Arc::new(published));
            let committed = Committed {
                index: LeafIndex::new(1 << 40),
                leaf: (*b"{\"leaf\":1}").into(),
                was_known: false,
            };
            let proof =
                |index| TlogProof { extra: None, index, hashes: hashes.clone(), checkpoint: note.clone() };
            let mut identity = Identity { json: String::new(), bytes: 0 };
            let mut proved = Vec::new();
            for number in 0..u64::from(count.min(2)) {
                let (index, leaf) = (LeafIndex::new(number), encoding::base64(&[number as u8; 40]));
                let separator = if number == 0 { "" } else { "," };
                identity.json.push_str(&format!("{separator}{{\"leaf\":\"{leaf}\",\"proof\":"));
                let length = shown.write_proof(&mut identity.json, index, &hashes);
                identity.json.push('}');
                assert_eq!(length, proof(index).to_string().len());
                proved.push(ProvedLeaf { leaf, proof: proof(index).to_string() });
            }
            let mut composed = String::new();
            shown.write_logged(&mut composed, &committed, &hashes, (count > 0).then_some(&identity));
            let answer = Answer::Logged {
                index: committed.index.get(),
                leaf: encoding::base64(&committed.leaf),
                proof: proof(committed.index).to_string(),
                sigstore_note: Some(sigstore.into()),
                identity: proved,
            };
            assert_eq!(composed, serde_json::to_string(&answer).expect("JSON"));
        }
    }
}
