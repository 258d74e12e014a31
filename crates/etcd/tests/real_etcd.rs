//! A real etcd at the other end of the links: it must notice nothing.
//!
//! Needs the feature `real-etcd` and, in `QUORATE_ETCD_BIN`, the directory with etcd's `etcd`. One process of it runs as
//! half of a two-member cluster; the other half is this test, which speaks through `etcd::peer` and plays just enough of a
//! raft member to be believed.

#![cfg(feature = "real-etcd")]

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd::peer::{BoxFuture, HashKv, Identity, LeaseError, Local, Peers, RemainingLease, SnapshotBody, SnapshotSink};
use proto::etcdserverpb::Member;
use raft::{CAMPAIGN_TRANSFER, Entry, Message, MessageKind};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "etcd-cluster";

/// The first eight bytes of a SHA-1, as etcd makes ids.
fn id_of(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    let hash = hash.finalize();
    hash[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

fn member_id(peer_url: &str) -> u64 {
    id_of(&[peer_url.as_bytes(), TOKEN.as_bytes()])
}

fn cluster_id(mut members: Vec<u64>) -> u64 {
    members.sort_unstable();
    let bytes: Vec<u8> = members.iter().flat_map(|id| id.to_be_bytes()).collect();
    id_of(&[&bytes])
}

#[allow(clippy::large_enum_variant, reason = "few, and short-lived")]
enum Event {
    Delivered(Message),
    Snapshot(u64, Vec<u8>),
}

struct Half {
    events: mpsc::UnboundedSender<Event>,
    members: Vec<Member>,
}

struct Sink(u64, Vec<u8>, mpsc::UnboundedSender<Event>);

impl SnapshotSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.extend_from_slice(bytes);
        Ok(())
    }
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.2.send(Event::Snapshot(self.0, self.1)).map_err(io::Error::other)
    }
}

impl Local for Half {
    fn deliver(&self, message: Message) {
        let _ = self.events.send(Event::Delivered(message));
    }
    fn unreachable(&self, _: u64) {}
    fn snapshot_sent(&self, _: u64, _: bool) {}
    fn removed(&self) {}
    fn has_run(&self, _: &str, _: store::roster::Member) {}
    fn snapshot(&self) -> io::Result<SnapshotBody> {
        Err(io::Error::other("this half has no state"))
    }
    fn receive_snapshot(&self, index: u64, _: bytes::Bytes) -> io::Result<Box<dyn SnapshotSink>> {
        Ok(Box::new(Sink(index, Vec::new(), self.events.clone())))
    }
    fn discard_snapshot(&self, _: u64) {}
    fn members(&self) -> Vec<Member> {
        self.members.clone()
    }
    fn is_removed(&self, _: u64) -> bool {
        false
    }
    fn cluster_version(&self) -> Option<String> {
        None
    }
    fn hash_kv(&self, _: i64) -> Result<HashKv, String> {
        Err("this half has no state".to_owned())
    }
    fn keep_alive(&self, _: i64) -> BoxFuture<Result<i64, LeaseError>> {
        Box::pin(std::future::ready(Err(LeaseError::NotFound)))
    }
    fn time_to_live(&self, _: i64, _: bool) -> BoxFuture<Result<RemainingLease, LeaseError>> {
        Box::pin(std::future::ready(Err(LeaseError::NotFound)))
    }
}

/// The process and its directory, both gone when dropped.
struct RealEtcd {
    child: Child,
    directory: PathBuf,
    client: String,
}

impl RealEtcd {
    /// Starts `etcd` at these URLs, in a directory made of `peer`.
    fn start(peer: &str, client: &str, initial_cluster: &str) -> RealEtcd {
        let binaries = std::env::var("QUORATE_ETCD_BIN");
        let binaries = binaries.expect("QUORATE_ETCD_BIN names the directory with a real etcd; it is not set");
        let program = PathBuf::from(&binaries).join("etcd");
        assert!(program.is_file(), "QUORATE_ETCD_BIN={binaries}, but there is no {}", program.display());
        let name = format!("quorate-peer-{}-{peer}", std::process::id()).replace(['/', ':'], "-");
        let directory = std::env::temp_dir().join(name);
        let child = Command::new(program)
            .args(["--name", "real", "--log-level", "error", "--initial-cluster-token", TOKEN])
            .arg("--data-dir")
            .arg(&directory)
            .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
            .args(["--listen-client-urls", client, "--advertise-client-urls", client])
            .args(["--initial-cluster", initial_cluster])
            .args(["--snapshot-count", "10"])
            .stdout(Stdio::null())
            .spawn()
            .expect("etcd starts");
        RealEtcd { child, directory, client: client.trim_start_matches("http://").to_owned() }
    }

    /// Kills the process, which keeps its directory.
    fn kill(mut self) {
        self.end();
        self.directory = PathBuf::new();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks its JSON gateway.
    async fn post(&self, path: &str, body: &str) -> String {
        // It listens before long; until then the connection is refused.
        let dial = async {
            loop {
                match TcpStream::connect(&self.client).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let mut stream = tokio::time::timeout(PATIENCE, dial).await.expect("etcd listens to clients");
        let length = body.len();
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
        read.await.expect("etcd answers in time").unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        self.end();
        if !self.directory.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Our half of the cluster: a follower that believes everything, and leads when told to.
struct Ours {
    id: u64,
    real: u64,
    peers: Peers,
    events: mpsc::UnboundedReceiver<Event>,
    log: Vec<Entry>,
    /// The last state received, with its index.
    stored: Option<(u64, Vec<u8>)>,
}

impl Ours {
    fn send(&self, mut message: Message, term: u64) {
        (message.to, message.from, message.term) = (self.real, self.id, term);
        self.peers.send(std::iter::once(message));
    }

    async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("a word from etcd in time").unwrap()
    }

    /// Answers as a follower does. Returns the message.
    async fn follow(&mut self) -> Message {
        loop {
            let message = match self.next().await {
                Event::Delivered(message) => message,
                Event::Snapshot(index, body) => {
                    self.stored = Some((index, body));
                    continue;
                }
            };
            assert_eq!((message.from, message.to), (self.real, self.id));
            let mut answer = match message.kind {
                MessageKind::PreVote => Message::new(MessageKind::PreVoteResp, 0),
                MessageKind::Vote => Message::new(MessageKind::VoteResp, 0),
                MessageKind::Heartbeat => Message::new(MessageKind::HeartbeatResp, 0),
                MessageKind::App => Message::new(MessageKind::AppResp, 0),
                _ => return message,
            };
            answer.context = message.context.clone();
            if message.kind == MessageKind::App && message.index > self.log.len() as u64 {
                (answer.reject, answer.index, answer.reject_hint) = (true, message.index, self.log.len() as u64);
            } else if message.kind == MessageKind::App {
                self.log.truncate(message.index as usize);
                self.log.extend(message.entries.iter().cloned());
                answer.index = message.index + message.entries.len() as u64;
            }
            self.send(answer, message.term);
            return message;
        }
    }

    fn holds(&self, needle: &[u8]) -> Option<&Entry> {
        self.log.iter().find(|entry| entry.data.windows(needle.len()).any(|part| part == needle))
    }
}

async fn free_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The links of a member with these ids, served at this listener.
fn ours(listener: TcpListener, id: u64, real: u64, cluster_id: u64, real_url: &str, members: Vec<Member>) -> Ours {
    let (events, receiver) = mpsc::unbounded_channel();
    let our_url = format!("http://{}", listener.local_addr().unwrap());
    let identity = Identity { member_id: id, cluster_id, peer_urls: vec![our_url] };
    let local = Arc::new(Half { events, members });
    let peers = Peers::new(identity, Duration::from_secs(1), local, tokio::runtime::Handle::current());
    tokio::spawn(peers.clone().serve(listener));
    peers.set_remotes(vec![(real, vec![real_url.to_owned()])]);
    Ours { id, real, peers, events: receiver, log: Vec::new(), stored: None }
}

/// A new cluster of both.
async fn begin() -> (RealEtcd, Ours) {
    // etcd makes this of its default peer URL; if ours differ, nothing below can work.
    assert_eq!(member_id("http://localhost:2380"), 0x8e9e_05c5_2164_694d);
    assert_eq!(cluster_id(vec![0x8e9e_05c5_2164_694d]), 0xcdf8_1819_4e3a_8c32);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let our_url = format!("http://{}", listener.local_addr().unwrap());
    let (real_url, client_url) = (free_url().await, free_url().await);
    let (id, real) = (member_id(&our_url), member_id(&real_url));
    let members = [(id, &our_url), (real, &real_url)];
    let members = members.map(|(id, url)| Member { id, peer_urls: vec![url.clone()], ..Member::default() }).to_vec();
    let mut ours = ours(listener, id, real, cluster_id(vec![id, real]), &real_url, members);
    // A new cluster's log begins with one entry per member, in term 1.
    ours.log = (1..=2).map(|index| Entry { term: 1, index, ..Entry::default() }).collect();
    let etcd = RealEtcd::start(&real_url, &client_url, &format!("real={real_url},ours={our_url}"));
    (etcd, ours)
}

/// Follows until etcd leads and has committed something in its term. Returns the term.
async fn elect(ours: &mut Ours) -> u64 {
    loop {
        let message = ours.follow().await;
        if message.kind == MessageKind::App && message.commit > 2 {
            return message.term;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_leads_us_and_a_key_arrives() {
    let (etcd, mut ours) = begin().await;
    elect(&mut ours).await;
    assert!(ours.peers.active_since(ours.real).is_some());
    {
        // "key-of-etcd" and "value". It is answered only once we have acknowledged it.
        let put = etcd.post("/v3/kv/put", "{\"key\":\"a2V5LW9mLWV0Y2Q=\",\"value\":\"dmFsdWU=\"}");
        tokio::pin!(put);
        loop {
            tokio::select! {
                _ = &mut put => break,
                _ = ours.follow() => {}
            }
        }
    }
    assert!(ours.holds(b"key-of-etcd").is_some(), "the entry came over the msgapp stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_follows_us_and_takes_our_appends() {
    let (_etcd, mut ours) = begin().await;
    // We ask for its vote as after a transfer of leadership, so that it does not cling to its own. While it still writes
    // for itself our log may be the shorter one; then it says no, leads again, and is asked again.
    let (term, last) = loop {
        let term = elect(&mut ours).await + 1;
        let last = ours.log.last().unwrap().clone();
        let mut vote = Message::new(MessageKind::Vote, 0);
        (vote.index, vote.log_term, vote.context) = (last.index, last.term, Bytes::from_static(CAMPAIGN_TRANSFER));
        ours.send(vote, term);
        let granted = loop {
            let message = ours.follow().await;
            match message.kind {
                MessageKind::VoteResp if message.term == term => break !message.reject,
                MessageKind::App if message.term >= term => break false,
                _ => {}
            }
        };
        if granted {
            break (term, last);
        }
    };
    // The first append is a whole message, the following ones are the short frame; one is large.
    let mut next = last.index + 1;
    let mut previous = last.term;
    for sizes in [vec![0], vec![0, 0], vec![], vec![300_000], vec![0]] {
        let mut append = Message::new(MessageKind::App, 0);
        (append.index, append.log_term) = (next - 1, previous);
        // Never committed, so etcd never looks inside.
        append.entries = sizes
            .iter()
            .enumerate()
            .map(|(at, size)| Entry {
                term,
                index: next + at as u64,
                data: Bytes::from(vec![7; *size]),
                ..Entry::default()
            })
            .collect();
        next += append.entries.len() as u64;
        previous = term;
        let expected = next - 1;
        ours.send(append, term);
        loop {
            let message = ours.follow().await;
            if message.kind == MessageKind::AppResp && message.index >= expected {
                assert!(!message.reject);
                assert_eq!((message.term, message.index), (term, expected));
                break;
            }
        }
    }
    let mut heartbeat = Message::new(MessageKind::Heartbeat, 0);
    heartbeat.context = Bytes::from_static(b"a round");
    ours.send(heartbeat, term);
    loop {
        let message = ours.follow().await;
        if message.kind == MessageKind::HeartbeatResp {
            assert_eq!(&message.context[..], b"a round");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_sends_us_its_state() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let our_url = format!("http://{}", listener.local_addr().unwrap());
    let (real_url, client_url) = (free_url().await, free_url().await);
    let alone = format!("real={real_url}");
    // It writes, alone, takes snapshots, and is told of us. Restarted, it no longer holds the entries before its snapshot.
    let etcd = RealEtcd::start(&real_url, &client_url, &alone);
    for _ in 0..30 {
        etcd.post("/v3/kv/put", "{\"key\":\"a2V5LW9mLWV0Y2Q=\",\"value\":\"dmFsdWU=\"}").await;
    }
    let added = etcd.post("/v3/cluster/member/add", &format!("{{\"peerURLs\":[\"{our_url}\"]}}")).await;
    let number = |after: &str| -> u64 {
        let (_, rest) = added.split_once(after).unwrap_or_else(|| panic!("no {after} in {added}"));
        rest.split('"').next().and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no number in {rest}"))
    };
    let (cluster, id, real) = (number("\"cluster_id\":\""), number("\"member\":{\"ID\":\""), member_id(&real_url));
    assert_eq!(cluster, cluster_id(vec![real]));
    etcd.kill();
    let _etcd = RealEtcd::start(&real_url, &client_url, &alone);

    let mut ours = ours(listener, id, real, cluster, &real_url, Vec::new());
    let snap = loop {
        let message = ours.follow().await;
        if message.kind == MessageKind::Snap {
            break message;
        }
    };
    let meta = snap.snapshot.expect("a snapshot message has one").meta;
    assert!(meta.index > 10 && meta.conf_state.voters.contains(&id), "{meta:?}");
    let (index, body) = ours.stored.take().expect("the state came before the message");
    assert_eq!(index, meta.index);
    // bbolt's magic number, behind the header of its first page; then whole pages, and the key among them.
    assert_eq!(body[16..20], 0xED0C_DAED_u32.to_le_bytes());
    assert_eq!(body.len() % 4096, 0);
    assert!(body.windows(11).any(|part| part == b"key-of-etcd"));

    // Having it, we are sent what follows.
    let mut answer = Message::new(MessageKind::AppResp, 0);
    answer.index = index;
    ours.send(answer, snap.term);
    ours.log = (1..=index).map(|index| Entry { index, ..Entry::default() }).collect();
    loop {
        let message = ours.follow().await;
        if message.kind == MessageKind::App && message.index == index {
            break;
        }
    }
    assert!(ours.log.len() as u64 >= index);
}
