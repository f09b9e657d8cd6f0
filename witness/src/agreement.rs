//! Whether the database and the record beside the directory agree. Pure.
//!
//! Each round is synced in the database, then in the record, then answered. While it is recorded, the next one is written
//! to the database. So a crash leaves the database at most [`MOST_AHEAD`] rounds ahead.
//!
//! Any other difference is damage, or one of the two is an older copy: then the witness does not start. If the rounds
//! agree and only a log's trees differ, it starts, and cosigns nothing of that log ([`Held`]) until the operator accepts
//! the higher one.

use std::collections::BTreeMap;
use std::fmt;

use tlog::Hash;

use crate::record::{Recorded, Row, Rows};

/// What a database says was cosigned.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stored {
    /// The number of its last round; `None` in one of a release without a second record.
    pub round: Option<u64>,
    /// What was cosigned last of each log.
    pub rows: Rows,
}

/// What follows from the comparison of the two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Agreement {
    /// There is no record yet, and the database is of a release that kept none.
    First,
    /// They count the same rounds, or the database is ahead by as much as a crash leaves. Logs whose trees differ are held.
    Counted(Held),
    /// Nothing may be signed.
    Broken(Break),
}

/// Logs of which nothing is cosigned, by the SHA-256 of their origins.
pub type Held = BTreeMap<Hash, Disagreement>;

/// A log about which the two records differ.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disagreement {
    /// The log.
    pub origin: String,
    /// What the database has.
    pub stored: Option<Row>,
    /// What the record has.
    pub recorded: Option<Row>,
}

impl Disagreement {
    /// The row with the larger tree. `None` if the two are different trees of one size.
    pub fn higher(&self) -> Option<&Row> {
        match (&self.stored, &self.recorded) {
            (Some(stored), Some(recorded)) if follows(stored, recorded) => Some(stored),
            (Some(stored), Some(recorded)) if follows(recorded, stored) => Some(recorded),
            (Some(_), Some(_)) => None,
            (stored, recorded) => stored.as_ref().or(recorded.as_ref()),
        }
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let say = |row: &Option<Row>| match row {
            Some(Row { seen, time, .. }) => {
                format!("size {} root {} at {time}", seen.size, seen.root.to_base64())
            }
            None => "nothing".to_owned(),
        };
        let (stored, recorded) = (say(&self.stored), say(&self.recorded));
        let origin = tlog::encoding::quoted(&self.origin);
        write!(f, "{origin}: the database has {stored}, the record has {recorded}")
    }
}

/// Why nothing may be signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Break {
    /// The database counts rounds, and the record is gone.
    #[error("the record is missing, and the database has had one: {0} rounds are in it")]
    Missing(u64),
    /// The record is not what was written.
    #[error("the record is damaged: {0}")]
    Damaged(String),
    /// The database has lost rounds.
    #[error("the database has lost what was cosigned last: it ends with round {stored}, the record with round {}{}", recorded, if *is_torn { " and a part of a further one" } else { "" })]
    Behind {
        /// The database's last round.
        stored: u64,
        /// The record's.
        recorded: u64,
        /// Whether the record goes on behind it.
        is_torn: bool,
    },
    /// The record has lost rounds.
    #[error(
        "the record has lost what was cosigned last: it ends with round {recorded}, the database with round {stored}"
    )]
    RecordBehind {
        /// The database's last round.
        stored: u64,
        /// The record's.
        recorded: u64,
    },
}

/// Compares the two.
pub fn judge(stored: &Stored, recorded: Option<&Recorded>) -> Agreement {
    let Some(recorded) = recorded else {
        return stored.round.map_or(Agreement::First, |round| Agreement::Broken(Break::Missing(round)));
    };
    if let Some(damage) = &recorded.damage {
        return Agreement::Broken(Break::Damaged(damage.clone()));
    }
    let (of_store, of_record, is_torn) = (stored.round.unwrap_or(0), recorded.round, recorded.is_torn);
    // The round that the record ends in, cut short, was in the database before.
    if of_store < of_record + u64::from(is_torn) {
        return Agreement::Broken(Break::Behind { stored: of_store, recorded: of_record, is_torn });
    }
    if of_store > of_record + MOST_AHEAD {
        return Agreement::Broken(Break::RecordBehind { stored: of_store, recorded: of_record });
    }
    Agreement::Counted(disagreements(&stored.rows, &recorded.rows, of_store > of_record))
}

/// The logs whose rows differ, without those that the last rounds of the database alone may have changed.
fn disagreements(stored: &Rows, recorded: &Rows, may_be_ahead: bool) -> Held {
    let mut held = Held::new();
    for origin in stored.keys().chain(recorded.keys()) {
        let (of_store, of_record) = (stored.get(origin), recorded.get(origin));
        let is_ahead =
            may_be_ahead && of_store.is_some_and(|row| of_record.is_none_or(|before| follows(row, before)));
        if of_store != of_record && !is_ahead {
            let disagreement = Disagreement {
                origin: origin.clone(),
                stored: of_store.cloned(),
                recorded: of_record.cloned(),
            };
            held.insert(Hash::of(origin.as_bytes()), disagreement);
        }
    }
    held
}

/// How many rounds the database may be ahead of the record: one that is being recorded, and one that is being written.
pub const MOST_AHEAD: u64 = 2;

/// Whether `row` can have been cosigned after `before`.
fn follows(row: &Row, before: &Row) -> bool {
    let grown = row.seen.size > before.seen.size;
    (grown || row.seen == before.seen) && row.time >= before.time
}

#[cfg(test)]
mod tests {
    use tlog::{TreeSize, UnixTime};

    use super::*;
    use crate::decide::Seen;

    fn row(log: u64, size: u64, tree: u8, time: u64) -> Row {
        let seen = Seen { size: TreeSize::new(size), root: Hash::of(&[tree]) };
        Row { origin: format!("log.example/{log}"), seen, time: UnixTime::from_secs(time) }
    }

    fn stored(round: Option<u64>, rows: &[Row]) -> Stored {
        Stored { round, rows: rows.iter().map(|row| (row.origin.clone(), row.clone())).collect() }
    }

    fn recorded(round: u64, rows: &[Row]) -> Recorded {
        Recorded { round, rows: stored(None, rows).rows, ..Recorded::default() }
    }

    fn held(agreement: &Agreement) -> Vec<&str> {
        match agreement {
            Agreement::Counted(held) => held.values().map(|log| log.origin.as_str()).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_database_is_level_or_two_rounds_ahead_or_nothing_is_signed() {
        let rows = [row(1, 5, 1, 10)];
        let judge = |round, recorded: &Recorded| judge(&stored(round, &rows), Some(recorded));
        let torn = Recorded { is_torn: true, ..recorded(7, &rows) };
        let damaged = Recorded { damage: Some("line 3".into()), ..recorded(7, &rows) };
        for round in [7, 8, 9] {
            assert!(held(&judge(Some(round), &recorded(7, &rows))).is_empty(), "{round}");
        }
        assert!(held(&judge(Some(8), &torn)).is_empty(), "the crash cut the round that the database has");
        let broken =
            |stored, recorded, is_torn| Agreement::Broken(Break::Behind { stored, recorded, is_torn });
        assert_eq!(judge(Some(6), &recorded(7, &rows)), broken(6, 7, false));
        assert_eq!(
            judge(None, &recorded(7, &rows)),
            broken(0, 7, false),
            "a database from before the record"
        );
        assert_eq!(judge(Some(7), &torn), broken(7, 7, true), "what the record begins the database has had");
        let lost = Break::RecordBehind { stored: 10, recorded: 7 };
        assert_eq!(judge(Some(10), &recorded(7, &rows)), Agreement::Broken(lost));
        assert_eq!(judge(Some(7), &damaged), Agreement::Broken(Break::Damaged("line 3".into())));
        assert_eq!(super::judge(&stored(Some(7), &rows), None), Agreement::Broken(Break::Missing(7)));
        assert_eq!(super::judge(&stored(None, &rows), None), Agreement::First);
    }

    #[test]
    fn a_log_of_which_the_two_do_not_say_the_same_is_held() {
        let before = row(1, 5, 1, 10);
        // the database's row, whether it is held when both count the same rounds, and when the database is one ahead
        for (after, level, ahead) in [
            (Some(before.clone()), false, false),
            (Some(row(1, 6, 2, 10)), true, false),
            (Some(row(1, 5, 1, 11)), true, false),
            // Less, another tree, an earlier time, nothing: no crash leaves that.
            (Some(row(1, 4, 3, 11)), true, true),
            (Some(row(1, 5, 4, 11)), true, true),
            (Some(row(1, 6, 2, 9)), true, true),
            (None, true, true),
        ] {
            let rows: Vec<Row> = after.iter().cloned().chain([row(2, 1, 1, 1)]).collect();
            let recorded = recorded(7, &[before.clone(), row(2, 1, 1, 1)]);
            for (round, want) in [(7, level), (8, ahead), (9, ahead)] {
                let agreement = judge(&stored(Some(round), &rows), Some(&recorded));
                let want: &[&str] = if want { &["log.example/1"] } else { &[] };
                assert_eq!(held(&agreement), want, "{after:?} in round {round}");
            }
        }
        let new = judge(&stored(Some(7), &[before.clone(), row(2, 1, 1, 1)]), Some(&recorded(7, &[before])));
        assert_eq!(held(&new), ["log.example/2"], "what the record has never heard of");
    }

    #[test]
    fn the_higher_one_is_never_a_guess() {
        let (low, high, other) = (row(1, 5, 1, 10), row(1, 6, 2, 9), row(1, 5, 9, 10));
        for (stored, recorded, want) in [
            (Some(&low), None, Some(&low)),
            (None, Some(&low), Some(&low)),
            (Some(&row(1, 5, 1, 11)), Some(&low), Some(&row(1, 5, 1, 11))),
            (Some(&low), Some(&row(1, 6, 2, 10)), Some(&row(1, 6, 2, 10))),
            // Two trees of one size, or more at an earlier time: one of them is no record of ours.
            (Some(&low), Some(&other), None),
            (Some(&low), Some(&high), None),
        ] {
            let (stored, recorded) = (stored.cloned(), recorded.cloned());
            let disagreement = Disagreement { origin: "log.example/1".into(), stored, recorded };
            assert_eq!(disagreement.higher(), want, "{disagreement}");
        }
    }
}
