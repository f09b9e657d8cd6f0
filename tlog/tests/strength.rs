//! What a quorum is worth: by table, and against every way in which few witnesses can behave.

use std::sync::LazyLock;

use proptest::prelude::*;
use testkit::keys::signer;
use tlog::key::{KeyName, KeyType, VerifierKey};
use tlog::policy::{MAX_DEFINITIONS, Policy, Strength};

/// How many witnesses there are, and how many keys each has: `<name>a`, `<name>b`, `<name>c`.
const WITNESSES: usize = 5;
const KEYS: usize = 3;

static VKEYS: LazyLock<Vec<(String, VerifierKey)>> = LazyLock::new(|| {
    let mut vkeys = Vec::new();
    for witness in 0..WITNESSES {
        for (key, letter) in ["a", "b", "c"].into_iter().enumerate() {
            let kind = if key == 1 { KeyType::MlDsa44Cosignature } else { KeyType::Ed25519Cosignature };
            let seed = (witness * KEYS + key) as u8;
            let signer = signer(&format!("w{witness}.example"), kind, seed);
            vkeys.push((format!("w{witness}{letter}"), signer.verifier().clone()));
        }
    }
    vkeys
});

fn policy(lines: &str) -> Policy {
    let witnesses = VKEYS.iter().map(|(name, vkey)| format!("witness {name} {vkey}\n"));
    (witnesses.collect::<String>() + lines).parse().unwrap_or_else(|error| panic!("{lines}: {error}"))
}

fn number_of(name: &KeyName) -> usize {
    name.as_str()[1..2].parse().expect("a digit")
}

/// Both numbers by their definitions: every witness signs neither view, one or both; is up or down.
fn by_definition(policy: &Policy) -> (usize, Option<usize>) {
    let is_met =
        |signs: &dyn Fn(usize) -> bool| policy.is_met_by(|witness| signs(number_of(witness.vkey.name())));
    let mut to_fork = usize::MAX;
    for ways in 0..4_usize.pow(WITNESSES as u32) {
        let way = |witness: usize| ways >> (2 * witness) & 3;
        if is_met(&|witness| way(witness) & 1 == 1) && is_met(&|witness| way(witness) & 2 == 2) {
            to_fork = to_fork.min((0..WITNESSES).filter(|witness| way(*witness) == 3).count());
        }
    }
    let halting = (0..1_u32 << WITNESSES).filter(|down| !is_met(&|witness| down >> witness & 1 == 0));
    (to_fork, halting.map(|down| down.count_ones() as usize).min())
}

#[test]
fn quorums_are_worth_this_much() {
    for (lines, fork, halt) in [
        ("quorum none", 0, None),
        ("quorum w0a", 1, Some(1)),
        ("group g any w0a w1a\nquorum g", 0, Some(2)),
        ("group g any w0a w1a w2a\nquorum g", 0, Some(3)),
        ("group g 2 w0a w1a w2a\nquorum g", 1, Some(2)),
        ("group g all w0a w1a w2a\nquorum g", 3, Some(1)),
        ("group g 3 w0a w1a w2a w3a\nquorum g", 2, Some(2)),
        ("group g 3 w0a w1a w2a w3a w4a\nquorum g", 1, Some(3)),
        ("group g 4 w0a w1a w2a w3a w4a\nquorum g", 3, Some(2)),
        // Either of two witnesses speaks for each side, so that each tells another story.
        ("group x any w0a w1a\ngroup y any w2a w3a\ngroup g all x y\nquorum g", 0, Some(2)),
        ("group x all w0a w1a\ngroup y any w2a w3a\ngroup g all x y\nquorum g", 2, Some(1)),
        ("group x all w0a w1a\ngroup g 2 x w2a w3a\nquorum g", 1, Some(2)),
        // Two keys of one witness, alone in a group, are that witness, whatever the threshold.
        ("group w any w0a w0b\nquorum w", 1, Some(1)),
        ("group w all w0a w0b\nquorum w", 1, Some(1)),
        ("group v any w0a w0b\ngroup w all v w0c\nquorum w", 1, Some(1)),
        ("group w any w0a w0b\ngroup v any w1a w1b\ngroup g 2 w v w2a\nquorum g", 1, Some(2)),
        // Next to others they are two votes: one dishonest witness suffices, and two are none.
        ("group g 2 w0a w0b w1a w1b\nquorum g", 0, Some(2)),
        ("group g 3 w0a w0b w1a w1b\nquorum g", 2, Some(1)),
        ("group g 2 w0a w0b w1a\nquorum g", 1, Some(1)),
        ("group g all w0a w0b w1a\nquorum g", 2, Some(1)),
        // In two groups.
        ("group x any w0a w1a\ngroup y any w0b w2a\ngroup g all x y\nquorum g", 0, Some(2)),
        ("group x all w0a w1a\ngroup y all w0b w2a\ngroup g any x y\nquorum g", 1, Some(1)),
        ("group x any w0a w1a\ngroup y any w0b w1b\ngroup g all x y\nquorum g", 0, Some(2)),
        // Only what the quorum reaches counts.
        ("group x all w1a w2a w3a\nquorum w0a", 1, Some(1)),
    ] {
        let policy = policy(lines);
        let want = Strength { dishonest_to_fork: fork, failures_to_halt: halt, is_exact: true };
        assert_eq!(policy.strength(), want, "{lines}");
        assert_eq!(by_definition(&policy), (fork, halt), "{lines}");
    }
}

#[test]
fn a_witness_with_keys_in_several_places_is_named() {
    for (lines, want) in [
        ("quorum none", &[][..]),
        ("quorum w0a", &[]),
        ("group g all w0a w1a\nquorum g", &[]),
        ("group w any w0a w0b\nquorum w", &[]),
        ("group w any w0a w0b\ngroup g all w w1a\nquorum g", &[]),
        ("group w any w0a w0b\ngroup g all w w1a w0c\nquorum g", &["w0.example"]),
        ("group g 2 w1a w0a w0b\nquorum g", &["w0.example"]),
        (
            "group x any w0a w1a\ngroup y any w1b w0b\ngroup g all x y\nquorum g",
            &["w0.example", "w1.example"],
        ),
        // The second key has no vote.
        ("group g 2 w0a w1a\nquorum g", &[]),
    ] {
        let policy = policy(lines);
        let names: Vec<&str> = policy.spread_witnesses().iter().map(|name| name.as_str()).collect();
        assert_eq!(names, want, "{lines}");
    }
}

/// A policy of the greatest size, nested or flat, costs its reader no stack and little time; and of many
/// witnesses in several places the numbers are no more than true.
#[test]
fn large_policies_are_bounded() {
    let vkey = |name: &str, seed: [u8; 32]| {
        let name = KeyName::new(name).expect("a name");
        tlog::key::SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &seed).verifier().clone()
    };
    let seed = |number: usize| {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        seed
    };
    let mut nested =
        format!("witness g0 {}\nwitness v {}\ngroup g1 all g0 v\n", vkey("w", seed(1)), vkey("v", seed(2)));
    (2..=MAX_DEFINITIONS - 2).for_each(|i| nested += &format!("group g{i} any g{}\n", i - 1));
    let nested: Policy = (nested + &format!("quorum g{}\n", MAX_DEFINITIONS - 2)).parse().expect("a policy");
    let want = Strength { dishonest_to_fork: 2, failures_to_halt: Some(1), is_exact: true };
    assert_eq!(nested.strength(), want);

    // Each of `count` witnesses has two keys in one group that needs all of them but one.
    let doubled = |count: usize| -> Policy {
        let (mut text, mut members) = (String::new(), String::new());
        for i in 0..2 * count {
            text += &format!("witness k{i} {}\n", vkey(&format!("w{}", i / 2), seed(i)));
            members += &format!(" k{i}");
        }
        text += &format!("group g {}{members}\nquorum g\n", 2 * count - 1);
        text.parse().expect("a policy")
    };
    for (count, is_exact) in [(8, true), (9, false), (499, false)] {
        let strength = doubled(count).strength();
        // One view may lack one key, which no honest witness makes of it.
        assert!(strength.dishonest_to_fork <= count && strength.failures_to_halt <= Some(1));
        assert_eq!(strength.is_exact, is_exact);
        if is_exact {
            assert_eq!((strength.dishonest_to_fork, strength.failures_to_halt), (count, Some(1)));
        }
    }
}

/// Groups over keys and over one another, the last of them the quorum.
fn random_policy() -> impl Strategy<Value = String> {
    let group =
        (1_usize..5, any::<prop::sample::Index>(), prop::collection::vec(any::<prop::sample::Index>(), 5));
    let keys = prop::sample::subsequence((0..WITNESSES * KEYS).collect::<Vec<_>>(), 1..=9);
    (keys.prop_shuffle(), prop::collection::vec(group, 1..6)).prop_map(|(keys, groups)| {
        let mut free: Vec<String> = keys.into_iter().map(|key| VKEYS[key].0.clone()).collect();
        let (mut lines, mut last) = (String::new(), free[0].clone());
        for (number, (size, threshold, picks)) in groups.into_iter().enumerate() {
            let size = size.min(free.len());
            let members: Vec<String> =
                picks.iter().take(size).map(|pick| free.swap_remove(pick.index(free.len()))).collect();
            let threshold = threshold.index(members.len()) + 1;
            last = format!("g{number}");
            lines += &format!("group {last} {threshold} {}\n", members.join(" "));
            free.push(last.clone());
        }
        lines + &format!("quorum {last}\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_numbers_are_those_of_the_definition(lines in random_policy()) {
        let policy = policy(&lines);
        let strength = policy.strength();
        prop_assert!(strength.is_exact);
        prop_assert_eq!((strength.dishonest_to_fork, strength.failures_to_halt), by_definition(&policy), "{}", lines);
    }
}
