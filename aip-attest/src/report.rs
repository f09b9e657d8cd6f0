//! What people and scripts see: messages, exit codes, and what becomes of a closed pipe.
//!
//! The rules are:
//! - stdout carries data only; notes, warnings, errors and progress go to stderr
//! - an error is `error:`, then `  caused by:` lines, then `hint:` lines: lower case, no full stop
//! - a hint says what to do next
//! - text from outside reaches a terminal with its control characters escaped, and a runner without `##[`, with which a
//!   workflow command begins anywhere in a line ([`printable`])
//! - exit 0: yes; 1: checked and false; 2: could not
//! - `--json` prints one JSON value, also if the command fails before it has any data:
//!   `{"schema": "aip.error.v1", "error": {"message": "…", "hint": "…"}}`

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

/// A result whose error is meant for people.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// The answer of a command, as a script sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// 0: done, or checked and true.
    Yes,
    /// 1: checked and false.
    False,
    /// 2: could not do it, or could not check it.
    Unable,
}

impl Exit {
    /// The answer about two things: false if any is false, else unable if any could not be checked.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::Unable, _) | (_, Self::Unable) => Self::Unable,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    /// The number a shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::False => 1,
            Self::Unable => 2,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command stopped: what is wrong, whose fault it is, what to do.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    for_now: bool,
}

impl Failure {
    /// Could not be done: exit 2.
    pub(crate) fn new(message: impl Display) -> Self {
        let message = message.to_string();
        let (causes, hints) = (Vec::new(), Vec::new());
        Self(Box::new(Parts { exit: Exit::Unable, message, causes, hints, for_now: false }))
    }

    /// Checked and false: exit 1.
    pub(crate) fn refuted(message: impl Display) -> Self {
        let mut failure = Self::new(message);
        failure.0.exit = Exit::False;
        failure
    }

    /// Adds what lies behind it, with the sources of an error behind that.
    pub(crate) fn caused_by(mut self, cause: impl std::error::Error) -> Self {
        let mut cause: Option<&dyn std::error::Error> = Some(&cause);
        while let Some(error) = cause {
            let text = error.to_string();
            // Libraries that repeat their source in their own message would say it twice.
            if self.0.causes.last().is_none_or(|last| !last.ends_with(&text)) {
                self.0.causes.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// Adds what lies behind it, in words.
    pub(crate) fn because(mut self, cause: impl Display) -> Self {
        self.0.causes.push(cause.to_string());
        self
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.0.hints.push(hint.to_string());
        self
    }

    /// As [`Failure::hint`], before the others: annotations and JSON show the first.
    pub(crate) fn hint_first(mut self, hint: impl Display) -> Self {
        self.0.hints.insert(0, hint.to_string());
        self
    }

    /// The same in other words. A hint for which there are none is left out.
    pub(crate) fn in_words(mut self, words: Words) -> Self {
        for text in std::iter::once(&mut self.0.message).chain(&mut self.0.causes) {
            *text = words(text).unwrap_or_else(|| text.clone());
        }
        self.0.hints = self.0.hints.iter().filter_map(|hint| words(hint)).collect();
        self
    }

    /// Marks it as one that may be gone later, with nothing changed here: a log that does not answer.
    pub(crate) fn for_now(mut self) -> Self {
        self.0.for_now = true;
        self
    }

    /// Whether the same may succeed later.
    pub(crate) fn is_for_now(&self) -> bool {
        self.0.for_now
    }

    /// The exit code it leads to.
    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The message and its causes on one line, for annotations and JSON.
    pub(crate) fn one_line(&self) -> String {
        let parts: Vec<&str> =
            [self.0.message.as_str()].into_iter().chain(self.0.causes.iter().map(String::as_str)).collect();
        printable(&parts.join(": ")).into_owned()
    }

    /// The failure in JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({"message": self.one_line(), "hint": self.first_hint()})
    }

    /// What to do next, in order.
    pub(crate) fn hints(&self) -> &[String] {
        &self.0.hints
    }

    /// The first hint, for annotations and JSON.
    pub(crate) fn first_hint(&self) -> Option<String> {
        self.0.hints.first().map(|hint| printable(hint).into_owned())
    }
}

/// `error:`, `  caused by:`, `hint:`, each on its line, without the last newline.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", printable(&self.0.message))?;
        self.0.causes.iter().try_for_each(|cause| write!(f, "\n  caused by: {}", printable(cause)))?;
        self.0.hints.iter().try_for_each(|hint| write!(f, "\nhint: {}", printable(hint)))
    }
}

/// Says a text to readers who know other words; `None` if there are none for it.
pub(crate) type Words = fn(&str) -> Option<String>;

/// Where a command writes. The only place that writes to stdout or stderr.
pub(crate) struct Console {
    words: Words,
    out: BufWriter<Box<dyn Write>>,
    err: Box<dyn Write>,
    out_error: Option<io::Error>,
    has_data: bool,
    /// Whether the reader of stdout is gone.
    is_cut: bool,
}

impl Console {
    /// The process's own stdout and stderr.
    pub(crate) fn standard() -> Self {
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Any two writers, for tests.
    pub(crate) fn new(out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        let words: Words = |text| Some(text.to_owned());
        Self { words, out: BufWriter::new(out), err, out_error: None, has_data: false, is_cut: false }
    }

    /// The same for readers who know other words. What speaks to them in none of these is left out if it is a hint, and
    /// stays as it is otherwise.
    pub(crate) fn in_words(self, words: Words) -> Self {
        Self { words, ..self }
    }

    /// A line of data, which stays one: [`printable`].
    pub(crate) fn line(&mut self, line: impl Display) {
        self.has_data = true;
        let written = writeln!(self.out, "{}", printable(&line.to_string()));
        self.keep(written);
    }

    /// Data as it is, without a newline behind it.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.has_data = true;
        let written = self.out.write_all(bytes);
        self.keep(written);
    }

    /// A line that must not linger in a buffer: written past it, and the buffer is never given it.
    pub(crate) fn secret(&mut self, line: &str) {
        let flushed = self.out.flush();
        self.keep(flushed);
        let out = self.out.get_mut();
        let written =
            out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        self.keep(written);
    }

    /// Data as JSON, indented, with a newline behind it. What [`printable`] escapes is escaped as JSON does.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        self.has_data = true;
        let written = serde_json::to_string_pretty(value).map_err(io::Error::from);
        let written = written.and_then(|text| writeln!(self.out, "{}", printable_json(&text)));
        self.keep(written);
    }

    /// What ended the command, as JSON, for who asked for JSON and has got none yet.
    pub(crate) fn json_failure(&mut self, failure: &Failure) {
        if !self.has_data {
            let failure = failure.clone().in_words(self.words);
            self.json(&json!({"schema": "aip.error.v1", "error": failure.to_json()}));
        }
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, note: impl Display) {
        let text = note.to_string();
        self.say("note", &(self.words)(&text).unwrap_or(text));
    }

    /// Something worth acting on.
    pub(crate) fn warn(&mut self, warning: impl Display) {
        let text = warning.to_string();
        self.say("warning", &(self.words)(&text).unwrap_or(text));
    }

    /// What to do next.
    pub(crate) fn hint(&mut self, hint: impl Display) {
        if let Some(hint) = (self.words)(&hint.to_string()) {
            self.say("hint", &hint);
        }
    }

    /// A question, on stderr, with the cursor behind it.
    pub(crate) fn prompt(&mut self, question: &str) {
        let flushed = self.out.flush();
        self.keep(flushed);
        let _ = write!(self.err, "{question}").and_then(|()| self.err.flush());
    }

    /// An error that does not end the command.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        // Data that belongs before the error has to appear before it.
        let flushed = self.out.flush();
        self.keep(flushed);
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(self.err, "{}", failure.clone().in_words(self.words));
    }

    /// Writes out what is buffered, and answers whether everything so far was taken. Whoever deletes what was shown asks
    /// here first.
    pub(crate) fn has_delivered(&mut self) -> bool {
        let flushed = self.out.flush();
        self.keep(flushed);
        self.out_error.is_none() && !self.is_cut
    }

    /// Writes out what is buffered. A reader that closed the pipe has seen enough: that is no error, and
    /// the exit code stays the command's own. A full disk is one.
    pub(crate) fn finish(mut self) -> Result<()> {
        let flushed = self.out.flush();
        self.keep(flushed);
        match self.out_error {
            None => Ok(()),
            Some(source) => Err(Failure::new("cannot write to stdout").caused_by(source)),
        }
    }

    fn say(&mut self, prefix: &str, text: &str) {
        let flushed = self.out.flush();
        self.keep(flushed);
        let _ = writeln!(self.err, "{prefix}: {}", printable(text));
    }

    fn keep(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.is_cut = true,
            Err(error) => drop(self.out_error.get_or_insert(error)),
        }
    }
}

/// `1 path`, `2 paths`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// `text` with everything escaped that could move a cursor, colour a line, turn its direction or hide in it, and without
/// `##[`, which a runner takes for a workflow command: file names and signed text come from whoever wrote them.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if is_printable(text) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for c in text.chars() {
        if is_hostile(c) || (c == '[' && shown.ends_with("##")) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Whether [`printable`] leaves `text` as it is.
pub(crate) fn is_printable(text: &str) -> bool {
    !text.contains(is_hostile) && !text.contains("##[")
}

/// The same of a JSON text, which stays the same JSON: outside of strings only line ends are control
/// characters and no `#` stands, and inside all below U+0020 are escaped already.
fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.replace("##[", "\\u0023#[").chars() {
        if is_hostile(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// C0, C1, separators of lines and paragraphs, and what Unicode calls Default_Ignorable_Code_Point
/// (DerivedCoreProperties.txt): marks that turn the direction, and characters that show nothing.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
