//! rekor-tiles' POSIX log: it checks a signature of each entry, as we do, and answers once the entry is published.

use std::sync::Arc;
use std::thread;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use serde_json::json;
use tlog::Hash;
use tlog::encoding::base64;

use super::add::measured;
use super::measure::Spread;
use super::peers::{self, Server};
use super::report::{Budgets, Table, count, not_run};
use testkit::load::{self, Plan, Requests, percentile};

/// It holds at most 4,096 adds in flight, and waits for its checkpoint with each: fewer connections would only wait.
const CONNECTIONS: usize = 4_000;

/// Entries of its round.
const ENTRIES: usize = 12_000;

/// Runs it once, and compares it with rounds of our own single adds by hash: entries a second, and CPU time an entry in
/// microseconds.
pub fn run(ours: &[(f64, f64)], budgets: &mut Budgets) {
    const WHAT: &str = "single adds, signature-checked, ÷ rekor-tiles";
    let program = match peers::find("BENCH_REKOR") {
        Ok(program) => program,
        Err(why) => {
            not_run("rekor-tiles' POSIX log", &why);
            return budgets.not_run(WHAT, &why);
        }
    };
    let requests = Arc::new(requests(ENTRIES));
    let mut peer = Server::rekor(&program);
    let plan = Plan::Each { first: 0, count: ENTRIES };
    let (outcome, cpu, _) = measured(peer.pid(), || load::run(peer.address(), CONNECTIONS, &requests, plan));
    peer.stop();
    let accepted = outcome.latencies.len() as f64;
    if accepted == 0.0 {
        let why = outcome.first_failure.unwrap_or_else(|| "it answered nothing".into());
        not_run("rekor-tiles' POSIX log", &why);
        return budgets.not_run(WHAT, &why);
    }
    let speed = accepted / outcome.elapsed.as_secs_f64();
    let mut table = Table::new(&["", "entries/s", "server CPU µs/entry", "p50 ms", "p99 ms", "failed"]);
    table.row([
        format!("rekor-tiles POSIX, ECDSA P-256, {} connections", count(CONNECTIONS as f64)),
        count(speed),
        count(cpu.as_micros() as f64 / accepted),
        count(percentile(&outcome.latencies, 0.5) / 1e3),
        count(percentile(&outcome.latencies, 0.99) / 1e3),
        outcome.failed.to_string(),
    ]);
    table.print();
    let ratio = Spread::of(ours.iter().map(|(per_second, _)| per_second / speed)).median;
    budgets.at_least(WHAT, ratio, 10.0, "×");
}

/// Digests that differ, each signed before any clock runs.
fn requests(entries: usize) -> Requests {
    let key = SigningKey::from_slice(Hash::of(b"bench").as_bytes()).expect("a scalar below the order");
    let public = key.verifying_key().to_public_key_der().expect("a public key has a form");
    let public = base64(public.as_bytes());
    let body = |number: usize| {
        let artifact = format!("artifact {number}");
        let signature: p256::ecdsa::DerSignature = key.sign(artifact.as_bytes());
        json!({"hashedRekordRequestV002": {
            "digest": base64(Hash::of(artifact.as_bytes()).as_bytes()),
            "signature": {
                "content": base64(signature.as_bytes()),
                "verifier": {"publicKey": {"rawBytes": public}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"},
            },
        }})
        .to_string()
    };
    let half = entries / 2;
    let (first, rest) = thread::scope(|scope| {
        let rest = scope.spawn(|| (half..entries).map(body).collect::<Vec<_>>());
        ((0..half).map(body).collect::<Vec<_>>(), rest.join().expect("signing does not panic"))
    });
    let mut requests = Requests::default();
    first.iter().chain(&rest).for_each(|body| requests.post("/api/v2/log/entries", body.as_bytes()));
    requests
}
