//! The bytes of a `dsse` entry, written and read piece by piece.
//!
//! There is one spelling, so reading is comparing ([`Reader`]): a server that reads tens of thousands of entries a second does not
//! write each again to see whether it was canonical.

use tlog::Hash;
use tlog::encoding::decode_base64;
use tlog::key::ED25519_SIGNATURE_BYTES;

use super::{
    Claim, DSSE_HEAD, EntryError, Listing, LogTime, MAX_LEAF_BYTES, MAX_PENDING_LEAF_BYTES, PendingEntry,
    parse_other,
};
use crate::did::{pem_of_raw, raw_from_pem};
use crate::json::spelled::{Reader, SpellingError, Writer};

// Between them stand the values. Members are in alphabetical order: this is JCS.
const HEAD: &str = r#"{"apiVersion":"0.0.1","kind":"dsse","spec":{"aip":{"did":"#;
const LOGGED_AT: &str = r#","loggedAt":"#;
const ORIGIN: &str = r#","origin":"#;
const PREDICATE_TYPE: &str = r#","predicateType":"#;
const CLAIM_SIGNATURE: &str = r#","signature":"#;
const SUBJECTS: &str = r#","subjects":["#;
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
        out.piece(&time.as_millis().to_string());
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
        out.list(&listing.subjects, |out, digest| out.base64(digest.as_bytes()));
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
    let mut reader = Reader::new(bytes)?;
    reader.piece(HEAD)?;
    let did = reader.did()?;
    let before = reader.at();
    let logged_at = if reader.has(LOGGED_AT) { Some(reader.time("spec.aip.loggedAt")?) } else { None };
    let time_bytes = reader.at() - before;
    reader.piece(ORIGIN)?;
    let origin = reader.text("spec.aip.origin")?;
    let predicate_type =
        if reader.has(PREDICATE_TYPE) { Some(reader.text("spec.aip.predicateType")?) } else { None };
    let signature = if reader.has(CLAIM_SIGNATURE) {
        Some(reader.base64("spec.aip.signature", SIGNATURE_FORM)?)
    } else {
        None
    };
    let subjects = if reader.has(SUBJECTS) { Some(reader.list(subject)?) } else { None };
    reader.piece(ENVELOPE_HASH)?;
    let envelope_hash = reader.hex("spec.envelopeHash.value")?;
    reader.piece(PAYLOAD_HASH)?;
    let payload_hash = reader.hex("spec.payloadHash.value")?;
    reader.piece(SIGNATURE)?;
    let envelope_signature = reader.base64("spec.signatures[0].signature", SIGNATURE_FORM)?;
    reader.piece(VERIFIER)?;
    let verifier = pem(&mut reader)?;
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

fn subject(reader: &mut Reader<'_>) -> Result<Hash, SpellingError> {
    Ok(Hash::new(reader.base64("spec.aip.subjects", "of 32 bytes each in canonical base64")?))
}

fn pem(reader: &mut Reader<'_>) -> Result<[u8; 32], SpellingError> {
    let bad = SpellingError::Value {
        member: "spec.signatures[0].verifier",
        want: "the base64 of an Ed25519 key's PEM",
    };
    let pem = decode_base64(reader.quoted()?).and_then(|pem| String::from_utf8(pem).ok());
    pem.and_then(|pem| raw_from_pem(&pem)).ok_or(bad)
}

const SIGNATURE_FORM: &str = "64 bytes in canonical base64";
