//! Who belongs to the cluster, and how a change makes a new configuration out of the old one.
//!
//! ```text
//!   voters {1,2,3} ──simple──▶ voters {1,2,3,4}
//!        │
//!        └─enter─▶ joint: incoming {1,2,4} + outgoing {1,2,3} ─leave─▶ voters {1,2,4}
//! ```
//!
//! In a joint configuration every decision needs both majorities. A change is computed on values: either the whole new
//! configuration comes out, or an error and nothing has changed. Nothing here knows progress, roles or addresses.

use std::collections::BTreeSet;

use crate::quorum::{Tally, majority_index, majority_vote};
use crate::{ConfState, Index, MemberId};

/// What happens to one member. Numbers as in `raftpb.ConfChangeType`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ChangeKind {
    /// Becomes a voter; a learner is promoted.
    AddVoter = 0,
    /// Leaves.
    Remove = 1,
    /// Says something new about itself; the configuration stays as it is.
    Update = 2,
    /// Becomes a learner; a voter is demoted.
    AddLearner = 3,
}

impl TryFrom<i32> for ChangeKind {
    type Error = crate::UnknownNumber;

    fn try_from(number: i32) -> Result<Self, crate::UnknownNumber> {
        Ok(match number {
            0 => ChangeKind::AddVoter,
            1 => ChangeKind::Remove,
            2 => ChangeKind::Update,
            3 => ChangeKind::AddLearner,
            other => return Err(crate::UnknownNumber(other)),
        })
    }
}

/// How a change takes effect. Numbers as in `raftpb.ConfChangeTransition`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Transition {
    /// Simple when it is one change, otherwise joint and left automatically.
    #[default]
    Auto = 0,
    /// Joint, left automatically.
    JointImplicit = 1,
    /// Joint, left by an explicit empty change.
    JointExplicit = 2,
}

impl TryFrom<i32> for Transition {
    type Error = crate::UnknownNumber;

    fn try_from(number: i32) -> Result<Self, crate::UnknownNumber> {
        Ok(match number {
            0 => Transition::Auto,
            1 => Transition::JointImplicit,
            2 => Transition::JointExplicit,
            other => return Err(crate::UnknownNumber(other)),
        })
    }
}

/// A decoded configuration change, as a committed entry carries it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConfChange {
    /// How it takes effect.
    pub transition: Transition,
    /// What happens to whom, in order. Member 0 stands for nobody and is passed over.
    pub changes: Vec<(ChangeKind, MemberId)>,
}

impl ConfChange {
    /// One member changes.
    pub fn simple(kind: ChangeKind, id: MemberId) -> ConfChange {
        ConfChange { transition: Transition::Auto, changes: vec![(kind, id)] }
    }

    /// The joint configuration ends.
    pub fn leave_joint() -> ConfChange {
        ConfChange::default()
    }

    /// The entry is applied but the state machine refused it: the configuration stays as it is, also a joint one.
    pub fn refused() -> ConfChange {
        ConfChange::simple(ChangeKind::Update, crate::NO_MEMBER)
    }
}

/// Why no configuration can come out of a change. etcd panics at these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeError {
    /// A configuration without voters could never change again.
    NoVoters,
    /// A joint configuration must be left before anything else changes.
    AlreadyJoint,
}

impl std::fmt::Display for ChangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ChangeError::NoVoters => "the change would remove all voters",
            ChangeError::AlreadyJoint => "the configuration is already joint",
        })
    }
}

impl std::error::Error for ChangeError {}

/// A configuration. All lists are sorted and free of repetition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Voters {
    incoming: Vec<MemberId>,
    outgoing: Vec<MemberId>,
    learners: Vec<MemberId>,
    learners_next: Vec<MemberId>,
    auto_leave: bool,
}

impl Voters {
    pub(crate) fn from_state(state: &ConfState) -> Voters {
        let sorted = |ids: &[MemberId]| -> Vec<MemberId> {
            let set: BTreeSet<MemberId> = ids.iter().copied().collect();
            set.into_iter().collect()
        };
        Voters {
            incoming: sorted(&state.voters),
            outgoing: sorted(&state.voters_outgoing),
            learners: sorted(&state.learners),
            learners_next: sorted(&state.learners_next),
            auto_leave: state.auto_leave,
        }
    }

    /// Whether somebody's lists can be a configuration at all: what [`Voters::from_state`] and all changes after it rely on.
    pub(crate) fn is_sound(state: &ConfState) -> bool {
        let voters = Voters::from_state(state);
        let mut ids =
            voters.incoming.iter().chain(&voters.outgoing).chain(&voters.learners).chain(&voters.learners_next);
        !voters.incoming.is_empty() && ids.all(|id| *id != crate::NO_MEMBER) && voters.fault().is_none()
    }

    pub(crate) fn state(&self) -> ConfState {
        ConfState {
            voters: self.incoming.clone(),
            learners: self.learners.clone(),
            voters_outgoing: self.outgoing.clone(),
            learners_next: self.learners_next.clone(),
            auto_leave: self.auto_leave,
        }
    }

    /// Both majorities hold it. `None` when there are no voters at all.
    pub(crate) fn quorum_index(&self, held: impl Fn(MemberId) -> Index) -> Option<Index> {
        let incoming = majority_index(&self.incoming, &held);
        let outgoing = majority_index(&self.outgoing, &held);
        match (incoming, outgoing) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(crate) fn tally(&self, vote: impl Fn(MemberId) -> Option<bool>) -> Tally {
        match (majority_vote(&self.incoming, &vote), majority_vote(&self.outgoing, &vote)) {
            (Tally::Won, Tally::Won) => Tally::Won,
            (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
            _ => Tally::Pending,
        }
    }

    pub(crate) fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn auto_leave(&self) -> bool {
        self.auto_leave
    }

    pub(crate) fn is_voter(&self, id: MemberId) -> bool {
        has(&self.incoming, id) || has(&self.outgoing, id)
    }

    pub(crate) fn is_learner(&self, id: MemberId) -> bool {
        has(&self.learners, id)
    }

    pub(crate) fn contains(&self, id: MemberId) -> bool {
        self.is_voter(id) || self.is_learner(id)
    }

    /// Whether `id` alone decides everything.
    pub(crate) fn is_only_voter(&self, id: MemberId) -> bool {
        self.incoming == [id] && !self.is_joint()
    }

    /// Every voter once, in order of id.
    pub(crate) fn voter_ids(&self) -> BTreeSet<MemberId> {
        self.incoming.iter().chain(&self.outgoing).copied().collect()
    }

    /// Every member once, in order of id.
    pub(crate) fn member_ids(&self) -> BTreeSet<MemberId> {
        self.incoming.iter().chain(&self.outgoing).chain(&self.learners).copied().collect()
    }

    pub(crate) fn learner_ids(&self) -> &[MemberId] {
        &self.learners
    }

    /// The configuration after `change`.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub(crate) fn changed(&self, change: &ConfChange) -> Result<Voters, ChangeError> {
        let mut next = self.clone();
        if change.changes.is_empty() && change.transition == Transition::Auto {
            if self.is_joint() {
                next.leave();
            }
            return Ok(next);
        }
        let nothing = change.changes.iter().all(|(kind, id)| *kind == ChangeKind::Update || *id == crate::NO_MEMBER);
        let joint = change.transition != Transition::Auto || change.changes.len() > 1;
        if nothing && !joint {
            return Ok(next);
        }
        if self.is_joint() {
            return Err(ChangeError::AlreadyJoint);
        }
        if joint {
            if self.incoming.is_empty() {
                return Err(ChangeError::NoVoters);
            }
            next.outgoing = self.incoming.clone();
            next.auto_leave = change.transition != Transition::JointExplicit;
        }
        for (kind, id) in change.changes.iter().filter(|(_, id)| *id != crate::NO_MEMBER) {
            match kind {
                ChangeKind::AddVoter => next.make_voter(*id),
                ChangeKind::AddLearner => next.make_learner(*id),
                ChangeKind::Remove => next.remove(*id),
                ChangeKind::Update => {}
            }
        }
        if next.incoming.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        next.check();
        Ok(next)
    }

    fn make_voter(&mut self, id: MemberId) {
        drop_id(&mut self.learners, id);
        drop_id(&mut self.learners_next, id);
        add_id(&mut self.incoming, id);
    }

    /// A voter of the outgoing half stays one until the joint configuration is left.
    fn make_learner(&mut self, id: MemberId) {
        if self.is_learner(id) {
            return;
        }
        self.remove(id);
        if has(&self.outgoing, id) {
            add_id(&mut self.learners_next, id);
        } else {
            add_id(&mut self.learners, id);
        }
    }

    fn remove(&mut self, id: MemberId) {
        drop_id(&mut self.incoming, id);
        drop_id(&mut self.learners, id);
        drop_id(&mut self.learners_next, id);
    }

    fn leave(&mut self) {
        for id in std::mem::take(&mut self.learners_next) {
            add_id(&mut self.learners, id);
        }
        self.outgoing.clear();
        self.auto_leave = false;
        self.check();
    }

    fn check(&self) {
        assert_eq!(self.fault(), None, "{self:?}");
    }

    fn fault(&self) -> Option<&'static str> {
        if self.learners.iter().any(|id| self.is_voter(*id)) {
            return Some("a member is a voter and a learner at once");
        }
        if self.learners_next.iter().any(|id| !has(&self.outgoing, *id)) {
            return Some("a member becomes a learner without leaving the voters");
        }
        if !self.is_joint() && (!self.learners_next.is_empty() || self.auto_leave) {
            return Some("leftovers of a joint configuration");
        }
        None
    }
}

fn has(ids: &[MemberId], id: MemberId) -> bool {
    ids.binary_search(&id).is_ok()
}

fn add_id(ids: &mut Vec<MemberId>, id: MemberId) {
    if let Err(at) = ids.binary_search(&id) {
        ids.insert(at, id);
    }
}

fn drop_id(ids: &mut Vec<MemberId>, id: MemberId) {
    if let Ok(at) = ids.binary_search(&id) {
        ids.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::ChangeKind::*;
    use super::*;

    fn voters(ids: &[MemberId]) -> Voters {
        Voters::from_state(&ConfState { voters: ids.to_vec(), ..ConfState::default() })
    }

    fn simple(from: &Voters, kind: ChangeKind, id: MemberId) -> Voters {
        from.changed(&ConfChange::simple(kind, id)).unwrap()
    }

    #[test]
    fn simple_changes() {
        let empty = Voters::default();
        let one = simple(&empty, AddVoter, 1);
        assert_eq!(one, voters(&[1]));
        let learner = simple(&one, AddLearner, 2);
        assert_eq!(learner.learner_ids(), [2]);
        assert_eq!(simple(&learner, Update, 2), learner, "an update changes no standing");
        let promoted = simple(&learner, AddVoter, 2);
        assert_eq!(promoted, voters(&[1, 2]));
        let demoted = simple(&promoted, AddLearner, 2);
        assert_eq!(demoted, learner);
        assert_eq!(simple(&promoted, Remove, 1), voters(&[2]));
        assert_eq!(simple(&promoted, Remove, 9), promoted);
        assert_eq!(one.changed(&ConfChange::simple(Remove, 1)), Err(ChangeError::NoVoters));
        assert_eq!(one.changed(&ConfChange::refused()), Ok(one.clone()));
        assert_eq!(one.changed(&ConfChange::leave_joint()), Ok(one.clone()));
    }

    #[test]
    fn joint_changes() {
        let start = voters(&[1, 2, 3]);
        let change =
            ConfChange { transition: Transition::Auto, changes: vec![(AddVoter, 4), (Remove, 3), (AddLearner, 2)] };
        let joint = start.changed(&change).unwrap();
        let state = joint.state();
        assert_eq!(state.voters, [1, 4]);
        assert_eq!(state.voters_outgoing, [1, 2, 3]);
        assert_eq!(state.learners_next, [2]);
        assert!(state.auto_leave && joint.is_joint());
        assert_eq!(Voters::from_state(&state), joint);
        assert_eq!(joint.changed(&ConfChange::simple(AddVoter, 5)), Err(ChangeError::AlreadyJoint));
        assert_eq!(joint.changed(&ConfChange::refused()), Ok(joint.clone()));
        let left = joint.changed(&ConfChange::leave_joint()).unwrap().state();
        assert_eq!((left.voters, left.learners), (vec![1, 4], vec![2]));
        assert!(left.voters_outgoing.is_empty() && !left.auto_leave);
    }

    #[test]
    fn joint_needs_both_majorities() {
        let change = ConfChange { transition: Transition::JointExplicit, changes: vec![(AddVoter, 4), (AddVoter, 5)] };
        let joint = voters(&[1, 2, 3]).changed(&change).unwrap();
        assert!(!joint.auto_leave());
        // Outgoing 1,2,3 holds 7 by two of three; incoming 1..5 needs three.
        let held = |id| if id <= 2 { 7 } else { 3 };
        assert_eq!(joint.quorum_index(held), Some(3));
        assert_eq!(joint.tally(|id| (id <= 2).then_some(true)), Tally::Pending);
        assert_eq!(joint.tally(|id| (id == 1 || id > 3).then_some(true)), Tally::Pending);
        assert_eq!(joint.tally(|id| Some(id <= 2 || id == 5)), Tally::Won);
        assert_eq!(joint.tally(|id| (id <= 2).then_some(false)), Tally::Lost);
    }

    #[test]
    fn standing() {
        let start = voters(&[1, 2]);
        assert_eq!(simple(&start, AddVoter, 2), start);
        assert_eq!(Voters::default().quorum_index(|_| 1), None);
        assert!(start.is_voter(1) && !start.is_only_voter(1) && voters(&[1]).is_only_voter(1));
    }
}
