//! Stands on files only: nothing below opens a socket, and nothing reads the clock unless an age is asked for.

mod bundle;
mod demands;
mod found;
mod json;
mod judge;
mod later;
mod manifest;
mod text;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use attestation::Did;
use attestation::receipt::SignerState;

use crate::artifact::{self, Selection, Wanted};
use crate::policy_file::PolicyFile;
use crate::policy_file::pins::Pins;
use crate::predicate;
use crate::receipt_file::{Listings, Shelf};
use crate::report::{Console, Exit, Result};
pub(super) use demands::{Demands, Naming};
pub(super) use found::Found;
use judge::ReceiptJudge;
use later::Later;
use text::Detail;

/// Verify offline that artifacts were signed and logged
///
/// Reads the artifacts, their receipts and a policy, and nothing else: no network, and no clock unless an age
/// is asked for. Prints a line an artifact: who signed it, the day it was logged, the witnesses that cosigned; its
/// checks if it does not verify, or with -v. The first check that does not pass ends the verdict about a receipt; the
/// rest reads "not checked". Of several receipts beside an artifact one that verifies is enough; if none does, and one could not be
/// checked, the answer is 2.
///
/// The policy is --policy, else AIP_POLICY, else .aip/policy in the working tree, else the one that `policy
/// pin` keeps for the receipt's log. A trust.toml beside it (for pins: ~/.aip/trust.toml) may limit ages and set
/// a least checkpoint for each log.
///
/// A receipt tells of its signer as of its own tree. What came later is judged by --state, else by the state that `log
/// sync --did DID` or `gate` keeps in ~/.aip/states; the answer names its file and size. Where the log was seen at a
/// larger size, the answer says so.
///
/// Every file of a folder, and every one that a pattern matches, needs a receipt, `.git` too: --exclude leaves out what is
/// not meant. Passed over is what parses as a receipt and names an artifact by path and digest. How many files were
/// passed over, excluded, or hidden from a pattern by a leading dot is said.
///
/// With --bundle, --trusted-root and --key (or --signer) it judges what Sigstore's cosign signed with a key, and receipts that
/// `export --sigstore` wrote, by the same checks. Only --policy names witnesses then; without it, and without
/// --allow-unwitnessed, the answer is 2.
///
/// Exit codes: 0 every artifact is verified; 1 a check is false for one; 2 one could not be checked: no
/// receipt, one that is not logged, no policy, an unreadable file.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("who").required(true).args(["signer", "any_signer", "key"])))]
pub(crate) struct Args {
    /// The artifacts: files, folders, globs; NAME@sha256:HEX, or sha256:HEX with --receipt or --receipts; `-` for
    /// standard input
    #[arg(required = true, value_name = "ARTIFACT")]
    artifacts: Vec<OsString>,

    /// Leave out what has this name, or matches: .git, '*.map', 'dist/vendor/**' (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Whose signature is wanted (can be repeated: one of them)
    #[arg(long, visible_alias = "did", value_name = "DID")]
    signer: Vec<Did>,

    /// Take anybody's signature: says who signed, and proves nothing about whom you trust
    #[arg(long)]
    any_signer: bool,

    /// The receipt, for every artifact that is named: judged alone
    #[arg(long, value_name = "FILE", conflicts_with = "receipts")]
    receipt: Option<PathBuf>,

    /// The folder that `sign --receipts` wrote to; a file that was moved is looked for there by its digest, and must end
    /// in the name it was signed under
    #[arg(long, value_name = "DIR")]
    receipts: Option<PathBuf>,

    /// The policy: which logs and witnesses to believe
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    #[command(flatten)]
    bundle: bundle::BundleArgs,

    #[command(flatten)]
    demands: Demands,

    /// How long ago it was logged at most, such as 30d
    #[arg(long, visible_alias = "artifact-max-age")]
    #[arg(value_name = "DURATION", value_parser = super::parse_duration)]
    max_age: Option<Duration>,

    /// The signer's state as of another day, as `state export` wrote it: brings what was rotated, reported as
    /// compromised or ended since the receipt was made; else the one that `log sync --did` or `gate` keeps
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,

    /// How old that state may be at most, the named or the kept one, by the time that the quorum attests, such as 7d
    #[arg(long, value_name = "DURATION", value_parser = super::parse_duration)]
    max_state_age: Option<Duration>,

    /// Verify the manifest of Python aip, `.aip-signature.json`, and not receipts. Its key must be the DID's: by the hash, or
    /// by a state of the DID. It is in no log: when it was signed, only its signer says
    #[arg(long, conflicts_with_all = ["receipt", "receipts", "max_age", "max_state_age", "source_uri", "source_ref"])]
    #[arg(conflicts_with_all = ["builder_id", "predicate_type", "subject_name"])]
    aip_manifest: bool,

    /// Print every check of what verifies, too
    #[arg(long, short, conflicts_with = "json")]
    verbose: bool,

    /// Print JSON: every check, and the statement of what is verified
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    if args.bundle.is_asked() {
        return bundle::run(&args, console);
    }
    let mut judge = ReceiptJudge {
        wanted: if args.any_signer { None } else { Some(args.signer.clone()) },
        demands: args.demands.to_checks(args.max_age),
        naming: Naming::Found,
        called: None,
        policy_flag: args.policy.clone(),
        predicate_type: args.demands.predicate_type.clone(),
        receipt: args.receipt.clone(),
        shelf: Shelf::new(args.receipts.clone()),
        listings: Listings::default(),
        digests: BTreeSet::new(),
        index: None,
        state: args.state.clone().map_or_else(Later::kept, Later::File),
        max_state_age: args.max_state_age,
        pins: Pins::load()?,
        policy: None,
    };
    let excludes = super::excludes(&args.exclude)?;
    if args.aip_manifest {
        let asked =
            manifest::Asked { artifacts: &args.artifacts, excludes: &excludes, verbose: args.verbose };
        let answers = manifest::judge(&asked, &mut judge, console)?;
        return Ok(if args.json { answers.json(console) } else { answers.text(&asked, console) });
    }
    let (arguments, piped) = artifact::take_piped(&args.artifacts)?;
    let wanted = Wanted { arguments: &arguments, excludes: &excludes, receipts: args.receipts.as_deref() };
    let mut selection = artifact::to_judge(&wanted);
    selection.artifacts.extend(
        piped.iter().map(|piped| {
            piped.hash().map_err(|failure| artifact::Unusable { label: piped.label(), failure })
        }),
    );
    let aside = selection.aside.clone();
    let found = judge_all(selection, &mut judge, console);
    if args.json {
        json::print(&found, &aside, console);
    } else {
        // One that was named is compared whole, and need not be read again.
        let detail = Detail { verbose: args.verbose, whole_did: args.signer.len() != 1 };
        text::print(&found, &aside, detail, console);
    }
    Ok(found.iter().map(Found::exit).fold(Exit::Yes, Exit::and))
}

/// What a gate asks of artifacts.
pub(super) struct Wish {
    /// Their signer, as of today: a receipt cannot know what came after it.
    pub(super) signer: SignerState,
    /// What their statements must say. Whoever hosts receipts chooses which one lies there: without a kind of statement, it
    /// must be provenance.
    pub(super) demands: Demands,
    /// How long ago they were logged at most.
    pub(super) max_age: Option<Duration>,
    /// Which names count.
    pub(super) naming: Naming,
    /// The folder of their receipts.
    pub(super) receipts: Option<PathBuf>,
    /// What judges every receipt; without one, the pin of its log does.
    pub(super) policy: Option<PolicyFile>,
}

/// Judges artifacts for a gate.
pub(super) fn for_gate(wish: Wish, selection: Selection, pins: Pins, console: &mut Console) -> Vec<Found> {
    let kind = wish.demands.predicate_type.clone().unwrap_or_else(|| predicate::PROVENANCE.to_owned());
    let demands = Demands { predicate_type: Some(kind.clone()), ..wish.demands };
    let mut judge = ReceiptJudge {
        wanted: Some(vec![wish.signer.did]),
        demands: demands.to_checks(wish.max_age),
        naming: wish.naming,
        called: None,
        policy_flag: None,
        predicate_type: Some(kind),
        receipt: None,
        shelf: Shelf::new(wish.receipts),
        listings: Listings::default(),
        digests: BTreeSet::new(),
        index: None,
        state: Later::Known(Box::new(wish.signer)),
        max_state_age: None,
        pins,
        policy: Some(wish.policy),
    };
    judge_all(selection, &mut judge, console)
}

/// Judges every artifact, and says of everything that is named and cannot be judged why not: one that is not there
/// must not keep the others from being found false.
fn judge_all(selection: Selection, judge: &mut ReceiptJudge, console: &mut Console) -> Vec<Found> {
    judge.digests = selection.artifacts.iter().flatten().map(|hashed| hashed.sha256).collect();
    let judge_one = |artifact| match artifact {
        Ok(hashed) => judge.judge(hashed, console),
        Err(artifact::Unusable { label, failure }) => Found::missing(label, failure),
    };
    selection.artifacts.into_iter().map(judge_one).collect()
}
