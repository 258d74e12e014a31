//! etcd #7331 and #12762: a new leader answered reads before it had committed an entry
//! of its own term, from a commit index that was too low.
//!
//! Here read rounds wait for that entry.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Leaders are killed while clients do little but read.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 3);
    world.clients_ask(Mix { reads: 200, ..Mix::default() }, SECOND / 200, None);
    for _ in 0..6 {
        world.befall(Fault::Kill(leader));
        world.go_on(4 * SECOND);
        leader = await_leader(&mut world);
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 4, "{outcome:?}");
    outcome
}
