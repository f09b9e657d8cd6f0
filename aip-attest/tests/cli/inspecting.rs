//! `inspect`: every format is told, nothing is believed, no key is shown.

use attestation::entry::LogTime;
use attestation::finding::{Finding, Proof};
use tlog::checkpoint::Checkpoint;
use tlog::fork::Fork;
use tlog::key::{KeyType, SignerKey};
use tlog::{Hash, TreeSize, UnixTime, cosignature};

use crate::world::{Forge, ORIGIN, World, log_key, policy, vectors, witness_key};

#[test]
fn every_format_is_known() {
    let world = World::with_receipt();
    let vectors = vectors("entry.json");
    let case = &vectors["cases"][0];
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let proof = text(&case["proof"]);
    let note = proof.split_once("\n\n").expect("a note").1;
    let envelope =
        attestation::dsse::Envelope::parse(case["envelope"].to_string().as_bytes()).expect("an envelope");
    let statement = String::from_utf8(envelope.unverified_payload().to_vec()).expect("JSON");
    let pem = text(&vectors["signer"]["pem"]);
    let pending = Forge::of("app", b"x").pending_receipt();
    let unknown = r#"{"apiVersion":"1","kind":"aip-index","spec":{}}"#.to_owned();
    for (content, want) in [
        (case["receipt"].to_string(), "receipt (nothing in it has been verified)"),
        (pending, "state: pending"),
        (case["envelope"].to_string(), "envelope (nothing"),
        (statement, "statement (nothing"),
        (text(&case["leaf"]), "entry (nothing"),
        (text(&case["pending_leaf"]), "pending entry (nothing"),
        (unknown, "entry, not understood"),
        (proof.clone(), "tlog-proof (nothing"),
        (note.to_owned(), "checkpoint (nothing"),
        (policy(), "policy (nothing"),
        (text(&vectors["log"]["vkey"]), "vkey (nothing"),
        (pem, "public key (nothing"),
    ] {
        world.file("file", content.as_bytes());
        world.run(&["inspect", "file"]).expect(0, &[want]);
        let json = world.run(&["inspect", "file", "--json"]).json();
        assert_eq!(
            (json["schema"].as_str(), json["verified"].as_bool()),
            (Some("aip.inspect.v1"), Some(false))
        );
    }
    world
        .run(&["inspect", "did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd"])
        .expect(0, &["did:aip:56475aa7"]);
    let skey = tlog::key::SignerKey::from_seed(
        tlog::key::KeyName::new("log").expect("a name"),
        tlog::key::KeyType::Ed25519,
        &[5; 32],
    );
    world.file("skey", skey.to_skey().as_bytes());
    let ran = world.run(&["inspect", "skey"]);
    ran.expect(0, &["is in the file, and not shown"]);
    assert!(!ran.stdout.contains("PRIVATE"), "{ran:#?}");
}

/// What goes between logs and witnesses, with the times that cosignatures claim.
#[test]
fn what_witnesses_see_and_say_is_known() {
    let world = World::new();
    let (log, witness) = (log_key(), witness_key());
    let name = witness.verifier().name().clone();
    let ml_dsa = SignerKey::from_seed(name, KeyType::MlDsa44Cosignature, &[0x23; 32]);
    let checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(2), Hash::of(b"root"));
    let time = UnixTime::from_secs(1_790_000_001);
    let cosign = |key: &SignerKey| cosignature::cosign(key, &checkpoint, time).expect("a cosignature");
    let mut note = checkpoint.sign(&log);
    let answer = format!("{}\n{}\n", cosign(&witness), cosign(&ml_dsa));
    note.add(cosign(&witness));
    note.add(cosign(&ml_dsa));
    let hash = Hash::of(b"x").to_base64();
    let cosigned = |key: &SignerKey| {
        format!("witness.example.com (key {}), cosigned 2026-09-21T14:13:21Z", key.verifier().id())
    };
    let by_log = format!("{ORIGIN} (key {})\n", log.verifier().id());
    for (content, want) in [
        (note.to_string(), vec!["checkpoint (nothing", &by_log, &cosigned(&witness), &cosigned(&ml_dsa)]),
        (answer, vec!["cosignatures (nothing", &cosigned(&witness), &cosigned(&ml_dsa)]),
        (
            format!("old 1\n{hash}\n\n{note}"),
            vec!["request to cosign a checkpoint", "old size: 1", "1 hashes", &cosigned(&witness)],
        ),
        (
            format!("subtree 0 1\n{hash}\n{hash}\n\n{note}"),
            vec!["request to sign a subtree", "leaves: 0 to 1", &hash, &cosigned(&ml_dsa)],
        ),
        (witness.verifier().to_string(), vec!["vkey (nothing", "Ed25519 cosignature (0x04): a witness's"]),
        (ml_dsa.verifier().to_string(), vec!["vkey (nothing", "ML-DSA-44 cosignature (0x06)"]),
        (
            finding(&checkpoint, &log),
            vec!["finding (nothing", "class: fork", "older: checkpoint", "newer: checkpoint", "size: 2"],
        ),
    ] {
        world.file("file", content.as_bytes());
        world.run(&["inspect", "file"]).expect(0, &want);
    }
    for (content, want) in [
        (format!("old 01\n\n{note}"), "looks like a request to cosign and is malformed"),
        ("— x\n".to_owned(), "line 1 is no signature line"),
        (
            r#"{"mediaType":"application/vnd.aip.finding.v1+json"}"#.to_owned(),
            "looks like a finding and is malformed",
        ),
    ] {
        world.file("file", content.as_bytes());
        world.run(&["inspect", "file"]).expect(2, &[want]);
    }
}

fn finding(checkpoint: &Checkpoint, log: &SignerKey) -> String {
    let other = Checkpoint { root: Hash::of(b"another root"), ..checkpoint.clone() };
    let fork = Fork::of_one_size(checkpoint.sign(log), other.sign(log)).expect("a fork");
    let time = LogTime::from_millis(1_790_000_002_000).expect("a time");
    Finding::new(ORIGIN, vec![log.verifier().clone()], time, "seen", Proof::Fork(fork)).to_json()
}

#[test]
fn what_is_none_of_ours_is_exit_2() {
    let world = World::new();
    for (content, want) in [
        (&b""[..], "none of our formats"),
        (b"\x7fELF\xff", "it is not UTF-8"),
        (b"hello", "none of our formats"),
        (b"{}", "this JSON is none of our formats"),
        (b"{\"mediaType\":1}", "looks like a receipt and is malformed"),
        (b"{\"a\":1,\"a\":1}", "stands twice"),
        (b"quorum x\n", "looks like a policy and is malformed"),
        (b"c2sp.org/tlog-proof@v1\n", "looks like a tlog-proof"),
    ] {
        world.file("file", content);
        world.run(&["inspect", "file"]).expect(2, &[want]);
    }
    world.run(&["inspect", "nowhere"]).expect(2, &["cannot read `nowhere`"]);
}
