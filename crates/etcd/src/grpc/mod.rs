//! gRPC over HTTP/2, server side: the edge between sockets and `rpc`.
//!
//! A connection is one task. It drives HTTP/2, and the calls of all its streams
//! run inside the same task, so an answer that is ready costs no task, no
//! channel and no wake-up, and the bytes of many answers leave in one write.
//! A call is dropped when its stream is reset, when its deadline passes or when
//! its connection ends; what it has proposed by then is not taken back.
//!
//! ```text
//! listen ─ stream ─▶ connection ─ request ─▶ exchange ─ bytes ─▶ Service (rpc)
//!                        │  ▲                   │
//!                      socket └──── framed ─────┘
//! ```
//!
//! The edge knows bytes, paths, metadata and statuses. It must never look into
//! a message, know a method by name or hold what etcd means by anything; and
//! `rpc` must never see a type of `h2`, because the edge is meant to be
//! replaceable.

mod answer;
mod authority;
mod connection;
mod exchange;
mod huffman;
pub mod message;
pub mod metadata;
mod socket;
pub mod status;
mod stream;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

pub use answer::{Answer, LongMessage, Piece};
pub use connection::serve_connection;
pub use message::held_by_all;
pub use metadata::Metadata;
pub use status::{Code, Status};
pub use stream::{Inbound, Outbound};

/// A method as the service behind the edge numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// The service's own number.
    pub index: usize,
    /// Whether it is called through [`Service::stream`].
    pub streaming: bool,
}

/// What stands behind the edge.
///
/// A call's future runs on the connection's task: it may wait, but must not
/// compute for long. Dropping it is how a call is cancelled.
pub trait Service: Send + Sync + 'static {
    /// The method of a path such as `/etcdserverpb.KV/Put`, or why there is none.
    fn find(&self, path: &str) -> Result<Method, Status>;

    /// One message in, one message out.
    fn unary(
        &self,
        method: Method,
        metadata: Metadata,
        message: Bytes,
    ) -> impl Future<Output = Result<Answer, Status>> + Send;

    /// Any number of messages each way; the call ends with the future.
    fn stream(
        &self,
        method: Method,
        metadata: Metadata,
        inbound: &mut Inbound,
        outbound: Outbound,
    ) -> impl Future<Output = Result<(), Status>> + Send;

    /// A request over HTTP/2 that is not gRPC and has no body (GET, HEAD).
    fn plain(&self, head: http::request::Parts) -> impl Future<Output = http::Response<Bytes>> + Send;
}

/// What the edge allows a client.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest message a client may send; etcd's is `--max-request-bytes` + 512 KiB.
    pub message_bytes_max: usize,
    /// `--max-concurrent-streams`, for each connection.
    pub streams_max: u32,
    /// A connection is pinged this often (`--grpc-keepalive-interval`), and
    /// given up when no answer comes within `keepalive_timeout`.
    pub keepalive_interval: Duration,
    /// `--grpc-keepalive-timeout`.
    pub keepalive_timeout: Duration,
    /// How long a connection has to become one: first byte to HTTP/2 preface.
    pub handshake_timeout: Duration,
    /// How long calls may go on after the server was told to stop.
    pub stop_timeout: Duration,
    /// Answers a client does not read are held up to this many bytes for each
    /// connection; beyond it, no further call of the connection begins.
    pub held_bytes_max: usize,
    /// Messages whose end has not come are held up to this many bytes for each
    /// connection; the one that makes them more is refused.
    pub begun_bytes_max: usize,
    /// A client that takes nothing of a long answer for so long is given up:
    /// its call ends, and what the answer holds is free.
    pub stall_timeout: Duration,
    /// How long the end of a request is awaited behind its answer.
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes_max: 1536 * 1024 + 512 * 1024,
            streams_max: u32::MAX,
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(2),
            held_bytes_max: 64 * 1024 * 1024,
            begun_bytes_max: 256 * 1024 * 1024,
            stall_timeout: Duration::from_secs(60),
            linger_timeout: Duration::from_secs(2),
        }
    }
}
