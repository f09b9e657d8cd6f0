//! SIGHUP: the policy, and who may submit, are read again while the log runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use service::edited;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use crate::Failure;
use crate::config::Settings;
use crate::cosign::witnesses::Witnesses;
use crate::directory::{EDITED, read_policy, read_settings};
use crate::http::Terms;
use crate::http::budget::Gatekeeper;
use crate::policy::{idle_witnesses, own_policy};
use crate::pool::Pool;
use crate::sequencer::Publication;

/// Where the files are, and how they were read last.
pub(super) struct Reload {
    dir: PathBuf,
    /// As on the command line and in the environment.
    flags: Settings,
    /// All of them, as the log was started with.
    started: Settings,
    vkey: VerifierKey,
    policy: String,
    pool: Arc<Pool>,
    publication: Arc<Mutex<Option<Publication>>>,
}

/// The settings of a running log that SIGHUP reads again.
pub(super) struct Read {
    pub(super) terms: Terms,
    pub(super) policy: Policy,
    text: String,
    settings: Settings,
}

impl Reload {
    pub(super) fn new(
        dir: PathBuf,
        flags: Settings,
        started: Settings,
        vkey: VerifierKey,
        policy: String,
        pool: Arc<Pool>,
    ) -> Self {
        Self { dir, flags, started, vkey, policy, pool, publication: Arc::default() }
    }

    /// Where the writer finds a policy that was read again.
    pub(super) fn publication(&self) -> Arc<Mutex<Option<Publication>>> {
        self.publication.clone()
    }

    /// Reads the files again. If any of them is wrong, none counts: the fault goes to stderr, and the log goes on as before.
    pub(super) fn now(&mut self) -> Option<Terms> {
        edited::say(&self.dir, &EDITED);
        match self.again() {
            Ok(terms) => Some(terms),
            Err(failure) => {
                tracing::error!("nothing was read again, the log goes on as before: {failure}");
                None
            }
        }
    }

    fn again(&mut self) -> Result<Terms, Failure> {
        let settings = self.flags.clone().or(read_settings(&self.dir)?.settings);
        let read = read(read_policy(&self.dir)?, &settings, &self.vkey)?;
        let is_new = read.text != self.policy;
        if is_new {
            let rhythm = read.settings.rhythm(&read.policy);
            let policy = Arc::new(read.policy);
            let waking = self.pool.clone();
            let witnesses = Witnesses::start(&policy, rhythm.quorum_timeout, move || waking.wake());
            let witnesses = witnesses.map_err(|e| Failure::new("cannot ask witnesses").caused_by(e))?;
            let publication = Publication { policy, cosigners: Box::new(witnesses), rhythm };
            *self.publication.lock().unwrap_or_else(PoisonError::into_inner) = Some(publication);
            self.pool.wake();
            self.policy = read.text;
        }
        tracing::info!(policy_is_new = is_new, "policy, admission, allow-list and tokens were read again");
        let waiting = self.started.differing(&read.settings);
        if !waiting.is_empty() {
            tracing::warn!(settings = waiting.join(", "), "these settings count only after a restart");
        }
        Ok(read.terms)
    }
}

/// Reads the policy, and who may submit.
pub(super) fn read(text: String, settings: &Settings, vkey: &VerifierKey) -> Result<Read, Failure> {
    let policy = own_policy(&text, vkey, settings)?;
    if let Some(warning) = idle_witnesses(&policy) {
        tracing::warn!("{warning}");
    }
    let own = policy.logs().iter().find(|log| log.vkey == *vkey);
    let address = own.and_then(|log| log.url.as_deref()).map(|url| url.trim_end_matches('/').to_owned());
    let gatekeeper = Gatekeeper::from_settings(settings)
        .map_err(|e| Failure::new("the settings are refused").caused_by(e))?;
    let terms = Terms { policy: text.clone(), address, gatekeeper };
    Ok(Read { terms, policy, text, settings: settings.clone() })
}
