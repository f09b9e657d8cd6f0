//! What went wrong, for the person at the terminal.

use std::error::Error;
use std::fmt;

/// `error:` a fact, `caused by:` what lies under it, `hint:` the next step.
#[derive(Debug)]
pub struct Failure {
    fact: String,
    causes: Vec<String>,
    hint: Option<String>,
    exit_code: u8,
}

impl Failure {
    /// Something could not be done: exit code 2.
    pub fn new(fact: impl Into<String>) -> Self {
        Self { fact: fact.into(), causes: Vec::new(), hint: None, exit_code: 2 }
    }

    /// Something was checked and is not so: exit code 1.
    pub fn no(fact: impl Into<String>) -> Self {
        Self { exit_code: 1, ..Self::new(fact) }
    }

    /// The obstacle may be gone at the next try, such as a full disk: exit code 70, as after a failed write. Supervisors
    /// start the server again.
    #[must_use]
    pub fn may_pass(mut self, may_pass: bool) -> Self {
        if may_pass {
            self.exit_code = 70;
        }
        self
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Adds what lies under it, with what lies under that.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Error) -> Self {
        self.causes.push(cause.to_string());
        let mut source = cause.source();
        while let Some(cause) = source {
            self.causes.push(cause.to_string());
            source = cause.source();
        }
        self
    }

    /// Adds what lies under it, in words.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.fact)?;
        self.causes.iter().try_for_each(|cause| write!(f, "\n  caused by: {cause}"))?;
        self.hint.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
    }
}
