//! What every command that logs an event takes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use attestation::event::Body;
use serde_json::json;

use crate::clock;
use crate::events::{Logged, Session};
use crate::report::{Console, Result};

/// Which log, how long, and how to say what came of it.
#[derive(clap::Args)]
pub(super) struct LogArgs {
    /// The log; else AIP_LOG_URL, the policy's, or the only one pinned
    #[arg(long, value_name = "URL")]
    pub(super) log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,

    /// How long to wait for the log
    #[arg(long, value_name = "DURATION", env = "AIP_TIMEOUT", default_value = "60s")]
    #[arg(value_parser = super::parse_duration)]
    pub(super) timeout: Duration,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl LogArgs {
    pub(super) fn open(&self, console: &mut Console) -> Result<Session> {
        Session::open(self.log.as_deref(), self.policy.as_deref(), self.deadline()?, console)
    }

    /// From now on.
    pub(super) fn deadline(&self) -> Result<Instant> {
        super::deadline(self.timeout)
    }

    /// Prints an event that is logged.
    pub(super) fn print(&self, logged: &Logged, console: &mut Console) {
        let event = &logged.event;
        if self.json {
            console.json(&json!({
                "schema": "aip.event.v1",
                "event": event.name(),
                "issuer": event.issuer().to_string(),
                "subject": event.subject().to_string(),
                "origin": event.origin(),
                "index": logged.index.get(),
                "loggedAt": clock::rfc3339_millis(logged.logged_at.as_millis()),
                "loggedAtMillis": logged.logged_at.as_millis(),
                "treeSize": logged.size.get(),
            }));
            return;
        }
        let scope = match event.body() {
            Body::Trust(trust) => trust.scope().map_or(String::new(), |scope| format!("  {scope}")),
            Body::Identity(_) => String::new(),
        };
        console.line(format!(
            "{}  {}{scope}  index {}  {}",
            event.name(),
            event.subject(),
            logged.index,
            event.origin()
        ));
    }
}
