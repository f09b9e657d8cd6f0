//! The verdict for people: a line an artifact, and its checks where it does not verify or `--verbose` asks for them.
//!
//! ```text
//! FAILED: 1 of 2 artifacts; 1 verified                              only if there are several
//! FAILED  dist/lib.so      artifact-digest: no subject of …
//!   ok              format               …                           its checks
//! ok      dist/app.tar.gz  did:aip:635c…  2026-11-30  2 of 3 witnesses
//! policy: pinned for log.example.com                                what holds for all of them, once
//! ```
//! The day is that of the log's clock. What is false comes first, then what could not be checked.

use std::collections::BTreeSet;

use attestation::Did;
use attestation::identity::{Identity, Status};
use attestation::provenance::BuildFacts;
use attestation::receipt::{Check, Fault, Outcome, Report, Verified};
use tlog::TreeSize;
use tlog::policy::Cosigned;

use super::found::{Found, FoundBy, Judged};
use super::later::AsOf;
use crate::artifact::Aside;
use crate::clock;
use crate::report::{Console, Exit, counted};

/// How much is said.
#[derive(Clone, Copy)]
pub(super) struct Detail {
    /// Every check of what verifies, too.
    pub(super) verbose: bool,
    /// The whole DID: more than one could have signed. Else its beginning reminds of the wanted one.
    pub(super) whole_did: bool,
}

/// Prints it.
pub(super) fn print(found: &[Found], aside: &Aside, detail: Detail, console: &mut Console) {
    if found.len() > 1 {
        console.line(totals(found));
    }
    let mut order: Vec<&Found> = found.iter().collect();
    order.sort_by_key(|found| match found.exit() {
        Exit::False => 0,
        Exit::Unable => 1,
        Exit::Yes => 2,
    });
    let widest = |text: fn(&Found) -> &str| found.iter().map(|found| text(found).chars().count()).max();
    let word_width = widest(|found| word(found.exit())).unwrap_or(0);
    let label_width = widest(label).unwrap_or(0).min(MAX_LABEL_WIDTH);
    for found in order {
        let (word, label) = (word(found.exit()), label(found));
        let line = format!("{word:<word_width$}  {label:<label_width$}  {}", in_short(found, detail));
        console.line(line.trim_end());
        if detail.verbose || found.exit() != Exit::Yes {
            block(found, console);
        }
    }
    let unseen = Unseen::of(found);
    unseen.iter().for_each(|unseen| console.line(unseen.line()));
    if !detail.verbose {
        remarks(found).iter().for_each(|remark| console.line(remark));
    }
    if let Some(text) = aside.text("judged") {
        console.line(text);
    }
    hints(found).iter().for_each(|hint| console.hint(hint));
    if let Some(unseen) = unseen.first() {
        console.hint(unseen.hint());
    }
}

/// The verdict about all of them.
fn totals(found: &[Found]) -> String {
    let count = |exit| found.iter().filter(|found| found.exit() == exit).count();
    let all = counted(found.len(), "artifact");
    match (count(Exit::False), count(Exit::Unable), count(Exit::Yes)) {
        (0, 0, _) => format!("verified: {all}"),
        (0, unable, yes) => format!("could not check: {unable} of {all}; {yes} verified"),
        (failed, 0, yes) => format!("FAILED: {failed} of {all}; {yes} verified"),
        (failed, unable, yes) => {
            format!("FAILED: {failed} of {all}; {unable} could not be checked, {yes} verified")
        }
    }
}

fn label(found: &Found) -> &str {
    if found.label.is_empty() { "``" } else { &found.label }
}

fn word(exit: Exit) -> &'static str {
    match exit {
        Exit::Yes => "ok",
        Exit::False => "FAILED",
        Exit::Unable => "could not check",
    }
}

/// Who signed it, when it was logged and how many witnesses saw that; or why it does not verify.
fn in_short(found: &Found, detail: Detail) -> String {
    let answer = &found.answer;
    let Some(verified) = answer.verdict.as_ref().ok().and_then(Report::verified) else {
        return found.why().unwrap_or_default();
    };
    let did = if detail.whole_did { verified.did().to_string() } else { beginning(verified.did()) };
    let logged = clock::rfc3339_millis(verified.logged_at().as_millis());
    let day = logged.split('T').next().unwrap_or_default();
    let witnesses = witnesses(answer.quorum);
    let name = answer.signed_as.as_ref().map_or(String::new(), |name| format!("  signed as `{name}`"));
    format!("{did}  {day}  {witnesses}{name}")
}

/// How many members of the quorum's group cosigned, and of how many.
pub(super) fn witnesses(quorum: Option<(usize, usize)>) -> String {
    match quorum {
        Some((met, 1)) => format!("{met} of 1 witness"),
        Some((met, of)) => format!("{met} of {of} witnesses"),
        None => "no witness asked for".to_owned(),
    }
}

/// `did:aip:635c…`
pub(super) fn beginning(did: Did) -> String {
    let whole = did.to_string();
    let end = whole.rfind(':').map_or(0, |colon| colon + 1) + SHORT_DIGITS;
    format!("{}…", &whole[..end])
}

/// All there is to say about one.
fn block(found: &Found, console: &mut Console) {
    if let Ok(report) = &found.answer.verdict {
        for (check, outcome) in report.checks() {
            let (word, detail) = words(report, *check, outcome);
            let line = format!("  {word:<15} {:<20} {detail}", check.id());
            console.line(line.trim_end());
        }
        if let Some(verified) = report.verified() {
            console.line(format!("  {}", summary(verified)));
            if BuildFacts::read(verified.statement()).self_asserted {
                console.line("  provenance: self-asserted, worth as much as its signer");
            }
        }
    }
    about(&found.answer).iter().for_each(|remark| console.line(format!("  {remark}")));
    let found_by = match found.answer.found_by {
        FoundBy::Digest => Some(", found by its digest"),
        FoundBy::Name => Some(", found by the name in it"),
        FoundBy::Place => (!found.others.is_empty()).then_some(""),
    };
    if let (Some(_), Some(by)) = (&found.answer.receipt, found_by) {
        console.line(format!("  receipt: {}{by}", found.answer.file()));
    }
    if found.exit() == Exit::Yes {
        return;
    }
    for other in &found.others {
        let file = if other.receipt.is_some() { format!("{}: ", other.file()) } else { String::new() };
        console.line(format!("  also {file}{}", other.why().unwrap_or_default()));
    }
}

/// What is to be known of an answer beside its verdict.
fn about(answer: &Judged) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(policy) = &answer.policy {
        remarks.push(format!("policy: {policy}"));
    }
    if let Some(AsOf { origin, size, kept: Some(file), .. }) = &answer.as_of {
        let said = answer.verdict.as_ref().ok().and_then(later_state);
        let said = said.unwrap_or_else(|| format!("as of size {size} of {origin}"));
        remarks.push(format!("state: {said}, kept in `{}`", file.display()));
    }
    let Some((report, verified)) =
        answer.verdict.as_ref().ok().and_then(|report| Some((report, report.verified()?)))
    else {
        return remarks;
    };
    if !BuildFacts::read(verified.statement()).self_asserted {
        // Its host chooses which receipt lies there: one may say that the artifact is bad.
        let kind = verified.statement().predicate_type();
        let is_asked = report.checks().iter().any(|(check, _)| *check == Check::PredicateType);
        let ask = if is_asked { "" } else { ", or ask with --predicate-type" };
        let what = format!("no provenance: read what it says{ask}");
        remarks.push(format!("statement: `{kind}`, {what}"));
    }
    let state = report.checks().iter().find(|(check, _)| *check == Check::SignerState);
    if let (Some((check, outcome)), Some(Status::Compromised | Status::Deactivated)) =
        (state, verified.signer_state().map(Identity::status))
    {
        remarks.push(format!("{check}: {}", words(report, *check, outcome).1));
    }
    // A later state says more.
    let is_judged_later = report.checks().iter().any(|(check, _)| *check == Check::LaterState);
    if verified.signer_state().is_none() && !is_judged_later {
        let what = "not registered, as far as the receipt tells: no gate takes it";
        remarks.push(format!("identity: {what}"));
    }
    remarks
}

/// What a later state said, if it let the receipt pass.
fn later_state(report: &Report) -> Option<String> {
    report.checks().iter().find_map(|(check, outcome)| match outcome {
        Outcome::Passed(said) if *check == Check::LaterState => Some(said.clone()),
        _ => None,
    })
}

/// The remarks about what verifies, each once: with the names of its artifacts, unless it is about all of them.
fn remarks(found: &[Found]) -> Vec<String> {
    let verified: Vec<&Found> = found.iter().filter(|found| found.exit() == Exit::Yes).collect();
    let mut remarks: Vec<(String, Vec<&str>)> = Vec::new();
    for found in &verified {
        for text in about(&found.answer) {
            match remarks.iter_mut().find(|(known, _)| *known == text) {
                Some((_, labels)) => labels.push(&found.label),
                None => remarks.push((text, vec![&found.label])),
            }
        }
    }
    let line = |(text, labels): (String, Vec<&str>)| match labels[..] {
        _ if labels.len() == verified.len() => text,
        [one] => format!("{text} ({one})"),
        [first, second] => format!("{text} ({first}, {second})"),
        _ => format!("{text} ({}, {} and {} more)", labels[0], labels[1], labels.len() - 2),
    };
    remarks.into_iter().map(line).collect()
}

/// What a log took behind the tree as of which receipts verify, and which nobody here has looked at.
struct Unseen<'a> {
    origin: &'a str,
    /// The sizes as of which the receipts are judged.
    sizes: BTreeSet<TreeSize>,
    seen: TreeSize,
    dids: BTreeSet<Did>,
}

impl<'a> Unseen<'a> {
    /// One for each log.
    fn of(found: &'a [Found]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for answer in found.iter().filter(|found| found.exit() == Exit::Yes).map(|found| &found.answer) {
            let Some(AsOf { origin, size, seen: Some(seen), .. }) = &answer.as_of else { continue };
            let at = all.iter().position(|unseen| unseen.origin == origin).unwrap_or_else(|| {
                all.push(Self { origin, sizes: BTreeSet::new(), seen: *seen, dids: BTreeSet::new() });
                all.len() - 1
            });
            all[at].sizes.insert(*size);
            all[at].dids.extend(answer.claimed_did);
        }
        all
    }

    fn line(&self) -> String {
        let Self { origin, sizes, seen, .. } = self;
        let (first, last) = (sizes.first().expect("one at least"), sizes.last().expect("one at least"));
        let sizes = if first == last { format!("size {first}") } else { format!("sizes {first} to {last}") };
        format!(
            "as of: {sizes} of {origin}, which was seen at size {seen}: a report, rotation or end since then is not known here"
        )
    }

    fn hint(&self) -> String {
        let did = match self.dids.iter().collect::<Vec<_>>()[..] {
            [did] => did.to_string(),
            _ => "DID".to_owned(),
        };
        format!(
            "`aip-attest log sync --did {did}` keeps the state of today, which `verify` reads; --state FILE names one; \
             `gate` asks the log itself"
        )
    }
}

fn summary(verified: &Verified) -> String {
    let checkpoint = verified.checkpoint();
    let seen = verified.cosigned().iter().map(|by| by.time).max();
    format!(
        "signed by {}, logged {} in {} at index {}; state as of size {}{}",
        verified.did(),
        clock::rfc3339_millis(verified.logged_at().as_millis()),
        checkpoint.origin,
        verified.index(),
        checkpoint.size,
        seen.map_or(String::new(), |time| format!(", {}", clock::rfc3339(time))),
    )
}

/// What to do about what does not verify, each once.
fn hints(found: &[Found]) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    let bad = found.iter().filter(|found| found.exit() != Exit::Yes);
    for answer in bad.flat_map(|found| std::iter::once(&found.answer).chain(&found.others)) {
        for hint in of_answer(answer) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
    }
    hints
}

fn of_answer(answer: &Judged) -> Vec<String> {
    match &answer.verdict {
        Err(failure) => failure.hints().to_vec(),
        Ok(report) => match report.fault() {
            Some((_, Fault::NotLogged)) => vec!["`aip-attest submit RECEIPT` logs it".into()],
            Some((_, Fault::PinnedRoot { .. })) => vec![
                "keep this receipt: the log signed its checkpoint and the pinned one, and one is false"
                    .into(),
            ],
            _ => Vec::new(),
        },
    }
}

/// A check's outcome in words.
pub(super) fn words<V>(report: &Report<V>, check: Check, outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Passed(_) if check == Check::WitnessQuorum && !report.cosigned().is_empty() => {
            let by = |by: &Cosigned| format!("{} {}", by.witness, clock::rfc3339(by.time));
            ("ok", report.cosigned().iter().map(by).collect::<Vec<_>>().join(", "))
        }
        Outcome::Passed(what) if check == Check::SignerState => {
            let seen = report.cosigned().iter().map(|by| by.time).max();
            ("ok", seen.map_or_else(|| what.clone(), |time| format!("{what}, {}", clock::rfc3339(time))))
        }
        Outcome::Passed(what) => ("ok", what.clone()),
        Outcome::NotPassed(fault) if fault.could_not_check() => ("could not check", fault.to_string()),
        Outcome::NotPassed(fault) => ("FAILED", fault.to_string()),
        Outcome::NotChecked => ("not checked", String::new()),
    }
}

/// Enough of a DID to recognise the one that was asked for; a signer is compared whole.
const SHORT_DIGITS: usize = 4;

/// Longer names stand out of their column, so that one of them does not move all others.
const MAX_LABEL_WIDTH: usize = 48;
