//! etcd #15220 and #17529: under load, progress notices overtook the events
//! they spoke for, or events came out of order.
//!
//! Here both leave by the same queue, and one assertion guards it.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Many writes, members whose store is slow by turns, and slow watches.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.watches_are_slow(3 * SECOND);
    for round in 0..10 {
        world.befall(Fault::SlowStore(round % 3, 2 * SECOND));
        world.go_on(3 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.events > 100, "{outcome:?}");
    outcome
}
