//! R7: one flipped bit anywhere in the directory of a witness, or in its record. Whatever it changes is named, nothing
//! is shown or lost without a word, and no tree is cosigned that contradicts one that was.
//!
//! `WITNESS_FLIPS` says how many, 200 by default; `WITNESS_FLIPS_SEED` chooses others. The table goes to standard output.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use testkit::flips::{Flip, Table, copy_folder, count};
use tlog::Hash;
use tlog::key::SignerKey;
use witness::fsck;
use witness::opening::{self, Opened};
use witness::state::{State, read_contradictions};

use crate::server::{Server, program};
use crate::world::{Log, World, both_keys};

const LAST: u64 = 300;
/// The sizes that were cosigned: those below the bar are in files, the others in the write-ahead log.
const SIZES: [&[u64]; 2] = [&[1, 5, 100], &[200, LAST]];

/// What the witness has of its logs, and what its files are.
struct Truth {
    logs: Vec<Log>,
    /// For each log what it shows, remembers, and holds against it.
    shown: Vec<Shown>,
    /// What `status` prints.
    about: Vec<u8>,
}

#[derive(Debug, Eq, PartialEq)]
struct Shown {
    note: String,
    history: Vec<String>,
    contradictions: Vec<Vec<u8>>,
}

fn keys() -> Vec<SignerKey> {
    // What is signed is not looked at here, and Ed25519 is faster.
    vec![both_keys().remove(0)]
}

/// A witness in this process, over the directory.
struct Served {
    world: World,
    writer: JoinHandle<()>,
    opened: Opened,
}

impl Served {
    fn open(dir: &Path, logs: &[Log]) -> Result<Self, String> {
        let opened = opening::open(dir).map_err(|e| e.to_string())?;
        let (state, writer) = State::open(opened.store.clone(), |_| ()).map_err(|e| e.to_string())?;
        let logs: Vec<&Log> = logs.iter().collect();
        let world = World::of(state.holding(opened.held.clone()), keys(), &logs, 0);
        Ok(Self { world, writer, opened })
    }

    /// As a process that is killed leaves it.
    fn close(self) {
        drop(self.world);
        self.writer.join().expect("the writer ends with the state");
    }

    /// What it has of a log, or the first error.
    async fn shown(&self, log: &Log) -> Result<Shown, String> {
        let answer = self.world.seen(log).await;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text));
        }
        let hash = Hash::of(log.origin.as_bytes());
        let history = self.world.app.cosigner.state.history(&hash).map_err(|e| e.to_string())?;
        let contradictions =
            read_contradictions(&*self.opened.store, Some(&hash)).map_err(|e| e.to_string())?;
        let history = history.iter().map(ToString::to_string).collect();
        Ok(Shown { note: answer.text, history, contradictions })
    }

    /// Whether any request makes it cosign another tree than it did.
    async fn cosigns_a_fork(&self, log: &Log) -> bool {
        let other = log.forked(0, LAST + 50);
        for old in SIZES.concat().into_iter().chain([0]) {
            for new in [LAST, LAST + 50] {
                if self.world.add(other.request(old, new)).await.status == 200 {
                    return true;
                }
            }
        }
        false
    }
}

/// The directory of a witness that cosigned two logs, was stopped, went on, and was killed.
async fn template(server: &Server) -> Truth {
    let logs = vec![Log::new("log.example/a", LAST + 50), Log::new("log.example/b", LAST + 50)];
    let (mut known, mut shown) = (0, Vec::new());
    for sizes in SIZES {
        let served = Served::open(&server.dir(), &logs).expect("a witness");
        for size in sizes {
            for log in &logs {
                assert_eq!(served.world.add(log.request(known, *size)).await.status, 200);
            }
            known = *size;
        }
        // A contradiction, too.
        assert_eq!(served.world.add(logs[1].forked(0, LAST).request(known, known)).await.status, 422);
        if known < LAST {
            served.opened.store.inner().flush().expect("a flush");
        } else {
            for log in &logs {
                shown.push(served.shown(log).await.expect("it is whole"));
            }
        }
        served.close();
    }
    // Its room is thousands of times what is written: nearly every flip would be of a zero.
    let mut record = fs::read(server.record()).expect("a record");
    record.truncate(record.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    fs::write(server.record(), record).expect("a record");
    assert_eq!((shown[0].history.len(), shown[1].contradictions.len()), (5, 2));
    Truth { logs, shown, about: server.run("status", &[]).stdout }
}

#[tokio::test]
async fn r7_a_flipped_bit_is_named_or_harmless_and_no_fork_is_cosigned() {
    let flips = count("WITNESS_FLIPS", 200);
    let seed = count("WITNESS_FLIPS_SEED", 7) as u64;
    let log = [Log::new("log.example/a", 1), Log::new("log.example/b", 1)];
    let server = Server::init(&[&log[0], &log[1]], &["--key-type", "ed25519", "--url", "https://w.example"]);
    // The files that people edit have been read once.
    assert!(serves(&server.dir()).is_ok(), "a start");
    let truth = template(&server).await;
    let root = server.dir().parent().expect("a folder").to_owned();
    let work = tempfile::tempdir().expect("a temporary folder");
    let mut table = Table::default();
    let mut wrong = Vec::new();
    for (number, flip) in Flip::choose(&root, flips, seed).into_iter().enumerate() {
        let copy = work.path().join(number.to_string());
        copy_folder(&root, &copy);
        flip.apply(&copy);
        let outcome = outcome(&copy, &root, &flip, &truth).await;
        if outcome.starts_with("WRONG") {
            wrong.push(format!("{outcome}: {flip:?}"));
        }
        table.add(&flip, outcome);
        fs::remove_dir_all(&copy).expect("the copy");
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let named = table.total(SALVAGED) + table.total(OVER) + table.total(HELD) + table.total(SAID);
    assert!(named > flips / 4, "most of what is read is checked");
}

const SALVAGED: &str = "refused, then salvaged";
const OVER: &str = "refused for good";
const HELD: &str = "held, then accepted";
const SAID: &str = "named, and served as it was";
const HARMLESS: &str = "harmless";
const FORK: &str = "WRONG: cosigns a fork";
const SILENT: &str = "WRONG: shows or loses something without a word";

/// What becomes of one flip, in a copy of the directory that is used up.
async fn outcome(copy: &Path, root: &Path, flip: &Flip, truth: &Truth) -> &'static str {
    let is_state = flip.file.starts_with("witness/db") || flip.file == Path::new("witness.cosigned");
    let dir = copy.join("witness");
    if !is_state {
        return of_other_file(&dir, truth);
    }
    let (mut is_held, mut is_said) = (false, false);
    match Served::open(&dir, &truth.logs) {
        Err(why) => {
            assert!(why.contains("caused by: ") && why.contains("hint: "), "{flip:?}: {why}");
            return salvaged(&dir, truth, SALVAGED).await;
        }
        Ok(served) => {
            for (log, want) in truth.logs.iter().zip(&truth.shown) {
                match served.shown(log).await {
                    Ok(shown) if shown == *want => (),
                    Ok(_) => return SILENT,
                    Err(why) if why.starts_with("503") => is_held = true,
                    Err(_) => is_said = true,
                }
                if served.cosigns_a_fork(log).await {
                    return FORK;
                }
                let answer = served.world.add(log.request(LAST, LAST + 10)).await;
                if answer.status != 200 && answer.status < 500 {
                    return SILENT;
                }
            }
            served.close();
        }
    }
    // Again, as it was before it was opened.
    fs::remove_dir_all(copy).expect("the copy");
    copy_folder(root, copy);
    flip.apply(copy);
    if is_held {
        return salvaged(&dir, truth, HELD).await;
    }
    let (_, code) = fsck(&dir, false, &[]).expect("a look");
    if code || is_said { SAID } else { HARMLESS }
}

/// `fsck` on the directory: what it prints, and whether it found anything.
fn fsck(dir: &Path, salvage: bool, accept: &[&Log]) -> Result<(String, bool), String> {
    let accept_higher = accept.iter().map(|log| log.origin.clone()).collect();
    let args = fsck::Args { dir: dir.to_owned(), salvage, accept_higher };
    let (text, code) = fsck::run(&args).map_err(|e| e.to_string())?;
    Ok((text, code != std::process::ExitCode::SUCCESS))
}

/// Salvages a directory that was refused, accepts what is held, and looks at what is served then: the sizes are those
/// that were cosigned.
async fn salvaged(dir: &Path, truth: &Truth, done: &'static str) -> &'static str {
    let (text, found) = fsck(dir, false, &[]).expect("a look");
    if !found {
        return SILENT;
    }
    assert!(text.contains("damaged: ") || text.contains("held: "), "{text}");
    let Ok((text, _)) = fsck(dir, true, &[]) else { return OVER };
    let held: Vec<&Log> =
        truth.logs.iter().filter(|log| text.contains(&format!("held: `{}`", log.origin))).collect();
    if !held.is_empty() {
        fsck(dir, false, &held).expect("the higher one is known");
    }
    let served = Served::open(dir, &truth.logs).expect("what was salvaged opens");
    for log in &truth.logs {
        if served.cosigns_a_fork(log).await {
            return FORK;
        }
        if served.world.add(log.request(LAST, LAST + 10)).await.status != 200 {
            return SILENT;
        }
    }
    served.close();
    done
}

/// A start of the program: what it said if it serves, else why not.
fn serves(dir: &Path) -> Result<String, String> {
    use std::io::{BufRead as _, BufReader};
    let mut serve = Command::new(program());
    serve.args(["serve", "--listen", "127.0.0.1:0", "--dir"]).arg(dir).stdin(Stdio::null());
    let mut child = serve.stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    while !said.contains(" serving ") && stderr.read_line(&mut said).expect("text") > 0 {}
    let is_serving = said.contains(" serving ");
    if is_serving {
        child.kill().expect("the server is ours");
    }
    child.wait().expect("a process of ours");
    if is_serving { Ok(said) } else { Err(said) }
}

/// Keys, settings and lists: refused by what they say themselves, or told as another file than before.
fn of_other_file(dir: &Path, truth: &Truth) -> &'static str {
    match serves(dir) {
        Err(why) => {
            assert!(why.contains("error: "), "{why}");
            "refused, named"
        }
        Ok(said) if said.contains("is another than when it was read last") => SAID,
        Ok(_) => {
            let status = Command::new(program()).args(["status", "--dir"]).arg(dir).output();
            if status.expect("the program runs").stdout == truth.about { HARMLESS } else { SILENT }
        }
    }
}
