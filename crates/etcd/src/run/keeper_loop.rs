//! The loop that drives Keeper: lease deadlines and what they propose.

use super::inbox::Inbox;
use member::core::Proposal;
use member::ids::{RequestId, Term};
use member::keeper::{Keeper, Millis, NotLeading, Remaining};
use prost::Message;
use proto::etcdserverpb::{InternalRaftRequest, LeaseRevokeRequest, RequestHeader};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use store::{LeaseChange, LeaseId};
use tokio::sync::oneshot;

type View = store::View<disk::OsDisk>;

/// What Keeper may be told or asked.
pub enum KeeperInput {
    /// The term in which this member leads, if it does.
    Leads(Option<Term>),
    /// Store has applied these.
    Leases(Vec<LeaseChange>),
    /// Store was replaced.
    Reset(View),
    /// A revocation was not proposed.
    TurnedBack(RequestId),
    /// A client renews.
    KeepAlive(LeaseId, oneshot::Sender<Result<Option<i64>, NotLeading>>),
    /// A client asks what is left.
    Remaining(LeaseId, oneshot::Sender<Result<Option<Remaining>, NotLeading>>),
    /// A client asks for all.
    List(oneshot::Sender<Vec<LeaseId>>),
}

/// What the loop reaches.
pub struct Around {
    pub inbox: Arc<Inbox>,
    pub next_id: Arc<dyn Fn() -> RequestId + Send + Sync>,
    pub election_timeout: Duration,
    /// Time after which a revocation without an outcome is proposed again.
    pub retry: Duration,
}

/// How often Keeper looks for ended leases (etcd: 500 ms).
const LOOK: Duration = Duration::from_millis(200);

/// Runs until Core, Store and all clients have gone.
pub fn drive(view: View, inputs: Receiver<KeeperInput>, around: Around) {
    let born = Instant::now();
    let extend = around.election_timeout.as_millis() as Millis;
    let mut keeper = Keeper::default();
    reset(&mut keeper, &view, 0, extend);
    let mut proposed: BTreeMap<RequestId, (LeaseId, Instant)> = BTreeMap::new();
    let mut next_look = born + LOOK;
    loop {
        let received = inputs.recv_timeout(next_look.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        let now_ms = now.duration_since(born).as_millis() as Millis;
        match received {
            Ok(KeeperInput::Leads(Some(term))) => {
                keeper.lead(term, BTreeMap::new(), now_ms, extend);
                proposed.clear();
            }
            Ok(KeeperInput::Leads(None)) => {
                keeper.follow();
                proposed.clear();
            }
            Ok(KeeperInput::Leases(changes)) => changes.into_iter().for_each(|change| match change {
                LeaseChange::Granted { id, ttl_seconds } => keeper.granted(id, ttl_seconds, now_ms),
                LeaseChange::Revoked { id } => keeper.revoked(id),
                LeaseChange::Checkpointed { .. } => {}
            }),
            Ok(KeeperInput::Reset(view)) => reset(&mut keeper, &view, now_ms, extend),
            Ok(KeeperInput::TurnedBack(id)) => {
                if let Some((lease, _)) = proposed.remove(&id) {
                    keeper.retry(lease);
                }
            }
            // Whoever asked may have gone; then nobody is owed the answer.
            Ok(KeeperInput::KeepAlive(id, answer)) => drop(answer.send(keeper.keep_alive(id, now_ms))),
            Ok(KeeperInput::Remaining(id, answer)) => drop(answer.send(keeper.remaining(id, now_ms))),
            Ok(KeeperInput::List(answer)) => drop(answer.send(keeper.leases())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if now >= next_look {
            next_look = now + LOOK;
            crate::metrics::keeper(keeper.stats());
            let stale = |since: &Instant| now.duration_since(*since) > around.retry;
            proposed.retain(|_, (lease, since)| {
                let late = stale(since);
                if late {
                    keeper.retry(*lease);
                }
                !late
            });
            if let Some((term, ended)) = keeper.expired(now_ms) {
                for lease in ended {
                    let id = (around.next_id)();
                    proposed.insert(id, (lease, now));
                    if around.inbox.propose(revoke(id, lease, term)).is_err() {
                        proposed.remove(&id);
                        keeper.retry(lease);
                    }
                }
            }
        }
    }
}

fn reset(keeper: &mut Keeper, view: &View, now: Millis, extend: Millis) {
    let leases = view.leases().map(|(id, lease)| (id, lease.ttl_seconds()));
    keeper.reset(leases, now, extend);
}

fn revoke(id: RequestId, lease: LeaseId, term: Term) -> Proposal {
    let request = InternalRaftRequest {
        header: Some(RequestHeader { id, ..RequestHeader::default() }),
        lease_revoke: Some(LeaseRevokeRequest { id: lease }),
        ..InternalRaftRequest::default()
    };
    Proposal { id, data: request.encode_to_vec().into(), only_in: Some(term) }
}
