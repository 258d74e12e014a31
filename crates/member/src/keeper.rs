//! Keeper keeps house: it looks at the time and proposes as a client would.
//!
//! Lease deadlines live here and nowhere else. They are not replicated: the
//! leader alone counts. A member that does not lead holds every lease for ever.
//! Keeper's proposals name the term in which they are meant; Core drops
//! them when that term is over.
//!
//! A new leader gives every lease its whole time again plus an election timeout,
//! so a lease never ends before its time; or, if there is a *checkpoint*, what
//! that says the lease has left. A leader that makes checkpoints (etcd's gate
//! `LeaseCheckpoint`) proposes one for each lease of more than an interval,
//! once an interval. Whether it does or not, every leader heeds the rule that
//! makes them safe:
//!
//! ```text
//!   renewal ──▶ is there a checkpoint, or one on its way? ──no──▶ answered at once
//!                     │ yes
//!                     ▼
//!              propose a checkpoint of 0 ──applied──▶ answered
//! ```
//!
//! So whoever was told that a lease has its time again can rely on it: the
//! checkpoint that says less is no longer there for any later leader. One on its
//! way counts like one that is there, because it may be behind the renewal in
//! the log (etcd looks only at those that are there). What leaders before this
//! one have left in the log has been applied when a renewal is asked for: it
//! comes after a read round.

use crate::ids::Term;
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use store::LeaseId;

/// Time since an arbitrary moment, milliseconds. Only differences count.
pub type Millis = u64;

/// The lease deadlines of a member.
#[derive(Debug, Default)]
pub struct Keeper {
    leads: Option<Reign>,
    leases: BTreeMap<LeaseId, Lease>,
    /// (deadline, lease) of leases that are counted down.
    deadlines: BTreeSet<(Millis, LeaseId)>,
    /// Proposed for revocation and not yet revoked.
    revoking: BTreeSet<LeaseId>,
    /// Time between two checkpoints of a lease; none: no checkpoints are made.
    checkpoint_interval: Option<Millis>,
    /// (due, lease) of leases that will be checkpointed.
    checkpoints: BTreeSet<(Millis, LeaseId)>,
    stats: Stats,
}

/// This member leads.
#[derive(Clone, Copy, Debug)]
struct Reign {
    term: Term,
    since: Millis,
    /// What leases have beyond their time when it begins.
    extend: Millis,
}

/// Plain counters, copied by whoever wants to show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Leases found expired.
    pub expired: u64,
    /// Renewals answered.
    pub renewed: u64,
    /// Checkpoints proposed, one for each lease in them.
    pub checkpointed: u64,
    /// Checkpoints proposed to be taken back.
    pub cleared: u64,
}

/// A lease as Store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Which.
    pub id: LeaseId,
    /// Granted seconds.
    pub ttl_seconds: i64,
    /// Seconds left at the last checkpoint; 0: there is none.
    pub remaining_seconds: i64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl_seconds: i64,
    /// As the last checkpoint applied says; 0: there is none.
    remaining_seconds: i64,
    deadline: Option<Millis>,
    /// Checkpoints of this term that were proposed and are not applied yet.
    on_way: u32,
    /// One that takes them back is on its way; renewals wait for it.
    clearing: bool,
    checkpoint_due: Option<Millis>,
}

impl Lease {
    fn new(ttl_seconds: i64, remaining_seconds: i64) -> Lease {
        Lease { ttl_seconds, remaining_seconds, deadline: None, on_way: 0, clearing: false, checkpoint_due: None }
    }

    /// What a leader gives it that knows nothing else of it.
    fn seconds(&self) -> i64 {
        if self.remaining_seconds > 0 { self.remaining_seconds } else { self.ttl_seconds }
    }
}

/// What a lease has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Granted seconds.
    pub granted_seconds: i64,
    /// Whole seconds left.
    pub left_seconds: i64,
}

/// What comes of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease has its whole time again, these seconds.
    Renewed(i64),
    /// There is no such lease, or it has ended; etcd's clients see TTL 0.
    Ended,
    /// A checkpoint has to be taken back first: the driver proposes one of 0 in
    /// this term, if a term is given (else that is under way), and asks
    /// [`Keeper::cleared`] when it has been applied.
    Waits(Option<Term>),
}

/// Only the leader knows deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLeading;

impl Keeper {
    /// One that makes checkpoints this often (etcd: 5 minutes), or none.
    pub fn new(checkpoint_interval: Option<Millis>) -> Keeper {
        Keeper { checkpoint_interval, ..Keeper::default() }
    }

    /// Replaces all leases: at start, and after a snapshot was installed.
    pub fn reset(&mut self, leases: impl Iterator<Item = Granted>, now: Millis, extend: Millis) {
        let lease = |granted: Granted| (granted.id, Lease::new(granted.ttl_seconds, granted.remaining_seconds));
        self.leases = leases.map(lease).collect();
        self.forget();
        if let Some(reign) = self.leads {
            self.lead(reign.term, now, extend);
        }
    }

    /// This member leads in `term`: every lease has its whole time again, or
    /// what its checkpoint says it had left, plus `extend` (an election timeout).
    pub fn lead(&mut self, term: Term, now: Millis, extend: Millis) {
        self.leads = Some(Reign { term, since: now, extend });
        self.forget();
        for (&id, lease) in &mut self.leases {
            let deadline = now.saturating_add(millis(lease.seconds())).saturating_add(extend);
            lease.deadline = Some(deadline);
            self.deadlines.insert((deadline, id));
        }
        if self.checkpoint_interval.is_some() {
            let all: Vec<LeaseId> = self.leases.keys().copied().collect();
            all.into_iter().for_each(|id| self.schedule(id, now));
        }
    }

    /// This member no longer leads.
    pub fn follow(&mut self) {
        self.leads = None;
        self.forget();
    }

    /// Forgets what belongs to a term.
    fn forget(&mut self) {
        self.deadlines.clear();
        self.checkpoints.clear();
        self.revoking.clear();
        for lease in self.leases.values_mut() {
            *lease = Lease::new(lease.ttl_seconds, lease.remaining_seconds);
        }
    }

    /// Store has applied a grant.
    pub fn granted(&mut self, id: LeaseId, ttl_seconds: i64, now: Millis) {
        let deadline = self.leads.map(|_| now.saturating_add(millis(ttl_seconds)));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        self.leases.insert(id, Lease { deadline, ..Lease::new(ttl_seconds, 0) });
        self.schedule(id, now);
    }

    /// Store has applied a revocation.
    pub fn revoked(&mut self, id: LeaseId) {
        self.revoking.remove(&id);
        let Some(lease) = self.leases.remove(&id) else { return };
        lease.deadline.map(|deadline| self.deadlines.remove(&(deadline, id)));
        lease.checkpoint_due.map(|due| self.checkpoints.remove(&(due, id)));
    }

    /// Store has applied a checkpoint. If it takes earlier ones back, the
    /// renewals that wait for that are asked again with [`Keeper::cleared`].
    pub fn checkpointed(&mut self, id: LeaseId, remaining_seconds: i64, now: Millis) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        lease.remaining_seconds = remaining_seconds;
        lease.on_way = if remaining_seconds > 0 { lease.on_way.saturating_sub(1) } else { 0 };
        if let Some(reign) = self.leads {
            // It may be of a leader before: then this is what it would have been
            // given at the beginning.
            let least = reign.since.saturating_add(millis(lease.seconds())).saturating_add(reign.extend);
            self.prolong(id, least);
            self.schedule(id, now);
        }
    }

    /// Gives a lease its whole time again.
    ///
    /// # Errors
    /// When this member does not lead.
    pub fn keep_alive(&mut self, id: LeaseId, now: Millis) -> Result<Renewal, NotLeading> {
        let Some(reign) = self.leads else { return Err(NotLeading) };
        if self.revoking.contains(&id) {
            return Ok(Renewal::Ended);
        }
        let Some(lease) = self.leases.get_mut(&id) else { return Ok(Renewal::Ended) };
        if lease.clearing {
            return Ok(Renewal::Waits(None));
        }
        if is_over(lease.deadline.expect("a leader counts every lease"), now) {
            // It has ended; that nobody has looked yet does not revive it.
            return Ok(Renewal::Ended);
        }
        if lease.remaining_seconds > 0 || lease.on_way > 0 {
            lease.clearing = true;
            self.stats.cleared += 1;
            return Ok(Renewal::Waits(Some(reign.term)));
        }
        Ok(Renewal::Renewed(self.renew(id, now)))
    }

    /// The checkpoint of 0 that a renewal has waited for was applied. The lease
    /// did not end meanwhile.
    ///
    /// # Errors
    /// When this member does not lead any more.
    pub fn cleared(&mut self, id: LeaseId, now: Millis) -> Result<Renewal, NotLeading> {
        if self.leads.is_none() {
            return Err(NotLeading);
        }
        let Some(lease) = self.leases.get_mut(&id) else { return Ok(Renewal::Ended) };
        lease.clearing = false;
        Ok(Renewal::Renewed(self.renew(id, now)))
    }

    /// The checkpoint of 0 that renewals wait for did not get into the log.
    pub fn not_cleared(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.clearing = false;
        }
    }

    fn renew(&mut self, id: LeaseId, now: Millis) -> i64 {
        let Lease { ttl_seconds, checkpoint_due, .. } = *self.leases.get(&id).expect("it was just seen");
        // Never shorter than promised: a new leader's extension may lie later.
        self.prolong(id, now.saturating_add(millis(ttl_seconds)));
        // One that was renewed in its last interval had no checkpoint to come.
        if checkpoint_due.is_none() {
            self.schedule(id, now);
        }
        self.stats.renewed += 1;
        ttl_seconds
    }

    /// Moves a deadline, but never to an earlier time.
    fn prolong(&mut self, id: LeaseId, to: Millis) {
        let lease = self.leases.get_mut(&id).expect("it was just seen");
        let old = lease.deadline.expect("a leader counts every lease");
        if to > old {
            self.deadlines.remove(&(old, id));
            self.deadlines.insert((to, id));
            lease.deadline = Some(to);
        }
    }

    /// What a lease has left; `Ok(None)` if it is unknown or has ended.
    ///
    /// # Errors
    /// When this member does not lead.
    pub fn remaining(&self, id: LeaseId, now: Millis) -> Result<Option<Remaining>, NotLeading> {
        if self.leads.is_none() {
            return Err(NotLeading);
        }
        let Some(lease) = self.leases.get(&id) else { return Ok(None) };
        let deadline = lease.deadline.expect("a leader counts every lease");
        if is_over(deadline, now) {
            return Ok(None);
        }
        let left_seconds = ((deadline - now) / 1_000) as i64;
        Ok(Some(Remaining { granted_seconds: lease.ttl_seconds, left_seconds }))
    }

    /// All leases, the one that ends first at the front; unordered by time on
    /// a member that does not lead.
    pub fn leases(&self) -> Vec<LeaseId> {
        if self.leads.is_some() {
            self.deadlines.iter().map(|&(_, id)| id).collect()
        } else {
            self.leases.keys().copied().collect()
        }
    }

    /// Leases that have ended and should be revoked now, and the term in which
    /// the revocation is meant. Each is named once until [`Keeper::retry`].
    pub fn expired(&mut self, now: Millis) -> Option<(Term, Vec<LeaseId>)> {
        let term = self.leads?.term;
        let room = limits::REVOKES_IN_FLIGHT_MAX.saturating_sub(self.revoking.len());
        let ended: Vec<LeaseId> = self
            .deadlines
            .iter()
            .take_while(|&&(deadline, _)| is_over(deadline, now))
            .map(|&(_, id)| id)
            .filter(|id| !self.revoking.contains(id) && !self.leases[id].clearing)
            .take(room.min(limits::EXPIRED_LEASES_PER_LOOK))
            .collect();
        self.revoking.extend(&ended);
        self.stats.expired += ended.len() as u64;
        (!ended.is_empty()).then_some((term, ended))
    }

    /// A revocation did not get into the log; it is proposed again later.
    pub fn retry(&mut self, id: LeaseId) {
        self.revoking.remove(&id);
    }

    /// Leases to be checkpointed now with the seconds they have left, no more
    /// than one proposal holds, and the term in which it is meant.
    pub fn due_checkpoints(&mut self, now: Millis) -> Option<(Term, Vec<(LeaseId, i64)>)> {
        let term = self.leads?.term;
        let mut due = Vec::new();
        while due.len() < limits::CHECKPOINTS_PER_PROPOSAL
            && let Some(&(at, id)) = self.checkpoints.first()
            && at <= now
        {
            self.checkpoints.pop_first();
            let lease = self.leases.get_mut(&id).expect("only leases that are there are scheduled");
            lease.checkpoint_due = None;
            let left = lease.deadline.expect("a leader counts every lease").saturating_sub(now);
            // Rounded up: a lease may live longer, never shorter.
            let left_seconds = i64::try_from(left.div_ceil(1_000)).unwrap_or(i64::MAX);
            if left > 0 && left_seconds < lease.ttl_seconds && !lease.clearing && !self.revoking.contains(&id) {
                lease.on_way += 1;
                due.push((id, left_seconds));
            }
            self.schedule(id, now);
        }
        self.stats.checkpointed += due.len() as u64;
        (!due.is_empty()).then_some((term, due))
    }

    /// A checkpoint did not get into the log.
    pub fn not_checkpointed(&mut self, id: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.on_way = lease.on_way.saturating_sub(1);
        }
    }

    /// The next checkpoint of a lease, if it has more than an interval left.
    fn schedule(&mut self, id: LeaseId, now: Millis) {
        let (Some(interval), Some(lease)) = (self.checkpoint_interval, self.leases.get_mut(&id)) else { return };
        let Some(deadline) = lease.deadline else { return };
        if let Some(due) = lease.checkpoint_due.take() {
            self.checkpoints.remove(&(due, id));
        }
        let due = now.saturating_add(interval);
        if due < deadline && millis(lease.ttl_seconds) > interval {
            self.checkpoints.insert((due, id));
            lease.checkpoint_due = Some(due);
        }
    }

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

/// Whether a deadline has passed. A millisecond that has begun is not over: of a lease that was granted within one, a part of the
/// last is left.
fn is_over(deadline: Millis, now: Millis) -> bool {
    deadline < now
}

fn millis(seconds: i64) -> Millis {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests;
