//! Known bugs of the field, told as directed runs: who is cut off, who loses
//! power, and when. Each ends as every run does, in rest and with all promises
//! checked; what it asserts besides is that the story has really happened.

pub mod answer_before_disk;
pub mod applied_apart_from_data;
pub mod compaction_cut_short;
pub mod deletion_near_compaction;
pub mod progress_under_load;
pub mod read_after_pause;
pub mod two_snapshots;
pub mod watch_across_snapshot;

use crate::load::Mix;
use crate::member::Habits;
use crate::world::{Micros, World};

/// In simulated time.
const SECOND: Micros = 1_000_000;

/// Lets time pass until somebody leads.
fn await_leader(world: &mut World) -> usize {
    for _ in 0..100 {
        if let Some(leader) = world.leader() {
            return leader;
        }
        world.go_on(SECOND / 10);
    }
    panic!("ten seconds of fair weather and nobody leads");
}

/// A cluster with a leader and clients that write a lot.
fn busy(seed: u64, members: usize) -> (World, usize) {
    let mut world = World::directed(seed, members);
    world.keep_house(Habits { sync_every: 8, catch_up_entries: 4, log_segment_bytes: 4 << 10, mutant: None });
    world.clients_ask(Mix::default(), SECOND / 100, None);
    world.go_on(2 * SECOND);
    let leader = await_leader(&mut world);
    (world, leader)
}
