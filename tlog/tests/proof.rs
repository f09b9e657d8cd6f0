//! Proofs that travel (PROOF; S7: mutated texts).

use serde::Deserialize;
use testkit::keys::signer;
use testkit::tree::{Tree, entry};
use testkit::trials::proofs::mutated_texts;
use testkit::vectors;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature::cosign;
use tlog::key::{KeyType, SignerKey};
use tlog::merkle::{ProofError, empty_root, leaf_hash};
use tlog::note::{Note, NoteError, NoteSignature};
use tlog::policy::{Policy, PolicyError};
use tlog::proof::{MAX_HASHES, TlogProof, TlogProofError};
use tlog::{Hash, LeafIndex, TreeSize, UnixTime};

/// What an offline verifier says, by the step that says it.
#[derive(Debug, PartialEq)]
enum Verdict {
    Proven,
    Malformed(TlogProofError),
    Disbelieved(PolicyError),
    NotIncluded(ProofError),
}

/// The steps of c2sp.org/tlog-proof: no clock, no network, nothing but these arguments.
fn verify(policy: &Policy, text: &str, leaf: &Hash) -> Verdict {
    let proof = match TlogProof::parse(text) {
        Ok(proof) => proof,
        Err(error) => return Verdict::Malformed(error),
    };
    let checkpoint = match policy.log_checkpoint(&proof.checkpoint) {
        Ok((checkpoint, _)) => checkpoint,
        Err(error) => return Verdict::Disbelieved(error),
    };
    if let Err(error) = policy.quorum(&proof.checkpoint) {
        return Verdict::Disbelieved(error);
    }
    match proof.verify_inclusion(leaf, &checkpoint) {
        Ok(()) => Verdict::Proven,
        Err(error) => Verdict::NotIncluded(error),
    }
}

/// A log with one witness, and a policy that wants both.
struct Scene {
    tree: Tree,
    log: SignerKey,
    witness: SignerKey,
    policy: Policy,
}

impl Scene {
    fn new(cosigner: KeyType) -> Self {
        let log = signer("log.example", KeyType::Ed25519, 1);
        let witness = signer("w.example", cosigner, 2);
        let policy = format!("log {}\nwitness w {}\nquorum w\n", log.verifier(), witness.verifier());
        let policy = policy.parse().expect("well formed");
        Self { tree: Tree::new(300), log, witness, policy }
    }

    fn checkpoint(&self, size: u64) -> Checkpoint {
        Checkpoint::new("log.example", TreeSize::new(size), self.tree.root(size))
    }

    fn cosigned(&self, checkpoint: &Checkpoint, time: u64) -> Note {
        let mut note = checkpoint.sign(&self.log);
        note.add(cosign(&self.witness, checkpoint, UnixTime::from_secs(time)).expect("a witness's key"));
        note
    }

    fn proof(&self, index: u64, size: u64) -> TlogProof {
        TlogProof {
            extra: None,
            index: LeafIndex::new(index),
            hashes: self.tree.inclusion(index, size),
            checkpoint: self.cosigned(&self.checkpoint(size), 1),
        }
    }

    fn verify(&self, proof: &TlogProof, index: u64) -> Verdict {
        verify(&self.policy, &proof.to_string(), &self.tree.leaf(index))
    }
}

fn scene() -> Scene {
    Scene::new(KeyType::Ed25519Cosignature)
}

#[derive(Deserialize)]
struct Proofs {
    policy: String,
    cases: Vec<ProofCase>,
}

#[derive(Deserialize)]
struct ProofCase {
    name: String,
    leaf: String,
    proof: String,
    valid: bool,
}

#[test]
fn proof_1_the_vectors_have_these_verdicts() {
    let proofs: Proofs = vectors::ours("tlog_proof.json");
    let policy: Policy = proofs.policy.parse().expect("well formed");
    for case in &proofs.cases {
        let verdict = verify(&policy, &case.proof, &leaf_hash(case.leaf.as_bytes()));
        let as_wanted = match &verdict {
            Verdict::Proven => case.valid,
            Verdict::NotIncluded(ProofError::Root { .. }) => !case.valid,
            _ => false,
        };
        assert!(as_wanted, "{}: {verdict:?}", case.name);
        assert_eq!(TlogProof::parse(&case.proof).map(|proof| proof.to_string()).as_ref(), Ok(&case.proof));
    }
    assert_eq!(proofs.cases.len(), 10);
}

#[test]
fn proof_2_index_and_number_of_hashes_are_exact() {
    let scene = scene();
    for size in [1, 2, 3, 5, 8, 256, 257, 300] {
        for index in [0, size / 2, size - 1] {
            let good = scene.proof(index, size);
            assert_eq!(scene.verify(&good, index), Verdict::Proven, "{index} of {size}");
            for outside in [size, size + 1, 1 << 63, u64::MAX] {
                let bad = TlogProof { index: LeafIndex::new(outside), ..good.clone() };
                let error = ProofError::IndexOutside { index: outside, size };
                assert_eq!(scene.verify(&bad, index), Verdict::NotIncluded(error));
            }
            let want = good.hashes.len();
            let mut longer = good.clone();
            longer.hashes.push(Hash::of(b"x"));
            let error = ProofError::Length { got: want + 1, want };
            assert_eq!(scene.verify(&longer, index), Verdict::NotIncluded(error));
            let mut shorter = good;
            if shorter.hashes.pop().is_some() {
                let error = ProofError::Length { got: want - 1, want };
                assert_eq!(scene.verify(&shorter, index), Verdict::NotIncluded(error));
            }
        }
    }
    assert_eq!(scene.proof(0, 1).hashes, []);
}

#[test]
fn proof_3_s9_a_proof_has_one_spelling() {
    use TlogProofError::{BlankLine, Checkpoint, Extra, Header, Index, TooManyHashes};
    let good = scene().proof(4, 7).to_string();
    let header = "c2sp.org/tlog-proof@v1\n";
    assert!(good.starts_with("c2sp.org/tlog-proof@v1\nindex 4\n"));
    for (bad, want) in [
        (good.replace(header, ""), Header),
        (good.replace("@v1", "@v2"), Header),
        (good.replace("@v1", "@v1 "), Header),
        (format!("\u{feff}{good}"), Header),
        (format!("\n{good}"), Header),
        (good.replace('\n', "\r\n"), BlankLine),
        (good.replacen("\n\n", "\n", 2), BlankLine),
        (good.replace("index 4\n", ""), Index),
        (good.replace("index 4", "index 04"), Index),
        (good.replace("index 4", "index +4"), Index),
        (good.replace("index 4", "index -4"), Index),
        (good.replace("index 4", "index 4e0"), Index),
        (good.replace("index 4", "index  4"), Index),
        (good.replace("index 4", "index 4 "), Index),
        (good.replace("index 4", "index 18446744073709551616"), Index),
        (good.replace("index 4", "Index 4"), Index),
        (good.replace("index 4", "extra\nindex 4"), Index),
        (good.replace("index 4", "extra AA==\nextra AA==\nindex 4"), Index),
        (good.replace("index 4", "extra AA\nindex 4"), Extra),
        (good.replace("index 4", "extra AB==\nindex 4"), Extra),
        (good.replace("index 4\n", "index 4\nextra AA==\n"), TlogProofError::Hash(1)),
        (good.replace("index 4\n", "index 4\nAA==\n"), TlogProofError::Hash(1)),
        (good.clone() + "\n", Checkpoint(NoteError::NoSignatures)),
        (good.trim_end().into(), Checkpoint(NoteError::NoSignatures)),
        (String::new(), BlankLine),
    ] {
        assert_eq!(TlogProof::parse(&bad), Err(want), "{bad:.80}");
    }
    // A blank line too early leaves the hashes to the note, and that is no checkpoint.
    let early = good.replace("index 4\n", "index 4\n\n");
    let verdict = verify(&scene().policy, &early, &leaf_hash(&entry(4)));
    assert!(matches!(verdict, Verdict::Disbelieved(PolicyError::Checkpoint(_))), "{verdict:?}");
    let with_hashes = |count| {
        let hashes = format!("{}\n", Hash::of(b"x").to_base64()).repeat(count);
        TlogProof::parse(&good.replace("index 4\n", &format!("index 4\n{hashes}")))
    };
    let own = scene().proof(4, 7).hashes.len();
    assert_eq!(with_hashes(MAX_HASHES - own).map(|proof| proof.hashes.len()), Ok(63));
    assert_eq!(with_hashes(MAX_HASHES - own + 1), Err(TooManyHashes));
}

#[test]
fn proof_4_extra_changes_no_verdict() {
    let scene = scene();
    for extra in [None, Some(vec![]), Some(b"x".to_vec()), Some(vec![0xff; 100_000])] {
        let proof = TlogProof { extra, ..scene.proof(4, 7) };
        assert_eq!(TlogProof::parse(&proof.to_string()).as_ref(), Ok(&proof));
        assert_eq!(scene.verify(&proof, 4), Verdict::Proven);
        assert!(matches!(scene.verify(&proof, 5), Verdict::NotIncluded(ProofError::Root { .. })));
    }
}

#[test]
fn proof_5_a_bad_line_of_a_known_witness_fails_the_proof() {
    let scene = scene();
    // No witness is needed here, but one that is named has its line checked.
    let policy =
        format!("log {}\nwitness w {}\nquorum none\n", scene.log.verifier(), scene.witness.verifier());
    let policy: Policy = policy.parse().expect("well formed");
    let mut proof = scene.proof(4, 7);
    let leaf = scene.tree.leaf(4);
    assert_eq!(verify(&policy, &proof.to_string(), &leaf), Verdict::Proven);
    let witness = scene.witness.verifier();
    proof.checkpoint.add(NoteSignature::new(witness.name().clone(), witness.id(), vec![1; 72]));
    for policy in [&policy, &scene.policy] {
        let verdict = verify(policy, &proof.to_string(), &leaf);
        assert!(matches!(verdict, Verdict::Disbelieved(PolicyError::Note(NoteError::BadSignature { .. }))));
    }
}

#[test]
fn proof_6_what_is_missing_can_be_told_apart() {
    let scene = scene();
    let good = scene.proof(4, 7);
    let with = |checkpoint: Note| TlogProof { checkpoint, ..good.clone() };
    let logged_only = with(scene.checkpoint(7).sign(&scene.log));
    let no_quorum = PolicyError::Quorum { quorum: "w".into(), cosigned: vec![] };
    assert_eq!(scene.verify(&logged_only, 4), Verdict::Disbelieved(no_quorum));
    let mut witnessed_only = Note::unsigned(scene.checkpoint(7).to_string());
    witnessed_only.add(good.checkpoint.signatures()[1].clone());
    let no_log = PolicyError::NoLogSignature("log.example".into());
    assert_eq!(scene.verify(&with(witnessed_only), 4), Verdict::Disbelieved(no_log));
    let other = Checkpoint::new("other.example", TreeSize::new(7), scene.tree.root(7));
    let unknown = PolicyError::UnknownLog("other.example".into());
    assert_eq!(scene.verify(&with(scene.cosigned(&other, 1)), 4), Verdict::Disbelieved(unknown));
    let text = with(Note::parse(b"no checkpoint\n\n\xe2\x80\x94 x AAAAAAAA\n").expect("a note"));
    assert!(matches!(scene.verify(&text, 4), Verdict::Disbelieved(PolicyError::Checkpoint(_))));
    assert!(matches!(scene.verify(&good, 5), Verdict::NotIncluded(ProofError::Root { .. })));
}

#[test]
fn proof_7_times_change_no_verdict() {
    let scene = scene();
    for time in [1, 1_700_000_000, 1 << 40, i64::MAX as u64] {
        let checkpoint = scene.cosigned(&scene.checkpoint(7), time);
        assert_eq!(scene.verify(&TlogProof { checkpoint, ..scene.proof(4, 7) }, 4), Verdict::Proven);
    }
}

#[test]
fn proof_8_the_empty_tree_proves_nothing() {
    let scene = scene();
    let empty = Checkpoint::new("log.example", TreeSize::EMPTY, empty_root());
    for hashes in [vec![], vec![empty_root()], scene.tree.inclusion(4, 7)] {
        for leaf in [scene.tree.leaf(0), empty_root()] {
            let checkpoint = scene.cosigned(&empty, 1);
            let proof =
                TlogProof { extra: None, index: LeafIndex::new(0), hashes: hashes.clone(), checkpoint };
            let error = ProofError::IndexOutside { index: 0, size: 0 };
            assert_eq!(verify(&scene.policy, &proof.to_string(), &leaf), Verdict::NotIncluded(error));
        }
    }
}

#[test]
fn s7_mutated_ed25519_texts_are_refused() {
    mutated_texts(KeyType::Ed25519Cosignature, 40_000, 5).assert_clean(40_000);
}

#[test]
fn s7_mutated_ml_dsa_texts_are_refused() {
    mutated_texts(KeyType::MlDsa44Cosignature, 10_000, 5).assert_clean(10_000);
}
