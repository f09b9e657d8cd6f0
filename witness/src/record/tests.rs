//! What a record gives back, whatever became of its file.

use super::*;

fn row(log: u64, size: u64, time: u64) -> Row {
    let root = Hash::of(&[log.to_be_bytes(), size.to_be_bytes()].concat());
    let origin = format!("log.example/{log} with spaces");
    Row { origin, seen: Seen { size: TreeSize::new(size), root }, time: UnixTime::from_secs(time) }
}

fn rows(rows: &[Row]) -> Rows {
    rows.iter().map(|row| (row.origin.clone(), row.clone())).collect()
}

/// The rounds 1 to 4 of two logs; round 3 cosigned neither.
fn file() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("w.cosigned");
    CosignedRecord::create(&path, "w.example/w").expect("a new record");
    assert!(CosignedRecord::create(&path, "w.example/w").is_err(), "a record is made once");
    let mut record = CosignedRecord::replace(&path, "w.example/w", 0, Rows::new()).expect("the record");
    record.append(vec![row(1, 5, 10), row(2, 0, 10)]).expect("a round");
    record.append(vec![row(1, 7, 11)]).expect("a round");
    record.append(Vec::new()).expect("a round");
    record.append(vec![row(2, 9, 12)]).expect("a round");
    let mut file = fs::read(&path).expect("a file");
    let room = file.split_off(record.length as usize);
    assert!(!room.is_empty() && room.iter().all(|byte| *byte == 0));
    file
}

/// Room is nothing, whatever becomes of it; a part of a round in it is one that a crash cut.
#[test]
fn zeros_behind_the_last_round_are_room() {
    let whole = Recorded::parse(&file());
    let with = |written: &[u8]| {
        let mut file = file();
        file.extend(written);
        file.resize(file.len() + 5_000, 0);
        file
    };
    assert_eq!(Recorded::parse(&with(b"")), whole);
    for flipped in [b'\n', b'r', 1] {
        let mut file = with(b"");
        let at = file.len() - 100;
        file[at] = flipped;
        assert_eq!(Recorded::parse(&file), whole, "{flipped}");
    }
    assert_eq!(Recorded::parse(&with(b"17 ")), Recorded { is_torn: true, ..whole });
}

#[test]
fn a_record_gives_back_the_last_row_of_each_log() {
    let recorded = Recorded::parse(&file());
    let want = Recorded {
        witness: Some("w.example/w".into()),
        round: 4,
        rows: rows(&[row(1, 7, 11), row(2, 9, 12)]),
        is_torn: false,
        damage: None,
    };
    assert_eq!(recorded, want);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("w.cosigned");
    assert_eq!(Recorded::read(&path).expect("no file"), None);
    CosignedRecord::replace(&path, "w.example/w", 4, want.rows.clone()).expect("a record");
    assert_eq!(Recorded::read(&path).expect("a file"), Some(want));
}

/// A crash cuts the last frame: what was answered before is there, and that something is missing is said.
#[test]
fn a_file_that_was_cut_gives_back_its_whole_frames() {
    let whole = file();
    let header = HEADER.len();
    for cut in header..whole.len() {
        let recorded = Recorded::parse(&whole[..cut]);
        let is_between = cut == header
            || whole[..cut].ends_with(b"\n") && {
                let last = whole[..cut - 1].rsplit(|byte| *byte == b'\n').next().expect("a line");
                last.starts_with(b"round ")
            };
        assert_eq!(recorded.is_torn, !is_between, "{cut}");
        assert!(recorded.round < 4 && recorded.damage.is_none(), "{cut}: {recorded:?}");
    }
}

/// Whatever bit is flipped, it is said, and no row is believed that was not written.
#[test]
fn a_flipped_bit_is_named_and_never_believed() {
    let whole = file();
    let written = [row(1, 5, 10), row(2, 0, 10), row(1, 7, 11), row(2, 9, 12)];
    for byte in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            let recorded = Recorded::parse(&flipped);
            assert!(recorded.damage.is_some() || recorded.is_torn, "{byte} {bit}: passed over");
            assert!(recorded.rows.values().all(|row| written.contains(row)), "{byte} {bit}: {recorded:?}");
            // What looks like a crash is at the end, and the count of rounds tells how much is missing.
            assert!(recorded.damage.is_some() || recorded.round < 4, "{byte} {bit}: {recorded:?}");
        }
    }
}

#[test]
fn a_frame_that_was_taken_out_or_stands_twice_is_named() {
    let whole = String::from_utf8(file()).expect("UTF-8");
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let is_round = |number: u64| lines.iter().position(|line| line.starts_with(&format!("round {number} ")));
    let (two, three) = (is_round(2).expect("round 2"), is_round(3).expect("round 3"));
    let without = [&lines[..two + 1], &lines[three + 1..]].concat().concat();
    let twice = [&lines[..three + 1], &lines[two + 1..]].concat().concat();
    for text in [without, twice] {
        let recorded = Recorded::parse(text.as_bytes());
        assert!(recorded.damage.is_some() && recorded.round == 4, "{recorded:?}");
    }
}

/// A record that somebody removed takes nothing more: the next start would not find it.
#[test]
fn a_file_that_was_removed_takes_no_round() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("w.cosigned");
    let mut record = CosignedRecord::replace(&path, "w.example/w", 0, Rows::new()).expect("a record");
    record.append(vec![row(1, 5, 10)]).expect("a round");
    fs::remove_file(&path).expect("a file");
    assert!(record.append(vec![row(1, 7, 11)]).is_err());
}

/// A file does not grow with the number of rounds.
#[test]
fn a_file_that_has_grown_is_replaced_and_says_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("w.cosigned");
    let many: Vec<Row> = (0..4_000).map(|log| row(log, 1, 1)).collect();
    let mut record = CosignedRecord::replace(&path, "w.example/w", 0, rows(&many)).expect("a record");
    let (mut longest, mut replaced) = (0, false);
    for round in 1..=30 {
        let before = record.length;
        record.append((0..4_000).map(|log| row(log, round, round)).collect()).expect("a round");
        replaced |= record.length < before;
        longest = longest.max(fs::metadata(&path).expect("a file").len());
    }
    let most = 2 * record.first_length + MOST_GROWTH_BYTES + ROOM_BYTES as u64;
    assert!(replaced && longest <= most, "{longest}");
    let recorded = Recorded::read(&path).expect("a file").expect("a record");
    assert_eq!((recorded.round, recorded.rows.len()), (30, 4_000));
    assert!(recorded.rows.values().all(|row| row.seen.size.get() == 30 && !recorded.is_torn));
    assert_eq!(recorded.damage, None);
}
