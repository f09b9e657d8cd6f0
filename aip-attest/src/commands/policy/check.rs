use std::path::PathBuf;

use serde_json::{Value, json};
use tlog::Hash;
use tlog::key::{KeyType, VerifierKey};
use tlog::policy::{Group, Log, Policy, Witness};

use crate::policy_file::pins::Pins;
use crate::policy_file::trust::TrustFile;
use crate::policy_file::{self, PolicyFile, PolicySource};
use crate::report::{Console, Exit, Failure, Result};

/// Read a policy and print what it asks for
///
/// Without a file: the one that AIP_POLICY names, or .aip/policy in the working tree. The first line is the SHA-256 of
/// the policy. So are the last ones, with that of the trust.toml beside it if there is one, as the action's inputs
/// `policy-sha256` and `trust-sha256` take them. Of each key its name, type and id are shown; the file has the whole keys,
/// and `policy show ORIGIN` those of a pinned one.
///
/// Over all groups: how many dishonest witnesses can fork the log unseen (the fewest that let two views of it
/// both meet the quorum), and how many failures halt it. Keys with one name are one witness. Warns if no
/// dishonest witness is needed, and of a witness with several votes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The policy
    file: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let found = match &args.file {
        Some(path) => policy_file::read(path, PolicySource::Flag),
        None => policy_file::named(None, &Pins::load()?, console)
            .and_then(|named| named.ok_or_else(|| Failure::new("no policy is named").hint("name a file"))),
    }?;
    let settings = found.source.path().map_or(Ok(None), TrustFile::beside)?;
    if args.json {
        console.json(&json_of(&found, settings.as_ref()));
    } else {
        let sha256 = format!("sha256:{}", Hash::of(found.text.as_bytes()));
        console.line(&sha256);
        print(&found.policy, console);
        console.line(&sha256);
        if let Some(settings) = &settings {
            console.line(format!("sha256:{}  {}", settings.sha256(), settings.path.display()));
        }
    }
    warn(&found.policy, console);
    Ok(Exit::Yes)
}

/// Every log, witness and group, and the quorum.
pub(super) fn print(policy: &Policy, console: &mut Console) {
    let url = |url: &Option<String>| url.as_deref().map_or(String::new(), |url| format!("  {url}"));
    for log in policy.logs() {
        console.line(format!("log      {}{}", short(&log.vkey), url(&log.url)));
    }
    for witness in policy.witnesses() {
        console.line(format!("witness  {}  {}{}", witness.name, short(&witness.vkey), url(&witness.url)));
    }
    for group in policy.groups() {
        console.line(format!("group    {}  needs {} of its members", group.name, group.threshold));
    }
    console.line(match policy.quorum_name() {
        None => "quorum   none".to_owned(),
        Some(name) => {
            format!("quorum   {name}  met by no fewer than {} cosignatures", policy.weakest_quorum())
        }
    });
    print_strength(policy, console);
}

/// A key as people tell keys apart: its name, its type and its id. The fingerprint covers the whole of it.
fn short(vkey: &VerifierKey) -> String {
    let kind = match vkey.key().key_type() {
        KeyType::Ed25519 | KeyType::Ed25519Cosignature => "Ed25519",
        KeyType::MlDsa44Cosignature => "ML-DSA-44",
    };
    format!("{}  {kind}  {}", vkey.name(), vkey.id())
}

/// A line of a policy with its key in short.
pub(super) fn with_short_keys(line: &str) -> String {
    let shown =
        line.split(' ').map(|word| word.parse().map_or_else(|_| word.to_owned(), |vkey| short(&vkey)));
    shown.collect::<Vec<_>>().join(" ")
}

/// How many dishonest witnesses fork the log unseen, and how many failures halt it.
fn print_strength(policy: &Policy, console: &mut Console) {
    let strength = policy.strength();
    let needs = |count: usize, of_whom: &str| {
        let at_least = if strength.is_exact { "" } else { "at least " };
        let plural = if count == 1 { "" } else { "es" };
        format!("{at_least}{count} {of_whom} witness{plural}")
    };
    console.line(format!("fork     unseen with {}", needs(strength.dishonest_to_fork, "dishonest")));
    console.line(match strength.failures_to_halt {
        None => "halt     never for want of a witness".to_owned(),
        Some(failures) => format!("halt     with {}", needs(failures, "failing")),
    });
}

/// What a policy does not ask for.
pub(super) fn warn(policy: &Policy, console: &mut Console) {
    if policy.logs().is_empty() {
        console.warn("the policy names no log: nothing passes it");
    }
    if policy.weakest_quorum() == 0 {
        console.warn("the policy needs no witness: a log that shows people different trees is not found out");
    } else if policy.strength().dishonest_to_fork == 0 {
        console.warn(
            "two views of a log can both meet the quorum without a dishonest witness: \
             one that shows people different trees is not found out",
        );
    }
    for name in policy.spread_witnesses() {
        console.warn(format!(
            "the witness `{name}` has a vote for each of several keys: \
             put them alone into one group, `group NAME any KEY KEY`, and that into the others"
        ));
    }
}

fn json_of(found: &PolicyFile, settings: Option<&TrustFile>) -> Value {
    let policy = &found.policy;
    let log = |log: &Log| {
        let origin = log.vkey.name().as_str();
        json!({"origin": origin, "vkey": log.vkey.to_string(), "url": log.url})
    };
    let witness = |witness: &Witness| {
        let vkey = witness.vkey.to_string();
        json!({"name": witness.name, "vkey": vkey, "url": witness.url})
    };
    let group = |group: &Group| json!({"name": group.name, "threshold": group.threshold});
    let strength = policy.strength();
    let spread: Vec<String> = policy.spread_witnesses().iter().map(ToString::to_string).collect();
    json!({
        "schema": "aip.policy.check.v1",
        "source": found.source.to_string(),
        "sha256": Hash::of(found.text.as_bytes()).to_string(),
        "trustSha256": settings.map(|settings| settings.sha256().to_string()),
        "logs": policy.logs().iter().map(log).collect::<Vec<_>>(),
        "witnesses": policy.witnesses().iter().map(witness).collect::<Vec<_>>(),
        "groups": policy.groups().iter().map(group).collect::<Vec<_>>(),
        "quorum": policy.quorum_name(),
        "weakestQuorum": policy.weakest_quorum(),
        "dishonestToFork": strength.dishonest_to_fork,
        "failuresToHalt": strength.failures_to_halt,
        "strengthIsExact": strength.is_exact,
        "witnessesWithSeveralVotes": spread,
    })
}
