//! A whole state to a member that is too far behind, and one from a leader.
//!
//! Sending: the framed message, then the body as it is produced, through a short queue, so that memory stays bounded
//! however large the state and however slow the peer. Receiving is the mirror image: the body goes into a sink, and only
//! when the sink holds all of it durably does raft hear of the message.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use raft::{Message, Snapshot};
use tokio::sync::{mpsc, oneshot};

use super::client::{self, Lane};
use super::local::{SnapshotSink, SnapshotWriter};
use super::pipeline::{self, PostError};
use super::remote::{Remote, count, lock};
use super::{Inner, Rejected, frame, hex};

/// Pieces of a body between the thread that makes or stores them and the network.
const PIECES_MAX: usize = 8;
/// Size of one such piece.
const PIECE_BYTES: usize = 128 * 1024;

/// Sends a snapshot of now in answer to raft's wish, unless one is on its way already. Returns at once.
pub(super) fn start(inner: &Arc<Inner>, remote: Arc<Remote>, message: Message) {
    if remote.snapshot_under_way.swap(true, Ordering::Relaxed) {
        inner.local.snapshot_sent(remote.id, false);
        return;
    }
    let task_inner = inner.clone();
    // Not one of the remote's own tasks: however it ends, raft must hear of it.
    inner.runtimes.links.spawn(async move {
        let sent = send(&task_inner, &remote, message).await;
        remote.snapshot_under_way.store(false, Ordering::Relaxed);
        let id = hex(remote.id);
        match &sent {
            Ok((index, bytes)) => {
                tracing::info!("remote-peer-id" = %id, "snapshot-index" = index, bytes, "sent database snapshot");
                remote.activate();
            }
            Err(error) => {
                tracing::warn!("remote-peer-id" = %id, error = %error, "failed to send database snapshot");
                remote.deactivate("post", &error.to_string());
                count(&remote.counters.sent_failures, 1);
                if matches!(error, SendError::Post(PostError::Removed)) {
                    task_inner.told_removed(remote.id);
                }
                task_inner.local.unreachable(remote.id);
            }
        }
        task_inner.local.snapshot_sent(remote.id, sent.is_ok());
    });
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("cannot make a snapshot: {0}")]
    Make(io::Error),
    #[error(transparent)]
    Post(#[from] PostError),
}

async fn send(inner: &Arc<Inner>, remote: &Remote, mut message: Message) -> Result<(u64, u64), SendError> {
    let local = inner.local.clone();
    let made = tokio::task::spawn_blocking(move || local.snapshot()).await;
    let snapshot = made.map_err(io::Error::other).and_then(|made| made).map_err(SendError::Make)?;
    let (index, size_bytes) = (snapshot.meta.index, snapshot.size_bytes);
    message.snapshot = Some(Snapshot { meta: snapshot.meta, data: snapshot.data });

    let (id, url) = (hex(remote.id), remote.url().ok_or(PostError::NoUrl)?);
    tracing::info!("remote-peer-id" = %id, "snapshot-index" = index, bytes = size_bytes, "sending database snapshot");
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let (all_out, mut done) = oneshot::channel();
    let body = PiecesBody { head: Some(frame::framed(&message)), receiver, all_out: Some(all_out) };
    let write = snapshot.write;
    let writer = tokio::task::spawn_blocking(move || produce(write, &pieces));

    let posted = async {
        let mut lane =
            Lane::open(&url, inner.timeouts.dial, inner.timeouts.snapshot).await.inspect_err(|_| remote.avoid(&url))?;
        let mut request = client::request(Method::POST, &url, "/raft/snapshot", body.boxed());
        client::set(request.headers_mut(), "content-type", "application/octet-stream");
        inner.introduce(request.headers_mut(), Some(remote.id));
        let mut answer = std::pin::pin!(async {
            let answer = lane.request(request).await?;
            client::read_answer(&url, answer).await
        });
        // While the body goes out the lane's timeout watches; afterwards the answer has its own time.
        let (status, _, text) = tokio::select! {
            answer = &mut answer => answer?,
            _ = &mut done => match tokio::time::timeout(inner.timeouts.snapshot, answer).await {
                Ok(answer) => answer?,
                Err(_) => return Err(PostError::Silent),
            },
        };
        pipeline::check(status, &text)
    };
    posted.await?;
    count(&remote.counters.sent_bytes, usize::try_from(size_bytes).unwrap_or(usize::MAX));
    writer.await.map_err(|error| SendError::Make(io::Error::other(error)))?;
    Ok((index, size_bytes))
}

/// Runs on a thread that may block. An error goes down the queue too, and breaks the request off.
fn produce(write: SnapshotWriter, pieces: &mpsc::Sender<io::Result<Option<Bytes>>>) {
    let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the request has ended");
    let mut push = |bytes: &[u8]| -> io::Result<()> {
        for piece in bytes.chunks(PIECE_BYTES) {
            pieces.blocking_send(Ok(Some(Bytes::copy_from_slice(piece)))).map_err(|_| gone())?;
        }
        Ok(())
    };
    let end = write(&mut push).map(|()| None);
    // Nobody listens when the request has failed already.
    let _ = pieces.blocking_send(end);
}

/// The body of the request: the message, then the pieces. Only an explicit end ends it in good order.
struct PiecesBody {
    head: Option<Bytes>,
    receiver: mpsc::Receiver<io::Result<Option<Bytes>>>,
    all_out: Option<oneshot::Sender<()>>,
}

impl Body for PiecesBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(head) = this.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if this.all_out.is_none() {
            return Poll::Ready(None);
        }
        match std::task::ready!(this.receiver.poll_recv(cx)) {
            Some(Ok(Some(piece))) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(Ok(None)) => {
                this.all_out.take().map(|all_out| all_out.send(()));
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => Poll::Ready(Some(Err(io::Error::other("the snapshot's writer has stopped")))),
        }
    }
}

/// Who sends a snapshot, as far as that can be known: all that are in no roster
/// of ours count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sender {
    Member(u64),
    Stranger,
}

/// The right to send one. The thread that stores has it, whatever becomes of the request, and gives it back when it has
/// done with the file.
pub(super) struct Receiving {
    inner: Arc<Inner>,
    sender: Sender,
}

impl Receiving {
    /// None while another one of the same sender is on its way: whoever knows
    /// the cluster's id could fill the disk with them.
    pub fn begin(inner: &Arc<Inner>, from: u64) -> Option<Receiving> {
        let sender = inner.member(from).map_or(Sender::Stranger, |remote| Sender::Member(remote.id));
        let is_first = lock(&inner.receiving).insert(sender);
        is_first.then(|| Receiving { inner: inner.clone(), sender })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        lock(&self.inner.receiving).remove(&self.sender);
    }
}

/// A snapshot whose file is whole and durable. Unless it is handed on, its files go: nobody else knows of them.
pub(super) struct Stored {
    inner: Arc<Inner>,
    index: u64,
    /// Length of the body.
    pub bytes: u64,
    handed_on: bool,
}

impl Stored {
    /// Tells raft, which from then on answers for the files.
    pub fn hand_on(mut self, message: Message) -> Result<(), Rejected> {
        let delivered = self.inner.deliver_snapshot(message);
        self.handed_on = delivered.is_ok();
        delivered
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if !self.handed_on {
            self.inner.discard_snapshot(self.index);
        }
    }
}

/// What the network hands to the thread that stores.
enum Part {
    Bytes(Bytes),
    End,
}

/// The storing end of a snapshot that is being received. Dropped before the end, with the request, it takes the snapshot
/// back.
pub(super) struct Storing {
    parts: mpsc::Sender<Part>,
    result: oneshot::Receiver<io::Result<Stored>>,
}

impl Storing {
    /// Opens the sink on a thread that may block.
    pub fn start(receiving: Receiving, index: u64, beside: Bytes) -> Storing {
        let (parts, receiver) = mpsc::channel(PIECES_MAX);
        let (sender, result) = oneshot::channel();
        let inner = receiving.inner.clone();
        inner.runtimes.links.clone().spawn_blocking(move || {
            let stored = inner.local.receive_snapshot(index, beside).and_then(|sink| store(sink, receiver));
            drop(receiving);
            // The request may be gone; then what comes back is dropped, now or with the other end.
            let _ = sender.send(stored.map(|bytes| Stored { inner, index, bytes, handed_on: false }));
        });
        Storing { parts, result }
    }

    /// The next bytes. False: the sink has failed, [`Storing::finish`] says why.
    pub async fn push(&self, bytes: Bytes) -> bool {
        self.parts.send(Part::Bytes(bytes)).await.is_ok()
    }

    /// All bytes were there. Returns once they are durable.
    pub async fn finish(self) -> io::Result<Stored> {
        // If the sink failed before, the result says so.
        let _ = self.parts.send(Part::End).await;
        drop(self.parts);
        self.result.await.unwrap_or_else(|_| Err(io::Error::other("the thread that stored the snapshot has stopped")))
    }
}

/// Writes until the end is announced. A queue that just ends is a body that broke off: the sink is dropped unfinished.
fn store(mut sink: Box<dyn SnapshotSink>, mut parts: mpsc::Receiver<Part>) -> io::Result<u64> {
    let mut total = 0;
    while let Some(part) = parts.blocking_recv() {
        match part {
            Part::Bytes(bytes) => {
                sink.write(&bytes)?;
                total += bytes.len() as u64;
            }
            Part::End => return sink.finish().map(|()| total),
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the snapshot's body broke off"))
}
