//! Beyond what the protocol survives: a majority of disks is lost.
//!
//! Nobody can know any more what was acknowledged. What is left must halt: commit nothing, answer nothing but reads that
//! may be stale, and say nothing false.

use super::{SECOND, Story, busy};
use crate::world::Outcome;

/// Two of three, or three of five, lose everything at once.
pub fn run(story: Story) -> Outcome {
    let members = if story.seed.is_multiple_of(2) { 3 } else { 5 };
    let (mut world, leader) = busy(story, members);
    world.go_on(2 * SECOND);
    // With the leader or without it.
    let first = leader + usize::from(story.seed % 4 >= 2);
    for place in 0..members / 2 + 1 {
        world.lose_disk((first + place) % members);
    }
    world.go_on(SECOND);
    let committed = world.committed();
    world.go_on(20 * SECOND);
    assert_eq!(world.committed(), committed, "who has lost the majority commits nothing");
    assert_eq!(world.leader(), None, "and nobody leads");
    world.end()
}
