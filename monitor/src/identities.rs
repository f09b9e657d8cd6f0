//! The states of the DIDs that have identity events, as far as a log was checked.
//!
//! ```text
//! identities   a record an event: DID 16 | index u64 BE | length u32 BE | leaf        in log order
//! ```
//! The file counts as far as the state says, as the record of alerts does. In memory is only where the events
//! of each DID are, about 100 bytes a DID, and some states: the rest is read again when it is asked for. Events
//! that break a rule are not in it: they change nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::entry::Entry;
use attestation::identity::Identity;
use tlog::LeafIndex;

use crate::Failure;
use crate::record;

/// The record of identity events.
#[derive(Debug)]
pub(crate) struct Identities {
    file: File,
    path: PathBuf,
    length: u64,
    places: HashMap<Did, Vec<u64>>,
    states: HashMap<Did, Identity>,
}

/// An identity event of a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LoggedEvent {
    /// Whose.
    pub(crate) did: Did,
    /// Where it stands.
    pub(crate) index: LeafIndex,
    /// The leaf.
    pub(crate) leaf: Vec<u8>,
}

impl Identities {
    /// Opens the record, of which the first `length` bytes count.
    pub(crate) fn open(folder: &Path, length: u64) -> Result<Self, Failure> {
        let path = folder.join("identities");
        let hint = "put the file back, or remove the whole folder to check the log from its first entry";
        let file = record::open(&path, length, hint)?;
        let cannot = |e: io::Error| Failure::new(format!("cannot use `{}`", path.display())).caused_by(e);
        let places = places(&file, length).map_err(cannot)?;
        Ok(Self { file, path, length, places, states: HashMap::new() })
    }

    /// The state of a DID; `None` if it is not registered.
    pub(crate) fn state(&mut self, did: Did) -> Result<Option<Identity>, Failure> {
        if !self.places.contains_key(&did) {
            return Ok(None);
        }
        if let Some(state) = self.states.get(&did) {
            return Ok(Some(state.clone()));
        }
        let events = self.events(did)?;
        let parsed = events.iter().map(|event| match Entry::parse(&event.leaf) {
            Ok(Entry::Event(entry)) => Ok((event.index, entry.pending().clone())),
            _ => Err(self.damaged()),
        });
        let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
        let state = Identity::fold(parsed.iter().map(|(index, event)| (*index, event)));
        let state = state.ok_or_else(|| self.damaged())?;
        self.remember(state.clone());
        Ok(Some(state))
    }

    /// The events of a DID, in log order.
    pub(crate) fn events(&self, did: Did) -> Result<Vec<LoggedEvent>, Failure> {
        let places = self.places.get(&did).map_or(&[][..], Vec::as_slice);
        let read = |place: &u64| {
            read_at(&self.file, *place)
                .map_err(|e| Failure::new(format!("cannot read `{}`", self.path.display())).caused_by(e))
        };
        places.iter().map(read).collect()
    }

    /// Appends events, durably, and the states they lead to. They count once the state of the monitor has the
    /// new length, which is answered.
    pub(crate) fn append(
        &mut self,
        events: &[LoggedEvent],
        states: impl IntoIterator<Item = Identity>,
    ) -> Result<u64, Failure> {
        if events.is_empty() {
            return Ok(self.length);
        }
        let mut bytes = Vec::new();
        for LoggedEvent { did, index, leaf } in events {
            self.places.entry(*did).or_default().push(self.length + bytes.len() as u64);
            bytes.extend_from_slice(did.as_bytes());
            bytes.extend_from_slice(&index.get().to_be_bytes());
            let length = u32::try_from(leaf.len()).expect("a leaf has at most 65,535 bytes");
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(leaf);
        }
        let mut write = || {
            self.file.seek(SeekFrom::Start(self.length))?;
            self.file.write_all(&bytes)?;
            self.file.sync_data()
        };
        write().map_err(|e| Failure::new(format!("cannot write `{}`", self.path.display())).caused_by(e))?;
        self.length += bytes.len() as u64;
        states.into_iter().for_each(|state| self.remember(state));
        Ok(self.length)
    }

    fn remember(&mut self, state: Identity) {
        if self.states.len() >= MAX_STATES {
            self.states.clear();
        }
        self.states.insert(state.did(), state);
    }

    fn damaged(&self) -> Failure {
        Failure::new(format!("`{}` is no record of a monitor", self.path.display()))
            .hint("remove the folder --dir to check the log from its first entry")
    }
}

/// Where the events of each DID are.
fn places(file: &File, length: u64) -> io::Result<HashMap<Did, Vec<u64>>> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let mut places: HashMap<Did, Vec<u64>> = HashMap::new();
    let mut place = 0;
    while place < length {
        let mut head = [0; HEAD_BYTES];
        reader.read_exact(&mut head)?;
        let (did, _, leaf_bytes) = parse_head(&head);
        places.entry(did).or_default().push(place);
        reader.seek_relative(i64::from(leaf_bytes))?;
        place += HEAD_BYTES as u64 + u64::from(leaf_bytes);
    }
    if place == length { Ok(places) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn read_at(file: &File, place: u64) -> io::Result<LoggedEvent> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, place)?;
    let (did, index, leaf_bytes) = parse_head(&head);
    let mut leaf = vec![0; leaf_bytes as usize];
    file.read_exact_at(&mut leaf, place + HEAD_BYTES as u64)?;
    Ok(LoggedEvent { did, index, leaf })
}

fn parse_head(head: &[u8; HEAD_BYTES]) -> (Did, LeafIndex, u32) {
    let (did, rest) = head.split_first_chunk().expect("a head has 28 bytes");
    let (index, length) = rest.split_first_chunk().expect("and 12 of them left");
    let length = length.try_into().expect("and 4 of them left");
    (Did::from_bytes(*did), LeafIndex::new(u64::from_be_bytes(*index)), u32::from_be_bytes(length))
}

const HEAD_BYTES: usize = 28;

/// States kept in memory: about 1 KB each.
const MAX_STATES: usize = 16_384;
