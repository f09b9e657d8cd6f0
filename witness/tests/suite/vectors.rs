//! Exchanges that were recorded with other programs, replayed byte for byte. Third-party data, read in place: the
//! folder in `AIP_VECTORS`.

use std::io::Write as _;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tlog::key::VerifierKey;
use tlog::note::Note;
use witness::log_list::Stanza;

use crate::world::{Answer, World, logs_of};

#[derive(Deserialize)]
struct Sequence {
    log: SequenceLog,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct SequenceLog {
    origin: String,
    vkey: String,
}

#[derive(Deserialize)]
struct Step {
    request_body: String,
    litewitness_status: u16,
    body_check: (String, String),
    spec_status: u16,
}

#[derive(Deserialize)]
struct Capture {
    log_vkey: String,
    witness_vkey: String,
    final_checkpoint: String,
    exchanges: Vec<Exchange>,
}

#[derive(Deserialize)]
struct Exchange {
    path: String,
    request_body: String,
    status: u16,
    content_type: String,
    response_body: String,
}

/// A vector file; `None`, and a line on stderr past the test harness, when it is not there.
fn vectors<T: DeserializeOwned>(name: &str) -> Option<T> {
    let folder = std::env::var_os("AIP_VECTORS").filter(|folder| !folder.is_empty());
    let path = folder.map(|folder| Path::new(&folder).join(name)).filter(|path| path.exists());
    let Some(path) = path else {
        let _ = writeln!(std::io::stderr(), "not run: {name}: AIP_VECTORS names no folder with it");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON"))
}

fn world(vkey: &str, origin: &str) -> World {
    let world = World::new(&[]);
    let vkey = vkey.parse().expect("a vkey");
    world.app.cosigner.set_logs(logs_of(&[Stanza { vkey, origin: origin.into(), qpd: None, contact: None }]));
    world
}

/// Our lines in an answer verify on the note of the request.
fn assert_cosigned(world: &World, request: &str, answer: &Answer) {
    let note = request.split_once("\n\n").expect("a proof and a note").1;
    let mut note = Note::parse(note.as_bytes()).expect("a note");
    answer.lines().into_iter().for_each(|line| note.add(line));
    assert_eq!(note.verify(world.vkeys()).expect("good lines").len(), world.vkeys().len());
}

#[tokio::test]
async fn a_sequence_of_requests_is_answered_as_the_specification_says() {
    let Some(sequence): Option<Sequence> = vectors("witness_add_checkpoint_sequence.json") else { return };
    let world = world(&sequence.log.vkey, &sequence.log.origin);
    let mut differences = Vec::new();
    for (number, step) in (1..).zip(&sequence.steps) {
        let answer = world.add(step.request_body.clone()).await;
        assert_eq!(answer.status, step.spec_status, "step {number}: {}", answer.text);
        match answer.status {
            200 => assert_cosigned(&world, &step.request_body, &answer),
            409 => assert_eq!(answer.text, step.body_check.1, "step {number}"),
            _ => {}
        }
        if answer.status != step.litewitness_status {
            differences.push((number, step.litewitness_status, answer.status));
        }
    }
    assert_eq!(sequence.steps.len(), 9);
    // Older witnesses answered an unknown log with 403.
    assert_eq!(differences, [(3, 403, 404)]);
}

#[tokio::test]
async fn what_a_tessera_log_sent_to_another_witness_is_cosigned() {
    let Some(capture): Option<Capture> = vectors("witness_wire_capture.json") else { return };
    let log: VerifierKey = capture.log_vkey.parse().expect("a vkey");
    let world = world(&capture.log_vkey, log.name().as_str());
    for exchange in &capture.exchanges {
        let answer = world.post(&exchange.path, exchange.request_body.clone()).await;
        assert_eq!(answer.status, exchange.status, "{}", answer.text);
        assert_eq!(answer.header(axum::http::header::CONTENT_TYPE), exchange.content_type);
        assert_cosigned(&world, &exchange.request_body, &answer);
        // What the other witness answered verifies here, too.
        let note = exchange.request_body.split_once("\n\n").expect("a proof and a note").1;
        let theirs = Note::parse(format!("{note}{}", exchange.response_body).as_bytes()).expect("a note");
        let keys = [log.clone(), capture.witness_vkey.parse().expect("a vkey")];
        assert_eq!(theirs.verify(&keys).expect("good lines").len(), 2);
    }
    assert_eq!(capture.exchanges.len(), 3);
    // The log published this. We cosigned the same tree.
    let last = Note::parse(capture.final_checkpoint.as_bytes()).expect("a note");
    let hash = tlog::Hash::of(log.name().as_str().as_bytes());
    let seen = world.get(&format!("/{hash}/checkpoint")).await;
    assert_eq!(Note::parse(seen.text.as_bytes()).expect("a note").text(), last.text());
}
