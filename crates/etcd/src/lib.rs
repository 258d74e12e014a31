//! etcd, as a library of parts: the edge between sockets and a member.
//!
//! `main.rs` is the program. Everything here serves it, its tests and its
//! measurements; nothing here decides what is true of a key.

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod ask;
pub mod boot;
pub mod clock;
pub mod cluster;
pub mod config;
pub(crate) mod edge;
pub mod embed;
pub mod flags;
pub mod grpc;
pub(crate) mod handle;
pub mod http;
pub(crate) mod lacking;
pub(crate) mod line;
pub mod listen;
pub mod logging;
pub mod metrics;
mod notify;
pub mod peer;
pub mod playground;
pub mod rpc;
pub(crate) mod run;
pub mod serve;
pub mod version;
