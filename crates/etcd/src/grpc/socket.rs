//! A byte stream that gathers what HTTP/2 writes and writes it at once.
//!
//! The HTTP/2 library flushes after every round of its own; a connection under
//! load then pays a system call for a handful of frames. Here its flush does
//! nothing, and [`Outlet::poll_flush`] is the real one, called by the
//! connection when it has nothing more to say for now. What the sniffing of the
//! first bytes has already read is given back first.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use super::authority::Heads;
use crate::line::is_pushing;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Above this a write waits for the socket instead of being gathered.
const GATHERED_BYTES_MAX: usize = 256 * 1024;
/// A buffer that has grown beyond this is not kept when it is empty.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Read at once while heads are looked at.
const LOOKED_AT_BYTES: usize = 4 * 1024;

struct Inner<S> {
    stream: S,
    /// Bytes read while sniffing.
    first: Bytes,
    /// None once nobody looks any more.
    heads: Option<Box<Heads>>,
    gathered: BytesMut,
    /// Who reads was told to wait, and is woken when there is something.
    waits: bool,
}

/// The side the HTTP/2 library owns.
pub struct Socket<S>(Arc<Mutex<Inner<S>>>);

/// The side the connection owns: it decides when bytes leave.
pub struct Outlet<S>(Arc<Mutex<Inner<S>>>);

/// Splits a stream; `first` is read before anything the stream gives.
pub fn gather<S>(stream: S, first: Bytes) -> (Socket<S>, Outlet<S>) {
    let heads = Some(Box::new(Heads::after(first.len())));
    let inner = Arc::new(Mutex::new(Inner { stream, first, heads, gathered: BytesMut::new(), waits: false }));
    (Socket(inner.clone()), Outlet(inner))
}

fn lock<S>(inner: &Mutex<Inner<S>>) -> MutexGuard<'_, Inner<S>> {
    inner.lock().expect("no holder of the socket panics")
}

impl<S: AsyncRead + Unpin> Inner<S> {
    /// Reads what `authority` lets through.
    fn poll_heads(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(heads) = &mut self.heads else { return Pin::new(&mut self.stream).poll_read(context, buffer) };
        let mut bytes = [0; LOOKED_AT_BYTES];
        while heads.ready().is_empty() {
            let mut piece = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                heads.end();
                break;
            }
            heads.take(piece.filled());
        }
        let count = heads.ready().len().min(buffer.remaining());
        buffer.put_slice(&heads.ready().split_to(count));
        if heads.is_over() {
            self.heads = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.gathered.has_remaining() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.gathered))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.gathered.advance(written);
        }
        if self.gathered.capacity() > KEPT_BYTES_MAX {
            self.gathered = BytesMut::new();
        } else {
            self.gathered.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    /// Writes what was gathered. Pending when the peer does not take it; the
    /// task is woken when it does.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        if inner.gathered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(inner.poll_drain(context))?;
        Pin::new(&mut inner.stream).poll_flush(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        if inner.first.has_remaining() {
            let count = inner.first.len().min(buffer.remaining());
            buffer.put_slice(&inner.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        if is_pushing() {
            // Who pushes only writes. The connection's own task waits for what
            // comes, or is told to.
            if !inner.waits {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        let read = inner.poll_heads(context, buffer);
        inner.waits = read.is_pending();
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = lock(&self.0);
        if inner.gathered.len() >= GATHERED_BYTES_MAX {
            ready!(inner.poll_drain(context))?;
        }
        let count = bytes.len().min(GATHERED_BYTES_MAX - inner.gathered.len());
        inner.gathered.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        ready!(inner.poll_drain(context))?;
        Pin::new(&mut inner.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_leave_only_through_the_outlet() {
        let (near, mut far) = tokio::io::duplex(1024);
        let (mut socket, outlet) = gather(near, Bytes::from_static(b"PRI"));
        let mut first = [0; 3];
        socket.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"PRI");

        socket.write_all(b"one ").await.unwrap();
        socket.flush().await.unwrap();
        socket.write_all(b"two").await.unwrap();
        assert_eq!(lock(&outlet.0).gathered, "one two");
        poll_fn(|context| outlet.poll_flush(context)).await.unwrap();
        let mut read = [0; 7];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two");
    }

    #[tokio::test]
    async fn what_is_gathered_is_bounded() {
        let (near, _far) = tokio::io::duplex(10);
        let (mut socket, outlet) = gather(near, Bytes::new());
        let piece = [0; 100_000];
        let taken = poll_fn(|context| {
            let mut taken = 0;
            while let Poll::Ready(count) = Pin::new(&mut socket).poll_write(context, &piece) {
                taken += count.unwrap();
            }
            Poll::Ready(taken)
        })
        .await;
        assert_eq!(taken, GATHERED_BYTES_MAX);
        assert_eq!(lock(&outlet.0).gathered.len(), GATHERED_BYTES_MAX - 10);
    }

    /// What comes is for the connection's own task, also while somebody pushes.
    #[tokio::test]
    async fn who_pushes_reads_nothing() {
        use crate::line::{Line, leave, push_after};
        use std::thread::{self, current};
        let (near, mut far) = tokio::io::duplex(10);
        let (mut socket, _outlet) = gather(near, Bytes::new());
        let (noted, mut notes) = tokio::sync::mpsc::unbounded_channel();
        let (say, mut said) = tokio::sync::mpsc::unbounded_channel::<()>();
        let reading = poll_fn(move |context| {
            let _woken_by = said.poll_recv(context);
            let mut bytes = [0; 10];
            let read = Pin::new(&mut socket).poll_read(context, &mut ReadBuf::new(&mut bytes));
            noted.send((current().id(), read.is_ready())).unwrap();
            Poll::Pending
        });
        let line = Line::new(tokio::runtime::Handle::current());
        let running = tokio::spawn(async move { line.run(reading).await });
        assert_eq!(notes.recv().await, Some((current().id(), false)));
        far.write_all(b"a request").await.unwrap();
        let pusher = thread::spawn(move || {
            push_after(|| leave(|| say.send(()).unwrap()));
            current().id()
        });
        // Joined before anything is awaited: its task has not run since.
        let pusher = pusher.join().unwrap();
        assert_eq!(notes.recv().await, Some((pusher, false)));
        assert_eq!(notes.recv().await, Some((current().id(), true)));
        running.abort();
    }
}
