//! Hostile clients: slow, endless, ambiguous, greedy (S16).

use torture::Plan;

use super::*;

#[test]
fn slow_clients_keep_nobody_from_being_served() {
    torture::clients::slow(&Plan::of(1_000)).assert_clean("S16");
}

#[test]
fn what_is_no_request_is_refused_and_nothing_more() {
    torture::clients::no_requests(&Plan::of(1)).assert_clean("S16");
}

/// A client that kept the connection would send its next request to nobody.
#[test]
fn who_sends_more_than_is_read_is_told_that_the_connection_ends() {
    let log = Log::start(&[]);
    let head = POST.replace("Connection: close\r\n", "");
    let answer = answer(&log, format!("{head}Content-Length: 900000000\r\n\r\n").as_bytes());
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
}

/// S16: where a request ends is never in doubt, so nothing is smuggled behind one.
#[test]
fn requests_on_one_connection_are_answered_in_order_and_end_where_they_say() {
    let log = Log::start(&[]);
    let statuses =
        |bytes: &str| talk(&log, bytes.as_bytes()).iter().map(|answer| answer.status).collect::<Vec<_>>();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n");
    let last = "GET /healthz HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n";
    let keep = POST.replace("Connection: close\r\n", "");
    // Pipelined, also behind bodies.
    let pipelined = format!("{}{}{}{last}", get("/checkpoint"), get("/nowhere"), get("/policy"));
    assert_eq!(statuses(&pipelined), [200, 404, 200, 200]);
    assert_eq!(statuses(&format!("{}{last}", get("/healthz").repeat(200))), [200; 201]);
    assert_eq!(statuses(&format!("{keep}Content-Length: 2\r\n\r\n{{}}{last}")), [400, 200]);
    assert_eq!(
        statuses(&format!("{keep}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n{last}")),
        [400, 200]
    );
    // HTTP/1.0 closes unless asked not to.
    assert_eq!(statuses("GET /healthz HTTP/1.0\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n"), [200]);
    let kept = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(statuses(kept), [200, 200]);
    // RFC 9112 §6.3: two framings are answered once, and the connection is closed: the next request is nobody's.
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 999999\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let statuses = statuses(&format!("{keep}{framing}\r\n2\r\n{{}}\r\n0\r\n\r\n{last}"));
        assert_eq!(statuses, [400], "{framing}");
    }
    // A body where none is expected is no second request.
    let body = "GET /checkpoint HTTP/1.1\r\nHost: log\r\n\r\n";
    let request =
        format!("GET /policy HTTP/1.1\r\nHost: log\r\nContent-Length: {}\r\n\r\n{body}{last}", body.len());
    assert_eq!(statuses(&request).len(), 2, "the policy and the last request");
    assert_eq!(checkpoint(&log).size, TreeSize::EMPTY);
}

/// S16: bodies made to cost more memory than they have bytes, one after the other and all at once.
#[test]
fn bodies_cost_no_more_memory_than_they_have_bytes() {
    let mut log = Log::start(&["--max-bodies-bytes", "40000000", "--max-body-bytes", "8000000"]);
    assert_lives(&mut log, b"before");
    let before = memory(log.pid(), "VmRSS");
    const MAX: usize = 8_000_000;
    let filled = |head: &[u8], unit: &[u8], tail: &[u8]| {
        let units = (MAX - head.len() - tail.len()) / unit.len();
        [head, &unit.repeat(units), tail].concat()
    };
    for (what, body, want) in [
        ("four million entries", filled(b"[1", b",1", b"]"), (413, "request-entries")),
        ("one string", filled(b"\"", b"a", b"\""), (400, "submission")),
        ("one member name", filled(b"{\"", b"a", b"\":1}"), (400, "submission")),
        ("one leaf", filled(b"{\"leaf\":\"", b"A", b"\"}"), (413, "leaf-size")),
        ("one leaf with escapes", filled(b"{\"leaf\":\"", b"\\u0041", b"\"}"), (413, "leaf-size")),
        ("one envelope", filled(b"{\"leaf\":\"\",\"envelope\":\"", b"A", b"\"}"), (422, "leaf")),
        ("arrays in arrays", filled(b"", b"[", b""), (400, "body")),
        ("objects in objects", filled(b"", b"{\"a\":", b""), (400, "submission")),
        ("spaces", filled(b"", b" ", b""), (400, "submission")),
    ] {
        let answer = answer(&log, &post(&body));
        let rule = answer.rule();
        assert!(
            answer.status == want.0 && (rule == want.1 || want.0 == 400),
            "{what}: {} {rule}",
            answer.status
        );
    }
    // A million chunks of one byte.
    let chunks = format!("{POST}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\n \r\n".repeat(1 << 20));
    assert_eq!(answer(&log, chunks.as_bytes()).rule(), "submission");
    assert_memory_bounded(&log, before);
    // Sixteen bodies that stop one byte before their end: more than the log holds at a time.
    let request = post(&filled(b"\"", b"a", b"\""));
    let hold = || {
        let mut stream = connect(&log);
        // Who is refused is cut off.
        let _ = stream.write_all(&request[..request.len() - 1]);
        stream
    };
    let mut held: Vec<TcpStream> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(hold)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    // Who sends a body of the usual size is served all the same.
    assert_lives(&mut log, b"beside large bodies");
    assert_memory_bounded(&log, before);
    let mut refused = 0;
    for stream in &mut held {
        let _ = stream.write_all(b"\"");
        for answer in answers(stream) {
            match answer.rule().as_str() {
                "bodies" => {
                    assert!(answer.status == 503 && answer.header("retry-after").is_some(), "{answer:?}")
                }
                rule => assert_eq!((answer.status, rule), (400, "submission")),
            }
            refused += u32::from(answer.status == 503);
        }
    }
    eprintln!("bodies: {refused} of 16 refused");
    assert!(refused > 0, "a bound that is never reached");
    assert_lives(&mut log, b"after");
}

/// S16: whoever asks and does not read the answer has it for so long; with every connection taken in that
/// way the log stops when told to, and lets go of them when not.
#[test]
fn unread_answers_hold_no_connection_for_ever() {
    let mut log = Log::init();
    // Without a bound for each address one can hold them all.
    let flags = ["--max-connections", "8", "--address-connections", "0"];
    let flags = [&flags[..], &["--answer-timeout", "2s", "--header-timeout", "60s"]].concat();
    let signer = Signer::new(1);
    log.serve(&flags);
    let entry = |number: u32| signer.sign(ORIGIN, &number.to_be_bytes(), Public, 30_000).by_hash();
    // Two envelopes of 1 MB: far more than what two sockets take in.
    let large = signer.sign(ORIGIN, b"large", Public, 600_000);
    assert_eq!(log.submit(&json!([large.published(), entry(1)])).0, 200);
    let path = format!("/api/v1/envelopes/{}", large.envelope.hash());
    let unread = |log: &Log| -> Vec<TcpStream> {
        let hold = |_| {
            let mut stream = connect(log);
            let request = format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n").repeat(20);
            stream.write_all(request.as_bytes()).expect("a socket");
            stream
        };
        (0..20).map(hold).collect()
    };
    let held = unread(&log);
    // Whoever comes later waits for them, and is served once they are let go of.
    assert_lives(&mut log, b"behind unread answers");
    drop(held);
    let _held = unread(&log);
    let start = Instant::now();
    assert_eq!(log.stop(), Some(0));
    eprintln!("unread answers: stopped after {:?}", start.elapsed());
    // Connections that say nothing, on all places there are.
    log.serve(&["--max-connections", "2", "--address-connections", "0", "--header-timeout", "600s"]);
    let _idle: Vec<TcpStream> = (0..4).map(|_| connect(&log)).collect();
    assert_eq!(log.stop(), Some(0));
}

/// S16: an address has as many connections as it may, and takes no place from others; a proxy that is believed is many.
#[test]
fn one_address_takes_no_place_from_others() {
    let mut log = Log::init();
    let flags = ["--max-connections", "40", "--address-connections", "4", "--header-timeout", "60s"];
    log.serve(&flags);
    let idle: Vec<TcpStream> = (0..4).map(|_| connect(&log)).collect();
    let mut fifth = connect(&log);
    assert_eq!(fifth.read(&mut [0]).expect("closed, not left to wait"), 0);
    let is_served = |mut stream: TcpStream| {
        // One that is closed at once may not take the request, or not give an answer.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: log\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 200 ")
    };
    assert!(is_served(connect_from("127.0.0.2", log.address()).expect("a socket")), "another address");
    assert!(!is_served(connect(&log)), "still the fifth");
    drop(idle);
    // The log learns in its own time that they have ended.
    let start = Instant::now();
    while !is_served(connect(&log)) {
        assert!(start.elapsed() < Duration::from_secs(60), "places that do not come back");
    }
    assert_lives(&mut log, b"behind connections that ended");
    assert_eq!(log.stop(), Some(0));
    log.serve(&[&flags[..], &["--trusted-proxy", "127.0.0.0/8"]].concat());
    let _many: Vec<TcpStream> = (0..6).map(|_| connect(&log)).collect();
    assert_lives(&mut log, b"beside six connections of a proxy");
}

/// I5: a log that may have few files open takes fewer connections; it does not fail to write, and one client does not keep
/// others out.
#[test]
fn connections_leave_the_writer_and_others_their_files() {
    let mut log = Log::init();
    if !raise_descriptors(4_096) || Command::new("prlimit").arg("--version").output().is_err() {
        return eprintln!("not run: few descriptors: prlimit does not give 4,096 descriptors");
    }
    log.serve_under(
        &["prlimit", "--nofile=1024:1024"],
        &["--header-timeout", "5s", "--round-interval", "2ms"],
    );
    assert_lives(&mut log, b"before");
    // One client opens as many as it can, and gets a fifth of those that fit: others are let in at once.
    let idle: Vec<TcpStream> =
        (0..1_200).map_while(|_| connect_from("127.0.0.2", log.address()).ok()).collect();
    assert_lives(&mut log, b"beside all these connections");
    eprintln!("few descriptors: {} connections", idle.len());
    drop(idle);
    assert_eq!(log.stop(), Some(0));
}

/// S16: large answers that nobody reads: together they get so much memory and no more.
#[test]
fn unread_answers_cost_bounded_memory() {
    const CLIENTS: u32 = 40;
    // The kernel's buffers take the first two.
    const ANSWERS: usize = 8;
    let mut log = Log::start(&["--max-unread-bytes", "10000000", "--answer-timeout", "60s"]);
    // Leaves as long as they may be: 64 of them make a bundle of 3 MB.
    assert_eq!(log.submit(&Value::Array((0..64).map(testkit::attack::long_entry).collect())).0, 200);
    let path = "/tile/entries/000.p/64";
    let bundle = log.bytes(path);
    assert!(bundle.len() > 3_000_000, "{} bytes", bundle.len());
    let before = memory(log.pid(), "VmHWM");
    let ask = |_| {
        let mut stream = connect(&log);
        let request = format!("GET {path} HTTP/1.1\r\nHost: log\r\n\r\n").repeat(ANSWERS - 1);
        stream.write_all(request.as_bytes()).expect("a socket");
        stream.write_all(&get(path)).expect("a socket");
        stream
    };
    let mut unread: Vec<TcpStream> = (0..CLIENTS).map(ask).collect();
    let begun = |stream: &TcpStream| stream.peek(&mut [0]).is_ok_and(|count| count == 1);
    until("every client has an answer", Duration::from_secs(20), || unread.iter().all(begun));
    assert_memory_bounded(&log, before);
    // What is small is always given.
    for path in ["/checkpoint", "/tile/0/000.p/64", "/api/v1/entries/0/proof", "/healthz"] {
        assert_eq!(log.get(path).status().as_u16(), 200, "{path}");
    }
    let mut given = 0;
    for stream in &mut unread {
        for answer in answers(stream) {
            if answer.status == 200 {
                assert!(answer.body == bundle, "an answer that was waited for is whole");
                given += 1;
            } else {
                assert_eq!((answer.status, answer.rule().as_str()), (503, "unread"));
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
            }
        }
    }
    let all = CLIENTS as usize * ANSWERS;
    eprintln!("unread answers: {given} of {all} given");
    assert!((1..all).contains(&given), "{given}");
    assert_eq!(log.bytes(path), bundle, "room again");
    assert_lives(&mut log, b"after");
}
