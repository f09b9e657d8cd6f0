//! A real log: the program, a directory, a port on loopback.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use serde_json::Value;
use tempfile::TempDir;
use tlog::key::VerifierKey;
use tlog::policy::Policy;

use crate::program;

/// The origin of every log here.
pub const ORIGIN: &str = "localhost/log";

/// A log's directory, and the server on it while it runs.
pub struct Log {
    folder: PathBuf,
    /// Removes the folder when the log is dropped, if it is the log's own.
    _own: Option<TempDir>,
    /// The log's key.
    pub vkey: VerifierKey,
    port: u16,
    server: Option<Child>,
    http: Client,
}

impl Log {
    /// Makes a log. It does not run yet.
    pub fn init() -> Self {
        Self::init_as(ORIGIN)
    }

    /// As [`init`](Self::init), under another name.
    pub fn init_as(origin: &str) -> Self {
        let own = tempfile::tempdir().expect("a temporary folder");
        let mut log = Self::init_in(own.path(), origin);
        log._own = Some(own);
        log
    }

    /// As [`init_as`](Self::init_as), in a folder that somebody else removes.
    pub fn init_in(folder: &Path, origin: &str) -> Self {
        let dir = folder.join("log");
        let init = Command::new(program("log-server"))
            .args(["init", "--origin", origin, "--dir"])
            .arg(&dir)
            .output()
            .expect("log-server runs");
        assert!(init.status.success(), "init: {}", String::from_utf8_lossy(&init.stderr));
        Self::at(folder, String::from_utf8_lossy(&init.stdout).trim().parse().expect("init prints the vkey"))
    }

    /// A log that is in this folder already, or a copy of one, with its record beside it.
    pub fn at(folder: &Path, vkey: VerifierKey) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().timeout(Duration::from_secs(60)).build().expect("an HTTP client");
        Self { folder: folder.to_owned(), _own: None, vkey, port: free_port(), server: None, http }
    }

    /// Makes a log and serves it.
    pub fn start(flags: &[&str]) -> Self {
        let mut log = Self::init();
        log.serve(flags);
        log
    }

    /// The log's directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The folder around it: also that of the signed record.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log's URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the log listens.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// The policy that believes this log alone.
    pub fn policy(&self) -> Policy {
        format!("log {}\nquorum none\n", self.vkey).parse().expect("a policy")
    }

    /// Serves the log and waits until it answers. Answers how long that took.
    pub fn serve(&mut self, flags: &[&str]) -> Duration {
        self.serve_under(&[], flags)
    }

    /// As [`serve`](Self::serve), started by a program that becomes the server, such as `prlimit`.
    pub fn serve_under(&mut self, starter: &[&str], flags: &[&str]) -> Duration {
        self.try_serve(starter, flags).unwrap_or_else(|words| panic!("the log did not start:\n{words}"))
    }

    /// As [`serve_under`](Self::serve_under), for a log that may refuse: what it said then.
    pub fn try_serve(&mut self, starter: &[&str], flags: &[&str]) -> Result<Duration, String> {
        assert!(self.server.is_none(), "the log runs already");
        let start = Instant::now();
        let serve = self.command(flags);
        let command = match starter {
            [] => serve,
            [starter, args @ ..] => {
                let mut command = Command::new(starter);
                command.args(args).arg(serve.get_program()).args(serve.get_args());
                command.stdin(Stdio::null()).stdout(Stdio::null());
                command
            }
        };
        self.server = Some(spawn_server(command)?);
        Ok(start.elapsed())
    }

    /// Serves the log, which must refuse; answers what it said.
    pub fn serve_refused(&self, flags: &[&str]) -> Output {
        let output = self.command(flags).output().expect("log-server runs");
        assert!(!output.status.success(), "the log was served");
        output
    }

    fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(program("log-server"));
        command.arg("serve").arg("--dir").arg(self.dir()).args(["--listen", &self.address().to_string()]);
        command.args(flags).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the log runs").id()
    }

    /// Sends the server a signal, such as `KILL`, and waits for nothing.
    pub fn signal(&self, name: &str) {
        let killed = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success(), "the process is ours");
    }

    /// Ends the server as a power switch would end a process.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the log runs");
        server.kill().expect("the server is ours");
        server.wait().expect("a process that was killed ends");
    }

    /// Asks the server to stop (SIGTERM) and waits for it. Answers its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut server = self.server.take().expect("the log runs");
        terminate(server.id());
        server.wait().expect("a process that was told to stop ends").code()
    }

    /// Whether the server has ended by itself; its exit code then.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        let server = self.server.as_mut().expect("the log runs");
        let ended = server.try_wait().expect("the server is ours").map(|status| status.code());
        if ended.is_some() {
            self.server = None;
        }
        ended
    }

    /// Replaces the log's own policy: its key, these lines, and this quorum.
    pub fn ask(&self, witnesses: &str, quorum: &str) -> Policy {
        let text = format!("log {}\n{witnesses}quorum {quorum}\n", self.vkey);
        std::fs::write(self.dir().join("policy"), &text).expect("a policy");
        text.parse().expect("a policy")
    }

    /// `log-server fsck` on the directory.
    pub fn fsck(&self) -> Output {
        Command::new(program("log-server"))
            .arg("fsck")
            .arg("--dir")
            .arg(self.dir())
            .output()
            .expect("log-server runs")
    }

    /// The client that this log is read with.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// GETs a path.
    pub fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.url())).send().expect("an answer")
    }

    /// GETs a path, which must be there, as bytes.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        let response = self.get(path);
        assert!(response.status().is_success(), "{path}: {}", response.status());
        response.bytes().expect("a body").to_vec()
    }

    /// GETs a path as JSON, whatever the status.
    pub fn json(&self, path: &str) -> (u16, Value) {
        let response = self.get(path);
        (response.status().as_u16(), response.json().expect("JSON"))
    }

    /// POSTs submissions. Answers the status and the JSON.
    pub fn submit(&self, body: &Value) -> (u16, Value) {
        self.submit_with(body, &[])
    }

    /// POSTs submissions with further headers.
    pub fn submit_with(&self, body: &Value, headers: &[(&str, &str)]) -> (u16, Value) {
        let mut request = self.http.post(format!("{}/api/v1/entries", self.url())).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().expect("an answer");
        (response.status().as_u16(), response.json().expect("JSON"))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}

/// Starts a server and waits until it says that it serves; or answers what it said when it ended.
pub fn spawn_server(mut command: Command) -> Result<Child, String> {
    let mut server = command.stderr(Stdio::piped()).spawn().expect("the server runs");
    let mut stderr = BufReader::new(server.stderr.take().expect("a pipe"));
    let mut lines = String::new();
    while !lines.contains(" serving ") {
        if stderr.read_line(&mut lines).expect("a line") == 0 {
            let status = server.wait().expect("a process that closed its end ends");
            return Err(format!("{lines}{status}"));
        }
    }
    // Keeps the pipe drained, so that the server never blocks on it.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    Ok(server)
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    let killed = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    assert!(killed.expect("kill runs").success(), "the process is ours");
}

/// A port that was free a moment ago. It is below those that the system gives to clients: one of thousands
/// of connections under way would take it otherwise before the server does.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    let port = || 20_000 + (start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000) as u16;
    std::iter::repeat_with(port)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Copies a folder's files and folders. A socket in it is left out.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy_folder(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &to).expect("a copy");
            File::open(&to).and_then(|file| file.sync_all()).expect("a copy");
        }
    }
}
