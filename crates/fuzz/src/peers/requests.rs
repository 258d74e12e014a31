//! The peer port: a connection, and what is said to be answered on it.

use super::desk::{self, Desk, Heard};
use super::{raft_node, soon};
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes between the two ends of the connection.
const BETWEEN_BYTES: usize = 64 << 10;
/// The last request on a connection.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
/// How long the answer to that may take; where lengths are read in another way it never comes.
const GRACE: Duration = Duration::from_secs(1);
/// What is answered is short, whatever is asked.
const ANSWERS_BYTES_MAX: usize = 4 << 20;
/// Statuses that members, or the HTTP library in front of them, answer with.
const STATUSES: [&str; 17] = [
    "100", "200", "204", "400", "403", "404", "405", "408", "410", "412", "413", "414", "417", "431", "500", "501",
    "503",
];

/// A request with a body, as members of this cluster head it.
pub fn sound(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: m\r\nX-Server-From: {:x}\r\nX-Server-Version: 3.5.1\r\nX-Min-Cluster-Version: 3.0.0\r\n\
         X-Etcd-Cluster-Id: {:x}\r\nX-Raft-To: {:x}\r\nContent-Length: {}\r\n\r\n",
        desk::OTHERS[0],
        desk::CLUSTER,
        desk::ME,
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A connection on which this is said; what was taken is handed on.
pub async fn connection(bytes: &[u8]) {
    let (answers, heard) = talk(bytes).await;
    look(&answers);
    raft_node::hears(&heard);
}

/// Says all of it. What was answered, and what was let in.
async fn talk(bytes: &[u8]) -> (Vec<u8>, Heard) {
    let desk = Desk::new();
    let peers = desk::peers(&desk, None, None);
    let (here, there) = tokio::io::duplex(BETWEEN_BYTES);
    let (mut hear, mut say) = tokio::io::split(here);
    let saying = async {
        // The other end may have heard enough.
        let mut said = say.write_all(bytes).await;
        if said.is_ok() && is_whole(bytes) {
            // Whoever only hangs up is not answered.
            said = say.write_all(LAST).await;
            tokio::time::sleep(GRACE).await;
        }
        if said.is_ok() {
            let _ = say.shutdown().await;
        }
        pending().await
    };
    let mut answers = Vec::new();
    let hearing = async {
        let mut piece = [0; 4_096];
        // A stream goes on for as long as somebody listens.
        while !is_stream(&answers) {
            match hear.read(&mut piece).await {
                Ok(read) if read > 0 => answers.extend_from_slice(&piece[..read]),
                _ => break,
            }
        }
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let answering = async {
        peers.talk(there, address).await;
        pending().await
    };
    soon("a connection", async {
        tokio::select! {
            () = hearing => {}
            () = saying => {}
            () = answering => {}
        }
    })
    .await;
    peers.stop();
    (answers, desk.heard().await)
}

/// Whether these are whole requests whose lengths are plain: then another may follow.
fn is_whole(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
        let (head, rest) = bytes.split_at(end + 4);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if head.contains("transfer-encoding") || head.replace("\r\n", "").contains('\n') {
            return false;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        match length.map_or(Ok(0), |length| length.trim().parse::<usize>()) {
            Ok(length) if length <= rest.len() => bytes = &rest[length..],
            _ => return false,
        }
    }
    true
}

/// Whether an answer that has no end has begun.
fn is_stream(answers: &[u8]) -> bool {
    let marks = ["200 OK\r\n", "transfer-encoding: chunked\r\n", "\r\n\r\n"];
    let text = String::from_utf8_lossy(answers);
    marks.iter().all(|mark| text.contains(mark))
}

/// The first answer has a status that is known, and a refusal of ours has words.
fn look(answers: &[u8]) {
    assert!(answers.len() < ANSWERS_BYTES_MAX, "{} bytes were answered", answers.len());
    if answers.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(answers);
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    let version = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 ")).expect("it is HTTP");
    let status = &version[..version.len().min(3)];
    assert!(STATUSES.contains(&status), "{head}");
    let is_empty = head.to_ascii_lowercase().contains("content-length: 0");
    // What is no HTTP is refused by the library, without a type.
    if status >= "400" && head.to_ascii_lowercase().contains("content-type") {
        assert!(!is_empty, "refused without a word: {head}{body}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What members of etcd 3.5.1 and of ours have said to one of these ids is let in, so that changes of it begin behind
    /// the door.
    #[tokio::test]
    async fn what_members_say_is_taken() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/peer_requests/");
        let said = async |name: &str| talk(&std::fs::read(format!("{corpus}{name}")).expect("it is kept")[1..]).await;
        let (answers, heard) = said("etcd-3.5.1-connection-raft-snapshot-1").await;
        assert!(answers.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answers));
        let (beside, image) = &heard.snapshots[0];
        store::snapshot::check(image.as_slice(), beside).expect("an image of etcd 3.5.1");
        assert_eq!((heard.snapshots.len(), heard.messages.len()), (1, 1));

        let (answers, heard) = said("ours-connection-raft-1").await;
        assert!(answers.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answers));
        assert_eq!(heard.messages.len(), 1);
        for (name, status) in [
            ("etcd-3.5.1-connection-leases-1", "200"),
            ("etcd-3.5.1-connection-members-hashkv-1", "400"),
            ("etcd-3.5.1-connection-message-2", "200"),
            ("ours-connection-quorate-chain-1", "200"),
        ] {
            let (answers, _) = said(name).await;
            let answers = String::from_utf8_lossy(&answers);
            assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {answers}");
        }
    }
}
