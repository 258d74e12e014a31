//! etcd #13766: the applied index was saved apart from the data; a crash in
//! between made a member apply entries twice and differ from the others.
//!
//! Here both stand in one checksummed frame. The story loses power at every
//! operation of a disk in turn.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::Outcome;

/// Each member loses power at its next, second next, ... operation.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    for operation in 1..24 {
        let slot = operation as usize % 3;
        world.befall(Fault::PowerLossSoon(slot, operation));
        world.go_on(3 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 20, "{outcome:?}");
    outcome
}
