//! An identity that was named, and the log that it knows.

use std::fs;

use testkit::log::Log;
use testkit::someone::{Someone, outcome};

/// `init --register --log URL` recorded the log: what is signed next goes there without being told again, and no key of
/// somebody else's policy changes that.
#[test]
fn what_is_signed_goes_to_the_log_that_has_the_did() {
    let (home, other) = (Log::start(&[]), Log::start(&[]));
    let someone = Someone::new();
    someone.write("app", "app");
    let (code, _, err) = someone.run(&["sign", "app"]);
    assert_eq!((code, err.contains("there is no identity")), (2, true), "{err}");
    someone.ok(&["init"]);
    let (code, _, err) = someone.run(&["sign", "app"]);
    assert_eq!((code, err.contains("no log is named")), (2, true), "nothing recorded one: {err}");
    someone.ok(&["init", "--register", "--log", &home.url()]);
    let (code, out, err) = someone.run(&["sign", "app"]);
    assert_eq!((code, out.contains("logged   app")), (0, true), "{out}{err}");
    assert!(err.contains(&format!("at {}, where the DID is registered", home.url())), "{err}");
    assert!(!err.contains("is not pinned"), "its policy is kept with the key: {err}");

    // A receipt that waits goes there too, and one that claimed another log does not.
    someone.write("later", "later");
    someone.ok(&["sign", "later", "--no-log"]);
    someone.ok(&["submit", "later.receipt.json"]);
    // A checkout that says another log is believed as before, and what is different is said.
    someone.write("third", "third");
    fs::create_dir(someone.work().join(".aip")).expect("a folder");
    let theirs = format!("log {} {}\nquorum none\n", other.vkey, other.url());
    fs::write(someone.work().join(".aip/policy"), theirs).expect("written");
    let (code, _, err) = someone.run(&["sign", "third"]);
    assert!(!err.contains("where the DID is registered"), "{code} {err}");
    assert!(err.contains("is not the log"), "the checkout's log has another key: {code} {err}");
    fs::remove_dir_all(someone.work().join(".aip")).expect("removed");
    // So does a log that is named, and the only one that is pinned.
    someone.write("fourth", "fourth");
    let (_, _, err) = someone.run(&["sign", "fourth", "--log", &other.url()]);
    assert!(!err.contains("where the DID is registered"), "{err}");
    // Nothing of it is taken from the environment's key.
    let mut ci = someone.aip(&["sign", "app", "--receipts", "ci"]);
    let key = someone.ok(&["key", "export"]);
    ci.env("HOME", someone.folder()).env("AIP_DID", someone.did()).env("AIP_PRIVATE_KEY", key.trim());
    let (code, _, err) = outcome(ci.output().expect("aip runs"));
    assert_eq!((code, err.contains("no log is named")), (2, true), "{err}");
}

/// The way from "this key may not" leads to a second identity, and never to a CI key that vouches.
#[test]
fn a_key_that_may_not_vouch_leads_to_another_identity() {
    let log = Log::start(&[]);
    let ci = Someone::at(&log, &["--register", "--log", &log.url()]);
    let friend = Someone::at(&log, &["--register", "--log", &log.url()]);
    let (code, _, err) = ci.run(&["vouch", &friend.did()]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("A CI key should not vouch"), "{err}");
    assert!(!err.contains("rotate-key") && !err.contains("aip init"), "{err}");
    // As the hint says it, word for word.
    let start = err.find("`aip --as org init").expect("a command") + "`aip ".len();
    let command = &err[start..start + err[start..].find('`').expect("its end")];
    let words: Vec<&str> = command.split(' ').collect();
    ci.ok(&words);
    let vouched = ci.json(&["--as", "org", "vouch", &friend.did()])["index"].to_string();
    let (code, _, err) = ci.run(&["vouch", &friend.did()]);
    assert_eq!(code, 2, "the key of before is what it was: {err}");
    // A named identity lives as the first one does.
    let before = ci.json(&["--as", "org", "whoami"]);
    let (code, out, err) = ci.run(&["--as", "org", "rotate-key"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("vouches") && !err.contains("gh secret set"), "not into a CI: {err}");
    let after = ci.json(&["--as", "org", "whoami"]);
    assert_eq!((&before["did"], before["publicKey"] == after["publicKey"]), (&after["did"], false));
    let digits = after["did"].as_str().expect("a DID").replace("did:aip:", "");
    let recovery = ci.home().join(format!("aip-recovery-{digits}.json"));
    ci.ok(&["--as", "org", "recover", "--recovery", &recovery.to_string_lossy(), "--since", &vouched]);
    assert_eq!(ci.json(&["--as", "org", "whoami"])["did"], after["did"]);
    assert_ne!(ci.json(&["whoami"])["did"], after["did"]);
    ci.ok(&["rotate-key"]);
}
