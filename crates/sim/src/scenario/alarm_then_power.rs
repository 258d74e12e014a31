//! etcd #14429: some requests about alarms did not move the applied index, and a
//! member did not start after a loss of power.
//!
//! Here every entry moves it, in the frame that holds its change.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Alarms come and go, and after each all power is lost.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    for round in 0..8 {
        world.befall(Fault::Alarm(round % 3, round % 2 == 0));
        world.go_on(SECOND / 5);
        world.befall(Fault::AllPowerLoss);
        world.go_on(6 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 20, "{outcome:?}");
    outcome
}
