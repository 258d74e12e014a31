//! The handle: all that the edge may ask of the member behind it.
//!
//! It makes ids, registers waiters, keeps the request timeout and gives errors
//! etcd's words. It decides nothing about keys: that is Store's.

mod error;
mod lease;

pub use error::{Error, Unavailable};

use crate::config::Config;
use crate::peer::Peers;
use crate::rpc::Budget;
use crate::run::fail::Fatal;
use crate::run::hub_door::HubDoor;
use crate::run::hub_loop::WatchStream;
use crate::run::inbox::Inbox;
use crate::run::keeper_loop::KeeperInput;
use crate::run::waiters::AllWaiters;
use arc_swap::ArcSwap;
use disk::OsDisk;
use member::core::{Input, Proposal, Status, TurnedBack};
use member::corruption;
use member::ids::{IdMaker, MemberId, RequestId};
use prost::Message;
use proto::etcdserverpb::{AlarmRequest, InternalRaftRequest, RequestHeader, RequestOp, TxnRequest, request_op};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{Alarm, AlarmKind, Header, Refusal, Reply};
use tokio::sync::watch;

/// How long what a full disk holds up waits: longer than a healthy cluster takes for it, shorter than clients and probes wait.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

/// A moment of this member's store.
pub type View = store::View<OsDisk>;

/// What the edge needs to know and never changes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This member.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: u64,
    /// `--name`
    pub name: String,
    /// `--max-request-bytes`
    pub max_request_bytes: usize,
    /// `--max-txn-ops`
    pub max_txn_ops: usize,
    /// `--max-concurrent-streams`
    pub max_concurrent_streams: u32,
    /// Bytes at which writes are refused; none: no bound.
    pub quota_bytes: Option<u64>,
    /// The election timeout.
    pub election_timeout: Duration,
    /// The heartbeat interval.
    pub heartbeat_interval: Duration,
    /// How long a proposal or a read round may take (etcd: 5 s + 2 elections).
    pub request_timeout: Duration,
}

impl Settings {
    /// From the flags and from whose data this is.
    pub fn new(config: &Config, member_id: MemberId, cluster_id: u64) -> Settings {
        Settings {
            member_id,
            cluster_id,
            name: config.name.clone(),
            max_request_bytes: config.max_request_bytes,
            max_txn_ops: config.max_txn_ops,
            max_concurrent_streams: config.max_concurrent_streams,
            quota_bytes: config.quota_bytes,
            election_timeout: config.election_timeout,
            heartbeat_interval: config.heartbeat_interval,
            request_timeout: Duration::from_secs(5) + 2 * config.election_timeout,
        }
    }
}

/// The member, as the edge sees it. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Parts>);

/// What a handle is made of; the run loops hold the other ends.
pub struct Parts {
    pub settings: Settings,
    pub inbox: Arc<Inbox>,
    pub waiters: Arc<AllWaiters>,
    pub view: Arc<ArcSwap<View>>,
    pub numbers: Arc<ArcSwap<Status>>,
    pub status: watch::Receiver<Arc<Status>>,
    pub roster_changes: watch::Receiver<u64>,
    pub hub: HubDoor,
    pub keeper: Sender<KeeperInput>,
    pub peers: Peers,
    pub ids: Arc<Mutex<IdMaker>>,
    pub stream_ids: Arc<AtomicU64>,
    pub fatal: Fatal,
    pub stopping: Arc<AtomicBool>,
    /// When a leader was last elected, as this member saw it.
    pub leader_elected: Arc<Mutex<Option<Instant>>>,
    /// Held by who raises the alarm that space is used up.
    pub raising_alarm: tokio::sync::Mutex<()>,
    /// What long answers may hold.
    pub answers: Budget,
}

impl Handle {
    /// A handle over running loops.
    pub fn new(parts: Parts) -> Handle {
        Handle(Arc::new(parts))
    }

    /// What never changes.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The present moment of this member.
    pub fn view(&self) -> View {
        View::clone(&self.0.view.load())
    }

    /// A response header at `revision`.
    pub fn header(&self, revision: i64) -> Header {
        Header {
            cluster_id: self.0.settings.cluster_id,
            member_id: self.0.settings.member_id,
            revision,
            raft_term: self.status().term,
        }
    }

    /// Whether an alarm says that what this member holds is not what the others hold, or that nobody can say who is right.
    pub fn is_corrupt(&self) -> bool {
        let view = self.0.view.load();
        let me = self.0.settings.member_id;
        corruption::concerns(view.alarms(), me)
    }

    /// Waits until an alarm says so.
    pub async fn found_corrupt(&self) {
        let mut changes = self.roster_changes();
        while !self.is_corrupt() {
            if changes.changed().await.is_err() {
                // The member stops, and says so elsewhere.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the disk is full: what needs it waits.
    pub fn is_full(&self) -> bool {
        self.0.fatal.is_full()
    }

    /// Core's numbers.
    pub fn status(&self) -> Arc<Status> {
        self.0.numbers.load_full()
    }

    /// Core's numbers, told whenever leader, role or term change.
    pub fn status_changes(&self) -> watch::Receiver<Arc<Status>> {
        self.0.status.clone()
    }

    /// Whether this member leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.status().leader == self.0.settings.member_id
    }

    /// Whether somebody leads, as far as this member knows.
    pub fn has_leader(&self) -> bool {
        self.status().leader != 0
    }

    /// Counts changes of the roster and of the cluster's version.
    pub fn roster_changes(&self) -> watch::Receiver<u64> {
        self.0.roster_changes.clone()
    }

    /// What is left for long answers.
    pub fn answers(&self) -> &Budget {
        &self.0.answers
    }

    /// The links to other members.
    pub fn peers(&self) -> &Peers {
        &self.0.peers
    }

    /// Whether the member is stopping.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// An id that this member has never given before.
    pub fn next_id(&self) -> RequestId {
        self.0.ids.lock().expect("making an id does not panic").next_id()
    }

    /// A positive id for a lease whose client named none.
    pub fn next_lease_id(&self) -> i64 {
        (self.next_id() & i64::MAX as u64) as i64
    }

    /// Puts a command into the log and waits for its outcome here.
    ///
    /// The command is encoded before the future is made: a command has room
    /// for every kind of request, and a future that held one would be copied
    /// about with it.
    ///
    /// # Errors
    /// A refusal that is part of the history, or this member being unable to
    /// answer just now; then the command may or may not happen later.
    pub fn propose(&self, request: InternalRaftRequest) -> impl Future<Output = Result<Reply, Error>> + Send + '_ {
        let cost = cost(&request);
        let prepared = self.prepare(request);
        async move {
            let prepared = prepared?;
            if cost > 0 {
                self.check_room(cost).await?;
            }
            self.wait_for(prepared).await
        }
    }

    /// Whether a client's request would wait for a full disk: what needs no room of its own, such as a deletion, has to be
    /// written all the same. What needs room is refused with etcd's words for that.
    pub fn would_wait(&self, request: &InternalRaftRequest) -> bool {
        self.is_full() && cost(request) == 0
    }

    /// Refuses what would wait in vain. Not at once: there may be room in a moment, and etcd's client asks again without a
    /// pause. What members and the services ask for themselves does not come by here, and waits.
    ///
    /// # Errors
    /// When the disk stays full.
    pub async fn wait_for_room(&self) -> Result<(), Error> {
        let room = tokio::time::timeout(FULL_PATIENCE, self.0.fatal.until_room());
        room.await.map_err(|_| Unavailable::DiskFull.into())
    }

    fn prepare(&self, mut request: InternalRaftRequest) -> Result<Proposal, Error> {
        let id = self.next_id();
        request.header = Some(RequestHeader { id, ..RequestHeader::default() });
        let data = request.encode_to_vec();
        if data.len() > self.0.settings.max_request_bytes {
            return Err(Refusal::RequestTooLarge.into());
        }
        Ok(Proposal { id, data: data.into(), only_in: None })
    }

    async fn wait_for(&self, proposal: Proposal) -> Result<Reply, Error> {
        if self.is_stopping() {
            return Err(Unavailable::Stopped.into());
        }
        let started = Instant::now();
        let ticket = self.0.waiters.proposals.register(proposal.id);
        self.0.inbox.propose(proposal).map_err(|_| Unavailable::TooManyRequests)?;
        let answer = tokio::time::timeout(self.0.settings.request_timeout, ticket.answer()).await;
        match answer {
            Ok(Some(Ok(outcome))) => Ok(outcome?),
            Ok(Some(Err(TurnedBack::TooMany))) => Err(Unavailable::TooManyRequests.into()),
            Ok(Some(Err(_))) | Err(_) => Err(self.timed_out(started).into()),
            Ok(None) => Err(Unavailable::Stopped.into()),
        }
    }

    /// Waits until the View is at least as new as the moment of this call,
    /// wherever in the cluster that was.
    ///
    /// # Errors
    /// When no majority confirms it in time, or the leader changes meanwhile.
    pub async fn linearizable(&self) -> Result<(), Error> {
        let id = self.next_id();
        let started = Instant::now();
        let ticket = self.0.waiters.reads.register(id);
        self.0.inbox.read(id).map_err(|_| Unavailable::TooManyRequests)?;
        let mut answer = std::pin::pin!(ticket.answer());
        let whole = self.0.settings.request_timeout;
        // What a full disk holds up does not come in time: that is said soon, and the client can ask another member.
        let patience = if self.is_full() { FULL_PATIENCE.min(whole) } else { whole };
        let mut answered = tokio::time::timeout(patience, &mut answer).await;
        if answered.is_err() && !self.is_held_up() {
            answered = tokio::time::timeout(whole.saturating_sub(started.elapsed()), answer).await;
        }
        match answered {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(TurnedBack::LeaderChanged))) => Err(Unavailable::LeaderChanged.into()),
            Ok(Some(Err(TurnedBack::NotApplied))) | Err(_) if self.is_held_up() => Err(Unavailable::DiskFull.into()),
            Ok(Some(Err(TurnedBack::NotApplied))) => Err(Unavailable::TimeoutWaitApplied.into()),
            Ok(Some(Err(_))) | Err(_) => Err(self.timed_out(started).into()),
            Ok(None) => Err(Unavailable::Stopped.into()),
        }
    }

    /// Somebody leads, and the disk is full: then that is what a read waits for.
    fn is_held_up(&self) -> bool {
        self.is_full() && self.has_leader()
    }

    /// Hands leadership to `to` and waits until it has it.
    ///
    /// # Errors
    /// When this member does not lead, `to` cannot, or it takes too long.
    pub async fn move_leader(&self, to: MemberId) -> Result<(), Error> {
        let status = self.status();
        if status.leader != self.0.settings.member_id {
            return Err(Unavailable::NotLeader.into());
        }
        if !self.view().conf_state().voters.contains(&to) {
            return Err(Unavailable::BadLeaderTransferee.into());
        }
        if to == status.leader {
            return Ok(());
        }
        self.0.inbox.request(Input::Transfer(to)).map_err(|_| Unavailable::TooManyRequests)?;
        let mut changes = self.status_changes();
        let moved = async { changes.wait_for(|status| status.leader == to).await.is_ok() };
        match tokio::time::timeout(self.0.settings.request_timeout, moved).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Unavailable::Stopped.into()),
            Err(_) => Err(Unavailable::TransferTimeout.into()),
        }
    }

    /// Runs `work`, and what it asks of Core together afterwards.
    pub fn gather<R>(&self, work: impl FnOnce() -> R) -> R {
        self.0.inbox.gather(work)
    }

    /// A new watch stream.
    pub fn watch(&self) -> WatchStream {
        WatchStream::open(self.0.hub.clone(), &self.0.stream_ids)
    }

    /// Resolves when there has been no leader for three election timeouts.
    pub async fn leader_lost(&self) {
        let mut changes = self.status_changes();
        let patience = 3 * self.0.settings.election_timeout;
        loop {
            if changes.wait_for(|status| status.leader == 0).await.is_err() {
                return;
            }
            let back = changes.wait_for(|status| status.leader != 0);
            if tokio::time::timeout(patience, back).await.is_err() {
                return;
            }
        }
    }

    /// Writes that make the database grow are refused when it is over its
    /// quota or the disk has no room (02 §9).
    async fn check_room(&self, cost: u64) -> Result<(), Error> {
        if self.0.fatal.is_full() {
            return Err(Refusal::NoSpace.into());
        }
        let Some(quota) = self.0.settings.quota_bytes else { return Ok(()) };
        let view = self.0.view.load_full();
        if view.size_in_use_bytes() + cost < quota {
            return Ok(());
        }
        // Disarmed while there is still no room, it is raised again. One who raises it is enough.
        let alarm = Alarm { member: self.0.settings.member_id, kind: AlarmKind::NO_SPACE };
        let is_raised = view.alarms().iter().any(|raised| raised == alarm);
        if !is_raised && let Ok(_raising) = self.0.raising_alarm.try_lock() {
            let alarm = AlarmRequest { action: 1, member_id: self.0.settings.member_id, alarm: 1 };
            let raise = InternalRaftRequest { alarm: Some(alarm), ..InternalRaftRequest::default() };
            // The client is refused whether or not the alarm gets through.
            let _ = self.wait_for(self.prepare(raise)?).await;
        }
        Err(Refusal::NoSpace.into())
    }

    /// Which of etcd's three words for a timeout fits.
    fn timed_out(&self, started: Instant) -> Unavailable {
        let elected = *self.0.leader_elected.lock().expect("noting a time does not panic");
        let window = 2 * self.0.settings.election_timeout;
        match elected {
            Some(elected) if started < elected && started + window > elected => Unavailable::TimeoutLeaderFailed,
            _ if !self.was_connected(started) => Unavailable::TimeoutConnectionLost,
            _ => Unavailable::Timeout,
        }
    }

    /// Whether this member has had since `started` the links that the answer
    /// needed: to the leader, or as leader to a quorum. Without a leader there
    /// is no such link.
    fn was_connected(&self, started: Instant) -> bool {
        let me = self.0.settings.member_id;
        let linked = |id| self.0.peers.active_since(id).is_some_and(|since| since < started);
        match self.status().leader {
            0 => true,
            leader if leader != me => linked(leader),
            _ => {
                let view = self.view();
                let voters = &view.conf_state().voters;
                voters.iter().filter(|&&id| id == me || linked(id)).count() > voters.len() / 2
            }
        }
    }
}

/// What a command adds to the database at most, in bytes, as etcd counts it.
fn cost(request: &InternalRaftRequest) -> u64 {
    const LEASE_BYTES: u64 = 64;
    if let Some(put) = &request.put {
        return put_cost(put.key.len(), put.value.len());
    }
    if let Some(txn) = &request.txn {
        return txn_cost(txn);
    }
    if request.lease_grant.is_some() { LEASE_BYTES } else { 0 }
}

fn put_cost(key: usize, value: usize) -> u64 {
    const KEY_BYTES: u64 = 256;
    KEY_BYTES + key as u64 + value as u64
}

/// The dearer of the two branches, nested transactions included.
fn txn_cost(txn: &TxnRequest) -> u64 {
    let branch = |ops: &[RequestOp]| -> u64 {
        ops.iter()
            .map(|op| match &op.request {
                Some(request_op::Request::RequestPut(put)) => put_cost(put.key.len(), put.value.len()),
                Some(request_op::Request::RequestTxn(nested)) => txn_cost(nested),
                _ => 0,
            })
            .sum()
    };
    branch(&txn.success).max(branch(&txn.failure))
}
