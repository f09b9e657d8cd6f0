//! The checks of a receipt, in their fixed order. The first that does not pass ends them.

use std::fmt;
use std::time::Duration;

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::{ProofError, leaf_hash};
use tlog::policy::{Cosigned, Policy, PolicyError};
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use super::{Logged, MEDIA_TYPE, Receipt, ReceiptError};
use crate::did::Did;
use crate::entry::{DescribeError, EntryError, LogTime, PendingEntry};
use crate::provenance::{self, BuildFacts};
use crate::statement::Statement;

/// What a verifier demands of a receipt.
#[derive(Clone, Debug)]
pub struct VerifyPolicy<'a> {
    /// Which logs and witnesses to believe.
    pub policy: &'a Policy,
    /// Whose signature is wanted. There is no default: a receipt by anybody proves little.
    pub signers: Signers,
    /// Roots that the verifier has seen: another root at one of these sizes is a fork.
    pub pins: Vec<Pin>,
    /// What is asked for beyond that, in any order.
    pub demands: Vec<Demand>,
}

impl<'a> VerifyPolicy<'a> {
    /// Demands a logged and witnessed receipt by one of `signers`, and nothing more.
    pub fn new(policy: &'a Policy, signers: Signers) -> Self {
        Self { policy, signers, pins: Vec::new(), demands: Vec::new() }
    }

    /// The demands in the order of their checks.
    fn demands(&self) -> Vec<&Demand> {
        let mut demands: Vec<&Demand> = self.demands.iter().collect();
        demands.sort_by_key(|demand| demand.check());
        demands
    }
}

/// Something that only some verifiers ask for, each a check of its own.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a verifier has a handful of them")]
pub enum Demand {
    /// The repository that provenance must name, such as `https://github.com/octo/app`.
    SourceUri(String),
    /// The ref that provenance must name, such as `refs/heads/main`.
    SourceRef(String),
    /// The builder that provenance must name.
    BuilderId(String),
    /// The predicate type that the statement must have.
    PredicateType(String),
    /// The name that the statement must give the artifact.
    SubjectName(String),
    /// The greatest age of the entry, by the log's clock.
    MaxAge(Duration),
    /// The greatest age of the checkpoint, by its newest cosignature that counts.
    CheckpointFreshness(Duration),
    /// The least size of a checkpoint of this log, such as one that the verifier has seen. It says nothing
    /// about other logs.
    MinCheckpoint {
        /// The log.
        log: VerifierKey,
        /// The least size.
        size: TreeSize,
    },
}

impl Demand {
    /// The check that answers the demand.
    pub const fn check(&self) -> Check {
        match self {
            Self::SourceUri(_) => Check::SourceUri,
            Self::SourceRef(_) => Check::SourceRef,
            Self::BuilderId(_) => Check::BuilderId,
            Self::PredicateType(_) => Check::PredicateType,
            Self::SubjectName(_) => Check::SubjectName,
            Self::MaxAge(_) => Check::MaxAge,
            Self::CheckpointFreshness(_) => Check::CheckpointFreshness,
            Self::MinCheckpoint { .. } => Check::MinCheckpoint,
        }
    }
}

/// Whose signature is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Signers {
    /// Anybody's.
    Any,
    /// One of these.
    OneOf(Vec<Did>),
}

/// A root that the verifier has seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pin {
    /// The log.
    pub log: VerifierKey,
    /// The size of its tree.
    pub size: TreeSize,
    /// The root at that size.
    pub root: Hash,
}

/// A check, in the order in which they are made. Its identifier never changes: scripts depend on it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Check {
    /// The receipt and all that is in it keeps the rules of its format.
    Format,
    /// The artifact is a subject of the statement.
    ArtifactDigest,
    /// The receipt's key signed the statement.
    Signature,
    /// The leaf is the one that the signer made of this envelope, for this log.
    Leaf,
    /// A log of the policy signed the checkpoint, and no pinned root contradicts it.
    LogSignature,
    /// The policy's quorum of witnesses cosigned the checkpoint.
    WitnessQuorum,
    /// The leaf is in the tree of the checkpoint.
    Inclusion,
    /// The signer is a wanted one, and the key is its own.
    Signer,
    /// The key was the signer's at that point of the log.
    SignerState,
    /// The source repository is the wanted one.
    SourceUri,
    /// The source ref is the wanted one.
    SourceRef,
    /// The builder is the wanted one.
    BuilderId,
    /// The predicate type is the wanted one.
    PredicateType,
    /// The artifact has the wanted name.
    SubjectName,
    /// The entry is young enough.
    MaxAge,
    /// The checkpoint is young enough.
    CheckpointFreshness,
    /// The checkpoint is large enough.
    MinCheckpoint,
}

impl Check {
    const ALWAYS: [Self; 9] = [
        Self::Format,
        Self::ArtifactDigest,
        Self::Signature,
        Self::Leaf,
        Self::LogSignature,
        Self::WitnessQuorum,
        Self::Inclusion,
        Self::Signer,
        Self::SignerState,
    ];

    /// The identifier, for people and programs.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::ArtifactDigest => "artifact-digest",
            Self::Signature => "signature",
            Self::Leaf => "leaf",
            Self::LogSignature => "log-signature",
            Self::WitnessQuorum => "witness-quorum",
            Self::Inclusion => "inclusion",
            Self::Signer => "signer",
            Self::SignerState => "signer-state",
            Self::SourceUri => "source-uri",
            Self::SourceRef => "source-ref",
            Self::BuilderId => "builder-id",
            Self::PredicateType => "predicate-type",
            Self::SubjectName => "subject-name",
            Self::MaxAge => "max-age",
            Self::CheckpointFreshness => "checkpoint-freshness",
            Self::MinCheckpoint => "min-checkpoint",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// What came of a check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It holds. Says what was found.
    Passed(String),
    /// It does not hold, or could not be checked: [`Fault::could_not_check`].
    NotPassed(Fault),
    /// An earlier check did not pass.
    NotChecked,
}

/// What came of all checks together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Every check passed.
    Verified,
    /// A check was made and does not hold.
    Failed,
    /// A check could not be made.
    CouldNotCheck,
}

/// What verifying a receipt found.
#[derive(Clone, Debug)]
pub struct Report {
    checks: Vec<(Check, Outcome)>,
    verified: Option<Verified>,
}

impl Report {
    /// Every check that the policy asks for, in order, with its outcome.
    pub fn checks(&self) -> &[(Check, Outcome)] {
        &self.checks
    }

    /// The check that did not pass, and why.
    pub fn fault(&self) -> Option<(Check, &Fault)> {
        self.checks.iter().find_map(|(check, outcome)| match outcome {
            Outcome::NotPassed(fault) => Some((*check, fault)),
            Outcome::Passed(_) | Outcome::NotChecked => None,
        })
    }

    /// What came of all checks together.
    pub fn verdict(&self) -> Verdict {
        match self.fault() {
            None => Verdict::Verified,
            Some((_, fault)) if fault.could_not_check() => Verdict::CouldNotCheck,
            Some(_) => Verdict::Failed,
        }
    }

    /// What may be believed now, if every check passed.
    pub fn verified(&self) -> Option<&Verified> {
        self.verified.as_ref()
    }
}

/// What a receipt proves once every check has passed. [`Receipt::verify`] is the only way to get one, so a
/// function that takes a `Verified` cannot be handed anything less.
///
/// The verdict is as of the receipt's checkpoint: what the log took later is not in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    did: Did,
    artifact: Hash,
    statement: Statement,
    checkpoint: Checkpoint,
    index: LeafIndex,
    logged_at: LogTime,
    cosigned: Vec<Cosigned>,
}

impl Verified {
    /// Who signed.
    pub fn did(&self) -> Did {
        self.did
    }

    /// The SHA-256 of the artifact that was asked about.
    pub fn artifact(&self) -> Hash {
        self.artifact
    }

    /// What was signed. What a provenance predicate says of its build is the signer's own word.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The tree that holds the entry.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The place of the entry.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// When the entry was logged, by the log's clock.
    pub fn logged_at(&self) -> LogTime {
        self.logged_at
    }

    /// The witnesses that count, with their times.
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }
}

/// Verifies the receipt in `bytes` for the artifact with this SHA-256: [`Receipt::verify`] with the check
/// of its format before.
pub fn verify(bytes: &[u8], policy: &VerifyPolicy, artifact: &Hash, now: Option<UnixTime>) -> Report {
    match Receipt::parse(bytes) {
        Ok(receipt) => receipt.verify(policy, artifact, now),
        Err(error) => Progress::new(policy).end(Err(Fault::Format(error))),
    }
}

impl Receipt {
    /// Verifies the receipt for the artifact with this SHA-256. Without clock and network: `now` is only
    /// needed where the policy limits an age.
    pub fn verify(&self, policy: &VerifyPolicy, artifact: &Hash, now: Option<UnixTime>) -> Report {
        let mut progress = Progress::new(policy);
        let result = self.check(policy, artifact, now, &mut progress);
        progress.end(result)
    }

    fn check(
        &self,
        policy: &VerifyPolicy,
        artifact: &Hash,
        now: Option<UnixTime>,
        progress: &mut Progress,
    ) -> Result<Verified, Fault> {
        progress.pass(Check::Format, MEDIA_TYPE);
        progress.pass(Check::ArtifactDigest, self.artifact_digest(artifact)?);
        progress.pass(Check::Signature, self.signature()?);
        let pending = self.pending_entry().ok_or(Fault::NotLogged)?;
        progress.pass(Check::Leaf, self.leaf(pending)?);
        let logged = self.log_answer().ok_or(Fault::NotLogged)?;
        let (checkpoint, log) = log_signature(logged, policy)?;
        progress.pass(Check::LogSignature, format!("{} of size {}", checkpoint.origin, checkpoint.size));
        let cosigned = policy.policy.quorum(&logged.proof.checkpoint).map_err(Fault::WitnessQuorum)?;
        progress.pass(Check::WitnessQuorum, names(&cosigned));
        let leaf = leaf_hash(&logged.entry.to_bytes());
        logged.proof.verify_inclusion(&leaf, &checkpoint).map_err(Fault::Inclusion)?;
        progress.pass(Check::Inclusion, format!("index {}", logged.proof.index));
        progress.pass(Check::Signer, self.signer(logged, &policy.signers)?);
        progress.pass(Check::SignerState, self.signer_state(logged, &checkpoint)?);
        let verified = Verified {
            did: self.did,
            artifact: *artifact,
            statement: self.statement.clone(),
            checkpoint,
            index: logged.proof.index,
            logged_at: logged.entry.logged_at(),
            cosigned,
        };
        for demand in policy.demands() {
            progress.pass(demand.check(), verified.meets(demand, log, now)?);
        }
        Ok(verified)
    }

    fn artifact_digest(&self, artifact: &Hash) -> Result<String, Fault> {
        match self.statement.subjects().iter().find(|subject| subject.sha256 == *artifact) {
            Some(subject) => Ok(subject.name.clone()),
            None => Err(Fault::ArtifactDigest(*artifact)),
        }
    }

    fn signature(&self) -> Result<String, Fault> {
        match self.envelope.verify(&self.public_key) {
            Ok(_) => Ok(crate::did::to_did_key(&self.public_key)),
            Err(_) => Err(Fault::Signature),
        }
    }

    /// Rebuilds the leaf from the envelope with the leaf's own time, signature, origin and visibility.
    fn leaf(&self, pending: &PendingEntry) -> Result<String, Fault> {
        let claim = pending.claim();
        if claim.did() != self.did {
            return Err(Fault::Leaf(DescribeError::Differs { member: "spec.aip.did" }));
        }
        // A leaf has one spelling, so that equal claims under the same time and signature are equal bytes.
        claim.check_describes(&self.envelope, &self.statement, &self.public_key)?;
        pending.verify_claim_signature(&self.public_key).map_err(DescribeError::from)?;
        let checkpoint = self.log_answer().map(Logged::checkpoint);
        if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.origin != claim.origin()) {
            let (leaf, checkpoint) = (claim.origin().to_owned(), checkpoint.origin.clone());
            return Err(Fault::LeafOrigin { leaf, checkpoint });
        }
        Ok(format!("claimed for {}", claim.origin()))
    }

    fn signer(&self, logged: &Logged, signers: &Signers) -> Result<String, Fault> {
        // Another key than the first needs events to say so.
        let genesis = logged.entry.claim().check_genesis_key(&self.public_key);
        if let (Err(error), true) = (genesis, logged.identity.is_empty()) {
            return Err(Fault::SignerKey(error));
        }
        match signers {
            Signers::OneOf(dids) if !dids.contains(&self.did) => Err(Fault::SignerNotWanted(self.did)),
            Signers::Any | Signers::OneOf(_) => Ok(self.did.to_string()),
        }
    }

    fn signer_state(&self, logged: &Logged, checkpoint: &Checkpoint) -> Result<String, Fault> {
        if logged.entry.claim().check_genesis_key(&self.public_key).is_err() {
            return Err(Fault::IdentityNotEvaluated);
        }
        let size = checkpoint.size;
        Ok(format!("identity not evaluated, genesis key assumed; state as of size {size}"))
    }
}

/// Believes the checkpoint, unless the verifier has seen another root of the same size.
fn log_signature<'p>(
    logged: &Logged,
    policy: &'p VerifyPolicy,
) -> Result<(Checkpoint, &'p VerifierKey), Fault> {
    let (checkpoint, log) =
        policy.policy.log_checkpoint(&logged.proof.checkpoint).map_err(Fault::LogSignature)?;
    let of_this_size = |pin: &&Pin| pin.log == log.vkey && pin.size == checkpoint.size;
    match policy.pins.iter().filter(of_this_size).find(|pin| pin.root != checkpoint.root) {
        None => Ok((checkpoint, &log.vkey)),
        Some(pin) => Err(Fault::PinnedRoot { size: checkpoint.size, pinned: pin.root, got: checkpoint.root }),
    }
}

fn names(cosigned: &[Cosigned]) -> String {
    let names: Vec<&str> = cosigned.iter().map(|cosigned| cosigned.witness.as_str()).collect();
    if names.is_empty() { "no witness asked for".to_owned() } else { names.join(", ") }
}

impl Verified {
    /// Whether a receipt that proves this, by the log with this key, meets a demand.
    fn meets(&self, demand: &Demand, log: &VerifierKey, now: Option<UnixTime>) -> Result<String, Fault> {
        let facts = BuildFacts::read(&self.statement);
        let check = demand.check();
        match demand {
            Demand::SourceUri(want) => {
                wanted(check, provenance::normal_source(want), facts.source_uri.as_deref())
            }
            Demand::SourceRef(want) => wanted(check, want, facts.source_ref.as_deref()),
            Demand::BuilderId(want) => wanted(check, want, facts.builder_id.as_deref()),
            Demand::PredicateType(want) => wanted(check, want, [self.statement.predicate_type()]),
            Demand::SubjectName(want) => {
                let subjects = self.statement.subjects().iter();
                let named = subjects.filter(|subject| subject.sha256 == self.artifact);
                wanted(check, want, named.map(|subject| subject.name.as_str()))
            }
            Demand::MaxAge(limit) => age(check, self.logged_at.as_millis(), *limit, now),
            Demand::CheckpointFreshness(limit) => {
                let newest = self.cosigned.iter().map(|cosigned| cosigned.time).max();
                let newest = newest.ok_or(Fault::NoCosignatureTime)?;
                age(check, newest.as_secs().saturating_mul(1000), *limit, now)
            }
            Demand::MinCheckpoint { log: other, .. } if other != log => {
                Ok(format!("none for {}", self.checkpoint.origin))
            }
            Demand::MinCheckpoint { size: want, .. } => match self.checkpoint.size {
                got if got < *want => Err(Fault::OldCheckpoint { got, want: *want }),
                got => Ok(format!("size {got}, at least {want}")),
            },
        }
    }
}

/// Passes if what is wanted is among what the statement says.
fn wanted<'s>(check: Check, want: &str, got: impl IntoIterator<Item = &'s str>) -> Result<String, Fault> {
    let got: Vec<String> = got.into_iter().map(str::to_owned).collect();
    if got.iter().any(|got| got == want) {
        return Ok(want.to_owned());
    }
    Err(Fault::Unwanted { check, got, want: want.to_owned() })
}

/// Passes if `time`, in milliseconds since the epoch, is at most `limit` before `now`.
fn age(check: Check, time: u64, limit: Duration, now: Option<UnixTime>) -> Result<String, Fault> {
    let now = now.ok_or(Fault::NoClock(check))?.as_secs().saturating_mul(1000);
    // A time ahead of the clock would stay young for ever.
    let ahead = Duration::from_millis(time.saturating_sub(now));
    if ahead > MAX_CLOCK_DIFFERENCE {
        return Err(Fault::AheadOfClock { check, ahead });
    }
    match Duration::from_millis(now.saturating_sub(time)) {
        age if age > limit => Err(Fault::TooOld { check, age, limit }),
        age => Ok(format!("{} s old, at most {} s", age.as_secs(), limit.as_secs())),
    }
}

/// Why a check did not pass.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A time lies further ahead of the verifier's clock than clocks differ.
    #[error("its time is {} s ahead of this clock", ahead.as_secs())]
    AheadOfClock {
        /// The check.
        check: Check,
        /// By how much.
        ahead: Duration,
    },
    /// No subject has the digest.
    #[error("no subject of the statement has the sha256 {0}")]
    ArtifactDigest(Hash),
    /// The receipt is malformed.
    #[error(transparent)]
    Format(#[from] ReceiptError),
    /// The key is not the DID's first, and this release reads no events.
    #[error(
        "identity not evaluated: the key is not the first key of the DID, and this release reads no events"
    )]
    IdentityNotEvaluated,
    /// The leaf is not in the tree.
    #[error(transparent)]
    Inclusion(ProofError),
    /// The leaf is not the signer's for this envelope.
    #[error(transparent)]
    Leaf(#[from] DescribeError),
    /// The leaf was claimed for another log.
    #[error("the leaf was claimed for `{leaf}`, the checkpoint is of `{checkpoint}`")]
    LeafOrigin {
        /// The origin in the leaf.
        leaf: String,
        /// The origin in the checkpoint.
        checkpoint: String,
    },
    /// No log of the policy vouches for the checkpoint.
    #[error(transparent)]
    LogSignature(PolicyError),
    /// An age was asked for, and no time given.
    #[error("`{0}` needs the present time")]
    NoClock(Check),
    /// No cosignature that counts: nothing says how old the checkpoint is.
    #[error("no cosignature that counts says when the checkpoint was seen")]
    NoCosignatureTime,
    /// Signed or pending.
    #[error("not logged")]
    NotLogged,
    /// The verifier has seen the log larger.
    #[error("the checkpoint has size {got}, less than {want}")]
    OldCheckpoint {
        /// The size of the checkpoint.
        got: TreeSize,
        /// The least size that is accepted.
        want: TreeSize,
    },
    /// The verifier has seen another root at this size.
    #[error("the log has forked: its root at size {size} is {got}, pinned is {pinned}")]
    PinnedRoot {
        /// The size of both trees.
        size: TreeSize,
        /// The root that was seen.
        pinned: Hash,
        /// The root in the receipt.
        got: Hash,
    },
    /// The key did not sign the statement.
    #[error("the signature is not by the receipt's key over this statement")]
    Signature,
    /// The key is not the DID's.
    #[error(transparent)]
    SignerKey(EntryError),
    /// Nobody asked for this signer.
    #[error("{0} is none of the wanted signers")]
    SignerNotWanted(Did),
    /// Older than the policy allows.
    #[error("it is {} s old, more than {} s", age.as_secs(), limit.as_secs())]
    TooOld {
        /// The check.
        check: Check,
        /// How old.
        age: Duration,
        /// How old at most.
        limit: Duration,
    },
    /// The statement says something else, or nothing.
    #[error("{want:?} is wanted, the statement says {}", if got.is_empty() { "nothing".to_owned() } else { format!("{got:?}") })]
    Unwanted {
        /// The check.
        check: Check,
        /// What the statement says.
        got: Vec<String>,
        /// What the policy wants.
        want: String,
    },
    /// Too few witnesses, or a bad line of a known one.
    #[error(transparent)]
    WitnessQuorum(PolicyError),
}

impl Fault {
    /// Whether nothing was found false: the check could not be made.
    pub fn could_not_check(&self) -> bool {
        matches!(
            self,
            Self::IdentityNotEvaluated | Self::NoClock(_) | Self::NoCosignatureTime | Self::NotLogged
        )
    }
}

/// The checks so far, in order; the rest has not been made.
struct Progress {
    checks: Vec<(Check, Outcome)>,
    passed: usize,
}

impl Progress {
    fn new(policy: &VerifyPolicy) -> Self {
        let demanded = policy.demands().into_iter().map(Demand::check);
        let checks = Check::ALWAYS.into_iter().chain(demanded);
        Self { checks: checks.map(|check| (check, Outcome::NotChecked)).collect(), passed: 0 }
    }

    fn pass(&mut self, check: Check, found: impl Into<String>) {
        let next = &mut self.checks[self.passed];
        assert_eq!(next.0, check, "checks are made in their order");
        next.1 = Outcome::Passed(found.into());
        self.passed += 1;
    }

    /// The report: a fault belongs to the first check that has not passed.
    fn end(mut self, result: Result<Verified, Fault>) -> Report {
        let verified = match result {
            Ok(verified) => {
                assert_eq!(self.passed, self.checks.len(), "what is verified has passed every check");
                Some(verified)
            }
            Err(fault) => {
                self.checks[self.passed].1 = Outcome::NotPassed(fault);
                None
            }
        };
        Report { checks: self.checks, verified }
    }
}

/// How far two honest clocks differ at most.
const MAX_CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);
