//! What waits inside a member is bounded, and how much it ever was is remembered; and no snapshot is kept for nothing.

use crate::member::{IN_FLIGHT_BYTES_MAX, UNCOMMITTED_BYTES_MAX};
use crate::record::Record;
use disk::{Disk, SimDisk};
use member::{boot, limits};

/// What waits between the parts of a member, or on its way from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries for Store.
    pub entries: usize,
    /// Bytes of those.
    pub entry_bytes: usize,
    /// Writes for the log.
    pub appends: usize,
    /// Bytes of entries in those.
    pub append_bytes: usize,
    /// Proposals that wait for a leader.
    pub held: usize,
    /// Bytes of those.
    pub held_bytes: usize,
    /// Bytes of entries that Core keeps: not durable, not committed, or for members that lag.
    pub tail_bytes: usize,
    /// Bytes that Core has sent to one member and that are not acknowledged.
    pub in_flight_bytes: usize,
    /// Event bytes on their way to one watch stream.
    pub watch_bytes: usize,
    /// Bytes of snapshots on their way in the whole cluster.
    pub snapshot_bytes: usize,
}

impl Waiting {
    /// Becomes the most of both in everything.
    pub fn widen(&mut self, other: &Waiting) {
        let Waiting { entries, entry_bytes, appends, append_bytes, held, held_bytes, .. } = other;
        self.entries = self.entries.max(*entries);
        self.entry_bytes = self.entry_bytes.max(*entry_bytes);
        self.appends = self.appends.max(*appends);
        self.append_bytes = self.append_bytes.max(*append_bytes);
        self.held = self.held.max(*held);
        self.held_bytes = self.held_bytes.max(*held_bytes);
        let Waiting { tail_bytes, in_flight_bytes, watch_bytes, snapshot_bytes, .. } = other;
        self.tail_bytes = self.tail_bytes.max(*tail_bytes);
        self.in_flight_bytes = self.in_flight_bytes.max(*in_flight_bytes);
        self.watch_bytes = self.watch_bytes.max(*watch_bytes);
        self.snapshot_bytes = self.snapshot_bytes.max(*snapshot_bytes);
    }
}

/// Store is never owed more: what raft lets be under way, and what was committed before it is told to stop.
const ENTRIES_MAX: usize = limits::APPLY_BACKLOG_MAX as usize + limits::PROPOSALS_MAX;

/// The largest request here, and room to spare.
const ONE_BYTES_MAX: usize = 2 << 20;

/// A stream that has room takes what one look at history may gather, or one revision.
const WATCH_BYTES_MAX: usize = limits::WATCH_BYTES_MAX + limits::WATCH_CATCH_UP_BYTES + ONE_BYTES_MAX;

/// A member has handed on what it had.
///
/// # Panics
/// When more waits than is allowed.
pub fn settled(record: &mut Record, waiting: &Waiting) {
    assert!(waiting.entries <= ENTRIES_MAX, "{} entries wait for Store", waiting.entries);
    assert!(waiting.held <= limits::HELD_PROPOSALS_MAX, "{} proposals are held", waiting.held);
    let bounds = [
        (waiting.append_bytes, UNCOMMITTED_BYTES_MAX + ONE_BYTES_MAX, "bytes wait for the log"),
        (waiting.held_bytes, limits::HELD_PROPOSAL_BYTES_MAX + ONE_BYTES_MAX, "bytes of proposals are held"),
        (waiting.tail_bytes, limits::TAIL_BYTES_MAX as usize + UNCOMMITTED_BYTES_MAX, "bytes of entries are kept"),
        (waiting.in_flight_bytes, IN_FLIGHT_BYTES_MAX + ONE_BYTES_MAX, "bytes are on their way to one member"),
        (waiting.watch_bytes, WATCH_BYTES_MAX, "bytes are on their way to one watch stream"),
    ];
    for (bytes, most, what) in bounds {
        assert!(bytes <= most, "{bytes} {what}, {most} are allowed");
    }
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
