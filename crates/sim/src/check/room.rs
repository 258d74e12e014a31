//! What waits inside a member is bounded, and how much it ever was is remembered.

use crate::record::Record;
use member::limits;

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

/// Store is never owed more: what raft lets be under way, and what was committed before it is told to stop.
const ENTRIES_MAX: usize = limits::APPLY_BACKLOG_MAX as usize + limits::PROPOSALS_MAX;

/// A member has handed on what it had.
///
/// # Panics
/// When more waits than is allowed.
pub fn settled(record: &mut Record, waiting: Waiting) {
    let Waiting { entries, entry_bytes, appends, held } = waiting;
    assert!(entries <= ENTRIES_MAX, "{entries} entries wait for Store");
    assert!(held <= limits::HELD_PROPOSALS_MAX, "{held} proposals are held");
    let most = &mut record.most_waiting;
    most.entries = most.entries.max(entries);
    most.entry_bytes = most.entry_bytes.max(entry_bytes);
    most.appends = most.appends.max(appends);
    most.held = most.held.max(held);
}
