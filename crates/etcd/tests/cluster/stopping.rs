//! Stopping in order: leadership is handed over, nothing is lost, and a shell
//! sees why it ended.

use crate::harness::{self, Cluster, ELECTION};
use crate::load::{self, Acknowledged, Load};
use client::Client;
use proto::etcdserverpb::PutRequest;
use rustix::process::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Puts one after the other until told to stop. None of them may fail.
async fn put_all(client: Client, prefix: String, count: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{prefix}/{:08}", acknowledged.len());
        let put = PutRequest { key: key.clone().into(), value: key.clone().into(), ..PutRequest::default() };
        let put = client.put(put).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        acknowledged.insert(key, put.header.expect("a put has a header").revision);
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// A member that stops ends what it has begun and leaves the rest aside, and a
/// client repeats just that. A put that was done twice would be at a later
/// revision than the one that was answered.
///
/// The leader goes on: what others have handed on to a leader that stops is
/// another story. And no disk holds up a put for longer than a member waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_in_order_fails_no_put_and_doubles_none() {
    const CLIENTS: usize = 3;
    const WRITERS: usize = 8;
    const STOPS: usize = 6;
    let _turn = harness::alone().await;
    let mut cluster = Cluster::start("no-put-fails", 3, &["--unsafe-no-fsync"]).await;
    let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writers = Vec::new();
    for client in 0..CLIENTS {
        // Writers of one client share its connections.
        let shared = cluster.client();
        for writer in 0..WRITERS {
            let prefix = format!("load/{client}-{writer}");
            writers.push(tokio::spawn(put_all(shared.clone(), prefix, count.clone(), stop.clone())));
        }
    }
    for round in 0..STOPS {
        let seen = count.load(Ordering::Relaxed);
        harness::until("puts go on", async || (count.load(Ordering::Relaxed) > seen + 500).then_some(())).await;
        let leader = cluster.leader().await;
        let chosen = cluster.others(leader)[round % 2];
        cluster.members[chosen].signal(Signal::TERM);
        assert_eq!(cluster.members[chosen].ended().await.code(), Some(128 + 15));
        cluster.members[chosen].start();
        cluster.leader().await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Acknowledged::new();
    for writer in writers {
        acknowledged.append(&mut writer.await.expect("no put fails"));
    }
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}
