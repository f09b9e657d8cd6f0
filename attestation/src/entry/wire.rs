//! The bytes of a `dsse` entry, written and read piece by piece.
//!
//! There is one spelling, so reading is comparing: an error says at which byte what should stand, and a
//! server that reads tens of thousands of entries a second does not write each again to see whether it was
//! canonical. Only the two free texts are left to a JSON library.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tlog::Hash;
use tlog::encoding::{decode_base64, decode_base64_array, parse_decimal};
use tlog::key::ED25519_SIGNATURE_BYTES;

use super::{
    Claim, DSSE_HEAD, EntryError, Listing, LogTime, MAX_LEAF_BYTES, MAX_PENDING_LEAF_BYTES, PendingEntry,
    parse_other,
};
use crate::did::{Did, pem_of_raw, raw_from_pem};
use crate::json::JsonError;

// Between them stand the values. Members are in alphabetical order: this is JCS.
const HEAD: &str = r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{"aip":{"did":"#;
const LOGGED_AT: &str = r#","loggedAt":"#;
const ORIGIN: &str = r#","origin":"#;
const PREDICATE_TYPE: &str = r#","predicateType":"#;
const CLAIM_SIGNATURE: &str = r#","signature":"#;
const SUBJECTS: &str = r#","subjects":["#;
const SUBJECTS_END: &str = "]";
const ENVELOPE_HASH: &str = r#"},"envelopeHash":{"algorithm":"sha256","value":"#;
const PAYLOAD_HASH: &str = r#"},"payloadHash":{"algorithm":"sha256","value":"#;
const SIGNATURE: &str = r#"},"signatures":[{"signature":"#;
const VERIFIER: &str = r#","verifier":"#;
const TAIL: &str = "}]}}";

/// The entry of `claim`: a claim, a pending leaf or a leaf, by what is given.
pub(super) fn encode(
    claim: &Claim,
    logged_at: Option<LogTime>,
    signature: Option<&[u8; ED25519_SIGNATURE_BYTES]>,
) -> Vec<u8> {
    let listing = claim.listing.as_ref();
    let subjects = listing.map_or(0, |listing| listing.subjects.len());
    let mut out = Writer(String::with_capacity(1024 + 48 * subjects));
    out.piece(HEAD);
    out.quoted(&claim.did.to_string());
    if let Some(time) = logged_at {
        out.piece(LOGGED_AT);
        out.piece(&time.0.to_string());
    }
    out.piece(ORIGIN);
    out.text(&claim.origin);
    if let Some(listing) = listing {
        out.piece(PREDICATE_TYPE);
        out.text(&listing.predicate_type);
    }
    if let Some(signature) = signature {
        out.piece(CLAIM_SIGNATURE);
        out.base64(signature);
    }
    if let Some(listing) = listing {
        out.piece(SUBJECTS);
        for (at, digest) in listing.subjects.iter().enumerate() {
            out.piece(if at == 0 { "" } else { "," });
            out.base64(digest.as_bytes());
        }
        out.piece(SUBJECTS_END);
    }
    out.piece(ENVELOPE_HASH);
    out.hex(claim.envelope_hash);
    out.piece(PAYLOAD_HASH);
    out.hex(claim.payload_hash);
    out.piece(SIGNATURE);
    out.base64(&claim.envelope_signature);
    out.piece(VERIFIER);
    out.base64(pem_of_raw(&claim.verifier).as_bytes());
    out.piece(TAIL);
    out.0.into_bytes()
}

/// The entry in a pending leaf or a leaf, and the leaf's time.
pub(super) fn decode(bytes: &[u8]) -> Result<(PendingEntry, Option<LogTime>), EntryError> {
    if bytes.len() > MAX_LEAF_BYTES {
        return Err(EntryError::TooLong(bytes.len()));
    }
    if !bytes.starts_with(DSSE_HEAD.as_bytes()) {
        let (kind, version) = parse_other(bytes)?;
        return Err(EntryError::Kind { kind, version });
    }
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::Utf8 { at: e.valid_up_to() })?;
    let mut reader = Reader { text, at: 0 };
    reader.piece(HEAD)?;
    let did: Did = reader.quoted()?.parse()?;
    let before = reader.at;
    let logged_at = if reader.has(LOGGED_AT) { Some(reader.time()?) } else { None };
    let time_bytes = reader.at - before;
    reader.piece(ORIGIN)?;
    let origin = reader.text("spec.aip.origin")?;
    let predicate_type =
        if reader.has(PREDICATE_TYPE) { Some(reader.text("spec.aip.predicateType")?) } else { None };
    let signature =
        if reader.has(CLAIM_SIGNATURE) { Some(reader.base64("spec.aip.signature")?) } else { None };
    let subjects = if reader.has(SUBJECTS) { Some(reader.subjects()?) } else { None };
    reader.piece(ENVELOPE_HASH)?;
    let envelope_hash = reader.hex("spec.envelopeHash.value")?;
    reader.piece(PAYLOAD_HASH)?;
    let payload_hash = reader.hex("spec.payloadHash.value")?;
    reader.piece(SIGNATURE)?;
    let envelope_signature = reader.base64("spec.signatures[0].signature")?;
    reader.piece(VERIFIER)?;
    let verifier = reader.pem("spec.signatures[0].verifier")?;
    reader.piece(TAIL)?;
    reader.end()?;

    let listing = match (predicate_type, subjects) {
        (None, None) => None,
        (Some(predicate_type), Some(subjects)) => Some(Listing { predicate_type, subjects }),
        _ => return Err(EntryError::Pair),
    };
    let claim = Claim { did, origin, listing, envelope_hash, payload_hash, envelope_signature, verifier };
    claim.check()?;
    let signature = signature.ok_or(EntryError::SignatureMissing)?;
    if bytes.len() - time_bytes > MAX_PENDING_LEAF_BYTES {
        return Err(EntryError::TooLong(bytes.len()));
    }
    Ok((PendingEntry { claim, signature }, logged_at))
}

struct Writer(String);

impl Writer {
    fn piece(&mut self, piece: &str) {
        self.0.push_str(piece);
    }

    /// A text that needs no escapes.
    fn quoted(&mut self, text: &str) {
        self.0.extend(["\"", text, "\""]);
    }

    /// A text as JCS spells it, which is how serde_json does.
    fn text(&mut self, text: &str) {
        self.0.push_str(&json_string(text));
    }

    fn base64(&mut self, bytes: &[u8]) {
        self.0.push('"');
        STANDARD.encode_string(bytes, &mut self.0);
        self.0.push('"');
    }

    fn hex(&mut self, hash: Hash) {
        let mut digits = [0; 2 * Hash::BYTES];
        hex::encode_to_slice(hash.as_bytes(), &mut digits).expect("two digits a byte");
        self.quoted(std::str::from_utf8(&digits).expect("hex digits are ASCII"));
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn has(&mut self, piece: &str) -> bool {
        let has = self.rest().starts_with(piece);
        if has {
            self.at += piece.len();
        }
        has
    }

    fn piece(&mut self, want: &'static str) -> Result<(), EntryError> {
        if self.has(want) {
            return Ok(());
        }
        let same = self.rest().bytes().zip(want.bytes()).take_while(|(got, want)| got == want).count();
        Err(EntryError::NotCanonical { at: self.at + same, want: &want[same..] })
    }

    fn end(&self) -> Result<(), EntryError> {
        let want = "the end";
        if self.rest().is_empty() { Ok(()) } else { Err(EntryError::NotCanonical { at: self.at, want }) }
    }

    /// What stands between two quotation marks, as it is.
    fn quoted(&mut self) -> Result<&'a str, EntryError> {
        self.piece("\"")?;
        let (quoted, _) = self
            .rest()
            .split_once('"')
            .ok_or(EntryError::NotCanonical { at: self.text.len(), want: "\"" })?;
        self.at += quoted.len() + 1;
        Ok(quoted)
    }

    /// A text in its one spelling.
    fn text(&mut self, member: &'static str) -> Result<String, EntryError> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        let text = values.next().and_then(Result::ok).unwrap_or_default();
        let spelled = &self.rest()[..values.byte_offset()];
        self.at += spelled.len();
        let bad = EntryError::Value { member, want: "a text in its shortest spelling" };
        if spelled == json_string(&text) { Ok(text) } else { Err(bad) }
    }

    fn time(&mut self) -> Result<LogTime, EntryError> {
        let digits = self.rest().find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest().len());
        let time = parse_decimal(&self.rest()[..digits]).and_then(LogTime::from_millis);
        self.at += digits;
        time.ok_or(EntryError::Value { member: "spec.aip.loggedAt", want: "a plain decimal up to 2^53 - 1" })
    }

    fn subjects(&mut self) -> Result<Vec<Hash>, EntryError> {
        let mut subjects = Vec::new();
        while !self.has(SUBJECTS_END) {
            if !subjects.is_empty() {
                self.piece(",")?;
            }
            let member = "spec.aip.subjects";
            let digest = decode_base64_array(self.quoted()?);
            let bad = EntryError::Value { member, want: "of 32 bytes each in canonical base64" };
            subjects.push(Hash::new(digest.ok_or(bad)?));
        }
        Ok(subjects)
    }

    fn base64(&mut self, member: &'static str) -> Result<[u8; ED25519_SIGNATURE_BYTES], EntryError> {
        let bad = EntryError::Value { member, want: "64 bytes in canonical base64" };
        decode_base64_array(self.quoted()?).ok_or(bad)
    }

    fn hex(&mut self, member: &'static str) -> Result<Hash, EntryError> {
        let bad = EntryError::Value { member, want: "64 lower-case hex digits" };
        Hash::from_hex(self.quoted()?).ok_or(bad)
    }

    fn pem(&mut self, member: &'static str) -> Result<[u8; 32], EntryError> {
        let bad = EntryError::Value { member, want: "the base64 of an Ed25519 key's PEM" };
        let pem = decode_base64(self.quoted()?).and_then(|pem| String::from_utf8(pem).ok());
        pem.and_then(|pem| raw_from_pem(&pem)).ok_or(bad)
    }
}

fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}
