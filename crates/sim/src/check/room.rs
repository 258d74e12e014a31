//! What waits inside a member is bounded, and how much it ever was is remembered; and no snapshot is kept for nothing.

use crate::record::Record;
use disk::{Disk, SimDisk};
use member::{boot, limits};

/// What waits between the parts of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries for Store.
    pub entries: usize,
    /// Bytes of those.
    pub entry_bytes: usize,
    /// Writes for the log.
    pub appends: usize,
    /// Proposals that wait for a leader.
    pub held: usize,
}

impl Waiting {
    /// The most of each that either has.
    pub fn widen(&mut self, other: Waiting) {
        let Waiting { entries, entry_bytes, appends, held } = other;
        self.entries = self.entries.max(entries);
        self.entry_bytes = self.entry_bytes.max(entry_bytes);
        self.appends = self.appends.max(appends);
        self.held = self.held.max(held);
    }
}

/// Store is never owed more: what raft lets be under way, and what was committed before it is told to stop.
const ENTRIES_MAX: usize = limits::APPLY_BACKLOG_MAX as usize + limits::PROPOSALS_MAX;

/// A member has handed on what it had.
///
/// # Panics
/// When more waits than is allowed.
pub fn settled(record: &mut Record, waiting: Waiting) {
    let Waiting { entries, held, .. } = waiting;
    assert!(entries <= ENTRIES_MAX, "{entries} entries wait for Store");
    assert!(held <= limits::HELD_PROPOSALS_MAX, "{held} proposals are held");
    record.most_waiting.widen(waiting);
}

/// The disk of a member of a cluster that is at rest: each snapshot that has come was installed, or was not wanted.
///
/// # Panics
/// When a file of one is still there.
pub fn at_rest(member: usize, disk: &SimDisk) {
    // Without the directory none has come.
    let left = disk.list(boot::dirs::SNAPSHOTS).unwrap_or_default();
    assert!(left.is_empty(), "member {member} keeps snapshots that nobody wants: {left:?}");
}
