//! Each check of `specs/receipt.md` made to fail alone: its identifier, and the exit code.

use attestation::Did;
use attestation::entry::Visibility;
use serde_json::{Map, json};
use tlog::Hash;
use tlog::key::{Ed25519PrivateKey, KeyName, KeyType, SignerKey};

use crate::world::{Forge, ORIGIN, World, did, log_key, policy};

const APP: &[u8] = b"hello artifact\n";

fn forge() -> Forge {
    Forge::of("app", APP)
}

/// Verifies a receipt and answers exit code, the check that did not pass, and whether all before it passed.
fn verdict(world: &World, receipt: &str, flags: &[&str]) -> (i32, String) {
    world.file("app.receipt.json", receipt.as_bytes());
    let signer = did().to_string();
    let mut arguments = vec!["verify", "app", "--json", "--policy", "policy"];
    if !flags.contains(&"--signer") && !flags.contains(&"--any-signer") {
        arguments.extend(["--signer", &signer]);
    }
    arguments.extend(flags);
    let ran = world.run(&arguments);
    let checks = ran.json()["results"][0]["checks"].clone();
    let checks = checks.as_array().unwrap_or_else(|| panic!("{ran:#?}"));
    let results: Vec<&str> = checks.iter().map(|check| check["result"].as_str().expect("text")).collect();
    let Some(at) = results.iter().position(|result| *result != "passed") else {
        return (ran.code, "all".to_owned());
    };
    assert!(["failed", "could-not-check"].contains(&results[at]), "{results:?}");
    assert!(results[at + 1..].iter().all(|result| *result == "not-checked"), "{results:?}");
    let id = checks[at]["id"].as_str().expect("text").to_owned();
    (ran.code, id)
}

#[test]
fn a_good_receipt_passes_every_check() {
    let world = World::with_receipt();
    let all = [
        "--source-uri",
        "https://github.com/octo/app",
        "--source-ref",
        "refs/tags/v1.0.0",
        "--builder-id",
        "https://example.com/builder",
        "--predicate-type",
        "provenance",
        "--subject-name",
        "app",
        "--max-age",
        "1h",
    ];
    assert_eq!(verdict(&world, &forge().receipt(), &all), (0, "all".into()));
    assert_eq!(verdict(&world, &forge().receipt(), &["--any-signer"]), (0, "all".into()));
    let private = Forge { visibility: Visibility::Private, ..forge() };
    assert_eq!(verdict(&world, &private.receipt(), &[]), (0, "all".into()));
}

#[test]
fn each_check_fails_alone_with_its_identifier() {
    let world = World::with_receipt();
    let good = forge().receipt();
    let stranger = || Ed25519PrivateKey::from_seed(&[9; 32]);
    let named_like_the_log =
        || SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[7; 32]);
    // A signature that is one, by somebody else over something else.
    let junk = tlog::encoding::base64(&stranger().sign(b"junk"));
    let flip = |receipt: &str, member: &str| {
        let mut receipt: serde_json::Value = serde_json::from_str(receipt).expect("JSON");
        *receipt.pointer_mut(member).expect("a member") = json!(junk);
        receipt.to_string()
    };
    for (name, receipt, want) in [
        ("malformed", good.replace("\"did\"", "\"dod\""), (1, "format")),
        ("no JSON at all", "PK\u{3}\u{4}".to_owned(), (1, "format")),
        ("another artifact's", Forge::of("app", b"other").receipt(), (1, "artifact-digest")),
        ("another signature", flip(&good, "/envelope/signatures/0/sig"), (1, "signature")),
        ("a junk claim signature", Forge { leaf: junk_claim, ..forge() }.receipt(), (1, "leaf")),
        ("a subject added", Forge { leaf: other_type, ..forge() }.receipt(), (1, "leaf")),
        (
            "consent to another log",
            Forge { claimed_origin: "other.example.com/log".into(), ..forge() }.receipt(),
            (1, "leaf"),
        ),
        ("another log's key", Forge { log: named_like_the_log(), ..forge() }.receipt(), (1, "log-signature")),
        ("no cosignature", Forge { witness: None, ..forge() }.receipt(), (1, "witness-quorum")),
        (
            "a bad line of the witness",
            Forge { proof: bad_cosignature, ..forge() }.receipt(),
            (1, "witness-quorum"),
        ),
        (
            "another index",
            Forge { proof: |proof| proof.replace("index 0", "index 1"), ..forge() }.receipt(),
            (1, "inclusion"),
        ),
        ("another hash", Forge { proof: other_hash, ..forge() }.receipt(), (1, "inclusion")),
        ("another key's DID", Forge { signer: stranger(), ..forge() }.receipt(), (1, "signer")),
        (
            "events that are none",
            Forge { signer: stranger(), identity: true, ..forge() }.receipt(),
            (1, "signer-state"),
        ),
        ("not logged", forge().pending_receipt(), (2, "log-signature")),
    ] {
        let (code, id) = want;
        assert_eq!(verdict(&world, &receipt, &[]), (code, id.to_owned()), "{name}");
    }
    let other = Did::of(&stranger().public_key()).to_string();
    assert_eq!(verdict(&world, &good, &["--signer", &other]), (1, "signer".into()));
    assert_eq!(
        verdict(&world, &good, &["--signer", &other, "--signer", &did().to_string()]),
        (0, "all".into())
    );
}

fn junk_claim(leaf: String) -> String {
    let at = leaf.find(r#""signature":""#).expect("a claim signature") + r#""signature":""#.len();
    let junk = tlog::encoding::base64(&Ed25519PrivateKey::from_seed(&[9; 32]).sign(b"junk"));
    format!("{}{junk}{}", &leaf[..at], &leaf[at + junk.len()..])
}

fn other_type(leaf: String) -> String {
    leaf.replace("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v2")
}

fn bad_cosignature(proof: String) -> String {
    // The witness's line of another checkpoint: well formed, and not over this one.
    let (rest, _) = proof.rsplit_once("— witness").expect("a cosignature");
    let (_, other) = Forge::of("x", b"x").leaf_and_proof();
    let (_, line) = other.rsplit_once("— witness").expect("a cosignature");
    format!("{rest}— witness{line}")
}

fn other_hash(proof: String) -> String {
    let other = tlog::merkle::leaf_hash(b"other").to_base64();
    proof.replace(&other, &Hash::of(b"another").to_base64())
}

#[test]
fn each_demand_fails_alone_with_its_identifier() {
    let world = World::with_receipt();
    let good = forge().receipt();
    for (flag, value, id) in [
        ("--source-uri", "https://github.com/octo/ap", "source-uri"),
        ("--source-ref", "refs/heads/main", "source-ref"),
        ("--builder-id", "https://example.com/other", "builder-id"),
        ("--predicate-type", "cyclonedx", "predicate-type"),
        ("--subject-name", "app-2.0", "subject-name"),
        ("--max-age", "1s", "max-age"),
    ] {
        assert_eq!(verdict(&world, &good, &[flag, value]), (1, id.to_owned()));
    }
    // What is no provenance names no source, and a demand for one is not met by silence.
    let sbom = Forge::saying("app", APP, "https://cyclonedx.org/bom", Map::new()).receipt();
    assert_eq!(
        verdict(&world, &sbom, &["--source-uri", "https://github.com/octo/app"]),
        (1, "source-uri".into())
    );
    assert_eq!(verdict(&world, &sbom, &["--predicate-type", "cyclonedx"]), (0, "all".into()));
    // An entry from the future stays young for ever.
    let future = Forge { logged_at: 9_000_000_000_000, ..forge() }.receipt();
    assert_eq!(verdict(&world, &future, &["--max-age", "1h"]), (1, "max-age".into()));
}

#[test]
fn the_settings_beside_the_policy_are_checks_too() {
    let world = World::with_receipt();
    let good = forge().receipt();
    for (settings, want) in [
        ("max-age = \"1s\"".to_owned(), (1, "max-age")),
        ("max-checkpoint-age = \"1s\"".to_owned(), (1, "checkpoint-freshness")),
        (format!("[min-checkpoint]\n\"{ORIGIN}\" = 3"), (1, "min-checkpoint")),
        (
            format!("max-age = \"1h\"\nmax-checkpoint-age = \"1h\"\n[min-checkpoint]\n\"{ORIGIN}\" = 2"),
            (0, "all"),
        ),
    ] {
        world.file("trust.toml", format!("version = 1\n{settings}\n").as_bytes());
        assert_eq!(verdict(&world, &good, &[]), (want.0, want.1.to_owned()), "{settings}");
    }
    // The stricter of flag and setting counts.
    world.file("trust.toml", b"version = 1\nmax-age = \"1s\"\n");
    assert_eq!(verdict(&world, &good, &["--max-age", "1h"]), (1, "max-age".into()));
    world.file("trust.toml", b"version = 1\nmax-age = \"1h\"\n");
    assert_eq!(verdict(&world, &good, &["--max-age", "1s"]), (1, "max-age".into()));
    // A setting that is not known is no setting that can be passed over.
    world.file("trust.toml", b"version = 1\nthreshold = 0.5\n");
    let ran = world.run(&["verify", "app", "--any-signer", "--policy", "policy"]);
    ran.expect(2, &["cannot use the settings", "unknown field `threshold`"]);
}

/// S20 on a machine that keeps nothing: no home, no pins, and a log that was rolled back is refused.
#[test]
fn s20_a_least_checkpoint_serves_machines_without_state() {
    let world = World::with_receipt().env("HOME", "").env("AIP_POLICY", "policy");
    for (least, code, want) in
        [(2, 0, "ok              min-checkpoint"), (3, 1, "min-checkpoint: the checkpoint has size 2")]
    {
        let settings =
            format!("version = 1\n[min-checkpoint]\n\"{ORIGIN}\" = {least}\n\"other.example.com\" = 9\n");
        world.file("trust.toml", settings.as_bytes());
        world.run(&["verify", "app", "--any-signer", "-v"]).expect(code, &[want]);
    }
}

#[test]
fn another_root_at_a_pinned_size_is_a_fork() {
    let world = World::with_receipt();
    let vkey = log_key().verifier().clone();
    let pin = |root: Hash| {
        json!({
            "version": 1, "url": "https://log.example.com", "vkey": vkey.to_string(),
            "policy": policy(), "size": 2, "root": root.to_base64(),
        })
    };
    let file = format!(".aip/pins/{}.json", vkey.full_id());
    world.file(&file, pin(Hash::of(b"another")).to_string().as_bytes());
    let good = forge().receipt();
    assert_eq!(verdict(&world, &good, &[]), (1, "log-signature".into()));
    let ran = world.run(&["verify", "app", "--any-signer"]);
    ran.expect(1, &["the log has forked", "pinned is", "hint: keep this receipt"]);
    // Looking changes no pin.
    assert_eq!(world.read(&file), pin(Hash::of(b"another")).to_string());
}

/// The receipts of the specification's vectors, made by other code.
#[test]
fn the_vectors_receipts_verify() {
    let vectors = crate::world::vectors("entry.json");
    let world = World::new();
    world.file("policy", vectors["policy"].as_str().expect("text").as_bytes());
    for (name, content) in vectors["artifacts"].as_object().expect("artifacts") {
        let content = tlog::encoding::decode_base64(content.as_str().expect("text")).expect("base64");
        world.file(name, &content);
    }
    let mut verified = 0;
    for case in vectors["cases"].as_array().expect("cases") {
        world.file("r.json", case["receipt"].to_string().as_bytes());
        let signer = vectors["signer"]["did"].as_str().expect("text");
        let ran = world.run(&[
            "verify",
            "artifact.bin",
            "--receipt",
            "r.json",
            "--policy",
            "policy",
            "--signer",
            signer,
        ]);
        ran.expect(0, &["ok  artifact.bin  did:aip:5647…  "]);
        verified += 1;
    }
    assert_eq!(verified, 4);
}
