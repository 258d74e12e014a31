//! Comparing hash chains, as `etcd/src/run/chain_loop.rs` does between processes.

use super::{Event, Micros, World};
use member::corruption::{EVERY_MS, Known, judge};
use proto::etcdserverpb::{AlarmRequest, InternalRaftRequest};
use std::collections::BTreeMap;
use store::{Alarm, AlarmKind};

/// From one comparison of a member to its next.
const EVERY: Micros = EVERY_MS * 1_000;

impl World {
    pub(super) fn compare(&mut self, slot: usize, life: u32) {
        let Some(member) = self.life(slot, life) else { return };
        let view = member.view();
        let (leader, undecided) = (member.core.status().leader, member.undecided);
        let me = self.slots[slot].id;
        let mut reports = BTreeMap::from([(me, view.chain())]);
        for (other, place) in self.slots.iter().enumerate() {
            let reached = !self.net.is_cut(slot, other) && !self.net.is_cut(other, slot);
            if let Some(neighbour) = &place.alive
                && reached
                && !place.paused.lasts(self.now)
            {
                reports.insert(place.id, neighbour.view().chain());
            }
        }
        let members = view.roster().members().len();
        let verdict = judge(Known { me, leader, members, reports: &reports, undecided });
        if let Some(member) = self.life(slot, life) {
            member.undecided = if verdict.undecided { undecided + 1 } else { 0 };
        }
        assert!(verdict.adopt.is_none(), "all snapshots here are from members that have seen everything");
        // Without a mutant nobody ever differs, and a false alarm would stop a whole cluster.
        let may_differ = self.habits.mutant.is_some() || self.chains_unwatched;
        assert!(
            may_differ || (verdict.corrupt.is_empty() && !verdict.undecided),
            "m{slot} believes {:?} corrupt: {reports:?}",
            verdict.corrupt
        );
        self.at(self.now + EVERY, Event::Compare(slot, life));
        for member_id in verdict.corrupt {
            let alarm = Alarm { member: member_id, kind: AlarmKind::CORRUPT };
            if verdict.speaks && !view.alarms().iter().any(|active| active == alarm) {
                let alarm = AlarmRequest { action: 1, member_id, alarm: AlarmKind::CORRUPT.0 };
                self.propose(slot, InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() });
            }
        }
    }

    /// Raises the CORRUPT alarm that names nobody in particular, or takes it back.
    pub fn alarm_of_nobody(&mut self, slot: usize, on: bool) {
        let alarm = AlarmRequest { action: if on { 1 } else { 2 }, member_id: 0, alarm: AlarmKind::CORRUPT.0 };
        self.propose(slot, InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() });
    }

    /// Members alone look after their chains from now on, and one of them puts another byte into the next value it applies.
    pub fn corrupt_next(&mut self, slot: usize) {
        self.chains_unwatched = true;
        if let Some(member) = self.slots[slot].alive.as_mut() {
            member.spoils_next = true;
        }
    }

    /// Whose CORRUPT alarms a member knows, by place; `None` stands for nobody in particular.
    pub fn named_corrupt(&self, slot: usize) -> Vec<Option<usize>> {
        let Some(member) = &self.slots[slot].alive else { return Vec::new() };
        let place = |id: u64| self.slots.iter().position(|slot| slot.id == id);
        member.view().alarms().list(AlarmKind::CORRUPT).iter().map(|alarm| place(alarm.member)).collect()
    }
}
