//! From an endpoint to a connection on which a server has spoken.
//!
//! The kernel takes connections for every process that listens, also for one
//! that is stopped, hangs or is not ready to serve, so a connection alone says
//! nothing. HTTP/2 has each side begin with a SETTINGS frame, and servers send
//! theirs unasked: only who has sent it is taken for a server here, as in Go's
//! gRPC. A request is never given to anybody else, which is why one that meets
//! nobody may go elsewhere.
//!
//! Makes one connection and is done. Who is dialled, and when again, is decided
//! in `endpoints`.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready as or_pending};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::config::{Address, Config, KEEP_ALIVE_TIME_MIN};
use crate::error::{Error, Result, innermost};

/// HTTP/2 window of one stream and of one connection, in bytes: enough that a
/// large range is not sent in 64 KiB steps. HTTP/2's library ends a connection
/// on which small frames lie unread whose overhead is more than half its
/// window; a watch that is not read must meet the end of its stream's first.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// What is asked about whoever does not speak HTTP/2.
const WHO_IS_IT: &str = "; is it etcd, and without TLS?";

/// Makes connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Dialer {
    address: Address,
    transport: Endpoint,
    timeout: Duration,
}

impl Dialer {
    pub(crate) fn new(config: &Config, endpoint: &str) -> Result<Self> {
        let bad = |error: &dyn std::fmt::Display| Error::Config(format!("bad endpoint {endpoint:?}: {error}"));
        let address = Address::of(endpoint)?;
        let authority = match &address {
            Address::Tcp(host) => host,
            // A path is no host name; Go's gRPC names this one instead.
            Address::Unix(_) => "localhost",
        };
        let transport = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|error| bad(&error))?
            .http2_keep_alive_interval(config.keep_alive_time.max(KEEP_ALIVE_TIME_MIN))
            .keep_alive_timeout(config.keep_alive_timeout)
            // A server answers probes on idle connections with GOAWAY.
            .keep_alive_while_idle(false)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .user_agent(concat!("quorate-client/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| bad(&error))?;
        Ok(Self { address, transport, timeout: config.connect_timeout })
    }

    /// One connection, on which a server has spoken; or why there is none.
    ///
    /// The channel is this connection and no other: when that is lost, calls on
    /// it fail with [`tonic::ConnectError`].
    pub(crate) async fn dial(&self) -> std::result::Result<Channel, String> {
        let deadline = Instant::now() + self.timeout;
        let late = |_| "no connection within the dial timeout".to_owned();
        match &self.address {
            Address::Tcp(_) => {
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                // Of the addresses that a name has, each gets its share.
                connector.set_connect_timeout(Some(self.timeout));
                let connected = timeout_at(deadline, connector.call(self.transport.uri().clone())).await;
                let io = connected.map_err(late)?.map_err(|error| innermost(&error))?;
                self.greet(io.into_inner(), deadline).await
            }
            Address::Unix(path) => {
                let connected = timeout_at(deadline, UnixStream::connect(path)).await;
                let io = connected.map_err(late)?.map_err(|error| error.to_string())?;
                self.greet(io, deadline).await
            }
        }
    }

    async fn greet<I>(&self, io: I, deadline: Instant) -> std::result::Result<Channel, String>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let io = TokioIo::new(Greeted { io, is_broken: false, is_over: false, tell: Some(tell), heard: 0 });
        let channel = self.transport.connect_with_connector(Once(Some(io))).await;
        let channel = channel.map_err(|error| innermost(&error))?;
        match timeout_at(deadline, told).await {
            Err(_) => Err("it takes connections and says nothing; is it stopped, or not ready yet?".to_owned()),
            Ok(Err(_)) => Err(format!("the connection was lost at once{WHO_IS_IT}")),
            Ok(Ok(Err(reason))) => Err(reason),
            Ok(Ok(Ok(()))) => Ok(channel),
        }
    }
}

/// Gives the one connection there is.
struct Once<I>(Option<I>);

impl<I> Service<Uri> for Once<I> {
    type Response = I;
    type Error = io::Error;
    type Future = Ready<io::Result<I>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let lost = || io::Error::new(io::ErrorKind::NotConnected, "the connection is lost");
        ready(self.0.take().ok_or_else(lost))
    }
}

/// Bytes of a frame's header: length (3), type (1), flags (1), stream (4).
const HEADER_BYTES: usize = 9;
/// Where the type is, and what it is for SETTINGS.
const TYPE_AT: usize = 3;
const TYPE_SETTINGS: u8 = 4;

/// A connection that tells once whether its other side begins as an HTTP/2
/// server does. Changes nothing of what passes.
///
/// When it breaks, reading says so and not writing: what the server said last
/// may lie unread, and a farewell decides what may be said again. Go's gRPC
/// reads on for the same reason.
struct Greeted<I> {
    io: I,
    /// What was to be written was lost: nothing goes out behind such a hole.
    is_broken: bool,
    /// All was read that there is.
    is_over: bool,
    /// None when it has told.
    tell: Option<oneshot::Sender<std::result::Result<(), String>>>,
    /// Bytes of the first frame's header that have come.
    heard: usize,
}

impl<I> Greeted<I> {
    fn tell(&mut self, news: std::result::Result<(), String>) {
        if let Some(tell) = self.tell.take() {
            // Nobody listens any more when the time is over.
            drop(tell.send(news));
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.tell(Err(format!("it hung up without a word{WHO_IS_IT}")));
        }
        let kind = TYPE_AT.checked_sub(self.heard).and_then(|at| bytes.get(at));
        if kind.is_some_and(|kind| *kind != TYPE_SETTINGS) {
            return self.tell(Err(format!("it does not speak HTTP/2{WHO_IS_IT}")));
        }
        self.heard += bytes.len();
        if self.heard >= HEADER_BYTES {
            self.tell(Ok(()));
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Greeted<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let has_room = buf.remaining() > 0;
        let read = or_pending!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.is_over |= has_room && (read.is_err() || buf.filled().len() == before);
        if self.tell.is_some() && has_room {
            match &read {
                Ok(()) => self.hear(&buf.filled()[before..]),
                Err(error) => self.tell(Err(format!("{error}{WHO_IS_IT}"))),
            }
        }
        Poll::Ready(read)
    }
}

impl<I> Greeted<I> {
    /// What a broken connection has not taken is lost; who reads will see.
    fn lose<T>(&mut self, lost: T, write: impl FnOnce(Pin<&mut I>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>>
    where
        I: Unpin,
    {
        if self.is_broken && !self.is_over {
            return Poll::Ready(Ok(lost));
        }
        match write(Pin::new(&mut self.io)) {
            Poll::Ready(Err(_)) if !self.is_over => {
                self.is_broken = true;
                Poll::Ready(Ok(lost))
            }
            other => other,
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Greeted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lose(bytes.len(), |io| io.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lose((), |io| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lose(bytes.iter().map(|piece| piece.len()).sum(), |io| io.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// What is told of these reads.
    fn told(reads: &[&[u8]]) -> Option<std::result::Result<(), String>> {
        let (tell, mut told) = oneshot::channel();
        let mut greeted = Greeted { io: (), is_broken: false, is_over: false, tell: Some(tell), heard: 0 };
        reads.iter().for_each(|bytes| greeted.hear(bytes));
        told.try_recv().ok()
    }

    #[test]
    fn a_server_begins_with_settings() {
        const SETTINGS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 250];
        assert_eq!(told(&[SETTINGS]), Some(Ok(())));
        assert_eq!(told(&[&SETTINGS[..9]]), Some(Ok(())));
        assert_eq!(told(&[&SETTINGS[..3], &SETTINGS[3..8]]), None);
        assert_eq!(told(&[&SETTINGS[..3], &SETTINGS[3..8], &SETTINGS[8..]]), Some(Ok(())));
        let refusal = |reads: &[&[u8]]| told(reads).unwrap().unwrap_err();
        for other in [&b"HTTP/1.1 400 Bad Request\r\n"[..], &[21, 3, 1, 0, 2, 2, 10]] {
            assert_eq!(refusal(&[other]), "it does not speak HTTP/2; is it etcd, and without TLS?");
        }
        assert_eq!(refusal(&[&SETTINGS[..5], b""]), "it hung up without a word; is it etcd, and without TLS?");
    }

    #[tokio::test]
    async fn the_last_words_of_who_has_left_are_read() {
        let (ours, mut theirs) = duplex(64);
        theirs.write_all(b"goodbye").await.unwrap();
        drop(theirs);
        let mut greeted = Greeted { io: ours, is_broken: false, is_over: false, tell: None, heard: 0 };
        greeted.write_all(b"and another thing").await.unwrap();
        let mut said = String::new();
        greeted.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "goodbye");
        assert_eq!(greeted.write_all(b"?").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_lost_connection_is_not_made_again() {
        let mut once = Once(Some(1));
        assert_eq!(once.call(Uri::default()).await.unwrap(), 1);
        assert_eq!(once.call(Uri::default()).await.unwrap_err().to_string(), "the connection is lost");
    }
}
