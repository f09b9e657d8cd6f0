//! `status`: what was cosigned, read from the directory, also while the witness is served.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::Failure;
use crate::directory::look;
use crate::state::{StateError, read_all, read_contradictions};
use crate::store::Store;

/// Show what was cosigned of each log
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The witness's directory
    #[arg(long, env = "AIP_WITNESS_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogStatus {
    origin: String,
    size: u64,
    root: String,
    /// Unix seconds.
    last_cosigned: u64,
    #[serde(rename = "evidence")]
    contradictions: usize,
}

/// Answers what is to be printed.
pub fn run(args: &Args) -> Result<String, Failure> {
    let store = look(&args.dir)?;
    let logs = read(&store).map_err(|e| {
        Failure::new(format!("cannot read the state in `{}`", args.dir.display())).caused_by(e)
    })?;
    if args.json {
        let json = serde_json::to_string_pretty(&logs).expect("strings and numbers are JSON");
        return Ok(format!("{json}\n"));
    }
    let mut text = String::new();
    for log in &logs {
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(log.last_cosigned)).map_or_else(
            || log.last_cosigned.to_string(),
            |time| humantime::format_rfc3339_seconds(time).to_string(),
        );
        let _ =
            writeln!(text, "{}\n  size {}  root {}\n  last cosigned {time}", log.origin, log.size, log.root);
        if log.contradictions > 0 {
            let _ = writeln!(text, "  ALARM: {} contradictions, see `witness findings`", log.contradictions);
        }
    }
    Ok(text)
}

fn read(store: &dyn Store) -> Result<Vec<LogStatus>, StateError> {
    let mut logs = Vec::new();
    for log in read_all(store)? {
        logs.push(LogStatus {
            size: log.cosigned.seen.size.get(),
            root: log.cosigned.seen.root.to_base64(),
            last_cosigned: log.cosigned.time.as_secs(),
            contradictions: read_contradictions(store, Some(&log.hash))?.len(),
            origin: log.origin,
        });
    }
    logs.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(logs)
}
