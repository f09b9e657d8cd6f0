//! Every check made to fail alone, and the verdict that follows.

use std::time::Duration;

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, DsseEntry, PendingEntry, Visibility};
use attestation::receipt::{
    Check, Demand, Fault, Outcome, Pin, Receipt, Report, SignerState, Signers, Verdict, VerifyPolicy,
};
use attestation::statement::{EVENT_PREDICATE_BASE, Statement};
use serde_json::{Value, json};
use tlog::encoding::base64;
use tlog::key::{Ed25519PrivateKey, KeyType};
use tlog::policy::Policy;
use tlog::{Hash, TreeSize, UnixTime};

use crate::fixture::*;

/// What a case alters, starting from what passes.
struct World {
    receipt: Value,
    artifact: Hash,
    policy: Policy,
    signers: Signers,
    pins: Vec<Pin>,
    demands: Vec<Demand>,
    now: Option<UnixTime>,
}

impl World {
    fn good() -> Self {
        Self::with(receipt())
    }

    fn with(receipt: Receipt) -> Self {
        Self {
            receipt: serde_json::from_str(&receipt.to_json()).expect("JSON"),
            artifact: artifact(),
            policy: policy(),
            signers: Signers::OneOf(vec![did()]),
            pins: Vec::new(),
            demands: Vec::new(),
            now: None,
        }
    }

    fn demanding(demand: Demand) -> Self {
        Self { demands: vec![demand], ..Self::good() }
    }

    fn at(mut self, now: u64) -> Self {
        self.now = Some(UnixTime::from_secs(now));
        self
    }

    fn report(&self) -> Report {
        let policy = VerifyPolicy {
            policy: &self.policy,
            signers: self.signers.clone(),
            pins: self.pins.clone(),
            demands: self.demands.clone(),
        };
        let bytes = self.receipt.to_string().into_bytes();
        attestation::receipt::verify(&bytes, &policy, &self.artifact, self.now)
    }
}

/// Exactly `check` did not pass: all before passed, none after was made.
fn assert_fails_alone(name: &str, report: &Report, check: Check, verdict: Verdict, reason: &str) {
    let (failed, fault) = report.fault().unwrap_or_else(|| panic!("{name}: verified"));
    assert_eq!(failed, check, "{name}: {fault}");
    assert_eq!(report.verdict(), verdict, "{name}: {fault}");
    assert!(fault.to_string().contains(reason), "{name}: {fault}");
    assert!(report.verified().is_none(), "{name}");
    let at = report.checks().iter().position(|(made, _)| *made == check).expect("listed");
    for (position, (_, outcome)) in report.checks().iter().enumerate() {
        match outcome {
            Outcome::Passed(_) => assert!(position < at, "{name}"),
            Outcome::NotPassed(_) => assert_eq!(position, at, "{name}"),
            Outcome::NotChecked => assert!(position > at, "{name}"),
        }
    }
}

fn assert_passes(name: &str, report: &Report) {
    assert_eq!(report.verdict(), Verdict::Verified, "{name}: {:?}", report.fault());
    assert!(report.verified().is_some(), "{name}");
    assert!(report.checks().iter().all(|(_, outcome)| matches!(outcome, Outcome::Passed(_))), "{name}");
}

#[test]
fn a_good_receipt_passes_every_check_in_order() {
    let report = World::good().report();
    assert_passes("good", &report);
    let ids: Vec<&str> = report.checks().iter().map(|(check, _)| check.id()).collect();
    let want = [
        "format",
        "artifact-digest",
        "signature",
        "leaf",
        "log-signature",
        "witness-quorum",
        "inclusion",
        "signer",
        "signer-state",
    ];
    assert_eq!(ids, want);
    let Outcome::Passed(state) = &report.checks()[8].1 else { panic!("passed") };
    assert_eq!(state, "no identity events, genesis key assumed; state as of size 5");
}

/// The demands are checked in one order, whatever order they are made in.
#[test]
fn demands_are_checked_in_their_order() {
    let state = state_of(did(), &vec![b"0".to_vec(); 5], &[], &log()).verify(&policy()).expect("it holds");
    let (log, size) = (log().verifier().clone(), TreeSize::new(5));
    let mut world = World::good().at(COSIGNED_AT + 60);
    world.demands = vec![
        Demand::MinCheckpoint { log, size },
        Demand::CheckpointFreshness(Duration::from_secs(60)),
        Demand::MaxAge(Duration::from_secs(61)),
        Demand::SubjectName("artifact.bin".into()),
        Demand::PredicateType("https://slsa.dev/provenance/v1".into()),
        Demand::BuilderId("https://example.com/builder".into()),
        Demand::SourceRef("refs/heads/main".into()),
        Demand::SourceUri("git+https://github.com/octo/app.git".into()),
        Demand::State {
            state: Box::new(SignerState::of(&state, did()).expect("shown")),
            max_age: Some(Duration::from_secs(60)),
        },
    ];
    let report = world.report();
    assert_passes("all demands", &report);
    let made: Vec<Check> = report.checks().iter().map(|(check, _)| *check).collect();
    assert_eq!(made, Check::ALL);
    let ids: Vec<&str> = made.iter().skip(9).map(|check| check.id()).collect();
    let want = [
        "later-state",
        "source-uri",
        "source-ref",
        "builder-id",
        "predicate-type",
        "subject-name",
        "max-age",
        "checkpoint-freshness",
        "min-checkpoint",
    ];
    assert_eq!(ids, want);
}

#[test]
fn each_check_fails_alone() {
    use Check::*;
    use Verdict::{CouldNotCheck, Failed};

    for (name, world, check, verdict, reason) in [
        ("media type", altered("/mediaType", json!("x")), Format, Failed, "`mediaType` is \"x\""),
        ("other artifact", other_artifact(), ArtifactDigest, Failed, "no subject of the statement"),
        ("other signer's key", other_public_key(), Signature, Failed, "not by the receipt's key"),
        ("other payload", other_payload(), Signature, Failed, "not by the receipt's key"),
        ("not sent", World::with(signed(&statement())), Leaf, CouldNotCheck, "not logged"),
        ("leaf of another envelope", leaf_of_another_envelope(), Leaf, Failed, "`spec.envelopeHash`"),
        ("leaf by another DID", leaf_by_another_did(), Leaf, Failed, "`spec.aip.did`"),
        ("leaf by another key", leaf_by_another_key(), Leaf, Failed, "`spec.signatures[0].verifier`"),
        ("leaf with other subjects", leaf_with(json!([HASH_OF_X])), Leaf, Failed, "`spec.aip.subjects`"),
        ("leaf with other predicate type", other_type(), Leaf, Failed, "`spec.aip.predicateType`"),
        ("junk claim signature", junk_claim_signature(), Leaf, Failed, "the claim's signature"),
        ("claim for another log", claim_for_another_log(), Leaf, Failed, "claimed for `other.example`"),
        ("no answer", no_answer(), LogSignature, CouldNotCheck, "not logged"),
        ("log not in the policy", unknown_log(), LogSignature, Failed, "the policy names no log"),
        (
            "checkpoint by a thief of the name",
            other_log_key(),
            LogSignature,
            Failed,
            "no key that the policy",
        ),
        ("bad log signature", bad_log_signature(), LogSignature, Failed, "signature line of"),
        ("other root than pinned", pinned(5, Hash::of(b"x")), LogSignature, Failed, "has forked"),
        ("no witness", witnessed_by(&[]), WitnessQuorum, Failed, "cosigned by none"),
        ("unknown witness", unknown_witness(), WitnessQuorum, Failed, "cosigned by none"),
        ("bad cosignature", bad_cosignature(), WitnessQuorum, Failed, "witness.example.com` is bad"),
        ("not in the tree", not_in_the_tree(), Inclusion, Failed, ""),
        ("unwanted signer", unwanted_signer(), Signer, Failed, "none of the wanted signers"),
        ("nobody wanted", nobody_wanted(), Signer, Failed, "none of the wanted signers"),
        ("key of another DID", foreign_key(false), Signer, Failed, "is the first key of did:aip:"),
        ("events that are none", with_identity(World::good()), SignerState, Failed, "identity event 0"),
        ("events that do not explain the key", foreign_key(true), SignerState, Failed, "identity event 0"),
    ] {
        assert_fails_alone(name, &world.report(), check, verdict, reason);
    }
}

#[test]
fn each_demand_fails_alone() {
    use Check::*;
    use Verdict::{CouldNotCheck, Failed};

    let text = |make: fn(String) -> Demand, value: &str| World::demanding(make(value.to_owned()));
    let seconds = |make: fn(Duration) -> Demand, limit| World::demanding(make(Duration::from_secs(limit)));
    let minimum = |size| {
        let log = log().verifier().clone();
        World::demanding(Demand::MinCheckpoint { log, size: TreeSize::new(size) })
    };
    let age = |limit, now| seconds(Demand::MaxAge, limit).at(now);
    let logged = LOGGED_AT_MS / 1000;

    for (name, world, check, verdict, reason) in [
        ("source", text(Demand::SourceUri, "https://github.com/octo/ap"), SourceUri, Failed, "octo/app"),
        ("ref", text(Demand::SourceRef, "main"), SourceRef, Failed, "says [\"refs/heads/main\"]"),
        ("builder", text(Demand::BuilderId, "https://example.com/"), BuilderId, Failed, "/builder"),
        ("no provenance", not_provenance(), SourceUri, Failed, "the statement says nothing"),
        ("type", text(Demand::PredicateType, "x"), PredicateType, Failed, "\"x\" is wanted"),
        ("subject", text(Demand::SubjectName, "other.bin"), SubjectName, Failed, "says [\"artifact.bin\"]"),
        ("file", text(Demand::FileName, "dist/app"), SubjectName, Failed, "names it \"artifact.bin\""),
        (
            "another subject's",
            text(Demand::FileName, "other.bin"),
            SubjectName,
            Failed,
            "names it \"artifact.bin\"",
        ),
        ("too old", age(60, logged + 61), MaxAge, Failed, "61 s old, more than 60 s"),
        ("ahead of the clock", age(60, logged - 301), MaxAge, Failed, "301 s ahead"),
        ("no clock", seconds(Demand::MaxAge, 60), MaxAge, CouldNotCheck, "needs the present time"),
        (
            "stale checkpoint",
            seconds(Demand::CheckpointFreshness, 60).at(COSIGNED_AT + 61),
            CheckpointFreshness,
            Failed,
            "61 s old",
        ),
        (
            "checkpoint without time",
            World { policy: quorum_none(), ..seconds(Demand::CheckpointFreshness, 60).at(COSIGNED_AT) },
            CheckpointFreshness,
            CouldNotCheck,
            "no cosignature that counts",
        ),
        ("checkpoint smaller than seen", minimum(6), MinCheckpoint, Failed, "size 5, less than 6"),
    ] {
        assert_fails_alone(name, &world.report(), check, verdict, reason);
    }
}

#[test]
fn what_is_allowed_passes() {
    let minimum = |log: &tlog::key::SignerKey, size| Demand::MinCheckpoint {
        log: log.verifier().clone(),
        size: TreeSize::new(size),
    };
    let other_log = key("other.example", KeyType::Ed25519, 0x33);
    let root = Tree::around(&entry(&statement()).to_bytes()).checkpoint(ORIGIN).root;
    let foreign_pin =
        Pin { log: other_log.verifier().clone(), size: TreeSize::new(5), root: Hash::of(b"another log's") };
    let logged = LOGGED_AT_MS / 1000;
    let seconds = Duration::from_secs;
    for (name, world) in [
        ("anybody", World { signers: Signers::Any, ..World::good() }),
        ("the pinned root", pinned(5, root)),
        ("a pin at another size", pinned(6, Hash::of(b"x"))),
        ("a pin of another log", World { pins: vec![foreign_pin], ..World::good() }),
        ("the minimum", World::demanding(minimum(&log(), 5))),
        ("the minimum of another log", World::demanding(minimum(&other_log, 6))),
        ("as old as allowed", World::demanding(Demand::MaxAge(seconds(60))).at(logged + 60)),
        ("clocks that differ a little", World::demanding(Demand::MaxAge(seconds(60))).at(logged - 300)),
        ("the file's name", World::demanding(Demand::FileName("artifact.bin".into()))),
        ("a file in a folder", World::demanding(Demand::FileName("/tmp/release/artifact.bin".into()))),
        ("no witness asked for", World { policy: quorum_none(), ..witnessed_by(&[]) }),
        ("an unknown line beside", witnessed_by(&[&witness(), &key("x", KeyType::Ed25519Cosignature, 9)])),
        ("a private leaf", private()),
        ("a sigstore note that nobody looks at", altered("/sigstoreNote", json!("anything"))),
    ] {
        assert_passes(name, &world.report());
    }
}

#[test]
fn an_unlogged_receipt_of_another_artifact_is_false_and_not_unchecked() {
    let mut world = World::with(signed(&statement()));
    world.artifact = Hash::of(b"x");
    assert_fails_alone("signed", &world.report(), Check::ArtifactDigest, Verdict::Failed, "");
}

/// PROOF-2: the index, the number of hashes and the size decide each other.
#[test]
fn proof_2_index_and_hashes_must_fit_the_size() {
    let leaf = entry(&statement()).to_bytes();
    let good = prove(&leaf);
    assert_eq!(good.hashes.len(), 3);
    let with = |alter: &dyn Fn(&mut tlog::proof::TlogProof)| {
        let mut proof = good.clone();
        alter(&mut proof);
        altered("/proof", json!(proof.to_string())).report()
    };
    for (name, report) in [
        ("index = size", with(&|proof| proof.index = tlog::LeafIndex::new(5))),
        ("index = 2^64 - 1", with(&|proof| proof.index = tlog::LeafIndex::new(u64::MAX))),
        ("another index", with(&|proof| proof.index = tlog::LeafIndex::new(3))),
        ("one hash more", with(&|proof| proof.hashes.push(Hash::of(b"x")))),
        ("one hash fewer", with(&|proof| proof.hashes.truncate(2))),
        ("two hashes swapped", with(&|proof| proof.hashes.swap(0, 1))),
        ("no hash", with(&|proof| proof.hashes.clear())),
    ] {
        assert_fails_alone(name, &report, Check::Inclusion, Verdict::Failed, "");
    }
    // A tree of one entry needs no hash, and bears none.
    let single = Tree(vec![tlog::merkle::leaf_hash(&leaf)]).proof(0, &log(), &[&witness()]);
    assert!(single.hashes.is_empty());
    assert_passes("size 1", &altered("/proof", json!(single.to_string())).report());
    let more = tlog::proof::TlogProof { hashes: vec![Hash::of(b"x")], ..single };
    let report = altered("/proof", json!(more.to_string())).report();
    assert_fails_alone("size 1 with a hash", &report, Check::Inclusion, Verdict::Failed, "");
}

/// PROOF-3, S9: other spellings of a proof are no receipt.
#[test]
fn proof_3_malformed_proofs_are_malformed_receipts() {
    let good = prove(&entry(&statement()).to_bytes()).to_string();
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    for (from, to) in [
        ("c2sp.org/tlog-proof@v1\n", ""),
        ("@v1", "@v2"),
        ("index 2", "index 02"),
        ("index 2", "index +2"),
        ("index 2", "index -2"),
        ("index 2", "index 2 "),
        ("index 2", "index 2e0"),
        ("index 2", "index 18446744073709551616"),
        ("\n", "\r\n"),
        ("\n\n", "\n"),
        ("\n\n", &format!("\n{}\n", hash.repeat(61))),
        ("\n5\n", "\n05\n"),
        ("\n5\n", "\n+5\n"),
        ("\n5\n", "\n5e0\n"),
        ("\n5\n", "\n9223372036854775808\n"),
        ("\n5\n", "\n18446744073709551615\n"),
        ("\n5\n", "\n18446744073709551616\n"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from:?}");
        let report = altered("/proof", json!(bad)).report();
        assert_fails_alone(&format!("{from:?} {to:?}"), &report, Check::Format, Verdict::Failed, "");
    }
}

/// PROOF-4: what no signature covers changes no verdict.
#[test]
fn proof_4_extra_changes_no_verdict() {
    let good = prove(&entry(&statement()).to_bytes());
    for extra in [b"".as_slice(), b"x", &[0xff; 1000]] {
        let proof = tlog::proof::TlogProof { extra: Some(extra.to_vec()), ..good.clone() };
        assert_passes("extra", &altered("/proof", json!(proof.to_string())).report());
    }
    let bad = World { artifact: Hash::of(b"x"), ..altered("/proof", json!(good.to_string())) };
    assert_eq!(bad.report().verdict(), Verdict::Failed);
}

/// PROOF-5, PROOF-6: a bad line of a known witness, too few witnesses, a bad statement signature and a bad
/// inclusion proof are told apart by their check.
#[test]
fn proof_5_proof_6_failures_are_told_apart() {
    // A second witness whose good line would make the quorum does not excuse a bad line of the first.
    let second = key("second.example", KeyType::Ed25519Cosignature, 0x44);
    let mut bad = bad_cosignature();
    let text = format!(
        "log {}\nwitness w {}\nwitness v {}\ngroup g any w v\nquorum g\n",
        log().verifier(),
        witness().verifier(),
        second.verifier()
    );
    bad.policy = text.parse().expect("a policy");
    let checkpoint = Tree::around(&entry(&statement()).to_bytes()).checkpoint(ORIGIN);
    let line = tlog::cosignature::cosign(&second, &checkpoint, UnixTime::from_secs(COSIGNED_AT));
    let proof = bad.receipt["proof"].as_str().expect("text").to_owned();
    bad.receipt["proof"] = json!(format!("{proof}{}\n", line.expect("a line")));

    for (name, world, id) in [
        ("bad line of a known witness", bad, "witness-quorum"),
        ("quorum unmet", witnessed_by(&[]), "witness-quorum"),
        ("bad signature", other_payload(), "signature"),
        ("bad inclusion", not_in_the_tree(), "inclusion"),
    ] {
        let report = world.report();
        assert_eq!(report.fault().map(|(check, _)| check.id()), Some(id), "{name}");
    }
    let unmet = witnessed_by(&[]).report();
    let Some((_, Fault::WitnessQuorum(tlog::policy::PolicyError::Quorum { .. }))) = unmet.fault() else {
        panic!("{unmet:?}")
    };
}

/// PROOF-7: no clock decides unless the policy asks for an age.
#[test]
fn proof_7_ages_are_asked_for() {
    assert_passes("no clock", &World::good().report());
    assert_passes("a clock in 1970", &World::good().at(0).report());
    assert_passes("the last second", &World::good().at(u64::MAX).report());
    let old = World::demanding(Demand::MaxAge(Duration::ZERO)).at(u64::MAX).report();
    assert_fails_alone("an age", &old, Check::MaxAge, Verdict::Failed, "");
}

/// PROOF-8: the empty tree proves nothing.
#[test]
fn proof_8_a_checkpoint_of_size_0_proves_nothing() {
    let empty = Tree(Vec::new()).checkpoint(ORIGIN);
    let mut proof = prove(&entry(&statement()).to_bytes());
    proof.checkpoint = cosigned(&empty, &log(), &[&witness()]);
    for hashes in [Vec::new(), proof.hashes.clone()] {
        for index in [0, 2] {
            let proof = tlog::proof::TlogProof {
                index: tlog::LeafIndex::new(index),
                hashes: hashes.clone(),
                ..proof.clone()
            };
            let report = altered("/proof", json!(proof.to_string())).report();
            assert_fails_alone("size 0", &report, Check::Inclusion, Verdict::Failed, "outside");
        }
    }
}

/// S8: an inner node is no leaf: its two hashes, taken for an entry, are not even an entry.
#[test]
fn s8_a_node_is_no_leaf() {
    let tree = Tree::around(&entry(&statement()).to_bytes());
    let node = [tree.0[2].as_bytes().as_slice(), tree.0[3].as_bytes()].concat();
    let report = altered("/leaf", json!(base64(&node))).report();
    assert_fails_alone("node", &report, Check::Format, Verdict::Failed, "leaf");
}

const HASH_OF_X: &str = "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=";

fn altered(member: &str, value: Value) -> World {
    let mut world = World::good();
    world.receipt[&member[1..]] = value;
    world
}

fn other_artifact() -> World {
    World { artifact: Hash::of(b"x"), ..World::good() }
}

fn other_public_key() -> World {
    altered("/publicKey", json!(base64(other_signer().public_key().as_bytes())))
}

fn other_payload() -> World {
    let other = provenance_statement("https://github.com/octo/app", "refs/heads/evil");
    let mut world = World::good();
    world.receipt["envelope"]["payload"] = json!(base64(&other.to_payload()));
    world
}

/// A logged receipt whose leaf is another one, in the tree.
fn with_leaf(entry: DsseEntry) -> World {
    let proof = prove(&entry.to_bytes());
    World::with(signed(&statement()).logged(entry, proof, None).expect("a receipt"))
}

fn leaf_of_another_envelope() -> World {
    with_leaf(entry(&provenance_statement("https://github.com/octo/app", "refs/heads/evil")))
}

fn by(did: Did, key: &Ed25519PrivateKey, origin: &str, visibility: Visibility) -> DsseEntry {
    let statement = statement();
    let envelope = Envelope::sign(key, statement.to_payload());
    let claim = Claim::new(&envelope, &statement, did, &key.public_key(), origin, visibility);
    DsseEntry::new(PendingEntry::sign(claim.expect("a claim"), key).expect("an entry"), logged_at())
}

fn leaf_by_another_did() -> World {
    with_leaf(by(Did::of(&other_signer().public_key()), &signer(), ORIGIN, Visibility::Public))
}

/// The envelope hash of the other key's envelope differs first: put this envelope's hashes in its claim.
fn leaf_by_another_key() -> World {
    let statement = statement();
    let envelope = envelope(&statement);
    let key = other_signer();
    let claim = Claim::new(&envelope, &statement, did(), &key.public_key(), ORIGIN, Visibility::Public);
    let pending = PendingEntry::sign(claim.expect("a claim"), &key).expect("an entry");
    with_leaf(DsseEntry::new(pending, logged_at()))
}

/// The good leaf with a member of its `aip` altered, signed again.
fn with_aip(member: &str, value: Value) -> World {
    let mut claim: Value = serde_json::from_slice(&claim(&statement()).to_bytes()).expect("JSON");
    claim["spec"]["aip"][member] = value;
    let signature =
        signer().sign(&attestation::dsse::pae(attestation::entry::CLAIM_TYPE, claim.to_string().as_bytes()));
    claim["spec"]["aip"]["signature"] = json!(base64(&signature));
    claim["spec"]["aip"]["loggedAt"] = json!(LOGGED_AT_MS);
    with_leaf(DsseEntry::parse(claim.to_string().as_bytes()).expect("a leaf"))
}

fn leaf_with(subjects: Value) -> World {
    with_aip("subjects", subjects)
}

fn other_type() -> World {
    with_aip("predicateType", json!("https://cyclonedx.org/bom"))
}

fn junk_claim_signature() -> World {
    let mut leaf: Value = serde_json::from_slice(&entry(&statement()).to_bytes()).expect("JSON");
    leaf["spec"]["aip"]["signature"] = json!(base64(&[7; 64]));
    with_leaf(DsseEntry::parse(leaf.to_string().as_bytes()).expect("a leaf"))
}

fn claim_for_another_log() -> World {
    with_leaf(by(did(), &signer(), "other.example", Visibility::Public))
}

fn private() -> World {
    with_leaf(by(did(), &signer(), ORIGIN, Visibility::Private))
}

fn no_answer() -> World {
    World::with(signed(&statement()).pending(pending(&statement())))
}

fn unknown_log() -> World {
    let other = key("other.example", KeyType::Ed25519, 0x33);
    let policy = format!("log {}\nquorum none\n", other.verifier());
    World { policy: policy.parse().expect("a policy"), ..World::good() }
}

fn with_proof(proof: &tlog::proof::TlogProof) -> World {
    altered("/proof", json!(proof.to_string()))
}

fn other_log_key() -> World {
    let tree = Tree::around(&entry(&statement()).to_bytes());
    with_proof(&tree.proof(2, &key(ORIGIN, KeyType::Ed25519, 0x33), &[&witness()]))
}

fn witnessed_by(witnesses: &[&tlog::key::SignerKey]) -> World {
    with_proof(&Tree::around(&entry(&statement()).to_bytes()).proof(2, &log(), witnesses))
}

fn unknown_witness() -> World {
    witnessed_by(&[&key("witness.example.com", KeyType::Ed25519Cosignature, 0x33)])
}

/// The signature line of `name` with its last byte altered.
fn with_bad_line(name: &str) -> World {
    let mut proof = prove(&entry(&statement()).to_bytes());
    let line = proof.checkpoint.signatures().iter().find(|line| line.name().as_str() == name);
    let line = line.expect("a line").clone();
    let mut signature = line.signature().to_vec();
    *signature.last_mut().expect("bytes") ^= 1;
    proof.checkpoint.add(tlog::note::NoteSignature::new(line.name().clone(), line.id(), signature));
    with_proof(&proof)
}

fn bad_log_signature() -> World {
    with_bad_line(ORIGIN)
}

fn bad_cosignature() -> World {
    with_bad_line("witness.example.com")
}

fn pinned(size: u64, root: Hash) -> World {
    let pin = Pin { log: log().verifier().clone(), size: TreeSize::new(size), root };
    World { pins: vec![pin], ..World::good() }
}

/// The proof of another entry of the same tree.
fn not_in_the_tree() -> World {
    let tree = Tree::around(b"another entry");
    with_proof(&tree.proof(2, &log(), &[&witness()]))
}

fn unwanted_signer() -> World {
    let other = Did::of(&other_signer().public_key());
    World { signers: Signers::OneOf(vec![other]), ..World::good() }
}

fn nobody_wanted() -> World {
    World { signers: Signers::OneOf(Vec::new()), ..World::good() }
}

/// Everything by another key in this DID's name, with or without events that might explain it.
fn foreign_key(identity: bool) -> World {
    let key = other_signer();
    let entry = by(did(), &key, ORIGIN, Visibility::Public);
    let envelope = Envelope::sign(&key, statement().to_payload());
    let proof = prove(&entry.to_bytes());
    let receipt = Receipt::signed(did(), key.public_key(), envelope).expect("a receipt");
    let world = World::with(receipt.logged(entry, proof, None).expect("a receipt"));
    if identity { with_identity(world) } else { world }
}

fn with_identity(mut world: World) -> World {
    let proof = world.receipt["proof"].clone();
    world.receipt["identity"] = json!([{"leaf": base64(b"an event"), "proof": proof}]);
    world
}

fn quorum_none() -> Policy {
    format!("log {}\nquorum none\n", log().verifier()).parse().expect("a policy")
}

fn not_provenance() -> World {
    let sbom = statement_of("https://cyclonedx.org/bom", json!({"score": 9.8}));
    let demands = vec![Demand::SourceUri("https://github.com/octo/app".to_owned())];
    World { demands, ..World::with(receipt_of(&sbom)) }
}

/// An event's statement has no `dsse` leaf: not a public one, and not a private one either.
#[test]
fn an_event_in_a_dsse_leaf_is_refused() {
    let kind = format!("{EVENT_PREDICATE_BASE}rotate");
    let event = statement_of(&kind, json!({}));
    let key = signer().public_key();
    for visibility in [Visibility::Public, Visibility::Private] {
        let claim = Claim::new(&envelope(&event), &event, did(), &key, ORIGIN, visibility);
        assert!(claim.is_err_and(|e| e.to_string().contains("is an event's")));
    }
    // A private leaf that somebody made all the same.
    let mut leaf: Value =
        serde_json::from_slice(&by(did(), &signer(), ORIGIN, Visibility::Private).to_bytes()).expect("JSON");
    leaf["spec"]["envelopeHash"]["value"] = json!(envelope(&event).hash().to_string());
    leaf["spec"]["payloadHash"]["value"] = json!(envelope(&event).payload_hash().to_string());
    let entry = DsseEntry::parse(leaf.to_string().as_bytes()).expect("a leaf");
    let proof = prove(&entry.to_bytes());
    let world = World::with(signed(&event).logged(entry, proof, None).expect("a receipt"));
    assert_fails_alone("event", &world.report(), Check::Leaf, Verdict::Failed, "is an event's");
}

/// What an adversary who holds a receipt cannot do: its statement in another entry.
#[test]
fn a_statement_cannot_be_claimed_by_another_signer() {
    let statement: Statement = statement();
    let thief = other_signer();
    let (did, key) = (Did::of(&thief.public_key()), thief.public_key());
    let claim = Claim::new(&envelope(&statement), &statement, did, &key, ORIGIN, Visibility::Public);
    let entry = PendingEntry::sign(claim.expect("a claim"), &thief).expect("an entry");
    assert_eq!(entry.verify_claim_signature(&key), Ok(()));
    let error = entry.check_published(&envelope(&statement), &key).expect_err("not his signature");
    assert!(error.to_string().contains("not by this key"), "{error}");
}

/// What others signed is judged by its bytes: numbers that a reader rounds are neither refused nor written anew.
#[test]
fn numbers_that_readers_round_stay_as_they_were_signed() {
    let payload = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"a","digest":{{"sha256":"{}"}}}}],"#,
        artifact()
    );
    let payload = payload
        + r#""predicateType":"urn:x","predicate":{"large":36893488147419103233,"small":0.12345678901234567890}}"#;
    let envelope = Envelope::sign(&signer(), payload.clone().into_bytes());
    let statement = Statement::parse(payload.as_bytes()).expect("a statement");
    assert_ne!(statement.to_payload(), payload.as_bytes(), "written anew they are rounded");
    let key = signer().public_key();
    let claim = Claim::new(&envelope, &statement, did(), &key, ORIGIN, Visibility::Public).expect("a claim");
    let entry = DsseEntry::new(PendingEntry::sign(claim, &signer()).expect("an entry"), logged_at());
    let proof = prove(&entry.to_bytes());
    let receipt = Receipt::signed(did(), key, envelope).expect("a receipt").logged(entry, proof, None);
    let read = Receipt::parse(receipt.expect("a receipt").to_json().as_bytes()).expect("a receipt");
    assert_eq!(read.envelope().unverified_payload(), payload.as_bytes());
    let (policy, signers) = (policy(), Signers::OneOf(vec![did()]));
    let report = read.verify(&VerifyPolicy::new(&policy, signers), &artifact(), None);
    assert_eq!(report.verdict(), Verdict::Verified, "{:?}", report.fault());
}
