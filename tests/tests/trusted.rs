//! Deploys that are gated on trust: the real command line, a real log and real witnesses.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use testkit::log::Log;
use testkit::someone::Someone;
use testkit::witness::Witness;
use tlog::encoding::decode_base64;
use tlog::merkle::leaf_hash;
use tlog::proof::TlogProof;

const FLAGS: [&str; 6] = ["--publish-interval", "0s", "--witness-timeout", "2s", "--deadline", "8s"];

/// A log with two witnesses that both have to cosign; an organisation that vouches, a pipeline that builds, and a consumer.
struct World {
    log: Log,
    _witnesses: [Witness; 2],
    org: Someone,
    pipeline: Someone,
    consumer: Someone,
}

impl World {
    fn new() -> Self {
        let mut log = Log::init();
        let witnesses = ["v", "w"].map(|name| Witness::start(name, &["ed25519"], &log.vkey));
        let lines = witnesses.each_ref().map(|witness| witness.policy.as_str()).concat();
        log.ask(&format!("{lines}group both all v w\n"), "both");
        log.serve(&FLAGS);
        let someone = || {
            let someone = Someone::new();
            someone.ok(&["policy", "pin", &log.url(), "--yes"]);
            someone
        };
        let (org, pipeline, consumer) = (someone(), someone(), someone());
        org.ok(&["init", "--capabilities", "vouches", "--register"]);
        pipeline.ok(&["init"]);
        Self { log, _witnesses: witnesses, org, pipeline, consumer }
    }

    /// The pipeline releases something, and the consumer has it.
    fn release(&self, name: &str) {
        self.pipeline.write(name, &format!("the bytes of {name}"));
        self.pipeline.ok(&["sign", name]);
        for name in [name.to_owned(), format!("{name}.receipt.json")] {
            fs::copy(self.pipeline.work().join(&name), self.consumer.work().join(&name)).expect("a copy");
        }
    }

    fn gate(&self, more: &[&str]) -> (i32, String, String) {
        let (did, root) = (self.pipeline.did(), self.org.did());
        self.consumer.run(&[&["gate", "--did", &did, "--root", &root], more].concat())
    }

    #[track_caller]
    fn expect(&self, more: &[&str], code: i32, says: &[&str]) {
        let (got, out, err) = self.gate(more);
        assert_eq!(got, code, "{out}{err}");
        for what in says {
            assert!(out.contains(what) || err.contains(what), "{what}\n{out}{err}");
        }
    }
}

#[test]
fn a_gate_opens_on_vouches_and_verified_artifacts_and_on_nothing_else() {
    let world = World::new();
    let half = ["--threshold", "0.5"];
    world.expect(&["--threshold", "0"], 1, &["STOP", "not registered"]);
    world.release("app");
    // Registered with its first entry, and nobody vouches for it.
    world.expect(&half, 1, &["no path of vouches", "below"]);
    world.expect(&["--threshold", "0"], 1, &["STOP", "no path of vouches"]);
    let did = world.pipeline.did();
    world.org.ok(&["vouch", &did, "--scope", "CODE_SIGNING", "--level", "STRONG", "--expires", "30d"]);
    world.expect(&["--threshold", "0"], 0, &["PASS", "no artifact was checked"]);
    world.expect(&half, 0, &["PASS", "0.8000", "CODE_SIGNING STRONG", "log-asserted", "(--root)"]);
    world.expect(&[&half[..], &["app"]].concat(), 0, &["app  verified", "1 artifact verified"]);
    world.expect(&[&half[..], &["--scope", "FINANCIAL"]].concat(), 1, &["no path of vouches"]);
    world.expect(&["--threshold", "0.8"], 0, &["PASS"]);
    world.expect(&["--threshold", "0.800001"], 1, &["STOP", "0.800000 is below 0.800001"]);
    // Paths that share nothing share no root: with one root there cannot be two.
    let two = [&half[..], &["--min-paths", "2"]].concat();
    world.expect(
        &two,
        2,
        &["2 paths that share nothing are asked for, and there is but 1 root", "the roots are from --root"],
    );
    let silent = Someone::new();
    silent.ok(&["init"]);
    let silent = silent.did();
    let other = [&two[..], &["--root", &silent]].concat();
    world.expect(&other, 1, &["2 paths that reach the threshold and share nothing are asked for, found: 1"]);
    // A second root that vouches by itself; the first one's word counts once, however it comes.
    let second = Someone::new();
    second.ok(&["policy", "pin", &world.log.url(), "--yes"]);
    second.ok(&["init", "--capabilities", "vouches", "--register"]);
    let root = second.did();
    let two = [&half[..], &["--min-paths", "2", "--root", &root]].concat();
    world.org.ok(&["vouch", &root, "--level", "STRONG"]);
    world.expect(&two, 1, &["share nothing are asked for, found: 1"]);
    second.ok(&["vouch", &did, "--level", "STRONG"]);
    world.expect(&two, 0, &["PASS"]);
    world.expect(&[&two[..], &["--sync"]].concat(), 0, &["PASS"]);
    second.ok(&["vouch", &did, "--level", "WEAK"]);
    world.expect(&two, 1, &["share nothing are asked for, found: 1"]);
    second.ok(&["revoke", &did]);
    world.expect(&[&half[..], &["--require", "artifact"]].concat(), 2, &["no artifact is named"]);
    world.expect(&[&half[..], &["--require", "complete"]].concat(), 2, &["--sync"]);
    world.expect(&[], 2, &["no threshold is named"]);

    // What it built is altered, is another's, or has no receipt.
    world.consumer.write("app", "other bytes");
    world.expect(&[&half[..], &["app"]].concat(), 1, &["app  failed", "artifact-digest"]);
    world.consumer.write("unsigned", "bytes");
    world.expect(&[&half[..], &["unsigned"]].concat(), 2, &["unsigned  could-not-check"]);
    // The one that decides is the one that is named.
    world.expect(&[&half[..], &["unsigned", "app"]].concat(), 1, &["but `app` failed"]);

    // What opened it is taken back.
    world.org.ok(&["revoke", &did, "--scope", "CODE_SIGNING"]);
    world.expect(&half, 1, &["no path of vouches"]);
    world.org.ok(&["vouch", &did, "--level", "WEAK"]);
    world.expect(&half, 1, &["0.4000 is below 0.5000"]);
    world.org.ok(&["distrust", &did, "--scope", "GENERAL"]);
    world.expect(&["--threshold", "0"], 1, &["distrusts it"]);

    // A log that nobody pinned is believed by no gate, whatever it shows.
    let stranger = Someone::new();
    let (root, url) = (world.org.did(), world.log.url());
    for ask in [
        &["gate", "--did", &did][..],
        &["gate", "--did", &did, "--sync", "--require", "complete"],
        &["trust", &did],
        &["trust", &did, "--sync"],
    ] {
        let ask = [ask, &["--root", &root, "--threshold", "0", "--log", &url]].concat();
        let (code, _, err) = stranger.run(&ask);
        assert_eq!((code, err.contains("nobody but the log itself")), (2, true), "{ask:?}: {err}");
    }
    // An explanation that decides nothing may come from a log that says itself which one it is; it says so.
    let (code, _, err) = stranger.run(&["trust", &did, "--root", &root, "--log", &url]);
    assert_eq!((code, err.contains("is not pinned")), (0, true), "{err}");
    // The settings beside the policy hold for gates too.
    let settings = world.consumer.home().join(".aip/trust.toml");
    fs::write(&settings, "version = 1\n[min-checkpoint]\n\"localhost/log\" = 1000000\n").expect("written");
    world.expect(&half, 2, &["`min-checkpoint` is 1000000"]);
    fs::write(&settings, "version = 1\nmax-checkpoint-age = \"1ms\"\n").expect("written");
    // Cosignatures tell whole seconds: behind the next one, the last is certainly older than the limit.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    world.expect(&half, 2, &["older than 1ms"]);
    // An explanation is held to them as well, and with a threshold to all that a gate is.
    let trust = |more: &[&str]| {
        let (code, _, err) = world.consumer.run(&[&["trust", &did, "--root", &root], more].concat());
        (code, err.contains("older than 1ms"))
    };
    assert_eq!((trust(&[]), trust(&["--threshold", "0", "--max-age", "none"])), ((2, true), (2, true)));
    fs::remove_file(&settings).expect("removed");
    assert_eq!(trust(&["--threshold", "0", "--max-age", "1ms"]), (2, true));
    assert_eq!(trust(&["--max-age", "1ms"]), (2, true));
    assert_eq!(trust(&["--threshold", "0", "--max-age", "1h"]), (1, false));

    // Nobody to trust, nobody to ask.
    let (code, _, err) = world.consumer.run(&["gate", "--did", &did, "--threshold", "0.5"]);
    assert_eq!((code, err.contains("no trust root is named")), (2, true), "{err}");
    let (code, _, err) =
        world.consumer.run(&["gate", "--did", "did:aip:upstream-agent", "--threshold", "0.5"]);
    assert_eq!(code, 2, "{err}");
    for threshold in ["", "NaN", "inf", "-1", "1.1", "0.5;id", "0.1234567"] {
        let argument = format!("--threshold={threshold}");
        let (code, _, err) = world.gate(&[&argument]);
        assert_eq!(code, 2, "{threshold}: {err}");
    }
}

/// A checkout whose policy asks for less than the pin: whatever reads the policy says so.
#[test]
fn every_command_warns_of_a_policy_that_is_weaker_than_the_pin() {
    let world = World::new();
    world.release("app");
    let (did, root, url) = (world.pipeline.did(), world.org.did(), world.log.url());
    let pinned = world.pipeline.ok(&["policy", "show", "localhost/log"]);
    fs::create_dir(world.pipeline.work().join(".aip")).expect("a folder");
    world.pipeline.write(".aip/policy", &pinned.replace("group both all", "group both any"));
    for ask in [
        &["verify", "app", "--any-signer"][..],
        &["gate", "--did", &did, "--root", &root, "--threshold", "0"],
        &["trust", &did, "--root", &root],
        &["fetch", "app", "-o", "fetched.json"],
        &["state", "export", "--did", &did, "--out", "state.json"],
        &["sign", "app"],
        &["whoami", "--log", &url],
        &["policy", "check"],
    ] {
        let (_, _, err) = world.pipeline.run(ask);
        assert_eq!(err.matches("weaker than the one pinned").count(), 1, "{ask:?}: {err}");
    }
}

/// Each hop comes with what proves it, for whoever believes no word of this program.
#[test]
fn an_explanation_brings_its_proofs_and_an_exit_code() {
    let world = World::new();
    world.release("app");
    let (did, root) = (world.pipeline.did(), world.org.did());
    let trust = |more: &[&str]| world.consumer.run(&[&["trust", &did, "--root", &root], more].concat());
    // Without a threshold any answer is one; with one the exit code says whether it is reached.
    assert_eq!((trust(&[]).0, trust(&["--threshold", "0"]).0), (0, 1), "no path yet");
    world.org.ok(&["vouch", &did]);
    let exits = ["0", "0.8", "0.800001", "1"].map(|threshold| trust(&["--threshold", threshold]).0);
    assert_eq!(exits, [0, 0, 1, 1]);
    let (_, out, _) = trust(&["--threshold", "0.8001"]);
    assert!(out.contains("the score 0.8000 is below 0.8001"), "{out}");
    let settings = world.consumer.home().join(".aip/trust.toml");
    fs::write(&settings, "version = 1\n[trust]\nthreshold = \"0.9\"\n").expect("written");
    assert_eq!((trust(&[]).0, trust(&["--threshold", "0.8"]).0), (1, 0), "settings name one too");
    fs::remove_file(settings).expect("removed");

    let (code, out, err) = trust(&["--json"]);
    assert_eq!(code, 0, "{err}");
    let json: Value = serde_json::from_str(&out).expect("JSON");
    let hops = json["verdict"]["paths"][0]["hops"].as_array().expect("hops");
    let proofs = json["proofs"].as_array().expect("proofs");
    assert_eq!((hops.len(), proofs.len()), (1, 1));
    assert_eq!(hops[0]["index"], proofs[0]["index"]);
    let proof = TlogProof::parse(proofs[0]["proof"].as_str().expect("text")).expect("a tlog-proof");
    let (checkpoint, _) = world.log.policy().log_checkpoint(&proof.checkpoint).expect("the log signed it");
    let leaf = decode_base64(proofs[0]["leaf"].as_str().expect("text")).expect("base64");
    proof.verify_inclusion(&leaf_hash(&leaf), &checkpoint).expect("it is in the tree");
    assert!(String::from_utf8(leaf).expect("JSON").contains(&root), "the leaf is the vouch");
    assert_eq!(json["root"], checkpoint.root.to_string());
    let (_, out, _) = trust(&[]);
    let proven = format!("in the tree of size {} with the root {}", checkpoint.size, checkpoint.root);
    assert!(out.contains(&proven), "{out}");
    // What lowers it too.
    world.org.ok(&["distrust", &did, "--scope", "GENERAL"]);
    let json: Value = serde_json::from_str(&trust(&["--json"]).1).expect("JSON");
    let index = &json["verdict"]["causes"][0]["index"];
    assert!(
        index.is_u64()
            && json["proofs"].as_array().expect("proofs").iter().any(|proof| proof["index"] == *index)
    );
    // Whoever read everything needs no single proof.
    let (_, out, _) = trust(&["--sync"]);
    assert!(out.contains("were read, and have the root"), "{out}");
    let json: Value = serde_json::from_str(&trust(&["--sync", "--json"]).1).expect("JSON");
    assert_eq!((&json["proofs"], &json["completeness"]), (&Value::Null, &Value::from("whole-log")));
}

/// Evidence gives the same answer offline, in a namespace without a network. The refusal names what was taken out or
/// altered.
#[test]
fn evidence_makes_the_same_verdict_offline_and_each_element_is_needed() {
    let mut world = World::new();
    world.release("app");
    let did = world.pipeline.did();
    world.org.ok(&["vouch", &did]);
    let (code, online, err) =
        world.gate(&["--threshold", "0.5", "app", "--evidence-out", "evidence.json", "--json"]);
    assert_eq!(code, 0, "{online}{err}");
    let evidence = fs::read(world.consumer.work().join("evidence.json")).expect("written");
    world.log.stop();
    world.expect(&["--threshold", "0.5", "--timeout", "2s"], 2, &[]);

    let root = world.org.did();
    let offline = |file: &str| {
        let arguments = ["gate", "app", "--did", &did, "--root", &root, "--threshold", "0.5", "--json"];
        let arguments = [&arguments[..], &["--evidence", file]].concat();
        // Where the kernel gives no namespace, nothing but the stopped log is there to be asked.
        let isolated = std::process::Command::new("unshare").args(["-rn", "true"]).status();
        let outer: &[&str] =
            if isolated.is_ok_and(|status| status.success()) { &["unshare", "-rn"] } else { &[] };
        testkit::someone::outcome(world.consumer.within(outer, &arguments).output().expect("aip runs"))
    };
    let verdict = |json: &str| {
        let json: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("JSON: {json}"));
        let mut verdict = json["trust"]["verdict"].clone();
        verdict["time"] = Value::Null;
        (json["passes"].clone(), json["artifacts"].clone(), verdict)
    };
    let (code, out, err) = offline("evidence.json");
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(verdict(&out), verdict(&online));

    let arguments = ["gate", "app", "--did", &did, "--root", &root, "--threshold", "0.5", "--json"];
    let arguments = [&arguments[..], &["--evidence", "/dev/stdin"]].concat();
    let (code, out, err) = piped(&world.consumer, "evidence.json", &arguments);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(verdict(&out), verdict(&online));

    let good: Value = serde_json::from_slice(&evidence).expect("JSON");
    let refused = |altered: &Value, code: i32, name: &str| {
        fs::write(world.consumer.work().join("altered.json"), altered.to_string()).expect("written");
        let (got, out, err) = offline("altered.json");
        assert_eq!(got, code, "{name}: {out}{err}");
        assert!(err.contains(name), "{name} is not named: {err}");
    };
    altered_lists(&good, &refused);
    altered_entries(&good, &refused);
    altered_notes(&good, &refused);
}

/// Runs `aip` with a file of the working folder in the pipe that is its stdin.
fn piped(someone: &Someone, file: &str, arguments: &[&str]) -> (i32, String, String) {
    let mut aip = someone.aip(arguments);
    aip.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut aip = aip.spawn().expect("aip runs");
    let bytes = fs::read(someone.work().join(file)).expect("read");
    aip.stdin.take().expect("a pipe").write_all(&bytes).expect("written");
    testkit::someone::outcome(aip.wait_with_output().expect("aip ends"))
}

/// Is to be refused with this exit code and these words.
type Refused<'a> = &'a dyn Fn(&Value, i32, &str);

/// Each list, and each line of each, taken out and altered: the log asserted another.
fn altered_lists(good: &Value, refused: Refused) {
    let lists = good["lists"].as_object().expect("lists");
    assert!(lists.len() >= 6, "{lists:?}");
    for (list, lines) in lists {
        let name = format!("the list {list} is not as the log asserted it");
        let mut without = good.clone();
        without["lists"].as_object_mut().expect("lists").remove(list);
        refused(&without, 1, &name);
        for (at, line) in lines.as_array().expect("a list").iter().enumerate() {
            let mut shorter = good.clone();
            shorter["lists"][list].as_array_mut().expect("a list").remove(at);
            refused(&shorter, 1, &name);
            let mut altered = good.clone();
            altered["lists"][list][at] = flipped(line, 8);
            refused(&altered, 1, &name);
        }
    }
}

/// Each entry, taken out; its leaf and each hash of its proof, altered and taken out.
fn altered_entries(good: &Value, refused: Refused) {
    let entries = good["entries"].as_array().expect("entries");
    assert!(entries.len() >= 4, "{}", entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let name = format!("entry {}", entry["index"]);
        let mut without = good.clone();
        without["entries"].as_array_mut().expect("entries").remove(at);
        refused(&without, 2, &format!("the evidence lacks {name}"));
        let mut altered = good.clone();
        altered["entries"][at]["leaf"] = flipped(&entry["leaf"], 0);
        refused(&altered, 1, &format!("{name}: "));
        let mut altered = good.clone();
        altered["entries"][at]["leaf"] = entries[(at + 1) % entries.len()]["leaf"].clone();
        refused(&altered, 1, &format!("{name}: "));
        let hashes = entry["hashes"].as_array().expect("hashes");
        assert!(!hashes.is_empty());
        for (place, hash) in hashes.iter().enumerate() {
            let mut altered = good.clone();
            altered["entries"][at]["hashes"][place] = flipped(hash, 31);
            refused(&altered, 1, &format!("{name}: "));
            let mut shorter = good.clone();
            shorter["entries"][at]["hashes"].as_array_mut().expect("hashes").remove(place);
            refused(&shorter, 1, &format!("{name}: "));
        }
    }
}

/// Each line of both notes: what they say, and who signed it.
fn altered_notes(good: &Value, refused: Refused) {
    for note in ["checkpoint", "assertion"] {
        let text = good[note].as_str().expect("a note");
        let (body, signatures) = text.split_once("\n\n").expect("a note");
        for at in 0..body.lines().count() {
            let mut altered = good.clone();
            let line = |(place, line): (usize, &str)| match place == at {
                true => format!("x{line}\n"),
                false => format!("{line}\n"),
            };
            let body: String = body.lines().enumerate().map(line).collect();
            altered[note] = format!("{body}\n{signatures}").into();
            // Another origin is another log, which nobody has a policy for.
            match (note, at) {
                ("checkpoint", 0) => refused(&altered, 2, "there is no policy for the log `xlocalhost/log`"),
                ("checkpoint", _) => refused(&altered, 1, "caused by: checkpoint: "),
                _ => refused(&altered, 1, "the assertion is not signed by the log's key"),
            }
        }
        let signatures: Vec<&str> = signatures.lines().collect();
        for (at, signature) in signatures.iter().enumerate() {
            let mut without = good.clone();
            let others: String =
                signatures.iter().filter(|line| *line != signature).map(|line| format!("{line}\n")).collect();
            without[note] = format!("{body}\n\n{others}").into();
            match (note, at) {
                ("checkpoint", 0) => refused(&without, 1, "caused by: checkpoint: "),
                ("checkpoint", _) => refused(&without, 1, "caused by: quorum: "),
                _ => refused(&without, 2, "`assertion`: "),
            }
        }
        assert_eq!(signatures.len(), if note == "checkpoint" { 3 } else { 1 }, "{text}");
    }
}

/// Base64 of which one bit is another.
fn flipped(base64: &Value, byte: usize) -> Value {
    let mut bytes = decode_base64(base64.as_str().expect("text")).expect("base64");
    bytes[byte] ^= 1;
    tlog::encoding::base64(&bytes).into()
}

/// `--sync` takes nothing on the log's word, and its copy of the log is not believed either.
#[test]
fn the_whole_log_gives_the_same_score_and_a_damaged_copy_is_read_again() {
    let world = World::new();
    world.release("app");
    let did = world.pipeline.did();
    world.org.ok(&["vouch", &did]);
    let asked = ["--threshold", "0.5", "--json"];
    let synced = ["--threshold", "0.5", "--json", "--sync", "--require", "complete"];
    let score = |arguments: &[&str]| {
        let (code, out, err) = world.gate(arguments);
        assert_eq!(code, 0, "{out}{err}");
        let json: Value = serde_json::from_str(&out).expect("JSON");
        (json["trust"]["verdict"]["score"].clone(), json["trust"]["completeness"].clone(), err)
    };
    let (asked, completeness, _) = score(&asked);
    assert_eq!(completeness, "log-asserted");
    let (all, completeness, _) = score(&synced);
    assert_eq!((&all, completeness), (&asked, "whole-log".into()));
    let folder = world.consumer.home().join(".aip/logs");
    let copy = fs::read_dir(folder).expect("kept").next().expect("one log").expect("a file").path();
    for damage in ["flipped", "cut", "longer", "emptied"] {
        let mut bytes = fs::read(&copy).expect("kept");
        match damage {
            "flipped" => bytes[100] ^= 1,
            "cut" => bytes.truncate(bytes.len() - 5),
            "longer" => bytes.extend([0, 9, 1, 2]),
            _ => bytes.clear(),
        }
        fs::write(&copy, bytes).expect("damaged");
        let (again, _, err) = score(&synced);
        assert_eq!(again, asked, "{damage}");
        assert_eq!(err.contains("reading the log again"), damage == "flipped", "{damage}: {err}");
    }
}

/// What came after a receipt reaches a machine without a network as a file.
#[test]
fn a_later_state_closes_the_window_of_a_theft() {
    let world = World::new();
    world.release("app");
    let did = world.pipeline.did();
    let verify = ["verify", "app", "--signer", &did, "-v"];
    assert!(world.consumer.ok(&verify).starts_with("ok  app  "));
    world.consumer.ok(&["state", "export", "--did", &did, "--out", "state.json"]);
    let with_state = [&verify[..], &["--state", "state.json", "--max-state-age", "7d"]].concat();
    assert!(world.consumer.ok(&with_state).contains("later-state"), "fine so far");
    // The same age is asked of the state that is kept. Where none is kept, nothing is young.
    let kept = |limit: &'static str| [&verify[..], &["--max-state-age", limit]].concat();
    let (code, out, err) = world.consumer.run(&kept("7d"));
    assert_eq!(
        (code, out.contains("no state of did:aip:"), err.contains("log sync --did")),
        (2, true, true),
        "{out}{err}"
    );
    world.consumer.ok(&["log", "sync", "--did", &did]);
    assert!(world.consumer.ok(&kept("7d")).contains("later-state"), "kept");
    // Through a pipe, which is read once for all artifacts.
    for (from, to) in [("app", "twin"), ("app.receipt.json", "twin.receipt.json")] {
        fs::copy(world.consumer.work().join(from), world.consumer.work().join(to)).expect("a copy");
    }
    let both = ["verify", "app", "twin", "--signer", &did, "--state", "/dev/stdin", "-v"];
    let (code, out, err) = piped(&world.consumer, "state.json", &both);
    assert_eq!((code, out.matches("later-state").count()), (0, 2), "{out}{err}");
    // It is old one day, and nobody attests an age without witnesses. Cosignatures tell whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let aged =
        |limit: &'static str| [&verify[..], &["--state", "state.json", "--max-state-age", limit]].concat();
    let (code, out, err) = world.consumer.run(&aged("1s"));
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("FAILED          later-state"), "{out}");
    assert_eq!(world.consumer.run(&kept("1s")).0, 1);
    world.consumer.ok(&aged("1h"));
    world.consumer.write("alone", &format!("log {}\nquorum none\n", world.log.vkey));
    let (code, out, err) = world.consumer.run(&[&aged("1h")[..], &["--policy", "alone"]].concat());
    assert_eq!((code, out.contains("could not check later-state")), (2, true), "{out}{err}");
    // The receipt stands at index 2 behind both inceptions; all from there on was a thief's.
    let recovery = fs::read_dir(world.pipeline.home())
        .expect("a home")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains("aip-recovery-"))
        .expect("a recovery file");
    let recovery = recovery.to_string_lossy().into_owned();
    world.pipeline.ok(&["report-compromise", "--since", "2", "--recovery", &recovery]);
    assert!(world.consumer.ok(&verify).starts_with("ok  app  "), "the receipt alone does not know");
    world.consumer.ok(&["state", "export", "--did", &did, "--out", "state.json"]);
    let (code, out, _) = world.consumer.run(&with_state);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("FAILED          later-state"), "{out}");
    world.expect(&["--threshold", "0"], 1, &["compromised"]);
}

/// A thief signs, the owner takes the DID back: what was released before passes a gate, the loot does not, whether
/// the log is asked or read.
#[test]
fn gates_refuse_what_a_thief_signed_and_not_what_the_owner_did() {
    let world = World::new();
    world.release("app");
    let did = world.pipeline.did();
    world.org.ok(&["vouch", &did]);
    let key = world.pipeline.ok(&["key", "export"]).trim().to_owned();
    let thief = Someone::new();
    thief.write("loot", "not the owner's");
    let mut sign = thief.aip(&["sign", "loot", "--log", &world.log.url()]);
    sign.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", &key);
    let (code, _, err) = testkit::someone::outcome(sign.output().expect("aip runs"));
    assert_eq!(code, 0, "{err}");
    for name in ["loot", "loot.receipt.json"] {
        fs::copy(thief.work().join(name), world.consumer.work().join(name)).expect("a copy");
    }
    world.expect(&["--threshold", "0.5", "loot"], 0, &["PASS"]);
    let receipt = fs::read(world.consumer.work().join("loot.receipt.json")).expect("a receipt");
    let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
    let stolen_at = receipt["proof"].as_str().and_then(|proof| proof.lines().nth(1)).expect("an index");
    let stolen_at = stolen_at.trim_start_matches("index ").to_owned();
    let recovery = fs::read_dir(world.pipeline.home())
        .expect("a home")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.to_string_lossy().contains("aip-recovery-"))
        .expect("a recovery file");
    let recovery = recovery.to_string_lossy().into_owned();
    world.pipeline.ok(&["recover", "--since", &stolen_at, "--recovery", &recovery]);
    for more in [&[][..], &["--sync"]] {
        world.expect(&[&["--threshold", "0.5", "app"], more].concat(), 0, &["PASS"]);
        world.expect(&[&["--threshold", "0.5", "loot"], more].concat(), 1, &["STOP", "later-state"]);
    }
    // A receipt from which the thief has taken the owner's events: alone it tells of no other key than the first, which
    // signed it. The state of today does.
    let mut stripped = receipt.clone();
    let events =
        stripped.as_object_mut().expect("an object").remove("identity").expect("its signer's events");
    assert_eq!(events.as_array().map(Vec::len), Some(1), "the inception");
    world.consumer.write("loot.receipt.json", &stripped.to_string());
    // The gates above kept that state here; to somebody who keeps none, it is as the thief says.
    let verify = ["verify", "loot", "--signer", &did, "-v"];
    assert_eq!(world.consumer.run(&verify).0, 1);
    fs::remove_dir_all(world.consumer.home().join(".aip/states")).expect("removed");
    let alone = world.consumer.ok(&verify);
    assert!(alone.contains("genesis key assumed"), "{alone}");
    for more in [&[][..], &["--sync"]] {
        world.expect(&[&["--threshold", "0.5", "loot"], more].concat(), 1, &["STOP", "later-state"]);
    }
    // And the thief's key opens nothing any more.
    let mut again = thief.aip(&[
        "sign",
        "loot",
        "--log",
        &world.log.url(),
        "--predicate-type",
        "test",
        "--predicate",
        "p",
    ]);
    thief.write("p", "{}");
    again.env("AIP_DID", &did).env("AIP_PRIVATE_KEY", &key);
    let (code, _, err) = testkit::someone::outcome(again.output().expect("aip runs"));
    assert_ne!(code, 0, "{err}");
}

/// Each receipt carries all events of its signer: what does not fit one answer is asked for one by one.
#[test]
fn whoever_rotated_often_gets_the_receipts_of_many_artifacts() {
    let log = Log::start(&[]);
    let pipeline = Someone::new();
    pipeline.ok(&["policy", "pin", &log.url(), "--yes"]);
    pipeline.ok(&["init", "--register"]);
    for _ in 0..9 {
        pipeline.ok(&["rotate-key"]);
    }
    for number in 0..600 {
        pipeline.write(&format!("dist/{number}"), &format!("artifact {number}"));
    }
    let out = pipeline.ok(&["sign", "dist", "--json"]);
    let signed: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(signed.as_array().map(Vec::len), Some(600));
    let did = pipeline.did();
    let out = pipeline.ok(&["verify", "dist/0", "dist/599", "--signer", &did, "-v"]);
    assert_eq!(out.matches("current key at index").count(), 2, "{out}");
    // Sent again, all of it is there already, and the answer is no larger.
    let leaf = |number: u32| {
        let receipt =
            fs::read(pipeline.work().join(format!("dist/{number}.receipt.json"))).expect("a receipt");
        let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
        let leaf = tlog::encoding::decode_base64(receipt["leaf"].as_str().expect("a leaf")).expect("base64");
        let leaf: Value = serde_json::from_slice(&leaf).expect("JSON");
        let mut leaf = leaf.to_string();
        let from = leaf.find("\"loggedAt\":").expect("a time");
        let to = from + leaf[from..].find(',').expect("more") + 1;
        leaf.replace_range(from..to, "");
        serde_json::json!({"leaf": tlog::encoding::base64(leaf.as_bytes())})
    };
    let again: Vec<Value> = (0..600).map(leaf).collect();
    let (status, answers) = log.submit(&Value::from(again));
    assert_eq!(status, 202, "some are left to be asked for");
    assert!(answers.to_string().len() < 12 << 20, "{}", answers.to_string().len());
    let committed =
        answers.as_array().expect("an array").iter().filter(|answer| answer["status"] == "committed");
    assert!(committed.count() > 0);
}
