//! Whether two statements contradict each other: builds of one thing that their signer calls
//! reproducible, with different results (`specs/event.md`, "Equivocation").

use std::collections::HashMap;

use serde_json::Value;

use super::EventError;
use crate::provenance::{PREDICATE_TYPE, REPRODUCIBLE, member};
use crate::statement::Statement;

/// What two builds of one thing share.
const SAME: [&[&str]; 4] = [
    &["buildDefinition", "buildType"],
    &["buildDefinition", "externalParameters"],
    &["buildDefinition", "resolvedDependencies"],
    &["runDetails", "builder", "id"],
];

pub(super) fn check(payloads: &[Vec<u8>; 2]) -> Result<(), EventError> {
    let [first, second] = payloads;
    let (first, second) = (Statement::parse(first)?, Statement::parse(second)?);
    for statement in [&first, &second] {
        if statement.predicate_type() != PREDICATE_TYPE {
            return Err(EventError::Agreement("they are not both provenance"));
        }
        let reproducible = ["buildDefinition", "internalParameters", REPRODUCIBLE];
        if member(&statement.predicate(), &reproducible) != Some(&Value::Bool(true)) {
            return Err(EventError::Agreement("their signer does not call both builds reproducible"));
        }
    }
    let (says, says_too) = (first.predicate(), second.predicate());
    for path in SAME {
        match (member(&says, path), member(&says_too, path)) {
            (Some(a), Some(b)) if a == b => (),
            _ => return Err(EventError::Agreement("they are not of one build")),
        }
    }
    // A name may stand for several files: only one that means one file in each is comparable.
    let digests = |statement: &Statement| {
        let mut digests = HashMap::new();
        for subject in statement.subjects() {
            let digest = digests.entry(subject.name.clone()).or_insert(Some(subject.sha256));
            if *digest != Some(subject.sha256) {
                *digest = None;
            }
        }
        digests
    };
    let (first, second) = (digests(&first), digests(&second));
    let differs = |name: &String| match (first.get(name), second.get(name)) {
        (Some(Some(a)), Some(Some(b))) => a != b,
        _ => false,
    };
    if first.keys().any(differs) { Ok(()) } else { Err(EventError::Agreement("no subject differs")) }
}
