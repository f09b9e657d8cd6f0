use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use ::trust::Ppm;
use attestation::Did;

use super::trust::{self, Asked, Judged};
use super::verify::{self, Demands, Found, Naming};
use crate::artifact::{self, Aside, Excludes, Wanted};
use crate::policy_file::trust::MAX_PATHS;
use crate::policy_file::{PolicyFile, PolicySource};
use crate::report::{Console, Exit, Failure, Result, counted};
use crate::scoring::age::MaxAge;
use crate::scoring::{Flags, RootSource};

mod keep;
mod print;

/// Let a deploy pass only if a pipeline is trusted, and what it built verifies
///
/// Computes the trust score of --did from logged vouches, from your own roots, and compares it with --threshold.
/// With artifacts, their receipts must verify too, signed by that DID; without any, none is checked, and the
/// answer says so. Every file of a folder or a pattern needs a receipt, as for `verify`, and one of provenance, unless
/// --predicate-type names another kind: that the DID signed a scan's result or an SBOM of an artifact does not mean that it
/// built it. The file must be called as it was signed, unless --any-name: the name in the statement and the path of the file
/// are equal, or one ends with the other behind a `/`. An argument `sha256:HEX` has no name, and none is asked for. A DID that is not registered,
/// that was deactivated, is reported as compromised or that no path of vouches leads to does not pass, whatever the
/// threshold.
///
/// The score is made from evidence that the log sends and this program verifies: that each entry is in the log is
/// proven; that no other one speaks against the DID is the log's signed word. --sync reads the whole log instead,
/// and takes nothing on its word. --evidence FILE asks nobody; with --sync it is held against the log, and a false word
/// of the log in it is kept as a finding.
///
/// The state of the DID that decides is kept in ~/.aip/states, where `verify` reads it.
///
/// Only witnesses attest how old the log's answer is. Where the policy asks none, an answer that came just now over
/// TLS or from this machine passes, and "age not attested" is printed; one in a file or over plain http does not,
/// and none does if --max-age or the settings name an age, or with --require witnessed.
///
/// Exit codes: 0 it passes; 1 it does not; 2 it could not be told: no root, no log, evidence that is old or whose
/// age nobody attests, an artifact without a receipt.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Artifacts whose receipts must verify: files, folders, globs
    #[arg(value_name = "ARTIFACT")]
    artifacts: Vec<OsString>,

    /// Leave out what has this name, or matches: .git, '*.map', 'dist/vendor/**' (can be repeated)
    #[arg(long, value_name = "PATTERN", requires = "artifacts")]
    exclude: Vec<String>,

    /// Whose score
    #[arg(long, visible_alias = "signer", value_name = "DID")]
    did: Did,

    /// The least score that passes, such as 0.5; else `threshold` in trust.toml
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    threshold: Option<Ppm>,

    #[command(flatten)]
    asked: Asked,

    /// As many paths of trust that reach the threshold and share nothing but the DID
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_PATHS)))]
    min_paths: Option<u8>,

    /// How old the log's checkpoint may be, by the time that the quorum attests, or `none` for any age; else 24h,
    /// where witnesses attest one
    #[arg(long, value_name = "DURATION", value_parser = MaxAge::parse)]
    max_age: Option<MaxAge>,

    /// Ask for more: `complete` (nothing on the log's word: --sync), `artifact` (at least one was checked),
    /// `witnessed` (witnesses attest the age)
    #[arg(long, value_name = "WHAT")]
    require: Vec<Requirement>,

    /// The folder that `sign --receipts` wrote to
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,

    #[command(flatten)]
    demands: Demands,

    /// Let an artifact have another name than the one it was signed under
    #[arg(long, requires = "artifacts", conflicts_with = "subject_name")]
    any_name: bool,

    /// How long ago an artifact was logged at most, such as 30d
    #[arg(long, value_name = "DURATION", requires = "artifacts", value_parser = super::parse_duration)]
    artifact_max_age: Option<Duration>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Requirement {
    Complete,
    Artifact,
    Witnessed,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let instead = [
        "name the file, or its digest: sha256:HEX with --receipts DIR",
        "`aip-attest verify -` reads it, and asks no log",
    ];
    artifact::refuse_piped(&args.artifacts, "gate", &instead)?;
    let gate = Gate {
        did: args.did,
        artifacts: args.artifacts,
        excludes: super::excludes(&args.exclude)?,
        threshold: args.threshold,
        min_paths: args.min_paths,
        max_age: args.max_age.unwrap_or_default(),
        complete: args.require.contains(&Requirement::Complete),
        artifact: args.require.contains(&Requirement::Artifact),
        witnessed: args.require.contains(&Requirement::Witnessed),
        receipts: args.receipts,
        demands: args.demands,
        artifact_max_age: args.artifact_max_age,
        any_name: args.any_name,
        asked: args.asked,
    };
    let opened = gate.open(console)?;
    if args.json {
        print::json(&opened, console);
    } else {
        print::text(&opened, console);
    }
    if let Some(open) = opened.left_open() {
        console.warn(open);
    }
    if let Some(hint) = opened.hint() {
        console.hint(hint);
    }
    Ok(opened.exit())
}

/// What a deploy must pass.
pub(super) struct Gate {
    pub(super) did: Did,
    pub(super) artifacts: Vec<OsString>,
    pub(super) excludes: Excludes,
    pub(super) threshold: Option<Ppm>,
    pub(super) min_paths: Option<u8>,
    pub(super) max_age: MaxAge,
    pub(super) complete: bool,
    pub(super) artifact: bool,
    pub(super) witnessed: bool,
    pub(super) receipts: Option<PathBuf>,
    /// What must be said about each artifact; of no other kind than provenance, unless it names one.
    pub(super) demands: Demands,
    pub(super) artifact_max_age: Option<Duration>,
    /// Whether an artifact may have another name than the one it was signed under.
    pub(super) any_name: bool,
    pub(super) asked: Asked,
}

/// What came of it.
pub(super) struct Opened {
    pub(super) judged: Judged,
    pub(super) found: Vec<Found>,
    /// What was met among the artifacts and not judged.
    pub(super) aside: Aside,
}

impl Gate {
    pub(super) fn open(&self, console: &mut Console) -> Result<Opened> {
        if self.artifact && self.artifacts.is_empty() {
            return Err(Failure::new("no artifact is named, and --require artifact asks for one"));
        }
        if self.complete && !self.asked.sync {
            return Err(Failure::new("evidence is on the log's word, and --require complete asks for more")
                .hint("--sync reads the whole log, and takes nothing on its word"));
        }
        let pins = self.asked.pins()?;
        let flags = Flags { threshold: self.threshold, min_paths: self.min_paths, ..self.asked.flags() };
        let judged = trust::judge(self.did, &self.asked, &flags, &pins, console)?;
        if !judged.has_threshold {
            return Err(Failure::new("no threshold is named: any score would pass")
                .hint("name one with --threshold, or `threshold` in trust.toml"));
        }
        judged.refuse_unfounded(self.max_age)?;
        keep::state(self.did, &judged, &self.asked, &pins, console);
        if self.witnessed && judged.basis.attested.is_none() {
            return Err(Failure::new(
                "no witness attests the checkpoint, and --require witnessed asks for it",
            )
            .because(format!("the policy {} asks no witness", judged.policy.source))
            .hint("name a policy with witnesses"));
        }
        let (mut found, mut aside) = (Vec::new(), Aside::default());
        if !self.artifacts.is_empty() {
            let receipts = self.receipts.as_deref();
            let wanted = Wanted { arguments: &self.artifacts, excludes: &self.excludes, receipts };
            let selection = artifact::to_judge(&wanted);
            aside = selection.aside.clone();
            let wish = verify::Wish {
                signer: judged.basis.signer_state(self.did)?,
                demands: self.demands.clone(),
                max_age: self.artifact_max_age,
                naming: self.naming(),
                receipts: self.receipts.clone(),
                policy: self.policy_of_receipts(&judged),
            };
            found = verify::for_gate(wish, selection, pins, console);
        }
        Ok(Opened { judged, found, aside })
    }

    /// A name that is asked for by itself counts, whatever the file is called.
    fn naming(&self) -> Naming {
        match self.any_name || self.demands.subject_name.is_some() {
            true => Naming::Any,
            false => Naming::Signed,
        }
    }

    /// What judged the log judges the receipts too. Where that is a pin, and nobody says which policy it must be, a
    /// receipt of another log is judged by the pin of that one.
    fn policy_of_receipts(&self, judged: &Judged) -> Option<PolicyFile> {
        let is_one_of_many =
            matches!(judged.policy.source, PolicySource::Pinned(_)) && self.asked.fingerprint.is_none();
        (!is_one_of_many).then(|| judged.policy.clone())
    }
}

impl Opened {
    pub(super) fn exit(&self) -> Exit {
        let score = if self.judged.verdict.passes { Exit::Yes } else { Exit::False };
        self.found.iter().map(Found::exit).fold(score, Exit::and)
    }

    /// Whether witnesses attest how old the log's answer is.
    pub(super) fn is_age_attested(&self) -> bool {
        self.judged.basis.attested.is_some()
    }

    /// What to do if it does not pass.
    pub(super) fn hint(&self) -> Option<String> {
        let of_artifact = || self.found.iter().find_map(Found::hint);
        trust::hint(&self.judged).map(str::to_owned).or_else(of_artifact)
    }

    /// What a gate that passes has not asked, and how it is asked. Nothing fails for it: whoever asks for a score alone gets
    /// one.
    pub(super) fn left_open(&self) -> Option<String> {
        if self.exit() != Exit::Yes {
            return None;
        }
        let no_artifact = self.found.is_empty().then(|| {
            "no artifact was checked, so anything may be deployed: name the artifacts, in the action by the input \
             `verify-paths`"
                .to_owned()
        });
        let open: Vec<String> = no_artifact.into_iter().chain(self.nobody_vouched()).collect();
        (!open.is_empty()).then(|| open.join("; "))
    }

    /// A DID that is its own root passes without anybody's vouch.
    fn nobody_vouched(&self) -> Option<String> {
        let Judged { verdict, roots: RootSource::OwnDid, .. } = &self.judged else { return None };
        let is_own = verdict.params.roots().any(|(root, _)| root == verdict.target);
        let whose = match (is_own, self.found.is_empty()) {
            (true, _) => "the DID is its own root, and nobody vouches for it",
            (false, true) => "your own DID is the only root",
            (false, false) => return None,
        };
        Some(format!(
            "no root is named, so {whose}: name whom you trust with --root, or the action's input `trust-roots`"
        ))
    }

    /// Why, in one line.
    pub(super) fn reason(&self) -> String {
        let verdict = &self.judged.verdict;
        let score = score_line(&self.judged);
        // What is false weighs more than what could not be checked, as in the exit code.
        let first = |exit| self.found.iter().find(|found| found.exit() == exit);
        let bad = first(Exit::False).or_else(|| first(Exit::Unable));
        let age = if self.is_age_attested() { "" } else { "; age not attested: the policy asks no witness" };
        match bad {
            None if self.found.is_empty() => format!("{score}; no artifact was checked{age}"),
            None => format!("{score}; {} verified{age}", counted(self.found.len(), "artifact")),
            Some(bad) if verdict.passes => {
                let why = bad.why().map_or(String::new(), |why| format!(": {why}"));
                format!("{score}, but `{}` {}{why}", bad.label(), bad.word())
            }
            Some(_) => score,
        }
    }
}

fn score_line(judged: &Judged) -> String {
    let verdict = &judged.verdict;
    let (did, score, threshold) = (verdict.target, verdict.score, verdict.params.threshold());
    match verdict.causes.iter().find(|cause| cause.fails()) {
        None => format!("{did} scores {score}, at least {threshold}"),
        Some(cause) => format!("{did} does not pass: {}", trust::words(judged, *cause)),
    }
}
