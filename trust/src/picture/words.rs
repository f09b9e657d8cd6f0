//! Texts in a picture. Public names are whatever their owners wrote.

/// A public name as it is shown: of what could turn, hide or colour a text the number is written.
pub(super) fn shown(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || c == ' ' || c.is_ascii_punctuation();
    let show = |c: char| if plain(c) { c.to_string() } else { c.escape_unicode().to_string() };
    name.chars().map(show).collect()
}

/// A text that fits beside so many letters of a middling width; what is cut ends in `…`.
pub(super) fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        if width(&kept) + letter(c) + 1 > room {
            break;
        }
        kept.push(c);
    }
    kept + "…"
}

/// How many letters of a middling width a text is as wide as, at most.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(letter).sum()
}

/// Letters of other scripts than Latin may be as wide as they are high.
fn letter(c: char) -> usize {
    if c < '\u{2ff}' || c == '…' { 1 } else { 2 }
}

/// A text within XML.
pub(super) fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A text within a string of DOT.
pub(super) fn dot(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// So many of something, such as `1 line`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
