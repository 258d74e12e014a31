//! What a loop does when it cannot go on, and when it can wait.

use disk::Told;
use member::Fault;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What clients and probes are told while the disk is full. The operator's log has more.
pub const FULL: &str = "etcdserver: no space left on device: this member waits for room in its data directory";
/// What to do then.
pub const MAKE_ROOM: &str =
    "make room on that file system (df and df -i show it), enlarge it, or raise the quota on it";

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

/// A log that waits for room.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since: Instant,
    said: Instant,
}

/// Shared by the loops that touch the disk.
#[derive(Clone, Debug, Default)]
pub struct Fatal {
    /// One bit for each log that waits for room.
    full: Arc<AtomicU8>,
    /// Told when no log waits any more.
    room: Arc<Notify>,
    waiting: Arc<[Mutex<Option<Waiting>>; 2]>,
    data_dir: PathBuf,
    stopping: Arc<AtomicBool>,
}

/// Time between two tries while the disk is full.
const RETRY_FULL: Duration = Duration::from_millis(200);
/// Time between two lines that say so.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// What a shell sees of a process that SIGTERM has ended.
const TERMINATED: i32 = 143;

impl Fatal {
    /// For the loops of a member whose stop is announced by `stopping`.
    pub fn new(data_dir: &Path, stopping: Arc<AtomicBool>) -> Fatal {
        // Who reads the log at night is in another directory.
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Fatal { data_dir, stopping, ..Fatal::default() }
    }

    /// The disk is full: writes are refused until there is room again.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed) != 0
    }

    /// Waits until the disk is not full.
    pub async fn until_room(&self) {
        let mut told = std::pin::pin!(self.room.notified());
        loop {
            // Listens before it looks: room that comes in between is heard of.
            told.as_mut().enable();
            if !self.is_full() {
                return;
            }
            told.as_mut().await;
            told.set(self.room.notified());
        }
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
                Err(fault) if fault.is_full() => self.wait(which, fault.told()),
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
    pub fn wait(&self, which: Which, told: Option<Told<'_>>) {
        if self.stopping.load(Ordering::Relaxed) {
            tracing::warn!("stopping with a full disk; nothing that was acknowledged is lost");
            std::process::exit(TERMINATED);
        }
        self.full.fetch_or(which as u8, Ordering::Relaxed);
        if let Some(waited) = note(&mut self.waiting(which), Instant::now()) {
            let log = which.name();
            let (file, reason) = told.map(|told| (self.data_dir.join(told.file), told.reason)).unzip();
            tracing::error!(
                waited = (!waited.is_zero()).then(|| tracing::field::debug(whole_seconds(waited))),
                file = file.as_deref().map(|file| tracing::field::display(file.display())),
                error = reason.map(tracing::field::display),
                advice = MAKE_ROOM,
                "no space left on device: writes to the {log} wait, and clients are refused until there is room"
            );
        }
        std::thread::sleep(RETRY_FULL);
    }

    /// A write went through: there is room.
    pub fn written(&self, which: Which) {
        if self.full.load(Ordering::Relaxed) & which as u8 != 0 {
            self.full.fetch_and(!(which as u8), Ordering::Relaxed);
            if !self.is_full() {
                self.room.notify_waiters();
            }
            let waited = self.waiting(which).take().map(|waiting| whole_seconds(waiting.since.elapsed()));
            tracing::warn!(
                waited = waited.map(tracing::field::debug),
                "there is room on the disk again; writes to the {} go on",
                which.name()
            );
        }
    }

    /// Says what and where, and ends the process: a restart with the log is
    /// the recovery.
    pub fn stop(&self, fault: &Fault) {
        let data_dir = self.data_dir.display();
        tracing::error!("data-dir" = %data_dir, error = %fault, "this member cannot go on and stops");
        crate::logging::plain(&format!("etcd: data directory {data_dir}: {fault}"));
        std::process::exit(2);
    }

    fn waiting(&self, which: Which) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.waiting[which as usize - 1].lock().expect("noting a time does not panic")
    }
}

/// Takes note that a log waits; how long it has, if that is to be said now.
fn note(waiting: &mut Option<Waiting>, now: Instant) -> Option<Duration> {
    let known = waiting.get_or_insert(Waiting { since: now, said: now });
    let waited = now - known.since;
    if !waited.is_zero() && now - known.said < SAY_AGAIN {
        return None;
    }
    known.said = now;
    Some(waited)
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_at_once_and_then_now_and_then() {
        let (mut waiting, begun) = (None, Instant::now());
        let mut said_at = |tenths: u64| note(&mut waiting, begun + Duration::from_millis(100 * tenths));
        let said: Vec<(u64, Duration)> = (0..1_000).filter_map(|at| Some((at, said_at(at)?))).collect();
        assert_eq!(said, [0, 300, 600, 900].map(|at| (at, Duration::from_secs(at / 10))));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told() {
        let fatal = Fatal::new(Path::new("data"), Arc::default());
        fatal.until_room().await;
        fatal.wait(Which::WriteAhead, None);
        fatal.wait(Which::Revisions, None);
        let mut until = std::pin::pin!(fatal.until_room());
        let mut waits =
            async || tokio::select! { biased; () = &mut until => false, () = std::future::ready(()) => true };
        assert!(waits().await);
        fatal.written(Which::WriteAhead);
        assert!(waits().await, "the other log has no room yet");
        fatal.written(Which::Revisions);
        assert!(!waits().await);
    }

    #[test]
    fn each_log_waits_by_itself_and_begins_anew() {
        let fatal = Fatal::new(Path::new("data"), Arc::default());
        assert!(fatal.data_dir.is_absolute());
        fatal.wait(Which::WriteAhead, None);
        fatal.wait(Which::Revisions, None);
        let since = fatal.waiting(Which::WriteAhead).expect("it waits").since;
        fatal.wait(Which::WriteAhead, None);
        assert_eq!(fatal.waiting(Which::WriteAhead).expect("it waits").since, since);
        fatal.written(Which::WriteAhead);
        assert!(fatal.is_full() && fatal.waiting(Which::WriteAhead).is_none());
        fatal.wait(Which::WriteAhead, None);
        assert!(fatal.waiting(Which::WriteAhead).expect("it waits").since > since);
        fatal.written(Which::WriteAhead);
        fatal.written(Which::Revisions);
        assert!(!fatal.is_full());
    }
}
