//! A connection that whoever has something to say may push on.
//!
//! The links' thread owns every connection and wakes for what arrives. What
//! Core sends need not wait for that thread: the one that runs Core puts
//! messages into the queues of their streams and then [pushes](Line::push),
//! which runs the connection in place until the socket takes no more. So a
//! message is on the wire without a second thread being woken for it.
//!
//! What this part must never do: wait. A connection that somebody else is
//! running, or that has more to do, is left to its task.

use std::cell::Cell;
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Wake, Waker};

use super::remote::lock;

/// How a connection ended.
pub(super) type Ended = Result<(), Box<dyn Error + Send + Sync>>;

thread_local! {
    /// This thread will push, so nobody need be woken for what it queues.
    static WILL_PUSH: Cell<bool> = const { Cell::new(false) };
}

/// Runs `queue`, which puts messages into streams whose lines are pushed
/// right after.
pub(super) fn about_to_push<R>(queue: impl FnOnce() -> R) -> R {
    let before = WILL_PUSH.replace(true);
    let done = queue();
    WILL_PUSH.set(before);
    done
}

/// One connection.
pub(super) struct Line {
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
            lock(&self.task).replace(context.waker().clone());
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
        // Timers of the connection are the links' runtime's.
        let _entered = self.runtime.enter();
        self.go_on(&mut state);
        if matches!(*state, State::Ended(_)) {
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
        if WILL_PUSH.get() {
            self.due.store(true, Ordering::Release);
        } else {
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
                about_to_push(|| say.send(2).unwrap());
                line.push();
                std::thread::current().id()
            })
        };
        let pusher = pusher.join().unwrap();
        assert_eq!(notes.try_recv().unwrap(), (2, pusher));

        about_to_push(|| drop(say));
        line.push();
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
}
