//! The second record of what was cosigned: one file beside the directory, synced before each answer.
//!
//! A database that has lost its last writes does not know it. This file tells: it counts the same rounds (synced batches)
//! and holds the last tree of each log. At a start the two must agree ([`crate::agreement`]).
//!
//! ```text
//! aip-witness-cosigned/v1\n
//! witness <name>\n                                  in the first round of a file: whose record it is
//! <size> <root, base64> <time> <origin>\n           a log that this round cosigned; the first round of a file has all
//! round <number> <hex SHA-256 of this frame's bytes before this>\n
//! zeros                                               room for further rounds: a sync need not note a new length
//! ```
//! Each round is appended as one frame. A crash can cut only the last frame, whose round was not answered yet. A file that
//! has grown large is replaced by one with a single frame; a crash leaves the old file or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use service::durable;
use tlog::encoding::parse_decimal;
use tlog::{Hash, TreeSize, UnixTime};

use crate::decide::Seen;

/// What was cosigned last of a log, as both records have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// The log.
    pub origin: String,
    /// The tree.
    pub seen: Seen,
    /// When.
    pub time: UnixTime,
}

impl Row {
    fn line(&self) -> String {
        let Seen { size, root } = self.seen;
        format!("{size} {} {} {}\n", root.to_base64(), self.time, self.origin)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next();
        let size = TreeSize::new(parse_decimal(next()?)?);
        let root = Hash::from_base64(next()?)?;
        let time = UnixTime::from_secs(parse_decimal(next()?)?);
        Some(Self { origin: next()?.to_owned(), seen: Seen { size, root }, time })
    }
}

/// The rows of a record, by origin.
pub type Rows = BTreeMap<String, Row>;

/// What a file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recorded {
    /// The name of the witness whose record it is, if it says so.
    pub witness: Option<String>,
    /// The number of its last round.
    pub round: u64,
    /// The last row of each log.
    pub rows: Rows,
    /// Whether it ends in a part of a frame.
    pub is_torn: bool,
    /// What is damaged before its end, with the number of a line.
    pub damage: Option<String>,
}

impl Recorded {
    /// Reads a file; `None` if there is none.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(bytes) => Ok(Some(Self::parse(&bytes))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Takes all frames that are whole, also behind a damaged one.
    fn parse(bytes: &[u8]) -> Self {
        let mut recorded = Self::default();
        let body = bytes.strip_prefix(HEADER.as_bytes()).unwrap_or_else(|| {
            recorded.damage = Some("line 1 is not that of such a record".to_owned());
            bytes
        });
        let (mut frame, mut at) = (0, 0);
        let (mut line_number, mut frame_line) = (1, 2);
        let mut is_first = true;
        // A wrong frame is damage if another one follows. If it is the last one, a crash may have cut it.
        let mut wrong = None;
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            line_number += 1;
            let end = at + line.len();
            if line.starts_with(b"round ") {
                match Frame::parse(&body[frame..at], line) {
                    Some(Frame { round, rows, witness })
                        if is_first || round == recorded.round + 1 && wrong.is_none() =>
                    {
                        recorded.witness = recorded.witness.or(witness);
                        recorded.take(round, rows);
                    }
                    Some(Frame { round, rows, .. }) => {
                        let lost = format!("behind round {} stands round {round}", recorded.round);
                        let wrong = wrong.take().unwrap_or(format!("{lost}, at line {frame_line}"));
                        recorded.damage.get_or_insert(wrong);
                        // Rounds must go up; otherwise nobody knows which came last.
                        if round > recorded.round {
                            recorded.take(round, rows);
                        }
                    }
                    None => {
                        wrong
                            .get_or_insert(format!("the frame at line {frame_line} is not what was written"));
                    }
                }
                is_first = false;
                (frame, frame_line) = (end, line_number + 1);
            }
            at = end;
        }
        // Room that begins with a zero has not been written to.
        recorded.is_torn = wrong.is_some() || body.get(frame).is_some_and(|byte| *byte != 0);
        recorded
    }

    fn take(&mut self, round: u64, rows: Vec<Row>) {
        self.round = round;
        self.rows.extend(rows.into_iter().map(|row| (row.origin.clone(), row)));
    }
}

struct Frame {
    round: u64,
    witness: Option<String>,
    rows: Vec<Row>,
}

impl Frame {
    /// A frame of these bytes, closed by `last` line.
    fn parse(rows: &[u8], last: &[u8]) -> Option<Self> {
        let last = std::str::from_utf8(last).ok()?.strip_prefix("round ")?.strip_suffix('\n')?;
        let (round, checksum) = last.split_once(' ')?;
        if checksum != Self::checksum(rows, round).to_string() {
            return None;
        }
        let mut lines = std::str::from_utf8(rows).ok()?.lines().peekable();
        let witness = lines.next_if(|line| line.starts_with(WITNESS));
        let witness = witness.and_then(|line| line.strip_prefix(WITNESS)).map(ToOwned::to_owned);
        let rows = lines.map(Row::parse).collect::<Option<_>>()?;
        Some(Self { round: parse_decimal(round)?, witness, rows })
    }

    fn print<'r>(round: u64, witness: Option<&str>, rows: impl Iterator<Item = &'r Row>) -> String {
        let mut text: String = witness.iter().map(|name| format!("{WITNESS}{name}\n")).collect();
        text.extend(rows.map(Row::line));
        let checksum = Self::checksum(text.as_bytes(), &round.to_string());
        text.push_str(&format!("round {round} {checksum}\n"));
        text
    }

    fn checksum(rows: &[u8], round: &str) -> Hash {
        Hash::of_parts(&[rows, b"round ", round.as_bytes()])
    }
}

/// The file, while a process cosigns.
#[derive(Debug)]
pub struct CosignedRecord {
    path: PathBuf,
    witness: String,
    file: File,
    round: u64,
    rows: Rows,
    /// Bytes that are written, bytes of the file, and of its first frame.
    length: u64,
    room: u64,
    first_length: u64,
}

impl CosignedRecord {
    /// Makes the file of a witness that has cosigned nothing. Refuses one that is there.
    pub fn create(path: &Path, witness: &str) -> io::Result<()> {
        let text = format!("{HEADER}{}", Frame::print(0, Some(witness), [].into_iter()));
        durable::write_new(path, text.as_bytes(), 0o644)?;
        durable::sync_folder(path)
    }

    /// Puts a file with one frame at `path`, durably, in the place of any that is there, and goes on from it.
    pub fn replace(path: &Path, witness: &str, round: u64, rows: Rows) -> io::Result<Self> {
        let text = format!("{HEADER}{}", Frame::print(round, Some(witness), rows.values()));
        durable::replace(path, text.as_bytes())?;
        let file = OpenOptions::new().write(true).open(path)?;
        let length = text.len() as u64;
        let (path, witness) = (path.to_owned(), witness.to_owned());
        Ok(Self { path, witness, file, round, rows, length, room: length, first_length: length })
    }

    /// The number of the last round.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Adds the next round. Durable once this returns; after an error the process must stop.
    pub fn append(&mut self, rows: Vec<Row>) -> io::Result<()> {
        if self.file.metadata()?.nlink() == 0 {
            return Err(io::Error::other("the file was removed: what is written to it is lost"));
        }
        let round = self.round + 1;
        let text = Frame::print(round, None, rows.iter());
        self.rows.extend(rows.into_iter().map(|row| (row.origin.clone(), row)));
        if self.length + text.len() as u64 > 2 * self.first_length + MOST_GROWTH_BYTES {
            *self = Self::replace(&self.path, &self.witness, round, std::mem::take(&mut self.rows))?;
            return Ok(());
        }
        while self.length + text.len() as u64 > self.room {
            self.file.write_all_at(&[0; ROOM_BYTES], self.room)?;
            self.room += ROOM_BYTES as u64;
        }
        self.file.write_all_at(text.as_bytes(), self.length)?;
        self.file.sync_data()?;
        self.length += text.len() as u64;
        self.round = round;
        Ok(())
    }
}

/// Begins the line that names the witness. A row begins with a number.
const WITNESS: &str = "witness ";

const HEADER: &str = "aip-witness-cosigned/v1\n";

/// How much room is made at a time.
const ROOM_BYTES: usize = 256 << 10;

/// How much a file grows, beside twice the bytes of all logs, before it is replaced.
const MOST_GROWTH_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests;
