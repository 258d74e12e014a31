//! etcd #20615: a renewal was answered after the revocation had been applied.
//!
//! Here a lease that has ended, or is about to be revoked, is not renewed.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Short leases and many renewals, with slow disks in between.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let mix = Mix { grants: 30, keep_alives: 200, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, Some(leader));
    for _ in 0..10 {
        world.befall(Fault::SlowDisk(leader, SECOND));
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.renewals > 50, "{outcome:?}");
    outcome
}
