//! How an integrator asks the witnesses of the world: one conversation with each, as over HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log_core::cosign::{Answer, Ask, Cosigners, Outcome, Surveying};
use tlog::TreeSize;
use tlog::add_checkpoint::AddCheckpoint;
use tlog::note::{Note, NoteSignature};
use witness::decide::Refusal;

use super::remote::Remote;
use super::witness_process::{Asked, Said, Witness};

/// Asks the witnesses.
pub(super) struct Asking {
    remote: Remote,
    lines: Vec<Line>,
    answers: Arc<Mutex<Vec<Answer>>>,
    /// Counts what was asked for: an older wish is given up.
    wish: Arc<AtomicU64>,
}

/// One conversation.
#[derive(Clone)]
struct Line {
    witness: Witness,
    remote: Remote,
    /// What the witness cosigned last, as far as it said.
    known: Arc<Mutex<TreeSize>>,
}

impl Asking {
    pub(super) fn new(remote: Remote, witnesses: Vec<Witness>) -> Self {
        let line =
            |witness| Line { witness, remote: remote.clone(), known: Arc::new(Mutex::new(TreeSize::EMPTY)) };
        let lines = witnesses.into_iter().map(line).collect();
        Self { remote, lines, answers: Arc::default(), wish: Arc::default() }
    }
}

impl Cosigners for Asking {
    fn survey(&mut self, ask: Ask) -> Surveying<'_> {
        Box::pin(async move {
            let mut answers = Vec::new();
            for line in &self.lines {
                answers.push(line.ask(&ask).await);
            }
            answers
        })
    }

    fn ask(&mut self, ask: Ask) {
        let wish = self.wish.fetch_add(1, Ordering::Relaxed) + 1;
        for line in &self.lines {
            let (line, ask, answers, current) =
                (line.clone(), ask.clone(), self.answers.clone(), self.wish.clone());
            let sim = self.remote.sim.clone();
            self.remote.sim.spawn(self.remote.caller, async move {
                let mut pause = FIRST_PAUSE;
                while current.load(Ordering::Relaxed) == wish {
                    let answer = line.ask(&ask).await;
                    let is_done = matches!(answer.outcome, Outcome::Cosigned(_));
                    lock(&answers).push(answer);
                    if is_done {
                        return;
                    }
                    sim.sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            });
        }
    }

    fn answers(&mut self) -> Vec<Answer> {
        std::mem::take(&mut *lock(&self.answers))
    }
}

impl Line {
    async fn ask(&self, ask: &Ask) -> Answer {
        let checkpoint = &ask.view.published().checkpoint;
        let mut named = None;
        let outcome = self.outcome(ask, &mut named).await;
        let (size, root) = (checkpoint.size, checkpoint.root);
        Answer { witness: self.witness.name.clone(), size, root, named, outcome }
    }

    /// Asks, and asks again from the size that the witness names.
    async fn outcome(&self, ask: &Ask, named: &mut Option<TreeSize>) -> Outcome {
        let size = ask.view.published().size();
        for _ in 0..MAX_CORRECTIONS {
            let known = *lock(&self.known);
            // A larger size was cosigned before: what is asked now was published meanwhile, or restored.
            let old = if known > size { TreeSize::EMPTY } else { known };
            let proof = match ask.view.consistency(old, size) {
                Ok(proof) => proof,
                Err(error) => return Outcome::Failed(format!("no proof could be read: {error}")),
            };
            let body = AddCheckpoint { old, proof, checkpoint: ask.note.clone() }.to_string().into_bytes();
            match self.call(Asked::Cosign(Arc::new(body))).await {
                Some(Said::Lines(lines)) => {
                    *lock(&self.known) = size;
                    return Outcome::Cosigned(lines.lines().filter_map(NoteSignature::parse).collect());
                }
                Some(Said::Refused(Refusal::Stale(has))) if has <= size => {
                    *named = Some(named.map_or(has, |named: TreeSize| named.min(has)));
                    *lock(&self.known) = has;
                }
                Some(Said::Refused(refusal)) if [409, 422].contains(&refusal.status()) => {
                    let shown: Option<Note> = match self.call(Asked::Last).await {
                        Some(Said::Last(note)) => note,
                        _ => None,
                    };
                    return Outcome::Objects { reason: refusal.to_string(), shown };
                }
                Some(Said::Refused(refusal)) => return Outcome::Failed(refusal.to_string()),
                Some(Said::Busy | Said::Last(_)) => return Outcome::Failed("it is busy".into()),
                None => return Outcome::Failed("it does not answer in time".into()),
            }
        }
        Outcome::Failed("it keeps changing its mind about what it has seen".into())
    }

    async fn call(&self, asked: Asked) -> Option<Said> {
        self.remote.network.call(&self.witness.place, asked, TIMEOUT).await.ok()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

const TIMEOUT: Duration = Duration::from_secs(1);

const MAX_CORRECTIONS: usize = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

const LONGEST_PAUSE: Duration = Duration::from_secs(5);
