//! Which files are meant: what an attacker calls his files, what is passed over, and that the answer says so.

use serde_json::{Value, json};

#[cfg(unix)]
use crate::runner::run;
use crate::world::{Forge, SIGNER_SEED, World, did, policy};

/// A folder `d` with a signed `app`, its receipt beside it.
fn world() -> World {
    let world = World::with_key();
    world.file("policy", policy().as_bytes());
    sign(&world, "d/app", "app");
    world
}

/// A file and its receipt.
fn sign(world: &World, path: &str, name: &str) {
    let content = format!("content of {path}");
    world.file(path, content.as_bytes());
    let receipt = Forge::of(name, content.as_bytes()).receipt();
    world.file(&format!("{path}.receipt.json"), receipt.as_bytes());
}

fn verify(world: &World, more: &[&str]) -> crate::world::Ran {
    world.run(&[&["verify", "--any-signer", "--policy", "policy"], more].concat())
}

/// Of each result its artifact and verdict.
fn verdicts(json: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let results = json["results"].as_array().expect("an array").iter();
    results.map(|one| (text(&one["artifact"]), text(&one["verdict"]))).collect()
}

/// `cp lib 'd/*'`, with the receipt of `lib`, opened every gate.
// Windows has no such names.
#[cfg(unix)]
#[test]
fn a_file_that_is_called_like_the_pattern_does_not_stand_in_for_what_it_matches() {
    for planted in ["*", "**", "?pp", "[a]pp", "{app,x}"] {
        let world = world();
        sign(&world, &format!("d/{planted}"), planted);
        let pattern = format!("d/{planted}");
        verify(&world, &[&pattern]).expect(0, &["ok  "]);
        world.file("d/app", b"altered");
        verify(&world, &[&pattern]).expect(1, &["FAILED          artifact-digest"]);
        let ran = world.run(&["sign", &pattern, "--no-log", "--receipts", "r"]);
        ran.expect(
            0,
            &["signed   d/app  ", &format!("signed   d/{planted}  "), "is a pattern, and the name"],
        );
    }
}

#[test]
fn what_is_no_pattern_is_a_name() {
    let world = world();
    sign(&world, "pages/[slug].js", "[slug].js");
    sign(&world, "pages/[", "[");
    verify(&world, &["pages/[slug].js", "pages/["]).expect(0, &[]);
    let ran = world.run(&["sign", "pages/[slug].js", "pages/[", "--no-log", "--receipts", "r"]);
    ran.expect(0, &["signed   pages/[slug].js", "signed   pages/["]);
    assert!(!ran.stderr.contains("is a pattern"), "{ran:#?}");
}

/// Unsigned files that are named like receipts of ours.
#[test]
fn a_name_makes_no_receipt() {
    let planted =
        ["d/run.receipt.json", "d/x.tlog-proof", "d/.aip/evil.js", "d/.git/hooks/x", "d/.a.aip-tmp"];
    for planted in planted.into_iter().chain(["d/.aip-signature.json"]) {
        let world = world();
        verify(&world, &["d"]).expect(0, &["not judged: 1 file passed over, as receipts of the others"]);
        world.file(planted, b"evil");
        verify(&world, &["d"]).expect(2, &[planted, "could not check"]);
    }
}

/// A receipt of something else is content like any other.
#[test]
fn a_receipt_is_passed_over_only_where_it_names_a_selected_file_by_path_and_digest() {
    let app = b"content of d/app";
    for (path, receipt, code) in [
        ("d/app.second.receipt.json", Forge::of("app", app), 0),
        ("d/any.json", Forge::of("d/app", app), 0),
        ("d/any.json", Forge::of("w/d/app", app), 0),
        ("d/any.json", Forge::of("w/app", app), 2),
        ("d/page.html", Forge::of("app", app), 2),
        ("d/any.json", Forge::of("other", app), 2),
        ("d/app.old.receipt.json", Forge::of("app", b"an older app"), 2),
        ("d/sub/app.receipt.json", Forge::of("sub/app", app), 2),
    ] {
        let world = world();
        world.file(path, receipt.receipt().as_bytes());
        let ran = verify(&world, &["d"]);
        ran.expect(code, &[]);
        assert_eq!(ran.stderr.contains("it is itself a receipt, and names no file here"), code == 2);
        // A shell's list says the same.
        verify(&world, &["d/app", "d/app.receipt.json", path]).expect(code, &[]);
        // And so does the folder of receipts, where every receipt is one.
        std::fs::remove_file(world.path("d/app.receipt.json")).expect("removed");
        world.file("d/r/d/app.receipt.json", Forge::of("app", app).receipt().as_bytes());
        world.file("d/r/more.json", receipt.receipt().as_bytes());
        std::fs::remove_file(world.path(path)).expect("removed");
        verify(&world, &["d", "--receipts", "d/r"]).expect(0, &["2 files passed over"]);
        world.file("d/r/evil.receipt.json", b"{}");
        verify(&world, &["d", "--receipts", "d/r"]).expect(2, &["evil.receipt.json"]);
    }
}

/// At signing, a user's own file was left out for its name.
#[test]
fn a_file_that_is_named_like_a_receipt_is_signed() {
    let world = world();
    world.file("d/order.receipt.json", b"{\"total\": 3}");
    world.file("d/.git/config", b"");
    world.file("d/.aip/policy", b"");
    let ran = world.run(&["sign", "d", "--no-log", "--receipts", "r"]);
    ran.expect(0, &["signed   d/order.receipt.json", "1 file passed over", "2 files in `.git` or `.aip`"]);
    assert!(world.files().iter().all(|name| !name.starts_with("r/d/.git/")));
    let ran = world.run(&["sign", "d", "--no-log", "--receipts", "r", "--json"]);
    let counts = json!({"passedOver": 1, "excluded": 0, "hidden": 0, "internal": 2});
    assert_eq!((ran.json().as_array().map(Vec::len), &ran.json()[0]["selection"]), (Some(2), &counts));
}

/// The receipt of an earlier build gives its place to the new one: it is not signed on the way.
#[test]
fn what_a_new_receipt_replaces_is_not_signed() {
    let world = world();
    world.file("d/app", b"built anew");
    let ran = world.run(&["sign", "d", "--no-log", "--json"]);
    assert_eq!(ran.json().as_array().map(Vec::len), Some(1), "{ran:#?}");
    // One of an earlier build that lies elsewhere is a file like others: it is signed, and not without a word.
    world.file("d/old.json", Forge::of("app", b"built before").receipt().as_bytes());
    let ran = world.run(&["sign", "d", "--no-log", "--receipts", "r"]);
    ran.expect(0, &["signed   d/old.json", "warning: `d/old.json` is a receipt that names no file here"]);
    std::fs::remove_file(world.path("d/old.json")).expect("removed");
    // What is no receipt is nobody's to replace.
    world.file("d/app.receipt.json", b"mine");
    let ran = world.run(&["sign", "d/app", "--no-log"]);
    ran.expect(2, &["cannot read the receipt"]);
    assert_eq!(world.read("d/app.receipt.json"), "mine");
}

#[test]
fn what_is_excluded_or_hidden_is_counted() {
    let world = world();
    world.file("d/.htaccess", b"evil");
    world.file("d/x.map", b"a map");
    world.file("d/vendor/y", b"of others");
    verify(&world, &["d/**"]).expect(2, &["d/x.map", "1 file hidden from a pattern"]);
    let exclude = ["--exclude", "*.map", "--exclude", "d/vendor"];
    let ran = verify(&world, &[&["d/**"], &exclude[..]].concat());
    ran.expect(
        0,
        &[
            "2 files excluded (`d/vendor/y`, …)",
            "1 file hidden from a pattern by a leading dot (`d/.htaccess`)",
        ],
    );
    let json = verify(&world, &[&["d/**", "--json"], &exclude[..]].concat()).json();
    assert_eq!(json["selection"], json!({"passedOver": 1, "excluded": 2, "hidden": 1, "internal": 0}));
    assert_eq!(verdicts(&json), [("d/app".to_owned(), "verified".to_owned())]);
    // A folder hides nothing.
    verify(&world, &[&["d"], &exclude[..]].concat()).expect(2, &["d/.htaccess"]);
    // What leaves nothing verifies nothing.
    verify(&world, &["d", "--exclude", "d"]).expect(2, &["nothing is left of `d`", "5 files excluded"]);
    verify(&world, &["d", "--exclude", "*"]).expect(2, &["nothing is left of `d`"]);
    verify(&world, &["d", "--exclude", ""]).expect(2, &["excludes nothing"]);
    verify(&world, &["d/.h*", "--exclude", "x"]).expect(2, &["d/.htaccess"]);
    let ran = world.run(&[&["sign", "d", "--no-log", "--receipts", "r"], &exclude[..]].concat());
    ran.expect(0, &["2 files excluded"]);
    world.only("r/d/.htaccess.");
    assert!(world.files().iter().all(|name| !name.starts_with("r/d/x.map.")));
}

/// The hint of a failure in `.git` says what to do.
#[test]
fn the_repository_is_a_folder_like_others_to_a_judge() {
    let world = world();
    world.file("d/.git/config", b"evil");
    let json = verify(&world, &["d", "--json"]).expect(2, &[]).json();
    let hint = json["results"][0]["error"]["hint"].as_str().expect("a hint");
    assert!(hint.contains("--exclude .git"), "{hint}");
    verify(&world, &["d", "--exclude", ".git"]).expect(0, &["1 file excluded"]);
}

/// `plugins` was replaced by a link to an altered folder.
#[cfg(unix)]
#[test]
fn a_link_to_a_folder_is_not_passed_over() {
    use std::os::unix::fs::symlink;
    let world = world();
    sign(&world, "d/1.2/lib", "1.2/lib");
    symlink("1.2", world.path("d/current")).expect("a link");
    for argument in ["d", "d/*", "d/**"] {
        verify(&world, &[argument]).expect(0, &[]);
    }
    world.file("other/lib", b"altered");
    symlink("../other", world.path("d/plugins")).expect("a link");
    for argument in ["d", "d/*", "d/**"] {
        verify(&world, &[argument])
            .expect(2, &["`d/plugins` is a link to a folder", "--exclude 'd/plugins'"]);
        verify(&world, &[argument, "--exclude", "d/plugins"]).expect(0, &["1 file excluded"]);
        // Not signed, and told.
        let sign = world.run(&["sign", argument, "--no-log", "--receipts", "r"]);
        sign.expect(0, &["warning: `d/plugins` is a link to a folder"]);
    }
    assert!(!world.path("r/d/plugins").exists());
}

/// One odd thing ended the whole `sign`, and only the first was named.
#[cfg(unix)]
#[test]
fn all_that_cannot_be_signed_is_named_and_can_be_left_out() {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;
    let world = World::with_key();
    world.file("d/app", b"app");
    symlink("nowhere", world.path("d/x-dangling")).expect("a link");
    symlink("x-loop", world.path("d/x-loop")).expect("a link");
    let made = std::process::Command::new("mkfifo").arg(world.path("d/x-pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    world.file("d/x-control\n", b"");
    let name = std::ffi::OsStr::from_bytes(b"x-bytes\xff");
    std::fs::write(world.path("d").join(name), b"").expect("written");
    for argument in ["d", "d/*", "d/**"] {
        let ran = world.run(&["sign", argument, "--no-log"]);
        let odd = ["5 of what is named", "x-dangling", "x-loop", "x-pipe", "control characters", "not UTF-8"];
        ran.expect(2, &odd).expect(2, &["--exclude PATTERN"]);
        let ran = world.run(&["sign", argument, "--no-log", "--receipts", "r", "--exclude", "x-*"]);
        ran.expect(0, &["signed   d/app", "5 files excluded"]);
    }
    assert!(!world.path("d/app.receipt.json").exists());
}

#[cfg(unix)]
#[test]
fn the_action_leaves_out_what_stands_behind_an_exclamation_mark() {
    let world = World::new();
    world.file("dist/app", b"app");
    world.file("dist/app.map", b"map");
    world.file("dist/.htaccess", b"hidden");
    let (own, key) = (did().to_string(), tlog::encoding::base64(&SIGNER_SEED));
    let act = |paths: &str| {
        run(&world, &[("did", own.as_str()), ("private-key", &key), ("sign-paths", paths)], &[])
    };
    let ran = act("!*.map\ndist/*\n");
    ran.expect(true, &["1 file excluded (`dist/app.map`)", "1 file hidden"]);
    assert_eq!(ran.outputs["signed"], "1");
    assert!(ran.summary.contains("1 file excluded"), "{}", ran.summary);
    act("!*.map").expect(false, &["says only what to leave out"]);
    act("dist/*\n!**").expect(false, &["nothing is left of"]);
}

/// Build after build in one folder: whoever signs hears what becomes of the receipts before, and what helps does.
#[test]
fn who_signs_again_is_told_of_the_receipts_of_earlier_builds() {
    let world = World::with_key();
    world.file("policy", policy().as_bytes());
    let signed = |content: &str| {
        world.file("d/app", content.as_bytes());
        world.run(&["sign", "--no-log", "d"])
    };
    let hint = "--exclude '*.????????????????.receipt.json'";
    let first = signed("build 1");
    assert!(first.code == 0 && !first.stderr.contains(hint), "{first:#?}");
    signed("build 2").expect(0, &["is kept as", "receipts of an earlier build", "--receipts DIR", hint]);
    let judged = verify(&world, &["d", "--json", "--exclude", "*.????????????????.receipt.json"]).json();
    assert_eq!(verdicts(&judged).len(), 1, "{judged:#}");
    // One of the same bytes is passed over by its content.
    world.run(&["sign", "--no-log", "d", "--reproducible"]).expect(0, &["is kept as"]);
    let again = world.run(&["sign", "--no-log", "d"]);
    assert!(!again.stderr.contains(hint), "{again:#?}");
}

/// As `cosign sign` takes images.
#[test]
fn who_names_an_image_to_sign_is_told_how() {
    let world = World::with_key();
    let hex = tlog::Hash::of(b"image").to_string();
    for image in [format!("ghcr.io/o/app@sha256:{hex}"), format!("sha256:{hex}")] {
        world.run(&["sign", "--no-log", &image]).expect(2, &["--subject NAME@sha256:HEX"]);
    }
}
