//! Snapshots: how `backup` reads the store of a log that is running.
//!
//! ```text
//! D/snapshot.sock   the process that has the store open listens here
//! D/snapshot/       the store at one moment, while the connection that asked for it is open
//! ```
//! RocksDB has one writer. A second process that reads the files while they change sees different columns at different
//! moments, so the writer itself makes the snapshot, out of hard links. The answer is one line: `ok`, or what failed. The
//! directory has mode 0700, so only its owner can ask.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::Failure;
use crate::store::rocks::RocksStore;

/// Answers requests for snapshots of `store`, the store of the directory `dir`, until the result is dropped.
pub(crate) fn answer(dir: &Path, store: &Arc<RocksStore>) -> io::Result<Answering> {
    // Left over from a process that was killed: the directory is this one's now.
    let socket = dir.join(SOCKET);
    absent(fs::remove_file(&socket))?;
    absent(fs::remove_dir_all(dir.join(SNAPSHOT)))?;
    let listener = UnixListener::bind(&socket)?;
    let shared = Arc::new(Mutex::new(Arc::downgrade(store)));
    let (store, snapshot) = (shared.clone(), dir.join(SNAPSHOT));
    let answer = move || {
        // One at a time; the next one waits in the queue.
        for stream in listener.incoming() {
            let answered = stream.and_then(|stream| answer_one(stream, &store, &snapshot));
            if let Err(error) = answered {
                tracing::warn!(%error, "a snapshot was not handed over");
            }
        }
    };
    thread::Builder::new().name("snapshots".into()).spawn(answer)?;
    Ok(Answering { store: shared, socket })
}

/// Once this is dropped, no snapshot is under way and none begins. RocksDB must be closed before the process ends, and a
/// snapshot in the making holds it open.
pub(crate) struct Answering {
    store: Arc<Mutex<Weak<RocksStore>>>,
    socket: PathBuf,
}

impl Drop for Answering {
    fn drop(&mut self) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
        let _ = fs::remove_file(&self.socket);
    }
}

fn answer_one(mut stream: UnixStream, store: &Mutex<Weak<RocksStore>>, snapshot: &Path) -> io::Result<()> {
    // Locked until the snapshot is made and the store is let go of.
    let made = {
        let store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let open = store.upgrade();
        open.map_or_else(
            || Err("the log is stopping".to_owned()),
            |store| store.link_to(snapshot).map_err(|e| e.to_string()),
        )
    };
    let told = match made {
        Ok(()) => stream.write_all(b"ok\n"),
        Err(cause) => writeln!(stream, "{}", cause.replace('\n', " ")),
    };
    // The other side says nothing more: this returns when it has hung up, or was killed.
    let hung_up = told.and_then(|()| stream.read(&mut [0]));
    absent(fs::remove_dir_all(snapshot))?;
    hung_up.map(drop)
}

/// A snapshot of a running log's store. It is gone when this is dropped.
pub(crate) struct Snapshot {
    path: PathBuf,
    _connection: UnixStream,
}

impl Snapshot {
    /// Asks the process that has the directory `dir` for a snapshot.
    pub(crate) fn ask(dir: &Path) -> Result<Self, Failure> {
        let cannot =
            || Failure::new(format!("cannot get a snapshot of the running log in `{}`", dir.display()));
        let read = |mut connection: UnixStream| {
            connection.set_read_timeout(Some(PATIENCE))?;
            let mut line = Vec::new();
            while line.len() < MAX_ANSWER_BYTES && line.last() != Some(&b'\n') {
                let mut byte = [0];
                connection.read_exact(&mut byte)?;
                line.push(byte[0]);
            }
            Ok((connection, line))
        };
        let answer = UnixStream::connect(dir.join(SOCKET)).and_then(read);
        let (connection, line) = answer.map_err(|e| {
            cannot().caused_by(e).hint(
                "another process uses the directory, and answers no backup: `serve` does; other commands, and a \
                 backup that is under way, have to end first",
            )
        })?;
        if line != b"ok\n" {
            return Err(cannot().because(String::from_utf8_lossy(&line).trim_end()));
        }
        Ok(Self { path: dir.join(SNAPSHOT), _connection: connection })
    }

    /// Where the store is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

const SOCKET: &str = "snapshot.sock";
const SNAPSHOT: &str = "snapshot";

/// How long the answer may take: links and at most 128 MiB of write-ahead log.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 4_096;
