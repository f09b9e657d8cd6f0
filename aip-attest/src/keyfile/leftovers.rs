//! What a process that was killed left behind: unfinished copies of files with keys.
//!
//! Every file is written under another name first ([`durable`]); a process that dies in between leaves that other file,
//! with a private key in it, under a name that begins with a dot. Who takes the lock removes those beside the
//! credentials, since nobody else can be writing there. A recovery key is written elsewhere, and two locks could mean one
//! place: what is younger than a minute is left alone, unless it is of the DID at hand.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use attestation::Did;

use super::names;
use crate::clock;
use crate::durable;
use crate::report::Console;

/// Removes what was left of the credentials and of what lies beside them. For who holds the lock.
pub(super) fn remove_beside(credentials: &Path, console: &mut Console) {
    let name = credentials.file_name().unwrap_or_default().to_string_lossy();
    let start = durable::start_of(&name);
    // A start that was cut off could be another file's.
    let is_whole = start == name;
    remove(durable::folder_of(credentials), console, |found, is_old| {
        found.starts_with(names::NEXT) && found.len() == names::NEXT.len() + 2 * Did::BYTES + ".js".len()
            || found == durable::start_of(names::MESSAGE_KEYS)
            || found == start && (is_whole || is_old)
    });
}

/// Removes what was left of recovery keys in a folder; those of `did` at once.
pub(super) fn remove_recoveries(folder: &Path, did: Option<Did>, console: &mut Console) {
    let name = |did: Did| durable::start_of(&names::recovery(did, 1)).to_owned();
    let own = did.map(name);
    remove(folder, console, |found, is_old| {
        found.starts_with(names::RECOVERY) && (is_old || own.as_deref() == Some(found))
    });
}

/// Removes the unfinished files whose name begins as `is_ours` says, and that nobody but their owner can read.
fn remove(folder: &Path, console: &mut Console, is_ours: impl Fn(&str, bool) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(start) = name.to_str().and_then(durable::unfinished) else { continue };
        // Of the entry itself, not of what a link leads to.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && is_private(&metadata) && is_ours(start, is_old(&metadata)) {
            let path = entry.path();
            match fs::remove_file(&path) {
                Ok(()) => console
                    .note(format!("removed `{}`, which a process that was killed left", path.display())),
                Err(error) => {
                    console.warn(format!("cannot remove `{}`, which may hold a key: {error}", path.display()))
                }
            }
        }
    }
}

fn is_old(metadata: &fs::Metadata) -> bool {
    let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    changed.is_some_and(|changed| changed.as_secs() + SECONDS_OF_WRITING < clock::now().as_secs())
}

#[cfg(unix)]
fn is_private(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o077 == 0
}

#[cfg(not(unix))]
fn is_private(_: &fs::Metadata) -> bool {
    true
}

/// Nobody writes a few hundred bytes for longer.
const SECONDS_OF_WRITING: u64 = 60;

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_what_was_left_of_keys_is_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let did: Did = "did:aip:56475aa75463474c0285df5dbf2bcab7".parse().expect("a DID");
        let next = ".next-56475aa75463474c0285df5dbf2bcab7.js";
        let put = |name: &str, mode: u32, age: u64| -> PathBuf {
            let path = dir.path().join(name);
            fs::write(&path, b"key").expect("written");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            }
            #[cfg(not(unix))]
            let _ = mode;
            let time = UNIX_EPOCH + std::time::Duration::from_secs(clock::now().as_secs() - age);
            fs::File::options()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(time))
                .expect("ours");
            path
        };
        let mut console = Console::new(Box::new(io::sink()), Box::new(io::sink()));
        let end = "0123456789abcdef.aip-tmp";
        // name, mode, age, whether it goes
        for (name, mode, age, goes) in [
            (format!(".credentials.json.{end}"), 0o600, 0, true),
            (format!("{next}.{end}"), 0o600, 0, true),
            (format!(".aip-recovery-56475aa75463474c0285df5dbf2.{end}"), 0o600, 0, true),
            (format!(".aip-recovery-00000000000000000000000000f.{end}"), 0o600, 0, false),
            (format!(".aip-recovery-00000000000000000000000000f.{end}"), 0o600, 120, true),
            (format!(".app.receipt.json.{end}"), 0o600, 120, false),
            (format!(".credentials.json.receipt.json.{end}"), 0o600, 120, false),
            // Without mode bits there is no telling that others can read it.
            (format!(".credentials.json.{end}"), 0o644, 120, cfg!(not(unix))),
            (format!(".credentials.json.x{end}"), 0o600, 120, false),
            ("credentials.json".to_owned(), 0o600, 120, false),
            (format!("credentials.json.{end}"), 0o600, 120, false),
        ] {
            let path = put(&name, mode, age);
            remove_beside(&dir.path().join("credentials.json"), &mut console);
            remove_recoveries(dir.path(), Some(did), &mut console);
            assert_eq!(!path.exists(), goes, "{name} {mode:o} {age}");
            let _ = fs::remove_file(path);
        }
    }
}
