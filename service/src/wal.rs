//! Files in RocksDB's log format, the write-ahead logs and the manifest, read without RocksDB: is every byte what was
//! written?
//!
//! RocksDB replays them when it opens a database, and none of its recovery modes refuses all damage. Each mode skips a
//! stretch of zeros in the middle. The mode that forgives a torn tail also forgives a damaged length in the last 32 KiB.
//! Whatever RocksDB skips is lost without a word, so both files are read here first.
//!
//! [`unsound`] tells what is wrong with a database folder, [`read`] takes out of one file all that can be read, and
//! [`Mended`] is a copy of a folder that holds that.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

mod journal;
mod mended;

pub use journal::{Flaw, Journal, Record, read, write};
pub use mended::{Mended, current};

/// What was read of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scan {
    /// Whole records, those behind a damaged one included.
    pub records: u64,
    /// How it ends.
    pub end: End,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// With the last byte of a record.
    Whole,
    /// In a record that was not written to its end, or in zeros, at this offset (bytes): a crash can leave both.
    Torn {
        /// Where what is not whole begins.
        at: u64,
    },
    /// A record was written whole, and has changed since.
    Damaged {
        /// Where the first damaged record begins, bytes.
        at: u64,
        /// Whole records behind it.
        behind: u64,
    },
}

/// A file that is not whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unsound {
    /// The file.
    pub path: PathBuf,
    /// What was read of it.
    pub scan: Scan,
}

impl Unsound {
    /// Whether a crash alone explains it.
    pub fn is_torn(&self) -> bool {
        matches!(self.scan.end, End::Torn { .. })
    }
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, records) = (self.path.display(), self.scan.records);
        match self.scan.end {
            End::Whole => write!(f, "`{path}` is whole: {records} records"),
            End::Torn { at } => {
                write!(f, "`{path}` ends in a part of a record at byte {at}, behind {records} whole records")
            }
            End::Damaged { at, behind } => write!(
                f,
                "`{path}` is damaged at byte {at}: {} records are whole before it, {behind} behind it",
                records - behind
            ),
        }
    }
}

/// Reads every write-ahead log of a database folder, in their order, and its manifest. Answers those that are not whole.
///
/// A crash tears only the last write-ahead log, and a crash during its recovery leaves newer ones that go on where it
/// ends. So a newer one with a gap before it means that the torn one was damaged.
pub fn unsound(db: &Path) -> io::Result<Vec<Unsound>> {
    let mut found: Vec<Unsound> = Vec::new();
    // The torn log before, by its place in `found`, and the number that comes after its last whole record.
    let mut torn: Option<usize> = None;
    let mut next = None;
    for path in logs(db)? {
        let journal = read(&fs::read(&path)?);
        let batches = || journal.records.iter().filter_map(|record| numbers(&record.payload));
        if let Some((first, _)) = batches().next()
            && let Some(before) = torn.take()
            && next != Some(first)
            && let End::Torn { at } = found[before].scan.end
        {
            found[before].scan.end = End::Damaged { at, behind: 0 };
        }
        next = batches().next_back().map(|(first, count)| first + u64::from(count)).or(next);
        let scan = Scan::of(&journal);
        if scan.end != End::Whole {
            torn = matches!(scan.end, End::Torn { .. }).then_some(found.len());
            found.push(Unsound { path, scan });
        }
    }
    // A name that is damaged leads to no manifest: the caller's to refuse.
    if let Ok(name) = current(db)? {
        let path = db.join(name);
        let scan = Scan::of(&read(&fs::read(&path)?));
        if scan.end != End::Whole {
            found.push(Unsound { path, scan });
        }
    }
    Ok(found)
}

/// The write-ahead logs of a database folder, in their order.
pub fn logs(db: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(db)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "log"))
        {
            logs.push((number, path));
        }
    }
    logs.sort();
    Ok(logs.into_iter().map(|(_, path)| path).collect())
}

/// The first sequence number of a write batch, and how many it has.
fn numbers(batch: &[u8]) -> Option<(u64, u32)> {
    let (first, rest) = batch.split_first_chunk()?;
    Some((u64::from_le_bytes(*first), u32::from_le_bytes(*rest.first_chunk()?)))
}

impl Scan {
    /// What there is to say of a file that was read.
    fn of(journal: &Journal) -> Self {
        let whole = || journal.records.iter().filter(|record| !record.mended);
        let end = match (journal.flaws.first(), journal.torn) {
            (Some(flaw), _) => {
                let behind = whole().filter(|record| record.at > flaw.at).count() as u64;
                End::Damaged { at: flaw.at as u64, behind }
            }
            (None, Some(at)) => End::Torn { at: at as u64 },
            (None, None) => End::Whole,
        };
        Self { records: whole().count() as u64, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write-ahead log: batches of three, the first of them with this sequence number.
    fn log(first: u64, batches: u64) -> Vec<u8> {
        let batch = |number: u64| {
            let payload = [&(first + 3 * number).to_le_bytes()[..], &3u32.to_le_bytes(), &[7; 500]].concat();
            Record { at: 0, payload, mended: false }
        };
        write(&(0..batches).map(batch).collect::<Vec<_>>())
    }

    fn found(files: &[&[u8]]) -> Vec<(String, End)> {
        let db = tempfile::tempdir().expect("a temporary folder");
        fs::write(db.path().join("CURRENT"), "MANIFEST-000001\n").expect("written");
        for (number, file) in files.iter().enumerate() {
            let name = if number == 0 { "MANIFEST-000001".into() } else { format!("{:06}.log", 7 + number) };
            fs::write(db.path().join(name), file).expect("written");
        }
        let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
        unsound(db.path())
            .expect("readable")
            .into_iter()
            .map(|file| (name(&file.path), file.scan.end))
            .collect()
    }

    #[test]
    fn a_torn_log_is_the_last_or_goes_on_in_the_next() {
        let manifest = log(0, 2);
        let (whole, later) = (log(10, 4), log(22, 1));
        let cut = &whole[..whole.len() - 5];
        let at = (whole.len() - 519) as u64;
        assert_eq!(found(&[&manifest, &whole, &later]), []);
        assert_eq!(found(&[&manifest, &whole, cut]), [("000009.log".into(), End::Torn { at })]);
        let torn = [("000008.log".into(), End::Torn { at })];
        assert_eq!(found(&[&manifest, cut, &[]]), torn, "a crash while it was recovered");
        assert_eq!(
            found(&[&manifest, cut, &[], &log(19, 1)]),
            torn,
            "the torn batch was never told, and its number is free"
        );
        let damaged = [("000008.log".into(), End::Damaged { at, behind: 0 })];
        assert_eq!(found(&[&manifest, cut, &[], &later]), damaged, "what was written after it knows of it");
    }

    #[test]
    fn damage_is_told_with_what_is_before_and_behind_it() {
        let mut manifest = log(0, 9);
        assert_eq!(found(&[&manifest[..manifest.len() - 1]]).len(), 1);
        manifest[519 * 2 + 100] ^= 4;
        assert_eq!(
            found(&[&manifest]),
            [("MANIFEST-000001".into(), End::Damaged { at: 519 * 2, behind: 6 })]
        );
    }
}
