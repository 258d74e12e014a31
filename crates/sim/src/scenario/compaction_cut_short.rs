//! etcd #17780 and #14685: a crash during compaction or defragmentation made
//! the revision go back, or lost it.
//!
//! Here space is given back by writing aside and one swap, and the revision
//! comes from frames alone. Members lose power at operation after operation
//! while they compact and sweep.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Many compactions, and a loss of power at each of many operations.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let mix = Mix { puts: 40, deletes: 20, compactions: 20, reads: 20, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    for round in 0..20 {
        world.befall(Fault::PowerLossSoon(round % 3, 3 + 2 * round as u64));
        world.go_on(3 * SECOND);
    }
    // All compacted away, and all at once without power.
    world.befall(Fault::AllPowerLoss);
    world.go_on(5 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 20, "{outcome:?}");
    outcome
}
