//! The credentials file, encrypted: `aip-encrypted-v1`, as the Python client writes and reads it.
//!
//! ```text
//! {"format":"aip-encrypted-v1","did":"did:aip:…","salt":"<base64, 16 bytes>",
//!  "ciphertext":"<base64: 24-byte nonce || XSalsa20-Poly1305 box>"}
//!
//! key        Argon2id v1.3 (RFC 9106) of the passphrase: 3 passes, 256 MiB, 1 lane, 32 bytes
//! plaintext  the plain file's object, members sorted, no spaces, ASCII only
//! ```

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use attestation::Did;
use crypto_secretbox::aead::{AeadInPlace as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use super::Stored;
use super::credentials::{self, Credentials, CredentialsError, File, Profile};

/// The value of `format`.
pub const FORMAT: &str = "aip-encrypted-v1";

/// An encrypted file as it was read.
pub struct Encrypted {
    /// The DID in the clear. Believed once the key inside is seen to be its own.
    pub did: String,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    sealed: Vec<u8>,
}

impl Encrypted {
    pub(super) fn from_file(file: File) -> Result<Self, CredentialsError> {
        let member = CredentialsError::Member;
        let salt = file.salt.as_deref().and_then(encoding::decode_base64_array).ok_or(member("salt"))?;
        let ciphertext = file.ciphertext.as_deref().and_then(encoding::decode_base64);
        let ciphertext = ciphertext.ok_or(member("ciphertext"))?;
        let (nonce, sealed) = ciphertext.split_first_chunk().ok_or(member("ciphertext"))?;
        Ok(Self { did: file.did.ok_or(member("did"))?, salt, nonce: *nonce, sealed: sealed.to_vec() })
    }

    /// Opens the box. Takes about a second and 256 MiB: that is what protects the passphrase.
    pub fn decrypt(&self, passphrase: &str) -> Result<Credentials, CredentialsError> {
        let plaintext = open(&self.salt, &self.nonce, &self.sealed, passphrase)?;
        match credentials::parse(&plaintext)? {
            Some(Stored::Plain(credentials)) if credentials.did == self.did => Ok(*credentials),
            _ => Err(CredentialsError::Member("ciphertext")),
        }
    }
}

/// The encrypted file of an identity. `salt` and `nonce` are fresh random bytes.
pub fn encrypt(
    did: Did,
    key: &Ed25519PrivateKey,
    profile: &Profile,
    passphrase: &str,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
) -> String {
    let plaintext = credentials::to_canonical(did, key, profile);
    let file = serde_json::json!({
        "format": FORMAT,
        "did": did.to_string(),
        "salt": encoding::base64(&salt),
        "ciphertext": encoding::base64(&seal(plaintext.as_bytes(), passphrase, &salt, &nonce)),
    });
    format!("{file:#}\n")
}

/// The nonce and a box of `plaintext`. `salt` and `nonce` are fresh random bytes.
pub(super) fn seal(
    plaintext: &[u8],
    passphrase: &str,
    salt: &[u8; SALT_BYTES],
    nonce: &[u8; NONCE_BYTES],
) -> Vec<u8> {
    let mut sealed = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG_BYTES));
    sealed.extend_from_slice(plaintext);
    cipher(passphrase, salt)
        .encrypt_in_place(Nonce::from_slice(nonce), b"", &mut *sealed)
        .expect("a credentials file is shorter than what the cipher can take");
    [nonce, sealed.as_slice()].concat()
}

/// What is in a box.
pub(super) fn open(
    salt: &[u8; SALT_BYTES],
    nonce: &[u8; NONCE_BYTES],
    sealed: &[u8],
    passphrase: &str,
) -> Result<Zeroizing<Vec<u8>>, CredentialsError> {
    let mut plaintext = Zeroizing::new(sealed.to_vec());
    cipher(passphrase, salt)
        .decrypt_in_place(Nonce::from_slice(nonce), b"", &mut *plaintext)
        .map_err(|_| CredentialsError::Decryption)?;
    Ok(plaintext)
}

fn cipher(passphrase: &str, salt: &[u8]) -> XSalsa20Poly1305 {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).expect("these are allowed parameters");
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .expect("a salt of 16 bytes and a key of 32 are allowed");
    XSalsa20Poly1305::new((&*key).into())
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted({})", self.did)
    }
}

/// Length of the salt.
pub const SALT_BYTES: usize = 16;

/// Length of the nonce.
pub const NONCE_BYTES: usize = 24;

const TAG_BYTES: usize = 16;
const PASSES: u32 = 3;
const MEMORY_KIB: u32 = 256 * 1024;
const LANES: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by the Python client, for the passphrase `correct horse`.
    const FILE: &str = concat!(
        r#"{"format":"aip-encrypted-v1","did":"did:aip:56475aa75463474c0285df5dbf2bcab7","#,
        r#""salt":"ythGXossfHbZOwuC2se5pA==","ciphertext":""#,
        "Rgc8YR0UsJKtp3KKlo/7KH+m7V0BWIAw8+mSGnTvmQjljX70obY3GofEUrn/0qzJ3vcALQRXcWSMNjzU",
        "lpU4WJGaTLDbXPBTfou12Z9QoVLLDPe8C0QUH3u8CWEoDmztZB8VbjbmwukNXrgK1KNawXwMRBOPuL01",
        "EfyH+bt9PQfNFVw6IUkgHLjQqBZCbpWowaTv8LPSi2BzXKLWAObJIXvOgkSgbkX91TiC8ip/qjzGVeMo",
        "ScV6kMIwDLhH5YewD6aOo3I7zETQG0wRIkmQjkvQeg==",
        r#""}"#,
    );

    fn parse(file: &str) -> Encrypted {
        match credentials::parse(file.as_bytes()) {
            Ok(Some(Stored::Encrypted(encrypted))) => encrypted,
            other => panic!("{:?}", other.map(|_| ())),
        }
    }

    /// Vector `encrypted_credentials`: opened, and written again to the same bytes.
    #[test]
    fn the_python_clients_file_is_opened_and_written_again() {
        let encrypted = parse(FILE);
        assert_eq!(encrypted.decrypt("correct horsf").map(|_| ()), Err(CredentialsError::Decryption));
        let opened = encrypted.decrypt("correct horse").expect("opened");
        assert_eq!(*opened.key.seed(), *std::array::from_fn::<u8, 32, _>(|i| i as u8).as_slice());
        let did = Did::of(&opened.key.public_key());
        let again =
            encrypt(did, &opened.key, &opened.profile, "correct horse", encrypted.salt, encrypted.nonce);
        assert_eq!(parse(&again).sealed, encrypted.sealed);
    }

    #[test]
    fn an_altered_file_is_refused() {
        let mut altered = parse(FILE);
        altered.did = "did:aip:00000000000000000000000000000000".to_owned();
        assert_eq!(altered.decrypt("correct horse").map(|_| ()), Err(CredentialsError::Member("ciphertext")));
    }
}
