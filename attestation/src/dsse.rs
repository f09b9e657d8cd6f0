//! DSSE envelopes: a payload, its type, and one signature over both (`specs/statement.md`).
//!
//! ```text
//! {"payload":"<base64>","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"<base64>"}]}
//!
//! signed      PAE = "DSSEv1" SP len(type) SP type SP len(payload) SP payload     lengths in decimal bytes
//! hash        SHA-256 of the envelope's JCS (RFC 8785), which is the line above
//! ```
//! Exactly these members, one signature, no `keyid`: stock cosign accepts nothing else of a managed key.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use tlog::Hash;
use tlog::encoding;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey};

use crate::json::{JsonError, MAX_DEPTH, Object};
use crate::quote::quoted;

/// The type of every payload here: an in-toto statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// DSSE's pre-authentication encoding: what is signed for a payload of this type.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// An envelope as it was read or signed. [`Envelope::verify`] gives out its payload once the signature is checked. A caller
/// that must look before that takes [`Envelope::unverified_payload`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Shared: a payload may be long, and a receipt is handed around.
    payload: Arc<[u8]>,
    signature: [u8; ED25519_SIGNATURE_BYTES],
}

impl Envelope {
    /// Signs `payload`, an in-toto statement.
    pub fn sign(key: &Ed25519PrivateKey, payload: Vec<u8>) -> Self {
        let signature = key.sign(&pae(PAYLOAD_TYPE, &payload));
        Self { payload: payload.into(), signature }
    }

    /// The envelope of a payload with a signature that nobody has checked.
    pub(crate) fn unverified(payload: Arc<[u8]>, signature: [u8; ED25519_SIGNATURE_BYTES]) -> Self {
        Self { payload, signature }
    }

    /// Reads an envelope. How long one may be is the caller's limit.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Self::from_json(Object::parse(bytes, MAX_DEPTH)?)
    }

    pub(crate) fn from_json(mut envelope: Object) -> Result<Self, EnvelopeError> {
        let payload = envelope.string("payload")?;
        let payload_type = envelope.string("payloadType")?;
        let signatures = envelope.objects("signatures")?;
        envelope.finish()?;
        if payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(quoted(&payload_type)));
        }
        let count = signatures.len();
        let Ok([mut signature]) = <[Object; 1]>::try_from(signatures) else {
            return Err(EnvelopeError::SignatureCount(count));
        };
        let sig = signature.string("sig")?;
        signature.finish()?;
        Ok(Self {
            payload: encoding::decode_base64(&payload).ok_or(EnvelopeError::PayloadEncoding)?.into(),
            signature: encoding::decode_base64_array(&sig).ok_or(EnvelopeError::SignatureEncoding)?,
        })
    }

    /// The envelope in its one canonical form (JCS).
    pub fn to_json(&self) -> String {
        let mut json = Vec::with_capacity(self.json_bytes());
        serde_json::to_writer(&mut json, self).expect("strings in, JSON out");
        String::from_utf8(json).expect("JSON is UTF-8")
    }

    /// How long the JSON is, or a little longer.
    pub(crate) fn json_bytes(&self) -> usize {
        self.payload.len().div_ceil(3) * 4 + 512
    }

    /// SHA-256 of the canonical form: an envelope's name, in entries and beside the log.
    pub fn hash(&self) -> Hash {
        Hash::of(self.to_json().as_bytes())
    }

    /// SHA-256 of the payload.
    pub fn payload_hash(&self) -> Hash {
        Hash::of(&self.payload)
    }

    /// The signature, unchecked.
    pub fn signature(&self) -> &[u8; ED25519_SIGNATURE_BYTES] {
        &self.signature
    }

    /// The payload, if `key` signed it.
    pub fn verify(&self, key: &Ed25519PublicKey) -> Result<&[u8], EnvelopeError> {
        if !key.verify(&pae(PAYLOAD_TYPE, &self.payload), &self.signature) {
            return Err(EnvelopeError::Signature);
        }
        Ok(&self.payload)
    }

    /// The payload, unverified: to show it as unchecked, or to read it on the way to a check.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Members in alphabetical order and without escapes: serde_json writes this as JCS.
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(serialize_with = "as_base64")]
            payload: &'a [u8],
            payload_type: &'static str,
            signatures: [Signature; 1],
        }
        #[derive(Serialize)]
        struct Signature {
            sig: String,
        }
        fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&encoding::base64_display(bytes))
        }
        let signatures = [Signature { sig: encoding::base64(&self.signature) }];
        Wire { payload: &self.payload, payload_type: PAYLOAD_TYPE, signatures }.serialize(serializer)
    }
}

/// Why an envelope was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not JSON, or not with these members.
    #[error("envelope: {0}")]
    Json(#[from] JsonError),
    /// `payload` is not strict base64.
    #[error("the envelope's `payload` is not canonical base64")]
    PayloadEncoding,
    /// Another payload type.
    #[error("the envelope's `payloadType` is {0}, not {PAYLOAD_TYPE:?}")]
    PayloadType(String),
    /// The signature is not of this key and payload.
    #[error("the envelope's signature is not by this key over this payload")]
    Signature,
    /// Not exactly one signature.
    #[error("the envelope has {0} signatures, not one")]
    SignatureCount(usize),
    /// `sig` is not 64 bytes in strict base64.
    #[error("the envelope's `sig` is not 64 bytes in canonical base64")]
    SignatureEncoding,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Ed25519PrivateKey {
        Ed25519PrivateKey::from_seed(&[7; 32])
    }

    #[test]
    fn lengths_in_the_pae_are_decimal_bytes() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae("é", "世".as_bytes()), "DSSEv1 2 é 3 世".as_bytes());
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn what_is_signed_is_read_and_verifies() {
        let envelope = Envelope::sign(&key(), b"{}".to_vec());
        let json = envelope.to_json();
        assert!(json.starts_with(
            r#"{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":""#
        ));
        assert_eq!(Envelope::parse(json.as_bytes()), Ok(envelope.clone()));
        assert_eq!(envelope.hash(), Hash::of(json.as_bytes()));
        assert_eq!(envelope.payload_hash(), Hash::of(b"{}"));
        assert_eq!(envelope.verify(&key().public_key()), Ok(b"{}".as_slice()));
        // Another order and white space are the same envelope.
        let spaced = json.replace('{', "{ ").replace(',', " ,\n");
        assert_eq!(Envelope::parse(spaced.as_bytes()), Ok(envelope));
    }

    #[test]
    fn other_keys_payloads_and_signatures_do_not_verify() {
        let envelope = Envelope::sign(&key(), b"{}".to_vec());
        let other = Ed25519PrivateKey::from_seed(&[8; 32]);
        assert_eq!(envelope.verify(&other.public_key()), Err(EnvelopeError::Signature));
        let payload = Envelope { payload: b"{ }".as_slice().into(), ..envelope.clone() };
        assert_eq!(payload.verify(&key().public_key()), Err(EnvelopeError::Signature));
        for byte in 0..ED25519_SIGNATURE_BYTES {
            let mut flipped = envelope.clone();
            flipped.signature[byte] ^= 1 << (byte % 8);
            assert_eq!(flipped.verify(&key().public_key()), Err(EnvelopeError::Signature), "byte {byte}");
        }
    }

    #[test]
    fn other_shapes_are_refused_by_rule() {
        let good = Envelope::sign(&key(), b"{}".to_vec()).to_json();
        let json = |text: &str| EnvelopeError::Json(JsonError::Unknown { member: text.to_owned() });
        for (from, to, want) in [
            (r#""e30=""#, r#""e30""#, EnvelopeError::PayloadEncoding),
            (r#""e30=""#, r#""e31=""#, EnvelopeError::PayloadEncoding),
            (r#""e30=""#, r#""e30=\n""#, EnvelopeError::PayloadEncoding),
            (r#""e30=""#, r#""_-8=""#, EnvelopeError::PayloadEncoding),
            (r#""sig":""#, r#""sig":"AAAA"#, EnvelopeError::SignatureEncoding),
            ("in-toto", "in-Toto", EnvelopeError::PayloadType(quoted("application/vnd.in-Toto+json"))),
            (r#"{"payload""#, r#"{"x":1,"payload""#, json("x")),
            (r#"{"sig""#, r#"{"keyid":"","sig""#, json("signatures[0].keyid")),
            (r#"[{"sig""#, r#"[{"sig":""},{"sig""#, EnvelopeError::SignatureCount(2)),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(Envelope::parse(bad.as_bytes()), Err(want), "{bad}");
        }
        let none = good.split("[{").next().expect("a head").to_owned() + "[]}";
        assert_eq!(Envelope::parse(none.as_bytes()), Err(EnvelopeError::SignatureCount(0)));
        // An array is no envelope, though it holds the same values.
        let array = br#"["e30=","application/vnd.in-toto+json",[{"sig":""}]]"#;
        assert!(matches!(Envelope::parse(array), Err(EnvelopeError::Json(JsonError::Type { .. }))));
    }
}
