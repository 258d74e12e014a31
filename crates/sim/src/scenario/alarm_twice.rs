//! etcd #13475: an alarm that was raised again stood there twice.
//!
//! Here alarms are a set.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Every alarm is raised three times and taken back once; puts go on after it.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    for slot in 0..3 {
        for _ in 0..3 {
            world.befall(Fault::Alarm(slot, true));
            world.go_on(SECOND / 5);
        }
        world.befall(Fault::Alarm(slot, false));
        world.befall(Fault::Kill(slot));
        world.go_on(3 * SECOND);
    }
    world.go_on(4 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.events > 0, "{outcome:?}");
    outcome
}
