//! How a score comes about here: whose roots, which settings, from which entries.
//!
//! Roots, the first of these that names any: `--root`, `AIP_TRUST_ROOTS`, `[trust.roots]` in the policy's
//! `trust.toml`, else one's own DID. Entries: evidence from the log, evidence in a file, or the whole log.

use std::fmt::{self, Display};

use attestation::Did;
use attestation::api::{EvidenceQuery, TrustQuery};
use attestation::entry::{Entry, LogTime};
use attestation::event::{Body, PendingEvent, Scope};
use attestation::evidence::{Evidence, Proven};
use attestation::leaf::{self, Leaf};
use attestation::receipt::SignerState;
use tlog::checkpoint::Checkpoint;
use tlog::key::{AdmittedKeys, VerifierKey};
use tlog::policy::Policy;
use tlog::proof::TlogProof;
use tlog::{LeafIndex, UnixTime};
use trust::picture::{DrawnFrom, Picture};
use trust::{self, Graph, JudgeError, MemoryLedger, Params, ParamsError, Ppm, ScopeQuery, Verdict};

use crate::contact::Inquiry;
use crate::environment;
use crate::keyfile;
use crate::policy_file::pins::Pins;
use crate::policy_file::trust::{Root, Scoring};
use crate::report::{Console, Failure, Result, counted};
use crate::word::asserted::Asserted;
use crate::word::current::{self, Shown};
use crate::word::evidence::Claimed;
use crate::word::fresh_evidence;
use crate::word::whole_log;

pub(crate) mod age;

use age::Way;

/// Where the roots come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RootSource {
    /// `--root`.
    Flag,
    /// `AIP_TRUST_ROOTS`.
    Environment,
    /// `trust.toml` beside the policy.
    Settings,
    /// One's own DID: nothing else names any.
    OwnDid,
}

impl Display for RootSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--root",
            Self::Environment => "AIP_TRUST_ROOTS",
            Self::Settings => "trust.toml",
            Self::OwnDid => "your own DID",
        })
    }
}

/// What the flags of a command say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    /// `--root`.
    pub roots: Vec<Root>,
    /// `--threshold`.
    pub threshold: Option<Ppm>,
    /// `--scope`.
    pub scope: Option<ScopeQuery>,
    /// `--min-paths`.
    pub min_paths: Option<u8>,
    /// Whether nobody is trusted but whom the workflow names: what lies in `~/.aip` on a runner may be of another
    /// job.
    pub in_workflow: bool,
}

/// Refuses to look for more paths than there are roots: those that share nothing share no root (`specs/trust.md`).
pub(crate) fn refuse_too_few_roots(params: &Params, source: RootSource) -> Result<()> {
    let (paths, roots) = (usize::from(params.min_paths()), params.roots().count());
    if paths <= roots {
        return Ok(());
    }
    let roots = counted(roots, "root");
    Err(Failure::new(format!("{paths} paths that share nothing are asked for, and there is but {roots}"))
        .because(format!("each begins at another root; the roots are from {source}"))
        .hint("name more roots, or ask for fewer paths: --min-paths, `min-paths` in trust.toml"))
}

/// The parameters, and where their roots come from. Flags beat the settings.
pub(crate) fn params(
    flags: &Flags,
    settings: &Scoring,
    console: &mut Console,
) -> Result<(Params, RootSource)> {
    let (roots, source) = roots(flags, settings, console)?;
    let params = build(&roots, flags, settings).map_err(|error| {
        Failure::new("this cannot be asked").caused_by(error).hint(format!("the roots are from {source}"))
    })?;
    Ok((params, source))
}

fn build(roots: &[Root], flags: &Flags, settings: &Scoring) -> Result<Params, ParamsError> {
    let mut params = Params::new(roots.iter().map(|root| (root.did, root.weight)))?;
    let scope = flags.scope.or(settings.scope).unwrap_or(ScopeQuery::Only(Scope::CodeSigning));
    params = params.with_scope(scope);
    if let Some(threshold) = flags.threshold.or(settings.threshold) {
        params = params.with_threshold(threshold);
    }
    if let Some(floor) = settings.newcomer {
        params = params.with_floor(floor);
    }
    if let Some(decay) = settings.decay {
        params = params.with_decay(decay)?;
    }
    if let Some(hops) = settings.max_hops {
        params = params.with_max_hops(hops)?;
    }
    if let Some(paths) = flags.min_paths.or(settings.min_paths) {
        params = params.with_min_paths(paths)?;
    }
    Ok(params)
}

/// The names in a list of roots: with commas between them, or white space.
pub(crate) fn root_names(text: &str) -> Vec<&str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|name| !name.is_empty()).collect()
}

fn roots(flags: &Flags, settings: &Scoring, console: &mut Console) -> Result<(Vec<Root>, RootSource)> {
    if !flags.roots.is_empty() {
        return Ok((flags.roots.clone(), RootSource::Flag));
    }
    if let Some(text) = environment::var("AIP_TRUST_ROOTS")? {
        let roots: Result<Vec<Root>, String> = root_names(&text).into_iter().map(str::parse).collect();
        let roots =
            roots.map_err(|why| Failure::new("AIP_TRUST_ROOTS is not a list of DIDs").because(why))?;
        if roots.is_empty() {
            return Err(Failure::new("no trust root is named: AIP_TRUST_ROOTS is set, and has no DID")
                .hint("unset it, or name DIDs in it, with commas between them"));
        }
        return Ok((roots, RootSource::Environment));
    }
    if !settings.roots.is_empty() {
        return Ok((settings.roots.clone(), RootSource::Settings));
    }
    let own = if flags.in_workflow { keyfile::did_of_environment()? } else { keyfile::own_did(console)? };
    match own {
        Some(did) => Ok((vec![Root { did, weight: Params::FULL_ROOT }], RootSource::OwnDid)),
        None => Err(Failure::new("no trust root is named: nobody is trusted").hint(
            "name the DIDs you trust yourself with --root, AIP_TRUST_ROOTS or `[trust.roots]` in trust.toml",
        )),
    }
}

/// What a judgement is made from.
pub(crate) struct Basis {
    ledger: Entries,
    /// The tree.
    pub checkpoint: Checkpoint,
    /// The latest time that the quorum attests; `None` without witnesses.
    pub attested: Option<UnixTime>,
    /// How it came here.
    pub way: Way,
    /// The latest time of an entry that was seen, by the log's clock.
    pub newest: Option<LogTime>,
    /// The evidence, to be kept; none of the whole log.
    pub evidence: Option<Evidence>,
}

enum Entries {
    Evidence(Box<Proven>),
    WholeLog(Box<WholeLog>),
}

/// A log that was read here.
struct WholeLog {
    ledger: MemoryLedger,
    log: VerifierKey,
    /// The identity events of the one who is asked about.
    events: Vec<(LeafIndex, PendingEvent)>,
}

impl Basis {
    /// What a file holds.
    pub(crate) fn of_file(claimed: Claimed, policy: &Policy, pins: &Pins) -> Result<Self> {
        let proven = claimed.verify(policy, pins)?;
        Ok(Self::of_evidence(claimed.into_evidence(), proven, Way::File))
    }

    /// What a log says of `did` today, in answer to these parameters.
    pub(crate) fn of_log(did: Did, params: &Params, inquiry: &mut Inquiry<'_>) -> Result<Self> {
        let (evidence, proven) = fresh_evidence::fetch(&query(did, params), inquiry)?;
        Ok(Self::of_evidence(evidence, proven, Way::to(&inquiry.target.client)))
    }

    fn of_evidence(evidence: Evidence, proven: Proven, way: Way) -> Self {
        let (checkpoint, attested, newest) =
            (proven.checkpoint().clone(), proven.attested(), proven.newest());
        Self {
            ledger: Entries::Evidence(Box::new(proven)),
            checkpoint,
            attested,
            way,
            newest,
            evidence: Some(evidence),
        }
    }

    /// The whole log, read and verified here. `asserted` is held against it.
    pub(crate) fn of_whole_log(
        did: Did,
        mut asserted: Option<Asserted>,
        inquiry: &mut Inquiry<'_>,
    ) -> Result<Self> {
        let target = inquiry.target;
        let Shown { seen, checkpoint } = current::fetch(&mut inquiry.asking)?;
        if checkpoint.origin != target.origin {
            return Err(Failure::refuted(format!("`{}` is another log", target.client.url()))
                .because(format!("asked was `{}`, it shows `{}`", target.origin, checkpoint.origin)));
        }
        let policy = &target.judge.policy;
        let (_, log) = policy.log_checkpoint(&seen.note).map_err(|error| {
            Failure::refuted(format!("the checkpoint of `{}` does not hold", target.client.url()))
                .caused_by(error)
        })?;
        let shown = Shown { seen, checkpoint };
        let cosigned =
            current::require_quorum(policy, &format!("the policy {}", target.judge.source), &shown)?;
        let attested = policy.quorum_time(&cosigned);
        current::follow(&shown, &log.vkey, inquiry)?;
        if let Some(asserted) = &asserted {
            asserted.require_before(&shown, inquiry)?;
        }
        let checkpoint = &shown.checkpoint;
        let mut ledger = MemoryLedger::new(checkpoint.origin.clone());
        let keys = AdmittedKeys::default();
        let (mut events, mut newest) = (Vec::new(), None);
        whole_log::read(&log.vkey, checkpoint, &mut inquiry.asking, &mut |index, bytes| {
            // What breaks a rule counts for nothing; to report it is the monitor's work.
            let leaf = leaf::check(&checkpoint.origin, bytes, |raw| keys.admit(raw)).ok();
            newest = newest.max(leaf.as_ref().and_then(Leaf::logged_at));
            let entry = leaf.as_ref().map(Leaf::entry).filter(|entry| ledger.push(index, entry).is_ok());
            if let Some(asserted) = &mut asserted {
                asserted.take(index, bytes, entry);
            }
            if let Some(Entry::Event(event)) = entry
                && event.event().issuer() == did
                && matches!(event.event().body(), Body::Identity(_))
            {
                events.push((index, event.pending().clone()));
            }
            Ok(())
        })?;
        if let Some(asserted) = &asserted {
            asserted.check(&shown, inquiry)?;
        }
        let whole = WholeLog { ledger, log: log.vkey.clone(), events };
        Ok(Self {
            ledger: Entries::WholeLog(Box::new(whole)),
            checkpoint: shown.checkpoint,
            attested,
            way: Way::to(&target.client),
            newest,
            evidence: None,
        })
    }

    /// Whether nothing is taken on the log's word.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.ledger, Entries::WholeLog(_))
    }

    /// The evidence, and what it proves; none of the whole log.
    pub(crate) fn proven(&self) -> Option<(&Evidence, &Proven)> {
        match (&self.ledger, &self.evidence) {
            (Entries::Evidence(proven), Some(evidence)) => Some((evidence, proven)),
            _ => None,
        }
    }

    /// The leaf at `index` with its proof to the checkpoint; none of the whole log, whose root proves all.
    pub(crate) fn proof(&self, index: LeafIndex) -> Option<(&[u8], TlogProof)> {
        let evidence = self.evidence.as_ref()?;
        let element = evidence.elements.iter().find(|element| element.index == index)?;
        let (hashes, checkpoint) = (element.hashes.clone(), evidence.checkpoint.clone());
        Some((&element.leaf, TlogProof { extra: None, index, hashes, checkpoint }))
    }

    /// The state of the one who was asked about.
    pub(crate) fn signer_state(&self, did: Did) -> Result<SignerState> {
        let cannot = || Failure::new(format!("the evidence does not show the state of {did}"));
        match &self.ledger {
            Entries::Evidence(proven) => {
                SignerState::of(proven, did).map_err(|error| cannot().caused_by(error))
            }
            Entries::WholeLog(whole) => Ok(SignerState {
                did,
                log: whole.log.clone(),
                checkpoint: self.checkpoint.clone(),
                attested: self.attested,
                events: whole.events.clone(),
            }),
        }
    }

    /// Draws the neighbourhood of a DID.
    pub(crate) fn picture(&self, params: &Params, did: Did, time: LogTime) -> Result<Picture> {
        let cannot = |error: &dyn Display| Failure::new(format!("cannot draw {did}")).because(error);
        match &self.ledger {
            Entries::Evidence(proven) => {
                Picture::of(&**proven, DrawnFrom::Evidence, params, did, time).map_err(|error| cannot(&error))
            }
            Entries::WholeLog(whole) => Picture::of(&whole.ledger, DrawnFrom::WholeLog, params, did, time)
                .map_err(|error| cannot(&error)),
        }
    }

    /// Judges a DID at a moment.
    ///
    /// Also whether every path was looked at: among more vouches than one search takes there may be a better one.
    pub(crate) fn judge(&self, params: &Params, did: Did, time: LogTime) -> Result<(Verdict, bool)> {
        match &self.ledger {
            Entries::Evidence(proven) => judge(&**proven, params, did, time).map_err(|failure| match self.way {
                Way::File => failure.hint(
                    "it was made for another DID, other roots or other settings: `aip-attest gate … --evidence-out \
                     FILE`, asked like this, keeps what is needed",
                ),
                Way::Private | Way::Open => failure,
            }),
            Entries::WholeLog(whole) => judge(&whole.ledger, params, did, time),
        }
    }
}

fn judge<G: Graph>(graph: &G, params: &Params, did: Did, time: LogTime) -> Result<(Verdict, bool)>
where
    G::Error: std::error::Error + 'static,
{
    let cannot = |error: trust::JudgeError<G::Error>| {
        let failure = Failure::new(format!("cannot judge {did}"));
        match error {
            // It names the list itself.
            JudgeError::Ledger { error, .. } => failure.because(error),
            error => failure.because(error),
        }
    };
    let found = trust::search(graph, params, did, time).map_err(cannot)?;
    let verdict = trust::judge(graph, params, &found.paths, did, time).map_err(cannot)?;
    Ok((verdict, found.complete))
}

/// What a log is asked (`specs/http.md`).
fn query(did: Did, params: &Params) -> EvidenceQuery {
    let trust = TrustQuery {
        decay: params.decay(),
        floor: params.floor().get(),
        max_hops: params.max_hops(),
        min_paths: params.min_paths(),
        roots: params.roots().collect(),
        scope: params.scope().name().to_owned(),
        threshold: params.threshold().get(),
    };
    EvidenceQuery::trust(did, trust)
}
