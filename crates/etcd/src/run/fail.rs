//! What a loop does when it cannot go on, and when it can wait.

use member::Fault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

/// The two logs that can find the disk full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The write-ahead log.
    WriteAhead = 1,
    /// The revision log.
    Revisions = 2,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::WriteAhead => "write-ahead log",
            Which::Revisions => "revision log",
        }
    }
}

/// Shared by the loops that touch the disk.
#[derive(Clone, Debug, Default)]
pub struct Fatal {
    /// One bit for each log that waits for room.
    full: Arc<AtomicU8>,
    stopping: Arc<AtomicBool>,
}

/// Time between two tries while the disk is full.
const RETRY_FULL: Duration = Duration::from_millis(200);
/// What a shell sees of a process that SIGTERM has ended.
const TERMINATED: i32 = 143;

impl Fatal {
    /// For the loops of a member whose stop is announced by `stopping`.
    pub fn new(stopping: Arc<AtomicBool>) -> Fatal {
        Fatal { full: Arc::default(), stopping }
    }

    /// The disk is full: writes are refused until there is room again.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed) != 0
    }

    /// Repeats `write` while the disk is full. `write` must be such that a
    /// failed attempt leaves nothing behind that a later one does not
    /// overwrite.
    ///
    /// # Errors
    /// Any other failure.
    pub fn retry_while_full<T, E: Into<Fault>>(
        &self,
        which: Which,
        mut write: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Fault> {
        loop {
            match write().map_err(Into::into) {
                Err(fault) if fault.is_full() => self.wait(which),
                done => {
                    self.written(which);
                    return done;
                }
            }
        }
    }

    /// Waits a while because the disk is full; clients are refused meanwhile.
    /// A member that is stopping does not wait: what it cannot write was never
    /// acknowledged.
    pub fn wait(&self, which: Which) {
        if self.stopping.load(Ordering::Relaxed) {
            tracing::warn!("stopping with a full disk; nothing that was acknowledged is lost");
            std::process::exit(TERMINATED);
        }
        if self.full.fetch_or(which as u8, Ordering::Relaxed) & which as u8 == 0 {
            let log = which.name();
            tracing::error!(
                "no space left on device: writes to the {log} wait, and clients are refused until there is room"
            );
        }
        std::thread::sleep(RETRY_FULL);
    }

    /// A write went through: there is room.
    pub fn written(&self, which: Which) {
        if self.full.load(Ordering::Relaxed) & which as u8 != 0 {
            self.full.fetch_and(!(which as u8), Ordering::Relaxed);
            tracing::warn!("there is room on the disk again; writes to the {} go on", which.name());
        }
    }

    /// Says what and where, and ends the process: a restart with the log is
    /// the recovery.
    pub fn stop(&self, fault: &Fault) {
        tracing::error!(error = %fault, "this member cannot go on and stops");
        crate::logging::plain(&format!("etcd: {fault}"));
        std::process::exit(2);
    }
}
