//! The published entries as a ledger and as a graph to find paths in. Who vouched for whom is read from the lines of
//! lists. A leaf is read only where a line does not say enough. All of it has a deadline.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use attestation::did::Did;
use attestation::entry::{Entry, LogTime};
use attestation::event::{Body, EventEntry, MAX_VOUCH_MILLIS, Scope, TrustEvent};
use attestation::identity::Identity;
use attestation::lists::{ListKey, Listed, ListedKind};
use tlog::LeafIndex;
use trust::{
    Against, Confirmation, EdgeEvent, EdgeKind, Graph, Ledger, Logged, Negative, NegativeKind, Params,
    is_live_vouch,
};

use super::GatherError;
use log_core::StoreError;
use log_core::keys::List;
use log_core::port::Direction;

use crate::view::View;

/// What one question reads.
pub(super) struct PublishedLedger<'v> {
    pub(super) view: &'v View,
    time: LogTime,
    states: RefCell<HashMap<Did, Option<Identity>>>,
    /// The last word of a root about each subject in each scope; `None` if it said too much to keep it all.
    said: RefCell<HashMap<Did, Option<Rc<Said>>>>,
    roots: HashSet<Did>,
    /// The DIDs to which vouches lead from the roots; `None` if they are too many. Anybody can vouch for anybody, so the
    /// vouches of all other DIDs are skipped before their states are read.
    reached: OnceCell<Option<HashSet<Did>>>,
    max_hops: u8,
    /// The first entry that may be less than a year old.
    year: OnceCell<LeafIndex>,
    strangers: Cell<usize>,
    until: Instant,
}

type Said = BTreeMap<(Did, Scope), Listed>;

/// How long gathering may take.
pub const TIME: Duration = Duration::from_secs(3);

/// The most vouches by others than roots that are looked at in one search.
const MAX_VOUCHES: usize = 20_000;

/// The most entries of lists that are looked at, and of one list.
const MAX_LISTED: usize = 1 << 18;

impl<'v> PublishedLedger<'v> {
    pub(super) fn new(view: &'v View, params: Option<&Params>, time: LogTime) -> Self {
        Self {
            view,
            time,
            states: RefCell::default(),
            said: RefCell::default(),
            roots: params.into_iter().flat_map(Params::roots).map(|(root, _)| root).collect(),
            reached: OnceCell::new(),
            max_hops: params.map_or(0, Params::max_hops),
            year: OnceCell::new(),
            strangers: Cell::new(MAX_VOUCHES),
            until: Instant::now() + TIME,
        }
    }

    /// Gathers within this time.
    pub(super) fn within(self, budget: Duration) -> Self {
        Self { until: Instant::now() + budget, ..self }
    }

    /// The published entries of a list, which has no more than `most`.
    pub(super) fn list(&self, key: ListKey, most: usize) -> Result<Vec<Listed>, GatherError> {
        let found = self.view.list(&List::Named(key), 0, Direction::Ascending, most + 1)?;
        if found.len() > most { Err(GatherError::TooMuch) } else { Ok(found) }
    }

    /// The newest published entries of a list, oldest first.
    pub(super) fn newest(&self, key: ListKey, most: usize) -> Result<Vec<Listed>, GatherError> {
        let mut found = self.view.list(&List::Named(key), u64::MAX, Direction::Descending, most)?;
        found.reverse();
        Ok(found)
    }

    pub(super) fn entry(&self, index: LeafIndex) -> Result<Entry, GatherError> {
        self.check_time()?;
        let damaged = |cause: String| StoreError::new("read", format!("leaf {index}: {cause}"));
        let leaf = self.view.leaf(index)?.ok_or_else(|| damaged("it is missing".into()))?;
        Ok(Entry::parse(&leaf).map_err(|error| damaged(error.to_string()))?)
    }

    pub(super) fn trust_event(&self, index: LeafIndex) -> Result<(Box<EventEntry>, TrustEvent), GatherError> {
        if let Entry::Event(event) = self.entry(index)?
            && let Body::Trust(trust) = event.event().body()
        {
            let trust = trust.clone();
            return Ok((event, trust));
        }
        Err(other(index))
    }

    /// When an entry was logged; `None` of one that is not understood.
    pub(super) fn logged_at(&self, index: LeafIndex) -> Result<Option<LogTime>, GatherError> {
        Ok(match self.entry(index)? {
            Entry::Dsse(entry) => Some(entry.logged_at()),
            Entry::Event(event) => Some(event.logged_at()),
            Entry::NotUnderstood { .. } => None,
        })
    }

    /// The first index, at most `end`, at or after which `is_before` holds for no entry. Times never fall along a log.
    pub(super) fn first_from(
        &self,
        end: u64,
        is_before: impl Fn(LogTime) -> bool,
    ) -> Result<u64, GatherError> {
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = low + (high - low) / 2;
            // An entry without a time decides nothing: begin before it, so that none is missed.
            if self.logged_at(LeafIndex::new(middle))?.is_some_and(&is_before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// What a line says. A vouch ends a year after it was logged at the latest, but a line has only its expiry, in whole
    /// hours, rounded up. Where that decides, the leaf is read; otherwise the vouch counts as logged now.
    fn edge(&self, from: Did, to: Did, listed: &Listed) -> Result<EdgeEvent, GatherError> {
        let kind = match (listed.kind, listed.level) {
            (ListedKind::Revocation, _) => EdgeKind::Revocation,
            (ListedKind::Distrust, _) => EdgeKind::Distrust,
            (ListedKind::Vouch, Some(level)) => {
                if listed.ends_in_the_hour_of(self.time) || listed.index < self.a_year_ago()? {
                    return self.edge_of_leaf(listed.index);
                }
                let expires_at = listed.ends_by().ok_or_else(|| other(listed.index))?;
                EdgeKind::Vouch { level, depth: listed.depth, expires_at }
            }
            _ => return Err(other(listed.index)),
        };
        let scope = listed.scope.ok_or_else(|| other(listed.index))?;
        let logged = Logged { index: listed.index, time: self.time };
        Ok(EdgeEvent { logged, from, to, scope, kind })
    }

    fn edge_of_leaf(&self, index: LeafIndex) -> Result<EdgeEvent, GatherError> {
        let (entry, trust) = self.trust_event(index)?;
        Ok(EdgeEvent {
            logged: Logged { index, time: entry.logged_at() },
            from: entry.event().issuer(),
            to: entry.event().subject(),
            scope: trust.scope().ok_or_else(|| other(index))?,
            kind: EdgeKind::of(&trust).ok_or_else(|| other(index))?,
        })
    }

    fn a_year_ago(&self) -> Result<LeafIndex, GatherError> {
        if let Some(year) = self.year.get() {
            return Ok(*year);
        }
        let ended = |time: LogTime| time.as_millis() + MAX_VOUCH_MILLIS <= self.time.as_millis();
        let year = LeafIndex::new(self.first_from(self.view.published().size().get(), ended)?);
        Ok(*self.year.get_or_init(|| year))
    }

    /// The vouches of a list of vouches for one DID, or by one, that count now. `edge` says of a peer who vouches for whom.
    pub(super) fn live_vouches(
        &self,
        list: ListKey,
        edge: impl Fn(Did) -> (Did, Did),
    ) -> Result<Vec<EdgeEvent>, GatherError> {
        let newest = self.newest(list, MAX_VOUCHES + 1)?;
        if newest.len() > MAX_VOUCHES {
            return Err(GatherError::TooMuch);
        }
        let mut live = Vec::new();
        for ((peer, _), listed) in latest(&newest) {
            let (from, to) = edge(peer);
            let event = self.edge(from, to, &listed)?;
            if self.identity(from)?.is_some_and(|issuer| is_live_vouch(&event, &issuer, self.time)) {
                live.push(event);
            }
        }
        Ok(live)
    }

    /// All that a root said last.
    fn said(&self, root: Did) -> Result<Option<Rc<Said>>, GatherError> {
        if let Some(said) = self.said.borrow().get(&root) {
            return Ok(said.clone());
        }
        self.check_time()?;
        let list = self.newest(ListKey::Out(root), MAX_LISTED)?;
        let said = (list.len() < MAX_LISTED).then(|| Rc::new(latest(&list)));
        self.said.borrow_mut().insert(root, said.clone());
        Ok(said)
    }

    /// The roots and all DIDs to which vouches of any worth lead from them.
    fn reached(&self) -> Result<Option<&HashSet<Did>>, GatherError> {
        if let Some(reached) = self.reached.get() {
            return Ok(reached.as_ref());
        }
        let mut reached: HashSet<Did> = self.roots.clone();
        let mut edge: Vec<Did> = reached.iter().copied().collect();
        let mut left = MAX_LISTED;
        for _ in 1..self.max_hops {
            let mut next = Vec::new();
            for from in edge {
                self.check_time()?;
                let list = self.newest(ListKey::Out(from), left + 1)?;
                let Some(now) = left.checked_sub(list.len()) else {
                    return Ok(self.reached.get_or_init(|| None).as_ref());
                };
                left = now;
                let vouched = latest(&list).into_values().filter(|listed| listed.kind == ListedKind::Vouch);
                next.extend(vouched.map(|listed| listed.peer).filter(|did| reached.insert(*did)));
            }
            edge = next;
        }
        Ok(self.reached.get_or_init(|| Some(reached)).as_ref())
    }

    pub(super) fn check_time(&self) -> Result<(), GatherError> {
        if Instant::now() < self.until { Ok(()) } else { Err(GatherError::TooSlow) }
    }
}

fn other(index: LeafIndex) -> GatherError {
    StoreError::new("read", format!("leaf {index} is not what a list says of it")).into()
}

/// The last entry for each peer and scope.
fn latest(list: &[Listed]) -> Said {
    list.iter().filter_map(|listed| Some(((listed.peer, listed.scope?), *listed))).collect()
}

impl Ledger for PublishedLedger<'_> {
    type Error = GatherError;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, GatherError> {
        if let Some(state) = self.states.borrow().get(&did) {
            return Ok(state.clone().map(Cow::Owned));
        }
        self.check_time()?;
        let state = self.view.identity(did)?;
        self.states.borrow_mut().insert(did, state.clone());
        Ok(state.map(Cow::Owned))
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, GatherError> {
        let said = if self.roots.contains(&from) { self.said(from)? } else { None };
        let last = match said {
            Some(said) => said.get(&(to, scope)).copied(),
            None => self.newest(ListKey::Edge(from, to, scope), 1)?.pop(),
        };
        last.map(|listed| self.edge(from, to, &listed)).transpose()
    }

    fn against(&self, did: Did) -> Result<Vec<Against>, GatherError> {
        let list = self.list(ListKey::Neg(did), super::MAX_LINES)?;
        let against = |listed: Listed| Against { index: listed.index, from: listed.peer, kind: listed.kind };
        Ok(list.into_iter().map(against).collect())
    }

    fn negative(&self, _: Did, against: &Against) -> Result<Negative, GatherError> {
        let (entry, trust) = self.trust_event(against.index)?;
        let kind = NegativeKind::of(&trust).ok_or_else(|| other(against.index))?;
        Ok(Negative { time: entry.logged_at(), kind })
    }

    // Which of them are worth sending is decided where they are gathered.
    fn confirmations(&self, _: Did) -> Result<Vec<Confirmation>, GatherError> {
        Ok(Vec::new())
    }

    fn receipts(&self, _: Did) -> Result<Vec<Logged>, GatherError> {
        Ok(Vec::new())
    }
}

impl Graph for PublishedLedger<'_> {
    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, GatherError> {
        let said = match self.said(from)? {
            Some(said) => said,
            // Of a root that said more than that, old vouches are not found. Its distrusts are asked for separately.
            None => Rc::new(latest(&self.newest(ListKey::Out(from), MAX_LISTED)?)),
        };
        said.iter().map(|((to, _), listed)| self.edge(from, *to, listed)).collect()
    }

    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, GatherError> {
        let reached = self.reached()?;
        let mut latest = latest(&self.newest(ListKey::In(to), MAX_LISTED)?);
        latest.retain(|(from, _), _| reached.is_none_or(|reached| reached.contains(from)));
        let strangers = latest.keys().filter(|(from, _)| !self.roots.contains(from)).count();
        let left = self.strangers.get().checked_sub(strangers).ok_or(GatherError::TooMuch)?;
        self.strangers.set(left);
        latest.iter().map(|((from, _), listed)| self.edge(*from, to, listed)).collect()
    }
}
