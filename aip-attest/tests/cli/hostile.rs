//! Hostile files, names and arguments: refused by rule, never a panic, never an escape from the folder.

use std::path::Path;

use serde_json::json;

use crate::world::{Forge, World, did};

fn verify(world: &World, receipt: &[u8]) -> crate::world::Ran {
    world.file("app.receipt.json", receipt);
    world.run(&["verify", "app", "--any-signer", "--policy", "policy"])
}

/// S11, S12, S14 where they concern a receipt: each is `format`, exit 1, and the message is harmless.
#[test]
fn hostile_receipts_fail_at_format() {
    let world = World::with_receipt();
    let good = Forge::of("app", b"hello artifact\n").receipt();
    let own = did().to_string();
    let mut cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("not JSON", b"receipt".to_vec()),
        ("byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        (
            "invalid UTF-8",
            good.replace("did:aip", "did:\u{1}")
                .into_bytes()
                .into_iter()
                .map(|b| if b == 1 { 0xff } else { b })
                .collect(),
        ),
        ("trailing data", [good.as_bytes(), b"{}"].concat()),
        ("deep nesting", "[".repeat(100_000).into_bytes()),
        ("huge number", b"{\"mediaType\":1e400}".to_vec()),
    ];
    for (name, from, to) in [
        ("duplicate member", "\"did\":", "\"did\": \"x\", \"did\":"),
        ("unknown member", "\"did\":", "\"note\": \"\", \"did\":"),
        ("other media type", "receipt.v1+json", "receipt.v2+json"),
        ("upper-case DID", own.as_str(), &own.to_uppercase()),
        ("short DID", own.as_str(), &own[..39]),
        ("escape in a member", "\"did\":", "\"\\u001b[2J\": 1, \"did\":"),
        ("lone surrogate", own.as_str(), "\\ud800"),
        ("carriage return in the note", "\\nquorum", "\\r\\nquorum"),
        (
            "public key of small order",
            "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
            "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        ("second spelling of base64", "MbgA=", "MbhA="),
        (
            "note with a control character",
            "log.example.com/pipelines\\n2",
            "log.example.com/pipelines\\u0007\\n2",
        ),
        ("leading zero", "index 0", "index 00"),
        ("size with a plus", "\\n2\\n", "\\n+2\\n"),
        ("size beyond 2^63", "\\n2\\n", "\\n9223372036854775808\\n"),
        ("second signature", "\"signatures\": [", "\"signatures\": [{\"sig\": \"\"},"),
        ("keyid", "\"sig\":", "\"keyid\": \"\", \"sig\":"),
    ] {
        let bad = good.replacen(from, to, 1);
        if bad != good {
            cases.push((name, bad.into_bytes()));
        }
    }
    assert!(cases.len() >= 20, "{}", cases.len());
    for (name, receipt) in &cases {
        let ran = verify(&world, receipt);
        assert_eq!(ran.code, 1, "{name}: {ran:#?}");
        assert!(ran.stdout.contains("FAILED          format"), "{name}: {ran:#?}");
        let is_tame = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
        assert!(is_tame(&ran.stdout) && is_tame(&ran.stderr), "{name}: {ran:#?}");
    }
    println!("{} hostile receipts refused", cases.len());
}

/// Each byte of a receipt changed, removed or doubled: never a panic, and never verified as something else.
#[test]
fn no_altered_byte_goes_unnoticed() {
    use attestation::receipt::{Signers, Verdict, VerifyPolicy, verify};
    let good = Forge::of("app", b"hello artifact\n").receipt();
    let policy = crate::world::policy().parse().expect("a policy");
    let demand = VerifyPolicy::new(&policy, Signers::OneOf(vec![did()]));
    let digest = tlog::Hash::of(b"hello artifact\n");
    let want = verify(good.as_bytes(), &demand, &digest, None);
    assert_eq!(want.verdict(), Verdict::Verified);
    let mut verified_anyway = 0;
    for at in 0..good.len() {
        for kind in 0..3 {
            let mut bytes = good.clone().into_bytes();
            match kind {
                0 => bytes[at] ^= 1,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, bytes[at]),
            }
            let report = verify(&bytes, &demand, &digest, None);
            if let Some(verified) = report.verified() {
                // White space between members, and lines of unknown witnesses, change nothing that is read.
                assert_eq!(Some(verified), want.verified(), "byte {at}");
                verified_anyway += 1;
            }
        }
    }
    println!("{} mutants, {verified_anyway} of them the same receipt in other words", good.len() * 3);
}

// Windows has no such names.
#[cfg(unix)]
#[test]
fn names_reach_a_terminal_without_their_control_characters() {
    let world = World::with_key();
    let name = "a\u{1b}[31m\u{202e}gpj.exe";
    world.file(name, b"x");
    // A statement's name has no control characters at all.
    let ran = world.run(&["sign", name, "--no-log"]);
    ran.expect(2, &["control characters"]);
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\u{202e}'), "{ran:#?}");
    let turned = "\u{202e}gpj.exe";
    world.file(turned, b"x");
    let ran = world.run(&["sign", turned, "--no-log"]);
    ran.expect(0, &["\\u{202e}gpj.exe"]);
    assert!(!ran.stdout.contains('\u{202e}'), "{ran:#?}");
    let ran = world.run(&["verify", name, turned, "--any-signer"]);
    assert!(
        !ran.stdout.contains(['\u{1b}', '\u{202e}']) && !ran.stderr.contains(['\u{1b}', '\u{202e}']),
        "{ran:#?}"
    );
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "\u{202e}x", "digest": {"sha256": "00".repeat(32)}}],
        "predicateType": "t\u{2028}t",
        "predicate": {"\u{1b}]0;title\u{7}": "\u{9b}31m"},
    });
    world.file("statement.json", statement.to_string().as_bytes());
    let ran = world.run(&["inspect", "statement.json"]);
    assert!(ran.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{ran:#?}");
    assert!(!ran.stdout.contains(['\u{202e}', '\u{2028}']), "{ran:#?}");
}

/// S15: nothing is written outside of the folder that was named.
#[test]
fn s15_receipts_stay_below_their_folder() {
    let outer = World::with_key();
    std::fs::create_dir_all(outer.path("a/b/work")).expect("a folder");
    outer.file("a/victim", b"x");
    let program = crate::world::PROGRAM;
    for artifact in ["../../victim", "./../../victim", "../../b/../victim"] {
        let absolute = outer.path("a/victim");
        for artifact in [Path::new(artifact), &absolute] {
            let mut command = outer.command(program);
            command
                .current_dir(outer.path("a/b/work"))
                .args(["sign", "--no-log", "--receipts", "r"])
                .arg(artifact);
            let output = command.output().expect("the program runs");
            assert_eq!(output.status.code(), Some(0), "{artifact:?}: {output:?}");
        }
    }
    for file in outer.files() {
        assert!(file == "a/victim" || file.starts_with("a/b/work/r/"), "{file}");
    }
}

/// A pipe where a receipt would be is not waited for; one that is named is read.
#[cfg(unix)]
#[test]
fn a_pipe_is_no_receipt_unless_it_is_named() {
    let world = World::with_receipt();
    let pipe = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(world.path(name)).status();
        assert!(made.is_ok_and(|made| made.success()), "mkfifo");
    };
    world.file("other", b"other");
    pipe("other.receipt.json");
    let refusal = ["other.receipt.json`", "it is not a regular file"];
    world.run(&["verify", "other", "--any-signer", "--policy", "policy"]).expect(2, &refusal);
    world.run(&["sign", "other", "--no-log"]).expect(2, &refusal);
    world.run(&["submit", "other", "--log", "http://127.0.0.1:9"]).expect(2, &["not a regular file"]);
    pipe("named");
    let mut writer = world.command("cp").args(["app.receipt.json", "named"]).spawn().expect("cp runs");
    let verify = ["verify", "app", "--any-signer", "--policy", "policy", "--receipt", "named"];
    let ran = world.run(&verify);
    let _ = writer.kill();
    writer.wait().expect("cp ends");
    ran.expect(0, &["ok  "]);
}

/// A pipe among an identity's own files is found and not named: a command that looked at it never ended.
#[cfg(unix)]
#[test]
fn a_pipe_beside_a_key_is_waited_for_by_nobody() {
    for name in ["keys.lock", "next-", "credentials.json"] {
        let world = World::new();
        world.run(&["--as", "org", "init"]).expect(0, &[]);
        let file = world.path(&world.only(&format!(".aip/identities/org/{name}")));
        std::fs::remove_file(&file).expect("removed");
        let made = std::process::Command::new("mkfifo").arg(&file).status();
        assert!(made.is_ok_and(|made| made.success()), "mkfifo");
        world.run(&["--as", "org", "rotate-key"]).expect(2, &["it is not a regular file"]);
    }
}

/// A runner reads commands at the start of a line: no argument may begin one, whatever error repeats it.
#[test]
fn what_a_usage_error_repeats_stays_on_its_line() {
    let world = World::with_key();
    let hostile = "x\n::set-output name=verified::true\u{202e}\u{9b}";
    for arguments in [
        &["sign", "app", "--log-url", hostile][..],
        &["verify", "app", "--signer", hostile],
        &["verify", "app", hostile, "--any-signer", hostile, "--max-age", hostile],
        &[hostile],
        &["sign", "app", hostile, "--nonsense"],
        &["verify", "app", "--json", "--signer", hostile],
        &["policy", hostile],
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:#?}");
        let said = [ran.stdout, ran.stderr].concat();
        assert!(!said.lines().any(|line| line.trim_start().starts_with("::")), "{arguments:?}: {said}");
        assert!(!said.contains(['\u{202e}', '\u{9b}']), "{arguments:?}: {said}");
    }
}

/// Programs get the whole of what people get: which arguments are missing, which values there are.
#[test]
fn a_usage_error_in_json_keeps_its_list() {
    let world = World::with_key();
    let message = |arguments: &[&str]| {
        let error = world.run(arguments).json();
        error["error"]["message"].as_str().expect("a message").to_owned()
    };
    let missing = message(&["gate", "--json"]);
    assert!(
        missing.contains("required arguments were not provided") && missing.contains("--did <DID>"),
        "{missing}"
    );
    let values =
        message(&["gate", "--json", "--did", "did:aip:56475aa75463474c0285df5dbf2bcab7", "--require", "x"]);
    assert!(
        values.contains("'x'") && values.contains("possible values: complete, artifact, witnessed"),
        "{values}"
    );
}

#[test]
fn odd_arguments_are_usage_errors() {
    let world = World::with_key();
    for arguments in [
        &["--nonsense"][..],
        &["nonsense"],
        &["sign", "--timeout", "-1"],
        &["sign", "x", "--log"],
        &["sign", "app", "--no-log", "--predicate-type", "spdxx", "--predicate", "p.json"],
        &["verify", "app", "--any-signer", "--predicate-type", "not a uri"],
        &["verify", "x", "--signer"],
        &["verify", "x\u{0}".trim_end_matches('\0'), "--any-signer", "--max-age", "99999999999999999999y"],
        &["policy"],
        &["key"],
        &["completions", "tcsh"],
        &["policy", "pin", "ftp://x"],
        &["policy", "pin", "http://x", "--expect", "sha256:00"],
        &["policy", "pin", "http://user:secret@x"],
    ] {
        let ran = world.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:#?}");
        assert!(
            ran.stderr.starts_with("error:")
                || ran.stderr.contains("Usage:")
                || ran.stderr.contains("error:"),
            "{arguments:?}: {ran:#?}"
        );
        assert!(!ran.stderr.contains("this program has a bug"), "{ran:#?}");
    }
}

/// Nothing has no name, and what is said of it is not mistaken for a name.
#[test]
fn a_name_that_is_empty_is_shown_as_one() {
    let ran = World::with_key().run(&["verify", "", "--any-signer"]);
    ran.expect(2, &["could not check  ``  a file's name is empty\n"]);
}

/// Who asks for JSON gets one value, also if the command fails before it has data.
#[test]
fn failures_are_json_where_json_is_asked_for() {
    let world = World::with_receipt();
    world.file("p.json", b"{}");
    for arguments in [
        &["sign", "nothing", "--no-log"][..],
        &["sign", "app"],
        &["submit", "nothing"],
        &["fetch", "app", "--log", "ftp://x"],
        &["inspect", "nothing"],
        &["policy", "check", "nothing"],
        &["policy", "show", "nothing"],
    ] {
        let ran = world.run(&[arguments, &["--json"]].concat());
        assert_eq!(ran.code, 2, "{ran:#?}");
        let json = ran.json();
        assert_eq!(json["schema"], "aip.error.v1", "{ran:#?}");
        let message = json["error"]["message"].as_str().expect("a message");
        // People see the same, its parts on lines of their own.
        assert!(ran.stderr.contains(message.split(": ").next().expect("a part")), "{ran:#?}");
        assert_eq!(world.run(arguments).stdout, "");
    }
    let world = World::new().env("AIP_CREDENTIALS_PATH", "nowhere");
    assert_eq!(world.run(&["whoami", "--json"]).json()["schema"], "aip.error.v1");
    // What cannot be parsed is a failure too.
    let did = did().to_string();
    let ran = world.run(&["gate", "--did", &did, "--require", "foo", "--json"]);
    ran.expect(2, &["error: invalid value 'foo'"]);
    let json = ran.json();
    let message = json["error"]["message"].as_str().expect("a message");
    assert!(json["schema"] == "aip.error.v1" && message.starts_with("invalid value 'foo'"), "{json}");
    assert_eq!(world.run(&["gate", "--did", &did, "--require", "foo"]).stdout, "");
    // One that has said what it has to say adds nothing.
    let verified = World::with_receipt().run(&["verify", "nothing", "--any-signer", "--json"]);
    assert_eq!(verified.json()["schema"], "aip.verify.v1");
}

#[test]
fn help_and_version_are_data_and_exit_0() {
    let world = World::new();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["sign", "--help"],
        &["policy", "pin", "--help"],
        &["completions", "bash"],
        &["man"],
    ] {
        let ran = world.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(!ran.stdout.is_empty());
    }
    assert_eq!(world.run(&["--version"]).stdout, format!("aip-attest {}\n", env!("CARGO_PKG_VERSION")));
    let other = world.run_as(crate::world::OTHER_PROGRAM, &["completions", "bash"]);
    assert!(other.stdout.contains("_aip()"), "{}", &other.stdout[..200]);
    world.run(&["man", "pages"]).expect(0, &["the manual pages are in"]);
    assert!(world.files().contains(&"pages/aip-attest-policy-pin.1".to_owned()), "{:?}", world.files());
}
