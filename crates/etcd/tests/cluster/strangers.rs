//! Somebody who knows the cluster's id talks to a peer port: what cannot be
//! true is refused and said, and every member goes on.

use crate::harness::{self, Cluster, Member, PATIENCE};
use crate::load::{self, Load};
use prost::Message as _;
use proto::etcdserverpb::{InternalRaftRequest, PutRequest, RangeRequest, ResponseHeader};
use proto::raftpb::{Entry, Message, MessageType, Snapshot, SnapshotMetadata};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends one message as members do that have no stream. Returns the answer's
/// first line.
pub async fn post(member: &Member, cluster_id: u64, message: &Message) -> String {
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
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
    read.await.expect("a member answers in time").expect("a member answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// Begins to send a snapshot whose body is said to be of this length.
async fn begin_snapshot(member: &Member, header: &ResponseHeader, from: u64, length: usize) -> TcpStream {
    let snapshot = Snapshot {
        metadata: Some(SnapshotMetadata { index: 1 << 40, term: header.raft_term, conf_state: None }),
        data: Vec::new().into(),
    };
    let message = Message {
        r#type: MessageType::MsgSnap.into(),
        to: header.member_id,
        from,
        term: header.raft_term,
        snapshot: Some(snapshot),
        ..Message::default()
    };
    let message = message.encode_to_vec();
    let head = format!(
        "POST /raft/snapshot HTTP/1.1\r\nHost: m\r\nConnection: close\r\nX-Server-From: {from:x}\r\n\
         X-Server-Version: 3.7.0\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: {:x}\r\nContent-Length: {}\r\n\r\n",
        header.cluster_id,
        8 + message.len() + length
    );
    let mut stream = TcpStream::connect(("127.0.0.1", member.peer_port)).await.expect("a member listens");
    let begun = [head.as_bytes(), &(message.len() as u64).to_be_bytes(), &message, b"half of it"].concat();
    stream.write_all(&begun).await.expect("a member reads");
    stream
}

pub async fn first_line(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
    read.await.expect("a member answers in time").expect("a member answers");
    answer.lines().next().unwrap_or_default().to_owned()
}

/// What of received snapshots lies on the member's disk.
fn snapshots(member: &Member) -> usize {
    std::fs::read_dir(member.data.join("member/snap")).map_or(0, |files| files.count())
}

/// Nobody can fill the disk with snapshots that are never installed.
#[tokio::test]
async fn snapshots_of_strangers_take_no_room() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("strange-snapshots", 1, &[]).await;
    let member = &cluster.members[0];
    let header = member.status().await.and_then(|status| status.header).expect("it runs");
    let first = begin_snapshot(member, &header, 0x57a2, 1 << 30).await;
    harness::until("the first one is being stored", async || (snapshots(member) == 1).then_some(())).await;
    for other in [0x57a2, 0x57a3] {
        let refused = first_line(begin_snapshot(member, &header, other, 1 << 30).await).await;
        assert!(refused.starts_with("HTTP/1.1 503"), "one at a time: {refused}");
    }
    assert_eq!(snapshots(member), 1);
    drop(first);
    harness::until("half a snapshot is removed", async || (snapshots(member) == 0).then_some(())).await;
    for _ in 0..20 {
        let answer = first_line(begin_snapshot(member, &header, 0x57a2, 10).await).await;
        assert!(answer.starts_with("HTTP/1.1 500"), "it is no image: {answer}");
    }
    assert_eq!(snapshots(member), 0, "what is not whole leaves nothing behind");

    let elsewhere = ResponseHeader { member_id: header.member_id ^ 1, ..header };
    let refused = first_line(begin_snapshot(member, &elsewhere, 0x57a2, 1 << 30).await).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "for another member: {refused}");
    assert_eq!(snapshots(member), 0, "nothing of it was stored");
}

/// What is committed and cannot be carried out would end every member, at every start.
#[tokio::test]
async fn what_nobody_can_carry_out_never_gets_into_the_log() {
    let _turn = harness::together().await;
    let cluster = Cluster::start("strange-proposals", 3, &[]).await;
    let headers: Vec<ResponseHeader> = futures_util::future::join_all(
        cluster
            .members
            .iter()
            .map(|member| async { member.status().await.and_then(|status| status.header).expect("it runs") }),
    )
    .await;
    let put = InternalRaftRequest {
        put: Some(PutRequest { key: "strange".into(), ..PutRequest::default() }),
        ..InternalRaftRequest::default()
    };
    for (member, header) in cluster.members.iter().zip(&headers) {
        let proposal = |from: u64, data: Vec<u8>| Message {
            r#type: MessageType::MsgProp.into(),
            to: header.member_id,
            from,
            entries: vec![Entry { data: data.into(), ..Entry::default() }],
            ..Message::default()
        };
        let fellow = headers.iter().map(|other| other.member_id).find(|id| *id != header.member_id).expect("another");
        for data in [b"\xff\xff".to_vec(), Vec::from(b"\x0a\x00"), vec![0xf2, 0x7f, 0x01, 0x00]] {
            let answer = post(member, header.cluster_id, &proposal(fellow, data)).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
        let answer = post(member, header.cluster_id, &proposal(0x57a2, put.encode_to_vec())).await;
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        member.client().put(PutRequest { key: "known".into(), ..PutRequest::default() }).await.expect("a put");
    }
    let strange = RangeRequest { key: "strange".into(), ..RangeRequest::default() };
    assert_eq!(cluster.client().range(strange).await.expect("a range").kvs, [], "of nobody who is a member");
    for member in &cluster.members {
        assert_eq!(member.said().matches("starting an etcd server").count(), 1, "it was the same process all along");
    }
    // And not because it was not looked at: what a member hands on so is carried out, whatever stands beside it.
    let (member, header) = (&cluster.members[0], &headers[0]);
    let entry = |data: Vec<u8>| Entry { data: data.into(), ..Entry::default() };
    let message = Message {
        r#type: MessageType::MsgProp.into(),
        to: header.member_id,
        from: headers[1].member_id,
        entries: vec![entry(b"\xff\xff".to_vec()), entry(put.encode_to_vec())],
        ..Message::default()
    };
    let answer = post(member, header.cluster_id, &message).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    harness::until("it is written", async || {
        let strange = RangeRequest { key: "strange".into(), ..RangeRequest::default() };
        cluster.client().range(strange).await.ok().filter(|answer| answer.count == 1)
    })
    .await;
    cluster.same_everywhere().await;
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
