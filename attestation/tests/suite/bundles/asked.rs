//! What a verifier asks for: witnesses, a DID, ages, pins; and which trusted roots it reads.

use attestation::Did;
use attestation::bundle::{Signer, Verified, VerifyPolicy, Witnesses, verify};
use attestation::receipt::{Check, Demand, Pin, Verdict};
use attestation::sigstore::TrustedRoot;
use serde_json::{Value, json};
use tlog::encoding::base64;
use tlog::policy::Policy;
use tlog::{Hash, TreeSize};

use super::maker::{Key, Maker, ed25519, root, vkey};
use super::{assert_refused, judged, proof, remove};
use crate::fixture::{self, artifact, witness};

fn policy() -> Policy {
    format!("witness w {}\nquorum w\n", witness().verifier()).parse().expect("a policy")
}

#[test]
fn a_policy_names_the_witnesses() {
    let judge = |maker: &Maker, witnesses| {
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root(), Signer::Key(maker.public()), witnesses, None, Vec::new())
    };
    let (v2, policy) = (Maker::of_rekor_2(), policy());
    let report = judge(&v2, Witnesses::Of(&policy));
    assert_eq!(report.fault(), None);
    assert_eq!(report.cosigned().len(), 1);
    let unsaid = judge(&v2, Witnesses::Unsaid);
    assert_refused(
        "unsaid",
        &unsaid,
        Check::WitnessQuorum,
        Verdict::CouldNotCheck,
        "no policy names witnesses",
    );
    let alone = Maker { cosigned_at: None, ..v2.clone() };
    let report = judge(&alone, Witnesses::Of(&policy));
    assert_refused("alone", &report, Check::WitnessQuorum, Verdict::Failed, "quorum");
    let v1 = Maker::of_rekor_1();
    let report = judge(&v1, Witnesses::Of(&policy));
    assert_refused("Rekor v1", &report, Check::WitnessQuorum, Verdict::Failed, "no room for cosignatures");
    // A forged line of a witness that counts fails, as in a receipt.
    let mut forged = v2.bundle();
    let note = &mut proof(&mut forged)["checkpoint"]["envelope"];
    let line = format!(
        "— witness.example.com {}",
        base64(&[witness().verifier().id().as_bytes().as_slice(), &[0; 72]].concat())
    );
    let text = note.as_str().expect("a note").split("— witness").next().expect("a text").to_owned();
    *note = json!(format!("{text}{line}\n"));
    let report = judged(
        forged.to_string().as_bytes(),
        &root(),
        Signer::Key(v2.public()),
        Witnesses::Of(&policy),
        None,
        vec![],
    );
    assert_refused("forged", &report, Check::WitnessQuorum, Verdict::Failed, "witness.example.com");
}

/// cosign does not look at when a log's key ends; here it does not count after that.
#[test]
fn a_key_of_a_log_counts_until_its_end() {
    let (v1, v2, policy) = (Maker::of_rekor_1(), Maker::of_rekor_2(), policy());
    let seen = fixture::COSIGNED_AT;
    let judge = |maker: &Maker, start: &str, end: Option<&str>, witnesses, now| {
        let mut root = root();
        for log in root["tlogs"].as_array_mut().expect("logs") {
            log["publicKey"]["validFor"] = match end {
                Some(end) => json!({"start": start, "end": end}),
                None => json!({"start": start}),
            };
        }
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root, Signer::Key(maker.public()), witnesses, now, Vec::new())
    };
    // COSIGNED_AT is 2026-09-21T14:13:21Z.
    let (long_ago, before, just, after) =
        ("2020-01-01T00:00:00Z", "2026-09-21T14:13:20Z", "2026-09-21T14:13:21Z", "2026-09-22T00:00:00Z");
    let passes = [
        // Nobody asks for a clock where there is no end.
        judge(&v1, "2030-01-01T00:00:00Z", None, Witnesses::None, None),
        judge(&v1, long_ago, Some(after), Witnesses::None, Some(seen)),
        judge(&v1, long_ago, Some(just), Witnesses::None, Some(seen)),
        // The witness saw it before the end, so it is as good as it was.
        judge(&v2, long_ago, Some(after), Witnesses::Of(&policy), None),
        judge(&v2, long_ago, Some(just), Witnesses::Of(&policy), Some(seen + 1_000_000_000)),
    ];
    for (at, report) in passes.iter().enumerate() {
        assert_eq!(report.fault(), None, "{at}");
    }
    for (name, report, reason) in [
        (
            "ended",
            judge(&v1, long_ago, Some(before), Witnesses::None, Some(seen)),
            "ends the log's key at 2026-09-21T14:13:20Z",
        ),
        (
            "seen after the end",
            judge(&v2, long_ago, Some(before), Witnesses::Of(&policy), Some(seen)),
            "ends the log's key",
        ),
        (
            "cosigned by nobody that counts",
            judge(&v2, long_ago, Some(before), Witnesses::None, Some(seen)),
            "ends the log's key",
        ),
        (
            "not yet",
            judge(&v1, after, Some("2030-01-01T00:00:00Z"), Witnesses::None, Some(seen)),
            "count from",
        ),
        ("seen before the start", judge(&v2, after, None, Witnesses::Of(&policy), None), "count from"),
    ] {
        assert_refused(name, &report, Check::LogSignature, Verdict::Failed, reason);
    }
    let no_clock = judge(&v1, long_ago, Some(after), Witnesses::None, None);
    assert_refused("no clock", &no_clock, Check::LogSignature, Verdict::CouldNotCheck, "present time");
    // A quorum of nobody attests nothing.
    let none: Policy = "quorum none\n".parse().expect("a policy");
    let report = judge(&v2, long_ago, Some(before), Witnesses::Of(&none), Some(seen));
    assert_refused("quorum none", &report, Check::LogSignature, Verdict::Failed, "ends the log's key");
}

#[test]
fn a_did_is_its_first_key() {
    let judge = |maker: &Maker, did| {
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root(), Signer::Did(did), Witnesses::None, None, Vec::new())
    };
    let did = Did::of(&ed25519().public_key());
    let report = judge(&Maker::of_rekor_1(), did);
    assert_eq!(report.fault(), None);
    assert_eq!(report.verified().and_then(Verified::did), Some(did));
    for (name, maker) in
        [("another DID", Maker::of_rekor_1()), ("a key that is no DID's", Maker::of_rekor_2())]
    {
        let report = judge(&maker, fixture::did());
        assert_refused(name, &report, Check::Signer, Verdict::CouldNotCheck, "not the first one");
    }
}

#[test]
fn demands_ask_the_same_as_of_receipts() {
    let ask = |maker: &Maker, demand| {
        let bundle = maker.bundle().to_string();
        let policy = policy();
        let witnesses = Witnesses::Of(&policy);
        let now = Some(fixture::COSIGNED_AT + 10);
        judged(bundle.as_bytes(), &root(), Signer::Key(maker.public()), witnesses, now, vec![demand])
    };
    let (envelope, message) = (Maker::of_rekor_2(), Maker { payload: None, ..Maker::of_rekor_2() });
    let seconds = std::time::Duration::from_secs;
    for demand in [
        Demand::SourceUri("https://github.com/octo/app".into()),
        Demand::SourceRef("refs/heads/main".into()),
        Demand::BuilderId("https://example.com/builder".into()),
        Demand::PredicateType("https://slsa.dev/provenance/v1".into()),
        Demand::SubjectName("artifact.bin".into()),
        Demand::CheckpointFreshness(seconds(10)),
        Demand::MinCheckpoint { log: vkey(), size: TreeSize::new(2) },
    ] {
        let report = ask(&envelope, demand.clone());
        assert_eq!(report.fault(), None, "{demand:?}");
        assert_eq!(report.checks().len(), 9);
    }
    for (demand, reason) in [
        (Demand::SourceRef("refs/heads/side".into()), "is wanted"),
        (Demand::PredicateType("https://cyclonedx.org/bom".into()), "is wanted"),
        (Demand::SubjectName("other.bin".into()), "is wanted"),
        (Demand::CheckpointFreshness(seconds(9)), "10 s old"),
        (Demand::MinCheckpoint { log: vkey(), size: TreeSize::new(3) }, "less than 3"),
    ] {
        let report = ask(&envelope, demand.clone());
        assert_refused(&format!("{demand:?}"), &report, demand.check(), Verdict::Failed, reason);
    }
    // A message says nothing, and no foreign entry has a time by its log.
    for demand in [
        Demand::PredicateType("https://slsa.dev/provenance/v1".into()),
        Demand::SubjectName("artifact.bin".into()),
        Demand::SourceUri("https://github.com/octo/app".into()),
    ] {
        let report = ask(&message, demand.clone());
        assert_refused("a message", &report, demand.check(), Verdict::Failed, "says nothing");
    }
    let age = Demand::MaxAge(seconds(1_000_000));
    assert_refused("age", &ask(&envelope, age), Check::MaxAge, Verdict::CouldNotCheck, "no time");
}

#[test]
fn another_root_than_the_pinned_one_is_a_fork() {
    let maker = Maker::of_rekor_2();
    let judge = |root_hash| {
        let root = TrustedRoot::parse(root().to_string().as_bytes()).expect("a trusted root");
        let pins = vec![Pin { log: vkey(), size: TreeSize::new(2), root: root_hash }];
        let (signer, witnesses) = (Signer::Key(maker.public()), Witnesses::None);
        let policy = VerifyPolicy { root: &root, signer, witnesses, pins, demands: Vec::new() };
        verify(maker.bundle().to_string().as_bytes(), &policy, &artifact(), None)
    };
    let report = judge(Hash::of(b"another"));
    assert_refused("a fork", &report, Check::LogSignature, Verdict::Failed, "forked");
    let root = proof(&mut maker.bundle())["rootHash"].as_str().and_then(Hash::from_base64).expect("a root");
    assert_eq!(judge(root).fault(), None);
}

#[test]
fn trusted_roots_are_read_strictly() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 15] = [
        ("another media type", |r| r["mediaType"] = json!("x"), "mediaType"),
        ("a further member", |r| r["x"] = json!(1), "unknown member"),
        ("a further member of a log", |r| r["tlogs"][0]["x"] = json!(1), "unknown member"),
        ("no start", |r| r["tlogs"][0]["publicKey"]["validFor"] = json!({}), "start"),
        ("no period", |r| remove(&mut r["tlogs"][0]["publicKey"], "validFor"), "validFor"),
        (
            "an end that is no time",
            |r| r["tlogs"][0]["publicKey"]["validFor"]["end"] = json!("soon"),
            "\"soon\"",
        ),
        ("an end that is null", |r| r["tlogs"][0]["publicKey"]["validFor"]["end"] = json!(null), "end"),
        ("no URL", |r| r["tlogs"][0]["baseUrl"] = json!("log.example.com"), "no host"),
        ("another hash", |r| r["tlogs"][0]["hashAlgorithm"] = json!("SHA2_512"), "SHA2_512"),
        (
            "another key than the details say",
            |r| r["tlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256"),
            "keyDetails",
        ),
        ("a key that is none", |r| r["tlogs"][0]["publicKey"]["rawBytes"] = json!("AAAA"), "keyDetails"),
        ("no base64", |r| r["tlogs"][0]["publicKey"]["rawBytes"] = json!("A"), "base64"),
        (
            "one id twice",
            |r| {
                let log = r["tlogs"][0].clone();
                r["tlogs"].as_array_mut().expect("logs").push(log);
            },
            "`tlogs[2]` has the id",
        ),
        ("no list", |r| r["tlogs"] = json!({}), "tlogs"),
        ("no list of authorities", |r| r["ctlogs"] = json!({}), "ctlogs"),
    ];
    for (name, change, reason) in changes {
        let mut root = root();
        change(&mut root);
        let error = TrustedRoot::parse(root.to_string().as_bytes()).expect_err(name).to_string();
        assert!(error.contains(reason), "{name}: {error}");
    }
    // A log that others can use does not keep anybody from using the rest; its own entries cannot be checked.
    let mut root = root();
    root["tlogs"][0]["publicKey"]["keyDetails"] = json!("PKIX_RSA_PKCS1V15_4096_SHA256");
    root["tlogs"][0]["operator"] = json!("somebody");
    root["tlogs"][0]["checkpointKeyId"] = json!({"keyId": "AAAA"});
    let judge = |maker: Maker| {
        let bundle = maker.bundle().to_string();
        judged(bundle.as_bytes(), &root, Signer::Key(maker.public()), Witnesses::None, None, Vec::new())
    };
    assert_eq!(judge(Maker { log: Key::P256, ..Maker::of_rekor_1() }).fault(), None);
    let report = judge(Maker::of_rekor_1());
    assert_refused(
        "RSA",
        &report,
        Check::LogSignature,
        Verdict::CouldNotCheck,
        "PKIX_RSA_PKCS1V15_4096_SHA256",
    );
    let twice = root.to_string().replacen("{", r#"{"mediaType":"x","#, 1);
    assert!(TrustedRoot::parse(twice.as_bytes()).is_err());
    let deep = format!("{}{}", r#"{"tlogs":"#, "[".repeat(100_000));
    assert!(TrustedRoot::parse(deep.as_bytes()).is_err());
}
