//! Trials by malicious input that need no program: vectors of others (S1, S2, S3, S5, S6), mutated proofs (S7), second preimages
//! (S8), sizes (S9), notes (S12), confusions (S13), names (S14). The bodies are `testkit`'s, which the tests of the crates run too.

use testkit::trials::{Tried, confusions, message_keys, names, notes, probes, proofs, signatures};
use tlog::key::KeyType;

use crate::frame::{Outcome, Plan, Ran, count};

fn told(tried: Tried, what: &str) -> Outcome {
    Outcome::Ran(Ran { tried: format!("{} {what}", count(tried.count)), violations: tried.violations })
}

/// A trial by vectors of others, where they are.
fn told_of_others(tried: Result<Tried, String>, what: &str) -> Outcome {
    match tried {
        Ok(tried) => told(tried, what),
        Err(why) => Outcome::not_run(why, "specs/vectors/README.md says where the file comes from"),
    }
}

/// S1: Ed25519 vectors of Wycheproof.
pub fn wycheproof(_: &Plan) -> Outcome {
    told_of_others(signatures::wycheproof(), "Ed25519 vectors of Wycheproof, each with its verdict")
}

/// S2: Ed25519 edge cases of C2SP/CCTV.
pub fn edge_cases(_: &Plan) -> Outcome {
    told_of_others(signatures::edge_cases(), "Ed25519 edge cases: strict verification takes 43, we take 1")
}

/// S3: keys of messages.
pub fn message_keys(_: &Plan) -> Outcome {
    let (own, what) = (message_keys::small_order(), "keys of messages, admitted or refused");
    match message_keys::wycheproof() {
        Ok(others) => told(own.and(others), what),
        Err(why) => told(own, &format!("{what}; not run: Wycheproof's 518: {why}")),
    }
}

/// S5: probes of transparency-dev/merkle.
pub fn probes(_: &Plan) -> Outcome {
    let files =
        [probes::inclusion, probes::consistency, probes::subtree_inclusion, probes::subtree_consistency];
    let all = files.into_iter().try_fold(Tried::default(), |all, probe| Ok(all.and(probe()?)));
    told_of_others(all, "probes of transparency-dev/merkle; 8 differ, each by its argument")
}

/// S6: notes of golang.org/x/mod and C2SP.
pub fn notes_of_others(_: &Plan) -> Outcome {
    told_of_others(notes::of_others(), "notes and keys of golang.org/x/mod and C2SP, each with its verdict")
}

/// S7: mutants of proofs: 48 of 100 are hashes of an inclusion, 48 of a consistency, 4 whole texts.
pub fn mutants(plan: &Plan) -> Outcome {
    let (hashes, texts) = (plan.count * 48 / 100, plan.count * 4 / 100);
    let tried = proofs::mutated_inclusion(hashes, plan.seed)
        .and(proofs::mutated_consistency(hashes, plan.seed))
        .and(proofs::mutated_texts(KeyType::Ed25519Cosignature, texts * 4 / 5, plan.seed))
        .and(proofs::mutated_texts(KeyType::MlDsa44Cosignature, texts / 5, plan.seed));
    told(tried, "mutants of proofs")
}

/// S8: second preimages.
pub fn second_preimages(plan: &Plan) -> Outcome {
    told(proofs::second_preimages(plan.count, plan.seed), "second preimages")
}

/// S9: proofs at every size.
pub fn sizes(_: &Plan) -> Outcome {
    told(proofs::sizes(), "proofs at sizes from 0 to 2^64 - 1")
}

/// S12: what no note may hold.
pub fn notes(_: &Plan) -> Outcome {
    told(notes::characters().and(notes::lines()).and(notes::doubles()), "notes with what no note may hold")
}

/// S13: confusions of payload types.
pub fn confusions(_: &Plan) -> Outcome {
    told(confusions::payload_types(), "signatures over one type, read as another")
}

/// S14: DIDs and keys.
pub fn names(_: &Plan) -> Outcome {
    told(names::dids().and(names::keys()), "spellings of DIDs and keys that nobody owns")
}
