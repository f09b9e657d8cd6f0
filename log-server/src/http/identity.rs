//! DIDs: their documents (W3C DID Core), and what proves them. Only what is published.

use std::sync::Arc;

use attestation::api::{
    DidDocument, DidMetadata, KeyPeriod, Lists, ProvedLeaf, Registered, Resolution, Service,
    VerificationMethod, Window,
};
use attestation::did::{self, Did};
use attestation::entry::{Entry, LogTime};
use attestation::event::RawKey;
use attestation::identity::{self, Status};
use attestation::lists::{ListKey, Listed};
use attestation::message::{MessageKey, Recipient};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tlog::key::Ed25519PublicKey;
use tlog::{LeafIndex, encoding};

use super::error::Problem;
use super::{App, Client, Parts, fresh_json, in_turn};
use log_core::StoreError;
use log_core::keys::List;
use log_core::port::Direction;

use crate::view::View;

/// The DID document.
#[utoipa::path(get, tag = "identity", path = "/did/{did}", params(("did" = String, Path, description = "the DID")), responses(
    (status = 200, description = "The DID document (W3C DID Core)", body = Object, content_type = "application/did+json"),
    (status = 400, description = "Not a DID of this method", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "The log knows nothing of it", body = Problem, content_type = "application/problem+json")))]
pub async fn document(
    State(app): State<Arc<App>>,
    Client(client): Client,
    Parts(did): Parts<String>,
) -> Result<Response, Problem> {
    let did = parse(&did)?;
    in_turn(&app, &app.work, client, move |app| describe(app, did)).await
}

fn describe(app: &App, did: Did) -> Result<Response, Problem> {
    let known = Known::read(&app.view(), did)?.ok_or_else(|| unknown(did))?;
    // Also where the log's own address is not known: this one is relative.
    let described_by = format!("<{}>; rel=\"describedby\"", resolution_path(did));
    let headers = [
        (header::CONTENT_TYPE, "application/did+json".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::LINK, described_by),
    ];
    let document = known.document(did, app.terms().address.as_deref(), time(app));
    let json = serde_json::to_string(&document).expect("strings are JSON");
    Ok((headers, json).into_response())
}

/// The DID document, its metadata and the proof of both.
#[utoipa::path(get, tag = "identity", path = "/api/v1/dids/{did}", params(("did" = String, Path, description = "the DID")), responses(
    (status = 200, description = "What the log knows, with proofs", body = Resolution),
    (status = 400, description = "Not a DID of this method", body = Problem, content_type = "application/problem+json")))]
pub async fn resolution(
    State(app): State<Arc<App>>,
    Client(client): Client,
    Parts(did): Parts<String>,
) -> Result<Response, Problem> {
    let did = parse(&did)?;
    in_turn(&app, &app.work, client, move |app| Ok(fresh_json(resolve(app, did)?))).await
}

fn resolve(app: &App, did: Did) -> Result<Resolution, Problem> {
    let view = app.view();
    let known = Known::read(&view, did)?;
    let size = view.published().size().get();
    let (document, metadata) = match known {
        None => (None, DidMetadata::bare(size)),
        Some(known) => {
            let metadata = known.metadata(size);
            (Some(known.document(did, app.terms().address.as_deref(), time(app))), metadata)
        }
    };
    Ok(Resolution {
        did_document: document,
        did_document_metadata: metadata,
        checkpoint: view.published().note.to_string(),
        identity: identity_proofs(&view, did)?,
    })
}

/// Lists by their names.
#[utoipa::path(get, tag = "identity", path = "/api/v1/lists", params(("key" = Vec<String>, Query, description = "a list's name (`specs/evidence.md`); up to 64")), responses(
    (status = 200, description = "The lists as of the published tree", body = Lists),
    (status = 400, description = "No name of a list, none, or too many", body = Problem, content_type = "application/problem+json"),
    (status = 413, description = "The lists are too long together", body = Problem, content_type = "application/problem+json")))]
pub async fn lists(
    State(app): State<Arc<App>>,
    Client(client): Client,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut keys: Vec<ListKey> = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let name = pair
            .strip_prefix("key=")
            .ok_or_else(|| Problem::bad_request("query", "the only parameter is `key`, once a list"))?;
        // A name has nothing to escape but its colons.
        let name = name.replace("%3A", ":").replace("%3a", ":");
        let key = name.parse().map_err(|_| {
            Problem::bad_request("key", "no list has this name")
                .detail(name.chars().take(200).collect::<String>())
                .hint("such as `id:did:aip:…`; specs/evidence.md names the lists")
        })?;
        keys.push(key);
    }
    if keys.is_empty() || keys.len() > MAX_LISTS {
        return Err(Problem::bad_request("key", format!("1 to {MAX_LISTS} lists, not {}", keys.len())));
    }
    in_turn(&app, &app.work, client, move |app| Ok(fresh_json(read_lists(&app.view(), keys)?))).await
}

fn read_lists(view: &View, keys: Vec<ListKey>) -> Result<Lists, Problem> {
    let mut lists = std::collections::BTreeMap::new();
    let mut room = MAX_LISTED;
    for key in keys {
        let entries = listed(view, key, room + 1)?;
        room = room.checked_sub(entries.len()).ok_or_else(|| {
            let title = format!("the lists have more than {MAX_LISTED} entries together");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "lists-length", title)
                .hint("ask for fewer, or read the log itself")
        })?;
        let entries = entries.iter().map(|entry| encoding::base64(&entry.to_bytes())).collect();
        lists.insert(key.to_string(), entries);
    }
    Ok(Lists { tree_size: view.published().size().get(), lists })
}

/// The entries of a list in the published tree, up to `limit`.
pub fn listed(view: &View, key: ListKey, limit: usize) -> Result<Vec<Listed>, StoreError> {
    view.list(&List::Named(key), 0, Direction::Ascending, limit)
}

/// The identity events of a DID in the published tree, with proofs to its checkpoint.
pub fn identity_proofs(view: &View, did: Did) -> Result<Vec<ProvedLeaf>, Problem> {
    let prove = |(index, leaf): (LeafIndex, Vec<u8>)| {
        Ok(ProvedLeaf { leaf: encoding::base64(&leaf), proof: view.tlog_proof(index)?.to_string() })
    };
    identity_leaves(view, did)?.into_iter().map(prove).collect()
}

/// The same, as they are in the log.
pub fn identity_leaves(view: &View, did: Did) -> Result<Vec<(LeafIndex, Vec<u8>)>, Problem> {
    let listed = listed(view, ListKey::Id(did), attestation::identity::MAX_EVENTS as usize)?;
    let leaf = |Listed { index, .. }| {
        let leaf = view.leaf(index)?;
        leaf.map(|leaf| (index, leaf))
            .ok_or_else(|| StoreError::new("read", format!("leaf {index} is missing")).into())
    };
    listed.into_iter().map(leaf).collect()
}

/// The wall clock.
fn time(app: &App) -> LogTime {
    LogTime::from_millis((app.now)()).unwrap_or(LogTime::MAX)
}

/// A DID that the log has something of.
struct Known {
    /// Whose key it is, and how messages reach it.
    recipient: Recipient,
    /// Its identity events, if it is registered.
    events: Option<Events>,
}

/// When the first and the last identity event were logged, and where the last stands.
struct Events {
    created: LogTime,
    updated: LogTime,
    version: LeafIndex,
}

impl Known {
    fn read(view: &View, did: Did) -> Result<Option<Self>, Problem> {
        let Some(recipient) = view.recipient(did)? else {
            return Ok(None);
        };
        let leaves = identity_leaves(view, did)?;
        let logged = |(index, leaf): &(LeafIndex, Vec<u8>)| match Entry::parse(leaf) {
            Ok(Entry::Event(event)) => Ok((*index, event.logged_at())),
            _ => Err(StoreError::new("read", "an identity event is damaged")),
        };
        let ends = leaves.first().zip(leaves.last());
        let events = ends.map(|(first, last)| -> Result<Events, StoreError> {
            let ((_, created), (version, updated)) = (logged(first)?, logged(last)?);
            Ok(Events { created, updated, version })
        });
        Ok(Some(Self { recipient, events: events.transpose()? }))
    }

    /// Only keys that count now are in it. `address` is the log's.
    fn document(&self, did: Did, address: Option<&str>, now: LogTime) -> DidDocument {
        let (key, authentication, assertion) = match &self.recipient {
            Recipient::Bare(key) => (Some(*key), true, true),
            Recipient::Registered { state, key, .. } => {
                let may = state.capabilities();
                let key = (state.status() == Status::Active).then_some(*key);
                (key, may.messages, may.receipts || may.vouches)
            }
        };
        let methods: Vec<VerificationMethod> =
            key.iter().map(|key| VerificationMethod::multikey(did, multibase(key))).collect();
        let ids: Vec<String> = methods.iter().map(|method| method.id.clone()).collect();
        let named = |may: bool| if may { ids.clone() } else { Vec::new() };
        let history = |address: &str| Service {
            id: format!("{did}#history"),
            service_endpoint: format!("{address}{}", resolution_path(did)),
            kind: HISTORY.to_owned(),
        };
        DidDocument {
            context: CONTEXT.map(str::to_owned).to_vec(),
            also_known_as: key.iter().map(did::to_did_key).collect(),
            assertion_method: named(assertion),
            authentication: named(authentication),
            id: did.to_string(),
            key_agreement: self.key_agreement(did, now),
            service: address.map(history).into_iter().collect(),
            verification_method: methods,
        }
    }

    /// To which keys a message is sealed at this moment.
    fn key_agreement(&self, did: Did, now: LogTime) -> Vec<VerificationMethod> {
        let method = |key: MessageKey| VerificationMethod::multikey(did, key.to_multibase());
        self.recipient
            .keys(now)
            .map_or_else(|_| Vec::new(), |keys| keys.keys.into_iter().map(method).collect())
    }

    fn metadata(&self, size: u64) -> DidMetadata {
        let (Recipient::Registered { state, .. }, Some(Events { created, updated, version })) =
            (&self.recipient, &self.events)
        else {
            return DidMetadata::bare(size);
        };
        let keys = state.keys().iter().enumerate().map(|(at, period)| KeyPeriod {
            from: period.from.get(),
            public_key_multibase: admitted(&period.key).map(|key| multibase(&key)),
            until: state.keys().get(at + 1).map(|next| next.from.get()),
        });
        let window = |window: &identity::Window| Window {
            since: window.since.get(),
            until: window.until.map(LeafIndex::get),
        };
        DidMetadata::Registered(Box::new(Registered {
            capabilities: state.capabilities().names().collect(),
            created: date_time(*created),
            deactivated: state.status() == Status::Deactivated,
            keys: keys.collect(),
            next_key: state.next().get().to_string(),
            previous: state.link().previous.get().to_string(),
            public_name: state.public_name().map(str::to_owned),
            recovered: state.recovered().map(LeafIndex::get),
            recovery_key: state.recovery().get().to_string(),
            registered: true,
            sequence: state.link().sequence,
            status: state.status().name(),
            tree_size: size,
            updated: date_time(*updated),
            version_id: version.to_string(),
            windows: state.windows().iter().map(window).collect(),
        }))
    }
}

/// Whose words a DID document is in.
const CONTEXT: [&str; 2] = ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"];

/// Where the history of a DID is, with what proves it.
fn resolution_path(did: Did) -> String {
    format!("/api/v1/dids/{did}")
}

/// The kind of service that it is: an absolute URI, which needs no further `@context`.
const HISTORY: &str = "https://aip.dev/did/history/v1";

/// The registry has admitted keys only.
fn admitted(raw: &RawKey) -> Option<Ed25519PublicKey> {
    Ed25519PublicKey::from_bytes(raw).ok()
}

/// What stands behind `did:key:`.
fn multibase(key: &Ed25519PublicKey) -> String {
    let text = did::to_did_key(key);
    text.strip_prefix("did:key:").unwrap_or(&text).to_owned()
}

/// RFC 3339 in UTC, to the second, as DID Core has it.
pub(crate) fn date_time(time: LogTime) -> String {
    let seconds = time.as_millis() / 1_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March: leap days come last. Days since 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn parse(text: &str) -> Result<Did, Problem> {
    text.parse().map_err(|e: did::DidError| Problem::bad_request("did", e.to_string()))
}

fn unknown(did: Did) -> Problem {
    Problem::not_found("no-did", format!("this log has no entry of {did}"))
        .hint("a DID is known here once it has logged its inception, or an artifact; another log may know it")
}

/// The most lists of one request, and the most entries of all of them.
const MAX_LISTS: usize = 64;
const MAX_LISTED: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (millis, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59Z"),
            (1_790_000_000_000, "2026-09-21T14:13:20Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date_time(LogTime::from_millis(millis).expect("a time")), want);
        }
    }
}
