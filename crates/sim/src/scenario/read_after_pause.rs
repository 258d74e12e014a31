//! etcd #20418: a leader that was stopped for a while answered reads from
//! before the pause, because late answers to old heartbeats confirmed them.
//!
//! Here a read belongs to a round with a number of its own, and no clock
//! speaks for it. The checker demands that each read knows what was known
//! when it was asked.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// The leader is stopped, others lead and write; then clients read from it.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 3);
    let before = world.counts().elections;
    for _ in 0..4 {
        world.befall(Fault::Pause(leader, 5 * SECOND));
        world.go_on(4 * SECOND);
        let reads = Mix { reads: 80, ..Mix::default() };
        world.clients_ask(reads, SECOND / 100, Some(leader));
        world.go_on(2 * SECOND);
        world.clients_ask(Mix::default(), SECOND / 100, None);
        leader = await_leader(&mut world);
    }
    assert!(world.counts().elections >= before + 4, "each pause made another leader: {:?}", world.counts());
    world.finish()
}
