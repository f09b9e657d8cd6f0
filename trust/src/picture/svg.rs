//! A picture as SVG that needs nothing else.

use std::fmt::Write as _;

use super::layout::{BOX_HEIGHT, BOX_WIDTH, KINDS, Layout, Piece, Point, Wire};
use super::style::BoxStyle;
use super::words::{counted, cut, shown, width, xml};
use super::{DrawnFrom, Line, LineKind, Node, NodeKind, Picture};

impl Picture {
    /// The picture as an SVG file that needs nothing else.
    pub fn to_svg(&self) -> String {
        let wires: Vec<Wire> = self.lines.iter().map(Line::wire).collect();
        let layout = Layout::of(&self.columns(), &wires);
        let header = self.header();
        let top = MARGIN + HEADER_LINE * i32::try_from(header.len()).unwrap_or(0) + MARGIN;
        let place = |(x, y): Point| (x + MARGIN, y + top);
        let mut canvas = Canvas::default();
        let mut body = String::new();
        for (at, text) in header.iter().enumerate() {
            let y = MARGIN + HEADER_LINE * i32::try_from(at + 1).unwrap_or(0) - 4;
            canvas.text(&mut body, (MARGIN, y), 0, text, "fill=\"#59636e\"");
        }
        body.push_str("<g id=\"lines\" fill=\"none\">\n");
        for piece in &layout.pieces {
            self.draw_piece(&mut body, &mut canvas, piece, place);
        }
        body.push_str("</g>\n<g id=\"boxes\">\n");
        for (at, node) in self.nodes.iter().enumerate() {
            draw_node(&mut body, &mut canvas, place(layout.boxes[at]), node, at == 0);
        }
        body.push_str("</g>\n");
        if self.lines.len() <= MAX_LABELS {
            // With few lines there is room to say even what the legend says.
            body.push_str("<g id=\"labels\" text-anchor=\"middle\" font-size=\"9\">\n");
            self.draw_labels(&mut body, &mut canvas, &layout, place);
            body.push_str("</g>\n");
        }
        let bottom = top + layout.height.max(canvas.bottom - top) + MARGIN;
        draw_legend(&mut body, &mut canvas, bottom);
        let (width, height) = (canvas.right + MARGIN, canvas.bottom + MARGIN);
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">"
        );
        let _ = writeln!(svg, "<title>{}</title>\n<defs>", xml(&header[0]));
        for kind in LineKind::ALL {
            let style = kind.style();
            // Who warns bars the way.
            let head = if kind == LineKind::Distrust { "M5 0L8 0L8 8L5 8z" } else { "M0 0L8 4L0 8z" };
            let _ = writeln!(
                svg,
                "<marker id=\"{}\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"{head}\" fill=\"{}\"/></marker>",
                style.name, style.stroke
            );
        }
        let _ = writeln!(svg, "</defs>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
        svg + &body + "</svg>\n"
    }

    /// What the picture is of, and what is not in it.
    pub(super) fn header(&self) -> Vec<String> {
        let hint = if self.lines.len() > MAX_LABELS { "; point at a line or a box for more" } else { "" };
        let mut header = vec![
            format!("Who vouches for {}, scope {}", self.target, self.scope),
            format!("{}, {}{hint}", counted(self.dids(), "DID"), counted(self.lines(), "line")),
        ];
        if self.left_out.dids > 0 || self.left_out.lines > 0 {
            let (dids, lines) = (counted(self.left_out.dids, "DID"), counted(self.left_out.lines, "line"));
            header.push(format!("At least {dids} and {lines} more are not drawn: there is no room"));
        }
        if self.from == DrawnFrom::Evidence {
            header.push(
                "From evidence, which has what one verdict needs: other vouches, distrusts and compromises are not shown (--sync shows them)"
                    .to_owned(),
            );
        }
        let unshown: Vec<String> = [(self.left_out.states, "state"), (self.left_out.scores, "score")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("the {what} of {}", counted(count, "DID")))
            .collect();
        if !unshown.is_empty() {
            header.push(format!("Not in these entries: {}", unshown.join(", ")));
        }
        header
    }

    fn draw_piece(
        &self,
        svg: &mut String,
        canvas: &mut Canvas,
        piece: &Piece,
        place: impl Fn(Point) -> Point,
    ) {
        let [a, b, c, d] = piece.curve.map(place);
        [a, b, c, d].into_iter().for_each(|point| canvas.point(point));
        let lines: Vec<&Line> = piece.lines.iter().map(|at| &self.lines[*at]).collect();
        let style = lines[0].kind.style();
        let path = format!("M{} {}C{} {} {} {} {} {}", a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1);
        if lines.iter().any(|line| line.is_best) {
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" stroke=\"#54aeff\" stroke-width=\"7\" stroke-opacity=\"55%\"/>"
            );
        }
        let dash = if style.dash.is_empty() {
            String::new()
        } else {
            format!(" stroke-dasharray=\"{}\"", style.dash)
        };
        let end = if piece.is_end { format!(" marker-end=\"url(#{})\"", style.name) } else { String::new() };
        let faint = if lines.iter().all(|line| line.is_idle) { " stroke-opacity=\"45%\"" } else { "" };
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" stroke=\"{}\" stroke-width=\"{}.{}\"{dash}{faint}{end}><title>{}</title></path>",
            style.stroke,
            style.width / 10,
            style.width % 10,
            xml(&self.tooltip(&lines))
        );
    }

    fn tooltip(&self, lines: &[&Line]) -> String {
        let words = |line: &&Line| {
            let entries: Vec<String> = line.said.iter().map(|(_, _, index)| index.to_string()).collect();
            let plural = if entries.len() == 1 { "entry" } else { "entries" };
            let (from, to) = (self.nodes[line.from].did, self.nodes[line.to].did);
            format!("{from} to {to}: {}, {plural} {}", line.label(), entries.join(", "))
        };
        let mut text: Vec<String> = lines.iter().take(MOST_IN_A_TOOLTIP).map(words).collect();
        if lines.len() > MOST_IN_A_TOOLTIP {
            text.push(format!("and {} more", lines.len() - MOST_IN_A_TOOLTIP));
        }
        text.join("\n")
    }

    /// What lines are, beside them: one below the other where they would cover each other.
    fn draw_labels(
        &self,
        svg: &mut String,
        canvas: &mut Canvas,
        layout: &Layout,
        place: impl Fn(Point) -> Point,
    ) {
        let mut taken: Vec<(i32, i32, i32)> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            // Where it is alone.
            let alone = |piece: &&Piece| piece.is_in_gap && piece.lines == [at];
            let Some(piece) = layout.pieces.iter().find(alone) else { continue };
            let label = line.label_beside(self.scope);
            if self.lines.len() > MAX_KINDS_IN_WORDS && label == line.kind.style().name {
                continue;
            }
            let label = cut(&label, MOST_OF_A_LABEL);
            let half = i32::try_from(width(&label)).unwrap_or(0) * 5 / 2 + 2;
            let [a, b, c, d] = piece.curve.map(&place);
            // Between two columns there is room for the longest; beside one, from its edge on.
            let x = if a.0 == d.0 { a.0 + half + 3 } else { (a.0 + 3 * b.0 + 3 * c.0 + d.0) / 8 };
            let mut y = (a.1 + 3 * b.1 + 3 * c.1 + d.1) / 8 - 3;
            while taken.iter().any(|(tx, ty, th)| (tx - x).abs() < half + th && (ty - y).abs() < LABEL_HEIGHT)
            {
                y += LABEL_HEIGHT;
            }
            taken.push((x, y, half));
            let stroke = line.kind.style().stroke;
            let look =
                format!("fill=\"{stroke}\" stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"");
            canvas.text(svg, (x, y), half, &label, &look);
        }
    }
}

impl Line {
    fn wire(&self) -> Wire {
        let kind = LineKind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or(KINDS - 1);
        Wire { from: self.from, to: self.to, kind }
    }
}

fn draw_node(svg: &mut String, canvas: &mut Canvas, (x, y): Point, node: &Node, is_target: bool) {
    let BoxStyle { fill, stroke } = node.kind.style();
    let bold = if is_target { 3 } else { 1 };
    canvas.point((x, y));
    canvas.point((x + BOX_WIDTH, y + BOX_HEIGHT));
    let facts = node.facts(is_target);
    let separator = if facts.is_empty() { "" } else { " · " };
    let (first, second) = match &node.public_name {
        Some(name) => (cut(&shown(name), MOST_OF_A_NAME), format!("{}{separator}{facts}", node.short_did())),
        None => (node.short_did(), facts),
    };
    let name = node.public_name.as_deref().map(|name| format!("{}\n", shown(name))).unwrap_or_default();
    let _ = writeln!(
        svg,
        "<g><title>{}{}</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"4\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{bold}\"/>",
        xml(&name),
        node.did
    );
    let middle = x + BOX_WIDTH / 2;
    // One line stands in the middle.
    let down = if second.is_empty() { 22 } else { 15 };
    let _ = writeln!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" fill=\"#1f2328\">{}</text>",
        y + down,
        xml(&first)
    );
    if !second.is_empty() {
        let _ = writeln!(
            svg,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-size=\"9\" fill=\"#59636e\">{}</text>",
            y + 28,
            xml(&second)
        );
    }
    svg.push_str("</g>\n");
}

fn draw_legend(svg: &mut String, canvas: &mut Canvas, top: i32) {
    svg.push_str("<g id=\"legend\">\n");
    let (mut x, y) = (MARGIN, top + 8);
    let grey = "fill=\"#59636e\"";
    for kind in LineKind::ALL {
        let style = kind.style();
        let dash = if style.dash.is_empty() {
            String::new()
        } else {
            format!(" stroke-dasharray=\"{}\"", style.dash)
        };
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {y}h36\" stroke=\"{}\" stroke-width=\"{}.{}\"{dash} marker-end=\"url(#{})\"/>",
            style.stroke,
            style.width / 10,
            style.width % 10,
            style.name
        );
        canvas.text(svg, (x + 42, y + 4), 0, style.name, grey);
        x += LEGEND_STEP;
    }
    let (mut x, y) = (MARGIN, top + 30);
    let _ = writeln!(
        svg,
        "<path d=\"M{x} {y}h36\" stroke=\"#54aeff\" stroke-width=\"7\" stroke-opacity=\"55%\"/>"
    );
    canvas.text(svg, (x + 42, y + 4), 0, "best path", grey);
    for (kind, word) in [
        (NodeKind::Root, "root"),
        (NodeKind::Banned, "distrusted by a root"),
        (NodeKind::Compromised, "compromised"),
        (NodeKind::Deactivated, "no score"),
    ] {
        x += LEGEND_STEP;
        let BoxStyle { fill, stroke } = kind.style();
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"20\" height=\"12\" rx=\"2\" fill=\"{fill}\" stroke=\"{stroke}\"/>",
            y - 6
        );
        canvas.text(svg, (x + 26, y + 4), 0, word, grey);
    }
    svg.push_str("</g>\n");
}

/// How far to the right and down something was drawn.
#[derive(Default)]
struct Canvas {
    right: i32,
    bottom: i32,
}

impl Canvas {
    fn point(&mut self, (x, y): Point) {
        self.right = self.right.max(x);
        self.bottom = self.bottom.max(y);
    }

    /// A text that begins at a point, or reaches `half` to both sides of it.
    fn text(&mut self, svg: &mut String, (x, y): Point, half: i32, text: &str, look: &str) {
        let letters = i32::try_from(width(text)).unwrap_or(0);
        self.point((if half > 0 { x + half } else { x + letters * LETTER_WIDTH }, y + 3));
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" {look}>{}</text>", xml(text));
    }
}

// Pixels.
const MARGIN: i32 = 16;
const HEADER_LINE: i32 = 16;
const LABEL_HEIGHT: i32 = 11;
const LEGEND_STEP: i32 = 150;
/// Of a letter in a font of 11 pixels, at most as an average.
const LETTER_WIDTH: i32 = 7;

/// The most lines whose kind is written beside them; beyond that colour and dashes say it.
const MAX_KINDS_IN_WORDS: usize = 8;

/// The most lines beside which anything is written.
const MAX_LABELS: usize = 24;

/// Letters that fit into a box, and between two.
const MOST_OF_A_NAME: usize = 29;
const MOST_OF_A_LABEL: usize = 25;

const MOST_IN_A_TOOLTIP: usize = 12;
