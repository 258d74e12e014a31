//! What drives Store: apply, publish, tell, answer, and tell Core, in that
//! order; and the thread that does what cannot be done in passing.

use super::fail::{Fatal, Which};
use super::hub_door::HubDoor;
use super::inbox::Inbox;
use super::keeper_loop::KeeperInput;
use super::owed::Owed;
use super::store_door::{StoreDoor, Turn};
use super::waiters::AllWaiters;
use crate::line;
use arc_swap::ArcSwap;
use disk::{DiskFile, OsDisk, OsFile};
use member::core::{Applied, Apply, Input};
use member::corruption::Adoption;
use member::ids::{Index, RequestId};
use member::{Fault, boot};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};
use store::{Store, View};

/// A file of the revision log, and what a sync of it makes durable: the entry
/// and the length.
pub type Sync = (Arc<OsFile>, Index, u64);

/// Work for Store.
pub enum StoreJob {
    /// From Core.
    Apply(Apply),
    /// This much of the revision log is durable.
    Synced(Sync),
    /// Go on with the hash chain of a neighbour.
    Adopt(Adoption),
    /// Core has gone.
    End,
}

/// Runs syncs so that applying need not wait for them. Ends with the store.
pub fn drive_syncs(jobs: &Receiver<Sync>, done: &StoreDoor, fatal: &Fatal) {
    while let Ok(job) = jobs.recv() {
        if let Err(source) = job.0.sync() {
            return fatal.stop(&store::Fault::disk(boot::dirs::STORE, source).into());
        }
        if done.put(StoreJob::Synced(job)).is_err() {
            return;
        }
    }
}

/// What Store's work reaches.
pub struct Around {
    pub disk: OsDisk,
    pub view: Arc<ArcSwap<View<OsDisk>>>,
    pub waiters: Arc<AllWaiters>,
    pub hub: HubDoor,
    pub keeper: Sender<KeeperInput>,
    pub inbox: Arc<Inbox>,
    pub roster_changed: tokio::sync::watch::Sender<u64>,
    /// What the log said was committed when this life began: that it is applied is told like a change of the roster.
    pub committed_at_start: Index,
    pub fatal: Fatal,
    pub syncs: Sender<Sync>,
    /// Applied entries after which the revision log is made durable and the
    /// write-ahead log may forget (`--snapshot-count`).
    pub sync_every: u64,
    /// The upper 16 bits of request ids of this member.
    pub own_ids: u64,
}

/// Bytes that the sweep looks at in one go: a few milliseconds.
const SWEEP_BYTES: u64 = 512 << 10;
/// Time between two goes of the sweep, if nothing else comes.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);
/// What is staged is written so often, if it is not so much that it is written
/// at once.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Bytes of entries after which the revision log is made durable, whatever
/// their number.
const SYNC_BYTES: u64 = 32 << 20;

/// Store and all that its work needs. The door sees to it that one thread at a
/// time has it.
pub struct Worker {
    store: Store<OsDisk>,
    around: Around,
    /// Entries up to here are durable in the revision log or on the way.
    asked: Index,
    /// Core knows that entries up to here are.
    told: Index,
    /// Bytes of entries since `asked`.
    bytes: u64,
}

impl Worker {
    pub fn new(mut store: Store<OsDisk>, around: Around) -> Worker {
        let (asked, _) = store.applied();
        let full = around.fatal.clone();
        store.wait_when_full(Box::new(move |fault| {
            full.wait(Which::Revisions, fault.told());
            true
        }));
        Worker { store, around, asked, told: asked, bytes: 0 }
    }

    /// Does a job that waits for nothing; gives any other back.
    pub fn briefly(&mut self, job: StoreJob) -> Option<StoreJob> {
        match &job {
            StoreJob::Apply(Apply::Entries(entries))
                if self.store.is_brief(entries) && !self.syncs_after(entries.len() as u64, bytes_of(entries)) =>
            {
                self.work(job);
                None
            }
            _ => Some(job),
        }
    }

    /// Does a job. A fault ends the process.
    fn work(&mut self, job: StoreJob) {
        let Worker { store, around, bytes, .. } = self;
        let worked = match job {
            StoreJob::Apply(Apply::Entries(entries)) => {
                *bytes += bytes_of(&entries);
                apply(store, &entries, around)
            }
            StoreJob::Apply(Apply::Restore(meta)) => restore(store, &meta, around),
            StoreJob::Synced((file, index, length)) => {
                store.note_synced(&file, index, length);
                Ok(())
            }
            StoreJob::Adopt(Adoption { base, index, link }) => {
                if store.adopt_chain(base, index, link) {
                    tracing::info!(index, base = %format!("{base:x}"), "goes on with the hash chain of the others");
                    around.view.store(Arc::new(store.view()));
                }
                Ok(())
            }
            StoreJob::End => Ok(()),
        };
        if let Err(fault) = worked.and_then(|()| self.look_after_syncs()) {
            self.around.fatal.stop(&fault);
        }
    }

    /// Whether a sync of the revision log is due once so many entries more, of
    /// so many bytes, are applied. It begins with a write, so a passing thread
    /// leaves the entries that make it due to Store's own.
    fn syncs_after(&self, entries: u64, bytes: u64) -> bool {
        let (applied, _) = self.store.applied();
        applied + entries >= self.asked + self.around.sync_every || self.bytes + bytes >= SYNC_BYTES
    }

    fn look_after_syncs(&mut self) -> Result<(), Fault> {
        let durable = self.store.durable();
        if durable > self.told {
            // The write-ahead log may forget what is durable here.
            self.told = durable;
            self.around.inbox.number_in_passing(Input::Synced(durable));
            tracing::debug!(index = durable, "saved snapshot");
        }
        if self.syncs_after(0, 0) {
            let sync = self.store.begin_sync()?;
            (self.asked, self.bytes) = (sync.1, 0);
            // Its thread goes only when this one has.
            let _ = self.around.syncs.send(sync);
        }
        Ok(())
    }

    /// Writes what is staged.
    fn flush(&mut self) {
        match self.store.flush() {
            Ok(()) => self.around.fatal.written(Which::Revisions),
            Err(fault) => self.around.fatal.stop(&fault.into()),
        }
    }

    /// Gives space back, a little at a time, while nothing else is to be done.
    fn sweep(&mut self) {
        if !self.store.wants_sweep() {
            return;
        }
        if let Err(fault) = self.store.sweep(SWEEP_BYTES) {
            return self.around.fatal.stop(&fault.into());
        }
        let (view, stats) = (self.around.view.load(), self.store.stats());
        if (view.size_bytes(), view.size_in_use_bytes()) != (stats.size_bytes, stats.size_in_use_bytes) {
            // What it has given back is seen, and the View of before no longer holds files that are gone, also when nobody
            // writes. Nothing else is new, so there is nothing to tell Hub.
            self.around.view.store(Arc::new(self.store.view()));
        }
    }

    /// How long the thread may wait for work.
    fn patience(&self) -> Duration {
        if self.store.wants_sweep() { SWEEP_PAUSE } else { FLUSH_EVERY }
    }
}

fn bytes_of(entries: &[store::Entry]) -> u64 {
    entries.iter().map(|entry| entry.data.len() as u64).sum()
}

/// Store's own thread. Runs until Core has gone.
pub fn drive(door: &StoreDoor, inbox: &Inbox, owed: &Owed) {
    let mut patience = FLUSH_EVERY;
    let (mut flushed, mut swept) = (Instant::now(), Instant::now());
    loop {
        let turn = door.wait(patience);
        let end = matches!(turn, Turn::Job(StoreJob::End));
        if let Some(worker) = door.worker().as_mut() {
            match turn {
                Turn::Job(job) => worker.work(job),
                // Others wait for the processor too; and the thread is woken for other ends.
                Turn::Idle if swept.elapsed() >= SWEEP_PAUSE => {
                    worker.sweep();
                    swept = Instant::now();
                }
                Turn::Idle => {}
            }
            if flushed.elapsed() >= FLUSH_EVERY {
                worker.flush();
                flushed = Instant::now();
            }
            patience = worker.patience();
        }
        door.done();
        if owed.is_due() {
            inbox.number(Input::TellCommits);
        }
        if end {
            break;
        }
    }
    let Some(mut worker) = door.close() else { return };
    if let Err(fault) = worker.store.sync() {
        worker.around.fatal.stop(&fault.into());
    }
}

fn apply(store: &mut Store<OsDisk>, entries: &[store::Entry], around: &Around) -> Result<(), Fault> {
    let started = Instant::now();
    let own = around.own_ids;
    let lagged = store.applied().0 < around.committed_at_start;
    let wanted = |id: RequestId| id >> 48 == own;
    let applied = store.apply(entries, &wanted)?;
    around.fatal.written(Which::Revisions);
    crate::metrics::applied(started.elapsed(), entries.len(), store.stats());
    let view = store.view();
    let alarmed = around.view.load().alarms() != view.alarms();
    // Without events too: a compaction has none, and ends watches of the past.
    around.hub.publish(&around.view, view, applied.events);
    if !applied.leases.is_empty() {
        let _ = around.keeper.send(KeeperInput::Leases(applied.leases));
    }
    let changes = applied.roster.iter().filter_map(boot::raft_change).collect();
    let alone = applied.outcomes.len() == 1;
    let answer = || {
        for (id, outcome) in applied.outcomes {
            around.waiters.outcome(id, outcome);
        }
    };
    if alone {
        line::leave(answer)
    } else {
        answer()
    }
    around.inbox.applied(Applied { index: applied.index, changes });
    let caught_up = lagged && applied.index >= around.committed_at_start;
    if !applied.roster.is_empty() || alarmed || caught_up {
        around.roster_changed.send_modify(|count| *count += 1);
    }
    Ok(())
}

fn restore(store: &mut Store<OsDisk>, meta: &raft::SnapshotMeta, around: &Around) -> Result<(), Fault> {
    tracing::info!(index = meta.index, term = meta.term, "applying snapshot");
    around.fatal.retry_while_full(Which::Revisions, || boot::install(&around.disk, store, meta))?;
    let view = store.view();
    around.hub.replace(&around.view, view.clone());
    let _ = around.keeper.send(KeeperInput::Reset(view));
    around.inbox.number(Input::Applied(Applied { index: meta.index, changes: Vec::new() }));
    around.inbox.number(Input::Synced(meta.index));
    around.roster_changed.send_modify(|count| *count += 1);
    tracing::info!(index = meta.index, "applied snapshot");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::hub_door;
    use crate::run::scratch::Scratch;
    use prost::Message;
    use proto::etcdserverpb::{CompactionRequest, InternalRaftRequest, PutRequest};
    use std::sync::mpsc;

    /// One that syncs after ten entries, and the syncs it asks for.
    fn worker(disk: &OsDisk, settings: store::Settings) -> (Worker, Receiver<Sync>) {
        let store = Store::create(disk.clone(), boot::dirs::STORE, settings).unwrap();
        let (syncs, asked) = mpsc::channel();
        let around = Around {
            disk: disk.clone(),
            view: Arc::new(ArcSwap::from_pointee(store.view())),
            waiters: Arc::default(),
            hub: hub_door::new().0,
            keeper: mpsc::channel().0,
            inbox: Arc::default(),
            roster_changed: tokio::sync::watch::channel(0).0,
            committed_at_start: 0,
            fatal: Fatal::default(),
            syncs,
            sync_every: 10,
            own_ids: 1,
        };
        (Worker::new(store, around), asked)
    }

    /// One put, which follows what is applied.
    fn put(worker: &Worker) -> StoreJob {
        let put = PutRequest { key: "k".into(), value: vec![7; 1_000].into(), ..Default::default() };
        next(worker, InternalRaftRequest { put: Some(put), ..Default::default() })
    }

    /// The request that follows what is applied.
    fn next(worker: &Worker, request: InternalRaftRequest) -> StoreJob {
        let (applied, _) = worker.store.applied();
        let data = request.encode_to_vec().into();
        let entry = store::Entry { index: applied + 1, term: 1, kind: store::EntryKind::Normal, data };
        StoreJob::Apply(Apply::Entries(vec![entry]))
    }

    #[test]
    fn who_passes_never_makes_a_sync_due() {
        let Scratch { disk, .. } = &Scratch::new("store-loop");
        let (mut worker, asked) = worker(disk, store::Settings::default());
        // By their number,
        for _ in 0..9 {
            let job = put(&worker);
            assert!(worker.briefly(job).is_none(), "a put is brief");
        }
        let job = put(&worker);
        let left = worker.briefly(job).expect("the tenth makes a sync due");
        assert!(asked.try_recv().is_err(), "nothing was written");
        worker.work(left);
        assert_eq!(asked.try_recv().expect("a sync").1, 10);
        // and by their bytes.
        let job = put(&worker);
        let StoreJob::Apply(Apply::Entries(entries)) = &job else { panic!("entries") };
        worker.bytes = SYNC_BYTES - bytes_of(entries);
        let left = worker.briefly(job).expect("it makes a sync due");
        assert!(asked.try_recv().is_err(), "nothing was written");
        worker.bytes -= 1;
        assert!(worker.briefly(left).is_none(), "one byte less, and it is brief");
        assert!(asked.try_recv().is_err());
        let job = put(&worker);
        worker.work(job);
        assert_eq!(asked.try_recv().expect("a sync").1, 12);
    }
    #[test]
    fn what_a_sweep_gives_back_is_seen_when_nobody_writes() {
        let Scratch { disk, .. } = &Scratch::new("store-loop-sweep");
        let settings = store::Settings { segment_bytes: 4_096, ..store::Settings::default() };
        let (mut worker, _syncs) = worker(disk, settings);
        for _ in 0..40 {
            let job = put(&worker);
            worker.work(job);
        }
        let compaction = CompactionRequest { revision: 41, physical: false };
        let job = next(&worker, InternalRaftRequest { compaction: Some(compaction), ..Default::default() });
        worker.work(job);
        let before = worker.around.view.load_full();
        while worker.store.wants_sweep() {
            worker.sweep();
        }
        let after = worker.around.view.load_full();
        assert!(after.size_in_use_bytes() < before.size_in_use_bytes() / 10, "one of forty values is alive");
        assert!(after.size_bytes() < before.size_bytes() / 2, "segments are gone");
        assert_eq!(after.size_bytes(), worker.store.stats().size_bytes);
        assert_eq!(after.applied(), before.applied());
    }
}
