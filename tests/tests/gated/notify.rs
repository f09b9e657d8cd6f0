//! The announced step that tells a partner, word for word, behind the action; and what a partner's step makes of a text that
//! would like to be more than text.

use std::fs;

use serde_json::Value;
use testkit::log::Log;
use testkit::someone::Someone;

use crate::runner::{Run, Script, script, yaml};
use crate::world::{Secrets, World, secrets, step};

/// "Agent-to-Agent CI", as it was announced.
const ANNOUNCED: &str = r#"- name: Notify partner
  run: |
    aip message $PARTNER_DID "Build ${{ github.sha }} complete. Artifacts signed."
  env:
    AIP_DID: ${{ secrets.AIP_DID }}
    AIP_PRIVATE_KEY: ${{ secrets.AIP_PRIVATE_KEY }}
"#;

const SHA: &str = "3f1c2a9d7be04f1e86a0c5d2b9e7f64810c3a5d2";

/// A job on an empty machine: nothing names a log but the action's input `log-url`.
fn built(pipeline: &Secrets, log: Option<&Log>) -> (World, Run) {
    let world = World(Someone::new());
    world.file("dist/app", b"an app");
    let url = log.map(Log::url);
    let inputs: Vec<(&str, &str)> = url.iter().map(|url| ("log-url", url.as_str())).collect();
    let run = step(&world, pipeline, &[&[("sign-paths", "dist/*")], &inputs[..]].concat());
    run.expect(true, &[]);
    (world, run)
}

fn notify(world: &World, run: &Run, pipeline: &Secrets, job: &[(&str, &str)]) -> Script {
    let values =
        [("github.sha", SHA), ("secrets.AIP_DID", &pipeline.did), ("secrets.AIP_PRIVATE_KEY", &pipeline.key)];
    let steps = yaml(ANNOUNCED);
    let done = script(world, &steps[0], run, job, &values);
    assert!(done.wrote.is_empty() && done.commands.is_empty(), "{done:#?}");
    assert!(!done.printed.contains(&pipeline.key), "{done:#?}");
    done
}

#[test]
fn the_announced_step_tells_a_partner_and_is_red_where_it_cannot() {
    let log = Log::start(&[]);
    let (pipeline, partner) = (secrets(&log, &[]), secrets(&log, &[]));
    let (world, run) = built(&pipeline, Some(&log));
    let to_partner = [("PARTNER_DID", partner.did.as_str()), ("AIP_TIMEOUT", "10s")];

    let green = notify(&world, &run, &pipeline, &to_partner);
    assert_eq!(green.code, 0, "{green:#?}");
    let json = partner.owner.json(&["inbox", "--from", &pipeline.did]);
    let [got] = &json["messages"].as_array().expect("messages")[..] else { panic!("{json:#}") };
    assert_eq!(got["body"], format!("Build {SHA} complete. Artifacts signed."));
    assert_eq!((got["verdict"].as_str(), got["registered"].as_bool()), (Some("accepted"), Some(true)));
    assert_eq!(json["checkpoint"]["origin"], testkit::log::ORIGIN);
    // Its own key is all that the pipeline has to read with, and the message was not for it.
    let (code, out, err) = pipeline.owner.run(&["inbox"]);
    assert!(code == 0 && !out.contains("Build"), "{out}{err}");

    // The variable is not set: the text would be the recipient.
    for unset in [&[][..], &[("PARTNER_DID", "")]] {
        let red = notify(&world, &run, &pipeline, unset);
        assert!(red.code != 0 && red.printed.contains("PARTNER_DID"), "{red:#?}");
    }
    // Nothing names a log.
    let (world, run) = built(&pipeline, None);
    let red = notify(&world, &run, &pipeline, &to_partner);
    assert!(red.code != 0 && red.printed.contains("no log is named"), "{red:#?}");
    // Nobody reads there any more.
    partner.owner.ok(&["deactivate", "--yes"]);
    let (world, run) = built(&pipeline, Some(&log));
    let red = notify(&world, &run, &pipeline, &to_partner);
    assert!(red.code == 1 && red.printed.contains("recipient-state"), "{red:#?}");
    // The log is down.
    drop(log);
    let red = notify(&world, &run, &pipeline, &[&to_partner[..], &[("AIP_TIMEOUT", "1s")]].concat());
    assert!(red.code == 2, "{red:#?}");
}

/// What a message says is printed in a partner's step, and the runner takes none of it for a command.
#[test]
fn no_text_of_a_message_is_a_command_of_the_runner() {
    let log = Log::start(&[]);
    let (pipeline, partner) = (secrets(&log, &[]), secrets(&log, &[]));
    let bodies = [
        "::add-mask::Build",
        "  ::set-env name=PATH::/tmp/evil",
        "##[set-env name=A]b ##[error]c ###[warning]d",
        "\u{1b}]0;title\u{7}\u{1b}[31mred\u{9b}2J",
        "gpj.\u{202e}exe \u{2066}isolated",
        "one\r::error::two\n::error::three\u{85}::error::four\u{2028}::error::five",
        "$(touch made) `touch made` ; touch made",
        "name=value\nAIP_DID=did:aip:0",
    ];
    for body in bodies {
        let sent = pipeline.owner.aip(&["message", &partner.did, body]).output().expect("aip runs");
        assert!(sent.status.success(), "{sent:?}");
    }
    // No shell passes a NUL.
    let mut with_nul = pipeline.owner.aip(&["message", &partner.did, "-"]);
    let file = pipeline.owner.work().join("nul");
    fs::write(&file, b"before\0after\n::error::x").expect("written");
    assert!(with_nul.stdin(fs::File::open(&file).expect("a file")).status().expect("aip runs").success());

    let (world, run) = built(&partner, Some(&log));
    world.file("policy", &log.bytes("/policy"));
    let secrets = [("secrets.AIP_DID", partner.did.as_str()), ("secrets.AIP_PRIVATE_KEY", &partner.key)];
    for command in
        ["aip inbox --save mail", "aip inbox --json", "aip messages --ack --json >out.json; cat out.json"]
    {
        let text = format!(
            "- run: {command}\n  env:\n    AIP_DID: ${{{{ secrets.AIP_DID }}}}\n    AIP_PRIVATE_KEY: ${{{{ secrets.AIP_PRIVATE_KEY }}}}\n"
        );
        let job = [("AIP_POLICY", "policy")];
        let done = script(&world, &yaml(&text)[0], &run, &job, &secrets);
        assert_eq!(done.code, 0, "{done:#?}");
        assert_eq!(done.commands, [""; 0], "{command}: {done:#?}");
        assert!(done.wrote.is_empty() && !world.path("made").exists(), "{done:#?}");
        for text in ["add-mask", "set-env name=PATH", "red", "after", "touch made"] {
            assert!(done.printed.contains(text), "{text} is to be read: {done:#?}");
        }
        let is_tame =
            |c: char| c == '\n' || !c.is_control() && !matches!(c, '\u{202e}' | '\u{2066}' | '\u{2028}');
        assert!(done.printed.chars().all(is_tame), "{done:#?}");
    }
    let json: Value =
        serde_json::from_slice(&fs::read(world.path("out.json")).expect("a file")).expect("JSON");
    let got: Vec<&str> = json["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|one| one["body"].as_str())
        .collect();
    assert_eq!(got[..bodies.len()], bodies, "programs get every byte");
    assert_eq!(got[bodies.len()], "before\0after\n::error::x");
}
