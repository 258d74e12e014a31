//! etcd #14140 and #14143: all members were killed at once and acknowledged writes were
//! gone; it was never explained.
//!
//! Here an answer follows a majority of syncs.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// All power is lost again and again.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 5);
    for round in 0..10 {
        world.go_on(2 * SECOND + round * SECOND / 13);
        world.befall(Fault::AllPowerLoss);
        world.go_on(5 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 40, "{outcome:?}");
    outcome
}
