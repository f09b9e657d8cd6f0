use attestation::did;
use serde_json::json;

use crate::keyfile::credentials::Profile;
use crate::keyfile::{self, Source, Stored};
use crate::report::{Console, Exit, Result};

/// Print the DID that signs here, and where its key is
///
/// Needs no passphrase: the DID of an encrypted file is readable, though nothing proves it before the key is
/// opened.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let (who, source) = find(console)?;
    if args.json {
        console.json(&json!({
            "schema": "aip.whoami.v1",
            "did": who.did,
            "didKey": who.did_key,
            "publicKey": who.public_key,
            "platform": who.profile.platform,
            "username": who.profile.username,
            "encrypted": who.did_key.is_none(),
            "source": source.to_string(),
        }));
        return Ok(Exit::Yes);
    }
    console.line(format!("DID: {}", who.did));
    if let (Some(did_key), Some(public_key)) = (&who.did_key, &who.public_key) {
        console.line(format!("DID (key): {did_key}"));
        console.line(format!("Public key: {public_key}"));
    }
    if let Profile { platform: Some(platform), username, .. } = &who.profile {
        let username = username.as_deref().unwrap_or("?");
        console.line(format!("Platform: {platform}/{username}"));
    }
    console.line(format!("Source: {source}"));
    if who.did_key.is_none() {
        console.note("the file is encrypted: the DID is what it says, unproven until the key is opened");
    }
    Ok(Exit::Yes)
}

struct Who {
    did: String,
    did_key: Option<String>,
    public_key: Option<String>,
    profile: Profile,
}

fn find(console: &mut Console) -> Result<(Who, Source)> {
    let identity = match keyfile::from_environment()? {
        Some(identity) => identity,
        None => match keyfile::find(console)? {
            Some((path, Stored::Encrypted(encrypted))) => {
                keyfile::check_against_environment(&encrypted.did)?;
                let profile = Profile::default();
                return Ok((
                    Who { did: encrypted.did, did_key: None, public_key: None, profile },
                    Source::File(path),
                ));
            }
            // Read again, and compared with the key this time.
            _ => keyfile::load(console)?,
        },
    };
    let key = identity.key.public_key();
    let who = Who {
        did: identity.did.to_string(),
        did_key: Some(did::to_did_key(&key)),
        public_key: Some(tlog::encoding::base64(key.as_bytes())),
        profile: identity.profile,
    };
    Ok((who, identity.source))
}
