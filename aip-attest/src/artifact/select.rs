//! From arguments to files: named ones, folders, globs; and from those to artifacts.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use walkdir::{DirEntry, WalkDir};

use super::{Artifact, Place, is_side_file, parse_digest};
use crate::report::{Failure, Result};

/// The artifacts that `arguments` name, in their order, each file once; those of a folder or a glob sorted
/// by path. An argument that names nothing is an error.
pub fn select<S: AsRef<OsStr>>(arguments: &[S]) -> Result<Vec<Artifact>> {
    select_each(arguments).into_iter().map(|selected| selected.map_err(|(_, failure)| failure)).collect()
}

/// As [`select`], for who goes on after what cannot be taken: an argument that names nothing, or a file of a
/// folder or a glob; and why.
pub fn select_each<S: AsRef<OsStr>>(arguments: &[S]) -> Vec<Result<Artifact, (String, Failure)>> {
    let mut seen = BTreeSet::new();
    let mut selected = Vec::new();
    for argument in arguments {
        let argument = argument.as_ref();
        match select_one(argument) {
            Err(failure) => selected.push(Err((argument.to_string_lossy().into_owned(), failure))),
            Ok(artifacts) => {
                let mut is_new = |artifact: &Artifact| {
                    seen.insert(artifact.path().map_or_else(|| PathBuf::from(&artifact.name), lexical))
                };
                selected.extend(
                    artifacts.into_iter().filter(|artifact| artifact.as_ref().map_or(true, &mut is_new)),
                );
            }
        }
    }
    without_side_files(selected, &seen)
}

/// Leaves out receipts that stand beside their artifacts: a shell that expands `dist/*` names both, and means
/// what the glob itself would take. A receipt that is named without its artifact is an artifact.
fn without_side_files(
    selected: Vec<Result<Artifact, (String, Failure)>>,
    paths: &BTreeSet<PathBuf>,
) -> Vec<Result<Artifact, (String, Failure)>> {
    let is_beside = |artifact: &Artifact| {
        let path = artifact.path().map(lexical)?;
        let name = path.file_name()?.to_str().filter(|name| is_side_file(name))?;
        let mut stems = name.match_indices('.').map(|(at, _)| &name[..at]);
        Some(stems.any(|stem| !stem.is_empty() && paths.contains(&path.with_file_name(stem))))
    };
    let is_wanted = |selected: &Result<Artifact, _>| {
        !selected.as_ref().is_ok_and(|artifact| is_beside(artifact) == Some(true))
    };
    selected.into_iter().filter(is_wanted).collect()
}

fn select_one(argument: &OsStr) -> Result<Vec<Result<Artifact, (String, Failure)>>> {
    match expand(argument, |name| !is_side_file(name))? {
        Expanded::Named(path) => {
            let name = Path::new(path.file_name().unwrap_or_default());
            Ok(vec![Ok(artifact(&path, name)?)])
        }
        Expanded::Found(files) if files.is_empty() => {
            let text = argument.to_string_lossy();
            let hint = match text.contains('\\') {
                true => "folders are written with `/`: a backslash makes the next character a plain one",
                false => "receipts and other files of this program do not count",
            };
            Err(Failure::new(format!("nothing matches `{text}`")).hint(hint))
        }
        Expanded::Found(files) => {
            let artifact = |file: FoundFile| {
                artifact(&file.path, &file.name)
                    .map_err(|failure| (file.path.to_string_lossy().into_owned(), failure))
            };
            Ok(files.into_iter().map(|file| file.and_then(artifact)).collect())
        }
        Expanded::Missing => {
            let text = argument.to_string_lossy();
            let Some(sha256) = parse_digest(&text) else {
                let failure = Failure::new(format!("there is no file `{text}`"));
                if text.starts_with("sha256:") {
                    return Err(failure.hint("a digest is sha256: and 64 lower-case hex digits"));
                }
                return Err(failure.hint("a folder, a glob such as 'dist/*', or several names work too"));
            };
            let place = Place::Elsewhere { sha256, path: None };
            Ok(vec![Ok(Artifact { place, name: text.into_owned() })])
        }
    }
}

/// What an argument names.
pub(super) enum Expanded {
    /// A file that exists under this very name.
    Named(PathBuf),
    /// The files of a folder or a glob, sorted by path. Of one that cannot be taken, its path and why: it must
    /// not keep the others from being looked at.
    Found(Vec<Result<FoundFile, (String, Failure)>>),
    /// No file, folder or glob.
    Missing,
}

/// A file of a folder or a glob.
pub(super) struct FoundFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its path below the folder, or below the fixed part of the glob.
    pub(super) name: PathBuf,
}

/// Looks an argument up. Of folders and globs only the files are taken whose names `takes` likes.
pub(super) fn expand(argument: &OsStr, takes: impl Fn(&str) -> bool) -> Result<Expanded> {
    let path = Path::new(argument);
    if argument.is_empty() {
        return Err(Failure::new("a file's name is empty"));
    }
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(Expanded::Found(walk(path, None, takes))),
        Ok(metadata) => {
            refuse_special(path, &metadata)?;
            return Ok(Expanded::Named(path.to_path_buf()));
        }
        Err(_) if fs::symlink_metadata(path).is_ok() => {
            return Err(Failure::new(format!("`{}` is a link that leads nowhere", path.display())));
        }
        Err(_) => {}
    }
    match argument.to_str() {
        Some(text) if text.contains(GLOB_CHARACTERS) => {
            let pattern = Pattern::parse(text)?;
            let is_folder = pattern.root.is_dir();
            Ok(Expanded::Found(if is_folder {
                walk(&pattern.root, Some(&pattern), takes)
            } else {
                Vec::new()
            }))
        }
        _ => Ok(Expanded::Missing),
    }
}

/// A glob: the folder that its fixed part names, and what matches below it.
struct Pattern {
    root: PathBuf,
    matcher: GlobMatcher,
    /// The parts that begin with a dot: a hidden name has to match one of them.
    dotted: Vec<GlobMatcher>,
    /// How deep a match can lie, unless `**` makes it any depth. What is in a folder that matches lies deeper.
    max_depth: usize,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let fixed = parts.iter().take_while(|part| !part.contains(GLOB_CHARACTERS)).count();
        let root = match parts[..fixed].join("/") {
            root if fixed > 0 && root.is_empty() => "/".to_owned(),
            root => root,
        };
        let glob = parts[fixed..].join("/");
        let compile = |glob: &str| {
            let glob = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
            let glob =
                glob.map_err(|error| Failure::new(format!("`{text}` is no glob")).because(error.kind()))?;
            Ok(glob.compile_matcher())
        };
        let dotted = parts[fixed..].iter().filter(|part| part.starts_with('.'));
        // Braces may hold a `/`, so that only a glob without them has a depth.
        let bounded = !glob.contains("**") && !glob.contains('{');
        Ok(Self {
            root: if root.is_empty() { PathBuf::from(".") } else { PathBuf::from(root) },
            matcher: compile(&glob)?,
            dotted: dotted.map(|part| compile(part)).collect::<Result<_>>()?,
            max_depth: if bounded { parts.len() - fixed } else { usize::MAX },
        })
    }

    /// Whether the glob takes `path`, which is relative to the root: it matches, or a folder above it does.
    fn takes(&self, path: &Path) -> bool {
        let is_allowed = |part: Component<'_>| {
            let name = Path::new(part.as_os_str());
            !name.to_string_lossy().starts_with('.') || self.dotted.iter().any(|glob| glob.is_match(name))
        };
        let mut inside = path.ancestors().take_while(|path| !path.as_os_str().is_empty());
        path.components().all(is_allowed) && inside.any(|path| self.matcher.is_match(path))
    }

    /// Whether something that the glob takes can lie in the folder `path`.
    fn enters(&self, path: &Path) -> bool {
        path.components().count() < self.max_depth || self.takes(path)
    }
}

/// The files below `root`, all or those that `pattern` takes, sorted by path.
///
/// Links to files are followed. A folder is not entered by a link: its files would be signed under names
/// that are not theirs. A glob passes over it as over any folder; who asked for everything is told.
fn walk(
    root: &Path,
    pattern: Option<&Pattern>,
    takes: impl Fn(&str) -> bool,
) -> Vec<Result<FoundFile, (String, Failure)>> {
    let mut found = Vec::new();
    let below = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_path_buf();
    let is_entered = |entry: &DirEntry| {
        let is_wanted = |pattern: &Pattern| pattern.enters(&below(entry.path()));
        !entry.file_type().is_dir() || (!is_internal(entry) && pattern.is_none_or(is_wanted))
    };
    for entry in WalkDir::new(root).sort_by_file_name().into_iter().filter_entry(is_entered) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let folder = without_dot(error.path().unwrap_or(root));
                let failure = Failure::new(format!("cannot read the folder `{}`", folder.display()));
                found.push(Err((folder.to_string_lossy().into_owned(), failure.caused_by(error))));
                continue;
            }
        };
        let relative = below(entry.path());
        if entry.file_type().is_dir() || pattern.is_some_and(|pattern| !pattern.takes(&relative)) {
            continue;
        }
        if !takes(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = without_dot(entry.path());
        match is_taken(&path, pattern) {
            Ok(true) => found.push(Ok(FoundFile { path, name: relative })),
            Ok(false) => {}
            Err(failure) => found.push(Err((path.to_string_lossy().into_owned(), failure))),
        }
    }
    found
}

/// Whether a file, or what a link leads to, is one to take.
fn is_taken(path: &Path, pattern: Option<&Pattern>) -> Result<bool> {
    let metadata = fs::metadata(path)
        .map_err(|error| Failure::new(format!("cannot read `{}`", path.display())).caused_by(error))?;
    match (metadata.is_dir(), pattern) {
        (true, Some(_)) => Ok(false),
        (true, None) => Err(Failure::new(format!("`{}` is a link to a folder", path.display()))
            .hint("name the folder itself, so that its files have their own names, or use a glob")),
        (false, _) => refuse_special(path, &metadata).map(|()| true),
    }
}

/// Whether a folder is the repository's own, or ours.
fn is_internal(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    entry.depth() > 0 && (name == ".git" || name == ".aip")
}

fn artifact(path: &Path, relative: &Path) -> Result<Artifact> {
    let parts = relative.components().map(|part| part.as_os_str().to_str());
    let name = parts.collect::<Option<Vec<&str>>>().map(|parts| parts.join("/"));
    let name = name.ok_or_else(|| {
        Failure::new(format!("the name of `{}` is not UTF-8", path.display()))
            .because("a statement names its artifacts in UTF-8")
            .hint("rename the file, or use --subject NAME@sha256:HEX")
    })?;
    Ok(Artifact { place: Place::File(path.to_path_buf()), name })
}

/// A pipe or device has no content to come back to.
fn refuse_special(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` is not a regular file", path.display())))
}

fn without_dot(path: &Path) -> PathBuf {
    path.strip_prefix(".").map_or_else(|_| path.to_path_buf(), Path::to_path_buf)
}

/// `a/./b` and `a/b` are one file; `..` is left as it is, since links may stand before it.
fn lexical(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

const GLOB_CHARACTERS: [char; 4] = ['*', '?', '[', '{'];

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, file).expect("written");
        }
        dir
    }

    fn names(dir: &Path, argument: &str) -> std::result::Result<Vec<String>, String> {
        let found = select(&[dir.join(argument)]).map_err(|failure| failure.one_line())?;
        Ok(found.into_iter().map(|artifact| artifact.name).collect())
    }

    #[test]
    fn globs_and_folders_take_what_they_say() {
        let dir = tree(&[
            "dist/a b.whl",
            "dist/app",
            "dist/app.receipt.json",
            "dist/.hidden",
            "dist/.aip-signature.json",
            "dist/lib/x.so",
            "dist/lib/deep/y.so",
            "dist/.git/config",
            "dist/.cfg/z.so",
            "dist/[odd]",
        ]);
        for (argument, want) in [
            // As in a shell, a folder that matches stands for what is in it.
            ("dist/*", vec!["[odd]", "a b.whl", "app", "lib/deep/y.so", "lib/x.so"]),
            ("*", vec!["dist/[odd]", "dist/a b.whl", "dist/app", "dist/lib/deep/y.so", "dist/lib/x.so"]),
            ("dist/l?b", vec!["lib/deep/y.so", "lib/x.so"]),
            ("dist/*.whl", vec!["a b.whl"]),
            ("dist/.*", vec![".cfg/z.so", ".hidden"]),
            ("dist/**/*.so", vec!["lib/deep/y.so", "lib/x.so"]),
            ("dist/lib/*", vec!["deep/y.so", "x.so"]),
            ("dist/lib/*.so", vec!["x.so"]),
            ("dist/**", vec!["[odd]", "a b.whl", "app", "lib/deep/y.so", "lib/x.so"]),
            ("dist/{app,lib/x.so}", vec!["app", "lib/x.so"]),
            ("dist/[ab]*", vec!["a b.whl", "app"]),
            ("dist/[odd]", vec!["[odd]"]),
            ("*/lib/*.so", vec!["dist/lib/x.so"]),
            ("dist/app.receipt.json", vec!["app.receipt.json"]),
            ("dist", vec![".cfg/z.so", ".hidden", "[odd]", "a b.whl", "app", "lib/deep/y.so", "lib/x.so"]),
        ] {
            let mut got = names(dir.path(), argument).expect(argument);
            got.sort();
            assert_eq!(got, want, "{argument}");
        }
    }

    /// `dist/*` without quotes, once receipts lie there.
    #[test]
    fn a_receipt_that_is_named_with_its_artifact_is_no_artifact() {
        let dir =
            tree(&["app", "app.receipt.json", "app.cyclonedx.receipt.json", "b.receipt.json", "app.txt"]);
        let select = |names: &[&str]| {
            let found = select(&names.iter().map(|name| dir.path().join(name)).collect::<Vec<_>>());
            found.expect("found").into_iter().map(|artifact| artifact.name).collect::<Vec<_>>()
        };
        let all = ["app", "app.cyclonedx.receipt.json", "app.receipt.json", "app.txt", "b.receipt.json"];
        assert_eq!(select(&all), ["app", "app.txt", "b.receipt.json"]);
        assert_eq!(select(&["app.receipt.json", "./app"]), ["app"]);
        assert_eq!(select(&["app.receipt.json"]), ["app.receipt.json"]);
    }

    #[test]
    fn an_argument_that_names_nothing_is_an_error() {
        let dir = tree(&["dist/app.receipt.json"]);
        for (argument, want) in [
            ("dist/nothing", "there is no file"),
            ("dist/*", "nothing matches"),
            ("none/**/*", "nothing matches"),
            ("dist", "nothing matches"),
            ("dist/[", "is no glob"),
        ] {
            let error = names(dir.path(), argument).expect_err(argument);
            assert!(error.contains(want), "{argument}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_named_twice_is_taken_once() {
        let dir = tree(&["a", "b"]);
        let twice = ["a", "./a", "*", "b"].map(|name| dir.path().join(name));
        assert_eq!(select(&twice).expect("found").len(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_special_files() {
        use std::os::unix::fs::symlink;
        let dir = tree(&["d/file", "e/other"]);
        symlink("file", dir.path().join("d/link")).expect("a link");
        assert_eq!(names(dir.path(), "d/*").expect("found"), ["file", "link"]);
        symlink("nowhere", dir.path().join("dangling")).expect("a link");
        assert!(names(dir.path(), "dangling").expect_err("refused").contains("leads nowhere"));
        symlink("../e", dir.path().join("d/folder")).expect("a link");
        assert!(names(dir.path(), "d").expect_err("refused").contains("is a link to a folder"));
        assert!(select(&["/dev/null"]).expect_err("refused").one_line().contains("not a regular file"));
    }
}
