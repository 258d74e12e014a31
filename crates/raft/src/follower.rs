//! What a member does on a leader's word: take entries, learn the commit, start anew from a snapshot.
//!
//! Acknowledgements are only formed here; they leave when what they say is durable.

use crate::role::State;
use crate::{Message, MessageKind, NO_MEMBER, Raft, Refused, Snapshot};

impl Raft {
    /// `App`, `Heartbeat` or `Snap` in this term: its sender leads.
    pub(crate) fn hear_leader(&mut self, message: Message) -> Result<(), Refused> {
        match &mut self.state {
            State::Follower { leader } => {
                assert!(*leader == NO_MEMBER || *leader == message.from, "a second leader is refused at the door");
                *leader = message.from;
                self.election_elapsed = 0;
            }
            State::PreCandidate { .. } | State::Candidate { .. } => self.become_follower(self.term, message.from),
            State::Leader(_) => unreachable!("another leader in this leader's own term is refused at the door"),
        }
        match message.kind {
            MessageKind::App => self.take_entries(message),
            MessageKind::Heartbeat => {
                self.commit_to(message.commit);
                let mut answer = Message::new(MessageKind::HeartbeatResp, message.from);
                answer.context = message.context;
                self.send(answer);
            }
            MessageKind::Snap => {
                let snapshot = message.snapshot.ok_or(Refused::Malformed)?;
                self.take_snapshot(message.from, snapshot);
            }
            other => unreachable!("{other:?} is not said by leaders"),
        }
        Ok(())
    }

    fn take_entries(&mut self, message: Message) {
        let mut answer = Message::new(MessageKind::AppResp, message.from);
        if message.index < self.commit {
            answer.index = self.commit;
            return self.send(answer);
        }
        if !self.tail.matches(message.index, message.log_term) {
            // Where may the logs agree? Not at a position whose term here is above the leader's term there.
            let (hint, term) = self.tail.conflict_hint(message.index.min(self.tail.last_index()), message.log_term);
            answer.index = message.index;
            answer.reject = true;
            answer.reject_hint = hint;
            answer.log_term = term;
            return self.send(answer);
        }
        let last_new = message.index + message.entries.len() as u64;
        let known = message.entries.iter().take_while(|entry| self.tail.matches(entry.index, entry.term)).count();
        if known < message.entries.len() {
            let from = message.index + known as u64 + 1;
            assert!(
                from > self.commit,
                "the leader replaces entry {from}, but everything up to {} is committed here",
                self.commit
            );
            if from <= self.tail.last_index() {
                self.tail.truncate(from);
                self.writes.cut_claims(from);
            }
            self.tail.extend(message.entries.into_iter().skip(known));
        }
        self.commit_to(message.commit.min(last_new));
        answer.index = last_new;
        self.send(answer);
    }

    fn take_snapshot(&mut self, from: crate::MemberId, snapshot: Snapshot) {
        let restored = self.restore(snapshot);
        let mut answer = Message::new(MessageKind::AppResp, from);
        answer.index = if restored { self.tail.last_index() } else { self.commit };
        self.send(answer);
    }

    /// Starts anew from a snapshot, unless it says nothing new. The Store gets it once its position is durable.
    fn restore(&mut self, snapshot: Snapshot) -> bool {
        let meta = &snapshot.meta;
        if meta.index <= self.commit {
            return false;
        }
        let voters = crate::voters::Voters::from_state(&meta.conf_state);
        if !voters.contains(self.config.id) {
            return false; // It was not meant for us.
        }
        if self.tail.matches(meta.index, meta.term) {
            // The entries are here already; knowing that they are committed is all that was missing.
            self.commit_to(meta.index);
            return false;
        }
        let committed_before = self.commit;
        self.writes.cut_claims(committed_before + 1);
        self.tail.restart((meta.index, meta.term), committed_before);
        self.commit = meta.index;
        self.voters = voters;
        self.configured_at = meta.index;
        self.restoring = meta.index;
        self.snapshot = Some((snapshot, None));
        true
    }
}
