//! etcd #14239: a lease with a negative id was kept by some members and not by others.
//!
//! Here an id is a number like any other, in memory, on disk and in snapshots.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Leases with ids from end to end, power losses and a snapshot.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    for (slot, id) in [i64::MIN, -1, i64::MAX, -77].into_iter().enumerate() {
        world.grant(slot % 3, id, 60);
        world.go_on(SECOND / 2);
    }
    let apart = (leader + 1) % 3;
    world.befall(Fault::Isolate(apart));
    world.go_on(4 * SECOND);
    world.befall(Fault::Heal);
    world.befall(Fault::PowerLoss(leader));
    world.go_on(4 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.snapshots > 0 && outcome.counts.crashes > 0, "{outcome:?}");
    outcome
}
