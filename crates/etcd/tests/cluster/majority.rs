//! With its majority gone a member writes nothing and promises nothing, but
//! shows what it has; with the majority back it goes on by itself.

use crate::harness::{self, Cluster, ELECTION, PATIENCE};
use crate::raw;
use proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse,
};
use proto::methods::path;
use std::time::{Duration, Instant};
use tonic::Code;

/// etcd's: five seconds and two elections.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5).saturating_add(ELECTION.saturating_mul(2));
/// For the way to the client and back, and a coarse clock.
const SLACK: Duration = Duration::from_millis(500);

fn put(key: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: "value".into(), ..PutRequest::default() }
}

fn get(key: &'static str, serializable: bool) -> RangeRequest {
    RangeRequest { key: key.into(), serializable, ..RangeRequest::default() }
}

/// `leads`: whether the one that is left was the leader.
async fn lose_the_majority(title: &str, leads: bool) {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start(title, 3, &[]).await;
    let leader = cluster.leader().await;
    let left = if leads { leader } else { cluster.others(leader)[0] };
    cluster.members[left].client().put(put("before")).await.expect("the cluster is whole");

    let lost = cluster.others(left);
    lost.iter().for_each(|&number| cluster.members[number].kill());
    let channel = raw::channel(&cluster.members[left]);
    let begun = Instant::now();
    let write = async {
        let answer = raw::unary::<_, PutResponse>(&channel, path::PUT, put("lost")).await;
        (answer.map(drop), begun.elapsed())
    };
    let read = async {
        let answer = raw::unary::<_, RangeResponse>(&channel, path::RANGE, get("before", false)).await;
        (answer.map(drop), begun.elapsed())
    };
    let stale = async {
        let answer = raw::unary::<_, RangeResponse>(&channel, path::RANGE, get("before", true)).await;
        (answer, begun.elapsed())
    };
    let renewal = async {
        let mut answers: tonic::Streaming<LeaseKeepAliveResponse> =
            raw::stream(&channel, path::LEASE_KEEP_ALIVE, LeaseKeepAliveRequest { id: 7 }).await?;
        answers.message().await
    };
    let left_of_it = raw::unary::<_, LeaseTimeToLiveResponse>(
        &channel,
        path::LEASE_TIME_TO_LIVE,
        LeaseTimeToLiveRequest { id: 7, keys: false },
    );
    let (write, read, stale, renewal, left_of_it) = tokio::join!(write, read, stale, renewal, left_of_it);
    if !leads {
        // Only a leader knows; nobody is found to be asked.
        for status in [renewal.expect_err("a renewal"), left_of_it.expect_err("what is left")] {
            assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: no leader"));
        }
    }
    for (what, (answer, took)) in [("write", write), ("linearizable read", read)] {
        let status = answer.expect_err(what);
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: request timed out"), "{what}");
        assert!(took <= REQUEST_TIMEOUT + SLACK, "the {what} took {took:?}");
    }
    let (answer, took) = stale;
    assert_eq!(answer.expect("a serializable read needs nobody").kvs[0].value, "value");
    assert!(took < Duration::from_secs(1), "a serializable read took {took:?}");
    let status = cluster.members[left].status().await.expect("a status needs nobody");
    assert_eq!((status.leader, status.errors), (0, vec!["etcdserver: no leader".to_owned()]));

    let leases = cluster.members[left].client().lease_list().await.expect("a list needs nobody");
    assert_eq!(leases.leases, []);

    // Asked before the majority is back, answered once it is.
    let client = cluster.members[left].client();
    let waiting = tokio::spawn(async move { client.range(get("before", false)).await });
    cluster.members[lost[0]].start();
    let answer = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("no panic");
    assert_eq!(answer.expect("the majority is back").kvs[0].value, "value");
    cluster.members[left].client().put(put("after")).await.expect("the majority is back");
    cluster.members[lost[1]].start();
    cluster.leader().await;
    for member in &cluster.members {
        let found = member.client().range(get("after", false)).await.expect("the cluster is whole");
        assert_eq!(found.count, 1);
    }
    cluster.same_everywhere().await;
}

#[tokio::test]
async fn a_follower_without_its_majority() {
    lose_the_majority("majority-follower", false).await;
}

#[tokio::test]
async fn a_leader_without_its_majority() {
    lose_the_majority("majority-leader", true).await;
}
