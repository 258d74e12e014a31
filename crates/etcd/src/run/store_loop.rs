//! The loop that drives Store: apply, publish, tell, answer, in that order.

use super::fail::Fatal;
use super::hub_loop::HubInput;
use super::inbox::Inbox;
use super::keeper_loop::KeeperInput;
use super::waiters::AllWaiters;
use arc_swap::ArcSwap;
use crossbeam_channel::{Receiver, Sender};
use disk::OsDisk;
use member::boot;
use member::core::{Applied, Apply, Input};
use member::ids::RequestId;
use std::sync::Arc;
use std::time::Instant;
use store::{Store, View};

/// Work for Store.
pub enum StoreJob {
    /// From Core.
    Apply(Apply),
    /// Make the revision log durable; sent when the member stops.
    Sync,
}

/// What the loop reaches.
pub struct Around {
    pub disk: OsDisk,
    pub view: Arc<ArcSwap<View<OsDisk>>>,
    pub waiters: Arc<AllWaiters>,
    pub hub: Sender<HubInput>,
    pub keeper: Sender<KeeperInput>,
    pub inbox: Arc<Inbox>,
    pub roster_changed: tokio::sync::watch::Sender<u64>,
    pub fatal: Fatal,
    /// Applied entries after which the revision log is made durable and the
    /// write-ahead log may forget (`--snapshot-count`).
    pub sync_every: u64,
    /// The upper 16 bits of request ids of this member.
    pub own_ids: u64,
}

/// Bytes that the sweep may rewrite in one go.
const SWEEP_BYTES: u64 = 16 << 20;

/// Runs until Core has gone.
pub fn drive(mut store: Store<OsDisk>, jobs: Receiver<StoreJob>, around: Around) {
    let (mut synced, _) = store.applied();
    while let Ok(job) = jobs.recv() {
        let worked = match job {
            StoreJob::Apply(Apply::Entries(entries)) => apply(&mut store, &entries, &around),
            StoreJob::Apply(Apply::Restore(meta)) => restore(&mut store, &meta, &around),
            StoreJob::Sync => sync(&mut store, &mut synced, &around),
        };
        if let Err(fault) = worked {
            return around.fatal.stop(&fault);
        }
        let (applied, _) = store.applied();
        if applied >= synced + around.sync_every {
            let kept = sync(&mut store, &mut synced, &around).and_then(|()| {
                store.sweep(SWEEP_BYTES)?;
                Ok(())
            });
            if let Err(fault) = kept {
                return around.fatal.stop(&fault);
            }
        }
    }
    if let Err(fault) = sync(&mut store, &mut synced, &around) {
        around.fatal.stop(&fault);
    }
}

fn apply(store: &mut Store<OsDisk>, entries: &[store::Entry], around: &Around) -> Result<(), member::Fault> {
    let started = Instant::now();
    let own = around.own_ids;
    let wanted = |id: RequestId| id >> 48 == own;
    let applied = store.apply(entries, &wanted)?;
    crate::metrics::applied(started.elapsed(), entries.len(), store.stats());
    let view = store.view();
    around.view.store(Arc::new(view.clone()));
    // Hub hears before any client does: a watch created after a reply was
    // seen must not be told what that reply already said.
    if !applied.events.is_empty() {
        let _ = around.hub.send(HubInput::Publish(view, applied.events));
    }
    if !applied.leases.is_empty() {
        let _ = around.keeper.send(KeeperInput::Leases(applied.leases));
    }
    let changes = applied.roster.iter().filter_map(boot::raft_change).collect();
    around.inbox.number(Input::Applied(Applied { index: applied.index, changes }));
    for (id, outcome) in applied.outcomes {
        around.waiters.outcome(id, outcome);
    }
    if !applied.roster.is_empty() {
        around.roster_changed.send_modify(|count| *count += 1);
    }
    Ok(())
}

fn restore(store: &mut Store<OsDisk>, meta: &raft::SnapshotMeta, around: &Around) -> Result<(), member::Fault> {
    tracing::info!(index = meta.index, term = meta.term, "applying snapshot");
    around.fatal.retry_while_full("revision log", || boot::install(&around.disk, store, meta))?;
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

fn sync(store: &mut Store<OsDisk>, synced: &mut u64, around: &Around) -> Result<(), member::Fault> {
    let (applied, _) = store.applied();
    if applied == *synced {
        return Ok(());
    }
    *synced = store.sync()?;
    around.inbox.number(Input::Synced(*synced));
    tracing::debug!(index = *synced, "saved snapshot");
    Ok(())
}
