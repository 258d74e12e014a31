//! Links between members of one process, over loopback, and what they answer to strangers.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Mutex;

use bytes::Bytes;
use proto::etcdserverpb::Member;
use raft::{Entry, Snapshot, SnapshotMeta};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use frame::StreamKind;

mod acquaintances;
mod links;
mod once;
mod questions;
mod snapshots;
mod strangers;
mod stuck;

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
    /// The thread that takes in appends waits for its disk.
    Stuck,
    Removed,
    HasRun(String),
}

thread_local! {
    /// This thread brings what the leader appends.
    static TAKES_IN: Cell<bool> = const { Cell::new(false) };
}

/// A member that remembers what it was told.
struct Recorder {
    events: mpsc::UnboundedSender<Event>,
    removed: Mutex<BTreeSet<u64>>,
    /// What a snapshot is made of. None: it cannot be made to its end.
    state: Option<Vec<u8>>,
    /// The disk under the next snapshot stands still until it is told to go on.
    slow_disk: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
    /// The disk under the next append does.
    stuck: Mutex<Option<std::sync::mpsc::Receiver<()>>>,
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
        assert!(!TAKES_IN.get() || message.kind == MessageKind::App, "{:?} waits for a disk", message.kind);
        self.tell(Event::Delivered(message));
    }
    fn gather_appends(&self, work: &mut dyn FnMut()) {
        TAKES_IN.set(true);
        work();
        TAKES_IN.set(false);
        let stuck = self.stuck.lock().unwrap().take();
        if let Some(stuck) = stuck {
            self.tell(Event::Stuck);
            stuck.recv_timeout(PATIENCE).unwrap();
        }
    }
    fn unreachable(&self, id: u64) {
        let _ = self.events.send(Event::Unreachable(id));
    }
    fn snapshot_sent(&self, id: u64, ok: bool) {
        self.tell(Event::SnapshotSent(id, ok));
    }
    fn has_run(&self, url: &str, _: store::roster::Member) {
        self.tell(Event::HasRun(url.to_owned()));
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
    let runtime = tokio::runtime::Handle::current();
    site_on(id, address, state, timeouts, runtime.into()).await
}

async fn site_on(id: u64, address: &str, state: Option<Vec<u8>>, timeouts: Timeouts, runtimes: Runtimes) -> Site {
    let listener = TcpListener::bind(address).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, events) = mpsc::unbounded_channel();
    let local = Arc::new(Recorder {
        events: sender,
        removed: Mutex::default(),
        state,
        slow_disk: Mutex::default(),
        stuck: Mutex::default(),
    });
    let identity = Identity { member_id: id, cluster_id: CLUSTER, peer_urls: vec![url.clone()] };
    let peers = Peers::new(identity, timeouts, local.clone(), runtimes);
    let serving = tokio::spawn(peers.clone().serve(listener));
    Site { id, url, local, peers, events, serving }
}

impl Site {
    fn knows(&self, others: &[&Site]) {
        self.peers.set_remotes(others.iter().map(|site| (site.id, vec![site.url.clone()])).collect());
    }

    fn send(&self, message: Message) {
        self.peers.send(std::iter::once(message));
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

/// Writes a request by hand and reads the answer to its end.
async fn raw(site: &Site, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer in time").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn ask(site: &Site, line: &str, headers: &str, body: impl AsRef<[u8]>) -> (u16, String) {
    let (body, length) = (body.as_ref(), body.as_ref().len());
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    let answer = raw(site, &[head.as_bytes(), body].concat()).await;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    assert!(status == 404 || status == 405 || answer.contains("x-etcd-cluster-id: c1\r\n"), "{answer}");
    (status, body.to_owned())
}
