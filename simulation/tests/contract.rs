//! The engines without a disk keep the contract.

use simulation::contract::{self, Subject};
use simulation::engine::{Faulty, Memory, Weakness};
use testkit::scene::START;

struct InMemory;

impl Subject for InMemory {
    type Engine = Memory;

    fn fresh(&self) -> Memory {
        Memory::new(|| START)
    }

    fn reopened(&self, engine: Memory) -> Memory {
        engine.crash(|_| 0);
        engine
    }
}

/// A faulty engine that no fault befalls is the engine.
struct WithoutFault;

impl Subject for WithoutFault {
    type Engine = Faulty<Memory>;

    fn fresh(&self) -> Faulty<Memory> {
        Faulty::new(InMemory.fresh())
    }

    fn reopened(&self, engine: Faulty<Memory>) -> Faulty<Memory> {
        Faulty::new(InMemory.reopened(engine.into_engine()))
    }
}

simulation::contract!(memory = InMemory, faulty = WithoutFault);

/// An engine that breaks a promise fails where that promise is asked for.
#[test]
fn an_engine_that_breaks_a_promise_does_not_pass() {
    struct Weak(Weakness);

    impl Subject for Weak {
        type Engine = Memory;

        fn fresh(&self) -> Memory {
            Memory::weak(|| START, self.0)
        }

        fn reopened(&self, engine: Memory) -> Memory {
            InMemory.reopened(engine)
        }
    }

    let broken = |weakness, promise: fn(&Weak)| {
        let weak = Weak(weakness);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| promise(&weak))).is_err()
    };
    let sound = Weakness::default();
    for (weakness, promise) in [
        (Weakness { no_sync: true, ..sound }, contract::order::what_is_ordered_is_durable as fn(&Weak)),
        (Weakness { no_sync: true, ..sound }, contract::head::heads_are_durable),
        (Weakness { no_fence: true, ..sound }, contract::head::an_epoch_that_is_past_moves_nothing),
        (Weakness { time_goes_back: true, ..sound }, contract::order::time_never_goes_back),
        (Weakness { forgets_claims: true, ..sound }, contract::order::a_claim_gets_one_index_for_ever),
    ] {
        assert!(broken(weakness, promise), "{weakness:?}");
        assert!(!broken(sound, promise), "{weakness:?}");
    }
}
