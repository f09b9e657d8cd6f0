//! Trust scores in a large graph: one, with its reasons and without, and all of them.

use std::borrow::Cow;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{Level, Scope};
use attestation::identity::Identity;
use attestation::rules::Prefix;
use testkit::scene::{DAY, START, Scene, did, time};
use tlog::LeafIndex;
use trust::graph::{CompactGraph, Edge, Scratch};
use trust::{
    Against, Confirmation, EdgeEvent, EdgeKind, Graph, Ledger, Logged, Negative, Params, judge, search,
};

use super::Effort;
use super::measure::{Spread, memory_of};
use super::report::{Budgets, Table, count, section};

/// Vouches of one DID, on average.
const VOUCHES: usize = 10;

/// The consumer's roots.
const ROOTS: u32 = 8;

/// Targets that are asked for one by one.
const TARGETS: u32 = 1_000;

/// Scores one, and all, of a graph of as many DIDs as the effort says.
pub fn run(effort: &Effort, budgets: &mut Budgets) {
    let (dids, vouches) = (effort.trust_dids, effort.trust_dids * VOUCHES);
    section(&format!(
        "9. Trust: {} DIDs, {} vouches, a tenth of both by sybils that no root reaches; {ROOTS} roots, 5 hops",
        count(dids as f64),
        count(vouches as f64)
    ));
    let before = memory_of(std::process::id()).0;
    let town = Town::new(dids, vouches);
    let with_town = memory_of(std::process::id()).0;
    let params = Params::new((0..ROOTS).map(|root| (town.did(root), 1_000))).expect("some roots");
    let start = Instant::now();
    let graph = CompactGraph::new(&params, town.edges()).expect("fewer than 2^32 vouches");
    let built = start.elapsed();
    let with_graph = memory_of(std::process::id()).0;

    let all: Vec<Duration> = (0..effort.rounds).map(|_| timed(|| graph.all()).1).collect();
    let all = Spread::of(all.iter().map(Duration::as_secs_f64));
    let scores = graph.all();
    let reached = scores.iter().filter(|score| score.get() > 0).count();

    let mut scratch = Scratch::default();
    let (mut one, mut explained) = (Vec::new(), Vec::new());
    for number in 0..TARGETS {
        // From all over the graph, sybils too.
        let place =
            usize::try_from(u64::from(number) * graph.len() as u64 / u64::from(TARGETS)).expect("small");
        let target = graph.dids()[place];
        let (score, took) = timed(|| graph.social(target, &mut scratch));
        assert_eq!(score, scores[place], "one score is as all of them");
        one.push(took);
        let ((verdict, complete), took) = timed(|| town.judge(&params, target));
        assert!(complete, "a search that looks at every vouch");
        assert_eq!(verdict, score, "and as its reasons");
        explained.push(took);
    }
    let mut table = Table::new(&["", "median", "99 of 100", "longest"]);
    for (what, times) in [("one score", &mut one), ("one verdict: search and judge", &mut explained)] {
        times.sort_unstable();
        let at = |part: usize| format!("{:.3} ms", millis(times[(times.len() - 1) * part / 100]));
        table.row([what.to_owned(), at(50), at(99), at(100)]);
    }
    let seconds = |value: f64| format!("{value:.2} s");
    table.row(["all scores".to_owned(), seconds(all.median), String::new(), seconds(all.max)]);
    table.print();
    println!(
        "  {} DIDs are reached; the graph was built in {:.2} s and takes {} MB by its own count, {:.0} MB by the process's (which had {:.0} MB with the vouches it is built from)",
        count(reached as f64),
        built.as_secs_f64(),
        graph.bytes() >> 20,
        with_graph - with_town,
        with_town - before,
    );
    let median = |times: &[Duration]| millis(times[times.len() / 2]);
    let at = format!("{} DIDs, median", count(dids as f64));
    budgets.at_most(&format!("one trust score of {at}"), median(&one), 5.0, "ms");
    budgets.at_most(&format!("one trust verdict with its reasons of {at}"), median(&explained), 5.0, "ms");
    budgets.at_most(&format!("all trust scores of {at}"), all.median, 5.0, "s");
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Vouches that nobody logged: some DIDs vouch more, and are vouched for more, than others.
struct Town {
    starts: Vec<u32>,
    from: Vec<u32>,
    kinds: Vec<(Level, Option<u8>)>,
    /// The vouches of the roots.
    out: Vec<Vec<EdgeEvent>>,
    /// Everybody is as this one: active.
    identity: Identity,
}

impl Town {
    fn new(dids: usize, vouches: usize) -> Self {
        let mut random = 7_u64;
        let mut chance = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 11) as f64 / (1_u64 << 53) as f64
        };
        let honest = dids * 9 / 10;
        let mut pairs: Vec<(u32, u32)> = (0..vouches)
            .map(|number| {
                let (first, size) = if number % 10 == 0 { (honest, dids - honest) } else { (0, honest) };
                let mut place = |skew: f64| (first + (size as f64 * chance().powf(skew)) as usize) as u32;
                (place(2.0), place(1.5))
            })
            .filter(|(to, from)| to != from)
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut starts = vec![0; dids + 1];
        pairs.iter().for_each(|(to, _)| starts[*to as usize + 1] += 1);
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let kind = |chance: f64, depth: f64| {
            let level = match chance {
                chance if chance < 0.6 => Level::Strong,
                chance if chance < 0.85 => Level::Moderate,
                _ => Level::Weak,
            };
            (level, (depth < 0.1).then_some((depth * 30.0) as u8))
        };
        let kinds = pairs.iter().map(|_| kind(chance(), chance())).collect();
        let scene = Scene::with(&["anybody"]);
        let Ok(Some(identity)) = Prefix::identity(scene.ledger(), did("anybody")) else {
            unreachable!("it was registered")
        };
        let from = pairs.iter().map(|(_, from)| *from).collect();
        let mut town = Self { starts, from, kinds, out: Vec::new(), identity: identity.into_owned() };
        let mut out = vec![Vec::new(); ROOTS as usize];
        for (to, from) in pairs.iter().filter(|(_, from)| *from < ROOTS) {
            let known = town.vouches_for(*to).find(|event| event.from == town.did(*from));
            out[*from as usize].extend(known);
        }
        town.out = out;
        town
    }

    /// A number and its DID: one is computed from the other, and nothing is kept.
    fn did(&self, number: u32) -> Did {
        let scattered = u64::from(number).wrapping_mul(SCATTER);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&scattered.to_be_bytes());
        Did::from_bytes(bytes)
    }

    fn number(&self, did: Did) -> u32 {
        let scattered = u64::from_be_bytes(*did.as_bytes().first_chunk().expect("16 bytes"));
        scattered.wrapping_mul(GATHER) as u32
    }

    fn vouches_for(&self, number: u32) -> impl Iterator<Item = EdgeEvent> + '_ {
        let range = self.starts[number as usize] as usize..self.starts[number as usize + 1] as usize;
        range.map(move |at| {
            let (level, depth) = self.kinds[at];
            let (expires_at, logged) = (time(START + 300 * DAY), self.logged(at));
            let kind = EdgeKind::Vouch { level, depth, expires_at };
            let (from, to) = (self.did(self.from[at]), self.did(number));
            EdgeEvent { logged, from, to, scope: Scope::General, kind }
        })
    }

    fn logged(&self, at: usize) -> Logged {
        Logged { index: LeafIndex::new(at as u64), time: time(START) }
    }

    fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        (0..self.starts.len() - 1).flat_map(move |to| {
            self.vouches_for(to as u32).filter_map(|event| match event.kind {
                EdgeKind::Vouch { level, depth, .. } => {
                    Some(Edge { from: event.from, to: event.to, level, depth })
                }
                EdgeKind::Revocation | EdgeKind::Distrust => None,
            })
        })
    }

    fn judge(&self, params: &Params, target: Did) -> (trust::Ppm, bool) {
        let now: LogTime = time(START + DAY);
        let found = search(self, params, target, now).unwrap_or_else(|never| unreachable!("{never}"));
        let verdict =
            judge(self, params, &found.paths, target, now).unwrap_or_else(|never| unreachable!("{never}"));
        (verdict.social, found.complete)
    }
}

const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;

/// What undoes it, modulo 2^64.
const GATHER: u64 = 0xF1DE_83E1_9937_733D;

impl Ledger for Town {
    type Error = Infallible;

    fn identity(&self, _: Did) -> Result<Option<Cow<'_, Identity>>, Infallible> {
        Ok(Some(Cow::Borrowed(&self.identity)))
    }

    fn latest(&self, from: Did, to: Did, _: Scope) -> Result<Option<EdgeEvent>, Infallible> {
        Ok(self.vouches_for(self.number(to)).find(|event| event.from == from))
    }

    fn against(&self, _: Did) -> Result<Vec<Against>, Infallible> {
        Ok(Vec::new())
    }

    fn negative(&self, _: Did, _: &Against) -> Result<Negative, Infallible> {
        unreachable!("nothing speaks against anybody")
    }

    fn confirmations(&self, _: Did) -> Result<Vec<Confirmation>, Infallible> {
        Ok(Vec::new())
    }

    fn receipts(&self, _: Did) -> Result<Vec<Logged>, Infallible> {
        Ok(Vec::new())
    }
}

impl Graph for Town {
    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, Infallible> {
        Ok(self.out.get(self.number(from) as usize).cloned().unwrap_or_default())
    }

    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, Infallible> {
        Ok(self.vouches_for(self.number(to)).collect())
    }
}
