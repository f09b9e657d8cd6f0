//! Several receipts beside one artifact: which of them is the answer.

use attestation::Did;
use serde_json::json;
use tlog::key::Ed25519PrivateKey;

use crate::world::{Forge, Ran, World, did};

const CONTENT: &[u8] = b"hello artifact\n";

fn second() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[0x77; 32])
}

fn second_did() -> Did {
    Did::of(&second().public_key())
}

fn first() -> Forge {
    Forge::of("app", CONTENT)
}

fn by_second() -> Forge {
    Forge { signer: second(), did: second_did(), ..first() }
}

/// The name of the receipt that is kept beside `app` as the one of that number.
fn kept(number: usize) -> String {
    format!("app.{number:016x}.receipt.json")
}

fn verify(world: &World, signer: Did, more: &[&str]) -> Ran {
    let signer = signer.to_string();
    world.run(&[&["verify", "app", "--policy", "policy", "--signer", &signer], more].concat())
}

/// Whatever took its place: the first signer's receipt is found.
#[test]
fn a_good_receipt_is_found_behind_the_one_in_its_place() {
    let of_other_bytes = Forge::of("app", b"an older build").receipt();
    for in_place in [
        by_second().receipt(),
        by_second().pending_receipt(),
        first().pending_receipt(),
        of_other_bytes,
        "{}".into(),
    ] {
        let world = World::with_receipt();
        world.file("app.receipt.json", in_place.as_bytes());
        world.file(&kept(1), first().receipt().as_bytes());
        let ran = verify(&world, did(), &[]);
        ran.expect(0, &["ok  "]);
        assert_eq!(verify(&world, did(), &["--json"]).json()["results"][0]["receipt"], kept(1));
        // One that is named is judged alone.
        assert_ne!(verify(&world, did(), &["--receipt", "app.receipt.json"]).code, 0);
        verify(&world, did(), &["--receipt", &kept(1)]).expect(0, &[]);
    }
}

/// A yes is enough; else what could not be checked might have been one; else it is no.
#[test]
fn one_yes_is_yes_then_one_unchecked_is_2_then_no() {
    let other_log = Forge { claimed_origin: "other.example/log".into(), ..first() };
    let [yes, no] = [first().receipt(), Forge { witness: None, ..first() }.receipt()];
    let [pending, unknown, stranger] =
        [first().pending_receipt(), other_log.pending_receipt(), by_second().receipt()];
    for (receipts, want) in [
        (vec![&no, &yes], 0),
        (vec![&pending, &yes], 0),
        (vec![&stranger, &no, &pending, &yes], 0),
        (vec![&no, &pending], 2),
        (vec![&pending, &no], 2),
        (vec![&stranger, &unknown], 2),
        (vec![&no, &stranger], 1),
        (vec![&no], 1),
    ] {
        let world = World::with_receipt();
        world.file("app.receipt.json", receipts[0].as_bytes());
        for (receipt, number) in receipts.iter().zip(0..).skip(1) {
            world.file(&kept(number), receipt.as_bytes());
        }
        let ran = verify(&world, did(), &[]);
        assert_eq!(ran.code, want, "{ran:#?}");
        let json = verify(&world, did(), &["--json"]).json();
        assert_eq!(json["verdict"], ["verified", "failed", "could-not-check"][want as usize]);
    }
    // One that cannot be read.
    let world = World::with_receipt();
    world.file("app.receipt.json", no.as_bytes());
    std::fs::create_dir(world.path(&kept(1))).expect("made");
    verify(&world, did(), &[])
        .expect(2, &["FAILED          witness-quorum", &kept(1), "could not be checked"]);
}

/// What is printed is about the wanted signer, though what could not be checked decides.
#[test]
fn the_failure_that_is_printed_is_the_wanted_signers() {
    let world = World::with_receipt();
    let failing = Forge { witness: None, ..first() };
    world.file("app.receipt.json", by_second().pending_receipt().as_bytes());
    world.file(&kept(1), by_second().receipt().as_bytes());
    world.file(&kept(2), first().pending_receipt().as_bytes());
    world.file(&kept(3), failing.receipt().as_bytes());
    let ran = verify(&world, did(), &[]);
    ran.expect(
        2,
        &["FAILED          witness-quorum", &format!("receipt: {}", kept(3)), "also app.receipt.json"],
    );
    ran.expect(2, &["and `app.receipt.json` could not be checked: log-signature: not logged"]);
    let json = verify(&world, did(), &["--json"]).json();
    let result = &json["results"][0];
    assert_eq!((&result["receipt"], &result["claimedDid"]), (&json!(kept(3)), &json!(did().to_string())));
    assert_eq!(result["otherReceipts"].as_array().map(Vec::len), Some(3));
    // Nobody wanted has one: the one in the place.
    let world = World::with_receipt();
    world.file(&kept(1), by_second().receipt().as_bytes());
    let nobody = Did::of(&Ed25519PrivateKey::from_seed(&[1; 32]).public_key());
    verify(&world, nobody, &[]).expect(1, &["FAILED          signer", "receipt: app.receipt.json"]);
}

#[test]
fn at_most_64_are_judged() {
    let world = World::with_receipt();
    let no = Forge { witness: None, ..first() }.receipt();
    world.file("app.receipt.json", no.as_bytes());
    (1..64).for_each(|number| drop(world.file(&kept(number), no.as_bytes())));
    // Those of other builds are not counted: they say nothing about these bytes.
    let older = Forge::of("app", b"an older build").receipt();
    (0xaa..0xff).for_each(|number| drop(world.file(&kept(number), older.as_bytes())));
    verify(&world, did(), &[]).expect(1, &["FAILED          witness-quorum"]);
    world.file(&kept(64), no.as_bytes());
    verify(&world, did(), &[]).expect(2, &["more than 64 receipts", "move away those that do not count"]);
    // One that is not reached is not found, and nothing is believed.
    world.file(&kept(0xffff), first().receipt().as_bytes());
    verify(&world, did(), &[]).expect(2, &["more than 64 receipts"]);
    verify(&world, did(), &["--receipt", &kept(0xffff)]).expect(0, &[]);
    world.file("app.receipt.json", first().receipt().as_bytes());
    verify(&world, did(), &[]).expect(0, &["ok  "]);
}

/// A pending receipt of a log that does not answer takes no place of a logged one.
#[test]
fn what_is_worth_less_takes_no_place() {
    let world = World::with_receipt();
    let good = world.read("app.receipt.json");
    let sign =
        ["sign", "app", "--policy", "policy", "--log", "http://127.0.0.1:9", "--timeout", "100ms", "--json"];
    let ran = world.run(&sign);
    ran.expect(2, &["stays pending"]);
    let path = ran.json()[0]["receipt"].as_str().expect("text").to_owned();
    assert!(path != "app.receipt.json" && world.read("app.receipt.json") == good, "{path}");
    // Again it is found there, and sent as it is.
    let pending = world.read(&path);
    assert_eq!(world.run(&sign).json()[0]["receipt"], path);
    assert_eq!((world.read(&path), world.files().len()), (pending, 4), "{:?}", world.files());
    verify(&world, did(), &[]).expect(0, &["ok  "]);
    // `submit` takes it along with the one in the place.
    let submit = ["submit", "app", "--policy", "policy", "--log", "http://127.0.0.1:9", "--timeout", "100ms"];
    world.run(&submit).expect(2, &[&format!("left     {path}"), "left     app.receipt.json"]);
}
