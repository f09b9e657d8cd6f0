//! The bytes of an `aip-event` entry.

use serde::Serialize;
use tlog::encoding;

use super::{EventError, MAX_SIGNATURES, PendingEvent, Signature, check_signers, payload};
use crate::did::Did;
use crate::dsse::PAYLOAD_TYPE;
use crate::json::{MAX_DEPTH, Object};
use crate::logged::{LogTime, MAX_LEAF_BYTES, MAX_PENDING_LEAF_BYTES};
use crate::quote::quoted;

/// How every entry of this kind begins.
pub(crate) const HEAD: &str = r#"{"apiVersion":"1","kind":"aip-event","#;

/// The pending leaf, or the leaf, of an event. Members are in alphabetical order and nothing in them needs
/// another escape than serde_json's: this is JCS.
pub(super) fn encode(event: &PendingEvent, logged_at: Option<LogTime>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        api_version: &'static str,
        kind: &'static str,
        spec: Spec<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spec<'a> {
        did: String,
        envelope: Envelope,
        keys: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        logged_at: Option<u64>,
        origin: &'a str,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        payload: String,
        payload_type: &'static str,
        signatures: Vec<Sig>,
    }
    #[derive(Serialize)]
    struct Sig {
        sig: String,
    }
    let sig = |signature: &Signature| Sig { sig: encoding::base64(&signature.signature) };
    let entry = Entry {
        api_version: "1",
        kind: "aip-event",
        spec: Spec {
            did: event.event.issuer.to_string(),
            envelope: Envelope {
                payload: encoding::base64(&event.payload),
                payload_type: PAYLOAD_TYPE,
                signatures: event.signatures.iter().map(sig).collect(),
            },
            keys: event.signatures.iter().map(|signature| encoding::base64(&signature.key)).collect(),
            logged_at: logged_at.map(LogTime::as_millis),
            origin: &event.event.origin,
        },
    };
    serde_json::to_vec(&entry).expect("strings and a number are JSON")
}

/// The event in a pending leaf or a leaf, and the leaf's time.
pub(super) fn decode(bytes: &[u8]) -> Result<(PendingEvent, Option<LogTime>), EventError> {
    if bytes.len() > MAX_LEAF_BYTES {
        return Err(EventError::TooLong(bytes.len()));
    }
    let mut entry = Object::parse(bytes, MAX_DEPTH)?;
    let version = entry.string("apiVersion")?;
    let kind = entry.string("kind")?;
    if (kind.as_str(), version.as_str()) != ("aip-event", "1") {
        return Err(EventError::Kind { kind: quoted(&kind), version: quoted(&version) });
    }
    let mut spec = entry.object("spec")?;
    entry.finish()?;
    let bad_did = EventError::Value { member: "did", want: "a did:aip" };
    let did: Did = spec.string("did")?.parse().map_err(|_| bad_did)?;
    let mut envelope = spec.object("envelope")?;
    let keys = spec.strings("keys")?;
    let logged_at = if spec.has("loggedAt") { Some(spec.integer("loggedAt")?) } else { None };
    let origin = spec.string("origin")?;
    spec.finish()?;
    let text = envelope.string("payload")?;
    let payload_type = envelope.string("payloadType")?;
    let sigs = envelope.objects("signatures")?;
    envelope.finish()?;
    if payload_type != PAYLOAD_TYPE {
        return Err(EventError::Value { member: "envelope.payloadType", want: PAYLOAD_TYPE });
    }
    let count = sigs.len();
    if !(1..=MAX_SIGNATURES).contains(&count) || keys.len() != count {
        return Err(EventError::SignatureCount(count.max(keys.len())));
    }
    let mut signatures = Vec::with_capacity(count);
    for (mut sig, key) in sigs.into_iter().zip(keys) {
        let signature = encoding::decode_base64_array(&sig.string("sig")?);
        sig.finish()?;
        let bad_sig =
            EventError::Value { member: "envelope.signatures", want: "of 64 bytes each in canonical base64" };
        let bad_key = EventError::Value { member: "keys", want: "of 32 bytes each in canonical base64" };
        let key = encoding::decode_base64_array(&key).ok_or(bad_key)?;
        signatures.push(Signature { key, signature: signature.ok_or(bad_sig)? });
    }
    let time = |millis| {
        let bad = EventError::Value { member: "loggedAt", want: "a time up to 2^53 - 1 ms" };
        LogTime::from_millis(millis).ok_or(bad)
    };
    let logged_at = logged_at.map(time).transpose()?;
    let bad_payload = EventError::Value { member: "envelope.payload", want: "canonical base64" };
    let payload = encoding::decode_base64(&text).ok_or(bad_payload)?;
    let event = payload::decode(&payload)?;
    check_signers(&event, count)?;
    if event.issuer != did {
        return Err(EventError::Differs { member: "issuer" });
    }
    if event.origin != origin {
        return Err(EventError::Differs { member: "origin" });
    }
    let pending = PendingEvent { event, payload, signatures };
    let pending_bytes = encode(&pending, None).len();
    if pending_bytes > MAX_PENDING_LEAF_BYTES {
        return Err(EventError::TooLong(pending_bytes));
    }
    // Whatever order or white space the members had: there is one spelling.
    if encode(&pending, logged_at) != bytes {
        Err(EventError::NotCanonical("entry"))
    } else {
        Ok((pending, logged_at))
    }
}
