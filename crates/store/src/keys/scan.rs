//! Walking over a range of keys, up or down.
//!
//! A scan borrows the tree, so it sees one moment only. It holds the way down (a branch and a position for each level)
//! and a window of the present leaf; where the range begins and ends is searched once for each leaf, not compared for
//! each key.

use std::ops::Range;

use super::{
    Head, KeyRange,
    leaf::Leaf,
    tree::{Branch, Child},
};

/// A walk over a range of keys; made by [`Keys::scan`](super::Keys::scan) and [`Keys::scan_back`](super::Keys::scan_back).
///
/// Not an `Iterator`: a key lies in the tree in two pieces and is put together in a buffer of the scan, which the next
/// step overwrites.
#[derive(Debug)]
pub struct Scan<'a> {
    range: KeyRange<'a>,
    back: bool,
    /// Branches above the present leaf and which of their children the walk is in.
    way: Vec<(&'a Branch, usize)>,
    leaf: &'a Leaf,
    /// Positions of the leaf that are in the range and not yet visited.
    window: Range<usize>,
    /// Whether the range may go on in the next leaf.
    more: bool,
    /// The present key; begins with the prefix of the leaf.
    key: Vec<u8>,
    prefix_len: usize,
    leaves: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(root: &'a Child, range: KeyRange<'a>, back: bool) -> Scan<'a> {
        let mut way = Vec::new();
        let leaf = descend(root, &mut way, |branch| match range {
            KeyRange::One(key) => branch.route(key),
            KeyRange::From(_) if back => branch.edges.len() - 1,
            KeyRange::From(from) => branch.route(from),
            KeyRange::Span { end, .. } if back => branch.separators.below(end),
            KeyRange::Span { from, .. } => branch.route(from),
        });
        let mut scan =
            Scan { range, back, way, leaf, window: 0..0, more: false, key: Vec::new(), prefix_len: 0, leaves: 0 };
        if !range.is_empty() {
            scan.enter(leaf);
        }
        scan
    }

    /// The next key and its head, tombstones included.
    #[allow(clippy::should_implement_trait, reason = "lends the key, which Iterator cannot express")]
    pub fn next(&mut self) -> Option<(&[u8], Head)> {
        while self.window.is_empty() {
            if !self.more {
                return None;
            }
            match self.next_leaf() {
                Some(leaf) => self.enter(leaf),
                None => {
                    self.more = false;
                    return None;
                }
            }
        }
        let at = if self.back { self.window.next_back()? } else { self.window.next()? };
        self.key.truncate(self.prefix_len);
        self.key.extend_from_slice(self.leaf.keys.suffix(at));
        Some((&self.key, self.leaf.heads.get(at)))
    }

    /// How many leaves it has looked at: what the walk has cost.
    pub fn leaves(&self) -> usize {
        self.leaves
    }

    fn enter(&mut self, leaf: &'a Leaf) {
        self.leaves += 1;
        let keys = &leaf.keys;
        self.window = match self.range {
            KeyRange::One(key) => keys.below(key)..keys.through(key),
            KeyRange::From(from) => keys.below(from)..keys.len(),
            KeyRange::Span { from, end } => keys.below(from)..keys.below(end),
        };
        let cut = if self.back { self.window.start > 0 } else { self.window.end < keys.len() };
        self.more = !cut && !matches!(self.range, KeyRange::One(_));
        self.leaf = leaf;
        self.key.clear();
        self.key.extend_from_slice(keys.prefix());
        self.prefix_len = keys.prefix().len();
    }

    fn next_leaf(&mut self) -> Option<&'a Leaf> {
        loop {
            let (branch, at) = self.way.pop()?;
            let next = if self.back { at.checked_sub(1) } else { Some(at + 1) };
            if let Some(next) = next
                && let Some(edge) = branch.edges.get(next)
            {
                self.way.push((branch, next));
                let back = self.back;
                return Some(descend(
                    &edge.child,
                    &mut self.way,
                    |branch| {
                        if back { branch.edges.len() - 1 } else { 0 }
                    },
                ));
            }
        }
    }
}

/// Goes down to a leaf by the child that `choose` names, and notes the way.
fn descend<'a>(from: &'a Child, way: &mut Vec<(&'a Branch, usize)>, choose: impl Fn(&Branch) -> usize) -> &'a Leaf {
    let mut child = from;
    loop {
        match child {
            Child::Leaf(leaf) => return leaf,
            Child::Branch(branch) => {
                let at = choose(branch);
                way.push((branch, at));
                child = &branch.edges[at].child;
            }
        }
    }
}
