//! etcd #13508, #14253 and #17132: what a lease had left was lost or shortened when
//! leadership changed for the third time.
//!
//! Here a new leader gives every lease its whole time again.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Leadership goes round while leases are granted and renewed.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let mix = Mix { grants: 40, keep_alives: 80, ..Mix::default() };
    world.clients_ask(mix, SECOND / 50, None);
    for round in 0..9 {
        world.befall(Fault::Transfer(round % 3));
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 4, "{outcome:?}");
    outcome
}
