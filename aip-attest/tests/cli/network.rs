//! The client against a log on loopback that does what real ones and bad ones do.

use std::time::{Duration, Instant};

use attestation::receipt::{Receipt, State};
use serde_json::json;

use crate::log::{Answer, Log};
use crate::world::{Forge, OTHER_PROGRAM, Ran, World, did, policy, witness_key};

fn state(world: &World, name: &str) -> &'static str {
    match Receipt::parse(world.read(name).as_bytes()).expect("a receipt").state() {
        State::Signed => "signed",
        State::Pending(_) => "pending",
        State::Logged(_) => "logged",
    }
}

/// A log, and a folder with an identity and one artifact.
fn log_and_world() -> (Log, World) {
    let world = World::with_key();
    world.file("app", b"app");
    (Log::start(), world)
}

fn sign(world: &World, log: &Log, arguments: &[&str]) -> Ran {
    world.run(&[&["sign", "--log", &log.url()], arguments].concat())
}

#[test]
fn sign_pin_verify() {
    let (log, world) = log_and_world();
    world.file("dist/a b.whl", b"wheel");
    world.file("dist/app", b"app");
    let url = log.url();
    let ran = sign(&world, &log, &["dist/*"]);
    ran.expect(0, &["logged   dist/app", "is not pinned: its own word is taken"]);
    let fingerprint = log.fingerprint();
    world.run(&["policy", "pin", &url]).expect(2, &["nobody is there to confirm", &fingerprint]);
    let other = format!("sha256:{}", "0".repeat(64));
    world.run(&["policy", "pin", &url, "--expect", &other]).expect(1, &["another fingerprint"]);
    assert!(!world.path(".aip").exists());
    let ran = world.run(&["policy", "pin", &url, "--expect", &fingerprint]);
    ran.expect(0, &["pinned log.example.com/pipelines at size 2"]);
    let ran = world.run_as(OTHER_PROGRAM, &["verify", "dist/app", "--signer", &did().to_string()]);
    ran.expect(0, &["ok  ", "policy: pinned for log.example.com/pipelines"]);
    // The only pinned log needs no name, and its word is not taken any more.
    let ran = world.run(&["sign", "dist/app", "--receipts", "again"]);
    ran.expect(0, &["logged   dist/app"]);
    assert!(!ran.stderr.contains("is not pinned"), "{ran:#?}");
    // What is logged can be refreshed.
    world.run(&["submit", "dist/app"]).expect(0, &["logged   dist/app.receipt.json"]);
    world.run(&["verify", "dist", "--any-signer"]).expect(0, &["ok  "]);
}

/// The same claim again is no second entry, and that is said.
#[test]
fn what_is_logged_already_is_said() {
    let (log, world) = log_and_world();
    sign(&world, &log, &["app"]).expect(0, &["logged   app  sha256:"]);
    let again = sign(&world, &log, &["app"]);
    again.expect(0, &["already logged app  sha256:", "index 0"]);
    assert_eq!(log.claims().len(), 1);
    assert_eq!(
        sign(&world, &log, &["app", "--json"]).json()[0]["state"],
        "logged",
        "what programs read stays"
    );
}

/// Whoever learnt one word for whose signature is wanted can use it everywhere.
#[test]
fn signer_and_did_say_the_same() {
    let (log, world) = log_and_world();
    sign(&world, &log, &["app"]).expect(0, &[]);
    world.file("policy", log.policy().as_bytes());
    let (own, other) = (did().to_string(), "did:aip:56475aa75463474c0285df5dbf2bcab8");
    for flag in ["--signer", "--did"] {
        world.run(&["verify", "app", "--policy", "policy", flag, &own]).expect(0, &["ok  app"]);
        world.run(&["verify", "app", "--policy", "policy", flag, other]).expect(1, &["signer"]);
        let fetch = ["fetch", "app", "--log", &log.url(), "--policy", "policy", flag, other];
        assert!(!world.run(&fetch).stderr.contains("unexpected argument"), "{flag}");
    }
}

#[test]
fn a_private_claim_comes_without_its_envelope() {
    let log = Log::start();
    let world = World::with_key();
    world.file("secret-name", b"app");
    sign(&world, &log, &["secret-name", "--private"]).expect(0, &["logged"]);
    let sent = log.bodies().concat();
    assert!(!sent.contains("envelope"), "{sent}");
    let leaf = tlog::encoding::decode_base64(sent.split('"').nth(3).expect("a leaf")).expect("base64");
    let leaf = String::from_utf8(leaf).expect("JSON");
    let digest = tlog::encoding::base64(tlog::Hash::of(b"app").as_bytes());
    for secret in ["subjects", "predicateType", "secret-name", &digest] {
        assert!(!leaf.contains(secret), "{leaf}");
    }
}

/// The names of the receipts of `app` that were kept.
fn kept(world: &World) -> Vec<String> {
    let mut names = world.files();
    names.retain(|name| {
        let id = name.strip_prefix("app.").and_then(|rest| rest.strip_suffix(".receipt.json"));
        id.is_some_and(|id| id.len() == 16 && id.chars().all(|c| c.is_ascii_hexdigit()))
    });
    names
}

/// Of an entry that was logged by hash, the receipt is the only copy of the envelope: another run of another
/// build does not cost it.
#[test]
fn a_receipt_is_kept_when_another_run_signs_the_artifact() {
    let (log, world) = log_and_world();
    sign(&world, &log, &["app", "--private"]).expect(0, &["logged"]);
    let first = world.read("app.receipt.json");
    world.file("app", b"another build");
    let ran = sign(&world, &log, &["app", "--private"]);
    let names = kept(&world);
    let [name] = &names[..] else { panic!("{names:?} {ran:#?}") };
    ran.expect(
        0,
        &["logged", &format!("note: the receipt that was in `app.receipt.json` is kept as `{name}`")],
    );
    assert_eq!(world.read(name), first);
    let claim = Receipt::parse(first.as_bytes()).expect("a receipt");
    let claim = claim.pending_entry().expect("an entry").claim().hash().get().to_string();
    assert_eq!(*name, format!("app.{}.receipt.json", &claim[..16]));
    // It still proves what it proved, and `submit` refreshes it; it is no artifact.
    world.file("old", b"app");
    world.file("policy", log.policy().as_bytes());
    world
        .run(&["verify", "old", "--receipt", name, "--any-signer", "--policy", "policy"])
        .expect(0, &["ok  "]);
    world.run(&["submit", name, "--log", &log.url()]).expect(0, &["logged"]);
    // Again and again: the first build comes back, and the second one's receipt is kept too. What is kept
    // already is not kept twice.
    for build in [&b"app"[..], b"another build", b"app"] {
        world.file("app", build);
        sign(&world, &log, &["app", "--private"]).expect(0, &["logged"]);
    }
    assert_eq!(kept(&world).len(), 2);
    // A receipt of a run that went on is not another's.
    sign(&world, &log, &["app", "--private"]).expect(0, &["logged"]);
    assert_eq!(kept(&world).len(), 2);
}

/// Pending receipts and such that are only signed are kept as well, by every command that writes one.
#[test]
fn what_only_one_file_holds_is_overwritten_by_no_command() {
    let (log, world) = log_and_world();
    world.run(&["sign", "app", "--no-log"]).expect(0, &[]);
    let signed = world.read("app.receipt.json");
    // The same statement goes further: nothing is lost, and nothing kept.
    log.say((0..100).map(|_| Answer::busy()));
    sign(&world, &log, &["app", "--private", "--timeout", "1s"]).expect(2, &["pending"]);
    assert_eq!(kept(&world), [""; 0]);
    let pending = world.read("app.receipt.json");
    log.say([]);
    // Somebody logs the same artifact for everyone to see, and it is fetched.
    sign(&world, &log, &["app", "--receipts", "r"]).expect(0, &["logged"]);
    let fetch = ["fetch", "app", "--log", &log.url()];
    world.run(&fetch).expect(0, &["is kept as", "fetched  app.receipt.json"]);
    let names = kept(&world);
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(world.read(&names[0]), pending);
    // Fetched again it is the same entry, with a proof that is as good.
    let again = world.run(&fetch);
    assert!(again.code == 0 && !again.stderr.contains("is kept as"), "{again:#?}");
    // A signature over other words.
    world.file("app", b"another build");
    world.run(&["sign", "app", "--no-log"]).expect(0, &["is kept as"]);
    let other = world.read("app.receipt.json");
    world.file("app", b"a third build");
    world.run(&["sign", "app", "--no-log"]).expect(0, &["is kept as"]);
    let names = kept(&world);
    let contents: Vec<String> = names.iter().map(|name| world.read(name)).collect();
    assert!(names.len() == 3 && contents.contains(&other) && contents.contains(&pending), "{names:?}");
    assert!(!contents.contains(&signed));
    // One receipt of several artifacts has several places: each keeps what is there.
    world.file("b", b"b");
    world.file("b.receipt.json", b"notes of mine");
    std::fs::remove_file(world.path("app.receipt.json")).expect("removed");
    world.run(&["sign", "app", "b", "--together", "--no-log"]).expect(2, &["left alone"]);
    assert_eq!(world.read("b.receipt.json"), "notes of mine");
}

#[test]
fn a_signed_receipt_is_claimed_and_logged_later() {
    let (log, world) = log_and_world();
    world.run(&["sign", "app", "--no-log"]).expect(0, &["signed"]);
    world
        .run(&["submit", "app", "--log", &log.url(), "--private"])
        .expect(0, &["logged   app.receipt.json  index 0"]);
    assert!(!log.bodies().concat().contains("envelope"));
    // Without --private it would have been another entry.
    world.run(&["sign", "app", "--no-log", "--receipts", "r"]).expect(0, &[]);
    world.run(&["submit", "r", "--log", &log.url(), "--json"]).expect(0, &["\"index\": 1"]);
}

/// Of many receipts, those that cannot be sent keep nothing from the others.
#[test]
fn what_cannot_be_submitted_is_left_and_the_others_go_on() {
    let (log, world) = log_and_world();
    world.run(&["sign", "app", "--no-log", "--receipts", "r/a"]).expect(0, &[]);
    world.file("r/b.receipt.json", b"broken");
    let elsewhere = Forge { claimed_origin: "other.example.com/log".into(), ..Forge::of("app", b"app") };
    world.file("r/c.receipt.json", elsewhere.pending_receipt().as_bytes());
    let stranger = World::new();
    stranger.run(&["init"]).expect(0, &[]);
    stranger.file("app", b"app");
    for name in ["d", "e"] {
        stranger.run(&["sign", "app", "--no-log", "--receipts", name]).expect(0, &[]);
        world.file(
            &format!("r/{name}.receipt.json"),
            stranger.read(&stranger.only(&format!("{name}/app."))).as_bytes(),
        );
    }
    world.file("r/f.receipt.json", Forge::of("app", b"app").pending_receipt().as_bytes());
    let ran = world.run(&["submit", "r", "--log", &log.url()]);
    ran.expect(
        2,
        &["cannot read the receipt `r/b.receipt.json`", "the receipt is for `other.example.com/log`"],
    );
    ran.expect(2, &["cannot claim the receipt", "note: 2 receipts: cannot claim the receipt"]);
    let lines: Vec<&str> =
        ran.stdout.lines().map(|line| line.split("  index").next().expect("a line")).collect();
    assert_eq!(
        lines,
        [
            &format!("logged   {}", world.only("r/a/app.")),
            "left     r/b.receipt.json",
            "left     r/c.receipt.json",
            "left     r/d.receipt.json",
            "left     r/e.receipt.json",
            "logged   r/f.receipt.json",
        ]
    );
    let errors = world.run(&["submit", "r", "--log", &log.url(), "--json"]).json();
    let errors: Vec<bool> =
        errors.as_array().expect("an array").iter().map(|one| one["error"].is_null()).collect();
    assert_eq!(errors, [true, false, false, false, false, true]);
    // Without a key, what needs none goes on too.
    let keyless = world.env("AIP_PRIVATE_KEY", "").env("AIP_DID", "");
    keyless
        .run(&["submit", "r", "--log", &log.url()])
        .expect(2, &["there is no identity", "logged   r/a/app"]);
}

#[test]
fn retry_after_and_202_are_followed() {
    let (log, world) = log_and_world();
    log.say([Answer::busy(), Answer::Unavailable, Answer::Committed]);
    let start = Instant::now();
    sign(&world, &log, &["app"]).expect(0, &["logged   app", "trying again"]);
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After was 1");
    // The same bytes each time, and the claim was asked for once it was committed to.
    let bodies = log.bodies();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| body == &bodies[0]), "{bodies:#?}");
    assert!(log.paths().iter().any(|path| path.starts_with("/api/v1/claims/")), "{:?}", log.paths());
}

#[test]
fn a_log_that_stays_busy_leaves_the_receipt_pending() {
    let (log, world) = log_and_world();
    log.say((0..100).map(|_| Answer::busy()));
    let ran = sign(&world, &log, &["app", "--timeout", "2s", "--json"]);
    ran.expect(2, &["the log gave no receipt in time", "the-pool-is-full"]);
    assert_eq!(
        (ran.json()[0]["state"].as_str(), state(&world, "app.receipt.json")),
        (Some("pending"), "pending")
    );
    log.say([]);
    world.run(&["submit", "app.receipt.json", "--log", &log.url()]).expect(0, &["logged"]);
    assert_eq!(state(&world, "app.receipt.json"), "logged");
}

#[test]
fn what_is_refused_is_said_in_the_logs_words_and_the_others_go_on() {
    let (log, world) = log_and_world();
    world.file("b", b"b");
    log.say([Answer::RefuseFirst]);
    let ran = sign(&world, &log, &["app", "b"]);
    ran.expect(
        2,
        &[
            "pending  app",
            "logged   b",
            "422 claim-signature: no \\u{1b}good",
            "hint: the log says: do better",
        ],
    );
    assert_eq!((state(&world, "app.receipt.json"), state(&world, "b.receipt.json")), ("pending", "logged"));
}

/// A good receipt stays where gates look for it, and what no log ever takes is not kept.
#[test]
fn what_is_refused_for_good_leaves_the_receipt_of_before_in_its_place() {
    let (log, world) = log_and_world();
    sign(&world, &log, &["app"]).expect(0, &["logged"]);
    let good = world.read("app.receipt.json");
    world.file("app", b"another build");
    world.file("b", b"b");
    let refusal = |rule: &str| {
        let problem = json!({"type": format!("urn:aip:problem:{rule}"), "title": "no", "status": 422});
        Answer::raw(422, &problem.to_string())
    };
    for rule in ["retired-key", "compromised", "deactivated"] {
        log.say([refusal(rule)]);
        let ran = sign(&world, &log, &["app", "b", "--json"]);
        ran.expect(2, &[rule, "is back there"]);
        let [app, b] = [&ran.json()[0], &ran.json()[1]]
            .map(|signed| (signed["state"].clone(), signed["receipt"].clone()));
        assert_eq!((app, b), (("refused".into(), json!(null)), ("refused".into(), json!(null))), "{rule}");
        assert_eq!((world.read("app.receipt.json"), kept(&world).len()), (good.clone(), 0), "{rule}");
        assert!(!world.path("b.receipt.json").exists(), "{rule}");
    }
    log.say([refusal("deactivated")]);
    let ran = sign(&world, &log, &["b"]);
    ran.expect(2, &["refused  b  sha256:"]);
    assert!(!ran.stdout.contains("b.receipt.json"), "{ran:#?}");
    // What the log may take later is kept to be sent again.
    log.say([refusal("not-registered")]);
    sign(&world, &log, &["b"]).expect(2, &["pending  b"]);
    assert_eq!(state(&world, "b.receipt.json"), "pending");
}

#[test]
fn what_is_too_large_for_the_log_is_sent_in_parts_or_by_hash() {
    let (log, world) = log_and_world();
    world.file("b", b"b");
    world.file("c", b"c");
    log.say([Answer::TooLarge, Answer::TooLarge]);
    sign(&world, &log, &["app", "b", "c"]).expect(0, &["logged   c"]);
    let sizes: Vec<usize> = log.bodies().iter().map(|body| body.matches("\"leaf\"").count()).collect();
    assert_eq!(sizes, [3, 2, 1, 1, 1]);
    // A budget that no batch of two fits into.
    let busy = || Answer::Raw { status: 429, headers: "Retry-After: 0\r\n".into(), body: b"{}".to_vec() };
    log.say([busy()]);
    sign(&world, &log, &["b", "c", "--receipts", "again"]).expect(0, &["logged   c"]);
    assert_eq!(log.bodies().last().expect("a body").matches("\"leaf\"").count(), 1);
    // An envelope beyond what any log publishes goes by hash from the start.
    world.file("big.json", format!("{{\"x\":\"{}\"}}", "y".repeat(1 << 20)).as_bytes());
    let ran = sign(&world, &log, &["app", "--predicate-type", "spdx", "--predicate", "big.json"]);
    ran.expect(0, &["logged by hash, so keep the receipt", "app.spdx.receipt.json"]);
    assert!(!log.bodies().last().expect("a body").contains("envelope"));
    world.file("policy", log.policy().as_bytes());
    let ran = world.run(&["verify", "app", "--predicate-type", "spdx", "--any-signer", "--policy", "policy"]);
    ran.expect(0, &["ok  "]);
}

/// What a log answers is verified before it becomes a receipt: each of these is a lie.
#[test]
fn answers_that_do_not_verify_leave_the_receipt_pending() {
    for (lie, want) in [
        (Answer::OtherLeaf, "the leaf is not the entry that was sent"),
        (Answer::NoSignature, "log-signature:"),
        (Answer::OtherProof, "inclusion:"),
        (Answer::NoProof, "does not verify"),
    ] {
        let (log, world) = log_and_world();
        log.say([lie]);
        sign(&world, &log, &["app"]).expect(1, &["does not verify", want, "pending  app"]);
        assert_eq!(state(&world, "app.receipt.json"), "pending", "{want}");
    }
}

/// A log that publishes without its witnesses, or whose witnesses are not the policy's: it is asked again, and
/// what does not pass the policy in the end is no receipt.
#[test]
fn an_answer_below_the_quorum_is_waited_for_and_left_pending() {
    let (log, world) = log_and_world();
    world.file("policy", log.policy().as_bytes());
    log.say([Answer::NoWitness]);
    sign(&world, &log, &["app", "--policy", "policy"]).expect(
        0,
        &["note: the log answers below the quorum of the policy policy (--policy)", "logged   app"],
    );
    log.stop_witness();
    let again = ["app", "--policy", "policy", "--receipts", "r", "--timeout", "2s"];
    sign(&world, &log, &again).expect(
        2,
        &[
            "pending  app",
            "error: the log gave no receipt in time",
            "the quorum `w` is not met: cosigned by none",
            "hint: the receipt stays pending",
        ],
    );
    assert_eq!(state(&world, &world.only("r/app.")), "pending");
    log.start_witness();
    world.run(&["submit", "r", "--log", &log.url(), "--policy", "policy"]).expect(0, &["logged"]);
    // A bad line of the witness is a lie, however many other lines there are: no reason to wait.
    let (log, world) = log_and_world();
    log.say([Answer::BadWitness]);
    sign(&world, &log, &["app"])
        .expect(1, &["witness-quorum: the signature line of `witness.example.com` is bad"]);
}

/// A log whose witnesses cannot make the quorum, however long it is waited for, is told at once; one that asks
/// them, or does not say whom it asks, is waited for.
#[test]
fn a_quorum_that_the_log_can_never_meet_is_told_at_once() {
    let (log, world) = log_and_world();
    let key = log.policy().lines().next().expect("a line").to_owned();
    let (w, v) = (witness_key(), crate::log::other_witness());
    let both = format!("{key}\nwitness w {}\nwitness v {}\n", w.verifier(), v.verifier());
    world.file("policy", format!("{both}group all all w v\nquorum all\n").as_bytes());
    world.file("enough", format!("{both}group any any w v\nquorum any\n").as_bytes());
    let start = Instant::now();
    let patient = ["app", "--policy", "policy", "--timeout", "60s"];
    sign(&world, &log, &patient).expect(
        2,
        &[
            "pending  app",
            "does not ask the witnesses that the policy needs",
            "the quorum `all` is not met: cosigned by w",
            "the log's own policy does not name `v`",
            "hint: the receipt stays pending",
        ],
    );
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    sign(&world, &log, &["app", "--policy", "enough", "--receipts", "r"]).expect(0, &["logged"]);
    for (policy, why) in [(both + "quorum none\n", "asks it"), (String::new(), "does not say")] {
        log.set_policy(policy);
        let patient = ["app", "--policy", "policy", "--receipts", why, "--timeout", "1s"];
        sign(&world, &log, &patient).expect(2, &["the log gave no receipt in time"]);
    }
}

/// Why a log does not publish is shown while the client waits, and at the end.
#[test]
fn a_log_below_its_own_quorum_says_so() {
    let (log, world) = log_and_world();
    log.say([Answer::BelowQuorum]);
    sign(&world, &log, &["app"])
        .expect(0, &["not yet published them: 503 below-quorum: no \\u{1b}good; trying"]);
    log.say((0..100).map(|_| Answer::raw(503, BELOW_QUORUM)));
    let ran = sign(&world, &log, &["app", "--receipts", "r", "--timeout", "2s"]);
    ran.expect(
        2,
        &[
            "note: the log answers 503 below-quorum: the quorum is not met: 1 of 2; trying again",
            "  caused by: the log answers 503 below-quorum: the quorum is not met: 1 of 2\n",
            "hint: the log says: its operator has to bring back a witness\n",
            "hint: the receipt stays pending",
        ],
    );
}

const BELOW_QUORUM: &str = r#"{"type":"urn:aip:problem:below-quorum","title":"the quorum is not met","status":503,
    "detail":"1 of 2","hint":"its operator has to bring back a witness"}"#;

#[test]
fn answers_that_are_none_are_exit_2() {
    let redirect = "Location: https://evil.example\r\n".to_owned();
    for (answer, want) in [
        (Answer::raw(200, "[]"), "0 results for 1 submissions"),
        (Answer::raw(200, "<html>"), "is malformed"),
        (Answer::raw(404, "<html>\u{1b}[2J"), "404: <html>\\u{1b}[2J"),
        (
            Answer::Raw { status: 302, headers: redirect, body: Vec::new() },
            "redirects to `https://evil.example`",
        ),
        (
            Answer::raw(401, r#"{"type":"urn:aip:problem:token","title":"no token"}"#),
            "hint: set AIP_LOG_TOKEN",
        ),
    ] {
        let (log, world) = log_and_world();
        log.say([answer]);
        sign(&world, &log, &["app"]).expect(2, &[want]);
        assert_eq!(state(&world, "app.receipt.json"), "pending");
    }
}

#[test]
fn an_answer_that_breaks_off_is_asked_for_again() {
    let (log, world) = log_and_world();
    let headers = "Content-Length: 1000\r\n".to_owned();
    log.say([Answer::Raw { status: 200, headers, body: b"[{".to_vec() }]);
    sign(&world, &log, &["app"]).expect(0, &["logged   app", "breaks off"]);
}

/// S17: a body without an end, and a small one that unpacks to a large one, are left at 17 MiB.
#[test]
fn s17_bodies_without_end_are_left() {
    for gzip in [false, true] {
        let (log, world) = log_and_world();
        log.say([Answer::Endless { gzip }]);
        let start = Instant::now();
        sign(&world, &log, &["app"]).expect(2, &["is longer than 17825792 bytes"]);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}

/// A log that signs what no disk holds, and one that has what nobody waits for: the time is kept, and nothing of it
/// stays.
#[test]
fn a_log_without_end_is_left_when_the_time_is_over_and_leaves_nothing() {
    let (log, world) = log_and_world();
    world.file("policy", log.policy().as_bytes());
    let (url, did) = (log.url(), did().to_string());
    let sync = ["trust", &did, "--sync", "--policy", "policy", "--log", &url, "--root", &did];
    for (height, want) in [(50, "is larger than what is read whole"), (24, "there is no time left")] {
        log.be_immense(height);
        let start = Instant::now();
        world.run(&[&sync[..], &["--timeout", "2s"]].concat()).expect(2, &[want]);
        assert!(start.elapsed() < Duration::from_secs(10), "{height}: {:?}", start.elapsed());
        let left = |name: &&String| world.path(name).metadata().expect("a file").len() > 100_000;
        assert_eq!(world.files().iter().find(left), None, "{height}");
    }
}

#[test]
fn a_token_goes_along_where_it_is_private() {
    let (log, world) = log_and_world();
    let world = world.env("AIP_LOG_TOKEN", "t0ken");
    let ran = sign(&world, &log, &["app"]);
    ran.expect(0, &["logged"]);
    // With what is submitted, and with nothing that is only read.
    assert!(log.heads().iter().any(|head| head.starts_with("GET ")), "{:?}", log.heads());
    for head in log.heads() {
        let has_token = head.to_lowercase().contains("authorization: bearer t0ken");
        assert_eq!(has_token, head.starts_with("POST /api/v1/entries"), "{head}");
    }
    assert!(!ran.stderr.contains("t0ken") && !ran.stdout.contains("t0ken"));
    world.run(&["sign", "app", "--log", "http://log.example.com"]).expect(2, &["in the clear"]);
    // A file that was read into the variable ends in a newline.
    for token in ["t0ken\n", "t0ken\r\n\n", " t0ken "] {
        let world = World::with_key().env("AIP_LOG_TOKEN", token);
        world.file("app", token.as_bytes());
        let before = log.heads().len();
        sign(&world, &log, &["app"]).expect(0, &["logged"]);
        let heads = log.heads().split_off(before).concat().to_lowercase();
        assert!(heads.contains("authorization: bearer t0ken\r\n"), "{heads}");
    }
}

/// A log that moved: what is named is the log there, and no file below it.
#[test]
fn a_redirect_names_the_log_and_not_what_was_asked_of_it() {
    let (log, world) = log_and_world();
    let moved =
        |to: &str| Answer::Raw { status: 301, headers: format!("Location: {to}\r\n"), body: Vec::new() };
    for (to, want) in [
        ("https://new.example/pipelines/api/v1/entries", "redirects to `https://new.example/pipelines`\n"),
        ("//new.example/api/v1/entries", "redirects to `http://new.example`\n"),
        ("https://new.example/welcome", "redirects to `https://new.example/welcome`\n"),
    ] {
        log.say([moved(to)]);
        sign(&world, &log, &["app"]).expect(2, &[want, "name the log there"]);
    }
}

/// A log that cannot be reached and a proxy that cannot are two faults.
#[test]
fn a_proxy_that_is_not_there_is_not_taken_for_the_log() {
    let world = World::with_key().env("HTTP_PROXY", "http://user:s3cret@127.0.0.1:1");
    world.file("app", b"app");
    let sign = ["sign", "app", "--log", "http://log.example.com", "--timeout", "1s"];
    let ran = world.run(&sign);
    let want = "cannot reach `http://log.example.com/checkpoint` through the proxy `127.0.0.1:1`";
    ran.expect(2, &[want, "Connection refused", "NO_PROXY names hosts"]);
    assert!(!ran.stderr.contains("s3cret"), "{ran:#?}");
    let ran = world.env("NO_PROXY", "log.example.com").run(&sign);
    assert!(ran.code == 2 && !ran.stderr.contains("proxy"), "{ran:#?}");
}

/// What somebody on the way cuts off for its length gets through in parts.
#[test]
fn a_batch_that_is_cut_or_comes_too_slowly_is_sent_in_parts() {
    for cut in
        [|| Answer::HangUp, || Answer::raw(408, r#"{"type":"urn:aip:problem:body-timeout","title":"slow"}"#)]
    {
        let (log, world) = log_and_world();
        world.file("b", b"b");
        world.file("c", b"c");
        log.say([cut(), cut()]);
        sign(&world, &log, &["app", "b", "c"]).expect(0, &["logged   c"]);
        let sizes: Vec<usize> = log.bodies().iter().map(|body| body.matches("\"leaf\"").count()).collect();
        assert_eq!(sizes, [3, 2, 1, 1, 1]);
    }
}

/// The proxy is another log here: if it were asked, it would have the bodies.
#[test]
fn this_machine_is_asked_without_a_proxy() {
    let (log, world) = log_and_world();
    let proxy = Log::start();
    let mut world = world.env("AIP_LOG_TOKEN", "t0ken");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        world = world.env(name, &proxy.url());
    }
    sign(&world, &log, &["app"]).expect(0, &["logged"]);
    assert!(proxy.heads().is_empty(), "{:?}", proxy.heads());
    // Elsewhere it is.
    let world = world.env("AIP_LOG_TOKEN", "");
    let ran = world.run(&["sign", "app", "--log", "http://log.example.com", "--receipts", "r"]);
    assert!(proxy.heads()[0].starts_with("GET http://log.example.com/checkpoint"), "{ran:#?}");
}

#[test]
fn pinning_again_shows_what_changed_and_refuses_less() {
    let log = Log::start();
    let world = World::new();
    let pin = |flags: &[&str]| world.run(&[&["policy", "pin", &log.url()], flags].concat());
    pin(&["--yes"]).expect(0, &["pinned log.example.com/pipelines at size 0"]);
    // The same policy needs no confirmation.
    pin(&[]).expect(0, &["pinned"]);
    let key = log.policy().lines().next().expect("a line").to_owned();
    log.set_policy(format!("{key}\nquorum none\n"));
    pin(&["--yes"]).expect(2, &["- quorum w", "+ quorum none", "met by 0 cosignatures", "--accept-weaker"]);
    pin(&["--accept-weaker"]).expect(2, &["nobody is there to confirm"]);
    pin(&["--accept-weaker", "--yes"]).expect(0, &["pinned"]);
    // More is no reason to refuse.
    log.set_policy(format!("{key}\nwitness w {}\nquorum w\n", witness_key().verifier()));
    pin(&["--yes"]).expect(0, &["+ quorum w"]);
    // A policy that its own log does not satisfy yet.
    log.set_policy(format!("{key}\nwitness v {}\nquorum v\n", crate::log::other_witness().verifier()));
    pin(&["--yes"]).expect(2, &["does not satisfy the policy", "the quorum `v` is not met"]);
    world.run(&["policy", "show"]).expect(0, &["log.example.com/pipelines", "seen     size 0"]);
}

/// What people compare is the first line and the last, and a changed line shows whose key it has.
#[test]
fn a_policy_that_is_offered_is_shown_between_its_fingerprint() {
    let log = Log::start();
    let world = World::new();
    let shown = |ran: &Ran| {
        let lines: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        let fingerprint = format!("fingerprint {}", log.fingerprint());
        assert!(lines[0] == fingerprint && lines[lines.len() - 2] == fingerprint, "{ran:#?}");
        assert!(!ran.stdout.contains("+AdBKsj"), "no whole key: {ran:#?}");
        lines
    };
    let ran = world.run(&["policy", "pin", &log.url(), "--yes"]);
    assert_eq!(shown(&ran)[1], "log      log.example.com/pipelines  Ed25519  1d6673ac");
    let key = log.policy().lines().next().expect("a line").to_owned();
    log.set_policy(format!("{key} {}\nwitness w {}\nquorum w\n", log.url(), witness_key().verifier()));
    let ran = world.run(&["policy", "pin", &log.url(), "--yes"]);
    ran.expect(0, &[&format!("+ log log.example.com/pipelines  Ed25519  1d6673ac {}\n", log.url())]);
    shown(&ran);
    // The whole keys, and the log's URL: what goes into a repository.
    world.run(&["policy", "show", "log.example.com/pipelines"]).expect(0, &[&log.policy()]);
}

/// A person who typed an address is not held for a minute because nobody is there.
#[test]
fn pinning_does_not_wait_long_for_an_address_where_nobody_is() {
    let world = World::new();
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("http://{nobody}");
    world.file("policy", policy().as_bytes());
    for arguments in [&["policy", "pin", &url[..]][..], &["policy", "pin", &url, "--policy", "policy"]] {
        // Ten minutes are for a log that answers, and not now; three seconds for one that is being started.
        let ran = world.run(&[arguments, &["--timeout", "600s"]].concat());
        ran.expect(2, &["cannot reach", "check the log's URL"]);
        assert!(!ran.stderr.contains("trying again for 59"), "{ran:#?}");
    }
    world.run(&["policy", "pin", &url, "--policy", "policy"]).expect(2, &["pins the file and asks nobody"]);
}

/// A file is pinned without a log to ask, and judges what the log shows from then on.
#[test]
fn a_file_is_pinned_offline() {
    let (log, world) = log_and_world();
    let url = log.url();
    let (key, rest) = {
        let policy = log.policy();
        let (key, rest) = policy.split_once('\n').expect("lines");
        (key.to_owned(), rest.to_owned())
    };
    world.file("policy", format!("{key} {url}\n{rest}").as_bytes());
    world.file("nowhere", log.policy().as_bytes());
    world.file("none", b"quorum none\n");
    let pin = |flags: &[&str]| world.run(&[&["policy", "pin"], flags].concat());
    pin(&[]).expect(2, &["<URL>"]);
    pin(&["--policy", "none"]).expect(2, &["the policy names no log"]);
    pin(&["--policy", "nowhere"]).expect(2, &["does not say where the log", "--offline"]);
    let other = format!("sha256:{}", "0".repeat(64));
    pin(&["--policy", "policy", "--expect", &other]).expect(1, &["another fingerprint"]);
    assert!(!world.path(".aip").exists());
    pin(&["--policy", "policy"])
        .expect(0, &["fingerprint sha256:", &format!("at {url}, which was not asked"), "log sync"]);
    assert!(log.paths().is_empty(), "{:?}", log.paths());
    // The URL of before is kept where the file says none.
    pin(&["--policy", "nowhere"]).expect(0, &[&format!("at {url}, which was not asked")]);
    pin(&[&url, "--policy", "nowhere", "--offline"]).expect(0, &["which was not asked"]);
    sign(&world, &log, &["app"]).expect(0, &["logged"]);
    world.run(&["verify", "app", "--any-signer"]).expect(0, &["pinned for log.example.com/pipelines"]);
    world.run(&["log", "sync"]).expect(0, &["size 1, was 0"]);
    // What was seen stays when the file is pinned again, and a weaker one is refused as online.
    pin(&["--policy", "policy"]).expect(0, &[]);
    log.truncate(0);
    world.run(&["log", "sync"]).expect(1, &["size 0, and had 1 before"]);
    world.file("weaker", format!("{key} {url}\nquorum none\n").as_bytes());
    pin(&["--policy", "weaker"]).expect(2, &["weaker than the pinned one"]);
    let stranger = crate::log::other_log().verifier().to_string();
    world.file("two", format!("{key} {url}\nlog {stranger} http://127.0.0.1:9\nquorum none\n").as_bytes());
    pin(&["--policy", "two"]).expect(2, &["several logs"]);
    pin(&["http://127.0.0.1:9", "--policy", "two", "--offline"]).expect(0, &["at http://127.0.0.1:9, which"]);
}

#[test]
fn another_key_for_a_pinned_log_needs_replace() {
    let (log, other) = (Log::start(), Log::start_with_key([7; 32]));
    let world = World::new();
    world.run(&["policy", "pin", &log.url(), "--yes"]).expect(0, &[]);
    world.run(&["policy", "pin", &other.url(), "--yes"]).expect(2, &["another key is pinned", "--replace"]);
    world.run(&["policy", "pin", &other.url(), "--yes", "--replace"]).expect(0, &["pinned"]);
    let pins = world.run(&["policy", "show", "--json"]).json();
    assert_eq!(pins["pins"].as_array().map(Vec::len), Some(1));
    assert_eq!(pins["pins"][0]["url"], other.url());
}

#[test]
fn a_log_that_goes_back_or_forks_is_found_out() {
    let (log, world) = log_and_world();
    world.file("b", b"b");
    world.file("c", b"c");
    let pin = || world.run(&["policy", "pin", &log.url(), "--yes"]);
    sign(&world, &log, &["app", "b"]).expect(0, &[]);
    pin().expect(0, &["at size 2"]);
    sign(&world, &log, &["c"]).expect(0, &[]);
    pin().expect(0, &["at size 3"]);
    log.truncate(1);
    pin().expect(1, &["contradicts what was seen of it", "size 1, and had 3 before"]);
    // The same size with other entries.
    log.truncate(0);
    sign(&world, &log, &["c", "b", "app", "--receipts", "r"]).expect(1, &["the log has forked"]);
    pin().expect(1, &["contradicts what was seen of it"]);
    // Larger, and not an extension.
    world.file("d", b"d");
    sign(&world, &log, &["d"]).expect(0, &["logged"]);
    pin().expect(1, &["size 3 is not the beginning of size 4"]);
    let pins = world.run(&["policy", "show", "--json"]).json();
    assert_eq!(pins["pins"][0]["size"], 3, "a contradiction changes no pin");
}

#[test]
fn fetch_finds_a_receipt_by_digest() {
    let (log, world) = log_and_world();
    let url = log.url();
    world.file("other", b"other");
    world.file("policy", log.policy().as_bytes());
    sign(&world, &log, &["app", "--receipts", "r"]).expect(0, &[]);
    let fetch = |arguments: &[&str]| {
        world
            .run(&[&["fetch"], arguments, &["--log", &url, "--policy", "policy", "--timeout", "3s"]].concat())
    };
    fetch(&["app"]).expect(0, &["fetched  app.receipt.json  index 0"]);
    world.run(&["verify", "app", "--any-signer", "--policy", "policy"]).expect(0, &["ok  "]);
    fetch(&["other"]).expect(2, &["the log lists no such entry"]);
    // A second entry by the same DID, of another kind; and one by somebody else.
    world.file("p.json", b"{}");
    sign(&world, &log, &["app", "--predicate-type", "vsa", "--predicate", "p.json"]).expect(0, &[]);
    fetch(&["app"]).expect(2, &["index 0", "index 1", "2 entries are about this artifact", "--signer"]);
    let own = did().to_string();
    fetch(&["app", "--signer", &own, "-o", "newest.json"]).expect(0, &["index 1"]);
    fetch(&["app", "--predicate-type", "provenance", "-o", "first.json"]).expect(0, &["index 0"]);
    let stranger = World::new();
    stranger.run(&["init"]).expect(0, &[]);
    stranger.file("app", b"app");
    sign(&stranger, &log, &["app"]).expect(0, &[]);
    let theirs = stranger.run(&["whoami", "--json"]).json()["did"].as_str().expect("text").to_owned();
    fetch(&["app", "--signer", &own, "--signer", &theirs]).expect(2, &["3 entries"]);
    fetch(&["app", "--signer", &theirs, "-o", "theirs.json"]).expect(0, &["index 2"]);
    assert_eq!(fetch(&["app", "--json"]).json()["entries"].as_array().map(Vec::len), Some(3));
    // The same bytes signed under another name later: the receipt that fits the file is the older one.
    world.file("copy/of", b"app");
    sign(&world, &log, &["copy/of", "--receipts", "r"]).expect(0, &["index 3"]);
    let provenance = ["--signer", &own, "--predicate-type", "provenance"];
    fetch(&[&["app", "-o", "fits.json"], &provenance[..]].concat()).expect(0, &["index 0"]);
    fetch(&[&["copy/of", "-o", "copy.json"], &provenance[..]].concat()).expect(0, &["index 3"]);
    // A digest stands for the file, and has no name.
    let digest = format!("sha256:{}", tlog::Hash::of(b"app"));
    fetch(&[&digest, "--signer", &own]).expect(2, &["use --output"]);
    fetch(&[&digest, "--signer", &own, "--output", "by-digest.json"]).expect(0, &["by-digest.json"]);
    fetch(&["app", "--predicate-type", "vssa"]).expect(2, &["neither a URI nor one of cyclonedx"]);
    // Not over a file that is somebody's.
    world.file("notes", b"mine");
    fetch(&["app", "--signer", &own, "-o", "notes"]).expect(2, &["left alone"]);
    // An erased envelope.
    log.erase();
    fetch(&["app", "--signer", &own, "-o", "late.json"]).expect(2, &["410", "the signer has the receipt"]);
}

#[test]
fn fetch_believes_no_list() {
    let (log, world) = log_and_world();
    world.file("other", b"other");
    sign(&world, &log, &["other"]).expect(0, &[]);
    // Entries about something else, and bytes that are none.
    log.list_anyway();
    let ran = world.run(&["fetch", "app", "--log", &log.url()]);
    ran.expect(2, &["prove no signer of this artifact", "the log lists no such entry"]);
    // A next page elsewhere.
    log.say([Answer::raw(
        200,
        &json!({"entries": [], "next": "//evil.example/api/v1/entries?x"}).to_string(),
    )]);
    world.run(&["fetch", "app", "--log", &log.url()]).expect(2, &["the next page is not one of"]);
}
