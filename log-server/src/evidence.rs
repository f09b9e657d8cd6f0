//! Evidence: everything that a client needs to judge trust without this log (`specs/evidence.md`). Reads published entries
//! only, and believes nothing in the question.
//!
//! The log judges as the client will, and writes down what the judgement touches: whole lists, and the entries in them that
//! it reads. Of entries that can only raise a score it picks as many as can count.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{Scope, TrustEvent};
use attestation::evidence::{Element, Evidence, Lists, MAX_BYTES, assert_lists};
use attestation::identity::{Identity, MAX_EVENTS};
use attestation::lists::{ListKey, Listed};
use tlog::LeafIndex;
use tlog::key::SignerKey;
use trust::{
    self, ACTIVE_WEEKS, Against, CONFIRMER_WEEKS, Confirmation, EdgeEvent, EdgeKind, FULL_WEEKS, JudgeError,
    Ledger, Logged, Negative, Params, Verdict, is_qualified, iso_week,
};

use log_core::StoreError;
use log_core::keys::List;
use log_core::port::Direction;

use crate::view::View;

mod published;

use published::PublishedLedger;

pub use published::TIME;

/// A question that evidence answers.
#[derive(Clone, Debug)]
pub struct Question {
    /// The DID that is judged.
    pub did: Did,
    /// By which roots and settings; `None`: only the state of the DID.
    pub trust: Option<Params>,
    /// Whether it is asked how messages reach the DID.
    pub messages: bool,
    /// The moment to judge.
    pub time: LogTime,
}

/// Evidence as of what `view` shows, with the log's word on the lists.
pub fn gather(view: &View, key: &SignerKey, question: &Question) -> Result<Evidence, GatherError> {
    gather_within(view, key, question, TIME)
}

/// The same, within a time of the caller's choice.
pub fn gather_within(
    view: &View,
    key: &SignerKey,
    question: &Question,
    budget: Duration,
) -> Result<Evidence, GatherError> {
    let published = PublishedLedger::new(view, question.trust.as_ref(), question.time).within(budget);
    let gathering = Gathering::new(&published, question);
    match &question.trust {
        None => {
            gathering.identity(question.did)?;
        }
        Some(params) => {
            let found = trust::search(&published, params, question.did, question.time).map_err(of_judge)?;
            trust::judge(&gathering, params, &found.paths, question.did, question.time).map_err(of_judge)?;
            gathering.show_warnings_among(params)?;
        }
    }
    if question.messages {
        gathering.show_message_keys()?;
    }
    gathering.finish(key)
}

/// How far `did` is trusted by `params`, as of what `view` shows. Of its history only what others say against it is read: ask
/// with a floor of 1, where the rest changes nothing.
pub fn judge(view: &View, params: &Params, did: Did, time: LogTime) -> Result<Verdict, GatherError> {
    let published = PublishedLedger::new(view, Some(params), time);
    let found = trust::search(&published, params, did, time).map_err(of_judge)?;
    trust::judge(&published, params, &found.paths, did, time).map_err(of_judge)
}

/// The vouches for `did` that count now, whoever they are by.
pub fn vouches_for(view: &View, did: Did, time: LogTime) -> Result<Vec<EdgeEvent>, GatherError> {
    PublishedLedger::new(view, None, time).live_vouches(ListKey::In(did), |from| (from, did))
}

/// The vouches by `did` that count now.
pub fn vouches_by(view: &View, did: Did, time: LogTime) -> Result<Vec<EdgeEvent>, GatherError> {
    PublishedLedger::new(view, None, time).live_vouches(ListKey::Out(did), |to| (did, to))
}

fn of_judge(error: JudgeError<GatherError>) -> GatherError {
    match error {
        JudgeError::Ledger { error, .. } => error,
        // What is asked was read as parameters, and the search finds no more paths than can be judged.
        error => GatherError::Store(StoreError::new("judge", error)),
    }
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// More than fits a file: the client has to read the whole log.
    #[error("the evidence would be larger than {MAX_BYTES} bytes")]
    TooMuch,
    /// More work than one question may cost.
    #[error("the evidence takes longer than {} s to gather", TIME.as_secs())]
    TooSlow,
    /// The disk, or what is on it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The most entries of evidence: with proofs they fill about [`MAX_BYTES`].
const MAX_ENTRIES: usize = 2_048;

/// The most lines of a list.
const MAX_LINES: usize = 50_000;

/// An empty list costs as much space as this many lines.
const PAIR_LINES: usize = 4;

/// Only the newest confirmations are looked at, so that flooding cannot crowd out honest confirmers.
const MAX_CONFIRMATIONS: usize = 1 << 18;

/// The most leaves of confirmations of one confirmer that are looked at.
const MAX_CONFIRMATIONS_READ: usize = 64;

/// The published entries, and a note of all that was asked for.
struct Gathering<'p> {
    from: &'p PublishedLedger<'p>,
    question: &'p Question,
    lists: RefCell<Lists>,
    entries: RefCell<BTreeSet<LeafIndex>>,
    /// The DIDs and scopes for which the judge asked what a root said last.
    roots: RefCell<BTreeMap<Did, BTreeSet<(Did, Scope)>>>,
}

impl<'p> Gathering<'p> {
    fn new(from: &'p PublishedLedger<'p>, question: &'p Question) -> Self {
        let (lists, entries, roots) = (RefCell::default(), RefCell::default(), RefCell::default());
        Self { from, question, lists, entries, roots }
    }

    /// A list, which becomes part of the evidence.
    fn list(&self, key: ListKey) -> Result<Vec<Listed>, GatherError> {
        if let Some(list) = self.lists.borrow().get(&key) {
            return Ok(list.clone());
        }
        let list = self.from.list(key, MAX_LINES)?;
        self.lists.borrow_mut().insert(key, list.clone());
        Ok(list)
    }

    /// The state of the DID, all its `message-keys` events by their lines, and the last of them.
    fn show_message_keys(&self) -> Result<(), GatherError> {
        self.identity(self.question.did)?;
        let list = self.list(ListKey::Messages(self.question.did))?;
        list.last().map_or(Ok(()), |last| self.take(last.index))
    }

    /// An entry, which becomes part of the evidence.
    fn take(&self, index: LeafIndex) -> Result<(), GatherError> {
        let mut entries = self.entries.borrow_mut();
        entries.insert(index);
        if entries.len() > MAX_ENTRIES { Err(GatherError::TooMuch) } else { Ok(()) }
    }

    /// Adds the distrusts of roots by other roots: no path leads over such a root, and a client that looks for paths in
    /// the evidence must see that, too.
    fn show_warnings_among(&self, params: &Params) -> Result<(), GatherError> {
        for (root, _) in params.roots() {
            for (by, _) in params.roots().filter(|(by, _)| *by != root) {
                for scope in Scope::ALL.iter().copied().filter(|scope| params.scope().matches(*scope)) {
                    let last = self.from.latest(by, root, scope)?;
                    if last.is_some_and(|event| event.kind == EdgeKind::Distrust) {
                        self.latest(by, root, scope)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds what the roots said: of each root its whole `out` list, or the `edge` lists about those who matter, whichever
    /// is shorter. So neither a root that says much nor a target about whom many strangers speak makes it too long.
    fn add_roots(&self) -> Result<(), GatherError> {
        for (root, asked) in self.roots.take() {
            match self.from.list(ListKey::Out(root), asked.len() * PAIR_LINES) {
                Ok(list) => {
                    self.lists.borrow_mut().insert(ListKey::Out(root), list);
                }
                Err(GatherError::TooMuch) => {
                    for (to, scope) in asked {
                        self.from.check_time()?;
                        self.list(ListKey::Edge(root, to, scope))?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(self, key: &SignerKey) -> Result<Evidence, GatherError> {
        self.add_roots()?;
        let (view, lists) = (self.from.view, self.lists.into_inner());
        let published = view.published();
        let mut elements = Vec::new();
        let mut bytes = 0;
        for index in self.entries.into_inner() {
            let missing = || StoreError::new("read", format!("leaf {index} is missing"));
            let leaf = view.leaf(index)?.ok_or_else(missing)?;
            let hashes = view.inclusion(index, published.size())?;
            // Base64 and what stands around it.
            bytes += leaf.len() * 4 / 3 + hashes.len() * 64 + 128;
            if bytes > MAX_BYTES {
                return Err(GatherError::TooMuch);
            }
            elements.push(Element { index, leaf, hashes });
        }
        let assertion = assert_lists(key, &published.checkpoint, &lists);
        let evidence = Evidence { checkpoint: published.note.clone(), assertion, lists, elements };
        if evidence.to_json().len() > MAX_BYTES { Err(GatherError::TooMuch) } else { Ok(evidence) }
    }

    /// The last receipt that counts of each of the last weeks.
    fn weekly(&self, did: Did) -> Result<Vec<Logged>, GatherError> {
        let Some(subject) = self.from.identity(did)? else { return Ok(Vec::new()) };
        let key = List::Named(ListKey::Receipts(did));
        let mut weekly = Vec::new();
        let mut before = self.from.view.published().size().get();
        while let (Some(from), true) = (before.checked_sub(1), (weekly.len() as u64) < ACTIVE_WEEKS) {
            let Some(index) =
                self.from.view.list(&key, from, Direction::Descending, 1)?.pop().map(|l| l.index)
            else {
                break;
            };
            if subject.recovered().is_some_and(|recovery| index <= recovery) {
                break;
            }
            if let Some(window) = subject.windows().iter().find(|window| window.covers(index)) {
                before = window.since.get();
                continue;
            }
            let Some(time) = self.from.logged_at(index)? else { break };
            let week = iso_week(time);
            before = self.from.first_from(index.get(), |time| iso_week(time) < week)?;
            weekly.push(Logged { index, time });
        }
        weekly.reverse();
        Ok(weekly)
    }

    /// The confirmers that count, each with its confirmations, newest first. Confirmers whose state is shortest to prove
    /// come first.
    fn confirmers(&self, did: Did) -> Result<Vec<(Did, Vec<Listed>)>, GatherError> {
        let Some(params) = &self.question.trust else { return Ok(Vec::new()) };
        let mut by_did: BTreeMap<Did, Vec<Listed>> = BTreeMap::new();
        for listed in self.from.newest(ListKey::Pos(did), MAX_CONFIRMATIONS)?.into_iter().rev() {
            by_did.entry(listed.peer).or_default().push(listed);
        }
        let mut confirmers = Vec::new();
        for (confirmer, lines) in by_did {
            self.from.check_time()?;
            if confirmer != did
                && is_qualified(self.from, params, confirmer, self.question.time).map_err(of_judge)?
            {
                let events = self.from.list(ListKey::Id(confirmer), MAX_EVENTS as usize)?.len();
                confirmers.push((events, confirmer, lines));
            }
        }
        confirmers.sort_unstable_by_key(|(events, confirmer, _)| (*events, *confirmer));
        Ok(confirmers.into_iter().map(|(_, confirmer, lines)| (confirmer, lines)).collect())
    }

    /// A confirmation of each of as many weeks as count for one confirmer, of its `lines`, the newest first.
    fn confirmed(
        &self,
        subject: &Identity,
        confirmer: &Identity,
        lines: &[Listed],
    ) -> Result<Vec<(Listed, Confirmation)>, GatherError> {
        let (mut chosen, mut before) = (Vec::new(), u64::MAX);
        let mut reads = 0..MAX_CONFIRMATIONS_READ;
        for listed in lines {
            if chosen.len() == CONFIRMER_WEEKS {
                break;
            }
            // Its week is confirmed already, or its signer is unknown.
            if listed.index.get() >= before || confirmer.is_void(listed.index) {
                continue;
            }
            if reads.next().is_none() {
                break;
            }
            let (entry, trust) = self.from.trust_event(listed.index)?;
            let TrustEvent::Confirmation { receipt, build, .. } = trust else { continue };
            let (receipt, build) = (receipt.index, build.index);
            // A confirmation that the judge does not count must not take the place of one that it does.
            let counts = subject.recovered().is_none_or(|recovery| receipt > recovery)
                && !subject.is_void(receipt)
                && !confirmer.is_void(build);
            if counts {
                let logged = Logged { index: listed.index, time: entry.logged_at() };
                let week = iso_week(logged.time);
                before = self.from.first_from(listed.index.get(), |time| iso_week(time) < week)?;
                chosen.push((*listed, Confirmation { logged, from: listed.peer, receipt, build }));
            }
        }
        Ok(chosen)
    }
}

impl Ledger for Gathering<'_> {
    type Error = GatherError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, GatherError> {
        for listed in self.list(ListKey::Id(did))? {
            self.take(listed.index)?;
        }
        self.from.identity(did)
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, GatherError> {
        if self.question.trust.as_ref().is_some_and(|params| params.root(from).is_some()) {
            self.roots.borrow_mut().entry(from).or_default().insert((to, scope));
        } else {
            self.list(ListKey::Edge(from, to, scope))?;
        }
        let event = self.from.latest(from, to, scope)?;
        if event.is_some() {
            self.identity(from)?;
            let lines = self.from.list(ListKey::Edge(from, to, scope), MAX_LINES)?;
            // And those that could be the same one, to show that they are not.
            for line in lines.iter().filter(|line| lines.last().is_some_and(|last| last.could_be(line))) {
                self.take(line.index)?;
            }
        }
        Ok(event)
    }

    fn against(&self, did: Did) -> Result<Vec<Against>, GatherError> {
        self.list(ListKey::Neg(did))?;
        self.from.against(did)
    }

    fn negative(&self, did: Did, against: &Against) -> Result<Negative, GatherError> {
        self.take(against.index)?;
        self.from.negative(did, against)
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, GatherError> {
        let (mut lines, mut confirmations) = (Vec::new(), Vec::new());
        if let Some(subject) = self.from.identity(did)?.map(Cow::into_owned) {
            for (confirmer, listed) in self.confirmers(did)? {
                let Some(identity) = self.from.identity(confirmer)? else { continue };
                let chosen = self.confirmed(&subject, &identity, &listed)?;
                if !chosen.is_empty() {
                    self.identity(confirmer)?;
                }
                for (listed, confirmation) in chosen {
                    for index in [listed.index, confirmation.receipt, confirmation.build] {
                        self.take(index)?;
                    }
                    lines.push(listed);
                    confirmations.push(confirmation);
                }
                if confirmations.len() >= FULL_WEEKS {
                    break;
                }
            }
        }
        lines.sort_unstable();
        self.lists.borrow_mut().insert(ListKey::Pos(did), lines);
        Ok(confirmations)
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, GatherError> {
        let weekly = self.weekly(did)?;
        for logged in &weekly {
            self.take(logged.index)?;
        }
        let lines = weekly.iter().map(|logged| Listed::receipt(logged.index, did)).collect();
        self.lists.borrow_mut().insert(ListKey::Receipts(did), lines);
        Ok(weekly)
    }
}
