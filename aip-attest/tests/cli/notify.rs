//! The announced step that tells a partner, word for word, as a runner executes it behind the action.

use crate::action::{announced, key, world};
use crate::log::Log;
use crate::runner::{Run, Script, script, yaml};
use crate::world::{World, did};

/// "Agent-to-Agent CI", as it was announced.
const ANNOUNCED: &str = r#"- name: Notify partner
  run: |
    aip message $PARTNER_DID "Build ${{ github.sha }} complete. Artifacts signed."
  env:
    AIP_DID: ${{ secrets.AIP_DID }}
    AIP_PRIVATE_KEY: ${{ secrets.AIP_PRIVATE_KEY }}
"#;

fn notify(world: &World, run: &Run, job: &[(&str, &str)]) -> Script {
    let values = [
        ("github.sha", "3f1c2a9d7be04f1e86a0c5d2b9e7f64810c3a5d2"),
        ("secrets.AIP_DID", &did().to_string()),
        ("secrets.AIP_PRIVATE_KEY", &key()),
    ];
    let done = script(world, &yaml(ANNOUNCED)[0], run, job, &values);
    assert!(done.wrote.is_empty() && done.commands.is_empty() && !done.printed.contains(&key()), "{done:#?}");
    done
}

#[test]
fn the_announced_step_finds_the_log_that_the_action_was_given() {
    let (log, world) = (Log::start(), world());
    log.ask_no_witness();
    // A pipeline that logged what it signed is known to the log, and writes to itself here.
    log.mail(|mail| {
        mail.known.push(tlog::key::Ed25519PrivateKey::from_seed(&crate::world::SIGNER_SEED).public_key())
    });
    let run = announced(&world, &[("log-url", &log.url())], &[]);
    run.expect(true, &[]);
    assert_eq!(run.job["AIP_LOG_URL"], log.url());
    let own = did().to_string();
    let green = notify(&world, &run, &[("PARTNER_DID", &own)]);
    assert!(green.code == 0 && green.printed.contains("stored"), "{green:#?}");
    assert_eq!(log.mail(|mail| mail.messages.len()), 1);

    let unset = notify(&world, &run, &[]);
    assert!(unset.code == 2 && unset.printed.contains("PARTNER_DID"), "{unset:#?}");
    let unknown = notify(&world, &run, &[("PARTNER_DID", "did:aip:00000000000000000000000000000000")]);
    assert!(unknown.code == 1 && unknown.printed.contains("no-did"), "{unknown:#?}");
    assert_eq!(log.mail(|mail| mail.messages.len()), 1);
    // What the relay says is no command either.
    log.mail(|mail| mail.refuses = Some((422, "recipient-state")));
    let ended = notify(&world, &run, &[("PARTNER_DID", &own)]);
    assert!(ended.code == 1 && ended.printed.contains("recipient-state"), "{ended:#?}");

    // Without `log-url` the action leaves no log behind.
    let run = announced(&world, &[], &[]);
    assert!(!run.job.contains_key("AIP_LOG_URL"));
    let red = notify(&world, &run, &[("PARTNER_DID", &own)]);
    assert!(red.code == 2 && red.printed.contains("no log is named"), "{red:#?}");
}
