//! The statement of an event. It has one spelling: reading writes it again and compares.

use serde_json::{Map, Value, json};
use tlog::{Hash, LeafIndex, encoding};

use super::{
    Body, Capabilities, Commitment, DatedKey, Event, EventError, FailureReason, IdentityEvent, Level, Link,
    MessageKeys, RawKey, Reference, Scope, StatementId, TrustEvent,
};
use crate::did::Did;
use crate::json::Object;
use crate::logged::{ClaimHash, LogTime};
use crate::message_key::MessageKey;
use crate::quote::quoted;
use crate::statement::{EVENT_PREDICATE_BASE, Statement, Subject};

/// The bytes of the statement.
pub(super) fn encode(event: &Event) -> Vec<u8> {
    let name = event.subject.to_string();
    let digest = Hash::of(name.as_bytes());
    let mut predicate = match &event.body {
        Body::Identity(event) => identity_members(event),
        Body::MessageKeys(keys) => message_keys_members(keys),
        Body::Trust(event) => trust_members(event),
    };
    predicate.insert("issuer".to_owned(), event.issuer.to_string().into());
    predicate.insert("origin".to_owned(), event.origin.clone().into());
    Statement::new(vec![Subject::new(name, digest)], event.predicate_type(), predicate)
        .expect("one subject named by a DID, and a short type, are a statement")
        .to_payload()
}

/// The event in a payload.
pub(super) fn decode(payload: &[u8]) -> Result<Event, EventError> {
    let statement = Statement::parse(payload)?;
    let subject = match statement.subjects() {
        [subject] if subject.other_digests.is_empty() => subject,
        _ => return Err(EventError::Subject),
    };
    if subject.sha256 != Hash::of(subject.name.as_bytes()) {
        return Err(EventError::Subject);
    }
    let did = subject.name.parse().map_err(|_| EventError::Subject)?;
    let kind = statement.predicate_type();
    let unknown = || EventError::Unknown(quoted(kind));
    let name = kind.strip_prefix(EVENT_PREDICATE_BASE).and_then(|rest| rest.strip_suffix("/v1"));
    let name = name.ok_or_else(unknown)?;
    let read = || {
        let predicate = Value::Object(statement.predicate());
        let mut members = Members(Object::new("predicate".to_owned(), predicate)?);
        let issuer = members.did("issuer")?;
        let origin = members.0.string("origin")?;
        let body = members.body(name)?.ok_or_else(unknown)?;
        members.0.finish()?;
        let event = Event::new(issuer, origin, did, body)?;
        if encode(&event) != payload { Err(EventError::NotCanonical("statement")) } else { Ok(event) }
    };
    match read() {
        Err(error) if name == MessageKeys::NAME => Err(EventError::MessageKeys(Box::new(error))),
        event => event,
    }
}

fn identity_members(event: &IdentityEvent) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    if let Some(Link { sequence, previous }) = event.link() {
        put("sequence", sequence.into());
        put("previous", previous.get().to_string().into());
    }
    let names = |capabilities: &Capabilities| capabilities.names().collect::<Vec<_>>().into();
    match event {
        IdentityEvent::Inception { key, next, recovery, capabilities, public_name } => {
            put("key", encoding::base64(key).into());
            put("nextKey", next.0.to_string().into());
            put("recoveryKey", recovery.0.to_string().into());
            put("capabilities", names(capabilities));
            if let Some(name) = public_name {
                put("publicName", name.clone().into());
            }
        }
        IdentityEvent::Rotation { key, next, capabilities, .. } => {
            put("key", encoding::base64(key).into());
            put("nextKey", next.0.to_string().into());
            put("capabilities", names(capabilities));
        }
        IdentityEvent::Recovery { key, next, recovery, capabilities, since, .. } => {
            put("key", encoding::base64(key).into());
            put("nextKey", next.0.to_string().into());
            put("recoveryKey", recovery.0.to_string().into());
            put("capabilities", names(capabilities));
            put("since", reference(since));
        }
        IdentityEvent::Compromise { since, .. } => put("since", reference(since)),
        IdentityEvent::Deactivation { .. } => (),
    }
    members
}

fn message_keys_members(event: &MessageKeys) -> Map<String, Value> {
    let key = |key: &DatedKey| json!({"key": encoding::base64(key.key.as_bytes()), "notAfter": key.not_after.as_millis()});
    let mut members = Map::new();
    members.insert("issuedAt".to_owned(), event.issued_at.as_millis().into());
    members.insert("keys".to_owned(), event.keys.iter().map(key).collect());
    if let Some(previous) = event.previous {
        members.insert("previous".to_owned(), previous.get().to_string().into());
    }
    members
}

fn trust_members(event: &TrustEvent) -> Map<String, Value> {
    let mut members = Map::new();
    let mut put = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    match event {
        TrustEvent::Vouch { id, issued_at, scope, level, depth, expires_at } => {
            put("id", hex::encode(id.0).into());
            put("issuedAt", issued_at.as_millis().into());
            put("scope", scope.name().into());
            put("level", level.name().into());
            if let Some(depth) = depth {
                put("depth", (*depth).into());
            }
            put("expiresAt", expires_at.as_millis().into());
        }
        TrustEvent::Revocation { id, issued_at, scope } | TrustEvent::Distrust { id, issued_at, scope } => {
            put("id", hex::encode(id.0).into());
            put("issuedAt", issued_at.as_millis().into());
            put("scope", scope.name().into());
        }
        TrustEvent::Confirmation { artifact, receipt, build } => {
            put("artifact", artifact.to_string().into());
            put("receipt", reference(receipt));
            put("build", reference(build));
        }
        TrustEvent::Failure { id, artifact, reason } => {
            put("id", hex::encode(id.0).into());
            put("artifact", artifact.to_string().into());
            put("reason", reason.name().into());
        }
        TrustEvent::Withdrawal { failure } => put("failure", reference(failure)),
        TrustEvent::Equivocation { receipts, statements } => {
            put("receipts", receipts.iter().map(reference).collect());
            put("statements", statements.iter().map(|payload| encoding::base64(payload)).collect());
        }
    }
    members
}

fn reference(reference: &Reference) -> Value {
    json!({"index": reference.index.get(), "origin": reference.origin})
}

/// Takes the members of a predicate.
struct Members(Object);

impl Members {
    /// What the event with this name says; `None` if no event has it.
    fn body(&mut self, name: &str) -> Result<Option<Body>, EventError> {
        Ok(Some(match name {
            "inception" => Body::Identity(IdentityEvent::Inception {
                key: self.key("key")?,
                next: self.commitment("nextKey")?,
                recovery: self.commitment("recoveryKey")?,
                capabilities: self.capabilities()?,
                public_name: self.0.optional_string("publicName")?,
            }),
            "rotation" => Body::Identity(IdentityEvent::Rotation {
                link: self.link()?,
                key: self.key("key")?,
                next: self.commitment("nextKey")?,
                capabilities: self.capabilities()?,
            }),
            "recovery" => Body::Identity(IdentityEvent::Recovery {
                link: self.link()?,
                key: self.key("key")?,
                next: self.commitment("nextKey")?,
                recovery: self.commitment("recoveryKey")?,
                capabilities: self.capabilities()?,
                since: self.reference("since")?,
            }),
            "compromise" => Body::Identity(IdentityEvent::Compromise {
                link: self.link()?,
                since: self.reference("since")?,
            }),
            "deactivation" => Body::Identity(IdentityEvent::Deactivation { link: self.link()? }),
            "binding" => return Err(EventError::Reserved),
            MessageKeys::NAME => Body::MessageKeys(MessageKeys {
                issued_at: self.time("issuedAt")?,
                keys: self.0.objects("keys")?.into_iter().map(read_dated_key).collect::<Result<_, _>>()?,
                previous: self.optional_hash("previous")?.map(ClaimHash::new),
            }),
            "vouch" => Body::Trust(TrustEvent::Vouch {
                id: self.id()?,
                issued_at: self.time("issuedAt")?,
                scope: self.scope()?,
                level: self.named("level", "ULTIMATE, STRONG, MODERATE or WEAK", Level::parse)?,
                depth: self.depth()?,
                expires_at: self.time("expiresAt")?,
            }),
            "revocation" => Body::Trust(TrustEvent::Revocation {
                id: self.id()?,
                issued_at: self.time("issuedAt")?,
                scope: self.scope()?,
            }),
            "distrust" => Body::Trust(TrustEvent::Distrust {
                id: self.id()?,
                issued_at: self.time("issuedAt")?,
                scope: self.scope()?,
            }),
            "confirmation" => Body::Trust(TrustEvent::Confirmation {
                artifact: self.hash("artifact")?,
                receipt: self.reference("receipt")?,
                build: self.reference("build")?,
            }),
            "failure" => Body::Trust(TrustEvent::Failure {
                id: self.id()?,
                artifact: self.hash("artifact")?,
                reason: self.named(
                    "reason",
                    "digest, receipt, reproduction or signature",
                    FailureReason::parse,
                )?,
            }),
            "withdrawal" => Body::Trust(TrustEvent::Withdrawal { failure: self.reference("failure")? }),
            "equivocation" => Body::Trust(self.equivocation()?),
            _ => return Ok(None),
        }))
    }

    fn equivocation(&mut self) -> Result<TrustEvent, EventError> {
        let receipts = self.0.objects("receipts")?.into_iter().map(read_reference);
        let receipts: Vec<Reference> = receipts.collect::<Result<_, _>>()?;
        let decode = |text: String| encoding::decode_base64(&text);
        let bad = EventError::Value { member: "statements", want: "two payloads in canonical base64" };
        let statements: Option<Vec<Vec<u8>>> =
            self.0.strings("statements")?.into_iter().map(decode).collect();
        let statements = statements.and_then(|payloads| <[Vec<u8>; 2]>::try_from(payloads).ok());
        Ok(TrustEvent::Equivocation {
            receipts: receipts.try_into().map_err(|_| EventError::ReceiptOrder)?,
            statements: statements.ok_or(bad)?,
        })
    }

    fn link(&mut self) -> Result<Link, EventError> {
        let sequence = u32::try_from(self.0.integer("sequence")?);
        let bad = EventError::Value { member: "sequence", want: "a number of events" };
        let previous = ClaimHash::new(self.hash("previous")?);
        Ok(Link { sequence: sequence.map_err(|_| bad)?, previous })
    }

    fn key(&mut self, member: &'static str) -> Result<RawKey, EventError> {
        let bad = EventError::Value { member, want: "32 bytes in canonical base64" };
        encoding::decode_base64_array(&self.0.string(member)?).ok_or(bad)
    }

    fn hash(&mut self, member: &'static str) -> Result<Hash, EventError> {
        let bad = EventError::Value { member, want: "64 lower-case hex digits" };
        Hash::from_hex(&self.0.string(member)?).ok_or(bad)
    }

    fn optional_hash(&mut self, member: &'static str) -> Result<Option<Hash>, EventError> {
        if self.0.has(member) { self.hash(member).map(Some) } else { Ok(None) }
    }

    fn commitment(&mut self, member: &'static str) -> Result<Commitment, EventError> {
        self.hash(member).map(Commitment)
    }

    fn capabilities(&mut self) -> Result<Capabilities, EventError> {
        let member = "capabilities";
        let bad = EventError::Value { member, want: "some of messages, receipts, vouches, in this order" };
        let names = self.0.strings(member)?;
        Capabilities::from_names(names.iter().map(String::as_str)).ok_or(bad)
    }

    fn id(&mut self) -> Result<StatementId, EventError> {
        let text = self.0.string("id")?;
        let mut id = [0; 16];
        let bad = EventError::Value { member: "id", want: "32 lower-case hex digits" };
        // Upper case is caught when the statement is written again.
        hex::decode_to_slice(&text, &mut id).map_err(|_| bad)?;
        Ok(StatementId(id))
    }

    fn scope(&mut self) -> Result<Scope, EventError> {
        let want = "GENERAL, CODE_SIGNING, FINANCIAL, INFORMATION or IDENTITY";
        self.named("scope", want, Scope::parse)
    }

    fn named<T>(
        &mut self,
        member: &'static str,
        want: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, EventError> {
        parse(&self.0.string(member)?).ok_or(EventError::Value { member, want })
    }

    fn depth(&mut self) -> Result<Option<u8>, EventError> {
        if !self.0.has("depth") {
            return Ok(None);
        }
        let depth = u8::try_from(self.0.integer("depth")?);
        depth.map(Some).map_err(|_| EventError::Value { member: "depth", want: "0 to 7" })
    }

    fn time(&mut self, member: &'static str) -> Result<LogTime, EventError> {
        read_time(&mut self.0, member)
    }

    fn did(&mut self, member: &'static str) -> Result<Did, EventError> {
        let did = self.0.string(member)?.parse();
        did.map_err(|_| EventError::Value { member, want: "a did:aip" })
    }

    fn reference(&mut self, member: &'static str) -> Result<Reference, EventError> {
        read_reference(self.0.object(member)?)
    }
}

fn read_time(object: &mut Object, member: &'static str) -> Result<LogTime, EventError> {
    let time = LogTime::from_millis(object.integer(member)?);
    time.ok_or(EventError::Value { member, want: "a time up to 2^53 - 1 ms" })
}

fn read_dated_key(mut key: Object) -> Result<DatedKey, EventError> {
    let bad = EventError::Value { member: "keys", want: "of 32 bytes each in canonical base64" };
    let raw = encoding::decode_base64_array(&key.string("key")?).ok_or(bad)?;
    let not_after = read_time(&mut key, "notAfter")?;
    key.finish()?;
    let key = MessageKey::from_bytes(&raw).map_err(EventError::MessageKey)?;
    Ok(DatedKey { key, not_after })
}

fn read_reference(mut reference: Object) -> Result<Reference, EventError> {
    let index = LeafIndex::new(reference.integer("index")?);
    let origin = reference.string("origin")?;
    reference.finish()?;
    Ok(Reference { origin, index })
}
