//! A whole graph in little memory: the social score of one DID among a million, or of all of them.
//!
//! ```text
//! starts   u32 a DID      where the edges into it begin
//! from     u32 an edge    the voucher's number, grouped by the edge's subject
//! kind     u8  an edge    level, and depth if one is stated
//! ```
//! In scope: social scores, the same numbers that [`search`](super::search) finds paths for. Out of scope: paths and
//! behaviour, for which there is [`judge`](super::judge).

use std::collections::HashMap;

use super::judge::{Reader, said, vouch};
use super::search::Roots;
use super::worth::{common, hop_factor, to_ppm};
use super::{EdgeEvent, Graph, JudgeError, MAX_HOPS, Params, Ppm};
use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::Level;
use attestation::identity::Status;

/// A vouch that counts: it is live, in a matching scope, and neither side is banned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edge {
    /// Who vouches.
    pub from: Did,
    /// For whom.
    pub to: Did,
    /// How much.
    pub level: Level,
    /// How many further hops may follow; `None`: any number.
    pub depth: Option<u8>,
}

/// The vouches that count for one question.
#[derive(Debug)]
pub struct CompactGraph {
    dids: Vec<Did>,
    numbers: HashMap<Did, u32>,
    starts: Vec<u32>,
    from: Vec<u32>,
    kinds: Vec<u8>,
    params: Params,
    /// The roots that stand in the graph, and their weights.
    roots: Vec<(u32, u16)>,
    /// For each DID that roots vouch for: the root's weight, and the kind of the edge.
    from_roots: HashMap<u32, Vec<(u16, u8)>>,
}

/// More edges, or more DIDs, than are numbered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more than 2^32 - 1 vouches")]
pub struct TooManyEdges;

impl CompactGraph {
    /// The graph of these edges, which count for what `params` ask.
    pub fn new(params: &Params, edges: impl IntoIterator<Item = Edge>) -> Result<Self, TooManyEdges> {
        let mut dids = Vec::new();
        let mut numbers = HashMap::new();
        let mut number = |did: Did| {
            *numbers.entry(did).or_insert_with(|| {
                dids.push(did);
                // Each edge brings two DIDs at most, and there are fewer than 2^31 edges in any memory.
                u32::try_from(dids.len() - 1).unwrap_or(u32::MAX)
            })
        };
        let edges: Vec<(u32, u32, u8)> = edges
            .into_iter()
            .map(|edge| (number(edge.from), number(edge.to), pack(edge.level, edge.depth)))
            .collect();
        if u32::try_from(edges.len().max(dids.len())).is_err() {
            return Err(TooManyEdges);
        }
        // Counting sort by the subject.
        let mut starts = vec![0_u32; dids.len() + 1];
        for (_, to, _) in &edges {
            starts[*to as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let (mut from, mut kinds) = (vec![0; edges.len()], vec![0; edges.len()]);
        let root = |(did, weight)| numbers.get(&did).map(|number| (*number, weight));
        let roots: Vec<(u32, u16)> = params.roots().filter_map(root).collect();
        let mut from_roots: HashMap<u32, Vec<(u16, u8)>> = HashMap::new();
        for (voucher, to, kind) in edges {
            let at = next[to as usize] as usize;
            next[to as usize] += 1;
            (from[at], kinds[at]) = (voucher, kind);
            if let Some((_, weight)) = roots.iter().find(|(root, _)| *root == voucher) {
                from_roots.entry(to).or_default().push((*weight, kind));
            }
        }
        Ok(Self { dids, numbers, starts, from, kinds, params: params.clone(), roots, from_roots })
    }

    /// The graph of those of `edges`, the latest of each issuer, subject and scope, that count at a moment.
    ///
    /// The number of a target that is not active means nothing: ask its state first.
    pub fn read<'e, G: Graph>(
        ledger: &G,
        edges: impl IntoIterator<Item = &'e EdgeEvent>,
        params: &Params,
        time: LogTime,
    ) -> Result<Result<Self, TooManyEdges>, JudgeError<G::Error>> {
        let reader = Reader { ledger };
        let roots = Roots::read(&reader, params, time)?;
        let mut counted = Vec::new();
        for event in edges {
            let Ok(vouch) = vouch(event, time) else { continue };
            let banned = [event.from, event.to].into_iter().any(|did| roots.is_banned(did));
            if banned || !params.scope().matches(event.scope) {
                continue;
            }
            let Some(issuer) = reader.identity(event.from)? else { continue };
            let subject = reader.identity(event.to)?;
            let ended = subject.is_some_and(|subject| subject.status() == Status::Deactivated);
            if said(event, &issuer).is_ok() && !ended {
                counted.push(Edge { from: event.from, to: event.to, level: vouch.level, depth: vouch.depth });
            }
        }
        Ok(Self::new(params, counted))
    }

    /// How many DIDs somebody vouches for, or that vouch.
    pub fn len(&self) -> usize {
        self.dids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.dids.is_empty()
    }

    /// How many vouches there are.
    pub fn edges(&self) -> usize {
        self.from.len()
    }

    /// The DIDs, in the order of [`CompactGraph::all`].
    pub fn dids(&self) -> &[Did] {
        &self.dids
    }

    /// The bytes that the graph takes in memory, about: the map from DIDs to numbers by its load.
    pub fn bytes(&self) -> usize {
        let did = size_of::<Did>();
        let map = self.numbers.capacity() * (did + size_of::<u32>() + 1) * 8 / 7;
        self.dids.capacity() * did + map + self.starts.len() * 4 + self.from.len() * 4 + self.kinds.len()
    }

    fn edges_into(&self, number: u32) -> impl Iterator<Item = (u32, u8)> + '_ {
        let range = self.starts[number as usize] as usize..self.starts[number as usize + 1] as usize;
        self.from[range.clone()].iter().copied().zip(self.kinds[range].iter().copied())
    }

    /// The social score of one DID; `scratch` is kept from one call to the next.
    pub fn social(&self, target: Did, scratch: &mut Scratch) -> Ppm {
        let mut best = self.params.root(target).map_or(0, |weight| common(weight, 1, 0));
        let Some(target) = self.numbers.get(&target) else { return to_ppm(best) };
        let heaviest = self.roots.iter().map(|(_, weight)| *weight).max().unwrap_or(0);
        let factors = Factors::of(&self.params);
        let most = usize::from(self.params.max_hops());
        let mut behind = vec![(*target, 1_u128)];
        for hops in 0..most {
            for (number, product) in &behind {
                best = best.max(self.best_from_roots(*number, *product, hops, &factors));
            }
            if hops + 1 == most {
                break;
            }
            let layer = scratch.layer(self.len());
            for (number, product) in behind {
                // Whatever comes before it, a path through here is no better than the one that is known.
                let strongest = product * factors.strongest() * factors.strongest();
                if common(heaviest, strongest, hops + 2) <= best {
                    continue;
                }
                for (from, kind) in self.edges_into(number) {
                    if depth(kind) >= hops {
                        layer.raise(from, product * factors.of_kind(kind));
                    }
                }
            }
            behind = layer.take();
            if behind.is_empty() {
                break;
            }
        }
        to_ppm(best)
    }

    /// The best path that begins with a root's vouch for a DID `hops` before the target.
    fn best_from_roots(&self, number: u32, product: u128, hops: usize, factors: &Factors) -> u128 {
        let edges = self.from_roots.get(&number).into_iter().flatten();
        let long_enough = edges.filter(|(_, kind)| depth(*kind) >= hops);
        let value = |(weight, kind): &(u16, u8)| common(*weight, product * factors.of_kind(*kind), hops + 1);
        long_enough.map(value).max().unwrap_or(0)
    }

    /// The social scores of all, in the order of [`CompactGraph::dids`].
    ///
    /// Forward from the roots. `reached[left]` holds, for each DID, the best numerator of a path after which
    /// `left` hops may follow, over the denominator of a path of `hops - left`: a depth that is stated skips
    /// layers, and pays for them in tens.
    pub fn all(&self) -> Vec<Ppm> {
        let hops = usize::from(self.params.max_hops());
        let factors = Factors::of(&self.params);
        let mut reached = vec![vec![0_u128; self.len()]; hops + 1];
        for (root, weight) in &self.roots {
            reached[hops][*root as usize] = u128::from(*weight);
        }
        for left in (1..=hops).rev() {
            let (later, now) = reached.split_at_mut(left);
            let now = &now[0];
            for number in self.numbers() {
                let (to, mut best) = (number as usize, 0);
                for (from, kind) in self.edges_into(number) {
                    let value = now[from as usize];
                    if value == 0 {
                        continue;
                    }
                    let value = value * factors.of_kind(kind);
                    if depth(kind) >= left - 1 {
                        best = best.max(value);
                    } else {
                        let (then, skipped) = (depth(kind), left - 1 - depth(kind));
                        later[then][to] = later[then][to].max(value * ten_to(5 * skipped));
                    }
                }
                later[left - 1][to] = later[left - 1][to].max(best);
            }
        }
        let score = |number: u32| {
            let of_layer = |(left, layer): (usize, &Vec<u128>)| layer[number as usize] * ten_to(5 * left);
            let best = reached.iter().enumerate().map(of_layer).max();
            to_ppm(best.unwrap_or(0) * ten_to(5 * (usize::from(MAX_HOPS) - hops)))
        };
        self.numbers().map(score).collect()
    }

    fn numbers(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.len()).expect("DIDs are numbered by u32")
    }
}

fn ten_to(power: usize) -> u128 {
    10_u128.pow(u32::try_from(power).expect("at most 35"))
}

/// A level, and a depth or [`MAX_HOPS`], which no path exceeds.
fn pack(level: Level, depth: Option<u8>) -> u8 {
    (level as u8) << 4 | depth.unwrap_or(MAX_HOPS).min(MAX_HOPS)
}

fn depth(kind: u8) -> usize {
    usize::from(kind & 0x0F)
}

/// What a hop multiplies by, by its level.
struct Factors([u128; Level::ALL.len()]);

impl Factors {
    fn of(params: &Params) -> Self {
        let mut factors = [0; Level::ALL.len()];
        for level in Level::ALL {
            factors[*level as usize] = hop_factor(*level, params);
        }
        Self(factors)
    }

    fn of_kind(&self, kind: u8) -> u128 {
        self.0[usize::from(kind >> 4)]
    }

    fn strongest(&self) -> u128 {
        self.0[Level::Ultimate as usize]
    }
}

/// Memory that one search leaves to the next: a number a DID, all of them zero between two layers.
#[derive(Debug, Default)]
pub struct Scratch {
    values: Vec<u128>,
    touched: Vec<u32>,
}

impl Scratch {
    fn layer(&mut self, size: usize) -> &mut Self {
        if self.values.len() < size {
            self.values.resize(size, 0);
        }
        self
    }

    fn raise(&mut self, number: u32, value: u128) {
        let known = &mut self.values[number as usize];
        if *known == 0 {
            self.touched.push(number);
        }
        *known = value.max(*known);
    }

    /// What was raised, and zeroes it.
    fn take(&mut self) -> Vec<(u32, u128)> {
        let values = &mut self.values;
        self.touched.drain(..).map(|number| (number, std::mem::take(&mut values[number as usize]))).collect()
    }
}
