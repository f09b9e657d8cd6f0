//! Messages end to end: `aip` on both sides, a real log and its relay between them.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::log::Log;
use testkit::program;
use testkit::someone::Someone;

fn registered(log: &Log) -> Someone {
    registered_with(log, &[])
}

fn registered_with(log: &Log, init: &[&str]) -> Someone {
    let someone = Someone::new();
    someone.ok(&["policy", "pin", &log.url(), "--yes"]);
    someone.ok(&[&["init", "--register"], init].concat());
    someone
}

/// What `inbox` finds, with its exit code.
fn inbox(someone: &Someone, arguments: &[&str]) -> (i32, Vec<Value>) {
    let (code, out, err) = someone.run(&[&["inbox", "--json"], arguments].concat());
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{err}"));
    (code, json["messages"].as_array().unwrap_or_else(|| panic!("{json:#}")).clone())
}

/// The only message, its exit code and verdict, and the reason if it is refused.
fn only(someone: &Someone, arguments: &[&str]) -> (i32, String, Value) {
    let (code, found) = inbox(someone, arguments);
    let [one] = &found[..] else { panic!("{found:#?}") };
    (code, one["verdict"].as_str().expect("a verdict").to_owned(), one["reason"].clone())
}

/// A line of a deploy job, as a shell runs it there.
fn shell(someone: &Someone, line: &str, variables: &[(&str, &str)]) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-e", "-c", line]).current_dir(someone.work()).env_clear();
    let programs = program("aip").parent().map(Path::to_owned).expect("a folder");
    bash.env("HOME", someone.home()).env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    bash.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    bash
}

fn words(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// A message triggers, a receipt proves: the two lines of a deploy job.
#[test]
fn a_message_opens_a_gate_for_the_file_that_its_sender_signed() {
    let log = Log::start(&[]);
    let (up, deploy) = (registered(&log), registered(&log));
    let org = registered_with(&log, &["--capabilities", "vouches"]);
    org.ok(&["vouch", &up.did()]);
    up.write("app.tar.gz", "the release");
    up.ok(&["sign", "app.tar.gz"]);
    // The file reaches the deploy job by another way, with nothing beside it but its receipt for the gate.
    deploy.write("app.tar.gz", "the release");
    std::fs::copy(up.work().join("app.tar.gz.receipt.json"), deploy.work().join("app.tar.gz.receipt.json"))
        .expect("a copy");
    let line = "aip inbox --wait 30m --from $UP --artifact app.tar.gz --ack && aip gate app.tar.gz --did $UP --root $ORG \
                --threshold 0.5 && touch deployed";
    let (up_did, org_did) = (up.did(), org.did());
    let variables = [("UP", up_did.as_str()), ("ORG", org_did.as_str())];

    let waiting = shell(&deploy, line, &variables).spawn().expect("bash runs");
    // What it has to say otherwise opens nothing, and a stranger's word neither.
    up.ok(&["message", &deploy.did(), "good morning"]);
    let stranger = registered(&log);
    stranger.ok(&["message", &deploy.did(), "deploy!", "--receipt", &path(&up, "app.tar.gz.receipt.json")]);
    thread::sleep(Duration::from_millis(500));
    assert!(!deploy.work().join("deployed").exists());
    up.ok(&["message", &deploy.did(), "Build complete.", "--receipt", "app.tar.gz.receipt.json"]);
    let done = waiting.wait_with_output().expect("it ends");
    assert!(done.status.success(), "{}", words(&done));
    assert!(
        deploy.work().join("deployed").exists() && words(&done).contains("  | Build complete."),
        "{}",
        words(&done)
    );
    // Deleted is what opened the gate; the rest waits.
    let (_, left) = inbox(&deploy, &[]);
    let bodies: Vec<&str> = left.iter().filter_map(|one| one["body"].as_str()).collect();
    assert_eq!(bodies, ["good morning", "deploy!"]);

    // Another file under its name, and nothing comes for it.
    deploy.write("app.tar.gz", "another release");
    std::fs::remove_file(deploy.work().join("deployed")).expect("removed");
    let red = shell(&deploy, &line.replace("30m", "2s"), &variables).output().expect("bash runs");
    assert!(!red.status.success() && !deploy.work().join("deployed").exists(), "{}", words(&red));
}

fn path(someone: &Someone, name: &str) -> String {
    someone.work().join(name).to_str().expect("UTF-8").to_owned()
}

#[test]
fn what_proves_no_artifact_says_which_check_fails() {
    let log = Log::start(&[]);
    let (up, other, deploy) = (registered(&log), registered(&log), registered(&log));
    up.write("app", "the release");
    up.write("hidden", "the secret release");
    up.ok(&["sign", "app"]);
    up.ok(&["sign", "hidden", "--private"]);
    deploy.write("app", "the release");
    deploy.write("hidden", "the secret release");
    let check = |file: &str, want: (i32, &str, Value)| {
        let (code, verdict, reason) =
            only(&deploy, &["--wait", "1s", "--artifact", file, "--state", "none", "--ack"]);
        assert_eq!((code, verdict.as_str(), reason), want, "{file}");
        deploy.ok(&["inbox", "--ack"]);
        let _ = std::fs::remove_dir_all(deploy.work().join("none"));
    };
    let to = deploy.did();
    up.ok(&["message", &to, "no artifact"]);
    check("app", (1, "refused", json!("artifact-listed")));
    // Signed, and not logged.
    up.ok(&["sign", "app", "--no-log", "--receipts", "pending"]);
    let pending =
        std::fs::read_dir(up.work().join("pending")).expect("a folder").next().expect("one").expect("it");
    up.ok(&["message", &to, "pending", "--receipt", pending.path().to_str().expect("UTF-8")]);
    check("app", (1, "refused", json!("artifact-entry")));
    // Somebody else's entry.
    other.ok(&["message", &to, "not mine", "--receipt", &path(&up, "app.receipt.json")]);
    check("app", (1, "refused", json!("signer")));
    // By hash the log has no receipt to give; the sender attaches it.
    up.ok(&["message", &to, "private", "--receipt", "hidden.receipt.json"]);
    check("hidden", (2, "unable", Value::Null));
    up.ok(&[
        "message",
        &to,
        "private",
        "--receipt",
        "hidden.receipt.json",
        "--attach",
        "hidden.receipt.json",
    ]);
    check("hidden", (0, "accepted", Value::Null));
    up.ok(&["message", &to, "public", "--receipt", "app.receipt.json"]);
    check("app", (0, "accepted", Value::Null));
    // All that are named must be.
    up.ok(&["message", &to, "one of two", "--receipt", "app.receipt.json"]);
    let both = ["--wait", "1s", "--artifact", "app", "--artifact", "hidden"];
    assert_eq!(only(&deploy, &both), (1, "refused".into(), json!("artifact-listed")));
}

/// The sender's state as of now decides, not that of when it wrote.
#[test]
fn a_sender_that_changed_or_ended_its_key_sends_again_or_never() {
    let log = Log::start(&[]);
    let reader = registered(&log);
    let (rotated, ended, stolen) = (registered(&log), registered(&log), registered(&log));
    for sender in [&rotated, &ended, &stolen] {
        sender.ok(&["message", &reader.did(), "the text"]);
    }
    rotated.ok(&["rotate-key"]);
    ended.ok(&["deactivate", "--yes"]);
    // Its inception is the fourth entry.
    stolen.ok(&["report-compromise", "--since", "3"]);
    for (sender, reason) in [(&rotated, "retired-key"), (&ended, "deactivated"), (&stolen, "compromised")] {
        let (code, out, err) = reader.run(&["inbox", "--wait", "1s", "--from", &sender.did()]);
        assert!(code == 1 && out.contains(&format!("{reason}:")) && !out.contains("the text"), "{out}{err}");
    }
    rotated.ok(&["message", &reader.did(), "once more"]);
    let (code, out, err) = reader.run(&["inbox", "--wait", "1s", "--from", &rotated.did()]);
    assert!(code == 0 && out.contains("  | once more") && !out.contains("the text"), "{out}{err}");
    // Who ended sends nothing, and gets nothing.
    for (sender, recipient) in [(&ended, &reader), (&stolen, &reader), (&reader, &ended), (&reader, &stolen)]
    {
        let (code, out, err) = sender.run(&["message", &recipient.did(), "x", "--timeout", "5s"]);
        assert_eq!(code, 1, "{out}{err}");
    }
    let (code, _, err) = ended.run(&["inbox", "--timeout", "5s"]);
    assert!(code == 2 && err.contains("deactivated"), "{err}");
}

/// Of a DID that is not registered the log knows the key once it has logged an artifact.
#[test]
fn bare_identities_write_to_each_other_once_the_log_knows_them() {
    let log = Log::start(&[]);
    let (one, two) = (Someone::at(&log, &[]), Someone::at(&log, &[]));
    let (code, _, err) = one.run(&["message", &two.did(), "hello"]);
    assert!(code == 1 && err.contains("no-did") && err.contains("--recipient-key"), "{err}");
    two.write("app", "x");
    two.ok(&["sign", "app"]);
    one.ok(&["message", &two.did(), "hello"]);
    let (_, out, _) = two.run(&["inbox"]);
    assert!(out.contains("  | hello") && out.contains("not registered"), "{out}");
    assert_eq!(
        only(&two, &["--registered-only", "--wait", "1s", "--state", "s"]),
        (1, "refused".into(), json!("not-registered"))
    );
    // To itself, too.
    two.ok(&["message", &two.did(), "a note"]);
    assert!(two.ok(&["inbox", "--from", &two.did()]).contains("  | a note"));
}

#[test]
fn a_group_sees_itself_and_answers_to_all() {
    let log = Log::start(&[]);
    let people = [registered(&log), registered(&log), registered(&log)];
    let [a, b, c] = &people;
    let sent = a.json(&["message", "--to", &b.did(), "--to", &c.did(), "to both"]);
    let id = sent["id"].as_str().expect("an id");
    assert_eq!(sent["sent"].as_array().map(Vec::len), Some(2));
    for one in [b, c] {
        let (_, found) = inbox(one, &[]);
        assert_eq!(
            (found[0]["id"].as_str(), found[0]["recipients"].as_array().map(Vec::len)),
            (Some(id), Some(2))
        );
    }
    let answer = b.json(&["reply", &id[..8], "--all", "seen"]);
    let mut to: Vec<String> = answer["sent"]
        .as_array()
        .expect("copies")
        .iter()
        .map(|copy| copy["recipient"].as_str().expect("a DID").to_owned())
        .collect();
    to.sort();
    let mut want = [a.did(), c.did()];
    want.sort();
    assert_eq!(to, want);
    for one in [a, c] {
        assert!(one.ok(&["inbox", "--in-reply-to", id]).contains("  | seen"));
    }
    assert!(a.ok(&["inbox"]).contains(&format!("answers   {id}")));
}

/// A message wakes whoever waits, long before the wait is over; and a restart of the log costs neither.
#[test]
fn a_wait_ends_when_a_message_comes_and_outlives_a_restart() {
    let mut log = Log::start(&[]);
    let (sender, reader) = (registered(&log), registered(&log));
    let did = sender.did();
    let wait = || {
        shell(&reader, "aip inbox --wait 10m --from $UP --ack", &[("UP", &did)]).spawn().expect("bash runs")
    };
    let waiting = wait();
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    sender.ok(&["message", &reader.did(), "wake up"]);
    let done = waiting.wait_with_output().expect("it ends");
    assert!(done.status.success() && words(&done).contains("  | wake up"), "{}", words(&done));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());

    let waiting = wait();
    thread::sleep(Duration::from_secs(1));
    log.kill();
    log.serve(&[]);
    sender.ok(&["message", &reader.did(), "after the crash"]);
    let done = waiting.wait_with_output().expect("it ends");
    assert!(done.status.success() && words(&done).contains("  | after the crash"), "{}", words(&done));
    // What was answered survives, whoever reads it.
    sender.ok(&["message", &reader.did(), "durable"]);
    log.kill();
    log.serve(&[]);
    assert!(reader.ok(&["inbox", "--ack"]).contains("  | durable"));
    assert!(!reader.ok(&["inbox"]).contains("durable"));
}

/// Two jobs that wait for one message: one of them deploys.
#[test]
fn of_two_that_share_a_state_one_gets_the_message() {
    let log = Log::start(&[]);
    let (sender, reader) = (registered(&log), registered(&log));
    let waiting: Vec<_> = (0..2)
        .map(|_| shell(&reader, "aip inbox --wait 6s --state shared", &[]).spawn().expect("bash runs"))
        .collect();
    thread::sleep(Duration::from_secs(1));
    sender.ok(&["message", &reader.did(), "once"]);
    let done: Vec<Output> =
        waiting.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
    let mut codes: Vec<Option<i32>> = done.iter().map(|output| output.status.code()).collect();
    codes.sort();
    assert_eq!(codes, [Some(0), Some(1)], "{}", done.iter().map(words).collect::<String>());
}

/// Who may send is the owner's to say, and the relay keeps to it.
#[test]
fn a_mailbox_takes_messages_of_whom_its_owner_says() {
    let log = Log::start(&[]);
    let (owner, known, bare) = (registered(&log), registered(&log), Someone::at(&log, &[]));
    let sends = |sender: &Someone| {
        let (code, out, err) = sender.run(&["message", &owner.did(), "hello"]);
        assert!(code == 0 || (code == 1 && err.contains("sender-refused")), "{out}{err}");
        code == 0
    };
    let (bare_did, known_did) = (bare.did(), known.did());
    for (settings, want) in [
        (&["--accept", "registered"][..], [true, false]),
        (&["--accept", "registered", "--allow", &bare_did], [true, true]),
        (&["--accept", "listed", "--allow", &bare_did], [false, true]),
        (&["--accept", "anyone", "--block", &known_did], [false, true]),
        (&["--accept", "anyone"], [true, true]),
    ] {
        owner.ok(&[&["mailbox"], settings].concat());
        assert_eq!([sends(&known), sends(&bare)], want, "{settings:?}");
    }
    let json = owner.json(&["mailbox", "--accept", "listed", "--allow", &bare_did, "--allow", &bare_did]);
    assert_eq!((json["accept"].as_str(), &json["listed"]), (Some("listed"), &json!([bare_did])));
}
