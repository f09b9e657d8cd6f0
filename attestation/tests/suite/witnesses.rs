//! Quorums of real witnesses, Ed25519 and ML-DSA-44, in receipts: who counts, once, and what fails a note.

use std::time::Duration;

use attestation::receipt::{Check, Demand, Fault, Report, Signers, VerifyPolicy};
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyType, SignerKey};
use tlog::note::NoteError;
use tlog::policy::{Cosigned, Policy, PolicyError};
use tlog::{UnixTime, cosignature};

use crate::fixture::{ORIGIN, artifact, did, key, log, receipt_json};

/// The witnesses `a` to `d`: `a` has a key of each algorithm, `b` and `d` Ed25519, `c` ML-DSA-44.
struct Witnesses {
    a_ed: SignerKey,
    a_mldsa: SignerKey,
    b: SignerKey,
    c: SignerKey,
    d: SignerKey,
}

fn witnesses() -> Witnesses {
    Witnesses {
        a_ed: key("a.example.com", KeyType::Ed25519Cosignature, 1),
        a_mldsa: key("a.example.com", KeyType::MlDsa44Cosignature, 2),
        b: key("b.example.com", KeyType::Ed25519Cosignature, 3),
        c: key("c.example.com", KeyType::MlDsa44Cosignature, 4),
        d: key("d.example.com", KeyType::Ed25519Cosignature, 5),
    }
}

/// A policy over `a`, `b` and `c`; `d` is a witness that it does not know.
fn policy(groups: &str) -> Policy {
    let Witnesses { a_ed, a_mldsa, b, c, .. } = witnesses();
    let mut text = format!("log {}\n", log().verifier());
    for (name, key) in [("a-ed", a_ed), ("a-mldsa", a_mldsa), ("b", b), ("c", c)] {
        text += &format!("witness {name} {}\n", key.verifier());
    }
    (text + "group a any a-ed a-mldsa\n" + groups).parse().expect("a policy")
}

/// The receipt of the fixture with these lines instead of its witness's.
fn receipt_with(lines: &[String]) -> Vec<u8> {
    let mut receipt = receipt_json();
    let proof = receipt["proof"].as_str().expect("text");
    let (rest, _) = proof.rsplit_once("— witness.example.com ").expect("a cosignature");
    receipt["proof"] = (rest.to_owned() + &lines.concat()).into();
    receipt.to_string().into_bytes()
}

fn report(lines: &[String], policy: &Policy) -> Report {
    let policy = VerifyPolicy::new(policy, Signers::OneOf(vec![did()]));
    attestation::receipt::verify(&receipt_with(lines), &policy, &artifact(), None)
}

fn checkpoint() -> Checkpoint {
    let receipt = receipt_json();
    let proof = receipt["proof"].as_str().expect("text").to_owned();
    let (_, note) = proof.split_once("\n\n").expect("a note");
    let (text, _) = note.split_once("\n\n").expect("signatures");
    Checkpoint::parse(&format!("{text}\n")).expect("a checkpoint")
}

fn line(key: &SignerKey, time: u64) -> String {
    line_over(&checkpoint(), key, time)
}

fn line_over(checkpoint: &Checkpoint, key: &SignerKey, time: u64) -> String {
    format!("{}\n", cosignature::cosign(key, checkpoint, UnixTime::from_secs(time)).expect("a cosignature"))
}

fn cosigned(by: &[(&str, u64)]) -> Vec<Cosigned> {
    let cosigned =
        |(name, time): &(&str, u64)| Cosigned { witness: (*name).into(), time: UnixTime::from_secs(*time) };
    by.iter().map(cosigned).collect()
}

#[test]
fn a_quorum_counts_witnesses_of_both_algorithms_and_each_once() {
    let Witnesses { a_ed, a_mldsa, b, c, d } = witnesses();
    let two_of_three = "group q 2 a b c\nquorum q\n";
    for (name, lines, want) in [
        ("two of three", vec![line(&b, 8), line(&c, 9)], Ok(&[("b", 8), ("c", 9)][..])),
        ("the other two", vec![line(&a_mldsa, 7), line(&b, 8)], Ok(&[("a-mldsa", 7), ("b", 8)])),
        (
            "all of them, in another order",
            vec![line(&c, 9), line(&b, 8), line(&a_mldsa, 7), line(&a_ed, 6)],
            Ok(&[("a-ed", 6), ("a-mldsa", 7), ("b", 8), ("c", 9)]),
        ),
        ("nobody", vec![], Err(&[][..])),
        ("one", vec![line(&c, 9)], Err(&["c"])),
        ("one with two keys", vec![line(&a_ed, 6), line(&a_mldsa, 7)], Err(&["a-ed", "a-mldsa"])),
        ("one twice", vec![line(&b, 8), line(&b, 8)], Err(&["b"])),
        ("one twice, at other times", vec![line(&c, 8), line(&c, 9)], Err(&["c"])),
        ("one and a stranger", vec![line(&b, 8), line(&d, 9)], Err(&["b"])),
        ("two and a stranger", vec![line(&d, 9), line(&b, 8), line(&c, 9)], Ok(&[("b", 8), ("c", 9)])),
    ] {
        let report = report(&lines, &policy(two_of_three));
        match want {
            Ok(want) => {
                assert_eq!(report.fault(), None, "{name}");
                assert_eq!(report.cosigned(), cosigned(want), "{name}");
                assert_eq!(report.verified().expect("verified").cosigned(), cosigned(want), "{name}");
            }
            Err(by) => {
                let by = by.iter().map(|name| (*name).to_owned()).collect();
                let fault = Fault::WitnessQuorum(PolicyError::Quorum { quorum: "q".into(), cosigned: by });
                assert_eq!(report.fault(), Some((Check::WitnessQuorum, &fault)), "{name}");
                assert_eq!(report.cosigned(), [], "{name}");
            }
        }
    }
}

/// The same lines under other quorums.
#[test]
fn groups_of_groups_count_as_they_say() {
    let Witnesses { a_ed, a_mldsa, b, c, .. } = witnesses();
    for (groups, lines, is_met) in [
        ("quorum none\n", vec![], true),
        ("quorum a\n", vec![line(&a_mldsa, 1)], true),
        ("quorum a\n", vec![line(&b, 1), line(&c, 1)], false),
        ("group x all b c\ngroup q any a x\nquorum q\n", vec![line(&b, 1)], false),
        ("group x all b c\ngroup q any a x\nquorum q\n", vec![line(&b, 1), line(&c, 1)], true),
        ("group x any b c\ngroup q all a x\nquorum q\n", vec![line(&a_ed, 1), line(&c, 1)], true),
        ("group x any b c\ngroup q all a x\nquorum q\n", vec![line(&b, 1), line(&c, 1)], false),
    ] {
        let report = report(&lines, &policy(groups));
        assert_eq!(report.fault().is_none(), is_met, "{groups}: {:?}", report.fault());
    }
}

/// Late cosignatures are more lines on the same note: a verdict only gets better by them, and the proof of
/// whoever has the older note stays one.
#[test]
fn late_cosignatures_only_add() {
    let Witnesses { a_ed, b, c, .. } = witnesses();
    let policy = policy("group q 2 a b c\nquorum q\n");
    let mut lines: Vec<String> = Vec::new();
    let mut counted = 0;
    for (key, time) in [(&b, 1), (&a_ed, 2_000), (&c, 4_000)] {
        lines.push(line(key, time));
        let report = report(&lines, &policy);
        assert_eq!(report.fault().is_none(), lines.len() >= 2);
        assert!(report.cosigned().len() >= counted);
        counted = report.cosigned().len();
    }
    assert_eq!(counted, 3);
}

/// S12, NOTE-7, NOTE-8, NOTE-11, PROOF-5: a bad line of a known witness fails the note, however many good ones
/// there are; lines of strangers, junk among them, do not.
#[test]
fn s12_bad_lines_of_known_witnesses_fail_the_note() {
    let Witnesses { a_mldsa, b, c, d, .. } = witnesses();
    let policy = policy("group q 2 a b c\nquorum q\n");
    let other = Checkpoint { root: tlog::Hash::of(b"another tree"), ..checkpoint() };
    let bad = |key: &SignerKey| line_over(&other, key, 5);
    let good = || vec![line(&b, 8), line(&c, 9)];
    let with = |line: String| [good(), vec![line]].concat();
    let first = |line: String| [vec![line], good()].concat();
    let renamed = |line: String| line.replace("— b.example.com", "— B.example.com");
    for (name, lines, bad_by) in [
        ("a bad line of the third, Ed25519", first(bad(&b)), Some("b.example.com")),
        ("a bad line of the third, ML-DSA-44", with(bad(&a_mldsa)), Some("a.example.com")),
        ("a bad line of a stranger", with(bad(&d)), None),
        ("a known key under another name is a stranger", with(renamed(line(&b, 8))), None),
        ("a second line of a key that signed is skipped, good or bad", with(bad(&b)), None),
        ("a log's line as a witness's", with(format!("{}\n", log_line())), None),
    ] {
        let report = report(&lines, &policy);
        match bad_by {
            None => assert_eq!(report.fault(), None, "{name}"),
            Some(by) => {
                let Some((Check::WitnessQuorum, Fault::WitnessQuorum(PolicyError::Note(error)))) =
                    report.fault()
                else {
                    panic!("{name}: {:?}", report.fault())
                };
                assert!(
                    matches!(error, NoteError::BadSignature { name, .. } if name.as_str() == by),
                    "{error}"
                );
            }
        }
    }
}

fn log_line() -> tlog::note::NoteSignature {
    checkpoint().sign(&key(ORIGIN, KeyType::Ed25519, 0x66)).signatures()[0].clone()
}

/// S12, NOTE-10: sixteen ML-DSA-44 witnesses and more fit; a note without end does not.
#[test]
fn s12_many_lines_fit_and_too_many_do_not() {
    let Witnesses { b, c, .. } = witnesses();
    let policy = policy("group q 2 a b c\nquorum q\n");
    let strangers =
        |count: u8| (0..count).map(|i| line(&key("s.example.com", KeyType::MlDsa44Cosignature, 100 + i), 1));
    let lines: Vec<String> = strangers(40).chain([line(&b, 8), line(&c, 9)]).collect();
    assert_eq!(report(&lines, &policy).fault(), None);
    let short = |i: usize| format!("— s{i}.example.com AAAAAAA=\n");
    for (count, fits) in [(97, true), (98, false), (1_000, false)] {
        let lines: Vec<String> = (0..count).map(short).chain([line(&b, 8), line(&c, 9)]).collect();
        let report = report(&lines, &policy);
        // With the log's own line these are 100, which is the most.
        assert_eq!(report.fault().map(|(check, _)| check), (!fits).then_some(Check::Format), "{count}");
    }
}

/// S12: what no note may hold, in the lines of witnesses.
#[test]
fn s12_malformed_lines_are_malformed_receipts() {
    let Witnesses { b, c, .. } = witnesses();
    let policy = policy("group q 2 a b c\nquorum q\n");
    let good = || vec![line(&b, 8), line(&c, 9)];
    for line in [
        "\n",
        "— b.example.com\n",
        "— b.example.com AAAA\n",
        "- b.example.com AAAAAAA=\n",
        "— b example.com AAAAAAA=\n",
        "— b+example.com AAAAAAA=\n",
        "— b\u{2028}example.com AAAAAAA=\n",
        "— b.example.com  AAAAAAA=\n",
        "— b.example.com AAAAAAA\n",
        "— b.example.com AAAAAAB=\n",
        "— b.example.com AAAAAAA=\r\n",
        "— b.example.com\tAAAAAAA=\n",
        "— b.example.com AAAAAAA=",
    ] {
        let report = report(&[good(), vec![line.to_owned()]].concat(), &policy);
        assert_eq!(report.fault().map(|(check, _)| check), Some(Check::Format), "{line:?}");
    }
}

/// A quorum of two is as fresh as two of its witnesses say, whatever a third one says.
#[test]
fn one_witness_of_a_quorum_of_two_cannot_make_a_checkpoint_fresh() {
    let Witnesses { a_ed, b, c, .. } = witnesses();
    let policy = policy("group q 2 a b c\nquorum q\n");
    let minute = Duration::from_secs(60);
    for (times, passes) in [
        ([1_000, 1_000, 1_000], true),
        ([0, 1_000, 1_000], true),
        ([0, 0, 1_000], false),
        ([0, 0, u64::MAX / 1_000], false),
        ([1_000, 950, u64::MAX / 1_000], true),
    ] {
        let at = |key, time| line(key, if time > 1_000 { time } else { 1_790_000_000 + time });
        let lines = [at(&a_ed, times[0]), at(&b, times[1]), at(&c, times[2])];
        let mut policy = VerifyPolicy::new(&policy, Signers::OneOf(vec![did()]));
        policy.demands.push(Demand::CheckpointFreshness(minute));
        let now = Some(UnixTime::from_secs(1_790_001_000));
        let report = attestation::receipt::verify(&receipt_with(&lines), &policy, &artifact(), now);
        assert_eq!(report.verified().is_some(), passes, "{times:?}: {report:?}");
    }
}
