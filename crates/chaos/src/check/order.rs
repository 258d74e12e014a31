//! Real time: what began after somebody knew of a revision comes after it in
//! the commit order, and sees it.

use super::committed::Committed;
use super::owners::{Owner, Owners};
use crate::history::{Ask, History};

/// Checks every write that took effect and every linearizable read, grant and revocation.
pub fn check(history: &History, committed: &Committed, owners: &Owners, wrong: &mut Vec<String>) {
    for (&revision, owner) in &owners.of {
        let Owner::Op(place) = owner else { continue };
        let op = &history.ops[*place];
        let floor = committed.floor(op.begin);
        if revision <= floor {
            wrong.push(format!(
                "revision {floor} was known before this began, and it took effect at {revision}:\n  {op}"
            ));
        }
    }
    for op in history.ops.iter().filter(|op| !op.changed()) {
        let linearizable = match &op.ask {
            Ask::Range(ask) => !ask.serializable,
            Ask::Txn(_) | Ask::Delete(_) | Ask::Grant(_) | Ask::Revoke(_) => true,
            _ => false,
        };
        let (true, Some(revision)) = (linearizable, op.revision()) else { continue };
        let floor = committed.floor(op.begin);
        if revision < floor {
            wrong.push(format!(
                "revision {floor} was known before this began, and it was answered at revision {revision}:\n  {op}"
            ));
        }
    }
}
