//! Trying again, until a deadline: as the log asks, else after twice the time each time.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, ClientError};
use crate::report::{Console, Failure, Result};

/// What is left of a caller's patience.
pub(crate) struct Patience {
    deadline: Instant,
    pause: Duration,
    told: String,
    /// Until when a log that cannot be reached may still come.
    unreachable_until: Instant,
}

impl Patience {
    /// Tries until `deadline`.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, pause: FIRST_PAUSE, told: String::new(), unreachable_until: deadline }
    }

    /// For somebody who looks on and typed the address: where nobody answers, three seconds are enough for a log that is
    /// just being started.
    pub(crate) fn only_with_who_answers(self) -> Self {
        let soon = Instant::now() + Duration::from_secs(3);
        Self { unreachable_until: soon.min(self.deadline), ..self }
    }

    /// Asks until there is an answer, a refusal, or no time left.
    pub(crate) fn ask<T>(
        &mut self,
        console: &mut Console,
        ask: impl Fn() -> Result<T, ClientError>,
    ) -> Result<T> {
        loop {
            let error = match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(retry_after) = error.retry() else { return Err(error.into()) };
            let deadline = if error.is_unreachable() { self.unreachable_until } else { self.deadline };
            if !self.pause_until(deadline, retry_after, console, &error.one_line()) {
                let is_said = matches!(error, ClientError::Http(log_client::Error::NoTime { .. }));
                let failure = Failure::from(error).for_now();
                return Err(if is_said {
                    failure
                } else {
                    failure.because("there is no time left to try again")
                });
            }
        }
    }

    /// Waits before the next try, at least as long as the log asks; false if the deadline comes first. Says
    /// why, and again when that changes.
    pub(crate) fn pause(&mut self, at_least: Option<Duration>, console: &mut Console, why: &str) -> bool {
        self.pause_until(self.deadline, at_least, console, why)
    }

    fn pause_until(
        &mut self,
        deadline: Instant,
        at_least: Option<Duration>,
        console: &mut Console,
        why: &str,
    ) -> bool {
        let pause = self.pause.max(at_least.unwrap_or_default());
        let left = deadline.saturating_duration_since(Instant::now());
        // With no time for a try behind it, what is known now is said, and not that the time is up.
        if pause + SHORTEST_TRY >= left {
            return false;
        }
        if self.told != why {
            console.note(format!("{why}; trying again for {} s", left.as_secs()));
            why.clone_into(&mut self.told);
        }
        thread::sleep(pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Instant::now() + SHORTEST_TRY < self.deadline
    }
}

/// A place that is asked, as long as there is patience.
pub(crate) struct Asking<'a> {
    /// The place.
    pub client: &'a Client,
    /// How long.
    pub patience: Patience,
    /// Who is told.
    pub console: &'a mut Console,
}

impl<'a> Asking<'a> {
    /// Begins to ask, until `deadline`.
    pub(crate) fn new(client: &'a Client, deadline: Instant, console: &'a mut Console) -> Self {
        Self { client, patience: Patience::until(deadline), console }
    }

    /// Asks until there is an answer, a refusal, or no time left.
    pub(crate) fn ask<T>(&mut self, ask: impl Fn(&Client) -> Result<T, ClientError>) -> Result<T> {
        self.patience.ask(self.console, || ask(self.client))
    }

    /// Waits before the next try; false if the deadline comes first.
    pub(crate) fn pause(&mut self, at_least: Option<Duration>, why: &str) -> bool {
        self.patience.pause(at_least, self.console, why)
    }
}

const SHORTEST_TRY: Duration = Duration::from_millis(50);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
