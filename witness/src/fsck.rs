//! `fsck`: says whether the database and the record are what the witness wrote, and makes them usable if they are not.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tlog::Hash;
use tlog::encoding::quoted;

use crate::Failure;
use crate::agreement::Agreement;
use crate::directory::Directory;
use crate::opening::{self, Looked};
use crate::salvage::{Rescued, salvage};
use crate::state::accept;
use crate::store::Store as _;

/// Check what was cosigned against its second record, and decide what counts if they do not agree
///
/// Without options nothing is changed. Exit code 0: all is as it was written. 1: what is damaged, and each log of
/// which nothing is cosigned, is named. 2: could not be checked.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory of a witness that is not running
    #[arg(long, env = "AIP_WITNESS_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Make a new database from what can be read of a damaged one, which is kept beside it
    #[arg(long)]
    pub salvage: bool,
    /// Cosign this log again, on top of the higher of the two records; salvages first if that is needed (can be
    /// repeated)
    #[arg(long = "accept-higher", value_name = "ORIGIN")]
    pub accept_higher: Vec<String>,
}

/// Answers what is to be printed, and the exit code.
pub fn run(args: &Args) -> Result<(String, ExitCode), Failure> {
    let directory = Directory::lock(&args.dir)?;
    let record = opening::record_path(&args.dir)
        .map_err(|e| Failure::new(format!("cannot find `{}`", args.dir.display())).caused_by(e))?;
    let mut text = String::new();
    if args.salvage || !args.accept_higher.is_empty() {
        if !is_sound(&args.dir, &record) {
            for line in salvage(&args.dir, &record)? {
                let _ = writeln!(text, "{line}");
            }
        }
        for origin in &args.accept_higher {
            text.push_str(&accept_higher(&args.dir, origin)?);
        }
    }
    let damage = examine(&args.dir, &record, &mut text);
    drop(directory);
    Ok((text, if damage { ExitCode::from(1) } else { ExitCode::SUCCESS }))
}

/// Whether the directory can be opened as it is.
fn is_sound(dir: &Path, record: &Path) -> bool {
    let opens = opening::look(dir, record).is_ok_and(|looked| match looked.agreement {
        Agreement::Counted(_) => true,
        Agreement::First => looked.torn.is_empty(),
        Agreement::Broken(_) => false,
    });
    opens && Rescued::read(&dir.join("db")).damage.is_empty()
}

/// Says what is damaged and what is held. Answers whether anything is.
fn examine(dir: &Path, record: &Path, text: &mut String) -> bool {
    let db = dir.join("db");
    let rescued = Rescued::read(&db);
    let unreadable = rescued.unreadable_values();
    let mut damage = rescued.damage;
    damage.extend(unreadable);
    let mut held = Vec::new();
    match opening::look(dir, record) {
        Ok(Looked { agreement: Agreement::Counted(logs), stored, torn, recorded }) => {
            if recorded.is_some_and(|recorded| recorded.is_torn) {
                let _ = writeln!(text, "cut by a crash: `{}` ends in a part of a round", record.display());
            }
            held.extend(logs.values().map(ToString::to_string));
            for file in torn {
                let _ = writeln!(text, "cut by a crash: {file}");
            }
            if damage.is_empty() && held.is_empty() {
                let (logs, round) = (stored.rows.len(), stored.round.unwrap_or(0));
                let _ = writeln!(text, "ok: {logs} logs, round {round}");
            }
        }
        Ok(Looked { agreement: Agreement::First, stored, torn, .. }) => {
            damage.extend(torn.iter().map(|file| format!("{file}; there is no second record yet")));
            if damage.is_empty() {
                let logs = stored.rows.len();
                let _ = writeln!(text, "ok: {logs} logs; the next start makes the second record");
            }
        }
        Ok(Looked { agreement: Agreement::Broken(broken), .. }) => {
            damage.push(format!("`{}`: {broken}", record.display()));
        }
        Err(error) if damage.is_empty() => damage.push(error.to_string()),
        Err(_) => (),
    }
    for line in &damage {
        let _ = writeln!(text, "damaged: {line}");
    }
    for line in &held {
        let _ = writeln!(text, "held: {line}");
    }
    !damage.is_empty() || !held.is_empty()
}

/// Writes the higher record's row of a log into both records.
fn accept_higher(dir: &Path, origin: &str) -> Result<String, Failure> {
    let opened = opening::open(dir)?;
    let name = quoted(origin);
    let log = opened.held.get(&Hash::of(origin.as_bytes())).ok_or_else(|| {
        Failure::new(format!("there is nothing to decide about the log {name}"))
            .because("the two records agree on it, or have never heard of it")
            .hint("`witness fsck` names the logs that are held")
    })?;
    let higher = log.higher().ok_or_else(|| {
        Failure::no(format!("neither record of the log {name} is the higher one"))
            .because(log.to_string())
            .hint("this witness may have signed two trees: it cosigns this log no more; begin a new witness for it")
    })?;
    let cannot = || Failure::new(format!("cannot write the state in `{}`", dir.display()));
    let batch = accept(&*opened.store, higher).map_err(|e| cannot().caused_by(e))?;
    opened
        .store
        .write(&batch)
        .and_then(|()| opened.store.confirm(&batch))
        .and_then(|()| opened.store.inner().flush())
        .map_err(|e| cannot().caused_by(e))?;
    Ok(format!("accepted: {name} size {} root {}\n", higher.seen.size, higher.seen.root.to_base64()))
}
