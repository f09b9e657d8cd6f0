//! A witness: the rules of crate `witness`, around a disk that a crash leaves as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tlog::UnixTime;
use tlog::cosignature::cosign;
use tlog::key::SignerKey;
use tlog::note::Note;
use witness::decide::{Refusal, Seen, Submitted, decide};
use witness::log_list::Stanza;
use witness::logs::Logs;

use super::clock::Clock;
use crate::checker::Checker;
use crate::executor::{Process, Sim};
use crate::network::Service;

/// What a witness is asked.
#[derive(Clone)]
pub(super) enum Asked {
    /// add-checkpoint, with this body.
    Cosign(Arc<Vec<u8>>),
    /// What it cosigned last.
    Last,
}

/// What it answers.
pub(super) enum Said {
    /// The lines of its cosignatures.
    Lines(String),
    /// The rule that the request breaks.
    Refused(Refusal),
    /// The note, if there is one.
    Last(Option<Note>),
    /// Each time somebody else came first.
    Busy,
}

pub(super) type Place = Service<Asked, Said>;

/// A witness with its disk.
#[derive(Clone)]
pub(super) struct Witness {
    pub(super) name: String,
    pub(super) process: Process,
    pub(super) key: Arc<SignerKey>,
    pub(super) place: Place,
    pub(super) clock: Clock,
    disk: Arc<Mutex<Option<Kept>>>,
    logs: Arc<Logs>,
}

#[derive(Clone)]
struct Kept {
    seen: Seen,
    time: UnixTime,
    note: Note,
}

impl Witness {
    pub(super) fn new(sim: &Sim, name: &str, key: SignerKey, log: Stanza, clock: Clock) -> Self {
        let process = sim.process(name);
        let logs = Logs::new(&[log], &[], &[key.verifier().clone()], &Logs::default());
        Self {
            name: name.to_owned(),
            process,
            key: Arc::new(key),
            place: Service::new(process),
            clock,
            disk: Arc::default(),
            logs: Arc::new(logs.expect("a log that is not the witness")),
        }
    }

    /// Answers from now on, until the process is killed.
    pub(super) fn serve(&self, sim: &Sim, checker: &Checker) {
        let (this, task, checker) = (self.clone(), sim.clone(), checker.clone());
        self.place.serve(sim, move |asked| {
            let (this, sim, checker) = (this.clone(), task.clone(), checker.clone());
            Box::pin(async move {
                match asked {
                    Asked::Cosign(body) => this.cosign(&sim, &checker, &body).await,
                    Asked::Last => Said::Last(this.kept().map(|kept| kept.note)),
                }
            })
        });
    }

    fn kept(&self) -> Option<Kept> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn cosign(&self, sim: &Sim, checker: &Checker, body: &[u8]) -> Said {
        let submitted = match Submitted::read(body, &self.logs) {
            Ok(submitted) => submitted,
            Err(refusal) => return Said::Refused(refusal),
        };
        checker.signed(&submitted.log_note().to_string());
        for _ in 0..3 {
            let before = self.kept();
            let seen = before.as_ref().map_or_else(Seen::nothing, |kept| kept.seen);
            let new = match decide(&seen, &submitted.proposal()) {
                Ok(new) => new,
                Err(refusal) => {
                    let forks = matches!(refusal, Refusal::Fork(_) | Refusal::Inconsistent(_));
                    checker.require(!forks, || format!("I2: {} was shown a fork: {refusal}", self.name));
                    return Said::Refused(refusal);
                }
            };
            let now = UnixTime::from_secs(self.clock.wall(sim) / 1_000);
            let time = before.as_ref().map_or(now, |kept| kept.time.max(now));
            let line = cosign(&self.key, &submitted.checkpoint, time).expect("an origin that fits");
            let mut note = submitted.log_note();
            note.add(line.clone());
            let disk =
                sim.random(|random| random.between(Duration::from_micros(100), Duration::from_millis(5)));
            sim.sleep(disk).await;
            let is_first = {
                let mut kept = self.disk.lock().unwrap_or_else(PoisonError::into_inner);
                let is_first = kept.as_ref().map(|kept| kept.seen) == before.as_ref().map(|kept| kept.seen);
                if is_first {
                    *kept = Some(Kept { seen: new, time, note });
                }
                is_first
            };
            if is_first {
                checker.witnessed(&self.name, new.size, &new.root);
                sim.trace(self.process, format_args!("cosigns {}", new.size));
                return Said::Lines(format!("{line}\n"));
            }
        }
        Said::Busy
    }
}
