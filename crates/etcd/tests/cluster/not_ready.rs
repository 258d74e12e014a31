//! A member of a cluster that has never had a majority takes no calls yet: connections wait until it serves.

use crate::harness::{self, Cluster, PATIENCE};
use crate::raw;
use proto::etcdserverpb::{RangeRequest, RangeResponse};
use proto::methods::path;
use std::time::Duration;

#[tokio::test]
async fn alone_of_three_from_the_beginning() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::plan("not-ready", 3, &[]);
    cluster.members[0].start();
    harness::until("the member has its port", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", cluster.members[0].client_port)).await.ok()
    })
    .await;
    let channel = raw::channel(&cluster.members[0]);
    let mut waiting = tokio::spawn(async move {
        let get = RangeRequest { key: "k".into(), serializable: true, ..RangeRequest::default() };
        raw::unary::<_, RangeResponse>(&channel, path::RANGE, get).await
    });
    let early = tokio::time::timeout(Duration::from_millis(500), &mut waiting).await;
    assert!(early.is_err(), "answered without a cluster: {early:?}");

    cluster.start_all();
    let answer = tokio::time::timeout(PATIENCE, waiting).await.expect("served in time").expect("no panic");
    assert_eq!(answer.expect("the cluster is there").count, 0);
}
