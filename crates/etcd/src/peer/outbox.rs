//! The queue in front of one stream, and the stream's body that empties it.
//!
//! Core puts messages in and never waits: a queue that is full, in number or in bytes, refuses. The body is polled by the
//! connection only when it can send, so a slow peer fills its own queue and nothing else. A queue lives as long as its
//! stream; a new stream of the same kind gets a new queue, which ends the old one.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use raft::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::frame::{Encoder, Pieces, SharedAppends, StreamKind};

/// Messages that may wait for one stream (etcd's number).
pub const STREAM_QUEUE_MAX: usize = 4096;
/// Bytes that may wait for one stream. One message always fits.
pub const STREAM_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The body stops collecting here and lets the connection write.
const BATCH_BYTES: usize = 64 * 1024;
/// A message without entries, roughly.
const MESSAGE_BYTES: usize = 64;

/// Why a message was not taken. It comes back, so that it can go another way.
#[derive(Debug)]
pub(super) enum Refused {
    /// The queue is full: the peer is too slow.
    Full,
    /// The stream has ended.
    Closed(Box<Message>),
}

/// Core's end.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    sender: mpsc::Sender<Message>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// The stream's end.
pub(super) struct Inbox {
    receiver: mpsc::Receiver<Message>,
    waiting_bytes: Arc<AtomicUsize>,
}

pub(super) fn queue(messages_max: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(messages_max);
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    (Outbox { sender, waiting_bytes: waiting_bytes.clone() }, Inbox { receiver, waiting_bytes })
}

impl Outbox {
    pub fn send(&self, message: Message) -> Result<(), Refused> {
        let cost = cost(&message);
        let waiting = self.waiting_bytes.fetch_add(cost, Ordering::Relaxed);
        let refused = if waiting > 0 && waiting + cost > STREAM_QUEUE_BYTES_MAX {
            Refused::Full
        } else {
            match self.sender.try_send(message) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(_)) => Refused::Full,
                Err(mpsc::error::TrySendError::Closed(message)) => Refused::Closed(Box::new(message)),
            }
        };
        self.waiting_bytes.fetch_sub(cost, Ordering::Relaxed);
        Err(refused)
    }

    /// Whether nobody empties it any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether both are ends of the same queue.
    pub fn is_same(&self, other: &Outbox) -> bool {
        self.sender.same_channel(&other.sender)
    }
}

impl Inbox {
    pub async fn next(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let polled = self.receiver.poll_recv(cx);
        if let Poll::Ready(Some(message)) = &polled {
            self.waiting_bytes.fetch_sub(cost(message), Ordering::Relaxed);
        }
        polled
    }
}

fn cost(message: &Message) -> usize {
    let data: usize = message.entries.iter().map(|entry| entry.data.len() + MESSAGE_BYTES).sum();
    MESSAGE_BYTES + message.context.len() + data
}

/// The endless body of a stream: messages as they come, a heartbeat of the link when none came for a while.
pub(super) struct StreamBody {
    inbox: Inbox,
    encoder: Encoder,
    shared: Arc<SharedAppends>,
    pieces: Pieces,
    heartbeat: Interval,
    ended: bool,
    sent_bytes: Arc<std::sync::atomic::AtomicU64>,
    on_end: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl StreamBody {
    pub fn new(
        kind: StreamKind,
        inbox: Inbox,
        shared: Arc<SharedAppends>,
        heartbeat: Duration,
        sent_bytes: Arc<std::sync::atomic::AtomicU64>,
        on_end: Box<dyn FnOnce() + Send + Sync>,
    ) -> Self {
        let mut heartbeat = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        StreamBody {
            inbox,
            encoder: Encoder::new(kind),
            shared,
            pieces: Pieces::default(),
            heartbeat,
            ended: false,
            sent_bytes,
            on_end: Some(on_end),
        }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        while !this.ended && this.pieces.len() < BATCH_BYTES {
            match this.inbox.poll_next(cx) {
                Poll::Ready(Some(message)) => this.encoder.encode(&message, &this.shared, &mut this.pieces),
                Poll::Ready(None) => this.ended = true,
                Poll::Pending => break,
            }
        }
        if this.pieces.len() == 0 && !this.ended && this.heartbeat.poll_tick(cx).is_ready() {
            this.encoder.heartbeat(&mut this.pieces);
        }
        match this.pieces.pop() {
            Some(piece) => {
                this.heartbeat.reset();
                this.sent_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            None if this.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        // The queue is closed first, so that whoever is told finds no stream any more.
        self.inbox.receiver.close();
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft::{Entry, MessageKind};

    fn message(data: usize) -> Message {
        let mut message = Message::new(MessageKind::App, 2);
        message.entries = vec![Entry { data: Bytes::from(vec![0; data]), ..Entry::default() }];
        message
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_number() {
        let (outbox, mut inbox) = queue(2);
        assert!(outbox.send(message(1)).is_ok());
        assert!(outbox.send(message(1)).is_ok());
        assert!(matches!(outbox.send(message(1)), Err(Refused::Full)));
        assert_eq!(inbox.next().await, Some(message(1)));
        assert!(outbox.send(message(1)).is_ok());
        drop(inbox);
        assert!(matches!(outbox.send(message(1)), Err(Refused::Closed(_))));
    }

    #[tokio::test]
    async fn a_queue_is_bounded_in_bytes_but_takes_one_of_any_size() {
        let (outbox, mut inbox) = queue(100);
        assert!(outbox.send(message(STREAM_QUEUE_BYTES_MAX)).is_ok());
        assert!(matches!(outbox.send(message(0)), Err(Refused::Full)));
        assert!(inbox.next().await.is_some());
        assert_eq!(inbox.waiting_bytes.load(Ordering::Relaxed), 0);
        assert!(outbox.send(message(0)).is_ok());
    }
}
