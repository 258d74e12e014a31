//! Keys: what comes back, under which header.

use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};
use proto::methods::path;

use crate::member::{Member, call, refused};

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

fn all() -> RangeRequest {
    RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() }
}

fn words(code: &str, message: &str) -> (String, String) {
    (code.to_owned(), message.to_owned())
}

#[tokio::test]
async fn keys_come_and_go() {
    let member = Member::start().await;
    let mut client = member.client().await;

    let made: PutResponse = call(&mut client, path::PUT, put("a", "1")).await;
    let header = made.header.unwrap();
    assert_eq!(header.revision, 2);
    assert!(header.cluster_id != 0 && header.member_id != 0 && header.raft_term != 0);
    let replaced: PutResponse = call(&mut client, path::PUT, PutRequest { prev_kv: true, ..put("a", "2") }).await;
    assert_eq!(replaced.prev_kv.unwrap().value, "1");

    for serializable in [false, true] {
        let request = RangeRequest { key: "a".into(), serializable, ..Default::default() };
        let found: RangeResponse = call(&mut client, path::RANGE, request).await;
        assert_eq!(found.count, 1);
        let kv = &found.kvs[0];
        assert_eq!((&kv.value[..], kv.create_revision, kv.mod_revision, kv.version), (&b"2"[..], 2, 3, 2));
        let found = found.header.unwrap();
        assert_eq!((found.revision, found.member_id), (3, header.member_id));
    }

    let request = DeleteRangeRequest { key: "a".into(), prev_kv: true, ..Default::default() };
    let deleted: DeleteRangeResponse = call(&mut client, path::DELETE_RANGE, request).await;
    assert_eq!((deleted.deleted, deleted.header.unwrap().revision), (1, 4));
    assert_eq!(deleted.prev_kvs[0].value, "2");

    let _: CompactionResponse =
        call(&mut client, path::COMPACT, CompactionRequest { revision: 4, physical: true }).await;
    let again = CompactionRequest { revision: 4, ..Default::default() };
    let compacted = words("11", "etcdserver: mvcc: required revision has been compacted");
    assert_eq!(refused(&mut client, path::COMPACT, again).await, compacted);
    let old = RangeRequest { key: "a".into(), revision: 3, ..Default::default() };
    assert_eq!(refused(&mut client, path::RANGE, old).await, compacted);
    let future = RangeRequest { key: "a".into(), revision: 99, ..Default::default() };
    let words_of_future = words("11", "etcdserver: mvcc: required revision is a future revision");
    assert_eq!(refused(&mut client, path::RANGE, future).await, words_of_future);
    let nameless = words("3", "etcdserver: key is not provided");
    assert_eq!(refused(&mut client, path::PUT, put("", "x")).await, nameless);
    assert_eq!(refused(&mut client, path::RANGE, RangeRequest::default()).await, nameless);
}

#[tokio::test]
async fn transactions_read_and_write() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let op = |request| RequestOp { request: Some(request) };
    let range = |key: &'static str| op(Request::RequestRange(RangeRequest { key: key.into(), ..Default::default() }));
    let absent = |key: &'static str| Compare {
        key: key.into(),
        target: 1,
        target_union: Some(TargetUnion::CreateRevision(0)),
        ..Default::default()
    };
    let request = TxnRequest {
        compare: vec![absent("x")],
        success: vec![op(Request::RequestPut(put("x", "1"))), range("x")],
        failure: vec![range("x")],
    };
    let first: TxnResponse = call(&mut client, path::TXN, request.clone()).await;
    assert!(first.succeeded);
    assert_eq!((first.header.unwrap().revision, first.responses.len()), (2, 2));
    let second: TxnResponse = call(&mut client, path::TXN, request).await;
    assert!(!second.succeeded);
    assert_eq!(second.header.unwrap().revision, 2);

    // One that only reads does not go through the log.
    let reading = TxnRequest { success: vec![range("x"), range("y")], ..Default::default() };
    let read: TxnResponse = call(&mut client, path::TXN, reading).await;
    assert!(read.succeeded);
    assert_eq!((read.header.unwrap().revision, read.responses.len()), (2, 2));

    let twice = TxnRequest {
        success: vec![op(Request::RequestPut(put("x", "1"))), op(Request::RequestPut(put("x", "2")))],
        ..Default::default()
    };
    let duplicate = words("3", "etcdserver: duplicate key given in txn request");
    assert_eq!(refused(&mut client, path::TXN, twice).await, duplicate);
}

/// More keys than are read on the edge's own threads.
#[tokio::test]
async fn a_long_range_is_whole() {
    let member = Member::start().await;
    let mut client = member.client().await;
    for batch in 0..30 {
        let one = |number: usize| {
            let key = format!("key-{:05}", batch * 100 + number);
            let put = PutRequest { key: key.into(), value: vec![b'v'; 200].into(), ..Default::default() };
            RequestOp { request: Some(Request::RequestPut(put)) }
        };
        let request = TxnRequest { success: (0..100).map(one).collect(), ..Default::default() };
        let _: TxnResponse = call(&mut client, path::TXN, request).await;
    }
    let found: RangeResponse = call(&mut client, path::RANGE, all()).await;
    assert_eq!((found.count, found.kvs.len(), found.more), (3000, 3000, false));
    assert!(found.kvs.is_sorted_by(|a, b| a.key < b.key));
    let found: RangeResponse = call(&mut client, path::RANGE, RangeRequest { limit: 2, ..all() }).await;
    assert_eq!((found.count, found.kvs.len(), found.more), (3000, 2, true));
    let found: RangeResponse = call(&mut client, path::RANGE, RangeRequest { count_only: true, ..all() }).await;
    assert_eq!((found.count, found.kvs.len()), (3000, 0));
}

/// What the member has counted under a name.
async fn counted(member: &Member, name: &str) -> f64 {
    let metrics = member.http("GET /metrics HTTP/1.1").await;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not shown")).parse().unwrap()
}

/// Whether it is made at once, or measured and made in pieces.
#[tokio::test]
async fn a_range_is_counted_once() {
    let member = Member::start().await;
    let mut client = member.client().await;
    for key in ["a", "b", "c"] {
        let request = PutRequest { value: vec![b'v'; 500_000].into(), ..put(key, "") };
        let _: PutResponse = call(&mut client, path::PUT, request).await;
    }
    let names = [
        "etcd_mvcc_range_total",
        "etcd_server_range_duration_seconds_count{success=\"true\"}",
        "etcd_server_request_duration_seconds_count{success=\"true\",type=\"Range\"}",
    ];
    let one = RangeRequest { key: "a".into(), ..Default::default() };
    for (request, keys) in [(one, 1), (all(), 3)] {
        for serializable in [false, true] {
            let mut before = Vec::new();
            for name in names {
                before.push(counted(&member, name).await);
            }
            let request = RangeRequest { serializable, ..request.clone() };
            let found: RangeResponse = call(&mut client, path::RANGE, request).await;
            assert_eq!(found.kvs.len(), keys);
            for (name, before) in names.into_iter().zip(before) {
                assert_eq!(counted(&member, name).await, before + 1.0, "{name}, {keys} keys, {serializable}");
            }
        }
    }
}
