//! What somebody wants to say, from arguments, standard input and files.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::{
    Artifact, Attachment, EntryReference, MAX_ARTIFACTS, MAX_BODY_BYTES, MAX_LIFE_MILLIS, Message, MessageId,
    is_attachment_name, is_content_type,
};

use crate::bounded_file::read_bounded;
use crate::keyfile;
use crate::receipt_file;
use crate::report::{Console, Failure, Result};

/// What is to be said, to whomever.
pub(crate) struct Draft {
    /// The text.
    pub body: String,
    /// What it is, such as `text/plain`.
    pub content_type: String,
    /// How long the message lives.
    pub life: Duration,
    /// The message that it answers.
    pub in_reply_to: Option<MessageId>,
    /// Files that come with it.
    pub attachments: Vec<Attachment>,
    /// Artifacts that it is about.
    pub artifacts: Vec<Artifact>,
}

impl Draft {
    /// The message of this draft, written at `now` under a new id.
    pub(crate) fn message(
        &self,
        sender: Did,
        recipients: &[Did],
        origin: &str,
        now: LogTime,
    ) -> Result<Message> {
        let life = u64::try_from(self.life.as_millis()).unwrap_or(u64::MAX);
        let expires = now.as_millis().checked_add(life).and_then(LogTime::from_millis);
        let expires =
            expires.ok_or_else(|| Failure::new("the message would live longer than time is counted"))?;
        Ok(Message {
            artifacts: self.artifacts.clone(),
            attachments: self.attachments.clone(),
            body: self.body.clone(),
            content_type: self.content_type.clone(),
            created: now,
            expires,
            id: MessageId::from_bytes(*keyfile::random()?),
            in_reply_to: self.in_reply_to,
            origin: origin.to_owned(),
            recipients: recipients.to_vec(),
            sender,
        })
    }
}

/// The longest life of a message, and the one that it has if none is named.
pub(crate) const LIFE: Duration = Duration::from_millis(MAX_LIFE_MILLIS);

/// Reads how long a message lives.
pub(crate) fn parse_life(text: &str) -> Result<Duration, String> {
    let life = crate::clock::parse_duration(text)?;
    match (1..=LIFE.as_millis()).contains(&life.as_millis()) {
        true => Ok(life),
        false => {
            Err("a message lives at least a millisecond and at most 7d, as long as a relay keeps it".into())
        }
    }
}

/// Reads what the body is.
pub(crate) fn parse_content_type(text: &str) -> Result<String, String> {
    match is_content_type(text) {
        true => Ok(text.to_owned()),
        false => Err("a content type is `type/subtype` in lower case, without parameters".into()),
    }
}

/// The text of a message: the argument, or for `-` standard input, which is read to its end.
pub(crate) fn text(argument: &str) -> Result<String> {
    if argument != "-" {
        return within_limit(argument.to_owned());
    }
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_BODY_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new("cannot read the text from standard input").caused_by(error))?;
    if bytes.len() > MAX_BODY_BYTES {
        return Err(too_long("more than that came from standard input"));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::new("the text is not UTF-8").hint("bytes go along as a file: use --attach FILE")
    })
}

fn within_limit(text: String) -> Result<String> {
    match text.len() {
        length if length > MAX_BODY_BYTES => Err(too_long(&format!("this one has {length}"))),
        _ => Ok(text),
    }
}

fn too_long(got: &str) -> Failure {
    Failure::new(format!("the text of a message has at most {MAX_BODY_BYTES} bytes"))
        .because(got)
        .hint("send a link and a digest, or the file itself by another way; --receipt FILE says which artifact it is")
}

/// A file as an attachment, under its own name.
pub(crate) fn attachment(path: &Path) -> Result<Attachment> {
    let cannot = || Failure::new(format!("cannot attach `{}`", path.display()));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_attachment_name(name) {
        return Err(cannot()
            .because(
                "an attachment is named by 1 to 128 bytes, without control characters, `/`, `\\` and `:`, not begun by `.` \
                 or `-`, without white space at the ends",
            )
            .hint("give the file another name"));
    }
    let content = read_bounded(path, MAX_BODY_BYTES as u64).map_err(|error| {
        let failure = cannot().caused_by(&error);
        match error.kind() {
            io::ErrorKind::Other => {
                failure.hint("a message carries no large files: send a link and a digest")
            }
            _ => failure,
        }
    })?;
    // A receipt is JSON; what another file holds is its own.
    let content_type = if name.ends_with(".json") { "application/json" } else { "application/octet-stream" };
    Ok(Attachment { content, content_type: content_type.to_owned(), name: name.to_owned() })
}

/// What a receipt is about, and where it is logged; `sender` is who will say so.
pub(crate) fn artifacts(path: &Path, sender: Did, console: &mut Console) -> Result<Vec<Artifact>> {
    let receipt = receipt_file::read(path)?;
    let path = path.display();
    if receipt.did() != sender {
        console.warn(format!(
            "the receipt `{path}` is signed by {}, and this message by {sender}: `inbox --artifact` takes only a receipt \
             whose signer sent the message",
            receipt.did()
        ));
    }
    let entry = receipt.log_answer().map(|logged| EntryReference {
        index: logged.proof.index,
        origin: logged.checkpoint().origin.clone(),
    });
    if entry.is_none() {
        console.warn(format!("the receipt `{path}` is not logged yet: `inbox --artifact` asks for an entry"));
        console.hint(format!("`aip-attest submit {path}` logs it"));
    }
    let artifact = |subject: &attestation::statement::Subject| Artifact {
        entry: entry.clone(),
        name: subject.name.clone(),
        sha256: subject.sha256,
    };
    let artifacts: Vec<Artifact> = receipt.statement().subjects().iter().map(artifact).collect();
    match artifacts.len() {
        1..=MAX_ARTIFACTS => Ok(artifacts),
        several => Err(Failure::new(format!("the receipt `{path}` is about {several} artifacts"))
            .because(format!("a message names at most {MAX_ARTIFACTS}"))
            .hint("attach the receipt, and name the artifacts in further messages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lives_seven_days_at_most() {
        for (text, want) in [("7d", true), ("1ms", true), ("0s", false), ("7d 1ms", false), ("week", false)] {
            assert_eq!(parse_life(text).is_ok(), want, "{text}");
        }
        for (text, want) in [
            ("text/plain", true),
            ("application/vnd.x+json", true),
            ("text", false),
            ("text/html; x=y", false),
        ] {
            assert_eq!(parse_content_type(text).is_ok(), want, "{text}");
        }
    }

    #[test]
    fn an_argument_that_is_too_long_is_refused() {
        text(&"x".repeat(MAX_BODY_BYTES)).expect("it fits");
        let failure = text(&"é".repeat(MAX_BODY_BYTES / 2 + 1)).expect_err("too long");
        assert!(failure.to_string().contains("at most 65536 bytes"), "{failure}");
    }

    #[test]
    fn an_attachment_is_named_as_its_file_is() {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, content_type) in [("a.json", "application/json"), ("a b", "application/octet-stream")] {
            std::fs::write(dir.path().join(name), b"content").expect("written");
            let got = attachment(&dir.path().join(name)).expect("attached");
            assert_eq!((got.name.as_str(), got.content_type.as_str()), (name, content_type));
            assert_eq!(got.content, b"content");
        }
        std::fs::write(dir.path().join("large"), vec![0; MAX_BODY_BYTES + 1]).expect("written");
        std::fs::write(dir.path().join(".hidden"), b"x").expect("written");
        for (name, why) in [
            ("large", "longer than"),
            (".hidden", "not begun by"),
            ("missing", "cannot attach"),
            ("..", "named by"),
        ] {
            let failure = attachment(&dir.path().join(name)).expect_err(name);
            assert!(failure.to_string().contains(why), "{name}: {failure}");
        }
    }
}
