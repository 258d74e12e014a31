//! Who belongs to the cluster: members, ids that never come back, cluster version,
//! downgrade, and raft's own configuration beside them.
//!
//! ```text
//!   ConfChange entry ── Command::decode ──▶ Command ── Roster::apply ──▶ Change → raft
//!                          │ malformed                     │
//!                          ▼ a fault: stop                 ▼ Refusal: raft makes no change
//! ```
//!
//! A change is checked again when it is applied, against the roster at that place
//! of the log, because two changes may have been proposed side by side. The rules
//! are etcd's (`RaftCluster.ValidateConfigurationChange`), so that every member of
//! a mixed cluster refuses the same changes.
//!
//! There is one truth: learner or voter, a member is what the last applied change
//! made it. An update changes peer URLs only. This module never looks at who is
//! connected; those checks come before the proposal.

pub mod identity;
mod json;
pub mod legacy;

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use proto::etcdserverpb;
use proto::raftpb::{self, ConfState};

use crate::ids::{MemberId, RequestId};
use crate::refusal::Refusal;

pub use json::{
    Malformed, conf_state_from_json, conf_state_to_json, downgrade_from_json, downgrade_to_json, member_from_json,
    member_to_json,
};

/// One member as the cluster knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// See [`identity::member_id`]; never used twice in a cluster.
    pub id: MemberId,
    /// Where the others reach it.
    pub peer_urls: Vec<String>,
    /// Receives the log but does not vote.
    pub is_learner: bool,
    /// Empty until the member has started and published it.
    pub name: String,
    /// Where clients reach it; empty until published.
    pub client_urls: Vec<String>,
}

impl From<&Member> for etcdserverpb::Member {
    fn from(member: &Member) -> Self {
        etcdserverpb::Member {
            id: member.id,
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            is_learner: member.is_learner,
        }
    }
}

/// A downgrade that an operator has begun, or ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downgrade {
    /// The version to go down to, as `X.Y.Z`; empty when cancelled.
    pub target_version: String,
    /// Whether it is under way.
    pub enabled: bool,
}

/// What a change of the configuration does, in raft's eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new voter, or a learner that is promoted.
    AddVoter,
    /// A new learner.
    AddLearner,
    /// Out, and the id never comes back.
    Remove,
    /// New peer URLs. Raft's configuration stays as it is.
    Update,
}

/// A change that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub kind: ChangeKind,
    /// To whom.
    pub id: MemberId,
}

/// A change of the configuration as its log entry carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who waits for the answer.
    pub request: RequestId,
    /// What is to be done.
    pub kind: ChangeKind,
    /// To whom.
    pub id: MemberId,
    /// The member in the entry's JSON; nothing but the id for a removal.
    pub member: Member,
    /// A learner is to become a voter, nothing is added.
    pub promote: bool,
}

impl Command {
    /// Reads the data of an entry of type ConfChange.
    pub fn decode(data: &[u8]) -> Result<Command, Malformed> {
        let change = raftpb::ConfChange::decode(data).map_err(|error| Malformed::new("configuration change", error))?;
        Self::from_parts(change.id, change.r#type, change.node_id, &change.context)
    }

    /// Reads the data of an entry of type ConfChangeV2.
    ///
    /// etcd never writes one and stops when it meets one. Here one with a single
    /// change is the same as its older form; anything joint is malformed.
    pub fn decode_v2(data: &[u8]) -> Result<Command, Malformed> {
        let change =
            raftpb::ConfChangeV2::decode(data).map_err(|error| Malformed::new("configuration change", error))?;
        match change.changes.as_slice() {
            [one] => Self::from_parts(0, one.r#type, one.node_id, &change.context),
            many => {
                Err(Malformed::new("configuration change", format!("{} changes at once are not supported", many.len())))
            }
        }
    }

    fn from_parts(request: RequestId, change_type: i32, id: MemberId, context: &[u8]) -> Result<Command, Malformed> {
        use raftpb::ConfChangeType::*;
        let kind = match raftpb::ConfChangeType::try_from(change_type) {
            Ok(ConfChangeAddNode) => ChangeKind::AddVoter,
            Ok(ConfChangeAddLearnerNode) => ChangeKind::AddLearner,
            Ok(ConfChangeRemoveNode) => ChangeKind::Remove,
            Ok(ConfChangeUpdateNode) => ChangeKind::Update,
            Err(error) => return Err(Malformed::new("configuration change", error)),
        };
        if kind == ChangeKind::Remove {
            let member = Member { id, ..Member::default() };
            return Ok(Command { request, kind, id, member, promote: false });
        }
        let (member, promote) = json::change_from_json(context)?;
        if member.id != id {
            let what = format!("is for {id:x} but carries member {:x}", member.id);
            return Err(Malformed::new("configuration change", what));
        }
        Ok(Command { request, kind, id, member, promote })
    }
}

/// The cluster's members and what else is decided about the cluster as a whole.
///
/// Small and seldom changed: share it behind an `Arc`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    members: BTreeMap<MemberId, Member>,
    removed: BTreeSet<MemberId>,
    cluster_version: Option<String>,
    downgrade: Option<Downgrade>,
    conf_state: ConfState,
}

impl Roster {
    /// A roster as a snapshot holds it.
    pub fn restore(
        members: impl IntoIterator<Item = Member>,
        removed: impl IntoIterator<Item = MemberId>,
        cluster_version: Option<String>,
        downgrade: Option<Downgrade>,
        conf_state: ConfState,
    ) -> Roster {
        Roster {
            members: members.into_iter().map(|member| (member.id, member)).collect(),
            removed: removed.into_iter().collect(),
            cluster_version,
            downgrade,
            conf_state,
        }
    }

    /// All members, by ascending id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// All members as clients are told.
    pub fn to_wire(&self) -> Vec<etcdserverpb::Member> {
        self.members().map(Into::into).collect()
    }

    /// A member by id.
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Ids that were removed and can never come back, ascending.
    pub fn removed(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.removed.iter().copied()
    }

    /// Whether a member was removed for ever.
    pub fn is_removed(&self, id: MemberId) -> bool {
        self.removed.contains(&id)
    }

    /// The lowest version of the members that all agreed on, as `X.Y.0`.
    pub fn cluster_version(&self) -> Option<&str> {
        self.cluster_version.as_deref()
    }

    /// The last downgrade begun or cancelled.
    pub fn downgrade(&self) -> Option<&Downgrade> {
        self.downgrade.as_ref()
    }

    /// Raft's configuration after the changes applied so far; lists are ascending.
    pub fn conf_state(&self) -> &ConfState {
        &self.conf_state
    }

    /// What an apply would refuse. Changes nothing.
    pub fn check(&self, command: &Command, learners_max: usize) -> Result<(), Refusal> {
        if self.is_removed(command.id) {
            return Err(Refusal::MemberNotFound);
        }
        let member = self.get(command.id);
        match command.kind {
            ChangeKind::AddVoter | ChangeKind::AddLearner if command.promote => {
                match member.ok_or(Refusal::MemberNotFound)?.is_learner {
                    true => Ok(()),
                    false => Err(Refusal::MemberNotLearner),
                }
            }
            ChangeKind::AddVoter | ChangeKind::AddLearner => {
                if member.is_some() {
                    return Err(Refusal::MemberExist);
                }
                self.check_peer_urls(command)?;
                let learners = self.members().filter(|member| member.is_learner).count();
                match command.member.is_learner && learners >= learners_max {
                    true => Err(Refusal::TooManyLearners),
                    false => Ok(()),
                }
            }
            ChangeKind::Remove => member.map(|_| ()).ok_or(Refusal::MemberNotFound),
            ChangeKind::Update => {
                member.ok_or(Refusal::MemberNotFound)?;
                self.check_peer_urls(command)
            }
        }
    }

    /// No other member has one of the command's peer URLs, letter by letter.
    fn check_peer_urls(&self, command: &Command) -> Result<(), Refusal> {
        let others = self.members().filter(|member| member.id != command.id);
        let taken: BTreeSet<&String> = others.flat_map(|member| &member.peer_urls).collect();
        match command.member.peer_urls.iter().any(|url| taken.contains(url)) {
            true => Err(Refusal::PeerUrlExist),
            false => Ok(()),
        }
    }

    /// Applies a change. After a refusal nothing has changed, and raft must be told
    /// to apply no change.
    pub fn apply(&mut self, command: &Command, learners_max: usize) -> Result<Change, Refusal> {
        self.check(command, learners_max)?;
        let Command { kind, id, member, .. } = command;
        match kind {
            ChangeKind::AddVoter | ChangeKind::AddLearner => match self.members.get_mut(id) {
                Some(learner) => {
                    assert!(command.promote, "check accepts a known id for a promotion only");
                    learner.is_learner = false;
                }
                None => {
                    self.members.insert(*id, member.clone());
                }
            },
            ChangeKind::Remove => {
                self.members.remove(id);
                self.removed.insert(*id);
            }
            ChangeKind::Update => {
                let known = self.members.get_mut(id).expect("check accepts a known id only");
                known.peer_urls.clone_from(&member.peer_urls);
            }
        }
        self.reconfigure(*kind, *id);
        Ok(Change { kind: *kind, id: *id })
    }

    /// Follows raft's simple changes.
    fn reconfigure(&mut self, kind: ChangeKind, id: MemberId) {
        let ConfState { voters, learners, .. } = &mut self.conf_state;
        let leave = |list: &mut Vec<u64>| list.retain(|&other| other != id);
        let enter = |list: &mut Vec<u64>| {
            if let Err(at) = list.binary_search(&id) {
                list.insert(at, id);
            }
        };
        match kind {
            ChangeKind::AddVoter => {
                leave(learners);
                enter(voters);
            }
            ChangeKind::AddLearner => {
                leave(voters);
                enter(learners);
            }
            ChangeKind::Remove => {
                leave(voters);
                leave(learners);
            }
            ChangeKind::Update => {}
        }
    }

    /// Sets what a member says about itself. `false` for an unknown or removed
    /// member, where it does nothing.
    pub fn set_attributes(&mut self, id: MemberId, name: String, client_urls: Vec<String>) -> bool {
        match self.members.get_mut(&id) {
            Some(member) => {
                member.name = name;
                member.client_urls = client_urls;
                true
            }
            None => false,
        }
    }

    /// Sets the cluster version, as `X.Y.Z`.
    pub fn set_cluster_version(&mut self, version: String) {
        self.cluster_version = Some(version);
    }

    /// Begins or ends a downgrade.
    pub fn set_downgrade(&mut self, downgrade: Downgrade) {
        self.downgrade = Some(downgrade);
    }

    /// Takes over raft's configuration from a snapshot's metadata.
    pub fn set_conf_state(&mut self, conf_state: ConfState) {
        self.conf_state = conf_state;
    }
}

#[cfg(test)]
mod tests;
