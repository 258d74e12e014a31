//! A client for etcd's gRPC API, version 3.7.
//!
//! [`Client`] is one value that knows several endpoints and behaves as if they
//! were one server: it connects when first needed, spreads calls over the
//! endpoints where a server speaks, and goes past those where none does. There
//! is one method per RPC, it takes the wire's own request and gives the wire's
//! own response; nothing is renamed, cached or guessed in between.
//!
//! What may be sent twice is decided in one place (`call`): a call
//! that only reads, or whose repetition is harmless, is repeated while the
//! answer is `Unavailable`; a call that changes keys is repeated only when
//! surely no server has heard it: it never left this process, or a server that
//! leaves has said that it did not look at it. A caller therefore never sees its
//! write happen twice.
//!
//! Two things live longer than a call and have a value of their own:
//! [`Watcher`], which outlives broken connections without losing or repeating an
//! event, and [`KeepAlive`], which keeps one lease from expiring.
//!
//! This crate must never print, log, read the environment or end the process.
//! It needs a tokio runtime and starts no thread of its own.
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use client::{Client, Config};
//! use proto::etcdserverpb::{PutRequest, RangeRequest};
//!
//! let client = Client::new(Config::to(["127.0.0.1:2379"]))?;
//! client
//!     .put(PutRequest {
//!         key: "greeting".into(),
//!         value: "hello".into(),
//!         ..PutRequest::default()
//!     })
//!     .await?;
//! let found = client
//!     .range(RangeRequest {
//!         key: "greeting".into(),
//!         ..RangeRequest::default()
//!     })
//!     .await?;
//! assert_eq!(found.kvs[0].value, "hello");
//! # Ok(())
//! # }
//! ```

mod attempt;
mod auth;
mod call;
mod cluster;
mod config;
mod dial;
mod endpoints;
mod error;
mod keep_alive;
mod kv;
mod lease;
mod maintenance;
pub mod range;
mod streams;
mod watch;

pub use call::Client;
pub use config::{Config, Credentials, KEEP_ALIVE_TIME_MIN};
pub use error::{Code, Error, Result, Status, Trouble};
pub use keep_alive::KeepAlive;
pub use watch::{WatchStream, Watcher};

/// The API version this client speaks, sent with every call for the server's
/// count of requests by version.
pub const API_VERSION: &str = "3.7";
