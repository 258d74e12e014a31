//! The door to Log, and the rule of who writes: one write and one fdatasync
//! for all that waits.
//!
//! Jobs queue up in order, and whoever holds the baton writes, one thread at a
//! time. Mostly that is Log's own thread: who serves clients or listens to
//! members must not wait for a disk. One thread has nothing else to do than to
//! take in what the leader appends, and heartbeats do not come by it (see
//! [`crate::peer`]): within [`LogDoor::write_after`] it writes itself what is
//! little, if nobody writes and nothing waits. A lone entry is then read,
//! written and acknowledged by one thread.

use super::fail::{Fatal, Which};
use super::inbox::Inbox;
use disk::{Disk, OsDisk};
use member::core::Input;
use member::ids::Index;
use member::limits;
use member::log::Log;
use raft::Append;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Up to so many bytes are little: more wait longer for the disk than for a
/// thread, which takes with them what has come meanwhile.
const LITTLE_BYTES: usize = 4 << 10;

/// Work for Log.
#[derive(Debug)]
pub enum LogJob {
    /// Write these, then say so.
    Append(Vec<Append>),
    /// Entries up to here may be forgotten.
    Release(Index),
}

impl LogJob {
    fn bytes(&self) -> usize {
        let LogJob::Append(appends) = self else { return 0 };
        appends.iter().flat_map(|append| &append.entries).map(|entry| entry.data.len() + 64).sum()
    }
}

/// Log has gone: the member is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Whether a thread that brings a job may write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Willing {
    No,
    Yes,
    /// It has the baton, and writes when it has let go of everything else.
    Promised,
}

thread_local! {
    static WILLING: Cell<Willing> = const { Cell::new(Willing::No) };
}

#[derive(Default)]
struct State {
    jobs: VecDeque<LogJob>,
    /// Somebody holds the baton.
    taken: bool,
    closed: bool,
}

/// See the module's essay.
pub struct LogDoor<D: Disk = OsDisk> {
    state: Mutex<State>,
    /// Log's own thread is told of jobs that nobody works on, and of the end.
    ready: Condvar,
    /// Locked only by who holds the baton.
    worker: Mutex<Worker<D>>,
}

/// Log and what it reaches.
struct Worker<D: Disk> {
    /// Until the end.
    log: Option<Log<D>>,
    inbox: Arc<Inbox>,
    fatal: Fatal,
}

impl<D: Disk> LogDoor<D> {
    /// A door with Log behind it.
    pub fn new(log: Log<D>, inbox: Arc<Inbox>, fatal: Fatal) -> LogDoor<D> {
        let worker = Mutex::new(Worker { log: Some(log), inbox, fatal });
        LogDoor { state: Mutex::default(), ready: Condvar::new(), worker }
    }

    /// Queues a job. Never waits.
    ///
    /// # Errors
    /// When Log has gone.
    pub fn put(&self, job: LogJob) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.closed {
            return Err(Gone);
        }
        let alone = !state.taken && state.jobs.is_empty();
        let little = matches!(job, LogJob::Append(_)) && job.bytes() <= LITTLE_BYTES;
        state.jobs.push_back(job);
        if alone && little && WILLING.get() == Willing::Yes {
            WILLING.set(Willing::Promised);
            state.taken = true;
        } else if !state.taken {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Runs `work`, and then writes what it has brought, if that is little and
    /// nobody else does. Waits for the disk: the caller must be a thread that
    /// nobody waits for, and hold nothing.
    pub fn write_after<R>(&self, work: impl FnOnce() -> R) -> R {
        /// Who cannot keep a promise hands it on.
        struct Promise<'a, D: Disk>(&'a LogDoor<D>);
        impl<D: Disk> Drop for Promise<'_, D> {
            fn drop(&mut self) {
                if WILLING.replace(Willing::No) == Willing::Promised {
                    self.0.lay_back();
                }
            }
        }
        WILLING.set(Willing::Yes);
        let promise = Promise(self);
        let done = work();
        if WILLING.get() == Willing::Promised {
            WILLING.set(Willing::No);
            self.write_here();
        }
        drop(promise);
        done
    }

    /// Log's own thread: writes until the door is closed and nothing is left.
    pub fn drive(&self) {
        let mut batch: Vec<Append> = Vec::new();
        while let Some(release) = self.wait(&mut batch) {
            let worker = &mut *self.worker();
            let Some(log) = &mut worker.log else { return };
            let started = Instant::now();
            let written = worker.fatal.retry_while_full(Which::WriteAhead, || log.append(&batch));
            match written {
                // The next batch does not wait for Core; an idle log runs it.
                Ok(Some(mark)) if self.lock().jobs.is_empty() => worker.inbox.number(Input::Appended(mark)),
                Ok(Some(mark)) => worker.inbox.number_in_passing(Input::Appended(mark)),
                Ok(None) => {}
                Err(fault) => return worker.fatal.stop(&fault),
            }
            if !batch.is_empty() {
                crate::metrics::wal_synced(started.elapsed(), log.stats());
            }
            batch.clear();
            if let Some(index) = release
                && let Err(fault) = log.release(index)
            {
                return worker.fatal.stop(&fault);
            }
            self.lay_back();
        }
        if let Some(log) = self.worker().log.take()
            && let Err(fault) = log.close()
        {
            tracing::warn!(error = %fault, "the write-ahead log was not closed in order; nothing is lost");
        }
    }

    /// Nothing more will be taken; what waits is written yet.
    pub fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }

    /// Takes the baton and what waits: appends, as many as fit into a batch,
    /// and up to where entries may be forgotten behind them. None at the end.
    fn wait(&self, batch: &mut Vec<Append>) -> Option<Option<Index>> {
        let mut state = self.lock();
        while state.taken || state.jobs.is_empty() {
            if state.closed && !state.taken {
                return None;
            }
            state = self.ready.wait(state).expect("no thread panics with the door");
        }
        state.taken = true;
        let (mut bytes, mut release) = (0, None);
        while bytes < limits::LOG_BATCH_BYTES_MAX
            && let Some(job) = state.jobs.pop_front()
        {
            bytes += job.bytes();
            match job {
                LogJob::Append(appends) => batch.extend(appends),
                LogJob::Release(index) => release = Some(index),
            }
        }
        Some(release)
    }

    /// Writes the appends that come first, once, and gives the baton back.
    fn write_here(&self) {
        let mut batch = Vec::new();
        let mut state = self.lock();
        while let Some(LogJob::Append(_)) = state.jobs.front()
            && let Some(LogJob::Append(appends)) = state.jobs.pop_front()
        {
            batch.extend(appends);
        }
        drop(state);
        let worker = &mut *self.worker();
        let Some(log) = &mut worker.log else { return };
        let started = Instant::now();
        match log.append(&batch) {
            Ok(Some(mark)) => {
                worker.inbox.number(Input::Appended(mark));
                crate::metrics::wal_synced(started.elapsed(), log.stats());
            }
            Ok(None) => {}
            // Until there is room Log's own thread waits, not this one.
            Err(fault) if fault.is_full() => self.lock().jobs.push_front(LogJob::Append(batch)),
            Err(fault) => worker.fatal.stop(&fault),
        }
        self.lay_back();
    }

    fn lay_back(&self) {
        let mut state = self.lock();
        state.taken = false;
        if state.closed || !state.jobs.is_empty() {
            self.ready.notify_one();
        }
    }

    fn worker(&self) -> MutexGuard<'_, Worker<D>> {
        self.worker.lock().expect("no thread panics with Log")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the door")
    }
}

#[cfg(test)]
mod tests;
