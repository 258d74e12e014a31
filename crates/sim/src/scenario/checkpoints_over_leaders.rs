//! etcd #13508 and #14253 with the gate LeaseCheckpoint: what a lease had left came from a checkpoint that a renewal had
//! overtaken.
//!
//! Here a renewal is answered when the checkpoint that says less has been taken back.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::member::Habits;
use crate::world::Outcome;

/// Leadership goes round while leases are granted, renewed and checkpointed.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.keep_house(Habits {
        sync_every: 8,
        catch_up_entries: 16,
        log_segment_bytes: 4 << 10,
        fragment_bytes: 1_000,
        checkpoint_ms: Some(3_000),
        ..world.habits().roomy()
    });
    world.restarts_are_quick();
    world.befall(Fault::AllPowerLoss);
    let mix = Mix { grants: 30, keep_alives: 120, revocations: 0, ..Mix::default() };
    world.clients_ask(mix, SECOND / 50, None);
    for round in 0..20 {
        // Long enough for a checkpoint, and short enough that the next one does not come before the change.
        world.go_on(4 * SECOND + SECOND / 2);
        world.befall(Fault::Transfer(round % 3));
    }
    let outcome = world.finish();
    assert!(outcome.counts.elections >= 4 && outcome.counts.renewals > 20, "{outcome:?}");
    outcome
}
