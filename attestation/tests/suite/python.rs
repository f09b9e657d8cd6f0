//! Manifests that Python `aip` 0.5.51 wrote, and what it said of them: `aip.json`, data of others, read in place.
#![allow(clippy::disallowed_methods, reason = "the library is pure; its tests read vectors")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use attestation::manifest::{Check, Manifest};
use serde_json::Value;
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, encoding};

/// The file; `None`, and a line on stderr past the test harness, when it is not there.
fn recorded() -> Option<Value> {
    let folder = std::env::var_os("AIP_VECTORS").filter(|folder| !folder.is_empty());
    let path = folder.map(|folder| Path::new(&folder).join("aip.json")).filter(|path| path.exists());
    let Some(path) = path else {
        let _ = writeln!(std::io::stderr(), "not run: aip.json: AIP_VECTORS names no folder with it");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON"))
}

fn bytes(value: &Value) -> Vec<u8> {
    encoding::decode_base64(value.as_str().expect("text")).expect("base64")
}

#[test]
fn what_python_signed_is_verified_and_written_again_to_the_byte() {
    let Some(recorded) = recorded() else { return };
    let mut seen = 0;
    for case in recorded["artifact_signing"].as_array().expect("cases") {
        if case["signature_file_bytes_b64"].is_null() {
            continue;
        }
        let (name, file) = (&case["name"], bytes(&case["signature_file_bytes_b64"]));
        let manifest = match Manifest::parse(&file) {
            Ok(manifest) => manifest,
            Err(error) => {
                // With its key in the environment Python writes none into the file, and cannot verify it either.
                assert_eq!((name.as_str(), &case["verify"]["rc"]), (Some("env_credentials_ci"), &1.into()));
                assert_eq!(error.check(), Check::Form);
                continue;
            }
        };
        assert_eq!(case["verify"]["rc"], 0, "{name}");
        let signed = manifest.verify(&[]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let digests: BTreeMap<String, Hash> = case["files_b64"]
            .as_object()
            .expect("files")
            .iter()
            .map(|(file, content)| (file.clone(), Hash::of(&bytes(content))))
            .collect();
        assert_eq!(signed.files, digests, "{name}");
        let agent = &recorded["identities"][case["agent"].as_str().expect("a name")];
        let seed = hex::decode(agent["seed_hex"].as_str().expect("hex")).expect("hex");
        let key = Ed25519PrivateKey::from_seed(&seed.try_into().expect("32 bytes"));
        let again = Manifest::sign(signed.did, &key, signed.claimed_time, digests);
        assert_eq!(again.to_json().into_bytes(), file, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn of_a_signature_both_say_the_same() {
    let Some(recorded) = recorded() else { return };
    for case in recorded["artifact_verify"].as_array().expect("cases") {
        let file = serde_json::to_vec(&case["manifest"]).expect("JSON");
        let verified = Manifest::parse(&file).expect("a manifest").verify(&[]);
        let is_valid = !case["run"]["stdout"].as_str().expect("text").contains("SIGNATURE INVALID");
        assert_eq!(verified.is_ok(), is_valid, "{}", case["name"]);
    }
    // Half a surrogate pair stands for a byte that is no UTF-8: no file here is called so.
    let odd = recorded["non_utf8_filename"]["manifest_text"].as_str().expect("text");
    assert_eq!(Manifest::parse(odd.as_bytes()).expect_err("no text").check(), Check::Form);
}
