use super::*;

fn takes(pattern: &Pattern, path: &str, dots: Dots) -> bool {
    let step = |state: State, name: &str| pattern.step(&state, OsStr::new(name), dots);
    path.split('/').fold(pattern.start(), step).is_taken
}

#[test]
fn a_pattern_matches_as_in_a_shell() {
    for (pattern, path, want) in [
        ("*", "a", true),
        ("*", "a/b", true),
        ("*", ".a", false),
        ("*", "a/.b", false),
        (".*", ".a", true),
        (".*", ".a/b", true),
        ("?", "ab", false),
        ("?", "é", true),
        ("é/?", "é/世", true),
        ("[[:alpha:]]*", "é", true),
        ("a{1..2}", "a1", false),
        ("a}*", "a}x", true),
        ("[ab]", "b", true),
        ("[!ab]", "c", true),
        ("[*]", "*", true),
        ("[*]", "a", false),
        (r"\*", "*", true),
        (r"\*", "a", false),
        (r"[\]x", "a", false),
        ("**", "a/b/c", true),
        ("**", "a/.b/c", false),
        ("**/c", "c", true),
        ("**/c", "a/b/c", true),
        ("**/c", "a/b/c/d", true),
        ("**/c", "a/.b/c", false),
        ("**/.b/c", "a/.b/c", true),
        ("*/**", "a", false),
        ("*/**", "a/b", true),
        ("*/", "a", false),
        ("*/", "a/b", true),
        ("*/**/b", "a/b", true),
        ("a**b", "axxb", true),
        ("a**b", "a/b", false),
        ("*//b", "a/b", true),
        ("*/./b", "a/b", true),
        ("{a,b/c}", "b/c", true),
        ("{a,b/c}", "b", false),
        ("{a,{b,c}d}", "cd", true),
        ("{.a,b}*", ".ax", true),
        ("{x/.a,b}", "x/.a", true),
        ("*{x,.a}", ".a", false),
        ("{a}", "a", true),
        ("{,a}b", "b", true),
        (r"{a\,b,c}", "a,b", true),
        (r"\{a,b}*", "{a,b}x", true),
        ("[{]a,b[}]", "{a,b}", true),
        // A part that is a name.
        ("[id]/*.js", "[id]/page.js", true),
        ("[id]/*.js", "d/page.js", true),
        ("{[slug],index}.js", "[slug].js", true),
    ] {
        let Ok(parsed) = Pattern::parse(pattern, Platform::Unix) else {
            assert!(!want, "{pattern} is no pattern");
            continue;
        };
        assert_eq!(takes(&parsed, path, Dots::Hidden), want, "{pattern} {path}");
        if !pattern.contains('\\') {
            let parsed = Pattern::parse(pattern, Platform::Windows).expect("a pattern there too");
            assert_eq!(takes(&parsed, path, Dots::Hidden), want, "{pattern} {path} on Windows");
        }
    }
}

/// Each was refused, or read as a plain character: a backslash parts folders there.
#[test]
fn a_pattern_is_written_with_backslashes_on_windows() {
    for (pattern, root, path, want) in [
        (r"dist\*", "dist", "a", true),
        (r"dist\*", "dist", "a/b", true),
        (r"dist\**\*.exe", "dist", "x/y/a.EXE", true),
        (r"dist\*.exe", "dist", "x/a.exe", false),
        (r".\dist/sub\*", r".\dist\sub", "a", true),
        (r"*\a", ".", "x/a", true),
        (r"*\", ".", "a", false),
        (r"*\", ".", "a/b", true),
        (r"{x,y\z}\*", ".", "y/z/a", true),
        (r"dist\[[]a]", "dist", "[a]", true),
        (r"[slug]\*", ".", "[slug]/a", true),
        // A bracket does not reach across folders.
        (r"[a\b]\*", ".", "b/c", false),
        (r"C:\*", r"C:\", "a", true),
        ("C:/*", r"C:\", "a", true),
        (r"C:\x\*", r"C:\x", "a", true),
        ("C:*.txt", "C:", "a.txt", true),
        (r"\*", r"\", "a", true),
        (r"\\host\share\*", r"\\host\share", "a", true),
        (r"\\?\C:\x\*", r"\\?\C:\x", "a", true),
        (r"\\?\C:\*", r"\\?\C:\", "a", true),
        (r"..\*", "..", "a", true),
    ] {
        assert!(Pattern::is_meant_by(pattern, Platform::Windows), "{pattern}");
        let parsed = match Pattern::parse(pattern, Platform::Windows) {
            Ok(parsed) => parsed,
            Err(_) if !want => continue,
            Err(why) => panic!("{pattern}: {why}"),
        };
        assert_eq!(parsed.root(), Path::new(root), "{pattern}");
        assert_eq!(takes(&parsed, path, Dots::Hidden), want, "{pattern} {path}");
    }
    for name in [r"\\?\C:\x", r"dist\a", "C:a"] {
        assert!(!Pattern::is_meant_by(name, Platform::Windows), "{name}");
    }
}

#[test]
fn dots_that_are_shown_are_letters() {
    for path in [".a", "a/.b", ".a/.b"] {
        assert!(
            takes(&Pattern::parse("**", Platform::Unix).expect("a pattern"), path, Dots::Shown),
            "{path}"
        );
        let everything = path.split('/').fold(At::everything(), |at, name| at.step(OsStr::new(name)));
        assert!(everything.strict.is_taken, "{path}");
    }
    assert!(takes(&Pattern::anywhere("*.map", Platform::Unix).expect("a pattern"), "a/.b.map", Dots::Shown));
}

#[test]
fn the_fixed_part_is_a_folder() {
    for (pattern, want) in
        [("*", "."), ("a/b/*", "a/b"), ("/*", "/"), ("/a/*", "/a"), ("./*", "."), ("a//*", "a")]
    {
        let root = Pattern::parse(pattern, Platform::Unix).expect("a pattern").root().to_path_buf();
        assert_eq!(root, Path::new(want), "{pattern}");
    }
}

#[test]
fn what_is_no_pattern_says_why() {
    for text in ["[", "a[", "[a/b]", "{a", "{a,{b}", "[b-a]", "[[:x:]]", "a{1..2}", r"*\"] {
        assert!(Pattern::parse(text, Platform::Unix).is_err(), "{text}");
    }
    // Ten choices of ten: more than anybody means.
    let many = "{0,1,2,3,4,5,6,7,8,9}".repeat(10);
    assert!(Pattern::parse(&many, Platform::Unix).is_err_and(|why| why.contains("more than 1000")));
    assert!(
        Pattern::parse(&"{a}".repeat(100_000), Platform::Unix).is_err_and(|why| why.contains("4096 bytes"))
    );
    assert!(Pattern::parse(&"{a}".repeat(1000), Platform::Unix).is_ok());
    assert!(Pattern::parse(&"{".repeat(4000), Platform::Unix).is_err());
}
