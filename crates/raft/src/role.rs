//! The roles, each holding only what that role has. Changing role drops the rest.

use std::collections::BTreeMap;

use crate::progress::Progress;
use crate::read::Reads;
use crate::{Index, MemberId, NO_MEMBER};

/// A member's part in its term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// Listens to a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether an election could be won.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Decides the order of entries.
    Leader,
}

/// A role with its belongings.
#[derive(Debug)]
pub(crate) enum State {
    /// `leader` may be unknown ([`NO_MEMBER`]).
    Follower {
        leader: MemberId,
    },
    PreCandidate {
        votes: Votes,
    },
    Candidate {
        votes: Votes,
    },
    Leader(Box<Leader>),
}

/// The first answer of each member counts.
pub(crate) type Votes = BTreeMap<MemberId, bool>;

/// What only a leader has.
#[derive(Debug)]
pub(crate) struct Leader {
    /// Every member of the configuration, this one too (while it belongs to it).
    pub(crate) progress: BTreeMap<MemberId, Progress>,
    pub(crate) reads: Reads,
    /// Who shall lead next, or [`NO_MEMBER`].
    pub(crate) transferee: MemberId,
    /// No change may be proposed before this index is applied.
    pub(crate) pending_change: Index,
    /// Payload bytes appended in this term and not yet applied here.
    pub(crate) uncommitted_bytes: usize,
    pub(crate) heartbeat_elapsed: u32,
    /// Entries or a commit wait to be sent with the next output.
    pub(crate) broadcast: bool,
    /// Commits that were put off go with the next output.
    pub(crate) tell_commits: bool,
    /// Somebody has not been told of a commit.
    pub(crate) owes_commits: bool,
    /// Heartbeats wait to be sent with the next output.
    pub(crate) heartbeat: bool,
}

impl State {
    pub(crate) fn role(&self) -> Role {
        match self {
            State::Follower { .. } => Role::Follower,
            State::PreCandidate { .. } => Role::PreCandidate,
            State::Candidate { .. } => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// The leader of the term as far as known, where `id` is this member.
    pub(crate) fn leader(&self, id: MemberId) -> MemberId {
        match self {
            State::Follower { leader } => *leader,
            State::PreCandidate { .. } | State::Candidate { .. } => NO_MEMBER,
            State::Leader(_) => id,
        }
    }
}
