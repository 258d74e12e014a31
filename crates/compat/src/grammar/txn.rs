//! Transactions: every compare, every op, nested, with keys that meet.

use super::Grammar;
use crate::lane::Kind;
use crate::request;
use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::{Compare, RangeRequest, RequestOp, TxnRequest};

/// How deep transactions lie in each other.
const DEEP: u32 = 3;

/// Whether it deletes, at any depth, all from a key on: such a deletion is not
/// compared with the keys that are put.
fn deletes_without_end(txn: &TxnRequest) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match &op.request {
        Some(Op::RequestDeleteRange(delete)) => delete.range_end[..] == *b"\0",
        Some(Op::RequestTxn(nested)) => deletes_without_end(nested),
        _ => false,
    })
}

fn keep_nothing(txn: &mut TxnRequest) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Op::RequestPut(put)) => (put.ignore_value, put.ignore_lease) = (false, false),
            Some(Op::RequestTxn(nested)) => keep_nothing(nested),
            _ => {}
        }
    }
}

impl Grammar {
    pub(super) fn txn(&mut self) -> TxnRequest {
        let mut txn = self.txn_at(0);
        if self.one_in(200) {
            let most = self.lane.limits.txn_ops;
            let many = self.chance.usize(most - 2..most + 3);
            let get = |_| Some(RequestOp { request: Some(Op::RequestRange(super::kv_of_a())) });
            match self.chance.u32(0..3) {
                0 => txn.success = (0..many).filter_map(get).collect(),
                1 => txn.failure = (0..many).filter_map(get).collect(),
                _ => txn.compare = (0..many).map(|_| self.compare()).collect(),
            }
        }
        // Excluded: txn-keeps-deleted.
        if deletes_without_end(&txn) {
            keep_nothing(&mut txn);
        }
        txn
    }

    pub(super) fn read_only_txn(&mut self) -> TxnRequest {
        let mut ranges = |most| {
            let count = self.chance.usize(0..most);
            (0..count).map(|_| RequestOp { request: Some(Op::RequestRange(self.range())) }).collect()
        };
        let (success, failure) = (ranges(3), ranges(3));
        let compares = self.chance.usize(0..3);
        TxnRequest { compare: (0..compares).map(|_| self.compare()).collect(), success, failure }
    }

    fn txn_at(&mut self, depth: u32) -> TxnRequest {
        let compares = self.chance.usize(0..3);
        TxnRequest {
            compare: (0..compares).map(|_| self.compare()).collect(),
            success: self.ops(depth),
            failure: self.ops(depth),
        }
    }

    fn ops(&mut self, depth: u32) -> Vec<RequestOp> {
        let count = self.chance.usize(0..4);
        (0..count).map(|_| self.op(depth)).collect()
    }

    fn op(&mut self, depth: u32) -> RequestOp {
        let request = match self.chance.u32(0..100) {
            0..30 => Op::RequestRange(self.range_beside_writes()),
            30..65 => Op::RequestPut(self.put()),
            65..80 => Op::RequestDeleteRange(self.delete()),
            80..99 if depth < DEEP => Op::RequestTxn(self.txn_at(depth + 1)),
            99 => return RequestOp { request: None },
            _ => Op::RequestPut(self.put()),
        };
        RequestOp { request: Some(request) }
    }

    /// Excluded where there are several members: txn-range-refused.
    fn range_beside_writes(&mut self) -> RangeRequest {
        let mut range = self.range();
        if self.lane.kind != Kind::One {
            range.revision = if self.chance.bool() { 0 } else { request::current(0) };
        }
        range
    }

    fn compare(&mut self) -> Compare {
        let (mut result, target) = (self.number(4), self.number(5));
        let kind = if self.one_in(20) { self.chance.i32(0..6) } else { target };
        let target_union = match kind {
            0 => Some(TargetUnion::Version(if self.one_in(10) { self.absurd() } else { self.chance.i64(0..4) })),
            1 => Some(TargetUnion::CreateRevision(self.compared_revision())),
            2 => Some(TargetUnion::ModRevision(self.compared_revision())),
            3 => Some(TargetUnion::Value(self.value())),
            4 => Some(TargetUnion::Lease(self.compared_lease(&mut result))),
            _ => None,
        };
        let range_end = if self.one_in(4) { self.end() } else { bytes::Bytes::new() };
        Compare { result, target, key: self.key(), range_end, target_union }
    }

    fn compared_revision(&mut self) -> i64 {
        match self.chance.u32(0..4) {
            0 => 0,
            1 => self.absurd(),
            _ => request::current(-self.chance.i64(-1..20)),
        }
    }

    /// Ids that servers name are in no order, so those are only equal or not.
    fn compared_lease(&mut self, result: &mut i32) -> i64 {
        if self.lane.named_leases && self.one_in(3) {
            *result = if self.chance.bool() { 0 } else { 3 };
            return request::named_lease(self.chance.i64(0..20));
        }
        self.chosen_lease()
    }
}
