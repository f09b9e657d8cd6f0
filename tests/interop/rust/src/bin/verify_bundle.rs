//! Verifies Sigstore bundles made from our receipts with the crate `sigstore-verify`.
//!
//! Usage: verify_bundle SCENE, with the files of `sigstore_bundles.py`. On success it prints what was checked.

use std::collections::BTreeSet;
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
    let (mut bundles, mut refused) = (0, BTreeSet::new());
    for case in fs::read_dir(scene.join("sigstore"))? {
        let case = case?.path();
        let accept = |bundle: &Path, artifact: &str| verify_case(&case, bundle, artifact);
        accept(&case.join("bundle.json"), "artifact")
            .map_err(|error| format!("{}: {error}", case.display()))?;
        bundles += 1;
        if accept(&case.join("bundle.json"), "altered_artifact").is_ok() {
            return Err(format!("{}: an altered artifact was accepted", case.display()).into());
        }
        for altered in fs::read_dir(case.join("altered"))? {
            let altered = altered?.path();
            if accept(&altered, "artifact").is_ok() {
                return Err(format!("{} was accepted", altered.display()).into());
            }
            refused.insert(altered.file_stem().unwrap_or_default().to_string_lossy().into_owned());
        }
    }
    if bundles == 0 {
        return Err("the scene has no bundles".into());
    }
    let refused: Vec<String> = refused.into_iter().collect();
    Ok(format!(
        "{bundles} bundles made from receipts verified with key, log entry and trusted root; altered artifact, {} refused",
        refused.join(", ")
    ))
}

fn verify_case(case: &Path, bundle: &Path, artifact: &str) -> Result<()> {
    let bundle = Bundle::from_json(&fs::read_to_string(bundle)?)?;
    let root = TrustedRoot::from_json(&fs::read_to_string(case.join("trusted_root.json"))?)?;
    let key = DerPublicKey::from_pem(&fs::read_to_string(case.join("key.pub"))?)?;
    let artifact = fs::read(case.join(artifact))?;
    let result = verify(artifact.as_slice(), &bundle, &PublicKeyVerificationPolicy::new(key), &root)?;
    if !result.tlog_verified() {
        return Err("the log entry was not verified".into());
    }
    Ok(())
}
