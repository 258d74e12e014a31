//! The loop that drives Hub, and the streams at its end.

use super::fail::Fatal;
use arc_swap::ArcSwap;
use member::hub::{Hub, Response, Settings, StreamId};
use proto::etcdserverpb::WatchCreateRequest;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
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
    Replaced(View),
}

/// Inputs after which what is ready is handed out, however many more wait.
const INPUTS_PER_ROUND: usize = 1_024;
/// How often Hub looks at the time.
const LOOK: Duration = Duration::from_millis(50);

/// Runs until Store and all streams have gone.
///
/// `present`: the View that is published; Store does not tell of it while no
/// stream is open.
pub fn drive(settings: Settings, present: Arc<ArcSwap<View>>, inputs: Receiver<HubInput>, fatal: Fatal) {
    let mut hub = Hub::new(settings, View::clone(&present.load()));
    let mut streams: HashMap<StreamId, mpsc::UnboundedSender<Response>> = HashMap::new();
    let mut out = Vec::new();
    let born = Instant::now();
    let mut next_look = born + LOOK;
    loop {
        let received = if hub.has_work() {
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
        for _ in 0..INPUTS_PER_ROUND {
            let Some(one) = input.take() else { break };
            if let Err(fault) = take(&mut hub, &mut streams, &present, one) {
                return fatal.stop(&fault);
            }
            input = inputs.try_recv().ok();
        }
        if let Some(last) = input
            && let Err(fault) = take(&mut hub, &mut streams, &present, last)
        {
            return fatal.stop(&fault);
        }
        if let Err(fault) = hub.catch_up() {
            return fatal.stop(&fault);
        }
        let now = Instant::now();
        if now >= next_look {
            next_look = now + LOOK;
            hub.tick(now.duration_since(born).as_millis() as u64);
            crate::metrics::hub(hub.stats());
        }
        hub.take(&mut out);
        for (stream, response) in out.drain(..) {
            if let Some(sender) = streams.get(&stream) {
                // The client may have gone; its close is on the way.
                let _ = sender.send(response);
            }
        }
    }
}

fn take(
    hub: &mut Hub<disk::OsDisk>,
    streams: &mut HashMap<StreamId, mpsc::UnboundedSender<Response>>,
    present: &ArcSwap<View>,
    input: HubInput,
) -> Result<(), member::Fault> {
    match input {
        HubInput::Open(stream, sender) => {
            streams.insert(stream, sender);
            hub.refresh(View::clone(&present.load()));
            hub.open(stream);
        }
        HubInput::Create(stream, request) => hub.create(stream, &request),
        HubInput::Cancel(stream, watch_id) => hub.cancel(stream, watch_id),
        HubInput::Progress(stream) => hub.progress(stream),
        HubInput::Credit(stream, responses, bytes) => hub.credit(stream, responses, bytes),
        HubInput::Close(stream) => {
            streams.remove(&stream);
            hub.close(stream);
        }
        HubInput::Publish(view, news) => hub.publish(view, &news)?,
        HubInput::Replaced(view) => hub.replaced(view),
    }
    Ok(())
}

/// A client's watch stream. Dropping it ends its watches.
///
/// Taking a response with [`WatchStream::next`] gives credit for the ones
/// before it, so a stream that is not read falls behind on its own.
pub struct WatchStream {
    id: StreamId,
    open: Arc<AtomicUsize>,
    hub: Sender<HubInput>,
    responses: mpsc::UnboundedReceiver<Response>,
    taken: usize,
    taken_bytes: usize,
}

/// Responses after which credit is given even if more are ready.
const CREDIT_EVERY: usize = 32;

impl WatchStream {
    pub(crate) fn open(hub: Sender<HubInput>, ids: &Arc<AtomicU64>, open: &Arc<AtomicUsize>) -> WatchStream {
        // Counted before Hub hears of it: what Store publishes from now on
        // reaches Hub, and what it published before, Hub sees in the View.
        open.fetch_add(1, Ordering::SeqCst);
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let (sender, responses) = mpsc::unbounded_channel();
        let stream = WatchStream { id, open: open.clone(), hub, responses, taken: 0, taken_bytes: 0 };
        stream.tell(HubInput::Open(id, sender));
        stream
    }

    /// Starts a watch; the answer comes from [`WatchStream::next`].
    pub fn create(&self, request: WatchCreateRequest) {
        self.tell(HubInput::Create(self.id, Box::new(request)));
    }

    /// Ends a watch.
    pub fn cancel(&self, watch_id: i64) {
        self.tell(HubInput::Cancel(self.id, watch_id));
    }

    /// Asks how far the stream is.
    pub fn progress(&self) {
        self.tell(HubInput::Progress(self.id));
    }

    /// The next response, in order; `None` when the member stops.
    pub async fn next(&mut self) -> Option<Response> {
        let ready = self.responses.try_recv();
        if self.taken >= CREDIT_EVERY || (ready.is_err() && self.taken > 0) {
            let (responses, bytes) = (std::mem::take(&mut self.taken), std::mem::take(&mut self.taken_bytes));
            self.tell(HubInput::Credit(self.id, responses, bytes));
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

    fn tell(&self, input: HubInput) {
        // Hub has gone only when the member stops; next() says so.
        let _ = self.hub.send(input);
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.tell(HubInput::Close(self.id));
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}
