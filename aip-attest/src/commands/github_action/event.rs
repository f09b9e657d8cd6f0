//! Whose event a run is for: in some a stranger chooses what is built, or what policy judges it.

use serde_json::Value;

use crate::bounded_file::read_bounded;
use crate::environment;
use crate::report::{Failure, Result};

/// What started this run.
pub(super) struct Event {
    /// As the runner names it; empty where there is no runner.
    name: String,
}

/// Events that only people of the repository start, in whose hands it is; those of [`FORKABLE`] may be a fork's.
/// `action/install.sh` has the same names.
const TRUSTED_EVENTS: [&str; 8] = [
    "push",
    "create",
    "release",
    "schedule",
    "workflow_dispatch",
    "repository_dispatch",
    "deployment",
    "merge_group",
];

/// Events that are the repository's own only if the event's file says so.
const FORKABLE: [&str; 2] = ["pull_request", "workflow_run"];

impl Event {
    pub(super) fn read() -> Result<Self> {
        Ok(Self { name: environment::var("GITHUB_EVENT_NAME")?.unwrap_or_default() })
    }

    /// Refuses an event in which a stranger chooses what runs, or what it sees, while the secrets are there.
    ///
    /// `pull_request_target`, `issue_comment` and others run with secrets on the base, and are known for building the
    /// head. `workflow_run` does the same for what another workflow left, which may be a fork's. A pull request of a
    /// fork is passed on if there is no key, as GitHub has it: nothing can be signed then.
    pub(super) fn refuse_untrusted(&self, is_allowed: bool, has_key: bool) -> Result<()> {
        let name = self.name.as_str();
        if is_allowed || name.is_empty() || TRUSTED_EVENTS.contains(&name) {
            return Ok(());
        }
        let why = match name {
            "pull_request" if !has_key => return Ok(()),
            "pull_request" | "workflow_run" => match is_of_fork(name) {
                Ok(false) => return Ok(()),
                Ok(true) => "it is about a fork, and what it builds may be a stranger's".to_owned(),
                Err(why) => format!("whether it is about a fork cannot be told: {why}"),
            },
            _ => "it runs with secrets, and a stranger may choose what it builds or sees".to_owned(),
        };
        Err(Failure::new(format!("nothing is signed in the event `{name}`"))
            .because(why)
            .hint("use `push` or `release`; if you know what this job runs, `allow-untrusted-event: true`"))
    }

    /// Whether the checkout holds what is only proposed: a policy in it then judges nothing that the workflow does not
    /// fix by its digest.
    pub(super) fn is_proposal(&self) -> bool {
        let name = self.name.as_str();
        let is_known = name.is_empty() || TRUSTED_EVENTS.contains(&name) || FORKABLE.contains(&name);
        !is_known || name == "merge_group" || name.starts_with("pull_request")
    }

    /// As the runner names it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Whether a pull request, or the run before this one, is of another repository than this.
fn is_of_fork(event: &str) -> Result<bool, String> {
    let head = match event {
        "pull_request" => "/pull_request/head/repo/id",
        _ => "/workflow_run/head_repository/id",
    };
    let path = environment::path("GITHUB_EVENT_PATH").ok_or("GITHUB_EVENT_PATH is not set")?;
    let event = read_bounded(&path, MAX_EVENT_BYTES).map_err(|error| format!("the event: {error}"))?;
    let event: Value = serde_json::from_slice(&event).map_err(|error| format!("the event: {error}"))?;
    // Numbers, since names can be changed and taken by others.
    let id = |pointer: &str| event.pointer(pointer).and_then(Value::as_u64);
    let head = id(head).ok_or("the event names no head repository")?;
    let here = id("/repository/id").ok_or("the event names no repository")?;
    Ok(head != here)
}

const MAX_EVENT_BYTES: u64 = 32 << 20;
