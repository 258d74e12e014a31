//! Whether a fault was felt: a schedule only says that one was tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what shows that a fault had an effect: packets that it dropped,
/// processes that it killed, writes that were refused for it. Clones count
/// together.
#[derive(Clone, Debug, Default)]
pub struct Felt(Arc<AtomicU64>);

impl Felt {
    /// So many times more.
    pub fn note(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    /// How many times so far.
    pub fn times(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
