//! What clients ask.

use bytes::Bytes;
use fastrand::Rng;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest, LeaseRevokeRequest,
    PutRequest, RangeRequest, RequestOp, TxnRequest, request_op,
};

/// One thing asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Goes through the log.
    Write(Box<InternalRaftRequest>),
    /// Answered from a View.
    Read(RangeRequest),
    /// Renews a lease, if the member leads.
    KeepAlive(i64),
}

/// How often what is asked, out of the sum of all.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Puts.
    pub puts: u32,
    /// Deletions.
    pub deletes: u32,
    /// Transactions.
    pub txns: u32,
    /// Ranges.
    pub reads: u32,
    /// Compactions.
    pub compactions: u32,
    /// New leases.
    pub grants: u32,
    /// Renewals.
    pub keep_alives: u32,
    /// Leases that are revoked.
    pub revocations: u32,
    /// Values are shorter than this and some, in bytes.
    pub filler: usize,
}

impl Default for Mix {
    fn default() -> Mix {
        Mix {
            puts: 38,
            deletes: 9,
            txns: 18,
            reads: 24,
            compactions: 3,
            grants: 5,
            keep_alives: 3,
            revocations: 1,
            filler: 200,
        }
    }
}

/// Keys of a run: few, so that they collide.
const KEYS: u32 = 24;

/// Makes requests. `revision`: about where the store is; `leases`: some ids.
pub fn ask(rng: &mut Rng, mix: &Mix, number: u64, revision: i64, leases: &[i64]) -> Ask {
    let write = InternalRaftRequest::default();
    let Mix { puts, deletes, txns, reads, compactions, grants, keep_alives, revocations, filler } = *mix;
    let weights = [puts, deletes, txns, reads, compactions, grants, keep_alives, revocations];
    let mut at = rng.u32(..weights.iter().sum::<u32>());
    let kind = weights.iter().position(|&weight| {
        let here = at < weight;
        at = at.saturating_sub(weight);
        here
    });
    let request = match kind.expect("some weight holds it") {
        0 => InternalRaftRequest { put: Some(put(rng, number, leases, filler)), ..write },
        1 => InternalRaftRequest { delete_range: Some(delete(rng)), ..write },
        2 => InternalRaftRequest { txn: Some(valid_txn(rng, number, revision)), ..write },
        3 => return Ask::Read(range(rng, revision)),
        4 => {
            let revision = revision - rng.i64(0..80);
            InternalRaftRequest { compaction: Some(CompactionRequest { revision, physical: false }), ..write }
        }
        6 if !leases.is_empty() => return Ask::KeepAlive(leases[rng.usize(..leases.len())]),
        7 if !leases.is_empty() => {
            let revoke = LeaseRevokeRequest { id: leases[rng.usize(..leases.len())] };
            InternalRaftRequest { lease_revoke: Some(revoke), ..write }
        }
        _ => {
            let grant = LeaseGrantRequest { id: number as i64 + 1, ttl: rng.i64(2..8) };
            InternalRaftRequest { lease_grant: Some(grant), ..write }
        }
    };
    Ask::Write(Box::new(request))
}

/// A key of the run.
pub fn key(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("key/{:02}", rng.u32(..KEYS)))
}

/// Two keys in order, the second exclusive; sometimes one key, sometimes all.
pub fn span(rng: &mut Rng) -> (Bytes, Bytes) {
    match rng.u8(..10) {
        0..4 => (key(rng), Bytes::new()),
        4 => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
        5 => (key(rng), Bytes::from_static(b"\0")),
        _ => {
            let (one, other) = (key(rng), key(rng));
            if one <= other { (one, other) } else { (other, one) }
        }
    }
}

fn put(rng: &mut Rng, number: u64, leases: &[i64], filler: usize) -> PutRequest {
    let filler = rng.usize(..filler);
    let lease = if leases.is_empty() || rng.u8(..4) > 0 { 0 } else { leases[rng.usize(..leases.len())] };
    let (ignore_value, ignore_lease) = (rng.u8(..20) == 0, rng.u8(..20) == 0);
    PutRequest {
        key: key(rng),
        value: if ignore_value { Bytes::new() } else { format!("{number}:{}", "x".repeat(filler)).into() },
        lease: if ignore_lease { 0 } else { lease },
        prev_kv: rng.bool(),
        ignore_value,
        ignore_lease,
    }
}

fn delete(rng: &mut Rng) -> DeleteRangeRequest {
    let (key, range_end) = span(rng);
    // Emptying everything every time would leave nothing to collide on.
    let range_end = if range_end == "\0" && rng.u8(..8) > 0 { Bytes::new() } else { range_end };
    DeleteRangeRequest { key, range_end, prev_kv: rng.bool() }
}

fn range(rng: &mut Rng, revision: i64) -> RangeRequest {
    let (key, range_end) = span(rng);
    let plain = RangeRequest {
        key,
        range_end,
        limit: if rng.bool() { 0 } else { rng.i64(1..6) },
        revision: if rng.u8(..5) == 0 { revision - rng.i64(-2..60) } else { 0 },
        serializable: rng.u8(..4) == 0,
        count_only: rng.u8(..8) == 0,
        ..RangeRequest::default()
    };
    if rng.u8(..4) > 0 {
        return plain;
    }
    let bound = |rng: &mut Rng| if rng.u8(..4) == 0 { (revision - rng.i64(0..60)).max(0) } else { 0 };
    RangeRequest {
        sort_order: rng.i32(0..3),
        sort_target: rng.i32(0..5),
        keys_only: rng.bool(),
        min_mod_revision: bound(rng),
        max_mod_revision: bound(rng),
        min_create_revision: bound(rng),
        max_create_revision: bound(rng),
        ..plain
    }
}

/// A transaction that the edge would let pass.
fn valid_txn(rng: &mut Rng, number: u64, revision: i64) -> TxnRequest {
    for _ in 0..8 {
        let txn = txn(rng, number, revision, 2);
        if store::check::txn(&txn, 128).is_ok() {
            return txn;
        }
    }
    TxnRequest::default()
}

fn txn(rng: &mut Rng, number: u64, revision: i64, depth: u32) -> TxnRequest {
    let compares = rng.usize(..3);
    let compare = (0..compares).map(|_| compare(rng, revision)).collect();
    TxnRequest { compare, success: ops(rng, number, revision, depth), failure: ops(rng, number, revision, depth) }
}

fn compare(rng: &mut Rng, revision: i64) -> Compare {
    let results = [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
    let near = revision - rng.i64(0..30);
    let (target, union) = match rng.u8(..5) {
        0 => (CompareTarget::Version, TargetUnion::Version(rng.i64(0..4))),
        1 => (CompareTarget::Create, TargetUnion::CreateRevision(near)),
        2 => (CompareTarget::Mod, TargetUnion::ModRevision(near)),
        3 => (CompareTarget::Lease, TargetUnion::Lease(0)),
        _ => (CompareTarget::Value, TargetUnion::Value(Bytes::from(format!("{revision}:")))),
    };
    Compare {
        result: results[rng.usize(..4)].into(),
        target: target.into(),
        key: key(rng),
        target_union: Some(union),
        range_end: if rng.u8(..6) == 0 { key(rng) } else { Bytes::new() },
    }
}

/// Up to three operations.
fn ops(rng: &mut Rng, number: u64, revision: i64, depth: u32) -> Vec<RequestOp> {
    let one = |rng: &mut Rng| match rng.u8(..10) {
        0..5 => request_op::Request::RequestPut(put(rng, number, &[], 200)),
        5..7 => {
            let key = key(rng);
            request_op::Request::RequestDeleteRange(DeleteRangeRequest {
                key,
                prev_kv: rng.bool(),
                ..Default::default()
            })
        }
        7 if depth > 0 => request_op::Request::RequestTxn(txn(rng, number, revision, depth - 1)),
        _ => request_op::Request::RequestRange(range(rng, revision)),
    };
    (0..rng.usize(..4)).map(|_| RequestOp { request: Some(one(rng)) }).collect()
}
