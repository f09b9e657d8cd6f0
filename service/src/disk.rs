//! A disk that is full, and one that takes nothing.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Failure;

/// Looks how much is free where `path` is, and says in `low` whether that is below the floor (bytes). If that cannot be
/// told, it counts as below.
pub fn watch(path: &Path, floor: u64, low: &AtomicBool) {
    let free = rustix::fs::statvfs(path).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    let is_low = !free.is_ok_and(|free| free >= floor);
    if low.swap(is_low, Ordering::Relaxed) != is_low {
        match free {
            Ok(_) => tracing::warn!(low = is_low, floor, "free disk space against the floor"),
            Err(error) => tracing::warn!(%error, "cannot tell how much disk space is free"),
        }
    }
}

/// Whether an error may pass without anybody changing a setting, such as a full disk.
pub fn may_pass(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::ROFS,
        Errno::IO,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::AGAIN,
        Errno::STALE,
    ];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
}

/// As [`may_pass`], for an error of RocksDB, which comes as text only.
pub fn words_may_pass(error: &str) -> bool {
    let lasting = ["No such file", "ermission denied", "ot a directory", "s a directory", "LOCK:"];
    !lasting.iter().any(|words| error.contains(words))
}

/// Why a file that is there cannot be opened: a disk that may be in order again, or a file of somebody else.
pub fn cannot_open(path: &Path, cause: io::Error) -> Failure {
    let (may_pass, kind) = (may_pass(&cause), cause.kind());
    let failure =
        Failure::new(format!("cannot open `{}`", path.display())).caused_by(cause).may_pass(may_pass);
    match kind {
        io::ErrorKind::PermissionDenied => {
            failure.hint("run this as the user who owns the directory, and let nobody else write into it")
        }
        _ => failure,
    }
}
