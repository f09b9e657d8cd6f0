//! The answer for people, and the same for programs.
//!
//! ```text
//! {"schema": "aip.gate.v1", "passes": true, "reason": "…", "hint": "…" or null, "warning": "…" or null, "ageAttested": true,
//!  "selection": {"passedOver": 0, "excluded": 0, "hidden": 0, "internal": 0},
//!  "trust": {…, as `trust --json`},
//!  "artifacts": [{"artifact", "sha256", "verdict": "verified | failed | could-not-check", "why"}]}
//! ```

use serde_json::{Value, json};

use super::super::trust;
use super::super::verify::Found;
use super::Opened;
use crate::report::{Console, Exit};

pub(super) fn text(opened: &Opened, console: &mut Console) {
    trust::print(&opened.judged, console);
    for found in &opened.found {
        console.line(format!("artifact  {}  {}", found.label(), found.word()));
        if let Some(why) = found.why() {
            console.line(format!("          {why}"));
        }
    }
    if let Some(text) = opened.aside.text("judged") {
        console.line(text);
    }
    let word = match opened.exit() {
        Exit::Yes => "PASS",
        Exit::False => "STOP",
        Exit::Unable => "COULD NOT TELL",
    };
    console.line(format!("{word}: {}", opened.reason()));
}

pub(super) fn json(opened: &Opened, console: &mut Console) {
    let artifact = |found: &Found| {
        json!({
            "artifact": found.label(),
            "sha256": found.sha256().map(|hash| hash.to_string()),
            "verdict": found.word(),
            "why": found.why(),
        })
    };
    console.json(&json!({
        "schema": "aip.gate.v1",
        "passes": opened.exit() == Exit::Yes,
        "reason": opened.reason(),
        "hint": opened.hint(),
        "warning": opened.left_open(),
        "ageAttested": opened.is_age_attested(),
        "selection": opened.aside.to_json(),
        "trust": trust::json_of(&opened.judged),
        "artifacts": opened.found.iter().map(artifact).collect::<Vec<Value>>(),
    }));
}
