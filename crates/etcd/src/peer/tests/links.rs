//! Streams and posts between members: order, loss and coming back.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::*;

#[tokio::test]
async fn two_members_talk_both_ways() {
    let (mut one, mut two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    two.knows(&[&one]);
    one.linked(&two).await;
    two.linked(&one).await;
    assert!(one.peers.active_since(2).is_some() && one.peers.active_since(3).is_none());

    // Appends keep their order, whatever their size; so do other messages.
    let sizes = [10, 0, 100_000, 3, 2_000_000, 1];
    for (at, size) in sizes.into_iter().enumerate() {
        one.send(append(1, 2, at as u64, size));
    }
    for (at, size) in sizes.into_iter().enumerate() {
        assert_eq!(two.delivered().await, append(1, 2, at as u64, size));
    }
    for index in 0..100 {
        two.send(message(MessageKind::AppResp, 2, 1, index));
    }
    for index in 0..100 {
        assert_eq!(one.delivered().await, message(MessageKind::AppResp, 2, 1, index));
    }
    one.peers.for_each_counters(|id, counters| {
        assert_eq!(id, 2);
        assert!(counters.sent_bytes.load(Ordering::Relaxed) > 2_100_000);
    });
}

#[tokio::test]
async fn without_a_stream_a_message_goes_by_post() {
    let (one, mut two) = (site(1).await, site(2).await);
    // The second does not know the first, so it dials no streams.
    one.knows(&[&two]);
    for index in 0..20 {
        one.send(append(1, 2, index, 70_000));
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 20 {
        seen.insert(two.delivered().await.index);
    }
    assert_eq!(seen, (0..20).collect());
    // It has learned where its visitor lives, and can answer.
    let mut one = one;
    two.send(message(MessageKind::AppResp, 2, 1, 9));
    assert_eq!(one.delivered().await.index, 9);
}

#[tokio::test]
async fn a_member_that_comes_back_is_found_again() {
    let (mut one, two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    two.knows(&[&one]);
    one.linked(&two).await;
    let address = two.url.strip_prefix("http://").unwrap().to_owned();
    two.stop().await;
    // Its streams ended: what was under way may be lost, and raft hears so.
    one.expect(Event::Unreachable(2)).await;

    let mut two = site_at(2, &address, None, patient()).await;
    two.knows(&[&one]);
    one.linked(&two).await;
    two.linked(&one).await;
    one.send(append(1, 2, 7, 10));
    assert_eq!(two.delivered().await.index, 7);
    two.send(message(MessageKind::AppResp, 2, 1, 8));
    assert_eq!(one.delivered().await.index, 8);
}

#[tokio::test]
async fn a_full_queue_drops_and_reports() {
    let (mut one, two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    let remote = one.peers.inner.member(2).unwrap();
    // A stream nobody empties.
    let (_outbox, _inbox) = remote.attach(StreamKind::Message);
    let mut burst: Vec<Message> =
        (0..=STREAM_QUEUE_MAX as u64).map(|index| message(MessageKind::AppResp, 1, 2, index)).collect();
    one.peers.send(burst.drain(..));
    assert!(burst.is_empty());
    assert_eq!(one.next().await, Event::Unreachable(2));
    assert_eq!(remote.counters.sent_failures.load(Ordering::Relaxed), 1);
    // Nobody there at all: the pipeline tries, and reports.
    drop(two);
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    one.peers.set_remotes(vec![(3, vec![format!("http://{gone}")])]);
    one.send(message(MessageKind::Heartbeat, 1, 3, 0));
    one.expect(Event::Unreachable(3)).await;
    // To a stranger: nothing happens, but raft must not wait for the end of a snapshot that never sets out.
    one.send(message(MessageKind::Heartbeat, 1, 99, 0));
    one.send(message(MessageKind::Snap, 1, 99, 0));
    one.expect(Event::SnapshotSent(99, false)).await;
}

#[tokio::test]
async fn a_stream_that_says_nothing_is_dialled_again() {
    let timeouts = Timeouts { read: Duration::from_millis(60), ..patient() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let one = site_at(1, "127.0.0.1:0", None, timeouts).await;
    one.peers.set_remotes(vec![(2, vec![url])]);
    // Each connection gets an answer and then silence; it must come back, for both streams.
    let mut paths = Vec::new();
    let mut open = Vec::new();
    while paths.iter().filter(|path: &&String| path.contains("msgapp")).count() < 2 {
        let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("redialled").unwrap();
        let mut head = vec![0; 2048];
        let read = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        if head.starts_with("get /raft/stream/") {
            for header in [
                "x-server-from: 1\r\n",
                "x-raft-to: 2\r\n",
                "x-etcd-cluster-id: c1\r\n",
                "x-server-version: 3.7.1\r\n",
                "x-min-cluster-version: 3.0.0\r\n",
            ] {
                assert!(head.contains(header), "{header} in {head}");
            }
            assert!(head.contains(&format!("x-peerurls: {}\r\n", one.url)), "{head}");
            paths.push(head.lines().next().unwrap().to_owned());
        }
        open.push(stream);
    }
    assert!(paths.contains(&"get /raft/stream/message/1 http/1.1".to_owned()), "{paths:?}");
}

#[tokio::test]
async fn a_stream_of_nonsense_ends_and_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = site(1).await;
    one.peers.set_remotes(vec![(2, vec![format!("http://{}", listener.local_addr().unwrap())])]);
    let remote = one.peers.inner.member(2).unwrap();
    let failures = || remote.counters.received_failures.load(Ordering::Relaxed);
    while failures() < 2 {
        let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("redialled").unwrap();
        let mut head = vec![0; 2048];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff").await.unwrap();
        // It hangs up on us.
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("hung up");
    }
    assert!(failures() >= 2);
}

#[tokio::test]
async fn a_removed_member_is_told() {
    let (mut one, two) = (site(1).await, site(2).await);
    two.knows(&[&one]);
    two.local.removed.lock().unwrap().insert(1);
    one.knows(&[&two]);
    one.expect(Event::Removed).await;
}

#[tokio::test]
async fn a_member_off_the_roster_is_let_go() {
    let (one, mut two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    two.knows(&[&one]);
    one.linked(&two).await;
    one.peers.set_remotes(Vec::new());
    two.expect(Event::Unreachable(1)).await;
    assert!(one.peers.inner.member(2).is_none());
    assert!(one.peers.active_since(2).is_none());
}
