//! A receipt with one byte altered never verifies, unless it still says the same.

use attestation::receipt::Receipt;
use testkit::chance::Chance;

use crate::fixture::{receipt, verify};

/// For each of two spellings. In an unoptimised build a signature check takes milliseconds.
const MUTATIONS: u32 = if cfg!(debug_assertions) { 500 } else { 60_000 };

#[test]
fn a_mutated_receipt_never_verifies_unless_it_says_the_same() {
    mutate(&receipt().to_json(), 1);
}

#[test]
fn a_mutated_receipt_on_one_line_never_verifies_unless_it_says_the_same() {
    mutate(&one_line(&receipt()), 2);
}

fn mutate(text: &str, seed: u64) {
    assert!(verify(text.as_bytes()).verified().is_some());
    let (good, mut random, mut same) = (receipt(), Chance::new(seed), 0);
    for _ in 0..MUTATIONS {
        let mut mutant = text.as_bytes().to_vec();
        let at = random.place(mutant.len());
        mutant[at] ^= 1 + random.below(255) as u8;
        if verify(&mutant).verified().is_some() {
            assert_eq!(Receipt::parse(&mutant).as_ref(), Ok(&good), "byte {at}: {}", mutant[at]);
            same += 1;
        }
    }
    // Only white space can change without a meaning.
    assert!(same < MUTATIONS / 100, "{same}");
}

/// Truncated, doubled and crossed over.
#[test]
fn a_cut_or_spliced_receipt_never_verifies() {
    let good = one_line(&receipt()).into_bytes();
    for end in 0..good.len() {
        assert!(Receipt::parse(&good[..end]).is_err(), "cut at {end}");
    }
    let mut random = Chance::new(3);
    for _ in 0..MUTATIONS / 10 {
        let (from, to) = (random.place(good.len()), random.place(good.len()));
        let spliced = [&good[..from], &good[to..]].concat();
        assert!(from == to || verify(&spliced).verified().is_none(), "{from} {to}");
    }
}

fn one_line(receipt: &Receipt) -> String {
    let value: serde_json::Value = serde_json::from_str(&receipt.to_json()).expect("JSON");
    value.to_string()
}
