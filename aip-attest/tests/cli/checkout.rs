//! What a checkout may say: whoever changes a branch, or proposes a change, writes its policy and its settings.

use serde_json::{Value, json};
use tlog::Hash;

use crate::action::{key, with, world};
use crate::log::Log;
use crate::runner::{Run, run};
use crate::world::{Forge, World, did, policy};

/// The policy of this log, with its URL.
fn policy_of(log: &Log) -> String {
    log.policy().replacen('\n', &format!(" {}\n", log.url()), 1)
}

fn sha256(text: &str) -> String {
    Hash::of(text.as_bytes()).to_string()
}

/// The announced use, in a pull request of this repository or in another event.
fn in_event(world: &World, event: &str, more: &[(&str, &str)]) -> Run {
    let file = json!({"repository": {"id": 1}, "pull_request": {"head": {"repo": {"id": 1}}}});
    let file = world.file("event.json", file.to_string().as_bytes()).to_string_lossy().into_owned();
    let (own, key) = (did().to_string(), key());
    run(world, &with(&own, &key, more), &[("GITHUB_EVENT_NAME", event), ("GITHUB_EVENT_PATH", &file)])
}

/// A pull request's author writes the policy in the checkout: nothing is judged by it that the workflow does not fix.
#[test]
fn a_proposed_policy_counts_only_by_its_digest() {
    let (log, world) = (Log::start(), world());
    let text = policy_of(&log);
    world.file(".aip/policy", text.as_bytes());
    let line = format!("policy-sha256: '{}'", sha256(&text));
    let fixed = [("policy-sha256", &*sha256(&text).leak())];
    for event in ["pull_request", "merge_group", "pull_request_target"] {
        let allowed = [("allow-untrusted-event", "true")];
        let refused = in_event(&world, event, &allowed);
        refused.expect(false, &["::error ", "from the checkout", &line]);
        in_event(&world, event, &[&allowed[..], &fixed].concat()).expect(true, &[]);
    }
    assert!(!log.bodies().is_empty());
    let sent = log.bodies().len();
    // By whatever name: an input, and links that lead in and out.
    let outside = tempfile::tempdir().expect("a folder");
    let far = outside.path().join("policy");
    std::fs::write(&far, &text).expect("written");
    std::os::unix::fs::symlink(&far, world.path("out")).expect("a link");
    std::os::unix::fs::symlink(world.path(".aip/policy"), outside.path().join("in")).expect("a link");
    std::os::unix::fs::symlink(world.path(".aip"), outside.path().join("folder")).expect("a link");
    for name in [
        ".aip/policy".into(),
        world.path("out"),
        outside.path().join("in"),
        outside.path().join("folder/policy"),
    ] {
        let name = name.to_string_lossy().into_owned();
        in_event(&world, "pull_request", &[("policy", &name)]).expect(false, &["from the checkout", &line]);
    }
    assert_eq!(log.bodies().len(), sent, "nothing was sent");
    let far = far.to_string_lossy().into_owned();
    in_event(&world, "pull_request", &[("policy", &far)]).expect(true, &[]);
    // Who signs nothing needs none.
    let unsigned = [("private-key", ""), ("if-no-key", "skip")];
    in_event(&world, "pull_request", &unsigned).expect(true, &["there is no private key"]);
    // Where it was committed to a branch of the repository it counts, and the output says whose word it is.
    in_event(&world, "push", &[]).expect(true, &["from the checkout", &line]);
    let other = [("policy-sha256", &*"0".repeat(64).leak())];
    in_event(&world, "push", &other).expect(false, &["has another fingerprint"]);
}

/// Workflows that set HOME to the checkout find there what a pull request's author pins for them.
#[test]
fn pins_of_the_checkout_are_not_the_machines() {
    let (log, world) = (Log::start(), world());
    world.run(&["policy", "pin", &log.url(), "--yes"]).expect(0, &[]);
    for event in ["push", "pull_request"] {
        let own = did().to_string();
        for step in [in_event(&world, event, &[]), in_event(&world, event, &gate(&own, &[]))] {
            step.expect(false, &["::error ", "the pins in `", "are from the checkout"]);
        }
    }
    assert!(log.bodies().is_empty());
    // The same pins in a home of the machine count.
    let home = tempfile::tempdir().expect("a folder");
    std::fs::rename(world.path(".aip"), home.path().join(".aip")).expect("moved");
    let (own, key, home) = (did().to_string(), key(), home.path().to_string_lossy().into_owned());
    run(&world, &with(&own, &key, &[]), &[("HOME", &home)]).expect(true, &[]);
    assert!(!log.bodies().is_empty());
}

fn gate<'a>(did: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("sign-paths", ""), ("verify-did", did), ("trust-threshold", "0.5")], more].concat()
}

/// `decay = "1"`, `max-hops = 7`, roots: what a pull request could put into trust.toml to open a gate, or take out of it.
#[test]
fn settings_of_a_checkout_count_only_by_their_digest_and_are_never_passed_over() {
    let world = world();
    let own = did().to_string();
    world.file(".aip/policy", policy().as_bytes());
    let settings = "version = 1\n[trust]\ndecay = \"1\"\nmin-paths = 2\n";
    world.file(".aip/trust.toml", settings.as_bytes());
    let line = format!("trust-sha256: '{}'", sha256(settings));
    for event in ["push", "schedule", "workflow_dispatch"] {
        let refused = in_event(&world, event, &gate(&own, &[]));
        refused.expect(false, &["::error ", "nothing fixes the settings `.aip/trust.toml`", &line]);
        assert_eq!(refused.outputs["verified"], "false");
        assert!(refused.summary.contains("Could not tell"), "{}", refused.summary);
    }
    // Fixed, they are read; what fails then is that the policy names no log's URL.
    let right = sha256(settings);
    in_event(&world, "push", &gate(&own, &[("trust-sha256", &right)]))
        .expect(false, &["names 0 logs with a URL"]);
    let other = "0".repeat(64);
    let refused = in_event(&world, "push", &gate(&own, &[("trust-sha256", &other)]));
    refused.expect(false, &["have another fingerprint", &right]);
    // Beside no policy, it is still there.
    std::fs::remove_file(world.path(".aip/policy")).expect("removed");
    in_event(&world, "push", &gate(&own, &[("log-url", "https://log.example.com")])).expect(false, &[&line]);
    // Taken out, and a link that leads nowhere.
    std::fs::remove_file(world.path(".aip/trust.toml")).expect("removed");
    let gone = in_event(&world, "push", &gate(&own, &[("trust-sha256", &right)]));
    gone.expect(false, &["there is no trust.toml that could have it"]);
    std::os::unix::fs::symlink("nowhere", world.path(".aip/trust.toml")).expect("a link");
    in_event(&world, "push", &gate(&own, &[])).expect(false, &["cannot use the settings `.aip/trust.toml`"]);
    // What only signs uses none.
    in_event(&world, "push", &[]).expect(true, &[]);
}

/// Each setting of trust.toml is an input, and judged as in the file.
#[test]
fn each_setting_is_an_input() {
    let world = world();
    let own = did().to_string();
    for (name, bad, why) in [
        ("verify-max-checkpoint-age", "soon", "not a duration"),
        ("trust-newcomer", "2", "`trust.newcomer`"),
        ("trust-decay", "0", "a number above 0"),
        ("trust-decay", "0.5\n0.8", "a number above 0"),
        ("trust-max-hops", "9", "not from 1 to 7"),
        ("trust-min-paths", "two", "it is not a whole number"),
        ("trust-min-checkpoint", "log.example.com/pipelines", "it is not ORIGIN=SIZE"),
    ] {
        let refused = in_event(&world, "push", &gate(&own, &[(name, bad)]));
        refused.expect(false, &[&format!("the input `{name}` is"), why]);
        in_event(&world, "push", &[(name, bad)]).expect(false, &["`verify-did` is empty"]);
    }
    let bad = [("verify-paths", "dist/*"), ("verify-max-age", "soon")];
    in_event(&world, "push", &gate(&own, &bad)).expect(false, &["the input `verify-max-age` is `soon`"]);
    // Half a gate is none.
    for half in [("verify-receipts-dir", "receipts"), ("verify-max-age", "90d")] {
        in_event(&world, "push", &gate(&own, &[half]))
            .expect(false, &["is set, and `verify-paths` is empty"]);
    }
}

/// A list that is set and names nobody does not fall back to whom somebody else names.
#[test]
fn roots_that_name_nobody_are_an_error() {
    let world = world();
    let own = did().to_string();
    for roots in [",", ", ,", ",\n,", "\t,\u{a0}"] {
        let refused = in_event(&world, "push", &gate(&own, &[("trust-roots", roots)]));
        refused.expect(false, &["the input `trust-roots` is set, and has no DID"]);
    }
}

/// The token is for one log. A file that comes with a checkout does not say which.
#[test]
fn a_token_goes_where_the_workflow_says() {
    let (log, world) = (Log::start(), world());
    let text = policy_of(&log);
    world.file(".aip/policy", text.as_bytes());
    let (own, key) = (did().to_string(), key());
    let step = |more: &[(&str, &str)]| run(&world, &with(&own, &key, more), &[("AIP_LOG_TOKEN", "t0ken\n")]);
    step(&[]).expect(
        false,
        &["::error ", "only a policy file says which log it is for", "`log-url`", "`policy-sha256`"],
    );
    step(&[("policy", ".aip/policy")]).expect(false, &["only a policy file says"]);
    assert!(log.heads().is_empty(), "{:?}", log.heads());
    for (more, receipts) in [(("log-url", log.url()), "a"), (("policy-sha256", sha256(&text)), "b")] {
        let before = log.heads().len();
        step(&[(more.0, &more.1), ("receipts-dir", receipts)]).expect(true, &[]);
        let heads = log.heads().split_off(before);
        let has_token = |head: &&String| head.to_lowercase().contains("authorization: bearer t0ken\r\n");
        assert!(heads.iter().any(|head| head.starts_with("POST ")), "{heads:?}");
        for head in &heads {
            assert_eq!(has_token(&head), head.starts_with("POST /api/v1/entries"), "{head}");
        }
    }
    // The log of another file than the fixed one gets nothing.
    let before = log.heads().len();
    step(&[("policy-sha256", &"0".repeat(64))]).expect(false, &["has another fingerprint"]);
    assert_eq!(log.heads().len(), before);
}

/// On the command line too: it is not sent, the user is told, and the log says what it wants.
#[test]
fn a_working_tree_does_not_get_the_users_token() {
    let log = Log::start();
    let world = World::with_key().env("AIP_LOG_TOKEN", "t0ken");
    world.file("app", b"app");
    world.file(".aip/policy", policy_of(&log).as_bytes());
    let has_token = || log.heads().concat().to_lowercase().contains("authorization");
    let url = log.url();
    world.run(&["sign", "app"]).expect(0, &["logged", "warning: AIP_LOG_TOKEN is not sent", &url]);
    assert!(!has_token());
    world.run(&["sign", "app", "--receipts", "r", "--log", &url]).expect(0, &["logged"]);
    assert!(has_token());
}

/// Settings that come with a checkout do not take the place of those that the user made.
#[test]
fn a_checkouts_settings_do_not_replace_the_users_own() {
    let world = World::new();
    let (name, content) = ("app", b"hello artifact\n");
    world.file("work/app", content);
    world.file("work/.aip/policy", policy().as_bytes());
    let mut forge = Forge::of(name, content);
    forge.logged_at -= 3 * 86_400_000;
    world.file("work/app.receipt.json", forge.receipt().as_bytes());
    let verify = || {
        let mut command = world.command(crate::world::PROGRAM);
        command.current_dir(world.path("work")).args(["verify", "app", "--any-signer"]);
        let output = command.output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("UTF-8"))
    };
    let lax = b"version = 1\nmax-age = \"90d\"\n";
    world.file("work/.aip/trust.toml", lax);
    let (code, text) = verify();
    assert_eq!(code, Some(0), "who has none uses those of the checkout: {text}");
    assert!(text.contains("setting max-age 90d: .aip/trust.toml (working tree)"), "{text}");
    world.file(".aip/trust.toml", b"version = 1\nmax-age = \"1d\"\n");
    let (code, text) = verify();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the settings `.aip/trust.toml` of the working tree are passed over"), "{text}");
    assert!(text.contains("trust.toml (your own)"), "{text}");
    std::fs::remove_file(world.path("work/.aip/trust.toml")).expect("removed");
    let (code, text) = verify();
    assert!(code == Some(1) && !text.contains("passed over"), "{text}");
}

#[test]
fn policy_check_prints_both_digests() {
    let world = World::new();
    let (text, settings) = (policy(), "version = 1\nmax-age = \"90d\"\n");
    world.file(".aip/policy", text.as_bytes());
    let ran = world.run(&["policy", "check", "--json"]);
    assert_eq!(
        (ran.json()["sha256"].as_str(), ran.json()["trustSha256"].as_str()),
        (Some(&*sha256(&text)), None)
    );
    world.file(".aip/trust.toml", settings.as_bytes());
    let both = [
        format!("\nsha256:{}\n", sha256(&text)),
        format!("\nsha256:{}  .aip/trust.toml\n", sha256(settings)),
    ];
    for file in [&[][..], &[".aip/policy"]] {
        world.run(&[&["policy", "check"], file].concat()).expect(0, &[&both[0], &both[1]]);
        let json = world.run(&[&["policy", "check", "--json"], file].concat()).json();
        assert_eq!(json["trustSha256"], Value::String(sha256(settings)));
    }
}
