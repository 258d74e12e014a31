//! The door to Store, and the rule of who works behind it.
//!
//! Jobs queue up in order. As with Core (see [`super::inbox`]) whoever holds
//! the baton works, one thread at a time: a thread that brings entries which
//! are applied briefly, and finds nobody and nothing before it, applies them
//! itself, so that the answer to a lone write needs no other thread.
//! Everything else (long requests, snapshots, sweeps, whatever may wait for
//! the disk) is Store's own thread's: who passes has other members to listen
//! to.

use super::owed::Owed;
use super::store_loop::{StoreJob, Worker};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A longer sleep than this is cut short when a commit is owed; and so often a
/// thread that is due looks whether the baton is free.
const SHORT: Duration = Duration::from_millis(1);

#[derive(Default)]
struct State {
    jobs: VecDeque<StoreJob>,
    /// Somebody holds the baton.
    taken: bool,
    /// Store's own thread has ended, or not begun.
    closed: bool,
    /// Store's own thread sleeps so long that a commit that is owed would be
    /// told late.
    sleeps: bool,
}

/// See the module's essay.
pub struct StoreDoor {
    state: Mutex<State>,
    /// Store's own thread is told of jobs that nobody works on.
    ready: Condvar,
    /// Locked only by who holds the baton.
    worker: Mutex<Option<Worker>>,
    owed: Arc<Owed>,
}

/// Store has gone: the member is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What Store's own thread is woken for.
pub enum Turn {
    /// It has the baton and this job.
    Job(StoreJob),
    /// It has the baton and nothing that must be done.
    Idle,
}

impl StoreDoor {
    /// A door with nothing behind it yet: what comes is queued.
    pub fn new(owed: Arc<Owed>) -> StoreDoor {
        StoreDoor { state: Mutex::default(), ready: Condvar::new(), worker: Mutex::new(None), owed }
    }

    /// Puts Store behind the door.
    pub fn open(&self, worker: Worker) {
        *self.worker() = Some(worker);
    }

    /// Queues a job for Store's own thread.
    ///
    /// # Errors
    /// When Store has gone.
    pub fn put(&self, job: StoreJob) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.closed {
            return Err(Gone);
        }
        state.jobs.push_back(job);
        if !state.taken {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Does a job at once if it is brief and nothing is before it; else queues
    /// it.
    ///
    /// # Errors
    /// When Store has gone.
    pub fn pass(&self, job: StoreJob) -> Result<(), Gone> {
        let mut state = self.lock();
        if state.closed {
            return Err(Gone);
        }
        if state.taken || !state.jobs.is_empty() {
            state.jobs.push_back(job);
            return Ok(());
        }
        state.taken = true;
        drop(state);
        let left = match self.worker().as_mut() {
            Some(worker) => worker.briefly(job),
            None => Some(job),
        };
        let mut state = self.lock();
        if let Some(job) = left {
            state.jobs.push_front(job);
        }
        self.lay_back(&mut state);
        if state.sleeps && self.owed.is_watchful() {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Store's own thread: takes the baton, for the next job or, when none has
    /// come for `patience` or others are to hear of a commit soon, without
    /// one. Give it back with [`StoreDoor::done`].
    pub fn wait(&self, patience: Duration) -> Turn {
        let mut state = self.lock();
        // Looked at under the lock: what is owed before counts here, and who
        // owes later finds a sleeper to wake.
        let deadline = Instant::now() + self.owed.patience(patience);
        loop {
            let now = Instant::now();
            if !state.taken {
                if let Some(job) = state.jobs.pop_front() {
                    state.taken = true;
                    return Turn::Job(job);
                }
                if now >= deadline || (state.sleeps && self.owed.is_watchful()) {
                    state.taken = true;
                    state.sleeps = false;
                    return Turn::Idle;
                }
            }
            let left = deadline.saturating_duration_since(now);
            state.sleeps = left > SHORT;
            (state, _) = self.ready.wait_timeout(state, left.max(SHORT)).expect("no thread panics with the door");
        }
    }

    /// Gives the baton back.
    pub fn done(&self) {
        let mut state = self.lock();
        self.lay_back(&mut state);
    }

    /// Nothing more will be taken. Returns Store.
    pub fn close(&self) -> Option<Worker> {
        self.lock().closed = true;
        self.worker().take()
    }

    /// Store and what it reaches, for who holds the baton.
    pub fn worker(&self) -> MutexGuard<'_, Option<Worker>> {
        self.worker.lock().expect("no thread panics with Store")
    }

    fn lay_back(&self, state: &mut State) {
        state.taken = false;
        if !state.jobs.is_empty() {
            self.ready.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the door")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_commit_that_was_owed_before_the_thread_sleeps_is_not_slept_over() {
        let owed = Arc::new(Owed::default());
        let door = Arc::new(StoreDoor::new(owed.clone()));
        owed.note(true);
        let (turned, turn) = mpsc::channel();
        std::thread::spawn(move || {
            let idle = matches!(door.wait(Duration::from_secs(3_600)), Turn::Idle);
            turned.send(idle)
        });
        let idle = turn.recv_timeout(Duration::from_secs(10)).expect("it looks after what is owed");
        assert!(idle, "nobody has brought a job");
    }
}
