//! What clients ask.

use bytes::Bytes;
use fastrand::Rng;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, InternalRaftRequest, LeaseGrantRequest, PutRequest, RangeRequest,
    RequestOp, TxnRequest, request_op,
};

/// One thing asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Goes through the log.
    Write(Box<InternalRaftRequest>),
    /// Answered from a View.
    Read(RangeRequest),
}

/// Keys of a run: few, so that they collide.
const KEYS: u32 = 24;

/// Makes requests. `revision`: about where the store is; `leases`: some ids.
pub fn ask(rng: &mut Rng, number: u64, revision: i64, leases: &[i64]) -> Ask {
    let write = InternalRaftRequest::default();
    match rng.u8(..100) {
        0..40 => Ask::Write(Box::new(InternalRaftRequest { put: Some(put(rng, number, leases)), ..write })),
        40..50 => Ask::Write(Box::new(InternalRaftRequest { delete_range: Some(delete(rng)), ..write })),
        50..68 => Ask::Write(Box::new(InternalRaftRequest { txn: Some(txn(rng, number, revision)), ..write })),
        68..92 => Ask::Read(range(rng, revision)),
        92..95 => {
            let revision = revision - rng.i64(0..80);
            let compaction = CompactionRequest { revision, physical: false };
            Ask::Write(Box::new(InternalRaftRequest { compaction: Some(compaction), ..write }))
        }
        _ => {
            let grant = LeaseGrantRequest { id: number as i64 + 1, ttl: rng.i64(2..8) };
            Ask::Write(Box::new(InternalRaftRequest { lease_grant: Some(grant), ..write }))
        }
    }
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

fn put(rng: &mut Rng, number: u64, leases: &[i64]) -> PutRequest {
    let filler = rng.usize(..200);
    PutRequest {
        key: key(rng),
        value: Bytes::from(format!("{number}:{}", "x".repeat(filler))),
        lease: if leases.is_empty() || rng.u8(..4) > 0 { 0 } else { leases[rng.usize(..leases.len())] },
        prev_kv: rng.bool(),
        ..PutRequest::default()
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
    RangeRequest {
        key,
        range_end,
        limit: if rng.bool() { 0 } else { rng.i64(1..6) },
        revision: if rng.u8(..5) == 0 { revision - rng.i64(-2..60) } else { 0 },
        serializable: rng.u8(..4) == 0,
        count_only: rng.u8(..8) == 0,
        ..RangeRequest::default()
    }
}

fn txn(rng: &mut Rng, number: u64, revision: i64) -> TxnRequest {
    let compares = rng.usize(..3);
    let compare = (0..compares).map(|_| compare(rng, revision)).collect();
    TxnRequest { compare, success: ops(rng, number), failure: ops(rng, number) }
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
        ..Compare::default()
    }
}

/// Up to four operations that do not touch the same key twice with a put.
fn ops(rng: &mut Rng, number: u64) -> Vec<RequestOp> {
    let mut written = Vec::new();
    let mut ops = Vec::new();
    for _ in 0..rng.usize(..4) {
        let request = match rng.u8(..10) {
            0..6 => {
                let put = put(rng, number, &[]);
                if written.contains(&put.key) {
                    continue;
                }
                written.push(put.key.clone());
                request_op::Request::RequestPut(put)
            }
            6..8 => {
                let key = key(rng);
                if written.contains(&key) {
                    continue;
                }
                written.push(key.clone());
                request_op::Request::RequestDeleteRange(DeleteRangeRequest { key, prev_kv: rng.bool(), ..Default::default() })
            }
            _ => request_op::Request::RequestRange(RangeRequest { revision: 0, ..range(rng, 0) }),
        };
        ops.push(RequestOp { request: Some(request) });
    }
    ops
}
