//! What a verifier asks of the statement about an artifact: `verify`, `gate` and the action ask for the same.

use std::time::Duration;

use attestation::receipt::Demand;

use crate::predicate;

/// What a statement must say.
#[derive(clap::Args, Clone, Debug, Default)]
pub(in super::super) struct Demands {
    /// The repository that provenance must name, such as https://github.com/octo/app
    #[arg(long, value_name = "URI", requires = "artifacts")]
    pub(in super::super) source_uri: Option<String>,

    /// The ref that provenance must name, such as refs/tags/v1.2.3
    #[arg(long, value_name = "REF", requires = "artifacts")]
    pub(in super::super) source_ref: Option<String>,

    /// The builder that provenance must name
    #[arg(long, value_name = "URI", requires = "artifacts")]
    pub(in super::super) builder_id: Option<String>,

    /// The kind of statement: a URI, or a word such as cyclonedx
    #[arg(long, value_name = "TYPE", requires = "artifacts", value_parser = predicate::resolve)]
    pub(in super::super) predicate_type: Option<String>,

    /// The name that the signer gave the artifact, whatever the file is called here
    #[arg(long, value_name = "NAME", requires = "artifacts")]
    pub(in super::super) subject_name: Option<String>,
}

impl Demands {
    /// The same for the checks of a receipt, with the greatest age of its entry.
    pub(in super::super) fn to_checks(&self, max_age: Option<Duration>) -> Vec<Demand> {
        let Self { source_uri, source_ref, builder_id, predicate_type, subject_name } = self.clone();
        let demands = [
            source_uri.map(Demand::SourceUri),
            source_ref.map(Demand::SourceRef),
            builder_id.map(Demand::BuilderId),
            predicate_type.map(Demand::PredicateType),
            subject_name.map(Demand::SubjectName),
            max_age.map(Demand::MaxAge),
        ];
        demands.into_iter().flatten().collect()
    }
}

/// Which name of a file counts for the artifact that it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) enum Naming {
    /// For `verify`: any, unless its receipt is found by its digest alone. Then the receipt must name the file.
    Found,
    /// For a gate: the one that the statement gives it.
    Signed,
    /// For a gate that is told so: any.
    Any,
}

impl Naming {
    /// Whether a gate asks, whose hints name what says the same in the action.
    pub(super) fn is_of_gate(self) -> bool {
        self != Self::Found
    }
}

/// What to do about a file that a gate stops for its name.
pub(super) const OTHER_NAME: &str = "call the file as its statement names it; or let it have any name: --any-name, or the action's input `verify-any-name`";

/// What to do where a gate stops for the kind of a statement. A kind without a word of its own is the signer's text, and not
/// repeated in a hint.
pub(super) fn other_kind(kind: &str) -> String {
    let word =
        predicate::words().find(|(word, uri)| [word, uri].contains(&&kind)).map_or("TYPE", |(word, _)| word);
    format!("if that kind is wanted: --predicate-type {word}, or the action's input `verify-predicate-type`")
}
