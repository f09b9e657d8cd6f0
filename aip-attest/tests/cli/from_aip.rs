//! What people of Python `aip` bring along: the credentials file and `.aip-signature.json`.

use std::path::Path;

use serde_json::{Value, json};
use tlog::encoding;

use crate::world::{OTHER_PROGRAM, World, did};

const SEED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BOB: &str = "did:aip:24f6ed6acbfe1009c030d7ca567c33ca";
const MANIFEST: &str = ".aip-signature.json";

/// `aip.json`, data of others, read in place.
fn recorded() -> Option<Value> {
    let folder = std::env::var_os("AIP_VECTORS").filter(|folder| !folder.is_empty());
    let path = folder.map(|folder| Path::new(&folder).join("aip.json")).filter(|path| path.exists());
    if path.is_none() {
        eprintln!("not run: aip.json: AIP_VECTORS names no folder with it");
    }
    path.map(|path| serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON"))
}

/// What Python `aip` wrote for a plain identity: DID, key and what it says beside.
fn credentials() -> String {
    let public = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    let file = json!({"did": did().to_string(), "public_key": public, "private_key": SEED, "platform": "github",
        "username": "my-org", "service": "https://aip-service.fly.dev", "registered_at": 1_760_000_000});
    format!("{file:#}")
}

#[test]
fn an_identity_of_python_is_taken_as_it_is() {
    let world = World::new();
    world
        .run_as(OTHER_PROGRAM, &["init", "--from-aip"])
        .expect(2, &["there is no identity of Python aip here"]);
    let file = world.file(".aip/credentials.json", credentials().as_bytes());
    let taken = world.run_as(OTHER_PROGRAM, &["init", "--from-aip"]);
    taken.expect(0, &[&format!("DID: {}", did()), "not registered", "aip-recovery-"]);
    assert_eq!(std::fs::read_to_string(&file).expect("there"), credentials(), "not a byte is written");
    let next = world.only(".aip/next-");
    let kept = world.read(&next);
    // Once more it changes nothing.
    world.run_as(OTHER_PROGRAM, &["init", "--from-aip"]).expect(0, &["were made before"]);
    assert_eq!((world.read(&next), world.read(".aip/credentials.json")), (kept, credentials()));
    world.only("aip-recovery-");
    world.run(&["init", "--from-aip", "--force"]).expect(2, &["cannot be used with"]);
    world.run(&["whoami"]).expect(0, &["Platform: github/my-org"]);
}

#[test]
fn an_encrypted_identity_of_python_stays_encrypted() {
    let Some(recorded) = recorded() else { return };
    let encrypted = &recorded["encrypted_credentials"];
    let world = World::new().env("AIP_PASSPHRASE", encrypted["passphrase"].as_str().expect("text"));
    let text = format!("{:#}", encrypted["file"]);
    world.file(".aip/credentials.json", text.as_bytes());
    world.run(&["init", "--from-aip"]).expect(0, &[&format!("DID: {}", did())]);
    assert_eq!(world.read(".aip/credentials.json"), text);
    let next = world.read(&world.only(".aip/next-"));
    assert!(next.contains("ciphertext") && !next.contains("private_key"), "{next}");
    let other = World::new().env("AIP_PASSPHRASE", "wrong");
    other.file(".aip/credentials.json", text.as_bytes());
    other.run(&["init", "--from-aip"]).expect(2, &["the passphrase does not open it"]);
    assert_eq!(other.files(), [".aip/credentials.json", ".aip/keys.lock"]);
}

#[test]
fn a_did_that_is_not_its_keys_is_not_taken() {
    let world = World::new();
    world.file(".aip/credentials.json", credentials().replace(&did().to_string(), BOB).as_bytes());
    world.run(&["init", "--from-aip"]).expect(2, &["is not the DID of its key"]);
}

#[test]
fn a_key_in_the_environment_has_nothing_that_comes_after_it() {
    let world = World::with_key();
    world.file(".aip/credentials.json", credentials().as_bytes());
    world.run(&["init", "--from-aip"]).expect(2, &["the identity is in the environment alone"]);
}

#[test]
fn the_manual() {
    let world = World::with_key();
    world.file("dist/app", b"app");
    world.file("dist/lib/a b.so", b"lib");
    world.transcript(
        "
$ aip sign dist --no-log --aip-manifest --receipts receipts
? 0
signed   dist/app  sha256:[..]  receipts/dist/app.[..].receipt.json
signed   dist/lib/a b.so  sha256:[..]  receipts/dist/lib/a b.so.[..].receipt.json
manifest dist/.aip-signature.json  2 files
  Signature: [..]
! note: no CI run around: the provenance says `local`, and nothing about a source

$ aip verify dist --aip-manifest --signer $DID
? 0
ok  dist/app         $DID
ok  dist/lib/a b.so  $DID
manifest: dist/.aip-signature.json, 2 files, [..]Z, by its signer's word; in no log
not judged: 1 file [..] (`dist/.aip-signature.json`)

$ aip verify dist/app --aip-manifest --any-signer -v
? 0
ok  dist/app  $DID
manifest: dist/.aip-signature.json, 2 files, [..]Z, by its signer's word; in no log
  ok  manifest-form
  ok  manifest-signature
  ok  manifest-key  the DID is its hash; no state of the DID is known here
  ok  manifest-signer

$ aip verify dist/app --aip-manifest --signer did:aip:24f6ed6acbfe1009c030d7ca567c33ca
? 1
FAILED  dist/app  manifest-signer: $DID signed it, who was not asked for

$ aip verify dist/app --signer $DID
? 2
could not check  dist/app  there is no receipt `dist/app.receipt.json`
! hint: `aip sign` writes it, `aip fetch` gets it from the log; --receipts DIR names the folder where it is
! hint: `dist/.aip-signature.json` is a manifest of Python aip, which no log has: `aip verify --aip-manifest` verifies it
! hint: or name the receipt: --receipt FILE
",
    );
    let json = world.run(&["verify", "dist", "--aip-manifest", "--any-signer", "--json"]).json();
    assert_eq!((&json["verdict"], &json["manifests"][0]["byLog"]), (&json!("verified"), &json!(false)));
    assert_eq!(json["results"].as_array().map(Vec::len), Some(2));
    // Nothing is asked of a manifest that it cannot say.
    for flag in [["--max-age", "30d"], ["--source-ref", "main"], ["--receipts", "r"]] {
        let ran = world.run(&[&["verify", "dist", "--aip-manifest", "--any-signer"], &flag[..]].concat());
        ran.expect(2, &["'--aip-manifest' cannot be used with"]);
    }
}

#[test]
fn what_is_not_as_it_was_signed_is_told() {
    let world = World::with_key();
    for file in ["dist/app", "dist/lib/x", "dist/gone"] {
        world.file(file, file.as_bytes());
    }
    world.run(&["sign", "dist", "--no-log", "--aip-manifest", "--receipts", "r"]).expect(0, &["3 files"]);
    let verify = || world.run(&["verify", "dist", "--aip-manifest", "--any-signer"]);
    world.file("dist/app", b"another build");
    verify().expect(1, &["FAILED  dist/app", "manifest-digest: the manifest has sha256"]);
    world.file("dist/app", b"dist/app");
    verify().expect(0, &[]);
    std::fs::remove_file(world.path("dist/gone")).expect("removed");
    verify().expect(1, &["FAILED  dist/gone", "manifest-missing"]);
    world.file("dist/gone", b"dist/gone");
    // Python only warns of these, or does not see them.
    for extra in ["dist/extra", "dist/node_modules/evil.js", "dist/lib/x.pyc"] {
        world.file(extra, b"extra");
        verify().expect(2, &[&format!("could not check  {extra}"), "does not name"]);
        world.run(&["verify", "dist", "--aip-manifest", "--any-signer", "--exclude", extra]).expect(0, &[]);
        std::fs::remove_file(world.path(extra)).expect("removed");
    }
    let manifest = format!("dist/{MANIFEST}");
    let good = world.read(&manifest);
    world.file(&manifest, good.replace(&did().to_string(), BOB).as_bytes());
    verify().expect(1, &["FAILED  dist/app", "manifest-signature"]);
    world.file(&manifest, good.replace("1.0", "1.1").as_bytes());
    verify().expect(1, &["manifest-form"]);
    std::fs::remove_file(world.path(&manifest)).expect("removed");
    verify().expect(2, &["there is no manifest `dist/.aip-signature.json`"]);
}

#[test]
fn alices_key_with_bobs_did_is_not_bob() {
    // The credentials file says so, and Python signs with it: "Signature valid! Signer: Bob".
    let manifest = attestation::manifest::Manifest::sign(
        BOB.parse().expect("a DID"),
        &tlog::key::Ed25519PrivateKey::from_seed(&crate::world::SIGNER_SEED),
        1_760_000_000,
        [("app".to_owned(), tlog::Hash::of(b"app"))].into(),
    );
    let world = World::new();
    world.file("app", b"app");
    world.file(MANIFEST, manifest.to_json().as_bytes());
    let of_bob = world.run(&["verify", "app", "--aip-manifest", "--signer", BOB]);
    of_bob.expect(1, &["FAILED  app", "manifest-key", &format!("the key hashes to {}", did())]);
    world.run(&["verify", "app", "--aip-manifest", "--any-signer"]).expect(1, &["manifest-key"]);
}

#[test]
fn what_python_signed_and_said_of_it() {
    let Some(recorded) = recorded() else { return };
    let mut seen = 0;
    for case in recorded["artifact_signing"].as_array().expect("cases") {
        let (Some(manifest), Some(files)) =
            (case["signature_file_bytes_b64"].as_str(), case["files_b64"].as_object())
        else {
            continue;
        };
        let bytes = |text: &str| encoding::decode_base64(text).expect("base64");
        let world = World::new();
        for (name, content) in files {
            world.file(&format!("w/{name}"), &bytes(content.as_str().expect("text")));
        }
        world.file(&format!("w/{MANIFEST}"), &bytes(manifest));
        let target = match case["target"].as_str() {
            Some(".") => "w".to_owned(),
            name => format!("w/{}", name.expect("a name")),
        };
        let ran = world.run(&["verify", &target, "--aip-manifest", "--any-signer"]);
        match case["verify"]["rc"].as_i64() {
            Some(0) => drop(ran.expect(0, &[&format!("{} files", files.len())])),
            // It has no key: the traceback of Python is a sentence here.
            _ => drop(ran.expect(1, &["`public_key` is empty"])),
        }
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
fn under_the_action_of_python_a_file_is_signed_for_it() {
    let world = World::with_key().env("AIP_SERVICE", "https://aip-service.fly.dev");
    world.file("dist/a.whl", b"a");
    world.file("dist/b.tar.gz", b"b");
    let first = world.run_as(OTHER_PROGRAM, &["sign", "dist/a.whl"]);
    first.expect(0, &["not logged", "manifest dist/.aip-signature.json  1 file", "  Signature: "]);
    world.run(&["verify", "dist/a.whl", "--aip-manifest", "--any-signer"]).expect(0, &[]);
    // One manifest a folder: who signs file after file is told.
    let second = world.run_as(OTHER_PROGRAM, &["sign", "dist/b.tar.gz"]);
    second.expect(0, &["names `a.whl` no more", "  Signature: "]);
    world.run(&["verify", "dist/a.whl", "--aip-manifest", "--any-signer"]).expect(2, &["does not name"]);
}

/// What a checkout brings must not choose which file is written.
#[cfg(unix)]
#[test]
fn a_manifest_is_written_behind_no_link() {
    let world = World::with_key();
    world.file("dist/app", b"app");
    let kept = world.file("kept", b"somebody's");
    std::os::unix::fs::symlink(&kept, world.path(&format!("dist/{MANIFEST}"))).expect("a link");
    world.run(&["sign", "dist/app", "--no-log", "--aip-manifest"]).expect(2, &["is a link, or no file"]);
    assert_eq!(world.read("kept"), "somebody's");
}

#[test]
fn what_python_does_not_look_at_is_in_no_manifest() {
    let world = World::with_key();
    for name in ["app", "node_modules/x.js", "lib/y.pyc", ".env"] {
        world.file(&format!("dist/{name}"), b"x");
    }
    let ran = world.run(&["sign", "dist", "--no-log", "--aip-manifest", "--receipts", "r"]);
    ran.expect(0, &["not in the manifest: 3 files that Python aip does not look at (`.env`, …)", "  1 file"]);
    // Named alone it is looked at.
    world.file("x.pyc", b"x");
    world
        .run(&["sign", "x.pyc", "--no-log", "--aip-manifest"])
        .expect(0, &["manifest .aip-signature.json  1 file"]);
    let json = world.run(&["sign", "x.pyc", "--no-log", "--aip-manifest", "--json"]).json();
    let signature = json[0]["manifest"]["signature"].as_str().expect("a signature");
    assert_eq!(world.json(MANIFEST)["signature"], signature);
    world.run(&["sign", "--subject", "x@sha256:00", "--aip-manifest"]).expect(2, &["cannot be used with"]);
}
