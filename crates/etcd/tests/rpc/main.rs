//! The services of a real member, spoken to over loopback as a client would.

#[path = "../edge/client.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod client;
#[path = "../cluster/harness.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod harness;
mod member;

mod admission;
mod headers;
mod kv;
mod others;
mod range_stream;
mod reflection;
mod waiters;
mod watch;
