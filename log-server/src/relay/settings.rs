//! The row of a mailbox's settings.

use attestation::did::Did;
use attestation::message::{Accept, Settings};

use super::rows::{Rest, damaged};
use crate::store::StoreError;

/// The settings of a mailbox, and when its owner asked for them (Unix milliseconds): older ones do not replace them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dated {
    pub(super) issued_at: u64,
    pub(super) settings: Settings,
}

impl Dated {
    pub(super) fn to_row(&self) -> Vec<u8> {
        let Settings { accept, listed, blocked } = &self.settings;
        let mut row = self.issued_at.to_be_bytes().to_vec();
        row.push(match accept {
            Accept::Anyone => 0,
            Accept::Registered => 1,
            Accept::Listed => 2,
        });
        row.extend_from_slice(&(listed.len() as u64).to_be_bytes());
        row.extend(listed.iter().chain(blocked).flat_map(|did| *did.as_bytes()));
        row
    }

    pub(super) fn from_row(row: &[u8]) -> Result<Self, StoreError> {
        let mut rest = Rest(row);
        let mut read = || {
            let issued_at = rest.number()?;
            let accept = match rest.take()? {
                [0] => Accept::Anyone,
                [1] => Accept::Registered,
                [2] => Accept::Listed,
                _ => return None,
            };
            let listed = usize::try_from(rest.number()?).ok()?;
            let (dids, []) = rest.0.as_chunks::<{ Did::BYTES }>() else { return None };
            let (listed, blocked) = dids.split_at_checked(listed)?;
            let dids = |dids: &[[u8; Did::BYTES]]| dids.iter().copied().map(Did::from_bytes).collect();
            Some(Self {
                issued_at,
                settings: Settings { accept, listed: dids(listed), blocked: dids(blocked) },
            })
        };
        read().ok_or_else(|| damaged("settings"))
    }
}

/// Of a mailbox whose owner set nothing: everyone may send to it.
pub(super) fn default() -> Settings {
    Settings { accept: Accept::Anyone, listed: Vec::new(), blocked: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dids(numbers: &[u8]) -> Vec<Did> {
        numbers.iter().map(|number| Did::from_bytes([*number; 16])).collect()
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        for (accept, listed, blocked) in [
            (Accept::Anyone, &[][..], &[][..]),
            (Accept::Listed, &[1, 2], &[3]),
            (Accept::Registered, &[], &[4]),
        ] {
            let settings = Settings { accept, listed: dids(listed), blocked: dids(blocked) };
            let dated = Dated { issued_at: 7, settings };
            let row = dated.to_row();
            assert_eq!(Dated::from_row(&row).expect("a row"), dated);
            assert!(Dated::from_row(&row[..row.len() - 1]).is_err());
        }
        let more_listed_than_there_are = [&[0; 8], &[0][..], &9u64.to_be_bytes()].concat();
        assert!(Dated::from_row(&more_listed_than_there_are).is_err());
    }
}
