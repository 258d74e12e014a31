//! The loop that drives Store: apply, publish, tell, answer, and tell Core, in
//! that order.

use super::fail::{Fatal, Which};
use super::hub_loop::HubInput;
use super::inbox::Inbox;
use super::keeper_loop::KeeperInput;
use super::waiters::AllWaiters;
use arc_swap::ArcSwap;
use disk::{DiskFile, OsDisk, OsFile};
use member::core::{Applied, Apply, Input};
use member::corruption::Adoption;
use member::ids::{Index, RequestId};
use member::{Fault, boot};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
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
pub fn drive_syncs(jobs: &Receiver<Sync>, done: &Sender<StoreJob>, fatal: &Fatal) {
    while let Ok(job) = jobs.recv() {
        if let Err(source) = job.0.sync() {
            return fatal.stop(&Fault::Log { path: boot::dirs::STORE.to_owned(), source });
        }
        if done.send(StoreJob::Synced(job)).is_err() {
            return;
        }
    }
}

/// What the loop reaches.
pub struct Around {
    pub disk: OsDisk,
    pub view: Arc<ArcSwap<View<OsDisk>>>,
    pub waiters: Arc<AllWaiters>,
    pub hub: Sender<HubInput>,
    /// Open watch streams; counted before Hub hears of one.
    pub streams: Arc<AtomicUsize>,
    pub keeper: Sender<KeeperInput>,
    pub inbox: Arc<Inbox>,
    /// Others have not heard of a commit yet.
    pub owes_commits: Arc<AtomicBool>,
    pub roster_changed: tokio::sync::watch::Sender<u64>,
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
/// When nothing else is committed for so long, others hear of what is: else the
/// next entries tell them.
const TELL_COMMITS: Duration = Duration::from_micros(500);
/// How long the loop waits for work when there is no sweeping to do.
const IDLE: Duration = Duration::from_secs(1);
/// Bytes of entries after which the revision log is made durable, whatever
/// their number.
const SYNC_BYTES: u64 = 32 << 20;

/// Runs until Core has gone.
pub fn drive(mut store: Store<OsDisk>, jobs: &Receiver<StoreJob>, around: Around) {
    let (mut asked, _) = store.applied();
    let mut told = asked;
    let mut bytes = 0;
    let full = around.fatal.clone();
    store.wait_when_full(Box::new(move || {
        full.wait(Which::Revisions);
        true
    }));
    loop {
        let patience = match () {
            () if around.owes_commits.load(Ordering::Relaxed) => TELL_COMMITS,
            () if store.wants_sweep() => SWEEP_PAUSE,
            () => IDLE,
        };
        let worked = match jobs.recv_timeout(patience) {
            Ok(StoreJob::Apply(Apply::Entries(entries))) => {
                bytes += entries.iter().map(|entry| entry.data.len() as u64).sum::<u64>();
                apply(&mut store, &entries, &around)
            }
            Ok(StoreJob::Apply(Apply::Restore(meta))) => restore(&mut store, &meta, &around),
            Ok(StoreJob::Synced((file, index, length))) => {
                store.note_synced(&file, index, length);
                Ok(())
            }
            Ok(StoreJob::Adopt(Adoption { base, index, link })) => {
                if store.adopt_chain(base, index, link) {
                    tracing::info!(index, base = %format!("{base:x}"), "goes on with the hash chain of the others");
                    around.view.store(Arc::new(store.view()));
                }
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) if around.owes_commits.load(Ordering::Relaxed) => {
                around.inbox.number(Input::TellCommits);
                Ok(())
            }
            // Space is given back while nothing else is to be done.
            Err(RecvTimeoutError::Timeout) if store.wants_sweep() => {
                store.sweep(SWEEP_BYTES).map(|_| ()).map_err(Fault::from)
            }
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(StoreJob::End) | Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(fault) = worked {
            return around.fatal.stop(&fault);
        }
        let durable = store.durable();
        if durable > told {
            // The write-ahead log may forget what is durable here.
            told = durable;
            around.inbox.number_in_passing(Input::Synced(durable));
            tracing::debug!(index = durable, "saved snapshot");
        }
        let (applied, _) = store.applied();
        if applied >= asked + around.sync_every || bytes >= SYNC_BYTES {
            (asked, bytes) = (applied, 0);
            if around.syncs.send(store.to_sync()).is_err() {
                return;
            }
        }
    }
    if let Err(fault) = store.sync() {
        around.fatal.stop(&fault.into());
    }
}

fn apply(store: &mut Store<OsDisk>, entries: &[store::Entry], around: &Around) -> Result<(), Fault> {
    let started = Instant::now();
    let own = around.own_ids;
    let wanted = |id: RequestId| id >> 48 == own;
    let applied = store.apply(entries, &wanted)?;
    around.fatal.written(Which::Revisions);
    crate::metrics::applied(started.elapsed(), entries.len(), store.stats());
    let view = store.view();
    around.view.store(Arc::new(view.clone()));
    // Hub hears before any client does: a watch created after a reply was
    // seen must not be told what that reply already said.
    // Without events too: a compaction has none, and ends watches of the past.
    // Without streams there is nobody to tell, and Hub looks at the View
    // itself when the first one opens.
    if around.streams.load(Ordering::SeqCst) > 0 {
        let _ = around.hub.send(HubInput::Publish(view, applied.events));
    }
    if !applied.leases.is_empty() {
        let _ = around.keeper.send(KeeperInput::Leases(applied.leases));
    }
    let changes = applied.roster.iter().filter_map(boot::raft_change).collect();
    for (id, outcome) in applied.outcomes {
        around.waiters.outcome(id, outcome);
    }
    around.inbox.applied(Applied { index: applied.index, changes });
    if !applied.roster.is_empty() {
        around.roster_changed.send_modify(|count| *count += 1);
    }
    Ok(())
}

fn restore(store: &mut Store<OsDisk>, meta: &raft::SnapshotMeta, around: &Around) -> Result<(), Fault> {
    tracing::info!(index = meta.index, term = meta.term, "applying snapshot");
    around.fatal.retry_while_full(Which::Revisions, || boot::install(&around.disk, store, meta))?;
    let view = store.view();
    around.view.store(Arc::new(view.clone()));
    let _ = around.keeper.send(KeeperInput::Reset(view.clone()));
    let _ = around.hub.send(HubInput::Replaced(view));
    around.inbox.number(Input::Applied(Applied { index: meta.index, changes: Vec::new() }));
    around.inbox.number(Input::Synced(meta.index));
    around.roster_changed.send_modify(|count| *count += 1);
    tracing::info!(index = meta.index, "applied snapshot");
    Ok(())
}
