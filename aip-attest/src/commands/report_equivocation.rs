use std::path::{Path, PathBuf};

use attestation::event::TrustEvent;
use attestation::receipt::Receipt;

use super::confirm::reference;
use super::log_args::LogArgs;
use crate::keyfile;
use crate::receipt_file;
use crate::report::{Console, Exit, Failure, Result};

/// Report a pipeline that contradicts itself: two receipts of one reproducible build with different bytes
///
/// Both were signed with `sign --reproducible`, name the same source, builder and parameters, and give one name two
/// digests. The log checks that from the receipts alone: it needs no trust in you.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The two receipts, logged in one log
    #[arg(value_name = "RECEIPT", num_args = 2)]
    receipts: Vec<PathBuf>,

    #[command(flatten)]
    log: LogArgs,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let identity = keyfile::load(console)?;
    let mut receipts = args.receipts.iter().map(|path| logged(path)).collect::<Result<Vec<_>>>()?;
    receipts.sort_by_key(|(index, _)| *index);
    let [(first_index, first), (second_index, second)] = &receipts[..] else {
        return Err(Failure::new("an equivocation is of two receipts"));
    };
    if first.did() != second.did() {
        return Err(Failure::new("the two receipts are by two signers").because(format!(
            "{} and {}",
            first.did(),
            second.did()
        )));
    }
    let session = args.log.open(console)?;
    for receipt in [first, second] {
        let origin = receipt.pending_entry().map(|entry| entry.claim().origin());
        if origin != Some(session.origin()) {
            return Err(Failure::new(format!("a receipt is of another log than `{}`", session.origin())));
        }
    }
    let event = TrustEvent::Equivocation {
        receipts: [*first_index, *second_index].map(|index| reference(&session, index)),
        statements: [first, second].map(|receipt| receipt.envelope().unverified_payload().to_vec()),
    };
    let logged = session.say(&identity, first.did(), event, console)?;
    args.log.print(&logged, console);
    Ok(Exit::Yes)
}

fn logged(path: &Path) -> Result<(u64, Receipt)> {
    let receipt = receipt_file::read(path)?;
    let index = receipt.log_answer().map(|logged| logged.proof.index.get());
    let index = index.ok_or_else(|| Failure::new(format!("`{}` is not logged", path.display())))?;
    Ok((index, receipt))
}
