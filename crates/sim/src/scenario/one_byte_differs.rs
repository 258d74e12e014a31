//! etcd #13766 and all its kin: a member came to hold something else, and nobody noticed for months.
//!
//! Here the others know within a second, and it is named.

use super::{SECOND, Story, busy_keeping};
use crate::load::Mix;
use crate::world::World;

/// The time, in microseconds, from the moment one of `members` applies another byte until every member knows its alarm.
pub fn noticed_after(seed: u64, members: usize) -> u64 {
    // Nobody who lags is sent a snapshot: one of the leader that differs would make another member differ with it.
    let (mut world, leader) = busy_keeping(1_000_000, Story::of(seed), members, |_| {});
    let mix = Mix { deletes: 0, txns: 0, compactions: 0, grants: 0, keep_alives: 0, revocations: 0, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    world.go_on(SECOND);
    let wrong = (leader + seed as usize) % members;
    world.corrupt_next(wrong);
    let expected = if members > 2 { vec![Some(wrong)] } else { vec![None] };
    for step in 1..=300 {
        world.go_on(SECOND / 100);
        if (0..members).all(|slot| world.named_corrupt(slot) == expected) {
            serves_nothing_more(&mut world, wrong, members);
            return step * SECOND / 100;
        }
        assert!(world.named_corrupt(leader).iter().all(|named| expected.contains(named)), "the wrong one is named");
    }
    panic!("nobody noticed within three seconds that member {wrong} of {members} differs");
}

/// Whoever differs refuses all that it is asked; the others, if one was named, go on to be read.
fn serves_nothing_more(world: &mut World, wrong: usize, members: usize) {
    let reads = Mix {
        puts: 0,
        deletes: 0,
        txns: 0,
        reads: 100,
        compactions: 0,
        grants: 0,
        keep_alives: 0,
        revocations: 0,
        ..Mix::default()
    };
    // What was under way by then comes to its end first.
    world.clients_ask(reads, SECOND / 100, Some(wrong));
    world.go_on(6 * SECOND);
    let before = world.counts();
    world.go_on(SECOND);
    let after = world.counts();
    assert_eq!(after.answered, before.answered, "the one that differs has answered");
    assert!(after.refused_as_corrupt > before.refused_as_corrupt + 20, "{after:?}");
    world.clients_ask(reads, SECOND / 100, Some((wrong + 1) % members));
    world.go_on(SECOND);
    assert_eq!(
        world.counts().answered > after.answered + 20,
        members > 2,
        "only if one was named are others to be believed"
    );
}
