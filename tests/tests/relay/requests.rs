//! What the relay answers to whom, and in which order it asks.

use super::*;
use attestation::message::{Request, Settings, SignedRequest};
use testkit::log::ORIGIN;
use testkit::mail::{body, post};

#[test]
fn a_message_waits_until_its_recipient_acknowledges_it_restarts_included() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    let (first, second) = (sealed(&bob, "one"), sealed(&bob, "two"));
    let (status, answer) = log.send(&alice, &first);
    assert_eq!(
        (status, &answer["stored"], &answer["id"]),
        (200, &true.into(), &first.id().to_string().into())
    );
    let received = answer["receivedAt"].as_u64().expect("a time");
    assert!(received.abs_diff(now().as_millis()) < 60_000);
    let (status, again) = log.send(&alice, &first);
    assert_eq!((status, &again["stored"], &again["receivedAt"]), (200, &false.into(), &received.into()));
    send(&log, &alice, &second);
    assert!(log.list(&alice, 0, 0).is_empty(), "a mailbox is its owner's");
    assert_eq!(log.stop(), Some(0));
    log.serve(&[]);
    let messages = log.list(&bob, 0, 0);
    assert_eq!(messages.len(), 2);
    let message = &messages[0];
    assert_eq!(message["sealed"], first.to_base64());
    assert_eq!((&message["id"], &message["number"]), (&first.id().to_string().into(), &1.into()));
    assert_eq!(
        (&message["sender"], &message["receivedAt"]),
        (&alice.did().to_string().into(), &received.into())
    );
    assert_eq!(log.list(&bob, 1, 0).len(), 1);
    assert_eq!(log.acknowledge(&bob, vec![first.id(), second.id()]), 2);
    assert_eq!(log.acknowledge(&bob, vec![first.id(), second.id()]), 0);
    assert!(log.list(&bob, 0, 0).is_empty());
    let (_, again) = log.send(&alice, &first);
    assert_eq!(again["stored"], false, "acknowledged before: {again}");
    assert!(log.list(&bob, 0, 0).is_empty());
    assert_eq!(metric(&log, "log_relay_acknowledged_total"), 2.0);
    assert!(log.list(&alice, 0, 0).is_empty());
}

#[test]
fn the_relay_is_on_says_so_and_can_be_turned_off() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    let (status, ready) = readiness(&log);
    assert!(status == 200 && ready.contains("messages: on; `messages = false`"), "{ready}");
    send(&log, &alice, &sealed(&bob, "one"));
    assert_eq!(log.stop(), Some(0));
    let settings = std::fs::read_to_string(log.dir().join("log.toml")).expect("settings");
    let off = match settings.contains("[settings]") {
        true => settings.replace("[settings]", "[settings]\nmessages = false"),
        false => format!("{settings}\n[settings]\nmessages = false\n"),
    };
    std::fs::write(log.dir().join("log.toml"), off).expect("settings");
    log.serve(&[]);
    let (status, ready) = readiness(&log);
    assert!(status == 200 && ready.contains("messages: off"), "{ready}");
    let (status, answer) = log.send(&alice, &sealed(&bob, "two"));
    assert_eq!((status, rule(&answer)), (404, "messages-off"));
    let list = Action::List(List { after: 0, keys: None, limit: 1, wait: 0 });
    assert_eq!(log.mailbox(&bob, list).0, 404);
    assert_eq!(log.stop(), Some(0));
    log.serve(&["--messages", "true"]);
    assert_eq!(log.mail(&bob), [sealed(&bob, "one").id()], "what waited still waits");
}

/// Each step breaks one rule more than the one before: the first that is asked for is the answer.
#[test]
fn problems_come_in_their_order() {
    let log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    let (stranger, mallory) = (Signer::new(3), Signer::new(4));
    let path = "/api/v1/messages";
    let send = |body: String| {
        let (status, answer) = post(log.http(), &log.url(), path, body, &[]);
        (status, rule(&answer).to_owned(), answer)
    };
    let message = sealed(&bob, "one");
    let signed = |sealed: &Sealed, origin: &str, issued: i64, expires: i64, key: &Signer| {
        let (issued, expires) = (in_millis(issued), in_millis(expires));
        SignedRequest::send(sealed, alice.did(), origin, issued, expires, &key.key)
            .expect("a request")
            .to_json()
    };
    let day = 86_400_000;
    let of_a_stranger = sealed(&stranger, "one");
    let mut to_another_key = message.as_bytes().to_vec();
    to_another_key[22] ^= 1;
    let to_another_key = Sealed::from_bytes(to_another_key).expect("a sealed message");
    let other_bytes = |body: String| {
        let mut json: Value = serde_json::from_str(&body).expect("JSON");
        json["sealed"] = sealed(&bob, "two").to_base64().into();
        json.to_string()
    };
    let broken_signature = |body: String| {
        let mut json: Value = serde_json::from_str(&body).expect("JSON");
        json["signature"] = tlog::encoding::base64(&[1; 64]).into();
        json.to_string()
    };
    for (body, want) in [
        ("{}".to_owned(), (400, "request")),
        (broken_signature(signed(&message, "other.example/log", -day, day, &mallory)), (422, "origin")),
        (broken_signature(signed(&message, ORIGIN, -day, day, &mallory)), (401, "request-clock")),
        (broken_signature(signed(&message, ORIGIN, 0, day, &mallory)), (401, "request-signature")),
        (other_bytes(signed(&message, ORIGIN, 0, day, &mallory)), (422, "signer-key")),
        (other_bytes(signed(&of_a_stranger, ORIGIN, 0, -1, &alice)), (422, "sealed-digest")),
        (signed(&of_a_stranger, ORIGIN, 0, -1, &alice), (422, "expires")),
        (signed(&of_a_stranger, ORIGIN, 0, 8 * day, &alice), (422, "expires")),
        (signed(&of_a_stranger, ORIGIN, 0, day, &alice), (404, "no-did")),
        (signed(&to_another_key, ORIGIN, 0, day, &alice), (422, "recipient-key")),
    ] {
        let (status, rule, answer) = send(body);
        assert_eq!((status, &*rule), want, "{answer}");
        if rule == "request-clock" {
            let now = answer["now"].as_u64().expect("the relay's time");
            assert!(now.abs_diff(testkit::mail::now().as_millis()) < 60_000);
        }
    }
    assert!(log.mail(&bob).is_empty());
    // A DID is known by an artifact as well.
    log.make_known(&stranger);
    super::send(&log, &alice, &of_a_stranger);
    assert_eq!(log.mail(&stranger), [of_a_stranger.id()]);
    assert_eq!(log.get("/api/v1/messages").status().as_u16(), 405);
}

#[test]
fn a_mailbox_takes_mail_of_whom_its_owner_says() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    let bare = Signer::new(3);
    send(&log, &bare, &sealed(&bob, "of a bare sender"));
    let refused = |log: &Log, sender: &Signer, text| {
        let (status, answer) = log.send(sender, &sealed(&bob, text));
        assert_eq!((status, rule(&answer)), (403, "sender-refused"), "{text}");
    };
    let earlier =
        body(&bob, Action::Settings(Settings { accept: Accept::Anyone, blocked: vec![], listed: vec![] }));
    until("a later millisecond", Duration::from_secs(5), || {
        log.set_mailbox(&bob, Accept::Registered, vec![]).0 == 200
    });
    refused(&log, &bare, "two");
    send(&log, &alice, &sealed(&bob, "of a registered sender"));
    let (status, answer) = post(log.http(), &log.url(), "/api/v1/mailbox", earlier, &[]);
    assert_eq!((status, rule(&answer)), (409, "settings-order"));
    assert_eq!(log.set_mailbox(&bob, Accept::Anyone, vec![alice.did()]).0, 200);
    assert_eq!(log.stop(), Some(0));
    log.serve(&[]);
    refused(&log, &alice, "three");
    send(&log, &bare, &sealed(&bob, "four"));
    assert_eq!(log.set_mailbox(&bob, Accept::Listed, vec![]).0, 200);
    refused(&log, &bare, "five");
    let (status, answer) = log.set_mailbox(&bare, Accept::Anyone, vec![]);
    assert_eq!((status, rule(&answer)), (404, "no-did"), "who gets no mail has no settings");
    assert_eq!(log.mail(&bob).len(), 3);
}

/// The log's admission is asked of who sends. Who reads has signed.
#[test]
fn token_and_list_are_asked_of_senders_alone() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    log.stop();
    let tokens = log.folder().join("tokens");
    std::fs::write(&tokens, format!("{}\n", tlog::Hash::of(b"secret"))).expect("a file");
    let flags = ["--admission", "token", "--token-file", tokens.to_str().expect("UTF-8")];
    log.serve(&flags);
    let (status, answer) = log.send(&alice, &sealed(&bob, "one"));
    assert_eq!((status, rule(&answer)), (401, "token"));
    let (status, answer) = log.send_with(&alice, &sealed(&bob, "one"), &[("authorization", "Bearer secret")]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(log.mail(&bob).len(), 1);
    log.stop();
    let list = log.folder().join("allowed");
    std::fs::write(&list, format!("{}\n", alice.did())).expect("a file");
    log.serve(&["--admission", "allow-list", "--allow-file", list.to_str().expect("UTF-8")]);
    send(&log, &alice, &sealed(&bob, "two"));
    let (status, answer) = log.send(&bob, &sealed(&alice, "three"));
    assert_eq!((status, rule(&answer)), (403, "did-not-allowed"));
    assert_eq!(log.acknowledge(&bob, log.mail(&bob)), 2);
}

/// While a DID is compromised nobody reads or writes as it, a waiting thief included; its mail waits for its recovery.
#[test]
fn mail_of_a_compromised_did_waits_for_its_owner() {
    let log = Log::start(&["--round-interval", "1ms"]);
    let (alice, bob) = correspondents(&log);
    let message = sealed(&bob, "one");
    send(&log, &alice, &message);
    let list = |after, wait| Action::List(List { after, keys: None, limit: 9, wait });
    let link = std::thread::scope(|scope| {
        // The thief has the current key, and waits for what comes.
        let thief = scope.spawn(|| log.mailbox(&bob, list(1, 20)));
        until("the thief waits", Duration::from_secs(30), || {
            metric(&log, "log_bound_taken{of=\"mail-waiters\"}") == 1.0
        });
        let link = log.report_compromise(&bob);
        let (status, answer) = log.send(&alice, &sealed(&bob, "two"));
        assert_eq!((status, rule(&answer)), (422, "recipient-state"));
        let (status, page) = thief.join().expect("no panic");
        assert_eq!(
            (status, &page["messages"]),
            (200, &Value::Array(vec![])),
            "nothing came, and nothing is shown"
        );
        link
    });
    for action in [list(0, 0), Action::Acknowledge(vec![message.id()])] {
        let (status, answer) = log.mailbox(&bob, action);
        assert_eq!((status, rule(&answer)), (422, "compromised"));
    }
    let (status, answer) = log.set_mailbox(&bob, Accept::Anyone, vec![alice.did()]);
    assert_eq!((status, rule(&answer)), (422, "compromised"));
    let (status, answer) = log.send(&bob, &sealed(&alice, "of a thief"));
    assert_eq!((status, rule(&answer)), (422, "compromised"));
    let recovered = |key| Signer { key };
    let key = log.recover(&bob, link);
    let request = Request { action: list(0, 0), did: bob.did(), issued_at: now(), origin: ORIGIN.to_owned() };
    let signed = SignedRequest::sign(request, &recovered(key).key).expect("a request");
    let (status, page) = post(log.http(), &log.url(), "/api/v1/mailbox", signed.to_json(), &[]);
    assert_eq!(status, 200, "{page}");
    assert_eq!(page["messages"][0]["id"], message.id().to_string());
    let (status, answer) = log.mailbox(&bob, list(0, 0));
    assert_eq!((status, rule(&answer)), (422, "retired-key"));
}
