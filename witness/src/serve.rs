//! `serve`: puts the parts together, and takes them apart again when told to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use service::addresses::{AddressBudget, Proxies};
use service::bodies::Bodies;
use service::connections::ConnectionLimits;
use service::shares::Warnings;
use service::span::Pause;
use service::{clock, connections, disk, edited, operator};
use tlog::UnixTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::Failure;
use crate::clock::{Clock, Reading};
use crate::config::Settings;
use crate::cosigner::Cosigner;
use crate::directory::Directory;
use crate::http::{self, App};
use crate::lists::{Lists, ListsError};
use crate::logs::Logs;
use crate::metrics;
use crate::opening::Opened;
use crate::state::State;
use crate::store::StoreError;

/// Serve a witness until SIGTERM or SIGINT; SIGHUP reads the logs again, SIGUSR1 accepts the clock
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The witness's directory
    #[arg(long, env = "AIP_WITNESS_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Settings
    #[command(flatten)]
    pub settings: Settings,
}

/// Serves the witness. Returns after a clean stop.
pub fn run(args: Args) -> Result<(), Failure> {
    let directory = Arc::new(Directory::lock(&args.dir)?);
    let file = directory.settings()?;
    let keys = directory.keys(&file)?;
    let settings = args.settings.or(file.settings);
    let no_logs = |e| Failure::new("the logs to cosign are refused").caused_by(e);
    let lists = Lists::open(&args.dir, keys.verifiers()).map_err(no_logs)?;
    let logs = lists.logs(&Logs::default()).map_err(no_logs)?;
    edited::say(&args.dir, &EDITED);
    let handle = metrics::install();
    let damaged = |e| Failure::new(format!("cannot read the state in `{}`", args.dir.display())).caused_by(e);
    let Opened { store, held } = directory.state()?;
    for log in held.values() {
        tracing::error!(%log, "ALARM: nothing of this log is cosigned, since its two records do not agree: see `witness fsck`");
    }
    metrics::logs_held(held.len());
    let (state, writer) = State::open(store.clone(), end_process).map_err(damaged)?;
    let state = state.holding(held);
    let clock = Clock::new(Box::new(read_clocks), settings.accept_clock);
    // Report a wrong clock at the start, not at the first request.
    let _ = clock.now(state.latest());
    metrics::logs(logs.len());
    metrics::contradictions(state.contradictions());
    // The list client's TLS: the process has one provider, and this is the first to name it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let limits = settings.connection_limits(|wanted| connections::that_fit(wanted, STORE_FILES));
    let app = Arc::new(App {
        cosigner: Arc::new(Cosigner::new(keys, state, clock, logs)),
        url: settings.url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        proxies: Proxies::new(settings.trusted_proxies.clone()),
        addresses: AddressBudget::new(settings.address_requests_per_minute.unwrap_or(60_000)),
        bodies: Bodies::new(settings.body_limits()),
        disk_low: AtomicBool::new(false),
        connections: limits.shares(),
        operator_port: settings.operator_listen.is_some(),
        metrics: handle,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new("cannot start the server").caused_by(e))?;
    runtime.block_on(serve(app, lists, &settings, limits, &directory, &args.dir))?;
    // The runtime drops the last waiters. The writer ends when nobody can ask it any more.
    runtime.shutdown_timeout(Duration::from_secs(1));
    writer.join().map_err(|_| Failure::new("the state's writer had failed before the witness stopped"))?;
    // After a flush the next start has nothing to replay, and RocksDB checks what it reads.
    store.inner().flush().map_err(|e| Failure::new("cannot flush the database").caused_by(e))?;
    // The directory is unlocked only now, when everything that uses it has ended.
    drop(directory);
    Ok(())
}

async fn serve(
    app: Arc<App>,
    lists: Lists,
    settings: &Settings,
    limits: ConnectionLimits,
    directory: &Arc<Directory>,
    dir: &Path,
) -> Result<(), Failure> {
    let address = settings.listen.unwrap_or(([127, 0, 0, 1], 8081).into());
    let listener = connections::listen(address)
        .map_err(|e| Failure::new(format!("cannot listen on {address}")).caused_by(e))?;
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let (mut hang_up, mut user1) = (on(SignalKind::hangup())?, on(SignalKind::user_defined1())?);
    let (stop, stopping) = watch::channel(false);
    let interval = settings.list_interval.map_or(Duration::from_secs(60 * 60), Pause::get);
    let reload = spawn_lists(lists, &app.cosigner, interval)?;
    let floor = settings.disk_floor_bytes.unwrap_or(256 << 20);
    let watchdog = tokio::spawn(watch_over(app.clone(), directory.clone(), dir.to_owned(), floor));
    let bound = listener.local_addr().unwrap_or(address);
    let name = app.cosigner.keys.name();
    tracing::info!(%name, address = %bound, logs = app.cosigner.logs().len(), "serving");
    let operator = settings.operator_listen;
    let operator =
        operator.map(|at| operator::start(at, http::operator_router(app.clone()), stopping.clone()));
    let operator = operator.transpose()?;
    let (router, proxies, open) = (http::router(app.clone()), app.proxies.clone(), app.connections.clone());
    let server = tokio::spawn(connections::serve(listener, router, proxies, limits, open, stopping));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                edited::say(dir, &EDITED);
                reload.now();
            }
            _ = user1.recv() => {
                tracing::warn!("the operator accepts the clock");
                app.cosigner.clock.accept();
            }
        }
    }
    tracing::info!("stopping: nothing new is taken, who waits is answered");
    let _ = stop.send(true);
    let served = server.await;
    watchdog.abort();
    let watched = tokio::task::spawn_blocking(move || operator.map_or(Ok(()), |thread| thread.join())).await;
    match (served, watched) {
        (Ok(()), Ok(Ok(()))) => Ok(()),
        _ => Err(Failure::new("a part of the server had failed before it stopped")),
    }
}

fn on(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|e| Failure::new("cannot wait for signals").caused_by(e))
}

/// Ends the process after a failed write: only the next start knows what is on the disk (I5), and nobody may be answered
/// before that.
fn end_process(error: StoreError) {
    tracing::error!(%error, "a write failed: stopping, to start again from what is on the disk");
    std::process::exit(EXIT_FATAL);
}

/// Reads the logs again.
struct Reload {
    taker: Arc<Taker>,
    poll: mpsc::SyncSender<()>,
}

impl Reload {
    /// Takes the operator's own logs at once, and asks for the lists of others, which may take long.
    fn now(&self) {
        let taker = self.taker.clone();
        drop(tokio::task::spawn_blocking(move || taker.take()));
        // Full: they will be read again anyhow.
        let _ = self.poll.try_send(());
    }
}

/// The lists, and the witness that takes the logs from them.
struct Taker {
    lists: Mutex<Lists>,
    /// Weak: the state ends when the last user of the witness has gone.
    cosigner: Weak<Cosigner>,
}

impl Taker {
    /// Takes the logs as the files have them now. `None`: the witness has gone.
    fn take(&self) -> Option<()> {
        let cosigner = self.cosigner.upgrade()?;
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        match lists.logs(&cosigner.logs()) {
            Ok(logs) => {
                metrics::logs(logs.len());
                cosigner.set_logs(logs);
            }
            Err(error) => list_error(&error),
        }
        Some(())
    }
}

/// Starts a thread that reads the lists of others when asked, and at an interval. It is a thread because files and HTTP
/// block. It may end with the process, since it holds nothing that would be lost.
fn spawn_lists(lists: Lists, cosigner: &Arc<Cosigner>, interval: Duration) -> Result<Reload, Failure> {
    let (poll, polls) = mpsc::sync_channel(1);
    let taker = Arc::new(Taker { lists: Mutex::new(lists), cosigner: Arc::downgrade(cosigner) });
    let reload = Reload { taker: taker.clone(), poll };
    let run = move || {
        loop {
            Lists::poll(&taker.lists).unwrap_or_else(|error| list_error(&error));
            let taken = taker.take();
            let told = polls.recv_timeout(interval);
            if taken.is_none() || told == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("lists".into()).spawn(run);
    thread.map(|_| reload).map_err(|e| Failure::new("cannot start the thread that reads lists").caused_by(e))
}

fn list_error(error: &ListsError) {
    metrics::list_error();
    tracing::error!(%error, "the logs stay as they were");
}

/// Watches the clock and the free disk space, publishes the state of all bounds as metrics, and keeps metrics and budgets
/// from growing.
async fn watch_over(app: Arc<App>, directory: Arc<Directory>, dir: PathBuf, disk_floor_bytes: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut warnings = Warnings::default();
    for tick in 0u64.. {
        ticks.tick().await;
        let _ = app.cosigner.clock.now(app.cosigner.state.latest());
        // Histograms keep every sample until somebody asks; nobody may ever ask.
        app.metrics.run_upkeep();
        if tick % 120 == 0 {
            app.addresses.forget_idle();
        }
        for (what, standing) in
            [("bodies", app.bodies.large().standing()), ("connections", app.connections.standing())]
        {
            metrics::bound(what, &standing);
            warnings.look(what, &standing);
        }
        disk::watch(&dir, disk_floor_bytes, &app.disk_low);
        if let Err(error) = directory.check_linked() {
            // Anything cosigned from now on would be forgotten with the process.
            tracing::error!(%error, "the witness's files are gone: stopping");
            std::process::exit(EXIT_FATAL);
        }
    }
}

fn read_clocks() -> Reading {
    Reading { wall: UnixTime::from_secs(clock::wall().as_secs()), steady: clock::steady() }
}

/// Open files of the store, with room for its journals, the listener and the operator's connections.
const STORE_FILES: usize = 256 + operator::CONNECTIONS;

/// The files of a directory that people may edit.
const EDITED: [&str; 3] = ["witness.toml", "logs", "logs.learned"];

/// The exit code after a failed write.
const EXIT_FATAL: i32 = 70;
