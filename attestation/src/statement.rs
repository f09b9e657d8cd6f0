//! What a signer claims about artifacts: in-toto Statement v1, read strictly (`specs/statement.md`).
//!
//! ```text
//! {"_type":"https://in-toto.io/Statement/v1",
//!  "subject":[{"name":"<text>","digest":{"sha256":"<64 hex digits>"[,"<algorithm>":"<hex>" …]}} …],
//!  "predicateType":"<URI>",
//!  "predicate":{…}}
//! ```
//! In scope: everything but the predicate, which is a strict JSON object of any content. Out of scope:
//! who signed (`dsse`), what a provenance predicate says (`provenance`).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use tlog::Hash;

use crate::json::{self, JsonError, MAX_DEPTH, Object};
use crate::quote::quoted;

/// A statement that keeps the rules of its format.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    subjects: Vec<Subject>,
    predicate_type: String,
    predicate: Predicate,
}

/// What a statement says: the text of a JSON object. It may be long, so it is shared, and it is kept as text: a tree of
/// values would take several times as much.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Predicate(Arc<str>);

impl Predicate {
    /// Reads a predicate that is about to be signed, with the rules of [`crate::json::parse_exact`].
    pub fn parse_exact(bytes: &[u8]) -> Result<Self, JsonError> {
        Self::of(json::check_exact(bytes)?, "")
    }

    /// A text that was checked.
    fn of(text: &str, member: &str) -> Result<Self, JsonError> {
        let text = text.trim_ascii();
        match text.starts_with('{') {
            true => Ok(Self(text.into())),
            false => Err(JsonError::Type { member: member.to_owned(), want: "an object" }),
        }
    }

    fn to_map(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).expect("the text was checked to be an object")
    }
}

impl From<Map<String, Value>> for Predicate {
    fn from(members: Map<String, Value>) -> Self {
        Self(Value::Object(members).to_string().into())
    }
}

/// An artifact that a statement is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    /// What the signer calls it, such as a file name.
    pub name: String,
    /// Its SHA-256: what it is.
    pub sha256: Hash,
    /// Further digests by algorithm, lower-case hex, which nobody here checks.
    pub other_digests: BTreeMap<String, String>,
}

impl Subject {
    /// An artifact with its SHA-256 only.
    pub fn new(name: impl Into<String>, sha256: Hash) -> Self {
        Self { name: name.into(), sha256, other_digests: BTreeMap::new() }
    }
}

impl Statement {
    /// A statement, checked by the rules of the format.
    ///
    /// `predicate` should come from [`Predicate::parse_exact`], or be as shallow and exact. A payload that nests deeper than
    /// [`MAX_DEPTH`] is refused when it is read. Numbers that are no 64-bit integer and no double were rounded before.
    pub fn new(
        subjects: Vec<Subject>,
        predicate_type: impl Into<String>,
        predicate: impl Into<Predicate>,
    ) -> Result<Self, StatementError> {
        let (predicate_type, predicate) = (predicate_type.into(), predicate.into());
        if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
            return Err(StatementError::SubjectCount(subjects.len()));
        }
        for (subject, at) in subjects.iter().zip(0..) {
            subject.check(at)?;
        }
        check_predicate_type(&predicate_type)?;
        Ok(Self { subjects, predicate_type, predicate })
    }

    /// Reads the payload of an envelope.
    pub fn parse(payload: &[u8]) -> Result<Self, StatementError> {
        // The predicate stands one level inside the statement.
        let text = json::check(payload, MAX_DEPTH + 1)?;
        let (mut statement, predicate) = Object::parse_but(text, "predicate")?;
        let kind = statement.string("_type")?;
        if kind != TYPE {
            return Err(StatementError::Type(quoted(&kind)));
        }
        let subjects = statement.objects("subject")?;
        let predicate_type = statement.string("predicateType")?;
        let predicate = predicate.ok_or_else(|| JsonError::Missing { member: "predicate".to_owned() })?;
        let predicate = Predicate::of(predicate, "predicate")?;
        statement.finish()?;
        let subjects = subjects.into_iter().map(Subject::from_json).collect::<Result<_, _>>()?;
        Self::new(subjects, predicate_type, predicate)
    }

    /// Reads the payload of somebody else's envelope: an in-toto statement of version 1 or 0.1, as stock cosign takes it. It
    /// may describe its subjects further, name none, and leave the predicate away. A subject without a SHA-256 is left out,
    /// since none of them is any artifact here.
    pub(crate) fn parse_foreign(payload: &[u8]) -> Result<Self, StatementError> {
        let text = json::check(payload, MAX_DEPTH + 1)?;
        let (mut statement, predicate) = Object::parse_but(text, "predicate")?;
        let kind = statement.string("_type")?;
        if kind != TYPE && kind != OLD_TYPE {
            return Err(StatementError::Type(quoted(&kind)));
        }
        let subjects = statement.objects("subject")?;
        let predicate_type = statement.string("predicateType")?;
        let predicate = Predicate::of(predicate.unwrap_or("{}"), "predicate")?;
        statement.finish()?;
        if subjects.is_empty() || subjects.len() > MAX_SUBJECTS {
            return Err(StatementError::SubjectCount(subjects.len()));
        }
        let subjects = subjects.into_iter().filter_map(|subject| Subject::from_foreign(subject).transpose());
        Ok(Self { subjects: subjects.collect::<Result<_, _>>()?, predicate_type, predicate })
    }

    /// The payload: the same statement always gives the same bytes, members in the order shown above,
    /// those of digests and predicate sorted.
    pub fn to_payload(&self) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(rename = "_type")]
            kind: &'static str,
            subject: Vec<WireSubject<'a>>,
            predicate_type: &'a str,
        }
        #[derive(Serialize)]
        struct WireSubject<'a> {
            name: &'a str,
            digest: BTreeMap<&'a str, String>,
        }
        let subject = self.subjects.iter().map(|subject| {
            let others = subject.other_digests.iter().map(|(name, value)| (name.as_str(), value.clone()));
            let digest = others.chain([(SHA256, subject.sha256.to_string())]).collect();
            WireSubject { name: &subject.name, digest }
        });
        let wire = Wire { kind: TYPE, subject: subject.collect(), predicate_type: &self.predicate_type };
        let mut payload = Vec::with_capacity(self.predicate.0.len() + 1024);
        serde_json::to_writer(&mut payload, &wire).expect("maps have text keys, so this is JSON");
        // The last member goes before the closing brace.
        payload.pop();
        payload.extend(br#","predicate":"#);
        json::canonical::write(&self.predicate.0, &mut payload);
        payload.push(b'}');
        payload
    }

    /// The artifacts, in the signer's order; at least one, unless somebody else's tool made the statement.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// What kind of claim this is, a URI.
    pub fn predicate_type(&self) -> &str {
        &self.predicate_type
    }

    /// The claim, parsed anew each time: a parsed one takes several times the length of its text.
    pub fn predicate(&self) -> Map<String, Value> {
        self.predicate.to_map()
    }

    /// The SHA-256 digests of the subjects, sorted by their bytes, each once: as an entry lists them.
    pub fn digests(&self) -> Vec<Hash> {
        let mut digests: Vec<Hash> = self.subjects.iter().map(|subject| subject.sha256).collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }
}

impl Subject {
    fn from_json(mut subject: Object) -> Result<Self, StatementError> {
        let name = subject.string("name")?;
        let mut digest = subject.object("digest")?;
        subject.finish()?;
        let hex = digest.string(SHA256)?;
        let path = digest.path_of(SHA256);
        let sha256 = Hash::from_hex(&hex).ok_or(StatementError::Sha256 { member: path.clone() })?;
        let prefix = path.trim_end_matches(SHA256).to_owned();
        let mut other_digests = BTreeMap::new();
        for (algorithm, value) in digest.rest() {
            let Value::String(value) = value else {
                let member = format!("{prefix}{}", quoted(&algorithm));
                return Err(JsonError::Type { member, want: "a string" }.into());
            };
            other_digests.insert(algorithm, value);
        }
        Ok(Self { name, sha256, other_digests })
    }

    fn from_foreign(mut subject: Object) -> Result<Option<Self>, StatementError> {
        let name = subject.optional_string("name")?.unwrap_or_default();
        let Some(mut digest) = subject.optional_object("digest")? else { return Ok(None) };
        let Some(hex) = digest.optional_string(SHA256)? else { return Ok(None) };
        let member = digest.path_of(SHA256);
        let sha256 = Hash::from_hex(&hex).ok_or(StatementError::Sha256 { member })?;
        Ok(Some(Self::new(name, sha256)))
    }

    fn check(&self, at: usize) -> Result<(), StatementError> {
        if self.name.is_empty() || self.name.contains(char::is_control) {
            return Err(StatementError::SubjectName { at, name: quoted(&self.name) });
        }
        if 1 + self.other_digests.len() > MAX_DIGESTS {
            return Err(StatementError::DigestCount { at, count: 1 + self.other_digests.len() });
        }
        let is_name = |text: &str| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_/.".contains(&b);
            !text.is_empty() && text != SHA256 && text.bytes().all(allowed)
        };
        let is_hex = |text: &str| {
            let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(lower_hex)
        };
        match self.other_digests.iter().find(|(name, value)| !is_name(name) || !is_hex(value)) {
            None => Ok(()),
            Some((name, _)) => Err(StatementError::OtherDigest { at, algorithm: quoted(name) }),
        }
    }
}

/// Whether `text` can be a predicate type: 1 to [`MAX_PREDICATE_TYPE_BYTES`] bytes, no control character.
pub(crate) fn check_predicate_type(text: &str) -> Result<(), StatementError> {
    if text.is_empty() || text.len() > MAX_PREDICATE_TYPE_BYTES || text.contains(char::is_control) {
        return Err(StatementError::PredicateType(quoted(text)));
    }
    Ok(())
}

/// Why a payload is no statement.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StatementError {
    /// More digests of one subject than [`MAX_DIGESTS`].
    #[error("statement: subject {at} has {count} digests, more than {MAX_DIGESTS}")]
    DigestCount {
        /// The position of the subject, from 0.
        at: usize,
        /// How many.
        count: usize,
    },
    /// Not JSON, or not with these members.
    #[error("statement: {0}")]
    Json(#[from] JsonError),
    /// A further digest whose name is no algorithm's or whose value is not lower-case hex.
    #[error(
        "statement: subject {at}: the digest {algorithm} is not lower-case hex under an algorithm's name"
    )]
    OtherDigest {
        /// The position of the subject, from 0.
        at: usize,
        /// The algorithm, quoted.
        algorithm: String,
    },
    /// Empty, too long, or with a control character.
    #[error(
        "statement: a predicate type is 1 to {MAX_PREDICATE_TYPE_BYTES} bytes without control characters: {0}"
    )]
    PredicateType(String),
    /// Not 64 lower-case hex digits.
    #[error("statement: member `{member}` is not 64 lower-case hex digits")]
    Sha256 {
        /// The path of the member.
        member: String,
    },
    /// None, or more than [`MAX_SUBJECTS`].
    #[error("statement: {0} subjects, not 1 to {MAX_SUBJECTS}")]
    SubjectCount(usize),
    /// Empty, or with a control character.
    #[error("statement: subject {at}: a name is not empty and has no control characters: {name}")]
    SubjectName {
        /// The position of the subject, from 0.
        at: usize,
        /// The name, quoted.
        name: String,
    },
    /// Another `_type`.
    #[error("statement: `_type` is {0}, not {TYPE:?}")]
    Type(String),
}

/// The most subjects of a statement: stock cosign refuses more.
pub const MAX_SUBJECTS: usize = 1024;

/// The most digests of a subject: stock cosign refuses more.
pub const MAX_DIGESTS: usize = 32;

/// The longest predicate type: it stands in the log for ever, and no text there is longer.
pub const MAX_PREDICATE_TYPE_BYTES: usize = 256;

/// What predicate types of identity and trust events begin with (`specs/identity.md`). They are logged
/// as entries of their own kind; a `dsse` entry with one is refused.
pub const EVENT_PREDICATE_BASE: &str = "https://aip.dev/event/";

/// Whether `predicate_type` is one of an event.
pub fn is_event(predicate_type: &str) -> bool {
    predicate_type.starts_with(EVENT_PREDICATE_BASE)
}

const TYPE: &str = "https://in-toto.io/Statement/v1";

/// As `cosign attest-blob` writes it.
const OLD_TYPE: &str = "https://in-toto.io/Statement/v0.1";
const SHA256: &str = "sha256";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";

    fn good() -> String {
        format!(
            r#"{{"_type":"{TYPE}","subject":[{{"name":"a.bin","digest":{{"sha256":"{HEX}"}}}}],"predicateType":"t","predicate":{{"x":9.8}}}}"#
        )
    }

    #[test]
    fn a_statement_is_read_and_written_byte_for_byte() {
        let statement = Statement::parse(good().as_bytes()).expect("a statement");
        assert_eq!(statement.to_payload(), good().as_bytes());
        assert_eq!(statement.subjects(), [Subject::new("a.bin", Hash::from_hex(HEX).expect("hex"))]);
        assert_eq!((statement.predicate_type(), &statement.predicate()["x"]), ("t", &9.8.into()));
    }

    #[test]
    fn digests_are_sorted_by_their_bytes_and_unique() {
        let subject = |byte| Subject::new(format!("{byte}"), Hash::new([byte; 32]));
        let subjects = [200, 3, 200, 7].map(subject).to_vec();
        let statement = Statement::new(subjects, "t", Map::new()).expect("a statement");
        assert_eq!(statement.digests(), [3, 7, 200].map(|byte| Hash::new([byte; 32])));
    }

    #[test]
    fn other_shapes_are_refused_by_rule() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        for (from, to, want) in [
            ("Statement/v1", "Statement/v0.1", "`_type` is \"https://in-toto.io/Statement/v0.1\""),
            (r#"{"_type""#, r#"{"x":1,"_type""#, "unknown member `x`"),
            (r#""name":"a.bin","#, "", "member `subject[0].name` is missing"),
            (r#""a.bin""#, r#""""#, "subject 0: a name is not empty"),
            (r#""a.bin""#, r#""a\n""#, r#"a name is not empty and has no control characters: "a\n""#),
            (r#""a.bin""#, r#""a","uri":"u""#, "unknown member `subject[0].uri`"),
            ("51bc", "51BC", "member `subject[0].digest.sha256` is not 64 lower-case hex digits"),
            ("51bc", "51b", "member `subject[0].digest.sha256` is not 64 lower-case hex digits"),
            ("sha256", "sha512", "member `subject[0].digest.sha256` is missing"),
            (
                "{\"sha256\"",
                "{\"sha512\":1,\"sha256\"",
                "member `subject[0].digest.\"sha512\"` is not a string",
            ),
            ("{\"sha256\"", "{\"sha512\":\"AB\",\"sha256\"", "subject 0: the digest \"sha512\""),
            ("{\"sha256\"", "{\"sha512\":\"abc\",\"sha256\"", "subject 0: the digest \"sha512\""),
            ("{\"sha256\"", "{\"sha512\":\"\",\"sha256\"", "subject 0: the digest \"sha512\""),
            ("{\"sha256\"", "{\"\":\"ab\",\"sha256\"", "subject 0: the digest \"\""),
            ("{\"sha256\"", "{\"sha256\":\"ab\",\"sha256\"", "member \"sha256\" stands twice"),
            (r#":"t""#, r#":"""#, "a predicate type is 1 to 256 bytes"),
            (r#":"t""#, r#":"t\u0007""#, "a predicate type is 1 to 256 bytes"),
            (r#":"t""#, r#":null"#, "member `predicateType` is not a string"),
            (r#"{"x":9.8}"#, "[]", "member `predicate` is not an object"),
            (r#"{"x":9.8}"#, "null", "member `predicate` is not an object"),
            (r#"{"x":9.8}"#, r#"{"x":1,"x":1}"#, "member \"x\" stands twice"),
            (r#"{"x":9.8}"#, r#"{"x":1e400}"#, "number out of range"),
            (r#"{"x":9.8}"#, deep.as_str(), "nested deeper than 65"),
        ] {
            let bad = good().replacen(from, to, 1);
            assert_ne!(bad, good(), "{from}");
            let error = Statement::parse(bad.as_bytes()).expect_err(to).to_string();
            assert!(error.contains(want), "{to}: {error}");
        }
    }

    #[test]
    fn a_predicate_may_be_as_deep_as_one_that_is_read_alone() {
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(63), "]".repeat(63));
        assert!(crate::json::parse(deep.as_bytes()).is_ok());
        assert!(Statement::parse(good().replace(r#"{"x":9.8}"#, &deep).as_bytes()).is_ok());
    }

    #[test]
    fn counts_and_lengths_are_bounded() {
        let subjects = |count| vec![Subject::new("a", Hash::default()); count];
        let new = |count, predicate_type: &str| Statement::new(subjects(count), predicate_type, Map::new());
        assert_eq!(new(0, "t"), Err(StatementError::SubjectCount(0)));
        assert!(new(1024, &"t".repeat(256)).is_ok());
        assert_eq!(new(1025, "t"), Err(StatementError::SubjectCount(1025)));
        assert!(matches!(new(1, &"t".repeat(257)), Err(StatementError::PredicateType(_))));
        let mut subject = Subject::new("a", Hash::default());
        subject.other_digests = (0..31).map(|i| (format!("a{i}"), "00".to_owned())).collect();
        assert!(Statement::new(vec![subject.clone()], "t", Map::new()).is_ok());
        subject.other_digests.insert("b".to_owned(), "00".to_owned());
        let error = Statement::new(vec![subject], "t", Map::new());
        assert_eq!(error, Err(StatementError::DigestCount { at: 0, count: 33 }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            names in prop::collection::vec("[^\\p{Cc}]{1,20}", 1..5),
            others in prop::collection::btree_map("[a-z][a-z0-9-]{0,5}", "([0-9a-f]{2}){1,8}", 0..3),
            predicate_type in "[^\\p{Cc}]{1,40}",
            text in ".{0,20}",
            number: i64,
            float in any::<f64>().prop_filter("JSON has no other", |f| f.is_finite()),
        ) {
            let subject = |name: &String| Subject {
                other_digests: others.clone(),
                ..Subject::new(name, Hash::of(name.as_bytes()))
            };
            let predicate = Map::from_iter([
                ("text".to_owned(), Value::from(text)),
                ("number".to_owned(), Value::from(vec![Value::from(number), Value::from(float)])),
            ]);
            let statement = Statement::new(names.iter().map(subject).collect(), predicate_type, predicate);
            let statement = statement.expect("within the rules");
            let payload = statement.to_payload();
            let read = Statement::parse(&payload).expect("what was written");
            prop_assert_eq!(&read.subjects, &statement.subjects);
            prop_assert_eq!(read.predicate_type(), statement.predicate_type());
            prop_assert_eq!(&read.predicate()["text"], &statement.predicate()["text"]);
            // Not the float: reading may move its last bit. What is signed are the bytes.
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Statement::parse(&bytes);
        }
    }
}
