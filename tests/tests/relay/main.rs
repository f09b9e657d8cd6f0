//! The relay of messages: the real program, what it answers, what it bounds, and what a crash or damage leaves.

mod budgets;
mod crash;
mod damage;
mod requests;
mod waits;

use std::time::{Duration, Instant};

use attestation::message::{Accept, Action, List, Sealed};
use serde_json::Value;
use testkit::log::Log;
use testkit::mail::{in_millis, now, rule, sealed, sealed_of, send_body};
use testkit::signer::Signer;

/// Two registered correspondents.
fn correspondents(log: &Log) -> (Signer, Signer) {
    let (alice, bob) = (Signer::new(1), Signer::new(2));
    log.register(&[&alice, &bob]);
    (alice, bob)
}

/// Sends what must be taken.
fn send(log: &Log, sender: &Signer, sealed: &Sealed) {
    let (status, answer) = log.send(sender, sealed);
    assert_eq!((status, &answer["stored"]), (200, &Value::Bool(true)), "{answer}");
}

/// Waits for something that must come true, and says what did not.
fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The value of a line of `/metrics`; 0 if there is none.
fn metric(log: &Log, name: &str) -> f64 {
    let text = String::from_utf8(log.bytes("/metrics")).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("Prometheus text"))
}

fn readiness(log: &Log) -> (u16, String) {
    let response = log.get("/readyz");
    (response.status().as_u16(), response.text().expect("text"))
}
