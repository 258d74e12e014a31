//! All members are killed at once, a hundred times in a row, while clients
//! write. Whatever was acknowledged is there after every restart.

use crate::harness::{self, Cluster};
use crate::load::{self, Load};
use std::time::Instant;

const ROUNDS: usize = 100;
/// Acknowledged writes between two kills.
const WRITES: usize = 30;
/// Rounds after which everything ever acknowledged is read again; in between
/// it is what was acknowledged since the last kill.
const ALL_EVERY: usize = 10;

#[tokio::test]
async fn killed_all_at_once_a_hundred_times() {
    let _turn = harness::together().await;
    // Small numbers, so that segments are released and the two logs part.
    let mut flags = vec!["--snapshot-count", "100", "--snapshot-catchup-entries", "50"];
    // Half of a round is the election.
    flags.extend(["--heartbeat-interval", "20", "--election-timeout", "150"]);
    let mut cluster = Cluster::start("restarts", 3, &flags).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    let begun = Instant::now();
    let mut seen = 0;
    for round in 1..=ROUNDS {
        load.goes_on(WRITES).await;
        cluster.kill_all();
        let promised = load.so_far();
        cluster.start_all();
        cluster.leader().await;
        if round % ALL_EVERY == 0 {
            load::expect_all(&cluster.client(), "load", &promised).await;
        } else {
            load::expect_since(&cluster.client(), "load", &promised, seen).await;
        }
        seen = promised.values().max().copied().unwrap_or(0);
    }
    println!("{ROUNDS} rounds in {:?}", begun.elapsed());
    let acknowledged = load.stop().await;
    assert!(acknowledged.len() >= ROUNDS * WRITES, "{} writes were acknowledged", acknowledged.len());
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
}
