//! The checks of a receipt, in their fixed order. The first that does not pass ends them.

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::leaf_hash;
use tlog::policy::{Cosigned, Policy};
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

use super::report::Progress;
use super::{Check, Demand, Facts, Fault, History, Logged, MEDIA_TYPE, Receipt, Report, in_order};
use crate::did::Did;
use crate::entry::{DescribeError, LogTime, PendingEntry};
use crate::event::RawKey;
use crate::identity::{Identity, Status, check_artifact_signer};
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
        in_order(&self.demands)
    }

    fn progress(&self) -> Progress {
        Progress::new(Check::ALWAYS.into_iter(), &self.demands())
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
    history: History,
    key: RawKey,
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

    /// The signer's state as of the checkpoint; `None` if the receipt has no identity event: the genesis key
    /// was assumed.
    pub fn signer_state(&self) -> Option<&Identity> {
        self.history.state()
    }
}

/// Verifies the receipt in `bytes` for the artifact with this SHA-256: [`Receipt::verify`] with the check
/// of its format before.
pub fn verify(bytes: &[u8], policy: &VerifyPolicy, artifact: &Hash, now: Option<UnixTime>) -> Report {
    match Receipt::parse(bytes) {
        Ok(receipt) => receipt.verify(policy, artifact, now),
        Err(error) => policy.progress().end(Err(Fault::Format(error))),
    }
}

impl Receipt {
    /// Verifies the receipt for the artifact with this SHA-256. Without clock and network: `now` is only
    /// needed where the policy limits an age.
    pub fn verify(&self, policy: &VerifyPolicy, artifact: &Hash, now: Option<UnixTime>) -> Report {
        let mut progress = policy.progress();
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
        progress.pass_quorum(names(&cosigned), &cosigned);
        let leaf = leaf_hash(&logged.entry.to_bytes());
        logged.proof.verify_inclusion(&leaf, &checkpoint).map_err(Fault::Inclusion)?;
        progress.pass(Check::Inclusion, format!("index {}", logged.proof.index));
        progress.pass(Check::Signer, self.signer(logged, &policy.signers)?);
        let history = History::verify(self.did, &logged.identity, &checkpoint)?;
        progress.pass(Check::SignerState, self.signer_state(logged, &history, checkpoint.size)?);
        let verified = Verified {
            did: self.did,
            artifact: *artifact,
            statement: self.statement.clone(),
            checkpoint,
            index: logged.proof.index,
            logged_at: logged.entry.logged_at(),
            cosigned,
            history,
            key: *self.public_key.as_bytes(),
        };
        let facts = Facts {
            statement: Some(&verified.statement),
            artifact,
            checkpoint: &verified.checkpoint,
            index: verified.index,
            logged_at: Some(verified.logged_at),
            quorum_time: policy.policy.quorum_time(&verified.cosigned),
            log: Some(log),
            signer: Some((verified.did, &verified.key)),
        };
        for demand in policy.demands() {
            progress.pass(demand.check(), facts.meet(demand, now)?);
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

    /// The key must have been the signer's for an entry at this index, and what came until the checkpoint
    /// must not have made the entry void.
    fn signer_state(&self, logged: &Logged, history: &History, size: TreeSize) -> Result<String, Fault> {
        let index = logged.proof.index;
        let met = history.state_at(index);
        check_artifact_signer(met.as_ref(), self.did, logged.entry.claim().verifier())
            .map_err(|error| Fault::SignerState { index, error })?;
        let Some(state) = history.state() else {
            return Ok(format!("no identity events, genesis key assumed; state as of size {size}"));
        };
        if let Some(window) = state.windows().iter().find(|window| window.covers(index)) {
            return Err(Fault::Void { index, window: *window });
        }
        let since = history.events().last().map_or(index, |(index, _)| *index);
        let status = match state.status() {
            Status::Active => "active".to_owned(),
            Status::Compromised => format!("compromised by the report at index {since}"),
            Status::Deactivated => format!("deactivated at index {since}"),
        };
        let key = if met.is_some() { "current key" } else { "genesis key" };
        Ok(format!("{key} at index {index}; {status}; state as of size {size}"))
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
