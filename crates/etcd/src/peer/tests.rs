//! Links between members of one process, over loopback, and what they answer to strangers.

use std::collections::BTreeSet;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, StatusCode};
use proto::etcdserverpb::Member;
use raft::{Entry, Snapshot, SnapshotMeta};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use frame::StreamKind;

const PATIENCE: Duration = Duration::from_secs(10);
const CLUSTER: u64 = 0xc1;

#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "few, and short-lived")]
enum Event {
    Delivered(Message),
    Unreachable(u64),
    SnapshotSent(u64, bool),
    /// All of it is there; it is being made durable.
    SnapshotWhole(u64),
    SnapshotStored(u64, Vec<u8>),
    SnapshotAbandoned(u64),
    SnapshotDiscarded(u64),
    Removed,
}

/// A member that remembers what it was told.
struct Recorder {
    events: mpsc::UnboundedSender<Event>,
    removed: Mutex<BTreeSet<u64>>,
    /// What a snapshot is made of. None: it cannot be made to its end.
    state: Option<Vec<u8>>,
    /// The disk under the next snapshot stands still until it is told to go on.
    slow_disk: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl Recorder {
    fn tell(&self, event: Event) {
        self.events.send(event).unwrap();
    }
}

struct Sink {
    index: u64,
    bytes: Vec<u8>,
    finished: bool,
    slow_disk: Option<std::sync::mpsc::Receiver<()>>,
    events: mpsc::UnboundedSender<Event>,
}

impl SnapshotSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> std::io::Result<()> {
        self.finished = true;
        if let Some(slow_disk) = self.slow_disk.take() {
            self.events.send(Event::SnapshotWhole(self.index)).map_err(std::io::Error::other)?;
            slow_disk.recv_timeout(PATIENCE).map_err(std::io::Error::other)?;
        }
        let bytes = std::mem::take(&mut self.bytes);
        self.events.send(Event::SnapshotStored(self.index, bytes)).map_err(std::io::Error::other)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.events.send(Event::SnapshotAbandoned(self.index));
        }
    }
}

impl Local for Recorder {
    fn deliver(&self, message: Message) {
        self.tell(Event::Delivered(message));
    }
    fn unreachable(&self, id: u64) {
        let _ = self.events.send(Event::Unreachable(id));
    }
    fn snapshot_sent(&self, id: u64, ok: bool) {
        self.tell(Event::SnapshotSent(id, ok));
    }
    fn removed(&self) {
        self.tell(Event::Removed);
    }
    fn snapshot(&self) -> std::io::Result<SnapshotBody> {
        let state = self.state.clone();
        Ok(SnapshotBody {
            meta: SnapshotMeta { index: 42, term: 3, ..SnapshotMeta::default() },
            data: Bytes::from_static(b"v2"),
            size_bytes: state.as_ref().map_or(0, |state| state.len() as u64),
            write: Box::new(move |sink| match state {
                Some(state) => state.chunks(300_000).try_for_each(sink),
                None => {
                    // More than fits between the two ends, so that some of it has arrived.
                    sink(&[5; 4_000_000])?;
                    Err(std::io::Error::other("disk is gone"))
                }
            }),
        })
    }
    fn receive_snapshot(&self, index: u64, beside: Bytes) -> std::io::Result<Box<dyn SnapshotSink>> {
        assert_eq!(beside, "v2", "what the sender put beside it arrives with it");
        let slow_disk = self.slow_disk.lock().unwrap().take();
        Ok(Box::new(Sink { index, bytes: Vec::new(), finished: false, slow_disk, events: self.events.clone() }))
    }
    fn discard_snapshot(&self, index: u64) {
        self.tell(Event::SnapshotDiscarded(index));
    }
    fn members(&self) -> Vec<Member> {
        let named = Member {
            id: 9372538179322589801,
            name: "m1".to_owned(),
            peer_urls: vec!["http://a:1".to_owned()],
            client_urls: vec!["http://a:2".to_owned()],
            is_learner: false,
        };
        let learner = Member { id: 2, peer_urls: vec!["http://b:1".to_owned()], is_learner: true, ..Member::default() };
        vec![named, learner]
    }
    fn is_removed(&self, id: u64) -> bool {
        self.removed.lock().unwrap().contains(&id)
    }
    fn cluster_version(&self) -> Option<String> {
        Some("3.7.0".to_owned())
    }
    fn hash_kv(&self, revision: i64) -> Result<HashKv, String> {
        match revision {
            0..=5 => Ok(HashKv { hash: 77, compact_revision: 0, hash_revision: 5, revision: 5 }),
            _ => Err("mvcc: required revision is a future revision".to_owned()),
        }
    }
    fn keep_alive(&self, id: i64) -> BoxFuture<Result<i64, LeaseError>> {
        Box::pin(std::future::ready(match id {
            1 => Ok(60),
            2 => Err(LeaseError::ApplyTimeout),
            3 => Err(LeaseError::NotPrimary),
            _ => Err(LeaseError::NotFound),
        }))
    }
    fn time_to_live(&self, id: i64, keys: bool) -> BoxFuture<Result<RemainingLease, LeaseError>> {
        let keys = if keys { vec![Bytes::from_static(b"k")] } else { Vec::new() };
        Box::pin(std::future::ready(match id {
            1 => Ok(RemainingLease { ttl: 59, granted_ttl: 60, keys }),
            _ => Err(LeaseError::NotFound),
        }))
    }
}

/// A member with its listener.
struct Site {
    id: u64,
    url: String,
    local: Arc<Recorder>,
    peers: Peers,
    events: mpsc::UnboundedReceiver<Event>,
    serving: tokio::task::JoinHandle<()>,
}

fn patient() -> Timeouts {
    Timeouts { redial: Duration::from_millis(10), ..Timeouts::new(Duration::from_secs(1)) }
}

async fn site(id: u64) -> Site {
    site_at(id, "127.0.0.1:0", Some(vec![5; 1_000_000]), patient()).await
}

async fn site_at(id: u64, address: &str, state: Option<Vec<u8>>, timeouts: Timeouts) -> Site {
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, events) = mpsc::unbounded_channel();
    let local = Arc::new(Recorder { events: sender, removed: Mutex::default(), state, slow_disk: Mutex::default() });
    let identity = Identity { member_id: id, cluster_id: CLUSTER, peer_urls: vec![url.clone()] };
    let peers = Peers::new(identity, timeouts, local.clone(), tokio::runtime::Handle::current());
    let serving = tokio::spawn(peers.clone().serve(listener));
    Site { id, url, local, peers, events, serving }
}

impl Site {
    fn knows(&self, others: &[&Site]) {
        self.peers.set_remotes(others.iter().map(|site| (site.id, vec![site.url.clone()])).collect());
    }

    fn send(&self, message: Message) {
        self.peers.send(&mut vec![message]);
    }

    async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event in time").unwrap()
    }

    /// The next message for raft; reports about reachability in between are skipped.
    async fn delivered(&mut self) -> Message {
        loop {
            match self.next().await {
                Event::Delivered(message) => return message,
                Event::Unreachable(_) => {}
                other => panic!("a message was awaited, but: {other:?}"),
            }
        }
    }

    async fn expect(&mut self, wanted: Event) {
        loop {
            match self.next().await {
                Event::Unreachable(id) if wanted != Event::Unreachable(id) => {}
                event => return assert_eq!(event, wanted),
            }
        }
    }

    /// Ends the member and everything it holds open.
    async fn stop(self) {
        self.serving.abort();
        self.peers.stop();
        let _ = self.serving.await;
    }

    /// Waits until both streams to the other member stand.
    async fn linked(&self, to: &Site) {
        let remote = self.peers.inner.member(to.id).unwrap();
        let wait = async {
            while !StreamKind::ALL.into_iter().all(|kind| remote.has_stream(kind)) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("streams in time");
    }
}

fn message(kind: MessageKind, from: u64, to: u64, index: u64) -> Message {
    let mut message = Message::new(kind, to);
    (message.from, message.term, message.log_term, message.index) = (from, 3, 3, index);
    message
}

fn append(from: u64, to: u64, index: u64, data: usize) -> Message {
    let mut message = message(MessageKind::App, from, to, index);
    let entry = Entry { term: 3, index: index + 1, data: Bytes::from(vec![1; data]), ..Entry::default() };
    message.entries = vec![entry];
    message
}

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
        assert!(counters.sent_bytes.load(std::sync::atomic::Ordering::Relaxed) > 2_100_000);
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
    one.peers.send(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(one.next().await, Event::Unreachable(2));
    assert_eq!(remote.counters.sent_failures.load(std::sync::atomic::Ordering::Relaxed), 1);
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

#[tokio::test]
async fn a_removed_member_is_told() {
    let (mut one, two) = (site(1).await, site(2).await);
    two.knows(&[&one]);
    two.local.removed.lock().unwrap().insert(1);
    one.knows(&[&two]);
    one.expect(Event::Removed).await;
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

/// Writes a request by hand and reads the answer to its end.
async fn raw(site: &Site, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(site: &Site, line: &str, headers: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request =
        format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    let answer = raw(site, request.as_bytes()).await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    assert!(status == 404 || status == 405 || answer.contains("x-etcd-cluster-id: c1\r\n"), "{answer}");
    (status, body.to_owned())
}

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

#[tokio::test]
async fn a_stream_of_nonsense_ends_and_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = site(1).await;
    one.peers.set_remotes(vec![(2, vec![format!("http://{}", listener.local_addr().unwrap())])]);
    let remote = one.peers.inner.member(2).unwrap();
    let failures = || remote.counters.received_failures.load(std::sync::atomic::Ordering::Relaxed);
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
async fn questions_besides_raft() {
    let two = site(2).await;
    assert_eq!(
        ask(&two, "GET /members", "", "").await,
        (
            200,
            "[{\"id\":9372538179322589801,\"peerURLs\":[\"http://a:1\"],\"name\":\"m1\",\"clientURLs\":[\"http://a:2\"]},\
             {\"id\":2,\"peerURLs\":[\"http://b:1\"],\"isLearner\":true}]\n"
                .to_owned()
        )
    );
    assert_eq!(
        ask(&two, "GET /version", "", "").await.1,
        "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}"
    );
    assert_eq!(ask(&two, "GET /downgrade/enabled", "", "").await, (200, "false".to_owned()));
    let (status, body) = ask(&two, "GET /raft/probing", "", "").await;
    assert!(status == 200 && body.starts_with("{\"OK\":true,\"Now\":\"20") && body.ends_with("Z\"}\n"), "{body}");

    let (status, body) = ask(&two, "GET /members/hashkv", "", "{\"revision\":5}").await;
    assert_eq!(status, 200);
    let hash: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(hash, serde_json::json!({"header": {"revision": 5}, "hash": 77, "hash_revision": 5}));
    let future = "mvcc: required revision is a future revision\n".to_owned();
    assert_eq!(ask(&two, "GET /members/hashkv", "", "{\"revision\":6}").await, (400, future));
    let other = ask(&two, "GET /members/hashkv", "x-etcd-cluster-id: c2\r\n", "{}").await;
    assert_eq!(other, (412, "cluster ID mismatch\n".to_owned()));
}

#[tokio::test]
async fn leases_are_asked_for_at_the_leader() {
    let (one, two) = (site(1).await, site(2).await);
    one.knows(&[&two]);
    for _ in 0..3 {
        assert_eq!(one.peers.lease_keep_alive(2, 1).await.unwrap(), 60);
    }
    assert_eq!(one.peers.lease_keep_alive(2, 99).await.unwrap(), 0, "no such lease");
    assert!(matches!(one.peers.lease_keep_alive(2, 2).await, Err(ForwardError::ApplyTimeout)));
    assert!(matches!(one.peers.lease_keep_alive(2, 3).await, Err(ForwardError::NotPrimary)));
    assert!(matches!(one.peers.lease_keep_alive(7, 1).await, Err(ForwardError::NotPrimary)));
    let left = one.peers.lease_time_to_live(2, 1, true).await.unwrap();
    assert_eq!(left, RemainingLease { ttl: 59, granted_ttl: 60, keys: vec![Bytes::from_static(b"k")] });
    assert_eq!(one.peers.lease_time_to_live(2, 99, false).await.unwrap().ttl, -1);
    assert_eq!(remote::lock(&one.peers.inner.member(2).unwrap().lanes).len(), 1, "one connection served them all");
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

#[tokio::test]
async fn requests_are_built_as_etcd_expects_them() {
    let request = client::request(Method::POST, "http://h:1", "/raft", client::no_body());
    assert_eq!((request.uri().path(), request.headers()["host"].to_str().unwrap()), ("/raft", "h:1"));
    assert!(matches!(pipeline::check(StatusCode::NO_CONTENT, b""), Ok(())));
    let removed = b"{\"message\":\"cannot process message from removed member\"}";
    assert!(matches!(pipeline::check(StatusCode::FORBIDDEN, removed), Err(pipeline::PostError::Removed)));
    let mistaken = b"{\"message\":\"cannot process message to mismatch member\"}";
    assert!(matches!(pipeline::check(StatusCode::FORBIDDEN, mistaken), Err(pipeline::PostError::Status { .. })));
    let mismatch = pipeline::check(StatusCode::PRECONDITION_FAILED, b"cluster ID mismatch\n").unwrap_err();
    assert!(mismatch.to_string().ends_with("while posting: cluster ID mismatch"));
}
