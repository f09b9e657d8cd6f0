//! The decision table: every row, every pair of rows, every combination that can be built.

use std::collections::BTreeSet;

use testkit::keys::signer;
use testkit::tree::Tree;
use tlog::key::{KeyType, SignerKey};

use super::*;
use crate::log_list::Stanza;

const ORIGIN: &str = "log.example";

fn seen(tree: &Tree, size: u64) -> Seen {
    Seen { size: TreeSize::new(size), root: tree.root(size) }
}

fn key(seed: u8, kind: KeyType) -> SignerKey {
    signer(ORIGIN, kind, seed)
}

fn logs_of(keys: &[&SignerKey]) -> Logs {
    let stanza = |key: &&SignerKey| Stanza {
        vkey: key.verifier().clone(),
        origin: ORIGIN.into(),
        qpd: None,
        contact: None,
    };
    let own: Vec<Stanza> = keys.iter().map(stanza).collect();
    Logs::new(&own, &[], &[], &Logs::default()).expect("a log")
}

fn signed(checkpoint: &Checkpoint, keys: &[&SignerKey]) -> Note {
    let mut note = Note::unsigned(checkpoint.to_string());
    for key in keys {
        match key.verifier().key() {
            tlog::key::PublicKey::Ed25519(_) => note.sign(key),
            _ => note.add(
                tlog::cosignature::cosign(key, checkpoint, tlog::UnixTime::from_secs(1))
                    .expect("a signature"),
            ),
        }
    }
    note
}

fn body(old: u64, proof: &[Hash], note: &Note) -> String {
    AddCheckpoint { old: TreeSize::new(old), proof: proof.to_vec(), checkpoint: note.clone() }.to_string()
}

fn judge(body: &str, logs: &Logs, seen: &Seen) -> Result<Seen, Refusal> {
    let submitted = Submitted::read(body.as_bytes(), logs)?;
    decide(seen, &submitted.proposal())
}

/// WIT-1, WIT-3, WIT-4, WIT-11: the rows one by one, as one would explain them.
#[test]
fn wit_1_each_row_alone() {
    let tree = Tree::new(9);
    let at = |size| seen(&tree, size);
    let empty = at(0);
    let other = |size| Seen { size: TreeSize::new(size), root: Hash::of(b"another tree") };
    let junk = vec![Hash::of(b"junk")];
    let size = TreeSize::new;
    // seen, old, new, proof, want
    for (seen, old, new, proof, want) in [
        (at(5), 6, at(5), vec![], Err(Refusal::OldAboveSize { old: size(6), size: size(5) })),
        (empty, 0, other(0), vec![], Err(Refusal::EmptyRoot(Hash::of(b"another tree")))),
        (at(5), 4, at(9), tree.consistency(4, 9), Err(Refusal::Stale(size(5)))),
        (at(5), 6, at(9), tree.consistency(6, 9), Err(Refusal::Stale(size(5)))),
        // WIT-3: an old size of 0 finds out the size, and is right for a log that is new here.
        (at(5), 0, at(9), vec![], Err(Refusal::Stale(size(5)))),
        (empty, 0, at(9), vec![], Ok(at(9))),
        // WIT-4: first contact from another size.
        (empty, 5, at(9), tree.consistency(5, 9), Err(Refusal::Stale(size(0)))),
        // WIT-11: the empty tree is cosigned, again, and grows.
        (empty, 0, empty, vec![], Ok(empty)),
        (empty, 0, at(1), vec![], Ok(at(1))),
        (at(5), 5, other(5), vec![], Err(Refusal::Fork(size(5)))),
        (empty, 0, at(9), junk.clone(), Err(Refusal::ProofNotEmpty(1))),
        (empty, 0, empty, junk.clone(), Err(Refusal::ProofNotEmpty(1))),
        (at(5), 5, at(5), junk.clone(), Err(Refusal::ProofNotEmpty(1))),
        (at(5), 5, at(5), vec![], Ok(at(5))),
        (at(5), 5, at(9), tree.consistency(5, 9), Ok(at(9))),
    ] {
        let proposal = Proposal { old: size(old), new, proof: &proof };
        assert_eq!(decide(&seen, &proposal), want, "{seen:?} {proposal:?}");
    }
    for proof in [
        vec![],
        junk,
        tree.consistency(4, 9),
        tree.consistency(5, 8),
        [tree.consistency(5, 9), tree.consistency(5, 9)].concat(),
    ] {
        let verdict = decide(&at(5), &Proposal { old: size(5), new: at(9), proof: &proof });
        assert!(matches!(verdict, Err(Refusal::Inconsistent(_))), "{verdict:?}");
    }
}

/// WIT-1: all combinations of what can be wrong, against rules that are each written down alone. The answer is the
/// first row that is broken, and every pair of rows that can be broken at once is among them.
#[test]
fn wit_1_the_first_broken_row_is_the_answer() {
    let tree = Tree::new(9);
    let (log, stranger) = (key(1, KeyType::Ed25519), key(2, KeyType::Ed25519));
    let logs = logs_of(&[&log]);
    let mut pairs = BTreeSet::new();
    let mut accepted = 0;
    let shapes = ["good", "bad old", "extension", "no note"];
    let signers = ["log", "stranger", "forged", "log and stranger"];
    for (shape, known, signer) in shapes
        .iter()
        .flat_map(|s| [true, false].map(|k| (s, k)))
        .flat_map(|(s, k)| signers.map(|by| (s, k, by)))
    {
        for (seen_size, old, size) in [0, 5]
            .iter()
            .flat_map(|seen| [0, 3, 5, 9].map(|old| (*seen, old)))
            .flat_map(|(a, b)| [0, 5, 8].map(|c| (a, b, c)))
        {
            for (right_root, proof_is) in
                [true, false].iter().flat_map(|r| ["right", "none", "junk"].map(|p| (*r, p)))
            {
                let seen = seen(&tree, seen_size);
                let root = if right_root { tree.root(size) } else { Hash::of(b"another tree") };
                let proof = match proof_is {
                    "right" if old <= size => tree.consistency(old, size),
                    "none" | "right" => Vec::new(),
                    _ => vec![Hash::of(b"junk")],
                };
                let origin = if known { ORIGIN } else { "stranger.example" };
                let mut checkpoint = Checkpoint::new(origin, TreeSize::new(size), root);
                if *shape == "extension" {
                    checkpoint.extensions.push("more".into());
                }
                let mut note = match signer {
                    "log" => signed(&checkpoint, &[&log]),
                    "stranger" => signed(&checkpoint, &[&stranger]),
                    "log and stranger" => signed(&checkpoint, &[&stranger, &log]),
                    _ => Note::unsigned(checkpoint.to_string()),
                };
                if signer == "forged" {
                    let vkey = log.verifier();
                    note.add(NoteSignature::new(vkey.name().clone(), vkey.id(), vec![7; 64]));
                }
                let mut request = body(old, &proof, &note);
                match *shape {
                    "bad old" => request = request.replacen("old ", "old +", 1),
                    "no note" => request.truncate(request.len() - 1),
                    _ => {}
                }
                let verifies = || {
                    consistency::verify(TreeSize::new(old), TreeSize::new(size), &proof, &seen.root, &root)
                        .is_ok()
                };
                let rows = [
                    (*shape != "good", 400),
                    (!known, 404),
                    (!signer.contains("log"), 403),
                    (old > size, 400),
                    (size == 0 && root != empty_root(), 422),
                    (old != seen_size, 409),
                    (old == size && root != seen.root, 422),
                    (old == 0 && !proof.is_empty(), 422),
                    (old == size && !proof.is_empty(), 422),
                    (0 < old && old < size && !verifies(), 422),
                ];
                let broken: Vec<usize> = (1..).zip(rows).filter(|(_, row)| row.0).map(|(at, _)| at).collect();
                let verdict = judge(&request, &logs, &seen);
                let case = format!("{seen:?} {broken:?} {verdict:?}\n{request}");
                match (broken.first(), &verdict) {
                    (None, Ok(new)) => {
                        assert_eq!(*new, Seen { size: TreeSize::new(size), root }, "{case}");
                        accepted += 1;
                    }
                    (Some(row), Err(refusal)) => {
                        assert_eq!(refusal.status(), rows[row - 1].1, "{case}");
                        assert!(row_of(refusal).contains(row), "{case}");
                    }
                    _ => panic!("{case}"),
                }
                for (at, first) in broken.iter().enumerate() {
                    pairs.extend(broken[at + 1..].iter().map(|second| (*first, *second)));
                }
            }
        }
    }
    assert!(accepted > 0);
    // What cannot be broken together: two relations of old and size at once; a tree of size 0 with a proof that
    // leads to it; and a row with itself.
    let relation = |row| match row {
        4 => Some("old above size"),
        7 | 9 => Some("old is size"),
        10 => Some("0 < old < size"),
        _ => None,
    };
    for first in 1..=10 {
        for second in first + 1..=10 {
            let apart = relation(first).zip(relation(second)).is_some_and(|(a, b)| a != b)
                || (first, second) == (4, 8)
                || (first, second) == (5, 10)
                || (first, second) == (8, 10);
            assert_eq!(pairs.contains(&(first, second)), !apart, "rows {first} and {second}");
        }
    }
}

/// The rows of the table that a refusal can stand for.
fn row_of(refusal: &Refusal) -> &'static [usize] {
    match refusal {
        Refusal::Malformed(_) | Refusal::Checkpoint(_) | Refusal::Extensions => &[1],
        Refusal::UnknownLog(_) => &[2],
        Refusal::BadSignature(_) | Refusal::NoSignature => &[3],
        Refusal::OldAboveSize { .. } => &[4],
        Refusal::EmptyRoot(_) => &[5],
        Refusal::Stale(_) => &[6],
        Refusal::Fork(_) => &[7],
        Refusal::ProofNotEmpty(_) => &[8, 9],
        Refusal::Inconsistent(_) => &[10],
    }
}

/// WIT-15: any one of a log's keys suffices; a bad line of any of them fails the note (NOTE-8).
#[test]
fn wit_15_any_one_key_of_a_log_suffices() {
    let keys = [key(1, KeyType::Ed25519), key(2, KeyType::Ed25519), key(3, KeyType::MlDsa44Cosignature)];
    let logs = logs_of(&[&keys[0], &keys[1], &keys[2]]);
    let checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(1), Hash::of(b"x"));
    for signers in [vec![0], vec![1], vec![2], vec![2, 0], vec![0, 1, 2]] {
        let by: Vec<&SignerKey> = signers.iter().map(|at| &keys[*at]).collect();
        let note = signed(&checkpoint, &by);
        let request = body(0, &[], &note);
        let submitted = Submitted::read(request.as_bytes(), &logs).expect("signed");
        assert_eq!(submitted.log_note(), note);
        let mut bad = note.clone();
        let absent = keys.iter().find(|key| !by.iter().any(|by| std::ptr::eq(*by, *key)));
        let forged = absent.unwrap_or(&keys[0]).verifier();
        bad.add(NoteSignature::new(forged.name().clone(), forged.id(), vec![7; 64]));
        let refused = judge(&body(0, &[], &bad), &logs, &Seen::nothing());
        assert!(matches!(refused, Err(Refusal::BadSignature(_))), "{refused:?}");
    }
}

/// The empty tree with another root, signed by an ML-DSA key: the signature is judged before the root.
#[test]
fn wit_1_who_signed_is_asked_before_the_root_of_the_empty_tree_is() {
    let log = key(3, KeyType::MlDsa44Cosignature);
    let checkpoint = Checkpoint::new(ORIGIN, TreeSize::EMPTY, Hash::of(b"x"));
    let request = body(0, &[], &signed(&checkpoint, &[&log]));
    assert_eq!(judge(&request, &logs_of(&[&log]), &Seen::nothing()), Err(Refusal::EmptyRoot(Hash::of(b"x"))));
    let other = key(3, KeyType::Ed25519);
    assert_eq!(judge(&request, &logs_of(&[&other]), &Seen::nothing()), Err(Refusal::NoSignature));
}

/// A line of the log's that no base64 decoder must accept, or that is cut off, is a signature that does not verify.
#[test]
fn wit_1_a_malformed_line_of_a_known_key_is_a_bad_signature() {
    let (log, stranger) = (key(1, KeyType::Ed25519), key(2, KeyType::Ed25519));
    let checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(1), Hash::of(b"x"));
    let good = body(0, &[], &signed(&checkpoint, &[&stranger, &log]));
    let lines: Vec<&str> = good.lines().collect();
    let [.., strange, own] = lines[..] else { panic!("two lines") };
    let trailing = |line: &str| format!("{}B=", &line[..line.len() - 2]);
    for (line, new, status) in [
        (own, trailing(own), 403),
        (own, own[..own.len() - 5].to_owned(), 403),
        (own, format!("{own} "), 403),
        (own, own.replacen(ORIGIN, "other.example", 1) + "=", 400),
        (own, own.replacen("— ", "-- ", 1), 400),
        (own, own[..own.len() - 86].to_owned(), 400),
        (strange, trailing(strange), 400),
    ] {
        let request = good.replacen(line, &new, 1);
        let refused = judge(&request, &logs_of(&[&log]), &Seen::nothing()).expect_err("a bad line");
        assert_eq!(refused.status(), status, "{new}: {refused}");
        // What is wrong before the signatures is wrong first.
        let unknown = judge(&request, &Logs::default(), &Seen::nothing()).expect_err("a bad line");
        assert_eq!(unknown.status(), 400);
        let bad_old = judge(&request.replacen("old 0", "old x", 1), &logs_of(&[&log]), &Seen::nothing());
        assert_eq!(bad_old.expect_err("no request").status(), 400);
    }
}
