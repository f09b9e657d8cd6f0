//! The log's own policy, `D/policy`: what consumers pin, and which witnesses the log asks. `policy` writes a quorum into it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::builder::RangedU64ValueParser;
use service::durable::replace;
use service::edited;
use tlog::Hash;
use tlog::key::{KeyName, KeyType, VerifierKey};
use tlog::policy::{Policy, PolicyParseError, Witness};

use crate::Failure;
use crate::config::Settings;
use crate::directory::{KEY, read_key, read_policy, read_settings};
use crate::url;

/// Name the log's witnesses and its quorum: writes the directory's `policy`
///
/// The `log` lines stay as they are, with the log's URL; witnesses and quorum are replaced. A log that runs reads the
/// new policy at SIGHUP. A policy that names witnesses already is kept as `policy.old`. A `policy` that is a link stays one:
/// the file that it leads to is written.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The log's directory
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// What `witness init` printed, with the witness's URL (once for each witness)
    #[arg(long = "witness", value_name = "FILE", required = true)]
    pub witnesses: Vec<PathBuf>,
    /// How many of these witnesses must have cosigned a checkpoint before it is published
    #[arg(long, value_name = "WITNESSES", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub quorum: usize,
}

/// Writes the policy. Answers what it asks for, and its fingerprint.
pub fn run(args: &Args) -> Result<String, Failure> {
    let file = read_settings(&args.dir)?;
    let key = read_key(&args.dir.join(KEY), KeyType::Ed25519, &file.origin)?;
    let vkey = key.verifier();
    let witnesses = args.witnesses.iter().map(|path| Named::read(path)).collect::<Result<Vec<_>, _>>()?;
    refuse_one_twice(&witnesses)?;
    if args.quorum > witnesses.len() {
        let fact = format!("a quorum of {} cannot be met by {}", args.quorum, counted(witnesses.len()));
        return Err(Failure::new(fact).hint("name a file with --witness for each witness"));
    }
    let path = args.dir.join("policy");
    // Two that write at once would write into each other. A log that runs holds another lock.
    let folder = File::open(&args.dir).and_then(|folder| folder.lock().map(|()| folder));
    let _held = folder.map_err(|e| cannot_write(&path, e))?;
    let old = read_policy(&args.dir)?;
    let before = parse(&old)?;
    refuse_other_key(&before, vkey)?;
    let text = compose(&old, &witnesses, args.quorum);
    let policy: Policy = text.parse().map_err(|e: PolicyParseError| {
        Failure::new("witnesses and log do not go together in one policy").caused_by(e)
    })?;
    // `--fail-open` is for a running log in distress; what is written here must be met.
    refuse_unreachable(&policy)?;
    let summary = format!(
        "{} of {} must cosign\nsha256:{}",
        args.quorum,
        counted(witnesses.len()),
        Hash::of(text.as_bytes())
    );
    if text == old {
        return Ok(format!("`{}` says so already: {summary}", path.display()));
    }
    if !before.witnesses().is_empty() {
        let kept = args.dir.join("policy.old");
        replace(&kept, old.as_bytes()).map_err(|e| cannot_write(&kept, e))?;
    }
    let file = path.canonicalize().map_err(|e| cannot_write(&path, e))?;
    replace(&file, text.as_bytes()).map_err(|e| cannot_write(&file, e))?;
    if let Err(error) = edited::wrote(&args.dir, "policy", text.as_bytes()) {
        eprintln!("warning: the next start will say that somebody edited the policy: {error}");
    }
    for name in
        before.witnesses().iter().filter(|old| !policy.witnesses().iter().any(|new| new.vkey == old.vkey))
    {
        eprintln!("warning: the witness `{}` is no longer named; `policy.old` has it", name.name);
    }
    if policy.strength().dishonest_to_fork == 0 {
        eprintln!(
            "warning: two views of the log can both meet this quorum without a dishonest witness: ask for more than half, \
             --quorum {}",
            witnesses.len() / 2 + 1
        );
    }
    eprintln!(
        "hint: a running log reads it at SIGHUP (`systemctl reload aip-log`), another one when it starts; then \
         `aip policy check {}` says what it is worth, and those who pinned the policy of before pin this one",
        path.display()
    );
    Ok(format!("wrote `{}`: {summary}", path.display()))
}

/// A witness by its file: the lines that go into a policy, and the name under which it has its one vote.
struct Named<'p> {
    path: &'p Path,
    lines: String,
    vote: String,
    witnesses: Vec<Witness>,
}

impl<'p> Named<'p> {
    fn read(path: &'p Path) -> Result<Self, Failure> {
        let cannot = || Failure::new(format!("cannot use the witness `{}`", path.display()));
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        read.map_err(|e| cannot().caused_by(e))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(cannot().because(format!("it has more than {MAX_BYTES} bytes")));
        }
        Self::parse(path, &text).map_err(|why| {
            cannot()
                .because(why)
                .hint("the file is what `witness init` printed: one witness, with a URL behind its keys")
        })
    }

    /// The one witness in `text`. It has one vote, so several keys of it stand in one group.
    fn parse(path: &'p Path, text: &str) -> Result<Self, String> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let policy: Policy =
            format!("{text}\nquorum none\n").parse().map_err(|e: PolicyParseError| match e.rule {
                tlog::policy::Rule::SecondQuorum => "it is a whole policy, with a quorum".to_owned(),
                _ => e.to_string(),
            })?;
        let owner = match policy.witnesses() {
            [] => return Err("it names no witness".into()),
            [first, ..] => first.vkey.name().clone(),
        };
        if let Some(log) = policy.logs().first() {
            return Err(format!("it names the log `{}`", log.vkey.name()));
        }
        if let Some(other) = policy.witnesses().iter().find(|witness| *witness.vkey.name() != owner) {
            return Err(format!(
                "it names two witnesses, `{owner}` and `{}`: each has a file",
                other.vkey.name()
            ));
        }
        let vote = match (policy.witnesses(), policy.groups()) {
            ([only], []) => only.name.clone(),
            (several, [group]) if group.threshold == 1 && members(text).len() == several.len() => {
                group.name.clone()
            }
            _ => {
                return Err(format!(
                    "the keys of `{owner}` do not stand in one group `any`: they would be several votes"
                ));
            }
        };
        let is_said = |line: &&str| first_word(line).is_some_and(|word| !word.starts_with('#'));
        for witness in policy.witnesses() {
            let url = witness.url.as_deref().map_or(Ok(String::new()), url::parse);
            url.map_err(|why| format!("the URL of `{}` is no witness's: {why}", witness.name))?;
        }
        let lines = text.split('\n').filter(is_said).fold(String::new(), |lines, line| lines + line + "\n");
        Ok(Self { path, lines, vote, witnesses: policy.witnesses().to_vec() })
    }

    fn owner(&self) -> &KeyName {
        self.witnesses[0].vkey.name()
    }

    /// Where it is, in the one spelling that a URL has.
    fn urls(&self) -> impl Iterator<Item = String> {
        self.witnesses.iter().filter_map(|witness| url::parse(witness.url.as_deref()?).ok())
    }
}

/// The members of the groups in a text that is a policy.
fn members(text: &str) -> Vec<&str> {
    let groups = text.split('\n').filter(|line| first_word(line) == Some("group"));
    groups.flat_map(|line| words(line).skip(3)).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '\t']).filter(|word| !word.is_empty())
}

fn first_word(line: &str) -> Option<&str> {
    words(line).next()
}

/// One witness has one vote, and one key is one witness (COS-7). So is one address: who answers there has one name, and a
/// quorum that asks two of it is never met.
fn refuse_one_twice(witnesses: &[Named<'_>]) -> Result<(), Failure> {
    for (at, this) in witnesses.iter().enumerate() {
        for other in &witnesses[..at] {
            let both = format!("`{}` and `{}`", other.path.display(), this.path.display());
            if other.owner() == this.owner() {
                return Err(Failure::new(format!("{both} are of one witness, `{}`", this.owner()))
                    .hint("a witness has one vote: name it once"));
            }
            let has = |key: &VerifierKey| {
                other.witnesses.iter().any(|their| their.vkey.key().raw() == key.key().raw())
            };
            if this.witnesses.iter().any(|witness| has(&witness.vkey)) {
                return Err(Failure::new(format!("{both} have a key in common"))
                    .because(format!(
                        "`{}` and `{}` would be one signer with two votes",
                        other.owner(),
                        this.owner()
                    ))
                    .hint("each witness makes its own keys: `witness init`"));
            }
            if let Some(url) = this.urls().find(|url| other.urls().any(|their| their == *url)) {
                return Err(Failure::new(format!("{both} are at one address, {url}"))
                    .because(format!("`{}` and `{}` cannot both answer there", other.owner(), this.owner()))
                    .hint("ask each witness's operator for its URL"));
            }
        }
    }
    Ok(())
}

/// The new text: the `log` lines of the old one, the witnesses, and the quorum.
fn compose(old: &str, witnesses: &[Named<'_>], quorum: usize) -> String {
    let mut text = format!(
        "# {quorum} of {} must cosign what this log publishes. `log-server policy` wrote it.\n",
        counted(witnesses.len())
    );
    for line in old.split('\n').filter(|line| first_word(line) == Some("log")) {
        text.extend([line, "\n"]);
    }
    text.extend(witnesses.iter().map(|witness| witness.lines.as_str()));
    let votes: Vec<&str> = witnesses.iter().map(|witness| witness.vote.as_str()).collect();
    let of_all = format!("{quorum}-of-{}", votes.len());
    text + &match votes[..] {
        [only] => format!("quorum {only}\n"),
        _ => format!("group {of_all} {quorum} {}\nquorum {of_all}\n", votes.join(" ")),
    }
}

/// The log's own policy: consumers pin it, and it names the witnesses that the log asks. A policy with another log key is
/// refused: a consumer that pinned it would believe none of this log's receipts.
pub(crate) fn own_policy(text: &str, vkey: &VerifierKey, settings: &Settings) -> Result<Policy, Failure> {
    let policy = parse(text)?;
    refuse_other_key(&policy, vkey)?;
    if !settings.fail_open {
        refuse_unreachable(&policy)?;
    }
    Ok(policy)
}

/// What an operator who named witnesses did not mean: that none of them counts, or that one is never asked.
pub(crate) fn idle_witnesses(policy: &Policy) -> Option<String> {
    let named = policy.witnesses();
    if named.is_empty() {
        return None;
    }
    let unasked = without_url(policy);
    if unasked.len() == named.len() {
        return Some(format!(
            "the policy names witnesses, and none is asked: no line has a URL ({})",
            unasked.join(", ")
        ));
    }
    if policy.quorum_name().is_none() {
        return Some(
            "the policy names witnesses, and none is asked for: `quorum none` publishes without them, and consumers who \
             pin it believe the log alone. `log-server policy --witness FILE … --quorum N` names a quorum"
                .into(),
        );
    }
    (!unasked.is_empty())
        .then(|| format!("these witnesses are never asked, for want of a URL: {}", unasked.join(", ")))
}

fn parse(text: &str) -> Result<Policy, Failure> {
    text.parse().map_err(|e: PolicyParseError| Failure::new("the log's own policy is malformed").caused_by(e))
}

fn refuse_other_key(policy: &Policy, vkey: &VerifierKey) -> Result<(), Failure> {
    match policy.logs().iter().any(|log| log.vkey == *vkey) {
        true => Ok(()),
        false => Err(Failure::new("the log's own policy does not name its key")
            .hint(format!("the directory's `policy` needs the line `log {vkey}`"))),
    }
}

/// A quorum that is not met by all witnesses which can be asked is met by none.
fn refuse_unreachable(policy: &Policy) -> Result<(), Failure> {
    if policy.is_met_by(|witness| witness.url.is_some()) {
        return Ok(());
    }
    Err(Failure::new("the log's policy asks for a quorum that it cannot reach")
        .because(format!("no URL stands behind the key of {}", without_url(policy).join(", ")))
        .hint(
            "a `witness` line ends in the URL where that witness takes checkpoints; `witness init --url URL` prints it \
             so, and for one that is there the URL is written behind its key",
        ))
}

fn without_url(policy: &Policy) -> Vec<String> {
    let unasked = policy.witnesses().iter().filter(|witness| witness.url.is_none());
    unasked.map(|witness| format!("`{}`", witness.name)).collect()
}

fn cannot_write(path: &Path, cause: io::Error) -> Failure {
    Failure::new(format!("cannot write `{}`", path.display())).caused_by(cause)
}

fn counted(witnesses: usize) -> String {
    let plural = if witnesses == 1 { "" } else { "es" };
    format!("{witnesses} witness{plural}")
}

/// A few keys of 1,800 bytes each.
const MAX_BYTES: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use tlog::key::SignerKey;

    use super::*;

    fn vkey(name: &str, seed: u8, kind: KeyType) -> VerifierKey {
        let name = KeyName::new(name).expect("a name");
        SignerKey::from_seed(name, kind, &[seed; 32]).verifier().clone()
    }

    /// As `witness init --url` prints a witness with keys of both types.
    fn printed(name: &str, seed: u8) -> String {
        let [ed, ml_dsa] = [(seed, KeyType::Ed25519Cosignature), (seed + 100, KeyType::MlDsa44Cosignature)]
            .map(|(seed, kind)| vkey(name, seed, kind));
        format!(
            "witness {name}-ed {ed} https://{name}\nwitness {name}-mldsa {ml_dsa} https://{name}\n\
             group {name} any {name}-ed {name}-mldsa\n"
        )
    }

    fn named(text: &str) -> Result<Named<'static>, String> {
        Named::parse(Path::new("w.policy"), text)
    }

    #[test]
    fn the_policy_of_two_witnesses_keeps_the_log_line_and_its_url() {
        let log = vkey("log.example.com/pipelines", 1, KeyType::Ed25519);
        let old = format!("# by hand\nlog {log} https://log.example.com\nquorum none\n");
        let witnesses =
            [named(&printed("a", 2)).expect("a witness"), named(&printed("b", 3)).expect("a witness")];
        let text = compose(&old, &witnesses, 2);
        let policy: Policy = text.parse().expect("a policy");
        assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example.com"));
        assert_eq!((policy.witnesses().len(), policy.weakest_quorum()), (4, 2));
        assert_eq!(policy.strength().dishonest_to_fork, 2);
        // Writing it again, with a third witness, starts from there.
        let more = [&printed("a", 2), &printed("b", 3), &printed("c", 4)]
            .map(|text| named(text).expect("a witness"));
        let policy: Policy = compose(&text, &more, 2).parse().expect("a policy");
        assert_eq!((policy.logs().len(), policy.strength().failures_to_halt), (1, Some(2)));
        let alone: Policy = compose(&text, &more[..1], 1).parse().expect("a policy");
        assert_eq!(alone.quorum_name(), Some("a"));
    }

    #[test]
    fn a_file_is_one_witness_with_one_vote() {
        let ed = vkey("a", 2, KeyType::Ed25519Cosignature);
        let single = named(&format!("# mine\n\nwitness a {ed}")).expect("a witness");
        assert_eq!((single.vote.as_str(), single.lines), ("a", format!("witness a {ed}\n")));
        let both = printed("a", 2) + &printed("b", 3);
        let ungrouped = printed("a", 2).lines().take(2).collect::<Vec<_>>().join("\n");
        let log = vkey("l", 1, KeyType::Ed25519);
        for (text, why) in [
            ("".into(), "no witness"),
            ("<html>".into(), "unknown keyword"),
            (both, "two witnesses, `a` and `b`"),
            (ungrouped, "several votes"),
            (printed("a", 2).replace(" any ", " all "), "several votes"),
            (format!("log {log}\n{}", printed("a", 2)), "names the log `l`"),
            (format!("{}quorum a\n", printed("a", 2)), "a whole policy"),
            (printed("a", 2).replace('\n', "\r\n"), "CR LF"),
            (printed("a", 2).replace("//a", "//me:secret@a"), "without user"),
            (printed("a", 2).replace("//a", "//a/?to=b"), "without user, query"),
            (printed("a", 2).replace("//a", "//[::1"), "no witness's: "),
        ] {
            let said = named(&text).err().unwrap_or_default();
            assert!(said.contains(why), "{text}\n{said}");
        }
    }

    #[test]
    fn two_files_with_one_name_or_one_key_are_one_witness() {
        let pair = |first: &str, second: &str| {
            let both = [first, second].map(|text| named(text).expect("a witness"));
            refuse_one_twice(&both).map_err(|failure| failure.to_string())
        };
        assert_eq!(pair(&printed("a", 2), &printed("b", 3)), Ok(()));
        let same_name = pair(&printed("a", 2), &printed("a", 3)).expect_err("one name");
        assert!(same_name.contains("of one witness, `a`"), "{same_name}");
        let same_key = pair(&printed("a", 2), &printed("b", 2)).expect_err("one key");
        assert!(same_key.contains("a key in common"), "{same_key}");
        let there = printed("b", 3).replace("https://b", "https://A/");
        let same_url = pair(&printed("a", 2), &there).expect_err("one address");
        assert!(same_url.contains("at one address, https://a"), "{same_url}");
    }

    #[test]
    fn witnesses_that_are_named_in_vain_are_told() {
        let log = vkey("l", 1, KeyType::Ed25519);
        let [a, b] = [printed("a", 2), printed("b", 3)];
        let no_url = |text: &str| text.replace(" https://a", "").replace(" https://b", "");
        for (witnesses, quorum, told) in [
            (String::new(), "none", None),
            (a.clone(), "a", None),
            (a.clone(), "none", Some("none is asked for: `quorum none`")),
            (no_url(&a), "a", Some("none is asked: no line has a URL (`a-ed`, `a-mldsa`)")),
            (a + &no_url(&b), "a", Some("never asked, for want of a URL: `b-ed`, `b-mldsa`")),
        ] {
            let policy: Policy =
                format!("log {log}\n{witnesses}quorum {quorum}\n").parse().expect("a policy");
            let said = idle_witnesses(&policy);
            assert_eq!(said.is_some(), told.is_some(), "{said:?}");
            assert!(said.unwrap_or_default().contains(told.unwrap_or_default()), "{told:?}");
        }
    }

    #[test]
    fn a_quorum_that_cannot_be_reached_names_the_witness_without_url() {
        let log = vkey("l", 1, KeyType::Ed25519);
        let [a, b] = [printed("a", 2), printed("b", 3).replace(" https://b", "")];
        let text = format!("log {log}\n{a}{b}group both all a b\nquorum both\n");
        let refused =
            own_policy(&text, &log, &Settings::default()).expect_err("it cannot be met").to_string();
        assert!(
            refused.contains("behind the key of `b-ed`, `b-mldsa`") && !refused.contains("`a-ed`"),
            "{refused}"
        );
        let fail_open = Settings { fail_open: true, ..Settings::default() };
        assert!(own_policy(&text, &log, &fail_open).is_ok());
    }
}
