//! Building the tree from keys that are already sorted: no search, no split, every leaf written once.

use std::{mem, sync::Arc};

use super::{
    Head,
    block::{Block, Parts},
    leaf::{LEAF_KEY_BYTES_MAX, LEAF_KEYS_MAX, Leaf},
    records::Records,
    tree::{BRANCH_CHILDREN_MAX, Branch, Child, Edge},
};

/// Some room is left, so that the first new keys do not split every leaf.
const LEAF_KEYS: usize = LEAF_KEYS_MAX / 8 * 7;
const LEAF_KEY_BYTES: usize = LEAF_KEY_BYTES_MAX / 8 * 7;
const BRANCH_CHILDREN: usize = BRANCH_CHILDREN_MAX / 8 * 7;

/// Gathers keys into leaves, then leaves into branches.
pub(super) struct Builder {
    /// The keys of the leaf in the making, one after another, and where each ends.
    keys: Vec<u8>,
    ends: Vec<usize>,
    heads: Vec<Head>,
    /// Finished leaves, each with the separator that parts it from the next (the last has none).
    leaves: Vec<(Vec<u8>, Child)>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder { keys: Vec::new(), ends: Vec::new(), heads: Vec::new(), leaves: Vec::new() }
    }

    /// Adds a key. It must be above the one before.
    pub(super) fn push(&mut self, key: &[u8], head: Head) {
        let full = self.heads.len() >= LEAF_KEYS || self.keys.len() + key.len() > LEAF_KEY_BYTES;
        let last = self.last();
        assert!(last.is_none_or(|last| last < key), "keys for a bulk build must be in ascending order");
        if full && let Some(last) = last {
            let separator = Parts(key, b"").separator_from(&Parts(last, b""));
            self.finish_leaf(separator);
        }
        self.keys.extend_from_slice(key);
        self.ends.push(self.keys.len());
        self.heads.push(head);
    }

    pub(super) fn finish(mut self) -> Child {
        self.finish_leaf(Vec::new());
        let mut level = self.leaves;
        while level.len() > 1 {
            level = level_above(level);
        }
        level.pop().map_or_else(|| Child::Leaf(Arc::new(Leaf::new())), |(_, root)| root)
    }

    fn last(&self) -> Option<&[u8]> {
        let before = self.ends.len().checked_sub(2).map_or(0, |at| self.ends[at]);
        self.ends.last().map(|end| &self.keys[before..*end])
    }

    /// Closes the leaf in the making; `separator` stands between it and the next one.
    fn finish_leaf(&mut self, separator: Vec<u8>) {
        let mut start = 0;
        let mut strings = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            strings.push(Parts(&self.keys[start..*end], b""));
            start = *end;
        }
        let leaf = Leaf::from_parts(Block::pack(&strings), Records::pack(&self.heads));
        self.leaves.push((separator, Child::Leaf(Arc::new(leaf))));
        self.keys.clear();
        self.ends.clear();
        self.heads.clear();
    }
}

/// Puts branches over children; each child comes with the separator above it. The children are spread evenly.
fn level_above(children: Vec<(Vec<u8>, Child)>) -> Vec<(Vec<u8>, Child)> {
    let branches = children.len().div_ceil(BRANCH_CHILDREN);
    let mut above = Vec::with_capacity(branches);
    let mut left = children.len();
    let mut children = children.into_iter();
    for branch in 0..branches {
        let count = left.div_ceil(branches - branch);
        left -= count;
        let mut separators: Vec<Vec<u8>> = Vec::with_capacity(count);
        let mut edges = Vec::with_capacity(count);
        for (separator, child) in children.by_ref().take(count) {
            separators.push(separator);
            edges.push(Edge::new(child));
        }
        // The last separator parts this branch from the next and belongs to the level above.
        let outer = separators.last_mut().map(mem::take).unwrap_or_default();
        separators.pop();
        let strings: Vec<Parts<'_>> = separators.iter().map(|string| Parts(string, b"")).collect();
        above.push((outer, Child::Branch(Arc::new(Branch::from_parts(Block::pack(&strings), edges)))));
    }
    above
}
