//! Beyond what the protocol survives: disks rot and are lost on any number of members, and nobody replaces them.
//!
//! Then two things are right: to go on with right answers, or to halt. No false answer, no two states among those that
//! serve, nothing that was acknowledged changed under a reader; that it goes on is not demanded. A process that has ended on
//! a disk which is not to be believed stays down. That is narrow and has a reason: a member that started again on such a
//! disk could have lost the end of its log without a trace (sectors of zeros look like a torn tail, `docs/format.md`),
//! and a majority of those could forget what was acknowledged. No member can know that by itself.

use super::{Micros, Outcome, SECOND, World};
use crate::check;
use crate::net::{Net, Weather};

/// How long what is on its way may take to arrive, once the faults have ended.
const SETTLES: Micros = 12 * SECOND;

impl World {
    /// The faults end, but what has rotted stays so; then all that was said is checked.
    ///
    /// # Panics
    /// When something false was said, members that serve differ, or something is committed without a majority.
    pub(super) fn end_beyond(mut self) -> Outcome {
        self.calm = true;
        self.net = Net::new(Weather::fair());
        for slot in &mut self.slots {
            slot.look_at_disk(&mut self.ledger, self.now);
            (slot.paused, slot.slow, slot.store_slow) = Default::default();
            (slot.clients_cut, slot.answers_lost) = Default::default();
            slot.outputs_left = None;
            if slot.rotten.is_none() {
                slot.mend_disk_wholly();
            }
        }
        self.go_on(SETTLES);
        let (halted, committed) = (self.has_halted(), self.committed());
        self.go_on(SETTLES);
        if halted {
            assert_eq!(self.committed(), committed, "who has lost the majority commits nothing");
            assert_eq!(self.leader(), None, "and nobody leads");
        }
        check::served(&self.record, self.views());
        self.outcome()
    }

    /// Whether a majority of those that vote, as every member that runs knows them, has ended for good.
    pub(super) fn has_halted(&self) -> bool {
        let gone = |id: &u64| self.slots.iter().any(|slot| slot.down && slot.id == *id);
        let lost = |slot: &super::Slot| {
            let Some(member) = &slot.alive else { return true };
            let voters = &member.core.conf_state().voters;
            voters.iter().filter(|id| gone(id)).count() * 2 >= voters.len().max(1)
        };
        self.slots.iter().any(|slot| slot.down) && self.slots.iter().all(lost)
    }
}
