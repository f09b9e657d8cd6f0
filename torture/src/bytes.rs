//! Hostile bytes in a request to a log: numbers (S9), JSON (S11), paths (S15), repetition (R12).

use std::fs;

use attestation::dsse::Envelope;
use attestation::entry::PendingEntry;
use attestation::entry::Visibility::Public;
use serde_json::{Value, json};
use testkit::living::{assert_lives, assert_verifies, fsck};
use testkit::log::{Log, ORIGIN};
use testkit::oracle::{check_log, checkpoint};
use testkit::signer::Signer;
use testkit::wire::{Answer, answer, get, post};
use tlog::TreeSize;
use tlog::encoding::base64;

use crate::frame::{Findings, Outcome, Plan, count};

/// S11: JSON with more than one meaning, at each place where JSON is read.
pub fn json(_: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::start(&[]);
    assert_lives(&mut log, b"before");
    let signed = Signer::new(1).sign(ORIGIN, b"json", Public, 0);
    let good = signed.published().to_string();
    let leaf = base64(&signed.entry.to_bytes());
    let deep = |count: usize| ("[".repeat(count), "]".repeat(count));
    let (open, close) = deep(100_000);
    let submission = |text: &str| text.replace("LEAF", &leaf).into_bytes();
    let with_bytes = |bytes: &[u8]| [br#"{"leaf":""#, bytes, br#""}"#].concat();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("a number", b"1e400".to_vec()),
        ("minus zero", b"-0".to_vec()),
        ("a string", submission(r#""LEAF""#)),
        ("an empty object", b"{}".to_vec()),
        ("a member twice", submission(r#"{"leaf":"LEAF","leaf":"LEAF"}"#)),
        ("a member twice, once escaped", submission(r#"{"leaf":"LEAF","\u006ceaf":"LEAF"}"#)),
        ("an envelope twice", submission(r#"{"leaf":"LEAF","envelope":{},"envelope":{}}"#)),
        ("an unknown member", submission(r#"{"leaf":"LEAF","Leaf":1}"#)),
        ("an unknown number", submission(r#"{"leaf":"LEAF","x":1e400}"#)),
        ("a leaf of null", b"{\"leaf\":null}".to_vec()),
        ("a leaf of bytes", b"{\"leaf\":[1,2,3]}".to_vec()),
        ("a leaf of minus zero", b"{\"leaf\":-0}".to_vec()),
        ("an envelope of null", submission(r#"{"leaf":"LEAF","envelope":null}"#)),
        ("an envelope of 1e400", submission(r#"{"leaf":"LEAF","envelope":1e400}"#)),
        ("an envelope in a string", submission(r#"{"leaf":"LEAF","envelope":"{}"}"#)),
        (
            "depth 100,000 in the envelope",
            submission(&format!(r#"{{"leaf":"LEAF","envelope":{open}{close}}}"#)),
        ),
        ("depth 100,000 that never closes", open.clone().into_bytes()),
        ("depth 100,000 of objects", "{\"leaf\":".repeat(100_000).into_bytes()),
        ("a byte order mark", [b"\xef\xbb\xbf", good.as_bytes()].concat()),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("data behind it", format!("{good} {good}").into_bytes()),
        ("a NUL behind it", format!("{good}\0").into_bytes()),
        ("a NUL before it", format!("\0{good}").into_bytes()),
        ("a comma too many", good.replace('}', ",}").into_bytes()),
        ("a comment", format!("/* */{good}").into_bytes()),
        ("single quotes", good.replace('"', "'").into_bytes()),
        ("invalid UTF-8", with_bytes(b"\xff\xfe")),
        ("overlong UTF-8", with_bytes(b"\xc0\x80")),
        ("a surrogate in UTF-8", with_bytes(b"\xed\xa0\x80")),
        ("a lone surrogate", with_bytes(br"\ud800")),
        ("a NUL in a string", with_bytes(br"\u0000")),
        ("a raw NUL in a string", with_bytes(b"\0")),
        ("a raw newline in a string", with_bytes(b"\n")),
        ("base64 of another alphabet", with_bytes(b"-_-_")),
        ("base64 without padding", with_bytes(b"AA")),
        ("base64 with bits left over", with_bytes(b"AB==")),
        ("base64 with a newline", with_bytes(br"AAAA\n")),
    ];
    let mut tried = 0_u64;
    for (what, body) in &bodies {
        let answer = answer(&log, &post(body));
        refused(&findings, what, &answer, 400..500);
        tried += 1;
    }
    // In an array the others are not sunk by it.
    let array = answer(&log, &post(format!("[{open}{close},{good}]").as_bytes()));
    let results: Value = serde_json::from_slice(&array.body).expect("JSON");
    assert_eq!((&results[0]["status"], &results[1]["index"]), (&json!("refused"), &json!(1)), "{results}");
    // In a leaf: other bytes for the same values, and other values.
    let text = String::from_utf8(signed.entry.to_bytes()).expect("JSON");
    let leaves: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a byte order mark", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
        ("a newline behind it", format!("{text}\n").into_bytes()),
        ("a NUL behind it", format!("{text}\0").into_bytes()),
        ("a member twice", text.replacen("\"kind\":", "\"kind\":\"dsse\",\"kind\":", 1).into_bytes()),
        (
            "a member twice, deep",
            text.replacen("\"origin\":", "\"origin\":\"x\",\"origin\":", 1).into_bytes(),
        ),
        ("an unknown member", text.replacen("{\"apiVersion\"", "{\"a\":1,\"apiVersion\"", 1).into_bytes()),
        ("a time", text.replacen("\"origin\":", "\"loggedAt\":1790000000000,\"origin\":", 1).into_bytes()),
        ("a time of 1e400", text.replacen("\"origin\":", "\"loggedAt\":1e400,\"origin\":", 1).into_bytes()),
        ("a time of -0", text.replacen("\"origin\":", "\"loggedAt\":-0,\"origin\":", 1).into_bytes()),
        ("an escaped name", text.replacen("\"kind\"", "\"\\u006bind\"", 1).into_bytes()),
        ("an escaped value", text.replacen("\"dsse\"", "\"\\u0064sse\"", 1).into_bytes()),
        ("a space", text.replacen(':', ": ", 1).into_bytes()),
        (
            "invalid UTF-8",
            text.replacen("localhost", "\u{1}", 1)
                .into_bytes()
                .iter()
                .map(|b| if *b == 1 { 0xff } else { *b })
                .collect(),
        ),
        ("a lone surrogate", text.replacen("localhost", "\\ud800", 1).into_bytes()),
        ("a NUL", text.replacen("localhost", "\\u0000", 1).into_bytes()),
        ("a decomposed letter", text.replacen("localhost", "e\u{301}", 1).into_bytes()),
        ("depth 10,000", format!("{{\"apiVersion\":{}", &open[..10_000]).into_bytes()),
        (
            "another order",
            text.replacen(
                "\"apiVersion\":\"0.0.1\",\"kind\":\"dsse\"",
                "\"kind\":\"dsse\",\"apiVersion\":\"0.0.1\"",
                1,
            )
            .into_bytes(),
        ),
    ];
    for (what, leaf) in &leaves {
        let answer = answer(&log, &post(json!({"leaf": base64(leaf)}).to_string().as_bytes()));
        refused(&findings, &format!("leaf with {what}"), &answer, 400..423);
        tried += 1;
    }
    // In an envelope.
    let envelope = signed.envelope.to_json();
    let long_name = "n".repeat(900_000);
    let envelopes: Vec<(&str, String)> = vec![
        ("an empty object", "{}".into()),
        ("an array", "[]".into()),
        ("a member twice", envelope.replacen("{", r#"{"payload":"","#, 1)),
        ("an unknown member", envelope.replacen("{", r#"{"x":1,"#, 1)),
        ("an unknown member of 900,000 bytes", envelope.replacen("{", &format!(r#"{{"{long_name}":1,"#), 1)),
        ("a keyid", envelope.replacen(r#"{"sig""#, r#"{"keyid":"","sig""#, 1)),
        ("two signatures", envelope.replacen(r#"{"sig""#, r#"{"sig":""},{"sig""#, 1)),
        ("depth 65", format!(r#"{{"x":{}{}"#, deep(65).0, deep(65).1)),
        ("a payload of 1e400", envelope.replacen(r#""payload":""#, r#""payload":1e400,"x":""#, 1)),
        ("another payload type", envelope.replace("in-toto", "in-tota")),
        ("a lone surrogate", r#"{"payload":"\ud800","payloadType":"","signatures":[]}"#.into()),
        ("a NUL", r#"{"payload":"\u0000","payloadType":"","signatures":[]}"#.into()),
    ];
    for (what, envelope) in &envelopes {
        let body = format!(r#"{{"leaf":"{leaf}","envelope":{envelope}}}"#);
        let answer = answer(&log, &post(body.as_bytes()));
        refused(&findings, &format!("envelope with {what}"), &answer, 400..500);
        tried += 1;
    }
    // Signed, and still not a statement that has one meaning.
    let signer = Signer::new(1);
    let payload = String::from_utf8(signed.envelope.unverified_payload().to_vec()).expect("JSON");
    for (what, payload) in [
        ("a member twice", payload.replacen("{", r#"{"_type":"x","#, 1)),
        ("an unknown member", payload.replacen("{", r#"{"x":1,"#, 1)),
        ("1e400", payload.replacen("\"padding\":\"\"", "\"padding\":1e400", 1)),
        ("a byte order mark", format!("\u{feff}{payload}")),
        ("data behind it", format!("{payload}{payload}")),
        (
            "depth 65",
            payload.replacen("\"padding\":\"\"", &format!("\"padding\":{}{}", deep(65).0, deep(65).1), 1),
        ),
        ("a lone surrogate", payload.replacen("\"padding\":\"\"", r#""padding":"\ud800""#, 1)),
    ] {
        let envelope = Envelope::sign(&signer.key, payload.into_bytes());
        let text = text
            .replace(&signed.envelope.hash().to_string(), &envelope.hash().to_string())
            .replace(&signed.envelope.payload_hash().to_string(), &envelope.payload_hash().to_string())
            .replace(&base64(signed.envelope.signature()), &base64(envelope.signature()));
        let unsigned = PendingEntry::parse(text.as_bytes()).expect("a pending leaf");
        let entry = PendingEntry::sign(unsigned.claim().clone(), &signer.key).expect("it fits");
        let body = format!(r#"{{"leaf":"{}","envelope":{}}}"#, base64(&entry.to_bytes()), envelope.to_json());
        let answer = answer(&log, &post(body.as_bytes()));
        findings.require(answer.status == 422 && answer.rule() == "statement", || {
            format!("statement with {what}: {answer:?}")
        });
        tried += 1;
    }
    findings.require(checkpoint(&log).size == TreeSize::new(2), || "one of them became an entry".into());
    assert_lives(&mut log, b"after");
    findings.into_outcome(format!("{} texts with no or two meanings, each refused by name", count(tried)))
}

/// The answer is a refusal with one of these statuses, and names its rule.
fn refused(findings: &Findings, what: &str, answer: &Answer, statuses: std::ops::Range<u16>) {
    findings.require(statuses.contains(&answer.status), || format!("{what}: {}", answer.status));
    if answer.status >= 400 {
        answer.rule();
    }
}

/// S15: no path leads out of the log, and each has one spelling.
pub fn paths(_: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::start(&[]);
    assert_lives(&mut log, b"before");
    let secrets = fs::read_to_string(log.dir().join("log.skey")).expect("the key");
    let deep = "x000/".repeat(1_000);
    let mut paths: Vec<String> = Vec::new();
    for escape in [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%5c",
        "..\\",
        "....//",
        "..;/",
        "%252e%252e%252f",
        "%c0%ae%c0%ae/",
        "%uff0e/",
        "./",
        "//",
        "/",
        "%2f",
        "%00",
        "%0a",
        "%ff",
        "%f0%28%8c%28",
        "%",
        "%2",
        "%zz",
        "~/",
        "file:///",
    ] {
        for (head, tail) in [
            ("/", "log.skey"),
            ("/tile/", "0/000"),
            ("/tile/0/", "000"),
            ("/tile/entries/", "000"),
            ("/tile/0/000.p/", "1"),
            ("/tile/entries/../../", "log.skey"),
            ("/api/v1/entries/", "0"),
            ("/api/v1/entries/0/", "proof"),
            ("/api/v1/envelopes/", "log.skey"),
            ("/api/v1/claims/", "log.skey"),
            ("/api/v1/proofs/inclusion/", "0/1"),
            ("/api/v1/proofs/inclusion/0/", "1"),
            ("/api/v1/proofs/consistency/", "0/1"),
        ] {
            paths.push(format!("{head}{escape}{tail}"));
            paths.push(format!("{head}{}{tail}", escape.repeat(20)));
        }
    }
    paths.extend([
        format!("/tile/0/{deep}000"),
        format!("/tile/entries/{deep}000"),
        format!("/{}", "../".repeat(1_000)),
        format!("/{}", "a/".repeat(5_000)),
        "/tile".into(),
        "/tile/".into(),
        "/tile/0".into(),
        "/tile/0/".into(),
        "/tile/entries".into(),
        "/tile/entries/".into(),
        "/checkpoint/".into(),
        "/checkpoint/x".into(),
        "/Checkpoint".into(),
        "/checkpoint.".into(),
        "/api".into(),
        "/api/v1".into(),
        "/api/v2/entries/0".into(),
        "/log.skey".into(),
        "/db/CURRENT".into(),
        "/.git/config".into(),
        "*".into(),
        "/%2e%2e/%2e%2e/etc/passwd".into(),
        "/tile/0/x-01/000".into(),
        "/tile/0/x00/000".into(),
        "/tile/0/000.p/0".into(),
        "/tile/0/000.p/256".into(),
        "/tile/0/000.p/257".into(),
        "/tile/0/000.p/65537".into(),
        "/tile/-1/000".into(),
        "/tile/8/000".into(),
        "/tile/63/000".into(),
        "/tile/255/000".into(),
        "/tile/0/000.P/1".into(),
        "/tile/0/000.p/1/".into(),
    ]);
    for path in &paths {
        let answer = answer(&log, &get(path));
        // hyper refuses what is no URI at all, before any handler.
        if !(answer.status == 400 && answer.body.is_empty()) {
            refused(&findings, path, &answer, 400..405);
        }
        let is_secret = String::from_utf8_lossy(&answer.body).contains(secrets.trim());
        findings.require(!is_secret, || format!("{path} shows the key"));
    }
    // Whatever the host or the form of the target, it is this log and nothing else.
    for (request, want) in [
        ("GET http://169.254.169.254/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 200),
        ("GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        ("CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
        ("TRACE /checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: secret\r\n\r\n", 405),
        ("GET /checkpoint HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUpgrade: h2c\r\n\r\n", 200),
    ] {
        let answer = answer(&log, request.as_bytes());
        assert_eq!(answer.status, want, "{request}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{request}");
    }
    assert_lives(&mut log, b"after");
    findings.into_outcome(format!("{} paths, none leads anywhere", count(paths.len() as u64)))
}

/// S9: numbers in every route.
pub fn numbers(_: &Plan) -> Outcome {
    let findings = Findings::default();
    let mut log = Log::start(&[]);
    let signer = Signer::new(1);
    let entries: Vec<Value> =
        (0..10u32).map(|i| signer.sign(ORIGIN, &i.to_be_bytes(), Public, 0).by_hash()).collect();
    assert_eq!(log.submit(&Value::Array(entries)).0, 200);
    let digits = "9".repeat(400);
    let numbers = [
        "",
        "00",
        "01",
        "007",
        "+1",
        "-1",
        "-0",
        "1.0",
        "1.",
        ".1",
        "1e3",
        "1E3",
        "0x1",
        "0b1",
        "0o1",
        "1_000",
        "1,000",
        "%201",
        "1%20",
        "1%00",
        "%2B1",
        "NaN",
        "inf",
        "true",
        "null",
        "%D9%A3",
        "%EF%BC%91",
        "1/1",
        "1;1",
        "1..2",
        "18446744073709551616",
        "340282366920938463463374607431768211456",
        &digits,
    ];
    let large =
        ["4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551615"];
    let did = signer.did().to_string();
    let routes = [
        "/api/v1/entries/N",
        "/api/v1/entries/N/proof",
        "/api/v1/entries/N/receipt",
        "/api/v1/proofs/inclusion/N/10",
        "/api/v1/proofs/inclusion/0/N",
        "/api/v1/proofs/consistency/N/10",
        "/api/v1/proofs/consistency/1/N",
        "/tile/N/000",
        "/tile/0/N",
        "/tile/0/000.p/N",
        "/tile/entries/N",
        "/tile/entries/000.p/N",
        "/tile/0/xN/000",
    ];
    let mut tried = 0_u64;
    for route in routes {
        for number in numbers.iter().chain(&large) {
            let answer = answer(&log, &get(&route.replace('N', number)));
            refused(&findings, &format!("{route} {number}"), &answer, 400..405);
            tried += 1;
        }
    }
    for name in ["from", "limit"] {
        for number in numbers.iter().chain(&large) {
            let answer = answer(&log, &get(&format!("/api/v1/entries?did={did}&{name}={number}")));
            if large.contains(number) {
                // Beyond the end there is nothing; a page has at most 100.
                assert_eq!(answer.status, 200, "{name} {number}");
            } else {
                assert_eq!((answer.status, answer.rule().as_str()), (400, name), "{name} {number}");
            }
            tried += 1;
        }
    }
    // Sizes that do not go together.
    for (path, want) in [
        ("/api/v1/proofs/inclusion/10/10", (404, "index-outside")),
        ("/api/v1/proofs/inclusion/0/0", (404, "index-outside")),
        ("/api/v1/proofs/inclusion/0/11", (404, "size-outside")),
        ("/api/v1/proofs/consistency/10/9", (400, "sizes")),
        ("/api/v1/proofs/consistency/11/11", (404, "size-outside")),
    ] {
        let answer = answer(&log, &get(path));
        assert_eq!((answer.status, answer.rule().as_str()), want, "{path}");
    }
    // A preference that is none is ignored (RFC 7240).
    let entry = signer.sign(ORIGIN, &0u32.to_be_bytes(), Public, 0).by_hash();
    let index = log.submit(&entry).1["index"].as_u64();
    for number in numbers.iter().chain(&large).filter(|number| !number.is_empty()) {
        let (status, answer) = log.submit_with(&entry, &[("prefer", &format!("wait={number}"))]);
        assert_eq!((status, answer["index"].as_u64()), (200, index), "wait={number}");
        tried += 1;
    }
    assert_lives(&mut log, b"after");
    findings.into_outcome(format!("{} numbers in every route, each a plain decimal or refused", count(tried)))
}

/// R12: one statement, again and again by 64 clients at once, singly and in arrays, and as often after a restart.
pub fn repetition(plan: &Plan) -> Outcome {
    const CLIENTS: u64 = 64;
    let findings = Findings::default();
    let mut log = Log::init();
    let signer = Signer::new(1);
    let signed = signer.sign(ORIGIN, b"the same", Public, 0);
    let submission = signed.published();
    let mut first: Option<Value> = None;
    let mut answered = 0;
    // A long round, so that most of the first ones meet in the pool: they cost no budget either.
    for (life, interval) in [("the first life", "500ms"), ("after a restart", "50ms")] {
        log.serve(&["--round-interval", interval]);
        let answers: Vec<Value> = std::thread::scope(|scope| {
            let (log, submission) = (&log, &submission);
            let submit = move |client: u64| {
                let share = plan.count / CLIENTS + u64::from(client < plan.count % CLIENTS);
                // Every other client sends its share in arrays.
                let width = if client.is_multiple_of(2) { 1 } else { 250 };
                let mut answers = Vec::new();
                while (answers.len() as u64) < share {
                    let count = (share - answers.len() as u64).min(width) as usize;
                    match count {
                        1 => answers.push(accepted(log.submit(submission))),
                        _ => {
                            let array = Value::Array(vec![submission.clone(); count]);
                            let results = accepted(log.submit(&array));
                            answers.extend(results.as_array().expect("results").iter().cloned());
                        }
                    }
                }
                answers
            };
            let threads: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || submit(client))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        let first = first.get_or_insert_with(|| answers[0].clone());
        for answer in &answers {
            let is_same = answer["index"] == 0 && answer["leaf"] == first["leaf"];
            findings.require(is_same, || format!("{life}: another leaf: {answer}"));
        }
        answered += answers.len() as u64;
        assert_verifies(&log, &signer, &signed, answers.last().expect("an answer"));
        let size = check_log(&log).checkpoint.size;
        findings.require(size == TreeSize::new(1), || format!("{life}: {size} leaves"));
        findings.require(log.stop() == Some(0), || "the log did not stop when it was told to".into());
    }
    let fsck = fsck(&log);
    findings.require(fsck == (Some(0), "ok: 1 entries\n".to_owned()), || format!("fsck: {fsck:?}"));
    findings.into_outcome(format!(
        "{} submissions of one statement by {CLIENTS} clients, 1 leaf",
        count(answered)
    ))
}

fn accepted((status, answer): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{answer}");
    answer
}
