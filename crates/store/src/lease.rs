//! Which leases are granted, and which keys hang on each.
//!
//! Replicated state only: seconds granted and, after a checkpoint, seconds left.
//! When a lease runs out is the keeper's business. This module knows no clock and
//! must never look at one: on every member the same entries give the same leases.
//!
//! A key hangs on one lease at most. Which one it is stands in the key's newest
//! record, so whoever changes a key says the old lease and the new
//! ([`Leases::rehang`]); there is no second index from keys to leases to keep true.
//!
//! Clones share everything and cost O(1), so that each View has its own.

mod ordered;

use bytes::Bytes;
use ordered::Ordered;

use crate::chain;
use crate::ids::LeaseId;
use crate::refusal::Refusal;

/// The lease of a key that hangs on none.
pub const NO_LEASE: LeaseId = 0;

/// The longest lease that can be granted, in seconds (etcd `lessor.MaxLeaseTTL`).
pub const TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// One granted lease.
#[derive(Clone, Debug)]
pub struct Lease {
    ttl_seconds: i64,
    remaining_seconds: i64,
    keys: Ordered<Bytes, ()>,
}

impl Lease {
    fn new(ttl_seconds: i64, remaining_seconds: i64) -> Lease {
        Lease { ttl_seconds, remaining_seconds, keys: Ordered::default() }
    }

    /// Seconds granted, at least the minimum in force at the grant.
    pub fn ttl_seconds(&self) -> i64 {
        self.ttl_seconds
    }

    /// Seconds left at the last checkpoint; 0 when there was none since the
    /// grant or the last renewal.
    pub fn remaining_seconds(&self) -> i64 {
        self.remaining_seconds
    }

    /// The attached keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &Bytes> {
        self.keys.iter().map(|(key, ())| key)
    }

    /// How many keys are attached.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }
}

/// All granted leases, by id.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    granted: Ordered<LeaseId, Lease>,
    /// What each adds to the hash chain.
    sum: u64,
}

impl Leases {
    /// What a grant would answer: the effective seconds. Changes nothing.
    ///
    /// Times below `ttl_seconds_min`, zero and negative ones too, are raised to it.
    /// Id 0 must have been replaced before the command was proposed; here it is
    /// refused as etcd does, with LeaseNotFound.
    pub fn check_grant(&self, id: LeaseId, ttl_seconds: i64, ttl_seconds_min: i64) -> Result<i64, Refusal> {
        if id == NO_LEASE {
            return Err(Refusal::LeaseNotFound);
        }
        if ttl_seconds > TTL_SECONDS_MAX {
            return Err(Refusal::LeaseTtlTooLarge);
        }
        if self.exists(id) {
            return Err(Refusal::LeaseExist);
        }
        Ok(ttl_seconds.max(ttl_seconds_min))
    }

    /// Grants a lease. Returns the effective seconds; see [`Leases::check_grant`].
    pub fn grant(&mut self, id: LeaseId, ttl_seconds: i64, ttl_seconds_min: i64) -> Result<i64, Refusal> {
        let ttl_seconds = self.check_grant(id, ttl_seconds, ttl_seconds_min)?;
        self.restore(id, ttl_seconds, 0);
        Ok(ttl_seconds)
    }

    /// Puts a lease back as it was stored, before its keys are attached again.
    /// A lease of that id loses its keys.
    pub fn restore(&mut self, id: LeaseId, ttl_seconds: i64, remaining_seconds: i64) {
        let lease = Lease::new(ttl_seconds, remaining_seconds);
        self.sum = self.sum.wrapping_add(chain::lease(id, &lease));
        if let Some(before) = self.granted.insert(id, lease) {
            self.sum = self.sum.wrapping_sub(chain::lease(id, &before));
        }
    }

    /// Takes a lease back. Returns the keys to delete, sorted, for one revision.
    pub fn revoke(&mut self, id: LeaseId) -> Result<Vec<Bytes>, Refusal> {
        let lease = self.granted.remove(&id).ok_or(Refusal::LeaseNotFound)?;
        self.sum = self.sum.wrapping_sub(chain::lease(id, &lease));
        Ok(lease.keys().cloned().collect())
    }

    /// Hangs a key on a lease. `false`, and nothing happens, for
    /// [`NO_LEASE`] and for a lease that is not granted.
    pub fn attach(&mut self, id: LeaseId, key: &[u8]) -> bool {
        if id == NO_LEASE {
            return false;
        }
        let Some(lease) = self.granted.get_mut(&id) else { return false };
        if lease.keys.get(key).is_none() {
            // A copy of its own: a slice would keep a whole log entry alive.
            lease.keys.insert(Bytes::copy_from_slice(key), ());
        }
        true
    }

    /// Takes a key off a lease; nothing happens when it does not hang there.
    pub fn detach(&mut self, id: LeaseId, key: &[u8]) {
        let hangs = self.granted.get(&id).is_some_and(|lease| lease.keys.get(key).is_some());
        if hangs && let Some(lease) = self.granted.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    /// Moves a key from the lease of its last record to the lease of its new one;
    /// either may be [`NO_LEASE`].
    pub fn rehang(&mut self, key: &[u8], old: LeaseId, new: LeaseId) {
        if old != new {
            self.detach(old, key);
        }
        self.attach(new, key);
    }

    /// Notes how many seconds a lease had left. `None` for one that is not
    /// granted: it ran out meanwhile, and etcd ignores that too.
    pub fn checkpoint(&mut self, id: LeaseId, remaining_seconds: i64) -> Option<&Lease> {
        let lease = self.granted.get_mut(&id)?;
        self.sum = self.sum.wrapping_sub(chain::lease(id, lease));
        lease.remaining_seconds = remaining_seconds;
        self.sum = self.sum.wrapping_add(chain::lease(id, lease));
        Some(lease)
    }

    /// What leases add to the hash chain ([`chain::lease`]), as it changes with each.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// A lease by id.
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.granted.get(&id)
    }

    /// Whether a lease is granted.
    pub fn exists(&self, id: LeaseId) -> bool {
        self.get(id).is_some()
    }

    /// Every lease, by ascending id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.granted.iter().map(|(id, lease)| (*id, lease))
    }

    /// How many leases are granted.
    pub fn len(&self) -> usize {
        self.granted.len()
    }

    /// Whether none is granted.
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(leases: &Leases, id: LeaseId) -> Vec<Bytes> {
        leases.get(id).unwrap().keys().cloned().collect()
    }

    #[test]
    fn a_grant_is_bounded_and_unique() {
        let mut leases = Leases::default();
        assert_eq!(leases.grant(7, 60, 2), Ok(60));
        assert_eq!(leases.grant(7, 60, 2), Err(Refusal::LeaseExist));
        assert_eq!(leases.grant(7, TTL_SECONDS_MAX + 1, 2), Err(Refusal::LeaseTtlTooLarge));
        assert_eq!(leases.grant(8, TTL_SECONDS_MAX, 2), Ok(TTL_SECONDS_MAX));
        assert_eq!(leases.grant(9, -5, 2), Ok(2));
        assert_eq!(leases.grant(-1, 0, 2), Ok(2));
        assert_eq!(leases.grant(0, 60, 2), Err(Refusal::LeaseNotFound));
        let ids: Vec<LeaseId> = leases.iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [-1, 7, 8, 9]);
        assert_eq!(leases.len(), 4);
    }

    #[test]
    fn a_revoked_lease_names_its_keys_in_order() {
        let mut leases = Leases::default();
        leases.grant(7, 60, 2).unwrap();
        for key in ["b", "a", "c", "a"] {
            assert!(leases.attach(7, key.as_bytes()));
        }
        leases.detach(7, b"c");
        leases.detach(7, b"never there");
        leases.detach(99, b"a");
        assert_eq!(leases.revoke(7).unwrap(), ["a", "b"]);
        assert_eq!(leases.revoke(7), Err(Refusal::LeaseNotFound));
        assert!(leases.is_empty());
    }

    #[test]
    fn a_key_hangs_on_the_lease_of_its_last_put() {
        let mut leases = Leases::default();
        leases.grant(1, 60, 2).unwrap();
        leases.grant(2, 60, 2).unwrap();
        leases.rehang(b"k", NO_LEASE, 1);
        leases.rehang(b"k", 1, 1);
        assert_eq!(keys(&leases, 1), ["k"]);
        leases.rehang(b"k", 1, 2);
        assert_eq!((keys(&leases, 1).len(), keys(&leases, 2)), (0, vec!["k".into()]));
        leases.rehang(b"k", 2, NO_LEASE);
        assert_eq!(leases.get(2).unwrap().key_count(), 0);
        assert!(!leases.attach(3, b"k"), "nobody granted 3");
    }

    #[test]
    fn a_clone_does_not_see_what_comes_later() {
        let mut leases = Leases::default();
        leases.grant(1, 60, 2).unwrap();
        leases.attach(1, b"k");
        let before = leases.clone();
        leases.attach(1, b"l");
        assert!(leases.checkpoint(1, 11).is_some());
        assert!(leases.checkpoint(2, 11).is_none());
        assert_eq!(before.get(1).unwrap().remaining_seconds(), 0);
        assert_eq!(leases.get(1).unwrap().remaining_seconds(), 11);
        leases.revoke(1).unwrap();
        assert_eq!(keys(&before, 1), ["k"]);
    }

    #[test]
    fn the_sum_is_of_the_leases_as_they_are() {
        let mut leases = Leases::default();
        for id in [3, 1, 2] {
            leases.grant(id, 100 * id, 2).unwrap();
        }
        leases.checkpoint(1, 11).unwrap();
        leases.checkpoint(1, 12).unwrap();
        leases.checkpoint(3, 13).unwrap();
        leases.revoke(3).unwrap();
        leases.attach(2, b"k");
        leases.restore(2, 300, 4);
        let sum =
            |leases: &Leases| leases.iter().fold(0u64, |sum, (id, lease)| sum.wrapping_add(chain::lease(id, lease)));
        assert_eq!(leases.sum(), sum(&leases));
        assert_ne!(leases.sum(), 0);
        leases.revoke(1).unwrap();
        leases.revoke(2).unwrap();
        assert_eq!(leases.sum(), 0);
    }

    #[test]
    fn a_restored_lease_keeps_its_seconds() {
        let mut leases = Leases::default();
        leases.restore(5, 600, 42);
        assert!(leases.attach(5, b"k"));
        let lease = leases.get(5).unwrap();
        assert_eq!((lease.ttl_seconds(), lease.remaining_seconds()), (600, 42));
    }
}
