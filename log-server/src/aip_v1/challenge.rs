//! What a client signs to read its mail.
//!
//! ```text
//! challenge   64 hex digits: nonce 16 || HMAC-SHA256(secret, DID || nonce || half minute)[..16]
//! ```
//! Nothing is kept of a challenge that was given out, so that whoever asks for challenges of others takes nothing from
//! them. One that a valid signature spent is kept for as long as it would hold: it opens the mailbox once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use attestation::did::Did;
use getrandom::SysRng;
use rand_core::TryRng as _;
use tlog::Hash;
use zeroize::Zeroizing;

/// The challenges of this process: those of an earlier one do not hold.
pub(super) struct Challenges {
    secret: Zeroizing<[u8; 32]>,
    /// Spent ones, with the half minute after which they hold no more.
    spent: Mutex<HashMap<[u8; BYTES], u64>>,
}

impl Challenges {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(secret.as_mut())?;
        Ok(Self { secret, spent: Mutex::default() })
    }

    /// A new challenge for a DID, at a time in Unix milliseconds; and until when it holds at least.
    pub(super) fn give(&self, did: Did, now: u64) -> Result<(String, u64), getrandom::Error> {
        let mut nonce = [0; HALF];
        SysRng.try_fill_bytes(&mut nonce)?;
        let challenge = self.of(did, &nonce, half_minute(now));
        Ok((hex::encode(challenge), now + HALF_MINUTE_MILLIS))
    }

    /// Whether a text is a challenge that this process gave to the DID a minute ago at most. Call [`spend`](Self::spend) once
    /// its signature is verified.
    pub(super) fn holds(&self, did: Did, text: &str, now: u64) -> bool {
        self.parse(did, text, now).is_some()
    }

    /// Takes a challenge that [`holds`](Self::holds), once; whether it was not taken before.
    pub(super) fn spend(&self, did: Did, text: &str, now: u64) -> bool {
        let Some((challenge, given)) = self.parse(did, text, now) else { return false };
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.retain(|_, last| *last >= half_minute(now));
        spent.insert(challenge, given + 1).is_none()
    }

    /// The challenge, and the half minute in which it was given.
    fn parse(&self, did: Did, text: &str, now: u64) -> Option<([u8; BYTES], u64)> {
        let mut challenge = [0; BYTES];
        let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if !text.bytes().all(lower_hex) || hex::decode_to_slice(text, &mut challenge).is_err() {
            return None;
        }
        let nonce = challenge.first_chunk()?;
        let this = half_minute(now);
        let given = [this, this.saturating_sub(1)].into_iter();
        // Hashed once more, a comparison says nothing about how much of it was right.
        let found = |at: &u64| Hash::of(&self.of(did, nonce, *at)) == Hash::of(&challenge);
        given.into_iter().find(found).map(|at| (challenge, at))
    }

    fn of(&self, did: Did, nonce: &[u8; HALF], half_minute: u64) -> [u8; BYTES] {
        let message = [&did.as_bytes()[..], nonce, &half_minute.to_be_bytes()].concat();
        let tag = hmac(&self.secret, &message);
        let mut challenge = [0; BYTES];
        challenge[..HALF].copy_from_slice(nonce);
        challenge[HALF..].copy_from_slice(&tag.as_bytes()[..HALF]);
        challenge
    }
}

/// HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8; 32], message: &[u8]) -> Hash {
    let padded = |pad: u8| {
        let mut block = Zeroizing::new([pad; 64]);
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Hash::of(&[&padded(0x36)[..], message].concat());
    Hash::of(&[&padded(0x5c)[..], inner.as_bytes()].concat())
}

fn half_minute(millis: u64) -> u64 {
    millis / HALF_MINUTE_MILLIS
}

const HALF_MINUTE_MILLIS: u64 = 30_000;

/// Length of the nonce, and of the tag.
const HALF: usize = 16;
const BYTES: usize = 2 * HALF;

#[cfg(test)]
mod tests {
    use super::*;

    fn did(number: u8) -> Did {
        Did::from_bytes([number; 16])
    }

    #[test]
    fn a_challenge_is_one_dids_and_opens_once() {
        let challenges = Challenges::new().expect("random bytes");
        let now = 1_790_000_000_000;
        let (text, until) = challenges.give(did(1), now).expect("random bytes");
        assert_eq!((text.len(), until), (64, now + 30_000));
        assert!(challenges.holds(did(1), &text, now) && challenges.holds(did(1), &text, until));
        assert!(!challenges.holds(did(2), &text, now), "another DID's");
        assert!(!challenges.holds(did(1), &text, now + 90_000), "too old");
        assert!(!challenges.holds(did(1), &text.to_uppercase(), now) || text == text.to_uppercase());
        for at in 0..64 {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'0' { b'1' } else { b'0' };
            assert!(!challenges.holds(did(1), std::str::from_utf8(&other).expect("text"), now), "digit {at}");
        }
        for other in ["", "rotate:AAAA", &text[..63], &format!("{text}0"), &"é".repeat(32)] {
            assert!(
                !challenges.holds(did(1), other, now) && !challenges.spend(did(1), other, now),
                "{other}"
            );
        }
        assert!(challenges.spend(did(1), &text, now) && !challenges.spend(did(1), &text, now));
        // Asking for one spends none, and another process knows none of them.
        let (other, _) = challenges.give(did(1), now).expect("random bytes");
        assert!(challenges.spend(did(1), &other, now + 29_000));
        assert!(!Challenges::new().expect("random bytes").holds(did(1), &other, now));
        // What holds no more is not kept.
        let (last, _) = challenges.give(did(1), now + 300_000).expect("random bytes");
        assert!(challenges.spend(did(1), &last, now + 300_000));
        assert_eq!(challenges.spent.lock().expect("whole").len(), 1);
    }

    /// RFC 4231, test case 1, with the key padded by zeros to 32 bytes, which HMAC does itself.
    #[test]
    fn the_tag_is_hmac_sha256() {
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hmac(&key, b"Hi There").to_string(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }
}
