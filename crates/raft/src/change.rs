//! Membership changes: proposing one at a time, taking them into effect, leaving joint configurations.
//!
//! A change takes effect on each member when that member *applies* it, not when it is appended. What keeps that safe is
//! that no second change is proposed before the first is applied by the leader, and that nobody campaigns over a change
//! that is committed but not applied.

use bytes::Bytes;

use crate::role::{Leader, State};
use crate::{ChangeError, ConfChange, ConfState, Entry, EntryKind, Index, MemberId, NO_MEMBER, ProposeError, Raft};

/// An empty `raftpb.ConfChangeV2` as older members encode it: the transition field is present and zero.
const EMPTY_CHANGE: &[u8] = &[0x08, 0x00];

impl Raft {
    /// Proposes a membership change. While another one is not applied yet (or a joint configuration not left), an empty
    /// normal entry takes its place in the log, as in etcd.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was proposed then.
    pub fn propose_change(&mut self, kind: EntryKind, data: Bytes) -> Result<(), ProposeError> {
        assert!(kind.is_change(), "a normal entry is proposed by `propose`");
        self.offer(NO_MEMBER, vec![Entry { kind, data, ..Entry::default() }])
    }

    /// Whether a configuration could come out of this change now. The state machine asks before it accepts one.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn check_change(&self, change: &ConfChange) -> Result<(), ChangeError> {
        self.voters.changed(change).map(|_| ())
    }

    /// The Store has come to the next entry that carries a change: exactly one call for each, in order, and before
    /// [`Raft::applied`] for that entry. What the Store refused comes as [`ConfChange::refused`]. A change that no
    /// configuration can take ([`Raft::check_change`]) counts as refused, on every member alike.
    ///
    /// Returns the configuration in effect afterwards.
    pub fn apply_change(&mut self, change: ConfChange) -> ConfState {
        let index = self.owed_changes.pop_front().expect("every change applied was handed out as a committed entry");
        if index <= self.configured_at {
            // A snapshot that came later has told the configuration already.
            return self.voters.state();
        }
        self.configured_at = index;
        if let Ok(voters) = self.voters.changed(&change)
            && voters != self.voters
        {
            self.voters = voters;
            self.follow_configuration();
        }
        self.voters.state()
    }

    /// The leader's bookkeeping after the configuration has changed.
    fn follow_configuration(&mut self) {
        let last = self.tail.last_index();
        let members = self.voters.member_ids();
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        leader.progress.retain(|id, _| members.contains(id));
        for (id, peer) in &mut leader.progress {
            peer.learner = self.voters.is_learner(*id);
        }
        if !self.voters.is_voter(leader.transferee) {
            leader.transferee = NO_MEMBER;
        }
        let new: Vec<MemberId> = members.iter().copied().filter(|id| !leader.progress.contains_key(id)).collect();
        for id in new {
            let mut peer = self.new_progress(id, last);
            // Or the next quorum check would count it as silent before it had a chance to speak.
            peer.recent_active = true;
            if id == self.config.id {
                peer.acknowledge(self.tail.durable());
            }
            if let State::Leader(leader) = &mut self.state {
                leader.progress.insert(id, peer);
            }
        }
        self.advance_commit();
        self.confirm_reads(); // A smaller quorum may have answered already.
        if let State::Leader(leader) = &mut self.state {
            leader.broadcast = true; // New members need not wait for a heartbeat.
        }
    }

    /// Replaces changes that may not be made now by empty entries. Returns what [`Leader::pending_change`] will be when the
    /// entries are appended.
    pub(crate) fn vet_changes(&self, mut pending_change: Index, entries: &mut [Entry]) -> Index {
        for (entry, index) in entries.iter_mut().zip(self.tail.last_index() + 1..) {
            if !entry.kind.is_change() {
                continue;
            }
            let pending = pending_change > self.applied;
            let leaves = entry.kind == EntryKind::ConfChangeV2 && (entry.data.is_empty() || entry.data == EMPTY_CHANGE);
            if pending || leaves != self.voters.is_joint() {
                *entry = Entry::default();
            } else {
                pending_change = index;
            }
        }
        pending_change
    }

    /// A leader ends a joint configuration by itself once everything up to it is applied.
    pub(crate) fn leave_joint_if_due(&mut self) {
        let State::Leader(leader) = &self.state else {
            return;
        };
        let Leader { pending_change, .. } = **leader;
        if self.voters.auto_leave() && self.applied >= pending_change {
            let leave = Entry { kind: EntryKind::ConfChangeV2, ..Entry::default() };
            // Refused while leadership is being handed over; then the next leader does it.
            let _ = self.append_proposed(vec![leave]);
        }
    }
}
