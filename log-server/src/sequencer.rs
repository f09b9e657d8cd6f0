//! The writer's thread: both roles of a log on an engine of this process, whose calls are ready at once.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log_core::admit::Admitted;
use log_core::log::Log;
use log_core::log_keys::LogKeys;
use log_core::port::{FrontEngine, IntegratorEngine, ready};
use log_core::ticket::Tickets;
use tokio::sync::watch;

use crate::cosign::Cosigning;
use crate::pool::Pending;
use crate::registry::Registry;
use crate::signed_record::SignedRecord;
use crate::store::rocks::RocksStore;
use crate::view::{Published, TileCache};

pub use log_core::integrator::{
    Accept, Candidacy, Clocks, DAY_MILLIS, FatalError, OpenError, Parts, Publication, Rhythm, opening,
};

/// The engine of a log's directory.
pub type Engine = log_rocksdb::Engine<RocksStore>;

/// Orders entries and publishes them. Everybody else sees what it publishes, and hears by ticket.
pub struct Sequencer<E = Engine> {
    log: Log<E, SignedRecord>,
    tickets: Arc<Tickets>,
}

impl<E: FrontEngine + IntegratorEngine> Sequencer<E> {
    /// Opens the log and finishes what a crash interrupted. Refuses an engine that is behind a checkpoint that the log
    /// signed, by its own records or by what a witness shows.
    pub fn open(
        engine: Arc<E>,
        keys: impl Into<Arc<LogKeys>>,
        record: SignedRecord,
        clocks: Clocks,
        accept: Accept,
        publication: Publication,
    ) -> Result<Self, OpenError> {
        let (keys, candidacy) = (keys.into(), Candidacy::alone());
        let parts = Parts { engine, keys, record, clocks, accept, publication, candidacy };
        Ok(Self { log: ready(Log::open(parts))?, tickets: Arc::default() })
    }

    /// Tells the holders of these tickets what becomes of their claims, instead of its own.
    #[must_use]
    pub fn telling(self, tickets: Arc<Tickets>) -> Self {
        Self { tickets, ..self }
    }

    /// Who waits for a claim.
    pub fn tickets(&self) -> Arc<Tickets> {
        self.tickets.clone()
    }

    /// One round. When it returns `Ok`, all of `batch` has its outcome, and is published unless the witnesses are still
    /// asked. After an error the process must stop.
    pub fn round(&mut self, batch: Vec<Pending>) -> Result<(), FatalError> {
        let (entries, spent): (Vec<Admitted>, Vec<_>) = batch.into_iter().map(Pending::into_parts).unzip();
        let outcomes = ready(self.log.order(&entries))?;
        for (spent, outcome) in spent.into_iter().zip(&outcomes) {
            // What was in the log before took nothing of the day.
            if outcome.as_ref().is_ok_and(|committed| !committed.was_known) {
                spent.logged();
            }
        }
        let outcomes = entries.iter().map(|admitted| admitted.claim).zip(outcomes);
        let published = self.log.published().borrow().size();
        self.tickets.resolve(outcomes, published);
        self.tend()
    }

    /// Looks after publication, and wakes who waits for it. After an error the process must stop.
    pub fn tend(&mut self) -> Result<(), FatalError> {
        ready(self.log.tend())?;
        self.say_published();
        Ok(())
    }

    /// Goes on with another policy. After an error the process must stop.
    pub fn adopt(&mut self, publication: Publication) -> Result<(), FatalError> {
        let before = ready(self.log.adopt(publication))?;
        // Requests that are under way are waited for, but not here.
        thread::spawn(move || drop(before));
        self.say_published();
        Ok(())
    }

    fn say_published(&self) {
        let size = self.log.published().borrow().size();
        self.tickets.published(size);
    }

    /// When [`tend`](Self::tend) has something to do at the latest, from now; `None` for not before news.
    pub fn next_tend(&self) -> Option<Duration> {
        self.log.next_tend()
    }

    /// Whether a round may be ordered now.
    pub fn takes_entries(&self) -> bool {
        self.log.takes_entries()
    }

    /// Whether everything that is committed is published.
    pub fn is_settled(&self) -> bool {
        self.log.is_settled()
    }

    /// What is published, now and later.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.log.published()
    }

    /// How publication stands.
    pub fn cosigning(&self) -> watch::Receiver<Cosigning> {
        self.log.cosigning()
    }

    /// The states of DIDs as committed, to be shared with admission.
    pub fn registry(&self) -> Arc<Registry> {
        self.log.registry()
    }

    /// Full tiles in memory, to be shared with readers.
    pub fn tiles(&self) -> Arc<TileCache> {
        self.log.tiles()
    }

    /// Why sequencing stands still because of the clock, if it does.
    pub fn clock_stopped(&self) -> watch::Receiver<Option<String>> {
        self.log.clock_stopped()
    }
}
