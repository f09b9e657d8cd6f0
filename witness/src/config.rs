//! Settings: flags beat environment, environment beats the directory's `witness.toml`.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use service::bodies::BodyLimits;
use service::connections::ConnectionLimits;
use service::span::Pause;

use crate::http::SMALL_BODY_BYTES;

/// The directory's `witness.toml`: what `init` fixed, and settings the operator may add.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WitnessFile {
    /// The witness's name, which its keys bear. Never to be changed: everything signed says it.
    pub name: String,
    /// The files of all keys that sign, below the directory. To change keys, add the new one beside the old one, and take
    /// the old one out once no policy needs it any more.
    pub keys: Vec<PathBuf>,
    /// Lists of logs (`logs/v0`), files or `https` URLs, which only ever add logs.
    #[serde(default)]
    pub lists: Vec<String>,
    /// Settings, as the flags of `serve`.
    #[serde(default)]
    pub settings: Settings,
}

impl WitnessFile {
    /// Reads `witness.toml` of a directory.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        let path = dir.join("witness.toml");
        let text = read(&path)?;
        toml::from_str(&text).map_err(|e| ConfigError::Malformed { path, cause: e.to_string() })
    }
}

/// Settings of `serve`, each with a default.
#[derive(clap::Args, Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Address and port to serve on [default: 127.0.0.1:8081]
    #[arg(long, env = "AIP_WITNESS_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Address and port of the operator's own: health and metrics, which then are served there only
    #[arg(long, env = "AIP_WITNESS_OPERATOR_LISTEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_listen: Option<SocketAddr>,
    /// URL under which others reach this witness, as it stands in their policies
    #[arg(long, env = "AIP_WITNESS_URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How often lists of logs are read again [default: 1h]
    #[arg(long, env = "AIP_WITNESS_LIST_INTERVAL", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_interval: Option<Pause>,
    /// Requests an address may send a minute, 0 for no limit [default: 60000]
    #[arg(long, env = "AIP_WITNESS_ADDRESS_REQUESTS_PER_MINUTE", value_name = "REQUESTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_requests_per_minute: Option<u32>,
    /// Network of a reverse proxy whose X-Forwarded-For is believed (can be repeated)
    #[arg(
        long = "trusted-proxy",
        env = "AIP_WITNESS_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// Free disk space below which nothing is cosigned [default: 268435456]
    #[arg(long, env = "AIP_WITNESS_DISK_FLOOR_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_floor_bytes: Option<u64>,
    /// Most connections at a time [default: 8192]
    #[arg(long, env = "AIP_WITNESS_MAX_CONNECTIONS", value_name = "CONNECTIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<NonZeroU32>,
    /// Most connections of one address at a time, and never more than a quarter of those that are left; 0 for no limit; trusted proxies have none [default: 2048]
    #[arg(long, env = "AIP_WITNESS_ADDRESS_CONNECTIONS", value_name = "CONNECTIONS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_connections: Option<usize>,
    /// Most bytes of request bodies at a time, beside the first 16384 of each [default: 67108864]
    #[arg(long, env = "AIP_WITNESS_MAX_BODIES_BYTES", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bodies_bytes: Option<usize>,
    /// How long a client may take to send its request head [default: 1m]
    #[arg(long, env = "AIP_WITNESS_HEADER_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_timeout: Option<Pause>,
    /// How long a body may take before it has to bring 16 KiB a second [default: 10s]
    #[arg(long, env = "AIP_WITNESS_BODY_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_timeout: Option<Pause>,
    /// How long a client may leave an answer unread [default: 30s]
    #[arg(long, env = "AIP_WITNESS_ANSWER_TIMEOUT", value_name = "DURATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_timeout: Option<Pause>,
    /// Go on although the clock is behind the last cosignature: a log's time stands still until it is reached
    #[arg(long, env = "AIP_WITNESS_ACCEPT_CLOCK")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accept_clock: bool,
}

impl Settings {
    /// These settings, with `file`'s where there is none.
    #[must_use]
    pub fn or(self, file: Self) -> Self {
        let proxies =
            if self.trusted_proxies.is_empty() { file.trusted_proxies } else { self.trusted_proxies };
        Self {
            listen: self.listen.or(file.listen),
            operator_listen: self.operator_listen.or(file.operator_listen),
            url: self.url.or(file.url),
            list_interval: self.list_interval.or(file.list_interval),
            address_requests_per_minute: self
                .address_requests_per_minute
                .or(file.address_requests_per_minute),
            trusted_proxies: proxies,
            disk_floor_bytes: self.disk_floor_bytes.or(file.disk_floor_bytes),
            max_connections: self.max_connections.or(file.max_connections),
            address_connections: self.address_connections.or(file.address_connections),
            max_bodies_bytes: self.max_bodies_bytes.or(file.max_bodies_bytes),
            header_timeout: self.header_timeout.or(file.header_timeout),
            body_timeout: self.body_timeout.or(file.body_timeout),
            answer_timeout: self.answer_timeout.or(file.answer_timeout),
            accept_clock: self.accept_clock || file.accept_clock,
        }
    }

    /// The bounds of connections, of which so many fit.
    pub fn connection_limits(&self, fit: impl FnOnce(usize) -> usize) -> ConnectionLimits {
        ConnectionLimits {
            connections: fit(self.max_connections.map_or(8_192, |most| most.get() as usize)),
            of_one_address: self.address_connections.unwrap_or(2_048),
            header_timeout: self.header_timeout.map_or(Duration::from_secs(60), Pause::get),
            answer_timeout: self.answer_timeout.map_or(Duration::from_secs(30), Pause::get),
        }
    }

    /// The bounds of request bodies.
    pub fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            small: SMALL_BODY_BYTES,
            together: self.max_bodies_bytes.unwrap_or(64 << 20),
            timeout: self.body_timeout.map_or(Duration::from_secs(10), Pause::get),
        }
    }
}

/// Reads a whole file of text.
pub(crate) fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

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
    /// A file that cannot be read.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
