//! Tells the formats apart, and reads each with the parser that everything else uses.

use std::fmt::Display;

use attestation::did::{self, Did};
use attestation::dsse::Envelope;
use attestation::entry::{Claim, DsseEntry, Entry, PendingEntry};
use attestation::event::EventEntry;
use attestation::evidence;
use attestation::finding::{self, Finding, Proof};
use attestation::provenance::BuildFacts;
use attestation::receipt::{Receipt, State};
use attestation::statement::Statement;
use serde_json::Value;
use tlog::UnixTime;
use tlog::add_checkpoint::AddCheckpoint;
use tlog::checkpoint::Checkpoint;
use tlog::encoding::base64;
use tlog::key::{KeyType, ML_DSA_44_SIGNATURE_BYTES, SignerKey, VerifierKey};
use tlog::note::{Note, NoteSignature};
use tlog::policy::Policy;
use tlog::proof::TlogProof;
use tlog::sign_subtree::SignSubtree;

use super::tree::Described;
use crate::clock;
use crate::keyfile::Stored;
use crate::report::{Failure, Result};

/// What these bytes are.
pub(super) fn file(bytes: &[u8]) -> Result<Described> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Failure::new("this is none of our formats: it is not UTF-8"))?;
    if text.trim_start().starts_with('{') {
        return json(bytes);
    }
    if text.starts_with("c2sp.org/tlog-proof@") {
        return Ok(proof(&TlogProof::parse(text).map_err(|error| malformed("tlog-proof", error))?));
    }
    if text.starts_with("old ") {
        let found = AddCheckpoint::parse(bytes).map_err(|error| malformed("request to cosign", error))?;
        return Ok(add_checkpoint(&found));
    }
    if text.starts_with("subtree ") {
        let found =
            SignSubtree::parse(bytes).map_err(|error| malformed("request to sign a subtree", error))?;
        return Ok(sign_subtree(&found));
    }
    if text.starts_with("— ") && !text.contains("\n\n— ") {
        return cosignatures(text);
    }
    if text.contains("\n\n— ") {
        return Ok(note(&Note::parse(bytes).map_err(|error| malformed("signed note", error))?));
    }
    if text.starts_with("PRIVATE+KEY+") {
        let key: SignerKey = text.trim_end().parse().map_err(|error| malformed("skey", error))?;
        return Ok(vkey(key.verifier()).text("private key", "is in the file, and not shown"));
    }
    if let Some(described) = name(text.trim_end()) {
        return Ok(described);
    }
    if text.starts_with("-----BEGIN PUBLIC KEY-----") {
        let key = did::from_pem(text).map_err(|error| malformed("public key", error))?;
        return Ok(Described::new("public key")
            .text("did", Did::of(&key))
            .text("did:key", did::to_did_key(&key)));
    }
    match text.parse::<Policy>() {
        Ok(found) => Ok(policy(&found)),
        Err(error) if text.lines().any(|line| line.starts_with("quorum ")) => Err(malformed("policy", error)),
        Err(_) => Err(Failure::new("this is none of our formats").hint(
            "known are receipts, envelopes, statements, entries, notes, tlog-proofs, policies, findings, evidence and keys",
        )),
    }
}

/// What a word is, if it is a name of ours.
pub(super) fn name(text: &str) -> Option<Described> {
    if let Ok(found) = text.parse::<Did>() {
        return Some(Described::new("did").text("did", found));
    }
    if let Ok(key) = did::from_did_key(text) {
        return Some(
            Described::new("did:key").text("did", Did::of(&key)).text("public key", base64(key.as_bytes())),
        );
    }
    text.parse().ok().map(|key| vkey(&key))
}

/// The members tell what an object is.
fn json(bytes: &[u8]) -> Result<Described> {
    let value = attestation::json::parse(bytes).map_err(|error| malformed("JSON", error))?;
    let has = |member: &str| value.get(member).is_some();
    if value.get("mediaType").is_some_and(|kind| kind == finding::MEDIA_TYPE) {
        Ok(finding_of(&Finding::parse(bytes).map_err(|error| malformed("finding", error))?))
    } else if value.get("mediaType").is_some_and(|kind| kind == evidence::MEDIA_TYPE) {
        Ok(evidence_of(&evidence::Evidence::parse(bytes).map_err(|error| malformed("evidence", error))?))
    } else if has("mediaType") {
        Ok(receipt(&Receipt::parse(bytes).map_err(|error| malformed("receipt", error))?))
    } else if has("payloadType") {
        let found = Envelope::parse(bytes).map_err(|error| malformed("envelope", error))?;
        envelope(&found)
    } else if has("_type") {
        Ok(statement(&Statement::parse(bytes).map_err(|error| malformed("statement", error))?))
    } else if has("apiVersion") {
        entry(bytes, &value)
    } else if has("private_key") || has("format") {
        credentials_file(bytes)
    } else if let Some(Value::String(text)) = value.get("policy") {
        let found: Policy = text.parse().map_err(|error| malformed("pin", error))?;
        let member = |name: &str| value.get(name).map_or(String::new(), |value| value.to_string());
        let pin = Described::new("pin").text("url", member("url")).text("size", member("size"));
        let pin = pin.text("root", member("root")).inner("policy", policy(&found));
        match value.get("checkpoint").and_then(Value::as_str) {
            None => Ok(pin),
            Some(seen) => {
                let seen = Note::parse(seen.as_bytes()).map_err(|error| malformed("pin", error))?;
                Ok(pin.inner("checkpoint", note(&seen)))
            }
        }
    } else {
        Err(Failure::new("this JSON is none of our formats"))
    }
}

fn evidence_of(evidence: &evidence::Evidence) -> Described {
    let lists = evidence.lists.iter().map(|(key, list)| format!("{key}  {} entries", list.len()));
    let entry = |element: &evidence::Element| {
        let what = match Entry::parse(&element.leaf) {
            Ok(Entry::Event(event)) => event.event().name().to_owned(),
            Ok(Entry::Dsse(entry)) => format!("artifact of {}", entry.claim().did()),
            Ok(Entry::NotUnderstood { .. }) => "not understood".to_owned(),
            Err(error) => format!("malformed: {error}"),
        };
        format!("{}  {what}", element.index)
    };
    Described::new("evidence")
        .inner("checkpoint", note(&evidence.checkpoint))
        .lines("lists", lists)
        .lines("entries", evidence.elements.iter().map(entry))
}

fn receipt(receipt: &Receipt) -> Described {
    let state = match receipt.state() {
        State::Signed => "signed: no log has been asked",
        State::Pending(_) => "pending: to be sent to its log",
        State::Logged(_) => "logged",
    };
    let mut described = Described::new("receipt")
        .text("state", state)
        .text("did", receipt.did())
        .text("did:key", did::to_did_key(receipt.public_key()))
        .inner("statement", statement(receipt.statement()))
        .text("signature", base64(receipt.envelope().signature()));
    match receipt.state() {
        State::Signed => {}
        State::Pending(entry) => described = described.inner("entry", pending(entry)),
        State::Logged(logged) => {
            described =
                described.inner("entry", logged_entry(&logged.entry)).inner("proof", proof(&logged.proof));
            if logged.sigstore_note.is_some() {
                described = described.text("sigstore note", "present");
            }
            described = match logged.identity.len() {
                0 => {
                    described.text("identity events", "none: unless the DID is registered, no gate takes it")
                }
                events => described.text("identity events", events),
            };
        }
    }
    described
}

fn envelope(envelope: &Envelope) -> Result<Described> {
    let payload = Statement::parse(envelope.unverified_payload());
    let payload = payload.map_err(|error| malformed("envelope's statement", error))?;
    Ok(Described::new("envelope")
        .text("hash", envelope.hash())
        .text("signature", base64(envelope.signature()))
        .inner("statement", statement(&payload)))
}

fn statement(statement: &Statement) -> Described {
    let subjects = statement.subjects().iter();
    let subjects = subjects.map(|subject| format!("{}  sha256:{}", subject.name, subject.sha256));
    let described = Described::new("statement")
        .text("predicate type", statement.predicate_type())
        .lines("subjects", subjects);
    let described = match BuildFacts::read(statement).self_asserted {
        true => described.text("provenance", "self-asserted, worth as much as its signer"),
        false => described,
    };
    described.json("predicate", Value::Object(statement.predicate()))
}

fn entry(bytes: &[u8], value: &Value) -> Result<Described> {
    if value.pointer("/spec/aip/loggedAt").is_none() && value.get("kind").is_some_and(|kind| kind == "dsse") {
        let found = PendingEntry::parse(bytes).map_err(|error| malformed("pending entry", error))?;
        return Ok(pending(&found));
    }
    match Entry::parse(bytes).map_err(|error| malformed("entry", error))? {
        Entry::Dsse(found) => Ok(logged_entry(&found)),
        Entry::Event(found) => Ok(logged_event(&found)),
        Entry::NotUnderstood { kind, version } => {
            Ok(Described::new("entry, not understood").text("entry kind", kind).text("version", version))
        }
    }
}

fn pending(entry: &PendingEntry) -> Described {
    claim(Described::new("pending entry"), entry.claim())
}

fn logged_entry(entry: &DsseEntry) -> Described {
    let time = clock::rfc3339_millis(entry.logged_at().as_millis());
    let leaf_hash = tlog::merkle::leaf_hash(&entry.to_bytes());
    claim(Described::new("entry"), entry.claim()).text("logged at", time).text("leaf hash", leaf_hash)
}

fn logged_event(entry: &EventEntry) -> Described {
    let event = entry.event();
    let described = Described::new("event")
        .text("event", event.name())
        .text("issuer", event.issuer())
        .text("subject", event.subject())
        .text("origin", event.origin())
        .text("event hash", entry.pending().hash().get())
        .text("logged at", clock::rfc3339_millis(entry.logged_at().as_millis()))
        .text("leaf hash", tlog::merkle::leaf_hash(&entry.to_bytes()));
    match Statement::parse(&event.to_payload()) {
        Ok(found) => described.inner("statement", statement(&found)),
        Err(_) => described,
    }
}

fn claim(described: Described, claim: &Claim) -> Described {
    let described = described
        .text("did", claim.did())
        .text("origin", claim.origin())
        .text("claim hash", claim.hash().get())
        .text("envelope hash", claim.envelope_hash());
    match claim.listing() {
        None => described.text("visibility", "private: it names no subjects and no predicate type"),
        Some(listing) => described
            .text("predicate type", &listing.predicate_type)
            .lines("subjects", listing.subjects.iter().map(|hash| format!("sha256:{hash}"))),
    }
}

fn proof(proof: &TlogProof) -> Described {
    Described::new("tlog-proof")
        .text("index", proof.index)
        .text("hashes", proof.hashes.len())
        .inner("checkpoint", note(&proof.checkpoint))
}

fn note(note: &Note) -> Described {
    let described = match Checkpoint::parse(note.text()) {
        Ok(checkpoint) => Described::new("checkpoint")
            .text("origin", &checkpoint.origin)
            .text("size", checkpoint.size)
            .text("root", checkpoint.root.to_base64())
            .lines("extensions", checkpoint.extensions),
        Err(_) => Described::new("signed note").lines("text", note.text().lines().map(str::to_owned)),
    };
    described.lines("signatures", note.signatures().iter().map(signature_line))
}

/// A signature line. Its type is in the key and not in the line, but only cosignatures are this long.
fn signature_line(line: &NoteSignature) -> String {
    let says = match (line.signature().len(), line.signature().split_first_chunk()) {
        (ED25519_COSIGNATURE_BYTES | ML_DSA_44_COSIGNATURE_BYTES, Some((time, _))) => {
            format!(", cosigned {}", clock::rfc3339(UnixTime::from_secs(u64::from_be_bytes(*time))))
        }
        _ => String::new(),
    };
    format!("{} (key {}){says}", line.name(), line.id())
}

/// What a witness answers: signature lines without their note.
fn cosignatures(text: &str) -> Result<Described> {
    let mut lines = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = NoteSignature::parse(line)
            .ok_or_else(|| malformed("witness's answer", format!("line {number} is no signature line")))?;
        lines.push(signature_line(&line));
    }
    Ok(Described::new("cosignatures").lines("signatures", lines))
}

fn add_checkpoint(request: &AddCheckpoint) -> Described {
    Described::new("request to cosign a checkpoint")
        .text("old size", request.old)
        .text("consistency proof", format!("{} hashes", request.proof.len()))
        .inner("checkpoint", note(&request.checkpoint))
}

fn sign_subtree(request: &SignSubtree) -> Described {
    Described::new("request to sign a subtree")
        .text("leaves", format!("{} to {}", request.start, request.end))
        .text("root", request.root.to_base64())
        .text("consistency proof", format!("{} hashes", request.proof.len()))
        .inner("checkpoint", note(&request.checkpoint))
}

fn finding_of(finding: &Finding) -> Described {
    let described = Described::new("finding")
        .text("class", finding.class())
        .text("origin", finding.origin())
        .lines("log keys, by the finder's word", finding.vkeys().iter().map(ToString::to_string))
        .text("found at", clock::rfc3339_millis(finding.found_at().as_millis()))
        .text("detail", finding.detail());
    match finding.proof() {
        Proof::Fork(fork) => described
            .inner("older", note(&fork.older))
            .inner("newer", note(&fork.newer))
            .text("root of the newer at the older size", fork.prefix_root.to_base64()),
        Proof::Shrink(shrink) => {
            described.inner("larger", note(&shrink.larger)).inner("smaller, later", note(&shrink.smaller))
        }
        Proof::BadTile(bad) => described.inner("checkpoint", note(&bad.checkpoint)),
        Proof::BadEntry(bad) => described
            .inner("checkpoint", note(&bad.checkpoint))
            .text("index", bad.leaf.index)
            .text("broken rule", bad.rule),
        Proof::FalseAssertion(said) => described
            .inner("assertion", note(&said.assertion))
            .text("list", said.list)
            .text("entries, as asserted", said.entries.len())
            .text("index", said.leaf.index),
        Proof::Forgotten(forgotten) => {
            let described =
                described.text("witness", &forgotten.witness).inner("larger", note(&forgotten.larger));
            match &forgotten.smaller {
                None => described,
                Some(smaller) => described.inner("smaller, shown later", note(smaller)),
            }
        }
        Proof::Stale(stale) => {
            let described = described.inner("checkpoint", note(&stale.checkpoint));
            match &stale.ahead {
                None => described,
                Some(ahead) => described.inner("ahead of it", note(ahead)),
            }
        }
    }
}

fn policy(policy: &Policy) -> Described {
    let quorum = policy.quorum_name().unwrap_or("none");
    Described::new("policy")
        .lines("logs", policy.logs().iter().map(|log| log.vkey.to_string()))
        .lines(
            "witnesses",
            policy.witnesses().iter().map(|witness| format!("{} {}", witness.name, witness.vkey)),
        )
        .lines(
            "groups",
            policy.groups().iter().map(|group| format!("{} needs {}", group.name, group.threshold)),
        )
        .text("quorum", quorum)
        .text("fewest cosignatures", policy.weakest_quorum())
        .text("dishonest witnesses for an unseen fork", policy.strength().dishonest_to_fork)
}

fn vkey(key: &VerifierKey) -> Described {
    Described::new("vkey")
        .text("name", key.name())
        .text("key id", key.id())
        .text("type", key_type(key.key().key_type()))
        .text("full id", key.full_id())
}

fn key_type(kind: KeyType) -> &'static str {
    match kind {
        KeyType::Ed25519 => "Ed25519 (0x01): signs a log's checkpoints",
        KeyType::Ed25519Cosignature => "Ed25519 cosignature (0x04): a witness's",
        KeyType::MlDsa44Cosignature => "ML-DSA-44 cosignature (0x06): a witness's, or a log's own",
    }
}

fn credentials_file(bytes: &[u8]) -> Result<Described> {
    match Stored::parse(bytes).map_err(|error| malformed("credentials file", error))? {
        None => Err(malformed("credentials file", "it has no `did` or no `private_key`")),
        Some(Stored::Encrypted(encrypted)) => {
            Ok(Described::new("credentials, encrypted").text("did", encrypted.did))
        }
        Some(Stored::Plain(found)) => Ok(Described::new("credentials")
            .text("did", found.did)
            .text("the key's own did", Did::of(&found.key.public_key()))
            .text("private key", "is in the file, and not shown")),
    }
}

fn malformed(what: &str, error: impl Display) -> Failure {
    Failure::new(format!("this looks like a {what} and is malformed")).because(error)
}

/// A time before a signature.
const ED25519_COSIGNATURE_BYTES: usize = 8 + 64;
const ML_DSA_44_COSIGNATURE_BYTES: usize = 8 + ML_DSA_44_SIGNATURE_BYTES;
