//! How old entries may be to decide a deploy: by the time that witnesses attest, since nobody else can tell.
//!
//! Where a policy asks no witness, only the way to the log says that an answer is of now (decision 0009).

use std::time::Duration;

use tlog::{TreeSize, UnixTime};

use crate::client::Client;
use crate::clock::{self, parse_duration};
use crate::report::{Failure, Result};

/// How old the checkpoint may be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum MaxAge {
    /// Nobody said: [`MaxAge::USUAL`] by witnesses, where there are any.
    #[default]
    Usual,
    /// As old as somebody said: no answer passes whose age nobody attests.
    Limit(Duration),
    /// The same, said by `max-checkpoint-age` in trust.toml.
    Setting(Duration),
    /// Any age.
    Any,
}

impl MaxAge {
    /// The limit if nobody names one: gates use fresh evidence.
    pub(crate) const USUAL: Duration = Duration::from_secs(24 * 60 * 60);

    /// Reads an age as people write it: a duration such as `12h`, or `none`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::Any) } else { parse_duration(text).map(Self::Limit) }
    }
}

/// How entries reached this machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// In a file.
    File,
    /// From the log just now, over TLS or on this machine: nobody between could show an older answer.
    Private,
    /// From the log just now, in the clear.
    Open,
}

impl Way {
    /// The way to a log that is asked now.
    pub(crate) fn to(client: &Client) -> Self {
        if client.is_private() { Self::Private } else { Self::Open }
    }
}

/// Refuses a checkpoint that is too old to decide by, is from the future, or of an age that nobody attests though
/// it matters. `size` is of its tree, `attested` the quorum's time; `None` without witnesses.
pub(crate) fn refuse_stale(
    size: TreeSize,
    attested: Option<UnixTime>,
    way: Way,
    limit: MaxAge,
    now: UnixTime,
) -> Result<()> {
    let allowed = match limit {
        MaxAge::Any => return Ok(()),
        MaxAge::Usual => MaxAge::USUAL,
        MaxAge::Limit(limit) | MaxAge::Setting(limit) => limit,
    };
    match attested {
        Some(attested) => refuse_older(size, attested, way, (allowed, limit), now),
        None => refuse_unattested(way, limit),
    }
}

fn refuse_unattested(way: Way, limit: MaxAge) -> Result<()> {
    let why = match (way, limit) {
        (Way::Private, MaxAge::Usual | MaxAge::Any) => return Ok(()),
        (Way::Private, MaxAge::Limit(_) | MaxAge::Setting(_)) => {
            "its policy asks no witness, and a greatest age is named"
        }
        (Way::Open, _) => {
            "its policy asks no witness, and on the way of `http:` anybody shows an old answer again"
        }
        (Way::File, _) => "its policy asks no witness, and a file does not tell when it was made",
    };
    let failure = Failure::new("nobody attests how old the evidence is").because(why);
    let failure = match way {
        Way::File => failure.hint("get it from the log"),
        Way::Open => failure.hint("ask the log at its `https:` address"),
        Way::Private => failure,
    };
    Err(failure.hint("name a policy with witnesses, whose cosignatures carry the time").hint(
        "or say that the age does not matter: --max-age none, and no `max-checkpoint-age` in trust.toml",
    ))
}

fn refuse_older(
    size: TreeSize,
    attested: UnixTime,
    way: Way,
    (limit, said): (Duration, MaxAge),
    now: UnixTime,
) -> Result<()> {
    let ahead = attested.as_secs().saturating_sub(now.as_secs());
    if ahead > MAX_AHEAD.as_secs() {
        return Err(Failure::new(format!("the checkpoint is {ahead} s ahead of this machine's clock"))
            .hint("set the clock"));
    }
    let age = Duration::from_secs(now.as_secs().saturating_sub(attested.as_secs()));
    if age <= limit {
        return Ok(());
    }
    let by = match said {
        MaxAge::Setting(_) => "`max-checkpoint-age` in trust.toml",
        MaxAge::Limit(_) => "--max-age",
        MaxAge::Usual | MaxAge::Any => "the limit unless --max-age names another",
    };
    let failure = Failure::new(format!("the checkpoint is older than {}", humantime::format_duration(limit)))
        .because(format!("that is {by}"))
        .because(format!(
            "size {size} was cosigned {} ago, at {}",
            humantime::format_duration(age),
            clock::rfc3339(attested)
        ));
    Err(match way {
        Way::File => failure.hint("get fresh evidence from the log; what was revoked since is not in it"),
        Way::Private | Way::Open => failure.hint(
            "the log was asked just now, and what was revoked since is not in it: an idle log is cosigned anew at each \
             `log-server serve --recosign-interval`, so allow more than that",
        ),
    })
}

/// How far two honest clocks differ at most.
const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000;
    const HOUR: u64 = 3600;

    fn judged(attested: Option<u64>, way: Way, limit: MaxAge) -> Result<(), String> {
        let attested = attested.map(UnixTime::from_secs);
        refuse_stale(TreeSize::new(5), attested, way, limit, UnixTime::from_secs(NOW))
            .map_err(|failure| failure.one_line())
    }

    #[test]
    fn what_witnesses_attest_is_held_against_the_limit_whatever_the_way() {
        for way in [Way::File, Way::Private, Way::Open] {
            let hour = MaxAge::Limit(Duration::from_secs(HOUR));
            for (attested, limit, want) in [
                (NOW, MaxAge::Usual, None),
                (NOW - 24 * HOUR, MaxAge::Usual, None),
                (NOW - 24 * HOUR - 1, MaxAge::Usual, Some("older than 1day")),
                (NOW - HOUR, hour, None),
                (NOW - HOUR - 1, hour, Some("older than 1h")),
                (NOW - 1000 * HOUR, MaxAge::Any, None),
                (NOW + 300, hour, None),
                (NOW + 301, hour, Some("ahead of this machine's clock")),
            ] {
                let got = judged(Some(attested), way, limit);
                match want {
                    None => assert_eq!(got, Ok(()), "{attested} {way:?} {limit:?}"),
                    Some(why) => {
                        assert!(got.is_err_and(|got| got.contains(why)), "{attested} {way:?} {limit:?}")
                    }
                }
            }
        }
    }

    #[test]
    fn a_limit_is_named_and_who_asked_just_now_is_not_sent_to_ask_again() {
        let old = |way, limit| {
            let attested = Some(UnixTime::from_secs(NOW - 25 * HOUR));
            refuse_stale(TreeSize::new(5), attested, way, limit, UnixTime::from_secs(NOW))
                .expect_err("too old")
                .to_string()
        };
        let hour = Duration::from_secs(HOUR);
        for (limit, name) in [
            (MaxAge::Setting(hour), "`max-checkpoint-age` in trust.toml"),
            (MaxAge::Limit(hour), "that is --max-age"),
            (MaxAge::Usual, "unless --max-age names another"),
        ] {
            for (way, again) in [(Way::File, true), (Way::Private, false), (Way::Open, false)] {
                let said = old(way, limit);
                assert!(said.contains(name), "{said}");
                assert_eq!(
                    (said.contains("get fresh evidence"), said.contains("--recosign-interval")),
                    (again, !again),
                    "{said}"
                );
            }
        }
    }

    #[test]
    fn an_age_that_nobody_attests_passes_only_over_a_private_way_that_nobody_limits() {
        let hour = MaxAge::Limit(Duration::from_secs(HOUR));
        for (way, limit, passes) in [
            (Way::Private, MaxAge::Usual, true),
            (Way::Private, hour, false),
            (Way::Open, MaxAge::Usual, false),
            (Way::Open, hour, false),
            (Way::File, MaxAge::Usual, false),
            (Way::File, hour, false),
            (Way::Private, MaxAge::Any, true),
            (Way::Open, MaxAge::Any, true),
            (Way::File, MaxAge::Any, true),
        ] {
            let got = judged(None, way, limit);
            assert_eq!(got.is_ok(), passes, "{way:?} {limit:?}");
            assert!(got.is_ok() || got.is_err_and(|why| why.contains("nobody attests")), "{way:?} {limit:?}");
        }
    }
}
