//! What a judgement says, for people and as one JSON.

use std::cmp::Ordering;

use serde_json::{Value, json};
use tlog::{Hash, LeafIndex};

use super::worth::{common, hop_factor, to_ppm, weight};
use super::{Logged, Params, Path, Ppm};
use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{FailureReason, Level, Scope};

/// What a judgement says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Who was judged.
    pub target: Did,
    /// When.
    pub time: LogTime,
    /// By which roots, for what, from which score on.
    pub params: Params,
    /// Whether it is what the consumer asks for.
    pub passes: bool,
    /// Social × behaviour.
    pub score: Ppm,
    /// What the best path is worth.
    pub social: Ppm,
    /// Where the target's identity stands.
    pub standing: Standing,
    /// The roots that warn of the target, and where.
    pub distrusted: Vec<(Did, LeafIndex)>,
    /// The paths that were judged, in the order in which they were given.
    pub paths: Vec<JudgedPath>,
    /// The one that counts, by its place in `paths`.
    pub best: Option<usize>,
    /// How many of them reach the threshold by themselves and share nothing but the target.
    pub disjoint: usize,
    /// What the target did, and what others say of it.
    pub history: History,
    /// What lowered the score, or stands in the way.
    pub causes: Vec<Cause>,
    /// What would raise the score.
    pub advice: Vec<Advice>,
}

/// Where an identity stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is registered, and its key counts.
    Active,
    /// It is reported as compromised and not recovered.
    Compromised,
    /// It ended.
    Deactivated,
    /// It has no inception in this log.
    Unregistered,
}

impl Standing {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Compromised => "compromised",
            Self::Deactivated => "deactivated",
            Self::Unregistered => "unregistered",
        }
    }
}

/// A path, and what it is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct JudgedPath {
    /// The path as it was given.
    pub path: Path,
    /// Its root's weight in per mille; 0 if it is no root.
    pub weight: u16,
    /// Its hops, up to the broken one.
    pub hops: Vec<Hop>,
    /// The hop that does not hold, from 1, 0 for the root; and why.
    pub broken: Option<(usize, BrokenHop)>,
    /// What it is worth in 10^-38: 0 if it is broken.
    pub(super) value: u128,
    /// What it is worth.
    pub social: Ppm,
    /// That, times the target's behaviour.
    pub score: Ppm,
}

impl JudgedPath {
    pub(super) fn new(path: Path, weight: u16) -> Self {
        let (social, score) = (Ppm::ZERO, Ppm::ZERO);
        Self { path, weight, hops: Vec::new(), broken: None, value: 0, social, score }
    }

    /// The order among paths of one worth: by their DIDs, then by their scopes.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        order(&self.path, &other.path)
    }
}

/// The order among paths of one worth: by their DIDs, then by their scopes.
pub(super) fn order(a: &Path, b: &Path) -> Ordering {
    let scopes = |path: &Path| path.hops.iter().map(|(scope, _)| *scope).collect::<Vec<_>>();
    a.dids().cmp(b.dids()).then_with(|| scopes(a).cmp(&scopes(b)))
}

/// A vouch on a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// Who vouches.
    pub from: Did,
    /// The DID that it is for.
    pub to: Did,
    /// For what.
    pub scope: Scope,
    /// Where and when.
    pub logged: Logged,
    /// How much.
    pub level: Level,
    /// How many further hops may follow; `None`: any number.
    pub depth: Option<u8>,
    /// When it ends: what it says itself, at most 365 days after it was logged.
    pub expires: LogTime,
    /// What the path is worth up to here.
    pub product: Ppm,
}

/// Why a hop does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BrokenHop {
    /// A root warns of it.
    #[error("the root {by} distrusts it (entry {index})")]
    Banned {
        /// The root.
        by: Did,
        /// Where it says so.
        index: LeafIndex,
    },
    /// Too many hops follow.
    #[error("more hops follow than the vouch allows")]
    Depth,
    /// Its issuer warns of its subject.
    #[error("the voucher distrusts it now")]
    Distrusted,
    /// It ended.
    #[error("the vouch has expired")]
    Expired,
    /// Its issuer ended.
    #[error("the voucher is deactivated")]
    IssuerDeactivated,
    /// There is none.
    #[error("there is no vouch")]
    NoVouch,
    /// No root.
    #[error("the path does not begin at a root")]
    NotRoot,
    /// For something else.
    #[error("the vouch is for another scope")]
    OtherScope,
    /// It leads elsewhere.
    #[error("the path does not end at the target")]
    OtherTarget,
    /// Taken back.
    #[error("the vouch was revoked")]
    Revoked,
    /// The target is compromised.
    #[error("the target is reported as compromised")]
    TargetCompromised,
    /// More hops than the consumer follows.
    #[error("the path has more hops than are followed")]
    TooLong,
    /// Its issuer was compromised then.
    #[error("the voucher was compromised when it vouched")]
    Void,
}

impl BrokenHop {
    /// Its fixed identifier, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Banned { .. } => "banned",
            Self::Depth => "depth",
            Self::Distrusted => "distrusted",
            Self::Expired => "expired",
            Self::IssuerDeactivated => "issuer-deactivated",
            Self::NoVouch => "no-vouch",
            Self::NotRoot => "not-root",
            Self::OtherScope => "other-scope",
            Self::OtherTarget => "other-target",
            Self::Revoked => "revoked",
            Self::TargetCompromised => "target-compromised",
            Self::TooLong => "too-long",
            Self::Void => "void",
        }
    }
}

/// What the target did, and what others say of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct History {
    /// The recovery that history counts from; `None`: from the beginning.
    pub since: Option<LeafIndex>,
    /// ISO weeks of the last 26 with an artifact entry.
    pub weeks: usize,
    /// Those who rebuilt what it built, by their DIDs.
    pub confirmers: Vec<Confirmer>,
    /// Weeks of confirmations that count: at most four of each.
    pub confirmed: usize,
    /// Failure reports that are open, by their reporters.
    pub failures: Vec<OpenFailure>,
    /// Who showed, and where, that the target contradicts itself.
    pub equivocations: Vec<(Did, LeafIndex)>,
    /// What weeks earn, of the whole.
    pub activity: Ppm,
    /// What confirmations earn, of the whole.
    pub confirmation: Ppm,
    /// The floor and what is earned above it.
    pub positive: Ppm,
    /// What failures leave of it.
    pub negative: Ppm,
    /// Positive × negative.
    pub behaviour: Ppm,
}

impl Default for History {
    fn default() -> Self {
        Self {
            since: None,
            weeks: 0,
            confirmers: Vec::new(),
            confirmed: 0,
            failures: Vec::new(),
            equivocations: Vec::new(),
            activity: Ppm::ZERO,
            confirmation: Ppm::ZERO,
            positive: Ppm::ZERO,
            negative: Ppm::ZERO,
            behaviour: Ppm::ZERO,
        }
    }
}

impl History {
    /// Fills in what follows from the counts.
    pub(super) fn add_up(&mut self, floor: Ppm, compromised: bool) {
        self.confirmed = self.confirmers.iter().map(Confirmer::counted).sum();
        self.activity = of_full(self.weeks);
        self.confirmation = of_full(self.confirmed);
        self.positive = positive(floor, self.activity, self.confirmation);
        let worthless = compromised || !self.equivocations.is_empty();
        self.negative = if worthless { Ppm::ZERO } else { negative(self.failures.len()) };
        self.behaviour = self.positive.times(self.negative);
    }
}

/// A count as a share of [`FULL_WEEKS`].
fn of_full(weeks: usize) -> Ppm {
    let parts = u64::from(Ppm::ONE.get()) * weeks.min(FULL_WEEKS) as u64 / FULL_WEEKS as u64;
    u32::try_from(parts).ok().and_then(Ppm::new).expect("at most the whole")
}

fn positive(floor: Ppm, activity: Ppm, confirmation: Ppm) -> Ppm {
    let earned = Ppm::new((activity.get() + confirmation.get()) / 2).expect("a mean of shares is a share");
    let above = Ppm::new(Ppm::ONE.get() - floor.get()).expect("a part of the whole");
    Ppm::new(floor.get() + above.times(earned).get()).expect("a share of what is above the floor")
}

fn negative(failures: usize) -> Ppm {
    // The share of 52 failures is 0 already: no need to count further.
    let parts = (0..failures.min(64)).fold(Ppm::ONE.get(), |parts, _| parts * 3 / 4);
    Ppm::new(parts).expect("it only falls")
}

/// Weeks of activity, or of confirmations, beyond which no more count (`specs/trust.md`).
pub const FULL_WEEKS: usize = 12;

/// Weeks of confirmations by one DID that count at most.
pub const CONFIRMER_WEEKS: usize = 4;

/// Somebody who rebuilt what the target built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Confirmer {
    /// Who.
    pub did: Did,
    /// In how many weeks.
    pub weeks: usize,
}

impl Confirmer {
    /// How many of the weeks count.
    pub fn counted(&self) -> usize {
        self.weeks.min(CONFIRMER_WEEKS)
    }
}

/// A failure report that is open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenFailure {
    /// Who reports.
    pub by: Did,
    /// Where and when.
    pub logged: Logged,
    /// The SHA-256 of the artifact.
    pub artifact: Hash,
    /// What did not verify.
    pub reason: FailureReason,
}

/// What lowered a score, or stands in the way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It has no inception in this log.
    Unregistered,
    /// It ended.
    Deactivated,
    /// It is reported as compromised and not recovered.
    Compromised,
    /// A root warns of it.
    Distrusted {
        /// The root.
        by: Did,
        /// Where.
        index: LeafIndex,
    },
    /// No path holds.
    NoPath,
    /// It contradicts itself.
    Equivocation {
        /// Who showed it.
        by: Did,
        /// Where.
        index: LeafIndex,
    },
    /// Something of its did not verify.
    Failure {
        /// Who says so.
        by: Did,
        /// Where.
        index: LeafIndex,
    },
    /// Its history is short.
    History,
    /// The score is below the threshold.
    BelowThreshold,
    /// Too few paths share nothing.
    Paths {
        /// As many were found.
        found: usize,
        /// As many are asked for.
        needed: usize,
    },
}

impl Cause {
    /// Its fixed identifier, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unregistered => "unregistered",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Distrusted { .. } => "distrusted",
            Self::NoPath => "no-path",
            Self::Equivocation { .. } => "equivocation",
            Self::Failure { .. } => "failure",
            Self::History => "history",
            Self::BelowThreshold => "below-threshold",
            Self::Paths { .. } => "paths",
        }
    }

    /// Whether it alone makes the target fail, whatever the threshold.
    pub fn fails(self) -> bool {
        match self {
            Self::Unregistered
            | Self::Deactivated
            | Self::Compromised
            | Self::Distrusted { .. }
            | Self::NoPath
            | Self::BelowThreshold
            | Self::Paths { .. } => true,
            Self::Equivocation { .. } | Self::Failure { .. } | Self::History => false,
        }
    }

    pub(super) fn of(verdict: &Verdict) -> Vec<Self> {
        let history = &verdict.history;
        let mut causes = match verdict.standing {
            Standing::Unregistered => return vec![Self::Unregistered],
            Standing::Deactivated => return vec![Self::Deactivated],
            Standing::Compromised => vec![Self::Compromised],
            Standing::Active => Vec::new(),
        };
        causes
            .extend(verdict.distrusted.iter().map(|(by, index)| Self::Distrusted { by: *by, index: *index }));
        // No path leads to a compromised target, so name that cause, not the missing path.
        if verdict.best.is_none() && verdict.standing == Standing::Active {
            causes.push(Self::NoPath);
        }
        let equivocations = history.equivocations.iter();
        causes.extend(equivocations.map(|(by, index)| Self::Equivocation { by: *by, index: *index }));
        let failures = history.failures.iter();
        causes.extend(failures.map(|report| Self::Failure { by: report.by, index: report.logged.index }));
        if history.positive < Ppm::ONE {
            causes.push(Self::History);
        }
        if verdict.score < verdict.params.threshold() {
            causes.push(Self::BelowThreshold);
        }
        let needed = usize::from(verdict.params.min_paths());
        if needed > 1 && verdict.disjoint < needed {
            causes.push(Self::Paths { found: verdict.disjoint, needed });
        }
        causes
    }

    fn to_json(self) -> Value {
        let mut value = json!({"cause": self.name()});
        match self {
            Self::Distrusted { by, index }
            | Self::Equivocation { by, index }
            | Self::Failure { by, index } => {
                value["by"] = json!(by);
                value["index"] = json!(index.get());
            }
            Self::Paths { found, needed } => {
                value["found"] = json!(found);
                value["needed"] = json!(needed);
            }
            _ => (),
        }
        value
    }
}

/// What would raise a score. Each item would do so alone, except beside [`LiftDistrust`](Self::LiftDistrust): then a vouch
/// raises it only after the distrust is taken back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advice {
    /// Log an inception.
    Register,
    /// Log a recovery: the reports end, and history begins anew.
    Recover,
    /// Ask a root to take its distrust back.
    LiftDistrust {
        /// The root.
        by: Did,
        /// Where it warns.
        index: LeafIndex,
    },
    /// Ask a root for a vouch of level `STRONG`.
    DirectVouch {
        /// The root of the greatest weight.
        by: Did,
        /// The score then.
        score: Ppm,
    },
    /// Ask a voucher on the best path for level `STRONG`.
    StrongerVouch {
        /// The hop, from 1.
        hop: usize,
        /// The voucher.
        by: Did,
        /// The score then.
        score: Ppm,
    },
    /// Sign in as many more weeks.
    Activity {
        /// Weeks.
        weeks: usize,
        /// The score then.
        score: Ppm,
    },
    /// Let others rebuild in as many more weeks.
    Confirmations {
        /// Weeks.
        weeks: usize,
        /// The score then.
        score: Ppm,
    },
    /// Ask the reporters to withdraw.
    Withdrawals {
        /// The score then.
        score: Ppm,
    },
}

impl Advice {
    /// Its fixed identifier, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Recover => "recover",
            Self::LiftDistrust { .. } => "lift-distrust",
            Self::DirectVouch { .. } => "direct-vouch",
            Self::StrongerVouch { .. } => "stronger-vouch",
            Self::Activity { .. } => "activity",
            Self::Confirmations { .. } => "confirmations",
            Self::Withdrawals { .. } => "withdrawals",
        }
    }

    /// The score that it would give; `None` if that is not known.
    pub fn score(self) -> Option<Ppm> {
        match self {
            Self::Register | Self::Recover | Self::LiftDistrust { .. } => None,
            Self::DirectVouch { score, .. }
            | Self::StrongerVouch { score, .. }
            | Self::Activity { score, .. }
            | Self::Confirmations { score, .. }
            | Self::Withdrawals { score } => Some(score),
        }
    }

    pub(super) fn of(verdict: &Verdict) -> Vec<Self> {
        match verdict.standing {
            Standing::Unregistered => return vec![Self::Register],
            Standing::Deactivated => return Vec::new(),
            Standing::Compromised => return vec![Self::Recover],
            Standing::Active => (),
        }
        if !verdict.distrusted.is_empty() {
            let by = verdict.distrusted.iter();
            let mut advice: Vec<Self> =
                by.map(|(by, index)| Self::LiftDistrust { by: *by, index: *index }).collect();
            // Without the distrust there is still no path: both are needed.
            if verdict.paths.is_empty() {
                advice.extend(
                    Self::of_vouches(verdict).into_iter().filter(|vouch| vouch.score() > Some(verdict.score)),
                );
            }
            return advice;
        }
        if !verdict.history.equivocations.is_empty() {
            return vec![Self::Recover];
        }
        let mut advice = Self::of_vouches(verdict);
        advice.extend(Self::of_history(verdict));
        advice.retain(|advice| advice.score() > Some(verdict.score));
        advice
    }

    fn of_vouches(verdict: &Verdict) -> Vec<Self> {
        let params = &verdict.params;
        let score = |common: u128| to_ppm(common).times(verdict.history.behaviour);
        let strong = hop_factor(Level::Strong, params);
        // The first of the greatest weight.
        let root = params.roots().reduce(|best, root| if root.1 > best.1 { root } else { best });
        let direct = root.filter(|(by, _)| *by != verdict.target);
        let direct =
            direct.map(|(by, weight)| Self::DirectVouch { by, score: score(common(weight, strong, 1)) });
        let mut advice: Vec<Self> = direct.into_iter().collect();
        let Some(best) = verdict.best.map(|best| &verdict.paths[best]) else { return advice };
        for (at, hop) in best.hops.iter().enumerate().filter(|(_, hop)| weight(hop.level) < 100) {
            let product = best
                .hops
                .iter()
                .enumerate()
                .map(|(other, hop)| if other == at { strong } else { hop_factor(hop.level, params) });
            let common = common(best.weight, product.product(), best.hops.len());
            advice.push(Self::StrongerVouch { hop: at + 1, by: hop.from, score: score(common) });
        }
        advice
    }

    fn of_history(verdict: &Verdict) -> Vec<Self> {
        let history = &verdict.history;
        let with = |activity, confirmation, negative| {
            let positive = positive(verdict.params.floor(), activity, confirmation);
            verdict.social.times(positive.times(negative))
        };
        vec![
            Self::Activity {
                weeks: FULL_WEEKS.saturating_sub(history.weeks),
                score: with(Ppm::ONE, history.confirmation, history.negative),
            },
            Self::Confirmations {
                weeks: FULL_WEEKS.saturating_sub(history.confirmed),
                score: with(history.activity, Ppm::ONE, history.negative),
            },
            Self::Withdrawals { score: with(history.activity, history.confirmation, Ppm::ONE) },
        ]
    }

    fn to_json(self) -> Value {
        let mut value = json!({"advice": self.name()});
        if let Some(score) = self.score() {
            value["score"] = json!(score.get());
        }
        match self {
            Self::LiftDistrust { by, index } => {
                value["by"] = json!(by);
                value["index"] = json!(index.get());
            }
            Self::DirectVouch { by, .. } => value["by"] = json!(by),
            Self::StrongerVouch { hop, by, .. } => {
                value["hop"] = json!(hop);
                value["by"] = json!(by);
            }
            Self::Activity { weeks, .. } | Self::Confirmations { weeks, .. } => value["weeks"] = json!(weeks),
            Self::Register | Self::Recover | Self::Withdrawals { .. } => (),
        }
        value
    }
}

impl Verdict {
    /// Of a DID that has no score, or has none yet.
    pub(super) fn without_score(params: &Params, target: Did, time: LogTime, standing: Standing) -> Self {
        let mut verdict = Self {
            target,
            time,
            params: params.clone(),
            passes: false,
            score: Ppm::ZERO,
            social: Ppm::ZERO,
            standing,
            distrusted: Vec::new(),
            paths: Vec::new(),
            best: None,
            disjoint: 0,
            history: History::default(),
            causes: Vec::new(),
            advice: Vec::new(),
        };
        verdict.causes = Cause::of(&verdict);
        verdict.advice = Advice::of(&verdict);
        verdict
    }

    /// The path that counts.
    pub fn best_path(&self) -> Option<&JudgedPath> {
        self.best.map(|best| &self.paths[best])
    }

    /// The verdict as JSON, as `specs/trust.md` has it: members sorted by their names, integers only.
    pub fn to_json(&self) -> Value {
        let root = |(did, weight): (Did, u16)| json!({"did": did, "weight": weight});
        let params = &self.params;
        json!({
            "advice": self.advice.iter().map(|advice| advice.to_json()).collect::<Vec<_>>(),
            "behaviour": self.history.behaviour.get(),
            "best": self.best,
            "causes": self.causes.iter().map(|cause| cause.to_json()).collect::<Vec<_>>(),
            "decay": params.decay(),
            "disjointPaths": self.disjoint,
            "floor": params.floor().get(),
            "history": self.history.to_json(),
            "maxHops": params.max_hops(),
            "minPaths": params.min_paths(),
            "passes": self.passes,
            "paths": self.paths.iter().map(JudgedPath::to_json).collect::<Vec<_>>(),
            "roots": params.roots().map(root).collect::<Vec<_>>(),
            "scope": params.scope().name(),
            "score": self.score.get(),
            "social": self.social.get(),
            "standing": self.standing.name(),
            "target": self.target,
            "threshold": params.threshold().get(),
            "time": self.time.as_millis(),
        })
    }
}

impl JudgedPath {
    fn to_json(&self) -> Value {
        let hop = |hop: &Hop| {
            json!({
                "depth": hop.depth,
                "expires": hop.expires.as_millis(),
                "from": hop.from,
                "index": hop.logged.index.get(),
                "level": hop.level.name(),
                "product": hop.product.get(),
                "scope": hop.scope.name(),
                "to": hop.to,
            })
        };
        let step = |(scope, did): &(Scope, Did)| json!({"scope": scope.name(), "to": did});
        let broken = self.broken.map(|(hop, reason)| {
            let mut value = json!({"hop": hop, "reason": reason.name()});
            if let BrokenHop::Banned { by, index } = reason {
                value["by"] = json!(by);
                value["index"] = json!(index.get());
            }
            value
        });
        json!({
            "broken": broken,
            "hops": self.hops.iter().map(hop).collect::<Vec<_>>(),
            "root": self.path.root,
            "score": self.score.get(),
            "social": self.social.get(),
            "steps": self.path.hops.iter().map(step).collect::<Vec<_>>(),
            "weight": self.weight,
        })
    }
}

impl History {
    fn to_json(&self) -> Value {
        let confirmer = |confirmer: &Confirmer| json!({"counted": confirmer.counted(), "did": confirmer.did, "weeks": confirmer.weeks});
        let failure = |failure: &OpenFailure| {
            json!({
                "artifact": failure.artifact.to_string(),
                "by": failure.by,
                "index": failure.logged.index.get(),
                "reason": failure.reason.name(),
                "time": failure.logged.time.as_millis(),
            })
        };
        let equivocation = |(by, index): &(Did, LeafIndex)| json!({"by": by, "index": index.get()});
        json!({
            "activity": self.activity.get(),
            "confirmation": self.confirmation.get(),
            "confirmed": self.confirmed,
            "confirmers": self.confirmers.iter().map(confirmer).collect::<Vec<_>>(),
            "equivocations": self.equivocations.iter().map(equivocation).collect::<Vec<_>>(),
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
            "negative": self.negative.get(),
            "positive": self.positive.get(),
            "since": self.since.map(LeafIndex::get),
            "weeks": self.weeks,
        })
    }
}
