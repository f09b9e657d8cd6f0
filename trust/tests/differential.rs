//! R20: the score is computed twice, by the crate and by `aip_trust.py` beside it, which was written from the
//! specifications alone. Both agree byte for byte on random logs.
//!
//! 1,000 logs by default; `AIP_TRUST_LOGS` says how many (`./run interop`: 10,000).

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "the library is pure; this test runs the other implementation"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path as FilePath;
use std::process::{Command, Stdio};

use attestation::entry::{Entry, Visibility};
use attestation::event::{Capabilities, Event, FailureReason, IdentityEvent, Level, Link, Scope, TrustEvent};
use attestation::identity::StateError;
use attestation::rules::RuleError;
use serde_json::{Map, Value, json};
use testkit::chance::Chance;
use testkit::scene::{
    ALL, DAY, ORIGIN, START, Scene, commitment, did, key, raw, recovery_key, reference, reproducible, time,
};
use tlog::key::Ed25519PrivateKey;
use tlog::{Hash, LeafIndex};
use trust::{MemoryLedger, Params, Path, Ppm, ScopeQuery, judge, search};

/// The numbers of the keys that a pipeline has reached.
#[derive(Clone, Copy, Default)]
struct Keys {
    current: u32,
    next: u32,
    recovery: u32,
    last: u32,
}

/// A random log, some of whose entries break rules.
struct Story {
    chance: Chance,
    scene: Scene,
    names: Vec<String>,
    keys: BTreeMap<String, Keys>,
    /// Index, whose, content, reproducible.
    builds: Vec<(LeafIndex, String, String, bool)>,
    failures: Vec<LeafIndex>,
    /// Little time passes, and there is a chain of vouches from the first to the last.
    calm: bool,
    /// Who has nearly all the identity events that a DID can have.
    worn: Option<String>,
    /// How often somebody had too many, by the number that was too many.
    refused: BTreeMap<u32, usize>,
}

impl Story {
    fn tell(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let names: Vec<String> = (0..3 + chance.below(6)).map(|number| format!("p{number}")).collect();
        let mut story = Self {
            chance,
            scene: Scene::default(),
            names,
            keys: BTreeMap::new(),
            builds: Vec::new(),
            failures: Vec::new(),
            calm: seed.is_multiple_of(2),
            worn: None,
            refused: BTreeMap::new(),
        };
        for name in story.names.clone() {
            if story.calm || story.chance.percent(90) {
                story.register(&name);
            }
        }
        if story.calm {
            for pair in story.names.clone().windows(2) {
                let _ = story.scene.vouch_with(&pair[0], &pair[1], Scope::General, Level::Strong, None);
            }
        }
        if seed % 25 == 3 {
            story.wear_out();
        }
        let life = 15 + story.chance.below(50);
        for _ in 0..life {
            story.step();
        }
        story
    }

    /// Somebody's identity events go on and on, up to each of the limits and beyond.
    fn wear_out(&mut self) {
        let name = self.name();
        self.worn = Some(name.clone());
        let few = 230 + u32::try_from(self.chance.below(15)).expect("few");
        for _ in 0..300 {
            if self.scene.link(&name).sequence >= few {
                break;
            }
            self.rotate();
        }
        for _ in 0..60 {
            match self.chance.below(20) {
                0..5 => self.rotate(),
                5..12 => self.compromise(),
                12..19 => self.recover(),
                _ => self.edge(),
            }
        }
    }

    /// Whose identity changes.
    fn changing(&mut self) -> String {
        match self.worn.clone() {
            Some(worn) if self.chance.percent(90) => worn,
            _ => self.name(),
        }
    }

    /// Logs an identity event, and counts it if there are too many. Answers whether it counts.
    fn log_identity(&mut self, name: &str, event: IdentityEvent, keys: &[&Ed25519PrivateKey]) -> bool {
        let logged = self.scene.log_identity(name, event, keys);
        if let Err(RuleError::State(StateError::TooManyEvents { most, .. })) = &logged {
            *self.refused.entry(*most).or_default() += 1;
        }
        logged.is_ok()
    }

    fn name(&mut self) -> String {
        self.chance.of(&self.names).clone()
    }

    fn step(&mut self) {
        self.scene.next += u64::from(self.chance.percent(10)) * self.chance.below(4);
        self.scene.now += match if self.calm { 0 } else { self.chance.below(10) } {
            0..5 => self.chance.below(DAY),
            5..9 => self.chance.below(10 * DAY),
            _ => self.chance.below(60 * DAY),
        };
        match self.chance.below(100) {
            0..38 => self.edge(),
            38..58 => self.build(),
            58..70 => self.confirm(),
            70..77 => self.fail(),
            77..80 => self.withdraw(),
            80..84 => self.contradict(),
            84..87 => self.replay(),
            87..89 => {
                let name = self.name();
                self.register(&name);
            }
            89..93 => self.rotate(),
            93..95 => self.compromise(),
            95..98 => self.recover(),
            98 => self.deactivate(),
            _ => self.not_understood(),
        }
    }

    /// Says it by the issuer's key; now and then by another one.
    fn say(&mut self, from: &str, to: &str, event: TrustEvent) -> Option<LeafIndex> {
        if from == to {
            return None;
        }
        let key = self.signing_key(from);
        let event = Event::about(did(to), did(from), ORIGIN, event).expect("an event");
        let more = self.scene.current_key(to);
        let keys = if self.chance.percent(2) { vec![&key, &more] } else { vec![&key] };
        self.scene.log_event(event, &keys).ok()
    }

    fn signing_key(&mut self, name: &str) -> Ed25519PrivateKey {
        let Keys { current, next, .. } = self.keys.get(name).copied().unwrap_or_default();
        match self.chance.below(25) {
            0 => key(name, 0),
            1 => key(name, next),
            _ => key(name, current),
        }
    }

    fn scope(&mut self) -> Scope {
        match self.chance.below(10) {
            0..6 => Scope::CodeSigning,
            6..9 => Scope::General,
            _ => *self.chance.of(Scope::ALL),
        }
    }

    fn edge(&mut self) {
        let (from, to, scope) = (self.name(), self.name(), self.scope());
        let (id, issued_at) = (self.scene.id(), time(self.scene.now));
        let event = match self.chance.below(20) {
            0..2 => TrustEvent::Revocation { id, issued_at, scope },
            2 => TrustEvent::Distrust { id, issued_at, scope },
            _ => {
                let level = if self.chance.percent(60) { Level::Strong } else { *self.chance.of(Level::ALL) };
                let depth =
                    self.chance.percent(30).then(|| u8::try_from(self.chance.below(8)).expect("small"));
                let days = if self.chance.percent(70) { 365 } else { 1 + self.chance.below(90) };
                // What the issuer calls now is not the log's business.
                let issued_at =
                    time(self.scene.now - self.chance.below(3) * DAY + self.chance.below(3) * DAY);
                let expires_at = time(issued_at.as_millis() + days * DAY);
                TrustEvent::Vouch { id, issued_at, scope, level, depth, expires_at }
            }
        };
        self.say(&from, &to, event);
    }

    fn build(&mut self) {
        let name = self.name();
        let content = format!("content {}", self.chance.below(4));
        let key = self.signing_key(&name);
        let visibility = if self.chance.percent(15) { Visibility::Private } else { Visibility::Public };
        let reproducibly = self.chance.percent(50);
        let predicate = if reproducibly { reproducible() } else { Map::new() };
        let index = LeafIndex::new(self.scene.next);
        let _ = self.scene.build_with(&name, &key, &content, visibility, predicate);
        // Broken ones as well, for others to refer to.
        self.builds.push((index, name, content, reproducibly));
    }

    fn confirm(&mut self) {
        if self.builds.is_empty() {
            return;
        }
        let (receipt, to, content, _) = self.chance.of(&self.builds).clone();
        let from = self.name();
        let build = LeafIndex::new(self.scene.next);
        let own = self.chance.percent(90);
        if own {
            let key = self.signing_key(&from);
            let _ = self.scene.build_with(&from, &key, &content, Visibility::Public, Map::new());
        }
        let artifact = if self.chance.percent(95) { content } else { "another".to_owned() };
        let to = if self.chance.percent(95) { to } else { self.name() };
        let artifact = Hash::of(artifact.as_bytes());
        let event =
            TrustEvent::Confirmation { artifact, receipt: reference(receipt), build: reference(build) };
        self.say(&from, &to, event);
    }

    fn fail(&mut self) {
        let (from, to, id) = (self.name(), self.name(), self.scene.id());
        let reason = *self.chance.of(FailureReason::ALL);
        let event = TrustEvent::Failure { id, artifact: Hash::of(b"broken"), reason };
        let failure = self.say(&from, &to, event);
        self.failures.extend(failure);
    }

    fn withdraw(&mut self) {
        let Some(failure) = self.failures.last().copied() else { return };
        let entry = self.scene.entries().iter().find(|(index, _)| *index == failure).map(|(_, entry)| entry);
        let Some(Entry::Event(report)) = entry else { return };
        let (from, to) = (report.event().issuer(), report.event().subject());
        let name = |wanted| self.names.iter().find(|name| did(name) == wanted).cloned();
        let (Some(mut from), Some(to)) = (name(from), name(to)) else { return };
        if self.chance.percent(10) {
            from = self.name();
        }
        self.say(&from, &to, TrustEvent::Withdrawal { failure: reference(failure) });
    }

    fn contradict(&mut self) {
        let name = self.name();
        let reproducible: Vec<_> = self.builds.iter().filter(|build| build.3 && build.1 == name).collect();
        let Some([first, second]) = reproducible.array_windows().find(|[first, second]| first.2 != second.2)
        else {
            return;
        };
        let receipts = [first.0, second.0];
        let (from, to) = (self.name(), if self.chance.percent(90) { name } else { self.name() });
        if from != to {
            let _ = self.scene.equivocation(&from, &to, receipts);
        }
    }

    fn replay(&mut self) {
        if !self.scene.entries().is_empty() {
            let (index, _) = *self.chance.of(self.scene.entries());
            let _ = self.scene.replay(index);
        }
    }

    fn capabilities(&mut self) -> Capabilities {
        if self.chance.percent(85) { ALL } else { *self.chance.of(&[Capabilities::PIPELINE, VOUCHES]) }
    }

    fn register(&mut self, name: &str) {
        let event = IdentityEvent::Inception {
            key: raw(&key(name, 0)),
            next: commitment(&key(name, 1)),
            recovery: commitment(&recovery_key(name, 0)),
            capabilities: self.capabilities(),
            public_name: None,
        };
        if self.scene.log_identity(name, event, &[&key(name, 0)]).is_ok() {
            self.keys.insert(name.to_owned(), Keys { current: 0, next: 1, recovery: 0, last: 1 });
        }
    }

    fn link(&mut self, name: &str) -> Link {
        let mut link = self.scene.link(name);
        link.sequence += u32::from(self.chance.percent(3));
        link
    }

    fn since(&mut self) -> u64 {
        self.chance.below(self.scene.next + 2)
    }

    fn rotate(&mut self) {
        let name = self.changing();
        let keys = self.keys.get(&name).copied().unwrap_or_default();
        let link = self.link(&name);
        let new = if self.chance.percent(90) { keys.next } else { keys.last + 1 };
        let then = keys.last + 2;
        let event = IdentityEvent::Rotation {
            link,
            key: raw(&key(&name, new)),
            next: commitment(&key(&name, then)),
            capabilities: self.capabilities(),
        };
        let signer = self.signing_key(&name);
        if self.log_identity(&name, event, &[&signer, &key(&name, new)]) {
            self.keys.insert(name.clone(), Keys { current: new, next: then, last: then, ..keys });
            self.scene.sign_with(&name, new);
        }
    }

    fn recover(&mut self) {
        let name = self.changing();
        let keys = self.keys.get(&name).copied().unwrap_or_default();
        let link = self.link(&name);
        // An old key is refused, the committed one is not.
        let new = *self.chance.of(&[keys.last + 1, keys.last + 1, keys.last + 1, keys.next, keys.current]);
        let then = keys.last + 2;
        let since = reference(LeafIndex::new(self.since()));
        let event = IdentityEvent::Recovery {
            link,
            key: raw(&key(&name, new)),
            next: commitment(&key(&name, then)),
            recovery: commitment(&recovery_key(&name, keys.recovery + 1)),
            capabilities: self.capabilities(),
            since,
        };
        let right = self.chance.percent(90);
        let signer = if right { recovery_key(&name, keys.recovery) } else { key(&name, keys.current) };
        if self.log_identity(&name, event, &[&signer, &key(&name, new)]) {
            let recovery = keys.recovery + 1;
            self.keys.insert(name.clone(), Keys { current: new, next: then, recovery, last: then });
            self.scene.sign_with(&name, new);
        }
    }

    /// A key that may report and end a DID, or may not.
    fn emergency_key(&mut self, name: &str) -> Ed25519PrivateKey {
        let keys = self.keys.get(name).copied().unwrap_or_default();
        match self.chance.below(10) {
            0..6 => recovery_key(name, keys.recovery),
            6..9 => key(name, keys.next),
            _ => key(name, keys.current),
        }
    }

    fn compromise(&mut self) {
        let name = self.changing();
        let link = self.link(&name);
        let since = reference(LeafIndex::new(self.since()));
        let signer = self.emergency_key(&name);
        self.log_identity(&name, IdentityEvent::Compromise { link, since }, &[&signer]);
    }

    fn deactivate(&mut self) {
        let name = self.name();
        let link = self.link(&name);
        let keys = self.keys.get(&name).copied().unwrap_or_default();
        let event = IdentityEvent::Deactivation { link };
        let signers = if self.chance.percent(50) {
            vec![self.emergency_key(&name)]
        } else {
            vec![key(&name, keys.current), key(&name, keys.next)]
        };
        self.log_identity(&name, event, &signers.iter().collect::<Vec<_>>());
    }

    fn not_understood(&mut self) {
        let entry = Entry::parse(br#"{"apiVersion":"9","kind":"x","spec":{}}"#).expect("an entry");
        let _ = self.scene.log(entry);
    }

    /// What is asked about the log, and the crate's answer.
    fn question(&mut self) -> (Value, Value) {
        let size =
            if self.chance.percent(80) { self.scene.next } else { 1 + self.chance.below(self.scene.next) };
        let now = if self.calm || self.chance.percent(80) {
            self.scene.now + self.chance.below(20 * DAY)
        } else {
            START + self.chance.below(800 * DAY)
        };
        let params = self.params();
        let target = if self.calm { self.names[self.names.len() - 1].clone() } else { self.name() };
        let target = did(&target);
        let mut ledger = MemoryLedger::new(ORIGIN);
        let mut broken = Vec::new();
        for (index, entry) in self.scene.entries().iter().filter(|(index, _)| index.get() < size) {
            if ledger.push(*index, entry).is_err() {
                broken.push(index.get());
            }
        }
        let found = search(&ledger, &params, target, time(now)).expect("a ledger in memory answers");
        assert!(found.complete);
        let best = found.paths.first().map(path_json);
        let mut paths = found.paths;
        for _ in 0..self.chance.below(4) {
            let path = self.walk(&params, target);
            let at = self.chance.below(paths.len() as u64 + 1);
            paths.insert(usize::try_from(at).expect("a place"), path);
        }
        let verdict = judge(&ledger, &params, &paths, target, time(now)).expect("a ledger in memory answers");
        let root = |(did, weight)| json!({"did": did, "weight": weight});
        let question = json!({
            "origin": ORIGIN,
            "size": size,
            "entries": self.scene.entries().iter().map(leaf_json).collect::<Vec<_>>(),
            "target": target,
            "time": now,
            "scope": params.scope().name(),
            "decay": params.decay(),
            "maxHops": params.max_hops(),
            "floor": params.floor().get(),
            "threshold": params.threshold().get(),
            "minPaths": params.min_paths(),
            "roots": params.roots().map(root).collect::<Vec<_>>(),
            "paths": paths.iter().map(path_json).collect::<Vec<_>>(),
        });
        (question, json!({"best": best, "broken": broken, "verdict": verdict.to_json()}))
    }

    fn params(&mut self) -> Params {
        let count = 1 + usize::try_from(self.chance.below(3)).expect("small");
        let names: Vec<String> = self.names.iter().take(count).cloned().collect();
        let weight = |chance: &mut Chance| match chance.below(3) {
            0 => u16::try_from(1 + chance.below(1_000)).expect("per mille"),
            _ => Params::FULL_ROOT,
        };
        let roots: Vec<_> = names.iter().map(|name| (did(name), weight(&mut self.chance))).collect();
        let decay = if self.chance.percent(70) { 800 } else { 1 + self.chance.below(1_000) };
        let hops = if self.chance.percent(60) { 5 } else { 1 + self.chance.below(7) };
        let floor = *self.chance.of(&[0, 500_000, 500_000, 1_000_000]);
        let threshold = if self.chance.percent(30) {
            Ppm::ZERO
        } else {
            Ppm::new(u32::try_from(self.chance.below(1_000_001)).expect("a share")).expect("a share")
        };
        let paths = if self.chance.percent(60) { 1 } else { 1 + self.chance.below(3) };
        let scope = match self.chance.below(10) {
            0..6 => ScopeQuery::Only(Scope::CodeSigning),
            6..9 => ScopeQuery::Any,
            _ => ScopeQuery::Only(Scope::General),
        };
        Params::new(roots)
            .and_then(|params| params.with_decay(u16::try_from(decay).expect("per mille")))
            .and_then(|params| params.with_max_hops(u8::try_from(hops).expect("small")))
            .and_then(|params| params.with_min_paths(u8::try_from(paths).expect("small")))
            .expect("parameters in range")
            .with_floor(Ppm::new(floor).expect("a share"))
            .with_threshold(threshold)
            .with_scope(scope)
    }

    /// A path that nobody looked for, along vouches that somebody made once.
    fn walk(&mut self, params: &Params, target: attestation::Did) -> Path {
        let root = if self.chance.percent(90) {
            let roots: Vec<_> = params.roots().map(|(root, _)| root).collect();
            *self.chance.of(&roots)
        } else {
            did(&self.name())
        };
        let mut path = Path { root, hops: Vec::new() };
        let said: Vec<_> = self.scene.entries().iter().filter_map(|(_, entry)| edge_of(entry)).collect();
        for _ in 0..self.chance.below(6) {
            let next: Vec<_> = said.iter().filter(|(from, ..)| *from == path.end()).collect();
            match next.is_empty() {
                true => path.hops.push((self.scope(), did(&self.name()))),
                false => {
                    let (_, scope, to) = **self.chance.of(&next);
                    path.hops.push((scope, to));
                }
            }
            if path.end() == target && self.chance.percent(90) {
                break;
            }
        }
        path
    }
}

const VOUCHES: Capabilities = Capabilities { messages: false, receipts: false, vouches: true };

fn edge_of(entry: &Entry) -> Option<(attestation::Did, Scope, attestation::Did)> {
    let Entry::Event(entry) = entry else { return None };
    let event = entry.event();
    let attestation::event::Body::Trust(trust) = event.body() else { return None };
    Some((event.issuer(), trust.scope()?, event.subject()))
}

fn path_json(path: &Path) -> Value {
    let step = |(scope, to): &(Scope, attestation::Did)| json!({"scope": scope.name(), "to": to});
    json!({"root": path.root, "steps": path.hops.iter().map(step).collect::<Vec<_>>()})
}

fn leaf_json((index, entry): &(LeafIndex, Entry)) -> Value {
    let leaf = match entry {
        Entry::Dsse(entry) => entry.to_bytes(),
        Entry::Event(entry) => entry.to_bytes(),
        Entry::NotUnderstood { kind, version } => {
            format!(r#"{{"apiVersion":"{version}","kind":"{kind}","spec":{{}}}}"#).into_bytes()
        }
    };
    json!([index.get(), String::from_utf8(leaf).expect("a leaf is text")])
}

/// Everything that a verdict can say was said, and how often.
fn count(counts: &mut BTreeMap<String, usize>, answer: &Value) {
    let verdict = &answer["verdict"];
    let mut note = |what: String| *counts.entry(what).or_default() += 1;
    note(format!("standing {}", verdict["standing"]));
    note(format!("passes {}", verdict["passes"]));
    if verdict["score"] != 0 {
        note("score".to_owned());
    }
    for name in ["causes", "advice"] {
        for item in verdict[name].as_array().expect("a list") {
            note(format!("{name} {}", item[if name == "causes" { "cause" } else { "advice" }]));
        }
    }
    for path in verdict["paths"].as_array().expect("a list") {
        note(format!("hops {}", path["hops"].as_array().map_or(0, Vec::len)));
        if !path["broken"].is_null() {
            note(format!("broken {}", path["broken"]["reason"]));
        }
    }
    for list in ["confirmers", "failures", "equivocations"] {
        if verdict["history"][list].as_array().is_some_and(|list| !list.is_empty()) {
            note(format!("history {list}"));
        }
    }
    if !verdict["history"]["since"].is_null() {
        note("history since".to_owned());
    }
}

#[test]
fn two_implementations_agree_on_random_logs() {
    let asked = std::env::var("AIP_TRUST_LOGS").ok();
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        assert_eq!(asked, None, "there is no python3, and so many logs are asked for");
        eprintln!("not run: there is no python3");
        return;
    }
    let logs: u64 = asked.map_or(1_000, |logs| logs.parse().expect("AIP_TRUST_LOGS is a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let (questions, answers) = (folder.path().join("questions"), folder.path().join("answers"));
    let mut file = BufWriter::new(File::create(&questions).expect("a file"));
    let mut ours = Vec::new();
    let mut counts = BTreeMap::new();
    for seed in 0..logs {
        let mut story = Story::tell(seed);
        let (question, answer) = story.question();
        writeln!(file, "{question}").expect("a line");
        count(&mut counts, &answer);
        for (most, times) in story.refused {
            *counts.entry(format!("more than {most} identity events")).or_default() += times;
        }
        ours.push(answer.to_string());
    }
    file.into_inner().expect("written");
    let script = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/aip_trust.py");
    let status = Command::new("python3")
        .args(["-I", "-B"])
        .arg(script)
        .stdin(Stdio::from(File::open(&questions).expect("a file")))
        .stdout(Stdio::from(File::create(&answers).expect("a file")))
        .status()
        .expect("python3 runs");
    assert!(status.success(), "python3: {status}");
    let theirs = std::fs::read_to_string(&answers).expect("answers");
    assert_eq!(theirs.lines().count(), ours.len(), "an answer for each log");
    for (seed, (theirs, ours)) in theirs.lines().zip(&ours).enumerate() {
        assert_eq!(theirs, ours, "log {seed}");
    }
    eprintln!("{logs} logs, the same answers; among them {counts:#?}");
    if logs >= 1_000 {
        for what in EVERYTHING {
            assert!(counts.get(*what).is_some_and(|count| *count > 0), "no log shows `{what}`");
        }
    }
}

/// What random logs must show, or they prove little.
const EVERYTHING: &[&str] = &[
    r#"advice "activity""#,
    r#"advice "confirmations""#,
    r#"advice "direct-vouch""#,
    r#"advice "lift-distrust""#,
    r#"advice "recover""#,
    r#"advice "register""#,
    r#"advice "stronger-vouch""#,
    r#"advice "withdrawals""#,
    r#"broken "banned""#,
    r#"broken "depth""#,
    r#"broken "distrusted""#,
    r#"broken "expired""#,
    r#"broken "issuer-deactivated""#,
    r#"broken "no-vouch""#,
    r#"broken "not-root""#,
    r#"broken "other-scope""#,
    r#"broken "other-target""#,
    r#"broken "revoked""#,
    r#"broken "target-compromised""#,
    r#"broken "too-long""#,
    r#"broken "void""#,
    r#"causes "below-threshold""#,
    r#"causes "compromised""#,
    r#"causes "deactivated""#,
    r#"causes "distrusted""#,
    r#"causes "equivocation""#,
    r#"causes "failure""#,
    r#"causes "history""#,
    r#"causes "no-path""#,
    r#"causes "paths""#,
    r#"causes "unregistered""#,
    "history confirmers",
    "history since",
    "hops 4",
    "more than 240 identity events",
    "more than 248 identity events",
    "more than 256 identity events",
    "passes false",
    "passes true",
    "score",
    r#"standing "active""#,
];
