//! etcd #14098, #15069 and #14127: a torn last record, or old bytes in room set aside,
//! kept a member from starting.
//!
//! Here the chain of checksums tells a torn end from damage, and the end is cut.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// A member alone loses power in the middle of its writes.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 1);
    for operation in 1..20 {
        world.befall(Fault::PowerLossSoon(0, operation));
        world.go_on(3 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 15, "{outcome:?}");
    outcome
}
