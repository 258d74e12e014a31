//! Leases: none ends before its time, unless a client has ended it.

use crate::member::TICK;
use crate::record::Record;
use crate::world::Micros;
use store::LeaseChange;

/// A member has answered a renewal: the lease has its time again from then on, or from an election timeout before the answer
/// left, if it was asked earlier (`docs/decisions/007-renewals.md`).
///
/// # Panics
/// When some member had applied its end before the answering member set out to prove that it leads.
pub fn renewed(record: &mut Record, then: Micros, id: i64, ttl_seconds: i64, had_ended: bool) {
    assert!(!had_ended, "lease {id} was renewed for {ttl_seconds} s, and had ended before that was asked");
    record.counts.renewals += 1;
    let (since, ttl) = record.leases.entry(id).or_insert((then, ttl_seconds));
    (*since, *ttl) = ((*since).max(then), ttl_seconds);
}

/// A member has answered that a lease has ended.
///
/// # Panics
/// When no member has applied its end, and it has not had its time since it was last granted or renewed.
pub fn said_to_have_ended(record: &Record, now: Micros, id: i64) {
    if let Some(&(since, ttl_seconds)) = record.leases.get(&id)
        && !record.ended.contains(&id)
    {
        let lived = now.saturating_sub(since);
        let least = least_life(record, ttl_seconds);
        assert!(
            lived >= least,
            "lease {id} of {ttl_seconds} s was said to have ended {lived} µs after its last renewal"
        );
    }
}

/// How long a lease lives at least: members' clocks may run fast.
fn least_life(record: &Record, ttl_seconds: i64) -> Micros {
    ttl_seconds as u64 * 1_000_000 * record.fastest_tick / TICK
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
            let least = least_life(record, ttl_seconds);
            assert!(lived >= least, "lease {id} of {ttl_seconds} s ended {lived} µs after it was granted or renewed");
        }
        LeaseChange::Checkpointed { .. } => {}
    }
}
