//! etcd #18055: two snapshots close together; the second came while the first
//! was being installed, and the member stopped or kept parts of both.
//!
//! Here a restore is one job in Store's queue, and replaces the whole value.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// A member whose store is slow is cut off again right after it was healed.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let apart = (leader + 1) % 3;
    world.clients_ask(Mix::default(), SECOND / 100, Some(leader));
    for _ in 0..4 {
        world.befall(Fault::Isolate(apart));
        world.go_on(3 * SECOND);
        world.befall(Fault::SlowStore(apart, 3 * SECOND));
        for _ in 0..3 {
            world.befall(Fault::Heal);
            world.go_on(SECOND / 4);
            world.befall(Fault::Isolate(apart));
            world.go_on(SECOND);
        }
        world.befall(Fault::Heal);
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.snapshots >= 8, "{outcome:?}");
    outcome
}
