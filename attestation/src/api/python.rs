//! What the clients of Python `aip` 0.5 and this one's read and write alike. Members are in alphabetical order.

use serde::{Deserialize, Serialize};

use super::lenient;
use crate::did::Did;
use crate::message::{LegacyContent, LegacyMail};

/// The answer of `GET /lookup/{did}`. A client needs its `public_key` alone.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lookup {
    /// The DID.
    #[serde(default, deserialize_with = "lenient")]
    pub did: String,
    /// The key, base64.
    pub public_key: String,
    /// When it was registered, `2026-11-23 09:38:34`.
    #[serde(default, deserialize_with = "lenient")]
    pub registered_at: Option<String>,
}

/// The body of `POST /message`. The Python clients leave out what they do not know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Message {
    /// The box, base64.
    pub encrypted_content: String,
    /// For whom it is.
    pub recipient_did: String,
    /// Who says that it sent this.
    pub sender_did: String,
    /// The signature, base64.
    pub signature: String,
    /// The time that was signed.
    pub timestamp: Option<String>,
}

impl From<&LegacyMail> for Message {
    fn from(mail: &LegacyMail) -> Self {
        let did = |did: Did| did.to_string();
        let LegacyContent { encrypted_content, signature, timestamp } = mail.content().clone();
        Self {
            encrypted_content,
            recipient_did: did(mail.recipient()),
            sender_did: did(mail.sender()),
            signature,
            timestamp,
        }
    }
}

impl Message {
    /// The members that a relay keeps as they came.
    pub fn into_content(self) -> LegacyContent {
        let Self { encrypted_content, signature, timestamp, .. } = self;
        LegacyContent { encrypted_content, signature, timestamp }
    }
}
