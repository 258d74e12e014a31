//! Random commands that pass the checks of the edge, as every command in a log did.

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;

use super::model::Model;
use super::*;

pub fn key(chance: &mut Chance) -> String {
    // A few hot keys and a wider space of cold ones.
    if chance.one_in(3) { format!("hot/{}", chance.below(3)) } else { format!("k/{:03}", chance.below(60)) }
}

fn end(chance: &mut Chance, key: &str) -> String {
    match chance.below(6) {
        0 => "\0".to_owned(),
        1 => format!("{key}~"),
        2 => "k/030".to_owned(),
        3 => "a".to_owned(),
        _ => String::new(),
    }
}

fn random_put(chance: &mut Chance) -> pb::PutRequest {
    let value = "v".repeat(chance.below(200) as usize) + &chance.below(50).to_string();
    let lease = if chance.one_in(4) { 1 + chance.below(4) as i64 } else { 0 };
    let mut put = put_request(&key(chance), &value, lease);
    put.prev_kv = chance.one_in(2);
    if chance.one_in(8) {
        put.ignore_value = true;
        put.value = Bytes::new();
    }
    if chance.one_in(8) {
        put.ignore_lease = true;
        put.lease = 0;
    }
    put
}

pub fn random_range(chance: &mut Chance, model: &Model) -> pb::RangeRequest {
    let from = key(chance);
    let to = end(chance, &from);
    let revision = if chance.one_in(2) { 0 } else { chance.below(model.revision as u64 + 3) as i64 };
    let mut range = range_request(&from, &to, revision);
    range.limit = if chance.one_in(2) { chance.below(8) as i64 } else { 0 };
    range.count_only = chance.one_in(8);
    range.keys_only = chance.one_in(6);
    if chance.one_in(4) {
        range.sort_order = chance.below(3) as i32;
        range.sort_target = [0, 3][chance.below(2) as usize];
    }
    if chance.one_in(6) {
        range.min_mod_revision = chance.below(model.revision as u64 + 1) as i64;
        range.max_create_revision = chance.below(model.revision as u64 + 1) as i64;
    }
    range
}

fn random_compare(chance: &mut Chance, model: &Model) -> pb::Compare {
    use pb::compare::TargetUnion;
    let from = key(chance);
    let range_end = if chance.one_in(3) { end(chance, &from) } else { String::new() };
    let target = chance.below(5) as i32;
    let number = match target {
        0 => chance.below(4) as i64,
        4 => chance.below(3) as i64,
        _ => chance.below(model.revision as u64 + 1) as i64,
    };
    let union = match target {
        0 => TargetUnion::Version(number),
        1 => TargetUnion::CreateRevision(number),
        2 => TargetUnion::ModRevision(number),
        3 => TargetUnion::Value(model.keys.get(from.as_bytes()).map(|kv| kv.value.clone()).unwrap_or_default()),
        _ => TargetUnion::Lease(number),
    };
    pb::Compare {
        result: chance.below(4) as i32,
        target,
        key: from.into(),
        range_end: range_end.into(),
        target_union: if chance.one_in(8) { None } else { Some(union) },
    }
}

fn random_txn(chance: &mut Chance, model: &Model, depth: u32) -> pb::TxnRequest {
    let branch = |chance: &mut Chance| -> Vec<pb::RequestOp> {
        (0..chance.below(4))
            .map(|_| {
                let request = match chance.below(8) {
                    0 | 1 => Request::RequestRange(random_range(chance, model)),
                    2..=4 => Request::RequestPut(random_put(chance)),
                    5 | 6 => {
                        let from = key(chance);
                        let to = if chance.one_in(3) { end(chance, &from) } else { String::new() };
                        Request::RequestDeleteRange(delete_request(&from, &to))
                    }
                    _ if depth < 2 => Request::RequestTxn(random_txn(chance, model, depth + 1)),
                    _ => Request::RequestPut(random_put(chance)),
                };
                pb::RequestOp { request: Some(request) }
            })
            .collect()
    };
    let success = branch(chance);
    let failure = branch(chance);
    let compare = (0..chance.below(3)).map(|_| random_compare(chance, model)).collect();
    pb::TxnRequest { compare, success, failure }
}

/// A command that passes the checks of the edge, as every command in a log did.
pub fn random_command(chance: &mut Chance, model: &Model) -> pb::InternalRaftRequest {
    match chance.below(100) {
        0..45 => pb::InternalRaftRequest { put: Some(random_put(chance)), ..request() },
        45..60 => {
            let from = key(chance);
            let to = if chance.one_in(4) { end(chance, &from) } else { String::new() };
            delete(&from, &to)
        }
        60..85 => loop {
            let txn = random_txn(chance, model, 0);
            if store::check::txn(&txn, 128).is_ok() && !kept_after_delete(&txn) {
                return pb::InternalRaftRequest { txn: Some(txn), ..request() };
            }
        },
        85..90 => compact(chance.below(model.revision as u64 + 2) as i64),
        90..95 => grant(1 + chance.below(4) as i64, chance.below(100) as i64),
        _ => revoke(1 + chance.below(5) as i64),
    }
}

/// Whether a txn may ask a put to keep something of a key that it has deleted: etcd stops there, so the model does not
/// say what happens.
fn kept_after_delete(txn: &pb::TxnRequest) -> bool {
    fn any(txn: &pb::TxnRequest, what: &dyn Fn(&Request) -> bool) -> bool {
        txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref()).any(|request| match request {
            Request::RequestTxn(nested) => any(nested, what),
            other => what(other),
        })
    }
    any(txn, &|request| matches!(request, Request::RequestPut(put) if put.ignore_value || put.ignore_lease))
        && any(txn, &|request| matches!(request, Request::RequestDeleteRange(_)))
}
