//! The compact range: everything a tree must remember to grow.

use super::{HashReader, Node, Range, TreeSize, empty_root, fold_right, node_hash};
use crate::Hash;

/// The hashes of the complete subtrees that make up a tree, largest first: at most 64.
///
/// Appending needs nothing else, so a monitor that keeps this keeps enough to check a log for ever.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CompactRange {
    size: u64,
    hashes: Vec<Hash>,
}

impl CompactRange {
    /// The range of the empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The range of a tree of `size`, if `hashes` has one hash for each set bit of it.
    pub fn from_hashes(size: TreeSize, hashes: Vec<Hash>) -> Option<Self> {
        (hashes.len() as u32 == size.get().count_ones()).then_some(Self { size: size.get(), hashes })
    }

    /// The range of a tree of `size` whose hashes `reader` has.
    pub fn read<R: HashReader>(reader: &R, size: TreeSize) -> Result<Self, R::Error> {
        let nodes: Vec<Node> = Range { start: 0, end: size.get() }.nodes().collect();
        let hashes = reader.read_hashes(&nodes)?;
        Ok(Self::from_hashes(size, hashes).expect("a hash reader answers every node"))
    }

    /// The tree's size.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.size)
    }

    /// The hashes, largest subtree first.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Appends one entry by its leaf hash.
    ///
    /// # Panics
    /// At 2^64 - 1 entries, which no log reaches.
    pub fn append(&mut self, leaf_hash: Hash) {
        let mut hash = leaf_hash;
        // As in a binary counter: every trailing one is a subtree that gets its right half.
        for _ in 0..self.size.trailing_ones() {
            let left = self.hashes.pop().expect("a hash for each set bit of the size");
            hash = node_hash(&left, &hash);
        }
        self.hashes.push(hash);
        self.size = self.size.checked_add(1).expect("a log ends before 2^64 entries");
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        if self.hashes.is_empty() { empty_root() } else { fold_right(&self.hashes) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Leaves;
    use super::*;

    #[test]
    fn grows_to_the_root_of_the_definition() {
        let leaves = Leaves::new(300);
        let mut range = CompactRange::new();
        for size in 0..300 {
            assert_eq!(range.root(), leaves.mth(0, size));
            let copy = CompactRange::from_hashes(range.size(), range.hashes().to_vec());
            assert_eq!(copy.as_ref(), Some(&range));
            assert_eq!(CompactRange::read(&leaves, range.size()), Ok(range.clone()));
            range.append(leaves.0[size]);
        }
        assert_eq!(CompactRange::from_hashes(TreeSize::new(3), vec![]), None);
    }
}
