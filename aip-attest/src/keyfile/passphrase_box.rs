//! A box that a passphrase opens, of the encrypted credentials and of the keys beside them.
//!
//! ```text
//! key  Argon2id v1.3 (RFC 9106) of the passphrase: 3 passes, 256 MiB, 1 lane, 32 bytes
//! box  24-byte nonce || XSalsa20-Poly1305
//! ```

use argon2::{Algorithm, Argon2, Params, Version};
use crypto_secretbox::aead::{AeadInPlace as _, KeyInit as _};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use zeroize::Zeroizing;

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
        .expect("a file of keys is shorter than what the cipher can take");
    [nonce, sealed.as_slice()].concat()
}

/// What is in a box.
pub(super) fn open(
    salt: &[u8; SALT_BYTES],
    nonce: &[u8; NONCE_BYTES],
    sealed: &[u8],
    passphrase: &str,
) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
    let mut plaintext = Zeroizing::new(sealed.to_vec());
    cipher(passphrase, salt)
        .decrypt_in_place(Nonce::from_slice(nonce), b"", &mut *plaintext)
        .map_err(|_| NotOpened)?;
    Ok(plaintext)
}

/// The passphrase is wrong, or the box was altered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the passphrase does not open it, or it was altered")]
pub(crate) struct NotOpened;

fn cipher(passphrase: &str, salt: &[u8]) -> XSalsa20Poly1305 {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).expect("these are allowed parameters");
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
        .expect("a salt of 16 bytes and a key of 32 are allowed");
    XSalsa20Poly1305::new((&*key).into())
}

/// Length of the salt.
pub(crate) const SALT_BYTES: usize = 16;

/// Length of the nonce.
pub(crate) const NONCE_BYTES: usize = 24;

const TAG_BYTES: usize = 16;
const PASSES: u32 = 3;
const MEMORY_KIB: u32 = 256 * 1024;
const LANES: u32 = 1;
