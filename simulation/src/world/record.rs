//! The record of what was signed, as integrators on several machines share it: notes that are written once, by size. The
//! newest one is read, so that an integrator that was paused takes nothing back.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log_core::StoreError;
use log_core::port::Record;

use super::size_of;
use crate::checker::Checker;
use crate::executor::{Process, Sim};

/// The record as one process has it.
#[derive(Clone)]
pub(super) struct SharedRecord {
    sim: Sim,
    process: Process,
    checker: Checker,
    kept: Arc<Mutex<Kept>>,
    /// Whether writes fail now and then.
    fails: Arc<AtomicBool>,
}

#[derive(Default)]
struct Kept {
    notes: BTreeMap<u64, String>,
    shown: Option<String>,
    /// Processes whose write has failed, and in which life.
    failed: HashMap<Process, u64>,
}

impl SharedRecord {
    /// With the note that `init` writes.
    pub(super) fn new(sim: Sim, process: Process, checker: Checker, first: String) -> Self {
        let notes = [(size_of(&first), first)].into();
        let kept = Arc::new(Mutex::new(Kept { notes, ..Kept::default() }));
        Self { sim, process, checker, kept, fails: Arc::new(AtomicBool::new(true)) }
    }

    /// The same record, as another process has it.
    pub(super) fn of(&self, process: Process) -> Self {
        Self { process, ..self.clone() }
    }

    /// Nothing fails any more.
    pub(super) fn mend(&self) {
        self.fails.store(false, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self) {
        let time =
            self.sim.random(|random| random.between(Duration::from_micros(200), Duration::from_millis(8)));
        self.sim.sleep(time).await;
    }

    fn fail(&self, how: &'static str) -> Result<(), StoreError> {
        if !self.fails.load(Ordering::Relaxed) || !self.sim.random(|random| random.chance(10)) {
            return Ok(());
        }
        if let Some(life) = self.sim.life(self.process) {
            self.lock().failed.insert(self.process, life);
        }
        Err(StoreError::new("write the record", how))
    }
}

impl Record for SharedRecord {
    async fn read(&self) -> Result<String, StoreError> {
        self.wait().await;
        let kept = self.lock();
        kept.notes
            .last_key_value()
            .map(|(_, note)| note.clone())
            .ok_or_else(|| StoreError::new("read", "no note"))
    }

    async fn write(&self, note: &str) -> Result<(), StoreError> {
        let failed = self.lock().failed.get(&self.process).copied();
        let is_again = failed.is_some() && failed == self.sim.life(self.process);
        self.checker.require(!is_again, || "I5: a record is written again after a write that failed".into());
        self.wait().await;
        self.fail("it is not written")?;
        self.checker.signed(note);
        self.lock().notes.insert(size_of(note), note.to_owned());
        self.wait().await;
        self.fail("it is written, and nobody knows")
    }

    async fn shown(&self) -> Result<Option<String>, StoreError> {
        self.wait().await;
        Ok(self.lock().shown.clone())
    }

    async fn write_shown(&self, note: &str) -> Result<(), StoreError> {
        self.wait().await;
        self.lock().shown = Some(note.to_owned());
        Ok(())
    }
}
