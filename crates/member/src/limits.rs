//! Every bound of the member in one place. A queue, batch or retry that has no
//! line here should not exist.

/// Entries committed but not yet applied beyond which new proposals are turned
/// away with `etcdserver: too many requests` (etcd: 5000).
pub const APPLY_BACKLOG_MAX: u64 = 5_000;

/// Bytes of entries committed but not yet applied beyond which new proposals are turned away and a follower takes no more
/// entries: its leader sends them again.
pub const APPLY_BACKLOG_BYTES_MAX: u64 = 128 << 20;

/// Proposals that wait in Core's inbox.
pub const PROPOSALS_MAX: usize = 16_384;

/// Bytes of them. One may always wait, however large.
pub const PROPOSAL_BYTES_MAX: usize = 64 << 20;

/// Proposals held back while there is no leader.
pub const HELD_PROPOSALS_MAX: usize = 16_384;

/// Bytes of proposals held back while there is no leader. One may always wait, however large.
pub const HELD_PROPOSAL_BYTES_MAX: usize = 64 << 20;

/// Messages refused in one round that are told to the driver; the rest is only dropped.
pub const REFUSED_TOLD_MAX: usize = 16;

/// Peer messages that wait in Core's inbox; beyond it appends are dropped
/// (raft repeats them) while votes and heartbeats are still taken.
pub const MESSAGES_MAX: usize = 8_192;

/// Bytes of entries in them. One message may always wait, however large.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Bytes that one write of the log may gather.
pub const LOG_BATCH_BYTES_MAX: usize = 8 << 20;

/// A segment of the write-ahead log is closed when it has grown past this.
pub const LOG_SEGMENT_BYTES: u64 = 64_000_000;

/// Entries that one batch for Store may hold.
pub const APPLY_BATCH_MAX: usize = 4_096;

/// Bytes of them. One may always be in it, however large.
pub const APPLY_BATCH_BYTES_MAX: usize = 8 << 20;

/// Entry bytes kept in memory for members that lag, whatever the count says.
pub const TAIL_BYTES_MAX: u64 = 128 << 20;

/// Responses on their way to one watch stream; beyond it the stream's watches
/// fall behind and are caught up from history (etcd: 128).
pub const WATCH_RESPONSES_MAX: usize = 128;

/// Event bytes on their way to one watch stream.
pub const WATCH_BYTES_MAX: usize = 4 << 20;

/// Moments that Store has published and Hub has not taken, with their events;
/// beyond it Hub is told only that there is a later one, and its watches read
/// history. Each holds what the key tree was, so it is not many.
pub const WATCH_MOMENTS_MAX: usize = 128;

/// Bytes of those events. One moment may always wait, however many it has.
pub const WATCH_NEWS_BYTES_MAX: usize = 4 << 20;

/// Revisions in one response while catching up (etcd: 1000).
pub const WATCH_CATCH_UP_REVISIONS: i64 = 1_000;

/// Watches that one pass over history serves together (etcd: 512).
pub const WATCH_CATCH_UP_BATCH: usize = 512;

/// Event bytes that one pass over history may gather.
pub const WATCH_CATCH_UP_BYTES: usize = 4 << 20;

/// Expired leases proposed for revocation in one look (etcd: 500 each 500 ms).
pub const EXPIRED_LEASES_PER_LOOK: usize = 500;

/// Revocations on their way through the log (etcd: 16; we batch more).
pub const REVOKES_IN_FLIGHT_MAX: usize = 512;

/// Leases in one checkpoint (etcd: 1000).
pub const CHECKPOINTS_PER_PROPOSAL: usize = 1_000;

/// Checkpoints proposed in one look (etcd: 500 each 500 ms).
pub const CHECKPOINT_PROPOSALS_PER_LOOK: usize = 20;
