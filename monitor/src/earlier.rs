//! What later leaves may speak of, as far as a log was checked: a RocksDB beside the state.
//!
//! ```text
//! c | hash of a claim or event 32              → index of the leaf that is it, and keeps the rules
//! a | index                                    → DID 16 | payload hash 32 | 1 and its subjects, 32 each; 0 if private
//! r | issuer 16 | subject 16 | index           → nothing: a failure report
//! o | issuer 16 | subject 16 | index           → nothing: one that keeps the rules
//! w | issuer 16 | subject 16 | index of report → index of the leaf that withdraws it
//! m | issuer 16 | index                        → event hash 32: message keys that keep the rules
//! from                                         → the first index that is remembered          numbers u64 big-endian
//! message-keys-from                            → the same, of message keys
//! ```
//! Every pair is a function of the leaves up to its index, and readers ask for what is below the leaf that they judge:
//! what a round wrote that did not end is written again by the next one, as it was. So pairs are written at once, and
//! are durable before the state that counts them.

use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::entry::{ClaimHash, Entry};
use attestation::event::{Body, Event, TrustEvent};
use attestation::leaf::Leaf;
use attestation::rules::Artifact;
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, Direction, IteratorMode, Options};
use tlog::{Hash, LeafIndex, TreeSize};

use crate::Failure;

/// The leaves that later ones may speak of.
pub(crate) struct Earlier {
    db: DB,
    path: PathBuf,
    from: LeafIndex,
    message_keys_from: LeafIndex,
}

impl Earlier {
    /// Opens what is remembered of the first `size` leaves. A folder that was without it remembers from here on.
    pub(crate) fn open(folder: &Path, size: TreeSize) -> Result<Self, Failure> {
        let path = folder.join("earlier");
        let cannot = |e: rocksdb::Error| cannot("open", &path, e);
        if size == TreeSize::EMPTY {
            // What is there is of another state.
            DB::destroy(&Options::default(), &path).map_err(cannot)?;
        }
        let db = DB::open(&options(), &path).map_err(cannot)?;
        let from = |key: &[u8]| match db.get(key).map_err(cannot)? {
            Some(bytes) => number(&bytes).ok_or_else(|| damaged(&path)),
            None => {
                db.put(key, size.get().to_be_bytes()).map_err(cannot)?;
                Ok(LeafIndex::new(size.get()))
            }
        };
        // A release that did not know message keys remembered all else.
        let (from, message_keys_from) = (from(FROM)?, from(MESSAGE_KEYS_FROM)?);
        Ok(Self { db, path, from, message_keys_from })
    }

    /// The first leaf that is remembered.
    pub(crate) fn from(&self) -> LeafIndex {
        self.from
    }

    /// The last message keys of `did` before `index` that keep the rules: where they stand, and their event hash.
    pub(crate) fn message_keys(
        &self,
        did: Did,
        index: LeafIndex,
    ) -> Result<Option<(LeafIndex, ClaimHash)>, Failure> {
        let Some(before) = index.get().checked_sub(1) else { return Ok(None) };
        let last = self.last_until(&message_keys_key(did, LeafIndex::new(before)))?;
        let Some(last) = last else { return Ok(None) };
        let hash = self.get(&message_keys_key(did, last))?.and_then(|hash| Hash::from_slice(&hash));
        let hash = hash.ok_or_else(|| damaged(&self.path))?;
        Ok(Some((last, ClaimHash::new(hash))))
    }

    /// Whether it is known which message keys of `did` were the last before `index`.
    pub(crate) fn knows_message_keys(&self, did: Did, index: LeafIndex) -> Result<bool, Failure> {
        Ok(self.message_keys_from == LeafIndex::new(0) || self.message_keys(did, index)?.is_some())
    }

    /// The number at the end of the last key up to `key` that differs from it in nothing else.
    fn last_until(&self, key: &[u8]) -> Result<Option<LeafIndex>, Failure> {
        let last = self.db.iterator(IteratorMode::From(key, Direction::Reverse)).next();
        let Some((last, _)) = last.transpose().map_err(|e| cannot("read", &self.path, e))? else {
            return Ok(None);
        };
        let Some(last) = last.strip_prefix(&key[..key.len() - 8]) else { return Ok(None) };
        number(last).map(Some).ok_or_else(|| damaged(&self.path))
    }

    /// The leaf with this hash that counts, if it stands before `index`.
    pub(crate) fn first(&self, hash: ClaimHash, index: LeafIndex) -> Result<Option<LeafIndex>, Failure> {
        let Some(bytes) = self.get(&claim_key(hash))? else { return Ok(None) };
        let first = number(&bytes).ok_or_else(|| damaged(&self.path))?;
        Ok(Some(first).filter(|first| *first < index))
    }

    /// The artifact entry at `index`.
    pub(crate) fn artifact(&self, index: LeafIndex) -> Result<Option<Artifact>, Failure> {
        let Some(bytes) = self.get(&artifact_key(index))? else { return Ok(None) };
        artifact_of(&bytes).map(Some).ok_or_else(|| damaged(&self.path))
    }

    /// The report of `from` about `to` that keeps the rules and is open before `index`.
    pub(crate) fn open_failure(
        &self,
        from: Did,
        to: Did,
        index: LeafIndex,
    ) -> Result<Option<LeafIndex>, Failure> {
        // One at a time: if the last one is withdrawn, all are.
        let Some(before) = index.get().checked_sub(1) else { return Ok(None) };
        let last = self.last_until(&pair_key(b"o", from, to, LeafIndex::new(before)))?;
        let Some(report) = last else { return Ok(None) };
        Ok(self.withdrawal(from, to, report, index)?.is_none().then_some(report))
    }

    /// Whether the leaf at `failure` is a report by `from` about `to`, also one that breaks a rule.
    pub(crate) fn is_report(&self, from: Did, to: Did, failure: LeafIndex) -> Result<bool, Failure> {
        Ok(self.get(&pair_key(b"r", from, to, failure))?.is_some())
    }

    /// The leaf before `index` by which `from` withdrew the report at `failure` about `to`.
    pub(crate) fn withdrawal(
        &self,
        from: Did,
        to: Did,
        failure: LeafIndex,
        index: LeafIndex,
    ) -> Result<Option<LeafIndex>, Failure> {
        let Some(bytes) = self.get(&pair_key(b"w", from, to, failure))? else { return Ok(None) };
        let withdrawal = number(&bytes).ok_or_else(|| damaged(&self.path))?;
        Ok(Some(withdrawal).filter(|withdrawal| *withdrawal < index))
    }

    /// Remembers what others may speak of, also if it breaks a rule: that is a finding of its own.
    pub(crate) fn take_place(&self, index: LeafIndex, leaf: &Leaf) -> Result<(), Failure> {
        match leaf.entry() {
            Entry::Dsse(entry) => {
                self.put(&artifact_key(index), &artifact_bytes(&Artifact::of(entry.claim())))
            }
            Entry::Event(event) => match event.event().body() {
                Body::Trust(TrustEvent::Failure { .. }) => {
                    self.put(&pair_key(b"r", event.event().issuer(), event.event().subject(), index), &[])
                }
                Body::Trust(_) | Body::Identity(_) | Body::MessageKeys(_) => Ok(()),
            },
            Entry::NotUnderstood { .. } => Ok(()),
        }
    }

    /// Remembers that a leaf keeps all rules.
    pub(crate) fn take(&self, index: LeafIndex, leaf: &Leaf) -> Result<(), Failure> {
        if let Some(hash) = leaf.hash() {
            self.put(&claim_key(hash), &index.get().to_be_bytes())?;
        }
        let Entry::Event(event) = leaf.entry() else { return Ok(()) };
        let (from, to) = (event.event().issuer(), event.event().subject());
        match event.event().body() {
            Body::Trust(TrustEvent::Failure { .. }) => self.put(&pair_key(b"o", from, to, index), &[]),
            Body::Trust(TrustEvent::Withdrawal { failure }) => {
                self.put(&pair_key(b"w", from, to, failure.index), &index.get().to_be_bytes())
            }
            Body::MessageKeys(_) => {
                self.put(&message_keys_key(from, index), event.pending().hash().get().as_bytes())
            }
            Body::Trust(_) | Body::Identity(_) => Ok(()),
        }
    }

    /// What was taken survives a power cut once this returns.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.db.flush_wal(true).map_err(|e| cannot("write", &self.path, e))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.db.get(key).map_err(|e| cannot("read", &self.path, e))
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.db.put(key, value).map_err(|e| cannot("write", &self.path, e))
    }
}

/// The leaves that an event speaks of, in its own order.
pub(crate) fn references(event: &Event) -> Vec<LeafIndex> {
    match event.body() {
        Body::Trust(TrustEvent::Confirmation { receipt, build, .. }) => vec![receipt.index, build.index],
        Body::Trust(TrustEvent::Withdrawal { failure }) => vec![failure.index],
        Body::Trust(TrustEvent::Equivocation { receipts, .. }) => {
            receipts.iter().map(|receipt| receipt.index).collect()
        }
        Body::Trust(_) | Body::Identity(_) | Body::MessageKeys(_) => Vec::new(),
    }
}

fn claim_key(hash: ClaimHash) -> Vec<u8> {
    [b"c", hash.get().as_bytes().as_slice()].concat()
}

fn artifact_key(index: LeafIndex) -> Vec<u8> {
    [b"a", index.get().to_be_bytes().as_slice()].concat()
}

fn pair_key(kind: &[u8; 1], from: Did, to: Did, index: LeafIndex) -> Vec<u8> {
    [kind, from.as_bytes().as_slice(), to.as_bytes(), &index.get().to_be_bytes()].concat()
}

fn message_keys_key(did: Did, index: LeafIndex) -> Vec<u8> {
    [b"m", did.as_bytes().as_slice(), &index.get().to_be_bytes()].concat()
}

fn number(bytes: &[u8]) -> Option<LeafIndex> {
    Some(LeafIndex::new(u64::from_be_bytes(bytes.try_into().ok()?)))
}

fn artifact_bytes(artifact: &Artifact) -> Vec<u8> {
    let mut bytes = [artifact.did.as_bytes().as_slice(), artifact.payload.as_bytes()].concat();
    bytes.push(u8::from(artifact.subjects.is_some()));
    artifact.subjects.iter().flatten().for_each(|subject| bytes.extend_from_slice(subject.as_bytes()));
    bytes
}

fn artifact_of(bytes: &[u8]) -> Option<Artifact> {
    let (did, rest) = bytes.split_first_chunk()?;
    let (payload, rest) = rest.split_at_checked(Hash::BYTES)?;
    let (is_public, subjects) = rest.split_first()?;
    let subjects = subjects.chunks(Hash::BYTES).map(Hash::from_slice).collect::<Option<Vec<_>>>()?;
    Some(Artifact {
        did: Did::from_bytes(*did),
        payload: Hash::from_slice(payload)?,
        subjects: (*is_public == 1).then_some(subjects),
    })
}

fn cannot(what: &str, path: &Path, error: rocksdb::Error) -> Failure {
    Failure::new(format!("cannot {what} `{}`", path.display())).caused_by(error)
}

fn damaged(path: &Path) -> Failure {
    Failure::new(format!("`{}` is no memory of a monitor", path.display()))
        .hint("remove the folder --dir to check the log from its first entry")
}

fn options() -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    table.set_cache_index_and_filter_blocks(true);
    // Most hashes that are looked for are not there.
    table.set_bloom_filter(BLOOM_BITS, false);
    table.set_format_version(6);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(BUFFER_BYTES);
    options.set_max_total_wal_size(WAL_BYTES);
    options.set_max_open_files(MAX_OPEN_FILES);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(4);
    // Every block is checked when read: a flipped bit is an error, never an answer.
    options.set_paranoid_checks(true);
    options
}

const FROM: &[u8] = b"from";
const MESSAGE_KEYS_FROM: &[u8] = b"message-keys-from";

/// Blocks kept in memory, indexes and filters included.
const BLOCK_CACHE_BYTES: usize = 32 << 20;

/// Memory for writes before they are sorted into a file; two of them at most.
const BUFFER_BYTES: usize = 16 << 20;

/// One hash in a hundred that is not there is looked for on the disk.
const BLOOM_BITS: f64 = 10.0;

/// Bounds the write-ahead log, and with it the time to open after a crash.
const WAL_BYTES: u64 = 64 << 20;

/// Below the usual limit of 1,024 descriptors, with room for connections.
const MAX_OPEN_FILES: i32 = 128;
