//! The announced steps.

use std::fs;

use testkit::log::Log;
use testkit::someone::Someone;

use crate::world::{World, bare_step, checkout, expect_outputs, receive, secrets, step, step_in_job};

#[test]
fn the_announced_workflows_run_green_and_red_where_they_must() {
    let log = Log::start(&[]);
    // As the README sets them up: no pipeline's own key may vouch.
    let upstream = secrets(&log, &[]);
    let deployer = secrets(&log, &[]);
    let org = secrets(&log, &["--capabilities", "vouches"]);

    // The upstream pipeline signs.
    let build = checkout(&log);
    let signed = step(&build, &upstream, &[("sign-paths", "dist/*")]);
    signed.expect(true, &[]);
    assert_eq!((signed.outputs["signed"].as_str(), signed.outputs["pending"].as_str()), ("1", "0"));

    // Nobody is named whom the deployer trusts, and its own DID vouches for nobody.
    let deploy = checkout(&log);
    let announced = [("verify-did", upstream.did.as_str()), ("trust-threshold", "0.5")];
    org.owner.ok(&["vouch", &upstream.did]);
    let red = step(&deploy, &deployer, &announced);
    red.expect(
        false,
        &[
            "::error title=aip-attest::",
            "no path of vouches",
            "your own DID is the only root",
            "`trust-roots`",
        ],
    );
    expect_outputs(&red, "false", "0.0000");
    assert!(red.summary.contains("### Not trusted"), "{}", red.summary);

    // The organisation is, in the workflow, in the job, or in the checkout.
    let gate = [&announced[..], &[("trust-roots", org.did.as_str())]].concat();
    let green = step(&deploy, &deployer, &gate);
    green.expect(true, &["age not attested"]);
    expect_outputs(&green, "true", "0.8000");
    assert!(green.summary.contains("### Trusted"), "{}", green.summary);
    assert!(green.summary.contains("| age | not attested"), "{}", green.summary);
    assert!(green.summary.contains(&format!("`{}` → `{}`", org.did, upstream.did)), "{}", green.summary);
    step_in_job(&deploy, &deployer, &announced, &[("AIP_TRUST_ROOTS", &org.did)]).expect(true, &[]);
    let settings = format!("version = 1\n[trust.roots]\n\"{}\" = \"1\"\n", org.did);
    deploy.file(".aip/trust.toml", settings.as_bytes());
    step(&deploy, &deployer, &announced).expect(false, &["nothing fixes the settings", "trust-sha256: "]);
    let fixed = |text: &str| tlog::Hash::of(text.as_bytes()).to_string();
    let digest = fixed(&settings);
    let green = step(&deploy, &deployer, &[&announced[..], &[("trust-sha256", &digest)]].concat());
    green.expect(true, &["from the checkout", ".aip/trust.toml (fixed by `trust-sha256`)"]);
    assert!(green.summary.contains("| trust.roots |"), "{}", green.summary);
    // What asks for more than the inputs is not lost, and an input asks for as much.
    let strict = settings.replace("[trust.roots]", "[trust]\nmin-paths = 2\n[trust.roots]");
    deploy.file(".aip/trust.toml", strict.as_bytes());
    let digest = fixed(&strict);
    step(&deploy, &deployer, &[&announced[..], &[("trust-sha256", &digest)]].concat())
        .expect(false, &["2 paths that share nothing are asked for"]);
    fs::remove_file(deploy.path(".aip/trust.toml")).expect("removed");
    step(&deploy, &deployer, &announced).expect(false, &["no path of vouches"]);
    for (input, value, why) in [
        ("trust-min-paths", "2", "2 paths that share nothing are asked for"),
        ("trust-decay", "0.4", "below 0.5"),
        ("trust-newcomer", "0.1", "below 0.5"),
        (
            "trust-min-checkpoint",
            &*format!("{}=1000000", log.policy().logs()[0].vkey.name()),
            "is older than trust.toml allows",
        ),
        ("verify-max-checkpoint-age", "1s", "nobody attests how old"),
    ] {
        step(&deploy, &deployer, &[&gate[..], &[(input, value)]].concat()).expect(false, &[why]);
    }

    // With what was built, in the folder that the upstream pipeline uploaded.
    receive(&build, &deploy);
    let artifacts = [("verify-paths", "dist/*"), ("verify-receipts-dir", "aip-receipts")];
    step(&deploy, &deployer, &[&gate[..], &artifacts].concat()).expect(true, &["1 artifact verified"]);
    deploy.file("dist/app", b"another app");
    let red = step(&deploy, &deployer, &[&gate[..], &artifacts].concat());
    red.expect(false, &["artifact-digest"]);
    expect_outputs(&red, "false", "0.8000");
    deploy.file("dist/app", b"an app");
    deploy.file("dist/new", b"without a receipt");
    let red = step(&deploy, &deployer, &[&gate[..], &artifacts].concat());
    assert!(
        red.summary.contains("there is no receipt") && !red.summary.contains("--receipt"),
        "{}",
        red.summary
    );
    fs::remove_file(deploy.path("dist/new")).expect("removed");
    let scanned = [&gate[..], &artifacts, &[("verify-predicate-type", "vulns")]].concat();
    step(&deploy, &deployer, &scanned).expect(false, &["predicate-type"]);

    // Gate and signature in one step: what is not trusted is not signed over.
    let both = [&gate[..], &[("sign-paths", "dist/*"), ("receipts-dir", "mine")]].concat();
    let green = step(&deploy, &deployer, &both);
    green.expect(true, &[]);
    assert_eq!(green.outputs["signed"], "1");
    org.owner.ok(&["revoke", &upstream.did]);
    fs::remove_dir_all(deploy.path("mine")).expect("removed");
    let red = step(&deploy, &deployer, &both);
    red.expect(false, &["no path of vouches"]);
    assert!(!deploy.path("mine").exists(), "nothing was signed");

    // As it stands in the announcement, where one's own DID vouches.
    let vouching = secrets(&log, &["--capabilities", "receipts,vouches"]);
    step(&deploy, &vouching, &announced).expect(false, &["no path of vouches"]);
    vouching.owner.ok(&["vouch", &upstream.did]);
    let green = step(&deploy, &vouching, &announced);
    green.expect(true, &[]);
    assert!(green.summary.contains("| roots | your own DID |"), "{}", green.summary);

    // A log that is down opens no gate.
    drop(log);
    let red = step(&deploy, &deployer, &gate);
    assert!(!red.passed, "{red:#?}");
    expect_outputs(&red, "false", "");
    assert!(red.summary.contains("### Could not tell"), "{}", red.summary);
}

/// A workflow without a policy in its checkout names the log and the policy's fingerprint: they judge the log, and the
/// receipts too.
#[test]
fn a_fingerprint_judges_the_log_and_the_receipts() {
    let log = Log::start(&[]);
    let (upstream, deployer) = (secrets(&log, &[]), secrets(&log, &[]));
    let org = secrets(&log, &["--capabilities", "vouches"]);
    org.owner.ok(&["vouch", &upstream.did]);
    let build = checkout(&log);
    step(&build, &upstream, &[("sign-paths", "dist/*")]).expect(true, &[]);
    let deploy = World(Someone::new());
    deploy.file("dist/app", b"an app");
    receive(&build, &deploy);
    let (url, fingerprint) = (log.url(), tlog::Hash::of(&log.bytes("/policy")).to_string());
    let gate = [
        ("log-url", url.as_str()),
        ("verify-did", &upstream.did),
        ("trust-threshold", "0.5"),
        ("trust-roots", &org.did),
        ("verify-paths", "dist/*"),
        ("verify-receipts-dir", "aip-receipts"),
    ];
    let pinned = |fingerprint: &str| {
        let with = [&gate[..], &[("policy-sha256", fingerprint)]].concat();
        step(&deploy, &deployer, &with)
    };
    pinned(&fingerprint).expect(true, &["1 artifact verified"]);
    let red = pinned(&"0".repeat(64));
    red.expect(false, &["has another fingerprint"]);
    expect_outputs(&red, "false", "");
    step(&deploy, &deployer, &gate).expect(false, &["nobody but the log itself says which log it is"]);
    deploy.file("dist/app", b"another app");
    pinned(&fingerprint).expect(false, &["artifact-digest"]);
}

/// On a runner that others use too, nobody is trusted but whom the workflow names: what lies in `~/.aip` may be of
/// another job.
#[test]
fn an_earlier_job_on_the_runner_chooses_no_root() {
    let log = Log::start(&[]);
    let upstream = secrets(&log, &[]);
    let build = checkout(&log);
    step(&build, &upstream, &[("sign-paths", "dist/*")]).expect(true, &[]);
    let deploy = checkout(&log);
    let earlier = &deploy.0;
    earlier.ok(&["policy", "pin", &log.url(), "--yes"]);
    earlier.ok(&["init", "--register", "--capabilities", "vouches"]);
    earlier.ok(&["vouch", &upstream.did]);
    let settings = format!("version = 1\n[trust.roots]\n\"{}\" = \"1\"\n", earlier.did());
    deploy.file("../home/.aip/trust.toml", settings.as_bytes());
    let (code, out, err) = earlier.run(&["gate", "--did", &upstream.did, "--threshold", "0.5"]);
    assert_eq!(code, 0, "whose machine it is trusts it: {out}{err}");
    let gate = [("verify-did", upstream.did.as_str()), ("trust-threshold", "0.5")];
    for policy in ["in the checkout", "pinned"] {
        let red = bare_step(&deploy, &gate, &[]);
        red.expect(false, &["no trust root is named"]);
        expect_outputs(&red, "false", "");
        if policy == "in the checkout" {
            fs::remove_dir_all(deploy.path(".aip")).expect("removed");
        }
    }
}
