//! A member's place: its machine outlives its processes.

use super::Micros;
use super::harms::Harms;
use crate::ledger::{Lasting, TroubleId};
use crate::member::{Member, TICK};
use disk::{SimDisk, SimFaults};
use fastrand::Rng;

/// See the file's essay.
pub(super) struct Slot {
    pub id: u64,
    pub disk: SimDisk,
    pub life: u32,
    pub alive: Option<Box<Member>>,
    pub paused: Lasting,
    /// Its log takes longer.
    pub slow: Lasting,
    pub store_slow: Lasting,
    /// By whom its disk is not to be believed any more: it is thrown away when the process ends.
    pub rotten: Option<TroubleId>,
    /// It has ended on a disk that rots, or has lost it, and nobody replaces it.
    pub down: bool,
    /// Its first start in this place is a joining of the others.
    pub joins: bool,
    /// It is meant to learn and never to vote.
    pub learner: bool,
    /// Its machine loses power when it has given its next vote.
    pub dies_at_vote: Option<TroubleId>,
    /// Its process dies after giving out so many more things.
    pub outputs_left: Option<(u32, TroubleId)>,
    pub stalled: Lasting,
    pub full: Lasting,
    pub clients_cut: Lasting,
    pub answers_lost: Lasting,
    /// How many of its next processes end soon after their start.
    pub crashes_left: Option<(u32, TroubleId)>,
    pub frozen: Lasting,
    /// Its clock runs this much faster or slower, and by what.
    pub tick: Micros,
    pub tick_by: Option<TroubleId>,
    /// What its steady clock showed, and when that was.
    clock: (Micros, Micros),
    /// What its disk does wrong.
    pub harms: Harms,
}

impl Slot {
    /// A machine that is new, and has not been started yet.
    pub fn new(births: &mut Rng) -> Slot {
        Slot {
            id: births.u64(1..=u64::MAX),
            disk: SimDisk::new(births.u64(..), SimFaults::default()),
            life: 0,
            alive: None,
            paused: Lasting::default(),
            slow: Lasting::default(),
            store_slow: Lasting::default(),
            rotten: None,
            down: false,
            joins: false,
            learner: false,
            dies_at_vote: None,
            outputs_left: None,
            stalled: Lasting::default(),
            full: Lasting::default(),
            clients_cut: Lasting::default(),
            answers_lost: Lasting::default(),
            crashes_left: None,
            frozen: Lasting::default(),
            tick: TICK - 4_000 + births.u64(0..8_000),
            tick_by: None,
            clock: (0, 0),
            harms: Harms::default(),
        }
    }

    /// What its steady clock shows: the one that leases are counted by.
    pub fn steady(&self, now: Micros) -> Micros {
        let (then, since) = self.clock;
        then + now.saturating_sub(since.max(self.frozen.until)) * TICK / self.tick
    }

    /// Its clock goes on from what it shows, at another speed or not before a while has passed.
    pub fn set_clock(&mut self, now: Micros, tick: Micros, frozen: Lasting) {
        self.clock = (self.steady(now), now);
        (self.tick, self.frozen) = (tick, frozen);
    }

    /// Whether its clock has stood still at some moment since then.
    pub fn stood_still_since(&self, then: Micros) -> bool {
        self.frozen.until > then
    }

    pub fn describe(&self) -> String {
        match &self.alive {
            None => format!("{:x}: down, life {}", self.id, self.life),
            Some(member) => format!("{:?} {:?}", member.core.status(), member.core.raft_status()),
        }
    }
}
