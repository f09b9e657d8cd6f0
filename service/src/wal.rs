//! Files in RocksDB's log format, the write-ahead logs and the manifest, read without RocksDB: is every byte what was
//! written?
//!
//! RocksDB replays them when it opens a database, and no recovery mode of it refuses all damage: each passes over a
//! stretch of zeros in the middle, and the one that forgives a torn tail takes a record whose length was damaged for
//! one, if it stands in the last 32 KiB. What is passed over is lost without a word. So both files are read here first.
//!
//! ```text
//! file    blocks of 32 KiB; the last one may be shorter
//! block   records, and fewer than 7 zeros where no further one fits
//! record  CRC-32C of what follows the length, masked u32 | length u16 | type u8 | bytes        (little endian)
//! type    1 whole | 2 first, 3 middle, 4 last part | 9 and above: settings of the file
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

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
    /// It was written whole and is not what was written.
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

/// Reads every write-ahead log of a database folder, in their order, and its manifest. Answers those that are not
/// whole. Only the last write-ahead log, and the manifest, may be torn: any other was closed whole, and is damaged.
pub fn unsound(db: &Path) -> io::Result<Vec<Unsound>> {
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
    let mut found = Vec::new();
    let last = logs.len().saturating_sub(1);
    for (at, (_, path)) in logs.into_iter().enumerate() {
        let mut scan = scan(File::open(&path)?)?;
        if let End::Torn { at: offset } = scan.end
            && at != last
        {
            scan.end = End::Damaged { at: offset, behind: 0 };
        }
        if scan.end != End::Whole {
            found.push(Unsound { path, scan });
        }
    }
    // A name that is damaged leads to no file, which is RocksDB's to refuse.
    let current = fs::read(db.join("CURRENT"))?;
    let name = String::from_utf8_lossy(&current);
    let path = db.join(name.trim_end());
    if name.starts_with("MANIFEST-") && path.is_file() {
        let scan = scan(File::open(&path)?)?;
        if scan.end != End::Whole {
            found.push(Unsound { path, scan });
        }
    }
    Ok(found)
}

/// Reads a file to its end.
pub fn scan(mut file: impl Read) -> io::Result<Scan> {
    let mut reading = Reading::default();
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        block.clear();
        file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        reading.block(&block);
        if block.len() < BLOCK {
            return Ok(reading.end());
        }
    }
}

#[derive(Debug, Default)]
struct Reading {
    /// Where the block begins.
    base: u64,
    records: u64,
    /// Where a record began that goes on.
    first: Option<u64>,
    /// Where what is not whole, and is at the end unless more comes, begins.
    torn: Option<u64>,
    /// Where the first damage is, and how many records stood before it.
    damaged: Option<(u64, u64)>,
}

impl Reading {
    fn block(&mut self, block: &[u8]) {
        let mut at = 0;
        if let Some(torn) = self.torn.filter(|_| block.iter().any(|byte| *byte != 0)) {
            self.damage(torn);
        }
        while self.torn.is_none() && at < block.len() {
            match Record::read(&block[at..], block.len() == BLOCK) {
                Ok(record) => {
                    self.record(record.kind, self.base + at as u64);
                    at += HEADER + record.length;
                }
                Err(NoRecord::Trailer) => break,
                Err(NoRecord::Torn) if !is_followed(&block[at + 1..]) => {
                    self.torn = Some(self.first.unwrap_or(self.base + at as u64));
                }
                Err(_) => {
                    // As RocksDB does: a length that cannot be trusted leads nowhere, the next block is a new start.
                    self.damage(self.base + at as u64);
                    self.first = None;
                    break;
                }
            }
        }
        self.base += block.len() as u64;
    }

    fn record(&mut self, kind: u8, at: u64) {
        match (kind, self.first) {
            (FIRST | WHOLE, Some(first)) => self.damage(first),
            (MIDDLE | LAST, None) => return self.damage(at),
            _ => (),
        }
        match kind {
            FIRST => self.first = Some(at),
            MIDDLE => (),
            LAST | WHOLE => {
                self.first = None;
                self.records += 1;
            }
            _ => (),
        }
    }

    fn damage(&mut self, at: u64) {
        self.torn = None;
        self.damaged.get_or_insert((at, self.records));
    }

    fn end(self) -> Scan {
        let end = match (self.damaged, self.torn.or(self.first)) {
            (Some((at, before)), _) => End::Damaged { at, behind: self.records - before },
            (None, Some(at)) => End::Torn { at },
            (None, None) => End::Whole,
        };
        Scan { records: self.records, end }
    }
}

struct Record {
    kind: u8,
    length: usize,
}

enum NoRecord {
    /// The rest of a full block, where none fits.
    Trailer,
    /// It goes on behind the end of the file, or is nothing but zeros.
    Torn,
    /// Its checksum is another, or it goes on behind the end of its block.
    Bad,
}

impl Record {
    /// The record at the beginning of `rest`, which is what is left of a block.
    fn read(rest: &[u8], is_full_block: bool) -> Result<Self, NoRecord> {
        let is_zero = || rest.iter().all(|byte| *byte == 0);
        let beyond = if is_full_block { NoRecord::Bad } else { NoRecord::Torn };
        let [a, b, c, d, low, high, kind, ..] = *rest else {
            return Err(if is_full_block && is_zero() { NoRecord::Trailer } else { beyond });
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        if kind == 0 && length == 0 {
            return Err(if is_zero() { NoRecord::Torn } else { NoRecord::Bad });
        }
        let checked = rest.get(HEADER - 1..HEADER + length).ok_or(beyond)?;
        if masked(crc32c(checked)) != u32::from_le_bytes([a, b, c, d]) {
            return Err(NoRecord::Bad);
        }
        Ok(Self { kind, length })
    }
}

/// Whether a whole record stands anywhere in `rest`: then what is before it was not the last that was written.
fn is_followed(rest: &[u8]) -> bool {
    (0..rest.len()).any(|at| {
        let is_kind = rest.get(at + HEADER - 1).is_some_and(|kind| (WHOLE..=LAST).contains(kind));
        is_kind && Record::read(&rest[at..], false).is_ok_and(|record| record.length > 0)
    })
}

/// CRC-32C (RFC 3720 appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

/// As it is stored: the checksum of bytes that hold checksums is a bad one.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;

const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of these lengths, as RocksDB writes them.
    fn file(lengths: &[usize]) -> Vec<u8> {
        let mut file: Vec<u8> = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let mut left = *length;
            let mut is_first = true;
            loop {
                let room = BLOCK - file.len() % BLOCK;
                if room < HEADER {
                    file.resize(file.len() + room, 0);
                    continue;
                }
                let part = left.min(room - HEADER);
                left -= part;
                let kind = match (is_first, left) {
                    (true, 0) => WHOLE,
                    (true, _) => FIRST,
                    (false, 0) => LAST,
                    (false, _) => MIDDLE,
                };
                let mut checked = vec![kind];
                checked.resize(1 + part, number as u8 + 1);
                file.extend(masked(crc32c(&checked)).to_le_bytes());
                file.extend((part as u16).to_le_bytes());
                file.extend(checked);
                is_first = false;
                if left == 0 {
                    break;
                }
            }
        }
        file
    }

    fn of(bytes: &[u8]) -> Scan {
        scan(bytes).expect("memory is readable")
    }

    /// RFC 3720 appendix B.4.
    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_file_that_was_written_whole_is_whole() {
        for lengths in
            [&[][..], &[1, 2, 3], &[BLOCK - HEADER, 5], &[BLOCK - HEADER - 3, 5], &[100_000, 0, 70_000, 9]]
        {
            let want = Scan { records: lengths.len() as u64, end: End::Whole };
            assert_eq!(of(&file(lengths)), want, "{lengths:?}");
        }
    }

    /// A crash cuts the last record, and leaves zeros at most.
    #[test]
    fn a_file_that_was_cut_anywhere_is_torn_there() {
        let whole = file(&[10, 20, 40_000, 30]);
        let ends = [0, 17, 44, whole.len() - 37, whole.len()];
        for cut in (0..60).chain((60..whole.len()).step_by(7_919)).chain(whole.len() - 40..=whole.len()) {
            let records = ends[1..].iter().filter(|end| **end <= cut).count();
            let at = ends[records] as u64;
            let want = if cut as u64 == at { End::Whole } else { End::Torn { at } };
            let scan = of(&whole[..cut]);
            // The trailer of a block that is cut is no record yet.
            assert_eq!(scan, Scan { records: records as u64, end: want }, "{cut}");
            let mut zeros = whole[..cut].to_vec();
            zeros.resize(cut + 50_000, 0);
            if cut as u64 == at {
                assert_eq!(of(&zeros).end, End::Torn { at }, "{cut}");
            }
        }
    }

    /// Whatever bit is flipped: damage, or, in the very last record and nowhere else, a tail that looks torn.
    #[test]
    fn a_flipped_bit_is_never_passed_over() {
        let whole = file(&[10, 20, 40_000, 30]);
        let last = whole.len() - 37;
        for byte in (0..60).chain((60..whole.len()).step_by(2_003)).chain(last - 9..whole.len()) {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[byte] ^= 1 << bit;
                match of(&flipped).end {
                    End::Damaged { at, .. } => assert!(at <= byte as u64, "{byte} {bit}"),
                    End::Torn { at } => assert!(at == last as u64 && byte >= last, "{byte} {bit}: {at}"),
                    End::Whole => panic!("{byte} {bit}: passed over"),
                }
            }
        }
    }

    #[test]
    fn what_was_zeroed_or_taken_out_of_the_middle_is_damage_and_what_is_behind_it_is_counted() {
        let whole = file(&[10, 20, 40_000, 30]);
        for range in [0..17, 17..44, 5..20, 100..30_000] {
            let mut zeroed = whole.clone();
            zeroed[range.clone()].fill(0);
            let scan = of(&zeroed);
            assert!(matches!(scan.end, End::Damaged { behind, .. } if behind >= 1), "{range:?}: {scan:?}");
            let taken = [&whole[..range.start + 3], &whole[range.end + 3..]].concat();
            assert!(matches!(of(&taken).end, End::Damaged { .. }), "{range:?}");
        }
    }
}
