//! The network between members: etcd's rafthttp, both directions.
//!
//! Every member dials every other one twice, for two endless answers: the `msgapp` stream brings it appends, the `message`
//! stream everything else. So a member *sends* on the streams that others have dialled. What finds no stream goes out as a
//! POST (the pipeline), a snapshot as a POST of its own. Messages are raft's, bytes are etcd's: an etcd 3.5 at the other end
//! notices nothing.
//!
//! What this part must never do: make Core wait (queues are bounded, what does not fit is dropped and reported as
//! unreachable), let appends hold up heartbeats (they have streams of their own), believe a length before the bytes are
//! here, or look inside an entry.
//!
//! Files: [`wire`] and [`frame`] turn messages into bytes and back, [`outbox`] is the queue in front of a stream, [`Line`]
//! the connection behind it, [`remote`] one other member, `acquaint`, `reader`, `pipeline`, `snapshot`, `probe` and `lease` what we
//! ask of it, `server` what it asks of us, and `door`
//! who may ask.

mod acquaint;
mod chain;
mod chunks;
mod client;
mod door;
pub mod frame;
mod io;
mod lease;
mod local;
mod outbox;
mod pipeline;
mod probe;
mod reader;
mod remote;
mod server;
mod snapshot;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::HeaderMap;
use raft::{Message, MessageKind};
use tokio::io::{AsyncRead, AsyncWrite};

pub use client::RequestError;
pub use lease::ForwardError;
pub use local::{BoxFuture, HashKv, LeaseError, Local, RemainingLease, SnapshotBody, SnapshotSink, SnapshotWriter};
pub use outbox::{STREAM_QUEUE_BYTES_MAX, STREAM_QUEUE_MAX};
pub use remote::{Counters, PIPELINE_QUEUE_MAX};

use crate::line::{self, Line};
use crate::logging::throttle::Throttle;
use frame::SharedAppends;
use remote::{Remote, Sent};

/// Strangers with whom we speak because they spoke to us first.
const STRANGERS_MAX: usize = 64;

/// Who we are in the cluster.
#[derive(Debug, Clone)]
pub struct Identity {
    /// This member.
    pub member_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// Where others reach it, as `http://host:port`.
    pub peer_urls: Vec<String>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until a connection stands.
    pub dial: Duration,
    /// At least this long from one attempt to dial a stream to the next.
    pub redial: Duration,
    /// A stream that brings nothing for so long is dead.
    pub read: Duration,
    /// A peer that reads nothing for so long is dead.
    pub write: Duration,
    /// From one probe to the next.
    pub probe: Duration,
    /// A snapshot may stand still for so long, and its answer may take so long: both ends wait for disks.
    pub snapshot: Duration,
}

impl Timeouts {
    /// etcd's.
    pub fn new(election_timeout: Duration) -> Timeouts {
        Timeouts {
            dial: Duration::from_secs(1) + election_timeout,
            redial: Duration::from_millis(100),
            read: Duration::from_secs(5),
            write: Duration::from_secs(5),
            probe: Duration::from_secs(4),
            snapshot: Duration::from_secs(120),
        }
    }

    /// How often an idle stream shows that it lives.
    fn heartbeat(&self) -> Duration {
        self.read / 3
    }
}

impl From<Duration> for Timeouts {
    fn from(election_timeout: Duration) -> Timeouts {
        Timeouts::new(election_timeout)
    }
}

/// Where the links live: two, since who takes in appends may wait for the disk, and nobody else may.
#[derive(Debug, Clone)]
pub struct Runtimes {
    /// Everything but the streams that bring appends.
    pub links: tokio::runtime::Handle,
    /// Those.
    pub appends: tokio::runtime::Handle,
}

impl From<tokio::runtime::Handle> for Runtimes {
    /// One for both.
    fn from(links: tokio::runtime::Handle) -> Runtimes {
        Runtimes { appends: links.clone(), links }
    }
}

/// All links of this member. Cloning gives another handle to the same links.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    timeouts: Timeouts,
    local: Arc<dyn Local>,
    runtimes: Runtimes,
    shared: Arc<SharedAppends>,
    remotes: ArcSwap<Remotes>,
    /// Held while `remotes` is replaced.
    changing: std::sync::Mutex<()>,
    /// Who is not heard yet.
    wary: acquaint::Wary,
    /// What has been said lately of those who were turned away.
    refusals: std::sync::Mutex<Throttle>,
    /// Whose snapshots are being received.
    receiving: std::sync::Mutex<BTreeSet<snapshot::Sender>>,
}

#[derive(Clone, Default)]
struct Remotes {
    /// Members of the roster.
    members: BTreeMap<u64, Arc<Remote>>,
    /// Senders that are in no roster we know: we lag behind, or they are new. Only the pipeline goes to them.
    /// The first is the one that was met first.
    strangers: Vec<Arc<Remote>>,
}

impl Remotes {
    fn get(&self, id: u64) -> Option<&Arc<Remote>> {
        self.members.get(&id).or_else(|| self.strangers.iter().find(|stranger| stranger.id == id))
    }
}

impl Peers {
    /// No links yet: they come with [`Peers::set_remotes`]. An election timeout will do for `timeouts`.
    pub fn new(
        identity: Identity,
        timeouts: impl Into<Timeouts>,
        local: Arc<dyn Local>,
        runtimes: impl Into<Runtimes>,
    ) -> Peers {
        let inner = Inner {
            identity,
            timeouts: timeouts.into(),
            local,
            runtimes: runtimes.into(),
            shared: Arc::default(),
            remotes: ArcSwap::default(),
            changing: std::sync::Mutex::default(),
            wary: acquaint::Wary::default(),
            refusals: std::sync::Mutex::new(Throttle::new(door::PAUSE)),
            receiving: std::sync::Mutex::default(),
        };
        Peers { inner: Arc::new(inner) }
    }

    /// This member's first start is not over: it hears nobody who has not been asked whether this one has run. Comes before the
    /// first link.
    pub fn be_wary(&self) {
        self.inner.wary.begin();
    }

    /// Whether there are members that are not heard.
    pub fn is_wary(&self) -> bool {
        self.inner.wary.is_on()
    }

    /// Everybody is heard from now on: somebody who was asked leads.
    pub fn be_trusting(&self) {
        self.inner.wary.end();
    }

    /// Why a member is not heard although it may answer.
    pub fn why_deaf_to(&self, id: u64) -> Option<String> {
        self.inner.wary.why_deaf_to(id)
    }

    /// The roster changed: links to new members begin, links to members no longer listed end, URLs are updated.
    pub fn set_remotes(&self, roster: Vec<(u64, Vec<String>)>) {
        let _changing = remote::lock(&self.inner.changing);
        let before = self.inner.remotes.load_full();
        let mut after = Remotes { members: BTreeMap::new(), strangers: before.strangers.clone() };
        for (id, urls) in roster {
            if id == self.inner.identity.member_id {
                continue;
            }
            after.strangers.extract_if(.., |stranger| stranger.id == id).for_each(|stranger| stranger.stop());
            let remote = match before.members.get(&id) {
                Some(known) => {
                    known.set_urls(urls);
                    known.clone()
                }
                None => {
                    tracing::info!("remote-peer-id" = %hex(id), "remote-peer-urls" = ?urls, "started remote peer");
                    self.begin(id, urls, true)
                }
            };
            after.members.insert(id, remote);
        }
        for (id, gone) in &before.members {
            if !after.members.contains_key(id) {
                gone.stop();
                tracing::info!("remote-peer-id" = %hex(*id), "stopped remote peer");
            }
        }
        self.inner.remotes.store(Arc::new(after));
    }

    /// Sends what Core has decided. Never waits. What cannot go out is dropped and reported as unreachable.
    pub fn send(&self, messages: impl ExactSizeIterator<Item = Message>) {
        if messages.len() == 0 {
            return;
        }
        let remotes = self.inner.remotes.load();
        let ((), woken) = line::woken_by(|| self.queue(&remotes, messages));
        woken.iter().for_each(Line::push);
    }

    fn queue(&self, remotes: &Remotes, messages: impl Iterator<Item = Message>) {
        for message in messages {
            let to = message.to;
            let Some(remote) = remotes.get(to) else {
                tracing::debug!(to = %hex(to), kind = ?message.kind, "ignored message send request; unknown remote peer target");
                if message.kind == MessageKind::Snap {
                    self.inner.local.snapshot_sent(to, false);
                }
                continue;
            };
            if message.kind == MessageKind::Snap {
                snapshot::start(&self.inner, remote.clone(), message);
            } else if remote.send(message) == Sent::Lost {
                self.inner.local.unreachable(to);
            }
        }
    }

    /// A snapshot that has come was not taken; its files go. Never waits.
    pub fn discard_snapshot(&self, index: u64) {
        self.inner.discard_snapshot(index);
    }

    /// The other members that there are links to.
    pub fn members(&self) -> Vec<u64> {
        self.inner.remotes.load().members.keys().copied().collect()
    }

    /// Since when a member answers. None: it does not, or is unknown.
    pub fn active_since(&self, id: u64) -> Option<Instant> {
        self.inner.remotes.load().members.get(&id)?.active_since()
    }

    /// Why a member does not answer, as far as that is known.
    pub fn trouble(&self, id: u64) -> Option<String> {
        self.inner.remotes.load().members.get(&id)?.trouble()
    }

    /// What was counted, by member. For metrics.
    pub fn for_each_counters(&self, mut see: impl FnMut(u64, &Counters)) {
        for (id, remote) in &self.inner.remotes.load().members {
            see(*id, &remote.counters);
        }
    }

    /// Answers members until the future is dropped, which closes every connection.
    pub async fn serve(self, listener: tokio::net::TcpListener) {
        server::serve(self, listener).await;
    }

    /// Answers what comes on one connection until it ends; `address` is who the operator is told of.
    pub async fn talk<S>(&self, stream: S, address: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = io::Timed::over(stream, self.inner.timeouts.write);
        server::serve_connection(self.clone(), stream, address).await;
    }

    /// The hash chains of the other members: of those that answer in time, and know what that is.
    pub async fn chains(&self, patience: Duration) -> BTreeMap<u64, store::chain::Report> {
        chain::ask_all(&self.inner, patience).await
    }

    /// Renews a lease at the leader. The TTL in seconds; 0: there is no such lease.
    pub async fn lease_keep_alive(&self, leader: u64, id: i64) -> Result<i64, ForwardError> {
        lease::keep_alive(&self.inner, leader, id).await
    }

    /// Asks the leader how long a lease has left. TTL -1: there is no such lease.
    pub async fn lease_time_to_live(&self, leader: u64, id: i64, keys: bool) -> Result<RemainingLease, ForwardError> {
        lease::time_to_live(&self.inner, leader, id, keys).await
    }

    /// Ends all links; without it the tasks that read streams go on. What waits in queues is lost.
    pub fn stop(&self) {
        let _changing = remote::lock(&self.inner.changing);
        let before = self.inner.remotes.swap(Arc::default());
        before.members.values().chain(&before.strangers).for_each(|remote| remote.stop());
    }

    /// Starts the tasks of a link.
    fn begin(&self, id: u64, urls: Vec<String>, is_member: bool) -> Arc<Remote> {
        let inner = &self.inner;
        let (remote, inbox) = Remote::new(id, urls);
        let remote = Arc::new(remote);
        pipeline::start(inner, &remote, inbox);
        acquaint::start(inner, &remote);
        if is_member {
            reader::start(inner, &remote);
            probe::start(inner, &remote);
        }
        remote
    }

    /// Somebody not in our roster wrote: remember where it can be answered.
    fn meet(&self, id: u64, urls: Vec<String>) {
        let inner = &self.inner;
        let remotes = inner.remotes.load();
        if id == inner.identity.member_id || urls.is_empty() || remotes.get(id).is_some() || inner.local.is_removed(id)
        {
            return;
        }
        let _changing = remote::lock(&inner.changing);
        let mut after = Remotes::clone(&inner.remotes.load());
        if after.get(id).is_some() {
            return;
        }
        // Whoever is let go is met again with the next word from there.
        if after.strangers.len() >= STRANGERS_MAX {
            after.strangers.remove(0).stop();
        }
        tracing::info!("remote-peer-id" = %hex(id), "remote-peer-urls" = ?urls, "added new remote peer");
        after.strangers.push(self.begin(id, urls, false));
        inner.remotes.store(Arc::new(after));
    }
}

impl Inner {
    fn member(&self, id: u64) -> Option<Arc<Remote>> {
        self.remotes.load().members.get(&id).cloned()
    }

    /// Runs for as long as the remote is ours.
    fn spawn(&self, remote: &Remote, task: impl Future<Output = ()> + Send + 'static) {
        remote.adopt(self.runtimes.links.spawn(task).abort_handle());
    }

    /// The same, where the disk may be waited for.
    fn spawn_appends(&self, remote: &Remote, task: impl Future<Output = ()> + Send + 'static) {
        remote.adopt(self.runtimes.appends.spawn(task).abort_handle());
    }

    /// Who we are, on every request between members.
    fn introduce(&self, headers: &mut HeaderMap, to: Option<u64>) {
        client::set(headers, "x-server-from", &hex(self.identity.member_id));
        client::set(headers, "x-server-version", crate::version::SERVER);
        client::set(headers, "x-min-cluster-version", crate::version::MIN_CLUSTER);
        client::set(headers, "x-etcd-cluster-id", &hex(self.identity.cluster_id));
        client::set(headers, "x-peerurls", &self.identity.peer_urls.join(","));
        if let Some(to) = to {
            client::set(headers, "x-raft-to", &hex(to));
        }
    }

    /// Hands a received message to raft, unless it is none of our business.
    fn deliver(&self, message: Message) -> Result<(), Rejected> {
        if message.kind.is_local() {
            return Err(Rejected::Local);
        }
        // A snapshot counts only when its file has been received: raft would
        // stand on a position that Store can never reach.
        if message.kind == MessageKind::Snap {
            return Err(Rejected::Bare);
        }
        self.deliver_checked(message)
    }

    /// Delivers a snapshot's message whose file is there, durable.
    fn deliver_snapshot(&self, message: Message) -> Result<(), Rejected> {
        assert!(message.kind == MessageKind::Snap, "only a snapshot comes with a file");
        self.deliver_checked(message)
    }

    fn deliver_checked(&self, mut message: Message) -> Result<(), Rejected> {
        self.check(&message)?;
        if !self.wary.hears(message.from) {
            // As if the network had lost it.
            return Ok(());
        }
        // What another member appends is decided; what it only proposes can still be kept out of the log. Others of the
        // same message are of other clients.
        if message.kind == MessageKind::Prop {
            let mut refused = None;
            let mut is_understood =
                |entry: &_| member::core::understood(entry).map_err(|why| refused = Some(why)).is_ok();
            message.entries.retain(&mut is_understood);
            match refused.map(Rejected::Proposal) {
                Some(refused) if message.entries.is_empty() => return Err(refused),
                Some(refused) => tracing::warn!("remote-peer-id" = %hex(message.from), "{refused}"),
                None => {}
            }
        }
        self.local.deliver(message);
        Ok(())
    }

    /// Whether a message is from and to somebody who may be heard.
    fn check(&self, message: &Message) -> Result<(), Rejected> {
        if self.local.is_removed(message.from) {
            return Err(Rejected::Removed);
        }
        if message.to != self.identity.member_id {
            return Err(Rejected::Mismatch(message.to));
        }
        Ok(())
    }

    /// As [`Peers::discard_snapshot`].
    fn discard_snapshot(&self, index: u64) {
        let local = self.local.clone();
        self.runtimes.links.spawn_blocking(move || local.discard_snapshot(index));
    }

    /// Another member says that we are no longer one.
    fn told_removed(&self, by: u64) {
        tracing::error!("remote-peer-id" = %hex(by), "the member has been permanently removed from the cluster");
        self.local.removed();
    }
}

/// Why a received message does not reach raft.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Rejected {
    #[error("cannot process a snapshot without its body")]
    Bare,
    #[error("cannot process message from removed member")]
    Removed,
    /// For the member with this id.
    #[error("cannot process message to mismatch member")]
    Mismatch(u64),
    #[error("error processing raft message")]
    Local,
    #[error("refused a proposal that this version cannot carry out, so that it does not get into the log: {0}")]
    Proposal(String),
}

/// An id as members write it to each other: lower case, no leading zeros.
pub(crate) fn hex(id: u64) -> String {
    format!("{id:x}")
}

impl Drop for Inner {
    fn drop(&mut self) {
        let remotes = self.remotes.load();
        remotes.members.values().chain(&remotes.strangers).for_each(|remote| remote.stop());
    }
}

#[cfg(test)]
mod tests;
