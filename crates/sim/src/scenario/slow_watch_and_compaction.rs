//! etcd #17529: a watch that had fallen behind a compaction skipped ahead in silence.
//!
//! Here it ends, and says which revision is gone.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Very slow watches and many compactions.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.watches_are_slow(8 * SECOND);
    world.clients_ask(Mix { compactions: 30, ..Mix::default() }, SECOND / 200, None);
    for round in 0..6 {
        world.befall(Fault::SlowStore(round % 3, SECOND));
        world.go_on(4 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.events > 0, "{outcome:?}");
    outcome
}
