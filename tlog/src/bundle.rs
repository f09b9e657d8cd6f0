//! Entry bundles: up to 256 entries in one resource (c2sp.org/tlog-tiles).
//!
//! ```text
//! u16 big-endian length || entry || u16 length || entry || …
//! ```

use crate::tile::TILE_WIDTH;

/// An entry's length is a `u16` in a bundle, so no entry is longer.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Appends one entry to a bundle.
///
/// # Panics
/// If the entry is longer than [`MAX_ENTRY_BYTES`]: admission has refused it before.
pub fn push(bundle: &mut Vec<u8>, entry: &[u8]) {
    let length = u16::try_from(entry.len()).expect("an admitted entry fits a bundle");
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
}

/// Takes a bundle apart. Nothing may be left over, and no more entries than a tile has hashes: empty
/// ones take two bytes each, and a bundle comes from outside.
pub fn parse(bundle: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    while !rest.is_empty() {
        if entries.len() as u64 == TILE_WIDTH {
            return Err(BundleError::TooMany);
        }
        let entry = rest
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.split_at_checked(usize::from(u16::from_be_bytes(*length))));
        let (entry, after) = entry.ok_or(BundleError::Cut(entries.len()))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

/// Why bytes are no bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// It ends in the middle of the entry at this position, from 0.
    #[error("the entry bundle ends in the middle of its entry {0}")]
    Cut(usize),
    /// More than 256 entries.
    #[error("an entry bundle has at most {TILE_WIDTH} entries")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TILE-3, TILE-11: entries of 0, 1 and 65,535 bytes; no trailing bytes.
    #[test]
    fn tile_3_tile_11_bundles_hold_every_length_and_nothing_else() {
        let longest = vec![7; MAX_ENTRY_BYTES];
        let mut bundle = Vec::new();
        for entry in [&b""[..], b"x", &longest] {
            push(&mut bundle, entry);
        }
        assert_eq!(parse(&bundle), Ok(vec![&b""[..], b"x", &longest]));
        for cut in [1, 3, 4, bundle.len() - 1] {
            assert!(parse(&bundle[..cut]).is_err(), "cut at {cut}");
        }
        bundle.push(0);
        assert_eq!(parse(&bundle), Err(BundleError::Cut(3)));
        assert_eq!(parse(b""), Ok(vec![]));
        assert_eq!(parse(&[0; 2 * 256]).map(|entries| entries.len()), Ok(256));
        assert_eq!(parse(&[0; 2 * 257]), Err(BundleError::TooMany));
    }

    #[test]
    #[should_panic(expected = "an admitted entry fits a bundle")]
    fn tile_11_an_entry_of_65_536_bytes_is_a_bug() {
        push(&mut Vec::new(), &vec![0; MAX_ENTRY_BYTES + 1]);
    }
}
