//! The ports of clients: HTTP/2 (gRPC) and HTTP/1 on one port, told apart by the first bytes.
//!
//! ```text
//!   accept ─▶ edge: task per connection ─▶ first bytes ─┬─ "PRI * HTTP/2.0" ─▶ grpc
//!                                                       └─ anything else ────▶ HTTP/1: http
//! ```
//!
//! Accepting never waits for a client. A client that does not say what it speaks is given up after a while, and only
//! so many may be undecided at once.

use crate::edge::Edge;
use crate::grpc::{self, Limits};
use crate::handle::Handle;
use crate::http::{Listener, answer_on};
use crate::line::Line;
use crate::logging::throttle::Throttle;
use crate::metrics;
use crate::rpc::Router;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections of one listener that may be undecided at once; one more is closed.
const UNDECIDED_MAX: usize = 4096;
/// Time between two lines that say the same of connections that cannot be taken.
const TROUBLE_PAUSE: Duration = Duration::from_secs(60);
/// A pause when no connection can be accepted, as when file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What HTTP/2 begins with, as far as it is looked at.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";
/// gRPC's room for a message beyond `--max-request-bytes`.
const OVERHEAD_BYTES: usize = 512 * 1024;

/// Serves clients until `stopped` says true or its sender has gone.
pub async fn serve(listener: TcpListener, edge: Arc<Edge>, handle: Handle, stopped: watch::Receiver<bool>) {
    let settings = handle.settings();
    let limits = Limits {
        message_bytes_max: settings.max_request_bytes + OVERHEAD_BYTES,
        streams_max: settings.max_concurrent_streams,
        ..Limits::default()
    };
    until_ready(&handle, stopped.clone()).await;
    let router = Arc::new(Router::new(handle.clone()));
    accept(listener, &edge, limits.handshake_timeout, stopped, move |accepted, stopped| {
        let (router, handle) = (router.clone(), handle.clone());
        async move {
            let Accepted { stream, first, is_http2 } = accepted;
            if is_http2 {
                let serving = async move {
                    let mut serving = pin!(grpc::serve_connection(stream, first, router, limits, until(stopped)));
                    // What a client asks in one breath, Core hears as one.
                    poll_fn(|context| handle.gather(|| serving.as_mut().poll(context))).await;
                    Ok(())
                };
                // A client that breaks off or talks nonsense is no news.
                let _ended = Line::new(tokio::runtime::Handle::current()).run(serving).await;
            } else {
                serve_http1(Prefixed { first, stream }, Listener::Client, handle, stopped).await;
            }
        }
    })
    .await;
}

/// Serves `/metrics`, `/health` and the probes (`--listen-metrics-urls`) likewise.
pub async fn serve_http(listener: TcpListener, edge: Arc<Edge>, handle: Handle, stopped: watch::Receiver<bool>) {
    accept(listener, &edge, Limits::default().handshake_timeout, stopped, move |accepted, stopped| {
        let handle = handle.clone();
        async move {
            let stream = Prefixed { first: accepted.first, stream: accepted.stream };
            serve_http1(stream, Listener::Metrics, handle, stopped).await;
        }
    })
    .await;
}

struct Accepted {
    stream: TcpStream,
    /// What was read to decide.
    first: Bytes,
    is_http2: bool,
}

async fn accept<F, S>(
    listener: TcpListener,
    edge: &Edge,
    patience: Duration,
    stopped: watch::Receiver<bool>,
    serve: impl Fn(Accepted, watch::Receiver<bool>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = S> + Send,
    S: Send,
{
    metrics::touch();
    let undecided = Arc::new(Semaphore::new(UNDECIDED_MAX));
    let mut troubles = Throttle::new(TROUBLE_PAUSE);
    let mut end = pin!(until(stopped.clone()));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                if let Some(untold) = troubles.due(&error.to_string(), Instant::now()) {
                    tracing::warn!(
                        %error,
                        "suppressed-lines" = untold,
                        "cannot accept a client's connection; is the limit of open files (ulimit -n) high enough?"
                    );
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = undecided.clone().try_acquire_owned() else {
            if let Some(untold) = troubles.due("undecided", Instant::now()) {
                tracing::warn!(
                    UNDECIDED_MAX,
                    "suppressed-lines" = untold,
                    "too many clients have connected and said nothing; closing one"
                );
            }
            continue;
        };
        let (serve, stopped) = (serve.clone(), stopped.clone());
        let placed = edge.serve(stream, move |stream| async move {
            // Answers are small and awaited; a socket that cannot be told so still works.
            let _slower = stream.set_nodelay(true);
            let decided = tokio::time::timeout(patience, decide(stream)).await;
            drop(permit);
            if let Ok(Ok(accepted)) = decided {
                // Who stops the member waits for this end, and so for the connection's last answer.
                let _open = stopped.clone();
                serve(accepted, stopped).await;
            }
        });
        if let Err(error) = placed {
            tracing::warn!(%error, "cannot hand over a client's connection");
        }
    }
}

/// A new cluster has no version for its first moment, and calls are refused without one. Clients wait that moment in
/// the accept queue instead; not for ever, since an operator may need the port to see what is wrong.
async fn until_ready(handle: &Handle, stopped: watch::Receiver<bool>) {
    let mut changes = handle.roster_changes();
    let is_ready = |handle: &Handle| handle.view().roster().cluster_version().is_some();
    let ready = async { while !is_ready(handle) && changes.changed().await.is_ok() {} };
    tokio::select! {
        _ = tokio::time::timeout(handle.settings().request_timeout, ready) => {}
        () = until(stopped) => {}
    }
}

/// Reads until it is clear what the client speaks.
async fn decide(mut stream: TcpStream) -> io::Result<Accepted> {
    let mut first = BytesMut::with_capacity(HTTP2.len());
    loop {
        let missing = HTTP2.len() - first.len();
        let read = (&mut stream).take(missing as u64).read_buf(&mut first).await?;
        let is_http2 = first[..] == *HTTP2;
        if is_http2 || !HTTP2.starts_with(&first) {
            return Ok(Accepted { stream, first: first.freeze(), is_http2 });
        }
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Resolves when the member stops.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that whoever would say so has gone, which is the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn serve_http1(stream: Prefixed, listener: Listener, handle: Handle, stopped: watch::Receiver<bool>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let handle = handle.clone();
        async move {
            let (head, _) = request.into_parts();
            let response: Response<Bytes> = answer_on(listener, &handle, &head).await;
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .timer(TokioTimer::new())
        .header_read_timeout(Limits::default().handshake_timeout)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = pin!(connection);
    // A client that breaks off or talks nonsense is no news.
    let _ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until(stopped) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(Limits::default().stop_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
}

/// A stream of which some bytes were read already.
struct Prefixed {
    first: Bytes,
    stream: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn decided(pieces: &[&[u8]]) -> io::Result<(bool, Bytes)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        let (server, _) = listener.accept().await?;
        let deciding = tokio::spawn(decide(server));
        for piece in pieces {
            client.write_all(piece).await?;
            tokio::task::yield_now().await;
        }
        client.shutdown().await?;
        let accepted = deciding.await.expect("deciding does not panic")?;
        Ok((accepted.is_http2, accepted.first))
    }

    #[tokio::test]
    async fn the_first_bytes_decide() {
        let (is_http2, first) = decided(&[b"PRI * ", b"HTTP/2.0\r\n\r\nSM"]).await.unwrap();
        assert!(is_http2);
        assert_eq!(first, HTTP2);
        let (is_http2, first) = decided(&[b"GET /health HTTP/1.1\r\n"]).await.unwrap();
        assert!(!is_http2);
        assert_eq!(first, "GET /health HT");
        let (is_http2, first) = decided(&[b"PUT"]).await.unwrap();
        assert!(!is_http2);
        assert_eq!(first, "PUT");
        assert!(decided(&[b"PRI"]).await.is_err());
        assert!(decided(&[]).await.is_err());
    }
}
