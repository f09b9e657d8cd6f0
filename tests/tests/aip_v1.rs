//! `log-server --aip-v1`: what clients of Python `aip` find, and what the Python service accepts and this refuses, a test each.
//! `./run interop aip` has the unmodified client against it.

use std::time::{SystemTime, UNIX_EPOCH};

use attestation::Did;
use attestation::message::{LegacyContent, LegacyMail, sign_challenge};
use serde_json::{Value, json};
use testkit::log::Log;
use testkit::someone::Someone;
use tlog::encoding::{base64, decode_base64_array};
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

const HELPS: &str = "vouches, revocations and rotations are signed for one log: install the native `aip`; DID and credentials \
                     file stay";

/// A client of Python, which knows what it sends.
struct Agent {
    key: Ed25519PrivateKey,
    did: Did,
}

impl Agent {
    fn new(number: u8) -> Self {
        let key = Ed25519PrivateKey::from_seed(&[number; 32]);
        Self { did: Did::of(&key.public_key()), key }
    }

    fn registered(number: u8, log: &Log) -> Self {
        let agent = Self::new(number);
        let (status, answer) = post(log, "/register", &agent.registration());
        assert_eq!((status, &answer["did"]), (200, &json!(agent.did)), "{answer}");
        agent
    }

    fn registration(&self) -> Value {
        let public = base64(self.key.public_key().as_bytes());
        json!({"did": self.did, "public_key": public, "platform": "github", "username": "x"})
    }

    fn sign(&self, text: &str) -> String {
        base64(&self.key.sign(text.as_bytes()))
    }

    /// A message with this time in it. To the server any box is one.
    fn message(&self, to: Did, text: u8, timestamp: &str) -> Value {
        let sealed = base64(&[text; 60]);
        let signature = self.sign(&format!("{}|{to}|{timestamp}|{sealed}", self.did));
        json!({"sender_did": self.did, "recipient_did": to, "encrypted_content": sealed, "signature": signature,
               "timestamp": timestamp})
    }

    fn send(&self, log: &Log, to: Did, text: u8) -> (u16, Value) {
        post(log, "/message", &self.message(to, text, &now(0)))
    }

    fn challenge(&self, log: &Log) -> String {
        let (status, answer) = post(log, "/challenge", &json!({"did": self.did}));
        assert_eq!(status, 200, "{answer}");
        answer["challenge"].as_str().expect("text").to_owned()
    }

    /// What a client sends to read its mail with this challenge.
    fn opening(&self, challenge: &str, unread_only: bool) -> Value {
        let signature = sign_challenge(challenge, &self.key).expect("64 hex digits");
        json!({"did": self.did, "challenge": challenge, "signature": base64(&signature), "unread_only": unread_only})
    }

    fn messages(&self, log: &Log, unread_only: bool) -> Vec<Value> {
        let (status, answer) = post(log, "/messages", &self.opening(&self.challenge(log), unread_only));
        assert_eq!(status, 200, "{answer}");
        let messages = answer["messages"].as_array().expect("messages").clone();
        assert_eq!(answer["count"], messages.len());
        messages
    }

    fn of(&self, id: &str, path: &str) -> String {
        let signature = self.sign(id).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        format!("/message/{id}{path}?did={}&signature={signature}", self.did)
    }
}

/// Python's `datetime.now(timezone.utc).isoformat()`, so many seconds from now.
fn now(offset: i64) -> String {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64;
    let micros = micros + offset * 1_000_000;
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "days_from_civil" the other way round.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{rest:06}+00:00")
}

fn post(log: &Log, path: &str, body: &Value) -> (u16, Value) {
    answer(log.http().post(format!("{}{path}", log.url())).json(body))
}

fn patch(log: &Log, path: &str) -> (u16, Value) {
    answer(log.http().patch(format!("{}{path}", log.url())))
}

fn delete(log: &Log, path: &str) -> (u16, Value) {
    answer(log.http().delete(format!("{}{path}", log.url())))
}

/// Each on a connection of its own, as Python sends it: after a refusal before the body is read the log closes it.
fn answer(request: reqwest::blocking::RequestBuilder) -> (u16, Value) {
    let answer = request.header("connection", "close").send().expect("an answer");
    (answer.status().as_u16(), answer.json().expect("JSON"))
}

#[track_caller]
fn refused((status, answer): (u16, Value), want: u16) -> String {
    assert_eq!(status, want, "{answer}");
    assert_eq!(answer.as_object().map(|object| object.len()), Some(1), "{answer}");
    answer["detail"].as_str().expect("a sentence").to_owned()
}

fn size(log: &Log) -> String {
    String::from_utf8(log.bytes("/checkpoint")).expect("text").lines().nth(1).expect("a size").to_owned()
}

fn key(text: &Value) -> Ed25519PublicKey {
    let raw = decode_base64_array(text.as_str().expect("text")).expect("base64");
    Ed25519PublicKey::from_bytes(&raw).expect("a key")
}

#[test]
fn it_is_off_by_default_and_a_line_in_log_toml_turns_it_on() {
    let mut log = Log::start(&[]);
    assert_eq!(post(&log, "/register", &Agent::new(1).registration()).0, 404);
    assert!(!log.dir().join("aip-v1").exists());
    log.stop();
    let file = log.dir().join("log.toml");
    let text = std::fs::read_to_string(&file).expect("log.toml");
    let with = match text.contains("[settings]") {
        true => text.replace("[settings]", "[settings]\naip-v1 = true"),
        false => format!("{text}\n[settings]\naip-v1 = true\n"),
    };
    std::fs::write(&file, with).expect("written");
    log.serve(&[]);
    Agent::registered(1, &log);
}

#[test]
fn a_registration_is_a_did_and_its_key_and_nothing_is_logged() {
    let mut log = Log::start(&["--aip-v1"]);
    let before = size(&log);
    let alice = Agent::registered(1, &log);
    let (_, again) = post(&log, "/register", &alice.registration());
    assert_eq!(again["message"], "Already registered");
    let (status, found) = log.json(&format!("/lookup/{}", alice.did));
    assert_eq!((status, key(&found["public_key"])), (200, alice.key.public_key()));
    assert_eq!(found.get("platform"), None, "no names");
    let unknown = Agent::new(2).did;
    for path in ["/lookup", "/identity", "/trust"] {
        refused(log.json(&format!("{path}/{unknown}")), 404);
        refused(log.json(&format!("{path}/no-did")), 404);
    }
    refused(post(&log, "/challenge", &json!({"did": unknown})), 404);
    let (_, identity) = log.json(&format!("/identity/{}", alice.did));
    assert_eq!((&identity["verified"], &identity["trust_score"]), (&json!(false), &json!(0.0)));
    let (_, health) = log.json("/health");
    assert_eq!((&health["version"], &health["metrics"]["registrations"]), (&json!("0.5.51"), &json!(1)));
    assert_eq!(size(&log), before);
    // Whoever was answered is known, also after a crash.
    log.kill();
    log.serve(&["--aip-v1"]);
    assert_eq!(log.json(&format!("/lookup/{}", alice.did)).0, 200);
}

/// Upstream: any name on any DID, keys of five bytes, lenient base64.
#[test]
fn what_is_no_key_or_another_ones_is_not_registered() {
    let log = Log::start(&["--aip-v1"]);
    let (alice, bob) = (Agent::new(1), Agent::new(2));
    let with = |member: &str, value: Value| {
        let mut registration = alice.registration();
        registration[member] = value;
        registration
    };
    let good = base64(alice.key.public_key().as_bytes());
    for key in
        ["", "MTIzNDU=", "not base64", &format!("\n{good}"), &format!("{good}!"), good.trim_end_matches('=')]
    {
        refused(post(&log, "/register", &with("public_key", json!(key))), 400);
    }
    // Another spelling of the same bytes: bits behind the last byte.
    let last = good.as_bytes()[42];
    let other = format!("{}{}=", &good[..42], char::from(last + 1));
    refused(post(&log, "/register", &with("public_key", json!(other))), 400);
    let zero = [0; 32];
    let mut of_zero = with("public_key", json!(base64(&zero)));
    of_zero["did"] = json!(Did::of_raw(&zero));
    refused(post(&log, "/register", &of_zero), 400);
    refused(post(&log, "/register", &with("did", json!(bob.did))), 400);
    refused(post(&log, "/register", &with("did", json!(alice.did.to_string().to_uppercase()))), 400);
    refused(post(&log, "/register", &json!({"platform": "github"})), 400);
    assert_eq!(log.json(&format!("/lookup/{}", alice.did)).0, 404);
}

/// Upstream: a revoked vouch is posted again by anyone; a rotation by the thief of one key, or replayed.
#[test]
fn what_would_have_to_be_logged_is_refused_with_the_sentence_that_helps() {
    let log = Log::start(&["--aip-v1"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    let vouch = json!({"voucher_did": alice.did, "target_did": bob.did, "scope": "GENERAL",
                       "signature": alice.sign(&format!("{}|{}|GENERAL|", alice.did, bob.did))});
    let new = base64(bob.key.public_key().as_bytes());
    let rotation =
        json!({"did": alice.did, "new_public_key": new, "signature": alice.sign(&format!("rotate:{new}"))});
    for (path, body) in [("/vouch", vouch), ("/revoke", json!({"vouch_id": "x"})), ("/rotate-key", rotation)]
    {
        assert_eq!(refused(post(&log, path, &body), 422), HELPS);
    }
    let (_, trust) = log.json(&format!("/trust/{}", bob.did));
    assert_eq!(trust["vouch_count"], 0);
    assert_eq!(key(&log.json(&format!("/lookup/{}", alice.did)).1["public_key"]), alice.key.public_key());
    assert_eq!(size(&log), "0");
}

#[test]
fn mail_comes_with_what_its_signature_needs_is_marked_and_deleted() {
    let mut log = Log::start(&["--aip-v1"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    let (status, sent) = alice.send(&log, bob.did, 1);
    assert_eq!((status, &sent["deprecation_warning"]), (200, &Value::Null), "{sent}");
    let id = sent["message_id"].as_str().expect("text").to_owned();
    assert!(id.len() == 20 && id.starts_with("msg_"), "{id}");
    alice.send(&log, bob.did, 2);
    // Who was answered 200 finds it, also after a crash.
    log.kill();
    log.serve(&["--aip-v1"]);
    let messages = bob.messages(&log, false);
    let content = |text: u8| json!(base64(&[text; 60]));
    assert_eq!(
        [&messages[0]["encrypted_content"], &messages[1]["encrypted_content"]],
        [&content(2), &content(1)]
    );
    let content: LegacyContent = serde_json::from_value(messages[1].clone()).expect("all that was signed");
    let mail = LegacyMail::parse(alice.did, bob.did, content).expect("the form");
    assert_eq!((mail.verify(&alice.key.public_key()), &messages[1]["id"]), (Ok(()), &json!(id)));
    // Only the owner's signature counts.
    refused(patch(&log, &alice.of(&id, "/read")), 404);
    let strange = alice.of(&id, "/read").replace(&alice.did.to_string(), &bob.did.to_string());
    refused(patch(&log, &strange), 401);
    refused(patch(&log, &format!("/message/{id}/read?did={}", bob.did)), 401);
    refused(patch(&log, &bob.of("msg_0000000000000000", "/read")), 404);
    refused(patch(&log, &bob.of(&id.to_uppercase(), "/read")), 404);
    assert_eq!(patch(&log, &bob.of(&id, "/read")).0, 200);
    assert_eq!(bob.messages(&log, true).len(), 1);
    assert_eq!(
        bob.messages(&log, false)[1]["read_at"].as_str().map(str::len),
        Some("2026-11-30 22:00:00".len())
    );
    refused(delete(&log, &strange.replace("/read", "")), 401);
    assert_eq!(delete(&log, &bob.of(&id, "")).0, 200);
    refused(delete(&log, &bob.of(&id, "")), 404);
    assert_eq!(bob.messages(&log, false).len(), 1);
    assert_eq!(alice.messages(&log, false), Vec::<Value>::new());
}

/// Upstream: no timestamp, a naive one (500), a replay by changing the base64.
#[test]
fn a_message_has_a_time_and_comes_once() {
    let log = Log::start(&["--aip-v1"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    let at = |timestamp: &str| post(&log, "/message", &alice.message(bob.did, 1, timestamp));
    let naive = now(0).trim_end_matches("+00:00").to_owned();
    for timestamp in ["", "x", &naive, &now(-301), &now(301), &now(0).replace("+00:00", "+01:00")] {
        assert!(refused(at(timestamp), 400).starts_with("timestamp: "), "{timestamp}");
    }
    let mut without = alice.message(bob.did, 1, &now(0));
    without.as_object_mut().expect("an object").remove("timestamp");
    refused(post(&log, "/message", &without), 400);
    let message = alice.message(bob.did, 1, &now(0));
    let with = |member: &str, value: &str| {
        let mut message = message.clone();
        message[member] = json!(value);
        message
    };
    let signature = message["signature"].as_str().expect("text");
    refused(post(&log, "/message", &with("signature", &base64(&[0; 64]))), 401);
    // Before and after it was taken: another spelling of it is none.
    for round in ["first", "again"] {
        for other in [&format!("{signature}\n"), &format!("!{signature}"), signature.trim_end_matches('=')] {
            refused(post(&log, "/message", &with("signature", other)), 400);
        }
        match round {
            "first" => assert_eq!(post(&log, "/message", &message).0, 200),
            _ => drop(refused(post(&log, "/message", &message), 409)),
        }
    }
    assert_eq!(bob.messages(&log, false).len(), 1);
    // What was deleted is not brought again either, while its time holds.
    let id = bob.messages(&log, false)[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(delete(&log, &bob.of(&id, "")).0, 200);
    refused(post(&log, "/message", &message), 409);
    assert_eq!(bob.messages(&log, false).len(), 0);
    // A text in the clear, and a box that is too long.
    refused(post(&log, "/message", &with("encrypted_content", "hello, this is no box at all")), 400);
    refused(post(&log, "/message", &with("encrypted_content", &base64(&[0; 66_000]))), 400);
    refused(post(&log, "/message", &with("recipient_did", &Agent::new(9).did.to_string())), 400);
    refused(post(&log, "/message", &with("sender_did", &Agent::new(9).did.to_string())), 400);
}

/// Upstream: the limits of a DID are burnt by strangers; a challenge is any text.
#[test]
fn strangers_take_nothing_from_an_owner_and_a_challenge_opens_once() {
    let log = Log::start(&["--aip-v1"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    for _ in 0..60 {
        bob.challenge(&log);
    }
    bob.messages(&log, false);
    let challenge = bob.challenge(&log);
    // A wrong signature spends nothing, and another DID's challenge is none.
    let mut wrong = bob.opening(&challenge, false);
    wrong["signature"] = json!(base64(&[0; 64]));
    refused(post(&log, "/messages", &wrong), 401);
    refused(post(&log, "/messages", &alice.opening(&challenge, false)), 401);
    assert_eq!(post(&log, "/messages", &bob.opening(&challenge, false)).0, 200);
    refused(post(&log, "/messages", &bob.opening(&challenge, false)), 401);
    // Nor is one that the log did not give.
    refused(post(&log, "/messages", &bob.opening(&"0".repeat(64), false)), 401);
    // The client signs no other text, whatever a server calls it.
    for text in ["rotate:AAAA", "", &"A".repeat(64), &"0".repeat(63)] {
        assert_eq!(sign_challenge(text, &bob.key), None, "{text}");
    }
}

/// Upstream: anonymous counts, webhooks, wallets, listings.
#[test]
fn what_anybody_could_ask_about_others_is_not_there() {
    let log = Log::start(&["--aip-v1"]);
    let bob = Agent::registered(2, &log);
    for path in [
        &format!("/messages/count?did={}", bob.did),
        &format!("/webhooks/{}", bob.did),
        &format!("/oracle/wallet/{}", bob.did),
        &format!("/agent/{}/profile", bob.did),
        &format!("/resolve/{}", bob.did),
        "/directory",
        "/stats",
        "/admin/registrations",
        "/trust-graph",
    ] {
        assert_eq!(log.get(path).status().as_u16(), 404, "{path}");
    }
    assert_eq!(delete(&log, "/oracle/wallet/bind").0, 404);
    assert_eq!(post(&log, "/register/easy", &json!({"platform": "x", "username": "y"})).0, 404);
}

#[test]
fn an_address_has_a_budget_and_the_log_none_of_it() {
    let log = Log::start(&["--aip-v1"]);
    let answers = (0..300).map(|_| log.get("/health").status().as_u16());
    let refused = answers.filter(|status| *status == 429).count();
    assert!((30..=60).contains(&refused), "{refused} of 300 are beyond 240");
    let answer = log.get("/health");
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(log.get("/checkpoint").status().as_u16(), 200);
}

/// Who comes again after the time that is said gets a place.
#[test]
fn an_address_registers_a_hundred_a_day_and_learns_when_the_next_may() {
    let log = Log::start(&["--aip-v1"]);
    (1..=100).for_each(|number| drop(Agent::registered(number, &log)));
    let said = refused(post(&log, "/register", &Agent::new(101).registration()), 429);
    assert!(said.contains("Try again in 864 seconds."), "{said}");
    assert_eq!(post(&log, "/register", &Agent::new(1).registration()).0, 200, "who is there already");
}

/// Whoever has seen a request may send it again.
#[test]
fn what_came_before_spends_nothing_of_its_signers_budget() {
    let log = Log::start(&["--aip-v1", "--mail-did-sends-per-minute", "2"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    let message = alice.message(bob.did, 1, &now(0));
    assert_eq!(post(&log, "/message", &message).0, 200);
    for _ in 0..3 {
        refused(post(&log, "/message", &message), 409);
    }
    assert_eq!(alice.send(&log, bob.did, 2).0, 200);
    refused(alice.send(&log, bob.did, 3), 429);
}

#[test]
fn bare_senders_share_what_is_theirs_in_a_mailbox() {
    let log = Log::start(&["--aip-v1", "--mail-did-sends-per-minute", "0"]);
    let recipient = Agent::registered(1, &log);
    let senders: Vec<Agent> = (2..5).map(|number| Agent::registered(number, &log)).collect();
    let sent = (0..101u8).map(|at| senders[usize::from(at) % 3].send(&log, recipient.did, at).0);
    let sent: Vec<u16> = sent.collect();
    assert_eq!((sent.iter().filter(|status| **status == 200).count(), sent[100]), (100, 429));
    assert_eq!(recipient.messages(&log, false).len(), 100);
}

/// What the log knows of a DID comes before what it registered here.
#[test]
fn the_logs_state_is_the_dids() {
    let log = Log::start(&["--aip-v1"]);
    let owner = Someone::at(&log, &["--capabilities", "messages,receipts,vouches"]);
    owner.ok(&["init", "--register"]);
    let did = owner.did();
    let first = key(&log.json(&format!("/lookup/{did}")).1["public_key"]);
    assert_eq!(Did::of(&first).to_string(), did);
    owner.ok(&["rotate-key"]);
    let (_, found) = log.json(&format!("/lookup/{did}"));
    assert_ne!(key(&found["public_key"]), first, "the current key");
    assert!(found["registered_at"].is_string());
    // Whoever has the old key registers nothing with it.
    let again = json!({"did": did, "public_key": base64(first.as_bytes()), "platform": "x", "username": "y"});
    assert_eq!(post(&log, "/register", &again).1["message"], "Already registered");
    assert_ne!(key(&log.json(&format!("/lookup/{did}")).1["public_key"]), first);
    let alice = Agent::registered(1, &log);
    assert_eq!(alice.send(&log, did.parse().expect("a DID"), 1).0, 200);
    // A score is the log's: no query chooses it, and vouches are logged ones.
    let other = Someone::at(&log, &["--register", "--log", &log.url()]);
    owner.ok(&["vouch", &other.did(), "--scope", "CODE_SIGNING"]);
    let path = |more: &str| format!("/trust-path?source_did={did}&target_did={}{more}", other.did());
    let (_, found) = log.json(&path(""));
    assert_eq!((&found["trust_score"], &found["path_length"]), (&json!(0.8), &json!(1)), "{found}");
    assert_eq!(found["path"], json!([did, other.did()]));
    assert_eq!(log.json(&path("&scope=CODE_SIGNING")).1["path_exists"], true);
    assert_eq!(log.json(&path("&scope=FINANCIAL")).1["path_exists"], false);
    for more in [
        "&decay_factor=1.0",
        "&max_depth=10",
        "&pdr_calibration=1",
        "&scope=ALL",
        "&scope=GENERAL&scope=GENERAL",
    ] {
        refused(log.json(&path(more)), 422);
    }
    refused(log.json(&format!("/trust-path?source_did={did}")), 422);
    let (_, trust) = log.json(&format!("/trust/{}", other.did()));
    assert_eq!((&trust["vouch_count"], &trust["vouched_by"]), (&json!(1), &json!([did])));
    let (_, identity) = log.json(&format!("/identity/{did}"));
    assert_eq!((&identity["vouches_given"], &identity["vouches_received"]), (&json!(1), &json!(0)));
    owner.ok(&["revoke", &other.did(), "--scope", "CODE_SIGNING"]);
    assert_eq!(log.json(&format!("/trust/{}", other.did())).1["vouch_count"], 0);
    // Who ended is known to nobody, and does not come back through this door.
    let recovery = owner.recovery_file();
    owner.ok(&["deactivate", "--recovery", recovery.to_str().expect("UTF-8"), "--yes"]);
    refused(log.json(&format!("/lookup/{did}")), 404);
    refused(post(&log, "/register", &again), 400);
    refused(alice.send(&log, did.parse().expect("a DID"), 2), 400);
}

/// Upstream's `verify` never asks whose the key is.
#[test]
fn a_manifest_by_a_later_key_is_the_dids_by_the_log_alone() {
    let log = Log::start(&[]);
    let (owner, judge) = (Someone::at(&log, &["--register", "--log", &log.url()]), Someone::at(&log, &[]));
    let did = owner.did();
    owner.write("dist/app", "app");
    owner.ok(&["sign", "dist", "--aip-manifest", "--receipts", "receipts"]);
    let of_first = std::fs::read(owner.work().join("dist/.aip-signature.json")).expect("a manifest");
    let dist = owner.work().join("dist");
    let dist = dist.to_str().expect("UTF-8");
    let verify = || judge.run(&["verify", dist, "--aip-manifest", "--signer", &did]);
    assert_eq!(verify().0, 0, "{}", verify().1);
    owner.ok(&["rotate-key"]);
    owner.ok(&["sign", "dist", "--aip-manifest", "--receipts", "receipts"]);
    // By itself a DID proves its first key only.
    let (code, out, _) = verify();
    assert!(code == 1 && out.contains("manifest-key"), "{out}");
    judge.ok(&["log", "sync", "--did", &did]);
    let (code, out, _) = judge.run(&["verify", dist, "--aip-manifest", "--signer", &did, "-v"]);
    assert!(code == 0 && out.contains("by the state of it in a log"), "{code} {out}");
    // And now the first one, which a thief may have, signs nothing more: whenever it says that it did.
    std::fs::write(owner.work().join("dist/.aip-signature.json"), of_first).expect("written");
    let (code, out, _) = verify();
    assert!(code == 1 && out.contains("not the DID's current one"), "{out}");
}

#[test]
fn hostile_requests_are_answered_with_a_sentence() {
    let log = Log::start(&["--aip-v1"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    let long = format!(r#"{{"did": "{}"}}"#, "x".repeat(200_000));
    let deep = "[".repeat(50_000);
    for path in ["/register", "/message", "/challenge", "/messages"] {
        let send = |body: &str| {
            let request = log.http().post(format!("{}{path}", log.url())).body(body.to_owned());
            answer(request.header("content-type", "application/json"))
        };
        for body in [
            "",
            "{",
            "null",
            "[]",
            "{}",
            r#"{"did": 5}"#,
            r#"{"did": "x", "did": "y"}"#,
            "\u{feff}{}",
            &deep[..4_000],
        ] {
            let (status, answer) = send(body);
            assert!(matches!(status, 400 | 404), "{path} {body:?}: {status} {answer}");
            refused((status, answer), status);
        }
        // A client that is still sending may not get the answer.
        let request =
            log.http().post(format!("{}{path}", log.url())).header("content-type", "application/json");
        if let Ok(answer) = request.body(long.clone()).send() {
            assert_eq!(answer.status().as_u16(), 413, "{path}");
        }
        // Refused before it is read, which closes the connection too.
        let apart = reqwest::blocking::Client::new();
        refused(
            answer(
                apart.post(format!("{}{path}", log.url())).header("content-type", "text/plain").body("{}"),
            ),
            415,
        );
    }
    for path in ["/lookup/%ff", "/identity/%00", "/trust/..%2f..", "/trust/did:aip:%F0%9F%98%80"] {
        let (status, answer) = log.json(path);
        assert!(matches!(status, 400 | 404), "{path}: {status}");
        refused((status, answer), status);
    }
    for query in ["?scope=%ff", "?scope=GENERAL&x=1", "?=", "?%"] {
        refused(log.json(&format!("/trust/{}{query}", alice.did)), 422);
    }
    for id in ["%ff", "msg_", "msg_zzzzzzzzzzzzzzzz", "msg_00000000000000000", "\u{1f600}"] {
        let (status, answer) = patch(&log, &bob.of(id, "/read"));
        assert!(matches!(status, 400 | 404), "{id}: {status}");
        refused((status, answer), status);
    }
    // And it serves on.
    assert_eq!(alice.send(&log, bob.did, 1).0, 200);
    assert_eq!(bob.messages(&log, false).len(), 1);
}

#[test]
fn without_messages_only_keys_are_answered() {
    let log = Log::start(&["--aip-v1", "--messages", "false"]);
    let (alice, bob) = (Agent::registered(1, &log), Agent::registered(2, &log));
    assert_eq!(log.json(&format!("/lookup/{}", bob.did)).0, 200);
    assert_eq!(refused(alice.send(&log, bob.did, 1), 503), "this log carries no messages");
    refused(post(&log, "/messages", &bob.opening(&bob.challenge(&log), false)), 503);
    refused(delete(&log, &bob.of("msg_0000000000000000", "")), 503);
}

/// What is lost here can be registered again; the log must not notice.
#[test]
fn a_damaged_table_stops_nothing_else() {
    let mut log = Log::start(&["--aip-v1"]);
    Agent::registered(1, &log);
    log.stop();
    std::fs::write(log.dir().join("aip-v1/CURRENT"), "nothing\n").expect("written");
    log.serve(&["--aip-v1"]);
    refused(post(&log, "/register", &Agent::new(2).registration()), 503);
    assert_eq!(log.json("/health").1["checks"]["database"]["ok"], false);
    assert_eq!(log.get("/readyz").status().as_u16(), 200);
    let owner = Someone::at(&log, &["--register", "--log", &log.url()]);
    assert_eq!(log.json(&format!("/lookup/{}", owner.did())).0, 200);
    // Moved away, it begins anew.
    log.stop();
    std::fs::remove_dir_all(log.dir().join("aip-v1")).expect("removed");
    log.serve(&["--aip-v1"]);
    Agent::registered(1, &log);
}

/// Nobody reads or writes as a DID that is reported as compromised; its mail waits.
#[test]
fn while_a_did_is_compromised_its_mail_waits() {
    let log = Log::start(&["--aip-v1"]);
    let owner = Someone::at(&log, &["--register", "--log", &log.url()]);
    let did: Did = owner.did().parse().expect("a DID");
    let alice = Agent::registered(1, &log);
    assert_eq!(alice.send(&log, did, 1).0, 200);
    let recovery = owner.recovery_file();
    let recovery = recovery.to_str().expect("UTF-8");
    owner.ok(&["report-compromise", "--recovery", recovery, "--since", "1"]);
    refused(post(&log, "/challenge", &json!({"did": did})), 404);
    refused(alice.send(&log, did, 2), 400);
    owner.ok(&["recover", "--recovery", recovery, "--since", "1"]);
    assert_eq!(owner.json(&["inbox"])["messages"].as_array().map(Vec::len), Some(1));
}

/// It is sealed to the identity key, which a rotation replaces.
#[test]
fn a_rotation_waits_for_mail_of_python() {
    let log = Log::start(&["--aip-v1"]);
    let owner = Someone::at(&log, &["--register", "--log", &log.url()]);
    let alice = Agent::registered(1, &log);
    assert_eq!(alice.send(&log, owner.did().parse().expect("a DID"), 1).0, 200);
    let (code, _, err) = owner.run(&["rotate-key"]);
    assert!(code == 2 && err.contains("1 message waits that only the old key opens"), "{code} {err}");
    owner.ok(&["rotate-key", "--leave-messages"]);
}
