//! The member behind the peer port, as far as the port asks it: it says what it was told to say and remembers what it hears.

use bytes::Bytes;
use etcd::peer::{
    BoxFuture, HashKv, Identity, LeaseError, Local, Peers, RemainingLease, SnapshotBody, SnapshotSink, Timeouts,
};
use proto::etcdserverpb::Member;
use raft::{Message, SnapshotMeta};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// The cluster of the corpus: three members at 127.0.0.1:23011, :23012 and :23013, with the token `doors`. Ids follow from that.
pub const CLUSTER: u64 = 0x832d_3fb3_7aa0_e858;
/// This member, and the others.
pub const ME: u64 = 0x434f_a4dc_9dce_2411;
pub const OTHERS: [u64; 2] = [0x58a2_f445_00be_70f3, 0x7793_2ddc_7287_c952];
/// Somebody who was removed.
const REMOVED: u64 = 0xdead;
/// Longer than an input: whoever dials again has a reason to.
const NEVER: Duration = Duration::from_secs(3_600);

/// What is heard.
#[derive(Default)]
pub struct Heard {
    /// For raft, in order.
    pub messages: Vec<Message>,
    /// Snapshots that were made durable: what came beside, and the image.
    pub snapshots: Vec<(Bytes, Vec<u8>)>,
}

pub struct Desk {
    heard: Mutex<Heard>,
    /// Snapshots that are being received.
    open: watch::Sender<usize>,
    /// How sending a snapshot ended.
    pub sent: watch::Sender<Option<bool>>,
}

impl Desk {
    pub fn new() -> Arc<Desk> {
        Arc::new(Desk { heard: Mutex::default(), open: watch::Sender::new(0), sent: watch::Sender::new(None) })
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was heard, once nothing is being received any more.
    pub async fn heard(&self) -> Heard {
        let mut open = self.open.subscribe();
        super::soon("receiving", open.wait_for(|open| *open == 0)).await.expect("we hold the other end");
        std::mem::take(&mut *self.lock())
    }
}

/// Links of this desk to others, all at `url`, if there is one; dialled again after so long.
pub fn peers(desk: &Arc<Desk>, url: Option<&str>, again: Option<Duration>) -> Peers {
    let identity =
        Identity { member_id: ME, cluster_id: CLUSTER, peer_urls: vec!["http://127.0.0.1:23011".to_owned()] };
    let every = again.unwrap_or(NEVER);
    let timeouts = Timeouts { redial: every, probe: every, ..Timeouts::new(Duration::from_secs(1)) };
    let peers = Peers::new(identity, timeouts, Arc::new(Clerk(desk.clone())), Handle::current());
    let urls: Vec<String> = url.into_iter().map(str::to_owned).collect();
    // Of several who are asked at once one would hear what another was answered.
    let others = if url.is_some() { &OTHERS[..1] } else { &OTHERS };
    peers.set_remotes(others.iter().map(|&id| (id, urls.clone())).collect());
    peers
}

/// Counts as open until it is dropped.
struct Sink {
    desk: Arc<Desk>,
    beside: Bytes,
    bytes: Vec<u8>,
}

impl SnapshotSink for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let snapshot = (std::mem::take(&mut self.beside), std::mem::take(&mut self.bytes));
        self.desk.lock().snapshots.push(snapshot);
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.desk.open.send_modify(|open| *open -= 1);
    }
}

/// Who asks at the desk: a sink has one of its own.
struct Clerk(Arc<Desk>);

impl Local for Clerk {
    fn deliver(&self, message: Message) {
        assert!(!message.kind.is_local() && message.to == ME, "{message:?} is none of raft's business");
        self.0.lock().messages.push(message);
    }

    fn unreachable(&self, _: u64) {}

    fn snapshot_sent(&self, _: u64, ok: bool) {
        self.0.sent.send_replace(Some(ok));
    }

    fn removed(&self) {}

    fn has_run(&self, _: &str, _: store::roster::Member) {}

    fn snapshot(&self) -> io::Result<SnapshotBody> {
        Ok(SnapshotBody {
            meta: SnapshotMeta { index: 42, term: 3, ..SnapshotMeta::default() },
            data: Bytes::from_static(b"beside"),
            size_bytes: 6,
            write: Box::new(|sink| sink(b"a body")),
        })
    }

    fn receive_snapshot(&self, _: u64, beside: Bytes) -> io::Result<Box<dyn SnapshotSink>> {
        self.0.open.send_modify(|open| *open += 1);
        Ok(Box::new(Sink { desk: self.0.clone(), beside, bytes: Vec::new() }))
    }

    fn discard_snapshot(&self, _: u64) {}

    fn members(&self) -> Vec<Member> {
        let member = |id| Member { id, name: "m".to_owned(), ..Member::default() };
        [ME, OTHERS[0], OTHERS[1]].map(member).to_vec()
    }

    fn is_removed(&self, id: u64) -> bool {
        id == REMOVED
    }

    fn cluster_version(&self) -> Option<String> {
        Some("3.5.0".to_owned())
    }

    fn hash_kv(&self, revision: i64) -> Result<HashKv, String> {
        match revision {
            0..=5 => Ok(HashKv { hash: 77, compact_revision: 0, hash_revision: 5, revision: 5 }),
            _ => Err("mvcc: required revision is a future revision".to_owned()),
        }
    }

    fn chain(&self) -> Option<Vec<u8>> {
        Some(b"a chain".to_vec())
    }

    fn keep_alive(&self, id: i64) -> BoxFuture<Result<i64, LeaseError>> {
        let answers = [Ok(60), Err(LeaseError::NotFound), Err(LeaseError::ApplyTimeout), Err(LeaseError::NotPrimary)];
        Box::pin(std::future::ready(answers[(id & 3) as usize].clone()))
    }

    fn time_to_live(&self, id: i64, keys: bool) -> BoxFuture<Result<RemainingLease, LeaseError>> {
        let keys = if keys { vec![Bytes::from_static(b"k")] } else { Vec::new() };
        let found = RemainingLease { ttl: 59, granted_ttl: 60, keys };
        Box::pin(std::future::ready(if id & 1 == 0 { Ok(found) } else { Err(LeaseError::NotFound) }))
    }
}
