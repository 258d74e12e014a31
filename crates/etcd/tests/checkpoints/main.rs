//! What a lease has left survives a change of leader, and a renewal does too: real processes of this very program, which
//! runs a member when it is called with `--as-member`, so that checkpoints are made every second and not every five
//! minutes, which no flag can say.

#[path = "../cluster/harness.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod harness;

use client::Client;
use etcd::flags::{self, Action};
use harness::Cluster;
use proto::etcdserverpb::{LeaseGrantRequest, LeaseTimeToLiveRequest, PutRequest, RangeRequest};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const AS_MEMBER: &str = "--as-member";
const INTERVAL: Duration = Duration::from_secs(1);
/// Seconds of the leases here.
const TTL: u64 = 12;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == AS_MEMBER) {
        return run_member(&arguments[1..]);
    }
    let wanted = |name: &str| arguments.iter().all(|word| word.starts_with('-') || name.contains(word));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        if wanted("what_is_left_survives_a_change_of_leader") {
            what_is_left_survives_a_change_of_leader().await;
        }
        #[cfg(feature = "real-etcd")]
        if wanted("beside_the_real_etcd") {
            beside_the_real_etcd().await;
        }
    });
    ExitCode::SUCCESS
}

/// The member that the flags describe, but for how often it makes checkpoints.
fn run_member(arguments: &[String]) -> ExitCode {
    let Ok(Action::Run(mut config, _)) = flags::parse(arguments, &[]) else { return ExitCode::from(2) };
    assert!(config.lease_checkpoint_interval.is_some(), "the gate is on");
    config.lease_checkpoint_interval = Some(INTERVAL);
    etcd::logging::install(config.log);
    ExitCode::from(etcd::serve::main(&config) as u8)
}

/// Members of this program.
fn plan(title: &str, programs: Vec<PathBuf>) -> Cluster {
    let myself = std::env::current_exe().expect("this program has a name");
    let mut cluster = Cluster::plan_of(title, programs, &[]);
    for member in &mut cluster.members {
        if member.program == myself {
            member.arguments.insert(0, AS_MEMBER.to_owned());
            member.flags(&["--feature-gates", "LeaseCheckpoint=true"]);
        } else {
            member.flags(&["--experimental-enable-lease-checkpoint"]);
        }
    }
    cluster
}

fn myself() -> PathBuf {
    std::env::current_exe().expect("this program has a name")
}

fn key(id: i64) -> String {
    format!("leased/{id}")
}

async fn grant_with_key(client: &Client, id: i64) {
    client.lease_grant(LeaseGrantRequest { id, ttl: TTL as i64 }).await.expect("a lease");
    let put = PutRequest { key: key(id).into(), lease: id, ..PutRequest::default() };
    client.put(put).await.expect("a put");
}

async fn is_there(client: &Client, id: i64) -> bool {
    let range = RangeRequest { key: key(id).into(), ..RangeRequest::default() };
    client.range(range).await.expect("a range").count == 1
}

async fn left(client: &Client, id: i64) -> i64 {
    client.lease_time_to_live(LeaseTimeToLiveRequest { id, keys: false }).await.expect("an answer").ttl
}

/// Two leases are granted; when eight of their twelve seconds have gone one is renewed and the leader is killed. The
/// other one ends when it would have ended, and the renewed one when the renewal has said. Returns the cluster.
async fn outlive_the_leader(mut cluster: Cluster, leader: usize) -> Cluster {
    let others = cluster.others(leader);
    let client = cluster.client_of(&others);
    grant_with_key(&client, 1).await;
    let granted = Instant::now();
    grant_with_key(&client, 2).await;
    harness::until("two thirds of the time have gone", async || (left(&client, 1).await <= 4).then_some(())).await;
    // It was checkpointed several times by now, so this takes a checkpoint back.
    let asked = Instant::now();
    let renewed = client.lease_keep_alive_once(2).await.expect("it can be kept");
    assert_eq!(renewed.ttl, TTL as i64);
    cluster.members[leader].kill();

    harness::goes(&client, &key(1)).await;
    let lived = granted.elapsed();
    assert!(lived >= Duration::from_secs(TTL) - Duration::from_millis(50), "it ended early, after {lived:?}");
    // Its whole time again would be twenty seconds: eight had gone.
    assert!(lived < Duration::from_secs(TTL + 5), "the checkpoint was not used: it ended after {lived:?}");
    assert!(is_there(&client, 2).await, "the renewed one lives on");
    harness::goes(&client, &key(2)).await;
    let lived = asked.elapsed();
    assert!(
        lived >= Duration::from_secs(TTL) - Duration::from_millis(50),
        "it ended early, {lived:?} after its renewal"
    );
    cluster.members[leader].start();
    cluster.leader().await;
    cluster.same_everywhere().await;
    cluster
}

async fn what_is_left_survives_a_change_of_leader() {
    let mut cluster = plan("checkpoints", vec![myself(), myself(), myself()]);
    cluster.start_all();
    let leader = cluster.leader().await;
    let mut cluster = outlive_the_leader(cluster, leader).await;

    // It survives the end of all members too: it is in the store.
    let client = cluster.client();
    grant_with_key(&client, 3).await;
    let granted = Instant::now();
    harness::until("two thirds of the time have gone", async || (left(&client, 3).await <= 4).then_some(())).await;
    cluster.kill_all();
    cluster.start_all();
    cluster.leader().await;
    harness::goes(&client, &key(3)).await;
    let lived = granted.elapsed();
    assert!(lived >= Duration::from_secs(TTL) - Duration::from_millis(50), "it ended early, after {lived:?}");
    assert!(lived < Duration::from_secs(TTL + 6), "the checkpoint was not used: it ended after {lived:?}");
}

/// Checkpoints of ours are heeded by etcd 3.5.1, and all members stay equal.
#[cfg(feature = "real-etcd")]
async fn beside_the_real_etcd() {
    let real = harness::real_program();
    let mut cluster = plan("checkpoints-mixed", vec![real.clone(), real, myself()]);
    cluster.start_all();
    cluster.leader().await;
    let ours = cluster.id(2).await;
    harness::until("ours leads", async || {
        let leader = cluster.leader().await;
        if leader == 2 {
            return Some(());
        }
        let _ = cluster.members[leader].client().move_leader(ours).await;
        None
    })
    .await;
    outlive_the_leader(cluster, 2).await;
}
