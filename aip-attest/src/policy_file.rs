//! Which policy judges: the one that is named, else the one in the working tree, else the pinned one.
//!
//! In this order, the first that is there:
//! 1. `--policy FILE`
//! 2. the file that `AIP_POLICY` names
//! 3. `.aip/policy` in the working folder or, in a repository, above it; one that contradicts a pinned key is
//!    refused
//! 4. the policy that `policy pin` keeps for the log in question
//!
//! `trust.toml` beside a policy adds what C2SP policies have no words for ([`trust`]).

pub mod difference;
pub mod findings;
pub mod pins;
pub mod trust;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use tlog::policy::{Policy, PolicyParseError, Rule};

use crate::environment;
use crate::receipt_file::read_found;
use crate::report::{Console, Failure, Result};
use pins::Pins;
use trust::Trust;

/// A policy with its settings, and where both come from.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// The policy.
    pub policy: Policy,
    /// Its text, as it was published.
    pub text: String,
    /// What `trust.toml` beside it adds.
    pub trust: Trust,
    /// Where it comes from.
    pub source: Source,
}

/// Where a policy comes from, the strongest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// `--policy`.
    Flag(PathBuf),
    /// `AIP_POLICY`.
    Environment(PathBuf),
    /// `.aip/policy` in the working tree.
    WorkingTree(PathBuf),
    /// Pinned for this origin.
    Pinned(String),
    /// The log itself says so, and nobody has confirmed it.
    Log(String),
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(path) => write!(f, "{} (--policy)", path.display()),
            Self::Environment(path) => write!(f, "{} (AIP_POLICY)", path.display()),
            Self::WorkingTree(path) => write!(f, "{} (working tree)", path.display()),
            Self::Pinned(origin) => write!(f, "pinned for {origin}"),
            Self::Log(url) => write!(f, "the word of {url}, not pinned"),
        }
    }
}

/// The policy that is named by flag, environment or working tree, if any is.
///
/// A checkout is somebody else's word, the pin is the user's own: a policy of the working tree that has another key for
/// a pinned log is refused, and one that asks for less than the pin is warned of. Every command takes its policy
/// from here.
pub fn named(flag: Option<&Path>, pins: &Pins, console: &mut Console) -> Result<Option<PolicyFile>> {
    let found = find(flag, pins)?;
    if let Some(why) = found.as_ref().and_then(|found| pins.is_weaker(found)) {
        console.warn(why);
    }
    Ok(found)
}

/// As [`named`], without the warning: for whoever only asks whether there is one.
pub fn find(flag: Option<&Path>, pins: &Pins) -> Result<Option<PolicyFile>> {
    if let Some(path) = flag {
        return read(path, Source::Flag).map(Some);
    }
    if let Some(path) = environment::path("AIP_POLICY") {
        return read(&path, Source::Environment).map(Some);
    }
    let Some(path) = in_working_tree()? else { return Ok(None) };
    let found = read(&path, Source::WorkingTree)?;
    pins.refuse_contradiction(&found)?;
    Ok(Some(found))
}

/// The policy that is pinned for the log `origin`, where none is named.
pub fn pinned(pins: &Pins, origin: &str) -> Result<PolicyFile> {
    pins.policy_for(origin)?.ok_or_else(|| {
        Failure::new(format!("there is no policy for the log `{}`", crate::report::printable(origin)))
            .hint(
                "`aip-attest policy pin URL` keeps the log's policy, once you have compared its fingerprint",
            )
            .hint("or name a file with --policy or AIP_POLICY")
    })
}

/// Reads a policy file and the settings beside it. A pipe or a device is none, named or not: settings lie
/// beside a file, and what judges is there to be read again.
pub fn read(path: &Path, source: impl FnOnce(PathBuf) -> Source) -> Result<PolicyFile> {
    let cannot = || Failure::new(format!("cannot use the policy `{}`", path.display()));
    let text = read_found(path, MAX_BYTES).map_err(|error| cannot().caused_by(error))?;
    let text = String::from_utf8(text).map_err(|_| cannot().because("it is not UTF-8"))?;
    let policy = text.parse().map_err(|error: PolicyParseError| {
        let failure = cannot().caused_by(&error);
        mended(&error).into_iter().fold(failure, Failure::hint)
    })?;
    let trust = trust::beside(path)?;
    Ok(PolicyFile { policy, text, trust, source: source(path.to_path_buf()) })
}

/// What to do about a fault that an editor or a checkout makes, and no author.
fn mended(error: &PolicyParseError) -> Option<&'static str> {
    match error.rule {
        Rule::LineEnds => Some(
            "git changed the line ends at checkout: add the line `.aip/* -text` to .gitattributes and check the file \
             out again; its fingerprint is that of the text with LF",
        ),
        Rule::ByteOrderMark => Some("save the file as UTF-8 without a byte order mark"),
        _ => None,
    }
}

/// `.aip/policy` in the working folder or, inside of a repository, above it up to the repository's root.
/// Outside of one the folders above belong to others: in `/tmp`, to everybody.
fn in_working_tree() -> Result<Option<PathBuf>> {
    let Ok(here) = std::env::current_dir() else { return Ok(None) };
    let is_root = |folder: &&Path| folder.join(".git").exists();
    let root = here.ancestors().find(is_root).unwrap_or(&here);
    let inside = here.ancestors().take_while(|folder| folder.starts_with(root));
    let mut paths = inside.map(|folder| folder.join(".aip").join("policy"));
    // Whatever it is: one that cannot be read is not the same as none.
    let Some(path) = paths.find(|path| path.symlink_metadata().is_ok()) else { return Ok(None) };
    // Messages and outputs read better with the short name.
    if let Ok(short) = path.strip_prefix(&here) {
        return Ok(Some(short.to_path_buf()));
    }
    refuse_other_owner(&path, &here)?;
    Ok(Some(path))
}

/// A stranger can make a repository around the folder that somebody else works in.
#[cfg(unix)]
fn refuse_other_owner(path: &Path, here: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = |path: &Path| path.metadata().map(|metadata| metadata.uid());
    match (owner(path), owner(here)) {
        (Ok(policy), Ok(folder)) if policy == folder || policy == 0 => Ok(()),
        _ => Err(Failure::new(format!("the policy `{}` is not yours", path.display()))
            .because("it belongs to another user than the working folder")
            .hint("if you trust it, name it with --policy or AIP_POLICY")),
    }
}

#[cfg(not(unix))]
fn refuse_other_owner(_: &Path, _: &Path) -> Result<()> {
    Ok(())
}

/// Policies are a few lines; the limit is that of the note they judge.
const MAX_BYTES: u64 = 1 << 20;
