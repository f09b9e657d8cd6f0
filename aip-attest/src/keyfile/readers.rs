//! Who else can read a file with a key.

use std::path::Path;
use std::{fs, io};

use crate::platform::Platform;
use crate::report::Console;
use crate::{durable, environment};

/// Warns of a file with a key that is not its owner's alone.
#[cfg(unix)]
pub(super) fn warn_of_other_readers(path: &Path, metadata: io::Result<fs::Metadata>, console: &mut Console) {
    use std::os::unix::fs::PermissionsExt as _;
    let Ok(metadata) = metadata else { return };
    let mode = metadata.permissions().mode() & 0o777;
    // A folder or a device is no file of ours, and its mode is not for us to change.
    if metadata.is_file() && mode & 0o077 != 0 {
        let path = path.display();
        console.warn(format!("others can read `{path}` (mode {mode:o}): run `chmod 600 '{path}'`"));
    }
}

/// A file of Windows has the access rights of its folder: where the system makes a folder for its user alone, the file
/// is the user's. Who puts a key elsewhere is told when it is written ([`warn_of_place`]).
#[cfg(not(unix))]
pub(super) fn warn_of_other_readers(_: &Path, _: io::Result<fs::Metadata>, _: &mut Console) {}

/// Warns of a key that was just written to where no mode bits keep others out and the system's own rules may not.
pub(crate) fn warn_of_place(path: &Path, console: &mut Console) {
    let home = environment::home_of_user();
    let (home, path) =
        (home.as_deref().map(Path::to_string_lossy), std::path::absolute(path).unwrap_or(path.into()));
    if !is_open_place(Platform::HERE, &path.to_string_lossy(), home.as_deref()) {
        return;
    }
    let folder = durable::folder_of(&path);
    console.warn(format!("whoever may read the folder `{}` may read the key in it", folder.display()));
    console.hint(format!(
        "`icacls \"{}\" /inheritance:r /grant:r \"%USERNAME%:(OI)(CI)F\"`, in cmd, keeps a folder of its own to you",
        folder.display()
    ));
}

/// Whether a new file at `path` has the access rights of a folder that may be anybody's.
fn is_open_place(platform: Platform, path: &str, home: Option<&str>) -> bool {
    let Some(home) = home else { return platform == Platform::Windows };
    let (path, home) = (platform.names(path), platform.names(home));
    let is_same = |(a, b): (&String, &String)| platform.is_same_name(a, b);
    let is_at_home = path.len() > home.len() && std::iter::zip(&path, &home).all(is_same);
    platform == Platform::Windows && !is_at_home
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outside_of_the_profile_may_be_read_by_others_on_windows() {
        let home = Some(r"C:\Users\me");
        for (path, is_open) in [
            (r"C:\Users\me\.aip\credentials.json", false),
            ("c:/users/ME/.aip/credentials.json", false),
            (r"C:\Users\me2\credentials.json", true),
            (r"C:\Users\me", true),
            (r"D:\keys\credentials.json", true),
            (r"\\host\share\credentials.json", true),
        ] {
            assert_eq!(is_open_place(Platform::Windows, path, home), is_open, "{path}");
        }
        assert!(is_open_place(Platform::Windows, r"C:\x", None));
        assert!(!is_open_place(Platform::Unix, "/keys/x", Some("/home/me")));
    }
}
