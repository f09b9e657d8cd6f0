//! Identities in a real log: events over HTTP, what is answered of a DID, and the registry after a power cut.

use std::process::Command;

use attestation::Did;
use attestation::entry::Visibility::Public;
use attestation::entry::{Entry, LogTime};
use attestation::event::{
    Capabilities, Commitment, Event, FailureReason, IdentityEvent, Level, Link, PendingEvent, Reference,
    Scope, StatementId, TrustEvent,
};
use attestation::identity::{Identity, Status};
use attestation::lists::{Listed, ListedKind};
use attestation::message::MessageKey;
use attestation::receipt::{Receipt, Signers, Verdict, VerifyPolicy};
use serde_json::{Value, json};
use testkit::log::{Log, ORIGIN};
use testkit::program;
use testkit::signer::Signer;
use tlog::checkpoint::Checkpoint;
use tlog::encoding::{base64, decode_base64};
use tlog::key::Ed25519PrivateKey;
use tlog::merkle::{inclusion, leaf_hash};
use tlog::note::Note;
use tlog::proof::TlogProof;
use tlog::{Hash, LeafIndex};

/// A pipeline's keys: the current one of the DID is key `at`.
struct Owner {
    number: u8,
    at: u8,
    link: Option<Link>,
}

impl Owner {
    fn new(number: u8) -> Self {
        Self { number, at: 0, link: None }
    }

    fn key(&self, at: u8) -> Ed25519PrivateKey {
        let mut seed = [self.number; 32];
        seed[31] = at;
        Ed25519PrivateKey::from_seed(&seed)
    }

    fn raw(&self, at: u8) -> [u8; 32] {
        *self.key(at).public_key().as_bytes()
    }

    fn did(&self) -> Did {
        Did::of_raw(&self.raw(0))
    }

    fn sign(&mut self, event: IdentityEvent, keys: &[u8]) -> PendingEvent {
        let event = Event::about_itself(self.did(), ORIGIN, event).expect("an event");
        let keys: Vec<_> = keys.iter().map(|at| self.key(*at)).collect();
        let event = PendingEvent::sign(event, &keys.iter().collect::<Vec<_>>()).expect("it fits");
        let sequence = self.link.map_or(1, |link| link.sequence + 1);
        self.link = Some(Link { sequence, previous: event.hash() });
        event
    }

    fn inception(&mut self, vouches: bool) -> PendingEvent {
        let event = IdentityEvent::Inception {
            key: self.raw(0),
            next: Commitment::to(&self.raw(1)),
            recovery: Commitment::to(&self.raw(99)),
            capabilities: Capabilities { vouches, ..Capabilities::PIPELINE },
            public_name: None,
        };
        self.sign(event, &[0])
    }

    fn rotation(&mut self) -> PendingEvent {
        let (link, next) = (self.link.expect("an inception"), Commitment::to(&self.raw(self.at + 2)));
        let key = self.raw(self.at + 1);
        let event = IdentityEvent::Rotation { link, key, next, capabilities: Capabilities::PIPELINE };
        let event = self.sign(event, &[self.at, self.at + 1]);
        self.at += 1;
        event
    }

    fn deactivation(&mut self) -> PendingEvent {
        let link = self.link.expect("an inception");
        self.sign(IdentityEvent::Deactivation { link }, &[99])
    }

    fn vouch(&self, about: Did, id: u8) -> PendingEvent {
        let time = |milliseconds| LogTime::from_millis(milliseconds).expect("a time");
        let vouch = TrustEvent::Vouch {
            id: StatementId([id; 16]),
            issued_at: time(1_790_000_000_000),
            scope: Scope::CodeSigning,
            level: Level::Strong,
            depth: Some(1),
            expires_at: time(1_790_000_600_000),
        };
        let event = Event::about(about, self.did(), ORIGIN, vouch).expect("an event");
        PendingEvent::sign(event, &[&self.key(self.at)]).expect("it fits")
    }
}

fn submission(event: &PendingEvent) -> Value {
    json!({"leaf": base64(&event.to_bytes())})
}

fn rule(problem: &Value) -> &str {
    problem["type"].as_str().and_then(|rule| rule.strip_prefix("urn:aip:problem:")).unwrap_or("no rule")
}

/// The index of an event that the log takes.
fn log_event(log: &Log, event: &PendingEvent) -> u64 {
    let (status, answer) = log.submit(&submission(event));
    assert_eq!((status, answer["status"].as_str()), (200, Some("logged")), "{answer}");
    answer["index"].as_u64().expect("an index")
}

/// The state that an answer's `identity` proves, on the checkpoint it carries.
fn proved_state(identity: &Value, checkpoint: &Checkpoint) -> Option<Identity> {
    let mut events = Vec::new();
    for event in identity.as_array().expect("an array") {
        let leaf = decode_base64(event["leaf"].as_str().expect("text")).expect("base64");
        let proof = TlogProof::parse(event["proof"].as_str().expect("text")).expect("a proof");
        assert_eq!(proof.checkpoint.text(), checkpoint.to_string(), "one checkpoint");
        inclusion::verify(&leaf_hash(&leaf), proof.index, checkpoint.size, &proof.hashes, &checkpoint.root)
            .expect("it is in the tree");
        let Ok(Entry::Event(entry)) = Entry::parse(&leaf) else { panic!("an event") };
        events.push((proof.index, entry.pending().clone()));
    }
    Identity::fold(events.iter().map(|(index, event)| (*index, event)))
}

fn resolution(log: &Log, did: Did) -> (Value, Option<Identity>) {
    let (status, answer) = log.json(&format!("/api/v1/dids/{did}"));
    assert_eq!(status, 200, "{answer}");
    let note = Note::parse(answer["checkpoint"].as_str().expect("text").as_bytes()).expect("a note");
    let checkpoint = Checkpoint::parse(note.text()).expect("a checkpoint");
    let state = proved_state(&answer["identity"], &checkpoint);
    (answer, state)
}

#[test]
fn a_did_is_answered_with_what_proves_it() {
    let log = Log::start(&[]);
    let (mut owner, stranger) = (Owner::new(1), Owner::new(2));
    let did = owner.did();
    // Unknown, bare, registered, rotated, ended.
    let (status, problem) = log.json(&format!("/did/{did}"));
    assert_eq!((status, rule(&problem)), (404, "no-did"));
    assert!(problem["hint"].is_string());
    assert_eq!(log.json("/did/did:key:z6Mk").0, 400);
    let (answer, state) = resolution(&log, did);
    assert_eq!((&answer["didDocument"], state), (&Value::Null, None));
    let signer = Signer { key: owner.key(0) };
    let first = signer.sign(ORIGIN, b"one", Public, 0);
    let (_, answer) = log.submit(&first.published());
    assert!(answer.get("identity").is_none(), "a bare key has no events: {answer}");
    let multibase = |at| {
        let key = owner.key(at).public_key();
        attestation::did::to_did_key(&key).strip_prefix("did:key:").expect("a prefix").to_owned()
    };
    let (key0, key1) = (multibase(0), multibase(1));
    let document = |key: &str| {
        let id = format!("{did}#{key}");
        let method =
            json!({"id": id, "type": "Multikey", "controller": did.to_string(), "publicKeyMultibase": key});
        // Without message keys a message is sealed to the identity key.
        let identity = attestation::did::from_did_key(&format!("did:key:{key}")).expect("a key");
        let sealed_to = MessageKey::of_identity(&identity).to_multibase();
        let agreement = json!({"id": format!("{did}#{sealed_to}"), "type": "Multikey", "controller": did.to_string(), "publicKeyMultibase": sealed_to});
        json!({"@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": did.to_string(), "alsoKnownAs": [format!("did:key:{key}")], "verificationMethod": [method], "authentication": [id], "assertionMethod": [id], "keyAgreement": [agreement]})
    };
    let read = |log: &Log| {
        let response = log.get(&format!("/did/{did}"));
        assert_eq!(response.headers()["content-type"], "application/did+json");
        response.json::<Value>().expect("JSON")
    };
    assert_eq!(read(&log), document(&key0));
    assert_eq!(log_event(&log, &owner.inception(false)), 1);
    let (answer, state) = resolution(&log, did);
    assert_eq!(answer["didDocument"], document(&key0));
    let state = state.expect("it is registered");
    assert_eq!((state.status(), state.key()), (Status::Active, &owner.raw(0)));
    assert_eq!(log_event(&log, &owner.rotation()), 2);
    assert_eq!(read(&log), document(&key1));
    let (answer, state) = resolution(&log, did);
    let metadata = &answer["didDocumentMetadata"];
    assert_eq!(state.expect("a state").key(), &owner.raw(1));
    assert_eq!(metadata["versionId"], "2");
    assert_eq!(
        metadata["keys"],
        json!([{"publicKeyMultibase": key0, "from": 1, "until": 2}, {"publicKeyMultibase": key1, "from": 2, "until": null}])
    );
    assert_eq!((&metadata["status"], &metadata["deactivated"]), (&json!("active"), &json!(false)));
    assert!(metadata["created"].as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 20));
    // Entries under the state, and what their receipts carry.
    let (status, problem) = log.submit(&signer.sign(ORIGIN, b"late", Public, 0).published());
    assert_eq!((status, rule(&problem)), (422, "retired-key"));
    assert!(problem["hint"].as_str().is_some_and(|hint| hint.contains("/did/")), "{problem}");
    let (status, problem) = log.submit(&submission(&stranger.vouch(did, 1)));
    assert_eq!((status, rule(&problem)), (422, "not-registered"));
    let mut with_envelope = submission(&owner.vouch(stranger.did(), 1));
    with_envelope["envelope"] = first.published()["envelope"].clone();
    assert_eq!(rule(&log.submit(&with_envelope).1), "event-envelope");
    let (_, again) = log.submit(&first.published());
    assert_eq!(again["index"], 0, "what is logged is answered whatever its key is now");
    let proof = TlogProof::parse(again["proof"].as_str().expect("text")).expect("a proof");
    let checkpoint = Checkpoint::parse(proof.checkpoint.text()).expect("a checkpoint");
    assert_eq!(proved_state(&again["identity"], &checkpoint).expect("a state").link().sequence, 2);
    let receipt = Receipt::parse(&log.bytes("/api/v1/entries/0/receipt")).expect("a receipt");
    assert_eq!(receipt.log_answer().expect("logged").identity.len(), 2);
    let policy = log.policy();
    let verify = VerifyPolicy::new(&policy, Signers::OneOf(vec![did]));
    let report = receipt.verify(&verify, &first.artifact, None);
    assert_eq!(report.verdict(), Verdict::Verified, "{report:?}");
    assert_eq!(log_event(&log, &owner.deactivation()), 3);
    assert_eq!(read(&log)["verificationMethod"], json!([]));
    assert_eq!(resolution(&log, did).0["didDocumentMetadata"]["deactivated"], true);
}

/// A document by the rules of W3C DID Core 1.0 for its core properties (section 5) and for JSON (6.2).
fn check_did_core(document: &Value, did: Did) {
    let members = [
        "@context",
        "id",
        "alsoKnownAs",
        "verificationMethod",
        "authentication",
        "assertionMethod",
        "keyAgreement",
        "service",
    ];
    let object = document.as_object().expect("an object");
    assert!(object.keys().all(|name| members.contains(&name.as_str())), "{document}");
    assert_eq!(document["@context"][0], "https://www.w3.org/ns/did/v1", "the first context");
    assert_eq!(document["id"], did.to_string());
    let list = |name: &str| document[name].as_array().unwrap_or_else(|| panic!("{name}: {document}")).clone();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    let mut ids = Vec::new();
    for method in list("verificationMethod") {
        assert_eq!(method.as_object().map(serde_json::Map::len), Some(4), "{method}");
        assert_eq!((&method["type"], text(&method["controller"])), (&json!("Multikey"), did.to_string()));
        attestation::did::from_did_key(&format!("did:key:{}", text(&method["publicKeyMultibase"])))
            .expect("an Ed25519 key");
        ids.push(text(&method["id"]));
    }
    // Embedded: a key for messages is for nothing else (X25519, multicodec 0xEC01).
    for method in list("keyAgreement") {
        assert_eq!(method.as_object().map(serde_json::Map::len), Some(4), "{method}");
        assert_eq!((&method["type"], text(&method["controller"])), (&json!("Multikey"), did.to_string()));
        let key = text(&method["publicKeyMultibase"]);
        assert!(key.starts_with("z6LS"), "{key}");
        assert_eq!(text(&method["id"]), format!("{did}#{key}"));
        ids.push(text(&method["id"]));
    }
    for relation in ["authentication", "assertionMethod"] {
        assert!(
            list(relation).iter().all(|id| ids.contains(&text(id))),
            "{relation} names a method: {document}"
        );
    }
    for service in list("service") {
        assert_eq!(service.as_object().map(serde_json::Map::len), Some(3), "{service}");
        for uri in [&service["type"], &service["serviceEndpoint"]] {
            assert!(
                reqwest::Url::parse(&text(uri)).is_ok_and(|url| url.as_str() == text(uri)),
                "{uri} is normal"
            );
        }
        ids.push(text(&service["id"]));
    }
    let own = format!("{did}#");
    assert!(
        ids.iter().all(|id| id.strip_prefix(&own).is_some_and(|fragment| !fragment.is_empty())),
        "{ids:?}"
    );
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    for known in list("alsoKnownAs") {
        attestation::did::from_did_key(&text(&known)).expect("a did:key");
    }
}

/// In every state that a DID can have; and from the document a way leads to its history and the proof of it.
#[test]
fn a_document_keeps_the_rules_of_did_core() {
    let mut log = Log::init();
    let address = format!("{}/pipelines", log.url());
    // The slash at the end is not doubled.
    let policy = format!("log {} {address}/\nquorum none\n", log.vkey);
    std::fs::write(log.dir().join("policy"), policy).expect("a policy");
    log.serve(&[]);
    let mut owner = Owner::new(1);
    let did = owner.did();
    let signer = Signer { key: owner.key(0) };
    let keys = [0, 1].map(|at| attestation::did::to_did_key(&owner.key(at).public_key()));
    let check = |key: Option<usize>| {
        let response = log.get(&format!("/did/{did}"));
        assert_eq!(response.headers()["content-type"], "application/did+json");
        let path = format!("/api/v1/dids/{did}");
        assert_eq!(response.headers()["link"], format!("<{path}>; rel=\"describedby\""));
        let document: Value = response.json().expect("JSON");
        check_did_core(&document, did);
        let known: Vec<&String> = key.iter().map(|at| &keys[*at]).collect();
        assert_eq!(document["alsoKnownAs"], json!(known));
        assert_eq!(document["verificationMethod"].as_array().map(Vec::len), Some(known.len()));
        assert_eq!(document["service"][0]["serviceEndpoint"], format!("{address}{path}"));
        let (answer, state) = resolution(&log, did);
        assert_eq!(answer["didDocument"], document);
        assert_eq!(answer["didDocumentMetadata"]["registered"], state.is_some());
    };
    log.submit(&signer.sign(ORIGIN, b"one", Public, 0).published());
    check(Some(0));
    log_event(&log, &owner.inception(false));
    check(Some(0));
    log_event(&log, &owner.rotation());
    check(Some(1));
    log_event(&log, &owner.deactivation());
    check(None);
}

/// What is admitted together is told apart when it gets its index: a refusal then is a refusal, not "later".
#[test]
fn of_racing_rotations_one_is_logged_and_the_others_are_told_which_rule() {
    let log = Log::start(&["--did-entries-per-minute", "0"]);
    let mut owner = Owner::new(1);
    log_event(&log, &owner.inception(false));
    let link = owner.link;
    let race: Vec<Value> = (0..50)
        .map(|at| {
            owner.link = link;
            let next = Commitment::to(&owner.raw(150 + at));
            let event = IdentityEvent::Rotation {
                link: link.expect("an inception"),
                key: owner.raw(1),
                next,
                capabilities: Capabilities::PIPELINE,
            };
            submission(&owner.sign(event, &[0, 1]))
        })
        .collect();
    let (status, answers) = log.submit(&Value::Array(race.clone()));
    assert_eq!(status, 200, "{answers}");
    let answers = answers.as_array().expect("results");
    let logged: Vec<_> = answers.iter().filter(|answer| answer["status"] == "logged").collect();
    assert_eq!(logged.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer["status"] != "logged") {
        assert_eq!(answer["status"], "refused");
        assert_eq!((rule(&answer["error"]), &answer["error"]["status"]), ("identity-order", &json!(422)));
    }
    let (status, problem) =
        log.submit(race.iter().zip(answers).find(|(_, a)| a["status"] == "refused").expect("49").0);
    assert_eq!((status, rule(&problem)), (422, "identity-order"));
    assert_eq!(resolution(&log, owner.did()).1.expect("a state").link().sequence, 2);
}

/// What is refused when it would get its index is not in the log, and costs none of what may be logged in a day.
#[test]
fn a_refusal_at_sequencing_gives_the_days_bytes_back() {
    let mut owner = Owner::new(1);
    let inception = owner.inception(false);
    let link = owner.link;
    let mut race = || {
        owner.link = link;
        owner.at = 0;
        owner.rotation()
    };
    let rotations = [race(), {
        owner.link = link;
        let next = Commitment::to(&owner.raw(50));
        let link = link.expect("an inception");
        let (key, capabilities) = (owner.raw(1), Capabilities::PIPELINE);
        owner.sign(IdentityEvent::Rotation { link, key, next, capabilities }, &[0, 1])
    }];
    let entry = Signer { key: owner.key(1) }.sign(ORIGIN, b"x", Public, 0);
    let bytes: usize =
        [&inception, &rotations[0], &rotations[1]].map(|event| event.to_bytes().len()).iter().sum();
    assert!(entry.entry.to_bytes().len() < rotations[0].to_bytes().len(), "it fits where a rotation was");
    let log = Log::start(&["--bytes-per-day", &bytes.to_string(), "--address-bytes-per-day", "0"]);
    log_event(&log, &inception);
    let (_, answers) = log.submit(&Value::Array(rotations.iter().map(submission).collect()));
    let states: Vec<&str> =
        answers.as_array().expect("results").iter().filter_map(|answer| answer["status"].as_str()).collect();
    assert!(states.contains(&"logged") && states.contains(&"refused"), "{answers}");
    let (status, answer) = log.submit(&entry.by_hash());
    assert_eq!(status, 200, "{answer}");
}

/// Each report lengthens the evidence about its subject for ever: a day takes a few of each DID and address.
#[test]
fn a_day_takes_a_few_reports_of_each() {
    let mut log = Log::init();
    let report = |owner: &Owner, about: Did, id: u8| {
        let reason = FailureReason::Digest;
        let failure = TrustEvent::Failure { id: StatementId([id; 16]), artifact: Hash::of(b"a"), reason };
        let event = Event::about(about, owner.did(), ORIGIN, failure).expect("an event");
        PendingEvent::sign(event, &[&owner.key(owner.at)]).expect("it fits")
    };
    let mut owners: Vec<Owner> = (1..=3).map(Owner::new).collect();
    let dids: Vec<Did> = owners.iter().map(Owner::did).collect();
    log.serve(&["--did-reports-per-day", "2", "--address-reports-per-day", "3"]);
    for owner in &mut owners {
        log_event(&log, &owner.inception(true));
    }
    let first = log_event(&log, &report(&owners[0], dids[1], 1));
    log_event(&log, &report(&owners[0], dids[2], 2));
    let withdrawal = TrustEvent::Withdrawal {
        failure: Reference { origin: ORIGIN.to_owned(), index: LeafIndex::new(first) },
    };
    let withdrawal = Event::about(dids[1], dids[0], ORIGIN, withdrawal).expect("an event");
    log_event(&log, &PendingEvent::sign(withdrawal, &[&owners[0].key(0)]).expect("it fits"));
    let refused = |event: &PendingEvent| {
        let (status, problem) = log.submit(&submission(event));
        assert_eq!((status, rule(&problem)), (429, "report-budget"), "{problem}");
        problem["title"].as_str().expect("a title").to_owned()
    };
    assert!(refused(&report(&owners[0], dids[1], 3)).contains(&dids[0].to_string()));
    log_event(&log, &report(&owners[1], dids[2], 4));
    assert!(refused(&report(&owners[2], dids[0], 5)).contains("127.0.0.1"), "whatever DID it takes");
    // What is no report is taken.
    log_event(&log, &owners[2].vouch(dids[0], 6));
}

#[test]
fn lists_are_answered_by_their_names() {
    let log = Log::start(&[]);
    let (mut one, mut two) = (Owner::new(1), Owner::new(2));
    log_event(&log, &one.inception(true));
    log_event(&log, &two.inception(false));
    let (a, b) = (one.did(), two.did());
    let vouches: Vec<u64> = (0..3).map(|id| log_event(&log, &one.vouch(b, id))).collect();
    log.submit(&Signer { key: two.key(0) }.sign(ORIGIN, b"x", Public, 0).by_hash());
    let names = [
        format!("id:{a}"),
        format!("out:{a}"),
        format!("in:{b}"),
        format!("edge:{a}:{b}:CODE_SIGNING"),
        format!("edge:{a}:{b}:GENERAL"),
        format!("neg:{b}"),
        format!("pos:{b}"),
        format!("rcpt:{b}"),
        format!("rcpt:{a}"),
    ];
    let query =
        |names: &[String]| names.iter().map(|name| format!("key={name}")).collect::<Vec<_>>().join("&");
    let (status, answer) = log.json(&format!("/api/v1/lists?{}", query(&names)));
    assert_eq!((status, answer["treeSize"].as_u64()), (200, Some(6)), "{answer}");
    let list = |name: &String| -> Vec<Listed> {
        let entries = answer["lists"][name].as_array().unwrap_or_else(|| panic!("no {name}"));
        let entry = |entry: &Value| decode_base64(entry.as_str()?)?.try_into().ok();
        let read = |value| Listed::from_bytes(&entry(value).expect("32 bytes")).expect("an entry");
        entries.iter().map(read).collect()
    };
    let indexes = |name| list(name).iter().map(|listed| listed.index.get()).collect::<Vec<_>>();
    assert_eq!(indexes(&names[0]), [0]);
    for name in &names[1..4] {
        assert_eq!(indexes(name), vouches, "{name}");
    }
    assert_eq!((list(&names[1])[0].peer, list(&names[2])[0].peer), (b, a));
    assert_eq!((list(&names[3])[0].kind, list(&names[3])[0].level), (ListedKind::Vouch, Some(Level::Strong)));
    for name in [&names[4], &names[5], &names[6], &names[8]] {
        assert!(list(name).is_empty(), "{name}");
    }
    assert_eq!(list(&names[7]), [Listed::receipt(LeafIndex::new(5), b)]);
    let encoded = names[0].replace(':', "%3A");
    assert_eq!(log.json(&format!("/api/v1/lists?key={encoded}")).0, 200);
    let many: Vec<String> = (0..65).map(|_| names[0].clone()).collect();
    for query in [String::new(), "key=".into(), "key=id:x".into(), "list=a".into(), query(&many)] {
        assert_eq!(log.json(&format!("/api/v1/lists?{query}")).0, 400, "{query}");
    }
}

/// I7: kill -9, restart, rebuild from the leaves alone: one registry, every time.
#[test]
fn the_registry_survives_kills_and_is_rebuilt_from_the_leaves() {
    let mut log = Log::start(&["--did-entries-per-minute", "0", "--address-entries-per-minute", "0"]);
    let mut owners: Vec<Owner> = (1..=12).map(Owner::new).collect();
    let states = |log: &Log, owners: &[Owner]| -> Vec<Option<Identity>> {
        owners.iter().map(|owner| resolution(log, owner.did()).1).collect()
    };
    for turn in 0..4 {
        let mut events = Vec::new();
        for at in 0..owners.len() {
            let about = owners[(at + 1) % owners.len()].did();
            match turn {
                0 => events.push(owners[at].inception(true)),
                1 => events.push(owners[at].vouch(about, turn)),
                2 => events.push(owners[at].rotation()),
                _ if at % 3 == 0 => events.push(owners[at].deactivation()),
                _ => (),
            }
        }
        let many: Vec<Value> = events.iter().map(submission).collect();
        let (status, answers) = log.submit(&Value::Array(many.clone()));
        assert_eq!(status, 200, "{answers}");
        let before = states(&log, &owners);
        assert!(before.iter().all(Option::is_some));
        log.kill();
        log.serve(&[]);
        assert_eq!(states(&log, &owners), before, "turn {turn}");
        // What was answered is answered again, and is not one entry more.
        let (_, again) = log.submit(&Value::Array(many));
        let indexes = |answers: &Value| -> Vec<Option<u64>> {
            answers.as_array().expect("results").iter().map(|one| one["index"].as_u64()).collect()
        };
        assert_eq!(indexes(&again), indexes(&answers));
    }
    let (want, size) = (states(&log, &owners), log.bytes("/checkpoint"));
    let query = owners.iter().map(|owner| format!("key=out:{0}&key=in:{0}&key=id:{0}", owner.did()));
    let query = format!("/api/v1/lists?{}", query.collect::<Vec<_>>().join("&"));
    let lists = log.json(&query).1;
    assert_eq!(log.stop(), Some(0));
    let fsck = log.fsck();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
    // The directory is lost but for its key and policy; another copy's leaves are all there is.
    let copy = log.folder().join("copy");
    std::fs::rename(log.dir(), &copy).expect("moved");
    let recover = Command::new(program("log-server"))
        .arg("recover")
        .arg("--dir")
        .arg(log.dir())
        .arg("--from")
        .arg(&copy)
        .arg("--key")
        .arg(copy.join("log.skey"))
        .output()
        .expect("log-server runs");
    assert!(recover.status.success(), "{}", String::from_utf8_lossy(&recover.stderr));
    let fsck = log.fsck();
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
    log.serve(&[]);
    assert_eq!(states(&log, &owners), want);
    assert_eq!(log.json(&query).1, lists);
    assert_eq!(
        String::from_utf8_lossy(&log.bytes("/checkpoint")).lines().take(3).collect::<Vec<_>>(),
        String::from_utf8_lossy(&size).lines().take(3).collect::<Vec<_>>()
    );
}
