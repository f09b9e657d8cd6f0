//! From a committed tree to a published one: sign, record, let the witnesses cosign, record, publish.
//!
//! At most one signed checkpoint waits for its quorum. While it waits, at most one further round is committed
//! ([`has_room`]), so that nothing grows without bound behind a broken quorum. After a crash at any point one of the two records has the signed
//! checkpoint; the next start takes it up and asks again.

use std::sync::Arc;
use std::time::Duration;

use tlog::TreeSize;
use tlog::UnixTime;
use tlog::checkpoint::Checkpoint;
use tlog::merkle;
use tlog::note::Note;
use tlog::policy::{Cosigned, Policy};

use super::{FatalError, Integrator};
use crate::StoreError;
use crate::cosign::{Answer, Ask, BadLine, Cosigners, Cosigning, Gathering, Outcome, Surveying};
use crate::log_keys::LogKeys;
use crate::metrics;
use crate::port::{Epoch, IntegratorEngine, Moved, Publishing, Record, Signing};
use crate::stored::stored_hashes;
use crate::view::{Published, View};

/// Who cosigns, and when.
pub struct Publication {
    /// Witnesses and quorum.
    pub policy: Arc<Policy>,
    /// How the witnesses are asked.
    pub cosigners: Box<dyn Cosigners>,
    /// When.
    pub rhythm: Rhythm,
}

/// When a log signs, and how long it waits for its witnesses.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm {
    /// The least time between two checkpoints.
    pub publish_interval: Duration,
    /// When a signed checkpoint without its quorum is late: submitters are told, and `fail_open` publishes it.
    pub quorum_timeout: Duration,
    /// How often an idle log has its checkpoint cosigned anew, so that its age can be judged.
    pub recosign_interval: Duration,
    /// Publish without the quorum once it is late. Verifiers that ask for a quorum still refuse such receipts.
    pub fail_open: bool,
}

impl Publication {
    /// For a log that no witness cosigns: `quorum none`.
    pub fn alone(keys: &LogKeys) -> Self {
        let policy = format!("log {}\nquorum none\n", keys.key.verifier());
        let policy = policy.parse().expect("a log and a quorum are a policy");
        let rhythm = Rhythm {
            publish_interval: Duration::ZERO,
            quorum_timeout: Duration::ZERO,
            recosign_interval: Duration::MAX,
            fail_open: false,
        };
        Self { policy: Arc::new(policy), cosigners: Box::new(Nobody), rhythm }
    }
}

/// A signed and recorded checkpoint that is not published yet.
pub(super) struct Candidate {
    published: Published,
    gathering: Gathering,
    /// On the monotonic clock.
    signed_at: Duration,
}

impl Candidate {
    pub(super) fn new(published: Published, gathering: Gathering, signed_at: Duration) -> Self {
        Self { published, gathering, signed_at }
    }

    pub(super) fn size(&self) -> TreeSize {
        self.published.size()
    }
}

/// Whether a round may be ordered behind the checkpoint that was signed last: always if it is published, and one round if it
/// waits for its quorum. Then the tree is larger than that checkpoint, perhaps since before a restart. A function of the three
/// sizes alone, so that every front answers the same.
pub fn has_room(next: TreeSize, signed: TreeSize, published: TreeSize) -> bool {
    signed <= published || next <= signed
}

impl<E: IntegratorEngine, R: Record> Integrator<E, R> {
    /// One turn: takes answers of witnesses, integrates what is ordered, publishes a checkpoint that has its quorum, signs
    /// one that is due. Who does not lead looks after the lead. After an error the process must stop.
    pub async fn tend(&mut self) -> Result<(), FatalError> {
        if !self.look().await? {
            // What witnesses answer is about a checkpoint that is the leader's business now.
            self.publication.cosigners.answers();
            return Ok(());
        }
        self.hear().await?;
        let Some(epoch) = self.epoch else { return Ok(()) };
        self.tend_clock(epoch).await?;
        let waits = self.again_at.is_some_and(|again| self.mono() < again);
        if self.cosigning.borrow().halted.is_some() || waits {
            return Ok(());
        }
        self.again_at = None;
        self.integrate(epoch).await?;
        // A witness may refuse the empty tree. The checkpoint of the first entry takes its place.
        if self.tree.edge().size() > TreeSize::EMPTY
            && self.candidate.as_ref().is_some_and(|signed| signed.size() == TreeSize::EMPTY)
        {
            self.candidate = None;
        }
        while self.may_go_on(epoch) {
            if self.candidate.is_none() && self.is_due() {
                self.sign(epoch).await?;
            }
            if !self.may_go_on(epoch) || !self.publish_if_met(epoch).await? {
                break;
            }
        }
        self.ask_anew_if_due();
        self.say_if_late();
        Ok(())
    }

    /// Whether this turn goes on: it leads, nothing is wrong, and no call has failed.
    fn may_go_on(&self, epoch: Epoch) -> bool {
        self.epoch == Some(epoch) && self.again_at.is_none() && self.cosigning.borrow().halted.is_none()
    }

    /// Goes on with another policy. The waiting and the published checkpoint keep the cosignatures that count under it, and
    /// its witnesses are asked. Answers what went before: its requests may be under way, and dropping it may take long. After
    /// an error the process must stop.
    pub async fn adopt(&mut self, publication: Publication) -> Result<Publication, FatalError> {
        let before = std::mem::replace(&mut self.publication, publication);
        let policy = self.publication.policy.clone();
        if let Some(Candidate { published, gathering, signed_at }) = self.candidate.take() {
            self.candidate = Some(Candidate::new(published, self.gathering(&gathering.note()), signed_at));
        }
        if let Some(shown) = self.shown.take() {
            let shown = self.gathering(&shown.note());
            let checkpoint = self.published.borrow().checkpoint.clone();
            self.say_if_shown_below_quorum(&checkpoint, &shown);
            self.shown = Some(shown);
        }
        self.guard.keep_witnesses(|name| policy.witnesses().iter().any(|witness| witness.name == name));
        self.cosigning.send_modify(|cosigning| {
            let known = std::mem::replace(&mut cosigning.witnesses, Cosigning::new(&policy).witnesses);
            for health in &mut cosigning.witnesses {
                if let Some(known) = known.iter().find(|known| known.name == health.name) {
                    *health = known.clone();
                }
            }
            cosigning.below_quorum = None;
        });
        self.ask_witnesses();
        self.tend().await?;
        Ok(before)
    }

    /// When [`tend`](Self::tend) has something to do at the latest, from now; `None` for not before news.
    pub fn next_tend(&self) -> Option<Duration> {
        if self.cosigning.borrow().halted.is_some() {
            return None;
        }
        let now = self.mono();
        let rhythm = &self.publication.rhythm;
        let late = self.candidate.as_ref().map(|signed| signed.signed_at + rhythm.quorum_timeout);
        let late = late.filter(|late| *late > now);
        let due =
            (self.candidate.is_none() && self.is_behind()).then(|| self.signed_at + rhythm.publish_interval);
        let anew = self.has_witnesses().then(|| self.ask_anew_at());
        let clock = match *self.clock_stopped.borrow() {
            Some(_) => now + CLOCK_PAUSE,
            None => now + CLOCK_LOOK,
        };
        let lease = self.candidacy.lease.map(|lease| self.leased_at + lease / 3);
        let next = match self.epoch {
            Some(_) => [late, due, anew, lease, self.again_at, Some(clock)].into_iter().flatten().min(),
            None => [lease, Some(clock)].into_iter().flatten().min(),
        };
        // Nothing is tried before the pause after a failure is over.
        let next = next.map(|at| at.max(self.again_at.unwrap_or_default()));
        next.map(|at| at.saturating_sub(now))
    }

    /// Whether a round may be ordered now.
    pub fn takes_entries(&self) -> bool {
        let published = self.published.borrow().size();
        let signed = self.candidate.as_ref().map_or(published, Candidate::size);
        self.cosigning.borrow().halted.is_none() && has_room(self.ordered.next, signed, published)
    }

    /// Whether everything that is committed is published.
    pub fn is_settled(&self) -> bool {
        self.candidate.is_none() && !self.is_behind()
    }

    fn is_behind(&self) -> bool {
        let published = self.published.borrow();
        published.size() != self.ordered.next || !published.is_signed()
    }

    fn is_due(&self) -> bool {
        let never = !self.published.borrow().is_signed();
        self.is_behind()
            && (never || self.mono() >= self.signed_at + self.publication.rhythm.publish_interval)
    }

    /// Signs the integrated tree, and records that in both places before anybody sees it.
    async fn sign(&mut self, epoch: Epoch) -> Result<(), FatalError> {
        let (wall, mono) = (self.clocks)();
        let size = self.tree.edge().size();
        let checkpoint = Checkpoint::new(self.keys.origin(), size, self.tree.edge().root());
        let note = self.keys.sign(&checkpoint, UnixTime::from_secs(wall / 1_000));
        let text = note.to_string();
        self.record.write(&text).await?;
        let gathering = self.gathering(&note);
        if !gathering.is_met() {
            // Without witnesses the engine's record is part of the one write that publishes.
            match self.engine.sign(epoch, Signing { size, note: &text }).await {
                Ok(Moved::Moved) => (),
                Ok(Moved::Another(heads)) => return Ok(self.follow(&heads)?),
                Err(failed) => return self.failed(failed).await,
            }
        }
        let sigstore = self.keys.sigstore.sign(checkpoint.size, checkpoint.root, &self.keys.key);
        let published = Published::new(checkpoint, note, sigstore.to_string(), self.tree.edge().clone());
        self.signed_at = mono;
        self.candidate = Some(Candidate::new(published, gathering, mono));
        self.ask_witnesses();
        Ok(())
    }

    /// Publishes the candidate if its quorum is met, or is late and the operator wants it published anyway.
    async fn publish_if_met(&mut self, epoch: Epoch) -> Result<bool, FatalError> {
        let Some(candidate) = &self.candidate else { return Ok(false) };
        let is_met = candidate.gathering.is_met();
        let is_overdue = self.publication.rhythm.fail_open && self.is_late(candidate);
        if !is_met && !is_overdue {
            return Ok(false);
        }
        let Some(candidate) = self.candidate.take() else { return Ok(false) };
        let size = candidate.size();
        if !is_met {
            let size = size.get();
            tracing::warn!(
                size,
                "published without the quorum: verifiers that ask for it refuse the receipts"
            );
        }
        let Candidate { published, gathering, signed_at } = candidate;
        let note = gathering.note();
        let publishing = Publishing {
            size,
            note: &note.to_string(),
            sigstore: &published.sigstore_note,
            signed: Some(&gathering.own().to_string()),
        };
        match self.engine.publish(epoch, publishing).await {
            Ok(Moved::Moved) => (),
            Ok(Moved::Another(heads)) => return self.follow(&heads).map(|()| false).map_err(FatalError),
            Err(failed) => {
                // It is published again, or the lead is gone.
                self.candidate = Some(Candidate { published, gathering, signed_at });
                return self.failed(failed).await.map(|()| false);
            }
        }
        metrics::published(size.get(), self.mono().saturating_sub(signed_at));
        self.cosigning.send_if_modified(|cosigning| cosigning.below_quorum.take().is_some());
        self.say_if_shown_below_quorum(&published.checkpoint, &gathering);
        self.published.send_replace(Arc::new(published.with_note(note)));
        self.shown = Some(gathering);
        Ok(true)
    }

    async fn hear(&mut self) -> Result<(), FatalError> {
        let mut is_changed = false;
        for answer in self.publication.cosigners.answers() {
            is_changed |= self.take(answer).await?;
        }
        let (Some(epoch), true, Some(shown)) = (self.epoch, is_changed, self.shown.clone()) else {
            return Ok(());
        };
        // A cosignature that comes late is added while the checkpoint is current.
        let note = shown.note();
        let published = self.published.borrow().with_note(note);
        let publishing = Publishing {
            size: published.size(),
            note: &published.note.to_string(),
            sigstore: &published.sigstore_note,
            signed: None,
        };
        match self.engine.publish(epoch, publishing).await {
            Ok(Moved::Moved) => (),
            Ok(Moved::Another(heads)) => return Ok(self.follow(&heads)?),
            // It comes with the next one, or is asked for anew.
            Err(failed) => return self.failed(failed).await,
        }
        self.say_if_shown_below_quorum(&published.checkpoint, &shown);
        self.published.send_replace(Arc::new(published));
        Ok(())
    }

    /// Takes an answer; whether the published note gained by it.
    pub(super) async fn take(&mut self, answer: Answer) -> Result<bool, FatalError> {
        let Answer { witness, size, root, named, outcome } = answer;
        if let Some(named) = named {
            self.compare_with_cosigned(&witness, named);
        }
        match outcome {
            Outcome::Cosigned(lines) => {
                let is_of = |published: &Published| {
                    published.checkpoint.size == size && published.checkpoint.root == root
                };
                let candidate = self.candidate.as_mut().filter(|signed| is_of(&signed.published));
                let (gathering, is_shown) = match candidate {
                    Some(candidate) => (&mut candidate.gathering, false),
                    None => match self.shown.as_mut().filter(|_| is_of(&self.published.borrow())) {
                        Some(shown) => (shown, true),
                        // About a checkpoint that is no longer current.
                        None => return Ok(false),
                    },
                };
                let offers: Vec<_> = lines.into_iter().map(|line| gathering.offer(line)).collect();
                let new: Vec<&Cosigned> =
                    offers.iter().filter_map(|offer| offer.as_ref().ok()?.as_ref()).collect();
                new.iter().for_each(|cosigned| self.succeeds(cosigned, size));
                // A witness may sign with further keys that the policy does not name.
                let is_known = offers.iter().any(Result::is_ok);
                let is_fault = |bad: &&BadLine| !is_known || matches!(bad, BadLine::Signature(_));
                if let Some(bad) = offers.iter().filter_map(|offer| offer.as_ref().err()).find(is_fault) {
                    self.fails(&witness, format!("its cosignature does not count: {bad}"));
                }
                Ok(is_shown && !new.is_empty())
            }
            Outcome::Failed(reason) => {
                self.fails(&witness, reason);
                Ok(false)
            }
            Outcome::Objects { reason, shown } => {
                metrics::witness_objects(&witness);
                tracing::warn!(witness, reason, "a witness objects to this log's checkpoint");
                if let Some(shown) = shown
                    && let Some(cause) = self.judge(&shown)?
                    && let Some(epoch) = self.epoch
                    && self.still_leads(epoch).await?
                {
                    self.halt(shows_more(&witness, &cause));
                    self.keep_shown(&shown).await?;
                }
                self.fails(&witness, reason);
                Ok(false)
            }
        }
    }

    /// Reports a witness that names a smaller size than it has cosigned. It has lost its state, or is two witnesses with one
    /// key, and would cosign a fork of the entries in between.
    fn compare_with_cosigned(&self, witness: &str, named: TreeSize) {
        let url = |name: &str| {
            let of_name = self.publication.policy.witnesses().iter().find(|witness| witness.name == name);
            of_name.and_then(|witness| witness.url.as_deref()).map(|url| url.trim_end_matches('/'))
        };
        self.cosigning.send_if_modified(|cosigning| {
            // Several keys behind one URL are one witness.
            let is_it = |name: &str| name == witness || url(name).is_some() && url(name) == url(witness);
            let of_it = cosigning.witnesses.iter().filter(|health| is_it(&health.name));
            let cosigned = of_it.filter_map(|health| health.cosigned).map(|(size, _)| size).max();
            let Some(cosigned) = cosigned.filter(|cosigned| *cosigned > named) else { return false };
            let forgot = format!("it cosigned size {cosigned}, and says that the last was {named}");
            tracing::error!(witness, forgot, "ALARM: a witness has forgotten what it cosigned");
            metrics::witness_forgot(witness);
            let health = cosigning.witnesses.iter_mut().find(|health| health.name == witness);
            if let Some(health) = health {
                health.forgot = Some(forgot);
            }
            true
        });
    }

    /// How a checkpoint that a witness shows contradicts this log; `None` if the log did not sign it or it fits.
    pub(super) fn judge(&self, shown: &Note) -> Result<Option<String>, StoreError> {
        let Ok(signed) = self.keys.own_checkpoint(shown) else { return Ok(None) };
        let (size, root) = (signed.size, signed.root);
        let held = self.tree.edge().size();
        if size > held {
            return Ok(Some(format!("of {size} entries: this directory holds {held}")));
        }
        let own = merkle::root(&stored_hashes(&*self.engine, self.tree.edge()), size)?;
        Ok((own != root)
            .then(|| format!("of size {size} with the root {root}: this directory leads to {own}")))
    }

    /// Keeps the checkpoint, so that the next start refuses as well, even if the witness cannot be asked then.
    pub(super) async fn keep_shown(&self, shown: &Note) -> Result<(), StoreError> {
        self.record.write_shown(&shown.to_string()).await
    }

    /// Nothing is signed any more: going on would fork the log.
    pub(super) fn halt(&mut self, reason: String) {
        tracing::error!(reason, "nothing is signed any more: going on would fork the log");
        metrics::halted();
        self.cosigning.send_modify(|cosigning| cosigning.halted = Some(reason));
    }

    fn succeeds(&mut self, cosigned: &Cosigned, size: TreeSize) {
        let mono = self.mono();
        self.guard.hear_witness(&cosigned.witness, mono, cosigned.time);
        metrics::witness_cosigned(&cosigned.witness, size.get(), cosigned.time.as_secs());
        self.cosigning.send_modify(|cosigning| {
            let health = cosigning.witnesses.iter_mut().find(|health| health.name == cosigned.witness);
            if let Some(health) = health {
                health.cosigned = Some((size, cosigned.time));
                health.failing = None;
            }
        });
    }

    fn fails(&mut self, witness: &str, reason: String) {
        metrics::witness_failed(witness);
        self.cosigning.send_modify(|cosigning| {
            let health = cosigning.witnesses.iter_mut().find(|health| health.name == witness);
            if let Some(health) = health.filter(|health| health.failing.as_ref() != Some(&reason)) {
                tracing::warn!(witness, reason, "a witness does not cosign");
                health.failing = Some(reason);
            }
        });
    }

    /// Asks the witnesses anew if it is time: about the published checkpoint of an idle log, or about one that lacks its
    /// quorum. An earlier answer of a witness may not have counted, or had only half of its lines.
    fn ask_anew_if_due(&mut self) {
        if self.has_witnesses() && self.mono() >= self.ask_anew_at() {
            self.ask_witnesses();
        }
    }

    fn ask_anew_at(&self) -> Duration {
        let rhythm = &self.publication.rhythm;
        let pause = if self.candidate.is_some() { rhythm.quorum_timeout } else { rhythm.recosign_interval };
        self.asked_at.saturating_add(pause)
    }

    /// Asks the witnesses about the candidate, or else about what is published.
    pub(super) fn ask_witnesses(&mut self) {
        self.asked_at = self.mono();
        let (note, published) = match (&self.candidate, &self.shown) {
            (Some(signed), _) => (signed.gathering.own().clone(), Arc::new(signed.published.clone())),
            (None, Some(shown)) => (shown.own().clone(), self.published.borrow().clone()),
            (None, None) => return,
        };
        let view = View::new(self.reads.clone(), self.tiles.clone(), published);
        self.publication.cosigners.ask(Ask { note, view });
    }

    fn is_late(&self, candidate: &Candidate) -> bool {
        self.mono() >= candidate.signed_at + self.publication.rhythm.quorum_timeout
    }

    fn say_if_late(&mut self) {
        let Some(candidate) = self.candidate.as_ref().filter(|signed| self.is_late(signed)) else { return };
        let quorum = self.publication.policy.quorum_name().unwrap_or("none");
        let cosigned: Vec<&str> = candidate.gathering.times().map(|(name, _)| name).collect();
        let cosigned = if cosigned.is_empty() { "nobody".to_owned() } else { cosigned.join(", ") };
        let failures = self.cosigning.borrow().failures();
        let reason = format!(
            "the quorum `{quorum}` is not met for size {}: cosigned by {cosigned}{}{failures}",
            candidate.size(),
            if failures.is_empty() { "" } else { "; " },
        );
        self.cosigning.send_if_modified(|cosigning| {
            if cosigning.below_quorum.is_none() {
                tracing::warn!(reason, "nothing is published");
                metrics::below_quorum(true);
            }
            let is_new = cosigning.below_quorum.as_ref() != Some(&reason);
            cosigning.below_quorum = Some(reason);
            is_new
        });
    }

    /// Notes for `/readyz` and metrics whether the published checkpoint lacks its quorum: verifiers then refuse receipts.
    pub(super) fn say_if_shown_below_quorum(&self, shown: &Checkpoint, cosigned: &Gathering) {
        let is_met = cosigned.is_met();
        metrics::below_quorum(!is_met);
        let quorum = self.publication.policy.quorum_name().unwrap_or("none");
        let reason = (!is_met).then(|| format!("size {} without the quorum `{quorum}`", shown.size));
        self.cosigning.send_if_modified(|cosigning| {
            let is_new = cosigning.shown_below_quorum != reason;
            cosigning.shown_below_quorum = reason;
            is_new
        });
    }

    fn has_witnesses(&self) -> bool {
        !self.publication.policy.witnesses().is_empty()
    }
}

fn shows_more(witness: &str, cause: &str) -> String {
    format!("the witness `{witness}` shows a checkpoint that this log signed, {cause}")
}

/// No witness at all.
struct Nobody;

impl Cosigners for Nobody {
    fn survey(&mut self, _: Ask) -> Surveying<'_> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn ask(&mut self, _: Ask) {}

    fn answers(&mut self) -> Vec<Answer> {
        Vec::new()
    }
}

/// How often a clock that is wrong is looked at again.
const CLOCK_PAUSE: Duration = Duration::from_secs(1);

/// How often an idle log looks at its clock, so that `/readyz` reports a jump before a client meets it.
const CLOCK_LOOK: Duration = Duration::from_secs(5);
