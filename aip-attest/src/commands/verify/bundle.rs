//! Sigstore bundles in the place of receipts. The rules are in [`attestation::sigstore`].
//!
//! ```text
//! {"schema": "aip.verify-bundle.v1", "verdict": "verified | failed | could-not-check",
//!  "bundle": "…", "trustedRoot": "…", "policy": "…", "state": "…",
//!  "selection": {…},                                         as in aip.verify.v1
//!  "notLookedAt": ["integratedTime", …],                     members of the bundle that no check reads
//!  "results": [{"artifact", "sha256", "verdict",
//!    "checks": […], "cosigned": […], "notChecked": […],      as in aip.verify.v1
//!    "error": {…},                                           only where there is no verdict
//!    "verified": {"key": "sha256:…", "did", "origin", "index", "loggedAt", "treeSize", "root", "cosigned", "statement"}}]}
//! ```
//! `did` is null unless one was asked for, `loggedAt` unless the entry has it; `statement` is absent if a message was signed.

use std::path::{Path, PathBuf};

use attestation::bundle::{self, Signer, Verified, VerifyPolicy, Witnesses};
use attestation::provenance::BuildFacts;
use attestation::receipt::{Check, Demand, Fault, Report, SignerState, Verdict};
use attestation::sigstore::{
    Bundle, BundleRefusal, Content, MAX_BUNDLE_BYTES, MAX_TRUSTED_ROOT_BYTES, SpkiKey, TrustedRoot,
};
use serde::Serialize;
use serde_json::{Value, json};
use tlog::Hash;

use super::Args;
use super::found::word;
use super::json::{OneResult, VerifiedResult, as_signed, checks, cosigned, not_checked};
use super::judge::stricter;
use super::text::{beginning, witnesses, words};
use crate::artifact::{self, Aside, Hashed, Unusable, Wanted};
use crate::bounded_file::read_bounded;
use crate::clock;
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicyFile, PolicySource};
use crate::report::{Console, Exit, Failure, Result, counted};
use crate::states::States;
use crate::word::evidence::Claimed;

/// What judges a bundle instead of receipts.
#[derive(clap::Args, Debug)]
pub(super) struct BundleArgs {
    /// Judge by this Sigstore bundle, which a key signed, and not by receipts
    #[arg(long, value_name = "FILE", requires = "trusted_root")]
    #[arg(conflicts_with_all = ["receipt", "receipts", "any_signer", "aip_manifest"])]
    bundle: Option<PathBuf>,

    /// Whose checkpoints count for the bundle: Sigstore's trusted root, a JSON file
    #[arg(long, value_name = "FILE", requires = "bundle")]
    trusted_root: Option<PathBuf>,

    /// The public key that must have signed the bundle: PEM or DER, Ed25519 or P-256
    #[arg(long, value_name = "FILE", requires = "bundle")]
    key: Option<PathBuf>,

    /// Take the word of the bundle's log alone: no witness need have seen its tree
    #[arg(long, requires = "bundle", conflicts_with = "policy")]
    allow_unwitnessed: bool,
}

impl BundleArgs {
    /// Whether a bundle is to be judged.
    pub(super) fn is_asked(&self) -> bool {
        self.bundle.is_some()
    }
}

/// Judges the artifacts.
pub(super) fn run(args: &Args, console: &mut Console) -> Result<Exit> {
    let excludes = super::super::excludes(&args.exclude)?;
    let (arguments, piped) = artifact::take_piped(&args.artifacts)?;
    let judge = BundleJudge::new(args)?;
    let selection =
        artifact::to_judge(&Wanted { arguments: &arguments, excludes: &excludes, receipts: None });
    let piped =
        piped.iter().map(|piped| piped.hash().map_err(|failure| Unusable { label: piped.label(), failure }));
    let mut answers = Answers { judge, results: Vec::new(), aside: selection.aside };
    for artifact in selection.artifacts.into_iter().chain(piped) {
        let result = match artifact {
            Ok(Hashed { artifact, sha256 }) => (artifact.label(), Some(sha256), answers.judge.judge(&sha256)),
            Err(Unusable { label, failure }) => (label, None, Err(failure)),
        };
        answers.results.push(result);
    }
    if args.json {
        answers.json(console)
    } else {
        answers.text(args.verbose, console)
    }
    Ok(answers.exit())
}

/// What judges, read once.
struct BundleJudge {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The same, if it is one.
    bundle: Option<Bundle>,
    root_path: PathBuf,
    root: TrustedRoot,
    signer: Signer,
    policy: Option<PolicyFile>,
    allow_unwitnessed: bool,
    pins: Pins,
    demands: Vec<Demand>,
    /// Where the signer's state comes from, if one judges.
    state: Option<PathBuf>,
}

impl BundleJudge {
    fn new(args: &Args) -> Result<Self> {
        let BundleArgs { bundle, trusted_root, key, allow_unwitnessed } = &args.bundle;
        let (Some(path), Some(root_path)) = (bundle, trusted_root) else {
            unreachable!("clap asks for both")
        };
        let bytes = read(path, MAX_BUNDLE_BYTES, "bundle")?;
        let root = read(root_path, MAX_TRUSTED_ROOT_BYTES, "trusted root")?;
        let root = TrustedRoot::parse(&root).map_err(|error| {
            Failure::new(format!("`{}` is no trusted root", root_path.display())).caused_by(error)
        })?;
        let pins = Pins::load()?;
        // A policy of the working tree or a pin is about other logs: only one that is named is about this one.
        let policy =
            args.policy.as_deref().map(|path| policy_file::read(path, PolicySource::Flag)).transpose()?;
        let mut demands = args.demands.to_checks(args.max_age);
        if let Some(policy) = &policy {
            let settings = stricter(&demands, policy.trust.demands(&policy.policy));
            demands.extend(settings);
        }
        let mut judge = Self {
            path: path.clone(),
            bundle: Bundle::parse(&bytes).ok(),
            bytes,
            root_path: root_path.clone(),
            root,
            signer: signer(key.as_deref(), args)?,
            policy,
            allow_unwitnessed: *allow_unwitnessed,
            pins,
            demands,
            state: None,
        };
        if let Some((state, file)) = judge.later_state(args)? {
            judge.demands.push(Demand::State { state: Box::new(state), max_age: args.max_state_age });
            judge.state = Some(file);
        }
        Ok(judge)
    }

    /// The state of the signer that is named; else the one that is kept, if it is as new as the bundle.
    fn later_state(&self, args: &Args) -> Result<Option<(SignerState, PathBuf)>> {
        let Signer::Did(did) = self.signer else {
            return match args.state.is_some() || args.max_state_age.is_some() {
                true => Err(Failure::new("a state is a DID's, and --key names none")
                    .hint("--signer DID instead of --key: the bundle's entry has the key")),
                false => Ok(None),
            };
        };
        let state = match &args.state {
            Some(path) => {
                let claimed = Claimed::read(path)?;
                let policy = policy_file::pinned(&self.pins, claimed.origin());
                let policy = self.policy.clone().map_or(policy, Ok)?;
                let proven = claimed.verify(&policy.policy, &self.pins)?;
                let state = SignerState::of(&proven, did).map_err(|error| {
                    Failure::new(format!("{claimed} does not show the state of {did}")).caused_by(error)
                })?;
                Some((state, path.clone()))
            }
            None => self.kept_state(did)?,
        };
        match (state, args.max_state_age) {
            (None, Some(_)) => Err(Failure::new(format!(
                "no state of {did} is known here for the bundle's log"
            ))
            .hint("--state FILE names one; `aip-attest log sync --did DID` keeps one of a pinned log")),
            (state, _) => Ok(state),
        }
    }

    fn kept_state(&self, did: attestation::Did) -> Result<Option<(SignerState, PathBuf)>> {
        let Some(bundle) = &self.bundle else { return Ok(None) };
        let Some(log) = bundle.log_in(&self.root) else { return Ok(None) };
        let Some(policy) = self.pins.policy_for(log.name().as_str())? else { return Ok(None) };
        let kept = States::of_user().newest(&log, did, &policy.policy, &self.pins)?;
        // An older one says nothing of an entry that it does not know.
        let kept = kept.filter(|kept| kept.state.checkpoint.size >= bundle.size());
        Ok(kept.map(|kept| (kept.state, kept.file)))
    }

    fn judge(&self, sha256: &Hash) -> Result<Report<Verified>> {
        let witnesses = match &self.policy {
            Some(policy) => Witnesses::Of(&policy.policy),
            None if self.allow_unwitnessed => Witnesses::None,
            None => Witnesses::Unsaid,
        };
        let policy = VerifyPolicy {
            root: &self.root,
            signer: self.signer.clone(),
            witnesses,
            pins: self.pins.roots(),
            demands: self.demands.clone(),
        };
        let ages = |demand: &Demand| {
            matches!(
                demand,
                Demand::MaxAge(_) | Demand::CheckpointFreshness(_) | Demand::State { max_age: Some(_), .. }
            )
        };
        let asks_for_time = self.root.has_end() || self.demands.iter().any(ages);
        Ok(bundle::verify(&self.bytes, &policy, sha256, asks_for_time.then(clock::now)))
    }
}

fn signer(key: Option<&Path>, args: &Args) -> Result<Signer> {
    match (key, &args.signer[..]) {
        (Some(path), _) => {
            let key = SpkiKey::parse(&read(path, MAX_KEY_BYTES, "key")?).map_err(|error| {
                Failure::new(format!("cannot use the key `{}`", path.display())).caused_by(error)
            })?;
            Ok(Signer::Key(key))
        }
        (None, [did]) => Ok(Signer::Did(*did)),
        (None, several) => {
            Err(Failure::new(format!("{} signers are named, and a bundle has one", several.len()))
                .hint("name the one that you want"))
        }
    }
}

fn read(path: &Path, limit: u64, what: &str) -> Result<Vec<u8>> {
    read_bounded(path, limit).map_err(|error| {
        Failure::new(format!("cannot read the {what} `{}`", path.display())).caused_by(error)
    })
}

/// What came of all artifacts.
struct Answers {
    judge: BundleJudge,
    results: Vec<(String, Option<Hash>, Result<Report<Verified>>)>,
    aside: Aside,
}

fn exit_of(report: &Result<Report<Verified>>) -> Exit {
    match report.as_ref().map(Report::verdict) {
        Ok(Verdict::Verified) => Exit::Yes,
        Ok(Verdict::Failed) => Exit::False,
        Ok(Verdict::CouldNotCheck) => Exit::Unable,
        Err(failure) => failure.exit(),
    }
}

impl Answers {
    fn exit(&self) -> Exit {
        self.results.iter().map(|(_, _, report)| exit_of(report)).fold(Exit::Yes, Exit::and)
    }

    fn text(&self, verbose: bool, console: &mut Console) {
        if self.results.len() > 1 {
            let count = |exit| self.results.iter().filter(|(_, _, report)| exit_of(report) == exit).count();
            let (yes, all) = (count(Exit::Yes), counted(self.results.len(), "artifact"));
            console.line(match (self.exit(), count(Exit::False), count(Exit::Unable)) {
                (Exit::Yes, _, _) => format!("verified: {all}"),
                (_, 0, unable) => format!("could not check: {unable} of {all}; {yes} verified"),
                (_, failed, _) => format!("FAILED: {failed} of {all}; {yes} verified"),
            });
        }
        let mut verified = None;
        for (label, _, report) in &self.results {
            let exit = exit_of(report);
            let word = match exit {
                Exit::Yes => "ok",
                Exit::False => "FAILED",
                Exit::Unable => "could not check",
            };
            console.line(format!("{word}  {label}  {}", self.in_short(report)).trim_end());
            let Ok(report) = report else { continue };
            verified = verified.or(report.verified());
            if verbose || exit != Exit::Yes {
                for (check, outcome) in report.checks() {
                    let (word, detail) = words(report, *check, outcome);
                    console.line(format!("  {word:<15} {:<20} {detail}", check.id()).trim_end());
                }
            }
        }
        if let Some(verified) = verified {
            self.remarks(verified).iter().for_each(|remark| console.line(remark));
        }
        if let Some(text) = self.aside.text("judged") {
            console.line(text);
        }
        let mut hints: Vec<String> = Vec::new();
        for hint in self.results.iter().flat_map(|(_, _, report)| hints_of(report)) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints.iter().for_each(|hint| console.hint(hint));
    }

    /// Who signed it, when it was logged and who saw that; or why it does not verify.
    fn in_short(&self, report: &Result<Report<Verified>>) -> String {
        let report = match report {
            Ok(report) => report,
            Err(failure) => return failure.one_line(),
        };
        let Some(verified) = report.verified() else {
            return report.fault().map_or(String::new(), |(check, fault)| format!("{check}: {fault}"));
        };
        let who = match verified.did() {
            Some(did) => beginning(did),
            None => verified.key().to_string(),
        };
        let day = verified.logged_at().map(|at| clock::rfc3339_millis(at.as_millis()));
        let day = day.as_deref().and_then(|day| day.split('T').next()).unwrap_or("no date");
        let policy = self.judge.policy.as_ref().map(|policy| &policy.policy);
        let witnesses = witnesses(policy.and_then(|policy| policy.members_met(verified.cosigned())));
        format!("{who}  {day}  {witnesses}")
    }

    /// What is to be known beside the verdict.
    fn remarks(&self, verified: &Verified) -> Vec<String> {
        let checkpoint = verified.checkpoint();
        let mut remarks = vec![format!(
            "log: {} at index {}, by the trusted root `{}`",
            checkpoint.origin,
            verified.index(),
            self.judge.root_path.display()
        )];
        match &self.judge.policy {
            Some(policy) => remarks.push(format!("policy: {}", policy.source)),
            None => remarks.push(
                "witnesses: none asked for, so that the log could have shown this tree to you alone"
                    .to_owned(),
            ),
        }
        match &self.judge.state {
            Some(file) => remarks.push(format!("state: by `{}`", file.display())),
            None => remarks.push(
                "key: a bundle does not tell whether it was replaced, reported as stolen or ended".to_owned(),
            ),
        }
        match verified.statement() {
            None => remarks.push("statement: none, the artifact itself was signed".to_owned()),
            Some(statement) if BuildFacts::read(statement).self_asserted => {}
            Some(statement) => {
                remarks.push(format!("statement: `{}`, no provenance", statement.predicate_type()))
            }
        }
        let unread = self.unread();
        if !unread.is_empty() {
            remarks.push(format!("not looked at: {}", unread.join(", ")));
        }
        remarks
    }

    fn unread(&self) -> &[&'static str] {
        self.judge.bundle.as_ref().map_or(&[], Bundle::unread)
    }

    fn json(&self, console: &mut Console) {
        #[derive(Serialize)]
        struct Answer {
            #[serde(flatten)]
            facts: Value,
            results: Vec<OneResult>,
        }
        let facts = json!({
            "schema": "aip.verify-bundle.v1",
            "verdict": word(self.exit()),
            "bundle": self.judge.path.to_string_lossy(),
            "trustedRoot": self.judge.root_path.to_string_lossy(),
            "policy": self.judge.policy.as_ref().map(|policy| policy.source.to_string()),
            "state": self.judge.state.as_ref().map(|file| file.to_string_lossy()),
            "selection": self.aside.to_json(),
            "notLookedAt": self.unread(),
        });
        console.json(&Answer { facts, results: self.results.iter().map(json_of).collect() });
    }
}

fn json_of((label, sha256, report): &(String, Option<Hash>, Result<Report<Verified>>)) -> OneResult {
    let mut facts = json!({
        "artifact": label,
        "sha256": sha256.map(|hash| hash.to_string()),
        "verdict": word(exit_of(report)),
        "notChecked": not_checked(report.as_ref().ok()),
    });
    let mut verified = None;
    match report {
        Err(failure) => facts["error"] = failure.to_json(),
        Ok(report) => {
            facts["checks"] = checks(report);
            facts["cosigned"] = report.cosigned().iter().map(cosigned).collect();
            verified = report.verified().map(verified_facts);
            if verified.is_none() {
                facts["verified"] = Value::Null;
            }
        }
    }
    OneResult { facts, verified }
}

fn verified_facts(verified: &Verified) -> VerifiedResult {
    let checkpoint = verified.checkpoint();
    let statement = match verified.content() {
        Content::Envelope { payload, .. } => as_signed(payload),
        Content::Message(_) => None,
    };
    let facts = json!({
        "key": format!("sha256:{}", verified.key().fingerprint()),
        "did": verified.did().map(|did| did.to_string()),
        "origin": checkpoint.origin,
        "index": verified.index().get(),
        "loggedAt": verified.logged_at().map(|at| clock::rfc3339_millis(at.as_millis())),
        "treeSize": checkpoint.size.get(),
        "root": checkpoint.root.to_string(),
        "cosigned": verified.cosigned().iter().map(cosigned).collect::<Vec<Value>>(),
    });
    VerifiedResult { facts, statement }
}

/// What to do about what does not verify.
fn hints_of(report: &Result<Report<Verified>>) -> Vec<String> {
    let report = match report {
        Err(failure) => return failure.hints().to_vec(),
        Ok(report) => report,
    };
    let hint = match report.fault() {
        Some((_, Fault::Sigstore(BundleRefusal::Unwitnessed))) => {
            "--policy FILE names the witnesses that must have seen it; --allow-unwitnessed takes the log's word alone"
        }
        Some((_, Fault::Sigstore(BundleRefusal::NoRoomForWitnesses))) => {
            "a bundle of `aip-attest export` has none: verify the receipt; for Rekor v1 take --allow-unwitnessed"
        }
        Some((_, Fault::Sigstore(BundleRefusal::OtherKey(_)))) => {
            "--state FILE tells whose the key is (`aip-attest state export --did DID`), or name the key itself: --key FILE"
        }
        Some((Check::LogSignature, Fault::Sigstore(BundleRefusal::UnknownLog(_)))) => {
            "the trusted root is another log's: `aip-attest policy export --sigstore` writes that of a policy"
        }
        _ => return Vec::new(),
    };
    vec![hint.to_owned()]
}

/// A key in PEM has some 200 bytes.
const MAX_KEY_BYTES: u64 = 1 << 16;
