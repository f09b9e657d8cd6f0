//! What the targets share.

use rand_core::{TryCryptoRng, TryRng};

/// `good` with a piece of it replaced: two bytes say where, one how much, and the rest is written there. `None`: fewer bytes.
pub fn splice(good: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let (head, written) = bytes.split_first_chunk::<3>()?;
    let at = usize::from(u16::from_be_bytes([head[0], head[1]])) % (good.len() + 1);
    let kept = &good[at..];
    Some([&good[..at], written, &kept[usize::from(head[2]).min(kept.len())..]].concat())
}

/// No randomness: the same input does the same.
pub struct Fixed;

impl TryRng for Fixed {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}
