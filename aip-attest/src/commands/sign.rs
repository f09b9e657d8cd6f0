use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::entry::Visibility;
use serde_json::{Value, json};

use crate::aip_manifest::{self, Written};
use crate::artifact::{self, Aside, Excludes, Hashed, Piped, Place, Wanted, checksums};
use crate::ci_env;
use crate::clock;
use crate::environment;
use crate::events;
use crate::keyfile;
use crate::policy_file;
use crate::policy_file::pins::Pins;
use crate::predicate;
use crate::receipt_file::Shelf;
use crate::report::{Console, Exit, Failure, Result, counted};
use crate::signing::{self, KeyOf, Report, Request, Says, Signed};

/// Sign artifacts, log what was signed, and keep the receipts
///
/// One statement an artifact, or one about all with --together. Without a predicate it is SLSA provenance,
/// filled from the environment of the CI system: self-asserted, and worth as much as its signer.
///
/// The receipt of `dist/app` is `dist/app.receipt.json`. It lies on disk before anything is sent. A log that
/// does not answer in time leaves it pending (exit 2); the same command, or `submit`, sends the same bytes
/// again: what is in the log is `already logged`, and gets today's proof. The receipt of an earlier run that lies there is kept as `dist/app.<16 hex>.receipt.json`; one that is logged, or
/// another signer's, stays, and the new one gets such a name. What the log refuses for good, since the key was retired or
/// the DID is compromised or ended, is not kept: `refused`, and what was there before is there again.
///
/// A pattern takes what it matches and the file of that very name. Receipts of other artifacts are passed over, `.git` and
/// `.aip` are left out, and a pattern does not match a leading dot: how many files that are is said.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The artifacts: files, folders, or globs such as 'dist/**/*.whl'
    #[arg(value_name = "ARTIFACT")]
    artifacts: Vec<OsString>,

    /// Leave out what has this name, or matches: '*.map', 'dist/vendor/**' (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// A file that `sha256sum` wrote: sign what it lists, without the files (can be repeated)
    #[arg(long, value_name = "FILE")]
    checksums: Vec<PathBuf>,

    /// An artifact that is not here (can be repeated)
    #[arg(long, value_name = "NAME@sha256:HEX")]
    subject: Vec<String>,

    /// What the statement calls `-`, which is standard input, or a shell's <(…)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Sign one statement about all artifacts
    #[arg(long)]
    together: bool,

    /// The log; else AIP_LOG_URL, the policy's, the only one pinned, or the one where the DID is registered
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// Ask no log: the receipt is signed only, and `submit` logs it later
    #[arg(long, conflicts_with = "log")]
    no_log: bool,

    /// The policy that judges the log's answer
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Write receipts below this folder, by the paths of their artifacts, as `app.<16 hex>.receipt.json`: each has a
    /// name of its own, so that the folders of several jobs can be put together
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,

    /// Write the one receipt of --together here, instead of a copy for each artifact
    #[arg(long, value_name = "FILE", requires = "together", conflicts_with = "receipts")]
    receipt: Option<PathBuf>,

    /// The kind of statement: a URI, or a word such as cyclonedx, spdx, test-result
    #[arg(long, value_name = "TYPE", requires = "predicate", value_parser = predicate::resolve)]
    predicate_type: Option<String>,

    /// What the statement says: a JSON object. Numbers that readers would round are refused
    #[arg(long, value_name = "FILE", requires = "predicate_type")]
    predicate: Option<PathBuf>,

    /// Say in the provenance that building again gives the same bytes
    ///
    /// You are held to it: two receipts of one source, builder and parameters with different bytes are proof against
    /// you (`report-equivocation`), and you agree that both statements may then stand in the log for ever.
    #[arg(long, conflicts_with = "predicate_type")]
    reproducible: bool,

    /// Log hashes only: the log learns neither names nor digests nor the kind of statement
    #[arg(long, conflicts_with = "no_log")]
    private: bool,

    /// The DID's state, as `state export` wrote it: says without a log that the key is the DID's after a rotation
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// How long to wait for the log; else AIP_TIMEOUT, or 60s
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    timeout: Option<Duration>,

    /// Write the manifest of Python aip as well, `.aip-signature.json` in each folder whose files are named: its `aip verify
    /// FOLDER` takes it. It is in no log
    ///
    /// So it is where AIP_SERVICE is set, too, which Python aip's own action does: there the artifacts are signed even if no log
    /// is named.
    #[arg(long, conflicts_with_all = ["checksums", "subject", "name"])]
    aip_manifest: bool,

    /// Print a JSON array, one element an artifact
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    // First of all: a missing identity or log is told before gigabytes are read.
    let identity = keyfile::load(console)?;
    let pins = Pins::load()?;
    if let Some(state) = &args.state {
        events::require_current_by(&identity, state, args.policy.as_deref(), &pins, console)?;
    }
    let in_python_action = environment::var("AIP_SERVICE")?.is_some();
    let log = match args.no_log {
        true => None,
        false => {
            let named = policy_file::named(args.policy.as_deref(), &pins, console)?;
            match events::home::wish_for(identity.did, None, args.log.as_deref(), named, &pins, console) {
                Ok(wish) => Some(wish),
                // The other action knows no logs, and asks for a signature.
                Err(failure) if in_python_action => {
                    console.warn(format!("not logged: {}", failure.one_line()));
                    None
                }
                Err(failure) => return Err(failure.hint("or sign without a log: --no-log")),
            }
        }
    };
    let says = match says(args.predicate_type.as_deref(), args.predicate.as_deref(), console)? {
        Says::Built(provenance) if args.reproducible => Says::Built(provenance.reproducible()),
        says => says,
    };
    if args.artifacts.is_empty() && args.checksums.is_empty() && args.subject.is_empty() {
        return Err(Failure::new("nothing to sign: no artifact is named")
            .hint("name files, folders or globs, or use --checksums or --subject"));
    }
    let shelf = Shelf::new(args.receipts.clone());
    let (files, piped) = artifact::take_piped(&args.artifacts)?;
    let named = Named {
        files: &files,
        exclude: &args.exclude,
        checksums: &args.checksums,
        subjects: &args.subject,
        receipt: args.receipt.as_deref(),
    };
    let piped = hash_piped(&piped, args.name.as_deref())?;
    let (mut artifacts, aside) = artifacts(&named, &shelf, &says, console)?;
    artifacts.extend(piped);
    if args.aip_manifest || in_python_action {
        // The one that is there is replaced.
        artifacts.retain(|hashed| !aip_manifest::is_manifest(&hashed.artifact));
    }
    let is_named = |hashed: &&Hashed| {
        args.aip_manifest || (in_python_action && matches!(hashed.artifact.place, Place::File(_)))
    };
    let named: Vec<Hashed> = artifacts.iter().filter(is_named).cloned().collect();
    let manifests = aip_manifest::sign(&named, identity.did, &identity.key, clock::now(), console)?;
    let request = Request {
        artifacts,
        says,
        together: args.together,
        visibility: if args.private { Visibility::Private } else { Visibility::Public },
        shelf,
        receipt: args.receipt.clone(),
        log,
        key: if args.state.is_some() { KeyOf::Shown } else { KeyOf::Log },
        deadline: super::deadline(args.timeout)?,
    };
    let report = signing::sign(request, &identity, &pins, console)?;
    // A key that the log refuses signs nothing else either.
    let is_refused = report.signed.iter().any(|signed| signed.is_refused);
    let manifests = if is_refused { Vec::new() } else { manifests };
    manifests.iter().try_for_each(Written::write)?;
    if args.json {
        // An array has no place of its own for what is not in it.
        let element = |signed| {
            let mut element = json_of(signed);
            element["selection"] = aside.to_json();
            if let Some(written) = manifests.iter().find(|written| written.is_of(&signed.hashed.artifact)) {
                element["manifest"] = json!({
                    "path": written.path.to_string_lossy(),
                    "signature": written.manifest.signature_hex(),
                });
            }
            element
        };
        let elements: Vec<Value> = report.signed.iter().map(element).collect();
        console.json(&elements);
    } else {
        text(&report, console);
        for Written { path, manifest } in &manifests {
            let count = manifest.claimed_names().count();
            console.line(format!("manifest {}  {}", path.display(), counted(count, "file")));
            // What the other action looks for.
            console.line(format!("  Signature: {}", manifest.signature_hex()));
        }
    }
    tell_failures(&report, console);
    Ok(report.exit())
}

/// What is piped in, under the name that was given for it.
fn hash_piped(piped: &[Piped], name: Option<&str>) -> Result<Option<Hashed>> {
    match (piped, name) {
        ([], None) => Ok(None),
        ([one], Some(name)) => one.hash_as(name).map(Some),
        ([], Some(_)) => Err(Failure::new("--name is for what is piped in, and nothing is")
            .hint("a file is called as it is; `sign - --name NAME` reads standard input")),
        ([one, ..], None) => {
            Err(Failure::new(format!("`{}` has no name for a statement", one.label()))
                .hint("use --name NAME"))
        }
        ([_, _, ..], Some(_)) => {
            Err(Failure::new(format!("{} things are piped in, and --name is for one", piped.len())))
        }
    }
}

/// What the statement says: provenance of this run, or the predicate of a file.
pub(super) fn says(predicate_type: Option<&str>, file: Option<&Path>, console: &mut Console) -> Result<Says> {
    let (Some(predicate_type), Some(file)) = (predicate_type, file) else {
        let provenance = ci_env::provenance();
        match provenance.run() {
            Some(run) => console.note(format!("provenance is self-asserted, from the environment of {run}")),
            None => console.note("no CI run around: the provenance says `local`, and nothing about a source"),
        }
        return Ok(Says::Built(provenance));
    };
    Ok(Says::Predicate { predicate_type: predicate_type.to_owned(), predicate: predicate::read(file)? })
}

/// What is named to be signed.
pub(super) struct Named<'a, S> {
    pub(super) files: &'a [S],
    pub(super) exclude: &'a [String],
    pub(super) checksums: &'a [PathBuf],
    pub(super) subjects: &'a [String],
    /// Where the one receipt of all goes.
    pub(super) receipt: Option<&'a Path>,
}

/// All artifacts, with their digests; and what was met among the files and is not one.
pub(super) fn artifacts<S: AsRef<OsStr>>(
    named: &Named<S>,
    shelf: &Shelf,
    says: &Says,
    console: &mut Console,
) -> Result<(Vec<Hashed>, Aside)> {
    let excludes = super::excludes(named.exclude)?;
    let (mut all, aside) = files(named.files, &excludes, shelf, named.receipt, says, console)?;
    for file in named.checksums {
        all.extend(checksums::read(file)?);
    }
    for subject in named.subjects {
        all.push(artifact::parse_subject(subject)?);
    }
    Ok((all, aside))
}

/// The files that `arguments` name. Says what of them is not signed, and why.
fn files<S: AsRef<OsStr>>(
    arguments: &[S],
    excludes: &Excludes,
    shelf: &Shelf,
    receipt: Option<&Path>,
    says: &Says,
    console: &mut Console,
) -> Result<(Vec<Hashed>, Aside)> {
    let receipt_of = |path: &Path| match receipt {
        Some(receipt) => Some(receipt.to_path_buf()),
        // In a folder of their own they are told by what they are.
        None if shelf.folder().is_some() => None,
        None => shelf.place(path, "", says.predicate_type()).ok().map(|place| place.path()),
    };
    let wanted = Wanted { arguments, excludes, receipts: shelf.folder() };
    let selection = artifact::to_sign(&wanted, &receipt_of);
    let aside = selection.aside.clone();
    aside.warn(console);
    let all = selection.all()?;
    if let Some(text) = aside.text("signed") {
        console.note(text);
    }
    Ok((all, aside))
}

fn text(report: &Report, console: &mut Console) {
    for signed in &report.signed {
        let state = if signed.was_logged { "already logged" } else { signed.state() };
        let index = signed.index().map_or(String::new(), |index| format!("  index {index}"));
        let path = signed.kept().map_or(String::new(), |path| format!("  {}", path.to_string_lossy()));
        console.line(format!(
            "{state:<8} {}  sha256:{}{index}{path}",
            signed.hashed.artifact.label(),
            signed.hashed.sha256,
        ));
    }
}

/// An element of the JSON array; the action's output has the same form.
pub(super) fn json_of(signed: &Signed) -> Value {
    json!({
        "path": signed.hashed.artifact.label(),
        "signature": hex::encode(signed.receipt.envelope().signature()),
        "name": signed.hashed.artifact.name,
        "digest": format!("sha256:{}", signed.hashed.sha256),
        "did": signed.receipt.did().to_string(),
        "receipt": signed.kept().map(Path::to_string_lossy),
        "state": signed.state(),
        "origin": signed.receipt.pending_entry().map(|entry| entry.claim().origin()),
        "index": signed.index(),
        "error": signed.failure.as_ref().map(Failure::to_json),
    })
}

fn tell_failures(report: &Report, console: &mut Console) {
    let failures = report.signed.iter().filter_map(|signed| signed.failure.as_ref());
    super::tell_each_once(failures, "artifacts", console);
    if let Some(failure) = &report.log_failure {
        console.failure(failure);
        let all = report.signed.len();
        match report.signed.iter().filter(|signed| signed.index().is_none()).count() {
            0 => {}
            left if left == all => {
                console.hint("the receipts are signed and not logged: `aip-attest submit RECEIPT` logs them");
            }
            left => console.hint(format!(
                "{left} of {all} receipts are signed and not logged: `aip-attest submit RECEIPT` logs them"
            )),
        }
    }
}
