//! etcd #16839: what was on its way to watch streams had no bound in bytes; twenty streams of a megabyte each took 15 GB.
//!
//! Here a stream has room for so many bytes, and who does not read is caught up from history.

use super::{SECOND, Story, busy_after};
use crate::load::Mix;
use crate::world::Outcome;

/// Large values for watches of everything that take up to ten seconds to read a response.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy_after(story, 3, |world| world.watches_see_all());
    world.watches_are_slow(10 * SECOND);
    let mix = Mix {
        puts: 100,
        deletes: 0,
        txns: 0,
        reads: 0,
        compactions: 0,
        grants: 0,
        keep_alives: 0,
        revocations: 0,
        filler: 100_000,
    };
    world.clients_ask(mix, SECOND / 40, None);
    world.go_on(5 * SECOND);
    world.clients_ask(Mix::default(), SECOND / 100, None);
    world.go_on(SECOND);
    let outcome = world.finish();
    assert!(outcome.most_waiting.watch_bytes > 3 << 20, "{outcome:?}");
    outcome
}
