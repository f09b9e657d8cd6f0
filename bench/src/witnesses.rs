//! add-checkpoint through real witnesses: HTTP, every signature and proof checked, every state synced before its
//! cosignature leaves. One signer task a log, which proves each checkpoint from the one cosigned before; all of it is
//! signed and proven before any clock runs. Beside us litewitness, the same logs, the same load, the same type of key.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use testkit::load::{self, Outcome, Plan, Requests, percentile};
use testkit::tree;
use tlog::add_checkpoint::AddCheckpoint;
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyName, KeyType, SignerKey, VerifierKey};
use tlog::merkle::{self, consistency};
use tlog::note::NoteSignature;
use tlog::{Hash, TreeSize};

use super::Effort;
use super::measure::{Spread, cpu_of, cpu_of_self};
use super::peers::{self, Server};
use super::report::{Budgets, Table, count, not_run, ratio, section};

/// Logs of the usual witness; as many connections.
const LOGS: usize = 50;

/// Logs of a large one, which send over as many connections.
const MANY_LOGS: usize = 5_000;

/// Whose cosignatures are measured.
enum Witness {
    Litewitness { program: PathBuf, python: PathBuf, add_logs: PathBuf },
    Ours(&'static [&'static str]),
}

struct Scenario<'a> {
    name: &'static str,
    witness: Witness,
    logs: &'a Logs,
    runs: Vec<Run>,
}

struct Run {
    per_second: f64,
    server_cpu: f64,
    helper_cpu: f64,
    client_cpu: f64,
    p50: f64,
    p99: f64,
    failed: usize,
}

/// Runs all scenarios, turn about, and prints them.
pub fn run(effort: &Effort, budgets: &mut Budgets) {
    section(&format!(
        "8. Witnesses: add-checkpoint of {LOGS} logs of thousands of entries, one request at a time each, {} s a round",
        effort.witness_seconds
    ));
    let tree = Tree::grow(effort.updates);
    let few = Logs::sign(&tree, LOGS, effort.updates);
    let many = Logs::sign(&tree, MANY_LOGS, (effort.updates * LOGS).div_ceil(MANY_LOGS));
    let scenario = |name, witness, logs| Scenario { name, witness, logs, runs: Vec::new() };
    let mut scenarios = vec![
        scenario("ours, Ed25519", Witness::Ours(&["ed25519"]), &few),
        scenario("ours, Ed25519 and ML-DSA-44", Witness::Ours(&[]), &few),
        scenario("ours, Ed25519, 5,000 logs", Witness::Ours(&["ed25519"]), &many),
        scenario("ours, Ed25519 and ML-DSA-44, 5,000 logs", Witness::Ours(&[]), &many),
    ];
    let litewitness = litewitness();
    let goal = format!("add-checkpoint, Ed25519, {LOGS} logs, updates/s ÷ litewitness's");
    match litewitness {
        Ok(witness) => scenarios.insert(0, scenario("litewitness, Ed25519", witness, &few)),
        Err(why) => {
            not_run("litewitness", &why);
            budgets.not_run(&goal, &why);
        }
    }
    for round in 0..effort.rounds {
        // ABBA: in every second round the order is turned around.
        let mut order: Vec<usize> = (0..scenarios.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let run = measure(effort, &scenarios[at]);
            scenarios[at].runs.push(run);
        }
    }
    print(&scenarios);
    if let [
        Scenario { witness: Witness::Litewitness { .. }, runs: theirs, .. },
        Scenario { runs: ours, .. },
        ..,
    ] = &scenarios[..]
    {
        let of = |figure: fn(&Run) -> f64| {
            Spread::of_ratios(
                &ours.iter().map(figure).collect::<Vec<_>>(),
                &theirs.iter().map(figure).collect::<Vec<_>>(),
            )
        };
        let speed = of(|run| run.per_second);
        println!(
            "  ours ÷ litewitness's, Ed25519, {LOGS} logs: updates/s {}, CPU an update {} (its ssh-agent's with it)",
            ratio(speed),
            ratio(of(|run| run.server_cpu + run.helper_cpu))
        );
        budgets.at_least(&goal, speed.median, 5.0, "×");
    }
}

/// litewitness and what it takes to run it, or why it cannot be run.
fn litewitness() -> Result<Witness, String> {
    Ok(Witness::Litewitness {
        program: peers::find("BENCH_LITEWITNESS")?,
        python: peers::find("BENCH_PYTHON")?,
        add_logs: peers::find("BENCH_LITEWITNESS_LOGS")?,
    })
}

/// A new witness, which has cosigned nothing, under load; stopped again.
fn measure(effort: &Effort, scenario: &Scenario<'_>) -> Run {
    let logs = scenario.logs;
    let mut server = match &scenario.witness {
        Witness::Litewitness { program, python, add_logs } => {
            Server::litewitness(program, python, add_logs, &logs.vkeys)
        }
        Witness::Ours(key_types) => Server::witness(key_types, &logs.vkeys),
    };
    let helper_cpu = |server: &Server| server.helper_pid().map_or(Duration::ZERO, cpu_of);
    let before = (cpu_of(server.pid()), helper_cpu(&server), cpu_of_self());
    let plan = Plan::Lanes(Duration::from_secs(effort.witness_seconds));
    let outcome = load::run(server.address(), LOGS, &logs.requests, plan);
    let after = (cpu_of(server.pid()), helper_cpu(&server), cpu_of_self());
    logs.check(&outcome, &server.witness_keys());
    server.stop();
    if let Some(failure) = &outcome.first_failure {
        println!("  {}: {} requests failed, the first with {failure}", scenario.name, outcome.failed);
    }
    if outcome.answered == logs.requests.len() {
        println!("  {}: every checkpoint was cosigned before the time was up", scenario.name);
    }
    let each = |cpu: Duration| cpu.as_micros() as f64 / outcome.answered as f64;
    Run {
        per_second: outcome.rate(),
        server_cpu: each(after.0 - before.0),
        helper_cpu: each(after.1 - before.1),
        client_cpu: each(after.2 - before.2),
        p50: percentile(&outcome.latencies, 0.5) / 1e3,
        p99: percentile(&outcome.latencies, 0.99) / 1e3,
        failed: outcome.failed,
    }
}

fn print(scenarios: &[Scenario<'_>]) {
    let columns =
        ["", "updates/s", "CPU µs/update", "its ssh-agent's", "client's", "p50 ms", "p99 ms", "failed"];
    let mut table = Table::new(&columns);
    for Scenario { name, runs, .. } in scenarios {
        let median = |figure: fn(&Run) -> f64| Spread::of(runs.iter().map(figure)).median;
        let helper = median(|run| run.helper_cpu);
        table.row([
            (*name).to_owned(),
            count(median(|run| run.per_second)),
            format!("{:.0}", median(|run| run.server_cpu)),
            if helper == 0.0 { "–".to_owned() } else { format!("{helper:.0}") },
            format!("{:.0}", median(|run| run.client_cpu)),
            format!("{:.1}", median(|run| run.p50)),
            format!("{:.1}", median(|run| run.p99)),
            runs.iter().map(|run| run.failed).sum::<usize>().to_string(),
        ]);
    }
    table.print();
    println!(
        "  (the client shares the CPUs; its cosignatures were verified after each round, the first of each connection)"
    );
}

/// Logs, and every request that each sends. A connection's share of the requests is those of its logs, turn about.
struct Logs {
    vkeys: Vec<VerifierKey>,
    checkpoints: Vec<Checkpoint>,
    requests: Arc<Requests>,
}

impl Logs {
    /// Signs `updates` checkpoints of each of `logs` logs: all grow alike, each under its own name and key.
    fn sign(tree: &Tree, logs: usize, updates: usize) -> Self {
        let keys: Vec<SignerKey> = (0..logs)
            .map(|number| {
                let name = KeyName::new(&format!("localhost/log/{number}")).expect("a name");
                let seed = Hash::of(format!("log {number}").as_bytes());
                SignerKey::from_seed(name, KeyType::Ed25519, seed.as_bytes())
            })
            .collect();
        let mut requests = Requests::default();
        let mut checkpoints = Vec::new();
        for lane in keys.chunks(logs / LOGS) {
            for (at, step) in tree.steps[..updates].iter().enumerate() {
                let old = at.checked_sub(1).map_or(TreeSize::EMPTY, |before| tree.steps[before].size);
                for key in lane {
                    let checkpoint = Checkpoint::new(key.verifier().name().as_str(), step.size, step.root);
                    let body =
                        AddCheckpoint { old, proof: step.proof.clone(), checkpoint: checkpoint.sign(key) };
                    requests.post("/add-checkpoint", body.to_string().as_bytes());
                    checkpoints.push(checkpoint);
                }
            }
        }
        let vkeys = keys.iter().map(|key| key.verifier().clone()).collect();
        Self { vkeys, checkpoints, requests: Arc::new(requests) }
    }

    /// Verifies the answers that were kept: a witness that answers anything else is not worth timing.
    fn check(&self, outcome: &Outcome, keys: &[VerifierKey]) {
        for (number, body) in &outcome.samples {
            let mut note = tlog::note::Note::unsigned(self.checkpoints[*number].to_string());
            let body = std::str::from_utf8(body).expect("a witness answers lines");
            for line in body.lines() {
                note.add(NoteSignature::parse(line).unwrap_or_else(|| panic!("no signature line: {line}")));
            }
            let signed = note.verify(keys).expect("a witness's lines verify");
            assert_eq!(signed.len(), keys.len(), "a line of each key: {body}");
        }
        assert!(!outcome.samples.is_empty(), "nothing was cosigned: {:?}", outcome.first_failure);
    }
}

/// How the logs' trees grow.
struct Tree {
    steps: Vec<Step>,
}

struct Step {
    size: TreeSize,
    root: Hash,
    /// From the step before.
    proof: Vec<Hash>,
}

impl Tree {
    /// From a thousand entries, by 1 to 16 at each of `updates` steps.
    fn grow(updates: usize) -> Self {
        let sizes: Vec<u64> = (0..updates as u64)
            .scan(1_000, |size, step| {
                *size += 1 + step.wrapping_mul(2_654_435_761) % 16;
                Some(*size)
            })
            .collect();
        let hashes = tree::Tree::new(sizes.last().copied().unwrap_or_default());
        let step = |(at, size): (usize, &u64)| {
            let size = TreeSize::new(*size);
            let proof = at.checked_sub(1).map_or_else(Vec::new, |before| {
                let Ok(proof) = consistency::prove(&hashes, TreeSize::new(sizes[before]), size);
                proof
            });
            let Ok(root) = merkle::root(&hashes, size);
            Step { size, root, proof }
        };
        Self { steps: sizes.iter().enumerate().map(step).collect() }
    }
}
