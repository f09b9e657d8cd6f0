//! The credentials file, plain: JSON as the Python client writes and reads it.
//!
//! ```text
//! {"did": "did:aip:…", "public_key": "<base64>", "private_key": "<base64 of the 32-byte seed>",
//!  "platform": "github", "username": "my-org", "registered_at": <Unix seconds>}
//! ```
//! Read: keys in base64 or hex, of the seed alone or of seed and public key; further members are left alone.
//! After a rotation the DID is no longer the hash of the key: what the file says is kept, and a log's state says
//! whether the two belong together.

use std::fmt;

use attestation::{Did, json};
use serde::de::{Deserialize, Deserializer, Error as _};
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use super::passphrase_box::NotOpened;

/// What a plain file holds. The DID is what the file says: not yet compared with the key.
pub(crate) struct Credentials {
    /// The DID in the file.
    pub did: String,
    /// The key.
    pub key: Ed25519PrivateKey,
    /// The rest.
    pub profile: Profile,
}

/// What a credentials file says beside DID and key. It stays in the file: no entry carries it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Profile {
    /// Where the signer is at home, such as `github`.
    pub platform: Option<String>,
    /// Its name there.
    pub username: Option<String>,
    /// When the identity was made, Unix seconds.
    pub registered_at: Option<u64>,
}

/// Reads a private key as any tool of this family spells it: hex or base64 (spaces around are ignored), of
/// the 32-byte seed, or of seed and public key. The error never repeats the text.
pub(crate) fn decode_private_key(text: &str) -> Result<Ed25519PrivateKey, CredentialsError> {
    let bytes = decode(text).ok_or(CredentialsError::PrivateKeyEncoding)?;
    let (seed, public) = match bytes.len() {
        32 => (&bytes[..], None),
        64 => (&bytes[..32], Some(&bytes[32..])),
        length => return Err(CredentialsError::PrivateKeyLength(length)),
    };
    let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).expect("32 bytes"));
    let key = Ed25519PrivateKey::from_seed(&seed);
    if public.is_some_and(|public| public != key.public_key().as_bytes()) {
        return Err(CredentialsError::PublicKey);
    }
    Ok(key)
}

/// The text of a private key as files and secrets carry it: base64 of the seed.
pub(crate) fn encode_private_key(key: &Ed25519PrivateKey) -> Zeroizing<String> {
    Zeroizing::new(encoding::base64(&*key.seed()))
}

/// The plain file of an identity, indented, members in the Python client's order.
pub(crate) fn to_plain(did: Did, key: &Ed25519PrivateKey, profile: &Profile) -> Zeroizing<String> {
    let mut members = members(did, key, profile);
    let order = ["did", "public_key", "private_key", "platform", "username", "registered_at"];
    members.sort_by_key(|(name, _)| order.iter().position(|known| known == name));
    write(&members, "{\n  ", ": ", ",\n  ", "\n}\n")
}

/// What an encrypted file encrypts: the same object, members sorted, no spaces, ASCII only.
pub(super) fn to_canonical(did: Did, key: &Ed25519PrivateKey, profile: &Profile) -> Zeroizing<String> {
    let mut members = members(did, key, profile);
    members.sort_by_key(|(name, _)| *name);
    write(&members, "{", ":", ",", "}")
}

fn members(did: Did, key: &Ed25519PrivateKey, profile: &Profile) -> Vec<(&'static str, Zeroizing<String>)> {
    let public = key.public_key();
    let text = |text: &str| Zeroizing::new(json::ascii(text));
    let mut members = vec![
        ("did", text(&did.to_string())),
        ("public_key", text(&encoding::base64(public.as_bytes()))),
        ("private_key", Zeroizing::new(json::ascii(&encode_private_key(key)))),
    ];
    members.extend(profile.platform.as_deref().map(|platform| ("platform", text(platform))));
    members.extend(profile.username.as_deref().map(|username| ("username", text(username))));
    members.extend(profile.registered_at.map(|time| ("registered_at", Zeroizing::new(time.to_string()))));
    members
}

fn write(
    members: &[(&str, Zeroizing<String>)],
    open: &str,
    colon: &str,
    comma: &str,
    close: &str,
) -> Zeroizing<String> {
    let length = members.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>() + 16;
    // Its full length at once: a buffer that grows leaves copies of the key behind.
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(open);
    for (at, (name, value)) in members.iter().enumerate() {
        for part in [if at == 0 { "" } else { comma }, "\"", name, "\"", colon, value] {
            text.push_str(part);
        }
    }
    text.push_str(close);
    text
}

/// Hex first, then base64, as the Python client tries them.
fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim();
    let bytes = hex::decode(text).ok().or_else(|| encoding::decode_base64(text));
    bytes.map(Zeroizing::new)
}

/// The members of either form that are read here.
#[derive(serde::Deserialize)]
pub(super) struct File {
    pub(super) format: Option<String>,
    pub(super) did: Option<String>,
    private_key: Option<Secret>,
    public_key: Option<String>,
    // The names of older files behind the slash.
    #[serde(alias = "platform_id")]
    platform: Option<String>,
    #[serde(alias = "platform_username")]
    username: Option<String>,
    registered_at: Option<u64>,
    pub(super) salt: Option<String>,
    pub(super) ciphertext: Option<String>,
}

impl File {
    /// Reads a credentials file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, CredentialsError> {
        serde_json::from_slice(bytes).map_err(|error| CredentialsError::json(&error))
    }

    /// What a plain file holds; `None` if it has no DID or no key.
    pub(super) fn plain(self) -> Result<Option<Credentials>, CredentialsError> {
        if let Some(format) = self.format {
            return Err(CredentialsError::Format(format));
        }
        let (Some(did), Some(key)) = (self.did, self.private_key) else { return Ok(None) };
        let key = decode_private_key(&key.0)?;
        if let Some(public) = self.public_key.filter(|public| !public.is_empty())
            && decode(&public).as_deref().map(Vec::as_slice) != Some(key.public_key().as_bytes())
        {
            return Err(CredentialsError::PublicKey);
        }
        let profile =
            Profile { platform: self.platform, username: self.username, registered_at: self.registered_at };
        Ok(Some(Credentials { did, key, profile }))
    }
}

/// The `format` of an encrypted file. A plain one has none.
pub(super) const ENCRYPTED: &str = "aip-encrypted-v1";

/// A string that is wiped when it is dropped.
pub(super) struct Secret(pub(super) Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The library's own error would repeat a value of another type.
        let text =
            String::deserialize(deserializer).map_err(|_| D::Error::custom("a key is not a string"))?;
        Ok(Self(Zeroizing::new(text)))
    }
}

/// Why a credentials file was refused. No message repeats a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// A `format` that is not known here.
    #[error("its format `{0}` is not `{format}`", format = ENCRYPTED)]
    Format(String),
    /// Not JSON of this shape.
    #[error("it is no JSON object with a `did` and a `private_key`: line {line} column {column}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A member of an encrypted file is missing or malformed.
    #[error("`{0}` of an encrypted file is missing or malformed")]
    Member(&'static str),
    /// The passphrase is wrong, or the file was altered.
    #[error(transparent)]
    NotOpened(#[from] NotOpened),
    /// Neither hex nor base64.
    #[error("the private key is neither base64 nor hex")]
    PrivateKeyEncoding,
    /// Not a seed, nor seed and public key.
    #[error("the private key has {0} bytes, not 32")]
    PrivateKeyLength(usize),
    /// The public key beside it is another one's.
    #[error("the public key beside it is not the private key's")]
    PublicKey,
}

impl CredentialsError {
    pub(super) fn json(error: &serde_json::Error) -> Self {
        Self::Json { line: error.line(), column: error.column() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.did)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED_HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const SEED: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const PUBLIC: &str = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

    #[test]
    fn a_key_is_read_in_each_spelling() {
        let both =
            [hex::decode(SEED_HEX).expect("hex"), encoding::decode_base64(PUBLIC).expect("base64")].concat();
        for text in [
            SEED.to_owned(),
            format!(" {SEED}\n"),
            SEED_HEX.to_owned(),
            SEED_HEX.to_uppercase(),
            encoding::base64(&both),
        ] {
            let key = decode_private_key(&text).expect("a key");
            assert_eq!(encoding::base64(key.public_key().as_bytes()), PUBLIC);
        }
        let mut other = both;
        other[63] ^= 1;
        for (text, want) in [
            ("", CredentialsError::PrivateKeyLength(0)),
            ("AAAA", CredentialsError::PrivateKeyLength(2)),
            ("AAAx", CredentialsError::PrivateKeyLength(3)),
            ("secret!", CredentialsError::PrivateKeyEncoding),
            (&encoding::base64(&other), CredentialsError::PublicKey),
        ] {
            assert_eq!(decode_private_key(text).map(|_| ()), Err(want), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_in_the_python_clients_order() {
        let key = decode_private_key(SEED).expect("a key");
        let profile = Profile {
            platform: Some("github".into()),
            username: Some("é\"世😀\u{7f}".into()),
            registered_at: Some(1_760_000_000),
        };
        let file = to_plain(Did::of(&key.public_key()), &key, &profile);
        let want = format!(
            "{{\n  \"did\": \"did:aip:56475aa75463474c0285df5dbf2bcab7\",\n  \"public_key\": \"{PUBLIC}\",\n  \
             \"private_key\": \"{SEED}\",\n  \"platform\": \"github\",\n  \
             \"username\": \"\\u00e9\\\"\\u4e16\\ud83d\\ude00\\u007f\",\n  \"registered_at\": 1760000000\n}}\n"
        );
        assert_eq!(*file, want);
        let read = File::read(file.as_bytes()).and_then(File::plain).expect("read").expect("a plain file");
        assert_eq!(read.profile, profile);
        assert_eq!(read.key.public_key(), key.public_key());
    }
}
