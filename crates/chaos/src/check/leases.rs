//! Leases: none is granted for less than was asked, or renewed for another time than granted; none ends before the time that was promised last, none is renewed
//! after its end, and what was revoked is gone.

use super::committed::Committed;
use crate::history::{Answer, Ask, History, Op, Outcome};
use std::collections::BTreeMap;

/// Checks all leases that took keys with them, each at the revision given.
pub fn check(history: &History, committed: &Committed, ends: &BTreeMap<i64, i64>, wrong: &mut Vec<String>) {
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
    }
    for (id, &revision) in ends {
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
