//! `policy check` and `policy show`; `policy pin` is in `network`.

use serde_json::json;
use tlog::key::{KeyName, KeyType, SignerKey};

use crate::world::{World, log_key, policy};

#[test]
fn check_prints_what_a_policy_asks_for() {
    let world = World::new();
    world.file("policy", policy().as_bytes());
    world.file(
        "alone",
        format!("log {} https://log.example.com\nquorum none\n", log_key().verifier()).as_bytes(),
    );
    world.file("nothing", b"quorum none\n");
    world.file("broken", b"log x\n");
    world.transcript(
        "
$ aip-attest policy check policy
? 0
sha256:[..]
log      log.example.com/pipelines  Ed25519  1d6673ac
witness  w  witness.example.com  Ed25519  e5941423
quorum   w  met by no fewer than 1 cosignatures
fork     unseen with 1 dishonest witness
halt     with 1 failing witness
sha256:[..]

$ aip-attest policy check alone
? 0
sha256:[..]
log      log.example.com/pipelines  Ed25519  1d6673ac  https://log.example.com
quorum   none
fork     unseen with 0 dishonest witnesses
halt     never for want of a witness
sha256:[..]
! warning: the policy needs no witness: a log that shows people different trees is not found out

$ aip-attest policy check nothing
? 0
sha256:[..]
quorum   none
fork     unseen with 0 dishonest witnesses
halt     never for want of a witness
sha256:[..]
! warning: the policy names no log: nothing passes it
! warning: the policy needs no witness: a log that shows people different trees is not found out

$ aip-attest policy check broken
? 2
! error: cannot use the policy `broken`
!   caused by: policy line 1: [..]

$ aip-attest policy check
? 2
! error: no policy is named
! hint: name a file

$ aip-attest policy show
? 0
! note: no log is pinned
! hint: `aip-attest policy pin URL` pins one

$ aip-attest policy show log.example.com/pipelines
? 2
! error: no log `log.example.com/pipelines` is pinned
! hint: `aip-attest policy show` lists them
",
    );
    let ran = world.run(&["policy", "check", "policy"]);
    let sha256 = format!("sha256:{}", tlog::Hash::of(policy().as_bytes()));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&&sha256[..]), Some(&&sha256[..])));
    let json = world.run(&["policy", "check", "policy", "--json"]).json();
    assert_eq!((json["quorum"].as_str(), json["weakestQuorum"].as_u64()), (Some("w"), Some(1)));
}

/// What an editor or a checkout does to a text is named, with what undoes it.
#[test]
fn line_ends_and_a_byte_order_mark_are_named() {
    let world = World::new();
    world.file("crlf", policy().replace('\n', "\r\n").as_bytes());
    world.file("bom", format!("\u{feff}{}", policy()).as_bytes());
    let check = |name: &str| world.run(&["policy", "check", name]);
    check("crlf").expect(2, &["line 1", "ends with CR LF", "hint: git", "`.aip/* -text`", ".gitattributes"]);
    check("bom").expect(2, &["line 1", "byte order mark", "hint: save the file as UTF-8 without"]);
}

/// What a quorum over groups is worth, and the two ways to have less than it seems.
#[test]
fn check_counts_who_could_fork_or_halt_a_log() {
    let world = World::new();
    let key = |name: &str, kind, seed: u8| {
        let name = KeyName::new(name).expect("a name");
        SignerKey::from_seed(name, kind, &[seed; 32]).verifier().to_string()
    };
    let (ed25519, ml_dsa) = (KeyType::Ed25519Cosignature, KeyType::MlDsa44Cosignature);
    let keys = format!(
        "log {}\nwitness a-ed {}\nwitness a-mldsa {}\nwitness b {}\nwitness c {}\n",
        log_key().verifier(),
        key("a.example.com", ed25519, 1),
        key("a.example.com", ml_dsa, 2),
        key("b.example.com", ed25519, 3),
        key("c.example.com", ml_dsa, 4),
    );
    for (name, lines) in [
        ("good", "group a any a-ed a-mldsa\ngroup q 2 a b c\nquorum q\n"),
        ("any", "group a any a-ed a-mldsa\ngroup q any a b c\nquorum q\n"),
        ("twice", "group q 3 a-ed a-mldsa b c\nquorum q\n"),
    ] {
        world.file(name, (keys.clone() + lines).as_bytes());
    }
    let check = |name: &str| world.run(&["policy", "check", name]);
    let good = check("good");
    assert!(good.stdout.lines().all(|line| line.len() < 100), "no whole key of 1,800 bytes: {good:#?}");
    good.expect(
        0,
        &[
            "witness  a-ed  a.example.com  Ed25519  ",
            "witness  a-mldsa  a.example.com  ML-DSA-44  ",
            "quorum   q  met by no fewer than 2 cosignatures",
            "fork     unseen with 1 dishonest witness\n",
            "halt     with 2 failing witnesses\n",
        ],
    );
    assert_eq!(good.stderr, "");
    check("any").expect(
        0,
        &[
            "unseen with 0 dishonest witnesses",
            "halt     with 3 failing",
            "warning: two views of a log can both meet",
        ],
    );
    check("twice").expect(
        0,
        &[
            "unseen with 1 dishonest witness",
            "halt     with 1 failing",
            "warning: the witness `a.example.com` has a vote",
        ],
    );
    let json = world.run(&["policy", "check", "twice", "--json"]).json();
    let want = json!({
        "dishonestToFork": 1, "failuresToHalt": 1, "strengthIsExact": true,
        "witnessesWithSeveralVotes": ["a.example.com"],
    });
    for (member, want) in want.as_object().expect("an object") {
        assert_eq!(json[member], *want, "{member}");
    }
}

#[test]
fn a_broken_pin_is_an_error_and_not_no_pin() {
    let world = World::with_receipt();
    world.file(".aip/pins/x.json", b"{}");
    for arguments in [&["verify", "app", "--any-signer", "--policy", "policy"][..], &["policy", "show"]] {
        world.run(arguments).expect(2, &["cannot read the pin", "remove the file"]);
    }
}

/// What stands where a policy, its settings, a pin or a key is looked for, and is no such file, is said: it is
/// neither waited for nor passed over.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_neither_waited_for_nor_passed_over() {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};
    type Put = fn(&Path);
    let kinds: [(Put, &str); 6] = [
        (
            |path| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success()),
            "it is not a regular file",
        ),
        (|path| fs::create_dir(path).expect("made"), "it is not a regular file"),
        (|path| symlink("/dev/zero", path).expect("a link"), "it is not a regular file"),
        (|path| symlink("/dev/tty", path).expect("a link"), "it is not a regular file"),
        (|path| fs::File::create(path).expect("made").set_len(1 << 40).expect("sparse"), "is longer than"),
        (|path| fs::write(path, [0xff; 10]).expect("written"), ""),
    ];
    for (name, message) in [
        ("named", "cannot use the policy `named`"),
        (".aip/policy", "cannot use the policy `.aip/policy`"),
        ("trust.toml", "cannot use the settings `trust.toml`"),
        (".aip/pins/x.json", "cannot read the pin"),
        (".aip/credentials.json", "cannot read the credentials file"),
    ] {
        for (put, why) in kinds {
            let world = World::with_receipt().env("AIP_DID", "").env("AIP_PRIVATE_KEY", "");
            world.file(".aip/pins/none", b"");
            put(&world.path(name));
            let arguments = match name {
                "named" => &["verify", "app", "--any-signer", "--policy", "named"][..],
                "trust.toml" => &["verify", "app", "--any-signer", "--policy", "policy"],
                ".aip/credentials.json" => &["whoami"],
                _ => &["verify", "app", "--any-signer"],
            };
            let started = Instant::now();
            world.run(arguments).expect(2, &[message, why]);
            assert!(started.elapsed() < Duration::from_secs(10), "{name}: {why}");
        }
    }
    // A link that leads nowhere is not the same as none.
    let world = World::with_receipt();
    fs::create_dir(world.path(".aip")).expect("made");
    symlink("nowhere", world.path(".aip/policy")).expect("a link");
    world.run(&["verify", "app", "--any-signer"]).expect(2, &["cannot use the policy `.aip/policy`"]);
}
