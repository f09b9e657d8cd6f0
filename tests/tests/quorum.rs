//! A quorum without hand work: what `witness init` printed goes into the log's policy by `log-server policy`, and a log that
//! runs asks the witnesses from SIGHUP on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attestation::entry::Visibility;
use testkit::log::{Log, ORIGIN};
use testkit::program;
use testkit::signer::Signer;
use testkit::witness::Witness;
use tlog::note::Note;
use tlog::policy::Policy;

const FLAGS: [&str; 6] = ["--publish-interval", "0s", "--witness-timeout", "1s", "--deadline", "10s"];

/// `log-server policy` on the log's directory.
fn write_policy(log: &Log, witnesses: &[&Path], quorum: &str) -> Output {
    let mut command = Command::new(program("log-server"));
    command.arg("policy").arg("--dir").arg(log.dir());
    for file in witnesses {
        command.arg("--witness").arg(file);
    }
    command.args(["--quorum", quorum]).output().expect("log-server runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The file that the witness's operator sends.
fn file_of(witness: &Witness, log: &Log, name: &str) -> PathBuf {
    let path = log.folder().join(name);
    fs::write(&path, &witness.policy).expect("a file");
    path
}

fn policy_of(log: &Log) -> Policy {
    fs::read_to_string(log.dir().join("policy")).expect("a policy").parse().expect("a policy")
}

#[test]
fn two_files_and_a_number_make_a_quorum_that_a_running_log_asks_for() {
    let log = &mut Log::init();
    let url = log.url();
    let init_wrote = fs::read_to_string(log.dir().join("policy")).expect("a policy");
    let with_url = init_wrote.replace(&format!("log {}", log.vkey), &format!("log {} {url}", log.vkey));
    fs::write(log.dir().join("policy"), with_url).expect("a policy");
    log.serve(&FLAGS);
    let [north, south] = ["north", "south"].map(|name| Witness::start(name, &[], &log.vkey));
    let files = [file_of(&north, log, "w1.policy"), file_of(&south, log, "w2.policy")];
    let written = write_policy(log, &[&files[0], &files[1]], "2");
    let words = said(&written);
    assert!(written.status.success(), "{words}");
    assert!(words.contains("2 of 2 witnesses must cosign\nsha256:"), "{words}");
    assert!(words.contains("SIGHUP") && words.contains("aip policy check"), "{words}");
    let policy = policy_of(log);
    assert_eq!(policy.logs()[0].url.as_deref(), Some(&url[..]), "the log line stays");
    assert_eq!(policy.strength().dishonest_to_fork, 2);
    let hung_up = Command::new("kill").args(["-HUP", &log.pid().to_string()]).status();
    assert!(hung_up.expect("kill runs").success());
    let cosigned = |number: u64| {
        let signed = Signer::new(number).sign(ORIGIN, &number.to_be_bytes(), Visibility::Public, 0);
        assert_eq!(log.submit(&signed.published()).0, 200);
        let note = Note::parse(&log.bytes("/checkpoint")).expect("a note");
        policy.quorum(&note).is_ok()
    };
    // The signal is heard a moment later; the entries of until then are published without witnesses.
    assert!((0..200).any(cosigned), "the quorum of the new policy");
    let again = write_policy(log, &[&files[0], &files[1]], "2");
    assert!(said(&again).contains("says so already"), "{}", said(&again));
    assert!(!log.dir().join("policy.old").exists(), "the first policy had no witness");

    let east = Witness::start("east", &["ed25519"], &log.vkey);
    let third = file_of(&east, log, "w3.policy");
    let fewer = write_policy(log, &[&files[1], &third], "1");
    let words = said(&fewer);
    assert!(fewer.status.success(), "{words}");
    assert!(words.contains("warning: the witness `north-ed` is no longer named"), "{words}");
    assert!(words.contains("without a dishonest witness") && words.contains("--quorum 2"), "{words}");
    assert_eq!(fs::read_to_string(log.dir().join("policy.old")).expect("kept").parse(), Ok(policy));
}

#[test]
fn what_makes_no_quorum_is_refused_and_changes_nothing() {
    let log = Log::init();
    let before = fs::read_to_string(log.dir().join("policy")).expect("a policy");
    let north = Witness::start("north", &[], &log.vkey);
    let w1 = file_of(&north, &log, "w1.policy");
    let (same, no_url, none) =
        (log.folder().join("same"), log.folder().join("no-url"), log.folder().join("nowhere"));
    fs::copy(&w1, &same).expect("a copy");
    let south = Witness::start("south", &[], &log.vkey);
    fs::write(&no_url, south.policy.replace(&format!(" {}", south.url()), "")).expect("a file");
    for (files, quorum, why) in [
        (vec![&w1, &same], "2", "are of one witness, `north`"),
        (vec![&w1], "2", "a quorum of 2 cannot be met by 1 witness"),
        (vec![&w1], "0", "0 is not in"),
        (vec![&w1, &no_url], "2", "behind the key of `south-ed`, `south-mldsa`"),
        (vec![&none], "1", "No such file"),
        (vec![], "1", "--witness <FILE>"),
    ] {
        let files: Vec<&Path> = files.into_iter().map(PathBuf::as_path).collect();
        let refused = write_policy(&log, &files, quorum);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{why}\n{}", said(&refused));
        assert_eq!(fs::read_to_string(log.dir().join("policy")).expect("a policy"), before, "{why}");
    }
}

/// A policy that configuration management keeps, and an operator whose umask hides what root writes from the log's user.
#[test]
fn a_policy_that_lies_elsewhere_stays_there_for_its_readers() {
    let log = Log::init();
    let north = Witness::start("north", &[], &log.vkey);
    let w1 = file_of(&north, &log, "w1.policy");
    let (policy, managed) = (log.dir().join("policy"), log.folder().join("managed"));
    fs::rename(&policy, &managed).expect("moved");
    fs::set_permissions(&managed, fs::Permissions::from_mode(0o640)).expect("set");
    std::os::unix::fs::symlink(&managed, &policy).expect("a link");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(program("log-server")).arg("policy");
    command.arg("--dir").arg(log.dir()).arg("--witness").arg(&w1).args(["--quorum", "1"]);
    let written = command.output().expect("sh runs");
    assert!(written.status.success(), "{}", said(&written));
    assert!(policy.is_symlink(), "the link stays");
    assert_eq!(policy_of(&log).weakest_quorum(), 1);
    assert_eq!(fs::metadata(&managed).expect("there").permissions().mode() & 0o777, 0o640);
}

/// `init --url` is what lets whoever has the policy find the log.
#[test]
fn init_writes_the_url_into_the_policy() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("log");
    let init = |url: &str| {
        let mut init = Command::new(program("log-server"));
        init.args(["init", "--origin", ORIGIN, "--url", url, "--dir"])
            .arg(&dir)
            .output()
            .expect("log-server runs")
    };
    for url in ["log.example.com", "https://u:p@log.example.com", "https://log.example.com/?q"] {
        assert_eq!(init(url).status.code(), Some(2), "{url}");
        assert!(!dir.exists(), "{url}");
    }
    let made = init("https://log.example.com/");
    assert!(made.status.success(), "{}", said(&made));
    assert!(made.stderr.is_empty(), "{}", said(&made));
    let text = fs::read_to_string(dir.join("policy")).expect("a policy");
    let policy: Policy = text.parse().expect("a policy");
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example.com"), "{text}");
}

/// A start says that named witnesses are not asked, or not asked for.
#[test]
fn a_start_warns_of_witnesses_in_vain() {
    let log = Log::init();
    let north = Witness::start("north", &["ed25519"], &log.vkey);
    let no_url = north.policy.replace(&format!(" {}", north.url()), "");
    for (lines, quorum, flags, why) in [
        (&north.policy, "none", &[][..], "none is asked for: `quorum none`"),
        (&no_url, "none", &[], "no line has a URL (`north`)"),
        (&no_url, "north", &["--fail-open"], "no line has a URL (`north`)"),
    ] {
        log.ask(lines, quorum);
        // One port for two: the log says what it has to say, then ends.
        let taken = std::net::TcpListener::bind(log.address()).expect("a free port");
        let refused = log.serve_refused(flags);
        assert!(said(&refused).contains(why), "{why}\n{}", said(&refused));
        drop(taken);
    }
    log.ask(&no_url, "north");
    let refused = log.serve_refused(&[]);
    assert!(said(&refused).contains("behind the key of `north`"), "{}", said(&refused));
    assert_eq!(refused.status.code(), Some(2));
}
