//! What is read of a store, whoever else has it.

use attestation::did::Did;
use attestation::entry::Entry;
use attestation::event::{Body, EventEntry};
use attestation::lists::{Listed, ListedKind};
use attestation::rules::Artifact;
use log_core::StoreError;
use log_core::keys::List;
use log_core::port::{
    Facts, Index, KnownEnvelope, OrderState, Page, Placed, Since, StoredEnvelope, Versions, Wants,
};
use log_core::registry::{listed_identity_events, message_keys_at};
use tlog::{Hash, LeafIndex, TreeSize};

use crate::store::schema::{self, Read as _, TreeState};
use crate::store::{Column, Store};

/// Lookups and objects of a store that nobody orders in meanwhile, or whose reader names the size that is meant.
pub struct ReadsOf<'s>(pub &'s dyn Store);

impl ReadsOf<'_> {
    /// Where claims stand, in one look.
    pub(super) fn indexes(&self, claims: &[Hash]) -> Result<Vec<Option<LeafIndex>>, StoreError> {
        let keys: Vec<&[u8]> = claims.iter().map(|claim| &claim.as_bytes()[..]).collect();
        let rows = self.0.get_many(Column::Claim, &keys)?;
        rows.into_iter().zip(claims).map(|(row, claim)| schema::claim_index(row, claim)).collect()
    }

    fn placed(&self, claims: &[Hash]) -> Result<Vec<Option<Placed>>, StoreError> {
        let indexes = self.indexes(claims)?;
        let keys: Vec<[u8; 8]> = indexes.iter().flatten().map(|index| index.get().to_be_bytes()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let mut leaves = self.0.get_many(Column::Leaf, &keys)?.into_iter();
        let placed = |index: Option<LeafIndex>| {
            let Some(index) = index else { return Ok(None) };
            let leaf = leaves.next().flatten();
            let missing = || StoreError::new("read", format!("leaf {index} is missing"));
            Ok(Some(Placed { index, leaf: leaf.ok_or_else(missing)? }))
        };
        indexes.into_iter().map(placed).collect()
    }

    fn known_envelopes(&self, hashes: &[Hash]) -> Result<Vec<Option<KnownEnvelope>>, StoreError> {
        let keys: Vec<&[u8]> = hashes.iter().map(|hash| &hash.as_bytes()[..]).collect();
        let rows = self.0.get_many(Column::Envelope, &keys)?;
        let known = |(row, hash): (Option<Vec<u8>>, &Hash)| match row {
            None => Ok(None),
            Some(row) => match schema::stored_envelope(&row, hash)? {
                StoredEnvelope::Present(_) => Ok(Some(KnownEnvelope::Present)),
                StoredEnvelope::Erased(_) => Ok(Some(KnownEnvelope::Erased)),
            },
        };
        rows.into_iter().zip(hashes).map(known).collect()
    }

    fn artifact(&self, index: LeafIndex, size: TreeSize) -> Result<Option<Artifact>, StoreError> {
        if !size.contains(index) {
            return Ok(None);
        }
        match self.entry(index)? {
            Entry::Dsse(entry) => Ok(Some(Artifact::of(entry.claim()))),
            Entry::Event(_) | Entry::NotUnderstood { .. } => Ok(None),
        }
    }

    fn entry(&self, index: LeafIndex) -> Result<Entry, StoreError> {
        let damaged = |cause: String| StoreError::new("read", format!("leaf {index}: {cause}"));
        let leaf = self.0.leaf(index)?.ok_or_else(|| damaged("it is missing".into()))?;
        Entry::parse(&leaf).map_err(|error| damaged(error.to_string()))
    }

    fn open_failure(
        &self,
        issuer: Did,
        subject: Did,
        size: TreeSize,
    ) -> Result<Option<LeafIndex>, StoreError> {
        let last = Index::list(self, &List::Failures { subject, issuer }, Page::last(1, size))?;
        Ok(last.first().filter(|listed| listed.kind == ListedKind::Failure).map(|listed| listed.index))
    }

    /// The facts, of a moment that the caller knows.
    pub(super) fn facts_at(&self, wants: &Wants, at: OrderState) -> Result<Facts, StoreError> {
        Ok(Facts {
            at,
            claims: self.placed(&wants.claims)?,
            envelopes: self.known_envelopes(&wants.envelopes)?,
            identities: wants
                .identities
                .iter()
                .map(|did| listed_identity_events(self, *did, at.next))
                .collect::<Result<_, _>>()?,
            failures: wants
                .failures
                .iter()
                .map(|(issuer, subject)| self.open_failure(*issuer, *subject, at.next))
                .collect::<Result<_, _>>()?,
            message_keys: wants
                .message_keys
                .iter()
                .map(|did| Ok(message_keys_at(self, *did, at.next, 1)?.pop().map(|keys| keys.hash)))
                .collect::<Result<_, StoreError>>()?,
            artifacts: wants
                .artifacts
                .iter()
                .map(|index| self.artifact(*index, at.next))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Which events came when is not written: the leaves are read.
    pub(super) fn identity_events(
        &self,
        since: TreeSize,
        size: TreeSize,
    ) -> Result<Vec<(LeafIndex, EventEntry)>, StoreError> {
        let mut events = Vec::new();
        let mut damage = None;
        let from = since.get().min(size.get());
        self.0.leaves(from, size.get(), &mut |index, leaf| match Entry::parse(leaf) {
            Ok(Entry::Event(event)) if matches!(event.event().body(), Body::Identity(_)) => {
                events.push((LeafIndex::new(index), *event));
            }
            Ok(_) => (),
            Err(error) => damage = Some(StoreError::new("read", format!("leaf {index}: {error}"))),
        })?;
        damage.map_or(Ok(events), Err)
    }

    fn at(&self) -> Result<OrderState, StoreError> {
        let written = self.0.tree_state()?.unwrap_or_else(TreeState::empty);
        let size = written.tree_size();
        Ok(written.order(Versions { identity: size, events: size }))
    }
}

impl Index for ReadsOf<'_> {
    fn facts(&self, wants: &Wants) -> Result<Facts, StoreError> {
        self.facts_at(wants, self.at()?)
    }

    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
        self.0.claim(claim)
    }

    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.0.by_subject(subject, page)
    }

    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.0.by_did(did, page)
    }

    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.0.list(list, page)
    }

    fn identity_events_since(&self, since: TreeSize) -> Result<Since, StoreError> {
        let at = self.at()?;
        Ok((at, self.identity_events(since, at.next)?))
    }
}
