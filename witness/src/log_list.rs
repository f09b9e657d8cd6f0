//! Lists of logs, as the public witness network gives them (`logs/v0`), and the operator's own in the same form.
//!
//! ```text
//! logs/v0
//! vkey <vkey>
//! [origin <origin>]        without it, or with `none`: the vkey's name
//! qpd <requests a day>     1 to 2^31 - 1
//! contact <free text>
//! ```
//! Blank lines and lines that begin with `#` are comments. In the operator's own list `qpd` and `contact` may be
//! missing, and several stanzas may name one origin: its keys, any one of which suffices (WIT-15).

use std::collections::HashSet;
use std::fmt;

use tlog::encoding::{parse_decimal, quoted};
use tlog::key::{KeyError, PublicKey, VerifierKey};

/// Whose list it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Owner {
    /// The operator's own.
    Operator,
    /// Somebody else's.
    Public,
}

/// One log key of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stanza {
    /// The key. Not of type 0x04, which is a witness's.
    pub vkey: VerifierKey,
    /// The log that signs with it.
    pub origin: String,
    /// How many add-checkpoint requests it may send a day.
    pub qpd: Option<u32>,
    /// How to reach its operator.
    pub contact: Option<String>,
}

/// Reads a list.
pub fn parse(text: &str, owner: Owner) -> Result<Vec<Stanza>, LogListError> {
    let mut lines = text
        .lines()
        .zip(1..)
        .map(|(line, number)| (line.trim_ascii(), number))
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    if lines.next().map(|(line, _)| line) != Some(HEADER) {
        return Err(LogListError { line: 1, rule: Rule::Header });
    }
    let mut stanzas = Vec::new();
    let mut taken = HashSet::new();
    while let Some((line, number)) = lines.next() {
        let at = |rule| LogListError { line: number, rule };
        let mut next = |word| {
            let value = lines.peek().and_then(|(line, _)| value_of(line, word))?;
            lines.next();
            Some(value)
        };
        let vkey = value_of(line, "vkey").ok_or_else(|| at(Rule::Line(line.to_owned())))?;
        let vkey: VerifierKey = vkey.parse().map_err(|error| at(Rule::Key(error)))?;
        let origin = next("origin").filter(|origin| *origin != "none");
        let (qpd, contact) = (next("qpd"), next("contact"));
        if owner == Owner::Public && (qpd.is_none() || contact.is_none()) {
            return Err(at(Rule::Incomplete));
        }
        let stanza = Stanza {
            origin: origin.unwrap_or(vkey.name().as_str()).to_owned(),
            qpd: qpd.map(|qpd| parse_qpd(qpd).ok_or_else(|| at(Rule::Qpd(qpd.to_owned())))).transpose()?,
            contact: contact.map(str::to_owned),
            vkey,
        };
        check(&stanza, &mut taken, owner).map_err(at)?;
        stanzas.push(stanza);
    }
    Ok(stanzas)
}

/// The stanza as it is read.
impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vkey {}", self.vkey)?;
        if self.origin != self.vkey.name().as_str() {
            writeln!(f, "origin {}", self.origin)?;
        }
        self.qpd.iter().try_for_each(|qpd| writeln!(f, "qpd {qpd}"))?;
        self.contact.iter().try_for_each(|contact| writeln!(f, "contact {contact}"))
    }
}

/// The first line of every list.
pub const HEADER: &str = "logs/v0";

/// The longest origin: an ML-DSA cosignature has one byte for its length.
pub const MAX_ORIGIN_BYTES: usize = tlog::cosignature::MAX_NAME_BYTES;

/// Why a list is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {rule}")]
pub struct LogListError {
    /// The line at which the stanza begins, or stands.
    pub line: usize,
    /// What is wrong there.
    pub rule: Rule,
}

/// The rule that a list breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rule {
    /// Two stanzas for one origin in a public list, or one key twice.
    #[error("the log {} stands here twice", quoted(.0))]
    Duplicate(String),
    /// Another first line.
    #[error("a list of logs begins with the line `{HEADER}`")]
    Header,
    /// A public list without `qpd` or `contact`.
    #[error("the stanza needs `qpd` and `contact` behind `vkey` and `origin`, in this order")]
    Incomplete,
    /// No vkey.
    #[error("no vkey: {0}")]
    Key(#[from] KeyError),
    /// A line that is not expected here.
    #[error("a stanza is `vkey`, `origin`, `qpd`, `contact` in this order, and {} is out of place", quoted(.0))]
    Line(String),
    /// A longer origin, or one with control characters.
    #[error("the origin {} is not 1 to {MAX_ORIGIN_BYTES} bytes of plain text", quoted(.0))]
    Origin(String),
    /// No number of requests.
    #[error("`qpd` is a plain decimal from 1 to 2^31 - 1, not {}", quoted(.0))]
    Qpd(String),
    /// A key of type 0x04.
    #[error("the key of `{0}` is a witness's (type 0x04), not a log's")]
    WitnessKey(String),
}

/// What follows `word` on a line.
fn value_of<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix(word)?.strip_prefix(' ').map(str::trim_ascii).filter(|value| !value.is_empty())
}

fn parse_qpd(text: &str) -> Option<u32> {
    let qpd = u32::try_from(parse_decimal(text)?).ok()?;
    (1..=i32::MAX as u32).contains(&qpd).then_some(qpd)
}

fn check(new: &Stanza, taken: &mut HashSet<(String, String)>, owner: Owner) -> Result<(), Rule> {
    if matches!(new.vkey.key(), PublicKey::Ed25519Cosignature(_)) {
        return Err(Rule::WitnessKey(new.vkey.name().to_string()));
    }
    if new.origin.len() > MAX_ORIGIN_BYTES || new.origin.contains(char::is_control) {
        return Err(Rule::Origin(new.origin.clone()));
    }
    // One key a log in a public list, several in the operator's.
    let key = if owner == Owner::Public { String::new() } else { new.vkey.to_string() };
    let twice = !taken.insert((new.origin.clone(), key));
    if twice { Err(Rule::Duplicate(new.origin.clone())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    const OTHER: &str = "example.com/log1+8a340ce6+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

    #[test]
    fn a_public_list_is_read_and_printed() {
        let text = format!(
            "# a comment\n\nlogs/v0\r\n\n  vkey {KEY}\norigin go.sum database tree\nqpd 86400\ncontact a b c\n#\nvkey {OTHER}\nqpd 1\ncontact none\n"
        );
        let stanzas = parse(&text, Owner::Public).expect("a list");
        let read: Vec<_> = stanzas.iter().map(|s| (s.origin.as_str(), s.qpd, s.contact.as_deref())).collect();
        assert_eq!(
            read,
            [
                ("go.sum database tree", Some(86_400), Some("a b c")),
                ("example.com/log1", Some(1), Some("none"))
            ]
        );
        let printed = format!("{HEADER}\n{}{}", stanzas[0], stanzas[1]);
        assert_eq!(parse(&printed, Owner::Public).as_ref(), Ok(&stanzas));
        assert_eq!(parse(HEADER, Owner::Public), Ok(Vec::new()));
        let none = format!("{HEADER}\nvkey {OTHER}\norigin none\nqpd 1\ncontact x");
        assert_eq!(parse(&none, Owner::Public).expect("a list")[0].origin, "example.com/log1");
    }

    #[test]
    fn wit_15_the_operators_list_may_give_a_log_several_keys_and_leave_lines_out() {
        let text = format!("{HEADER}\nvkey {KEY}\norigin o\nvkey {OTHER}\norigin o\nqpd 7\n");
        let stanzas = parse(&text, Owner::Operator).expect("a list");
        assert_eq!(
            stanzas.iter().map(|s| (s.origin.as_str(), s.qpd)).collect::<Vec<_>>(),
            [("o", None), ("o", Some(7))]
        );
        assert_eq!(parse(&text, Owner::Public), Err(LogListError { line: 2, rule: Rule::Incomplete }));
    }

    #[test]
    fn malformed_lists_are_refused_by_rule() {
        let stanza = |vkey: &str| format!("vkey {vkey}\nqpd 1\ncontact x\n");
        let long = "o".repeat(256);
        for (text, line, rule) in [
            (String::new(), 1, Rule::Header),
            ("logs/v1\n".into(), 1, Rule::Header),
            (stanza(KEY), 1, Rule::Header),
            (format!("{HEADER}\nqpd 1\n"), 2, Rule::Line("qpd 1".into())),
            (format!("{HEADER}\nvkey {KEY}\nqpd 1\n"), 2, Rule::Incomplete),
            (format!("{HEADER}\nvkey {KEY}\ncontact x\nqpd 1\n"), 2, Rule::Incomplete),
            (format!("{HEADER}\nvkey {KEY}\nqpd\ncontact x\n"), 2, Rule::Incomplete),
            (format!("{HEADER}\n{}origin o\n", stanza(KEY)), 5, Rule::Line("origin o".into())),
            (
                format!("{HEADER}\n{}{}", stanza(KEY), stanza(KEY)),
                5,
                Rule::Duplicate("sum.golang.org".into()),
            ),
            (format!("{HEADER}\n{}", stanza("x+y")), 2, Rule::Key(KeyError::Shape)),
            (
                format!("{HEADER}\nvkey {KEY}\norigin {long}\nqpd 1\ncontact x\n"),
                2,
                Rule::Origin(long.clone()),
            ),
            (format!("{HEADER}\nvkey {KEY}\nqpd 0\ncontact x\n"), 2, Rule::Qpd("0".into())),
            (format!("{HEADER}\nvkey {KEY}\nqpd +1\ncontact x\n"), 2, Rule::Qpd("+1".into())),
            (format!("{HEADER}\nvkey {KEY}\nqpd 2147483648\ncontact x\n"), 2, Rule::Qpd("2147483648".into())),
            (
                format!(
                    "{HEADER}\n{}",
                    stanza("witness.example/w1+df1c0a35+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU")
                ),
                2,
                Rule::WitnessKey("witness.example/w1".into()),
            ),
        ] {
            assert_eq!(parse(&text, Owner::Public), Err(LogListError { line, rule }), "{text}");
        }
        let twice = format!("{HEADER}\nvkey {KEY}\nvkey {KEY}\n");
        let rule = Rule::Duplicate("sum.golang.org".into());
        assert_eq!(parse(&twice, Owner::Operator), Err(LogListError { line: 3, rule }));
    }
}
