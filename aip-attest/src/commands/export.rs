use std::path::{Path, PathBuf};

use attestation::bundle::{self, ExportError};
use attestation::receipt::{Demand, Receipt, SignerState, Signers, VerifyPolicy};
use serde_json::json;

use crate::durable::{self, Readers};
use crate::policy_file::pins::Pins;
use crate::policy_file::{self, PolicyFile};
use crate::predicate;
use crate::receipt_file::{self, SUFFIX};
use crate::report::{Console, Exit, Failure, Result};
use crate::states::States;

/// Write what is in a receipt in a form that other programs read
///
/// --sigstore makes a Sigstore bundle of it, app.sigstore.json beside app.receipt.json, and of the signer's key a PEM beside that,
/// app.sigstore.pub. It prints the command by which Sigstore's cosign verifies them without a network; `policy export
/// --sigstore` writes the trusted root that it needs. The receipt is verified before: by --policy, else AIP_POLICY,
/// .aip/policy or the pin of its log, and by the state that `log sync --did` or `gate` keeps of its signer. A bundle carries no quorum of witnesses, and nothing of what becomes of the key.
///
/// --tlog-proof prints the C2SP tlog-proof of the entry, --leaf the entry that it is for, --dsse the signed envelope. They
/// are not verified.
///
/// Exit codes: 0 written; 1 the receipt does not verify; 2 it is not logged, or cannot be exported.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("form").required(true).args(["sigstore", "tlog_proof", "dsse", "leaf"])))]
pub(crate) struct Args {
    /// The receipt
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,

    /// A Sigstore bundle, and the key, for Sigstore's cosign
    #[arg(long)]
    sigstore: bool,

    /// The C2SP tlog-proof: index, inclusion proof, cosigned checkpoint
    #[arg(long)]
    tlog_proof: bool,

    /// The DSSE envelope with the in-toto statement
    #[arg(long)]
    dsse: bool,

    /// The bytes that the log hashed into its tree
    #[arg(long)]
    leaf: bool,

    /// The file to write; else stdout, and for --sigstore beside the receipt
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The policy that judges the receipt
    #[arg(long, value_name = "FILE", requires = "sigstore")]
    policy: Option<PathBuf>,

    /// Print JSON: the files that were written, and the command
    #[arg(long, requires = "sigstore")]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let receipt = receipt_file::read(&args.receipt)?;
    if args.sigstore {
        return for_cosign(&args, &receipt, console);
    }
    let logged = || receipt.log_answer().ok_or_else(|| not_logged(&args.receipt));
    let text = match (args.tlog_proof, args.leaf) {
        (true, _) => logged()?.proof.to_string().into_bytes(),
        (_, true) => logged()?.entry.to_bytes(),
        // The envelope's hash, in the entry, is of this text without the newline.
        _ => format!("{}\n", receipt.envelope().to_json()).into_bytes(),
    };
    match &args.out {
        Some(path) => durable::write(path, &text, Readers::Everyone)?,
        None => console.raw(&text),
    }
    Ok(Exit::Yes)
}

fn for_cosign(args: &Args, receipt: &Receipt, console: &mut Console) -> Result<Exit> {
    let logged = receipt.log_answer().ok_or_else(|| not_logged(&args.receipt))?;
    let pins = Pins::load()?;
    let policy = match policy_file::named(args.policy.as_deref(), &pins, console)? {
        Some(policy) => policy,
        None => policy_file::pinned(&pins, &logged.checkpoint().origin)?,
    };
    check(&args.receipt, receipt, &policy, &pins)?;
    let cannot = || Failure::new(format!("`{}` cannot be exported for Sigstore", args.receipt.display()));
    let exported = bundle::export(receipt, &policy.policy).map_err(|error| {
        let again = format!("`aip-attest submit {}` gets the log's answer anew", args.receipt.display());
        match error {
            ExportError::NoNote | ExportError::OtherTree { .. } => cannot().caused_by(error).hint(again),
            _ => cannot().caused_by(error),
        }
    })?;
    let bundle = match &args.out {
        Some(out) => out.clone(),
        None => {
            beside(&args.receipt).ok_or_else(|| cannot().because("its name is no text").hint("--out FILE"))?
        }
    };
    let key = match bundle.extension().is_some_and(|extension| extension == "json") {
        true => bundle.with_extension("pub"),
        false => bundle.with_added_extension("pub"),
    };
    durable::write(&key, exported.key.as_bytes(), Readers::Everyone)?;
    durable::write(&bundle, exported.bundle.as_bytes(), Readers::Everyone)?;
    let command = command(args, receipt, &bundle, &key);
    if args.json {
        console.json(&json!({
            "schema": "aip.export.v1",
            "bundle": bundle.to_string_lossy(),
            "key": key.to_string_lossy(),
            "command": command,
        }));
        return Ok(Exit::Yes);
    }
    console.note(format!("wrote `{}` and `{}`", bundle.display(), key.display()));
    console.line(command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "));
    if !Path::new(TRUSTED_ROOT).exists() {
        console.hint(format!("`aip-attest policy export --sigstore --out {TRUSTED_ROOT}` writes the trusted root, once for a log"));
    }
    Ok(Exit::Yes)
}

/// What does not verify here is not handed to a verifier that looks at less.
fn check(path: &Path, receipt: &Receipt, policy: &PolicyFile, pins: &Pins) -> Result<()> {
    let artifact = receipt.statement().subjects()[0].sha256;
    let signers = Signers::OneOf(vec![receipt.did()]);
    let mut demands = VerifyPolicy { pins: pins.roots(), ..VerifyPolicy::new(&policy.policy, signers) };
    if let Some(state) = kept_state(receipt, policy, pins)? {
        demands.demands.push(Demand::State { state: Box::new(state), max_age: None });
    }
    let report = receipt.verify(&demands, &artifact, None);
    match report.fault() {
        None => Ok(()),
        Some((check, fault)) => {
            let message =
                format!("the receipt `{}` does not verify by the policy {}", path.display(), policy.source);
            let failure = match fault.could_not_check() {
                true => Failure::new(message),
                false => Failure::refuted(message),
            };
            Err(failure.because(format!("{check}: {fault}")))
        }
    }
}

/// What is known here of what came after the receipt.
fn kept_state(receipt: &Receipt, policy: &PolicyFile, pins: &Pins) -> Result<Option<SignerState>> {
    let Some(logged) = receipt.log_answer() else { return Ok(None) };
    let Ok((checkpoint, log)) = policy.policy.log_checkpoint(&logged.proof.checkpoint) else {
        return Ok(None);
    };
    let kept = States::of_user().newest(&log.vkey, receipt.did(), &policy.policy, pins)?;
    Ok(kept.map(|kept| kept.state).filter(|state| state.checkpoint.size >= checkpoint.size))
}

fn not_logged(path: &Path) -> Failure {
    Failure::new(format!("the receipt `{}` is not logged", path.display()))
        .hint(format!("`aip-attest submit {}` logs it", path.display()))
}

/// By which Sigstore's cosign verifies the bundle, for the artifact if its file lies where the receipt says, else for its digest.
fn command(args: &Args, receipt: &Receipt, bundle: &Path, key: &Path) -> Vec<String> {
    let kind = receipt.statement().predicate_type();
    let mut words: Vec<String> = ["cosign", "verify-blob-attestation", "--key"].map(str::to_owned).to_vec();
    words.extend([path_word(key), "--bundle".into(), path_word(bundle)]);
    words.extend(["--trusted-root".into(), TRUSTED_ROOT.into(), "--type".into(), kind.into()]);
    let base = args.receipt.to_string_lossy();
    let base = stem(&base, SUFFIX);
    let base = match kind {
        predicate::PROVENANCE => base,
        kind => stem(base, &format!(".{}", predicate::file_word(kind))),
    };
    match Path::new(base) {
        artifact if artifact.is_file() && *artifact != args.receipt => words.push(path_word(artifact)),
        _ => {
            let digest = receipt.statement().subjects()[0].sha256.to_string();
            words.extend(["--digest".into(), digest, "--digestAlg".into(), "sha256".into()]);
        }
    }
    words
}

/// A path that no program takes for a flag.
fn path_word(path: &Path) -> String {
    let path = path.to_string_lossy();
    if path.starts_with('-') { format!("./{path}") } else { path.into_owned() }
}

/// As it is typed into a shell. Names come from whoever made the receipt.
fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    match !word.is_empty() && word.bytes().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The bundle beside the receipt.
fn beside(receipt: &Path) -> Option<PathBuf> {
    Some(PathBuf::from(format!("{}{BUNDLE_SUFFIX}", stem(stem(receipt.to_str()?, SUFFIX), ".json"))))
}

fn stem<'n>(name: &'n str, suffix: &str) -> &'n str {
    name.strip_suffix(suffix).filter(|stem| !stem.is_empty() && !stem.ends_with(['/', '\\'])).unwrap_or(name)
}

/// What the names of bundles end in, as tools of Sigstore call them.
const BUNDLE_SUFFIX: &str = ".sigstore.json";

/// What the printed command calls the trusted root.
const TRUSTED_ROOT: &str = "trusted_root.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_words_in_a_shell() {
        for (word, want) in [
            ("app-1.2_x/y.json", "app-1.2_x/y.json"),
            ("https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v1"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", r"'it'\''s'"),
            ("a\nb", "'a\nb'"),
            ("~", "'~'"),
            ("", "''"),
            ("é", "'é'"),
        ] {
            assert_eq!(shell_word(word), want);
        }
        assert_eq!(path_word(Path::new("-rf")), "./-rf");
    }

    #[test]
    fn bundles_are_named_after_their_receipts() {
        for (receipt, want) in [
            ("app.receipt.json", "app.sigstore.json"),
            ("d/app.cyclonedx.receipt.json", "d/app.cyclonedx.sigstore.json"),
            ("kept.json", "kept.sigstore.json"),
            ("kept", "kept.sigstore.json"),
            ("d/.receipt.json", "d/.receipt.sigstore.json"),
        ] {
            assert_eq!(beside(Path::new(receipt)).as_deref(), Some(Path::new(want)), "{receipt}");
        }
    }
}
