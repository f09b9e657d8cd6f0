//! Settings: flags beat environment, environment beats the directory's `log.toml`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use service::bodies::BodyLimits;
use service::connections::ConnectionLimits;
use service::span::{Pause, Span};
use tlog::policy::Policy;

use crate::admit::EntryLimits;
use crate::http::body::SMALL_BODY_BYTES;
use crate::pool::PoolLimits;
use crate::relay::MailSettings;
use crate::sequencer::Rhythm;
use crate::sigstore_note::SigstoreName;

/// The directory's `log.toml`: what `init` fixed, and settings the operator may add.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogFile {
    /// The log's unique name. Never to be changed: everything signed says it.
    pub origin: String,
    /// The log's name for stock cosign. Never to be changed.
    pub sigstore: SigstoreName,
    /// Settings, as the flags of `serve`.
    #[serde(default)]
    pub settings: Settings,
}

impl LogFile {
    /// Reads `log.toml` of a directory.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join("log.toml");
        let text = fs::read_to_string(&path)
            .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
        toml::from_str(&text).map_err(|e| ConfigError::Malformed { path, cause: e.to_string() })
    }
}

/// Settings of `serve`, each with a default.
#[derive(clap::Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Address and port to serve on [default: 127.0.0.1:8080]
    #[arg(long, env = "AIP_LOG_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Address and port of the operator's own: health and metrics, which then are served there only
    #[arg(long, env = "AIP_LOG_OPERATOR_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_listen: Option<SocketAddr>,
    /// The second record of what was signed [default: the directory with `.signed` added]
    #[arg(long, env = "AIP_LOG_SIGNED_RECORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_record: Option<PathBuf>,
    /// Who may submit: `open`, `allow-list` or `token` [default: open]
    #[arg(long, env = "AIP_LOG_ADMISSION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission: Option<Admission>,
    /// File of DIDs for `allow-list`, one a line
    #[arg(long, env = "AIP_LOG_ALLOW_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_file: Option<PathBuf>,
    /// File of SHA-256 digests (hex) of tokens for `token`, one a line
    #[arg(long, env = "AIP_LOG_TOKEN_FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// How long a round waits for more entries [default: 50ms]
    #[arg(long, env = "AIP_LOG_ROUND_INTERVAL", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_interval: Option<Span>,
    /// Waiting entries that start a round early [default: 256]
    #[arg(long, env = "AIP_LOG_ROUND_EARLY", value_name = "ENTRIES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_early: Option<usize>,
    /// Most entries of one round [default: 4096]
    #[arg(long, env = "AIP_LOG_ROUND_ENTRIES", value_name = "ENTRIES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_entries: Option<usize>,
    /// Most entries that wait [default: 16384]
    #[arg(long, env = "AIP_LOG_POOL_ENTRIES", value_name = "ENTRIES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_entries: Option<usize>,
    /// Most bytes of entries that wait [default: 268435456]
    #[arg(long, env = "AIP_LOG_POOL_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_bytes: Option<usize>,
    /// Least time between two published checkpoints [default: 0s, with witnesses 1s]
    #[arg(long, env = "AIP_LOG_PUBLISH_INTERVAL", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_interval: Option<Span>,
    /// How long a witness may take, and a checkpoint may lack its quorum before submitters are told and the witnesses asked again; at least 100ms [default: 3s]
    #[arg(long, env = "AIP_LOG_WITNESS_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness_timeout: Option<Pause>,
    /// How often an idle log has its checkpoint cosigned anew; at least 100ms [default: 10m]
    #[arg(long, env = "AIP_LOG_RECOSIGN_INTERVAL", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recosign_interval: Option<Pause>,
    /// Publish without the quorum after the witness timeout: verifiers that ask for it still refuse the receipts
    #[arg(long, env = "AIP_LOG_FAIL_OPEN")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fail_open: bool,
    /// How long a submission waits for its publication [default: 10s]
    #[arg(long, env = "AIP_LOG_DEADLINE", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Pause>,
    /// Longest leaf, at most 65535 once it has its time [default: 65507]
    #[arg(long, env = "AIP_LOG_MAX_LEAF_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_leaf_bytes: Option<usize>,
    /// Longest envelope, 16777216 at most: nobody reads longer ones [default: 1048576]
    #[arg(long, env = "AIP_LOG_MAX_ENVELOPE_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_envelope_bytes: Option<usize>,
    /// Most entries of one request [default: 1000]
    #[arg(long, env = "AIP_LOG_MAX_REQUEST_ENTRIES", value_name = "ENTRIES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_request_entries: Option<usize>,
    /// Longest request body [default: 16777216]
    #[arg(long, env = "AIP_LOG_MAX_BODY_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<usize>,
    /// Most bytes of request bodies at a time, beside the first 65536 of each; an address has no more than a quarter of what it leaves for others, so at least five times the longest body [default: 268435456]
    #[arg(long, env = "AIP_LOG_MAX_BODIES_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bodies_bytes: Option<usize>,
    /// Most bytes of answers that wait to be read, beside those up to 65536; an address has no more than a quarter of what it leaves for others [default: 268435456]
    #[arg(long, env = "AIP_LOG_MAX_UNREAD_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unread_bytes: Option<usize>,
    /// Entries a client address may send a minute, 0 for no limit [default: 60000]
    #[arg(long, env = "AIP_LOG_ADDRESS_ENTRIES_PER_MINUTE", value_name = "ENTRIES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_entries_per_minute: Option<u32>,
    /// Entries a DID may log a minute, 0 for no limit [default: 6000]
    #[arg(long, env = "AIP_LOG_DID_ENTRIES_PER_MINUTE", value_name = "ENTRIES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_entries_per_minute: Option<u32>,
    /// Failure and equivocation reports a client address may send a day, 0 for no limit [default: 1000]
    #[arg(long, env = "AIP_LOG_ADDRESS_REPORTS_PER_DAY", value_name = "REPORTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_reports_per_day: Option<u32>,
    /// Failure and equivocation reports a DID may log a day, 0 for no limit [default: 100]
    #[arg(long, env = "AIP_LOG_DID_REPORTS_PER_DAY", value_name = "REPORTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_reports_per_day: Option<u32>,
    /// Bytes that all together may log a day (UTC), 0 for no limit [default: 10737418240]
    #[arg(long, env = "AIP_LOG_BYTES_PER_DAY", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
    /// Bytes that a client address may log a day (UTC), 0 for no limit [default: an eighth of those of all]
    #[arg(long, env = "AIP_LOG_ADDRESS_BYTES_PER_DAY", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_bytes_per_day: Option<u64>,
    /// Network of a reverse proxy whose X-Forwarded-For is believed (can be repeated)
    #[arg(
        long = "trusted-proxy",
        env = "AIP_LOG_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// Free disk space below which nothing is taken [default: 1073741824]
    #[arg(long, env = "AIP_LOG_DISK_FLOOR_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_floor_bytes: Option<u64>,
    /// Most connections at a time [default: 4096]
    #[arg(long, env = "AIP_LOG_MAX_CONNECTIONS", value_name = "CONNECTIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// Most connections of one address at a time, and never more than a quarter of those that are left; 0 for no limit; trusted proxies have none [default: 1024]
    #[arg(long, env = "AIP_LOG_ADDRESS_CONNECTIONS", value_name = "CONNECTIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_connections: Option<usize>,
    /// How long a client may take to send its request head [default: 10s]
    #[arg(long, env = "AIP_LOG_HEADER_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_timeout: Option<Pause>,
    /// How long a body may take before it has to bring 16 KiB a second [default: 30s]
    #[arg(long, env = "AIP_LOG_BODY_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_timeout: Option<Pause>,
    /// How long a client may leave an answer unread [default: 30s]
    #[arg(long, env = "AIP_LOG_ANSWER_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_timeout: Option<Pause>,
    /// Relay messages between DIDs: `true` or `false` [default: true]
    #[arg(long, env = "AIP_LOG_MESSAGES", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<bool>,
    /// Answer clients of Python `aip` 0.5, too: their keys and their mail, of which nothing is logged
    #[arg(long, env = "AIP_LOG_AIP_V1")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub aip_v1: bool,
    /// Budgets of the relay
    #[command(flatten)]
    #[serde(skip_serializing_if = "MailSettings::is_default")]
    pub mail: MailSettings,
    /// Go on although the last logged entry or the witnesses contradict the clock: log time never goes back
    #[arg(long, env = "AIP_LOG_ACCEPT_CLOCK")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accept_clock: bool,
}

/// Who may submit.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// Everyone, within the budgets.
    #[default]
    Open,
    /// The DIDs of `allow-file`.
    AllowList,
    /// Whoever shows a token of `token-file`.
    Token,
}

impl Settings {
    /// These settings, with `file`'s where there is none.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        Self {
            listen: self.listen.or(file.listen),
            operator_listen: self.operator_listen.or(file.operator_listen),
            signed_record: self.signed_record.or(file.signed_record),
            admission: self.admission.or(file.admission),
            allow_file: self.allow_file.or(file.allow_file),
            token_file: self.token_file.or(file.token_file),
            round_interval: self.round_interval.or(file.round_interval),
            round_early: self.round_early.or(file.round_early),
            round_entries: self.round_entries.or(file.round_entries),
            pool_entries: self.pool_entries.or(file.pool_entries),
            pool_bytes: self.pool_bytes.or(file.pool_bytes),
            publish_interval: self.publish_interval.or(file.publish_interval),
            witness_timeout: self.witness_timeout.or(file.witness_timeout),
            recosign_interval: self.recosign_interval.or(file.recosign_interval),
            fail_open: self.fail_open || file.fail_open,
            deadline: self.deadline.or(file.deadline),
            max_leaf_bytes: self.max_leaf_bytes.or(file.max_leaf_bytes),
            max_envelope_bytes: self.max_envelope_bytes.or(file.max_envelope_bytes),
            max_request_entries: self.max_request_entries.or(file.max_request_entries),
            max_body_bytes: self.max_body_bytes.or(file.max_body_bytes),
            max_bodies_bytes: self.max_bodies_bytes.or(file.max_bodies_bytes),
            max_unread_bytes: self.max_unread_bytes.or(file.max_unread_bytes),
            address_entries_per_minute: self.address_entries_per_minute.or(file.address_entries_per_minute),
            did_entries_per_minute: self.did_entries_per_minute.or(file.did_entries_per_minute),
            address_reports_per_day: self.address_reports_per_day.or(file.address_reports_per_day),
            did_reports_per_day: self.did_reports_per_day.or(file.did_reports_per_day),
            bytes_per_day: self.bytes_per_day.or(file.bytes_per_day),
            address_bytes_per_day: self.address_bytes_per_day.or(file.address_bytes_per_day),
            trusted_proxies: if self.trusted_proxies.is_empty() {
                file.trusted_proxies
            } else {
                self.trusted_proxies
            },
            disk_floor_bytes: self.disk_floor_bytes.or(file.disk_floor_bytes),
            max_connections: self.max_connections.or(file.max_connections),
            address_connections: self.address_connections.or(file.address_connections),
            header_timeout: self.header_timeout.or(file.header_timeout),
            body_timeout: self.body_timeout.or(file.body_timeout),
            answer_timeout: self.answer_timeout.or(file.answer_timeout),
            messages: self.messages.or(file.messages),
            aip_v1: self.aip_v1 || file.aip_v1,
            mail: self.mail.or(file.mail),
            accept_clock: self.accept_clock || file.accept_clock,
        }
    }

    /// The names of the settings that others have another value for, without those that are read again at SIGHUP.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let table = |settings: &Self| flat(toml::Table::try_from(settings).unwrap_or_default());
        let (mine, others) = (table(self), table(other));
        let names = mine.keys().chain(others.keys().filter(|name| !mine.contains_key(*name)));
        let read_again = ["admission", "allow-file", "token-file"];
        names
            .filter(|name| mine.get(*name) != others.get(*name) && !read_again.contains(&name.as_str()))
            .cloned()
            .collect()
    }

    /// Where the second record of what was signed is.
    pub fn signed_record_path(&self, dir: &Path) -> PathBuf {
        self.signed_record.clone().unwrap_or_else(|| default_signed_record(dir))
    }

    /// The bounds of one entry.
    pub fn entry_limits(&self) -> EntryLimits {
        let longest = attestation::entry::MAX_PENDING_LEAF_BYTES;
        EntryLimits {
            leaf_bytes: self.max_leaf_bytes.unwrap_or(longest).min(longest),
            envelope_bytes: self.max_envelope_bytes.unwrap_or(1 << 20).min(log_client::MAX_ENVELOPE_BYTES),
        }
    }

    /// When checkpoints are signed and cosigned.
    pub fn rhythm(&self, policy: &Policy) -> Rhythm {
        let interval = if policy.witnesses().is_empty() { 0 } else { 1 };
        Rhythm {
            publish_interval: self.publish_interval.map_or(Duration::from_secs(interval), |span| span.0),
            quorum_timeout: self
                .witness_timeout
                .map_or(Duration::from_secs(3), |pause| pause.get().max(LEAST_PAUSE)),
            recosign_interval: self
                .recosign_interval
                .map_or(Duration::from_secs(600), |pause| pause.get().max(LEAST_PAUSE)),
            fail_open: self.fail_open,
        }
    }

    /// The bounds of connections, of which so many fit.
    pub fn connection_limits(&self, fit: impl FnOnce(usize) -> usize) -> ConnectionLimits {
        ConnectionLimits {
            connections: fit(self.max_connections.unwrap_or(4_096)),
            of_one_address: self.address_connections.unwrap_or(1_024),
            header_timeout: self.header_timeout.map_or(Duration::from_secs(10), Pause::get),
            answer_timeout: self.answer_timeout.map_or(Duration::from_secs(30), Pause::get),
        }
    }

    /// The longest body of a request, bytes.
    pub fn body_bytes(&self) -> usize {
        self.max_body_bytes.unwrap_or(16 << 20)
    }

    /// Refuses settings that contradict each other.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (longest, together) = (self.body_bytes(), self.body_limits().together);
        if together < longest.saturating_mul(5) {
            return Err(ConfigError::TooFewBodies { longest, together });
        }
        Ok(())
    }

    /// The bounds of request bodies.
    pub fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            small: SMALL_BODY_BYTES,
            together: self.max_bodies_bytes.unwrap_or(256 << 20),
            timeout: self.body_timeout.map_or(Duration::from_secs(30), Pause::get),
        }
    }

    /// The bounds of the pool.
    pub fn pool_limits(&self) -> PoolLimits {
        PoolLimits {
            entries: self.pool_entries.unwrap_or(16_384),
            bytes: self.pool_bytes.unwrap_or(256 << 20),
            round_entries: self.round_entries.unwrap_or(4_096).max(1),
            round_early: self.round_early.unwrap_or(256).max(1),
            round_interval: self.round_interval.map_or(Duration::from_millis(50), |span| span.0),
        }
    }
}

/// Settings by the names of their flags: those of a table within have its name before theirs.
fn flat(settings: toml::Table) -> toml::Table {
    let flat = |(name, value)| match value {
        toml::Value::Table(inner) => {
            inner.into_iter().map(|(within, value)| (format!("{name}-{within}"), value)).collect()
        }
        value => vec![(name, value)],
    };
    settings.into_iter().flat_map(flat).collect()
}

/// `<dir>.signed`, beside the directory: a copy of the directory does not bring it along.
pub fn default_signed_record(dir: &Path) -> PathBuf {
    let mut path = dir.components().as_path().as_os_str().to_owned();
    path.push(".signed");
    PathBuf::from(path)
}

/// The non-empty lines of a file that are no `#` comments.
pub fn read_lines(path: &Path) -> Result<Vec<String>, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

/// Witnesses are asked again no sooner.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// Why the settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that is not what it should be.
    #[error("`{}` is malformed: {cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A setting that another one needs.
    #[error("`{0}` is needed with the admission `{1}`")]
    Missing(&'static str, &'static str),
    /// The longest body would never fit.
    #[error(
        "`max-bodies-bytes` is {together}, and must be at least five times `max-body-bytes`, {longest}: a client's bodies \
         have a fifth of it at most"
    )]
    TooFewBodies {
        /// The longest body.
        longest: usize,
        /// What all bodies together may have.
        together: usize,
    },
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
