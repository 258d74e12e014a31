//! What goes wrong, and how members come back.

use super::harms::Harm;
use super::{Event, Micros, World};
use crate::chance::between;
use crate::check;
use crate::faults::{Fault, SOON};
use crate::ledger::{Lasting, TroubleId};
use crate::member::{Born, ELECTION_TICKS, Member, TICK};
use crate::mutant::Mutant;
use member::boot::Start;
use member::core::Input;
use member::log::Identity;
use std::collections::BTreeSet;

/// How long the pair of a run is left alone after it has met.
const PAIR_RESTS: Micros = 2_000_000;

impl World {
    /// A part of a member cannot go on: right after a loss of power or a
    /// failure of its disk, wrong otherwise.
    pub(super) fn failed(&mut self, slot: usize, words: &str) {
        let dead = self.slots[slot].disk.is_dead();
        let sound = !self.slots[slot].fails_at_disk() && self.slots[slot].rotten.is_none();
        assert!(dead || !sound, "m{slot} stopped on a healthy disk: {words}");
        self.crash(slot, dead);
    }

    /// A process ends because of a fault; whoever that is, that is felt until it is back.
    pub(super) fn crash_by(&mut self, slot: usize, power: bool, by: TroubleId) {
        self.ledger.strikes(by, self.now);
        let back = self.crash(slot, power);
        self.ledger.strikes(by, back);
    }

    /// A process ends; when it is back.
    pub(super) fn crash(&mut self, slot: usize, power: bool) -> Micros {
        self.slots[slot].look_at_disk(&mut self.ledger, self.now);
        let died_by = self.slots[slot].mend_disk_wholly().filter(|_| self.slots[slot].disk.is_dead());
        self.trace.note(self.now, [3, slot as u64, u64::from(power)], || {
            format!("m{slot} {}", if power { "loses power" } else { "is killed" })
        });
        self.record.counts.crashes += 1;
        let place = &mut self.slots[slot];
        place.alive = None;
        place.life += 1;
        (place.paused, place.full) = Default::default();
        (place.outputs_left, place.dies_at_vote) = (None, None);
        if power && !place.disk.is_dead() {
            place.disk.kill();
        }
        place.disk = if place.disk.is_dead() { place.disk.restart() } else { place.disk.restart_process() };
        let rotten = place.rotten.take();
        if rotten.is_some() && self.beyond {
            place.down = true;
        } else if rotten.is_some() && self.habits.mutant != Some(Mutant::ComesBackRotten) {
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
        let back = self.now + down;
        self.at(back, Event::Restart(slot));
        // What has ended on a disk that rots is away because of that.
        rotten.into_iter().for_each(|by| self.ledger.outlasts(by, back));
        if let Some(by) = died_by {
            self.ledger.strikes(by, self.now);
            self.ledger.strikes(by, back);
        }
        back
    }

    pub(super) fn restart(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        if place.alive.is_some() || place.down {
            return;
        }
        let identity = Identity { member_id: place.id, cluster_id: super::CLUSTER };
        let start = if place.joins { Start::Join } else { Start::New(self.first_changes.clone()) };
        match self.habits.mutant {
            Some(Mutant::NamesUnsynced) => place.disk.lie_about_names(member::boot::dirs::LOG),
            Some(Mutant::SweepsUnsynced) => place.disk.lie_about_names(member::boot::dirs::STORE),
            _ => {}
        }
        let seed = self.chances.births.u64(..);
        let born = Born { now: place.steady(self.now), birth: seed.rotate_left(32) };
        match Member::open(place.disk.clone(), identity, start, seed, born, self.habits) {
            Ok(member) => {
                let held = member.present();
                check::chain::applied(&mut self.record, slot, held.applied(), held.link());
                check::raft::reborn(&mut self.record, place.id, &member.core);
                place.alive = Some(Box::new(member));
                let (life, first) = (place.life, self.now + place.tick);
                self.trace.note(self.now, [4, slot as u64, u64::from(life)], || format!("m{slot} starts"));
                self.at(first, Event::Tick(slot, life));
                self.at(first, Event::Compare(slot, life));
                let place = &mut self.slots[slot];
                if let Some((left, by)) = place.crashes_left.take_if(|_| !self.calm) {
                    place.crashes_left = (left > 1).then_some((left - 1, by));
                    place.outputs_left = Some((self.chances.faults.u32(1..30), by));
                }
                self.settle(slot);
            }
            // A member that runs waits for room; one that starts says that there is none, and is started again.
            Err(fault) if fault.is_full() && self.slots[slot].full.lasts(self.now) => {
                self.crash(slot, false);
            }
            Err(fault) => self.failed(slot, &fault.to_string()),
        }
    }

    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let fault = self.plan.next(&mut self.chances.faults, self.slots.len());
        self.trace.note(self.now, [5, fault.kind() as u64, 0], || format!("fault: {fault:?}"));
        self.befall(fault);
        let next = self.now + self.plan.wait(&mut self.chances.faults);
        self.at(next, Event::Fault);
    }

    pub(super) fn fault_of(&mut self, kind: usize) {
        if !self.calm {
            let fault = Fault::of(kind, &mut self.chances.faults, self.slots.len());
            self.trace.note(self.now, [5, fault.kind() as u64, 1], || format!("fault, on the heels: {fault:?}"));
            self.befall(fault);
        }
    }

    /// What has just had an effect for the first time is met by the kind that it is to meet in this run.
    pub(super) fn pair_up(&mut self) {
        for kind in self.ledger.begun() {
            if let Some(other) = self.plan.partner(kind).filter(|_| self.now >= self.pair_rests) {
                self.pair_rests = self.now + PAIR_RESTS;
                let soon = self.now + self.chances.faults.u64(1_000..SOON);
                self.at(soon, Event::FaultOf(other));
            }
        }
    }

    /// A disk is not to be believed any more, if the others can spare it.
    fn rot(&mut self, slot: usize, by: TroubleId, harm: Harm) {
        if self.can_spare(slot) {
            self.slots[slot].rotten = Some(by);
            self.slots[slot].spoil_disk(by, harm);
        }
    }

    /// Lets one thing go wrong. Whether anything comes of it is seen where it bites.
    pub fn befall(&mut self, fault: Fault) {
        let by = self.ledger.begin(fault.kind());
        let count = self.slots.len();
        let lasting = |time: Micros| Lasting::new(self.now + time, by);
        match fault {
            Fault::PowerLoss(slot) => self.stop(slot, true, by),
            Fault::Kill(slot) => self.stop(slot, false, by),
            Fault::Stop(slot) => self.stop_in_order(slot, by),
            Fault::StopAll => (0..count).for_each(|slot| self.stop_in_order(slot, by)),
            Fault::AllPowerLoss => (0..count).for_each(|slot| self.stop(slot, true, by)),
            Fault::LeaderPowerLoss => self.leader().into_iter().for_each(|leader| self.stop(leader, true, by)),
            Fault::FollowersPowerLoss => {
                let leader = self.leader();
                (0..count).filter(|slot| Some(*slot) != leader).for_each(|slot| self.stop(slot, true, by));
            }
            Fault::CrashLoop(slot, times) => {
                self.slots[slot].crashes_left = Some((times, by));
                self.stop(slot, false, by);
            }
            Fault::PowerLossAtVote(slot) => self.slots[slot].dies_at_vote = Some(by),
            Fault::KillSoon(slot, outputs) => self.slots[slot].outputs_left = Some((outputs, by)),
            Fault::Split(side) => self.net.split(&side.into_iter().collect(), count, by),
            Fault::OneWay(from, to) => self.net.cut(from, to, by),
            Fault::Isolate(slot) => self.net.split(&BTreeSet::from([slot]), count, by),
            Fault::Flap(from, to, times) => self.flap(from, to, times, by),
            Fault::Ring => self.net.ring(count, by),
            Fault::Bridge(slot) => self.net.bridge(slot, count, by),
            Fault::LeaderMuted | Fault::LeaderDeaf => {
                let mute = fault == Fault::LeaderMuted;
                self.leader().into_iter().for_each(|leader| self.net.one_way(leader, mute, count, by));
            }
            Fault::Heal => self.net.heal(),
            Fault::Clog(from, to, time) => self.net.clog(from, to, lasting(time)),
            Fault::Reset(from, to) => self.reset(from, to, by),
            Fault::SlowDrain(from, to, time) => self.net.trickle(from, to, lasting(time)),
            Fault::Echoes(time) => self.net.echo(lasting(time)),
            Fault::LossyNetwork(time) => self.net.lose(lasting(time)),
            Fault::SlowMember(slot, time) => self.net.slow_member(slot, lasting(time)),
            Fault::SlowNetwork(time) => self.net.slow_down(lasting(time)),
            Fault::Pause(slot, time) => self.slots[slot].paused = lasting(time),
            Fault::PauseOthers(one, time) => {
                let paused = lasting(time);
                (0..count).filter(|slot| *slot != one).for_each(|slot| self.slots[slot].paused = paused);
            }
            Fault::LeaderPaused(time) => {
                let paused = lasting(time);
                self.leader().into_iter().for_each(|leader| self.slots[leader].paused = paused);
            }
            Fault::SlowDisk(slot, time) => self.slots[slot].slow = lasting(time),
            Fault::SlowStore(slot, time) => self.slots[slot].store_slow = lasting(time),
            Fault::SlowMachine(slot, time) => {
                let slow = lasting(time);
                (self.slots[slot].slow, self.slots[slot].store_slow) = (slow, slow);
            }
            Fault::Stall(slot, time) => self.slots[slot].stalled = lasting(time),
            Fault::PowerLossSoon(..) | Fault::BadDisk(_) | Fault::BadReads(_) | Fault::FullDisk(..) => {
                self.spoil(&fault, by);
            }
            Fault::DiskLost(_)
            | Fault::BitFlips(_)
            | Fault::Misdirected(_)
            | Fault::StaleReads(_)
            | Fault::MisdirectedReads(_) => self.rots(&fault, by),
            Fault::ClientsCut(slot, time) => self.cut_clients(slot, lasting(time)),
            Fault::AllClientsCut(time) => {
                let cut = lasting(time);
                (0..count).for_each(|slot| self.cut_clients(slot, cut));
            }
            Fault::AnswersLost(slot, time) => self.slots[slot].answers_lost = lasting(time),
            Fault::ClockDrift(slot, tick) => {
                let place = &mut self.slots[slot];
                place.set_clock(self.now, tick, place.frozen);
                place.tick_by = Some(by);
                self.record.fastest_tick = self.record.fastest_tick.min(tick);
            }
            Fault::ClockFrozen(slot, time) => {
                let frozen = lasting(time);
                let place = &mut self.slots[slot];
                place.set_clock(self.now, place.tick, frozen);
            }
            Fault::Alarm(slot, on) => self.alarm(slot, on, by),
            Fault::Transfer(slot) => self.transfer(slot, by),
        }
    }

    /// A member's process ends, if it runs.
    fn stop(&mut self, slot: usize, power: bool, by: TroubleId) {
        if self.slots[slot].alive.is_some() {
            self.crash_by(slot, power, by);
        }
    }

    /// What a disk fails at.
    fn spoil(&mut self, fault: &Fault, by: TroubleId) {
        match *fault {
            Fault::PowerLossSoon(slot, operations) => {
                let at = self.slots[slot].disk.operations() + operations;
                self.slots[slot].spoil_disk(by, Harm::Dies(at));
            }
            Fault::BadDisk(slot) => self.slots[slot].spoil_disk(by, Harm::FailsToWrite),
            Fault::BadReads(slot) => self.slots[slot].spoil_disk(by, Harm::FailsToRead),
            Fault::FullDisk(slot, time) => {
                let place = &mut self.slots[slot];
                place.full = Lasting::new(self.now + time, by);
                place.spoil_disk(by, Harm::Full);
                let (at, life) = (place.full.until, place.life);
                self.at(at, Event::Room(slot, life));
            }
            _ => {}
        }
    }

    /// What a disk does so that it is not to be believed any more.
    fn rots(&mut self, fault: &Fault, by: TroubleId) {
        match *fault {
            Fault::DiskLost(slot) if self.can_spare(slot) => {
                self.slots[slot].rotten = Some(by);
                self.crash_by(slot, true, by);
            }
            Fault::BitFlips(slot) => self.rot(slot, by, Harm::Flips),
            Fault::Misdirected(slot) => self.rot(slot, by, Harm::Misplaces),
            Fault::StaleReads(slot) => self.rot(slot, by, Harm::ReadsStale),
            Fault::MisdirectedReads(slot) => self.rot(slot, by, Harm::ReadsElsewhere),
            _ => {}
        }
    }

    fn cut_clients(&mut self, slot: usize, cut: Lasting) {
        self.slots[slot].clients_cut = cut;
        self.hang_up(slot);
    }

    /// A process ends as it is told to: what waits for the log is written, and both logs are closed.
    fn stop_in_order(&mut self, slot: usize, by: TroubleId) {
        let place = &mut self.slots[slot];
        if place.paused.lasts(self.now) {
            return;
        }
        let Some(member) = place.alive.take() else { return };
        match member.stop(&mut self.record) {
            Err(fault) if !fault.is_full() => self.failed(slot, &fault.to_string()),
            _ => self.crash_by(slot, false, by),
        }
    }

    /// Whoever leads is asked to hand over to this one. Felt if it tells that one so before an election timeout is over.
    fn transfer(&mut self, slot: usize, by: TroubleId) {
        let to = self.slots[slot].id;
        self.transfer = Lasting::new(self.now + u64::from(ELECTION_TICKS) * TICK, by);
        for place in 0..self.slots.len() {
            if let Some(member) = self.slots[place].alive.as_mut() {
                member.core.step(Input::Transfer(to));
                self.settle(place);
            }
        }
    }
}
