//! Ranges, puts and deletes.

use super::Grammar;
use crate::request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};

impl Grammar {
    pub(super) fn range(&mut self) -> RangeRequest {
        let mut range = RangeRequest {
            key: self.key(),
            range_end: self.end(),
            revision: self.revision(),
            serializable: self.chance.bool(),
            keys_only: self.one_in(4),
            count_only: self.one_in(6),
            ..RangeRequest::default()
        };
        if self.one_in(2) {
            range.limit = if self.one_in(10) { self.absurd() } else { self.chance.i64(0..5) };
        }
        if self.one_in(2) {
            (range.sort_order, range.sort_target) = (self.chance.i32(0..3), self.chance.i32(0..5));
        }
        if self.one_in(4) {
            range.min_mod_revision = self.bound();
            range.max_mod_revision = self.bound();
            range.min_create_revision = self.bound();
            range.max_create_revision = self.bound();
        }
        range
    }

    /// Now and then in an order that is not known. Excluded: sort-option, so
    /// only where nothing depends on it, and never with an unknown target.
    pub(super) fn strange_range(&mut self) -> RangeRequest {
        let mut range = self.range();
        if self.one_in(40) {
            range.sort_order = [3, -1, i32::MAX, i32::MIN][self.chance.usize(0..4)];
        }
        range
    }

    /// A bound of a filter by revision; mostly none.
    fn bound(&mut self) -> i64 {
        match self.chance.u32(0..10) {
            0..6 => 0,
            6..9 => request::current(-self.chance.i64(-1..40)),
            _ => self.absurd(),
        }
    }

    pub(super) fn put(&mut self) -> PutRequest {
        let mut put = PutRequest {
            key: self.key(),
            value: self.value(),
            prev_kv: self.one_in(2),
            ignore_value: self.one_in(10),
            ignore_lease: self.one_in(10),
            ..PutRequest::default()
        };
        if self.one_in(3) {
            put.lease = self.lease_for_key();
        }
        // Given together they are refused; let that not be always.
        if put.ignore_value && !self.one_in(4) {
            put.value = bytes::Bytes::new();
        }
        if put.ignore_lease && !self.one_in(4) {
            put.lease = 0;
        }
        put
    }

    pub(super) fn delete(&mut self) -> DeleteRangeRequest {
        DeleteRangeRequest { key: self.key(), range_end: self.end(), prev_kv: self.one_in(2) }
    }
}
