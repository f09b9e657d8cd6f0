//! What a file is called, and what a statement calls it.

/// Whether the subject's name `subject` is one of the file that is called `file`: one is the other, or ends with it
/// behind a `/`. A statement names a file by its path below the folder that was signed, and whoever judges it by the path
/// to where it lies now.
pub fn is_named(subject: &str, file: &str) -> bool {
    let ends = |whole: &str, end: &str| {
        whole.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('/'))
    };
    !subject.is_empty() && !file.is_empty() && (ends(file, subject) || ends(subject, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_a_file_if_one_name_is_the_other_or_its_end_behind_a_slash() {
        for (subject, file, want) in [
            ("app", "app", true),
            ("app", "dist/app", true),
            ("dist/app", "app", true),
            ("dist/app", "/w/dist/app", true),
            ("./app", "app", true),
            ("ghcr.io/octo/app", "octo/app", true),
            ("lib.so", "app", false),
            ("app", "myapp", false),
            ("myapp", "app", false),
            ("app", "app/x", false),
            ("app", "dist/app.old", false),
            ("app", "dist\\app", false),
            ("staging/app", "prod/app", false),
            ("app", "App", false),
            ("app/", "app", false),
            ("/", "app", false),
            ("", "app", false),
            ("app", "", false),
        ] {
            assert_eq!(is_named(subject, file), want, "{subject} {file}");
        }
    }
}
