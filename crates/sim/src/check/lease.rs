//! Leases: none ends before its time, unless a client has ended it.

use crate::member::TICK;
use crate::record::Record;
use crate::world::Micros;
use store::LeaseChange;

/// A member has answered a renewal: from when it was `asked` on the lease has its time again. Not from the answer: a process
/// that stands still between its proof that it leads and its answer, or a slow link, makes that as late as it likes.
///
/// # Panics
/// When some member had applied its end before the renewal was asked.
pub fn renewed(record: &mut Record, asked: Micros, id: i64, ttl_seconds: i64, had_ended: bool) {
    assert!(!had_ended, "lease {id} was renewed for {ttl_seconds} s, and had ended before that was asked");
    record.counts.renewals += 1;
    let (since, ttl) = record.leases.entry(id).or_insert((asked, ttl_seconds));
    (*since, *ttl) = ((*since).max(asked), ttl_seconds);
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
            // Whoever applies has the entry from the committed log: it is known who asked for this end.
            if record.ended_by.get(&id).is_some_and(|request| record.revocations.contains(request)) {
                return;
            }
            let Some((granted, ttl_seconds)) = record.leases.get(&id).copied() else { return };
            let lived = now.saturating_sub(granted);
            // Members' clocks may run fast.
            let least = ttl_seconds as u64 * 1_000_000 * record.fastest_tick / TICK;
            assert!(lived >= least, "lease {id} of {ttl_seconds} s ended {lived} µs after it was granted or renewed");
        }
        LeaseChange::Checkpointed { .. } => {}
    }
}
