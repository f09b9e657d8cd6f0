//! What is counted of ordering and publishing, by the words of "Life of an entry". Whoever installs a recorder describes
//! the names.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

/// A log was opened: what there is to be read before anything happens.
pub fn opened(committed: u64, published: u64) {
    gauge!(SIZE_COMMITTED).set(committed as f64);
    gauge!(SIZE_PUBLISHED).set(published as f64);
    gauge!(HALTED).set(0.0);
    below_quorum(false);
    clock_stopped(false);
}

/// Whether nothing is logged because of the clock.
pub fn clock_stopped(is_stopped: bool) {
    gauge!(CLOCK_STOPPED).set(f64::from(u8::from(is_stopped)));
}

/// A round was committed.
pub fn committed(entries: usize, size: u64) {
    counter!(COMMITTED).increment(entries as u64);
    counter!(ROUNDS).increment(1);
    gauge!(SIZE_COMMITTED).set(size as f64);
}

/// A checkpoint was published, so long after it was signed.
pub fn published(size: u64, after: Duration) {
    gauge!(SIZE_PUBLISHED).set(size as f64);
    histogram!(PUBLISH_SECONDS).record(after);
}

/// Whether the signed checkpoint waits for a quorum that is late, or the published one was published without it.
pub fn below_quorum(is_late: bool) {
    gauge!(BELOW_QUORUM).set(f64::from(u8::from(is_late)));
}

/// Nothing is signed any more.
pub fn halted() {
    gauge!(HALTED).set(1.0);
}

/// A witness cosigned. Names are the policy's, so the label is bounded.
pub fn witness_cosigned(witness: &str, size: u64, time: u64) {
    gauge!(WITNESS_SIZE, "witness" => witness.to_owned()).set(size as f64);
    gauge!(WITNESS_TIME, "witness" => witness.to_owned()).set(time as f64);
}

/// A witness did not cosign what it was asked.
pub fn witness_failed(witness: &str) {
    counter!(WITNESS_FAILURES, "witness" => witness.to_owned()).increment(1);
}

/// A witness says that it has seen another tree.
pub fn witness_objects(witness: &str) {
    counter!(WITNESS_OBJECTIONS, "witness" => witness.to_owned()).increment(1);
}

/// A witness named a smaller size than it had cosigned.
pub fn witness_forgot(witness: &str) {
    gauge!(WITNESS_FORGOT, "witness" => witness.to_owned()).set(1.0);
}

/// Entries committed.
pub const COMMITTED: &str = "log_entries_committed_total";
/// Rounds that committed entries.
pub const ROUNDS: &str = "log_rounds_total";
/// Entries in the committed tree.
pub const SIZE_COMMITTED: &str = "log_tree_size_committed";
/// Entries in the published tree.
pub const SIZE_PUBLISHED: &str = "log_tree_size_published";
/// From signing a checkpoint to publishing it.
pub const PUBLISH_SECONDS: &str = "log_publish_seconds";
/// 1 while the quorum is missing.
pub const BELOW_QUORUM: &str = "log_below_quorum";
/// 1 once nothing is signed any more.
pub const HALTED: &str = "log_halted";
/// 1 while the clock cannot be right.
pub const CLOCK_STOPPED: &str = "log_clock_stopped";
/// What a witness cosigned last.
pub const WITNESS_SIZE: &str = "log_witness_tree_size";
/// When it did.
pub const WITNESS_TIME: &str = "log_witness_cosigned_time_seconds";
/// Requests that a witness did not answer with a cosignature.
pub const WITNESS_FAILURES: &str = "log_witness_failures_total";
/// Answers of a witness that it has seen another tree.
pub const WITNESS_OBJECTIONS: &str = "log_witness_objections_total";
/// 1 once a witness has forgotten what it cosigned.
pub const WITNESS_FORGOT: &str = "log_witness_forgot";
