//! What a document names is there: files, and places in them. What a comment names is there, too.

use std::collections::{BTreeMap, BTreeSet};

use super::{files, has_extension, names, root};

#[test]
fn links_between_documents_lead_somewhere() {
    let names = names();
    let documents: BTreeMap<String, String> = names
        .iter()
        .filter(|name| name.ends_with(".md"))
        .map(|name| (name.clone(), std::fs::read_to_string(root().join(name)).expect("UTF-8")))
        .collect();
    assert_eq!(broken(&documents, &names), Vec::<String>::new());
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "# A page\n## One place\n## One place\n[a](#one-place) [b](#one-place-1) [c](b.md#there)\n\
                [d](b.md) [e](../run) [f](https://example.com/#x)\n```\n[g](nowhere.md)\n```\n`[h](nowhere.md)`\n";
    let other = "# B: `what`, and [why](a.md)\n<a id=\"there\"></a>\n[a](a.md#a-page) [up](../docs)\n";
    let documents: BTreeMap<String, String> =
        [("docs/a.md", page), ("docs/b.md", other)].map(|(name, text)| (name.into(), text.into())).into();
    let names: BTreeSet<String> = ["docs/a.md", "docs/b.md", "run"].map(String::from).into();
    assert_eq!(broken(&documents, &names), Vec::<String>::new());
    for (bad, link) in [
        ("[x](c.md)", "c.md"),
        ("[x](#nowhere)", "#nowhere"),
        ("[x](b.md#b)", "b.md#b"),
        ("[x](b.md#b-what-and-whyy)", "b.md#b-what-and-whyy"),
        ("[x](../../run)", "../../run"),
        ("[x]: c.md", "c.md"),
    ] {
        let mut documents = documents.clone();
        documents.insert("docs/a.md".into(), format!("{page}{bad}\n"));
        assert_eq!(broken(&documents, &names), [format!("docs/a.md: `{link}` leads nowhere")], "{bad}");
    }
}

/// Specifications and pages that a comment names by their file exist.
#[test]
fn documents_that_comments_name_are_there() {
    let names = names();
    for path in files().iter().filter(|path| has_extension(path, &["rs", "sh", "py", "yml", "go", "js"])) {
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        let comments = text.lines().map(str::trim_start).filter(|line| line.starts_with(['/', '#']));
        for word in
            comments.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || "._/-".contains(c))))
        {
            let Some(stem) = word.strip_suffix(".md").filter(|stem| !stem.is_empty()) else { continue };
            let stem = stem.trim_start_matches("../");
            let there = ["", "specs/", "docs/", "docs/dev/"];
            assert!(
                there.iter().any(|folder| names.contains(&format!("{folder}{stem}.md"))),
                "{}: there is no `{word}`",
                path.display()
            );
        }
    }
}

/// The links of all documents that lead nowhere.
fn broken(documents: &BTreeMap<String, String>, names: &BTreeSet<String>) -> Vec<String> {
    let anchors: BTreeMap<&String, BTreeSet<String>> =
        documents.iter().map(|(name, text)| (name, anchors(text))).collect();
    let mut broken = Vec::new();
    for (name, text) in documents {
        for link in links(text) {
            let (file, place) =
                link.split_once('#').map_or((link.as_str(), None), |(file, place)| (file, Some(place)));
            let target = if file.is_empty() { Some(name.clone()) } else { resolve(name, file) };
            let leads = target.is_some_and(|target| match place {
                Some(place) => anchors.get(&target).is_some_and(|anchors| anchors.contains(place)),
                None => {
                    names.contains(&target)
                        || names.iter().any(|name| name.starts_with(&format!("{target}/")))
                }
            });
            if !leads {
                broken.push(format!("{name}: `{link}` leads nowhere"));
            }
        }
    }
    broken
}

/// The relative links of a document.
fn links(text: &str) -> Vec<String> {
    let prose = without_code(text);
    let inline = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
    let references =
        prose.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: ")).map(|(_, link)| link);
    inline
        .chain(references)
        .map(|link| link.split_whitespace().next().unwrap_or_default().to_owned())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

/// The places of a document that a link may name: headings as GitHub names them, and `<a id>`.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut anchors: BTreeSet<String> = text
        .split("<a id=\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(id, _)| id.into())
        .collect();
    for heading in without_fences(text).lines().filter_map(|line| line.strip_prefix('#')) {
        let heading = heading.trim_start_matches('#').trim();
        // `[text](link)` is named by its text.
        let text: String = heading
            .split("](")
            .enumerate()
            .map(|(at, part)| match at {
                0 => part,
                _ => part.split_once(')').map_or(part, |(_, rest)| rest),
            })
            .collect();
        let slug: String = text
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let count = seen.entry(slug.clone()).or_default();
        anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    anchors
}

fn without_fences(text: &str) -> String {
    let mut fenced = false;
    text.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn without_code(text: &str) -> String {
    without_fences(text).split('`').step_by(2).collect()
}

/// A path of a link in the file `from`, below the root; `None` if it leaves the repository.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut folders: Vec<&str> = from.split('/').collect();
    folders.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                folders.pop()?;
            }
            part => folders.push(part),
        }
    }
    Some(folders.join("/"))
}
