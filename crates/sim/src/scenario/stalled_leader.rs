//! etcd #15247: a leader that hung in a sync stayed leader, and all writes with it.
//!
//! Here it hands over after an election timeout.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// The disk of each leader stands still for twenty seconds.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 3);
    for _ in 0..3 {
        world.befall(Fault::Stall(leader, 20 * SECOND));
        world.go_on(8 * SECOND);
        leader = await_leader(&mut world);
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 2 && outcome.counts.answered > 100, "{outcome:?}");
    outcome
}
