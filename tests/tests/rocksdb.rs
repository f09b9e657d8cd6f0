//! `build/rocksdb.sh` makes the RocksDB that cargo would make, and keeps it so that nothing else is ever linked.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

/// The script, without what its caller's environment asks of it.
fn script(command: &str) -> Command {
    let mut script = Command::new("sh");
    script.arg(root().join("build/rocksdb.sh")).arg(command);
    for name in ["CXX", "CXXFLAGS", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        script.env_remove(name);
    }
    // Where cargo has compiled nothing.
    script.env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"));
    script
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8").trim_end().to_owned()
}

fn lines(command: &str) -> Vec<String> {
    stdout(&script(command).output().expect("sh runs")).lines().map(str::to_owned).collect()
}

/// A program of a few lines of shell.
fn program(path: &Path, text: &str) -> PathBuf {
    fs::write(path, format!("#!/bin/sh\n{text}")).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
    path.to_owned()
}

/// What cargo left of a build script, the newest of the folders `NAME-…`.
fn built(name: &str, file: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().nth(2).expect("target/release").join("build");
    fs::read_dir(folder)
        .expect("cargo's builds")
        .map(|entry| entry.expect("a folder").path())
        .filter(|path| {
            let stem = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            stem.rsplit_once('-').is_some_and(|(stem, _)| stem == name)
        })
        .map(|path| path.join(file))
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
}

// ---- The same RocksDB

/// Asks librocksdb-sys' own build script, with a compiler that only writes down what is asked of it: a line a file.
fn asked_by_cargo(folder: &Path, includes: &[String]) -> Vec<Vec<String>> {
    let of = |name: &str| {
        let found = includes.iter().find(|include| include.contains(name));
        found.unwrap_or_else(|| panic!("{name}: {includes:?}")).trim_start_matches("-I").to_owned()
    };
    let log = folder.join("asked");
    let compiler = program(
        &folder.join("c++"),
        &format!(
            "case \" $* \" in *' -c rocksdb/'* | *' -c build_version.cc '*)\n\
             words=$(printf '%s\\t' \"$@\") && printf '%s\\n' \"$words\" >>'{0}'\n\
             while [ \"$1\" != -o ]; do shift; done && : >\"$2\" && exit\nesac\nexec c++ \"$@\"\n",
            log.display()
        ),
    );
    let rustc = Command::new("rustc").args(["--print", "cfg"]).output().expect("rustc runs");
    let rustc = String::from_utf8(rustc.stdout).expect("UTF-8");
    let features: Vec<&str> =
        rustc.lines().filter_map(|line| line.strip_prefix("target_feature=\"")?.strip_suffix('"')).collect();
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let manifest = Path::new(&of("zstd-sys")).ancestors().nth(3).expect("the registry").to_owned();
    let sources = fs::read_dir(manifest)
        .expect("the registry")
        .map(|entry| entry.expect("a crate").path())
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("librocksdb-sys"))
        })
        .expect("librocksdb-sys beside zstd-sys");
    let output = Command::new(built("librocksdb-sys", "build-script-build").expect("cargo built it"))
        .current_dir(&sources)
        .env("CARGO_MANIFEST_DIR", &sources)
        .env("OUT_DIR", folder)
        .envs([("TARGET", &target), ("HOST", &target)])
        .envs([("OPT_LEVEL", "2"), ("DEBUG", "false"), ("PROFILE", "release"), ("NUM_JOBS", "2")])
        .envs([("CARGO_CFG_TARGET_OS", "linux"), ("CARGO_CFG_TARGET_ENV", "gnu")])
        .envs([("CARGO_CFG_TARGET_ARCH", std::env::consts::ARCH), ("CARGO_CFG_TARGET_POINTER_WIDTH", "64")])
        .env("CARGO_CFG_TARGET_FEATURE", features.join(","))
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .envs([("DEP_LZ4_INCLUDE", of("lz4-sys")), ("DEP_ZSTD_INCLUDE", of("zstd-sys"))])
        .env("CXX", &compiler)
        .envs([("ROCKSDB_COMPILE", "1")])
        .env_remove("CXXFLAGS")
        .output()
        .expect("the build script runs");
    stdout(&output);
    let asked = fs::read_to_string(log).expect("what was asked");
    asked.lines().map(|line| line.split_terminator('\t').map(str::to_owned).collect()).collect()
}

/// In one form: `-I x` is `-Ix`, and what only warns is left out.
fn flags(words: &[String]) -> Vec<String> {
    let mut flags = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-o" | "-c" => drop(words.next()),
            "-I" | "-include" => flags.push(format!("{word}{}", words.next().expect("a value"))),
            word if word.starts_with("-W") => {}
            word => flags.push(word.to_owned()),
        }
    }
    // The order of folders counts, and of nothing else here.
    flags.sort_by_key(|flag| if flag.starts_with("-I") { String::new() } else { flag.clone() });
    flags
}

#[test]
fn units_hold_every_file_of_cargos_build_once_with_its_flags() {
    let ours = lines("flags");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let asked = asked_by_cargo(folder.path(), &ours);
    let files: Vec<String> = asked
        .iter()
        .map(|words| words.iter().skip_while(|word| *word != "-c").nth(1).expect("a file").clone())
        .collect();
    assert!(files.len() > 300, "the compiler was asked");
    for words in &asked {
        assert_eq!(flags(&ours), flags(words));
    }
    let mut theirs: Vec<&str> = files.iter().map(|file| file.trim_start_matches("rocksdb/")).collect();
    let units = lines("units");
    let mut included: Vec<&str> = units.iter().flat_map(|unit| unit.split(' ')).collect();
    theirs.sort_unstable();
    included.sort_unstable();
    assert_eq!(included, theirs);
    assert!(units.len() > 8 && units.len() < 60, "{} units", units.len());
}

#[test]
fn lz4_and_zstd_are_those_that_cargo_links() {
    let ours = lines("flags");
    for (name, headers) in
        [("lz4-sys", &["lz4.h", "lz4hc.h"][..]), ("zstd-sys", &["zstd.h", "zdict.h", "zstd_errors.h"])]
    {
        let include = ours.iter().find(|flag| flag.contains(name)).expect("its headers");
        let theirs = built(name, "out/include").expect("cargo built it");
        for header in headers {
            let ours = fs::read(Path::new(&include[2..]).join(header)).expect("a header");
            assert_eq!(ours, fs::read(theirs.join(header)).expect("a header"), "{name}/{header}");
        }
    }
}

/// What an archive exports. Functions that headers define are left out: where the compiler sees more of their callers, it
/// needs fewer copies.
fn exported(archive: &Path) -> BTreeSet<String> {
    let nm = ["--extern-only", "--defined-only", "--format=posix"];
    let output = Command::new("nm").args(nm).arg(archive).output().expect("nm runs");
    let symbols = stdout(&output);
    let symbols = symbols.lines().filter_map(|line| {
        let (name, rest) = line.split_once(' ')?;
        ["T", "D", "B", "R"].iter().any(|kind| rest.starts_with(kind)).then(|| name.to_owned())
    });
    symbols.collect()
}

/// Runs where there is an archive of each: `./run env` makes ours; `ROCKSDB_COMPILE=1 cargo build --release -p log-server`
/// makes cargo's in this target folder, and `AIP_ROCKSDB_OF_CARGO` names one elsewhere.
#[test]
fn both_builds_export_the_same_symbols() {
    let ours = match std::env::var_os("ROCKSDB_LIB_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => lines("folder").remove(0).into(),
    }
    .join("librocksdb.a");
    if !ours.is_file() {
        return eprintln!("not run: build/rocksdb.sh has made no archive here");
    }
    let ours = exported(&ours);
    assert!(ours.contains("rocksdb_open"), "the symbols are read");
    let others = ["LZ4_", "ZSTD_", "ZDICT_"];
    let second = ours.iter().find(|name| others.iter().any(|other| name.starts_with(other)));
    assert_eq!(second, None, "lz4 and zstd are linked once, by cargo");
    let named = std::env::var_os("AIP_ROCKSDB_OF_CARGO").map(PathBuf::from);
    let Some(theirs) = named.or_else(|| built("librocksdb-sys", "out/librocksdb.a")) else {
        return eprintln!("not run: cargo has compiled no RocksDB here to compare with");
    };
    let theirs = exported(&theirs);
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let added: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && added.is_empty(), "missing: {missing:?}; added: {added:?}");
}

// ---- How it is kept

/// A cache, and a compiler that is quick: what it makes are files of a few bytes.
struct Kitchen(TempDir);

impl Kitchen {
    fn new() -> Self {
        let kitchen = Self(tempfile::tempdir().expect("a temporary folder"));
        kitchen.compiler("");
        kitchen
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Notes each unit; before that, it does what it is told.
    fn compiler(&self, first: &str) {
        let text = "case $1 in --version) echo quick 1 ;; -dumpmachine) echo here ;; *) ".to_owned()
            + first
            + &format!("\necho unit >>'{}'\n", self.path("compiled").display())
            + "while [ \"$1\" != -o ]; do shift; done\necho \"$2\" >\"$2\" ;; esac\n";
        program(&self.path("c++"), &text);
    }

    fn script(&self, command: &str) -> Command {
        let mut script = script(command);
        script.env("AIP_CACHE", self.path("a cache")).env("CARGO_TARGET_DIR", self.path("target"));
        script.env("CXX", self.path("c++")).stdout(Stdio::piped()).stderr(Stdio::piped());
        script
    }

    fn make(&self) -> PathBuf {
        stdout(&self.script("make").output().expect("sh runs")).into()
    }

    /// Units compiled so far.
    fn compiled(&self) -> usize {
        fs::read_to_string(self.path("compiled")).unwrap_or_default().lines().count()
    }
}

fn is_whole(folder: &Path) -> bool {
    let check = ["--check", "--status", "librocksdb.a.sha256"];
    Command::new("sha256sum").args(check).current_dir(folder).status().expect("sha256sum runs").success()
}

#[test]
fn two_at_once_make_one_archive_and_a_third_finds_it() {
    let kitchen = Kitchen::new();
    let units = lines("units").len();
    let both = [0; 2].map(|_| kitchen.script("make").spawn().expect("sh runs"));
    let folders = both.map(|one| stdout(&one.wait_with_output().expect("it ends")));
    assert_eq!(folders[0], folders[1]);
    assert!(is_whole(Path::new(&folders[0])));
    assert_eq!(kitchen.make(), Path::new(&folders[0]));
    assert_eq!(kitchen.compiled(), units, "each unit once");
    let mut kept: Vec<_> =
        fs::read_dir(&folders[0]).expect("it").map(|entry| entry.expect("it").file_name()).collect();
    kept.sort();
    assert_eq!(kept, ["librocksdb.a", "librocksdb.a.sha256"]);
}

#[test]
fn a_damaged_archive_is_noticed_and_made_again() {
    let kitchen = Kitchen::new();
    let folder = kitchen.make();
    let archive = folder.join("librocksdb.a");
    let good = fs::read(&archive).expect("it");
    let units = kitchen.compiled();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (number, damage) in [&flipped[..], &good[..good.len() / 2], &[]].into_iter().enumerate() {
        fs::write(&archive, damage).expect("written");
        assert_eq!(kitchen.make(), folder);
        assert!(is_whole(&folder) && kitchen.compiled() == (number + 2) * units, "damage {number}");
    }
    fs::remove_file(folder.join("librocksdb.a.sha256")).expect("removed");
    kitchen.make();
    assert!(is_whole(&folder) && kitchen.compiled() == 5 * units, "an archive that nothing vouches for");
}

#[test]
fn a_compiler_that_fails_leaves_nothing_and_the_next_one_begins_anew() {
    let kitchen = Kitchen::new();
    kitchen.compiler("case \"$*\" in *07.cc*) echo 'cannot compile' >&2; exit 1 ;; esac");
    let output = kitchen.script("make").output().expect("sh runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("cannot compile") && words.contains("error: RocksDB does not compile"), "{words}");
    let left = fs::read_dir(kitchen.path("a cache/rocksdb")).expect("the cache");
    let left: Vec<_> = left.map(|entry| entry.expect("it").file_name()).collect();
    assert_eq!(left, ["lock"]);
    kitchen.compiler("");
    assert!(is_whole(&kitchen.make()));
}

/// Who could write there could have us link what he likes.
#[test]
fn a_cache_of_others_is_not_used() {
    let kitchen = Kitchen::new();
    let cache = kitchen.path("a cache/rocksdb");
    fs::create_dir_all(&cache).expect("a folder");
    let apart = |why: &str| {
        let output = kitchen.script("folder").output().expect("sh runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(Path::new(&stdout(&output)).starts_with(kitchen.path("target")), "{why}");
        assert!(words.contains("is not writable by us alone"), "{why}: {words}");
    };
    assert!(Path::new(&stdout(&kitchen.script("folder").output().expect("sh runs"))).starts_with(&cache));
    for (folder, mode) in [("a cache/rocksdb", 0o777), ("a cache/rocksdb", 0o1777), ("a cache", 0o777)] {
        let before = kitchen.path(folder).metadata().expect("it").permissions();
        fs::set_permissions(kitchen.path(folder), fs::Permissions::from_mode(mode)).expect("changed");
        apart(&format!("{folder} {mode:o}"));
        fs::set_permissions(kitchen.path(folder), before).expect("changed");
    }
    // Only root gives folders away.
    if std::os::unix::fs::chown(&cache, Some(65534), None).is_ok() {
        apart("another user's");
    }
}

#[test]
fn what_changes_the_archive_changes_its_folder() {
    let kitchen = Kitchen::new();
    let folder = |script: &mut Command| stdout(&script.output().expect("sh runs"));
    let usual = folder(&mut kitchen.script("folder"));
    assert_eq!(usual, folder(&mut kitchen.script("folder")));
    assert_ne!(usual, folder(kitchen.script("folder").env("CXXFLAGS", "-O3")));
    let newer = fs::read_to_string(kitchen.path("c++")).expect("it").replace("quick 1", "quick 2");
    fs::write(kitchen.path("c++"), newer).expect("written");
    assert_ne!(usual, folder(&mut kitchen.script("folder")));
}

/// Another library would have the next cargo by hand compile RocksDB anew.
#[test]
fn what_cargo_has_compiled_stays() {
    let kitchen = Kitchen::new();
    let build = kitchen.path("target/release/build/librocksdb-sys-0123abc");
    fs::create_dir_all(build.join("out")).expect("a folder");
    let lz4 = lines("flags").into_iter().find(|flag| flag.contains("lz4-sys")).expect("its headers");
    let registry = Path::new(&lz4[2..]).ancestors().nth(3).expect("the registry");
    let sources = fs::read_dir(registry).expect("the registry").map(|entry| entry.expect("a crate").path());
    let mut sources: Vec<_> =
        sources.filter(|path| path.display().to_string().contains("/librocksdb-sys-")).collect();
    let said = |library: &Path, sources: &Path| {
        let (library, sources) = (library.display(), sources.display());
        let said = format!("cargo:rustc-link-search=native={library}\ncargo:cargo_manifest_dir={sources}\n");
        fs::write(build.join("output"), said).expect("written");
        kitchen.script("folder").output().expect("sh runs").status.code()
    };
    let sources = sources.pop().expect("librocksdb-sys");
    let out = build.join("out");
    assert_eq!(said(&out, &sources), Some(0), "there is no archive");
    fs::write(out.join("librocksdb.a"), "").expect("written");
    assert_eq!(said(&out, &sources), Some(3));
    assert_eq!(said(&out, Path::new("/registry/librocksdb-sys-0.1.0")), Some(0), "an older RocksDB");
    assert_eq!(said(&kitchen.path("a cache/rocksdb/123"), &sources), Some(0), "cargo has linked ours since");
}

/// The flags are those of one kind of machine: elsewhere cargo must compile RocksDB, and the reason is said.
#[test]
fn another_target_is_left_to_cargo() {
    for (name, value) in [
        ("RUSTFLAGS", "-Ctarget-cpu=native"),
        ("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+avx2"),
        ("CARGO_BUILD_TARGET", "x86_64-unknown-linux-musl"),
        ("ROCKSDB_CXX_STD", "c++23"),
    ] {
        let output = script("folder").env(name, value).output().expect("sh runs");
        assert_eq!(output.status.code(), Some(3), "{name}");
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"RocksDB: "), "{name}");
    }
    assert!(script("folder").env("RUSTFLAGS", "-Dwarnings").output().expect("sh runs").status.success());
}
