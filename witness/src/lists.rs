//! Where the logs come from: the operator's `logs`, and lists of others, files or URLs, which only ever add.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tlog::key::VerifierKey;

use crate::config::{ConfigError, WitnessFile, read};
use crate::directory::replace;
use crate::log_list::{self, HEADER, Owner, Stanza};
use crate::logs::{Logs, LogsError, learn};
use crate::metrics;

/// The lists of a directory.
#[derive(Debug)]
pub struct Lists {
    dir: PathBuf,
    witness: Vec<VerifierKey>,
    learned: Vec<Stanza>,
}

impl Lists {
    /// The lists of the directory of the witness that has these keys.
    pub fn open(dir: &Path, witness: &[VerifierKey]) -> Result<Self, ListsError> {
        let path = dir.join(LEARNED);
        let learned = if path.exists() { parse_file(&path, Owner::Public)? } else { Vec::new() };
        Ok(Self { dir: dir.to_owned(), witness: witness.to_vec(), learned })
    }

    /// The logs as the files of the directory have them now. `before`: those so far.
    pub fn logs(&self, before: &Logs) -> Result<Logs, ListsError> {
        let own = self.own()?;
        Ok(Logs::new(&own, &self.learned, &self.witness, before)?)
    }

    /// Reads the lists of others and remembers what they add; a list that cannot be read changes nothing.
    pub fn poll(&mut self) -> Result<(), ListsError> {
        let lists = WitnessFile::read(&self.dir)?.lists;
        let own = self.own()?;
        let before = self.learned.len();
        for list in &lists {
            match fetch(list, &self.dir) {
                Ok(stanzas) => {
                    for refused in learn(&mut self.learned, &own, stanzas, &self.witness) {
                        tracing::warn!(list, %refused, "a log of a list is not taken");
                    }
                }
                Err(error) => {
                    metrics::list_error();
                    tracing::warn!(list, %error, "a list of logs cannot be read; what it has brought stays");
                }
            }
        }
        if self.learned.len() > before {
            tracing::info!(logs = self.learned.len() - before, "lists have brought new logs");
            self.remember()?;
        }
        Ok(())
    }

    fn own(&self) -> Result<Vec<Stanza>, ListsError> {
        parse_file(&self.dir.join("logs"), Owner::Operator)
    }

    /// A log stays, whatever becomes of the list that brought it.
    fn remember(&self) -> Result<(), ListsError> {
        let stanzas: String = self.learned.iter().map(|stanza| format!("\n{stanza}")).collect();
        let path = self.dir.join(LEARNED);
        let text = format!("# Logs that lists have brought. Written by the witness.\n{HEADER}\n{stanzas}");
        replace(&path, text.as_bytes()).map_err(|source| ListsError::Unwritable { path, source })
    }
}

fn parse_file(path: &Path, owner: Owner) -> Result<Vec<Stanza>, ListsError> {
    log_list::parse(&read(path)?, owner).map_err(|e| {
        ListsError::Config(ConfigError::Malformed { path: path.to_owned(), cause: e.to_string() })
    })
}

/// Reads one list: `https://…`, or the name of a file, below the directory if it is relative.
fn fetch(list: &str, dir: &Path) -> Result<Vec<Stanza>, FetchError> {
    let text = if list.starts_with("https://") {
        fetch_url(list)?
    } else if list.contains("://") {
        return Err(FetchError::Scheme);
    } else {
        read_bounded(File::open(dir.join(list))?)?
    };
    Ok(log_list::parse(&text, Owner::Public)?)
}

fn fetch_url(url: &str) -> Result<String, FetchError> {
    let client = reqwest::blocking::Client::builder()
        .https_only(true)
        .timeout(FETCH_TIMEOUT)
        .user_agent(concat!("witness/", env!("CARGO_PKG_VERSION")))
        .build()?;
    read_bounded(client.get(url).send()?.error_for_status()?)
}

fn read_bounded(from: impl Read) -> Result<String, FetchError> {
    let mut text = String::new();
    from.take(MAX_LIST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_LIST_BYTES { Err(FetchError::TooLong) } else { Ok(text) }
}

/// Why the logs cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum ListsError {
    /// A file cannot be read or understood.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A log of the operator's list cannot be cosigned.
    #[error("the directory's `logs` are refused: {0}")]
    Logs(#[from] LogsError),
    /// What was learned cannot be kept.
    #[error("cannot write `{}`", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a list is not read.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("{0}")]
    File(#[from] io::Error),
    #[error("{0}")]
    List(#[from] log_list::LogListError),
    #[error("a list is a file or an `https` URL")]
    Scheme,
    #[error("a list has at most {MAX_LIST_BYTES} bytes")]
    TooLong,
    #[error("{0}")]
    Url(#[from] reqwest::Error),
}

/// Beside the operator's own, and not mixed with it: who wants to forget a list edits this file.
const LEARNED: &str = "logs.learned";

/// Room for the largest lists that are planned (a million logs would be more than this, and a machine of its own).
const MAX_LIST_BYTES: u64 = 32 << 20;

const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use tlog::key::{KeyName, KeyType, SignerKey};

    use super::*;

    fn stanza(origin: &str, seed: u8) -> String {
        let key = SignerKey::from_seed(KeyName::new(origin).expect("a name"), KeyType::Ed25519, &[seed; 32]);
        format!("vkey {}\nqpd 1\ncontact x\n", key.verifier())
    }

    #[test]
    fn what_a_list_has_brought_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path();
        let write = |name: &str, text: String| std::fs::write(dir.join(name), text).expect("a file");
        write(
            "witness.toml",
            "name = \"w\"\nkeys = []\nlists = [\"list\", \"missing\", \"http://x\"]\n".into(),
        );
        write("logs", format!("{HEADER}\n{}", stanza("own", 1)));
        write("list", format!("{HEADER}\n{}{}", stanza("own", 2), stanza("a", 3)));
        let origins = |lists: &Lists| {
            let logs = lists.logs(&Logs::default()).expect("logs");
            logs.sorted().iter().map(|log| log.origin.clone()).collect::<Vec<_>>()
        };
        let mut lists = Lists::open(dir, &[]).expect("lists");
        assert_eq!(origins(&lists), ["own"]);
        lists.poll().expect("a poll");
        assert_eq!(origins(&lists), ["a", "own"]);
        // Gone from the list, given another key, damaged: the log stays as it came, also after a start.
        let before = lists.logs(&Logs::default()).expect("logs").get("a").expect("a").keys.clone();
        for text in [HEADER.to_owned(), format!("{HEADER}\n{}", stanza("a", 4)), "?".into()] {
            write("list", text);
            lists.poll().expect("a poll");
            let again = Lists::open(dir, &[]).expect("lists");
            assert_eq!(again.logs(&Logs::default()).expect("logs").get("a").expect("a").keys, before);
        }
        // The operator's own list goes before it.
        write("logs", format!("{HEADER}\n{}", stanza("a", 5)));
        assert_ne!(lists.logs(&Logs::default()).expect("logs").get("a").expect("a").keys, before);
        write("logs", "?".into());
        assert!(lists.logs(&Logs::default()).is_err());
    }
}
