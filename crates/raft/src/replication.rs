//! The leader's work: append what is proposed, bring it to everyone, and see what a quorum holds.
//!
//! Sending is put off until the next output ([`Raft::take`] flushes): many proposals and acknowledgements that came in
//! between become one message for each peer. Answers that ask for something particular (a rejected probe, a heartbeat of a
//! peer that lags) are acted on at once, as in etcd.

use crate::progress::Stream;
use crate::read::ReadRequest;
use crate::role::{Leader, State};
use crate::step::context_entry;
use crate::{
    DropReason, Entry, Index, MemberId, Message, MessageKind, NO_MEMBER, Raft, ReadReady, Snapshot, SnapshotMeta,
};

impl Raft {
    /// Appends proposals of any kind to the leader's own log.
    pub(crate) fn append_proposed(&mut self, mut entries: Vec<Entry>) -> Result<(), DropReason> {
        let State::Leader(leader) = &self.state else {
            unreachable!("only a leader appends proposals");
        };
        if !self.voters.is_voter(self.config.id) {
            // It only finishes what it has begun. More entries here than at the voters could stop them from electing.
            return Err(DropReason::Removed);
        }
        if leader.transferee != NO_MEMBER {
            return Err(DropReason::Transferring);
        }
        let pending_change = self.vet_changes(leader.pending_change, &mut entries);
        let bytes: usize = entries.iter().map(|entry| entry.data.len()).sum();
        let waiting = leader.uncommitted_bytes;
        // Empty entries always pass: a leader's first one, and the end of a joint configuration.
        if waiting > 0 && bytes > 0 && waiting.saturating_add(bytes) > self.config.uncommitted_bytes_max {
            return Err(DropReason::TooMuchUncommitted);
        }
        let first = self.tail.last_index() + 1;
        for (entry, index) in entries.iter_mut().zip(first..) {
            entry.term = self.term;
            entry.index = index;
        }
        self.tail.extend(entries);
        if let State::Leader(leader) = &mut self.state {
            leader.pending_change = pending_change;
            leader.uncommitted_bytes = waiting.saturating_add(bytes);
            leader.broadcast = true;
        }
        Ok(())
    }

    /// The Store has applied entries after `after` up to `to`.
    pub(crate) fn free_uncommitted(&mut self, after: Index, to: Index) {
        if let State::Leader(leader) = &mut self.state
            && leader.uncommitted_bytes > 0
        {
            let bytes = self.tail.payload(after, to, self.term);
            leader.uncommitted_bytes = leader.uncommitted_bytes.saturating_sub(bytes);
        }
    }

    pub(crate) fn wants_flush(&self) -> bool {
        matches!(&self.state, State::Leader(leader) if leader.broadcast || leader.heartbeat)
    }

    /// Forms the messages that were put off.
    pub(crate) fn flush(&mut self) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let broadcast = std::mem::take(&mut leader.broadcast);
        let heartbeat = std::mem::take(&mut leader.heartbeat);
        if !broadcast && !heartbeat {
            return;
        }
        leader.owes_commits &= !broadcast;
        let peers: Vec<MemberId> = leader.progress.keys().copied().filter(|id| *id != self.config.id).collect();
        for to in peers {
            if broadcast {
                self.stream_to(to);
            }
            if heartbeat {
                self.send_heartbeat(to);
            }
        }
        if let State::Leader(leader) = &mut self.state {
            leader.tell_commits &= !broadcast;
        }
    }

    /// Whether a commit was put off, see [`crate::Config::lazy_commits`].
    pub fn owes_commits(&self) -> bool {
        matches!(&self.state, State::Leader(leader) if leader.owes_commits)
    }

    /// Commits that were put off go with the next output.
    pub fn tell_commits(&mut self) {
        if let State::Leader(leader) = &mut self.state
            && leader.owes_commits
        {
            leader.tell_commits = true;
            leader.broadcast = true;
        }
    }

    /// Sends what there is and what limits allow; if only the commit is news, that.
    fn stream_to(&mut self, to: MemberId) {
        while self.send_append(to, false) {}
        let commit = self.commit;
        let lazy = self.config.lazy_commits && self.tail.durable() >= commit;
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(peer) = leader.progress.get(&to).filter(|peer| peer.can_bump_commit(commit)) else {
            return;
        };
        if lazy && !leader.tell_commits && !peer.waits_for_commit() {
            leader.owes_commits = true;
        } else {
            self.send_append(to, true);
        }
    }

    /// One append message (or a snapshot in its place), if the peer may be sent one. Whether entries went out.
    fn send_append(&mut self, to: MemberId, even_if_empty: bool) -> bool {
        let State::Leader(leader) = &mut self.state else {
            return false;
        };
        let Some(peer) = leader.progress.get_mut(&to) else {
            return false;
        };
        if peer.is_paused() {
            return false;
        }
        let before = peer.next - 1;
        let Some(log_term) = self.tail.term(before) else {
            self.send_snapshot(to);
            return false;
        };
        let entries = match peer.takes_entries() {
            true => self.tail.batch(peer.next, self.config.message_bytes_max),
            false => Vec::new(),
        };
        if entries.is_empty() && !even_if_empty {
            return false;
        }
        let bytes = entries.iter().map(|entry| entry.data.len()).sum();
        let has_entries = !entries.is_empty();
        peer.sent(entries.len(), bytes, self.commit);
        let mut message = Message::new(MessageKind::App, to);
        message.index = before;
        message.log_term = log_term;
        message.entries = entries;
        message.commit = self.commit;
        self.send(message);
        has_entries
    }

    /// The peer needs entries that are gone. Whoever was not heard lately gets nothing: making a snapshot is dear.
    fn send_snapshot(&mut self, to: MemberId) {
        let index = self.applied.max(self.configured_at);
        let term = self.tail.term(index).expect("the last applied entry's term is in memory");
        let conf_state = self.voters.state();
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(peer) = leader.progress.get_mut(&to).filter(|peer| peer.recent_active) else {
            return;
        };
        peer.become_snapshot(index);
        let mut message = Message::new(MessageKind::Snap, to);
        message.snapshot = Some(Snapshot { meta: SnapshotMeta { index, term, conf_state }, data: bytes::Bytes::new() });
        self.send(message);
    }

    fn send_heartbeat(&mut self, to: MemberId) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(peer) = leader.progress.get_mut(&to) else {
            return;
        };
        let commit = peer.matched.min(self.commit);
        peer.told_commit(commit);
        let mut message = Message::new(MessageKind::Heartbeat, to);
        message.commit = commit;
        message.context = leader.reads.heartbeat_context();
        self.send(message);
    }

    /// A follower has taken entries, or could not.
    pub(crate) fn hear_append_answer(&mut self, message: &Message) {
        let from = message.from;
        let last = self.tail.last_index();
        let first = self.tail.first();
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(peer) = leader.progress.get_mut(&from) else {
            return;
        };
        peer.recent_active = true;
        if message.reject {
            // The follower says: at the hint my term is such. Anything here with a higher term cannot be there.
            let mut hint = message.reject_hint;
            if message.log_term > 0 {
                (hint, _) = self.tail.conflict_hint(hint, message.log_term);
            }
            if peer.step_back(message.index, hint) {
                if peer.stream == Stream::Replicate {
                    peer.become_probe();
                }
                self.send_append(from, true);
            }
            return;
        }
        assert!(message.index <= last, "an acknowledgement of more than there is, is refused at the door");
        let recovers = peer.matched == message.index && peer.stream == Stream::Probe;
        if !peer.acknowledge(message.index) && !recovers {
            return;
        }
        match peer.stream {
            Stream::Probe => peer.become_replicate(),
            Stream::Snapshot { .. } if peer.matched + 1 >= first => {
                // Whatever was installed there: what follows is here.
                peer.become_probe();
                peer.become_replicate();
            }
            Stream::Snapshot { .. } => {}
            Stream::Replicate => peer.free_in_flight(message.index),
        }
        let caught_up = peer.matched == last;
        let transferee = leader.transferee;
        // Whatever more may be sent to this peer now goes with the next output, as does a higher commit to everyone.
        leader.broadcast = true;
        self.advance_commit();
        if transferee == from && caught_up {
            self.send(Message::new(MessageKind::TimeoutNow, from));
        }
    }

    pub(crate) fn hear_heartbeat_answer(&mut self, message: &Message) {
        let from = message.from;
        let last = self.tail.last_index();
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(peer) = leader.progress.get_mut(&from) else {
            return;
        };
        peer.recent_active = true;
        peer.resume();
        // Also when all that was in flight is lost, and when a probe of a peer that lacks nothing went unanswered.
        let lags = peer.matched < last || peer.stream == Stream::Probe;
        if !message.context.is_empty() {
            leader.reads.answered(from, &message.context);
            self.confirm_reads();
        }
        if lags {
            self.send_append(from, true);
        }
    }

    /// The leader's own copy counts as far as it is durable.
    pub(crate) fn count_own_copy(&mut self) {
        let durable = self.tail.durable();
        if let State::Leader(leader) = &mut self.state
            && let Some(own) = leader.progress.get_mut(&self.config.id)
            && own.acknowledge(durable)
        {
            self.advance_commit();
        }
    }

    /// Commits what a quorum holds, if it is of this term: older entries are only committed along with it.
    pub(crate) fn advance_commit(&mut self) -> bool {
        let State::Leader(leader) = &mut self.state else {
            return false;
        };
        let held = |id| leader.progress.get(&id).map_or(0, |peer| peer.matched);
        let Some(index) = self.voters.quorum_index(held) else {
            return false;
        };
        if index <= self.commit || !self.tail.matches(index, self.term) {
            return false;
        }
        leader.broadcast = true;
        let held_reads = leader.reads.take_held();
        self.commit_to(index);
        for request in held_reads {
            self.begin_read(request);
        }
        true
    }

    /// A read arrives at the leader.
    pub(crate) fn lead_read(&mut self, request: ReadRequest) -> Result<(), DropReason> {
        let knows_commit = self.tail.matches(self.commit, self.term);
        let State::Leader(leader) = &mut self.state else {
            unreachable!("only a leader answers reads");
        };
        if leader.reads.is_full() {
            return Err(DropReason::TooManyReads);
        }
        match knows_commit {
            true => self.begin_read(request),
            false => leader.reads.hold(request),
        }
        Ok(())
    }

    /// Binds the read to the present commit and asks everyone whether this member still leads.
    fn begin_read(&mut self, request: ReadRequest) {
        if self.voters.is_only_voter(self.config.id) {
            return self.answer_read(request, self.commit);
        }
        let commit = self.commit;
        if let State::Leader(leader) = &mut self.state {
            leader.reads.add(request, commit);
            leader.heartbeat = true;
        }
    }

    /// Answers the reads that a quorum has confirmed.
    pub(crate) fn confirm_reads(&mut self) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        for (request, index) in leader.reads.confirm(self.config.id, &self.voters) {
            self.answer_read(request, index);
        }
    }

    fn answer_read(&mut self, request: ReadRequest, index: Index) {
        if request.from == self.config.id {
            self.reads.push(ReadReady { index, context: request.context });
            return;
        }
        let mut message = Message::new(MessageKind::ReadIndexResp, request.from);
        message.index = index;
        message.entries = vec![context_entry(request.context)];
        self.send(message);
    }

    /// Hands leadership to `to`. A follower asks its leader to do so. Proposals are dropped until it has happened or an
    /// election timeout has passed. Learners, strangers and this leader itself are passed over silently, as in etcd.
    pub fn transfer_leader(&mut self, to: MemberId) {
        let last = self.tail.last_index();
        let leader = match &mut self.state {
            State::Leader(leader) => leader,
            State::Follower { leader } if *leader != NO_MEMBER && to != NO_MEMBER => {
                let mut message = Message::new(MessageKind::TransferLeader, *leader);
                message.from = to;
                return self.send(message);
            }
            _ => return,
        };
        let Leader { progress, transferee, .. } = &mut **leader;
        let Some(peer) = progress.get(&to).filter(|peer| !peer.learner) else {
            return;
        };
        if *transferee == to {
            return;
        }
        *transferee = NO_MEMBER;
        if to == self.config.id {
            return;
        }
        *transferee = to;
        self.election_elapsed = 0;
        if peer.matched == last {
            self.send(Message::new(MessageKind::TimeoutNow, to));
        } else {
            self.send_append(to, true);
        }
    }

    /// The driver could not reach a peer: what was sent ahead is probably lost.
    pub fn report_unreachable(&mut self, id: MemberId) {
        if let State::Leader(leader) = &mut self.state
            && let Some(peer) = leader.progress.get_mut(&id)
            && peer.stream == Stream::Replicate
        {
            peer.become_probe();
        }
    }

    /// Sending a snapshot to a peer has ended.
    pub fn report_snapshot(&mut self, id: MemberId, ok: bool) {
        if let State::Leader(leader) = &mut self.state
            && let Some(peer) = leader.progress.get_mut(&id)
            && matches!(peer.stream, Stream::Snapshot { .. })
        {
            peer.snapshot_ended(ok);
        }
    }
}
