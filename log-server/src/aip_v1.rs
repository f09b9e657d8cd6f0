//! The interface of the Python service `aip` 0.5, as far as its clients need it (`specs/http.md`, "Python aip"). Off by
//! default: `--aip-v1`.
//!
//! A client of Python `aip` that stays as it is finds here the keys of DIDs, and mail from and to those who moved. Nothing of it
//! is logged. A leaf proves that its signer agrees to be in this log, and these requests cannot prove that: a registration is not
//! signed, a vouch names no log and no time, a revocation names a vouch by an id that the server made. So the acts that
//! would have to be logged are refused with a sentence that says where they work.
//!
//! | module | what |
//! |---|---|
//! | `table` | who registered here: DID and genesis key |
//! | `challenge` | what a client signs to read its mail |
//! | `known` | whose key it is: by the log's state, else by the table |
//! | `people` | routes about DIDs and trust |
//! | `mail` | routes about mail, which the relay keeps |
//! | `answer` | its errors and its times |
//!
//! What upstream accepts and this refuses: `tests/tests/aip_v1.rs`, one test each.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use attestation::did::Did;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use serde_json::json;
use service::addresses::AddressBudget;
use tlog::key::Ed25519PublicKey;

use crate::http::{App, Client, fresh_json, unread};

mod answer;
mod challenge;
mod known;
mod mail;
mod people;
mod table;

use answer::Detail;
use challenge::Challenges;
use table::Table;

/// What the interface keeps.
pub struct V1 {
    table: Table,
    challenges: Challenges,
    asks: AddressBudget,
    registrations: AddressBudget,
    since: Instant,
}

impl V1 {
    /// Starts with the table in the folder `path`, which is made if it is not there. A table that cannot be opened is reported;
    /// nobody is known by it then, and nobody can register.
    pub fn start(path: &Path) -> Result<Self, getrandom::Error> {
        Ok(Self {
            table: Table::open(path),
            challenges: Challenges::new()?,
            asks: AddressBudget::new(ASKS_PER_MINUTE),
            registrations: AddressBudget::a_day(REGISTRATIONS_PER_DAY),
            since: Instant::now(),
        })
    }

    /// The key of a DID that registered here.
    pub(crate) fn genesis_key(&self, did: Did, now: u64) -> Option<Ed25519PublicKey> {
        self.table.get(did, now).map(|row| row.key)
    }

    /// Forgets who did nothing for 90 days, and addresses that are back at their full budget. `now` is in Unix
    /// milliseconds; `None` while the clock cannot be right.
    pub fn forget_idle(&self, now: Option<u64>) {
        self.asks.forget_idle();
        self.registrations.forget_idle();
        if let Some(now) = now {
            self.table.forget_idle(now);
        }
    }

    /// Takes one request from what an address may ask. No budget is a DID's: its name costs nothing to say.
    fn spend(&self, address: IpAddr) -> Result<(), Detail> {
        self.asks.spend(address, 1).map_err(|_| Detail::too_many(60))
    }
}

/// The routes.
pub fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        // Their answers may be long.
        .route("/messages", post(mail::list))
        .route("/trust/{did}", get(people::trust))
        .route("/trust-path", get(people::trust_path))
        .route_layer(middleware::from_fn_with_state(app.clone(), unread::share))
        .route("/register", post(people::register))
        .route("/lookup/{did}", get(people::lookup))
        .route("/identity/{did}", get(people::identity))
        .route("/health", get(health))
        .route("/message", post(mail::send))
        .route("/challenge", post(mail::challenge))
        .route("/message/{id}/read", patch(mail::mark_read))
        .route("/message/{id}", delete(mail::delete))
        .route("/vouch", post(elsewhere))
        .route("/revoke", post(elsewhere))
        .route("/rotate-key", post(elsewhere))
}

impl App {
    /// The interface, whose routes are there only if it is.
    fn v1(&self) -> Result<Arc<V1>, Detail> {
        self.aip_v1.clone().ok_or_else(Detail::unknown)
    }
}

/// What cannot be done by this interface.
async fn elsewhere(State(app): State<Arc<App>>, Client(address): Client) -> Response {
    match app.v1().and_then(|v1| v1.spend(address)) {
        Ok(()) => Detail::new(StatusCode::UNPROCESSABLE_ENTITY, ELSEWHERE).into_response(),
        Err(detail) => detail.into_response(),
    }
}

async fn health(State(app): State<Arc<App>>, Client(address): Client) -> Result<Response, Detail> {
    let v1 = app.v1()?;
    v1.spend(address)?;
    Ok(fresh_json(json!({
        "status": "healthy",
        "version": VERSION,
        "checks": {"database": {"ok": v1.table.is_open()}},
        "metrics": {
            "registrations": v1.table.len(),
            // Each would have to be judged, and is some consumer's to judge.
            "active_vouches": null,
            "uptime_seconds": v1.since.elapsed().as_secs(),
        },
        "system_identity": null,
    })))
}

/// The version of the service that this stands for: `aip doctor` complains of any other than its own.
const VERSION: &str = "0.5.51";

const ELSEWHERE: &str = "vouches, revocations and rotations are signed for one log: install the native `aip`; DID and credentials \
                         file stay";

/// Requests of an address a minute, but for registrations and mail.
const ASKS_PER_MINUTE: u32 = 240;

/// Registrations of an address a day.
const REGISTRATIONS_PER_DAY: u32 = 100;

/// After so long an address that registered as many may register one more.
const SECONDS_PER_REGISTRATION: u32 = 24 * 3_600 / REGISTRATIONS_PER_DAY;
