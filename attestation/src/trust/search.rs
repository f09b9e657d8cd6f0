//! Finds paths: backward from the target, one layer of hops at a time.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::judge::{JudgeError, Reader, Roots, Vouch, common, hop_factor, said, vouch};
use super::verdict::order;
use super::{Graph, Params, Path};
use crate::did::Did;
use crate::entry::LogTime;
use crate::event::{Level, Scope};
use crate::identity::Status;
use crate::lists::ListKey;

/// The most vouches that one search looks at.
pub const MAX_SEARCH_EDGES: usize = 1 << 20;

/// What a search found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// The best path, and then others that share nothing with those before but the target: as many as are asked
    /// for, or could be found.
    pub paths: Vec<Path>,
    /// Whether everything was looked at. If not, there may be a better path.
    pub complete: bool,
}

/// Finds the best path from a root to `target`, and as many others beside it as the parameters ask for.
///
/// The first path is the best one there is, if the search is complete. The others are found one after the
/// other, which may miss some: to find the most paths that share nothing is a hard problem, and no part of
/// the score.
pub fn search<G: Graph>(
    graph: &G,
    params: &Params,
    target: Did,
    time: LogTime,
) -> Result<Found, JudgeError<G::Error>> {
    let reader = Reader { ledger: graph };
    let identity = reader.identity(target)?;
    if identity.is_none_or(|identity| identity.status() != Status::Active) {
        return Ok(Found { paths: Vec::new(), complete: true });
    }
    let roots = Roots::read(&reader, params, time)?;
    if roots.is_banned(target) {
        return Ok(Found { paths: Vec::new(), complete: true });
    }
    let heaviest = params.roots().map(|(_, weight)| weight).max().unwrap_or(0);
    let (edges, left) = (HashMap::new(), MAX_SEARCH_EDGES);
    let mut search = Search { reader, params, roots, target, time, heaviest, edges, left };
    let mut found = Found { paths: Vec::new(), complete: true };
    let mut excluded = HashSet::new();
    while found.paths.len() < usize::from(params.min_paths()) {
        let Some(path) = search.best(&excluded)? else { break };
        excluded.extend(path.dids().filter(|did| *did != target));
        // A path of no hops would be found again.
        if path.hops.is_empty() {
            excluded.insert(target);
        }
        found.paths.push(path);
    }
    found.complete = search.left > 0;
    Ok(found)
}

struct Search<'a, G> {
    reader: Reader<'a, G>,
    params: &'a Params,
    roots: Roots,
    target: Did,
    time: LogTime,
    /// The weight of the heaviest root.
    heaviest: u16,
    /// The live vouches for a DID, read once.
    edges: HashMap<Did, Vec<Edge>>,
    /// How many vouches may still be looked at.
    left: usize,
}

struct Edge {
    from: Did,
    scope: Scope,
    vouch: Vouch,
}

/// The best way from a DID to the target in a number of hops.
#[derive(Clone, Copy)]
struct Step {
    product: u128,
    next: Did,
    scope: Scope,
}

impl<G: Graph> Search<'_, G> {
    fn best(&mut self, excluded: &HashSet<Did>) -> Result<Option<Path>, JudgeError<G::Error>> {
        let mut layers: Vec<HashMap<Did, Step>> = Vec::new();
        let strongest = hop_factor(Level::Ultimate, self.params);
        for hops in 1..=usize::from(self.params.max_hops()) {
            let mut behind: Vec<(Did, u128)> = match layers.last() {
                None => vec![(self.target, 1)],
                Some(layer) => layer.iter().map(|(did, step)| (*did, step.product)).collect(),
            };
            // The better ones first, in case that not all can be looked at.
            behind.sort_unstable_by_key(|(did, product)| (Reverse(*product), *did));
            let found = self.best_of(&layers, excluded).map_or(0, |(value, _)| value);
            let mut layer = HashMap::new();
            for (did, product) in behind {
                // Whatever comes before it, a path through here is no better than the one that is known.
                if common(self.heaviest, product * strongest, hops) < found {
                    break;
                }
                self.read_edges(did)?;
                for edge in &self.edges[&did] {
                    let passable = edge.from != self.target && !excluded.contains(&edge.from);
                    if passable && edge.vouch.allows(hops - 1) {
                        let product = product * hop_factor(edge.vouch.level, self.params);
                        improve(&mut layer, edge.from, Step { product, next: did, scope: edge.scope });
                    }
                }
            }
            if layer.is_empty() {
                break;
            }
            layers.push(layer);
        }
        Ok(self.best_of(&layers, excluded).map(|(_, path)| path))
    }

    /// The best path of those from the roots, and its worth.
    fn best_of(&self, layers: &[HashMap<Did, Step>], excluded: &HashSet<Did>) -> Option<(u128, Path)> {
        let mut best: Option<(u128, Path)> = None;
        let mut take = |value: u128, path: Path| {
            let better = best.as_ref().is_none_or(|(best_value, best_path)| {
                value > *best_value || (value == *best_value && order(&path, best_path).is_lt())
            });
            if better {
                best = Some((value, path));
            }
        };
        for (root, weight) in self.params.roots() {
            if root == self.target && !excluded.contains(&root) {
                take(common(weight, 1, 0), Path { root, hops: Vec::new() });
            }
            for hops in 1..=layers.len() {
                if let Some(step) = layers[hops - 1].get(&root) {
                    take(common(weight, step.product, hops), follow(layers, root, hops));
                }
            }
        }
        best
    }

    /// Reads the live vouches for a DID that is on the way.
    fn read_edges(&mut self, did: Did) -> Result<(), JudgeError<G::Error>> {
        if self.edges.contains_key(&did) {
            return Ok(());
        }
        let mut edges = Vec::new();
        let events = if self.left > 0 { self.edges_into(did)? } else { Vec::new() };
        for event in events.into_iter().take(self.left) {
            self.left -= 1;
            if !self.params.scope().matches(event.scope) || self.roots.is_banned(event.from) {
                continue;
            }
            let Ok(vouch) = vouch(&event, self.time) else { continue };
            let Some(issuer) = self.reader.identity(event.from)? else { continue };
            if said(&event, &issuer).is_ok() {
                edges.push(Edge { from: event.from, scope: event.scope, vouch });
            }
        }
        self.edges.insert(did, edges);
        Ok(())
    }

    fn edges_into(&self, did: Did) -> Result<Vec<super::EdgeEvent>, JudgeError<G::Error>> {
        self.reader.ledger.edges_into(did).map_err(JudgeError::of(ListKey::In(did)))
    }
}

/// Takes a step if it is better, or as good and first in the order of DIDs and scopes.
fn improve(layer: &mut HashMap<Did, Step>, from: Did, step: Step) {
    let known = layer.entry(from).or_insert(step);
    let as_good = step.product == known.product;
    if step.product > known.product || (as_good && (step.next, step.scope) < (known.next, known.scope)) {
        *known = step;
    }
}

fn follow(layers: &[HashMap<Did, Step>], root: Did, hops: usize) -> Path {
    let mut path = Path { root, hops: Vec::new() };
    for layer in layers[..hops].iter().rev() {
        let step = layer[&path.end()];
        path.hops.push((step.scope, step.next));
    }
    path
}
