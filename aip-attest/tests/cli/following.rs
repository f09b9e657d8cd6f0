//! Pins that move forward, and logs that go back or fork: found out, with a proof that is confirmed offline.

use std::fs;

use serde_json::{Value, json};

use crate::log::Log;
use crate::world::{Forge, ORIGIN, Ran, World, did, log_key};

/// A pinned log with `size` leaves.
fn pinned(size: usize) -> (Log, World) {
    let (log, world) = (Log::start(), World::new());
    log.grow(size, "leaf");
    world.run(&["policy", "pin", &log.url(), "--yes"]).expect(0, &[&format!("at size {size}")]);
    (log, world)
}

/// The only finding that is kept.
fn finding(world: &World) -> String {
    let findings: Vec<String> =
        world.files().into_iter().filter(|name| name.starts_with(".aip/findings/")).collect();
    let [only] = &findings[..] else { panic!("{findings:?}") };
    only.clone()
}

fn confirm(world: &World, finding: &str, flags: &[&str]) -> Ran {
    world.run(&[&["inspect", "--finding", finding], flags].concat())
}

#[test]
fn the_manual() {
    let (log, world) = pinned(2);
    log.grow(3, "leaf");
    world.transcript(
        "
$ aip-attest log sync
? 0
log.example.com/pipelines  size 5, was 2  w 2026-09-21T14:13:21Z

$ aip-attest log sync log.example.com/pipelines
? 0
log.example.com/pipelines  size 5  w 2026-09-21T14:13:21Z
",
    );
    log.shrink(4);
    world.transcript(
        "
$ aip-attest log sync
? 1
! error: the log `log.example.com/pipelines` contradicts what was seen of it
!   caused by: its tree has size 4, and had 5 before
! hint: the finding is in `[..]/.aip/findings/shrink-[..].json`: `aip-attest inspect --finding FILE` confirms it
! hint: do not rely on this log, and tell those who do
",
    );
    fs::rename(world.path(&finding(&world)), world.path("shrink.json")).expect("renamed");
    log.shrink(3);
    log.grow(4, "another leaf");
    world.transcript(
        "
$ aip-attest log sync --all
? 1
! error: the log `log.example.com/pipelines` contradicts what was seen of it
!   caused by: size 5 is not the beginning of size 7: the proof leads to root [..], not to [..]
! hint: the finding is in `[..]/.aip/findings/fork-[..].json`: `aip-attest inspect --finding FILE` confirms it
! hint: do not rely on this log, and tell those who do
",
    );
    fs::rename(world.path(&finding(&world)), world.path("fork.json")).expect("renamed");
    world.transcript(
        "
$ aip-attest inspect --finding fork.json
? 0
fork by the log `log.example.com/pipelines`, found [..]
  size 5 is not the beginning of size 7: [..]
proven         one log signed two trees that cannot both be true: size 5 with root [..], and size 7 with root [..], whose first 5 entries have root [..]
confirmed, with the log's keys of the policy pinned for log.example.com/pipelines

$ aip-attest inspect --finding shrink.json
? 0
shrink by the log `log.example.com/pipelines`, found [..]
  its tree has size 4, and had 5 before
proven         the log signed trees of size 5 and 4
finder's word  that the log served size 5 at [..] ms, and size 4 later, at [..] ms
confirmed, with the log's keys of the policy pinned for log.example.com/pipelines

$ aip-attest policy show
? 0
log.example.com/pipelines
  url      http://[..]
  key      log.example.com/pipelines+1d6673ac+AdBKsjJ0K7SrOhNovUYV5ObQIkq3GgFrr4UgozLJd4c3
  policy   sha256:[..]
  quorum   w (at least 1 cosignatures; 1 dishonest could fork it unseen)
  seen     size 5, root [..]
",
    );
}

#[test]
fn a_log_is_chosen_by_origin_or_url_and_several_only_by_all() {
    let (log, world) = pinned(2);
    let url = log.url();
    for name in [ORIGIN, &url, &format!("{url}/")] {
        world.run(&["log", "sync", name]).expect(0, &["size 2"]);
    }
    world.run(&["log", "sync", "other"]).expect(2, &["no log `other` is pinned"]);
    world.run(&["log", "sync", "ftp://x"]).expect(2, &["neither http nor https"]);
    World::new().run(&["log", "sync", "--all"]).expect(2, &["no log is pinned"]);
    // A pin of another log, whose server is gone: exit 2, and the first is looked at all the same.
    let mut other: Value = serde_json::from_str(&world.read(&pin_file())).expect("JSON");
    let vkey = crate::log::other_log().verifier().clone();
    for (member, value) in [
        ("version", json!(1)),
        ("url", json!("http://127.0.0.1:1")),
        ("vkey", json!(vkey.to_string())),
        ("policy", json!(format!("log {vkey}\nquorum none\n"))),
    ] {
        other[member] = value;
    }
    let members = other.as_object_mut().expect("an object");
    members.retain(|name, _| name != "checkpoint" && name != "seenAt");
    world.file(&format!(".aip/pins/{}.json", vkey.full_id()), other.to_string().as_bytes());
    world.run(&["log", "sync"]).expect(2, &["2 logs are pinned", "--all"]);
    let ran = world.run(&["trust", &did().to_string(), "--root", &did().to_string()]);
    ran.expect(
        2,
        &["no log is named, and 2 are pinned", &format!("{} ({ORIGIN})", log.url()), "--evidence FILE"],
    );
    assert!(!ran.stderr.contains("--no-log") && !ran.stderr.contains("policy pin"), "{ran:#?}");
    log.grow(1, "leaf");
    let ran = world.run(&["log", "sync", "--all", "--timeout", "1s", "--json"]);
    ran.expect(2, &["cannot reach `http://127.0.0.1:1/checkpoint`"]);
    let logs = ran.json()["logs"].clone();
    let (mine, gone) = match logs[0]["origin"] == ORIGIN {
        true => (&logs[0], &logs[1]),
        false => (&logs[1], &logs[0]),
    };
    assert_eq!((mine["before"]["size"].as_u64(), mine["now"]["size"].as_u64()), (Some(2), Some(3)));
    assert_eq!(mine["cosigned"], json!([{"witness": "w", "time": "2026-09-21T14:13:21Z"}]));
    assert!(gone["now"].is_null() && gone["error"]["message"].is_string(), "{gone}");
}

fn pin_file() -> String {
    format!(".aip/pins/{}.json", log_key().verifier().full_id())
}

/// Tiles of three levels, full and partial, some of them gone since: every proof is one, and the only reads are
/// of the checkpoint and of tiles, so that any log with tiles can be followed.
#[test]
fn large_trees_are_followed_by_their_tiles() {
    let (log, world) = pinned(1);
    for growth in [1, 253, 1, 1, 255, 65_023, 1, 4_464] {
        log.grow(growth, "leaf");
        world.run(&["log", "sync"]).expect(0, &[", was "]);
    }
    world.run(&["policy", "show"]).expect(0, &["seen     size 70000"]);
    // A partial tile that is gone is the beginning of the full one.
    log.show(Some(70_010));
    log.grow(1_000, "leaf");
    world.run(&["log", "sync"]).expect(0, &["size 70010, was 70000"]);
    let paths = log.paths();
    for path in ["/tile/0/273.p/122", "/tile/0/273", "/tile/1/001.p/17", "/tile/2/000.p/1"] {
        assert!(paths.iter().any(|asked| asked == path), "{path}: {paths:#?}");
    }
    log.show(None);
    assert!(
        paths
            .iter()
            .all(|path| ["/policy", "/checkpoint"].contains(&path.as_str()) || path.starts_with("/tile/"))
    );
    // 69,000 leaves of one story, then others.
    log.shrink(69_000);
    log.grow(2_000, "another leaf");
    world.run(&["log", "sync"]).expect(1, &["size 70010 is not the beginning of size 71000", "/fork-"]);
    confirm(&world, &finding(&world), &[]).expect(0, &["confirmed"]);
}

/// S19: every size of the pinned tree, every place of the fork, every size that is shown after: found out, and
/// confirmed by somebody who has the finding and the log's key, and nothing else.
#[test]
fn s19_forks_are_found_out_wherever_they_are() {
    let sizes =
        [(1, 0, 1), (2, 1, 2), (2, 0, 3), (3, 2, 7), (4, 3, 8), (5, 0, 6), (8, 7, 300), (257, 256, 258)];
    for (old, fork, new) in sizes {
        let (log, world) = pinned(old);
        log.shrink(fork);
        log.grow(new - fork, "another leaf");
        for again in [&["log", "sync"][..], &["policy", "pin", &log.url(), "--yes"]] {
            world.run(again).expect(1, &["contradicts what was seen of it", "/findings/fork-"]);
        }
        // Seen twice, it is one finding.
        let kept = world.read(&finding(&world));
        let stranger = World::new();
        stranger.file("fork.json", kept.as_bytes());
        let vkey = log_key().verifier().to_string();
        let json = confirm(&stranger, "fork.json", &["--vkey", &vkey, "--json"]).json();
        assert_eq!((&json["verdict"], &json["findersWord"]), (&json!("confirmed"), &json!([])), "{json}");
        confirm(&stranger, "fork.json", &[])
            .expect(0, &["finder's word  that the keys in the finding", "--vkey VKEY"]);
        assert!(world.read(&pin_file()).contains(&format!("\"size\": {old},")), "the pin stays");
    }
}

/// S20: a smaller tree is never taken, and what is shown of the larger one still proves a fork.
#[test]
fn s20_a_log_that_goes_back_is_found_out() {
    let (log, world) = pinned(6);
    log.shrink(4);
    world.run(&["log", "sync"]).expect(1, &["its tree has size 4, and had 6 before", "/shrink-"]);
    let shrink = finding(&world);
    let json = confirm(&world, &shrink, &["--json"]).json();
    assert_eq!(json["proven"][0], "the log signed trees of size 6 and 4");
    // Back where it was: nothing is held against a log that only answered from an old cache.
    log.grow(2, "leaf");
    world.run(&["log", "sync"]).expect(0, &["size 6"]);
}

#[test]
fn a_finding_that_shows_nothing_is_exit_1_and_none_is_exit_2() {
    let (log, world) = pinned(5);
    log.shrink(3);
    log.grow(4, "another leaf");
    world.run(&["log", "sync"]).expect(1, &["/fork-"]);
    let good = world.read(&finding(&world));
    let vkey = log_key().verifier().to_string();
    let other = crate::log::other_log().verifier().to_string();
    let mut honest: Value = serde_json::from_str(&good).expect("JSON");
    honest["evidence"]["newer"] = honest["evidence"]["older"].clone();
    honest["evidence"]["proof"] = json!([]);
    for (content, flags, code, want) in [
        (good.clone(), &["--vkey", &vkey][..], 0, "confirmed, with the log's keys of --vkey"),
        (honest.to_string(), &["--vkey", &vkey], 1, "NOT CONFIRMED: "),
        (
            good.replace("— log", "— lug"),
            &["--vkey", &vkey],
            1,
            "NOT CONFIRMED: a checkpoint is not signed by a key",
        ),
        (good.clone(), &["--vkey", &other], 2, "could not check: the policy names no log"),
        (good.clone(), &["--policy", "nowhere"], 2, "cannot use the policy `nowhere`"),
        (good.replace("\"fork\"", "\"knife\""), &[], 2, "cannot read the finding"),
        ("{}".to_owned(), &[], 2, "cannot read the finding"),
    ] {
        world.file("f.json", content.as_bytes());
        confirm(&world, "f.json", flags).expect(code, &[want]);
        if code != 0 {
            continue;
        }
        let json = confirm(&world, "f.json", &[flags, &["--json"]].concat()).json();
        assert_eq!((&json["schema"], &json["class"]), (&json!("aip.inspect.evidence.v1"), &json!("fork")));
    }
    confirm(&world, "nowhere.json", &[]).expect(2, &["cannot read the finding `nowhere.json`"]);
    // The name that the flag had at first.
    world.file("f.json", good.as_bytes());
    world.run(&["inspect", "--evidence", "f.json", "--vkey", &vkey]).expect(0, &["confirmed"]);
    for flags in [
        &["inspect"][..],
        &["inspect", "f.json", "--policy", "p"],
        &["inspect", "f.json", "--vkey", &vkey],
        &["inspect", "f.json", "--finding", "f.json"],
    ] {
        assert_eq!(world.run(flags).code, 2, "{flags:?}");
    }
}

/// What a log below its quorum shows is not taken; and a fork is one with or without cosignatures.
#[test]
fn a_checkpoint_below_the_quorum_moves_no_pin() {
    let (log, world) = pinned(2);
    log.stop_witness();
    log.grow(1, "leaf");
    world.run(&["log", "sync"]).expect(2, &["the quorum `w` is not met: cosigned by none", "the pin stays"]);
    // The same state has the same answer, pinned before or not.
    let pin = ["policy", "pin", &log.url(), "--yes"];
    world
        .run(&pin)
        .expect(2, &["does not satisfy the policy", "the quorum `w` is not met: cosigned by none"]);
    World::new().run(&pin).expect(2, &["the quorum `w` is not met: cosigned by none"]);
    log.shrink(0);
    log.grow(2, "another leaf");
    world.run(&["log", "sync"]).expect(1, &["/findings/fork-"]);
    assert!(world.read(&pin_file()).contains("\"size\": 2,"));
}

/// A pin of version 1 judges as well; what contradicts it is nobody's proof.
#[test]
fn a_pin_without_a_note_is_read_and_moved_to_one_with() {
    let (log, world) = pinned(2);
    let mut pin: Value = serde_json::from_str(&world.read(&pin_file())).expect("JSON");
    let members = pin.as_object_mut().expect("an object");
    members.retain(|name, _| name != "checkpoint" && name != "seenAt");
    members.insert("version".into(), json!(1));
    world.file(&pin_file(), pin.to_string().as_bytes());
    log.shrink(1);
    world.run(&["log", "sync"]).expect(1, &["size 1, and had 2 before", "there is no proof to keep"]);
    log.grow(2, "leaf");
    world.run(&["log", "sync"]).expect(0, &["size 3, was 2"]);
    assert!(world.read(&pin_file()).contains("\"version\": 2"));
}

/// The token of one log is nothing for the others, which are asked only what everybody may ask.
#[test]
fn no_token_goes_to_logs_that_are_only_read() {
    let log = Log::start();
    let world = World::new().env("AIP_LOG_TOKEN", "t0ken");
    world.run(&["policy", "pin", &log.url(), "--yes"]).expect(0, &[]);
    world.run(&["log", "sync"]).expect(0, &[]);
    assert!(!log.heads().concat().to_lowercase().contains("authorization"), "{:?}", log.heads());
}

/// `verify` reads pins and never moves them; a receipt with an older checkpoint than the pinned one is as good.
#[test]
fn receipts_with_older_checkpoints_verify_and_move_no_pin() {
    let world = World::with_receipt();
    let log = Log::start();
    log.grow(7, "leaf");
    world.run(&["policy", "pin", &log.url(), "--yes"]).expect(0, &["at size 7"]);
    let before = world.read(&pin_file());
    world.run(&["inspect", &pin_file()]).expect(0, &["pin (nothing", "checkpoint: checkpoint", "size: 7"]);
    world.run(&["verify", "app", "--any-signer"]).expect(0, &["ok  "]);
    // Another root at the pinned size: the receipt is of a fork.
    let other = Log::start();
    other.grow(2, "leaf");
    let second = World::new();
    second.run(&["policy", "pin", &other.url(), "--yes"]).expect(0, &["at size 2"]);
    second.file("app", b"hello artifact\n");
    second.file("app.receipt.json", Forge::of("app", b"hello artifact\n").receipt().as_bytes());
    second.run(&["verify", "app", "--any-signer"]).expect(1, &["the log has forked: its root at size 2"]);
    assert_eq!(world.read(&pin_file()), before);
}

/// A log of other software has tiles and a checkpoint, and no policy to offer.
#[test]
fn a_log_that_publishes_no_policy_is_pinned_with_one_that_is_brought() {
    let (log, world) = (Log::start(), World::new());
    log.grow(2, "leaf");
    world.file("mine", log.policy().as_bytes());
    world.file("other", format!("log {}\nquorum none\n", crate::log::other_log().verifier()).as_bytes());
    log.set_policy(String::new());
    let url = log.url();
    world
        .run(&["policy", "pin", &url, "--yes"])
        .expect(2, &["answers 404", "hint: a log of other software", "--policy FILE"]);
    world
        .run(&["policy", "pin", &url, "--policy", "other"])
        .expect(1, &["the policy names no log with the origin"]);
    world.run(&["policy", "pin", &url, "--policy", "mine"]).expect(0, &["quorum   w", "at size 2"]);
    log.grow(3, "leaf");
    world.run(&["log", "sync"]).expect(0, &["size 5, was 2"]);
    assert!(!log.paths().iter().any(|path| path.starts_with("/api/")), "{:?}", log.paths());
}

/// Hashes that lead nowhere prove nothing, in either direction.
#[test]
fn tiles_that_are_no_tiles_prove_nothing() {
    let (log, world) = pinned(3);
    log.grow(4, "leaf");
    log.serve_wrong_tiles();
    world.run(&["log", "sync"]).expect(1, &["size 3 is not the beginning of size 7", "proves neither"]);
    assert!(!world.path(".aip/findings").exists());
    log.forget_tiles();
    world.run(&["log", "sync"]).expect(2, &["answers 404"]);
}
