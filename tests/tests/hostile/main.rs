//! The log under attack: hostile clients, hostile bytes, a disk that fails. Real program, real sockets.
//!
//! Each test names the trial that it runs (docs/dev/rules.md: S malicious input, R reliability). A test that this
//! operating system does not allow is reported as `not run`, never as passed.

mod bytes;
mod clients;
mod disk;
mod mail;
mod shares;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use attestation::entry::Visibility::Public;
use serde_json::{Value, json};
use testkit::attack::connect_from;
use testkit::living::{Ends, assert_lives, assert_memory_bounded, assert_verifies, fsck, memory, until};
use testkit::log::{Log, ORIGIN, copy_folder, free_port};
use testkit::oracle::{check_log, checkpoint};
use testkit::signer::{Signed, Signer};
use testkit::wire::{POST, answer, answers, connect, get, post, talk};
use testkit::{program, raise_descriptors};
use tlog::encoding::base64;
use tlog::{Hash, TreeSize};
