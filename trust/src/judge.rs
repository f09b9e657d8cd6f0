//! The judgement: which paths hold, what they are worth, and how the target's history changes that.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use tlog::LeafIndex;

use super::verdict::{
    Advice, BrokenHop, Cause, Confirmer, History, Hop, JudgedPath, OpenFailure, Standing, Verdict,
};
use super::worth::{common, hop_factor, to_ppm};
use super::{
    Against, Confirmation, EdgeEvent, EdgeKind, Ledger, Logged, MAX_PATHS, Negative, NegativeKind, Params,
    Path, Ppm,
};
use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{Level, MAX_VOUCH_MILLIS, Scope};
use attestation::identity::{Identity, Status};
use attestation::lists::{ListKey, ListedKind};
use attestation::rules::answers_for;

/// Judges `target` at a moment, by the entries that `ledger` has. Anybody may have found `paths`. The best one counts; one
/// that does not hold counts for nothing, and the verdict says why.
///
/// The ledger is asked for: the target's state; what each root said last about the DIDs on the paths; the latest vouch of
/// each hop and the state of each voucher; the target's artifact entries and its confirmations; who spoke against it; what
/// the roots said last about these reporters and confirmers; and state and last word of those that are qualified.
pub fn judge<L: Ledger>(
    ledger: &L,
    params: &Params,
    paths: &[Path],
    target: Did,
    time: LogTime,
) -> Result<Verdict, JudgeError<L::Error>> {
    if paths.len() > MAX_PATHS {
        return Err(JudgeError::TooManyPaths(paths.len()));
    }
    let reader = Reader { ledger };
    let identity = match reader.identity(target)? {
        Some(identity) if identity.status() != Status::Deactivated => identity,
        Some(_) => return Ok(Verdict::without_score(params, target, time, Standing::Deactivated)),
        None => return Ok(Verdict::without_score(params, target, time, Standing::Unregistered)),
    };
    let judge = Judge { reader, params, target, identity: &identity, time };
    let mut judged = Vec::with_capacity(paths.len());
    for path in paths {
        judged.push(judge.path(path)?);
    }
    let history = judge.history()?;
    judge.verdict(judged, history)
}

/// Whether the reports and confirmations by `did` count: it is a root, or a root vouches for it enough. Its own state is not
/// looked at.
pub fn is_qualified<L: Ledger>(
    ledger: &L,
    params: &Params,
    did: Did,
    time: LogTime,
) -> Result<bool, JudgeError<L::Error>> {
    if params.root(did).is_some() {
        return Ok(true);
    }
    let reader = Reader { ledger };
    for (root, _) in params.roots() {
        for scope in [Scope::CodeSigning, Scope::General] {
            let Some(event) = reader.latest(root, did, scope)? else { continue };
            let Ok(vouch) = vouch(&event, time) else { continue };
            if vouch.level >= Level::Moderate && reader.counts(&event)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether an event is a vouch that counts now: not taken back, not over, and not void by what became of its issuer. What anybody
/// else thinks of its issuer is not looked at.
pub fn is_live_vouch(event: &EdgeEvent, issuer: &Identity, time: LogTime) -> bool {
    said(event, issuer).is_ok() && vouch(event, time).is_ok()
}

/// A vouch that has not ended.
pub(super) struct Vouch {
    pub(super) level: Level,
    pub(super) depth: Option<u8>,
    expires: LogTime,
}

impl Vouch {
    /// Whether as many hops may follow.
    pub(super) fn allows(&self, following: usize) -> bool {
        self.depth.is_none_or(|depth| usize::from(depth) >= following)
    }
}

/// Whether what an issuer said still counts: E2 and E5 for the issuer.
pub(super) fn said(event: &EdgeEvent, issuer: &Identity) -> Result<(), BrokenHop> {
    if issuer.status() == Status::Deactivated {
        Err(BrokenHop::IssuerDeactivated)
    } else if issuer.is_void(event.logged.index) {
        Err(BrokenHop::Void)
    } else {
        Ok(())
    }
}

/// The vouch that an event is, if it is one that has not ended: E3 and E4.
pub(super) fn vouch(event: &EdgeEvent, time: LogTime) -> Result<Vouch, BrokenHop> {
    match event.kind {
        EdgeKind::Revocation => Err(BrokenHop::Revoked),
        EdgeKind::Distrust => Err(BrokenHop::Distrusted),
        EdgeKind::Vouch { level, depth, expires_at } => {
            let latest = event.logged.time.as_millis().saturating_add(MAX_VOUCH_MILLIS);
            let expires = expires_at.min(LogTime::from_millis(latest).unwrap_or(LogTime::MAX));
            let vouch = Vouch { level, depth, expires };
            if time < expires { Ok(vouch) } else { Err(BrokenHop::Expired) }
        }
    }
}

struct Judge<'a, L> {
    reader: Reader<'a, L>,
    params: &'a Params,
    target: Did,
    identity: &'a Identity,
    time: LogTime,
}

impl<L: Ledger> Judge<'_, L> {
    fn path(&self, path: &Path) -> Result<JudgedPath, JudgeError<L::Error>> {
        let mut judged = JudgedPath::new(path.clone(), self.params.root(path.root).unwrap_or(0));
        if let Some(broken) = self.broken_shape(path)? {
            judged.broken = Some(broken);
            return Ok(judged);
        }
        let mut product = 1;
        let mut from = path.root;
        for (at, (scope, to)) in path.hops.iter().enumerate() {
            let following = path.hops.len() - at - 1;
            match self.hop(from, *to, *scope, following)? {
                Err(broken) => {
                    judged.broken = Some((at + 1, broken));
                    return Ok(judged);
                }
                Ok((event, vouch)) => {
                    product *= hop_factor(vouch.level, self.params);
                    judged.hops.push(Hop {
                        from,
                        to: *to,
                        scope: *scope,
                        logged: event.logged,
                        level: vouch.level,
                        depth: vouch.depth,
                        expires: vouch.expires,
                        product: to_ppm(common(judged.weight, product, at + 1)),
                    });
                }
            }
            from = *to;
        }
        judged.value = common(judged.weight, product, path.hops.len());
        judged.social = to_ppm(judged.value);
        Ok(judged)
    }

    /// What is wrong with a path without a look at its vouches. Names the hop, 0 for the root.
    fn broken_shape(&self, path: &Path) -> Result<Option<(usize, BrokenHop)>, JudgeError<L::Error>> {
        let length = path.hops.len();
        if self.params.root(path.root).is_none() {
            return Ok(Some((0, BrokenHop::NotRoot)));
        }
        if length > usize::from(self.params.max_hops()) {
            return Ok(Some((length, BrokenHop::TooLong)));
        }
        if path.end() != self.target {
            return Ok(Some((length, BrokenHop::OtherTarget)));
        }
        for (at, did) in path.dids().enumerate() {
            if let Some((by, index)) = self.bans(did)?.into_iter().next() {
                return Ok(Some((at, BrokenHop::Banned { by, index })));
            }
        }
        Ok(None)
    }

    /// The roots that warn of a DID, by their DIDs, and where each does first.
    fn bans(&self, did: Did) -> Result<Vec<(Did, LeafIndex)>, JudgeError<L::Error>> {
        let mut bans: Vec<(Did, LeafIndex)> = Vec::new();
        // Nobody speaks of itself.
        for (root, _) in self.params.roots().filter(|(root, _)| *root != did) {
            let mut first: Option<LeafIndex> = None;
            for scope in Scope::ALL.iter().copied().filter(|scope| self.params.scope().matches(*scope)) {
                let Some(event) = self.reader.latest(root, did, scope)? else { continue };
                if event.kind == EdgeKind::Distrust && self.reader.counts(&event)? {
                    let index = event.logged.index;
                    first = Some(first.map_or(index, |first| first.min(index)));
                }
            }
            bans.extend(first.map(|index| (root, index)));
        }
        Ok(bans)
    }

    /// The vouch of one hop, with `following` hops behind it.
    #[expect(clippy::type_complexity, reason = "the reason that a hop is broken is an answer, no error")]
    fn hop(
        &self,
        from: Did,
        to: Did,
        scope: Scope,
        following: usize,
    ) -> Result<Result<(EdgeEvent, Vouch), BrokenHop>, JudgeError<L::Error>> {
        if !self.params.scope().matches(scope) {
            return Ok(Err(BrokenHop::OtherScope));
        }
        let Some(event) = self.reader.latest(from, to, scope)? else { return Ok(Err(BrokenHop::NoVouch)) };
        let Some(issuer) = self.reader.identity(from)? else { return Ok(Err(BrokenHop::NoVouch)) };
        let holds = || {
            let vouch = vouch(&event, self.time)?;
            said(&event, &issuer)?;
            if vouch.allows(following) { Ok((event, vouch)) } else { Err(BrokenHop::Depth) }
        };
        let hop = match holds() {
            Ok(hop) => hop,
            Err(broken) => return Ok(Err(broken)),
        };
        // E2 and E6, for the target only. Every other DID on the path is the voucher of the next hop, where its state is
        // checked; what a compromised voucher said before its window still counts.
        if to == self.target && self.identity.status() == Status::Compromised {
            return Ok(Err(BrokenHop::TargetCompromised));
        }
        Ok(Ok(hop))
    }

    fn history(&self) -> Result<History, JudgeError<L::Error>> {
        let mut history = History {
            since: self.identity.recovered(),
            weeks: self.active_weeks()?,
            confirmers: self.confirmers()?,
            ..History::default()
        };
        self.read_negatives(&mut history)?;
        history.add_up(self.params.floor(), self.identity.status() == Status::Compromised);
        Ok(history)
    }

    /// Whether the entry at an index counts for history, which begins anew with a recovery.
    fn is_counted(&self, index: LeafIndex) -> bool {
        self.identity.recovered().is_none_or(|recovery| index > recovery)
    }

    fn active_weeks(&self) -> Result<usize, JudgeError<L::Error>> {
        let now = iso_week(self.time);
        let receipts = self.reader.receipts(self.target)?.into_iter();
        let weeks: BTreeSet<u64> = receipts
            .filter(|logged| answers_for(self.identity, logged.index))
            .map(|logged| iso_week(logged.time))
            .filter(|week| *week <= now && now - week < ACTIVE_WEEKS)
            .collect();
        Ok(weeks.len())
    }

    /// The state of a DID whose word counts: a root, or a DID that a root vouches for. `None` for all others, and for the
    /// target.
    fn qualified(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, JudgeError<L::Error>> {
        if did == self.target || !is_qualified(self.reader.ledger, self.params, did, self.time)? {
            return Ok(None);
        }
        let root = self.params.root(did).is_some();
        let identity = self.reader.identity(did)?;
        Ok(identity.filter(|identity| root || identity.status() != Status::Deactivated))
    }

    fn confirmers(&self) -> Result<Vec<Confirmer>, JudgeError<L::Error>> {
        let mut by_did: BTreeMap<Did, Vec<Confirmation>> = BTreeMap::new();
        for confirmation in self.reader.confirmations(self.target)? {
            by_did.entry(confirmation.from).or_default().push(confirmation);
        }
        let mut confirmers = Vec::new();
        for (did, confirmations) in by_did {
            let Some(confirmer) = self.qualified(did)? else { continue };
            let weeks: BTreeSet<u64> = confirmations
                .iter()
                .filter(|confirmation| self.is_confirmed(confirmation, &confirmer))
                .map(|confirmation| iso_week(confirmation.logged.time))
                .collect();
            if !weeks.is_empty() {
                confirmers.push(Confirmer { did, weeks: weeks.len() });
            }
        }
        Ok(confirmers)
    }

    fn is_confirmed(&self, confirmation: &Confirmation, confirmer: &Identity) -> bool {
        answers_for(self.identity, confirmation.receipt)
            && !confirmer.is_void(confirmation.logged.index)
            && !confirmer.is_void(confirmation.build)
    }

    fn read_negatives(&self, history: &mut History) -> Result<(), JudgeError<L::Error>> {
        let mut reports: BTreeMap<Did, Vec<Against>> = BTreeMap::new();
        // Entries before a recovery count for nothing, so nobody has to show them.
        for against in self.reader.against(self.target)?.into_iter().filter(|a| self.is_counted(a.index)) {
            if against.kind != ListedKind::Equivocation {
                reports.entry(against.from).or_default().push(against);
                continue;
            }
            // One is enough.
            if !history.equivocations.is_empty() {
                continue;
            }
            let negative = self.reader.negative(self.target, &against)?;
            if let NegativeKind::Equivocation { receipts } = negative.kind
                && receipts.iter().all(|receipt| answers_for(self.identity, *receipt))
            {
                history.equivocations.push((against.from, against.index));
            }
        }
        // Of each reporter only the last word decides, and only that is looked at.
        reports.retain(|_, reports| reports.iter().any(|report| report.kind == ListedKind::Failure));
        for (reporter, reports) in reports {
            let Some(identity) = self.qualified(reporter)? else { continue };
            let Some(last) = reports.iter().rfind(|report| !identity.is_void(report.index)) else { continue };
            let Negative { time, kind } = self.reader.negative(self.target, last)?;
            let NegativeKind::Failure { artifact, reason } = kind else { continue };
            if self.time.as_millis().saturating_sub(time.as_millis()) < FAILURE_MILLIS {
                let logged = Logged { index: last.index, time };
                history.failures.push(OpenFailure { by: reporter, logged, artifact, reason });
            }
        }
        Ok(())
    }

    fn verdict(&self, mut paths: Vec<JudgedPath>, history: History) -> Result<Verdict, JudgeError<L::Error>> {
        for path in &mut paths {
            path.score = path.social.times(history.behaviour);
        }
        let better = |a: &JudgedPath, b: &JudgedPath| a.value.cmp(&b.value).then_with(|| b.order(a));
        let best =
            (0..paths.len()).filter(|at| paths[*at].value > 0).max_by(|a, b| better(&paths[*a], &paths[*b]));
        let social = best.map_or(Ppm::ZERO, |best| paths[best].social);
        let standing = match self.identity.status() {
            Status::Compromised => Standing::Compromised,
            Status::Active | Status::Deactivated => Standing::Active,
        };
        let mut verdict = Verdict {
            disjoint: most_disjoint(&paths, self.target, self.params.threshold()),
            paths,
            best,
            social,
            score: social.times(history.behaviour),
            history,
            distrusted: self.bans(self.target)?,
            ..Verdict::without_score(self.params, self.target, self.time, standing)
        };
        verdict.causes = Cause::of(&verdict);
        verdict.passes = verdict.causes.iter().all(|cause| !cause.fails());
        verdict.advice = Advice::of(&verdict);
        Ok(verdict)
    }
}

/// The most paths that reach the threshold by themselves and share, two by two, nothing but the target. If the target is a
/// root, that is one path, however often it is given.
fn most_disjoint(paths: &[JudgedPath], target: Did, threshold: Ppm) -> usize {
    let strong: Vec<BTreeSet<Did>> = paths
        .iter()
        .filter(|path| path.value > 0 && path.score >= threshold)
        .map(|path| path.path.dids().filter(|did| *did != target || path.path.hops.is_empty()).collect())
        .collect();
    // At most 2^MAX_PATHS sets.
    let disjoint = |set: &u32| {
        let mut seen = BTreeSet::new();
        let chosen = (0..strong.len()).filter(|at| set & (1 << at) != 0);
        chosen.flat_map(|at| &strong[at]).all(|did| seen.insert(*did))
    };
    let largest = (0..1_u32 << strong.len()).filter(disjoint).map(u32::count_ones).max();
    usize::try_from(largest.unwrap_or(0)).expect("at most eight")
}

/// The number of the ISO week, Monday to Sunday, UTC; only differences mean something.
pub fn iso_week(time: LogTime) -> u64 {
    // 1970-01-01 was a Thursday.
    (time.as_millis() / DAY_MILLIS + 3) / 7
}

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Weeks in which activity counts, the current one included (`specs/trust.md`).
pub const ACTIVE_WEEKS: u64 = 26;

/// How long a failure report counts.
const FAILURE_MILLIS: u64 = 180 * DAY_MILLIS;

/// A ledger whose errors say what was asked for.
pub(super) struct Reader<'a, L> {
    pub(super) ledger: &'a L,
}

impl<'a, L: Ledger> Reader<'a, L> {
    pub(super) fn identity(&self, did: Did) -> Result<Option<Cow<'a, Identity>>, JudgeError<L::Error>> {
        self.ledger.identity(did).map_err(JudgeError::of(ListKey::Id(did)))
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, JudgeError<L::Error>> {
        self.ledger.latest(from, to, scope).map_err(JudgeError::of(ListKey::Edge(from, to, scope)))
    }

    /// Whether what was said counts, by the state of its issuer.
    fn counts(&self, event: &EdgeEvent) -> Result<bool, JudgeError<L::Error>> {
        Ok(self.identity(event.from)?.is_some_and(|issuer| said(event, &issuer).is_ok()))
    }

    fn against(&self, did: Did) -> Result<Vec<Against>, JudgeError<L::Error>> {
        self.ledger.against(did).map_err(JudgeError::of(ListKey::Neg(did)))
    }

    fn negative(&self, did: Did, against: &Against) -> Result<Negative, JudgeError<L::Error>> {
        self.ledger.negative(did, against).map_err(JudgeError::of(ListKey::Neg(did)))
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, JudgeError<L::Error>> {
        self.ledger.confirmations(did).map_err(JudgeError::of(ListKey::Pos(did)))
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, JudgeError<L::Error>> {
        self.ledger.receipts(did).map_err(JudgeError::of(ListKey::Receipts(did)))
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JudgeError<E> {
    /// The ledger has no answer.
    #[error("`{list}`: {error}")]
    Ledger {
        /// What it was asked for.
        list: ListKey,
        /// Why.
        error: E,
    },
    /// More paths than are judged.
    #[error("{0} paths, more than {MAX_PATHS}")]
    TooManyPaths(usize),
}

impl<E> JudgeError<E> {
    pub(super) fn of(list: ListKey) -> impl FnOnce(E) -> Self {
        move |error| Self::Ledger { list, error }
    }
}
