//! Who may submit, and how much. DIDs cost nothing, so a limit for each DID alone would not hold. There is one for each
//! client address, one for each DID, and one in bytes a day for all together. Reports against others have budgets of
//! their own.

use std::collections::HashSet;
use std::net::IpAddr;
use std::num::NonZeroU32;

use attestation::did::Did;
use axum::http::{HeaderMap, StatusCode, header};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use service::addresses::{self, AddressBudget, quota_a_day};
use service::shares::{Bounds, QUARTER, Refused};
use tlog::Hash;

use super::error::Problem;
use crate::config::{Admission, ConfigError, Settings, read_lines};
use crate::day::{DayBytes, Spent};

/// Who may submit.
#[derive(Debug)]
pub enum Gatekeeper {
    /// Everyone.
    Open,
    /// These DIDs.
    AllowList(HashSet<Did>),
    /// Clients that show a token with one of these digests. The tokens themselves are not kept.
    Token(HashSet<Hash>),
}

impl Gatekeeper {
    /// The gatekeeper that the settings describe.
    pub fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        match settings.admission.unwrap_or_default() {
            Admission::Open => Ok(Self::Open),
            Admission::AllowList => {
                let path =
                    settings.allow_file.as_ref().ok_or(ConfigError::Missing("allow-file", "allow-list"))?;
                let parse = |line: String| {
                    line.parse().map_err(|_| ConfigError::Malformed {
                        path: path.clone(),
                        cause: format!("`{line}` is no did:aip"),
                    })
                };
                Ok(Self::AllowList(read_lines(path)?.into_iter().map(parse).collect::<Result<_, _>>()?))
            }
            Admission::Token => {
                let path = settings.token_file.as_ref().ok_or(ConfigError::Missing("token-file", "token"))?;
                let parse = |line: String| {
                    // Not printed: somebody may have put the token itself there.
                    let wrong = "a line is not 64 lower-case hex digits, the SHA-256 of a token";
                    Hash::from_hex(&line)
                        .ok_or_else(|| ConfigError::Malformed { path: path.clone(), cause: wrong.into() })
                };
                Ok(Self::Token(read_lines(path)?.into_iter().map(parse).collect::<Result<_, _>>()?))
            }
        }
    }

    /// Whether a request shows what this log asks for.
    pub fn check_request(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Self::Token(digests) = self else { return Ok(()) };
        let token =
            headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        match token {
            Some(token) if digests.contains(&Hash::of(token)) => Ok(()),
            Some(_) => {
                Err(Problem::new(StatusCode::UNAUTHORIZED, "token", "this log does not know the token"))
            }
            None => Err(Problem::new(StatusCode::UNAUTHORIZED, "token", "this log asks for a bearer token")),
        }
    }

    /// Whether a DID may log here.
    pub fn allows(&self, did: &Did) -> bool {
        match self {
            Self::AllowList(dids) => dids.contains(did),
            Self::Open | Self::Token(_) => true,
        }
    }
}

/// How much may be submitted.
pub struct Budgets {
    by_address: AddressBudget,
    by_did: Option<DefaultKeyedRateLimiter<Did>>,
    /// Half as much: of claims that nobody has looked up before they spend what is their DID's.
    unseen_by_did: Option<DefaultKeyedRateLimiter<Did>>,
    reports_by_address: AddressBudget,
    reports_by_did: Option<DefaultKeyedRateLimiter<Did>>,
    /// The bytes of the day.
    pub day: DayBytes,
}

impl Budgets {
    /// The budgets of the settings, with `day_bytes` spent on `day` so far.
    pub fn from_settings(settings: &Settings, day: u64, day_bytes: u64) -> Self {
        let quota = |entries: u32| NonZeroU32::new(entries).map(Quota::per_minute);
        let by_did = settings.did_entries_per_minute.unwrap_or(6_000);
        Self {
            unseen_by_did: quota(by_did.div_ceil(2)).map(RateLimiter::keyed),
            by_address: AddressBudget::new(settings.address_entries_per_minute.unwrap_or(60_000)),
            by_did: quota(by_did).map(RateLimiter::keyed),
            reports_by_address: AddressBudget::a_day(settings.address_reports_per_day.unwrap_or(1_000)),
            reports_by_did: quota_a_day(settings.did_reports_per_day.unwrap_or(100)).map(RateLimiter::keyed),
            day: DayBytes::new(day_bounds(settings), day, day_bytes),
        }
    }

    /// Takes `entries` from what an address may send.
    pub fn spend_address(&self, address: IpAddr, entries: usize) -> Result<(), Problem> {
        self.by_address.spend(address, entries).map_err(|spent| {
            let title = match spent {
                addresses::Spent::Now => format!("{address} has sent too many entries"),
                addresses::Spent::TooMuch => format!("{entries} entries are more than an address may send"),
            };
            too_many("address-budget", title)
        })
    }

    /// Whether an entry of a DID may be taken before anybody has looked whether its claim is in the log. Anybody can send again
    /// what a DID has published, and would spend its budget: so only half of it is spent that way.
    pub fn may_be_unseen(&self, did: &Did) -> bool {
        self.unseen_by_did.as_ref().is_none_or(|limiter| limiter.check_key(did).is_ok())
    }

    /// Takes one entry from what a DID may log. Call it after the claim's signature is checked, so that
    /// nobody spends another's budget.
    pub fn spend_did(&self, did: &Did) -> Result<(), Problem> {
        match &self.by_did {
            Some(limiter) if limiter.check_key(did).is_err() => {
                Err(too_many("did-budget", format!("{did} has logged too many entries")))
            }
            _ => Ok(()),
        }
    }

    /// Takes one report from the day's budgets of a DID and of an address: each report makes the evidence about its
    /// subject longer, for ever. Call it where [`spend_did`](Self::spend_did) is called.
    pub fn spend_report(&self, did: &Did, address: IpAddr) -> Result<(), Problem> {
        let by_did = self.reports_by_did.as_ref().is_some_and(|limiter| limiter.check_key(did).is_err());
        if by_did || self.reports_by_address.spend(address, 1).is_err() {
            let who = if by_did { did.to_string() } else { address.to_string() };
            let title = format!("{who} has said as much against others as it may in a day");
            return Err(too_many("report-budget", title).retry_after(3_600));
        }
        Ok(())
    }

    /// Takes bytes from what an address may log on the day of `now` (Unix milliseconds).
    pub fn spend_day(&self, address: IpAddr, bytes: u64, now: u64) -> Result<Spent, Problem> {
        self.day.spend(address, bytes, now).map_err(|spent| {
            let problem = match spent.refused {
                Refused::Share => too_many(
                    "address-day-budget",
                    format!("{address} has logged as many bytes as an address may in a day"),
                )
                .hint("log large entries by hash, or go on tomorrow (UTC)"),
                Refused::Whole => {
                    too_many("day-budget", "the log has taken as many bytes as it takes in a day")
                }
            };
            problem.retry_after(spent.seconds)
        })
    }

    /// Forgets addresses and DIDs that are back at their full budget: memory stays bounded.
    pub fn forget_idle(&self) {
        self.by_address.forget_idle();
        self.reports_by_address.forget_idle();
        for limiter in [&self.by_did, &self.unseen_by_did, &self.reports_by_did].into_iter().flatten() {
            limiter.retain_recent();
        }
    }
}

/// How many bytes may be logged a day, and by one address.
fn day_bounds(settings: &Settings) -> Option<Bounds> {
    let whole = Some(settings.bytes_per_day.unwrap_or(10 << 30)).filter(|bytes| *bytes > 0);
    let each = |whole: u64| match settings.address_bytes_per_day {
        None => Some((whole / 8).max(1)),
        Some(0) => None,
        Some(bytes) => Some(bytes),
    };
    match (whole, settings.address_bytes_per_day) {
        (Some(whole), _) => Some(Bounds { whole, each: each(whole), part: QUARTER }),
        // No limit for all, and one for each.
        (None, Some(bytes)) if bytes > 0 => {
            Some(Bounds { whole: u64::MAX, each: Some(bytes), part: QUARTER })
        }
        (None, _) => None,
    }
}

fn too_many(rule: &str, title: impl Into<String>) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, rule, title).retry_after(60)
}
