//! etcd #18089 and #19179: a watch that lagged lost a deletion because a
//! compaction took it away under the reader.
//!
//! Here who is behind reads a frozen View.

use super::{SECOND, Story, busy};
use crate::faults::Fault;
use crate::load::Mix;
use crate::world::Outcome;

/// Deletions and compactions only, and watches that come back from members
/// that were stopped.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let mix =
        Mix { puts: 30, deletes: 40, txns: 10, compactions: 15, reads: 5, grants: 0, keep_alives: 0, ..Mix::default() };
    world.clients_ask(mix, SECOND / 100, None);
    for round in 0..12 {
        world.go_on(2 * SECOND);
        world.befall(Fault::Kill(round % 3));
    }
    let outcome = world.finish();
    assert!(outcome.counts.events > 0, "{outcome:?}");
    outcome
}
