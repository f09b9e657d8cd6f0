//! A passphrase: from `AIP_PASSPHRASE`, else typed at the terminal without being shown.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::environment;
use crate::report::{Failure, Result};

/// The passphrase that opens the file at `path`.
pub(super) fn ask_for(path: &Path) -> Result<Zeroizing<String>> {
    if let Some(passphrase) = from_environment()? {
        return Ok(passphrase);
    }
    Terminal::open()?.ask(&format!("passphrase of {}: ", crate::report::printable(&path.to_string_lossy())))
}

/// A passphrase for a new file, typed twice.
pub(super) fn choose() -> Result<Zeroizing<String>> {
    if let Some(passphrase) = from_environment()? {
        return Ok(passphrase);
    }
    let mut terminal = Terminal::open()?;
    let first = terminal.ask("new passphrase: ")?;
    if first.is_empty() {
        return Err(Failure::new("an empty passphrase protects nothing"));
    }
    if *terminal.ask("once more: ")? != *first {
        return Err(Failure::new("the two passphrases differ"));
    }
    Ok(first)
}

fn from_environment() -> Result<Option<Zeroizing<String>>> {
    Ok(environment::var("AIP_PASSPHRASE")?.map(Zeroizing::new))
}

/// The terminal, with its echo off while it is held.
struct Terminal {
    file: File,
}

impl Terminal {
    fn open() -> Result<Self> {
        let no_terminal = || {
            Failure::new("a passphrase is needed, and there is no terminal to ask at")
                .hint("set AIP_PASSPHRASE")
        };
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let terminal = Self { file: file.map_err(|source| no_terminal().caused_by(source))? };
        if !terminal.echo(false) {
            return Err(no_terminal().because("its echo cannot be turned off"));
        }
        Ok(terminal)
    }

    fn ask(&mut self, prompt: &str) -> Result<Zeroizing<String>> {
        let broken = |source| Failure::new("cannot read a passphrase from the terminal").caused_by(source);
        self.file.write_all(prompt.as_bytes()).map_err(broken)?;
        let mut line = Zeroizing::new(String::with_capacity(1024));
        BufReader::new(&self.file).read_line(&mut line).map_err(broken)?;
        self.file.write_all(b"\n").map_err(broken)?;
        let length = line.trim_end_matches(['\r', '\n']).len();
        line.truncate(length);
        Ok(line)
    }

    /// POSIX `stty`, so that no crate has to speak to the terminal driver for two prompts.
    fn echo(&self, on: bool) -> bool {
        let Ok(stdin) = self.file.try_clone() else { return false };
        let status = Command::new("stty")
            .arg(if on { "echo" } else { "-echo" })
            .env_remove("AIP_PRIVATE_KEY")
            .stdin(stdin)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.echo(true);
    }
}
