//! How foreign text appears in an error: on one line, harmless to a terminal, and short.

/// `text` in quotation marks, control characters escaped, cut after 80 characters.
pub fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MAX_CHARS).collect();
    format!("{start:?}{}", if chars.next().is_some() { "…" } else { "" })
}

/// `message` with its control characters escaped: for messages of libraries that repeat their input.
pub fn printable(message: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    message.chars().map(escape).collect()
}

const MAX_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_shown_on_one_line() {
        assert_eq!(quoted("a\u{1b}[31m\n"), r#""a\u{1b}[31m\n""#);
        assert_eq!(quoted(&"x".repeat(81)), format!("\"{}\"…", "x".repeat(80)));
        assert_eq!(printable("unknown `\u{1b}`"), r"unknown `\u{1b}`");
    }
}
