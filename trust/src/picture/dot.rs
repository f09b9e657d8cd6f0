//! A picture in the language of Graphviz.

use std::fmt::Write as _;

use super::words::{cut, dot, shown};
use super::{NodeKind, Picture};

impl Picture {
    /// The picture in the language of Graphviz.
    pub fn to_dot(&self) -> String {
        let mut text = String::from(
            "digraph trust {\n  rankdir=LR;\n  labelloc=t;\n  node [shape=box, fontname=\"sans-serif\"];\n",
        );
        let _ = writeln!(text, "  label=\"{}\";", dot(&self.header().join("\n")).replace('\n', "\\n"));
        for (at, node) in self.nodes.iter().enumerate() {
            let style = node.kind.style();
            let name = node.public_name.as_deref().map(|name| cut(&shown(name), 40));
            let lines: Vec<String> =
                [name, Some(node.short_did()), Some(node.facts(at == 0)).filter(|facts| !facts.is_empty())]
                    .into_iter()
                    .flatten()
                    .map(|line| dot(&line))
                    .collect();
            let _ = writeln!(
                text,
                "  \"{}\" [label=\"{}\", tooltip=\"{}\", style=filled, fillcolor=\"{}\", color=\"{}\", penwidth={}];",
                node.did,
                lines.join("\\n"),
                node.did,
                style.fill,
                style.stroke,
                if at == 0 { 3 } else { 1 }
            );
        }
        for line in &self.lines {
            let style = line.kind.style();
            let _ = writeln!(
                text,
                "  \"{}\" -> \"{}\" [label=\"{}\", color=\"{}\", style=\"{}\", penwidth={}{}];",
                self.nodes[line.from].did,
                self.nodes[line.to].did,
                line.label(),
                style.stroke,
                style.dot_style,
                if line.is_best { 4 } else { 1 },
                // A warning moves nobody.
                if line.kind == super::LineKind::Distrust { ", arrowhead=tee, constraint=false" } else { "" }
            );
        }
        let is_root = |at: &usize| self.nodes[*at].kind == NodeKind::Root && *at != 0;
        for (rank, nodes) in [("min", (0..self.nodes.len()).filter(is_root).collect()), ("max", vec![0])] {
            let names: Vec<String> =
                nodes.iter().map(|at| format!("\"{}\"; ", self.nodes[*at].did)).collect();
            let _ = writeln!(text, "  {{ rank={rank}; {}}}", names.concat());
        }
        text.push_str("}\n");
        text
    }
}
