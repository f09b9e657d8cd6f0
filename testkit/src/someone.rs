//! Somebody at a command line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::log::Log;
use crate::program;

/// A person or a pipeline with a home and a working folder.
pub struct Someone {
    folder: tempfile::TempDir,
}

impl Default for Someone {
    fn default() -> Self {
        Self::new()
    }
}

impl Someone {
    /// A new home, and a working folder with a `dist`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("home")).expect("a home");
        std::fs::create_dir_all(folder.path().join("work/dist")).expect("a folder");
        Self { folder }
    }

    /// Home and working folder are in here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The working folder.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Writes a file of the working folder.
    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.work().join(name), content).expect("written");
    }

    /// `aip` in an environment of its own.
    pub fn aip(&self, arguments: &[&str]) -> Command {
        self.within(&[], arguments)
    }

    /// `aip` started by another program.
    pub fn within(&self, outer: &[&str], arguments: &[&str]) -> Command {
        let aip = program("aip");
        let mut words: Vec<&std::ffi::OsStr> = outer.iter().map(AsRef::as_ref).collect();
        words.push(aip.as_os_str());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(arguments).current_dir(self.work());
        command.env_clear().env("HOME", self.folder.path().join("home"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs `aip`: exit code, stdout, stderr.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(self.aip(arguments).output().expect("aip runs"))
    }

    /// Runs what must succeed; answers its stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "aip {arguments:?}\n{out}{err}");
        out
    }

    /// Somebody who made an identity with these flags and pinned the log.
    pub fn at(log: &Log, init: &[&str]) -> Self {
        let someone = Self::new();
        someone.ok(&[&["init"], init].concat());
        someone.ok(&["policy", "pin", &log.url(), "--yes"]);
        someone
    }

    /// Runs what must succeed, with `--json`; answers what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).expect("JSON")
    }

    /// What the log says of the DID, by `whoami`.
    pub fn state(&self) -> Value {
        self.json(&["whoami"])["state"].clone()
    }

    /// Where the newest recovery key is.
    pub fn recovery_file(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.home()).expect("a home").map(|entry| entry.expect("an entry"));
        let keys = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("aip-recovery-"))
            .map(|entry| entry.path());
        // The later ones have a number.
        keys.max_by_key(|path| (path.as_os_str().len(), path.clone())).expect("a recovery key")
    }

    /// Where the next key is.
    pub fn next_file(&self) -> PathBuf {
        let digits = self.did().replace("did:aip:", "");
        self.home().join(".aip").join(format!("next-{digits}.json"))
    }

    /// The DID that `whoami` prints.
    pub fn did(&self) -> String {
        // Offline no log says whose key a later one is: the DID is printed all the same.
        let (_, out, err) = self.run(&["whoami", "--offline", "--json"]);
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("no JSON: {out}{err}"));
        json["did"].as_str().expect("a DID").to_owned()
    }
}

/// Exit code, stdout, stderr.
pub fn outcome(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("an exit code"), text(output.stdout), text(output.stderr))
}
