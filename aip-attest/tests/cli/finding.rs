//! Where receipts are found that do not lie beside their artifacts: in a folder of their own, by name and by digest; and
//! what comes out of a pipe.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Map, json};

use crate::log::Log;
use crate::world::{Forge, PROGRAM, Ran, World, did, policy};

fn world() -> World {
    let world = World::with_key();
    world.file("policy", policy().as_bytes());
    world
}

fn verify(world: &World, arguments: &[&str]) -> Ran {
    world.run(&[&["verify", "--policy", "policy", "--any-signer"], arguments].concat())
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", tlog::Hash::of(content))
}

/// What upload-artifact refuses is in no name; what was signed under a name and a digest is found by both.
#[test]
fn receipts_of_images_have_names_that_can_be_uploaded() {
    let (log, world) = (Log::start(), World::with_key());
    world.file("policy", log.policy().as_bytes());
    let [amd, arm] = [b"amd64", b"arm64"].map(|image| format!("ghcr.io:5000/o/app:1.2@{}", digest(image)));
    let url = log.url();
    // Two digests of one name in one call.
    let sign = ["sign", "--subject", &amd, "--subject", &arm, "--receipts", "r", "--log", &url];
    world.run(&sign).expect(0, &["logged   ghcr.io:5000/o/app:1.2"]);
    let names: Vec<String> = world.files().into_iter().filter(|name| name.starts_with("r/")).collect();
    assert_eq!(names.len(), 2);
    for name in &names {
        assert!(name.starts_with("r/ghcr.io%3A5000/o/app%3A1.2."), "{name}");
        assert!(!name.contains(['"', ':', '<', '>', '|', '*', '?', '\\']), "{name}");
    }
    for image in [&amd, &arm] {
        verify(&world, &[image, "--receipts", "r"]).expect(0, &["ok  "]);
        // A bare digest is looked for too; what it was called is said.
        let bare = image.rsplit_once('@').expect("a digest").1;
        verify(&world, &[bare, "--receipts", "r"]).expect(0, &["signed as `ghcr.io:5000/o/app:1.2`"]);
    }
    let other = format!("ghcr.io:5000/o/app:1.2@{}", digest(b"other"));
    verify(&world, &[&other, "--receipts", "r"]).expect(1, &["FAILED          artifact-digest"]);
    let renamed = amd.replace("/o/app", "/o/other");
    verify(&world, &[&renamed, "--receipts", "r"]).expect(2, &["names these bytes `ghcr.io:5000/o/app:1.2`"]);
    // Beside each other as well.
    let beside = ["sign", "--subject", &amd, "--subject", &arm, "--log", &url];
    world.run(&beside).expect(0, &[]);
    for image in [&amd, &arm] {
        verify(&world, &[image]).expect(0, &["ok  "]);
    }
    world.run(&["sign", "--subject", &amd, "--subject", &amd, "--no-log"]).expect(2, &["is named twice"]);
}

/// A file that was moved has its receipt still, by the name that it was signed under.
#[test]
fn a_moved_file_is_found_by_its_digest() {
    let world = world();
    let app = b"hello artifact\n";
    world.file("r/x/y.receipt.json", Forge::of("dist/app", app).receipt().as_bytes());
    world.file("r/notes", b"{}");
    for (path, code) in [("app", 0), ("other/dist/app", 0), ("deep/er/app", 2), ("dist/app2", 2), ("xapp", 2)]
    {
        world.file(path, app);
        let ran = verify(&world, &[path, "--receipts", "r", "-v"]);
        let found = ["  signed as `dist/app`\n", "  receipt: r/x/y.receipt.json, found by its digest\n"];
        let refused = [
            "`r/x/y.receipt.json` names these bytes `dist/app`",
            "hint: call it as it was signed, `dist/app`",
        ];
        ran.expect(code, if code == 0 { &found[..] } else { &refused[..] });
    }
    let json = verify(&world, &["app", "--receipts", "r", "--json"]).json();
    assert_eq!(json["results"][0]["signedAs"], "dist/app");
    // Its receipt by name: what the file is called is not asked, and what it was signed as is said.
    verify(&world, &["dist/app2", "--receipt", "r/x/y.receipt.json"])
        .expect(0, &["ok  ", "signed as `dist/app`"]);
    let same = verify(&world, &["app", "--receipt", "r/x/y.receipt.json"]);
    same.expect(0, &["ok  "]);
    assert!(!same.stdout.contains("signed as"), "{same:#?}");
    // Another kind of statement is none of provenance.
    let sbom = Forge::saying("lib", b"lib", "https://cyclonedx.org/bom", Map::new()).receipt();
    world.file("r/z.receipt.json", sbom.as_bytes());
    world.file("lib", b"lib");
    verify(&world, &["lib", "--receipts", "r"]).expect(2, &["there is no receipt"]);
    verify(&world, &["lib", "--receipts", "r", "--predicate-type", "cyclonedx"]).expect(0, &["ok  "]);
    // One that lies at the place and fails stays the answer.
    world.file("r/app.receipt.json", Forge::of("app", b"other bytes").receipt().as_bytes());
    verify(&world, &["app", "--receipts", "r"]).expect(1, &["FAILED          artifact-digest"]);
    // Other bytes under a name that was signed were altered, which is false and no want of a receipt.
    world.file("other/dist/app", b"tampered");
    let altered = verify(&world, &["other/dist/app", "--receipts", "r", "-v"]);
    altered.expect(
        1,
        &["FAILED          artifact-digest", "  receipt: r/x/y.receipt.json, found by the name in it\n"],
    );
    // What nobody signed has none, though the folder is full of others'.
    world.file("evil", b"evil");
    verify(&world, &["evil", "--receipts", "r"]).expect(2, &["there is no receipt `r/evil.receipt.json`"]);
}

#[test]
fn at_most_10_000_files_are_read_for_a_digest() {
    let world = world();
    world.file("app", b"app");
    world.file("r/0.receipt.json", Forge::of("app", b"app").receipt().as_bytes());
    (1..10_000).for_each(|number| drop(world.file(&format!("r/{number}"), b"")));
    verify(&world, &["app", "--receipts", "r"]).expect(0, &["  signed as `"]);
    world.file("r/one-more", b"");
    verify(&world, &["app", "--receipts", "r"]).expect(2, &["`r` holds more than 10000 files"]);
}

/// Jobs that sign files of one name, and put their receipts into one folder.
#[test]
fn receipts_of_several_jobs_go_into_one_folder() {
    let log = Log::start();
    let merged = World::with_key();
    merged.file("policy", log.policy().as_bytes());
    for job in ["linux", "windows"] {
        let world = World::with_key();
        world.file("work/dist/app", job.as_bytes());
        let mut command = world.command(PROGRAM);
        // What lies elsewhere is named as its statement names it, and not by a path of this machine.
        std::fs::create_dir(world.path("here")).expect("made");
        command.current_dir(world.path("here")).args([
            "sign",
            "../work",
            "--receipts",
            "../r",
            "--log",
            &log.url(),
        ]);
        assert!(command.output().expect("the program runs").status.success());
        let receipt = world.only("r/");
        assert!(receipt.starts_with("r/dist/app."), "{receipt}");
        assert!(!merged.path(&receipt).exists(), "it would be overwritten");
        merged.file(&receipt, world.read(&receipt).as_bytes());
        merged.file(&format!("{job}/dist/app"), job.as_bytes());
        merged.file("dist/app", job.as_bytes());
        verify(&merged, &["dist/app", "--receipts", "r"]).expect(0, &["ok  "]);
    }
    verify(&merged, &["linux", "windows", "--receipts", "r"]).expect(0, &["  signed as `"]);
}

fn piped(world: &World, arguments: &[&str], content: &[u8]) -> Ran {
    let mut command = world.command(PROGRAM);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    // What is refused before it is read breaks the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(content);
    Ran::of(child.wait_with_output().expect("it ends"))
}

#[test]
fn what_is_piped_in_is_signed_under_a_name_and_verified() {
    let world = World::with_receipt();
    let app = b"hello artifact\n";
    let verify = ["verify", "--policy", "policy", "--any-signer", "-"];
    let with = |more: &[&str], content: &[u8]| piped(&world, &[&verify[..], more].concat(), content);
    with(&["--receipt", "app.receipt.json"], app).expect(0, &["ok  -  "]);
    with(&["--receipt", "app.receipt.json"], b"other").expect(1, &["FAILED          artifact-digest"]);
    // Read once, however often it is named.
    with(&["-", "--receipt", "app.receipt.json"], app).expect(0, &["ok  "]);
    with(&[], app).expect(2, &["`-` has no place to look for its receipt", "--receipt FILE"]);
    world.file("r/any.receipt.json", world.read("app.receipt.json").as_bytes());
    with(&["--receipts", "r"], app).expect(0, &["  signed as `app`"]);
    let sign = ["sign", "-", "--no-log"];
    piped(&world, &[&sign[..], &["--name", "dist/piped"]].concat(), app)
        .expect(0, &["signed   dist/piped", &tlog::Hash::of(app).to_string(), "dist/piped.receipt.json"]);
    piped(&world, &sign, app).expect(2, &["`-` has no name for a statement", "--name NAME"]);
    world.run(&["sign", "app", "--name", "x", "--no-log"]).expect(2, &["--name is for what is piped in"]);
    piped(&world, &[&sign[..], &["--name", "../x"]].concat(), app).expect(2, &["leads out of its folder"]);
}

/// What writes a receipt back, and what asks a log besides, take no pipe, and say so before anything else.
#[test]
fn gate_and_submit_say_that_they_read_no_pipe() {
    let world = World::with_receipt();
    let signer = did().to_string();
    let arguments = if cfg!(unix) { &["-", "/dev/stdin"][..] } else { &["-"] };
    for argument in arguments {
        let gate = ["gate", argument, "--did", &signer, "--root", &signer, "--threshold", "0"];
        let hint = "name the file, or its digest: sha256:HEX with --receipts DIR";
        piped(&world, &gate, b"x").expect(2, &[&format!("error: `gate` does not read `{argument}`"), hint]);
        let hint = "name a file: the logged receipt is written where the other one was read";
        piped(&world, &["submit", argument], b"x")
            .expect(2, &[&format!("error: `submit` does not read `{argument}`"), hint]);
    }
    // A file of that name is one that a shell's `*` gives.
    world.file("-", b"x");
    for command in [&["gate", "-", "--did", &signer][..], &["submit", "-"]] {
        piped(&world, command, b"x").expect(2, &["there is a file of that name", "`./-`"]);
    }
}

/// The receipt of a file with a long name, and one in a folder of receipts that holds a file where a folder would be.
#[test]
fn where_no_receipt_can_lie_it_is_looked_for_by_its_digest() {
    let world = World::with_receipt();
    let long = "n".repeat(250);
    world.file(&long, b"long");
    world.file("dist/app", b"hello artifact\n");
    world.file("r/all.receipt.json", Forge::of(&long, b"long").receipt().as_bytes());
    world.file("r/any.receipt.json", world.read("app.receipt.json").as_bytes());
    world.file("r/dist", b"a file");
    let verify = ["verify", "--policy", "policy", "--any-signer", "--receipts", "r", "dist/app", &long];
    world.run(&verify).expect(0, &["  signed as `app`"]);
}

/// `verify *` in a folder of somebody who calls a file so.
#[test]
fn standard_input_does_not_stand_in_for_a_file_that_is_called_like_it() {
    let world = World::with_receipt();
    world.file("r/any.receipt.json", world.read("app.receipt.json").as_bytes());
    world.file("-", b"evil");
    let verify = ["verify", "--policy", "policy", "--any-signer", "--receipts", "r", "app"];
    let with = |name| piped(&world, &[&verify[..], &[name]].concat(), b"hello artifact\n");
    with("-").expect(2, &["there is a file of that name", "`./-`"]);
    with("./-").expect(2, &["there is no receipt"]);
    if cfg!(unix) {
        with("-").expect(2, &["/dev/stdin"]);
        with("/dev/stdin").expect(0, &["ok  "]);
    }
}

/// A shell's `<(…)`.
#[cfg(target_os = "linux")]
#[test]
fn what_a_shell_substitutes_is_read() {
    let world = World::with_receipt();
    let command = |receipt: &str, content: &str| {
        let script = format!(
            "{PROGRAM} verify <(printf '{content}\\n') --receipt {receipt} --policy policy --any-signer"
        );
        world.command("bash").args(["-c", &script]).env("PATH", "/usr/bin:/bin").output().expect("bash runs")
    };
    assert_eq!(command("app.receipt.json", "hello artifact").status.code(), Some(0));
    assert_eq!(command("app.receipt.json", "other").status.code(), Some(1));
    // A pipe that has a name and nobody who writes to it is not waited for.
    assert!(world.command("/usr/bin/mkfifo").arg("pipe").status().expect("mkfifo runs").success());
    world.run(&["verify", "pipe", "--any-signer"]).expect(2, &["not a regular file"]);
}

#[test]
fn several_receipts_are_fetched_at_once() {
    let (log, world) = (Log::start(), World::with_key());
    for name in ["d/a", "d/b", "other"] {
        world.file(name, name.as_bytes());
    }
    let url = log.url();
    world.run(&["sign", "d", "--receipts", "r", "--log", &url]).expect(0, &[]);
    let fetch = |more: &[&str]| world.run(&[&["fetch", "--log", &url], more].concat());
    fetch(&["d/a", "d/b"])
        .expect(0, &["fetched  d/a.receipt.json  index 0", "fetched  d/b.receipt.json  index 1"]);
    // What the log does not have keeps nothing from the others.
    std::fs::remove_file(world.path("d/b.receipt.json")).expect("removed");
    let ran = fetch(&["other", "d/*", "--json"]);
    ran.expect(2, &["the log lists no such entry", "it is about `other`"]);
    let json = ran.json();
    let receipts: Vec<_> =
        json["results"].as_array().expect("an array").iter().map(|one| &one["receipt"]).collect();
    assert_eq!(receipts, [&json!(null), &json!("d/a.receipt.json"), &json!("d/b.receipt.json")]);
    fetch(&["d/a", "d/b", "-o", "x"]).expect(2, &["2 artifacts are named, and --output is for one"]);
    assert_eq!(fetch(&["d/a", "--json"]).json()["receipt"], "d/a.receipt.json");
}

/// A thousand receipts that leave their places are one line.
#[test]
fn receipts_that_are_kept_are_told_in_one_line() {
    let world = World::with_key();
    let names: Vec<String> = (0..20).map(|number| format!("d/{number}")).collect();
    for build in ["one", "two"] {
        names.iter().for_each(|name| drop(world.file(name, format!("{name} {build}").as_bytes())));
        let ran = world.run(&["sign", "d", "--no-log"]);
        let kept: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("kept")).collect();
        assert_eq!(kept.len(), usize::from(build == "two"), "{ran:#?}");
        assert!(kept.iter().all(|line| line.contains("20 receipts")), "{kept:?}");
        // Those that are kept are no artifacts of the next time.
        assert_eq!(ran.stdout.lines().count(), 20, "{ran:#?}");
    }
    let ran = world.run(&["sign", "d", "--no-log"]);
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 20), "{ran:#?}");
}

/// A log that is out of reach: what is logged already, by the policy at hand, is not called unlogged.
#[test]
fn only_what_is_not_logged_is_said_to_be_not_logged() {
    let (log, world) = (Log::start(), World::with_key());
    world.file("a", b"a");
    world.file("policy", log.policy().as_bytes());
    world.run(&["sign", "a", "--log", &log.url()]).expect(0, &["logged"]);
    drop(log);
    world.file("b", b"b");
    let away = ["--log", "http://127.0.0.1:9", "--timeout", "200ms"];
    // No policy says who the log is, so that its answer on the disk is anybody's.
    world.run(&[&["sign", "a"], &away[..]].concat()).expect(2, &["pending  a"]);
    let away = [&away[..], &["--policy", "policy"]].concat();
    let ran = world.run(&[&["sign", "a"], &away[..]].concat());
    ran.expect(2, &["logged   a"]);
    assert!(!ran.stderr.contains("not logged"), "{ran:#?}");
    world.run(&[&["sign", "a", "b"], &away[..]].concat()).expect(2, &["logged   a", "pending  b"]);
}

/// What `--json` says was not checked is said on success too.
#[test]
fn json_lists_what_was_not_checked() {
    let world = World::with_receipt();
    let not_checked = |more: &[&str]| {
        let json = verify(&world, &[&["app", "--json"], more].concat()).json();
        json["results"][0]["notChecked"].as_array().expect("an array").len()
    };
    let json = verify(&world, &["app", "--json"]).json();
    assert_eq!(json["verdict"], "verified");
    assert_eq!(json["results"][0]["notChecked"][0], "later-state");
    assert_eq!((not_checked(&[]), not_checked(&["--source-uri", "https://github.com/octo/app"])), (9, 8));
    // The host has no case, nor has its owners' name; the signer's word and the question are compared alike.
    verify(&world, &["app", "--source-uri", "git+HTTPS://GitHub.com/Octo/App.git"]).expect(0, &["ok  "]);
    verify(&world, &["app", "--source-uri", "https://github.com/octo/app2"])
        .expect(1, &["FAILED          source-uri"]);
    assert_eq!(did().to_string(), json["results"][0]["claimedDid"]);
}

/// A symlink that was named for a receipt stays one, and what it names is written.
#[cfg(unix)]
#[test]
fn a_symlink_for_the_receipt_is_written_through() {
    let (log, world) = (Log::start(), World::with_key());
    world.file("app", b"app");
    std::fs::create_dir(world.path("store")).expect("made");
    for (name, arguments) in [
        ("newest", &["sign", "app", "--together", "--receipt", "newest"][..]),
        ("fetched", &["fetch", "app", "-o", "fetched"]),
    ] {
        std::os::unix::fs::symlink(format!("store/{name}"), world.path(name)).expect("a link");
        for _ in 0..2 {
            world.run(&[arguments, &["--log", &log.url()]].concat()).expect(0, &[]);
            assert!(world.path(name).is_symlink());
            assert!(world.read(&format!("store/{name}")).contains("\"proof\""));
        }
    }
}

/// `sha256sum dist/* | …`, in a shell's `<(…)`: the list lies nowhere, and so do no receipts beside it.
#[cfg(target_os = "linux")]
#[test]
fn receipts_of_a_list_that_is_piped_in_are_written_in_the_working_folder() {
    let world = World::with_key();
    let line = format!("{}  dist/app", tlog::Hash::of(b"app"));
    let script = format!("{PROGRAM} sign --no-log --checksums <(echo '{line}')");
    let ran =
        world.command("bash").args(["-c", &script]).env("PATH", "/usr/bin:/bin").output().expect("bash runs");
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
    assert!(world.path("dist/app.receipt.json").is_file());
}

/// `gate` and the action show one hint, and take no receipt by its own name.
#[test]
fn the_first_hint_is_one_that_every_command_can_follow() {
    let world = World::with_receipt();
    world.file("r/any.receipt.json", world.read("app.receipt.json").as_bytes());
    world.file("renamed", b"hello artifact\n");
    let hint = |more: &[&str]| {
        let verify = ["verify", "--policy", "policy", "--any-signer", "--json"];
        let ran = world.run(&[&verify[..], more].concat());
        assert_eq!(ran.code, 2, "{ran:#?}");
        let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
        json["results"][0]["error"]["hint"].as_str().expect("a hint").to_owned()
    };
    assert_eq!(hint(&["renamed", "--receipts", "r"]), "call it as it was signed, `app`");
    let beside = hint(&["renamed"]);
    assert!(beside.contains("--receipts DIR") && !beside.contains("--receipt "), "{beside}");
    let digest = format!("sha256:{}", tlog::Hash::of(b"hello artifact\n"));
    assert!(hint(&[&digest]).starts_with("--receipts DIR"));
    world
        .run(&["verify", "--policy", "policy", "--any-signer", "renamed", "--receipts", "nothing"])
        .expect(2, &["there is no folder `nothing`"]);
}

/// An SBOM is signed, and nothing else: `verify` wants to know of the kind, and does not say that nothing was signed.
#[test]
fn who_asks_for_another_kind_is_told_of_the_one_that_is_there() {
    let world = World::with_key();
    world.file("policy", crate::world::policy().as_bytes());
    world.file("app", b"app");
    world.file("sbom.json", b"{}");
    for more in [&[][..], &["--receipts", "r"]] {
        let sign = ["sign", "--no-log", "--predicate-type", "cyclonedx", "--predicate", "sbom.json", "app"];
        world.run(&[&sign[..], more].concat()).expect(0, &["signed"]);
        let verify = ["verify", "--policy", "policy", "--any-signer", "app"];
        world.run(&[&verify[..], more].concat()).expect(
            2,
            &["there is no receipt", "is of another kind, cyclonedx", "--predicate-type cyclonedx"],
        );
    }
}
