//! What waits inside a member is bounded, and how much it ever was is remembered; and no snapshot is kept for nothing.

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
    /// Snapshots on their way from one member.
    pub snapshots: usize,
    /// Bytes of snapshots on their way in the whole cluster.
    pub snapshot_bytes: usize,
}

/// What this run allows of what is a setting.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes that may wait for Store before more is turned away.
    pub backlog_bytes: usize,
    /// Bytes that may wait to be committed.
    pub uncommitted_bytes: usize,
    /// Bytes that may be on their way to one member.
    pub in_flight_bytes: usize,
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
        let Waiting { tail_bytes, in_flight_bytes, watch_bytes, snapshots, snapshot_bytes, .. } = other;
        self.tail_bytes = self.tail_bytes.max(*tail_bytes);
        self.in_flight_bytes = self.in_flight_bytes.max(*in_flight_bytes);
        self.watch_bytes = self.watch_bytes.max(*watch_bytes);
        self.snapshots = self.snapshots.max(*snapshots);
        self.snapshot_bytes = self.snapshot_bytes.max(*snapshot_bytes);
    }
}

/// Store is never owed more: what raft lets be under way, and what was committed before it is told to stop.
const ENTRIES_MAX: usize = limits::APPLY_BACKLOG_MAX as usize + limits::PROPOSALS_MAX;

/// The largest request here, and room to spare.
const ONE_BYTES_MAX: usize = 256 << 10;

/// A member sends each of the six others one snapshot at a time.
const SNAPSHOTS_MAX: usize = 6;

/// What snapshots on their way may come to in a whole cluster. Between processes no more than eight pieces of one are in memory;
/// here they are whole, and states are small.
const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// A stream that has room takes what one look at history may gather, or one revision.
const WATCH_BYTES_MAX: usize = limits::WATCH_BYTES_MAX + limits::WATCH_CATCH_UP_BYTES + ONE_BYTES_MAX;

/// A member has handed on what it had.
///
/// # Panics
/// When more waits than is allowed.
pub fn settled(record: &mut Record, bounds: &Bounds, waiting: &Waiting) {
    let Bounds { backlog_bytes, uncommitted_bytes, in_flight_bytes } = *bounds;
    assert!(waiting.entries <= ENTRIES_MAX, "{} entries wait for Store", waiting.entries);
    assert!(waiting.held <= limits::HELD_PROPOSALS_MAX, "{} proposals are held", waiting.held);
    assert!(waiting.snapshots <= SNAPSHOTS_MAX, "{} snapshots of one member are on their way", waiting.snapshots);
    // What a member had in its log before its Store fell behind is committed all the same.
    let entry_bytes_max = backlog_bytes + uncommitted_bytes + in_flight_bytes + ONE_BYTES_MAX;
    let bounds = [
        (waiting.entry_bytes, entry_bytes_max, "bytes wait for Store"),
        (waiting.snapshot_bytes, SNAPSHOT_BYTES_MAX, "bytes of snapshots are on their way"),
        (waiting.append_bytes, uncommitted_bytes + ONE_BYTES_MAX, "bytes wait for the log"),
        (waiting.held_bytes, limits::HELD_PROPOSAL_BYTES_MAX + ONE_BYTES_MAX, "bytes of proposals are held"),
        (waiting.tail_bytes, limits::TAIL_BYTES_MAX as usize + entry_bytes_max, "bytes of entries are kept"),
        (waiting.in_flight_bytes, in_flight_bytes + ONE_BYTES_MAX, "bytes are on their way to one member"),
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
