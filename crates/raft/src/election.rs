//! How leaders come and go: time passing, campaigns, votes, the quorum check.
//!
//! ```text
//!              time out                 could win               won
//!  ┌──────────┐ ─────▶ ┌──────────────┐ ─────▶ ┌───────────┐ ─────▶ ┌────────┐
//!  │ Follower │        │ PreCandidate │        │ Candidate │        │ Leader │
//!  └──────────┘ ◀───── └──────────────┘        └───────────┘        └────────┘
//!        ▲       lost or a leader is heard            │                 │
//!        └────────────── lost or a higher term ───────┴─────────────────┘ (or no quorum hears it)
//! ```
//!
//! Without pre-vote, and when leadership is handed over, the second box is skipped. A member's own vote counts when the
//! term and the vote are durable, and only then are others asked for theirs.

use bytes::Bytes;

use crate::message::CAMPAIGN_TRANSFER;
use crate::progress::Progress;
use crate::quorum::Tally;
use crate::read::Reads;
use crate::role::{Leader, State, Votes};
use crate::{Entry, MemberId, Message, MessageKind, NO_MEMBER, Raft, Term};

impl Raft {
    /// Time passes. How long a tick is, the driver knows.
    pub fn tick(&mut self) {
        self.election_elapsed = self.election_elapsed.saturating_add(1);
        if matches!(self.state, State::Leader(_)) {
            self.tick_leader();
        } else if self.election_elapsed >= self.election_limit && self.is_promotable() {
            self.election_elapsed = 0;
            self.campaign();
        }
    }

    /// Tries to become leader now. Nothing happens when this member already leads, may not vote, or has not applied a
    /// configuration change that is already committed.
    pub fn campaign(&mut self) {
        if !self.may_campaign() {
            return;
        }
        match self.config.pre_vote {
            true => self.ask_pre_votes(),
            false => self.ask_votes(false),
        }
    }

    /// A follower behaves as if it did not know the leader, which lets others win its vote. Any other role ignores it.
    pub fn forget_leader(&mut self) {
        if let State::Follower { leader } = &mut self.state {
            *leader = NO_MEMBER;
        }
    }

    /// The leader wants this member to take over at once.
    pub(crate) fn hear_timeout_now(&mut self) {
        if matches!(self.state, State::Follower { .. }) && self.may_campaign() {
            self.ask_votes(true);
        }
    }

    fn is_promotable(&self) -> bool {
        self.voters.is_voter(self.config.id) && self.restoring == 0 && !self.is_in_doubt()
    }

    fn may_campaign(&self) -> bool {
        !matches!(self.state, State::Leader(_))
            && self.is_promotable()
            && !self.tail.has_change(self.applied, self.commit)
    }

    fn ask_pre_votes(&mut self) {
        self.state = State::PreCandidate { votes: Votes::new() };
        self.ask_peers(MessageKind::PreVote, self.term + 1, Bytes::new());
        // Nothing needs to be durable for this: no promise is made.
        self.record_vote(self.config.id, true);
    }

    fn ask_votes(&mut self, transfer: bool) {
        assert!(!matches!(self.state, State::Leader(_)), "a leader does not campaign");
        self.enter_term(self.term + 1);
        self.vote = self.config.id;
        self.state = State::Candidate { votes: Votes::new() };
        self.writes.held.own_vote = Some(self.term);
        let context = if transfer { Bytes::from_static(CAMPAIGN_TRANSFER) } else { Bytes::new() };
        self.ask_peers(MessageKind::Vote, self.term, context);
    }

    fn ask_peers(&mut self, kind: MessageKind, term: Term, context: Bytes) {
        for to in self.voters.voter_ids() {
            if to == self.config.id {
                continue;
            }
            let mut message = Message::new(kind, to);
            message.term = term;
            message.index = self.tail.last_index();
            message.log_term = self.tail.last_term();
            message.context = context.clone();
            self.send(message);
        }
    }

    /// A member asks for its (pre-)vote. Learners answer too: they may have been promoted without knowing it yet.
    pub(crate) fn answer_vote(&mut self, message: &Message) {
        let pre = message.kind == MessageKind::PreVote;
        let free = self.vote == message.from
            || (self.vote == NO_MEMBER && self.leader() == NO_MEMBER)
            || (pre && message.term > self.term);
        let ours = (self.tail.last_term(), self.tail.last_index());
        let grant = free && (message.log_term, message.index) >= ours && !self.is_in_doubt();
        let kind = if pre { MessageKind::PreVoteResp } else { MessageKind::VoteResp };
        let mut answer = Message::new(kind, message.from);
        answer.reject = !grant;
        // A granted pre-vote carries the term asked for, or the one who asks would take it for outdated.
        answer.term = if grant { message.term } else { self.term };
        self.send(answer);
        if grant && !pre {
            self.election_elapsed = 0;
            self.vote = message.from;
        }
    }

    /// Another member's answer. Only the answers to the present campaign count.
    pub(crate) fn count_vote(&mut self, message: &Message) {
        let expected = match &self.state {
            State::PreCandidate { .. } => MessageKind::PreVoteResp,
            State::Candidate { .. } => MessageKind::VoteResp,
            State::Follower { .. } | State::Leader(_) => return,
        };
        if message.kind == expected {
            self.record_vote(message.from, !message.reject);
        }
    }

    /// This member's vote for itself in `term` is durable.
    pub(crate) fn count_own_vote(&mut self, term: Term) {
        if term == self.term && matches!(self.state, State::Candidate { .. }) {
            self.record_vote(self.config.id, true);
        }
    }

    fn record_vote(&mut self, from: MemberId, granted: bool) {
        let (votes, pre) = match &mut self.state {
            State::PreCandidate { votes } => (votes, true),
            State::Candidate { votes } => (votes, false),
            State::Follower { .. } | State::Leader(_) => unreachable!("only campaigns count votes"),
        };
        votes.entry(from).or_insert(granted);
        match self.voters.tally(|id| votes.get(&id).copied()) {
            Tally::Pending => {}
            Tally::Lost => self.become_follower(self.term, NO_MEMBER),
            Tally::Won if pre => self.ask_votes(false),
            Tally::Won => self.become_leader(),
        }
    }

    pub(crate) fn become_follower(&mut self, term: Term, leader: MemberId) {
        self.enter_term(term);
        self.state = State::Follower { leader };
    }

    /// Begins `term`, or begins anew in it.
    fn enter_term(&mut self, term: Term) {
        assert!(term >= self.term, "terms never fall: {term} after {}", self.term);
        if term != self.term {
            self.term = term;
            self.vote = NO_MEMBER;
        }
        self.election_elapsed = 0;
        self.draw_election_limit();
    }

    pub(crate) fn draw_election_limit(&mut self) {
        let ticks = self.config.election_ticks;
        self.election_limit = ticks + self.chance.u32(0..ticks);
    }

    fn become_leader(&mut self) {
        self.enter_term(self.term);
        let last = self.tail.last_index();
        let mut progress: std::collections::BTreeMap<MemberId, Progress> =
            self.voters.member_ids().into_iter().map(|id| (id, self.new_progress(id, last + 1))).collect();
        if let Some(own) = progress.get_mut(&self.config.id) {
            own.acknowledge(self.tail.durable());
            own.recent_active = true;
        }
        self.state = State::Leader(Box::new(Leader {
            progress,
            reads: Reads::default(),
            transferee: NO_MEMBER,
            // Some entry of an earlier leader may be a change that is not applied yet; waiting for all is simple and rare.
            pending_change: last,
            uncommitted_bytes: 0,
            heartbeat_elapsed: 0,
            broadcast: true,
            tell_commits: false,
            owes_commits: false,
            heartbeat: false,
        }));
        let first = Entry { term: self.term, index: last + 1, ..Entry::default() };
        self.tail.extend([first]);
    }

    pub(crate) fn new_progress(&self, id: MemberId, next: crate::Index) -> Progress {
        let crate::Config { inflight_messages_max, inflight_bytes_max, .. } = self.config;
        Progress::new(next, self.voters.is_learner(id), inflight_messages_max, inflight_bytes_max)
    }

    fn tick_leader(&mut self) {
        if self.election_elapsed >= self.config.election_ticks {
            self.election_elapsed = 0;
            if self.config.check_quorum && !self.is_quorum_active() {
                self.become_follower(self.term, NO_MEMBER);
            }
            if let State::Leader(leader) = &mut self.state {
                // A transfer has one election timeout to succeed.
                leader.transferee = NO_MEMBER;
            }
        }
        let heartbeat_ticks = self.config.heartbeat_ticks;
        if let State::Leader(leader) = &mut self.state {
            leader.heartbeat_elapsed += 1;
            if leader.heartbeat_elapsed >= heartbeat_ticks {
                leader.heartbeat_elapsed = 0;
                leader.heartbeat = true;
            }
        }
    }

    /// Whether a quorum was heard since the last call; everyone starts from silence again.
    fn is_quorum_active(&mut self) -> bool {
        let State::Leader(leader) = &mut self.state else {
            return false;
        };
        let active = |id| leader.progress.get(&id).map(|peer| peer.recent_active);
        let heard = self.voters.tally(active) == Tally::Won;
        for (id, peer) in &mut leader.progress {
            peer.recent_active = *id == self.config.id;
        }
        heard
    }
}
