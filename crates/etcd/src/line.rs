//! A connection that whoever has something to say may push on.
//!
//! A task owns every connection and wakes for what arrives. What is to be sent
//! need not wait for the thread of that task: who has put a message into a
//! stream, or has answered a call, [pushes](Line::push), which runs the
//! connection in place until the socket takes no more. So the message is on the
//! wire without a second thread being woken for it. Core's messages to other
//! members go this way, and the answer to a client that is alone with it.
//!
//! ```text
//!   woken_by(work) ─▶ lines that work has woken ─▶ push: now (members)
//!                                               └▶ left, push when push_after
//!                                                  ends (clients)
//! ```
//!
//! What this part must never do: wait. A connection that somebody else is
//! running, or that has more to do, is left to its task. And a client's
//! connection is run only by who holds nothing that others wait for: neither
//! Core nor Store.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

/// How a connection ended.
pub(crate) type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// A push runs the connection so often while it wakes itself.
const RUNS_MAX: usize = 3;
/// Clients' connections that are pushed when a passing thread has done its
/// work; further ones are left to their tasks.
const LEFT_MAX: usize = 4;

thread_local! {
    /// Lines that this thread has woken and looks after itself; none: their
    /// tasks are woken.
    static WOKEN: RefCell<Option<Vec<Arc<Line>>>> = const { RefCell::new(None) };
    /// This thread is within [`push_after`], and these are to be pushed then.
    static LEFT: RefCell<Option<Vec<Arc<Line>>>> = const { RefCell::new(None) };
    /// This thread is within [`Line::push`].
    static PUSHES: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`. The lines it has woken on this thread are the caller's to
/// [push](Line::push): nobody else is told.
pub(crate) fn woken_by<R>(work: impl FnOnce() -> R) -> (R, Vec<Arc<Line>>) {
    let before = WOKEN.replace(Some(Vec::new()));
    let done = work();
    (done, WOKEN.replace(before).unwrap_or_default())
}

/// Runs `work`, which may hold what others wait for, and pushes what it has
/// [left](leave) when that is let go.
pub(crate) fn push_after<R>(work: impl FnOnce() -> R) -> R {
    // Who pushes has enough to do with one.
    if PUSHES.get() || LEFT.with_borrow(Option::is_some) {
        return work();
    }
    LEFT.set(Some(Vec::new()));
    let done = work();
    for line in LEFT.take().unwrap_or_default() {
        line.push();
    }
    done
}

/// Runs `answer`, after which a client's connection has little to do: it is
/// pushed at the end of [`push_after`], if the caller is within.
pub(crate) fn leave(answer: impl FnOnce()) {
    if PUSHES.get() || LEFT.with_borrow(|left| left.as_ref().is_none_or(|left| left.len() >= LEFT_MAX)) {
        return answer();
    }
    let ((), woken) = woken_by(answer);
    LEFT.with_borrow_mut(|left| left.get_or_insert_default().extend(woken));
}

/// Whether this thread is pushing: then only what is to be written is looked
/// at, since work that a client asks for is its own thread's.
pub(crate) fn is_pushing() -> bool {
    PUSHES.get()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
pub(crate) struct Line {
    connection: Mutex<State>,
    /// Of the task that owns it.
    task: Mutex<Option<Waker>>,
    /// It has something to do, and somebody is about to push.
    due: AtomicBool,
    runtime: tokio::runtime::Handle,
}

enum State {
    /// Not there yet.
    New,
    Open(Pin<Box<dyn Future<Output = Ended> + Send>>),
    Ended(Option<Ended>),
}

impl Line {
    /// A line without its connection: whoever makes that may need the line.
    /// Timers of the connection are `runtime`'s.
    pub fn new(runtime: tokio::runtime::Handle) -> Arc<Line> {
        Arc::new(Line {
            connection: Mutex::new(State::New),
            task: Mutex::new(None),
            due: AtomicBool::new(false),
            runtime,
        })
    }

    /// Runs `connection` to its end, in the calling task and in pushes. Once
    /// this future is dropped nobody runs it any more.
    pub async fn run(self: &Arc<Self>, connection: impl Future<Output = Ended> + Send + 'static) -> Ended {
        struct Close<'a>(&'a Line);
        impl Drop for Close<'_> {
            fn drop(&mut self) {
                let open = std::mem::replace(&mut *lock(&self.0.connection), State::Ended(None));
                drop(open);
            }
        }
        *lock(&self.connection) = State::Open(Box::pin(connection));
        let _close = Close(self);
        std::future::poll_fn(|context| {
            self.note_task(context.waker());
            let mut state = lock(&self.connection);
            self.go_on(&mut state);
            match &mut *state {
                State::Ended(ended) => Poll::Ready(ended.take().unwrap_or(Ok(()))),
                State::New | State::Open(_) => Poll::Pending,
            }
        })
        .await
    }

    /// Runs the connection in place, if it has something to do.
    pub fn push(self: &Arc<Self>) {
        if !self.due.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut state = match self.connection.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Whoever runs it may have looked at the queue already.
            Err(TryLockError::WouldBlock) => return self.wake_task(),
        };
        let _entered = self.runtime.enter();
        let before = PUSHES.replace(true);
        let mut has_more = true;
        for _ in 0..RUNS_MAX {
            let ((), woken) = woken_by(|| self.go_on(&mut state));
            has_more = false;
            for line in woken {
                // What whoever relied on this push has said is seen from here on.
                line.due.swap(false, Ordering::AcqRel);
                match Arc::ptr_eq(&line, self) {
                    true => has_more = true,
                    false => line.wake_task(),
                }
            }
            if !has_more {
                break;
            }
        }
        PUSHES.set(before);
        if has_more || matches!(*state, State::Ended(_)) {
            self.wake_task();
        }
    }

    fn go_on(self: &Arc<Self>, state: &mut State) {
        let State::Open(connection) = state else { return };
        let waker = Waker::from(self.clone());
        if let Poll::Ready(ended) = connection.as_mut().poll(&mut Context::from_waker(&waker)) {
            *state = State::Ended(Some(ended));
        }
    }

    fn note_task(&self, waker: &Waker) {
        let mut task = lock(&self.task);
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn wake_task(&self) {
        let task = lock(&self.task).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let look_after = |woken: &RefCell<Option<Vec<Arc<Line>>>>| {
            let mut woken = woken.borrow_mut();
            let Some(woken) = woken.as_mut() else { return false };
            if !self.due.swap(true, Ordering::AcqRel) {
                woken.push(self.clone());
            }
            true
        };
        // A thread that is ending looks after nothing.
        if !WOKEN.try_with(look_after).unwrap_or(false) {
            self.wake_task();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::mpsc;

    /// A connection that notes on which thread it takes each message.
    async fn noting(
        mut messages: mpsc::UnboundedReceiver<u32>,
        noted: mpsc::UnboundedSender<(u32, std::thread::ThreadId)>,
    ) -> Ended {
        while let Some(message) = messages.recv().await {
            noted.send((message, std::thread::current().id()))?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_pushed_runs_on_the_pushing_thread() {
        let (say, messages) = mpsc::unbounded_channel();
        let (noted, mut notes) = mpsc::unbounded_channel();
        let line = Line::new(tokio::runtime::Handle::current());
        let running = tokio::spawn({
            let line = line.clone();
            async move { line.run(noting(messages, noted)).await }
        });
        say.send(1).unwrap();
        let (_, own) = notes.recv().await.unwrap();
        assert_eq!(own, std::thread::current().id(), "its own task runs it when nobody pushes");

        let pusher = {
            let (line, say) = (line.clone(), say.clone());
            std::thread::spawn(move || {
                let ((), woken) = woken_by(|| say.send(2).unwrap());
                assert!(woken.iter().all(|woken| Arc::ptr_eq(woken, &line)));
                woken.iter().for_each(Line::push);
                std::thread::current().id()
            })
        };
        let pusher = pusher.join().unwrap();
        assert_eq!(notes.try_recv().unwrap(), (2, pusher));

        let ((), woken) = woken_by(|| drop(say));
        woken.iter().for_each(Line::push);
        let ended = tokio::time::timeout(Duration::from_secs(10), running).await.expect("its task hears of the end");
        assert!(ended.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_line_whose_task_has_gone_is_not_run() {
        let (say, messages) = mpsc::unbounded_channel();
        let (noted, mut notes) = mpsc::unbounded_channel();
        let line = Line::new(tokio::runtime::Handle::current());
        let mut running = Box::pin(line.run(noting(messages, noted)));
        let pending = std::future::poll_fn(|context| Poll::Ready(running.as_mut().poll(context).is_pending())).await;
        assert!(pending);
        drop(running);
        assert!(say.send(1).is_err(), "the connection went with its task");
        line.push();
        assert!(notes.recv().await.is_none());
    }

    /// A connection that counts its runs, and what wakes it.
    fn counting() -> (Arc<Line>, mpsc::UnboundedSender<u32>, mpsc::UnboundedReceiver<(u32, std::thread::ThreadId)>) {
        let (say, messages) = mpsc::unbounded_channel();
        let (noted, notes) = mpsc::unbounded_channel();
        let line = Line::new(tokio::runtime::Handle::current());
        let running = line.clone();
        tokio::spawn(async move { running.run(noting(messages, noted)).await });
        (line, say, notes)
    }

    #[tokio::test]
    async fn what_is_left_is_pushed_when_the_work_is_done_and_only_so_much() {
        let mut sites: Vec<_> = (0..=LEFT_MAX).map(|_| counting()).collect();
        tokio::task::yield_now().await;
        let says: Vec<_> = sites.iter().map(|(_, say, _)| say.clone()).collect();
        let pushed = std::thread::spawn(move || {
            let before = push_after(|| {
                says.iter().for_each(|say| leave(|| say.send(1).unwrap()));
                LEFT.with_borrow(|left| left.as_ref().map(Vec::len))
            });
            (before, std::thread::current().id())
        });
        let (before, pusher) = pushed.join().unwrap();
        assert_eq!(before, Some(LEFT_MAX), "nobody is pushed before the work is done");
        for (number, (_, _, notes)) in sites.iter_mut().enumerate() {
            let on = if number < LEFT_MAX { pusher } else { std::thread::current().id() };
            assert_eq!(notes.recv().await, Some((1, on)));
        }
    }

    #[tokio::test]
    async fn what_nobody_will_push_is_its_tasks() {
        let (_line, say, mut notes) = counting();
        tokio::task::yield_now().await;
        std::thread::spawn(move || leave(|| say.send(1).unwrap())).join().unwrap();
        assert_eq!(notes.recv().await, Some((1, std::thread::current().id())));
    }

    #[tokio::test]
    async fn a_connection_that_wakes_itself_for_ever_is_left_to_its_task() {
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (counted, (say, mut said)) = (runs.clone(), mpsc::unbounded_channel::<()>());
        let (pushing, mut seen) = mpsc::unbounded_channel();
        let restless = std::future::poll_fn(move |context| {
            let _woken_by = said.poll_recv(context);
            if counted.fetch_add(1, Ordering::Relaxed) > 0 && is_pushing() {
                context.waker().wake_by_ref();
            }
            pushing.send(is_pushing()).unwrap();
            Poll::Pending
        });
        let line = Line::new(tokio::runtime::Handle::current());
        let running = tokio::spawn(async move { line.run(restless).await });
        assert_eq!(seen.recv().await, Some(false));
        std::thread::spawn(move || push_after(|| leave(|| say.send(()).unwrap()))).join().unwrap();
        for _ in 0..RUNS_MAX {
            assert_eq!(seen.recv().await, Some(true));
        }
        assert_eq!(seen.recv().await, Some(false), "then its task runs it");
        assert_eq!(runs.load(Ordering::Relaxed), RUNS_MAX + 2);
        running.abort();
    }
}
