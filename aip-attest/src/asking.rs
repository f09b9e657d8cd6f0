//! A log that is asked: where it is, what judges its answers, for how long, and who is told.
//!
//! ```text
//! Contact    target, pins, deadline             which log, and until when
//!   Inquiry    target, pins, Asking             one conversation, whose answers are judged
//!     Asking     client, patience, console      asks until there is an answer; judges nothing
//! ```

use std::time::{Duration, Instant};

use crate::client::{Client, ClientError};
use crate::patience::Patience;
use crate::policy_file::pins::Pins;
use crate::report::{Console, Result};
use crate::target::Target;

/// A log, the pins that judge what it shows, and until when it is asked.
#[derive(Clone, Copy)]
pub(crate) struct Contact<'a> {
    /// The log.
    pub target: &'a Target,
    /// What was seen of logs.
    pub pins: &'a Pins,
    /// Until when.
    pub deadline: Instant,
}

impl<'a> Contact<'a> {
    /// Begins to ask it.
    pub(crate) fn inquire(self, console: &'a mut Console) -> Inquiry<'a> {
        let asking = Asking::new(&self.target.client, self.deadline, console);
        Inquiry { target: self.target, pins: self.pins, asking }
    }
}

/// A log that is asked, and whose answers are judged.
pub(crate) struct Inquiry<'a> {
    /// The log.
    pub target: &'a Target,
    /// What was seen of logs.
    pub pins: &'a Pins,
    /// The way there.
    pub asking: Asking<'a>,
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
