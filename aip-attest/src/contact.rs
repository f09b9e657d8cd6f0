//! A log that is dealt with: which it is, what judges it, for how long, and who is told.
//!
//! ```text
//! Contact    target, pins, deadline             which log, and until when
//!   Inquiry    target, pins, Asking             one conversation, whose answers are judged
//!     Asking     client, patience, console      asks until there is an answer; judges nothing
//! ```

use std::time::Instant;

use crate::patience::Asking;
use crate::policy_file::pins::Pins;
use crate::report::Console;
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
