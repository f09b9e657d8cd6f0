//! Which policy judges: the one that is named, else the one in the working tree, else the pinned one.
//!
//! In this order, the first that is there:
//! 1. `--policy FILE`
//! 2. the file that `AIP_POLICY` names
//! 3. `.aip/policy` in the working folder or, in a repository, above it; one that contradicts a pinned key is
//!    refused
//! 4. the policy that `policy pin` keeps for the log in question
//!
//! `trust.toml` beside a policy adds what C2SP policies have no words for ([`trust`]). One that a checkout brings never
//! takes the place of the user's own `~/.aip/trust.toml`.

pub(crate) mod difference;
pub(crate) mod findings;
pub(crate) mod pins;
pub(crate) mod trust;

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use tlog::policy::{Policy, PolicyParseError, Rule};

use crate::bounded_file::read_found;
use crate::environment;
use crate::report::{Console, Failure, Result};
use pins::Pins;
use trust::{Trust, TrustFile};

/// A policy with its settings, and where both come from.
#[derive(Clone, Debug)]
pub(crate) struct PolicyFile {
    /// The policy.
    pub policy: Policy,
    /// Its text, as it was published.
    pub text: String,
    /// What `trust.toml` beside it adds.
    pub trust: Trust,
    /// Where it comes from.
    pub source: PolicySource,
}

/// Where a policy comes from, the strongest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PolicySource {
    /// `--policy`.
    Flag(PathBuf),
    /// `AIP_POLICY`.
    Environment(PathBuf),
    /// `.aip/policy` in the working tree.
    WorkingTree(PathBuf),
    /// Pinned for this origin.
    Pinned(String),
    /// Kept with the key for this origin.
    Kept(String),
    /// The log served it, and a workflow named its fingerprint.
    Fixed(String),
    /// The log itself says so, and nobody has confirmed it.
    Log(String),
}

impl PolicySource {
    /// The file, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Flag(path) | Self::Environment(path) | Self::WorkingTree(path) => Some(path),
            Self::Pinned(_) | Self::Kept(_) | Self::Fixed(_) | Self::Log(_) => None,
        }
    }
}

impl Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(path) => write!(f, "{} (--policy)", path.display()),
            Self::Environment(path) => write!(f, "{} (AIP_POLICY)", path.display()),
            Self::WorkingTree(path) => write!(f, "{} (working tree)", path.display()),
            Self::Pinned(origin) => write!(f, "pinned for {origin}"),
            Self::Kept(origin) => write!(f, "kept with the key for {origin}"),
            Self::Fixed(url) => write!(f, "of {url}, pinned by policy-sha256"),
            Self::Log(url) => write!(f, "of {url}, by its own word, not pinned"),
        }
    }
}

/// The policy that is named by flag, environment or working tree, if any is.
///
/// A checkout is somebody else's word, the pin is the user's own: a policy of the working tree that has another key for
/// a pinned log is refused, and one that asks for less than the pin is warned of. Every command takes its policy
/// from here. The settings of a working tree count only for a user who has none.
pub(crate) fn named(flag: Option<&Path>, pins: &Pins, console: &mut Console) -> Result<Option<PolicyFile>> {
    let Some(found) = named_alone(flag, pins, console)? else { return Ok(None) };
    let trust = match (&found.source, pins.own_settings()?) {
        (PolicySource::WorkingTree(path), Some(own)) => {
            if let Some(theirs) = TrustFile::beside(path)?.filter(|theirs| !own.is_at(&theirs.path)) {
                console.warn(format!(
                    "the settings `{}` of the working tree are passed over, since you have your own: `{}`; \
                     --policy {} takes those beside that policy",
                    theirs.path.display(),
                    own.path.display(),
                    path.display()
                ));
            }
            own.read(trust::OWN)?
        }
        (source, _) => settings_beside(source)?,
    };
    Ok(Some(PolicyFile { trust, ..found }))
}

/// As [`named`], without settings: for who says which of them count.
pub(crate) fn named_alone(
    flag: Option<&Path>,
    pins: &Pins,
    console: &mut Console,
) -> Result<Option<PolicyFile>> {
    let found = find(flag, pins)?;
    if let Some(why) = found.as_ref().and_then(|found| pins.is_weaker(found)) {
        console.warn(why);
    }
    Ok(found)
}

/// As [`named_alone`], without the warning: for whoever only asks whether there is one.
pub(crate) fn find(flag: Option<&Path>, pins: &Pins) -> Result<Option<PolicyFile>> {
    if let Some(path) = flag {
        return read_alone(path, PolicySource::Flag).map(Some);
    }
    if let Some(path) = environment::path("AIP_POLICY") {
        return read_alone(&path, PolicySource::Environment).map(Some);
    }
    let Some(path) = in_working_tree("policy")? else { return Ok(None) };
    let found = read_alone(&path, PolicySource::WorkingTree)?;
    pins.refuse_contradiction(&found)?;
    Ok(Some(found))
}

/// The settings of a workflow's checkout: beside the policy, else `.aip/trust.toml`.
pub(crate) fn settings_of_checkout(policy: Option<&PolicyFile>) -> Result<Option<TrustFile>> {
    if let Some(path) = policy.and_then(|policy| policy.source.path())
        && let Some(beside) = TrustFile::beside(path)?
    {
        return Ok(Some(beside));
    }
    in_working_tree(trust::NAME)?.map_or(Ok(None), TrustFile::at)
}

/// The policy that is pinned for the log `origin`, where none is named.
pub(crate) fn pinned(pins: &Pins, origin: &str) -> Result<PolicyFile> {
    pins.policy_for(origin)?.ok_or_else(|| {
        Failure::new(format!("there is no policy for the log `{}`", crate::report::printable(origin)))
            .hint(
                "`aip-attest policy pin URL` keeps the log's policy, once you have compared its fingerprint",
            )
            .hint(IN_CI)
            .hint("or name a file with --policy or AIP_POLICY")
    })
}

/// How a machine that keeps no pins knows a log.
pub(crate) const IN_CI: &str = "in CI, where no pin is kept: commit the policy, `aip-attest policy show ORIGIN > .aip/policy` where it \
                         is pinned, or give the action `log-url` and `policy-sha256`, which `aip-attest policy check` prints";

/// Reads a policy file and the settings beside it.
pub(crate) fn read(path: &Path, source: impl FnOnce(PathBuf) -> PolicySource) -> Result<PolicyFile> {
    let found = read_alone(path, source)?;
    Ok(PolicyFile { trust: settings_beside(&found.source)?, ..found })
}

fn settings_beside(source: &PolicySource) -> Result<Trust> {
    let Some(path) = source.path() else { return Ok(Trust::default()) };
    let whose = match source {
        PolicySource::WorkingTree(_) => "working tree",
        _ => "beside the policy",
    };
    TrustFile::beside(path)?.map_or_else(|| Ok(Trust::default()), |file| file.read(whose))
}

/// Reads a policy file. A pipe or a device is none, named or not: settings lie
/// beside a file, and what judges is there to be read again.
fn read_alone(path: &Path, source: impl FnOnce(PathBuf) -> PolicySource) -> Result<PolicyFile> {
    let cannot = || Failure::new(format!("cannot use the policy `{}`", path.display()));
    let text = read_found(path, MAX_BYTES).map_err(|error| cannot().caused_by(error))?;
    let text = String::from_utf8(text).map_err(|_| {
        cannot().because("it is not UTF-8").hint(
            "PowerShell's `>` writes UTF-16: take the file as it was published, as by `curl -o FILE URL`",
        )
    })?;
    let policy = text.parse().map_err(|error: PolicyParseError| {
        let failure = cannot().caused_by(&error);
        mended(&error).into_iter().fold(failure, Failure::hint)
    })?;
    Ok(PolicyFile { policy, text, trust: Trust::default(), source: source(path.to_path_buf()) })
}

/// What to do about a fault that an editor or a checkout makes, and no author.
fn mended(error: &PolicyParseError) -> Option<&'static str> {
    match error.rule {
        Rule::LineEnds => Some(
            "git changed the line ends at checkout, or PowerShell's `>` wrote them: add the line `.aip/* -text` to \
             .gitattributes and check the file out again, or write it by `>` in cmd; its fingerprint is that of the \
             text with LF",
        ),
        Rule::ByteOrderMark => Some("save the file as UTF-8 without a byte order mark"),
        _ => None,
    }
}

/// A file of `.aip` in the working folder or, inside of a repository, above it up to the repository's root.
/// Outside of one the folders above belong to others: in `/tmp`, to everybody.
fn in_working_tree(name: &str) -> Result<Option<PathBuf>> {
    let Ok(here) = std::env::current_dir() else { return Ok(None) };
    let is_root = |folder: &&Path| folder.join(".git").exists();
    let root = here.ancestors().find(is_root).unwrap_or(&here);
    let inside = here.ancestors().take_while(|folder| folder.starts_with(root));
    let mut paths = inside.map(|folder| folder.join(".aip").join(name));
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
        _ => Err(Failure::new(format!("the file `{}` is not yours", path.display()))
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
