//! Policies: the format, and what a quorum counts (POL).

use serde::Deserialize;
use testkit::keys::signer;
use testkit::vectors;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{KeyType, SignerKey};
use tlog::merkle::empty_root;
use tlog::note::Note;
use tlog::policy::{Cosigned, MAX_DEFINITIONS, Policy, PolicyError, PolicyParseError, Rule};
use tlog::{TreeSize, UnixTime};

#[derive(Deserialize)]
struct Policies {
    cases: Vec<PolicyCase>,
}

#[derive(Deserialize)]
struct PolicyCase {
    name: String,
    policy: String,
    valid: bool,
}

#[test]
fn pol_1_the_vectors_have_these_verdicts() {
    let policies: Policies = vectors::ours("policy.json");
    for case in &policies.cases {
        assert_eq!(case.policy.parse::<Policy>().is_ok(), case.valid, "{}", case.name);
    }
    assert_eq!(policies.cases.len(), 18);
}

/// Five witnesses `w0` to `w4`.
fn witnesses() -> Vec<SignerKey> {
    (0..5).map(|i| signer(&format!("w{i}.example"), KeyType::Ed25519Cosignature, i)).collect()
}

/// A policy over the five witnesses that ends in `lines`.
fn policy(lines: &str) -> Result<Policy, PolicyParseError> {
    let keys = witnesses();
    let lines_of_keys = keys.iter().zip(0..).map(|(key, i)| format!("witness w{i} {}\n", key.verifier()));
    (lines_of_keys.collect::<String>() + lines).parse()
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new("log.example", TreeSize::EMPTY, empty_root())
}

fn cosigned_by(keys: &[SignerKey], set: u32) -> Note {
    let mut note = checkpoint().sign(&signer("log.example", KeyType::Ed25519, 99));
    for (key, _) in keys.iter().zip(0..).filter(|(_, i)| set >> i & 1 == 1) {
        note.add(cosign(key, &checkpoint(), UnixTime::from_secs(1)).expect("a witness's key"));
    }
    note
}

/// Every set of witnesses against a formula, by the rule alone and by the lines of a note.
#[test]
fn pol_2_a_quorum_is_a_threshold_over_groups() {
    type Met = fn(&[bool]) -> bool;
    let at_least = |k: usize, seen: &[bool]| seen.iter().filter(|seen| **seen).count() >= k;
    let cases: [(&str, Met, usize); 8] = [
        ("quorum none", |_| true, 0),
        ("quorum w3", |w| w[3], 1),
        ("group g all w0 w1 w2\nquorum g", |w| w[0] && w[1] && w[2], 3),
        ("group g any w0 w1 w2\nquorum g", |w| w[0] || w[1] || w[2], 1),
        (
            "group x any w0 w1\ngroup y any w2 w3\ngroup g all x y\nquorum g",
            |w| (w[0] || w[1]) && (w[2] || w[3]),
            2,
        ),
        ("group x all w0 w1 w2\ngroup y any x w3\nquorum y", |w| w[3] || w[0] && w[1] && w[2], 1),
        (
            "group x all w0 w1 w2\ngroup y 2 x w3 w4\nquorum y",
            |w| u8::from(w[0] && w[1] && w[2]) + u8::from(w[3]) + u8::from(w[4]) >= 2,
            2,
        ),
        ("group unused all w0 w1\nquorum unused", |w| w[0] && w[1], 2),
    ];
    let keys = witnesses();
    for (lines, met, weakest) in cases {
        let policy = policy(lines).expect("well formed");
        assert_eq!(policy.weakest_quorum(), weakest, "{lines}");
        let mut fewest = usize::MAX;
        for set in 0..32_u32 {
            let seen: Vec<bool> = (0..5).map(|i| set >> i & 1 == 1).collect();
            let want = met(&seen);
            let by_rule = policy
                .is_met_by(|witness| seen[witness.name[1..].parse::<usize>().expect("a witness's number")]);
            assert_eq!(by_rule, want, "{lines}: {set:05b}");
            let by_note = policy.quorum(&cosigned_by(&keys, set));
            assert_eq!(by_note.is_ok(), want, "{lines}: {set:05b}");
            if want {
                assert!(at_least(weakest, &seen));
                fewest = fewest.min(set.count_ones() as usize);
            }
        }
        assert_eq!(fewest, weakest, "{lines}");
    }
}

/// What is shown as "2 of 3 witnesses": the members of the quorum's group, where a witness with two keys is one.
#[test]
fn members_of_the_quorum_are_counted_as_witnesses() {
    let by = |names: &[&str]| -> Vec<Cosigned> {
        let time = UnixTime::from_secs(1);
        names.iter().map(|name| Cosigned { witness: (*name).into(), time }).collect()
    };
    for (lines, cosigned, want) in [
        ("quorum none", &["w0"][..], None),
        ("quorum w3", &["w3", "w0"], Some((1, 1))),
        ("group g 2 w0 w1 w2\nquorum g", &["w0", "w2"], Some((2, 3))),
        ("group g any w0 w1 w2\nquorum g", &["w0", "w1", "w4"], Some((2, 3))),
        // Cosignatures below a quorum are nobody's.
        ("group x all w0 w1\ngroup y any x w3\nquorum y", &["w0", "w3"], Some((1, 2))),
    ] {
        assert_eq!(policy(lines).expect("well formed").members_met(&by(cosigned)), want, "{lines}");
    }
    let one = [KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature];
    let one = one.map(|kind| signer("w.example", kind, 7).verifier().clone());
    let two_keys = format!("witness a {}\nwitness b {}\ngroup w any a b\n", one[0], one[1]);
    for (lines, cosigned, want) in [
        ("quorum w", &["a", "b"][..], (1, 1)),
        ("quorum w", &["b"], (1, 1)),
        ("group g 2 w w0 w1\nquorum g", &["a", "b", "w1"], (2, 3)),
    ] {
        let policy = policy(&format!("{two_keys}{lines}\n")).expect("well formed");
        assert_eq!(policy.members_met(&by(cosigned)), Some(want), "{lines}");
    }
}

#[test]
fn pol_2_a_witness_counts_once() {
    let keys = witnesses();
    let policy = policy("group g 2 w0 w1\nquorum g\n").expect("well formed");
    let note = cosigned_by(&keys, 0b01).to_string();
    let (_, line) = note.trim_end().rsplit_once('\n').expect("lines");
    let doubled = Note::parse(format!("{note}{line}\n{line}\n").as_bytes()).expect("a note");
    assert_eq!(doubled.signatures().len(), 4);
    let refused = PolicyError::Quorum { quorum: "g".into(), cosigned: vec!["w0".into()] };
    assert_eq!(policy.quorum(&doubled), Err(refused));
    let time = UnixTime::from_secs(1);
    let both = ["w0", "w1"].map(|name| Cosigned { witness: name.into(), time });
    assert_eq!(policy.quorum(&cosigned_by(&keys, 0b11)), Ok(both.to_vec()));
}

#[test]
fn pol_3_an_error_names_its_line_and_rule() {
    let key = |seed, kind| signer("k.example", kind, seed).verifier().clone();
    let (log, witness) = (key(50, KeyType::Ed25519), key(51, KeyType::Ed25519Cosignature));
    let word = |word: &str| word.to_owned();
    // The five witnesses stand on the lines 1 to 5.
    for (lines, line, rule) in [
        (word("quorum none\r\n"), 6, Rule::LineEnds),
        (word("quorum\rnone\n"), 6, Rule::Characters),
        (word("quorum none\0\n"), 6, Rule::Characters),
        (word("# \u{7f}\nquorum none\n"), 6, Rule::Characters),
        (word("\n\nfrob x\nquorum none\n"), 8, Rule::Keyword(word("frob"))),
        (word("LOG x\n"), 6, Rule::Keyword(word("LOG"))),
        (word("quorum none # why\n"), 6, Rule::Words),
        (word("quorum\n"), 6, Rule::Words),
        (word("log\n"), 6, Rule::Words),
        (word("witness w9\n"), 6, Rule::Words),
        (word("group g\n"), 6, Rule::Words),
        (word("# only a comment\n"), 6, Rule::NoQuorum),
        (word("quorum none\nquorum w0\n"), 7, Rule::SecondQuorum),
        (word("quorum w9\n"), 6, Rule::Undefined(word("w9"))),
        (word("quorum W0\n"), 6, Rule::Undefined(word("W0"))),
        (word("group g any g\n"), 6, Rule::Undefined(word("g"))),
        (word("group g any none\n"), 6, Rule::Undefined(word("none"))),
        (word("group w0 any w1\n"), 6, Rule::NameTaken(word("w0"))),
        (word("group none any w1\n"), 6, Rule::NameTaken(word("none"))),
        (word("group g any w0\ngroup g any w1\n"), 7, Rule::NameTaken(word("g"))),
        (word("group g any w0 w0\n"), 6, Rule::SecondMembership(word("w0"))),
        (word("group g any w0\ngroup h any w0 g\n"), 7, Rule::SecondMembership(word("w0"))),
        (word("group g all\n"), 6, Rule::Threshold(word("0"))),
        (word("group g 0 w0\n"), 6, Rule::Threshold(word("0"))),
        (word("group g 2 w0\n"), 6, Rule::Threshold(word("2"))),
        (word("group g 01 w0\n"), 6, Rule::Threshold(word("01"))),
        (word("group g +1 w0\n"), 6, Rule::Threshold(word("+1"))),
        (word("group g ALL w0\n"), 6, Rule::Threshold(word("ALL"))),
        (word("group g 18446744073709551616 w0\n"), 6, Rule::Threshold(word("18446744073709551616"))),
        (format!("log {witness}\n"), 6, Rule::NotALogKey),
        (format!("witness w9 {log}\n"), 6, Rule::NotAWitnessKey),
        (format!("witness w0 {witness}\n"), 6, Rule::NameTaken(word("w0"))),
        (format!("log {log} ftp://x\n"), 6, Rule::Url(word("ftp://x"))),
        (word("log x\n"), 6, Rule::Key(tlog::key::KeyError::Shape)),
    ] {
        assert_eq!(policy(&lines), Err(PolicyParseError { line, rule }), "{lines:?}");
    }
}

/// The specification ends each line with a newline; a last line without one means the same.
#[test]
fn pol_3_a_missing_final_newline_changes_nothing() {
    assert_eq!(policy("quorum w0"), policy("quorum w0\n"));
    assert_eq!(policy("quorum w0"), policy("quorum w0\n\n \t\n# end"));
    assert!(matches!("".parse::<Policy>(), Err(PolicyParseError { line: 1, rule: Rule::NoQuorum })));
}

/// Names are opaque: what looks the same is not the same, and no-break spaces do not divide.
#[test]
fn pol_3_names_are_opaque() {
    let spaced = policy("group K\u{a0}K any w0\nquorum K\u{a0}K").expect("well formed");
    assert_eq!(spaced.quorum_name(), Some("K\u{a0}K"));
    let kelvin = Rule::Undefined("\u{212a}".to_owned());
    assert_eq!(policy("group K any w0\nquorum \u{212a}"), Err(PolicyParseError { line: 7, rule: kelvin }));
}

/// At least 32 of each; and an end, so that whoever offers a policy chooses neither our stack nor our
/// time: groups nest.
#[test]
fn pol_3_a_policy_has_room_and_an_end() {
    let mut text = String::new();
    for i in 0..32 {
        let log = signer(&format!("log{i}.example"), KeyType::Ed25519, i);
        let witness = signer(&format!("w{i}.example"), KeyType::Ed25519Cosignature, 100 + i);
        text +=
            &format!("log {}\nwitness w{i} {}\ngroup g{i} any w{i}\n", log.verifier(), witness.verifier());
    }
    let policy: Policy = (text + "quorum g31\n").parse().expect("32 of each");
    assert_eq!((policy.logs().len(), policy.witnesses().len(), policy.groups().len()), (32, 32, 32));

    let nested = |groups: usize| {
        let witness = signer("w.example", KeyType::Ed25519Cosignature, 1);
        let mut text = format!("witness g0 {}\n", witness.verifier());
        (1..=groups).for_each(|i| text += &format!("group g{i} any g{}\n", i - 1));
        (text + &format!("quorum g{groups}\n")).parse::<Policy>()
    };
    let deepest = nested(MAX_DEFINITIONS - 1).expect("as many as there may be");
    assert_eq!(deepest.weakest_quorum(), 1);
    assert!(deepest.is_met_by(|_| true) && !deepest.is_met_by(|_| false));
    let too_many = PolicyParseError { line: MAX_DEFINITIONS + 1, rule: Rule::TooMany };
    assert_eq!(nested(100_000), Err(too_many));
}

/// The same file for those who need addresses and those who do not.
#[test]
fn pol_4_urls_are_kept_and_change_no_verdict() {
    let keys = witnesses();
    let lines = |url: &str| {
        let log = signer("log.example", KeyType::Ed25519, 99);
        let witness = keys[0].verifier();
        let text = format!("log {}{url}\nwitness w {witness}{url}\nquorum w\n", log.verifier());
        text.parse::<Policy>().expect("well formed")
    };
    let (without, with) = (lines(""), lines(" https://x.example/"));
    assert_eq!((&without.logs()[0].url, &without.witnesses()[0].url), (&None, &None));
    let url = Some("https://x.example/".to_owned());
    assert_eq!((&with.logs()[0].url, &with.witnesses()[0].url), (&url, &url));
    for set in 0..2 {
        let note = cosigned_by(&keys, set);
        assert_eq!(with.quorum(&note), without.quorum(&note));
        assert!(with.log_checkpoint(&note).is_ok() && without.log_checkpoint(&note).is_ok());
    }
}

/// One key under two names would be two votes; as a log and a witness it would vouch for itself.
#[test]
fn cos_7_one_key_is_one_signer() {
    let vkey = |name, kind| signer(name, kind, 7).verifier().clone();
    let witness = vkey("w.example", KeyType::Ed25519Cosignature);
    let renamed = vkey("mirror.example", KeyType::Ed25519Cosignature);
    let log = vkey("log.example", KeyType::Ed25519);
    let ml_dsa_log = vkey("log.example", KeyType::MlDsa44Cosignature);
    let ml_dsa_witness = vkey("w.example", KeyType::MlDsa44Cosignature);
    for (text, taken) in [
        (format!("witness a {witness}\nwitness b {witness}\n"), "w.example"),
        (format!("witness a {witness}\nwitness b {renamed}\n"), "mirror.example"),
        (format!("log {log}\nlog {log}\n"), "log.example"),
        (format!("log {log}\nwitness a {witness}\n"), "w.example"),
        (format!("witness a {witness}\nlog {log}\n"), "log.example"),
        (format!("log {ml_dsa_log}\nwitness a {ml_dsa_witness}\n"), "w.example"),
    ] {
        let PolicyParseError { line, rule } = text.parse::<Policy>().expect_err("one key twice");
        let name = taken.to_owned();
        assert!(line == 2 && matches!(&rule, Rule::KeyTaken(by) if by.as_str() == name), "{rule}");
    }
    // The keys of one log are of two algorithms: those are two keys.
    assert!(format!("log {log}\nlog {ml_dsa_log}\nquorum none\n").parse::<Policy>().is_ok());
}
