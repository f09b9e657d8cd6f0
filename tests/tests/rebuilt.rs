//! I7: a log is killed while events, artifacts and vouches are logged, then loses every envelope, then is rebuilt from
//! its leaves alone. States, lists and verdicts are the same every time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

use attestation::Did;
use attestation::dsse::Envelope;
use attestation::entry::Visibility::Public;
use attestation::entry::{Claim, ClaimHash, Entry, LogTime, PendingEntry};
use attestation::event::{
    DatedKey, Event, FailureReason, IdentityEvent, Level, Link, MAX_MESSAGE_KEY_MILLIS, MAX_VOUCH_MILLIS,
    MessageKeys, PendingEvent, Reference, Scope, StatementId, TrustEvent,
};
use attestation::evidence::Evidence;
use attestation::identity::Identity;
use attestation::lists::{Listed, ListedKind};
use attestation::message::MessageKey;
use attestation::statement::{Statement, Subject};
use serde_json::{Value, json};
use testkit::log::{Log, ORIGIN};
use testkit::oracle::check_log;
use testkit::program;
use testkit::scene::{ALL, commitment, key, raw, recovery_key, reproducible};
use tlog::encoding::{base64, decode_base64};
use tlog::key::Ed25519PrivateKey;
use tlog::tile::Tile;
use tlog::{Hash, LeafIndex, TreeSize};
use trust::{Graph, Ledger, MemoryLedger, Params, Ppm, ScopeQuery, Verdict, judge, search};

const FLAGS: &[&str] = &[
    "--round-interval",
    "2ms",
    "--did-entries-per-minute",
    "0",
    "--address-entries-per-minute",
    "0",
    "--did-reports-per-day",
    "0",
    "--address-reports-per-day",
    "0",
];

/// Who logs: the first is the root, each vouches for the next, and the last two never register.
const NAMES: [&str; 8] = ["root", "a", "b", "c", "d", "e", "bare", "unheard"];

/// How many of them register.
const REGISTERED: usize = 6;

/// Envelopes that each publishes at most; each is erased by a process of its own later.
const ENVELOPES: usize = 4;

/// What a pipeline built last: the content, and where it stands.
type Built = BTreeMap<usize, (String, LeafIndex)>;

/// A pipeline, with what it sent and was not answered yet.
struct Pipeline {
    at: usize,
    did: Did,
    key: u32,
    recovery: u32,
    link: Option<Link>,
    message_keys: Option<ClaimHash>,
    step: u32,
    published: Vec<Hash>,
    /// The content of its last build, and the step that made it.
    built: Option<(String, u32)>,
    failure: Option<LeafIndex>,
    newest: LeafIndex,
    unanswered: Option<Value>,
    is_over: bool,
}

fn now() -> LogTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    LogTime::from_millis(now.as_millis() as u64).expect("a time")
}

fn reference(index: LeafIndex) -> Reference {
    Reference { origin: ORIGIN.to_owned(), index }
}

impl Pipeline {
    fn new(at: usize) -> Self {
        Self {
            at,
            did: testkit::scene::did(NAMES[at]),
            key: 0,
            recovery: 0,
            link: None,
            message_keys: None,
            step: 0,
            published: Vec::new(),
            built: None,
            failure: None,
            newest: LeafIndex::new(0),
            unanswered: None,
            is_over: false,
        }
    }

    fn name(&self) -> &'static str {
        NAMES[self.at]
    }

    /// Whom it vouches for, and whose builds it makes again.
    fn peer(&self) -> usize {
        (self.at + 1) % REGISTERED
    }

    fn id(&self) -> StatementId {
        let hash = Hash::of(format!("{} {}", self.name(), self.step).as_bytes());
        StatementId(*hash.as_bytes().first_chunk().expect("32 bytes"))
    }

    fn build(&mut self, content: String) -> Value {
        let mut predicate = reproducible();
        predicate.insert("run".to_owned(), json!(format!("{} {}", self.name(), self.step)));
        let subject = Subject::new("app", Hash::of(content.as_bytes()));
        let statement = Statement::new(vec![subject], "https://slsa.dev/provenance/v1", predicate);
        let statement = statement.expect("a statement");
        let key = key(self.name(), self.key);
        let envelope = Envelope::sign(&key, statement.to_payload());
        let claim = Claim::new(&envelope, &statement, self.did, &key.public_key(), ORIGIN, Public);
        let entry = PendingEntry::sign(claim.expect("a claim"), &key).expect("an entry");
        self.built = Some((content, self.step));
        let leaf = base64(&entry.to_bytes());
        if self.published.len() == ENVELOPES {
            return json!({"leaf": leaf});
        }
        self.published.push(envelope.hash());
        json!({"leaf": leaf, "envelope": serde_json::from_str::<Value>(&envelope.to_json()).expect("JSON")})
    }

    fn identity(&mut self, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> Value {
        let event = Event::about_itself(self.did, ORIGIN, event).expect("an event");
        let event = PendingEvent::sign(event, keys).expect("it fits");
        let sequence = self.link.map_or(1, |link| link.sequence + 1);
        self.link = Some(Link { sequence, previous: event.hash() });
        json!({"leaf": base64(&event.to_bytes())})
    }

    fn say(&self, about: usize, event: TrustEvent) -> Value {
        let event =
            Event::about(testkit::scene::did(NAMES[about]), self.did, ORIGIN, event).expect("an event");
        let event = PendingEvent::sign(event, &[&key(self.name(), self.key)]).expect("it fits");
        json!({"leaf": base64(&event.to_bytes())})
    }

    fn inception(&mut self) -> Value {
        let name = self.name();
        let event = IdentityEvent::Inception {
            key: raw(&key(name, 0)),
            next: commitment(&key(name, 1)),
            recovery: commitment(&recovery_key(name, 0)),
            capabilities: ALL,
            public_name: None,
        };
        self.identity(event, &[&key(name, 0)])
    }

    fn rotation(&mut self) -> Value {
        let [current, next, then] = [0, 1, 2].map(|more| key(self.name(), self.key + more));
        let link = self.link.expect("an inception");
        let event =
            IdentityEvent::Rotation { link, key: raw(&next), next: commitment(&then), capabilities: ALL };
        self.key += 1;
        self.identity(event, &[&current, &next])
    }

    fn compromise(&mut self) -> Value {
        let link = self.link.expect("an inception");
        let event = IdentityEvent::Compromise { link, since: reference(self.newest) };
        self.identity(event, &[&key(self.name(), self.key + 1)])
    }

    fn recovery(&mut self) -> Value {
        let (name, link) = (self.name(), self.link.expect("an inception"));
        let [old, recovery] = [0, 1].map(|more| recovery_key(name, self.recovery + more));
        self.key += 2;
        self.recovery += 1;
        let new = key(name, self.key);
        let event = IdentityEvent::Recovery {
            link,
            key: raw(&new),
            next: commitment(&key(name, self.key + 1)),
            recovery: commitment(&recovery),
            capabilities: ALL,
            since: reference(self.newest),
        };
        self.identity(event, &[&old, &new])
    }

    /// Another message key in the place of the one before.
    fn message_keys(&mut self) -> Value {
        let issued_at = now();
        let not_after = LogTime::from_millis(issued_at.as_millis() + MAX_MESSAGE_KEY_MILLIS).expect("a time");
        // Any admitted key: nobody writes to it.
        let one = MessageKey::of_identity(&key(self.name(), self.step).public_key());
        let keys = vec![DatedKey { key: one, not_after }];
        let said = MessageKeys { issued_at, keys, previous: self.message_keys };
        let event = Event::message_keys(self.did, ORIGIN, said).expect("an event");
        let event = PendingEvent::sign(event, &[&key(self.name(), self.key)]).expect("it fits");
        self.message_keys = Some(event.hash());
        json!({"leaf": base64(&event.to_bytes())})
    }

    /// What it sends next; nothing, if there is nothing to say about that yet.
    fn next(&mut self, built: &Built) -> Option<Value> {
        self.step += 1;
        let step = self.step;
        if self.at >= REGISTERED {
            return Some(self.build(format!("{} {step}", self.name())));
        }
        let (peer, id) = (self.peer(), self.id());
        let others = built.get(&peer).cloned();
        match step {
            1 => return Some(self.inception()),
            // The last of them ends for ever, and is heard of no more.
            20 if self.at == REGISTERED - 1 => {
                let event = IdentityEvent::Deactivation { link: self.link.expect("an inception") };
                self.is_over = true;
                let [current, next] = [0, 1].map(|more| key(self.name(), self.key + more));
                return Some(self.identity(event, &[&current, &next]));
            }
            _ => (),
        }
        match step % 10 {
            2 => Some(self.build(format!("{} {step}", self.name()))),
            3 => {
                let issued_at = now();
                let expires_at = LogTime::from_millis(issued_at.as_millis() + MAX_VOUCH_MILLIS / 2);
                let (scope, level) = (Scope::CodeSigning, Level::Strong);
                let expires_at = expires_at.expect("a time");
                let vouch = TrustEvent::Vouch { id, issued_at, scope, level, depth: None, expires_at };
                Some(self.say(peer, vouch))
            }
            4 if step % 20 == 14 => Some(self.message_keys()),
            4 => others.map(|(content, _)| self.build(content)),
            5 => {
                let (content, receipt) = others?;
                // It may have built anew since.
                self.built.as_ref().filter(|(mine, _)| *mine == content)?;
                let (artifact, build) = (Hash::of(content.as_bytes()), reference(self.newest));
                Some(
                    self.say(peer, TrustEvent::Confirmation { artifact, receipt: reference(receipt), build }),
                )
            }
            6 => Some(self.rotation()),
            7 => {
                let (artifact, reason) = (Hash::of(b"broken"), FailureReason::Signature);
                Some(self.say(peer, TrustEvent::Failure { id, artifact, reason }))
            }
            8 => {
                let failure = reference(self.failure.take()?);
                Some(self.say(peer, TrustEvent::Withdrawal { failure }))
            }
            // The root is nobody's victim: what it says leads to the others.
            9 if self.at > 0 && step % 20 == 9 => Some(self.compromise()),
            0 if self.at > 0 && step % 20 == 10 => Some(self.recovery()),
            9 => Some(self.say((peer + 1) % REGISTERED, {
                let (issued_at, scope) = (now(), Scope::Financial);
                TrustEvent::Distrust { id, issued_at, scope }
            })),
            _ => Some(self.build(format!("{} {step}", self.name()))),
        }
    }

    /// Sends, and takes what is answered. Without an answer the same bytes are sent again in the log's next life.
    fn send(&mut self, log: &Log, built: &Mutex<Built>) -> bool {
        if self.unanswered.is_none() {
            let known = built.lock().expect("no panic").clone();
            self.unanswered = self.next(&known);
        }
        let Some(body) = &self.unanswered else { return true };
        let request = log.http().post(format!("{}/api/v1/entries", log.url())).json(body);
        let Ok(response) = request.send() else { return false };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>() else { return false };
        match status {
            200 => {
                self.newest = LeafIndex::new(answer["index"].as_u64().expect("an index"));
                if let Some((content, _)) = self.built.as_ref().filter(|(_, step)| *step == self.step) {
                    built.lock().expect("no panic").insert(self.at, (content.clone(), self.newest));
                }
                if self.step % 10 == 7 {
                    self.failure = Some(self.newest);
                }
            }
            // A void build or report of a peer's: the statement about it is dropped. Identity events never are.
            422 if matches!(self.step % 10, 5 | 7 | 8) => (),
            503 => return true,
            _ => panic!("{} {}: {status} {answer}", self.name(), self.step),
        }
        self.unanswered = None;
        true
    }
}

/// What the whole registry says: of each DID its state, its document, its lists and two verdicts.
#[derive(Debug, PartialEq)]
struct Seen {
    states: Vec<Option<Identity>>,
    documents: Vec<Value>,
    lists: BTreeMap<String, Value>,
    verdicts: Vec<Verdict>,
}

fn params() -> Vec<Params> {
    let root = Params::new([(testkit::scene::did(NAMES[0]), Params::FULL_ROOT)]).expect("one root");
    let root = root.with_scope(ScopeQuery::Only(Scope::CodeSigning));
    vec![root.clone(), root.with_floor(Ppm::new(100_000).expect("a share"))]
}

fn verdict<G: Graph>(ledger: &G, params: &Params, did: Did, time: LogTime) -> Verdict
where
    <G as Ledger>::Error: std::fmt::Debug,
{
    let found = search(ledger, params, did, time).expect("what it asks for is there");
    judge(ledger, params, &found.paths, did, time).expect("what it asks for is there")
}

fn evidence(log: &Log, params: &Params, did: Did) -> Evidence {
    let roots: BTreeMap<String, u16> =
        params.roots().map(|(did, weight)| (did.to_string(), weight)).collect();
    let body = json!({"did": did, "messages": true, "trust": {
        "roots": roots, "scope": params.scope().name(), "decay": params.decay(), "maxHops": params.max_hops(),
        "floor": params.floor().get(), "threshold": params.threshold().get(), "minPaths": params.min_paths(),
    }});
    let request = log.http().post(format!("{}/api/v1/evidence", log.url())).json(&body);
    let response = request.send().expect("an answer");
    assert!(response.status().is_success(), "{}", response.status());
    Evidence::parse(&response.bytes().expect("a body")).expect("evidence")
}

/// Asks the log for everything, at one moment of judgement; and holds it against what its leaves alone say.
fn look(log: &Log, time: LogTime) -> Seen {
    let leaves = check_log(log).leaves;
    let mut ledger = MemoryLedger::new(ORIGIN);
    for (index, leaf) in leaves.iter().enumerate() {
        let entry = Entry::parse(leaf).expect("an entry");
        ledger.push(LeafIndex::new(index as u64), &entry).expect("the log took it");
    }
    let mut seen =
        Seen { states: Vec::new(), documents: Vec::new(), lists: BTreeMap::new(), verdicts: Vec::new() };
    let dids = NAMES.map(testkit::scene::did);
    for did in dids {
        let (status, answer) = log.json(&format!("/api/v1/dids/{did}"));
        assert_eq!(status, 200, "{answer}");
        let events = answer["identity"].as_array().expect("an array").iter().map(|event| {
            let leaf = decode_base64(event["leaf"].as_str().expect("text")).expect("base64");
            let at = leaves.iter().position(|known| *known == leaf).expect("it is in the log");
            let Ok(Entry::Event(entry)) = Entry::parse(&leaf) else { panic!("an event") };
            (LeafIndex::new(at as u64), entry.pending().clone())
        });
        let events: Vec<_> = events.collect();
        let state = Identity::fold(events.iter().map(|(index, event)| (*index, event)));
        let Ok(want) = Ledger::identity(&ledger, did);
        assert_eq!(state.as_ref(), want.as_deref(), "{did}");
        seen.states.push(state);
        seen.documents.push(json!([answer["didDocument"], answer["didDocumentMetadata"]]));
        for params in params() {
            let proven = evidence(log, &params, did).verify(&log.policy()).expect("it holds");
            let verdict = verdict(&proven, &params, did, time);
            assert_eq!(verdict, self::verdict(&ledger, &params, did, time), "{did}");
            let recipient = proven.recipient(did, None).expect("what it asks for is there");
            assert_eq!(recipient, ledger.recipient(did, None), "{did}");
            seen.verdicts.push(verdict);
        }
        let own = ["id", "out", "in", "neg", "pos", "rcpt", "msg"].map(|list| format!("{list}:{did}"));
        let edges = dids
            .iter()
            .filter(|to| **to != did)
            .flat_map(|to| ["CODE_SIGNING", "FINANCIAL"].map(|scope| format!("edge:{did}:{to}:{scope}")));
        let names: Vec<String> = own.into_iter().chain(edges).collect();
        let query: Vec<String> = names.iter().map(|name| format!("key={name}")).collect();
        let (status, answer) = log.json(&format!("/api/v1/lists?{}", query.join("&")));
        assert_eq!((status, answer["treeSize"].as_u64()), (200, Some(leaves.len() as u64)), "{answer}");
        seen.lists.extend(names.into_iter().map(|name| (name.clone(), answer["lists"][&name].clone())));
    }
    seen
}

fn kinds(seen: &Seen) -> BTreeSet<u8> {
    let entries = seen.lists.values().flat_map(|list| list.as_array().expect("a list"));
    let kind = |entry: &Value| {
        let bytes = decode_base64(entry.as_str().expect("text")).expect("base64");
        let listed = Listed::from_bytes(&bytes.try_into().expect("32 bytes")).expect("an entry");
        listed.kind as u8
    };
    entries.map(kind).collect()
}

fn log_server(arguments: &[&str], dir: &Path) -> String {
    let output = Command::new(program("log-server")).args(arguments).arg("--dir").arg(dir).output();
    let output = output.expect("log-server runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Makes the directory anew, from `from` and the key alone.
fn rebuild(log: &Log, from: &Path, key: &Path) -> String {
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    log_server(&["recover", "--from", &text(from), "--key", &text(key)], &log.dir())
}

/// What a mirror has: the checkpoint and the tiles. No envelope, no tombstone.
fn mirror(log: &Log, to: &Path) {
    let size: TreeSize = testkit::oracle::checkpoint(log).size;
    let save = |path: &str| {
        let file = to.join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, log.bytes(&format!("/{path}"))).expect("written");
    };
    save("checkpoint");
    for tile in Tile::touched(TreeSize::EMPTY, size) {
        save(&tile.path());
        if tile.level() == 0 {
            save(&tile.entries_path());
        }
    }
}

#[test]
fn the_registry_is_the_same_after_kills_without_envelopes_and_from_the_leaves() {
    let cycles: usize =
        std::env::var("AIP_KILL_CYCLES").map_or(12, |cycles| cycles.parse().expect("a number"));
    let mut log = Log::init();
    let built = Mutex::new(Built::new());
    let mut pipelines: Vec<Pipeline> = (0..NAMES.len()).map(Pipeline::new).collect();
    // The first round: each is known to the log, so that it has something to say of everybody.
    log.serve(FLAGS);
    for pipeline in &mut pipelines {
        assert!(pipeline.send(&log, &built) && pipeline.unanswered.is_none());
    }
    let mut unanswered = 0;
    for cycle in 0..cycles {
        // After another number of answers each cycle, while all of them wait for one.
        let answers = 5 + cycle * 7919 % 60;
        let (answered, wait) = channel();
        let pid = log.pid().to_string();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for pipeline in &mut pipelines {
                let answered: Sender<()> = answered.clone();
                let (log, built, stop) = (&log, &built, &stop);
                scope.spawn(move || {
                    let is_silent = |of: &Pipeline| of.is_over && of.unanswered.is_none();
                    while !stop.load(Ordering::Relaxed) && !is_silent(pipeline) && pipeline.send(log, built) {
                        let _ = answered.send(());
                    }
                });
            }
            drop(answered);
            for _ in 0..answers {
                wait.recv().expect("somebody is answered");
            }
            let killed = Command::new("kill").args(["-KILL", &pid]).status();
            assert!(killed.expect("kill runs").success());
            stop.store(true, Ordering::Relaxed);
        });
        log.kill();
        unanswered += pipelines.iter().filter(|pipeline| pipeline.unanswered.is_some()).count();
        log.serve(FLAGS);
        look(&log, now());
    }
    assert!(unanswered >= cycles, "{unanswered} were not answered: no round was under way");
    // Whoever was not answered asks again, and learns what came of it.
    for pipeline in &mut pipelines {
        while pipeline.unanswered.is_some() {
            assert!(pipeline.send(&log, &built), "the log runs");
        }
    }
    let time = now();
    let want = look(&log, time);
    let all = [
        ListedKind::Receipt,
        ListedKind::Inception,
        ListedKind::Rotation,
        ListedKind::Recovery,
        ListedKind::Compromise,
        ListedKind::Deactivation,
        ListedKind::Vouch,
        ListedKind::Distrust,
        ListedKind::Confirmation,
        ListedKind::Failure,
        ListedKind::Withdrawal,
        ListedKind::MessageKeys,
    ];
    let missing: Vec<_> = all.iter().filter(|kind| !kinds(&want).contains(&(**kind as u8))).collect();
    assert!(missing.is_empty(), "never logged: {missing:?}");
    assert!(want.verdicts.iter().any(|verdict| verdict.score.get() > 0 && !verdict.paths.is_empty()));
    log.kill();
    log.serve(FLAGS);
    assert_eq!(look(&log, time), want, "killed");

    assert_eq!(log.stop(), Some(0));
    let envelopes: Vec<Hash> = pipelines.iter().flat_map(|pipeline| pipeline.published.clone()).collect();
    assert!(envelopes.len() >= NAMES.len());
    for envelope in &envelopes {
        log_server(&["erase", &envelope.to_string(), "--reason", "it named a person"], &log.dir());
    }
    log.serve(FLAGS);
    for envelope in &envelopes {
        assert_eq!(log.get(&format!("/api/v1/envelopes/{envelope}")).status().as_u16(), 410);
    }
    assert_eq!(look(&log, time), want, "every envelope is erased");
    let tiles = log.folder().join("tiles");
    mirror(&log, &tiles);
    assert_eq!(log.stop(), Some(0));

    // The directory is lost: what is derived is made from the leaves of another copy, and of a mirror that has but them.
    let copy = log.folder().join("copy");
    std::fs::rename(log.dir(), &copy).expect("moved");
    for (from, status) in [(&copy, 410), (&tiles, 404)] {
        let line = rebuild(&log, from, &copy.join("log.skey"));
        assert!(log.fsck().status.success(), "{line}");
        log.serve(FLAGS);
        let asked = log.get(&format!("/api/v1/envelopes/{}", envelopes[0])).status().as_u16();
        assert_eq!(asked, status, "{line}");
        assert_eq!(look(&log, time), want, "rebuilt from `{}`", from.display());
        assert_eq!(log.stop(), Some(0));
        std::fs::remove_dir_all(log.dir()).expect("removed");
    }
    println!("{cycles} kills, {unanswered} unanswered, {} envelopes erased", envelopes.len());
}
