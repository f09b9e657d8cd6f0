//! Environment variables: the one place that reads them.

use std::path::{Path, PathBuf};

use crate::platform::{self, Platform};
use crate::report::{Failure, Result};

/// The value of a variable; an empty one counts as not set, since that is how workflows pass nothing.
pub(crate) fn var(name: &str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::new(format!("the variable {name} is not UTF-8")))
        }
    }
}

/// A variable that names a file or folder.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
    Some(platform::native(Path::new(&value)))
}

/// The user's own folder `~/.aip`, if there is a home at all.
pub(crate) fn home() -> Option<PathBuf> {
    home_of_user().map(|home| home.join(".aip"))
}

/// Why there is no [`home`].
pub(crate) fn no_home() -> String {
    format!("{} is not set", Platform::HERE.home_variable())
}

/// The user's home.
pub(crate) fn home_of_user() -> Option<PathBuf> {
    Platform::HERE.home(path("HOME"), path("USERPROFILE"))
}
