//! Where clients write down what they do, and the clock they do it by.

use crate::history::{Ask, History, Nanos, Op, Outcome, Told};
use proto::etcdserverpb::WatchResponse;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Shared by all clients.
pub struct Notebook {
    born: Instant,
    history: Mutex<History>,
    /// The highest revision that anybody was told of.
    latest: AtomicI64,
    /// Acknowledged writes.
    acknowledged: AtomicU64,
    stopped: watch::Sender<bool>,
}

impl Default for Notebook {
    fn default() -> Notebook {
        Notebook {
            born: Instant::now(),
            history: Mutex::default(),
            latest: AtomicI64::new(1),
            acknowledged: AtomicU64::new(0),
            stopped: watch::Sender::new(false),
        }
    }
}

impl Notebook {
    /// Now.
    pub fn now(&self) -> Nanos {
        self.born.elapsed().as_nanos() as Nanos
    }

    /// What this moment is by this clock.
    pub fn at(&self, moment: Instant) -> Nanos {
        moment.saturating_duration_since(self.born).as_nanos() as Nanos
    }

    /// A request that has ended just now.
    pub fn ended(&self, client: usize, begin: Nanos, ask: Ask, outcome: Outcome) {
        let op = Op { client, begin, end: self.now(), ask, outcome };
        self.latest.fetch_max(op.revision().unwrap_or(0), Ordering::Relaxed);
        self.acknowledged.fetch_add(u64::from(op.changed()), Ordering::Relaxed);
        self.with(|history| history.ops.push(op));
    }

    /// A compaction is going to be asked for.
    pub fn compacts(&self, revision: i64) {
        self.with(|history| history.compactions.push((self.now(), revision)));
    }

    /// One was acknowledged.
    pub fn has_compacted(&self) {
        self.with(|history| history.compactions_done += 1);
    }

    /// A renewal and a read are going to be asked of a leader that is away.
    pub fn asks_away(&self) {
        self.with(|history| history.asked_away += 1);
    }

    /// A watch that begins; its number.
    pub fn watches(&self, told: Told) -> usize {
        self.with(|history| {
            history.watches.push(told);
            history.watches.len() - 1
        })
    }

    /// A watch was told something just now.
    pub fn told(&self, watch: usize, response: WatchResponse) {
        let now = self.now();
        self.latest.fetch_max(response.header.as_ref().map_or(0, |header| header.revision), Ordering::Relaxed);
        self.with(|history| {
            // Nothing is written down any more once it was taken.
            if let Some(told) = history.watches.get_mut(watch) {
                told.responses.push((now, response));
            }
        });
    }

    /// How far this watch has come.
    pub fn upto(&self, watch: usize) -> i64 {
        self.with(|history| history.watches.get(watch).map_or(0, Told::upto))
    }

    /// A watch has seen what it came for, or was cancelled.
    pub fn leaves(&self, watch: usize) {
        self.with(|history| history.watches.get_mut(watch).into_iter().for_each(|told| told.stays = false));
    }

    /// Watches that are still there and have not come so far: who watches, from where, and how far it is.
    pub fn behind(&self, revision: i64) -> Vec<(usize, i64, i64)> {
        self.with(|history| {
            let stay = history.watches.iter().filter(|told| told.stays && told.upto() < revision);
            stay.map(|told| (told.client, told.from, told.upto())).collect()
        })
    }

    /// How far each witness has come.
    pub fn witnesses(&self) -> Vec<(usize, i64)> {
        self.with(|history| {
            let witnesses = history.watches.iter().filter(|told| told.is_witness() && !told.again);
            witnesses.map(|told| (told.client, told.upto())).collect()
        })
    }

    /// The highest revision that anybody was told of.
    pub fn latest(&self) -> i64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The load ends: whoever is asked again begins nothing more.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Whether it has.
    pub fn stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Between two things that a client does: so long, or until the load ends.
    pub async fn pause(&self, length: Duration) {
        let mut stopped = self.stopped.subscribe();
        let _over = tokio::time::timeout(length, stopped.wait_for(|stopped| *stopped)).await;
    }

    /// Everything.
    pub fn take(&self) -> History {
        self.with(std::mem::take)
    }

    fn with<T>(&self, act: impl FnOnce(&mut History) -> T) -> T {
        act(&mut self.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
