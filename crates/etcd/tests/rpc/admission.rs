//! What is decided before a request is looked at, and what a member says that has no room, or stops.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use prost::Message;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::*;
use proto::methods::path;
use tokio::time::timeout;

use crate::client::{data, frame, messages};
use crate::harness;
use crate::member::{Member, ask, call, refused};

#[tokio::test]
async fn a_version_of_the_api_is_any_text() {
    let member = Member::start().await;
    let mut client = member.client().await;
    for (version, code) in [(&b"3.7"[..], "0"), (b"", "0"), (b"no version", "0"), (b"\xff\xfe", "3")] {
        let request = Request::post(format!("http://localhost{}", path::STATUS))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("client-api-version", HeaderValue::from_bytes(version).unwrap());
        let mut call = client.send(request.body(()).unwrap(), false);
        call.send.send_data(Bytes::from(frame(b"")), true).unwrap();
        let (answered, words) = call.answer().await.grpc();
        assert_eq!(answered, code, "{version:?}");
        assert_eq!(words, if code == "0" { "" } else { "etcdserver: invalid client api version" });
    }
}

/// Over the quota nothing grows, on this member by its own count and on all by the alarm that it raises.
#[tokio::test]
async fn a_quota_is_kept() {
    let member = Member::start_as(harness::our_program(), &["--quota-backend-bytes", "200000"]).await;
    let mut client = member.client().await;
    let put = |number: i64| {
        let key = format!("k{number}").into();
        PutRequest { key, value: vec![b'v'; 10_000].into(), ..Default::default() }
    };
    let no_space = ("8".to_owned(), "etcdserver: mvcc: database space exceeded".to_owned());
    let mut fitted = 0;
    let said = loop {
        let said = ask(&mut client, path::PUT, put(fitted)).await.grpc();
        if said.0 != "0" {
            break said;
        }
        fitted += 1;
        assert!(fitted < 100, "200,000 bytes hold no {fitted} puts of 10,000");
    };
    assert_eq!(said, no_space);
    assert!(fitted > 5, "{fitted} puts fit");
    let alarms: AlarmResponse = call(&mut client, path::ALARM, AlarmRequest::default()).await;
    let status: StatusResponse = call(&mut client, path::STATUS, StatusRequest {}).await;
    assert_eq!(alarms.alarms, [AlarmMember { member_id: status.leader, alarm: 1 }]);
    assert_eq!(status.errors, [format!("memberID:{} alarm:NOSPACE", status.leader)]);

    // Disarmed without any room made, it comes back with the next write.
    let disarm = AlarmRequest { action: 2, member_id: status.leader, alarm: 1 };
    let _: AlarmResponse = call(&mut client, path::ALARM, disarm).await;
    let none: AlarmResponse = call(&mut client, path::ALARM, AlarmRequest::default()).await;
    assert_eq!(none.alarms, []);
    assert_eq!(refused(&mut client, path::PUT, put(0)).await, no_space);
    let again: AlarmResponse = call(&mut client, path::ALARM, AlarmRequest::default()).await;
    assert_eq!(again.alarms, alarms.alarms);

    // Small things are refused as well while the alarm is on, and reading and deleting are not.
    let small = PutRequest { key: "small".into(), ..Default::default() };
    assert_eq!(refused(&mut client, path::PUT, small.clone()).await, no_space);
    assert_eq!(refused(&mut client, path::LEASE_GRANT, LeaseGrantRequest { id: 7, ttl: 600 }).await, no_space);
    let nested = RequestOp { request: Some(request_op::Request::RequestPut(put(0))) };
    let nested = TxnRequest { success: vec![nested], ..Default::default() };
    let nested = RequestOp { request: Some(request_op::Request::RequestTxn(nested)) };
    let nested = TxnRequest { success: vec![nested], ..Default::default() };
    assert_eq!(refused(&mut client, path::TXN, nested).await, no_space, "a txn in a txn does not get by");
    let all = DeleteRangeRequest { key: "k".into(), range_end: "l".into(), ..Default::default() };
    let deleted: DeleteRangeResponse = call(&mut client, path::DELETE_RANGE, all).await;
    assert_eq!(deleted.deleted, fitted);
    let revision = deleted.header.unwrap().revision;
    let _: CompactionResponse = call(&mut client, path::COMPACT, CompactionRequest { revision, physical: true }).await;
    assert_eq!(refused(&mut client, path::PUT, small.clone()).await, no_space, "an alarm does not end by itself");
    let _: AlarmResponse = call(&mut client, path::ALARM, disarm).await;
    let _: PutResponse = call(&mut client, path::PUT, small).await;
}

/// A stream is given a moment to end by itself and then cut off, which clients take for Unavailable. Nobody is left
/// waiting.
#[tokio::test]
async fn a_stopping_member_lets_nobody_wait() {
    let member = Member::start().await;
    let mut client = member.client().await;
    let create = WatchCreateRequest { key: "k".into(), ..Default::default() };
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    let mut watching = client.begin(path::WATCH, &[]);
    watching.send.send_data(Bytes::from(frame(&create.encode_to_vec())), false).unwrap();
    let mut body = watching.body().await;
    assert!(messages::<WatchResponse>(&data(&mut body).await.unwrap())[0].created);
    member.ask_to_stop();
    let cut_off = timeout(Duration::from_secs(20), body.data()).await.expect("the stream ends in time");
    assert!(cut_off.is_none_or(|piece| piece.is_err()), "nothing more is told");
    assert!(member.connect().await.is_err(), "nobody new is taken");
}
