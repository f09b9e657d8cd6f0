//! What others were shown, held against what we were: witnesses, and the same log seen from elsewhere.

use attestation::entry::LogTime;
use attestation::finding::{Forgotten, Proof, Stale};
use tlog::fork::Fork;
use tlog::key::VerifierKey;
use tlog::merkle;
use tlog::note::Note;

use super::{Follower, Round, Stop, View, cannot_use, not_a_fork};
use crate::Failure;
use crate::metrics;
use crate::state::{Ahead, Seen};
use crate::tree::SignedTree;

impl Follower {
    /// Holds what others were shown against what we were.
    pub(super) fn compare_views(&mut self, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let before = (self.state.ahead.clone(), self.state.cosigned.clone());
        for view in self.views.clone() {
            match self.compare(&view, now, round) {
                Ok(()) | Err(Stop::Found) => (),
                Err(Stop::Unchecked(failure)) => {
                    metrics::unread(&view.name);
                    round.unread.push(failure);
                }
                Err(fatal @ Stop::Fatal(_)) => return Err(fatal),
            }
        }
        self.judge_ahead(now, round)?;
        if (&self.state.ahead, &self.state.cosigned) != (&before.0, &before.1) {
            self.file.write(&self.state)?;
        }
        Ok(())
    }

    fn compare(&mut self, view: &View, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let bytes = if view.is_log {
            Some(view.source.checkpoint()?)
        } else {
            view.source.witnessed(&self.log.origin)?
        };
        if let Some(known) = self.state.known.clone() {
            self.remember_cosigned(view, &known);
        }
        let Some(bytes) = bytes else {
            // A witness that has not seen the log has nothing to say about it.
            return self.judge_memory(view, None, now, round);
        };
        let seen = self.read_note(&bytes, view.source.url(), now)?;
        metrics::view(&view.name, seen.checkpoint.size);
        self.judge_memory(view, Some(&seen), now, round)?;
        self.remember_cosigned(view, &seen);
        if self.agreed.get(&view.name).is_some_and(|text| text == seen.note.text()) {
            return Ok(());
        }
        let Some(known) = self.state.known.clone() else { return Ok(()) };
        if seen.checkpoint.size <= known.checkpoint.size {
            self.judge_past(&seen, &view.name, now, round)?;
            self.agreed.insert(view.name.clone(), seen.note.text().to_owned());
            return Ok(());
        }
        self.remember_ahead(view, &seen);
        if !view.is_log {
            return Ok(());
        }
        // It serves the tree of what it shows, so nobody has to wait until ours is as large.
        let tree =
            SignedTree::open(&view.source, &seen.checkpoint).map_err(|e| cannot_use(&view.name, &e))?;
        let prefix = merkle::root(&tree, known.checkpoint.size).map_err(|e| cannot_use(&view.name, &e))?;
        if prefix == known.checkpoint.root {
            return Ok(());
        }
        let fork = Fork::find(known.note.clone(), seen.note.clone(), &tree);
        let fork = fork.map_err(|e| Stop::Unchecked(Failure::new(format!("{}: {e}", view.name))))?;
        let detail = format!("{} is shown a tree that does not begin with ours", view.name);
        self.forked(fork, &detail, now, round)
    }

    /// Keeps the largest checkpoint that a witness has cosigned, whoever shows it.
    fn remember_cosigned(&mut self, view: &View, seen: &Seen) {
        let there = self.state.cosigned.iter_mut().find(|cosigned| cosigned.view == view.name);
        let is_larger = |there: &&mut Ahead| there.seen.checkpoint.size < seen.checkpoint.size;
        if cosigner(view, &seen.note).is_none() {
            return;
        }
        match there {
            Some(there) if is_larger(&there) => there.seen = seen.clone(),
            Some(_) => (),
            None => self.state.cosigned.push(Ahead { view: view.name.clone(), seen: seen.clone() }),
        }
    }

    /// Holds what a witness shows against what it has cosigned: one that has forgotten would cosign a fork.
    fn judge_memory(
        &self,
        view: &View,
        shown: Option<&Seen>,
        now: LogTime,
        round: &mut Round,
    ) -> Result<(), Stop> {
        let there = self.state.cosigned.iter().find(|cosigned| cosigned.view == view.name);
        let Some(Ahead { seen: cosigned, .. }) = there else { return Ok(()) };
        let size = cosigned.checkpoint.size;
        let is_less = shown.map_or(size.get() > 0, |shown| shown.checkpoint.size < size);
        // The policy may have taken the key away since.
        let Some(witness) = cosigner(view, &cosigned.note).filter(|_| is_less) else { return Ok(()) };
        let shows = |seen: &Seen| format!("size {}", seen.checkpoint.size);
        let shows = shown.map_or("nothing".to_owned(), shows);
        let fact = format!("the witness {} has cosigned size {size}, and shows {shows}", view.name);
        let is_proof = shown.is_none_or(|shown| is_cosigned(&shown.note, witness));
        if !is_proof {
            return Err(Stop::Unchecked(Failure::new(fact).because("without a line of its own")));
        }
        let smaller = shown.map(|shown| shown.note.clone());
        let forgotten = Forgotten { witness: witness.clone(), larger: cosigned.note.clone(), smaller };
        self.report(Proof::Forgotten(forgotten), &fact, now, round)
    }

    /// Keeps a larger checkpoint, the oldest of each view, to be held against ours.
    fn remember_ahead(&mut self, view: &View, seen: &Seen) {
        let of_view = self.state.ahead.iter().filter(|ahead| ahead.view == view.name);
        let is_known = of_view.clone().any(|ahead| ahead.seen.note.text() == seen.note.text());
        if !is_known && of_view.count() < MAX_AHEAD {
            self.state.ahead.push(Ahead { view: view.name.clone(), seen: seen.clone() });
        }
    }

    /// Judges what has come within our size, and what has waited too long.
    fn judge_ahead(&mut self, now: LogTime, round: &mut Round) -> Result<(), Stop> {
        let Some(known) = self.state.known.clone() else { return Ok(()) };
        let mut waiting = Vec::new();
        for ahead in std::mem::take(&mut self.state.ahead) {
            if ahead.seen.checkpoint.size <= known.checkpoint.size {
                match self.judge_past(&ahead.seen, &ahead.view, now, round) {
                    Ok(()) | Err(Stop::Found) => (),
                    Err(Stop::Unchecked(failure)) => {
                        round.unread.push(failure);
                        waiting.push(ahead);
                    }
                    Err(fatal @ Stop::Fatal(_)) => return Err(fatal),
                }
                continue;
            }
            let limit = self.settings.ahead_after.as_millis() as u64;
            if now.as_millis().saturating_sub(ahead.seen.at.as_millis()) >= limit {
                let detail = format!(
                    "{} was shown size {} at {} ms, and here size {} still is the largest",
                    ahead.view,
                    ahead.seen.checkpoint.size,
                    ahead.seen.at.as_millis(),
                    known.checkpoint.size
                );
                let note = ahead.seen.note.clone();
                let stale = Stale { checkpoint: known.note.clone(), stale_after: limit, ahead: Some(note) };
                self.report(Proof::Stale(stale), &detail, now, round)?;
            }
            waiting.push(ahead);
        }
        self.state.ahead = waiting;
        Ok(())
    }

    /// Holds a checkpoint of at most our size against our tree.
    pub(super) fn judge_past(
        &self,
        seen: &Seen,
        view: &str,
        now: LogTime,
        round: &mut Round,
    ) -> Result<(), Stop> {
        let known = self.state.known.as_ref().expect("the caller compares with it");
        let detail = format!("{view} is shown a tree that ours does not begin with");
        if seen.checkpoint.size == known.checkpoint.size {
            if seen.checkpoint.root == known.checkpoint.root {
                return Ok(());
            }
            let fork = Fork::of_one_size(known.note.clone(), seen.note.clone()).map_err(not_a_fork)?;
            return self.forked(fork, &detail, now, round);
        }
        let tree = if known.checkpoint.size == self.state.size() {
            SignedTree::with_edge(&self.source, &known.checkpoint, self.state.edge.clone())
        } else {
            SignedTree::open(&self.source, &known.checkpoint).map_err(|e| cannot_use("the log", &e))?
        };
        let root =
            self.read_tree(&tree, &known.note, merkle::root(&tree, seen.checkpoint.size), now, round)?;
        if root == seen.checkpoint.root {
            return Ok(());
        }
        let fork = Fork::find(seen.note.clone(), known.note.clone(), &tree);
        let fork = self.found_fork(fork, &tree, &known.note, now, round)?;
        self.forked(fork, &detail, now, round)
    }
}

/// The key of a witness that cosigned a note.
fn cosigner<'v>(view: &'v View, note: &Note) -> Option<&'v VerifierKey> {
    view.keys.iter().find(|key| is_cosigned(note, key))
}

fn is_cosigned(note: &Note, key: &VerifierKey) -> bool {
    note.verify(std::slice::from_ref(key)).is_ok_and(|signed| !signed.is_empty())
}

/// Checkpoints of one view that wait for ours to grow.
const MAX_AHEAD: usize = 16;
