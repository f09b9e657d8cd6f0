//! From artifacts to receipts: statements, signatures, and what lies on disk before a log is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use attestation::dsse::Envelope;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::provenance::{BuildFacts, Provenance};
use attestation::receipt::{Receipt, State};
use attestation::statement::{MAX_SUBJECTS, Predicate, Statement, StatementError, Subject};
use tlog::Hash;

use crate::artifact::Hashed;
use crate::events;
use crate::keyfile::Identity;
use crate::policy_file::pins::Pins;
use crate::predicate;
use crate::receipt_file::{self, Former, Shelf};
use crate::report::{Console, Exit, Failure, Result};
use crate::submission::{self, Job, Outcome};
use crate::target::Wish;

/// What is to be signed, and what becomes of it.
pub struct Request {
    /// The artifacts.
    pub artifacts: Vec<Hashed>,
    /// What is said about them.
    pub says: Says,
    /// One statement about all, not one about each.
    pub together: bool,
    /// Whether the log learns what it is about.
    pub visibility: Visibility,
    /// Where receipts go.
    pub shelf: Shelf,
    /// The one receipt of a statement about all, instead of a copy beside each artifact.
    pub receipt: Option<PathBuf>,
    /// The log, unless it stays with a signature.
    pub log: Option<Wish>,
    /// Whether the caller saw by a state that the key is the DID's now.
    pub is_current: bool,
    /// Until when a log is waited for.
    pub deadline: Instant,
}

/// What a statement says about its subjects.
pub enum Says {
    /// That this run built them.
    Built(Provenance),
    /// What a file says.
    Predicate {
        /// Its type, a URI.
        predicate_type: String,
        /// Its content.
        predicate: Predicate,
    },
}

impl Says {
    /// The kind of statement.
    pub fn predicate_type(&self) -> &str {
        match self {
            Self::Built(_) => predicate::PROVENANCE,
            Self::Predicate { predicate_type, .. } => predicate_type,
        }
    }
}

/// What became of an artifact.
pub struct Signed {
    /// The artifact.
    pub hashed: Hashed,
    /// Where its receipt is, or was to be.
    path: PathBuf,
    /// The receipt, as far as it came.
    pub receipt: Receipt,
    /// Whether the log never takes it: it is not kept then.
    pub is_refused: bool,
    /// Why it came no further, if it should have.
    pub failure: Option<Failure>,
}

impl Signed {
    /// How far the receipt came: `signed`, `pending`, `refused` or `logged`.
    pub fn state(&self) -> &'static str {
        match self.receipt.state() {
            _ if self.is_refused => "refused",
            State::Signed => "signed",
            State::Pending(_) => "pending",
            // A logged receipt that was to be refreshed and was not is still logged.
            State::Logged(_) => "logged",
        }
    }

    /// Where the receipt is, if it is kept.
    pub fn kept(&self) -> Option<&Path> {
        (!self.is_refused).then_some(&self.path)
    }

    /// The place in the log.
    pub fn index(&self) -> Option<u64> {
        self.receipt.log_answer().map(|logged| logged.proof.index.get())
    }
}

/// Everything that was signed, in the order of the artifacts.
pub struct Report {
    /// The artifacts.
    pub signed: Vec<Signed>,
    /// Why the log was not even asked.
    pub log_failure: Option<Failure>,
}

impl Report {
    /// The exit code: what is not logged and should be is not done.
    pub fn exit(&self) -> Exit {
        let failures = self.signed.iter().filter_map(|signed| signed.failure.as_ref());
        failures.chain(&self.log_failure).map(Failure::exit).fold(Exit::Yes, Exit::and)
    }
}

/// Signs, writes what it signed, and submits it.
pub fn sign(mut request: Request, identity: &Identity, pins: &Pins, console: &mut Console) -> Result<Report> {
    let is_proven = request.is_current || identity.is_genesis();
    let Some(wish) = request.log.take() else {
        if !is_proven {
            identity.require_genesis()?;
        }
        return write_signed(prepare(&request, identity)?, None, console);
    };
    let target = match wish.meet_to_submit(pins, request.deadline, console) {
        Ok(target) => target,
        // Without its name there is nothing to claim: the signatures are kept, and `submit` goes on.
        Err(failure) if is_proven => {
            return write_signed(prepare(&request, identity)?, Some(failure), console);
        }
        // Nothing says that this key may sign for the DID.
        Err(failure) => return Err(failure),
    };
    if !is_proven {
        events::require_current(identity, &target, pins, request.deadline, console)?;
    }
    let groups = prepare(&request, identity)?;
    let (mut jobs, mut new) = (Vec::new(), Vec::new());
    for group in &groups {
        let (receipt, is_new) = group.pending(identity, &target.origin, request.visibility)?;
        new.push(is_new);
        jobs.push(Job { receipt, paths: group.paths.clone() });
    }
    // On disk before the first byte is sent: whatever happens now can be sent again as it is.
    let former = write(jobs.iter().zip(new).filter(|(_, is_new)| *is_new).map(|(job, _)| job), console)?;
    events::register_on_the_way(identity, &target, pins, request.deadline, console);
    let outcomes = submission::submit(&jobs, &target, pins, request.deadline, console);
    put_back(&former, &jobs, &outcomes, console);
    submission::tell_of_bare(outcomes.iter().filter_map(Outcome::receipt), &target.origin, console);
    let mut signed = Vec::new();
    for ((group, job), outcome) in groups.into_iter().zip(jobs).zip(outcomes) {
        signed.extend(group.ended(job, outcome));
    }
    Ok(Report { signed, log_failure: None })
}

/// One statement with its subjects.
struct Group {
    artifacts: Vec<Hashed>,
    paths: Vec<PathBuf>,
    statement: Statement,
    receipt: Receipt,
}

fn prepare(request: &Request, identity: &Identity) -> Result<Vec<Group>> {
    let predicate_type = request.says.predicate_type();
    let predicate = match &request.says {
        Says::Built(provenance) => Predicate::from(provenance.to_predicate()),
        Says::Predicate { predicate, .. } => predicate.clone(),
    };
    let artifacts = request.artifacts.clone();
    let groups: Vec<Vec<Hashed>> = match request.together {
        true => vec![artifacts],
        false => artifacts.into_iter().map(|artifact| vec![artifact]).collect(),
    };
    let mut prepared: Vec<Group> = Vec::new();
    let mut taken = std::collections::BTreeSet::new();
    for artifacts in groups {
        let subject = |hashed: &Hashed| Subject::new(hashed.artifact.name.as_str(), hashed.sha256);
        let statement =
            Statement::new(artifacts.iter().map(subject).collect(), predicate_type, predicate.clone());
        let statement = statement.map_err(|error| match error {
            StatementError::SubjectCount(count) if count > MAX_SUBJECTS => {
                let calls = count.div_ceil(MAX_SUBJECTS);
                cannot_sign(error).hint(format!(
                    "leave --together away: one statement each; or sign them in {calls} calls of at most {MAX_SUBJECTS}"
                ))
            }
            error => cannot_sign(error),
        })?;
        let paths = match &request.receipt {
            Some(path) => vec![path.clone()],
            None => artifacts
                .iter()
                .map(|hashed| {
                    let path = hashed.artifact.path().ok_or_else(|| no_receipt_name(hashed))?;
                    request.shelf.path(path, predicate_type)
                })
                .collect::<Result<_>>()?,
        };
        if let Some(twice) = paths.iter().find(|path| !taken.insert((*path).clone())) {
            return Err(Failure::new(format!("two artifacts would have the receipt `{}`", twice.display()))
                .hint("sign them apart, with --receipts for one of them"));
        }
        let envelope = Envelope::sign(&identity.key, statement.to_payload());
        let receipt =
            Receipt::signed(identity.did, identity.key.public_key(), envelope).map_err(cannot_sign)?;
        prepared.push(Group { artifacts, paths, statement, receipt });
    }
    Ok(prepared)
}

fn write_signed(groups: Vec<Group>, log_failure: Option<Failure>, console: &mut Console) -> Result<Report> {
    let (mut signed, mut new) = (Vec::new(), Vec::new());
    for group in groups {
        // What is there may have come further, and says the same: it is not put back.
        let receipt = match group.find_same()? {
            Some(further) => further,
            None => {
                new.push(Job { receipt: group.receipt.clone(), paths: group.paths.clone() });
                group.receipt.clone()
            }
        };
        signed.extend(group.signed(&receipt));
    }
    write(new.iter(), console)?;
    Ok(Report { signed, log_failure })
}

/// Writes receipts to their places, durably.
fn write<'j>(jobs: impl Iterator<Item = &'j Job>, console: &mut Console) -> Result<Vec<Former>> {
    let files = jobs.flat_map(|job| job.paths.iter().map(|path| (path.as_path(), &job.receipt)));
    receipt_file::write_all(&files.collect::<Vec<_>>(), console)
}

/// Takes away what the log never takes, so that the receipt from before, which may still be good, is found in its place.
fn put_back(former: &[Former], jobs: &[Job], outcomes: &[Outcome], console: &mut Console) {
    let former: BTreeMap<&Path, &Former> = former.iter().map(|former| (former.path(), former)).collect();
    for (job, outcome) in jobs.iter().zip(outcomes) {
        if !matches!(outcome, Outcome::Refused(_)) {
            continue;
        }
        // One of an earlier try stays: this one wrote nothing there.
        for former in job.paths.iter().filter_map(|path| former.get(path.as_path())) {
            // It is told, and what the others came to as well: the refusal makes it exit 2 already.
            if let Err(failure) = former.put_back(&job.receipt, console) {
                console.failure(&failure);
            }
        }
    }
}

impl Group {
    /// The pending receipt for the log `origin`: the one of an earlier try of the same run if it lies there,
    /// else a new one. And whether it is new.
    fn pending(&self, identity: &Identity, origin: &str, visibility: Visibility) -> Result<(Receipt, bool)> {
        let key = identity.key.public_key();
        if let Some(found) = self.find()?
            && self.is_same_run(&found, origin, visibility)
        {
            return Ok((found, false));
        }
        let claim =
            Claim::new(self.receipt.envelope(), &self.statement, identity.did, &key, origin, visibility);
        let entry = claim.and_then(|claim| PendingEntry::sign(claim, &identity.key)).map_err(cannot_sign)?;
        Ok((self.receipt.clone().pending(entry), true))
    }

    /// The receipt that lies where this group's would.
    fn find(&self) -> Result<Option<Receipt>> {
        match self.paths.iter().find(|path| path.exists()) {
            None => Ok(None),
            Some(path) => receipt_file::read(path)
                .map(Some)
                .map_err(|failure| failure.hint("what is there is left alone: move it away")),
        }
    }

    /// What lies there, if it is of the same envelope.
    fn find_same(&self) -> Result<Option<Receipt>> {
        Ok(self.find()?.filter(|found| {
            found.envelope() == self.receipt.envelope()
                && found.did() == self.receipt.did()
                && found.public_key() == self.receipt.public_key()
        }))
    }

    /// Whether `found` is an earlier try of the same run: same subjects, DID, log, predicate type, visibility
    /// and run. It may have been put there by anybody, so that its signatures are checked too.
    fn is_same_run(&self, found: &Receipt, origin: &str, visibility: Visibility) -> bool {
        let Some(entry) = found.pending_entry() else { return false };
        let key = self.receipt.public_key();
        let (old, new) = (BuildFacts::read(found.statement()), BuildFacts::read(&self.statement));
        let same_run = match (old.invocation_id, new.invocation_id) {
            (Some(old), Some(new)) => old == new,
            // No run is named: only the same words are the same statement.
            _ => found.envelope().unverified_payload() == self.receipt.envelope().unverified_payload(),
        };
        same_run
            && found.did() == self.receipt.did()
            && found.public_key() == key
            && found.statement().subjects() == self.statement.subjects()
            && found.statement().predicate_type() == self.statement.predicate_type()
            && entry.claim().did() == found.did()
            && entry.claim().origin() == origin
            && entry.claim().listing().is_none() == (visibility == Visibility::Private)
            && found.envelope().verify(key).is_ok()
            && entry.claim().check_describes(found.envelope(), found.statement(), key).is_ok()
            && entry.verify_claim_signature(key).is_ok()
    }

    fn ended(self, job: Job, outcome: Outcome) -> Vec<Signed> {
        match outcome {
            Outcome::Logged(receipt) => self.signed(&receipt),
            Outcome::Left(failure) => self.failed(&job, &failure, false),
            Outcome::Refused(failure) => self.failed(&job, &failure, true),
        }
    }

    fn failed(self, job: &Job, failure: &Failure, is_refused: bool) -> Vec<Signed> {
        let fails = |signed| Signed { failure: Some(failure.clone()), is_refused, ..signed };
        self.signed(&job.receipt).into_iter().map(fails).collect()
    }

    fn signed(self, receipt: &Receipt) -> Vec<Signed> {
        let only = self.paths[0].clone();
        let mut paths = self.paths.into_iter();
        let signed = |hashed| {
            let path = paths.next().unwrap_or_else(|| only.clone());
            Signed { hashed, path, receipt: receipt.clone(), is_refused: false, failure: None }
        };
        self.artifacts.into_iter().map(signed).collect()
    }
}

fn no_receipt_name(hashed: &Hashed) -> Failure {
    let digest: &Hash = &hashed.sha256;
    Failure::new(format!("sha256:{digest} has no name for a statement")).hint("use --subject NAME@sha256:HEX")
}

fn cannot_sign(error: impl std::error::Error) -> Failure {
    Failure::new("cannot sign this").caused_by(error)
}
