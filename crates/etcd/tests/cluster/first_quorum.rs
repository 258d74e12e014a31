//! What a member says, and answers, before its cluster has ever had a majority.

use crate::harness::{self, Cluster, Member, PATIENCE, Ports};
#[cfg(feature = "real-etcd")]
use crate::raw;
#[cfg(feature = "real-etcd")]
use proto::{
    etcdserverpb::{MemberAddRequest, MemberAddResponse, MemberListRequest},
    methods::path,
};
use std::time::Duration;

const LACKING: &str = "nobody leads: too few members answer for a quorum";

/// The records of a member's log with these words.
fn records(member: &Member, words: &str) -> Vec<serde_json::Value> {
    let said = member.said();
    let records = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    records.filter(|record| record["msg"] == words).collect()
}

/// How long nobody had led when this was said. In whole seconds.
fn waited_seconds(record: &serde_json::Value) -> u64 {
    let waited = record["waited"].as_str().expect("it says how long");
    waited.strip_suffix('s').expect("in seconds").parse().expect("a number")
}

async fn get(port: u16, path: &str) -> etcd::ask::Answer {
    let authority = format!("127.0.0.1:{port}");
    harness::until("the port answers", async || etcd::ask::get(&authority, path, PATIENCE).await.ok()).await
}

#[tokio::test]
async fn the_log_names_who_is_missing_and_why_until_there_is_a_leader() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::plan("first-quorum", 3, &[]);
    cluster.members[0].start();
    let first = &cluster.members[0];
    let lines = harness::until("it has said three times who is missing", async || {
        let records = records(first, LACKING);
        (records.len() >= 3).then_some(records)
    })
    .await;
    // Three election timeouts, then twice and four times as long.
    for (line, timeouts) in lines.iter().zip([3, 9, 21]) {
        let least = (harness::ELECTION * timeouts).as_secs();
        assert!(waited_seconds(line) >= least, "sooner than {least} s: {line}");
    }
    let record = &lines[2];
    assert_eq!((&record["voters"], &record["needed"], &record["answer"]), (&3.into(), &2.into(), &1.into()));
    let lacking: Vec<&str> =
        record["lacking"].as_array().expect("a list").iter().filter_map(|one| one.as_str()).collect();
    for (number, name) in [(1, "m2"), (2, "m3")] {
        let url = cluster.members[number].peer_url();
        let told = lacking
            .iter()
            .any(|one| one.starts_with(&format!("{name}: ")) && one.contains(&url) && one.contains("refused"));
        assert!(told, "{name}: {lacking:?}");
    }

    cluster.members[1].start();
    cluster.leader().await;
    // The log is in the order of time.
    let said = cluster.members[0].said();
    assert!(said.rfind("elected leader") > said.rfind(LACKING), "{said}");
}

/// A member that joins has no configuration until a leader brings it one, so it cannot count who is missing. The real etcd
/// adds it.
#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn who_joins_while_nobody_leads_says_that_no_leader_has_reached_it() {
    const UNREACHED: &str = "no leader has reached this member yet";
    let _turn = harness::together().await;
    let programs = vec![harness::real_program(), harness::real_program(), harness::our_program()];
    let mut cluster = Cluster::plan_of("first-quorum-join", programs, &[]);
    let two = format!("{},{}", cluster.members[0].pair(), cluster.members[1].pair());
    for member in &mut cluster.members[..2] {
        member.flags(&["--initial-cluster", &two]);
        member.start();
    }
    cluster.leader().await;
    let url = cluster.members[2].peer_url();
    let add = MemberAddRequest { peer_urls: vec![url.clone()], is_learner: true };
    let voter = raw::channel(&cluster.members[0]);
    // Not before its voters have known each other for five seconds.
    let added: MemberAddResponse =
        harness::until("it is added", async || raw::unary(&voter, path::MEMBER_ADD, add.clone()).await.ok()).await;
    assert_eq!(added.members.len(), 3);
    let list = MemberListRequest { linearizable: true };
    let list = cluster.members[1].client().member_list(list).await.expect("a list");
    assert_eq!(list.members.len(), 3, "the one that stays knows of it");

    cluster.members[0].kill();
    let stays = &cluster.members[1];
    harness::until("nobody leads", async || (stays.status().await?.leader == 0).then_some(())).await;
    cluster.members[2].flags(&["--initial-cluster-state", "existing"]);
    cluster.members[2].start();
    let joiner = &cluster.members[2];
    let record = harness::until("it says what it waits for", async || records(joiner, UNREACHED).pop()).await;
    assert_eq!(record["peer-urls"], serde_json::json!([url]));
    // Who told it of the cluster knows the other, which is down.
    let gone = cluster.members[0].peer_url();
    let lacking = record["lacking"].as_array().expect("a list");
    assert!(lacking.len() == 1 && lacking[0].as_str().is_some_and(|one| one.contains(&gone)), "{record}");
    assert!(records(joiner, LACKING).is_empty(), "{}", joiner.said());

    cluster.members[0].start();
    cluster.leader().await;
    // It learns, cannot campaign, and knows its leader for ever: what it says then is that nothing comes.
    let led = cluster.leader().await;
    let names = [0, 1].map(|number| cluster.members[number].name.clone());
    cluster.members[..2].iter_mut().for_each(Member::kill);
    let joiner = &cluster.members[2];
    const SILENT: &str = "the leader says nothing: too few members answer for a quorum";
    let lines = harness::until("it says twice that nothing comes", async || {
        let records = records(joiner, SILENT);
        (records.len() >= 2).then_some(records)
    })
    .await;
    for record in lines {
        assert_eq!(record["leader"], names[led], "{record}");
        let lacking = record["lacking"].as_array().expect("a list");
        let told = |name: &String| {
            lacking.iter().any(|one| one.as_str().is_some_and(|one| one.starts_with(&format!("{name}: "))))
        };
        assert!(lacking.len() == 2 && names.iter().all(told), "{record}");
    }
    cluster.start_all();
    cluster.leader().await;
    harness::until("it is led again, and has nothing more to say", async || {
        let said = cluster.members[2].said();
        let last = said.rfind(SILENT)?;
        said[last..].contains("established TCP streaming connection").then_some(())
    })
    .await;
}

#[tokio::test]
async fn probes_are_answered_at_once_on_the_metrics_port() {
    let _turn = harness::together().await;
    let ports = Ports::reserve();
    let port = ports.port(0);
    let url = format!("http://127.0.0.1:{port}");
    let mut cluster = Cluster::plan("first-quorum-probes", 3, &[]);
    cluster.members[0].flags(&["--listen-metrics-urls", &url]);
    cluster.members[0].start();
    let health = get(port, "/health").await;
    assert_eq!(health.status.as_u16(), 503);
    assert_eq!(&health.body[..], b"{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
    assert_eq!(get(port, "/livez").await.status.as_u16(), 200);
    assert_eq!(get(port, "/metrics").await.status.as_u16(), 200);
    // The other members ask this one about itself, and are answered too.
    assert_eq!(get(cluster.members[0].peer_port, "/version").await.status.as_u16(), 200);
    // Clients wait, as etcd's do, for a member that can serve them.
    let client = format!("127.0.0.1:{}", cluster.members[0].client_port);
    let early = etcd::ask::get(&client, "/health", Duration::from_millis(300)).await;
    assert_eq!(early.expect_err("nobody is served yet"), "no answer within 300 ms");

    cluster.start_all();
    cluster.leader().await;
    assert_eq!(get(port, "/readyz").await.status.as_u16(), 200);
    assert_eq!(get(cluster.members[0].client_port, "/health").await.status.as_u16(), 200);
}

/// etcd says the same before its first quorum, and as little on its clients' port.
#[cfg(feature = "real-etcd")]
#[tokio::test]
async fn the_real_etcd_answers_the_same_probes() {
    let _turn = harness::together().await;
    let ports = Ports::reserve();
    let port = ports.port(0);
    let url = format!("http://127.0.0.1:{port}");
    let mut cluster = Cluster::plan_of("first-quorum-real", vec![harness::real_program(); 3], &[]);
    cluster.members[0].flags(&["--listen-metrics-urls", &url]);
    cluster.members[0].start();
    let health = get(port, "/health").await;
    assert_eq!(health.status.as_u16(), 503);
    assert_eq!(&health.body[..], b"{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
    let client = format!("127.0.0.1:{}", cluster.members[0].client_port);
    let early = etcd::ask::get(&client, "/health", Duration::from_millis(300)).await;
    assert_eq!(early.expect_err("nobody is served yet"), "no answer within 300 ms");
}

#[tokio::test]
async fn flags_of_another_cluster_are_ignored_aloud_once_there_is_data() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::start("first-flags", 1, &[]).await;
    let ignored = |member: &Member| -> Vec<String> {
        let records = records(member, "flag is ignored: the data directory holds a member already");
        records.iter().map(|record| record["flag"].as_str().expect("it names the flag").to_owned()).collect()
    };
    let id = cluster.id(0).await;
    cluster.members[0].kill();
    cluster.members[0].start();
    cluster.leader().await;
    assert!(ignored(&cluster.members[0]).is_empty(), "the same flags again");

    cluster.members[0].kill();
    let also = format!("{},m2=http://127.0.0.1:1", cluster.members[0].pair());
    cluster.members[0].flags(&["--initial-cluster-token", "another", "--initial-cluster", &also]);
    cluster.members[0].start();
    cluster.leader().await;
    assert_eq!(ignored(&cluster.members[0]), ["initial-cluster-token", "initial-cluster"]);
    assert_eq!(cluster.id(0).await, id, "it is the member that it was");

    // Its address has changed, and nobody was told.
    cluster.members[0].kill();
    cluster.members[0].flags(&["--initial-advertise-peer-urls", "http://127.0.0.1:1"]);
    cluster.members[0].start();
    cluster.leader().await;
    let said = cluster.members[0].said();
    let told = said.lines().find(|line| line.contains("etcdctl member update")).expect("it says what to do");
    let command = format!("etcdctl member update {id:x} --peer-urls=http://127.0.0.1:1");
    assert!(told.contains(&command) && told.contains(&cluster.members[0].peer_url()), "{told}");
}
