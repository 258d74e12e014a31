//! etcd #4744: a full disk ended the process, and what was written by half needed mending
//! by hand.
//!
//! Here the same write is tried again until there is room.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// The disks fill up one after the other, and all at once.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    for round in 0..9 {
        world.befall(Fault::FullDisk(round % 3, 2 * SECOND));
        world.go_on(3 * SECOND);
    }
    (0..3).for_each(|slot| world.befall(Fault::FullDisk(slot, 3 * SECOND)));
    world.go_on(6 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.answered > 100, "{outcome:?}");
    outcome
}
