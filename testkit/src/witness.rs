//! A real witness: the program, a directory, a port on loopback.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tlog::key::VerifierKey;

use crate::log::{free_port, spawn_server, terminate};
use crate::program;

/// A witness's directory, and the server on it while it runs.
pub struct Witness {
    folder: TempDir,
    port: u16,
    /// What others put into their policy.
    pub policy: String,
    server: Option<Child>,
}

impl Witness {
    /// Makes a witness of one log and serves it. Without key types it has both.
    pub fn start(name: &str, key_types: &[&str], log: &VerifierKey) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let mut init = Command::new(program("witness"));
        init.args(["init", "--name", name, "--log", &log.to_string(), "--dir"])
            .arg(folder.path().join("witness"));
        init.args(["--url", &format!("http://127.0.0.1:{port}")]);
        init.args(key_types.iter().flat_map(|kind| ["--key-type", kind]));
        let init = init.output().expect("witness runs");
        assert!(init.status.success(), "init: {}", String::from_utf8_lossy(&init.stderr));
        let policy = String::from_utf8(init.stdout).expect("init prints a policy");
        let mut witness = Self { folder, port, policy, server: None };
        witness.serve();
        witness
    }

    /// The witness's directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("witness")
    }

    /// Where the witness takes checkpoints.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Serves the witness, which does not run.
    pub fn serve(&mut self) {
        assert!(self.server.is_none(), "the witness runs already");
        let mut command = Command::new(program("witness"));
        command.arg("serve").arg("--dir").arg(self.dir());
        command.args(["--listen", &format!("127.0.0.1:{}", self.port)]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let server =
            spawn_server(command).unwrap_or_else(|words| panic!("the witness did not start:\n{words}"));
        self.server = Some(server);
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the witness runs").id()
    }

    /// Asks the server to stop (SIGTERM) and waits for it.
    pub fn stop(&mut self) {
        let mut server = self.server.take().expect("the witness runs");
        terminate(server.id());
        server.wait().expect("a process that was told to stop ends");
    }

    /// Ends the server as a power switch would end a process.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the witness runs");
        server.kill().expect("the server is ours");
        server.wait().expect("a process that was killed ends");
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}
