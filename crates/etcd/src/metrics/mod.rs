//! Numbers for operators, under etcd's names and in Prometheus' text format.
//!
//! Owners count for themselves and hand over copies of plain `Stats`; the edge counts with atomics. Nothing is
//! formatted, locked or asked for before somebody reads `/metrics`. A number that etcd has and this member cannot
//! measure is left out, never shown as a zero that means nothing.
//!
//! One process is one member, so the registry is one per process. This module must never influence what it measures.

pub mod calls;
mod moment;
mod process;
mod table;

use crate::handle::Handle;
use prometheus::{Encoder, TextEncoder};
use std::time::{Duration, Instant};
use table::TABLE;

/// The content type of [`render`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Different `client-api-version` texts that are told apart; the label comes from clients.
const API_VERSIONS_MAX: usize = 32;

/// Everything, as text. `handle` is asked for what is only known now.
pub fn render(handle: &Handle) -> Vec<u8> {
    moment::take(handle, &TABLE);
    let mut families = TABLE.registry.gather();
    families.extend(process::families());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::new();
    // Writing into memory does not fail, and the table's names are valid.
    TextEncoder::new().encode(&families, &mut text).expect("metrics are printable");
    text
}

/// Makes the table, so that the first call does not pay for it.
pub fn touch() {
    std::sync::LazyLock::force(&TABLE);
}

/// The write-ahead log has made a batch durable.
pub fn wal_synced(took: Duration, stats: member::log::Stats) {
    TABLE.wal_fsync.observe(took.as_secs_f64());
    TABLE.wal_written.set(whole(stats.written_bytes));
}

/// The store has applied a batch and written its frame.
pub fn applied(took: Duration, _entries: usize, stats: store::Stats) {
    TABLE.commit.observe(took.as_secs_f64());
    raise(&TABLE.puts, stats.puts);
    raise(&TABLE.deletes, stats.deletes);
    raise(&TABLE.txns, stats.txns);
    raise(&TABLE.ranges_applied, stats.ranges);
    TABLE.keys.set(whole(stats.keys));
}

/// The hub's numbers, as they are now.
pub fn hub(stats: member::hub::Stats) {
    TABLE.watch_streams.set(stats.streams as i64);
    TABLE.watchers.set(stats.watchers as i64);
    TABLE.slow_watchers.set(stats.behind as i64);
    TABLE.pending_events.set(stats.pending as i64);
    raise(&TABLE.events, stats.events);
}

/// The keeper's numbers, as they are now.
pub fn keeper(stats: member::keeper::Stats) {
    raise(&TABLE.leases_expired, stats.expired);
    raise(&TABLE.leases_renewed, stats.renewed);
}

/// A range was read from a View.
pub fn ranged(took: Duration, good: bool) {
    TABLE.ranges_read.inc();
    let histogram = if good { &TABLE.range_good } else { &TABLE.range_bad };
    histogram.observe(took.as_secs_f64());
}

/// A proposal got no outcome.
pub fn proposal_failed() {
    TABLE.proposals_failed.inc();
}

/// A read round got no answer.
pub fn read_index_failed() {
    TABLE.reads_failed.inc();
}

/// `/health` was asked.
pub fn health(good: bool) {
    if good { TABLE.health_good.inc() } else { TABLE.health_bad.inc() }
}

/// A check of `/livez` or `/readyz` was made.
pub fn health_check(kind: &str, name: &str, good: bool) {
    TABLE.check.with_label_values(&[kind, name]).set(i64::from(good));
    let status = if good { "success" } else { "error" };
    TABLE.checks.with_label_values(&[kind, name, status]).inc();
}

/// A call came from a client that says it speaks this version of the API.
pub fn client_request(stream: bool, version: &str) {
    if version == "unknown" {
        return if stream { TABLE.requests_stream.inc() } else { TABLE.requests_unary.inc() };
    }
    let version = if TABLE.api_version_is_told_apart(version) { version } else { "other" };
    let kind = if stream { "stream" } else { "unary" };
    TABLE.requests.with_label_values(&[kind, version]).inc();
}

/// A proposal that waits for its outcome, for as long as this lives.
pub struct Pending(());

impl Pending {
    /// One more waits.
    pub fn begin() -> Pending {
        TABLE.proposals_pending.inc();
        Pending(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        TABLE.proposals_pending.dec();
    }
}

/// A request to the store, from the edge and back.
pub struct Timed {
    kind: &'static str,
    started: Instant,
}

impl Timed {
    /// `kind`: as etcd labels it, such as `Put`.
    pub fn begin(kind: &'static str) -> Timed {
        Timed { kind, started: Instant::now() }
    }

    /// It was answered, well or with an error.
    pub fn end(self, good: bool) {
        TABLE.request(self.kind, good).observe(self.started.elapsed().as_secs_f64());
    }
}

/// Brings a counter up to an owner's count. One thread does this for one counter.
fn raise(counter: &prometheus::IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
