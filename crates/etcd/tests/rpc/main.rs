//! The services of a real member, spoken to over loopback as a client would.

#[path = "../edge/client.rs"]
mod client;
mod member;

mod admission;
mod headers;
mod kv;
mod others;
mod range_stream;
mod reflection;
mod waiters;
mod watch;
