//! Verifies Sigstore bundles that our command line exported with the crate `sigstore-verify`.
//!
//! Usage: verify_bundle SCENE, with the files and the table of `sigstore_bundles.py`. On success it prints what was checked.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, DerPublicKey};
use sigstore_verify::{PublicKeyVerificationPolicy, verify};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let scene = std::env::args().nth(1).expect("usage: verify_bundle SCENE");
    match check_scene(Path::new(&scene)) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn check_scene(scene: &Path) -> Result<String> {
    let (mut accepted, mut refused, mut wrong) = (0, 0, Vec::new());
    for case in fs::read_dir(scene.join("sigstore"))? {
        let case = case?.path();
        for line in fs::read_to_string(case.join("table.crate"))?.lines() {
            let [want, bundle, root, artifact, ..] = line.split('\t').collect::<Vec<_>>()[..] else {
                return Err(format!("no line of a table: {line}").into());
            };
            let verified = verify_case(&case, bundle, root, artifact);
            let got = if verified.is_ok() { "accept" } else { "refuse" };
            if verified.is_ok() { accepted += 1 } else { refused += 1 }
            if got != want {
                let why = verified.err().map_or(String::new(), |error| error.to_string());
                wrong.push(format!("{}: {bundle} under {root}: {got}, not {want} {why}", case.display()));
            }
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n").into());
    }
    if accepted == 0 || refused == 0 {
        return Err("nothing was checked".into());
    }
    let differs = fs::read_to_string(scene.join("sigstore_differs.crate"))?;
    Ok(format!("{accepted} accepted, {refused} refused, as the table says; {}", differs.trim()))
}

fn verify_case(case: &Path, bundle: &str, root: &str, artifact: &str) -> Result<()> {
    let bundle = Bundle::from_json(&fs::read_to_string(case.join(bundle))?)?;
    let root = TrustedRoot::from_json(&fs::read_to_string(case.join(root))?)?;
    let key = DerPublicKey::from_pem(&fs::read_to_string(case.join("key.pub"))?)?;
    let artifact = fs::read(case.join(artifact))?;
    let result = verify(artifact.as_slice(), &bundle, &PublicKeyVerificationPolicy::new(key), &root)?;
    if !result.tlog_verified() {
        return Err("the log entry was not verified".into());
    }
    Ok(())
}
