//! The judgement: which paths hold, what they are worth, what the target's history makes of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use tlog::LeafIndex;

use super::verdict::{
    Advice, BrokenHop, Cause, Confirmer, History, Hop, JudgedPath, OpenFailure, Standing, Verdict,
};
use super::{
    Confirmation, EdgeEvent, EdgeKind, Ledger, MAX_HOPS, MAX_PATHS, Negative, NegativeKind, Params, Path,
    Ppm, weight,
};
use crate::did::Did;
use crate::entry::LogTime;
use crate::event::{Level, MAX_VOUCH_MILLIS, Scope};
use crate::identity::{Identity, Status};
use crate::lists::ListKey;

/// Judges `target` at a moment, by the entries that `ledger` has. `paths` are what somebody found; the best
/// one counts, and one that does not hold counts for nothing and says why.
///
/// The ledger is asked for: the state of the target; the state of each root, and all that it says of others;
/// the latest vouch of each hop and the state of each voucher; what is said against the target; its artifact
/// entries, the confirmations, and the states of those who confirm and report, if a root vouches for them.
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
    let roots = Roots::read(&reader, params, time)?;
    let judge = Judge { reader, params, target, identity: &identity, roots: &roots, time };
    let mut judged = Vec::with_capacity(paths.len());
    for path in paths {
        judged.push(judge.path(path)?);
    }
    let history = judge.history()?;
    Ok(judge.verdict(judged, history))
}

/// What the roots say of others.
pub(super) struct Roots {
    /// Whom one of them warns of: the roots that do, and where.
    banned: BTreeMap<Did, BTreeMap<Did, LeafIndex>>,
    /// For whom one of them vouches enough that their word counts.
    vouched: HashSet<Did>,
    /// Their vouches in the scope that is asked for, by whom they are for.
    edges: HashMap<Did, Vec<Edge>>,
}

/// A vouch by `from` that counts.
pub(super) struct Edge {
    pub(super) from: Did,
    pub(super) scope: Scope,
    pub(super) vouch: Vouch,
}

impl Roots {
    pub(super) fn read<L: Ledger>(
        reader: &Reader<'_, L>,
        params: &Params,
        time: LogTime,
    ) -> Result<Self, JudgeError<L::Error>> {
        let mut roots = Self { banned: BTreeMap::new(), vouched: HashSet::new(), edges: HashMap::new() };
        for (root, _) in params.roots() {
            let Some(identity) = reader.identity(root)? else { continue };
            for event in reader.edges_from(root)? {
                roots.take(&event, &identity, params, time);
            }
        }
        Ok(roots)
    }

    fn take(&mut self, event: &EdgeEvent, issuer: &Identity, params: &Params, time: LogTime) {
        if said(event, issuer).is_err() {
            return;
        }
        if event.kind == EdgeKind::Distrust && params.scope().matches(event.scope) {
            let by = self.banned.entry(event.to).or_default().entry(event.from);
            let first = by.or_insert(event.logged.index);
            *first = event.logged.index.min(*first);
        }
        let Ok(vouch) = vouch(event, time) else { return };
        let speaks_of_builds = matches!(event.scope, Scope::CodeSigning | Scope::General);
        if speaks_of_builds && vouch.level >= Level::Moderate {
            self.vouched.insert(event.to);
        }
        if params.scope().matches(event.scope) {
            let edge = Edge { from: event.from, scope: event.scope, vouch };
            self.edges.entry(event.to).or_default().push(edge);
        }
    }

    /// The vouches of the roots for a DID, in the scope that is asked for.
    pub(super) fn edges_into(&self, did: Did) -> &[Edge] {
        self.edges.get(&did).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_banned(&self, did: Did) -> bool {
        self.banned.contains_key(&did)
    }

    /// The first of the roots that warn of it.
    fn ban(&self, did: Did) -> Option<(Did, LeafIndex)> {
        self.banned.get(&did)?.iter().map(|(by, index)| (*by, *index)).next()
    }
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

/// A number of social trust: a root's weight × Π (level × decay), over the denominator that the longest path
/// has, so that paths of any length compare.
pub(super) fn common(root_weight: u16, product: u128, hops: usize) -> u128 {
    let missing = usize::from(MAX_HOPS) - hops;
    u128::from(root_weight) * product * HOP_UNIT.pow(u32::try_from(missing).expect("at most seven"))
}

/// What a hop multiplies by, at most: a percentage times per mille.
const HOP_UNIT: u128 = 100_000;

pub(super) fn hop_factor(level: Level, params: &Params) -> u128 {
    u128::from(weight(level)) * u128::from(params.decay())
}

/// 10^38 is the whole.
pub(super) fn to_ppm(common: u128) -> Ppm {
    let parts = common / 10_u128.pow(32);
    u32::try_from(parts).ok().and_then(Ppm::new).expect("no factor is more than the whole")
}

struct Judge<'a, L> {
    reader: Reader<'a, L>,
    params: &'a Params,
    target: Did,
    identity: &'a Identity,
    roots: &'a Roots,
    time: LogTime,
}

impl<L: Ledger> Judge<'_, L> {
    fn path(&self, path: &Path) -> Result<JudgedPath, JudgeError<L::Error>> {
        let mut judged = JudgedPath::new(path.clone(), self.params.root(path.root).unwrap_or(0));
        if let Err((at, broken)) = self.check_shape(path) {
            judged.broken = Some((at, broken));
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

    /// What can be said of a path without the log. Names the hop, 0 for the root.
    fn check_shape(&self, path: &Path) -> Result<(), (usize, BrokenHop)> {
        let length = path.hops.len();
        if self.params.root(path.root).is_none() {
            return Err((0, BrokenHop::NotRoot));
        }
        if length > usize::from(self.params.max_hops()) {
            return Err((length, BrokenHop::TooLong));
        }
        if path.end() != self.target {
            return Err((length, BrokenHop::OtherTarget));
        }
        for (at, did) in path.dids().enumerate() {
            if let Some((by, index)) = self.roots.ban(did) {
                return Err((at, BrokenHop::Banned { by, index }));
            }
        }
        Ok(())
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
        // E2 and E6. Whoever is on the way is a voucher of the next hop, which asks whether it ended; and what
        // a compromised one said before its window still counts.
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

    /// Whether history counts what stands there: a recovery begins it anew.
    fn is_counted(&self, index: LeafIndex) -> bool {
        self.identity.recovered().is_none_or(|recovery| index > recovery)
    }

    fn active_weeks(&self) -> Result<usize, JudgeError<L::Error>> {
        let now = iso_week(self.time);
        let receipts = self.reader.receipts(self.target)?.into_iter();
        let weeks: BTreeSet<u64> = receipts
            .filter(|logged| self.is_counted(logged.index) && !self.identity.is_void(logged.index))
            .map(|logged| iso_week(logged.time))
            .filter(|week| *week <= now && now - week < ACTIVE_WEEKS)
            .collect();
        Ok(weeks.len())
    }

    /// Those whose word counts, beside the target: roots, and whom a root vouches for.
    fn qualified(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, JudgeError<L::Error>> {
        let root = self.params.root(did).is_some();
        if did == self.target || !(root || self.roots.vouched.contains(&did)) {
            return Ok(None);
        }
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
        self.is_counted(confirmation.receipt)
            && !self.identity.is_void(confirmation.receipt)
            && !confirmer.is_void(confirmation.logged.index)
            && !confirmer.is_void(confirmation.build)
    }

    fn read_negatives(&self, history: &mut History) -> Result<(), JudgeError<L::Error>> {
        let mut reports: BTreeMap<Did, Vec<Negative>> = BTreeMap::new();
        for negative in self.reader.negatives(self.target)? {
            match negative.kind {
                NegativeKind::Failure { .. } | NegativeKind::Withdrawal => {
                    reports.entry(negative.from).or_default().push(negative);
                }
                NegativeKind::Equivocation { receipts } => {
                    let by_target = receipts.iter().all(|receipt| !self.identity.is_void(*receipt));
                    if by_target && self.is_counted(negative.logged.index) {
                        history.equivocations.push((negative.from, negative.logged.index));
                    }
                }
            }
        }
        for (reporter, reports) in reports {
            let Some(identity) = self.qualified(reporter)? else { continue };
            let last = reports.iter().rfind(|report| !identity.is_void(report.logged.index));
            let Some(Negative { logged, kind: NegativeKind::Failure { artifact, reason }, .. }) = last else {
                continue;
            };
            let age = self.time.as_millis().saturating_sub(logged.time.as_millis());
            if age < FAILURE_MILLIS && self.is_counted(logged.index) {
                let failure =
                    OpenFailure { by: reporter, logged: *logged, artifact: *artifact, reason: *reason };
                history.failures.push(failure);
            }
        }
        Ok(())
    }

    fn verdict(&self, mut paths: Vec<JudgedPath>, history: History) -> Verdict {
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
        let banned = self.roots.banned.get(&self.target);
        let mut verdict = Verdict {
            disjoint: most_disjoint(&paths, self.target, self.params.threshold()),
            paths,
            best,
            social,
            score: social.times(history.behaviour),
            history,
            distrusted: banned.into_iter().flatten().map(|(by, index)| (*by, *index)).collect(),
            ..Verdict::without_score(self.params, self.target, self.time, standing)
        };
        verdict.causes = Cause::of(&verdict);
        verdict.passes = verdict.causes.iter().all(|cause| !cause.fails());
        verdict.advice = Advice::of(&verdict);
        verdict
    }
}

/// How many of the paths reach the threshold by themselves and share, two by two, nothing but the target. The target
/// as its own root is one path, however often it is given.
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

/// Weeks that activity counts for, this one included.
const ACTIVE_WEEKS: u64 = 26;

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

    fn edges_from(&self, did: Did) -> Result<Vec<EdgeEvent>, JudgeError<L::Error>> {
        self.ledger.edges_from(did).map_err(JudgeError::of(ListKey::Out(did)))
    }

    fn negatives(&self, did: Did) -> Result<Vec<Negative>, JudgeError<L::Error>> {
        self.ledger.negatives(did).map_err(JudgeError::of(ListKey::Neg(did)))
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, JudgeError<L::Error>> {
        self.ledger.confirmations(did).map_err(JudgeError::of(ListKey::Pos(did)))
    }

    fn receipts(&self, did: Did) -> Result<Vec<super::Logged>, JudgeError<L::Error>> {
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
