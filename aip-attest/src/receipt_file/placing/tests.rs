use std::io;

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::statement::{Statement, Subject};
use tlog::key::Ed25519PrivateKey;

use super::super::{Listings, Shelf, read};
use super::*;
use crate::predicate;

const DISKS: [Disk; 3] = [Disk::SYSTEM, Disk::WITHOUT_EXCHANGE, Disk::PLAIN];

fn silent() -> Console {
    Console::new(Box::new(io::sink()), Box::new(io::sink()))
}

/// What the key made of `seed` says about an artifact of this content, in these words.
fn signed(seed: u8, content: &str, words: &str) -> Receipt {
    let key = Ed25519PrivateKey::from_seed(&[seed; 32]);
    let subjects = vec![Subject::new("app", Hash::of(content.as_bytes()))];
    let mut predicate = serde_json::Map::new();
    predicate.insert("words".to_owned(), words.into());
    let statement = Statement::new(subjects, "urn:x", predicate).expect("a statement");
    let envelope = Envelope::sign(&key, statement.to_payload());
    Receipt::signed(Did::of(&key.public_key()), key.public_key(), envelope).expect("a receipt")
}

/// The same, on its way to a log.
fn pending(seed: u8, content: &str, words: &str) -> Receipt {
    let key = Ed25519PrivateKey::from_seed(&[seed; 32]);
    let receipt = signed(seed, content, words);
    let claim = Claim::new(
        receipt.envelope(),
        receipt.statement(),
        receipt.did(),
        &key.public_key(),
        "log.example.com",
        Visibility::Public,
    );
    let entry = PendingEntry::sign(claim.expect("a claim"), &key).expect("an entry");
    receipt.pending(entry)
}

fn place(dir: &tempfile::TempDir) -> Place {
    Shelf::default().place(&dir.path().join("app"), "app", predicate::PROVENANCE).expect("a name")
}

fn put(disk: Disk, place: &Place, receipt: &Receipt) -> Written {
    put_all(disk, vec![Item::new(place, receipt)]).expect("written").remove(0)
}

/// What lies in the folder, the receipts at the place and beside it; and nothing else does.
fn there(dir: &tempfile::TempDir) -> Vec<Receipt> {
    let place = place(dir);
    let mut files = vec![place.path()];
    files.extend(place.beside(&mut Listings::default()).expect("a folder"));
    files.retain(|file| file.exists());
    let all = fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(all, files.len(), "something else was left: {:?}", fs::read_dir(dir.path()));
    files.iter().map(|file| read(file).expect("a receipt")).collect()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_kept_receipt_has_a_name_of_its_own() {
    let receipt = signed(7, "x", "");
    let id = &Hash::of(receipt.envelope().to_json().as_bytes()).to_string()[..16];
    for (path, number, want) in [
        ("d/app.receipt.json", 1, format!("d/app.{id}.receipt.json")),
        ("app.vsa.receipt.json", 2, format!("app.vsa.{id}-2.receipt.json")),
        ("newest.json", 1, format!("newest.json.{id}.receipt.json")),
        ("app.0123456789abcdef-2.receipt.json", 1, format!("app.{id}.receipt.json")),
    ] {
        let place = Place::named(Path::new(path)).expect("a place");
        assert_eq!((place.path(), place.kept_as(&receipt, number)), (path.into(), want.into()));
    }
    let place = Place::named(Path::new("a")).expect("a place");
    assert_ne!(place.kept_as(&receipt, 1), place.kept_as(&signed(7, "y", ""), 1));
}

/// Who has the place in the end, and who is kept beside it.
#[test]
fn the_place_is_for_what_is_worth_most() {
    let (own, other) = (7, 8);
    // At the place, the new one: who has the place afterwards, how many receipts there are.
    for (old, new, is_taken, count) in [
        (signed(own, "a", "1"), signed(own, "a", "1"), true, 1),
        (signed(own, "a", "1"), pending(own, "a", "1"), true, 1),
        (pending(own, "a", "1"), signed(own, "a", "1"), false, 1),
        (signed(own, "a", "1"), signed(own, "a", "2"), true, 2),
        (pending(own, "a", "1"), signed(own, "a", "2"), false, 2),
        (pending(own, "a", "1"), signed(own, "b", "2"), true, 2),
        (signed(other, "a", "1"), signed(own, "a", "1"), false, 2),
        (signed(other, "a", "1"), pending(own, "a", "1"), true, 2),
    ] {
        for disk in DISKS {
            let dir = folder();
            let place = place(&dir);
            put(disk, &place, &old);
            let written = put(disk, &place, &new);
            let at_place = read(&place.path()).expect("a receipt");
            assert_eq!(at_place == new, is_taken);
            let all = there(&dir);
            assert_eq!(all.len(), count);
            assert!(all.iter().any(|there| holds_all_of(there, &old)));
            assert!(holds_all_of(&read(written.path()).expect("a receipt"), &new));
            // Once more changes nothing.
            assert!(!put(disk, &place, &new).is_new);
            assert_eq!(there(&dir).len(), count);
        }
    }
}

/// Another process puts its receipt there between the moment of reading and the moment of writing.
#[test]
fn what_comes_between_is_not_replaced() {
    thread_local! {
        static BETWEEN: std::cell::RefCell<Vec<(Place, Receipt)>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    fn come_between() {
        let next = BETWEEN.with(|between| between.borrow_mut().pop());
        if let Some((place, receipt)) = next {
            put(Disk::SYSTEM, &place, &receipt);
        }
    }
    let slow = Disk {
        exchange: |a, b| {
            come_between();
            (Disk::SYSTEM.exchange)(a, b)
        },
        link: |a, b| {
            come_between();
            (Disk::SYSTEM.link)(a, b)
        },
    };
    for old in [None, Some(signed(7, "a", "old")), Some(pending(8, "a", "old"))] {
        for between in [signed(7, "a", "between"), pending(8, "a", "between"), pending(7, "b", "between")] {
            for new in [signed(7, "a", "new"), pending(7, "a", "new"), pending(7, "b", "new")] {
                let dir = folder();
                let place = place(&dir);
                let mut all: Vec<Receipt> = old.iter().cloned().collect();
                all.iter().for_each(|old| drop(put(Disk::SYSTEM, &place, old)));
                let came = vec![(place.clone(), between.clone())];
                BETWEEN.with(|between| *between.borrow_mut() = came);
                put(slow, &place, &new);
                assert!(BETWEEN.with(|between| between.borrow().is_empty()), "nobody came between");
                all.extend([between.clone(), new]);
                let there = there(&dir);
                for wanted in &all {
                    let count = there.iter().filter(|there| *there == wanted).count();
                    assert_eq!(count, 1, "{} of {} are there", there.len(), all.len());
                }
                assert_eq!(there.len(), all.len());
            }
        }
    }
}

/// Every thread is another process; each signs first and hears of the log later.
#[test]
fn of_many_at_once_none_is_lost() {
    for disk in [Disk::SYSTEM, Disk::WITHOUT_EXCHANGE] {
        for _ in 0..10 {
            let dir = folder();
            std::thread::scope(|scope| {
                for number in 0..8 {
                    let place = place(&dir);
                    scope.spawn(move || {
                        let words = number.to_string();
                        put(disk, &place, &signed(number % 3, "a", &words));
                        put(disk, &place, &pending(number % 3, "a", &words));
                    });
                }
            });
            let there = there(&dir);
            for number in 0..8 {
                let wanted = pending(number % 3, "a", &number.to_string());
                assert!(there.contains(&wanted), "{number} is lost; there are {}", there.len());
            }
        }
    }
}

/// A kept receipt that was overwritten by hand with another one does not cost the next.
#[test]
fn a_name_that_is_taken_is_not_taken_again() {
    let dir = folder();
    let place = place(&dir);
    let (old, new, other) = (signed(7, "a", "old"), signed(7, "a", "new"), signed(7, "a", "other"));
    put(Disk::SYSTEM, &place, &old);
    fs::write(place.kept_as(&old, 1), other.to_json()).expect("written");
    put(Disk::SYSTEM, &place, &new);
    for (path, want) in
        [(place.path(), &new), (place.kept_as(&old, 1), &other), (place.kept_as(&old, 2), &old)]
    {
        assert_eq!(read(&path).expect("a receipt"), *want, "{}", path.display());
    }
}

#[test]
fn what_a_refused_receipt_displaced_is_put_back() {
    let dir = folder();
    let place = place(&dir);
    let (old, refused, other) = (signed(7, "a", "old"), signed(7, "a", "refused"), signed(7, "a", "other"));
    let put = |receipt: &Receipt| put(Disk::SYSTEM, &place, receipt);
    put(&refused).put_back(&refused, &mut silent()).expect("removed");
    assert_eq!(there(&dir), []);
    put(&old);
    put(&refused).put_back(&refused, &mut silent()).expect("back");
    assert_eq!(there(&dir), std::slice::from_ref(&old));
    // Somebody else came between.
    let written = put(&refused);
    put(&other);
    written.put_back(&refused, &mut silent()).expect("left alone");
    assert_eq!(read(&place.path()).expect("a receipt"), other);
    assert!(there(&dir).contains(&old));
    // What lay there before is not this try's to take away.
    let dir = folder();
    let place = self::place(&dir);
    put_all(Disk::SYSTEM, vec![Item::new(&place, &refused)]).expect("written");
    let again = put_all(Disk::SYSTEM, vec![Item::new(&place, &refused)]).expect("there").remove(0);
    again.put_back(&refused, &mut silent()).expect("left alone");
    assert_eq!(there(&dir), [refused]);
}

/// The one that somebody named for it is taken, whoever's receipt is there; and it stays a symlink.
#[cfg(unix)]
#[test]
fn a_symlink_that_somebody_named_stays_one() {
    for disk in DISKS {
        let dir = folder();
        let [link, target] = ["newest.receipt.json", "store/1"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink("store/1", &link).expect("a link");
        let (old, new) = (signed(8, "a", "old"), signed(7, "a", "new"));
        for receipt in [&old, &new] {
            put(disk, &Place::named(&link).expect("a place"), receipt);
            assert_eq!(read(&target).expect("a receipt"), *receipt);
            assert!(link.is_symlink() && !target.is_symlink());
        }
        let kept = Place::named(&link).expect("a place").kept_as(&old, 1);
        assert_eq!((read(&kept).expect("a receipt"), durable::folder_of(&kept)), (old, dir.path()));
        assert_eq!(fs::read_dir(dir.path().join("store")).expect("a folder").count(), 1);
    }
}

/// Somebody else's checkout must not choose a file elsewhere that is written.
#[cfg(unix)]
#[test]
fn a_symlink_that_nobody_named_is_not_followed() {
    let dir = folder();
    let place = place(&dir);
    std::os::unix::fs::symlink("nowhere", place.path()).expect("a link");
    let failure = put_all(Disk::SYSTEM, vec![Item::new(&place, &signed(7, "a", ""))]).expect_err("refused");
    assert!(failure.to_string().contains("leads nowhere"), "{failure}");
    assert!(!dir.path().join("nowhere").exists());
    let (old, new) = (signed(7, "a", "old"), signed(7, "a", "new"));
    fs::write(dir.path().join("nowhere"), old.to_json()).expect("written");
    put(Disk::SYSTEM, &place, &new);
    assert_eq!(read(&dir.path().join("nowhere")).expect("a receipt"), old);
    assert_eq!(read(&place.path()).expect("a receipt"), new);
}

/// In a folder of receipts each has its own name, in every stage.
#[test]
fn receipts_of_a_folder_are_not_in_each_others_way() {
    let dir = folder();
    let shelf = Shelf::new(Some(dir.path().join("r")));
    let place = shelf.place(Path::new("app"), "app", predicate::PROVENANCE).expect("a name");
    let stages = [signed(7, "a", "1"), pending(7, "a", "1"), pending(7, "a", "2"), pending(8, "a", "1")];
    let paths = stages.each_ref().map(|receipt| put(Disk::SYSTEM, &place, receipt).path().to_path_buf());
    assert_eq!(paths[0], paths[1]);
    assert_eq!(fs::read_dir(dir.path().join("r")).expect("a folder").count(), 3);
    for (path, receipt) in paths.iter().zip(&stages).skip(1) {
        assert_eq!(read(path).expect("a receipt"), *receipt);
    }
}
