//! A monitor against logs that lie. Each log is in memory, holds the key, and serves whatever it is told to.

use std::path::Path;

use attestation::finding::{Confirmed, Finding, Keys};
use tempfile::TempDir;
use tlog::checkpoint::Checkpoint;
use tlog::key::SignerKey;

use super::*;
use fixture::*;

mod earlier;
mod fixture;
mod hostile;
mod known;
mod lies;
mod resume;

/// The monitor's time in tests, in milliseconds.
const NOW: u64 = 1_790_000_000_000;

fn time(milliseconds: u64) -> LogTime {
    LogTime::from_millis(milliseconds).expect("a time")
}

/// A monitor with its folder.
struct Watch {
    folder: TempDir,
    policy: String,
    flags: Vec<String>,
}

impl Watch {
    /// Follows `log` with the witness lines `witnesses` of a policy.
    fn new(log: &FakeLog, witnesses: &str) -> Self {
        let quorum = if witnesses.is_empty() { "none" } else { "w" };
        let policy = format!("log {} {}\n{witnesses}quorum {quorum}\n", log.vkey(), log.url());
        Self { folder: tempfile::tempdir().expect("a folder"), policy, flags: Vec::new() }
    }

    fn with(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Monitor {
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: Args,
        }
        let policy = self.dir().join("policy");
        std::fs::write(&policy, &self.policy).expect("written");
        let state = self.dir().join("state");
        let fixed =
            ["monitor".into(), "--policy".into(), policy.into_os_string(), "--dir".into(), state.into()];
        let args = fixed.into_iter().chain(self.flags.iter().map(Into::into));
        let cli: Cli = clap::Parser::try_parse_from(args).expect("arguments");
        Monitor::open(&cli.args).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// One look by a monitor that then ends.
    fn look(&self) -> Round {
        self.look_at(NOW)
    }

    fn look_at(&self, now: u64) -> Round {
        self.open().follower.poll(time(now)).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The findings on the disk, each confirmed with the policy and by itself.
    fn findings(&self) -> Vec<(Finding, Confirmed)> {
        let folder = std::fs::read_dir(self.dir().join("state/findings")).expect("a folder");
        let mut files: Vec<_> = folder.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        let policy: Policy = self.policy.parse().expect("a policy");
        let read = |path: &std::path::PathBuf| {
            let finding = Finding::parse(&std::fs::read(path).expect("read")).expect("a finding");
            let by_itself = finding.confirm(None).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(by_itself.keys(), Keys::Finding);
            let confirmed =
                finding.confirm(Some(&policy)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (finding, confirmed)
        };
        files.iter().map(read).collect()
    }

    fn classes(&self) -> Vec<&'static str> {
        self.findings().iter().map(|(finding, _)| finding.class()).collect()
    }
}

/// The classes of a round.
fn classes(round: &Round) -> Vec<&'static str> {
    round.found.iter().map(|found| found.class).collect()
}

fn assert_clean(round: &Round) {
    assert!(round.found.is_empty(), "{:?}", round.found);
    assert!(round.unchecked.is_none(), "{:?}", round.unchecked);
    assert!(round.unread.is_empty(), "{:?}", round.unread);
}

#[test]
fn an_honest_log_is_followed_through_every_kind_of_growth() {
    let log = FakeLog::start(1);
    let watch = Watch::new(&log, "");
    let mut monitor = watch.open();
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 700, 5_000, 5_001, 66_000, 66_304, 131_072, 131_073] {
        log.grow_to(size);
        log.publish();
        assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
        assert_eq!(monitor.follower.size().get(), size);
        // Nothing new: one request says so.
        log.hits();
        assert_clean(&monitor.follower.poll(time(NOW)).expect("a disk"));
        assert_eq!(log.hits(), ["checkpoint"]);
    }
    drop(monitor);
    // The next one goes on, and reads no entry again.
    log.hits();
    assert_clean(&watch.look());
    assert_eq!(log.hits(), ["checkpoint"]);
    assert!(watch.classes().is_empty());
}

#[test]
fn only_what_is_new_is_fetched() {
    let log = FakeLog::start(1);
    log.grow_to(70_000);
    log.publish();
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look());
    log.grow_to(70_010);
    log.publish();
    log.hits();
    assert_clean(&watch.look());
    let mut hits = log.hits();
    hits.sort();
    // The edge, the one bundle, and the path to where our tree ended.
    assert_eq!(
        hits,
        ["checkpoint", "tile/0/273.p/122", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/122",]
    );
}

/// A partial tile that the log no longer has is taken from the full one.
#[test]
fn partial_tiles_fall_back_to_full_ones() {
    let log = FakeLog::start(1);
    log.grow_to(300);
    log.publish();
    let old = log.note();
    log.grow_to(600);
    log.publish();
    log.put("checkpoint", old.into_bytes());
    log.forget("tile/0/001.p/44");
    log.forget("tile/entries/001.p/44");
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look());
    log.restore();
    assert_clean(&watch.look());
}

#[test]
fn what_cannot_be_checked_is_no_finding() {
    let log = FakeLog::start(1);
    log.grow_to(300);
    log.publish();
    let note = log.note();
    let stranger = FakeLog::start(2);
    stranger.grow_to(3);
    stranger.publish();
    for (name, path, bytes) in [
        ("no note", "checkpoint", Some(b"hello".to_vec())),
        ("another log's key", "checkpoint", Some(stranger.note().into_bytes())),
        ("a bad signature", "checkpoint", Some(note.replacen("— ", "— x", 1).into_bytes())),
        ("no checkpoint", "checkpoint", None),
        ("no entries", "tile/entries/000", None),
        ("no tile", "tile/0/000", None),
        ("no edge", "tile/1/000.p/1", None),
    ] {
        match bytes {
            Some(bytes) => log.put(path, bytes),
            None => log.forget(path),
        }
        let watch = Watch::new(&log, "");
        let round = watch.look();
        assert!(round.found.is_empty(), "{name}: {:?}", round.found);
        assert!(round.unchecked.is_some(), "{name}");
        log.restore();
        assert_clean(&watch.look());
    }
    drop(log);
}

#[test]
fn a_policy_says_which_log_and_where() {
    let log = FakeLog::start(1);
    let other = SignerKey::from_seed(
        tlog::key::KeyName::new("other.example.com/log").expect("a name"),
        tlog::key::KeyType::Ed25519,
        &[9; 32],
    );
    let policy = |text: String| text.parse::<Policy>().expect("a policy");
    let two = format!("log {} {}\nlog {}\nquorum none\n", log.vkey(), log.url(), other.verifier());
    for (text, origin, want) in [
        ("quorum none\n".to_owned(), None, "the policy names no log"),
        (two.clone(), None, "the policy names several logs"),
        (two.clone(), Some("other.example.com/log"), "does not say where the log"),
        (two.clone(), Some("third.example.com/log"), "the policy names no log `third"),
    ] {
        let refused = log_of(policy(text), origin).map(|_| ()).expect_err(want).to_string();
        assert!(refused.contains(want), "{refused}");
    }
    let (found, url) = log_of(policy(two), Some(ORIGIN)).expect("the log");
    assert_eq!((found.origin.as_str(), url), (ORIGIN, log.url()));
}

/// A witness with two keys and one URL is one view.
#[test]
fn views_are_places() {
    let key = |seed| {
        let name = tlog::key::KeyName::new("w.example.com").expect("a name");
        SignerKey::from_seed(name, tlog::key::KeyType::Ed25519Cosignature, &[seed; 32]).verifier().clone()
    };
    let policy = format!(
        "witness a {} https://w.example.com\nwitness b {} https://w.example.com/\nwitness c {}\nquorum none\n",
        key(1),
        key(2),
        key(3)
    );
    let views =
        views(&policy.parse().expect("a policy"), &["https://mirror.example.com".into()], Until::LeastRate)
            .expect("views");
    let names: Vec<_> = views.iter().map(|view| (view.name.as_str(), view.is_log)).collect();
    assert_eq!(names, [("a", false), ("https://mirror.example.com", true)]);
}

#[test]
fn findings_are_told_once_and_counted_again() {
    let log = FakeLog::start(1);
    log.grow_to(10);
    log.publish();
    let watch = Watch::new(&log, "");
    assert_clean(&watch.look());
    log.put("checkpoint", log.note_at(5).into_bytes());
    let first = watch.look();
    let again = watch.look();
    assert!(first.found[0].is_new && !again.found[0].is_new);
    assert_eq!((classes(&again), watch.classes()), (vec!["shrink"], vec!["shrink"]));
    let monitor = watch.open();
    let line = monitor.finding_line(&first.found[0], time(NOW));
    assert!(line.starts_with("finding: shrink: size 5 is shown after size 10 (proof: /"), "{line}");
    drop(monitor);
    let json = watch.with(&["--json"]).open().finding_line(&first.found[0], time(NOW));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["finding"].as_str(), json["foundAt"].as_u64()), (Some("shrink"), Some(NOW)));
}

/// A log that lies without end fills no disk.
#[test]
fn findings_of_a_class_have_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = FakeLog::key(1);
    let findings = Findings::open(folder.path()).expect("a folder");
    let finding = |i: u64| {
        let root = |i: u64| Hash::of(&i.to_be_bytes());
        let note = |root| Checkpoint::new(ORIGIN, tlog::TreeSize::new(5), root).sign(&key);
        let fork = tlog::fork::Fork::of_one_size(note(root(i)), note(root(i + 1))).expect("a fork");
        let proof = attestation::finding::Proof::Fork(fork);
        Finding::new(ORIGIN, vec![key.verifier().clone()], time(NOW), "a fork", proof)
    };
    let most = finding::MAX_OF_A_CLASS as u64;
    for i in 0..most {
        assert!(matches!(findings.keep(&finding(i)), Ok(finding::Kept::New(_))), "{i}");
    }
    assert_eq!(findings.keep(&finding(most)).expect("a disk"), finding::Kept::Full);
    assert!(matches!(findings.keep(&finding(0)), Ok(finding::Kept::Known(_))));
    let again = Findings::open(folder.path()).expect("a folder");
    assert_eq!(again.keep(&finding(most)).expect("a disk"), finding::Kept::Full);
    // Nor memory: what is not kept is told once a look.
    let log = FakeLog::start(1);
    (0..most + 50).for_each(|i| log.push(format!("{i} is no entry").into_bytes()));
    log.publish();
    let watch = Watch::new(&log, "");
    let round = watch.look();
    assert_eq!(round.found.len() as u64, most + 1);
    assert_eq!(round.found.iter().filter(|found| found.path.is_none()).count(), 1);
}
