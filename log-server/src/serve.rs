//! `serve`: puts the parts together, and takes them apart again when told to stop.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use log_core::port::ready;
use service::addresses::Proxies;
use service::bodies::Bodies;
use service::connections::ConnectionLimits;
use service::shares::Warnings;
use service::span::Pause;
use service::turns::Turns;
use service::{clock, connections, disk, edited, operator};
use tlog::key::AdmittedKeys;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::Failure;
use crate::aip_v1::V1;
use crate::asserter::Asserter;
use crate::config::Settings;
use crate::cosign::witnesses::Witnesses;
use crate::directory::{AIP_V1, Directory, EDITED, MAIL};
use crate::http::answer::Shown;
use crate::http::budget::Budgets;
use crate::http::front::Front;
use crate::http::identities::Identities;
use crate::http::prepared::Prepared;
use crate::http::unread::Unread;
use crate::http::{self, App, RequestLimits};
use crate::metrics;
use crate::pool::{Pool, Tickets, Turn, Unavailable, Wish};
use crate::relay::{self, Clock, Relay};
use crate::sequencer::{Accept, Clocks, Engine, FatalError, OpenError, Publication, Sequencer, opening};
use crate::signed_record::SignedRecord;
use crate::store::rocks;
use crate::store::schema::Read as _;
use crate::view::Door;

mod reload;

use reload::{Read, Reload};

/// Serve a log until SIGTERM or SIGINT; SIGHUP reads the policy, the admission, the allow-list and the tokens again
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The log's directory
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Go on although the record of what was signed is an older copy than the directory
    #[arg(long)]
    pub accept_older_record: bool,
    /// Settings
    #[command(flatten)]
    pub settings: Settings,
}

/// Serves the log. Returns after a clean stop.
pub fn run(args: Args) -> Result<(), Failure> {
    let files = connections::allowed_files();
    if files < rocks::files() + OTHER_FILES + LEAST_CONNECTIONS {
        return Err(Failure::new(format!("{files} open files are too few for a log"))
            .hint("raise the limit, `ulimit -Hn` or the unit's LimitNOFILE, to 1024 at least"));
    }
    let directory = Arc::new(Directory::lock(&args.dir)?);
    let file = directory.settings()?;
    let identity = directory.identity(&file)?;
    let settings = args.settings.clone().or(file.settings);
    let vkey = identity.key.verifier().clone();
    let policy_text = directory.policy()?;
    settings.check().map_err(|e| Failure::new("the settings are refused").caused_by(e))?;
    let Read { terms, policy, .. } = reload::read(policy_text.clone(), &settings, &vkey)?;
    let policy = Arc::new(policy);
    let record_path = settings.signed_record_path(&args.dir);
    let record = SignedRecord::take(&record_path).map_err(|e| no_record(&record_path, e))?;
    let held = record.held();
    let accept = Accept { clock: settings.accept_clock, older_record: args.accept_older_record };
    let store = directory.store(|store| {
        let engine = Engine::open(store.clone()).map_err(|e| cannot_open(&args.dir, e))?;
        ready(opening::judge(&engine, &record, &identity, accept)).map_err(|e| cannot_open(&args.dir, e))
    })?;
    edited::say(&args.dir, &EDITED);
    let handle = metrics::install();
    let engine = Arc::new(Engine::open(store.clone()).map_err(|e| cannot_open(&args.dir, e))?);
    let tickets = Arc::new(Tickets::default());
    let pool = Arc::new(Pool::new(settings.pool_limits(), tickets.clone()));
    let rhythm = settings.rhythm(&policy);
    let waking = pool.clone();
    let witnesses = Witnesses::start(&policy, rhythm.quorum_timeout, move || waking.wake());
    let witnesses = witnesses.map_err(|e| Failure::new("cannot ask witnesses").caused_by(e))?;
    let publication = Publication { policy, cosigners: Box::new(witnesses), rhythm };
    let identity = Arc::new(identity);
    let sequencer = Sequencer::open(engine.clone(), identity.clone(), record, clocks(), accept, publication);
    let sequencer = sequencer.map_err(|e| cannot_open(&args.dir, e))?.telling(tickets);
    let relay = match settings.messages.unwrap_or(true) {
        true => Some(Arc::new(start_relay(&args.dir, &settings, sequencer.clock_stopped())?)),
        false => None,
    };
    let aip_v1 = match settings.aip_v1 {
        true => Some(Arc::new(V1::start(&args.dir.join(AIP_V1)).map_err(|e| {
            Failure::new("cannot start the interface of Python aip: the system gives no random bytes")
                .caused_by(e)
        })?)),
        false => None,
    };
    let limits =
        settings.connection_limits(|wanted| connections::that_fit(wanted, rocks::files() + OTHER_FILES));
    let state = store.tree_state().ok().flatten();
    let flushed = store;
    let (day, day_bytes) = state.map_or((0, 0), |state| (state.day, state.day_bytes));
    let door = Door::new(engine, sequencer.tiles());
    let asserter = Asserter::new(identity, door.clone(), sequencer.published());
    let app = Arc::new(App {
        origin: file.origin,
        terms: RwLock::new(Arc::new(terms)),
        door,
        prepared: Prepared::new(http::PREPARED_BYTES),
        shown: RwLock::new(Shown::new(sequencer.published().borrow().clone())),
        identities: Identities::default(),
        reads: Arc::new(Semaphore::new(http::READS)),
        registry: sequencer.registry(),
        published: sequencer.published(),
        cosigning: sequencer.cosigning(),
        clock_stopped: sequencer.clock_stopped(),
        pool,
        budgets: Budgets::from_settings(&settings, day, day_bytes),
        entry_limits: settings.entry_limits(),
        request_limits: RequestLimits {
            body_bytes: settings.body_bytes(),
            entries: settings.max_request_entries.unwrap_or(1_000),
            deadline: settings.deadline.map_or(Duration::from_secs(10), Pause::get),
        },
        proxies: Proxies::new(settings.trusted_proxies.clone()),
        bodies: Bodies::new(settings.body_limits()),
        unread: Unread::new(settings.max_unread_bytes.unwrap_or(256 << 20)),
        keys: AdmittedKeys::default(),
        disk_low: AtomicBool::new(false),
        metrics: handle,
        asserter,
        evidence: turns(),
        work: turns(),
        relay: relay.clone(),
        aip_v1,
        connections: limits.shares(),
        operator_port: settings.operator_listen.is_some(),
        now,
    });
    let pool = app.pool.clone();
    let reload = Reload::new(args.dir.clone(), args.settings, settings.clone(), vkey, policy_text, pool);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new("cannot start the server").caused_by(e))?;
    runtime.block_on(serve(app, sequencer, &settings, limits, directory.clone(), reload))?;
    // The directory is unlocked only now, when everything that uses it has ended.
    drop(runtime);
    // Before the directory: what waits to be written is written first.
    if let Some(relay) = relay {
        relay.close(LAST_WORDS);
    }
    // After a flush the next start has nothing to replay. If it fails, the store is as after a kill.
    if let Err(error) = flushed.flush() {
        tracing::warn!(%error, "the write-ahead log stays for the next start");
    }
    drop(flushed);
    drop(directory);
    // Last: a directory that is made at this path meanwhile would be written to.
    drop(held);
    Ok(())
}

async fn serve(
    app: Arc<App>,
    sequencer: Sequencer,
    settings: &Settings,
    limits: ConnectionLimits,
    directory: Arc<Directory>,
    mut reload: Reload,
) -> Result<(), Failure> {
    let address = settings.listen.unwrap_or(([127, 0, 0, 1], 8080).into());
    let listener = connections::listen(address)
        .map_err(|e| Failure::new(format!("cannot listen on {address}")).caused_by(e))?;
    let cannot_wait = |e| Failure::new("cannot wait for signals").caused_by(e);
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_wait)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_wait)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(cannot_wait)?;
    let (stop, stopping) = watch::channel(false);
    let operator = settings.operator_listen;
    let operator =
        operator.map(|at| operator::start(at, http::operator_router(app.clone()), stopping.clone()));
    let operator = operator.transpose()?;
    let writer = spawn_sequencer(sequencer, app.pool.clone(), reload.publication())?;
    let disk_floor = settings.disk_floor_bytes.unwrap_or(1 << 30);
    // Mail stops first, so that it does not bring the log to its floor.
    let mail_floor = settings.mail.disk_floor_bytes.unwrap_or(disk_floor.saturating_mul(2));
    let watchdog = tokio::spawn(watch_over(app.clone(), directory, disk_floor, mail_floor));
    let bound = listener.local_addr().unwrap_or(address);
    if let Some(relay) = &app.relay {
        relay.wait_until_open(RELAY_PATIENCE);
    }
    let messages = relay::status(app.relay.as_deref());
    let size = app.published.borrow().size().get();
    tracing::info!(origin = app.origin, address = %bound, size, messages, "serving");
    let (front, proxies, open) = (Front::new(app.clone()), app.proxies.clone(), app.connections.clone());
    let server = tokio::spawn(connections::serve(listener, front, proxies, limits, open, stopping));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                if let Some(terms) = reload.now() {
                    *app.terms.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
                }
            }
        }
    }
    tracing::info!("stopping: nothing new is taken, who waits is answered");
    app.pool.close();
    if let Some(relay) = &app.relay {
        relay.stop();
    }
    let _ = stop.send(true);
    let served = server.await;
    watchdog.abort();
    let written = tokio::task::spawn_blocking(move || writer.join()).await;
    let watched = tokio::task::spawn_blocking(move || operator.map_or(Ok(()), |thread| thread.join())).await;
    match (served, written, watched) {
        (Ok(()), Ok(Ok(())), Ok(Ok(()))) => Ok(()),
        _ => Err(Failure::new("a part of the server had failed before it stopped")),
    }
}

/// Starts the relay. Its mail is read while the rest of the log starts.
fn start_relay(
    dir: &Path,
    settings: &Settings,
    clock_stopped: watch::Receiver<Option<String>>,
) -> Result<Relay, Failure> {
    let doubted = Box::new(move || clock_stopped.borrow().is_some());
    let relay = Relay::start(&dir.join(MAIL), &settings.mail, Clock { now, doubted });
    relay.map_err(|e| Failure::new("cannot start the relay of messages").caused_by(e))
}

/// The writer's thread. A failed write ends the process at once: only the next start knows what is on the disk (I5), and
/// nobody may be answered before that.
fn spawn_sequencer(
    mut sequencer: Sequencer,
    pool: Arc<Pool>,
    publication: Arc<Mutex<Option<Publication>>>,
) -> Result<thread::JoinHandle<()>, Failure> {
    let run = move || {
        let write = std::panic::AssertUnwindSafe(|| write(&mut sequencer, &pool, &publication));
        let work = std::panic::catch_unwind(write);
        match work {
            Ok(Ok(())) => return,
            Ok(Err(FatalError(error))) => {
                tracing::error!(%error, "a write failed: stopping, to start again from what is on the disk");
            }
            Err(_) => {
                tracing::error!("the sequencer panicked: stopping, to start again from what is on the disk");
            }
        }
        std::process::exit(EXIT_FATAL);
    };
    let thread = thread::Builder::new().name("sequencer".into()).spawn(run);
    thread.map_err(|e| Failure::new("cannot start the sequencer").caused_by(e))
}

/// Rounds and publications until the pool is closed. Then the committed entries are published, if the witnesses cosign
/// them soon. `publication` is set when the policy was read again.
fn write(
    sequencer: &mut Sequencer,
    pool: &Pool,
    publication: &Mutex<Option<Publication>>,
) -> Result<(), FatalError> {
    let mut last_round = Instant::now();
    let mut closed_at = None;
    loop {
        if let Some(publication) = publication.lock().unwrap_or_else(PoisonError::into_inner).take() {
            sequencer.adopt(publication)?;
        }
        let until = sequencer.next_tend().and_then(|pause| Instant::now().checked_add(pause));
        match pool.next(Wish { last_round, takes_entries: sequencer.takes_entries(), until }) {
            Turn::Round(batch) => {
                let start = Instant::now();
                sequencer.round(batch)?;
                metrics::round(start.elapsed());
                last_round = Instant::now();
            }
            Turn::Tend => sequencer.tend()?,
            Turn::Closed => {
                let closed_at: Instant = *closed_at.get_or_insert_with(Instant::now);
                if sequencer.is_settled() || closed_at.elapsed() > LAST_WORDS {
                    pool.refuse(&Unavailable::Stopping);
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(10));
                sequencer.tend()?;
            }
        }
        if let Some(reason) = &sequencer.cosigning().borrow().halted {
            pool.refuse(&Unavailable::Halted(reason.clone()));
        }
    }
}

/// Turns at work that takes long: every CPU has one, and no client has more than half of them.
pub(crate) fn turns() -> Turns {
    let cpus = thread::available_parallelism().map_or(1, usize::from).max(2);
    Turns::new(cpus, cpus / 2)
}

/// Watches the free disk space, publishes the state of all bounds as metrics, and keeps metrics and budgets from growing.
async fn watch_over(app: Arc<App>, directory: Arc<Directory>, disk_floor_bytes: u64, mail_floor_bytes: u64) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut warnings = Warnings::default();
    for tick in 0u64.. {
        ticks.tick().await;
        // Histograms keep every sample until somebody asks; nobody may ever ask.
        app.metrics.run_upkeep();
        if tick % 120 == 0 {
            app.budgets.forget_idle();
        }
        for (what, standing) in app.bounds() {
            metrics::bound(what, &standing);
            warnings.look(what, &standing);
        }
        disk::watch(directory.path(), disk_floor_bytes, &app.disk_low);
        metrics::disk_low(app.disk_low.load(Ordering::Relaxed));
        if let Some(v1) = app.aip_v1.as_ref().filter(|_| tick % 120 == 0) {
            // Nobody is forgotten by a clock that cannot be right.
            let clock_is_right = app.clock_stopped.borrow().is_none();
            v1.forget_idle((clock_is_right && tick % 7_200 == 120).then(now));
        }
        if let Some(relay) = &app.relay {
            watch_relay(relay, mail_floor_bytes, tick);
        }
        if let Err(error) = directory.check_linked() {
            // Anything written from now on would be gone with the process.
            tracing::error!(%error, "the log's files are gone: stopping");
            std::process::exit(EXIT_FATAL);
        }
    }
}

/// The same for the relay.
fn watch_relay(relay: &Relay, disk_floor_bytes: u64, tick: u64) {
    if tick.is_multiple_of(120) {
        relay.budgets().forget_idle();
    }
    relay.watch_disk(disk_floor_bytes);
    if let Some((messages, _)) = relay.standing() {
        metrics::relay_messages(messages);
    }
}

fn no_record(path: &Path, cause: std::io::Error) -> Failure {
    if cause.kind() == std::io::ErrorKind::WouldBlock {
        let fact = format!("another process signs with the record `{}`", path.display());
        return Failure::new(fact).hint(
            "it serves another copy of this directory; a log has one writer: stop one of them, and remove its copy",
        );
    }
    let fact = format!("the record of what was signed, `{}`, cannot be used", path.display());
    if disk::may_pass(&cause) {
        return Failure::new(fact).caused_by(cause).may_pass(true);
    }
    Failure::new(fact)
        .caused_by(cause)
        .hint(
            "`init` made it beside the directory; name it with --signed-record if it moved. Without it nobody knows \
             what this log has signed, and signing again could fork it: if it is lost, the origin is over and a \
             successor begins with `init` under another origin",
        )
}

fn cannot_open(dir: &Path, error: OpenError) -> Failure {
    let hint = match &error {
        OpenError::RolledBack { .. } | OpenError::Contradiction { .. } => Some(
            "going on would sign a second tree under one key, which every verifier would hold against this log. Bring \
             back a directory that holds at least what was signed: `log-server recover` brings the rest from a newer \
             backup or a mirror. If there is none, the origin is over: begin a successor with `init` under another origin",
        ),
        OpenError::RecordBehind { .. } => Some(
            "somebody put the record back, and may have put the directory back as well: then it has signed more than it \
             knows. If this directory is certainly the newest, `serve --accept-older-record` writes the record anew",
        ),
        OpenError::WitnessKnowsMore { .. } => Some(
            "this directory and its record are older copies, or the key signed elsewhere. `log-server recover` replays a \
             mirror's tiles up to what was signed; if there is none, the origin is over: begin a successor with `init` \
             under another origin",
        ),
        OpenError::Damaged { .. } => {
            Some("`log-server fsck --dir` names the first damaged object; restore a backup")
        }
        OpenError::NoTree => Some("nothing was signed: remove the directory and run `init` again"),
        OpenError::BadRecord { .. } => {
            Some("the record belongs to another log; name the right one with --signed-record")
        }
        OpenError::Publish(_) | OpenError::Store(_) => None,
    };
    let may_pass = match &error {
        OpenError::Store(error) | OpenError::Publish(FatalError(error)) => error.may_pass,
        _ => false,
    };
    let failure =
        Failure::new(format!("refusing to serve `{}`", dir.display())).caused_by(error).may_pass(may_pass);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn clocks() -> Clocks {
    Box::new(|| (now(), clock::steady()))
}

fn now() -> u64 {
    clock::wall().as_millis() as u64
}

/// Open files besides the store's sorted ones and connections: its record files, the record, witnesses, the listeners, the
/// operator's connections.
const OTHER_FILES: usize = 128 + operator::CONNECTIONS;

/// With fewer, one idle client could keep others out.
const LEAST_CONNECTIONS: usize = 16;

/// How long a stop waits for the witnesses of what is committed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a start waits for the relay to open. A larger mail opens while the log serves.
const RELAY_PATIENCE: Duration = Duration::from_secs(1);

/// The exit code after a failed write.
const EXIT_FATAL: i32 = 70;
