//! Sizes that are not three.

use crate::harness::{self, Cluster};
use crate::load::{self, Load};

/// Allowed, but somebody should know: it tolerates no more than with one fewer.
#[tokio::test]
async fn an_even_number_of_members_is_warned_of() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("even", 2, &[]).await;
    let load = Load::start(&cluster, "load", 2, &[0, 1]);
    load.goes_on(20).await;
    let acknowledged = load.stop().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    for member in &cluster.members {
        let said = member.said();
        let warning = said.lines().find(|line| line.contains("even number of members")).expect("a warning");
        for words in ["\"level\":\"warn\"", "tolerates no more failures", "\"members\":2", "\"tolerated-failures\":0"] {
            assert!(warning.contains(words), "{words} is not in {warning}");
        }
    }
}

#[tokio::test]
async fn an_odd_number_is_not() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("odd", 1, &[]).await;
    assert!(!cluster.members[0].said().contains("even number of members"));
}

#[tokio::test]
async fn five_members_survive_the_loss_of_two() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("five", 5, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2, 3, 4]);
    load.goes_on(50).await;
    let leader = cluster.leader().await;
    cluster.members[leader].kill();
    let next = cluster.others(leader)[0];
    cluster.members[next].kill();
    load.goes_on(50).await;
    cluster.start_all();
    cluster.leader().await;
    let acknowledged = load.stop().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}
