//! How many bytes the log has, and how many of them a sweep could give back.
//!
//! In a sealed segment only records that somebody can still read are worth their room. Frames around them, checkpoints,
//! leases and rosters counted while the segment was the last one; now they are room to be given back, like dead records.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::segment::Segment;

/// Kept up to date as things happen, so that asking costs nothing.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Bytes of records nobody can read any more, by the id of their segment.
    dead: BTreeMap<u32, u64>,
    sealed_bytes: u64,
    reclaimable_bytes: u64,
}

impl Ledger {
    pub(super) fn new<F>(dead: BTreeMap<u32, u64>, sealed: &[Arc<Segment<F>>]) -> Ledger {
        let mut ledger = Ledger { dead, ..Ledger::default() };
        ledger.recount(sealed);
        ledger
    }

    /// Counts anew, after segments have been replaced. Forgets the dead of those that are gone.
    pub(super) fn recount<F>(&mut self, sealed: &[Arc<Segment<F>>]) {
        self.sealed_bytes = 0;
        self.reclaimable_bytes = self.dead.values().sum();
        for segment in sealed {
            self.seal(segment);
        }
    }

    /// A segment is no longer written to.
    pub(super) fn seal<F>(&mut self, segment: &Segment<F>) {
        assert!(segment.record_bytes <= segment.len, "records lie in their segment");
        self.sealed_bytes += segment.len;
        self.reclaimable_bytes += segment.len - segment.record_bytes;
    }

    /// A record is dead.
    pub(super) fn note_dead(&mut self, segment: u32, bytes: u64) {
        *self.dead.entry(segment).or_default() += bytes;
        self.reclaimable_bytes += bytes;
    }

    /// A segment is gone.
    pub(super) fn forget(&mut self, segment: u32) {
        self.dead.remove(&segment);
    }

    /// Bytes of a sealed segment that are worth their room.
    pub(super) fn live_bytes<F>(&self, segment: &Segment<F>) -> u64 {
        segment.record_bytes.saturating_sub(self.dead.get(&segment.id).copied().unwrap_or(0))
    }

    /// Bytes of all sealed segments.
    pub(super) fn sealed_bytes(&self) -> u64 {
        self.sealed_bytes
    }

    /// Bytes that are not worth their room.
    pub(super) fn reclaimable_bytes(&self) -> u64 {
        self.reclaimable_bytes
    }
}
