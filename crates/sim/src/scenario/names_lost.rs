//! etcd #6368: a new file of the log was there and its name was not, because the
//! directory had not been synced.
//!
//! Here a segment is used only when its name is durable.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::member::Habits;
use crate::world::Outcome;

/// Short segments, so that every few writes make one, and losses of power.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.keep_house(Habits {
        sync_every: 4,
        catch_up_entries: 4,
        log_segment_bytes: 1 << 10,
        fragment_bytes: 1_000,
        checkpoint_ms: None,
        ..world.habits().roomy()
    });
    world.befall(Fault::AllPowerLoss);
    for round in 0..16 {
        world.go_on(2 * SECOND);
        world.befall(Fault::PowerLoss(round % 3));
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 15, "{outcome:?}");
    outcome
}
