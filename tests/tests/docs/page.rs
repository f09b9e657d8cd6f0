//! The console blocks of a page, read as a person reads them.

/// A fenced block of `console`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins: the number of the line with the fence.
    pub(crate) line: usize,
    /// Why it is not run: from the comment `<!-- not run: REASON -->` before it.
    pub(crate) not_run: Option<String>,
    /// What happened meanwhile in the page's story: from the comment `<!-- meanwhile: COMMAND -->` before it.
    pub(crate) meanwhile: Option<String>,
    pub(crate) commands: Vec<Command>,
}

/// A command behind a prompt, `$` for anybody and `#` for root, and what the page shows of its output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) output: Vec<String>,
    /// What it ends with: 0, unless the line says `# exit code N`.
    pub(crate) exit: i32,
}

/// Reads the blocks of a page.
///
/// # Errors
/// A block without an end or without a command, output before the first command, a `not run` without a reason.
pub(crate) fn blocks(page: &str) -> Result<Vec<Block>, String> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut reason, mut meanwhile) = (None, None);
    let mut lines = page.lines().enumerate().map(|(at, line)| (at + 1, line));
    while let Some((at, line)) = lines.next() {
        let line = line.trim_start();
        let said = |mark| {
            Some(line.strip_prefix("<!-- ")?.strip_prefix(mark)?.strip_suffix("-->")?.trim().to_owned())
        };
        if let Some(said) = said("not run:") {
            if said.is_empty() {
                return Err(format!("line {at}: `not run` needs a reason"));
            }
            reason = Some(said);
        } else if let Some(said) = said("meanwhile:") {
            meanwhile = Some(said);
        } else if line == "```console" {
            let inside = lines.by_ref().take_while(|(_, line)| line.trim_start() != "```");
            let commands = commands(inside).map_err(|error| format!("the block in line {at}: {error}"))?;
            if commands.is_empty() {
                return Err(format!("the block in line {at} has no command"));
            }
            blocks.push(Block { line: at, not_run: reason.take(), meanwhile: meanwhile.take(), commands });
        } else if line.starts_with("```") {
            (reason, meanwhile) = (None, None);
            lines.by_ref().take_while(|(_, line)| line.trim_start() != "```").for_each(drop);
        } else if !line.is_empty() {
            (reason, meanwhile) = (None, None);
        }
    }
    Ok(blocks)
}

fn commands<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Vec<Command>, String> {
    let mut commands: Vec<Command> = Vec::new();
    let mut goes_on = false;
    for (at, line) in lines {
        let typed = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "));
        match (goes_on, typed, commands.last_mut()) {
            (true, _, Some(last)) => {
                last.text.push('\n');
                last.text.push_str(line);
                last.exit = exit_code(line);
                goes_on = line.ends_with('\\');
            }
            (_, Some(typed), _) => {
                goes_on = typed.ends_with('\\');
                let exit = exit_code(typed);
                commands.push(Command { line: at, text: typed.to_owned(), output: Vec::new(), exit });
            }
            (_, None, Some(last)) => last.output.push(line.to_owned()),
            (_, None, None) => return Err(format!("line {at}: output before a command")),
        }
    }
    Ok(commands)
}

fn exit_code(typed: &str) -> i32 {
    let said = typed.rsplit_once("# exit code ").map_or("", |(_, said)| said);
    said.split(|c: char| !c.is_ascii_digit()).next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether the output is what the page shows: line by line, `…` for any part of a line, a line with `…` alone for any lines.
/// A page that shows nothing says nothing about the output.
pub(crate) fn shows(shown: &[String], output: &[&str]) -> bool {
    let shown: Vec<&str> = shown.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect();
    let output: Vec<&str> =
        output.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()).collect();
    shown.is_empty() || lines_match(&shown, &output)
}

fn lines_match(shown: &[&str], output: &[&str]) -> bool {
    match shown.split_first() {
        None => output.is_empty(),
        Some((&"…", rest)) => (0..=output.len()).any(|skipped| lines_match(rest, &output[skipped..])),
        Some((first, rest)) => output
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or("")) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn a_page_is_read_as_a_person_reads_it() {
    let page = "# A page\n\n```console\n$ one --flag \\\n    two\nout …\n# three   # exit code 1: false\n```\n\
                <!-- not run: it needs an account -->\n<!-- meanwhile: a thief signs -->\n```console\n$ gh login\n```\n\n```yaml\n$ no command\n```\n";
    let command = |line, text: &str, output: &[&str], exit| Command {
        line,
        text: text.to_owned(),
        output: output.iter().map(|line| (*line).to_owned()).collect(),
        exit,
    };
    let expected = [
        Block {
            line: 3,
            not_run: None,
            meanwhile: None,
            commands: vec![
                command(4, "one --flag \\\n    two", &["out …"], 0),
                command(7, "three   # exit code 1: false", &[], 1),
            ],
        },
        Block {
            line: 11,
            not_run: Some("it needs an account".to_owned()),
            meanwhile: Some("a thief signs".to_owned()),
            commands: vec![command(12, "gh login", &[], 0)],
        },
    ];
    assert_eq!(blocks(page).expect("a page"), expected);
    assert!(blocks("```console\nout\n```\n").is_err(), "output of no command");
    assert!(blocks("```console\n```\n").is_err(), "no command");
    assert!(blocks("<!-- not run: -->\n```console\n$ a\n```\n").is_err(), "no reason");
}

#[test]
fn a_wildcard_stands_for_what_differs_and_nothing_else_does() {
    let shown = |shown: &[&str], output: &[&str]| {
        shows(&shown.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(), output)
    };
    assert!(shown(&["ok  did:aip:…  size …"], &["ok  did:aip:12ab  size 3"]));
    assert!(shown(&["first", "…", "last"], &["first", "between", "between", "last"]));
    assert!(shown(&["first", "…"], &["first"]));
    assert!(shown(&[], &["anything"]));
    assert!(!shown(&["ok  did:aip:…  size …"], &["ok  did:key:12ab  size 3"]));
    assert!(!shown(&["ok"], &["ok", "warning: more than the page shows"]));
    assert!(!shown(&["ok", "more"], &["ok"]));
    assert!(!shown(&["size …, done"], &["size 3"]));
    assert!(!shown(&["ab…ba"], &["aba"]), "a part is not counted twice");
}
