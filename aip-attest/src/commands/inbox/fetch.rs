//! The mailbox, page by page, and the wait for what is not there yet.

use std::thread;
use std::time::{Duration, Instant};

use attestation::message::{List, MAX_PAGE, Page};

use crate::keyfile::OwnIdentity;
use crate::messages::judging::{Arrived, Judged, MailJudge, Verdict};
use crate::messages::keys::Held;
use crate::messages::relay::Relay;
use crate::report::{Console, Result};

/// How much is fetched, and how long is waited for it.
pub(super) struct Fetch<'a, 'r> {
    pub(super) relay: &'a mut Relay<'r>,
    /// Whose mailbox it is.
    pub(super) identity: &'a OwnIdentity,
    /// Until when a message is waited for.
    pub(super) end: Option<Instant>,
    /// The most messages that are accepted and shown.
    pub(super) limit: Option<u64>,
}

impl Fetch<'_, '_> {
    /// Fetches what is in the mailbox into `judged`; if somebody waits, up to the page with the first message that is accepted.
    /// Where it fails, what came before is there: it is marked as shown, and has to be.
    pub(super) fn all(
        mut self,
        judge: &mut MailJudge<'_>,
        judged: &mut Vec<Judged>,
        console: &mut Console,
    ) -> Result<()> {
        let (mut after, mut is_told) = (0, false);
        loop {
            let begun = Instant::now();
            let Some(page) = self.page(after, is_told, console)? else { continue };
            let (is_empty, more) = (page.messages.is_empty(), page.more);
            after = page.messages.last().map_or(after, |last| last.number.max(after));
            let arrived = page.messages.into_iter().map(Arrived::from).collect();
            // Those who sent were judged as of an earlier page.
            judge.directory.forget();
            // Another process may have made a message key since, such as a timer that rotates it.
            if self.end.is_some() && !is_empty {
                judge.held = Held::of(self.identity, console)?;
            }
            self.judge(arrived, judge, judged, console)?;
            let is_there = shown(judged) > 0;
            let is_full = self.limit.is_some_and(|limit| shown(judged) >= limit);
            match self.end {
                _ if is_full => return Ok(()),
                // A page without messages has none behind it, whatever the relay says.
                None if !more || is_empty => return Ok(()),
                Some(_) if is_there => return Ok(()),
                Some(end) if Instant::now() >= end => return Ok(()),
                _ => {}
            }
            if let Some(end) = self.end.filter(|_| !more || is_empty) {
                if !is_told {
                    let left = end.saturating_duration_since(Instant::now()).as_secs();
                    console.note(format!("waiting for a message, {left} s at most"));
                    is_told = true;
                } else {
                    // A relay that does not wait, or has something new all the while, is not asked without a pause.
                    let pause = LEAST_PAUSE.saturating_sub(begun.elapsed());
                    thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
                }
            }
        }
    }

    /// A page; `None` if the relay could not be asked now, and somebody still waits.
    fn page(&mut self, after: u64, waits: bool, console: &mut Console) -> Result<Option<Page>> {
        let left = self.end.map_or(0, |end| end.saturating_duration_since(Instant::now()).as_secs());
        let wait = if waits { left.min(LONGEST_WAIT_SECONDS) } else { 0 };
        match self.relay.list(&List { after, keys: None, limit: MAX_PAGE, wait }, console) {
            Ok(page) => Ok(Some(page)),
            Err(failure) if failure.is_for_now() && left > 0 => {
                console.note(format!("{}; still waiting", failure.one_line()));
                thread::sleep(LONG_PAUSE.min(Duration::from_secs(left)));
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Judges a page; one at a time where only so many are shown: what is not shown is not marked as such.
    fn judge(
        &self,
        arrived: Vec<Arrived>,
        judge: &mut MailJudge<'_>,
        judged: &mut Vec<Judged>,
        console: &mut Console,
    ) -> Result<()> {
        let Some(limit) = self.limit else {
            return judge.judge(arrived, judged, console);
        };
        for one in arrived {
            if shown(judged) >= limit {
                break;
            }
            judge.judge(vec![one], judged, console)?;
        }
        Ok(())
    }
}

fn shown(judged: &[Judged]) -> u64 {
    judged.iter().filter(|one| matches!(one.verdict, Verdict::Accepted(_))).count() as u64
}

/// Proxies between cut answers that take longer.
const LONGEST_WAIT_SECONDS: u64 = 25;

const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Before a relay is asked again that did not answer.
const LONG_PAUSE: Duration = Duration::from_secs(5);
