//! A database as RocksDB reads it once the damage is taken out of its record files.
//!
//! The database itself is left as it is. A temporary folder gets links to its sorted files, and new record files with
//! every record that is whole or could be mended, before and behind the damage.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Journal, Record, read, write};

/// The folder. It is removed when this is dropped, so its readers must be dropped before.
#[derive(Debug)]
pub struct Mended(PathBuf);

impl Mended {
    /// Mends a copy of the database folder `db`. What is damaged of its sorted files stays so.
    pub fn copy(db: &Path) -> io::Result<Self> {
        Self::with(db, |journal| journal.records)
    }

    /// As [`copy`](Self::copy), but each record file ends before its first damage.
    pub fn before_damage(db: &Path) -> io::Result<Self> {
        Self::with(db, |journal| {
            let end = journal.flaws.first().map_or(usize::MAX, |flaw| flaw.at);
            journal.records.into_iter().filter(|record| record.at < end).collect()
        })
    }

    fn with(db: &Path, keep: fn(Journal) -> Vec<Record>) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mended = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("aip-salvage-{}-{number}", std::process::id()));
            // A folder of somebody else, or of a process of this number that was killed, is not used.
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => break Self(path),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        };
        mended.fill(&db.canonicalize()?, keep)?;
        Ok(mended)
    }

    /// Where it is, to be opened for reading.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn fill(&self, db: &Path, keep: fn(Journal) -> Vec<Record>) -> io::Result<()> {
        let mut manifests = Vec::new();
        for entry in fs::read_dir(db)? {
            let path = entry?.path();
            let (Some(name), Some(file)) =
                (path.file_name().and_then(|name| name.to_str()), path.file_name())
            else {
                continue;
            };
            let to = self.0.join(file);
            if let Some(number) = manifest(name) {
                fs::write(&to, write(&keep(read(&fs::read(&path)?))))?;
                manifests.push((number, name.to_owned()));
            } else if name.ends_with(".log") {
                fs::write(&to, write(&keep(read(&fs::read(&path)?))))?;
            } else if name.ends_with(".sst") {
                symlink(&path, &to)?;
            }
        }
        let named = current(db)?.ok();
        let newest = || manifests.into_iter().max().map(|(_, name)| name);
        if let Some(name) = named.or_else(newest) {
            fs::write(self.0.join("CURRENT"), format!("{name}\n"))?;
        }
        Ok(())
    }
}

impl Drop for Mended {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The name of the manifest of a database folder, or what is wrong with the file that names it.
pub fn current(db: &Path) -> io::Result<Result<String, String>> {
    let path = db.join("CURRENT");
    let text = match fs::read(&path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        // A database that is not there is another matter.
        Err(e) if e.kind() == io::ErrorKind::NotFound && db.is_dir() => {
            return Ok(Err(format!("`{}` is missing", path.display())));
        }
        Err(e) => return Err(e),
    };
    let name = text.strip_suffix('\n').filter(|name| manifest(name).is_some());
    Ok(match name {
        Some(name) if db.join(name).is_file() => Ok(name.to_owned()),
        _ => Err(format!("`{}` is damaged: it names no manifest that is there", path.display())),
    })
}

/// The number of a manifest, by its name.
fn manifest(name: &str) -> Option<u64> {
    let number = name.strip_prefix("MANIFEST-")?;
    number.bytes().all(|digit| digit.is_ascii_digit()).then(|| number.parse().ok()).flatten()
}
