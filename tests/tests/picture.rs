//! The picture of a neighbourhood: nothing lies on anything, however many there are.

use attestation::event::{Level, Scope};
use attestation::trust::picture::{MAX_DIDS, Picture};
use attestation::trust::{Params, search};
use tests::scene::{ALL, Chance, Scene, did, from_root, time};

/// Layers of random vouches between a root and a target, with everything that a picture can show.
fn crowd(count: u64) -> (Scene, Params) {
    let mut scene = Scene::with(&["r", "t", "bad"]);
    let mut random = Chance::new(count);
    let layers = 3;
    let name = |layer: u64, place: u64| format!("n{layer}-{place}");
    let wide = (count - 3) / layers;
    for layer in 0..layers {
        for place in 0..wide {
            let to = name(layer, place);
            scene.register(&to, ALL).expect("a pipeline");
            for _ in 0..=random.below(2) {
                let from = if layer == 0 { "r".to_owned() } else { name(layer - 1, random.below(wide)) };
                let level = Level::ALL[usize::try_from(random.below(4)).expect("small")];
                scene.vouch_with(&from, &to, Scope::CodeSigning, level, None).expect("a vouch");
            }
        }
    }
    for place in 0..wide {
        scene.vouch(&name(layers - 1, place), "t");
    }
    scene.vouch("bad", "t");
    scene.distrust("r", "bad").expect("a warning");
    (scene, from_root("r"))
}

fn picture_of(scene: &Scene, params: &Params, name: &str) -> Picture {
    Picture::of(scene.ledger(), params, did(name), time(scene.now)).expect("a ledger in memory answers")
}

/// `x`, `y`, `width` and `height` of each box of a DID.
fn boxes(svg: &str) -> Vec<[i32; 4]> {
    let number = |line: &str, name: &str| -> i32 {
        let rest = line.split_once(&format!(" {name}=\"")).expect("a number").1;
        rest.split_once('"').expect("an end").0.parse().expect("a number")
    };
    svg.lines()
        .filter_map(|line| line.split_once("<g><title>did:aip:"))
        .map(|(_, line)| ["x", "y", "width", "height"].map(|name| number(line, name)))
        .collect()
}

#[test]
fn pictures_overlap_nothing() {
    let mut small = Scene::with(&["r", "a", "b", "c", "t"]);
    for (from, to) in [("r", "a"), ("a", "t"), ("a", "b"), ("b", "a"), ("c", "t")] {
        small.vouch(from, to);
    }
    small.vouch_with("r", "b", Scope::General, Level::Moderate, Some(1)).expect("a vouch");
    small.vouch_with("b", "t", Scope::CodeSigning, Level::Weak, None).expect("a vouch");
    small.distrust("r", "c").expect("a warning");
    let params = from_root("r");
    let picture = picture_of(&small, &params, "t");
    assert_eq!((picture.dids(), picture.lines()), (5, 8));
    let (svg, dot) = (picture.to_svg(), picture.to_dot());
    assert_eq!(svg.matches("<path d=\"M").count(), 5 + 8 + 5 + 1, "heads, lines, legend");
    for (short, word) in [
        ("STRONG", "STRONG CODE_SIGNING"),
        ("MODERATE GENERAL depth 1", "MODERATE GENERAL depth 1"),
        ("WEAK", "WEAK CODE_SIGNING"),
        ("distrust", "distrust CODE_SIGNING"),
    ] {
        assert!(svg.contains(&format!(">{short}</text>")), "{short}");
        assert!(svg.contains(&format!(": {word}, entry")) && dot.contains(word), "{word}");
    }
    for name in ["r", "a", "b", "c", "t"] {
        assert!(svg.contains(&did(name).to_string()) && dot.contains(&did(name).to_string()), "{name}");
    }
    let mut pictures = vec![("small".to_owned(), svg)];
    for count in [40, 198, 400] {
        let (scene, params) = crowd(count);
        let picture = picture_of(&scene, &params, "t");
        assert!(picture.dids() <= MAX_DIDS);
        assert_eq!(picture.to_svg().contains("more are not drawn"), count > 200);
        pictures.push((count.to_string(), picture.to_svg()));
    }
    // Nobody is there, and nobody knows anybody.
    for name in ["alone", "nobody"] {
        let scene = Scene::with(&["r", "alone"]);
        let picture = picture_of(&scene, &from_root("r"), name);
        assert_eq!((picture.dids(), picture.lines()), (1, 0));
        pictures.push((name.to_owned(), picture.to_svg()));
    }
    for (name, svg) in &pictures {
        if let Some(folder) = std::env::var_os("AIP_PICTURES") {
            std::fs::write(std::path::Path::new(&folder).join(format!("{name}.svg")), svg).expect("written");
        }
        let boxes = boxes(svg);
        assert!(!boxes.is_empty() || svg.is_empty(), "{name}");
        for (at, [x, y, width, height]) in boxes.iter().enumerate() {
            for [ox, oy, ..] in &boxes[at + 1..] {
                let apart = (x - ox).abs() >= *width || (y - oy).abs() >= *height;
                assert!(apart, "{name}: two boxes at {x}, {y}");
            }
        }
    }
    assert!(search(small.ledger(), &params, did("t"), time(small.now)).is_ok_and(|found| found.complete));
}
