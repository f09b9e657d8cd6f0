use std::ffi::OsString;
use std::path::PathBuf;

use attestation::Did;
use attestation::event::{Reference, TrustEvent};
use tlog::{Hash, LeafIndex};

use super::fetch::{self, Found};
use super::log_args::LogArgs;
use crate::artifact::{self, Aside, Wanted};
use crate::contact::Contact;
use crate::events::Session;
use crate::keyfile;
use crate::report::{Console, Exit, Failure, Result};

/// Confirm that you built the same bytes as another pipeline
///
/// You rebuilt what it released, signed your build with your own key, and both digests are equal: say so. The log has
/// its receipt and yours; both are found by the digest. It counts for the other's history, once a week, if whoever asks
/// qualified you.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The artifact: a file, what leaves one file, or sha256:HEX
    #[arg(value_name = "ARTIFACT")]
    artifact: OsString,

    /// Leave out what has this name, or matches: '*.map' (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Whose build it confirms
    #[arg(long, visible_alias = "signer", value_name = "DID")]
    did: Did,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let (artifact, aside) = digest(&args.artifact, &args.exclude)?;
    let session = args.log.open(console)?;
    let contact = Contact { deadline: super::deadline(args.log.timeout)?, ..session.contact() };
    let found = fetch::list(&artifact, &mut contact.inquire(console))?;
    let receipt = newest(&found, args.did).ok_or_else(|| {
        Failure::new(format!("{} logged nothing about sha256:{artifact}", args.did))
            .because(format!("so says the log `{}`", session.origin()))
            .hint("what it logged privately cannot be confirmed")
    })?;
    let build = newest(&found, identity.did).ok_or_else(|| {
        Failure::new(format!("you logged no build of sha256:{artifact}")).hint(
            "build it yourself, log that with `aip-attest sign ARTIFACT`, then confirm: whoever reads this has to \
             see both",
        )
    })?;
    let refer = |index| reference(&session, index);
    let event = TrustEvent::Confirmation { artifact, receipt: refer(receipt), build: refer(build) };
    let logged = session.say(&identity, args.did, event, console)?;
    args.log.print_with(&logged, Some(("selection", aside.to_json())), console);
    if let Some(text) = aside.text("confirmed") {
        console.note(text);
    }
    Ok(Exit::Yes)
}

/// The digest of the one artifact that is named; and what was met and is not it.
pub(super) fn digest(argument: &OsString, exclude: &[String]) -> Result<(Hash, Aside)> {
    let text = argument.to_string_lossy();
    let is_other = artifact::parse_digest(&text).is_some() || artifact::is_pattern(&text);
    if !is_other && PathBuf::from(argument).symlink_metadata().is_err() {
        return Err(Failure::new(format!("there is no file `{text}`"))
            .hint("name one file, or its digest: sha256: and 64 lower-case hex digits"));
    }
    let excludes = super::excludes(exclude)?;
    let wanted = Wanted { arguments: std::slice::from_ref(argument), excludes: &excludes, receipts: None };
    let selection = artifact::to_judge(&wanted);
    let aside = selection.aside.clone();
    match &selection.all()?[..] {
        [one] => Ok((one.sha256, aside)),
        several => {
            Err(Failure::new(format!("`{text}` names {} artifacts, and this is about one", several.len()))
                .hint("name one file, or its digest: sha256: and 64 lower-case hex digits"))
        }
    }
}

pub(super) fn reference(session: &Session, index: u64) -> Reference {
    Reference { origin: session.origin().to_owned(), index: LeafIndex::new(index) }
}

fn newest(found: &[Found], did: Did) -> Option<u64> {
    found.iter().filter(|found| found.entry.claim().did() == did).map(|found| found.index).max()
}
