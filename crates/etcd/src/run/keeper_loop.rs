//! The loop that drives Keeper: lease deadlines and what they propose.

use super::inbox::Inbox;
use member::core::Proposal;
use member::ids::{RequestId, Term};
use member::keeper::{Granted, Keeper, Millis, NotLeading, Remaining, Renewal};
use member::limits;
use prost::Message;
use proto::etcdserverpb::{
    InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest, RequestHeader,
};
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
    /// What Keeper wanted was not proposed.
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
    /// Time after which a proposal without an outcome is made again.
    pub retry: Duration,
    /// Time between two checkpoints of a lease, if any are made.
    pub checkpoint_interval: Option<Duration>,
}

/// Who asked for a renewal.
type Asker = oneshot::Sender<Result<Option<i64>, NotLeading>>;

/// What Keeper has proposed.
enum Proposed {
    Revocation(LeaseId),
    Checkpoints(Vec<LeaseId>),
    /// A checkpoint of 0.
    Clearing(LeaseId),
}

/// How often Keeper looks for ended leases (etcd: 500 ms).
const LOOK: Duration = Duration::from_millis(200);

/// Runs until Core, Store and all clients have gone.
pub fn drive(view: View, inputs: Receiver<KeeperInput>, around: Around) {
    let born = Instant::now();
    let keeper = Keeper::new(around.checkpoint_interval.map(|interval| interval.as_millis() as Millis));
    let mut house = House {
        keeper,
        around,
        proposed: BTreeMap::new(),
        revocations: BTreeMap::new(),
        may_revoke_more: false,
        renewals: BTreeMap::new(),
        now: born,
        now_ms: 0,
    };
    house.reset(&view);
    drop(view);
    let mut next_look = born + LOOK;
    loop {
        let received = inputs.recv_timeout(next_look.saturating_duration_since(Instant::now()));
        house.now = Instant::now();
        house.now_ms = house.now.duration_since(born).as_millis() as Millis;
        match received {
            Ok(input) => house.take(input),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if house.now >= next_look || house.may_revoke_more {
            next_look = house.now + LOOK;
            house.look();
        }
    }
}

/// Keeper and what is on its way for it.
struct House {
    keeper: Keeper,
    around: Around,
    proposed: BTreeMap<RequestId, (Proposed, Instant)>,
    /// By lease, those of them that are revocations.
    revocations: BTreeMap<LeaseId, RequestId>,
    /// As many as may be were on their way when it was last looked, and one has
    /// arrived.
    may_revoke_more: bool,
    /// Renewals that wait for a checkpoint to be taken back.
    renewals: BTreeMap<LeaseId, Vec<Asker>>,
    now: Instant,
    now_ms: Millis,
}

impl House {
    fn take(&mut self, input: KeeperInput) {
        let now_ms = self.now_ms;
        match input {
            KeeperInput::Leads(term) => {
                match term {
                    Some(term) => self.keeper.lead(term, now_ms, self.extend()),
                    None => self.keeper.follow(),
                }
                self.begin_anew();
            }
            KeeperInput::Leases(changes) => changes.into_iter().for_each(|change| match change {
                LeaseChange::Granted { id, ttl_seconds } => self.keeper.granted(id, ttl_seconds, now_ms),
                LeaseChange::Revoked { id } => {
                    self.keeper.revoked(id);
                    if let Some(request) = self.revocations.remove(&id) {
                        self.may_revoke_more |= self.revocations.len() + 1 >= limits::REVOKES_IN_FLIGHT_MAX / 2;
                        self.proposed.remove(&request);
                    }
                    self.answer(id, Ok(None));
                }
                LeaseChange::Checkpointed { id, remaining_seconds } => {
                    self.keeper.checkpointed(id, remaining_seconds, now_ms);
                    if remaining_seconds == 0 && self.renewals.contains_key(&id) {
                        let renewed = self.keeper.cleared(id, now_ms).map(seconds);
                        self.answer(id, renewed);
                    }
                }
            }),
            KeeperInput::Reset(view) => {
                self.reset(&view);
                self.begin_anew();
            }
            KeeperInput::TurnedBack(id) => {
                if let Some((what, _)) = self.proposed.remove(&id) {
                    self.failed(what);
                }
            }
            KeeperInput::KeepAlive(id, asker) => self.keep_alive(id, asker),
            // Whoever asked may have gone; then nobody is owed the answer.
            KeeperInput::Remaining(id, asker) => drop(asker.send(self.keeper.remaining(id, now_ms))),
            KeeperInput::List(asker) => drop(asker.send(self.keeper.leases())),
        }
    }

    fn keep_alive(&mut self, id: LeaseId, asker: Asker) {
        match self.keeper.keep_alive(id, self.now_ms) {
            Ok(Renewal::Waits(term)) => {
                self.renewals.entry(id).or_default().push(asker);
                if let Some(term) = term {
                    let cleared = checkpoint(&[(id, 0)]);
                    self.propose(Proposed::Clearing(id), cleared, term);
                }
            }
            renewed => drop(asker.send(renewed.map(seconds))),
        }
    }

    /// Looks at the time.
    fn look(&mut self) {
        self.may_revoke_more = false;
        crate::metrics::keeper(self.keeper.stats());
        let late = |since: &Instant| self.now.duration_since(*since) > self.around.retry;
        let late: Vec<RequestId> =
            self.proposed.iter().filter(|(_, (_, since))| late(since)).map(|(&id, _)| id).collect();
        for id in late {
            match self.proposed.remove(&id) {
                // It may still be applied: it is not known that it is not there.
                Some((Proposed::Checkpoints(_), _)) | None => {}
                Some((what, _)) => self.failed(what),
            }
        }
        if let Some((term, ended)) = self.keeper.expired(self.now_ms) {
            for lease in ended {
                let revoke = InternalRaftRequest {
                    lease_revoke: Some(LeaseRevokeRequest { id: lease }),
                    ..InternalRaftRequest::default()
                };
                self.propose(Proposed::Revocation(lease), revoke, term);
            }
        }
        for _ in 0..limits::CHECKPOINT_PROPOSALS_PER_LOOK {
            let Some((term, due)) = self.keeper.due_checkpoints(self.now_ms) else { break };
            let leases = due.iter().map(|&(id, _)| id).collect();
            self.propose(Proposed::Checkpoints(leases), checkpoint(&due), term);
        }
    }

    fn propose(&mut self, what: Proposed, mut request: InternalRaftRequest, term: Term) {
        let id = (self.around.next_id)();
        request.header = Some(RequestHeader { id, ..RequestHeader::default() });
        let proposal = Proposal { id, data: request.encode_to_vec().into(), only_in: Some(term) };
        if let Proposed::Revocation(lease) = what {
            self.revocations.insert(lease, id);
        }
        // Before it may come back.
        self.proposed.insert(id, (what, self.now));
        if self.around.inbox.propose(proposal).is_err()
            && let Some((what, _)) = self.proposed.remove(&id)
        {
            self.failed(what);
        }
    }

    /// What was proposed did not get into the log, or nobody knows.
    fn failed(&mut self, what: Proposed) {
        match what {
            Proposed::Revocation(id) => {
                self.revocations.remove(&id);
                self.keeper.retry(id);
            }
            Proposed::Checkpoints(ids) => ids.into_iter().for_each(|id| self.keeper.not_checkpointed(id)),
            Proposed::Clearing(id) => {
                self.keeper.not_cleared(id);
                // Whoever asked asks again.
                self.answer(id, Err(NotLeading));
            }
        }
    }

    fn answer(&mut self, id: LeaseId, answer: Result<Option<i64>, NotLeading>) {
        for asker in self.renewals.remove(&id).into_iter().flatten() {
            let _gone = asker.send(answer);
        }
    }

    /// What is on its way belongs to a term, or a store, that is no more.
    fn begin_anew(&mut self) {
        self.proposed.clear();
        self.revocations.clear();
        let waiting: Vec<LeaseId> = self.renewals.keys().copied().collect();
        waiting.into_iter().for_each(|id| self.answer(id, Err(NotLeading)));
    }

    fn reset(&mut self, view: &View) {
        let leases = view.leases().map(|(id, lease)| Granted {
            id,
            ttl_seconds: lease.ttl_seconds(),
            remaining_seconds: lease.remaining_seconds(),
        });
        self.keeper.reset(leases, self.now_ms, self.extend());
    }

    fn extend(&self) -> Millis {
        self.around.election_timeout.as_millis() as Millis
    }
}

/// What a client is told.
fn seconds(renewal: Renewal) -> Option<i64> {
    match renewal {
        Renewal::Renewed(seconds) => Some(seconds),
        Renewal::Ended => None,
        Renewal::Waits(_) => unreachable!("a renewal that waits is not answered"),
    }
}

fn checkpoint(leases: &[(LeaseId, i64)]) -> InternalRaftRequest {
    let checkpoints = leases.iter().map(|&(id, remaining_ttl)| LeaseCheckpoint { id, remaining_ttl }).collect();
    InternalRaftRequest {
        lease_checkpoint: Some(LeaseCheckpointRequest { checkpoints }),
        ..InternalRaftRequest::default()
    }
}
