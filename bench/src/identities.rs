//! What identities cost admission: the adds of [`super::add`] by 1,000 bare signers, and by the same ones once
//! each has logged its inception. The second kind is checked against a state, and answered with the event and its
//! proof, so that every receipt tells whose key signed.

use testkit::load::{self, Plan};
use testkit::log::Log;

use super::add::{NO_BUDGETS, counters, measured};
use super::corpus::{Corpus, Form};
use super::measure::Spread;
use super::report::{Budgets, Table, count, ratio, section};
use super::{BATCH, BATCH_CONNECTIONS, Effort, SINGLE_CONNECTIONS};

/// What one round came to.
#[derive(Clone, Copy, Debug)]
struct Run {
    per_second: f64,
    server_cpu: f64,
}

/// Runs both kinds turn about, and prints them with their ratio.
pub fn run(effort: &Effort, corpus: &Corpus, budgets: &mut Budgets) {
    section("Adds by 1,000 bare signers, and by 1,000 registered ones: what identities cost");
    let mut table = Table::new(&[
        "by hash",
        "bare: entries/s",
        "server CPU µs/entry",
        "registered: entries/s",
        "server CPU µs/entry",
        "registered ÷ bare, entries/s",
        "the same, CPU",
    ]);
    for (name, batch, connections) in
        [("single", 1, SINGLE_CONNECTIONS), ("batches of 100", BATCH, BATCH_CONNECTIONS)]
    {
        let requests = corpus.requests(Form::ByHash, batch);
        let mut runs = [Vec::new(), Vec::new()];
        for round in 0..effort.rounds {
            // ABBA: in every second round the order is turned around.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for at in order {
                let registered = at == 1;
                runs[at].push(add(effort, corpus, &requests, (batch, connections), registered));
            }
        }
        let series = |at: usize, figure: fn(&Run) -> f64| runs[at].iter().map(figure).collect::<Vec<f64>>();
        let median = |at, figure| count(Spread::of(series(at, figure)).median);
        let speed: fn(&Run) -> f64 = |run| run.per_second;
        let cpu: fn(&Run) -> f64 = |run| run.server_cpu;
        table.row([
            name.to_owned(),
            median(0, speed),
            median(0, cpu),
            median(1, speed),
            median(1, cpu),
            ratio(Spread::of_ratios(&series(1, speed), &series(0, speed))),
            ratio(Spread::of_ratios(&series(1, cpu), &series(0, cpu))),
        ]);
        let of_speed = Spread::of_ratios(&series(1, speed), &series(0, speed)).median;
        budgets.at_least(&format!("registered signers, by hash, {name}"), of_speed, 0.95, "× bare ones");
    }
    table.print();
}

fn add(
    effort: &Effort,
    corpus: &Corpus,
    requests: &std::sync::Arc<load::Requests>,
    (batch, connections): (usize, usize),
    registered: bool,
) -> Run {
    let mut log = Log::start(&NO_BUDGETS);
    if registered {
        let (status, answers) = log.submit(&corpus.inceptions());
        let logged = |answer: &serde_json::Value| answer["status"] == "logged";
        let all = answers.as_array().is_some_and(|answers| answers.iter().all(logged));
        assert!(status == 200 && all, "{status}: {answers}");
    }
    let warm_up = effort.warm_up / batch;
    let warm = load::run(log.address(), connections, requests, Plan::Each { first: 0, count: warm_up });
    assert_eq!(warm.failed, 0, "warm-up: {:?}", warm.first_failure);
    let (before, _) = counters(&log);
    let plan = Plan::Each { first: warm_up, count: effort.entries / batch };
    let (outcome, server_cpu, _) =
        measured(log.pid(), || load::run(log.address(), connections, requests, plan));
    corpus.check_receipts(&outcome, batch, &log.policy());
    let entries = counters(&log).0 - before;
    assert_eq!((outcome.failed, entries as usize), (0, effort.entries), "{:?}", outcome.first_failure);
    assert_eq!(log.stop(), Some(0), "a clean stop");
    Run {
        per_second: entries / outcome.elapsed.as_secs_f64(),
        server_cpu: server_cpu.as_micros() as f64 / entries,
    }
}
