//! A ledger in memory, built from a log's entries in their order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::convert::Infallible;

use tlog::LeafIndex;
use tlog::key::Ed25519PublicKey;

use super::{Against, Confirmation, EdgeEvent, EdgeKind, Graph, Ledger, Logged, Negative, NegativeKind};
use attestation::did::Did;
use attestation::entry::{ClaimHash, DsseEntry, Entry};
use attestation::event::{Body, EventEntry, Scope, TrustEvent};
use attestation::identity::Identity;
use attestation::lists::ListedKind;
use attestation::message::{LoggedKeys, Recipient};
use attestation::rules::{Artifact, CheckError, Prefix, RuleError, check_artifact, check_event};

/// What the first entries of a log say. It applies every rule itself, except those of form and signatures
/// ([`attestation::leaf::check`]).
#[derive(Debug)]
pub struct MemoryLedger {
    origin: String,
    next: LeafIndex,
    known: HashSet<ClaimHash>,
    identities: HashMap<Did, Identity>,
    artifacts: HashMap<LeafIndex, Artifact>,
    receipts: HashMap<Did, Vec<Logged>>,
    edges: HashMap<Did, BTreeMap<(Did, Scope), EdgeEvent>>,
    into: HashMap<Did, BTreeSet<(Did, Scope)>>,
    negatives: HashMap<Did, Vec<(Against, Negative)>>,
    confirmations: HashMap<Did, Vec<Confirmation>>,
    open_failures: HashMap<(Did, Did), LeafIndex>,
    message_keys: HashMap<Did, LoggedKeys>,
}

impl MemoryLedger {
    /// Of the log `origin`, without entries.
    pub fn new(origin: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            next: LeafIndex::new(0),
            known: HashSet::new(),
            identities: HashMap::new(),
            artifacts: HashMap::new(),
            receipts: HashMap::new(),
            edges: HashMap::new(),
            into: HashMap::new(),
            negatives: HashMap::new(),
            confirmations: HashMap::new(),
            open_failures: HashMap::new(),
            message_keys: HashMap::new(),
        }
    }

    /// Takes the entry at `index`, whose signatures the caller has checked. An error says why it counts for nothing; the
    /// ledger is then as before, and takes further entries.
    ///
    /// # Panics
    /// If an entry of this or a higher index came before: the caller keeps the order of the log.
    pub fn push(&mut self, index: LeafIndex, entry: &Entry) -> Result<(), RuleError> {
        assert!(index >= self.next, "entries come in the order of the log");
        self.next = LeafIndex::new(index.get() + 1);
        match entry {
            Entry::Dsse(entry) => self.push_artifact(index, entry),
            Entry::Event(event) => self.push_event(index, event),
            Entry::NotUnderstood { .. } => Ok(()),
        }
    }

    fn push_artifact(&mut self, index: LeafIndex, entry: &DsseEntry) -> Result<(), RuleError> {
        let claim = entry.claim();
        self.check_new(claim.origin(), claim.hash())?;
        check_artifact(self, entry.pending()).map_err(broken)?;
        self.known.insert(claim.hash());
        self.artifacts.insert(index, Artifact::of(claim));
        let logged = Logged { index, time: entry.logged_at() };
        self.receipts.entry(claim.did()).or_default().push(logged);
        Ok(())
    }

    fn push_event(&mut self, index: LeafIndex, entry: &EventEntry) -> Result<(), RuleError> {
        let event = entry.event();
        let hash = entry.pending().hash();
        self.check_new(event.origin(), hash)?;
        let state = check_event(self, entry.pending(), index).map_err(broken)?;
        self.known.insert(hash);
        if let Some(state) = state {
            self.identities.insert(event.issuer(), state);
        }
        if let Some(keys) = LoggedKeys::of(index, entry) {
            self.message_keys.insert(event.issuer(), keys);
        }
        if let Body::Trust(trust) = event.body() {
            let logged = Logged { index, time: entry.logged_at() };
            self.take_trust(logged, event.issuer(), event.subject(), trust);
        }
        Ok(())
    }

    /// Refuses an entry that was logged before: a log that lies may log a revoked vouch or an old receipt again.
    fn check_new(&self, origin: &str, hash: ClaimHash) -> Result<(), RuleError> {
        if origin != self.origin {
            return Err(RuleError::OtherLog);
        }
        if self.known.contains(&hash) { Err(RuleError::Known) } else { Ok(()) }
    }

    fn take_trust(&mut self, logged: Logged, from: Did, to: Did, trust: &TrustEvent) {
        if let (Some(scope), Some(kind)) = (trust.scope(), EdgeKind::of(trust)) {
            let event = EdgeEvent { logged, from, to, scope, kind };
            self.edges.entry(from).or_default().insert((to, scope), event);
            self.into.entry(to).or_default().insert((from, scope));
        }
        if let Some(kind) = NegativeKind::of(trust) {
            match kind {
                NegativeKind::Failure { .. } => {
                    self.open_failures.insert((from, to), logged.index);
                }
                NegativeKind::Withdrawal => {
                    self.open_failures.remove(&(from, to));
                }
                NegativeKind::Equivocation { .. } => (),
            }
            let against = Against { index: logged.index, from, kind: ListedKind::of_trust(trust) };
            self.negatives.entry(to).or_default().push((against, Negative { time: logged.time, kind }));
        }
        if let TrustEvent::Confirmation { receipt, build, .. } = trust {
            let confirmation = Confirmation { logged, from, receipt: receipt.index, build: build.index };
            self.confirmations.entry(to).or_default().push(confirmation);
        }
    }

    /// How messages reach a DID. Without an inception that is the key that hashes to it, if the caller has it.
    pub fn recipient(&self, did: Did, genesis: Option<&Ed25519PublicKey>) -> Option<Recipient> {
        let Some(state) = self.identities.get(&did) else {
            return genesis.filter(|key| Did::of(key) == did).copied().map(Recipient::Bare);
        };
        let said = self.message_keys.get(&did).cloned();
        // The caller has checked the signatures, and with them the keys.
        Recipient::registered(state.clone(), said.into_iter().collect()).ok()
    }

    /// The latest vouch, revocation or distrust by every DID about every other in every scope, in any order.
    pub fn edges(&self) -> impl Iterator<Item = &EdgeEvent> {
        self.edges.values().flat_map(BTreeMap::values)
    }
}

impl EdgeKind {
    /// What a vouch, revocation or distrust says; `None` of another event.
    pub fn of(event: &TrustEvent) -> Option<Self> {
        match event {
            TrustEvent::Vouch { level, depth, expires_at, .. } => {
                Some(Self::Vouch { level: *level, depth: *depth, expires_at: *expires_at })
            }
            TrustEvent::Revocation { .. } => Some(Self::Revocation),
            TrustEvent::Distrust { .. } => Some(Self::Distrust),
            _ => None,
        }
    }
}

impl NegativeKind {
    /// What a failure, withdrawal or equivocation says; `None` of another event.
    pub fn of(event: &TrustEvent) -> Option<Self> {
        match event {
            TrustEvent::Failure { artifact, reason, .. } => {
                Some(Self::Failure { artifact: *artifact, reason: *reason })
            }
            TrustEvent::Withdrawal { .. } => Some(Self::Withdrawal),
            TrustEvent::Equivocation { receipts: [first, second], .. } => {
                Some(Self::Equivocation { receipts: [first.index, second.index] })
            }
            _ => None,
        }
    }
}

fn broken(error: CheckError<Infallible>) -> RuleError {
    match error {
        CheckError::Rule(error) => error,
        CheckError::Prefix(never) => match never {},
    }
}

impl Prefix for MemoryLedger {
    type Error = Infallible;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Infallible> {
        Ok(self.identities.get(&did).map(Cow::Borrowed))
    }

    fn artifact(&self, index: LeafIndex) -> Result<Option<Cow<'_, Artifact>>, Infallible> {
        Ok(self.artifacts.get(&index).map(Cow::Borrowed))
    }

    fn open_failure(&self, from: Did, to: Did) -> Result<Option<LeafIndex>, Infallible> {
        Ok(self.open_failures.get(&(from, to)).copied())
    }

    fn message_keys(&self, did: Did) -> Result<Option<ClaimHash>, Infallible> {
        Ok(self.message_keys.get(&did).map(|keys| keys.hash))
    }
}

impl Ledger for MemoryLedger {
    type Error = Infallible;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, Infallible> {
        Prefix::identity(self, did)
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, Infallible> {
        Ok(self.edges.get(&from).and_then(|edges| edges.get(&(to, scope))).copied())
    }

    fn against(&self, did: Did) -> Result<Vec<Against>, Infallible> {
        Ok(self.negatives.get(&did).into_iter().flatten().map(|(against, _)| *against).collect())
    }

    fn negative(&self, did: Did, against: &Against) -> Result<Negative, Infallible> {
        let all = self.negatives.get(&did).map_or(&[][..], Vec::as_slice);
        let at = all.binary_search_by_key(&against.index, |(known, _)| known.index);
        Ok(all[at.expect("it is one of those that this ledger named")].1)
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, Infallible> {
        Ok(self.confirmations.get(&did).cloned().unwrap_or_default())
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, Infallible> {
        Ok(self.receipts.get(&did).cloned().unwrap_or_default())
    }
}

impl Graph for MemoryLedger {
    fn edges_from(&self, from: Did) -> Result<Vec<EdgeEvent>, Infallible> {
        Ok(self.edges.get(&from).into_iter().flat_map(BTreeMap::values).copied().collect())
    }

    fn edges_into(&self, to: Did) -> Result<Vec<EdgeEvent>, Infallible> {
        let from = self.into.get(&to).into_iter().flatten();
        Ok(from.filter_map(|(from, scope)| self.edges.get(from)?.get(&(to, *scope))).copied().collect())
    }
}
