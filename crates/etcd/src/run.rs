//! A running member: five loops on threads of their own and two for its links,
//! wired once.
//!
//! Start-up builds a tree; shut-down runs it down by dropping ends: the inbox
//! closes, Core returns and closes the doors of Log and Store, then Hub and
//! Keeper see their queues end. There is no task graph and no setter that closes a cycle.
//!
//! The simulator's twin of this file is `sim/src/member.rs`; who changes one
//! reads the other.

mod chain_loop;
mod core_loop;
pub mod fail;
pub mod hub_door;
pub mod hub_loop;
pub mod inbox;
pub mod keeper_loop;
mod local;
mod log_door;
mod owed;
mod remarks;
#[cfg(test)]
pub(crate) mod scratch;
mod store_door;
mod store_loop;
pub mod waiters;

use crate::handle::{Handle, Parts, Settings};
use crate::peer::{Identity, Peers, Runtimes, Timeouts};
use arc_swap::ArcSwap;
use disk::OsDisk;
use inbox::Inbox;
use local::LocalMember;
use member::boot::Opened;
use member::core::Input;
use member::hub;
use member::ids::IdMaker;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use store::roster::Member;
use tokio::sync::{oneshot, watch};
use waiters::AllWaiters;

/// What a member needs to run besides its data.
pub struct Birth {
    /// What the edge knows too.
    pub settings: Settings,
    /// Where this member tells others that it is reached.
    pub peer_urls: Vec<String>,
    /// `--snapshot-count`
    pub snapshot_count: u64,
    /// `--watch-progress-notify-interval`
    pub watch_progress_interval: Duration,
    /// Time between two checkpoints of a lease, if any are made (gate
    /// `LeaseCheckpoint`).
    pub lease_checkpoint_interval: Option<Duration>,
    /// What ids begin with: another number at each start.
    pub birth: u64,
}

/// A member that runs.
pub struct Running {
    /// The way in.
    pub handle: Handle,
    /// Counts changes of the roster; and tells that what was committed at the start is applied.
    pub roster_changes: watch::Receiver<u64>,
    /// What the log said was committed when this life began.
    pub committed_at_start: u64,
    /// Where the links to other members run.
    pub links: tokio::runtime::Handle,
    /// End the threads of the links when they are dropped.
    links_stop: [oneshot::Sender<()>; 2],
    /// Becomes true when other members say that this one was removed.
    pub removed: watch::Receiver<bool>,
    /// Is there when another member, at that URL, knows this one as one that has run, although it says that this is its first start.
    pub has_run: watch::Receiver<Option<(String, Member)>>,
    inbox: Arc<Inbox>,
    waiters: Arc<AllWaiters>,
    stopping: Arc<AtomicBool>,
    threads: Vec<(&'static str, JoinHandle<()>)>,
}

/// Starts the loops over an opened member.
pub fn start(disk: OsDisk, opened: Opened<OsDisk>, birth: Birth, runtime: &tokio::runtime::Handle) -> Running {
    let Opened { core, log, store, identity, .. } = opened;
    let settings = birth.settings;
    let inbox = Arc::new(Inbox::default());
    let waiters = Arc::new(AllWaiters::default());
    let stopping = Arc::new(AtomicBool::new(false));
    let fatal = fail::Fatal::new(disk.root(), stopping.clone());
    let first_view = store.view();
    let view = Arc::new(ArcSwap::from_pointee(first_view.clone()));
    let ids = Arc::new(Mutex::new(IdMaker::new(identity.member_id, birth.birth)));
    let (status_sender, status) = watch::channel(Arc::new(core.status()));
    let numbers = Arc::new(ArcSwap::from_pointee(core.status()));
    let owed = Arc::new(owed::Owed::default());
    let store_door = Arc::new(store_door::StoreDoor::new(owed.clone()));
    let (roster_changed, roster_changes) = watch::channel(0);
    let (sync_sender, sync_jobs) = mpsc::channel();
    let (hub_door, hub_queue) = hub_door::new();
    let (keeper_sender, keeper_inputs) = mpsc::channel();

    let (removed, removed_changes) = watch::channel(false);
    let (has_run, has_run_changes) = watch::channel(None);
    // Links to other members have threads of their own: a message wakes one
    // and nobody else, and a busy edge does not delay heartbeats.
    let links = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let links = links.expect("the system gives a poller at boot");
    let links_handle = links.handle().clone();
    let (links_stop, links_stopped) = oneshot::channel::<()>();
    // What others append comes on one that may wait for the disk: heartbeats come on the other.
    let appends = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let appends = appends.expect("the system gives a poller at boot");
    let appends_handle = appends.handle().clone();
    let (appends_stop, appends_stopped) = oneshot::channel::<()>();
    let log_door = Arc::new(log_door::LogDoor::new(log, inbox.clone(), fatal.clone()));
    let handle_cell = Arc::new(OnceLock::new());
    let local = LocalMember {
        inbox: inbox.clone(),
        log: log_door.clone(),
        view: view.clone(),
        disk: disk.clone(),
        removed,
        has_run,
        parts: AtomicU64::new(0),
        received: Arc::default(),
        handle: handle_cell.clone(),
    };
    let peers = Peers::new(
        Identity { member_id: identity.member_id, cluster_id: identity.cluster_id, peer_urls: birth.peer_urls },
        Timeouts::new(settings.election_timeout),
        Arc::new(local),
        Runtimes { links: links_handle.clone(), appends: appends_handle },
    );

    let mut threads = Vec::new();
    let mut spawn = |name: &'static str, body: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
        threads.push((name, thread.expect("the system starts threads at boot")));
    };
    spawn(
        "links",
        Box::new(move || {
            // Ends when its other end is dropped.
            let _ = links.block_on(links_stopped);
        }),
    );
    spawn(
        "appends",
        Box::new(move || {
            let _ = appends.block_on(appends_stopped);
        }),
    );
    let (sync_fatal, sync_door, chain_door) = (fatal.clone(), store_door.clone(), store_door.clone());
    let below = core_loop::Below {
        log: log_door.clone(),
        store: store_door.clone(),
        keeper: keeper_sender.clone(),
        peers: peers.clone(),
        waiters: waiters.clone(),
        owed: owed.clone(),
        numbers: numbers.clone(),
        status: status_sender,
    };
    let tick = settings.heartbeat_interval;
    let committed_at_start = core.status().commit;
    inbox.open(core_loop::Driver::new(core, below));
    let core_inbox = inbox.clone();
    spawn("core", Box::new(move || core_loop::drive(&core_inbox, tick)));

    spawn("sync", Box::new(move || store_loop::drive_syncs(&sync_jobs, &sync_door, &sync_fatal)));

    spawn("log", Box::new(move || log_door.drive()));

    let around = store_loop::Around {
        disk,
        view: view.clone(),
        waiters: waiters.clone(),
        hub: hub_door.clone(),
        keeper: keeper_sender.clone(),
        inbox: inbox.clone(),
        roster_changed,
        committed_at_start,
        fatal: fatal.clone(),
        syncs: sync_sender,
        sync_every: birth.snapshot_count.max(1),
        own_ids: identity.member_id & 0xffff,
    };
    store_door.open(store_loop::Worker::new(store, around));
    let store_inbox = inbox.clone();
    spawn("store", Box::new(move || store_loop::drive(&store_door, &store_inbox, &owed)));

    let progress_interval_ms = birth.watch_progress_interval.as_millis() as u64;
    let hub_settings = hub::Settings::new(progress_interval_ms, settings.max_request_bytes + (512 << 10));
    let (hub_view, hub_fatal) = (view.clone(), fatal.clone());
    spawn("hub", Box::new(move || hub_loop::drive(hub_settings, hub_view, hub_queue, hub_fatal)));

    let keeper_ids = ids.clone();
    let keeper_around = keeper_loop::Around {
        inbox: inbox.clone(),
        next_id: Arc::new(move || keeper_ids.lock().expect("making an id does not panic").next_id()),
        election_timeout: settings.election_timeout,
        retry: settings.request_timeout,
        checkpoint_interval: birth.lease_checkpoint_interval,
    };
    spawn("keeper", Box::new(move || keeper_loop::drive(first_view, keeper_inputs, keeper_around)));

    let leader_elected = Arc::new(Mutex::new(None));
    runtime.spawn(note_elections(status.clone(), leader_elected.clone()));
    let handle = Handle::new(Parts {
        settings,
        inbox: inbox.clone(),
        waiters: waiters.clone(),
        view,
        numbers,
        status,
        roster_changes: roster_changes.clone(),
        hub: hub_door,
        keeper: keeper_sender,
        peers,
        ids,
        stream_ids: Arc::new(AtomicU64::new(1)),
        fatal,
        stopping: stopping.clone(),
        leader_elected,
        raising_alarm: tokio::sync::Mutex::default(),
        answers: crate::rpc::Budget::default(),
    });
    assert!(handle_cell.set(handle.clone()).is_ok(), "the handle is set once");
    links_handle.spawn(chain_loop::drive(handle.clone(), chain_door));
    Running {
        handle,
        links: links_handle,
        links_stop: [links_stop, appends_stop],
        roster_changes,
        committed_at_start,
        removed: removed_changes,
        has_run: has_run_changes,
        inbox,
        waiters,
        stopping,
        threads,
    }
}

impl Running {
    /// Asks raft for leadership at once: the only voter of a cluster need not
    /// wait for a timeout.
    pub fn campaign(&self) {
        // The inbox of a member that has just started is not full.
        let _ = self.inbox.request(Input::Campaign);
    }

    /// Stops in order. Everything acknowledged is durable before it returns.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.waiters.proposals.clear();
        self.waiters.reads.clear();
        self.inbox.close();
        self.handle.peers().stop();
        let Running { handle, threads, links_stop, .. } = self;
        drop(handle);
        drop(links_stop);
        for (name, thread) in threads {
            // Hub and Keeper end when the last client has gone; the process
            // need not wait for clients.
            if matches!(name, "core" | "log" | "store") && thread.join().is_err() {
                tracing::error!(thread = name, "a thread of this member panicked while stopping");
            }
        }
    }
}

/// Remembers when a leader was last seen elected, for the words of timeouts.
async fn note_elections(mut status: watch::Receiver<Arc<member::core::Status>>, at: Arc<Mutex<Option<Instant>>>) {
    let mut leader = status.borrow().leader;
    while status.changed().await.is_ok() {
        let now = status.borrow().leader;
        if now != leader {
            leader = now;
            if leader != 0 {
                *at.lock().expect("noting a time does not panic") = Some(Instant::now());
            }
        }
    }
}
