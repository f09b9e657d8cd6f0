//! R7: one bit flips in one file of a log's directory, or in its record, many times over.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use attestation::entry::Visibility::{Private, Public};
use serde_json::Value;
use testkit::flips::{Flip, Table};
use testkit::log::{Log, ORIGIN, copy_folder};
use testkit::program;
use testkit::signer::Signer;

use crate::frame::{Findings, Outcome, Plan, count};

/// What a flip comes to. Everything else is a violation.
const HARMLESS: &str = "harmless";
const TOLD: &str = "told at the start";
const NAMED: &str = "named";
const SALVAGED: &str = "named, refused, salvaged";
const REFUSED: &str = "named, refused";
const VIOLATION: &str = "violation";

/// Whatever a flip changes is named, by `fsck` and by a start that is refused, and nothing of it is served, signed or
/// lost without a word: a start that is not refused serves what was served before, byte for byte, or 500. What is refused
/// for the database's sake is salvaged whole, or it is said what is missing. The plan's count is that of flips.
pub fn log(plan: &Plan) -> Outcome {
    // Of damaged mail the log takes no notice, which `relay/damage.rs` tries: here nothing of it is flipped.
    let mut log = Log::start(&["--messages", "false"]);
    let signer = Signer::new(1);
    let submit = |log: &Log, numbers: std::ops::Range<u32>| {
        let entry = |number: u32| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 200).published();
        let (status, answer) = log.submit(&Value::Array(numbers.map(entry).collect()));
        assert_eq!(status, 200, "{answer}");
    };
    // Most of it in sorted files: what was written before a restart. Some in the write-ahead log.
    submit(&log, 0..280);
    log.stop();
    log.serve(&["--messages", "false"]);
    submit(&log, 280..300);
    let private = signer.sign(ORIGIN, b"private", Private, 0);
    log.submit(&private.by_hash());
    let paths = paths_of(&signer);
    let truth: HashMap<&str, Vec<u8>> = paths.iter().map(|path| (path.as_str(), log.bytes(path))).collect();
    log.kill();
    // The directory and the record, as they lie beside each other.
    let good = tempfile::tempdir().expect("a temporary folder");
    copy_folder(&log.dir(), &good.path().join("log"));
    fs::copy(log.folder().join("log.signed"), good.path().join("log.signed")).expect("a copy");
    let flips = Flip::choose(good.path(), plan.count as usize, plan.seed);
    let (table, findings) = (Mutex::new(Table::default()), Findings::default());
    std::thread::scope(|scope| {
        for flips in flips.chunks(flips.len().div_ceil(WORKERS)) {
            let (good, table, findings, paths, truth) = (good.path(), &table, &findings, &paths[..], &truth);
            scope.spawn(move || {
                for flip in flips {
                    let mut log = Log::init();
                    fs::remove_dir_all(log.dir()).expect("removed");
                    testkit::flips::copy_folder(good, log.folder());
                    flip.apply(log.folder());
                    let outcome = outcome(&mut log, flip, paths, truth).unwrap_or_else(|what| {
                        let at = flip.file.display();
                        findings.require(false, || {
                            format!("bit {} of byte {} of {at}: {what}", flip.bit, flip.byte)
                        });
                        VIOLATION
                    });
                    table.lock().expect("no panic").add(flip, outcome);
                }
            });
        }
    });
    let table = table.into_inner().expect("no panic");
    eprintln!("{table}");
    let harmless = table.total(HARMLESS);
    findings.require(harmless < flips.len() / 2, || format!("{harmless} flips changed nothing"));
    let of = |outcome: &str| format!("{} {outcome}", count(table.total(outcome) as u64));
    let outcomes = [HARMLESS, TOLD, NAMED, REFUSED, SALVAGED].map(of).join("; ");
    findings.into_outcome(format!("{} flips: {outcomes}", count(plan.count)))
}

/// Logs that are flipped at a time.
const WORKERS: usize = 2;

/// What one flip came to, or the rule that was broken.
fn outcome(
    log: &mut Log,
    flip: &Flip,
    paths: &[String],
    truth: &HashMap<&str, Vec<u8>>,
) -> Result<&'static str, String> {
    let must = |holds: bool, otherwise: String| if holds { Ok(()) } else { Err(otherwise) };
    let fsck = log.fsck();
    let code = fsck.status.code();
    let words = String::from_utf8_lossy(&[fsck.stdout, fsck.stderr].concat()).into_owned();
    must(matches!(code, Some(0..=2)), format!("fsck ended with {code:?}: {words}"))?;
    let is_error = words.starts_with("error: ") || words.contains("\nerror: ");
    must(code == Some(0) || is_error, format!("fsck says no error: {words}"))?;
    let is_told = code == Some(0) && words.contains("hint: `");
    let before = (code == Some(1)).then(|| files(&log.dir().join("db")));
    let refusal = match log.try_serve(&[], &[]) {
        Ok(_) => {
            for path in paths {
                let response = log.get(path);
                let status = response.status().as_u16();
                if status == 500 {
                    must(code == Some(1), format!("fsck finds nothing, but {path} cannot be read"))?;
                    continue;
                }
                // A policy is what its file says, and that the file is another is told.
                let is_as_it_was = response.bytes().is_ok_and(|bytes| bytes == truth[path.as_str()]);
                let is_right = status == 200 && (is_as_it_was || (is_told && path == "/policy"));
                must(is_right, format!("{path} is served, and is not what it was: {status}"))?;
            }
            log.kill();
            return Ok(match code {
                Some(0) if is_told => TOLD,
                Some(0) => HARMLESS,
                _ => NAMED,
            });
        }
        Err(refusal) => refusal,
    };
    must(refusal.contains("error: "), format!("it does not start, and says no error: {refusal}"))?;
    must(code != Some(0), format!("fsck finds nothing, but serve says {refusal}"))?;
    if let Some(before) = before {
        must(files(&log.dir().join("db")) == before, "a refused start changed the database".into())?;
    }
    if !flip.file.starts_with("log/db") {
        return Ok(REFUSED);
    }
    let salvage = Command::new(program("log-server")).args(["salvage", "--dir"]).arg(log.dir()).output();
    let salvage = salvage.expect("log-server runs");
    let words = String::from_utf8_lossy(&salvage.stderr).into_owned();
    if !salvage.status.success() {
        let is_said = words.starts_with("error: ") && words.contains("hint: ");
        return must(is_said, format!("salvage: {words}")).map(|()| REFUSED);
    }
    log.try_serve(&[], &[]).map_err(|words| format!("after salvage: {words}"))?;
    for path in paths {
        let response = log.get(path);
        let is_lost = response.status().as_u16() == 404 && path.contains("/envelopes/");
        // The notes may be signed anew; of envelopes that are lost it is told.
        let is_as_it_was =
            path == "/checkpoint" || response.bytes().is_ok_and(|bytes| bytes == truth[path.as_str()]);
        let is_right = is_as_it_was || (is_lost && words.contains("envelopes are not here"));
        must(is_right, format!("{path} after {words}"))?;
    }
    log.kill();
    Ok(SALVAGED)
}

/// Every file of a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

/// Everything that is served of a log of 301 entries.
fn paths_of(signer: &Signer) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/checkpoint",
        "/tile/0/000",
        "/tile/0/001.p/45",
        "/tile/1/000.p/1",
        "/tile/entries/000",
        "/tile/entries/001.p/45",
        "/api/v1/proofs/inclusion/7/301",
        "/api/v1/proofs/consistency/100/301",
        "/policy",
    ]
    .map(str::to_owned)
    .into();
    for number in [0u32, 255, 279, 280] {
        let signed = signer.sign(ORIGIN, &number.to_be_bytes(), Public, 200);
        paths.push(format!("/api/v1/entries/{number}"));
        paths.push(format!("/api/v1/entries/{number}/receipt"));
        paths.push(format!("/api/v1/claims/{}", signed.claim()));
        paths.push(format!("/api/v1/envelopes/{}", signed.envelope.hash()));
        paths.push(format!("/api/v1/entries?artifact=sha256:{}", signed.artifact));
    }
    paths.push(format!("/api/v1/entries?did={}&limit=100", signer.did()));
    paths.push(format!("/api/v1/entries?did={}&order=desc", signer.did()));
    paths
}
