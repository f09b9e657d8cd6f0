//! How old what a gate decides by may be: by what witnesses attest, and where nobody does.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use testkit::log::Log;
use testkit::someone::Someone;
use testkit::witness::Witness;

/// An organisation that vouches for a pipeline, and a consumer that keeps no pin, as on a fresh runner.
struct World {
    org: Someone,
    pipeline: Someone,
    consumer: Someone,
}

impl World {
    fn new(log: &Log, policy: &str) -> Self {
        let (org, pipeline, consumer) = (Someone::new(), Someone::new(), Someone::new());
        for (someone, more) in [(&org, &["--capabilities", "vouches"][..]), (&pipeline, &[])] {
            someone.ok(&["policy", "pin", &log.url(), "--yes"]);
            someone.ok(&[&["init", "--register"], more].concat());
        }
        org.ok(&["vouch", &pipeline.did()]);
        consumer.write("policy", policy);
        Self { org, pipeline, consumer }
    }

    fn gate(&self, more: &[&str]) -> (i32, String, String) {
        let (did, root) = (self.pipeline.did(), self.org.did());
        let gate = ["gate", "--did", &did, "--root", &root, "--threshold", "0.5", "--policy", "policy"];
        self.consumer.run(&[&gate, more].concat())
    }

    #[track_caller]
    fn expect(&self, more: &[&str], code: i32, says: &[&str]) {
        let (got, out, err) = self.gate(more);
        assert_eq!(got, code, "{more:?}\n{out}{err}");
        for what in says {
            assert!(out.contains(what) || err.contains(what), "{more:?}: {what}\n{out}{err}");
        }
    }
}

/// Somebody between a consumer and a log who answers with the first evidence that came by, for ever. Answers its port.
fn replaying(log: &Log) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (url, http) = (log.url(), log.http().clone());
    // Ends with the process.
    std::thread::spawn(move || {
        let seen: Mutex<Option<Vec<u8>>> = Mutex::new(None);
        for stream in listener.incoming().flatten() {
            answer(stream, &url, &http, &seen);
        }
    });
    port
}

/// One request, one answer. A connection that closes early is nobody's.
fn answer(mut stream: TcpStream, url: &str, http: &reqwest::blocking::Client, seen: &Mutex<Option<Vec<u8>>>) {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    let (head, length) = loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        request.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap_or(0);
        if request.len() >= head.len() + 4 + length {
            break (head.to_owned(), length);
        }
    };
    let body = request[request.len() - length..].to_vec();
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let forward = || {
        let url = format!("{url}{path}");
        let request = if head.starts_with("POST") {
            http.post(url).header("content-type", "application/json").body(body)
        } else {
            http.get(url)
        };
        request.send().and_then(|answer| answer.bytes()).expect("the log answers").to_vec()
    };
    let body = if path == "/api/v1/evidence" {
        seen.lock().expect("one thread").get_or_insert_with(forward).clone()
    } else {
        forward()
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// Without witnesses nobody attests an age: a gate says so, and does not open where somebody between could show an old
/// answer again, or where an age is asked for.
#[test]
fn an_age_that_nobody_attests_is_named_and_refused_where_it_matters() {
    let log = Log::start(&[]);
    let world = World::new(&log, &format!("log {}\nquorum none\n", log.vkey));
    let (direct, port) = (log.url(), replaying(&log));
    let replay = format!("http://127.0.0.1:{port}");
    let said = "age not attested: the policy asks no witness";
    for url in [&direct, &replay] {
        world.expect(&["--log", url], 0, &["PASS", said]);
    }
    world.org.ok(&["revoke", &world.pipeline.did()]);
    world.expect(&["--log", &direct], 1, &["STOP", "no path of vouches"]);

    // On one's own machine nobody is between, so that this is believed; whoever asks for more gets it.
    world.expect(&["--log", &replay, "--evidence-out", "old.json"], 0, &["PASS", said]);
    let (_, json, _) = world.gate(&["--log", &replay, "--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["ageAttested"], &json["trust"]["attested"]), (&Value::from(false), &Value::Null));
    for more in [&["--max-age", "24h"][..], &["--max-age", "24h", "--sync"]] {
        world.expect(
            &[&["--log", &replay][..], more].concat(),
            2,
            &["nobody attests how old", "a greatest age is named"],
        );
    }
    world.expect(
        &["--log", &replay, "--require", "witnessed"],
        2,
        &["no witness attests", "--require witnessed"],
    );
    fs::write(world.consumer.work().join("trust.toml"), "version = 1\nmax-checkpoint-age = \"7d\"\n")
        .expect("written");
    world.expect(&["--log", &replay], 2, &["nobody attests how old"]);
    world.expect(
        &["--log", &replay, "--max-age", "none"],
        2,
        &["nobody attests how old", "max-checkpoint-age"],
    );
    fs::remove_file(world.consumer.work().join("trust.toml")).expect("removed");

    // In the clear and to another address than this machine's own.
    let clear = format!("http://0.0.0.0:{port}");
    world.expect(
        &["--log", &clear],
        2,
        &["nobody attests how old", "on the way of `http:`", "hint: ask the log"],
    );
    world.expect(&["--log", &clear, "--sync"], 2, &["on the way of `http:`"]);
    world.expect(&["--log", &clear, "--max-age", "none"], 0, &["PASS", said]);

    // In a file.
    let file = ["--evidence", "old.json"];
    world.expect(&file, 2, &["nobody attests how old", "a file does not tell"]);
    world.expect(&[&file[..], &["--max-age", "1h"]].concat(), 2, &["nobody attests how old"]);
    world.expect(&[&file[..], &["--max-age", "none"]].concat(), 0, &["PASS", said]);
}

/// With witnesses an answer that was fresh once is refused once it is old, on whatever way it comes.
#[test]
fn old_evidence_is_refused_by_what_witnesses_attest() {
    let mut log = Log::init();
    let witness = Witness::start("w", &["ed25519"], &log.vkey);
    log.ask(&witness.policy, "w");
    log.serve(&["--publish-interval", "0s", "--witness-timeout", "2s", "--deadline", "8s"]);
    let text = String::from_utf8(log.bytes("/policy")).expect("text");
    let world = World::new(&log, &text);
    let replay = format!("http://0.0.0.0:{}", replaying(&log));
    let (fetched, file) = (["--log", replay.as_str()], ["--evidence", "evidence.json"]);
    world.expect(&[&fetched[..], &["--evidence-out", "evidence.json"]].concat(), 0, &["PASS"]);
    world.org.ok(&["revoke", &world.pipeline.did()]);
    world.expect(&["--log", &log.url()], 1, &["no path of vouches"]);
    // Cosignatures tell whole seconds: after two, the one from before is certainly more than one old.
    std::thread::sleep(Duration::from_millis(2_100));
    for way in [fetched, file] {
        let limited = |limit: &'static str| [&way[..], &["--max-age", limit]].concat();
        world.expect(&limited("1s"), 2, &["the checkpoint is older than 1s", "what was revoked since"]);
        // Inside the limit nobody can tell that there is more.
        for limit in ["1h", "none"] {
            world.expect(&limited(limit), 0, &["PASS"]);
        }
        world.expect(&[&way[..], &["--require", "witnessed"]].concat(), 0, &["PASS"]);
        let (_, out, _) = world.gate(&way);
        assert!(!out.contains("not attested"), "{out}");
    }
    world.org.ok(&["vouch", &world.pipeline.did()]);
    world.expect(&["--log", &log.url(), "--max-age", "1m"], 0, &["PASS"]);
}

/// Too few cosignatures prove nothing against a log that is asked, and may be there a moment later: exit 2. In a file
/// it stays so: exit 1.
#[test]
fn below_the_quorum_a_log_could_not_tell_and_a_file_is_false() {
    let mut log = Log::init();
    let witness = Witness::start("w", &["ed25519"], &log.vkey);
    log.ask(&witness.policy, "w");
    log.serve(&["--publish-interval", "0s", "--witness-timeout", "2s", "--deadline", "8s"]);
    // One that never saw the log.
    let other = Witness::start("x", &["ed25519"], &log.vkey);
    let both =
        format!("log {}\n{}{}group both all w x\nquorum both\n", log.vkey, witness.policy, other.policy);
    let world = World::new(&log, &String::from_utf8(log.bytes("/policy")).expect("text"));
    world.expect(&["--log", &log.url(), "--evidence-out", "evidence.json"], 0, &["PASS"]);
    world.consumer.write("policy", &both);
    let url = log.url();
    world.expect(&["--log", &url], 2, &["does not satisfy", "quorum"]);
    world.expect(&["--log", &url, "--sync"], 2, &["does not satisfy"]);
    world.expect(&["--evidence", "evidence.json"], 1, &["does not hold", "quorum"]);
    let state = ["state", "export", "--did", &world.pipeline.did(), "--log", &url, "--policy", "policy"];
    let (code, _, err) = world.consumer.run(&state);
    assert_eq!(code, 2, "{err}");
}
