//! What a gate asks of the artifacts: on the command line by flags, in the action by inputs, and the same by both.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use testkit::log::Log;

use crate::runner::Run;
use crate::world::{Secrets, World, bare_step, checkout, secrets, step_in_job};

/// A pipeline that an organisation vouches for, and a deploy job that has nothing yet.
struct Deploy {
    log: Log,
    pipeline: Secrets,
    org: Secrets,
    build: World,
    deploy: World,
}

const BUILD: [(&str, &str); 3] = [
    ("GITHUB_SERVER_URL", "https://github.com"),
    ("GITHUB_REPOSITORY", "octo/app"),
    ("GITHUB_REF", "refs/heads/main"),
];

impl Deploy {
    /// The pipeline signed `dist/app` and `dist/lib.so`, and the deploy job downloaded nothing.
    fn new() -> Self {
        let log = Log::start(&[]);
        let (pipeline, org) = (secrets(&log, &[]), secrets(&log, &["--capabilities", "vouches"]));
        org.owner.ok(&["vouch", &pipeline.did]);
        let (build, deploy) = (checkout(&log), checkout(&log));
        build.file("dist/lib.so", b"a library");
        fs::remove_dir_all(deploy.path("dist")).expect("removed");
        let this = Self { log, pipeline, org, build, deploy };
        this.sign(&[("sign-paths", "dist")]);
        this
    }

    fn sign(&self, with: &[(&str, &str)]) -> Run {
        let run = step_in_job(&self.build, &self.pipeline, with, &BUILD);
        run.expect(true, &[]);
        run
    }

    /// The receipt of a file of `dist`, of provenance or of the kind with this word.
    fn receipt(&self, name: &str, kind: Option<&str>) -> String {
        let is_of = |file: &String| {
            let rest = file.strip_prefix(&format!("{name}.")).unwrap_or_default();
            !rest.is_empty() && rest.starts_with(kind.unwrap_or_default()) == kind.is_some() | kind.is_none()
        };
        let files = fs::read_dir(self.build.path("aip-receipts/dist")).expect("receipts");
        let names = files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names = names.filter(is_of).filter(|file| file.contains("cyclonedx") == kind.is_some());
        names.next().unwrap_or_else(|| panic!("a receipt of {name}"))
    }

    /// The file `from` of the build is here as `to`, with a receipt of it beside.
    fn receive(&self, from: &str, kind: Option<&str>, to: &str) {
        let read = |name: String| fs::read(self.build.path(&name)).expect("a file");
        self.deploy.file(to, &read(format!("dist/{from}")));
        let receipt = read(format!("aip-receipts/dist/{}", self.receipt(from, kind)));
        self.deploy.file(&format!("{to}.receipt.json"), &receipt);
    }

    fn command<'a>(&'a self, more: &[&'a str]) -> (i32, String, String) {
        let gate = ["gate", "--did", &self.pipeline.did, "--root", &self.org.did, "--threshold", "0.5"];
        self.deploy.0.run(&[&gate[..], more].concat())
    }

    fn action(&self, more: &[(&str, &str)]) -> Run {
        let gate = [
            ("verify-did", self.pipeline.did.as_str()),
            ("trust-threshold", "0.5"),
            ("trust-roots", &self.org.did),
        ];
        bare_step(&self.deploy, &[&gate[..], more].concat(), &[])
    }

    /// The command and the action say the same: yes, or no with these words.
    #[track_caller]
    fn expect(&self, path: &str, flags: &[&str], inputs: &[(&str, &str)], red: &[&str]) {
        let (code, out, err) = self.command(&[&[path], flags].concat());
        assert_eq!(code == 0, red.is_empty(), "{flags:?} {out}{err}");
        let run = self.action(&[&[("verify-paths", path)], inputs].concat());
        run.expect(red.is_empty(), red);
        assert_eq!(run.outputs["verified"], red.is_empty().to_string(), "{run:#?}");
        for words in red {
            assert!(out.contains(words) || err.contains(words), "{words}: {out}{err}");
        }
    }
}

/// A library that was signed, with its receipt, both under the name of the app.
#[test]
fn a_renamed_artifact_stops_a_gate_unless_any_name_will_do() {
    let world = Deploy::new();
    world.receive("lib.so", None, "app");
    let red =
        ["subject-name: the file is called \"app\", the statement names it \"lib.so\"", "`verify-any-name`"];
    world.expect("app", &[], &[], &red);
    let (code, _, err) = world.command(&["app"]);
    assert!(code == 1 && err.contains("--any-name, or the action's input `verify-any-name`"), "{err}");
    let run = world.action(&[("verify-paths", "app")]);
    assert!(!format!("{:?}{}", run.commands, run.summary).contains("--any-name"), "{run:#?}");
    world.expect("app", &["--any-name"], &[("verify-any-name", "true")], &[]);
    // Whoever names the signed name has said it.
    world.expect("app", &["--subject-name", "lib.so"], &[("verify-subject-name", "lib.so")], &[]);
    let other = ["subject-name", "\"app\" is wanted"];
    world.expect("app", &["--subject-name", "app"], &[("verify-subject-name", "app")], &other);
    // The folder does not matter, nor how the path is written.
    for path in ["lib.so", "release/v1/lib.so"] {
        world.receive("lib.so", None, path);
        world.expect(path, &[], &[], &[]);
        world.expect(&format!("./{path}"), &[], &[], &[]);
    }
    world.expect("release//v1/lib.so", &[], &[], &[]);
    world.expect("release", &[], &[], &[]);
}

/// In a folder of receipts one is found by the digest, whatever the file is called.
#[test]
fn a_receipt_that_is_found_by_digest_counts_for_the_name_it_was_signed_under() {
    let world = Deploy::new();
    let copy = |name: &str| {
        let receipt = world.receipt(name, None);
        let bytes = fs::read(world.build.path(&format!("aip-receipts/dist/{receipt}"))).expect("a receipt");
        world.deploy.file(&format!("receipts/of-the-build/{receipt}"), &bytes);
    };
    ["app", "lib.so"].into_iter().for_each(copy);
    world.deploy.file("app", b"a library");
    let (flags, inputs) = (["--receipts", "receipts"], [("verify-receipts-dir", "receipts")]);
    let any = |more: &[&'static str]| [&flags[..], more].concat();
    let any_input = [inputs[0], ("verify-any-name", "true")];
    world.expect("app", &flags, &inputs, &["names these bytes `lib.so`", "`verify-any-name`"]);
    world.expect("app", &any(&["--any-name"]), &any_input, &[]);
    world.expect(
        "app",
        &any(&["--subject-name", "lib.so"]),
        &[inputs[0], ("verify-subject-name", "lib.so")],
        &[],
    );
    // A digest has no name, and a subject that is elsewhere has the one it is given.
    let hex = tlog::Hash::of(b"a library").to_string();
    let digest = format!("sha256:{hex}");
    world.expect(&digest, &flags, &inputs, &[]);
    let (code, out, err) = world.command(&[&format!("x/lib.so@{digest}"), "--receipts", "receipts"]);
    assert_eq!(code, 0, "{out}{err}");
    let (code, out, err) = world.command(&[&format!("app@{digest}"), "--receipts", "receipts"]);
    assert!(code != 0 && err.contains("--any-name"), "{out}{err}");
}

/// Of several subjects of one statement, the file is called as the one with its digest.
#[test]
fn of_several_subjects_the_one_with_the_digest_names_the_file() {
    let world = Deploy::new();
    fs::remove_dir_all(world.build.path("aip-receipts")).expect("removed");
    world.sign(&[("sign-paths", "dist"), ("together", "true")]);
    world.receive("app", None, "here/app");
    world.receive("lib.so", None, "here/lib.so");
    world.expect("here", &[], &[], &[]);
    // The bytes of the one under the name of the other, which the statement has as well.
    world.deploy.file("here/app", b"a library");
    world.expect("here/app", &[], &[], &["subject-name", "names it \"lib.so\""]);
}

/// That the pipeline says what is in the app does not mean that it built it.
#[test]
fn an_sbom_is_no_proof_of_an_artifact_unless_it_is_asked_for() {
    let world = Deploy::new();
    world.build.file("bom.json", br#"{"bomFormat":"CycloneDX"}"#);
    let sbom = [("sign-paths", "dist"), ("predicate-type", "cyclonedx"), ("predicate", "bom.json")];
    world.sign(&sbom);
    // At the place where provenance is looked for.
    world.receive("app", Some("cyclonedx"), "app");
    world.expect("app", &[], &[], &["predicate-type", "`verify-predicate-type`"]);
    let (_, _, err) = world.command(&["app"]);
    assert!(
        err.contains("--predicate-type cyclonedx, or the action's input `verify-predicate-type`"),
        "{err}"
    );
    // At its own.
    fs::rename(world.deploy.path("app.receipt.json"), world.deploy.path("app.cyclonedx.receipt.json"))
        .expect("moved");
    world.expect(
        "app",
        &[],
        &[],
        &["there is no receipt", "is of another kind, cyclonedx", "`verify-predicate-type`"],
    );
    world.expect("app", &["--predicate-type", "cyclonedx"], &[("verify-predicate-type", "cyclonedx")], &[]);
}

#[test]
fn the_source_the_builder_and_the_age_are_asked_for_by_flags_and_inputs() {
    let world = Deploy::new();
    world.receive("app", None, "app");
    let receipt = fs::read(world.deploy.path("app.receipt.json")).expect("a receipt");
    let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
    let payload = receipt["envelope"]["payload"].as_str().expect("text");
    let payload = tlog::encoding::decode_base64(payload).expect("base64");
    let payload: Value = serde_json::from_slice(&payload).expect("JSON");
    let builder = payload["predicate"]["runDetails"]["builder"]["id"].as_str().expect("a builder").to_owned();
    let source = ["https://github.com/octo/app", "https://github.com/octo/fork"];
    for (flag, input, [right, wrong], check) in [
        ("--source-uri", "verify-source-uri", source, "source-uri"),
        ("--source-ref", "verify-source-ref", ["refs/heads/main", "refs/tags/v1"], "source-ref"),
        ("--builder-id", "verify-builder-id", [&builder, "https://example.com/other"], "builder-id"),
        ("--subject-name", "verify-subject-name", ["app", "app-2.0"], "subject-name"),
        ("--artifact-max-age", "verify-artifact-max-age", ["90d", "1s"], "max-age"),
        ("--artifact-max-age", "verify-max-age", ["90d", "1s"], "max-age"),
    ] {
        world.expect("app", &[flag, right], &[(input, right)], &[]);
        if check == "max-age" {
            // An entry only gets older.
            std::thread::sleep(Duration::from_millis(2100));
        }
        world.expect("app", &[flag, wrong], &[(input, wrong)], &[check]);
    }
    // All at once, and one of them wrong.
    let all = ["--source-uri", source[0], "--source-ref", "refs/heads/main", "--artifact-max-age", "90d"];
    let inputs = [("verify-source-uri", source[0]), ("verify-artifact-max-age", "90d")];
    world.expect("app", &all, &inputs, &[]);
    world.expect(
        "app",
        &[&all[..4], &["--artifact-max-age", "1s"]].concat(),
        &[inputs[0], ("verify-artifact-max-age", "1s")],
        &["max-age"],
    );
}

/// The announced snippet checks no artifact. It passes where the score does, and says what it leaves open.
#[test]
fn a_gate_without_artifacts_passes_and_warns_of_what_it_leaves_open() {
    let world = Deploy::new();
    let open = "no artifact was checked";
    let (code, out, err) = world.command(&[]);
    assert!(code == 0 && err.contains(open) && err.contains("`verify-paths`"), "{out}{err}");
    assert!(!err.contains("no root is named"), "{err}");
    let (code, out, _) = world.command(&["--json"]);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert!(code == 0 && json["warning"].as_str().is_some_and(|warning| warning.contains(open)), "{json:#}");
    let run = world.action(&[]);
    run.expect(true, &["::warning title=aip-attest::no artifact was checked", "`verify-paths`"]);
    assert!(run.summary.contains("**Warning:** no artifact was checked"), "{}", run.summary);
    assert!(run.summary.contains("verify-paths"), "{}", run.summary);

    // As announced: nobody but the DID itself says that it is trusted.
    let did = world.pipeline.did.as_str();
    let snippet = [("verify-did", did), ("trust-threshold", "0.5"), ("did", did)];
    let run = bare_step(&world.deploy, &snippet, &[]);
    run.expect(true, &[]);
    let is_whole = |line: &str| {
        [open, "`verify-paths`", "the DID is its own root", "`trust-roots`"]
            .iter()
            .all(|part| line.contains(part))
    };
    let annotations =
        run.commands.iter().filter(|line| line.starts_with("::warning ")).filter(|line| is_whole(line));
    assert_eq!(annotations.count(), 1, "{run:#?}");
    let summary = run.summary.replace("&#96;", "`").replace("&#44;", ",");
    assert!(summary.lines().any(is_whole), "{summary}");
    let owner = &world.pipeline.owner;
    let (code, out, err) = owner.run(&["gate", "--did", did, "--threshold", "0.5"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.lines().any(is_whole) && err.contains("--root"), "{err}");

    // With artifacts, or where it does not pass, there is nothing to warn of.
    world.receive("app", None, "app");
    let run = world.action(&[("verify-paths", "app")]);
    run.expect(true, &[]);
    assert!(!run.printed.contains(open) && !run.summary.contains("Warning"), "{run:#?}");
    let (code, _, err) = world.command(&["--scope", "FINANCIAL"]);
    assert!(code != 0 && !err.contains(open), "{err}");
}

/// A runner that is new for each job cannot pin: it is told what it can do.
#[test]
fn a_fresh_runner_is_told_to_commit_the_policy_and_one_that_fixes_it_says_so() {
    let world = Deploy::new();
    fs::remove_dir_all(world.deploy.path(".aip")).expect("removed");
    let (url, hints) = (world.log.url(), ["policy show ORIGIN > .aip/policy", "`policy-sha256`"]);
    for (with, why) in [
        (&[][..], "no log is named"),
        (&[("log-url", url.as_str())][..], "nobody but the log itself says which log it is"),
    ] {
        let run = world.action(with);
        run.expect(false, &[why]);
        let annotation =
            run.commands.iter().find(|line| line.starts_with("::error ")).expect("an annotation");
        assert!(hints.iter().all(|hint| annotation.contains(hint)), "{annotation}");
        assert!(!annotation.contains("policy pin"), "{annotation}");
    }
    let (code, _, err) = world.command(&[]);
    assert!(code == 2 && hints.iter().all(|hint| err.contains(hint)) && err.contains("policy pin"), "{err}");
    let fingerprint = tlog::Hash::of(&world.log.bytes("/policy")).to_string();
    let run = world.action(&[("log-url", &url), ("policy-sha256", &fingerprint)]);
    run.expect(true, &["pinned by policy-sha256"]);
    for said in [&run.printed, &run.summary] {
        assert!(said.contains("pinned by policy-sha256") && !said.contains("not pinned"), "{said}");
    }
}
