//! The end of a run: the faults end, the cluster comes to rest, and all that was promised is checked.

use super::clients::Client;
use super::slot::Slot;
use super::{Micros, Outcome, SECOND, World};
use crate::check;
use crate::faults::PARTITIONS;
use crate::ledger::Lasting;
use crate::net::{Net, Weather};
use disk::SimDisk;
use std::collections::BTreeSet;

/// After the last of the faults has ended the cluster must come to rest within this.
const REST: Micros = 90 * SECOND;

impl World {
    /// Ends the faults, waits for rest, and checks all that was promised.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn finish(self) -> Outcome {
        self.finish_noting(|| {})
    }

    /// [`World::finish`], and a word in between: all is at rest, and nothing has been checked yet.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn finish_noting(mut self, at_rest: impl FnOnce()) -> Outcome {
        self.rest();
        at_rest();
        check::all(&self.record, self.views());
        for (slot, place) in self.slots.iter().enumerate() {
            check::room::at_rest(slot, &place.disk);
        }
        self.outcome()
    }

    pub(super) fn outcome(mut self) -> Outcome {
        for (request, asked, by) in std::mem::take(&mut self.alarms_asked) {
            if self.record.index_of.contains_key(&request) {
                self.ledger.strikes(by, asked);
            }
        }
        if let Some((&index, link)) = self.record.links.last_key_value() {
            let said = [12, index, link.keys ^ link.rest.rotate_left(32)];
            self.trace.note(self.now, said, || format!("the hash chain comes to {link:?} after index {index}"));
        }
        let kinds = self.ledger.kinds();
        self.record.counts.faults = kinds.all_struck();
        self.record.counts.partitions = PARTITIONS.iter().map(|&kind| u64::from(kinds.struck[kind])).sum();
        Outcome {
            kinds,
            trace_hash: self.trace.hash(),
            happenings: self.trace.lines(),
            simulated: self.now,
            under_faults: self.storm_ends.min(self.now),
            members: self.slots.len(),
            counts: self.record.counts,
            most_waiting: self.record.most_waiting,
            halted: self.has_halted(),
        }
    }

    /// No more faults, no more load: everything that was begun must end, and
    /// all members must come to the same state.
    fn rest(&mut self) {
        self.calm = true;
        self.net = Net::new(Weather::fair());
        for slot in 0..self.slots.len() {
            let place = &mut self.slots[slot];
            place.look_at_disk(&mut self.ledger, self.now);
            (place.slow, place.store_slow) = Default::default();
            place.mend_disk_wholly();
            (place.outputs_left, place.dies_at_vote) = (None, None);
            (place.clients_cut, place.answers_lost) = Default::default();
            place.set_clock(self.now, place.tick, Lasting::default());
            if self.slots[slot].rotten.is_some() {
                self.crash(slot, false);
            }
        }
        // Who stands still goes on when its time has come.
        let stands = |place: &Slot| place.paused.until.max(place.stalled.until);
        let end = self.slots.iter().map(stands).fold(self.now, Micros::max);
        let deadline = end + REST;
        let mut look = self.now + SECOND;
        while let Some((at, event)) = self.queue.pop_before(deadline) {
            self.now = at;
            self.happen(event);
            if self.now >= look {
                look = self.now + SECOND;
                if self.is_at_rest() {
                    return;
                }
            }
        }
        let leases: BTreeSet<i64> = self.views().iter().flat_map(|view| view.leases().map(|(id, _)| id)).collect();
        let states: Vec<String> = self.slots.iter().map(|slot| slot.describe()).collect();
        let open: Vec<&Client> = self.clients.iter().filter(|client| client.open.is_some()).collect();
        panic!(
            "the last fault ended {} s ago and the cluster has not come to rest: {states:#?}; open requests {open:?}; leases {leases:?}; watchers {:?}",
            REST / SECOND,
            self.watchers
        );
    }

    fn is_at_rest(&self) -> bool {
        let mut applied = BTreeSet::new();
        for slot in &self.slots {
            let Some(member) = &slot.alive else { return false };
            let status = member.core.status();
            // Nobody renews any more: every lease must end.
            if status.leader == 0 || status.applied != status.commit || member.present().leases().next().is_some() {
                return false;
            }
            applied.insert(status.applied);
        }
        let revision = self.slots[0].alive.as_ref().map_or(0, |member| member.present().revision());
        // A member that is alone, and has not written what it begins its term with, knows of less than it once answered for.
        applied.first() == Some(&self.committed())
            && applied.len() == 1
            && self.leader().is_some_and(|leader| self.next_change(leader).is_none())
            && self.clients.iter().all(|client| client.open.is_none())
            && self.watchers.iter().all(|watcher| watcher.has_seen(revision))
    }

    /// The last moment of every member.
    pub(super) fn views(&self) -> Vec<store::View<SimDisk>> {
        self.slots.iter().filter_map(|slot| slot.alive.as_ref()).map(|member| member.present()).collect()
    }
}
