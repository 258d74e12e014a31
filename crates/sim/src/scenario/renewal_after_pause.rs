//! Found by seed 2007214: a leader that was stopped between its proof that it leads and its answer renewed a lease when it went
//! on, seconds later and deposed; the next leader counted from its own beginning. etcd does likewise.
//!
//! Here an answer is given only with a proof that is no older than an election timeout.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::net::Weather;
use crate::world::Outcome;

/// Leaders are stopped for four seconds to a minute while renewals are on their way through slow links, and others lead meanwhile.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 3);
    world.weather_is(Weather { delay_least: 10_000, delay_most: 40_000, loss: 0.0, double: 0.0 });
    world.clients_wait(90 * SECOND);
    let mix = Mix { puts: 5, txns: 0, reads: 5, grants: 10, keep_alives: 80, revocations: 0, ..Mix::default() };
    for pause in [4, 5, 4, 60, 5, 4] {
        world.clients_ask(mix, SECOND / 100, Some(leader));
        world.go_on(2 * SECOND);
        world.befall(Fault::Pause(leader, pause * SECOND));
        world.clients_ask(mix, SECOND / 100, None);
        world.go_on((pause + 3) * SECOND);
        leader = await_leader(&mut world);
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 4 && outcome.counts.renewals > 200, "{outcome:?}");
    outcome
}
