//! A member that was away is brought up to date while clients go on writing:
//! from the others' logs, or by a snapshot when those have forgotten.

use crate::harness::{self, Cluster};
use crate::load::{self, Load};
use proto::etcdserverpb::RangeRequest;

/// What a member logs when it replaces its state by a leader's.
const INSTALLED: &str = "applied snapshot";

/// Stops one member, lets `missed` writes happen, starts it, and sees it catch
/// up under load. Returns what it said since.
async fn miss(title: &str, catch_up_entries: &str, missed: usize) -> String {
    let flags = ["--snapshot-count", "100", "--snapshot-catchup-entries", catch_up_entries];
    let mut cluster = Cluster::start(title, 3, &flags).await;
    let away = cluster.others(cluster.leader().await)[0];
    let present = cluster.others(away);
    let load = Load::start(&cluster, "load", 8, &present);
    load.goes_on(50).await;
    cluster.members[away].kill();
    let said_before = cluster.members[away].said().len();
    load.goes_on(missed).await;
    let revision =
        cluster.members[present[0]].status().await.and_then(|status| status.header).expect("it runs").revision;
    cluster.members[away].start();
    harness::until("the member that was away has what it missed", async || {
        let header = cluster.members[away].status().await?.header?;
        (header.revision >= revision).then_some(())
    })
    .await;
    load.goes_on(50).await;
    let acknowledged = load.stop().await;
    assert!(acknowledged.len() >= missed, "{} writes were acknowledged", acknowledged.len());
    load::expect_all(&cluster.members[away].client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;

    // What it was given survives its own end.
    cluster.members[away].kill();
    cluster.members[away].start();
    cluster.leader().await;
    load::expect_all(&cluster.members[away].client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
    cluster.members[away].said()[said_before..].to_owned()
}

#[tokio::test]
async fn by_the_log() {
    let _turn = harness::together().await;
    let said = miss("catch-up-log", "20000", 1_200).await;
    assert!(!said.contains(INSTALLED), "the log was long enough, yet a snapshot was sent");
}

#[tokio::test]
async fn by_a_snapshot_when_the_log_is_gone() {
    let _turn = harness::together().await;
    let said = miss("catch-up-snapshot", "10", 600).await;
    assert!(said.contains(INSTALLED), "the log was too short, yet no snapshot was installed");
}

/// Followers are killed in turn, also while they are catching up.
#[tokio::test]
async fn killed_while_catching_up() {
    let _turn = harness::together().await;
    let flags = ["--snapshot-count", "50", "--snapshot-catchup-entries", "5"];
    let mut cluster = Cluster::start("catch-up-killed", 3, &flags).await;
    let away = cluster.others(cluster.leader().await)[0];
    let load = Load::start(&cluster, "load", 8, &cluster.others(away));
    for _ in 0..4 {
        cluster.members[away].kill();
        load.goes_on(150).await;
        let said = cluster.members[away].said().len();
        cluster.members[away].start();
        harness::until("the member is being caught up", async || {
            cluster.members[away].said()[said..].contains("applying snapshot").then_some(())
        })
        .await;
    }
    load.goes_on(50).await;
    let acknowledged = load.stop().await;
    cluster.leader().await;
    cluster.same_everywhere().await;
    load::expect_all(&cluster.members[away].client(), "load", &acknowledged).await;
    let all = RangeRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        serializable: true,
        count_only: true,
        ..RangeRequest::default()
    };
    let mut counts = Vec::new();
    for member in &cluster.members {
        counts.push(member.client().range(all.clone()).await.expect("a count").count);
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}
