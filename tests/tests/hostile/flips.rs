//! R7: one bit flips in one file of a log's directory, or in its record, many times over.

use testkit::flips::{Flip, Table, count};

use super::*;

/// What a flip comes to. Everything else fails the test.
const HARMLESS: &str = "harmless";
const TOLD: &str = "told at the start";
const NAMED: &str = "named";
const SALVAGED: &str = "named, refused, salvaged";
const REFUSED: &str = "named, refused";

/// Whatever a flip changes is named, by `fsck` and by a start that is refused, and nothing of it is served, signed or
/// lost without a word: a start that is not refused serves what was served before, byte for byte, or 500. What is refused
/// for the database's sake is salvaged whole, or it is said what is missing. `LOG_FLIPS=10000` is the full run.
#[test]
fn a_flipped_bit_is_named_and_never_served() {
    let flips = count("LOG_FLIPS", 200);
    // Of damaged mail the log takes no notice, which is tried in `relay/damage.rs`: here nothing of it is flipped.
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
    let flips = Flip::choose(good.path(), flips, 11);
    let table = std::sync::Mutex::new(Table::default());
    let (truth, paths, table_of) = (&truth, &paths[..], &table);
    std::thread::scope(|scope| {
        for flips in flips.chunks(flips.len().div_ceil(WORKERS)) {
            let good = good.path();
            scope.spawn(move || {
                let mut log = Log::init();
                for flip in flips {
                    fs::remove_dir_all(log.dir()).expect("removed");
                    testkit::flips::copy_folder(good, log.folder());
                    flip.apply(log.folder());
                    let outcome = outcome(&mut log, flip, paths, truth);
                    table_of.lock().expect("no panic").add(flip, outcome);
                }
            });
        }
    });
    let table = table.into_inner().expect("no panic");
    println!("R7: {} flips\n{table}", flips.len());
    assert!(table.total(HARMLESS) < flips.len() / 2, "a check that finds nothing");
}

/// Logs that are flipped at a time.
const WORKERS: usize = 2;

fn outcome(log: &mut Log, flip: &Flip, paths: &[String], truth: &HashMap<&str, Vec<u8>>) -> &'static str {
    let what = format!("bit {} of byte {} of {}", flip.bit, flip.byte, flip.file.display());
    let (code, words) = fsck(log);
    assert!(matches!(code, Some(0..=2)), "{what}: {words}");
    assert!(
        code == Some(0) || words.starts_with("error: ") || words.contains("\nerror: "),
        "{what}: {words}"
    );
    let is_told = code == Some(0) && words.contains("hint: `");
    let before = (code == Some(1)).then(|| files(&log.dir().join("db")));
    let refusal = match log.try_serve(&[], &[]) {
        Ok(_) => {
            for path in paths {
                let response = log.get(path);
                let status = response.status().as_u16();
                if status == 500 {
                    assert_eq!(code, Some(1), "{what}: fsck finds nothing, but {path} cannot be read");
                    continue;
                }
                // A policy is what its file says, and that the file is another is told.
                let is_as_it_was = response.bytes().expect("a body") == truth[path.as_str()];
                assert!(status == 200 && (is_as_it_was || (is_told && path == "/policy")), "{what}: {path}");
            }
            log.kill();
            return match code {
                Some(0) if is_told => TOLD,
                Some(0) => HARMLESS,
                _ => NAMED,
            };
        }
        Err(refusal) => refusal,
    };
    assert!(refusal.contains("error: "), "{what}: {refusal}");
    assert_ne!(code, Some(0), "{what}: fsck finds nothing, but serve says {refusal}");
    if let Some(before) = before {
        assert!(files(&log.dir().join("db")) == before, "{what}: a refused start changes nothing");
    }
    if !flip.file.starts_with("log/db") {
        return REFUSED;
    }
    let salvage = Command::new(program("log-server")).args(["salvage", "--dir"]).arg(log.dir()).output();
    let salvage = salvage.expect("log-server runs");
    let words = String::from_utf8_lossy(&salvage.stderr).into_owned();
    if !salvage.status.success() {
        assert!(words.starts_with("error: ") && words.contains("hint: "), "{what}: {words}");
        return REFUSED;
    }
    log.serve(&[]);
    for path in paths {
        let response = log.get(path);
        let is_lost = response.status().as_u16() == 404 && path.contains("/envelopes/");
        // The notes may be signed anew; of envelopes that are lost it is told.
        let is_as_it_was =
            path == "/checkpoint" || response.bytes().is_ok_and(|bytes| bytes == truth[path.as_str()]);
        assert!(
            is_as_it_was || (is_lost && words.contains("envelopes are not here")),
            "{what}: {path} after {words}"
        );
    }
    log.kill();
    SALVAGED
}

/// Every file of a folder.
fn files(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
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
