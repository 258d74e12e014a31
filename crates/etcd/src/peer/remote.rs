//! One other member as seen from here: where it is, whether it answers, and the queues towards it.
//!
//! ```text
//!            ┌── msgapp  queue ──▶ stream it dialled ─┐
//!   send ────┼── message queue ──▶ stream it dialled ─┼──▶ remote
//!            ├── pipeline queue ─▶ 4 POST workers ────┤
//!            └── snapshot ───────▶ one POST at a time ┘
//! ```
//!
//! Choosing never waits. What has no stream goes through the pipeline; what finds its queue full is lost, and raft is told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use raft::{Message, MessageKind};
use tokio::task::AbortHandle;

use super::client::Lane;
use super::frame::StreamKind;
use super::outbox::{Inbox, Outbox, Refused, STREAM_QUEUE_MAX, queue};
use super::{Local, door, hex};
use crate::logging::throttle::Throttle;

/// Messages that may wait for the pipeline (etcd's number).
pub const PIPELINE_QUEUE_MAX: usize = 64;

/// Idle connections kept.
const LANES_MAX: usize = 8;

/// What was counted for one remote. For metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of messages sent.
    pub sent_bytes: Arc<AtomicU64>,
    /// Bytes received on streams.
    pub received_bytes: AtomicU64,
    /// Messages or snapshots that could not be sent.
    pub sent_failures: AtomicU64,
    /// Streams that broke off because of what came in.
    pub received_failures: AtomicU64,
    /// Microseconds of the last probe's round trip.
    pub round_trip_micros: AtomicU64,
}

/// Another member, or a stranger that has introduced itself.
pub(super) struct Remote {
    pub id: u64,
    urls: Mutex<Urls>,
    /// Queues of the streams that the remote has dialled.
    msgapp: Mutex<Option<Outbox>>,
    message: Mutex<Option<Outbox>>,
    pipeline: Outbox,
    active: Mutex<Active>,
    /// What has been said lately of its refusals.
    refusals: Mutex<Throttle>,
    /// A snapshot is on its way.
    pub snapshot_under_way: AtomicBool,
    /// Until when it need not be asked for its hash chain.
    pub no_chain_until: Mutex<Option<Instant>>,
    /// Idle connections for requests.
    pub lanes: Mutex<Vec<Lane>>,
    pub counters: Counters,
    stopped: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
}

struct Urls {
    all: Vec<String>,
    next: usize,
}

#[derive(Default)]
struct Active {
    since: Option<Instant>,
    /// Why the last try failed, while it does not answer.
    trouble: Option<String>,
}

/// How a message left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Queued,
    /// It is lost; raft must be told.
    Lost,
}

impl Remote {
    /// The remote and the receiving end of its pipeline.
    pub fn new(id: u64, urls: Vec<String>) -> (Remote, Inbox) {
        let (pipeline, inbox) = queue(PIPELINE_QUEUE_MAX);
        let remote = Remote {
            id,
            urls: Mutex::new(Urls { all: urls, next: 0 }),
            msgapp: Mutex::new(None),
            message: Mutex::new(None),
            pipeline,
            active: Mutex::new(Active::default()),
            refusals: Mutex::new(Throttle::new(door::PAUSE)),
            snapshot_under_way: AtomicBool::new(false),
            no_chain_until: Mutex::new(None),
            lanes: Mutex::new(Vec::new()),
            counters: Counters::default(),
            stopped: AtomicBool::new(false),
            tasks: Mutex::new(Vec::new()),
        };
        (remote, inbox)
    }

    /// The URL to use now, as `http://host:port`. None: it has none.
    pub fn url(&self) -> Option<String> {
        let urls = lock(&self.urls);
        urls.all.get(urls.next % urls.all.len().max(1)).cloned()
    }

    /// This URL did not work; the next one is tried next.
    pub fn avoid(&self, url: &str) {
        let mut urls = lock(&self.urls);
        let count = urls.all.len().max(1);
        if urls.all.get(urls.next % count).is_some_and(|present| present == url) {
            urls.next = (urls.next + 1) % count;
        }
    }

    pub fn set_urls(&self, all: Vec<String>) {
        let mut urls = lock(&self.urls);
        if urls.all != all {
            *urls = Urls { all, next: 0 };
            lock(&self.lanes).clear();
        }
    }

    /// An idle connection to this URL of it, if there is one. It is taken out: a request that is given up half-way leaves
    /// no connection behind to go on with.
    pub fn idle_lane(&self, url: &str) -> Option<Lane> {
        let mut lanes = lock(&self.lanes);
        lanes.retain(|lane| lane.is_open() && lane.url() == url);
        lanes.pop()
    }

    /// Keeps a connection whose answer has come for a later request.
    pub fn keep_lane(&self, lane: Lane) {
        let mut lanes = lock(&self.lanes);
        if lanes.len() < LANES_MAX {
            lanes.push(lane);
        }
    }

    /// Opens the queue of a stream that the remote has just dialled. A former stream of this kind ends.
    pub fn attach(&self, kind: StreamKind) -> (Outbox, Inbox) {
        let (outbox, inbox) = queue(STREAM_QUEUE_MAX);
        *lock(self.slot(kind)) = Some(outbox.clone());
        (outbox, inbox)
    }

    /// A stream has ended. A newer one is left alone.
    pub fn detach(&self, kind: StreamKind, ended: &Outbox) {
        let mut slot = lock(self.slot(kind));
        if slot.as_ref().is_some_and(|present| present.is_same(ended)) {
            *slot = None;
        }
    }

    /// Whether the remote has dialled this stream.
    #[cfg(test)]
    pub fn has_stream(&self, kind: StreamKind) -> bool {
        lock(self.slot(kind)).as_ref().is_some_and(|outbox| !outbox.is_closed())
    }

    fn slot(&self, kind: StreamKind) -> &Mutex<Option<Outbox>> {
        match kind {
            StreamKind::MsgApp => &self.msgapp,
            StreamKind::Message => &self.message,
        }
    }

    /// Puts a message (not a snapshot) into the queue where it belongs.
    pub fn send(&self, message: Message) -> Sent {
        assert_ne!(message.kind, MessageKind::Snap, "snapshots have their own way");
        let order: &[StreamKind] = match message.kind {
            MessageKind::App => &StreamKind::ALL,
            _ => &[StreamKind::Message],
        };
        let mut message = message;
        for kind in order {
            let outbox = lock(self.slot(*kind)).clone();
            let Some(outbox) = outbox.filter(|outbox| !outbox.is_closed()) else { continue };
            match outbox.send(message) {
                Ok(()) => return Sent::Queued,
                Err(Refused::Full) => return self.lost(),
                Err(Refused::Closed(back)) => message = *back,
            }
        }
        match self.pipeline.send(message) {
            Ok(()) => Sent::Queued,
            Err(_) => self.lost(),
        }
    }

    fn lost(&self) -> Sent {
        self.counters.sent_failures.fetch_add(1, Ordering::Relaxed);
        Sent::Lost
    }

    /// It answered.
    pub fn activate(&self) {
        let mut active = lock(&self.active);
        if active.since.is_none() {
            *active = Active { since: Some(Instant::now()), trouble: None };
            tracing::info!("peer-id" = %hex(self.id), "peer became active");
        }
    }

    /// It did not answer, or broke off. Said once, when it is news.
    pub fn deactivate(&self, action: &str, reason: &str) {
        let failed = Active { since: None, trouble: Some(reason.to_owned()) };
        let was_active = std::mem::replace(&mut *lock(&self.active), failed).since.is_some();
        let id = hex(self.id);
        if was_active {
            tracing::warn!("peer-id" = %id, action, error = reason, "peer became inactive (message send to peer failed)");
        } else {
            tracing::debug!("peer-id" = %id, action, error = reason, "peer deactivated again");
        }
    }

    /// It has refused this member, and will again: it is asked ten times a second.
    pub fn ignored(&self, reason: &str) {
        if let Some(untold) = lock(&self.refusals).due(reason, Instant::now()) {
            let id = hex(self.id);
            tracing::warn!("remote-peer-id" = %id, error = reason, "suppressed-lines" = untold, "request sent was ignored by remote peer");
        }
    }

    pub fn active_since(&self) -> Option<Instant> {
        lock(&self.active).since
    }

    /// Why it does not answer, as far as that is known.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.active).trouble.clone()
    }

    pub fn adopt(&self, task: AbortHandle) {
        lock(&self.tasks).push(task);
    }

    /// Ends its tasks and streams. What waits is lost.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        for kind in StreamKind::ALL {
            *lock(self.slot(kind)) = None;
        }
        lock(&self.lanes).clear();
    }
}

/// Ends the stream's part in the remote when the connection drops its body.
pub(super) fn on_stream_end(
    remote: Arc<Remote>,
    local: Arc<dyn Local>,
    kind: StreamKind,
    outbox: Outbox,
) -> Box<dyn FnOnce() + Send + Sync> {
    Box::new(move || {
        remote.detach(kind, &outbox);
        let id = hex(remote.id);
        match remote.stopped.load(Ordering::Relaxed) {
            // By this member itself, which stops, or has let the other one go.
            true => {
                tracing::info!("stream-writer-type" = kind.title(), "remote-peer-id" = %id, "stopped TCP streaming connection with remote peer");
            }
            false => {
                tracing::warn!("stream-writer-type" = kind.title(), "remote-peer-id" = %id, "closed TCP streaming connection with remote peer");
            }
        }
        // What was queued or on its way may be lost: raft probes again.
        local.unreachable(remote.id);
    })
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts attempts for tests and metrics.
pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
