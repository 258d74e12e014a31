//! What members say to each other and what they keep: the words of consensus, without their encoding.
//!
//! Numbers and field meanings mirror etcd's `raftpb` exactly; turning these values into bytes and back is the edge's work.
//! Nothing here decides anything, and nothing here looks inside an entry's data.

use bytes::Bytes;

/// Identifies a member for ever. Zero ([`NO_MEMBER`]) means "nobody".
pub type MemberId = u64;
/// A period with at most one leader. Zero is before any election.
pub type Term = u64;
/// The position of an entry in the log. The first entry has index 1.
pub type Index = u64;

/// "Nobody": no vote cast, no leader known, no transfer under way.
pub const NO_MEMBER: MemberId = 0;

/// The bytes that mark a vote request made on the leader's own wish (a transfer), which leases must not stop.
pub const CAMPAIGN_TRANSFER: &[u8] = b"CampaignTransfer";

/// A number that names no variant of the enum it was turned into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownNumber(
    /// The number that was given.
    pub i32,
);

impl std::fmt::Display for UnknownNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no variant has number {}", self.0)
    }
}

impl std::error::Error for UnknownNumber {}

/// What an entry's data is. Numbers as in `raftpb.EntryType`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum EntryKind {
    /// A command for the state machine; empty data is a leader's first entry or a refused change.
    #[default]
    Normal = 0,
    /// One membership change (`raftpb.ConfChange`).
    ConfChange = 1,
    /// Several membership changes (`raftpb.ConfChangeV2`); empty data leaves a joint configuration.
    ConfChangeV2 = 2,
}

impl EntryKind {
    /// Whether applying this entry may change the configuration.
    pub fn is_change(self) -> bool {
        self != EntryKind::Normal
    }
}

impl TryFrom<i32> for EntryKind {
    type Error = UnknownNumber;

    fn try_from(number: i32) -> Result<Self, UnknownNumber> {
        Ok(match number {
            0 => EntryKind::Normal,
            1 => EntryKind::ConfChange,
            2 => EntryKind::ConfChangeV2,
            other => return Err(UnknownNumber(other)),
        })
    }
}

/// One position of the replicated log. Cloning is cheap: `data` is shared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// What `data` is.
    pub kind: EntryKind,
    /// The term of the leader that made the entry; it never changes afterwards.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// Opaque to this crate.
    pub data: Bytes,
}

impl Entry {
    /// The length of the entry as `raftpb.Entry`, in bytes; message size limits count this.
    pub fn encoded_len(&self) -> usize {
        let data = match self.data.len() {
            0 => 0,
            len => 1 + varint_len(len as u64) + len,
        };
        2 + 1 + varint_len(self.term) + 1 + varint_len(self.index) + data
    }
}

fn varint_len(value: u64) -> usize {
    let bits = (64 - value.leading_zeros()).max(1) as usize;
    bits.div_ceil(7)
}

/// What a member must find again after a crash, besides its entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HardState {
    /// The highest term seen.
    pub term: Term,
    /// Whom this member voted for in `term`, or [`NO_MEMBER`].
    pub vote: MemberId,
    /// The highest index known to be committed. It may lag after a crash; it is never ahead of the entries.
    pub commit: Index,
}

/// A configuration as it is stored and sent. Lists are sorted by id when they come from this crate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConfState {
    /// Members whose votes and acknowledgements count.
    pub voters: Vec<MemberId>,
    /// Members that receive everything and count for nothing.
    pub learners: Vec<MemberId>,
    /// The voters being left behind. Not empty means the configuration is joint: both majorities are needed.
    pub voters_outgoing: Vec<MemberId>,
    /// Outgoing voters that become learners when the joint configuration is left.
    pub learners_next: Vec<MemberId>,
    /// Whether the leader leaves the joint configuration by itself.
    pub auto_leave: bool,
}

/// Where a snapshot stands in the log, and the configuration there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotMeta {
    /// The last entry the snapshot covers.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The configuration after that entry.
    pub conf_state: ConfState,
}

/// A snapshot message's content. The state itself travels outside raft.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Position and configuration.
    pub meta: SnapshotMeta,
    /// Opaque; etcd up to 3.6 puts its version 2 store here.
    pub data: Bytes,
}

/// What a message is. Numbers as in `raftpb.MessageType`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MessageKind {
    /// Local: start an election.
    Hup = 0,
    /// Local: send heartbeats.
    Beat = 1,
    /// A proposal handed on to the leader; carries entries of which only kind and data count, and no term.
    Prop = 2,
    /// Entries after `(index, log_term)`, and the leader's commit.
    App = 3,
    /// Acknowledges everything up to `index`, or rejects `index` with a hint where the logs may agree.
    AppResp = 4,
    /// Asks for a vote.
    Vote = 5,
    /// Grants or rejects a vote.
    VoteResp = 6,
    /// A snapshot for a member whose next entry the leader no longer holds.
    Snap = 7,
    /// The leader lives; `commit` is safe for this member; `context` belongs to a read round.
    Heartbeat = 8,
    /// Answers a heartbeat, echoing its context.
    HeartbeatResp = 9,
    /// Local: messages to a member are being lost.
    Unreachable = 10,
    /// Local: how sending a snapshot ended.
    SnapStatus = 11,
    /// Local: the leader must make sure that a quorum still hears it.
    CheckQuorum = 12,
    /// Asks the leader to hand leadership to `from`.
    TransferLeader = 13,
    /// The leader asks this member to campaign at once.
    TimeoutNow = 14,
    /// Asks the leader for an index that makes a read linearizable; `entries[0].data` is the context.
    ReadIndex = 15,
    /// Answers with that index and the same context.
    ReadIndexResp = 16,
    /// Asks whether a vote would be granted in `term`, changing nothing.
    PreVote = 17,
    /// Answers that question.
    PreVoteResp = 18,
    /// Local to etcd's storage threads; never used here.
    StorageAppend = 19,
    /// Local to etcd's storage threads; never used here.
    StorageAppendResp = 20,
    /// Local to etcd's storage threads; never used here.
    StorageApply = 21,
    /// Local to etcd's storage threads; never used here.
    StorageApplyResp = 22,
    /// Local wish: behave as if the leader were unknown.
    ForgetLeader = 23,
}

impl MessageKind {
    const ALL: [MessageKind; 24] = {
        use MessageKind::*;
        [
            Hup,
            Beat,
            Prop,
            App,
            AppResp,
            Vote,
            VoteResp,
            Snap,
            Heartbeat,
            HeartbeatResp,
            Unreachable,
            SnapStatus,
            CheckQuorum,
            TransferLeader,
            TimeoutNow,
            ReadIndex,
            ReadIndexResp,
            PreVote,
            PreVoteResp,
            StorageAppend,
            StorageAppendResp,
            StorageApply,
            StorageApplyResp,
            ForgetLeader,
        ]
    };

    /// Kinds that a member says only to itself. From the network they are refused.
    pub fn is_local(self) -> bool {
        use MessageKind::*;
        matches!(
            self,
            Hup | Beat
                | Unreachable
                | SnapStatus
                | CheckQuorum
                | StorageAppend
                | StorageAppendResp
                | StorageApply
                | StorageApplyResp
        )
    }

    /// Kinds that answer something. They are taken only from members of the configuration.
    pub fn is_response(self) -> bool {
        use MessageKind::*;
        matches!(self, AppResp | VoteResp | HeartbeatResp | ReadIndexResp | PreVoteResp)
    }

    /// Requests handed on towards the leader, which belong to no term.
    pub(crate) fn is_termless(self) -> bool {
        matches!(self, MessageKind::Prop | MessageKind::ReadIndex)
    }
}

impl TryFrom<i32> for MessageKind {
    type Error = UnknownNumber;

    fn try_from(number: i32) -> Result<Self, UnknownNumber> {
        usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied()).ok_or(UnknownNumber(number))
    }
}

impl TryFrom<u8> for MessageKind {
    type Error = UnknownNumber;

    fn try_from(number: u8) -> Result<Self, UnknownNumber> {
        MessageKind::try_from(i32::from(number))
    }
}

/// One message between members. Fields that a kind does not use are zero or empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// What it is.
    pub kind: MessageKind,
    /// The receiver.
    pub to: MemberId,
    /// The sender; for `TransferLeader` the member that shall lead.
    pub from: MemberId,
    /// The sender's term; for (pre-)votes and granted pre-votes the term campaigned for; zero on `Prop` and `ReadIndex`.
    pub term: Term,
    /// The term of the entry at `index` (`App`, votes), or at `reject_hint` (rejecting `AppResp`).
    pub log_term: Term,
    /// See the kind.
    pub index: Index,
    /// `App`: contiguous from `index + 1`. `Prop`, `ReadIndex`, `ReadIndexResp`: see the kind.
    pub entries: Vec<Entry>,
    /// The leader's commit (`App`), or what of it this member surely holds (`Heartbeat`).
    pub commit: Index,
    /// Unused between members.
    pub vote: MemberId,
    /// Only on `Snap`.
    pub snapshot: Option<Snapshot>,
    /// The answer is "no".
    pub reject: bool,
    /// Where the logs may agree.
    pub reject_hint: Index,
    /// A read round, or the kind of campaign.
    pub context: Bytes,
}

impl Message {
    /// An empty message; sender and term are filled in when it is sent.
    pub fn new(kind: MessageKind, to: MemberId) -> Message {
        Message {
            kind,
            to,
            from: NO_MEMBER,
            term: 0,
            log_term: 0,
            index: 0,
            entries: Vec::new(),
            commit: 0,
            vote: NO_MEMBER,
            snapshot: None,
            reject: false,
            reject_hint: 0,
            context: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_keep_their_numbers() {
        for number in 0..24u8 {
            assert_eq!(MessageKind::try_from(number).unwrap() as u8, number);
        }
        assert_eq!(MessageKind::try_from(24), Err(UnknownNumber(24)));
        assert_eq!(MessageKind::try_from(-1), Err(UnknownNumber(-1)));
        for number in 0..3 {
            assert_eq!(EntryKind::try_from(number).unwrap() as i32, number);
        }
        assert_eq!(EntryKind::try_from(3), Err(UnknownNumber(3)));
    }

    #[test]
    fn entry_length_counts_tags_and_varints() {
        let mut entry = Entry { kind: EntryKind::Normal, term: 1, index: 1, data: Bytes::new() };
        assert_eq!(entry.encoded_len(), 6);
        entry.index = 128;
        entry.data = Bytes::from(vec![0; 200]);
        assert_eq!(entry.encoded_len(), 2 + 2 + 3 + (1 + 2 + 200));
        entry.term = u64::MAX;
        assert_eq!(entry.encoded_len(), 2 + 11 + 3 + (1 + 2 + 200));
    }
}
