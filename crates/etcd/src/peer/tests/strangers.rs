//! What is answered to who does not belong here, or says nonsense.

use super::*;

const GOOD: &str =
    "x-server-from: 1\r\nx-server-version: 3.5.1\r\nx-min-cluster-version: 3.0.0\r\nx-etcd-cluster-id: c1\r\n";

#[tokio::test]
async fn strangers_get_etcds_answers() {
    let (one, two) = (site(1).await, site(2).await);
    two.knows(&[&one]);
    two.local.removed.lock().unwrap().insert(9);
    let other_cluster = GOOD.replace("c1", "c2");
    let too_new = GOOD.replace("3.0.0", "3.8.0");
    let to_me = format!("{GOOD}x-raft-to: 2\r\n");
    let stranger = format!("{to_me}x-peerurls: http://127.0.0.1:1\r\n");
    let cases: [(&str, &str, u16, &str); 12] = [
        ("GET /raft/stream/message/1", &other_cluster, 412, "cluster ID mismatch\n"),
        ("GET /raft/stream/message/1", &too_new, 412, "incompatible version\n"),
        ("GET /raft/stream/message/1", "", 412, "incompatible version\n"),
        ("GET /raft/stream/message/1", GOOD, 412, "to field mismatch\n"),
        ("GET /raft/stream/other/1", &to_me, 404, "invalid path\n"),
        ("GET /raft/stream/message/xyz", &to_me, 404, "invalid from\n"),
        ("GET /raft/stream/message/9", &to_me, 410, "removed member\n"),
        ("GET /raft/stream/message/77", &stranger, 404, "error sender not found\n"),
        ("POST /raft", &other_cluster, 412, "cluster ID mismatch\n"),
        ("POST /raft/snapshot", &other_cluster, 412, "cluster ID mismatch\n"),
        ("GET /raft", GOOD, 405, "Method Not Allowed\n"),
        ("GET /nothing", GOOD, 404, "404 page not found\n"),
    ];
    for (line, headers, status, body) in cases {
        assert_eq!(ask(&two, line, headers, "").await, (status, body.to_owned()), "{line}");
    }
    let knows = |id| two.peers.inner.remotes.load().strangers.iter().any(|stranger| stranger.id == id);
    assert!(knows(0x77), "it can be answered now");
    assert!(!knows(1));
    // Names that somebody makes up keep nobody out.
    for id in 0x1000..0x1000 + STRANGERS_MAX {
        let line = format!("GET /raft/stream/message/{id:x}");
        assert_eq!(ask(&two, &line, &stranger, "").await.0, 404);
    }
    assert_eq!(two.peers.inner.remotes.load().strangers.len(), STRANGERS_MAX);
    assert!(!knows(0x77), "the first goes");
    assert_eq!(ask(&two, "GET /raft/stream/message/77", &stranger, "").await.0, 404);
    assert!(knows(0x77), "and is met again");
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let two = site(2).await;
    let post = |path: &'static str, body: &'static str| ask(&two, path, GOOD, body);
    assert_eq!(post("POST /raft", "\x7f\x7f").await, (400, "error unmarshalling raft message\n".to_owned()));
    assert_eq!(post("POST /raft", "").await.0, 500, "an empty message is one that members say to themselves");
    let (status, body) = post("POST /raft/snapshot", "abc").await;
    assert_eq!((status, body.as_str()), (400, "failed to decode raft message (unexpected EOF)\n"));
    let (status, body) = post("POST /raft/snapshot", "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f").await;
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("above the limit of 67108864"), "{body}");
    // MsgHeartbeat from 1 to 2 in front of a snapshot's body.
    let (status, body) = post("POST /raft/snapshot", "\0\0\0\0\0\0\0\x06\x08\x08\x10\x02\x18\x01").await;
    assert_eq!((status, body.as_str()), (400, "wrong raft message type\n"));
    // MsgHeartbeat from 1 to 5.
    let (status, body) = post("POST /raft", "\x08\x08\x10\x05\x18\x01").await;
    assert_eq!((status, body.as_str()), (403, "{\"message\":\"cannot process message to mismatch member\"}"));
    two.local.removed.lock().unwrap().insert(1);
    let (status, body) = post("POST /raft", "\x08\x08\x10\x02\x18\x01").await;
    assert_eq!((status, body.as_str()), (403, "{\"message\":\"cannot process message from removed member\"}"));
    assert_eq!(post("POST /leases", "\x7f\x7f").await.0, 400);
}
