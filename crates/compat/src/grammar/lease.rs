//! Leases. None may end by itself during a lane, because nobody could say at
//! which revision: a time to live is long, or refused, or revoked at once.

use super::Grammar;
use crate::request;
use proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest};

/// Ids that clients choose: few, so that most of them are granted, with several keys.
const IDS: i64 = 4;

impl Grammar {
    /// For a key: a chosen id, or one that the server named where that is
    /// allowed, or none at all.
    pub(super) fn lease_for_key(&mut self) -> i64 {
        if self.lane.named_leases && self.one_in(3) {
            return request::named_lease(self.chance.i64(0..20));
        }
        self.chosen_lease()
    }

    /// An id that a client might choose.
    pub(super) fn chosen_lease(&mut self) -> i64 {
        if self.one_in(12) {
            return self.absurd();
        }
        self.chance.i64(0..=IDS)
    }

    fn any_lease(&mut self) -> i64 {
        if self.one_in(4) {
            return request::named_lease(self.chance.i64(0..20));
        }
        self.chosen_lease()
    }

    pub(super) fn grant(&mut self) -> LeaseGrantRequest {
        let mut id = if self.one_in(4) { 0 } else { self.chosen_lease() };
        // Excluded: lease-ids-at-restart.
        if self.lane.is_mixed() && !(0..i64::MAX).contains(&id) {
            id = IDS + 1;
        }
        let ttl = match self.chance.u32(0..10) {
            0 => 9_000_000_000,
            1 => [9_000_000_001, i64::MAX, i64::MAX - 1][self.chance.usize(0..3)],
            _ => self.chance.i64(100_000..200_000),
        };
        LeaseGrantRequest { id, ttl }
    }

    pub(super) fn short_grant(&mut self) -> LeaseGrantRequest {
        let ttl = [0, 1, 2, -1, i64::MIN][self.chance.usize(0..5)];
        // Far from the ids that are used for keys.
        LeaseGrantRequest { id: 1000, ttl }
    }

    pub(super) fn revoke(&mut self) -> LeaseRevokeRequest {
        LeaseRevokeRequest { id: self.any_lease() }
    }

    /// Several on one stream.
    pub(super) fn keep_alives(&mut self) -> Vec<i64> {
        let count = self.chance.usize(1..5);
        (0..count).map(|_| self.any_lease()).collect()
    }

    pub(super) fn time_to_live(&mut self) -> LeaseTimeToLiveRequest {
        LeaseTimeToLiveRequest { id: self.any_lease(), keys: self.chance.bool() }
    }
}
