//! etcd #12528 and #15247: a leader stuck in a sync was deposed, woke, and its
//! revocations were carried on to the new leader.
//!
//! Here a revocation names the term in which it is meant.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// The leader stands still while others renew what it believes has ended.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 3);
    let mix = Mix { grants: 40, keep_alives: 120, ..Mix::default() };
    world.clients_ask(mix, SECOND / 50, None);
    for _ in 0..5 {
        world.befall(Fault::Pause(leader, 6 * SECOND));
        world.go_on(8 * SECOND);
        leader = await_leader(&mut world);
    }
    let outcome = world.finish();
    assert!(outcome.counts.renewals > 20 && outcome.counts.elections >= 5, "{outcome:?}");
    outcome
}
