//! Mail of Python `aip`: sent only where somebody asks for it, and counting for nothing that something is decided by.

use attestation::Did;
use attestation::did::from_did_key;
use attestation::entry::LogTime;
use attestation::message::{EnvelopeId, LegacyCircumstances, LegacyContent, LegacyMail, MessagePrivateKey};
use serde_json::{Value, json};
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

use crate::log::Log;
use crate::world::{OTHER_PROGRAM, Ran, SIGNER_SEED, World, did};

/// Somebody who stayed with Python.
fn python() -> Ed25519PrivateKey {
    Ed25519PrivateKey::from_seed(&[9; 32])
}

fn python_did() -> Did {
    Did::of(&python().public_key())
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}

fn time(millis: u64) -> LogTime {
    LogTime::from_millis(millis).expect("a time")
}

/// A log that serves the interface of Python, and our pipeline, whose key is in the environment.
fn scene() -> (Log, World) {
    let log = Log::start();
    log.ask_no_witness();
    log.mail(|mail| {
        mail.known.push(Ed25519PrivateKey::from_seed(&SIGNER_SEED).public_key());
        mail.python = Some(vec![python().public_key()]);
    });
    let world = World::with_key();
    world.file("policy", log.policy().as_bytes());
    let policy = world.path("policy");
    let world = world.env("AIP_POLICY", policy.to_str().expect("UTF-8")).env("AIP_LOG_URL", &log.url());
    (log, world)
}

fn aip(world: &World, arguments: &[&str]) -> Ran {
    world.run_as(OTHER_PROGRAM, arguments)
}

fn inbox(world: &World, arguments: &[&str]) -> Vec<Value> {
    let json = aip(world, &[&["inbox", "--json"], arguments].concat()).json();
    json["messages"].as_array().expect("messages").clone()
}

/// Mail of Python for our pipeline, made so long ago; `change` makes it another one.
fn deliver(log: &Log, text: &str, age: u64, change: impl FnOnce(&mut LegacyContent)) {
    let (ours, made) = (Ed25519PrivateKey::from_seed(&SIGNER_SEED).public_key(), time(now() - age));
    let mut rng = Rng;
    let mail = LegacyMail::seal(text, python_did(), &python(), did(), &ours, made, &mut rng).expect("mail");
    let mut content = mail.content().clone();
    change(&mut content);
    let id = EnvelopeId::from_bytes(*mail.replay_key().as_bytes());
    log.mail(|mail| mail.put_legacy(content, id, python_did(), made));
}

/// Not random.
struct Rng;

impl rand_core::TryRng for Rng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(7)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(7)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng {}

#[test]
fn a_text_is_sent_as_python_reads_it_and_only_where_it_is_asked_for() {
    let (log, world) = scene();
    let to = python_did().to_string();
    // Nothing falls back to it.
    aip(&world, &["message", &to, "hello"]).expect(1, &["no-did"]);
    assert_eq!(log.mail(|mail| mail.python_mail.len()), 0);
    aip(&world, &["message", &to, "Build é", "--legacy"]).expect(0, &["stored", "as mail of Python aip"]);
    let sent = log.mail(|mail| mail.python_mail.clone());
    assert_eq!((&sent[0]["sender_did"], &sent[0]["recipient_did"]), (&json!(did()), &json!(to)));
    let content: LegacyContent = serde_json::from_value(sent[0].clone()).expect("what Python takes");
    let mail = LegacyMail::parse(did(), python_did(), content).expect("the form");
    let (key, sender) =
        (MessagePrivateKey::of_identity(&python()), Ed25519PrivateKey::from_seed(&SIGNER_SEED).public_key());
    let circumstances = LegacyCircumstances {
        did: python_did(),
        key: &key,
        received_at: time(now()),
        sender_key: &sender,
        seen: false,
    };
    assert_eq!(mail.open(&circumstances).as_deref(), Ok("Build é"));
    let json = aip(&world, &["message", &to, "again", "--legacy", "--json"]).json();
    assert_eq!((&json["legacy"], &json["sent"][0]["status"]), (&json!(true), &json!("stored")));
}

#[test]
fn what_python_cannot_get_is_refused() {
    let (log, world) = scene();
    let to = python_did().to_string();
    for flags in [["--to", &did().to_string()], ["--attach", "policy"], ["--expires", "1d"], ["--out", "x"]] {
        aip(&world, &[&["message", &to, "x", "--legacy"], &flags[..]].concat()).expect(2, &[]);
    }
    aip(&world, &["message", &to, &"x".repeat(65_537), "--legacy"]).expect(2, &["this one has 65537"]);
    let nobody = Did::of(&Ed25519PrivateKey::from_seed(&[8; 32]).public_key()).to_string();
    aip(&world, &["message", &nobody, "x", "--legacy"]).expect(1, &["no-did"]);
    assert_eq!(log.mail(|mail| mail.python_mail.len()), 0);
    log.mail(|mail| mail.refuses = Some((400, "x")));
    let refused = aip(&world, &["message", &to, "x", "--legacy"]);
    refused.expect(1, &["the log does not take the message", "not registered"]);
    assert!(!refused.stderr.contains("##["), "{refused:#?}");
    log.mail(|mail| mail.python = None);
    aip(&world, &["message", &did().to_string(), "x", "--legacy"]).expect(1, &["--aip-v1"]);
}

#[test]
fn mail_of_python_is_shown_as_what_it_is() {
    let (log, world) = scene();
    deliver(&log, "build 17\n::add-mask::x", 0, |_| {});
    let state = world.path("state");
    let state = ["--state", state.to_str().expect("UTF-8")];
    let shown = aip(&world, &["inbox"]);
    shown.expect(
        0,
        &["Python aip: its sender is not proven to know the text", "  | build 17", "  | ::add-mask::x"],
    );
    let one = &inbox(&world, &state)[0];
    assert_eq!(
        (&one["legacy"], &one["verdict"], &one["registered"]),
        (&json!(true), &json!("accepted"), &json!(false))
    );
    assert_eq!(
        (&one["sender"], &one["replay"], &one["keyKind"]),
        (&json!(python_did()), &json!("new"), &json!("identity"))
    );
    assert_eq!(inbox(&world, &state)[0]["replay"], "seen");
    assert!(inbox(&world, &[&state[..], &["--unread"]].concat()).is_empty());
    // It waits for nobody who saw it, proves no file, and answers nothing.
    world.file("app", b"app");
    for (flags, reason) in
        [(&["--artifact", "app"][..], "artifact-listed"), (&["--registered-only"], "not-registered")]
    {
        assert_eq!(inbox(&world, flags)[0]["reason"], reason);
    }
    aip(&world, &["inbox", "--wait", "1s", "--registered-only"]).expect(1, &["not-registered"]);
    assert!(inbox(&world, &["--in-reply-to", &"0".repeat(32)]).is_empty());
    let id = one["id"].as_str().expect("an id");
    aip(&world, &["reply", &id[..8], "thanks"]).expect(2, &["is mail of Python aip", "--legacy"]);
    aip(&world, &["inbox", "--ack"]).expect(0, &[]);
    assert!(inbox(&world, &[]).is_empty());
}

#[test]
fn each_check_refuses_alone() {
    let day = 24 * 3_600 * 1_000;
    let flip = |text: &mut String| {
        let mut bytes = tlog::encoding::decode_base64(text).expect("base64");
        bytes[40] ^= 1;
        *text = tlog::encoding::base64(&bytes);
    };
    type Change = Box<dyn Fn(&mut LegacyContent)>;
    let cases: [(&str, u64, Change); 7] = [
        ("legacy-form", 0, Box::new(|mail| mail.signature.push('\n'))),
        ("legacy-form", 0, Box::new(|mail| mail.encrypted_content = "AAAA".into())),
        ("legacy-time", 0, Box::new(|mail| mail.timestamp = None)),
        ("legacy-time", 0, Box::new(|mail| mail.timestamp = Some("2026-11-30T22:00:00".into()))),
        // The relay shows what it had to delete.
        ("legacy-time", 7 * day, Box::new(|_| {})),
        ("legacy-signature", 0, Box::new(move |mail| flip(&mut mail.encrypted_content))),
        ("legacy-signature", 0, Box::new(move |mail| flip(&mut mail.signature))),
    ];
    for (rule, age, change) in cases {
        let (log, world) = scene();
        deliver(&log, "the text", age, change);
        let one = &inbox(&world, &[])[0];
        assert_eq!(
            (&one["verdict"], &one["reason"], &one["body"]),
            (&json!("refused"), &json!(rule), &Value::Null)
        );
        assert!(!aip(&world, &["inbox"]).stdout.contains("the text"));
    }
    // Of a sender whose key nobody knows nothing is believed.
    let (log, world) = scene();
    deliver(&log, "the text", 0, |_| {});
    log.mail(|mail| mail.python = Some(Vec::new()));
    assert_eq!(inbox(&world, &[])[0]["verdict"], "unable");
    // And a relay that names another sender than the one who signed is told from it.
    log.mail(|mail| {
        let other: Ed25519PublicKey =
            from_did_key("did:key:z6MkhFwXNFWosLeugvSf4wcL9t3uuRXueGSFTRgSvHhWj5G2").expect("a key");
        mail.python = Some(vec![other]);
        mail.messages[0].sender = Did::of(&other);
    });
    assert_eq!(inbox(&world, &[])[0]["reason"], "legacy-signature");
}
