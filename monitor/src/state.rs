//! How far a log was checked, in one file that is replaced whole.
//!
//! The tree so far, the checkpoint it belongs to, the last times and the lengths of the files beside it are one
//! record: a crash leaves the one before or this one, and what is beyond the recorded lengths was never there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use attestation::entry::LogTime;
use serde::{Deserialize, Serialize};
use service::durable::replace;
use tlog::checkpoint::Checkpoint;
use tlog::encoding::{base64, decode_base64};
use tlog::note::Note;
use tlog::tile::Edge;
use tlog::{Hash, LeafIndex, TreeSize};

use crate::Failure;

/// What a monitor remembers of one log.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The log.
    pub(crate) origin: String,
    /// The entries that were checked, as a tree: the beginning of the tree of `known`.
    pub(crate) edge: Edge,
    /// The largest checkpoint that was believed.
    pub(crate) known: Option<Seen>,
    /// The newest cosignature that was ever shown; before the first, when the log was seen first.
    pub(crate) fresh: Option<LogTime>,
    /// The last leaf that says when it was logged.
    pub(crate) last: Option<(LeafIndex, LogTime)>,
    /// How much of the alerts' file counts.
    pub(crate) alerts_bytes: u64,
    /// How much of the record of identity events counts.
    pub(crate) identities_bytes: u64,
    /// Checkpoints of other views that are larger than `known`, to be held against it once it has grown.
    pub(crate) ahead: Vec<Ahead>,
    /// The largest checkpoint that each witness has cosigned, with its line, whoever showed it.
    pub(crate) cosigned: Vec<Ahead>,
    /// Leaves by kind, over all time.
    pub(crate) leaves: BTreeMap<String, u64>,
    /// Envelopes by what the log had of them, over all time.
    pub(crate) envelopes: BTreeMap<String, u64>,
}

/// A checkpoint, and since when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    /// The note, as it was last shown: cosignatures may have come since `at`.
    pub(crate) note: Note,
    /// What it says.
    pub(crate) checkpoint: Checkpoint,
    /// When this text was seen first.
    pub(crate) at: LogTime,
}

/// A checkpoint that somebody else was shown: larger than ours, or the largest that it cosigned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ahead {
    /// Whose view.
    pub(crate) view: String,
    /// What, and since when.
    pub(crate) seen: Seen,
}

impl Seen {
    /// A note of a checkpoint, seen at `at`.
    pub(crate) fn new(note: Note, checkpoint: Checkpoint, at: LogTime) -> Self {
        Self { note, checkpoint, at }
    }
}

impl State {
    /// Nothing is known yet.
    pub(crate) fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            edge: Edge::new(),
            known: None,
            fresh: None,
            last: None,
            alerts_bytes: 0,
            identities_bytes: 0,
            ahead: Vec::new(),
            cosigned: Vec::new(),
            leaves: BTreeMap::new(),
            envelopes: BTreeMap::new(),
        }
    }

    /// How many entries were checked.
    pub(crate) fn size(&self) -> TreeSize {
        self.edge.size()
    }
}

/// The file of a [`State`].
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// Held as long as the monitor lives: two on one folder would count each other's alerts away.
    _lock: File,
}

impl StateFile {
    /// Takes the folder for this process, and reads what it holds of the log `origin`.
    pub(crate) fn open(folder: &Path, origin: &str) -> Result<(Self, State), Failure> {
        let cannot = |what: &str, e: io::Error| {
            Failure::new(format!("cannot {what} `{}`", folder.display())).caused_by(e)
        };
        fs::create_dir_all(folder).map_err(|e| cannot("make the folder", e))?;
        let lock = File::create(folder.join("lock")).map_err(|e| cannot("write in", e))?;
        if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Failure::new(format!("another monitor works in `{}`", folder.display()))
                .hint("one folder is one monitor's: give this one another --dir"));
        }
        let file = Self { path: folder.join("state.json"), _lock: lock };
        let bytes = match fs::read(&file.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((file, State::new(origin))),
            Err(e) => return Err(cannot("read the state in", e)),
        };
        let state = Wire::parse(&bytes).ok_or_else(|| {
            Failure::new(format!("`{}` is no state of a monitor", file.path.display())).hint(
                "remove it to check the log again from its first entry; alerts are then made again, too",
            )
        })?;
        if state.origin != origin {
            return Err(Failure::new(format!(
                "`{}` follows {}, not {origin}",
                folder.display(),
                state.origin
            ))
            .hint("one folder is for one log: give this one another --dir"));
        }
        Ok((file, state))
    }

    /// Replaces the state, durably. After an error nobody knows which of the two is on the disk: the caller
    /// ends, and begins again from there.
    pub(crate) fn write(&self, state: &State) -> Result<(), Failure> {
        let json = serde_json::to_vec(&Wire::of(state)).expect("text in, JSON out");
        replace(&self.path, &json)
            .map_err(|e| Failure::new(format!("cannot write `{}`", self.path.display())).caused_by(e))
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    version: u32,
    origin: String,
    size: u64,
    /// By tile level, lowest first: the hashes that are in no full tile, one after the other.
    edge: Vec<String>,
    known: Option<WireSeen>,
    fresh: Option<u64>,
    last: Option<WireLast>,
    alerts_bytes: u64,
    /// Absent in what a release wrote that knew no events, of a log that had none.
    #[serde(default)]
    identities_bytes: u64,
    ahead: Vec<WireAhead>,
    /// Absent in what a release wrote that did not look for it.
    #[serde(default)]
    cosigned: Vec<WireAhead>,
    leaves: BTreeMap<String, u64>,
    envelopes: BTreeMap<String, u64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireSeen {
    note: String,
    at: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireLast {
    index: u64,
    logged_at: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireAhead {
    view: String,
    seen: WireSeen,
}

impl Wire {
    fn of(state: &State) -> Self {
        let seen = |seen: &Seen| WireSeen { note: seen.note.to_string(), at: seen.at.as_millis() };
        let of_view = |ahead: &Ahead| WireAhead { view: ahead.view.clone(), seen: seen(&ahead.seen) };
        let level =
            |hashes: &[Hash]| base64(&hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<u8>>());
        let height = (0..8).take_while(|level| tlog::tile::hashes_at(*level, state.size()) > 0).count() as u8;
        Self {
            version: VERSION,
            origin: state.origin.clone(),
            size: state.size().get(),
            edge: (0..height).map(|at| level(state.edge.level(at))).collect(),
            known: state.known.as_ref().map(seen),
            fresh: state.fresh.map(LogTime::as_millis),
            last: state.last.map(|(index, at)| WireLast { index: index.get(), logged_at: at.as_millis() }),
            alerts_bytes: state.alerts_bytes,
            identities_bytes: state.identities_bytes,
            ahead: state.ahead.iter().map(of_view).collect(),
            cosigned: state.cosigned.iter().map(of_view).collect(),
            leaves: state.leaves.clone(),
            envelopes: state.envelopes.clone(),
        }
    }

    /// `None` for what no monitor wrote.
    fn parse(bytes: &[u8]) -> Option<State> {
        let wire: Self = serde_json::from_slice(bytes).ok()?;
        if wire.version != VERSION {
            return None;
        }
        let level = |text: &String| {
            let bytes = decode_base64(text)?;
            let hashes = bytes.chunks_exact(Hash::BYTES).filter_map(Hash::from_slice).collect();
            bytes.len().is_multiple_of(Hash::BYTES).then_some(hashes)
        };
        let levels: Option<Vec<Vec<Hash>>> = wire.edge.iter().map(level).collect();
        let last = match wire.last {
            None => None,
            Some(last) => Some((LeafIndex::new(last.index), LogTime::from_millis(last.logged_at)?)),
        };
        let ahead = |ahead: WireAhead| Some(Ahead { view: ahead.view, seen: ahead.seen.parse()? });
        let known = match wire.known {
            None => None,
            Some(known) => Some(known.parse()?),
        };
        let fresh = match wire.fresh {
            None => None,
            Some(fresh) => Some(LogTime::from_millis(fresh)?),
        };
        let edge = Edge::from_levels(TreeSize::new(wire.size), levels?)?;
        let is_beginning = match &known {
            None => edge.size() == TreeSize::EMPTY,
            Some(Seen { checkpoint, .. }) if checkpoint.size == edge.size() => checkpoint.root == edge.root(),
            Some(Seen { checkpoint, .. }) => checkpoint.size > edge.size(),
        };
        is_beginning.then_some(State {
            fresh,
            origin: wire.origin,
            edge,
            known,
            last,
            alerts_bytes: wire.alerts_bytes,
            identities_bytes: wire.identities_bytes,
            ahead: wire.ahead.into_iter().map(ahead).collect::<Option<_>>()?,
            cosigned: wire.cosigned.into_iter().map(ahead).collect::<Option<_>>()?,
            leaves: wire.leaves,
            envelopes: wire.envelopes,
        })
    }
}

impl WireSeen {
    fn parse(self) -> Option<Seen> {
        let note = Note::parse(self.note.as_bytes()).ok()?;
        let checkpoint = Checkpoint::parse(note.text()).ok()?;
        Some(Seen::new(note, checkpoint, LogTime::from_millis(self.at)?))
    }
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use tlog::merkle::leaf_hash;

    use super::*;

    const ORIGIN: &str = "example.com/log";

    fn state(size: u64) -> State {
        let mut state = State::new(ORIGIN);
        (0..size).for_each(|i| state.edge.append(leaf_hash(&i.to_be_bytes()), |_, _| ()));
        let checkpoint = Checkpoint::new(ORIGIN, state.size(), state.edge.root());
        let note = Note::unsigned(checkpoint.to_string());
        let note = Note::parse(format!("{note}— a AAAAAAA=\n").as_bytes()).expect("a note");
        let seen = Seen::new(note, checkpoint, LogTime::from_millis(5).expect("a time"));
        state.known = Some(seen.clone());
        state.fresh = LogTime::from_millis(6);
        state.last = Some((LeafIndex::new(3), LogTime::from_millis(4).expect("a time")));
        state.ahead.push(Ahead { view: "w".into(), seen: seen.clone() });
        state.cosigned.push(Ahead { view: "w".into(), seen });
        state.leaves.insert("dsse".into(), size);
        state.alerts_bytes = 17;
        state
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        for size in [0, 1, 255, 256, 257, 70_000] {
            let dir = folder.path().join(size.to_string());
            let (file, empty) = StateFile::open(&dir, ORIGIN).expect("a new folder");
            assert_eq!(empty.size(), TreeSize::EMPTY);
            let state = state(size);
            file.write(&state).expect("written");
            drop(file);
            let (_file, read) = StateFile::open(&dir, ORIGIN).expect("a state");
            assert_eq!(read.edge, state.edge);
            assert_eq!((read.known, read.last, read.ahead), (state.known, state.last, state.ahead));
            assert_eq!((read.fresh, read.cosigned), (state.fresh, state.cosigned));
            assert_eq!((read.alerts_bytes, read.leaves), (17, state.leaves));
        }
    }

    #[test]
    fn a_folder_is_one_monitors_for_one_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, state) = StateFile::open(folder.path(), ORIGIN).expect("a new folder");
        let second = StateFile::open(folder.path(), ORIGIN).expect_err("it is taken").to_string();
        assert!(second.contains("another monitor works in"), "{second}");
        file.write(&state).expect("written");
        drop(file);
        let other = StateFile::open(folder.path(), "example.com/other").expect_err("another log").to_string();
        assert!(other.contains("follows example.com/log, not example.com/other"), "{other}");
    }

    #[test]
    fn what_no_monitor_wrote_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, _) = StateFile::open(folder.path(), ORIGIN).expect("a new folder");
        file.write(&state(300)).expect("written");
        drop(file);
        let path = folder.path().join("state.json");
        let good = fs::read_to_string(&path).expect("text");
        for (from, to) in [
            (r#""version":1"#, r#""version":2"#),
            (r#""size":300"#, r#""size":301"#),
            (r#""at":5"#, r#""at":-5"#),
            (r#""origin""#, r#""more":1,"origin""#),
            ("}", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            fs::write(&path, bad).expect("written");
            assert!(StateFile::open(folder.path(), ORIGIN).is_err(), "{to}");
        }
    }
}
