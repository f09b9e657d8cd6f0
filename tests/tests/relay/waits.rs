//! Who waits for mail: told at once, bounded, and forgotten when it goes away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use super::*;
use testkit::mail::body;

fn waiting(log: &Log) -> f64 {
    metric(log, "log_bound_taken{of=\"mail-waiters\"}")
}

fn list(wait: u64) -> Action {
    Action::List(List { after: 0, keys: None, limit: 100, wait })
}

/// Sends a list and leaves its answer to come.
fn ask(log: &Log, owner: &Signer, wait: u64) -> TcpStream {
    let body = body(owner, list(wait));
    let mut stream = TcpStream::connect(log.address()).expect("the log listens");
    stream.set_read_timeout(Some(Duration::from_secs(70))).expect("a socket");
    let head =
        "POST /api/v1/mailbox HTTP/1.1\r\nHost: log\r\nConnection: close\r\nContent-Type: application/json";
    let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("a socket");
    stream
}

/// The answer that has come: its status and JSON.
fn answer(mut stream: TcpStream) -> (u16, Value) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect("JSON"))
}

#[test]
fn many_wait_and_each_is_told_of_its_own_mail_at_once() {
    let log = Log::start(&["--mail-address-lists-per-minute", "0", "--mail-address-sends-per-minute", "0"]);
    let alice = Signer::new(1_000);
    let owners: Vec<Signer> = (0..150).map(Signer::new).collect();
    log.register(&owners.iter().chain([&alice]).collect::<Vec<_>>());
    let waiters: Vec<TcpStream> = owners.iter().map(|owner| ask(&log, owner, 60)).collect();
    until("all wait", Duration::from_secs(30), || waiting(&log) == 150.0);
    // Another device of the same owner waits, too; a third does not.
    let second = ask(&log, &owners[0], 60);
    until("the second waits", Duration::from_secs(30), || waiting(&log) == 151.0);
    let (status, refused) = answer(ask(&log, &owners[0], 60));
    assert_eq!((status, rule(&refused)), (429, "waiters"));
    // Who does not wait is answered all the same.
    assert_eq!(log.list(&owners[0], 0, 0).len(), 0);
    let start = Instant::now();
    let message = sealed(&owners[0], "for the first");
    send(&log, &alice, &message);
    let mut waiters = waiters.into_iter();
    for stream in [waiters.next().expect("the first"), second] {
        let (status, page) = answer(stream);
        assert_eq!((status, &page["messages"][0]["id"]), (200, &message.id().to_string().into()));
    }
    assert!(start.elapsed() < Duration::from_secs(20), "told, not timed out: {:?}", start.elapsed());
    until("the others still wait", Duration::from_secs(30), || waiting(&log) == 149.0);
    for owner in &owners[1..] {
        // Each from a DID of its own: one may send sixty a minute.
        send(&log, owner, &sealed(owner, "to myself"));
    }
    for (owner, stream) in owners[1..].iter().zip(waiters) {
        let (status, page) = answer(stream);
        assert_eq!((status, page["messages"].as_array().map(Vec::len)), (200, Some(1)), "{}", owner.did());
        assert_eq!(page["messages"][0]["sender"], owner.did().to_string(), "its own");
    }
    until("nobody waits", Duration::from_secs(30), || waiting(&log) == 0.0);
}

#[test]
fn who_goes_away_leaves_its_place_and_who_waits_in_vain_gets_an_empty_page() {
    let log = Log::start(&[]);
    let (_, bob) = correspondents(&log);
    let (first, second) = (ask(&log, &bob, 60), ask(&log, &bob, 60));
    until("both wait", Duration::from_secs(30), || waiting(&log) == 2.0);
    first.shutdown(Shutdown::Both).expect("a socket");
    until("one has gone", Duration::from_secs(30), || waiting(&log) == 1.0);
    let third = ask(&log, &bob, 1);
    let (status, page) = answer(third);
    assert_eq!((status, &page["messages"], &page["more"]), (200, &Value::Array(vec![]), &false.into()));
    drop(second);
    until("nobody waits", Duration::from_secs(30), || waiting(&log) == 0.0);
}

#[test]
fn one_address_does_not_take_all_places() {
    let log = Log::start(&["--mail-waiters", "20", "--mail-address-lists-per-minute", "0"]);
    let owners: Vec<Signer> = (0..6).map(Signer::new).collect();
    log.register(&owners.iter().collect::<Vec<_>>());
    let waiters: Vec<TcpStream> = owners[..4].iter().map(|owner| ask(&log, owner, 60)).collect();
    until("four wait", Duration::from_secs(30), || waiting(&log) == 4.0);
    let (status, refused) = answer(ask(&log, &owners[4], 60));
    assert_eq!((status, rule(&refused)), (429, "waiters"), "a fifth of the places: {refused}");
    let mut other = testkit::attack::connect_from("127.0.1.1", log.address()).expect("the log listens");
    let body = body(&owners[5], list(1));
    let head =
        "POST /api/v1/mailbox HTTP/1.1\r\nHost: log\r\nConnection: close\r\nContent-Type: application/json";
    write!(other, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("a socket");
    assert_eq!(answer(other).0, 200, "another address has a place");
    drop(waiters);
}

#[test]
fn a_server_that_stops_answers_who_waits() {
    let mut log = Log::start(&[]);
    let (_, bob) = correspondents(&log);
    let waiter = ask(&log, &bob, 60);
    until("one waits", Duration::from_secs(30), || waiting(&log) == 1.0);
    let start = Instant::now();
    assert_eq!(log.stop(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let (status, answer) = answer(waiter);
    assert!(status == 200 || status == 503, "{status} {answer}");
}
