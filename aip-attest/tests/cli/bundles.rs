//! `export`, `policy export`, and `verify --bundle`: receipts for Sigstore's cosign, and what cosign's users bring.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::world::{Forge, World, did, policy, vectors};

/// A world whose receipt has the second note.
fn world() -> World {
    let world = World::with_receipt();
    let receipt = Forge::of("app", b"hello artifact\n").receipt_for_cosign(|note| note);
    world.file("app.receipt.json", receipt.as_bytes());
    world
}

/// One with what was exported of it.
fn exported() -> World {
    let world = world();
    world.run(&["export", "--sigstore", "app.receipt.json", "--policy", "policy"]).expect(0, &[]);
    let root = world.run(&["policy", "export", "--sigstore", "--policy", "policy"]);
    world.file("trusted_root.json", root.expect(0, &[]).stdout.as_bytes());
    world
}

fn sigstore_vector(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors/sigstore").join(name);
    fs::read(path).expect("vectors")
}

/// A world with the bundles that others made.
fn of_others() -> World {
    let world = World::new();
    for name in [
        "artifact.bin",
        "ec.pub",
        "ed.pub",
        "trusted_root.json",
        "A_ec_dsse_hr2pae.json",
        "E_ed_dsse_v1dsse.json",
    ] {
        world.file(name, &sigstore_vector(name));
    }
    world
}

const BUNDLE: [&str; 5] = ["verify", "app", "--bundle", "app.sigstore.json", "--trusted-root"];

#[test]
fn the_manual() {
    let world = world();
    world.transcript(
        "
$ aip export --sigstore app.receipt.json --policy policy
? 0
cosign verify-blob-attestation --key app.sigstore.pub --bundle app.sigstore.json --trusted-root trusted_root.json --type https://slsa.dev/provenance/v1 app
! note: wrote `app.sigstore.json` and `app.sigstore.pub`
! hint: `aip policy export --sigstore --out trusted_root.json` writes the trusted root, once for a log

$ aip policy export --sigstore --policy policy --out trusted_root.json
? 0
! note: the quorum of the policy policy (--policy) is not in it: Sigstore's cosign counts no witnesses

$ aip verify app --bundle app.sigstore.json --trusted-root trusted_root.json --key app.sigstore.pub --allow-unwitnessed
? 0
ok  app  Ed25519 key sha256:[..]  20[..]-[..]-[..]  no witness asked for
log: log.example.com - 42 at index 0, by the trusted root `trusted_root.json`
witnesses: none asked for, so that the log could have shown this tree to you alone
key: a bundle does not tell whether it was replaced, reported as stolen or ended

$ aip verify app --bundle app.sigstore.json --trusted-root trusted_root.json --signer $DID --allow-unwitnessed -v
? 0
ok  app  did:aip:5647…  20[..]  no witness asked for
  ok              format               application/vnd.dev.sigstore.bundle.v0.3+json
  ok              artifact-digest      app
  ok              signature            Ed25519 key sha256:[..]
  ok              leaf                 dsse 0.0.1 of the envelope, claimed for log.example.com/pipelines
  ok              log-signature        log.example.com - 42 of size 2
  ok              witness-quorum       no witness asked for
  ok              inclusion            index 0
  ok              signer               $DID
log: log.example.com - 42 at index 0, by the trusted root `trusted_root.json`
witnesses: none asked for, so that the log could have shown this tree to you alone
key: a bundle does not tell whether it was replaced, reported as stolen or ended

$ aip verify app --bundle app.sigstore.json --trusted-root trusted_root.json --signer $DID
? 2
could not check  app  witness-quorum: no policy names witnesses: the log may have shown this tree to one person alone
  ok              format               application/vnd.dev.sigstore.bundle.v0.3+json
  ok              artifact-digest      app
  ok              signature            Ed25519 key sha256:[..]
  ok              leaf                 dsse 0.0.1 of the envelope, claimed for log.example.com/pipelines
  ok              log-signature        log.example.com - 42 of size 2
  could not check witness-quorum       no policy names witnesses: the log may have shown this tree to one person alone
  not checked     inclusion
  not checked     signer
! hint: --policy FILE names the witnesses that must have seen it; --allow-unwitnessed takes the log's word alone

$ aip export --dsse app.receipt.json --out app.dsse.json
? 0

$ aip export --tlog-proof app.receipt.json --out app.tlog-proof
? 0
",
    );
    world.run(&["export", "app.receipt.json"]).expect(2, &["<--sigstore|--tlog-proof|--dsse|--leaf>"]);
    let receipt = world.json("app.receipt.json");
    assert_eq!(world.json("app.dsse.json"), receipt["envelope"]);
    assert_eq!(world.read("app.tlog-proof"), receipt["proof"].as_str().expect("a proof"));
    let leaf = world.run(&["export", "--leaf", "app.receipt.json"]);
    assert_eq!(tlog::encoding::base64(leaf.stdout.as_bytes()), receipt["leaf"].as_str().expect("a leaf"));
}

/// The bundle, key and trusted root that were made elsewhere of the first vector, which stock cosign took.
#[test]
fn the_vectors_are_exported_as_they_were_made_elsewhere() {
    let vector = vectors("entry.json");
    let world = World::new();
    world.file("policy", vector["policy"].as_str().expect("a policy").as_bytes());
    world.file("r.json", vector["cases"][0]["receipt"].to_string().as_bytes());
    let ran =
        world.run(&["export", "--sigstore", "r.json", "--policy", "policy", "--out", "d/b.json", "--json"]);
    let json = ran.expect(0, &[]).json();
    assert_eq!((&json["bundle"], &json["key"]), (&json!("d/b.json"), &json!("d/b.pub")));
    // Where the artifact is not at hand, its digest stands for it.
    let command: Vec<&str> =
        json["command"].as_array().expect("words").iter().filter_map(Value::as_str).collect();
    assert_eq!(command[..2], ["cosign", "verify-blob-attestation"]);
    assert_eq!(command[command.len() - 4..command.len() - 3], ["--digest"]);
    assert_eq!(
        world.json("d/b.json"),
        serde_json::from_slice::<Value>(&sigstore_vector("entry_bundle.json")).expect("JSON")
    );
    assert_eq!(world.read("d/b.pub").into_bytes(), sigstore_vector("entry_key.pub"));
    let root =
        world.run(&["policy", "export", "log.example.com/pipelines", "--sigstore", "--policy", "policy"]);
    let want: Value = serde_json::from_slice(&sigstore_vector("entry_trusted_root.json")).expect("JSON");
    assert_eq!(root.expect(0, &[]).json(), want);
}

#[test]
fn what_must_not_be_exported_is_refused_and_nothing_is_written() {
    let world = world();
    let export = |name: &str| world.run(&["export", "--sigstore", name, "--policy", "policy"]);
    let forge = || Forge::of("app", b"hello artifact\n");
    let with = |note: fn(String) -> String| {
        world.file("x.receipt.json", forge().receipt_for_cosign(note).as_bytes());
        export("x.receipt.json")
    };
    world.file("x.receipt.json", forge().pending_receipt().as_bytes());
    export("x.receipt.json")
        .expect(2, &["is not logged", "hint: `aip-attest submit x.receipt.json` logs it"]);
    world.run(&["export", "--tlog-proof", "x.receipt.json"]).expect(2, &["is not logged"]);
    world.file("x.receipt.json", forge().receipt().as_bytes());
    export("x.receipt.json").expect(2, &["no `sigstoreNote`", "gets the log's answer anew"]);
    with(|note| note.replacen("\n2\n", "\n3\n", 1)).expect(2, &["its `sigstoreNote` is of size 3"]);
    with(|note| note.replace("- 42", "- 43")).expect(2, &["does not verify"]);
    with(|note| format!("{note}— witness.example.com AAAAAAAA\n")).expect(2, &["this one has 2"]);
    with(|_| "x".into()).expect(2, &["malformed checkpoint"]);
    // What does not verify here is not handed to who looks at less.
    let stolen = Forge { witness: None, ..forge() };
    world.file("x.receipt.json", stolen.receipt_for_cosign(|note| note).as_bytes());
    export("x.receipt.json")
        .expect(1, &["does not verify by the policy policy (--policy)", "witness-quorum"]);
    world.run(&["export", "--sigstore", "app.receipt.json"]).expect(2, &["there is no policy for the log"]);
    world.run(&["export", "--sigstore", "app"]).expect(2, &["error: "]);
    world.run(&["export", "--sigstore", "nowhere"]).expect(2, &["nowhere"]);
    assert!(!world.files().iter().any(|file| file.contains("sigstore")), "{:?}", world.files());
    let other = "log other.example.com+9b1e57c2+AQgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\nquorum none\n";
    world.file("bad", other.as_bytes());
    world.run(&["policy", "export", "--sigstore", "--policy", "bad"]).expect(2, &["cannot use the policy"]);
    world.run(&["policy", "export", "--sigstore"]).expect(2, &["no log is pinned"]);
    world
        .run(&["policy", "export", "x", "--sigstore", "--policy", "policy"])
        .expect(2, &["names no log `x`"]);
    world.run(&["policy", "export", "--policy", "policy"]).expect(2, &["--sigstore"]);
}

/// A name from a receipt stays a name in the command that is printed.
#[test]
fn the_printed_command_is_quoted_for_a_shell() {
    let world = world();
    let name = "it's $(reboot);x";
    world.file(name, b"hello artifact\n");
    world.file(&format!("{name}.receipt.json"), world.read("app.receipt.json").as_bytes());
    let ran = world.run(&["export", "--sigstore", &format!("{name}.receipt.json"), "--policy", "policy"]);
    let quoted = r"'it'\''s $(reboot);x'";
    assert!(ran.stdout.trim_end().ends_with(&format!(" {quoted}")), "{ran:?}");
    assert!(ran.stdout.contains(r" 'it'\''s $(reboot);x.sigstore.json' "), "{ran:?}");
}

#[test]
fn bundles_of_others_verify_and_their_alterations_do_not() {
    let world = of_others();
    let verify = |bundle: &str, key: &str, more: &[&str]| {
        let arguments = ["verify", "artifact.bin", "--bundle", bundle, "--trusted-root", "trusted_root.json"];
        world.run(&[&arguments[..], &["--key", key], more].concat())
    };
    let alone = ["--allow-unwitnessed"];
    for (bundle, key, other) in
        [("A_ec_dsse_hr2pae.json", "ec.pub", "ed.pub"), ("E_ed_dsse_v1dsse.json", "ed.pub", "ec.pub")]
    {
        verify(bundle, key, &alone).expect(0, &["ok  artifact.bin  ", "no witness asked for"]);
        verify(bundle, key, &[]).expect(2, &["witness-quorum: no policy names witnesses"]);
        verify(bundle, other, &alone).expect(1, &["signature: the signature is not by the wanted key"]);
        let json = verify(bundle, key, &["--allow-unwitnessed", "--json"]).expect(0, &[]).json();
        assert_eq!(json["schema"], "aip.verify-bundle.v1");
        let result = &json["results"][0];
        assert_eq!((&json["verdict"], &result["verdict"]), (&json!("verified"), &json!("verified")));
        assert_eq!(result["verified"]["statement"]["predicateType"], "https://slsa.dev/provenance/v1");
        assert_eq!(result["checks"].as_array().map(Vec::len), Some(8));
        assert!(result["notChecked"].as_array().expect("a list").contains(&json!("signer-state")));
        let flipped = world.read(bundle).replacen("\"treeSize\": \"6\"", "\"treeSize\": \"7\"", 1);
        world.file("altered.json", flipped.as_bytes());
        verify("altered.json", key, &alone).expect(1, &["FAILED  artifact.bin  log-signature"]);
        verify(bundle, key, &["--allow-unwitnessed", "--predicate-type", "cyclonedx"])
            .expect(1, &["predicate-type"]);
    }
    // The key may be DER, and a digest stand for the artifact.
    let pem = String::from_utf8(sigstore_vector("ec.pub")).expect("PEM");
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    world.file("ec.der", &tlog::encoding::decode_base64(&body).expect("base64"));
    let digest = "sha256:51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";
    let arguments = ["verify", digest, "artifact.bin", "--bundle", "A_ec_dsse_hr2pae.json", "--trusted-root"];
    let ran = world
        .run(&[&arguments[..], &["trusted_root.json", "--key", "ec.der", "--allow-unwitnessed"]].concat());
    ran.expect(0, &["verified: 2 artifacts"]);
    // Keyless.
    let mut keyless: Value = serde_json::from_str(&world.read("A_ec_dsse_hr2pae.json")).expect("JSON");
    keyless["verificationMaterial"] = json!({"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []});
    world.file("keyless.json", keyless.to_string().as_bytes());
    verify("keyless.json", "ec.pub", &alone).expect(2, &["keyless", "Sigstore's cosign verifies it"]);
    world.file("receipt.json", b"{}");
    verify("receipt.json", "ec.pub", &alone).expect(1, &["format: bundle: member `mediaType` is missing"]);
}

#[test]
fn a_policy_names_the_witnesses_and_no_other_policy_counts() {
    let world = exported();
    let verify = |more: &[&str]| {
        world.run(&[&BUNDLE[..], &["trusted_root.json", "--key", "app.sigstore.pub"], more].concat())
    };
    // It is of no room for cosignatures: the receipt has them.
    verify(&["--policy", "policy"]).expect(1, &["witness-quorum: no witness cosigned", "verify the receipt"]);
    world.file("alone", policy().replace("quorum w", "quorum none").as_bytes());
    verify(&["--policy", "alone"]).expect(0, &["no witness asked for", "policy: alone (--policy)"]);
    // One that lies around is about other logs.
    world.file(".aip/policy", b"quorum none\n");
    verify(&[]).expect(2, &["no policy names witnesses"]);
    world.file("trust.toml", b"version = 1\nmax-checkpoint-age = \"1h\"\n");
    verify(&["--policy", "alone"]).expect(2, &["checkpoint-freshness: no cosignature that counts"]);
    // Of two limits the smaller counts, whoever sets it.
    for (setting, flag) in [("10s", "1h"), ("1h", "10s")] {
        world.file("trust.toml", format!("version = 1\nmax-age = \"{setting}\"\n").as_bytes());
        verify(&["--policy", "alone", "--max-age", flag]).expect(1, &["FAILED  app  max-age: it is "]);
    }
}

/// cosign takes the bundle all the same.
#[test]
fn a_key_of_a_log_that_ended_does_not_count() {
    let world = exported();
    let mut root = world.json("trusted_root.json");
    let with_end = |root: &mut Value, end: &str| {
        root["tlogs"][0]["publicKey"]["validFor"]["end"] = json!(end);
        world.file("ended.json", root.to_string().as_bytes());
        world
            .run(&[&BUNDLE[..], &["ended.json", "--key", "app.sigstore.pub", "--allow-unwitnessed"]].concat())
    };
    with_end(&mut root, "2025-06-01T00:00:00Z")
        .expect(1, &["log-signature", "ends the log's key at 2025-06-01T00:00:00Z"]);
    with_end(&mut root, "2125-06-01T00:00:00Z").expect(0, &["ok  app"]);
    with_end(&mut root, "some day").expect(2, &["is no trusted root"]);
}

#[test]
fn what_is_asked_has_to_fit_together() {
    let world = exported();
    let root = "trusted_root.json";
    for (more, reason) in [
        (&[root][..], "--signer"),
        (&[root, "--key", "app.sigstore.pub", "--any-signer"], "cannot be used with"),
        (&[root, "--any-signer"], "cannot be used with"),
        (&[root, "--key", "app.sigstore.pub", "--receipt", "app.receipt.json"], "cannot be used with"),
        (
            &[root, "--key", "app.sigstore.pub", "--allow-unwitnessed", "--policy", "policy"],
            "cannot be used with",
        ),
        (&[root, "--key", "nowhere"], "cannot read the key `nowhere`"),
        (&[root, "--key", "app"], "cannot use the key `app`"),
        (&["nowhere", "--key", "app.sigstore.pub"], "cannot read the trusted root `nowhere`"),
        (&["app", "--key", "app.sigstore.pub"], "`app` is no trusted root"),
        (&[root, "--key", "app.sigstore.pub", "--state", "x"], "a state is a DID's"),
    ] {
        world.run(&[&BUNDLE[..], more].concat()).expect(2, &[reason]);
    }
    let did = did().to_string();
    let two = [root, "--signer", &did, "--signer", "did:aip:00000000000000000000000000000000"];
    world.run(&[&BUNDLE[..], &two].concat()).expect(2, &["2 signers are named"]);
    let age = [root, "--signer", &did, "--max-state-age", "7d", "--allow-unwitnessed"];
    world.run(&[&BUNDLE[..], &age].concat()).expect(2, &["no state of did:aip:"]);
    let other = [root, "--signer", "did:aip:00000000000000000000000000000000", "--allow-unwitnessed"];
    world.run(&[&BUNDLE[..], &other].concat()).expect(1, &["is none of the wanted signers"]);
    world.run(&["verify", "app", "--key", "app.sigstore.pub"]).expect(2, &["--bundle"]);
    world
        .run(&[
            "verify",
            "nowhere",
            "--bundle",
            "app.sigstore.json",
            "--trusted-root",
            root,
            "--key",
            "app.sigstore.pub",
        ])
        .expect(2, &["there is no file `nowhere`"]);
}
