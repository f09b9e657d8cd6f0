//! The trust score: the worked examples of `specs/trust.md`, properties, and attacks with their exact effect.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use attestation::did::Did;
use attestation::entry::Visibility;
use attestation::event::{Capabilities, IdentityEvent, Level, Scope, TrustEvent};
use attestation::identity::{Identity, StateError};
use attestation::rules::RuleError;
use serde_json::Map;
use testkit::chance::Chance;
use testkit::scene::{
    ALL, DAY, Scene, commitment, did, from_root, judge_by, key, path, raw, recovery_key, reference, time,
};
use tlog::{Hash, LeafIndex};
use trust::graph::{CompactGraph, Scratch};
use trust::{
    Against, Cause, Confirmation, EdgeEvent, JudgeError, Ledger, Logged, MemoryLedger, Negative, Params,
    Path, Ppm, ScopeQuery, Verdict, judge,
};

fn ppm(parts: u32) -> Ppm {
    Ppm::new(parts).expect("a share")
}

/// As many names as asked for.
fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

/// Example 1: each hop costs a fifth.
#[test]
fn a_chain_of_strong_vouches() {
    let mut scene = Scene::with(&["r", "a", "b", "c", "e"]);
    for pair in ["r", "a", "b", "c", "e"].windows(2) {
        scene.vouch(pair[0], pair[1]);
    }
    let params = from_root("r").with_threshold(ppm(500_000));
    for (name, score, passes) in [
        ("r", 1_000_000, true),
        ("a", 800_000, true),
        ("b", 640_000, true),
        ("c", 512_000, true),
        ("e", 409_600, false),
    ] {
        let verdict = scene.judge(&params, name);
        assert_eq!((verdict.score.get(), verdict.passes), (score, passes), "{name}");
    }
    assert_eq!(scene.judge(&params, "e").score.to_string(), "0.4096");
}

/// Example 2: a longer path of better vouches is the better one.
#[test]
fn levels_count_more_than_hops() {
    let mut scene = Scene::with(&["r", "a", "b", "c", "t"]);
    scene.vouch_with("r", "a", Scope::CodeSigning, Level::Weak, None).expect("a vouch");
    for (from, to) in [("a", "t"), ("r", "b"), ("b", "c"), ("c", "t")] {
        scene.vouch(from, to);
    }
    let (short, long) = (path(&["r", "a", "t"]), path(&["r", "b", "c", "t"]));
    let verdict = judge(scene.ledger(), &from_root("r"), &[short, long.clone()], did("t"), time(scene.now));
    let verdict = verdict.expect("a verdict");
    let social: Vec<u32> = verdict.paths.iter().map(|path| path.social.get()).collect();
    assert_eq!(social, [320_000, 512_000]);
    assert_eq!(verdict.score.get(), 512_000);
    assert_eq!(verdict.best_path().map(|best| &best.path), Some(&long));
    assert_eq!(scene.score("r", "t"), 512_000);
}

/// Example 3: a thousand sybils add nothing, and one revocation cuts them all off.
#[test]
fn sybils_add_nothing() {
    let mut scene = Scene::with(&["r", "a", "m", "x"]);
    scene.vouch("r", "a");
    let stake = scene.vouch("a", "m");
    scene.vouch("m", "x");
    assert_eq!((scene.score("r", "m"), scene.score("r", "x")), (640_000, 512_000));
    for sybil in names("s", 1_000) {
        scene.register(&sybil, ALL).expect("a sybil");
        scene.vouch("m", &sybil);
        scene.vouch(&sybil, "x");
    }
    assert_eq!((scene.score("r", "m"), scene.score("r", "x")), (640_000, 512_000));
    assert_eq!(scene.score("r", "s999"), 512_000);
    scene.revoke("a", "m").expect("a revocation");
    assert_eq!((scene.score("r", "m"), scene.score("r", "x"), scene.score("r", "s999")), (0, 0, 0));
    // The revoked vouch is public, and a log that lies logs it again.
    assert_eq!(scene.replay(stake), Err(RuleError::Known));
    assert_eq!(scene.score("r", "x"), 0);
}

/// Example 4: a rotation keeps what was said; a compromise voids what was said since.
#[test]
fn vouches_outlive_keys_but_not_theft() {
    for (since, later) in [(90, 0), (150, 640_000)] {
        let mut scene = Scene::with(&["r", "a", "t", "u"]);
        scene.vouch("r", "a");
        scene.next = 100;
        scene.vouch("a", "t");
        scene.next = 200;
        scene.rotate("a", ALL).expect("a rotation");
        scene.next = 210;
        scene.vouch("a", "u");
        scene.next = 300;
        assert_eq!((scene.score("r", "t"), scene.score("r", "u")), (640_000, 640_000));
        scene.next = 400;
        scene.compromise("a", since).expect("a report");
        assert_eq!(scene.next, 401);
        assert_eq!((scene.score("r", "t"), scene.score("r", "u")), (later, 0), "since {since}");
        let then = judge_by(&scene.ledger_at(350), &from_root("r"), did("t"), time(scene.now));
        assert_eq!(then.score.get(), 640_000, "as of 350");
    }
}

/// Example 5: history lifts a pipeline from the floor to what vouches give it.
#[test]
fn history_is_earned_in_weeks() {
    let params = from_root("r").with_floor(ppm(500_000)).with_threshold(ppm(500_000));
    let mut scene = Scene::with(&["r", "c1", "c2", "q", "t"]);
    for name in ["c1", "c2", "q", "t"] {
        scene.vouch("r", name);
    }
    let check = |scene: &Scene, want: u32| {
        let verdict = scene.judge(&params, "t");
        assert_eq!((verdict.score.get(), verdict.passes), (want, want >= 500_000));
        verdict
    };
    check(&scene, 400_000);
    for week in 0..6 {
        let content = format!("release {week}");
        let receipt = scene.build("t", &content).expect("an entry");
        if week < 5 {
            scene.confirm("c1", "t", &content, receipt).expect("a confirmation");
        }
        if week < 2 {
            scene.confirm("c2", "t", &content, receipt).expect("a confirmation");
            // Twice in a week is once.
            scene.confirm("c2", "t", &content, receipt).expect("a confirmation");
        }
        scene.now += 7 * DAY;
    }
    let verdict = check(&scene, 600_000);
    assert_eq!((verdict.history.weeks, verdict.history.confirmed), (6, 6));
    assert_eq!(verdict.history.positive.get(), 750_000);
    let failure = scene.fail("q", "t").expect("a report");
    assert_eq!(check(&scene, 450_000).history.negative.get(), 750_000);
    scene.withdraw("q", "t", failure).expect("a withdrawal");
    check(&scene, 600_000);
}

/// Example 5, the rest of it.
#[test]
fn a_full_history_gives_what_vouches_give_and_reports_take_a_quarter_each() {
    let params = from_root("r").with_floor(ppm(500_000));
    let mut scene = Scene::with(&["r", "c0", "c1", "c2", "a", "t"]);
    for name in ["c0", "c1", "c2", "a", "t"] {
        scene.vouch("r", name);
    }
    scene.register("far", ALL).expect("a pipeline");
    scene.vouch("a", "far");
    for week in 0..12 {
        let content = format!("release {week}");
        scene.build("far", &content).expect("an entry");
        let receipt = scene.build("t", &content).expect("an entry");
        let confirmer = format!("c{}", week % 3);
        scene.confirm(&confirmer, "t", &content, receipt).expect("a confirmation");
        scene.now += 7 * DAY;
    }
    assert_eq!(scene.judge(&params, "t").score.get(), 800_000);
    // Two hops, twelve weeks, no confirmation.
    let far = scene.judge(&params.clone().with_threshold(ppm(500_000)), "far");
    assert_eq!((far.history.behaviour.get(), far.score.get(), far.passes), (750_000, 480_000, false));
    // With the floor at 1 a new pipeline has all that vouches give, and reports take from it.
    for (reporter, want) in [("c0", 600_000), ("c1", 450_000), ("c2", 337_500)] {
        scene.fail(reporter, "t").expect("a report");
        assert_eq!(scene.score("r", "t"), want);
    }
    scene.now += 180 * DAY;
    assert_eq!(scene.score("r", "t"), 800_000, "reports end after 180 days");
}

/// Example 5: many receipts in a week are one.
#[test]
fn volume_earns_nothing() {
    let params = from_root("r").with_floor(ppm(500_000));
    let mut scene = Scene::with(&["r", "t"]);
    scene.vouch("r", "t");
    scene.build("t", "one").expect("an entry");
    let one = scene.judge(&params, "t");
    assert_eq!((one.history.activity.get(), one.history.positive.get()), (83_333, 520_833));
    assert_eq!(one.score.get(), 416_666);
    for release in 0..1_000 {
        scene.build("t", &release.to_string()).expect("an entry");
    }
    assert_eq!(scene.judge(&params, "t").score.get(), 416_666);
}

/// Example 6: depth and scope.
#[test]
fn depth_and_scope_end_paths() {
    use Scope::{CodeSigning, Financial, General};
    // first hop: scope, depth; second hop: scope; score
    for (first, depth, second, want) in [
        (CodeSigning, Some(0), CodeSigning, 0),
        (CodeSigning, Some(1), CodeSigning, 640_000),
        (CodeSigning, Some(1), Financial, 0),
        (General, None, CodeSigning, 640_000),
    ] {
        let mut scene = Scene::with(&["r", "a", "t"]);
        scene.vouch_with("r", "a", first, Level::Strong, depth).expect("a vouch");
        scene.vouch_with("a", "t", second, Level::Strong, None).expect("a vouch");
        assert_eq!(scene.score("r", "t"), want, "{first} {depth:?} {second}");
        let any = from_root("r").with_scope(ScopeQuery::Any);
        let general = from_root("r").with_scope(ScopeQuery::Only(General));
        assert_eq!(scene.judge(&any, "t").score.get(), if depth == Some(0) { 0 } else { 640_000 });
        assert_eq!(scene.judge(&general, "t").score.get(), 0);
    }
}

/// Example 7: several roots; what one of them warns of is out.
#[test]
fn roots_weigh_and_veto() {
    let mut scene = Scene::with(&["r", "q", "a", "t"]);
    for (from, to) in [("r", "a"), ("a", "t"), ("q", "t")] {
        scene.vouch(from, to);
    }
    let params = Params::new([(did("r"), 1_000), (did("q"), 600)]).expect("roots");
    let params = params.with_scope(ScopeQuery::Only(Scope::CodeSigning));
    let paths = [path(&["r", "a", "t"]), path(&["q", "t"])];
    let verdict = judge(scene.ledger(), &params, &paths, did("t"), time(scene.now)).expect("a verdict");
    assert_eq!(verdict.paths.iter().map(|path| path.social.get()).collect::<Vec<_>>(), [640_000, 480_000]);
    assert_eq!(scene.judge(&params, "t").score.get(), 640_000);
    scene.distrust("q", "t").expect("a warning");
    let verdict = scene.judge(&params, "t");
    assert_eq!((verdict.score.get(), verdict.passes), (0, false), "not even at threshold 0");
}

/// A root that warns and vouches for nobody: taking the warning back alone leads nowhere.
#[test]
fn who_distrusts_and_vouches_for_nobody_is_told_of_both() {
    let mut scene = Scene::with(&["r", "t"]);
    scene.distrust("r", "t").expect("a warning");
    let verdict = scene.judge(&from_root("r"), "t");
    let names: Vec<&str> = verdict.advice.iter().map(|advice| advice.name()).collect();
    assert_eq!(names, ["lift-distrust", "direct-vouch"]);
    assert!(verdict.causes.contains(&Cause::NoPath));
    // Each in its turn does what was said.
    scene.revoke("r", "t").expect("a revocation");
    let lifted = scene.judge(&from_root("r"), "t");
    assert_eq!(
        (lifted.score.get(), lifted.advice.first().map(|advice| advice.name())),
        (0, Some("direct-vouch"))
    );
    scene.vouch("r", "t");
    assert_eq!(Some(scene.judge(&from_root("r"), "t").score), verdict.advice[1].score());
}

/// Links of a chain in layers, and then ten thousand vouches that close cycles: nobody's score changes.
#[test]
fn cycles_raise_nothing() {
    const LAYER: u64 = 40;
    let mut scene = Scene::with(&["r"]);
    let name = |layer: u64, place: u64| format!("n{layer}-{place}");
    let mut random = Chance::new(1);
    for layer in 0..5 {
        for place in 0..LAYER {
            scene.register(&name(layer, place), ALL).expect("a pipeline");
            let from = if layer == 0 { "r".to_owned() } else { name(layer - 1, random.below(LAYER)) };
            scene.vouch(&from, &name(layer, place));
        }
    }
    let all = |scene: &Scene| -> BTreeMap<Did, Ppm> { all_social(scene, &from_root("r")) };
    let before = all(&scene);
    assert_eq!(before.len(), 201);
    for _ in 0..10_000 {
        let layer = random.below(5);
        let (from, to) =
            (name(layer, random.below(LAYER)), name(random.below(layer + 1), random.below(LAYER)));
        if from != to {
            scene.vouch(&from, &to);
        }
    }
    assert_eq!(all(&scene), before);
    assert_eq!(scene.score("r", "n4-7"), 327_680);
}

/// Every social score by the graph of all; each is what a search and the judge say.
fn all_social(scene: &Scene, params: &Params) -> BTreeMap<Did, Ppm> {
    let graph = CompactGraph::read(scene.ledger(), scene.ledger().edges(), params, time(scene.now));
    let graph = graph.expect("a ledger in memory answers").expect("a small graph");
    let mut scratch = Scratch::default();
    let scores: BTreeMap<Did, Ppm> = graph.dids().iter().copied().zip(graph.all()).collect();
    for (did, score) in &scores {
        assert_eq!(graph.social(*did, &mut scratch), *score, "{did}");
        assert_eq!(judge_by(scene.ledger(), params, *did, time(scene.now)).social, *score, "{did}");
    }
    scores
}

/// A random graph of vouches of all kinds, by any names in any order.
fn random_graph(seed: u64, names: &[String]) -> Vec<(usize, usize, Scope, Level, Option<u8>)> {
    let mut random = Chance::new(seed);
    let count = names.len() as u64;
    let mut place = |end: u64| usize::try_from(random.below(end)).expect("small");
    (0..4 * names.len())
        .map(|_| {
            let depth = (place(3) == 0).then(|| u8::try_from(place(6)).expect("small"));
            let scope = [Scope::CodeSigning, Scope::CodeSigning, Scope::General, Scope::Financial][place(4)];
            (place(count), place(count), scope, Level::ALL[place(4)], depth)
        })
        .filter(|(from, to, ..)| from != to)
        .collect()
}

/// Three ways to one number: the search with the judge, one DID of the compact graph, all of it at once.
#[test]
fn the_compact_graph_gives_the_same_scores() {
    for seed in 0..60 {
        let names = names("p", 12);
        let mut scene = Scene::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for (from, to, scope, level, depth) in random_graph(seed, &names) {
            scene.vouch_with(&names[from], &names[to], scope, level, depth).expect("a vouch");
        }
        scene.distrust("p0", "p5").expect("a warning");
        for (hops, scope) in
            [(1, ScopeQuery::Any), (3, ScopeQuery::Only(Scope::CodeSigning)), (7, ScopeQuery::Any)]
        {
            let params = Params::new([(did("p0"), 1_000), (did("p1"), 700)])
                .and_then(|params| params.with_max_hops(hops))
                .expect("parameters")
                .with_scope(scope);
            all_social(&scene, &params);
        }
    }
}

/// The order in which different pairs vouched does not matter.
#[test]
fn scores_do_not_depend_on_the_order_of_vouches() {
    for seed in 0..20 {
        let names = names("p", 10);
        let mut vouches: BTreeMap<(usize, usize, Scope), (Level, Option<u8>)> = BTreeMap::new();
        for (from, to, scope, level, depth) in random_graph(seed, &names) {
            vouches.insert((from, to, scope), (level, depth));
        }
        let mut order: Vec<_> = vouches.into_iter().collect();
        let mut random = Chance::new(seed);
        let mut seen: Option<Vec<(Ppm, Option<Path>)>> = None;
        for _ in 0..3 {
            let mut scene = Scene::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
            for at in (1..order.len()).rev() {
                order.swap(at, usize::try_from(random.below(at as u64 + 1)).expect("small"));
            }
            for ((from, to, scope), (level, depth)) in &order {
                scene.vouch_with(&names[*from], &names[*to], *scope, *level, *depth).expect("a vouch");
            }
            let scores: Vec<(Ppm, Option<Path>)> = names
                .iter()
                .map(|name| {
                    let verdict = scene.judge(&from_root("p0"), name);
                    (verdict.score, verdict.best_path().map(|best| best.path.clone()))
                })
                .collect();
            assert_eq!(seen.get_or_insert_with(|| scores.clone()), &scores, "seed {seed}");
        }
    }
}

/// One more vouch between two who had none, one more receipt, one more confirmation: nobody falls.
#[test]
fn good_words_lower_nobody() {
    let names = names("p", 8);
    let params = from_root("p0").with_floor(ppm(300_000));
    let scores =
        |scene: &Scene| -> Vec<Ppm> { names.iter().map(|name| scene.judge(&params, name).score).collect() };
    for seed in 0..20 {
        let mut scene = Scene::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut said = std::collections::HashSet::new();
        let mut before = scores(&scene);
        for (number, (from, to, scope, level, depth)) in random_graph(seed, &names).into_iter().enumerate() {
            if said.insert((from, to, scope)) {
                scene.vouch_with(&names[from], &names[to], scope, level, depth).expect("a vouch");
            }
            let receipt = scene.build(&names[to], &number.to_string()).expect("an entry");
            scene.confirm(&names[from], &names[to], &number.to_string(), receipt).expect("a confirmation");
            let after = scores(&scene);
            assert!(before.iter().zip(&after).all(|(before, after)| before <= after), "seed {seed}");
            before = after;
            scene.now += 2 * DAY;
        }
    }
}

/// A ledger that says more of one DID's receipts than can be logged in a test, or nothing of one list.
struct Altered<'a> {
    ledger: &'a MemoryLedger,
    receipts: Vec<Logged>,
    missing: Option<&'a str>,
    /// What was looked at of what speaks against a DID.
    shown: RefCell<Vec<LeafIndex>>,
}

impl<'a> Altered<'a> {
    fn new(scene: &'a Scene, missing: Option<&'a str>) -> Self {
        Self { ledger: scene.ledger(), receipts: Vec::new(), missing, shown: RefCell::default() }
    }
}

impl Altered<'_> {
    fn check(&self, list: String) -> Result<(), String> {
        if self.missing == Some(list.as_str()) { Err("not there".to_owned()) } else { Ok(()) }
    }
}

fn known<T>(answer: Result<T, Infallible>) -> T {
    answer.unwrap_or_else(|never| match never {})
}

impl Ledger for Altered<'_> {
    type Error = String;

    fn identity(&self, did: Did) -> Result<Option<Cow<'_, Identity>>, String> {
        self.check(format!("id:{did}"))?;
        Ok(known(Ledger::identity(self.ledger, did)))
    }

    fn latest(&self, from: Did, to: Did, scope: Scope) -> Result<Option<EdgeEvent>, String> {
        self.check(format!("edge:{from}:{to}:{scope}"))?;
        Ok(known(self.ledger.latest(from, to, scope)))
    }

    fn against(&self, did: Did) -> Result<Vec<Against>, String> {
        self.check(format!("neg:{did}"))?;
        Ok(known(self.ledger.against(did)))
    }

    fn negative(&self, did: Did, against: &Against) -> Result<Negative, String> {
        self.shown.borrow_mut().push(against.index);
        Ok(known(self.ledger.negative(did, against)))
    }

    fn confirmations(&self, did: Did) -> Result<Vec<Confirmation>, String> {
        self.check(format!("pos:{did}"))?;
        Ok(known(self.ledger.confirmations(did)))
    }

    fn receipts(&self, did: Did) -> Result<Vec<Logged>, String> {
        self.check(format!("rcpt:{did}"))?;
        Ok(self.receipts.iter().copied().chain(known(self.ledger.receipts(did))).collect())
    }
}

/// S26: a million receipts in a week earn what one earns.
#[test]
fn a_million_receipts_in_a_week_are_one() {
    let params = from_root("r").with_floor(ppm(500_000));
    let mut scene = Scene::with(&["r", "t"]);
    scene.vouch("r", "t");
    let logged = |number: u64| Logged { index: LeafIndex::new(10 + number), time: time(scene.now + number) };
    let receipts: Vec<Logged> = (0..1_000_000).map(logged).collect();
    let altered = Altered { receipts, ..Altered::new(&scene, None) };
    let verdict =
        judge(&altered, &params, &[path(&["r", "t"])], did("t"), time(scene.now)).expect("a verdict");
    assert_eq!((verdict.history.weeks, verdict.score.get()), (1, 416_666));
}

/// The judge asks for what it needs and for no more; what it does not get, it names.
#[test]
fn what_is_missing_is_named() {
    let mut scene = Scene::with(&["r", "a", "c", "t", "other"]);
    for (from, to) in [("r", "a"), ("a", "t"), ("r", "c"), ("other", "t")] {
        scene.vouch(from, to);
    }
    let receipt = scene.build("t", "release").expect("an entry");
    scene.confirm("c", "t", "release", receipt).expect("a confirmation");
    scene.confirm("other", "t", "release", receipt).expect("a confirmation");
    let paths = [path(&["r", "a", "t"])];
    let judged = |missing: Option<&str>| {
        judge(&Altered::new(&scene, missing), &from_root("r"), &paths, did("t"), time(scene.now))
    };
    let whole = judged(None).expect("a verdict");
    let [r, a, c, t, other] = ["r", "a", "c", "t", "other"].map(did);
    for needed in [
        format!("id:{t}"),
        format!("id:{r}"),
        format!("id:{a}"),
        format!("id:{c}"),
        format!("edge:{r}:{a}:CODE_SIGNING"),
        format!("edge:{r}:{a}:GENERAL"),
        format!("edge:{r}:{t}:GENERAL"),
        format!("edge:{r}:{c}:CODE_SIGNING"),
        format!("edge:{a}:{t}:CODE_SIGNING"),
        format!("neg:{t}"),
        format!("pos:{t}"),
        format!("rcpt:{t}"),
    ] {
        let error = judged(Some(&needed)).expect_err("something is missing");
        assert_eq!(error.to_string(), format!("`{needed}`: not there"));
        assert!(matches!(error, JudgeError::Ledger { list, .. } if list.to_string() == needed));
    }
    for unneeded in [
        format!("id:{other}"),
        format!("edge:{a}:{t}:GENERAL"),
        format!("edge:{r}:{a}:FINANCIAL"),
        format!("rcpt:{c}"),
    ] {
        assert_eq!(judged(Some(&unneeded)), Ok(whole.clone()), "{unneeded}");
    }
    let many = vec![path(&["r", "a", "t"]); 9];
    let error = judge(scene.ledger(), &from_root("r"), &many, did("t"), time(scene.now));
    assert_eq!(error, Err(JudgeError::TooManyPaths(9)));
}

/// However much is said against a DID, what is looked at is the last word of each whose word counts.
#[test]
fn one_reporter_shows_one_report() {
    let mut scene = Scene::with(&["r", "t", "q", "lapsed", "warned", "stranger"]);
    for to in ["t", "q", "lapsed"] {
        scene.vouch("r", to);
    }
    scene.revoke("r", "lapsed").expect("a revocation");
    scene.distrust("r", "warned").expect("a warning");
    let mut last = Vec::new();
    for round in 0..50 {
        for name in ["q", "lapsed", "warned", "stranger"] {
            let failure = scene.fail(name, "t").expect("a report");
            if name == "q" {
                last.push(failure);
            }
            if round < 49 {
                scene.withdraw(name, "t", failure).expect("a withdrawal");
            }
        }
    }
    let paths = [path(&["r", "t"])];
    let altered = Altered::new(&scene, None);
    let verdict = judge(&altered, &from_root("r"), &paths, did("t"), time(scene.now)).expect("a verdict");
    assert_eq!(verdict.score.get(), 600_000);
    assert_eq!(*altered.shown.borrow(), [*last.last().expect("the last one")]);
    // What is behind a recovery is not looked at, whoever said it.
    scene.recover("t", scene.next).expect("a recovery");
    let altered = Altered::new(&scene, None);
    let verdict = judge(&altered, &from_root("r"), &paths, did("t"), time(scene.now)).expect("a verdict");
    assert_eq!((verdict.score.get(), altered.shown.borrow().len()), (800_000, 0));
}

/// S26: those whom no root vouches for report and confirm without effect, however many they are.
#[test]
fn outsiders_neither_harm_nor_help() {
    let params = from_root("r").with_floor(ppm(500_000));
    let mut scene = Scene::with(&["r", "t", "weak", "far"]);
    scene.vouch("r", "t");
    scene.vouch_with("r", "weak", Scope::CodeSigning, Level::Weak, None).expect("a vouch");
    scene.vouch("t", "far");
    scene.build("t", "release").expect("an entry");
    let before = scene.judge(&params, "t");
    let outsiders = [names("o", 200), vec!["weak".to_owned(), "far".to_owned()]].concat();
    for name in &outsiders {
        if name.starts_with('o') {
            scene.register(name, ALL).expect("an outsider");
        }
        let receipt = scene.build("t", name).expect("an entry");
        scene.confirm(name, "t", name, receipt).expect("a confirmation");
        scene.fail(name, "t").expect("a report");
        scene.distrust(name, "t").expect("a warning");
    }
    let after = scene.judge(&params, "t");
    assert_eq!((after.score, &after.history), (before.score, &before.history));
    assert_eq!(after.score.get(), 416_666);
    assert_eq!(scene.fail("o7", "t").map_err(|error| error.rule()), Err("failure-open"), "one at a time");
}

/// S26: a new name has no score, and a recovery begins history anew without giving vouches back.
#[test]
fn whitewashing_gains_nothing() {
    let params = from_root("r").with_floor(ppm(500_000));
    let mut scene = Scene::with(&["r", "q", "t"]);
    scene.vouch("r", "q");
    scene.vouch("r", "t");
    for week in 0..12 {
        let receipt = scene.build("t", &week.to_string()).expect("an entry");
        scene.confirm("q", "t", &week.to_string(), receipt).expect("a confirmation");
        scene.now += 7 * DAY;
    }
    // Twelve weeks, and four of one confirmer: A = 1, K = 1/3.
    assert_eq!(scene.judge(&params, "t").score.get(), 666_666);
    scene.fail("q", "t").expect("a report");
    assert_eq!(scene.judge(&params, "t").score.get(), 499_999);
    scene.register("t2", ALL).expect("a new name");
    assert_eq!(scene.judge(&params, "t2").score.get(), 0);
    // The recovery closes the report and takes twelve weeks of history: the floor is left.
    scene.recover("t", scene.next).expect("a recovery");
    let verdict = scene.judge(&params, "t");
    assert_eq!((verdict.score.get(), verdict.history.weeks, verdict.history.confirmed), (400_000, 0, 0));
}

/// S26: who behaves for twelve weeks and then does not, pays at once, each time.
#[test]
fn oscillation_is_paid_for() {
    let mut scene = Scene::with(&["r", "q", "t"]);
    scene.vouch("r", "q");
    scene.vouch("r", "t");
    for _ in 0..3 {
        assert_eq!(scene.score("r", "t"), 800_000);
        let failure = scene.fail("q", "t").expect("a report");
        assert_eq!(scene.score("r", "t"), 600_000);
        scene.withdraw("q", "t", failure).expect("a withdrawal");
    }
    // Two entries that contradict each other need no witness, and no root.
    scene.register("anyone", ALL).expect("a pipeline");
    let [one, two] = ["one", "two"].map(|content| scene.build_reproducibly("t", content).expect("an entry"));
    scene.equivocation("anyone", "t", [one, two]).expect("a proof");
    assert_eq!(scene.score("r", "t"), 0);
    scene.now += 400 * DAY;
    scene.vouch("r", "t");
    assert_eq!(scene.score("r", "t"), 0, "time does not heal it");
    scene.register("other", ALL).expect("a pipeline");
    scene.equivocation("other", "t", [one, two]).expect("the same proof, by another");
    assert_eq!(scene.judge(&from_root("r"), "t").history.equivocations.len(), 1, "one is enough");
    let failure = scene.fail("q", "t").expect("a report");
    scene.recover("t", scene.next).expect("a recovery");
    assert_eq!(scene.score("r", "t"), 800_000);
    // What was before is behind it, whoever shows it now. A report of before is open still, and counts for nothing.
    let past = RuleError::PastArtifact { member: "receipts" };
    scene.register("late", ALL).expect("a pipeline");
    assert_eq!(scene.equivocation("late", "t", [one, two]), Err(past));
    assert_eq!(scene.score("r", "t"), 800_000);
    assert_eq!(scene.fail("q", "t").map_err(|error| error.rule()), Err("failure-open"));
    scene.withdraw("q", "t", failure).expect("a withdrawal");
    let failure = scene.fail("q", "t").expect("a new report");
    scene.vouch("r", "q");
    assert_eq!(scene.score("r", "t"), 600_000);
    scene.withdraw("q", "t", failure).expect("a withdrawal");
    assert_eq!(scene.score("r", "t"), 800_000);
}

/// What a thief logged in the window proves nothing against its victim.
#[test]
fn void_entries_prove_nothing() {
    let mut scene = Scene::with(&["r", "q", "t", "anyone"]);
    scene.vouch("r", "q");
    scene.vouch("r", "t");
    let since = scene.next;
    let [one, two] = ["one", "two"].map(|content| scene.build_reproducibly("t", content).expect("an entry"));
    scene.recover("t", since).expect("a recovery");
    let void = RuleError::PastArtifact { member: "receipts" };
    assert_eq!(scene.equivocation("anyone", "t", [one, two]), Err(void));
    let own = scene.build_reproducibly("t", "three").expect("an entry");
    assert!(scene.equivocation("anyone", "t", [two, own]).is_err(), "one of two is enough");
    assert_eq!(scene.score("r", "t"), 800_000);
    // A thief of the reporter's key does not lift its report.
    let failure = scene.fail("q", "t").expect("a report");
    let since = scene.next;
    scene.withdraw("q", "t", failure).expect("the thief takes it back");
    assert_eq!(scene.score("r", "t"), 800_000);
    scene.recover("q", since).expect("a recovery");
    assert_eq!(scene.score("r", "t"), 600_000);
}

/// S26: a vouch ends, whether anybody remembers it or not; nobody can make it last longer than a year.
#[test]
fn stale_vouches_end() {
    let mut scene = Scene::with(&["r", "t"]);
    let from = scene.now;
    scene.vouch("r", "t");
    for (days, score) in [(0, 800_000), (364, 800_000), (365, 0), (3_650, 0)] {
        let now = time(from + days * DAY);
        assert_eq!(
            judge_by(scene.ledger(), &from_root("r"), did("t"), now).score.get(),
            score,
            "{days} days"
        );
    }
    // Issued a year ahead, to end in two: it ends a year after it was logged.
    let (id, issued_at, expires_at) = (scene.id(), time(from + 365 * DAY), time(from + 730 * DAY));
    let (scope, level, depth) = (Scope::CodeSigning, Level::Strong, None);
    scene
        .say("r", "t", TrustEvent::Vouch { id, issued_at, scope, level, depth, expires_at })
        .expect("a vouch");
    let verdict = scene.judge(&from_root("r"), "t");
    let path = verdict.best_path().expect("a path");
    assert_eq!(path.hops[0].expires, time(from + 365 * DAY));
    // The judge names an ended one that it is handed.
    let now = time(from + 365 * DAY);
    let given = judge(scene.ledger(), &from_root("r"), std::slice::from_ref(&path.path), did("t"), now)
        .expect("a verdict");
    assert_eq!(given.paths[0].broken.map(|(hop, reason)| (hop, reason.name())), Some((1, "expired")));
    assert_eq!(given.causes, [Cause::NoPath]);
}

/// Anybody registers in a moment: at threshold 0 as well somebody has to lead to whoever passes.
#[test]
fn a_registered_stranger_passes_at_no_threshold() {
    let mut scene = Scene::with(&["r", "stranger"]);
    let verdict = scene.judge(&from_root("r"), "stranger");
    assert_eq!((verdict.passes, verdict.causes.as_slice()), (false, &[Cause::NoPath][..]));
    scene.vouch_with("r", "stranger", Scope::CodeSigning, Level::Weak, None).expect("a vouch");
    assert!(scene.judge(&from_root("r"), "stranger").passes, "the least vouch is a path");
    scene.revoke("r", "stranger").expect("a revocation");
    assert!(!scene.judge(&from_root("r"), "stranger").passes);
    assert!(scene.judge(&from_root("stranger"), "stranger").passes, "a root leads to itself");
}

/// S22: what was logged once counts once: replayed vouches, rotations, receipts, and what is signed for another.
#[test]
fn replays_count_for_nothing() {
    let mut scene = Scene::with(&["r", "t", "u"]);
    for round in 0..100 {
        let vouch = scene.vouch("r", "t");
        scene.revoke("r", "t").expect("a revocation");
        assert_eq!(scene.replay(vouch), Err(RuleError::Known), "round {round}");
        assert_eq!(scene.score("r", "t"), 0);
    }
    let rotation = scene.rotate("r", ALL).expect("a rotation");
    assert_eq!(scene.replay(rotation), Err(RuleError::Known));
    let receipt = scene.build("t", "release").expect("an entry");
    scene.now += 7 * DAY;
    assert_eq!(scene.replay(receipt), Err(RuleError::Known));
    assert_eq!(scene.judge(&from_root("t"), "t").history.weeks, 1, "an old receipt makes no new week");
    // T's key signs in the name of U.
    let stolen = scene.build_with("u", &key("t", 0), "release", Visibility::Public, Map::new());
    assert_eq!(stolen, Err(RuleError::State(StateError::RetiredKey)));
}

/// A key that was rotated away, or that its owner reported, earns nothing.
#[test]
fn retired_keys_mint_no_history() {
    let params = from_root("r").with_floor(ppm(500_000));
    let mut scene = Scene::with(&["r", "t"]);
    scene.vouch("r", "t");
    scene.rotate("t", ALL).expect("a rotation");
    for week in 0..12 {
        let minted = scene.build_with("t", &key("t", 0), &week.to_string(), Visibility::Public, Map::new());
        assert_eq!(minted, Err(RuleError::State(StateError::RetiredKey)));
        scene.now += 7 * DAY;
    }
    assert_eq!(scene.judge(&params, "t").score.get(), 400_000);
    // The thief has the current key for a while: what it minted is void from where the owner says.
    let since = scene.next;
    for week in 0..12 {
        scene.build("t", &week.to_string()).expect("the thief's entry");
        scene.now += 7 * DAY;
    }
    assert_eq!(scene.judge(&params, "t").score.get(), 600_000);
    scene.compromise("t", since).expect("a report");
    let verdict = scene.judge(&params, "t");
    assert_eq!((verdict.score.get(), verdict.passes), (0, false), "not even at threshold 0");
    scene.recover("t", since).expect("a recovery");
    assert_eq!(scene.judge(&params, "t").score.get(), 400_000);
}

/// S24: of two rotations from one state one wins, ten thousand times; a thief of the current key wins nothing.
#[test]
fn thieves_of_the_current_key_take_nothing_over() {
    let capabilities = Capabilities::PIPELINE;
    let mut wins = 0;
    for number in 0..50 {
        let name = format!("p{number}");
        let mut scene = Scene::with(&[&name]);
        for _ in 0..200 {
            let link = scene.link(&name);
            let current = scene.current_key(&name);
            let thief = key("thief", 0);
            // The thief's own next key: nothing committed to it.
            let rotation = IdentityEvent::Rotation {
                link,
                key: raw(&thief),
                next: commitment(&key("thief", 1)),
                capabilities,
            };
            let stolen = scene.log_identity(&name, rotation, &[&current, &thief]);
            assert_eq!(stolen, Err(RuleError::State(StateError::NotNextKey)));
            let winner = scene.rotate(&name, ALL);
            // Made from the same state, it comes second.
            let second = IdentityEvent::Rotation {
                link,
                key: raw(&scene.current_key(&name)),
                next: commitment(&key("thief", 1)),
                capabilities,
            };
            let loser = scene.log_identity(&name, second, &[&current, &scene.current_key(&name)]);
            assert!(matches!(loser, Err(RuleError::State(StateError::NotNext { .. }))), "{loser:?}");
            wins += usize::from(winner.is_ok());
        }
        thief_recovers_nothing(&mut scene, &name);
    }
    assert_eq!(wins, 10_000);
}

fn thief_recovers_nothing(scene: &mut Scene, name: &str) {
    let (current, thief) = (scene.current_key(name), key("thief", 0));
    let link = scene.link(name);
    let recovery = |since: u64| IdentityEvent::Recovery {
        link,
        key: raw(&thief),
        next: commitment(&key("thief", 1)),
        recovery: commitment(&key("thief", 2)),
        capabilities: ALL,
        since: reference(LeafIndex::new(since)),
    };
    let signers = |outcome: Result<LeafIndex, RuleError>| {
        assert!(matches!(outcome, Err(RuleError::State(StateError::Signers(_)))), "{outcome:?}");
    };
    signers(scene.log_identity(name, recovery(0), &[&current, &thief]));
    let since = reference(LeafIndex::new(0));
    signers(scene.log_identity(name, IdentityEvent::Compromise { link, since }, &[&current]));
    signers(scene.log_identity(name, IdentityEvent::Deactivation { link }, &[&current]));
    // The owner's own, with a window that cannot be.
    let late = scene.log_identity(name, recovery(scene.next + 1), &[&recovery_key(name, 0), &thief]);
    assert!(matches!(late, Err(RuleError::State(StateError::Since { .. }))), "{late:?}");
}

/// A vouch needs the capability, a report and a confirmation theirs; and the DID must be registered.
#[test]
fn keys_say_what_they_may() {
    let mut scene = Scene::with(&["r", "t"]);
    scene.register("ci", Capabilities::PIPELINE).expect("a pipeline");
    let vouch = |scene: &mut Scene, from: &str| {
        scene.vouch_with(from, "t", Scope::CodeSigning, Level::Strong, None).map_err(|error| error.rule())
    };
    assert_eq!(vouch(&mut scene, "ci"), Err("capability"));
    assert_eq!(vouch(&mut scene, "bare"), Err("not-registered"));
    assert!(scene.fail("ci", "t").is_ok());
    // A bare key's receipts count once it is registered; until then it passes at no threshold.
    scene.vouch("r", "bare");
    scene.build("bare", "release").expect("an entry");
    let verdict = scene.judge(&from_root("r"), "bare");
    assert_eq!((verdict.passes, verdict.score.get(), verdict.standing.name()), (false, 0, "unregistered"));
    scene.register("bare", ALL).expect("a pipeline");
    let verdict = scene.judge(&from_root("r"), "bare");
    assert_eq!((verdict.passes, verdict.score.get(), verdict.history.weeks), (true, 800_000, 1));
    scene.deactivate("bare").expect("the end");
    let verdict = scene.judge(&from_root("r"), "bare");
    assert_eq!((verdict.passes, verdict.standing.name()), (false, "deactivated"));
}

/// What events refer to must be there, and be what they say.
#[test]
fn references_lead_to_what_they_name() {
    let mut scene = Scene::with(&["c", "t", "u"]);
    let receipt = scene.build("t", "release").expect("an entry");
    let build = scene.build("c", "release").expect("an entry");
    let key = scene.current_key("t");
    let private = scene.build_with("t", &key, "release", Visibility::Private, Map::new()).expect("an entry");
    let rule = |scene: &mut Scene, artifact: &str, receipt: LeafIndex, build: LeafIndex| {
        let artifact = Hash::of(artifact.as_bytes());
        let (receipt, build) = (reference(receipt), reference(build));
        scene.say("c", "t", TrustEvent::Confirmation { artifact, receipt, build })
    };
    let next = LeafIndex::new(scene.next + 100);
    let not_listed = Err(RuleError::NotListed { member: "receipt" });
    assert_eq!(rule(&mut scene, "another", receipt, build), not_listed);
    assert_eq!(rule(&mut scene, "release", private, build), not_listed);
    let others = RuleError::OthersArtifact { member: "receipt", did: did("t") };
    assert_eq!(rule(&mut scene, "release", build, build), Err(others));
    let others = RuleError::OthersArtifact { member: "build", did: did("c") };
    assert_eq!(rule(&mut scene, "release", receipt, receipt), Err(others));
    let none = RuleError::NoArtifact { member: "receipt", index: next };
    assert_eq!(rule(&mut scene, "release", next, build), Err(none));
    assert!(rule(&mut scene, "release", receipt, build).is_ok());

    let failure = scene.fail("c", "t").expect("a report");
    assert_eq!(scene.fail("c", "t"), Err(RuleError::FailureOpen(failure)));
    assert_eq!(scene.withdraw("u", "t", failure), Err(RuleError::FailureNotOpen(failure)));
    assert_eq!(scene.withdraw("c", "t", receipt), Err(RuleError::FailureNotOpen(receipt)));
    assert!(scene.withdraw("c", "t", failure).is_ok());
    assert_eq!(scene.withdraw("c", "t", failure), Err(RuleError::Known), "the same bytes");

    let [one, two] = ["one", "two"].map(|content| scene.build_reproducibly("t", content).expect("an entry"));
    let others = RuleError::OthersArtifact { member: "receipts", did: did("u") };
    assert_eq!(scene.equivocation("c", "u", [one, two]), Err(others));
    assert!(scene.equivocation("c", "t", [one, two]).is_ok());
}

/// A gate that asks for two paths is not opened by one voucher that was bought.
#[test]
fn paths_that_share_nothing() {
    let mut scene = Scene::with(&["r", "q", "a", "b", "t"]);
    for (from, to) in [("r", "a"), ("q", "a"), ("a", "t")] {
        scene.vouch(from, to);
    }
    let params = Params::new([(did("r"), 1_000), (did("q"), 1_000)])
        .and_then(|params| params.with_min_paths(2))
        .expect("parameters")
        .with_scope(ScopeQuery::Only(Scope::CodeSigning))
        .with_threshold(ppm(500_000));
    let verdict = scene.judge(&params, "t");
    assert_eq!((verdict.score.get(), verdict.disjoint, verdict.passes), (640_000, 1, false));
    assert_eq!(verdict.causes, [Cause::Paths { found: 1, needed: 2 }]);
    // Both paths are handed over, and share A.
    let shared = [path(&["r", "a", "t"]), path(&["q", "a", "t"])];
    let given = judge(scene.ledger(), &params, &shared, did("t"), time(scene.now)).expect("a verdict");
    assert_eq!((given.disjoint, given.passes), (1, false));
    scene.vouch("q", "b");
    scene.vouch_with("b", "t", Scope::CodeSigning, Level::Weak, None).expect("a vouch");
    assert_eq!(scene.judge(&params, "t").disjoint, 1, "0.32 is below the threshold");
    scene.vouch("b", "t");
    let verdict = scene.judge(&params, "t");
    assert_eq!((verdict.disjoint, verdict.passes), (2, true));
    // One path that is handed over twice is one; also of a root to itself.
    for name in ["t", "r"] {
        let own = path(if name == "r" { &["r"] } else { &["r", "a", "t"] });
        let paths = [own.clone(), own];
        let given = judge(scene.ledger(), &params, &paths, did(name), time(scene.now)).expect("a verdict");
        assert_eq!((given.disjoint, given.passes), (1, false), "{name}");
    }
}

/// The JSON is as the specification has it.
#[test]
fn a_verdict_is_one_json() {
    let mut scene = Scene::with(&["r", "t"]);
    scene.vouch_with("r", "t", Scope::CodeSigning, Level::Moderate, Some(1)).expect("a vouch");
    let verdict = scene.judge(&from_root("r").with_threshold(ppm(700_000)), "t");
    let (r, t, now, expires) = (did("r"), did("t"), scene.now, scene.now + 365 * DAY);
    let want = format!(
        r#"{{"advice":[{{"advice":"direct-vouch","by":"{r}","score":800000}},{{"advice":"stronger-vouch","by":"{r}","hop":1,"score":800000}}],"behaviour":1000000,"best":0,"causes":[{{"cause":"below-threshold"}}],"decay":800,"disjointPaths":0,"floor":1000000,"history":{{"activity":0,"confirmation":0,"confirmed":0,"confirmers":[],"equivocations":[],"failures":[],"negative":1000000,"positive":1000000,"since":null,"weeks":0}},"maxHops":5,"minPaths":1,"passes":false,"paths":[{{"broken":null,"hops":[{{"depth":1,"expires":{expires},"from":"{r}","index":2,"level":"MODERATE","product":600000,"scope":"CODE_SIGNING","to":"{t}"}}],"root":"{r}","score":600000,"social":600000,"steps":[{{"scope":"CODE_SIGNING","to":"{t}"}}],"weight":1000}}],"roots":[{{"did":"{r}","weight":1000}}],"scope":"CODE_SIGNING","score":600000,"social":600000,"standing":"active","target":"{t}","threshold":700000,"time":{now}}}"#
    );
    assert_eq!(verdict.to_json().to_string(), want);
    let advised: Verdict = scene.judge(&from_root("r"), "r");
    assert_eq!((advised.score, advised.advice.as_slice()), (Ppm::ONE, &[][..]));
}
