//! Posting alerts to an address that somebody else chose: signed, bounded, and never into the private network.
//!
//! ```text
//! POST <url>
//! content-type:    application/json
//! idempotency-key: <hex SHA-256 of the origin>-<index>         one value an alert, however often it comes
//! aip-key:         <vkey of the monitor, type 0x01>
//! aip-signature:   <base64, Ed25519 over the body's bytes>
//!
//! <one JSON object, newline>
//! ```
//! The body is the text of a C2SP note and the signature is that note's, so the key's other uses keep apart.

use std::cell::RefCell;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use reqwest::Url;
use reqwest::blocking::Client;
use service::bounded;
use tlog::encoding::base64;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::note::Note;
use zeroize::Zeroizing;

use crate::Failure;

/// Where alerts are posted, and by whom. Not to be printed: the URL often is a secret.
pub(crate) struct Webhook {
    url: Url,
    key: SignerKey,
    reach: Reach,
    /// The client that connects to these addresses and no others.
    client: RefCell<Option<(Vec<SocketAddr>, Client)>>,
    /// How long an answer may take, head and body each.
    patience: Duration,
    resolve: fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
}

/// Which addresses may be posted to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// `https`, and public addresses only.
    Public,
    /// Also `http`, this machine and the networks around it: the operator has said so.
    Anywhere,
}

impl Webhook {
    /// A webhook at `url` whose posts are signed by `key`.
    pub(crate) fn new(url: &str, key: SignerKey, reach: Reach) -> Result<Self, WebhookError> {
        let url = Url::parse(url).map_err(|_| WebhookError::Url)?;
        let schemes: &[&str] = if reach == Reach::Public { &["https"] } else { &["https", "http"] };
        if !schemes.contains(&url.scheme()) {
            return Err(WebhookError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebhookError::Credentials);
        }
        let webhook = Self {
            url,
            key,
            reach,
            client: RefCell::default(),
            patience: TIMEOUT,
            resolve: |host, port| Ok((host, port).to_socket_addrs()?.collect()),
        };
        // An address that is written in the URL is refused at once, a name when it is resolved.
        if webhook.host().parse::<IpAddr>().is_ok() {
            webhook.addresses()?;
        }
        Ok(webhook)
    }

    /// Who signs, for whoever checks.
    pub(crate) fn vkey(&self) -> String {
        self.key.verifier().to_string()
    }

    /// Posts one line. It counts as delivered if the answer says so (2xx).
    pub(crate) fn post(&self, idempotency_key: &str, body: &[u8]) -> Result<(), WebhookError> {
        let client = self.client()?;
        let request = client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key)
            .header("aip-key", self.vkey())
            .header("aip-signature", self.signature(body))
            .body(body.to_vec());
        let answer = request.send()?;
        let status = answer.status();
        // What it says is of no interest; a little is read so that the connection can be used again.
        let _ = bounded::read(answer, MAX_ANSWER_BYTES, self.patience);
        if status.is_success() { Ok(()) } else { Err(WebhookError::Status(status.as_u16())) }
    }

    /// A client for the addresses that the host has now, each of which is checked. It connects to those and to no
    /// others: a second answer of the name server, a proxy or a redirect would lead elsewhere.
    fn client(&self) -> Result<Client, WebhookError> {
        let addresses = self.addresses()?;
        let mut kept = self.client.borrow_mut();
        if let Some((of, client)) = &*kept
            && *of == addresses
        {
            return Ok(client.clone());
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("aip-monitor/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .no_gzip()
            .connect_timeout(self.patience)
            .timeout(self.patience)
            .resolve_to_addrs(self.host(), &addresses)
            .build()?;
        *kept = Some((addresses, client.clone()));
        Ok(client)
    }

    fn signature(&self, body: &[u8]) -> String {
        let text = String::from_utf8(body.to_vec()).expect("an alert is JSON");
        let mut note = Note::unsigned(text);
        note.sign(&self.key);
        base64(note.signatures()[0].signature())
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The addresses of the host, each of which may be posted to.
    fn addresses(&self) -> Result<Vec<SocketAddr>, WebhookError> {
        let port = self.url.port_or_known_default().ok_or(WebhookError::Url)?;
        let mut addresses = match self.host().parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => (self.resolve)(self.host(), port).map_err(WebhookError::Resolve)?,
        };
        // Name servers turn their answers round.
        addresses.sort_unstable();
        addresses.dedup();
        let private =
            addresses.iter().find(|address| self.reach == Reach::Public && !is_public(address.ip()));
        match private {
            // One is enough: a name that leads here and there leads there.
            Some(private) => Err(WebhookError::Private(private.ip())),
            None if addresses.is_empty() => Err(WebhookError::Resolve(io::ErrorKind::NotFound.into())),
            None => Ok(addresses),
        }
    }
}

/// Whether an address is somewhere on the public internet: none of this machine, the networks around it, or
/// those set aside (RFC 6890 and its registries), nor one that a translator would turn into such.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let set_aside = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !set_aside
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, and the well-known prefix of NAT64: the IPv4 address inside decides.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo, benchmarking, ORCHID, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// The monitor's key in `path`, which is made there (0600) if there is none.
pub(crate) fn key(path: &Path) -> Result<SignerKey, Failure> {
    let cannot = |what: &str| Failure::new(format!("cannot {what} the webhook's key `{}`", path.display()));
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => {
            let key: SignerKey = text.trim_end().parse().map_err(|e| cannot("read").caused_by(KeyFile(e)))?;
            if key.verifier().key().key_type() != KeyType::Ed25519 {
                return Err(cannot("use")
                    .hint("it is an skey of type 0x01 (Ed25519); a witness's key is for cosignatures"));
            }
            Ok(key)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut()).map_err(|e| cannot("make").caused_by(e))?;
            let name = KeyName::new("aip-monitor").expect("a key name");
            let key = SignerKey::from_seed(name, KeyType::Ed25519, &seed);
            let text = Zeroizing::new(format!("{}\n", *key.to_skey()));
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
                .map_err(|e| cannot("write").caused_by(e))?;
            Ok(key)
        }
        Err(e) => Err(cannot("read").caused_by(e)),
    }
}

/// Names the rule, never the text.
#[derive(Debug, thiserror::Error)]
#[error("it is no skey: {0}")]
struct KeyFile(tlog::key::KeyError);

/// Why an alert was not posted.
#[derive(Debug)]
pub(crate) enum WebhookError {
    /// A user or password in the URL.
    Credentials,
    /// No answer.
    Http(reqwest::Error),
    /// An address that is not public.
    Private(IpAddr),
    /// The name has no address.
    Resolve(io::Error),
    /// Another scheme than allowed.
    Scheme(String),
    /// An answer that is not 2xx.
    Status(u16),
    /// No URL.
    Url,
}

impl From<reqwest::Error> for WebhookError {
    fn from(error: reqwest::Error) -> Self {
        // A webhook's URL often is its secret.
        Self::Http(error.without_url())
    }
}

impl std::error::Error for WebhookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http(source) => Some(source),
            Self::Resolve(source) => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials => f.write_str("the webhook's URL carries a user or password"),
            Self::Http(_) => f.write_str("the webhook does not answer"),
            Self::Private(address) => {
                write!(f, "the webhook's address {address} is not on the public internet")
            }
            Self::Resolve(_) => f.write_str("the webhook's host has no address"),
            Self::Scheme(scheme) => write!(f, "the webhook's URL is `{scheme}:`, not `https:`"),
            Self::Status(status) => write!(f, "the webhook answers {status}"),
            Self::Url => f.write_str("the webhook's URL is malformed"),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
