//! A real log and real witnesses: quorum, failures, and copies of a log that its witnesses know better than it
//! does itself.

use attestation::entry::Visibility;
use serde_json::Value;
use testkit::log::{Log, ORIGIN};
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
    torture::rollback::log(&torture::Plan::of(5)).assert_clean("R9");
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
