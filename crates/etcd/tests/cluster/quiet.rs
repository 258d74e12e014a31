//! What the log does not say: no warnings when nothing is wrong, and not the same one again and again.

use crate::harness::{self, Cluster, Member, PATIENCE};
use crate::strangers::{first_line, post};
use proto::raftpb::{Message, MessageType};
use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

fn records(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no record: {line}"))).collect()
}

fn warnings(said: &str) -> Vec<Value> {
    records(said).into_iter().filter(|record| record["level"] != "info").collect()
}

/// Members that find each other while they start, at any distance in time.
#[tokio::test]
async fn an_ordinary_start_warns_of_nothing_and_neither_does_who_is_restarted() {
    let _turn = harness::together().await;
    for round in 0..3 {
        let mut cluster = Cluster::plan("quiet", 3, &[]);
        for number in 0..3 {
            cluster.members[number].start();
            if round > 0 {
                let member = &cluster.members[number];
                let words = ["starting an etcd server", "started remote peer"][round - 1];
                harness::until("it is so far", async || member.said().contains(words).then_some(())).await;
            }
        }
        cluster.leader().await;
        for member in &cluster.members {
            assert_eq!(warnings(&member.said()), Vec::<Value>::new(), "{} in round {round}", member.name);
        }
        let follower = cluster.others(cluster.leader().await)[0];
        let member = &mut cluster.members[follower];
        member.signal(Signal::TERM);
        member.ended().await;
        member.start();
        cluster.leader().await;
        // The others warn that it has gone, as etcd's do.
        let member = &cluster.members[follower];
        assert_eq!(warnings(&member.said()), Vec::<Value>::new(), "{} in round {round}, restarted", member.name);
    }
}

async fn dial(member: &Member, path: &str, headers: &str) -> String {
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nX-Server-Version: 3.7.0\r\n{headers}\r\n");
    let mut stream = TcpStream::connect(("127.0.0.1", member.peer_port)).await.expect("a member listens");
    stream.write_all(head.as_bytes()).await.expect("a member reads");
    first_line(stream).await
}

#[tokio::test]
async fn who_is_refused_at_the_peer_port_is_named_once_with_the_reason() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("quiet-refusals", 1, &[]).await;
    let member = &cluster.members[0];
    let header = member.status().await.and_then(|status| status.header).expect("it runs");
    let (ours, theirs) = (format!("{:x}", header.cluster_id), format!("{:x}", header.cluster_id ^ 1));
    let from = "X-Min-Cluster-Version: 3.0.0\r\nX-PeerURLs: http://127.0.0.1:9\r\nX-Server-From: 57a2\r\n";
    let to = format!("X-Raft-To: {:x}\r\n", header.member_id);
    let stream = "/raft/stream/message/57a2";
    let cases = [
        (format!("{from}{to}X-Etcd-Cluster-ID: {ours}\r\n"), 404, "does not know"),
        (format!("{from}{to}X-Etcd-Cluster-ID: {theirs}\r\n"), 412, "--initial-cluster-token"),
        (
            format!("X-Server-From: 57a2\r\nX-Min-Cluster-Version: 9.0.0\r\n{to}X-Etcd-Cluster-ID: {ours}\r\n"),
            412,
            "version",
        ),
    ];
    for (headers, status, reason) in cases {
        let before = warnings(&member.said()).len();
        for _ in 0..20 {
            let answer = dial(member, stream, &headers).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        let said = member.said();
        let new = &warnings(&said)[before..];
        assert_eq!(new.len(), 1, "{new:#?}");
        assert_eq!(new[0]["msg"], "refused a member at the peer port");
        assert_eq!(new[0]["remote-peer-id"], "57a2");
        assert!(new[0]["remote-addr"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{}", new[0]);
        assert!(new[0]["reason"].as_str().is_some_and(|words| words.contains(reason)), "{reason}: {}", new[0]);
    }
}

#[tokio::test]
async fn messages_for_another_member_are_said_once_with_the_reason() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("quiet-messages", 1, &[]).await;
    let member = &cluster.members[0];
    let header = member.status().await.and_then(|status| status.header).expect("it runs");
    let to = header.member_id ^ 1;
    let message = Message { r#type: MessageType::MsgHeartbeat.into(), to, from: 0x57a2, term: 9, ..Message::default() };
    for _ in 0..20 {
        let answer = post(member, header.cluster_id, &message).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    let said = warnings(&member.said());
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0]["remote-peer-id"], "57a2");
    let reason = said[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains(&format!("it wants member {to:x}, this is {:x}", header.member_id)), "{reason}");
}

/// Two clusters whose flags were mixed up. Both sides say so, and seldom.
#[tokio::test]
async fn members_of_two_clusters_that_dial_each_other_say_so_seldom() {
    let _turn = harness::together().await;
    let mut cluster = Cluster::plan("quiet-two", 2, &[]);
    cluster.members[1].flags(&["--initial-cluster-token", "another"]);
    cluster.start_all();
    const LACKING: &str = "nobody leads: too few members answer for a quorum";
    for member in &cluster.members {
        let record = harness::until("it has said it twice", async || {
            let lines: Vec<Value> =
                records(&member.said()).into_iter().filter(|record| record["msg"] == LACKING).collect();
            (lines.len() >= 2).then_some(lines)
        })
        .await
        .pop()
        .expect("a line");
        let lacking = record["lacking"][0].as_str().expect("a reason").to_owned();
        assert!(lacking.contains("cluster ID mismatch") && lacking.contains("--initial-cluster-token"), "{lacking}");
        for words in ["refused a member at the peer port", "request sent was ignored by remote peer"] {
            let said = member.said();
            let lines: Vec<Value> = records(&said).into_iter().filter(|record| record["msg"] == words).collect();
            assert_eq!(lines.len(), 1, "{words:?} of {}: {lines:#?}", member.name);
        }
    }
    assert!(PATIENCE.as_secs() < 60, "all of it within one pause");
}
