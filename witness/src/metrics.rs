//! What is counted.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use service::shares::Standing;

/// Installs the recorder, once a process; answers what `/metrics` prints.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let seconds = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
        let updates = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("seconds".into()), &seconds)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(WRITE_UPDATES.into()), &updates))
            .expect("the buckets are not empty");
        builder.install_recorder().expect("nothing else installs a recorder in this process")
    });
    describe_counter!(COSIGNED, "Checkpoints cosigned");
    describe_counter!(REFUSED, "Requests refused, by the rule they broke");
    describe_gauge!(CONTRADICTIONS, "Contradictions that logs have signed, kept for ever: each is an alarm");
    describe_gauge!(LOGS, "Logs that are cosigned");
    describe_gauge!(LOGS_HELD, "Logs of which nothing is cosigned: their two records do not agree");
    describe_gauge!(CLOCK_STOPPED, "1 while nothing is cosigned because of the clock");
    describe_counter!(LIST_ERRORS, "Lists of logs that could not be read");
    describe_histogram!(WRITE_UPDATES, "Updates that shared one synced write");
    describe_histogram!(ADD_SECONDS, "From an add-checkpoint request to its answer");
    describe_counter!(REQUESTS, "HTTP requests, by route and status class");
    describe_gauge!(BOUND_TAKEN, "What clients hold of something that is bounded");
    describe_gauge!(BOUND_LIMIT, "What all clients together may hold of it");
    describe_gauge!(BOUND_LARGEST, "What the client holds that holds most of it");
    describe_counter!(BOUND_REFUSED, "Requests refused: the client held its share, or nothing was left");
    gauge!(CLOCK_STOPPED).set(0.0);
    handle.clone()
}

/// A checkpoint was cosigned, and its signatures go out.
pub fn cosigned() {
    counter!(COSIGNED).increment(1);
}

/// A request was refused. The names of rules are a fixed list, so the label is bounded.
pub fn refused(rule: &'static str) {
    counter!(REFUSED, "rule" => rule).increment(1);
}

/// So many contradictions are kept.
pub fn contradictions(contradictions: u64) {
    gauge!(CONTRADICTIONS).set(contradictions as f64);
}

/// So many logs are cosigned.
pub fn logs(logs: usize) {
    gauge!(LOGS).set(logs as f64);
}

/// Of so many logs nothing is cosigned, since their two records do not agree.
pub fn logs_held(logs: usize) {
    gauge!(LOGS_HELD).set(logs as f64);
}

/// The clock has stopped cosigning, or does so no more.
pub fn clock_stopped(stopped: bool) {
    gauge!(CLOCK_STOPPED).set(f64::from(u8::from(stopped)));
}

/// A list could not be read.
pub fn list_error() {
    counter!(LIST_ERRORS).increment(1);
}

/// One synced write held so many updates.
pub fn written(updates: usize) {
    histogram!(WRITE_UPDATES).record(updates as f64);
}

/// An add-checkpoint request was answered.
pub fn added(after: Duration) {
    histogram!(ADD_SECONDS).record(after);
}

/// A request was answered. `route` is the router's pattern, never the path: the label is bounded.
pub fn request(route: &str, status: u16) {
    counter!(REQUESTS, "route" => route.to_owned(), "class" => format!("{}xx", status / 100)).increment(1);
}

/// How something stands that is bounded. `what` is of a fixed list, so the label is bounded.
pub fn bound(what: &'static str, standing: &Standing) {
    gauge!(BOUND_TAKEN, "of" => what).set(standing.taken as f64);
    gauge!(BOUND_LIMIT, "of" => what).set(standing.whole as f64);
    gauge!(BOUND_LARGEST, "of" => what).set(standing.most.map_or(0, |(_, holds)| holds) as f64);
    counter!(BOUND_REFUSED, "of" => what, "by" => "share").absolute(standing.refused_share);
    counter!(BOUND_REFUSED, "of" => what, "by" => "whole").absolute(standing.refused_whole);
}

const COSIGNED: &str = "witness_cosigned_total";
const REFUSED: &str = "witness_refused_total";
const CONTRADICTIONS: &str = "witness_evidence";
const LOGS: &str = "witness_logs";
const LOGS_HELD: &str = "witness_logs_held";
const CLOCK_STOPPED: &str = "witness_clock_stopped";
const LIST_ERRORS: &str = "witness_list_errors_total";
const WRITE_UPDATES: &str = "witness_write_updates";
const ADD_SECONDS: &str = "witness_add_checkpoint_seconds";
const REQUESTS: &str = "witness_http_requests_total";
const BOUND_TAKEN: &str = "witness_bound_taken";
const BOUND_LIMIT: &str = "witness_bound_limit";
const BOUND_LARGEST: &str = "witness_bound_largest";
const BOUND_REFUSED: &str = "witness_bound_refused_total";
