//! What waits is bounded: the next message is refused, and none is lost.

use super::*;
use attestation::message::FRAME_BYTES;

/// Budgets of rates are off: they would be reached first.
const NO_RATES: [&str; 8] = [
    "--mail-address-sends-per-minute",
    "0",
    "--mail-did-sends-per-minute",
    "0",
    "--mail-did-sends-per-day",
    "0",
    "--mail-address-lists-per-minute",
    "0",
];

fn refused(log: &Log, sender: &Signer, sealed: &Sealed, want: (u16, &str)) {
    let (status, answer) = log.send(sender, sealed);
    assert_eq!((status, rule(&answer)), want, "{answer}");
}

#[test]
fn the_next_message_of_a_sender_of_all_bare_ones_and_of_a_mailbox_is_refused_and_none_is_lost() {
    let mut log = Log::start(&NO_RATES);
    let bob = Signer::new(0);
    let senders: Vec<Signer> = (1..=10).map(Signer::new).collect();
    log.register(&senders.iter().chain([&bob]).collect::<Vec<_>>());
    let mut want = Vec::new();
    let mut take = |log: &Log, sender: &Signer, text: String| {
        let sealed = sealed(&bob, &text);
        send(log, sender, &sealed);
        want.push(sealed.id());
    };
    for number in 0..100 {
        take(&log, &senders[0], format!("one sender {number}"));
    }
    refused(&log, &senders[0], &sealed(&bob, "the 101st of one sender"), (429, "sender-share"));
    // DIDs cost nothing: a hundred of them are one.
    for number in 0..100 {
        take(&log, &Signer::new(1_000 + number), format!("bare {number}"));
    }
    refused(&log, &Signer::new(2_000), &sealed(&bob, "the 101st bare one"), (429, "bare-share"));
    for (number, sender) in senders.iter().enumerate().skip(1).take(8) {
        for more in 0..100 {
            take(&log, sender, format!("{number} {more}"));
        }
    }
    refused(&log, &senders[9], &sealed(&bob, "the 1,001st"), (429, "mailbox-full"));
    refused(&log, &Signer::new(2_000), &sealed(&bob, "bare, too"), (429, "bare-share"));
    send(&log, &senders[0], &sealed(&senders[1], "to another mailbox"));
    assert_eq!(log.mail(&bob), want, "none is lost, and each has its place");
    assert_eq!(log.stop(), Some(0));
    log.serve(&NO_RATES);
    refused(&log, &senders[9], &sealed(&bob, "the 1,001st after a restart"), (429, "mailbox-full"));
    assert_eq!(log.mail(&bob), want);
    assert_eq!(log.acknowledge(&bob, want[..100].to_vec()), 100);
    send(&log, &senders[9], &sealed(&bob, "there is room again"));
    assert_eq!(log.mail(&bob).len(), 901);
}

#[test]
fn a_sender_has_four_mebibytes_of_a_mailbox_and_all_bare_ones_two() {
    let log = Log::start(&NO_RATES);
    let (alice, bob) = correspondents(&log);
    let largest = |text: &str| sealed_of(&bob, text, FRAME_BYTES[7]);
    let fill = |sender: &Signer, name: &str, want| {
        let mut taken = 0;
        loop {
            let sealed = largest(&format!("{name} {taken}"));
            match log.send(sender, &sealed) {
                (200, _) => taken += 1,
                (status, answer) => {
                    assert_eq!((status, rule(&answer)), want, "{answer}");
                    return taken * sealed.as_bytes().len();
                }
            }
        }
    };
    let bytes = fill(&alice, "registered", (429, "sender-share"));
    assert!((4 << 20) - bytes < 98_406 && bytes <= 4 << 20, "{bytes}");
    let bytes = fill(&Signer::new(9), "bare", (429, "bare-share"));
    assert!((2 << 20) - bytes < 98_406 && bytes <= 2 << 20, "{bytes}");
    // Pages stay about a mebibyte.
    let (mut after, mut seen) = (0, 0);
    loop {
        let (status, page) = log.mailbox(&bob, Action::List(List { after, keys: None, limit: 100, wait: 0 }));
        assert_eq!(status, 200, "{page}");
        assert!(page.to_string().len() <= 1 << 20);
        let messages = page["messages"].as_array().expect("messages");
        seen += messages.len();
        after = messages.last().expect("a message")["number"].as_u64().expect("a number");
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(seen, (4 << 20) / 98_406 + (2 << 20) / 98_406);
}

/// Behind a proxy there are as many addresses as are needed.
#[test]
fn a_full_relay_refuses_the_next_message_and_an_address_has_a_share() {
    let flags = [&NO_RATES[..], &["--mail-bytes", "200000", "--trusted-proxy", "127.0.0.0/8"]].concat();
    let mut log = Log::start(&flags);
    let bob = Signer::new(0);
    let senders: Vec<Signer> = (1..=60).map(Signer::new).collect();
    log.register(&senders.iter().chain([&bob]).collect::<Vec<_>>());
    let mut taken = Vec::new();
    // Each sender from an address of its own, until it is refused: why, and how many were taken before.
    let mut fill = |number: usize| {
        let address = format!("192.0.2.{number}");
        (0..)
            .find_map(|at| {
                let sealed = sealed(&bob, &format!("{number} {at}"));
                let forwarded = [("x-forwarded-for", &*address)];
                match log.send_with(&senders[number], &sealed, &forwarded) {
                    (200, _) => {
                        taken.push(sealed.id());
                        None
                    }
                    (status, answer) => Some((status, rule(&answer).to_owned(), at)),
                }
            })
            .expect("a refusal")
    };
    let (status, why, first) = fill(0);
    assert_eq!((status, &*why), (429, "address-share"));
    assert!((34..=36).contains(&first), "a fifth of the relay: {first}");
    let full = (1..60).map(&mut fill).find(|(status, ..)| *status == 503);
    assert_eq!(full.expect("a full relay").1, "relay-full");
    assert!(taken.len() > 170, "of 177: {}", taken.len());
    assert_eq!(log.mail(&bob), taken, "none is lost");
    // After a restart nobody knows by whom it came, and the bytes are counted all the same.
    assert_eq!(log.stop(), Some(0));
    log.serve(&flags);
    refused(&log, &senders[59], &sealed(&bob, "one more"), (503, "relay-full"));
    assert_eq!(log.mail(&bob), taken);
    assert_eq!(log.acknowledge(&bob, taken[..2].to_vec()), 2);
    send(&log, &senders[59], &sealed(&bob, "one more"));
}

#[test]
fn rates_of_addresses_and_dids_are_bounded() {
    let flags = [
        "--mail-address-sends-per-minute",
        "6",
        "--mail-did-sends-per-minute",
        "3",
        "--mail-address-lists-per-minute",
        "4",
    ];
    let log = Log::start(&flags);
    let (alice, bob) = correspondents(&log);
    for number in 0..3 {
        send(&log, &alice, &sealed(&bob, &format!("{number}")));
    }
    let sealed_again = sealed(&bob, "the fourth");
    refused(&log, &alice, &sealed_again, (429, "did-messages"));
    // Whoever sends what is known spends nothing of its signer's budget.
    let (status, answer) = log.send(&alice, &sealed(&bob, "0"));
    assert_eq!((status, &answer["stored"]), (200, &Value::Bool(false)), "{answer}");
    send(&log, &bob, &sealed(&alice, "another DID"));
    refused(&log, &bob, &sealed(&alice, "the seventh"), (429, "address-messages"));
    for _ in 0..4 {
        assert_eq!(log.list(&bob, 0, 0).len(), 3);
    }
    let (status, answer) = log.mailbox(&bob, Action::List(List { after: 0, keys: None, limit: 1, wait: 0 }));
    assert_eq!((status, rule(&answer)), (429, "address-lists"));
    // A body that is not even read spends the address's budget alone.
    let response = log
        .http()
        .post(format!("{}/api/v1/messages", log.url()))
        .header("content-type", "application/json")
        .body(send_body(&alice, &sealed_again))
        .send()
        .expect("an answer");
    assert_eq!(response.headers()["retry-after"], "60");
}

/// Mail has a floor of its own above the log's: the log goes on.
#[test]
fn with_little_disk_space_the_relay_takes_nothing_and_the_log_goes_on() {
    let mut log = Log::start(&[]);
    let (alice, bob) = correspondents(&log);
    send(&log, &alice, &sealed(&bob, "one"));
    assert_eq!(log.stop(), Some(0));
    log.serve(&["--mail-disk-floor-bytes", &u64::MAX.to_string()]);
    until("the floor is known", Duration::from_secs(20), || metric(&log, "log_relay_disk_low") == 1.0);
    refused(&log, &alice, &sealed(&bob, "two"), (503, "relay-full"));
    assert_eq!(log.mail(&bob).len(), 1, "what waits can be read");
    assert_eq!(log.acknowledge(&bob, log.mail(&bob)), 1);
    log.make_known(&Signer::new(7));
    assert_eq!(readiness(&log).0, 200);
}
