//! Reads that wait while a member installs a snapshot.
//!
//! They are answered from the snapshot or from what comes after it, never from the moment before.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// A member that needs a snapshot is asked for nothing but reads.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let apart = (leader + 1) % 3;
    for _ in 0..8 {
        world.clients_ask(Mix::default(), SECOND / 100, Some(leader));
        world.befall(Fault::Isolate(apart));
        world.go_on(2 * SECOND);
        let reads = Mix {
            puts: 1,
            deletes: 0,
            txns: 0,
            reads: 99,
            compactions: 0,
            grants: 0,
            keep_alives: 0,
            ..Mix::default()
        };
        world.clients_ask(reads, SECOND / 100, Some(apart));
        world.go_on(SECOND / 4);
        world.befall(Fault::Heal);
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.snapshots >= 4, "{outcome:?}");
    outcome
}
