//! Leases: none is granted for less than was asked, or renewed for another time
//! than granted; none ends before the time that was promised last, none is
//! renewed after its end, what was revoked is gone, and at rest all are.

use super::committed::Committed;
use super::replay::Replayed;
use crate::history::{ALL, Answer, Ask, History, Nanos, Op, Outcome};
use proto::etcdserverpb::RangeRequest;
use sim::model::Model;
use std::collections::BTreeMap;

/// Checks all leases; of those that took keys with them it is known when.
pub fn check(history: &History, committed: &Committed, replayed: &Replayed, wrong: &mut Vec<String>) {
    let mut of: BTreeMap<i64, Vec<&Op>> = BTreeMap::new();
    for op in &history.ops {
        let id = match &op.ask {
            Ask::Grant(grant) => grant.id,
            Ask::Renew(id) | Ask::Revoke(id) => *id,
            _ => continue,
        };
        of.entry(id).or_default().push(op);
    }
    for (&id, ops) in &of {
        promises(id, ops, wrong);
        let revoked = ops.iter().filter(|op| matches!(op.outcome, Outcome::Answered(Answer::Revoke(_))));
        let revoked = revoked.map(|op| op.end).min();
        let end = replayed.ends.get(&id).and_then(|&revision| committed.known(revision));
        if let Some(gone) = revoked.into_iter().chain(end).min() {
            renewed_since(gone, id, ops, wrong);
        }
    }
    survivors(history, &replayed.model, wrong);
    for (id, &revision) in &replayed.ends {
        let Some(known) = committed.known(revision) else { continue };
        let ops = of.get(id).map_or(&[][..], Vec::as_slice);
        for op in ops {
            if let (Ask::Revoke(_), Outcome::Answered(Answer::Revoke(header))) = (&op.ask, &op.outcome)
                && header.revision < revision
            {
                wrong.push(format!("lease {id:x} was revoked, and its keys were there until {revision}:\n  {op}"));
            }
        }
        let revoked = |op: &&&Op| matches!(op.ask, Ask::Revoke(_)) && !matches!(op.outcome, Outcome::Refused(_));
        if ops.iter().any(|op| revoked(&op) && op.begin < known) {
            continue;
        }
        for op in ops {
            let seconds = match &op.outcome {
                Outcome::Answered(Answer::Grant(answer)) => answer.ttl,
                Outcome::Answered(Answer::Renew(answer)) => answer.ttl,
                _ => continue,
            };
            // Its time runs from the moment a member took the request, which was after it was sent.
            let promised = op.begin + seconds.unsigned_abs() * 1_000_000_000;
            if seconds > 0 && known < promised {
                let early = (promised - known) as f64 / 1e9;
                wrong.push(format!(
                    "lease {id:x} ended {early:.3} s early, at revision {revision}, known {:.6} s after the start:\n  {op}",
                    known as f64 / 1e9
                ));
            }
        }
    }
}

/// Once it is known that a lease has ended nobody can renew it.
fn renewed_since(gone: Nanos, id: i64, ops: &[&Op], wrong: &mut Vec<String>) {
    for op in ops.iter().filter(|op| op.begin > gone) {
        if let Outcome::Answered(Answer::Renew(answer)) = &op.outcome
            && answer.ttl > 0
        {
            wrong.push(format!("lease {id:x} was renewed after it was known to have ended:\n  {op}"));
        }
    }
}

/// Members tell again what they have kept when all leases have ended.
fn survivors(history: &History, model: &Model, wrong: &mut Vec<String>) {
    if !history.watches.iter().any(|told| told.again) {
        return;
    }
    let all = RangeRequest { key: ALL.to_vec().into(), range_end: ALL.to_vec().into(), ..RangeRequest::default() };
    let there = model.range(&all).map_or_else(|_| Vec::new(), |answer| answer.kvs);
    for kv in there.iter().filter(|kv| kv.lease != 0) {
        let (key, lease) = (String::from_utf8_lossy(&kv.key), kv.lease);
        wrong.push(format!("key {key:?} is still there at rest, and lease {lease:x} has ended"));
    }
}

/// A member may grant more time than was asked for, and never less; each
/// renewal promises the time granted, or says that the lease has ended.
fn promises(id: i64, ops: &[&Op], wrong: &mut Vec<String>) {
    let mut granted = None;
    for op in ops {
        if let (Ask::Grant(asked), Outcome::Answered(Answer::Grant(answer))) = (&op.ask, &op.outcome) {
            granted = Some(answer.ttl);
            if answer.ttl < asked.ttl {
                wrong.push(format!("lease {id:x} was granted for {} s, less than was asked:\n  {op}", answer.ttl));
            }
        }
    }
    let Some(granted) = granted else { return };
    for op in ops {
        if let Outcome::Answered(Answer::Renew(answer)) = &op.outcome
            && answer.ttl != granted
            && answer.ttl != 0
        {
            wrong.push(format!("lease {id:x} was granted for {granted} s, and renewed for another time:\n  {op}"));
        }
    }
}
