//! Policies: which logs to believe, and which witnesses must have seen a checkpoint
//! (c2sp.org/tlog-policy).
//!
//! ```text
//! log <vkey> [<url>]
//! witness <name> <vkey> [<url>]
//! group <name> <all|any|k> <member> …
//! quorum <name|none>                    exactly once
//! ```
//! Lines; words divided by spaces and tabs; `#` begins a comment as the first word of a line. A name
//! is defined before it is used and is a member of one group at most.

mod strength;

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::UnixTime;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::encoding::quoted;
use crate::key::{KeyError, KeyName, PublicKey, VerifierKey};
use crate::note::{Note, NoteError};

pub use strength::{MAX_SPREAD, Strength};

/// The most logs, witnesses and groups of a policy, taken together (the specification asks for 32 of each). Groups nest, so
/// without a limit the author of a policy would choose how deep the reader's stack gets.
pub const MAX_DEFINITIONS: usize = 1_000;

/// A policy, consistent in itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    groups: Vec<Group>,
    quorum: Option<Member>,
}

/// A log to believe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// The log's key; its name is the log's origin.
    pub vkey: VerifierKey,
    /// Where the log is served.
    pub url: Option<String>,
}

/// A witness.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Witness {
    /// The name that groups and the quorum use.
    pub name: String,
    /// The witness's key.
    pub vkey: VerifierKey,
    /// Where it takes checkpoints.
    pub url: Option<String>,
}

/// `threshold` of the members, each a witness or a group defined earlier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// The name that groups and the quorum use.
    pub name: String,
    /// How many members suffice, 1 to their number.
    pub threshold: usize,
    members: Vec<Member>,
}

/// A witness or a group, by its position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// A cosignature that counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cosigned {
    /// The witness's name in the policy.
    pub witness: String,
    /// When it cosigned.
    pub time: UnixTime,
}

impl Policy {
    /// The logs, in the order of the file.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The witnesses, in the order of the file.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// The groups, in the order of the file.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The name the `quorum` line gives, unless it is `none`.
    pub fn quorum_name(&self) -> Option<&str> {
        self.quorum.map(|member| match member {
            Member::Witness(at) => self.witnesses[at].name.as_str(),
            Member::Group(at) => self.groups[at].name.as_str(),
        })
    }

    /// Whether cosignatures by the witnesses in `seen` suffice. POL-2: a threshold over the groups;
    /// a name is a member of one group only, so a witness counts once.
    pub fn is_met_by(&self, seen: impl Fn(&Witness) -> bool) -> bool {
        self.quorum.is_none_or(|member| self.counts(member, &seen))
    }

    /// The fewest cosignatures that can make the quorum: 0 for `quorum none`. A new policy is compared with the old one by
    /// this number.
    pub fn weakest_quorum(&self) -> usize {
        self.quorum.map_or(0, |member| self.fewest(member))
    }

    /// Believes the log: its checkpoint, if a key of this policy signed the note and the note's
    /// origin is the log that key was configured for (CP-7). Extension lines are not to be believed when
    /// that key is of type 0x06, which does not cover them.
    pub fn log_checkpoint(&self, note: &Note) -> Result<(Checkpoint, &Log), PolicyError> {
        let checkpoint = Checkpoint::parse(note.text())?;
        let logs: Vec<&Log> =
            self.logs.iter().filter(|log| log.vkey.name().as_str() == checkpoint.origin).collect();
        if logs.is_empty() {
            return Err(PolicyError::UnknownLog(checkpoint.origin));
        }
        // A bad line of another log's key fails the note, too: every key of the policy is known (NOTE-8).
        let keys: Vec<VerifierKey> = self.logs.iter().map(|log| log.vkey.clone()).collect();
        let signed = note.verify(&keys)?;
        let by = signed.iter().find_map(|signed| logs.iter().find(|log| log.vkey == *signed.key));
        match by {
            Some(log) => Ok((checkpoint, log)),
            None => Err(PolicyError::NoLogSignature(checkpoint.origin)),
        }
    }

    /// Counts the witnesses: their cosignatures, if they make the quorum. A bad line of a witness that
    /// the policy names fails the note (NOTE-8); unknown lines are ignored.
    pub fn quorum(&self, note: &Note) -> Result<Vec<Cosigned>, PolicyError> {
        let keys: Vec<VerifierKey> = self.witnesses.iter().map(|witness| witness.vkey.clone()).collect();
        let signed = note.verify(&keys)?;
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            let by = signed.iter().find(|signed| *signed.key == witness.vkey);
            if let Some(time) = by.and_then(|signed| signed.time) {
                cosigned.push(Cosigned { witness: witness.name.clone(), time });
            }
        }
        let seen = |witness: &Witness| cosigned.iter().any(|by| by.witness == witness.name);
        if self.is_met_by(seen) {
            return Ok(cosigned);
        }
        Err(PolicyError::Quorum {
            quorum: self.quorum_name().unwrap_or("none").to_owned(),
            cosigned: cosigned.into_iter().map(|by| by.witness).collect(),
        })
    }

    /// How many members of the quorum's group the witnesses of `cosigned` make, and of how many: 2 of 3. A member is a
    /// witness, or a group; keys of one name are one witness. `None` for `quorum none`.
    pub fn members_met(&self, cosigned: &[Cosigned]) -> Option<(usize, usize)> {
        let seen = |witness: &Witness| cosigned.iter().any(|by| by.witness == witness.name);
        let quorum = self.quorum?;
        let members = match quorum {
            Member::Group(at) if !self.is_one_witness(at) => &self.groups[at].members,
            Member::Group(_) | Member::Witness(_) => &vec![quorum],
        };
        Some((members.iter().filter(|member| self.counts(**member, &seen)).count(), members.len()))
    }

    /// Whether a group is of keys of one name.
    fn is_one_witness(&self, group: usize) -> bool {
        let name = |member: &Member| match member {
            Member::Witness(at) => Some(self.witnesses[*at].vkey.name()),
            Member::Group(_) => None,
        };
        let names: Vec<_> = self.groups[group].members.iter().map(name).collect();
        names.iter().all(|name| name.is_some() && *name == names[0])
    }

    /// How fresh `cosigned` are, as the quorum sees it: the latest time such that those of this time and later
    /// suffice. A witness whose word alone is not enough cannot make an old checkpoint look fresh. `None` if they
    /// do not suffice, or if there is none.
    pub fn quorum_time(&self, cosigned: &[Cosigned]) -> Option<UnixTime> {
        let mut times: Vec<UnixTime> = cosigned.iter().map(|by| by.time).collect();
        times.sort_unstable();
        let suffices = |since: &UnixTime| {
            self.is_met_by(|witness| {
                cosigned.iter().any(|by| by.witness == witness.name && by.time >= *since)
            })
        };
        times.into_iter().rev().find(suffices)
    }

    fn counts(&self, member: Member, seen: &impl Fn(&Witness) -> bool) -> bool {
        match member {
            Member::Witness(at) => seen(&self.witnesses[at]),
            Member::Group(at) => {
                let group = &self.groups[at];
                group.members.iter().filter(|member| self.counts(**member, seen)).count() >= group.threshold
            }
        }
    }

    fn fewest(&self, member: Member) -> usize {
        match member {
            Member::Witness(_) => 1,
            Member::Group(at) => {
                let group = &self.groups[at];
                let mut fewest: Vec<usize> =
                    group.members.iter().map(|member| self.fewest(*member)).collect();
                fewest.sort_unstable();
                fewest.into_iter().take(group.threshold).sum()
            }
        }
    }

    fn find(&self, name: &str) -> Option<Member> {
        let witness = self.witnesses.iter().position(|witness| witness.name == name).map(Member::Witness);
        witness.or_else(|| self.groups.iter().position(|group| group.name == name).map(Member::Group))
    }

    fn add_line(
        &mut self,
        words: &[&str],
        members: &mut BTreeSet<String>,
        ended: &mut bool,
    ) -> Result<(), Rule> {
        match *words {
            ["log", vkey] => self.add_log(vkey, None),
            ["log", vkey, url] => self.add_log(vkey, Some(url)),
            ["witness", name, vkey] => self.add_witness(name, vkey, None),
            ["witness", name, vkey, url] => self.add_witness(name, vkey, Some(url)),
            ["group", name, threshold, ref names @ ..] => self.add_group(name, threshold, names, members),
            ["quorum", name] => {
                if *ended {
                    return Err(Rule::SecondQuorum);
                }
                *ended = true;
                self.quorum = match name {
                    NONE => None,
                    name => Some(self.find(name).ok_or_else(|| Rule::Undefined(name.to_owned()))?),
                };
                Ok(())
            }
            ["log" | "witness" | "group" | "quorum", ..] => Err(Rule::Words),
            [keyword, ..] => Err(Rule::Keyword(keyword.to_owned())),
            [] => Ok(()),
        }
    }

    fn add_log(&mut self, vkey: &str, url: Option<&str>) -> Result<(), Rule> {
        let vkey: VerifierKey = vkey.parse().map_err(Rule::Key)?;
        if matches!(vkey.key(), PublicKey::Ed25519Cosignature(_)) {
            return Err(Rule::NotALogKey);
        }
        self.refuse_known_key(&vkey)?;
        self.logs.push(Log { vkey, url: parse_url(url)? });
        Ok(())
    }

    fn add_witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), Rule> {
        self.refuse_known_name(name)?;
        let vkey: VerifierKey = vkey.parse().map_err(Rule::Key)?;
        if matches!(vkey.key(), PublicKey::Ed25519(_)) {
            return Err(Rule::NotAWitnessKey);
        }
        self.refuse_known_key(&vkey)?;
        self.witnesses.push(Witness { name: name.to_owned(), vkey, url: parse_url(url)? });
        Ok(())
    }

    fn add_group(
        &mut self,
        name: &str,
        threshold: &str,
        names: &[&str],
        taken: &mut BTreeSet<String>,
    ) -> Result<(), Rule> {
        self.refuse_known_name(name)?;
        let mut members = Vec::new();
        for member in names {
            members.push(self.find(member).ok_or_else(|| Rule::Undefined((*member).to_owned()))?);
            if !taken.insert((*member).to_owned()) {
                return Err(Rule::SecondMembership((*member).to_owned()));
            }
        }
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            number => crate::encoding::parse_decimal(number)
                .and_then(|number| usize::try_from(number).ok())
                .ok_or_else(|| Rule::Threshold(number.to_owned()))?,
        };
        if !(1..=members.len()).contains(&threshold) {
            return Err(Rule::Threshold(threshold.to_string()));
        }
        self.groups.push(Group { name: name.to_owned(), threshold, members });
        Ok(())
    }

    fn refuse_known_name(&self, name: &str) -> Result<(), Rule> {
        if name == NONE || self.find(name).is_some() {
            return Err(Rule::NameTaken(name.to_owned()));
        }
        Ok(())
    }

    /// COS-7: one underlying key is one signer; under two names or two types it would be two votes.
    fn refuse_known_key(&self, vkey: &VerifierKey) -> Result<(), Rule> {
        let logs = self.logs.iter().map(|log| &log.vkey);
        let witnesses = self.witnesses.iter().map(|witness| &witness.vkey);
        if logs.chain(witnesses).any(|known| known.key().raw() == vkey.key().raw()) {
            return Err(Rule::KeyTaken(vkey.name().clone()));
        }
        Ok(())
    }
}

/// Reads a policy.
impl FromStr for Policy {
    type Err = PolicyParseError;

    fn from_str(text: &str) -> Result<Self, PolicyParseError> {
        let mut policy = Self { logs: Vec::new(), witnesses: Vec::new(), groups: Vec::new(), quorum: None };
        let (mut members, mut ended) = (BTreeSet::new(), false);
        let text = text.strip_suffix('\n').unwrap_or(text);
        for (line, number) in text.split('\n').zip(1..) {
            let at = |rule| PolicyParseError { line: number, rule };
            if line.starts_with('\u{feff}') && number == 1 {
                return Err(at(Rule::ByteOrderMark));
            }
            if line.ends_with('\r') {
                return Err(at(Rule::LineEnds));
            }
            if line.bytes().any(|b| b != b'\t' && (b < 0x20 || b == 0x7f)) {
                return Err(at(Rule::Characters));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_some_and(|word| word.starts_with('#')) {
                continue;
            }
            policy.add_line(&words, &mut members, &mut ended).map_err(at)?;
            if policy.logs.len() + policy.witnesses.len() + policy.groups.len() > MAX_DEFINITIONS {
                return Err(at(Rule::TooMany));
            }
        }
        if !ended {
            return Err(PolicyParseError { line: text.split('\n').count(), rule: Rule::NoQuorum });
        }
        Ok(policy)
    }
}

/// Why a note does not satisfy a policy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// The note's text is no checkpoint.
    #[error("malformed checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// No key of this log signed.
    #[error("no key that the policy has for {} signed the checkpoint", quoted(.0))]
    NoLogSignature(String),
    /// A known key's line is bad.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Too few witnesses.
    #[error("the quorum `{quorum}` is not met: cosigned by {}", if cosigned.is_empty() { "none".to_owned() } else { cosigned.join(", ") })]
    Quorum {
        /// The quorum's name.
        quorum: String,
        /// The witnesses whose cosignatures count.
        cosigned: Vec<String>,
    },
    /// The policy has no key for this origin.
    #[error("the policy names no log with the origin {}", quoted(.0))]
    UnknownLog(String),
}

/// Why a text is no policy, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("policy line {line}: {rule}")]
pub struct PolicyParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub rule: Rule,
}

/// A rule of the policy format that a line breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rule {
    /// U+FEFF at the start.
    #[error("the text begins with a byte order mark")]
    ByteOrderMark,
    /// A control character.
    #[error("control characters other than tab are not allowed")]
    Characters,
    /// The vkey is refused.
    #[error("{0}")]
    Key(KeyError),
    /// One key twice.
    #[error("the key of `{0}` is already in the policy")]
    KeyTaken(KeyName),
    /// A first word that is no keyword.
    #[error("unknown keyword {}", quoted(.0))]
    Keyword(String),
    /// A carriage return ends the line.
    #[error("the line ends with CR LF, and must end with LF alone")]
    LineEnds,
    /// One name twice, or `none`.
    #[error("the name {} is taken", quoted(.0))]
    NameTaken(String),
    /// No quorum line.
    #[error("a policy needs one `quorum` line")]
    NoQuorum,
    /// A cosignature key as a log key.
    #[error("a log's key is of type 0x01 or 0x06, not an Ed25519 cosignature key")]
    NotALogKey,
    /// A note key as a witness key.
    #[error("a witness's key makes cosignatures: type 0x04 or 0x06")]
    NotAWitnessKey,
    /// A member of two groups.
    #[error("{} is already a member of a group", quoted(.0))]
    SecondMembership(String),
    /// Two quorum lines.
    #[error("a policy has one `quorum` line, this is a second")]
    SecondQuorum,
    /// Not `all`, `any` or 1 to the number of members.
    #[error("the threshold {} is not `all`, `any` or a number from 1 to the number of members", quoted(.0))]
    Threshold(String),
    /// More than [`MAX_DEFINITIONS`].
    #[error("a policy has at most {MAX_DEFINITIONS} logs, witnesses and groups")]
    TooMany,
    /// A name that is not defined on an earlier line.
    #[error("{} is not defined on an earlier line", quoted(.0))]
    Undefined(String),
    /// Not an http or https URL.
    #[error("{} is not an http or https URL", quoted(.0))]
    Url(String),
    /// Too few or too many words.
    #[error("wrong number of words")]
    Words,
}

fn parse_url(url: Option<&str>) -> Result<Option<String>, Rule> {
    match url {
        Some(url) if !(url.starts_with("https://") || url.starts_with("http://")) => {
            Err(Rule::Url(url.to_owned()))
        }
        url => Ok(url.map(str::to_owned)),
    }
}

const NONE: &str = "none";
