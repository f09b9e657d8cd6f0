//! A passphrase: from `AIP_PASSPHRASE`, else typed at the terminal without being shown.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::environment;
use crate::report::{Failure, Result};
use terminal::Terminal;

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

fn no_terminal() -> Failure {
    Failure::new("a passphrase is needed, and there is no terminal to ask at").hint("set AIP_PASSPHRASE")
}

fn broken(source: io::Error) -> Failure {
    Failure::new("cannot read a passphrase from the terminal").caused_by(source).hint("set AIP_PASSPHRASE")
}

/// Room for what is typed at once: a buffer that grows leaves copies behind.
const CAPACITY: usize = 1024;

#[cfg(unix)]
mod terminal {
    use std::fs::{File, OpenOptions};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use zeroize::Zeroizing;

    use super::{CAPACITY, broken, no_terminal};
    use crate::report::Result;

    /// The terminal, with its echo off while it is held.
    pub(super) struct Terminal {
        file: File,
    }

    impl Terminal {
        pub(super) fn open() -> Result<Self> {
            let file = OpenOptions::new().read(true).write(true).open("/dev/tty");
            let terminal = Self { file: file.map_err(|source| no_terminal().caused_by(source))? };
            if !terminal.echo(false) {
                return Err(no_terminal().because("its echo cannot be turned off"));
            }
            Ok(terminal)
        }

        pub(super) fn ask(&mut self, prompt: &str) -> Result<Zeroizing<String>> {
            self.file.write_all(prompt.as_bytes()).map_err(broken)?;
            let mut line = Zeroizing::new(String::with_capacity(CAPACITY));
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
}

#[cfg(not(unix))]
mod terminal {
    use std::io;

    use console::{Key, Term};
    use zeroize::Zeroizing;

    use super::{CAPACITY, broken, no_terminal, typed};
    use crate::report::Result;

    /// The console. Keys are read one by one, and none is shown.
    pub(super) struct Terminal {
        term: Term,
    }

    impl Terminal {
        pub(super) fn open() -> Result<Self> {
            let term = Term::stderr();
            if term.is_term() { Ok(Self { term }) } else { Err(no_terminal()) }
        }

        pub(super) fn ask(&mut self, prompt: &str) -> Result<Zeroizing<String>> {
            self.term.write_str(prompt).map_err(broken)?;
            let mut line = Zeroizing::new(String::with_capacity(CAPACITY));
            loop {
                let c = match self.term.read_key().map_err(broken)? {
                    Key::Enter => break,
                    Key::Backspace => '\u{8}',
                    Key::Char(c) => c,
                    Key::CtrlC => return Err(broken(io::ErrorKind::Interrupted.into())),
                    _ => continue,
                };
                typed(&mut line, c);
            }
            self.term.write_line("").map_err(broken)?;
            Ok(line)
        }
    }
}

/// A key that was typed behind `line`.
#[cfg(any(not(unix), test))]
fn typed(line: &mut String, c: char) {
    match c {
        '\u{8}' | '\u{7f}' => drop(line.pop()),
        c if c.is_control() => {}
        c => line.push(c),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_key_adds_a_character_or_takes_one_away() {
        let mut line = String::new();
        "a\u{8}\u{8}pé\u{8}ä\u{1b}\u{7f}ß".chars().for_each(|c| super::typed(&mut line, c));
        assert_eq!(line, "pß");
    }
}
