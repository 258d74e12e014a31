//! Which header each RPC answers with. With the feature `real-etcd` the real one is asked the same.

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::*;
use proto::methods::path;

use crate::client::{Client, Reader, frame};
use crate::harness;
use crate::member::{Member, call};

/// The RPC, and its header if there is one.
type Headers = Vec<(&'static str, Option<ResponseHeader>)>;

async fn collect(member: &Member) -> Headers {
    let mut client = member.client().await;
    let mut headers = Headers::new();
    macro_rules! ask {
        ($response:ty, $path:expr, $request:expr) => {{
            let response: $response = call(&mut client, $path, $request).await;
            headers.push(($path, response.header));
            response
        }};
    }
    let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
    ask!(PutResponse, path::PUT, put.clone());
    ask!(RangeResponse, path::RANGE, RangeRequest { key: "k".into(), ..Default::default() });
    let stale = RangeRequest { key: "k".into(), revision: 1, serializable: true, ..Default::default() };
    ask!(RangeResponse, path::RANGE, stale);
    let put = RequestOp { request: Some(request_op::Request::RequestPut(put)) };
    ask!(TxnResponse, path::TXN, TxnRequest { success: vec![put], ..Default::default() });
    ask!(TxnResponse, path::TXN, TxnRequest::default());
    ask!(DeleteRangeResponse, path::DELETE_RANGE, DeleteRangeRequest { key: "k".into(), ..Default::default() });
    ask!(DeleteRangeResponse, path::DELETE_RANGE, DeleteRangeRequest { key: "k".into(), ..Default::default() });
    ask!(CompactionResponse, path::COMPACT, CompactionRequest { revision: 2, physical: true });
    ask!(LeaseGrantResponse, path::LEASE_GRANT, LeaseGrantRequest { id: 7, ttl: 600 });
    ask!(LeaseTimeToLiveResponse, path::LEASE_TIME_TO_LIVE, LeaseTimeToLiveRequest { id: 7, keys: true });
    ask!(LeaseTimeToLiveResponse, path::LEASE_TIME_TO_LIVE, LeaseTimeToLiveRequest { id: 8, keys: true });
    ask!(LeaseLeasesResponse, path::LEASE_LEASES, LeaseLeasesRequest {});
    ask!(LeaseRevokeResponse, path::LEASE_REVOKE, LeaseRevokeRequest { id: 7 });
    ask!(MemberListResponse, path::MEMBER_LIST, MemberListRequest { linearizable: true });
    ask!(AlarmResponse, path::ALARM, AlarmRequest::default());
    let status = ask!(StatusResponse, path::STATUS, StatusRequest {});
    ask!(HashResponse, path::HASH, HashRequest {});
    ask!(HashKvResponse, path::HASH_KV, HashKvRequest { revision: 3 });
    let itself = MoveLeaderRequest { target_id: status.leader };
    ask!(MoveLeaderResponse, path::MOVE_LEADER, itself);

    let keep = LeaseKeepAliveRequest { id: 99 };
    let kept: LeaseKeepAliveResponse = call(&mut client, path::LEASE_KEEP_ALIVE, keep).await;
    headers.push((path::LEASE_KEEP_ALIVE, kept.header));
    headers.push((path::WATCH, watch(&mut client).await));
    headers
}

/// The header of a watch's creation.
async fn watch(client: &mut Client) -> Option<ResponseHeader> {
    let create = WatchCreateRequest { key: "k".into(), ..Default::default() };
    let request = WatchRequest { request_union: Some(watch_request::RequestUnion::CreateRequest(create)) };
    let mut call = client.begin(path::WATCH, &[]);
    call.send.send_data(Bytes::from(frame(&request.encode_to_vec())), false).unwrap();
    let first: Option<WatchResponse> = Reader::new(call.body().await).next().await;
    first.unwrap().header
}

/// The revision in each header; -1 where there is no header.
const REVISIONS: [(&str, i64); 21] = [
    (path::PUT, 2),
    (path::RANGE, 2),
    (path::RANGE, 2),
    (path::TXN, 3),
    (path::TXN, 3),
    (path::DELETE_RANGE, 4),
    (path::DELETE_RANGE, 4),
    (path::COMPACT, 4),
    (path::LEASE_GRANT, 4),
    (path::LEASE_TIME_TO_LIVE, 4),
    (path::LEASE_TIME_TO_LIVE, 4),
    (path::LEASE_LEASES, 4),
    (path::LEASE_REVOKE, 4),
    (path::MEMBER_LIST, 0),
    (path::ALARM, 4),
    (path::STATUS, 4),
    (path::HASH, 4),
    (path::HASH_KV, 4),
    (path::MOVE_LEADER, -1),
    (path::LEASE_KEEP_ALIVE, 4),
    (path::WATCH, 4),
];

async fn check(program: PathBuf) {
    let member = Member::start_as(program, &[]).await;
    let headers = collect(&member).await;
    let revisions: Vec<(&str, i64)> =
        headers.iter().map(|(path, header)| (*path, header.as_ref().map_or(-1, |header| header.revision))).collect();
    assert_eq!(revisions, REVISIONS);
    let first = headers[0].1.expect("a put has a header");
    assert!(first.cluster_id != 0 && first.member_id != 0 && first.raft_term != 0, "{first:?}");
    for (path, header) in headers.into_iter().filter_map(|(path, header)| Some((path, header?))) {
        let same = ResponseHeader { revision: header.revision, ..first };
        assert_eq!(header, same, "{path}");
    }
}

#[tokio::test]
async fn every_rpc_has_its_header() {
    check(harness::our_program()).await;
}

#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn etcd_has_the_same_headers() {
    check(harness::real_program()).await;
}
