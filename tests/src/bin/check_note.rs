//! `check_note POLICY NOTE`: believes a checkpoint under a policy with this project's own code, as `aip-attest verify`
//! does, and expects every alteration of a cosignature to be refused. For checkpoints of logs that are not ours.
//!
//! Prints what it believed. Exit code 1 if it is not to be believed, or if something altered would be.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use tlog::note::{Note, NoteSignature};
use tlog::policy::{Policy, PolicyError};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [policy, note] = &arguments[..] else {
        eprintln!("check_note POLICY NOTE");
        return ExitCode::from(2);
    };
    match run(policy, note) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{note}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(policy: &str, note: &str) -> Result<String, Box<dyn Error>> {
    let policy: Policy = fs::read_to_string(policy)?.parse()?;
    let note = Note::parse(&fs::read(note)?)?;
    let (checkpoint, _) = policy.log_checkpoint(&note)?;
    let cosigned: Vec<String> = policy.quorum(&note)?.into_iter().map(|by| by.witness).collect();
    if cosigned.is_empty() {
        return Err("no witness of the policy cosigned it".into());
    }
    for witness in policy.witnesses() {
        let Some(line) = note.signatures().iter().find(|line| line.is_by(&witness.vkey)) else { continue };
        // The time, and the signature's first and last byte.
        for at in [7, 8, line.signature().len() - 1] {
            let mut signature = line.signature().to_vec();
            signature[at] ^= 1;
            let mut altered = note.clone();
            altered.add(NoteSignature::new(line.name().clone(), line.id(), signature));
            let Err(PolicyError::Note(_)) = policy.quorum(&altered) else {
                return Err(format!(
                    "with byte {at} of the line of `{}` altered it is believed",
                    witness.name
                )
                .into());
            };
        }
    }
    let bare = Note::unsigned(note.text().to_owned());
    let Err(PolicyError::Quorum { .. }) = policy.quorum(&bare) else {
        return Err("without cosignatures it is believed".into());
    };
    Ok(format!(
        "size {} cosigned by {}; altered times and signatures, and none at all, refused",
        checkpoint.size,
        cosigned.join(", ")
    ))
}
