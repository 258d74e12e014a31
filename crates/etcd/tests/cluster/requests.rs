//! A request that cannot be right gets etcd's code and etcd's words, and
//! changes nothing. With the feature `real-etcd` the real one is asked the same.

use crate::harness::{self, Cluster, Member};
use crate::raw;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::*;
use proto::methods::path;
use tonic::Status;
use tonic::transport::Channel;

/// Any request that has one response.
#[derive(Clone)]
enum Call {
    Range(RangeRequest),
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Txn(TxnRequest),
    Compact(CompactionRequest),
    Grant(LeaseGrantRequest),
    Revoke(LeaseRevokeRequest),
    HashKv(HashKvRequest),
    MoveLeader(MoveLeaderRequest),
    Nowhere(&'static str),
}

async fn send(channel: &Channel, call: Call) -> Result<(), Status> {
    match call {
        Call::Range(request) => raw::unary::<_, RangeResponse>(channel, path::RANGE, request).await.map(drop),
        Call::Put(request) => raw::unary::<_, PutResponse>(channel, path::PUT, request).await.map(drop),
        Call::Delete(request) => {
            raw::unary::<_, DeleteRangeResponse>(channel, path::DELETE_RANGE, request).await.map(drop)
        }
        Call::Txn(request) => raw::unary::<_, TxnResponse>(channel, path::TXN, request).await.map(drop),
        Call::Compact(request) => raw::unary::<_, CompactionResponse>(channel, path::COMPACT, request).await.map(drop),
        Call::Grant(request) => {
            raw::unary::<_, LeaseGrantResponse>(channel, path::LEASE_GRANT, request).await.map(drop)
        }
        Call::Revoke(request) => {
            raw::unary::<_, LeaseRevokeResponse>(channel, path::LEASE_REVOKE, request).await.map(drop)
        }
        Call::HashKv(request) => raw::unary::<_, HashKvResponse>(channel, path::HASH_KV, request).await.map(drop),
        Call::MoveLeader(request) => {
            raw::unary::<_, MoveLeaderResponse>(channel, path::MOVE_LEADER, request).await.map(drop)
        }
        Call::Nowhere(path) => raw::unary::<_, PutResponse>(channel, path, PutRequest::default()).await.map(drop),
    }
}

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: "value".into(), ..PutRequest::default() }
}

fn range(key: &'static str, revision: i64) -> RangeRequest {
    RangeRequest { key: key.into(), revision, ..RangeRequest::default() }
}

fn delete(key: &'static str, range_end: &'static str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: key.into(), range_end: range_end.into(), ..DeleteRangeRequest::default() }
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn txn(success: Vec<Request>) -> Call {
    Call::Txn(TxnRequest { success: success.into_iter().map(op).collect(), ..TxnRequest::default() })
}

fn many_puts(count: usize) -> Vec<RequestOp> {
    (0..count)
        .map(|number| op(Request::RequestPut(PutRequest { key: format!("k{number}").into(), ..PutRequest::default() })))
        .collect()
}

/// Revision 2 to 6 are puts of `key`; the history before 4 is compacted; lease 7 exists.
async fn prepare(channel: &Channel) {
    for _ in 2..=6 {
        send(channel, Call::Put(put("key"))).await.expect("a put");
    }
    send(channel, Call::Compact(CompactionRequest { revision: 4, physical: false })).await.expect("a compaction");
    send(channel, Call::Grant(LeaseGrantRequest { id: 7, ttl: 600 })).await.expect("a lease");
}

const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const NO_KEY: &str = "etcdserver: key is not provided";
const NO_LEASE: &str = "etcdserver: requested lease not found";
const TWICE: &str = "etcdserver: duplicate key given in txn request";
const TOO_MANY: &str = "etcdserver: too many operations in txn request";
const TOO_LARGE: &str = "etcdserver: request is too large";
const ABSENT: &str = "etcdserver: key not found";

/// Title, request, code, words.
fn bad_requests() -> Vec<(&'static str, Call, i32, &'static str)> {
    let large =
        |bytes: usize| PutRequest { key: "large".into(), value: vec![7; bytes].into(), ..PutRequest::default() };
    let compare = |key: &'static str| Compare {
        key: key.into(),
        target: CompareTarget::Version.into(),
        result: CompareResult::Equal.into(),
        ..Compare::default()
    };
    let nested = TxnRequest { success: many_puts(100), ..TxnRequest::default() };
    let mut over_budget = many_puts(28);
    over_budget.push(op(Request::RequestTxn(nested)));
    vec![
        ("range without key", Call::Range(range("", 0)), 3, NO_KEY),
        ("range in the future", Call::Range(range("key", 7)), 11, FUTURE),
        ("range in the compacted past", Call::Range(range("key", 3)), 11, COMPACTED),
        ("put without key", Call::Put(put("")), 3, NO_KEY),
        ("put too large for the log", Call::Put(large(1_572_864)), 3, TOO_LARGE),
        ("put with a lease that is not", Call::Put(PutRequest { lease: 99, ..put("key") }), 5, NO_LEASE),
        (
            "put that keeps the value of nothing",
            Call::Put(PutRequest { value: "".into(), ignore_value: true, ..put("absent") }),
            3,
            ABSENT,
        ),
        (
            "put that keeps the lease of nothing",
            Call::Put(PutRequest { ignore_lease: true, ..put("absent") }),
            3,
            ABSENT,
        ),
        (
            "put that keeps and gives a value",
            Call::Put(PutRequest { ignore_value: true, ..put("key") }),
            3,
            "etcdserver: value is provided",
        ),
        (
            "put that keeps and gives a lease",
            Call::Put(PutRequest { ignore_lease: true, lease: 7, ..put("key") }),
            3,
            "etcdserver: lease is provided",
        ),
        ("delete without key", Call::Delete(delete("", "")), 3, NO_KEY),
        ("txn of 129", Call::Txn(TxnRequest { success: many_puts(129), ..TxnRequest::default() }), 3, TOO_MANY),
        (
            "txn of 129 guards",
            Call::Txn(TxnRequest { compare: vec![compare("key"); 129], ..TxnRequest::default() }),
            3,
            TOO_MANY,
        ),
        (
            "txn of 29 with one of 100",
            Call::Txn(TxnRequest { success: over_budget, ..TxnRequest::default() }),
            3,
            TOO_MANY,
        ),
        ("txn that puts twice", txn(vec![Request::RequestPut(put("a")), Request::RequestPut(put("a"))]), 3, TWICE),
        (
            "txn that puts what it deletes",
            txn(vec![Request::RequestDeleteRange(delete("a", "c")), Request::RequestPut(put("b"))]),
            3,
            TWICE,
        ),
        (
            "txn that guards no key",
            Call::Txn(TxnRequest { compare: vec![compare("")], ..TxnRequest::default() }),
            3,
            NO_KEY,
        ),
        ("txn that puts no key", txn(vec![Request::RequestPut(put(""))]), 3, NO_KEY),
        (
            "txn with nothing for an operation",
            Call::Txn(TxnRequest { success: vec![RequestOp { request: None }], ..TxnRequest::default() }),
            3,
            ABSENT,
        ),
        ("txn that reads the future", txn(vec![Request::RequestRange(range("key", 7))]), 11, FUTURE),
        ("txn that reads the compacted past", txn(vec![Request::RequestRange(range("key", 3))]), 11, COMPACTED),
        (
            "txn that writes and reads the future",
            txn(vec![Request::RequestPut(put("a")), Request::RequestRange(range("key", 9))]),
            11,
            FUTURE,
        ),
        (
            "txn with a lease that is not",
            txn(vec![Request::RequestPut(PutRequest { lease: 99, ..put("a") })]),
            5,
            NO_LEASE,
        ),
        ("compaction of the past", Call::Compact(CompactionRequest { revision: 4, physical: false }), 11, COMPACTED),
        ("compaction of the future", Call::Compact(CompactionRequest { revision: 7, physical: false }), 11, FUTURE),
        ("lease that exists", Call::Grant(LeaseGrantRequest { id: 7, ttl: 60 }), 9, "etcdserver: lease already exists"),
        (
            "lease of 300 years",
            Call::Grant(LeaseGrantRequest { id: 8, ttl: 9_000_000_001 }),
            11,
            "etcdserver: too large lease TTL",
        ),
        ("revocation of nothing", Call::Revoke(LeaseRevokeRequest { id: 99 }), 5, NO_LEASE),
        ("hash of the future", Call::HashKv(HashKvRequest { revision: 7 }), 11, FUTURE),
        ("hash of the compacted past", Call::HashKv(HashKvRequest { revision: 3 }), 11, COMPACTED),
        (
            "leadership for nobody",
            Call::MoveLeader(MoveLeaderRequest { target_id: 99 }),
            9,
            "etcdserver: bad leader transferee",
        ),
        (
            "a method that is not",
            Call::Nowhere("/etcdserverpb.KV/Nothing"),
            12,
            "unknown method Nothing for service etcdserverpb.KV",
        ),
        ("a service that is not", Call::Nowhere("/nothing.At/All"), 12, "unknown service nothing.At"),
    ]
}

/// What a member answers to all of them, as (title, code, words).
async fn answers(member: &Member) -> Vec<(&'static str, i32, String)> {
    let channel = raw::channel(member);
    prepare(&channel).await;
    let mut answers = Vec::new();
    for (title, call, ..) in bad_requests() {
        let (code, words) = match send(&channel, call).await {
            Ok(()) => (0, String::new()),
            Err(status) => (status.code() as i32, status.message().to_owned()),
        };
        answers.push((title, code, words));
    }
    let now = raw::unary::<_, RangeResponse>(&channel, path::RANGE, range("key", 0)).await.expect("a range");
    assert_eq!(now.header.expect("a header").revision, 6, "a refused request changed something");
    assert_eq!(now.kvs[0].version, 5);
    answers
}

#[tokio::test]
async fn refused_with_the_words_of_etcd() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("requests", 1, &[]).await;
    let expected: Vec<_> =
        bad_requests().into_iter().map(|(title, _, code, words)| (title, code, words.to_owned())).collect();
    for (answer, expected) in answers(&cluster.members[0]).await.into_iter().zip(expected) {
        assert_eq!(answer, expected);
    }
}

/// Newer than the etcd that the tests compare with, or told by the transport.
#[tokio::test]
async fn refused_before_it_is_read() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("requests-new", 1, &[]).await;
    let channel = raw::channel(&cluster.members[0]);
    let sorted = RangeRequest { sort_order: 9, ..range("key", 0) };
    let status = send(&channel, Call::Range(sorted)).await.expect_err("no such order");
    assert_eq!((status.code() as i32, status.message()), (3, "etcdserver: invalid sort option"));
    let huge = PutRequest { key: "huge".into(), value: vec![7; 3 << 20].into(), ..PutRequest::default() };
    let status = send(&channel, Call::Put(huge)).await.expect_err("beyond what the edge takes");
    assert_eq!(status.code() as i32, 8);
    assert!(status.message().starts_with("grpc: received message larger than max"), "{}", status.message());
}

/// Through a follower the answers are the same.
#[tokio::test]
async fn refused_by_a_follower_too() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("requests-follower", 3, &[]).await;
    let follower = cluster.others(cluster.leader().await)[0];
    let answers = answers(&cluster.members[follower]).await;
    for ((title, call, code, words), answer) in bad_requests().into_iter().zip(answers) {
        // Only a leader can say who may lead.
        let expected = match call {
            Call::MoveLeader(_) => (title, 9, "etcdserver: not leader".to_owned()),
            _ => (title, code, words.to_owned()),
        };
        assert_eq!(answer, expected);
    }
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_says_the_same() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::plan_of("requests-real", vec![harness::real_program()], &[]);
    cluster.start_all();
    cluster.leader().await;
    let said = answers(&cluster.members[0]).await;
    for (answer, (title, _, code, words)) in said.into_iter().zip(bad_requests()) {
        assert_eq!(answer, (title, code, words.to_owned()));
    }
}
