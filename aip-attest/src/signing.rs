//! From artifacts to receipts: statements, signatures, and what lies on disk before a log is asked.

use std::path::{Path, PathBuf};
use std::time::Instant;

use attestation::dsse::Envelope;
use attestation::entry::{Claim, PendingEntry, Visibility};
use attestation::provenance::{BuildFacts, Provenance};
use attestation::receipt::{Receipt, State};
use attestation::statement::{MAX_SUBJECTS, Predicate, Statement, StatementError, Subject};
use tlog::Hash;

use crate::artifact::Hashed;
use crate::contact::Contact;
use crate::events;
use crate::keyfile::OwnIdentity;
use crate::policy_file::pins::Pins;
use crate::predicate;
use crate::receipt_file::{self, Listings, Place, Shelf, Written};
use crate::report::{Console, Exit, Failure, Result};
use crate::states::States;
use crate::submission::{self, Job, Outcome};
use crate::target::Wish;

/// What is to be signed, and what becomes of it.
pub(crate) struct Request {
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
    /// Who says that a key is the DID's, if the DID does not prove it by itself.
    pub key: KeyOf,
    /// Until when a log is waited for.
    pub deadline: Instant,
}

/// Who says that a key is its DID's: a DID proves its first key by itself, and of every later one a log's state tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyOf {
    /// The caller has seen such a state.
    Shown,
    /// The log, before anything is signed; where it does not answer, a state of it that is kept.
    Log,
    /// The log, or whoever submits: where no log is named, or the log does not answer now, the receipts stay pending.
    LogOrSubmit,
}

/// What a statement says about its subjects.
pub(crate) enum Says {
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
    pub(crate) fn predicate_type(&self) -> &str {
        match self {
            Self::Built(_) => predicate::PROVENANCE,
            Self::Predicate { predicate_type, .. } => predicate_type,
        }
    }
}

/// What became of an artifact.
pub(crate) struct Signed {
    /// The artifact.
    pub hashed: Hashed,
    /// Where its receipt is, or was to be.
    path: PathBuf,
    /// The receipt, as far as it came.
    pub receipt: Receipt,
    /// Whether the log never takes it: it is not kept then.
    pub is_refused: bool,
    /// Whether it is logged, by the policy of the log. A receipt that lies on the disk says so itself, whoever wrote that.
    pub is_logged: bool,
    /// Whether it was logged before, by an earlier try of the same run.
    pub was_logged: bool,
    /// Why it came no further, if it should have.
    pub failure: Option<Failure>,
}

impl Signed {
    /// How far the receipt came: `signed`, `pending`, `refused` or `logged`.
    pub(crate) fn state(&self) -> &'static str {
        match self.receipt.state() {
            _ if self.is_refused => "refused",
            State::Signed => "signed",
            // A logged receipt that was to be refreshed and was not is still logged.
            State::Logged(_) if self.is_logged => "logged",
            State::Pending(_) | State::Logged(_) => "pending",
        }
    }

    /// Where the receipt is, if it is kept.
    pub(crate) fn kept(&self) -> Option<&Path> {
        (!self.is_refused).then_some(&self.path)
    }

    /// The place in the log.
    pub(crate) fn index(&self) -> Option<u64> {
        self.receipt.log_answer().filter(|_| self.is_logged).map(|logged| logged.proof.index.get())
    }
}

/// Everything that was signed, in the order of the artifacts.
pub(crate) struct Report {
    /// The artifacts.
    pub signed: Vec<Signed>,
    /// Why the log was not even asked.
    pub log_failure: Option<Failure>,
    /// Whether nobody has said yet that the key is the DID's: the log does when the receipts are submitted.
    pub is_key_open: bool,
}

impl Report {
    /// The exit code: what is not logged and should be is not done.
    pub(crate) fn exit(&self) -> Exit {
        let failures = self.signed.iter().filter_map(|signed| signed.failure.as_ref());
        failures.chain(&self.log_failure).map(Failure::exit).fold(Exit::Yes, Exit::and)
    }
}

/// Signs, writes what it signed, and submits it.
pub(crate) fn sign(
    mut request: Request,
    identity: &OwnIdentity,
    pins: &Pins,
    console: &mut Console,
) -> Result<Report> {
    let is_proven = request.key == KeyOf::Shown || identity.is_genesis();
    // A log that answers is asked all the same: the key may have been rotated since.
    let is_kept =
        !is_proven && States::of_user().show_signer(identity.did, identity.key.public_key().as_bytes(), pins);
    let may_be_open = request.key == KeyOf::LogOrSubmit || is_kept;
    let report = |signed, log_failure| Report { signed, log_failure, is_key_open: !is_proven && !is_kept };
    let Some(wish) = request.log.take() else {
        if !is_proven && !may_be_open {
            identity.require_genesis()?;
        }
        return Ok(report(write_signed(prepare(&request, identity)?, console)?, None));
    };
    let target = match wish.meet_to_submit(pins, request.deadline, console) {
        Ok(target) => target,
        // Without its name there is nothing to claim: the signatures are kept, and `submit` goes on.
        Err(failure) if is_proven || (may_be_open && failure.is_for_now()) => {
            return Ok(report(write_signed(prepare(&request, identity)?, console)?, Some(failure)));
        }
        // Nothing says that this key may sign for the DID.
        Err(failure) => return Err(failure),
    };
    let contact = Contact { target: &target, pins, deadline: request.deadline };
    let whose = match is_proven {
        true => Ok(()),
        false => events::require_current(identity, contact, console),
    };
    let unanswered = match whose {
        Ok(()) => None,
        Err(failure) if may_be_open && failure.is_for_now() => Some(failure),
        Err(failure) => return Err(failure),
    };
    let groups = prepare(&request, identity)?;
    let (mut jobs, mut listings) = (Vec::new(), Listings::default());
    for group in &groups {
        let receipt = group.pending(identity, &target.origin, request.visibility, &mut listings)?;
        jobs.push(Job { receipt, places: group.places.clone() });
    }
    // On disk before the first byte is sent: whatever happens now can be sent again as it is.
    let written = write(&jobs, console)?;
    let is_key_open = unanswered.is_some() && !is_kept;
    let outcomes = match unanswered {
        // Nor would it answer the entries: they wait for `submit`.
        Some(failure) => {
            let failure = submission::pending(failure);
            jobs.iter().map(|_| Outcome::Left(failure.clone())).collect()
        }
        None => {
            events::home::tell_of_other(identity.did, &target, console);
            events::register_on_the_way(identity, contact, console);
            submission::submit(&jobs, contact, console)
        }
    };
    let mut signed = Vec::new();
    for (((group, job), written), outcome) in groups.into_iter().zip(jobs).zip(written).zip(outcomes) {
        let is_logged = match &outcome {
            Outcome::Logged(..) => true,
            Outcome::Left(_) | Outcome::Refused(_) => submission::holds(&job.receipt, contact),
        };
        let ended = group.ended(job, &written, outcome, console).into_iter();
        signed.extend(ended.map(|signed| Signed { is_logged, ..signed }));
    }
    submission::tell_of_bare(signed.iter().map(|signed| &signed.receipt), &target.origin, console);
    Ok(Report { signed, log_failure: None, is_key_open })
}

/// One statement with its subjects.
struct Group {
    artifacts: Vec<Hashed>,
    places: Vec<Place>,
    statement: Statement,
    receipt: Receipt,
}

fn prepare(request: &Request, identity: &OwnIdentity) -> Result<Vec<Group>> {
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
        let places = match &request.receipt {
            Some(path) => vec![Place::named(path)?],
            None => artifacts
                .iter()
                .map(|hashed| {
                    let path = hashed.artifact.path().ok_or_else(|| no_receipt_name(hashed))?;
                    let place = request.shelf.place(path, &hashed.artifact.name, predicate_type)?;
                    if !taken.insert((place.clone(), Some(hashed.sha256))) {
                        return Err(Failure::new(format!("`{}` is named twice", hashed.artifact.label())));
                    }
                    // Two digests of one name, say an image for two machines.
                    Ok(if taken.insert((place.clone(), None)) { place } else { place.with_own_name() })
                })
                .collect::<Result<_>>()?,
        };
        let envelope = Envelope::sign(&identity.key, statement.to_payload());
        let receipt =
            Receipt::signed(identity.did, identity.key.public_key(), envelope).map_err(cannot_sign)?;
        prepared.push(Group { artifacts, places, statement, receipt });
    }
    Ok(prepared)
}

fn write_signed(groups: Vec<Group>, console: &mut Console) -> Result<Vec<Signed>> {
    let (mut jobs, mut listings) = (Vec::new(), Listings::default());
    for group in &groups {
        // What is there may have come further, and says the same: it is not put back.
        let receipt = group.find(&mut listings, |found| group.is_same(found))?;
        let receipt = receipt.unwrap_or_else(|| group.receipt.clone());
        jobs.push(Job { receipt, places: group.places.clone() });
    }
    let written = write(&jobs, console)?;
    let signed = groups.into_iter().zip(jobs).zip(written);
    let signed = signed.flat_map(|((group, job), written)| group.signed(&job.receipt, &paths(&written)));
    Ok(signed.collect())
}

/// Writes receipts to their places, durably. Answers where they lie, for each job.
fn write(jobs: &[Job], console: &mut Console) -> Result<Vec<Vec<Written>>> {
    let files = jobs.iter().flat_map(|job| job.places.iter().map(|place| (place, &job.receipt)));
    let mut written = receipt_file::write_all(&files.collect::<Vec<_>>(), console)?.into_iter();
    Ok(jobs.iter().map(|job| written.by_ref().take(job.places.len()).collect()).collect())
}

fn paths(written: &[Written]) -> Vec<PathBuf> {
    written.iter().map(|written| written.path().to_path_buf()).collect()
}

impl Group {
    /// The receipt to send to the log `origin`: the one of an earlier try of the same run if it lies there, else a new
    /// one, pending.
    fn pending(
        &self,
        identity: &OwnIdentity,
        origin: &str,
        visibility: Visibility,
        listings: &mut Listings,
    ) -> Result<Receipt> {
        let key = identity.key.public_key();
        if let Some(found) = self.find(listings, |found| self.is_same_run(found, origin, visibility))? {
            return Ok(found);
        }
        let claim =
            Claim::new(self.receipt.envelope(), &self.statement, identity.did, &key, origin, visibility);
        let entry = claim.and_then(|claim| PendingEntry::sign(claim, &identity.key)).map_err(cannot_sign)?;
        Ok(self.receipt.clone().pending(entry))
    }

    /// Of the receipts that lie at this group's places and beside them, the first that is `wanted`; a logged one
    /// before the others.
    fn find(&self, listings: &mut Listings, wanted: impl Fn(&Receipt) -> bool) -> Result<Option<Receipt>> {
        let mut found = None;
        for place in &self.places {
            let at_place = receipt_file::read_if_there(&place.path())?.map(|(receipt, _)| receipt);
            // What cannot be read beside it is in nobody's way.
            let beside = place.beside(listings)?;
            let beside = beside.iter().filter_map(|path| receipt_file::read(path).ok());
            for receipt in at_place.into_iter().chain(beside).filter(&wanted) {
                if receipt.log_answer().is_some() {
                    return Ok(Some(receipt));
                }
                found.get_or_insert(receipt);
            }
        }
        Ok(found)
    }

    /// Whether `found` is of the same envelope.
    fn is_same(&self, found: &Receipt) -> bool {
        found.envelope() == self.receipt.envelope()
            && found.did() == self.receipt.did()
            && found.public_key() == self.receipt.public_key()
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

    fn ended(self, job: Job, written: &[Written], outcome: Outcome, console: &mut Console) -> Vec<Signed> {
        let was_logged = job.receipt.log_answer().is_some();
        let (failure, is_refused) = match outcome {
            Outcome::Logged(receipt, paths) => {
                let signed = self.signed(&receipt, &paths).into_iter();
                return signed.map(|signed| Signed { was_logged, ..signed }).collect();
            }
            Outcome::Left(failure) => (failure, false),
            Outcome::Refused(failure) => (failure, true),
        };
        // What the log never takes is taken away, so that the receipt from before, which may still be good, is found
        // in its place.
        for written in written.iter().filter(|_| is_refused) {
            // It is told, and what the others came to as well: the refusal makes it exit 2 already.
            if let Err(failure) = written.put_back(&job.receipt, console) {
                console.failure(&failure);
            }
        }
        let fails = |signed| Signed { failure: Some(failure.clone()), is_refused, ..signed };
        self.signed(&job.receipt, &paths(written)).into_iter().map(fails).collect()
    }

    /// One for each artifact; `paths` is of as many files, or of the only one.
    fn signed(self, receipt: &Receipt, paths: &[PathBuf]) -> Vec<Signed> {
        let path = |at: usize| paths.get(at).unwrap_or(&paths[0]).clone();
        let signed = |(at, hashed)| Signed {
            hashed,
            path: path(at),
            receipt: receipt.clone(),
            is_refused: false,
            is_logged: false,
            was_logged: false,
            failure: None,
        };
        self.artifacts.into_iter().enumerate().map(signed).collect()
    }
}

fn no_receipt_name(hashed: &Hashed) -> Failure {
    let digest: &Hash = &hashed.sha256;
    Failure::new(format!("sha256:{digest} has no name for a statement")).hint("use --subject NAME@sha256:HEX")
}

fn cannot_sign(error: impl std::error::Error) -> Failure {
    Failure::new("cannot sign this").caused_by(error)
}
