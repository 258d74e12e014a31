//! What others answer when this member asks: its question goes to a port of loopback at which any bytes are answered.

use super::desk::{self, CLUSTER, Desk, OTHERS};
use super::{Question, raft_node, soon};
use etcd::ask;
use raft::{Message, MessageKind, Snapshot};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Who asks in a loop asks again after so long.
const AGAIN: Duration = Duration::from_millis(1);
/// Longest head of a question of ours.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// An answer with a body, as members of this cluster head it.
pub fn sound(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nX-Etcd-Cluster-Id: {CLUSTER:x}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

impl Question {
    /// Where it is asked.
    fn path(self) -> &'static str {
        match self {
            Question::KeepAlive => "/leases ",
            Question::TimeToLive => "/leases/internal ",
            Question::Chain => "/quorate/chain ",
            Question::Cluster => "/members ",
            Question::Probe => "/raft/probing ",
            Question::Snapshot => "/raft/snapshot ",
            Question::Appends => "/raft/stream/msgapp/",
            Question::Messages => "/raft/stream/message/",
        }
    }

    /// Links ask these in a loop: once more means that the answer has been read.
    fn is_repeated(self) -> bool {
        matches!(self, Question::Probe | Question::Appends | Question::Messages)
    }
}

/// Asks, and is answered with these bytes.
pub async fn ask(question: Question, bytes: &[u8]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let url = format!("http://{}", listener.local_addr().expect("it has one"));
    let desk = Desk::new();
    let answered = answer(&listener, question, bytes);
    let peers = desk::peers(&desk, Some(&url), question.is_repeated().then_some(AGAIN));
    let asked = async {
        match question {
            Question::KeepAlive => drop(peers.lease_keep_alive(OTHERS[0], 7).await),
            Question::TimeToLive => drop(peers.lease_time_to_live(OTHERS[0], 7, true).await),
            Question::Chain => {
                let reports = peers.chains(super::PATIENCE).await;
                assert!(reports.len() <= 1, "one was asked");
            }
            Question::Cluster => {
                if let Ok(cluster) = ask::cluster(&url, super::PATIENCE).await {
                    let _ = cluster.has_run(desk::ME);
                }
            }
            Question::Snapshot => send_snapshot(&desk, &peers).await,
            Question::Probe | Question::Appends | Question::Messages => std::future::pending().await,
        }
    };
    soon("a question", async {
        tokio::select! {
            () = answered => {}
            () = asked => {}
        }
    })
    .await;
    peers.stop();
    raft_node::hears(&desk.heard().await);
}

async fn send_snapshot(desk: &Arc<Desk>, peers: &etcd::peer::Peers) {
    let message = Message { from: desk::ME, term: 3, ..Message::new(MessageKind::Snap, OTHERS[0]) };
    peers.send(std::iter::once(Message { snapshot: Some(Snapshot::default()), ..message }));
    desk.sent.subscribe().wait_for(Option::is_some).await.expect("the desk is there");
}

/// Answers this question, and nothing else. Ends when it is asked again, if it is.
async fn answer(listener: &TcpListener, question: Question, bytes: &[u8]) {
    let mut is_answered = false;
    loop {
        let (mut stream, _) = listener.accept().await.expect("loopback has room");
        let head = head(&mut stream).await;
        if !head.contains(question.path()) {
            continue;
        }
        if is_answered && question.is_repeated() {
            return;
        }
        is_answered = true;
        // Whoever asked may have heard enough.
        if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
            let mut rest = [0; 1_024];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
