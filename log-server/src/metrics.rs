//! What is counted, by the words of "Life of an entry".

use std::sync::OnceLock;
use std::time::Duration;

use log_core::metrics::{
    BELOW_QUORUM, CLOCK_STOPPED, COMMITTED, HALTED, PUBLISH_SECONDS, ROUNDS, SIZE_COMMITTED, SIZE_PUBLISHED,
    WITNESS_FAILURES, WITNESS_FORGOT, WITNESS_OBJECTIONS, WITNESS_SIZE, WITNESS_TIME,
};
use metrics::{
    Counter, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use service::shares::Standing;

use crate::http::{read, submit};

/// Installs the recorder, once a process; answers what `/metrics` prints.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let seconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("seconds".into()), &seconds)
            .expect("the buckets are not empty");
        builder.install_recorder().expect("nothing else installs a recorder in this process")
    });
    HOT.get_or_init(Hot::new);
    describe_counter!(ADMITTED, "Entries admitted to the pool");
    describe_counter!(DUPLICATE, "Submissions of a claim that was in the log");
    describe_counter!(REFUSED, "Submissions refused, by the rule they broke");
    describe_counter!(UNAVAILABLE, "Submissions not taken, by the reason that the answer names");
    describe_gauge!(CLOCK_STOPPED, "1 while nothing is logged because the clock cannot be right");
    describe_gauge!(DISK_LOW, "1 while free disk space is below the floor, or cannot be told");

    describe_counter!(COMMITTED, "Entries committed");
    describe_counter!(ROUNDS, "Rounds that committed entries");
    describe_gauge!(SIZE_COMMITTED, "Entries in the committed tree");
    describe_gauge!(SIZE_PUBLISHED, "Entries in the published tree");
    describe_histogram!(PUBLISH_SECONDS, "From signing a checkpoint to publishing it");
    describe_gauge!(
        BELOW_QUORUM,
        "1 while the signed checkpoint lacks its quorum for longer than the timeout, or the published one lacks it"
    );
    describe_gauge!(HALTED, "1 once a witness showed a tree that this log signed and does not have");
    describe_gauge!(WITNESS_SIZE, "The tree size that a witness cosigned last");
    describe_gauge!(WITNESS_TIME, "When a witness cosigned last, Unix seconds");
    describe_counter!(WITNESS_FAILURES, "Requests that a witness did not answer with a cosignature");
    describe_counter!(WITNESS_OBJECTIONS, "Answers of a witness that it has seen another tree");
    describe_gauge!(WITNESS_FORGOT, "1 once a witness named a smaller size than it had cosigned");
    describe_histogram!(SUBMIT_SECONDS, "From a submission to its answer");
    describe_histogram!(ROUND_SECONDS, "From the start of a round to its publication");
    describe_counter!(REQUESTS, "HTTP requests, by route and status class");
    describe_gauge!(BOUND_TAKEN, "What clients hold of something that is bounded");
    describe_gauge!(BOUND_LIMIT, "What all clients together may hold of it");
    describe_gauge!(BOUND_LARGEST, "What the client holds that holds most of it");
    describe_gauge!(RELAY_OPEN, "1 while the relay takes and gives messages, 0 while it cannot use its mail");
    describe_gauge!(RELAY_DISK_LOW, "1 while the relay takes no message for want of disk space");
    describe_gauge!(RELAY_MESSAGES, "Messages that wait in the relay");
    describe_counter!(RELAY_STORED, "Messages that the relay stored");
    describe_counter!(RELAY_KNOWN, "Messages that the relay had stored before");
    describe_counter!(RELAY_ACKNOWLEDGED, "Messages that their recipients acknowledged");
    describe_counter!(RELAY_EXPIRED, "Messages that expired before anybody acknowledged them");
    describe_counter!(RELAY_REFUSED, "Requests to the relay that were refused, by the rule they broke");
    describe_histogram!(RELAY_WRITE_SECONDS, "From the start of a write of messages to its answers");
    describe_counter!(BOUND_REFUSED, "Requests refused: the client held its share, or nothing was left");
    handle.clone()
}

/// What is counted for each request of the kinds that come most, looked up once.
struct Hot {
    admitted: Counter,
    submit_seconds: Histogram,
    answered: [(&'static str, Counter); 4],
}

static HOT: OnceLock<Hot> = OnceLock::new();

impl Hot {
    fn new() -> Self {
        let routes = [submit::PATH, read::CHECKPOINT, read::TILE, read::BUNDLE];
        Self {
            admitted: counter!(ADMITTED),
            submit_seconds: histogram!(SUBMIT_SECONDS),
            answered: routes.map(|route| (route, counter!(REQUESTS, "route" => route, "class" => "2xx"))),
        }
    }
}

/// Whether nothing is taken for want of disk space.
pub fn disk_low(is_low: bool) {
    gauge!(DISK_LOW).set(f64::from(u8::from(is_low)));
}

/// Entries went into the pool.
pub fn admitted() {
    if let Some(hot) = HOT.get() {
        hot.admitted.increment(1);
    }
}

/// A claim was in the log already.
pub fn duplicate() {
    counter!(DUPLICATE).increment(1);
}

/// A submission broke a rule. The identifiers are a fixed list, so the label is bounded.
pub fn refused(rule: &'static str) {
    counter!(REFUSED, "rule" => rule).increment(1);
}

/// A submission was not taken. The reason is the identifier that its answer has, of a fixed list.
pub fn unavailable(reason: &str) {
    counter!(UNAVAILABLE, "reason" => reason.to_owned()).increment(1);
}

/// A submission was answered.
pub fn submitted(after: Duration) {
    if let Some(hot) = HOT.get() {
        hot.submit_seconds.record(after);
    }
}

/// A round ended.
pub fn round(took: Duration) {
    histogram!(ROUND_SECONDS).record(took);
}

/// A request was answered. `route` is the router's pattern, never the path: the label is bounded.
pub fn request(route: &str, status: u16) {
    let hot = HOT.get().filter(|_| status / 100 == 2);
    if let Some((_, answered)) = hot.and_then(|hot| hot.answered.iter().find(|(of, _)| *of == route)) {
        return answered.increment(1);
    }
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

/// Whether the relay can use its mail.
pub fn relay_open(is_open: bool) {
    gauge!(RELAY_OPEN).set(f64::from(u8::from(is_open)));
}

/// Whether the relay takes no message for want of disk space.
pub fn relay_disk_low(is_low: bool) {
    gauge!(RELAY_DISK_LOW).set(f64::from(u8::from(is_low)));
}

/// So many messages wait.
pub fn relay_messages(messages: u64) {
    gauge!(RELAY_MESSAGES).set(messages as f64);
}

/// A message was delivered, for the first time or again.
pub fn relay_delivered(is_new: bool) {
    if is_new {
        counter!(RELAY_STORED).increment(1);
    } else {
        counter!(RELAY_KNOWN).increment(1);
    }
}

/// Messages were acknowledged.
pub fn relay_acknowledged(messages: u64) {
    counter!(RELAY_ACKNOWLEDGED).increment(messages);
}

/// Messages expired.
pub fn relay_expired(messages: usize) {
    counter!(RELAY_EXPIRED).increment(messages as u64);
}

/// A request to the relay was refused. The rule is the identifier that its answer has, of a fixed list.
pub fn relay_refused(rule: &str) {
    counter!(RELAY_REFUSED, "rule" => rule.to_owned()).increment(1);
}

/// A group of changes was written and answered.
pub fn relay_committed(took: Duration) {
    histogram!(RELAY_WRITE_SECONDS).record(took);
}

const ADMITTED: &str = "log_entries_admitted_total";
const DUPLICATE: &str = "log_entries_duplicate_total";
const REFUSED: &str = "log_entries_refused_total";
const UNAVAILABLE: &str = "log_entries_unavailable_total";
const DISK_LOW: &str = "log_disk_low";
const SUBMIT_SECONDS: &str = "log_submit_seconds";
const ROUND_SECONDS: &str = "log_round_seconds";
const REQUESTS: &str = "log_http_requests_total";
const RELAY_OPEN: &str = "log_relay_open";
const RELAY_DISK_LOW: &str = "log_relay_disk_low";
const RELAY_MESSAGES: &str = "log_relay_messages";
const RELAY_STORED: &str = "log_relay_stored_total";
const RELAY_KNOWN: &str = "log_relay_known_total";
const RELAY_ACKNOWLEDGED: &str = "log_relay_acknowledged_total";
const RELAY_EXPIRED: &str = "log_relay_expired_total";
const RELAY_REFUSED: &str = "log_relay_refused_total";
const RELAY_WRITE_SECONDS: &str = "log_relay_write_seconds";
const BOUND_TAKEN: &str = "log_bound_taken";
const BOUND_LIMIT: &str = "log_bound_limit";
const BOUND_LARGEST: &str = "log_bound_largest";
const BOUND_REFUSED: &str = "log_bound_refused_total";
