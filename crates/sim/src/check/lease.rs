//! Leases: none ends before its time. The load never revokes, so every end is
//! an expiry.

use crate::record::Record;
use crate::world::Micros;
use store::LeaseChange;

/// A member has answered a renewal: from `now` on the lease has its time again.
///
/// # Panics
/// When some member had applied its end before the renewal was asked.
pub fn renewed(record: &mut Record, now: Micros, id: i64, ttl_seconds: i64, had_ended: bool) {
    assert!(!had_ended, "lease {id} was renewed for {ttl_seconds} s, and had ended before that was asked");
    record.counts.renewals += 1;
    let promise = record.leases.entry(id).or_insert((now, ttl_seconds));
    *promise = (now, ttl_seconds);
}

/// A member has applied a change of a lease, at `now`.
///
/// # Panics
/// When a lease ends early.
pub fn changed(record: &mut Record, now: Micros, change: &LeaseChange) {
    match *change {
        LeaseChange::Granted { id, ttl_seconds } => {
            record.leases.entry(id).or_insert((now, ttl_seconds));
        }
        LeaseChange::Revoked { id } => {
            record.ended.insert(id);
            let Some((granted, ttl_seconds)) = record.leases.get(&id).copied() else { return };
            let lived = now.saturating_sub(granted);
            // Members' clocks run up to 4 % fast.
            let least = ttl_seconds as u64 * 960_000;
            assert!(lived >= least, "lease {id} of {ttl_seconds} s ended {lived} µs after it was granted or renewed");
        }
        LeaseChange::Checkpointed { .. } => {}
    }
}
