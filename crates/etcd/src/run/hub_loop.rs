//! The loop that drives Hub, and the streams at its end.

use super::fail::Fatal;
use super::hub_door::{HubDoor, HubQueue};
use arc_swap::ArcSwap;
use member::hub::{Hub, Response, Settings, StreamId};
use proto::etcdserverpb::WatchCreateRequest;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};
use store::Events;
use tokio::sync::mpsc;

type View = store::View<disk::OsDisk>;

/// What Hub may be told.
pub enum HubInput {
    Open(StreamId, mpsc::UnboundedSender<Response>),
    Create(StreamId, Box<WatchCreateRequest>),
    Cancel(StreamId, i64),
    Progress(StreamId),
    Credit(StreamId, usize, usize),
    Close(StreamId),
    Publish(View, Vec<Events>),
    /// There is a later moment, which the door keeps: too much waits here.
    Later,
    Replaced(View),
}

/// Inputs after which what is ready is handed out, however many more wait.
const INPUTS_PER_ROUND: usize = 1_024;
/// How often Hub looks at the time.
const LOOK: Duration = Duration::from_millis(50);

/// Hub, its queue, and the streams at its end.
pub(super) struct Desk {
    pub hub: Hub<disk::OsDisk>,
    pub queue: HubQueue,
    streams: HashMap<StreamId, mpsc::UnboundedSender<Response>>,
    /// What all see; Store does not tell of it while no stream is open.
    shown: Arc<ArcSwap<View>>,
    out: Vec<(StreamId, Response)>,
}

impl Desk {
    pub fn new(settings: Settings, shown: Arc<ArcSwap<View>>, queue: HubQueue) -> Desk {
        let hub = Hub::new(settings, View::clone(&shown.load()));
        Desk { hub, queue, streams: HashMap::new(), shown, out: Vec::new() }
    }

    /// One input.
    pub fn take(&mut self, input: HubInput) -> Result<(), member::Fault> {
        let hub = &mut self.hub;
        match input {
            HubInput::Open(stream, sender) => {
                // While others are open, all that is shown has come through the queue, or is in it.
                if self.streams.is_empty() {
                    hub.refresh(View::clone(&self.shown.load()));
                }
                self.streams.insert(stream, sender);
                hub.open(stream);
            }
            HubInput::Create(stream, request) => hub.create(stream, &request),
            HubInput::Cancel(stream, watch_id) => hub.cancel(stream, watch_id),
            HubInput::Progress(stream) => hub.progress(stream),
            HubInput::Credit(stream, responses, bytes) => hub.credit(stream, responses, bytes),
            HubInput::Close(stream) => {
                self.streams.remove(&stream);
                hub.close(stream);
            }
            HubInput::Publish(view, news) => {
                self.queue.taken(&news);
                hub.publish(view, &news)?;
            }
            HubInput::Later => {
                if let Some(view) = self.queue.later() {
                    hub.refresh(view);
                }
            }
            HubInput::Replaced(view) => hub.replaced(view),
        }
        Ok(())
    }

    /// What is ready goes to its streams.
    pub fn hand_out(&mut self) {
        self.hub.take(&mut self.out);
        for (stream, response) in self.out.drain(..) {
            if let Some(sender) = self.streams.get(&stream) {
                // The client may have gone; its close is on the way.
                let _ = sender.send(response);
            }
        }
    }
}

/// Runs until Store and all streams have gone.
pub fn drive(settings: Settings, shown: Arc<ArcSwap<View>>, queue: HubQueue, fatal: Fatal) {
    let mut desk = Desk::new(settings, shown, queue);
    let born = Instant::now();
    let mut next_look = born + LOOK;
    loop {
        let inputs = &desk.queue.inputs;
        let received = if desk.hub.has_work() {
            inputs.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            inputs
                .recv_timeout(next_look.saturating_duration_since(Instant::now()))
                .map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        let mut input = match received {
            Ok(input) => Some(input),
            Err(true) => return,
            Err(false) => None,
        };
        let mut taken = 0;
        while let Some(one) = input.take() {
            if let Err(fault) = desk.take(one) {
                return fatal.stop(&fault);
            }
            taken += 1;
            if taken < INPUTS_PER_ROUND {
                input = desk.queue.inputs.try_recv().ok();
            }
        }
        if let Err(fault) = desk.hub.catch_up() {
            return fatal.stop(&fault);
        }
        let now = Instant::now();
        if now >= next_look {
            next_look = now + LOOK;
            desk.hub.tick(now.duration_since(born).as_millis() as u64);
            crate::metrics::hub(desk.hub.stats());
        }
        desk.hand_out();
    }
}

/// A client's watch stream. Dropping it ends its watches.
///
/// Taking a response with [`WatchStream::next`] gives credit for the ones
/// before it, so a stream that is not read falls behind on its own.
pub struct WatchStream {
    id: StreamId,
    hub: HubDoor,
    responses: mpsc::UnboundedReceiver<Response>,
    taken: usize,
    taken_bytes: usize,
}

/// Responses after which credit is given even if more are ready.
const CREDIT_EVERY: usize = 32;

impl WatchStream {
    pub(crate) fn open(hub: HubDoor, ids: &AtomicU64) -> WatchStream {
        // Counted before Hub hears of it: what Store publishes from now on
        // reaches Hub, and what it published before, Hub sees.
        hub.count_stream();
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let (sender, responses) = mpsc::unbounded_channel();
        hub.ask(HubInput::Open(id, sender));
        WatchStream { id, hub, responses, taken: 0, taken_bytes: 0 }
    }

    /// Starts a watch; the answer comes from [`WatchStream::next`].
    pub fn create(&self, request: WatchCreateRequest) {
        self.hub.ask(HubInput::Create(self.id, Box::new(request)));
    }

    /// Ends a watch.
    pub fn cancel(&self, watch_id: i64) {
        self.hub.ask(HubInput::Cancel(self.id, watch_id));
    }

    /// Asks how far the stream is.
    pub fn progress(&self) {
        self.hub.ask(HubInput::Progress(self.id));
    }

    /// The next response, in order; `None` when the member stops.
    pub async fn next(&mut self) -> Option<Response> {
        let ready = self.responses.try_recv();
        if self.taken >= CREDIT_EVERY || (ready.is_err() && self.taken > 0) {
            let (responses, bytes) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.taken_bytes));
            self.hub.ask(HubInput::Credit(self.id, responses, bytes));
        }
        let response = match ready {
            Ok(response) => response,
            Err(_) => self.responses.recv().await?,
        };
        self.taken += 1;
        self.taken_bytes += response.size_bytes();
        Some(response)
    }

    /// Responses that wait to be taken.
    pub fn waiting(&self) -> usize {
        self.responses.len()
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.hub.ask(HubInput::Close(self.id));
        self.hub.forget_stream();
    }
}
