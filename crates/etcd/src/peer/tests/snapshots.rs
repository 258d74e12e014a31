//! Snapshots on their way, whole and broken off.

use super::*;

#[tokio::test]
async fn a_snapshot_travels_with_its_state() {
    let (mut one, mut two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    let mut wanted = message(MessageKind::Snap, 1, 2, 0);
    wanted.snapshot =
        Some(Snapshot { meta: SnapshotMeta { index: 40, term: 3, ..Default::default() }, ..Default::default() });
    one.send(wanted.clone());
    assert_eq!(two.next().await, Event::SnapshotStored(42, vec![5; 1_000_000]));
    let Event::Delivered(delivered) = two.next().await else { panic!("the message follows its state") };
    let snapshot = delivered.snapshot.unwrap();
    assert_eq!(
        (snapshot.meta.index, &snapshot.data[..]),
        (42, &b"v2"[..]),
        "it is of now, not of when it was asked for"
    );
    assert_eq!(one.next().await, Event::SnapshotSent(2, true));
}

#[tokio::test]
async fn a_snapshot_that_breaks_off_is_never_delivered() {
    let (mut one, mut two) = (site_at(1, "127.0.0.1:0", None, patient()).await, site(2).await);
    one.knows(&[&two]);
    one.send(message(MessageKind::Snap, 1, 2, 0));
    one.expect(Event::SnapshotSent(2, false)).await;
    assert_eq!(two.next().await, Event::SnapshotAbandoned(42));
    // Nobody there: reported as well.
    two.stop().await;
    one.send(message(MessageKind::Snap, 1, 2, 0));
    one.expect(Event::SnapshotSent(2, false)).await;
}

/// Sends a whole snapshot of index 42 by hand.
async fn send_snapshot(to: &Site) -> TcpStream {
    let mut snap = message(MessageKind::Snap, 1, to.id, 0);
    let meta = SnapshotMeta { index: 42, term: 3, ..SnapshotMeta::default() };
    snap.snapshot = Some(Snapshot { meta, data: Bytes::from_static(b"v2") });
    let body = [&frame::framed(&snap)[..], b"state"].concat();
    let head = format!(
        "POST /raft/snapshot HTTP/1.1\r\nHost: m\r\nConnection: close\r\nX-Server-From: 1\r\n\
         X-Server-Version: 3.7.0\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: c1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(to.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    stream
}

async fn answer_of(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// The sender has gone while the disk was at work: nobody has the snapshot, so its files go; and as long as they are being
/// written the same sender fills the disk with no other.
#[tokio::test]
async fn a_snapshot_whose_sender_has_gone_is_taken_back() {
    let mut site = site(2).await;
    let (go_on, slow_disk) = std::sync::mpsc::channel();
    *site.local.slow_disk.lock().unwrap() = Some(slow_disk);
    let mut first = send_snapshot(&site).await;
    assert_eq!(site.next().await, Event::SnapshotWhole(42));
    first.shutdown().await.unwrap();
    assert_eq!(answer_of(first).await, "", "the connection is closed, and the request with it");
    let refused = answer_of(send_snapshot(&site).await).await;
    assert_eq!(refused, "HTTP/1.1 503 Service Unavailable", "the first one is being stored still");
    go_on.send(()).unwrap();
    assert_eq!(site.next().await, Event::SnapshotStored(42, b"state".to_vec()));
    assert_eq!(site.next().await, Event::SnapshotDiscarded(42));
    assert_eq!(answer_of(send_snapshot(&site).await).await, "HTTP/1.1 204 No Content");
    assert_eq!(site.next().await, Event::SnapshotStored(42, b"state".to_vec()));
    let delivered = site.next().await;
    assert!(matches!(&delivered, Event::Delivered(message) if message.kind == MessageKind::Snap), "{delivered:?}");
}
