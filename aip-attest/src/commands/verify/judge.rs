//! One artifact at a time: its receipt, the policy for it, the verdict.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::Did;
use attestation::receipt::{Demand, Receipt, Report, SignerState, Signers, Verdict, VerifyPolicy};
use tlog::Hash;
use tlog::policy::Policy;

use crate::artifact::{self, Hashed};
use crate::clock;
use crate::evidence::Claimed;
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicyFile, Source};
use crate::receipt_file::{self, Shelf};
use crate::report::{Console, Exit, Failure, Result};

/// What is asked of every receipt, and where receipts and policies are.
pub(super) struct Judge {
    /// One of these signers; anybody if there is no list.
    pub(super) wanted: Option<Vec<Did>>,
    pub(super) demands: Vec<Demand>,
    pub(super) policy_flag: Option<PathBuf>,
    pub(super) predicate_type: Option<String>,
    pub(super) receipt: Option<PathBuf>,
    pub(super) shelf: Shelf,
    /// The signer's state, as of another day.
    pub(super) state: Option<Later>,
    pub(super) max_state_age: Option<Duration>,
    pub(super) pins: Pins,
    /// The policy that was named, once it was looked for.
    pub(super) policy: Option<Option<PolicyFile>>,
}

/// Where a state of the signer comes from.
pub(in super::super) enum Later {
    /// A file that `state export` wrote, to be read for the first receipt that needs it.
    File(PathBuf),
    /// What came of reading it.
    Read(Result<Claimed>),
    /// Somebody got it already.
    Known(Box<SignerState>),
}

/// What was found out about an artifact.
pub(in super::super) struct Found {
    pub(super) label: String,
    pub(super) sha256: Option<Hash>,
    pub(super) receipt: Option<PathBuf>,
    /// The policy that judged.
    pub(super) policy: Option<Source>,
    /// The verdict, or why there is none.
    pub(super) verdict: Result<Report>,
    /// The signer, so that it can be named before anything is believed.
    pub(super) claimed_did: Option<Did>,
    /// The bytes that it signed, believed once they are verified.
    pub(super) payload: Vec<u8>,
}

impl Found {
    /// What there is to say of an argument that names nothing.
    pub(super) fn missing(label: String, failure: Failure) -> Self {
        let (sha256, receipt, policy, claimed_did) = (None, None, None, None);
        Self { label, sha256, receipt, policy, verdict: Err(failure), claimed_did, payload: Vec::new() }
    }

    /// The artifact's name.
    pub(in super::super) fn label(&self) -> &str {
        &self.label
    }

    /// Its SHA-256.
    pub(in super::super) fn sha256(&self) -> Option<Hash> {
        self.sha256
    }

    /// The verdict in a word, the same for people and programs.
    pub(in super::super) fn word(&self) -> &'static str {
        match self.exit() {
            Exit::Yes => "verified",
            Exit::False => "failed",
            Exit::Unable => "could-not-check",
        }
    }

    /// Why it is not verified.
    pub(in super::super) fn why(&self) -> Option<String> {
        match &self.verdict {
            Err(failure) => Some(failure.one_line()),
            Ok(report) => report.fault().map(|(check, fault)| format!("{check}: {fault}")),
        }
    }

    /// What to do about that.
    pub(in super::super) fn hint(&self) -> Option<String> {
        self.verdict.as_ref().err().and_then(Failure::first_hint)
    }

    pub(in super::super) fn exit(&self) -> Exit {
        match self.verdict.as_ref().map(Report::verdict) {
            Ok(Verdict::Verified) => Exit::Yes,
            Ok(Verdict::Failed) => Exit::False,
            Ok(Verdict::CouldNotCheck) => Exit::Unable,
            Err(failure) => failure.exit(),
        }
    }
}

impl Judge {
    pub(super) fn judge(&mut self, hashed: Hashed, console: &mut Console) -> Found {
        let Hashed { artifact, sha256 } = hashed;
        let mut found = Found {
            label: artifact.label(),
            sha256: Some(sha256),
            receipt: None,
            policy: None,
            verdict: Err(Failure::new("nothing was looked at")),
            claimed_did: None,
            payload: Vec::new(),
        };
        let verdict = self.find_receipt(artifact.path()).and_then(|(path, bytes)| {
            found.receipt = Some(path);
            self.verdict(&bytes, &sha256, &mut found, console)
        });
        found.verdict = verdict.map_err(|failure| match artifact.path().and_then(artifact::exclude_hint) {
            Some(hint) => failure.hint_first(hint),
            None => failure,
        });
        found
    }

    /// The receipt's path and bytes. Not there, or not readable, is exit 2; what is in it decides the rest.
    fn find_receipt(&self, artifact: Option<&Path>) -> Result<(PathBuf, Vec<u8>)> {
        type Read = fn(&Path, u64) -> io::Result<Vec<u8>>;
        let (candidates, read): (_, Read) = match (&self.receipt, artifact) {
            (Some(receipt), _) => (vec![receipt.clone()], receipt_file::read_bounded),
            (None, Some(artifact)) => {
                let candidates = self.shelf.candidates(artifact, self.predicate_type.as_deref())?;
                (candidates, receipt_file::read_found)
            }
            (None, None) => {
                return Err(
                    Failure::new("a digest has no place to look for its receipt").hint("use --receipt FILE")
                );
            }
        };
        for path in &candidates {
            match read(path, receipt_file::MAX_BYTES) {
                Ok(bytes) => return Ok((path.clone(), bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Failure::new(format!("cannot read the receipt `{}`", path.display()))
                        .caused_by(error));
                }
            }
        }
        Err(Failure::new(format!("there is no receipt `{}`", candidates[0].display())).hint(
            "`aip-attest sign` writes it, `aip-attest fetch` gets it from the log; or use --receipt FILE",
        ))
    }

    fn verdict(
        &mut self,
        bytes: &[u8],
        sha256: &Hash,
        found: &mut Found,
        console: &mut Console,
    ) -> Result<Report> {
        let receipt = match Receipt::parse(bytes) {
            Ok(receipt) => receipt,
            // No policy is needed to tell that this is no receipt.
            Err(_) => return Ok(attestation::receipt::verify(bytes, &self.demand(&nobody()), sha256, None)),
        };
        found.claimed_did = Some(receipt.did());
        found.payload = receipt.envelope().unverified_payload().to_vec();
        let Some(logged) = receipt.log_answer() else {
            // Nor that it is not logged.
            return Ok(receipt.verify(&self.demand(&nobody()), sha256, None));
        };
        let origin = logged.checkpoint().origin.clone();
        let policy = self.policy_for(&origin, console)?;
        found.policy = Some(policy.source.clone());
        let mut demand = self.demand(&policy.policy);
        demand.pins = self.pins.roots();
        demand.demands.extend(stricter(&self.demands, policy.trust.demands(&policy.policy)));
        if let Some(Later::File(path)) = &self.state {
            self.state = Some(Later::Read(Claimed::read(path)));
        }
        let state = match &self.state {
            None | Some(Later::File(_)) => None,
            Some(Later::Known(state)) => Some(SignerState::clone(state)),
            Some(Later::Read(claimed)) => Some(self.state_of(&claimed.clone()?, receipt.did(), console)?),
        };
        if let Some(state) = state {
            demand.demands.push(Demand::State { state: Box::new(state), max_age: self.max_state_age });
        }
        let ages = |demand: &Demand| {
            matches!(
                demand,
                Demand::MaxAge(_) | Demand::CheckpointFreshness(_) | Demand::State { max_age: Some(_), .. }
            )
        };
        let now = demand.demands.iter().any(ages).then(clock::now);
        Ok(receipt.verify(&demand, sha256, now))
    }

    fn demand<'p>(&self, policy: &'p Policy) -> VerifyPolicy<'p> {
        let signers = self.wanted.clone().map_or(Signers::Any, Signers::OneOf);
        VerifyPolicy { demands: self.demands.clone(), ..VerifyPolicy::new(policy, signers) }
    }

    /// The state in the file, which may be another log's: judged by the policy for that one.
    fn state_of(&mut self, claimed: &Claimed, did: Did, console: &mut Console) -> Result<SignerState> {
        let origin = claimed.origin();
        let policy = self.policy_for(origin, console)?;
        let proven = claimed.verify(&policy.policy, &self.pins)?;
        policy.trust.refuse_small(origin, proven.checkpoint().size)?;
        let cannot = || Failure::new(format!("{claimed} does not show the state of {did}"));
        SignerState::of(&proven, did).map_err(|error| cannot().caused_by(error))
    }

    /// The named policy, else the pinned one for the receipt's log. The named one is read once.
    fn policy_for(&mut self, origin: &str, console: &mut Console) -> Result<PolicyFile> {
        let named = match &self.policy {
            Some(named) => named.clone(),
            None => {
                let named = policy_file::named(self.policy_flag.as_deref(), &self.pins, console)?;
                self.policy.insert(named).clone()
            }
        };
        match named {
            Some(named) => Ok(named),
            None => policy_file::pinned(&self.pins, origin),
        }
    }
}

/// What the settings demand beyond the flags: of two limits of one kind the flag's counts only if it is the
/// stricter, so both are checked by checking the smaller.
fn stricter(flags: &[Demand], settings: Vec<Demand>) -> Vec<Demand> {
    let covered = |setting: &Demand| match setting {
        Demand::MaxAge(limit) => flags.iter().any(|flag| matches!(flag, Demand::MaxAge(age) if age <= limit)),
        _ => false,
    };
    settings.into_iter().filter(|setting| !covered(setting)).collect()
}

/// A policy that believes no log.
fn nobody() -> Policy {
    "quorum none\n".parse().expect("a policy")
}
