//! Where the logs come from: the operator's `logs`, and lists of others (files or URLs). Lists only ever add logs.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use service::bounded::{self, Body};
use service::durable::replace;
use tlog::key::VerifierKey;

use crate::config::{ConfigError, WitnessFile, read};
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

    /// Reads the lists of others and remembers the logs that they add. A list that cannot be read changes nothing. `lists`
    /// is locked only after reading, since a list may take long.
    pub fn poll(lists: &Mutex<Self>) -> Result<(), ListsError> {
        let locked = || lists.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = locked().dir.clone();
        for list in WitnessFile::read(&dir)?.lists {
            match fetch(&list, &dir) {
                Ok(stanzas) => locked().learn(&list, stanzas)?,
                Err(error) => {
                    metrics::list_error();
                    let error = full(&error);
                    tracing::warn!(list, error, "a list of logs cannot be read; what it has brought stays");
                }
            }
        }
        Ok(())
    }

    fn learn(&mut self, list: &str, stanzas: Vec<Stanza>) -> Result<(), ListsError> {
        let own = self.own()?;
        let before = self.learned.len();
        let refused = learn(&mut self.learned, &own, stanzas, &self.witness, MAX_LEARNED);
        for refused in refused.iter().take(REFUSALS_TOLD) {
            tracing::warn!(list, %refused, "a log of a list is not taken");
        }
        if refused.len() > REFUSALS_TOLD {
            tracing::warn!(list, logs = refused.len(), "so many logs of a list are not taken");
        }
        if self.learned.len() > before {
            tracing::info!(list, logs = self.learned.len() - before, "a list has brought new logs");
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

fn read_bounded(from: impl io::Read) -> Result<String, FetchError> {
    match bounded::read(from, MAX_LIST_BYTES, FETCH_TIMEOUT)? {
        Body::Whole(bytes) => String::from_utf8(bytes).map_err(|_| FetchError::Text),
        Body::TooLong(_) => Err(FetchError::TooLong),
        Body::TooSlow => Err(FetchError::TooSlow),
    }
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
    #[error("it is not UTF-8")]
    Text,
    #[error("a list has at most {MAX_LIST_BYTES} bytes")]
    TooLong,
    #[error("it takes longer than {} s", FETCH_TIMEOUT.as_secs())]
    TooSlow,
    #[error(transparent)]
    Url(#[from] reqwest::Error),
}

/// What an error says, and what lies under it: a certificate that is refused stands at the very bottom.
fn full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// The logs that lists have brought. It is a file of its own, so that an operator can edit it to forget a list.
const LEARNED: &str = "logs.learned";

/// Room for the largest lists that are planned (a million logs would be more than this, and a machine of its own).
const MAX_LIST_BYTES: usize = 32 << 20;

/// The most logs that lists may bring. They are never forgotten, so the author of a list could fill memory and disk.
const MAX_LEARNED: usize = 100_000;

/// How many refusals of one list are told one by one.
const REFUSALS_TOLD: usize = 10;

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
        let lists = Mutex::new(Lists::open(dir, &[]).expect("lists"));
        assert_eq!(origins(&lists.lock().expect("free")), ["own"]);
        Lists::poll(&lists).expect("a poll");
        assert_eq!(origins(&lists.lock().expect("free")), ["a", "own"]);
        // Gone from the list, given another key, damaged: the log stays as it came, also after a start.
        let logs = || lists.lock().expect("free").logs(&Logs::default());
        let before = logs().expect("logs").get("a").expect("a").keys.clone();
        for text in [HEADER.to_owned(), format!("{HEADER}\n{}", stanza("a", 4)), "?".into()] {
            write("list", text);
            Lists::poll(&lists).expect("a poll");
            let again = Lists::open(dir, &[]).expect("lists");
            assert_eq!(again.logs(&Logs::default()).expect("logs").get("a").expect("a").keys, before);
        }
        // The operator's own list goes before it.
        write("logs", format!("{HEADER}\n{}", stanza("a", 5)));
        assert_ne!(logs().expect("logs").get("a").expect("a").keys, before);
        write("logs", "?".into());
        assert!(logs().is_err());
    }
}
