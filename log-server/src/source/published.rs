//! A log as it is published (c2sp.org/tlog-tiles): under a URL, or in a folder of the same layout.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use log_client::{Client, MAX_ENVELOPE_BYTES, Request, Until, is_missing};
use rayon::prelude::*;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tlog::key::VerifierKey;
use tlog::reader::Want;
use tlog::tile::{TILE_WIDTH, Tile};
use tlog::{Hash, TreeSize};

use super::{Entries, Opened, Source, damaged, open_note};
use crate::Failure;
use log_core::port::{StoredEnvelope, Tombstone};

/// Where the files of a published log are.
pub(crate) enum Place {
    /// A folder.
    Folder(PathBuf),
    /// Under a URL.
    Url(Client),
}

impl Place {
    /// The log under a URL.
    pub(crate) fn url(url: &str) -> Result<Self, Failure> {
        let client = Client::new(url, concat!("log-server/", env!("CARGO_PKG_VERSION")));
        client.map(Self::Url).map_err(|e| Failure::new("cannot make an HTTP client").caused_by(e))
    }

    /// Reads a file, which must be there and have at most `limit` bytes.
    pub(crate) fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, Failure> {
        match self.find(path, limit)? {
            Found::Here(bytes) => Ok(bytes),
            Found::Missing { answer, .. } => Err(Failure::no(format!("damaged: {path}: {answer}"))),
        }
    }

    /// The bytes of a file of at most `limit` bytes; `None` if it is not there.
    pub(crate) fn find_bytes(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        Ok(match self.find(path, limit)? {
            Found::Here(bytes) => Some(bytes),
            Found::Missing { .. } => None,
        })
    }

    fn find(&self, path: &str, limit: usize) -> Result<Found, Failure> {
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
                file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
            }
            Self::Url(client) => {
                let answer = client.send(Request::get(path, limit + 1), Until::LeastRate);
                let answer =
                    answer.map_err(|e| Failure::new(format!("cannot read `{path}`")).caused_by(e))?;
                let status = answer.status;
                if is_missing(status) {
                    let kind = answer.headers.get(CONTENT_TYPE);
                    let ours = status != StatusCode::FORBIDDEN
                        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
                    let erased = (status == StatusCode::GONE && ours).then(|| reason(&answer.body)).flatten();
                    return Ok(Found::Missing { answer: format!("the log answers {status}"), erased, ours });
                }
                if !status.is_success() {
                    return Err(Failure::new(format!("cannot read `{}`", answer.url))
                        .because(format!("the log answers {status}")));
                }
                bytes = answer.body;
            }
        }
        if bytes.len() > limit {
            return Err(Failure::no(format!("damaged: {path}: it has more than {limit} bytes")));
        }
        Ok(Found::Here(bytes))
    }

    /// The bytes of a tile or a bundle, which must be there. If a partial one is gone, the beginning of the full one.
    pub(crate) fn fetch(&self, want: Want) -> Result<Vec<u8>, Failure> {
        match (self.find(&want.path(), want.max_bytes())?, want.instead()) {
            (Found::Here(bytes), _) => Ok(bytes),
            (Found::Missing { .. }, Some(full)) => Ok(want.cut(self.read(&full.path(), full.max_bytes())?)),
            (Found::Missing { answer, .. }, None) => {
                Err(Failure::no(format!("damaged: {}: {answer}", want.path())))
            }
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
fn reason(body: &[u8]) -> Option<String> {
    let problem: serde_json::Value =
        serde_json::from_slice(body.get(..MAX_REASON_BYTES).unwrap_or(body)).ok()?;
    Some(problem["detail"].as_str().unwrap_or_default().to_owned())
}

/// The tree of the published checkpoint.
struct PublishedTree {
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
    // Only a log of ours answers in this form about an envelope that cannot exist.
    let probe = place.find(&envelope_path(&Hash::of(b"")), MAX_ENVELOPE_BYTES)?;
    let keeps_envelopes = matches!(probe, Found::Missing { ours: true, .. });
    if !keeps_envelopes {
        tracing::warn!("the source keeps no envelopes: entries come back without them");
    }
    let source = Box::new(PublishedTree { place, size: held.size, fetchers, keeps_envelopes });
    Ok(Opened { source, held, published: Some(note) })
}

impl PublishedTree {
    /// The bundle of a level-0 tile: as many leaves as the tree has there.
    fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, Failure> {
        let width = (self.size.get() - index * TILE_WIDTH).min(TILE_WIDTH) as u16;
        let tile = Tile::new(0, index, width).expect("a bundle of the tree");
        let want = Want::entries(tile);
        let bytes = self.place.fetch(want)?;
        let entries = want.parse_entries(&bytes);
        let entries =
            entries.ok_or_else(|| damaged(&want.path(), format!("it is no bundle of {width} entries")))?;
        Ok(entries.into_iter().map(<[u8]>::to_vec).collect())
    }

    fn envelope(&self, hash: &Hash) -> Result<Option<StoredEnvelope>, Failure> {
        Ok(match self.place.find(&envelope_path(hash), MAX_ENVELOPE_BYTES)? {
            Found::Here(bytes) if Hash::of(&bytes) == *hash => Some(StoredEnvelope::Present(bytes)),
            Found::Here(_) => {
                tracing::warn!(%hash, "the source's envelope is not that of its hash: left out");
                None
            }
            // The answer does not say when it was erased.
            Found::Missing { erased: Some(reason), .. } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let erased_at = now.map_or(0, |since| since.as_millis() as u64);
                Some(StoredEnvelope::Erased(Tombstone { reason, erased_at }))
            }
            Found::Missing { erased: None, ours: true, .. } => None,
            // A passing error must not make this look like an entry that was logged by hash.
            Found::Missing { answer, .. } => {
                return Err(Failure::new(format!("cannot read the envelope {hash}: {answer}")));
            }
        })
    }
}

impl Source for PublishedTree {
    fn tile(&self, tile: Tile) -> Result<Vec<Hash>, Failure> {
        let want = Want::hashes(tile);
        let bytes = self.place.fetch(want)?;
        want.parse_hashes(&bytes)
            .ok_or_else(|| damaged(&want.path(), format!("it has {} bytes", bytes.len())))
    }
}

impl Entries for PublishedTree {
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
pub(crate) const MAX_TEXT_BYTES: usize = 1 << 20;

const MAX_REASON_BYTES: usize = 16 << 10;

/// Waiting for answers is no work: more of them than cores.
pub(crate) const FETCHERS: usize = 16;

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
