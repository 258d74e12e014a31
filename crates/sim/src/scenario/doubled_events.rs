//! etcd #15248, #15274 and #17247: events were told twice when a watch that had fallen
//! behind caught up.
//!
//! Here each watch has one cursor that only moves forward.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Watches that read slowly and lose their connections in the middle of a response.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.watches_are_slow(SECOND);
    for round in 0..10 {
        world.go_on(2 * SECOND);
        world.befall(Fault::ClientsCut(round % 3, SECOND / 10));
    }
    let outcome = world.finish();
    assert!(outcome.counts.events > 50, "{outcome:?}");
    outcome
}
