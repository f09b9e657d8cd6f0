//! Lookups: entries by index, artifact and DID; proofs, receipts, envelopes. Only what is published.

use std::sync::Arc;

use attestation::api::{ConsistencyProof, EntryPage, InclusionProof, IndexedLeaf};
use attestation::did::Did;
use attestation::dsse::Envelope;
use attestation::entry::{DsseEntry, Entry};
use attestation::receipt::{IdentityEvent, Receipt};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tlog::encoding;
use tlog::key::Ed25519PublicKey;
use tlog::merkle::leaf_hash;
use tlog::{Hash, LeafIndex, TreeSize};
use utoipa::IntoParams;

use super::error::Problem;
use super::identity::identity_leaves;
use super::{App, Client, Parts, fresh_json, immutable_json, in_turn, reading};
use log_core::port::{Direction, StoredEnvelope};

use crate::view::View;

/// What to look for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Entries about this artifact: `sha256:` and its digest in hex
    artifact: Option<String>,
    /// Entries by this DID
    did: Option<String>,
    /// The first index to look at
    from: Option<String>,
    /// At most so many entries, up to 100
    limit: Option<String>,
    /// `asc` or `desc`
    order: Option<String>,
}

/// Entries about an artifact, or by a DID.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/entries", params(Search), responses(
    (status = 200, description = "A page of entries", body = EntryPage),
    (status = 400, description = "What to look for is not of its form", body = Problem, content_type = "application/problem+json")))]
pub async fn entries(
    State(app): State<Arc<App>>,
    Client(client): Client,
    search: Result<Query<Search>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Query(search) = search.map_err(|e| Problem::bad_request("query", e.body_text()))?;
    in_turn(&app, &app.work, client, move |app| Ok(fresh_json(find(&app.view(), search)?))).await
}

fn find(view: &View, search: Search) -> Result<EntryPage, Problem> {
    let size = view.published().size();
    let order = match search.order.as_deref() {
        None | Some("asc") => Direction::Ascending,
        Some("desc") => Direction::Descending,
        Some(order) => {
            return Err(Problem::bad_request("order", format!("`{order}` is not `asc` or `desc`")));
        }
    };
    let limit = search.limit.as_deref().map_or(Ok(MAX_PAGE as u64), |limit| number("limit", limit))?;
    let limit = usize::try_from(limit).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let edge = match order {
        Direction::Ascending => 0,
        // What is committed beyond the published tree is not shown.
        Direction::Descending => size.get().saturating_sub(1),
    };
    let from = search.from.as_deref().map_or(Ok(edge), |from| number("from", from))?;
    let from = if order == Direction::Descending { from.min(edge) } else { from };
    // One more than the page tells whether there is a next one.
    let (mut found, what) = match (search.artifact, search.did) {
        (Some(artifact), None) => {
            let digest = artifact.strip_prefix("sha256:").and_then(Hash::from_hex);
            let digest = digest.ok_or_else(|| {
                Problem::bad_request("artifact", "an artifact is `sha256:` and 64 lower-case hex digits")
            })?;
            (view.by_subject(&digest, from, order, limit + 1)?, format!("artifact={artifact}"))
        }
        (None, Some(text)) => {
            let did: Did = text.parse().map_err(|_| {
                Problem::bad_request("did", "a DID is `did:aip:` and 32 lower-case hex digits")
            })?;
            (view.by_did(&did, from, order, limit + 1)?, format!("did={text}"))
        }
        _ => {
            return Err(Problem::bad_request(
                "query",
                "say what to look for: `artifact` or `did`, one of them",
            ));
        }
    };
    let next = found.get(limit).map(|next| {
        let order = if order == Direction::Ascending { "asc" } else { "desc" };
        format!("/api/v1/entries?{what}&order={order}&limit={limit}&from={next}")
    });
    found.truncate(limit);
    let entries = found.into_iter().map(|index| entry_json(view, index)).collect::<Result<_, _>>()?;
    Ok(EntryPage { tree_size: size.get(), entries, next })
}

/// An entry.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/entries/{index}", params(("index" = u64, Path, description = "leaf index")), responses(
    (status = 200, description = "The entry", body = IndexedLeaf),
    (status = 404, description = "Not in the published tree", body = Problem, content_type = "application/problem+json")))]
pub async fn entry(State(app): State<Arc<App>>, Parts(index): Parts<String>) -> Result<Response, Problem> {
    let entry = move |app: &App| {
        let view = app.view();
        entry_json(&view, published_index(&view, &index)?)
    };
    Ok(immutable_json(reading(&app, entry).await?))
}

/// The proof that travels.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/entries/{index}/proof", params(("index" = u64, Path, description = "leaf index")), responses(
    (status = 200, description = "A C2SP tlog-proof to the published checkpoint", body = String),
    (status = 404, description = "Not in the published tree", body = Problem, content_type = "application/problem+json")))]
pub async fn proof(State(app): State<Arc<App>>, Parts(index): Parts<String>) -> Result<Response, Problem> {
    let proof = move |app: &App| {
        let view = app.view();
        Ok(view.tlog_proof(published_index(&view, &index)?)?.to_string())
    };
    let proof = reading(&app, proof).await?;
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, proof).into_response())
}

/// The receipt of an entry whose envelope is here.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/entries/{index}/receipt", params(("index" = u64, Path, description = "leaf index")), responses(
    (status = 200, description = "The receipt", body = String, content_type = "application/vnd.aip.receipt.v1+json"),
    (status = 404, description = "Not in the published tree, or its envelope is not here", body = Problem, content_type = "application/problem+json"),
    (status = 410, description = "Its envelope was erased", body = Problem, content_type = "application/problem+json")))]
pub async fn receipt(
    State(app): State<Arc<App>>,
    Client(client): Client,
    Parts(index): Parts<String>,
) -> Result<Response, Problem> {
    let json = in_turn(&app, &app.work, client, move |app| receipt_of(&app.view(), &index)).await?;
    let headers =
        [(header::CONTENT_TYPE, attestation::receipt::MEDIA_TYPE), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, json).into_response())
}

fn receipt_of(view: &View, index: &str) -> Result<String, Problem> {
    let index = published_index(view, index)?;
    let leaf = published_leaf(view, index)?;
    let proof_url = format!(
        "the proof is at /api/v1/entries/{index}/proof; whoever has the envelope can make the receipt"
    );
    let Ok(Entry::Dsse(entry)) = Entry::parse(&leaf) else {
        return Err(Problem::not_found("no-receipt", "an entry of this kind has no receipt").hint(proof_url));
    };
    let hash = entry.claim().envelope_hash();
    // A private entry's envelope is its signer's, even if the same one was published by another entry.
    let stored = if entry.claim().listing().is_some() { view.envelope(&hash)? } else { None };
    let envelope = match stored {
        Some(StoredEnvelope::Present(envelope)) => envelope,
        Some(StoredEnvelope::Erased(tombstone)) => {
            return Err(erased(&hash, &tombstone.reason).hint(proof_url));
        }
        None => {
            return Err(Problem::not_found(
                "by-hash",
                "the log has no envelope of this entry: it was logged by hash, or its envelope was lost in a recovery",
            )
            .hint(proof_url));
        }
    };
    let identity = identity_leaves(view, entry.claim().did())?;
    let receipt = make_receipt(view, index, *entry, &envelope, identity).ok_or_else(|| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "store", "the stored entry makes no receipt")
    })?;
    Ok(receipt.to_json())
}

/// An envelope by its hash.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/envelopes/{hash}", params(("hash" = String, Path, description = "SHA-256 of the canonical envelope, hex")), responses(
    (status = 200, description = "The envelope, canonical JSON", body = String, content_type = "application/json"),
    (status = 404, description = "Not here", body = Problem, content_type = "application/problem+json"),
    (status = 410, description = "Erased", body = Problem, content_type = "application/problem+json")))]
pub async fn envelope(State(app): State<Arc<App>>, Parts(hash): Parts<String>) -> Result<Response, Problem> {
    let hash = Hash::from_hex(&hash)
        .ok_or_else(|| Problem::bad_request("hash", "a hash is 64 lower-case hex digits"))?;
    match reading(&app, move |app| Ok(app.view().envelope(&hash)?)).await? {
        // Not immutable: it may be erased.
        Some(StoredEnvelope::Present(envelope)) => {
            Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], envelope)
                .into_response())
        }
        Some(StoredEnvelope::Erased(tombstone)) => Err(erased(&hash, &tombstone.reason)),
        None => Err(Problem::not_found("no-envelope", format!("no envelope {hash} is here"))),
    }
}

/// The inclusion proof of an entry in a tree of a size that was reached.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/proofs/inclusion/{index}/{size}",
    params(("index" = u64, Path, description = "leaf index"), ("size" = u64, Path, description = "tree size")), responses(
    (status = 200, description = "The proof; hashes in base64", body = InclusionProof),
    (status = 404, description = "Not in the published tree", body = Problem, content_type = "application/problem+json")))]
pub async fn inclusion(
    State(app): State<Arc<App>>,
    Parts((index, size)): Parts<(String, String)>,
) -> Result<Response, Problem> {
    Ok(immutable_json(reading(&app, move |app| prove_inclusion(&app.view(), &index, &size)).await?))
}

fn prove_inclusion(view: &View, index: &str, size: &str) -> Result<InclusionProof, Problem> {
    let size = published_size(view, size)?;
    let index = published_index(view, index)?;
    if !size.contains(index) {
        return Err(Problem::not_found(
            "index-outside",
            format!("a tree of {size} entries has no index {index}"),
        ));
    }
    Ok(InclusionProof {
        index: index.get(),
        tree_size: size.get(),
        leaf_hash: leaf_hash(&published_leaf(view, index)?).to_base64(),
        root: view.root(size)?.to_base64(),
        hashes: view.inclusion(index, size)?.iter().map(|hash| hash.to_base64()).collect(),
    })
}

/// The proof that one tree is the beginning of another.
#[utoipa::path(get, tag = "lookup", path = "/api/v1/proofs/consistency/{old}/{new}",
    params(("old" = u64, Path, description = "older tree size"), ("new" = u64, Path, description = "newer tree size")), responses(
    (status = 200, description = "The proof; hashes in base64", body = ConsistencyProof),
    (status = 400, description = "The older tree is the larger one", body = Problem, content_type = "application/problem+json"),
    (status = 404, description = "Not reached by the published tree", body = Problem, content_type = "application/problem+json")))]
pub async fn consistency(
    State(app): State<Arc<App>>,
    Parts((old, new)): Parts<(String, String)>,
) -> Result<Response, Problem> {
    Ok(immutable_json(reading(&app, move |app| prove_consistency(&app.view(), &old, &new)).await?))
}

fn prove_consistency(view: &View, old: &str, new: &str) -> Result<ConsistencyProof, Problem> {
    let (old, new) = (published_size(view, old)?, published_size(view, new)?);
    if old > new {
        return Err(Problem::bad_request("sizes", format!("{old} does not come before {new}")));
    }
    Ok(ConsistencyProof {
        old: old.get(),
        new: new.get(),
        old_root: view.root(old)?.to_base64(),
        new_root: view.root(new)?.to_base64(),
        hashes: view.consistency(old, new)?.iter().map(|hash| hash.to_base64()).collect(),
    })
}

fn make_receipt(
    view: &View,
    index: LeafIndex,
    entry: DsseEntry,
    envelope: &[u8],
    identity: Vec<(LeafIndex, Vec<u8>)>,
) -> Option<Receipt> {
    let key = Ed25519PublicKey::from_bytes(entry.claim().verifier()).ok()?;
    let did = entry.claim().did();
    let receipt = Receipt::signed(did, key, Envelope::parse(envelope).ok()?).ok()?;
    let note = view.published().sigstore_note.clone();
    let receipt = receipt.logged(entry, view.tlog_proof(index).ok()?, Some(note)).ok()?;
    let event = |(index, leaf)| Some(IdentityEvent { leaf, proof: view.tlog_proof(index).ok()? });
    receipt.with_identity(identity.into_iter().map(event).collect::<Option<_>>()?).ok()
}

fn entry_json(view: &View, index: LeafIndex) -> Result<IndexedLeaf, Problem> {
    Ok(IndexedLeaf { index: index.get(), leaf: encoding::base64(&published_leaf(view, index)?) })
}

fn published_leaf(view: &View, index: LeafIndex) -> Result<Vec<u8>, Problem> {
    view.leaf(index)?.ok_or_else(|| outside(view, index.get()))
}

fn published_index(view: &View, text: &str) -> Result<LeafIndex, Problem> {
    let index = LeafIndex::new(number("index", text)?);
    if view.published().size().contains(index) { Ok(index) } else { Err(outside(view, index.get())) }
}

fn published_size(view: &View, text: &str) -> Result<TreeSize, Problem> {
    let size = TreeSize::new(number("size", text)?);
    let published = view.published().size();
    if size <= published {
        return Ok(size);
    }
    Err(Problem::not_found("size-outside", format!("the published tree has {published} entries, not {size}")))
}

fn outside(view: &View, index: u64) -> Problem {
    let size = view.published().size();
    Problem::not_found("index-outside", format!("the published tree of {size} entries has no index {index}"))
}

fn number(name: &'static str, text: &str) -> Result<u64, Problem> {
    encoding::parse_decimal(text)
        .ok_or_else(|| Problem::bad_request(name, format!("`{name}` is a plain decimal, not {text:?}")))
}

fn erased(hash: &Hash, reason: &str) -> Problem {
    Problem::new(StatusCode::GONE, "envelope-erased", format!("the envelope {hash} was erased"))
        .detail(reason)
}

/// The most entries of one page.
const MAX_PAGE: usize = 100;
