//! A log's relay, over signed requests (`specs/http.md`). Nothing that it answers is believed: what it carries is judged by
//! whom it is for.

use std::time::{Duration, Instant};

use attestation::entry::LogTime;
use attestation::message::{
    Acknowledged, Action, Content, EnvelopeId, List, MAX_ACKNOWLEDGED, MAX_PAGE, MessageKeyId, Page, Request,
    RequestError, Sealed, Settings, SignedRequest, Stored, Waiting,
};
use serde::de::DeserializeOwned;

use crate::client::{Client, ClientError};
use crate::clock;
use crate::keyfile::OwnIdentity;
use crate::patience::Patience;
use crate::report::{Console, Failure, Result};
use crate::target::Target;

/// The relay of a log, for one DID and as long as somebody waits.
pub(crate) struct Relay<'a> {
    client: &'a Client,
    origin: &'a str,
    identity: &'a OwnIdentity,
    deadline: Instant,
    /// The relay's clock less this machine's, in milliseconds, once the relay said that they differ.
    difference: Option<i128>,
    /// How many messages it listed since it said that there were no more.
    listed: usize,
}

/// What became of a copy that was offered to the relay.
pub(crate) enum Offered {
    /// It waits for its recipient, or did before.
    Stored(Stored),
    /// The relay's clock is another one, which [`Relay::now`] follows from here on. What was written by the old one is to be
    /// written again.
    OtherClock,
}

impl<'a> Relay<'a> {
    /// The relay of `target`, used by `identity` until `deadline`.
    pub(crate) fn new(target: &'a Target, identity: &'a OwnIdentity, deadline: Instant) -> Self {
        Self {
            client: &target.client,
            origin: &target.origin,
            identity,
            deadline,
            difference: None,
            listed: 0,
        }
    }

    /// The time: this machine's, corrected once by what the relay said.
    pub(crate) fn now(&self) -> LogTime {
        let now = clock::now_millis();
        let Some(difference) = self.difference else { return now };
        let corrected =
            (i128::from(now.as_millis()) + difference).clamp(0, i128::from(LogTime::MAX.as_millis()));
        u64::try_from(corrected).ok().and_then(LogTime::from_millis).unwrap_or(now)
    }

    /// Has a copy kept until `expires`. Answers when it is durable there.
    pub(crate) fn send(
        &mut self,
        sealed: &Sealed,
        expires: LogTime,
        console: &mut Console,
    ) -> Result<Offered> {
        let OwnIdentity { did, key, .. } = self.identity;
        let make = |now| SignedRequest::send(sealed, *did, self.origin, now, expires, key);
        match self.post(&make, self.deadline, console) {
            Ok(stored) => Ok(Offered::Stored(stored)),
            Err(Refused::Clock(now)) if self.difference.is_none() => {
                self.follow(now, console);
                Ok(Offered::OtherClock)
            }
            Err(Refused::Clock(_)) => Err(two_clocks()),
            Err(Refused::By(error)) => Err(of_send(error)),
            Err(Refused::Other(failure)) => Err(failure),
        }
    }

    /// A page of the mailbox, by arrival.
    pub(crate) fn list(&mut self, list: &List, console: &mut Console) -> Result<Page> {
        // Between the relay's answer and ours lies the way.
        let until = Instant::now() + Duration::from_secs(list.wait) + PAGE_PATIENCE;
        let page: Page = self.ask(&Action::List(list.clone()), until.min(self.deadline), console)?;
        // A list that does not go on, or has no end, would be asked for as long as the relay likes.
        let numbers = std::iter::once(list.after).chain(page.messages.iter().map(|waiting| waiting.number));
        self.listed += page.messages.len();
        let fault = if !numbers.is_sorted_by(|a, b| a < b) {
            "its messages are not in the order of their numbers"
        } else if page.messages.len() as u64 > list.limit || self.listed > MAX_LISTED {
            "it has more messages than a mailbox"
        } else {
            // Who waits for long may see more come and go than wait at a time.
            if !page.more {
                self.listed = 0;
            }
            return Ok(page);
        };
        Err(Failure::new(format!("the mailbox that `{}` shows is malformed", self.client.url()))
            .because(fault))
    }

    /// How many messages wait that only the identity key of this id opens, mail of Python `aip` among them, and whether there are
    /// more; `None` if the log carries none.
    pub(crate) fn waiting_for(
        &mut self,
        key: MessageKeyId,
        console: &mut Console,
    ) -> Result<Option<(usize, bool)>> {
        let list = Action::List(List { after: 0, keys: Some(vec![key]), limit: MAX_PAGE, wait: 0 });
        match self.try_ask::<Page>(&list, self.deadline, console) {
            Ok(page) => Ok(Some((page.messages.len() + self.legacy(console)?, page.more))),
            Err(Refused::By(error)) if error.status() == Some(404) => Ok(None),
            Err(refused) => Err(of_asking(refused)),
        }
    }

    /// How much mail of Python `aip` waits: it names no key, so that no list of a key has it.
    fn legacy(&mut self, console: &mut Console) -> Result<usize> {
        let (mut count, mut after) = (0, 0);
        loop {
            let page = self.list(&List { after, keys: None, limit: MAX_PAGE, wait: 0 }, console)?;
            let is_legacy = |waiting: &&Waiting| matches!(waiting.content, Content::Legacy(_));
            count += page.messages.iter().filter(is_legacy).count();
            match page.messages.last() {
                Some(last) if page.more => after = last.number,
                _ => return Ok(count),
            }
        }
    }

    /// Says who may send; only what is signed later than the settings before is taken.
    pub(crate) fn settings(&mut self, settings: &Settings, console: &mut Console) -> Result<()> {
        let _: serde_json::Value = self.ask(&Action::Settings(settings.clone()), self.deadline, console)?;
        Ok(())
    }

    /// Deletes what was fetched and is not needed any more. An id that is not there is no error.
    pub(crate) fn acknowledge(&mut self, ids: &[EnvelopeId], console: &mut Console) -> Result<u64> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut deleted = 0;
        for ids in ids.chunks(MAX_ACKNOWLEDGED) {
            let answer: Acknowledged =
                self.ask(&Action::Acknowledge(ids.to_vec()), self.deadline, console)?;
            deleted += answer.acknowledged;
        }
        Ok(deleted)
    }

    fn ask<T: DeserializeOwned>(
        &mut self,
        action: &Action,
        until: Instant,
        console: &mut Console,
    ) -> Result<T> {
        self.try_ask(action, until, console).map_err(of_asking)
    }

    /// The same, for who has other words for what the relay refuses.
    fn try_ask<T: DeserializeOwned>(
        &mut self,
        action: &Action,
        until: Instant,
        console: &mut Console,
    ) -> Result<T, Refused> {
        for _ in 0..2 {
            let request = |issued_at| {
                let request = Request {
                    action: action.clone(),
                    did: self.identity.did,
                    issued_at,
                    origin: self.origin.to_owned(),
                };
                SignedRequest::sign(request, &self.identity.key)
            };
            match self.post(&request, until, console) {
                Ok(answer) => return Ok(answer),
                Err(Refused::Clock(now)) if self.difference.is_none() => self.follow(now, console),
                Err(refused) => return Err(refused),
            }
        }
        Err(Refused::Other(two_clocks()))
    }

    /// Posts a request, signed anew for each try, until there is an answer, a refusal, or no time left.
    fn post<T: DeserializeOwned>(
        &self,
        make: &dyn Fn(LogTime) -> Result<SignedRequest, RequestError>,
        until: Instant,
        console: &mut Console,
    ) -> Result<T, Refused> {
        let mut patience = Patience::until(until);
        loop {
            let request = make(self.now()).map_err(|error| {
                Refused::Other(Failure::new("the relay cannot be asked this").caused_by(error))
            })?;
            let route = request.request().action.route();
            let error = match self.client.signed_request(route, request.to_json(), until) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(now) = error.time_there() {
                return Err(match now.as_millis().abs_diff(clock::now_millis().as_millis()) {
                    0..=MAX_CORRECTION_MILLIS => Refused::Clock(now),
                    _ => Refused::Other(far_clock(now)),
                });
            }
            let Some(retry_after) = error.retry() else { return Err(Refused::By(error)) };
            if !patience.pause(retry_after, console, &error.one_line()) {
                let failure = Failure::from(error).for_now();
                return Err(Refused::Other(failure.because("there is no time left to try again")));
            }
        }
    }

    fn follow(&mut self, now: LogTime, console: &mut Console) {
        let here = clock::now_millis();
        let difference = i128::from(now.as_millis()) - i128::from(here.as_millis());
        let seconds = difference.unsigned_abs() / 1000;
        let how = if difference < 0 { "ahead of" } else { "behind" };
        console.warn(format!(
            "this machine's clock is {seconds} s {how} the relay's, which is taken for the time of this request"
        ));
        console.hint("set the clock: what comes is judged by this machine's own");
        self.difference = Some(difference);
    }
}

/// Why there is no answer.
enum Refused {
    /// The request is not of the relay's time, which is this.
    Clock(LogTime),
    /// By the relay, or whoever answered in its place.
    By(ClientError),
    Other(Failure),
}

/// A request that is dated as somebody says is good on that day: nobody gets one for a day that is far away.
fn far_clock(now: LogTime) -> Failure {
    Failure::new("this machine's clock and the relay's are more than a day apart")
        .because(format!("the relay says that it is {}", clock::rfc3339_millis(now.as_millis())))
        .hint("set the clock of this machine; or the relay's is wrong: ask whoever runs the log")
}

/// Of what was asked of a mailbox.
fn of_asking(refused: Refused) -> Failure {
    match refused {
        Refused::Clock(_) => two_clocks(),
        Refused::By(error) => of_mailbox(error),
        Refused::Other(failure) => failure,
    }
}

fn two_clocks() -> Failure {
    Failure::new("the relay says two times of its clock that differ by more than five minutes")
        .hint("ask whoever runs the log")
}

/// A refusal by a rule of the relay is false, anything else could not be done.
fn of_send(error: ClientError) -> Failure {
    let ClientError::Refused { problem, .. } = &error else { return error.into() };
    let by_rule = (400..500).contains(&problem.status) && !problem.rule.is_empty();
    let (what, hint) = (problem.to_string(), problem.hint.clone());
    let failure = match by_rule {
        true => Failure::refuted(format!("the relay does not take the message: {what}")),
        false => Failure::new(format!("the relay did not take the message: {what}")),
    };
    let failure = hint.into_iter().fold(failure, Failure::hint);
    if problem.status == 404 && problem.rule.is_empty() { failure.hint(NO_RELAY) } else { failure }
}

fn of_mailbox(error: ClientError) -> Failure {
    let is_missing = error.status() == Some(404);
    let failure = Failure::from(error);
    if is_missing { failure.hint(NO_RELAY) } else { failure }
}

const NO_RELAY: &str = "this log carries no messages: ask whoever runs it, or name another with --log";

/// How long a page is waited for, beyond what the relay is asked to wait.
const PAGE_PATIENCE: Duration = Duration::from_secs(60);

/// The relay's time is followed so far.
const MAX_CORRECTION_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Ten times as many as a mailbox holds: some come while it is read.
const MAX_LISTED: usize = 10_000;
