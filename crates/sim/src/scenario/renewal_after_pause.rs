//! Found by seed 2007214: a leader that was stopped between its proof that it leads and its answer renewed a lease when it went
//! on, seconds later and deposed; the next leader counted from its own beginning. etcd does likewise.
//!
//! Here an answer is given only with a proof that is no older than an election timeout.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::net::Weather;
use crate::world::Outcome;

/// Leaders are stopped for eight seconds to a minute while renewals are on their way through slow links, and others lead meanwhile.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.weather_is(Weather { delay_least: 10_000, delay_most: 40_000, loss: 0.0, double: 0.0 });
    world.clients_wait(90 * SECOND);
    let quiet = Mix { grants: 0, keep_alives: 0, revocations: 0, ..Mix::default() };
    let renewals = Mix { puts: 2, deletes: 0, txns: 0, reads: 2, compactions: 0, keep_alives: 100, ..quiet };
    for (round, pause) in [8, 60, 8, 20, 8, 20].into_iter().enumerate() {
        let leader = await_leader(&mut world);
        let first = 1_000_000 + 10 * round as i64;
        (first..first + 4).for_each(|lease| world.grant(leader, lease, 12));
        // With some time to spare, or hardly any: then all are on their way when it stops.
        let rest = if pause == 8 { SECOND / 100 } else { SECOND / 10 };
        world.clients_ask(renewals, rest, Some(leader));
        world.go_on(2 * SECOND);
        world.befall(Fault::Pause(leader, pause * SECOND));
        // Nobody else renews them, and what it says when it goes on is all there is; or others do all the time.
        world.clients_ask(if pause == 8 { quiet } else { renewals }, SECOND / 10, None);
        world.go_on((pause + 20) * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 4 && outcome.counts.renewals > 60, "{outcome:?}");
    outcome
}
