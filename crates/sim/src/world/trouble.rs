//! What goes wrong, and how members come back.

use super::{Event, World};
use crate::chance::between;
use crate::check;
use crate::faults::Fault;
use crate::member::{Clocks, Member};
use crate::mutant::Mutant;
use disk::SimFaults;
use member::boot::Start;
use member::core::Input;
use member::log::Identity;
use std::collections::BTreeSet;

/// What wall clocks show when a run begins.
const WALL_MS: u64 = 1_700_000_000_000;

impl World {
    /// A part of a member cannot go on: right after a loss of power or a
    /// failure of its disk, wrong otherwise.
    pub(super) fn failed(&mut self, slot: usize, words: &str) {
        let dead = self.slots[slot].disk.is_dead();
        let sound = !self.slots[slot].bad_disk && !self.slots[slot].rotten;
        assert!(dead || !sound, "m{slot} stopped on a healthy disk: {words}");
        self.crash(slot, dead);
    }

    pub(super) fn crash(&mut self, slot: usize, power: bool) {
        self.trace.note(self.now, [3, slot as u64, u64::from(power)], || {
            format!("m{slot} {}", if power { "loses power" } else { "is killed" })
        });
        self.record.counts.crashes += 1;
        let place = &mut self.slots[slot];
        place.alive = None;
        place.life += 1;
        place.paused_until = 0;
        place.bad_disk = false;
        (place.outputs_left, place.full_until, place.dies_at_vote) = (None, 0, false);
        if power && !place.disk.is_dead() {
            place.disk.kill();
        }
        place.disk = if place.disk.is_dead() { place.disk.restart() } else { place.disk.restart_process() };
        place.disk.set_faults(SimFaults::default());
        let rotten = std::mem::take(&mut place.rotten);
        if rotten && self.beyond {
            place.down = true;
        } else if rotten && self.habits.mutant != Some(Mutant::ComesBackRotten) {
            self.replace(slot);
        }
        self.pending.retain(|(member, _), _| *member != slot);
        self.disconnect(slot);
        let down = if self.quick_restarts {
            50_000
        } else if self.calm {
            100_000
        } else {
            between(&mut self.chances.faults, 50_000, 4_000_000)
        };
        self.at(self.now + down, Event::Restart(slot));
    }

    pub(super) fn restart(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        if place.alive.is_some() || place.down {
            return;
        }
        let identity = Identity { member_id: place.id, cluster_id: super::CLUSTER };
        let start = if place.joins { Start::Join } else { Start::New(self.first_changes.clone()) };
        let wall_ms = (WALL_MS + self.now / 1_000).saturating_add_signed(place.wall_offset_ms);
        match self.habits.mutant {
            Some(Mutant::NamesUnsynced) => place.disk.lie_about_names(member::boot::dirs::LOG),
            Some(Mutant::SweepsUnsynced) => place.disk.lie_about_names(member::boot::dirs::STORE),
            _ => {}
        }
        let clocks = Clocks { now: self.now, wall_ms };
        let seed = self.chances.births.u64(..);
        match Member::open(place.disk.clone(), identity, start, seed, clocks, self.habits) {
            Ok(member) => {
                let held = member.present();
                check::chain::applied(&mut self.record, slot, held.applied(), held.link());
                place.alive = Some(Box::new(member));
                let (life, first) = (place.life, self.now + place.tick);
                self.trace.note(self.now, [4, slot as u64, u64::from(life)], || format!("m{slot} starts"));
                self.at(first, Event::Tick(slot, life));
                self.at(first, Event::Compare(slot, life));
                if self.slots[slot].crashes_left > 0 && !self.calm {
                    self.slots[slot].crashes_left -= 1;
                    self.slots[slot].outputs_left = Some(self.chances.faults.u32(1..30));
                }
                self.settle(slot);
            }
            Err(fault) => self.failed(slot, &fault.to_string()),
        }
    }

    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let fault = self.plan.next(&mut self.chances.faults, self.slots.len());
        self.trace.note(self.now, [5, 0, 0], || format!("fault: {fault:?}"));
        self.record.counts.faults += 1;
        self.befall(fault);
        let next = self.now + self.plan.wait(&mut self.chances.faults);
        self.at(next, Event::Fault);
    }

    /// A disk is not to be believed any more, if the others can spare it.
    fn rot(&mut self, slot: usize, faults: SimFaults) {
        if self.can_spare(slot) {
            self.slots[slot].rotten = true;
            self.slots[slot].disk.set_faults(faults);
        }
    }

    /// Lets one thing go wrong.
    pub fn befall(&mut self, fault: Fault) {
        match fault {
            Fault::PowerLoss(slot) if self.slots[slot].alive.is_some() => self.crash(slot, true),
            Fault::Kill(slot) if self.slots[slot].alive.is_some() => self.crash(slot, false),
            Fault::PowerLoss(_) | Fault::Kill(_) => {}
            Fault::PowerLossSoon(slot, operations) => {
                let disk = &self.slots[slot].disk;
                disk.set_faults(SimFaults { dies_at: Some(disk.operations() + operations), ..SimFaults::default() });
            }
            Fault::AllPowerLoss => {
                for slot in 0..self.slots.len() {
                    if self.slots[slot].alive.is_some() {
                        self.crash(slot, true);
                    }
                }
            }
            Fault::Split(side) => {
                self.record.counts.partitions += 1;
                self.net.split(&side.into_iter().collect(), self.slots.len());
            }
            Fault::OneWay(from, to) => {
                self.record.counts.partitions += 1;
                self.net.cut(from, to);
            }
            Fault::Heal => self.net.heal(),
            Fault::Pause(slot, time) => self.slots[slot].paused_until = self.now + time,
            Fault::SlowDisk(slot, time) => self.slots[slot].slow_until = self.now + time,
            Fault::SlowStore(slot, time) => self.slots[slot].store_slow_until = self.now + time,
            Fault::Isolate(slot) => {
                self.record.counts.partitions += 1;
                self.net.split(&BTreeSet::from([slot]), self.slots.len());
            }
            Fault::BadDisk(slot) => {
                let place = &mut self.slots[slot];
                place.bad_disk = true;
                place.disk.set_faults(SimFaults { sync_error: 0.5, write_error: 0.1, ..SimFaults::default() });
            }
            Fault::PowerLossAtVote(slot) => self.slots[slot].dies_at_vote = true,
            Fault::KillSoon(slot, outputs) => self.slots[slot].outputs_left = Some(outputs),
            Fault::Flap(from, to, times) => {
                self.record.counts.partitions += 1;
                self.flap(from, to, times);
            }
            Fault::Clog(from, to, time) => self.net.clog(from, to, self.now + time),
            Fault::Reset(from, to) => self.reset(from, to),
            Fault::Stall(slot, time) => self.slots[slot].stalled_until = self.now + time,
            Fault::FullDisk(slot, time) => {
                let place = &mut self.slots[slot];
                // A store that cannot begin a segment ends its process.
                (place.bad_disk, place.full_until) = (true, self.now + time);
                place.disk.set_faults(SimFaults { capacity_bytes: Some(0), ..SimFaults::default() });
                let (at, life) = (place.full_until, place.life);
                self.at(at, Event::Room(slot, life));
            }
            Fault::BadReads(slot) => {
                let place = &mut self.slots[slot];
                place.bad_disk = true;
                place.disk.set_faults(SimFaults { read_error: 0.2, ..SimFaults::default() });
            }
            Fault::ClientsCut(slot, time) => {
                self.slots[slot].clients_cut_until = self.now + time;
                self.hang_up(slot);
            }
            Fault::ClockStep(slot, ms) => self.slots[slot].wall_offset_ms = ms,
            Fault::ClockDrift(slot, tick) => self.slots[slot].tick = tick,
            Fault::ClockFrozen(slot, time) => self.slots[slot].frozen_until = self.now + time,
            Fault::DiskLost(slot) => {
                if self.can_spare(slot) {
                    self.slots[slot].rotten = true;
                    self.crash(slot, true);
                }
            }
            Fault::BitFlips(slot) => self.rot(slot, SimFaults { bit_flip: 0.05, ..SimFaults::default() }),
            Fault::Misdirected(slot) => {
                self.rot(slot, SimFaults { misdirected_write: 0.05, ..SimFaults::default() });
            }
            Fault::StaleReads(slot) => self.rot(slot, SimFaults { stale_read: 0.05, ..SimFaults::default() }),
            Fault::MisdirectedReads(slot) => {
                self.rot(slot, SimFaults { misdirected_read: 0.05, ..SimFaults::default() });
            }
            Fault::Ring => {
                self.record.counts.partitions += 1;
                self.net.ring(self.slots.len());
            }
            Fault::Bridge(slot) => {
                self.record.counts.partitions += 1;
                self.net.bridge(slot, self.slots.len());
            }
            Fault::SlowDrain(from, to, time) => self.net.trickle(from, to, self.now + time),
            Fault::Echoes(time) => self.net.echoes_until(self.now + time),
            Fault::LossyNetwork(time) => self.net.lossy_until(self.now + time),
            Fault::SlowMember(slot, time) => self.net.slow_member(slot, self.now + time),
            Fault::LeaderMuted | Fault::LeaderDeaf => {
                if let Some(leader) = self.leader() {
                    self.record.counts.partitions += 1;
                    self.net.one_way(leader, fault == Fault::LeaderMuted, self.slots.len());
                }
            }
            Fault::LeaderPaused(time) => {
                if let Some(leader) = self.leader() {
                    self.slots[leader].paused_until = self.now + time;
                }
            }
            Fault::FollowersPowerLoss => {
                let leader = self.leader();
                for slot in (0..self.slots.len()).filter(|slot| Some(*slot) != leader) {
                    self.befall(Fault::PowerLoss(slot));
                }
            }
            Fault::ClocksStep(ms) => self.slots.iter_mut().for_each(|slot| slot.wall_offset_ms = ms),
            Fault::AllClientsCut(time) => {
                (0..self.slots.len()).for_each(|slot| self.befall(Fault::ClientsCut(slot, time)));
            }
            Fault::SlowMachine(slot, time) => {
                let place = &mut self.slots[slot];
                (place.slow_until, place.store_slow_until) = (self.now + time, self.now + time);
            }
            Fault::SlowNetwork(time) => self.net.slow_until(self.now + time),
            Fault::AnswersLost(slot, time) => self.slots[slot].answers_lost_until = self.now + time,
            Fault::CrashLoop(slot, times) => {
                self.slots[slot].crashes_left = times;
                self.befall(Fault::Kill(slot));
            }
            Fault::PauseOthers(one, time) => {
                for slot in (0..self.slots.len()).filter(|slot| *slot != one) {
                    self.slots[slot].paused_until = self.now + time;
                }
            }
            Fault::LeaderPowerLoss => {
                if let Some(leader) = self.leader() {
                    self.crash(leader, true);
                }
            }
            Fault::Alarm(slot, on) => self.alarm(slot, on),
            Fault::Transfer(slot) => {
                let to = self.slots[slot].id;
                for place in 0..self.slots.len() {
                    if let Some(member) = self.slots[place].alive.as_mut() {
                        member.core.step(Input::Transfer(to));
                        self.settle(place);
                    }
                }
            }
        }
    }
}
