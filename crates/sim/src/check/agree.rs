//! All members hold the same, and it is what the committed log says.

use crate::model::Model;
use disk::SimDisk;
use prost::Message;
use proto::etcdserverpb::{RangeRequest, RangeResponse};
use store::{Header, View};

/// Same revision, same compaction, same hash of all that is kept.
pub fn check(views: &[View<SimDisk>]) {
    let first = views.first().expect("a cluster has members");
    let hash = first.hash_kv(0).expect("a healthy disk is hashed");
    let leases: Vec<_> = first.leases().map(|(id, lease)| (id, lease.ttl_seconds())).collect();
    for view in views {
        assert_eq!(view.applied(), first.applied(), "members have applied the same");
        assert_eq!(view.revision(), first.revision(), "members are at the same revision");
        assert_eq!(view.compacted(), first.compacted(), "members have compacted to the same revision");
        assert_eq!(view.hash_kv(0).expect("a healthy disk is hashed"), hash, "members hold the same keys");
        let own: Vec<_> = view.leases().map(|(id, lease)| (id, lease.ttl_seconds())).collect();
        assert_eq!(own, leases, "members hold the same leases");
        assert_eq!(view.roster(), first.roster(), "members know the same roster");
        assert_eq!(view.alarms(), first.alarms(), "members know the same alarms");
    }
}

/// The present state is the model's.
pub fn with_model(views: &[View<SimDisk>], model: &Model) {
    for view in views {
        assert!(so_far(view, model), "the present can be read");
    }
    assert!(model.orphans().is_empty(), "keys go with their leases");
}

/// What a member holds is the model's, if it can be read, which is returned.
pub fn so_far(view: &View<SimDisk>, model: &Model) -> bool {
    let everything =
        RangeRequest { key: (&b"\0"[..]).into(), range_end: (&b"\0"[..]).into(), ..RangeRequest::default() };
    let expected = model.range(&everything).expect("the present can be read");
    let leases: Vec<i64> = view.leases().map(|(id, _)| id).collect();
    let promised: Vec<i64> = model.leases.keys().copied().collect();
    assert_eq!(leases, promised, "a member holds the leases that the committed log says");
    let Ok(reply) = view.range(&everything) else { return false };
    let held = RangeResponse::decode(&reply.encode(&Header::default())[..]).expect("our own encoding");
    assert_eq!(held, expected, "a member holds what the committed log says");
    true
}
