//! One process at a time changes the keys in a folder.
//!
//! It holds the system's exclusive lock on the file `keys.lock` beside the credentials, from before it reads them until
//! after it has written what came of the change, the log's answer included. The system lets go of the lock when the
//! process ends, however it ends. The file stays, and names who has the lock, or had it last: it decides nothing.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::leftovers;
use crate::durable::{self, Readers};
use crate::environment;
use crate::report::{Console, Failure, Result, printable};

/// The right to write the credentials and what lies beside them, for as long as it is held.
pub(crate) struct Lock {
    credentials: PathBuf,
    // Closing it lets go of the lock.
    _file: File,
}

impl Lock {
    /// Takes the lock on the folder of `credentials` for `command`. Where another process has it, that is said, and it
    /// is waited for until `deadline`. Makes the folder, 0700, and removes what a process that was killed left there.
    pub(crate) fn take(
        credentials: &Path,
        command: &str,
        deadline: Instant,
        console: &mut Console,
    ) -> Result<Self> {
        let path = credentials.with_file_name(NAME);
        let cannot = |source| Failure::new(format!("cannot lock `{}`", path.display())).caused_by(source);
        durable::create_folder(durable::folder_of(&path), Readers::Owner)?;
        let mut file = durable::lock_file(&path).map_err(cannot)?;
        let mut is_told = false;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => {
                    return Err(cannot(source)
                        .hint("keys change only where the file system has locks: move them there, and name the file in AIP_CREDENTIALS_PATH"));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(busy(&mut file)
                    .hint("let it end, then give the same command again: nothing was changed by this one")
                    .for_now());
            }
            if !is_told {
                console.note(format!("{}; waiting for {} s", busy(&mut file).one_line(), left.as_secs()));
                is_told = true;
            }
            thread::sleep(PAUSE.min(left));
        }
        // For people only: whoever cannot write it has the lock all the same.
        let _ = name_holder(&mut file, command);
        leftovers::remove_beside(credentials, console);
        if let Some(home) = environment::home_of_user() {
            leftovers::remove_recoveries(&home, None, console);
        }
        Ok(Self { credentials: credentials.to_path_buf(), _file: file })
    }

    /// The credentials file that it is for.
    pub(crate) fn credentials(&self) -> &Path {
        &self.credentials
    }
}

fn name_holder(file: &mut File, command: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("{command}, process {}\n", std::process::id()).as_bytes())
}

fn busy(file: &mut File) -> Failure {
    let failure = Failure::new("another process is changing the keys here");
    let mut holder = String::new();
    // Where a lock keeps readers out too, nobody is named.
    let read = file.rewind().and_then(|()| file.take(MAX_HOLDER_BYTES).read_to_string(&mut holder));
    match holder.lines().next() {
        Some(holder) if read.is_ok() => failure.because(printable(holder)),
        _ => failure,
    }
}

const NAME: &str = "keys.lock";
const PAUSE: Duration = Duration::from_millis(50);
const MAX_HOLDER_BYTES: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn silent() -> Console {
        Console::new(Box::new(io::sink()), Box::new(io::sink()))
    }

    #[test]
    fn one_has_it_and_is_named_to_the_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let credentials = dir.path().join("deep/credentials.json");
        let take = |deadline| Lock::take(&credentials, "rotate-key", deadline, &mut silent());
        let lock = take(Instant::now()).expect("free");
        // Another identity in the same folder has the same lock: the files beside are named by the DID alone.
        let other = dir.path().join("deep/other.json");
        let failure = Lock::take(&other, "init", Instant::now(), &mut silent()).err().expect("taken");
        let holder = format!("rotate-key, process {}", std::process::id());
        // Windows lets nobody read what is locked: nobody is named there.
        let is_named = cfg!(windows) || failure.one_line().ends_with(&holder);
        assert!(is_named && failure.is_for_now(), "{failure}");
        let long = Instant::now() + Duration::from_secs(60);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| take(long).map(|_| ()));
            drop(lock);
            waiting.join().expect("no panic").expect("free again");
        });
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: PathBuf| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode(dir.path().join("deep")), 0o700);
            assert_eq!(mode(dir.path().join("deep/keys.lock")), 0o600);
        }
    }
}
