//! etcd #18667: members whose clients did not ask left the reads of a transaction out,
//! so that it failed on some members only and was half carried out.
//!
//! Here all doubts come before the first change, wanted or not.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Nearly nothing but transactions, with ranges of past and future revisions.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 5);
    let mix = Mix { txns: 120, compactions: 10, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    for round in 0..6 {
        world.befall(Fault::Kill(round % 5));
        world.go_on(3 * SECOND);
    }
    let outcome = world.finish();
    assert!(outcome.counts.answered > 300, "{outcome:?}");
    outcome
}
