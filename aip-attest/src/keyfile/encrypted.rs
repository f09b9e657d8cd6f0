//! The credentials file, encrypted: `aip-encrypted-v1`, as the Python client writes and reads it.
//!
//! ```text
//! {"format":"aip-encrypted-v1","did":"did:aip:…","salt":"<base64, 16 bytes>",
//!  "ciphertext":"<base64 of the box>"}
//!
//! box        [`passphrase_box`]
//! plaintext  the plain file's object, members sorted, no spaces, ASCII only
//! ```

use std::fmt;

use attestation::Did;
use tlog::encoding;
use tlog::key::Ed25519PrivateKey;

use super::credentials::{self, Credentials, CredentialsError, ENCRYPTED, File, Profile};
use super::passphrase_box::{self, NONCE_BYTES, SALT_BYTES};

/// An encrypted file as it was read.
pub(crate) struct Encrypted {
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
    pub(crate) fn decrypt(&self, passphrase: &str) -> Result<Credentials, CredentialsError> {
        let plaintext = passphrase_box::open(&self.salt, &self.nonce, &self.sealed, passphrase)?;
        match File::read(&plaintext)?.plain()? {
            Some(credentials) if credentials.did == self.did => Ok(credentials),
            _ => Err(CredentialsError::Member("ciphertext")),
        }
    }
}

/// The encrypted file of an identity. `salt` and `nonce` are fresh random bytes.
pub(crate) fn encrypt(
    did: Did,
    key: &Ed25519PrivateKey,
    profile: &Profile,
    passphrase: &str,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
) -> String {
    let plaintext = credentials::to_canonical(did, key, profile);
    let file = serde_json::json!({
        "format": ENCRYPTED,
        "did": did.to_string(),
        "salt": encoding::base64(&salt),
        "ciphertext": encoding::base64(&passphrase_box::seal(plaintext.as_bytes(), passphrase, &salt, &nonce)),
    });
    format!("{file:#}\n")
}

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encrypted({})", self.did)
    }
}

#[cfg(test)]
mod tests {
    use super::super::passphrase_box::NotOpened;
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
        File::read(file.as_bytes()).and_then(Encrypted::from_file).expect("an encrypted file")
    }

    /// Vector `encrypted_credentials`: opened, and written again to the same bytes.
    #[test]
    fn the_python_clients_file_is_opened_and_written_again() {
        let encrypted = parse(FILE);
        assert_eq!(
            encrypted.decrypt("correct horsf").map(|_| ()),
            Err(CredentialsError::NotOpened(NotOpened))
        );
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
