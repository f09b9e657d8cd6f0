//! Paths of vouches.

use std::fmt;

use attestation::did::Did;
use attestation::event::Scope;

/// A way from a root to the target: what [`search`](crate::search) finds, and what [`judge`](crate::judge) is given.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Path {
    /// Where it begins.
    pub root: Did,
    /// The vouches along it: scope and subject of each. The last subject is the target. There is no vouch if the target is
    /// the root.
    pub hops: Vec<(Scope, Did)>,
}

impl Path {
    /// The DIDs along it, the root first.
    pub fn dids(&self) -> impl Iterator<Item = Did> {
        std::iter::once(self.root).chain(self.hops.iter().map(|(_, did)| *did))
    }

    /// Where it ends.
    pub fn end(&self) -> Did {
        self.hops.last().map_or(self.root, |(_, did)| *did)
    }
}

/// `did (SCOPE) did …`
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)?;
        self.hops.iter().try_for_each(|(scope, did)| write!(f, " ({scope}) {did}"))
    }
}
