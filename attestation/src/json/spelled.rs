//! Texts that have one spelling (JCS, RFC 8785), written and read piece by piece.
//!
//! Reading is comparing: an error says at which byte what should stand, and nobody writes a text again to see whether it was
//! canonical. Only free texts are left to a JSON library.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::Hash;
use tlog::encoding::{decode_base64_array, parse_decimal};

use super::JsonError;
use crate::did::{Did, DidError};
use crate::logged::LogTime;

/// Writes a text.
pub(crate) struct Writer(pub(crate) String);

impl Writer {
    pub(crate) fn piece(&mut self, piece: &str) {
        self.0.push_str(piece);
    }

    /// A text that needs no escapes.
    pub(crate) fn quoted(&mut self, text: &str) {
        self.0.extend(["\"", text, "\""]);
    }

    /// A text as JCS spells it, which is how serde_json does.
    pub(crate) fn text(&mut self, text: &str) {
        self.0.push_str(&json_string(text));
    }

    pub(crate) fn base64(&mut self, bytes: &[u8]) {
        self.0.push('"');
        STANDARD.encode_string(bytes, &mut self.0);
        self.0.push('"');
    }

    pub(crate) fn hex(&mut self, hash: Hash) {
        let mut digits = [0; 2 * Hash::BYTES];
        hex::encode_to_slice(hash.as_bytes(), &mut digits).expect("two digits a byte");
        self.quoted(std::str::from_utf8(&digits).expect("hex digits are ASCII"));
    }

    /// Values, and the bracket behind them.
    pub(crate) fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (at, value) in values.iter().enumerate() {
            self.piece(if at == 0 { "" } else { "," });
            write(self, value);
        }
        self.piece("]");
    }
}

/// Reads a text from its start.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|e| JsonError::Utf8 { at: e.valid_up_to() })?;
        Ok(Self { text, at: 0 })
    }

    /// How many bytes have been read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Whether `piece` comes next, which is then read.
    pub(crate) fn has(&mut self, piece: &str) -> bool {
        let has = self.rest().starts_with(piece);
        if has {
            self.at += piece.len();
        }
        has
    }

    pub(crate) fn piece(&mut self, want: &'static str) -> Result<(), SpellingError> {
        if self.has(want) {
            return Ok(());
        }
        let same = self.rest().bytes().zip(want.bytes()).take_while(|(got, want)| got == want).count();
        Err(SpellingError::NotCanonical { at: self.at + same, want: &want[same..] })
    }

    pub(crate) fn end(&self) -> Result<(), SpellingError> {
        let want = "the end";
        if self.rest().is_empty() { Ok(()) } else { Err(SpellingError::NotCanonical { at: self.at, want }) }
    }

    /// What stands between two quotation marks, as it is.
    pub(crate) fn quoted(&mut self) -> Result<&'a str, SpellingError> {
        self.piece("\"")?;
        let (quoted, _) = self
            .rest()
            .split_once('"')
            .ok_or(SpellingError::NotCanonical { at: self.text.len(), want: "\"" })?;
        self.at += quoted.len() + 1;
        Ok(quoted)
    }

    /// A text in its one spelling.
    pub(crate) fn text(&mut self, member: &'static str) -> Result<String, SpellingError> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        let text = values.next().and_then(Result::ok).unwrap_or_default();
        let spelled = &self.rest()[..values.byte_offset()];
        self.at += spelled.len();
        let bad = SpellingError::Value { member, want: "a text in its shortest spelling" };
        if spelled == json_string(&text) { Ok(text) } else { Err(bad) }
    }

    /// A whole number up to 2^53 - 1, the largest that every reader reads as it is written.
    pub(crate) fn number(&mut self, member: &'static str) -> Result<u64, SpellingError> {
        let digits = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        let number =
            parse_decimal(&self.rest()[..digits]).filter(|number| *number <= LogTime::MAX.as_millis());
        self.at += digits;
        number.ok_or(SpellingError::Value { member, want: "a plain decimal up to 2^53 - 1" })
    }

    pub(crate) fn time(&mut self, member: &'static str) -> Result<LogTime, SpellingError> {
        let millis = self.number(member)?;
        Ok(LogTime::from_millis(millis).expect("a number is read up to the last time"))
    }

    pub(crate) fn did(&mut self) -> Result<Did, SpellingError> {
        Ok(self.quoted()?.parse()?)
    }

    pub(crate) fn base64<const N: usize>(
        &mut self,
        member: &'static str,
        want: &'static str,
    ) -> Result<[u8; N], SpellingError> {
        decode_base64_array(self.quoted()?).ok_or(SpellingError::Value { member, want })
    }

    pub(crate) fn hex(&mut self, member: &'static str) -> Result<Hash, SpellingError> {
        let bad = SpellingError::Value { member, want: "64 lower-case hex digits" };
        Hash::from_hex(self.quoted()?).ok_or(bad)
    }

    /// Values up to the bracket behind them, each read by `read`.
    pub(crate) fn list<T, E: From<SpellingError>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let mut values = Vec::new();
        while !self.has("]") {
            if !values.is_empty() {
                self.piece(",")?;
            }
            values.push(read(self)?);
        }
        Ok(values)
    }
}

/// Where a text leaves its one spelling.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpellingError {
    /// No DID where one stands.
    #[error(transparent)]
    Did(#[from] DidError),
    /// Another text than the one that stands there.
    #[error("not canonical: at byte {at} should stand `{want}`")]
    NotCanonical {
        /// Where, from 0.
        at: usize,
        /// What should stand there.
        want: &'static str,
    },
    /// A member with a value that it cannot have.
    #[error("`{member}` is not {want}")]
    Value {
        /// The member.
        member: &'static str,
        /// What it should be.
        want: &'static str,
    },
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
