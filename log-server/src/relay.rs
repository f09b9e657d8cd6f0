//! The relay: mail between DIDs, sealed by its senders, kept for at most seven days. No part of the log.
//!
//! ```text
//! http ──▶ queue ──▶ one writer: decide ▶ write, synced ▶ answer ──▶ who waits for mail
//!   └─────▶ index in memory, rows on disk ◀──┘
//! ```
//! It has a database of its own, `D/mail`, and a thread of its own. Mail that is damaged, missing or cannot be written makes
//! the relay answer `503`, and the log goes on: nothing of the log waits for it. What a crash means stands in `mail`.
//!
//! In scope: what waits for whom, how much of it, and for how long. Out of scope: the rules of requests and of DIDs, which
//! are `attestation::message`'s and [`registry`](crate::registry)'s; what a message says, which only its recipient can read.

use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use attestation::did::Did;
use attestation::message::{EnvelopeId, MessageKeyId, Settings};
use service::shares::Standing;
use service::turns::Turns;
use tokio::sync::oneshot;

use crate::metrics;
use crate::store::StoreError;

mod budget;
mod config;
mod decide;
pub(crate) mod disk;
pub mod http;
mod index;
mod mail;
mod queue;
mod rows;
mod running;
mod settings;
mod waiters;

pub use budget::{MailBudgets, Spent};
pub use config::MailSettings;
pub use index::{Limits, NoRoom, Room};
pub use queue::NotSet;
pub use rows::{Head, Kind, Legacy, Mail, Message};
pub use waiters::{NoPlace, Waiter};

use mail::Mailroom;
use queue::{Change, Queue};
use running::{Shared, State};
use settings::Dated;
use waiters::Waiters;

/// The relay of a log. It runs until [`close`](Self::close).
pub struct Relay {
    shared: Arc<Shared>,
    budgets: MailBudgets,
    work: Turns,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The clocks of the relay.
pub struct Clock {
    /// The wall clock, Unix milliseconds.
    pub now: fn() -> u64,
    /// Whether the wall clock cannot be right: nothing expires then.
    pub doubted: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A message on its way to a mailbox. Its signatures and the state of its sender are checked.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// SHA-256 of a sealed message; of a legacy one, of its signature's bytes. What has an id that is known is not stored
    /// again.
    pub id: EnvelopeId,
    /// Whose mailbox.
    pub recipient: Did,
    /// Who sends it.
    pub sender: Did,
    /// Whether the sender is not registered.
    pub sender_is_bare: bool,
    /// Who brings it; `None` counts for no address.
    pub client: Option<IpAddr>,
    /// Until when it is kept, Unix milliseconds.
    pub expires: u64,
    /// What it brings.
    pub mail: Mail,
}

/// A message that is durable in the relay, or was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivered {
    /// When it came first, Unix milliseconds.
    pub received_at: u64,
    /// Until when it is kept, Unix milliseconds.
    pub expires: u64,
    /// Whether it came now, for the first time.
    pub stored: bool,
}

/// A part of a mailbox, by arrival.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mailed {
    /// The messages, each behind its number.
    pub messages: Vec<(u64, Message)>,
    /// Whether more are behind the last of them.
    pub more: bool,
}

/// Why the relay does nothing now. The same request may be sent again later.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unavailable {
    /// Its database is being read, or cannot be used. The operator knows which.
    #[error("the relay cannot use its mail now")]
    Closed,
    /// More waits to be written than it takes at a time.
    #[error("the relay does as much at a time as it can")]
    Busy,
    /// Free disk space is below its floor.
    #[error("the relay is full: little disk space is left")]
    DiskFloor,
    /// The server stops.
    #[error("the relay is stopping")]
    Stopping,
}

/// Why a message is not delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotDelivered {
    /// There is no room for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// Not now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Relay {
    /// Starts the relay of the mail in the folder `path`, which is made if it is not there. It starts also if
    /// that cannot be opened: then it answers [`Unavailable::Closed`], and looks again from time to time.
    pub fn start(path: &Path, settings: &MailSettings, clock: Clock) -> std::io::Result<Self> {
        let (waiters, of_one_mailbox) =
            (settings.waiters.unwrap_or(1_000), settings.mailbox_waiters.unwrap_or(2));
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            limits: settings.limits(),
            clock,
            state: RwLock::new(State::Opening),
            queue: Queue::default(),
            waiters: Waiters::new(waiters, of_one_mailbox.max(1)),
            disk_low: AtomicBool::new(false),
        });
        let theirs = shared.clone();
        let thread = thread::Builder::new().name("relay".into()).spawn(move || theirs.run())?;
        let (budgets, work) = (MailBudgets::new(settings), crate::serve::turns());
        Ok(Self { shared, budgets, work, thread: Mutex::new(Some(thread)) })
    }

    /// Stores a message, durably, or says that it was stored before.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, NotDelivered> {
        if self.shared.disk_low.load(Ordering::Relaxed) {
            return Err(Unavailable::DiskFloor.into());
        }
        let (done, delivered) = oneshot::channel();
        Ok(self.change(Change::Deliver(Box::new(delivery), done), delivered).await??)
    }

    /// Deletes messages of a mailbox, durably; how many of the ids were there.
    pub async fn acknowledge(&self, owner: Did, ids: Vec<EnvelopeId>) -> Result<u64, Unavailable> {
        let (done, acknowledged) = oneshot::channel();
        self.change(Change::Acknowledge { owner, ids, done }, acknowledged).await
    }

    /// Marks a legacy message as read at a time (Unix milliseconds), unless it was; whether there is such a message.
    pub async fn mark_read(&self, owner: Did, id: EnvelopeId, at: u64) -> Result<bool, Unavailable> {
        let (done, marked) = oneshot::channel();
        self.change(Change::MarkRead { owner, id, at, done }, marked).await
    }

    /// Replaces the settings of a mailbox, unless there are some that were asked for later.
    pub async fn set(
        &self,
        owner: Did,
        settings: Settings,
        issued_at: u64,
        client: Option<IpAddr>,
    ) -> Result<Result<(), NotSet>, Unavailable> {
        let (done, set) = oneshot::channel();
        let settings = Dated { issued_at, settings };
        self.change(Change::Set { owner, settings, client, done }, set).await
    }

    /// The first messages of a mailbox behind a number that have not expired and that `wanted` takes. At most `limit`, and so
    /// few that an answer with them has at most `most_bytes`, unless the first one alone is longer.
    pub fn page(
        &self,
        owner: Did,
        after: u64,
        (limit, most_bytes): (usize, usize),
        wanted: impl Fn(Kind, Option<&MessageKeyId>) -> bool,
    ) -> Result<Mailed, Unavailable> {
        let now = (self.shared.clock.now)();
        self.read(|mail| mail.page(owner, after, now, (limit, most_bytes), wanted))
    }

    /// Whether [`page`](Self::page) would have any message. Reads nothing.
    pub fn holds(
        &self,
        owner: Did,
        after: u64,
        wanted: impl Fn(Kind, Option<&MessageKeyId>) -> bool,
    ) -> Result<bool, Unavailable> {
        let (mail, now) = (self.shared.open()?, (self.shared.clock.now)());
        let index = mail.lock();
        Ok(index.after(owner, after, now).any(|(_, brief)| wanted(brief.kind, brief.key.as_ref())))
    }

    /// The legacy message of a mailbox whose envelope id begins so.
    pub fn legacy_id(&self, owner: Did, beginning: [u8; 8]) -> Result<Option<EnvelopeId>, Unavailable> {
        self.read(|mail| mail.legacy_id(owner, &beginning))
    }

    /// Whether a message with this id was stored before. [`deliver`](Self::deliver) alone is sure.
    pub fn knows(&self, id: &EnvelopeId) -> Result<bool, Unavailable> {
        self.read(|mail| mail.knows(id))
    }

    /// Whose messages a mailbox takes.
    pub fn settings(&self, owner: Did) -> Result<Settings, Unavailable> {
        self.read(|mail| mail.settings(owner))
    }

    /// A place among those who wait for a mailbox.
    pub fn wait(&self, owner: Did, client: IpAddr) -> Result<Waiter, NoPlace> {
        self.shared.waiters.wait(owner, client)
    }

    /// Whether it takes and gives mail now; if not, the reason, for the operator.
    pub fn failure(&self) -> Option<String> {
        match &*self.shared.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(_) => None,
            State::Opening => Some("its mail is being read".to_owned()),
            State::Failed(reason) => Some(reason.clone()),
            State::Stopping => Some(Unavailable::Stopping.to_string()),
        }
    }

    /// How many messages wait, and the bytes that they have of all that they may have; `None` while it is closed.
    pub fn standing(&self) -> Option<(u64, Standing)> {
        let mail = self.shared.open().ok()?;
        let index = mail.lock();
        Some((index.messages(), index.standing()))
    }

    /// How many wait for mail.
    pub fn waiting(&self) -> Standing {
        self.shared.waiters.standing()
    }

    /// How often clients may ask.
    pub fn budgets(&self) -> &MailBudgets {
        &self.budgets
    }

    /// Turns at reading mail, and at judging long messages: other ones than the log's.
    pub fn work(&self) -> &Turns {
        &self.work
    }

    /// Whether it takes nothing more because the server stops.
    pub fn is_stopping(&self) -> bool {
        self.shared.queue.is_closed()
    }

    /// Where its database is.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Looks how much disk space is free: below the floor (bytes) nothing is delivered.
    pub fn watch_disk(&self, floor: u64) {
        let folder =
            if self.shared.path.exists() { Some(&*self.shared.path) } else { self.shared.path.parent() };
        service::disk::watch(folder.unwrap_or(&self.shared.path), floor, &self.shared.disk_low);
        metrics::relay_disk_low(self.shared.disk_low.load(Ordering::Relaxed));
    }

    /// Waits until it is open or has failed, `patience` at most.
    pub fn wait_until_open(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while Instant::now() < until
            && matches!(*self.shared.state.read().unwrap_or_else(PoisonError::into_inner), State::Opening)
        {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Takes nothing more, and answers who waits for mail.
    pub fn stop(&self) {
        self.shared.queue.close();
        self.shared.waiters.tell_all();
    }

    /// Takes nothing more, answers what waits, and ends. A disk that does not answer holds nobody up for longer than
    /// `patience`.
    pub fn close(&self, patience: Duration) {
        self.stop();
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let until = Instant::now() + patience;
        while !thread.is_finished() && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        match thread.is_finished() {
            true => drop(thread.join()),
            false => tracing::warn!("the relay was still writing when the server stopped"),
        }
    }

    /// Gives the writer a change and waits for what becomes of it.
    async fn change<T>(&self, change: Change, done: oneshot::Receiver<T>) -> Result<T, Unavailable> {
        self.shared.open()?;
        self.shared.queue.push(change)?;
        // A sender that was dropped: the write failed, and nobody knows what is on the disk.
        done.await.map_err(|_| Unavailable::Closed)
    }

    fn read<T>(&self, read: impl FnOnce(&Mailroom) -> Result<T, StoreError>) -> Result<T, Unavailable> {
        let mail = self.shared.open()?;
        read(&mail).map_err(|error| {
            tracing::error!(%error, "mail cannot be read");
            self.shared.fail(error.to_string());
            Unavailable::Closed
        })
    }
}

/// Whether a log relays messages, and how its operator changes that.
pub fn status(relay: Option<&Relay>) -> String {
    match relay.map(Relay::failure) {
        None => "off; `messages = true` in log.toml turns them on".to_owned(),
        Some(None) => format!("on; {TURN_OFF}"),
        Some(Some(reason)) => format!("answered 503: {reason}; the log goes on; {TURN_OFF}"),
    }
}

const TURN_OFF: &str = "`messages = false` in log.toml, or --messages false, turns them off";

#[cfg(test)]
mod tests;
