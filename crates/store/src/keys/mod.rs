//! Every key, in order, with what memory knows of it: an ordered map from key bytes to [`Head`].
//!
//! It is a copy-on-write B+tree. A copy of [`Keys`] is one atomic increment and stays as it was for ever: that is how
//! a view is taken after each batch. The owner goes on changing its own copy; what no view shares is changed in place,
//! what a view shares is copied once, along one path.
//!
//! ```text
//!   Keys ──▶ Branch ──▶ Branch ──▶ Leaf ──┬──▶ Block    keys: common prefix once, then suffixes; shared, immutable
//!                                         └──▶ Records  heads: fixed width within a leaf, changed in place
//! ```
//!
//! What makes it small: no allocation for a key, keys lose their common beginning, columns are as wide as their
//! numbers need. What makes it fast: changing a head copies neither keys nor pointers to them. Every pointer carries
//! the numbers of what is below, so counting a range reads one path for each end of it.
//!
//! It must never hold a value, know a lease, or read a disk; and nothing in here locks or waits.
//!
//! Room: removing keys joins sparse neighbours and gives emptied leaves back, so the tree shrinks as it grew.

mod block;
mod bulk;
mod check;
mod head;
mod leaf;
mod range;
mod records;
mod scan;
mod tally;
mod tree;

use std::sync::Arc;

pub use head::{Head, Place};
pub use range::KeyRange;
pub use scan::Scan;

use leaf::Leaf;
use tree::{Branch, Child, Edge, Split};

/// What an allocation costs beyond the bytes asked for: the allocator's header and rounding, and the two counters that
/// most of ours begin with. Only for the estimate of [`Keys::memory_bytes`].
const ALLOCATION_BYTES: usize = 24;

/// An ordered map from keys to heads. Cloning takes an immutable moment of it in constant time.
#[derive(Clone, Debug)]
pub struct Keys {
    root: Child,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys::new()
    }
}

impl Keys {
    /// A map without keys.
    pub fn new() -> Keys {
        Keys { root: Child::Leaf(Arc::new(Leaf::new())) }
    }

    /// Builds the map from keys in strictly ascending order, for restart and for installing a snapshot.
    ///
    /// # Panics
    ///
    /// If a key is not above the one before it. The caller has sorted them.
    pub fn bulk<K: AsRef<[u8]>>(sorted: impl IntoIterator<Item = (K, Head)>) -> Keys {
        let mut builder = bulk::Builder::new();
        for (key, head) in sorted {
            builder.push(key.as_ref(), head);
        }
        Keys { root: builder.finish() }
    }

    /// The head of `key`, tombstones included.
    pub fn get(&self, key: &[u8]) -> Option<Head> {
        self.root.leaf_of(key).get(key)
    }

    /// Sets the head of `key` and returns the one before.
    pub fn insert(&mut self, key: &[u8], head: Head) -> Option<Head> {
        let (old, split) = self.root.insert(key, &head);
        if let Some(Split { separator, right }) = split {
            let low = std::mem::replace(&mut self.root, Child::Leaf(Arc::new(Leaf::new())));
            let separators = block::Block::new().inserted(0, &separator);
            let edges = vec![Edge::new(low), Edge::new(right)];
            self.root = Child::Branch(Arc::new(Branch::from_parts(separators, edges)));
        }
        old
    }

    /// Forgets `key` altogether (compaction has passed its tombstone) and returns its head.
    pub fn remove(&mut self, key: &[u8]) -> Option<Head> {
        // Looking first keeps a miss from copying the path.
        self.get(key)?;
        let old = self.root.remove(key);
        while let Child::Branch(branch) = &self.root
            && branch.edges.len() < 2
        {
            self.root = match branch.edges.first() {
                Some(edge) => edge.child.clone(),
                None => Child::Leaf(Arc::new(Leaf::new())),
            };
        }
        old
    }

    /// How many keys there are, tombstones included.
    pub fn len(&self) -> usize {
        self.root.tally().keys
    }

    /// Whether there is no key, not even a tombstone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys there are, tombstones not included.
    pub fn live(&self) -> usize {
        self.root.tally().live
    }

    /// How many keys in `range` are not tombstones. Takes logarithmic time, however many they are.
    pub fn count_live(&self, range: KeyRange<'_>) -> usize {
        match range {
            KeyRange::One(key) => usize::from(self.get(key).is_some_and(|head| !head.is_tombstone())),
            KeyRange::From(from) => self.live() - self.root.below(from).1,
            KeyRange::Span { .. } if range.is_empty() => 0,
            KeyRange::Span { from, end } => self.root.below(end).1 - self.root.below(from).1,
        }
    }

    /// How many keys there are in `range`, tombstones included. Takes logarithmic time.
    pub fn count(&self, range: KeyRange<'_>) -> usize {
        match range {
            KeyRange::One(key) => usize::from(self.get(key).is_some()),
            KeyRange::From(from) => self.len() - self.root.below(from).0,
            KeyRange::Span { .. } if range.is_empty() => 0,
            KeyRange::Span { from, end } => self.root.below(end).0 - self.root.below(from).0,
        }
    }

    /// Walks over `range` in ascending order of keys.
    pub fn scan<'a>(&'a self, range: KeyRange<'a>) -> Scan<'a> {
        Scan::new(&self.root, range, false)
    }

    /// Walks over `range` in descending order of keys.
    pub fn scan_back<'a>(&'a self, range: KeyRange<'a>) -> Scan<'a> {
        Scan::new(&self.root, range, true)
    }

    /// About how much memory the map uses, in bytes; what it shares with other moments counts in each.
    pub fn memory_bytes(&self) -> usize {
        self.root.tally().bytes
    }
}
