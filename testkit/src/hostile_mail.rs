//! Hostile requests to a relay: malformed, for another log, stale, with another's signature, replayed, altered, oversized, slow.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use attestation::message::{Action, List, Request, SignedRequest};
use serde_json::Value;
use tlog::encoding::base64;

use crate::attack::{ATTACKER, connect_from};
use crate::load::{self, Plan, Requests};
use crate::log::{Log, ORIGIN};
use crate::mail::{body, in_millis, now, sealed, send_body};
use crate::signer::Signer;

/// So many hostile requests, of every kind in turn. One kind is a message that was sent before.
pub fn hostile_requests(log: &Log, count: usize) -> Requests {
    let (mallory, victim) = (Signer::new(666), Signer::new(0));
    log.make_known(&mallory);
    let replayed = send_body(&mallory, &sealed(&mallory, "replayed"));
    let list = Action::List(List { after: 0, keys: None, limit: 100, wait: 60 });
    let request = |origin: &str, issued: i64, action: &Action| {
        let (did, issued_at) = (victim.did(), in_millis(issued));
        let request = Request { action: action.clone(), did, issued_at, origin: origin.to_owned() };
        SignedRequest::sign(request, &mallory.key).expect("a request").to_json()
    };
    let altered = |body: &str, member: &str, value: String| {
        let mut json: Value = serde_json::from_str(body).expect("JSON");
        json[member] = value.into();
        json.to_string()
    };
    let mut requests = Requests::default();
    for number in 0..count {
        let (messages, mailbox) = ("/api/v1/messages", "/api/v1/mailbox");
        let fresh = || send_body(&mallory, &sealed(&mallory, &format!("fresh {number}")));
        let (path, body) = match number % 10 {
            0 => (messages, "{\"key\":".to_owned()),
            1 => (mailbox, "[".repeat(10_000)),
            2 => (mailbox, request("other.example/log", 0, &list)),
            3 => (mailbox, request(ORIGIN, -86_400_000, &list)),
            4 => (mailbox, altered(&body(&mallory, list.clone()), "signature", base64(&[7; 64]))),
            // The key is the thief's, and the mailbox is not.
            5 => (mailbox, request(ORIGIN, 0, &list)),
            6 => (messages, replayed.clone()),
            7 => (messages, altered(&fresh(), "sealed", sealed(&mallory, "another").to_base64())),
            8 => (messages, altered(&fresh(), "sealed", "A".repeat(100_000))),
            // To a DID that nobody knows.
            _ => (
                messages,
                send_body(&mallory, &sealed(&Signer::new(9_999_999), &now().as_millis().to_string())),
            ),
        };
        requests.post(path, body.as_bytes());
    }
    requests
}

/// Does some work while hostile requests come at this rate, and beside them oversized and slow ones on connections of their own.
pub fn beside_hostile_requests<T>(log: &Log, count: usize, rate: f64, work: impl FnOnce() -> T) -> T {
    let requests = Arc::new(hostile_requests(log, count));
    let (address, stop) = (log.address(), AtomicBool::new(false));
    thread::scope(|scope| {
        let hostile = scope.spawn(|| load::run(address, 16, &requests, Plan::Paced { rate }));
        scope.spawn(|| oversized(address, &stop));
        scope.spawn(|| slow(address, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let hostile = hostile.join().expect("the load generator does not panic");
        // Only what was sent before is answered 200: `stored: false`.
        assert!(hostile.answered <= count.div_ceil(10), "{} were taken", hostile.answered);
        assert!(hostile.failed + hostile.answered == count, "{:?}", hostile.first_failure);
        done
    })
}

fn head(length: usize) -> String {
    let head = "POST /api/v1/messages HTTP/1.1\r\nHost: log\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {length}\r\n\r\n")
}

/// Bodies that are longer than any request, over and over.
fn oversized(address: SocketAddr, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(mut stream) = connect_from(ATTACKER, address) {
            // Whoever is refused is cut off.
            let _ = stream.write_all(&[head(8 << 20).as_bytes(), &[b' '; 300_000]].concat());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A hundred bodies that come a byte at a time.
fn slow(address: SocketAddr, stop: &AtomicBool) {
    let mut streams: Vec<_> = (0..100).filter_map(|_| connect_from(ATTACKER, address).ok()).collect();
    for stream in &mut streams {
        let _ = stream.write_all(head(2_000).as_bytes());
    }
    while !stop.load(Ordering::Relaxed) {
        for stream in &mut streams {
            let _ = stream.write_all(b" ");
        }
        thread::sleep(Duration::from_millis(100));
    }
    for stream in streams {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
