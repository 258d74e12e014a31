//! Why there was no answer, as a client is told: the leader was lost, the links were, the target of a transfer did not come,
//! the member has stopped.

use crate::harness::{self, Cluster, ELECTION};
use crate::raw;
use proto::etcdserverpb::{MoveLeaderRequest, MoveLeaderResponse, PutRequest, PutResponse};
use proto::methods::path;
use rustix::process::Signal;
use std::time::Instant;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// An election may take longer than the time in which it explains a timeout, and on a busy machine a put may come late.
const TRIES_MAX: usize = 5;

type Waiting = JoinHandle<Result<PutResponse, Status>>;

/// A put, on its way.
fn put(channel: &Channel) -> Waiting {
    let channel = channel.clone();
    let put = PutRequest { key: "k".into(), ..PutRequest::default() };
    tokio::spawn(async move { raw::unary(&channel, path::PUT, put).await })
}

/// Waits until this member has a proposal that is not answered.
async fn is_pending(cluster: &Cluster, number: usize) {
    let port = cluster.members[number].client_port;
    harness::until("a proposal waits", async || {
        let page = etcd::ask::get(&format!("127.0.0.1:{port}"), "/metrics", harness::PATIENCE).await.ok()?;
        String::from_utf8_lossy(&page.body).contains("\netcd_server_proposals_pending 1\n").then_some(())
    })
    .await;
}

async fn told(waiting: Waiting) -> (Code, String) {
    match waiting.await.expect("no panic") {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

/// A cluster whose leader has just been paused, with a put through a follower that the leader takes along. Both numbers.
async fn lose(title: &str, count: u16) -> (Cluster, [usize; 2], Waiting) {
    let cluster = Cluster::start(title, count, &[]).await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    let channel = raw::channel(&cluster.members[follower]);
    assert_eq!(told(put(&channel)).await.0, Code::Ok, "the cluster is whole");
    cluster.members[leader].signal(Signal::STOP);
    let waiting = put(&channel);
    (cluster, [leader, follower], waiting)
}

/// Tries until it is said why. A put that comes when the follower knows of the loss waits for the next leader and is done.
async fn says(words: &str, attempt: impl AsyncFn() -> (Code, String)) {
    let expected = (Code::Unavailable, words.to_owned());
    let mut heard = Vec::new();
    for _ in 0..TRIES_MAX {
        heard.push(attempt().await);
        if heard.last() == Some(&expected) {
            return;
        }
    }
    panic!("never {words:?}: {heard:?}");
}

/// The leader takes a proposal along when it is lost; the next one is there soon.
#[tokio::test]
async fn the_leader_was_lost() {
    let _turn = harness::together().await;
    says("etcdserver: request timed out, possibly due to previous leader failure", async || {
        let (_cluster, _, waiting) = lose("timeout-leader", 3).await;
        told(waiting).await
    })
    .await;
}

/// The leader takes a proposal along when it is lost, and its links come back much later.
#[tokio::test]
async fn the_links_were_lost() {
    let _turn = harness::together().await;
    says("etcdserver: request timed out, possibly due to connection lost", async || {
        let (mut cluster, [leader, follower], waiting) = lose("timeout-links", 2).await;
        let begun = Instant::now();
        is_pending(&cluster, follower).await;
        cluster.members[leader].kill();
        // Later than an election that would explain it.
        harness::until("two elections could have been", async || (begun.elapsed() > 3 * ELECTION).then_some(())).await;
        cluster.members[leader].start();
        told(waiting).await
    })
    .await;
}

#[tokio::test]
async fn the_target_of_a_transfer_does_not_come() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("timeout-transfer", 3, &[]).await;
    let leader = cluster.leader().await;
    let target = cluster.others(leader)[0];
    let target_id = cluster.id(target).await;
    cluster.members[target].signal(Signal::STOP);
    let channel = raw::channel(&cluster.members[leader]);
    let moved = raw::unary::<_, MoveLeaderResponse>(&channel, path::MOVE_LEADER, MoveLeaderRequest { target_id }).await;
    let status = moved.expect_err("nobody takes over");
    let words = "etcdserver: request timed out, leader transfer took too long";
    assert_eq!((status.code(), status.message()), (Code::Unknown, words));
    cluster.members[target].signal(Signal::CONT);
}

/// What waits when a member stops is told so, and may happen later or not.
#[tokio::test]
async fn the_member_has_stopped() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("timeout-stopped", 3, &[]).await;
    cluster.members[1].kill();
    cluster.members[2].kill();
    let gone = async || (cluster.members[0].status().await?.leader == 0).then_some(());
    harness::until("nobody leads", gone).await;
    let waiting = put(&raw::channel(&cluster.members[0]));
    is_pending(&cluster, 0).await;
    cluster.members[0].signal(Signal::TERM);
    assert_eq!(told(waiting).await, (Code::Unavailable, "etcdserver: server stopped".to_owned()));
    assert_eq!(cluster.members[0].ended().await.code(), Some(128 + 15));
}
