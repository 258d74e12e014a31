//! etcd #14102: a member with a damaged file came up again and again, or served what
//! was on it.
//!
//! Here every read checks what it reads; the member ends and is replaced.

use super::{SECOND, Story, await_leader, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Bits turn on one member, then writes of another land elsewhere.
pub fn run(story: Story) -> Outcome {
    let (mut world, mut leader) = busy(story, 3);
    world.befall(Fault::BitFlips((leader + 1) % 3));
    world.go_on(8 * SECOND);
    world.befall(Fault::Kill((leader + 1) % 3));
    world.go_on(10 * SECOND);
    leader = await_leader(&mut world);
    world.befall(Fault::Misdirected((leader + 2) % 3));
    world.go_on(8 * SECOND);
    let outcome = world.finish();
    assert!(outcome.counts.replaced >= 1, "{outcome:?}");
    outcome
}
