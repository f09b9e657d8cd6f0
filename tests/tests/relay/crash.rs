//! kill -9 under load: nothing that was answered is lost, and what was acknowledged does not come back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use attestation::message::EnvelopeId;
use testkit::mail::post;

/// What clients were told, over all lives of the server.
#[derive(Default)]
struct Told {
    /// Answered 200.
    stored: Mutex<HashMap<EnvelopeId, bool>>,
    /// Acknowledged, and answered so.
    acknowledged: Mutex<HashSet<EnvelopeId>>,
    /// Asked to be acknowledged; whether it was nobody knows.
    asked: Mutex<HashSet<EnvelopeId>>,
    /// The number of each message that was ever listed.
    numbers: Mutex<BTreeMap<u64, EnvelopeId>>,
}

/// Sends until the server dies; every answer is remembered.
fn load(log: &Log, sender: &Signer, bob: &Signer, told: &Told, next: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let message = sealed(bob, &format!("message {}", next.fetch_add(1, Ordering::Relaxed)));
        let request = log.http().post(format!("{}/api/v1/messages", log.url()));
        let request = request.header("content-type", "application/json").body(send_body(sender, &message));
        let Ok(response) = request.send() else { return };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>() else { return };
        match status {
            200 => {
                let stored = answer["stored"].as_bool().expect("stored");
                told.stored.lock().expect("no panic").insert(message.id(), stored);
            }
            503 => {}
            // Nobody reads so fast on this machine: what does not fit is not lost.
            429 => std::thread::park_timeout(Duration::from_millis(2)),
            _ => panic!("{status}: {answer}"),
        }
    }
}

/// Reads and acknowledges until the server dies.
fn read(log: &Log, bob: &Signer, told: &Told, stop: &AtomicBool) {
    let http = log.http();
    while !stop.load(Ordering::Relaxed) {
        let list = Action::List(List { after: 0, keys: None, limit: 40, wait: 0 });
        let request = http.post(format!("{}/api/v1/mailbox", log.url()));
        let request = request.header("content-type", "application/json").body(testkit::mail::body(bob, list));
        let Ok(page) = request.send().and_then(|response| response.error_for_status()?.json::<Value>())
        else {
            return;
        };
        let mut ids = Vec::new();
        for message in page["messages"].as_array().expect("messages") {
            let id: EnvelopeId = message["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            let number = message["number"].as_u64().expect("a number");
            let before = told.numbers.lock().expect("no panic").insert(number, id);
            assert!(before.is_none_or(|before| before == id), "{number} was given twice");
            assert!(!told.acknowledged.lock().expect("no panic").contains(&id), "{id} came back");
            ids.push(id);
        }
        if ids.is_empty() {
            continue;
        }
        ids.sort_unstable();
        told.asked.lock().expect("no panic").extend(&ids);
        let acknowledge = testkit::mail::body(bob, Action::Acknowledge(ids.clone()));
        let request = http.post(format!("{}/api/v1/mailbox", log.url()));
        let request = request.header("content-type", "application/json").body(acknowledge);
        let Ok(response) = request.send() else { return };
        if response.status().is_success() && response.bytes().is_ok() {
            told.acknowledged.lock().expect("no panic").extend(ids);
        }
    }
}

#[test]
fn killed_between_write_and_answer_nothing_is_lost() {
    let cycles: u64 = std::env::var("AIP_KILL_CYCLES").map_or(25, |cycles| cycles.parse().expect("a number"));
    let rates =
        ["--mail-address-sends-per-minute", "--mail-did-sends-per-minute", "--mail-did-sends-per-day"];
    let rates = rates.iter().chain(&["--mail-address-lists-per-minute", "--mail-sender-messages"]);
    let mut flags: Vec<&str> = rates.flat_map(|flag| [*flag, "0"]).collect();
    // The last is no rate.
    *flags.last_mut().expect("flags") = "100000";
    flags.extend(["--mail-mailbox-messages", "100000"]);
    let mut log = Log::start(&flags);
    let bob = Signer::new(0);
    let senders: Vec<Signer> = (1..=6).map(Signer::new).collect();
    log.register(&senders.iter().chain([&bob]).collect::<Vec<_>>());
    log.kill();
    let (told, next) = (Told::default(), AtomicU64::new(0));
    for cycle in 0..cycles {
        log.serve(&flags);
        let stop = AtomicBool::new(false);
        let pid = log.pid().to_string();
        // From 5 to 300 ms of load, a different time each cycle, the same in every run.
        let killed_at = Instant::now() + Duration::from_millis(5 + cycle * 7919 % 296);
        std::thread::scope(|scope| {
            for sender in &senders {
                scope.spawn(|| load(&log, sender, &bob, &told, &next, &stop));
            }
            scope.spawn(|| read(&log, &bob, &told, &stop));
            while Instant::now() < killed_at {
                std::thread::park_timeout(killed_at - Instant::now());
            }
            let killed = std::process::Command::new("kill").args(["-KILL", &pid]).status();
            assert!(killed.expect("kill runs").success());
            stop.store(true, Ordering::Relaxed);
        });
        log.kill();
    }
    log.serve(&flags);
    let waiting = log.mail(&bob);
    let is_waiting: HashSet<EnvelopeId> = waiting.iter().copied().collect();
    assert_eq!(is_waiting.len(), waiting.len(), "no message twice");
    let (stored, acknowledged) =
        (told.stored.into_inner().expect("no panic"), told.acknowledged.into_inner().expect("no panic"));
    let asked = told.asked.into_inner().expect("no panic");
    assert!(stored.len() as u64 > cycles, "only {} answers: there was no load", stored.len());
    // Lost would be: answered 200, not there, and nobody asked to delete it.
    let lost = stored.keys().filter(|id| !is_waiting.contains(id) && !asked.contains(id)).count();
    assert_eq!(lost, 0, "of {}", stored.len());
    let back = acknowledged.iter().filter(|id| is_waiting.contains(id)).count();
    assert_eq!(back, 0, "of {} that were acknowledged", acknowledged.len());
    // Who was not answered sends again, and there is one copy.
    let unanswered = waiting.iter().find(|id| !stored.contains_key(id));
    let sent = (0..next.load(Ordering::Relaxed)).map(|number| sealed(&bob, &format!("message {number}")));
    if let Some(message) = unanswered.and_then(|id| sent.into_iter().find(|message| message.id() == *id)) {
        let (status, answer) =
            post(log.http(), &log.url(), "/api/v1/messages", send_body(&senders[0], &message), &[]);
        assert_eq!((status, &answer["stored"]), (200, &false.into()), "{answer}");
    }
    assert_eq!(log.stop(), Some(0));
    assert_eq!(log.fsck().status.code(), Some(0));
    println!(
        "{cycles} kills, {} answered 200, {} acknowledged, {} wait, 0 lost",
        stored.len(),
        acknowledged.len(),
        waiting.len()
    );
}
