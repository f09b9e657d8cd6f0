//! What the commands say of their flags, in words of the action.

use crate::target;

/// Flags, and what says the same in a workflow.
const FLAGS: [(&str, &str); 27] = [
    ("--log", "`log-url`"),
    ("--policy", "`policy`"),
    ("--expect", "`policy-sha256`"),
    ("--receipts", "`receipts-dir` or `verify-receipts-dir`"),
    ("--private", "`private`"),
    ("--predicate-type", "`predicate-type`"),
    ("--predicate", "`predicate`"),
    ("--subject", "`subjects`"),
    ("--checksums", "`checksums`"),
    ("--together", "`together`"),
    ("--reproducible", "`reproducible`"),
    ("--did", "`verify-did`"),
    ("--threshold", "`trust-threshold`"),
    ("--root", "`trust-roots`"),
    ("--scope", "`trust-scope`"),
    ("--sync", "`trust-sync`"),
    ("--min-paths", "`trust-min-paths`"),
    ("--min-checkpoint", "`trust-min-checkpoint`"),
    ("--max-age", "`trust-max-age`"),
    ("--timeout", "the variable AIP_TIMEOUT"),
    ("--signer", "`verify-did`"),
    ("--subject-name", "`verify-subject-name`"),
    ("--source-uri", "`verify-source-uri`"),
    ("--source-ref", "`verify-source-ref`"),
    ("--builder-id", "`verify-builder-id`"),
    ("--any-name", "`verify-any-name`"),
    ("--artifact-max-age", "`verify-artifact-max-age`"),
];

/// What a runner that is new for each job cannot do. Behind each stands a hint for it.
const ON_A_MACHINE: [&str; 2] = [target::NAME_LOG, target::PIN_ONCE];

/// What stands behind a flag, and before the input that says the same, where a message names both.
const OR_INPUT: &str = ", or the action's input ";

/// The text with every flag in words of the action; none if it speaks of one for which there are none. A command between
/// backticks stays: somebody gives it elsewhere.
pub(super) fn in_words(text: &str) -> Option<String> {
    if ON_A_MACHINE.contains(&text) {
        return None;
    }
    let text = &only_inputs(text);
    let mut words = String::new();
    for (at, part) in text.split('`').enumerate() {
        let is_quoted = at % 2 == 1;
        let is_command = is_quoted && (part.starts_with("aip-attest ") || part.starts_with("aip "));
        let has_flags = part.split_whitespace().any(|word| unbracketed(word).starts_with("--"));
        match (is_quoted, is_command || !has_flags) {
            (false, true) => words.push_str(part),
            (true, true) => words.push_str(&format!("`{part}`")),
            // What takes a flag's place brings its own backticks.
            (_, false) => words.push_str(&reworded(part)?),
        }
    }
    Some(words)
}

/// The text without the flags behind which it names the input itself.
fn only_inputs(text: &str) -> String {
    let mut parts = text.split(OR_INPUT);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match words.rfind("--").filter(|at| !words[*at..].contains(',')) {
            Some(at) => words.truncate(at),
            None => words.push_str(OR_INPUT),
        }
        words.push_str(part);
    }
    words
}

/// A word without what opens before it.
fn unbracketed(word: &str) -> &str {
    word.trim_start_matches(['(', '[', '"', '\''])
}

/// Each flag, and the name of its value behind it, in words.
fn reworded(text: &str) -> Option<String> {
    if let Some((before, pattern)) = text.split_once("--exclude ") {
        // Its value is a part of the line, and may be quoted for a shell.
        let (pattern, after) = match pattern.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?,
            None => pattern.split_at(pattern.find([' ', ';', ',']).unwrap_or(pattern.len())),
        };
        return Some(format!("{}the line `!{pattern}`{}", reworded(before)?, reworded(after)?));
    }
    let mut words = String::new();
    let mut after_flag = false;
    for piece in text.split_inclusive(' ') {
        let word = unbracketed(piece.trim_end_matches(' '));
        let name_end = word.find(|c: char| !(c == '-' || c.is_ascii_lowercase())).unwrap_or(word.len());
        let (flag, rest) = word.split_at(name_end);
        if flag.starts_with("--") && flag.len() > 2 {
            let (_, input) = FLAGS.iter().find(|(name, _)| *name == flag)?;
            let value = rest.strip_prefix('=').unwrap_or(rest);
            let (before, after) = piece.split_once(word)?;
            words.push_str(&format!("{before}{input}{value}{after}"));
            after_flag = value.is_empty();
            continue;
        }
        let letters = word.trim_end_matches([',', ';', ':', '.', ')']);
        let is_value = after_flag && letters.len() > 1 && letters.chars().all(|c| c.is_ascii_uppercase());
        after_flag = false;
        if is_value {
            // The blank before it was the flag's.
            words.truncate(words.trim_end_matches(' ').len());
            words.push_str(piece.strip_prefix(letters).unwrap_or_default());
        } else {
            words.push_str(piece);
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_inputs_and_what_has_none_is_left_out() {
        for (text, want) in [
            ("check the log's URL", Some("check the log's URL")),
            ("name one with --log URL or AIP_LOG_URL", Some("name one with `log-url` or AIP_LOG_URL")),
            (
                "or fewer: --min-paths, `min-paths` in trust.toml",
                Some("or fewer: `trust-min-paths`, `min-paths` in trust.toml"),
            ),
            (
                "--max-age none, and no `max-checkpoint-age`",
                Some("`trust-max-age` none, and no `max-checkpoint-age`"),
            ),
            ("use `--exclude .git`", Some("use the line `!.git`")),
            ("leave it out: --exclude PATTERN", Some("leave it out: the line `!PATTERN`")),
            (
                "or leave it out with --exclude 'my dist/*.json'; or not",
                Some("or leave it out with the line `!my dist/*.json`; or not"),
            ),
            ("--exclude 'x' leaves it out", Some("the line `!x` leaves it out")),
            ("`aip-attest policy pin URL --replace`", Some("`aip-attest policy pin URL --replace`")),
            ("or sign without a log: --no-log", None),
            (
                "the policy p (--policy) and p (AIP_POLICY)",
                Some("the policy p (`policy`) and p (AIP_POLICY)"),
            ),
            (
                "any name: --any-name, or the action's input `verify-any-name`",
                Some("any name: `verify-any-name`"),
            ),
            (
                "that kind: --predicate-type TYPE, or the action's input `verify-predicate-type`",
                Some("that kind: `verify-predicate-type`"),
            ),
            (
                "name them with --root, AIP_TRUST_ROOTS, or the action's input `trust-roots`",
                Some("name them with `trust-roots`, AIP_TRUST_ROOTS, or the action's input `trust-roots`"),
            ),
            ("use --receipt FILE", None),
            ("(or --no-log)", None),
            ("a -- b", Some("a -- b")),
            (target::NAME_LOG, None),
            (target::PIN_ONCE, None),
        ] {
            assert_eq!(in_words(text).as_deref(), want, "{text}");
        }
    }

    /// Each of these inputs is one.
    #[test]
    fn what_takes_the_place_of_a_flag_is_an_input_of_the_action() {
        let action = include_str!("../../../../action.yml");
        let inputs = FLAGS.iter().flat_map(|(_, words)| words.split('`').skip(1).step_by(2));
        for input in inputs {
            assert!(action.contains(&format!("\n  {input}:\n")), "{input}");
        }
    }
}
