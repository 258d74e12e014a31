//! What drives Store, as `etcd/src/run/store_loop.rs` has it on threads: apply, publish, tell, answer, and a sync of the
//! revision log that applying does not wait for. What Store then says is durable the write-ahead log may forget.

use super::{Done, Member, broken};
use crate::mutant::Mutant;
use crate::world::Micros;
use disk::{DiskFile as _, SimFile};
use member::core::{Applied, Apply, Input};
use member::{Fault, boot};
use std::sync::Arc;
use store::{ClusterChange, Entry, EventKind, Refusal, Reply};

/// What is staged is written so often, if it is not so much that it is written at once.
const FLUSH_EVERY: Micros = 100_000;

/// A file of the revision log, and what a sync of it makes durable: the entry and the length.
pub type Sync = (Arc<SimFile>, u64, u64);

/// Work for Store.
pub enum Job {
    /// From Core.
    Apply(Apply),
    /// This much of the revision log is durable.
    Synced(Sync),
}

impl Member {
    /// Whether a sync waits for the disk.
    pub fn has_syncs(&self) -> bool {
        !self.syncs.is_empty()
    }

    /// Syncs what Store has asked for first; it is told in its turn.
    pub fn work_sync(&mut self) -> Result<(), Fault> {
        let Some(sync) = self.syncs.pop_front() else { return Ok(()) };
        sync.0.sync().map_err(|source| store::Fault::disk(boot::dirs::STORE, source))?;
        self.store_jobs.push_back(Job::Synced(sync));
        Ok(())
    }

    /// Takes one job for the store.
    pub fn work_store(&mut self, now: Micros) -> Result<Done, Fault> {
        let mut done = Done::default();
        match self.store_jobs.pop_front() {
            None => {}
            Some(Job::Synced((file, index, length))) => self.store.note_synced(&file, index, length),
            Some(Job::Apply(Apply::Entries(mut entries))) => {
                self.bytes += bytes_of(&entries);
                self.batches += 1;
                self.tamper(&mut entries);
                if self.spoils_next {
                    self.spoils_next = !entries.iter_mut().any(broken::spoil);
                }
                // Answers are made for requests of this member alone, as on threads.
                let own = self.log.identity().member_id & 0xffff;
                let mut applied = self.store.apply(&entries, &|id| id >> 48 == own)?;
                let mut changes: Vec<_> = applied.roster.iter().filter_map(boot::raft_change).collect();
                if self.breaks(Mutant::ForgetsChanges) && self.is_even() {
                    changes.clear();
                }
                self.publish();
                if self.breaks(Mutant::DropsEvents) {
                    applied.events.retain(|change| change.revision % 20 != 0);
                }
                if self.breaks(Mutant::DropsDeletions) {
                    let deletes =
                        |events: &store::Events| events.events.iter().all(|event| event.kind == EventKind::Delete);
                    applied.events.retain(|events| events.revision % 4 != 0 || !deletes(events));
                }
                if self.breaks(Mutant::SwapsEvents) {
                    applied.events.reverse();
                }
                // As on threads while too much waits for Hub: it is told no more than that there is a later moment.
                if applied.index / 16 % 4 == 3 {
                    self.hub.refresh(self.store.view());
                } else {
                    self.hub.publish(self.store.view(), &applied.events)?;
                }
                for change in &applied.leases {
                    self.house.changed(change, now);
                }
                assert!(
                    applied.roster.iter().all(|change| !matches!(change.change, ClusterChange::Downgrade)),
                    "nobody asks for a downgrade"
                );
                self.core.step(Input::Applied(Applied { index: applied.index, changes }));
                if self.breaks(Mutant::DeniesEnds) {
                    let ended = |reply: &Reply| matches!(reply, Reply::LeaseRevoke(_));
                    applied
                        .outcomes
                        .iter_mut()
                        .filter(|(_, outcome)| outcome.as_ref().is_ok_and(ended))
                        .for_each(|(_, outcome)| *outcome = Err(Refusal::LeaseNotFound));
                }
                done = Done { outcomes: applied.outcomes, leases: applied.leases, links: applied.links };
            }
            Some(Job::Apply(Apply::Restore(meta))) => {
                if let Err(fault) = boot::install(&self.disk, &mut self.store, &meta) {
                    if !fault.is_full() {
                        return Err(fault);
                    }
                    // As on threads: the same again, a little later.
                    self.store_jobs.push_front(Job::Apply(Apply::Restore(meta)));
                    return Ok(done);
                }
                done.links.push((meta.index, self.store.view().link()));
                if !self.breaks(Mutant::RestoreUnpublished) {
                    self.publish();
                }
                let view = self.store.view();
                self.house.reset(&view, now);
                if self.breaks(Mutant::SnapshotUnheard) {
                    self.hub.publish(view, &[])?;
                } else {
                    self.hub.replaced(view);
                }
                self.core.step(Input::Applied(Applied { index: meta.index, changes: Vec::new() }));
                self.core.step(Input::Synced(meta.index));
                self.told = self.told.max(meta.index);
            }
        }
        self.look_after_syncs()?;
        self.flush_by_and_by(now)?;
        if self.store_jobs.is_empty() && self.core.owes_commits() {
            self.core.step(Input::TellCommits);
        }
        Ok(done)
    }

    /// Writes what is staged, if that has waited for long enough.
    pub fn flush_by_and_by(&mut self, now: Micros) -> Result<(), Fault> {
        if now >= self.flushed + FLUSH_EVERY {
            self.flushed = now;
            self.store.flush()?;
        }
        Ok(())
    }

    /// Tells Core what has become durable, and begins a sync if one is due.
    fn look_after_syncs(&mut self) -> Result<(), Fault> {
        let durable = self.store.durable();
        if durable > self.told {
            self.told = durable;
            self.core.step(Input::Synced(durable));
        }
        let (applied, _) = self.store.applied();
        if applied < self.asked + self.habits.sync_every && self.bytes < self.habits.sync_bytes {
            return Ok(());
        }
        (self.asked, self.bytes) = (applied, 0);
        if self.breaks(Mutant::LogForgetsEarly) {
            self.told = applied;
            self.core.step(Input::Synced(applied));
        } else {
            let sync = self.begin_sync(applied)?;
            self.syncs.push_back(sync);
        }
        self.store.sweep(1 << 20)?;
        Ok(())
    }

    fn begin_sync(&mut self, applied: u64) -> Result<Sync, Fault> {
        if self.breaks(Mutant::SyncsUnwritten)
            && let Some((file, length)) = self.synced_before.clone()
        {
            return Ok((file, applied, length));
        }
        let sync = self.store.begin_sync()?;
        self.synced_before = Some((sync.0.clone(), sync.2));
        Ok(sync)
    }

    /// From here on everybody reads the present.
    fn publish(&mut self) {
        let behind = std::mem::replace(&mut self.before, self.store.view());
        self.published = if self.breaks(Mutant::PublishesLate) { behind } else { self.store.view() };
    }
}

fn bytes_of(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| entry.data.len() as u64).sum()
}
