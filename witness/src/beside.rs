//! `witness monitor`: runs the program `monitor`, which was a command of this one, so that what was typed or is in a unit goes
//! on as it was.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;

/// Follow a log: run the program `monitor` with these arguments, the one beside this program or else in PATH
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Args {
    /// What `monitor --help` says
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    _args: Vec<OsString>,
}

/// Becomes the program `monitor` with `args`, as they were typed. Returns only if there is none, or it does not start.
pub fn become_monitor(args: impl Iterator<Item = OsString>) -> Failure {
    let name = format!("monitor{EXE_SUFFIX}");
    // A name without a folder is looked for in PATH.
    let program = beside(&name).unwrap_or_else(|| PathBuf::from(&name));
    let error = Command::new(&program).args(args).exec();
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new("the program `monitor` is neither beside `witness` nor in PATH")
            .hint("`./run build` builds it; it comes with the release that `witness` is of");
    }
    Failure::new(format!("cannot run `{}`", program.display())).caused_by(error)
}

/// The program of this name in the folder of the running one.
fn beside(name: &str) -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.parent()?.join(name);
    path.is_file().then_some(path)
}
