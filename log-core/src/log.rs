//! Both roles in one process: entries are ordered, and then the integrator has its turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::admit::Admitted;
use crate::cosign::Cosigning;
use crate::integrator::{FatalError, Integrator, OpenError, Parts, Publication};
use crate::orderer::Orderer;
use crate::port::{FrontEngine, IntegratorEngine, Record};
use crate::registry::Registry;
use crate::ticket::{NotTaken, Sequenced, Unavailable};
use crate::view::{Published, TileCache};

/// A log whose front and integrator are one process.
pub struct Log<E, R> {
    orderer: Orderer<E>,
    integrator: Integrator<E, R>,
}

impl<E: FrontEngine + IntegratorEngine, R: Record> Log<E, R> {
    /// Opens the log and finishes what a crash interrupted.
    pub async fn open(parts: Parts<E, R>) -> Result<Self, OpenError> {
        let engine = parts.engine.clone();
        let integrator = Integrator::open(parts).await?;
        let ordered = engine.heads().await?.ordered;
        // One round may wait behind a quorum: it is the integrator that says so.
        Ok(Self { orderer: Orderer::new(engine, &ordered, u64::MAX), integrator })
    }

    /// Orders a batch, and tells what became of each entry. What is committed is published by [`tend`](Self::tend). After an
    /// error the process must stop.
    pub async fn order(&mut self, batch: &[Admitted]) -> Result<Vec<Sequenced>, FatalError> {
        match self.integrator.log_time() {
            Ok(time) => Ok(self.orderer.order(batch, time).await?),
            Err(jump) => {
                let refused = NotTaken::Unavailable(Unavailable::Clock(jump.to_string()));
                Ok(batch.iter().map(|_| Err(refused.clone())).collect())
            }
        }
    }

    /// Looks after integration and publication. After an error the process must stop.
    pub async fn tend(&mut self) -> Result<(), FatalError> {
        self.integrator.tend().await
    }

    /// Goes on with another policy; answers the one before. After an error the process must stop.
    pub async fn adopt(&mut self, publication: Publication) -> Result<Publication, FatalError> {
        self.integrator.adopt(publication).await
    }

    /// When [`tend`](Self::tend) has something to do at the latest, from now; `None` for not before news.
    pub fn next_tend(&self) -> Option<Duration> {
        self.integrator.next_tend()
    }

    /// Whether a round may be ordered now.
    pub fn takes_entries(&self) -> bool {
        self.integrator.takes_entries()
    }

    /// Whether everything that is committed is published.
    pub fn is_settled(&self) -> bool {
        self.integrator.is_settled()
    }

    /// What is published, now and later.
    pub fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.integrator.published()
    }

    /// How publication stands.
    pub fn cosigning(&self) -> watch::Receiver<Cosigning> {
        self.integrator.cosigning()
    }

    /// The states of DIDs as committed, to be shared with admission.
    pub fn registry(&self) -> Arc<Registry> {
        self.orderer.registry().clone()
    }

    /// Full tiles in memory, to be shared with readers.
    pub fn tiles(&self) -> Arc<TileCache> {
        self.integrator.tiles()
    }

    /// Why sequencing stands still because of the clock, if it does.
    pub fn clock_stopped(&self) -> watch::Receiver<Option<String>> {
        self.integrator.clock_stopped()
    }
}
