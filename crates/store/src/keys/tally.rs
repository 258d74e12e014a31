//! What a subtree holds, in numbers that add up.

use std::ops::{AddAssign, SubAssign};

/// The numbers of a subtree, kept beside each pointer to it so that counting a range need not enter it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    /// Keys, tombstones included.
    pub(super) keys: usize,
    /// Keys without tombstones.
    pub(super) live: usize,
    /// An estimate of the memory in use, in bytes.
    pub(super) bytes: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.keys += other.keys;
        self.live += other.live;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Tally) {
        self.keys -= other.keys;
        self.live -= other.live;
        self.bytes -= other.bytes;
    }
}
