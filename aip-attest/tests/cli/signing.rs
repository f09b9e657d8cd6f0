//! `sign` and `submit` without a log: statements, receipts, and what happens to files that are there.

use attestation::receipt::{Receipt, State};
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::world::PROGRAM;
use crate::world::{Forge, World, did, policy};

fn receipt(world: &World, name: &str) -> Receipt {
    Receipt::parse(world.read(name).as_bytes()).expect("a receipt")
}

fn subjects(receipt: &Receipt) -> Vec<String> {
    receipt.statement().subjects().iter().map(|subject| subject.name.clone()).collect()
}

/// On Windows it does: `artifact/pattern.rs`.
#[cfg(unix)]
#[test]
fn a_backslash_parts_no_folders() {
    let world = World::with_key();
    world.file("dist/app", b"app");
    let why = ["nothing matches `dist\\*`", "a backslash makes the next character a plain one"];
    world.run(&["sign", "dist\\*", "--no-log"]).expect(2, &why);
}

#[test]
fn the_manual() {
    let world = World::with_key();
    world.file("dist/app", b"app");
    world.file("dist/lib/a b.so", b"lib");
    world.file("sbom.json", b"{\"bomFormat\":\"CycloneDX\",\"score\":9.8}");
    world.transcript(
        "
$ aip-attest sign dist --no-log
? 0
signed   dist/app  sha256:a172cedcae47474b615c54d510a5d84a8dea3032e958587430b413538be3f333  dist/app.receipt.json
signed   dist/lib/a b.so  sha256:[..]  dist/lib/a b.so.receipt.json
! note: no CI run around: the provenance says `local`, and nothing about a source

$ aip-attest sign dist/app --no-log --predicate-type cyclonedx --predicate sbom.json
? 0
signed   dist/app  sha256:[..]  dist/app.cyclonedx.receipt.json

$ aip-attest sign 'dist/**/*.so' --no-log --receipts receipts
? 0
signed   dist/lib/a b.so  sha256:[..]  receipts/dist/lib/a b.so.[..].receipt.json
! note: no CI run around: the provenance says `local`, and nothing about a source

$ aip-attest sign dist --no-log --together --receipt all.receipt.json
? 0
signed   dist/app  sha256:[..]  all.receipt.json
signed   dist/lib/a b.so  sha256:[..]  all.receipt.json
! note: no CI run around: the provenance says `local`, and nothing about a source
! note: not signed: 3 files passed over, as receipts of the others (`dist/app.cyclonedx.receipt.json`, …)

$ aip-attest sign dist
? 2
! error: no log is named
! hint: name one with --log URL or AIP_LOG_URL, or pin one: `aip-attest policy pin URL`
! hint: in CI, where no pin is kept: commit the policy, `aip-attest policy show ORIGIN > .aip/policy` where it is pinned, or give the action `log-url` and `policy-sha256`, which `aip-attest policy check` prints
! hint: or sign without a log: --no-log

$ aip-attest sign 'dist/*.exe' --no-log
? 2
! note: no CI run around: the provenance says `local`, and nothing about a source
! error: nothing matches `dist/*.exe`
! hint: `*` stays within a folder, `**` crosses folders
$ aip-attest verify dist/app --any-signer
? 2
could not check  dist/app  leaf: not logged
  ok              format               application/vnd.aip.receipt.v1+json
  ok              artifact-digest      app
  ok              signature            did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd
  could not check leaf                 not logged
  not checked     log-signature
  not checked     witness-quorum
  not checked     inclusion
  not checked     signer
  not checked     signer-state
! hint: `aip-attest submit RECEIPT` logs it
",
    );
    assert_eq!(subjects(&receipt(&world, "dist/lib/a b.so.receipt.json")), ["lib/a b.so"]);
    assert_eq!(subjects(&receipt(&world, "all.receipt.json")), ["app", "lib/a b.so"]);
    let sbom = receipt(&world, "dist/app.cyclonedx.receipt.json");
    assert_eq!(sbom.statement().predicate_type(), "https://cyclonedx.org/bom");
    assert_eq!(sbom.statement().predicate()["score"], 9.8);
}

#[test]
fn json_has_what_the_announcement_names() {
    let world = World::with_key();
    world.file("dist/app", b"app");
    let json = world.run(&["sign", "dist/*", "--no-log", "--json"]).json();
    let Some([element]) = json.as_array().map(Vec::as_slice) else { panic!("{json}") };
    assert_eq!(element["path"], "dist/app");
    let signature = element["signature"].as_str().expect("text");
    let signed = receipt(&world, "dist/app.receipt.json");
    assert_eq!(signature, hex::encode(signed.envelope().signature()));
    assert_eq!((&element["state"], &element["receipt"]), (&json!("signed"), &json!("dist/app.receipt.json")));
}

#[test]
fn provenance_comes_from_the_ci_environment_and_nothing_else_does() {
    let world = World::with_key()
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_SERVER_URL", "https://github.com")
        .env("GITHUB_REPOSITORY", "octo/app")
        .env("GITHUB_REF", "refs/tags/v1.0.0")
        .env("GITHUB_SHA", "0123456789012345678901234567890123456789")
        .env("GITHUB_WORKFLOW_REF", "octo/app/.github/workflows/release.yml@refs/tags/v1.0.0")
        .env("GITHUB_RUN_ID", "42")
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("MY_SECRET", "hunter2");
    world.file("app", b"app");
    let ran = world.run(&["sign", "app", "--no-log"]);
    let run = "https://github.com/octo/app/actions/runs/42/attempts/1";
    ran.expect(0, &[&format!("provenance is self-asserted, from the environment of {run}")]);
    let signed = receipt(&world, "app.receipt.json");
    let predicate = Value::Object(signed.statement().predicate());
    let source = predicate.pointer("/buildDefinition/externalParameters/workflow/repository");
    assert_eq!(source, Some(&json!("https://github.com/octo/app")));
    assert_eq!(predicate.pointer("/buildDefinition/internalParameters/selfAsserted"), Some(&json!(true)));
    let text = predicate.to_string();
    assert!(!text.contains("hunter2") && !text.contains("AAECAwQF"), "{text}");
    // The same run says the same: nothing is signed twice in different words.
    let before = world.read("app.receipt.json");
    world.run(&["sign", "app", "--no-log"]).expect(0, &[]);
    assert_eq!(world.read("app.receipt.json"), before);
}

#[test]
fn what_is_elsewhere_is_signed_by_its_digest() {
    let world = World::with_key();
    let hex = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";
    world.file("out/SHA256SUMS", format!("{hex}  app\n{} *lib/b.so\n", hex.replace('5', "6")).as_bytes());
    world.run(&["sign", "--checksums", "out/SHA256SUMS", "--no-log"]).expect(0, &["out/app.receipt.json"]);
    let signed = receipt(&world, "out/app.receipt.json");
    assert_eq!(signed.statement().subjects()[0].sha256.to_string(), hex);
    assert_eq!(subjects(&receipt(&world, "out/lib/b.so.receipt.json")), ["lib/b.so"]);
    let subject = format!("ghcr.io/octo/app@sha256:{hex}");
    world.run(&["sign", "--subject", &subject, "--no-log"]).expect(0, &[]);
    assert_eq!(subjects(&receipt(&world, "ghcr.io/octo/app.receipt.json")), ["ghcr.io/octo/app"]);
    for (arguments, want) in [
        (&["--subject", "app"][..], "is not NAME@sha256:HEX"),
        (&["--subject", &format!("../x@sha256:{hex}")], "leads out of its folder"),
        (&["--checksums", "nowhere"], "cannot read the checksums"),
        (&[], "nothing to sign"),
        (&[&format!("sha256:{hex}")], "has no name for a statement"),
    ] {
        let arguments = [&["sign", "--no-log"], arguments].concat();
        world.run(&arguments).expect(2, &[want]);
    }
    assert!(!world.path("../x.receipt.json").exists());
}

/// The limits say what to do instead.
#[test]
fn who_meets_a_limit_is_told_the_way_around_it() {
    let world = World::with_key();
    for number in 0..1025 {
        world.file(&format!("d/{number:04}"), b"");
    }
    let ran = world.run(&["sign", "d", "--no-log", "--together", "--receipt", "all.json"]);
    ran.expect(2, &["1025 subjects, not 1 to 1024", "leave --together away", "2 calls of at most 1024"]);
    let long = std::fs::File::create(world.path("sbom.json")).expect("made");
    long.set_len((32 << 20) + 1).expect("as long as that");
    let sign = ["sign", "d/0000", "--no-log", "--predicate-type", "spdx", "--predicate", "sbom.json"];
    world.run(&sign).expect(2, &["longer than 33554432 bytes", "at most 32 MiB: sign the file itself"]);
}

/// A predicate took fifty times its length in memory; where memory was short the process ended with SIGABRT.
#[cfg(target_os = "linux")]
#[test]
fn a_long_predicate_takes_at_most_eight_times_its_length() {
    let world = World::with_key();
    world.file("app", b"app");
    let component = r#"{"name": "a", "version": "1.0", "hashes": [{"alg": "SHA-256", "content": "00"}]}"#;
    let components = vec![component; 100_000].join(",\n");
    let sbom = format!("{{\"bomFormat\": \"CycloneDX\",\n\"components\": [{components}]}}");
    world.file("sbom.json", sbom.as_bytes());
    // In KiB of addresses: of the program and its threads, and of the predicate.
    let program = 192 << 10;
    let eightfold = 8 * sbom.len() / 1024;
    let sign = |kibibytes: usize| {
        let line = format!(
            "ulimit -v {kibibytes}; ulimit -c 0; exec {PROGRAM} sign app --no-log --json --predicate-type cyclonedx \
             --predicate sbom.json"
        );
        world.command("sh").args(["-c", &line]).output().expect("sh runs")
    };
    for kibibytes in [program / 2, program / 2 + eightfold / 2] {
        let output = sign(kibibytes);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("not enough memory"), "{stderr}");
    }
    let output = sign(program + eightfold);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // What is signed says the same.
    let signed = receipt(&world, "app.cyclonedx.receipt.json");
    let want: Value = serde_json::from_str(&sbom).expect("JSON");
    assert_eq!(Value::Object(signed.statement().predicate()), want);
}

#[test]
fn what_cannot_be_signed_is_said_before_anything_is_written() {
    let world = World::with_key();
    world.file("app", b"app");
    world.file("list.json", b"[1]");
    world.file("twice.json", b"{\"a\":1,\"a\":2}");
    world.file("huge.json", format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100)).as_bytes());
    world.file("event.json", b"{}");
    world.file("large.json", b"{\"scan\":[{\"at\":1790000000000000001}]}");
    world.file("digits.json", b"{\"score\":9.812345678901234567}");
    let before = world.files();
    for (arguments, want) in [
        (&["app", "--predicate-type", "vsa"][..], "--predicate"),
        (&["app", "--predicate-type", "vsa", "--predicate", "list.json"], "not an object"),
        (&["app", "--predicate-type", "vsa", "--predicate", "twice.json"], "stands twice"),
        (&["app", "--predicate-type", "vsa", "--predicate", "huge.json"], "nested deeper"),
        (
            &["app", "--predicate-type", "vsa", "--predicate", "large.json"],
            "the number 1790000000000000001 at `/scan/0/at` would be rounded",
        ),
        (&["app", "--predicate-type", "vsa", "--predicate", "digits.json"], "hint: write it as a string"),
        (&["app", "--predicate-type", "vsa", "--predicate", "nowhere.json"], "cannot use the predicate"),
        (&["app", "--private"], "cannot be used with"),
        (&["app", "--receipt", "x"], "--together"),
        (&["app", "nowhere"], "there is no file `nowhere`"),
        (&["app", "--log", "http://x"], "cannot be used with"),
    ] {
        let arguments = [&["sign", "--no-log"], arguments].concat();
        let ran = world.run(&arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:#?}");
        assert!(ran.stderr.contains(want), "{arguments:?}: {ran:#?}");
        assert_eq!(world.files(), before, "{arguments:?}");
    }
}

#[test]
fn files_that_are_no_receipts_are_left_alone() {
    let world = World::with_key();
    world.file("app", b"app");
    world.file("app.receipt.json", b"my own notes");
    world
        .run(&["sign", "app", "--no-log"])
        .expect(2, &["cannot read the receipt", "what is there is left alone"]);
    assert_eq!(world.read("app.receipt.json"), "my own notes");
}

#[test]
fn a_receipt_that_came_further_is_not_put_back() {
    let world = World::with_key();
    world.file("app", b"app");
    world.run(&["sign", "app", "--no-log"]).expect(0, &[]);
    // The same envelope, pending: as an interrupted `sign --log` leaves it.
    let signed = receipt(&world, "app.receipt.json");
    let forge = Forge { statement: signed.statement().clone(), ..Forge::of("app", b"app") };
    world.file("app.receipt.json", forge.pending_receipt().as_bytes());
    world.run(&["sign", "app", "--no-log"]).expect(0, &["pending  app"]);
    assert!(matches!(receipt(&world, "app.receipt.json").state(), State::Pending(_)));
}

#[test]
fn a_log_that_is_out_of_reach_leaves_what_can_be_sent_later() {
    let world = World::with_key();
    world.file("app", b"app");
    // Without a policy the log's name is not known: signed. With one: pending.
    let sign = ["sign", "app", "--log", "http://127.0.0.1:9", "--timeout", "1s"];
    world.run(&sign).expect(2, &["signed   app", "cannot reach", "`aip-attest submit RECEIPT` logs them"]);
    world.file("policy", policy().as_bytes());
    let with_policy = [&sign[..], &["--policy", "policy", "--json"]].concat();
    let ran = world.run(&with_policy);
    ran.expect(2, &["the log gave no receipt in time", "stays pending"]);
    assert_eq!(ran.json()[0]["state"], "pending");
    let before = world.read("app.receipt.json");
    // A retry sends the same bytes.
    world.run(&with_policy).expect(2, &[]);
    assert_eq!(world.read("app.receipt.json"), before);
    // `submit` needs no key for what is pending.
    let world = world.env("AIP_DID", "").env("AIP_PRIVATE_KEY", "");
    let submit = ["submit", "app", "--log", "http://127.0.0.1:9", "--policy", "policy", "--timeout", "1s"];
    world.run(&submit).expect(2, &["the log gave no receipt in time"]);
    assert_eq!(world.read("app.receipt.json"), before);
}

#[test]
fn a_pending_receipt_that_somebody_planted_is_not_sent() {
    let world = World::with_key();
    world.file("app", b"app");
    world.file("policy", policy().as_bytes());
    let sign = ["sign", "app", "--policy", "policy", "--log", "http://127.0.0.1:9", "--timeout", "1s"];
    world.run(&sign).expect(2, &[]);
    let honest = world.read("app.receipt.json");
    // The same statement, with a claim signature that nobody made.
    let json: Value = serde_json::from_str(&honest).expect("JSON");
    let leaf = tlog::encoding::decode_base64(json["leaf"].as_str().expect("text")).expect("base64");
    let leaf = String::from_utf8(leaf).expect("JSON");
    let at = leaf.find(r#""signature":""#).expect("a claim signature") + 13;
    let planted = format!("{}AAAA{}", &leaf[..at], &leaf[at + 4..]);
    assert_ne!(planted, leaf);
    let planted =
        honest.replace(json["leaf"].as_str().expect("text"), &tlog::encoding::base64(planted.as_bytes()));
    world.file("app.receipt.json", planted.as_bytes());
    world.run(&sign).expect(2, &[]);
    assert_eq!(world.read("app.receipt.json"), honest);
}

#[test]
fn submit_claims_only_what_its_key_signed() {
    let world = World::with_key();
    world.file("policy", policy().as_bytes());
    world.file("app", b"app");
    world.run(&["sign", "app", "--no-log"]).expect(0, &[]);
    let signed = world.read("app.receipt.json");
    let submit = [
        "submit",
        "app.receipt.json",
        "--log",
        "http://127.0.0.1:9",
        "--policy",
        "policy",
        "--timeout",
        "1s",
    ];
    // Somebody else's signature over the same statement.
    let json: Value = serde_json::from_str(&signed).expect("JSON");
    let sig = json.pointer("/envelope/signatures/0/sig").and_then(Value::as_str).expect("text");
    world.file("app.receipt.json", signed.replace(&sig[..4], "AAAA").as_bytes());
    world
        .run(&submit)
        .expect(2, &["cannot claim the receipt", "the envelope's signature is not by this key"]);
    // Another identity.
    world.file("app.receipt.json", signed.as_bytes());
    let other = World::new();
    other.run(&["init"]).expect(0, &[]);
    other.file("policy", policy().as_bytes());
    other.file("app.receipt.json", signed.as_bytes());
    other.run(&submit).expect(2, &["cannot claim the receipt", &did().to_string()]);
    // Its own: pending now, on disk before it is sent.
    world.run(&submit).expect(2, &["the log gave no receipt in time"]);
    assert!(matches!(receipt(&world, "app.receipt.json").state(), State::Pending(_)));
    world.run(&["submit", "nowhere"]).expect(2, &["there is no receipt `nowhere.receipt.json`"]);
    world.run(&["submit", "*.nothing"]).expect(2, &["there is no receipt in `*.nothing`"]);
}

/// Workflows pass an empty variable where they have none.
#[test]
fn an_empty_timeout_is_none_and_a_bad_one_is_named() {
    let world = World::with_key().env("AIP_TIMEOUT", "");
    world.file("app", b"app");
    world.run(&["sign", "app", "--no-log"]).expect(0, &["signed   app"]);
    let world = World::with_key().env("AIP_TIMEOUT", "soon");
    world.file("app", b"app");
    world.run(&["sign", "app"]).expect(2, &["no log is named"]);
    let submit = ["sign", "app", "--log", "http://127.0.0.1:1"];
    world.run(&submit).expect(2, &["error: AIP_TIMEOUT is `soon`", "looks like `60s`"]);
    world.run(&[&submit[..], &["--timeout", "100ms"]].concat()).expect(2, &["signed   app", "cannot reach"]);
}
