//! What of the files that are named is ours: receipts and manifests of the others.
//!
//! A file is passed over if it parses as a receipt, or as the Python original's manifest, and names a file that is
//! selected, by path and digest. In the folder of receipts, whatever parses as a receipt is. A name alone says
//! nothing: whoever is judged chooses names. But what is not called `.json` is read as something else, such as a page
//! or a script, and judged: a receipt has room for any text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use attestation::receipt::{self, Receipt};
use serde::Deserialize;
use tlog::Hash;

use super::called_on;
use crate::bounded_file;
use crate::platform::Platform;
use crate::receipt_file;

/// What a receipt or a manifest says about files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Claims {
    kind: Kind,
    /// Names and digests.
    files: Vec<(String, Hash)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Receipt,
    Manifest,
}

/// A file with its digest, and what it says about others.
pub(super) struct Candidate<'a> {
    pub(super) path: &'a Path,
    pub(super) sha256: Hash,
    pub(super) claims: Option<Claims>,
}

/// Where receipts are, and are about to be.
pub(super) struct Places<'a> {
    /// The folder of receipts.
    pub(super) folder: Option<&'a Path>,
    /// The receipt of a file that is about to be written: the one that lies there is replaced, whatever digest it
    /// names.
    pub(super) replaced: &'a dyn Fn(&Path) -> Option<PathBuf>,
    /// A path as it is told from the working folder.
    pub(super) relative: &'a dyn Fn(&Path) -> PathBuf,
}

/// Tells of each file whether it is passed over.
pub(super) fn passed_over(files: &[Candidate<'_>], places: &Places<'_>) -> Vec<bool> {
    let paths: Vec<PathBuf> = files.iter().map(|file| (places.relative)(file.path)).collect();
    let mut by_digest: BTreeMap<Hash, Vec<usize>> = BTreeMap::new();
    let mut by_place: BTreeMap<PathBuf, Vec<usize>> = BTreeMap::new();
    for (at, file) in files.iter().enumerate() {
        by_digest.entry(file.sha256).or_default().push(at);
        if let Some(place) = (places.replaced)(file.path) {
            by_place.entry((places.relative)(&place)).or_default().push(at);
        }
    }
    let folder = places.folder.map(|folder| (places.relative)(folder));
    let none = Vec::new();
    // Who names whom. A file cannot name itself, nor one that names it: it would hold its own digest.
    let names: Vec<Vec<usize>> = files
        .iter()
        .enumerate()
        .map(|(at, file)| {
            let Some(claims) = file.claims.as_ref().filter(|_| is_json(file.path)) else { return Vec::new() };
            let named = claims.files.iter().flat_map(|(name, sha256)| {
                let same = by_digest.get(sha256).unwrap_or(&none).iter();
                same.filter(|other| claims.name(&paths[at], name, &paths[**other]))
            });
            // Kept beside the place, it was there before.
            let beside = || by_place.get(&receipt_file::place_of_kept(&paths[at])?);
            let replaced = by_place.get(&paths[at]).or_else(beside).filter(|_| claims.kind == Kind::Receipt);
            let all = named.chain(replaced.unwrap_or(&none)).copied();
            all.filter(|other| *other != at).collect()
        })
        .collect();
    let is_shelved = |at: usize| {
        let is_receipt = files[at].claims.as_ref().is_some_and(|claims| claims.kind == Kind::Receipt);
        is_receipt && folder.as_ref().is_some_and(|folder| paths[at].starts_with(folder))
    };
    decide(&names, is_shelved)
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

/// A file is passed over if it names one that is not. What names nobody decides first.
fn decide(names: &[Vec<usize>], is_shelved: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut named_by: Vec<Vec<usize>> = vec![Vec::new(); names.len()];
    for (at, named) in names.iter().enumerate() {
        named.iter().for_each(|other| named_by[*other].push(at));
    }
    let mut open: Vec<usize> = names.iter().map(Vec::len).collect();
    let mut verdicts: Vec<Option<bool>> = (0..names.len()).map(|at| is_shelved(at).then_some(true)).collect();
    let decided = |at: &usize| verdicts[*at].is_some() || open[*at] == 0;
    let mut todo: Vec<usize> = (0..names.len()).filter(decided).collect();
    while let Some(at) = todo.pop() {
        let is_passed = *verdicts[at].get_or_insert(false);
        for other in &named_by[at] {
            if verdicts[*other].is_some() {
                continue;
            }
            open[*other] -= 1;
            if !is_passed {
                verdicts[*other] = Some(true);
                todo.push(*other);
            } else if open[*other] == 0 {
                todo.push(*other);
            }
        }
    }
    verdicts.into_iter().map(|verdict| verdict == Some(true)).collect()
}

impl Claims {
    /// What the file at `path` says, if it is a receipt or a manifest.
    pub(super) fn read(path: &Path) -> Option<Self> {
        // A pipe that somebody put there would be waited for, for ever.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let mut start = [0; 64];
        let read = File::open(path).ok()?.read(&mut start).ok()?;
        if start[..read].trim_ascii_start().first() != Some(&b'{') {
            return None;
        }
        let bytes = bounded_file::read_found(path, receipt_file::MAX_BYTES).ok()?;
        if path.file_name().is_some_and(|name| name == MANIFEST) {
            return Self::of_manifest(&bytes);
        }
        // Most JSON is no receipt, and told so without being taken apart.
        let media_type = attestation::receipt::MEDIA_TYPE.as_bytes();
        bytes.windows(media_type.len()).any(|part| part == media_type).then(|| Self::of_receipt(&bytes))?
    }

    fn of_receipt(bytes: &[u8]) -> Option<Self> {
        let receipt = Receipt::parse(bytes).ok()?;
        let subjects = receipt.statement().subjects().iter();
        let files = subjects.map(|subject| (subject.name.clone(), subject.sha256)).collect();
        Some(Self { kind: Kind::Receipt, files })
    }

    fn of_manifest(bytes: &[u8]) -> Option<Self> {
        let manifest: Manifest = serde_json::from_slice(bytes).ok()?;
        let file = |(name, hex): (String, String)| Some((name, Hash::from_hex(&hex)?));
        Some(Self {
            kind: Kind::Manifest,
            files: manifest.files.into_iter().map(file).collect::<Option<_>>()?,
        })
    }

    /// Whether `name`, in the file at `at`, is a name of the file at `path`.
    fn name(&self, at: &Path, name: &str, path: &Path) -> bool {
        match self.kind {
            Kind::Receipt => is_named(name, path),
            // Its names are paths below its own folder.
            Kind::Manifest => at.with_file_name(name) == path,
        }
    }
}

/// `.aip-signature.json`, as the Python original writes it. Its signature proves nothing, and is not looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "version")]
    _version: String,
    #[serde(rename = "did")]
    _did: String,
    #[serde(rename = "public_key")]
    _public_key: String,
    #[serde(rename = "timestamp")]
    _timestamp: u64,
    files: BTreeMap<String, String>,
    #[serde(rename = "signature")]
    _signature: String,
}

const MANIFEST: &str = ".aip-signature.json";

/// Whether a subject's name is one of the file at `path`, by the rule for receipts ([`receipt::is_named`]).
pub(crate) fn is_named(subject: &str, path: &Path) -> bool {
    is_named_on(Platform::HERE, subject, &path.to_string_lossy())
}

fn is_named_on(platform: Platform, subject: &str, path: &str) -> bool {
    match platform {
        Platform::Unix => receipt::is_named(subject, &called_on(platform, path)),
        // The path of what is elsewhere is written as folders can be called there: `localhost%3A5000\app`.
        Platform::Windows => {
            let allowed = |text: &str| receipt_file::allowed_path(Path::new(&*platform.with_slashes(text)));
            let called = |text: &str| called_on(platform, &allowed(text).to_string_lossy());
            receipt::is_named(&called(subject), &called(path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_path_or_the_end_of_one() {
        for (subject, path, want) in [
            ("app", "app", true),
            ("app", "dist/app", true),
            ("dist/app", "app", true),
            ("dist/app", "/w/dist/app", true),
            ("app", "./app", true),
            ("app", "myapp", false),
            ("myapp", "app", false),
            ("a/app", "b/app", false),
            ("app", "app/x", false),
            ("", "app", false),
            ("/", "app", false),
        ] {
            for platform in [Platform::Unix, Platform::Windows] {
                assert_eq!(is_named_on(platform, subject, path), want, "{subject} {path}");
            }
        }
    }

    /// A file below a folder was held to have another name than its receipt says.
    #[test]
    fn a_path_of_windows_ends_in_a_name_of_a_statement() {
        for (subject, path, want) in [
            ("app.exe", r"dist\app.exe", true),
            ("dist/app.exe", r"C:\w\dist\app.exe", true),
            ("w/dist/app.exe", r"dist\app.exe", true),
            ("app.exe", r".\app.exe", true),
            ("localhost:5000/app:1", r"localhost%3A5000\app:1", true),
            ("/", r"dist\app.exe", false),
            ("app.exe", r"dist\myapp.exe", false),
            ("a/app.exe", r"b\app.exe", false),
        ] {
            assert_eq!(is_named_on(Platform::Windows, subject, path), want, "{subject} {path}");
        }
        assert!(!is_named_on(Platform::Unix, "app", r"dist\app"));
    }

    #[test]
    fn only_what_names_a_selected_file_is_passed_over() {
        let hash = |text: &str| Hash::of(text.as_bytes());
        let claims = |name: &str, of: &str| {
            Some(Claims { kind: Kind::Receipt, files: vec![(name.to_owned(), hash(of))] })
        };
        let files = [
            ("d/app", "app", None),
            ("d/app.receipt.json", "r1", claims("app", "app")),
            // Of a receipt that is passed over: nobody selected it.
            ("d/app.receipt.json.receipt.json", "r2", claims("app.receipt.json", "r1")),
            // And of that one, which is selected.
            ("d/x.json", "r3", claims("d/app.receipt.json.receipt.json", "r2")),
            ("d/old.receipt.json", "r4", claims("app", "an older app")),
            // A page may hold a receipt, and more.
            ("d/x.html", "r8", claims("app", "app")),
            ("d/other.receipt.json", "r5", claims("other", "app")),
            ("d/rep.receipt.json", "r6", claims("rep", "an older rep")),
            ("d/rep.0123456789abcdef.receipt.json", "r8", claims("rep", "a first rep")),
            ("d/rep", "rep", None),
            ("r/lost.receipt.json", "r7", claims("lost", "lost")),
            ("r/evil", "evil", None),
        ];
        let files: Vec<Candidate<'_>> = files
            .iter()
            .map(|(path, content, claims)| Candidate {
                path: Path::new(path),
                sha256: hash(content),
                claims: claims.clone(),
            })
            .collect();
        let passed = |replaced: &dyn Fn(&Path) -> Option<PathBuf>| {
            let relative = &|path: &Path| path.to_path_buf();
            let passed = passed_over(&files, &Places { folder: Some(Path::new("r")), replaced, relative });
            files
                .iter()
                .zip(passed)
                .filter(|(_, passed)| *passed)
                .map(|(file, _)| file.path)
                .collect::<Vec<_>>()
        };
        let judged = ["d/app.receipt.json", "d/x.json", "r/lost.receipt.json"].map(Path::new);
        assert_eq!(passed(&|_| None), judged);
        let mut signed = judged.to_vec();
        signed.insert(2, Path::new("d/rep.receipt.json"));
        signed.insert(3, Path::new("d/rep.0123456789abcdef.receipt.json"));
        let place = |path: &Path| Some(PathBuf::from(format!("{}.receipt.json", path.display())));
        assert_eq!(passed(&place), signed);
    }

    /// Each names the next: decided from the end, without a deep stack.
    #[test]
    fn a_long_chain_is_decided() {
        let names: Vec<Vec<usize>> =
            (0..100_001).map(|at| if at < 100_000 { vec![at + 1] } else { vec![] }).collect();
        let passed = decide(&names, |_| false);
        assert_eq!((passed[100_000], passed[99_999], passed[99_998], passed[0]), (false, true, false, false));
    }
}
