//! The front's role: gives admitted entries their place, through whatever befalls the calls. It holds no key.

use std::collections::HashMap;
use std::sync::Arc;

use attestation::entry::{ClaimHash, LogTime};

use tlog::{LeafIndex, TreeSize};

use crate::StoreError;
use crate::admit::Admitted;
use crate::metrics;
use crate::plan::{Round, dids, plan, versions_behind, wants};
use crate::port::{Call, Failed, FrontEngine, OrderState, Reads, Sequencing};
use crate::registry::Registry;
use crate::ticket::{Committed, NotTaken, Sequenced, Unavailable};

/// Orders entries, and follows the states of DIDs.
pub struct Orderer<E> {
    engine: Arc<E>,
    registry: Arc<Registry>,
    max_pending: u64,
}

impl<E: FrontEngine> Orderer<E> {
    /// Orders in `engine`, of which at most `max_pending` entries may wait for their integration.
    pub fn new(engine: Arc<E>, at: &OrderState, max_pending: u64) -> Self {
        let reads: Arc<dyn Reads> = engine.clone();
        Self { engine, registry: Arc::new(Registry::new(reads, at)), max_pending }
    }

    /// The states of DIDs as ordered, to be shared with admission.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Orders a batch: what became of each entry, in its order. `time` is the front's, Unix milliseconds, and one that a leaf
    /// can carry.
    ///
    /// A call that failed is never repeated blindly: the next thing that happens is that the facts are read, and they say
    /// which claims stand in the log. An error means that they could not be read: nobody knows what was written, and the
    /// process must stop.
    pub async fn order(&self, batch: &[Admitted], time: u64) -> Result<Vec<Sequenced>, StoreError> {
        let mut outcomes: Vec<Option<Sequenced>> = Vec::new();
        outcomes.resize_with(batch.len(), || None);
        let mut left: Vec<usize> = (0..batch.len()).collect();
        let mut last_word = Unavailable::Full;
        for _ in 0..MAX_TRIES {
            match self.once(batch, &left, time, &mut outcomes).await? {
                Once::Done => break,
                Once::Again(reason) => last_word = reason,
                Once::NotNow(reason) => {
                    last_word = reason;
                    break;
                }
            }
            left.retain(|at| outcomes[*at].is_none());
        }
        // A claim that came twice has one outcome.
        let mut first: HashMap<ClaimHash, usize> = HashMap::new();
        if outcomes.iter().any(Option::is_none) {
            for (at, admitted) in batch.iter().enumerate() {
                if outcomes[at].is_some() {
                    first.entry(admitted.claim).or_insert(at);
                }
            }
        }
        for (at, admitted) in batch.iter().enumerate().filter(|_| !first.is_empty()) {
            if let (None, Some(first)) = (&outcomes[at], first.get(&admitted.claim)) {
                outcomes[at] = outcomes[*first].clone();
            }
        }
        let not_now = || Err(NotTaken::Unavailable(last_word.clone()));
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(not_now)).collect())
    }

    /// Facts, plan, call.
    async fn once(
        &self,
        all: &[Admitted],
        left: &[usize],
        time: u64,
        outcomes: &mut [Option<Sequenced>],
    ) -> Result<Once, StoreError> {
        let batch: Vec<&Admitted> = left.iter().map(|at| &all[*at]).collect();
        let batch = &batch[..];
        let (wants, facts, states) = loop {
            let states = self.registry.known_states(dids(batch));
            let wants = wants(batch, &states);
            let facts = self.engine.facts(&wants)?;
            if facts.at.versions == self.registry.versions() {
                break (wants, facts, states);
            }
            // Others have ordered events: what is in memory is of before them.
            self.registry.follow()?;
        };
        let time = LogTime::from_millis(time.max(facts.at.logged_at))
            .ok_or_else(|| StoreError::new("plan a round", "the time is later than a leaf can carry"))?;
        let round = plan(batch, &wants, &facts, &states, time)?;
        for (at, placed) in &round.known {
            let leaf = placed.leaf.as_slice().into();
            outcomes[left[*at]] = Some(Ok(Committed { index: placed.index, leaf, was_known: true }));
        }
        if round.new.is_empty() {
            refuse(&round, left, outcomes);
            self.registry.commit(&facts.at.versions, &facts.at, round.news);
            return Ok(Once::Done);
        }
        let entries = round.proposed(batch);
        let call = Call { entries: &entries, checked: &facts.at, time, max_pending: self.max_pending };
        let (first, logged_at) = match self.engine.sequence(&call).await {
            Ok(Sequencing::Sequenced { first, logged_at }) => (first, logged_at),
            Ok(Sequencing::Known(_) | Sequencing::Stale(_)) => return Ok(Once::Again(Unavailable::Full)),
            Ok(Sequencing::Full) => return Ok(Once::NotNow(Unavailable::Full)),
            Ok(Sequencing::Closed(why)) => return Ok(Once::NotNow(Unavailable::Closed(why))),
            Err(Failed::Lost(error)) => {
                tracing::warn!(%error, "a call to order entries was lost, and is sent again");
                return Ok(Once::Again(Unavailable::Closed("its database does not answer".into())));
            }
            Err(Failed::Unknown(error)) => {
                tracing::warn!(%error, "what became of a call to order entries is not known: reading what is there");
                return Ok(Once::Again(Unavailable::Closed("its database does not answer".into())));
            }
        };
        let next = TreeSize::new(first.get() + entries.len() as u64);
        let at = OrderState {
            next,
            logged_at: logged_at.as_millis(),
            versions: versions_behind(&call, first, facts.at.versions),
            ..facts.at
        };
        drop(entries);
        refuse(&round, left, outcomes);
        metrics::committed(round.new.len(), next.get());
        for (new, index) in round.new.into_iter().zip(first.get()..) {
            let admitted = batch[new.at];
            let leaf = if logged_at == time { new.leaf } else { admitted.entry.to_leaf(logged_at) };
            let index = LeafIndex::new(index);
            outcomes[left[new.at]] = Some(Ok(Committed { index, leaf: leaf.into(), was_known: false }));
        }
        if first.get() == facts.at.next.get() {
            self.registry.commit(&facts.at.versions, &at, round.news);
        } else {
            // Others have ordered artifacts meanwhile: states say since which index they hold, and that is another one now.
            self.registry.follow()?;
        }
        Ok(Once::Done)
    }
}

/// Tells what was refused. The entry whose rule was broken may be one of the same round: so it is said once that round is
/// ordered, and not of one that came to nothing.
fn refuse(round: &Round, left: &[usize], outcomes: &mut [Option<Sequenced>]) {
    for (at, refusal) in &round.refused {
        outcomes[left[*at]] = Some(Err(refusal.clone().into()));
    }
}

enum Once {
    /// Every entry of the batch has its outcome.
    Done,
    /// Some may have none: read again.
    Again(Unavailable),
    /// Nothing is ordered now.
    NotNow(Unavailable),
}

/// How often a batch is planned anew before its clients are asked to come again.
const MAX_TRIES: usize = 8;
