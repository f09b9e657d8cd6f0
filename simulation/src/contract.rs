//! What an engine must pass: the promises of the ports, each a function that panics where one is broken. They are the
//! same for every engine. [`contract!`](crate::contract!) makes tests of them all.
//!
//! | module | promises |
//! |---|---|
//! | [`order`] | index and time, once a claim, under the state that was checked; all or nothing; durable |
//! | [`head`] | leases and the fence; integrated, signed and published never go back |
//! | [`objects`] | put once, read, list, erase |
//! | [`index`] | facts of one moment; lookups and lists as of a size; identity events since a version |
//! | [`slots`] | an index whose leaf comes later; or a refusal in words |
//! | [`faults`] | after a call of unknown outcome the reads tell what became of it |

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use attestation::entry::{Entry, LogTime};
use log_core::admit::Admitted;
use log_core::keys::Keys;
use log_core::port::{
    Call, Epoch, Head, Heads, Index, Integration, Lead, Moved, Object, Objects, Order, OrderState, Proposed,
    Put, Sequencing, Slots, Wants,
};
use testkit::scene::{ORIGIN, START};
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::merkle::leaf_hash;
use tlog::tile::TILE_WIDTH;
use tlog::{Hash, LeafIndex, TreeSize};

pub mod faults;
pub mod head;
pub mod index;
pub mod objects;
pub mod order;
pub mod slots;

/// Everything that a log asks of an engine.
pub trait Engine: Order + Head + Index + Objects + Slots {}

impl<E: Order + Head + Index + Objects + Slots> Engine for E {}

/// Makes engines of one kind.
pub trait Subject {
    /// The kind.
    type Engine: Engine;

    /// An engine with a log of no entries, whose origin is [`ORIGIN`].
    fn fresh(&self) -> Self::Engine;

    /// Ends the engine as a power cut does, and opens what is left.
    fn reopened(&self, engine: Self::Engine) -> Self::Engine;
}

/// Tests of everything that an engine must pass, in a module for each subject.
///
/// ```text
/// simulation::contract!(memory = InMemory);
/// ```
#[macro_export]
macro_rules! contract {
    ($($module:ident = $subject:expr),+ $(,)?) => { $(
        mod $module {
            #[allow(unused_imports, reason = "the subject may stand here by its path")]
            use super::*;
            $crate::contract!(@all $subject;
                order: an_entry_gets_the_next_index_and_its_batch_one_time,
                order: a_claim_gets_one_index_for_ever,
                order: a_known_claim_is_known_whatever_the_state_is,
                order: what_was_checked_under_a_past_state_is_stale,
                order: time_never_goes_back,
                order: what_may_not_wait_is_refused_whole,
                order: what_is_ordered_is_durable,
                order: calls_that_come_at_once_are_done_one_after_the_other,
                head: one_leads_at_a_time_and_epochs_grow,
                head: an_epoch_that_is_past_moves_nothing,
                head: the_tree_grows_from_where_it_stands,
                head: signed_and_published_never_go_back,
                head: heads_are_durable,
                objects: an_object_is_written_once,
                objects: a_bundle_is_the_leaves_that_are_ordered,
                objects: an_erased_envelope_is_gone_for_ever,
                objects: leaves_are_read_in_order_and_a_missing_one_is_damage,
                index: facts_answer_each_question_at_one_moment,
                index: lookups_count_the_entries_of_a_size,
                index: lists_are_read_both_ways,
                index: identity_events_are_told_since_a_version,
                slots: a_slot_is_filled_once_or_refused,
                faults: a_lost_call_has_written_nothing,
                faults: reads_tell_what_became_of_an_unknown_call,
                faults: a_slow_or_paused_call_is_done_when_it_returns,
                faults: a_dropped_call_is_all_or_nothing,
                faults: a_read_that_fails_answers_nothing,
            );
        }
    )+ };
    (@all $subject:expr; $($module:ident: $test:ident,)+) => { $(
        #[test]
        fn $test() {
            $crate::contract::$module::$test(&$subject);
        }
    )+ };
}

/// Runs a future of an engine that needs no other thread to go on.
///
/// # Panics
/// If it does not end: an engine that waits for something wakes whoever polls it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..MOST_POLLS {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
    panic!("the engine does not answer");
}

const MOST_POLLS: u32 = 10_000_000;

/// A time of the log, so many milliseconds behind [`START`].
pub(crate) fn at(millis: u64) -> LogTime {
    LogTime::from_millis(START + millis).expect("a time of this century")
}

/// How the order stands.
pub(crate) fn state(engine: &impl Index) -> OrderState {
    engine.facts(&Wants::default()).expect("facts").at
}

/// Calls with these entries, as they would be checked now.
pub(crate) fn call(engine: &impl Engine, entries: &[Admitted], time: LogTime) -> Sequencing {
    call_under(engine, entries, time, &state(engine))
}

/// Calls with these entries, checked under this state.
pub(crate) fn call_under(
    engine: &impl Engine,
    entries: &[Admitted],
    time: LogTime,
    checked: &OrderState,
) -> Sequencing {
    with_call(entries, time, checked, MAX_PENDING, |call| block_on(engine.sequence(&call)))
        .expect("an outcome")
}

pub(crate) fn with_call<T>(
    entries: &[Admitted],
    time: LogTime,
    checked: &OrderState,
    max_pending: u64,
    with: impl FnOnce(Call<'_>) -> T,
) -> T {
    let leaves: Vec<Vec<u8>> = entries.iter().map(|entry| entry.entry.to_leaf(time)).collect();
    let proposed: Vec<Proposed<'_>> = entries
        .iter()
        .zip(&leaves)
        .map(|(entry, leaf)| Proposed { entry, leaf, keeps_envelope: entry.envelope.is_some() })
        .collect();
    with(Call { entries: &proposed, checked, time, max_pending })
}

/// Orders entries, and answers where the first stands and their time.
pub(crate) fn order(engine: &impl Engine, entries: &[Admitted], time: LogTime) -> (LeafIndex, LogTime) {
    match call(engine, entries, time) {
        Sequencing::Sequenced { first, logged_at } => (first, logged_at),
        other => panic!("entries that keep every rule are ordered: {other:?}"),
    }
}

pub(crate) fn heads(engine: &impl Head) -> Heads {
    block_on(engine.heads()).expect("heads")
}

/// Takes the lead.
pub(crate) fn lead(engine: &impl Head) -> Epoch {
    match block_on(engine.lead("contract", LEASE)).expect("an outcome") {
        Lead::Mine(epoch) => epoch,
        Lead::Another => panic!("nobody leads"),
    }
}

/// Integrates everything that is ordered, as an integrator does.
pub(crate) fn integrate_all(engine: &impl Engine, epoch: Epoch) {
    let heads = heads(engine);
    let (from, to) = (heads.integrated.edge().size().get(), heads.ordered.next.get());
    if from == to {
        return;
    }
    let mut leaves = Vec::new();
    engine.leaves(from, to, &mut |_, leaf| leaves.push(leaf.to_vec())).expect("what is ordered can be read");
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let integrated = heads.integrated.integrate(&hashes);
    for (tile, hashes) in &integrated.tiles {
        assert_eq!(block_on(engine.put(Object::Tile(*tile, hashes))).expect("a put"), Put::Stored);
    }
    for number in from / TILE_WIDTH..to / TILE_WIDTH {
        let mut bundle = Vec::new();
        let (first, end) = (number * TILE_WIDTH, (number + 1) * TILE_WIDTH);
        engine.leaves(first, end, &mut |_, leaf| bundle.push(leaf.to_vec())).expect("leaves");
        assert_eq!(block_on(engine.put(Object::Bundle(number, &bundle))).expect("a put"), Put::Stored);
    }
    let entries = leaves.iter().map(|leaf| Entry::parse(leaf).expect("an entry"));
    let rows: Vec<Keys> =
        entries.zip(from..).map(|(entry, index)| Keys::of(&entry, LeafIndex::new(index))).collect();
    let tree = Arc::new(integrated.tree);
    let integration = Integration { from: TreeSize::new(from), tree: &tree, rows: &rows };
    let moved = block_on(engine.integrate(epoch, integration)).expect("an outcome");
    assert!(matches!(moved, Moved::Moved), "the leader integrates: {moved:?}");
}

/// What the log signs about the integrated tree, or about its beginning if the root there is given.
pub(crate) fn note_of(heads: &Heads) -> (TreeSize, String) {
    let edge = heads.integrated.edge();
    let name = KeyName::new(ORIGIN).expect("a name");
    let key = SignerKey::from_seed(name, KeyType::Ed25519, &[7; 32]);
    (edge.size(), Checkpoint::new(ORIGIN, edge.size(), edge.root()).sign(&key).to_string())
}

/// Longer than any test.
pub(crate) const LEASE: Duration = Duration::from_secs(3_600);

pub(crate) const MAX_PENDING: u64 = 4_096;
