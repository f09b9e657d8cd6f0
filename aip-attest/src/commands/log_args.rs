//! What every command takes that logs an event or asks a log's relay.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use attestation::event::{Body, TrustEvent};
use serde_json::{Value, json};

use crate::clock;
use crate::events::home::Meant;
use crate::events::{Logged, Session};
use crate::keyfile::OwnIdentity;
use crate::keyfile::logs::{KeptLog, KeptLogs};
use crate::keyfile::next::Next;
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Result, counted};
use crate::target::{Target, Wish};

/// The same for a command that changes what a key counts for.
#[derive(clap::Args)]
pub(super) struct HomeArgs {
    #[command(flatten)]
    pub(super) log: LogArgs,

    /// Believe the log that is named or pinned, where its key is another one than the one that is kept with your key, or
    /// its policy weaker
    #[arg(long)]
    accept_log: bool,
}

impl HomeArgs {
    /// Meets the log that has the DID, by what the key's files keep of it.
    pub(super) fn open(
        &self,
        kept: &[&KeptLogs],
        home: Option<&KeptLog>,
        deadline: Instant,
        console: &mut Console,
    ) -> Result<Session> {
        let LogArgs { log, policy, .. } = &self.log;
        let (log, policy, accept) = (log.as_deref(), policy.as_deref(), self.accept_log);
        let meant = Meant { log, policy, kept, home, accept, may_be_of_checkout: false };
        Session::open_at_home(&meant, deadline, console)
    }

    /// As [`open`](Self::open), by the next key's file beside the identity, if there is one.
    pub(super) fn open_for(&self, identity: &OwnIdentity, console: &mut Console) -> Result<Session> {
        let next = identity.file().map_or(Ok(None), |path| Next::peek(path, identity.did))?;
        let kept: Vec<&KeptLogs> = next.iter().map(|next| &next.logs).collect();
        self.open(&kept, next.as_ref().and_then(Next::home), self.log.deadline()?, console)
    }
}

/// Which log, how long, and how to say what came of it.
#[derive(clap::Args)]
pub(super) struct LogArgs {
    /// The log; else AIP_LOG_URL, the policy's, or the only one pinned
    #[arg(long, value_name = "URL")]
    pub(super) log: Option<String>,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    pub(super) policy: Option<PathBuf>,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    pub(super) timeout: Option<Duration>,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl LogArgs {
    pub(super) fn open(&self, console: &mut Console) -> Result<Session> {
        Session::open(self.log.as_deref(), self.policy.as_deref(), self.deadline()?, console)
    }

    /// The log that carries messages. `to_send`: the token of a log that wants one goes along.
    pub(super) fn meet(
        &self,
        pins: &Pins,
        deadline: Instant,
        to_send: bool,
        console: &mut Console,
    ) -> Result<Target> {
        let named = policy_file::named(self.policy.as_deref(), pins, console)?;
        let wish = Wish::new(self.log.as_deref(), named, pins)?;
        match to_send {
            true => wish.meet_to_submit(pins, deadline, console),
            false => wish.meet(pins, deadline, console),
        }
    }

    /// From now on.
    pub(super) fn deadline(&self) -> Result<Instant> {
        super::deadline(self.timeout)
    }

    /// Prints an event that is logged.
    pub(super) fn print(&self, logged: &Logged, console: &mut Console) {
        self.print_with(logged, None, console);
    }

    /// The same, with another member in the JSON.
    pub(super) fn print_with(&self, logged: &Logged, more: Option<(&str, Value)>, console: &mut Console) {
        let event = &logged.event;
        if self.json {
            let mut json = json!({
                "schema": "aip.event.v1",
                "event": event.name(),
                "issuer": event.issuer().to_string(),
                "subject": event.subject().to_string(),
                "origin": event.origin(),
                "index": logged.index.get(),
                "loggedAt": clock::rfc3339_millis(logged.logged_at.as_millis()),
                "loggedAtMillis": logged.logged_at.as_millis(),
                "treeSize": logged.size.get(),
            });
            if let Some((name, value)) = more {
                json[name] = value;
            }
            if let Body::Trust(trust) = event.body() {
                add_terms(trust, &mut json);
            }
            console.json(&json);
            return;
        }
        let terms = match event.body() {
            Body::Trust(trust) => terms(trust),
            Body::Identity(_) | Body::MessageKeys(_) => String::new(),
        };
        console.line(format!(
            "{}  {}{terms}  index {}  {}",
            event.name(),
            event.subject(),
            logged.index,
            event.origin()
        ));
    }
}

/// For what, how much, how long.
fn terms(trust: &TrustEvent) -> String {
    let mut terms = trust.scope().map_or(String::new(), |scope| format!("  {scope}"));
    if let TrustEvent::Vouch { level, depth, expires_at, .. } = trust {
        let depth =
            depth.map_or(String::new(), |depth| format!(", {}", counted(usize::from(depth), "more hop")));
        let until = clock::rfc3339_millis(expires_at.as_millis());
        terms.push_str(&format!(" {level} until {until}{depth}"));
    }
    terms
}

/// The same for programs; `depth` is null where any number of hops may follow.
fn add_terms(trust: &TrustEvent, json: &mut Value) {
    if let Some(scope) = trust.scope() {
        json["scope"] = scope.name().into();
    }
    if let TrustEvent::Vouch { level, depth, expires_at, .. } = trust {
        json["level"] = level.name().into();
        json["depth"] = (*depth).into();
        json["expiresAt"] = clock::rfc3339_millis(expires_at.as_millis()).into();
        json["expiresAtMillis"] = expires_at.as_millis().into();
    }
}
