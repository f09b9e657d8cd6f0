//! A checksum file, as `sha256sum` and others write it: for the job that signs and did not build.
//!
//! ```text
//! <64 hex digits>  <name>        text mode
//! <64 hex digits> *<name>        binary mode
//! <64 hex digits> <name>         of tools that write one space
//! \<64 hex digits>  <name>       with \\, \n and \r escaped in the name
//! SHA256 (<name>) = <64 hex digits>
//! # a comment
//! ```
//! A byte order mark before the first line is nothing. `amd64\app.exe`, as Windows writes it, is `amd64/app.exe`: a
//! name with a backslash of its own is an escaped one.

use std::collections::BTreeMap;
use std::path::Path;

use tlog::Hash;

use super::piped::Piped;
use super::{Hashed, elsewhere};
use crate::report::{Failure, Result};

/// The subjects that the file at `path` lists. Their receipts are named after them, beside the file; those of a list
/// that is piped in, in the working folder.
pub(crate) fn read(path: &Path) -> Result<Vec<Hashed>> {
    let cannot = || Failure::new(format!("cannot read the checksums in `{}`", path.display()));
    let text =
        crate::bounded_file::read_bounded(path, MAX_BYTES).map_err(|error| cannot().caused_by(error))?;
    let text = String::from_utf8(text).map_err(|_| {
        cannot()
            .because("it is not UTF-8")
            .hint("PowerShell's `>` writes UTF-16: use `| Out-File -Encoding utf8`")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let folder = path.parent().filter(|_| !Piped::is_open(path)).unwrap_or(Path::new(""));
    let mut seen: BTreeMap<String, Hash> = BTreeMap::new();
    let mut subjects = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, sha256) = parse_line(line).ok_or_else(|| {
            cannot()
                .because(format!("line {number} is not `<64 hex digits>  <name>`"))
                .hint("`sha256sum FILES > SHA256SUMS` writes such a file")
        })?;
        if name == "-" {
            return Err(cannot()
                .because(format!("line {number} is of standard input, which has no name"))
                .hint("`sha256sum FILES` names them; or use --subject NAME@sha256:HEX"));
        }
        let subject = elsewhere(&name, sha256, folder)?;
        match seen.insert(subject.artifact.name.clone(), sha256) {
            None => subjects.push(subject),
            Some(known) if known == sha256 => {}
            Some(_) => {
                return Err(cannot().because(format!("line {number} gives `{name}` a second digest")));
            }
        }
    }
    if subjects.is_empty() {
        return Err(cannot().because("it lists nothing"));
    }
    Ok(subjects)
}

fn parse_line(line: &str) -> Option<(String, Hash)> {
    let (line, escaped) = match line.strip_prefix('\\') {
        Some(line) => (line, true),
        None => (line, false),
    };
    let (name, hex) = match line.strip_prefix("SHA256 (") {
        Some(rest) => rest.rsplit_once(") = ")?,
        None => {
            let (hex, name) = line.split_at_checked(64)?;
            let forms = ["  ", " *", " "];
            (forms.into_iter().find_map(|form| name.strip_prefix(form))?, hex)
        }
    };
    let name = if escaped { unescape(name)? } else { name.replace('\\', "/") };
    Some((name, parse_hex(hex)?))
}

/// Other tools print upper case; the digest is the same.
fn parse_hex(hex: &str) -> Option<Hash> {
    Hash::from_hex(&hex.to_ascii_lowercase())
}

fn unescape(name: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

/// Room for 100,000 lines.
const MAX_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";

    fn read_text(text: &str) -> std::result::Result<Vec<String>, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("SHA256SUMS");
        std::fs::write(&path, text).expect("written");
        let read = read(&path).map_err(|failure| failure.one_line())?;
        Ok(read.into_iter().map(|subject| subject.artifact.name).collect())
    }

    #[test]
    fn each_form_of_a_line_is_read() {
        let text = format!(
            "{A}  a b.whl\n{A} *dist/app\r\n\nSHA256 (c (1)) = {}\n{A}  ./a b.whl\n{A}  ./d\n",
            A.to_uppercase()
        );
        assert_eq!(read_text(&text).expect("read"), ["a b.whl", "dist/app", "c (1)", "d"]);
    }

    /// Each was refused.
    #[test]
    fn what_other_tools_write_is_read() {
        for (text, want) in [
            (format!("\u{feff}{A}  a\r\n"), vec!["a"]),
            (format!("# of v1.2\n{A}  a\n\n#{A}  b\n"), vec!["a"]),
            (format!("{A}  amd64\\a.exe\n{A} *arm64\\a.exe\n"), vec!["amd64/a.exe", "arm64/a.exe"]),
            (format!("SHA256 (amd64\\a.exe) = {A}\n"), vec!["amd64/a.exe"]),
            (format!("{A}  .\\a.exe\n{A}  ./a.exe\n"), vec!["a.exe"]),
            (format!("{A} a b\n{A}   c\n{A} # d\n"), vec!["a b", " c", "# d"]),
        ] {
            assert_eq!(read_text(&text).expect(&text), want);
        }
    }

    #[test]
    fn other_lines_are_refused_with_their_number() {
        let b = A.replace('5', "6");
        for (text, want) in [
            (String::new(), "it lists nothing"),
            ("app\n".to_owned(), "line 1"),
            (format!("{A}  a\n{A}b\n"), "line 2"),
            (format!("{A}  a\n{A}\tb\n"), "line 2"),
            (format!("{A} \n"), "not empty"),
            (format!("{A}  ..\\a\n"), "leads out of its folder"),
            (format!("{A}  \\\\host\\a\n"), "leads out of its folder"),
            (format!("{A}  C:\\a\n"), "leads out of its folder"),
            (format!("\\SHA256 (a\\\\b) = {A}\n"), "leads out of its folder"),
            (format!("\\{A}  a\\\\b\n"), "leads out of its folder"),
            (format!("{A}  a\\b\n{b}  a/b\n"), "line 2 gives `a/b` a second digest"),
            (format!("{}  a\n", &A[1..]), "line 1"),
            (format!("{}é  a\n", &A[1..]), "line 1"),
            (format!("{A}  a\n{b}  a\n"), "line 2 gives `a` a second digest"),
            (format!("{A}  ./a\n{b}  a\n"), "line 2 gives `a` a second digest"),
            (format!("{A}  -\n"), "line 1 is of standard input"),
            (format!("{A}  ../a\n"), "leads out of its folder"),
            (format!("{A}  ./../a\n"), "leads out of its folder"),
            (format!("{A}  .//a\n"), "leads out of its folder"),
            (format!("{A}  /a\n"), "leads out of its folder"),
            (format!("\\{A}  a\\nb\n"), "no control characters"),
            (format!("\\{A}  a\\x\n"), "line 1"),
        ] {
            let error = read_text(&text).expect_err(&text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
