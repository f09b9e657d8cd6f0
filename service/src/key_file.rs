//! Files of private keys: one line, as [`SignerKey`] is written.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tlog::key::SignerKey;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The key in a file. Warns if others can read the file or its group can change it. A group that can read it is no
/// cause for a warning: some systems hand secrets to a service that way.
pub fn read(path: &Path) -> Result<SignerKey, Failure> {
    let (text, mode) = read_text(path)
        .map_err(|e| Failure::new(format!("cannot read `{}`", path.display())).caused_by(e))?;
    let key = text.trim_end().parse();
    let key = key.map_err(|e| Failure::new(format!("`{}` holds no key", path.display())).caused_by(e))?;
    if is_exposed(mode) {
        let mode = format!("{:04o}", mode & 0o7777);
        tracing::warn!(file = %path.display(), mode, "others can read or change a private key: chmod 600");
    }
    Ok(key)
}

fn read_text(path: &Path) -> io::Result<(Zeroizing<String>, u32)> {
    let mut file = File::open(path)?;
    // The full length at once: a buffer that grows would leave copies of the key in memory.
    let metadata = file.metadata()?;
    let length = usize::try_from(metadata.len()).unwrap_or(0).min(MAX_BYTES);
    let mut text = Zeroizing::new(String::with_capacity(length + 1));
    (&mut file).take(MAX_BYTES as u64).read_to_string(&mut text)?;
    Ok((text, metadata.mode()))
}

fn is_exposed(mode: u32) -> bool {
    mode & 0o027 != 0
}

/// Longer than the longest key.
const MAX_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_is_read_and_what_is_none_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log.skey");
        assert!(read(&path).expect_err("nothing").to_string().contains("cannot read"));
        for no_key in ["", "PRIVATE+KEY+x", &"x".repeat(MAX_BYTES + 1)] {
            fs::write(&path, no_key).expect("a file");
            let failure = read(&path).expect_err("no key").to_string();
            assert!(failure.contains("holds no key") && !failure.contains("PRIVATE+KEY+x"), "{failure}");
        }
    }

    #[test]
    fn others_must_not_read_a_key_and_a_group_must_not_change_it() {
        for (mode, exposed) in [(0o600, false), (0o400, false), (0o440, false), (0o660, true), (0o604, true)]
        {
            assert_eq!(is_exposed(0o100_000 | mode), exposed, "{mode:o}");
        }
    }
}
