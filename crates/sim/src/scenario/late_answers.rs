//! etcd #20418, the way it really went: answers to heartbeats of before come to a leader that others have replaced, and it
//! has reads that were asked for since.
//!
//! An answer confirms what was asked before its heartbeat left, and nothing that came after.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// What the others say to the leader is held up, then nobody hears it any more; another leads before it has noticed, and
/// then all that was held up comes at once.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let before = world.counts().elections;
    world.clients_ask(Mix { reads: 200, ..Mix::default() }, SECOND / 200, None);
    for round in 0..10 {
        let leader = await_leader(&mut world);
        world.go_on(SECOND);
        let held_up = 13 * SECOND / 10 + round * SECOND / 20;
        for other in (0..3).filter(|other| *other != leader) {
            world.befall(Fault::Clog(other, leader, held_up));
        }
        world.go_on(SECOND / 10);
        world.befall(Fault::LeaderMuted);
        world.go_on(4 * SECOND);
        world.befall(Fault::Heal);
        world.go_on(2 * SECOND);
    }
    assert!(world.counts().elections >= before + 5, "others led: {:?}", world.counts());
    world.finish()
}
