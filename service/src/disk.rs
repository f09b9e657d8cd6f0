//! Free disk space.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Looks how much is free where `path` is, and says in `low` whether that is below the floor (bytes).
pub fn watch(path: &Path, floor: u64, low: &AtomicBool) {
    match rustix::fs::statvfs(path) {
        Ok(disk) => {
            let is_low = disk.f_bavail.saturating_mul(disk.f_frsize) < floor;
            if low.swap(is_low, Ordering::Relaxed) != is_low {
                tracing::warn!(low = is_low, floor, "free disk space against the floor");
            }
        }
        Err(error) => tracing::warn!(%error, "cannot tell how much disk space is free"),
    }
}
