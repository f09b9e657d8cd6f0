//! RocksDB's record files, the write-ahead log and the manifest, as bytes: what in them is whole, damaged or torn.
//!
//! ```text
//! file     blocks of 32,768 bytes; less than 7 bytes at the end of a block are no record
//! record   u32 LE masked CRC-32C of kind and payload || u16 LE length || u8 kind || payload
//! kind     1 whole; or a part: 2 first, 3 middle, 4 last
//! ```
//! RocksDB stops at the first record that it cannot read, or takes it for a write that a crash cut short, and forgets
//! everything behind it. This reader tells damage from a torn end, reads the records behind the damage, and mends one
//! flipped bit: in so short a record the CRC says which bit it was.

/// What a record file holds.
#[derive(Debug, Default)]
pub struct Journal {
    /// The records that are whole, or were put right, oldest first.
    pub records: Vec<Record>,
    /// What is damaged, in order.
    pub flaws: Vec<Flaw>,
    /// Where a write begins that was cut short, if the file ends in one: nobody was told that it is durable.
    pub torn: Option<usize>,
}

/// A record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// Where its first part begins.
    pub at: usize,
    /// Its payload.
    pub payload: Vec<u8>,
    /// Whether a part of it was put right.
    pub mended: bool,
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flaw {
    /// Where they begin.
    pub at: usize,
    /// How many there are.
    pub bytes: usize,
    /// Whether the record that stood there is known all the same.
    pub mended: bool,
}

/// Reads a record file.
pub fn read(file: &[u8]) -> Journal {
    let mut journal = Journal::default();
    // The parts so far of a record that is longer than its block.
    let mut parts: Option<Record> = None;
    let mut at = 0;
    while at < file.len() {
        if BLOCK - at % BLOCK < HEADER {
            at = (at / BLOCK + 1) * BLOCK;
            continue;
        }
        let (part, mended) = match Part::read(file, at) {
            Some(part) => (part, false),
            None => {
                let next = (at + 1..file.len()).find(|next| Part::read(file, *next).is_some());
                let end = next.unwrap_or(file.len());
                match Part::mend(&file[at..end.min((at / BLOCK + 1) * BLOCK)]) {
                    Some(part) => {
                        journal.flaws.push(Flaw { at, bytes: HEADER + part.payload.len(), mended: true });
                        (part, true)
                    }
                    None if next.is_none() && is_torn(file, at) => {
                        journal.torn = Some(at);
                        break;
                    }
                    None => {
                        journal.lose(parts.take().map_or(at, |record| record.at), end);
                        at = end;
                        continue;
                    }
                }
            }
        };
        let end = at + HEADER + part.payload.len();
        match (part.kind, parts.take()) {
            (FIRST, None) => parts = Some(Record { at, payload: part.payload, mended }),
            (WHOLE, None) => journal.records.push(Record { at, payload: part.payload, mended }),
            (MIDDLE | LAST, Some(mut record)) => {
                record.payload.extend(part.payload);
                record.mended |= mended;
                if part.kind == LAST {
                    journal.records.push(record);
                } else {
                    parts = Some(record);
                }
            }
            // A part whose record began in what is damaged.
            (_, None) => journal.lose(at, end),
            // A record that never ended.
            (_, Some(record)) => {
                journal.lose(record.at, at);
                if part.kind == FIRST {
                    parts = Some(Record { at, payload: part.payload, mended });
                } else {
                    journal.records.push(Record { at, payload: part.payload, mended });
                }
            }
        }
        at = end;
    }
    if let Some(record) = parts {
        journal.torn = Some(record.at);
    }
    journal
}

/// Writes records as RocksDB does.
pub fn write(records: &[Record]) -> Vec<u8> {
    let mut file = Vec::new();
    for record in records {
        let mut rest = &record.payload[..];
        let mut is_first = true;
        loop {
            let room = BLOCK - file.len() % BLOCK;
            if room < HEADER {
                file.resize(file.len() + room, 0);
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(room - HEADER));
            let kind = match (is_first, later.is_empty()) {
                (true, true) => WHOLE,
                (true, false) => FIRST,
                (false, true) => LAST,
                (false, false) => MIDDLE,
            };
            file.extend(mask(checksum(kind, now)).to_le_bytes());
            file.extend((now.len() as u16).to_le_bytes());
            file.push(kind);
            file.extend(now);
            (rest, is_first) = (later, false);
            if later.is_empty() {
                break;
            }
        }
    }
    file
}

impl Journal {
    /// Notes that `at..end` cannot be read; what touches is one flaw.
    fn lose(&mut self, at: usize, end: usize) {
        match self.flaws.last_mut().filter(|last| !last.mended && last.at + last.bytes >= at) {
            Some(last) => last.bytes = end - last.at,
            None => self.flaws.push(Flaw { at, bytes: end - at, mended: false }),
        }
    }
}

/// A record or a part of one, inside one block.
struct Part {
    kind: u8,
    payload: Vec<u8>,
}

impl Part {
    /// The part at `at`, if it is what its checksum says.
    fn read(file: &[u8], at: usize) -> Option<Self> {
        let room = BLOCK - at % BLOCK;
        let (stored, length, kind) = header(file.get(at..)?)?;
        if !(WHOLE..=LAST).contains(&kind) || HEADER + length > room {
            return None;
        }
        let payload = file.get(at + HEADER..at + HEADER + length)?;
        (mask(checksum(kind, payload)) == stored).then(|| Self { kind, payload: payload.to_vec() })
    }

    /// The part that `bytes` begin with, if damage to its length alone or one flipped bit explains them.
    fn mend(bytes: &[u8]) -> Option<Self> {
        let (stored, length, kind) = header(bytes)?;
        let rest = &bytes[HEADER..];
        if (WHOLE..=LAST).contains(&kind)
            && let Some(length) = prefix_of(kind, rest, stored)
        {
            return Some(Self { kind, payload: rest[..length].to_vec() });
        }
        let mut message = [&[kind], rest.get(..length)?].concat();
        let computed = !update(!0, &message);
        if (mask(computed) ^ stored).count_ones() > 1 {
            let (byte, bit) = flipped(message.len(), computed ^ unmask(stored))?;
            message[byte] ^= 1 << bit;
        }
        let kind = message.remove(0);
        (WHOLE..=LAST).contains(&kind).then_some(Self { kind, payload: message })
    }
}

/// How many bytes of `rest`, behind `kind`, have the checksum that is stored.
fn prefix_of(kind: u8, rest: &[u8], stored: u32) -> Option<usize> {
    let want = !unmask(stored);
    let mut state = update(!0, &[kind]);
    for (length, byte) in rest.iter().enumerate() {
        if state == want {
            return Some(length);
        }
        state = update(state, &[*byte]);
    }
    (state == want).then_some(rest.len())
}

/// The byte and the bit of a message of `length` bytes whose flip changes its CRC by `change`: one at most, since
/// CRC-32C tells two flipped bits from none in everything below 2^31 bits.
fn flipped(length: usize, change: u32) -> Option<(usize, u32)> {
    let mut changes: [u32; 8] = std::array::from_fn(|bit| update(0, &[1 << bit]));
    for byte in (0..length).rev() {
        if let Some(bit) = changes.iter().position(|by| *by == change) {
            return Some((byte, bit as u32));
        }
        changes = changes.map(|by| update(by, &[0]));
    }
    None
}

/// Whether what is at `at`, with nothing readable behind it, is the beginning of a write, or what a file that was made
/// longer holds before it is written.
fn is_torn(file: &[u8], at: usize) -> bool {
    let rest = &file[at..];
    let Some((_, length, kind)) = header(rest) else { return true };
    let is_cut = HEADER + length > rest.len() && HEADER + length <= BLOCK - at % BLOCK;
    (is_cut && (WHOLE..=LAST).contains(&kind)) || rest.iter().all(|byte| *byte == 0)
}

/// Checksum, length and kind.
fn header(bytes: &[u8]) -> Option<(u32, usize, u8)> {
    let [a, b, c, d, low, high, kind] = *bytes.first_chunk()?;
    Some((u32::from_le_bytes([a, b, c, d]), usize::from(u16::from_le_bytes([low, high])), kind))
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    !update(update(!0, &[kind]), payload)
}

/// RocksDB stores a CRC in another form, so that the CRC of bytes that hold CRCs says something.
fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(MASK_DELTA)
}

fn unmask(stored: u32) -> u32 {
    stored.wrapping_sub(MASK_DELTA).rotate_left(15)
}

/// CRC-32C (RFC 3720 appendix B.4), 8 bytes a step.
fn update(mut state: u32, bytes: &[u8]) -> u32 {
    let (chunks, rest) = bytes.as_chunks::<8>();
    for chunk in chunks {
        let [a, b, c, d, e, f, g, h] = (u64::from_le_bytes(*chunk) ^ u64::from(state)).to_le_bytes();
        let bytes = [h, g, f, e, d, c, b, a];
        state = (0..8).fold(0, |state, at| state ^ TABLES[at][usize::from(bytes[at])]);
    }
    rest.iter().fold(state, |state, byte| TABLES[0][usize::from(state as u8 ^ byte)] ^ (state >> 8))
}

/// `TABLES[n][byte]`: the CRC's state after the byte and n zeros.
static TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut state = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { (state >> 1) ^ 0x82F6_3B78 } else { state >> 1 };
            bit += 1;
        }
        tables[0][byte] = state;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        zeros += 1;
    }
    tables
};

const BLOCK: usize = 32_768;
const HEADER: usize = 7;
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const MASK_DELTA: u32 = 0xa282_ead8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Records of many lengths: some end where a block ends, some go over several.
    fn records() -> Vec<Record> {
        let lengths = [40, 500, 0, 31_000, 1_200, 9, 70_000, 12, 25_000, 333, 60];
        let payload = |(seed, length)| (0..length).map(|at| (at * 31 + seed * 7 + at / 251) as u8).collect();
        lengths
            .into_iter()
            .enumerate()
            .map(payload)
            .map(|payload| Record { at: 0, payload, mended: false })
            .collect()
    }

    fn payloads(journal: &Journal) -> Vec<&[u8]> {
        journal.records.iter().map(|record| &record.payload[..]).collect()
    }

    #[test]
    fn the_crc_is_that_of_rfc_3720() {
        assert_eq!(!update(!0, &[0; 32]), 0x8A91_36AA);
        assert_eq!(!update(!0, &[0xff; 32]), 0x62A8_AB43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(!update(!0, &ascending), 0x46DD_794E);
        assert_eq!(!update(!0, b"123456789"), 0xE306_9283);
        assert_eq!(unmask(mask(0xE306_9283)), 0xE306_9283);
    }

    #[test]
    fn what_is_written_is_read() {
        let records = records();
        let journal = read(&write(&records));
        assert!(journal.flaws.is_empty() && journal.torn.is_none());
        assert_eq!(payloads(&journal), records.iter().map(|record| &record.payload[..]).collect::<Vec<_>>());
    }

    /// Each bit of a file, wherever it stands: the flip is told, is never taken for a torn end, and every record is
    /// there as it was written.
    #[test]
    fn each_flipped_bit_is_found_and_put_right() {
        let records = records();
        let file = write(&records);
        let whole = payloads(&read(&file)).concat();
        // Each bit of the headers and of what is at the edges; of long payloads a sample.
        let starts: Vec<usize> = read(&file).records.iter().map(|record| record.at).collect();
        let part = |at| Part::read(&file, at).map(|part| at..at + HEADER + part.payload.len());
        let parts: Vec<_> = (0..file.len()).filter_map(part).collect();
        let near = |at: usize| {
            let near = |edge: usize| at.abs_diff(edge) < 8;
            starts.iter().any(|start| near(*start))
                || near(at.next_multiple_of(BLOCK))
                || near(at / BLOCK * BLOCK)
        };
        for at in (0..file.len()).filter(|at| near(*at) || at % 4_001 == 0) {
            for bit in 0..8 {
                let mut flipped = file.clone();
                flipped[at] ^= 1 << bit;
                let journal = read(&flipped);
                assert_eq!(payloads(&journal).concat(), whole, "bit {bit} of byte {at}");
                let is_padding = !parts.iter().any(|part| part.contains(&at));
                assert_eq!(journal.flaws.len(), usize::from(!is_padding), "bit {bit} of byte {at}");
                assert!(journal.flaws.iter().all(|flaw| flaw.mended) && journal.torn.is_none());
            }
        }
    }

    /// A file cut anywhere holds the records before the cut, ends in a torn write or at a record, and is not damaged.
    #[test]
    fn a_cut_file_is_torn_and_not_damaged() {
        let records = records();
        let file = write(&records);
        let all = read(&file);
        for length in (0..file.len()).filter(|length| length % 997 == 0 || length % BLOCK < 24) {
            let is_boundary = all.records.iter().any(|record| record.at == length);
            for zeros in if is_boundary { &[0, 5, 900, 40_000][..] } else { &[0] } {
                let cut = [&file[..length], &vec![0; *zeros][..]].concat();
                let journal = read(&cut);
                assert!(journal.flaws.is_empty(), "cut at {length}: {:?}", journal.flaws);
                let kept = all.records.iter().take_while(|record| {
                    all.records.iter().find(|next| next.at > record.at).is_some_and(|next| next.at <= length)
                });
                assert!(journal.records.len() >= kept.count(), "cut at {length}");
                assert_eq!(payloads(&journal)[..], payloads(&all)[..journal.records.len()]);
            }
        }
    }

    /// What cannot be put right costs its own record, and none behind it.
    #[test]
    fn a_hole_costs_what_was_in_it() {
        let records = records();
        let file = write(&records);
        let at = read(&file).records[4].at;
        for hole in [vec![0; 300], vec![0xa5; 300], (0..=255).cycle().take(300).collect::<Vec<u8>>()] {
            let mut damaged = file.clone();
            damaged[at + 3..at + 303].copy_from_slice(&hole);
            let journal = read(&damaged);
            let mut want: Vec<&[u8]> = records.iter().map(|record| &record.payload[..]).collect();
            want.remove(4);
            assert_eq!(payloads(&journal), want);
            // It lies in two blocks.
            assert_eq!(journal.flaws, [Flaw { at, bytes: 1_200 + 2 * HEADER, mended: false }]);
        }
        // In the middle of a record of several blocks: all of its parts, and no other record.
        let mut damaged = file.clone();
        let inside = read(&file).records[6].at + BLOCK;
        damaged[inside..inside + 40].fill(0x11);
        let journal = read(&damaged);
        assert_eq!(journal.records.len(), records.len() - 1);
        assert!(journal.flaws.iter().all(|flaw| !flaw.mended) && !journal.flaws.is_empty());
    }
}
