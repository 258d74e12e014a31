//! etcd #15271 and #20221: a watch on a member that caught up by a snapshot
//! was told events again, or those of a future it had not asked for yet.
//!
//! Here each watch has a cursor, and one place moves it.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// The member with all the watches is cut off until it needs a snapshot.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let apart = (leader + 1) % 3;
    world.watches_connect(Some(apart));
    for _ in 0..4 {
        world.go_on(2 * SECOND);
        world.befall(Fault::Isolate(apart));
        world.go_on(4 * SECOND);
        world.befall(Fault::Heal);
        world.go_on(3 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.snapshots >= 4 && outcome.counts.events > 0, "{outcome:?}");
    outcome
}
