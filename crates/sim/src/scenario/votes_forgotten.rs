//! Raft's oldest rule: a member that has voted in a term never votes for another in it, whatever happens to its machine.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::net::Weather;
use crate::world::Outcome;

/// Leaders go, messages are late, and whoever votes loses power right after it.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 5);
    world.weather_is(Weather { delay_least: 1_000, delay_most: 400_000, loss: 0.0, double: 0.0 });
    world.restarts_are_quick();
    for round in 0..30 {
        (0..5).for_each(|slot| world.befall(Fault::PowerLossAtVote(slot)));
        if let Some(leader) = world.leader() {
            world.befall(Fault::PowerLoss(leader));
        }
        world.go_on((2 + round % 3) * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 5 && outcome.counts.crashes >= 20, "{outcome:?}");
    outcome
}
