//! What `trust` and `gate` are asked, on the command line or by a workflow.

use std::path::PathBuf;
use std::time::Duration;

use ::trust::ScopeQuery;
use tlog::Hash;

use crate::clock::parse_duration;
use crate::policy_file::trust::{Root, Trust};
use crate::policy_file::{self, PolicyFile, pins::Pins};
use crate::report::{Console, Result};
use crate::scoring::Flags;

/// Whom to trust for what, and where the entries are.
#[derive(clap::Args)]
pub(in super::super) struct Asked {
    /// A DID that you trust yourself, or `DID=WEIGHT` with a weight up to 1 (can be repeated); else
    /// AIP_TRUST_ROOTS, `[trust.roots]` in trust.toml, or your own DID
    #[arg(long, value_name = "DID[=WEIGHT]")]
    pub(in super::super) root: Vec<Root>,

    /// For what: CODE_SIGNING (the default), GENERAL, FINANCIAL, INFORMATION, IDENTITY, or ANY
    #[arg(long, value_name = "SCOPE")]
    pub(in super::super) scope: Option<ScopeQuery>,

    /// Judge by evidence in a file, and ask no log; with --sync: also say whether the log asserted the truth in it
    #[arg(long, value_name = "FILE")]
    pub(in super::super) evidence: Option<PathBuf>,

    /// Read the whole log, verify it and keep it in ~/.aip/logs
    #[arg(long)]
    pub(in super::super) sync: bool,

    /// Keep the evidence in a file, for --evidence elsewhere
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sync", "evidence"])]
    pub(in super::super) evidence_out: Option<PathBuf>,

    /// The log; else AIP_LOG_URL, the policy's, or the pinned one
    #[arg(long, value_name = "URL")]
    pub(in super::super) log: Option<String>,

    /// The policy: which logs and witnesses to believe
    #[arg(long, value_name = "FILE")]
    pub(in super::super) policy: Option<PathBuf>,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(in super::super) timeout: Option<Duration>,

    /// The fingerprint that the policy must have.
    #[arg(skip)]
    pub(in super::super) fingerprint: Option<Hash>,

    /// What judges in a workflow, instead of what is found here.
    #[arg(skip)]
    pub(in super::super) workflow: Option<Box<Workflow>>,
}

/// What judges in a workflow: it comes from the workflow, or is fixed by it.
#[derive(Clone)]
pub(in super::super) struct Workflow {
    /// The policy that is named, with the settings.
    pub(in super::super) policy: Option<PolicyFile>,
    /// The settings, in the place of the user's own.
    pub(in super::super) trust: Trust,
}

impl Asked {
    /// The pins of this user; in a workflow without the settings that lie beside them.
    pub(in super::super) fn pins(&self) -> Result<Pins> {
        let pins = Pins::load()?;
        Ok(match &self.workflow {
            None => pins,
            Some(workflow) => pins.with_settings(workflow.trust.clone()),
        })
    }

    pub(super) fn named(&self, pins: &Pins, console: &mut Console) -> Result<Option<PolicyFile>> {
        match &self.workflow {
            None => policy_file::named(self.policy.as_deref(), pins, console),
            Some(workflow) => Ok(workflow.policy.clone()),
        }
    }

    pub(in super::super) fn flags(&self) -> Flags {
        Flags {
            roots: self.root.clone(),
            scope: self.scope,
            threshold: None,
            min_paths: None,
            in_workflow: self.workflow.is_some(),
        }
    }
}
