//! What the parts of a member do when it is their turn, and how what they give out is handed on.

use super::{Event, Micros, World};
use crate::chance::between;
use crate::check;
use crate::faults::Fault;
use crate::member::{Image, Job};
use crate::mutant::Mutant;
use member::core::{Apply, Input, Outputs, TurnedBack};
use proto::etcdserverpb::InternalRaftRequest;
use raft::{Message, MessageKind};
use std::rc::Rc;

/// What the answer to a snapshot takes.
const ANSWER: Micros = 1_000;

impl World {
    pub(super) fn tick(&mut self, slot: usize, life: u32) {
        let now = self.now;
        let place = &mut self.slots[slot];
        let steady = place.steady(now);
        if place.life != life || place.alive.is_none() {
            return;
        }
        if !self.calm && place.frozen.holds_up(&mut self.ledger, now) {
            let until = place.frozen.until;
            return self.at(until, Event::Tick(slot, life));
        }
        place.look_at_disk(&mut self.ledger, now);
        place.tick_by.into_iter().for_each(|by| self.ledger.strikes(by, now));
        self.pair_up();
        let Some(member) = self.life(slot, life) else { return };
        for to in member.lost_snapshots() {
            member.core.step(Input::SnapshotSent(to, false));
        }
        member.core.step(Input::Tick);
        if !member.store_busy
            && let Err(fault) = member.flush_by_and_by(steady)
        {
            return self.failed(slot, &fault.to_string());
        }
        let Some(member) = self.life(slot, life) else { return };
        member.hub.tick(steady / 1_000);
        for _ in 0..4 {
            if member.hub.has_work()
                && let Err(fault) = member.hub.catch_up()
            {
                return self.failed(slot, &fault.to_string());
            }
        }
        let (wanted, kept, bounds) = (member.house.look(steady), member.kept(), member.bounds());
        let met = member.met_bounds();
        self.record.counts.met.add(&met);
        check::room::settled(&mut self.record, &bounds, &kept);
        wanted.into_iter().for_each(|wanted| self.keep_house_by(slot, wanted));
        let next = now + self.slots[slot].tick;
        self.at(next, Event::Tick(slot, life));
        self.settle(slot);
    }

    pub(super) fn write_log(&mut self, slot: usize, life: u32) {
        let place = &mut self.slots[slot];
        let Some(member) = place.alive.as_mut().filter(|_| place.life == life) else { return };
        member.log_busy = false;
        if let Err(fault) = member.write_log(&mut self.record) {
            return self.failed(slot, &fault.to_string());
        }
        self.settle(slot);
    }

    pub(super) fn work_store(&mut self, slot: usize, life: u32) {
        let (now, steady) = (self.now, self.slots[slot].steady(self.now));
        let Some(member) = self.life(slot, life) else { return };
        member.store_busy = false;
        let done = match member.work_store(steady) {
            Ok(done) => done,
            Err(fault) => return self.failed(slot, &fault.to_string()),
        };
        for (index, link) in done.links.iter().filter(|_| !self.chains_unwatched) {
            check::chain::applied(&mut self.record, slot, *index, *link);
        }
        for change in &done.leases {
            check::lease::changed(&mut self.record, now, change);
        }
        for change in &done.leases {
            check::ends::told(&mut self.record, (slot, life), change);
        }
        for (id, outcome) in done.outcomes {
            if self.dies_at_output(slot) {
                return;
            }
            self.answered_write(slot, id, outcome);
        }
        self.settle(slot);
    }

    /// A sync that Store has asked for is done.
    pub(super) fn work_sync(&mut self, slot: usize, life: u32) {
        let Some(member) = self.life(slot, life) else { return };
        member.sync_busy = false;
        if let Err(fault) = member.work_sync() {
            return self.failed(slot, &fault.to_string());
        }
        self.begin_work(slot);
    }

    pub(super) fn deliver(&mut self, slot: usize, mut message: Message, image: Option<Rc<Image>>) {
        if message.to != self.slots[slot].id {
            return; // For the member that had this place before.
        }
        if let (Some(image), Some(snapshot)) = (&image, &message.snapshot) {
            if !self.calm && self.plan.strikes_snapshots(&mut self.chances.faults) {
                // The most delicate moment of a member's life.
                let operations = self.chances.faults.u64(1..40);
                self.befall(Fault::PowerLossSoon(slot, operations));
            }
            let Some(member) = self.slots[slot].alive.as_mut() else { return };
            let stored = member.receive_snapshot(snapshot.meta.index, &image.content);
            let ((sender, life), told) = (image.sender, self.now + ANSWER);
            if let Err(error) = stored {
                if self.slots[slot].disk.is_dead() {
                    return self.failed(slot, &error.to_string());
                }
                // As between processes: its sender hears that it was not stored, whatever the reason, and nobody ends of that.
                return self.at(told, Event::SnapshotSent(sender, life, message.to, None));
            }
            self.at(told, Event::SnapshotSent(sender, life, message.to, Some(image.number)));
        }
        if self.habits.mutant == Some(Mutant::LateAnswersCount)
            && message.kind == MessageKind::HeartbeatResp
            && !message.context.is_empty()
            && let Some(newest) = self.newest_heartbeats.get(&slot)
        {
            message.context = newest.clone();
        }
        let Some(member) = self.slots[slot].alive.as_mut() else { return };
        self.trace.note(self.now, [1, slot as u64, message.kind as u64 ^ (message.index << 8)], || {
            format!(
                "m{slot} gets {:?} from {:x} term {} index {}",
                message.kind, message.from, message.term, message.index
            )
        });
        member.core.step(Input::Message(message));
        self.settle(slot);
    }

    /// Hands on what a member's parts have ready.
    pub(super) fn settle(&mut self, slot: usize) {
        // Once: of what is handed on only a renewal can give a member more to say, and that has time until its next tick.
        let steady = self.slots[slot].steady(self.now);
        if let Some(member) = self.slots[slot].alive.as_mut() {
            let mut outputs = Outputs::default();
            member.core.take(&mut outputs);
            check::raft::counts(&mut self.record, &member.core);
            if let Some(term) = member.notice_leadership(steady) {
                check::raft::leads(&self.record, &member.core);
                let id = self.slots[slot].id;
                self.trace.note(self.now, [2, slot as u64, term], || format!("m{slot} leads term {term}"));
                self.record.leads(term, id);
            }
            if !outputs.is_empty() {
                self.hand_on(slot, outputs);
            }
        }
        if let Some(member) = &self.slots[slot].alive {
            check::room::settled(&mut self.record, &member.bounds(), &member.waiting());
        }
        self.begin_work(slot);
        self.tell_renewals(slot);
        self.tell_watchers(slot);
    }

    /// All of it, or up to where the member dies.
    fn hand_on(&mut self, slot: usize, outputs: Outputs) {
        // Whatever comes to be handed on besides is missed here.
        let Outputs {
            messages,
            appends,
            applies,
            reads,
            failed_reads,
            turned_back,
            release,
            strange,
            unwanted_snapshots,
        } = outputs;
        // There are no strangers here: whoever contradicts another is wrong.
        assert!(strange.is_empty(), "m{slot} hears what cannot be: {strange:?}");
        for message in messages {
            if self.dies_at_output(slot) {
                return;
            }
            let votes = message.kind == MessageKind::VoteResp && !message.reject;
            self.send(slot, message);
            if votes && let Some(by) = self.slots[slot].dies_at_vote.take() {
                self.crash_by(slot, true, by);
            }
            if self.slots[slot].alive.is_none() {
                return;
            }
        }
        if self.dies_at_output(slot) {
            return;
        }
        let member = self.slots[slot].alive.as_mut().expect("it has just given outputs");
        if member.core.status().leader == 0 {
            let too_many = turned_back.iter().filter(|(_, why)| *why == TurnedBack::TooMany);
            self.record.counts.met.held += too_many.count() as u64;
        }
        member.log_jobs.extend(appends);
        for apply in applies {
            if let Apply::Entries(entries) = &apply {
                self.record.counts.met.batches += u64::from(member.is_full_batch(entries));
                entries.iter().for_each(|entry| self.record.commits(slot, entry));
            }
            member.store_jobs.push_back(Job::Apply(apply));
        }
        for index in unwanted_snapshots {
            if let Err(error) = member.discard_snapshot(index) {
                return self.failed(slot, &error.to_string());
            }
        }
        if let Some(index) = release
            && let Err(fault) = member.release_log(index)
        {
            return self.failed(slot, &fault.to_string());
        }
        for id in reads {
            if self.dies_at_output(slot) {
                return;
            }
            self.answered_read(slot, id);
        }
        for (id, _) in failed_reads.into_iter().chain(turned_back) {
            self.turned_back(slot, id);
        }
    }

    /// A command at a member, if it runs, for whose answer nobody waits; its id.
    pub(super) fn propose(&mut self, slot: usize, request: InternalRaftRequest) -> Option<u64> {
        let member = self.slots[slot].alive.as_mut()?;
        let id = member.ids.next_id();
        member.propose(id, request, None);
        self.settle(slot);
        Some(id)
    }

    /// Log, Store and the disk beside it take up what waits for them.
    fn begin_work(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        let Some(member) = place.alive.as_mut() else { return };
        let mut begin = Vec::new();
        if !member.log_jobs.is_empty() && !member.log_busy {
            member.log_busy = true;
            let mut slow = if place.slow.strikes(&mut self.ledger, self.now) { 400_000 } else { 0 };
            slow += if place.full.lasts(self.now) { 50_000 } else { 0 };
            place.stalled.holds_up(&mut self.ledger, self.now);
            slow += place.stalled.until.saturating_sub(self.now);
            begin.push((between(&mut self.chances.disk, 50, 3_000) + slow, Event::Log(slot, place.life)));
        }
        if !member.store_jobs.is_empty() && !member.store_busy {
            member.store_busy = true;
            let mut slow = if place.store_slow.strikes(&mut self.ledger, self.now) { 150_000 } else { 0 };
            slow += if place.full.lasts(self.now) { 50_000 } else { 0 };
            place.stalled.holds_up(&mut self.ledger, self.now);
            slow += place.stalled.until.saturating_sub(self.now);
            begin.push((between(&mut self.chances.disk, 10, 500) + slow, Event::Store(slot, place.life)));
        }
        if member.has_syncs() && !member.sync_busy {
            member.sync_busy = true;
            let mut slow = if place.slow.strikes(&mut self.ledger, self.now) { 400_000 } else { 0 };
            place.stalled.holds_up(&mut self.ledger, self.now);
            slow += place.stalled.until.saturating_sub(self.now);
            begin.push((between(&mut self.chances.disk, 50, 20_000) + slow, Event::Sync(slot, place.life)));
        }
        for (wait, event) in begin {
            self.at(self.now + wait, event);
        }
    }
}
