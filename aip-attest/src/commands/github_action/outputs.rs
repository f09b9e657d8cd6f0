//! What later steps and people see: outputs, the file of signatures, the summary.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use attestation::Did;
use serde_json::{Value, json};

use super::runner::{Runner, append, random_word, temporary_folder};
use super::words::in_words;
use crate::artifact::Aside;
use crate::commands::sign;
use crate::durable::{self, Readers};
use crate::report::{Failure, Result, counted};
use crate::signing::{Report, Signed};

/// The action's outputs.
pub(super) struct Outputs {
    did: String,
    signatures: Vec<Value>,
    receipts: PathBuf,
    signed: usize,
    pending: usize,
    summary: String,
}

impl Outputs {
    pub(super) fn of(did: &Did, report: &Report, aside: &Aside, receipts: &Path) -> Self {
        let pending = report.signed.iter().filter(|signed| matches!(signed.state(), "signed" | "pending"));
        let pending = pending.count();
        Self {
            did: did.to_string(),
            signatures: report.signed.iter().map(json_of).collect(),
            receipts: receipts.to_path_buf(),
            signed: report.signed.len(),
            pending,
            summary: summary(did, report, aside, pending),
        }
    }

    pub(super) fn nothing(receipts: &Path) -> Self {
        Self {
            did: String::new(),
            signatures: Vec::new(),
            receipts: receipts.to_path_buf(),
            signed: 0,
            pending: 0,
            summary: String::new(),
        }
    }

    pub(super) fn write(&self, runner: &mut Runner) -> Result<()> {
        let all = json!(self.signatures).to_string();
        let file = temporary_folder().join(format!("{}-signatures.json", random_word()?));
        durable::write(&file, all.as_bytes(), Readers::Everyone)?;
        let signatures = match all.len() {
            length if length > MAX_SIGNATURES_BYTES => {
                runner.warning(
                    &Failure::new(format!(
                        "the output `signatures` is empty: {length} bytes are more than an output holds"
                    ))
                    .hint("read the file that `signatures-file` names"),
                );
                "[]"
            }
            _ => &all,
        };
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let values = [
            ("did", self.did.clone()),
            ("signatures", signatures.to_owned()),
            ("signatures-file", path(&file)),
            ("receipts", path(&self.receipts)),
            ("signed", self.signed.to_string()),
            ("pending", self.pending.to_string()),
        ];
        assign("GITHUB_OUTPUT", &values)?;
        append("GITHUB_STEP_SUMMARY", &self.summary)?;
        let console = runner.console();
        console.line(format!(
            "signed {} as {}; {} not logged yet",
            counted(self.signed, "artifact"),
            self.did,
            self.pending
        ));
        Ok(())
    }
}

/// As `sign --json` has it, in words of the action.
fn json_of(signed: &Signed) -> Value {
    let mut element = sign::json_of(signed);
    let failure = signed.failure.as_ref().map(|failure| failure.clone().in_words(in_words).to_json());
    element["error"] = failure.unwrap_or_default();
    element
}

/// Adds to a file of the runner: the step's outputs, or the variables of later steps.
pub(super) fn assign(variable: &str, values: &[(&str, String)]) -> Result<()> {
    let mut text = String::new();
    for (name, value) in values {
        // A delimiter that no value can contain, since it is made after it.
        let delimiter = random_word()?;
        let _ = write!(text, "{name}<<{delimiter}\n{value}\n{delimiter}\n");
    }
    append(variable, &text)
}

/// A table, cut where it gets too long, and it says so.
fn summary(did: &Did, report: &Report, aside: &Aside, pending: usize) -> String {
    let signed = &report.signed;
    let mut text = format!("### Signed by `{did}`\n\n| artifact | sha256 | receipt |\n|---|---|---|\n");
    for signed in signed.iter().take(MAX_ROWS) {
        let state = match signed.index() {
            Some(index) => format!("logged, index {index}"),
            None => signed.state().to_owned(),
        };
        let _ = writeln!(
            text,
            "| {} | `{}` | {state} |",
            cell(&signed.hashed.artifact.label()),
            signed.hashed.sha256
        );
    }
    if let Some(more) = signed.len().checked_sub(MAX_ROWS).filter(|more| *more > 0) {
        let _ =
            writeln!(text, "\n**… and {more} more that are not shown:** see the output `signatures-file`.");
    }
    if let Some(aside) = aside.text("signed") {
        let _ = writeln!(text, "\n{}", cell(&aside));
    }
    let refused = signed.iter().filter(|signed| signed.is_refused).count();
    for (count, what) in [
        (pending, "not logged yet.** `aip-attest submit` logs them."),
        (refused, "refused by the log,** and have no receipt."),
    ] {
        if count > 0 {
            let _ = writeln!(text, "\n**{count} of {} are {what}", signed.len());
        }
    }
    if report.is_key_open {
        text.push_str("\n**The log will judge whether this key is the DID's:** it has not been asked yet.\n");
    }
    text.push('\n');
    text
}

/// A name that Markdown and HTML take for letters, whatever it holds, and that is no longer than a line.
pub(super) fn cell(text: &str) -> String {
    let mut cell = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(MAX_CELL_CHARS) {
        if c.is_alphanumeric() || matches!(c, ' ' | '/' | '.' | '-') {
            cell.push(c);
        } else {
            let _ = write!(cell, "&#{};", u32::from(c));
        }
    }
    if chars.next().is_some() {
        cell.push('…');
    }
    cell
}

/// A job's outputs may hold 1 MB in all, counted in UTF-16: this leaves room for others.
const MAX_SIGNATURES_BYTES: usize = 400_000;

/// A summary may be 1 MiB long; nobody reads more rows.
const MAX_ROWS: usize = 100;

const MAX_CELL_CHARS: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_letters_whatever_the_name_holds() {
        assert_eq!(cell("dist/a b-1.0.whl"), "dist/a b-1.0.whl");
        assert_eq!(cell("<img src=x>|`@me`\n"), "&#60;img src&#61;x&#62;&#124;&#96;&#64;me&#96;&#10;");
        assert_eq!(cell(&"x".repeat(300)).chars().count(), MAX_CELL_CHARS + 1);
    }
}
