//! Manifests of Python `aip` in the place of receipts. The rules are in [`attestation::manifest`].
//!
//! ```text
//! {"schema": "aip.verify-manifest.v1", "verdict": "verified | failed | could-not-check",
//!  "selection": {…},                                        as in aip.verify.v1
//!  "manifests": [{"file": "…", "verdict": "…", "claimedDid": "…", "did": "…", "claimedTime": "…", "byLog": false,
//!                 "error": {"message": "…", "hint": "…"}}],   `did` to `byLog` only if its checks pass
//!  "results": [{"artifact": "…", "sha256": "…", "manifest": "…", "verdict": "…", "check": "…", "why": "…"}]}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use attestation::Did;
use attestation::identity::Identity;
use attestation::manifest::{Check, FILE_NAME, Manifest, ManifestError, Signed};
use attestation::receipt::SignerState;
use serde_json::{Value, json};
use tlog::{Hash, UnixTime};

use super::found::word;
use super::judge::ReceiptJudge;
use crate::aip_manifest;
use crate::artifact::{self, Aside, Excludes, Hashed, Unusable, Wanted};
use crate::clock;
use crate::report::{Console, Exit, Failure, Result};

/// What is asked.
pub(super) struct Asked<'a> {
    pub(super) artifacts: &'a [OsString],
    pub(super) excludes: &'a Excludes,
    pub(super) verbose: bool,
}

/// What was found.
pub(super) struct Answers {
    manifests: BTreeMap<PathBuf, Result<Signed>>,
    rows: Vec<Row>,
    aside: Aside,
}

struct Row {
    label: String,
    sha256: Option<Hash>,
    /// The folder of its manifest.
    folder: Option<PathBuf>,
    /// Whose it is, or why it does not verify.
    outcome: Result<Did>,
}

/// Judges each artifact by the manifest of its folder.
pub(super) fn judge(asked: &Asked<'_>, judge: &mut ReceiptJudge, console: &mut Console) -> Result<Answers> {
    let instead = ["name the files, or their folder"];
    artifact::refuse_piped(asked.artifacts, "aip-attest verify --aip-manifest", &instead)?;
    let wanted = Wanted { arguments: asked.artifacts, excludes: asked.excludes, receipts: None };
    let selection = artifact::to_judge(&wanted);
    let mut answers = Answers { manifests: BTreeMap::new(), rows: Vec::new(), aside: selection.aside };
    let mut named: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for artifact in selection.artifacts {
        let Hashed { artifact, sha256 } = match artifact {
            // It covers itself by its signature.
            Ok(hashed) if aip_manifest::is_manifest(&hashed.artifact) => continue,
            Ok(hashed) => hashed,
            Err(Unusable { label, failure }) => {
                answers.rows.push(Row { label, sha256: None, folder: None, outcome: Err(failure) });
                continue;
            }
        };
        let folder = aip_manifest::folder_of(&artifact);
        let outcome = match &folder {
            None => Err(Failure::new(format!("`{}` has no folder to look for its manifest", artifact.name))),
            Some(folder) => {
                named.entry(folder.clone()).or_default().insert(artifact.name.clone());
                let believed = answers.believed(folder, judge, console);
                believed.and_then(|signed| names(&signed, &artifact.name, &sha256, folder))
            }
        };
        answers.rows.push(Row { label: artifact.label(), sha256: Some(sha256), folder, outcome });
    }
    // A folder that is named stands for what was signed of it: what is gone was taken away.
    for folder in
        asked.artifacts.iter().map(Path::new).filter(|folder| folder.is_dir()).map(aip_manifest::plain)
    {
        let Ok(signed) = answers.believed(&folder, judge, console) else { continue };
        let here = named.remove(&folder).unwrap_or_default();
        let gone = signed.files.iter().filter(|(name, _)| !here.contains(*name));
        for (name, _) in gone.filter(|(name, _)| folder.join(name).symlink_metadata().is_err()) {
            let why = format!("{}: `{name}` is in the manifest and not in the folder", Check::Missing.id());
            answers.rows.push(Row {
                label: folder.join(name).to_string_lossy().into_owned(),
                sha256: None,
                folder: Some(folder.clone()),
                outcome: Err(Failure::refuted(why)),
            });
        }
    }
    if answers.rows.is_empty() {
        return Err(Failure::new("nothing is left to verify but the manifest itself"));
    }
    Ok(answers)
}

/// Whose bytes these are, if the manifest names them so.
fn names(signed: &Signed, name: &str, sha256: &Hash, folder: &Path) -> Result<Did> {
    let check = Check::Digest.id();
    match signed.files.get(name) {
        Some(digest) if digest == sha256 => Ok(signed.did),
        Some(digest) => {
            Err(Failure::refuted(format!("{check}: the manifest has sha256 {digest}, the file {sha256}")))
        }
        None => {
            let manifest = folder.join(FILE_NAME);
            Err(Failure::new(format!("{check}: `{}` does not name `{name}`", manifest.display()))
                .hint("name the folder that was signed, or leave the file out: --exclude PATTERN"))
        }
    }
}

impl Answers {
    /// The folder's manifest, judged once.
    fn believed(&mut self, folder: &Path, judge: &mut ReceiptJudge, console: &mut Console) -> Result<Signed> {
        if let Some(known) = self.manifests.get(folder) {
            return known.clone();
        }
        let believed = believe(folder, judge, console);
        self.manifests.entry(folder.to_owned()).or_insert(believed).clone()
    }

    fn exit(&self) -> Exit {
        self.rows.iter().map(Row::exit).fold(Exit::Yes, Exit::and)
    }

    /// Prints a line an artifact, what is false first; then each manifest.
    pub(super) fn text(&self, asked: &Asked<'_>, console: &mut Console) -> Exit {
        let mut order: Vec<&Row> = self.rows.iter().collect();
        order.sort_by_key(|row| match row.exit() {
            Exit::False => 0,
            Exit::Unable => 1,
            Exit::Yes => 2,
        });
        let width = order.iter().map(|row| row.label.chars().count()).max().unwrap_or(0).min(MAX_LABEL_WIDTH);
        for row in order {
            let label = &row.label;
            match &row.outcome {
                Ok(did) => console.line(format!("ok  {label:<width$}  {did}")),
                Err(failure) => {
                    let word = if row.exit() == Exit::False { "FAILED" } else { "could not check" };
                    console.line(format!("{word}  {label:<width$}  {}", failure.one_line()));
                }
            }
        }
        for (folder, believed) in &self.manifests {
            let Ok(signed) = believed else { continue };
            console.line(format!(
                "manifest: {}, {} files, {}, by its signer's word; in no log",
                folder.join(FILE_NAME).display(),
                signed.files.len(),
                clock::rfc3339(UnixTime::from_secs(signed.claimed_time)),
            ));
            if asked.verbose {
                let key = match signed.by_log {
                    true => "the DID's by the state of it in a log",
                    false => "the DID is its hash; no state of the DID is known here",
                };
                console.line(format!("  ok  {}", Check::Form.id()));
                console.line(format!("  ok  {}", Check::Signature.id()));
                console.line(format!("  ok  {}  {key}", Check::Key.id()));
                console.line(format!("  ok  {}", Check::Signer.id()));
            }
        }
        if let Some(text) = self.aside.text("judged") {
            console.line(text);
        }
        let mut hints: Vec<&String> = Vec::new();
        for hint in self.rows.iter().filter_map(|row| row.outcome.as_ref().err()).flat_map(Failure::hints) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints.into_iter().for_each(|hint| console.hint(hint));
        self.exit()
    }

    /// The same for programs.
    pub(super) fn json(&self, console: &mut Console) -> Exit {
        let file = |folder: &Path| folder.join(FILE_NAME).to_string_lossy().into_owned();
        let manifest = |(folder, believed): (&PathBuf, &Result<Signed>)| match believed {
            Ok(signed) => json!({
                "file": file(folder),
                "verdict": word(Exit::Yes),
                "did": signed.did,
                "claimedTime": clock::rfc3339(UnixTime::from_secs(signed.claimed_time)),
                "byLog": signed.by_log,
            }),
            Err(failure) => {
                json!({"file": file(folder), "verdict": word(failure.exit()), "error": failure.to_json()})
            }
        };
        let row = |row: &Row| {
            json!({
                "artifact": row.label,
                "sha256": row.sha256.map(|hash| hash.to_string()),
                "manifest": row.folder.as_deref().map(file),
                "verdict": word(row.exit()),
                "did": row.outcome.as_ref().ok(),
                "why": row.outcome.as_ref().err().map(Failure::one_line),
            })
        };
        console.json(&json!({
            "schema": "aip.verify-manifest.v1",
            "verdict": word(self.exit()),
            "selection": self.aside.to_json(),
            "manifests": self.manifests.iter().map(manifest).collect::<Vec<Value>>(),
            "results": self.rows.iter().map(row).collect::<Vec<Value>>(),
        }));
        self.exit()
    }
}

impl Row {
    fn exit(&self) -> Exit {
        self.outcome.as_ref().map_or_else(Failure::exit, |_| Exit::Yes)
    }
}

/// Reads the manifest of a folder, and checks whose it is.
fn believe(folder: &Path, judge: &mut ReceiptJudge, console: &mut Console) -> Result<Signed> {
    let path = folder.join(FILE_NAME);
    let bytes = aip_manifest::read(folder)?.ok_or_else(|| {
        Failure::new(format!("there is no manifest `{}`", path.display()))
            .hint("name the folder that was signed; receipts are verified without --aip-manifest")
    })?;
    let refused = |error: ManifestError| Failure::refuted(format!("{}: {error}", error.check().id()));
    let manifest = Manifest::parse(&bytes).map_err(refused)?;
    let states = judge.states_of(manifest.claimed_did(), console)?;
    let fold =
        |state: &SignerState| Identity::fold(state.events.iter().map(|(index, event)| (*index, event)));
    let states: Vec<Identity> = states.iter().filter_map(fold).collect();
    let signed = manifest.verify(&states).map_err(refused)?;
    match &judge.wanted {
        Some(wanted) if !wanted.contains(&signed.did) => Err(Failure::refuted(format!(
            "{}: {} signed it, who was not asked for",
            Check::Signer.id(),
            signed.did
        ))),
        _ => Ok(signed),
    }
}

/// Longer names stand out of their column.
const MAX_LABEL_WIDTH: usize = 48;
