//! The neighbourhood of a DID as a picture: who vouches for it, and for them, back to the roots.
//!
//! A column a hop: roots on the left, the target behind the last voucher. What does not count is not drawn:
//! vouches that ended or are void, other scopes, distrusts by others than roots.
//!
//! In scope: what is drawn and where, as SVG and as DOT. Out of scope: who looks at it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fmt::Write;

use tlog::LeafIndex;

use super::judge::{JudgeError, Reader, said, vouch};
use super::search::Roots;
use super::{EdgeEvent, EdgeKind, Graph, Params, search};
use crate::did::Did;
use crate::entry::LogTime;
use crate::event::{Level, Scope};
use crate::identity::Status;
use crate::lists::ListKey;

/// The most DIDs in a picture.
pub const MAX_DIDS: usize = 200;

/// The most lines whose level is written beside them; beyond that colour and dashes say it.
const MAX_LABELS: usize = 48;

/// A picture. Rows and columns are counted from 0 at the top left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Picture {
    target: Did,
    nodes: Vec<Node>,
    lines: Vec<Line>,
    /// How many more DIDs there would have been, at least.
    left_out: usize,
    scope: &'static str,
}

/// A DID in a picture.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Node {
    did: Did,
    kind: NodeKind,
    column: usize,
    row: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum NodeKind {
    Root,
    Plain,
    Banned,
    Compromised,
    Deactivated,
    Unregistered,
}

/// A vouch or a distrust in a picture.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Line {
    from: usize,
    to: usize,
    scope: Scope,
    /// `None`: a distrust.
    level: Option<Level>,
    depth: Option<u8>,
    index: LeafIndex,
    /// Whether it is on the best path.
    best: bool,
}

impl Picture {
    /// The neighbourhood of `target`: as many hops back as paths may have, and one hop on.
    pub fn of<G: Graph>(
        graph: &G,
        params: &Params,
        target: Did,
        time: LogTime,
    ) -> Result<Self, JudgeError<G::Error>> {
        let reader = Reader { ledger: graph };
        let roots = Roots::read(&reader, params, time)?;
        let found = search(graph, params, target, time)?;
        let mut best: Vec<(Did, Did)> = Vec::new();
        if let Some(path) = found.paths.first() {
            best.extend(path.dids().zip(path.dids().skip(1)));
        }
        let mut drawing = Drawing { reader, params, time, read: BTreeMap::new() };
        let (dids, left_out) = drawing.collect(target, &best)?;
        let edges = drawing.among(&dids)?;
        let columns = columns(&dids, &edges, params, target);
        let mut nodes = Vec::with_capacity(dids.len());
        for did in &dids {
            let kind = drawing.kind(*did, &roots)?;
            nodes.push(Node { did: *did, kind, column: columns[did], row: 0 });
        }
        let place = |did: Did| dids.iter().position(|known| *known == did).expect("both ends are drawn");
        let mut lines: Vec<Line> = edges
            .iter()
            .map(|event| {
                let (level, depth) = match event.kind {
                    EdgeKind::Vouch { level, depth, .. } => (Some(level), depth),
                    EdgeKind::Distrust | EdgeKind::Revocation => (None, None),
                };
                let best = level.is_some() && best.contains(&(event.from, event.to));
                let (from, to, index) = (place(event.from), place(event.to), event.logged.index);
                Line { from, to, scope: event.scope, level, depth, index, best }
            })
            .collect();
        // What matters most is drawn last, on top.
        lines.sort_by_key(|line| (line.best, line.level.is_none(), line.index));
        let mut picture = Self { target, nodes, lines, left_out, scope: params.scope().name() };
        picture.arrange();
        Ok(picture)
    }

    /// How many DIDs are drawn.
    pub fn dids(&self) -> usize {
        self.nodes.len()
    }

    /// How many vouches and distrusts are drawn.
    pub fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Gives each column its order: every DID near those it has to do with, so that lines cross seldom.
    fn arrange(&mut self) {
        let last = self.nodes.iter().map(|node| node.column).max().unwrap_or(0);
        let mut order: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
        for (at, node) in self.nodes.iter().enumerate() {
            order[node.column].push(at);
        }
        let mut neighbours = vec![Vec::new(); self.nodes.len()];
        for line in &self.lines {
            neighbours[line.from].push(line.to);
            neighbours[line.to].push(line.from);
        }
        let mut height = vec![0_u64; self.nodes.len()];
        let settle = |order: &[usize], height: &mut [u64]| {
            // The middle of a column is the middle of the picture, whatever its length.
            let first = MIDDLE - order.len() as u64 * SCALE / 2;
            for (row, at) in order.iter().enumerate() {
                height[*at] = first + row as u64 * SCALE;
            }
        };
        order.iter().for_each(|column| settle(column, &mut height));
        for round in 0..ROUNDS {
            let columns: Vec<usize> =
                if round % 2 == 0 { (0..=last).collect() } else { (0..=last).rev().collect() };
            for column in columns {
                let mean = |at: &usize| {
                    let near = &neighbours[*at];
                    let sum: u64 = near.iter().map(|other| height[*other]).sum();
                    if near.is_empty() { height[*at] } else { sum / near.len() as u64 }
                };
                let mut sorted: Vec<(u64, usize)> = order[column].iter().map(|at| (mean(at), *at)).collect();
                sorted.sort_unstable();
                order[column] = sorted.into_iter().map(|(_, at)| at).collect();
                settle(&order[column], &mut height);
            }
        }
        for column in &order {
            for (row, at) in column.iter().enumerate() {
                self.nodes[*at].row = row;
            }
        }
    }

    /// The picture in the language of Graphviz.
    pub fn to_dot(&self) -> String {
        let mut dot =
            String::from("digraph trust {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for node in &self.nodes {
            let Style { fill, stroke, .. } = node.kind.style();
            let bold = if node.did == self.target { 3 } else { 1 };
            let _ = writeln!(
                dot,
                "  \"{}\" [label=\"{}\", tooltip=\"{}\", style=filled, fillcolor=\"{fill}\", color=\"{stroke}\", penwidth={bold}];",
                node.did,
                self.label(node),
                node.did
            );
        }
        for line in &self.lines {
            let Style { stroke, dot_style, .. } = level_style(line.level);
            let _ = writeln!(
                dot,
                "  \"{}\" -> \"{}\" [label=\"{}\", color=\"{stroke}\", style=\"{dot_style}\", penwidth={}];",
                self.nodes[line.from].did,
                self.nodes[line.to].did,
                line.label(),
                if line.best { 3 } else { 1 }
            );
        }
        dot.push_str("}\n");
        dot
    }

    /// The picture as an SVG file that needs nothing else.
    pub fn to_svg(&self) -> String {
        let layout = Layout::of(&self.nodes);
        let (width, height) = (layout.width.max(LEGEND_WIDTH), layout.height + LEGEND);
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">"
        );
        let _ = writeln!(svg, "<title>Who vouches for {} ({})</title>", self.target, self.scope);
        svg.push_str("<defs>\n");
        for level in LEVELS {
            let Style { name, stroke, .. } = level_style(level);
            let _ = writeln!(
                svg,
                "<marker id=\"{name}\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"{stroke}\"/></marker>"
            );
        }
        let _ = writeln!(svg, "</defs>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
        let with_labels = self.lines.len() <= MAX_LABELS;
        self.lines.iter().for_each(|line| self.draw_line(&mut svg, &layout, line));
        self.nodes.iter().enumerate().for_each(|(at, node)| self.draw_node(&mut svg, layout.boxes[at], node));
        if with_labels {
            self.draw_labels(&mut svg, &layout);
        }
        self.draw_legend(&mut svg, layout.height, with_labels);
        svg.push_str("</svg>\n");
        svg
    }

    /// The ends of a line, and the points that bend it.
    fn curve(&self, layout: &Layout, line: &Line) -> [(i32, i32); 4] {
        let ((ax, ay), (bx, by)) = (layout.boxes[line.from], layout.boxes[line.to]);
        let (a, b) = (ay + BOX_HEIGHT / 2, by + BOX_HEIGHT / 2);
        if ax < bx {
            let bend = (bx - ax - BOX_WIDTH) / 2;
            // Around the columns that it passes.
            let columns = self.nodes[line.to].column.abs_diff(self.nodes[line.from].column);
            let up = if columns > 1 { layout.row * 2 } else { 0 };
            [(ax + BOX_WIDTH, a), (ax + BOX_WIDTH + bend, a - up), (bx - bend, b - up), (bx, b)]
        } else if ax > bx {
            // Backward, below the way there, so that a pair that vouches for each other is two lines.
            let bend = (ax - bx - BOX_WIDTH) / 2;
            let (a, b) = (a + BACK, b + BACK);
            let down = layout.row / 2;
            [(ax, a), (ax - bend, a + down), (bx + BOX_WIDTH + bend, b + down), (bx + BOX_WIDTH, b)]
        } else {
            // Within a column: down on the right, up on the left.
            let bend = (COLUMN_GAP / 3).min(16 + (b - a).abs() / 4);
            let (side, bend) = if a < b { (ax + BOX_WIDTH, bend) } else { (ax, -bend) };
            [(side, a), (side + bend, a), (side + bend, b), (side, b)]
        }
    }

    fn draw_line(&self, svg: &mut String, layout: &Layout, line: &Line) {
        let Style { name, stroke, dash, .. } = level_style(line.level);
        let [a, b, c, d] = self.curve(layout, line);
        let (width, opacity) =
            if line.best { (3, 100) } else { (1, if self.lines.len() > MAX_LABELS { 55 } else { 90 }) };
        let _ = writeln!(
            svg,
            "<path d=\"M{} {}C{} {} {} {} {} {}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-opacity=\"{opacity}%\"{dash} marker-end=\"url(#{name})\"><title>{} to {}: {}, entry {}</title></path>",
            a.0,
            a.1,
            b.0,
            b.1,
            c.0,
            c.1,
            d.0,
            d.1,
            self.nodes[line.from].did,
            self.nodes[line.to].did,
            line.label(),
            line.index
        );
    }

    /// What lines are, beside them: one below the other where they would cover each other.
    fn draw_labels(&self, svg: &mut String, layout: &Layout) {
        let mut taken: Vec<(i32, i32, i32)> = Vec::new();
        for line in &self.lines {
            let label = line.short_label(self.scope);
            let half = i32::try_from(label.len()).unwrap_or(0) * 3 + 2;
            let [a, b, c, d] = self.curve(layout, line);
            // The middle of the curve.
            let x = (a.0 + 3 * b.0 + 3 * c.0 + d.0) / 8;
            let mut y = (a.1 + 3 * b.1 + 3 * c.1 + d.1) / 8 - 3;
            while taken.iter().any(|(tx, ty, th)| (tx - x).abs() < half + th && (ty - y).abs() < LABEL_HEIGHT)
            {
                y += LABEL_HEIGHT;
            }
            taken.push((x, y, half));
            let stroke = level_style(line.level).stroke;
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" font-size=\"9\" fill=\"{stroke}\" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">{label}</text>"
            );
        }
    }

    fn draw_node(&self, svg: &mut String, (x, y): (i32, i32), node: &Node) {
        let Style { fill, stroke, .. } = node.kind.style();
        let bold = if node.did == self.target { 3 } else { 1 };
        let _ = writeln!(
            svg,
            "<g><title>{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"3\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{bold}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#1f2328\">{}</text></g>",
            node.did,
            x + BOX_WIDTH / 2,
            y + 14,
            self.label(node)
        );
    }

    fn label(&self, node: &Node) -> String {
        // The method is the same for all; ten digits tell a million apart.
        let text = node.did.to_string();
        let digits = text.rsplit(':').next().unwrap_or_default();
        let target = if node.did == self.target { " target" } else { "" };
        format!("{}…{target}{}", &digits[..10.min(digits.len())], node.kind.word())
    }

    fn draw_legend(&self, svg: &mut String, top: i32, with_labels: bool) {
        let mut text = |x: i32, y: i32, text: &str| {
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" fill=\"#59636e\">{text}</text>");
        };
        let hint = if with_labels { "" } else { "; point at a line or a box for more" };
        text(MARGIN, top + 14, &format!("Who vouches for {}, scope {}", self.target, self.scope));
        let more = match self.left_out {
            0 => String::new(),
            count => format!("; at least {count} more are not drawn"),
        };
        let counts = format!("{} DIDs, {} lines{more}{hint}", self.dids(), self.lines());
        text(MARGIN, top + 30, &counts);
        let mut x = MARGIN;
        for level in LEVELS {
            let Style { name, stroke, dash, .. } = level_style(level);
            let y = top + 46;
            let _ = writeln!(
                svg,
                "<path d=\"M{x} {y}h32\" stroke=\"{stroke}\"{dash} marker-end=\"url(#{name})\"/><text x=\"{}\" y=\"{}\" fill=\"#59636e\">{name}</text>",
                x + 38,
                y + 4
            );
            x += LEGEND_STEP;
        }
        let y = top + 66;
        let _ = writeln!(
            svg,
            "<path d=\"M{MARGIN} {y}h32\" stroke=\"#1f2328\" stroke-width=\"3\"/><text x=\"{}\" y=\"{}\" fill=\"#59636e\">best path</text>",
            MARGIN + 38,
            y + 4
        );
        let mut x = MARGIN + LEGEND_STEP;
        for kind in [NodeKind::Root, NodeKind::Banned, NodeKind::Compromised, NodeKind::Deactivated] {
            let Style { fill, stroke, .. } = kind.style();
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{}\" width=\"20\" height=\"12\" rx=\"2\" fill=\"{fill}\" stroke=\"{stroke}\"/><text x=\"{}\" y=\"{}\" fill=\"#59636e\">{}</text>",
                y - 6,
                x + 26,
                y + 4,
                if kind == NodeKind::Deactivated {
                    "deactivated or unregistered"
                } else {
                    kind.word().trim()
                }
            );
            x += LEGEND_STEP;
        }
    }
}

impl Line {
    fn label(&self) -> String {
        self.short_label("")
    }

    /// Without the scope, if it is the one that everybody asks for here.
    fn short_label(&self, asked: &str) -> String {
        let mut label = self.level.map_or("distrust", Level::name).to_owned();
        if self.scope.name() != asked {
            let _ = write!(label, " {}", self.scope);
        }
        if let Some(depth) = self.depth {
            let _ = write!(label, " depth {depth}");
        }
        label
    }
}

/// Reads what is drawn.
struct Drawing<'a, G> {
    reader: Reader<'a, G>,
    params: &'a Params,
    time: LogTime,
    /// What counts of what is said about a DID.
    read: BTreeMap<Did, Vec<EdgeEvent>>,
}

impl<G: Graph> Drawing<'_, G> {
    /// Whether a vouch, or a root's distrust, counts and is for what is asked for.
    fn counts(&self, event: &EdgeEvent) -> Result<bool, JudgeError<G::Error>> {
        let by_root = event.kind == EdgeKind::Distrust && self.params.root(event.from).is_some();
        if !self.params.scope().matches(event.scope) || (!by_root && vouch(event, self.time).is_err()) {
            return Ok(false);
        }
        let issuer = self.reader.identity(event.from)?;
        Ok(issuer.is_some_and(|issuer| said(event, &issuer).is_ok()))
    }

    fn about(&mut self, did: Did) -> Result<&[EdgeEvent], JudgeError<G::Error>> {
        if !self.read.contains_key(&did) {
            let events = self.reader.ledger.edges_into(did).map_err(JudgeError::of(ListKey::In(did)))?;
            let mut counted = Vec::new();
            for event in events.into_iter().take(super::MAX_SEARCH_EDGES / MAX_DIDS) {
                if self.counts(&event)? {
                    counted.push(event);
                }
            }
            counted.sort_by_key(|event| (event.from, event.scope));
            self.read.insert(did, counted);
        }
        Ok(&self.read[&did])
    }

    /// Who is drawn: the best path, then hop by hop back from the target, then whom it vouches for.
    fn collect(
        &mut self,
        target: Did,
        best: &[(Did, Did)],
    ) -> Result<(Vec<Did>, usize), JudgeError<G::Error>> {
        let mut dids = vec![target];
        let mut known: HashSet<Did> = HashSet::from([target]);
        let mut left_out: BTreeSet<Did> = BTreeSet::new();
        let mut take = |did: Did, dids: &mut Vec<Did>| {
            if !known.contains(&did) && dids.len() < MAX_DIDS {
                known.insert(did);
                dids.push(did);
                return true;
            }
            if !known.contains(&did) {
                left_out.insert(did);
            }
            false
        };
        for (from, to) in best {
            take(*from, &mut dids);
            take(*to, &mut dids);
        }
        let mut queue = VecDeque::from([(target, 0)]);
        let mut asked = HashSet::from([target]);
        while let Some((did, hops)) = queue.pop_front() {
            if hops == usize::from(self.params.max_hops()) {
                continue;
            }
            for from in self.about(did)?.iter().map(|event| event.from).collect::<Vec<_>>() {
                take(from, &mut dids);
                if dids.contains(&from) && asked.insert(from) {
                    queue.push_back((from, hops + 1));
                }
            }
        }
        let on = self.reader.ledger.edges_from(target).map_err(JudgeError::of(ListKey::Out(target)))?;
        let mut on: Vec<EdgeEvent> =
            on.into_iter().filter(|event| event.kind != EdgeKind::Distrust).collect();
        on.sort_by_key(|event| (event.to, event.scope));
        for event in on {
            if self.counts(&event)? {
                take(event.to, &mut dids);
            }
        }
        Ok((dids, left_out.len()))
    }

    /// The lines between those who are drawn.
    fn among(&mut self, dids: &[Did]) -> Result<Vec<EdgeEvent>, JudgeError<G::Error>> {
        let drawn: HashSet<Did> = dids.iter().copied().collect();
        let mut edges = Vec::new();
        for did in dids {
            edges.extend(self.about(*did)?.iter().filter(|event| drawn.contains(&event.from)).copied());
        }
        Ok(edges)
    }

    fn kind(&self, did: Did, roots: &Roots) -> Result<NodeKind, JudgeError<G::Error>> {
        let status = self.reader.identity(did)?.map(|identity| identity.status());
        Ok(match status {
            _ if roots.is_banned(did) => NodeKind::Banned,
            None => NodeKind::Unregistered,
            Some(Status::Deactivated) => NodeKind::Deactivated,
            Some(Status::Compromised) => NodeKind::Compromised,
            Some(Status::Active) if self.params.root(did).is_some() => NodeKind::Root,
            Some(Status::Active) => NodeKind::Plain,
        })
    }
}

/// The column of each DID: its hops from the nearest root. Whom no root reaches stands as many columns before the
/// target as it has hops to it; if no root reaches the target, all of them stand behind the others.
fn columns(dids: &[Did], edges: &[EdgeEvent], params: &Params, target: Did) -> BTreeMap<Did, usize> {
    let vouches: Vec<(Did, Did)> = edges
        .iter()
        .filter(|event| event.kind != EdgeKind::Distrust)
        .map(|event| (event.from, event.to))
        .collect();
    let roots = dids.iter().copied().filter(|did| params.root(*did).is_some());
    let mut columns = hops(roots, |did| vouches.iter().filter(move |edge| edge.0 == did).map(|edge| edge.1));
    let back = hops([target], |did| vouches.iter().filter(move |edge| edge.1 == did).map(|edge| edge.0));
    let behind = columns.values().max().map_or(0, |last| last + 1);
    let farthest = back.iter().filter(|(did, _)| !columns.contains_key(did)).map(|(_, hops)| *hops).max();
    let at = *columns.entry(target).or_insert(behind + farthest.unwrap_or(0));
    for did in dids {
        let column = back.get(did).map_or(at + 1, |hops| at.saturating_sub(*hops));
        columns.entry(*did).or_insert(column);
    }
    columns
}

/// The fewest hops from any of `starts`.
fn hops<I: Iterator<Item = Did>>(
    starts: impl IntoIterator<Item = Did>,
    next: impl Fn(Did) -> I,
) -> BTreeMap<Did, usize> {
    let mut known: BTreeMap<Did, usize> = starts.into_iter().map(|did| (did, 0)).collect();
    let mut queue: VecDeque<(Did, usize)> = known.iter().map(|(did, hops)| (*did, *hops)).collect();
    while let Some((did, hops)) = queue.pop_front() {
        for other in next(did) {
            if let Entry::Vacant(new) = known.entry(other) {
                new.insert(hops + 1);
                queue.push_back((other, hops + 1));
            }
        }
    }
    known
}

/// Where boxes stand, in pixels: the top left corner of each.
struct Layout {
    boxes: Vec<(i32, i32)>,
    /// From one row to the next.
    row: i32,
    width: i32,
    height: i32,
}

impl Layout {
    /// A column of more than [`MAX_ROWS`] is several, side by side.
    fn of(nodes: &[Node]) -> Self {
        let pixels = |count: usize| i32::try_from(count).expect("at most MAX_DIDS");
        let columns = nodes.iter().map(|node| node.column + 1).max().unwrap_or(0);
        let mut sizes = vec![0; columns];
        nodes.iter().for_each(|node| sizes[node.column] += 1);
        let tallest = sizes.iter().map(|size: &usize| (*size).min(MAX_ROWS)).max().unwrap_or(0);
        let row_height = if tallest > FEW_ROWS { ROW } else { WIDE_ROW };
        let (mut boxes, mut x) = (vec![(0, 0); nodes.len()], MARGIN);
        for (column, size) in sizes.iter().enumerate() {
            let parts = size.div_ceil(MAX_ROWS).max(1);
            let rows = size.div_ceil(parts).max(1);
            for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.column == column) {
                // Row by row, so that neighbours in the order stay at one height.
                let (row, part) = (node.row / parts, node.row % parts);
                let top = pixels(tallest - rows) * row_height / 2;
                boxes[at] =
                    (x + pixels(part) * (BOX_WIDTH + PART_GAP), MARGIN + top + pixels(row) * row_height);
            }
            x += pixels(parts) * (BOX_WIDTH + PART_GAP) - PART_GAP + COLUMN_GAP;
        }
        let (width, height) = (x - COLUMN_GAP + MARGIN, 2 * MARGIN + pixels(tallest) * row_height);
        Self { boxes, row: row_height, width, height }
    }
}

/// How something looks.
struct Style {
    name: &'static str,
    fill: &'static str,
    stroke: &'static str,
    dash: &'static str,
    dot_style: &'static str,
}

impl NodeKind {
    fn style(self) -> Style {
        let (fill, stroke) = match self {
            Self::Root => ("#ddf4ff", "#0969da"),
            Self::Plain => ("#ffffff", "#59636e"),
            Self::Banned => ("#ffebe9", "#cf222e"),
            Self::Compromised => ("#fff1e5", "#bc4c00"),
            Self::Deactivated | Self::Unregistered => ("#e6eaef", "#818b98"),
        };
        Style { name: "", fill, stroke, dash: "", dot_style: "solid" }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Root => " root",
            Self::Plain => "",
            Self::Banned => " distrusted",
            Self::Compromised => " compromised",
            Self::Deactivated => " deactivated",
            Self::Unregistered => " unregistered",
        }
    }
}

/// Colour and dashes say the same, for those who see no colours.
fn level_style(level: Option<Level>) -> Style {
    let (name, stroke, dash, dot_style) = match level {
        Some(Level::Ultimate) => ("ULTIMATE", "#116329", "", "solid"),
        Some(Level::Strong) => ("STRONG", "#1a7f37", "", "solid"),
        Some(Level::Moderate) => ("MODERATE", "#9a6700", " stroke-dasharray=\"6 3\"", "dashed"),
        Some(Level::Weak) => ("WEAK", "#59636e", " stroke-dasharray=\"2 3\"", "dotted"),
        None => ("distrust", "#cf222e", " stroke-dasharray=\"9 3 2 3\"", "dashed"),
    };
    Style { name, fill: "none", stroke, dash, dot_style }
}

const LEVELS: [Option<Level>; 5] =
    [Some(Level::Ultimate), Some(Level::Strong), Some(Level::Moderate), Some(Level::Weak), None];

// Pixels.
const MARGIN: i32 = 16;
const BOX_WIDTH: i32 = 192;
const BOX_HEIGHT: i32 = 20;
const ROW: i32 = 26;
const WIDE_ROW: i32 = 52;
const COLUMN_GAP: i32 = 190;
const PART_GAP: i32 = 14;
const LABEL_HEIGHT: i32 = 11;
const BACK: i32 = 5;
const LEGEND: i32 = 80;
const LEGEND_STEP: i32 = 120;
const LEGEND_WIDTH: i32 = 2 * MARGIN + 5 * LEGEND_STEP + 60;

/// The most boxes below each other.
const MAX_ROWS: usize = 70;

/// As many rows have room for labels between them.
const FEW_ROWS: usize = 12;

/// The distance of two rows when columns are sorted.
const SCALE: u64 = 1_000;

/// The height of the middle row: more than half of the longest column.
const MIDDLE: u64 = MAX_DIDS as u64 * SCALE;

/// How often columns are sorted, forward and back.
const ROUNDS: usize = 8;
