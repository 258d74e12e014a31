//! A service with one method for every way a call can go.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use etcd::grpc::{
    Answer, Code, Inbound, Limits, LongMessage, Metadata, Method, Outbound, Piece, Service, Status, serve_connection,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::client::in_time;

/// Paths of the test service, by index.
pub const PATHS: [&str; 7] = [
    "/test.Echo/Unary",
    "/test.Echo/Fail",
    "/test.Echo/Hang",
    "/test.Echo/Bidi",
    "/test.Echo/Flood",
    "/test.Echo/Token",
    "/test.Echo/Long",
];

/// What the flood sends each time.
pub const FLOOD_BYTES: usize = 16 * 1024;

pub struct Echo {
    /// Told `true` when a hanging call begins, `false` when it is dropped.
    pub hanging: mpsc::UnboundedSender<bool>,
    /// Messages the flood has sent.
    pub flooded: AtomicUsize,
    /// The flood had to wait for its client.
    pub flood_waits: Notify,
    /// Pieces of long answers that were made.
    pub pieces: Arc<AtomicUsize>,
    /// Long answers that are there; told when one is not any more.
    pub long_ended: Arc<Notify>,
}

/// An answer in so many pieces of [`FLOOD_BYTES`].
struct Long {
    left: usize,
    size_bytes: usize,
    pieces: Arc<AtomicUsize>,
    ended: Arc<Notify>,
}

impl LongMessage for Long {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn next(&mut self) -> Piece<'_> {
        Box::pin(async {
            // Not at once: as if somebody else made it.
            tokio::task::yield_now().await;
            let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
            self.left = left;
            self.pieces.fetch_add(1, Ordering::SeqCst);
            Ok(Some(Bytes::from(vec![left as u8; FLOOD_BYTES])))
        })
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

impl Service for Echo {
    fn find(&self, path: &str) -> Result<Method, Status> {
        let index = PATHS.iter().position(|known| *known == path);
        let index = index.ok_or_else(|| Status::new(Code::Unimplemented, "unknown service x"))?;
        Ok(Method { index, streaming: index == 3 || index == 4 })
    }

    async fn unary(&self, method: Method, metadata: Metadata, message: Bytes) -> Result<Answer, Status> {
        match PATHS[method.index] {
            "/test.Echo/Unary" => Ok(message.into()),
            "/test.Echo/Fail" => Err(Status::new(Code::DataLoss, "100% lost\n")),
            "/test.Echo/Token" => {
                assert!(metadata.require_leader);
                Ok(metadata.token.unwrap_or_default().into())
            }
            "/test.Echo/Long" => {
                let left = message.len();
                let (pieces, ended) = (self.pieces.clone(), self.long_ended.clone());
                Ok(Answer::Long(Box::new(Long { left, size_bytes: left * FLOOD_BYTES, pieces, ended })))
            }
            _ => {
                let _hanging = Hanging::begin(&self.hanging);
                pending().await
            }
        }
    }

    async fn stream(
        &self,
        method: Method,
        _: Metadata,
        inbound: &mut Inbound,
        outbound: Outbound,
    ) -> Result<(), Status> {
        let _hanging = Hanging::begin(&self.hanging);
        if method.index == 3 {
            while let Some(message) = inbound.next().await? {
                outbound.ready().await?;
                outbound.send(message)?;
            }
            return Err(Status::new(Code::Aborted, "that was all"));
        }
        loop {
            {
                let mut ready = pin!(outbound.ready());
                poll_fn(|context| {
                    let polled = ready.as_mut().poll(context);
                    if polled.is_pending() {
                        self.flood_waits.notify_one();
                    }
                    polled
                })
                .await?;
            }
            outbound.send(Bytes::from(vec![7; FLOOD_BYTES]))?;
            self.flooded.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn plain(&self, head: http::request::Parts) -> http::Response<Bytes> {
        http::Response::new(Bytes::from(format!("plain {}", head.uri.path())))
    }
}

struct Hanging(mpsc::UnboundedSender<bool>);

impl Hanging {
    fn begin(told: &mpsc::UnboundedSender<bool>) -> Hanging {
        // The test may have ended already.
        let _ = told.send(true);
        Hanging(told.clone())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.0.send(false);
    }
}

pub struct Server {
    pub service: Arc<Echo>,
    pub hanging: mpsc::UnboundedReceiver<bool>,
    pub stop: Arc<Notify>,
    listener: TcpListener,
    limits: Limits,
}

impl Server {
    pub async fn new(limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (told, hanging) = mpsc::unbounded_channel();
        let service = Echo {
            hanging: told,
            flooded: AtomicUsize::new(0),
            flood_waits: Notify::new(),
            pieces: Arc::default(),
            long_ended: Arc::default(),
        };
        let stop = Arc::new(Notify::new());
        Server { service: Arc::new(service), hanging, stop, listener, limits }
    }

    /// Whether the next thing that a hanging call does is to begin.
    pub async fn hangs(&mut self) -> bool {
        in_time("a hanging call that begins or ends", self.hanging.recv()).await.expect("the service is there")
    }

    /// A connection that is served; the caller holds the client's end.
    pub async fn connect(&self) -> TcpStream {
        let near = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = self.listener.accept().await.unwrap();
        let stop = self.stop.clone();
        let service = self.service.clone();
        let limits = self.limits;
        tokio::spawn(async move {
            let stopped = async { stop.notified().await };
            serve_connection(far, Bytes::new(), service, limits, stopped).await;
        });
        near
    }
}
