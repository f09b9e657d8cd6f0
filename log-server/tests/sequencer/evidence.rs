//! Evidence as a log gathers it: the verdict is that of the whole log, and nobody makes it too large.

mod golden;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Sequencer;
use attestation::did::Did;
use attestation::entry::{Entry, LogTime, PendingLeaf};
use attestation::event::{Body, Capabilities, FailureReason, Level, Scope, StatementId, TrustEvent};
use attestation::evidence::{Evidence, assert_lists};
use attestation::lists::ListKey;
use log_server::admit::Admitted;
use log_server::evidence::{GatherError, Question, gather};
use log_server::store::schema::Read as _;
use log_server::view::View;
use testkit::chance::Chance;
use tlog::{Hash, LeafIndex};
use trust::{Graph, JudgeError, MemoryLedger, Params, Ppm, ScopeQuery, Verdict, judge, search};

use super::identities::{Owner, admitted, answer, reference};
use super::{Bench, ORIGIN, START, key, open, round_of};

const DAY: u64 = 24 * 60 * 60 * 1_000;
const ALL: Capabilities = Capabilities { messages: true, receipts: true, vouches: true };

/// A log, those who write to it, and its clock.
struct World {
    bench: Bench,
    sequencer: Sequencer,
    owners: Vec<Owner>,
    now: Arc<AtomicU64>,
    ids: u64,
}

impl World {
    /// Everybody is registered.
    fn new(count: u8) -> Self {
        let (bench, now) = (Bench::new(), Arc::new(AtomicU64::new(START)));
        let clock = now.clone();
        let clocks = move || {
            let now = clock.load(Ordering::Relaxed);
            (now, Duration::from_millis(now - START))
        };
        let sequencer = open(bench.store.clone(), bench.record(), Box::new(clocks)).expect("a log");
        let owners = (0..count).map(Owner::new).collect();
        let mut world = Self { bench, sequencer, owners, now, ids: 0 };
        let inceptions: Vec<_> =
            world.owners.iter_mut().map(|owner| admitted(owner.inception(ALL))).collect();
        assert!(world.log(inceptions).iter().all(Result::is_ok), "new DIDs");
        world
    }

    fn log(&mut self, entries: Vec<Admitted>) -> Vec<Result<u64, &'static str>> {
        let (outcome, told) = round_of(&mut self.sequencer, entries);
        outcome.expect("a round");
        told.iter().map(answer).collect()
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    fn pass(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }

    fn id(&mut self) -> StatementId {
        self.ids += 1;
        StatementId(*Hash::of(&self.ids.to_be_bytes()).as_bytes().first_chunk().expect("32 bytes"))
    }

    fn vouch(&mut self, from: usize, to: Did, scope: Scope, level: Level, lasts: u64) -> Admitted {
        let (id, issued_at) = (self.id(), time(self.now()));
        let expires_at = time(self.now() + lasts);
        let vouch = TrustEvent::Vouch { id, issued_at, scope, level, depth: None, expires_at };
        self.owners[from].says(to, vouch)
    }

    fn failure(&mut self, from: usize, about: Did) -> Admitted {
        let (id, artifact) = (self.id(), Hash::of(b"a"));
        self.owners[from].says(about, TrustEvent::Failure { id, artifact, reason: FailureReason::Digest })
    }

    fn evidence(&self, params: &Params, target: Did) -> Result<Evidence, GatherError> {
        let published = self.sequencer.published().borrow().clone();
        let view = View::new(self.bench.engine(), self.sequencer.tiles(), published);
        let question =
            Question { did: target, trust: Some(params.clone()), messages: false, time: time(self.now()) };
        gather(&view, &key(), &question)
    }

    /// The verdict from evidence that came as a file.
    fn asked(&self, params: &Params, target: Did) -> Verdict {
        let evidence = self.evidence(params, target).expect("evidence");
        let file = Evidence::parse(evidence.to_json().as_bytes()).expect("it is read as it is written");
        let policy = format!("log {}\nquorum none\n", key().verifier()).parse().expect("a policy");
        let proven = file.verify(&policy).expect("it holds");
        self.judge(&proven, params, target).expect("nothing is missing")
    }

    /// The verdict from all of its entries.
    fn whole(&self, params: &Params, target: Did) -> Verdict {
        let mut ledger = MemoryLedger::new(ORIGIN);
        for index in (0..self.sequencer.registry().size().get()).map(LeafIndex::new) {
            let leaf = self.bench.store.leaf(index).expect("a read").expect("a leaf");
            let entry = Entry::parse(&leaf).expect("an entry");
            ledger.push(index, &entry).expect("a log takes what keeps the rules");
        }
        self.judge(&ledger, params, target).unwrap_or_else(|never| panic!("{never}"))
    }

    fn judge<G: Graph>(
        &self,
        graph: &G,
        params: &Params,
        target: Did,
    ) -> Result<Verdict, JudgeError<G::Error>> {
        let found = search(graph, params, target, time(self.now()))?;
        judge(graph, params, &found.paths, target, time(self.now()))
    }
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

fn params(roots: &[Did]) -> Params {
    Params::new(roots.iter().map(|root| (*root, 1_000)))
        .expect("roots")
        .with_scope(ScopeQuery::Only(Scope::CodeSigning))
        .with_floor(Ppm::new(300_000).expect("a share"))
}

/// Whatever happened in a log: evidence makes the verdict that the whole log makes.
#[test]
fn evidence_makes_the_verdict_of_the_whole_log() {
    let mut passing = 0;
    for seed in 1..=12 {
        let mut chance = Chance::new(seed);
        let mut world = World::new(9);
        let dids: Vec<Did> = world.owners.iter().map(|owner| owner.did).collect();
        let mut builds: Vec<Vec<(u64, u64)>> = vec![Vec::new(); dids.len()];
        let mut failures: Vec<(usize, usize, u64)> = Vec::new();
        for turn in 0..160 {
            let (from, to) = (chance.place(dids.len()), chance.place(dids.len()));
            if from == to {
                world.pass([0, DAY / 3, 5 * DAY][chance.place(3)]);
                continue;
            }
            let scope = [Scope::CodeSigning, Scope::General, Scope::Financial][chance.place(3)];
            let level = [Level::Strong, Level::Moderate, Level::Weak][chance.place(3)];
            let lasts = [10 * 60 * 1_000, 30 * DAY, 365 * DAY][chance.place(3)];
            let size = world.sequencer.registry().size().get();
            let (id, issued_at) = (world.id(), time(world.now()));
            let owner = &mut world.owners[from];
            let entry = match chance.place(40) {
                0..12 => world.vouch(from, dids[to], scope, level, lasts),
                12..14 => owner.says(dids[to], TrustEvent::Revocation { id, issued_at, scope }),
                14 => owner.says(dids[to], TrustEvent::Distrust { id, issued_at, scope }),
                15..21 => world.failure(from, dids[to]),
                21..24 => match failures.get(chance.place(failures.len().max(1))) {
                    Some((from, to, index)) => {
                        let withdrawal = TrustEvent::Withdrawal { failure: reference(*index) };
                        world.owners[*from].says(dids[*to], withdrawal)
                    }
                    None => continue,
                },
                24..31 => owner.builds(turn % 8),
                31..37 => {
                    let same = |build: &&(u64, u64)| builds[to].iter().any(|other| other.0 == build.0);
                    let Some((artifact, build)) = builds[from].iter().find(same).copied() else { continue };
                    let receipt = builds[to].iter().find(|other| other.0 == artifact).expect("the same").1;
                    let artifact = Hash::of(&artifact.to_be_bytes());
                    let (receipt, build) = (reference(receipt), reference(build));
                    owner.says(dids[to], TrustEvent::Confirmation { artifact, receipt, build })
                }
                37 if owner.at < 6 => admitted(owner.recovery(size.saturating_sub(1 + turn % 40).max(9))),
                38 if turn > 120 => admitted(owner.compromise(size - 1)),
                39 if turn > 150 => admitted(owner.deactivation()),
                _ => continue,
            };
            let (kind, by) = (entry.entry.clone(), from);
            if let [Ok(index)] = world.log(vec![entry])[..] {
                match &kind {
                    PendingLeaf::Dsse(_) if !builds[by].iter().any(|(_, known)| *known == index) => {
                        builds[by].push((turn % 8, index));
                    }
                    PendingLeaf::Event(event) => {
                        if let Body::Trust(TrustEvent::Failure { .. }) = event.event().body() {
                            failures.push((by, to, index));
                        }
                    }
                    PendingLeaf::Dsse(_) => (),
                }
            }
        }
        world.bench.check();
        for (roots, scope) in [
            (&dids[..1], ScopeQuery::Only(Scope::CodeSigning)),
            (&dids[..3], ScopeQuery::Any),
            (&dids[1..4], ScopeQuery::Only(Scope::General)),
        ] {
            let params = params(roots).with_scope(scope).with_min_paths(2).expect("two");
            for target in &dids {
                let (asked, whole) = (world.asked(&params, *target), world.whole(&params, *target));
                assert_eq!(asked.to_json(), whole.to_json(), "seed {seed}, {target}");
                passing += usize::from(whole.score > Ppm::ZERO);
            }
        }
    }
    assert!(passing > 50, "{passing} of the verdicts say something");
}

/// One in the circle of the root who reports without end, and one whom it warns of, are an entry each.
#[test]
fn no_reporter_makes_the_evidence_large() {
    let mut world = World::new(4);
    let dids: Vec<Did> = world.owners.iter().map(|owner| owner.did).collect();
    let (root, target) = (0, dids[1]);
    let (id, issued_at) = (world.id(), time(START));
    let mut entries = Vec::new();
    for to in [target, dids[2]] {
        entries.push(world.vouch(root, to, Scope::CodeSigning, Level::Strong, DAY));
    }
    let warns = TrustEvent::Distrust { id, issued_at, scope: Scope::CodeSigning };
    entries.push(world.owners[root].says(dids[3], warns));
    world.log(entries);
    let params = params(&dids[..1]);
    let before = world.evidence(&params, target).expect("evidence").elements.len();
    for _ in 0..520 {
        let reports = [2, 3].map(|reporter| world.failure(reporter, target));
        let indexes = world.log(reports.to_vec()).into_iter().map(|index| index.expect("a report"));
        let withdrawn = indexes.zip([2, 3]).map(|(index, reporter)| {
            let withdrawal = TrustEvent::Withdrawal { failure: reference(index) };
            world.owners[reporter].says(target, withdrawal)
        });
        let withdrawn = withdrawn.collect();
        world.log(withdrawn);
    }
    // The last word of the one who counts, its state, the vouch for it; and what the root says of the other.
    let evidence = world.evidence(&params, target).expect("evidence");
    assert_eq!(evidence.elements.len(), before + 4);
    assert_eq!(evidence.lists[&ListKey::Neg(target)].len(), 2_080);
    assert_eq!(world.asked(&params, target).to_json(), world.whole(&params, target).to_json());
    let report = world.failure(2, target);
    world.log(vec![report]);
    let verdict = world.asked(&params, target);
    assert_eq!(verdict.history.failures.len(), 1, "and it still counts");
}

/// A root that vouches for thousands, and says much about each, is asked for what it says of those who matter.
#[test]
fn a_root_of_thousands_is_evidence_of_a_few() {
    let mut world = World::new(4);
    let dids: Vec<Did> = world.owners.iter().map(|owner| owner.did).collect();
    let mut entries = Vec::new();
    for number in 0..5_000_u64 {
        let other = Did::from_bytes(*Hash::of(&number.to_be_bytes()).as_bytes().first_chunk().expect("32"));
        entries.push(world.vouch(0, other, Scope::CodeSigning, Level::Strong, DAY));
    }
    entries.push(world.vouch(0, dids[1], Scope::CodeSigning, Level::Strong, DAY));
    entries.push(world.vouch(1, dids[2], Scope::CodeSigning, Level::Strong, DAY));
    entries.push(world.failure(3, dids[2]));
    world.log(entries);
    let params = params(&dids[..1]);
    let evidence = world.evidence(&params, dids[2]).expect("evidence");
    assert!(evidence.to_json().len() < 32 << 10, "{} bytes", evidence.to_json().len());
    let verdict = world.asked(&params, dids[2]);
    assert_eq!(verdict.social.get(), 640_000);
    assert_eq!(verdict.to_json(), world.whole(&params, dids[2]).to_json());
    // Each list that speaks of what the root says is needed.
    let policy = format!("log {}\nquorum none\n", key().verifier()).parse().expect("a policy");
    let checkpoint = world.sequencer.published().borrow().checkpoint.clone();
    let mut edges = 0;
    for list in evidence.lists.keys().filter(|list| matches!(list, ListKey::Edge(..))) {
        let mut without = evidence.clone();
        without.lists.remove(list);
        without.assertion = assert_lists(&key(), &checkpoint, &without.lists);
        let proven = without.verify(&policy).expect("what is there holds");
        let judged = world.judge(&proven, &params, dids[2]).and_then(|verdict| match verdict.best {
            Some(_) => Ok(verdict),
            None => Err(JudgeError::TooManyPaths(0)),
        });
        assert!(judged.is_err(), "{list} is not needed");
        edges += 1;
    }
    // Of the path's two others and the stranger, in two scopes; and the second hop.
    assert_eq!(edges, 7);
}
