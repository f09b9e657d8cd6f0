//! Findings against pinned logs, kept beside the pins: `~/.aip/findings/`.

use std::path::PathBuf;

use attestation::finding::Finding;

use crate::durable::{self, Readers};
use crate::environment;
use crate::report::{Failure, Result};

/// Keeps a finding and answers where. One that is there already stays as it was first found.
pub(crate) fn keep(finding: &Finding) -> Result<PathBuf> {
    let home = environment::home()
        .ok_or_else(|| Failure::new(format!("there is no place for findings: {}", environment::no_home())))?;
    let path = home.join("findings").join(finding.file_name());
    if !path.exists() {
        durable::write(&path, finding.to_json().as_bytes(), Readers::Owner)?;
    }
    Ok(path)
}
