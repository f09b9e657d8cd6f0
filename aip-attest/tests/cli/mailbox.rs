//! Messages: sent, fetched, judged and shown, by a relay that does what real ones and bad ones do.

use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use attestation::Did;
use attestation::did::from_did_key;
use attestation::entry::LogTime;
use attestation::message::{
    Content, Message, MessageId, MessageKey, MessagePrivateKey, Sealed, SignedMessage,
};
use serde_json::{Value, json};
use tlog::encoding::{base64, decode_base64};
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

use crate::log::Log;
use crate::world::{ORIGIN, OTHER_PROGRAM, Ran, SIGNER_SEED, World, did};

/// Somebody with an identity in a file, and the policy of the log beside.
struct Person {
    world: World,
    did: Did,
    key: Ed25519PublicKey,
}

impl Person {
    fn new(log: &Log) -> Self {
        let world = World::new();
        world.run(&["init"]).expect(0, &[]);
        let json = world.run(&["whoami", "--offline", "--json"]).json();
        let key = from_did_key(json["didKey"].as_str().expect("a did:key")).expect("a key");
        log.mail(|mail| mail.known.push(key));
        Self { world: with_policy(world, log), did: Did::of(&key), key }
    }

    fn inbox(&self, arguments: &[&str]) -> Ran {
        self.world.run_as(OTHER_PROGRAM, &[&["inbox"], arguments].concat())
    }

    fn messages(&self, arguments: &[&str]) -> Vec<Value> {
        let json = self.inbox(&[arguments, &["--json"]].concat()).json();
        json["messages"].as_array().expect("messages").clone()
    }
}

/// A log without a witness, so that an answer from this machine is young enough, and the policy that believes it.
fn log() -> Log {
    let log = Log::start();
    log.ask_no_witness();
    log.mail(|mail| mail.known.push(Ed25519PrivateKey::from_seed(&SIGNER_SEED).public_key()));
    log
}

fn with_policy(world: World, log: &Log) -> World {
    world.file("policy", log.policy().as_bytes());
    let policy = world.path("policy");
    world.env("AIP_POLICY", policy.to_str().expect("UTF-8")).env("AIP_LOG_URL", &log.url())
}

/// A pipeline, whose key is in the environment alone.
fn pipeline(log: &Log) -> World {
    with_policy(World::with_key(), log)
}

fn message(world: &World, arguments: &[&str]) -> Ran {
    world.run_as(OTHER_PROGRAM, &[&["message"], arguments].concat())
}

fn text_of(did: Did) -> String {
    did.to_string()
}

/// A message of the pipeline, sealed to a person's identity key, which `change` made another one.
fn sealed(to: &Person, change: impl FnOnce(&mut Message)) -> Sealed {
    sealed_by(to, &SIGNER_SEED, change)
}

/// The same of whoever has this seed.
fn sealed_by(to: &Person, seed: &[u8; 32], change: impl FnOnce(&mut Message)) -> Sealed {
    sealed_for(to, &MessageKey::of_identity(&to.key), seed, change)
}

/// Sealed to this key of the recipient.
fn sealed_for(
    to: &Person,
    for_key: &MessageKey,
    seed: &[u8; 32],
    change: impl FnOnce(&mut Message),
) -> Sealed {
    let now = LogTime::from_millis(now()).expect("a time");
    let mut message = Message {
        artifacts: Vec::new(),
        attachments: Vec::new(),
        body: "the text".into(),
        content_type: "text/plain".into(),
        created: now,
        expires: LogTime::from_millis(now.as_millis() + 60_000).expect("a time"),
        id: MessageId::from_bytes([7; 16]),
        in_reply_to: None,
        origin: ORIGIN.into(),
        recipients: vec![to.did],
        sender: did(),
    };
    change(&mut message);
    let (key, id) = (Ed25519PrivateKey::from_seed(seed), message.id);
    let signed = SignedMessage::sign(message, &key).expect("a message");
    let mut rng = Rng(id.as_bytes()[0]);
    signed.seal(to.did, for_key, &mut rng).expect("sealed")
}

/// Not random: a message that is sealed twice is the same.
struct Rng(u8);

impl rand_core::TryRng for Rng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.into())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.into())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(self.0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Rng {}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("a time")
}

/// Puts a message of the pipeline into a person's mailbox, as the relay has it.
fn deliver(log: &Log, sealed: &Sealed) {
    deliver_as(log, sealed.to_base64(), sealed, did());
}

fn deliver_as(log: &Log, text: String, like: &Sealed, sender: Did) {
    let now = LogTime::from_millis(now()).expect("a time");
    log.mail(|mail| mail.put(text, like, sender, now, now));
}

/// Waits for what has to happen.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_message_goes_to_its_recipient_and_the_answer_back() {
    let log = log();
    let (alice, bob) = (pipeline(&log), Person::new(&log));
    let sent = message(&alice, &[&text_of(bob.did), "Build 3f1c2a9 complete. Artifacts signed."]);
    sent.expect(0, &["stored", "identity key", "has no message key"]);
    let sent = log.mail(|mail| mail.messages.clone());
    let Content::Sealed(text) = &sent[0].content else { panic!("sealed") };
    assert!(!String::from_utf8_lossy(&decode_base64(text).expect("base64")).contains("Build"));

    let read = bob.inbox(&[]);
    read.expect(0, &["  | Build 3f1c2a9 complete. Artifacts signed.\n", "not registered"]);
    read.expect(0, &[&format!("from      {}  not registered", did())]);
    let got = &bob.messages(&[])[0];
    assert_eq!((got["verdict"].as_str(), got["replay"].as_str()), (Some("accepted"), Some("seen")));
    assert_eq!(got["body"], "Build 3f1c2a9 complete. Artifacts signed.");
    assert_eq!((got["keyKind"].as_str(), got["registered"].as_bool()), (Some("identity"), Some(false)));
    let id = got["id"].as_str().expect("an id").to_owned();

    // In the other direction, by the first digits.
    let reply = ["reply", &id[..8], "Deployed.", "--json"];
    let answer = bob.world.run_as(OTHER_PROGRAM, &reply);
    answer.expect(0, &["\"stored\""]);
    let elsewhere = "0".repeat(32);
    let waiting = |id: &str| alice.run_as(OTHER_PROGRAM, &["inbox", "--in-reply-to", id, "--json"]);
    assert_eq!(waiting(&elsewhere).json()["messages"], serde_json::json!([]));
    let got = &waiting(&id).json()["messages"][0];
    assert_eq!((got["body"].as_str(), got["inReplyTo"].as_str()), (Some("Deployed."), Some(id.as_str())));
    assert_eq!(got["replay"], "not-checked", "a key from the environment alone has no place to keep it");
    assert_eq!(got["id"], answer.json()["id"]);

    // Deleted is gone, and nobody finds it to answer.
    bob.inbox(&["--ack"]).expect(0, &["  | Build"]);
    bob.inbox(&[]).expect(0, &["note: no message"]);
    bob.world.run_as(OTHER_PROGRAM, &reply).expect(2, &["no message", "--in-reply-to"]);
    // The pipeline's own still waits.
    assert_eq!(log.mail(|mail| mail.messages.len()), 1);
    let alias = alice.run_as(OTHER_PROGRAM, &["messages", "--ack"]);
    alias.expect(0, &["  | Deployed."]);
    assert_eq!(log.mail(|mail| mail.messages.len()), 0);
}

/// As the shell gives it where the variable is not set; the pipe at standard input never ends.
#[test]
fn without_a_recipient_nothing_is_sent_and_nothing_is_read() {
    let log = log();
    let world = pipeline(&log);
    for arguments in [&["Build 3f1c2a9 complete."][..], &["-"], &["", "text"], &["", "-"], &["s3cret", "-"]] {
        let mut command = world.command(OTHER_PROGRAM);
        command.arg("message").args(arguments).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let held = child.stdin.take();
        until("it ends, and does not read", || child.try_wait().expect("a child").is_some());
        let ran = Ran::of(child.wait_with_output().expect("it ended"));
        ran.expect(2, &["recipient", "PARTNER_DID", "--to DID"]);
        assert!(!ran.stderr.contains("s3cret"), "it may be a key: {ran:#?}");
        drop(held);
    }
    message(&world, &[&text_of(did())]).expect(2, &["there is no text"]);
    assert_eq!(log.paths(), [""; 0], "nobody was asked");
    // Without a log.
    let world = World::with_key();
    message(&world, &[&text_of(did()), "x"]).expect(2, &["no log is named"]);
}

#[test]
fn flags_of_python_say_what_takes_their_place() {
    let log = log();
    let world = pipeline(&log);
    for flag in ["--mark-read", "--no-decrypt"] {
        let ran = world.run_as(OTHER_PROGRAM, &["messages", flag, "--json"]);
        ran.expect(2, &[&format!("`{flag}` is a flag of Python aip"), "--ack", "--unread"]);
        assert_eq!(ran.json()["schema"], "aip.error.v1");
    }
    assert!(!world.run(&["inbox", "--help"]).stdout.contains("mark-read"));
    world.run(&["inbox", "--unread"]).expect(2, &["--state DIR"]);
}

#[test]
fn text_of_others_stays_text() {
    let log = log();
    let bob = Person::new(&log);
    let body = "::add-mask::secret\n  ::set-env name=PATH::/tmp\n##[set-env name=A]b\n###[error]x\u{1b}[31mred\u{7}\r\n\
                \u{202e}gpj.exe\u{0}\n\u{85}::error::c1\u{2028}::warning::separator\ntab\tend";
    let hostile = sealed(&bob, |message| {
        message.body = body.into();
        message.artifacts.push(attestation::message::Artifact {
            entry: None,
            name: "::error::##[error]".into(),
            sha256: tlog::Hash::of(b"x"),
        });
        message.attachments.push(attestation::message::Attachment {
            content: b"::error::x".to_vec(),
            content_type: "text/plain".into(),
            name: "##[error]x\u{202e}".into(),
        });
    });
    deliver(&log, &hostile);
    for arguments in [&[][..], &["--json"], &["--save", "mail"]] {
        let ran = bob.inbox(arguments);
        ran.expect(0, &["add-mask"]);
        let printed = format!("{}{}", ran.stdout, ran.stderr);
        for line in printed.split(['\n', '\r']) {
            assert!(!line.trim_start().starts_with("::"), "a command: {line}");
            assert!(!line.contains("##["), "a command: {line}");
        }
        assert!(printed.chars().all(|c| c == '\n' || !c.is_control()), "{printed}");
        assert!(!printed.contains(['\u{202e}', '\u{2028}']), "{printed}");
    }
    let ran = bob.inbox(&[]);
    ran.expect(
        0,
        &["  | ::add-mask::secret\n", "  | ##\\u{5b}set-env name=A]b\n", "\\u{1b}[31mred", "\\u{0}"],
    );
    assert_eq!(bob.messages(&[])[0]["body"], body, "programs get the same text");
}

#[test]
fn a_message_is_new_once() {
    let log = log();
    let bob = Person::new(&log);
    deliver(&log, &sealed(&bob, |_| {}));
    let wait = ["--wait", "1s"];
    let first = bob.inbox(&wait);
    first.expect(0, &["  | the text"]);
    assert!(!first.stdout.contains("shown before"));
    assert!(bob.world.files().contains(&".aip/seen-messages".to_owned()));
    // It waits still, and is called so; whoever waits for a new one is not given it.
    bob.inbox(&[]).expect(0, &["  | the text", "shown before"]);
    bob.inbox(&["--unread"]).expect(0, &["note: no message"]);
    let again = bob.inbox(&wait);
    again.expect(1, &["replay: it was accepted before"]);
    assert!(!again.stdout.contains("the text"), "{again:#?}");
    assert_eq!(log.mail(|mail| mail.messages.len()), 1);
    // Elsewhere nobody saw it. A damaged store shows nothing.
    bob.inbox(&["--wait", "1s", "--state", "elsewhere"]).expect(0, &["  | the text"]);
    bob.world.file("elsewhere/seen-messages", b"damaged");
    let ran = bob.inbox(&["--state", "elsewhere"]);
    ran.expect(2, &["the file is damaged"]);
    assert!(!ran.stdout.contains("the text"));
    bob.inbox(&["--ack"]).expect(0, &["  | the text"]);
    assert!(log.mail(|mail| mail.messages.is_empty()));
}

#[test]
fn of_what_is_refused_nothing_is_shown_and_nothing_deleted() {
    let log = log();
    let (bob, carol) = (Person::new(&log), Person::new(&log));
    let good = sealed(&bob, |_| {});
    let flipped = |at: usize| {
        let mut bytes = good.as_bytes().to_vec();
        bytes[at] ^= 1;
        base64(&bytes)
    };
    let later = |millis: u64| LogTime::from_millis(now() + millis).expect("a time");
    let future =
        sealed(&bob, |message| (message.created, message.expires) = (later(400_000), later(500_000)));
    let past = sealed(&bob, |message| {
        (message.created, message.expires) =
            (LogTime::from_millis(1).expect("1"), LogTime::from_millis(2).expect("2"));
    });
    let elsewhere = sealed(&bob, |message| message.origin = "other.example.com/log".into());
    for (text, like, sender, rule) in [
        (flipped(0), &good, did(), "form"),
        (flipped(5), &good, did(), "suite"),
        (flipped(22), &good, did(), "recipient-key"),
        (flipped(100), &good, did(), "decryption"),
        (flipped(38), &good, did(), "decryption"),
        (good.to_base64(), &good, carol.did, "sender-differs"),
        (elsewhere.to_base64(), &elsewhere, did(), "origin"),
        (future.to_base64(), &future, did(), "created"),
        (past.to_base64(), &past, did(), "expired"),
    ] {
        log.mail(|mail| mail.messages.clear());
        deliver_as(&log, text, like, sender);
        for (arguments, code) in [(&["--ack"][..], 0), (&["--ack", "--wait", "1s"], 1)] {
            let ran = bob.inbox(arguments);
            ran.expect(code, &[&format!("{rule}:"), "refused"]);
            assert!(!ran.stdout.contains("the text"), "{rule}: {ran:#?}");
        }
        let got = &bob.messages(&[])[0];
        assert_eq!((got["verdict"].as_str(), got["reason"].as_str()), (Some("refused"), Some(rule)));
        assert!(got["body"].is_null() && got["attachments"] == serde_json::json!([]), "{got:#}");
        assert_eq!(log.mail(|mail| mail.messages.len()), 1, "{rule}: it stays");
        // Unless the owner says otherwise; a copy for another device is not his to delete here.
        bob.inbox(&["--ack", "--refused"]).expect(0, &["refused"]);
        assert_eq!(log.mail(|mail| mail.messages.len()), usize::from(rule == "recipient-key"), "{rule}");
    }
    // A filter does not see it.
    bob.inbox(&["--from", &text_of(carol.did)]).expect(0, &["no message"]);
    log.mail(|mail| mail.messages.clear());
    deliver(&log, &good);
    bob.inbox(&["--registered-only", "--wait", "1s"]).expect(1, &["not-registered:"]);
    bob.inbox(&["--registered-only", "--from", &text_of(carol.did), "--wait", "1s"])
        .expect(2, &["no message"]);
}

/// Nobody but the log says which log it is: who sends is warned, and who decides by what comes is refused.
#[test]
fn a_log_by_its_own_word_carries_a_message_and_judges_none() {
    let log = log();
    let bob = Person::new(&log);
    let alice = World::with_key().env("AIP_LOG_URL", &log.url());
    message(&alice, &[&text_of(bob.did), "x"]).expect(0, &["stored", "is not pinned"]);
    let ran = alice.run_as(OTHER_PROGRAM, &["inbox"]);
    ran.expect(2, &["nobody but the log itself says which log it is", "policy pin"]);
    // As a gate: a checkpoint whose age nobody attests is no limit's.
    bob.inbox(&["--max-age", "1h"]).expect(2, &["unable", "nobody attests how old the evidence is"]);
    assert_eq!(bob.messages(&["--max-age", "1h"])[0]["verdict"], "unable");
    bob.inbox(&["--max-age", "none"]).expect(0, &["  | x"]);
}

#[test]
fn a_clock_is_corrected_once() {
    let log = log();
    let (alice, bob) = (pipeline(&log), Person::new(&log));
    log.mail(|mail| mail.ahead = -3_600_000);
    let sent = message(&alice, &[&text_of(bob.did), "x"]);
    sent.expect(0, &["stored", "this machine's clock is 3600 s ahead of the relay's"]);
    assert_eq!(log.mail(|mail| mail.asked.clone()), ["send", "send"]);
    // What was dated by the wrong clock was written anew: it ends seven days after the relay's time.
    let expires = log.mail(|mail| mail.messages[0].expires.as_millis());
    assert!(expires <= now() - 3_600_000 + 7 * 86_400_000, "{expires}");
    bob.inbox(&["--ack"]).expect(0, &["  | x", "3600 s ahead of"]);
    assert_eq!(log.mail(|mail| mail.asked.split_off(2)), ["list", "list", "acknowledge"]);
}

#[test]
fn what_the_relay_refuses_is_said_and_every_copy_is_tried() {
    let log = log();
    let (alice, bob, carol) = (pipeline(&log), Person::new(&log), Person::new(&log));
    let nobody = "did:aip:00000000000000000000000000000000";
    let group = ["--to", &text_of(bob.did), "--to", nobody, "--to", &text_of(carol.did), "to all", "--json"];
    let sent = message(&alice, &group);
    sent.expect(1, &["no-did: the log", "--recipient-key"]);
    let copies = sent.json()["sent"].as_array().expect("copies").clone();
    let status =
        |did: &str| copies.iter().find(|copy| copy["recipient"] == did).expect("a copy")["status"].clone();
    assert_eq!(
        [status(nobody), status(&text_of(bob.did)), status(&text_of(carol.did))],
        ["refused", "stored", "stored"]
    );
    let all = bob.messages(&[])[0]["recipients"].as_array().expect("the group").len();
    assert_eq!(all, 3);
    let id = sent.json()["id"].as_str().expect("an id").to_owned();
    let answer = carol.world.run_as(OTHER_PROGRAM, &["reply", &id, "--all", "seen", "--json"]);
    let to: Vec<Value> = answer.json()["sent"]
        .as_array()
        .expect("copies")
        .iter()
        .map(|copy| copy["recipient"].clone())
        .collect();
    assert!(
        to.contains(&text_of(did()).into()) && to.contains(&text_of(bob.did).into()) && to.len() == 3,
        "{to:?}"
    );

    for (status, rule, code) in [(403, "sender-refused", 1), (422, "recipient-state", 1), (500, "", 2)] {
        log.mail(|mail| mail.refuses = Some((status, rule)));
        let ran = message(&alice, &[&text_of(bob.did), "x", "--timeout", "1s"]);
        ran.expect(code, &[rule]);
        assert!(!ran.stderr.contains("##["), "{ran:#?}");
    }
    let ran = message(&alice, &["--to", nobody, "x", "--json"]);
    assert!(
        ran.code == 1
            && ran.json()["sent"][0]["error"]["message"].as_str().is_some_and(|text| text.contains("no-did"))
    );
}

#[test]
fn a_sealed_message_is_also_a_file() {
    let log = log();
    let (alice, bob) = (pipeline(&log), Person::new(&log));
    alice.file("notes.txt", b"attached");
    let key = attestation::did::to_did_key(&bob.key);
    let out = bob.world.path("mail.bin");
    let (out, to) = (out.to_str().expect("UTF-8"), text_of(bob.did));
    let with_key = ["--recipient-key", &key, "--out", out];
    message(&alice, &[&["--to", &to, "by hand", "--attach", "notes.txt"], &with_key[..]].concat())
        .expect(0, &["written"]);
    assert!(log.mail(|mail| mail.asked.is_empty()));
    bob.inbox(&["--open", "mail.bin", "--save", "files"]).expect(0, &["  | by hand", "attached  notes.txt"]);
    let id = bob.messages(&["--open", "mail.bin"])[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(bob.world.read(&format!("files/{id}/notes.txt")), "attached");
    // Over it nothing is written.
    bob.world.file(&format!("files/{id}/notes.txt"), b"mine");
    bob.inbox(&["--open", "mail.bin", "--save", "files"]).expect(2, &["is there already"]);
    assert_eq!(bob.world.read(&format!("files/{id}/notes.txt")), "mine");

    message(&alice, &[&["--to", &text_of(did()), "x"], &with_key[..]].concat())
        .expect(1, &["is not the DID's"]);
    message(&alice, &["--to", &to, "x", "--recipient-key", &key]).expect(2, &["--out"]);
    bob.world.file("bad.bin", b"AIPM2");
    bob.inbox(&["--open", "bad.bin"]).expect(1, &["form"]);
    bob.inbox(&["--open", "missing.bin"]).expect(2, &["cannot open"]);
    alice.file("mail.bin", &std::fs::read(out).expect("the file"));
    alice.run_as(OTHER_PROGRAM, &["inbox", "--open", "mail.bin"]).expect(1, &["recipient: it is sealed for"]);
}

/// Whoever deletes what was shown must know that it was.
#[cfg(target_os = "linux")]
#[test]
fn what_nobody_could_read_stays_at_the_relay() {
    let log = log();
    let bob = Person::new(&log);
    deliver(
        &log,
        &sealed(&bob, |message| {
            message.attachments.push(attestation::message::Attachment {
                content: b"x".to_vec(),
                content_type: "text/plain".into(),
                name: "a".into(),
            })
        }),
    );
    let full = std::fs::File::options().write(true).open("/dev/full").expect("the device");
    let (reader, closed) = std::io::pipe().expect("a pipe");
    drop(reader);
    for stdout in [Stdio::from(full), Stdio::from(closed)] {
        let mut command = bob.world.command(OTHER_PROGRAM);
        command.args(["inbox", "--ack"]).stdout(stdout).stderr(Stdio::piped());
        let output = command.spawn().and_then(std::process::Child::wait_with_output).expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("nothing was deleted"), "{output:?}");
        assert_eq!(log.mail(|mail| mail.messages.len()), 1);
    }
    bob.world.file("mail", b"no folder");
    // Nor does it keep others there.
    let other = sealed(&bob, |message| message.id = MessageId::from_bytes([8; 16]));
    deliver(&log, &other);
    let ran = bob.inbox(&["--ack", "--save", "mail"]);
    ran.expect(2, &["cannot make the folder", "not saved stays at the relay"]);
    let left = log.mail(|mail| mail.messages.iter().map(|waiting| waiting.id).collect::<Vec<_>>());
    assert!(left.len() == 1 && left[0] != other.id(), "{left:?}");
}

/// A relay that shows a message twice, or on two pages the copies for two keys that are here.
#[test]
fn copies_of_a_message_are_one_wherever_they_come() {
    let log = log();
    let bob = Person::new(&log);
    let alice = pipeline(&log);
    for id in 0..=100 {
        deliver(&log, &sealed(&bob, |message| message.id = MessageId::from_bytes([id; 16])));
    }
    deliver(&log, &sealed(&bob, |message| message.id = MessageId::from_bytes([0; 16])));
    assert_eq!(bob.messages(&[]).len(), 101, "the last came on the first page, too");
    log.mail(|mail| mail.messages.retain(|waiting| waiting.number == 1 || waiting.number > 100));
    assert_eq!(bob.messages(&["--limit", "3"]).len(), 2);
    // Without a place that keeps what was shown, too.
    let key = Ed25519PrivateKey::from_seed(&SIGNER_SEED).public_key();
    let pipeline = Person { world: alice, did: did(), key };
    log.mail(|mail| mail.messages.clear());
    for _ in 0..2 {
        deliver(&log, &sealed(&pipeline, |_| {}));
    }
    assert_eq!(pipeline.messages(&["--limit", "5"]).len(), 1);
}

/// An id is its sender's choice: another's could get the answer that is meant for one.
#[test]
fn an_answer_goes_to_nobody_where_two_sent_the_same_id() {
    let log = log();
    let bob = Person::new(&log);
    deliver(&log, &sealed(&bob, |_| {}));
    let reply = |id| bob.world.run_as(OTHER_PROGRAM, &["reply", id, "a secret"]);
    reply("07070707").expect(0, &["stored"]);
    let mallory = Ed25519PrivateKey::from_seed(&[0x66; 32]).public_key();
    log.mail(|mail| mail.known.push(mallory));
    let mallory = Did::of(&mallory);
    let second = sealed_by(&bob, &[0x66; 32], |message| message.sender = mallory);
    deliver_as(&log, second.to_base64(), &second, mallory);
    reply("07070707").expect(2, &["messages of several senders have this id", &text_of(mallory)]);
}

#[test]
fn a_wait_ends_with_the_message_or_with_the_time() {
    let log = log();
    let (alice, bob) = (pipeline(&log), Person::new(&log));
    let begun = Instant::now();
    bob.inbox(&["--wait", "2s"]).expect(2, &["waiting for a message", "no message"]);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    // A stranger's does not end it.
    deliver(&log, &sealed(&bob, |_| {}));
    bob.inbox(&["--wait", "1s", "--from", "did:aip:00000000000000000000000000000000"])
        .expect(2, &["no message"]);
    log.mail(|mail| mail.messages.clear());
    let mut command = bob.world.command(OTHER_PROGRAM);
    command.args(["inbox", "--wait", "60s", "--ack"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waiting = command.spawn().expect("it runs");
    let lists = || log.mail(|mail| mail.asked.iter().filter(|action| **action == "list").count());
    let before = lists();
    until("it asks for the list", || lists() > before);
    message(&alice, &[&text_of(bob.did), "now"]).expect(0, &[]);
    let ran = Ran::of(waiting.wait_with_output().expect("it ended"));
    ran.expect(0, &["  | now"]);
    assert!(log.mail(|mail| mail.messages.is_empty()));
}

/// A timer may rotate the message key while a job waits.
#[test]
fn who_waits_opens_what_is_sealed_to_a_key_that_was_made_meanwhile() {
    let log = log();
    let bob = Person::new(&log);
    let mut command = bob.world.command(OTHER_PROGRAM);
    command.args(["inbox", "--wait", "60s"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waiting = command.spawn().expect("it runs");
    until("it asks for the list", || log.mail(|mail| mail.asked.contains(&"list")));
    let key = MessagePrivateKey::from_bytes(&[9; 32]);
    let file = json!({"format": "aip-message-keys-v1", "did": text_of(bob.did), "keys": [
        {"private_key": base64(&*key.to_bytes()), "origin": ORIGIN, "notAfter": now() + 60_000},
    ]});
    bob.world.file(".aip/message-keys.json", file.to_string().as_bytes());
    deliver(&log, &sealed_for(&bob, key.public_key(), &SIGNER_SEED, |_| {}));
    let ran = Ran::of(waiting.wait_with_output().expect("it ended"));
    ran.expect(0, &["  | the text"]);
}

#[test]
fn only_so_many_are_shown() {
    let log = log();
    let bob = Person::new(&log);
    for id in 1..=3 {
        deliver(
            &log,
            &sealed(&bob, |message| {
                message.id = MessageId::from_bytes([id; 16]);
                message.body = format!("number {id}");
            }),
        );
    }
    let ran = bob.inbox(&["--limit", "2", "--ack"]);
    ran.expect(0, &["number 1", "number 2"]);
    assert!(!ran.stdout.contains("number 3"));
    bob.inbox(&["--unread"]).expect(0, &["number 3"]);
}

#[test]
fn a_text_is_utf_8_and_short() {
    let log = log();
    let (alice, bob) = (pipeline(&log), Person::new(&log));
    let pipe = |bytes: &[u8]| {
        let mut command = alice.command(OTHER_PROGRAM);
        command.args(["message", &text_of(bob.did), "-"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // Who refuses may have hung up.
        let _ = stdin.write_all(bytes);
        drop(stdin);
        Ran::of(child.wait_with_output().expect("it ended"))
    };
    pipe("günstig\n".as_bytes()).expect(0, &["stored"]);
    assert_eq!(bob.messages(&["--ack"])[0]["body"], "günstig\n");
    pipe(b"\xff").expect(2, &["not UTF-8", "--attach"]);
    pipe(&vec![b'x'; 65_537]).expect(2, &["at most 65536 bytes"]);
    pipe(&vec![b'x'; 65_536]).expect(0, &["stored"]);
    alice.file("large", &vec![0; 60_000]);
    let ran = message(&alice, &[&text_of(bob.did), &"x".repeat(60_000), "--attach", "large"]);
    ran.expect(2, &["98236"]);
}

/// A relay that never comes to an end, or would have a request for another day.
#[test]
fn a_relay_that_lies_of_its_list_or_its_clock_is_not_followed() {
    let log = log();
    let bob = Person::new(&log);
    deliver(&log, &sealed(&bob, |_| {}));
    log.mail(|mail| mail.repeats = true);
    for arguments in [&[][..], &["--limit", "5"]] {
        let begun = Instant::now();
        bob.inbox(arguments).expect(2, &["is malformed", "not in the order of their numbers"]);
        assert!(begun.elapsed() < Duration::from_secs(20), "{arguments:?}");
    }
    let reply = ["reply", "07070707", "x", "--timeout", "5s"];
    bob.world.run_as(OTHER_PROGRAM, &reply).expect(2, &["is malformed"]);
    // What came before it broke off was marked as shown, and is.
    bob.inbox(&["--unread", "--state", "fresh"]).expect(2, &["is malformed", "  | the text"]);
    bob.inbox(&["--wait", "30s", "--from", "did:aip:00000000000000000000000000000000"])
        .expect(2, &["is malformed"]);
    log.mail(|mail| (mail.repeats, mail.ahead) = (false, 25 * 3_600_000));
    bob.inbox(&[]).expect(2, &["more than a day apart", "set the clock"]);
    log.mail(|mail| mail.ahead = 23 * 3_600_000);
    bob.inbox(&["--state", "s"]).expect(0, &["  | the text"]);
}

/// The log asks of `send` alone who may: the token goes nowhere else.
#[test]
fn a_token_goes_along_to_send_and_to_nothing_else() {
    let log = log();
    let bob = Person::new(&log);
    let alice = pipeline(&log).env("AIP_LOG_TOKEN", "s3cret");
    message(&alice, &[&text_of(did()), "to myself"]).expect(0, &["stored"]);
    alice.run_as(OTHER_PROGRAM, &["inbox", "--ack"]).expect(0, &["  | to myself"]);
    message(&alice, &[&text_of(bob.did), "x"]).expect(0, &["stored"]);
    let heads = log.heads();
    let has_token = |head: &&String| head.to_lowercase().contains("authorization: bearer s3cret");
    let sends = heads.iter().filter(|head| head.starts_with("POST /api/v1/messages "));
    assert_eq!((sends.clone().count(), sends.filter(has_token).count()), (2, 2), "{heads:#?}");
    assert_eq!(heads.iter().filter(has_token).count(), 2, "{heads:#?}");
}
