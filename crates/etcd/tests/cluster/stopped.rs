//! A process that is stopped still has its port: the kernel takes connections for it, and nobody speaks on them. Clients that
//! know others go past it.

use crate::harness::{self, Cluster, PATIENCE};
use client::{Client, Config};
use proto::etcdserverpb::{LeaseGrantRequest, PutRequest, RangeRequest, WatchCreateRequest};
use rustix::process::Signal;
use std::time::Duration;

/// So long that a test would not end that waited for it.
const FOR_EVER: Duration = Duration::from_secs(100_000);

#[tokio::test]
async fn clients_go_past_a_member_that_is_stopped() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("stopped", 3, &[]).await;
    let leader = cluster.leader().await;
    let [stopped, other] = cluster.others(leader)[..] else { panic!("two follow") };
    cluster.members[stopped].signal(Signal::STOP);
    // Through the one other member and through both, in each place of the list.
    for which in [vec![stopped, other], vec![other, stopped], vec![stopped, leader, other]] {
        let endpoints = which.iter().map(|&number| format!("127.0.0.1:{}", cluster.members[number].client_port));
        let mut config = Config::to(endpoints);
        config.connect_timeout = FOR_EVER;
        let client = Client::new(config).expect("the endpoints are well-formed");
        let asked = async {
            let put = PutRequest { key: "k".into(), ..PutRequest::default() };
            let written = client.put(put).await?.header.expect("a header").revision;
            client.range(RangeRequest { key: "k".into(), ..RangeRequest::default() }).await?;
            client.range_stream(RangeRequest { key: "k".into(), ..RangeRequest::default() }).await?;
            let create =
                WatchCreateRequest { key: "k".into(), start_revision: written, ..WatchCreateRequest::default() };
            let told = client.watch(create).next().await?.expect("the watch goes on");
            assert_eq!(told.events.len(), 1);
            let lease = client.lease_grant(LeaseGrantRequest { ttl: 60, id: 0 }).await?.id;
            client.lease_keep_alive(lease).next().await?.expect("the lease is there");
            Ok::<_, client::Error>(())
        };
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        asked.unwrap_or_else(|_| panic!("{which:?}: held up by the member {stopped}")).expect("answers");
    }
    cluster.members[stopped].signal(Signal::CONT);
}
