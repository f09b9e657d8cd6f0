//! Several processes write receipts of one artifact at the same time: none is lost.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};

use attestation::receipt::{Receipt, State};

use crate::log::Log;
use crate::world::{PROGRAM, World};

/// What a process does in a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Signs, with the identity of that number, words of its own.
    Sign(usize),
    /// As [`Does::Sign`], and the log learns nothing: the receipt is the only copy.
    SignPrivately(usize),
    /// Sends what lies beside the artifact from before.
    Submit,
    /// Fetches what a stranger logged about the artifact.
    Fetch,
}

/// Every pair of `sign`, `submit` and `fetch`, and many at once. `confirm` writes no receipt.
const ROUNDS: [&[Does]; 12] = {
    use Does::{Fetch, Sign, SignPrivately, Submit};
    [
        &[Sign(0), Sign(0)],
        &[Sign(0), Sign(1)],
        &[SignPrivately(0), SignPrivately(1)],
        &[Sign(0), Submit],
        &[Submit, Submit],
        &[Sign(0), Fetch],
        &[Submit, Fetch],
        &[Fetch, Fetch],
        &[SignPrivately(0), Submit, Fetch],
        &[Sign(0), SignPrivately(0), Sign(1), Submit, Fetch],
        &[Sign(0), Sign(0), Sign(0), Sign(0), Sign(0), Sign(0), Sign(0), Sign(0)],
        &[SignPrivately(0), SignPrivately(1), SignPrivately(0), SignPrivately(1), SignPrivately(0)],
    ]
};

const TIMES: usize = 8;

#[test]
fn of_receipts_that_are_written_at_once_none_is_lost() {
    let log = Log::start();
    let (world, stranger) = (World::new(), World::new());
    let homes = [world.path("first"), world.path("second")];
    for home in &homes {
        std::fs::create_dir_all(home).expect("made");
        let init = command(&world, home, &["init"]).status().expect("the program runs");
        assert!(init.success());
    }
    stranger.run(&["init"]).expect(0, &[]);
    let did = stranger.run(&["whoami", "--json"]).json()["did"].as_str().expect("text").to_owned();
    for (round, number) in ROUNDS.iter().cycle().take(ROUNDS.len() * TIMES).zip(0..) {
        let (folder, content) = (format!("round/{number}"), number.to_string());
        let artifact = format!("{folder}/app");
        world.file(&artifact, content.as_bytes());
        world.file("policy", log.policy().as_bytes());
        if round.contains(&Does::Fetch) {
            stranger.file("app", content.as_bytes());
            stranger.run(&["sign", "app", "--log", &log.url()]).expect(0, &[]);
        }
        let mut from_before = None;
        if round.contains(&Does::Submit) {
            // It lies there from before, pending.
            let ran = command(&world, &homes[0], &["sign", &artifact])
                .args(["--log", "http://127.0.0.1:9", "--policy", "policy", "--timeout", "100ms"])
                .output();
            assert_eq!(ran.expect("the program runs").status.code(), Some(2));
            let pending = world.read(&format!("{artifact}.receipt.json"));
            from_before = Some(claim(&Receipt::parse(pending.as_bytes()).expect("a receipt")));
        }
        let before = log.claims();
        let processes: Vec<Child> = round
            .iter()
            .enumerate()
            .map(|(at, does)| {
                world.file(&format!("words-{at}"), format!("{{\"by\":\"{number} {at}\"}}").as_bytes());
                let words = format!("words-{at}");
                let says = ["--predicate-type", "provenance", "--predicate", &words];
                let (home, arguments) = match does {
                    Does::Sign(who) => (*who, [&["sign", &artifact][..], &says].concat()),
                    Does::SignPrivately(who) => {
                        (*who, [&["sign", "--private", &artifact][..], &says].concat())
                    }
                    Does::Submit => (0, vec!["submit", &artifact]),
                    Does::Fetch => (0, vec!["fetch", &artifact, "--signer", &did]),
                };
                let mut command = command(&world, &homes[home], &arguments);
                command.args(["--log", &log.url()]).stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().expect("the program runs")
            })
            .collect();
        let mut said = String::new();
        for process in processes {
            let output = process.wait_with_output().expect("it ends");
            said.push_str(&String::from_utf8_lossy(&output.stderr));
            // Where two files cannot be exchanged, what `submit` found may have been logged and moved by another process
            // before it reads it. It says so, and nothing is lost.
            let is_overtaken = cfg!(windows) && said.contains("(os error 2)");
            assert!(output.status.success() || is_overtaken, "{number}: {round:?}: {said}");
        }
        let mut wanted: BTreeSet<String> = log.claims().difference(&before).cloned().collect();
        let receipts: Vec<Receipt> = world
            .files()
            .iter()
            .filter(|name| name.starts_with(&format!("{folder}/")) && **name != artifact)
            .map(|name| Receipt::parse(world.read(name).as_bytes()).expect(name))
            .collect();
        let is_fetched = |receipt: &&Receipt| receipt.did().to_string() == did;
        assert_eq!(receipts.iter().any(|receipt| is_fetched(&receipt)), round.contains(&Does::Fetch));
        let logged = receipts.iter().filter(|receipt| matches!(receipt.state(), State::Logged(_)));
        logged.for_each(|receipt| {
            wanted.remove(&claim(receipt));
        });
        assert!(wanted.is_empty(), "{number}: {round:?}: {} receipts are lost: {said}", wanted.len());
        // If a new one took its place before `submit` looked there, it still waits.
        let mut claims = receipts.iter().map(claim);
        assert!(from_before.is_none_or(|wanted| claims.any(|claim| claim == wanted)), "{number}: {round:?}");
    }
}

fn claim(receipt: &Receipt) -> String {
    receipt.pending_entry().expect("an entry").claim().hash().get().to_string()
}

fn command(world: &World, home: &std::path::Path, arguments: &[&str]) -> std::process::Command {
    let mut command = world.command(PROGRAM);
    command.env("HOME", home).args(arguments);
    command
}
