//! The operator: replaces members whose disk is lost, adds those that join,
//! promotes those that have caught up, and raises alarms. One change at a time,
//! proposed to the leader, as a person with `etcdctl` would.

use super::{Event, Micros, SECOND, World};
use crate::ledger::TroubleId;
use crate::mutant::Mutant;
use disk::{SimDisk, SimFaults};
use member::core::Input;
use prost::Message as _;
use proto::etcdserverpb::{AlarmRequest, InternalRaftRequest};
use proto::raftpb::{ConfChange, ConfChangeType};
use store::AlarmKind;

/// How often the operator looks.
const LOOK: Micros = SECOND / 2;

/// Entries that a learner may be behind when it is promoted.
const CAUGHT_UP: u64 = 20;

impl World {
    pub(super) fn operate(&mut self) {
        self.at(self.now + LOOK, Event::Operate);
        let Some(leader) = self.leader() else { return };
        let Some((kind, id, promote)) = self.next_change(leader) else { return };
        let member = self.slots[leader].alive.as_mut().expect("a leader lives");
        let learner = kind == ConfChangeType::ConfChangeAddLearnerNode;
        let context = match kind {
            ConfChangeType::ConfChangeRemoveNode => String::new(),
            _ => {
                format!(r#"{{"id":{id},"peerURLs":["http://{id:x}:1"],"isLearner":{},"isPromote":{promote}}}"#, learner)
            }
        };
        let request = member.ids.next_id();
        let change = ConfChange { id: request, r#type: kind.into(), node_id: id, context: context.into() };
        let data = change.encode_to_vec().into();
        member.core.step(Input::ProposeChange(request, raft::EntryKind::ConfChange, data));
        self.trace.note(self.now, [11, leader as u64, id], || format!("the operator asks m{leader}: {change:?}"));
        self.settle(leader);
    }

    /// What is to change next in the roster that a leader knows.
    pub(super) fn next_change(&self, leader: usize) -> Option<(ConfChangeType, u64, bool)> {
        let member = self.slots[leader].alive.as_ref()?;
        let view = member.view();
        let roster = view.roster();
        let wanted = |id: u64| self.slots.iter().any(|slot| slot.id == id);
        if let Some(gone) = roster.members().find(|known| !wanted(known.id)) {
            return Some((ConfChangeType::ConfChangeRemoveNode, gone.id, false));
        }
        let status = member.core.raft_status();
        let ready = |id: u64| status.peers.get(&id).is_some_and(|peer| peer.matched + CAUGHT_UP >= status.commit);
        let learns = |slot: &&super::Slot| roster.get(slot.id).is_some_and(|known| known.is_learner);
        if let Some(promoted) = self.slots.iter().filter(learns).find(|slot| !slot.learner) {
            let due = ready(promoted.id) || self.calm;
            return due.then_some((ConfChangeType::ConfChangeAddNode, promoted.id, true));
        }
        let new = self.slots.iter().find(|slot| roster.get(slot.id).is_none())?;
        // A cluster has one learner at most: beside one that stays, others join as voters.
        let room = self.slots.iter().filter(learns).count() == 0;
        let kind = match room {
            true => ConfChangeType::ConfChangeAddLearnerNode,
            false => ConfChangeType::ConfChangeAddNode,
        };
        Some((kind, new.id, false))
    }

    /// Whether the copies that are left without this one are enough: a member
    /// may go only while all are as the operator wants them. Beyond that nobody asks.
    pub(super) fn can_spare(&self, slot: usize) -> bool {
        if self.beyond {
            return self.slots[slot].alive.is_some();
        }
        let whole = self.slots.iter().all(|place| place.rotten.is_none());
        let settled = self.leader().is_some_and(|leader| leader != slot || self.slots.len() > 3)
            && self.slots.iter().filter_map(|place| place.alive.as_ref()).all(|member| {
                let view = member.view();
                let roster = view.roster();
                roster.members().len() == self.slots.len()
                    && self
                        .slots
                        .iter()
                        .all(|place| roster.get(place.id).is_some_and(|known| known.is_learner == place.learner))
            });
        let voters = self.slots.iter().filter(|place| !place.learner).count();
        whole && settled && voters >= 3 && self.slots[slot].alive.is_some()
    }

    /// A new member with an empty disk takes a place.
    pub(super) fn replace(&mut self, slot: usize) {
        let id = self.chances.births.u64(1..=u64::MAX);
        let disk = SimDisk::new(self.chances.births.u64(..), SimFaults::default());
        let place = &mut self.slots[slot];
        if self.habits.mutant == Some(Mutant::ComesBackEmpty) {
            (place.disk, place.joins) = (disk, false);
            return;
        }
        (place.id, place.disk, place.joins) = (id, disk, true);
        self.record.counts.replaced += 1;
    }

    /// Raises the NOSPACE alarm of a member, or takes it back.
    pub(super) fn alarm(&mut self, slot: usize, on: bool, by: TroubleId) {
        let member_id = self.slots[slot].id;
        let changes = self.slots[slot].alive.as_ref().is_some_and(|member| {
            member.view().alarms().list(AlarmKind::NO_SPACE).iter().any(|active| active.member == member_id) != on
        });
        let alarm = AlarmRequest { action: if on { 1 } else { 2 }, member_id, alarm: AlarmKind::NO_SPACE.0 };
        let request = InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() };
        if let Some(id) = self.propose(slot, request).filter(|_| changes) {
            self.alarms_asked.push((id, self.now, by));
        }
    }

    /// A link comes or goes, and so on.
    pub(super) fn flap(&mut self, from: usize, to: usize, left: u32, by: TroubleId) {
        if self.calm || left == 0 {
            self.net.join(from, to);
            return self.net.join(to, from);
        }
        if left.is_multiple_of(2) {
            self.net.cut(from, to, by);
            self.net.cut(to, from, by);
        } else {
            self.net.join(from, to);
            self.net.join(to, from);
        }
        let wait = self.chances.faults.u64(20_000..600_000);
        self.at(self.now + wait, Event::Flap(from, to, left - 1, by));
    }

    /// Connections between two members break in the middle of a message: what
    /// has been sent and has not come does not come.
    pub(super) fn reset(&mut self, from: usize, to: usize, by: TroubleId) {
        let ids = (self.slots[from].id, self.slots[to].id);
        let torn = self.habits.mutant == Some(Mutant::TornMessages);
        let mut lost = 0;
        self.queue.retain(|event| match event {
            Event::Deliver(place, message, _) => {
                let breaks = *place == to && message.from == ids.0 || *place == from && message.from == ids.1;
                lost += usize::from(breaks);
                if torn && breaks && message.entries.len() > 1 {
                    message.entries.remove(0);
                    return true;
                }
                !breaks
            }
            _ => true,
        });
        if lost > 0 {
            self.ledger.strikes(by, self.now);
        }
        for (place, other) in [(from, ids.1), (to, ids.0)] {
            if let Some(member) = self.slots[place].alive.as_mut() {
                member.core.step(Input::Unreachable(other));
                self.settle(place);
            }
        }
    }

    /// Whether the process of a member dies right here, between two outputs.
    pub(super) fn dies_at_output(&mut self, slot: usize) -> bool {
        let Some((left, by)) = self.slots[slot].outputs_left.as_mut() else { return false };
        *left -= 1;
        if *left > 0 {
            return false;
        }
        let by = *by;
        self.crash_by(slot, false, by);
        true
    }
}
