//! Entries of watched DIDs: recorded exactly once, then delivered at least once.
//!
//! `alerts.jsonl` is the record, one line an entry, in the order of the log. Its length counts as far as the
//! state says, so an entry is in it once, whatever happens in between. Printing and posting follow the record,
//! each with its own place in it; a crash can repeat the last lines, never skip one. `origin` and `index` name
//! an alert for whoever gets it twice. Whether an entry is one's own is asked when it is delivered (`known`).

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::entry::{Entry, LogTime};
use serde_json::{Value, json};
use service::durable::replace;
use tlog::LeafIndex;
use tlog::encoding::base64;

use crate::Failure;
use crate::record;

/// One line of the record, newline included, of an entry that is seen `now`.
pub(crate) fn line(
    origin: &str,
    index: LeafIndex,
    did: Did,
    leaf: &[u8],
    entry: &Entry,
    now: LogTime,
) -> Vec<u8> {
    let mut alert = json!({
        "alert": "entry",
        "origin": origin,
        "seenAt": now.as_millis(),
        "index": index.get(),
        "did": did,
        "leaf": base64(leaf),
    });
    match entry {
        Entry::Dsse(entry) => {
            alert["loggedAt"] = entry.logged_at().as_millis().into();
            if let Some(listing) = entry.claim().listing() {
                alert["predicateType"] = Value::from(listing.predicate_type.clone());
                alert["subjects"] =
                    listing.subjects.iter().map(|hash| Value::from(hash.to_string())).collect();
            }
        }
        Entry::Event(event) => {
            alert["loggedAt"] = event.logged_at().as_millis().into();
            alert["predicateType"] = Value::from(event.event().predicate_type());
            alert["subject"] = Value::from(event.event().subject().to_string());
        }
        Entry::NotUnderstood { .. } => (),
    }
    let mut line = alert.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The record of alerts.
#[derive(Debug)]
pub(crate) struct Alerts {
    file: File,
    path: PathBuf,
    length: u64,
}

impl Alerts {
    /// Opens the record, of which the first `length` bytes count.
    pub(crate) fn open(folder: &Path, length: u64) -> Result<Self, Failure> {
        let path = folder.join("alerts.jsonl");
        let hint = "alerts were removed: put the file back, or remove the whole folder to begin again";
        let file = record::open(&path, length, hint)?;
        Ok(Self { file, path, length })
    }

    /// Appends lines, durably; they count once the state has the new length, which is answered.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<u64, Failure> {
        if !lines.is_empty() {
            let mut write = || {
                self.file.seek(SeekFrom::Start(self.length))?;
                self.file.write_all(lines)?;
                self.file.sync_data()
            };
            write()
                .map_err(|e| Failure::new(format!("cannot write `{}`", self.path.display())).caused_by(e))?;
            self.length += lines.len() as u64;
        }
        Ok(self.length)
    }

    /// The next whole lines from `place` on, at most about [`DELIVERY_BYTES`], and the place behind them.
    fn lines_from(&self, place: u64, until: u64) -> io::Result<(Vec<Vec<u8>>, u64)> {
        let mut reader = &self.file;
        reader.seek(SeekFrom::Start(place))?;
        let mut bytes = Vec::new();
        reader.take((until - place).min(DELIVERY_BYTES)).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<Vec<u8>> =
            bytes[..whole].split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        Ok((lines, place + whole as u64))
    }
}

/// Somebody who gets the alerts, and how far that has come.
#[derive(Debug)]
pub(crate) struct Delivery {
    path: PathBuf,
    place: u64,
}

impl Delivery {
    /// Goes on where it stopped; a new one begins with the first alert, and so does one that is further than `alerts`
    /// are: those are others, made again.
    pub(crate) fn open(folder: &Path, name: &str, alerts: &Alerts) -> Result<Self, Failure> {
        let path = folder.join(name);
        let place: u64 = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                Failure::new(format!("`{}` is no place in the alerts", path.display()))
                    .hint("remove it to deliver all alerts again")
            })?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(Failure::new(format!("cannot read `{}`", path.display())).caused_by(e)),
        };
        if place > alerts.length {
            // At once: by the time of the first delivery the place may lie within the new ones.
            replace(&path, b"0")
                .map_err(|e| Failure::new(format!("cannot write `{}`", path.display())).caused_by(e))?;
            return Ok(Self { path, place: 0 });
        }
        Ok(Self { path, place })
    }

    /// Whether something has not been delivered.
    pub(crate) fn is_behind(&self, alerts: &Alerts) -> bool {
        self.place < alerts.length
    }

    /// Delivers what has not been, until `deliver` says no or all that counts is delivered. Answers how many it
    /// took, and its error, if it had one. The place is noted after every `at_once`: so many may come again.
    pub(crate) fn run<E>(
        &mut self,
        alerts: &Alerts,
        at_once: usize,
        mut deliver: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(usize, Option<E>), Failure> {
        let mut delivered = 0;
        let cannot =
            |e: io::Error, path: &Path| Failure::new(format!("cannot use `{}`", path.display())).caused_by(e);
        while self.place < alerts.length {
            let (lines, end) =
                alerts.lines_from(self.place, alerts.length).map_err(|e| cannot(e, &alerts.path))?;
            if end == self.place {
                break;
            }
            for lines in lines.chunks(at_once) {
                let mut refused = None;
                for line in lines {
                    match deliver(line) {
                        Ok(()) => {
                            self.place += line.len() as u64;
                            delivered += 1;
                        }
                        Err(error) => {
                            refused = Some(error);
                            break;
                        }
                    }
                }
                replace(&self.path, self.place.to_string().as_bytes()).map_err(|e| cannot(e, &self.path))?;
                if refused.is_some() {
                    return Ok((delivered, refused));
                }
            }
        }
        Ok((delivered, None))
    }
}

/// What is read at a time: a leaf has up to 64 KiB, and its base64 a third more.
const DELIVERY_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(delivery: &mut Delivery, alerts: &Alerts, room: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let take = |line: &[u8]| {
            if lines.len() == room {
                return Err(());
            }
            lines.push(String::from_utf8(line.to_vec()).expect("text"));
            Ok(())
        };
        delivery.run(alerts, 5, take).expect("the disk works");
        lines
    }

    #[test]
    fn what_the_state_does_not_count_was_never_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut alerts = Alerts::open(folder.path(), 0).expect("a new record");
        let length = alerts.append(b"one\n").expect("written");
        alerts.append(b"two\nthr").expect("written");
        drop(alerts);
        let alerts = Alerts::open(folder.path(), length).expect("a record");
        let mut delivery = Delivery::open(folder.path(), "printed", &alerts).expect("a place");
        assert_eq!(delivered(&mut delivery, &alerts, 9), ["one\n"]);
        drop(alerts);
        assert!(Alerts::open(folder.path(), length + 1).is_err(), "a record that lost alerts is refused");
        // The state was removed, and the alerts are made again: all of them are delivered again, by a process that was
        // killed before it did, too.
        let mut alerts = Alerts::open(folder.path(), 0).expect("a record");
        Delivery::open(folder.path(), "printed", &alerts).expect("a place");
        alerts.append(b"first\nsecond\n").expect("written");
        let mut delivery = Delivery::open(folder.path(), "printed", &alerts).expect("a place");
        assert_eq!(delivered(&mut delivery, &alerts, 9), ["first\n", "second\n"]);
    }

    #[test]
    fn a_delivery_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut alerts = Alerts::open(folder.path(), 0).expect("a new record");
        let lines: Vec<String> = (0..100).map(|i| format!("{i} {}\n", "x".repeat(50_000))).collect();
        for line in &lines {
            alerts.append(line.as_bytes()).expect("written");
        }
        let mut got = Vec::new();
        while got.len() < lines.len() {
            // A new one each time, as after a restart.
            let mut delivery = Delivery::open(folder.path(), "posted", &alerts).expect("a place");
            got.extend(delivered(&mut delivery, &alerts, 7));
        }
        assert_eq!(got, lines);
        let mut other = Delivery::open(folder.path(), "printed", &alerts).expect("a place");
        assert_eq!(delivered(&mut other, &alerts, 1_000), lines);
        assert_eq!(delivered(&mut other, &alerts, 1_000), Vec::<String>::new());
    }
}
