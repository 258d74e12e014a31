//! Branches and the way down through them.
//!
//! ```text
//!                separators   "g"      "p"
//!   Branch       edges     ┌──┴──┐  ┌──┴──┐
//!                       [·,tally] [·,tally] [·,tally]
//!                          │         │         │
//!                       keys < g  g ≤ keys < p  p ≤ keys
//! ```
//!
//! All leaves lie at the same depth. Every change goes down by `Arc::make_mut`: what no view holds is changed in
//! place, what a view holds is copied first, and the view never sees the difference. Separators are shared between
//! the copies; copying a branch costs one atomic increment for each child, which is why branches are narrow.

use std::sync::Arc;

use super::{block::Block, head::Head, leaf::Leaf, tally::Tally};

/// A branch with more children than this is split. Measured with `benches/keys.rs`: wider branches make reading a little
/// faster, but after a view each changed path copies one, and the reference counts of its children are memory far apart.
pub(super) const BRANCH_CHILDREN_MAX: usize = 16;
/// A branch with fewer children than this looks for a neighbour to join.
const BRANCH_CHILDREN_MIN: usize = BRANCH_CHILDREN_MAX / 4;

/// A subtree, shared with every view that was taken since it last changed.
#[derive(Clone, Debug)]
pub(super) enum Child {
    Leaf(Arc<Leaf>),
    Branch(Arc<Branch>),
}

/// The upper part of a subtree that became too large, and the key that parts the two.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) separator: Vec<u8>,
    pub(super) right: Child,
}

#[derive(Clone, Debug)]
pub(super) struct Edge {
    pub(super) child: Child,
    pub(super) tally: Tally,
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// `separators[i]` is above every key of child `i` and not above any key of child `i + 1`.
    pub(super) separators: Block,
    pub(super) edges: Vec<Edge>,
    /// The sum over the edges.
    pub(super) sum: Tally,
}

impl Edge {
    pub(super) fn new(child: Child) -> Edge {
        Edge { tally: child.tally(), child }
    }
}

impl Child {
    pub(super) fn tally(&self) -> Tally {
        match self {
            Child::Leaf(leaf) => leaf.tally(),
            Child::Branch(branch) => branch.tally(),
        }
    }

    /// The one leaf where `key` is, if it is anywhere.
    pub(super) fn leaf_of(&self, key: &[u8]) -> &Leaf {
        let mut child = self;
        loop {
            match child {
                Child::Leaf(leaf) => return leaf,
                Child::Branch(branch) => child = &branch.edges[branch.route(key)].child,
            }
        }
    }

    /// How many keys are below `key`: all, and the live ones.
    pub(super) fn below(&self, key: &[u8]) -> (usize, usize) {
        let mut child = self;
        let (mut keys, mut live) = (0, 0);
        loop {
            match child {
                Child::Leaf(leaf) => {
                    let (more, more_live) = leaf.below(key);
                    return (keys + more, live + more_live);
                }
                Child::Branch(branch) => {
                    let at = branch.route(key);
                    for edge in &branch.edges[..at] {
                        (keys, live) = (keys + edge.tally.keys, live + edge.tally.live);
                    }
                    child = &branch.edges[at].child;
                }
            }
        }
    }

    pub(super) fn insert(&mut self, key: &[u8], head: &Head) -> (Option<Head>, Option<Split>) {
        match self {
            Child::Leaf(leaf) => Arc::make_mut(leaf).insert(key, head),
            Child::Branch(branch) => Arc::make_mut(branch).insert(key, head),
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Head> {
        match self {
            Child::Leaf(leaf) => Arc::make_mut(leaf).remove(key),
            Child::Branch(branch) => Arc::make_mut(branch).remove(key),
        }
    }

    fn is_sparse(&self) -> bool {
        match self {
            Child::Leaf(leaf) => leaf.is_sparse(),
            Child::Branch(branch) => branch.edges.len() < BRANCH_CHILDREN_MIN,
        }
    }
}

impl Branch {
    /// Builds a branch over children of equal depth; `separators` has one string fewer.
    pub(super) fn from_parts(separators: Block, edges: Vec<Edge>) -> Branch {
        assert_eq!(separators.len() + 1, edges.len(), "a separator stands between each two children");
        let mut sum = Tally::default();
        for edge in &edges {
            sum += edge.tally;
        }
        Branch { separators, edges, sum }
    }

    /// Which child holds `key`.
    pub(super) fn route(&self, key: &[u8]) -> usize {
        self.separators.through(key)
    }

    fn tally(&self) -> Tally {
        let own = size_of::<Branch>() + size_of::<Edge>() * self.edges.len() + ALLOCATIONS * super::ALLOCATION_BYTES;
        Tally { bytes: self.sum.bytes + own + self.separators.memory_bytes(), ..self.sum }
    }

    fn insert(&mut self, key: &[u8], head: &Head) -> (Option<Head>, Option<Split>) {
        let at = self.route(key);
        let (old, split) = self.edges[at].child.insert(key, head);
        self.recount(at);
        let Some(Split { separator, right }) = split else {
            return (old, None);
        };
        let edge = Edge::new(right);
        self.sum += edge.tally;
        self.edges.reserve_exact(1);
        self.edges.insert(at + 1, edge);
        self.separators = self.separators.inserted(at, &separator);
        let split = (self.edges.len() > BRANCH_CHILDREN_MAX).then(|| self.split(at + 1));
        (old, split)
    }

    fn remove(&mut self, key: &[u8]) -> Option<Head> {
        let at = self.route(key);
        let old = self.edges[at].child.remove(key);
        self.recount(at);
        if self.edges[at].tally.keys == 0 {
            self.drop_edge(at);
        } else if self.edges[at].child.is_sparse() {
            // Joining with either neighbour is enough; the lower one first.
            let _ = (at > 0 && self.join(at - 1)) || (at + 1 < self.edges.len() && self.join(at));
        }
        old
    }

    /// Brings the numbers of child `at` up to date.
    fn recount(&mut self, at: usize) {
        let edge = &mut self.edges[at];
        let now = edge.child.tally();
        self.sum -= edge.tally;
        self.sum += now;
        edge.tally = now;
    }

    fn drop_edge(&mut self, at: usize) {
        let gone = self.edges.remove(at);
        self.sum -= gone.tally;
        if self.separators.len() > 0 {
            self.separators = self.separators.removed(at.saturating_sub(1));
        }
    }

    /// Makes children `at` and `at + 1` one, if there is room. Says whether it did.
    fn join(&mut self, at: usize) -> bool {
        let joined = match (&self.edges[at].child, &self.edges[at + 1].child) {
            (Child::Leaf(low), Child::Leaf(high)) if low.may_join(high) => Child::Leaf(Arc::new(low.joined(high))),
            (Child::Branch(low), Child::Branch(high)) if low.may_join(high) => {
                Child::Branch(Arc::new(low.joined(&self.separators, at, high)))
            }
            (Child::Leaf(_), Child::Leaf(_)) | (Child::Branch(_), Child::Branch(_)) => {
                return false;
            }
            _ => unreachable!("all leaves lie at the same depth"),
        };
        let edge = Edge::new(joined);
        self.sum -= self.edges[at].tally;
        self.sum -= self.edges[at + 1].tally;
        self.sum += edge.tally;
        self.edges[at] = edge;
        self.edges.remove(at + 1);
        self.separators = self.separators.removed(at);
        true
    }

    fn may_join(&self, next: &Branch) -> bool {
        self.edges.len() + next.edges.len() <= BRANCH_CHILDREN_MAX / 4 * 3
    }

    /// The children of both; `above[at]`, in the branch above, is what parted them.
    fn joined(&self, above: &Block, at: usize, next: &Branch) -> Branch {
        let separators = self.separators.joined(Some(above.get(at)), &next.separators);
        let mut edges = Vec::with_capacity(self.edges.len() + next.edges.len());
        edges.extend_from_slice(&self.edges);
        edges.extend_from_slice(&next.edges);
        Branch::from_parts(separators, edges)
    }

    /// Gives the upper children away; `inserted` is the newest child.
    fn split(&mut self, inserted: usize) -> Split {
        let count = self.edges.len();
        // As in a leaf: growth at the upper end should leave full branches behind.
        let point = if inserted + 1 == count { count / 8 * 7 } else { count / 2 };
        let separator: Vec<u8> = self.separators.get(point - 1).to_vec();
        let right = Branch::from_parts(self.separators.slice(point..count - 1), self.edges.split_off(point));
        self.edges.shrink_to_fit();
        self.separators = self.separators.slice(0..point - 1);
        self.sum -= right.sum;
        Split { separator, right: Child::Branch(Arc::new(right)) }
    }
}

/// The branch itself, its separators and its edges.
const ALLOCATIONS: usize = 3;
