//! `witness monitor`: runs the program `monitor`, which was a command of this one, so that what was typed or is in a unit goes
//! on as it was.

use std::env::consts::EXE_SUFFIX;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::Failure;

/// Follow a log: run the program `monitor` with these arguments, the one beside this program
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
    let program = match beside(&name) {
        Ok(program) => program,
        Err(error) => return Failure::new("cannot tell where `witness` lies").caused_by(error),
    };
    let error = Command::new(&program).args(args).exec();
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let failure = Failure::new(format!("cannot run `{}`", program.display())).caused_by(error);
    if !is_missing {
        return failure;
    }
    failure.hint(
        "put the program `monitor` beside `witness`, from the same release; `./run build` builds both. Or call it by its own \
         name: no other folder is searched, since a program of PATH that has this name may be anybody's",
    )
}

/// The program of this name in the folder of the running one, links resolved.
fn beside(name: &str) -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
