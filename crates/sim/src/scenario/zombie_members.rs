//! etcd #19557 and #20967: members that had been removed were back in the roster after
//! an upgrade or a snapshot.
//!
//! Here a removed id never comes back, and the snapshot says which they are.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// One member after the other is replaced, with snapshots in between.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 5);
    for round in 0..4 {
        world.befall(Fault::DiskLost((leader + 1 + round) % 5));
        world.go_on(8 * SECOND);
        leader = await_leader(&mut world);
    }
    world.befall(Fault::AllPowerLoss);
    world.go_on(5 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.replaced >= 2, "{outcome:?}");
    outcome
}
