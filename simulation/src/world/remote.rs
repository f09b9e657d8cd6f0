//! The engine as a process sees it: over a network that loses calls and answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attestation::did::Did;
use attestation::entry::LogTime;
use attestation::lists::Listed;
use log_core::StoreError;
use log_core::admit::Admitted;
use log_core::integrate::Tree;
use log_core::keys::{Keys, List};
use log_core::port::{
    Call, Epoch, Facts, Failed, Head, Heads, Index, Integration, Kind, Lead, Moved, Object, Objects, Order,
    OrderState, Page, Proposed, Publishing, Put, Sequencing, Signing, Since, StoredEnvelope, Tombstone,
    Wants,
};
use tlog::tile::Tile;
use tlog::{Hash, LeafIndex, TreeSize};

use crate::checker::Checker;
use crate::engine::Memory;
use crate::executor::{Process, Sim};
use crate::network::{Answering, CallError, Network, Service};

/// What an engine is asked.
#[derive(Clone)]
pub(super) enum Asked {
    Sequence(Arc<Sequence>),
    /// The same, at the index that the caller has in its memory.
    Overwrite(Arc<Sequence>, u64),
    Heads,
    Lead(Duration),
    Renew(Epoch, Duration),
    Release(Epoch),
    Integrate(Epoch, TreeSize, Arc<Tree>, Arc<Vec<Keys>>),
    Sign(Epoch, TreeSize, String),
    Publish(Epoch, TreeSize, String, String, Option<String>),
    Saw(Epoch, u64),
    PutTile(Tile, Arc<Vec<Hash>>),
    PutBundle(u64, Arc<Vec<Vec<u8>>>),
    PutEnvelope(Hash, Arc<Vec<u8>>),
    Erase(Hash, Tombstone),
}

pub(super) struct Sequence {
    entries: Vec<(Admitted, Vec<u8>, bool)>,
    checked: OrderState,
    time: LogTime,
    max_pending: u64,
}

impl Sequence {
    fn proposed(&self) -> Vec<Proposed<'_>> {
        let entries = self.entries.iter();
        entries
            .map(|(entry, leaf, keeps_envelope)| Proposed { entry, leaf, keeps_envelope: *keeps_envelope })
            .collect()
    }

    fn call<'a>(&'a self, entries: &'a [Proposed<'a>]) -> Call<'a> {
        Call { entries, checked: &self.checked, time: self.time, max_pending: self.max_pending }
    }
}

/// What it answers.
pub(super) enum Said {
    Sequencing(Result<Sequencing, Failed>),
    Heads(Result<Heads, StoreError>),
    Lead(Result<Lead, Failed>),
    Moved(Result<Moved, Failed>),
    Put(Result<Put, Failed>),
    Erased(Result<bool, Failed>),
}

/// The engine's place in the network.
pub(super) type Place = Service<Asked, Said>;

/// Lets the engine answer, in its process.
pub(super) fn serve(sim: &Sim, place: &Place, memory: &Memory, checker: &Checker) {
    let (process, task, memory, checker) = (place.process(), sim.clone(), memory.clone(), checker.clone());
    place.serve(sim, move |asked| -> Answering<Said> {
        let (sim, memory, checker) = (task.clone(), memory.clone(), checker.clone());
        Box::pin(async move {
            let work =
                sim.random(|random| random.between(Duration::from_micros(100), Duration::from_millis(3)));
            sim.sleep(work).await;
            answer(&sim, process, &memory, &checker, asked).await
        })
    });
}

async fn answer(sim: &Sim, process: Process, memory: &Memory, checker: &Checker, asked: Asked) -> Said {
    match asked {
        Asked::Overwrite(call, first) => {
            let proposed = call.proposed();
            let outcome = memory.overwrite(&call.call(&proposed), first);
            sim.trace(process, format_args!("{} entries are written to {first}", proposed.len()));
            Said::Sequencing(Ok(outcome))
        }
        Asked::Sequence(call) => {
            let proposed = call.proposed();
            let outcome = memory.sequence(&call.call(&proposed)).await;
            match &outcome {
                Ok(Sequencing::Known(_)) => checker.count(|counts| &mut counts.known),
                Ok(Sequencing::Stale(_)) => checker.count(|counts| &mut counts.stale),
                _ => (),
            }
            sim.trace(process, format_args!("{} entries: {}", proposed.len(), short(&outcome)));
            Said::Sequencing(outcome)
        }
        Asked::Heads => Said::Heads(memory.heads().await),
        Asked::Lead(lease) => {
            let lead = memory.lead("", lease).await;
            if let Ok(Lead::Mine(epoch)) = &lead {
                sim.trace(process, format_args!("epoch {epoch} begins"));
            }
            Said::Lead(lead)
        }
        Asked::Renew(epoch, lease) => Said::Moved(memory.renew(epoch, lease).await),
        Asked::Release(epoch) => Said::Moved(memory.release(epoch).await),
        Asked::Integrate(epoch, from, tree, rows) => {
            let integration = Integration { from, tree: &tree, rows: &rows };
            let moved = memory.integrate(epoch, integration).await;
            let size = tree.edge().size();
            sim.trace(
                process,
                format_args!("epoch {epoch} integrates {from} to {size}: {}", moved_as(&moved, checker)),
            );
            Said::Moved(moved)
        }
        Asked::Sign(epoch, size, note) => {
            checker.signed(&note);
            let moved = memory.sign(epoch, Signing { size, note: &note }).await;
            sim.trace(process, format_args!("epoch {epoch} signs {size}: {}", moved_as(&moved, checker)));
            Said::Moved(moved)
        }
        Asked::Publish(epoch, size, note, sigstore, signed) => {
            if let Some(signed) = &signed {
                checker.signed(signed);
            }
            let publishing = Publishing { size, note: &note, sigstore: &sigstore, signed: signed.as_deref() };
            let moved = memory.publish(epoch, publishing).await;
            sim.trace(process, format_args!("epoch {epoch} publishes {size}: {}", moved_as(&moved, checker)));
            if let Ok(Moved::Moved) = &moved {
                checker.published(&note);
            }
            Said::Moved(moved)
        }
        Asked::Saw(epoch, millis) => Said::Moved(memory.saw(epoch, millis).await),
        Asked::PutTile(tile, hashes) => Said::Put(memory.put(Object::Tile(tile, &hashes)).await),
        Asked::PutBundle(number, leaves) => Said::Put(memory.put(Object::Bundle(number, &leaves)).await),
        Asked::PutEnvelope(hash, bytes) => Said::Put(memory.put(Object::Envelope(hash, &bytes)).await),
        Asked::Erase(hash, tombstone) => Said::Erased(memory.erase(&hash, &tombstone).await),
    }
}

fn short(outcome: &Result<Sequencing, Failed>) -> String {
    match outcome {
        Ok(Sequencing::Sequenced { first, logged_at }) => {
            format!("from {first} at {}", logged_at.as_millis())
        }
        Ok(Sequencing::Known(known)) => format!("{} are known", known.len()),
        Ok(Sequencing::Stale(now)) => format!("stale, at {}", now.next),
        Ok(other) => format!("{other:?}"),
        Err(failed) => failed.to_string(),
    }
}

fn moved_as(moved: &Result<Moved, Failed>, checker: &Checker) -> &'static str {
    match moved {
        Ok(Moved::Moved) => "moved",
        Ok(Moved::Another(_)) => {
            checker.count(|counts| &mut counts.fenced);
            "another's"
        }
        Err(_) => "failed",
    }
}

/// The engine from one process's side.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) sim: Sim,
    pub(super) network: Network,
    pub(super) caller: Process,
    pub(super) place: Place,
    pub(super) memory: Memory,
    pub(super) checker: Checker,
    /// The next index by the process's own memory: of a control that keeps the order there.
    pub(super) held: Option<Arc<AtomicU64>>,
}

impl Remote {
    async fn ask(&self, asked: Asked) -> Result<Said, Failed> {
        match self.network.call(&self.place, asked, PATIENCE).await {
            Ok(said) => Ok(said),
            Err(CallError::Refused) => {
                self.checker.count(|counts| &mut counts.lost);
                Err(Failed::Lost(StoreError::new("call", "nobody is there")))
            }
            Err(CallError::NoAnswer) => {
                self.checker.count(|counts| &mut counts.unknown);
                self.sim.trace(self.caller, "the engine does not answer");
                Err(Failed::Unknown(StoreError::new("call", "no answer")))
            }
        }
    }

    /// Reads are answered at once, or not at all: the engine is there, or it is not.
    fn reads(&self) -> Result<&Memory, StoreError> {
        match self.sim.life(self.place.process()) {
            Some(_) => Ok(&self.memory),
            None => Err(StoreError { may_pass: true, ..StoreError::new("read", "nobody is there") }),
        }
    }

    async fn moved(&self, asked: Asked) -> Result<Moved, Failed> {
        match self.ask(asked).await? {
            Said::Moved(moved) => moved,
            _ => unreachable!("an engine answers what it is asked"),
        }
    }

    async fn stored(&self, asked: Asked) -> Result<Put, Failed> {
        match self.ask(asked).await? {
            Said::Put(put) => put,
            _ => unreachable!("an engine answers what it is asked"),
        }
    }
}

impl Order for Remote {
    async fn sequence(&self, call: &Call<'_>) -> Result<Sequencing, Failed> {
        let entries = call.entries.iter();
        let entries = entries.map(|of| (of.entry.clone(), of.leaf.to_vec(), of.keeps_envelope)).collect();
        let (checked, time, max_pending) = (*call.checked, call.time, call.max_pending);
        let count = call.entries.len() as u64;
        let sequence = Arc::new(Sequence { entries, checked, time, max_pending });
        let asked = match &self.held {
            Some(next) => Asked::Overwrite(sequence, next.fetch_add(count, Ordering::Relaxed)),
            None => Asked::Sequence(sequence),
        };
        match self.ask(asked).await? {
            Said::Sequencing(outcome) => outcome,
            _ => unreachable!("an engine answers what it is asked"),
        }
    }
}

impl Head for Remote {
    async fn heads(&self) -> Result<Heads, StoreError> {
        match self.ask(Asked::Heads).await.map_err(Failed::into_error)? {
            Said::Heads(heads) => heads,
            _ => unreachable!("an engine answers what it is asked"),
        }
    }

    async fn lead(&self, _: &str, lease: Duration) -> Result<Lead, Failed> {
        match self.ask(Asked::Lead(lease)).await? {
            Said::Lead(lead) => lead,
            _ => unreachable!("an engine answers what it is asked"),
        }
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<Moved, Failed> {
        self.moved(Asked::Renew(epoch, lease)).await
    }

    async fn release(&self, epoch: Epoch) -> Result<Moved, Failed> {
        self.moved(Asked::Release(epoch)).await
    }

    async fn integrate(&self, epoch: Epoch, integration: Integration<'_>) -> Result<Moved, Failed> {
        let Integration { from, tree, rows } = integration;
        self.moved(Asked::Integrate(epoch, from, tree.clone(), Arc::new(rows.to_vec()))).await
    }

    async fn sign(&self, epoch: Epoch, signing: Signing<'_>) -> Result<Moved, Failed> {
        self.moved(Asked::Sign(epoch, signing.size, signing.note.to_owned())).await
    }

    async fn publish(&self, epoch: Epoch, publishing: Publishing<'_>) -> Result<Moved, Failed> {
        let Publishing { size, note, sigstore, signed } = publishing;
        let signed = signed.map(str::to_owned);
        self.moved(Asked::Publish(epoch, size, note.to_owned(), sigstore.to_owned(), signed)).await
    }

    async fn saw(&self, epoch: Epoch, millis: u64) -> Result<Moved, Failed> {
        self.moved(Asked::Saw(epoch, millis)).await
    }
}

impl Index for Remote {
    fn facts(&self, wants: &Wants) -> Result<Facts, StoreError> {
        self.reads()?.facts(wants)
    }

    fn claim(&self, claim: &Hash) -> Result<Option<LeafIndex>, StoreError> {
        self.reads()?.claim(claim)
    }

    fn by_subject(&self, subject: &Hash, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.reads()?.by_subject(subject, page)
    }

    fn by_did(&self, did: &Did, page: Page) -> Result<Vec<LeafIndex>, StoreError> {
        self.reads()?.by_did(did, page)
    }

    fn list(&self, list: &List, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.reads()?.list(list, page)
    }

    fn identity_events_since(&self, since: TreeSize) -> Result<Since, StoreError> {
        self.reads()?.identity_events_since(since)
    }
}

impl Objects for Remote {
    fn tile(&self, tile: Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        self.reads()?.tile(tile)
    }

    fn leaf(&self, index: LeafIndex) -> Result<Option<Vec<u8>>, StoreError> {
        self.reads()?.leaf(index)
    }

    fn leaves(&self, from: u64, to: u64, visit: &mut dyn FnMut(u64, &[u8])) -> Result<(), StoreError> {
        self.reads()?.leaves(from, to, visit)
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, StoreError> {
        self.reads()?.envelope(hash)
    }

    fn list_objects(&self, kind: Kind, from: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        self.reads()?.list_objects(kind, from, limit)
    }

    async fn put(&self, object: Object<'_>) -> Result<Put, Failed> {
        self.stored(match object {
            Object::Tile(tile, hashes) => Asked::PutTile(tile, Arc::new(hashes.to_vec())),
            Object::Bundle(number, leaves) => Asked::PutBundle(number, Arc::new(leaves.to_vec())),
            Object::Envelope(hash, bytes) => Asked::PutEnvelope(hash, Arc::new(bytes.to_vec())),
        })
        .await
    }

    async fn erase(&self, envelope: &Hash, tombstone: &Tombstone) -> Result<bool, Failed> {
        match self.ask(Asked::Erase(*envelope, tombstone.clone())).await? {
            Said::Erased(erased) => erased,
            _ => unreachable!("an engine answers what it is asked"),
        }
    }
}

/// How long a caller waits for the engine.
const PATIENCE: Duration = Duration::from_millis(500);
