//! Keeper keeps house: it looks at the time and proposes as a client would.
//!
//! Lease deadlines live here and nowhere else. They are not replicated: the
//! leader alone counts, and a new leader gives every lease its whole time again
//! plus an election timeout, so a lease never ends before its time. (It could
//! give what a checkpoint says instead; the drivers pass none, because a
//! renewal does not clear a checkpoint yet.) A member that does not lead holds every lease for ever.
//! Keeper's revocations name the term in which they are meant; Core drops
//! them when that term is over.

use crate::ids::Term;
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};
use store::LeaseId;

/// Time since an arbitrary moment, milliseconds. Only differences count.
pub type Millis = u64;

/// The lease deadlines of a member.
#[derive(Debug, Default)]
pub struct Keeper {
    leads: Option<Term>,
    leases: BTreeMap<LeaseId, Lease>,
    /// (deadline, lease) of leases that are counted down.
    deadlines: BTreeSet<(Millis, LeaseId)>,
    /// Proposed for revocation and not yet revoked.
    revoking: BTreeSet<LeaseId>,
    stats: Stats,
}

/// Plain counters, copied by whoever wants to show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Leases found expired.
    pub expired: u64,
    /// Renewals answered.
    pub renewed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl_seconds: i64,
    deadline: Option<Millis>,
}

/// What a lease has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Granted seconds.
    pub granted_seconds: i64,
    /// Whole seconds left.
    pub left_seconds: i64,
}

/// Only the leader knows deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLeading;

impl Keeper {
    /// Replaces all leases: at start, and after a snapshot was installed.
    /// `leases`: id, granted seconds.
    pub fn reset(&mut self, leases: impl Iterator<Item = (LeaseId, i64)>, now: Millis, extend: Millis) {
        self.leases = leases.map(|(id, ttl_seconds)| (id, Lease { ttl_seconds, deadline: None })).collect();
        self.deadlines.clear();
        self.revoking.clear();
        if let Some(term) = self.leads {
            self.lead(term, BTreeMap::new(), now, extend);
        }
    }

    /// This member leads in `term`: every lease has its whole time again, or
    /// what `checkpoints` say it had left, plus `extend` (an election timeout).
    pub fn lead(&mut self, term: Term, checkpoints: BTreeMap<LeaseId, i64>, now: Millis, extend: Millis) {
        self.leads = Some(term);
        self.deadlines.clear();
        self.revoking.clear();
        for (&id, lease) in &mut self.leases {
            let seconds = match checkpoints.get(&id) {
                Some(&left) if left > 0 => left,
                _ => lease.ttl_seconds,
            };
            let deadline = now.saturating_add(millis(seconds)).saturating_add(extend);
            lease.deadline = Some(deadline);
            self.deadlines.insert((deadline, id));
        }
    }

    /// This member no longer leads.
    pub fn follow(&mut self) {
        self.leads = None;
        self.deadlines.clear();
        self.revoking.clear();
        for lease in self.leases.values_mut() {
            lease.deadline = None;
        }
    }

    /// Store has applied a grant.
    pub fn granted(&mut self, id: LeaseId, ttl_seconds: i64, now: Millis) {
        let deadline = self.leads.map(|_| now.saturating_add(millis(ttl_seconds)));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
        self.leases.insert(id, Lease { ttl_seconds, deadline });
    }

    /// Store has applied a revocation.
    pub fn revoked(&mut self, id: LeaseId) {
        self.revoking.remove(&id);
        if let Some(Lease { deadline: Some(deadline), .. }) = self.leases.remove(&id) {
            self.deadlines.remove(&(deadline, id));
        }
    }

    /// Gives a lease its whole time again. `Ok(None)`: unknown, or expired and
    /// about to be revoked; etcd's clients see TTL 0.
    ///
    /// # Errors
    /// When this member does not lead.
    pub fn keep_alive(&mut self, id: LeaseId, now: Millis) -> Result<Option<i64>, NotLeading> {
        if self.leads.is_none() {
            return Err(NotLeading);
        }
        if self.revoking.contains(&id) {
            return Ok(None);
        }
        let Some(lease) = self.leases.get_mut(&id) else { return Ok(None) };
        let old = lease.deadline.expect("a leader counts every lease");
        if old <= now {
            // It has ended; that nobody has looked yet does not revive it.
            return Ok(None);
        }
        let new = now.saturating_add(millis(lease.ttl_seconds));
        // Never shorter than promised: a new leader's extension may lie later.
        if new > old {
            self.deadlines.remove(&(old, id));
            self.deadlines.insert((new, id));
            lease.deadline = Some(new);
        }
        self.stats.renewed += 1;
        Ok(Some(lease.ttl_seconds))
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
        if deadline <= now {
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
        let term = self.leads?;
        let room = limits::REVOKES_IN_FLIGHT_MAX.saturating_sub(self.revoking.len());
        let ended: Vec<LeaseId> = self
            .deadlines
            .iter()
            .take_while(|&&(deadline, _)| deadline <= now)
            .map(|&(_, id)| id)
            .filter(|id| !self.revoking.contains(id))
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

    /// Counters since start.
    pub fn stats(&self) -> Stats {
        self.stats
    }
}

fn millis(seconds: i64) -> Millis {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(leases: &[(LeaseId, i64)]) -> Keeper {
        let mut keeper = Keeper::default();
        keeper.reset(leases.iter().copied(), 0, 1_000);
        keeper
    }

    #[test]
    fn only_a_leader_counts() {
        let mut keeper = keeper(&[(7, 2)]);
        assert_eq!(keeper.expired(1_000_000), None);
        assert_eq!(keeper.keep_alive(7, 5), Err(NotLeading));
        assert_eq!(keeper.leases(), vec![7]);
    }

    #[test]
    fn a_new_leader_gives_the_whole_time_and_an_election_timeout() {
        let mut keeper = keeper(&[(7, 2)]);
        keeper.lead(3, BTreeMap::new(), 10_000, 1_000);
        assert_eq!(keeper.expired(12_999), None);
        assert_eq!(keeper.expired(13_000), Some((3, vec![7])));
        assert_eq!(keeper.expired(13_001), None, "named once");
        keeper.retry(7);
        assert_eq!(keeper.expired(13_001), Some((3, vec![7])));
        keeper.revoked(7);
        assert_eq!(keeper.expired(20_000), None);
    }

    #[test]
    fn a_checkpoint_shortens_what_is_left() {
        let mut keeper = keeper(&[(7, 100)]);
        keeper.lead(3, BTreeMap::from([(7, 5)]), 0, 0);
        let left = keeper.remaining(7, 0);
        assert_eq!(left, Ok(Some(Remaining { granted_seconds: 100, left_seconds: 5 })));
    }

    #[test]
    fn keeping_alive_renews_until_the_end_and_not_after() {
        let mut keeper = keeper(&[]);
        keeper.lead(1, BTreeMap::new(), 0, 0);
        keeper.granted(9, 2, 0);
        assert_eq!(keeper.keep_alive(9, 1_900), Ok(Some(2)));
        assert_eq!(keeper.expired(3_899), None);
        assert_eq!(keeper.keep_alive(9, 3_900), Ok(None), "ended, though nobody has looked");
        assert_eq!(keeper.expired(3_900), Some((1, vec![9])));
        assert_eq!(keeper.keep_alive(9, 3_901), Ok(None), "about to be revoked");
        assert_eq!(keeper.keep_alive(10, 0), Ok(None), "unknown");
    }

    #[test]
    fn a_deposed_leader_stops_counting() {
        let mut keeper = keeper(&[(1, 1)]);
        keeper.lead(1, BTreeMap::new(), 0, 0);
        keeper.follow();
        assert_eq!(keeper.expired(u64::MAX), None);
        assert_eq!(keeper.remaining(1, 0), Err(NotLeading));
    }

    #[test]
    fn renewing_never_takes_away_what_a_new_leader_has_added() {
        let mut keeper = keeper(&[(7, 2)]);
        keeper.lead(3, BTreeMap::new(), 0, 1_000);
        assert_eq!(keeper.keep_alive(7, 10), Ok(Some(2)));
        assert_eq!(keeper.expired(2_999), None, "2 s and the extension of 1 s");
        assert_eq!(keeper.expired(3_000), Some((3, vec![7])));
    }

    #[test]
    fn a_snapshot_brings_other_leases_and_a_leader_counts_them_anew() {
        let mut keeper = keeper(&[(1, 1), (2, 5)]);
        keeper.lead(4, BTreeMap::new(), 0, 0);
        assert_eq!(keeper.expired(1_000), Some((4, vec![1])));
        keeper.reset([(2, 5), (3, 1)].into_iter(), 2_000, 500);
        assert_eq!(keeper.keep_alive(1, 2_000), Ok(None), "gone");
        assert_eq!(keeper.expired(3_499), None);
        assert_eq!(keeper.expired(3_500), Some((4, vec![3])));
        keeper.revoked(99);
        assert_eq!(keeper.leases(), vec![3, 2], "the one that ends first at the front");
    }

    #[test]
    fn revocations_under_way_are_bounded_and_the_rest_follow() {
        let many: Vec<(LeaseId, i64)> = (1..=limits::REVOKES_IN_FLIGHT_MAX as i64 + 40).map(|id| (id, 1)).collect();
        let mut keeper = keeper(&many);
        keeper.lead(1, BTreeMap::new(), 0, 0);
        let mut named = Vec::new();
        while let Some((_, ended)) = keeper.expired(5_000) {
            assert!(ended.len() <= limits::EXPIRED_LEASES_PER_LOOK);
            named.extend(ended);
        }
        assert_eq!(named.len(), limits::REVOKES_IN_FLIGHT_MAX);
        named.iter().for_each(|&id| keeper.revoked(id));
        let (_, rest) = keeper.expired(5_000).expect("there is room again");
        assert_eq!(rest.len(), 40);
    }

    #[test]
    fn a_new_term_names_again_what_the_old_one_had_proposed() {
        let mut keeper = keeper(&[(7, 1)]);
        keeper.lead(1, BTreeMap::new(), 0, 0);
        assert_eq!(keeper.expired(1_000), Some((1, vec![7])));
        keeper.follow();
        keeper.lead(2, BTreeMap::new(), 1_500, 0);
        assert_eq!(keeper.expired(2_499), None, "its whole time again");
        assert_eq!(keeper.expired(2_500), Some((2, vec![7])));
    }

    #[test]
    fn the_longest_lease_does_not_overflow() {
        let mut keeper = keeper(&[(7, i64::MAX)]);
        keeper.lead(1, BTreeMap::new(), u64::MAX - 5, 1_000);
        assert_eq!(keeper.expired(u64::MAX - 1), None);
        assert_eq!(keeper.keep_alive(7, 5), Ok(Some(i64::MAX)));
    }
}
