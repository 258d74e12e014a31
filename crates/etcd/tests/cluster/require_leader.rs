//! Clients may insist on a leader (`hasleader`): without one they are refused at once, and get no streams.

use crate::harness::{self, Cluster, PATIENCE};
use crate::raw;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::*;
use proto::methods::path;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

fn get() -> RangeRequest {
    RangeRequest { key: "k".into(), serializable: true, ..RangeRequest::default() }
}

fn put(value: &'static str) -> PutRequest {
    PutRequest { key: "k".into(), value: value.into(), ..PutRequest::default() }
}

fn watch() -> WatchCreateRequest {
    WatchCreateRequest { key: "k".into(), ..WatchCreateRequest::default() }
}

#[tokio::test]
async fn without_a_leader_who_insists_is_refused_at_once() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("require-leader", 3, &[]).await;
    let (client, channel) = (cluster.members[0].client(), raw::channel(&cluster.members[0]));
    client.put(put("before")).await.expect("a put");
    let found: RangeResponse = raw::insisting(&channel, path::RANGE, get()).await.expect("there is a leader");
    assert_eq!(found.count, 1);
    let mut watched = client.watch_stream(watch()).await.expect("a stream");
    let created = tokio::time::timeout(PATIENCE, watched.next()).await.expect("in time");
    assert!(created.expect("it goes on").expect("it goes on").created);

    cluster.members[1].kill();
    cluster.members[2].kill();
    let gone = async || (cluster.members[0].status().await?.leader == 0).then_some(());
    harness::until("the member that is left knows of no leader", gone).await;
    let begun = Instant::now();
    let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(watch())) };
    let refused: [Option<Status>; 5] = [
        raw::insisting::<_, RangeResponse>(&channel, path::RANGE, get()).await.err(),
        raw::insisting::<_, PutResponse>(&channel, path::PUT, put("lost")).await.err(),
        raw::insisting::<_, LeaseLeasesResponse>(&channel, path::LEASE_LEASES, LeaseLeasesRequest {}).await.err(),
        raw::insisting::<_, WatchResponse>(&channel, path::WATCH, create).await.err(),
        raw::insisting::<_, LeaseKeepAliveResponse>(&channel, path::LEASE_KEEP_ALIVE, LeaseKeepAliveRequest { id: 7 })
            .await
            .err(),
    ];
    for (number, status) in refused.into_iter().enumerate() {
        let status = status.unwrap_or_else(|| panic!("call {number} was answered"));
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: no leader"), "call {number}");
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "refused after {:?}", begun.elapsed());

    // Who does not insist is served as far as that goes, and keeps the stream.
    let found: RangeResponse = raw::unary(&channel, path::RANGE, get()).await.expect("it may be stale");
    assert_eq!(&found.kvs[0].value[..], b"before");
    cluster.members[1].start();
    cluster.leader().await;
    client.put(put("after")).await.expect("a put");
    let told = tokio::time::timeout(PATIENCE, watched.next()).await.expect("in time");
    let told = told.expect("it goes on").expect("it goes on");
    assert_eq!(&told.events[0].kv.as_ref().expect("a key").value[..], b"after");
}
