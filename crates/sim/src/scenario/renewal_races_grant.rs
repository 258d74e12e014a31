//! etcd #13932 and #14177: a renewal raced the grant being applied.
//!
//! Here Keeper learns of a grant before its client does.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Nothing but grants and renewals, while applying is slow by turns.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let mix = Mix { grants: 60, keep_alives: 120, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    for round in 0..8 {
        world.befall(Fault::SlowStore(round % 3, SECOND));
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.renewals > 50, "{outcome:?}");
    outcome
}
