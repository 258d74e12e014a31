//! Keeper and what is on its way for it, as `etcd/src/run/keeper_loop.rs` has it on a thread.

use super::{ELECTION_TICKS, TICK};
use crate::mutant::Mutant;
use crate::world::Micros;
use disk::SimDisk;
use member::keeper::{Granted, Keeper, Renewal};
use member::limits;
use proto::etcdserverpb::{InternalRaftRequest, LeaseCheckpoint, LeaseCheckpointRequest, LeaseRevokeRequest};
use std::collections::BTreeMap;
use store::{LeaseChange, View};

/// Time after which a proposal without an outcome is made again.
pub const RETRY: Micros = 7_000_000;

/// What Keeper has proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposed {
    /// The end of a lease.
    Revocation(i64),
    /// What leases have left.
    Checkpoints(Vec<i64>),
    /// A checkpoint of 0, for which a renewal waits.
    Clearing(i64),
}

/// To be proposed in a term.
pub type Wanted = (u64, Proposed, InternalRaftRequest);

/// See the file's essay.
pub struct House {
    keeper: Keeper,
    proposed: BTreeMap<u64, (Proposed, Micros)>,
    /// Clients' requests that wait for a checkpoint to be taken back, by lease.
    waiting: BTreeMap<i64, Vec<u64>>,
    /// Renewals that have an answer: the request, the lease, its seconds if it lives.
    pub renewed: Vec<(u64, i64, Option<i64>)>,
    /// Renewals that somebody else must be asked for.
    pub turned_back: Vec<u64>,
    mutant: Option<Mutant>,
}

impl House {
    /// Of a member that has just started.
    pub fn new(view: &View<SimDisk>, now: Micros, checkpoint_ms: Option<u64>, mutant: Option<Mutant>) -> House {
        let mut house = House {
            keeper: Keeper::new(checkpoint_ms),
            proposed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            renewed: Vec::new(),
            turned_back: Vec::new(),
            mutant,
        };
        house.reset(view, now);
        house
    }

    /// Store was replaced.
    pub fn reset(&mut self, view: &View<SimDisk>, now: Micros) {
        self.keeper.reset(view.leases().map(granted), now / 1_000, election_ms());
        self.begin_anew();
    }

    /// This member leads in a term, or does not any more.
    pub fn leads(&mut self, term: Option<u64>, view: &View<SimDisk>, now: Micros) {
        match term {
            Some(term) => {
                if self.mutant == Some(Mutant::ForgetsTtls) {
                    let forgotten = |lease| Granted { remaining_seconds: 1, ..granted(lease) };
                    self.keeper.reset(view.leases().map(forgotten), now / 1_000, election_ms());
                }
                self.keeper.lead(term, now / 1_000, election_ms());
            }
            None if self.mutant == Some(Mutant::DeposedExpires) => {}
            None => self.keeper.follow(),
        }
        self.begin_anew();
    }

    /// What is on its way belongs to a term, or a store, that is no more.
    fn begin_anew(&mut self) {
        self.proposed.clear();
        self.turned_back.extend(std::mem::take(&mut self.waiting).into_values().flatten());
    }

    /// Store has applied a change of a lease.
    pub fn changed(&mut self, change: &LeaseChange, now: Micros) {
        let now_ms = now / 1_000;
        match *change {
            LeaseChange::Granted { id, ttl_seconds } => self.keeper.granted(id, ttl_seconds, now_ms),
            LeaseChange::Revoked { id } => {
                self.keeper.revoked(id);
                self.proposed.retain(|_, (what, _)| *what != Proposed::Revocation(id));
                self.answer(id, None);
            }
            LeaseChange::Checkpointed { id, remaining_seconds } => {
                self.keeper.checkpointed(id, remaining_seconds, now_ms);
                if remaining_seconds == 0 && self.waiting.contains_key(&id) {
                    match self.keeper.cleared(id, now_ms) {
                        Ok(Renewal::Renewed(seconds)) => self.answer(id, Some(seconds)),
                        Ok(Renewal::Ended) => self.answer(id, None),
                        Ok(Renewal::Waits(_)) => unreachable!("what has been cleared does not wait"),
                        Err(_) => self.refuse(id),
                    }
                }
            }
        }
    }

    /// A client renews a lease; what must be proposed for that.
    pub fn keep_alive(&mut self, request: u64, lease: i64, now: Micros) -> Option<Wanted> {
        if self.mutant == Some(Mutant::RenewalsUnheard) {
            let remaining = self.keeper.remaining(lease, now / 1_000).ok().flatten();
            self.renewed.push((request, lease, remaining.map(|left| left.granted_seconds)));
            return None;
        }
        match self.keeper.keep_alive(lease, now / 1_000) {
            Ok(Renewal::Renewed(seconds)) => self.renewed.push((request, lease, Some(seconds))),
            Ok(Renewal::Ended) => {
                let revived = (self.mutant == Some(Mutant::RenewsTheDead)).then_some(5);
                self.renewed.push((request, lease, revived));
            }
            Ok(Renewal::Waits(_)) if self.mutant == Some(Mutant::RenewsOverCheckpoints) => {
                let renewed = self.keeper.cleared(lease, now / 1_000);
                let seconds = if let Ok(Renewal::Renewed(seconds)) = renewed { Some(seconds) } else { None };
                self.renewed.push((request, lease, seconds));
            }
            Ok(Renewal::Waits(term)) => {
                self.waiting.entry(lease).or_default().push(request);
                return term.map(|term| (term, Proposed::Clearing(lease), checkpoint(&[(lease, 0)])));
            }
            Err(_) => self.turned_back.push(request),
        }
        None
    }

    /// Looks at the time: what is to be proposed now.
    pub fn look(&mut self, now: Micros) -> Vec<Wanted> {
        let mut late = Vec::new();
        self.proposed.retain(|_, (what, since)| {
            let stays = now - *since <= RETRY;
            if !stays {
                late.push(what.clone());
            }
            stays
        });
        // Checkpoints may still be applied: it is not known that they are not there.
        late.into_iter().filter(|what| !matches!(what, Proposed::Checkpoints(_))).for_each(|what| self.failed(what));
        let mut wanted = Vec::new();
        let early = match self.mutant {
            Some(Mutant::ExpiresEarly) => 3_000,
            Some(Mutant::EndsWithinItsLast) => 1,
            _ => 0,
        };
        if let Some((term, ended)) = self.keeper.expired(now / 1_000 + early) {
            let forgotten = |lease: &i64| self.mutant == Some(Mutant::ForgetsEnds) && lease % 5 == 0;
            let ended = ended.into_iter().filter(|lease| !forgotten(lease));
            wanted.extend(ended.map(|lease| (term, Proposed::Revocation(lease), revoke(lease))));
        }
        if self.mutant == Some(Mutant::EndsTwice) {
            // Forgets at once what it has proposed.
            wanted.iter().for_each(|(_, what, _)| {
                if let Proposed::Revocation(id) = what {
                    self.keeper.retry(*id)
                }
            });
        }
        for _ in 0..limits::CHECKPOINT_PROPOSALS_PER_LOOK {
            let Some((term, mut due)) = self.keeper.due_checkpoints(now / 1_000) else { break };
            let leases = due.iter().map(|&(id, _)| id).collect();
            if self.mutant == Some(Mutant::CheckpointsTooLittle) {
                due.iter_mut().for_each(|(_, left)| *left = 1);
            }
            wanted.push((term, Proposed::Checkpoints(leases), checkpoint(&due)));
        }
        wanted
    }

    /// A proposal is on its way.
    pub fn proposes(&mut self, request: u64, what: Proposed, now: Micros) {
        self.proposed.insert(request, (what, now));
    }

    /// A proposal was not proposed; false if it was not Keeper's.
    pub fn not_proposed(&mut self, request: u64) -> bool {
        match self.proposed.remove(&request) {
            Some((what, _)) => self.failed(what),
            None => return false,
        }
        true
    }

    /// What was proposed did not get into the log, or nobody knows.
    fn failed(&mut self, what: Proposed) {
        match what {
            Proposed::Revocation(id) => self.keeper.retry(id),
            Proposed::Checkpoints(ids) => ids.into_iter().for_each(|id| self.keeper.not_checkpointed(id)),
            Proposed::Clearing(id) => {
                self.keeper.not_cleared(id);
                self.refuse(id);
            }
        }
    }

    fn answer(&mut self, lease: i64, seconds: Option<i64>) {
        let requests = self.waiting.remove(&lease).into_iter().flatten();
        self.renewed.extend(requests.map(|request| (request, lease, seconds)));
    }

    fn refuse(&mut self, lease: i64) {
        self.turned_back.extend(self.waiting.remove(&lease).into_iter().flatten());
    }
}

fn revoke(lease: i64) -> InternalRaftRequest {
    InternalRaftRequest { lease_revoke: Some(LeaseRevokeRequest { id: lease }), ..InternalRaftRequest::default() }
}

fn checkpoint(leases: &[(i64, i64)]) -> InternalRaftRequest {
    let checkpoints = leases.iter().map(|&(id, remaining_ttl)| LeaseCheckpoint { id, remaining_ttl }).collect();
    InternalRaftRequest {
        lease_checkpoint: Some(LeaseCheckpointRequest { checkpoints }),
        ..InternalRaftRequest::default()
    }
}

fn election_ms() -> u64 {
    u64::from(ELECTION_TICKS) * TICK / 1_000
}

fn granted((id, lease): (i64, &store::Lease)) -> Granted {
    Granted { id, ttl_seconds: lease.ttl_seconds(), remaining_seconds: lease.remaining_seconds() }
}
