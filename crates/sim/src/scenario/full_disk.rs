//! etcd #4744: a full disk ended the process, and what was written by half needed mending
//! by hand.
//!
//! Here the same write is tried again until there is room.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// The disks fill up one after the other, under a member that comes back and needs a snapshot too, and all at once.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    for round in 0..9 {
        world.befall(Fault::FullDisk(round % 3, 2 * SECOND));
        world.go_on(3 * SECOND);
    }
    for _ in 0..3 {
        let leader = await_leader(&mut world);
        let apart = (leader + 1) % 3;
        world.clients_ask(Mix::default(), SECOND / 100, Some(leader));
        world.befall(Fault::Isolate(apart));
        world.go_on(3 * SECOND);
        world.befall(Fault::FullDisk(apart, 2 * SECOND));
        world.befall(Fault::Heal);
        world.go_on(4 * SECOND);
    }
    world.clients_ask(Mix::default(), SECOND / 100, None);
    (0..3).for_each(|slot| world.befall(Fault::FullDisk(slot, 3 * SECOND)));
    world.go_on(6 * SECOND);
    let before = world.counts().answered;
    world.go_on(2 * SECOND);
    assert!(world.counts().answered > before + 50, "with room again they go on by themselves");
    let outcome = world.finish();
    assert_eq!(outcome.counts.crashes, 0, "a full disk ends no process: {outcome:?}");
    assert!(outcome.counts.answered > 100 && outcome.counts.snapshots > 0, "{outcome:?}");
    outcome
}
