use super::*;

/// Numbers that look like chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// So many boxes in columns, and lines of every kind and length in both directions.
fn random(seed: u64) -> (Vec<usize>, Vec<Wire>) {
    let mut chance = Chance(seed);
    let most = [3, 12, 60, 200][chance.below(4)];
    let nodes = 1 + chance.below(most);
    let most = 1 + chance.below(8);
    let mut columns: Vec<usize> = (0..nodes).map(|_| chance.below(most)).collect();
    // As the picture has them: none is empty, and the first box is alone in the last.
    let mut used = columns[1..].to_vec();
    used.sort_unstable();
    used.dedup();
    columns[1..].iter_mut().for_each(|column| *column = used.partition_point(|other| other < column));
    columns[0] = used.len();
    let mut wires = BTreeMap::new();
    for _ in 0..chance.below(4 * nodes) {
        let (from, to, kind) = (chance.below(nodes), chance.below(nodes), chance.below(KINDS));
        if from != to {
            wires.insert((from, to, kind), Wire { from, to, kind });
        }
    }
    (columns, wires.into_values().collect())
}

/// Points of a curve, and whether each lies within a box.
fn points([a, b, c, d]: [Point; 4]) -> impl Iterator<Item = (f64, f64)> {
    (0..=64).map(move |step| {
        let t = f64::from(step) / 64.0;
        let of = |a: i32, b: i32, c: i32, d: i32| {
            let [a, b, c, d] = [a, b, c, d].map(f64::from);
            let s = 1.0 - t;
            a * s * s * s + 3.0 * b * s * s * t + 3.0 * c * s * t * t + d * t * t * t
        };
        (of(a.0, b.0, c.0, d.0), of(a.1, b.1, c.1, d.1))
    })
}

fn is_within((x, y): (f64, f64), (left, top): Point) -> bool {
    let [left, top] = [left, top].map(f64::from);
    let (width, height) = (f64::from(BOX_WIDTH), f64::from(BOX_HEIGHT));
    x > left + 0.01 && x < left + width - 0.01 && y > top + 0.01 && y < top + height - 0.01
}

fn is_on_the_edge((x, y): Point, (left, top): Point) -> bool {
    (x == left || x == left + BOX_WIDTH) && (top..=top + BOX_HEIGHT).contains(&y)
}

#[test]
fn no_box_lies_on_another_and_no_line_crosses_one() {
    for seed in 0..300 {
        let (columns, wires) = random(seed);
        let layout = Layout::of(&columns, &wires);
        assert_eq!(layout.boxes.len(), columns.len());
        let width = layout.boxes.iter().map(|(x, _)| x + BOX_WIDTH).max().expect("a box");
        for (at, (x, y)) in layout.boxes.iter().enumerate() {
            assert!(
                *x >= 0 && *y >= 0 && x + BOX_WIDTH <= width && y + BOX_HEIGHT <= layout.height,
                "{seed}"
            );
            for (ox, oy) in &layout.boxes[at + 1..] {
                let apart = (x - ox).abs() >= BOX_WIDTH || (y - oy).abs() >= BOX_HEIGHT;
                assert!(apart, "{seed}: two boxes at {x}, {y}");
            }
        }
        let target = layout.boxes[0].0;
        assert!(
            layout.boxes[1..].iter().all(|(x, _)| x + BOX_WIDTH < target),
            "{seed}: the first is the last"
        );
        for piece in &layout.pieces {
            for point in points(piece.curve) {
                let (x, y) = point;
                let inside = x >= 0.0 && x <= f64::from(width) && y >= 0.0 && y <= f64::from(layout.height);
                assert!(inside, "{seed}: {point:?} of {piece:?}");
                assert!(
                    !layout.boxes.iter().any(|a_box| is_within(point, *a_box)),
                    "{seed}: {point:?} of {piece:?}"
                );
            }
        }
    }
}

#[test]
fn every_line_leads_from_its_box_to_its_other() {
    for seed in 0..300 {
        let (columns, wires) = random(seed);
        let layout = Layout::of(&columns, &wires);
        let mut ends = BTreeMap::new();
        for (at, wire) in wires.iter().enumerate() {
            let mut pieces: Vec<&Piece> =
                layout.pieces.iter().filter(|piece| piece.lines.contains(&at)).collect();
            let first =
                pieces.iter().position(|piece| is_on_the_edge(piece.curve[0], layout.boxes[wire.from]));
            let mut piece = pieces.swap_remove(first.expect("it begins at its box"));
            let start = piece.curve[0];
            while !piece.is_end {
                let next = pieces.iter().position(|next| next.curve[0] == piece.curve[3]);
                piece = pieces.swap_remove(next.expect("it goes on"));
            }
            assert!(pieces.is_empty(), "{seed}: {wire:?} has more than it needs");
            assert!(is_on_the_edge(piece.curve[3], layout.boxes[wire.to]), "{seed}: {wire:?}");
            assert!(
                piece.lines.iter().all(|line| wires[*line].kind == wire.kind),
                "{seed}: two kinds in one"
            );
            let pair = (wire.from.min(wire.to), wire.from.max(wire.to));
            let of_pair: &mut Vec<[Point; 2]> = ends.entry(pair).or_default();
            let own = if wire.from == pair.0 { [start, piece.curve[3]] } else { [piece.curve[3], start] };
            for other in &*of_pair {
                assert!(
                    other[0] != own[0] && other[1] != own[1],
                    "{seed}: two lines lie on one another: {wire:?}"
                );
            }
            of_pair.push(own);
        }
    }
}

#[test]
fn what_belongs_together_is_near() {
    // A chain beside two crowds: it is straight.
    let mut columns = vec![3, 0, 1, 2];
    columns.extend([1; 10]);
    columns.extend([2; 10]);
    let wire = |(from, to)| Wire { from, to, kind: 1 };
    let crowd = (4..14).map(|node| (node, node + 10));
    let wires: Vec<Wire> = [(1, 2), (2, 3), (3, 0)].into_iter().chain(crowd).map(wire).collect();
    let layout = Layout::of(&columns, &wires);
    let straight =
        layout.pieces.iter().filter(|piece| (piece.curve[0].1 - piece.curve[3].1).abs() < 40).count();
    assert!(straight >= 12, "{straight} of {}", layout.pieces.len());
}
