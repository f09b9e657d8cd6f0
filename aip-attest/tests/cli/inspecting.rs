//! `inspect`: every format is told, nothing is believed, no key is shown.

use crate::world::{Forge, World, policy, vectors};

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
