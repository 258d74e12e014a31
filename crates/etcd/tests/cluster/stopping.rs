//! Stopping in order: leadership is handed over, nothing is lost, and a shell
//! sees why it ended.

use crate::harness::{self, Cluster, ELECTION};
use crate::load::{self, Load};
use rustix::process::Signal;
use std::time::Instant;

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over() {
    let _turn = harness::alone().await;
    let mut cluster = Cluster::start("hand-over", 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    for _ in 0..3 {
        load.goes_on(50).await;
        let leader = cluster.leader().await;
        let id = cluster.id(leader).await;
        cluster.members[leader].signal(Signal::TERM);
        let asked = Instant::now();
        harness::until("another member leads", async || {
            let status = cluster.members[cluster.others(leader)[0]].status().await?;
            (status.leader != 0 && status.leader != id).then_some(())
        })
        .await;
        let took = asked.elapsed();
        // Nobody had to notice a silence.
        assert!(took < ELECTION, "another member leads only after {took:?}");
        let status = cluster.members[leader].ended().await;
        assert_eq!(status.code(), Some(128 + 15), "{status}");
        cluster.members[leader].start();
        cluster.leader().await;
    }
    let acknowledged = load.stop().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}

#[tokio::test]
async fn all_stop_and_all_is_there_again() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("stop-all", 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    load.goes_on(200).await;
    for member in &cluster.members {
        member.signal(Signal::INT);
    }
    for member in &mut cluster.members {
        assert_eq!(member.ended().await.code(), Some(128 + 2));
    }
    let acknowledged = load.stop().await;
    cluster.start_all();
    cluster.leader().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}
