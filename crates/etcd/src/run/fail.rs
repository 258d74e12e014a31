//! What a loop does when it cannot go on, and when it can wait.

use member::Fault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Shared by the loops that touch the disk.
#[derive(Clone, Debug, Default)]
pub struct Fatal {
    full: Arc<AtomicBool>,
}

/// Time between two tries while the disk is full.
const RETRY_FULL: Duration = Duration::from_millis(200);

impl Fatal {
    /// The disk is full: writes are refused until there is room again.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Repeats `write` while the disk is full. `write` must be such that a
    /// failed attempt leaves nothing behind that a later one does not
    /// overwrite.
    ///
    /// # Errors
    /// Any other failure.
    pub fn retry_while_full<T, E: Into<Fault>>(
        &self,
        what: &str,
        mut write: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Fault> {
        loop {
            match write().map_err(Into::into) {
                Err(fault) if fault.is_full() => self.wait(what),
                done => {
                    self.written(what);
                    return done;
                }
            }
        }
    }

    /// Waits a while because the disk is full; clients are refused meanwhile.
    pub fn wait(&self, what: &str) {
        if !self.full.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "no space left on device: writes to the {what} wait, and clients are refused until there is room"
            );
        }
        std::thread::sleep(RETRY_FULL);
    }

    /// A write went through: there is room.
    pub fn written(&self, what: &str) {
        if self.full.load(Ordering::Relaxed) && self.full.swap(false, Ordering::Relaxed) {
            tracing::warn!("there is room on the disk again; writes to the {what} go on");
        }
    }

    /// Says what and where, and ends the process: a restart with the log is
    /// the recovery.
    pub fn stop(&self, fault: &Fault) {
        tracing::error!(error = %fault, "this member cannot go on and stops");
        eprintln!("etcd: {fault}");
        std::process::exit(2);
    }
}
