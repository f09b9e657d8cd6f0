//! Messages that were shown, so that none is taken for a new one again.
//!
//! ```text
//! sender 16 | message id 16 | expires, milliseconds, u64 big-endian       40 bytes a message, in order, each once
//! ```
//! The file lies beside the credentials, or in the folder that `--state` names. It is written and synced before the text
//! of a message is shown: a crash between the two shows the message as seen, and the relay still has it. A message is
//! dropped a day after it expired, when no recipient takes it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::MessageId;

use crate::bounded_file::read_found;
use crate::durable::{self, Readers};
use crate::keyfile::KeySource;
use crate::report::{Failure, Result};

/// A message: who sent it, and its id, which the sender chose.
pub(crate) type Name = (Did, MessageId);

/// The messages that were shown by this identity, on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    file: PathBuf,
}

impl Seen {
    /// Those of an identity: in `state` if that is named, else beside the credentials file. None for a key from the
    /// environment alone, which has no place.
    pub(crate) fn of(identity: &KeySource, state: Option<&Path>) -> Option<Self> {
        let file = match (state, identity) {
            (Some(folder), _) => folder.join(NAME),
            (None, KeySource::Environment) => return None,
            (None, KeySource::File(credentials)) => {
                // Of two identities in one folder, each has its own: a message to a group is new to both.
                let stem = credentials.file_stem().unwrap_or_default().to_string_lossy();
                let is_usual = stem == "credentials";
                credentials.with_file_name(if is_usual { NAME.to_owned() } else { format!("{stem}.{NAME}") })
            }
        };
        Some(Self { file })
    }

    /// The messages that were shown before.
    pub(crate) fn all(&self) -> Result<BTreeSet<Name>> {
        Ok(self.read()?.into_keys().collect())
    }

    /// Marks these as shown, with the times at which they expire, durably. Answers which of them were not before: of several
    /// processes at once exactly one gets that answer for a message.
    pub(crate) fn mark(
        &self,
        messages: &[(Name, LogTime)],
        now: LogTime,
        deadline: Instant,
    ) -> Result<Vec<bool>> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let _lock = self.lock(deadline)?;
        let mut known = self.read()?;
        known.retain(|_, expires| expires.saturating_add(KEPT_MILLIS) > now.as_millis());
        let is_new =
            messages.iter().map(|(name, expires)| known.insert(*name, expires.as_millis()).is_none());
        let is_new: Vec<bool> = is_new.collect();
        if is_new.contains(&true) {
            let bytes = to_bytes(&known);
            // A file that nobody reads again would be the end of every later call, too.
            if bytes.len() as u64 > MAX_BYTES {
                let full =
                    format!("`{}` is full: it holds {} messages", self.file.display(), known.len() - 1);
                return Err(Failure::new(full)
                    .hint("those that expired make room; `aip-attest mailbox --accept registered` keeps strangers out")
                    .for_now());
            }
            durable::write(&self.file, &bytes, Readers::Owner)?;
        }
        Ok(is_new)
    }

    fn read(&self) -> Result<BTreeMap<Name, u64>> {
        let cannot = || {
            Failure::new(format!("cannot tell which messages were shown before: `{}`", self.file.display()))
        };
        let bytes = match read_found(&self.file, MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(cannot().caused_by(error)),
        };
        parse(&bytes).ok_or_else(|| {
            cannot().because("the file is damaged: it is no list of 40 bytes a message, in order").hint(
                "move it away: messages that were shown before then count as new, as long as the relay has them",
            )
        })
    }

    fn lock(&self, deadline: Instant) -> Result<File> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let path = self.file.with_file_name(format!(".{name}.lock"));
        let cannot = |error| Failure::new(format!("cannot lock `{}`", path.display())).caused_by(error);
        durable::create_folder(durable::folder_of(&path), Readers::Owner)?;
        let file = durable::lock_file(&path).map_err(cannot)?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
                Err(TryLockError::WouldBlock) if Instant::now() + PAUSE < deadline => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(cannot(io::Error::other("another process holds it")).for_now());
                }
            }
        }
    }
}

fn to_bytes(known: &BTreeMap<Name, u64>) -> Vec<u8> {
    let record = |((sender, id), expires): (&Name, &u64)| {
        [&sender.as_bytes()[..], &id.as_bytes()[..], &expires.to_be_bytes()[..]].concat()
    };
    known.iter().flat_map(record).collect()
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<Name, u64>> {
    let (records, []) = bytes.as_chunks::<RECORD_BYTES>() else { return None };
    let read = |record: &[u8; RECORD_BYTES]| {
        let (sender, rest) = record.split_first_chunk()?;
        let (id, expires) = rest.split_first_chunk()?;
        Some((
            (Did::from_bytes(*sender), MessageId::from_bytes(*id)),
            u64::from_be_bytes(expires.try_into().ok()?),
        ))
    };
    let read: Vec<(Name, u64)> = records.iter().map(read).collect::<Option<_>>()?;
    read.is_sorted_by(|(a, _), (b, _)| a < b).then(|| read.into_iter().collect())
}

const NAME: &str = "seen-messages";

const RECORD_BYTES: usize = 40;

/// A recipient's clock and a sender's differ by less.
const KEPT_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// A million and a half: what hundreds of senders may bring who do nothing else for eight days.
const MAX_BYTES: u64 = 64 << 20;

const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = KEPT_MILLIS;

    fn time(millis: u64) -> LogTime {
        LogTime::from_millis(millis).expect("a time")
    }

    fn name(sender: u8, id: u8) -> Name {
        (Did::from_bytes([sender; 16]), MessageId::from_bytes([id; 16]))
    }

    fn mark(seen: &Seen, messages: &[(Name, LogTime)], now: u64) -> Result<Vec<bool>> {
        seen.mark(messages, time(now), Instant::now() + Duration::from_secs(60))
    }

    #[test]
    fn a_message_is_new_once_and_forgotten_a_day_after_it_expired() {
        let dir = tempfile::tempdir().expect("a folder");
        let seen = Seen::of(&KeySource::Environment, Some(&dir.path().join("state"))).expect("a place");
        assert!(seen.all().expect("no file is an empty one").is_empty());
        let both = [(name(2, 1), time(DAY)), (name(1, 2), time(3 * DAY))];
        assert_eq!(mark(&seen, &both, DAY).expect("marked"), [true, true]);
        assert_eq!(mark(&seen, &both[..1], DAY).expect("marked"), [false]);
        let file = std::fs::read(dir.path().join("state/seen-messages")).expect("the file");
        let mut want = [[1; 16], [2; 16]].concat();
        want.extend((3 * DAY).to_be_bytes());
        want.extend([[2; 16], [1; 16]].concat());
        want.extend(DAY.to_be_bytes());
        assert_eq!(file, want);
        // The one that expired goes when the next comes.
        assert_eq!(mark(&seen, &[(name(3, 3), time(3 * DAY))], 2 * DAY - 1).expect("marked"), [true]);
        assert!(seen.all().expect("read").contains(&name(2, 1)));
        assert_eq!(mark(&seen, &[(name(4, 4), time(3 * DAY))], 2 * DAY).expect("marked"), [true]);
        assert_eq!(seen.all().expect("read"), [name(1, 2), name(3, 3), name(4, 4)].into());
    }

    #[test]
    fn each_credentials_file_has_its_own() {
        let of = |file: &str| Seen::of(&KeySource::File(file.into()), None).expect("a place").file;
        assert_eq!(of("/h/.aip/credentials.json"), Path::new("/h/.aip/seen-messages"));
        assert_eq!(of("/k/a.json"), Path::new("/k/a.seen-messages"));
        assert_ne!(of("/k/a.json"), of("/k/b.json"));
        assert!(Seen::of(&KeySource::Environment, None).is_none());
    }

    /// Two commands at once must not both deploy.
    #[test]
    fn of_many_at_once_exactly_one_sees_a_new_message() {
        let dir = tempfile::tempdir().expect("a folder");
        let seen = Seen::of(&KeySource::Environment, Some(dir.path())).expect("a place");
        let news: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| mark(&seen, &[(name(1, 1), time(DAY))], 0).expect("marked")[0]))
                .collect();
            threads.into_iter().map(|thread| usize::from(thread.join().expect("no panic"))).sum()
        });
        assert_eq!(news, 1);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_empty_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let seen = Seen::of(&KeySource::Environment, Some(dir.path())).expect("a place");
        mark(&seen, &[(name(1, 1), time(DAY)), (name(2, 2), time(DAY))], 0).expect("marked");
        let file = dir.path().join("seen-messages");
        let good = std::fs::read(&file).expect("the file");
        let turned = [&good[RECORD_BYTES..], &good[..RECORD_BYTES]].concat();
        let twice = good[..RECORD_BYTES].repeat(2);
        for damaged in [&good[..41], &good[..79], &turned, &twice] {
            std::fs::write(&file, damaged).expect("written");
            let failure = mark(&seen, &[(name(3, 3), time(DAY))], 0).expect_err("damaged");
            assert!(failure.to_string().contains("damaged") && failure.to_string().contains("move it away"));
            assert_eq!(std::fs::read(&file).expect("left alone"), damaged);
            seen.all().expect_err("damaged");
        }
        std::fs::remove_file(&file).expect("removed");
        std::fs::create_dir(&file).expect("a folder");
        mark(&seen, &[(name(3, 3), time(DAY))], 0).expect_err("no file");
    }

    /// Strangers send what costs them nothing, and their recipient reads and deletes it all day.
    #[test]
    fn a_full_file_takes_nothing_more_and_has_room_once_messages_expire() {
        let dir = tempfile::tempdir().expect("a folder");
        let seen = Seen::of(&KeySource::Environment, Some(dir.path())).expect("a place");
        let most = MAX_BYTES / RECORD_BYTES as u64;
        let id = |number: u64| MessageId::from_bytes(u128::from(number).to_be_bytes());
        let full = (0..most).map(|number| ((Did::from_bytes([1; 16]), id(number)), DAY)).collect();
        std::fs::write(dir.path().join("seen-messages"), to_bytes(&full)).expect("written");
        let new = [(name(2, 2), time(3 * DAY))];
        let failure = mark(&seen, &new, DAY).expect_err("full");
        assert!(failure.to_string().contains("is full") && failure.is_for_now(), "{failure}");
        assert_eq!(mark(&seen, &new, 2 * DAY).expect("it is read still, and has room"), [true]);
        assert_eq!(seen.all().expect("read"), [name(2, 2)].into());
    }

    /// What cannot be written is not shown.
    #[cfg(unix)]
    #[test]
    fn what_cannot_be_kept_is_an_error() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("a folder");
        let seen = Seen::of(&KeySource::Environment, Some(dir.path())).expect("a place");
        mark(&seen, &[(name(1, 1), time(DAY))], 0).expect("marked");
        let mode = std::fs::metadata(dir.path().join("seen-messages")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let held = durable::lock_file(&dir.path().join(".seen-messages.lock")).expect("a lock");
        held.lock().expect("free");
        let failure = seen.mark(&[(name(2, 2), time(DAY))], time(0), Instant::now()).expect_err("held");
        assert!(failure.is_for_now(), "{failure}");
    }
}
