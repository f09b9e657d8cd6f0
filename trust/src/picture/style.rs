//! How boxes and lines look. Colour, width and dashes say the same, for those who see no colours.

use super::{LineKind, NodeKind};
use attestation::event::Level;

/// How a box looks.
pub(super) struct BoxStyle {
    pub(super) fill: &'static str,
    pub(super) stroke: &'static str,
}

impl NodeKind {
    pub(super) fn style(self) -> BoxStyle {
        let (fill, stroke) = match self {
            Self::Root => ("#ddf4ff", "#0969da"),
            Self::Plain => ("#ffffff", "#59636e"),
            Self::Banned => ("#ffebe9", "#cf222e"),
            Self::Compromised => ("#fff1e5", "#bc4c00"),
            Self::Deactivated | Self::Unregistered | Self::Unknown => ("#e6eaef", "#818b98"),
        };
        BoxStyle { fill, stroke }
    }
}

/// How a line looks.
pub(super) struct LineStyle {
    pub(super) name: &'static str,
    pub(super) stroke: &'static str,
    /// In tenths of a pixel.
    pub(super) width: u32,
    /// SVG's, empty for a whole line.
    pub(super) dash: &'static str,
    pub(super) dot_style: &'static str,
}

impl LineKind {
    /// All, in the order in which they leave and reach a box, from its middle.
    pub(super) const ALL: [Self; 5] = [
        Self::Vouch(Level::Ultimate),
        Self::Vouch(Level::Strong),
        Self::Vouch(Level::Moderate),
        Self::Vouch(Level::Weak),
        Self::Distrust,
    ];

    pub(super) fn style(self) -> LineStyle {
        let (name, stroke, width, dash, dot_style) = match self {
            Self::Vouch(Level::Ultimate) => ("ULTIMATE", "#0a3069", 25, "", "bold"),
            Self::Vouch(Level::Strong) => ("STRONG", "#2da44e", 12, "", "solid"),
            Self::Vouch(Level::Moderate) => ("MODERATE", "#9a6700", 12, "7 4", "dashed"),
            Self::Vouch(Level::Weak) => ("WEAK", "#6e7781", 12, "2 3", "dotted"),
            Self::Distrust => ("distrust", "#cf222e", 16, "10 3 2 3", "dashed"),
        };
        LineStyle { name, stroke, width, dash, dot_style }
    }
}
