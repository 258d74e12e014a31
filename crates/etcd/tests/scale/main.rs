//! Much of everything: keys, watchers, leases, and clients that do not read. Real processes on loopback.
//!
//! What is asserted is memory and correctness, never how long something took. By hand the same stories measure any etcd, in
//! any number; docs/performance.md has the figures and the commands. With `QUORATE_SCALE_PROGRAM` they run that program and
//! print what they would assert of memory, and `QUORATE_SCALE_KEYS`, `_UNREAD`, `_TXNS` and `_LEASES` set how many there are.

#[path = "../edge/client.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod edge_client;
#[path = "../cluster/harness.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod harness;
mod many;
mod memory;
mod slow;

mod keys;
mod leases;
mod prefixes;
mod pressure;
mod unread;
mod watchers;
mod whole;
