//! How much Core gathers and keeps.

use crate::limits;

/// How much Core gathers and keeps: by default what `limits` says. A simulated member has less, so that each bound is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// See [`limits::APPLY_BATCH_MAX`].
    pub apply_batch: usize,
    /// See [`limits::APPLY_BATCH_BYTES_MAX`].
    pub apply_batch_bytes: usize,
    /// See [`limits::TAIL_BYTES_MAX`].
    pub tail_bytes: u64,
    /// See [`limits::HELD_PROPOSALS_MAX`].
    pub held: usize,
    /// See [`limits::HELD_PROPOSAL_BYTES_MAX`].
    pub held_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            apply_batch: limits::APPLY_BATCH_MAX,
            apply_batch_bytes: limits::APPLY_BATCH_BYTES_MAX,
            tail_bytes: limits::TAIL_BYTES_MAX,
            held: limits::HELD_PROPOSALS_MAX,
            held_bytes: limits::HELD_PROPOSAL_BYTES_MAX,
        }
    }
}
