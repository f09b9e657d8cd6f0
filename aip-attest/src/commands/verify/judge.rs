//! One artifact at a time: its receipts, the policy for each, the verdict.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::receipt::{Demand, Pin, Receipt, Report, SignerState, Signers, Verdict, VerifyPolicy};
use attestation::{Did, manifest};
use tlog::Hash;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use super::demands::{Naming, OTHER_NAME, other_kind};
use super::found::{Found, FoundBy, Judged};
use super::later::{AsOf, Later};
use crate::artifact::{self, Artifact, Hashed};
use crate::bounded_file;
use crate::clock;
use crate::policy_file::pins::{Pin as PinnedLog, Pins};
use crate::policy_file::trust::Stated;
use crate::policy_file::{self, PolicyFile};
use crate::predicate;
use crate::receipt_file::{self, ByDigest, Listings, Named, Place, Shelf};
use crate::report::{Console, Exit, Failure, Result};
use crate::word::evidence::Claimed;

/// What is asked of every receipt, and where receipts and policies are.
pub(super) struct ReceiptJudge {
    /// One of these signers; anybody if there is no list.
    pub(super) wanted: Option<Vec<Did>>,
    pub(super) demands: Vec<Demand>,
    pub(super) naming: Naming,
    /// What the file is called that is judged now, where that is asked of its statement.
    pub(super) called: Option<String>,
    pub(super) policy_flag: Option<PathBuf>,
    pub(super) predicate_type: Option<String>,
    pub(super) receipt: Option<PathBuf>,
    pub(super) shelf: Shelf,
    pub(super) listings: Listings,
    /// The digests of all artifacts.
    pub(super) digests: BTreeSet<Hash>,
    /// What the folder of receipts names, once that was needed.
    pub(super) index: Option<Result<ByDigest>>,
    /// The signer's state, as of another day.
    pub(super) state: Later,
    pub(super) max_state_age: Option<Duration>,
    pub(super) pins: Pins,
    /// The policy that was named, once it was looked for.
    pub(super) policy: Option<Option<PolicyFile>>,
}

impl ReceiptJudge {
    pub(super) fn judge(&mut self, hashed: Hashed, console: &mut Console) -> Found {
        let Hashed { artifact, sha256 } = hashed;
        self.called = artifact.called().filter(|_| self.naming == Naming::Signed);
        let mut others = self.answers(&artifact, &sha256, console).unwrap_or_else(|failure| {
            let hint = artifact.path().and_then(artifact::exclude_hint);
            vec![Judged::none(None, hint.into_iter().fold(failure, Failure::hint_first))]
        });
        let best = self.best(&others);
        let answer = others.remove(best);
        Found { label: artifact.label(), sha256: Some(sha256), answer, others }
    }

    /// The position of the answer that counts: the yes; else the wanted signer's before another's, and what is logged
    /// before what is not.
    fn best(&self, answers: &[Judged]) -> usize {
        let is_wanted = |did: &Did| self.wanted.as_ref().is_none_or(|wanted| wanted.contains(did));
        let worth = |answer: &Judged| {
            let is_wanted = answer.claimed_did.as_ref().is_some_and(is_wanted);
            (answer.exit() == Exit::Yes, is_wanted, answer.is_logged)
        };
        // The first of those that are worth as much.
        (0..answers.len()).rev().max_by_key(|at| worth(&answers[*at])).expect("there is one at least")
    }

    /// What the receipts of an artifact say: the one that is named; else those at its place and beside it; else, in a
    /// folder of receipts, those that name its digest. Not there, or not readable, is exit 2; what is in it decides the
    /// rest.
    fn answers(&mut self, artifact: &Artifact, sha256: &Hash, console: &mut Console) -> Result<Vec<Judged>> {
        if let Some(path) = &self.receipt {
            let bytes = bounded_file::read_bounded(path, receipt_file::MAX_BYTES);
            let bytes = bytes.map_err(|error| cannot_read(path, error))?;
            let mut answer = self.answer(path.clone(), &bytes, sha256, console);
            // It is not asked what the file is called, so what it was signed as is said.
            answer.signed_as = artifact.called().and_then(|called| signed_otherwise(&bytes, sha256, &called));
            return Ok(vec![answer]);
        }
        let Some(path) = artifact.path() else {
            if self.shelf.folder().is_none() {
                return Err(Failure::new(format!(
                    "`{}` has no place to look for its receipt",
                    artifact.name
                ))
                .hint("--receipts DIR: it is looked for there by its digest")
                .hint("or name the receipt: --receipt FILE"));
            }
            return self.by_digest(None, sha256, console);
        };
        let places = self.shelf.candidates(path, &artifact.name, self.predicate_type.as_deref())?;
        let mut files: Vec<PathBuf> = places.iter().map(Place::path).collect();
        let mut answers = Vec::new();
        for place in &places {
            match place.beside(&mut self.listings) {
                Ok(beside) => files.extend(beside),
                Err(failure) => answers.push(Judged::none(None, failure)),
            }
        }
        answers.extend(self.judge_files(files, &artifact.label(), sha256, console));
        if !answers.is_empty() {
            return Ok(answers);
        }
        let answers = match self.shelf.folder() {
            Some(_) => self.by_digest(Some((path, &places[0])), sha256, console),
            None => Err(self.no_receipt(&places[0].path())),
        };
        answers.map_err(|failure| match self.of_another_kind(path, &artifact.name) {
            None => failure,
            Some((kind, file)) => {
                let failure = failure.because(format!("`{}` is of another kind, {kind}", file.display()));
                match self.naming.is_of_gate() {
                    true => failure.hint_first(other_kind(kind)),
                    false => failure.hint(format!("or ask for that kind: --predicate-type {kind}")),
                }
            }
        })
    }

    /// A receipt of the artifact that is of none of the kinds that were looked for, with the word for its kind.
    fn of_another_kind(&mut self, path: &Path, name: &str) -> Option<(&'static str, PathBuf)> {
        predicate::words().find_map(|(word, kind)| {
            let places = self.shelf.candidates(path, name, Some(kind)).ok()?;
            let place = places.first()?;
            let at_place = Some(place.path()).filter(|file| file.is_file());
            let file = at_place.or_else(|| place.beside(&mut self.listings).ok()?.into_iter().next())?;
            Some((word, file))
        })
    }

    /// The first hint is one that `gate` and the action can follow: they take no receipt by its own name.
    fn no_receipt(&self, path: &Path) -> Failure {
        let failure = Failure::new(format!("there is no receipt `{}`", path.display()));
        // Who gates must not sign what somebody put there.
        let made = if self.naming.is_of_gate() { FETCHED } else { MADE };
        let failure = match self.shelf.folder() {
            None => failure.hint(format!("{made}; --receipts DIR names the folder where it is")),
            Some(folder) if !folder.exists() => {
                failure.because(format!("there is no folder `{}`", folder.display())).hint(made)
            }
            Some(_) => failure.hint(made),
        };
        let manifest = path.with_file_name(manifest::FILE_NAME);
        let failure = match manifest.is_file() {
            true => failure.hint(format!(
                "`{}` is a manifest of Python aip, which no log has: `aip-attest verify --aip-manifest` verifies it",
                manifest.display()
            )),
            false => failure,
        };
        failure.hint("or name the receipt: --receipt FILE")
    }

    /// Judges receipts that name the digest, up to the first that verifies; if none does, one that names others. Those
    /// that are not there are passed over.
    fn judge_files(
        &mut self,
        files: Vec<PathBuf>,
        label: &str,
        sha256: &Hash,
        console: &mut Console,
    ) -> Vec<Judged> {
        let (mut answers, mut of_other_bytes) = (Vec::new(), None);
        for path in files {
            let bytes = match bounded_file::read_found(&path, receipt_file::MAX_BYTES) {
                Ok(bytes) => bytes,
                Err(error) if is_nowhere(&error) => continue,
                Err(error) => {
                    let failure = cannot_read(&path, error);
                    answers.push(Judged::none(Some(path), failure));
                    continue;
                }
            };
            let names = |receipt: Receipt| {
                receipt.statement().subjects().iter().any(|subject| subject.sha256 == *sha256)
            };
            if !Receipt::parse(&bytes).map_or(true, names) {
                // One of another build, say: it can only be false, and is not counted.
                of_other_bytes.get_or_insert((path, bytes));
                continue;
            }
            if answers.len() == MAX_JUDGED {
                let failure = Failure::new(format!(
                    "`{label}` has more than {MAX_JUDGED} receipts, and none of so many verifies"
                ));
                let failure = failure
                    .hint("move away those that do not count")
                    .hint("or name the one that counts: --receipt FILE");
                answers.push(Judged::none(None, failure));
                break;
            }
            let answer = self.answer(path, &bytes, sha256, console);
            let is_yes = answer.exit() == Exit::Yes;
            answers.push(answer);
            if is_yes {
                break;
            }
        }
        if let (true, Some((path, bytes))) = (answers.is_empty(), of_other_bytes) {
            answers.push(self.answer(path, &bytes, sha256, console));
        }
        answers
    }

    /// What the receipts say that name the digest, if they name it as the file is called. What has no file is called as
    /// they call it.
    fn by_digest(
        &mut self,
        file: Option<(&Path, &Place)>,
        sha256: &Hash,
        console: &mut Console,
    ) -> Result<Vec<Judged>> {
        let is_any = self.naming == Naming::Any;
        let names: Vec<Named> = self.index()?.names(sha256).to_vec();
        let (counting, others): (Vec<Named>, Vec<Named>) = names
            .into_iter()
            .partition(|named| is_any || file.is_none_or(|(path, _)| artifact::is_named(&named.name, path)));
        if counting.is_empty() {
            if let (Some((path, _)), true) = (file, others.is_empty()) {
                let answers = self.altered(path, sha256, console)?;
                if !answers.is_empty() {
                    return Ok(answers);
                }
            }
            let failure = match file {
                // What these bytes were signed as tells what to do.
                Some((_, place)) if !others.is_empty() => {
                    Failure::new(format!("there is no receipt `{}`", place.path().display()))
                }
                Some((_, place)) => self.no_receipt(&place.path()),
                None => Failure::new(format!("no receipt names sha256:{sha256}")),
            };
            return Err(match others.first() {
                None => failure,
                Some(Named { path, name }) => {
                    let failure = failure.because(format!("`{}` names these bytes `{name}`", path.display()));
                    match self.naming.is_of_gate() {
                        true => failure.hint_first(OTHER_NAME),
                        false => failure
                            .hint_first("or say that this receipt counts for it: --receipt FILE")
                            .hint_first(format!("call it as it was signed, `{name}`")),
                    }
                }
            });
        }
        let files: BTreeSet<PathBuf> = counting.iter().map(|named| named.path.clone()).collect();
        let label = file.map_or(format!("sha256:{sha256}"), |(path, _)| path.to_string_lossy().into_owned());
        let mut answers = self.judge_files(files.into_iter().collect(), &label, sha256, console);
        for answer in &mut answers {
            let named = counting.iter().find(|named| Some(&named.path) == answer.receipt.as_ref());
            answer.signed_as = named.map(|named| named.name.clone());
            answer.found_by = FoundBy::Digest;
        }
        Ok(answers)
    }

    /// What the receipts say that call other bytes as this file is called: it was altered, which is false and no want of a
    /// receipt.
    fn altered(&mut self, path: &Path, sha256: &Hash, console: &mut Console) -> Result<Vec<Judged>> {
        let files = self.index()?.of_other_bytes(path);
        let mut answers = self.judge_files(files, &path.to_string_lossy(), sha256, console);
        answers.iter_mut().for_each(|answer| answer.found_by = FoundBy::Name);
        Ok(answers)
    }

    /// The receipts of the folder by what they name, read once.
    fn index(&mut self) -> Result<&ByDigest> {
        let (shelf, digests) = (&self.shelf, &self.digests);
        let kind = self.predicate_type.as_deref().unwrap_or(predicate::PROVENANCE);
        let index = self.index.get_or_insert_with(|| match shelf.folder() {
            Some(folder) => ByDigest::read(folder, digests, kind),
            None => Ok(ByDigest::default()),
        });
        index.as_ref().map_err(Failure::clone)
    }

    fn answer(&mut self, path: PathBuf, bytes: &[u8], sha256: &Hash, console: &mut Console) -> Judged {
        let mut answer = Judged::none(Some(path), Failure::new("nothing was looked at"));
        answer.verdict = self.verdict(bytes, sha256, &mut answer, console);
        answer
    }

    fn verdict(
        &mut self,
        bytes: &[u8],
        sha256: &Hash,
        answer: &mut Judged,
        console: &mut Console,
    ) -> Result<Report> {
        let receipt = match Receipt::parse(bytes) {
            Ok(receipt) => receipt,
            // No policy is needed to tell that this is no receipt.
            Err(_) => return Ok(attestation::receipt::verify(bytes, &self.demand(&nobody()), sha256, None)),
        };
        answer.claimed_did = Some(receipt.did());
        answer.payload = receipt.envelope().unverified_payload().to_vec();
        let Some(logged) = receipt.log_answer() else {
            // Nor that it is not logged.
            return Ok(receipt.verify(&self.demand(&nobody()), sha256, None));
        };
        answer.is_logged = true;
        let origin = logged.checkpoint().origin.clone();
        let policy = self.policy_for(&origin, console)?;
        answer.policy = Some(policy.source.clone());
        let mut demand = self.demand(&policy.policy);
        demand.pins = self.pins.roots();
        demand.demands.extend(stricter(&self.demands, policy.trust.demands(&policy.policy)));
        let log = policy.policy.log_checkpoint(&logged.proof.checkpoint).ok().map(|(_, log)| &log.vkey);
        let size = logged.checkpoint().size;
        let (mut kept_in, mut unbelieved) = (None, None);
        let state = match self.later_state(receipt.did(), log, &policy.policy, console) {
            Ok(None) => {
                unbelieved = self.max_state_age.map(|_| no_young_state(receipt.did()));
                None
            }
            Ok(Some((state, None))) => Some(state),
            Ok(Some((state, Some(file)))) => {
                let (log, size_then, root) =
                    (state.log.clone(), state.checkpoint.size, state.checkpoint.root);
                demand.pins.push(Pin { log, size: size_then, root });
                // An older one says nothing that the receipt does not say.
                if size_then < size && self.max_state_age.is_some() {
                    unbelieved = Some(no_young_state(receipt.did()).because(format!(
                        "`{}` is as of size {size_then}, and the receipt as of size {size}",
                        file.display()
                    )));
                }
                (size_then >= size).then(|| {
                    kept_in = Some(file);
                    state
                })
            }
            Err(failure) if !matches!(self.state, Later::Kept(_)) => return Err(failure),
            Err(failure) => {
                unbelieved = Some(failure);
                None
            }
        };
        answer.as_of = Some(AsOf::new(&origin, size, state.as_ref(), kept_in, log, &self.pins));
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
        let report = receipt.verify(&demand, sha256, now);
        answer.quorum = policy.policy.members_met(report.cosigned());
        match unbelieved {
            // What is false stays so, whatever is kept.
            Some(failure) if report.verdict() == Verdict::Verified => Err(failure),
            _ => Ok(report),
        }
    }

    /// The state of another day, and the file if it is a kept one.
    fn later_state(
        &mut self,
        did: Did,
        log: Option<&VerifierKey>,
        policy: &Policy,
        console: &mut Console,
    ) -> Result<Option<(SignerState, Option<PathBuf>)>> {
        if let Later::File(path) = &self.state {
            self.state = Later::Read(Claimed::read(path));
        }
        match &mut self.state {
            Later::File(_) => unreachable!("it was read above"),
            Later::Known(state) => Ok(Some((SignerState::clone(state), None))),
            Later::Read(claimed) => {
                let claimed = claimed.clone()?;
                self.state_of(&claimed, did, console).map(|state| Some((state, None)))
            }
            Later::Kept(states) => {
                let Some(log) = log else { return Ok(None) };
                let kept = states.of(log, did, policy, &self.pins)?;
                Ok(kept.map(|kept| (kept.state, Some(kept.file))))
            }
        }
    }

    /// What is known here of a DID, whatever log it is of: the state that is named, else those that are kept for pinned logs.
    pub(super) fn states_of(&mut self, did: Did, console: &mut Console) -> Result<Vec<SignerState>> {
        let Later::Kept(kept) = &mut self.state else {
            let named = self.later_state(did, None, &nobody(), console)?;
            return Ok(named.into_iter().map(|(state, _)| state).collect());
        };
        let of_pin = |pin: &PinnedLog| kept.of(&pin.vkey, did, &pin.policy, &self.pins);
        let states = self.pins.iter().map(of_pin).collect::<Result<Vec<_>>>()?;
        Ok(states.into_iter().flatten().map(|kept| kept.state).collect())
    }

    fn demand<'p>(&self, policy: &'p Policy) -> VerifyPolicy<'p> {
        let signers = self.wanted.clone().map_or(Signers::Any, Signers::OneOf);
        let mut demands = self.demands.clone();
        demands.extend(self.called.clone().map(Demand::FileName));
        VerifyPolicy { demands, ..VerifyPolicy::new(policy, signers) }
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
                let settings = named.iter().flat_map(|policy| policy.trust.stated());
                for Stated { name, value, from } in
                    settings.filter(|stated| !stated.name.starts_with("trust."))
                {
                    console.note(format!("setting {name} {value}: {from}"));
                }
                self.policy.insert(named).clone()
            }
        };
        match named {
            Some(named) => Ok(named),
            None => policy_file::pinned(&self.pins, origin),
        }
    }
}

/// What a receipt calls these bytes, if it does not call them as the file is called.
fn signed_otherwise(receipt: &[u8], sha256: &Hash, called: &str) -> Option<String> {
    let receipt = Receipt::parse(receipt).ok()?;
    let subjects = receipt.statement().subjects().iter();
    let names: Vec<&str> =
        subjects.filter(|subject| subject.sha256 == *sha256).map(|subject| subject.name.as_str()).collect();
    let is_otherwise = !names.iter().any(|name| attestation::receipt::is_named(name, called));
    names.first().filter(|_| is_otherwise).map(|name| (*name).to_owned())
}

/// What the settings demand beyond the flags: of two limits of one kind the flag's counts only if it is the
/// stricter, so both are checked by checking the smaller.
pub(super) fn stricter(flags: &[Demand], settings: Vec<Demand>) -> Vec<Demand> {
    let covered = |setting: &Demand| match setting {
        Demand::MaxAge(limit) => flags.iter().any(|flag| matches!(flag, Demand::MaxAge(age) if age <= limit)),
        _ => false,
    };
    settings.into_iter().filter(|setting| !covered(setting)).collect()
}

/// Whether nothing lies at a path, and where a part of it is a file or too long, nothing can.
fn is_nowhere(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

fn cannot_read(path: &Path, error: io::Error) -> Failure {
    let failure = Failure::new(format!("cannot read the receipt `{}`", path.display()));
    match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(format!("there is no receipt `{}`", path.display())).hint(MADE)
        }
        _ => failure.caused_by(error),
    }
}

/// For who asks how old the state is.
fn no_young_state(did: Did) -> Failure {
    Failure::new(format!(
        "no state of {did} is kept that is newer than the receipt, and --max-state-age asks for one"
    ))
    .hint(format!("`aip-attest log sync --did {did}` keeps the state of today, --state FILE names another"))
}

/// Where a receipt comes from.
const MADE: &str = "`aip-attest sign` writes it, `aip-attest fetch` gets it from the log";

const FETCHED: &str = "`aip-attest fetch` gets it from the log if the pipeline signed it; if not, find out who put the file there";

/// How many receipts beside an artifact are judged. Anybody can put more there.
const MAX_JUDGED: usize = 64;

/// A policy that believes no log.
fn nobody() -> Policy {
    "quorum none\n".parse().expect("a policy")
}
