//! The command line as people and scripts meet it: arguments in; stdout, stderr and exit code out.

// The action's steps are shell scripts.
#[cfg(unix)]
mod action;
mod at_once;
mod beside;
mod bundles;
#[cfg(unix)]
mod checkout;
mod checks;
mod choosing;
mod finding;
mod following;
mod from_aip;
mod hostile;
mod identity;
#[cfg(unix)]
mod inputs;
mod inspecting;
#[cfg(unix)]
mod install;
mod legacy;
mod log;
mod mailbox;
mod network;
#[cfg(unix)]
mod notify;
mod policies;
mod relay;
#[cfg(unix)]
mod runner;
mod signing;
mod states;
mod structure;
// Its authority is named by SSL_CERT_FILE: Windows and macOS know those of the system alone.
#[cfg(not(any(windows, target_vendor = "apple")))]
mod tls;
mod verifying;
mod world;
