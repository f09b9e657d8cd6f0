//! Evidence of a log that holds whatever leaves it is given, also those that break a rule.

use attestation::entry::Entry;
use attestation::evidence::{Element, Evidence, Lists, assert_lists};
use attestation::lists::{ListKey, lists_of};
use tlog::cosignature::cosign;
use tlog::key::SignerKey;
use tlog::{LeafIndex, UnixTime};

use crate::tree::Tree;

/// What a log with these leaves says of those that `said` takes: their lists, and they themselves; the lists of `also` are
/// there whatever is in them. The witnesses cosign at the time that stands beside them.
///
/// # Panics
/// If a leaf is no entry, or a key none of its kind.
pub fn evidence_of(
    log: &SignerKey,
    witnesses: &[(&SignerKey, u64)],
    leaves: &[Vec<u8>],
    said: impl Fn(u64) -> bool,
    also: impl IntoIterator<Item = ListKey>,
) -> Evidence {
    let tree = Tree::of(leaves);
    let checkpoint = tree.checkpoint(log.verifier().name().as_str(), tree.size());
    let mut note = checkpoint.sign(log);
    for (witness, seconds) in witnesses {
        note.add(cosign(witness, &checkpoint, UnixTime::from_secs(*seconds)).expect("a witness's key"));
    }
    let mut lists: Lists = also.into_iter().map(|list| (list, Vec::new())).collect();
    let mut elements = Vec::new();
    for (at, leaf) in (0..).zip(leaves).filter(|(at, _)| said(*at)) {
        let index = LeafIndex::new(at);
        for (list, listed) in lists_of(&Entry::parse(leaf).expect("an entry"), index) {
            lists.entry(list).or_default().push(listed);
        }
        elements.push(Element { index, leaf: leaf.clone(), hashes: tree.inclusion(at, tree.size()) });
    }
    let assertion = assert_lists(log, &checkpoint, &lists);
    Evidence { checkpoint: note, assertion, lists, elements }
}
