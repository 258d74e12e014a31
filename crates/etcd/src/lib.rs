//! etcd, as a library of parts: the edge between sockets and a member.
//!
//! `main.rs` is the program. Everything here serves it, its tests and its
//! measurements; nothing here decides what is true of a key.

pub mod grpc;
pub mod config;
pub mod flags;
pub mod logging;
pub mod version;
pub mod peer;
