//! A judgement for programs.

use std::collections::BTreeSet;

use ::trust::{History, Verdict};
use serde_json::{Value, json};
use tlog::{LeafIndex, encoding};

use super::Judged;
use crate::clock;
use crate::policy_file::trust::Stated;
use crate::scoring::Basis;

/// The same for programs.
///
/// ```text
/// {"schema": "aip.trust.v1", "verdict": {…, specs/trust.md}, "origin", "treeSize", "root", "attested",
///  "completeness": "log-asserted | whole-log", "proofs": [{"index", "leaf", "proof"}], "rootsFrom", "policy",
///  "settings": [{"name", "value", "from"}]}
/// ```
/// `attested` is null where no witness attests a time. `proofs` has each entry that makes or lowers the score, with a
/// C2SP tlog-proof to the checkpoint; null if the whole log was read, whose root all its entries prove together.
pub(in super::super) fn json_of(judged: &Judged) -> Value {
    let Judged { verdict, basis, roots, settings, .. } = judged;
    let setting_json =
        |Stated { name, value, from }: &Stated| json!({"name": name, "value": value, "from": from});
    json!({
        "schema": "aip.trust.v1",
        "verdict": verdict.to_json(),
        "origin": basis.checkpoint.origin,
        "treeSize": basis.checkpoint.size.get(),
        "root": basis.checkpoint.root.to_string(),
        "attested": basis.attested.map(clock::rfc3339),
        "completeness": if basis.is_complete() { "whole-log" } else { "log-asserted" },
        "proofs": proofs(verdict, basis),
        "rootsFrom": roots.to_string(),
        "policy": judged.policy_words(),
        "settings": settings.iter().map(setting_json).collect::<Vec<_>>(),
    })
}

fn proofs(verdict: &Verdict, basis: &Basis) -> Option<Vec<Value>> {
    let History { failures, equivocations, .. } = &verdict.history;
    let hops = verdict.paths.iter().flat_map(|path| &path.hops).map(|hop| hop.logged.index);
    let against = verdict.distrusted.iter().chain(equivocations).map(|(_, index)| *index);
    let failures = failures.iter().map(|failure| failure.logged.index);
    let indexes: BTreeSet<LeafIndex> = hops.chain(against).chain(failures).collect();
    let proof = |index| {
        let (leaf, proof) = basis.proof(index)?;
        Some(json!({"index": index.get(), "leaf": encoding::base64(leaf), "proof": proof.to_string()}))
    };
    indexes.into_iter().map(proof).collect()
}
