//! A folder with files, an environment of its own, and the program to run in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::{Claim, LogTime, PendingEntry, Visibility};
use attestation::receipt::Receipt;
use attestation::statement::{Statement, Subject};
use serde_json::{Map, Value, json};
use tlog::checkpoint::Checkpoint;
use tlog::cosignature;
use tlog::key::{Ed25519PrivateKey, KeyId, KeyName, KeyType, PublicKey, SignerKey};
use tlog::merkle::{leaf_hash, node_hash};
use tlog::note::Note;
use tlog::proof::TlogProof;
use tlog::{Hash, TreeSize, UnixTime};

pub(crate) const ORIGIN: &str = "log.example.com/pipelines";
pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// What is printed, with the paths of Windows written as elsewhere; JSON has two backslashes for one.
pub(crate) fn with_slashes(printed: String) -> String {
    match printed.starts_with(['{', '[']) {
        _ if cfg!(not(windows)) => printed,
        true => printed.replace(r"\\", "/"),
        // But not in `\u{1b}`, which stands for a character.
        false => printed.replace(r"\u{", "\0").replace('\\', "/").replace('\0', r"\u{"),
    }
}

/// A temporary folder, which is home and working folder at once.
pub(crate) struct World {
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// An empty folder, and nothing in the environment.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), env: BTreeMap::new() }
    }

    /// One with the identity of the test vectors in the environment.
    pub(crate) fn with_key() -> Self {
        let world = Self::new();
        world.env("AIP_DID", &did().to_string()).env("AIP_PRIVATE_KEY", &tlog::encoding::base64(&SIGNER_SEED))
    }

    /// One with the policy of the test log beside, an artifact and its receipt.
    pub(crate) fn with_receipt() -> Self {
        let world = Self::with_key();
        world.file("policy", policy().as_bytes());
        world.file("app", b"hello artifact\n");
        world.file("app.receipt.json", Forge::of("app", b"hello artifact\n").receipt().as_bytes());
        world
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("written");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).expect("JSON")
    }

    /// The names of all files below the folder.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut folders = vec![self.dir.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(self.dir.path()).expect("inside");
                    names.push(with_slashes(path.to_string_lossy().into_owned()));
                }
            }
        }
        names.sort();
        names
    }

    /// The only file whose name begins so.
    pub(crate) fn only(&self, start: &str) -> String {
        let mut names = self.files();
        names.retain(|name| name.starts_with(start));
        match <[String; 1]>::try_from(names) {
            Ok([name]) => name,
            Err(names) => panic!("{start}: {names:?} of {:?}", self.files()),
        }
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.dir.path()).envs(&self.env);
        // Without it Windows opens no socket.
        command.envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_as(PROGRAM, arguments)
    }

    pub(crate) fn run_as(&self, program: &str, arguments: &[&str]) -> Ran {
        Ran::of(self.command(program).args(arguments).output().expect("the program runs"))
    }

    /// Runs the commands of a transcript and compares what they print.
    ///
    /// ```text
    /// $ aip-attest verify app --signer did:aip:…
    /// ? 0
    /// a line of stdout
    /// ! a line of stderr
    /// ```
    /// `[..]` stands for anything within a line, `$DID` for the signer.
    pub(crate) fn transcript(&self, transcript: &str) {
        let transcript = transcript.replace("$DID", &did().to_string());
        for step in transcript.split("\n$ ").skip(1) {
            let (command, rest) = step.split_once('\n').expect("a line of exit code");
            let (code, want) = rest.split_once('\n').unwrap_or((rest, ""));
            let words = words(command);
            assert!(words[0].starts_with("aip"), "{command}");
            let program = if words[0] == "aip" { OTHER_PROGRAM } else { PROGRAM };
            let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            let ran = self.run_as(program, &arguments);
            let stderr = ran.stderr.lines().map(|line| format!("! {line}"));
            let got: Vec<String> = ran.stdout.lines().map(str::to_owned).chain(stderr).collect();
            let want: Vec<&str> = want.trim_end().lines().collect();
            let is_same =
                got.len() == want.len() && got.iter().zip(&want).all(|(got, want)| matches(got, want));
            assert!(
                is_same && code == format!("? {}", ran.code),
                "$ {command}\n--- want\n{code}\n{}\n--- got\n? {}\n{}",
                want.join("\n"),
                ran.code,
                got.join("\n")
            );
        }
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| with_slashes(String::from_utf8(bytes).expect("UTF-8"));
        let code = output.status.code().expect("an exit code");
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub(crate) fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        for part in parts {
            assert!(self.stdout.contains(part) || self.stderr.contains(part), "{part:?} is not in {self:#?}");
        }
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}

fn matches(got: &str, want: &str) -> bool {
    let mut parts = want.split("[..]");
    let Some(mut rest) = got.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut ends_open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        ends_open = part.is_empty();
    }
    rest.is_empty() || ends_open
}

/// Makes receipts, good ones and bad ones: one artifact in a log of two entries, one witness.
pub(crate) struct Forge {
    pub(crate) statement: Statement,
    pub(crate) payload: fn(String) -> String,
    pub(crate) signer: Ed25519PrivateKey,
    pub(crate) did: Did,
    pub(crate) claimed_origin: String,
    pub(crate) visibility: Visibility,
    pub(crate) logged_at: u64,
    pub(crate) leaf: fn(String) -> String,
    pub(crate) log: SignerKey,
    pub(crate) witness: Option<SignerKey>,
    pub(crate) cosigned_at: u64,
    pub(crate) proof: fn(String) -> String,
    pub(crate) identity: bool,
}

impl Forge {
    pub(crate) fn of(name: &str, content: &[u8]) -> Self {
        let predicate = json!({
            "buildDefinition": {
                "buildType": "https://example.com/build/v1",
                "externalParameters": {"workflow": {
                    "path": ".github/workflows/release.yml",
                    "ref": "refs/tags/v1.0.0",
                    "repository": "https://github.com/octo/app",
                }},
            },
            "runDetails": {"builder": {"id": "https://example.com/builder"}},
        });
        let Value::Object(predicate) = predicate else { unreachable!() };
        Self::saying(name, content, PROVENANCE, predicate)
    }

    pub(crate) fn saying(
        name: &str,
        content: &[u8],
        predicate_type: &str,
        predicate: Map<String, Value>,
    ) -> Self {
        let subjects = vec![Subject::new(name, Hash::of(content))];
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        Self {
            statement: Statement::new(subjects, predicate_type, predicate).expect("a statement"),
            payload: |payload| payload,
            signer: Ed25519PrivateKey::from_seed(&SIGNER_SEED),
            did: did(),
            claimed_origin: ORIGIN.to_owned(),
            visibility: Visibility::Public,
            logged_at: (now - 60) * 1000,
            leaf: |leaf| leaf,
            log: log_key(),
            witness: Some(witness_key()),
            cosigned_at: now - 59,
            proof: |proof| proof,
            identity: false,
        }
    }

    /// The envelope and the pending entry.
    pub(crate) fn pending(&self) -> (Envelope, PendingEntry) {
        let payload = String::from_utf8(self.statement.to_payload()).expect("JSON");
        let envelope = Envelope::sign(&self.signer, (self.payload)(payload).into_bytes());
        let key = self.signer.public_key();
        let claim =
            Claim::new(&envelope, &self.statement, self.did, &key, &self.claimed_origin, self.visibility);
        let entry = PendingEntry::sign(claim.expect("a claim"), &self.signer).expect("an entry");
        (envelope, entry)
    }

    /// The leaf, and a proof of it in a tree whose other entry is nobody's.
    pub(crate) fn leaf_and_proof(&self) -> (Vec<u8>, String) {
        let (_, entry) = self.pending();
        let leaf = entry.to_leaf(LogTime::from_millis(self.logged_at).expect("a time"));
        let leaf = (self.leaf)(String::from_utf8(leaf).expect("JSON")).into_bytes();
        let other = leaf_hash(b"other");
        let root = node_hash(&leaf_hash(&leaf), &other);
        let checkpoint = Checkpoint::new(self.log.verifier().name().as_str(), TreeSize::new(2), root);
        let mut note = checkpoint.sign(&self.log);
        if let Some(witness) = &self.witness {
            let line = cosignature::cosign(witness, &checkpoint, UnixTime::from_secs(self.cosigned_at));
            note.add(line.expect("a cosignature"));
        }
        let proof = format!("c2sp.org/tlog-proof@v1\nindex 0\n{}\n\n{note}", other.to_base64());
        (leaf, (self.proof)(proof))
    }

    pub(crate) fn receipt(&self) -> String {
        let (envelope, _) = self.pending();
        let (leaf, proof) = self.leaf_and_proof();
        let key = self.signer.public_key();
        let mut receipt = json!({
            "mediaType": "application/vnd.aip.receipt.v1+json",
            "did": self.did.to_string(),
            "publicKey": tlog::encoding::base64(key.as_bytes()),
            "envelope": serde_json::from_str::<Value>(&envelope.to_json()).expect("JSON"),
            "leaf": tlog::encoding::base64(&leaf),
            "proof": proof,
        });
        if self.identity {
            receipt["identity"] = json!([{"leaf": receipt["leaf"], "proof": proof}]);
        }
        format!("{receipt:#}\n")
    }

    /// The receipt with the second note, over this tree, under another text if `note` alters it.
    pub(crate) fn receipt_for_cosign(&self, note: fn(String) -> String) -> String {
        let mut receipt: Value = serde_json::from_str(&self.receipt()).expect("JSON");
        let proof = TlogProof::parse(receipt["proof"].as_str().expect("a proof")).expect("a proof");
        let checkpoint = Checkpoint::parse(proof.checkpoint.text()).expect("a checkpoint");
        let host = attestation::sigstore::host_of(&checkpoint.origin).to_owned();
        let text = Checkpoint::new(&format!("{host} - 42"), checkpoint.size, checkpoint.root).to_string();
        let PublicKey::Ed25519(key) = self.log.verifier().key() else { panic!("the log's key") };
        let id = Hash::of(&attestation::sigstore::spki_of(key));
        let id = KeyId::new(*id.as_bytes().first_chunk().expect("32 bytes"));
        let mut signed = Note::unsigned(text);
        signed.sign_as(&self.log, KeyName::new(&host).expect("a name"), id);
        receipt["sigstoreNote"] = note(signed.to_string()).into();
        format!("{receipt:#}\n")
    }

    pub(crate) fn pending_receipt(&self) -> String {
        let (envelope, entry) = self.pending();
        let receipt = Receipt::signed(self.did, self.signer.public_key(), envelope).expect("a receipt");
        receipt.pending(entry).to_json()
    }
}

/// The signer of the test vectors.
pub(crate) fn did() -> Did {
    Did::of(&Ed25519PrivateKey::from_seed(&SIGNER_SEED).public_key())
}

pub(crate) fn log_key() -> SignerKey {
    SignerKey::from_seed(KeyName::new(ORIGIN).expect("a name"), KeyType::Ed25519, &[0x11; 32])
}

pub(crate) fn witness_key() -> SignerKey {
    let name = KeyName::new("witness.example.com").expect("a name");
    SignerKey::from_seed(name, KeyType::Ed25519Cosignature, &[0x22; 32])
}

/// The policy of the test vectors: one log, one witness.
pub(crate) fn policy() -> String {
    format!("log {}\nwitness w {}\nquorum w\n", log_key().verifier(), witness_key().verifier())
}

/// The vectors of the specification.
pub(crate) fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("vectors")).expect("JSON")
}

pub(crate) const SIGNER_SEED: [u8; 32] = {
    let mut seed = [0; 32];
    let mut at = 0;
    while at < 32 {
        seed[at] = at as u8;
        at += 1;
    }
    seed
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_aip-attest");
pub(crate) const OTHER_PROGRAM: &str = env!("CARGO_BIN_EXE_aip");
