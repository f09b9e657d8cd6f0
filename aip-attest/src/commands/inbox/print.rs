//! Messages for people, and the same for programs.
//!
//! ```text
//! {"schema": "aip.inbox.v1", "checkpoint": {"origin", "treeSize", "root", "attested"} or null,
//!  "messages": [{"id", "envelope", "sender", "registered", "verdict": "accepted | refused | unable", "reason"?, "why"?,
//!   "created", "expires", "receivedAt", "keyKind": "identity | message", "replay": "new | seen | not-checked", "legacy",
//!   "contentType", "body", "attachments": [{"name", "contentType", "bytes", "sha256", "path"?}],
//!   "artifacts": [{"name", "sha256", "entry"?}], "inReplyTo"?, "recipients"}]}
//! ```
//! `reason` is the identifier of the check that did not pass. Times are in milliseconds. What is not known of a message that
//! was not accepted is null or empty.

use attestation::message::{Artifact, Attachment, EntryReference};
use serde_json::{Value, json};
use tlog::Hash;

use crate::clock;
use crate::messages::directory::AsOf;
use crate::messages::judging::{Judged, Letter, Replay, Verdict};
use crate::report::{Console, Failure};

pub(super) fn print(judged: &[Judged], as_of: Option<&AsOf>, as_json: bool, console: &mut Console) {
    if as_json {
        let messages: Vec<Value> = judged.iter().map(json_of).collect();
        console.json(
            &json!({"schema": "aip.inbox.v1", "messages": messages, "checkpoint": as_of.map(checkpoint)}),
        );
    } else {
        judged.iter().for_each(|one| text(one, console));
    }
    if judged.is_empty() {
        console.note("no message");
    }
    for failure in judged.iter().filter_map(unable) {
        console.failure(failure);
    }
}

fn unable(one: &Judged) -> Option<&Failure> {
    match &one.verdict {
        Verdict::Unable(failure) => Some(failure),
        Verdict::Accepted(_) | Verdict::Refused { .. } => None,
    }
}

fn text(one: &Judged, console: &mut Console) {
    let id = one.id.map_or(one.envelope.to_string(), |id| id.to_string());
    let sender = one.sender.map_or("nobody who is known".to_owned(), |did| did.to_string());
    let letter = match &one.verdict {
        Verdict::Accepted(letter) => letter,
        Verdict::Refused { rule, why } => {
            console.line(format!("refused   {id}  from {sender}  {rule}: {why}"));
            return;
        }
        Verdict::Unable(failure) => {
            console.line(format!("unable    {id}  from {sender}  {}", failure.one_line()));
            return;
        }
    };
    let created = one.created.map_or(String::new(), |created| clock::rfc3339_millis(created.as_millis()));
    let seen = if one.replay == Replay::Seen { "  shown before" } else { "" };
    console.line(format!("message   {id}  {created}{seen}"));
    let registered = if letter.is_registered { "registered" } else { "not registered" };
    console.line(format!("from      {sender}  {registered}"));
    if one.is_legacy {
        console.line("of        Python aip: its sender is not proven to know the text");
    }
    said(letter, console);
}

/// What its sender says. Every line begins with a word of ours, or with what stands before text of others.
fn said(letter: &Letter, console: &mut Console) {
    if let [_, _, ..] = letter.recipients[..] {
        let to: Vec<String> = letter.recipients.iter().map(ToString::to_string).collect();
        console.line(format!("to        {}", to.join(", ")));
    }
    if let Some(id) = letter.in_reply_to {
        console.line(format!("answers   {id}"));
    }
    if letter.content_type != attestation::message::TEXT {
        console.line(format!("type      {}", letter.content_type));
    }
    for line in letter.body.lines() {
        console.line(format!("  | {line}"));
    }
    for Artifact { entry, name, sha256 } in &letter.artifacts {
        let entry =
            entry.as_ref().map_or("  no entry named".to_owned(), |EntryReference { index, origin }| {
                format!("  index {index} of {origin}")
            });
        console.line(format!("artifact  {name}  sha256:{sha256}{entry}"));
    }
    for (at, Attachment { content, content_type, name }) in letter.attachments.iter().enumerate() {
        let saved =
            letter.saved.get(at).map_or(String::new(), |path| format!("  saved in `{}`", path.display()));
        console.line(format!("attached  {name}  {content_type}  {} bytes{saved}", content.len()));
    }
}

fn json_of(one: &Judged) -> Value {
    let letter = one.letter();
    let attachments: Vec<Value> = letter.map_or(Vec::new(), |letter| {
        let attachment = |(at, attachment): (usize, &Attachment)| {
            let Attachment { content, content_type, name } = attachment;
            let sha256 = Hash::of(content).to_string();
            let mut json =
                json!({"name": name, "contentType": content_type, "bytes": content.len(), "sha256": sha256});
            if let Some(path) = letter.saved.get(at) {
                json["path"] = path.to_string_lossy().into();
            }
            json
        };
        letter.attachments.iter().enumerate().map(attachment).collect()
    });
    let artifacts: Vec<Value> =
        letter.map_or(Vec::new(), |letter| letter.artifacts.iter().map(artifact).collect());
    let mut json = json!({
        "id": one.id,
        "envelope": one.envelope,
        "sender": one.sender,
        "registered": letter.map(|letter| letter.is_registered),
        "verdict": match &one.verdict {
            Verdict::Accepted(_) => "accepted",
            Verdict::Refused { .. } => "refused",
            Verdict::Unable(_) => "unable",
        },
        "created": one.created.map(|time| time.as_millis()),
        "expires": one.expires.map(|time| time.as_millis()),
        "receivedAt": one.received_at.map(|time| time.as_millis()),
        "keyKind": one.key_kind.map(|kind| kind.name()),
        "replay": one.replay.name(),
        "legacy": one.is_legacy,
        "contentType": letter.map(|letter| &letter.content_type),
        "body": letter.map(|letter| &letter.body),
        "attachments": attachments,
        "artifacts": artifacts,
        "recipients": letter.map_or(&[][..], |letter| &letter.recipients),
    });
    match &one.verdict {
        Verdict::Accepted(letter) => {
            if let Some(id) = letter.in_reply_to {
                json["inReplyTo"] = json!(id);
            }
        }
        Verdict::Refused { rule, why } => (json["reason"], json["why"]) = (json!(rule), json!(why)),
        Verdict::Unable(failure) => json["why"] = failure.one_line().into(),
    }
    json
}

fn artifact(Artifact { entry, name, sha256 }: &Artifact) -> Value {
    let mut json = json!({"name": name, "sha256": sha256.to_string()});
    if let Some(EntryReference { index, origin }) = entry {
        json["entry"] = json!({"index": index.get(), "origin": origin});
    }
    json
}

fn checkpoint(AsOf { checkpoint, attested }: &AsOf) -> Value {
    json!({
        "origin": checkpoint.origin,
        "treeSize": checkpoint.size.get(),
        "root": checkpoint.root.to_string(),
        "attested": attested.map(clock::rfc3339),
    })
}
