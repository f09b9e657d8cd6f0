//! `init`: makes a log. Done once: a lost directory is never replaced by a new tree under the old key.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use service::clock;
use service::durable::{sync_folder, write_new};
use tlog::checkpoint::{Checkpoint, is_origin};
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::merkle::empty_root;
use tlog::{TreeSize, UnixTime};
use zeroize::Zeroizing;

use crate::Failure;
use crate::config::{LogFile, Settings, default_signed_record};
use crate::directory::ML_DSA_KEY;
use crate::signed_record::SignedRecord;
use crate::sigstore_note::SigstoreName;
use crate::store::rocks::RocksStore;
use crate::store::schema::{self, TreeState};
use crate::store::{Batch, Store as _};
use crate::url;
use log_core::log_keys::LogKeys;

/// Make a log: its directory, key, policy and the record of what it signs
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The directory to make
    #[arg(long, env = "AIP_LOG_DIR", value_name = "DIR")]
    pub dir: PathBuf,
    /// The log's name, unique and for ever: a host, and a path if you like, such as `log.example.com/pipelines`
    #[arg(long, env = "AIP_LOG_ORIGIN")]
    pub origin: String,
    /// Where clients reach the log, such as `https://log.example.com`: written into its policy, so that whoever has the
    /// policy finds the log
    #[arg(long, value_name = "URL", value_parser = url::parse)]
    pub url: Option<String>,
    /// The second record of what was signed [default: the directory with `.signed` added]
    #[arg(long, env = "AIP_LOG_SIGNED_RECORD", value_name = "FILE")]
    pub signed_record: Option<PathBuf>,
    /// Make an ML-DSA-44 key as well, which signs every checkpoint beside the Ed25519 key
    #[arg(long)]
    pub ml_dsa: bool,
}

/// Makes the log and answers its vkeys, one a line.
pub fn run(args: &Args) -> Result<String, Failure> {
    if let Err(better) = check_origin(&args.origin) {
        let failure = Failure::new(format!("`{}` cannot be an origin", args.origin.escape_debug()))
            .because("an origin is `host[:port]/path`, in lower case up to the path, without `https://`");
        return Err(match better {
            Some(better) => failure.hint(format!("for this log: --origin {better}")),
            None => failure.hint("such as `log.example.com/pipelines`, at most 255 bytes"),
        });
    }
    let record = args.signed_record.clone().unwrap_or_else(|| default_signed_record(&args.dir));
    if record.exists() {
        return Err(Failure::new(format!(
            "`{}` is there: a log with this record has signed before",
            record.display()
        ))
        .hint("choose another directory, or another --signed-record"));
    }
    let name = KeyName::new(&args.origin).expect("an origin is a key name");
    let generate = |kind| SignerKey::generate(name.clone(), kind, &mut UnwrapErr(SysRng));
    let key = generate(KeyType::Ed25519);
    let ml_dsa = args.ml_dsa.then(|| generate(KeyType::MlDsa44Cosignature));
    let sigstore = SigstoreName::of(&args.origin, key.verifier().key());
    let identity = LogKeys { key, ml_dsa, sigstore };
    let cannot = |e: io::Error| {
        let hint = match e.kind() {
            io::ErrorKind::NotFound => "the folder that it lies in must exist: make that first",
            _ => {
                "the directory must not exist; if an `init` broke off, nothing was signed: remove it and try again"
            }
        };
        Failure::new(format!("cannot make a log in `{}`", args.dir.display())).caused_by(e).hint(hint)
    };
    make_directory(&args.dir, &identity, args.url.as_deref(), args.signed_record.clone()).map_err(cannot)?;
    make_store(&args.dir.join("db")).map_err(|e| Failure::new("cannot make the database").caused_by(e))?;
    // Last: from here on the log may be served, so everything else must be there.
    let checkpoint = Checkpoint::new(&args.origin, TreeSize::EMPTY, empty_root());
    let now = clock::wall().as_secs().max(1);
    let note = identity.sign(&checkpoint, UnixTime::from_secs(now));
    SignedRecord::create(&record, &note.to_string()).map_err(|e| {
        Failure::new(format!("cannot make the signed-checkpoint record `{}`", record.display())).caused_by(e)
    })?;
    if args.url.is_none() {
        eprintln!(
            "hint: `{}` does not say where the log is: before anybody pins it, write its URL behind the key on the `log` \
             line; `init --url` does",
            args.dir.join("policy").display()
        );
    }
    let vkeys: Vec<String> = identity.keys().iter().map(ToString::to_string).collect();
    Ok(vkeys.join("\n"))
}

/// Whether a log may have this origin, which is for ever: stock cosign compares its host. If not, the origin that was
/// probably meant.
fn check_origin(origin: &str) -> Result<(), Option<String>> {
    let is_host = |host: &str| {
        let is_label = |label: &str| {
            let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !label.is_empty()
                && label.bytes().all(is_plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        host.split('.').all(is_label)
    };
    let is_port =
        |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    let is_segment = |segment: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(is_plain)
    };
    let is_good = |origin: &str| {
        let (authority, path) =
            origin.split_once('/').map_or((origin, None), |(host, path)| (host, Some(path)));
        let (host, port) =
            authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        is_origin(origin)
            && is_host(host)
            && port.is_none_or(is_port)
            && path.is_none_or(|path| path.split('/').all(is_segment))
    };
    if is_good(origin) {
        return Ok(());
    }
    let rest = origin.trim();
    let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let rest = rest.trim_end_matches('/');
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let better = format!("{}{path}", authority.to_ascii_lowercase());
    Err(Some(better).filter(|better| is_good(better)))
}

/// Makes the directory of the log `identity`, without a store in it.
pub(crate) fn make_directory(
    dir: &Path,
    identity: &LogKeys,
    url: Option<&str>,
    signed_record: Option<PathBuf>,
) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)?;
    let vkey = identity.key.verifier();
    let file = LogFile {
        origin: identity.origin().to_owned(),
        sigstore: identity.sigstore.clone(),
        settings: Settings { signed_record, ..Settings::default() },
    };
    let toml = toml::to_string(&file).map_err(io::Error::other)?;
    let url = url.map_or(String::new(), |url| format!(" {url}"));
    let policy = format!(
        "# The log `{}`. No witness cosigns it yet: whoever pins this believes the log alone.\n\
         # `log-server policy --witness FILE … --quorum N` names witnesses and a quorum.\n\
         log {vkey}{url}\nquorum none\n",
        identity.origin()
    );
    write_key(&dir.join("log.skey"), &identity.key)?;
    if let Some(key) = &identity.ml_dsa {
        write_key(&dir.join(ML_DSA_KEY), key)?;
    }
    write_new(&dir.join("log.toml"), toml.as_bytes(), 0o644)?;
    write_new(&dir.join("policy"), policy.as_bytes(), 0o644)?;
    let lock = dir.join("lock");
    write_new(&lock, b"", 0o600)?;
    sync_folder(&lock)?;
    sync_folder(dir)
}

/// Makes a store with the empty tree.
pub(crate) fn make_store(path: &Path) -> Result<(), crate::store::StoreError> {
    let mut batch = Batch::default();
    schema::put_tree_state(&mut batch, &TreeState::empty());
    schema::put_seen(&mut batch, clock::wall().as_millis() as u64);
    RocksStore::create(path)?.write(&batch)
}

fn write_key(path: &Path, key: &SignerKey) -> io::Result<()> {
    let text = Zeroizing::new(format!("{}\n", *key.to_skey()));
    write_new(path, text.as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_host_port_and_path() {
        for origin in
            ["log.example.com/pipelines", "log.example.com", "localhost:8080/Log_1~x", "a-b.c/d/e.f"]
        {
            assert_eq!(check_origin(origin), Ok(()), "{origin}");
        }
        for (origin, better) in [
            ("https://log.example.com", Some("log.example.com")),
            ("http://log.example.com:8080/x", Some("log.example.com:8080/x")),
            ("user@log.example.com/x", Some("log.example.com/x")),
            ("https://user:pass@Log.Example.com/X/", Some("log.example.com/X")),
            ("log.example.com/", Some("log.example.com")),
            ("LOG.example.com/x", Some("log.example.com/x")),
            ("log.example.com/x?y=1", Some("log.example.com/x")),
            ("log.example.com/x#y", Some("log.example.com/x")),
            (" log.example.com/x ", Some("log.example.com/x")),
            ("log example.com", None),
            ("log.example.com//x", None),
            ("log.example.com/../x", None),
            ("log.example.com:0/x", None),
            ("log.example.com:080/x", None),
            ("log.example.com:99999", None),
            ("[::1]:8080/x", None),
            ("log..example.com", None),
            (".example.com", None),
            ("-a.example.com/x", None),
            ("/x", None),
            (":80/x", None),
            ("a+b/x", None),
            ("l\u{f6}g.example.com", None),
            ("a\nb/x", None),
            ("", None),
        ] {
            assert_eq!(check_origin(origin), Err(better.map(str::to_owned)), "{origin}");
        }
    }
}
