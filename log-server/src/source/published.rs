//! A log as it is published (c2sp.org/tlog-tiles): under a URL, or in a folder of the same layout.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tlog::key::VerifierKey;
use tlog::tile::{TILE_WIDTH, Tile, parse_hashes};
use tlog::{Hash, TreeSize, bundle};

use super::{Entries, Opened, Source, damaged, open_note};
use crate::Failure;
use crate::store::schema::{StoredEnvelope, Tombstone};

/// Where the files of a published log are.
pub(crate) enum Place {
    /// A folder.
    Folder(PathBuf),
    /// Under this URL, which does not end in `/`.
    Url {
        /// Follows no redirects.
        http: reqwest::blocking::Client,
        /// The log's prefix.
        url: String,
    },
}

impl Place {
    /// The log under a URL.
    pub(crate) fn url(url: &str) -> Result<Self, Failure> {
        // A second call finds the first one's provider: both are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::blocking::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Failure::new("cannot make an HTTP client").caused_by(e))?;
        Ok(Self::Url { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// Reads a file, which must be there and have at most `limit` bytes.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        match self.find(path, limit)? {
            Found::Here(bytes) => Ok(bytes),
            Found::Missing { answer, .. } => Err(Failure::no(format!("damaged: {path}: {answer}"))),
        }
    }

    fn find(&self, path: &str, limit: u64) -> Result<Found, Failure> {
        let mut bytes = Vec::new();
        match self {
            Self::Folder(folder) => {
                let cannot = |e: io::Error| {
                    Failure::new(format!("cannot read `{}`", folder.join(path).display())).caused_by(e)
                };
                // A pipe that somebody put there would be waited for, for ever.
                let open = |path: &Path| match path.metadata()?.is_file() {
                    true => File::open(path),
                    false => Err(io::Error::other("it is not a regular file")),
                };
                let file = match open(&folder.join(path)) {
                    Ok(file) => file,
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        return Ok(Found::Missing {
                            answer: "there is no such file".into(),
                            erased: None,
                            ours: false,
                        });
                    }
                    Err(e) => return Err(cannot(e)),
                };
                file.take(limit + 1).read_to_end(&mut bytes).map_err(cannot)?;
            }
            Self::Url { http, url } => {
                let url = format!("{url}/{path}");
                let cannot = || Failure::new(format!("cannot read `{url}`"));
                let response =
                    http.get(&url).timeout(REQUEST_TIMEOUT).send().map_err(|e| cannot().caused_by(e))?;
                let status = response.status();
                let is_missing = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
                // An object store says 403 of what is not there to those who may not list it.
                if is_missing || status == StatusCode::FORBIDDEN {
                    let kind = response.headers().get(CONTENT_TYPE);
                    let ours = is_missing
                        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
                    let erased = (status == StatusCode::GONE && ours).then(|| reason(response)).flatten();
                    return Ok(Found::Missing { answer: format!("the log answers {status}"), erased, ours });
                }
                if !status.is_success() {
                    return Err(cannot().because(format!("the log answers {status}")));
                }
                response.take(limit + 1).read_to_end(&mut bytes).map_err(|e| cannot().caused_by(e))?;
            }
        }
        if bytes.len() as u64 > limit {
            return Err(Failure::no(format!("damaged: {path}: it has more than {limit} bytes")));
        }
        Ok(Found::Here(bytes))
    }

    /// A tile or a bundle. Of a partial one that is gone the full one is there.
    fn read_widest(&self, tile: Tile, path: fn(Tile) -> String, limit: u64) -> Result<Vec<u8>, Failure> {
        match self.find(&path(tile), limit)? {
            Found::Here(bytes) => Ok(bytes),
            Found::Missing { .. } => self.read(&path(tile.full()), limit),
        }
    }
}

enum Found {
    Here(Vec<u8>),
    Missing {
        /// In words.
        answer: String,
        /// Why an envelope was erased, if that is what the answer says.
        erased: Option<String>,
        /// Whether one of our logs answered.
        ours: bool,
    },
}

/// The reason in the problem that an erased envelope is answered with.
fn reason(response: reqwest::blocking::Response) -> Option<String> {
    let mut text = String::new();
    response.take(MAX_REASON_BYTES).read_to_string(&mut text).ok()?;
    let problem: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(problem["detail"].as_str().unwrap_or_default().to_owned())
}

/// The tree of the published checkpoint.
struct Published {
    place: Place,
    size: TreeSize,
    /// Waiting for answers is no work: more of them than cores.
    fetchers: rayon::ThreadPool,
    keeps_envelopes: bool,
}

/// Opens a published log.
pub(crate) fn open(place: Place, key: &VerifierKey) -> Result<Opened, Failure> {
    let (held, note) = open_note(&place.read("checkpoint", MAX_TEXT_BYTES)?, key)
        .map_err(|e| damaged("the checkpoint", e))?;
    let fetchers = rayon::ThreadPoolBuilder::new().num_threads(FETCHERS).build();
    let fetchers = fetchers.map_err(|e| Failure::new("cannot start threads").caused_by(e))?;
    // Of an envelope that cannot be, one of our logs says so in its own words.
    let probe = place.find(&envelope_path(&Hash::of(b"")), MAX_ENVELOPE_BYTES)?;
    let keeps_envelopes = matches!(probe, Found::Missing { ours: true, .. });
    if !keeps_envelopes {
        tracing::warn!("the source keeps no envelopes: entries come back without them");
    }
    let source = Box::new(Published { place, size: held.size, fetchers, keeps_envelopes });
    Ok(Opened { source, held, published: Some(note) })
}

impl Published {
    /// The bundle of a level-0 tile: as many leaves as the tree has there.
    fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let width = (self.size.get() - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
        let tile = Tile::new(0, index, width).expect("a bundle of the tree");
        let bytes = self.place.read_widest(tile, Tile::entries_path, MAX_BUNDLE_BYTES)?;
        let leaves = bundle::parse(&bytes).map_err(|e| damaged(&tile.entries_path(), e))?;
        if leaves.len() < usize::from(width) {
            let cause = format!("it has {} entries, not {width}", leaves.len());
            return Err(damaged(&tile.entries_path(), cause));
        }
        Ok(leaves.into_iter().take(usize::from(width)).map(<[u8]>::to_vec).collect())
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, Failure> {
        Ok(match self.place.find(&envelope_path(hash), MAX_ENVELOPE_BYTES)? {
            Found::Here(bytes) if Hash::of(&bytes) == *hash => Some(StoredEnvelope::Present(bytes)),
            Found::Here(_) => {
                tracing::warn!(%hash, "the source's envelope is not that of its hash: left out");
                None
            }
            // When it was erased is not said; that it was is kept.
            Found::Missing { erased: Some(reason), .. } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let erased_at = now.map_or(0, |since| since.as_millis() as u64);
                Some(StoredEnvelope::Erased(Tombstone { reason, erased_at }))
            }
            Found::Missing { erased: None, ours: true, .. } => None,
            // An error in between must not look like an entry that was logged by hash.
            Found::Missing { answer, .. } => {
                return Err(Failure::new(format!("cannot read the envelope {hash}: {answer}")));
            }
        })
    }
}

impl Source for Published {
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Failure> {
        let bytes = self.place.read_widest(tile, Tile::path, MAX_TILE_BYTES)?;
        let hashes = bytes.get(..usize::from(tile.width()) * Hash::BYTES);
        let hashes = hashes.and_then(|bytes| parse_hashes(tile, bytes));
        hashes.ok_or_else(|| damaged(&tile.path(), format!("it has {} bytes", bytes.len())))
    }
}

impl Entries for Published {
    fn leaves(&self, from: u64, to: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let first = from / TILE_WIDTH;
        let bundles: Result<Vec<_>, Failure> = self.fetchers.install(|| {
            (first..to.div_ceil(TILE_WIDTH)).into_par_iter().map(|index| self.bundle(index)).collect()
        });
        let skip = (from - first * TILE_WIDTH) as usize;
        Ok(bundles?.into_iter().flatten().skip(skip).take((to - from) as usize).collect())
    }

    fn envelopes(&self, hashes: &[Hash]) -> Result<Vec<Option<StoredEnvelope>>, Failure> {
        if !self.keeps_envelopes {
            return Ok(vec![None; hashes.len()]);
        }
        self.fetchers.install(|| hashes.par_iter().map(|hash| self.envelope(hash)).collect())
    }
}

fn envelope_path(hash: &Hash) -> String {
    format!("api/v1/envelopes/{hash}")
}

/// The longest checkpoint and policy that are read.
pub(crate) const MAX_TEXT_BYTES: u64 = 1 << 20;

/// 256 entries of 65,535 bytes, each behind its length.
pub(crate) const MAX_BUNDLE_BYTES: u64 = 256 * (65_535 + 2);

/// A full tile.
pub(crate) const MAX_TILE_BYTES: u64 = TILE_WIDTH * Hash::BYTES as u64;

/// The longest envelope that is read: the longest body that a log takes, unless its operator allowed more.
const MAX_ENVELOPE_BYTES: u64 = 16 << 20;

const MAX_REASON_BYTES: u64 = 16 << 10;

const FETCHERS: usize = 16;

/// From the connection to the last byte: a source that sends a byte now and then is none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    /// What an answer with this status and type is.
    fn found(status: &'static str, kind: &'static str) -> Result<Found, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let place = Place::url(&format!("http://{}", listener.local_addr().expect("an address")));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 4096]).expect("a request");
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
            );
            stream.write_all(answer.as_bytes()).expect("sent");
        });
        let found = place.unwrap_or_else(|e| panic!("{e}")).find("x", 10);
        server.join().expect("it answered");
        found
    }

    /// An envelope that a busy server did not hand over is not one that was never published, and a tile that it
    /// did not hand over is not damaged.
    #[test]
    fn an_answer_that_says_nothing_about_what_is_there_is_an_error() {
        let problem = "application/problem+json";
        for status in ["302 Found", "429 Too Many Requests", "500 Error", "503 Unavailable"] {
            assert!(found(status, problem).is_err(), "{status}");
        }
        let is = |found| match found {
            Ok(Found::Missing { erased, ours, .. }) => (erased.is_some(), ours),
            _ => panic!("it is missing"),
        };
        assert_eq!(is(found("404 Not Found", problem)), (false, true));
        assert_eq!(is(found("404 Not Found", "text/html")), (false, false));
        assert_eq!(is(found("403 Forbidden", problem)), (false, false));
        assert_eq!(is(found("410 Gone", problem)), (true, true));
        assert!(matches!(found("200 OK", "text/plain"), Ok(Found::Here(bytes)) if bytes == b"{}"));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
        assert!(pipe.expect("mkfifo runs").success());
        let place = Place::Folder(folder.path().to_owned());
        assert!(place.find("pipe", 10).is_err());
        assert!(place.find(".", 10).is_err());
        assert!(matches!(place.find("none", 10), Ok(Found::Missing { .. })));
    }
}
