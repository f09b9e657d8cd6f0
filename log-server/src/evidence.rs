//! Evidence: what a judgement of trust is made from, for somebody who will make it without this log
//! (`specs/evidence.md`). Reads what is published, and believes nothing of what is asked.
//!
//! The log judges as the asker will, and writes down what the judgement touches: these lists whole, with the
//! entries in them that count. Of what can only raise a score it chooses as much as counts.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use attestation::did::Did;
use attestation::entry::{Entry, LogTime};
use attestation::event::{Body, EventEntry, Scope, TrustEvent};
use attestation::evidence::{Element, Evidence, Lists, MAX_BYTES, assert_lists};
use attestation::identity::Identity;
use attestation::lists::{ListKey, Listed, ListedKind};
use attestation::trust::{
    self, Confirmation, EdgeEvent, EdgeKind, Graph, JudgeError, Ledger, Logged, Negative, NegativeKind,
    Params, iso_week,
};
use tlog::LeafIndex;
use tlog::key::SignerKey;

use crate::registry;
use crate::store::schema::{List, Read as _};
use crate::store::{Order, StoreError};
use crate::view::View;

/// What somebody wants evidence of.
#[derive(Clone, Debug)]
pub struct Question {
    /// About whom.
    pub did: Did,
    /// By which roots and settings; `None`: only the state of the DID.
    pub trust: Option<Params>,
    /// The moment to judge.
    pub time: LogTime,
}

/// Evidence as of what `view` shows, with the log's word on the lists.
pub fn gather(view: &View, key: &SignerKey, question: &Question) -> Result<Evidence, GatherError> {
    let reads = Reads::new(view);
    let gathering = Gathering::new(&reads);
    match &question.trust {
        None => {
            gathering.identity(question.did)?;
        }
        Some(params) => {
            let search = Searching::new(&reads, params)?;
            let found = trust::search(&search, params, question.did, question.time).map_err(of_judge)?;
            trust::judge(&gathering, params, &found.paths, question.did, question.time).map_err(of_judge)?;
        }
    }
    gathering.finish(key)
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
    /// More than fits a file: whoever wants it reads the whole log.
    #[error("the evidence would be larger than {MAX_BYTES} bytes")]
    TooMuch,
    /// More work than one question may cost.
    #[error("the evidence takes longer than {} s to gather", TIME.as_secs())]
    TooSlow,
    /// The disk, or what is on it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The most leaves that are read for one search.
const MAX_READS: usize = 20_000;

/// The most entries of lists that are looked at, and of one list.
const MAX_LISTED: usize = 1 << 18;

/// The most entries of a list, and of evidence: with proofs they fill about [`MAX_BYTES`].
const MAX_ENTRIES: usize = 2_048;

/// The most entries of a list of what speaks against a DID: of whom no root speaks, only the list has a line.
const MAX_LINES: usize = 50_000;

/// Weeks that history looks back.
const WEEKS: usize = 26;

/// Weeks of one confirmer that count.
const CONFIRMER_WEEKS: usize = 4;

/// The published entries of a list.
fn list(view: &View, key: ListKey, most: usize) -> Result<Vec<Listed>, GatherError> {
    let mut found = view.store().list(&List::Named(key), 0, Order::Ascending, most + 1)?;
    found.retain(|listed| view.published().size().contains(listed.index));
    if found.len() > most { Err(GatherError::TooMuch) } else { Ok(found) }
}

/// The newest published entries of a list that can only help: whoever fills it keeps nobody out.
fn newest(view: &View, key: ListKey) -> Result<Vec<Listed>, GatherError> {
    let last = view.published().size().get().saturating_sub(1);
    let mut found = view.store().list(&List::Named(key), last, Order::Descending, MAX_LISTED)?;
    found.retain(|listed| view.published().size().contains(listed.index));
    found.reverse();
    Ok(found)
}

fn entry(view: &View, index: LeafIndex) -> Result<Entry, GatherError> {
    let damaged = |cause: String| StoreError::new("read", format!("leaf {index}: {cause}"));
    let leaf = view.leaf(index)?.ok_or_else(|| damaged("it is missing".into()))?;
    Ok(Entry::parse(&leaf).map_err(|error| damaged(error.to_string()))?)
}

fn event(view: &View, index: LeafIndex) -> Result<Box<EventEntry>, GatherError> {
    match entry(view, index)? {
        Entry::Event(event) => Ok(event),
        _ => Err(StoreError::new("read", format!("leaf {index} is no event")).into()),
    }
}

fn trust_event(view: &View, index: LeafIndex) -> Result<(Box<EventEntry>, TrustEvent), GatherError> {
    let event = event(view, index)?;
    match event.event().body() {
        Body::Trust(trust) => {
            let trust = trust.clone();
            Ok((event, trust))
        }
        Body::Identity(_) => Err(StoreError::new("read", format!("leaf {index} is no trust event")).into()),
    }
}

fn edge(view: &View, listed: &Listed) -> Result<EdgeEvent, GatherError> {
    let (entry, trust) = trust_event(view, listed.index)?;
    let other = || StoreError::new("read", format!("leaf {} is no vouch", listed.index));
    Ok(EdgeEvent {
        logged: Logged { index: listed.index, time: entry.logged_at() },
        from: entry.event().issuer(),
        to: entry.event().subject(),
        scope: trust.scope().ok_or_else(other)?,
        kind: EdgeKind::of(&trust).ok_or_else(other)?,
    })
}

/// The last entry for each peer and scope.
fn latest(list: &[Listed]) -> Vec<Listed> {
    let latest: BTreeMap<_, Listed> =
        list.iter().map(|listed| ((listed.peer, listed.scope), *listed)).collect();
    latest.into_values().collect()
}

/// What one question has read: states once each, and all of it within a time.
struct Reads<'v> {
    view: &'v View,
    states: RefCell<HashMap<Did, Option<Identity>>>,
    until: Instant,
}

impl<'v> Reads<'v> {
    fn new(view: &'v View) -> Self {
        Self { view, states: RefCell::default(), until: Instant::now() + TIME }
    }

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, GatherError> {
        if let Some(state) = self.states.borrow().get(&did) {
            return Ok(state.clone().map(Cow::Owned));
        }
        self.check_time()?;
        let state = registry::identity_at(self.view.store(), did, self.view.published().size())?;
        self.states.borrow_mut().insert(did, state.clone());
        Ok(state.map(Cow::Owned))
    }

    fn edge(&self, listed: &Listed) -> Result<EdgeEvent, GatherError> {
        self.check_time()?;
        edge(self.view, listed)
    }

    fn check_time(&self) -> Result<(), GatherError> {
        if Instant::now() < self.until { Ok(()) } else { Err(GatherError::TooSlow) }
    }
}

/// How long gathering may take.
const TIME: Duration = Duration::from_secs(3);

/// The published entries as a graph to find paths in; reads are bounded.
struct Searching<'r> {
    from: &'r Reads<'r>,
    view: &'r View,
    /// Those to whom vouches lead from the roots; `None` if they are too many. Anybody can vouch for anybody:
    /// what a stranger says is passed over before its leaf is read.
    reached: Option<HashSet<Did>>,
    reads: Cell<usize>,
}

impl<'r> Searching<'r> {
    fn new(from: &'r Reads<'r>, params: &Params) -> Result<Self, GatherError> {
        let view = from.view;
        Ok(Self { from, view, reached: reached(view, params)?, reads: Cell::new(MAX_READS) })
    }

    fn edges(&self, key: ListKey) -> Result<Vec<EdgeEvent>, GatherError> {
        let list = match key {
            ListKey::In(_) => newest(self.view, key)?,
            _ => list(self.view, key, MAX_LISTED)?,
        };
        let mut latest = latest(&list);
        if let (ListKey::In(_), Some(reached)) = (key, &self.reached) {
            latest.retain(|listed| reached.contains(&listed.peer));
        }
        let left = self.reads.get().checked_sub(latest.len()).ok_or(GatherError::TooMuch)?;
        self.reads.set(left);
        latest.iter().map(|listed| self.from.edge(listed)).collect()
    }
}

/// The roots, and those to whom vouches lead from them, whatever these are worth.
fn reached(view: &View, params: &Params) -> Result<Option<HashSet<Did>>, GatherError> {
    let mut reached: HashSet<Did> = params.roots().map(|(root, _)| root).collect();
    let mut edge: Vec<Did> = reached.iter().copied().collect();
    let mut left = MAX_LISTED;
    for _ in 1..params.max_hops() {
        let mut next = Vec::new();
        for from in edge {
            let Ok(list) = list(view, ListKey::Out(from), left) else { return Ok(None) };
            left -= list.len();
            let vouched = latest(&list).into_iter().filter(|listed| listed.kind == ListedKind::Vouch);
            next.extend(vouched.map(|listed| listed.peer).filter(|did| reached.insert(*did)));
        }
        edge = next;
    }
    Ok(Some(reached))
}

impl Ledger for Searching<'_> {
    type Error = GatherError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, GatherError> {
        self.from.identity(did)
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, GatherError> {
        let list = list(self.view, ListKey::Edge(from, to, scope), MAX_ENTRIES)?;
        list.last().map(|listed| edge(self.view, listed)).transpose()
    }

    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, GatherError> {
        self.edges(ListKey::Out(from))
    }

    // A search asks for vouches only.
    fn negatives(&self, _: Did) -> Result<Vec<Negative>, GatherError> {
        Ok(Vec::new())
    }

    fn confirmations(&self, _: Did) -> Result<Vec<Confirmation>, GatherError> {
        Ok(Vec::new())
    }

    fn receipts(&self, _: Did) -> Result<Vec<Logged>, GatherError> {
        Ok(Vec::new())
    }
}

impl Graph for Searching<'_> {
    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, GatherError> {
        self.edges(ListKey::In(to))
    }
}

/// The published entries, and a note of all that was asked for.
struct Gathering<'r> {
    from: &'r Reads<'r>,
    view: &'r View,
    lists: RefCell<Lists>,
    entries: RefCell<BTreeSet<LeafIndex>>,
}

impl<'r> Gathering<'r> {
    fn new(from: &'r Reads<'r>) -> Self {
        Self { from, view: from.view, lists: RefCell::default(), entries: RefCell::default() }
    }

    /// A list, which becomes part of the evidence.
    fn list(&self, key: ListKey) -> Result<Vec<Listed>, GatherError> {
        if let Some(list) = self.lists.borrow().get(&key) {
            return Ok(list.clone());
        }
        let most = if matches!(key, ListKey::Neg(_)) { MAX_LINES } else { MAX_ENTRIES };
        let list = list(self.view, key, most)?;
        self.lists.borrow_mut().insert(key, list.clone());
        Ok(list)
    }

    /// An entry, which becomes part of the evidence.
    fn take(&self, index: LeafIndex) -> Result<(), GatherError> {
        let mut entries = self.entries.borrow_mut();
        entries.insert(index);
        if entries.len() > MAX_ENTRIES { Err(GatherError::TooMuch) } else { Ok(()) }
    }

    fn edge(&self, listed: &Listed) -> Result<EdgeEvent, GatherError> {
        self.take(listed.index)?;
        self.from.edge(listed)
    }

    /// Whether a DID is a root, or one that a root speaks of, among the lists so far: a judgement asks for
    /// those first.
    fn is_spoken_of(&self, did: Did) -> bool {
        self.lists.borrow().iter().any(|(key, list)| match key {
            ListKey::Out(root) => *root == did || list.iter().any(|listed| listed.peer == did),
            _ => false,
        })
    }

    /// The last receipt of each of the last weeks.
    fn weekly(&self, did: Did) -> Result<Vec<Listed>, GatherError> {
        let key = List::Named(ListKey::Receipts(did));
        let store = self.view.store();
        let mut weekly = Vec::new();
        let mut before = self.view.published().size().get();
        while let (Some(from), true) = (before.checked_sub(1), weekly.len() < WEEKS) {
            let Some(listed) = store.list(&key, from, Order::Descending, 1)?.pop() else { break };
            let Some(time) = logged_at(self.view, listed.index)? else { break };
            before = first_of_week(self.view, iso_week(time), listed.index)?;
            weekly.push(listed);
        }
        weekly.reverse();
        Ok(weekly)
    }

    fn finish(self, key: &SignerKey) -> Result<Evidence, GatherError> {
        let published = self.view.published();
        let lists = self.lists.into_inner();
        let mut elements = Vec::new();
        let mut bytes = 0;
        for index in self.entries.into_inner() {
            let missing = || StoreError::new("read", format!("leaf {index} is missing"));
            let leaf = self.view.leaf(index)?.ok_or_else(missing)?;
            let hashes = self.view.inclusion(index, published.size())?;
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
}

/// Whether a confirmation, of this receipt and build, counts (`specs/trust.md`): behind the subject's last recovery,
/// and nothing of it void.
fn counts(subject: &Identity, confirmer: &Identity, [said, receipt, build]: [LeafIndex; 3]) -> bool {
    subject.recovered().is_none_or(|recovery| receipt > recovery)
        && !subject.is_void(receipt)
        && !confirmer.is_void(said)
        && !confirmer.is_void(build)
}

/// When an entry was logged; `None` of one that is not understood.
fn logged_at(view: &View, index: LeafIndex) -> Result<Option<LogTime>, GatherError> {
    Ok(match entry(view, index)? {
        Entry::Dsse(entry) => Some(entry.logged_at()),
        Entry::Event(event) => Some(event.logged_at()),
        Entry::NotUnderstood { .. } => None,
    })
}

/// The first index of a week, at most `index`, which is of that week. Times never fall along a log.
fn first_of_week(view: &View, week: u64, index: LeafIndex) -> Result<u64, GatherError> {
    let (mut low, mut high) = (0, index.get());
    while low < high {
        let middle = low + (high - low) / 2;
        // One without a time says nothing: the week may begin behind it, and one entry too many is looked at.
        let is_before = logged_at(view, LeafIndex::new(middle))?.is_some_and(|time| iso_week(time) < week);
        if is_before {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
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
        self.identity(from)?;
        let list = self.list(ListKey::Edge(from, to, scope))?;
        list.last().map(|listed| self.edge(listed)).transpose()
    }

    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, GatherError> {
        self.identity(from)?;
        latest(&self.list(ListKey::Out(from))?).iter().map(|listed| self.edge(listed)).collect()
    }

    fn negatives(&self, did: Did) -> Result<Vec<Negative>, GatherError> {
        let mut negatives = Vec::new();
        for listed in self.list(ListKey::Neg(did))? {
            // Those of whom no root speaks count for nothing: the list alone says that they are there.
            if listed.kind != ListedKind::Equivocation && !self.is_spoken_of(listed.peer) {
                continue;
            }
            self.take(listed.index)?;
            self.identity(listed.peer)?;
            let (entry, trust) = trust_event(self.view, listed.index)?;
            let other = || StoreError::new("read", format!("leaf {} is no report", listed.index));
            negatives.push(Negative {
                logged: Logged { index: listed.index, time: entry.logged_at() },
                from: entry.event().issuer(),
                kind: NegativeKind::of(&trust).ok_or_else(other)?,
            });
        }
        Ok(negatives)
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, GatherError> {
        let mut chosen = Vec::new();
        let mut confirmations = Vec::new();
        let mut weeks: BTreeMap<Did, HashSet<u64>> = BTreeMap::new();
        let spoken_of: Vec<Listed> = newest(self.view, ListKey::Pos(did))?
            .into_iter()
            .filter(|listed| self.is_spoken_of(listed.peer))
            .collect();
        let Some(subject) = self.identity(did)?.map(Cow::into_owned) else { return Ok(confirmations) };
        for listed in spoken_of.into_iter().rev() {
            self.from.check_time()?;
            let (entry, trust) = trust_event(self.view, listed.index)?;
            let TrustEvent::Confirmation { receipt, build, .. } = trust else { continue };
            let Some(confirmer) = self.from.identity(listed.peer)? else { continue };
            // What the judge does not count must not stand in the way of what it does.
            if !counts(&subject, &confirmer, [listed.index, receipt.index, build.index]) {
                continue;
            }
            let weeks = weeks.entry(listed.peer).or_default();
            if weeks.len() >= CONFIRMER_WEEKS || !weeks.insert(iso_week(entry.logged_at())) {
                continue;
            }
            for index in [listed.index, receipt.index, build.index] {
                self.take(index)?;
            }
            self.identity(listed.peer)?;
            let logged = Logged { index: listed.index, time: entry.logged_at() };
            let (receipt, build) = (receipt.index, build.index);
            confirmations.push(Confirmation { logged, from: listed.peer, receipt, build });
            chosen.push(listed);
        }
        chosen.reverse();
        self.lists.borrow_mut().insert(ListKey::Pos(did), chosen);
        Ok(confirmations)
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, GatherError> {
        let weekly = self.weekly(did)?;
        let mut receipts = Vec::with_capacity(weekly.len());
        for listed in &weekly {
            self.take(listed.index)?;
            if let Some(time) = logged_at(self.view, listed.index)? {
                receipts.push(Logged { index: listed.index, time });
            }
        }
        self.lists.borrow_mut().insert(ListKey::Receipts(did), weekly);
        Ok(receipts)
    }
}
