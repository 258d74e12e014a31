//! etcd #14890 and #18424: a client asked again what had been done already, because the
//! answer had been lost.
//!
//! Here a client that hears nothing does not know, and says so.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Links to clients break while requests are under way.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    for round in 0..12 {
        world.befall(Fault::ClientsCut(round % 3, SECOND));
        world.go_on(SECOND);
        world.befall(Fault::KillSoon(round % 3, 5));
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.asked > outcome.counts.answered, "{outcome:?}");
    outcome
}
