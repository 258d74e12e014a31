//! What the network asks of the member behind it.

use std::io;
use std::pin::Pin;

use bytes::Bytes;
use proto::etcdserverpb::Member;
use raft::{Message, SnapshotMeta};

/// An answer that takes a while.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The member, as its links see it. Called on the network's threads; only what says so may block.
pub trait Local: Send + Sync + 'static {
    /// A message for raft. Must not block.
    fn deliver(&self, message: Message);
    /// Runs `work`, which delivers messages that belong together. Must not block.
    fn gather(&self, work: &mut dyn FnMut()) {
        work();
    }
    /// As [`Local::gather`], on a thread that does nothing but bring what others append. May block while that is written.
    fn gather_appends(&self, work: &mut dyn FnMut()) {
        self.gather(work);
    }
    /// Messages to this member are being lost. Must not block.
    fn unreachable(&self, id: u64);
    /// How sending a snapshot ended. Must not block.
    fn snapshot_sent(&self, id: u64, ok: bool);
    /// Other members say that this one was removed; it must stop.
    fn removed(&self);
    /// This one's first start is not over, and the member at `url` knows it as one that has run: its data is lost, it must stop.
    fn has_run(&self, url: &str, me: store::roster::Member);
    /// A snapshot of now, to be sent. May block.
    fn snapshot(&self) -> io::Result<SnapshotBody>;
    /// Where the body of a received snapshot goes; `beside` came in its message ([`SnapshotBody::data`]). May block.
    fn receive_snapshot(&self, index: u64, beside: Bytes) -> io::Result<Box<dyn SnapshotSink>>;
    /// A snapshot that was received is of no use: one receipt of it need not be kept. May block.
    fn discard_snapshot(&self, index: u64);
    /// The roster, by id.
    fn members(&self) -> Vec<Member>;
    /// Whether a member was removed from the cluster.
    fn is_removed(&self, id: u64) -> bool;
    /// The version the cluster agreed on.
    fn cluster_version(&self) -> Option<String>;
    /// Whether a downgrade is under way. None ever is until members can be downgraded.
    fn downgrade_enabled(&self) -> bool {
        false
    }
    /// The hash of keys up to a revision (0: the present one). The error is for the caller's eyes. May block.
    fn hash_kv(&self, revision: i64) -> Result<HashKv, String>;
    /// The hash chain of this member, encoded. None: it has none to compare.
    fn chain(&self) -> Option<Vec<u8>> {
        None
    }
    /// Renews a lease, as leader. The TTL in seconds.
    fn keep_alive(&self, id: i64) -> BoxFuture<Result<i64, LeaseError>>;
    /// How long a lease has left, as leader.
    fn time_to_live(&self, id: i64, keys: bool) -> BoxFuture<Result<RemainingLease, LeaseError>>;
}

/// Writes a snapshot's body, piece by piece, into what it is given.
pub type SnapshotWriter = Box<dyn FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + Send>;

/// A snapshot to be sent.
pub struct SnapshotBody {
    /// Where it stands in the log. May be later than what raft asked for.
    pub meta: SnapshotMeta,
    /// What members up to 3.6 expect in the message itself: their version 2 store.
    pub data: Bytes,
    /// Size of the body, for the log.
    pub size_bytes: u64,
    /// Produces the body, on a thread that may block.
    pub write: SnapshotWriter,
}

/// Takes a snapshot's body. Dropped without [`SnapshotSink::finish`], it leaves nothing behind.
pub trait SnapshotSink: Send {
    /// The next bytes. May block.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// All bytes were there: make them durable under their name. May block.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Hash of a member's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// CRC-32C over keys and values.
    pub hash: u32,
    /// Below it, history is compacted.
    pub compact_revision: i64,
    /// Up to here was hashed.
    pub hash_revision: i64,
    /// The member's present revision.
    pub revision: i64,
}

/// A lease's time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RemainingLease {
    /// Seconds left; -1: there is no such lease.
    pub ttl: i64,
    /// Seconds it was granted.
    pub granted_ttl: i64,
    /// Its keys, when asked for.
    pub keys: Vec<Bytes>,
}

/// Why the leader has no answer about a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseError {
    /// There is no such lease.
    NotFound,
    /// It has not applied everything yet.
    ApplyTimeout,
    /// It is not the leader.
    NotPrimary,
    /// Something else, in words.
    Other(String),
}
