//! A monitor: holds all that any front and any witness shows against all that it has seen.

use std::sync::Arc;
use std::time::Duration;

use attestation::entry::Entry;
use testkit::scene::ORIGIN;
use tlog::merkle::leaf_hash;
use tlog::merkle::range::CompactRange;
use tlog::note::Note;
use tlog::policy::Policy;
use tlog::{Hash, LeafIndex, TreeSize};
use trust::MemoryLedger;

use super::front;
use super::witness_process as witness;
use crate::checker::Checker;
use crate::executor::{Process, Sim};
use crate::network::Network;

/// A monitor and whom it asks. What it has seen is on its disk: it survives the process.
pub(super) struct Monitor {
    pub(super) sim: Sim,
    pub(super) network: Network,
    pub(super) process: Process,
    pub(super) checker: Checker,
    pub(super) policy: Arc<Policy>,
    pub(super) fronts: Vec<front::Place>,
    pub(super) witnesses: Vec<witness::Place>,
}

/// What it has seen.
struct Tree {
    /// The size of the last checkpoint that a front showed.
    shown: TreeSize,
    range: CompactRange,
    roots: Vec<Hash>,
    ledger: MemoryLedger,
}

impl Monitor {
    /// Looks again and again.
    pub(super) async fn run(self) {
        let range = CompactRange::new();
        let shown = TreeSize::EMPTY;
        let mut tree = Tree { shown, roots: vec![range.root()], range, ledger: MemoryLedger::new(ORIGIN) };
        loop {
            let pause =
                self.sim.random(|random| random.between(Duration::from_millis(200), Duration::from_secs(2)));
            self.sim.sleep(pause).await;
            self.look(&mut tree).await;
            self.checker.count(|counts| &mut counts.looks);
            let witness = self.sim.random(|random| random.one_of(&self.witnesses).clone());
            let last = self.network.call(&witness, witness::Asked::Last, PATIENCE).await;
            if let Ok(witness::Said::Last(Some(note))) = last {
                self.compare(&tree, &note, "what a witness shows");
            }
        }
    }

    async fn look(&self, tree: &mut Tree) {
        let front = self.sim.random(|random| random.one_of(&self.fronts).clone());
        let shown = self.network.call(&front, front::Asked::Checkpoint, PATIENCE).await;
        let Ok(front::Said::Checkpoint(Some(text))) = shown else { return };
        let Ok(note) = Note::parse(text.as_bytes()) else {
            return self.checker.require(false, || "a monitor is shown no note".into());
        };
        let quorum = self.policy.quorum(&note);
        self.checker.require(quorum.is_ok(), || "I4: a monitor is shown a note without quorum".into());
        let Ok((checkpoint, _)) = self.policy.log_checkpoint(&note) else {
            return self.checker.require(false, || "a monitor is shown a note of another log".into());
        };
        let before = std::mem::replace(&mut tree.shown, checkpoint.size);
        self.checker.require(checkpoint.size >= before, || {
            format!("I2: a monitor is shown {} entries, and was shown {before}", checkpoint.size)
        });
        let size = tree.range.size();
        if checkpoint.size > size {
            // Leaves may come from another front than the checkpoint did.
            let other = self.sim.random(|random| random.one_of(&self.fronts).clone());
            let leaves = front::Asked::Leaves(size, checkpoint.size);
            let Ok(front::Said::Leaves(leaves)) = self.network.call(&other, leaves, PATIENCE).await else {
                return;
            };
            for leaf in leaves {
                self.take(tree, &leaf);
            }
            self.sim.trace(self.process, format_args!("has read {}", tree.range.size()));
        }
        self.compare(tree, &note, "what a front shows");
    }

    fn take(&self, tree: &mut Tree, leaf: &[u8]) {
        let index = LeafIndex::new(tree.range.size().get());
        let entry = Entry::parse(leaf).ok();
        let ruled = entry.map(|entry| tree.ledger.push(index, &entry));
        self.checker
            .require(ruled == Some(Ok(())), || format!("a monitor reads a leaf {index} that breaks a rule"));
        tree.range.append(leaf_hash(leaf));
        tree.roots.push(tree.range.root());
    }

    /// A note of a size that was read is of the tree that was read.
    fn compare(&self, tree: &Tree, note: &Note, what: &str) {
        let Ok((checkpoint, _)) = self.policy.log_checkpoint(note) else {
            return self.checker.require(false, || format!("{what} is none of the log's notes"));
        };
        let (size, name): (TreeSize, _) = (checkpoint.size, self.sim.name(self.process));
        if let Some(root) = tree.roots.get(size.get() as usize) {
            let same = *root == checkpoint.root;
            self.checker.require(same, || format!("{name} sees a fork at {size}: {what}"));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(2);
