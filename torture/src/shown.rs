//! A log that is nothing but what it shows: a key and leaves, which a trial exchanges. Forks (S19), and trees that go back (S20).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use testkit::chance::Chance;
use testkit::keys::signer;
use testkit::program;
use testkit::someone::{Someone, outcome};
use testkit::tree::Tree;
use tlog::key::{KeyType, SignerKey};
use tlog::tile::{Resource, Tile};
use tlog::{Hash, bundle};

use crate::frame::{Findings, Outcome, Plan, count};

const ORIGIN: &str = "log.example.com/pipelines";

/// A log on loopback, for as long as the process lives. It has at most one tile of hashes.
struct Shown {
    url: String,
    leaves: Arc<Mutex<Vec<Vec<u8>>>>,
    key: Arc<SignerKey>,
}

impl Shown {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (leaves, key) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(signer(ORIGIN, KeyType::Ed25519, 7)));
        let (shown, signs) = (leaves.clone(), key.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let leaves = shown.lock().expect("no panic").clone();
                // Who hangs up early gets no answer.
                let _ = serve(stream, &leaves, &signs);
            }
        });
        Self { url, leaves, key }
    }

    fn policy(&self) -> String {
        format!("log {} {}\nquorum none\n", self.key.verifier(), self.url)
    }

    /// Shows so many entries; from `fork` on they are of another history.
    fn show(&self, size: u64, fork: u64, history: u64) {
        let leaf = |at: u64| {
            let history = if at < fork { 0 } else { history };
            let spec = format!(r#"{{"n":"{history} {at}"}}"#);
            format!(r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{spec}}}"#).into_bytes()
        };
        *self.leaves.lock().expect("no panic") = (0..size).map(leaf).collect();
    }
}

fn serve(stream: TcpStream, leaves: &[Vec<u8>], key: &SignerKey) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    let body = answer(&path, leaves, key);
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    (&stream).write_all(&[head.as_bytes(), &body].concat())
}

fn answer(path: &str, leaves: &[Vec<u8>], key: &SignerKey) -> Option<Vec<u8>> {
    let tree = Tree::of(leaves);
    match path {
        "policy" => Some(format!("log {}\nquorum none\n", key.verifier()).into_bytes()),
        "checkpoint" => Some(tree.checkpoint(ORIGIN, tree.size()).sign(key).to_string().into_bytes()),
        _ => {
            let (tile, resource) = Tile::parse(path)?;
            let leaves =
                leaves.get(..usize::from(tile.width())).filter(|_| tile.level() + tile.index() as u8 == 0)?;
            Some(match resource {
                Resource::Hashes => {
                    let hashes = tree.leaves(0, leaves.len() as u64);
                    hashes.iter().flat_map(|hash: &Hash| *hash.as_bytes()).collect()
                }
                Resource::Entries => {
                    let mut bytes = Vec::new();
                    leaves.iter().for_each(|leaf| bundle::push(&mut bytes, leaf));
                    bytes
                }
            })
        }
    }
}

/// One look of a monitor.
fn look(dir: &Path, policy: &Path) -> (i32, String, String) {
    let mut monitor = Command::new(program("monitor"));
    monitor.args(["--once", "--timeout", "60s", "--policy"]).arg(policy).arg("--dir").arg(dir);
    let output: Output = monitor.env("NO_PROXY", "*").output().expect("monitor runs");
    outcome(output)
}

/// So many forks, each at a place of its own: a client that has pinned the log and a monitor that has followed it are shown
/// the other history. Both find out in one look, and keep what proves it.
pub fn forks(plan: &Plan) -> Outcome {
    let shown = |chance: &mut Chance| {
        let old = 1 + chance.below(200);
        (old, chance.below(old), old + chance.below(55))
    };
    let findings = tell(plan, shown, "fork-");
    findings
        .into_outcome(format!("{0} forks, found by a client and by a monitor in one look", count(plan.count)))
}

/// So many trees that went back to an older size.
pub fn back(plan: &Plan) -> Outcome {
    let shown = |chance: &mut Chance| {
        let old = 2 + chance.below(200);
        (old, u64::MAX, 1 + chance.below(old - 1))
    };
    let findings = tell(plan, shown, "shrink-");
    findings.into_outcome(format!("{} trees that went back, each refused and told", count(plan.count)))
}

/// Shows `old` entries first, and then another tree: where it forks, and how large it is.
fn tell(plan: &Plan, shown: impl Fn(&mut Chance) -> (u64, u64, u64), kind: &str) -> Findings {
    let (findings, mut chance, log) = (Findings::default(), Chance::new(plan.seed), Shown::start());
    for round in 1..=plan.count {
        let (old, fork, new) = shown(&mut chance);
        let what = || format!("round {round}: {old} entries, then {new} that fork at {fork}");
        let client = Someone::new();
        let (policy, followed) = (client.folder().join("policy"), client.folder().join("monitor"));
        std::fs::write(&policy, log.policy()).expect("written");
        log.show(old, u64::MAX, 0);
        client.ok(&["policy", "pin", &log.url, "--yes"]);
        let (code, out, err) = look(&followed, &policy);
        findings.require(code == 0, || format!("{}: the true one: {out}{err}", what()));
        log.show(new, fork, round);
        let (code, out, err) = client.run(&["log", "sync"]);
        let kept = client.home().join(".aip/findings").read_dir().into_iter().flatten();
        let is_kept = kept.flatten().any(|file| file.file_name().to_string_lossy().starts_with(kind));
        findings.require(code == 1 && is_kept, || format!("{}: the client: {code} {out}{err}", what()));
        let (code, out, err) = look(&followed, &policy);
        findings.require(code == 1, || format!("{}: the monitor: {code} {out}{err}", what()));
    }
    findings
}
