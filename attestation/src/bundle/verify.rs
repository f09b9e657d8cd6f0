//! The checks of a bundle, in the order of a receipt's. The first that does not pass ends them.
//!
//! A bundle does not tell whose key it is, nor what became of that key: the check `signer-state` is not made. With a state
//! of the signer the demand `later-state` is.

use tlog::checkpoint::Checkpoint;
use tlog::key::VerifierKey;
use tlog::merkle::{inclusion, leaf_hash};
use tlog::policy::{Cosigned, Policy, PolicyError};
use tlog::{Hash, LeafIndex, UnixTime};

use crate::did::Did;
use crate::dsse::{Envelope, PAYLOAD_TYPE, pae};
use crate::entry::{DescribeError, DsseEntry, LogTime};
use crate::receipt::{Check, Demand, Facts, Fault, Pin, Progress, Report, in_order};
use crate::sigstore::leaf::LoggedSubject;
use crate::sigstore::trusted_root::{Log, TrustedRoot};
use crate::sigstore::{Bundle, BundleError, BundleRefusal, Content, MEDIA_TYPE, SpkiKey, host_of};
use crate::statement::Statement;

/// What a verifier demands of a bundle.
#[derive(Clone, Debug)]
pub struct VerifyPolicy<'a> {
    /// Which logs to believe.
    pub root: &'a TrustedRoot,
    /// Whose signature is wanted.
    pub signer: Signer,
    /// Who must have seen the log's tree.
    pub witnesses: Witnesses<'a>,
    /// Roots that the verifier has seen: another root at one of these sizes is a fork.
    pub pins: Vec<Pin>,
    /// What is asked for beyond that, in any order.
    pub demands: Vec<Demand>,
}

/// Whose signature is wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Signer {
    /// This key's, whoever has it.
    Key(SpkiKey),
    /// This DID's, by its first key; by another only with a state that says that the key is its own.
    Did(Did),
}

/// Who must have seen the log's tree.
#[derive(Clone, Copy, Debug)]
pub enum Witnesses<'a> {
    /// The quorum of a policy. Which logs the policy names does not matter.
    Of(&'a Policy),
    /// Nobody, as the verifier says: the log's own word is enough.
    None,
    /// The verifier did not say.
    Unsaid,
}

/// What a bundle proves once every check has passed. [`verify`] is the only way to get one.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    content: Content,
    key: SpkiKey,
    did: Option<Did>,
    checkpoint: Checkpoint,
    index: LeafIndex,
    logged_at: Option<LogTime>,
    cosigned: Vec<Cosigned>,
}

impl Verified {
    /// What was signed.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The statement, if one was signed.
    pub fn statement(&self) -> Option<&Statement> {
        match &self.content {
            Content::Envelope { statement, .. } => Some(statement),
            Content::Message(_) => None,
        }
    }

    /// The key that signed it.
    pub fn key(&self) -> &SpkiKey {
        &self.key
    }

    /// The DID that was asked for, if one was.
    pub fn did(&self) -> Option<Did> {
        self.did
    }

    /// The tree that holds the entry.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The place of the entry.
    pub fn index(&self) -> LeafIndex {
        self.index
    }

    /// When it was logged, by the log's clock, in an entry that says so.
    pub fn logged_at(&self) -> Option<LogTime> {
        self.logged_at
    }

    /// The witnesses that count, with their times.
    pub fn cosigned(&self) -> &[Cosigned] {
        &self.cosigned
    }
}

/// Verifies the bundle in `bytes` for the artifact with this SHA-256. Without clock and network: `now` is only needed where
/// a log's key has an end, or an age is limited.
pub fn verify(
    bytes: &[u8],
    policy: &VerifyPolicy<'_>,
    artifact: &Hash,
    now: Option<UnixTime>,
) -> Report<Verified> {
    let mut progress = Progress::new(Check::OF_BUNDLES.into_iter(), &in_order(&policy.demands));
    let result = match Bundle::parse(bytes) {
        Ok(bundle) => BundleCheck { bundle: &bundle, policy, artifact, now }.check(&mut progress),
        Err(error) => Err(BundleRefusal::Format(error).into()),
    };
    progress.end(result)
}

struct BundleCheck<'a> {
    bundle: &'a Bundle,
    policy: &'a VerifyPolicy<'a>,
    artifact: &'a Hash,
    now: Option<UnixTime>,
}

impl BundleCheck<'_> {
    fn check(&self, progress: &mut Progress) -> Result<Verified, Fault> {
        let bundle = self.bundle;
        progress.pass(Check::Format, MEDIA_TYPE);
        progress.pass(Check::ArtifactDigest, self.artifact_digest()?);
        let key = self.signature()?;
        progress.pass(Check::Signature, key.to_string());
        progress.pass(Check::Leaf, self.leaf(key)?);
        let quorum = self.quorum();
        let log = self.log_signature(&quorum)?;
        let checkpoint = &bundle.note.checkpoint;
        progress.pass(Check::LogSignature, format!("{} of size {}", checkpoint.origin, checkpoint.size));
        let cosigned = quorum?;
        progress.pass_quorum(self.seen_by(&cosigned), &cosigned);
        let leaf = leaf_hash(&bundle.body);
        inclusion::verify(&leaf, bundle.index, checkpoint.size, &bundle.hashes, &checkpoint.root)
            .map_err(Fault::Inclusion)?;
        progress.pass(Check::Inclusion, format!("index {}", bundle.index));
        progress.pass(Check::Signer, self.signer(key)?);
        let verified = Verified {
            content: bundle.content.clone(),
            key: key.clone(),
            did: match self.policy.signer {
                Signer::Did(did) => Some(did),
                Signer::Key(_) => None,
            },
            checkpoint: checkpoint.clone(),
            index: bundle.index,
            logged_at: self.bundle.leaf.ours().map(DsseEntry::logged_at),
            cosigned,
        };
        self.meet_demands(&verified, log.as_ref(), progress)?;
        Ok(verified)
    }

    fn meet_demands(
        &self,
        verified: &Verified,
        log: Option<&VerifierKey>,
        progress: &mut Progress,
    ) -> Result<(), Fault> {
        let signer = match (verified.did, &verified.key) {
            (Some(did), SpkiKey::Ed25519(key)) => Some((did, key.as_bytes())),
            _ => None,
        };
        let facts = Facts {
            statement: verified.statement(),
            artifact: self.artifact,
            checkpoint: &verified.checkpoint,
            index: verified.index,
            logged_at: verified.logged_at,
            quorum_time: self.witnesses().and_then(|policy| policy.quorum_time(&verified.cosigned)),
            log,
            signer,
        };
        for demand in in_order(&self.policy.demands) {
            progress.pass(demand.check(), facts.meet(demand, self.now)?);
        }
        Ok(())
    }

    fn artifact_digest(&self) -> Result<String, Fault> {
        match &self.bundle.content {
            Content::Message(digest) if digest == self.artifact => Ok("the message".to_owned()),
            Content::Message(digest) => {
                Err(BundleRefusal::OtherMessage { signed: *digest, artifact: *self.artifact }.into())
            }
            Content::Envelope { statement, .. } => {
                let subject = statement.subjects().iter().find(|subject| subject.sha256 == *self.artifact);
                subject.map(|subject| subject.name.clone()).ok_or(Fault::ArtifactDigest(*self.artifact))
            }
        }
    }

    /// The key that signed: the one that is named, or for a DID the one in the leaf.
    fn signature(&self) -> Result<&SpkiKey, Fault> {
        let key = match &self.policy.signer {
            Signer::Key(key) => key,
            Signer::Did(_) => &self.bundle.leaf.key,
        };
        let signature = &self.bundle.signature;
        let verifies = match &self.bundle.content {
            Content::Envelope { payload, .. } => key.verify(&pae(PAYLOAD_TYPE, payload), signature),
            Content::Message(digest) => key.verify_sha256(digest, signature),
        };
        if verifies { Ok(key) } else { Err(BundleRefusal::Signature.into()) }
    }

    /// The leaf is about this signature, by this key, over this content.
    fn leaf(&self, key: &SpkiKey) -> Result<String, Fault> {
        let leaf = &self.bundle.leaf;
        let differs = |what| Fault::from(BundleRefusal::Leaf { what });
        if leaf.key != *key {
            return Err(differs("key"));
        }
        if leaf.signature != self.bundle.signature {
            return Err(differs("signature"));
        }
        match (&leaf.subject, &self.bundle.content) {
            (LoggedSubject::Message(digest), Content::Message(message)) if digest == message => {
                Ok("hashedrekord 0.0.2 of the message".to_owned())
            }
            (LoggedSubject::Message(digest), Content::Envelope { payload, .. })
                if *digest == Hash::of(&pae(PAYLOAD_TYPE, payload)) =>
            {
                Ok("hashedrekord 0.0.2 of the envelope".to_owned())
            }
            (LoggedSubject::Payload(hash), Content::Envelope { payload, .. })
                if *hash == Hash::of(payload) =>
            {
                Ok("dsse 0.0.1 of the envelope".to_owned())
            }
            (LoggedSubject::Ours(entry), Content::Envelope { payload, .. }) => {
                self.our_leaf(entry, payload, key)
            }
            _ => Err(differs("content")),
        }
    }

    /// A leaf of this project says more, and is held to it.
    fn our_leaf(
        &self,
        entry: &DsseEntry,
        payload: &std::sync::Arc<[u8]>,
        key: &SpkiKey,
    ) -> Result<String, Fault> {
        let differs = |what| Fault::from(BundleRefusal::Leaf { what });
        let SpkiKey::Ed25519(key) = key else { return Err(differs("key")) };
        let signature = self.bundle.signature.as_slice().try_into().map_err(|_| differs("signature"))?;
        let envelope = Envelope::unverified(payload.clone(), signature);
        let statement =
            Statement::parse(payload).map_err(BundleError::from).map_err(BundleRefusal::Format)?;
        entry.claim().check_describes(&envelope, &statement, key)?;
        entry.pending().verify_claim_signature(key).map_err(DescribeError::from)?;
        let (claimed, checkpoint) = (entry.claim().origin(), &self.bundle.note.checkpoint.origin);
        let is_of_host = self.bundle.note.host() == host_of(claimed);
        if !is_of_host {
            return Err(Fault::LeafOrigin { leaf: claimed.to_owned(), checkpoint: checkpoint.clone() });
        }
        Ok(format!("dsse 0.0.1 of the envelope, claimed for {claimed}"))
    }

    /// The policy whose witnesses are asked.
    fn witnesses(&self) -> Option<&Policy> {
        match self.policy.witnesses {
            Witnesses::Of(policy) => Some(policy),
            Witnesses::None | Witnesses::Unsaid => None,
        }
    }

    fn quorum(&self) -> Result<Vec<Cosigned>, Fault> {
        match self.policy.witnesses {
            Witnesses::Of(policy) => policy.quorum(&self.bundle.note.note).map_err(|error| {
                // Rekor v1's form has no room for cosignatures: that is worth more than a count of none.
                match error {
                    PolicyError::Quorum { .. } if self.bundle.note.is_of_rekor_1() => {
                        BundleRefusal::NoRoomForWitnesses.into()
                    }
                    error => Fault::WitnessQuorum(error),
                }
            }),
            Witnesses::None => Ok(Vec::new()),
            Witnesses::Unsaid => Err(BundleRefusal::Unwitnessed.into()),
        }
    }

    fn seen_by(&self, cosigned: &[Cosigned]) -> String {
        let names: Vec<&str> = cosigned.iter().map(|by| by.witness.as_str()).collect();
        if names.is_empty() { "no witness asked for".to_owned() } else { names.join(", ") }
    }

    /// A log of the trusted root signed the checkpoint, while its key counted; the proof is for that checkpoint. Answers the
    /// log, as policies and pins name it.
    fn log_signature(&self, quorum: &Result<Vec<Cosigned>, Fault>) -> Result<Option<VerifierKey>, Fault> {
        let bundle = self.bundle;
        let log = self.policy.root.log(&bundle.log_id);
        let log = log.ok_or_else(|| BundleRefusal::UnknownLog(tlog::encoding::base64(&bundle.log_id)))?;
        let key = log.key.as_ref().map_err(|details| BundleRefusal::LogKey(details.clone()))?;
        bundle.note.verify(key, &log.host).map_err(BundleRefusal::LogSignature)?;
        let checkpoint = &bundle.note.checkpoint;
        if (bundle.size, bundle.root) != (checkpoint.size, checkpoint.root) {
            return Err(BundleRefusal::OtherTree.into());
        }
        if let Some(promise) = &bundle.promise {
            if !key.verify(promise.text.as_bytes(), &promise.signature) {
                return Err(BundleRefusal::Promise.into());
            }
            if promise.time < log.start.time {
                return Err(BundleRefusal::KeyBeforeStart(log.start.text.clone()).into());
            }
            if let Some(end) = log.end.as_ref().filter(|end| promise.time > end.time) {
                return Err(BundleRefusal::KeyAfterEnd(end.text.clone()).into());
            }
        }
        self.check_time(log, quorum.as_deref().unwrap_or_default())?;
        let Some(log) = bundle.log_in(self.policy.root) else { return Ok(None) };
        let of_this_size = |pin: &&Pin| pin.log == log && pin.size == checkpoint.size;
        match self.policy.pins.iter().filter(of_this_size).find(|pin| pin.root != checkpoint.root) {
            None => Ok(Some(log)),
            Some(pin) => {
                let (size, got) = (checkpoint.size, checkpoint.root);
                Err(Fault::PinnedRoot { size, pinned: pin.root, got })
            }
        }
    }

    /// The log's key counted when the checkpoint was signed. That was before a quorum saw it; where none did, it is not
    /// known, and the present must do.
    fn check_time(&self, log: &Log, cosigned: &[Cosigned]) -> Result<(), Fault> {
        let quorum = self.witnesses().filter(|policy| policy.quorum_name().is_some());
        let seen_by = |limit: UnixTime| {
            quorum.is_some_and(|policy| {
                policy.is_met_by(|witness| {
                    cosigned.iter().any(|by| by.witness == witness.name && by.time <= limit)
                })
            })
        };
        let too_early = || Err(BundleRefusal::KeyBeforeStart(log.start.text.clone()).into());
        let before = log.start.time.as_secs().checked_sub(1).map(UnixTime::from_secs);
        if before.is_some_and(seen_by) {
            return too_early();
        }
        let Some(end) = log.end.as_ref().filter(|end| !seen_by(end.time)) else { return Ok(()) };
        match self.now.ok_or(Fault::NoClock(Check::LogSignature))? {
            now if now > end.time => Err(BundleRefusal::KeyAfterEnd(end.text.clone()).into()),
            now if now < log.start.time => too_early(),
            _ => Ok(()),
        }
    }

    fn signer(&self, key: &SpkiKey) -> Result<String, Fault> {
        let did = match &self.policy.signer {
            Signer::Key(key) => return Ok(key.to_string()),
            Signer::Did(did) => *did,
        };
        let claimed = self.bundle.leaf.ours().map(|entry| entry.claim().did());
        if let Some(claimed) = claimed.filter(|claimed| *claimed != did) {
            return Err(Fault::SignerNotWanted(claimed));
        }
        let is_first = matches!(key, SpkiKey::Ed25519(key) if Did::of(key) == did);
        let has_state = self.policy.demands.iter().any(|demand| demand.check() == Check::LaterState);
        match (is_first, has_state) {
            (true, _) => Ok(did.to_string()),
            (false, true) => Ok(format!("{did}, if its state says so")),
            (false, false) => Err(BundleRefusal::OtherKey(did).into()),
        }
    }
}
