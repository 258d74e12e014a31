//! Found by reading: nothing bounded the bytes that waited for the Store of a member whose log was quicker.
//!
//! A follower's Store is slow while the others go on with large values. It takes no more entries then, and catches up later.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::member::Habits;
use crate::world::Outcome;

/// Tells it.
pub fn run(story: Story) -> Outcome {
    let (mut world, leader) = busy(story, 3);
    let habits = world.habits();
    world.keep_house(Habits {
        backlog_bytes: 16 << 10,
        uncommitted_bytes: 64 << 10,
        in_flight_bytes: 64 << 10,
        ..habits
    });
    world.befall(Fault::AllPowerLoss);
    world.go_on(6 * SECOND);
    let leader = world.leader().unwrap_or(leader);
    let mix =
        Mix { puts: 100, deletes: 5, txns: 0, reads: 0, grants: 0, keep_alives: 0, filler: 20_000, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, Some(leader));
    let before = world.counts().answered;
    world.befall(Fault::SlowStore((leader + 1) % 3, 10 * SECOND));
    world.go_on(8 * SECOND);
    assert!(world.counts().answered > before + 200, "the others go on");
    world.finish()
}
