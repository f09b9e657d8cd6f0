//! What a judgement is made from, in one file (`specs/evidence.md`).
//!
//! ```text
//! {"mediaType":"application/vnd.aip.evidence.v1+json","checkpoint":"<note>","assertion":"<note>",
//!  "lists":{"id:did:aip:…":["<base64 of 32 bytes>",…],…},
//!  "entries":[{"index":3,"leaf":"<base64>","hashes":["<base64>",…]},…]}
//! ```
//! In scope: the form, the log's assertion, and proofs that every element is what the file says. Out of scope: the
//! judgement (`trust`), and how old a checkpoint may be.

use std::collections::BTreeMap;

use serde::Serialize;
use tlog::checkpoint::Checkpoint;
use tlog::encoding;
use tlog::key::{Ed25519PublicKey, KeyError, SignerKey, VerifierKey};
use tlog::merkle::{ProofError, inclusion, leaf_hash};
use tlog::note::{Note, NoteError};
use tlog::policy::{Policy, PolicyError};
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use crate::did::Did;
use crate::entry::{Entry, LogTime};
use crate::event::{EventEntry, PendingEvent, RawKey, Scope};
use crate::identity::{Identity, StateError};
use crate::json::{JsonError, MAX_DEPTH, Object};
use crate::leaf::{self, BrokenRule};
use crate::lists::{ListKey, Listed, list_root, lists_of};
use crate::quote::quoted;

mod recipient;
/// The media type in the first member.
pub const MEDIA_TYPE: &str = "application/vnd.aip.evidence.v1+json";

/// The longest file.
pub const MAX_BYTES: usize = 4 << 20;

/// The lists of evidence, by name.
pub type Lists = BTreeMap<ListKey, Vec<Listed>>;

/// Evidence that keeps the rules of its form. Nothing in it has been verified: [`Evidence::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    /// The checkpoint, with its cosignatures.
    pub checkpoint: Note,
    /// What the log says of the lists.
    pub assertion: Note,
    /// The lists.
    pub lists: Lists,
    /// The entries, by index ascending.
    pub elements: Vec<Element>,
}

/// An entry and its proof.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Element {
    /// Where it stands.
    pub index: LeafIndex,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// The inclusion proof.
    pub hashes: Vec<Hash>,
}

/// Evidence that holds: every element is what the checkpoint's tree has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proven {
    checkpoint: Checkpoint,
    log: VerifierKey,
    attested: Option<UnixTime>,
    lists: Lists,
    /// What is said about each subject, in log order, by whatever list has it.
    said: BTreeMap<Said, Vec<Listed>>,
    entries: BTreeMap<LeafIndex, Entry>,
}

/// An issuer, a subject and a scope.
pub type Said = (Did, Did, Scope);

/// What each issuer said about each subject in each scope.
fn all_said(lists: &Lists) -> BTreeMap<Said, Vec<Listed>> {
    let mut said: BTreeMap<Said, Vec<Listed>> = BTreeMap::new();
    for (key, list) in lists {
        let from = match key {
            ListKey::Out(from) | ListKey::Edge(from, _, _) => *from,
            _ => continue,
        };
        for listed in list {
            let Some(scope) = listed.scope else { continue };
            said.entry((from, listed.peer, scope)).or_default().push(*listed);
        }
    }
    for lines in said.values_mut() {
        lines.sort_unstable();
        lines.dedup();
    }
    said
}

/// What a log says of lists, as it is signed.
pub fn assertion_text(checkpoint: &Checkpoint, lists: &Lists) -> String {
    let head = format!(
        "{ASSERTION}\n{}\n{}\n{}\n",
        checkpoint.origin,
        checkpoint.size,
        encoding::base64(checkpoint.root.as_bytes())
    );
    let mut lines: Vec<String> = lists.iter().map(|(key, entries)| assertion_line(key, entries)).collect();
    lines.sort_unstable();
    head + &lines.concat()
}

fn assertion_line(key: &ListKey, entries: &[Listed]) -> String {
    let root = encoding::base64(list_root(entries).as_bytes());
    format!("{key} {} {root}\n", entries.len())
}

/// The tree that an assertion is about, if `text` is an assertion that the list `key` has exactly these entries.
pub fn asserted_tree(text: &str, key: &ListKey, entries: &[Listed]) -> Option<Checkpoint> {
    // Behind its first line an assertion has the form of a checkpoint, with the lists as extension lines.
    let text = text.strip_prefix(ASSERTION)?.strip_prefix('\n')?;
    let mut tree = Checkpoint::parse(text).ok()?;
    let line = assertion_line(key, entries);
    let lists = std::mem::take(&mut tree.extensions);
    lists.iter().any(|said| Some(said.as_str()) == line.strip_suffix('\n')).then_some(tree)
}

/// The log's note about these lists.
pub fn assert_lists(key: &SignerKey, checkpoint: &Checkpoint, lists: &Lists) -> Note {
    let mut note = Note::unsigned(assertion_text(checkpoint, lists));
    note.sign(key);
    note
}

const ASSERTION: &str = "aip.dev/assertion/v1";

impl Evidence {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_BYTES {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        let mut file = Object::parse(bytes, MAX_DEPTH)?;
        let media_type = file.string("mediaType")?;
        if media_type != MEDIA_TYPE {
            return Err(EvidenceError::MediaType(quoted(&media_type)));
        }
        let note = |member, text: String| {
            Note::parse(text.as_bytes()).map_err(|error| EvidenceError::Note { member, error })
        };
        let checkpoint = note("checkpoint", file.string("checkpoint")?)?;
        let assertion = note("assertion", file.string("assertion")?)?;
        let lists = read_lists(file.object("lists")?)?;
        let elements = file.objects("entries")?.into_iter().map(read_element);
        let elements: Vec<Element> = elements.collect::<Result<_, _>>()?;
        file.finish()?;
        if !elements.is_sorted_by(|a, b| a.index < b.index) {
            return Err(EvidenceError::EntryOrder);
        }
        Ok(Self { checkpoint, assertion, lists, elements })
    }

    /// The file: indented by two spaces, newline at the end.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire {
            media_type: &'static str,
            checkpoint: String,
            assertion: String,
            lists: BTreeMap<String, Vec<String>>,
            entries: Vec<WireElement>,
        }
        #[derive(Serialize)]
        struct WireElement {
            index: u64,
            leaf: String,
            hashes: Vec<String>,
        }
        let list = |(key, entries): (&ListKey, &Vec<Listed>)| {
            (key.to_string(), entries.iter().map(|entry| encoding::base64(&entry.to_bytes())).collect())
        };
        let element = |element: &Element| WireElement {
            index: element.index.get(),
            leaf: encoding::base64(&element.leaf),
            hashes: element.hashes.iter().map(|hash| encoding::base64(hash.as_bytes())).collect(),
        };
        let wire = Wire {
            media_type: MEDIA_TYPE,
            checkpoint: self.checkpoint.to_string(),
            assertion: self.assertion.to_string(),
            lists: self.lists.iter().map(list).collect(),
            entries: self.elements.iter().map(element).collect(),
        };
        let mut json = serde_json::to_string_pretty(&wire).expect("maps have text keys, so this is JSON");
        json.push('\n');
        json
    }

    /// Verifies every element, in the order of the specification.
    pub fn verify(&self, policy: &Policy) -> Result<Proven, EvidenceError> {
        let (checkpoint, log) = policy.log_checkpoint(&self.checkpoint).map_err(EvidenceError::Checkpoint)?;
        let cosigned = policy.quorum(&self.checkpoint).map_err(EvidenceError::Quorum)?;
        self.check_assertion(&checkpoint, &log.vkey)?;
        let mut keys: BTreeMap<RawKey, Result<Ed25519PublicKey, KeyError>> = BTreeMap::new();
        let mut admit = |raw: &RawKey| *keys.entry(*raw).or_insert_with(|| Ed25519PublicKey::from_bytes(raw));
        let (mut entries, mut first) = (BTreeMap::new(), BTreeMap::new());
        for Element { index, leaf, hashes } in &self.elements {
            inclusion::verify(&leaf_hash(leaf), *index, checkpoint.size, hashes, &checkpoint.root)
                .map_err(|error| EvidenceError::Inclusion { index: *index, error })?;
            let leaf = leaf::check(&checkpoint.origin, leaf, &mut admit)
                .map_err(|error| EvidenceError::Leaf { index: *index, error })?;
            let known = match leaf.entry() {
                Entry::Dsse(entry) => first.insert(entry.claim().hash(), *index),
                Entry::Event(event) => first.insert(event.pending().hash(), *index),
                Entry::NotUnderstood { .. } => None,
            };
            if let Some(first) = known {
                return Err(EvidenceError::Again { index: *index, first });
            }
            entries.insert(*index, leaf.entry().clone());
        }
        let (attested, said) = (policy.quorum_time(&cosigned), all_said(&self.lists));
        let proven =
            Proven { checkpoint, log: log.vkey.clone(), attested, lists: self.lists.clone(), said, entries };
        proven.check_lists()?;
        Ok(proven)
    }

    fn check_assertion(&self, checkpoint: &Checkpoint, log: &VerifierKey) -> Result<(), EvidenceError> {
        let keys = [log.clone()];
        match self.assertion.verify(&keys) {
            Ok(signed) if !signed.is_empty() => (),
            _ => return Err(EvidenceError::AssertionSignature),
        }
        let want = assertion_text(checkpoint, &self.lists);
        if self.assertion.text() == want {
            return Ok(());
        }
        // Find the list: the first line in which the two texts differ.
        let (mut said, mut have) = (self.assertion.text().lines(), want.lines());
        let differs = loop {
            match (said.next(), have.next()) {
                (Some(said), Some(have)) if said == have => (),
                (Some(said), Some(have)) => break said.min(have).to_owned(),
                (Some(line), None) | (None, Some(line)) => break line.to_owned(),
                (None, None) => break String::new(),
            }
        };
        let name = differs.split(' ').next().unwrap_or_default();
        match name.parse::<ListKey>() {
            Ok(list) => Err(EvidenceError::AssertedList(list)),
            Err(_) => Err(EvidenceError::AssertedTree),
        }
    }
}

fn read_lists(lists: Object) -> Result<Lists, EvidenceError> {
    let mut read = Lists::new();
    let bad = |name: &str| EvidenceError::List(quoted(name));
    for (name, value) in lists.rest() {
        let key: ListKey = name.parse().map_err(|_| bad(&name))?;
        let serde_json::Value::Array(values) = value else { return Err(bad(&name)) };
        let entry = |value: serde_json::Value| {
            let bytes = encoding::decode_base64_array(value.as_str()?)?;
            Listed::from_bytes(&bytes)
        };
        let entries: Option<Vec<Listed>> = values.into_iter().map(entry).collect();
        let entries = entries.ok_or_else(|| bad(&name))?;
        if !entries.is_sorted_by(|a, b| a.index < b.index) {
            return Err(bad(&name));
        }
        read.insert(key, entries);
    }
    Ok(read)
}

fn read_element(mut element: Object) -> Result<Element, EvidenceError> {
    let index = LeafIndex::new(element.integer("index")?);
    let bad = |member| EvidenceError::Encoding { index, member };
    let leaf = encoding::decode_base64(&element.string("leaf")?).ok_or_else(|| bad("leaf"))?;
    let hash = |text: String| encoding::decode_base64_array(&text).map(Hash::new);
    let hashes = element.strings("hashes")?.into_iter().map(hash).collect::<Option<_>>();
    element.finish()?;
    Ok(Element { index, leaf, hashes: hashes.ok_or_else(|| bad("hashes"))? })
}

impl Proven {
    /// The tree.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The log's key.
    pub fn log(&self) -> &VerifierKey {
        &self.log
    }

    /// The latest time that the quorum attests ([`Policy::quorum_time`]); `None` without witnesses.
    pub fn attested(&self) -> Option<UnixTime> {
        self.attested
    }

    /// The latest time of an entry that is here, by the log's clock.
    pub fn newest(&self) -> Option<LogTime> {
        let time = |entry: &Entry| match entry {
            Entry::Dsse(entry) => Some(entry.logged_at()),
            Entry::Event(event) => Some(event.logged_at()),
            Entry::NotUnderstood { .. } => None,
        };
        self.entries.values().filter_map(time).max()
    }

    /// A list.
    pub fn list(&self, key: ListKey) -> Result<&[Listed], EvidenceError> {
        self.lists.get(&key).map(Vec::as_slice).ok_or(EvidenceError::MissingList(key))
    }

    /// The lists, by name.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// What is said about each subject, in log order, by whatever list has it.
    pub fn said(&self) -> &BTreeMap<Said, Vec<Listed>> {
        &self.said
    }

    /// Whether there is such an entry.
    pub fn has_entry(&self, index: LeafIndex) -> bool {
        self.entries.contains_key(&index)
    }

    /// An entry.
    pub fn entry(&self, index: LeafIndex) -> Result<&Entry, EvidenceError> {
        self.entries.get(&index).ok_or(EvidenceError::MissingEntry(index))
    }

    /// The event at `index`.
    pub fn event(&self, index: LeafIndex) -> Result<&EventEntry, EvidenceError> {
        match self.entry(index)? {
            Entry::Event(event) => Ok(event),
            Entry::Dsse(_) | Entry::NotUnderstood { .. } => Err(EvidenceError::NotEvent(index)),
        }
    }

    /// The identity events of a DID before `size`.
    pub fn identity_events(
        &self,
        did: Did,
        size: TreeSize,
    ) -> Result<Vec<(LeafIndex, &PendingEvent)>, EvidenceError> {
        let before = self.list(ListKey::Id(did))?.iter().filter(|listed| size.contains(listed.index));
        before.map(|listed| Ok((listed.index, self.event(listed.index)?.pending()))).collect()
    }

    /// The state of a DID at `size`, at most the checkpoint's; `None` if it is not registered by then.
    ///
    /// Each event of the list must follow: a log lists no other.
    pub fn identity(&self, did: Did, size: TreeSize) -> Result<Option<Identity>, EvidenceError> {
        let mut state = None;
        for (index, event) in self.identity_events(did, size)? {
            let after = Identity::apply(state.as_ref(), event, index);
            state = Some(after.map_err(|error| EvidenceError::State { index, error })?);
        }
        Ok(state)
    }

    /// Checks entries against lists in both directions: each entry stands in the lists as it must, and each line of a list
    /// whose entry is here describes that entry.
    fn check_lists(&self) -> Result<(), EvidenceError> {
        for (index, entry) in &self.entries {
            let stands = lists_of(entry, *index);
            for (key, want) in &stands {
                let Some(list) = self.lists.get(key) else { continue };
                let there = list.binary_search_by_key(index, |listed| listed.index).ok().map(|at| &list[at]);
                // An event that breaks a rule of state stands in no list.
                if there.is_some_and(|listed| listed != want)
                    || (there.is_none() && !key.is_chosen() && self.any(&stands, *index))
                {
                    return Err(EvidenceError::Listed { list: *key, index: *index });
                }
            }
        }
        for (key, list) in &self.lists {
            for listed in list {
                let Some(entry) = self.entries.get(&listed.index) else { continue };
                if !lists_of(entry, listed.index).contains(&(*key, *listed)) {
                    return Err(EvidenceError::Listed { list: *key, index: listed.index });
                }
            }
        }
        Ok(())
    }

    /// Whether the entry at `index` is in any of these lists.
    fn any(&self, stands: &[(ListKey, Listed)], index: LeafIndex) -> bool {
        let has = |key: &ListKey| {
            self.lists.get(key).is_some_and(|list| list.binary_search_by_key(&index, |l| l.index).is_ok())
        };
        stands.iter().any(|(key, _)| has(key))
    }
}

/// Why evidence is refused, or does not suffice.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvidenceError {
    /// An entry that was logged before, and counts where it came first.
    #[error("entry {index} is the entry {first} once more: a log that keeps its rules takes none twice")]
    Again {
        /// The later one.
        index: LeafIndex,
        /// The earlier one.
        first: LeafIndex,
    },
    /// The log says otherwise of a list.
    #[error("the list {0} is not as the log asserted it, or the log asserted nothing of it")]
    AssertedList(ListKey),
    /// The assertion is not by the log that signed the checkpoint.
    #[error("the assertion is not signed by the log's key")]
    AssertionSignature,
    /// The assertion is about another tree.
    #[error("the assertion is about another tree than the checkpoint's")]
    AssertedTree,
    /// The checkpoint is not the policy's log's.
    #[error("checkpoint: {0}")]
    Checkpoint(PolicyError),
    /// Not base64.
    #[error("entry {index}: `{member}` is not canonical base64")]
    Encoding {
        /// The entry.
        index: LeafIndex,
        /// The member.
        member: &'static str,
    },
    /// Entries out of order, or one twice.
    #[error("`entries` is not sorted by index, each once")]
    EntryOrder,
    /// An entry is not in the tree.
    #[error("entry {index}: {error}")]
    Inclusion {
        /// The entry.
        index: LeafIndex,
        /// Why.
        error: ProofError,
    },
    /// Not JSON, or not with these members.
    #[error("evidence: {0}")]
    Json(#[from] JsonError),
    /// An entry breaks a rule.
    #[error("entry {index}: {error}")]
    Leaf {
        /// The entry.
        index: LeafIndex,
        /// The rule.
        error: BrokenRule,
    },
    /// A list with a bad name or bad entries.
    #[error("the list {0} has a bad name, or entries that are not of 32 bytes and in order")]
    List(String),
    /// A list and an entry contradict each other.
    #[error("entry {index} is not what the list {list} says of it")]
    Listed {
        /// The list.
        list: ListKey,
        /// The entry.
        index: LeafIndex,
    },
    /// Another media type.
    #[error("`mediaType` is {0}, not {MEDIA_TYPE:?}")]
    MediaType(String),
    /// An entry that is needed is not there.
    #[error("the evidence lacks entry {0}")]
    MissingEntry(LeafIndex),
    /// A list that is needed is not there.
    #[error("the evidence lacks the list {0}")]
    MissingList(ListKey),
    /// A list of events has another entry.
    #[error("entry {0} is no event")]
    NotEvent(LeafIndex),
    /// An identity event that does not follow the one before: the list lacks one, or has one too many.
    #[error("entry {index} does not follow in the DID's events: {error}")]
    State {
        /// The entry.
        index: LeafIndex,
        /// Why.
        error: StateError,
    },
    /// A note is malformed.
    #[error("`{member}`: {error}")]
    Note {
        /// The member.
        member: &'static str,
        /// Why.
        error: NoteError,
    },
    /// The witnesses did not cosign.
    #[error("quorum: {0}")]
    Quorum(PolicyError),
    /// A withdrawal that is not of the report before it: it was said before, about another.
    #[error("entry {index} withdraws the report {failure}, which is not the last one before it")]
    Withdrawal {
        /// The withdrawal.
        index: LeafIndex,
        /// What it withdraws.
        failure: LeafIndex,
    },
    /// Longer than evidence may be.
    #[error("the evidence has {0} bytes, more than {MAX_BYTES}")]
    TooLong(usize),
}
