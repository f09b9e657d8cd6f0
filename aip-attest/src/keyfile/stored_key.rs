//! A private key in a file beside the credentials, locked if they are.

use std::fmt;

use serde::Deserialize;
use serde_json::json;
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use super::credentials::Secret;
use super::{FORGOTTEN, credentials, passphrase_box, random};
use crate::report::{Failure, Result};

/// A private key in a file.
#[derive(Clone)]
pub(crate) enum StoredKey {
    /// Readable.
    Plain(Ed25519PrivateKey),
    /// Locked with the credentials' passphrase.
    Sealed {
        /// The salt.
        salt: [u8; passphrase_box::SALT_BYTES],
        /// Nonce and box.
        ciphertext: Vec<u8>,
    },
}

impl StoredKey {
    /// The key as it is kept beside credentials with this passphrase.
    pub(crate) fn new(key: &Ed25519PrivateKey, passphrase: Option<&str>) -> Result<Self> {
        let Some(passphrase) = passphrase else { return Ok(Self::Plain(key.clone())) };
        let salt = *random()?;
        let ciphertext = passphrase_box::seal(&*key.seed(), passphrase, &salt, &*random()?);
        Ok(Self::Sealed { salt, ciphertext })
    }

    /// The key.
    pub(crate) fn open(&self, passphrase: Option<&str>) -> Result<Ed25519PrivateKey> {
        let (salt, ciphertext) = match self {
            Self::Plain(key) => return Ok(key.clone()),
            Self::Sealed { salt, ciphertext } => (salt, ciphertext),
        };
        let cannot = || Failure::new("cannot open the next key");
        let passphrase = passphrase.ok_or_else(|| {
            cannot().because("it is encrypted, and the credentials are not").hint("set AIP_PASSPHRASE")
        })?;
        let (nonce, sealed) =
            ciphertext.split_first_chunk().ok_or_else(|| cannot().because("its box is too short"))?;
        let seed = passphrase_box::open(salt, nonce, sealed, passphrase);
        let seed = seed.map_err(|error| cannot().caused_by(error).hint(FORGOTTEN))?;
        let seed = <[u8; 32]>::try_from(seed.as_slice()).map(Zeroizing::new);
        let seed = seed.map_err(|_| cannot().because("what is in the box is not 32 bytes"))?;
        Ok(Ed25519PrivateKey::from_seed(&seed))
    }

    /// The JSON text.
    pub(super) fn to_json(&self) -> Zeroizing<String> {
        match self {
            Self::Plain(key) => {
                Zeroizing::new(format!("{{\"private_key\":\"{}\"}}", *credentials::encode_private_key(key)))
            }
            Self::Sealed { salt, ciphertext } => Zeroizing::new(
                json!({"salt": encoding::base64(salt), "ciphertext": encoding::base64(ciphertext)})
                    .to_string(),
            ),
        }
    }

    pub(super) fn from_wire(wire: WireKey) -> Option<Self> {
        if let Some(key) = wire.private_key {
            return credentials::decode_private_key(&key.0).ok().map(Self::Plain);
        }
        let salt = encoding::decode_base64_array(&wire.salt?)?;
        Some(Self::Sealed { salt, ciphertext: encoding::decode_base64(&wire.ciphertext?)? })
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredKey(…)")
    }
}

/// Its JSON.
#[derive(Deserialize)]
pub(super) struct WireKey {
    private_key: Option<Secret>,
    salt: Option<String>,
    ciphertext: Option<String>,
}
