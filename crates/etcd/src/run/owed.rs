//! A commit of which other members have not heard, and how long it may wait
//! for entries that take it along.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When nothing else is proposed for so long, others are told. Who looks is
/// not woken to the point, so it can be twice as long.
const TELL_COMMITS: Duration = Duration::from_micros(500);
/// For so long after the last commit that was owed somebody looks every
/// [`TELL_COMMITS`] and need not be woken for the next one.
const WATCHFUL_US: u64 = 5_000;

/// Since when, if at all, one is owed. Core's rounds say so, Store's thread
/// looks after it.
pub struct Owed {
    epoch: Instant,
    /// Microseconds since the epoch; 0 when none is.
    since_us: AtomicU64,
    /// When one was last owed.
    last_us: AtomicU64,
}

impl Default for Owed {
    fn default() -> Owed {
        Owed { epoch: Instant::now(), since_us: AtomicU64::new(0), last_us: AtomicU64::new(0) }
    }
}

impl Owed {
    fn now_us(&self) -> u64 {
        // 0 has another meaning.
        self.epoch.elapsed().as_micros() as u64 + 1
    }

    /// Whether one is owed after a round of Core.
    pub fn note(&self, owes: bool) {
        if owes == (self.since_us.load(Ordering::Relaxed) != 0) {
            return;
        }
        let now = if owes { self.now_us() } else { 0 };
        self.since_us.store(now, Ordering::Relaxed);
        if owes {
            self.last_us.store(now, Ordering::Relaxed);
        }
    }

    /// Whether one has been owed for too long.
    pub fn is_due(&self) -> bool {
        let since = self.since_us.load(Ordering::Relaxed);
        since != 0 && self.now_us().saturating_sub(since) >= TELL_COMMITS.as_micros() as u64
    }

    /// Whether somebody should look soon.
    pub fn is_watchful(&self) -> bool {
        let last = self.last_us.load(Ordering::Relaxed);
        self.since_us.load(Ordering::Relaxed) != 0 || (last != 0 && self.now_us().saturating_sub(last) < WATCHFUL_US)
    }

    /// How long to wait at most, for who looks after it.
    pub fn patience(&self, otherwise: Duration) -> Duration {
        if self.is_watchful() { TELL_COMMITS.min(otherwise) } else { otherwise }
    }
}
