//! Shares: while some clients take all they can get, every other client is answered (S16, S29).

use attestation::entry::Entry;
use testkit::attack::{ATTACKER, Attack, Attackers, BUNDLE, connect_from, fill_bundle};
use testkit::someone::Someone;

use super::*;

/// The value of a line of `/metrics`; 0 if there is none.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().expect("Prometheus text"))
}

/// What the operator's port answers.
fn ask_operator(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the operator's port");
    stream.write_all(&get(path)).expect("a socket");
    let answer = answers(&mut stream).remove(0);
    (answer.status, String::from_utf8(answer.body).expect("text"))
}

fn operator_port() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// What honest clients ask a log: each must be answered as if nobody else were there.
fn assert_answers_others(log: &Log, attack: Attack) {
    let signer = Signer::new(3);
    let name = attack.name();
    let sign = |number: u32| signer.sign(ORIGIN, format!("{name} {number}").as_bytes(), Public, 0).by_hash();
    for round in 0..4u32 {
        let (status, answer) = log.submit(&sign(round * 1_000));
        assert_eq!(status, 200, "one entry beside {name}: {answer}");
        // Larger than what a body, and an answer, may have without a share.
        let batch = (1..100).map(|number| sign(round * 1_000 + number)).collect();
        let (status, answer) = log.submit(&Value::Array(batch));
        assert_eq!(status, 200, "a batch beside {name}: {answer}");
        let question = json!({"did": signer.did().to_string()});
        let evidence = log.http().post(format!("{}/api/v1/evidence", log.url())).json(&question).send();
        assert_eq!(evidence.expect("an answer").status().as_u16(), 200, "evidence beside {name}");
        for path in ["/checkpoint", "/policy", "/tile/0/000", "/api/v1/entries/0/proof", BUNDLE] {
            let response = log.get(path);
            assert_eq!(response.status().as_u16(), 200, "{path} beside {name}");
            response.bytes().expect("a whole answer");
        }
    }
}

/// Runs an attack, and asks the log meanwhile.
fn others_are_answered_beside(attack: Attack) {
    let name = attack.name();
    if !raise_descriptors(8_192) {
        return eprintln!("not run: {name}: prlimit does not give 8,192 descriptors");
    }
    let mut log = Log::init();
    log.serve(&[]);
    fill_bundle(&log);
    assert_eq!(log.stop(), Some(0));
    let operator = operator_port();
    log.serve(&[attack.flags(), &["--operator-listen", &operator]].concat());
    let attackers = attack.start(log.address());
    let start = Instant::now();
    assert_answers_others(&log, attack);
    assert_eq!(ask_operator(&operator, "/readyz").0, 200, "{name}");
    if let Some(bound) = attack.bound() {
        let refused = format!("log_bound_refused_total{{of=\"{bound}\",by=\"share\"}}");
        until(&refused, Duration::from_secs(20), || {
            metric(&ask_operator(&operator, "/metrics").1, &refused) > 0.0
        });
    }
    eprintln!("{name}: others were answered, in {:?}", start.elapsed());
    drop(attackers);
    assert_eq!(log.ended(), None, "the server has ended");
}

#[test]
fn others_are_answered_while_five_addresses_hold_all_connections_they_can() {
    others_are_answered_beside(Attack::Connections);
}

#[test]
fn others_are_answered_beside_slow_readers() {
    others_are_answered_beside(Attack::SlowReaders);
}

#[test]
fn others_are_answered_beside_slow_bodies() {
    others_are_answered_beside(Attack::SlowBodies);
}

#[test]
fn others_are_answered_when_one_address_has_spent_its_bytes_of_the_day() {
    others_are_answered_beside(Attack::DayBytes);
}

#[test]
fn others_are_answered_beside_an_address_that_asks_for_evidence_all_the_while() {
    others_are_answered_beside(Attack::Evidence);
}

#[test]
fn others_are_answered_beside_an_address_that_reads_large_bundles_all_the_while() {
    others_are_answered_beside(Attack::Bundles);
}

#[test]
fn others_are_answered_beside_an_address_that_sends_large_bodies_all_the_while() {
    others_are_answered_beside(Attack::Commas);
}

/// Whoever has changed its key often makes each answer about it long to write, and asking is cheap.
#[test]
fn long_histories_of_keys_are_proved_in_turns_wherever_they_are_asked_for() {
    let operator = operator_port();
    let log = Log::start(&["--operator-listen", &operator, "--round-interval", "1ms"]);
    let owner = Someone::at(&log, &[]);
    owner.ok(&["init", "--register"]);
    for _ in 0..20 {
        owner.ok(&["rotate-key"]);
    }
    owner.write("app", "app");
    owner.ok(&["sign", "app"]);
    let leaves = check_log(&log).leaves;
    let entry = Entry::parse(leaves.last().expect("an entry")).expect("an entry");
    let Entry::Dsse(entry) = entry else { panic!("the last entry is the signed one") };
    let again = json!({"leaf": base64(&entry.pending().to_bytes())}).to_string();
    let keep_alive = |path: String| format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n").into_bytes();
    for (what, request) in [
        ("the document", keep_alive(format!("/did/{}", owner.did()))),
        ("a claim", keep_alive(format!("/api/v1/claims/{}", entry.claim().hash().get()))),
        ("an entry once more", post(again.as_bytes())),
        ("a batch once more", post(format!("[{again},{again}]").as_bytes())),
    ] {
        let attackers = Attackers::asking(log.address(), request);
        let turns = || metric(&ask_operator(&operator, "/metrics").1, "log_bound_taken{of=\"work\"}");
        until(what, Duration::from_secs(20), || turns() > 0.0);
        assert_eq!(log.get("/checkpoint").status().as_u16(), 200, "beside {what}");
        drop(attackers);
        until("nobody asks any more", Duration::from_secs(20), || turns() == 0.0);
    }
}

/// What is in the log must not look as if it were not: without room for its proofs, each entry is answered by where to
/// ask for its own.
#[test]
fn a_batch_is_answered_although_its_address_leaves_answers_unread() {
    let mut log = Log::start(&[]);
    fill_bundle(&log);
    // One unread bundle leaves no room for the proofs of a batch.
    let room = (2 * log.bytes(BUNDLE).len() + 100_000).to_string();
    log.stop();
    log.serve(&["--max-unread-bytes", &room, "--answer-timeout", "120s"]);
    let _attackers = Attack::SlowReaders.start(log.address());
    let signer = Signer::new(4);
    let signed: Vec<Signed> =
        (0..100u32).map(|number| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 0)).collect();
    let body = Value::Array(signed.iter().map(Signed::by_hash).collect()).to_string();
    let mut stream = connect_from(ATTACKER, log.address()).expect("the log listens");
    stream.write_all(&post(body.as_bytes())).expect("a socket");
    let answer = answers(&mut stream).remove(0);
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    let results: Value = serde_json::from_slice(&answer.body).expect("JSON");
    for (result, signed) in results.as_array().expect("results").iter().zip(&signed) {
        assert_eq!(result["status"], "committed", "{result}");
        let (status, logged) = log.json(result["url"].as_str().expect("a URL"));
        assert_eq!((status, &logged["status"]), (200, &json!("logged")));
        assert_verifies(&log, &signer, signed, &logged);
    }
}

/// The day's bytes: each address has its share, what is left is never nothing while few have theirs, and `/readyz` tells
/// when it is nearly nothing.
#[test]
fn the_days_bytes_have_a_share_for_each_address_and_readiness_tells_when_they_are_spent() {
    let operator = operator_port();
    let mut log = Log::init();
    log.serve(&[
        "--bytes-per-day",
        "800000",
        "--operator-listen",
        &operator,
        "--trusted-proxy",
        "127.0.0.0/8",
    ]);
    let signer = Signer::new(5);
    let mut number = 0u32;
    // Behind a proxy, so that there are as many addresses as are needed.
    let mut submit = |log: &Log, address: &str| {
        number += 1;
        let signed = signer.sign(ORIGIN, &number.to_be_bytes(), Public, 20_000);
        let (status, answer) = log.submit_with(&signed.published(), &[("x-forwarded-for", address)]);
        let rule = answer["type"].as_str().unwrap_or_default().trim_start_matches("urn:aip:problem:");
        (status, rule.to_owned())
    };
    let spend = |log: &Log, submit: &mut dyn FnMut(&Log, &str) -> (u16, String), address: &str| {
        for _ in 0..100 {
            match submit(log, address) {
                (200, _) => {}
                refused => return refused,
            }
        }
        panic!("{address} spends without end");
    };
    let (status, words) = ask_operator(&operator, "/readyz");
    assert!(status == 200 && words.contains("logged today: 0 of 800000 bytes"), "{status} {words}");
    assert_eq!(spend(&log, &mut submit, "192.0.2.1"), (429, "address-day-budget".into()));
    assert_eq!(spend(&log, &mut submit, "2001:db8::1"), (429, "address-day-budget".into()));
    assert_eq!(submit(&log, "2001:db8::2").0, 429, "the same /64");
    assert_eq!(submit(&log, "192.0.2.2").0, 200);
    assert_eq!(ask_operator(&operator, "/readyz").0, 200);
    for last in 3..60 {
        if spend(&log, &mut submit, &format!("192.0.2.{last}")).1 == "day-budget" {
            break;
        }
    }
    let (status, words) = ask_operator(&operator, "/readyz");
    assert!(status == 503 && words.contains("urn:aip:problem:day-budget"), "{status} {words}");
    until("the gauge shows the day's bytes", Duration::from_secs(20), || {
        metric(&ask_operator(&operator, "/metrics").1, "log_bound_taken{of=\"day-bytes\"}") > 700_000.0
    });
    // Whoever is refused is told when to come again.
    let signed = signer.sign(ORIGIN, b"late", Public, 20_000);
    let response = log.http().post(format!("{}/api/v1/entries", log.url())).json(&signed.published()).send();
    let response = response.expect("an answer");
    let seconds: u32 = response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=86_401).contains(&seconds), "{seconds}");
}

/// With a port of its own, what is the operator's is nowhere else; clients that hold every connection do not hold it.
#[test]
fn health_and_metrics_are_on_the_operators_port_alone() {
    let operator = operator_port();
    let mut log = Log::init();
    log.serve(&["--operator-listen", &operator, "--max-connections", "4", "--address-connections", "0"]);
    let _all: Vec<TcpStream> = (0..4).map(|_| connect(&log)).collect();
    for (path, want) in [("/readyz", 200), ("/healthz", 200), ("/metrics", 200), ("/checkpoint", 404)] {
        assert_eq!(ask_operator(&operator, path).0, want, "{path}");
    }
    until("the gauge shows the connections", Duration::from_secs(20), || {
        metric(&ask_operator(&operator, "/metrics").1, "log_bound_taken{of=\"connections\"}") == 4.0
    });
    drop(_all);
    assert_eq!(log.get("/metrics").status().as_u16(), 404);
    assert_eq!(log.get("/readyz").status().as_u16(), 404);
    assert_eq!(log.get("/healthz").status().as_u16(), 200);
    assert_eq!(log.stop(), Some(0));
}
