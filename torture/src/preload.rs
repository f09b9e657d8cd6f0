//! A library that a program is started with, which makes the faults that `strace` cannot: `preload.c`.

use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("preload.c");

/// Compiles the library into a folder.
///
/// # Errors
/// The two sentences of `not run`.
pub fn compile(folder: &Path) -> Result<PathBuf, (String, String)> {
    let hint = || "install `gcc` and `libc6-dev`".to_owned();
    let (source, library) = (folder.join("preload.c"), folder.join("preload.so"));
    std::fs::write(&source, SOURCE)
        .map_err(|e| (format!("`{}`: {e}", source.display()), "free some room".into()))?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    let output = cc.output().map_err(|e| (format!("cc: {e}"), hint()))?;
    if !output.status.success() {
        return Err((format!("cc: {}", String::from_utf8_lossy(&output.stderr)), hint()));
    }
    Ok(library)
}

/// The words that start a program with the library and these variables, for `env`.
pub fn starter(library: &Path, variables: &[(&str, &str)]) -> Vec<String> {
    let mut starter = vec!["env".to_owned(), format!("LD_PRELOAD={}", library.display())];
    starter.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    starter
}
