//! Hostile requests to the relay (S28): entries are answered as if nobody sent them.

use std::sync::Arc;

use testkit::hostile_mail::beside_hostile_requests;
use testkit::load::percentile;
use testkit::load::{self, Plan, Requests};
use testkit::mail::{rule, sealed};

use super::*;

/// A second's worth of entries, sent at a steady rate: the time in which 99 of 100 are answered, in milliseconds.
fn p99_of_entries(log: &Log, name: &str) -> f64 {
    let signer = Signer::new(1);
    let mut requests = Requests::default();
    for number in 0..400 {
        let signed = signer.sign(ORIGIN, format!("{name} {number}").as_bytes(), Public, 0);
        requests.post("/api/v1/entries", signed.by_hash().to_string().as_bytes());
    }
    let outcome = load::run(log.address(), 64, &Arc::new(requests), Plan::Paced { rate: 100.0 });
    assert_eq!(outcome.failed, 0, "{name}: {:?}", outcome.first_failure);
    percentile(&outcome.latencies, 0.99) / 1e3
}

#[test]
fn a_thousand_hostile_requests_to_the_relay_leave_entries_as_they_are() {
    // Each of them is judged: rates would refuse most without a look.
    let rates =
        ["--mail-address-sends-per-minute", "--mail-did-sends-per-minute", "--mail-address-lists-per-minute"];
    let flags: Vec<&str> = rates.iter().flat_map(|rate| [*rate, "0"]).collect();
    let mut log = Log::start(&flags);
    let before = memory(log.pid(), "VmRSS");
    let alone = p99_of_entries(&log, "alone");
    let beside = beside_hostile_requests(&log, 1_000, 250.0, || p99_of_entries(&log, "beside"));
    eprintln!("entries' p99: {alone:.1} ms alone, {beside:.1} ms beside 1,000 hostile requests");
    // The requests share the machine with this test: what no log could avoid is within three times, or a tenth of a second.
    assert!(beside <= (3.0 * alone).max(alone + 100.0), "{beside} ms, {alone} ms alone");
    assert_memory_bounded(&log, before);
    // Mail goes on, too.
    let (alice, bob) = (Signer::new(2), Signer::new(3));
    log.register(&[&alice, &bob]);
    let (status, answer) = log.send(&alice, &sealed(&bob, "after all that"));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(log.mail(&bob).len(), 1);
    assert_lives(&mut log, b"after all that");
}

#[test]
fn a_greedy_sender_is_refused_by_its_rate() {
    let log = Log::start(&[]);
    let (alice, bob) = (Signer::new(2), Signer::new(3));
    log.register(&[&alice, &bob]);
    let refused = (0..300).find_map(|number| {
        let (status, answer) = log.send(&alice, &sealed(&bob, &format!("{number}")));
        (status != 200).then(|| (number, status, rule(&answer).to_owned()))
    });
    let (taken, status, why) = refused.expect("a refusal");
    // Sixty at once, and one more each second that the test takes.
    assert!(taken >= 60, "{taken}");
    assert!((status, &*why) == (429, "did-messages") || why == "sender-share", "{status} {why}");
}
