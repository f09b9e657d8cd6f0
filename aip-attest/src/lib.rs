//! The command line: sign what a pipeline builds, log it, verify it offline.
//!
//! ```text
//! commands/<one file a command>        help text, arguments, what it does
//!
//!   artifact        which files, and their digests          verify stands on these only:
//!   aip_manifest    manifests of Python aip on disk
//!   receipt_file    receipts on disk                        no socket, and no clock unless an
//!   policy_file     which policy judges; pins; trust.toml   age is asked for
//!   bounded_file    files of others, read to a bound
//!   word::evidence  evidence in a file, verified
//!   states          a DID's events as of a later tree, kept
//!   predicate       kinds of statements
//!   clock           the present
//!   environment     variables, the home
//!   platform        how names are written, on Windows and elsewhere
//!   durable         files that survive a power cut
//!   progress        a bar, where somebody is looking
//!   report          messages, exit codes
//!
//!   keyfile         where the key is                        all else stands on these too
//!   ci_env          what the CI says of this run
//!   signing         artifacts to pending receipts
//!   target          which log
//!   submission      pending receipts to logged ones
//!   events          identity and trust events: the state, the event, its answer
//!   messages        from one DID to others: sent, fetched, judged
//!   scoring         a score: whose roots, from which entries
//!   word::fresh_evidence  evidence from a log
//!   word::current   is what a log shows now what was seen of it?
//!   word::whole_log  all entries of a log, read and verified
//!   word::asserted  is what a log asserted what its entries say?
//!   word::said      what a DID says of another, to take it back
//!   contact         a log that is dealt with: which, judged by what, for how long
//!   patience        trying again until a deadline
//!   client          HTTP, the only sockets
//! ```
//! What is true of a receipt, an entry or a policy is decided in `attestation` and `tlog`. This crate finds
//! bytes, asks, and reports. It builds without the log's database, and talks to a log on the wire only.

#![forbid(unsafe_code)]

mod aip_manifest;
mod artifact;
mod bounded_file;
mod ci_env;
mod client;
mod clock;
mod commands;
mod contact;
mod durable;
mod environment;
mod events;
mod keyfile;
mod messages;
mod patience;
mod platform;
mod policy_file;
mod predicate;
mod progress;
mod receipt_file;
mod report;
mod scoring;
mod signing;
mod states;
mod submission;
mod target;
mod word;

use std::ffi::OsString;
use std::panic;
use std::process::ExitCode;

use report::{Console, Exit, Failure};

/// Runs the program on the process's arguments; both binaries call it.
pub fn main() -> ExitCode {
    // A panic is our bug: it must neither look like a verdict nor like success.
    panic::set_hook(Box::new(|panic| {
        let mut console = Console::standard();
        let message = panic.payload_as_str().unwrap_or("no message");
        let place =
            panic.location().map_or(String::new(), |place| format!("{}:{}", place.file(), place.line()));
        let failure = Failure::new("this program has a bug")
            .because(format!("{message} ({place})"))
            .hint("nothing was decided; please report it with the command that led here");
        console.failure(&failure);
    }));
    panic::catch_unwind(run).unwrap_or(Exit::Unable).into()
}

fn run() -> Exit {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let mut console = Console::standard().in_words(commands::words(arguments.first()));
    let exit = match commands::run(&arguments, &mut console) {
        Ok(exit) => exit,
        Err(failure) => {
            console.failure(&failure);
            failure.exit()
        }
    };
    match console.finish() {
        Ok(()) => exit,
        Err(failure) => {
            Console::standard().failure(&failure);
            // Who reads stdout has not got what the code would promise.
            Exit::Unable
        }
    }
}
