//! The two jobs of `docs/examples/github.yml`, word for word, as GitHub runs them: each on an empty machine, with nothing
//! between them but what the one uploads and the other downloads.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use testkit::log::{Log, copy_folder};
use testkit::someone::Someone;

use crate::runner::{root, yaml};
use crate::world::{Secrets, World, bare_step, policy_with_url, secrets};

const MAIN: &str = "refs/heads/main";

/// A repository on GitHub with the workflow.
struct Github {
    log: Log,
    workflow: Value,
    pipeline: Secrets,
    org: Secrets,
    variables: BTreeMap<&'static str, String>,
}

/// What came of a job.
struct Job {
    passed: bool,
    /// What the action said in it: printed, annotated, and in the summary.
    said: String,
    /// Whether `deploy.sh` ran.
    deployed: bool,
}

/// What `upload-artifact` keeps.
struct Store(TempDir);

impl Store {
    /// The artifact of this name.
    fn artifact(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of the artifact `release`.
    fn file(&self, name: &str) -> PathBuf {
        self.artifact("release").join(name)
    }

    /// The receipt that was uploaded for a file of `dist`.
    fn receipt(&self, name: &str) -> PathBuf {
        let names = fs::read_dir(self.file("aip-receipts/dist")).expect("receipts");
        let mut paths = names.map(|entry| entry.expect("an entry").path());
        let is_of = |path: &PathBuf| {
            path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(&format!("{name}.")))
        };
        paths.find(is_of).unwrap_or_else(|| panic!("a receipt of {name}"))
    }
}

impl Github {
    fn new() -> Self {
        let log = Log::start(&[]);
        let pipeline = secrets(&log, &[]);
        let org = secrets(&log, &["--capabilities", "vouches"]);
        org.owner.ok(&["vouch", &pipeline.did]);
        let variables =
            BTreeMap::from([("AIP_DID", pipeline.did.clone()), ("AIP_TRUST_ROOTS", org.did.clone())]);
        let text = fs::read_to_string(root().join("docs/examples/github.yml")).expect("the workflow");
        Self { log, workflow: yaml(&text), pipeline, org, variables }
    }

    /// What is committed.
    fn files(&self) -> [(&'static str, String); 3] {
        [
            (".aip/policy", policy_with_url(&self.log)),
            (
                "build.sh",
                "#!/bin/sh\nmkdir -p dist; printf 'an app' >dist/app; printf 'a library' >dist/lib.so\n"
                    .into(),
            ),
            ("deploy.sh", "#!/bin/sh\ntest -f \"$1/app\" && touch deployed\n".into()),
        ]
    }

    /// A push to this ref, by whoever has the secret: the first job.
    fn sign(&self, reference: &str, key: &str) -> Store {
        let store = Store(tempfile::tempdir().expect("a folder"));
        let ran = self.job("sign", reference, &BTreeMap::from([("AIP_PRIVATE_KEY", key)]), &store);
        assert!(ran.passed, "{}", ran.said);
        store
    }

    /// The second job, which has no secret.
    fn deploy(&self, store: &Store) -> Job {
        self.job("deploy", MAIN, &BTreeMap::new(), store)
    }

    #[track_caller]
    fn expect_red(&self, store: &Store, why: &str) {
        let ran = self.deploy(store);
        assert!(!ran.passed && !ran.deployed && ran.said.contains(why), "{why}: {}", ran.said);
    }

    fn job(&self, name: &str, reference: &str, secrets: &BTreeMap<&str, &str>, store: &Store) -> Job {
        let world = World(Someone::new());
        let mut job = Job { passed: true, said: String::new(), deployed: false };
        for step in self.workflow["jobs"][name]["steps"].as_array().expect("steps") {
            let with: Vec<(String, String)> = step["with"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), self.evaluate(value.as_str().expect("text"), secrets)))
                .collect();
            let input = |name: &str| {
                &with.iter().find(|(input, _)| input == name).unwrap_or_else(|| panic!("{name}")).1
            };
            job.passed = match step["uses"].as_str().map(|uses| uses.split('@').next().expect("a name")) {
                None => {
                    let script = step["run"].as_str().expect("a script");
                    let mut bash = world.command("bash");
                    bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script])
                        .env("PATH", "/usr/bin:/bin");
                    bash.status().expect("bash runs").success()
                }
                Some("actions/checkout") => {
                    for (name, text) in self.files() {
                        let path = world.file(name, text.as_bytes());
                        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
                    }
                    true
                }
                Some("actions/upload-artifact") => {
                    for path in input("path").lines() {
                        copy_folder(&world.path(path), &store.artifact(input("name")).join(path));
                    }
                    true
                }
                Some("actions/download-artifact") => {
                    copy_folder(&store.artifact(input("name")), &world.path(input("path")));
                    true
                }
                Some("my-org/aip") => {
                    let with: Vec<(&str, &str)> =
                        with.iter().map(|(name, value)| (&**name, &**value)).collect();
                    let run = [
                        ("GITHUB_SERVER_URL", "https://github.com"),
                        ("GITHUB_REPOSITORY", "octo/app"),
                        ("GITHUB_REF", reference),
                        ("GITHUB_RUN_ID", "7"),
                    ];
                    let run = bare_step(&world, &with, &run);
                    job.said += &format!("{}\n{}\n{}\n", run.printed, run.commands.join("\n"), run.summary);
                    run.passed
                }
                Some(other) => panic!("the runner knows no {other}"),
            };
            if !job.passed {
                break;
            }
        }
        job.deployed = world.path("deployed").exists();
        job
    }

    /// `${{ … }}` within a text. An unset variable is empty; a job has no secret but those that it gets.
    fn evaluate(&self, text: &str, secrets: &BTreeMap<&str, &str>) -> String {
        let mut parts = text.split("${{ ");
        let mut value = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (expression, after) = part.split_once(" }}").expect("an expression");
            value += match expression.split_once('.').expect("a context") {
                ("vars", name) => self.variables.get(name).map_or("", String::as_str),
                ("secrets", name) => {
                    secrets.get(name).unwrap_or_else(|| panic!("this job has no secret {name}"))
                }
                ("github", "repository") => "octo/app",
                _ => panic!("{expression}"),
            };
            value += after;
        }
        value
    }
}

fn replace(at: &Path, content: &[u8]) {
    assert!(at.exists(), "{}", at.display());
    fs::write(at, content).expect("written");
}

#[test]
fn the_two_jobs_deploy_what_was_signed_and_nothing_else() {
    let github = Github::new();
    let release = || github.sign(MAIN, &github.pipeline.key);

    let green = github.deploy(&release());
    assert!(green.passed && green.deployed, "{}", green.said);
    for said in ["### Trusted", "2 artifacts verified", ".aip/policy (working tree)"] {
        assert!(green.said.contains(said), "{said}: {}", green.said);
    }
    assert!(!green.said.contains("no artifact was checked"), "{}", green.said);

    // Swapped.
    let store = release();
    replace(&store.file("dist/app"), b"another app");
    github.expect_red(&store, "artifact-digest");

    // Renamed: what was signed as the library, with its receipt, in the place of the app.
    let store = release();
    fs::rename(store.file("dist/lib.so"), store.file("dist/app")).expect("moved");
    fs::rename(store.receipt("lib.so"), store.receipt("app")).expect("moved");
    github.expect_red(&store, "names these bytes `lib.so`");

    // From another ref.
    let store = github.sign("refs/heads/feature", &github.pipeline.key);
    github.expect_red(&store, "source-ref");

    // Without receipts, and with one of them gone.
    let store = release();
    fs::remove_file(store.receipt("lib.so")).expect("removed");
    github.expect_red(&store, "there is no receipt");
    fs::remove_dir_all(store.file("aip-receipts")).expect("removed");
    github.expect_red(&store, "there is no receipt");

    // Something that nobody signed comes along.
    let store = release();
    fs::write(store.file("dist/more"), b"more").expect("written");
    github.expect_red(&store, "there is no receipt");

    // What is uploaded takes no place in the checkout: neither the policy's nor the script's.
    let store = release();
    fs::create_dir_all(store.file(".aip")).expect("made");
    fs::write(store.file(".aip/policy"), b"no policy").expect("written");
    fs::write(store.file("deploy.sh"), b"exit 1\n").expect("written");
    let green = github.deploy(&store);
    assert!(green.passed && green.deployed, "{}", green.said);

    // The organisation takes its vouch back.
    github.org.owner.ok(&["revoke", &github.pipeline.did]);
    github.expect_red(&store, "no path of vouches");
}

/// A thief signed with the secret, for the same repository and the same ref. After the recovery nothing of it is deployed,
/// and what the owner signs with the new key is.
#[test]
fn what_a_thief_signed_is_not_deployed_after_the_recovery() {
    let github = Github::new();
    let stolen = github.sign(MAIN, &github.pipeline.key);
    let loot: Value =
        serde_json::from_slice(&fs::read(stolen.receipt("app")).expect("a receipt")).expect("JSON");
    assert!(github.deploy(&stolen).deployed, "before the theft is known");
    let since = loot["proof"].as_str().and_then(|proof| proof.lines().nth(1)).expect("an index");
    let since = since.trim_start_matches("index ").to_owned();

    let owner = &github.pipeline.owner;
    let recovery = owner.recovery_file();
    owner.ok(&["recover", "--since", &since, "--recovery", recovery.to_str().expect("UTF-8")]);
    github.expect_red(&stolen, "later-state");

    let key = owner.ok(&["key", "export"]).trim().to_owned();
    let again = github.sign(MAIN, &key);
    let green = github.deploy(&again);
    assert!(green.passed && green.deployed, "{}", green.said);
    // The thief's receipts in the place of the owner's.
    fs::remove_dir_all(again.file("aip-receipts")).expect("removed");
    copy_folder(&stolen.file("aip-receipts"), &again.file("aip-receipts"));
    github.expect_red(&again, "later-state");
}

/// A variable that nobody set must not open the gate.
#[test]
fn an_unset_variable_opens_nothing() {
    for (name, why) in [("AIP_DID", "`verify-did` is empty"), ("AIP_TRUST_ROOTS", "no trust root is named")] {
        let mut github = Github::new();
        let store = github.sign(MAIN, &github.pipeline.key);
        github.variables.remove(name);
        github.expect_red(&store, why);
    }
}

/// What the example is there to show.
#[test]
fn the_example_has_two_jobs_and_one_of_them_a_key() {
    let text = fs::read_to_string(root().join("docs/examples/github.yml")).expect("the workflow");
    let (sign, deploy) = text.split_once("\n  deploy:\n").expect("two jobs");
    assert!(sign.contains("secrets.AIP_PRIVATE_KEY") && sign.contains("require-log: 'true'"));
    assert!(
        !deploy.contains("secrets.") && !deploy.contains("private-key") && deploy.contains("needs: sign")
    );
    for input in ["verify-did: ${{ vars.AIP_DID }}", "trust-roots: ", "verify-paths: ", "verify-source-ref: "]
    {
        assert!(deploy.contains(input), "{input}");
    }
    assert!(!text.contains("my-org/aip@main"), "a branch");
}
