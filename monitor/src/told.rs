//! An alert as it is told: in words for a person, as JSON for a program, and both for a webhook.
//!
//! ```text
//! entry of log.example.com/pipelines: 2026-11-30T12:00:00.000Z  index 42  did:aip:…  provenance  sha256:…
//! ```
//! What a statement says of itself is its signer's: of its predicate type nothing is told that a terminal or a chat
//! would act on.

use std::fmt::Write as _;

use attestation::provenance;
use attestation::statement::EVENT_PREDICATE_BASE;
use serde_json::Value;
use tlog::Hash;
use tlog::encoding::decode_base64;
use tlog::merkle::leaf_hash;

/// One line of the record (`alert`), read.
#[derive(Debug)]
pub(super) struct Told {
    alert: Value,
}

impl Told {
    /// Reads a line of our own record.
    pub(super) fn parse(line: &[u8]) -> Self {
        Self { alert: serde_json::from_slice(line).unwrap_or_default() }
    }

    /// The entry's place in the log, as it is written.
    pub(super) fn index(&self) -> String {
        self.alert["index"].to_string()
    }

    /// The hash of the entry's leaf.
    pub(super) fn leaf_hash(&self) -> Option<Hash> {
        Some(leaf_hash(&decode_base64(self.alert["leaf"].as_str()?)?))
    }

    /// Since when the entry was there to be seen, in milliseconds: as the log says, but not later than the monitor saw
    /// it. 0 in a line of a release that did not note it.
    pub(super) fn since(&self) -> u64 {
        let seen = self.alert["seenAt"].as_u64().unwrap_or(0);
        self.alert["loggedAt"].as_u64().map_or(seen, |logged| logged.min(seen))
    }

    /// Whether it is an identity or trust event.
    pub(super) fn is_event(&self) -> bool {
        self.alert["subject"].is_string()
    }

    /// The alert in words, on one line; `is_foreign` says that it was held against receipts.
    pub(super) fn to_text(&self, is_foreign: bool) -> String {
        let what = match (self.is_event(), is_foreign) {
            (true, _) => "event",
            (false, true) => "foreign entry",
            (false, false) => "entry",
        };
        let text = |member: &str| self.alert[member].as_str().unwrap_or("?");
        let time = self.alert["loggedAt"].as_u64().map_or("no time".to_owned(), rfc3339);
        format!(
            "{what} of {}: {time}  index {}  {}  {}  {}",
            text("origin"),
            self.index(),
            text("did"),
            self.kind(),
            self.about()
        )
    }

    /// The alert as JSON with its words, one line and its end.
    pub(super) fn to_json(&self, text: &str) -> String {
        let mut alert = self.alert.clone();
        if let Value::Object(members) = &mut alert {
            members.insert("text".to_owned(), text.into());
        }
        format!("{alert}\n")
    }

    fn kind(&self) -> String {
        let Some(kind) = self.alert["predicateType"].as_str() else { return "private".to_owned() };
        if kind == provenance::PREDICATE_TYPE {
            return "provenance".to_owned();
        }
        // The log has checked that no artifact entry has such a type.
        let event = kind.strip_prefix(EVENT_PREDICATE_BASE).and_then(|rest| rest.strip_suffix("/v1"));
        event.map_or_else(|| format!("`{}`", inert(kind)), inert)
    }

    fn about(&self) -> String {
        if let Some(subject) = self.alert["subject"].as_str() {
            return format!("about {subject}");
        }
        match self.alert["subjects"].as_array().map(Vec::as_slice) {
            None | Some([]) => "its digest is not public".to_owned(),
            Some([first]) => format!("sha256:{}", first.as_str().unwrap_or("?")),
            Some([first, more @ ..]) => {
                format!("sha256:{} and {} more", first.as_str().unwrap_or("?"), more.len())
            }
        }
    }
}

/// A URI without what a chat makes into a mention, a link with another text, or an end of code; cut where it is long.
fn inert(uri: &str) -> String {
    let mut text = String::new();
    for (at, byte) in uri.bytes().enumerate() {
        if at == MOST_OF_A_TYPE {
            text.push('…');
            break;
        }
        if byte.is_ascii_alphanumeric() || b"-._~:/?#$'()*+,;=%".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// A time that a leaf can carry.
fn rfc3339(millis: u64) -> String {
    // The year 9999 is the last that the form has.
    if millis > LAST_WRITTEN_MILLIS {
        return format!("{millis} ms");
    }
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis))
        .to_string()
}

const LAST_WRITTEN_MILLIS: u64 = 253_402_300_799_999;

/// Bytes of a predicate type that are told.
const MOST_OF_A_TYPE: usize = 100;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(more: Value) -> String {
        let mut alert = json!({"origin": "log.example.com/a", "index": 42, "did": "did:aip:00", "loggedAt": 1_796_040_000_000_u64});
        let Value::Object(more) = more else { panic!("members") };
        alert.as_object_mut().expect("an object").extend(more);
        Told::parse(alert.to_string().as_bytes()).to_text(false)
    }

    #[test]
    fn a_line_has_time_index_did_kind_and_digest() {
        let head = " of log.example.com/a: 2026-11-30T12:00:00.000Z  index 42  did:aip:00  ";
        for (what, alert, want) in [
            (
                "entry",
                json!({"predicateType": "https://slsa.dev/provenance/v1", "subjects": ["ab"]}),
                "provenance  sha256:ab",
            ),
            (
                "entry",
                json!({"predicateType": "https://cyclonedx.org/bom", "subjects": ["ab", "cd", "ef"]}),
                "`https://cyclonedx.org/bom`  sha256:ab and 2 more",
            ),
            (
                "event",
                json!({"predicateType": "https://aip.dev/event/vouch/v1", "subject": "did:aip:11"}),
                "vouch  about did:aip:11",
            ),
            (
                "event",
                json!({"predicateType": "https://aip.dev/event/message-keys/v1", "subject": "did:aip:00"}),
                "message-keys  about did:aip:00",
            ),
            ("entry", json!({}), "private  its digest is not public"),
        ] {
            assert_eq!(text(alert), format!("{what}{head}{want}"));
        }
        // Times that a log can make up.
        assert!(text(json!({"loggedAt": (1_u64 << 53) - 1})).contains(": 9007199254740991 ms  index 42"));
        assert!(Told::parse(b"").to_text(true).contains("no time"), "nothing of it panics");
    }

    #[test]
    fn no_predicate_type_calls_anybody_or_leads_anywhere() {
        for bad in ["<!channel>", "@all", "<https://evil.example|click>", "`\u{1b}[2J\n", "[a](b)", "ü&amp;"]
        {
            let text = text(json!({"predicateType": format!("x:{bad}"), "subjects": ["ab"]}));
            let kind = text.split("  ").nth(3).expect("a kind");
            assert!(kind.starts_with("`x:") && kind.ends_with('`'), "{text}");
            let inner = &kind[1..kind.len() - 1];
            assert!(!inner.contains(['<', '>', '@', '`', '|', '[', ']', '&', ' ']), "{text}");
            assert!(inner.chars().all(|c| c.is_ascii_graphic()), "{text}");
        }
        let long = text(json!({"predicateType": format!("x:{}", "a".repeat(5_000))}));
        assert!(long.len() < 400, "{long}");
    }

    #[test]
    fn an_entry_is_there_since_it_was_seen_at_the_latest() {
        let since = |alert: Value| Told::parse(alert.to_string().as_bytes()).since();
        assert_eq!(since(json!({"loggedAt": 5, "seenAt": 9})), 5);
        assert_eq!(since(json!({"loggedAt": 99, "seenAt": 9})), 9, "a log's clock holds nothing back");
        assert_eq!(since(json!({"seenAt": 9})), 9);
        assert_eq!(since(json!({"loggedAt": 5})), 0, "a line of an earlier release");
    }
}
