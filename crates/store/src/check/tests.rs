//! A table of branches and what etcd says to them.
//!
//! Every row but those about sorting was put to etcd 3.5.1 as the `success` and as
//! the `failure` of `POST /v3/kv/txn`; both times it answered as written here.

use proto::etcdserverpb::Compare;

use super::*;

fn bytes(text: &str) -> bytes::Bytes {
    text.to_owned().into()
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn get(key: &str) -> RequestOp {
    op(Request::RequestRange(RangeRequest { key: bytes(key), ..Default::default() }))
}

fn set(key: &str) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: bytes(key), ..Default::default() }))
}

fn sets(count: usize) -> Vec<RequestOp> {
    (0..count).map(|number| set(&format!("k{number}"))).collect()
}

fn del(key: &str, end: &str) -> RequestOp {
    let request = DeleteRangeRequest { key: bytes(key), range_end: bytes(end), prev_kv: false };
    op(Request::RequestDeleteRange(request))
}

fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(TxnRequest { compare: vec![], success, failure }))
}

fn with(mut ops: Vec<RequestOp>, more: RequestOp) -> Vec<RequestOp> {
    ops.push(more);
    ops
}

#[track_caller]
fn branch(ops: Vec<RequestOp>, expected: Result<(), Refusal>) {
    let then = TxnRequest { success: ops.clone(), ..Default::default() };
    let otherwise = TxnRequest { failure: ops, ..Default::default() };
    assert_eq!(txn(&then, 128), expected);
    assert_eq!(txn(&otherwise, 128), expected);
}

const TWICE: Result<(), Refusal> = Err(Refusal::DuplicateKey);

#[test]
fn a_branch_writes_a_key_once() {
    branch(vec![set("a"), set("a")], TWICE);
    branch(vec![set("a"), del("a", "")], TWICE);
    branch(vec![del("a", "c"), set("b")], TWICE);
    branch(vec![del("a", "b"), set("b")], Ok(()));
    branch(vec![del("a", "c"), del("b", "d")], Ok(()));
    branch(vec![get("a"), set("a"), get("a")], Ok(()));
    // An end that is not after the key deletes nothing; "\0" is one of those here.
    branch(vec![del("a", "\0"), set("b")], Ok(()));
    branch(vec![del("c", "a"), set("b")], Ok(()));
    branch(vec![del("c", "a"), set("c")], Ok(()));
}

#[test]
fn nested_txns_count_with_both_branches() {
    branch(vec![nested(vec![set("a")], vec![set("a")])], Ok(()));
    branch(vec![set("a"), nested(vec![set("a")], vec![])], TWICE);
    branch(vec![set("a"), nested(vec![], vec![set("a")])], TWICE);
    branch(vec![nested(vec![set("a")], vec![]), nested(vec![set("a")], vec![])], TWICE);
    branch(vec![nested(vec![set("a")], vec![]), nested(vec![], vec![set("a")])], TWICE);
    branch(vec![set("a"), nested(vec![nested(vec![set("a")], vec![])], vec![])], TWICE);
    branch(vec![nested(vec![del("a", "")], vec![]), set("a")], TWICE);
    branch(vec![nested(vec![set("a")], vec![]), del("a", "")], TWICE);
    branch(vec![nested(vec![set("a")], vec![del("a", "")])], Ok(()));
    branch(vec![nested(vec![del("a", "")], vec![]), nested(vec![set("a")], vec![])], TWICE);
    // The order that is not looked at.
    branch(vec![nested(vec![set("a")], vec![]), nested(vec![del("a", "")], vec![])], Ok(()));
}

#[test]
fn the_branches_of_the_outer_txn_are_apart() {
    let both = TxnRequest { compare: vec![], success: vec![set("a")], failure: vec![set("a")] };
    assert_eq!(txn(&both, 128), Ok(()));
}

#[test]
fn operations_must_be_whole_and_not_too_many() {
    let too_many = Err(Refusal::TooManyOps);
    branch(vec![RequestOp { request: None }], Err(Refusal::KeyNotFound));
    branch(vec![set("")], Err(Refusal::EmptyKey));
    branch(vec![nested(vec![], vec![])], Ok(()));
    branch(sets(128), Ok(()));
    branch(sets(129), too_many);
    branch(with(sets(126), nested(vec![set("z")], vec![])), Ok(()));
    branch(with(sets(127), nested(vec![set("z")], vec![])), too_many);
    branch(with(sets(126), nested(vec![set("z"), set("y")], vec![])), too_many);
    let compares = TxnRequest { compare: vec![Compare::default()], ..Default::default() };
    assert_eq!(txn(&compares, 128), Err(Refusal::EmptyKey));
    assert_eq!(txn(&compares, 0), too_many, "counting comes first");
}

#[test]
fn single_requests() {
    let key = bytes("k");
    assert_eq!(range(&RangeRequest::default()), Err(Refusal::EmptyKey));
    let good = RangeRequest { key: key.clone(), sort_order: 2, sort_target: 4, ..Default::default() };
    assert_eq!(range(&good), Ok(()));
    assert_eq!(range(&RangeRequest { sort_order: 3, ..good.clone() }), Err(Refusal::InvalidSortOption));
    assert_eq!(range(&RangeRequest { sort_target: -1, ..good }), Err(Refusal::InvalidSortOption));

    let good = PutRequest { key, value: bytes("v"), lease: 7, ..Default::default() };
    assert_eq!(put(&good), Ok(()));
    assert_eq!(put(&PutRequest { ignore_value: true, ..good.clone() }), Err(Refusal::ValueProvided));
    assert_eq!(put(&PutRequest { ignore_lease: true, ..good }), Err(Refusal::LeaseProvided));
    assert_eq!(delete_range(&DeleteRangeRequest::default()), Err(Refusal::EmptyKey));
}

#[test]
fn many_deletes_are_one_set() {
    // Deletes that meet, swallow and stand apart, against a set of single keys.
    let spans = [(10, 20), (15, 30), (40, 50), (50, 55), (5, 60), (70, 70), (80, 75), (90, 91)];
    let name = |number: i32| format!("{number:03}").into_bytes();
    for count in 0..=spans.len() {
        let mut set = Intervals::default();
        for (begin, end) in &spans[..count] {
            set.insert(&name(*begin), &name(*end));
        }
        for key in 0..100 {
            let inside = spans[..count].iter().any(|(begin, end)| (*begin..*end).contains(&key));
            assert_eq!(set.contains(&name(key)), inside, "{key} after {count}");
        }
    }
}

#[test]
fn which_txns_only_read() {
    let reads = |serializable| {
        let request = RangeRequest { key: bytes("k"), serializable, ..Default::default() };
        op(Request::RequestRange(request))
    };
    let txn = |success, failure| TxnRequest { compare: vec![], success, failure };
    let both = |request: &TxnRequest| (is_read_only(request), is_serializable(request));
    assert_eq!(both(&txn(vec![], vec![])), (true, true));
    assert_eq!(both(&txn(vec![reads(true)], vec![reads(true)])), (true, true));
    assert_eq!(both(&txn(vec![reads(true)], vec![reads(false)])), (true, false));
    assert_eq!(both(&txn(vec![reads(true)], vec![set("k")])), (false, false));
    assert_eq!(both(&txn(vec![nested(vec![reads(true)], vec![])], vec![])), (false, false));
}
