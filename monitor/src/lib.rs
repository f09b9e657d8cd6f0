//! A monitor of transparency logs: follows a log from its entries, holds every checkpoint against all before it and against what
//! others were shown, and keeps what it finds with its proof.
//!
//! ```text
//! source ──bytes──▶ tree (held against the checkpoint) ──▶ follow ──▶ finding (files), alert (record) ──▶ state
//! views: witnesses, other places ─────────────────────────────▲                    └──▶ stdout, webhook
//! ```
//! A monitor needs nothing of the log but its key and C2SP tiles, and owes it nothing. What it must be believed
//! about is in `specs/finding.md`; the rules are in `attestation::leaf` and `tlog`.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use attestation::Did;
use attestation::entry::LogTime;
use serde_json::json;
use tlog::Hash;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use log_client::Until;
use service::span::{Pause, Span};

use alert::Delivery;
use finding::Findings;
use follow::{Follower, Found, Log, Round, Settings, View};
use known::{Known, Whose};
use source::Source;
use told::Told;
use webhook::{Reach, Webhook, WebhookError};

mod alert;
mod earlier;
mod finding;
mod follow;
mod identities;
mod known;
mod metrics;
mod progress;
mod record;
mod serve_metrics;
mod source;
mod state;
mod told;
mod tree;
mod webhook;

pub use service::Failure;

/// Follow a log: rebuild its tree from its entries and report what is wrong
///
/// With --once the exit code is 0: nothing is wrong. 1: there are findings, or with --known entries were told. 2: it could
/// not be checked, or not in time. Findings are kept as files that `aip inspect --finding FILE` confirms offline. Standard
/// output carries findings and entries of watched DIDs, one a line.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The policy that names the log, its URL and its witnesses with theirs (C2SP tlog-policy)
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// The log to follow [default: the one that the policy names]
    #[arg(long)]
    origin: Option<String>,
    /// Where the monitor remembers how far it came
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Check what is there now, and end
    #[arg(long)]
    once: bool,
    /// With --once: how long all of it may take [default: 30m]. What was checked until then counts for the next run
    #[arg(long, value_name = "DURATION", requires = "once")]
    timeout: Option<Pause>,
    /// The time between two looks
    #[arg(long, default_value = "10s")]
    interval: Span,
    /// Where findings are kept [default: DIR/findings]
    #[arg(long, value_name = "DIR")]
    findings: Option<PathBuf>,
    /// How old the newest cosignature may be before that is a finding; 0s: any age
    #[arg(long, default_value = "1h")]
    stale_after: Span,
    /// How long a witness may show a larger tree than the log before that is a finding
    #[arg(long, default_value = "10m")]
    ahead_after: Span,
    /// Another place that serves the same log, seen from elsewhere; may be given several times
    #[arg(long, value_name = "URL")]
    view: Vec<String>,
    /// A signer whose entries are told; may be given several times
    #[arg(long, value_name = "DID")]
    watch_did: Vec<Did>,
    /// Receipts of your own runs, in a folder and those below it: their entries are not told, only foreign ones are. A
    /// receipt must verify by the policy and be of the very entry. Events, such as rotations, have no receipts: each is
    /// told, your own too. New receipts are read as they come
    #[arg(long, value_name = "DIR", requires = "watch_did")]
    known: Option<PathBuf>,
    /// How long after its entry a receipt may come into --known before the entry is foreign. With --once, entries that
    /// wait for it are left to the next run, and the last line says so
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    known_within: Span,
    /// Ask for the envelope of every public entry, and count those that are withheld, erased or too long to read
    #[arg(long)]
    envelopes: bool,
    /// Where entries of watched DIDs are posted; over https and to public addresses only. Often a secret: then rather
    /// in the environment than here, where others on the machine read it
    #[arg(long, value_name = "URL", requires = "webhook_key", env = "AIP_WEBHOOK", hide_env_values = true)]
    webhook: Option<String>,
    /// The key that signs what is posted; made there if there is none
    #[arg(long, value_name = "FILE")]
    webhook_key: Option<PathBuf>,
    /// Let the webhook be on this machine or in a private network, and without TLS
    #[arg(long)]
    allow_private_webhook: bool,
    /// Where to serve metrics for Prometheus
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Follows a log until the process is ended, or once. Answers the exit code.
pub fn run(args: &Args) -> Result<u8, Failure> {
    let mut monitor = Monitor::open(args)?;
    if let Some(address) = args.metrics {
        serve_metrics::start(address, metrics::install()?)?;
    }
    loop {
        let start = Instant::now();
        let round = monitor.look(now()?)?;
        if args.once {
            if round.unchecked.is_none() {
                print_line(&monitor.summary_line())?;
            }
            let is_wrong = !round.found.is_empty() || monitor.unproven != Unproven::default();
            return Ok(match (&round.unchecked, is_wrong) {
                (_, true) => 1,
                (Some(_), false) => 2,
                (None, false) => 0,
            });
        }
        std::thread::sleep(args.interval.0.saturating_sub(start.elapsed()).max(SHORTEST_PAUSE));
    }
}

/// A follower with everything that hears of what it sees.
struct Monitor {
    follower: Follower,
    origin: String,
    json: bool,
    has_looked: bool,
    /// When all has to be over; `None` for one that goes on.
    deadline: Option<Instant>,
    known: Option<Known>,
    /// What no receipt in `known` proves, as far as it was printed.
    unproven: Unproven,
    /// Whether entries were left for receipts that may still come into `known`.
    waits: bool,
    printed: Delivery,
    posted: Option<(Webhook, Delivery)>,
}

impl Monitor {
    fn open(args: &Args) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(&args.policy).map_err(|e| {
            Failure::new(format!("cannot read the policy `{}`", args.policy.display())).caused_by(e)
        })?;
        let policy: Policy = text.parse().map_err(|e| {
            Failure::new(format!("the policy `{}` is malformed", args.policy.display())).caused_by(e)
        })?;
        let (log, url) = log_of(policy, args.origin.as_deref())?;
        let origin = log.origin.clone();
        let deadline = args.once.then(|| Instant::now() + args.timeout.map_or(ONCE_TIME, Pause::get));
        let until = deadline.map_or(Until::LeastRate, Until::LeastRateBefore);
        let views = views(&log.policy, &args.view, until)?;
        let known = args.known.as_ref().map(|folder| {
            Known::open(folder, args.known_within.0, &origin, &log.policy, args.watch_did.clone())
        });
        let known = known.transpose()?;
        let settings = Settings {
            stale_after: args.stale_after.0,
            ahead_after: args.ahead_after.0,
            watch: args.watch_did.iter().copied().collect(),
            envelopes: args.envelopes,
        };
        let findings = Findings::open(&args.findings.clone().unwrap_or_else(|| args.dir.join("findings")))?;
        let follower = Follower::new(log, source(&url, until)?, views, settings, &args.dir, findings)?;
        let printed = Delivery::open(&args.dir, "printed", follower.alerts())?;
        let posted = match (&args.webhook, &args.webhook_key) {
            (Some(url), Some(key)) => {
                let reach = if args.allow_private_webhook { Reach::Anywhere } else { Reach::Public };
                let webhook = Webhook::new(url, webhook::key(key)?, reach).map_err(cannot_post)?;
                tracing::info!(vkey = webhook.vkey(), "what is posted is signed");
                Some((webhook, Delivery::open(&args.dir, "posted", follower.alerts())?))
            }
            _ => None,
        };
        let (json, has_looked, unproven, waits) = (args.json, false, Unproven::default(), false);
        Ok(Self { follower, origin, json, has_looked, deadline, known, unproven, waits, printed, posted })
    }

    /// Looks once, and tells.
    fn look(&mut self, now: LogTime) -> Result<Round, Failure> {
        let round = self.follower.poll(now)?;
        for failure in round.unchecked.iter().chain(&round.unread) {
            eprintln!("{failure}");
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            let size = self.follower.size();
            eprintln!(
                "hint: --timeout is over; {size} entries are checked, and the next run goes on from there"
            );
        }
        if round.unchecked.is_none() {
            metrics::checked_at(now.as_millis() / 1_000);
        }
        // One that was kept by a process that ended before it told: the next one tells what still stands.
        let tells_all = !std::mem::replace(&mut self.has_looked, true);
        for found in round.found.iter().filter(|found| found.is_new || tells_all) {
            print_line(&self.finding_line(found, now))?;
        }
        self.deliver(now)?;
        tracing::info!(size = self.follower.size().get(), findings = round.found.len(), "checked");
        Ok(round)
    }

    fn finding_line(&self, found: &Found, now: LogTime) -> String {
        let path = found.path.as_ref().map(|path| path.display().to_string());
        if self.json {
            return json!({
                "finding": found.class,
                "origin": self.origin,
                "foundAt": now.as_millis(),
                "detail": found.detail,
                "file": path,
            })
            .to_string();
        }
        let kept = path.map_or("too many of its class: not kept".to_owned(), |path| format!("proof: {path}"));
        format!("finding: {}: {} ({kept})", found.class, found.detail)
    }

    /// What was checked, over all time.
    fn summary_line(&self) -> String {
        let (size, leaves) = (self.follower.size().get(), self.follower.leaves());
        if self.json {
            let envelopes = self.follower.envelopes();
            let mut summary =
                json!({"checked": size, "origin": self.origin, "leaves": leaves, "envelopes": envelopes});
            if self.known.is_some() {
                summary["foreign"] = self.unproven.entries.into();
                summary["events"] = self.unproven.events.into();
                summary["waits"] = self.waits.into();
            }
            return summary.to_string();
        }
        if self.known.is_none() {
            return format!("checked: {size} entries of {}", self.origin);
        }
        let counted =
            |count, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        let foreign = counted(self.unproven.entries, "foreign entry", "foreign entries");
        let events = counted(self.unproven.events, "event", "events");
        let others = if self.waits { "; others wait for receipts, up to --known-within" } else { "" };
        format!("checked: {size} entries of {}; {foreign}, {events}{others}", self.origin)
    }

    /// Alerts to standard output and to the webhook, each from where it stopped.
    fn deliver(&mut self, now: LogTime) -> Result<(), Failure> {
        let alerts = self.follower.alerts();
        let is_behind = |delivery: &Delivery| delivery.is_behind(alerts);
        if is_behind(&self.printed) || self.posted.iter().any(|(_, delivery)| is_behind(delivery)) {
            match self.known.as_mut().map_or(Ok(()), Known::read) {
                Err(failure) if self.deadline.is_some() => return Err(failure),
                // An alarm too many is better than none.
                Err(failure) => eprintln!("{failure}"),
                Ok(()) => (),
            }
        }
        let known = self.known.as_ref();
        let whose = |told: &Told| known.map_or(Whose::Foreign, |known| known.whose(told, now));
        let is_foreign = known.is_some();
        let (mut count, mut events) = (0, 0);
        let print = |line: &[u8]| {
            let told = Told::parse(line);
            match whose(&told) {
                Whose::Own => return Ok(()),
                Whose::NotKnownYet => return Err(Left::ReceiptMayCome),
                Whose::Foreign => (),
            }
            let text = told.to_text(is_foreign);
            let line = if self.json { told.to_json(&text) } else { format!("{text}\n") };
            std::io::stdout().write_all(line.as_bytes()).map_err(Left::Refused)?;
            count += 1;
            events += u64::from(told.is_event());
            Ok(())
        };
        let (_, left) = self.printed.run(alerts, PRINTED_AT_ONCE, print)?;
        metrics::delivered("stdout", count);
        if is_foreign {
            self.unproven.entries += count as u64 - events;
            self.unproven.events += events;
        }
        self.waits = matches!(left, Some(Left::ReceiptMayCome));
        let cannot_print = |e| Failure::new("cannot write to standard output").caused_by(e);
        match left {
            None => (),
            Some(Left::Refused(error)) => return Err(cannot_print(error)),
            Some(_) => tracing::info!("entries wait for receipts that may still come into --known"),
        }
        std::io::stdout().flush().map_err(cannot_print)?;
        let Some((webhook, delivery)) = &mut self.posted else { return Ok(()) };
        let origin = Hash::of(self.origin.as_bytes());
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + POSTING_TIME);
        let mut count = 0;
        let post = |line: &[u8]| {
            let told = Told::parse(line);
            match whose(&told) {
                Whose::Own => return Ok(()),
                Whose::NotKnownYet => return Err(Left::ReceiptMayCome),
                Whose::Foreign if Instant::now() > deadline => return Err(Left::TimeIsOver),
                Whose::Foreign => (),
            }
            let body = told.to_json(&told.to_text(is_foreign));
            webhook.post(&format!("{origin}-{}", told.index()), body.as_bytes()).map_err(Left::Refused)?;
            count += 1;
            Ok(())
        };
        let (_, left) = delivery.run(alerts, 1, post)?;
        metrics::delivered("webhook", count);
        match left {
            None | Some(Left::ReceiptMayCome) => (),
            Some(Left::TimeIsOver) => {
                tracing::warn!("alerts are left to post: they go on after the next look");
            }
            Some(Left::Refused(error)) => eprintln!("{}", cannot_post(error)),
        }
        Ok(())
    }
}

/// What was told of watched DIDs that no receipt proves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Unproven {
    /// Artifact entries: they are foreign.
    entries: u64,
    /// Identity and trust events: receipts of these there are none.
    events: u64,
}

/// Why an alert is left for the next look.
enum Left<E> {
    /// The entry is not foreign yet.
    ReceiptMayCome,
    /// Whoever gets it does not take it.
    Refused(E),
    /// The look has taken long enough.
    TimeIsOver,
}

/// The log that is meant, by the policy, and where it is.
fn log_of(policy: Policy, origin: Option<&str>) -> Result<(Log, String), Failure> {
    let mut origins: Vec<&str> = policy.logs().iter().map(|log| log.vkey.name().as_str()).collect();
    origins.sort_unstable();
    origins.dedup();
    let origin = match (origin, &origins[..]) {
        (Some(origin), _) => origin.to_owned(),
        (None, [only]) => (*only).to_owned(),
        (None, []) => return Err(Failure::new("the policy names no log")),
        (None, _) => {
            let hint = format!("name one with --origin: {}", origins.join(", "));
            return Err(Failure::new("the policy names several logs").hint(hint));
        }
    };
    let of_log = || policy.logs().iter().filter(|log| log.vkey.name().as_str() == origin);
    let keys: Vec<VerifierKey> = of_log().map(|log| log.vkey.clone()).collect();
    if keys.is_empty() {
        return Err(Failure::new(format!("the policy names no log `{origin}`")));
    }
    let url = of_log().find_map(|log| log.url.clone()).ok_or_else(|| {
        Failure::new(format!("the policy does not say where the log `{origin}` is"))
            .hint("its line ends in its URL: `log <vkey> https://log.example.com`")
    })?;
    Ok((Log { origin, keys, policy }, url))
}

/// Whom the log is compared with: each witness that has a URL, and the other places.
fn views(policy: &Policy, places: &[String], until: Until) -> Result<Vec<View>, Failure> {
    let mut views: Vec<View> = Vec::new();
    for witness in policy.witnesses() {
        let Some(url) = &witness.url else { continue };
        let source = source(url, until)?;
        // One witness with two keys is two lines with one URL.
        match views.iter_mut().find(|view| view.source.url() == source.url()) {
            Some(view) => view.keys.push(witness.vkey.clone()),
            None => {
                let (name, keys) = (witness.name.clone(), vec![witness.vkey.clone()]);
                views.push(View { name, source, is_log: false, keys });
            }
        }
    }
    for url in places {
        views.push(View { name: url.clone(), source: source(url, until)?, is_log: true, keys: Vec::new() });
    }
    Ok(views)
}

fn source(url: &str, until: Until) -> Result<Source, Failure> {
    Source::new(url, until).map_err(|e| Failure::new("cannot make an HTTP client").caused_by(e))
}

fn cannot_post(error: WebhookError) -> Failure {
    let hint = match error {
        WebhookError::Private(_) | WebhookError::Scheme(_) => {
            Some("--allow-private-webhook allows this machine, private networks, and http")
        }
        _ => None,
    };
    let failure = Failure::new("cannot post alerts").caused_by(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn print_line(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|e| Failure::new("cannot write to standard output").caused_by(e))
}

fn now() -> Result<LogTime, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let time = since.and_then(|since| LogTime::from_millis(since.as_millis() as u64));
    time.ok_or_else(|| Failure::new("the clock reads no time that a finding can carry"))
}

/// Between two looks at a log that takes longer to check than the interval is.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Lines on standard output between two notes of the place.
const PRINTED_AT_ONCE: usize = 1_000;

/// What a single run may take if nobody says otherwise: a first run over a large log takes minutes.
const ONCE_TIME: Duration = Duration::from_secs(30 * 60);

/// What a slow webhook may take of the time between two looks.
const POSTING_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
