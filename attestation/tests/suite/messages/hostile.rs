//! Messages that were altered, and bytes that are none.

use std::collections::BTreeMap;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::{
    Artifact, Attachment, Circumstances, EntryReference, FRAME_BYTES, LegacyContent, LegacyMail,
    MAX_PAYLOAD_BYTES, Mailbox, Message, MessageError, MessagePrivateKey, Opened, Refusal, Route, Sealed,
    SignedMessage, SignedRequest, is_attachment_name, is_content_type, sign_challenge,
};
use proptest::prelude::*;
use testkit::trials::message_keys;
use testkit::vectors::not_run;
use tlog::key::Ed25519PublicKey;
use tlog::{Hash, LeafIndex};

use super::{Given, NOW, ORIGIN, message, signed, someone};

fn seal(signed: &SignedMessage) -> Sealed {
    let (_, key) = someone();
    signed.seal(signed.message().sender, key.public_key(), &mut Given(vec![5; 32])).expect("addressed")
}

fn open(sealed: &Sealed) -> Result<Opened, Refusal> {
    let (key, message_key) = someone();
    let did = Did::of(&key.public_key());
    Mailbox { did, keys: &[message_key], origin: ORIGIN, relay_sender: Some(did) }.open(sealed)
}

/// S28: each of the 9,008 bits of a sealed message: what is altered is refused, by the check that covers the bit.
#[test]
fn s28_every_flipped_bit_is_refused() {
    let sealed = seal(&signed(message(&someone().0)));
    assert!(open(&sealed).is_ok());
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    for bit in 0..8 * sealed.as_bytes().len() {
        let mut altered = sealed.as_bytes().to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        let outcome = Sealed::from_bytes(altered).map_err(Refusal::from).and_then(|sealed| open(&sealed));
        let refusal = outcome.map(|_| ()).expect_err("an altered message");
        *refused.entry(refusal.rule()).or_default() += 1;
    }
    // Magic 5, suite 1, DID 16, key id 16; message id 16, encapsulated key 32 and ciphertext 1,040.
    let bytes = [("form", 5), ("suite", 1), ("recipient", 16), ("recipient-key", 16), ("decryption", 1_088)];
    assert_eq!(refused, bytes.into_iter().map(|(rule, bytes)| (rule, 8 * bytes)).collect());
    assert_eq!(refused.values().sum::<usize>(), 9_008);
}

/// S3: five coordinates of small order, and numbers that are another spelling.
#[test]
fn s3_keys_that_share_what_everybody_knows_are_refused() {
    message_keys::small_order().assert_clean(14);
    match message_keys::wycheproof() {
        Ok(tried) => tried.assert_clean(518),
        Err(why) => not_run("x25519_test.json", &why),
    }
}

#[test]
fn a_message_that_breaks_a_rule_is_not_signed() {
    let (key, _) = someone();
    let alter = |alter: fn(&mut Message)| {
        let mut message = message(&key);
        alter(&mut message);
        SignedMessage::sign(message, &key).map(|_| ()).map_err(|error| error.to_string())
    };
    let attachment = |name: &str| Attachment {
        content: Vec::new(),
        content_type: "text/plain".to_owned(),
        name: name.to_owned(),
    };
    assert_eq!(alter(|_| ()), Ok(()));
    for (want, outcome) in [
        ("65537 bytes", alter(|m| m.body = "x".repeat(65_537))),
        ("media type", alter(|m| m.content_type = "Text/plain".to_owned())),
        ("1 ms to 7 days", alter(|m| m.expires = m.created)),
        ("name of a log", alter(|m| m.origin = "a b".to_owned())),
        ("`recipients` holds 1 to 32", alter(|m| m.recipients.clear())),
        ("sorted, each once", alter(|m| m.recipients.push(m.sender))),
    ] {
        let error = outcome.expect_err(want);
        assert!(error.contains(want), "{error}");
    }
    let mut twice = message(&key);
    twice.attachments = vec![attachment("a"), attachment("a")];
    assert!(matches!(SignedMessage::sign(twice, &key), Err(MessageError::Spelling(_))));
    let mut hidden = message(&key);
    hidden.attachments = vec![attachment(".ssh")];
    assert!(matches!(SignedMessage::sign(hidden, &key), Err(MessageError::AttachmentName(_))));

    // Each part fits, and all together fit into no frame.
    let mut long = message(&key);
    long.body = "\u{1}".repeat(20_000);
    let error = SignedMessage::sign(long, &key).expect_err("too long");
    assert!(matches!(error, MessageError::TooLong(bytes) if bytes > MAX_PAYLOAD_BYTES));

    let stranger = Did::of_raw(&[1; 32]);
    let good = signed(message(&key));
    let (_, message_key) = someone();
    let sealed = good.seal(stranger, message_key.public_key(), &mut Given(vec![5; 32]));
    assert_eq!(sealed.map(|_| ()), Err(MessageError::NotAddressed(stranger)));
}

/// S23: only 64 lower-case hex digits are signed: a server asks to sign what it calls a challenge.
#[test]
fn s23_only_a_challenge_is_signed_as_one() {
    let (key, _) = someone();
    let challenge = "0123456789abcdef".repeat(4);
    let signature = sign_challenge(&challenge, &key).expect("a challenge");
    assert!(key.public_key().verify(challenge.as_bytes(), &signature));
    for bad in [
        "",
        &challenge[1..],
        &format!("{challenge}0"),
        &challenge.to_uppercase(),
        &challenge.replace('0', "g"),
        &format!("{}\n", &challenge[1..]),
        &format!("rotate:{}", &challenge[7..]),
    ] {
        assert_eq!(sign_challenge(bad, &key), None, "{bad:?}");
    }
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9é_ .-]{1,40}".prop_filter("a name", |name| is_attachment_name(name))
}

prop_compose! {
    fn any_attachments()(parts in prop::collection::btree_map(any_name(), prop::collection::vec(any::<u8>(), 0..2_000), 0..4))
        -> Vec<Attachment>
    {
        let content_type = "application/octet-stream".to_owned();
        let attachment = |(name, content)| Attachment { content, content_type: content_type.clone(), name };
        parts.into_iter().map(attachment).collect()
    }
}

fn any_artifact() -> impl Strategy<Value = Artifact> {
    let entry = prop::option::of(
        (0_u64..1 << 53)
            .prop_map(|index| EntryReference { index: LeafIndex::new(index), origin: ORIGIN.to_owned() }),
    );
    let name = "[^\\p{Cc}]{1,60}";
    (entry, name, any::<[u8; 32]>()).prop_map(|(entry, name, digest)| Artifact {
        entry,
        name,
        sha256: Hash::new(digest),
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let id = prop::option::of(any::<[u8; 16]>());
    let artifacts = prop::collection::vec(any_artifact(), 0..4);
    (any::<String>(), 0_usize..40, any_attachments(), artifacts, id, 1_u64..=604_800_000).prop_map(
        |(line, times, attachments, artifacts, reply, life)| Message {
            artifacts,
            attachments,
            body: line.repeat(times),
            expires: LogTime::from_millis(NOW + life).expect("a time"),
            in_reply_to: reply.map(attestation::message::MessageId::from_bytes),
            ..message(&someone().0)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What is sealed is opened as it was, in the smallest frame, and only by its key.
    #[test]
    fn what_is_sealed_is_opened(message in any_message(), ikm: [u8; 32]) {
        let (key, message_key) = someone();
        let signed = signed(message.clone());
        let did = message.sender;
        let sealed = signed.seal(did, message_key.public_key(), &mut Given(ikm.to_vec())).expect("addressed");
        let framed = 68 + signed.payload().len();
        let frame = FRAME_BYTES.into_iter().find(|frame| framed <= *frame).expect("it fits");
        prop_assert_eq!(sealed.as_bytes().len(), 86 + frame + 16);
        prop_assert_eq!(Sealed::from_base64(&sealed.to_base64()), Ok(sealed.clone()));

        let opened = open(&sealed).expect("opened");
        let now = LogTime::from_millis(NOW).expect("a time");
        let terms = Circumstances { sender: None, now, seen: false, registered_only: false };
        let accepted = opened.accept(&terms).expect("accepted");
        prop_assert_eq!(accepted.message(), &message);
        prop_assert_eq!(accepted.signed(), &signed);

        let thief = MessagePrivateKey::of_identity(&key);
        let mailbox = Mailbox { did, keys: &[thief], origin: ORIGIN, relay_sender: None };
        let refusal = mailbox.open(&sealed).map(|_| ()).expect_err("another key");
        prop_assert_eq!(refusal.rule(), "recipient-key");
    }

    /// No bytes panic, wherever they come from.
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), text: String) {
        let _ = Sealed::from_bytes(bytes.clone());
        let _ = Sealed::from_base64(&text);
        for route in [Route::Mailbox, Route::Messages] {
            let _ = SignedRequest::parse(&bytes, route, Ed25519PublicKey::from_bytes);
        }
        let _ = is_content_type(&text);
        let _ = is_attachment_name(&text);
        let content = LegacyContent {
            encrypted_content: tlog::encoding::base64(&bytes),
            signature: tlog::encoding::base64(&[0; 64]),
            timestamp: Some(text),
        };
        let did = Did::of_raw(&[0; 32]);
        if let Ok(mail) = LegacyMail::parse(did, did, content) {
            let _ = mail.check_time(LogTime::MAX);
        }
    }

    /// A sealed message of any content but the header is refused without a panic.
    #[test]
    fn no_ciphertext_panics(enc: [u8; 32], byte: u8, frame in prop::sample::select(FRAME_BYTES.to_vec())) {
        let good = seal(&signed(message(&someone().0)));
        let mut bytes = good.as_bytes()[..54].to_vec();
        bytes.extend(enc);
        bytes.resize(86 + frame + 16, byte);
        let sealed = Sealed::from_bytes(bytes).expect("its form holds");
        prop_assert_eq!(open(&sealed).map(|_| ()).expect_err("no message").rule(), "decryption");
    }
}
