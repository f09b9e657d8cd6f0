//! Inputs that hold one thing a line, and what people write into them instead.

use std::path::Path;

use crate::report::{Failure, Result};

/// Refuses a JSON array: as a pattern, `["a"]` is a class of characters and would take a file named `a`.
pub(super) fn refuse_json(input: &str, lines: &[String]) -> Result<()> {
    let is_json = |line: &&String| {
        let inside = line.strip_prefix('[').map(str::trim_start);
        inside.is_some_and(|inside| inside.starts_with(['"', '\''])) && !exists(line)
    };
    match lines.iter().find(is_json) {
        None => Ok(()),
        Some(line) => {
            Err(Failure::new(format!("the input `{input}` has the line `{line}`, which looks like a list"))
                .hint(one_a_line(input)))
        }
    }
}

/// The same failure, with what helps if a line that names nothing is in another form than it should be.
pub(super) fn explain(input: &str, lines: &[String], failure: Failure) -> Failure {
    match lines.iter().filter(|line| !exists(line)).find_map(|line| advice(input, line)) {
        None => failure,
        Some(advice) => failure.hint_first(advice),
    }
}

fn advice(input: &str, line: &str) -> Option<String> {
    let is_quoted = |quote| line.len() > 1 && line.starts_with(quote) && line.ends_with(quote);
    if is_quoted('"') || is_quoted('\'') {
        return Some(format!(
            "a line of `{input}` is taken as it is: leave out the quotation marks around `{line}`"
        ));
    }
    let is_item = line.starts_with("- ");
    let is_list = is_item || has_comma(line) || line.split_whitespace().nth(1).is_some();
    is_list.then(|| format!("{}; this line is `{line}`", one_a_line(input)))
}

fn one_a_line(input: &str) -> String {
    let one = match input {
        "subjects" => "NAME@sha256:HEX",
        _ => "file, folder or pattern",
    };
    format!("`{input}` has one {one} a line, as it is: begin with `{input}: |`, and a line for each below")
}

/// Outside of the braces of a pattern.
fn has_comma(line: &str) -> bool {
    let mut depth = 0_u32;
    line.chars().any(|c| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn exists(line: &str) -> bool {
    Path::new(line).symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_other_forms_are_told_the_right_one() {
        for line in ["a, b", "dist/*,lib/*", "- dist/app", "dist/a dist/b", "\"dist/*\"", "'dist/app'"] {
            assert!(advice("sign-paths", line).is_some(), "{line}");
        }
        for line in ["dist/*", "dist/{app,lib}", "dist/[ab]", "-rf", "\"", "!x"] {
            assert_eq!(advice("sign-paths", line), None, "{line}");
        }
        let refused = |line: &str| refuse_json("sign-paths", &[line.to_owned()]).is_err();
        assert!(refused("[\"a\"]") && refused("['a', 'b']") && refused("[ \"a\""));
        assert!(!refused("[ab]*") && !refused("[a, b]"));
    }
}
