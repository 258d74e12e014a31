//! etcd #20271: a snapshot was installed while the file it replaced was defragmented.
//!
//! Here both are jobs of one owner, one after the other.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// A member falls behind again and again while everybody compacts.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let mix = Mix { puts: 60, deletes: 30, compactions: 25, ..Mix::default() };
    // Of the leader: a client that asks the one that is cut off waits for five seconds, and soon all of them would.
    world.clients_ask(mix, SECOND / 100, Some(leader));
    let apart = (leader + 1) % 3;
    for _ in 0..5 {
        world.befall(Fault::Isolate(apart));
        world.go_on(3 * SECOND);
        world.befall(Fault::Heal);
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.snapshots >= 5, "{outcome:?}");
    outcome
}
