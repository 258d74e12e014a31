//! etcd #13922: after a crash while a snapshot was installed, the applied index of
//! the snapshot was overwritten by the older one of the member.
//!
//! Here a snapshot replaces the whole value, position and all, by one swap.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// A member that needs a snapshot loses power at operation after operation.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let apart = (leader + 1) % 3;
    for round in 0..8 {
        world.befall(Fault::Isolate(apart));
        world.go_on(3 * SECOND);
        world.befall(Fault::PowerLossSoon(apart, 1 + 3 * round));
        world.befall(Fault::Heal);
        world.go_on(4 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.snapshots >= 6 && outcome.counts.crashes >= 6, "{outcome:?}");
    outcome
}
