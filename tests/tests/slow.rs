//! A slow line between the command line and the log.

use std::time::{Duration, Instant};

use testkit::log::Log;
use testkit::someone::Someone;
use testkit::throttle::Throttle;

/// Five artifacts with a bill of materials each, as `aip sign` takes them; their envelopes are half a megabyte.
fn five(log: &Log) -> (Someone, [&'static str; 9]) {
    let someone = Someone::at(log, &[]);
    let names = ["dist/a", "dist/b", "dist/c", "dist/d", "dist/e"];
    names.iter().for_each(|name| someone.write(name, name));
    someone.write("bom.json", &format!("{{\"x\":\"{}\"}}", "y".repeat(73_000)));
    let [a, b, c, d, e] = names;
    (someone, [a, b, c, d, e, "--predicate-type", "cyclonedx", "--predicate", "bom.json"])
}

/// A tenth of 5 MB at 120 kB/s, and a hundredth of the time that the log gives a body before it asks for a rate: what is
/// slow arrives, if it comes at 16 KiB a second.
#[test]
fn a_body_that_takes_longer_than_the_log_waits_for_arrives_while_it_moves() {
    let log = Log::start(&["--body-timeout", "300ms"]);
    let (someone, artifacts) = five(&log);
    let line = Throttle::to(log.address(), 120_000);
    let start = Instant::now();
    let out = someone.ok(&[&["sign", "--log", &line.url(), "--timeout", "100s"], &artifacts[..]].concat());
    assert_eq!(out.matches("logged  ").count(), 5, "{out}");
    assert!(line.sent() > 400_000 && start.elapsed() > Duration::from_secs(3), "it was no slow line");
}

/// What comes more slowly is let go of, and who sent it learns why.
#[test]
fn a_body_that_drips_is_cut_off_and_says_so() {
    let log = Log::start(&["--body-timeout", "300ms"]);
    let (someone, artifacts) = five(&log);
    let line = Throttle::to(log.address(), 4_000);
    let start = Instant::now();
    let (code, out, err) =
        someone.run(&[&["sign", "--log", &line.url(), "--timeout", "4s"], &artifacts[..]].concat());
    assert_eq!(code, 2, "{out}{err}");
    assert!(err.contains("408 body-timeout") && err.contains("stays pending"), "{err}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
