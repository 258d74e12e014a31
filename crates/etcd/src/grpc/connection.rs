//! One HTTP/2 connection and all its calls, as one task.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server;
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

use super::exchange::exchange;
use super::message::{Begun, Framed, Held};
use super::socket::{Outlet, Socket, gather};
use super::{Limits, Service};
use crate::line::is_pushing;

/// Bytes a client may send ahead on one stream and on one connection.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Longest request head, as HTTP/2 counts it.
const HEAD_BYTES_MAX: u32 = 256 * 1024;
/// HTTP/2's library counts 256 bytes, less what it carries, for each small DATA frame that nobody has read yet, and ends the
/// connection beyond this: above what the window of one stream holds of the smallest messages, so that who sends faster than
/// a handler reads has to wait, as with etcd.
const SMALL_FRAMES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Streams that were reset and are remembered for a second: what still comes for them is no offence.
const RESETS_REMEMBERED_MAX: usize = 1024;
/// Calls begun before those already running get their turn.
const ACCEPTED_AT_ONCE_MAX: usize = 256;
/// A connection with more calls under way is not run by who only pushes an answer.
const PUSHED_CALLS_MAX: usize = 4;

/// Serves one connection until the client leaves, breaks the protocol, or
/// `stop` resolves and the calls in flight have ended or had their time.
///
/// `first` is what was read from `stream` already.
pub async fn serve_connection<I, S>(
    stream: I,
    first: Bytes,
    service: Arc<S>,
    limits: Limits,
    stop: impl Future<Output = ()>,
) where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service,
{
    let (socket, outlet) = gather(stream, first);
    let shaken = timeout(limits.handshake_timeout, handshake(socket, &outlet, limits));
    let Ok(Ok(mut h2)) = shaken.await else { return };
    let begun = Begun::default();
    let pings = h2.ping_pong().expect("it is taken once");
    let mut connection = Connection {
        h2,
        outlet,
        calls: FuturesUnordered::new(),
        held: Held::default(),
        held_bytes_max: limits.held_bytes_max,
        begin: |held, request, respond| exchange(service.clone(), limits, (held, begun.clone()), request, respond),
    };
    let mut keepalive = pin!(keepalive(pings, limits.keepalive_interval, limits.keepalive_timeout));
    let mut stop = pin!(stop);
    tokio::select! {
        biased;
        () = poll_fn(|context| connection.poll(context)) => return,
        () = &mut stop => {}
        () = &mut keepalive => return,
    }
    connection.h2.graceful_shutdown();
    // Whatever is left after this is dropped with the connection.
    let _ended = timeout(limits.stop_timeout, poll_fn(|context| connection.poll(context))).await;
}

type Http2<I> = server::Connection<Socket<I>, Framed>;

async fn handshake<I: AsyncRead + AsyncWrite + Unpin>(
    socket: Socket<I>,
    outlet: &Outlet<I>,
    limits: Limits,
) -> Result<Http2<I>, h2::Error> {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX)
        .data_frame_budget(SMALL_FRAMES_BYTES_MAX)
        .max_concurrent_reset_streams(RESETS_REMEMBERED_MAX);
    if limits.streams_max < u32::MAX {
        builder.max_concurrent_streams(limits.streams_max);
    }
    let mut shaking = pin!(builder.handshake(socket));
    poll_fn(|context| {
        let shaken = shaking.as_mut().poll(context);
        match outlet.poll_flush(context) {
            Poll::Ready(Err(_)) => Poll::Ready(Err(h2::Error::from(Reason::INTERNAL_ERROR))),
            Poll::Ready(Ok(())) | Poll::Pending => shaken,
        }
    })
    .await
}

/// Returns when the client has not answered a ping in time.
async fn keepalive(mut pings: PingPong, interval: Duration, patience: Duration) {
    loop {
        sleep(interval).await;
        match timeout(patience, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            // The connection is ending; it says so itself.
            Ok(Err(_)) => pending().await,
            Err(_) => return,
        }
    }
}

struct Connection<I, B, F> {
    h2: Http2<I>,
    outlet: Outlet<I>,
    calls: FuturesUnordered<F>,
    held: Held,
    held_bytes_max: usize,
    begin: B,
}

impl<I, B, F> Connection<I, B, F>
where
    I: AsyncRead + AsyncWrite + Unpin,
    B: FnMut(Held, Request<RecvStream>, server::SendResponse<Framed>) -> F,
    F: Future<Output = ()>,
{
    /// Takes requests, lets calls go on, and repeats while either has
    /// happened; then writes everything at once. Ready when the connection has
    /// ended: its calls are then dropped with it.
    ///
    /// What a call sends wakes this task through HTTP/2 itself.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if is_pushing() && self.calls.len() > PUSHED_CALLS_MAX {
            // Others of them may have been answered too, and have much to do.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let taken = self.take_requests(context);
            if taken == Taken::Ended {
                // The last words, such as a GOAWAY, are worth one try.
                let _sent: Poll<io::Result<()>> = self.outlet.poll_flush(context);
                return Poll::Ready(());
            }
            let mut ended = false;
            while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(context) {
                ended = true;
            }
            if !ended && taken == Taken::All {
                break;
            }
        }
        match self.outlet.poll_flush(context) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Drives HTTP/2 and begins the calls that have arrived, as long as the
    /// client takes its answers.
    ///
    /// A push has no time for requests: those that wait already, because the
    /// client did not take its answers, are the connection's own task's.
    fn take_requests(&mut self, context: &mut Context<'_>) -> Taken {
        if is_pushing() {
            if self.held.bytes() >= self.held_bytes_max {
                context.waker().wake_by_ref();
            }
            return if self.h2.poll_closed(context).is_ready() { Taken::Ended } else { Taken::All };
        }
        for _ in 0..ACCEPTED_AT_ONCE_MAX {
            if self.held.bytes() >= self.held_bytes_max {
                if self.h2.poll_closed(context).is_ready() {
                    return Taken::Ended;
                }
                if self.held.bytes() >= self.held_bytes_max {
                    return Taken::All;
                }
            }
            match self.h2.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.calls.push((self.begin)(self.held.clone(), request, respond));
                }
                Poll::Ready(Some(Err(_)) | None) => return Taken::Ended,
                Poll::Pending => return Taken::All,
            }
        }
        Taken::Some
    }
}

#[derive(PartialEq, Eq)]
enum Taken {
    /// Nothing is left to take for now.
    All,
    /// There may be more.
    Some,
    /// The connection is over.
    Ended,
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Inbound, Metadata, Method, Outbound, Status};
    use super::*;
    use crate::line::{Line, leave, push_after};
    use h2::client;
    use std::pin::Pin;
    use tokio::net::TcpStream;
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::{mpsc, oneshot};
    use tokio::task::yield_now;

    const PATIENCE: Duration = Duration::from_secs(20);
    const WINDOW_BYTES: u32 = 16 << 20;

    /// Hands out each call, and answers what it is given.
    struct Asking(mpsc::UnboundedSender<oneshot::Sender<Bytes>>);

    impl Service for Asking {
        fn find(&self, _: &str) -> Result<Method, Status> {
            Ok(Method { index: 0, streaming: false })
        }

        async fn unary(&self, _: Method, _: Metadata, _: Bytes) -> Result<Answer, Status> {
            let (answer, answered) = oneshot::channel();
            self.0.send(answer).expect("the test listens");
            Ok(Answer::Whole(answered.await.expect("the test answers")))
        }

        async fn stream(&self, _: Method, _: Metadata, _: &mut Inbound, _: Outbound) -> Result<(), Status> {
            Err(Status::canceled())
        }

        async fn plain(&self, _: http::request::Parts) -> http::Response<Bytes> {
            http::Response::new(Bytes::new())
        }
    }

    /// Calls that were asked, on a connection whose two ends are run only when
    /// the test says so.
    struct Site {
        server: Runtime,
        client: Runtime,
        responses: Vec<client::ResponseFuture>,
        answers: Vec<oneshot::Sender<Bytes>>,
    }

    fn asked(count: usize) -> Site {
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        let (server, client) = (runtime(), runtime());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let responses = client.block_on(async {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut builder = client::Builder::new();
            builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
            let (mut h2, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
            tokio::spawn(connection);
            let mut responses = Vec::new();
            for _ in 0..count {
                let request = Request::post("http://localhost/a/b").header("content-type", "application/grpc");
                let (response, mut body) = h2.send_request(request.body(()).unwrap(), false).unwrap();
                body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
                responses.push(response);
            }
            for _ in 0..10 {
                yield_now().await;
            }
            responses
        });
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let (asking, mut calls) = mpsc::unbounded_channel();
        let answers = server.block_on(async {
            let stream = TcpStream::from_std(stream).unwrap();
            let serving = async move {
                serve_connection(stream, Bytes::new(), Arc::new(Asking(asking)), Limits::default(), pending()).await;
                Ok(())
            };
            let line = Line::new(tokio::runtime::Handle::current());
            tokio::spawn(async move { line.run(serving).await });
            let mut answers = Vec::new();
            while answers.len() < count {
                answers.push(timeout(PATIENCE, calls.recv()).await.unwrap().unwrap());
            }
            answers
        });
        Site { server, client, responses, answers }
    }

    /// Bytes of the answer's messages.
    async fn body_bytes(response: client::ResponseFuture) -> usize {
        let mut body = response.await.unwrap().into_body();
        let mut bytes = 0;
        while let Some(piece) = body.data().await {
            bytes += piece.unwrap().len();
        }
        let trailers = body.trailers().await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        bytes
    }

    #[test]
    fn an_answer_that_is_pushed_is_on_the_wire_without_the_connections_task() {
        let Site { server, client, mut responses, mut answers } = asked(PUSHED_CALLS_MAX);
        push_after(|| leave(|| answers.remove(0).send(Bytes::from_static(b"here")).unwrap()));
        let bytes = client.block_on(async { timeout(PATIENCE, body_bytes(responses.remove(0))).await });
        assert_eq!(bytes.expect("the server's thread did nothing"), 5 + 4);
        drop(server);
    }

    #[test]
    fn a_client_with_more_under_way_is_left_to_its_task() {
        let Site { server, client, mut responses, mut answers } = asked(PUSHED_CALLS_MAX + 1);
        let mut response = responses.remove(0);
        push_after(|| leave(|| answers.remove(0).send(Bytes::from_static(b"here")).unwrap()));
        client.block_on(async {
            for _ in 0..10 {
                yield_now().await;
                let looked = poll_fn(|context| Poll::Ready(Pin::new(&mut response).poll(context).is_pending())).await;
                assert!(looked, "who pushes has left it alone");
            }
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = std::thread::spawn(move || server.block_on(stopped).is_err());
        let bytes = client.block_on(async { timeout(PATIENCE, body_bytes(response)).await });
        assert_eq!(bytes.expect("the task was told"), 5 + 4);
        drop(stop);
        assert!(serving.join().unwrap());
    }

    #[test]
    fn a_client_that_does_not_read_holds_up_nobody_who_pushes() {
        const BYTES: usize = 12 << 20;
        let Site { server, client, mut responses, mut answers } = asked(1);
        let response = responses.remove(0);
        push_after(|| leave(|| answers.remove(0).send(Bytes::from(vec![7; BYTES])).unwrap()));
        // The push has come back, and the rest is the task's.
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = std::thread::spawn(move || server.block_on(stopped).is_err());
        let bytes = client.block_on(async { timeout(PATIENCE, body_bytes(response)).await });
        assert_eq!(bytes.expect("the task goes on with it"), 5 + BYTES);
        drop(stop);
        assert!(serving.join().unwrap());
    }
}
