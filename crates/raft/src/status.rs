//! A copy of the numbers, for metrics, for answers about the cluster's state, and for drivers that decide about compaction.

use std::collections::BTreeMap;

use crate::role::{Role, State};
use crate::{Index, MemberId, NO_MEMBER, Raft, Stream, Term};

/// One member at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// This member.
    pub id: MemberId,
    /// Its term.
    pub term: Term,
    /// Whom it voted for in that term, or [`NO_MEMBER`].
    pub vote: MemberId,
    /// The leader as far as known, or [`NO_MEMBER`].
    pub leader: MemberId,
    /// Its role.
    pub role: Role,
    /// The lowest index in memory.
    pub first: Index,
    /// The last index.
    pub last: Index,
    /// Everything up to here is on disk and stays.
    pub durable: Index,
    /// Everything up to here is committed, as far as known.
    pub commit: Index,
    /// What the Store was given.
    pub handed: Index,
    /// What the Store has applied.
    pub applied: Index,
    /// Payload bytes of the entries in memory.
    pub tail_bytes: usize,
    /// Appends that the Log has not acknowledged.
    pub appends_under_way: usize,
    /// Voters of both halves of the configuration, sorted.
    pub voters: Vec<MemberId>,
    /// Learners, sorted.
    pub learners: Vec<MemberId>,
    /// Leader only: no change may be proposed before this index is applied.
    pub pending_change: Index,
    /// Leader only: who shall lead next, or [`NO_MEMBER`].
    pub transferee: MemberId,
    /// Leader only: every member, this one too.
    pub peers: BTreeMap<MemberId, PeerStatus>,
}

/// One peer as the leader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerStatus {
    /// Durable there and equal to ours up to here.
    pub matched: Index,
    /// The next entry to be sent.
    pub next: Index,
    /// How entries are sent.
    pub stream: Stream,
    /// Nothing is sent until it answers.
    pub paused: bool,
    /// Heard from since the last quorum check.
    pub recent_active: bool,
    /// Whether it is a learner.
    pub learner: bool,
    /// Append messages not acknowledged.
    pub inflight_messages: usize,
    /// Payload bytes in them.
    pub inflight_bytes: usize,
}

impl Raft {
    /// See [`Status`].
    pub fn status(&self) -> Status {
        let mut status = Status {
            id: self.config.id,
            term: self.term,
            vote: self.vote,
            leader: self.leader(),
            role: self.state.role(),
            first: self.tail.first(),
            last: self.tail.last_index(),
            durable: self.tail.durable(),
            commit: self.commit,
            handed: self.handed,
            applied: self.applied,
            tail_bytes: self.tail.bytes(),
            appends_under_way: self.writes.count(),
            voters: self.voters.voter_ids().into_iter().collect(),
            learners: self.voters.learner_ids().to_vec(),
            pending_change: 0,
            transferee: NO_MEMBER,
            peers: BTreeMap::new(),
        };
        if let State::Leader(leader) = &self.state {
            status.pending_change = leader.pending_change;
            status.transferee = leader.transferee;
            for (id, peer) in &leader.progress {
                let peer = PeerStatus {
                    matched: peer.matched,
                    next: peer.next,
                    stream: peer.stream,
                    paused: peer.is_paused(),
                    recent_active: peer.recent_active,
                    learner: peer.learner,
                    inflight_messages: peer.in_flight_messages(),
                    inflight_bytes: peer.in_flight_bytes(),
                };
                status.peers.insert(*id, peer);
            }
        }
        status
    }
}

/// Single numbers of [`Status`], for those who ask often.
impl Raft {
    /// The leader of this term, or [`NO_MEMBER`].
    pub fn leader_id(&self) -> MemberId {
        self.leader()
    }

    /// Whether a leader is known here that has said nothing for longer than any voter would wait. Who cannot campaign (it
    /// learns, or has no configuration yet) goes on knowing it for ever.
    pub fn leader_is_silent(&self) -> bool {
        let is_led = matches!(self.state, State::Follower { leader } if leader != NO_MEMBER);
        is_led && self.election_elapsed >= 2 * self.config.election_ticks
    }

    /// Whether this member leads and is handing that over; until then it takes no proposals.
    pub fn is_transferring(&self) -> bool {
        matches!(&self.state, State::Leader(leader) if leader.transferee != NO_MEMBER)
    }

    /// What this member is.
    pub fn role(&self) -> Role {
        self.state.role()
    }

    /// The present term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Highest index known to be committed.
    pub fn commit(&self) -> Index {
        self.commit
    }

    /// This member.
    pub fn id(&self) -> MemberId {
        self.config.id
    }
}
