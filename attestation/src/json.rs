//! JSON with one meaning (RFC 8259, stricter): what one reader sees, every reader sees.
//!
//! In scope: UTF-8 without a byte order mark, no member twice in an object, bounded depth, nothing behind
//! the value; and reading an object whose members are fixed. Out of scope: what the members mean.

pub(crate) mod canonical;
mod exact;
pub(crate) mod spelled;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::quote::{printable, quoted};

/// How deep arrays and objects may be nested: no real predicate comes near it, and no reader's stack
/// suffers from it.
pub const MAX_DEPTH: usize = 64;

/// Reads a JSON value, such as the predicate that a user hands over.
///
/// Numbers are 64-bit integers or IEEE doubles; one that is neither (`1e400`) is refused.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_to_depth(bytes, MAX_DEPTH)
}

/// As [`parse`], for a text that is about to be signed. It also refuses numbers that some readers would round, so that
/// nobody signs what he did not write: integers beyond 2^53 - 1, and decimals with more digits than a double keeps.
pub fn parse_exact(bytes: &[u8]) -> Result<Value, JsonError> {
    Ok(serde_json::from_str(check_exact(bytes)?)?)
}

/// The text, if [`parse_exact`] would read it. Builds no value, which would take several times the length of the text.
pub(crate) fn check_exact(bytes: &[u8]) -> Result<&str, JsonError> {
    let text = check(bytes, MAX_DEPTH)?;
    exact::check(text)?;
    Ok(text)
}

/// A JSON string in ASCII, as Python's `json.dumps` writes it: `\u` and lower-case hex for every character outside
/// 0x20–0x7E, surrogate pairs beyond U+FFFF.
pub fn ascii(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            ' '..='~' => json.push(c),
            c => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| json.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    json.push('"');
    json
}

/// As [`parse`], with another limit of depth.
pub(crate) fn parse_to_depth(bytes: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    Ok(serde_json::from_str(check(bytes, max_depth)?)?)
}

/// The text of a JSON value that keeps the rules, without the value.
pub(crate) fn check(bytes: &[u8], max_depth: usize) -> Result<&str, JsonError> {
    if bytes.starts_with(BYTE_ORDER_MARK) {
        return Err(JsonError::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::Utf8 { at: e.valid_up_to() })?;
    let broken = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let checked = Strict { room: max_depth, broken: &broken }.deserialize(&mut reader);
    let checked = checked.and_then(|()| reader.end());
    checked.map_err(|e| match broken.take() {
        Some(Rule::Duplicate(name)) => JsonError::Duplicate { name, line: e.line(), column: e.column() },
        Some(Rule::Depth) => JsonError::Depth { max_depth, line: e.line(), column: e.column() },
        None => e.into(),
    })?;
    Ok(text)
}

/// An object whose members are fixed: each is taken by name, and [`Object::finish`] refuses what is left.
pub(crate) struct Object {
    path: String,
    members: Map<String, Value>,
}

impl Object {
    /// Reads a whole text as an object.
    pub(crate) fn parse(bytes: &[u8], max_depth: usize) -> Result<Self, JsonError> {
        Self::new(String::new(), parse_to_depth(bytes, max_depth)?)
    }

    /// Reads a checked text as an object. The member `raw`, if it is there, is not built: its text comes back.
    pub(crate) fn parse_but<'t>(text: &'t str, raw: &str) -> Result<(Self, Option<&'t str>), JsonError> {
        if !text.trim_ascii().starts_with('{') {
            return Err(JsonError::Type { member: String::new(), want: "an object" });
        }
        let mut texts: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
        let raw = texts.remove(raw).map(RawValue::get);
        let member = |(name, text): (String, &RawValue)| Ok((name, serde_json::from_str(text.get())?));
        let members = texts.into_iter().map(member).collect::<Result<_, JsonError>>()?;
        Ok((Self { path: String::new(), members }, raw))
    }

    /// `value`, found at `path`, as an object.
    pub(crate) fn new(path: String, value: Value) -> Result<Self, JsonError> {
        match value {
            Value::Object(members) => Ok(Self { path, members }),
            _ => Err(JsonError::Type { member: path, want: "an object" }),
        }
    }

    /// The member `name`.
    pub(crate) fn take(&mut self, name: &str) -> Result<Value, JsonError> {
        self.members.remove(name).ok_or_else(|| JsonError::Missing { member: self.path_of(name) })
    }

    /// Whether the member `name` is there and nobody took it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether no member is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The member `name`, a string.
    pub(crate) fn string(&mut self, name: &str) -> Result<String, JsonError> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => Err(JsonError::Type { member: self.path_of(name), want: "a string" }),
        }
    }

    /// The member `name`, a string, if it is there.
    pub(crate) fn optional_string(&mut self, name: &str) -> Result<Option<String>, JsonError> {
        if self.has(name) { self.string(name).map(Some) } else { Ok(None) }
    }

    /// The member `name`, an integer from 0 to 2^64 - 1.
    pub(crate) fn integer(&mut self, name: &str) -> Result<u64, JsonError> {
        let value = self.take(name)?;
        value
            .as_u64()
            .ok_or_else(|| JsonError::Type { member: self.path_of(name), want: "an integer from 0" })
    }

    /// The member `name`, an array of strings.
    pub(crate) fn strings(&mut self, name: &str) -> Result<Vec<String>, JsonError> {
        let wrong = JsonError::Type { member: self.path_of(name), want: "an array of strings" };
        let Value::Array(values) = self.take(name)? else { return Err(wrong) };
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        values.into_iter().map(text).collect::<Option<_>>().ok_or(wrong)
    }

    /// The member `name`, an object, if it is there.
    pub(crate) fn optional_object(&mut self, name: &str) -> Result<Option<Self>, JsonError> {
        if self.has(name) { self.object(name).map(Some) } else { Ok(None) }
    }

    /// The member `name`, an object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Self, JsonError> {
        let value = self.take(name)?;
        Self::new(self.path_of(name), value)
    }

    /// The member `name`, an array of objects.
    pub(crate) fn objects(&mut self, name: &str) -> Result<Vec<Self>, JsonError> {
        let path = self.path_of(name);
        let Value::Array(values) = self.take(name)? else {
            return Err(JsonError::Type { member: path, want: "an array" });
        };
        values.into_iter().zip(0..).map(|(value, i)| Self::new(format!("{path}[{i}]"), value)).collect()
    }

    /// The member `name`, an array of objects, if it is there.
    pub(crate) fn optional_objects(&mut self, name: &str) -> Result<Option<Vec<Self>>, JsonError> {
        if self.has(name) { self.objects(name).map(Some) } else { Ok(None) }
    }

    /// All members that are left.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.members
    }

    /// Refuses members that nobody took.
    pub(crate) fn finish(self) -> Result<(), JsonError> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(JsonError::Unknown { member: self.path_of(&printable(name)) }),
        }
    }

    /// Where a member stands, for errors: `subject[0].digest.sha256`.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Why a text is not the JSON that was asked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// U+FEFF at the start.
    #[error("the text begins with a byte order mark")]
    ByteOrderMark,
    /// Nested too deep.
    #[error("nested deeper than {max_depth} at line {line} column {column}")]
    Depth {
        /// The limit.
        max_depth: usize,
        /// The line where reading stopped, from 1.
        line: usize,
        /// The byte of the line where reading stopped, from 1.
        column: usize,
    },
    /// One name twice in an object.
    #[error("member {name} stands twice in its object at line {line} column {column}")]
    Duplicate {
        /// The name, quoted.
        name: String,
        /// The line where reading stopped, from 1.
        line: usize,
        /// The byte of the line where reading stopped, from 1.
        column: usize,
    },
    /// A member that must be there is not.
    #[error("member `{member}` is missing")]
    Missing {
        /// The path of the member.
        member: String,
    },
    /// A number that a reader may round.
    #[error("the number {number} at `{pointer}` would be rounded: it has more digits than a double keeps")]
    Number {
        /// The number, or its first digits.
        number: String,
        /// Its place, a JSON pointer (RFC 6901).
        pointer: String,
    },
    /// Not JSON. Says where.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// A member of another type.
    #[error("{} is not {want}", if member.is_empty() { "the text".to_owned() } else { format!("member `{member}`") })]
    Type {
        /// The path of the member; empty for the whole text.
        member: String,
        /// What it should be.
        want: &'static str,
    },
    /// A member that the format does not have.
    #[error("unknown member `{member}`")]
    Unknown {
        /// The path of the member.
        member: String,
    },
    /// Not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    Utf8 {
        /// Where, from 0.
        at: usize,
    },
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Syntax(printable(&error.to_string()))
    }
}

/// Reads a value without keeping it, and notes the rule that the text breaks; the library's own error is only a sentence.
#[derive(Clone, Copy)]
struct Strict<'a> {
    room: usize,
    broken: &'a Cell<Option<Rule>>,
}

enum Rule {
    Depth,
    Duplicate(String),
}

impl Strict<'_> {
    fn breaks<T, E: de::Error>(self, rule: Rule) -> Result<T, E> {
        self.broken.set(Some(rule));
        Err(E::custom("a rule of strict JSON is broken"))
    }

    /// The rules for what is inside an array or object.
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        match self.room.checked_sub(1) {
            Some(room) => Ok(Self { room, ..self }),
            None => self.breaks(Rule::Depth),
        }
    }
}

/// A member's name, borrowed from the text unless it has escapes.
#[derive(Deserialize, Eq, Ord, PartialEq, PartialOrd)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        while seq.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inside = self.inside()?;
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if names.contains(&name) {
                return self.breaks(Rule::Duplicate(quoted(&name.0)));
            }
            names.insert(name);
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_kept() {
        for text in [
            "null",
            r#"{"a":[1,-1,18446744073709551615,-9223372036854775808,9.8,true,false,null,"é\u0000😀"]}"#,
            // One letter composed and decomposed: two names.
            "{\"\u{e9}\":1,\"e\u{301}\":2}",
            "{}",
            "[]",
            "\"\"",
        ] {
            let value: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(parse(b" {\n\t\"a\" : 1 } \r\n"), Ok(json!({"a": 1})));
    }

    /// S11: each kind of hostile JSON, by the rule it breaks.
    #[test]
    fn s11_hostile_json_is_refused_by_rule() {
        let deep = "[".repeat(100_000);
        let deep_objects = "{\"a\":".repeat(100_000);
        for (name, text, rule) in [
            ("empty", b"".as_slice(), "not JSON"),
            ("byte order mark", b"\xef\xbb\xbf{}", "byte order mark"),
            ("UTF-16", b"\xff\xfe{\0}\0", "invalid UTF-8 at byte 0"),
            ("invalid UTF-8 in a string", b"{\"a\":\"\xff\"}", "invalid UTF-8 at byte 6"),
            ("overlong UTF-8", b"\"\xc0\x80\"", "invalid UTF-8 at byte 1"),
            ("UTF-8 of a surrogate", b"\"\xed\xa0\x80\"", "invalid UTF-8 at byte 1"),
            (
                "duplicate",
                br#"{"a":1,"a":1}"#,
                r#"member "a" stands twice in its object at line 1 column 10"#,
            ),
            ("duplicate by escape", br#"{"a":1,"\u0061":2}"#, r#"member "a" stands twice"#),
            ("duplicate inside", br#"{"x":[{"y":{"a":1,"a":2}}]}"#, r#"member "a" stands twice"#),
            ("duplicate with control", b"{\"\\u001b\":1,\"\\u001b\":1}", r#"member "\u{1b}" stands twice"#),
            ("deep arrays", deep.as_bytes(), "nested deeper than 64 at line 1"),
            ("deep objects", deep_objects.as_bytes(), "nested deeper than 64"),
            ("huge number", b"1e400", "number out of range"),
            ("huge negative number", b"-1e400", "number out of range"),
            ("NaN", b"NaN", "not JSON"),
            ("infinity", b"Infinity", "not JSON"),
            ("leading zero", b"01", "invalid number"),
            ("plus", b"+1", "not JSON"),
            ("hexadecimal", b"0x1", "not JSON"),
            ("lone leading surrogate", br#""\ud800""#, "not JSON"),
            ("lone trailing surrogate", br#""\udc00""#, "not JSON"),
            ("surrogates reversed", br#""\udc00\ud800""#, "not JSON"),
            ("raw NUL in a string", b"\"\0\"", "control character"),
            ("raw newline in a string", b"\"\n\"", "control character"),
            ("NUL behind", b"{}\0", "trailing characters"),
            ("second value", b"{}{}", "trailing characters"),
            ("trailing comma", b"[1,]", "trailing comma"),
            ("comment", b"{}//", "trailing characters"),
            ("single quotes", b"{'a':1}", "not JSON"),
            ("unclosed", b"{\"a\":1", "not JSON"),
            ("form feed as space", b"\x0c{}", "not JSON"),
        ] {
            let error = parse(text).expect_err(name).to_string();
            assert!(error.contains(rule), "{name}: {error}");
            assert!(!error.contains(char::is_control), "{name}: {error:?}");
        }
    }

    #[test]
    fn depth_is_allowed_up_to_the_limit() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        let error = parse(nested(MAX_DEPTH + 1).as_bytes());
        assert!(matches!(error, Err(JsonError::Depth { max_depth: 64, line: 1, .. })));
        assert!(parse_to_depth(nested(MAX_DEPTH + 1).as_bytes(), MAX_DEPTH + 1).is_ok());
    }

    #[test]
    fn objects_name_the_member_that_is_wrong() {
        let read = |text: &str| -> Result<(), JsonError> {
            let mut object = Object::parse(text.as_bytes(), MAX_DEPTH)?;
            let mut inner = object.object("a")?;
            inner.string("b")?;
            inner.finish()?;
            for item in object.objects("c")? {
                item.finish()?;
            }
            object.optional_string("d")?;
            object.finish()
        };
        for (text, want) in [
            (r#"{"a":{"b":""},"c":[]}"#, "ok"),
            (r#"{"a":{"b":""},"c":[],"d":""}"#, "ok"),
            ("[]", "the text is not an object"),
            ("{}", "member `a` is missing"),
            (r#"{"a":{}}"#, "member `a.b` is missing"),
            (r#"{"a":[{"b":""}]}"#, "member `a` is not an object"),
            (r#"{"a":{"b":1}}"#, "member `a.b` is not a string"),
            (r#"{"a":{"b":"","x":1}}"#, "unknown member `a.x`"),
            (r#"{"a":{"b":""},"c":{}}"#, "member `c` is not an array"),
            (r#"{"a":{"b":""},"c":[{},1]}"#, "member `c[1]` is not an object"),
            (r#"{"a":{"b":""},"c":[],"d":null}"#, "member `d` is not a string"),
            (r#"{"a":{"b":""},"c":[],"\u001b[2J":0}"#, r"unknown member `\u{1b}[2J`"),
        ] {
            let got = read(text).map_or_else(|e| e.to_string(), |()| "ok".to_owned());
            assert_eq!(got, want, "{text}");
        }
    }
}
