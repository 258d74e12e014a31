//! etcd #14530: a CORRUPT alarm that named member 0 could not be taken back.
//!
//! Here an alarm names whom it names, and nobody in particular is a name like others.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::world::{Outcome, World};

/// The alarm is raised, outlives a loss of power everywhere, and is taken back.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    world.restarts_are_quick();
    for round in 0..3 {
        set(&mut world, round, true);
        world.befall(Fault::AllPowerLoss);
        world.go_on(4 * SECOND);
        assert!((0..3).all(|slot| world.named_corrupt(slot) == [None]), "an alarm outlives a loss of power");
        set(&mut world, round, false);
        world.go_on(2 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.crashes >= 9, "{outcome:?}");
    outcome
}

/// Asks one member, again if nobody leads just then, until all know it.
fn set(world: &mut World, slot: usize, on: bool) {
    let expected = if on { vec![None] } else { Vec::new() };
    for _ in 0..10 {
        world.alarm_of_nobody(slot, on);
        world.go_on(SECOND);
        if (0..3).all(|slot| world.named_corrupt(slot) == expected) {
            return;
        }
    }
    panic!(
        "ten times asked, and the members know {:?}",
        (0..3).map(|slot| world.named_corrupt(slot)).collect::<Vec<_>>()
    );
}
