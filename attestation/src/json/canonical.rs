//! The one text of a JSON value: members sorted by their names' bytes, no white space, numbers and strings as
//! `serde_json` writes them.
//!
//! It is made from text to text, since a tree of values would take several times the length of the text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Name;

/// Appends the canonical text of `text`, which [`super::check`] has checked.
pub(crate) fn write(text: &str, out: &mut Vec<u8>) {
    let text = text.trim_ascii();
    match text.as_bytes().first() {
        Some(b'{' | b'[') => {
            let mut reader = serde_json::Deserializer::from_str(text);
            Parts(out).deserialize(&mut reader).expect("a text that was checked is JSON");
        }
        // Without a backslash there is nothing that could be written otherwise.
        Some(b'"') if text.contains('\\') => {
            let string: String = serde_json::from_str(text).expect("a text that was checked is JSON");
            serde_json::to_writer(out, &string).expect("a string is JSON, and memory takes it");
        }
        Some(b'-' | b'0'..=b'9') => {
            let number: serde_json::Number =
                serde_json::from_str(text).expect("a text that was checked is JSON");
            out.extend(number.to_string().bytes());
        }
        _ => out.extend(text.bytes()),
    }
}

/// What an array or an object is made of.
struct Parts<'o>(&'o mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Parts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Parts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut before = b'[';
        while let Some(value) = seq.next_element::<&RawValue>()? {
            self.0.push(before);
            write(value.get(), self.0);
            before = b',';
        }
        self.0.extend(if before == b'[' { b"[]".as_slice() } else { b"]" });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut members: Vec<(Name<'de>, &RawValue)> = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let mut before = b'{';
        for (name, value) in members {
            self.0.push(before);
            serde_json::to_writer(&mut *self.0, &name.0).expect("a string is JSON, and memory takes it");
            self.0.push(b':');
            write(value.get(), self.0);
            before = b',';
        }
        self.0.extend(if before == b'{' { b"{}".as_slice() } else { b"}" });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(super::super::check(text.as_bytes(), 64).expect("JSON"), &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    /// A tree of the same text, written.
    fn by_tree(text: &str) -> String {
        serde_json::from_str::<Value>(text).expect("JSON").to_string()
    }

    #[test]
    fn the_text_is_the_one_that_a_tree_is_written_as() {
        for text in [
            "null",
            " true ",
            "[]",
            "{ }",
            "[ 1 , -0 , 1.50, 1E5, 1e-7, 5e-324, 18446744073709551615, -9223372036854775808 ]",
            r#""a\u00e9\/\n\"\\\ud83d\ude00é""#,
            r#"{"b":{"z":[{}, [] ],"a":""},"a\u0000":1,"a":2,"é":3,"\u00e8":4,"B":5}"#,
        ] {
            assert_eq!(written(text), by_tree(text), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_text_gives_the_text_of_its_tree(value in any_json(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(written(&text), by_tree(&text));
        }
    }
}
