//! `init`: makes a witness, once. It never replaces a lost directory by an empty one under keys that have signed.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use getrandom::SysRng;
use rand_core::UnwrapErr;
use reqwest::Url;
use service::durable::{sync_folder, write_new};
use tlog::key::{KeyName, KeyType, SignerKey, VerifierKey};
use tlog::policy::Policy;

use crate::Failure;
use crate::config::{Settings, WitnessFile};
use crate::keys::Keys;
use crate::log_list::{self, HEADER, Owner, Stanza};
use crate::logs::Logs;
use crate::opening;
use crate::record::CosignedRecord;
use crate::store::rocks::RocksStore;

/// Make a witness: its directory and keys; prints what others put into their policy
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory to make
    #[arg(long, env = "AIP_WITNESS_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// The witness's unique name, such as `witness.example.com/w1`
    #[arg(long, env = "AIP_WITNESS_NAME")]
    pub name: String,
    /// Type of key to sign with (can be repeated) [default: both]
    #[arg(long = "key-type", value_enum, value_name = "TYPE")]
    pub key_types: Vec<SigningKeyType>,
    /// Key of a log to cosign, a vkey (can be repeated; more can be added to the directory's `logs`)
    #[arg(long = "log", value_name = "VKEY")]
    pub logs: Vec<VerifierKey>,
    /// URL under which others reach this witness, as it stands in their policies
    #[arg(long, env = "AIP_WITNESS_URL")]
    pub url: Option<String>,
}

/// What a witness signs with.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Eq, PartialEq)]
pub enum SigningKeyType {
    /// Ed25519 (`cosignature/v1`).
    #[value(name = "ed25519")]
    Ed25519,
    /// ML-DSA-44 (`subtree/v1`).
    #[value(name = "ml-dsa-44")]
    MlDsa44,
}

impl SigningKeyType {
    fn key_type(self) -> KeyType {
        match self {
            Self::Ed25519 => KeyType::Ed25519Cosignature,
            Self::MlDsa44 => KeyType::MlDsa44Cosignature,
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519.skey",
            Self::MlDsa44 => "ml-dsa-44.skey",
        }
    }
}

/// Makes the witness and answers the policy text for others.
pub fn run(args: &Args) -> Result<String, Failure> {
    let bad_name = || Failure::new(format!("`{}` cannot be a witness's name", args.name.escape_debug()));
    let name = KeyName::new(&args.name).map_err(|e| bad_name().caused_by(e))?;
    let kinds = match &args.key_types[..] {
        [] => vec![SigningKeyType::Ed25519, SigningKeyType::MlDsa44],
        kinds => kinds.to_vec(),
    };
    let twice = |(at, kind)| kinds[..at].contains(kind);
    if kinds.iter().enumerate().any(twice) {
        return Err(Failure::new("the same key type is named twice"));
    }
    let generate =
        |kind: &SigningKeyType| SignerKey::generate(name.clone(), kind.key_type(), &mut UnwrapErr(SysRng));
    let secrets: Vec<_> = kinds.iter().map(|kind| (kind.file(), generate(kind))).collect();
    let skeys: Vec<_> = secrets.iter().map(|(file, key)| (*file, key.to_skey())).collect();
    let keys = Keys::new(&name, secrets.into_iter().map(|(_, key)| key).collect());
    let keys = keys.map_err(|e| bad_name().caused_by(e))?;
    let policy = policy(args, &keys)?;
    let logs = logs_file(args, &keys)?;
    let file = WitnessFile {
        name: args.name.clone(),
        keys: kinds.iter().map(|kind| kind.file().into()).collect(),
        lists: Vec::new(),
        settings: Settings { url: args.url.clone(), ..Settings::default() },
    };
    let record = opening::record_path(&args.dir)
        .map_err(|e| Failure::new(format!("cannot make `{}`", args.dir.display())).caused_by(e))?;
    if record.exists() {
        return Err(Failure::new(format!(
            "`{}` is there: a witness with this record has signed before",
            record.display()
        ))
        .hint("choose another directory"));
    }
    let make = || {
        DirBuilder::new().mode(0o700).create(&args.dir)?;
        for (file, skey) in &skeys {
            write_new(&args.dir.join(file), format!("{}\n", **skey).as_bytes(), 0o600)?;
        }
        let toml = toml::to_string(&file).map_err(io::Error::other)?;
        write_new(&args.dir.join("witness.toml"), toml.as_bytes(), 0o644)?;
        write_new(&args.dir.join("logs"), logs.as_bytes(), 0o644)
    };
    make().map_err(|e| {
        Failure::new(format!("cannot make a witness in `{}`", args.dir.display()))
            .caused_by(e)
            .hint("the directory must not exist; if an `init` broke off, nothing was signed: remove it and try again")
    })?;
    CosignedRecord::create(&record, &args.name)
        .map_err(|e| Failure::new(format!("cannot make the record `{}`", record.display())).caused_by(e))?;
    RocksStore::create(&args.dir.join("db"))
        .map_err(|e| Failure::new("cannot make the database").caused_by(e))?;
    // Last: from here on the witness may be served, so everything else must be there.
    let lock = args.dir.join("lock");
    write_new(&lock, b"", 0o600)
        .and_then(|()| sync_folder(&lock))
        .and_then(|()| sync_folder(&args.dir))
        .map_err(|e| Failure::new(format!("cannot make `{}`", lock.display())).caused_by(e))?;
    if args.url.is_none() {
        eprintln!(
            "hint: these lines say no URL, so that no log can ask this witness: write it behind each key; `init --url` does"
        );
    }
    Ok(policy)
}

/// The policy text for others, which must be one.
fn policy(args: &Args, keys: &Keys) -> Result<String, Failure> {
    if let Some(url) = &args.url {
        let refused = || Failure::new(format!("`{}` cannot be a witness's URL", url.escape_debug()));
        let parsed = Url::parse(url).map_err(|e| refused().caused_by(e))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(refused().hint("it is `https://…`, or `http://…` for a witness beside its log"));
        }
    }
    let policy = keys.policy(args.url.as_deref());
    let read: Result<Policy, _> = format!("{policy}quorum {}\n", keys.name()).parse();
    let witnesses = read.map_err(|e| {
        Failure::new(format!("`{}` cannot stand in a policy", args.name.escape_debug())).caused_by(e)
    })?;
    let of_keys = keys.verifiers().iter().eq(witnesses.witnesses().iter().map(|witness| &witness.vkey));
    let with_url = witnesses.witnesses().iter().all(|witness| witness.url == args.url);
    if of_keys && with_url { Ok(policy) } else { Err(Failure::new("the URL cannot stand in a policy")) }
}

/// The operator's list of logs, which must be one that `serve` takes.
fn logs_file(args: &Args, keys: &Keys) -> Result<String, Failure> {
    let mut text = format!("{HEADER}\n");
    for vkey in &args.logs {
        let origin = vkey.name().to_string();
        let stanza = Stanza { vkey: vkey.clone(), origin, qpd: None, contact: None };
        text.push_str(&format!("\n{stanza}"));
    }
    let refused = || Failure::new("a log is refused");
    let own = log_list::parse(&text, Owner::Operator).map_err(|e| refused().caused_by(e))?;
    Logs::new(&own, &[], keys.verifiers(), &Logs::default()).map_err(|e| refused().caused_by(e))?;
    Ok(text)
}
