//! The door for messages: what is refused, what a term means, and who handles the rest.
//!
//! Nothing that a peer sends may break an assertion. What is wrong in form is refused here; what contradicts the protocol
//! itself (a committed entry replaced, a commit beyond the log) in `contradiction`.

use bytes::Bytes;

use crate::contradiction::Contradiction;
use crate::message::CAMPAIGN_TRANSFER;
use crate::read::ReadRequest;
use crate::role::State;
use crate::voters::Voters;
use crate::{Entry, EntryKind, Index, MemberId, Message, MessageKind, NO_MEMBER, Raft};

/// Terms and indices above this are never reached by counting; believed, they would soon leave no number to go on with.
const NUMBER_MAX: u64 = 1 << 62;

/// Why a message was not taken. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The kind is only used inside a member.
    LocalOnly,
    /// An answer, a proposal or a read from someone who is not in the configuration.
    UnknownPeer,
    /// Addressed to someone else, or from nobody or from this member itself.
    BadAddress,
    /// The fields contradict each other.
    Malformed,
    /// No correct member can have sent it to this one.
    Contradiction(Contradiction),
    /// A proposal or read handed on by another member cannot be taken.
    Proposal(ProposeError),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::LocalOnly => f.write_str("a message of this kind never comes from a peer"),
            Refused::UnknownPeer => {
                f.write_str("an answer, a proposal or a read from a member that is not in the configuration")
            }
            Refused::BadAddress => f.write_str("the message's sender or receiver is wrong"),
            Refused::Malformed => f.write_str("the message contradicts itself"),
            Refused::Contradiction(what) => write!(f, "the message cannot be true: {what}"),
            Refused::Proposal(error) => write!(f, "a proposal handed on by a peer: {error}"),
        }
    }
}

impl std::error::Error for Refused {}

/// Why a proposal or a read cannot be taken here and now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProposeError {
    /// No leader is known in this term.
    NoLeader,
    /// This leader takes nothing at the moment.
    Dropped(DropReason),
}

/// Why a leader takes nothing at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DropReason {
    /// Too many bytes wait to be committed and applied.
    TooMuchUncommitted,
    /// Leadership is being handed to another member.
    Transferring,
    /// This member still leads but is no voter any more.
    Removed,
    /// Too many reads wait for a quorum.
    TooManyReads,
}

impl std::fmt::Display for ProposeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProposeError::NoLeader => "no leader is known",
            ProposeError::Dropped(DropReason::TooMuchUncommitted) => "too much waits to be committed",
            ProposeError::Dropped(DropReason::Transferring) => "leadership is being transferred",
            ProposeError::Dropped(DropReason::Removed) => "the leader is no voter any more",
            ProposeError::Dropped(DropReason::TooManyReads) => "too many reads are waiting",
        })
    }
}

impl std::error::Error for ProposeError {}

/// What to do with a message after its term was looked at.
enum Verdict {
    Handle,
    Done,
}

impl Raft {
    /// Takes one message from a peer.
    ///
    /// # Errors
    /// See [`Refused`]; the caller drops the message (and may count it).
    pub fn step(&mut self, message: Message) -> Result<(), Refused> {
        self.inspect(&message)?;
        self.contradicts(&message).map_err(Refused::Contradiction)?;
        match self.weigh_term(&message) {
            Verdict::Done => Ok(()),
            Verdict::Handle => self.handle(message),
        }
    }

    /// Refuses what is wrong in form.
    fn inspect(&self, message: &Message) -> Result<(), Refused> {
        use MessageKind::*;
        if message.kind.is_local() || message.kind == ForgetLeader {
            return Err(Refused::LocalOnly);
        }
        if message.to != self.config.id || message.from == NO_MEMBER {
            return Err(Refused::BadAddress);
        }
        // `from` names the member that shall lead, which may be this leader itself, or the first sender of a
        // request that others hand on.
        let handed_on = message.kind == TransferLeader || message.kind.is_termless();
        if message.from == self.config.id && !handed_on {
            return Err(Refused::BadAddress);
        }
        // Who answers, and who asks for something to be decided or read, is one of us. Who leads may be new to this one.
        let of_members_only = message.kind.is_response() || matches!(message.kind, Prop | ReadIndex);
        if of_members_only && !self.voters.contains(message.from) {
            return Err(Refused::UnknownPeer);
        }
        if message.term > NUMBER_MAX || message.index > NUMBER_MAX {
            return Err(Refused::Malformed);
        }
        let well_formed = match message.kind {
            Prop => message.term == 0 && !message.entries.is_empty(),
            ReadIndex => message.term == 0 && message.entries.len() == 1,
            ReadIndexResp => message.term != 0 && message.entries.len() == 1,
            App => message.term != 0 && has_sound_entries(message),
            Snap => message.term != 0 && has_sound_snapshot(message),
            _ => message.term != 0,
        };
        match well_formed {
            true => Ok(()),
            false => Err(Refused::Malformed),
        }
    }

    /// What the message's term means for this member's own.
    fn weigh_term(&mut self, message: &Message) -> Verdict {
        use MessageKind::*;
        if message.kind.is_termless() || message.term == self.term {
            return Verdict::Handle;
        }
        if message.term < self.term {
            self.answer_old_term(message);
            return Verdict::Done;
        }
        let asks_vote = matches!(message.kind, Vote | PreVote);
        if asks_vote && self.has_lease() && message.context != CAMPAIGN_TRANSFER {
            // A leader was heard of a moment ago: whoever asks has been cut off or removed, and must not disturb.
            return Verdict::Done;
        }
        match message.kind {
            // Asking changes nothing; and a granted pre-vote carries the term we asked for, which is not reached yet.
            PreVote => {}
            PreVoteResp if !message.reject => {}
            App | Heartbeat | Snap => self.become_follower(message.term, message.from),
            _ => self.become_follower(message.term, NO_MEMBER),
        }
        Verdict::Handle
    }

    fn has_lease(&self) -> bool {
        self.config.check_quorum && self.leader() != NO_MEMBER && self.election_elapsed < self.config.election_ticks
    }

    /// A member of an older term is told the present one where silence could leave it stuck.
    fn answer_old_term(&mut self, message: &Message) {
        use MessageKind::*;
        match message.kind {
            // A leader of an older term would otherwise never learn of ours, since our vote requests are ignored.
            Heartbeat | App if self.config.check_quorum || self.config.pre_vote => {
                self.send(Message::new(AppResp, message.from));
            }
            PreVote => {
                let mut answer = Message::new(PreVoteResp, message.from);
                answer.term = self.term;
                answer.reject = true;
                self.send(answer);
            }
            _ => {}
        }
    }

    fn handle(&mut self, message: Message) -> Result<(), Refused> {
        use MessageKind::*;
        match message.kind {
            Vote | PreVote => self.answer_vote(&message),
            VoteResp | PreVoteResp => self.count_vote(&message),
            App | Heartbeat | Snap => return self.hear_leader(message),
            TimeoutNow => self.hear_timeout_now(),
            AppResp => self.hear_append_answer(&message),
            HeartbeatResp => self.hear_heartbeat_answer(&message),
            TransferLeader => self.transfer_leader(message.from),
            Prop => return self.offer(message.from, message.entries).map_err(Refused::Proposal),
            ReadIndex => {
                let context = first_data(message.entries);
                return self.ask(ReadRequest { from: message.from, context }).map_err(Refused::Proposal);
            }
            ReadIndexResp => {
                if let State::Follower { .. } = self.state {
                    self.reads.push(crate::ReadReady { index: message.index, context: first_data(message.entries) });
                }
            }
            Hup | Beat | Unreachable | SnapStatus | CheckQuorum | StorageAppend | StorageAppendResp | StorageApply
            | StorageApplyResp | ForgetLeader => unreachable!("local kinds are refused at the door"),
        }
        Ok(())
    }

    /// Entries to be proposed: appended here when leading, otherwise handed on. `from` is who asked, or nobody.
    pub(crate) fn offer(&mut self, from: MemberId, entries: Vec<Entry>) -> Result<(), ProposeError> {
        if entries.is_empty() {
            return Ok(());
        }
        match &self.state {
            State::Leader(_) => {
                self.append_proposed(entries).map_err(ProposeError::Dropped)?;
                let last = self.tail.last_index();
                if let State::Leader(leader) = &mut self.state
                    && let Some(peer) = leader.progress.get_mut(&from)
                {
                    peer.asked = last;
                }
                Ok(())
            }
            State::Follower { leader } if *leader != NO_MEMBER => {
                let mut message = Message::new(MessageKind::Prop, *leader);
                message.from = from;
                message.entries = entries;
                self.send(message);
                Ok(())
            }
            _ => Err(ProposeError::NoLeader),
        }
    }

    /// A read, answered here when leading, otherwise handed on.
    pub(crate) fn ask(&mut self, request: ReadRequest) -> Result<(), ProposeError> {
        match &self.state {
            State::Leader(_) => self.lead_read(request).map_err(ProposeError::Dropped),
            State::Follower { leader } if *leader != NO_MEMBER => {
                let mut message = Message::new(MessageKind::ReadIndex, *leader);
                message.from = request.from;
                message.entries = vec![context_entry(request.context)];
                self.send(message);
                Ok(())
            }
            _ => Err(ProposeError::NoLeader),
        }
    }
}

/// Read contexts travel as the data of one otherwise empty entry.
pub(crate) fn context_entry(data: Bytes) -> Entry {
    Entry { kind: EntryKind::Normal, data, ..Entry::default() }
}

fn first_data(entries: Vec<Entry>) -> Bytes {
    entries.into_iter().next().map(|entry| entry.data).unwrap_or_default()
}

/// Entries follow `(index, log_term)` without a hole, with terms that never fall and never pass the leader's.
fn has_sound_entries(message: &Message) -> bool {
    let mut index: Index = message.index;
    let mut term = message.log_term;
    for entry in &message.entries {
        if index.checked_add(1) != Some(entry.index) || entry.term < term {
            return false;
        }
        index = entry.index;
        term = entry.term;
    }
    term <= message.term
}

fn has_sound_snapshot(message: &Message) -> bool {
    let Some(snapshot) = &message.snapshot else {
        return false;
    };
    let meta = &snapshot.meta;
    (1..=NUMBER_MAX).contains(&meta.index)
        && (1..=message.term).contains(&meta.term)
        && Voters::is_sound(&meta.conf_state)
}
