//! `verify` around its checks: what is missing, several artifacts, where receipts and policies are looked for.

use serde_json::{Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::proof::TlogProof;
use tlog::{UnixTime, cosignature};

use crate::world::{Forge, ORIGIN, World, did, log_key, policy, witness_key};

#[cfg(unix)]
#[test]
fn a_device_is_no_artifact() {
    let ran = World::with_receipt().run(&["verify", "/dev/null", "--any-signer"]);
    ran.expect(2, &["could not check  /dev/null  `/dev/null` is not a regular file"]);
}

#[test]
fn the_manual() {
    let world = World::with_receipt();
    world.file("other", b"hello artifact");
    world.transcript(
        "
$ aip verify app --policy policy --signer $DID
? 0
ok  app  did:aip:5647…  20[..]-[..]-[..]  1 of 1 witness
policy: policy (--policy)
identity: not registered, as far as the receipt tells: no gate takes it

$ aip verify app --policy policy --signer $DID -v
? 0
ok  app  did:aip:5647…  20[..]-[..]-[..]  1 of 1 witness
  ok              format               application/vnd.aip.receipt.v1+json
  ok              artifact-digest      app
  ok              signature            did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd
  ok              leaf                 claimed for log.example.com/pipelines
  ok              log-signature        log.example.com/pipelines of size 2
  ok              witness-quorum       w [..]T[..]Z
  ok              inclusion            index 0
  ok              signer               $DID
  ok              signer-state         no identity events, genesis key assumed; state as of size 2, [..]Z
  signed by $DID, logged [..] in log.example.com/pipelines at index 0; state as of size 2, [..]
  provenance: self-asserted, worth as much as its signer
  policy: policy (--policy)
  identity: not registered, as far as the receipt tells: no gate takes it

$ aip-attest verify other --receipt app.receipt.json --policy policy --signer $DID
? 1
FAILED  other  artifact-digest: no subject of the statement has the sha256 d1cc3064[..]
  ok              format               application/vnd.aip.receipt.v1+json
  FAILED          artifact-digest      no subject of the statement has the sha256 d1cc3064[..]
  not checked     signature
  not checked     leaf
  not checked     log-signature
  not checked     witness-quorum
  not checked     inclusion
  not checked     signer
  not checked     signer-state
  policy: policy (--policy)

$ aip-attest verify app --receipt nowhere.receipt.json --policy policy --any-signer
? 2
could not check  app  there is no receipt `nowhere.receipt.json`
! hint: `aip-attest sign` writes it, `aip-attest fetch` gets it from the log

$ aip-attest verify app --any-signer
? 2
could not check  app  there is no policy for the log `log.example.com/pipelines`
! hint: `aip-attest policy pin URL` keeps the log's policy, once you have compared its fingerprint
! hint: in CI, where no pin is kept: commit the policy, `aip-attest policy show ORIGIN > .aip/policy` where it is pinned, or give the action `log-url` and `policy-sha256`, which `aip-attest policy check` prints
! hint: or name a file with --policy or AIP_POLICY

$ aip-attest verify nowhere --any-signer
? 2
could not check  nowhere  there is no file `nowhere`
! hint: a folder, a glob such as 'dist/*', or several names work too
",
    );
}

/// Of many the verdict about all comes first, then what is false, then what could not be checked; what holds for
/// all is said once, and so is each hint.
#[test]
fn of_many_artifacts_the_verdict_comes_first() {
    let world = World::with_receipt();
    let write = |name: &str, content: &[u8], receipt: &Forge| {
        world.file(name, content);
        world.file(&format!("{name}.receipt.json"), receipt.receipt().as_bytes());
    };
    write("d/app", b"hello artifact\n", &Forge::of("app", b"hello artifact\n"));
    write("d/library.so", b"lib", &Forge::of("library.so", b"lib"));
    world.transcript(
        "
$ aip verify d --policy policy --signer $DID
? 0
verified: 2 artifacts
ok  d/app         did:aip:5647…  20[..]  1 of 1 witness
ok  d/library.so  did:aip:5647…  20[..]  1 of 1 witness
policy: policy (--policy)
identity: not registered, as far as the receipt tells: no gate takes it
not judged: 2 files passed over, as receipts of the others (`d/app.receipt.json`, …)
",
    );
    world.file("d/lost", b"lost");
    world.file("d/none", b"none");
    world.transcript(
        "
$ aip verify d/app d/lost d/none --policy policy --any-signer
? 2
could not check: 2 of 3 artifacts; 1 verified
could not check  d/lost  there is no receipt `d/lost.receipt.json`
could not check  d/none  there is no receipt `d/none.receipt.json`
ok               d/app   $DID  20[..]  1 of 1 witness
policy: policy (--policy)
identity: not registered, as far as the receipt tells: no gate takes it
! hint: `aip sign` writes it, `aip fetch` gets it from the log; --receipts DIR names the folder where it is
! hint: or name the receipt: --receipt FILE
",
    );
    // What one of them is, and the others are not, is said with its name.
    let bom = Forge::saying("bom", b"bom", "https://cyclonedx.org/bom", serde_json::Map::new());
    write("d/bom", b"bom", &bom);
    let changed = Forge { did: OTHER_DID.parse().expect("a DID"), ..Forge::of("d/changed", b"changed") };
    write("d/changed", b"changed", &changed);
    world.transcript(
        "
$ aip verify d/app d/lost d/bom d/changed --policy policy --any-signer
? 1
FAILED: 1 of 4 artifacts; 1 could not be checked, 2 verified
FAILED           d/changed  signer: [..]
  ok              format               application/vnd.aip.receipt.v1+json
  ok              artifact-digest      d/changed
  ok              signature            did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd
  ok              leaf                 claimed for log.example.com/pipelines
  ok              log-signature        log.example.com/pipelines of size 2
  ok              witness-quorum       w [..]T[..]Z
  ok              inclusion            index 0
  FAILED          signer               [..]
  not checked     signer-state
  policy: policy (--policy)
could not check  d/lost     there is no receipt `d/lost.receipt.json`
ok               d/app      $DID  20[..]  1 of 1 witness
ok               d/bom      $DID  20[..]  1 of 1 witness
policy: policy (--policy)
identity: not registered, as far as the receipt tells: no gate takes it
statement: `https://cyclonedx.org/bom`, no provenance: read what it says, or ask with --predicate-type (d/bom)
! hint: `aip sign` writes it, `aip fetch` gets it from the log; --receipts DIR names the folder where it is
! hint: or name the receipt: --receipt FILE
",
    );
}

/// Where anybody may sign, the beginning of a DID would name nobody: it is cheap to make another with the same.
#[test]
fn a_did_is_whole_unless_exactly_one_was_asked_for() {
    let world = World::with_receipt();
    let verify = |signers: &[&str]| {
        let ran = world.run(&[&["verify", "app", "--policy", "policy"], signers].concat());
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.stdout.contains(&did().to_string())
    };
    let wanted = did().to_string();
    assert!(!verify(&["--signer", &wanted]));
    assert!(verify(&["--any-signer"]));
    assert!(verify(&["--signer", &wanted, "--signer", OTHER_DID]));
}

#[test]
fn what_cannot_be_checked_is_exit_2() {
    let world = World::with_receipt();
    world.file("bad-policy", b"quorum nobody\n");
    let missing = ["verify", "app", "--signer", "did:aip:0", "--policy", "policy"];
    for (arguments, want) in [
        (&["verify", "app", "--policy", "policy"][..], "--signer"),
        (&["verify", "--any-signer"], "<ARTIFACT>"),
        (&missing, "32 lower-case hex digits"),
        (&["verify", "app", "--any-signer", "--policy", "nowhere"], "cannot use the policy `nowhere`"),
        (
            &["verify", "app", "--any-signer", "--policy", "bad-policy"],
            "policy line 1: `nobody` is not defined",
        ),
        (
            &["verify", "app", "--any-signer", "--policy", "policy", "--receipts", "r"],
            "there is no receipt `r/app.receipt.json`",
        ),
        (&["verify", "app", "--any-signer", "--signer", &did().to_string()], "cannot be used with"),
        (&["verify", "app", "--any-signer", "--max-age", "soon"], "a duration looks like"),
        (&["verify", "sha256:00", "--any-signer"], "there is no file"),
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:#?}");
        assert!(ran.stdout.contains(want) || ran.stderr.contains(want), "{arguments:?}: {ran:#?}");
    }
    // A folder in the place of a receipt is nothing that can be read.
    std::fs::remove_file(world.path("app.receipt.json")).expect("removed");
    std::fs::create_dir(world.path("app.receipt.json")).expect("made");
    world
        .run(&["verify", "app", "--any-signer", "--policy", "policy"])
        .expect(2, &["cannot read the receipt"]);
}

#[cfg(unix)]
#[test]
fn an_unreadable_artifact_is_exit_2_and_the_others_are_judged() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with_receipt();
    let path = world.file("locked", b"x");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("locked");
    if std::fs::read(&path).is_ok() {
        println!("not run: this user reads everything");
        return;
    }
    let ran = world.run(&["verify", "app", "locked", "--any-signer", "--policy", "policy"]);
    ran.expect(2, &["ok  ", "cannot read `locked`"]);
}

#[test]
fn of_several_one_false_is_1_and_one_unchecked_is_2() {
    let world = World::with_receipt();
    world.file("lost", b"no receipt");
    world.file("changed", b"changed");
    world.file("changed.receipt.json", Forge::of("changed", b"original").receipt().as_bytes());
    let verify = |artifacts: &[&str]| {
        let arguments = [&["verify", "--any-signer", "--policy", "policy"], artifacts].concat();
        world.run(&arguments).code
    };
    assert_eq!(verify(&["app"]), 0);
    assert_eq!(verify(&["app", "lost"]), 2);
    assert_eq!(verify(&["lost", "changed", "app"]), 1);
    assert_eq!(verify(&["nowhere", "app"]), 2);
    assert_eq!(verify(&["nowhere", "changed", "none/*"]), 1);
    assert_eq!(verify(&["app", "changed"]), 1);
    // A glob takes artifacts only; `policy` has no receipt either.
    assert_eq!(verify(&["ap*"]), 0);
    assert_eq!(verify(&["."]), 1);
}

/// A number that a reader would round is shown as it was signed, so that who reads it may decide.
#[test]
fn json_shows_numbers_as_they_were_signed() {
    let world = World::with_receipt();
    let payload = |payload: String| {
        payload.replace(
            "\"predicate\":{",
            "\"predicate\" :\t{\"large\": 36893488147419103233,\r\n\"small\":0.12345678901234567890,",
        )
    };
    let forge = Forge { payload, ..Forge::of("app", b"hello artifact\n") };
    world.file("app.receipt.json", forge.receipt().as_bytes());
    let ran = world.run(&["verify", "app", "--any-signer", "--policy", "policy", "--json"]);
    ran.expect(0, &["{\"large\":36893488147419103233,\"small\":0.12345678901234567890,"]);
    assert_eq!(ran.json()["results"][0]["verified"]["statement"]["subject"][0]["name"], "app");
}

/// What cannot be read under a folder or a glob hides nothing that is false: the answer is 1.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_under_a_glob_hides_no_false_one() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let changed = |world: &World| {
        world.file("dist/changed", b"changed");
        world.file("dist/changed.receipt.json", Forge::of("changed", b"original").receipt().as_bytes());
    };
    let verify = |world: &World, what: &str| {
        world.run(&["verify", what, "--any-signer", "--policy", "policy", "--json"])
    };
    type Break = fn(&World);
    let breaks: [(Break, &str, &str); 4] = [
        (|world| symlink("nowhere", world.path("dist/bad")).expect("a link"), "leads nowhere", "dist/*"),
        (
            |world| {
                let made = std::process::Command::new("mkfifo").arg(world.path("dist/bad")).status();
                assert!(made.expect("mkfifo runs").success());
            },
            "not a regular file",
            "dist/*",
        ),
        (|world| symlink("bad", world.path("dist/bad")).expect("a link"), "leads nowhere", "dist"),
        (
            |world| {
                let path = world.path("dist/bad");
                std::fs::create_dir(&path).expect("made");
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("locked");
                if std::fs::read_dir(&path).is_ok() {
                    // This user reads everything: something else that cannot be.
                    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("opened");
                    symlink("nowhere", path.join("x")).expect("a link");
                }
            },
            "dist/bad",
            "dist",
        ),
    ];
    for (at, (break_it, why, argument)) in breaks.into_iter().enumerate() {
        let world = World::with_receipt();
        world.file("dist/app", b"hello artifact\n");
        world.file("dist/app.receipt.json", world.read("app.receipt.json").as_bytes());
        break_it(&world);
        let alone = verify(&world, argument);
        alone.expect(2, &[why, "\"verdict\": \"verified\""]);
        changed(&world);
        let ran = verify(&world, argument);
        ran.expect(1, &[why]);
        let verdicts: Vec<Value> = ran.json()["results"]
            .as_array()
            .expect("an array")
            .iter()
            .map(|one| one["verdict"].clone())
            .collect();
        // The last is the receipt of the changed one: it names no bytes that are here.
        let want = ["verified", "could-not-check", "failed", "could-not-check"];
        assert_eq!(verdicts, want, "{at}: {ran:#?}");
        // Nobody signs half of what was named.
        let names = world.files();
        world.run(&["sign", argument, "--no-log"]).expect(2, &[why]);
        assert_eq!(world.files(), names);
    }
}

#[test]
fn json_carries_the_verified_statement_and_only_a_verified_one() {
    let world = World::with_receipt();
    let ran = world.run(&["verify", "app", "--any-signer", "--policy", "policy", "--json"]);
    let json = ran.json();
    assert_eq!(
        (json["schema"].as_str(), json["verdict"].as_str()),
        (Some("aip.verify.v1"), Some("verified"))
    );
    let verified = &json["results"][0]["verified"];
    assert_eq!(verified["did"], did().to_string());
    assert_eq!(verified["statement"]["subject"][0]["name"], "app");
    assert_eq!(verified["cosigned"][0]["witness"], "w");
    assert_eq!((verified["index"].as_u64(), verified["treeSize"].as_u64()), (Some(0), Some(2)));
    world.file("app", b"changed");
    let json = world.run(&["verify", "app", "--any-signer", "--policy", "policy", "--json"]).json();
    assert_eq!((&json["verdict"], &json["results"][0]["verified"]), (&json!("failed"), &json!(null)));
    std::fs::remove_file(world.path("app.receipt.json")).expect("removed");
    let json = world.run(&["verify", "app", "--any-signer", "--policy", "policy", "--json"]).json();
    assert_eq!(json["verdict"], "could-not-check");
    assert!(json["results"][0]["error"]["message"].as_str().expect("text").contains("there is no receipt"));
}

#[test]
fn receipts_are_found_where_they_were_written() {
    let world = World::with_key();
    world.file("policy", policy().as_bytes());
    world.file("dist/lib/a b.so", b"a b");
    world.file("receipts/dist/lib/a b.so.receipt.json", Forge::of("lib/a b.so", b"a b").receipt().as_bytes());
    let absolute = world.path("dist/lib/a b.so");
    for artifact in
        ["dist/lib/a b.so", "./dist/lib/a b.so", "dist", "dist/**", absolute.to_str().expect("UTF-8")]
    {
        let ran =
            world.run(&["verify", artifact, "--receipts", "receipts", "--policy", "policy", "--any-signer"]);
        ran.expect(0, &["ok  "]);
    }
    // Another kind of statement has a name of its own.
    let sbom = Forge::saying("app", b"app", "https://cyclonedx.org/bom", serde_json::Map::new()).receipt();
    world.file("app", b"app");
    world.file("app.cyclonedx.receipt.json", sbom.as_bytes());
    let verify = ["verify", "app", "--policy", "policy", "--any-signer"];
    world.run(&verify).expect(2, &["there is no receipt `app.receipt.json`"]);
    world.run(&[&verify[..], &["--predicate-type", "cyclonedx"]].concat()).expect(0, &["ok  "]);
    // A digest stands for an artifact that is elsewhere.
    let digest = format!("sha256:{}", tlog::Hash::of(b"app"));
    let ran = world.run(&[
        "verify",
        &digest,
        "--receipt",
        "app.cyclonedx.receipt.json",
        "--policy",
        "policy",
        "--any-signer",
    ]);
    ran.expect(0, &["ok  "]);
}

#[test]
fn policies_are_looked_for_in_their_order() {
    let world = World::with_receipt();
    let verify = ["verify", "app", "--any-signer"];
    let without_witness = format!("log {}\nquorum none\n", log_key().verifier());
    let pin = |policy: &str| {
        json!({
            "version": 1, "url": "https://log.example.com", "vkey": log_key().verifier().to_string(),
            "policy": policy, "size": 0, "root": tlog::merkle::empty_root().to_base64(),
        })
    };
    let pin_file = format!(".aip/pins/{}.json", log_key().verifier().full_id());
    world.file(&pin_file, pin(&policy()).to_string().as_bytes());
    world.run(&verify).expect(0, &[&format!("policy: pinned for {ORIGIN}")]);
    // The working tree comes before the pin; what asks for less than the pin is said aloud.
    world.file(".aip/policy", without_witness.as_bytes());
    world.run(&verify).expect(
        0,
        &["policy: .aip/policy (working tree)", "warning: the policy .aip/policy", "by no fewer than 1"],
    );
    let world = world.env("AIP_POLICY", "policy");
    world.run(&verify).expect(0, &["policy: policy (AIP_POLICY)"]);
    world.file("flag", policy().as_bytes());
    world.run(&[&verify[..], &["--policy", "flag"]].concat()).expect(0, &["policy: flag (--policy)"]);
}

#[test]
fn folders_above_count_inside_of_a_repository_only() {
    let world = World::with_receipt();
    world.file("sub/deep/app", b"hello artifact\n");
    world.file("sub/deep/app.receipt.json", world.read("app.receipt.json").as_bytes());
    world.file(".aip/policy", policy().as_bytes());
    let verify = || {
        let mut command = world.command(crate::world::PROGRAM);
        command.current_dir(world.path("sub/deep")).args(["verify", "app", "--any-signer"]);
        command.output().expect("the program runs").status.code()
    };
    assert_eq!(verify(), Some(2), "there is no repository");
    std::fs::create_dir(world.path(".git")).expect("made");
    assert_eq!(verify(), Some(0));
    // A repository inside ends the search.
    std::fs::create_dir(world.path("sub/.git")).expect("made");
    assert_eq!(verify(), Some(2));
}

#[test]
fn a_checkout_cannot_contradict_a_pinned_key() {
    let world = World::with_receipt();
    let forged = tlog::key::SignerKey::from_seed(
        tlog::key::KeyName::new(ORIGIN).expect("a name"),
        tlog::key::KeyType::Ed25519,
        &[7; 32],
    );
    let pin = json!({
        "version": 1, "url": "https://log.example.com", "vkey": log_key().verifier().to_string(),
        "policy": policy(), "size": 0, "root": tlog::merkle::empty_root().to_base64(),
    });
    world.file(&format!(".aip/pins/{}.json", log_key().verifier().full_id()), pin.to_string().as_bytes());
    world.file(
        "app.receipt.json",
        Forge { log: forged, ..Forge::of("app", b"hello artifact\n") }.receipt().as_bytes(),
    );
    let forged = tlog::key::SignerKey::from_seed(
        tlog::key::KeyName::new(ORIGIN).expect("a name"),
        tlog::key::KeyType::Ed25519,
        &[7; 32],
    );
    world.file(".aip/policy", format!("log {}\nquorum none\n", forged.verifier()).as_bytes());
    world.run(&["verify", "app", "--any-signer"]).expect(2, &["contradicts a pin", "--replace"]);
}

#[test]
fn a_closed_pipe_changes_no_exit_code() {
    let world = World::with_receipt();
    for (artifact, want) in [("app", 0), ("policy", 2)] {
        let mut child = world
            .command(crate::world::PROGRAM)
            .args(["verify", artifact, "--any-signer", "--policy", "policy"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program runs");
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(want), "{artifact}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_verdict_that_could_not_be_written_is_no_verdict() {
    let world = World::with_receipt();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
    let output = world
        .command(crate::world::PROGRAM)
        .args(["verify", "app", "--any-signer", "--policy", "policy"])
        .stdout(full)
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to stdout"));
}

/// A quorum over groups, met by witnesses of both algorithms, one of them with two keys.
#[test]
fn the_witnesses_that_counted_are_shown_with_their_times() {
    let world = World::with_receipt();
    let key = |name: &str, kind, seed: u8| {
        SignerKey::from_seed(KeyName::new(name).expect("a name"), kind, &[seed; 32])
    };
    let (a_ed, a_mldsa) = (witness_key(), key("witness.example.com", KeyType::MlDsa44Cosignature, 0x23));
    let b = key("b.example.com", KeyType::MlDsa44Cosignature, 0x24);
    let c = key("c.example.com", KeyType::Ed25519Cosignature, 0x25);
    let policy = format!(
        "log {}\nwitness a-ed {}\nwitness a-mldsa {}\nwitness b {}\nwitness c {}\n\
         group a any a-ed a-mldsa\ngroup q 2 a b c\nquorum q\n",
        log_key().verifier(),
        a_ed.verifier(),
        a_mldsa.verifier(),
        b.verifier(),
        c.verifier()
    );
    world.file("policy", policy.as_bytes());
    let receipt = |witnesses: &[&SignerKey]| {
        let forge = Forge { witness: None, ..Forge::of("app", b"hello artifact\n") };
        let mut receipt: Value = serde_json::from_str(&forge.receipt()).expect("JSON");
        let mut proof = TlogProof::parse(receipt["proof"].as_str().expect("text")).expect("a proof");
        let checkpoint = Checkpoint::parse(proof.checkpoint.text()).expect("a checkpoint");
        for (witness, second) in witnesses.iter().zip(1_790_000_001..) {
            let line = cosignature::cosign(witness, &checkpoint, UnixTime::from_secs(second));
            proof.checkpoint.add(line.expect("a cosignature"));
        }
        receipt["proof"] = json!(proof.to_string());
        world.file("app.receipt.json", receipt.to_string().as_bytes());
    };
    receipt(&[&b, &a_mldsa]);
    world.run(&["verify", "app", "--policy", "policy", "--any-signer", "-v"]).expect(
        0,
        &[
            "  ok              witness-quorum       a-mldsa 2026-09-21T14:13:22Z, b 2026-09-21T14:13:21Z\n",
            "state as of size 2, 2026-09-21T14:13:22Z",
        ],
    );
    // Who counted is told though a later check fails.
    let json = world.run(&["verify", "app", "--policy", "policy", "--signer", OTHER_DID, "--json"]).json();
    let result = &json["results"][0];
    assert_eq!(result["cosigned"][0], json!({"witness": "a-mldsa", "time": "2026-09-21T14:13:22Z"}));
    assert_eq!((result["verified"].clone(), result["verdict"].as_str()), (Value::Null, Some("failed")));
    // Two keys of one witness are one witness.
    receipt(&[&a_ed, &a_mldsa]);
    world
        .run(&["verify", "app", "--policy", "policy", "--any-signer"])
        .expect(1, &["witness-quorum: the quorum `q` is not met: cosigned by a-ed, a-mldsa"]);
}

const OTHER_DID: &str = "did:aip:00000000000000000000000000000000";
