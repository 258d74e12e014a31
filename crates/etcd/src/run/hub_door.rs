//! The door in front of Hub's thread: Store publishes through it, and streams
//! ask through it.
//!
//! Hub hears of a change before any client can see it, so that a watch which
//! begins "now" after a read never begins before what that read showed: a
//! moment is put into Hub's queue first and shown to all then, and both happen
//! under the lock under which streams are counted. While no stream is open Hub
//! is not told; the first one that opens makes it look at what is shown.
//!
//! What Store has published and Hub has not taken is bounded, by moments and
//! by bytes. Beyond that the door keeps no events, only the latest moment, and
//! Hub's watchers read what lies between from history:
//!
//! ```text
//! Store ──▶ │ Publish │ Publish │ … │ Later │ ──▶ Hub
//!                                       ╰─ the View that is latest when Hub comes to it
//! ```

use super::hub_loop::HubInput;
use arc_swap::ArcSwap;
use disk::OsDisk;
use member::limits;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard};
use store::{Event, Events};

type View = store::View<OsDisk>;

/// The side of those who tell.
#[derive(Clone)]
pub struct HubDoor {
    inputs: Sender<HubInput>,
    waiting: Arc<Waiting>,
}

/// Hub's side of it.
pub struct HubQueue {
    pub inputs: Receiver<HubInput>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    /// Open watch streams; counted before Hub hears of one.
    streams: usize,
    /// Moments in the queue with their events.
    moments: usize,
    /// Bytes of those events.
    bytes: usize,
    /// The latest moment, once there was no room: [`HubInput::Later`] is in
    /// the queue.
    later: Option<View>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().expect("counting does not panic")
    }
}

/// A door, and what is behind it.
pub fn new() -> (HubDoor, HubQueue) {
    let (sender, inputs) = mpsc::channel();
    let waiting = Arc::<Waiting>::default();
    (HubDoor { inputs: sender, waiting: waiting.clone() }, HubQueue { inputs, waiting })
}

impl HubDoor {
    /// From here on Hub is told what happens.
    pub fn count_stream(&self) {
        self.waiting.lock().streams += 1;
    }

    /// Its stream has gone, which Hub has been told.
    pub fn forget_stream(&self) {
        self.waiting.lock().streams -= 1;
    }

    /// What a stream asks.
    pub fn ask(&self, input: HubInput) {
        // Hub has gone only when the member stops; the stream's end says so.
        let _ = self.inputs.send(input);
    }

    /// Store has come to `view`; `news` led there. Hub hears of it, and all
    /// see it in `shown`.
    pub fn publish(&self, shown: &ArcSwap<View>, view: View, news: Vec<Events>) {
        let bytes = bytes_of(&news);
        let mut counts = self.waiting.lock();
        if counts.streams > 0 {
            let full = counts.moments >= limits::WATCH_MOMENTS_MAX
                || counts.moments > 0 && counts.bytes + bytes > limits::WATCH_NEWS_BYTES_MAX;
            if counts.later.is_some() || full {
                if counts.later.replace(view.clone()).is_none() {
                    self.ask(HubInput::Later);
                }
            } else {
                counts.moments += 1;
                counts.bytes += bytes;
                self.ask(HubInput::Publish(view.clone(), news));
            }
        }
        shown.store(Arc::new(view));
    }

    /// Store was replaced by a snapshot, and is at `view`.
    pub fn replace(&self, shown: &ArcSwap<View>, view: View) {
        let mut counts = self.waiting.lock();
        // What was latest is of another history, and this is later.
        counts.later = None;
        self.ask(HubInput::Replaced(view.clone()));
        shown.store(Arc::new(view));
    }
}

impl HubQueue {
    /// Hub has taken a moment with its events.
    pub fn taken(&self, news: &[Events]) {
        let mut counts = self.waiting.lock();
        counts.moments -= 1;
        counts.bytes -= bytes_of(news);
    }

    /// The latest moment, if there was no room for it and nothing later came.
    pub fn later(&self) -> Option<View> {
        self.waiting.lock().later.take()
    }
}

/// Bytes that a moment's events hold.
fn bytes_of(news: &[Events]) -> usize {
    let of_change =
        |change: &Events| change.events.iter().map(|event| event.kv.len() + size_of::<Event>()).sum::<usize>();
    news.iter().map(|change| size_of::<Events>() + of_change(change)).sum()
}

#[cfg(test)]
mod tests;
