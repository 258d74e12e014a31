//! A leaf: some neighbouring keys and their heads.
//!
//! Keys and heads lie apart. A changed head is a write into the records at a computed offset; if a view still holds
//! the leaf, the copy made first is one memcpy of the records, while the keys stay shared. Only a new or a removed
//! key makes a new key block.

use super::{
    block::Block,
    head::Head,
    records::Records,
    tally::Tally,
    tree::{Child, Split},
};
use std::{ops::Range, sync::Arc};

/// A leaf with more keys than this is split. Measured with `benches/keys.rs`: smaller leaves make
/// the tree deeper and cost more memory for each key, larger ones make a new key and a copy for a view dearer.
pub(super) const LEAF_KEYS_MAX: usize = 64;
/// A leaf whose keys, without what they have in common, take more bytes than this is split, unless it has only one key.
/// It bounds the work of an insert when keys are long.
pub(super) const LEAF_KEY_BYTES_MAX: usize = 16 * 1024;
/// A leaf with fewer keys than this looks for a neighbour to join.
const LEAF_KEYS_MIN: usize = LEAF_KEYS_MAX / 4;

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) keys: Block,
    pub(super) heads: Records,
    live: u32,
}

impl Leaf {
    pub(super) fn new() -> Leaf {
        Leaf { keys: Block::new(), heads: Records::new(), live: 0 }
    }

    pub(super) fn from_parts(keys: Block, heads: Records) -> Leaf {
        let live = heads.live_in(0..keys.len()) as u32;
        Leaf { keys, heads, live }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Head> {
        self.keys.search(key).ok().map(|at| self.heads.get(at))
    }

    /// How many keys are below `key`: all, and the live ones.
    pub(super) fn below(&self, key: &[u8]) -> (usize, usize) {
        let below = self.keys.below(key);
        (below, self.heads.live_in(0..below))
    }

    pub(super) fn tally(&self) -> Tally {
        let own = size_of::<Leaf>() + ALLOCATIONS * super::ALLOCATION_BYTES;
        Tally {
            keys: self.keys.len(),
            live: self.live as usize,
            bytes: own + self.keys.memory_bytes() + self.heads.memory_bytes(),
        }
    }

    /// Sets the head of `key`. Splits when there is too much in one leaf: `self` keeps the lower part.
    pub(super) fn insert(&mut self, key: &[u8], head: &Head) -> (Option<Head>, Option<Split>) {
        let count = self.keys.len();
        match self.keys.search(key) {
            Ok(at) => {
                let old = self.heads.replace(at, head, count);
                self.live -= u32::from(!old.is_tombstone());
                self.live += u32::from(!head.is_tombstone());
                (Some(old), None)
            }
            Err(at) => {
                self.keys = self.keys.inserted(at, key);
                self.heads.insert(at, head, count);
                self.live += u32::from(!head.is_tombstone());
                (None, self.split_point(at).map(|point| self.split(point)))
            }
        }
    }

    /// Takes `key` out, if it is there.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Head> {
        let at = self.keys.search(key).ok()?;
        self.keys = self.keys.removed(at);
        let old = self.heads.remove(at);
        self.live -= u32::from(!old.is_tombstone());
        Some(old)
    }

    pub(super) fn is_sparse(&self) -> bool {
        self.keys.len() < LEAF_KEYS_MIN
    }

    /// Whether the two may become one. Leaves a quarter of the room free, so that the next insert does not split again.
    pub(super) fn may_join(&self, next: &Leaf) -> bool {
        self.keys.len() + next.keys.len() <= LEAF_KEYS_MAX / 4 * 3
            && self.keys.full_bytes() + next.keys.full_bytes() <= LEAF_KEY_BYTES_MAX / 4 * 3
    }

    /// The keys of both; those of `next` come after those of `self`.
    pub(super) fn joined(&self, next: &Leaf) -> Leaf {
        Leaf {
            keys: self.keys.joined(None, &next.keys),
            heads: self.heads.joined(self.keys.len(), &next.heads, next.keys.len()),
            live: self.live + next.live,
        }
    }

    /// Where to split after an insert at `inserted`, if at all.
    fn split_point(&self, inserted: usize) -> Option<usize> {
        let count = self.keys.len();
        if count > LEAF_KEYS_MAX {
            // Keys that arrive in ascending order (most that carry a number or a time) would leave every leaf half full.
            let ascending = inserted + 1 == count;
            Some(if ascending { count / 8 * 7 } else { count / 2 })
        } else if count > 1 && self.keys.suffix_bytes_before(count) > LEAF_KEY_BYTES_MAX {
            let half = self.keys.suffix_bytes_before(count) / 2;
            let point = (1..count).find(|at| self.keys.suffix_bytes_before(*at) >= half);
            Some(point.unwrap_or(count - 1))
        } else {
            None
        }
    }

    fn split(&mut self, point: usize) -> Split {
        let count = self.keys.len();
        let part = |range: Range<usize>| Leaf::from_parts(self.keys.slice(range.clone()), self.heads.slice(range));
        let separator = self.keys.get(point).separator_from(&self.keys.get(point - 1));
        let right = part(point..count);
        *self = part(0..point);
        Split { separator, right: Child::Leaf(Arc::new(right)) }
    }
}

/// The leaf itself, its key block and its records.
const ALLOCATIONS: usize = 3;
