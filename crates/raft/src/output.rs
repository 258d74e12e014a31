//! What comes out of the value: everything the driver must do next, as plain data.
//!
//! An `Output` is filled by [`Raft::take`](crate::Raft::take) and emptied by the driver before the next one. The parts do
//! not wait for each other, except that `restore` comes before `committed`, and that appends and committed entries keep
//! their order. Nothing in `messages` waits for the disk any more: what had to, has.

use bytes::Bytes;

use crate::{Entry, HardState, Index, MemberId, Message, Role, Snapshot, SnapshotMeta, Term};

/// Work for the driver. See the module.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// To be sent to peers, at once, in order for each peer. They may be lost.
    pub messages: Vec<Message>,
    /// For the Log, in order.
    pub appends: Vec<Append>,
    /// For the Store: committed and durable here; each exactly once, in order, without holes but for `restore`.
    pub committed: Vec<Entry>,
    /// For the Store, before `committed`: replace the whole state by this snapshot, which is durable in the log.
    pub restore: Option<Snapshot>,
    /// Read rounds that have ended well.
    pub reads: Vec<ReadReady>,
    /// Present when the role or the known leader is another than in the last output.
    pub soft: Option<SoftState>,
}

impl Output {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.appends.is_empty()
            && self.committed.is_empty()
            && self.restore.is_none()
            && self.reads.is_empty()
            && self.soft.is_none()
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.appends.clear();
        self.committed.clear();
        self.restore = None;
        self.reads.clear();
        self.soft = None;
    }
}

/// Names one append. The Log gives it back when this append and all before it are durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AppendMark {
    /// Counts appends from 1 since this value was made.
    pub sequence: u64,
    /// The last index of the log once this append is written.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
}

/// One write to the Log: the snapshot position first, then entries, then the hard state.
#[derive(Clone, Debug)]
pub struct Append {
    /// To be given back through [`Raft::appended`](crate::Raft::appended).
    pub mark: AppendMark,
    /// Contiguous. The first one's index may lie at or below what was written before: it and all after it are replaced.
    pub entries: Vec<Entry>,
    /// The new hard state, when it has changed.
    pub hard_state: Option<HardState>,
    /// The log starts anew after this position; what was written before it counts no more.
    pub snapshot: Option<SnapshotMeta>,
    /// Whether `appended` must wait until the disk has it. When false only the commit has moved, and losing that is harmless.
    pub must_sync: bool,
}

/// A read may be answered from any state that has applied `index`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadReady {
    /// A commit index that was current at some moment after the read was asked for.
    pub index: Index,
    /// What was given to [`Raft::read`](crate::Raft::read).
    pub context: Bytes,
}

/// What everybody likes to know and nobody needs to store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoftState {
    /// The leader of this term, or [`NO_MEMBER`](crate::NO_MEMBER).
    pub leader: MemberId,
    /// This member's role.
    pub role: Role,
}
