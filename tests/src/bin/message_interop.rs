//! `message_interop seal|open|judge|box|unbox`: sealed messages and legacy boxes as this project makes and reads them, for `tests/interop` to hand
//! to programs of others and back.
//!
//! ```text
//! seal       1,000 lines {"privateKey","recipient","payload","sealed"}, of every size
//! open       reads such lines: each must open and verify, and with one bit flipped be refused
//! judge      reads such lines with a member "reason", by another's judgement: a rule, or `accepted`
//! box        1,000 lines {"seed","recipient","sender","senderKey","text","encrypted_content","signature","timestamp"}
//! unbox      as open, for these
//! ```
//! Exit code 1 if a line does not hold. Keys are test keys.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead as _, BufWriter, Write as _};
use std::process::ExitCode;

use attestation::Did;
use attestation::entry::LogTime;
use attestation::message::{
    Accepted, Attachment, Circumstances, LegacyCircumstances, LegacyContent, LegacyMail, Mailbox, Message,
    MessageId, MessagePrivateKey, Refusal, Sealed, SignedMessage, TEXT,
};
use getrandom::SysRng;
use rand_core::{CryptoRng, UnwrapErr};
use serde_json::{Value, json};
use tlog::encoding::{base64, decode_base64, decode_base64_array};
use tlog::key::{Ed25519PrivateKey, Ed25519PublicKey};

type Checked<T> = Result<T, Box<dyn Error>>;

const COUNT: usize = 1_000;
const ORIGIN: &str = "interop.example/log";
const NOW: LogTime = LogTime::from_millis(1_790_000_000_000).expect("a time");

/// Bodies that fill each of the eight frames.
const BODY_BYTES: [usize; 8] = [0, 1_000, 2_500, 6_000, 14_000, 30_000, 60_000, 65_000];

fn main() -> ExitCode {
    let command = std::env::args().nth(1).unwrap_or_default();
    let done = match command.as_str() {
        "seal" => write(seal),
        "open" => read(open),
        "judge" => judge(),
        "box" => write(make_box),
        "unbox" => read(unbox),
        _ => Err("message_interop seal|open|judge|box|unbox".into()),
    };
    match done {
        Ok(summary) => {
            eprintln!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("message_interop {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(make: impl Fn(usize, &mut UnwrapErr<SysRng>) -> Checked<Value>) -> Checked<String> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for number in 0..COUNT {
        writeln!(out, "{}", make(number, &mut UnwrapErr(SysRng))?)?;
    }
    out.flush()?;
    Ok(format!("{COUNT} made"))
}

fn read(check: impl Fn(usize, &Value) -> Checked<()>) -> Checked<String> {
    let mut count = 0;
    for line in std::io::stdin().lock().lines() {
        let line = serde_json::from_str(&line?)?;
        check(count, &line).map_err(|error| format!("line {}: {error}", count + 1))?;
        count += 1;
    }
    if count == COUNT {
        Ok(format!("{count} opened, {count} altered ones refused"))
    } else {
        Err(format!("{count} lines").into())
    }
}

fn text<'v>(line: &'v Value, member: &str) -> Checked<&'v str> {
    line[member].as_str().ok_or_else(|| format!("no text `{member}`").into())
}

fn random<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn seal(number: usize, rng: &mut UnwrapErr<SysRng>) -> Checked<Value> {
    let sender = Ed25519PrivateKey::generate(rng);
    let recipient = Did::from_bytes(random(rng));
    let key = MessagePrivateKey::generate(rng);
    let body_bytes = BODY_BYTES[number % BODY_BYTES.len()];
    let attached = if body_bytes == 65_000 { vec![7; 20_000] } else { vec![number as u8; number % 7] };
    let message = Message {
        artifacts: Vec::new(),
        attachments: vec![Attachment {
            content: attached,
            content_type: "application/octet-stream".to_owned(),
            name: format!("é{number}.bin"),
        }],
        body: format!("#{number} \u{1b}[0m\u{202e}😀\"\\\n{}", "x".repeat(body_bytes)),
        content_type: TEXT.to_owned(),
        created: NOW,
        expires: LogTime::from_millis(NOW.as_millis() + 1_000).expect("a time"),
        id: MessageId::from_bytes(random(rng)),
        in_reply_to: None,
        origin: ORIGIN.to_owned(),
        recipients: vec![recipient],
        sender: Did::of(&sender.public_key()),
    };
    let signed = SignedMessage::sign(message, &sender)?;
    let sealed = signed.seal(recipient, key.public_key(), rng)?;
    Ok(json!({
        "privateKey": hex::encode(*key.to_bytes()),
        "recipient": recipient.to_string(),
        "payload": std::str::from_utf8(signed.payload())?,
        "sealed": sealed.to_base64(),
    }))
}

fn open(number: usize, line: &Value) -> Checked<()> {
    let private = hex::decode(text(line, "privateKey")?)?;
    let private = private.as_slice().try_into()?;
    let keys = [MessagePrivateKey::from_bytes(private)];
    let mailbox =
        Mailbox { did: text(line, "recipient")?.parse()?, keys: &keys, origin: ORIGIN, relay_sender: None };
    let open = |sealed: Sealed| {
        let circumstances = Circumstances { sender: None, now: NOW, seen: false, registered_only: false };
        mailbox.open(&sealed)?.accept(&circumstances)
    };
    let sealed = Sealed::from_base64(text(line, "sealed")?)?;
    let accepted = open(sealed.clone())?;
    if accepted.signed().payload() != text(line, "payload")?.as_bytes() {
        return Err("another payload".into());
    }
    let mut altered = sealed.as_bytes().to_vec();
    flip(number, &mut altered);
    match Sealed::from_bytes(altered).map_err(Into::into).and_then(open) {
        Ok(_) => Err("an altered message was accepted".into()),
        Err(_) => Ok(()),
    }
}

/// Ours and the other's judgement of each line; prints how many there were of each.
fn judge() -> Checked<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let reason = match accept(&line)? {
            Ok(_) => "accepted",
            Err(refusal) => refusal.rule(),
        };
        if reason != text(&line, "reason")? {
            return Err(format!("we say {reason}, and not {} of {}", line["reason"], line["payload"]).into());
        }
        *counts.entry(reason.to_owned()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    println!("{}", counts.join(", "));
    Ok("judged alike".to_owned())
}

fn accept(line: &Value) -> Checked<Result<Accepted, Refusal>> {
    let private = hex::decode(text(line, "privateKey")?)?;
    let keys = [MessagePrivateKey::from_bytes(private.as_slice().try_into()?)];
    let mailbox =
        Mailbox { did: text(line, "recipient")?.parse()?, keys: &keys, origin: ORIGIN, relay_sender: None };
    let circumstances = Circumstances { sender: None, now: NOW, seen: false, registered_only: false };
    let opened = mailbox.open(&Sealed::from_base64(text(line, "sealed")?)?);
    Ok(opened.and_then(|opened| opened.accept(&circumstances)))
}

/// One bit, another one for each line.
fn flip(number: usize, bytes: &mut [u8]) {
    let bit = (number * 7_919) % (8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn make_box(number: usize, rng: &mut UnwrapErr<SysRng>) -> Checked<Value> {
    let (sender, recipient) = (Ed25519PrivateKey::generate(rng), Ed25519PrivateKey::generate(rng));
    let said = format!("#{number} 😀 {}", "x".repeat(number));
    let dids = [&sender, &recipient].map(|key| Did::of(&key.public_key()));
    let mail = LegacyMail::seal(&said, dids[0], &sender, dids[1], &recipient.public_key(), NOW, rng)?;
    let mut line = serde_json::to_value(mail.content())?;
    line["seed"] = hex::encode(*recipient.seed()).into();
    line["recipient"] = dids[1].to_string().into();
    line["sender"] = dids[0].to_string().into();
    line["senderKey"] = base64(sender.public_key().as_bytes()).into();
    line["text"] = said.into();
    Ok(line)
}

fn unbox(number: usize, line: &Value) -> Checked<()> {
    let seed = hex::decode(text(line, "seed")?)?;
    let key = MessagePrivateKey::of_identity(&Ed25519PrivateKey::from_seed(seed.as_slice().try_into()?));
    let sender_key = decode_base64_array(text(line, "senderKey")?).ok_or("no key")?;
    let sender_key = Ed25519PublicKey::from_bytes(&sender_key)?;
    let (sender, recipient) = (text(line, "sender")?.parse()?, text(line, "recipient")?.parse()?);
    let circumstances = LegacyCircumstances {
        did: recipient,
        key: &key,
        received_at: NOW,
        sender_key: &sender_key,
        seen: false,
    };
    let content: LegacyContent = serde_json::from_value(line.clone())?;
    let mail = LegacyMail::parse(sender, recipient, content.clone())?;
    if mail.open(&circumstances)? != text(line, "text")? {
        return Err("another text".into());
    }
    let mut altered = decode_base64(&content.encrypted_content).ok_or("no base64")?;
    flip(number, &mut altered);
    let altered = LegacyContent { encrypted_content: base64(&altered), ..content };
    match LegacyMail::parse(sender, recipient, altered)?.open(&circumstances) {
        Ok(_) => Err("an altered box was accepted".into()),
        Err(_) => Ok(()),
    }
}
