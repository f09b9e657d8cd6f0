//! What a monitor counts.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tlog::{TreeSize, UnixTime};

use crate::Failure;

/// Installs the recorder, once a process; answers what `/metrics` prints.
pub(crate) fn install() -> Result<PrometheusHandle, Failure> {
    let handle = PrometheusBuilder::new().install_recorder();
    let handle = handle.map_err(|e| Failure::new("cannot count anything").caused_by(e))?;
    describe_gauge!(PUBLISHED, "Entries in the tree that the log shows");
    describe_gauge!(FOLLOWED, "Entries that were checked");
    describe_gauge!(LAST_CHECKED, "When the log was checked last without trouble, Unix seconds");
    describe_gauge!(QUORUM, "1 while the shown checkpoint has the policy's quorum");
    describe_gauge!(VIEW_SIZE, "Entries in the tree that a witness or another view shows");
    describe_gauge!(COSIGNED, "The newest cosignature of a witness on the shown checkpoint, Unix seconds");
    describe_counter!(UNREAD, "Looks at a view that gave no answer");
    describe_counter!(POLLS, "Looks at the log, by whether it could be checked");
    describe_counter!(FINDINGS, "Findings, by class");
    describe_counter!(LEAVES, "Leaves that were checked, by kind");
    describe_counter!(ENVELOPES, "Envelopes that were asked for, by what the log has of them");
    describe_counter!(ALERTS, "Alerts delivered, by the way");
    for class in ["fork", "shrink", "bad-tile", "bad-entry", "stale", "forgotten"] {
        // What never happened is a zero, so that an alarm on its growth sees the first.
        counter!(FINDINGS, "class" => class).absolute(0);
    }
    Ok(handle)
}

/// The log shows a tree of this size.
pub(crate) fn published(size: TreeSize) {
    gauge!(PUBLISHED).set(size.get() as f64);
}

/// So many entries were checked.
pub(crate) fn followed(size: TreeSize) {
    gauge!(FOLLOWED).set(size.get() as f64);
}

/// The log was looked at.
pub(crate) fn polled(checked: bool) {
    counter!(POLLS, "checked" => if checked { "yes" } else { "no" }).increment(1);
}

/// The log was checked without trouble at this time.
pub(crate) fn checked_at(seconds: u64) {
    gauge!(LAST_CHECKED).set(seconds as f64);
}

/// Whether the shown checkpoint has its quorum.
pub(crate) fn quorum(is_met: bool) {
    gauge!(QUORUM).set(f64::from(u8::from(is_met)));
}

/// A view shows a tree of this size. Names are the policy's and the operator's, so the label is bounded.
pub(crate) fn view(name: &str, size: TreeSize) {
    gauge!(VIEW_SIZE, "view" => name.to_owned()).set(size.get() as f64);
}

/// A witness cosigned the shown checkpoint.
pub(crate) fn cosigned(witness: &str, time: UnixTime) {
    gauge!(COSIGNED, "witness" => witness.to_owned()).set(time.as_secs() as f64);
}

/// A view did not answer.
pub(crate) fn unread(view: &str) {
    counter!(UNREAD, "view" => view.to_owned()).increment(1);
}

/// Something new was found.
pub(crate) fn found(class: &'static str) {
    counter!(FINDINGS, "class" => class).increment(1);
}

/// A leaf was checked; the kinds are a fixed list.
pub(crate) fn leaf(kind: &'static str) {
    counter!(LEAVES, "kind" => kind).increment(1);
}

/// An envelope was asked for; the states are a fixed list.
pub(crate) fn envelope(state: &'static str) {
    counter!(ENVELOPES, "state" => state).increment(1);
}

/// Alerts were delivered.
pub(crate) fn delivered(way: &'static str, alerts: usize) {
    counter!(ALERTS, "way" => way).increment(alerts as u64);
}

const PUBLISHED: &str = "monitor_tree_size_published";
const FOLLOWED: &str = "monitor_tree_size_checked";
const LAST_CHECKED: &str = "monitor_checked_time_seconds";
const QUORUM: &str = "monitor_quorum_met";
const VIEW_SIZE: &str = "monitor_view_tree_size";
const COSIGNED: &str = "monitor_witness_cosigned_time_seconds";
const UNREAD: &str = "monitor_view_failures_total";
const POLLS: &str = "monitor_polls_total";
const FINDINGS: &str = "monitor_findings_total";
const LEAVES: &str = "monitor_leaves_total";
const ENVELOPES: &str = "monitor_envelopes_total";
const ALERTS: &str = "monitor_alerts_delivered_total";
