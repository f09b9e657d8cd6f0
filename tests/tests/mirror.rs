//! A mirror: what another machine keeps of a log, believes nothing that is not of the signed tree, and gives back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attestation::entry::Visibility::Public;
use serde_json::Value;
use testkit::log::{Log, ORIGIN, copy_folder};
use testkit::oracle::check_log;
use testkit::program;
use testkit::signer::Signer;
use testkit::witness::Witness;

struct World {
    log: Log,
    policy: PathBuf,
    logged: u64,
}

impl World {
    fn new() -> Self {
        let log = Log::start(&["--round-interval", "1ms"]);
        let policy = log.folder().join("consumer.policy");
        fs::write(&policy, format!("log {}\nquorum none\n", log.vkey)).expect("written");
        Self { log, policy, logged: 0 }
    }

    fn grow_to(&mut self, size: u64) {
        let signer = Signer::new(1);
        let contents: Vec<u64> = (self.logged..size).collect();
        for batch in contents.chunks(100) {
            let signed = batch.iter().map(|content| signer.sign(ORIGIN, &content.to_be_bytes(), Public, 300));
            let (status, answer) =
                self.log.submit(&Value::Array(signed.map(|signed| signed.published()).collect()));
            assert_eq!(status, 200, "{answer}");
        }
        self.logged = size;
    }

    fn mirror(&self, from: &str, to: &Path) -> (Option<i32>, String) {
        let mut command = Command::new(program("log-server"));
        command.arg("mirror").args(["--from", from]).arg("--to").arg(to).arg("--policy").arg(&self.policy);
        let output = command.output().expect("log-server runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned(),
        )
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.log.folder().join(name)
    }
}

fn checkpoint(folder: &Path) -> String {
    fs::read_to_string(folder.join("checkpoint")).expect("a checkpoint")
}

/// At every size the folder is what the log serves, and a run fetches only what is new. A log that lost everything but its key
/// and its record comes back from it.
#[test]
fn a_mirror_follows_a_log_and_brings_it_back() {
    let mut world = World::new();
    let (url, copy) = (world.log.url(), world.folder("mirror"));
    for (size, files) in [(1, 2), (255, 2), (256, 3), (300, 2), (300, 0), (700, 5)] {
        world.grow_to(size);
        let (code, said) = world.mirror(&url, &copy);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&format!("ok: {size} entries, root ")), "{said}");
        assert!(said.contains(&format!(", {files} files written")), "{size}: {said}");
        assert_eq!(checkpoint(&copy).into_bytes(), world.log.bytes("/checkpoint"));
        // A mirror of the mirror is the same tree, from nothing.
        let (code, again) =
            world.mirror(copy.to_str().expect("UTF-8"), &world.folder(&format!("from-{size}")));
        assert_eq!(code, Some(0), "{again}");
    }
    assert!(!copy.join("tile/0/000.p").exists() && !copy.join("tile/entries/001.p").exists(), "outgrown");
    world.log.stop();
    fs::rename(world.log.dir(), world.folder("lost")).expect("moved");
    let recover = Command::new(program("log-server"))
        .arg("recover")
        .arg("--dir")
        .arg(world.log.dir())
        .arg("--from")
        .arg(&copy)
        .arg("--key")
        .arg(world.folder("lost").join("log.skey"))
        .output()
        .expect("log-server runs");
    assert!(recover.status.success(), "{recover:?}");
    world.log.serve(&[]);
    assert_eq!(check_log(&world.log).checkpoint.size.get(), 700);
}

/// Nothing that the source serves is believed: what is not of the signed tree changes neither the checkpoint nor what it needs.
#[test]
fn a_source_that_lies_leaves_the_older_checkpoint() {
    let mut world = World::new();
    let url = world.log.url();
    world.grow_to(300);
    let (source, copy) = (world.folder("source"), world.folder("mirror"));
    assert_eq!(world.mirror(&url, &copy).0, Some(0));
    let old = checkpoint(&copy);
    world.grow_to(600);
    assert_eq!(world.mirror(&url, &source).0, Some(0));
    for lie in
        ["tile/1/000.p/2", "tile/0/001", "tile/entries/001", "tile/0/002.p/88", "tile/entries/002.p/88"]
    {
        let liar = world.folder("liar");
        let _ = fs::remove_dir_all(&liar);
        let victim = world.folder("victim");
        let _ = fs::remove_dir_all(&victim);
        copy_folder(&source, &liar);
        copy_folder(&copy, &victim);
        let mut bytes = fs::read(liar.join(lie)).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(liar.join(lie), bytes).expect("written");
        let from = liar.to_str().expect("UTF-8");
        let (code, said) = world.mirror(from, &victim);
        assert_eq!(code, Some(1), "{lie}: {said}");
        assert_eq!(checkpoint(&victim), old, "{lie}");
        // Gone is as good as false, and what was written before it broke off is kept.
        fs::remove_file(liar.join(lie)).expect("removed");
        assert_eq!(world.mirror(from, &victim).0, Some(1), "{lie}");
        assert_eq!(world.mirror(&url, &victim).0, Some(0), "{lie}");
        assert_eq!(checkpoint(&victim), checkpoint(&source), "{lie}");
    }
    // A damaged file of a run that broke off is fetched again.
    fs::create_dir_all(copy.join("tile/0")).expect("made");
    fs::write(copy.join("tile/0/001"), b"half").expect("written");
    assert_eq!(world.mirror(&url, &copy).0, Some(0));
    assert_eq!(
        fs::read(copy.join("tile/0/001")).expect("a file"),
        fs::read(source.join("tile/0/001")).expect("a file")
    );
}

/// Another tree under the same key, a smaller one, one without the quorum, one of another log: none takes the place.
#[test]
fn a_mirror_never_goes_back_or_aside() {
    let mut world = World::new();
    world.grow_to(10);
    let fork = world.folder("fork-of-log");
    world.log.stop();
    copy_folder(&world.log.dir(), &fork);
    fs::copy(world.folder("log.signed"), world.folder("fork-of-log.signed")).expect("copied");
    world.log.serve(&[]);
    let (url, copy, small) = (world.log.url(), world.folder("mirror"), world.folder("small"));
    assert_eq!(world.mirror(&url, &small).0, Some(0));
    world.grow_to(20);
    assert_eq!(world.mirror(&url, &copy).0, Some(0));
    let old = checkpoint(&copy);
    let (code, said) = world.mirror(small.to_str().expect("UTF-8"), &copy);
    assert_eq!((code, said.contains("and had 20")), (Some(1), true), "{said}");
    // The same key, another tree.
    world.log.stop();
    for suffix in ["", ".signed"] {
        let (here, there) = (format!("log{suffix}"), format!("fork-of-log{suffix}"));
        fs::rename(world.folder(&here), world.folder(&format!("true{suffix}"))).expect("moved");
        fs::rename(world.folder(&there), world.folder(&here)).expect("moved");
    }
    world.log.serve(&[]);
    world.logged = 100;
    world.grow_to(130);
    let (code, said) = world.mirror(&url, &copy);
    assert_eq!((code, said.contains("is no beginning of that of 40")), (Some(1), true), "{said}");
    assert_eq!(checkpoint(&copy), old);
    // A policy that asks for a witness, of which the log knows nothing.
    let witness = Witness::start("w", &["ed25519"], &world.log.vkey);
    fs::write(&world.policy, format!("log {}\n{}quorum w\n", world.log.vkey, witness.policy))
        .expect("written");
    let (code, said) = world.mirror(&url, &world.folder("new"));
    assert_eq!((code, said.contains("does not satisfy the policy")), (Some(2), true), "{said}");
    assert!(!world.folder("new").join("checkpoint").exists());
    // The key of another log.
    let other = Log::init();
    fs::write(&world.policy, format!("log {}\nquorum none\n", other.vkey)).expect("written");
    assert_eq!(world.mirror(&url, &world.folder("new")).0, Some(1));
}
