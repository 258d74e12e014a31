//! Found by seed 1002262: a member that is alone answers a write, loses power, and is up again on a disk that stands still.
//!
//! Until its disk has written what it begins its term with, it does not know any more that the write is committed. It may not
//! count as lost then, and nobody at rest may be without it.

use super::{SECOND, Story};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::{Outcome, World};

/// Tells it.
pub fn run(story: Story) -> Outcome {
    let mut world = World::directed(story, 1);
    let mix = Mix { reads: 0, grants: 0, keep_alives: 0, compactions: 0, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    world.restarts_are_quick();
    world.go_on(4 * SECOND);
    assert!(world.counts().answered > 100, "writes were answered");
    world.befall(Fault::PowerLoss(0));
    world.go_on(SECOND / 5);
    // It campaigns, and what it begins its term with is written only much later.
    world.befall(Fault::Stall(0, 30 * SECOND));
    world.go_on(6 * SECOND);
    let outcome = world.finish();
    assert!(outcome.simulated > 30 * SECOND, "the disk has stood still until the end");
    outcome
}
