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
        let mut warned = false;
        loop {
            match write().map_err(Into::into) {
                Err(fault) if fault.is_full() => {
                    if !warned {
                        tracing::error!(
                            error = %fault,
                            "no space left on device: writes to the {what} wait, clients are refused until there is room"
                        );
                        warned = true;
                    }
                    self.full.store(true, Ordering::Relaxed);
                    std::thread::sleep(RETRY_FULL);
                }
                done => {
                    if warned {
                        tracing::warn!("there is room on the disk again; writes to the {what} go on");
                        self.full.store(false, Ordering::Relaxed);
                    }
                    return done;
                }
            }
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
