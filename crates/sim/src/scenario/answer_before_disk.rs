//! etcd #14370: a member alone answered before its own disk held the entry;
//! after a loss of power the acknowledged write was gone.
//!
//! Here nothing is handed on beyond what is durable, and Core asserts it.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// A cluster of one with a slow disk that loses power again and again.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 1);
    for round in 0..12 {
        world.befall(Fault::SlowDisk(0, 2 * SECOND));
        world.go_on(SECOND + round * SECOND / 17);
        world.befall(Fault::PowerLoss(0));
        world.go_on(6 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 8 && outcome.counts.answered > 50, "{outcome:?}");
    outcome
}
