use attestation::Did;
use tlog::key::Ed25519PrivateKey;
use zeroize::Zeroizing;

use crate::clock;
use crate::environment;
use crate::keyfile::credentials::{self, Profile};
use crate::keyfile::{self, Stored, encrypted};
use crate::report::{Console, Exit, Failure, Result};

/// Make an identity: a new key, and the DID that is its hash
///
/// Needs no log and no network. The key goes to ~/.aip/credentials.json, or where AIP_CREDENTIALS_PATH says,
/// readable by its owner only. If there is an identity already it is kept, and its DID printed. Of two at the same
/// time one makes it, the other fails (exit 2).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the signer is at home, such as github; stays in the file
    #[arg(long = "platform", value_name = "PLATFORM")]
    platform: Option<String>,

    /// Its name there; stays in the file
    #[arg(long = "username", value_name = "NAME")]
    username: Option<String>,

    /// The same two without their flags: PLATFORM NAME
    #[arg(value_name = "PLATFORM NAME", num_args = 0..=2, conflicts_with_all = ["platform", "username"])]
    positional: Vec<String>,

    /// Encrypt the file with a passphrase: AIP_PASSPHRASE, else typed
    #[arg(long)]
    encrypt: bool,

    /// Replace the identity that is there; the old file is kept under another name
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: Args, console: &mut Console) -> Result<Exit> {
    let path = keyfile::destination()?;
    if path.exists() && !args.force {
        let (_, stored) = keyfile::find(console)?.ok_or_else(|| {
            Failure::new(format!("`{}` exists and holds no identity", path.display()))
                .hint("move it away, or replace it with --force")
        })?;
        let did = match stored {
            Stored::Plain(credentials) => Did::of(&credentials.key.public_key()).to_string(),
            Stored::Encrypted(encrypted) => encrypted.did,
        };
        console.line(format!("DID: {did}"));
        console.note(format!("there is an identity in `{}`; --force replaces it", path.display()));
        return Ok(Exit::Yes);
    }
    let mut positional = args.positional.into_iter();
    let profile = Profile {
        platform: args.platform.or_else(|| positional.next()),
        username: args.username.or_else(|| positional.next()),
        registered_at: Some(clock::now().as_secs()),
    };
    let key = Ed25519PrivateKey::from_seed(&*random()?);
    let file = match args.encrypt {
        false => credentials::to_plain(&key, &profile),
        true => {
            let passphrase = keyfile::new_passphrase()?;
            Zeroizing::new(encrypted::encrypt(&key, &profile, &passphrase, *random()?, *random()?))
        }
    };
    if args.force {
        keyfile::set_aside(&path, console)?;
    }
    keyfile::save(&path, file.as_bytes())?;
    console.line(format!("DID: {}", Did::of(&key.public_key())));
    console.note(format!("the key is in `{}`: whoever has it signs in this name", path.display()));
    if environment::var("AIP_PRIVATE_KEY")?.is_some() {
        console.warn("AIP_PRIVATE_KEY is set and comes before the file");
    }
    console.hint("in CI set AIP_DID and AIP_PRIVATE_KEY from secrets: see `aip-attest key export --help`");
    Ok(Exit::Yes)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut())
        .map_err(|error| Failure::new("the system gives no random bytes").because(error))?;
    Ok(bytes)
}
