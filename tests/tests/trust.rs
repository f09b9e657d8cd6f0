//! The trust score: the worked examples of `specs/trust.md`, properties, and attacks with their exact effect.

use attestation::event::{Level, Scope};
use attestation::trust::rules::RuleError;
use attestation::trust::{Params, Ppm, ScopeQuery, judge};
use tests::scene::{ALL, DAY, Scene, did, from_root, judge_by, path, time};

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
