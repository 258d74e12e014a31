//! What a watch stream is told, before the edge gives it a header.

use bytes::Bytes;

/// One message to a watch stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The watch; −1 for an answer that concerns the whole stream.
    pub watch_id: i64,
    /// For the header; 0 only when a watch ends because of a compaction.
    pub revision: i64,
    /// The answer to a create request.
    pub created: bool,
    /// The watch is gone.
    pub canceled: bool,
    /// The compacted revision that made the watch impossible, else 0.
    pub compact_revision: i64,
    /// Why the watch was refused; empty for a compaction, as in etcd.
    pub cancel_reason: String,
    /// More of the same batch follows.
    pub fragment: bool,
    /// In order.
    pub events: Vec<Delivered>,
}

/// One event, with its key-values as encoded `mvccpb.KeyValue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What happened.
    pub kind: EventKind,
    /// The key-value after the event; for a deletion only key and revision.
    pub kv: Bytes,
    /// The key-value before it, if asked for, existing and not compacted.
    pub previous: Option<Bytes>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// Bytes a message spends on an event besides its key-values, rounded up.
const EVENT_OVERHEAD_BYTES: usize = 16;

impl Delivered {
    pub(super) fn size_bytes(&self) -> usize {
        self.kv.len() + self.previous.as_ref().map_or(0, Bytes::len) + EVENT_OVERHEAD_BYTES
    }
}

impl Response {
    /// Bytes of events, as the stream's credit counts them.
    pub fn size_bytes(&self) -> usize {
        self.events.iter().map(Delivered::size_bytes).sum()
    }

    /// This response with `events`, split so that each part stays under
    /// `limit` bytes where it has more than one event.
    pub(super) fn split(self, events: Vec<Delivered>, limit: usize) -> Vec<Response> {
        let mut parts = vec![Response { events: Vec::new(), ..self.clone() }];
        let mut size = 0;
        for event in events {
            let more = event.size_bytes();
            let open = parts.last_mut().expect("there is always a part");
            if size + more >= limit && !open.events.is_empty() {
                open.fragment = true;
                parts.push(Response { events: Vec::new(), ..self.clone() });
                size = 0;
            }
            size += more;
            parts.last_mut().expect("there is always a part").events.push(event);
        }
        parts
    }
}
