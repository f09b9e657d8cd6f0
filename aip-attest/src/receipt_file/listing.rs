//! Which receipts lie beside a place, by their names.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::SUFFIX;
use crate::durable::folder_of;
use crate::report::{Failure, Result};

/// The receipts that are kept in folders, each folder listed once: a thousand artifacts may lie in one.
#[derive(Default)]
pub(crate) struct Listings {
    folders: BTreeMap<PathBuf, Result<Kept>>,
}

/// The files that are kept in one folder, by the file name that theirs begin with.
type Kept = BTreeMap<Vec<u8>, Vec<PathBuf>>;

impl Listings {
    /// The receipts `<base>.<16 hex>.receipt.json`, sorted by name.
    pub(crate) fn kept(&mut self, base: &Path) -> Result<Vec<PathBuf>> {
        let folder = folder_of(base);
        let listed = self.folders.entry(folder.to_path_buf()).or_insert_with(|| list(folder));
        let name = base.file_name().unwrap_or_default().as_encoded_bytes();
        let kept = listed.as_ref().map_err(Failure::clone)?;
        // Named as the base is: `.` before it or not.
        let named = |file: &PathBuf| base.with_file_name(file.file_name().unwrap_or_default());
        Ok(kept.get(name).into_iter().flatten().map(named).collect())
    }
}

fn list(folder: &Path) -> Result<Kept> {
    let cannot = |source| {
        Failure::new(format!("cannot look for receipts in the folder `{}`", folder.display()))
            .caused_by(source)
    };
    let mut kept = Kept::new();
    let entries = match fs::read_dir(folder) {
        // Of a name that is none, or too long for one, there is no folder.
        Err(error) if is_no_folder(error.kind()) => {
            return Ok(kept);
        }
        entries => entries.map_err(cannot)?,
    };
    for entry in entries {
        let name = entry.map_err(cannot)?.file_name();
        let stem = name.as_encoded_bytes().strip_suffix(SUFFIX.as_bytes());
        if let Some((of, _)) = stem.and_then(split_kept) {
            kept.entry(of.to_vec()).or_default().push(PathBuf::from(&name));
        }
    }
    kept.values_mut().for_each(|names| names.sort());
    Ok(kept)
}

fn is_no_folder(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename)
}

/// `app` and `0123456789abcdef-2` of the `app.0123456789abcdef-2` that a kept receipt's name begins with.
pub(super) fn split_kept(stem: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = stem.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    let (of, id) = (&stem[..dot], &stem[dot + 1..]);
    let (digits, number) = id.split_at_checked(16)?;
    let is_hex = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = matches!(number, [] | [b'-', b'2'..=b'9']);
    (is_hex && is_number).then_some((of, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_receipt_is_known_by_its_name() {
        for (name, want) in [
            ("app.0123456789abcdef", Some("app")),
            ("a.b.0123456789abcdef-9", Some("a.b")),
            ("app.0123456789abcdef-1", None),
            ("app.0123456789abcdef-10", None),
            ("app.0123456789ABCDEF", None),
            ("app.0123456789abcde", None),
            (".0123456789abcdef", None),
            ("app", None),
        ] {
            assert_eq!(split_kept(name.as_bytes()).map(|(of, _)| of), want.map(str::as_bytes), "{name}");
        }
    }

    #[test]
    fn what_is_kept_is_listed_by_what_it_is_of() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["app.0123456789abcdef-2", "app.0123456789abcdef", "app", "lib.0000000000000000", "other"]
        {
            fs::write(dir.path().join(format!("{name}{SUFFIX}")), "").expect("written");
        }
        let mut listings = Listings::default();
        let mut kept = |name: &str| listings.kept(&dir.path().join(name)).expect("listed");
        let path = |name: &str| dir.path().join(format!("{name}{SUFFIX}"));
        assert_eq!(kept("app"), [path("app.0123456789abcdef-2"), path("app.0123456789abcdef")]);
        assert_eq!(kept("lib"), [path("lib.0000000000000000")]);
        assert!(kept("none").is_empty());
        assert!(kept("nowhere/app").is_empty());
    }
}
