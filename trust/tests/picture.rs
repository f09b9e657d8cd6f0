//! The picture of a neighbourhood: nothing lies on anything, however many there are, and everything is on the canvas.
//!
//! `AIP_PICTURES=FOLDER` keeps the pictures, to be looked at.

#![allow(
    clippy::disallowed_methods,
    reason = "the library is pure; this test writes files where it is asked to"
)]

use attestation::event::{IdentityEvent, Level, Scope};
use testkit::chance::Chance;
use testkit::scene::{ALL, Scene, commitment, did, from_root, key, raw, recovery_key, time};
use trust::picture::{DrawnFrom, MAX_DIDS, MAX_LINES, Picture};
use trust::{Params, ScopeQuery, search};

/// Layers of random vouches between a root and a target, with vouches back and within a layer, warnings, reports and
/// names: everything that a picture can show.
fn crowd(count: u64, seed: u64) -> (Scene, Params) {
    let mut scene = Scene::default();
    named(&mut scene, "r", "Example Org");
    named(&mut scene, "t", "release pipeline of a product with a very long name");
    scene.register("bad", ALL).expect("a pipeline");
    let mut random = Chance::new(seed);
    let layers = 3.min(count - 2);
    let name = |layer: u64, place: u64| format!("n{layer}-{place}");
    let wide = (count - 3).div_ceil(layers).max(1);
    let level = move |random: &mut Chance| Level::ALL[usize::try_from(random.below(4)).expect("small")];
    for layer in 0..layers {
        for place in 0..wide {
            let to = name(layer, place);
            named(&mut scene, &to, &format!("team-{layer}/{place}"));
            for _ in 0..=random.below(2) {
                let from = if layer == 0 { "r".to_owned() } else { name(layer - 1, random.below(wide)) };
                let level = level(&mut random);
                scene.vouch_with(&from, &to, Scope::CodeSigning, level, None).expect("a vouch");
            }
            let other = name(random.below(layer + 1), random.below(wide));
            // Of its own layer or one before, or not there yet.
            if other != to && random.below(3) == 0 {
                let level = level(&mut random);
                let _ = scene.vouch_with(&to, &other, Scope::CodeSigning, level, None);
            }
            if other != to && random.below(12) == 0 {
                let _ = scene.distrust(&to, &other);
            }
            if random.below(25) == 0 {
                let _ = scene.distrust("r", &to);
            }
        }
    }
    for place in 0..wide {
        let level = level(&mut random);
        scene.vouch_with(&name(layers - 1, place), "t", Scope::CodeSigning, level, None).expect("a vouch");
    }
    scene.vouch("bad", "t");
    scene.distrust("r", "bad").expect("a warning");
    for place in (0..wide).filter(|place| place % 20 == 3) {
        let since = scene.next;
        scene.compromise(&name(0, place), since).expect("a report");
    }
    (scene, from_root("r"))
}

fn named(scene: &mut Scene, name: &str, public_name: &str) {
    let event = IdentityEvent::Inception {
        key: raw(&key(name, 0)),
        next: commitment(&key(name, 1)),
        recovery: commitment(&recovery_key(name, 0)),
        capabilities: ALL,
        public_name: Some(public_name.to_owned()),
    };
    scene.log_identity(name, event, &[&key(name, 0)]).expect("a new pipeline");
}

fn picture_of(scene: &Scene, params: &Params, name: &str) -> Picture {
    let picture = Picture::of(scene.ledger(), DrawnFrom::WholeLog, params, did(name), time(scene.now));
    let picture = picture.expect("a ledger in memory answers");
    check(name, &picture.to_svg(), name);
    picture
}

/// Keeps a picture for whoever wants to look at it.
fn keep(name: &str, picture: &Picture) {
    if let Some(folder) = std::env::var_os("AIP_PICTURES") {
        let path = std::path::Path::new(&folder).join(name);
        std::fs::write(path.with_extension("svg"), picture.to_svg()).expect("written");
        std::fs::write(path.with_extension("dot"), picture.to_dot()).expect("written");
    }
}

/// A number that an element has by a name.
fn number(line: &str, name: &str) -> i32 {
    let rest = line.split_once(&format!(" {name}=\"")).expect("a number").1;
    rest.split_once('"').expect("an end").0.parse().expect("a number")
}

/// The lines of a group of elements.
fn group<'s>(svg: &'s str, id: &str) -> &'s str {
    let begin = format!("<g id=\"{id}\"");
    let Some((_, rest)) = svg.split_once(&begin) else { return "" };
    rest.split_once("\n</g>\n<").map_or(rest, |(group, _)| group)
}

/// `x`, `y`, `width` and `height` of each box of a DID, and the DID.
fn boxes(svg: &str) -> Vec<([i32; 4], &str)> {
    let boxes = group(svg, "boxes").split("<g><title>").skip(1);
    boxes
        .map(|a_box| {
            let did = a_box.split_once("</title>").expect("a title").0.lines().last().expect("a DID");
            (["x", "y", "width", "height"].map(|name| number(a_box, name)), did)
        })
        .collect()
}

/// Points of every line.
fn curves(svg: &str) -> Vec<Vec<(f64, f64)>> {
    let paths = group(svg, "lines").lines().filter_map(|line| line.strip_prefix("<path d=\"M"));
    paths
        .map(|path| {
            let path = path.split_once('"').expect("an end").0.replace('C', " ");
            let numbers: Vec<f64> = path.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [ax, ay, bx, by, cx, cy, dx, dy] = numbers[..] else { panic!("{path}") };
            (0..=32)
                .map(|step| {
                    let t = f64::from(step) / 32.0;
                    let s = 1.0 - t;
                    let of = |a, b, c, d| {
                        a * s * s * s + 3.0 * b * s * s * t + 3.0 * c * s * t * t + d * t * t * t
                    };
                    (of(ax, bx, cx, dx), of(ay, by, cy, dy))
                })
                .collect()
        })
        .collect()
}

/// What is true of every picture.
fn check(name: &str, svg: &str, target: &str) {
    let (width, height) = (number(svg, "width"), number(svg, "height"));
    let boxes = boxes(svg);
    for (at, ([x, y, w, h], _)) in boxes.iter().enumerate() {
        assert!(*x >= 0 && *y >= 0 && x + w <= width && y + h <= height, "{name}: a box beside the canvas");
        for ([ox, oy, ..], _) in &boxes[at + 1..] {
            let apart = (x - ox).abs() >= *w || (y - oy).abs() >= *h;
            assert!(apart, "{name}: two boxes at {x}, {y}");
        }
    }
    let target = did(target).to_string();
    let last = boxes.iter().find(|(_, did)| *did == target).expect("the target").0[0];
    assert!(boxes.iter().all(|([x, ..], did)| *x < last || *did == target), "{name}: the target is the last");
    for curve in curves(svg) {
        for (x, y) in curve {
            let inside = x >= 0.0 && y >= 0.0 && x <= f64::from(width) && y <= f64::from(height);
            assert!(inside, "{name}: a line beside the canvas at {x}, {y}");
            for ([bx, by, w, h], did) in &boxes {
                let [bx, by, w, h] = [*bx, *by, *w, *h].map(f64::from);
                let within = x > bx + 0.01 && x < bx + w - 0.01 && y > by + 0.01 && y < by + h - 0.01;
                assert!(!within, "{name}: a line crosses the box of {did} at {x}, {y}");
            }
        }
    }
    // What is written beside lines covers no box and nothing else that is written there.
    let mut taken: Vec<[i32; 3]> = Vec::new();
    for text in group(svg, "labels").lines().filter(|line| line.starts_with("<text")) {
        let words = text.rsplit_once("</text>").and_then(|(text, _)| text.rsplit_once('>')).expect("words").1;
        let half = i32::try_from(words.chars().count()).expect("small") * 5 / 2;
        let (x, y) = (number(text, "x"), number(text, "y"));
        assert!(x - half >= 0 && x + half <= width && y <= height, "{name}: `{words}` beside the canvas");
        for ([bx, by, w, h], _) in &boxes {
            let apart = x + half <= *bx || x - half >= bx + w || y <= *by || y - 9 >= by + h;
            assert!(apart, "{name}: `{words}` on a box");
        }
        for [ox, oy, oh] in &taken {
            assert!((x - ox).abs() >= half + oh || (y - oy).abs() >= 9, "{name}: `{words}` on other words");
        }
        taken.push([x, y, half]);
    }
}

#[test]
fn a_small_picture_says_everything_in_words() {
    let mut small = Scene::with(&["r", "a", "b", "c", "t"]);
    for (from, to) in [("r", "a"), ("a", "t"), ("a", "b"), ("b", "a"), ("c", "t")] {
        small.vouch(from, to);
    }
    small.vouch_with("r", "b", Scope::General, Level::Moderate, Some(1)).expect("a vouch");
    small.vouch_with("b", "t", Scope::CodeSigning, Level::Weak, None).expect("a vouch");
    small.distrust("r", "c").expect("a warning");
    small.distrust("a", "c").expect("a warning of no root");
    let params = from_root("r");
    let picture = picture_of(&small, &params, "t");
    keep("small", &picture);
    assert_eq!((picture.dids(), picture.lines()), (5, 9));
    let (svg, dot) = (picture.to_svg(), picture.to_dot());
    assert!(svg.contains(">5 DIDs, 9 lines</text>"));
    for (short, word) in [
        ("STRONG", "STRONG CODE_SIGNING"),
        ("MODERATE GENERAL depth 1", "MODERATE GENERAL depth 1"),
        ("WEAK", "WEAK CODE_SIGNING"),
        ("distrust", "distrust CODE_SIGNING"),
        ("distrust by no root", "distrust by no root CODE_SIGNING"),
    ] {
        // What the legend says is beside a line only where there are few.
        let is_beside = group(&svg, "labels").contains(&format!(">{short}</text>"));
        assert_eq!(is_beside, short.contains(' '), "{short}");
        assert!(svg.contains(&format!(": {word}, entr")) && dot.contains(word), "{word}");
    }
    for name in ["r", "a", "b", "c", "t"] {
        assert!(svg.contains(&did(name).to_string()) && dot.contains(&did(name).to_string()), "{name}");
    }
    // Scores are those that a judgement gives.
    for name in ["t", "a", "b", "r"] {
        let score = small.judge(&params, name).score.to_string();
        let own = svg.split_once(&did(name).to_string()).expect("its box").1;
        let own = if name == "t" {
            svg.rsplit_once(&format!("{}</title><rect", did(name))).expect("its box").1
        } else {
            own
        };
        assert!(own.contains(&score) && dot.contains(&score), "{name}: {score}");
    }
    assert!(search(small.ledger(), &params, did("t"), time(small.now)).is_ok_and(|found| found.complete));
}

/// A vouch in one scope and a warning in another, both ways: four lines that can be told apart.
#[test]
fn what_two_say_of_each_other_are_lines_of_their_own() {
    let mut scene = Scene::with(&["r", "t"]);
    for (from, to) in [("r", "t"), ("t", "r")] {
        scene.vouch_with(from, to, Scope::CodeSigning, Level::Strong, None).expect("a vouch");
        scene.vouch_with(from, to, Scope::Identity, Level::Ultimate, None).expect("a vouch");
    }
    let params = from_root("r").with_scope(ScopeQuery::Any);
    let picture = picture_of(&scene, &params, "t");
    keep("two", &picture);
    assert!(group(&picture.to_svg(), "labels").contains(">STRONG CODE_SIGNING</text>"));
    assert_eq!((picture.dids(), picture.lines()), (2, 4));
    let svg = picture.to_svg();
    let mut curves = curves(&svg);
    // The way that is drawn beneath the best line is no line of its own.
    curves.dedup();
    assert_eq!(curves.len(), 4);
    for (at, curve) in curves.iter().enumerate() {
        for other in &curves[at + 1..] {
            let reversed: Vec<_> = other.iter().rev().copied().collect();
            assert!(curve.iter().zip(other).all(|(a, b)| a != b) && *curve != reversed, "two lines are one");
        }
    }
}

#[test]
fn random_neighbourhoods_of_any_size_are_drawn_apart() {
    for (count, seeds) in [(4, 40), (12, 25), (60, 8), (200, 2), (400, 1)] {
        for seed in 0..seeds {
            let (scene, params) = crowd(count, seed * 1_000 + count);
            let picture = picture_of(&scene, &params, "t");
            assert!(picture.dids() <= MAX_DIDS && picture.lines() <= MAX_LINES);
            assert_eq!(picture.to_svg().contains("there is no room"), count > 200, "{count} {seed}");
            if seed == 0 {
                keep(&count.to_string(), &picture);
            }
        }
    }
}

#[test]
fn somebody_whom_nobody_knows_is_drawn_alone() {
    for name in ["alone", "nobody"] {
        let scene = Scene::with(&["r", "alone"]);
        let picture = picture_of(&scene, &from_root("r"), name);
        keep(name, &picture);
        assert_eq!((picture.dids(), picture.lines()), (1, 0));
        assert!(picture.to_svg().contains(">1 DID, 0 lines</text>"));
    }
    let mut scene = Scene::with(&["r", "t"]);
    scene.vouch("r", "t");
    let picture = picture_of(&scene, &from_root("r"), "t");
    assert!(picture.to_svg().contains(">2 DIDs, 1 line</text>"));
}

/// Names are whatever their owners wrote: they close no element, turn no text round, and leave no box.
#[test]
fn a_public_name_is_a_text_and_nothing_else() {
    for (at, bad) in
        ["</title><script>1</script>", "a\" b=\"&amp;", "\u{202e}toor", "界".repeat(40).as_str(), "\\\" -> x"]
            .iter()
            .enumerate()
    {
        let mut scene = Scene::with(&["r"]);
        named(&mut scene, "t", bad);
        scene.vouch("r", "t");
        let picture = picture_of(&scene, &from_root("r"), "t");
        keep(&format!("name-{at}"), &picture);
        let (svg, dot) = (picture.to_svg(), picture.to_dot());
        assert!(!svg.contains("<script") && !svg.contains('\u{202e}') && !svg.contains("b=\"&amp;"), "{svg}");
        assert_eq!(svg.matches('<').count(), svg.matches('>').count(), "{svg}");
        let labels = dot.lines().filter(|line| line.contains("tooltip"));
        // Quotes that end a string: two for the name, two each for four more.
        assert!(labels.clone().all(|line| line.replace("\\\"", "").matches('"').count() == 10), "{dot}");
        assert_eq!(labels.count(), 2);
    }
}
