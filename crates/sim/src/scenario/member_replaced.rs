//! etcd #13348 and #20793: two stores of membership disagreed, and a promoted
//! learner was a learner again after a restart.
//!
//! Here there is one roster, in the same frames as the keys.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// A disk is lost, its member replaced, and then all power is lost.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    world.befall(Fault::DiskLost((leader + 1) % 3));
    world.go_on(8 * SECOND);
    world.befall(Fault::AllPowerLoss);
    world.go_on(6 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.replaced == 1 && outcome.counts.snapshots > 0, "{outcome:?}");
    outcome
}
