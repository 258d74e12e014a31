//! No bug of etcd by number: connections that break in the middle of a message, all the
//! time, and links that deliver late what another session has sent again.
//!
//! Here acknowledgements are good only for what was sent in their session.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Connections break every half second, in bad order and with clogged links.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 5);
    for round in 0..40 {
        let (from, to) = (round % 5, (round + 1 + round / 5 % 4) % 5);
        // So that there is much on its way when it breaks.
        world.befall(Fault::Clog(from, to, SECOND / 2));
        world.befall(Fault::Clog(to, from, SECOND / 3));
        world.go_on(SECOND / 4);
        world.befall(Fault::Reset(from, to));
        world.go_on(SECOND / 4);
    }
    let outcome = world.finish();
    assert!(outcome.counts.answered > 100, "{outcome:?}");
    outcome
}
