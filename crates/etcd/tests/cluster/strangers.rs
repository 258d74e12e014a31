//! Somebody who knows the cluster's id talks to a peer port: what cannot be
//! true is refused and said, and every member goes on.

use crate::harness::{self, Cluster, Member};
use crate::load::{self, Load};
use prost::Message as _;
use proto::raftpb::{Message, MessageType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends one message as members do that have no stream. Returns the answer's
/// first line.
async fn post(member: &Member, cluster_id: u64, message: &Message) -> String {
    let body = message.encode_to_vec();
    let head = format!(
        "POST /raft HTTP/1.1\r\nHost: m\r\nConnection: close\r\nX-Server-From: {:x}\r\nX-Server-Version: 3.7.0\r\n\
         X-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: {cluster_id:x}\r\nContent-Length: {}\r\n\r\n",
        message.from,
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", member.peer_port)).await.expect("a member listens");
    stream.write_all(&[head.as_bytes(), &body].concat()).await.expect("a member reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a member answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_cannot_be_true_ends_no_member() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("strangers", 3, &[]).await;
    let load = Load::start(&cluster, "load", 4, &[0, 1, 2]);
    load.goes_on(20).await;
    let stranger = 0x57a2;
    for member in &cluster.members {
        let header = member.status().await.and_then(|status| status.header).expect("it runs");
        let (to, term) = (header.member_id, header.raft_term);
        let said = |kind: MessageType, change: fn(&mut Message)| {
            let mut message = Message { r#type: kind.into(), to, from: stranger, term, ..Message::default() };
            change(&mut message);
            message
        };
        for message in [
            said(MessageType::MsgHeartbeat, |_| {}),
            said(MessageType::MsgHeartbeat, |message| (message.term, message.commit) = (message.term + 1, 1 << 40)),
            said(MessageType::MsgApp, |message| {
                (message.term, message.index, message.log_term) = (message.term + 1, 1, 9)
            }),
            said(MessageType::MsgApp, |message| message.index = u64::MAX),
            said(MessageType::MsgVote, |message| message.term = u64::MAX),
        ] {
            let answer = post(member, header.cluster_id, &message).await;
            assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        }
        let refused = post(member, header.cluster_id ^ 1, &said(MessageType::MsgHeartbeat, |_| {})).await;
        assert!(refused.starts_with("HTTP/1.1 412"), "of another cluster: {refused}");
    }
    load.goes_on(100).await;
    let acknowledged = load.stop().await;
    load::expect_all(&cluster.client(), "load", &acknowledged).await;
    cluster.same_everywhere().await;
    for member in &cluster.members {
        let said = member.said();
        let told = said.lines().find(|line| line.contains("refused a Raft message")).expect("a word to the operator");
        assert!(told.contains("\"remote-peer-id\":\"57a2\"") && told.contains("leads in that term"), "{told}");
        assert_eq!(said.matches("starting an etcd server").count(), 1, "it was the same process all along");
    }
}
