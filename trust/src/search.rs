//! Finds paths: backward from the target, one layer of hops at a time.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::judge::{JudgeError, Reader, Vouch, said, vouch};
use super::verdict::order;
use super::worth::{common, hop_factor};
use super::{EdgeEvent, EdgeKind, Graph, Params, Path};
use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{Level, Scope};
use attestation::identity::{Identity, Status};
use attestation::lists::ListKey;

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
/// If the search is complete, the first path is the best one there is. The others are found one after the other, which may
/// miss some: finding the most paths that share nothing is a hard problem. The score does not depend on it.
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

/// What the roots say of others.
pub(super) struct Roots {
    /// The DIDs that one of them distrusts.
    banned: HashSet<Did>,
    /// Their vouches in matching scopes, by subject.
    edges: HashMap<Did, Vec<Edge>>,
}

/// A vouch by `from` that counts.
struct Edge {
    from: Did,
    scope: Scope,
    vouch: Vouch,
}

impl Roots {
    pub(super) fn read<G: Graph>(
        reader: &Reader<'_, G>,
        params: &Params,
        time: LogTime,
    ) -> Result<Self, JudgeError<G::Error>> {
        let mut roots = Self { banned: HashSet::new(), edges: HashMap::new() };
        for (root, _) in params.roots() {
            let events = reader.ledger.edges_from(root).map_err(JudgeError::of(ListKey::Out(root)))?;
            if events.is_empty() {
                continue;
            }
            let Some(identity) = reader.identity(root)? else { continue };
            events.iter().for_each(|event| roots.take(event, &identity, params, time));
        }
        Ok(roots)
    }

    fn take(&mut self, event: &EdgeEvent, issuer: &Identity, params: &Params, time: LogTime) {
        if !params.scope().matches(event.scope) || said(event, issuer).is_err() {
            return;
        }
        if event.kind == EdgeKind::Distrust {
            self.banned.insert(event.to);
        } else if let Ok(vouch) = vouch(event, time) {
            let edge = Edge { from: event.from, scope: event.scope, vouch };
            self.edges.entry(event.to).or_default().push(edge);
        }
    }

    fn edges_into(&self, did: Did) -> &[Edge] {
        self.edges.get(&did).map_or(&[], Vec::as_slice)
    }

    pub(super) fn is_banned(&self, did: Did) -> bool {
        self.banned.contains(&did)
    }
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

/// The best way from a DID to the target in a number of hops.
#[derive(Clone, Copy)]
struct Step {
    product: u128,
    next: Did,
    scope: Scope,
}

/// The best steps of each DID, and the first steps of each root, by the number of hops to the target. The vouches of
/// the roots are known, so that the hop before the first one, the most numerous, is never looked at.
#[derive(Default)]
struct Layers {
    steps: Vec<HashMap<Did, Step>>,
    first: Vec<HashMap<Did, Step>>,
}

impl<G: Graph> Search<'_, G> {
    fn best(&mut self, excluded: &HashSet<Did>) -> Result<Option<Path>, JudgeError<G::Error>> {
        let most = usize::from(self.params.max_hops());
        let strongest = hop_factor(Level::Ultimate, self.params);
        let mut layers = Layers::default();
        let mut behind = vec![(self.target, 1)];
        for hops in 0..most {
            let first = self.first_steps(&behind, hops, excluded);
            layers.first.push(first);
            if hops + 1 == most {
                break;
            }
            let found = self.best_of(&layers, excluded).map_or(0, |(value, _)| value);
            let mut layer = HashMap::new();
            for (did, product) in behind {
                // Even with the strongest hops before it, a path through here would be no better than the known one.
                if common(self.heaviest, product * strongest * strongest, hops + 2) < found {
                    break;
                }
                self.read_edges(did)?;
                for edge in &self.edges[&did] {
                    let passable = edge.from != self.target && !excluded.contains(&edge.from);
                    if passable && edge.vouch.allows(hops) {
                        improve(&mut layer, edge, did, product, self.params);
                    }
                }
            }
            behind = layer.iter().map(|(did, step)| (*did, step.product)).collect();
            // The better ones first, in case there are too many.
            behind.sort_unstable_by_key(|(did, product)| (Reverse(*product), *did));
            layers.steps.push(layer);
            if behind.is_empty() {
                break;
            }
        }
        Ok(self.best_of(&layers, excluded).map(|(_, path)| path))
    }

    /// The best first steps of roots to DIDs `hops` before the target.
    fn first_steps(
        &self,
        behind: &[(Did, u128)],
        hops: usize,
        excluded: &HashSet<Did>,
    ) -> HashMap<Did, Step> {
        let mut first = HashMap::new();
        for (did, product) in behind {
            for edge in self.roots.edges_into(*did) {
                let passable = edge.from != self.target && !excluded.contains(&edge.from);
                if passable && edge.vouch.allows(hops) && !self.roots.is_banned(edge.from) {
                    improve(&mut first, edge, *did, *product, self.params);
                }
            }
        }
        first
    }

    /// The best path of those from the roots, and its worth.
    fn best_of(&self, layers: &Layers, excluded: &HashSet<Did>) -> Option<(u128, Path)> {
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
            for (before, first) in layers.first.iter().enumerate() {
                if let Some(step) = first.get(&root) {
                    take(common(weight, step.product, before + 1), layers.follow(root, *step, before));
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

    fn edges_into(&self, did: Did) -> Result<Vec<EdgeEvent>, JudgeError<G::Error>> {
        self.reader.ledger.edges_into(did).map_err(JudgeError::of(ListKey::In(did)))
    }
}

/// Takes a step if it is better, or as good and first in the order of DIDs and scopes.
fn improve(layer: &mut HashMap<Did, Step>, edge: &Edge, next: Did, product: u128, params: &Params) {
    let product = product * hop_factor(edge.vouch.level, params);
    let step = Step { product, next, scope: edge.scope };
    let known = layer.entry(edge.from).or_insert(step);
    let as_good = step.product == known.product;
    if step.product > known.product || (as_good && (step.next, step.scope) < (known.next, known.scope)) {
        *known = step;
    }
}

impl Layers {
    /// The path that begins with a step to a DID `before` hops before the target.
    fn follow(&self, root: Did, first: Step, before: usize) -> Path {
        let mut path = Path { root, hops: vec![(first.scope, first.next)] };
        for layer in self.steps[..before].iter().rev() {
            let step = layer[&path.end()];
            path.hops.push((step.scope, step.next));
        }
        path
    }
}
