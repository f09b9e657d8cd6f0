//! Cosignatures on one checkpoint: which lines count, and whether they make the quorum. Pure.
//!
//! Between recording a checkpoint and publishing it the log asks its witnesses, those of the policy that
//! have a URL. [`Gathering`] holds what came back for one checkpoint; [`Cosigners`] is how they are asked. When to ask and
//! when to publish is the integrator's business.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tlog::key::VerifierKey;
use tlog::note::{Note, NoteSignature};
use tlog::policy::{Cosigned, Policy, Witness};
use tlog::{Hash, TreeSize, UnixTime};

use crate::view::View;

/// The cosignatures on one checkpoint: the newest line of each key.
#[derive(Clone, Debug)]
pub struct Gathering {
    policy: Arc<Policy>,
    /// The log's own lines: all that a witness is sent.
    own: Note,
    /// By the witnesses of the policy, in its order.
    lines: Vec<Option<(UnixTime, NoteSignature)>>,
}

impl Gathering {
    /// Takes the lines of `note` that count: those of the log's own `keys`, and those of witnesses of the policy. Lines of
    /// witnesses that have left the policy are dropped.
    pub fn new(policy: Arc<Policy>, keys: &[VerifierKey], note: &Note) -> Self {
        let mut own = Note::unsigned(note.text().to_owned());
        for line in note.signatures().iter().filter(|line| keys.iter().any(|key| line.is_by(key))) {
            own.add(line.clone());
        }
        let lines = vec![None; policy.witnesses().len()];
        let mut gathering = Self { policy, own, lines };
        for line in note.signatures() {
            // A line that does not count is left out, as in an answer of a witness.
            let _ = gathering.offer(line.clone());
        }
        gathering
    }

    /// The checkpoint with the log's own lines.
    pub fn own(&self) -> &Note {
        &self.own
    }

    /// Adds a line if it is a cosignature of a witness of the policy on this checkpoint and newer than the one there
    /// is. Answers the witness and the time if the line was added.
    pub fn offer(&mut self, line: NoteSignature) -> Result<Option<Cosigned>, BadLine> {
        let known = self.policy.witnesses().iter().position(|witness| line.is_by(&witness.vkey));
        let at = known.ok_or_else(|| BadLine::Unknown(line.name().to_string()))?;
        let Witness { name, vkey, .. } = &self.policy.witnesses()[at];
        let keys = [vkey.clone()];
        let mut note = Note::unsigned(self.own.text().to_owned());
        note.add(line.clone());
        let bad = |cause: &dyn fmt::Display| BadLine::Signature(cause.to_string());
        let signed = note.verify(&keys).map_err(|e| bad(&e))?;
        let time = signed.first().and_then(|signed| signed.time).ok_or_else(|| bad(&"it has no time"))?;
        if self.lines[at].as_ref().is_some_and(|(known, _)| *known >= time) {
            return Ok(None);
        }
        self.lines[at] = Some((time, line));
        Ok(Some(Cosigned { witness: name.clone(), time }))
    }

    /// Whether the quorum of the policy is met.
    pub fn is_met(&self) -> bool {
        self.policy.is_met_by(|witness| self.line_of(&witness.name).is_some())
    }

    /// The checkpoint with every line: what is published.
    pub fn note(&self) -> Note {
        let mut note = self.own.clone();
        self.lines.iter().flatten().for_each(|(_, line)| note.add(line.clone()));
        note
    }

    /// When each witness that cosigned did so.
    pub fn times(&self) -> impl Iterator<Item = (&str, UnixTime)> {
        let lines = self.policy.witnesses().iter().zip(&self.lines);
        lines.filter_map(|(witness, line)| line.as_ref().map(|(time, _)| (witness.name.as_str(), *time)))
    }

    fn line_of(&self, name: &str) -> Option<&NoteSignature> {
        let at = self.policy.witnesses().iter().position(|witness| witness.name == name)?;
        self.lines[at].as_ref().map(|(_, line)| line)
    }
}

/// A line that a witness answered and that does not count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadLine {
    /// By no key that the policy has.
    #[error("it is by `{0}`, no witness of the policy")]
    Unknown(String),
    /// It does not verify.
    #[error("{0}")]
    Signature(String),
}

/// What witnesses are asked: to cosign the published tree of `view`, or the one that will be.
#[derive(Clone)]
pub struct Ask {
    /// The checkpoint with the log's own lines only.
    pub note: Note,
    /// The tree, for consistency proofs.
    pub view: View,
}

/// What a witness answered about a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Its name in the policy; of several keys behind one URL the first.
    pub witness: String,
    /// The size that was asked about.
    pub size: TreeSize,
    /// The root that was asked about.
    pub root: Hash,
    /// The smallest size that it said it had cosigned last, if it corrected us.
    pub named: Option<TreeSize>,
    /// What it said in the end.
    pub outcome: Outcome,
}

/// What a witness said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Lines to add, unchecked.
    Cosigned(Vec<NoteSignature>),
    /// No cosignature now, for this reason; it is asked again.
    Failed(String),
    /// It says that it has seen another tree, or more of this one. Its word alone is an alarm. The checkpoint that it
    /// shows counts, if the log signed it.
    Objects {
        /// Its words.
        reason: String,
        /// What it serves as its last checkpoint of this log, unchecked.
        shown: Option<Note>,
    },
}

/// Asks witnesses. Answers come later; nothing here waits, but [`Cosigners::survey`].
pub trait Cosigners: Send + Sync {
    /// Before the first signature: what every witness that can be reached says to a checkpoint that was
    /// signed before.
    fn survey(&mut self, ask: Ask) -> Surveying<'_>;

    /// From now on, until the next call: cosign this.
    fn ask(&mut self, ask: Ask);

    /// What was answered since the last call.
    fn answers(&mut self) -> Vec<Answer>;
}

/// The answers to a survey, once all are heard that can be.
pub type Surveying<'a> = Pin<Box<dyn Future<Output = Vec<Answer>> + Send + 'a>>;

/// How publication stands, for readers of `/readyz`, for submitters and for metrics.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cosigning {
    /// Why the signed checkpoint is not published yet, once its witnesses are late.
    pub below_quorum: Option<String>,
    /// What is published without its quorum, by the operator's setting or before the policy was changed.
    pub shown_below_quorum: Option<String>,
    /// Why nothing is signed any more: a witness showed a tree that this log signed and does not have.
    pub halted: Option<String>,
    /// Each witness of the policy.
    pub witnesses: Vec<Health>,
}

/// How a witness does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Health {
    /// Its name in the policy.
    pub name: String,
    /// What it cosigned last, and when.
    pub cosigned: Option<(TreeSize, UnixTime)>,
    /// Why it did not cosign what it was asked last.
    pub failing: Option<String>,
    /// Set if it named a smaller size than it had cosigned. A person has to look: it stays until the next start.
    pub forgot: Option<String>,
}

/// `name: cosigned size 7 at 1790000000`, and why it does not now.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cosigned {
            Some((size, time)) => write!(f, "{}: cosigned size {size} at {time}", self.name)?,
            None => write!(f, "{}: has cosigned nothing yet", self.name)?,
        }
        self.failing.iter().try_for_each(|why| write!(f, "; failing: {why}"))?;
        self.forgot.iter().try_for_each(|what| write!(f, "; ALARM: {what}"))
    }
}

impl Cosigning {
    /// The witnesses of a policy, before any was asked.
    pub fn new(policy: &Policy) -> Self {
        let health = |name: &String| Health { name: name.clone(), ..Health::default() };
        let witnesses = policy.witnesses().iter().map(|witness| health(&witness.name)).collect();
        Self { witnesses, ..Self::default() }
    }

    /// Those that have forgotten what they cosigned, and what.
    pub fn forgetful(&self) -> Option<String> {
        let forgetful = |health: &Health| Some(format!("{}: {}", health.name, health.forgot.as_ref()?));
        let all: Vec<String> = self.witnesses.iter().filter_map(forgetful).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// The words of those that have not cosigned a checkpoint.
    pub fn failures(&self) -> String {
        let failing = self
            .witnesses
            .iter()
            .filter_map(|witness| witness.failing.as_ref().map(|why| format!("{}: {why}", witness.name)));
        failing.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::checkpoint::Checkpoint;
    use tlog::cosignature::cosign;
    use tlog::key::{KeyName, KeyType, SignerKey};

    fn signer(name: &str, kind: KeyType, seed: u8) -> SignerKey {
        SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[seed; 32])
    }

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint::new("example.com/log", TreeSize::new(size), Hash::of(&size.to_be_bytes()))
    }

    struct World {
        log: SignerKey,
        one: SignerKey,
        two: SignerKey,
        policy: Arc<Policy>,
    }

    fn world() -> World {
        let log = signer("example.com/log", KeyType::Ed25519, 1);
        let one = signer("w1.example", KeyType::Ed25519Cosignature, 2);
        let two = signer("w2.example", KeyType::MlDsa44Cosignature, 3);
        let text = format!(
            "log {}\nwitness one {}\nwitness two {}\ngroup both all one two\nquorum both\n",
            log.verifier(),
            one.verifier(),
            two.verifier()
        );
        World { policy: Arc::new(text.parse().expect("a policy")), log, one, two }
    }

    #[test]
    fn lines_count_once_a_key_and_the_newest_stays() {
        let World { log, one, two, policy } = world();
        let keys = [log.verifier().clone()];
        let checkpoint = checkpoint(7);
        let at = |key: &SignerKey, time| cosign(key, &checkpoint, UnixTime::from_secs(time)).expect("a line");
        let mut gathering = Gathering::new(policy.clone(), &keys, &checkpoint.sign(&log));
        assert!(!gathering.is_met());
        let taken = |witness: &str, time| {
            Ok(Some(Cosigned { witness: witness.to_owned(), time: UnixTime::from_secs(time) }))
        };
        assert_eq!(gathering.offer(at(&one, 10)), taken("one", 10));
        assert_eq!(gathering.offer(at(&one, 9)), Ok(None), "an older one does not replace it");
        assert_eq!(gathering.offer(at(&one, 11)), taken("one", 11), "a newer one does");
        assert!(!gathering.is_met(), "one key is one vote");
        assert_eq!(gathering.offer(at(&two, 20)), taken("two", 20));
        assert!(gathering.is_met());
        assert_eq!(gathering.note().signatures().len(), 3);
        assert_eq!(gathering.own().signatures().len(), 1, "witnesses are sent the log's lines only");
        let times: Vec<_> = gathering.times().map(|(name, time)| (name.to_owned(), time.as_secs())).collect();
        assert_eq!(times, [("one".to_owned(), 11), ("two".to_owned(), 20)]);
        policy.quorum(&gathering.note()).expect("a verifier counts the same");
        let again = Gathering::new(policy, &keys, &gathering.note());
        assert!(again.is_met(), "what was recorded is taken up again");
    }

    #[test]
    fn lines_that_do_not_count_change_nothing() {
        let World { log, one, policy, .. } = world();
        let mut gathering = Gathering::new(policy, &[log.verifier().clone()], &checkpoint(7).sign(&log));
        let time = UnixTime::from_secs(5);
        let stranger = signer("w3.example", KeyType::Ed25519Cosignature, 9);
        let same_name = signer("w1.example", KeyType::Ed25519Cosignature, 9);
        let forged = {
            let by_other = cosign(&same_name, &checkpoint(7), time).expect("a line");
            NoteSignature::new(
                one.verifier().name().clone(),
                one.verifier().id(),
                by_other.signature().to_vec(),
            )
        };
        let other_tree = cosign(&one, &checkpoint(8), time).expect("a line");
        for line in [
            cosign(&stranger, &checkpoint(7), time).expect("a line"),
            cosign(&same_name, &checkpoint(7), time).expect("a line"),
            forged,
            other_tree,
            NoteSignature::new(one.verifier().name().clone(), one.verifier().id(), vec![0; 72]),
        ] {
            assert!(gathering.offer(line.clone()).is_err(), "{line}");
        }
        assert_eq!(gathering.note(), *gathering.own());
    }
}
