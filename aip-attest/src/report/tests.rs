use super::*;

#[test]
fn false_beats_unable_beats_yes() {
    use Exit::{False, Unable, Yes};
    for (a, b, want) in [
        (Yes, Yes, Yes),
        (Yes, Unable, Unable),
        (Unable, Yes, Unable),
        (Yes, False, False),
        (Unable, False, False),
        (False, Unable, False),
    ] {
        assert_eq!(a.and(b), want);
    }
}

#[test]
fn a_failure_reads_as_error_causes_hints() {
    let failure = Failure::new("cannot read `a\u{1b}[31m`")
        .caused_by(io::Error::new(ErrorKind::NotFound, "no such file"))
        .hint("look again");
    let want = "error: cannot read `a\\u{1b}[31m`\n  caused by: no such file\nhint: look again";
    assert_eq!(failure.to_string(), want);
    assert_eq!(failure.one_line(), "cannot read `a\\u{1b}[31m`: no such file");
}

#[test]
fn hostile_text_cannot_move_the_cursor_or_turn_the_line() {
    assert_eq!(printable("plain é 世"), "plain é 世");
    assert_eq!(printable("a\u{1b}]0;x\u{7}b"), "a\\u{1b}]0;x\\u{7}b");
    assert_eq!(printable("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    assert_eq!(printable("a\u{9b}31m"), "a\\u{9b}31m");
    assert_eq!(printable("a\u{61c}b\u{ad}c\u{e0061}d\u{3164}e"), "a\\u{61c}b\\u{ad}c\\u{e0061}d\\u{3164}e");
}

/// actions/runner takes `##[NAME]` for a command wherever it stands in a line.
#[test]
fn nothing_that_is_printed_holds_the_start_of_a_workflow_command() {
    assert_eq!(printable("a ##[add-mask]x"), "a ##\\u{5b}add-mask]x");
    assert_eq!(printable("###[x]##[y]"), "###\\u{5b}x]##\\u{5b}y]");
    assert_eq!(printable("# [x] ## [y] #[z]"), "# [x] ## [y] #[z]");
}

#[test]
fn json_stays_the_same_json() {
    let value = serde_json::json!({"a\u{202e}": "\u{9b}31m\u{1b}\u{7f}é", "##[": "###[x]##[y]##"});
    let shown = printable_json(&serde_json::to_string_pretty(&value).expect("JSON"));
    assert!(!shown.contains(|c| is_hostile(c) && c != '\n') && !shown.contains("##["), "{shown:?}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
}

/// A writer that fails with one kind of error.
struct Failing(ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[test]
fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
    for (kind, ok) in [(ErrorKind::BrokenPipe, true), (ErrorKind::StorageFull, false)] {
        let mut console = Console::new(Box::new(Failing(kind)), Box::new(io::sink()));
        console.line("data");
        assert!(!console.has_delivered(), "{kind}");
        assert_eq!(console.finish().is_ok(), ok, "{kind}");
    }
}
