//! The program: a directory, a port on loopback, signals.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use tempfile::TempDir;
use tlog::Hash;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use crate::world::{Log, NAME};

/// A witness's directory, and the server on it while it runs.
pub(crate) struct Server {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    http: Client,
    /// The policy text that `init` printed.
    pub(crate) policy: String,
}

impl Server {
    /// Makes a witness of these logs. It does not run yet.
    pub(crate) fn init(logs: &[&Log], flags: &[&str]) -> Self {
        Self::init_as(NAME, logs, flags)
    }

    /// As [`init`](Self::init), under a name.
    pub(crate) fn init_as(name: &str, logs: &[&Log], flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut init = Command::new(program());
        init.args(["init", "--name", name, "--dir"]).arg(folder.path().join("witness")).args(flags);
        for key in logs.iter().flat_map(|log| &log.keys) {
            init.args(["--log", &key.verifier().to_string()]);
        }
        let output = init.output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let policy = String::from_utf8(output.stdout).expect("UTF-8");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http =
            Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().expect("an HTTP client");
        Self { folder, port: free_port(), child: None, http, policy }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("witness")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The witness's keys, as its policy names them.
    pub(crate) fn vkeys(&self) -> Vec<VerifierKey> {
        let policy: Policy = format!("{}quorum none\n", self.policy).parse().expect("a policy");
        policy.witnesses().iter().map(|witness| witness.vkey.clone()).collect()
    }

    pub(crate) fn command(&self, command: &str, flags: &[&str]) -> Command {
        let mut run = Command::new(program());
        run.arg(command).arg("--dir").arg(self.dir()).args(flags).stdin(Stdio::null());
        run
    }

    /// Runs another command on the directory.
    pub(crate) fn run(&self, command: &str, flags: &[&str]) -> Output {
        self.command(command, flags).output().expect("the program runs")
    }

    /// Serves the witness and waits until it answers.
    pub(crate) fn serve(&mut self, flags: &[&str]) {
        self.serve_under(&[], flags);
    }

    /// As [`serve`](Self::serve), started by a program that becomes, or watches, the server.
    pub(crate) fn serve_under(&mut self, starter: &[&str], flags: &[&str]) {
        self.start(starter, flags)
            .unwrap_or_else(|(code, lines)| panic!("it did not start: {code:?}\n{lines}"));
    }

    /// Serves the witness and waits until it answers, or has ended: then the exit code, and what it said.
    pub(crate) fn start(
        &mut self,
        starter: &[&str],
        flags: &[&str],
    ) -> Result<String, (Option<i32>, String)> {
        let listen = self.address().to_string();
        let serve = self.command(
            "serve",
            &[&["--listen", &listen, "--address-requests-per-minute", "0"], flags].concat(),
        );
        let mut command = match starter {
            [] => serve,
            [starter, args @ ..] => {
                let mut command = Command::new(starter);
                command.args(args).arg(serve.get_program()).args(serve.get_args()).stdin(Stdio::null());
                command
            }
        };
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program runs");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut lines = String::new();
        while !lines.contains(" serving ") {
            if stderr.read_line(&mut lines).expect("a line") == 0 {
                return Err((child.wait().expect("a process of ours").code(), lines));
            }
        }
        // Keeps the pipe drained, so that the server never blocks on it.
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        self.child = Some(child);
        Ok(lines)
    }

    /// The second record of what was cosigned.
    pub(crate) fn record(&self) -> PathBuf {
        self.folder.path().join("witness.cosigned")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }

    /// Ends the server as a power switch would end a process.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("the server is ours");
        child.wait().expect("a process that was killed ends");
    }

    /// Asks the server to stop and waits for it. Answers its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until the server has ended.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("a process of ours").code()
    }

    /// Asks for a cosignature: status and text, or nothing if the server is gone.
    pub(crate) fn try_add(&self, request: String) -> Option<(u16, String)> {
        let response = self.http.post(self.url("/add-checkpoint")).body(request).send().ok()?;
        let status = response.status().as_u16();
        Some((status, response.text().ok()?))
    }

    pub(crate) fn add(&self, request: String) -> (u16, String) {
        self.try_add(request).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(self.url(path)).send().expect("an answer");
        (response.status().as_u16(), response.text().expect("a text"))
    }

    /// What monitors see of a log.
    pub(crate) fn seen(&self, log: &Log) -> (u16, String) {
        self.get(&format!("/{}/checkpoint", Hash::of(log.origin.as_bytes())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_witness")
}

/// Waits until something is so; fails after a time in which it must have become so.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: not in 20 s");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A port that was free a moment ago, below those that the system gives to clients.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(89);
    let port = || 10_000 + (start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 9_000) as u16;
    std::iter::repeat_with(port)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
