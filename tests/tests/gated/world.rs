//! Identities whose secrets a repository has, checkouts on a runner, and the step in them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use testkit::log::Log;
use testkit::someone::Someone;

use crate::runner::{Run, root, run_from};

/// The runner is told which program to use.
pub(crate) const PROGRAM: &str = "";

/// A checkout on a runner.
pub(crate) struct World(pub(crate) Someone);

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.work().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, content).expect("written");
        path
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.work()).env_clear().env("HOME", self.0.home());
        command
    }
}

/// An identity whose two secrets a repository has.
pub(crate) struct Secrets {
    pub(crate) owner: Someone,
    pub(crate) did: String,
    pub(crate) key: String,
}

pub(crate) fn secrets(log: &Log, init: &[&str]) -> Secrets {
    let owner = Someone::new();
    owner.ok(&["policy", "pin", &log.url(), "--yes"]);
    owner.ok(&[&["init", "--register"], init].concat());
    let (did, key) = (owner.did(), owner.ok(&["key", "export"]).trim().to_owned());
    Secrets { owner, did, key }
}

/// The log's policy, which says where the log is.
pub(crate) fn policy_with_url(log: &Log) -> String {
    let policy = String::from_utf8(log.bytes("/policy")).expect("text");
    let line = policy.lines().find(|line| line.starts_with("log ")).expect("a log").to_owned();
    policy.replace(&line, &format!("{line} {}", log.url()))
}

/// A checkout with the log's policy in it.
pub(crate) fn checkout(log: &Log) -> World {
    let world = World(Someone::new());
    world.file(".aip/policy", policy_with_url(log).as_bytes());
    world.file("dist/app", b"an app");
    world
}

/// The step, with the two secrets and what else is written below `with:`.
pub(crate) fn step(world: &World, secrets: &Secrets, more: &[(&str, &str)]) -> Run {
    step_in_job(world, secrets, more, &[])
}

/// The same in a job that has these variables.
pub(crate) fn step_in_job(
    world: &World,
    secrets: &Secrets,
    more: &[(&str, &str)],
    job: &[(&str, &str)],
) -> Run {
    let with = [&[("did", secrets.did.as_str()), ("private-key", &secrets.key)], more].concat();
    bare_step(world, &with, job)
}

/// The step with nothing but what is given here.
pub(crate) fn bare_step(world: &World, with: &[(&str, &str)], job: &[(&str, &str)]) -> Run {
    let program = testkit::program("aip-attest");
    // Soon enough for a log that is down.
    let own = [("AIP_ATTEST_BIN", program.to_str().expect("UTF-8")), ("AIP_TIMEOUT", "10s")];
    run_from(world, &root(), with, &[&own[..], job].concat())
}

#[track_caller]
pub(crate) fn expect_outputs(run: &Run, verified: &str, score: &str) {
    assert_eq!(
        (run.outputs["verified"].as_str(), run.outputs["trust-score"].as_str()),
        (verified, score),
        "{run:#?}"
    );
}

/// What the upstream pipeline built is there, with its receipt.
pub(crate) fn receive(build: &World, deploy: &World) {
    fs::create_dir_all(deploy.path("aip-receipts/dist")).expect("made");
    for receipt in fs::read_dir(build.path("aip-receipts/dist")).expect("a folder") {
        let receipt = receipt.expect("an entry");
        let name = receipt.file_name();
        fs::copy(receipt.path(), deploy.path("aip-receipts/dist").join(name)).expect("a copy");
    }
}
