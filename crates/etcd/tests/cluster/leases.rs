//! Keys live as long as their lease, on every member, whoever is asked to
//! keep it.

use crate::harness::{self, Cluster, PATIENCE};
use client::{Client, Error};
use proto::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest};
use rustix::process::Signal;
use std::time::{Duration, Instant};

async fn grant(client: &Client, id: i64, ttl: i64) {
    let granted = client.lease_grant(LeaseGrantRequest { id, ttl }).await.expect("a lease");
    assert_eq!((granted.id, granted.ttl), (id, ttl));
}

async fn put(client: &Client, key: &str, lease: i64) {
    let put = PutRequest { key: key.to_owned().into(), lease, ..PutRequest::default() };
    client.put(put).await.expect("a put");
}

/// Keys below `prefix` as this member has them now.
async fn count_here(client: &Client, prefix: &str) -> i64 {
    let range = RangeRequest {
        key: prefix.to_owned().into(),
        range_end: client::range::prefix_end(prefix.as_bytes()),
        serializable: true,
        count_only: true,
        ..RangeRequest::default()
    };
    client.range(range).await.expect("a count").count
}

#[tokio::test]
async fn expires_everywhere_and_is_kept_through_a_follower() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("lease-expires", 3, &[]).await;
    let clients: Vec<Client> = cluster.members.iter().map(|member| member.client()).collect();
    let leader = cluster.leader().await;
    let [one, other] = cluster.others(leader)[..] else { panic!("three members") };
    for (number, client) in clients.iter().enumerate() {
        grant(client, 100 + number as i64, 2).await;
        put(client, &format!("ends/{number}"), 100 + number as i64).await;
    }
    grant(&clients[one], 7, 2).await;
    put(&clients[other], "kept/a", 7).await;
    put(&clients[leader], "kept/b", 7).await;

    let granted = Instant::now();
    let kept = clients[other].clone();
    let keeping = tokio::spawn(async move {
        let mut keep_alive = kept.lease_keep_alive(7);
        while granted.elapsed() < Duration::from_secs(5) {
            let renewed = tokio::time::timeout(PATIENCE, keep_alive.next()).await.expect("in time");
            let renewed = renewed.expect("it can be kept").expect("it is there");
            assert_eq!((renewed.id, renewed.ttl), (7, 2));
        }
    });
    for client in &clients {
        harness::keys_below(client, "ends/", 0).await;
    }
    let took = granted.elapsed();
    assert!(took >= Duration::from_millis(1500), "a lease of 2 s ended after {took:?}");
    assert!(took <= Duration::from_secs(5), "a lease of 2 s ended after {took:?}");
    keeping.await.expect("kept all the time");
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(count_here(client, "kept/").await, 2, "through member {number}");
        let request = LeaseTimeToLiveRequest { id: 7, keys: true };
        let left = client.lease_time_to_live(request).await.expect("what is left");
        assert!((0..=2).contains(&left.ttl) && left.granted_ttl == 2, "{left:?}");
        assert_eq!(left.keys, ["kept/a", "kept/b"]);
        assert_eq!(client.lease_list().await.expect("a list").leases.len(), 1);
    }

    // What does not exist cannot be kept, and that is an answer, not a failure.
    let unknown = clients[one].lease_keep_alive_once(99).await.expect_err("no such lease");
    assert!(
        matches!(&unknown, Error::Status(status) if status.message.contains("requested lease not found")),
        "{unknown}"
    );
    let left =
        clients[one].lease_time_to_live(LeaseTimeToLiveRequest { id: 99, keys: false }).await.expect("an answer");
    assert_eq!(left.ttl, -1);

    clients[other].lease_revoke(7).await.expect("a revocation");
    assert_eq!(count_here(&clients[other], "kept/").await, 0, "gone where it was revoked when the answer came");
    cluster.same_everywhere().await;
}

/// The leader that counted the time is gone: the next one gives the whole time
/// again, and then the lease ends all the same.
#[tokio::test]
async fn outlives_its_leader() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("lease-leader", 3, &[]).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let client = cluster.client_of(&others);
    grant(&client, 5, 3).await;
    put(&client, "leased/key", 5).await;
    let granted = Instant::now();
    cluster.members[leader].kill();
    let renewed = client.lease_keep_alive_once(5).await.expect("kept with the next leader");
    assert_eq!(renewed.ttl, 3);
    let kept = Instant::now();
    harness::keys_below(&client, "leased/", 0).await;
    assert!(
        kept.elapsed() >= Duration::from_millis(2_500),
        "a lease of 3 s ended {:?} after it was kept",
        kept.elapsed()
    );
    assert!(granted.elapsed() < Duration::from_secs(12), "it ended after {:?}", granted.elapsed());
    // The one that was away hears of it.
    cluster.members[leader].start();
    cluster.leader().await;
    cluster.same_everywhere().await;
    assert_eq!(count_here(&cluster.members[leader].client(), "leased/").await, 0);
}

/// A leader is stopped while renewals are on their way in it; another leads, and the lease is kept there. When the first goes on,
/// the time that it had counted is over: that is no answer to anybody.
#[tokio::test]
async fn a_leader_that_was_stopped_does_not_say_that_a_lease_has_ended() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("lease-stopped-leader", 3, &[]).await;
    let leader = cluster.leader().await;
    let kept = cluster.client_of(&cluster.others(leader));
    let stopped = cluster.client_of(&[leader]);
    grant(&kept, 9, 3).await;
    let renewals: Vec<_> = (0..16)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                // Until the leader is stopped they are answered one after the other.
                loop {
                    let asked = Instant::now();
                    let renewed = stopped.lease_keep_alive_once(9).await;
                    if renewed.is_err() || asked.elapsed() > Duration::from_secs(2) {
                        return renewed;
                    }
                }
            })
        })
        .collect();
    kept.lease_keep_alive_once(9).await.expect("kept through a follower");
    cluster.members[leader].signal(Signal::STOP);
    let since = Instant::now();
    let mut keep_alive = kept.lease_keep_alive(9);
    while since.elapsed() < Duration::from_secs(5) {
        let renewed = tokio::time::timeout(PATIENCE, keep_alive.next()).await.expect("in time");
        assert_eq!(renewed.expect("it can be kept").expect("it is there").ttl, 3);
    }
    cluster.members[leader].signal(Signal::CONT);
    for renewal in renewals {
        match renewal.await.expect("no panic") {
            Ok(renewed) => assert_eq!(renewed.ttl, 3),
            Err(error) => assert!(!error.to_string().contains("not found"), "it is kept elsewhere: {error}"),
        }
    }
}
