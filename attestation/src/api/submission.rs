//! Submitting: what is sent, and what became of it.

use std::borrow::Cow;

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::Problem;
use crate::entry::ClaimHash;
use crate::quote::quoted;

/// One submission. A request brings one, or an array of them.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Submission<'a> {
    /// The pending leaf, base64.
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub leaf: Cow<'a, str>,
    /// The DSSE envelope, to be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "utoipa", schema(value_type = Option<Value>))]
    pub envelope: Option<&'a RawValue>,
}

/// By hand, since a derived reader repeats in its error what it does not take: a name or a text of megabytes, more than once.
impl<'de: 'a, 'a> Deserialize<'de> for Submission<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Submission<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Err(E::custom(format_args!("invalid type: string {}, expected an object", quoted(text))))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let (mut leaf, mut envelope) = (None, None);
                while let Some(member) = members.next_key()? {
                    match member {
                        Member::Leaf if leaf.is_some() => return Err(A::Error::duplicate_field("leaf")),
                        Member::Leaf => leaf = Some(members.next_value::<Text<'de>>()?.0),
                        Member::Envelope if envelope.is_some() => {
                            return Err(A::Error::duplicate_field("envelope"));
                        }
                        // An explicit `null` stays one, and is rejected: read as "no envelope", it would log the entry by hash,
                        // irreversibly.
                        Member::Envelope => envelope = Some(members.next_value::<&'de RawValue>()?),
                    }
                }
                Ok(Submission { leaf: leaf.ok_or_else(|| A::Error::missing_field("leaf"))?, envelope })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

enum Member {
    Leaf,
    Envelope,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`leaf` or `envelope`")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Member, E> {
                match name {
                    "leaf" => Ok(Member::Leaf),
                    "envelope" => Ok(Member::Envelope),
                    _ => Err(E::custom(format_args!(
                        "unknown field {}, expected `leaf` or `envelope`",
                        quoted(name)
                    ))),
                }
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

/// What became of one submission.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "status")]
pub enum Answer {
    /// In the published tree.
    Logged {
        /// The leaf index.
        #[serde(default)]
        #[cfg_attr(feature = "utoipa", schema(required = true))]
        index: u64,
        /// The leaf with its `loggedAt`, base64.
        leaf: String,
        /// A C2SP tlog-proof.
        proof: String,
        /// The second note, for stock cosign.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "utoipa", schema(value_type = String, required = true))]
        sigstore_note: Option<String>,
        /// The signer's identity events, with proofs to the same checkpoint.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        identity: Vec<ProvedLeaf>,
    },
    /// Durable, and certain to be published.
    Committed {
        /// SHA-256 of the claim, hex.
        #[serde(default)]
        #[cfg_attr(feature = "utoipa", schema(required = true))]
        claim: String,
        /// Where to ask for it.
        #[serde(default)]
        #[cfg_attr(feature = "utoipa", schema(required = true))]
        url: String,
        /// What it waits for, if that takes longer than it should.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Problem>,
    },
    /// Breaks a rule.
    Refused {
        /// Which.
        error: Problem,
    },
    /// Not taken now.
    Unavailable {
        /// Why.
        error: Problem,
    },
}

impl Answer {
    /// The claim is durable; `reason` says what it waits for.
    pub fn committed(claim: ClaimHash, reason: Option<Problem>) -> Self {
        let claim = claim.get();
        Self::Committed { url: super::claim(&claim), claim: claim.to_string(), reason }
    }
}

/// An event with its proof to the published checkpoint.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ProvedLeaf {
    /// The leaf, base64.
    pub leaf: String,
    /// A C2SP tlog-proof.
    pub proof: String,
}
