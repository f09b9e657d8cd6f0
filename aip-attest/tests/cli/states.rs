//! What `verify` knows of later times: the state that is kept here, and the size at which the log was seen.

use std::collections::BTreeMap;

use attestation::Did;
use attestation::evidence::{Evidence, Lists, assert_lists};
use attestation::lists::ListKey;
use serde_json::json;
use tlog::checkpoint::Checkpoint;
use tlog::cosignature;
use tlog::key::{KeyName, KeyType, SignerKey};
use tlog::{Hash, TreeSize, UnixTime};

use crate::world::{Forge, ORIGIN, Ran, World, did, log_key, policy, witness_key};

const APP: &[u8] = b"hello artifact\n";

/// What a log says of a DID that it does not know, in a tree of this size.
struct State {
    of: Did,
    size: u64,
    root: Hash,
    /// Each signs the checkpoint, the first the assertion.
    logs: Vec<SignerKey>,
    witness: Option<SignerKey>,
}

impl State {
    fn at(size: u64) -> Self {
        let (root, logs) = (Hash::of(&size.to_be_bytes()), vec![log_key()]);
        Self { of: did(), size, root, logs, witness: Some(witness_key()) }
    }

    fn evidence(&self) -> String {
        let origin = self.logs[0].verifier().name().as_str();
        let checkpoint = Checkpoint::new(origin, TreeSize::new(self.size), self.root);
        let lists: Lists = BTreeMap::from([(ListKey::Id(self.of), Vec::new())]);
        let assertion = assert_lists(&self.logs[0], &checkpoint, &lists);
        let mut note = checkpoint.sign(&self.logs[0]);
        self.logs[1..].iter().for_each(|log| note.sign(log));
        if let Some(witness) = &self.witness {
            let line = cosignature::cosign(witness, &checkpoint, UnixTime::from_secs(1_790_000_000));
            note.add(line.expect("a cosignature"));
        }
        Evidence { checkpoint: note, assertion, lists, elements: Vec::new() }.to_json()
    }
}

/// Where the state of the signer in the log with this key lies.
fn place(log: &SignerKey) -> String {
    let digits = did().to_string().trim_start_matches("did:aip:").to_owned();
    format!(".aip/states/{}/{digits}.json", log.verifier().full_id())
}

fn pin(world: &World, size: u64) {
    pin_root(world, size, State::at(size).root);
}

fn pin_root(world: &World, size: u64, root: Hash) {
    let pin = json!({
        "version": 1, "url": "https://log.example.com", "vkey": log_key().verifier().to_string(),
        "policy": policy(), "size": size, "root": root.to_base64(),
    });
    world.file(&format!(".aip/pins/{}.json", log_key().verifier().full_id()), pin.to_string().as_bytes());
}

fn verify(world: &World, more: &[&str]) -> Ran {
    world.run(&[&["verify", "app", "--signer", &did().to_string()], more].concat())
}

/// The receipt is of a tree of two entries.
#[test]
fn the_manual() {
    let world = World::with_receipt();
    pin(&world, 9);
    world.transcript(
        "
$ aip verify app --signer $DID
? 0
ok  app  did:aip:5647…  20[..]  1 of 1 witness
as of: size 2 of log.example.com/pipelines, which was seen at size 9: a report, rotation or end since then is not known here
policy: pinned for log.example.com/pipelines
identity: not registered, as far as the receipt tells: no gate takes it
! hint: `aip log sync --did $DID` keeps the state of today, which `verify` reads; --state FILE names one; `gate` asks the log itself
",
    );
    world.file(&place(&log_key()), State::at(7).evidence().as_bytes());
    world.transcript(
        "
$ aip verify app --signer $DID
? 0
ok  app  did:aip:5647…  20[..]  1 of 1 witness
as of: size 7 of log.example.com/pipelines, which was seen at size 9: a report, rotation or end since then is not known here
policy: pinned for log.example.com/pipelines
state: not registered as of size 7 of log.example.com/pipelines, kept in `[..]/.aip/states/[..].json`
! hint: `aip log sync --did $DID` keeps the state of today, which `verify` reads; --state FILE names one; `gate` asks the log itself
",
    );
    world.file(&place(&log_key()), State::at(9).evidence().as_bytes());
    let before = world.files();
    world.transcript(
        "
$ aip verify app --signer $DID -v
? 0
ok  app  did:aip:5647…  20[..]  1 of 1 witness
  ok              format               application/vnd.aip.receipt.v1+json
  ok              artifact-digest      app
  ok              signature            did:key:[..]
  ok              leaf                 claimed for log.example.com/pipelines
  ok              log-signature        log.example.com/pipelines of size 2
  ok              witness-quorum       w [..]T[..]Z
  ok              inclusion            index 0
  ok              signer               $DID
  ok              signer-state         no identity events, genesis key assumed; state as of size 2, [..]Z
  ok              later-state          not registered as of size 9 of log.example.com/pipelines
  signed by $DID, logged [..] at index 0; state as of size 2, [..]
  provenance: self-asserted, worth as much as its signer
  policy: pinned for log.example.com/pipelines
  state: not registered as of size 9 of log.example.com/pipelines, kept in `[..]/.aip/states/[..].json`
",
    );
    // Who verifies writes nothing.
    assert_eq!(world.files(), before);
    let as_of = &verify(&world, &["--json"]).json()["results"][0]["asOf"];
    assert_eq!((&as_of["treeSize"], &as_of["seenSize"]), (&json!(9), &json!(null)));
    assert!(as_of["keptState"].as_str().expect("a file").ends_with(&place(&log_key())), "{as_of}");
    // A state that is named is the one that counts.
    world.file("state", State::at(9).evidence().as_bytes());
    let named = &verify(&world, &["--state", "state", "--json"]).json()["results"][0]["asOf"];
    assert_eq!(named["keptState"], json!(null));
}

/// A state of a smaller tree than the receipt's, one of another log under the same name, and one that nobody kept here
/// change nothing; what the pin knows is said all the same.
#[test]
fn what_does_not_bear_on_a_receipt_changes_nothing() {
    let name = KeyName::new(ORIGIN).expect("a name");
    let other = || SignerKey::from_seed(name.clone(), KeyType::Ed25519, &[0x33; 32]);
    let both = format!("log {}\n{}", other().verifier(), policy());
    type Case<'a> = (&'a str, String, State);
    let cases: [Case<'_>; 3] = [
        ("older", place(&log_key()), State::at(1)),
        ("another log of this name", place(&other()), State { logs: vec![other()], ..State::at(99) }),
        ("of nobody", ".aip/states/x.json".into(), State::at(9)),
    ];
    for (case, place, state) in cases {
        let world = World::with_receipt();
        world.file("policy", both.as_bytes());
        world.file(&place, state.evidence().as_bytes());
        let ran = verify(&world, &["--policy", "policy"]);
        assert_eq!((ran.code, ran.stdout.contains("state: ")), (0, false), "{case}: {ran:#?}");
        assert!(!ran.stdout.contains("as of: "), "nobody has seen more: {ran:#?}");
        if case == "older" {
            pin(&world, 3);
            verify(&world, &[]).expect(0, &["as of: size 2 of", "seen at size 3"]);
        }
    }
}

/// A log with two keys is one log: who shows a receipt with the signature of one of them finds the state that is kept
/// under the other.
#[test]
fn a_receipt_that_shows_the_other_key_of_a_log_meets_its_state() {
    let name = KeyName::new(ORIGIN).expect("a name");
    let second = SignerKey::from_seed(name, KeyType::MlDsa44Cosignature, &[0x44; 32]);
    let world = World::with_receipt();
    let both = format!("log {}\n{}", second.verifier(), policy());
    world.file("policy", both.as_bytes());
    let state = State { logs: vec![log_key()], ..State::at(9) };
    let checkpoint = Checkpoint::new(ORIGIN, TreeSize::new(9), state.root);
    let line = cosignature::cosign(&second, &checkpoint, UnixTime::from_secs(1_790_000_000));
    let mut evidence: serde_json::Value = serde_json::from_str(&state.evidence()).expect("JSON");
    let note = evidence["checkpoint"].as_str().expect("a note").to_owned();
    let mut note = tlog::note::Note::parse(note.as_bytes()).expect("a note");
    note.add(line.expect("a signature"));
    evidence["checkpoint"] = json!(note.to_string());
    world.file(&place(&log_key()), evidence.to_string().as_bytes());
    let receipt = Forge::of("app", APP).receipt();
    let mut receipt: serde_json::Value = serde_json::from_str(&receipt).expect("JSON");
    let proof = receipt["proof"].as_str().expect("a proof").to_owned();
    // The line of the first key goes, one of the second comes.
    let (head, note) = proof.split_once("\n\n").expect("a note");
    let parsed = tlog::note::Note::parse(note.as_bytes()).expect("a note");
    let tree = Checkpoint::parse(parsed.text()).expect("a checkpoint");
    let mut stripped = tlog::note::Note::unsigned(parsed.text().to_owned());
    stripped.add(cosignature::cosign(&second, &tree, UnixTime::from_secs(1_790_000_000)).expect("a line"));
    let witness = cosignature::cosign(&witness_key(), &tree, UnixTime::from_secs(1_790_000_000));
    stripped.add(witness.expect("a line"));
    receipt["proof"] = json!(format!("{head}\n\n{stripped}"));
    world.file("app.receipt.json", receipt.to_string().as_bytes());
    verify(&world, &["--policy", "policy"]).expect(0, &["state: not registered as of size 9"]);
}

/// A kept state that cannot be believed may be the one that says no: the answer is "could not check", with the way
/// out; what is false of the receipt stays false.
#[test]
fn a_kept_state_that_cannot_be_believed_is_exit_2() {
    let name = KeyName::new(ORIGIN).expect("a name");
    let forged = SignerKey::from_seed(name, KeyType::Ed25519, &[0x55; 32]);
    let elsewhere = KeyName::new("other.example.com/log").expect("a name");
    let elsewhere = SignerKey::from_seed(elsewhere, KeyType::Ed25519, &[0x55; 32]);
    let nobody: Did = "did:aip:00000000000000000000000000000000".parse().expect("a DID");
    let good = State::at(9).evidence();
    type Put<'a> = Box<dyn Fn(&World) + 'a>;
    let bytes =
        |bytes: Vec<u8>| -> Put<'_> { Box::new(move |world| drop(world.file(&place(&log_key()), &bytes))) };
    let mut cases: Vec<(&str, Put<'_>, &str)> = vec![
        ("empty", bytes(Vec::new()), "is malformed"),
        ("no evidence", bytes(b"{}".to_vec()), "is malformed"),
        ("cut off", bytes(good.as_bytes()[..good.len() / 2].to_vec()), "is malformed"),
        ("too long", bytes(vec![b' '; (4 << 20) + 1]), "longer than"),
        ("of another DID", bytes(State { of: nobody, ..State::at(9) }.evidence().into()), "does not show"),
        ("by a key of nobody", bytes(State { logs: vec![forged], ..State::at(9) }.evidence().into()), "hold"),
        ("of another log", bytes(State { logs: vec![elsewhere], ..State::at(9) }.evidence().into()), "hold"),
        ("below the quorum", bytes(State { witness: None, ..State::at(9) }.evidence().into()), "quorum `w`"),
        (
            "a changed word",
            bytes(
                good.replacen(
                    "\"lists\": {",
                    "\"lists\": {\"neg:did:aip:00000000000000000000000000000000\": [],",
                    1,
                )
                .into(),
            ),
            "hold",
        ),
        (
            "a folder",
            Box::new(|world| std::fs::create_dir_all(world.path(&place(&log_key()))).expect("made")),
            "not a regular file",
        ),
    ];
    #[cfg(unix)]
    {
        let link = |to: &'static str| -> Put<'_> {
            Box::new(move |world| {
                let path = world.path(&place(&log_key()));
                std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                std::os::unix::fs::symlink(to, path).expect("a link");
            })
        };
        cases.push(("a link that leads nowhere", link("nowhere"), "cannot read the kept state"));
        cases.push(("a device", link("/dev/zero"), "not a regular file"));
        let pipe: Put<'_> = Box::new(|world| {
            let path = world.path(&place(&log_key()));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.expect("mkfifo runs").success());
        });
        cases.push(("a pipe", pipe, "not a regular file"));
    }
    for (case, put, why) in cases {
        let world = World::with_receipt();
        put(&world);
        let ran = verify(&world, &["--policy", "policy"]);
        assert_eq!(ran.code, 2, "{case}: {ran:#?}");
        ran.expect(
            2,
            &["could not check  app", "the kept state `", why, "hint: `aip-attest log sync --did did:aip:"],
        );
        // One that is named needs none.
        world.file("state", good.as_bytes());
        verify(&world, &["--policy", "policy", "--state", "state"]).expect(0, &["ok  app"]);
        world.file("app", b"changed");
        verify(&world, &["--policy", "policy"]).expect(1, &["FAILED  app  artifact-digest"]);
    }
}

/// A receipt and a state of one size and two roots: the log has shown two trees.
#[test]
fn a_kept_state_of_another_tree_shows_a_fork() {
    let world = World::with_receipt();
    world.file(&place(&log_key()), State::at(2).evidence().as_bytes());
    verify(&world, &["--policy", "policy"])
        .expect(1, &["log-signature: the log has forked: its root at size 2"]);
    // The pin is compared as well.
    let world = World::with_receipt();
    pin_root(&world, 9, Hash::of(b"another"));
    world.file(&place(&log_key()), State::at(9).evidence().as_bytes());
    verify(&world, &[]).expect(1, &["contradicts what was seen of it", "two roots of size 9"]);
}

/// Of many artifacts, signed in several trees, it is said once.
#[test]
fn what_is_not_known_is_said_once_for_a_log() {
    let world = World::with_receipt();
    pin(&world, 9);
    world.file("lib", b"lib");
    world.file("lib.receipt.json", Forge::of("lib", b"lib").receipt().as_bytes());
    let ran = world.run(&["verify", "app", "lib", "--any-signer"]);
    assert_eq!(
        (ran.code, ran.stdout.matches("as of: size 2 of").count(), ran.stderr.matches("hint:").count()),
        (0, 1, 1)
    );
}
