//! The action's install step: whose program gets the key. Nothing in the checkout may choose it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::action::{key, make_executable, with, world};
use crate::runner::{Run, root, run_from};
use crate::world::{PROGRAM, World, did};

/// A machine: folders outside of the checkout, one with a cargo, one for the tool cache.
struct Machine(TempDir);

impl Machine {
    /// With a `cargo` that does as rustup's does: a toolchain file of the folder it starts in says which cargo runs,
    /// unless `RUSTUP_TOOLCHAIN` does. The real one says how it was called and "builds" by copying.
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        let log = machine.path("cargo.log");
        let cargo = format!(
            "#!/bin/sh\n\
             if [ -z \"${{RUSTUP_TOOLCHAIN:-}}\" ] && [ -f rust-toolchain.toml ]; then\n\
             exec \"$(sed -n 's/^path = \"\\(.*\\)\"/\\1/p' rust-toolchain.toml)/bin/cargo\" \"$@\"\n\
             fi\n\
             {{ echo \"$PWD: $*\"; env; }} >> '{}'\n\
             while [ \"$1\" != --root ]; do shift; done\n\
             mkdir -p \"$2/bin\" && cp '{PROGRAM}' \"$2/bin/aip-attest\"\n",
            log.display(),
        );
        machine.program("tools/cargo", &cargo);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("a folder").join(name)
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        write_program(&self.path(name), script)
    }

    /// PATH with these folders before those of the machine.
    fn search(&self, before: &[&Path]) -> String {
        let before: String = before.iter().map(|folder| format!("{}:", folder.display())).collect();
        format!("{before}{}:/usr/bin:/bin", self.path("tools").display())
    }

    /// The announced use on this machine, with the key also in the job's environment.
    fn run(&self, world: &World, action: &Path, path: &str, job: &[(&str, &str)]) -> Run {
        let (own, key) = (did().to_string(), key());
        let cache = self.path("cache").to_string_lossy().into_owned();
        let ours = [("PATH", path), ("RUNNER_TOOL_CACHE", cache.as_str()), ("AIP_PRIVATE_KEY", &key)];
        run_from(world, action, &with(&own, &key, &[]), &[&ours[..], job].concat())
    }

    /// What cargo said of each time it ran.
    fn builds(&self) -> String {
        fs::read_to_string(self.path("cargo.log")).unwrap_or_default()
    }
}

fn write_program(path: &Path, script: &str) -> PathBuf {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, script).expect("written");
    make_executable(path);
    path.to_path_buf()
}

/// A program of the checkout that leaves a trace and passes for ours.
fn trap(world: &World) -> String {
    format!(
        "#!/bin/sh\ntouch '{}'\necho aip-attest {}\n",
        world.path("pwned").display(),
        env!("CARGO_PKG_VERSION")
    )
}

#[track_caller]
fn expect_harmless(world: &World, run: &Run) {
    run.expect(true, &[]);
    assert!(!world.path("pwned").exists(), "code of the checkout ran: {run:#?}");
    assert_eq!(run.outputs["signed"], "2");
}

/// Built once, by a build that sees no secret, in a folder whose parents are not the checkout's; both names end up on the
/// path of later steps.
#[test]
fn the_program_is_built_once_and_kept_with_its_digest() {
    let (world, machine) = (world(), Machine::new());
    let search = machine.search(&[]);
    let secrets = [("GITHUB_TOKEN", "t0ken"), ("AIP_LOG_TOKEN", "t0ken"), ("RUSTC_WRAPPER", "t0ken")];
    let run = || machine.run(&world, &root(), &search, &secrets);
    expect_harmless(&world, &run());
    let second = run();
    second.expect(true, &["is in the tool cache"]);
    for name in ["aip", "aip-attest"] {
        assert!(second.temp.path().join("aip-attest-bin").join(name).exists());
    }
    let log = machine.builds();
    assert_eq!(log.matches("install --locked").count(), 1, "built once: {log}");
    assert!(log.contains("RUSTUP_TOOLCHAIN=1.95.0"), "{log}");
    assert!(!log.contains("t0ken") && !log.contains(&key()), "the build sees no secret: {log}");
    assert!(!log.contains(&format!("{}:", world.path("").display())), "{log}");
    // Damage is found out: of the program, and of its digest.
    let kept = find(&machine.path("cache"), "aip-attest").expect("the program");
    for (file, content) in
        [(kept.clone(), &b"#!/bin/sh\necho no\n"[..]), (kept.with_extension("sha256"), b"0\n")]
    {
        fs::write(&file, content).expect("written");
        run().expect(true, &["is built again"]);
    }
    assert_eq!(machine.builds().matches("install --locked").count(), 3);
    // Of another machine, which left the right digest of the wrong program.
    fs::write(&kept, "#!/bin/sh\necho aip-attest 0.0.0\n").expect("written");
    fs::write(
        kept.with_extension("sha256"),
        format!("{}\n", tlog::Hash::of(&fs::read(&kept).expect("read"))),
    )
    .expect("written");
    run().expect(true, &["is built again"]);
}

/// The first file of this name below a folder.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    let is_it = |path: &&PathBuf| path.is_file() && path.file_name().is_some_and(|found| found == name);
    entries
        .iter()
        .find(is_it)
        .cloned()
        .or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|folder| find(folder, name)))
}

/// What rustup and cargo read in the folder that they start in, and above it.
#[test]
fn toolchain_files_and_settings_of_the_checkout_steer_nothing() {
    let (world, machine) = (world(), Machine::new());
    for program in ["cargo", "rustc"] {
        write_program(&world.path(&format!("evil/bin/{program}")), &trap(&world));
    }
    let toolchain = format!("[toolchain]\npath = \"{}\"\n", world.path("evil").display());
    world.file("rust-toolchain.toml", toolchain.as_bytes());
    let wrapper = format!("[build]\nrustc-wrapper = \"{}\"\n", world.path("evil/bin/cargo").display());
    world.file(".cargo/config.toml", wrapper.as_bytes());
    expect_harmless(&world, &machine.run(&world, &root(), &machine.search(&[]), &[]));
    // The machine does not stand in the checkout: no parent of its working folder has such settings.
    let log = machine.builds();
    let folder = log.lines().next().and_then(|line| line.split_once(": ")).expect("a line").0;
    assert!(!Path::new(folder).starts_with(world.path("")), "{folder}");
}

/// The same with the real rustup and cargo, where they are installed, and a small program as the action.
#[test]
fn rustup_itself_runs_no_toolchain_of_the_checkout() {
    let home = std::env::var_os("HOME").map(PathBuf::from).expect("a home");
    let folder = |name: &str, default: &str| {
        std::env::var_os(name)
            .map_or_else(|| home.join(default), PathBuf::from)
            .to_string_lossy()
            .into_owned()
    };
    let (cargo_home, rustup_home) = (folder("CARGO_HOME", ".cargo"), folder("RUSTUP_HOME", ".rustup"));
    let rustup = Path::new(&cargo_home).join("bin/rustup");
    if !rustup.exists() || !Path::new(&rustup_home).join("toolchains").exists() {
        eprintln!("there is no rustup here: its stand-in in the other tests has to do");
        return;
    }
    let (world, machine) = (world(), Machine::new());
    let version = env!("CARGO_PKG_VERSION");
    let action = machine.path("action");
    let files = [
        (
            "Cargo.toml",
            format!(
                "[workspace]\nresolver = \"3\"\nmembers = [\"aip-attest\"]\n\n[workspace.package]\nversion = \"{version}\"\nrust-version = \"1.95\"\n"
            ),
        ),
        (
            "Cargo.lock",
            format!("version = 4\n\n[[package]]\nname = \"aip-attest\"\nversion = \"{version}\"\n"),
        ),
        (
            "aip-attest/Cargo.toml",
            format!("[package]\nname = \"aip-attest\"\nversion = \"{version}\"\nedition = \"2024\"\n"),
        ),
        ("aip-attest/src/main.rs", format!("fn main() {{ println!(\"aip-attest {version}\"); }}\n")),
        (".cargo/config.toml", String::new()),
    ];
    for (name, text) in files {
        let path = action.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    fs::create_dir_all(action.join("aip-attest/action")).expect("made");
    fs::copy(root().join("aip-attest/action/install.sh"), action.join("aip-attest/action/install.sh"))
        .expect("copied");
    for program in ["cargo", "rustc"] {
        write_program(&world.path(&format!("evil/bin/{program}")), &trap(&world));
    }
    let toolchain = format!("[toolchain]\npath = \"{}\"\n", world.path("evil").display());
    world.file("rust-toolchain.toml", toolchain.as_bytes());
    let proxies = Path::new(&cargo_home).join("bin");
    // That is how it went wrong: rustup does run what the file names.
    let mut asked = Command::new(proxies.join("cargo"));
    asked
        .arg("--version")
        .current_dir(world.path(""))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env("RUSTUP_HOME", &rustup_home);
    let _ = asked.output().expect("it runs");
    assert!(
        world.path("pwned").exists(),
        "rustup obeys toolchain files no more, and this test shows nothing"
    );
    fs::remove_file(world.path("pwned")).expect("removed");
    let search = format!("{}:/usr/bin:/bin", proxies.display());
    let job =
        [("CARGO_HOME", cargo_home.as_str()), ("RUSTUP_HOME", &rustup_home), ("CARGO_NET_OFFLINE", "true")];
    let run = machine.run(&world, &action, &search, &job);
    assert!(
        run.printed.contains("building aip-attest") && !run.printed.contains("cannot be built"),
        "{run:#?}"
    );
    assert!(!world.path("pwned").exists(), "{run:#?}");
}

/// Variables of the job that name folders in the checkout, as workflows that cache them set them.
#[test]
fn variables_that_lead_into_the_checkout_are_not_passed_on() {
    let (world, machine) = (world(), Machine::new());
    let inside = world.path("cache-of-mine").to_string_lossy().into_owned();
    fs::create_dir_all(&inside).expect("made");
    let link = machine.path("link").to_string_lossy().into_owned();
    std::os::unix::fs::symlink(&inside, &link).expect("a link");
    let job = [
        ("CARGO_HOME", inside.as_str()),
        ("RUSTUP_HOME", link.as_str()),
        ("TMPDIR", "relative"),
        ("CARGO_BUILD_RUSTC_WRAPPER", inside.as_str()),
        ("RUSTC", inside.as_str()),
        ("RUSTFLAGS", "-Clinker=evil"),
        ("CC", inside.as_str()),
        ("BASH_ENV", inside.as_str()),
        ("CDPATH", inside.as_str()),
    ];
    let run = machine.run(&world, &root(), &machine.search(&[]), &job);
    expect_harmless(&world, &run);
    let log = machine.builds();
    for name in
        ["CARGO_HOME", "RUSTUP_HOME", "TMPDIR", "CARGO_BUILD_RUSTC_WRAPPER", "RUSTC", "RUSTFLAGS", "CC"]
    {
        assert!(!log.lines().any(|line| line.starts_with(&format!("{name}="))), "{name}: {log}");
    }
    // Home is the checkout in this world.
    assert!(!log.lines().any(|line| line.starts_with("HOME=")), "{log}");
}

/// Jobs set these to folders of the checkout, for what they build. Neither step takes code from there.
#[cfg(target_os = "linux")]
#[test]
fn neither_shell_nor_loader_takes_code_of_the_checkout() {
    let (world, machine) = (world(), Machine::new());
    let script = world.file("ci/env.sh", format!("touch '{}'\n", world.path("pwned").display()).as_bytes());
    // What is no library ends whatever loads it.
    let library = world.file("lib/libc.so.6", b"no library");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (libraries, library) = (text(&world.path("lib")), text(&library));
    for (name, value) in
        [("BASH_ENV", text(&script)), ("LD_LIBRARY_PATH", libraries), ("LD_PRELOAD", library.clone())]
    {
        let run = machine.run(&world, &root(), &machine.search(&[]), &[(name, &value)]);
        expect_harmless(&world, &run);
        assert!(!run.printed.contains(&library), "{name}: {run:#?}");
    }
}

/// The same version on PATH is taken from outside of the checkout only, and only if no entry before it depends on the
/// working folder.
#[test]
fn a_program_on_path_is_of_the_machine_or_not_taken() {
    let (world, machine) = (world(), Machine::new());
    let installed = machine.path("installed");
    fs::create_dir_all(&installed).expect("made");
    fs::copy(PROGRAM, installed.join("aip-attest")).expect("copied");
    let taken = |path: &str, job: &[(&str, &str)]| {
        let run = machine.run(&world, &root(), path, job);
        expect_harmless(&world, &run);
        run.printed.contains("is on PATH")
    };
    assert!(taken(&machine.search(&[&installed]), &[]));
    // Of another version.
    machine.program("old/aip-attest", "#!/bin/sh\necho aip-attest 0.0.0\n");
    assert!(!taken(&machine.search(&[&machine.path("old")]), &[]));
    // In the checkout, and by a link from outside into it; with programs that the step itself needs.
    for program in ["aip-attest", "cargo", "sed", "readlink", "sha256sum", "tar", "find", "env"] {
        write_program(&world.path(&format!("bin/{program}")), &trap(&world));
    }
    let inside = world.path("bin");
    assert!(!taken(&machine.search(&[&inside]), &[]));
    assert!(taken(&machine.search(&[&inside, &installed]), &[]));
    let linked = machine.path("linked");
    std::os::unix::fs::symlink(&inside, &linked).expect("a link");
    assert!(!taken(&machine.search(&[&linked]), &[]));
    fs::create_dir_all(machine.path("one")).expect("made");
    std::os::unix::fs::symlink(inside.join("aip-attest"), machine.path("one/aip-attest")).expect("a link");
    assert!(!taken(&machine.search(&[&machine.path("one")]), &[]));
    // Behind what depends on the folder: an entry that is relative, empty, or the folder itself.
    for relative in ["bin", ".", "", "./bin", "../x"] {
        let path = format!("{relative}:{}", machine.search(&[&installed]));
        assert!(!taken(&path, &[]), "{relative:?}");
    }
    // A tool cache in the checkout is none.
    let cache = world.path("tool-cache").to_string_lossy().into_owned();
    let run = machine.run(&world, &root(), &machine.search(&[]), &[("RUNNER_TOOL_CACHE", &cache)]);
    expect_harmless(&world, &run);
    assert!(!world.path("tool-cache/aip-attest").exists());
}

#[test]
fn without_a_program_and_without_cargo_the_step_says_what_to_do() {
    let (world, machine) = (world(), Machine::new());
    let run = machine.run(&world, &root(), "/usr/bin:/bin", &[]);
    run.expect(false, &["::error title=aip-attest::", "there is no cargo to build it"]);
    // A cargo of the checkout is none.
    write_program(&world.path("bin/cargo"), &trap(&world));
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    machine.run(&world, &root(), &path, &[]).expect(false, &["there is no cargo to build it"]);
    assert!(!world.path("pwned").exists());
    let inside = write_program(&world.path("bin/aip-attest"), &trap(&world)).to_string_lossy().into_owned();
    for (named, why) in [
        ("/nowhere", "AIP_ATTEST_BIN names no program"),
        ("/usr", "AIP_ATTEST_BIN names no program"),
        ("bin/aip-attest", "AIP_ATTEST_BIN is not absolute"),
        (&inside, "AIP_ATTEST_BIN lies in the checkout"),
    ] {
        machine.run(&world, &root(), "/usr/bin:/bin", &[("AIP_ATTEST_BIN", named)]).expect(false, &[why]);
        assert!(!world.path("pwned").exists(), "{named}");
    }
}

/// The name of the cache follows every source that goes into the program, and nothing else.
#[test]
fn another_source_is_another_program_in_the_cache() {
    let (world, machine) = (world(), Machine::new());
    let action = machine.path("action");
    fs::create_dir_all(&action).expect("made");
    let copied = Command::new("cp").args(["-R", "--"]).args(sources()).arg(&action).status();
    assert!(copied.expect("it runs").success());
    let run = || {
        machine.run(&world, &action, &machine.search(&[]), &[]).expect(true, &[]).printed.contains("building")
    };
    assert!(run());
    assert!(!run());
    for changed in [
        "Cargo.lock",
        "Cargo.toml",
        ".cargo/config.toml",
        "tlog/src/lib.rs",
        "attestation/Cargo.toml",
        "aip-attest/src/main.rs",
    ] {
        let path = action.join(changed);
        let text = fs::read_to_string(&path).expect("a source");
        fs::write(&path, format!("{text}\n")).expect("written");
        assert!(run(), "{changed}");
    }
    fs::write(action.join("README.md"), "not a source").expect("written");
    assert!(!run());
}

/// The workspace's manifest and members.
fn sources() -> Vec<PathBuf> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let members =
        manifest.lines().find_map(|line| line.strip_prefix("members = [")).expect("members on one line");
    let members = members.trim_end_matches(']').split(", ").map(|member| member.trim_matches('"'));
    members.chain(["Cargo.toml", "Cargo.lock", ".cargo"]).map(|name| root().join(name)).collect()
}
