//! What code cites is defined in this repository: rules, trials, invariants, conditions.

use std::collections::{BTreeMap, BTreeSet};

use super::{names, root};

/// Families of rules of specifications, written `WIT-9` in prose and `wit_9_` in names of tests.
const FAMILIES: [&str; 7] = ["NOTE", "CP", "TILE", "COS", "PROOF", "POL", "WIT"];

/// Trials, invariants, and the conditions of a vouch: `R6`, `S17`, `I5`, `E3`.
const LETTERS: [char; 4] = ['R', 'S', 'I', 'E'];

#[test]
fn what_code_cites_is_defined_and_what_is_defined_is_cited_or_marked() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).expect("UTF-8");
    let cited: BTreeMap<String, BTreeSet<String>> = names()
        .into_iter()
        .filter(|name| is_code(name))
        .map(|name| (name.clone(), citations(&read(&name))))
        .collect();
    let defined = ["docs/dev/rules.md", "docs/dev/invariants.md", "specs/trust.md"]
        .map(|name| definitions(&read(name)));
    let defined: Vec<Definition> = defined.into_iter().flatten().collect();
    assert!(defined.len() > 100, "the definitions are found");
    assert_eq!(faults(&cited, &defined), Vec::<String>::new());
}

#[test]
fn a_made_up_identifier_is_found() {
    let (rule, trial) = (format!("WIT-{}", 99), format!("R{}", 99));
    let page = "| <a id=\"wit-1\"></a>WIT-1 | what | [a](https://a.example) | [d](../../w/d.rs) |\n\
                | <a id=\"r3\"></a>R3 | what | not cited: why |\n## I5\n";
    let code = "// WIT-1, and (I5).\nfn wit_1_each_row_alone() {}\nlet x = \"SHA-256 of I555\"; // R2D2\n";
    let check =
        |page: &str, code: &str| faults(&[("w/d.rs".into(), citations(code))].into(), &definitions(page));
    assert_eq!(check(page, code), Vec::<String>::new());
    for (code, want) in [
        (format!("{code}/// {rule}: what"), format!("{rule} is cited in w/d.rs and defined nowhere")),
        (
            format!("{code}fn {}_x() {{}}", rule.to_lowercase().replace('-', "_")),
            format!("{rule} is cited in w/d.rs and defined nowhere"),
        ),
        (
            format!("{code}fn note_1_to_2_x() {{}}"),
            "NOTE-1 is cited in w/d.rs and defined nowhere".to_owned(),
        ),
        (format!("{code}/// ({trial})"), format!("{trial} is cited in w/d.rs and defined nowhere")),
        (format!("{code}fn wit_1_s40_x() {{}}"), "S40 is cited in w/d.rs and defined nowhere".to_owned()),
        (format!("{code}// R3"), "R3 is marked `not cited`, and w/d.rs cites it".to_owned()),
        ("// WIT-1".to_owned(), "I5 is cited nowhere and not marked `not cited: why`".to_owned()),
    ] {
        assert_eq!(check(page, &code).first(), Some(&want), "{code}");
    }
    let elsewhere = page.replace("w/d.rs", "w/e.rs");
    assert_eq!(check(&elsewhere, code), ["WIT-1 is said to be in w/e.rs, which does not cite it"]);
    assert_eq!(check(&format!("{page}## I5\n"), code), ["I5 is defined twice"]);
}

/// Papers that only the first authors had are cited nowhere, and a section is a section of something.
#[test]
fn nothing_is_cited_that_is_not_here_or_public() {
    // In two parts, so that this file keeps its own rule.
    let papers = [
        ["SPEC ", "design"],
        ["design ", "§"],
        ["test ", "programme"],
        ["of the ", "review"],
        ["Must ", "show"],
        ["(check", "list "],
        ["shared/", "reference"],
    ]
    .map(|parts| parts.concat());
    for name in names().iter().filter(|name| is_code(name) || name.ends_with(".md")) {
        let text = std::fs::read_to_string(root().join(name)).expect("UTF-8");
        let mut before = "";
        for line in text.lines() {
            for paper in &papers {
                assert!(
                    !line.contains(paper.as_str()),
                    "{name}: `{paper}` is nothing that a reader has: {line}"
                );
            }
            let numbered =
                line.split("ssue ").skip(1).any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            assert!(!numbered, "{name}: an issue is not in this repository: {line}");
            let of = ["RFC", "FIPS", "raft", "BCP"];
            let is_of = |line: &str| of.iter().any(|of| line.contains(of));
            assert!(
                !line.contains('§') || name.ends_with("tidy/rules.rs") || is_of(line) || is_of(before),
                "{name}: a section of what? {line}"
            );
            before = line;
        }
    }
}

/// Where identifiers are looked for. Pages for users cite none, and this file makes some up.
fn is_code(name: &str) -> bool {
    if name.ends_with("tidy/rules.rs") {
        return false;
    }
    let code = [".rs", ".sh", ".py", ".toml", ".yml", ".go", ".js"]
        .iter()
        .any(|extension| name.ends_with(extension));
    code || name == "run" || (name.starts_with("specs/") && name.ends_with(".md"))
}

/// The identifiers in a text, also those that the names of its tests begin with.
fn citations(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut citations: BTreeSet<String> =
        text.split(|c| !is_part(c)).filter(|word| is_identifier(word)).map(str::to_owned).collect();
    for name in text.split("fn ").skip(1).filter_map(|rest| rest.split(|c| !is_part(c)).next()) {
        let mut parts = name.split('_').peekable();
        while let Some(part) = parts.next() {
            let part = part.to_uppercase();
            if is_identifier(&part) {
                citations.insert(part);
                continue;
            }
            let number = |part: Option<&&str>| part.and_then(|part| part.parse::<u32>().ok());
            let Some(first) = number(parts.peek()).filter(|_| FAMILIES.contains(&part.as_str())) else {
                break;
            };
            parts.next();
            let mut last = first;
            if parts.peek() == Some(&"to") {
                parts.next();
                last = number(parts.next().as_ref()).expect("a range of rules has an end");
            }
            citations.extend((first..=last).map(|number| format!("{part}-{number}")));
        }
    }
    citations
}

/// Whether a word is an identifier: of a family with `-`, or a letter with one or two digits.
fn is_identifier(word: &str) -> bool {
    let digits = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_once('-') {
        Some((family, number)) => FAMILIES.contains(&family) && digits(number),
        None => word.strip_prefix(LETTERS).is_some_and(digits),
    }
}

/// A row or heading that defines an identifier.
struct Definition {
    identifier: String,
    is_marked: bool,
    /// The files of the repository that the row names.
    places: Vec<String>,
}

fn definitions(page: &str) -> Vec<Definition> {
    let define = |line: &str| {
        let first =
            line.strip_prefix("| ").and_then(|row| row.split(" |").next()).or(line.strip_prefix("## "))?;
        let identifier = first.rsplit('>').next()?.split(':').next()?.trim();
        is_identifier(identifier).then(|| Definition {
            identifier: identifier.to_owned(),
            is_marked: line.contains("| not cited: "),
            places: line
                .split("](../../")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'))
                .map(|(path, _)| path.to_owned())
                .filter(|path| is_code(path) && !path.ends_with(".md"))
                .collect(),
        })
    };
    page.lines().filter_map(define).collect()
}

/// What is cited and not defined, or defined and not cited, or said of a file that it is not so of.
fn faults(cited: &BTreeMap<String, BTreeSet<String>>, defined: &[Definition]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known = BTreeSet::new();
    for definition in defined {
        if !known.insert(&definition.identifier) {
            faults.push(format!("{} is defined twice", definition.identifier));
        }
    }
    for (name, citations) in cited {
        for identifier in citations.iter().filter(|identifier| !known.contains(identifier)) {
            faults.push(format!("{identifier} is cited in {name} and defined nowhere"));
        }
    }
    for Definition { identifier, is_marked, places } in defined {
        let by = cited.iter().find(|(_, citations)| citations.contains(identifier)).map(|(name, _)| name);
        match by {
            Some(name) if *is_marked => {
                faults.push(format!("{identifier} is marked `not cited`, and {name} cites it"))
            }
            None if !is_marked => {
                faults.push(format!("{identifier} is cited nowhere and not marked `not cited: why`"))
            }
            _ => {}
        }
        for place in places {
            if !cited.get(place).is_some_and(|citations| citations.contains(identifier)) {
                faults.push(format!("{identifier} is said to be in {place}, which does not cite it"));
            }
        }
    }
    faults
}
