//! Leases end once: not twice in effect, not told twice, and not proposed again while it is not known what came of it. That
//! each ends at all is looked for at rest (`world/rest.rs`): nobody renews any more, so none may be left.

use crate::member::house::RETRY;
use crate::model::Model;
use crate::record::Record;
use crate::world::Micros;
use proto::etcdserverpb::InternalRaftRequest;
use std::collections::{BTreeMap, BTreeSet};
use store::LeaseChange;

/// What is known of the ends of leases.
#[derive(Debug, Default)]
pub struct Ends {
    /// By leader and lease: the last proposal of its end that is not known not to be in the log, and when it was made.
    undecided: BTreeMap<((u64, u64), i64), (u64, Micros)>,
    /// Where in `undecided` a proposal is.
    place_of: BTreeMap<u64, ((u64, u64), i64)>,
    /// Leases whose end a life of a member has told.
    told: BTreeSet<((usize, u32), i64)>,
    /// By lease: the request that has ended it.
    ended_by: BTreeMap<i64, u64>,
    /// Requests that were refused, because the lease was said not to be there.
    refused: BTreeSet<u64>,
}

/// A leader, (member, term), proposes the end of a lease.
///
/// # Panics
/// When it has proposed that before in this term, and neither was it turned back nor has the time passed after which a proposal
/// without an outcome is made again.
pub fn proposed(record: &mut Record, now: Micros, leader: (u64, u64), lease: i64, request: u64) {
    let ends = &mut record.ends;
    if let Some((before, since)) = ends.undecided.insert((leader, lease), (request, now)) {
        // By a clock that may run a tenth fast.
        assert!(
            now - since > RETRY / 10 * 9,
            "the end of lease {lease} is proposed again {} µs later in one term",
            now - since
        );
        ends.place_of.remove(&before);
    }
    ends.place_of.insert(request, (leader, lease));
}

/// A proposal was turned back: it is not in the log.
pub fn not_proposed(record: &mut Record, request: u64) {
    if let Some(place) = record.ends.place_of.remove(&request) {
        record.ends.undecided.remove(&place);
    }
}

/// The member that asked has applied a request; of interest if that was for the end of a lease.
///
/// # Panics
/// When it has ended the lease, and another request has ended it already.
pub fn decided(record: &mut Record, request: u64, ok: bool) {
    let ends = &mut record.ends;
    let Some(place) = ends.place_of.remove(&request) else { return };
    ends.undecided.remove(&place);
    let (_, lease) = place;
    if ok {
        let first = *ends.ended_by.entry(lease).or_insert(request);
        assert_eq!(first, request, "lease {lease} has ended twice");
    } else {
        ends.refused.insert(request);
    }
}

/// A life of a member has applied a change of a lease; ids are never granted again here.
///
/// # Panics
/// When it has applied that lease's end before.
pub fn told(record: &mut Record, life: (usize, u32), change: &LeaseChange) {
    match *change {
        LeaseChange::Revoked { id } => {
            assert!(record.ends.told.insert((life, id)), "m{} is told twice that lease {id} has ended", life.0);
        }
        LeaseChange::Granted { id, .. } => {
            assert!(!record.ends.told.contains(&(life, id)), "lease {id} was granted after its end");
        }
        LeaseChange::Checkpointed { .. } => {}
    }
}

/// The committed log says the same: the model stands before `request`, committed under this id.
///
/// # Panics
/// When a member has said that a request ended a lease which was not there any more, or that a lease was not there which was.
pub fn check(record: &Record, model: &Model, id: u64, request: &InternalRaftRequest) {
    let Some(revoke) = &request.lease_revoke else { return };
    let lives = model.leases.contains_key(&revoke.id);
    if record.ends.ended_by.get(&revoke.id) == Some(&id) {
        assert!(lives, "lease {} ended twice, by {id:x} the second time", revoke.id);
    }
    if record.ends.refused.contains(&id) {
        assert!(!lives || model.is_corrupt(), "the end of lease {} by {id:x} was refused, and it was there", revoke.id);
    }
}
