//! Who somebody is, and how far others trust it.

use std::collections::BTreeSet;
use std::sync::Arc;

use attestation::api::python;
use attestation::did::Did;
use attestation::entry::{Entry, LogTime};
use attestation::event::Scope;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tlog::LeafIndex;
use tlog::encoding::{base64, decode_base64_array};
use trust::{EdgeEvent, Hop, Params, Ppm, ScopeQuery, Verdict};

use super::answer::{Detail, iso_time, plain_time};
use super::known::{self, Person};
use super::table::{NotRegistered, Registered};
use crate::evidence::{self, GatherError};
use crate::http::error::Problem;
use crate::http::{App, Client, Parts, beside, body, fresh_json, in_turn};

/// What the client asks for. It has further members, which are not read.
#[derive(Deserialize)]
struct Registration {
    did: String,
    public_key: String,
    /// Echoed, and never kept: anybody could name anybody.
    #[serde(default)]
    platform: String,
    #[serde(default)]
    username: String,
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
    Client(address): Client,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Detail> {
    let v1 = app.v1()?;
    v1.spend(address)?;
    let body = body::read(&app, address, &headers, body, MAX_BODY_BYTES).await?;
    let asked: Registration = parse(&body)?;
    let did: Did = asked.did.parse().map_err(|error| Detail::bad(format!("Invalid DID format: {error}")))?;
    let raw = decode_base64_array(&asked.public_key)
        .ok_or_else(|| Detail::bad("public_key must be the canonical base64 of 32 bytes"))?;
    let key = app.keys.admit(&raw).map_err(|error| Detail::bad(format!("public_key: {error}")))?;
    if Did::of(&key) != did {
        return Err(Detail::bad("DID does not match public key. DID must be derived from the key."));
    }
    let message = match known::person(&app, did)? {
        Some(_) => "Already registered",
        // The log knows that it ended, or that its key was stolen.
        None if app.state(did)?.is_some() => {
            return Err(Detail::bad("this DID has ended, or is reported as compromised"));
        }
        None => {
            v1.registrations
                .spend(address, 1)
                .map_err(|_| Detail::too_many(super::SECONDS_PER_REGISTRATION))?;
            let register = move |app: &App| {
                let Ok(v1) = app.v1() else { return Ok(Err(NotRegistered::Closed)) };
                Ok(v1.table.register(key, (app.now)()))
            };
            match in_turn(&app, &app.work, address, register).await? {
                Ok(Registered::Now) => "Registration successful",
                Ok(Registered::Before) => "Already registered",
                Err(NotRegistered::Full) => {
                    return Err(Detail::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "no place is free for a new DID",
                    ));
                }
                Err(NotRegistered::Closed) => {
                    return Err(Detail::new(StatusCode::SERVICE_UNAVAILABLE, "nobody can register now"));
                }
            }
        }
    };
    let Registration { platform, username, .. } = asked;
    Ok(fresh_json(json!({
        "success": true,
        "did": did,
        "platform": platform,
        "username": username,
        "message": message,
    })))
}

pub(super) async fn lookup(
    State(app): State<Arc<App>>,
    Client(address): Client,
    did: Result<Parts<String>, Problem>,
) -> Result<Response, Detail> {
    app.v1()?.spend(address)?;
    let person = known::named(&app, &did?.0)?;
    let registered_at = match (&person.state, person.in_table_since) {
        (Some(state), _) => logged_at(&app, state.since())?,
        (None, since) => since,
    };
    Ok(fresh_json(python::Lookup {
        did: person.did.to_string(),
        public_key: base64(person.key.as_bytes()),
        registered_at: registered_at.map(plain_time),
    }))
}

/// When an entry was logged, Unix milliseconds; `None` if it is not published yet.
fn logged_at(app: &App, index: LeafIndex) -> Result<Option<u64>, Detail> {
    let leaf = beside(|| app.view().leaf(index))?;
    Ok(leaf.and_then(|leaf| match Entry::parse(&leaf) {
        Ok(Entry::Event(event)) => Some(event.logged_at().as_millis()),
        _ => None,
    }))
}

pub(super) async fn identity(
    State(app): State<Arc<App>>,
    Client(address): Client,
    did: Result<Parts<String>, Problem>,
) -> Result<Response, Detail> {
    app.v1()?.spend(address)?;
    let Person { did, .. } = known::named(&app, &did?.0)?;
    let (received, given) = gathered(&app, address, move |app, time| {
        Ok((evidence::vouches_for(&app.view(), did, time)?, evidence::vouches_by(&app.view(), did, time)?))
    })
    .await?;
    Ok(fresh_json(json!({
        "did": did,
        "verified": false,
        // Trust is somebody's: without a root there is none.
        "trust_score": 0.0,
        "vouches_received": received.len(),
        "vouches_given": given.len(),
        "platform": null,
        "username": null,
    })))
}

pub(super) async fn trust(
    State(app): State<Arc<App>>,
    Client(address): Client,
    did: Result<Parts<String>, Problem>,
    uri: Uri,
) -> Result<Response, Detail> {
    app.v1()?.spend(address)?;
    let [scope] = asked(&uri, ["scope"])?;
    let scope = scope.as_deref().map(parse_scope).transpose()?;
    // Upstream's action passes who is not registered, where its threshold is 0. Here it gets no 200.
    let Person { did, .. } = known::named(&app, &did?.0)?;
    let mut vouches =
        gathered(&app, address, move |app, time| evidence::vouches_for(&app.view(), did, time)).await?;
    vouches.retain(|vouch| scope.is_none_or(|scope| vouch.scope == scope));
    let by: BTreeSet<Did> = vouches.iter().map(|vouch: &EdgeEvent| vouch.from).collect();
    let scopes: BTreeSet<&str> = vouches.iter().map(|vouch| vouch.scope.name()).collect();
    Ok(fresh_json(json!({
        "did": did,
        "registered": true,
        "vouched_by": by,
        "scopes": scopes,
        "vouch_count": vouches.len(),
    })))
}

pub(super) async fn trust_path(
    State(app): State<Arc<App>>,
    Client(address): Client,
    uri: Uri,
) -> Result<Response, Detail> {
    app.v1()?.spend(address)?;
    let [source, target, scope] = asked(&uri, ["source_did", "target_did", "scope"])?;
    let missing = |name: &str| Detail::new(StatusCode::UNPROCESSABLE_ENTITY, format!("`{name}` is missing"));
    let source = known::named(&app, &source.ok_or_else(|| missing("source_did"))?)?.did;
    let target = known::named(&app, &target.ok_or_else(|| missing("target_did"))?)?.did;
    let query = scope.as_deref().map(parse_scope).transpose()?.map_or(ScopeQuery::Any, ScopeQuery::Only);
    // Decay 0.8, five hops, no history needed: what upstream computes by default.
    let params = Params::new([(source, Params::FULL_ROOT)])
        .map_err(|error| Detail::bad(error.to_string()))?
        .with_scope(query)
        .with_floor(Ppm::ONE);
    let verdict =
        gathered(&app, address, move |app, time| evidence::judge(&app.view(), &params, target, time)).await?;
    Ok(fresh_json(path_of(&verdict, source, target, scope.as_deref())))
}

/// The verdict in the members of upstream.
fn path_of(verdict: &Verdict, source: Did, target: Did, scope: Option<&str>) -> Value {
    let best = verdict.best.and_then(|best| verdict.paths.get(best)).filter(|_| verdict.score > Ppm::ZERO);
    let link = |hop: &Hop| {
        json!({
            // What vouches have instead of ids of a server: their place in the log.
            "vouch_id": hop.logged.index.to_string(),
            "voucher_did": hop.from,
            "target_did": hop.to,
            "scope": hop.scope.name(),
            "statement": null,
            "created_at": iso_time(hop.logged.time.as_millis()),
            "expires_at": iso_time(hop.expires.as_millis()),
        })
    };
    json!({
        "source_did": source,
        "target_did": target,
        "scope": scope,
        "path_exists": best.is_some(),
        "path_length": best.map(|path| path.hops.len()),
        "path": best.map(|path| path.path.dids().collect::<Vec<_>>()),
        "trust_chain": best.map(|path| path.hops.iter().map(link).collect::<Vec<_>>()),
        // Four decimals, half up.
        "trust_score": f64::from((verdict.score.get() + 50) / 100) / 10_000.0,
        "composite_trust_score": null,
        "behavioral_reliability": null,
        "pdr": null,
        "trust_divergence_alert": null,
    })
}

/// Work on the published entries, in its client's turn.
async fn gathered<T: Send + 'static>(
    app: &Arc<App>,
    address: std::net::IpAddr,
    work: impl FnOnce(&App, LogTime) -> Result<T, GatherError> + Send + 'static,
) -> Result<T, Detail> {
    let work = move |app: &App| {
        let time = LogTime::from_millis((app.now)()).unwrap_or(LogTime::MAX);
        work(app, time).map_err(Into::into)
    };
    Ok(in_turn(app, &app.evidence, address, work).await?)
}

/// The parameters of a query, by their names, each once. Others are refused: upstream takes some that change a score.
pub(super) fn asked<const N: usize>(uri: &Uri, names: [&str; N]) -> Result<[Option<String>; N], Detail> {
    let mut values = [const { None }; N];
    let refused = |why: String| Detail::new(StatusCode::UNPROCESSABLE_ENTITY, why);
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| refused("the query cannot be read".to_owned()))?;
    for (name, value) in pairs {
        match names.iter().position(|known| *known == name) {
            Some(at) if values[at].is_none() => values[at] = Some(value),
            Some(_) => return Err(refused(format!("`{name}` stands twice"))),
            None => {
                return Err(refused(format!("the parameters are {}: there are no others", names.join(", "))));
            }
        }
    }
    Ok(values)
}

fn parse_scope(text: &str) -> Result<Scope, Detail> {
    Scope::parse(text).ok_or_else(|| Detail::new(StatusCode::UNPROCESSABLE_ENTITY, "there is no such scope"))
}

/// A body as JSON.
pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Detail> {
    serde_json::from_slice(body)
        .map_err(|_| Detail::bad("the body has not the members that this request takes"))
}

/// A registration is about 200 bytes.
const MAX_BODY_BYTES: usize = 8 << 10;
