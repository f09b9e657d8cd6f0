//! The manifest of Python `aip` 0.5.x, `.aip-signature.json`: digests of files and one signature over them
//! (`specs/identity.md`, "Manifests of Python aip").
//!
//! ```text
//! {"version": "1.0", "did": "did:aip:…", "public_key": "<base64>", "timestamp": <Unix seconds>,
//!  "files": {"<path below the folder>": "<SHA-256, hex>"}, "signature": "<128 hex digits>"}
//!
//! signed      the object without `signature`: members sorted by code point, no white space, ASCII only
//! ```
//! The Python client takes the key from the manifest and never compares it with `did`: with Alice's key and Bob's DID it
//! says "Signer: Bob". Here [`Manifest::verify`] answers a [`Signed`] only if the key is the DID's: by the hash, or by
//! the state of the DID in a log.
//!
//! A manifest is in no log. Its time is its signer's word, so that a key that was replaced counts for nothing here:
//! nobody can tell whether it signed before or after that.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tlog::Hash;
use tlog::encoding;
use tlog::key::{ED25519_SIGNATURE_BYTES, Ed25519PrivateKey, Ed25519PublicKey, KeyError};

use crate::did::{Did, DidError};
use crate::identity::{Identity, StateError, check_artifact_signer};
use crate::json::{self, JsonError, Object};
use crate::quote::quoted;

/// The name of the file, in the folder whose files it names.
pub const FILE_NAME: &str = ".aip-signature.json";

/// A manifest as it was read. Nothing of it is believed before [`Manifest::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    did: Did,
    key: Ed25519PublicKey,
    timestamp: u64,
    files: BTreeMap<String, Hash>,
    signature: [u8; ED25519_SIGNATURE_BYTES],
    payload: String,
}

/// What somebody signed whose key it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// The signer.
    pub did: Did,
    /// When it was signed, Unix seconds, by the signer's word.
    pub claimed_time: u64,
    /// The files: their paths below the manifest's folder, and their SHA-256.
    pub files: BTreeMap<String, Hash>,
    /// Whether a log's state says whose key it is; else the DID is the key's hash.
    pub by_log: bool,
}

impl Manifest {
    /// Reads a manifest. Further members are part of what is signed, as for the Python client. Refused is what another
    /// reader may print in another way: a member that stands twice, a number that is no integer of 64 bits, half a
    /// surrogate pair.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let value = json::parse(bytes)?;
        let mut object = Object::new(String::new(), value.clone())?;
        let signature = object.string("signature")?;
        let version = object.string("version")?;
        if version != VERSION {
            return Err(ManifestError::Version(quoted(&version)));
        }
        let did = object.string("did")?.parse()?;
        let key = decode_key(&object.string("public_key")?)?;
        let timestamp = object.integer("timestamp")?;
        let file = |(name, digest): (String, Value)| {
            if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(ManifestError::Name(quoted(&name)));
            }
            match digest.as_str().and_then(Hash::from_hex) {
                Some(hash) => Ok((name, hash)),
                None => Err(ManifestError::Digest(quoted(&name))),
            }
        };
        let files = object.object("files")?.rest().into_iter().map(file).collect::<Result<_, _>>()?;
        let mut bytes = [0; ED25519_SIGNATURE_BYTES];
        // Upper case too: the signature does not cover itself, so that its spelling says nothing.
        hex::decode_to_slice(&signature, &mut bytes).map_err(|_| ManifestError::SignatureEncoding)?;
        let Value::Object(mut signed) = value else { return Err(ManifestError::SignatureEncoding) };
        signed.remove("signature");
        let payload = canonical(&Value::Object(signed))?;
        Ok(Self { did, key, timestamp, files, signature: bytes, payload })
    }

    /// A manifest of `files`, which are named by their paths below the folder where it will lie, with `/` between
    /// folders. `time` is in Unix seconds.
    pub fn sign(did: Did, key: &Ed25519PrivateKey, time: u64, files: BTreeMap<String, Hash>) -> Self {
        let public = key.public_key();
        let digests: Map<String, Value> =
            files.iter().map(|(name, hash)| (name.clone(), hash.to_string().into())).collect();
        let signed = serde_json::json!({
            "version": VERSION,
            "did": did.to_string(),
            "public_key": encoding::base64(public.as_bytes()),
            "timestamp": time,
            "files": digests,
        });
        let payload = canonical(&signed).expect("strings and one integer have a canonical text");
        let signature = key.sign(payload.as_bytes());
        Self { did, key: public, timestamp: time, files, signature, payload }
    }

    /// The text of the file, as the Python client writes it to the byte.
    pub fn to_json(&self) -> String {
        let files: Vec<String> =
            self.files.iter().map(|(name, hash)| format!("    {}: \"{hash}\"", json::ascii(name))).collect();
        let files = match files.is_empty() {
            true => "{}".to_owned(),
            false => format!("{{\n{}\n  }}", files.join(",\n")),
        };
        format!(
            "{{\n  \"version\": \"{VERSION}\",\n  \"did\": \"{}\",\n  \"public_key\": \"{}\",\n  \"timestamp\": {},\n  \
             \"files\": {files},\n  \"signature\": \"{}\"\n}}",
            self.did,
            encoding::base64(self.key.as_bytes()),
            self.timestamp,
            self.signature_hex(),
        )
    }

    /// The signature as the file has it: 128 hex digits.
    pub fn signature_hex(&self) -> String {
        hex::encode(self.signature)
    }

    /// The DID that it names, believed or not.
    pub fn claimed_did(&self) -> Did {
        self.did
    }

    /// The names of its files, believed or not.
    pub fn claimed_names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// What it says, if its key signed it and is the DID's: the current one by each of `states`, which logs have of
    /// the DID; without any, the key that the DID is the hash of.
    pub fn verify(&self, states: &[Identity]) -> Result<Signed, ManifestError> {
        if !self.key.verify(self.payload.as_bytes(), &self.signature) {
            return Err(ManifestError::Signature);
        }
        let refused = |error| ManifestError::State { did: self.did, error };
        // A state of another DID says nothing.
        let states: Vec<&Identity> = states.iter().filter(|state| state.did() == self.did).collect();
        if states.is_empty() {
            check_artifact_signer(None, self.did, self.key.as_bytes()).map_err(refused)?;
        }
        for state in &states {
            check_artifact_signer(Some(state), self.did, self.key.as_bytes()).map_err(refused)?;
        }
        Ok(Signed {
            did: self.did,
            claimed_time: self.timestamp,
            files: self.files.clone(),
            by_log: !states.is_empty(),
        })
    }
}

/// Which rule a manifest breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ManifestError {
    /// No DID.
    #[error("`did`: {0}")]
    Did(#[from] DidError),
    /// A file without its SHA-256.
    #[error("the digest of {0} is not 64 lower-case hex digits")]
    Digest(String),
    /// Not JSON, or not with these members.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The key is refused.
    #[error("`public_key`: {0}")]
    Key(#[from] KeyError),
    /// Not 32 bytes in base64 or hex.
    #[error("`public_key` is not the base64 or hex of 32 bytes")]
    KeyEncoding,
    /// A path that leads out of the folder.
    #[error("{0} is no path below the manifest's folder")]
    Name(String),
    /// No key: Python `aip` writes none where its own is from the environment.
    #[error(
        "`public_key` is empty, as Python aip leaves it where the key is from AIP_PRIVATE_KEY: nothing can be checked"
    )]
    NoKey,
    /// A number that another reader may print in another way.
    #[error("the number {0} is not an integer of 64 bits")]
    Number(String),
    /// The signature does not verify.
    #[error("the signature is not over this manifest by the key in it")]
    Signature,
    /// Not 128 hex digits.
    #[error("`signature` is not 128 hex digits")]
    SignatureEncoding,
    /// The key is not the DID's, or may sign no artifact.
    #[error("{did}: {error}")]
    State {
        /// The DID in the manifest.
        did: Did,
        /// Which rule of its state is broken.
        error: StateError,
    },
    /// Another version than 1.0.
    #[error("the version is {0}, and \"1.0\" is known")]
    Version(String),
}

impl ManifestError {
    /// The check that it fails.
    pub fn check(&self) -> Check {
        match self {
            Self::Signature => Check::Signature,
            Self::State { .. } => Check::Key,
            _ => Check::Form,
        }
    }
}

/// What is checked of a manifest, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Check {
    /// It can be read in one way only.
    Form,
    /// The key in it signed it.
    Signature,
    /// The key is the DID's.
    Key,
    /// The signer is wanted.
    Signer,
    /// The manifest names the file, by this digest.
    Digest,
    /// Every file that it names is there.
    Missing,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Form, Self::Signature, Self::Key, Self::Signer, Self::Digest, Self::Missing];

    /// Its identifier.
    pub fn id(self) -> &'static str {
        match self {
            Self::Form => "manifest-form",
            Self::Signature => "manifest-signature",
            Self::Key => "manifest-key",
            Self::Signer => "manifest-signer",
            Self::Digest => "manifest-digest",
            Self::Missing => "manifest-missing",
        }
    }
}

/// Whether the Python client passes over a path when it walks a folder, so that it calls a file of this name missing.
pub fn is_unseen_by_python(name: &str) -> bool {
    name.split('/').any(|part| IGNORED.contains(&part) || part.ends_with(".pyc") || part.ends_with(".pyo"))
}

const IGNORED: [&str; 6] = [".git", "__pycache__", FILE_NAME, ".DS_Store", "node_modules", ".env"];

const VERSION: &str = "1.0";

/// Hex first, then base64, as the Python client tries them; but one spelling of each.
fn decode_key(text: &str) -> Result<Ed25519PublicKey, ManifestError> {
    if text.is_empty() {
        return Err(ManifestError::NoKey);
    }
    let mut raw = [0; Ed25519PublicKey::BYTES];
    if hex::decode_to_slice(text, &mut raw).is_err() {
        raw = encoding::decode_base64_array(text).ok_or(ManifestError::KeyEncoding)?;
    }
    Ok(Ed25519PublicKey::from_bytes(&raw)?)
}

/// `json.dumps(value, sort_keys=True, separators=(",", ":"))`.
fn canonical(value: &Value) -> Result<String, ManifestError> {
    Ok(match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        // A double has several texts, and Python's is not ours.
        Value::Number(number) if number.is_f64() => return Err(ManifestError::Number(number.to_string())),
        Value::Number(number) => number.to_string(),
        Value::String(text) => json::ascii(text),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect::<Result<_, _>>()?;
            format!("[{}]", values.join(","))
        }
        Value::Object(members) => {
            // UTF-8 sorts as code points do.
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let member = |(name, value): (&String, &Value)| -> Result<String, ManifestError> {
                Ok(format!("{}:{}", json::ascii(name), canonical(value)?))
            };
            let members: Vec<String> = sorted.into_iter().map(member).collect::<Result<_, _>>()?;
            format!("{{{}}}", members.join(","))
        }
    })
}

#[cfg(test)]
mod tests;
