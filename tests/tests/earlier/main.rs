//! Directories that an earlier release made: log and witness open, show the same bytes, and go on.
//!
//! `release-0.1.0.tar.gz` was made by the programs of that release, by the commands of docs/log.md, docs/witness.md and
//! docs/sign.md: a log of 285 entries by two pipelines (inceptions, 281 artifacts, a vouch, a rotation) with a witness that
//! cosigned it, what the log answered (`shown/`), and three artifacts with their receipts. Its keys sign nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use reqwest::blocking::Client;
use tempfile::TempDir;
use testkit::log::{free_port, spawn_server, terminate};
use testkit::program;
use testkit::someone::Someone;

const RELEASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/earlier/release-0.1.0.tar.gz");

struct Earlier {
    folder: TempDir,
    http: Client,
}

/// A server that is stopped when it goes out of scope.
struct Server(Child);

impl Server {
    fn stop(mut self) {
        terminate(self.0.id());
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

impl Earlier {
    fn unpack() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unpacked = Command::new("tar").arg("-xzf").arg(RELEASE).arg("-C").arg(folder.path()).status();
        assert!(unpacked.expect("tar runs").success());
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { folder, http: Client::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("release-0.1.0").join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file of the release")
    }

    fn serve(&self, program_name: &str, port: u16) -> Server {
        let mut command = Command::new(program(program_name));
        let dir = self.path(if program_name == "witness" { "witness" } else { "log" });
        command.arg("serve").arg("--dir").arg(dir).args(["--listen", &format!("127.0.0.1:{port}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Server(spawn_server(command).unwrap_or_else(|words| panic!("{program_name} did not start:\n{words}")))
    }

    fn get(&self, port: u16, path: &str) -> Vec<u8> {
        let answer = self.http.get(format!("http://127.0.0.1:{port}/{path}")).send().expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.bytes().expect("a body").to_vec()
    }
}

fn done(command: &mut Command) -> Output {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn same(got: &[u8], want: &Path) {
    let want_bytes = fs::read(want).expect("a file of the release");
    assert!(got == want_bytes, "{} differs: {}", want.display(), String::from_utf8_lossy(got));
}

#[test]
fn a_log_of_release_0_1_0_shows_the_same_bytes_and_goes_on() {
    let earlier = Earlier::unpack();
    done(Command::new(program("log-server")).args(["fsck", "--dir"]).arg(earlier.path("log")));
    let (log_port, witness_port) = (free_port(), free_port());
    // The witness of its policy cannot be reached: the note stays as it was published.
    let log = earlier.serve("log-server", log_port);
    for path in [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/29",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/29",
    ] {
        same(&earlier.get(log_port, path), &earlier.path("shown").join(path));
    }
    let did = earlier.text("shown/did");
    let question = format!(r#"{{"did":"{}"}}"#, did.trim());
    let asked = earlier.http.post(format!("http://127.0.0.1:{log_port}/api/v1/evidence"));
    let asked = asked.header("content-type", "application/json").body(question).send().expect("an answer");
    same(&asked.bytes().expect("a body"), &earlier.path("shown/evidence.json"));
    same(&earlier.get(log_port, &format!("did/{}", did.trim())), &earlier.path("shown/did.json"));
    log.stop();

    let policy = earlier.text("w1.policy").replace("127.0.0.1:18081", &format!("127.0.0.1:{witness_port}"));
    fs::write(earlier.path("w1.policy"), policy).expect("written");
    let mut renamed = Command::new(program("log-server"));
    renamed.args(["policy", "--quorum", "1", "--dir"]).arg(earlier.path("log"));
    done(renamed.arg("--witness").arg(earlier.path("w1.policy")));
    let witness = earlier.serve("witness", witness_port);
    let log = earlier.serve("log-server", log_port);
    let someone = Someone::new();
    let url = format!("http://127.0.0.1:{log_port}");
    someone.ok(&["policy", "pin", &url, "--yes"]);
    someone.write("new", "logged by this release");
    someone.ok(&["init"]);
    someone.ok(&["sign", "new", "--log", &url]);
    someone.ok(&["verify", "new", "--signer", &someone.did()]);
    let checkpoint = String::from_utf8(earlier.get(log_port, "checkpoint")).expect("text");
    assert_eq!(checkpoint.lines().nth(1), Some("287"), "an inception and an artifact more");
    log.stop();
    witness.stop();
}

#[test]
fn receipts_and_the_state_of_a_witness_of_release_0_1_0_hold() {
    let earlier = Earlier::unpack();
    let (someone, did) = (Someone::new(), earlier.text("shown/did"));
    let names = ["policy.txt", "receipts", "dist"].map(|name| earlier.path(name).display().to_string());
    let [policy, receipts, dist] = names.each_ref().map(String::as_str);
    let verified =
        someone.ok(&["verify", dist, "--receipts", receipts, "--policy", policy, "--signer", did.trim()]);
    assert_eq!(verified.lines().filter(|line| line.starts_with("ok")).count(), 3, "{verified}");
    let status =
        done(Command::new(program("witness")).args(["status", "--dir"]).arg(earlier.path("witness")));
    same(&status.stdout, &earlier.path("shown/witness-status"));
}
