//! A client with pipelines: logs artifacts, registers, rotates, vouches, reports; sends again, twice, and in races.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use attestation::did::Did;
use attestation::entry::{ClaimHash, Entry};
use attestation::event::Link;
use log_core::admit::Admitted;
use tlog::LeafIndex;
use tlog::merkle::leaf_hash;
use tlog::policy::Policy;
use tlog::proof::TlogProof;
use tokio::sync::oneshot;

use super::front;
use crate::checker::Checker;
use crate::executor::{Process, Sim};
use crate::network::Network;
use crate::pipeline::{Pipeline, submission};
use crate::random::Random;

/// A client. Cheap to clone: its tasks are clones.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) sim: Sim,
    pub(super) network: Network,
    pub(super) process: Process,
    pub(super) checker: Checker,
    pub(super) policy: Arc<Policy>,
    pub(super) fronts: Vec<front::Place>,
    /// The pipelines of all clients.
    pub(super) everybody: Vec<Did>,
    own: Arc<Mutex<Own>>,
}

struct Own {
    pipelines: Vec<Known>,
    /// What was sent, to be sent again.
    sent: Vec<Admitted>,
    numbers: u64,
    under_way: usize,
}

/// What a client knows of its pipeline.
#[derive(Clone)]
struct Known {
    pipeline: Pipeline,
    /// The place of its next identity event, once it is registered.
    link: Option<Link>,
    message_keys: Option<ClaimHash>,
    failures: HashMap<Did, LeafIndex>,
    /// An event that must be answered before the next one of its kind.
    is_busy: bool,
}

/// What became of a submission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Logged(LeafIndex),
    Refused(&'static str),
}

impl Client {
    #[expect(clippy::too_many_arguments, reason = "the parts of a world, once")]
    pub(super) fn new(
        sim: Sim,
        network: Network,
        process: Process,
        checker: Checker,
        policy: Arc<Policy>,
        fronts: Vec<front::Place>,
        everybody: Vec<Did>,
        pipelines: Vec<Pipeline>,
    ) -> Self {
        let known = |pipeline| Known {
            pipeline,
            link: None,
            message_keys: None,
            failures: HashMap::new(),
            is_busy: false,
        };
        let pipelines = pipelines.into_iter().map(known).collect();
        let own = Own { pipelines, sent: Vec::new(), numbers: 0, under_way: 0 };
        Self { sim, network, process, checker, policy, fronts, everybody, own: Arc::new(Mutex::new(own)) }
    }

    /// Does so many things, and ends when all of them are answered.
    pub(super) async fn run(self, things: u32, done: impl FnOnce() + Send) {
        for _ in 0..things {
            let pause =
                self.random(|random| random.between(Duration::from_millis(1), Duration::from_millis(400)));
            self.sim.sleep(pause).await;
            while self.own().under_way >= MOST_UNDER_WAY {
                self.sim.sleep(Duration::from_millis(20)).await;
            }
            self.own().under_way += 1;
            let this = self.clone();
            self.sim.spawn(self.process, async move {
                this.do_something().await;
                this.own().under_way -= 1;
            });
        }
        while self.own().under_way > 0 {
            self.sim.sleep(Duration::from_millis(50)).await;
        }
        done();
    }

    async fn do_something(&self) {
        let at = self.random(|random| random.below(self.own().pipelines.len() as u64)) as usize;
        let what = self.random(|random| random.below(100));
        let known = self.own().pipelines[at].clone();
        let is_registered = known.link.is_some();
        match what {
            0..40 => self.artifact(&known.pipeline).await,
            40..50 => self.send_again().await,
            50..65 if !is_registered => self.register(at).await,
            50..65 => self.rotate(at).await,
            65..75 => self.race(at).await,
            75..85 if is_registered => self.vouch(&known.pipeline).await,
            85..93 if is_registered => self.report(at).await,
            93..100 if is_registered => self.say_message_keys(at).await,
            _ => self.artifact(&known.pipeline).await,
        }
    }

    async fn artifact(&self, pipeline: &Pipeline) {
        let is_published = self.random(|random| random.chance(300));
        let content = format!("{} {}", pipeline.name, self.number());
        let entry = pipeline.artifact(&content, is_published);
        self.own().sent.push(entry.clone());
        let outcome = match self.random(|random| random.chance(200)) {
            true => self.twice(&entry, &entry).await[0],
            false => self.submit(&entry).await,
        };
        if outcome == Outcome::Refused("retired-key") {
            self.checker.refused_for_ever(entry.claim);
        }
    }

    /// Sends something again that was sent before, perhaps while it still is.
    async fn send_again(&self) {
        let sent = self.own().sent.len() as u64;
        if sent > 0 {
            let at = self.random(|random| random.below(sent)) as usize;
            let entry = self.own().sent[at].clone();
            self.submit(&entry).await;
        }
    }

    async fn register(&self, at: usize) {
        let Some(known) = self.begin(at) else { return };
        let entry = known.pipeline.inception();
        self.own().sent.push(entry.clone());
        let outcome = self.submit(&entry).await;
        self.end(at, |known| {
            if let Outcome::Logged(_) = outcome {
                known.link = Some(Link { sequence: 1, previous: entry.claim });
            }
        });
    }

    async fn rotate(&self, at: usize) {
        let Some(known) = self.begin(at) else { return };
        let Some(link) = known.link else { return self.end(at, |_| ()) };
        let then = known.pipeline.next + 1;
        let entry = known.pipeline.rotation(link, then);
        self.own().sent.push(entry.clone());
        let outcome = self.submit(&entry).await;
        self.checker.require(matches!(outcome, Outcome::Logged(_)), || {
            format!("the only rotation of {} is refused: {outcome:?}", known.pipeline.name)
        });
        self.end(at, |known| known.rotated(&entry, then));
    }

    /// Two rotations behind the same event at once: a thief's and the owner's. One of them is logged.
    async fn race(&self, at: usize) {
        let Some(known) = self.begin(at) else { return };
        let Some(link) = known.link else {
            self.end(at, |_| ());
            return self.register(at).await;
        };
        let thens = [known.pipeline.next + 1, known.pipeline.next + 2];
        let entries = thens.map(|then| known.pipeline.rotation(link, then));
        self.own().sent.extend(entries.iter().cloned());
        let outcomes = self.twice(&entries[0], &entries[1]).await;
        let won = outcomes.map(|outcome| matches!(outcome, Outcome::Logged(_)));
        self.checker.require(won[0] != won[1], || {
            format!("of two rotations of {} one is logged: {outcomes:?}", known.pipeline.name)
        });
        let winner = usize::from(won[1]);
        self.checker.refused_for_ever(entries[1 - winner].claim);
        self.end(at, |known| known.rotated(&entries[winner], thens[winner]));
    }

    async fn vouch(&self, pipeline: &Pipeline) {
        let Some(other) = self.other(pipeline.did()) else { return };
        let revoked = self.random(|random| random.chance(300));
        let entry = pipeline.vouch(other, self.number(), revoked);
        self.own().sent.push(entry.clone());
        self.submit(&entry).await;
    }

    async fn report(&self, at: usize) {
        let Some(known) = self.begin(at) else { return };
        let Some(other) = self.other(known.pipeline.did()) else { return self.end(at, |_| ()) };
        let (entry, is_report) = match known.failures.get(&other) {
            Some(failure) => (known.pipeline.withdrawal(other, *failure), false),
            None => (known.pipeline.failure(other, self.number()), true),
        };
        let outcome = self.submit(&entry).await;
        self.end(at, |known| match (outcome, is_report) {
            (Outcome::Logged(index), true) => {
                known.failures.insert(other, index);
            }
            (Outcome::Logged(_), false) => {
                known.failures.remove(&other);
            }
            (Outcome::Refused(_), _) => (),
        });
    }

    async fn say_message_keys(&self, at: usize) {
        let Some(known) = self.begin(at) else { return };
        let entry = known.pipeline.message_keys(known.message_keys, self.number());
        let outcome = self.submit(&entry).await;
        self.end(at, |known| {
            if let Outcome::Logged(_) = outcome {
                known.message_keys = Some(entry.claim);
            }
        });
    }

    /// Two submissions at once.
    async fn twice(&self, one: &Admitted, other: &Admitted) -> [Outcome; 2] {
        let (sender, receiver) = oneshot::channel();
        let (this, other) = (self.clone(), other.clone());
        self.sim.spawn(self.process, async move {
            let _ = sender.send(this.submit(&other).await);
        });
        let first = self.submit(one).await;
        [first, receiver.await.expect("a client is never killed")]
    }

    /// Sends an entry until it is logged or refused by a rule.
    async fn submit(&self, entry: &Admitted) -> Outcome {
        let request = Arc::new(submission(entry));
        loop {
            let front = self.random(|random| random.one_of(&self.fronts).clone());
            let asked = front::Asked::Submit(request.clone());
            match self.network.call(&front, asked, PATIENCE).await {
                Ok(front::Said::Logged(leaf, proof)) => {
                    let index = self.verify(entry, &leaf, &proof);
                    self.sim.trace(self.process, format_args!("has a receipt for {index}"));
                    return Outcome::Logged(index);
                }
                Ok(front::Said::Refused(rule)) => {
                    self.checker.count(|counts| &mut counts.refused);
                    self.sim.trace(self.process, format_args!("is refused: {rule}"));
                    return Outcome::Refused(rule);
                }
                Ok(_) | Err(_) => {
                    let pause = self.random(|random| {
                        random.between(Duration::from_millis(20), Duration::from_millis(800))
                    });
                    self.sim.sleep(pause).await;
                }
            }
        }
    }

    /// Verifies a receipt as `aip verify` does, by leaf, proof, note and quorum.
    fn verify(&self, entry: &Admitted, leaf: &[u8], proof: &str) -> LeafIndex {
        let checked = || {
            let proof = TlogProof::parse(proof).map_err(|e| e.to_string())?;
            let (checkpoint, _) = self.policy.log_checkpoint(&proof.checkpoint).map_err(|e| e.to_string())?;
            self.policy.quorum(&proof.checkpoint).map_err(|e| e.to_string())?;
            proof.verify_inclusion(&leaf_hash(leaf), &checkpoint).map_err(|e| e.to_string())?;
            let claim = match Entry::parse(leaf).map_err(|e| e.to_string())? {
                Entry::Dsse(entry) => entry.claim().hash(),
                Entry::Event(event) => event.pending().hash(),
                Entry::NotUnderstood { .. } => return Err("another kind of entry".to_owned()),
            };
            if claim != entry.claim {
                return Err("the leaf is another entry's".to_owned());
            }
            Ok((proof.index, checkpoint))
        };
        match checked() {
            Ok((index, checkpoint)) => {
                self.checker.receipt(entry.claim, index, leaf, &checkpoint);
                index
            }
            Err(why) => {
                self.checker.require(false, || format!("I4: a receipt does not verify: {why}"));
                LeafIndex::new(u64::MAX)
            }
        }
    }

    fn begin(&self, at: usize) -> Option<Known> {
        let mut own = self.own();
        let known = &mut own.pipelines[at];
        let is_free = !std::mem::replace(&mut known.is_busy, true);
        is_free.then(|| known.clone())
    }

    fn end(&self, at: usize, learn: impl FnOnce(&mut Known)) {
        let mut own = self.own();
        own.pipelines[at].is_busy = false;
        learn(&mut own.pipelines[at]);
    }

    fn other(&self, than: Did) -> Option<Did> {
        let other = self.random(|random| *random.one_of(&self.everybody));
        (other != than).then_some(other)
    }

    fn number(&self) -> u64 {
        let mut own = self.own();
        own.numbers += 1;
        own.numbers
    }

    fn random<T>(&self, with: impl FnOnce(&mut Random) -> T) -> T {
        self.sim.random(with)
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn rotated(&mut self, by: &Admitted, then: u32) {
        self.pipeline.key = self.pipeline.next;
        self.pipeline.next = then;
        self.link = self.link.map(|link| Link { sequence: link.sequence + 1, previous: by.claim });
    }
}

/// Longer than a front keeps anybody waiting.
const PATIENCE: Duration = Duration::from_secs(5);

const MOST_UNDER_WAY: usize = 4;
