//! etcd #20707: a watch from revision −1 was brought up to date from revision 0.
//!
//! Here it is refused, in etcd's words, and told nothing.

use super::{SECOND, Story, busy};
use crate::world::Outcome;

/// Such a watch at every member, while others are written to.
pub fn run(story: Story) -> Outcome {
    let (mut world, _) = busy(story, 3);
    let streams: Vec<u64> = (0..3).map(|slot| world.watch_apart(slot, -1)).collect();
    world.go_on(3 * SECOND);
    for stream in streams {
        let told = world.told_apart(stream);
        assert_eq!(told.len(), 1, "a watch from −1 is told that it is refused, and nothing else: {told:?}");
        assert!(told[0].created && told[0].canceled && told[0].events.is_empty(), "{told:?}");
        assert_eq!(told[0].cancel_reason, "etcdserver: mvcc: required revision has been compacted");
    }
    world.finish()
}
