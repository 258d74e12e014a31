//! The door to Log, and the rule of who writes: one write and one fdatasync
//! for all that waits.
//!
//! Jobs queue up in order, and whoever holds the baton writes, one thread at a
//! time. Mostly that is Log's own thread: who serves clients or listens to
//! members must not wait for a disk. But what a leader appends comes on a
//! thread of its own, and heartbeats do not (see [`crate::peer`]): within
//! [`LogDoor::write_after`] that thread writes itself what is little, if nobody
//! writes, nothing waits, and nobody has written just before. A lone entry is then read, written and
//! acknowledged by one thread.

use super::fail::{Fatal, Which};
use super::inbox::Inbox;
use disk::{Disk, OsDisk};
use member::Fault;
use member::core::Input;
use member::ids::Index;
use member::limits;
use member::log::Log;
use raft::{Append, AppendMark};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Up to so many bytes are little: more wait longer for the disk than for a
/// thread, which takes with them what has come meanwhile.
const LITTLE_BYTES: usize = 4 << 10;
/// And only what comes so long after the last write: where others follow at its
/// heels, who reads them on while the disk works writes more of them together.
const QUIET: Duration = Duration::from_micros(100);
/// Of what has come since a thread promised to write, it takes so much that is
/// little.
const LITTLE_APPENDS: usize = 4;

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

    fn is_little(&self) -> bool {
        matches!(self, LogJob::Append(_)) && self.bytes() <= LITTLE_BYTES
    }
}

/// Log has gone: the member is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Whether a thread that brings a job may write it, and behind which door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Willing {
    No,
    Yes(usize),
    /// It has the baton, and writes when it has let go of everything else.
    Promised(usize),
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
    /// When it was last laid back.
    idle_since: Option<Instant>,
}

/// See the module's essay.
pub struct LogDoor<D: Disk = OsDisk> {
    state: Mutex<State>,
    /// Log's own thread is told of jobs that nobody works on, and of the end.
    ready: Condvar,
    /// Until the end. Locked only by who holds the baton.
    log: Mutex<Option<Log<D>>>,
    inbox: Arc<Inbox>,
    fatal: Fatal,
    quiet: Duration,
}

/// The right to write. Dropping it lays it back; a thread that panics with it
/// leaves a log that nobody goes on with.
struct Baton<'a, D: Disk>(&'a LogDoor<D>);

impl<D: Disk> Drop for Baton<'_, D> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.taken = false;
        state.idle_since = Some(Instant::now());
        state.closed |= thread::panicking();
        if state.closed || !state.jobs.is_empty() {
            self.0.ready.notify_one();
        }
    }
}

impl<D: Disk> LogDoor<D> {
    /// A door with Log behind it.
    pub fn new(log: Log<D>, inbox: Arc<Inbox>, fatal: Fatal) -> LogDoor<D> {
        LogDoor {
            state: Mutex::default(),
            ready: Condvar::new(),
            log: Mutex::new(Some(log)),
            inbox,
            fatal,
            quiet: QUIET,
        }
    }

    /// Queues a job. Never waits.
    ///
    /// # Errors
    /// When Log has gone.
    pub fn put(&self, job: LogJob) -> Result<(), Gone> {
        let mine = WILLING.get() == Willing::Yes(self.address()) && job.is_little();
        let mut state = self.lock();
        if state.closed {
            return Err(Gone);
        }
        let is_quiet = || state.idle_since.is_none_or(|since| since.elapsed() >= self.quiet);
        if mine && !state.taken && state.jobs.is_empty() && is_quiet() {
            WILLING.set(Willing::Promised(self.address()));
            state.taken = true;
        }
        state.jobs.push_back(job);
        if !state.taken {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Runs `work`, and then writes what it has brought, if that is little and
    /// nobody else does. Waits for the disk: the caller must be a thread that
    /// nobody waits for, and hold nothing.
    pub fn write_after<R>(&self, work: impl FnOnce() -> R) -> R {
        /// What was promised, also when `work` panics.
        struct Promise<'a, D: Disk>(&'a LogDoor<D>);
        impl<'a, D: Disk> Promise<'a, D> {
            fn baton(&self) -> Option<Baton<'a, D>> {
                let promised = WILLING.replace(Willing::No) == Willing::Promised(self.0.address());
                promised.then(|| Baton(self.0))
            }
        }
        impl<D: Disk> Drop for Promise<'_, D> {
            fn drop(&mut self) {
                drop(self.baton());
            }
        }
        assert_eq!(WILLING.replace(Willing::Yes(self.address())), Willing::No, "one door at a time");
        let promise = Promise(self);
        let done = work();
        if let Some(baton) = promise.baton() {
            self.write_here(baton);
        }
        done
    }

    /// Log's own thread: writes until the door is closed and nothing is left.
    pub fn drive(&self) {
        let mut batch: Vec<Append> = Vec::new();
        while let Some((baton, release)) = self.wait(&mut batch) {
            let mark = match self.fatal.retry_while_full(Which::WriteAhead, || self.write(&batch)) {
                Ok(mark) => mark,
                Err(fault) => return self.fatal.stop(&fault),
            };
            batch.clear();
            if let Some(index) = release
                && let Err(fault) = self.with_log(|log| log.release(index))
            {
                return self.fatal.stop(&fault);
            }
            drop(baton);
            let Some(mark) = mark else { continue };
            if self.lock().jobs.is_empty() {
                self.inbox.number(Input::Appended(mark));
            } else {
                // The next batch does not wait for Core.
                self.inbox.number_in_passing(Input::Appended(mark));
            }
        }
        if let Some(log) = self.log().take()
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
    fn wait(&self, batch: &mut Vec<Append>) -> Option<(Baton<'_, D>, Option<Index>)> {
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
        Some((Baton(self), release))
    }

    /// Writes what comes first and is little, once.
    fn write_here(&self, baton: Baton<'_, D>) {
        let mut batch = Vec::new();
        let mut state = self.lock();
        while let Some(job) = state.jobs.pop_front_if(|job| job.is_little() && batch.len() < LITTLE_APPENDS) {
            if let LogJob::Append(appends) = job {
                batch.extend(appends);
            }
        }
        drop(state);
        match self.write(&batch) {
            Ok(mark) => {
                drop(baton);
                mark.into_iter().for_each(|mark| self.inbox.number(Input::Appended(mark)));
            }
            // Until there is room Log's own thread waits, not this one.
            Err(fault) if fault.is_full() => self.lock().jobs.push_front(LogJob::Append(batch)),
            Err(fault) => self.fatal.stop(&fault),
        }
    }

    /// One write, and one sync.
    fn write(&self, batch: &[Append]) -> Result<Option<AppendMark>, Fault> {
        self.with_log(|log| {
            let started = Instant::now();
            let mark = log.append(batch)?;
            if mark.is_some() {
                crate::metrics::wal_synced(started.elapsed(), log.stats());
            }
            Ok(mark)
        })
    }

    /// For who holds the baton.
    fn with_log<R>(&self, act: impl FnOnce(&mut Log<D>) -> R) -> R {
        act(self.log().as_mut().expect("Log is there as long as there are batons"))
    }

    fn log(&self) -> MutexGuard<'_, Option<Log<D>>> {
        self.log.lock().expect("no thread panics with Log")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the door")
    }

    /// Tells doors apart.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

#[cfg(test)]
mod tests;
