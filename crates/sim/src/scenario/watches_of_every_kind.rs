//! etcd #15271, #15220 and their kin, as one story: watches of the past, of now and of the future, with filters, previous values and
//! fragments, several on a stream, cancelled and asked how far they are, were each told something else than they had asked for.
//!
//! Here each has a cursor, and what it wants is looked at in one place.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Forty clients watch, while members go and come back, connections break, and compactions pass by.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let mix =
        Mix { puts: 50, deletes: 25, txns: 20, reads: 2, compactions: 4, grants: 0, keep_alives: 0, ..Mix::default() };
    world.clients_ask(mix, SECOND / 50, None);
    for round in 0..4 {
        world.more_watch(10);
        world.go_on(2 * SECOND);
        match round % 2 {
            0 => world.befall(Fault::AllClientsCut(SECOND / 5)),
            _ => world.befall(Fault::Kill(round % 3)),
        }
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.events > 2_000 && outcome.counts.progress > 500, "{outcome:?}");
    outcome
}
