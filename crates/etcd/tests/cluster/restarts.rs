//! All members are killed at once, again and again, while clients write.
//! Whatever was acknowledged is there after every restart.

use crate::harness::{self, Cluster};
use crate::load::{self, Load};
use std::time::{Duration, Instant};

/// Rounds, as many as [`BUDGET`] allows; `QUORATE_TEST_ROUNDS` asks for a
/// number of its own and takes the time that needs.
const ROUNDS: usize = 100;
const BUDGET: Duration = Duration::from_secs(45);
/// Fewer than this in the budget means that restarting is not fast.
const ROUNDS_MIN: usize = 15;
/// Acknowledged writes between two kills.
const WRITES: usize = 30;

#[tokio::test]
async fn killed_all_at_once_again_and_again() {
    let _turn = harness::together().await;
    let asked: Option<usize> = std::env::var("QUORATE_TEST_ROUNDS").ok().map(|text| text.parse().expect("a number"));
    // Small numbers, so that segments are released and the two logs part.
    let mut flags = vec!["--snapshot-count", "100", "--snapshot-catchup-entries", "50"];
    // Half of a round is the election.
    flags.extend(["--heartbeat-interval", "20", "--election-timeout", "200"]);
    let mut cluster = Cluster::start("restarts", 3, &flags).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds < asked.unwrap_or(ROUNDS) && (asked.is_some() || begun.elapsed() < BUDGET) {
        load.goes_on(WRITES).await;
        cluster.kill_all();
        let promised = load.so_far();
        cluster.start_all();
        cluster.leader().await;
        load::expect_all(&cluster.client(), "load", &promised).await;
        rounds += 1;
    }
    let took = begun.elapsed();
    cluster.leader().await;
    let acknowledged = load.stop().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
    println!("{rounds} rounds in {took:?}, {} writes acknowledged", acknowledged.len());
    assert!(rounds >= asked.unwrap_or(ROUNDS_MIN), "only {rounds} rounds in {took:?}");
}
