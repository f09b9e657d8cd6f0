//! Disks that a trial makes: small ones in memory, and file systems in images, whose content can be copied at any instant.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, mounted over a folder. Let go of when dropped.
pub struct Disk(PathBuf);

/// What is on a disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Memory.
    Tmpfs,
    /// ext4 in an image, by a loop device.
    Ext4,
    /// XFS in an image, by a loop device.
    Xfs,
}

/// Why there is no disk, and what would let there be one.
pub type NoDisk = (String, String);

impl Disk {
    /// Mounts a new small disk over a folder. One that is not in memory has its image at `image`.
    ///
    /// # Errors
    /// Without the rights, the tools or the devices.
    pub fn make(kind: Kind, folder: &Path, image: &Path, bytes: u64) -> Result<Self, NoDisk> {
        if kind == Kind::Tmpfs {
            let size = format!("size={bytes}");
            return run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder), ROOT)
                .map(|()| Self(folder.to_owned()));
        }
        let file = File::create(image).and_then(|file| file.set_len(bytes));
        file.map_err(|e| (format!("`{}`: {e}", image.display()), "free some room".to_owned()))?;
        let mut mkfs = match kind {
            Kind::Ext4 => Command::new("mkfs.ext4"),
            _ => Command::new("mkfs.xfs"),
        };
        let (flags, package): (&[&str], _) = match kind {
            Kind::Ext4 => (
                &["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
                "install `e2fsprogs`",
            ),
            _ => (&["-q", "-f", "-m", "reflink=1"], "install `xfsprogs`"),
        };
        run(mkfs.args(flags).arg(image), package)?;
        Self::mount(image, folder, "loop")
    }

    /// Mounts an image over a folder: its journal is replayed, as after a power loss.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    pub fn mount(image: &Path, folder: &Path, options: &str) -> Result<Self, NoDisk> {
        let mut mount = Command::new("mount");
        run(mount.args(["-o", options]).arg(image).arg(folder), ROOT).map(|()| Self(folder.to_owned()))
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Bytes that are free for others than root.
    pub fn free(&self) -> u64 {
        let output =
            Command::new("stat").args(["-f", "-c", "%a %S"]).arg(&self.0).output().expect("stat runs");
        let text = String::from_utf8(output.stdout).expect("numbers");
        text.split_whitespace().map(|number| number.parse::<u64>().expect("a number")).product()
    }

    /// Fills it by a file until about `left` bytes are free.
    pub fn fill(&self, ballast: &Path, left: u64) {
        let mut file = File::create(ballast).expect("a file");
        let chunk = vec![0; 1 << 16];
        loop {
            let bytes = self.free().saturating_sub(left);
            // What others took meanwhile may leave less than there was.
            let mut written = 0;
            while written < bytes {
                let most = chunk.len().min((bytes - written) as usize);
                match file.write(&chunk[..most]) {
                    Ok(count) if count > 0 => written += count as u64,
                    _ => return,
                }
            }
            // What is not written yet may not count as taken yet.
            if file.sync_all().is_err() || self.free() <= left.max(1 << 16) {
                return;
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

const ROOT: &str = "run it as root, where loop devices and mounts are allowed";

/// Runs a command that makes a disk.
fn run(command: &mut Command, hint: &str) -> Result<(), NoDisk> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| (format!("{name}: {e}"), hint.to_owned()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err((format!("{name}: {}", words.lines().next().unwrap_or("failed").trim()), hint.to_owned()))
}

/// Copies a file in one instant, whatever is written to it meanwhile: by reference, on a file system that can.
///
/// # Errors
/// What `cp` said.
pub fn clone(from: &Path, to: &Path) -> Result<(), String> {
    let _ = fs::remove_file(to);
    run(Command::new("cp").arg("--reflink=always").arg(from).arg(to), "").map_err(|(why, _)| why)
}
