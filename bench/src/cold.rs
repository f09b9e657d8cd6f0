//! One offline verification by a process that just started: `aip-attest verify` of a receipt, against
//! `cosign verify-blob-attestation` of the Sigstore bundle made from that receipt.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use attestation::entry::Visibility;
use testkit::load::{self, Plan};
use testkit::log::{Log, ORIGIN};
use testkit::program;
use testkit::signer::Signer;

use super::Effort;
use super::add::NO_BUDGETS;
use super::corpus::{Corpus, Form};
use super::measure::{Spread, cpu_of_ended_children};
use super::peers;
use super::report::{Budgets, Table, not_run, ratio, section};

/// Runs both and prints them.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    section(&format!(
        "6. One offline verification by a process that just started, {} times each, turn about",
        effort.cold_runs
    ));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scene = folder.path();
    let kind = make_scene(effort, corpus, scene);
    let empty = Timed::of("an empty process (true)", command(Path::new("true"), scene));
    let mut ours = command(&program("aip-attest"), scene);
    ours.args(["verify", "artifacts/artifact.bin", "--any-signer", "--policy", "policy"]);
    ours.args(["--receipt", "receipts/artifact.bin.receipt.json"]);
    let ours = Timed::of("aip-attest verify", ours);
    let theirs = peers::find("BENCH_COSIGN").and_then(|program| bundle(scene).map(|()| program));
    let theirs = theirs.map(|program| {
        let mut cosign = command(&program, scene);
        cosign.args(["verify-blob-attestation", "--key", "receipts/artifact.bin.sigstore.pub"]);
        cosign.args([
            "--bundle",
            "receipts/artifact.bin.sigstore.json",
            "--trusted-root",
            "trusted_root.json",
        ]);
        cosign.args(["--type", &kind, "artifacts/artifact.bin"]);
        Timed::of("cosign verify-blob-attestation", cosign)
    });
    let mut timed = vec![empty, ours];
    let why = match theirs {
        Ok(theirs) => {
            timed.push(theirs);
            None
        }
        Err(why) => Some(why),
    };
    // Once for the page cache; and a peer that fails is not timed.
    timed.iter_mut().for_each(Timed::once);
    timed.iter_mut().for_each(|timed| timed.wall.clear());
    for round in 0..effort.cold_runs {
        match round % 2 {
            0 => timed.iter_mut().for_each(Timed::once),
            _ => timed.iter_mut().rev().for_each(Timed::once),
        }
    }
    let mut table = Table::new(&["", "wall ms", "min–max", "CPU ms (mean)"]);
    for timed in &mut timed {
        let wall = Spread::of(timed.wall.iter().copied());
        let cpu = timed.cpu_of_many(effort.cold_runs);
        let spread = format!("{:.1}–{:.1}", wall.min, wall.max);
        table.row([timed.name.to_owned(), format!("{:.1}", wall.median), spread, format!("{cpu:.1}")]);
    }
    table.print();
    budgets.at_most(
        "cold `aip-attest verify`, wall",
        Spread::of(timed[1].wall.iter().copied()).median,
        5.0,
        "ms",
    );
    match (timed.get(2), why) {
        (Some(theirs), _) => {
            println!("  cosign ÷ ours, wall: {}", ratio(Spread::of_ratios(&theirs.wall, &timed[1].wall)));
        }
        (None, why) => not_run("cosign", &why.unwrap_or_default()),
    }
}

/// An artifact, its receipt from a log with entries in it, and the policy. Answers the kind of its statement.
fn make_scene(effort: &Effort, corpus: &Corpus, scene: &Path) -> String {
    let log = Log::start(&NO_BUDGETS);
    let requests = corpus.requests(Form::ByHash, super::BATCH);
    load::run(log.address(), 4, &requests, Plan::Each { first: 0, count: effort.warm_up / super::BATCH });
    let signer = Signer::new(1);
    let content = b"the artifact";
    let signed = signer.sign(ORIGIN, content, Visibility::Public, 500);
    let (status, answer) = log.submit(&signed.published());
    assert_eq!(status, 200, "{answer}");
    let receipt = signed.receipt(&signer, &answer);
    for folder in ["artifacts", "receipts", "home"] {
        fs::create_dir(scene.join(folder)).expect("a folder");
    }
    let write = |path: &str, bytes: &[u8]| fs::write(scene.join(path), bytes).expect("a file");
    write("artifacts/artifact.bin", content);
    write("receipts/artifact.bin.receipt.json", receipt.to_json().as_bytes());
    write("policy", &log.bytes("/policy"));
    receipt.statement().predicate_type().to_owned()
}

/// Exports the receipt as a Sigstore bundle, with the key and the trusted root.
fn bundle(scene: &Path) -> Result<(), String> {
    let export = |arguments: &[&str]| {
        let mut export = command(&program("aip-attest"), scene);
        let made = export.args(arguments).stderr(Stdio::piped()).output().map_err(|e| e.to_string())?;
        match made.status.success() {
            true => Ok(()),
            false => Err(format!("no bundle was made: {}", String::from_utf8_lossy(&made.stderr))),
        }
    };
    export(&["export", "--sigstore", "receipts/artifact.bin.receipt.json", "--policy", "policy"])?;
    export(&["policy", "export", "--sigstore", "--policy", "policy", "--out", "trusted_root.json"])
}

fn command(program: &Path, scene: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(scene).env_clear().env("HOME", scene.join("home"));
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A command that is started over and over.
struct Timed {
    name: &'static str,
    command: Command,
    wall: Vec<f64>,
}

impl Timed {
    fn of(name: &'static str, command: Command) -> Self {
        Self { name, command, wall: Vec::new() }
    }

    fn once(&mut self) {
        let start = Instant::now();
        let status = self.command.status().expect("the program runs");
        self.wall.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// The CPU time of one run in ms, the mean of many in a row: the kernel tells it in steps of 10 ms.
    fn cpu_of_many(&mut self, runs: usize) -> f64 {
        let before = cpu_of_ended_children();
        for _ in 0..runs {
            self.command.status().expect("the program runs");
        }
        (cpu_of_ended_children() - before).as_secs_f64() * 1e3 / runs as f64
    }
}
