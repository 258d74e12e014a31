//! etcd #11613: a defragmentation went on with a temporary file that an earlier one
//! had left, and deleted keys and leases were back.
//!
//! Here a sweep writes aside under a new name and swaps once.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Deletions, compactions and leases, and a loss of power at many operations.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let mix = Mix { puts: 30, deletes: 30, compactions: 25, grants: 10, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    for round in 0..18 {
        world.befall(Fault::PowerLossSoon(round % 3, 2 + round as u64));
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 15, "{outcome:?}");
    outcome
}
