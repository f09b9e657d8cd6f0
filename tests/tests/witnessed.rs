//! A real log and real witnesses: quorum, failures, and copies of a log that its witnesses know better than it
//! does itself.

use attestation::entry::Visibility;
use serde_json::Value;
use testkit::log::{Log, ORIGIN, copy_folder};
use testkit::oracle;
use testkit::signer::{Signed, Signer};
use testkit::witness::Witness;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::proof::TlogProof;

/// Soon enough for a test, and long enough for a machine that does something else as well.
const FLAGS: [&str; 6] = ["--publish-interval", "0s", "--witness-timeout", "1s", "--deadline", "4s"];

/// A log, three witnesses of which any two suffice (the third signs with ML-DSA only), and the policy.
struct World {
    log: Log,
    witnesses: Vec<Witness>,
    policy: Policy,
}

fn world() -> World {
    let log = Log::init();
    let kinds: [&[&str]; 3] = [&[], &["ed25519"], &["ml-dsa-44"]];
    let witnesses: Vec<Witness> = kinds
        .iter()
        .zip(["w1", "w2", "w3"])
        .map(|(kinds, name)| Witness::start(name, kinds, &log.vkey))
        .collect();
    let lines: String = witnesses.iter().map(|witness| witness.policy.as_str()).collect();
    let policy = log.ask(&format!("{lines}group two 2 w1 w2 w3\n"), "two");
    let mut world = World { log, witnesses, policy };
    world.log.serve(&FLAGS);
    world
}

fn sign(number: u64) -> Signed {
    Signer::new(number % 3).sign(ORIGIN, &number.to_be_bytes(), Visibility::Public, 0)
}

/// The checkpoint of a `logged` answer, which must have the quorum; how many witnesses are on it.
fn quorum(policy: &Policy, answer: &Value) -> usize {
    let proof = answer["proof"].as_str().unwrap_or_else(|| panic!("not logged: {answer}"));
    let proof = TlogProof::parse(proof).expect("a tlog-proof");
    policy.log_checkpoint(&proof.checkpoint).expect("signed by the log");
    policy.quorum(&proof.checkpoint).expect("the quorum").len()
}

fn published(log: &Log) -> Note {
    Note::parse(&log.bytes("/checkpoint")).expect("a note")
}

#[test]
fn two_of_three_suffice_and_one_does_not() {
    let mut world = world();
    let (status, answer) = world.log.submit(&sign(1).published());
    assert_eq!(status, 200, "{answer}");
    assert!(quorum(&world.policy, &answer) >= 2);
    world.witnesses[0].stop();
    for number in 2..5 {
        let (status, answer) = world.log.submit(&sign(number).published());
        assert_eq!(status, 200, "{answer}");
        quorum(&world.policy, &answer);
    }
    let shown = published(&world.log);

    world.witnesses[1].stop();
    // The signed checkpoint, and one further round: durable, and answered so, with the reason.
    let (status, first) = world.log.submit(&sign(5).published());
    assert_eq!((status, &first["status"]), (202, &"committed".into()), "{first}");
    assert_eq!(first["reason"]["type"], "urn:aip:problem:below-quorum", "{first}");
    assert_eq!(world.log.submit(&sign(6).published()).0, 202);
    // Then nothing is taken, and the reason is the same.
    let (status, full) = world.log.submit(&sign(7).published());
    assert_eq!((status, &full["type"]), (503, &"urn:aip:problem:below-quorum".into()), "{full}");
    let (status, ready) = world.log.json("/readyz");
    assert_eq!((status, &ready["type"]), (503, &"urn:aip:problem:below-quorum".into()), "{ready}");
    assert!(ready["detail"].as_str().is_some_and(|why| why.contains("`two` is not met")), "{ready}");
    assert_eq!(published(&world.log), shown, "nothing was published");
    assert!(String::from_utf8_lossy(&world.log.bytes("/metrics")).contains("log_below_quorum 1"));

    // Killed while it waits: what was accepted is still there, and so is what was shown.
    world.log.kill();
    world.log.serve(&FLAGS);
    assert_eq!(published(&world.log), shown);
    world.witnesses[1].serve();
    for number in [7, 6, 5] {
        let (status, answer) = world.log.submit_with(&sign(number).published(), &[("prefer", "wait=4")]);
        assert_eq!(status, 200, "{answer}");
        quorum(&world.policy, &answer);
    }
    let seen = oracle::check_log(&world.log);
    assert_eq!(seen.leaves.len(), 7, "each entry once");
    assert_eq!(world.log.stop(), Some(0));
    assert!(world.log.fsck().status.success());
}

#[test]
fn a_copy_that_is_behind_is_refused_every_time() {
    let mut world = world();
    let record = world.log.dir().with_extension("signed");
    let aside = tempfile::tempdir().expect("a temporary folder");
    let (old_log, old_record) = (aside.path().join("log"), aside.path().join("record"));
    let restore = |from: &std::path::Path, to: &std::path::Path| {
        std::fs::remove_dir_all(to).expect("the directory goes");
        copy_folder(from, to);
    };
    for number in 0..20 {
        assert_eq!(world.log.submit(&sign(2 * number).published()).0, 200);
        world.log.stop();
        let _ = std::fs::remove_dir_all(&old_log);
        copy_folder(&world.log.dir(), &old_log);
        std::fs::copy(&record, &old_record).expect("a copy");
        world.log.serve(&FLAGS);
        assert_eq!(world.log.submit(&sign(2 * number + 1).published()).0, 200);
        world.log.stop();
        let (new_log, new_record) = (aside.path().join("new-log"), aside.path().join("new-record"));
        let _ = std::fs::remove_dir_all(&new_log);
        copy_folder(&world.log.dir(), &new_log);
        std::fs::copy(&record, &new_record).expect("a copy");

        let refused = |world: &World, why: &str| {
            let said = world.log.serve_refused(&FLAGS);
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.contains(why), "round {number}: {said}");
        };
        restore(&old_log, &world.log.dir());
        refused(&world, "it is an older copy");
        std::fs::copy(&old_record, &record).expect("a copy");
        refused(&world, "shows a checkpoint that this log signed");
        restore(&new_log, &world.log.dir());
        refused(&world, "the record is an older copy");
        std::fs::copy(&new_record, &record).expect("a copy");
        world.log.serve(&FLAGS);
    }
    assert_eq!(oracle::check_log(&world.log).leaves.len(), 40);
}

#[test]
fn a_second_log_under_one_key_is_stopped_by_its_witnesses() {
    let log = Log::init();
    let witness = Witness::start("w1", &[], &log.vkey);
    let policy = log.ask(&witness.policy, "w1");
    // Both begin as the same empty tree: neither record can tell them apart.
    let aside = tempfile::tempdir().expect("a temporary folder");
    let (dir, record) = (aside.path().join("log"), aside.path().join("log.signed"));
    copy_folder(&log.dir(), &dir);
    std::fs::copy(log.dir().with_extension("signed"), &record).expect("a copy");
    let mut log = log;
    log.serve(&FLAGS);
    assert_eq!(quorum(&policy, &log.submit(&sign(1).published()).1), 2);
    let output = std::process::Command::new(testkit::program("log-server"))
        .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(&dir)
        .output()
        .expect("log-server runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the witness `w1-ed` shows a checkpoint that this log signed, of 1 entries"),
        "{said}"
    );
}

#[test]
fn fail_open_publishes_what_a_verifier_still_refuses() {
    let mut world = world();
    world.log.stop();
    world.witnesses.iter_mut().for_each(Witness::stop);
    world.log.serve(&[&FLAGS[..], &["--fail-open"]].concat());
    let (status, answer) = world.log.submit(&sign(1).published());
    assert_eq!(status, 200, "{answer}");
    let proof = TlogProof::parse(answer["proof"].as_str().expect("a proof")).expect("a tlog-proof");
    assert!(world.policy.quorum(&proof.checkpoint).is_err(), "the quorum is not met");
    let ready = world.log.get("/readyz");
    assert_eq!(ready.status(), 200);
    let ready = ready.text().expect("text");
    assert!(ready.contains("published: size 1 without the quorum"), "{ready}");
}
