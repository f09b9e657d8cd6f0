//! The neighbourhood of a DID as a picture: who vouches for it, and for them, back to the roots.
//!
//! Roots stand on the left, the target alone on the right. Drawn are vouches that count, distrusts by whoever is
//! drawn, and the state of each DID. Not drawn is what does not count: vouches that ended or are void, and other scopes.
//!
//! In scope: what is drawn and where, as SVG and as DOT. Out of scope: who looks at it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use tlog::LeafIndex;

use super::judge::{JudgeError, Reader, judge, said, vouch};
use super::search::Roots;
use super::{EdgeEvent, EdgeKind, Graph, Params, Ppm, search};
use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::event::{Level, Scope};
use attestation::identity::{Identity, Status};
use attestation::lists::ListKey;

mod dot;
mod layout;
mod style;
mod svg;
mod words;

/// The most DIDs in a picture.
pub const MAX_DIDS: usize = 200;

/// The most lines in a picture.
pub const MAX_LINES: usize = 1_000;

/// A picture.
#[derive(Clone, Debug)]
pub struct Picture {
    target: Did,
    scope: &'static str,
    from: DrawnFrom,
    nodes: Vec<Node>,
    lines: Vec<Line>,
    left_out: LeftOut,
}

/// Where the entries come from: evidence has those that a verdict needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DrawnFrom {
    /// All entries of a log.
    WholeLog,
    /// Evidence about the target.
    Evidence,
}

/// What is not in a picture.
#[derive(Clone, Copy, Debug, Default)]
struct LeftOut {
    /// DIDs for which there is no room, at least.
    dids: usize,
    /// Lines for which there is no room.
    lines: usize,
    /// DIDs whose state the entries do not show.
    states: usize,
    /// DIDs whose score the entries do not show.
    scores: usize,
}

/// A DID in a picture.
#[derive(Clone, Debug)]
struct Node {
    did: Did,
    public_name: Option<String>,
    kind: NodeKind,
    score: Option<Ppm>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NodeKind {
    Root,
    Plain,
    Banned,
    Compromised,
    Deactivated,
    Unregistered,
    /// The entries do not show its state.
    Unknown,
}

/// What one DID says of another: its vouches of one level, or its distrusts.
#[derive(Clone, Debug)]
struct Line {
    from: usize,
    to: usize,
    kind: LineKind,
    /// For what, how many hops may follow, and where it is said.
    said: Vec<(Scope, Option<u8>, LeafIndex)>,
    /// Whether it is on the best path.
    is_best: bool,
    /// Whether it is a distrust by a DID that is no root, which changes no score.
    is_idle: bool,
}

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum LineKind {
    Vouch(Level),
    Distrust,
}

impl Picture {
    /// The neighbourhood of `target`: as many hops back as paths may have.
    pub fn of<G: Graph>(
        graph: &G,
        from: DrawnFrom,
        params: &Params,
        target: Did,
        time: LogTime,
    ) -> Result<Self, JudgeError<G::Error>> {
        let reader = Reader { ledger: graph };
        let roots = Roots::read(&reader, params, time)?;
        let mut best: Vec<(Did, Did)> = Vec::new();
        if let Some(path) = search(graph, params, target, time)?.paths.first() {
            best.extend(path.dids().zip(path.dids().skip(1)));
        }
        let mut drawing = Drawing { graph, params, time, identities: HashMap::new(), read: BTreeMap::new() };
        let mut left_out = LeftOut::default();
        let (dids, left_out_dids) = drawing.collect(target, &best)?;
        left_out.dids = left_out_dids;
        let mut nodes = Vec::with_capacity(dids.len());
        for did in &dids {
            let kind = drawing.kind(*did, &roots);
            let score = drawing.score(*did, kind);
            left_out.states += usize::from(kind == NodeKind::Unknown);
            left_out.scores += usize::from(score.is_none() && kind.has_score());
            let identity = drawing.identity(*did).ok().flatten();
            let public_name = identity.and_then(|identity| identity.public_name().map(str::to_owned));
            nodes.push(Node { did: *did, public_name, kind, score });
        }
        let mut lines = drawing.lines(&dids, &best)?;
        left_out.lines = lines.len().saturating_sub(MAX_LINES);
        // What matters most stays, and is drawn last, on top.
        lines.sort_by_key(|line| (!line.is_best, line.is_idle, line.to != 0, line.kind, line.from, line.to));
        lines.truncate(MAX_LINES);
        lines.reverse();
        Ok(Self { target, scope: params.scope().name(), from, nodes, lines, left_out })
    }

    /// How many DIDs are drawn.
    pub fn dids(&self) -> usize {
        self.nodes.len()
    }

    /// How many lines are drawn: vouches of one level, or distrusts, by one DID about another.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The column of each DID: its hops from the nearest root. Whom no root reaches stands as many columns before the
    /// target as it has hops to it. The target stands behind all others.
    fn columns(&self) -> Vec<usize> {
        let vouches: Vec<(usize, usize)> = self
            .lines
            .iter()
            .filter(|line| line.kind != LineKind::Distrust)
            .map(|line| (line.from, line.to))
            .collect();
        let roots = (0..self.nodes.len()).filter(|at| self.nodes[*at].kind == NodeKind::Root);
        let forward = hops(roots, self.nodes.len(), &vouches);
        let backward: Vec<(usize, usize)> = vouches.iter().map(|(from, to)| (*to, *from)).collect();
        let back = hops([0], self.nodes.len(), &backward);
        let farthest = |hops: &[Option<usize>]| hops.iter().copied().flatten().max().unwrap_or(0);
        let at = forward[0].unwrap_or(farthest(&forward).max(farthest(&back)) + 1);
        let column = |node: usize| match (forward[node], back[node]) {
            (Some(hops), _) => hops,
            (None, Some(hops)) => at.saturating_sub(hops),
            (None, None) => 0,
        };
        let mut columns: Vec<usize> = (0..self.nodes.len()).map(column).collect();
        columns[0] = columns[1..].iter().max().map_or(0, |last| last + 1);
        // Without those that nobody stands in.
        let used: BTreeSet<usize> = columns.iter().copied().collect();
        columns.iter().map(|column| used.range(..column).count()).collect()
    }
}

impl Node {
    /// The digits by which people know a DID: the method is the same for all, and ten digits tell a million apart.
    fn short_did(&self) -> String {
        let text = self.did.to_string();
        let digits = text.rsplit(':').next().unwrap_or_default();
        format!("{}…", &digits[..10.min(digits.len())])
    }

    /// What is known of it besides its name.
    fn facts(&self, is_target: bool) -> String {
        let target = is_target.then(|| "target".to_owned());
        let score = self.score.map(|score| score.to_string());
        let word = Some(self.kind.word()).filter(|word| !word.is_empty()).map(str::to_owned);
        let facts: Vec<String> = [target, score, word].into_iter().flatten().collect();
        facts.join(" · ")
    }
}

impl NodeKind {
    /// Whether a judgement gives it a score: what it is says enough of the others.
    fn has_score(self) -> bool {
        matches!(self, Self::Root | Self::Plain | Self::Unknown)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Plain => "",
            Self::Banned => "distrusted",
            Self::Compromised => "compromised",
            Self::Deactivated => "deactivated",
            Self::Unregistered => "unregistered",
            Self::Unknown => "state not shown",
        }
    }
}

impl Line {
    /// What is said, with every scope.
    fn label(&self) -> String {
        self.label_beside("")
    }

    /// Without the scope, if it is the one that everybody asks for here.
    fn label_beside(&self, asked: &str) -> String {
        let name = match self.kind {
            LineKind::Vouch(level) => level.name(),
            LineKind::Distrust if self.is_idle => "distrust by no root",
            LineKind::Distrust => "distrust",
        };
        let scope = |(scope, depth, _): &(Scope, Option<u8>, LeafIndex)| {
            let depth = depth.map(|depth| format!("depth {depth}"));
            let scope = Some(scope.name()).filter(|name| *name != asked).map(str::to_owned);
            let words: Vec<String> = [scope, depth].into_iter().flatten().collect();
            words.join(" ")
        };
        let scopes: Vec<String> = self.said.iter().map(scope).filter(|words| !words.is_empty()).collect();
        if scopes.is_empty() { name.to_owned() } else { format!("{name} {}", scopes.join(", ")) }
    }
}

/// Reads what is drawn.
struct Drawing<'a, G> {
    graph: &'a G,
    params: &'a Params,
    time: LogTime,
    identities: HashMap<Did, Result<Option<Identity>, Unshown>>,
    /// What is said about a DID, as far as it is drawn.
    read: BTreeMap<Did, Vec<EdgeEvent>>,
}

/// The entries do not show it.
#[derive(Clone, Copy, Debug)]
struct Unshown;

impl<G: Graph> Drawing<'_, G> {
    fn identity(&mut self, did: Did) -> Result<Option<&Identity>, Unshown> {
        let read =
            || self.graph.identity(did).map(|read| read.map(|known| known.into_owned())).map_err(|_| Unshown);
        self.identities
            .entry(did)
            .or_insert_with(read)
            .as_ref()
            .map(Option::as_ref)
            .map_err(|unshown| *unshown)
    }

    /// Whether a vouch counts, or a distrust is said, and is for what is asked for.
    fn is_said(&mut self, event: &EdgeEvent) -> bool {
        let is_distrust = event.kind == EdgeKind::Distrust;
        if !self.params.scope().matches(event.scope) || (!is_distrust && vouch(event, self.time).is_err()) {
            return false;
        }
        match self.identity(event.from) {
            Ok(issuer) => issuer.is_some_and(|issuer| said(event, issuer).is_ok()),
            // It has a state that is not shown, and is drawn so.
            Err(Unshown) => true,
        }
    }

    fn about(&mut self, did: Did) -> Result<&[EdgeEvent], JudgeError<G::Error>> {
        if !self.read.contains_key(&did) {
            let events = self.graph.edges_into(did).map_err(JudgeError::of(ListKey::In(did)))?;
            let mut said: Vec<EdgeEvent> = Vec::new();
            for event in events.into_iter().take(super::MAX_SEARCH_EDGES / MAX_DIDS) {
                if self.is_said(&event) {
                    said.push(event);
                }
            }
            said.sort_by_key(|event| (event.from, event.scope));
            self.read.insert(did, said);
        }
        Ok(&self.read[&did])
    }

    /// Who is drawn: the target first, then the best path, then hop by hop back from the target.
    fn collect(
        &mut self,
        target: Did,
        best: &[(Did, Did)],
    ) -> Result<(Vec<Did>, usize), JudgeError<G::Error>> {
        let mut dids = vec![target];
        let mut known: HashSet<Did> = HashSet::from([target]);
        let mut left_out: BTreeSet<Did> = BTreeSet::new();
        let mut take = |did: Did, dids: &mut Vec<Did>| {
            if known.contains(&did) {
                return true;
            }
            if dids.len() == MAX_DIDS {
                left_out.insert(did);
                return false;
            }
            known.insert(did);
            dids.push(did);
            true
        };
        for (from, _) in best {
            take(*from, &mut dids);
        }
        let mut queue = VecDeque::from([(target, 0)]);
        let mut asked = HashSet::from([target]);
        while let Some((did, hops)) = queue.pop_front() {
            if hops == usize::from(self.params.max_hops()) {
                continue;
            }
            // Who warns and is no root changes nothing: that is drawn if both are.
            let params = self.params;
            let leads =
                |event: &&EdgeEvent| event.kind != EdgeKind::Distrust || params.root(event.from).is_some();
            for from in self.about(did)?.iter().filter(leads).map(|event| event.from).collect::<Vec<_>>() {
                if take(from, &mut dids) && asked.insert(from) {
                    queue.push_back((from, hops + 1));
                }
            }
        }
        Ok((dids, left_out.len()))
    }

    /// The lines between those who are drawn.
    fn lines(&mut self, dids: &[Did], best: &[(Did, Did)]) -> Result<Vec<Line>, JudgeError<G::Error>> {
        let places: HashMap<Did, usize> = dids.iter().enumerate().map(|(at, did)| (*did, at)).collect();
        let mut lines: BTreeMap<(usize, usize, LineKind), Line> = BTreeMap::new();
        for (to, did) in dids.iter().enumerate() {
            for event in self.about(*did)?.to_vec() {
                let Some(from) = places.get(&event.from).copied() else { continue };
                let (kind, depth) = match event.kind {
                    EdgeKind::Vouch { level, depth, .. } => (LineKind::Vouch(level), depth),
                    EdgeKind::Distrust => (LineKind::Distrust, None),
                    EdgeKind::Revocation => continue,
                };
                let is_distrust = kind == LineKind::Distrust;
                let is_idle = is_distrust && self.params.root(event.from).is_none();
                let is_best = !is_distrust && best.contains(&(event.from, event.to));
                let line = Line { from, to, kind, said: Vec::new(), is_best, is_idle };
                let line = lines.entry((from, to, kind)).or_insert(line);
                line.said.push((event.scope, depth, event.logged.index));
            }
        }
        Ok(lines.into_values().collect())
    }

    fn kind(&mut self, did: Did, roots: &Roots) -> NodeKind {
        if roots.is_banned(did) {
            return NodeKind::Banned;
        }
        let is_root = self.params.root(did).is_some();
        match self.identity(did) {
            Err(Unshown) => NodeKind::Unknown,
            Ok(None) => NodeKind::Unregistered,
            Ok(Some(identity)) => match identity.status() {
                Status::Deactivated => NodeKind::Deactivated,
                Status::Compromised => NodeKind::Compromised,
                Status::Active if is_root => NodeKind::Root,
                Status::Active => NodeKind::Plain,
            },
        }
    }

    /// What the roots' trust in it is, if the entries show that.
    fn score(&self, did: Did, kind: NodeKind) -> Option<Ppm> {
        if !kind.has_score() {
            return None;
        }
        let found = search(self.graph, self.params, did, self.time).ok().filter(|found| found.complete)?;
        let verdict = judge(self.graph, self.params, &found.paths, did, self.time).ok()?;
        Some(verdict.score)
    }
}

/// The fewest hops from any of `starts`.
fn hops(
    starts: impl IntoIterator<Item = usize>,
    nodes: usize,
    edges: &[(usize, usize)],
) -> Vec<Option<usize>> {
    let mut known = vec![None; nodes];
    let mut next = vec![Vec::new(); nodes];
    edges.iter().for_each(|(from, to)| next[*from].push(*to));
    let mut queue: VecDeque<usize> = starts.into_iter().collect();
    queue.iter().for_each(|start| known[*start] = Some(0));
    while let Some(node) = queue.pop_front() {
        for other in &next[node] {
            if known[*other].is_none() {
                known[*other] = known[node].map(|hops| hops + 1);
                queue.push_back(*other);
            }
        }
    }
    known
}
