//! The monitor as a process, beside real logs and witnesses: what it prints, posts and answers, and that nothing
//! is missed when it is killed.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::{self, Private, Public};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::log::{Log, ORIGIN, copy_folder, free_port};
use testkit::program;
use testkit::signer::{Signed, Signer};
use testkit::someone::Someone;
use testkit::witness::Witness;
use tlog::Hash;

/// A folder with a policy in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(log: &Log, witnesses: &str, quorum: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let policy = format!("log {} {}\n{witnesses}quorum {quorum}\n", log.vkey, log.url());
        std::fs::write(folder.path().join("policy"), policy).expect("a policy");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn monitor(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(program("monitor"));
        command.arg("--policy").arg(self.path("policy"));
        command.arg("--dir").arg(self.path("state")).args(flags).stdin(Stdio::null());
        command
    }

    fn once(&self, flags: &[&str]) -> Output {
        self.monitor(&[&["--once", "--json"], flags].concat()).output().expect("monitor runs")
    }

    fn findings(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.path("state/findings")).expect("a folder");
        folder.map(|entry| entry.expect("a file").path()).collect()
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn sign(signer: u64, about: u64, visibility: Visibility) -> Signed {
    Signer::new(signer).sign(ORIGIN, &about.to_be_bytes(), visibility, 0)
}

/// Submits published statements of two signers in turn.
fn submit(log: &Log, from: u64, to: u64) {
    let batch: Vec<Value> = (from..to).map(|about| sign(about % 2, about, Public).published()).collect();
    let (status, answer) = log.submit(&Value::from(batch));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_real_log_with_its_witnesses_is_clean() {
    let mut log = Log::init();
    let witness = Witness::start("w", &[], &log.vkey);
    log.ask(&witness.policy, "w");
    log.serve(&[]);
    submit(&log, 0, 300);
    let private = sign(0, 300, Private);
    assert_eq!(log.submit(&private.by_hash()).0, 200);
    assert_eq!(log.submit(&sign(1, 301, Public).by_hash()).0, 200);
    let place = Place::new(&log, &witness.policy, "w");
    let output = place.once(&["--envelopes"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let want = json!({
        "checked": 302, "origin": ORIGIN, "leaves": {"dsse": 302}, "envelopes": {"present": 300, "withheld": 1},
    });
    assert_eq!(lines(&output), [want], "{said}");
    // The log grows, the next run goes on; its entries are told as they come.
    submit(&log, 400, 410);
    let did = Signer::new(1).did().to_string();
    let output = place.once(&["--watch-did", &did]);
    assert_eq!(output.status.code(), Some(0));
    let told = lines(&output);
    assert_eq!(told.len(), 5 + 1, "{told:?}");
    assert!(told[..5].iter().all(|alert| alert["did"] == did.as_str() && alert["predicateType"].is_string()));
    assert!(told[5]["checked"] == 312);
    // Nobody there: nothing is wrong, nothing is checked.
    log.kill();
    let output = place.once(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: cannot read the log"));
    assert!(place.findings().is_empty());
}

/// It ended with a panic.
#[test]
fn a_time_that_no_clock_can_add_is_refused() {
    let place = Place::new(&Log::init(), "", "none");
    let output = place.once(&["--timeout", "500000000000y"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("longer than a year"), "{said}");
}

/// S19: a log was copied with its key, and both copies grew. Each looks honest to a client that sees only that one.
#[test]
fn two_copies_of_one_log_are_caught_and_the_finding_stands_alone() {
    let mut log = Log::init();
    log.serve(&[]);
    submit(&log, 0, 10);
    log.stop();
    let mut twin = Log::init();
    twin.vkey = log.vkey.clone();
    std::fs::remove_dir_all(twin.dir()).expect("the directory goes");
    copy_folder(&log.dir(), &twin.dir());
    std::fs::copy(log.dir().with_extension("signed"), twin.dir().with_extension("signed")).expect("a copy");
    for (log, number) in [(&mut log, 1_000), (&mut twin, 2_000)] {
        log.serve(&[]);
        submit(log, number, number + 7);
    }
    for seen in [&log, &twin] {
        let honest = Place::new(seen, "", "none").once(&[]);
        assert_eq!(honest.status.code(), Some(0), "each looks honest alone");
    }
    let place = Place::new(&log, "", "none");
    let output = place.once(&["--view", &twin.url()]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let told = lines(&output);
    assert_eq!(told[0]["finding"], "fork");
    let files = place.findings();
    assert_eq!(files, [PathBuf::from(told[0]["file"].as_str().expect("a file"))]);
    // Neither log runs when the finding is confirmed.
    log.kill();
    twin.kill();
    let inspect = Command::new(program("aip-attest"))
        .args(["inspect", "--finding"])
        .arg(&files[0])
        .args(["--vkey", &log.vkey.to_string()])
        .env("HOME", place.folder.path())
        .output()
        .expect("aip-attest runs");
    assert_eq!(inspect.status.code(), Some(0), "{}", String::from_utf8_lossy(&inspect.stderr));
}

/// The envelopes of a log need not fit into memory: each is checked as it comes.
#[test]
fn envelopes_are_not_kept_until_all_have_come() {
    const ENVELOPES: u64 = 250;
    let log = Log::start(&["--publish-interval", "10ms"]);
    let signer = Signer::new(1);
    for about in 0..ENVELOPES {
        let (status, answer) =
            log.submit(&signer.sign(ORIGIN, &about.to_be_bytes(), Public, 700_000).published());
        assert_eq!(status, 200, "{answer}");
    }
    let place = Place::new(&log, "", "none");
    let mut monitor =
        place.monitor(&["--envelopes", "--interval", "1h"]).stderr(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(monitor.stderr.take().expect("a pipe")).lines();
    let checked = lines.map_while(Result::ok).find(|line| line.contains("checked"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", monitor.id())).expect("its status");
    monitor.kill().expect("it is ours");
    monitor.wait().expect("it ends");
    assert!(checked.is_some_and(|line| line.contains(&format!("size={ENVELOPES}"))));
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a figure").trim();
    let most: u64 = most.trim_end_matches(" kB").parse().expect("a number");
    eprintln!("envelopes of {} MB: {} MB in memory", ENVELOPES * 700 / 1_000, most / 1_000);
    assert!(most < 100_000, "{most} kB");
}

/// R18: killed at any time while the log grows, then ended in peace: every entry of the DID is in the record
/// once, was printed, and was posted under one key.
#[test]
fn r18_killed_at_any_time_nothing_is_missed_or_doubled() {
    let kills: u64 = std::env::var("AIP_KILL_CYCLES").map_or(50, |cycles| cycles.parse().expect("a number"));
    let log = Log::start(&["--did-entries-per-minute", "0", "--address-entries-per-minute", "0"]);
    let place = Place::new(&log, "", "none");
    let hook = Hook::start();
    let did = Signer::new(1).did().to_string();
    let key = place.path("key").display().to_string();
    let flags = [
        "--watch-did",
        &did,
        "--webhook",
        &hook.url,
        "--webhook-key",
        &key,
        "--allow-private-webhook",
        "--interval",
        "1ms",
        "--json",
    ];
    let printed = place.path("printed");
    let stop = AtomicBool::new(false);
    let submitted = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut next = 0;
            while !stop.load(Ordering::Relaxed) {
                submit(&log, next, next + 40);
                next += 40;
            }
            next
        });
        for kill in 0..kills {
            let out = OpenOptions::new().create(true).append(true).open(&printed).expect("a file");
            let mut monitor =
                place.monitor(&flags).stdout(out).stderr(Stdio::null()).spawn().expect("monitor runs");
            // From 5 to 300 ms, a different time each, the same in every run.
            std::thread::park_timeout(Duration::from_millis(5 + kill * 7919 % 296));
            assert_eq!(monitor.try_wait().expect("ours"), None, "it runs until it is killed");
            monitor.kill().expect("ours");
            monitor.wait().expect("a process that was killed ends");
        }
        stop.store(true, Ordering::Relaxed);
        load.join().expect("the log takes entries")
    });
    let last = place.monitor(&[&["--once"], &flags[..]].concat()).output().expect("monitor runs");
    assert_eq!(last.status.code(), Some(0), "{}", String::from_utf8_lossy(&last.stderr));
    std::fs::write(place.path("last"), &last.stdout).expect("written");

    let record = indexes(&place.path("state/alerts.jsonl"));
    let want: BTreeSet<u64> = record.iter().copied().collect();
    assert_eq!(record.len(), want.len(), "no entry is in the record twice");
    assert!(record.is_sorted());
    assert_eq!(record.len() as u64, submitted / 2, "no entry is missed");
    let told: BTreeSet<u64> = indexes(&printed).into_iter().chain(indexes(&place.path("last"))).collect();
    assert!(told == want, "every entry was printed: {} of {}", told.len(), want.len());
    let posts: Vec<String> = hook.posts().into_iter().map(|post| post.key).collect();
    let origin = Hash::of(ORIGIN.as_bytes());
    let posted: BTreeSet<String> = posts.iter().cloned().collect();
    let keys: BTreeSet<String> = want.iter().map(|index| format!("{origin}-{index}")).collect();
    assert!(posted == keys, "and was posted: {} of {}", posted.len(), keys.len());
    assert!(posts.len() as u64 <= posted.len() as u64 + kills, "one more for a kill at most");
    println!(
        "{kills} kills, {submitted} entries, {} alerts, {} posts of {} keys",
        record.len(),
        posts.len(),
        posted.len()
    );
}

/// The indexes of the alerts in a file; a line that a kill cut off does not count.
fn indexes(path: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let index = |line: &str| serde_json::from_str::<Value>(line).ok()?["index"].as_u64();
    text.lines().filter_map(index).collect()
}

/// After a theft the owner hears of every entry that was not theirs, and of nothing else.
#[test]
fn only_what_has_no_receipt_of_ones_own_is_an_alarm() {
    let log = Log::start(&["--publish-interval", "10ms"]);
    let owner = Someone::at(&log, &[]);
    let sign = |name: &str, receipts: &str| {
        owner.write(name, name);
        owner.ok(&["sign", name, "--receipts", receipts]);
    };
    sign("app", "own");
    sign("evil", "elsewhere");
    sign("lib", "own");
    let place = Place::new(&log, "", "none");
    let (did, hook) = (owner.did(), Hook::start());
    let (known, key) =
        (owner.work().join("own").display().to_string(), place.path("key").display().to_string());
    let posting = ["--webhook", &hook.url, "--webhook-key", &key, "--allow-private-webhook"];
    let once = |flags: &[&str]| {
        let flags = [&["--once", "--watch-did", &did], flags].concat();
        let output = place.monitor(&flags).output().expect("monitor runs");
        let out = String::from_utf8(output.stdout).expect("text");
        (output.status.code(), out, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, out, err) = once(&[&["--known", known.as_str()], &posting[..]].concat());
    assert_eq!(code, Some(1), "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    let digest = Hash::of(b"evil");
    assert!(lines[0].starts_with(&format!("event of {ORIGIN}: 2")), "{out}");
    assert!(lines[0].ends_with(&format!("Z  index 0  {did}  inception  about {did}")), "{out}");
    assert!(lines[1].starts_with(&format!("foreign entry of {ORIGIN}: 2")), "{out}");
    assert!(lines[1].ends_with(&format!("Z  index 2  {did}  provenance  sha256:{digest}")), "{out}");
    assert_eq!(lines[2], format!("checked: 4 entries of {ORIGIN}; 1 foreign entry, 1 event"));
    let posts = hook.posts();
    assert_eq!(posts.len(), 2, "what is one's own is posted to nobody");
    assert_eq!((&posts[1].body["text"], &posts[1].body["index"]), (&json!(lines[1]), &json!(2)));
    // It was told. New runs are known by new receipts.
    sign("more", "own");
    let (code, out, err) = once(&["--known", &known]);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}{err}");
    // Whoever says nothing of receipts hears of every entry, and none of them is an alarm.
    sign("most", "own");
    let (code, out, err) = once(&["--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let alert: Value = serde_json::from_str(out.lines().next().expect("a line")).expect("JSON");
    assert!(alert["text"].as_str().is_some_and(|text| text.starts_with("entry of ")), "{out}");
    let (code, _, err) = once(&["--known", "/nowhere"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("cannot read the receipts in `/nowhere`"), "{err}");
}

/// A webhook that takes everything and remembers it.
struct Hook {
    url: String,
    posts: Arc<Mutex<Vec<Post>>>,
}

#[derive(Clone)]
struct Post {
    key: String,
    body: Value,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let posts = Arc::new(Mutex::new(Vec::new()));
        let taken = posts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // One that was killed breaks off: it posts again.
                if let Some(post) = take(stream) {
                    taken.lock().expect("no panic").push(post);
                }
            }
        });
        Self { url, posts }
    }

    fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no panic").clone()
    }
}

/// Reads one post and answers it.
fn take(stream: TcpStream) -> Option<Post> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(&stream);
    let (mut key, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("idempotency-key: ") {
            key = Some(value.to_owned());
        }
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    (&stream).write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").ok()?;
    Some(Post { key: key?, body: serde_json::from_slice(&body).ok()? })
}

#[test]
fn metrics_tell_how_far_it_is() {
    let log = Log::start(&[]);
    submit(&log, 0, 20);
    let place = Place::new(&log, "", "none");
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let flags = ["--metrics", &address.to_string(), "--interval", "10ms"];
    let mut monitor =
        place.monitor(&flags).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    let deadline = Instant::now() + Duration::from_secs(30);
    let metrics = loop {
        let got = log.http().get(format!("http://{address}/metrics")).send().and_then(|answer| answer.text());
        match got {
            Ok(text) if text.contains("monitor_tree_size_checked 20") => break text,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        std::thread::park_timeout(Duration::from_millis(10));
    };
    monitor.kill().expect("ours");
    monitor.wait().expect("a process that was killed ends");
    for line in [
        "monitor_tree_size_published 20",
        "monitor_leaves_total{kind=\"dsse\"} 20",
        "monitor_findings_total{class=\"fork\"} 0",
        "monitor_quorum_met 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}:\n{metrics}");
    }
}
