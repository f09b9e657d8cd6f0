//! The relay of messages: how many it accepts a second, beside single adds by hash in the same run; and what entries notice
//! of a relay under load, of one that is off, and of hostile requests.

use std::sync::Arc;
use std::thread;

use attestation::message::{Action, List};
use testkit::hostile_mail::beside_hostile_requests;
use testkit::load::{self, Outcome, Plan, Requests, percentile};
use testkit::log::Log;
use testkit::mail::{body, sealed, send_body};
use testkit::signer::Signer;

use super::add::NO_BUDGETS;
use super::corpus::{Corpus, Form};
use super::measure::Spread;
use super::report::{Budgets, Table, count, ratio, section};
use super::{Effort, SINGLE_CONNECTIONS};

/// Budgets of the relay are off: they are there to be reached, not to be measured.
const NO_MAIL_BUDGETS: [&str; 14] = [
    "--mail-address-sends-per-minute",
    "0",
    "--mail-did-sends-per-minute",
    "0",
    "--mail-did-sends-per-day",
    "0",
    "--mail-address-lists-per-minute",
    "0",
    "--mail-sender-messages",
    "1000000",
    "--mail-mailbox-messages",
    "1000000",
    "--mail-bytes",
    "100000000000",
];

/// Entries a second while the relay is under load.
const ENTRIES: f64 = 200.0;

/// Messages sent a second, and lists asked for a second, beside them.
const SENDS: f64 = 400.0;
const LISTS: f64 = 100.0;

/// Hostile requests, spread over the time of one measurement.
const HOSTILE: usize = 1_000;

/// Runs both parts and prints them.
pub fn run(effort: &Effort, budgets: &mut Budgets) {
    let messages = (effort.entries / 4).max(1_000);
    section(&format!(
        "11. Messages: {} of the shortest by 1,000 registered senders to 1,000 mailboxes a round, and as many single adds by hash, \
         {SINGLE_CONNECTIONS} connections",
        count(messages as f64)
    ));
    let seconds = effort.read_seconds + 2;
    let paced = (ENTRIES * seconds as f64) as usize;
    let corpus = Corpus::sign(messages.max(4 * effort.rounds * paced));
    accepted(effort, &corpus, messages);
    noticed(effort, &corpus, seconds, budgets);
}

fn accepted(effort: &Effort, corpus: &Corpus, messages: usize) {
    let entries = corpus.requests(Form::ByHash, 1);
    let (mut sends, mut adds) = (Vec::new(), Vec::new());
    let mut failed = 0;
    for round in 0..effort.rounds {
        let kinds = if round % 2 == 0 { [false, true] } else { [true, false] };
        for is_mail in kinds {
            let log = Log::start(&[&NO_BUDGETS[..], &NO_MAIL_BUDGETS].concat());
            let (status, _) = log.submit(&corpus.inceptions());
            assert_eq!(status, 200, "inceptions");
            // A request is of its five minutes: it is signed just before.
            let requests = if is_mail { Arc::new(sends_of(messages, round)) } else { entries.clone() };
            let plan = Plan::Each { first: 0, count: messages };
            let outcome = load::run(log.address(), SINGLE_CONNECTIONS, &requests, plan);
            failed += report(if is_mail { "relay" } else { "log" }, &outcome);
            if is_mail { &mut sends } else { &mut adds }.push(outcome);
        }
    }
    let mut table = Table::new(&["", "accepted/s", "p50 ms", "p99 ms", "failed"]);
    for (name, runs) in [("messages", &sends), ("adds by hash", &adds)] {
        let median = |figure: fn(&Outcome) -> f64| Spread::of(runs.iter().map(figure)).median;
        table.row([
            name.to_owned(),
            count(median(Outcome::rate)),
            format!("{:.1}", median(|run| percentile(&run.latencies, 0.5) / 1e3)),
            format!("{:.1}", median(|run| percentile(&run.latencies, 0.99) / 1e3)),
            runs.iter().map(|run| run.failed).sum::<usize>().to_string(),
        ]);
    }
    table.print();
    let rates = |runs: &[Outcome]| runs.iter().map(Outcome::rate).collect::<Vec<_>>();
    println!(
        "  messages/s ÷ single adds by hash/s: {}",
        ratio(Spread::of_ratios(&rates(&sends), &rates(&adds)))
    );
    println!("  (a message is answered once it is durable, an entry once it is published; {failed} failed)");
}

/// So many messages, each from one of the corpus's signers to another.
fn sends_of(messages: usize, round: usize) -> Requests {
    let signers: Vec<Signer> = (0..1_000).map(Signer::new).collect();
    let body_of = |number: usize| {
        let (sender, recipient) = (&signers[number % 1_000], &signers[(number * 7 + 1) % 1_000]);
        send_body(sender, &sealed(recipient, &format!("{round} {number}")))
    };
    let mut requests = Requests::default();
    let half = messages / 2;
    thread::scope(|scope| {
        let rest = scope.spawn(|| (half..messages).map(body_of).collect::<Vec<_>>());
        for body in (0..half).map(body_of).collect::<Vec<_>>() {
            requests.post("/api/v1/messages", body.as_bytes());
        }
        for body in rest.join().expect("signing does not panic") {
            requests.post("/api/v1/messages", body.as_bytes());
        }
    });
    requests
}

/// What entries notice.
fn noticed(effort: &Effort, corpus: &Corpus, seconds: u64, budgets: &mut Budgets) {
    let mut table = Table::new(&[
        "entries, p50/p99 ms",
        "relay off",
        "idle",
        "under load",
        "hostile requests",
        "p99: idle ÷ off",
        "load ÷ off",
        "hostile ÷ off",
    ]);
    let paced = (ENTRIES * seconds as f64) as usize;
    let mut rows: [Vec<Outcome>; 4] = Default::default();
    let mut relayed = Vec::new();
    for round in 0..effort.rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            let relay = if at == 0 { "false" } else { "true" };
            let flags = [&NO_BUDGETS[..], &NO_MAIL_BUDGETS, &["--messages", relay]].concat();
            let log = Log::start(&flags);
            let (status, _) = log.submit(&corpus.inceptions());
            assert_eq!(status, 200, "inceptions");
            let mut requests = Requests::default();
            let first = (round * 4 + at) * paced;
            for number in first..first + paced {
                requests.post("/api/v1/entries", corpus.get(number).1.by_hash().to_string().as_bytes());
            }
            let requests = Arc::new(requests);
            let entries = || load::run(log.address(), 64, &requests, Plan::Paced { rate: ENTRIES });
            let outcome = match at {
                0 | 1 => entries(),
                2 => {
                    let (outcome, sent) = beside_load(&log, seconds, round, entries);
                    relayed.push(sent);
                    outcome
                }
                _ => beside_hostile_requests(&log, HOSTILE, HOSTILE as f64 / seconds as f64, entries),
            };
            report("log", &outcome);
            row.push(outcome);
        }
    }
    let cell = |runs: &[Outcome]| {
        let median = |part| Spread::of(runs.iter().map(|run| percentile(&run.latencies, part) / 1e3)).median;
        format!("{:.1}/{:.1}", median(0.5), median(0.99))
    };
    let p99 = |runs: &[Outcome]| runs.iter().map(|run| percentile(&run.latencies, 0.99)).collect::<Vec<_>>();
    let beside = |at: usize| Spread::of_ratios(&p99(&rows[at]), &p99(&rows[0]));
    let mut row = vec![format!("{ENTRIES} a second")];
    row.extend(rows.iter().map(|runs| cell(runs)));
    row.extend((1..4).map(|at| ratio(beside(at))));
    table.row(row);
    table.print();
    println!(
        "  (under load: {SENDS} sends and {LISTS} lists a second, of which {} a second were answered; hostile: {HOSTILE} requests in \
         {seconds} s, malformed, for another log, stale, with another's signature, replayed, altered, beside oversized and slow ones)",
        count(Spread::of(relayed).median)
    );
    for (name, at) in [("a relay under load", 2), ("hostile requests to the relay", 3)] {
        budgets.at_most(&format!("entries' p99 beside {name} ÷ relay off"), beside(at).median, 3.0, "×");
    }
}

/// Sends and lists at a steady rate while `entries` are measured; and the requests answered a second.
fn beside_load(log: &Log, seconds: u64, round: usize, entries: impl FnOnce() -> Outcome) -> (Outcome, f64) {
    let sends = Arc::new(sends_of((SENDS * seconds as f64) as usize, 1_000 + round));
    let mut lists = Requests::default();
    for number in 0..(LISTS * seconds as f64) as u64 {
        let list = Action::List(List { after: 0, keys: None, limit: 100, wait: 0 });
        lists.post("/api/v1/mailbox", body(&Signer::new(number % 1_000), list).as_bytes());
    }
    let lists = Arc::new(lists);
    let address = log.address();
    thread::scope(|scope| {
        let sent = scope.spawn(|| load::run(address, 64, &sends, Plan::Paced { rate: SENDS }));
        let listed = scope.spawn(|| load::run(address, 16, &lists, Plan::Paced { rate: LISTS }));
        let outcome = entries();
        let beside = [sent, listed].map(|load| load.join().expect("the load generator does not panic"));
        for load in &beside {
            report("relay", load);
        }
        (outcome, beside.iter().map(Outcome::rate).sum())
    })
}

/// Prints the first failure, and answers how many there were.
fn report(whose: &str, outcome: &Outcome) -> usize {
    if let Some(failure) = &outcome.first_failure {
        println!("  {whose}: {} requests failed, the first with {failure:.200}", outcome.failed);
    }
    outcome.failed
}
