//! Where everything stands, in pixels: boxes in columns, lines in the gaps between them.
//!
//! ```text
//!  column 0   gap   column 1   gap   column 2
//!  ┌─────┐         ┌─────┐          ┌─────┐
//!  │     │──╮   ╭─▶│     │       ╭─▶│     │
//!  └─────┘  ╰──╯   └─────┘      ╱   └─────┘
//!           ╲──────── lane ────╱
//! ```
//! A line passes a column in a lane that has a height of its own there, between the boxes; in a gap it is a curve that
//! stays within the gap. So no line crosses a box. Lines of one kind that lead to, or come from, one box share
//! a lane.

use std::collections::{BTreeMap, HashMap};

/// A point.
pub(super) type Point = (i32, i32);

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Layout {
    /// The top left corner of each box.
    pub(super) boxes: Vec<Point>,
    /// What lines are made of.
    pub(super) pieces: Vec<Piece>,
    /// From the top of the first box to the bottom of the last.
    pub(super) height: i32,
}

/// A part of one line, or of several of one kind.
#[derive(Debug)]
pub(super) struct Piece {
    /// Begin, the two points that bend it, and end.
    pub(super) curve: [Point; 4],
    /// The lines that it is of.
    pub(super) lines: Vec<usize>,
    /// Whether it ends at a box.
    pub(super) is_end: bool,
    /// Whether it is in a gap: there is room for words.
    pub(super) is_in_gap: bool,
}

/// A line between two boxes. Of one kind there is at most one from one box to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wire {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Below [`KINDS`].
    pub(super) kind: usize,
}

/// How many kinds of lines there are.
pub(super) const KINDS: usize = 5;

pub(super) const BOX_WIDTH: i32 = 196;
pub(super) const BOX_HEIGHT: i32 = 36;

impl Layout {
    /// The layout of boxes that stand in these columns, of which none is empty.
    pub(super) fn of(columns: &[usize], wires: &[Wire]) -> Self {
        let mut grid = Grid::new(columns);
        grid.lay(wires);
        grid.settle();
        grid.draw()
    }
}

/// What stands in a column: a box, or a lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Element {
    column: usize,
    is_lane: bool,
}

/// Which lines share a lane: all of one kind and direction that lead to this box, or that come from it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Bundle {
    node: usize,
    leads_there: bool,
    kind: usize,
    is_backward: bool,
}

/// Between two elements of neighbouring columns, or of one.
struct Link {
    from: usize,
    to: usize,
    kind: usize,
    wires: Vec<usize>,
}

struct Grid {
    /// Boxes first, by their numbers; then lanes.
    elements: Vec<Element>,
    /// From top to bottom.
    order: Vec<Vec<usize>>,
    /// The middle of each element.
    height: Vec<i64>,
    links: Vec<Link>,
    /// The lines in each lane: from left to right, or from right to left.
    lanes: HashMap<usize, (usize, bool, Vec<usize>)>,
}

impl Grid {
    /// A column of more than [`MAX_ROWS`] is several, side by side. The boxes with the smallest numbers matter most, and
    /// come last: nearest to what they lead to.
    fn new(columns: &[usize]) -> Self {
        let last = columns.iter().max().copied().unwrap_or(0);
        let mut order: Vec<Vec<usize>> = Vec::new();
        for column in 0..=last {
            let there: Vec<usize> =
                (0..columns.len()).rev().filter(|node| columns[*node] == column).collect();
            let parts = there.len().div_ceil(MAX_ROWS).max(1);
            order.extend(there.chunks(there.len().div_ceil(parts).max(1)).map(<[usize]>::to_vec));
        }
        let mut elements = vec![Element { column: 0, is_lane: false }; columns.len()];
        for (column, nodes) in order.iter().enumerate() {
            nodes.iter().for_each(|node| elements[*node].column = column);
        }
        let height = vec![0; elements.len()];
        Self { elements, order, height, links: Vec::new(), lanes: HashMap::new() }
    }

    /// Leads each line through the columns between its ends.
    fn lay(&mut self, wires: &[Wire]) {
        let far = |wire: &&Wire| self.elements[wire.from].column.abs_diff(self.elements[wire.to].column) > 1;
        let is_backward = |wire: &Wire| self.elements[wire.from].column > self.elements[wire.to].column;
        let mut crowds: HashMap<Bundle, usize> = HashMap::new();
        for wire in wires.iter().filter(far) {
            for bundle in bundles(wire, is_backward(wire)) {
                *crowds.entry(bundle).or_default() += 1;
            }
        }
        let mut lanes: HashMap<(Bundle, usize), usize> = HashMap::new();
        let mut links: BTreeMap<(usize, usize, usize), Vec<usize>> = BTreeMap::new();
        for (at, wire) in wires.iter().enumerate() {
            let (start, end) = (self.elements[wire.from].column, self.elements[wire.to].column);
            let is_backward = start > end;
            let [to, from] = bundles(wire, is_backward);
            let bundle = if crowds.get(&to) >= crowds.get(&from) { to } else { from };
            let between: Vec<usize> = if is_backward {
                (end + 1..start).rev().collect()
            } else {
                (start + 1..end.max(start + 1)).collect()
            };
            let mut before = wire.from;
            for column in between {
                let lane = *lanes.entry((bundle, column)).or_insert_with(|| {
                    self.elements.push(Element { column, is_lane: true });
                    self.height.push(0);
                    self.order[column].push(self.elements.len() - 1);
                    self.elements.len() - 1
                });
                let (_, _, of) = self.lanes.entry(lane).or_insert((wire.kind, is_backward, Vec::new()));
                of.push(at);
                links.entry((before, lane, wire.kind)).or_default().push(at);
                before = lane;
            }
            links.entry((before, wire.to, wire.kind)).or_default().push(at);
        }
        self.links =
            links.into_iter().map(|((from, to, kind), wires)| Link { from, to, kind, wires }).collect();
    }

    /// Orders each column so that everything is near what it has to do with, and gives heights.
    fn settle(&mut self) {
        let mut left = vec![Vec::new(); self.elements.len()];
        let mut right = vec![Vec::new(); self.elements.len()];
        for link in &self.links {
            let (from, to) = (link.from, link.to);
            let (a, b) = (self.elements[from].column, self.elements[to].column);
            if a != b {
                let (first, second) = if a < b { (from, to) } else { (to, from) };
                right[first].push(second);
                left[second].push(first);
            }
        }
        for column in 0..self.order.len() {
            self.stack(column, &vec![0; self.order[column].len()]);
        }
        for round in 0..ROUNDS {
            let is_last = round + 2 >= ROUNDS;
            let columns: Vec<usize> = if round % 2 == 0 {
                (0..self.order.len()).collect()
            } else {
                (0..self.order.len()).rev().collect()
            };
            for column in columns {
                let near = |element: usize| -> Vec<usize> {
                    let (first, second) = if round % 2 == 0 { (&left, &right) } else { (&right, &left) };
                    let mut near = first[element].clone();
                    if is_last || near.is_empty() {
                        near.extend(&second[element]);
                    }
                    near
                };
                let mean = |element: usize| {
                    let near = near(element);
                    let sum: i64 = near.iter().map(|other| self.height[*other]).sum();
                    if near.is_empty() { self.height[element] } else { sum.div_euclid(near.len() as i64) }
                };
                let mut wanted: Vec<(i64, usize)> =
                    self.order[column].iter().map(|element| (mean(*element), *element)).collect();
                if !is_last {
                    wanted.sort_by_key(|(height, _)| *height);
                }
                self.order[column] = wanted.iter().map(|(_, element)| *element).collect();
                let heights: Vec<i64> = wanted.iter().map(|(height, _)| *height).collect();
                self.stack(column, &heights);
            }
        }
        let top = |element: usize| self.height[element] - self.half(element);
        let first = (0..self.elements.len()).map(top).min().unwrap_or(0);
        self.height.iter_mut().for_each(|height| *height -= first);
    }

    /// Puts the elements of a column in their order as near as they can be to the heights that they want, by least
    /// squares: those that want to be where others are share the way.
    fn stack(&mut self, column: usize, wanted: &[i64]) {
        let order = &self.order[column];
        let mut offsets = Vec::with_capacity(order.len());
        let mut offset = 0;
        for (at, element) in order.iter().enumerate() {
            if let Some(before) = at.checked_sub(1) {
                offset += self.apart(order[before], *element);
            }
            offsets.push(offset);
        }
        // Blocks of neighbours that touch: how many, and the sum of what they want without their offsets.
        let mut blocks: Vec<(i64, i64)> = Vec::new();
        for (want, offset) in wanted.iter().zip(&offsets) {
            let mut block = (1, want - offset);
            while let Some(before) = blocks.last() {
                if before.1 * block.0 < block.1 * before.0 {
                    break;
                }
                block = (before.0 + block.0, before.1 + block.1);
                blocks.pop();
            }
            blocks.push(block);
        }
        let heights = blocks.iter().flat_map(|(count, sum)| {
            std::iter::repeat_n(sum.div_euclid(*count), usize::try_from(*count).unwrap_or(0))
        });
        let heights: Vec<i64> = heights.zip(&offsets).map(|(height, offset)| height + offset).collect();
        for (element, height) in self.order[column].iter().zip(heights) {
            self.height[*element] = height;
        }
    }

    fn half(&self, element: usize) -> i64 {
        if self.elements[element].is_lane { 0 } else { i64::from(BOX_HEIGHT) / 2 }
    }

    /// From the middle of one element to the middle of the next below it, at least.
    fn apart(&self, above: usize, below: usize) -> i64 {
        let room = match (self.elements[above].is_lane, self.elements[below].is_lane) {
            (false, false) => 14,
            (true, true) => 6,
            _ => 9,
        };
        self.half(above) + room + self.half(below)
    }

    fn draw(&self) -> Layout {
        let mut crossings = vec![0; self.order.len()];
        for link in &self.links {
            let (from, to) = (self.elements[link.from].column, self.elements[link.to].column);
            crossings[from.min(to)] += 1;
        }
        let mut left = Vec::with_capacity(self.order.len());
        let mut x = 0;
        for crossings in &crossings {
            left.push(x);
            x += BOX_WIDTH + MIN_GAP.max(GAP_A_LINE * crossings).min(MAX_GAP);
        }
        let pixels = |height: i64| i32::try_from(height).unwrap_or(i32::MAX);
        let middle = |element: usize| pixels(self.height[element]);
        let side = |element: usize, is_right: bool| {
            left[self.elements[element].column] + if is_right { BOX_WIDTH } else { 0 }
        };
        // Above the middle what goes forward, below it what goes back, so that two ways between two boxes are two lines.
        let port = |element: usize, kind: usize, is_above: bool| {
            let step = PORT * pixels(kind as i64) + PORT;
            match (self.elements[element].is_lane, is_above) {
                (true, _) => middle(element),
                (false, true) => middle(element) - step,
                (false, false) => middle(element) + step,
            }
        };
        let mut pieces = Vec::new();
        for link in &self.links {
            let (from, to) = (self.elements[link.from].column, self.elements[link.to].column);
            let curve = if from == to {
                // On the right, around what stands between.
                let x = side(link.from, true);
                let (a, b) = (port(link.from, link.kind, true), port(link.to, link.kind, false));
                let bend = (16 + (b - a).abs() / 5).min(MIN_GAP / 2);
                [(x, a), (x + bend, a), (x + bend, b), (x, b)]
            } else {
                let is_forward = from < to;
                let (a, b) = (side(link.from, is_forward), side(link.to, !is_forward));
                let (ay, by) = (port(link.from, link.kind, is_forward), port(link.to, link.kind, is_forward));
                let bend = (b - a) / 2;
                [(a, ay), (a + bend, ay), (b - bend, by), (b, by)]
            };
            let is_end = !self.elements[link.to].is_lane;
            pieces.push(Piece { curve, lines: link.wires.clone(), is_end, is_in_gap: true });
        }
        let mut lanes: Vec<_> = self.lanes.iter().collect();
        lanes.sort_unstable_by_key(|(lane, _)| **lane);
        for (lane, (_, is_backward, wires)) in lanes {
            let (start, end) = (side(*lane, *is_backward), side(*lane, !is_backward));
            let y = middle(*lane);
            let curve = [(start, y), (start, y), (end, y), (end, y)];
            pieces.push(Piece { curve, lines: wires.clone(), is_end: false, is_in_gap: false });
        }
        let nodes = self.elements.iter().filter(|element| !element.is_lane).count();
        let boxes = (0..nodes).map(|node| (side(node, false), middle(node) - BOX_HEIGHT / 2)).collect();
        let bottom = (0..self.elements.len()).map(|element| self.height[element] + self.half(element)).max();
        Layout { boxes, pieces, height: pixels(bottom.unwrap_or(0)) }
    }
}

/// The bundle of a line by where it leads, and the one by where it comes from.
fn bundles(wire: &Wire, is_backward: bool) -> [Bundle; 2] {
    let bundle = |node, leads_there| Bundle { node, leads_there, kind: wire.kind, is_backward };
    [bundle(wire.to, true), bundle(wire.from, false)]
}

/// The most boxes below each other.
const MAX_ROWS: usize = 40;

/// How often columns are ordered, forward and back.
const ROUNDS: usize = 14;

const MIN_GAP: i32 = 140;
const MAX_GAP: i32 = 300;
const GAP_A_LINE: i32 = 4;

/// Between two kinds of lines at a box.
const PORT: i32 = 3;

#[cfg(test)]
mod tests;
