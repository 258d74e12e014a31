//! Found by seeds, 2000607 the first: time is counted in whole milliseconds, and a lease could end a part of one before its time.
//!
//! Here a lease ends when the millisecond of its end is over.

use super::{SECOND, Story, busy};
use crate::load::Mix;
use crate::world::Outcome;

/// Leases by the thousand at a member alone: it hears of nobody else's clock, and what it proposes is soon applied.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 1);
    let mix = Mix {
        puts: 0,
        deletes: 0,
        txns: 0,
        reads: 0,
        compactions: 0,
        grants: 100,
        keep_alives: 5,
        revocations: 0,
        ..Mix::default()
    };
    world.clients_ask(mix, SECOND / 200, Some(leader));
    world.go_on(20 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.answered > 2_000, "{outcome:?}");
    outcome
}
