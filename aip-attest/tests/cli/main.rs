//! The command line as people and scripts meet it: arguments in; stdout, stderr and exit code out.

mod action;
mod at_once;
mod beside;
mod checkout;
mod checks;
mod choosing;
mod finding;
mod following;
mod hostile;
mod identity;
mod inputs;
mod inspecting;
mod install;
mod log;
mod network;
mod policies;
mod runner;
mod signing;
mod states;
mod structure;
mod tls;
mod verifying;
mod world;
